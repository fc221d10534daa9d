/** Shows what a rendezvous server is for: real WebRTC peers meet through one and talk to each other directly. */

import { misuse, parseFlags } from "../../lib/config/flags.ts";
import { testServer } from "../kit/server.ts";
import { mesh, type MeshReport } from "./mesh.ts";
import type { Version } from "./peer.ts";

const DEFAULT_PEERS = 3;
const MAX_PEERS = 64;
const MAX_TIMEOUT_SECONDS = 3600;

const HELP = `Real WebRTC peers meet through a rendezvous server and talk to each other.

Usage: deno task demo [OPTION ...]

  --peers NUMBER     how many, from 2 to ${MAX_PEERS}; every pair of them connects [${DEFAULT_PEERS}]
  --url URL          ws:// or wss:// URL of a server; without it, one is started
  --timeout SECONDS  how long it may take [20, and 1 for every ten pairs]
  --v3               speak version 3 of the protocol, and use the ICE servers that the server offers
  --help             show this and exit

Exit status: 0 when every pair has talked, 1 when not, 2 for options that are wrong.`;

const VALUED = ["peers", "url", "timeout"];
const SWITCHES = ["v3", "help"];

/** What the command line asks for. */
interface Options {
  readonly help: boolean;
  readonly peers: number;
  readonly url?: string;
  readonly timeoutSeconds: number;
  readonly version: Version;
}

class UsageError extends Error {}

function readOptions(args: readonly string[]): Options {
  const flags = parseFlags(args, VALUED, SWITCHES);
  const fault = misuse(flags, [...VALUED, ...SWITCHES], "--peers 5");
  if (fault) throw new UsageError(fault);
  const { values, switches } = flags;
  const peers = readNumber("peers", values.peers!.at(-1), 2, MAX_PEERS, /^\d+$/) ?? DEFAULT_PEERS;
  const timeout = readNumber("timeout", values.timeout!.at(-1), 0.1, MAX_TIMEOUT_SECONDS, /^\d+(\.\d+)?$/);
  return {
    help: switches.has("help"),
    peers,
    url: readUrl(values.url!.at(-1)),
    timeoutSeconds: timeout ?? 20 + countPairs(peers) / 10,
    version: switches.has("v3") ? 3 : 2,
  };
}

function readNumber(
  flag: string,
  text: string | undefined,
  min: number,
  max: number,
  form: RegExp,
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!form.test(text) || value < min || value > max) {
    throw new UsageError(`--${flag}: "${text}" is not a number from ${min} to ${max}.`);
  }
  return value;
}

function readUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!URL.canParse(text) || !/^wss?:$/.test(new URL(text).protocol)) {
    throw new UsageError(`--url: "${text}" is not a WebSocket URL, such as ws://localhost:3903.`);
  }
  return text;
}

function countPairs(peers: number): number {
  return peers * (peers - 1) / 2;
}

/** The WebRTC stack dies where it can't open a socket, so what can't work is refused before. */
function checkOpenFiles(peers: number): void {
  const limit = maxOpenFiles();
  const addresses = Deno.networkInterfaces().filter(({ address }) => !address.startsWith("fe80:")).length;
  // As measured: each end of a link listens on all addresses, and has threads that wake each other by pipes.
  const needed = (peers: number) => 200 + 2 * countPairs(peers) * (8 + 3 * addresses);
  if (needed(peers) <= limit) return;
  let most = peers;
  while (most > 2 && needed(most) > limit) most--;
  throw new UsageError(
    `--peers: ${peers} would need about ${needed(peers)} open files, and a process may have ${limit} here ` +
      `(ulimit -n); --peers ${most} will do.`,
  );
}

/** The runtime raises the soft limit to the hard one. Where it can't be read there is none, as far as we know. */
function maxOpenFiles(): number {
  try {
    const limits = Deno.readTextFileSync("/proc/self/limits");
    return Number(/^Max open files +\S+ +(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

function summary({ pairs, carried }: MeshReport): string[] {
  const talked = pairs.filter((pair) => pair.talked).length;
  return [
    "",
    ...pairs.map(({ names, talked, why }) => talked ? `${names} have talked` : `${names} HAVE NOT: ${why}`),
    "",
    "What the server carried for them: " +
    `${carried.offer} × offer, ${carried.answer} × answer, ${carried.candidate} × candidate (an address to try).`,
    `${talked} of ${pairs.length} pairs have talked.`,
  ];
}

/** Resolves with the exit status. */
async function demo(options: Options): Promise<number> {
  const abort = new AbortController();
  const stop = () => {
    // A second signal ends at once.
    Deno.removeSignalListener("SIGINT", stop);
    abort.abort();
  };
  Deno.addSignalListener("SIGINT", stop);

  const server = options.url === undefined ? testServer() : undefined;
  try {
    const url = server?.url ?? options.url!;
    const room = `demo-${crypto.randomUUID().slice(0, 8)}`;
    console.log(server ? `A rendezvous server listens on ${url}` : `The rendezvous server is ${url}`);
    console.log(
      `${options.peers} peers will meet there, in the room ${room}. It introduces them to each other and`,
    );
    console.log(
      "carries their offers and answers; what they say after that goes from peer to peer without it.\n",
    );
    const report = await mesh({
      url,
      room,
      versions: Array.from({ length: options.peers }, () => options.version),
      timeoutMs: options.timeoutSeconds * 1000,
      say: (line) => console.log(line),
      signal: abort.signal,
    });
    if (abort.signal.aborted) {
      console.log("stopped");
      return 130;
    }
    console.log(summary(report).join("\n"));
    return report.pairs.every(({ talked }) => talked) ? 0 : 1;
  } finally {
    await server?.drain();
  }
}

async function main(): Promise<number> {
  try {
    const options = readOptions(Deno.args);
    if (options.help) return console.log(HELP), 0;
    checkOpenFiles(options.peers);
    return await demo(options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`demo: ${error.message} --help shows all options.`);
    return 2;
  }
}

if (import.meta.main) Deno.exit(await main());
