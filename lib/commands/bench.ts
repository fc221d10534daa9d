/** `signal bench`: puts load on a server, and measures what it does. */

import { UsageError } from "../config/command_line.ts";
import { isLoopback } from "../runtime/addresses.ts";
import { Disappointment, VERSION_3 } from "./talker.ts";
import { readFlags, readNumber, readServerUrl } from "./usage.ts";

const HELP = `Put load on a server of one's own, and measure what it does

Usage: signal bench [OPTION ...] ws://127.0.0.1:3903

  --pairs N       pairs of peers that bounce signals [50]; 0: none
  --bytes N       size of a signal [1024]
  --seconds N     for how long [5]
  --idle N        sockets that are only opened [200]
  --joins N       peers that join rooms, one after the other [200]
  --room N        peers in each of these rooms [8]
  --json          for programs: one object
  --yes-this-server-is-mine
                  needed where the server is not on this machine

A server keeps to its limits: what it refuses is counted, and not held against it. To see what it can do, start
one with --call-rate 1000000 --call-burst 1000000 --connect-rate 100000 --connect-burst 100000
--join-rate 100000 --join-burst 100000 --max-sockets-per-client 100000 --busy-sockets-per-client 100000
--max-addresses-per-client 100000 --max-rooms-per-client 100000.`;

/** A socket that the bench holds; events are for whoever works with it at the moment. */
interface Peer {
  readonly socket: WebSocket;
  onMessage: (text: string) => void;
  closed: boolean;
}

interface Figures {
  readonly name: string;
  /** How many things were done, in how many seconds. */
  readonly count: number;
  readonly seconds: number;
  /** Milliseconds that each took, in order of size. */
  readonly times: readonly number[];
  /** What the server refused, by code. */
  readonly refused: Readonly<Record<string, number>>;
}

/** Sockets that are in their handshake at a time. */
const AT_ONCE = 32;
const PATIENCE = 10_000;

export async function bench(args: readonly string[], print: (line: string) => void): Promise<number> {
  const flags = readFlags("bench", args, {
    valued: ["pairs", "bytes", "seconds", "idle", "joins", "room"],
    bare: ["json", "yes-this-server-is-mine"],
    word: "the address of a server",
  });
  if (flags.switches.has("help")) return print(HELP), 0;
  const url = readServerUrl(flags.words[0]!);
  if (!isLoopback(url.hostname) && !flags.switches.has("yes-this-server-is-mine")) {
    throw new UsageError(
      `${url.hostname} is not this machine. To put load on a server of somebody else is an attack; if it is yours: ` +
        "--yes-this-server-is-mine.",
    );
  }
  const pairs = readNumber(flags, "pairs", 50, 0, 5000);
  const bytes = readNumber(flags, "bytes", 1024, 16, 60_000);
  const seconds = readNumber(flags, "seconds", 5, 1, 600);
  const idle = readNumber(flags, "idle", 200, 0, 50_000);
  const joins = readNumber(flags, "joins", 200, 0, 10_000);
  const room = readNumber(flags, "room", 8, 1, 1000);

  const json = flags.switches.has("json");
  const progress = (text: string) => {
    if (json || !Deno.stderr.isTerminal()) return;
    Deno.stderr.writeSync(new TextEncoder().encode(`\r${text.padEnd(60)}\r`));
  };
  const all: Figures[] = [];
  if (idle > 0) all.push(await openSockets(url.href, idle, progress));
  if (joins > 0) all.push(await joinRooms(url.href, joins, room, progress));
  if (pairs > 0) all.push(await bounce(url.href, { pairs, bytes, seconds }, progress));
  progress("");
  if (json) print(JSON.stringify({ url: url.href, figures: all.map(summary) }));
  else for (const line of table(all)) print(line);
  return all.every(({ count }) => count > 0) ? 0 : 1;
}

type Progress = (text: string) => void;

async function openSockets(url: string, count: number, progress: Progress): Promise<Figures> {
  const refused: Record<string, number> = {};
  const begun = performance.now();
  const { peers, times } = await openAll(
    url,
    count,
    3,
    refused,
    (n) => progress(`${n} of ${count} sockets are open`),
  );
  const seconds = (performance.now() - begun) / 1000;
  await closeAll(peers);
  return { name: "sockets opened", count: peers.length, seconds, times, refused };
}

async function joinRooms(url: string, count: number, size: number, progress: Progress): Promise<Figures> {
  const refused: Record<string, number> = {};
  const times: number[] = [];
  const { peers } = await openAll(
    url,
    count,
    3,
    refused,
    (n) => progress(`${n} of ${count} peers have come`),
  );
  const name = `bench-${crypto.randomUUID()}`;
  const begun = performance.now();
  try {
    for (const [i, peer] of peers.entries()) {
      const sent = performance.now();
      const [what, code = "error"] = await ask(peer, ["join", `p${i}`, `${name}-${Math.floor(i / size)}`], [
        "join",
        "error",
      ]);
      if (what === "error") refused[code] = (refused[code] ?? 0) + 1;
      else times.push(performance.now() - sent);
      if (i % 50 === 0) progress(`${i} of ${count} have joined`);
    }
    const seconds = (performance.now() - begun) / 1000;
    return { name: `joins, rooms of ${size}`, count: times.length, seconds, times, refused };
  } finally {
    await closeAll(peers);
  }
}

async function bounce(
  url: string,
  { pairs, bytes, seconds }: { pairs: number; bytes: number; seconds: number },
  progress: Progress,
): Promise<Figures> {
  const refused: Record<string, number> = {};
  const times: number[] = [];
  let count = 0;
  const { peers } = await openAll(
    url,
    2 * pairs,
    2,
    refused,
    (n) => progress(`${n} of ${2 * pairs} peers have come`),
  );
  const name = `bench-${crypto.randomUUID()}`;
  let running = true;
  const timers = new Set<ReturnType<typeof setTimeout>>();
  try {
    for (let i = 0; i + 1 < peers.length; i += 2) {
      const [one, other] = [peers[i]!, peers[i + 1]!];
      const room = `${name}-${i}`;
      await ask(one, ["join", "a", room], ["join"]);
      await ask(other, ["join", "b", room], ["join"]);
      const padding = "x".repeat(Math.max(1, bytes - `["signal","${room}:a","${room}:b",""]`.length));
      const text = (from: string, to: string) => `["signal","${room}:${from}","${room}:${to}","${padding}"]`;
      const [there, back] = [text("a", "b"), text("b", "a")];
      let sent = 0;
      const serve = () => {
        if (!running || one.closed) return;
        sent = performance.now();
        one.socket.send(there);
      };
      // A signal that the server has refused, and nobody has told of it in version 2, is sent again.
      const again = setInterval(() => {
        if (performance.now() - sent < 1000) return;
        refused["no answer in 1 s"] = (refused["no answer in 1 s"] ?? 0) + 1;
        serve();
      }, 500);
      timers.add(again);
      one.onMessage = (text) => {
        if (!text.startsWith('["signal"')) return;
        count += 2;
        times.push((performance.now() - sent) / 2);
        serve();
      };
      other.onMessage = (text) => {
        if (text.startsWith('["signal"') && running && !other.closed) other.socket.send(back);
      };
      serve();
    }
    count = 0;
    times.length = 0;
    const begun = performance.now();
    for (let second = 1; second <= seconds; second++) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      progress(`${second} of ${seconds} s, ${Math.round(count / second)} signals a second`);
    }
    running = false;
    const lasted = (performance.now() - begun) / 1000;
    return { name: `signals of ${bytes} bytes`, count, seconds: lasted, times: [...times], refused };
  } finally {
    running = false;
    for (const timer of timers) clearInterval(timer);
    await closeAll(peers);
  }
}

/** As many as the server lets in. */
async function openAll(
  url: string,
  count: number,
  version: 2 | 3,
  refused: Record<string, number>,
  progress: (open: number) => void,
): Promise<{ peers: Peer[]; times: number[] }> {
  const peers: Peer[] = [];
  const times: number[] = [];
  let next = 0;
  const worker = async () => {
    while (next++ < count) {
      const begun = performance.now();
      try {
        peers.push(await openPeer(url, version));
        times.push(performance.now() - begun);
        if (peers.length % 50 === 0) progress(peers.length);
      } catch (error) {
        const why = /\b(\d{3})\b/.exec((error as Error).message)?.[1] ?? "no connection";
        refused[why] = (refused[why] ?? 0) + 1;
        if (peers.length === 0 && refused[why] > AT_ONCE) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  if (peers.length === 0) throw new Disappointment("the server let nobody in");
  return { peers, times };
}

function openPeer(url: string, version: 2 | 3): Promise<Peer> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, version === 3 ? [VERSION_3] : []);
    const peer: Peer = { socket, onMessage: () => {}, closed: false };
    const timer = setTimeout(() => (socket.close(), reject(new Disappointment("no connection"))), PATIENCE);
    socket.onopen = () => (clearTimeout(timer), resolve(peer));
    socket.onerror = (
      event,
    ) => (clearTimeout(timer), reject(new Disappointment((event as ErrorEvent).message)));
    socket.onclose = () => peer.closed = true;
    socket.onmessage = ({ data }) => peer.onMessage(data);
  });
}

/** The first answer with one of these names. */
async function ask(peer: Peer, call: unknown, names: readonly string[]): Promise<string[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await new Promise<string[]>((resolve, reject) => {
      timer = setTimeout(() => reject(new Disappointment(`no answer to ${JSON.stringify(call)}`)), PATIENCE);
      peer.onMessage = (text) => {
        const message = JSON.parse(text);
        if (names.includes(message[0])) resolve(message);
      };
      peer.socket.send(JSON.stringify(call));
    });
  } finally {
    clearTimeout(timer);
    peer.onMessage = () => {};
  }
}

async function closeAll(peers: readonly Peer[]): Promise<void> {
  await Promise.all(peers.map(({ socket, closed }) =>
    closed ? undefined : new Promise((resolve) => {
      socket.onclose = resolve;
      socket.close();
      // Who does not answer the close frame is not waited for.
      setTimeout(resolve, 2000);
    })
  ));
}

function summary({ name, count, seconds, times, refused }: Figures) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
  return {
    name,
    count,
    perSecond: Math.round(count / seconds),
    medianMs: at(0.5),
    p99Ms: at(0.99),
    refused,
  };
}

function* table(all: readonly Figures[]): Iterable<string> {
  const width = Math.max(...all.map(({ name }) => name.length)) + 2;
  yield `${"".padEnd(width)}${
    ["count", "per second", "median", "99 %"].map((head) => head.padStart(12)).join("")
  }`;
  for (const figures of all) {
    const { name, count, perSecond, medianMs, p99Ms, refused } = summary(figures);
    const ms = (value: number | null) => (value === null ? "" : `${value.toFixed(value < 10 ? 2 : 0)} ms`);
    yield `${name.padEnd(width)}${
      [String(count), String(perSecond), ms(medianMs), ms(p99Ms)].map((cell) => cell.padStart(12)).join("")
    }`;
    const words = Object.entries(refused).map(([code, times]) => `${times} × ${code}`);
    if (words.length > 0) yield `${"".padEnd(width)}refused: ${words.join(", ")}`;
  }
}
