/** What an operator sees: readiness, an orderly stop, files that change while the server runs. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { fileWith } from "../kit/files.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { serverProcess, startFlags, testServer } from "../kit/server.ts";
import { signal } from "../nat/firewalls.ts";
import { createNatLab, natLabUnavailable } from "../nat/nat.ts";
import { testWith } from "../kit/parts.ts";
import { SECRET, token } from "../kit/tokens.ts";

const HERE = { PORT: "0", SIGNAL_HOST: "127.0.0.1", SIGNAL_STUN_PORT: "off", LOG_FORMAT: "text" };

async function status(url: string): Promise<[number, Record<string, unknown>]> {
  const response = await fetch(url);
  return [response.status, await response.json()];
}

Deno.test("before a server stops /readyz says so for a while, and all else goes on", async () => {
  await using server = await serverProcess(["--drain-delay", "2"], HERE);
  const url = `127.0.0.1:${await server.port}`;
  assertEquals(await status(`http://${url}/readyz`), [200, { ready: true }]);
  const stopped = performance.now();
  server.kill("SIGTERM");
  await server.said(/stopping in 2 s/);
  assertEquals(await status(`http://${url}/readyz`), [503, { ready: false, why: "draining" }]);
  assertEquals((await status(`http://${url}/healthz`))[0], 200);
  using late = await TestClient.openV3(`ws://${url}`);
  await late.call(["join", "late", "r"], ["join", "r:late"]);
  const [name] = await late.next() as [string];
  assertEquals(name, "goodbye");
  assertEquals((await late.closed).code, 1012);
  assertEquals((await server.output).code, 0);
  // Nobody was there for most of the time.
  assert(performance.now() - stopped >= 2000);
});

Deno.test("when a server stops all are told at once, and closed over half of the drain", async () => {
  const server = testServer({ drain: 4 });
  const clients = await Promise.all(Array.from({ length: 450 }, () => TestClient.openV3(server.url)));
  const closings: number[] = [];
  for (const client of clients) client.closed.then(() => closings.push(performance.now()));
  const begun = performance.now();
  const drained = server.drain();
  for (const client of clients) assertEquals((await client.next() as [string])[0], "goodbye");
  const told = performance.now();
  await drained;
  await Promise.all(clients.map(({ closed }) => closed));
  const late = closings.filter((at) => at > told).length;
  assert(late > 200, `${late} of 450 were closed after all had been told`);
  assert(closings.at(-1)! - begun < 4000, "it took longer than half of the drain, and a delay");
});

Deno.test("a connection that breaks between the goodbye and its turn to be closed is none to come back to", async () => {
  const server = testServer({ drain: 4 });
  const others = await Promise.all(Array.from({ length: 450 }, () => TestClient.open(server.url)));
  const members = await Promise.all(
    Array.from({ length: 10 }, (_, i) => ResumingClient.join(server.port, `m${i}`, `room${i}`)),
  );
  const drained = server.drain();
  for (const member of members) {
    while (!(await member.raw.text())!.startsWith('["goodbye"'));
    member.drop();
  }
  await drained;
  assertEquals(server.health().sleeping, 0);
  await Promise.all(others.map(({ closed }) => closed));
});

Deno.test("a server whose event loop is late all the time is not ready, and is again when that is over", async () => {
  await using server = testServer({ stunPort: "off" });
  const ready = async () => (await status(`${server.httpUrl}/readyz`))[1];
  assertEquals(await ready(), { ready: true });
  const turns = (ms: number, count: number) =>
    Array.from({ length: count }).reduce<Promise<void>>((before) =>
      before.then(() => {
        const end = performance.now() + ms;
        while (performance.now() < end);
        return new Promise((resolve) => setTimeout(resolve));
      }), Promise.resolve());
  await turns(900, 6);
  assertEquals(await ready(), { ready: false, why: "overloaded" });
  let said = await ready();
  while (!said["ready"]) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    said = await ready();
  }
});

Deno.test("SIGHUP takes up a new TURN secret and new keys for tokens; what is broken changes nothing", async () => {
  using turn = fileWith("the first secret for TURN");
  using keys = fileWith(SECRET);
  await using server = await serverProcess(
    [
      ...[
        "--turn-url",
        "turn:turn.example.org",
        "--turn-secret-file",
        turn.path,
        "--token-secret-file",
        keys.path,
      ],
    ],
    HERE,
    [...await startFlags(), `--allow-read=${turn.path},${keys.path}`],
  );
  const url = `127.0.0.1:${await server.port}`;
  const ice = async (word: string) => {
    const response = await fetch(`http://${url}/ice`, { headers: { authorization: `Bearer ${word}` } });
    return [response.status, await response.text()] as const;
  };
  const credential = ([, text]: readonly [number, string]) => JSON.parse(text).iceServers.at(-1).credential;
  const old = await token({ rooms: ["r"], sub: "a" });
  using member = await TestClient.openV3(`ws://${url}`);
  await member.call(["join", "a", "r", { token: old }], ["join", "r:a"]);
  const first = credential(await ice(old));

  Deno.writeTextFileSync(turn.path, "another secret for TURN");
  Deno.writeTextFileSync(keys.path, "t".repeat(43));
  server.kill("SIGHUP");
  await server.said(/taken up from its file: the TURN secret and the keys for tokens/);
  const young = await token({ rooms: ["r"], sub: "a" }, "t".repeat(43));
  assertEquals((await ice(old))[0], 401);
  const second = await ice(young);
  assertEquals(second[0], 200);
  assert(credential(second) !== first, "the credentials are those of the old secret");

  Deno.writeTextFileSync(keys.path, "too short");
  Deno.writeTextFileSync(turn.path, "");
  server.kill("SIGHUP");
  await server.said(/can't be used, so what it held stays: --token-secret-file .*32 at least/);
  assertEquals((await ice(young))[0], 200);
  // Neither has a socket been closed, nor the process ended.
  assertEquals(await member.settle(), []);

  // Nor is anybody needed to say so.
  Deno.writeTextFileSync(keys.path, SECRET);
  Deno.writeTextFileSync(turn.path, "a third secret for TURN");
  await server.said(/(taken up from its file: [^\n]*\n[\s\S]*){2}/);
  assertEquals((await ice(old))[0], 200);
  server.kill("SIGTERM");
  assertEquals((await server.output).code, 0);
});

Deno.test("OPTIONS on a path that there is, is answered 2xx: some balancers ask so", async () => {
  await using server = testServer();
  for (const path of ["/", "/healthz", "/readyz", "/metrics", "/client.js"]) {
    const response = await fetch(server.httpUrl + path, { method: "OPTIONS" });
    await response.body?.cancel();
    assertEquals(response.status, 204, path);
    assertMatch(response.headers.get("allow")!, /GET/);
  }
});

Deno.test("an empty file, as a mount leaves it for a moment, is told once and forgotten when it is filled", async () => {
  using turn = fileWith("the first secret for TURN");
  await using server = await serverProcess(
    ["--turn-url", "turn:turn.example.org", "--turn-secret-file", turn.path],
    HERE,
    [...await startFlags(), `--allow-read=${turn.path}`],
  );
  await server.port;
  Deno.writeTextFileSync(turn.path, "");
  server.kill("SIGHUP");
  await server.said(/the TURN secret is empty/);
  Deno.writeTextFileSync(turn.path, "the first secret for TURN");
  server.kill("SIGHUP");
  await server.said(/nothing in them has changed/);
  server.kill("SIGTERM");
  const { stderr } = await server.output;
  assertStringIncludes(stderr, "what it held stays");
});

Deno.test("--base-path puts all that has a path below one; health is found without it, too", async () => {
  await using server = testServer({ basePath: "/signal/" });
  const ask = async (path: string) => {
    const response = await fetch(server.httpUrl + path, { redirect: "manual" });
    return {
      status: response.status,
      text: await response.text(),
      location: response.headers.get("location"),
    };
  };
  const page = await ask("/signal/");
  assertEquals(page.status, 200);
  assertStringIncludes(page.text, `${server.httpUrl}/signal/client.js`);
  // What the page loads is named by where it is itself.
  assertEquals([...page.text.matchAll(/(?:src|href)="\/(?!\/)[^"]*"/g)].map(([link]) => link), []);
  for (
    const path of [
      "/signal/page.js",
      "/signal/client.js",
      "/signal/docs/protocol",
      "/signal/healthz",
      "/signal/whoami",
    ]
  ) {
    assertEquals((await ask(path)).status, 200, path);
  }
  assertEquals(await ask("/signal"), { status: 308, text: "", location: "/signal/" });
  for (const path of ["/", "/client.js", "/signals/client.js", "/whoami"]) {
    assertEquals((await ask(path)).status, 404, path);
  }
  assertStringIncludes((await ask("/nowhere")).text, '<a href="/signal/">');
  for (const path of ["/healthz", "/readyz", "/metrics"]) assertEquals((await ask(path)).status, 200, path);
  using client = await TestClient.openV3(`${server.url}/signal/r/kitchen`);
  await client.call(["join", "a", "kitchen"], ["join", "kitchen:a"]);
});

Deno.test("lines of the log say whose socket it is, with the proxy's id of the request; addresses can be hidden", async () => {
  for (const format of ["text", "json"]) {
    for (const hidden of [false, true]) {
      await using server = await serverProcess(
        ["--log-level", "debug", ...hidden ? ["--log-addresses", "off"] : []],
        { ...HERE, LOG_FORMAT: format },
      );
      const port = await server.port;
      const socket = new WebSocket(`ws://127.0.0.1:${port}`, {
        protocols: ["diva.signal.v3"],
        headers: { "x-request-id": "req-4711" },
      });
      await new Promise((resolve) => socket.onopen = resolve);
      for (const call of [["join", "a", "kitchen"], ["nonsense"], ["ping"]]) {
        socket.send(JSON.stringify(call));
      }
      await new Promise<void>((resolve) => socket.onmessage = ({ data }) => data === '["pong"]' && resolve());
      socket.close();
      server.kill("SIGTERM");
      const { stdout } = await server.output;
      const joined = stdout.split("\n").find((line) => /kitchen:a\W+joined/.test(line))!;
      const refused = stdout.split("\n").find((line) => /refused \W*bad-call/.test(line))!;
      const named = stdout.includes('127.0.0.1"') || /of 127\.0\.0\.1/.test(stdout);
      if (format === "json") {
        const { socket, room, client, request } = JSON.parse(joined);
        assertEquals({ socket, room, client, request }, {
          socket: 0,
          room: "kitchen",
          client: hidden ? "hidden" : "127.0.0.1",
          request: "req-4711",
        });
        assertEquals(JSON.parse(refused).request, "req-4711");
      } else assertMatch(refused, hidden ? /of hidden, version 3/ : /of 127\.0\.0\.1, version 3/);
      if (format === "text") assertEquals(named, !hidden);
    }
  }
});

Deno.test("ranges of proxies have names", async () => {
  const { parse } = await import("../../lib/config/command_line.ts");
  const ranges = (...names: string[]) =>
    parse(names.flatMap((name) => ["--trust-proxy", name])).config.trustProxy.length;
  assertEquals([ranges("loopback"), ranges("private"), ranges("loopback", "10.0.0.0/8")], [2, 6, 3]);
  assert(ranges("cloudflare") > 20);
  await using server = testServer({ trustProxy: parse(["--trust-proxy", "loopback"]).config.trustProxy });
  const said =
    await (await fetch(`${server.httpUrl}/whoami`, { headers: { "x-forwarded-for": "198.51.100.7" } }))
      .json();
  assertEquals(said.address, "198.51.100.7");
  let message = "";
  try {
    parse(["--trust-proxy", "cloudflair"]);
  } catch (error) {
    message = (error as Error).message;
  }
  assertMatch(message, /loopback, private, cloudflare/);
});

/** What the server has found out of its own STUN at its public host; it asks once. */
async function atPublicHost(ask: () => Promise<{ stunAtPublicHost: string }>): Promise<string> {
  for (;;) {
    const { stunAtPublicHost } = await ask();
    if (stunAtPublicHost !== "unknown") return stunAtPublicHost;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

Deno.test("the server asks its own STUN at the public host, and says where no answer comes or a useless one", async () => {
  for (
    const [host, verdict, words] of [
      // For those who are near.
      ["127.0.0.1", "ok", undefined],
      ["127.0.0.2", "unanswered", /does not answer at 127\.0\.0\.2, UDP port \d+/],
    ] as const
  ) {
    await using server = await serverProcess(["--public-host", host], { ...HERE, SIGNAL_STUN_PORT: "0" });
    const port = await server.port;
    const health = async () => await (await fetch(`http://127.0.0.1:${port}/healthz`)).json();
    assertEquals(await atPublicHost(health), verdict);
    if (words !== undefined) await server.said(words);
    server.kill("SIGTERM");
    const { stderr } = await server.output;
    assertEquals(stderr === "", words === undefined, stderr);
  }
});

for (const hidden of [false, true]) {
  const name = hidden
    ? "where something hides who asks, as a container's proxy does, its own STUN sees a private address"
    : "at an address of the internet its own STUN is found well";
  testWith(natLabUnavailable(), name, async () => {
    await using lab = await createNatLab({ mapping: "cone" });
    if (hidden) {
      const command =
        "ip addr add 172.17.0.1/32 dev lo; nft 'add table ip hide; add chain ip hide out { type nat hook " +
        "postrouting priority 100; }; add rule ip hide out udp dport 3903 snat to 172.17.0.1'";
      await using hiding = lab.start("server", ["sh", "-c", command]);
      assertEquals((await hiding.process.status).code, 0);
    }
    await using server = await signal(lab, "--public-host", lab.publicAddress);
    const health = async () => {
      const command = `fetch("${
        server.url.replace("ws", "http")
      }/healthz").then((r) => r.text()).then(console.log)`;
      await using asking = lab.start("server", [Deno.execPath(), "eval", command], "piped");
      return JSON.parse(await new Response(asking.process.stdout).text());
    };
    assertEquals(await atPublicHost(health), hidden ? "private" : "ok");
  });
}

Deno.test("clients of version 2 signal until it is their turn to be closed", async () => {
  const server = testServer({ drain: 4 });
  const others = await Promise.all(Array.from({ length: 450 }, () => TestClient.open(server.url)));
  const [alice, bob] = [await TestClient.open(server.url), await TestClient.open(server.url)];
  await alice.call(["join", "a", "r"], ["join", "r:a"]);
  await bob.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:b", "r:a", true]);
  await alice.expect(["stun", "r:a", "r:b", false]);
  const drained = server.drain();
  await others[0]!.closed;
  bob.send(["signal", "r:b", "r:a", 1]);
  await alice.expect(["signal", "r:a", "r:b", 1]);
  await drained;
  assertEquals((await alice.closed).code, 1012);
});
