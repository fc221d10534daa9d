import { LineWriter } from "../../lib/runtime/line_writer.ts";
import { assertEquals, assertMatch } from "../kit/assert.ts";

/** A reader that takes a few bytes when it is told to. */
function slowReader() {
  let text = "";
  let waiting: (() => void) | undefined;
  return {
    text: () => text,
    write(bytes: Uint8Array): Promise<number> {
      return new Promise((resolve) => {
        waiting = () => {
          const part = bytes.subarray(0, 300_000);
          text += new TextDecoder().decode(part);
          resolve(part.length);
        };
      });
    },
    async read(): Promise<void> {
      for (let i = 0; i < 20; i++) {
        waiting?.();
        waiting = undefined;
        await new Promise((resolve) => setTimeout(resolve));
      }
    },
  };
}

Deno.test("lines are written in order; those that nobody reads are dropped, counted and told of in their place", async () => {
  const reader = slowReader();
  const writer = new LineWriter(reader.write, (lines) => `${lines} missing\n`);
  const line = (i: number) => `${i} ${"x".repeat(1000)}\n`;
  for (let i = 0; i < 3000; i++) writer.write(line(i));
  await reader.read();
  writer.write("after\n");
  await reader.read();
  const lines = reader.text().trimEnd().split("\n");
  const [gap] = lines.splice(-2, 1);
  const kept = lines.length - 1;
  assertMatch(gap!, /^\d+ missing$/);
  assertEquals(kept + Number(gap!.split(" ")[0]), 3000);
  assertEquals(
    lines.slice(0, -1).map((text) => Number(text.split(" ")[0])),
    Array.from({ length: kept }, (_, i) => i),
  );
  assertEquals(lines.at(-1), "after");
});

Deno.test("flushing waits for what is on its way, but not for ever; a reader that is gone throws nothing", async () => {
  const reader = slowReader();
  const writer = new LineWriter(reader.write, String);
  writer.write("last words\n");
  await writer.flush(1);
  assertEquals(reader.text(), "");
  const flushed = writer.flush(10_000);
  await reader.read();
  await flushed;
  assertEquals(reader.text(), "last words\n");

  const broken = new LineWriter(() => Promise.reject(new Deno.errors.BrokenPipe()), String);
  broken.write("nobody hears this\n");
  await broken.flush(10_000);
  broken.write("nor this\n");
  await broken.flush(10_000);
});
