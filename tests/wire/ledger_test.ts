/** Pairs whose links stall are introduced anew: see "Reports" in the protocol. */

import { assertEquals, assertMatch } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { serverProcess, testServer } from "../kit/server.ts";

const FAILED = { state: "failed", why: "no-answer", ms: 30_000 };

/** Two of version 3 in a room, neither of which has said anything. */
async function two(url: string): Promise<[TestClient, TestClient]> {
  const [alice, bob] = [await TestClient.openV3(url), await TestClient.openV3(url)];
  await alice.call(["join", "alice", "r"], ["join", "r:alice"]);
  await bob.call(["join", "bob", "r"], ["join", "r:bob"], ["stun", "r:bob", "r:alice", true]);
  await alice.expect(["stun", "r:alice", "r:bob", false]);
  return [alice, bob];
}

Deno.test("a pair that stalled is introduced anew, once, in the same roles", async () => {
  await using server = testServer();
  const [alice, bob] = await two(server.url);
  // It may be that alice knows nothing of reports.
  await bob.call(["report", "r:bob", "r:alice", FAILED]);
  assertEquals(await alice.settle(), []);
  await alice.call(["report", "r:alice", "r:bob", FAILED], ["stun", "r:alice", "r:bob", false]);
  await bob.expect(["stun", "r:bob", "r:alice", true]);
  for (let i = 0; i < 3; i++) {
    await alice.call(["report", "r:alice", "r:bob", FAILED]);
    await bob.call(["report", "r:bob", "r:alice", FAILED]);
  }
  alice.close();
  bob.close();
});

Deno.test("one side's word is enough where the other is silent, but not where it is content", async () => {
  await using server = testServer();
  const [alice, bob] = await two(server.url);
  // Each has shown that it reports, if only on somebody who isn't there.
  for (const [client, own] of [[alice, "r:alice"], [bob, "r:bob"]] as const) {
    await client.call(["report", own, "r:nobody", { state: "closed" }]);
  }
  await alice.call(["report", "r:alice", "r:bob", { state: "connected", path: "host" }]);
  await bob.call(["report", "r:bob", "r:alice", FAILED]);
  await alice.call(["leave", "r:alice"], ["leave", "r:alice"]);
  await bob.expect(["gone", "r:bob", "r:alice", "left"]);
  await alice.call(["join", "alice", "r"], ["join", "r:alice"], ["stun", "r:alice", "r:bob", true]);
  await bob.expect(["stun", "r:bob", "r:alice", false]);
  await alice.call(["report", "r:alice", "r:bob", FAILED], ["stun", "r:alice", "r:bob", true]);
  await bob.expect(["stun", "r:bob", "r:alice", false]);
  alice.close();
  bob.close();
});

Deno.test("clients of version 2 are never introduced twice", async () => {
  await using server = testServer();
  using bob = await TestClient.open(server.url);
  using alice = await TestClient.openV3(server.url);
  await bob.call(["join", "bob", "r"], ["join", "r:bob"]);
  await alice.call(["join", "alice", "r"], ["join", "r:alice"], ["stun", "r:alice", "r:bob", true]);
  await bob.expect(["stun", "r:bob", "r:alice", false]);
  await alice.call(["report", "r:alice", "r:bob", FAILED]);
  await alice.call(["report", "r:alice", "r:bob", FAILED]);
  assertEquals(await bob.settle(), []);
});

Deno.test("a pair that failed is one line of the log, with both addresses and why; a crowd of them is few", async () => {
  await using server = await serverProcess([], { PORT: "0", SIGNAL_HOST: "127.0.0.1", LOG_FORMAT: "text" });
  const url = `ws://127.0.0.1:${await server.port}`;
  using bob = await TestClient.openV3(url);
  using alice = await TestClient.openV3(url);
  await alice.call(["join", "alice", "r"], ["join", "r:alice"]);
  for (let i = 0; i < 60; i++) {
    bob.send(["join", `bob${i}`, "r"]);
    bob.send(["signal", `r:bob${i}`, "r:alice", { description: { type: "offer", sdp: "" } }]);
    bob.send(["report", `r:bob${i}`, "r:alice", FAILED]);
    bob.send(["report", `r:bob${i}`, "r:alice", FAILED]);
    bob.send(["leave", `r:bob${i}`]);
  }
  await bob.settle();
  server.kill("SIGTERM");
  const { stdout } = await server.output;
  const lines = stdout.split("\n").filter((line) => line.includes("has no link"));
  assertMatch(
    lines[0]!,
    /r:bob0 has no link to r:alice: no-answer, after [\d.]+ s, 1 signals sent and 0 received/,
  );
  assertEquals(lines.filter((line) => line.includes("r:bob0 ")).length, 1);
  // 20 at once, and another for a second that passes.
  assertEquals(lines.length >= 20 && lines.length <= 25, true, `${lines.length} lines`);
});
