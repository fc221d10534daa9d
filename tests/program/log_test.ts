/** The log of a real process, with readers of every kind. */

import { assert, assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { serverProcess, startFlags } from "../kit/server.ts";

const ROOT = new URL("../../", import.meta.url);

/** A server that logs everything, into a pipe of the test's own, which has been read until it listens. */
async function logging() {
  const place = ["--port", "0", "--host", "127.0.0.1", "--stun-port", "off"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...await startFlags(), "main.ts", ...place],
    cwd: ROOT,
    env: { LOG_FORMAT: "text", LOG_LEVEL: "debug" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  for (let said = "";;) {
    const { value, done } = await reader.read();
    assert(!done, `the server ended: ${said}`);
    said += decoder.decode(value);
    const url = /ws:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
    if (url !== undefined) return { child, reader, decoder, url };
  }
}

Deno.test("a reader of the log that stops does not stop the server; going on, it is told what it missed", async () => {
  const { child, reader, decoder, url } = await logging();
  try {
    // Two lines for each: more than a pipe and our own memory for it take.
    using client = await TestClient.open(url);
    const room = "r".repeat(240);
    const ident = "i".repeat(120);
    for (let round = 0; round < 40; round++) {
      using other = await TestClient.openV3(url);
      for (let i = 0; i < 50; i++) {
        other.send(["join", ident, room + i]);
        other.send(["leave", `${room}${i}:${ident}`]);
      }
      await other.settle();
      await client.settle();
    }
    // It reads again, and hears of the gap.
    for (let text = ""; !text.includes("lines are missing here");) {
      const { value, done } = await reader.read();
      assert(!done, "the log ended without a word on what is missing");
      text = text.slice(-200) + decoder.decode(value);
    }
  } finally {
    child.kill("SIGKILL");
    await reader.cancel();
    await child.status;
  }
});

Deno.test("the last lines are written before the process ends", async () => {
  await using server = await serverProcess(["--port", "0", "--host", "127.0.0.1", "--stun-port", "off"]);
  await server.port;
  server.kill("SIGTERM");
  const { code, stdout } = await server.output;
  assertEquals(code, 0);
  assertStringIncludes(stdout.trimEnd().split("\n").at(-1)!, "stopped");
});

Deno.test("what an orchestrator injects for a service of our name is passed over, and told", async () => {
  const env = {
    SIGNAL_STUN_PORT: "udp://10.0.0.7:3478",
    SIGNAL_STUN_SECOND_PORT: "udp://10.0.0.8:3479",
    PORT: "tcp://10.0.0.9:3903",
    SIGNAL_SERVICE_HOST: "10.0.0.9",
    SIGNAL_PORT_3903_TCP_ADDR: "10.0.0.9",
    SIGNAL_HOST: "127.0.0.1",
  };
  await using server = await serverProcess(["--port", "0"], env);
  const port = await server.port;
  assertEquals((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
  server.kill("SIGTERM");
  const { code, stderr } = await server.output;
  assertEquals(code, 0);
  for (const name of ["SIGNAL_STUN_PORT", "SIGNAL_STUN_SECOND_PORT", "PORT"]) {
    assert(
      stderr.split("\n").some((line) => line.includes(`${name}=`) && line.includes("is passed over")),
      `${name}: ${stderr}`,
    );
  }
});

Deno.test("a reader of the log that goes away takes nothing with it", async () => {
  const { child, reader, url } = await logging();
  try {
    await reader.cancel();
    using client = await TestClient.open(url);
    for (let round = 0; round < 20; round++) {
      await client.call(
        ["join", `a${round}`, "r"],
        ["join", `r:a${round}`],
        ...round > 0 ? others(round) : [],
      );
    }
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
  } finally {
    try {
      child.kill("SIGKILL");
    } catch { /* it has ended */ }
  }

  /** What a socket is told that joins once more: each of its addresses is introduced to the new one, and the other way. */
  function others(round: number): unknown[] {
    return Array.from({ length: round }, (_, i) => [
      ["stun", `r:a${i}`, `r:a${round}`, false],
      ["stun", `r:a${round}`, `r:a${i}`, true],
    ]).flat();
  }
});
