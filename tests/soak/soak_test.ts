import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "../kit/assert.ts";
import { Latencies } from "./latency.ts";
import { Logbook } from "./observers.ts";
import { KINDS, type Life, lives } from "./plan.ts";
import { judge, latencyBound, measureWithin, memoryBound, type SoakReport } from "./report.ts";
import type { StormReport } from "./storm.ts";

async function soak(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "tests/soak/main.ts", ...args],
    cwd: new URL("../../", import.meta.url),
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

Deno.test("a storm of well- and ill-behaved peers harms nobody else and leaves nothing behind", async () => {
  const { code, stdout, stderr } = await soak("--seconds", "8", "--peers", "100", "--seed", "1");
  assertEquals(code, 0, stdout + stderr);
  assertStringIncludes(stdout, "All is as it should be.");
  assertStringIncludes(stdout, "--seed 1");
});

Deno.test("options that are wrong are told in one sentence, with the exit status 2", async () => {
  for (const args of [["--peers", "1"], ["--seconds=x"], ["--sed", "1"], ["fast"], ["--seed"]]) {
    const { code, stdout, stderr } = await soak(...args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, /^soak: [^\n]+[.?]\n$/);
  }
});

Deno.test("the same seed gives the same plan, and the first lives are of all kinds", () => {
  const plan = (seed: number, place: number): Life[] => lives(seed, place, 100).take(50).toArray();
  assertEquals(plan(1, 0), plan(1, 0));
  assertNotEquals(plan(1, 0), plan(2, 0));
  assertNotEquals(plan(1, 0).map(({ seed }) => seed), plan(1, 1).map(({ seed }) => seed));
  assertEquals(KINDS.map((_, place) => plan(3, place)[0]!.kind), KINDS);
  const drawn = Array.from({ length: 100 }, (_, place) => plan(4, place).slice(1)).flat();
  assertEquals(new Set(drawn.map(({ kind }) => kind)), new Set(KINDS));
});

Deno.test("quantiles are those of the durations, but for 2 %", () => {
  const latencies = new Latencies();
  for (let i = 1; i <= 1000; i++) latencies.add(i / 10);
  const merged = new Latencies();
  merged.addAll(latencies);
  for (const [fraction, expected] of [[0.001, 0.1], [0.5, 50], [0.99, 99], [1, 100]]) {
    const found = merged.quantile(fraction!);
    assert(found >= expected! * 0.999 && found <= expected! * 1.021, `${fraction}: ${found}`);
  }
  assertEquals([merged.count, new Latencies().quantile(0.5)], [1000, NaN]);
});

Deno.test("one measurement within its bound is enough, and of those that hold up each time none is", async () => {
  const outcome = async (...outcomes: number[]) => {
    let times = 0;
    return [await measureWithin(2, () => Promise.resolve(outcomes[times++]!)), times];
  };
  assertEquals(await outcome(1, 9), [1, 1]);
  assertEquals(await outcome(9, 9, 2, 9), [2, 3]);
  assertEquals(await outcome(NaN, 1), [1, 2]);
  assertEquals(await outcome(6, 7, 8, 9, 1), [9, 4]);
});

Deno.test("a logbook objects to who comes twice, goes twice, was never there, or never goes", () => {
  const stun = (address: string) => ["stun", "r:me", address, false];
  const gone = (address: string) => ["gone", "r:me", address, "closed"];
  const faultsOf = (...messages: unknown[][]) => {
    const book = new Logbook();
    messages.forEach((message) => book.take(message));
    return [book.faults.length, [...book.present]];
  };
  assertEquals(faultsOf(stun("r:a"), stun("r:b"), gone("r:b"), gone("r:a"), stun("r:a"), gone("r:a")), [
    0,
    [],
  ]);
  assertEquals(faultsOf(stun("r:a"), stun("r:a"), gone("r:a")), [1, []]);
  assertEquals(faultsOf(stun("r:a"), gone("r:a"), gone("r:a")), [1, []]);
  assertEquals(faultsOf(gone("r:a")), [1, []]);
  assertEquals(faultsOf(stun("r:a"), stun("r:b"), gone("r:b")), [0, ["r:a"]]);
});

const LATENCY = { count: 1000, median: 1, p99: 2, longest: 3 };
const NOTHING = Object.fromEntries(KINDS.map((kind) => [kind, {}])) as StormReport["ends"];
const GOOD: SoakReport = {
  peers: 100,
  quiet: LATENCY,
  storm: { ...LATENCY, p99: latencyBound(LATENCY.p99) },
  control: { sent: 5000, answered: 5000, disordered: 0, ended: [] },
  lives: {
    ends: { ...NOTHING, polite: { "said goodbye": 80 }, deaf: { "closed with 1013": 20 } },
    confirmed: 40,
  },
  observers: { ended: [], arrivals: [45, 45], present: [], faults: [], reasons: { closed: 30, left: 15 } },
  memory: { middle: 100_000, end: memoryBound(100_000) },
  left: { sockets: 0, rooms: 0, addresses: 0, clients: 0, sleeping: 0 },
  server: { code: 0, stderr: "\n" },
};

Deno.test("a report in which all is well passes, just within the bounds and without a word on memory", () => {
  assertEquals(judge(GOOD).filter(({ ok }) => !ok), []);
  assertEquals(judge({ ...GOOD, memory: undefined }).filter(({ ok }) => !ok), []);
});

Deno.test("every single fault in a report is found, and for what it is", () => {
  const { control, lives, observers, left, server } = GOOD;
  const bad: [about: string, SoakReport][] = [
    ["control", { ...GOOD, control: { ...control, answered: 4999 } }],
    ["control", { ...GOOD, control: { ...control, disordered: 1 } }],
    ["control", { ...GOOD, control: { ...control, sent: 0, answered: 0 } }],
    ["control", { ...GOOD, control: { ...control, ended: ["1013"] } }],
    ["control", { ...GOOD, storm: { ...LATENCY, p99: latencyBound(LATENCY.p99) + 1 } }],
    ["control", { ...GOOD, storm: { ...LATENCY, count: 0, p99: NaN } }],
    ["control", { ...GOOD, quiet: { ...LATENCY, count: 0, p99: NaN } }],
    ["peers", { ...GOOD, peers: 101 }],
    ["peers", { ...GOOD, lives: { ...lives, ends: { ...lives.ends, vanish: { "waited in vain": 1 } } } }],
    ["peers", { ...GOOD, lives: { ...lives, ends: { ...lives.ends, oversize: { "closed with 1008": 1 } } } }],
    ["observers", { ...GOOD, lives: { ...lives, confirmed: 46 } }],
    ["observers", { ...GOOD, lives: { ...lives, confirmed: 0 } }],
    ["observers", { ...GOOD, observers: { ...observers, arrivals: [45, 44] } }],
    ["observers", { ...GOOD, observers: { ...observers, present: ["watched:a"] } }],
    ["observers", { ...GOOD, observers: { ...observers, faults: ["watched:a came twice"] } }],
    ["observers", { ...GOOD, observers: { ...observers, ended: ["1006"] } }],
    ["residue", { ...GOOD, left: { ...left, sockets: 1 } }],
    ["residue", { ...GOOD, left: { ...left, rooms: 1 } }],
    ["residue", { ...GOOD, left: { ...left, addresses: 1 } }],
    ["residue", { ...GOOD, left: { ...left, clients: 1 } }],
    ["residue", { ...GOOD, left: { ...left, sleeping: 1 } }],
    ["server", { ...GOOD, server: { ...server, code: 1 } }],
    ["server", { ...GOOD, server: { ...server, stderr: "error: Uncaught (in promise) Error" } }],
    ["memory", { ...GOOD, memory: { middle: 100_000, end: memoryBound(100_000) + 1 } }],
  ];
  for (const [about, report] of bad) {
    const found = judge(report).filter(({ ok }) => !ok);
    assertEquals(found.map(({ text }) => text.split(/\W/)[0]), [about], JSON.stringify(found));
  }
  // A stall of a quarter of a second is found even where the quiet was not so quiet.
  assertLess(latencyBound(10), 250);
});
