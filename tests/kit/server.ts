/** Servers for tests: in this process, or as a process of their own. */

import { parse } from "../../lib/config/command_line.ts";
import { type Config } from "../../lib/config/options.ts";
import { RedisStore } from "../../lib/rooms/redis.ts";
import { type Server, start } from "../../main.ts";

/** A server in this process, on a free port of the loopback interface; `await using` stops it. */
export interface TestServer extends Server, AsyncDisposable {
  /** `ws://127.0.0.1:PORT` */
  readonly url: string;
  /** `http://127.0.0.1:PORT` */
  readonly httpUrl: string;
  /** Resolves once `/healthz` would show these counts; rejects after five seconds with those that it shows. */
  counts(wanted: { sockets?: number; sleeping?: number; rooms?: number; addresses?: number }): Promise<void>;
}

/** Limits are as in production, but for those of one client: all test clients share an address. */
export function testServer(options: Partial<Config> = {}): TestServer {
  const server = start({
    ...parse([]).config,
    host: "127.0.0.1",
    port: 0,
    maxSocketsPerClient: 10_000,
    busySocketsPerClient: 10_000,
    connectBurst: 100_000,
    ...options,
  }, RedisStore);
  return {
    ...server,
    get stunPorts() {
      return server.stunPorts;
    },
    url: `ws://127.0.0.1:${server.port}`,
    httpUrl: `http://127.0.0.1:${server.port}`,
    async counts(wanted) {
      const reached = () =>
        Object.entries(wanted).every(([name, count]) =>
          server.health()[name as keyof typeof wanted] === count
        );
      const deadline = performance.now() + 5000;
      while (!reached()) {
        if (performance.now() > deadline) {
          throw new Error(
            `expected ${JSON.stringify(wanted)}, but the server says ${JSON.stringify(server.health())}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    [Symbol.asyncDispose]: () => server.drain(),
  };
}

const ROOT = new URL("../../", import.meta.url);

/** Nothing that a server is to say takes that long. */
const PATIENCE_MS = 60_000;

/** The flags with which the server is meant to run: those of `deno task start`. */
export async function startFlags(): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const [deno, run, ...flags] = tasks.start.command.split(" ");
  if (deno !== "deno" || run !== "run" || flags.pop() !== "main.ts") {
    throw new Error("the task 'start' is not a run");
  }
  return flags;
}

/** What a finished program said. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A server as a process of its own; `await using` ends it. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
  /** The port that it listens on; rejects, with what it said, where it ended instead. */
  readonly port: Promise<number>;
  /** Resolves once it has said something that matches, on either output; rejects where it ended before. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** What it has said, and how it ended. */
  readonly output: Promise<Output>;
  kill(signal: Deno.Signal): void;
}

/** Runs `main.ts` with the permissions of `deno task start` and nothing of this process's environment. */
export async function serverProcess(
  args: readonly string[] = [],
  env: Record<string, string> = {},
  flags?: readonly string[],
): Promise<ServerProcess> {
  const inherited = [
    "DENO_DIR",
    "HOME",
    "PATH",
    "NPM_CONFIG_REGISTRY",
    "DENO_TLS_CA_STORE",
    "DENO_CERT",
    "SSL_CERT_FILE",
  ]
    .flatMap((name) => Deno.env.has(name) ? [[name, Deno.env.get(name)!]] : []);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...flags ?? await startFlags(), "main.ts", ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { ...Object.fromEntries(inherited), ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  interface Wait extends PromiseWithResolvers<RegExpExecArray> {
    readonly pattern: RegExp;
  }
  const waits: Wait[] = [];
  const texts = { stdout: "", stderr: "" };
  let ended: Error | undefined;
  const look = (wait: Wait) => {
    const match = wait.pattern.exec(texts.stdout) ?? wait.pattern.exec(texts.stderr);
    if (match) wait.resolve(match);
    else if (ended) wait.reject(ended);
  };
  const said = (pattern: RegExp) => {
    const wait = { pattern, ...Promise.withResolvers<RegExpExecArray>() };
    waits.push(wait);
    look(wait);
    const patience = setTimeout(
      () => wait.reject(new Error(`the server has not said ${pattern}, but: ${texts.stdout}${texts.stderr}`)),
      PATIENCE_MS,
    );
    return wait.promise.finally(() => clearTimeout(patience));
  };
  const port = said(/listens on .*?wss?:\/\/\S+:(\d+)/).then(([, port]) => Number(port));
  // Whoever does not ask for the port does not care that there is none.
  port.catch(() => {});
  const read = async (name: keyof typeof texts) => {
    for await (const text of child[name].pipeThrough(new TextDecoderStream())) {
      texts[name] += text;
      waits.forEach(look);
    }
  };
  const output = (async (): Promise<Output> => {
    const [, , { code }] = await Promise.all([read("stdout"), read("stderr"), child.status]);
    ended = new Error(`the server ended with ${code}: ${texts.stderr}${texts.stdout}`);
    waits.forEach(look);
    return { code, ...texts };
  })();

  return {
    pid: child.pid,
    port,
    said,
    output,
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await output;
    },
  };
}
