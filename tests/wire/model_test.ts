/**
 * Random sequences of calls on random sockets, version 2 and 3 mixed, over real connections, against a small
 * model of what the protocol promises: after every step, what each socket received and which rooms remain agree.
 */

import fc from "fast-check";
import { assert, assertEquals } from "../kit/assert.ts";
import { RawClient } from "../kit/raw_client.ts";
import { type TestServer, testServer } from "../kit/server.ts";

const LIMITS = { maxRoomPeers: 4, maxAddresses: 4, maxRooms: 3 };

/** What the model knows of one socket. */
interface Peer {
  readonly version: 2 | 3;
  readonly client: RawClient;
  /** Texts that it should have received since the last look. */
  expected: string[];
}

interface Member {
  readonly peer: Peer;
  readonly room: string;
  readonly address: string;
}

/** The protocol in its simplest words: one list of members, in the order in which they joined. */
class Model {
  members: Member[] = [];
  peers: Peer[] = [];

  rooms(): number {
    return new Set(this.members.map(({ room }) => room)).size;
  }

  join(peer: Peer, ident: string, room: string): void {
    const refuse = (code: string) => this.refuse(peer, code, ["join", ident, room]);
    const inRoom = this.members.filter((member) => member.room === room);
    const address = `${room}:${ident}`;
    if (ident.includes(":") || ident === "") return refuse("bad-ident");
    if (inRoom.some((member) => member.address === address)) return refuse("ident-taken");
    if (this.members.filter((member) => member.peer === peer).length >= LIMITS.maxAddresses) {
      return refuse("too-many-addresses");
    }
    if (inRoom.length === 0 && this.rooms() >= LIMITS.maxRooms) return refuse("unavailable");
    if (inRoom.length >= LIMITS.maxRoomPeers) return refuse("room-full");
    tell(peer, ["join", address]);
    for (const member of inRoom) {
      tell(member.peer, ["stun", member.address, address, false]);
      tell(peer, ["stun", address, member.address, true]);
    }
    this.members.push({ peer, room, address });
  }

  signal(peer: Peer, from: string, to: string, data: unknown): void {
    const sender = this.members.find((member) => member.address === from && member.peer === peer);
    if (!sender) return this.refuse(peer, "not-a-member", ["signal", from, to]);
    const receiver = this.members.find((member) => member.address === to && member.room === sender.room);
    if (!receiver) return this.refuse(peer, "no-such-peer", ["signal", from, to]);
    tell(receiver.peer, ["signal", to, from, data]);
  }

  leave(peer: Peer, address: string): void {
    if (peer.version === 2) return;
    const member = this.members.find((member) => member.address === address && member.peer === peer);
    if (!member) return this.refuse(peer, "not-a-member", ["leave", address]);
    this.members.splice(this.members.indexOf(member), 1);
    tell(peer, ["leave", address]);
    this.gone([member], "left");
  }

  close(peer: Peer): void {
    const departed = this.members.filter((member) => member.peer === peer);
    this.members = this.members.filter((member) => member.peer !== peer);
    this.peers = this.peers.filter((other) => other !== peer);
    this.gone(departed, "closed");
  }

  gone(departed: Member[], reason: string): void {
    for (const member of departed) {
      for (const other of this.members) {
        if (other.room === member.room && other.peer.version === 3) {
          tell(other.peer, ["gone", other.address, member.address, reason]);
        }
      }
    }
  }

  /** The sentence for people is the server's own affair. */
  refuse(peer: Peer, code: string, call: string[]): void {
    if (peer.version === 3) tell(peer, ["error", code, "", ...call]);
  }
}

function tell(peer: Peer, message: unknown): void {
  peer.expected.push(JSON.stringify(message));
}

const number = fc.nat(7);
const ident = fc.constantFrom("a", "b", "c", "d", "é:", "");
const room = fc.constantFrom("r", "s", "r:a", "t", "u");
const address = fc.tuple(room, ident).map(([room, ident]) => `${room}:${ident}`);
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("open" as const),
      version: fc.constantFrom(2 as const, 3 as const),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("join" as const), number, ident, room }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("signal" as const),
      number,
      from: number,
      to: number,
      data: fc.jsonValue(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("stray" as const), number, from: address, to: address }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("leave" as const), number, which: number, address }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("garbage" as const),
      number,
      text: fc.constantFrom("", "x", "[]", "{}"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("close" as const), number, politely: fc.boolean() }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function play(server: TestServer, steps: readonly Step[]): Promise<void> {
  const model = new Model();
  try {
    for (const step of steps) {
      const actor = await take(server, model, step);
      // The actor first: once it has its answers, those of the others have been sent.
      if (actor) await check(actor);
      await Promise.all(model.peers.filter((peer) => peer !== actor).map(check));
      const { sockets, rooms, addresses } = server.health();
      const expected = { sockets: model.peers.length, rooms: model.rooms(), addresses: model.members.length };
      assertEquals({ sockets, rooms, addresses }, expected);
    }
  } finally {
    for (const { client } of model.peers) client[Symbol.dispose]();
    await server.counts({ sockets: 0, rooms: 0, addresses: 0 });
  }
}

/** Does one step; returns the socket that made a call. */
async function take(server: TestServer, model: Model, step: Step): Promise<Peer | undefined> {
  if (step.do === "open") {
    if (model.peers.length === 6) return;
    const headers: Record<string, string> = step.version === 3
      ? { "Sec-WebSocket-Protocol": "diva.signal.v3" }
      : {};
    const peer: Peer = {
      version: step.version,
      client: await RawClient.open(server.port, headers),
      expected: [],
    };
    if (step.version === 3) assertEquals(JSON.parse(await peer.client.text() ?? "")[0], "welcome");
    model.peers.push(peer);
    return peer;
  }
  const { length } = model.peers;
  if (length === 0) return;
  const peer = model.peers[step.number % length];
  const call = (message: unknown) => peer!.client.send(message);
  // Mostly addresses that there are: strangers' too.
  const someAddress = (index: number) => model.members[index % model.members.length]?.address ?? "r:a";
  switch (step.do) {
    case "join":
      model.join(peer!, step.ident, step.room);
      await call(["join", step.ident, step.room]);
      return peer;
    case "signal": {
      const [from, to] = [someAddress(step.from), someAddress(step.to)];
      model.signal(peer!, from, to, step.data);
      await call(["signal", from, to, step.data]);
      return peer;
    }
    case "stray":
      model.signal(peer!, step.from, step.to, null);
      await call(["signal", step.from, step.to, null]);
      return peer;
    case "leave": {
      const address = step.which < 6 ? someAddress(step.which) : step.address;
      model.leave(peer!, address);
      if (peer!.version === 2) model.refuse(peer!, "bad-call", ["leave"]);
      await call(["leave", address]);
      return peer;
    }
    case "garbage":
      model.refuse(peer!, step.text === "" || step.text === "x" ? "bad-json" : "bad-call", []);
      await call(step.text);
      return peer;
    case "close":
      model.close(peer!);
      if (step.politely) {
        await peer!.client.write(new Uint8Array([0x88, 0x82, 0, 0, 0, 0, 3, 232]));
        assertEquals(await peer!.client.closeCode(), 1000);
      }
      peer!.client[Symbol.dispose]();
      await server.counts({ sockets: model.peers.length });
      return;
  }
}

async function check(peer: Peer): Promise<void> {
  const received = (await peer.client.settle()).map((text) => {
    const message = JSON.parse(text);
    if (message[0] !== "error") return text;
    assert(message[2].length > 10 && message[2].endsWith("."), text);
    return JSON.stringify(message.with(2, ""));
  });
  assertEquals(received, peer.expected);
  peer.expected = [];
}

const SEQUENCES = 2000;

Deno.test(`${SEQUENCES} random sequences of calls agree with the model`, async () => {
  await using server = testServer({ ...LIMITS, callBurst: 1_000_000, joinBurst: 1_000_000, resume: 0 });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 30 }), (steps) => play(server, steps)),
    { numRuns: SEQUENCES },
  );
});
