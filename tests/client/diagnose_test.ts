/** What the check says of each thing that can be wrong: each verdict with the real fault. */

import { diagnose, type Step } from "../../lib/client/mod.ts";
import { assert, assertEquals, assertGreater, assertMatch } from "../kit/assert.ts";
import { coturn } from "../kit/coturn.ts";
import { losing, noPacketFilter } from "../kit/packet_filter.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { nginx } from "../kit/proxies.ts";
import { fileWith } from "../kit/files.ts";
import { testServer } from "../kit/server.ts";
import { RTCPeerConnection } from "../kit/webrtc.ts";

async function check(url: string, options: { quietSeconds?: number; stepTimeout?: number } = {}) {
  const told: Step[] = [];
  const diagnosis = await diagnose({
    url,
    RTCPeerConnection,
    stepTimeout: 3000,
    onStep: (step) => told.push(step),
    ...options,
  });
  assertEquals(told, diagnosis.steps);
  const step = (name: Step["name"]) => diagnosis.steps.find((step) => step.name === name)!;
  const verdict = (name: Step["name"]) => `${step(name)?.verdict}: ${step(name)?.text}`;
  return { ...diagnosis, step, verdict };
}

Deno.test("where nothing is wrong, the check says so, with what it measured", async () => {
  await using server = testServer();
  // Only what is missing need be given up soon.
  const { ok, step, steps, text, verdict } = await check(server.httpUrl, {
    quietSeconds: 0.2,
    stepTimeout: 20_000,
  });
  assertEquals([ok, steps.map(({ name }) => name)], [true, [
    "server",
    "websocket",
    "stun",
    "nat",
    "turn",
    "loop",
    "throughput",
    "quiet",
  ]], text);
  assertEquals(verdict("server"), "ok: The server is reached directly, from the address 127.0.0.1.");
  assertEquals(verdict("stun"), "ok: UDP is not blocked, and there is no address translation on the way.");
  assertEquals(step("turn").verdict, "notice");
  // Between the interfaces of one machine a peer may show as reflexive.
  assertMatch(String(step("loop").details.path), /^(?:host|reflexive)$/);
  assertEquals(step("quiet").verdict, "ok");
  assertGreater(step("throughput").details.megabitsPerSecond as number, 0);
  assertEquals(text.trim().split("\n").length, steps.length);
});

Deno.test("a server that isn't there, and one without STUN", async () => {
  const nowhere = await check("http://127.0.0.1:1");
  assertEquals([nowhere.ok, nowhere.steps.length], [false, 2]);
  assertMatch(nowhere.verdict("websocket"), /^failed: No WebSocket/);
  await using server = testServer({ stunPort: "off", stunSecondPort: "off" });
  const { step } = await check(server.httpUrl);
  assertEquals([step("stun").verdict, step("nat").verdict], ["notice", "skipped"]);
});

Deno.test("STUN that never answers: UDP is blocked, as far as one can see", async () => {
  const silent = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const stunUrl = [`stun:127.0.0.1:${(silent.addr as Deno.NetAddr).port}`];
  await using server = testServer({ stunPort: "off", stunSecondPort: "off", stunUrl });
  const { ok, step, verdict } = await check(server.httpUrl, { stepTimeout: 1000 });
  assertMatch(verdict("stun"), /^failed: No answer from stun:127\.0\.0\.1:\d+ over UDP\.$/);
  assertMatch(step("stun").advice!, /blocks UDP/);
  assertEquals([ok, step("loop").verdict], [false, "ok"]);
  silent.close();
});

testWith(missingBinaries("turnserver"), "TURN with another secret than ours, and with the same", async () => {
  await using turn = await coturn({ address: "127.0.0.1", secret: "north" });
  using kept = fileWith("north");
  for (const secret of ["south", "north"]) {
    const turnSecretFile = await Deno.makeTempFile();
    await Deno.writeTextFile(turnSecretFile, secret);
    await using server = testServer({ turnUrl: [turn.url], turnSecretFile });
    await Deno.remove(turnSecretFile);
    const { verdict, step } = await check(server.httpUrl);
    if (secret === "north") {
      assertMatch(verdict("turn"), /^ok: turn:127\.0\.0\.1:\d+\?transport=udp relays, after/);
      await using byTcp = testServer({
        turnUrl: [turn.url.replace("udp", "tcp")],
        turnSecretFile: kept.path,
      });
      const { verdict: other } = await check(byTcp.httpUrl);
      assertMatch(other("turn"), /^ok: turn:127\.0\.0\.1:\d+\?transport=tcp relays, after/);
    } else {
      assertMatch(verdict("turn"), /^failed: turn:/);
      assertMatch(step("turn").advice!, /the same secret/);
    }
  }
});

testWith(
  missingBinaries("nginx"),
  "proxies: without the upgrade, impatient, not believed, believed",
  async () => {
    await using server = testServer({ keepalive: 60 });
    {
      await using proxy = await nginx(server.port, "no upgrade");
      const { step, verdict } = await check(`http://127.0.0.1:${proxy.port}`);
      assertEquals(verdict("websocket"), "failed: The server answers, but no WebSocket comes about.");
      assertMatch(step("websocket").advice!, /upgrade/);
      assertMatch(verdict("server"), /^notice: A proxy at 127\.0\.0\.1 names clients/);
    }
    {
      await using proxy = await nginx(server.port, "as documented", "1s");
      const { step, verdict } = await check(`http://127.0.0.1:${proxy.port}`, { quietSeconds: 5 });
      assertMatch(verdict("quiet"), /^failed: A silent connection was ended after \d s \(1006\)\.$/);
      assertMatch(step("quiet").advice!, /--keepalive/);
    }
    const { parseRange } = await import("../../lib/http/client_address.ts");
    await using trusting = testServer({ trustProxy: [parseRange("127.0.0.1")!] });
    await using proxy = await nginx(trusting.port);
    const { verdict, step } = await check(`http://127.0.0.1:${proxy.port}`);
    assertEquals(step("server").details.proxies, 1);
    assert(verdict("server").startsWith("ok: The server is reached through a proxy"), verdict("server"));
  },
);

testWith(
  noPacketFilter,
  "a way that loses large packets: a link comes about, and nothing passes",
  async () => {
    await using server = testServer();
    await using _tunnel = await losing(server.port, "oifname lo udp length > 1100");
    const { ok, step, verdict } = await check(server.httpUrl);
    assertMatch(verdict("loop"), /^ok: /);
    assertEquals(
      verdict("throughput"),
      "failed: The two are connected, but what they send does not get through.",
    );
    assertMatch(step("throughput").advice!, /MTU/);
    assertEquals(ok, false);
  },
);
