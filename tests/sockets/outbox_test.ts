import { assert, assertEquals } from "../kit/assert.ts";
import { Outbox } from "../../lib/sockets/outbox.ts";

/** A socket whose reader takes nothing until told to. */
class Pipe {
  bufferedAmount = 0;
  asked = 0;
  readonly sent: string[] = [];
  readonly sink: { send(text: string): void; readonly bufferedAmount: number };

  constructor() {
    const ask = () => {
      this.asked++;
      return this.bufferedAmount;
    };
    this.sink = {
      send: (text) => {
        this.sent.push(text);
        this.bufferedAmount += new TextEncoder().encode(text).length;
      },
      get bufferedAmount() {
        return ask();
      },
    };
  }
}

Deno.test("a reader that keeps up never overflows, and is seldom asked about", () => {
  const pipe = new Pipe();
  const outbox = new Outbox(pipe.sink, 30_000, { onOverflow: () => assert(false, "overflow") });
  for (let i = 0; i < 1000; i++) {
    outbox.send("x".repeat(100));
    pipe.bufferedAmount = 0;
  }
  assertEquals(pipe.sent.length, 1000);
  assert(pipe.asked > 0 && pipe.asked <= 11, `asked ${pipe.asked} times`);
});

Deno.test("past the bound nothing more is sent, and the owner is told once, later", async () => {
  for (const text of ["x".repeat(100), "☃".repeat(40), "é".repeat(60)]) {
    const pipe = new Pipe();
    let overflows = 0;
    const outbox = new Outbox(pipe.sink, 10_000, { onOverflow: () => overflows++ });
    for (let i = 0; i < 1000; i++) outbox.send(text);
    assertEquals(overflows, 0, "the owner must not be told in the midst of somebody's call");
    await Promise.resolve();
    assertEquals(overflows, 1);
    const size = new TextEncoder().encode(text).length;
    assert(
      pipe.bufferedAmount > 10_000 && pipe.bufferedAmount <= 10_000 + size,
      `${pipe.bufferedAmount} bytes wait`,
    );
  }
});

Deno.test("a closed outbox takes nothing", () => {
  const pipe = new Pipe();
  const outbox = new Outbox(pipe.sink, 1000, { onOverflow: () => assert(false, "overflow") });
  outbox.send("a");
  outbox.close();
  outbox.send("b");
  assertEquals(pipe.sent, ["a"]);
});

Deno.test("progress grows only where something has gone out", () => {
  const pipe = new Pipe();
  const outbox = new Outbox(pipe.sink, 100_000, { onOverflow: () => assert(false, "overflow") });
  assertEquals(outbox.progress(), undefined);
  outbox.send("aé☃");
  const first = outbox.progress()!;
  outbox.send("☃☃☃");
  assert(outbox.progress()! <= first);
  pipe.bufferedAmount -= 1;
  outbox.send("a");
  assert(outbox.progress()! <= first, "not told yet: what has come in since has more bytes than characters");
  pipe.bufferedAmount = 1;
  assert(outbox.progress()! > first);
  pipe.bufferedAmount = 0;
  assertEquals(outbox.progress(), undefined);
});
