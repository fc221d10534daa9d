/** That the benchmark runs and reports; how fast the server is, no test can say. */

import { assertEquals, assertGreater, assertRejects, assertStringIncludes } from "../kit/assert.ts";
import { relayedText, signalText } from "./messages.ts";
import { clientFrame, Peer } from "./peer.ts";
import { describeBar, isMet, markdownTable, plainTable } from "./report.ts";
import { quantile, quartiles } from "./statistics.ts";
import { cpuMicros, memoryKiB } from "./usage.ts";
import { Rig } from "./workloads.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;

async function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", MAIN, ...args],
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The cells of the line that begins so. */
function cells(table: string, what: string): string[] {
  const line = table.split("\n").find((line) => line.trimStart().startsWith(what));
  return line?.trim().split(/ {3,}/).map((cell) => cell.trim()) ?? [];
}

Deno.test("the benchmark measures the relay and prints a table", async () => {
  const { code, stdout, stderr } = await bench("--quick", "--only", "relay");
  assertEquals(stderr, "");
  assertEquals(code, 0);
  const measured = [
    "signals of 1 KiB, per second",
    "signals of 200 bytes, per second",
    "latency p50",
    "latency p99",
  ];
  for (const what of Deno.build.os === "linux" ? [...measured, "server CPU"] : measured) {
    const [, signal, echo, ratio] = cells(stdout, what).map((cell) => Number(cell.replaceAll(" ", "")));
    assertGreater(signal, 0, what);
    assertGreater(echo, 0, what);
    assertGreater(ratio, 0, what);
  }
  if (Deno.build.os === "linux") assertStringIncludes(stdout, ": relaying a signal of 1 KiB costs ");
});

Deno.test("the benchmark refuses what it does not know", async () => {
  for (const args of [["--only", "relais"], ["--fast"], ["relay"]]) {
    const { code, stderr } = await bench(...args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, "Usage:");
  }
});

/** A server that takes every handshake and then behaves as told. */
async function withServer(
  onMessage: (socket: WebSocket, text: string) => void,
  test: (port: number) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => onMessage(socket, data);
    return response;
  });
  await test(server.addr.port);
  await server.shutdown();
}

Deno.test("a peer is understood, and takes answers apart that arrive together", async () => {
  const long = "é".repeat(300);
  await withServer((socket, text) => {
    socket.send(text);
    socket.send(`${text.length}`);
  }, async (port) => {
    const peer = await Peer.connect(port, 4096);
    await peer.say("short");
    await peer.say(long);
    assertEquals([await peer.text(), await peer.text()], ["short", "5"]);
    assertEquals([await peer.text(), await peer.text()], [long, "300"]);
    await peer.close();
  });
});

Deno.test("a server that does not echo every byte does not pass", async () => {
  const falsified = (socket: WebSocket, text: string) => socket.send(text.replace("v=0", "v=1"));
  await withServer(falsified, async (port) => {
    const task = { kind: "signals", pairs: 1, bytes: 200, addresses: 1 } as const;
    const rig = await Rig.prepare({ port, pid: Deno.pid, echoes: true }, task);
    await assertRejects(() => rig.slice(50), Error, "instead of a signal there came");
    rig.close();
  });
});

Deno.test("a server that closes a socket does not pass", async () => {
  await withServer((socket) => socket.close(4000, "enough"), async (port) => {
    const peer = await Peer.connect(port);
    await peer.say("hello");
    await assertRejects(() => peer.text(), Error, "the server closed a socket with 4000 enough");
    peer.drop();
  });
});

Deno.test("what clients send is masked and of the length asked for", () => {
  const text = signalText("room:one", "room:two", 1024);
  assertEquals(new TextEncoder().encode(text).length, 1024);
  assertStringIncludes(text, "\\r\\n");
  const { type, sdp } = JSON.parse(text)[3];
  assertEquals(JSON.parse(relayedText("room:one", "room:two", text)), ["signal", "room:two", "room:one", {
    type,
    sdp,
  }]);
  const frame = clientFrame("ab");
  assertEquals([...frame.subarray(0, 2)], [0x81, 0x82]);
  assertEquals(frame[6]! ^ frame[2]!, "a".charCodeAt(0));
  assertEquals(frame[7]! ^ frame[3]!, "b".charCodeAt(0));
});

Deno.test("quantiles lie between neighbours", () => {
  assertEquals(quantile([4, 1, 3, 2], 0.5), 2.5);
  assertEquals(quartiles([5, 1, 2, 4, 3]), { low: 2, median: 3, high: 4 });
  assertEquals(quantile([], 0.5), NaN);
});

Deno.test("a bar is judged by the median of the rounds", () => {
  const bar = { what: "it", most: 1.18, ratios: [1, 1.18, 2] };
  assertEquals(isMet(bar), true);
  assertEquals(describeBar(bar), "met: it costs 1.18 times the echo's (1.09 – 1.59), 1.18 at most");
  assertEquals(
    describeBar({ ...bar, of: "one server", ratios: [2] }),
    "missed: it costs 2.00 times one server's (2.00 – 2.00), 1.18 at most",
  );
  assertEquals(describeBar({ ...bar, unit: "µs" }), "met: it costs 1.18 µs (1.09 – 1.59), 1.18 at most");
  assertEquals(isMet({ ...bar, ratios: [1, 1.2, 2] }), false);
});

Deno.test("tables have one line for each measurement", () => {
  const rows = [{ what: "signals", decimals: 0, signal: 81234.5, baseline: 100000, ratios: [0.8, 0.9, 1] }];
  assertEquals(cells(plainTable(rows, "echo"), "signals"), [
    "signals",
    "81 235",
    "100 000",
    "0.90",
    "0.85 – 0.95",
  ]);
  assertStringIncludes(markdownTable(rows, "echo"), "| signals | 81 235 | 100 000 | 0.90 | 0.85 – 0.95 |");
});

Deno.test({
  name: "the system's account of a process grows with what the process does",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const before = cpuMicros(Deno.pid)!;
    await using small = await holding(1);
    await using large = await holding(128);
    assertGreater(cpuMicros(Deno.pid)!, before);
    assertGreater(memoryKiB(large.pid)! - memoryKiB(small.pid)!, 64 << 10);
    assertEquals(cpuMicros(2 ** 30), undefined);
    assertEquals(memoryKiB(2 ** 30), undefined);
  },
});

/** A process that holds so many MiB. */
async function holding(mebibytes: number): Promise<{ pid: number } & AsyncDisposable> {
  const program = `const held = new Uint8Array(${mebibytes} << 20).fill(1);
    console.log("ready");
    for await (const _ of Deno.stdin.readable);
    console.log(held[0]);`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.stdout.getReader();
  await output.read();
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      while (!(await output.read()).done);
      await child.status;
    },
  };
}
