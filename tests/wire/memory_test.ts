/** What a server does where memory is short. */

import { assert, assertEquals, assertMatch } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { start } from "../kit/programs.ts";
import { serverProcess } from "../kit/server.ts";

const MB = 1_000_000;
const HIGH = 250 * MB;
/** Seconds of the attack: without a limit it takes gigabytes in that time. */
const SECONDS = 10;

function residentMemory(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
  return Number(kilobytes) * 1024;
}

Deno.test({
  name:
    "64 sockets send messages without end: memory stays within its bound, and a pair that talks loses nothing",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using server = await serverProcess(["--memory-high", String(HIGH)], {
      PORT: "0",
      SIGNAL_HOST: "127.0.0.1",
      SIGNAL_CONNECT_RATE: "1000",
    });
    const port = await server.port;
    using alice = await TestClient.openV3(`ws://127.0.0.1:${port}`);
    using bob = await TestClient.open(`ws://127.0.0.1:${port}`);
    // Somebody who is silent, but for the pongs of his browser.
    using idle = await TestClient.open(`ws://127.0.0.1:${port}`);
    await alice.call(["join", "alice", "room"], ["join", "room:alice"]);
    await bob.call(["join", "bob", "room"], ["join", "room:bob"], ["stun", "room:bob", "room:alice", true]);
    await idle.call(["join", "idle", "other"], ["join", "other:idle"]);
    await alice.expect(["stun", "room:alice", "room:bob", false]);

    const attack = start([
      Deno.execPath(),
      "run",
      "--quiet",
      "-A",
      new URL("fragments.ts", import.meta.url).pathname,
      String(port),
      "64",
    ]);
    let most = 0;
    const end = performance.now() + SECONDS * 1000;
    try {
      for (let i = 0; performance.now() < end; i++) {
        alice.send(["signal", "room:alice", "room:bob", i]);
        await bob.expect(["signal", "room:bob", "room:alice", i]);
        bob.send(["signal", "room:bob", "room:alice", i]);
        await alice.expect(["signal", "room:alice", "room:bob", i]);
        most = Math.max(most, residentMemory(server.pid));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    } finally {
      await attack[Symbol.asyncDispose]();
    }
    assert(most > HIGH, "the attack was none: memory was never short");
    assert(most < HIGH + 200 * MB, `${Math.round(most / MB)} MB`);
    assertEquals(idle.socket.readyState, WebSocket.OPEN, "who is silent, but for his pongs, was ended");
    assertEquals(await idle.settle(), []);
    server.kill("SIGTERM");
    const { code, stderr } = await server.output;
    assertEquals(code, 0);
    assertMatch(stderr, /memory is short: \d+ MB of 250 MB/);
  },
});
