/** The processes of a run: servers, and the one that makes the load. */

import { freePort, quietArguments } from "../kit/coturn.ts";
import { findBinary } from "../kit/parts.ts";
import { redis } from "../kit/redis.ts";
import { startFlags } from "../kit/server.ts";
import { LOAD_CORE, pin, SERVER_CORE } from "./cores.ts";
import { TextLineStream } from "./lines.ts";
import type { Answer, Order } from "./load.ts";
import type { Slice, Target, Task } from "./workloads.ts";

const ROOT = new URL("../../", import.meta.url);

/** All checks are on, but none of these limits is to be reached: one address plays all clients. */
const SIGNAL_OPTIONS = [
  ["--host", "127.0.0.1"],
  ["--port", "0"],
  ["--max-sockets", "100000"],
  ["--max-sockets-per-client", "100000"],
  ["--connect-rate", "1000000"],
  ["--call-rate", "1000000"],
  ["--join-rate", "1000000"],
  ["--max-rooms", "10000000"],
  ["--max-addresses", "10000000"],
  ["--max-rooms-per-client", "10000000"],
  ["--max-addresses-per-client", "10000000"],
  ["--stun-rate", "1000000"],
  ["--stun-burst", "10000000"],
  ["--stun-total-rate", "10000000"],
].flat();

/** What the server is compared with. */
export type Baseline = "echo" | "coturn" | "memory";
export type ServerName = "signal" | "one node" | "two nodes" | Baseline;

/** A server that runs; `await using` ends it. */
export interface RunningServer extends Target, AsyncDisposable {}

function run(flags: readonly string[], script: string, args: readonly string[] = []) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...flags, script, ...args],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

async function end(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
  await child.status;
}

/** Starts a server, those on Deno with the flags of `deno task start`; one that is alone has a core of its own. */
export async function startServer(name: ServerName): Promise<RunningServer> {
  switch (name) {
    case "memory":
      return await startOnDeno(false);
    case "one node":
      return await startCluster(1);
    case "two nodes":
      return await startCluster(2);
  }
  const server = await (name === "coturn" ? startCoturn() : startOnDeno(name === "echo"));
  await pin(server.pid, SERVER_CORE);
  return server;
}

/** Nodes that share their rooms by way of a Redis of their own. */
async function startCluster(count: number): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const engine = stack.use(await redis());
  const [first, ...more] = await Promise.all(
    Array.from({ length: count }, () => startOnDeno(false, ["--engine", engine.url], /shares its rooms/)),
  );
  for (const node of [first!, ...more]) stack.use(node);
  const kept = stack.move();
  return {
    port: first!.port,
    pid: first!.pid,
    echoes: false,
    ...more.length === 0 ? {} : { more: more.map(({ port, pid }) => ({ port, pid })) },
    enginePid: engine.pid,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** @param ready what it says when it can be used, behind the line of where it listens */
async function startOnDeno(
  echoes: boolean,
  options: readonly string[] = [],
  ready?: RegExp,
): Promise<RunningServer> {
  const flags = await startFlags();
  const name = echoes ? "echo" : "signal";
  const child = echoes
    ? run(flags, "tests/bench/echo.ts")
    : run(flags, "main.ts", [...SIGNAL_OPTIONS, ...options]);
  const lines = child.stdout.pipeThrough(new TextLineStream()).getReader();
  const { value: line = "nothing" } = await lines.read();
  const port = /listens on ws:\/\/\S+:(\d+)/.exec(line)?.[1];
  if (port === undefined) {
    await end(child);
    throw new Error(`the server '${name}' said ${line}`);
  }
  for (let line: string | undefined = ""; ready !== undefined && !ready.test(line);) {
    line = (await lines.read()).value;
    if (line === undefined) throw new Error(`the server '${name}' has ended`);
  }
  const drained = (async () => {
    while (!(await lines.read()).done);
  })();
  return {
    port: Number(port),
    pid: child.pid,
    echoes,
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await end(child);
      await drained;
    },
  };
}

/** A coturn that does nothing but STUN. */
async function startCoturn(): Promise<RunningServer> {
  const program = findBinary("turnserver");
  if (program === undefined) throw new Error("coturn is not installed");
  const port = freePort("127.0.0.1");
  const directory = await Deno.makeTempDir();
  const child = new Deno.Command(program, {
    args: [
      ...quietArguments(directory),
      "--stun-only",
      "--listening-ip=127.0.0.1",
      `--listening-port=${port}`,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    port,
    pid: child.pid,
    echoes: false,
    async [Symbol.asyncDispose]() {
      await end(child);
      await Deno.remove(directory, { recursive: true });
    },
  };
}

/** The load process, as seen from here. One order at a time. */
export class Load implements AsyncDisposable {
  readonly #child: Deno.ChildProcess & { readonly stdin: WritableStream<Uint8Array> };
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: ReadableStreamDefaultReader<string>;

  private constructor() {
    this.#child = run(["--no-prompt", "--allow-all"], "tests/bench/load.ts");
    this.#orders = this.#child.stdin.getWriter();
    this.#answers = this.#child.stdout.pipeThrough(new TextLineStream()).getReader();
  }

  static async start(): Promise<Load> {
    const load = new Load();
    await pin(load.#child.pid, LOAD_CORE);
    return load;
  }

  /** Connects what the task needs; the number stands for it in later orders. */
  async prepare(target: Target, task: Task): Promise<number> {
    const { port, pid, echoes, more, enginePid } = target;
    const answer = await this.#ask({
      order: "prepare",
      target: { port, pid, echoes, ...more && { more }, ...enginePid && { enginePid } },
      task,
    });
    return (answer as { rig: number }).rig;
  }

  async slice(rig: number, milliseconds: number): Promise<Slice> {
    return (await this.#ask({ order: "slice", rig, milliseconds }) as { slice: Slice }).slice;
  }

  async close(rig: number): Promise<void> {
    await this.#ask({ order: "close", rig });
  }

  async #ask(order: Order): Promise<Exclude<Answer, { error: string }>> {
    await this.#orders.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
    const { value } = await this.#answers.read();
    if (value === undefined) throw new Error("the load process has ended");
    const answer: Answer = JSON.parse(value);
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close();
    await this.#answers.cancel();
    await this.#child.status;
  }
}
