/** Rooms that ask for a token: what members by token, and those without, are told. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import type { Config } from "../../lib/config/options.ts";
import { ErrorText } from "../../lib/protocol/codes.ts";
import { TestClient } from "../kit/client.ts";
import { fileWith } from "../kit/files.ts";
import { RawClient } from "../kit/raw_client.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { type TestServer, testServer } from "../kit/server.ts";
import { inSeconds, SECRET, token } from "../kit/tokens.ts";

async function withTokens(
  play: (server: TestServer) => Promise<void>,
  options: Partial<Config> = {},
): Promise<void> {
  using file = fileWith(SECRET);
  await using server = testServer({ tokenSecretFile: file.path, ...options });
  await play(server);
}

Deno.test("without a token nobody joins; with one its rooms are open, and its ident", async () => {
  await withTokens(async ({ url }) => {
    using client = await TestClient.openV3(url);
    await client.call(
      ["join", "a", "r"],
      ["error", "unauthorised", ErrorText.unauthorised, "join", "a", "r"],
    );
    const alice = await token({ rooms: ["r", "hall-*"], sub: "alice" });
    const refused = (
      sentence: string,
      ident: string,
      room: string,
    ) => ["error", "unauthorised", sentence, "join", ident, room];
    const other = 'The token is not for the room "s".';
    await client.call(["join", "alice", "s", { token: alice }], refused(other, "alice", "s"));
    const foreign = 'The token is for another ident than "bob".';
    await client.call(["join", "bob", "r", { token: alice }], refused(foreign, "bob", "r"));
    await client.call(["join", "alice", "r", { token: alice }], ["join", "r:alice"]);
    await client.call(["join", "alice", "hall-2", { token: alice }], ["join", "hall-2:alice"]);
    const late = await token({ exp: inSeconds(-30) });
    client.send(["join", "x", "r", { token: late }]);
    const [, code, sentence] = await client.next() as string[];
    assertEquals(code, "unauthorised");
    assertMatch(sentence!, /^The token expired 3[01] s ago\.$/);
    // An answer for each call, in order, whatever had to be looked at in between.
    const calls = [["ident"], ["join", "y", "r", { token: late }], ["ping"], ["join", "z", "r", {
      token: alice,
    }], ["ident"]];
    for (const call of calls) client.send(call);
    const names = [];
    for (const _ of calls) names.push(((await client.next()) as string[])[0]);
    assertEquals(names, ["ident", "error", "pong", "error", "ident"]);
  });
});

Deno.test("a token in the address, or as Authorization, is good for all joins of a socket, of version 2 too", async () => {
  await withTokens(async ({ url, port }) => {
    const good = await token({ rooms: ["r", "s"] });
    using old = await TestClient.open(`${url}/any/path?token=${good}`);
    await old.call(["join", "a", "r"], ["join", "r:a"]);
    await old.call(["join", "a", "s"], ["join", "s:a"]);
    await old.call(["join", "a", "t"]);
    using bearer = await RawClient.open(port, { Authorization: `Bearer ${good}` });
    assertEquals(await bearer.settle(["join", "b", "r"]), ['["join","r:b"]', '["stun","r:b","r:a",true]']);
    using bad = await RawClient.open(port, { Authorization: `Bearer ${await token({}, "t".repeat(43))}` });
    assertEquals(await bad.settle(["join", "c", "r"]), []);
    // A join may bring its own.
    using young = await TestClient.openV3(`${url}/?token=${good}`);
    const own = await token({ rooms: ["t"] });
    await young.call(["join", "d", "t", { token: own }], ["join", "t:d"]);
  });
});

Deno.test("open rooms ask for none, but look at one that is given", async () => {
  await withTokens(async ({ url }) => {
    using client = await TestClient.openV3(url);
    await client.call(["join", "a", "lobby"], ["join", "lobby:a"]);
    await client.call(["join", "a", "public-1"], ["join", "public-1:a"]);
    await client.call(
      ["join", "a", "public"],
      ["error", "unauthorised", ErrorText.unauthorised, "join", "a", "public"],
    );
    const other = await token();
    await client.call(
      ["join", "b", "lobby", { token: other }],
      ["error", "unauthorised", 'The token is not for the room "lobby".', "join", "b", "lobby"],
    );
  }, { openRooms: ["lobby", "public-*"] });
});

Deno.test("what the server vouches for is told to version 3; a watcher is introduced, and does not signal", async () => {
  await withTokens(async ({ url }) => {
    using old = await TestClient.open(`${url}?token=${await token({ info: { name: "Old" } })}`);
    using young = await TestClient.openV3(url);
    await old.call(["join", "o", "r"], ["join", "r:o"]);
    const watch = await token({ info: { name: "Young" }, publish: false });
    await young.call(
      ["join", "y", "r", { token: watch }],
      ["join", "r:y"],
      ["stun", "r:y", "r:o", true, { name: "Old" }],
    );
    await old.expect(["stun", "r:o", "r:y", false]);
    const sentence = "The token of this member lets it watch, not signal.";
    await young.call(
      ["signal", "r:y", "r:o", 1],
      ["error", "unauthorised", sentence, "signal", "r:y", "r:o"],
    );
    await old.call(["signal", "r:o", "r:y", 2]);
    await young.expect(["signal", "r:y", "r:o", 2]);
    // With a token that lets it, it may.
    young.send(["renew", "r:y", await token()]);
    assertEquals(((await young.next()) as unknown[]).slice(0, 2), ["renewed", "r:y"]);
    await young.call(["signal", "r:y", "r:o", 3]);
    await old.expect(["signal", "r:o", "r:y", 3]);
  });
});

Deno.test("a member is told before its token ends, may renew it, and is removed at the end", async () => {
  await withTokens(async ({ url, counts }) => {
    using stays = await TestClient.openV3(url);
    await stays.call(["join", "s", "r", { token: await token() }], ["join", "r:s"]);
    using client = await TestClient.openV3(url);
    const short = await token({ exp: inSeconds(3) });
    await client.call(["join", "a", "r", { token: short }], ["join", "r:a"], ["stun", "r:a", "r:s", true]);
    await stays.expect(["stun", "r:s", "r:a", false]);
    const [name, own, seconds] = await client.next() as [string, string, number];
    assertEquals([name, own], ["expiring", "r:a"]);
    assert(seconds >= 1 && seconds <= 3, String(seconds));
    await client.call(
      ["renew", "r:x", short],
      ["error", "not-a-member", ErrorText["not-a-member"], "renew", "r:x"],
    );
    const foreign = await token({ rooms: ["s"] });
    await client.call(
      ["renew", "r:a", foreign],
      ["error", "unauthorised", 'The token is not for the room "r".', "renew", "r:a"],
    );
    client.send(["renew", "r:a", await token({ exp: inSeconds(1), until: inSeconds(5) })]);
    const [renewed, , left] = await client.next() as [string, string, number];
    assertEquals(renewed, "renewed");
    assert(left === 4 || left === 5, String(left));
    assertEquals(((await client.next()) as string[])[0], "expiring");
    // Its exp is over by now.
    assertEquals(await stays.settle(), [], "until counts, not exp");
    await client.expect(["gone", "r:a", "r:a", "expired"]);
    await stays.expect(["gone", "r:s", "r:a", "expired"]);
    await counts({ sockets: 2, addresses: 1 });
    // The socket stays: it may come back with a fresh one.
    await client.call(["join", "a", "r", { token: await token() }], ["join", "r:a"], [
      "stun",
      "r:a",
      "r:s",
      true,
    ]);
  });
});

Deno.test("a session by token can be resumed, but not beyond its token's end", async () => {
  using resumeSecret = fileWith("z".repeat(32));
  await withTokens(async (server) => {
    const { port } = server;
    using a = await ResumingClient.join(port, "a", "r", { token: await token({ publish: false }) });
    await a.resealed();
    const watching = a.offer.id;
    assertEquals((await a.resume(port))[0], "resumed");
    assertEquals(
      ((await a.settle(["signal", "r:a", "r:a", 1]))[0] as string[])[1],
      "unauthorised",
      "it still watches",
    );
    using b = await ResumingClient.join(port, "b", "r", { token: await token({ exp: inSeconds(2) }) });
    await b.resealed();
    b.drop();
    await server.counts({ sleeping: 1 });
    for (;;) {
      const message = await a.next();
      if (message[0] === "gone") {
        assertEquals(message, ["gone", "r:a", "r:b", "expired"]);
        break;
      }
    }
    assertEquals((await b.resume(port))[1], "cannot-resume");
    using c = await ResumingClient.join(port, "c", "r", {
      token: await token({ exp: inSeconds(2), info: { x: 1 } }),
    });
    await c.resealed();
    const seal = c.offer.id;
    await withTokens(async (next) => {
      using again = await ResumingClient.open(next.port);
      assertEquals((await again.resume(next.port, { id: watching, count: 0 }))[0], "resumed");
      assertEquals(((await again.settle(["signal", "r:a", "r:a", 1]))[0] as string[])[1], "unauthorised");
      using soon = await ResumingClient.open(next.port);
      assertEquals((await soon.resume(next.port, { id: seal, count: 0 }))[0], "resumed");
      assertEquals(await again.next(), ["stun", "r:a", "r:c", false, { x: 1 }]);
      for (;;) {
        const message = await again.next();
        if (message[0] === "gone") {
          assertEquals(message, ["gone", "r:a", "r:c", "expired"]);
          break;
        }
      }
    }, { resumeSecretFile: resumeSecret.path });
    await withTokens(async (next) => {
      using late = await ResumingClient.open(next.port);
      assertEquals((await late.resume(next.port, { id: seal, count: 0 }))[1], "cannot-resume");
    }, { resumeSecretFile: resumeSecret.path });
  }, { resumeSecretFile: resumeSecret.path });
});

Deno.test("TURN credentials are for members by token, carry their ident, and are not in the welcome", async () => {
  using turnSecret = fileWith("turn secret");
  const turn = { turnUrl: ["turn:turn.example.org"], turnSecretFile: turnSecret.path };
  const users = (answer: unknown) =>
    (answer as { iceServers: { username?: string }[] }).iceServers.flatMap(({ username }) => username ?? []);
  await withTokens(async ({ url, httpUrl }) => {
    using client = await TestClient.openV3(url);
    assertEquals(users(client.welcome), []);
    const ask = async () => {
      client.send(["ice"]);
      return users((await client.next() as unknown[])[1]);
    };
    assertEquals(await ask(), []);
    await client.call(["join", "guest", "lobby"], ["join", "lobby:guest"]);
    assertEquals(await ask(), [], "a guest has shown none");
    await client.call(["join", "n", "r", { token: await token({ ice: false }) }], ["join", "r:n"]);
    assertEquals(await ask(), [], "a token without");
    await client.call(["join", "älice x", "r", { token: await token() }], ["join", "r:älice x"], [
      "stun",
      "r:n",
      "r:älice x",
      false,
    ], ["stun", "r:älice x", "r:n", true]);
    const [user] = await ask();
    assertMatch(user!, /^\d+:%C3%A4lice%20x$/);

    const get = async (headers: Record<string, string>, query = "") => {
      const answer = await fetch(`${httpUrl}/ice${query}`, { headers });
      return [answer.status, answer.ok ? users(await answer.json()) : await answer.text()];
    };
    assertEquals(await get({}), [401, "A token is asked for: Authorization: Bearer.\n"]);
    assertEquals(await get({ authorization: "Bearer x" }), [401, "The token is not a JWT.\n"]);
    assertEquals((await get({ authorization: `Bearer ${await token({ ice: false })}` }))[0], 403);
    const good = await token({ sub: "bob" });
    for (
      const [status, names] of [
        await get({ authorization: `Bearer ${good}` }),
        await get({}, `?token=${good}`),
      ]
    ) {
      assertEquals(status, 200);
      assertMatch(String(names), /^\d+:bob$/);
    }
  }, { ...turn, openRooms: ["lobby"] });
});

Deno.test("an ident of any length and letters makes a user name that TURN takes", async () => {
  using turnSecret = fileWith("turn secret");
  await using server = testServer({ turnUrl: ["turn:turn.example.org"], turnSecretFile: turnSecret.path });
  using client = await TestClient.openV3(server.url);
  const ident = "😀".repeat(64);
  await client.call(["join", ident, "r"], ["join", `r:${ident}`]);
  client.send(["ice"]);
  const [, { iceServers }] = await client.next() as [string, { iceServers: { username?: string }[] }];
  const { username } = iceServers.find(({ username }) => username !== undefined)!;
  assertMatch(username!, /^\d+:(%[0-9A-F]{2})+$/);
  assert(username!.length < 509);
});

Deno.test("tokens that are not good are looked at so often, and then not at all", async () => {
  await withTokens(async ({ url }) => {
    using client = await TestClient.openV3(url);
    const bad = await token({}, "t".repeat(43));
    const codes = [];
    for (let i = 0; i < 4; i++) {
      client.send(["join", `x${i}`, "r", { token: bad }]);
      codes.push((await client.next() as string[])[1]);
    }
    assertEquals(codes, ["unauthorised", "unauthorised", "unauthorised", "rate-limited"]);
    // Those who are in stay in.
    assertEquals(await client.settle(), []);
  }, { tokenBurst: 3, tokenRate: 0.001 });
});

Deno.test("calls that wait for a token to be looked at are bounded", async () => {
  // Keys that never come: see there how long that is waited for.
  const never = Promise.withResolvers<Response>();
  const keys = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => never.promise);
  await using server = testServer({
    tokenJwks: `http://127.0.0.1:${keys.addr.port}/`,
    callBurst: 100_000,
  });
  using client = await TestClient.openV3(server.url);
  using other = await TestClient.openV3(server.url);
  client.send(["join", "a", "r", { token: await token() }]);
  for (let i = 0; i < 2000; i++) client.send(["ping"]);
  const { code, reason } = await client.closed;
  assertEquals(code, 1013);
  assertStringIncludes(reason, "wait");
  assertEquals(await other.settle(), []);
  never.resolve(new Response());
  await keys.shutdown();
});
