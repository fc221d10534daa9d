import { Traffic } from "../../lib/sockets/traffic.ts";
import { type Message, NOT_NUMBERED, type Taker, Turn } from "../../lib/sockets/turn.ts";
import { checkOfHead, numberSignal } from "../../lib/protocol/codec.ts";
import { assertEquals, assertThrows } from "../kit/assert.ts";

const SIGNAL = '["signal","r:a","r:b",{"candidate":null}]';

/** Writes down what is done, by whomever. */
class Diary {
  readonly entries: string[] = [];

  taker(name: string, take: (message: Message) => void = () => {}): Taker {
    return {
      mayWait: (message): message is string => typeof message === "string" && !message.startsWith("now"),
      take: (message, number, check) => {
        if (number === NOT_NUMBERED) this.entries.push(`${name} takes ${message}`);
        else {
          assertEquals([number, check], [numberSignal(String(message)), checkOfHead()]);
          this.entries.push(`${name} takes ${message}, numbered`);
        }
        take(message);
      },
    };
  }

  sink(name: string) {
    return { bufferedAmount: 0, send: (text: string) => void this.entries.push(`${name} gets ${text}`) };
  }

  /** What was written since the last call. */
  get news(): string[] {
    return this.entries.splice(0);
  }
}

function turn(traffic = new Traffic(), now = () => 0): Turn {
  return new Turn(traffic, now);
}

Deno.test("what comes at the same time is numbered, taken in and sent step by step, each in its order", async () => {
  const diary = new Diary();
  const [a, b] = [diary.sink("A"), diary.sink("B")];
  const messages = turn();
  const relay = (to: typeof a) => (message: Message) => messages.send(to, String(message).slice(0, 2));
  messages.add(diary.taker("a", relay(b)), SIGNAL);
  messages.add(diary.taker("b", relay(a)), "two");
  messages.add(diary.taker("a", relay(b)), "three");
  assertEquals(diary.news, []);
  await Promise.resolve();
  assertEquals(diary.news, [
    `a takes ${SIGNAL}, numbered`,
    "b takes two, numbered",
    "a takes three, numbered",
    'B gets ["',
    "A gets tw",
    "B gets th",
  ]);
});

Deno.test("what can't wait is done at once, behind what came before it", async () => {
  const diary = new Diary();
  const messages = turn();
  const sink = diary.sink("A");
  const taker = diary.taker("a", (message) => messages.send(sink, String(message)));
  messages.add(taker, "one");
  messages.add(taker, "now two");
  assertEquals(diary.news, ["a takes one, numbered", "A gets one", "a takes now two", "A gets now two"]);
  messages.add(taker, "three");
  await Promise.resolve();
  assertEquals(diary.news, ["a takes three, numbered", "A gets three"]);
});

Deno.test("what is to be done later is done before messages that come behind", async () => {
  const diary = new Diary();
  const messages = turn();
  const taker = diary.taker("a", (message) => messages.later(() => diary.entries.push(`${message} is done`)));
  messages.add(taker, "one");
  messages.add(taker, "two");
  messages.add(taker, "now three");
  assertEquals(diary.news, [
    "a takes one, numbered",
    "a takes two, numbered",
    "one is done",
    "two is done",
    "a takes now three",
  ]);
  await Promise.resolve();
  assertEquals(diary.news, ["now three is done"]);
});

Deno.test("what is brought about by something that was to be done later is done in the same turn", async () => {
  const diary = new Diary();
  const messages = turn();
  const taker = diary.taker("a", () =>
    messages.later(() => {
      diary.entries.push("first");
      messages.later(() => diary.entries.push("second"));
    }));
  messages.add(taker, "one");
  await Promise.resolve();
  assertEquals(diary.news, ["a takes one, numbered", "first", "second"]);
});

Deno.test("what is sent at other times goes at once", () => {
  const diary = new Diary();
  const messages = turn();
  messages.add(diary.taker("a"), "one");
  messages.send(diary.sink("A"), "now");
  assertEquals(diary.news, ["A gets now"]);
});

Deno.test("what is held back can be sent before", async () => {
  const diary = new Diary();
  const messages = turn();
  const sink = diary.sink("A");
  messages.add(
    diary.taker("a", () => {
      messages.send(sink, "held");
      messages.release();
      diary.entries.push("closed");
      messages.send(sink, "late");
    }),
    "one",
  );
  await Promise.resolve();
  assertEquals(diary.news, ["a takes one, numbered", "A gets held", "closed", "A gets late"]);
});

Deno.test("there are bounds to what is taken in, and to what is sent, together", async () => {
  for (const [length, most] of [[10, 64], [20_000, 4]] as const) {
    const diary = new Diary();
    const messages = turn();
    for (let i = 0; i < most; i++) {
      assertEquals(diary.news, [], `${i} of ${length} units`);
      messages.add(diary.taker("a"), "x".repeat(length));
    }
    assertEquals(diary.news.length, most);
    await Promise.resolve();
    assertEquals(diary.news, []);
  }
  const diary = new Diary();
  const messages = turn();
  const sink = diary.sink("A");
  let held = 0;
  messages.add(
    diary.taker("a", () => {
      for (let i = 0; i < 300; i++) {
        messages.send(sink, "");
        held = Math.max(held, i + 1 - diary.entries.filter((entry) => entry.startsWith("A")).length);
      }
    }),
    "one",
  );
  await Promise.resolve();
  assertEquals([held, diary.news.length], [63, 301]);
});

Deno.test("who throws takes nothing from later turns, and what was to be sent is sent", () => {
  const diary = new Diary();
  const messages = turn();
  const sink = diary.sink("A");
  const bad = diary.taker("bad", () => {
    messages.send(sink, "before");
    throw new Error("on purpose");
  });
  // Taken in at once, for it is long.
  assertThrows(() => messages.add(bad, "x".repeat(70_000)), Error, "on purpose");
  assertEquals(diary.news.at(-1), "A gets before");
  messages.add(diary.taker("a", () => messages.send(sink, "after")), "y".repeat(70_000));
  assertEquals(diary.news.length, 2);
});

Deno.test("of one message in 64 the time is taken, from its arrival to the last that is sent", async () => {
  const traffic = new Traffic();
  const times: number[] = [];
  traffic.onTaken = (ms) => times.push(ms);
  let now = 1000;
  const messages = turn(traffic, () => now);
  const sink = { bufferedAmount: 0, send: () => void now++ };
  const taker = new Diary().taker("a", () => messages.send(sink, "text"));
  for (let i = 1; i <= 128; i++) {
    messages.add(taker, "one");
    now += 10;
    if (i % 32 === 0) await Promise.resolve();
  }
  // The last of 32 comes ten before they are taken in, and each is answered.
  assertEquals(times, [10 + 32, 10 + 32]);
});
