import { assert, assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { fileWith } from "../kit/files.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { testServer } from "../kit/server.ts";
import { SECRET, token } from "../kit/tokens.ts";

const WORD = "w".repeat(32);

async function withAdmin(
  play: (
    server: ReturnType<typeof testServer>,
    ask: (
      path: string,
      options?: { method?: string; word?: string },
    ) => Promise<{ status: number; body: unknown }>,
  ) => Promise<void>,
  options: Parameters<typeof testServer>[0] = {},
): Promise<void> {
  using file = fileWith(WORD + "\n");
  await using server = testServer({ adminTokenFile: file.path, ...options });
  await play(server, async (path, { method = "GET", word = WORD } = {}) => {
    const answer = await fetch(server.httpUrl + path, {
      method,
      headers: word === "" ? {} : { authorization: `Bearer ${word}` },
    });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type") === "application/json";
    return { status: answer.status, body: isJson ? JSON.parse(text) : text };
  });
}

Deno.test("without an administrator there is nothing at his path", async () => {
  await using server = testServer();
  const answer = await fetch(`${server.httpUrl}/admin/rooms`, {
    headers: { authorization: `Bearer ${WORD}` },
  });
  assertEquals(answer.status, 404);
  await answer.body?.cancel();
});

Deno.test("who is not the administrator learns nothing, and is not asked too often", async () => {
  await withAdmin(async (_, ask) => {
    for (
      const path of [
        "/admin/rooms",
        "/admin/",
        "/admin/rooms/x",
        "/admin/anything",
        `/admin/rooms?token=${WORD}`,
      ]
    ) {
      assertEquals((await ask(path, { word: "" })).status, 401, path);
    }
    for (const word of ["x", WORD + "x", WORD.slice(1)]) {
      assertEquals((await ask("/admin/rooms", { word })).status, 401, word);
    }
    assertEquals((await ask("/admin/rooms", { word: "x" })).status, 429);
    assertEquals((await ask("/admin/rooms")).status, 429, "not even the right one, from this address");
  }, { tokenBurst: 3, tokenRate: 0.001 });
});

Deno.test("rooms and members are listed, in pages", async () => {
  using secret = fileWith(SECRET);
  await withAdmin(async (server, ask) => {
    assertEquals(await ask("/admin/rooms"), { status: 200, body: { rooms: [] } });
    const before = Date.now();
    using old = await TestClient.open(server.url);
    for (const room of ["b/c d", "a", "ä"]) await old.call(["join", "x", room], ["join", `${room}:x`]);
    using young = await ResumingClient.join(server.port, "y", "a", { token: await token({ rooms: ["a"] }) });
    young.drop();
    await server.counts({ sleeping: 1 });
    assertEquals(await ask("/admin/rooms?limit=2"), {
      status: 200,
      body: { rooms: [{ room: "a", peers: 2 }, { room: "b/c d", peers: 1 }], next: "b/c d" },
    });
    assertEquals((await ask("/admin/rooms?after=b/c%20d")).body, { rooms: [{ room: "ä", peers: 1 }] });
    assertEquals((await ask("/admin/rooms/b%2Fc%20d")).status, 200);

    const { body } = await ask("/admin/rooms/a") as {
      body: { room: string; peers: Record<string, string>[] };
    };
    assertEquals(body.room, "a");
    const [x, y] = body.peers;
    for (const peer of [x!, y!]) {
      const since = Date.parse(peer["since"]!);
      assert(since >= before && since <= Date.now(), peer["since"]);
    }
    assertEquals({ ...x, since: "" }, {
      ident: "x",
      since: "",
      version: 2,
      client: "127.0.0.1",
      asleep: false,
    });
    assertEquals({ ...y, since: "", until: "" }, {
      ident: "y",
      since: "",
      version: 3,
      client: "127.0.0.1",
      asleep: true,
      until: "",
    });
    assert(Date.parse(y!["until"]!) > Date.now() + 3_000_000);
    assertEquals(
      (await ask("/admin/rooms/a?limit=1")).body,
      { room: "a", links: { pairs: 0, connected: 0, failed: [] }, peers: [x], next: "x" },
    );
    assertEquals(((await ask("/admin/rooms/a?after=x")).body as typeof body).peers, [y!]);
  }, { tokenSecretFile: secret.path, openRooms: ["*"] });
});

Deno.test("a member is removed: its socket is closed with 4003, and the others are told", async () => {
  await withAdmin(async (server, ask) => {
    using a = await TestClient.openV3(server.url);
    using b = await TestClient.openV3(server.url);
    await a.call(["join", "a", "r"], ["join", "r:a"]);
    await b.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:b", "r:a", true]);
    await b.call(["join", "b", "s"], ["join", "s:b"]);
    await a.settle();
    assertEquals(await ask("/admin/rooms/r/b", { method: "DELETE" }), { status: 204, body: "" });
    await a.expect(["gone", "r:a", "r:b", "removed"]);
    await b.expect(["gone", "r:b", "r:b", "removed"]);
    assertEquals(await b.settle(), [], "it is still in the other room");
    await ask("/admin/rooms/s/b", { method: "DELETE" });
    await b.expect(["gone", "s:b", "s:b", "removed"]);
    assertEquals((await b.closed).code, 4003);
    assertEquals((await ask("/admin/rooms/s/b", { method: "DELETE" })).status, 404);

    using sleeper = await ResumingClient.join(server.port, "c", "r");
    sleeper.drop();
    await server.counts({ sleeping: 1 });
    await ask("/admin/rooms/r/c", { method: "DELETE" });
    await a.expect(["stun", "r:a", "r:c", false], ["gone", "r:a", "r:c", "removed"]);
    await server.counts({ sleeping: 0 });
    assertEquals((await sleeper.resume(server.port))[1], "cannot-resume");
  });
});

Deno.test("a removed member does not come back by its seal", async () => {
  using secret = fileWith("z".repeat(32));
  await withAdmin(async (server, ask) => {
    using a = await ResumingClient.join(server.port, "a", "r");
    await a.resealed();
    const { id } = a.offer;
    await ask("/admin/rooms/r/a", { method: "DELETE" });
    await server.counts({ addresses: 0 });
    assertEquals((await a.resume(server.port, { id }))[1], "cannot-resume");
  }, { resumeSecretFile: secret.path });
});

Deno.test("what can't be asked for is told", async () => {
  await withAdmin(async (_, ask) => {
    const said = async (path: string, method = "GET") => {
      const { status, body } = await ask(path, { method });
      return `${status} ${typeof body === "string" ? body.trim() : ""}`;
    };
    assertEquals(await said("/admin/rooms/nowhere"), "404 There is no such room.");
    assertEquals(await said("/admin/other"), "404 There is nothing here but /admin/rooms.");
    assertEquals(await said("/admin/rooms/a/b/c"), "404 There is nothing here but /admin/rooms.");
    assertEquals(await said("/admin/rooms/%ff"), "400 The path can't be read.");
    for (const limit of ["0", "1001", "x", "1.5"]) {
      assertStringIncludes(await said(`/admin/rooms?limit=${limit}`), "400 limit is a whole number");
    }
    assertEquals(await said("/admin/rooms", "DELETE"), "405 Only GET, HEAD is possible here.");
    assertEquals(await said("/admin/rooms/a/b"), "405 Only DELETE is possible here.");
  });
});
