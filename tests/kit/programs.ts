/** Programs that tests run: to their end, or beside the test until it is over. */

import { findBinary } from "./parts.ts";

/** No program that a test waits for takes this long; one that does hangs, and is killed. */
const PATIENCE_MS = 60_000;

export interface Outcome {
  code: number;
  /** Standard output, then standard error. */
  output: string;
}

/** Runs a program to its end; the first word of the command is looked up like {@link findBinary} does. */
export async function run(command: readonly string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(program(command), {
    args: command.slice(1),
    stdin: "null",
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).output();
  const text = new TextDecoder();
  return { code, output: text.decode(stdout) + text.decode(stderr) };
}

/** Starts a program that is killed when its scope ends. Its output goes to the test's own error output. */
export function start(
  command: readonly string[],
  stdout: "null" | "piped" = "null",
  env: Record<string, string> = {},
): Running {
  const process = new Deno.Command(program(command), {
    args: command.slice(1),
    env,
    stdin: "null",
    stdout,
    stderr: "inherit",
  }).spawn();
  return {
    process,
    async [Symbol.asyncDispose]() {
      try {
        process.kill("SIGKILL");
      } catch (error) {
        // It ended before.
        if (!(error instanceof TypeError)) throw error;
      }
      await process.status;
      // A reader that still holds it has reached the end.
      if (stdout === "piped" && !process.stdout.locked) await process.stdout.cancel();
    },
  };
}

export interface Running extends AsyncDisposable {
  readonly process: Deno.ChildProcess;
}

function program([name]: readonly string[]): string {
  return name!.includes("/") ? name! : findBinary(name!) ?? name!;
}
