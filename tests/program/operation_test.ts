/** What an operator sees: readiness, an orderly stop, files that change while the server runs. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { fileWith } from "../kit/files.ts";
import { serverProcess, startFlags, testServer } from "../kit/server.ts";
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
  await server.said(/can't be used, so all stays as it was: --token-secret-file .*32 at least/);
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
  assertStringIncludes(stderr, "all stays as it was");
});
