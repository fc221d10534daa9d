/**
 * Many sockets at once that join, leave, signal, and die at any moment, in the midst of a frame too. Nothing can be
 * said about the order in which the server hears of it. But each member's own transcript has to make sense: whoever
 * it is introduced to is gone exactly once before it is introduced to that address again, and in the end it knows
 * of exactly those who are there.
 */

import fc from "fast-check";
import { assert, assertEquals } from "../kit/assert.ts";
import { frame, handshake, Opcode, RawClient } from "../kit/raw_client.ts";
import type { TestServer } from "../kit/server.ts";

const VERSION_3 = { "Sec-WebSocket-Protocol": "diva.signal.v3" };

/** What one socket of version 3 was told, and what it may believe after it. */
class Transcript {
  /** For each address that it holds, those that it was introduced to and that are not gone. */
  readonly held = new Map<string, Set<string>>();
  introductions = 0;
  departures = 0;
  readonly #texts: string[] = [];

  read(text: string): void {
    this.#texts.push(text);
    const [name, own, other, rest] = JSON.parse(text);
    switch (name) {
      case "join":
        this.#must(!this.held.has(own));
        this.held.set(own, new Set());
        return;
      case "leave":
        this.#must(this.held.delete(own));
        return;
      case "stun":
        this.#must(own !== other && !this.#known(own).has(other));
        this.#known(own).add(other);
        this.introductions++;
        return;
      case "gone":
        this.#must(this.#known(own).delete(other));
        this.#must(rest === "left" || rest === "closed");
        this.departures++;
        return;
      case "signal":
        return this.#must(own === other || this.#known(own).has(other));
      case "welcome":
      case "error":
        return;
      default:
        this.#must(false);
    }
  }

  #known(own: string): Set<string> {
    const known = this.held.get(own);
    this.#must(known !== undefined);
    return known!;
  }

  #must(condition: boolean): void {
    assert(condition, `the last of these texts contradicts the others:\n${this.#texts.join("\n")}`);
  }
}

const room = fc.constantFrom("r", "s");
const ident = fc.constantFrom("a", "b", "c", "d");
const address = fc.tuple(room, ident).map(([room, ident]) => `${room}:${ident}`);
const watched = fc.tuple(room, fc.constantFrom("w0", "w1", "w2")).map(([room, ident]) => `${room}:${ident}`);

const call = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant("join"), ident, room) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("leave"), address) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("signal"), address, fc.oneof(address, watched), fc.nat()) },
);

/** How a socket comes and goes. */
const life = fc.record({
  version3: fc.boolean(),
  /** Turns of the event loop that pass before it comes. */
  birth: fc.nat(8),
  /** Whether it waits for the server's handshake before it calls. */
  waits: fc.boolean(),
  calls: fc.array(call, { minLength: 1, maxLength: 6 }),
  /** Where its bytes are cut into segments, in thousandths. */
  cuts: fc.uniqueArray(fc.nat(999), { maxLength: 3 }),
  end: fc.constantFrom(
    "vanishes",
    "in the midst",
    "reads and vanishes",
    "closes",
    "breaks the protocol",
    "says too much",
  ),
});
type Life = typeof life extends fc.Arbitrary<infer T> ? T : never;

/** For a member that outlives them: turns that pass before it leaves or joins, and the room. */
const moves = fc.array(fc.record({ turns: fc.nat(8), room }), { maxLength: 5 });
const scene = fc.record({
  watchers: fc.array(moves, { minLength: 2, maxLength: 3 }),
  lives: fc.array(life, { minLength: 2, maxLength: 12 }),
});

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

function lastFrames(end: Life["end"]): Uint8Array<ArrayBuffer>[] {
  switch (end) {
    case "closes":
      return [frame(new Uint8Array([0x03, 0xe8]), Opcode.close)];
    case "breaks the protocol":
      return [frame("", 3)];
    case "says too much":
      return [frame("x".repeat(70_000))];
    default:
      return [];
  }
}

/** Lives it; resolves with what the socket was told before it died, as far as it has read it. */
async function live(port: number, { version3, birth, waits, calls, cuts, end }: Life): Promise<Transcript> {
  await turns(birth);
  const headers: Record<string, string> = version3 ? VERSION_3 : {};
  using client = await RawClient.open(port, waits ? headers : "no handshake");
  const parts = [
    ...waits ? [] : [handshake(headers)],
    ...calls.map((call) => frame(JSON.stringify(call))),
    ...lastFrames(end),
  ];
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  // "in the midst": the last cut is where it dies, be it in the handshake.
  const ends = cuts.toSorted((a, b) => a - b).map((cut) => Math.floor(cut * bytes.length / 1000));
  if (end !== "in the midst") ends.push(bytes.length);
  const transcript = new Transcript();
  const read = (text: string) => version3 && transcript.read(text);
  try {
    for (const [i, end] of ends.entries()) {
      await client.write(bytes.subarray(ends[i - 1] ?? 0, end));
      await turns(1);
    }
  } catch (error) {
    // The server has dropped who breaks the protocol, maybe before the last byte of it.
    const dropped = error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset;
    if (!dropped || end !== "breaks the protocol") throw error;
  }
  switch (end) {
    case "vanishes":
    case "in the midst":
      // What it was sent and has not read makes the kernel answer with a reset.
      return transcript;
    case "reads and vanishes":
      if (!waits) await client.readHead();
      (await client.settle()).forEach(read);
      return transcript;
    default: {
      if (!waits) await client.readHead();
      for (let next = await client.frame(); next?.opcode === Opcode.text; next = await client.frame()) {
        read(new TextDecoder().decode(next.payload));
      }
      return transcript;
    }
  }
}

/** A member of version 3 that outlives all others. */
class Watcher implements Disposable {
  readonly transcript = new Transcript();
  readonly #client: RawClient;
  readonly #ident: string;

  private constructor(client: RawClient, ident: string) {
    this.#client = client;
    this.#ident = ident;
  }

  static async open(port: number, ident: string): Promise<Watcher> {
    const watcher = new Watcher(await RawClient.open(port, VERSION_3), ident);
    await watcher.#call("join", ident, "r");
    return watcher;
  }

  async move(moves: readonly { turns: number; room: string }[]): Promise<void> {
    for (const move of moves) {
      await turns(move.turns);
      const address = `${move.room}:${this.#ident}`;
      if (this.transcript.held.has(address)) await this.#call("leave", address);
      else await this.#call("join", this.#ident, move.room);
    }
  }

  /** Takes everything that it was sent so far. */
  async settle(): Promise<void> {
    await this.#call();
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  async #call(...call: string[]): Promise<void> {
    const texts = await this.#client.settle(...call.length === 0 ? [] : [call]);
    for (const text of texts) this.transcript.read(text);
  }
}

interface Seen {
  introductions: number;
  departures: number;
}

/** Sockets are spread over the nodes in turn. */
async function play(
  nodes: readonly TestServer[],
  { watchers: itineraries, lives }: { watchers: { turns: number; room: string }[][]; lives: Life[] },
): Promise<Seen> {
  const port = (index: number) => nodes[index % nodes.length]!.port;
  using watchers = new DisposableStack();
  const members: Watcher[] = [];
  try {
    for (const i of itineraries.keys()) members.push(watchers.use(await Watcher.open(port(i), `w${i}`)));
    await Promise.all([
      ...lives.map((life, i) => live(port(i), life)),
      ...members.map((member, i) => member.move(itineraries[i]!)),
    ]);

    const held = members.flatMap(({ transcript }) => [...transcript.held.keys()]);
    for (const [index, node] of nodes.entries()) {
      const own = members.filter((_, i) => i % nodes.length === index);
      const addresses = own.flatMap(({ transcript }) => [...transcript.held.keys()]);
      const rooms = new Set(addresses.map((address) => address.split(":")[0])).size;
      await node.counts({ sockets: own.length, rooms, addresses: addresses.length });
    }
    const agreed = () =>
      members.every(({ transcript }) =>
        [...transcript.held].every(([own, known]) =>
          known.size === held.filter((address) => address[0] === own[0]).length - 1
        )
      );
    for (const member of members) await member.settle();
    // What comes from another node may take its time.
    const deadline = performance.now() + (nodes.length > 1 ? 5000 : 0);
    while (!agreed() && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (const member of members) await member.settle();
    }
    for (const { transcript } of members) {
      for (const [own, known] of transcript.held) {
        const there = held.filter((address) => address[0] === own[0] && address !== own);
        assertEquals([...known].toSorted(), there.toSorted(), `whom ${own} takes to be there`);
      }
    }
    return {
      introductions: members.reduce((sum, { transcript }) => sum + transcript.introductions, 0),
      departures: members.reduce((sum, { transcript }) => sum + transcript.departures, 0),
    };
  } finally {
    watchers.dispose();
    for (const node of nodes) await node.counts({ sockets: 0, rooms: 0, addresses: 0 });
  }
}

/** Plays random scenes, on nodes that resume nothing; each starts with nobody there. */
export async function crowds(nodes: readonly TestServer[], scenes: number): Promise<void> {
  const seen: Seen = { introductions: 0, departures: 0 };
  await fc.assert(
    fc.asyncProperty(scene, async (scene) => {
      const { introductions, departures } = await play(nodes, scene);
      seen.introductions += introductions;
      seen.departures += departures;
    }),
    { numRuns: scenes, endOnFailure: true },
  );
  // There was something to be told.
  assert(seen.departures > scenes && seen.introductions > scenes, JSON.stringify(seen));
}
