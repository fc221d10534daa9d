import { assert, assertEquals } from "../kit/assert.ts";
import { Outbox } from "../../lib/sockets/outbox.ts";
import { Traffic } from "../../lib/sockets/traffic.ts";
import { Turn } from "../../lib/sockets/turn.ts";

const turn = new Turn(new Traffic(), () => 0);

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
  const outbox = new Outbox(pipe.sink, 30_000, { onOverflow: () => assert(false, "overflow") }, turn);
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
    const outbox = new Outbox(pipe.sink, 10_000, { onOverflow: () => overflows++ }, turn);
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

Deno.test("the bound holds for what is held back as well", async () => {
  const pipe = new Pipe();
  const outbox = new Outbox(pipe.sink, 1000, { onOverflow: () => {} }, turn);
  turn.add({
    mayWait: (message): message is string => typeof message === "string",
    take() {
      for (let i = 0; i < 50; i++) outbox.send("x".repeat(100));
    },
  }, "");
  await Promise.resolve();
  assertEquals(pipe.bufferedAmount, 1100);
});

Deno.test("a closed outbox takes nothing", () => {
  const pipe = new Pipe();
  const outbox = new Outbox(pipe.sink, 1000, { onOverflow: () => assert(false, "overflow") }, turn);
  outbox.send("a");
  outbox.close();
  outbox.send("b");
  assertEquals(pipe.sent, ["a"]);
});

Deno.test("a reader is stalled from when it was last seen to take something, whatever is sent meanwhile", () => {
  const pipe = new Pipe();
  const outbox = new Outbox(pipe.sink, 100_000, { onOverflow: () => assert(false, "overflow") }, turn);
  assertEquals(outbox.stalledFor(0), 0);
  outbox.send("aé☃");
  assertEquals(outbox.stalledFor(1000), 0);
  // More bytes than characters: what is compared are bytes.
  outbox.send("☃☃☃");
  assertEquals(outbox.stalledFor(3000), 2000);
  pipe.bufferedAmount -= 1;
  outbox.send("☃");
  assertEquals(outbox.stalledFor(4000), 0);
  assertEquals(outbox.stalledFor(9000), 5000);
  pipe.bufferedAmount = 0;
  assertEquals(outbox.stalledFor(10_000), 0);
  outbox.send("a");
  assertEquals(outbox.stalledFor(20_000), 0);
});
