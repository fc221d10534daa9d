/** How the peers of a storm live: each kind as `plan.ts` describes it. A life resolves with how it ended. */

import { frame, handshake, Opcode, RawClient } from "../kit/raw_client.ts";
import { headersOf, Peer } from "./peer.ts";
import { type Kind, type Life, WATCHED } from "./plan.ts";
import { Random } from "./random.ts";

/** The connections of one life; disposed of with it. */
export class Scope implements Disposable {
  readonly port: number;
  /** Joins of the watched room that the server confirmed. */
  confirmed = 0;
  readonly #clients: RawClient[] = [];
  #disposed = false;

  constructor(port: number) {
    this.port = port;
  }

  /** A bare TCP connection. */
  async connect(): Promise<RawClient> {
    const client = await RawClient.open(this.port, "no handshake");
    this.#clients.push(client);
    if (this.#disposed) client[Symbol.dispose]();
    return client;
  }

  /** A WebSocket. */
  async open({ version, address }: Pick<Life, "version" | "address">): Promise<RawClient> {
    const client = await this.connect();
    await client.write(handshake(headersOf(version, address)));
    const head = await client.readHead();
    if (!head.startsWith("HTTP/1.1 101 ")) throw new Error(`a handshake was answered with ${status(head)}`);
    return client;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const client of this.#clients) client[Symbol.dispose]();
  }
}

function status(head: string): string {
  return /^HTTP\/1.1 (\d+)/.exec(head)?.[1] ?? "nothing";
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What a peer keeps in mind of others, at most. */
const MAX_KNOWN = 128;

/** A member of a room who makes offers to those it is introduced to, and talks with them for a while. */
class Member {
  readonly peer: Peer;
  readonly #life: Life;
  readonly #random: Random;
  readonly #scope: Scope;
  readonly #pairs: { readonly own: string; readonly other: string }[] = [];

  private constructor(client: RawClient, life: Life, random: Random, scope: Scope) {
    this.#life = life;
    this.#random = random;
    this.#scope = scope;
    this.peer = new Peer(client, (message) => this.#take(message));
  }

  static async join(life: Life, random: Random, scope: Scope): Promise<Member> {
    const member = new Member(await scope.open(life), life, random, scope);
    await member.peer.settle(["ident"], ...life.idents.map((ident) => ["join", ident, life.room]));
    return member;
  }

  async talk(): Promise<void> {
    for (const { own, other } of [...this.#pairs]) this.peer.send(this.#signal(own, other));
    for (let round = this.#random.between(1, 20); round > 0; round--) {
      await pause(this.#random.between(20, 200));
      // Who knows nobody speaks to nobody.
      const { own, other } = this.#random.pick(this.#pairs) ?? { own: "x:y", other: "x:z" };
      await this.peer.settle(this.#signal(own, other));
    }
  }

  async leave(): Promise<void> {
    const { idents, room } = this.#life;
    await this.peer.settle(...idents.map((ident) => ["leave", `${room}:${ident}`]));
  }

  #signal(own: string, other: string): unknown[] {
    return ["signal", own, other, { sdp: "v=0\r\n".repeat(this.#random.between(1, 400)) }];
  }

  #take([name, own, other]: unknown[]): void {
    const pairs = this.#pairs;
    if (name === "join" && String(own).startsWith(`${WATCHED}:`)) this.#scope.confirmed++;
    if (name === "stun" && pairs.length < MAX_KNOWN) pairs.push({ own: String(own), other: String(other) });
    if (name === "gone") {
      const at = pairs.findIndex((pair) => pair.own === own && pair.other === other);
      if (at >= 0) pairs.splice(at, 1);
    }
  }
}

/** Calls that are none. */
const NONSENSE = [
  "",
  "null",
  "{}",
  "[",
  '["join"',
  '["join"]',
  '["join","a:b","r"]',
  '["join","a","\\u0000"]',
  '["join","\\ud800","r"]',
  '["signal",1,2,3]',
  '["signal","a","b"]',
  '["__proto__",{"__proto__":null}]',
  '["constructor"]',
  "[1e999999,-0,1E-999999]",
  "[".repeat(20_000),
  `["signal","a","b",${"[".repeat(10_000)}${"]".repeat(10_000)}]`,
  `[${",".repeat(60_000)}]`,
  `["${"x".repeat(60_000)}"]`,
  '\ufeff["ping"]',
  "ping",
];

/** Frames that break RFC 6455, section 5. */
const MALFORMED: readonly Uint8Array<ArrayBuffer>[] = [
  frame("x", 3),
  frame("x", 11),
  frame("x", Opcode.ping, false),
  frame("x".repeat(126), Opcode.ping),
  frame("x", Opcode.continuation),
  frame(new Uint8Array([0xc3, 0x28])),
  // A reserved bit.
  frame("x").with(0, 0xf1),
  // A length with its highest bit set.
  new Uint8Array([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
];

const TLS_HELLO = new Uint8Array([0x16, 3, 1, 0, 0xfa, 1, 0, 0, 0xf6, 3, 3]);

/** Past the server's default limits of calls and joins by more than it lets pass. */
const FLOOD_CALLS = 3000;
const FLOOD_JOINS = 500;
const FLOOD_CONNECTIONS = 400;
const FLOOD = repeat(frame('["ident"]'), FLOOD_CALLS / 10);

const DEAF_SIGNAL_BYTES = 32_768;
const DEAF_BATCH = 20;
const DEAF_BATCHES = 95;

const LIVES: Readonly<Record<Kind, (life: Life, random: Random, scope: Scope) => Promise<string>>> = {
  async polite(life, random, scope) {
    const member = await Member.join(life, random, scope);
    await member.talk();
    if (life.version === 3 && random.chance(0.5)) await member.leave();
    const code = await member.peer.close();
    return code === "1000" ? "said goodbye" : ended(code);
  },

  async vanish(life, random, scope) {
    const member = await Member.join(life, random, scope);
    await member.talk();
    return "vanished";
  },

  async reset(life, _random, scope) {
    const client = await scope.open(life);
    await client.settle(...life.idents.map((ident) => ["join", ident, life.room]));
    // The kernel resets a connection that is closed with something unread.
    await client.send(...Array(20).fill(["ping"]));
    await pause(50);
    return "vanished";
  },

  async resetHandshake(life, random, scope) {
    const client = await scope.connect();
    await client.write(handshake(headersOf(life.version, life.address)));
    // Closed with the answer unread, or before it is there.
    if (random.chance(0.7)) await pause(random.between(0, 2));
    return "vanished";
  },

  async halfHandshake(life, random, scope) {
    const client = await scope.connect();
    const request = handshake(headersOf(life.version, life.address));
    await client.write(request.subarray(0, random.between(1, request.length - 1)));
    await pause(random.between(0, 300));
    return "vanished";
  },

  async midJoin(life, random, scope) {
    const join = frame(JSON.stringify(["join", life.idents[0], life.room]));
    if (random.chance(0.5)) {
      const client = await scope.connect();
      await client.write(handshake(headersOf(life.version, life.address)), join);
    } else {
      const client = await scope.open(life);
      await client.write(join, join.subarray(0, random.between(1, join.length - 1)));
    }
    await pause(random.between(0, 3));
    return "vanished";
  },

  async flood(life, _random, scope) {
    const client = await scope.open(life);
    return await untilEnded(client, Array(10).fill(FLOOD));
  },

  async joinFlood(life, _random, scope) {
    const client = await scope.open(life);
    const [ident] = life.idents;
    const joins = Array.from({ length: FLOOD_JOINS }, (_, i) => frame(`["join","${ident}","${ident} ${i}"]`));
    return await untilEnded(client, joins);
  },

  async connectFlood(life, _random, scope) {
    for (let i = 0; i < FLOOD_CONNECTIONS; i++) {
      const client = await scope.connect();
      await client.write(handshake(headersOf(life.version, life.address)));
      const answer = status(await client.readHead());
      if (answer !== "101") return `refused with ${answer}`;
    }
    return "was never refused";
  },

  async nonsense(life, random, scope) {
    const client = await scope.open(life);
    for (let i = 0; i < 10; i++) {
      const text = random.pick(NONSENSE);
      await client.write(frame(text, random.pick([Opcode.text, Opcode.binary])));
      await client.write(frame(random.bytes(random.between(0, 200)), Opcode.binary));
    }
    await client.settle();
    return "answered";
  },

  async malformed(life, random, scope) {
    const client = await scope.open(life);
    return await untilEnded(client, [frame('["ident"]'), random.pick(MALFORMED)]);
  },

  async alien(_life, random, scope) {
    const client = await scope.connect();
    await client.write(random.pick([
      TLS_HELLO,
      random.bytes(500),
      new TextEncoder().encode(`GET / HTTP/1.1\r\nHost: ${"x".repeat(20_000)}`),
    ]));
    await pause(random.between(0, 300));
    return "vanished";
  },

  async oversize(life, random, scope) {
    const client = await scope.open(life);
    const bytes = random.pick([65_537, 100_000, 1_000_000]);
    return await untilEnded(client, [frame(new Uint8Array(bytes).fill(32), random.pick([1, 2]))]);
  },

  async fragments(life, random, scope) {
    const client = await scope.open(life);
    const [ident] = life.idents;
    const call = new TextEncoder().encode(JSON.stringify(["join", ident, ident]));
    let opcode: number = Opcode.text;
    for (let at = 0; at < call.length;) {
      const end = Math.min(call.length, at + random.between(1, 9));
      await client.write(frame(call.subarray(at, end), opcode, end === call.length));
      if (random.chance(0.3)) await client.write(frame("still there?", Opcode.ping));
      opcode = Opcode.continuation;
      at = end;
    }
    const texts = await client.settle();
    return texts.includes(JSON.stringify(["join", `${ident}:${ident}`])) ? "understood" : "misunderstood";
  },

  async deaf(life, _random, scope) {
    const [room] = life.idents;
    const friend = await scope.open({ version: 3, address: life.address });
    await friend.settle(["join", "friend", room]);
    const client = await scope.open(life);
    await client.settle(["join", "deaf", room]);
    const text = ["signal", `${room}:friend`, `${room}:deaf`, "x".repeat(DEAF_SIGNAL_BYTES)];
    const batch = repeat(frame(JSON.stringify(text)), DEAF_BATCH);
    // Until the server has had enough of it, which the friend is told. The kernel's buffers come first.
    for (let i = 0; i < DEAF_BATCHES; i++) {
      await friend.write(batch);
      const texts = await friend.settle();
      if (texts.some((text) => text.startsWith('["gone"'))) return ended(await client.closeCode());
    }
    return "was never thrown out";
  },

  async sleeper(life, _random, scope) {
    const client = await scope.open(life);
    await client.settle(["join", life.idents[0], life.room]);
    return ended(await client.closeCode());
  },

  async browser(_life, random, scope) {
    const client = await scope.connect();
    const path = random.pick(["/", "/healthz", "/favicon.ico"]);
    await client.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`));
    return `answered with ${status(await client.readHead())}`;
  },
};

/** Lives a life. Rejects where something happens to it that was not to be foreseen. */
export function live(life: Life, scope: Scope): Promise<string> {
  return LIVES[life.kind](life, new Random(life.seed), scope);
}

function ended(code: number | string | undefined): string {
  return code === undefined || code === "dropped" ? "dropped" : `closed with ${code}`;
}

/** Sends, and reads to the end of the connection, which may come before all is sent. */
async function untilEnded(client: RawClient, frames: Uint8Array<ArrayBuffer>[]): Promise<string> {
  try {
    await client.write(...frames);
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe)) {
      throw error;
    }
  }
  return ended(await client.closeCode());
}

function repeat(bytes: Uint8Array, times: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length * times);
  for (let i = 0; i < times; i++) out.set(bytes, i * bytes.length);
  return out;
}
