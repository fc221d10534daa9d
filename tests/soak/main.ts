/**
 * Hundreds of well- and ill-behaved peers for a while, and a look at what that did to others and what is
 * left.
 */

import { misuse, parseFlags } from "../../lib/config/flags.ts";
import type { Health } from "../../lib/http/site.ts";
import { type ServerProcess, serverProcess } from "../kit/server.ts";
import { CONTROL_SOCKETS, type Lap } from "./control.ts";
import { Latencies } from "./latency.ts";
import { pause } from "./lives.ts";
import { Observers } from "./observers.ts";
import { Program } from "./program.ts";
import { countLives, judge, type Latency, mib, type SoakReport, table } from "./report.ts";
import type { StormReport } from "./storm.ts";

const DEFAULT_SECONDS = 60;
const DEFAULT_PEERS = 300;
const MAX_SECONDS = 86_400;
const MIN_PEERS = 50;
const MAX_PEERS = 5000;
const MAX_SEED = 2 ** 32 - 1;

const HELP =
  `Keeps a server busy with peers that come, join, signal, leave, vanish, flood and misbehave, while
pairs of well-behaved ones measure how it serves them. Then looks at what is left.

Usage: deno task soak [OPTION ...]

  --seconds NUMBER   how long the quiet before and the storm take together, from 5 [${DEFAULT_SECONDS}]
  --peers NUMBER     how many are there at a time, from ${MIN_PEERS} to ${MAX_PEERS} [${DEFAULT_PEERS}]
  --seed NUMBER      what the peers do is drawn from this number; the same number, the same plan [random]
  --help             show this and exit

Exit status: 0 when all is as it should be, 1 when not, 2 for options that are wrong.`;

const VALUED = ["seconds", "peers", "seed"];
const SWITCHES = ["help"];

interface Options {
  readonly help: boolean;
  readonly seconds: number;
  readonly peers: number;
  readonly seed: number;
}

class UsageError extends Error {}

/**
 * Small, so that peers that died unnoticed, and what the runtime holds for sockets that are gone, are given
 * up many times in the course of the storm.
 */
const KEEPALIVE_SECONDS = 2;

/**
 * All limits are at their defaults: each place in the storm has a client address of its own, as if all came
 * through one proxy.
 */
const SERVER_OPTIONS = [
  ["--host", "127.0.0.1"],
  ["--port", "0"],
  ["--stun-port", "0"],
  ["--trust-proxy", "127.0.0.1"],
  // Its clients come from everywhere, and ask for localhost.
  ["--public-host", "127.0.0.1"],
  ["--keepalive", String(KEEPALIVE_SECONDS)],
  // Sessions are given up as often.
  ["--resume", String(KEEPALIVE_SECONDS)],
].flat();

const OBSERVERS = 6;

/** Milliseconds in which code gets warm; their latencies don't count. */
const WARM_UP = 1000;
const PROGRESS_INTERVAL = 10_000;
const SAMPLE_INTERVAL = 250;

/** Milliseconds until all traces of the storm must be gone. Peers that died unnoticed take the longest. */
const CLEARING = 30_000;

function readOptions(args: readonly string[]): Options {
  const flags = parseFlags(args, VALUED, SWITCHES);
  const fault = misuse(flags, [...VALUED, ...SWITCHES], "--peers 50");
  if (fault) throw new UsageError(fault);
  const { values, switches } = flags;
  const number = (flag: string, least: number, most: number): number | undefined => {
    const text = values[flag]!.at(-1);
    if (text === undefined) return undefined;
    if (!/^\d+$/.test(text) || Number(text) < least || Number(text) > most) {
      throw new UsageError(`--${flag}: "${text}" is not a whole number from ${least} to ${most}.`);
    }
    return Number(text);
  };
  return {
    help: switches.has("help"),
    seconds: number("seconds", 5, MAX_SECONDS) ?? DEFAULT_SECONDS,
    peers: number("peers", MIN_PEERS, MAX_PEERS) ?? DEFAULT_PEERS,
    seed: number("seed", 0, MAX_SEED) ?? crypto.getRandomValues(new Uint32Array(1))[0]!,
  };
}

/** The laps of the control pairs, added up. */
class Laps {
  readonly ended: string[] = [];
  sent = 0;
  answered = 0;
  disordered = 0;
  readonly #control: Program<Lap>;

  constructor(control: Program<Lap>) {
    this.#control = control;
  }

  /** Ends a lap; what it took goes into all of these. */
  async end(order: "lap" | "finish", ...into: Latencies[]): Promise<void> {
    const { sent, answered, disordered, latencies, ended } = await this.#control.ask(order);
    this.sent += sent;
    this.answered += answered;
    this.disordered += disordered;
    this.ended.push(...ended);
    for (const all of into) all.addAll(latencies);
  }
}

/** Looks after the server from outside. */
class Watch {
  readonly #pid: number;
  readonly #port: number;

  constructor(pid: number, port: number) {
    this.#pid = pid;
    this.#port = port;
  }

  async health(): Promise<Health> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/healthz`, {
      signal: AbortSignal.timeout(PROGRESS_INTERVAL),
    });
    return await response.json();
  }

  /**
   * Waits until the server holds no more than that, as long as it may take; resolves with what it then holds.
   */
  async settled(sockets: number): Promise<Health> {
    const deadline = performance.now() + CLEARING;
    for (;;) {
      const health = await this.health();
      const { clients, sleeping, addresses } = health;
      if (health.sockets <= sockets && addresses <= sockets && clients <= sockets && sleeping === 0) {
        return health;
      }
      if (performance.now() > deadline) return health;
      await pause(50);
    }
  }

  /** Resident KiB; undefined where the system does not tell. */
  memory(): number | undefined {
    try {
      const status = Deno.readTextFileSync(`/proc/${this.#pid}/status`);
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return undefined;
    }
  }
}

function summarise(latencies: Latencies): Latency {
  return {
    count: latencies.count,
    median: latencies.quantile(0.5),
    p99: latencies.quantile(0.99),
    longest: latencies.quantile(1),
  };
}

/**
 * Runs the storm; resolves with what it did, and with the most memory that the server had in its middle
 * third.
 */
async function storm(
  { peers, seed }: Options,
  milliseconds: number,
  { port, watch, laps, latencies }: { port: number; watch: Watch; laps: Laps; latencies: Latencies },
): Promise<{ lives: StormReport; middle: number }> {
  await using program = new Program<StormReport>("tests/soak/storm.ts", port, peers, seed);
  const begin = performance.now();
  const elapsed = () => performance.now() - begin;
  let middle = 0;
  const sampling = setInterval(() => {
    const part = elapsed() / milliseconds * 3;
    if (part >= 1 && part < 2) middle = Math.max(middle, watch.memory() ?? 0);
  }, SAMPLE_INTERVAL);
  try {
    while (elapsed() < milliseconds) {
      await pause(Math.min(PROGRESS_INTERVAL, milliseconds - elapsed()));
      const recent = new Latencies();
      await laps.end("lap", recent, latencies);
      const { sockets, rooms, addresses } = await watch.health();
      const memory = watch.memory();
      console.log(
        `${(elapsed() / 1000).toFixed(0).padStart(6)} s: ${sockets} sockets, ${rooms} rooms, ` +
          `${addresses} addresses; ${countLives(await program.ask("report"))} lives so far; ` +
          `control pairs: p99 ${recent.quantile(0.99).toFixed(1)} ms` +
          (memory === undefined ? "" : `; memory: ${mib(memory)}`),
      );
    }
    return { lives: await program.ask("stop"), middle };
  } finally {
    clearInterval(sampling);
  }
}

async function soak(options: Options, server: ServerProcess): Promise<SoakReport> {
  const port = await server.port;
  const watch = new Watch(server.pid, port);
  await using control = new Program<Lap>("tests/soak/control.ts", port);
  const laps = new Laps(control);
  const observers = await Observers.open(`ws://127.0.0.1:${port}`, OBSERVERS);
  const residents = CONTROL_SOCKETS + OBSERVERS;

  await laps.end("lap");
  await pause(WARM_UP);
  await laps.end("lap");

  const quietMs = Math.min(20, Math.max(2, options.seconds / 5)) * 1000;
  console.log(`Quiet, for ${(quietMs / 1000).toFixed(0)} s: nobody but control pairs and observers.`);
  const quiet = new Latencies();
  await pause(quietMs);
  await laps.end("lap", quiet);

  const stormMs = options.seconds * 1000 - quietMs;
  console.log(`Storm, for ${(stormMs / 1000).toFixed(0)} s: ${options.peers} peers more.`);
  const latencies = new Latencies();
  const { lives, middle } = await storm(options, stormMs, { port, watch, laps, latencies });

  console.log("All peers of the storm are gone; waiting until the server has noticed.");
  await watch.settled(residents);
  // What observers are told last may still be on its way to them.
  const deadline = performance.now() + CLEARING;
  while (observers.logbooks.some(({ present }) => present.size > 0) && performance.now() < deadline) {
    await pause(50);
  }
  // The runtime holds what belongs to a vanished socket until its keepalive timer has run out.
  await pause(2 * KEEPALIVE_SECONDS * 1000 + WARM_UP);
  const end = watch.memory();
  await observers.close();
  await laps.end("finish");
  const { sockets, rooms, addresses, clients, sleeping } = await watch.settled(0);
  server.kill("SIGTERM");
  const { code, stderr } = await server.output;

  const { logbooks, ended } = observers;
  return {
    peers: options.peers,
    quiet: summarise(quiet),
    storm: summarise(latencies),
    control: laps,
    lives,
    observers: {
      ended,
      arrivals: logbooks.map(({ arrivals }) => arrivals),
      present: logbooks.flatMap(({ present }) => [...present]),
      faults: logbooks.flatMap(({ faults }) => faults),
      reasons: Object.fromEntries(logbooks[0]!.reasons),
    },
    memory: end === undefined ? undefined : { middle, end },
    left: { sockets, rooms, addresses, clients, sleeping },
    server: { code, stderr },
  };
}

/** Resolves with the exit status. */
async function main(): Promise<number> {
  let options: Options;
  try {
    options = readOptions(Deno.args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`soak: ${error.message}`);
    return 2;
  }
  if (options.help) return console.log(HELP), 0;

  const { seconds, peers, seed } = options;
  console.log(
    `A soak of ${seconds} s with ${peers} peers; the same plan again: --peers ${peers} --seed ${seed}`,
  );
  await using server = await serverProcess(SERVER_OPTIONS);
  let report: SoakReport;
  try {
    report = await soak(options, server);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    const { stderr } = await server.output;
    console.error(`soak: it could not be brought to its end: ${(error as Error).message}\n${stderr}`);
    return 1;
  }
  const verdicts = judge(report);
  const { quiet, storm } = report;
  const latency = (name: string, { count, median, p99, longest }: Latency) =>
    `  ${name.padEnd(8)}${count} signals there and back: median ${median.toFixed(2)} ms, ` +
    `p99 ${p99.toFixed(2)} ms, longest ${longest.toFixed(1)} ms`;
  console.log([
    "",
    ...table(report.lives),
    "",
    latency("quiet", quiet),
    latency("storm", storm),
    "",
    ...verdicts.map(({ ok, text }) => `  ${ok ? "ok " : "BAD"}  ${text}`),
    "",
    verdicts.every(({ ok }) => ok) ? "All is as it should be." : "Something is not as it should be: see BAD.",
  ].join("\n"));
  return verdicts.every(({ ok }) => ok) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
