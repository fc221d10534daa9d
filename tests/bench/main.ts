/**
 * `deno task bench`: what the server can do, beside the bare echo server on the same runtime.
 *
 * The machine may be busy with other things, and one slice of time differs from the next by a fifth. So both
 * servers stay up and take turns in short slices, in random order; each slice is compared with the other server's of
 * the same round, and the median of these ratios is the result. How well the compiler did in one process stays with
 * that process, so the rounds are spread over several fresh pairs of them.
 */

import { parseFlags } from "../../lib/config/flags.ts";
import { type Baseline, Load, type RunningServer, type ServerName, startServer } from "./processes.ts";
import {
  type Bar,
  describeBar,
  describeMachine,
  isMet,
  markdownTable,
  plainTable,
  type Row,
} from "./report.ts";
import { hasBinary } from "../kit/parts.ts";
import { median, shuffled, sum } from "./statistics.ts";
import { maxOpenFiles, memoryKiB } from "./usage.ts";
import type { Slice, Task } from "./workloads.ts";

/** How much is measured. */
interface Effort {
  /** Fresh processes of each server, one after the other, over which the rounds are spread. */
  readonly processes: number;
  /** Rounds that count, for each pair of processes. */
  readonly rounds: number;
  /** Rounds before those, in which the code gets warm. */
  readonly warmUp: number;
}

/** Short, so that what else happens on the machine falls on both slices of a round alike. */
const SLICE_MS = 150;
const LITTLE: Effort = { processes: 1, rounds: 8, warmUp: 4 };
const MUCH: Effort = { processes: 2, rounds: 12, warmUp: 4 };
/** For the figure that is judged. */
const MOST: Effort = { processes: 5, rounds: 30, warmUp: 6 };

const PAIRS = 100;
const JOIN_SOCKETS = 128;
const STUN_CLIENTS = 64;
const ROOM_SIZES = [2, 16, 64];
const IDLE_SOCKETS = { quick: 1000, full: 5000 };
const IDLE_PROCESSES = { quick: 1, full: 5 };

const MOST_CPU = 1.18;
const MOST_MEMORY = 1.10;
/** Of what one server takes for a signal; and the engine's, in microseconds. */
const MOST_CLUSTER_CPU = { "one node": 1.05, "two nodes": 2.6 };
const MOST_ENGINE_CPU = { "one node": 0.1, "two nodes": 3 };

/** The two ways to sum up a ratio are both told when they differ by more than this. */
const NOTEWORTHY = 0.05;

/** Runnable threads on average: with more of them than that before it begins, a run is not to be trusted. */
const QUIET_LOAD = 0.5;

/** What a measurement adds to the report. */
interface Findings {
  /** What the rows compare with; the echo, where it is not said. */
  readonly baseline?: Baseline;
  readonly rows: readonly Row[];
  readonly bars?: readonly Bar[];
  readonly notes?: readonly string[];
}

/** The two that are compared. */
const SIDES = ["signal", "baseline"] as const;

/** The slices of both servers; those with the same index are of one round. */
type Rounds = Readonly<Record<typeof SIDES[number], Slice[]>>;

/** The slices of several servers that take turns; those with the same index are of one round. */
async function takeTurns<N extends ServerName>(
  load: Load,
  task: Task,
  { processes, rounds, warmUp }: Effort,
  names: readonly N[],
): Promise<Record<N, Slice[]>> {
  const slices = Object.fromEntries(names.map((name) => [name, [] as Slice[]])) as Record<N, Slice[]>;
  for (let process = 0; process < processes; process++) {
    await using stack = new AsyncDisposableStack();
    const rigs = new Map<N, number>();
    for (const name of names) {
      rigs.set(name, await load.prepare(stack.use(await startServer(name)), task));
    }
    for (let round = -warmUp; round < rounds; round++) {
      for (const name of shuffled(names)) {
        const slice = await load.slice(rigs.get(name)!, SLICE_MS);
        if (round >= 0) slices[name].push(slice);
      }
    }
    for (const rig of rigs.values()) await load.close(rig);
  }
  return slices;
}

async function compare(load: Load, task: Task, effort: Effort, other: Baseline = "echo"): Promise<Rounds> {
  const slices = await takeTurns(load, task, effort, ["signal", other]);
  return { signal: slices.signal, baseline: slices[other] };
}

/** A row, from a figure of each slice; undefined where the figure is not known here. */
function row(what: string, decimals: number, rounds: Rounds, figure: (slice: Slice) => number | undefined) {
  const [signal, baseline] = SIDES.map((side) => known(rounds[side].map(figure)));
  if (!signal || !baseline) return undefined;
  const ratios = signal.map((value, round) => value / baseline[round]!);
  return { what, decimals, signal: median(signal), baseline: median(baseline), ratios };
}

/** The values, or undefined where one of them is not known. */
function known(values: readonly (number | undefined)[]): readonly number[] | undefined {
  return values.every((value) => value !== undefined) ? values : undefined;
}

function rate({ done, seconds }: Slice): number {
  return done / seconds;
}

function serverCpu({ done, serverMicros }: Slice): number | undefined {
  return serverMicros === undefined ? undefined : serverMicros / done;
}

const UNKNOWN_CPU = "This system does not tell the CPU time of a process: the bar is not judged.";
const UNKNOWN_MEMORY = "This system does not tell the memory of a process: the bar is not judged.";

async function handshakes(load: Load, quick: boolean): Promise<Findings> {
  const rounds = await compare(load, { kind: "handshakes", atOnce: 16 }, quick ? LITTLE : MUCH);
  return { rows: [row("handshakes per second", 0, rounds, rate)!] };
}

async function joins(load: Load, quick: boolean): Promise<Findings> {
  const rows: Row[] = [];
  for (const roomSize of ROOM_SIZES) {
    const task: Task = { kind: "joins", roomSize, sockets: JOIN_SOCKETS };
    const rounds = await compare(load, task, quick ? LITTLE : MUCH);
    rows.push(row(`joins per second, rooms of ${roomSize}`, 0, rounds, rate)!);
  }
  return { rows };
}

async function relay(load: Load, quick: boolean): Promise<Findings> {
  const rows: Row[] = [];
  const bars: Bar[] = [];
  const notes: string[] = [];
  for (
    const { bytes, addresses, what, effort } of [
      {
        bytes: 1024,
        addresses: 1,
        what: "signals of 1 KiB",
        effort: quick ? { ...LITTLE, rounds: 20 } : MOST,
      },
      // To 16 addresses of the other, of 3200 in all: what a signal needs is not in the processor's cache.
      { bytes: 1024, addresses: 16, what: "the same, to 16 peers in turn", effort: quick ? LITTLE : MOST },
      { bytes: 200, addresses: 1, what: "signals of 200 bytes", effort: quick ? LITTLE : MUCH },
    ]
  ) {
    const rounds = await compare(load, { kind: "signals", pairs: PAIRS, bytes, addresses }, effort);
    const cpu = row(`  server CPU, µs per signal`, 2, rounds, serverCpu);
    rows.push(
      row(`${what}, per second`, 0, rounds, rate)!,
      row(`  latency p50, ms`, 2, rounds, ({ p50 }) => p50)!,
      row(`  latency p99, ms`, 2, rounds, ({ p99 }) => p99)!,
      ...cpu ? [cpu] : [],
    );
    if (bytes !== 1024) continue;
    if (!cpu) {
      if (addresses === 1) notes.push(UNKNOWN_CPU);
      continue;
    }
    const inTurn = addresses === 1 ? "" : " to 16 peers in turn";
    bars.push({ what: `relaying a signal of 1 KiB${inTurn}`, most: MOST_CPU, ratios: cpu.ratios });
    if (addresses !== 1) continue;
    const [signal, echo] = SIDES.map((side) =>
      sum(rounds[side].map(({ serverMicros }) => serverMicros!)) / sum(rounds[side].map(({ done }) => done))
    );
    const ofSums = signal! / echo!;
    if (Math.abs(ofSums - median(cpu.ratios)) > NOTEWORTHY) {
      notes.push(`CPU per signal of 1 KiB, ratio of the sums over all rounds: ${ofSums.toFixed(2)}.`);
    }
    const [bySignal, byEcho] = SIDES.map((side) =>
      median(rounds[side].map(({ loadMicros, seconds }) => loadMicros! / seconds / 1e6)).toFixed(2)
    );
    notes.push(`The load process used ${bySignal} of a core with signal and ${byEcho} with the echo.`);
  }
  return { rows, bars, notes };
}

async function idle(load: Load, quick: boolean): Promise<Findings> {
  const sockets = quick ? IDLE_SOCKETS.quick : IDLE_SOCKETS.full;
  requireOpenFiles(sockets);
  const servers = ["signal", "echo"] as const;
  const perSocket: Record<typeof servers[number], (number | undefined)[]> = { signal: [], echo: [] };
  for (let process = 0; process < (quick ? IDLE_PROCESSES.quick : IDLE_PROCESSES.full); process++) {
    for (const name of shuffled(servers)) {
      await using server = await startServer(name);
      perSocket[name].push(await idleMemory(load, server, sockets));
    }
  }
  const [signal, echo] = servers.map((name) => known(perSocket[name]));
  if (!signal || !echo) return { rows: [], notes: [UNKNOWN_MEMORY] };
  const ratios = signal.map((value, process) => value / echo[process]!);
  const what = `KiB per idle socket, of ${sockets}`;
  return {
    rows: [{ what, decimals: 1, signal: median(signal), baseline: median(echo), ratios }],
    bars: [{ what: "an idle socket's memory", most: MOST_MEMORY, ratios }],
  };
}

/** KiB for each of so many sockets that are opened and then left alone. */
async function idleMemory(load: Load, server: RunningServer, sockets: number): Promise<number | undefined> {
  // What the first sockets bring in, code above all, is not the price of one more.
  const first = await load.prepare(server, { kind: "idle", sockets: 100 });
  const before = await settledMemory(server.pid);
  const rig = await load.prepare(server, { kind: "idle", sockets });
  const after = await settledMemory(server.pid);
  // They must all be there still.
  for (const opened of [rig, first]) {
    await load.slice(opened, 0);
    await load.close(opened);
  }
  return before === undefined || after === undefined ? undefined : (after - before) / sockets;
}

const SETTLE_POLL_MS = 250;
const SETTLE_POLLS = 4;
const MOST_POLLS = 20;

/** KiB of a process, once they stay the same for a second. */
async function settledMemory(pid: number): Promise<number | undefined> {
  let last = memoryKiB(pid);
  for (let polls = 0, same = 0; polls < MOST_POLLS && same < SETTLE_POLLS; polls++) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    const memory = memoryKiB(pid);
    same = memory === last ? same + 1 : 0;
    last = memory;
  }
  return last;
}

/** Throws where neither server nor load could have so many sockets. */
function requireOpenFiles(sockets: number): void {
  const needed = sockets + 200;
  const limit = maxOpenFiles();
  if (limit === undefined || limit >= needed) return;
  throw new Error(
    `${sockets} sockets need ${needed} open files in each process, but the limit is ${limit}; ` +
      `raise it with 'ulimit -n ${needed}'`,
  );
}

async function stun(load: Load, quick: boolean): Promise<Findings> {
  if (!hasBinary("turnserver")) return { rows: [], notes: ["STUN was left out: coturn is not installed."] };
  const task: Task = { kind: "answers", clients: STUN_CLIENTS };
  const rounds = await compare(load, task, quick ? LITTLE : MUCH, "coturn");
  const cpu = row("  server CPU, µs per answer", 2, rounds, serverCpu);
  return {
    baseline: "coturn",
    rows: [
      row("STUN answers per second", 0, rounds, rate)!,
      row("  latency p50, ms", 2, rounds, ({ p50 }) => p50)!,
      row("  latency p99, ms", 2, rounds, ({ p99 }) => p99)!,
      ...cpu ? [cpu] : [],
    ],
  };
}

/** Several nodes that share their rooms, beside a server that keeps them in its memory. */
async function cluster(load: Load, quick: boolean): Promise<Findings> {
  if (!hasBinary("redis-server")) {
    return { rows: [], notes: ["Several nodes were left out: no redis-server."] };
  }
  const effort = quick ? LITTLE : MUCH;
  const names = ["memory", "one node", "two nodes"] as const;
  const rows: Row[] = [];
  const bars: Bar[] = [];
  const notes: string[] = [];
  const engineCpu = (slices: readonly Slice[]) =>
    known(
      slices.map(({ done, engineMicros }) => engineMicros === undefined ? undefined : engineMicros / done),
    );
  const measure = async (task: Task, what: string) => {
    const slices = await takeTurns(load, task, effort, names);
    for (const name of ["one node", "two nodes"] as const) {
      const rounds = { signal: slices[name], baseline: slices.memory };
      rows.push(row(`${what}, ${name}, per second`, 0, rounds, rate)!);
      const cpu = row("  servers' CPU, µs of each", 2, rounds, serverCpu);
      const engine = engineCpu(slices[name]);
      if (!cpu || !engine) continue;
      rows.push(cpu);
      notes.push(`${what}, ${name}: ${median(engine).toFixed(2)} µs of the engine's CPU for each.`);
      if (task.kind !== "signals") continue;
      bars.push(
        { what: `a signal, ${name},`, of: "one server", most: MOST_CLUSTER_CPU[name], ratios: cpu.ratios },
        { what: `a signal, ${name},`, unit: "µs of the engine", most: MOST_ENGINE_CPU[name], ratios: engine },
      );
    }
  };
  await measure({ kind: "signals", pairs: PAIRS, bytes: 1024, addresses: 1 }, "signals of 1 KiB");
  for (const roomSize of ROOM_SIZES) {
    await measure({ kind: "joins", roomSize, sockets: JOIN_SOCKETS }, `joins in rooms of ${roomSize}`);
  }
  return { baseline: "memory", rows, bars, notes };
}

const MEASUREMENTS = { handshakes, joins, relay, idle, stun, cluster };
const NAMES = Object.keys(MEASUREMENTS) as (keyof typeof MEASUREMENTS)[];

const USAGE = `Usage: deno task bench [--quick] [--only ${NAMES.join("|")}] [--markdown]`;

/** Resolves with the exit status: 0, 1 where a bar is missed, 2 where the options are wrong. */
async function main(): Promise<number> {
  const { values, switches, unknown, words } = parseFlags(Deno.args, ["only"], ["quick", "markdown"]);
  const only = values.only;
  if (
    unknown.length > 0 || words.length > 0 || !only!.every((name) => NAMES.some((known) => known === name))
  ) {
    console.error(USAGE);
    return 2;
  }
  const quick = switches.has("quick");
  const found: Findings[] = [];
  const [load] = Deno.loadavg();
  if (load! > QUIET_LOAD) {
    const note = `The machine was busy when this began (load average ${
      load!.toFixed(1)
    }): ratios spread, and rise.`;
    found.push({ rows: [], notes: [note] });
  }
  {
    await using load = await Load.start();
    for (const name of NAMES) {
      if (only!.length === 0 || only!.includes(name)) found.push(await MEASUREMENTS[name](load, quick));
    }
  }
  const bars = found.flatMap(({ bars }) => bars ?? []);
  const notes = found.flatMap(({ notes }) => notes ?? []);
  console.log(describeMachine());
  for (const other of ["echo", "coturn", "memory"] as const) {
    const rows = found.flatMap(({ rows, baseline = "echo" }) => baseline === other ? rows : []);
    if (rows.length === 0) continue;
    console.log(`\n${switches.has("markdown") ? markdownTable(rows, other) : plainTable(rows, other)}`);
  }
  if (bars.length + notes.length > 0) console.log(["", ...bars.map(describeBar), ...notes].join("\n"));
  return quick || bars.every(isMet) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
