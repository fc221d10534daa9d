import { bench } from "../../lib/commands/bench.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../kit/assert.ts";
import { testServer } from "../kit/server.ts";

interface Row {
  readonly name: string;
  readonly count: number;
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly refused: Record<string, number>;
}

const SMALL = ["--pairs", "5", "--seconds", "1", "--idle", "20", "--joins", "20", "--room", "4"];

async function measure(...args: string[]): Promise<Row[]> {
  const lines: string[] = [];
  assertEquals(await bench(["--json", ...args], (line) => lines.push(line)), 0);
  return JSON.parse(lines.join("\n")).figures;
}

Deno.test("sockets, joins and signals are counted, as the server counts them, and nothing is left", async () => {
  await using server = testServer({ callRate: 1_000_000, callBurst: 1_000_000 });
  const [sockets, joins, signals] = await measure(...SMALL, server.url) as [Row, Row, Row];
  assertEquals([sockets.count, joins.count], [20, 20]);
  assertEquals([sockets.refused, joins.refused, signals.refused], [{}, {}, {}]);
  assert(signals.count > 200 && signals.perSecond > 200, JSON.stringify(signals));
  assert(signals.p99Ms >= signals.medianMs && signals.medianMs > 0, JSON.stringify(signals));
  await server.counts({ sockets: 0, rooms: 0 });
  const text = await (await fetch(`${server.httpUrl}/metrics`)).text();
  const relayed = Number(/^signal_signals_relayed_total (\d+)$/m.exec(text)![1]);
  assert(relayed >= signals.count && relayed < 1.2 * signals.count + 50, `${relayed} and ${signals.count}`);
});

Deno.test("what the server refuses is counted", async () => {
  await using server = testServer({ connectBurst: 40, connectRate: 0.01, callBurst: 100, callRate: 1 });
  const [sockets] = await measure(...SMALL, "--pairs", "0", "--joins", "0", "--idle", "60", server.url) as [
    Row,
  ];
  assertEquals([sockets.count, Object.values(sockets.refused)], [40, [20]]);
});

Deno.test("a table for people, and no load on others' servers", async () => {
  await using server = testServer();
  const lines: string[] = [];
  await bench([...SMALL, server.url], (line) => lines.push(line));
  assertMatch(
    lines.join("\n"),
    /per second.*\nsockets opened +20 .*ms\njoins, rooms of 4 +20 .*\nsignals of 1024 bytes +\d+/,
  );
  const fault = (await assertRejects(() => bench(["wss://signal.example.org"], () => {}))).message;
  assertMatch(fault, /is not this machine.*--yes-this-server-is-mine/);
});
