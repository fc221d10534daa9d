/**
 * Random sequences of calls on random sockets, version 2 and 3 mixed, over real connections, against a small
 * model of what the protocol promises: after every step, what each socket received and which rooms remain agree.
 */

import fc from "fast-check";
import { assert, assertEquals } from "../kit/assert.ts";
import { RawClient } from "../kit/raw_client.ts";
import type { TestServer } from "../kit/server.ts";

export const LIMITS = { maxRoomPeers: 4, maxAddresses: 4, maxRooms: 3 };

/** What the model knows of one socket. */
interface Peer {
  readonly node: TestServer;
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
  opened = 0;

  /** On a node. */
  rooms(node: TestServer): Set<string> {
    return new Set(this.members.filter(({ peer }) => peer.node === node).map(({ room }) => room));
  }

  join(peer: Peer, ident: string, room: string): void {
    const refuse = (code: string) => this.refuse(peer, code, ["join", ident, room]);
    const inRoom = this.members.filter((member) => member.room === room);
    const address = `${room}:${ident}`;
    const rooms = this.rooms(peer.node);
    if (ident.includes(":") || ident === "") return refuse("bad-ident");
    const holder = inRoom.find((member) => member.address === address);
    // What a node knows by itself it looks at first.
    if (holder?.peer.node === peer.node) return refuse("ident-taken");
    if (this.members.filter((member) => member.peer === peer).length >= LIMITS.maxAddresses) {
      return refuse("too-many-addresses");
    }
    if (!rooms.has(room) && rooms.size >= LIMITS.maxRooms) return refuse("unavailable");
    if (holder !== undefined) return refuse("ident-taken");
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

/** Several nodes: their sockets are spread over them in turn. */
async function play(nodes: readonly TestServer[], steps: readonly Step[]): Promise<void> {
  const model = new Model();
  const check = nodes.length === 1 ? checkNow : checkSoon;
  try {
    for (const step of steps) {
      const actor = await take(nodes, model, step);
      // The actor first: once it has its answers, those of the others on its node have been sent.
      if (actor) await check(actor);
      await Promise.all(model.peers.filter((peer) => peer !== actor).map(check));
      for (const node of nodes) {
        const expected = {
          sockets: model.peers.filter((peer) => peer.node === node).length,
          rooms: model.rooms(node).size,
          addresses: model.members.filter(({ peer }) => peer.node === node).length,
        };
        // Of a departure without members left to hear of it nobody was told.
        if (nodes.length > 1) await node.counts(expected);
        const { sockets, rooms, addresses } = node.health();
        assertEquals({ sockets, rooms, addresses }, expected);
      }
    }
  } finally {
    for (const { client } of model.peers) client[Symbol.dispose]();
    for (const node of nodes) await node.counts({ sockets: 0, rooms: 0, addresses: 0 });
  }
}

/** Does one step; returns the socket that made a call. */
async function take(nodes: readonly TestServer[], model: Model, step: Step): Promise<Peer | undefined> {
  if (step.do === "open") {
    if (model.peers.length === 6) return;
    const headers: Record<string, string> = step.version === 3
      ? { "Sec-WebSocket-Protocol": "diva.signal.v3" }
      : {};
    const node = nodes[model.opened++ % nodes.length]!;
    const peer: Peer = {
      node,
      version: step.version,
      client: await RawClient.open(node.port, headers),
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
      await peer!.node.counts({
        sockets: model.peers.filter(({ node }) => node === peer!.node).length,
      });
      return;
  }
}

async function received(peer: Peer): Promise<string[]> {
  return (await peer.client.settle()).map((text) => {
    const message = JSON.parse(text);
    if (message[0] !== "error") return text;
    assert(message[2].length > 10 && message[2].endsWith("."), text);
    return JSON.stringify(message.with(2, ""));
  });
}

async function checkNow(peer: Peer): Promise<void> {
  assertEquals(await received(peer), peer.expected);
  peer.expected = [];
}

/** What comes from another node may take its time. What should not have come is seen at the next look at the latest. */
async function checkSoon(peer: Peer): Promise<void> {
  const deadline = performance.now() + 5000;
  const texts: string[] = [];
  do texts.push(...await received(peer)); while (
    texts.length < peer.expected.length && performance.now() < deadline
  );
  assertEquals(texts, peer.expected);
  peer.expected = [];
}

/** Plays random sequences. The nodes must have the limits that stand above, and no resuming. */
export async function agree(nodes: readonly TestServer[], sequences: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 30 }), (steps) => play(nodes, steps)),
    { numRuns: sequences },
  );
}
