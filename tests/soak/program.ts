/**
 * Programs that do their work in a process of their own, so that it is not in the way of what is measured.
 */

import { TextLineStream } from "../bench/lines.ts";

const ROOT = new URL("../../", import.meta.url);

/** Milliseconds; no order takes that long. */
const PATIENCE = 30_000;

/** A program that takes orders, a line each, and answers each with a line of JSON; `await using` ends it. */
export class Program<Answer> implements AsyncDisposable {
  readonly #script: string;
  readonly #child: Deno.ChildProcess & { readonly stdin: WritableStream<Uint8Array> };
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: ReadableStreamDefaultReader<string>;

  constructor(script: string, ...args: (string | number)[]) {
    this.#script = script;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-all", script, ...args.map(String)],
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#orders = this.#child.stdin.getWriter();
    this.#answers = this.#child.stdout.pipeThrough(new TextLineStream()).getReader();
  }

  /** One at a time. Rejects where the program has ended or does not answer. */
  async ask(order: string): Promise<Answer> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`${this.#script} did not answer to "${order}"`)),
      PATIENCE,
    );
    try {
      await this.#orders.write(new TextEncoder().encode(`${order}\n`));
      const { value } = await Promise.race([this.#answers.read(), late]);
      if (value === undefined) throw new Error(`${this.#script} has ended`);
      return JSON.parse(value);
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await this.#answers.cancel();
    await this.#orders.abort().catch(() => {});
  }
}

/** The other side of it: answers orders until the one who gives them is gone. */
export async function obey(answer: (order: string) => Promise<unknown>): Promise<void> {
  for await (const order of Deno.stdin.readable.pipeThrough(new TextLineStream())) {
    console.log(JSON.stringify(await answer(order)));
  }
  Deno.exit();
}
