/**
 * `deno task bench:peers`: the same work for our server, a bare echo on the same runtime, and servers of others from
 * npm. Each has one core, the load another; rounds go from one to the next. The packages go into a folder of their own,
 * and with it at the end.
 *
 * Usage: deno task bench:peers [--quick] [--write]; with `--write` the table and the chart beside it are written anew.
 */

import { parseFlags } from "../../../lib/config/flags.ts";
import { freeTcpPort } from "../../kit/redis.ts";
import { clientFrame, Peer } from "../peer.ts";
import { ident, room } from "../messages.ts";
import { median, quantile, shuffled } from "../statistics.ts";
import { cpuMicros, memoryKiB } from "../usage.ts";
import { LOAD_CORE, pin } from "../cores.ts";
import { type Dialect, DIALECTS, type Running } from "./dialects.ts";
import { chart, table } from "./report.ts";

const PACKAGES = ["peer@1.0.2", "y-webrtc@10.3.0", "ws@8.23.0"];

/** What is measured, by row; a value that a server has none of is missing. */
export interface Measures {
  signals?: number;
  p50?: number;
  p99?: number;
  cpu?: number;
  inTurn?: number;
  inTurnCpu?: number;
  handshakes?: number;
  joins?: number;
  idle?: number;
}

interface Effort {
  readonly rounds: number;
  readonly slice: number;
  readonly idle: number;
  readonly handshakes: number;
}

const USUAL: Effort = { rounds: 5, slice: 2000, idle: 5000, handshakes: 2000 };
const QUICK: Effort = { rounds: 1, slice: 400, idle: 500, handshakes: 200 };
const PAIRS = 100;
const BYTES = 1024;
const IN_TURN = 16;
const JOIN_ROOM = 64;
const JOIN_SOCKETS = 128;
/** For a signal and what may stand around it. */
const BUFFER = 8192;
const AT_ONCE = 32;

/** One on each way: who sends, and which frames come of it where. */
interface Lane {
  readonly from: Peer;
  readonly to: Peer;
  readonly frame: Uint8Array;
  readonly received: number;
  readonly echoed?: number;
}

/** `first`: the number of the first of them. */
function connectAll({ path }: Dialect, { port }: Running, count: number, first = 0): Promise<Peer[]> {
  return Peer.connectMany(port, count, BUFFER, path && ((number) => path(first + number)));
}

/** Idents are not used twice: some servers keep them for a while. */
let numbers = 0;
const fresh = (count: number) => (numbers += count) - count;

async function signals(dialect: Dialect, server: Running, slice: number): Promise<Measures> {
  const base = fresh(2 * PAIRS);
  const peers = await connectAll(dialect, server, 2 * PAIRS, base);
  for (const [i, peer] of peers.entries()) await dialect.enter(peer, base + i, base + (i >> 1), 2);
  const lanes = peers.map((from, i): Lane => {
    const { sent, received, echoed } = dialect.signal(base + i, base + (i ^ 1), base + (i >> 1), BYTES)!;
    return { from, to: peers[i ^ 1]!, frame: clientFrame(sent), received, echoed };
  });
  // What they were told on their way in.
  await drain(dialect, peers);
  // Where both ends hear all, one at a time reads from them.
  const shared = lanes.some(({ received, echoed }) => received > 0 && echoed !== undefined);
  const rows = shared
    ? Array.from({ length: PAIRS }, (_, pair) => lanes.slice(2 * pair, 2 * pair + 2))
    : lanes.map((lane) => [lane]);
  const { count, latencies, cpu } = await bounce(server, rows, slice, shared ? 2 : 1);
  for (const peer of peers) peer.drop();
  return {
    signals: count / (slice / 1000),
    cpu,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  };
}

/** Rooms of 16 and one: each sends to all others in turn. */
async function inTurn(dialect: Dialect, server: Running, slice: number): Promise<Measures> {
  const size = IN_TURN + 1;
  const rooms = 8;
  const base = fresh(size * rooms);
  if (dialect.name === "y-webrtc server") return {};
  const peers = await connectAll(dialect, server, size * rooms, base);
  for (const [i, peer] of peers.entries()) {
    await dialect.enter(peer, base + i, base + Math.floor(i / size), size);
  }
  await drain(dialect, peers);
  // One of each room sends, so that each receiver knows what is to come.
  const lanes = Array.from(
    { length: rooms },
    (_, number) =>
      Array.from({ length: IN_TURN }, (_, other): Lane => {
        const [from, to] = [number * size, number * size + 1 + other];
        const { sent, received, echoed } = dialect.signal(base + from, base + to, base + number, BYTES)!;
        return { from: peers[from]!, to: peers[to]!, frame: clientFrame(sent), received, echoed };
      }),
  );
  const { count, cpu } = await bounce(server, lanes, slice, IN_TURN);
  for (const peer of peers) peer.drop();
  return { inTurn: count / (slice / 1000), inTurnCpu: cpu };
}

/** Takes what is there, and what comes in a moment. */
async function drain(dialect: Dialect, peers: readonly Peer[]): Promise<void> {
  if (!dialect.introduces) return;
  for (const peer of peers) {
    await peer.say('["ping"]');
    while (await peer.text() !== '["pong"]');
  }
}

/**
 * Each row of lanes is gone through in turn, over and over; so many of a row are under way at a time.
 */
async function bounce(
  server: Running,
  rows: readonly (readonly Lane[])[],
  slice: number,
  under = 1,
): Promise<{ count: number; latencies: number[]; cpu: number | undefined }> {
  let count = 0;
  const latencies: number[] = [];
  const before = cpuMicros(server.pid);
  const deadline = performance.now() + slice;
  await Promise.all(rows.map(async (lanes) => {
    for (let at = 0; performance.now() < deadline;) {
      const batch = Array.from({ length: under }, () => lanes[at++ % lanes.length]!);
      const sent = performance.now();
      for (const { from, frame } of batch) await from.send(frame);
      for (const { from, to, received, echoed } of batch) {
        if (received > 0) await take(to, received);
        if (echoed !== undefined) await take(from, echoed);
        latencies.push(performance.now() - sent);
        count++;
      }
    }
  }));
  const after = cpuMicros(server.pid);
  return {
    count,
    latencies,
    cpu: before === undefined || after === undefined ? undefined : (after - before) / count,
  };
}

async function take(peer: Peer, length: number): Promise<void> {
  let payload: Uint8Array | undefined;
  while ((payload = peer.take()) === undefined) await peer.fill();
  if (payload.length !== length) {
    throw new Error(`a message of ${payload.length} bytes came, and not of ${length}`);
  }
}

async function handshakes(dialect: Dialect, server: Running, count: number): Promise<Measures> {
  const base = fresh(count);
  const begun = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) {
      const number = base + next++;
      const peer = await Peer.connect(server.port, BUFFER, dialect.path?.(number));
      if (dialect.path) await dialect.enter(peer, 0, 0, 1);
      peer.drop();
    }
  }));
  return { handshakes: count / ((performance.now() - begun) / 1000) };
}

async function joins(dialect: Dialect, server: Running, slice: number): Promise<Measures> {
  if (!dialect.introduces) return {};
  const peers = await connectAll(dialect, server, JOIN_SOCKETS);
  const groups = [peers.slice(0, JOIN_ROOM), peers.slice(JOIN_ROOM)];
  let count = 0;
  const begun = performance.now();
  await Promise.all(groups.map(async (group) => {
    while (performance.now() - begun < slice) {
      const name = room(fresh(1));
      await Promise.all(group.map(async (peer, i) => {
        await peer.say(JSON.stringify(["join", ident(i), name]));
        // Its own answer, and one for each of the others.
        for (let came = 0; came < JOIN_ROOM; came++) await peer.text();
      }));
      count += group.length;
    }
  }));
  const seconds = (performance.now() - begun) / 1000;
  for (const peer of peers) peer.drop();
  return { joins: count / seconds };
}

async function idle(dialect: Dialect, server: Running, count: number): Promise<Measures> {
  const before = memoryKiB(server.pid);
  const peers = await connectAll(dialect, server, count, fresh(count));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = memoryKiB(server.pid);
  for (const peer of peers) peer.drop();
  return before === undefined || after === undefined ? {} : { idle: (after - before) / count };
}

async function install(directory: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("npm", {
    args: ["install", "--silent", "--no-audit", "--no-fund", ...PACKAGES],
    cwd: directory,
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(`npm could not install ${PACKAGES.join(", ")}: ${new TextDecoder().decode(stderr)}`);
  }
  await Deno.copyFile(new URL("relay.mjs.txt", import.meta.url), `${directory}/relay.mjs`);
}

async function main(): Promise<void> {
  const flags = parseFlags(Deno.args, [], ["quick", "write", "help"]);
  if (flags.switches.has("help") || flags.unknown.length > 0 || flags.words.length > 0) {
    console.log("Usage: deno task bench:peers [--quick] [--write]");
    return;
  }
  const effort = flags.switches.has("quick") ? QUICK : USUAL;
  const directory = await Deno.makeTempDir({ prefix: "signal-peers-" });
  const all = new Map<string, Measures[]>(DIALECTS.map(({ name }) => [name, []]));
  const progress = (text: string) => console.error(text);
  try {
    progress(`installing ${PACKAGES.join(", ")}`);
    await install(directory);
    await pin(Deno.pid, LOAD_CORE);
    for (let round = 1; round <= effort.rounds; round++) {
      for (const dialect of shuffled(DIALECTS)) {
        const begun = performance.now();
        await using server = await dialect.start(directory, freeTcpPort());
        // Once to get warm.
        await signals(dialect, server, effort.slice / 2);
        const measured = {
          ...await signals(dialect, server, effort.slice),
          ...await inTurn(dialect, server, effort.slice),
          ...await handshakes(dialect, server, effort.handshakes),
          ...await joins(dialect, server, effort.slice),
        };
        await using fresh = await dialect.start(directory, freeTcpPort());
        Object.assign(measured, await idle(dialect, fresh, effort.idle));
        all.get(dialect.name)!.push(measured);
        progress(
          `round ${round} of ${effort.rounds}, ${dialect.name}: ${
            Math.round(measured.signals ?? 0)
          } signals a second, ` +
            `${((performance.now() - begun) / 1000).toFixed(0)} s`,
        );
      }
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  const lines = table(all);
  console.log(lines);
  const medians = (key: keyof Measures) =>
    new Map([...all].map(([name, rounds]) => [name, median(rounds.map((round) => round[key] ?? NaN))]));
  const rates = medians("signals");
  for (
    const [key, what] of [["signals", "signals per second"], [
      "cpu",
      "signals per second of the server's CPU",
    ]] as const
  ) {
    const [ours, others] = [
      medians(key).get("signal")!,
      [...medians(key)].filter(([name]) => !/^(signal|echo)/.test(name)),
    ];
    const values = others.map(([, value]) => value);
    const ratio = key === "cpu" ? Math.min(...values) / ours : ours / Math.max(...values);
    console.log(`\n${ratio.toFixed(2)} times the ${what} of the best of the others`);
  }
  if (!flags.switches.has("write")) return;
  const readme = new URL("../README.md", import.meta.url);
  const text = await Deno.readTextFile(readme);
  const marked = /(<!-- peers -->\n)[^]*?(<!-- end -->)/;
  if (!marked.test(text)) throw new Error("the figures have no place in README.md");
  await Deno.writeTextFile(readme, text.replace(marked, `$1\n${lines}\n\n$2`));
  await Deno.writeTextFile(new URL("../peers.svg", import.meta.url), chart(rates));
}

if (import.meta.main) {
  await main();
  Deno.exit(0);
}
