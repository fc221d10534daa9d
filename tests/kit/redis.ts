/** A real Redis on a free port of the loopback interface; nothing of it stays behind. */

import { run, type Running, start } from "./programs.ts";

export interface Redis extends AsyncDisposable {
  readonly port: number;
  /** `redis://127.0.0.1:PORT` */
  readonly url: string;
  readonly pid: number;
  /** What `redis-cli` prints for a command. */
  cli(...command: string[]): Promise<string>;
  kill(signal: Deno.Signal): void;
  /** Starts it again, on the same port, with no memory; further arguments may be others. */
  restart(...args: string[]): Promise<void>;
}

/** A TCP port that nobody has at the moment. */
export function freeTcpPort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Resolves once it answers. `args`: as on the command line of `redis-server`. */
export async function redis(...args: string[]): Promise<Redis> {
  const port = freeTcpPort();
  const directory = await Deno.makeTempDir({ prefix: "redis-" });
  let running: Running | undefined;

  const cli = async (...command: string[]) => {
    const { output } = await run(["redis-cli", "-p", String(port), ...command]);
    return output.trim();
  };
  const launch = async (more: readonly string[]) => {
    running = start([
      "redis-server",
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""],
      ...more,
    ]);
    const deadline = performance.now() + 10_000;
    // One that asks for a password answers as well.
    while (!/PONG|NOAUTH/.test(await cli("ping"))) {
      if (performance.now() > deadline) throw new Error("Redis does not answer");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await launch(args);
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return running!.process.pid;
    },
    cli,
    kill: (signal) => running!.process.kill(signal),
    async restart(...more) {
      await running?.[Symbol.asyncDispose]();
      await launch(more);
    },
    async [Symbol.asyncDispose]() {
      await running?.[Symbol.asyncDispose]();
      await Deno.remove(directory, { recursive: true });
    },
  };
}
