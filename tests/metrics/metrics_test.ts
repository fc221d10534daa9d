/** Each metric moves by exactly what has happened. */

import { resolve } from "node:path";
import { assert, assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { meetInRoom, TestClient } from "../kit/client.ts";
import { cluster, missingEngine } from "../kit/cluster.ts";
import { fileWith } from "../kit/files.ts";
import { findBinary, missingBinaries, testWith } from "../kit/parts.ts";
import { RawClient } from "../kit/raw_client.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { type TestServer, testServer } from "../kit/server.ts";
import { stunClient } from "../kit/stun_client.ts";
import { type Figures, growth, readFigures, scrapeText } from "./scrape.ts";

/** What moves by itself: memory, lag, and the request by which it is asked for. */
const RESTLESS =
  /^(process_|signal_heap|signal_event_loop_lag|signal_relay_seconds|signal_http_responses_total)/;

const look = async ({ httpUrl }: TestServer): Promise<Figures> => readFigures(await scrapeText(httpUrl));

/** What grows while something happens. */
async function during(
  server: TestServer,
  what: () => Promise<unknown>,
  except = RESTLESS,
): Promise<Record<string, number>> {
  const before = await look(server);
  await what();
  return growth(before, await look(server), except);
}

const bytes = (...messages: unknown[]) =>
  messages.reduce((sum: number, message) => sum + JSON.stringify(message).length, 0);

Deno.test("sockets, rooms, addresses, calls, signals, messages and bytes are counted", async () => {
  await using server = testServer({ maxPairs: 0 });
  const welcome: Record<string, unknown>[] = [];
  using alice = await TestClient.open(server.url);
  using bob = await TestClient.openV3(server.url);
  welcome.push(bob.welcome);
  // Its counters are there from the first of its kind on.
  assertEquals(
    await during(server, () => TestClient.openV3(server.url).then((c) => welcome.push(c.welcome))),
    {
      'signal_sockets{version="3"}': 1,
      'signal_sockets_opened_total{version="3"}': 1,
      signal_sent_messages_total: 1,
      signal_sent_bytes_total: bytes(["welcome", welcome[1]]),
    },
  );
  assertEquals(await during(server, () => meetInRoom(alice, bob)), {
    signal_rooms: 1,
    'signal_addresses{version="2"}': 1,
    'signal_addresses{version="3"}': 1,
    'signal_calls_total{call="join"}': 2,
    'signal_calls_total{call="ping"}': 1,
    'signal_calls_total{call="signal"}': 1,
    signal_signals_relayed_total: 1,
    signal_pairs_introduced_total: 1,
    signal_received_messages_total: 4,
    signal_received_bytes_total: bytes(
      ["join", "alice", "room"],
      ["ping"],
      ["join", "bob", "room"],
      ["signal", "room:bob", "room:alice", { sdp: "v=0" }],
    ),
    signal_sent_messages_total: 6,
    signal_sent_bytes_total: bytes(
      ["join", "room:alice"],
      ["pong"],
      ["join", "room:bob"],
      ["stun", "room:bob", "room:alice", true],
      ["stun", "room:alice", "room:bob", false],
      ["signal", "room:alice", "room:bob", { sdp: "v=0" }],
    ),
  });
});

Deno.test("what is refused is counted by code, signals that reach nobody by reason, answers by status", async () => {
  await using server = testServer({ allowOrigin: ["https://app.example"] });
  using bob = await TestClient.openV3(server.url);
  await bob.call(["join", "bob", "r"], ["join", "r:bob"]);
  const grown = await during(server, async () => {
    bob.send(["signal", "r:bob", "r:nobody", 1]);
    bob.send(["signal", "r:carol", "r:bob", 1]);
    bob.send(["nonsense"]);
    await bob.settle();
    const response = await fetch(server.httpUrl, {
      headers: {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        origin: "https://other.example",
      },
    });
    assertEquals(response.status, 403);
    await response.body?.cancel();
    await (await fetch(`${server.httpUrl}/nowhere`)).body?.cancel();
  }, /^(process_|signal_heap|signal_event_loop_lag|signal_relay_seconds|signal_(sent|received)_)/);
  assertEquals(grown, {
    'signal_calls_total{call="signal"}': 2,
    'signal_calls_total{call="refused"}': 1,
    'signal_calls_total{call="ping"}': 1,
    'signal_signals_dropped_total{reason="no-such-peer"}': 1,
    'signal_signals_dropped_total{reason="not-a-member"}': 1,
    'signal_refusals_total{code="no-such-peer"}': 1,
    'signal_refusals_total{code="not-a-member"}': 1,
    'signal_refusals_total{code="bad-call"}': 1,
    'signal_refusals_total{code="origin"}': 1,
    // The figures before. A handshake is no plain request.
    'signal_http_responses_total{status="200"}': 1,
    'signal_http_responses_total{status="404"}': 1,
  });
});

Deno.test("pairs are counted by what became of them, by path and by the time that it took", async () => {
  await using server = testServer();
  const clients = await Promise.all([1, 2, 3].map(() => TestClient.openV3(server.url)));
  const grown = await during(
    server,
    async () => {
      for (const [i, client] of clients.entries()) {
        client.send(["join", `p${i}`, "r"]);
        await client.settle();
      }
      const report = async (own: number, other: number, link: object) => {
        await clients[own]!.settle();
        clients[own]!.send(["report", `r:p${own}`, `r:p${other}`, link]);
        await clients[own]!.settle();
      };
      await report(1, 0, { state: "connected", path: "host", ms: 5 });
      await report(2, 0, { state: "failed", why: "ice-failed" });
      await report(0, 2, { state: "failed", why: "ice-failed" });
      await report(2, 0, { state: "connected", path: "relay" });
      for (const client of clients.slice(1)) await client.close();
      await server.counts({ addresses: 1 });
    },
    /^(process_|signal_(heap|event_loop_lag|relay|sent|received|sockets|calls|http|rooms|addresses|clients|sleeping))/,
  );
  const buckets = Object.keys(grown).filter((name) => name.startsWith("signal_pair_seconds_bucket"));
  assert(buckets.includes('signal_pair_seconds_bucket{le="60"}'), "both were quick");
  for (const name of buckets) delete grown[name];
  assert(grown["signal_pair_seconds_sum"]! > 0);
  delete grown["signal_pair_seconds_sum"];
  assertEquals(grown, {
    'signal_pairs_total{outcome="connected"}': 2,
    'signal_pair_path_total{path="host"}': 1,
    'signal_pair_path_total{path="relay"}': 1,
    signal_pair_seconds_count: 2,
    signal_pairs_reintroduced_total: 1,
    signal_pairs_healed_total: 1,
    // One of them twice.
    signal_pairs_introduced_total: 4,
    'signal_link_reports_total{report="connected host"}': 1,
    'signal_link_reports_total{report="connected relay"}': 1,
    'signal_link_reports_total{report="failed ice-failed"}': 2,
  });
  clients[0]!.close();
});

Deno.test("STUN datagrams are counted by what becomes of them, TURN credentials as they are given", async () => {
  using secret = fileWith("a secret of some length, for TURN");
  await using server = testServer({ turnUrl: ["turn:turn.example.org"], turnSecretFile: secret.path });
  const [port] = server.stunPorts;
  using client = stunClient({ hostname: "127.0.0.1", port: port! }, "127.0.0.1");
  const grown = await during(server, async () => {
    await client.send(new Uint8Array(3));
    await client.ask();
    await (await fetch(`${server.httpUrl}/ice`)).json();
  });
  assertEquals(grown, {
    'signal_stun_requests_total{result="answered"}': 1,
    'signal_stun_requests_total{result="ignored"}': 1,
    signal_turn_credentials_total: 1,
  });
});

Deno.test("a session that sleeps and a reader that does not read are seen", async () => {
  await using server = testServer({ stunPort: "off", maxQueueBytes: 100_000_000, callBurst: 10_000 });
  using young = await ResumingClient.join(server.port, "y", "a");
  const grown = await during(server, async () => {
    young.drop();
    await server.counts({ sleeping: 1 });
  });
  assertEquals(grown, { signal_sleeping_sessions: 1, 'signal_sockets{version="3"}': -1 });

  using deaf = await RawClient.open(server.port);
  await deaf.send(["join", "deaf", "r"]);
  using loud = await TestClient.open(server.url);
  await loud.call(["join", "loud", "r"], ["join", "r:loud"], ["stun", "r:loud", "r:deaf", true]);
  for (let i = 0; i < 40; i++) {
    for (let j = 0; j < 10; j++) loud.send(["signal", "r:loud", "r:deaf", "x".repeat(60_000)]);
    await loud.settle();
  }
  let figures = await look(server);
  while (!figures.get("signal_queue_high_water_bytes")) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    figures = await look(server);
  }
  const most = figures.get("signal_queue_high_water_bytes")!;
  assert(most > 1_000_000 && most < 24_100_000, `${most}`);
  assertEquals(figures.get("signal_queued_bytes"), most);
});

Deno.test("the time to relay, the lag of the event loop and the memory are measured", async () => {
  await using server = testServer();
  using alice = await TestClient.open(server.url);
  using bob = await TestClient.openV3(server.url);
  await meetInRoom(alice, bob);
  const before = await look(server);
  for (let i = 0; i < 640; i++) bob.send(["signal", "room:bob", "room:alice", i]);
  await bob.settle();
  // A turn of the loop that takes long, in the midst of the server's own.
  const busy = performance.now() + 1200;
  while (performance.now() < busy);
  const late = () => look(server).then((after) => growth(before, after, /^$/));
  let grown = await late();
  while (!grown['signal_event_loop_lag_seconds_bucket{le="2.5"}']) grown = await late();
  assertEquals(grown["signal_relay_seconds_count"], 10);
  assert(grown["signal_event_loop_lag_seconds_sum"]! >= 0.5, "the loop was late by a tick at least");
  const now = await look(server);
  assert(now.get("process_resident_memory_bytes")! > 10_000_000);
  assert(now.get("signal_heap_used_bytes")! > 1_000_000);
  assert(Math.abs(now.get("process_start_time_seconds")! - Date.now() / 1000) < 600);
  assert(now.get("signal_memory_high_bytes")! > 100_000_000);
  assertEquals(now.get("signal_ready"), 1);
  assertEquals(now.get("signal_max_sockets"), 10_000);
});

testWith(
  missingEngine,
  "a cluster is seen by node, and signals to and from the others are counted",
  async () => {
    await using nodes = await cluster(2);
    const [one, other] = nodes.nodes as [TestServer, TestServer];
    using alice = await TestClient.open(one.url);
    using bob = await TestClient.openV3(other.url);
    await meetInRoom(alice, bob);
    const [here, there] = [await look(one), await look(other)];
    const of = (figures: Figures, name: string) =>
      [...figures].filter(([key]) => key.startsWith(`${name}{node="`)).map(([, value]) => value);
    assertEquals(of(here, "signal_cluster_up"), [1]);
    assertEquals(of(here, "signal_cluster_received_total"), [1]);
    assertEquals(of(there, "signal_cluster_published_total"), [1]);
  },
);

Deno.test("metrics are for those who are near, not through a proxy; with a word for whoever has it", async () => {
  await using server = testServer();
  const status = async (headers: HeadersInit = {}, at = server) => {
    const response = await fetch(`${at.httpUrl}/metrics`, { headers });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status(), 200);
  for (const name of ["x-forwarded-for", "forwarded", "via", "x-real-ip"]) {
    assertEquals(await status({ [name]: "127.0.0.1" }), 403, name);
  }
  await using behind = testServer({
    trustProxy: [[(await import("ipaddr.js")).default.IPv6.parse("::ffff:127.0.0.1"), 128]],
  });
  assertEquals(await status({ "x-forwarded-for": "198.51.100.7" }, behind), 403);
  assertEquals(await status({ "x-forwarded-for": "10.1.2.3" }, behind), 200);
  assertEquals(await status({}, behind), 200);

  using word = fileWith("w".repeat(40));
  await using guarded = testServer({ metricsTokenFile: word.path });
  assertEquals(await status({}, guarded), 401);
  assertEquals(await status({ authorization: "Bearer wrong" }, guarded), 401);
  assertEquals(
    await status({ authorization: `Bearer ${"w".repeat(40)}`, "x-forwarded-for": "198.51.100.7" }, guarded),
    200,
  );

  await using off = testServer({ metrics: "off" });
  assertEquals(await status({}, off), 404);

  await using apart = testServer({ metricsPort: 0 });
  assertEquals(await status({}, apart), 404);
  const back = `http://127.0.0.1:${apart.metricsPort}`;
  assertStringIncludes(await scrapeText(back), "signal_build_info{");
  assertEquals((await (await fetch(`${back}/readyz`)).json()).ready, true);
  assertEquals(await fetch(`${back}/`).then((r) => (r.body?.cancel(), r.status)), 404);
});

const OBSERVABILITY = new URL("../../.github/observability/", import.meta.url);
const RULES = new URL("alerts.yaml", OBSERVABILITY);

testWith(
  missingBinaries("promtool"),
  "promtool has nothing to say against the metrics and the rules",
  async () => {
    await using server = testServer();
    using alice = await TestClient.open(server.url);
    using bob = await TestClient.openV3(server.url);
    await meetInRoom(alice, bob);
    const promtool = findBinary("promtool")!;
    const check = new Deno.Command(promtool, {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    })
      .spawn();
    const writer = check.stdin.getWriter();
    await writer.write(new TextEncoder().encode(await scrapeText(server.httpUrl)));
    await writer.close();
    const { code, stdout, stderr } = await check.output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals({ code, said }, { code: 0, said: "" });
    const rules = await new Deno.Command(promtool, { args: ["check", "rules", resolve(RULES.pathname)] })
      .output();
    assertEquals(rules.code, 0, new TextDecoder().decode(rules.stderr));
  },
);

Deno.test("dashboard, alerts and documents name metrics that there are, and the documents all of them", async () => {
  await using server = testServer();
  const text = await scrapeText(server.httpUrl);
  const names = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name!));
  const used = (text: string) =>
    new Set(
      [...text.matchAll(/\b((?:signal|process)_[a-z_]+?)(?:_bucket|_sum|_count)?\b(?![a-z_])/g)].map((
        [, n],
      ) => n!),
    );
  for (const file of ["alerts.yaml", "dashboard.json"]) {
    const named = used(await Deno.readTextFile(new URL(file, OBSERVABILITY)));
    assert(named.size > 5, `${file} names hardly any metric`);
    assertEquals([...named].filter((name) => !names.has(name)), [], `${file} names what there isn't`);
  }
  JSON.parse(await Deno.readTextFile(new URL("dashboard.json", OBSERVABILITY)));
  const readme = used(await Deno.readTextFile(new URL("../../lib/metrics/README.md", import.meta.url)));
  assertEquals([...readme].sort(), [...names].sort());
});
