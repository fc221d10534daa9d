/** What sessions promise, of one server, over several nodes. */

import { assert, assertEquals, assertMatch } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { cluster, eventually, missingEngine } from "../kit/cluster.ts";
import { fileWith } from "../kit/files.ts";
import { testWith } from "../kit/parts.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { inSeconds, SECRET, token } from "../kit/tokens.ts";

const KEY = "k".repeat(22);
const WORD = "w".repeat(32);

testWith(missingEngine, "an address is taken over with its key on another node, by nobody else", async () => {
  await using two = await cluster(2);
  const [one, other] = two.nodes;
  using watcher = await TestClient.openV3(other!.url);
  await watcher.call(["join", "w", "r"], ["join", "r:w"]);
  using former = await TestClient.openV3(one!.url);
  await former.call(["join", "a", "r", { key: KEY }], ["join", "r:a"], ["stun", "r:a", "r:w", true]);
  await watcher.expect(["stun", "r:w", "r:a", false]);
  using thief = await TestClient.openV3(other!.url);
  thief.send(["join", "a", "r", { key: "z".repeat(22) }]);
  assertEquals((await thief.next() as string[])[1], "ident-taken");
  using heir = await TestClient.openV3(other!.url);
  heir.send(["join", "a", "r", { key: KEY }]);
  await heir.expect(["join", "r:a"], ["stun", "r:a", "r:w", true]);
  await watcher.expect(["gone", "r:w", "r:a", "replaced"], ["stun", "r:w", "r:a", false]);
  await former.expect(["gone", "r:a", "r:a", "replaced"]);
  assertEquals((await former.closed).code, 4001);
});

testWith(missingEngine, "a session is resumed on its node, and by its seal on another", async () => {
  using secret = fileWith(SECRET + "\n");
  await using two = await cluster(2, { resumeSecretFile: secret.path });
  const [one, other] = two.nodes;
  using a = await ResumingClient.join(one!.port, "a", "r");
  using b = await ResumingClient.join(other!.port, "b", "r");
  await a.settle();
  a.drop();
  await one!.counts({ sleeping: 1 });
  // From another node, while it sleeps.
  assertEquals(await b.settle(["signal", "r:b", "r:a", 1]), []);
  const [, resumed] = await a.resume(one!.port) as [string, { addresses: string[]; cold?: true }];
  assertEquals([resumed.addresses, resumed.cold], [["r:a"], undefined]);
  assertEquals(await a.next(), ["signal", "r:a", "r:b", 1]);

  a.drop();
  await one!.counts({ sleeping: 1 });
  const [, cold] = await a.resume(other!.port) as [string, { addresses: string[]; cold?: true }];
  assertEquals([cold.addresses, cold.cold], [["r:a"], true]);
  assertEquals(await a.next(), ["stun", "r:a", "r:b", true]);
  // What was left on the other node is no more.
  await one!.counts({ sleeping: 0, addresses: 0 });
  assertEquals((await b.next()).slice(0, 3), ["gone", "r:b", "r:a"]);
  assertEquals(await b.next(), ["stun", "r:b", "r:a", false]);
});

testWith(
  missingEngine,
  "calls behind a join wait for its outcome, and who goes meanwhile leaves nothing",
  async () => {
    await using two = await cluster(2);
    const [one, other] = two.nodes;
    using watcher = await TestClient.openV3(other!.url);
    await watcher.call(["join", "w", "r"], ["join", "r:w"]);
    using client = await TestClient.openV3(one!.url);
    for (let i = 0; i < 5; i++) {
      for (
        const call of [["join", `i${i}`, "r"], ["ping"], ["signal", `r:i${i}`, "r:w", i], [
          "leave",
          `r:i${i}`,
        ], ["ping"]]
      ) {
        client.send(call);
      }
      await client.expect(
        ["join", `r:i${i}`],
        ["stun", `r:i${i}`, "r:w", true],
        ["pong"],
        ["leave", `r:i${i}`],
        ["pong"],
      );
      await watcher.expect(
        ["stun", "r:w", `r:i${i}`, false],
        ["signal", "r:w", `r:i${i}`, i],
        ["gone", "r:w", `r:i${i}`, "left"],
      );
    }
    for (let i = 0; i < 50; i++) {
      using hasty = await TestClient.open(one!.url);
      hasty.send(["join", `h${i}`, "r"]);
      await hasty.close();
    }
    await one!.counts({ sockets: 1, addresses: 0, rooms: 0 });
    // Each that was introduced is gone again, and of none anything is left.
    const known = new Set<string>();
    await eventually("all have gone", async () => {
      for (const text of await watcher.settle()) {
        const [name, , who] = JSON.parse(text);
        if (name === "stun") known.add(who);
        else assert(known.delete(who), text);
      }
      return known.size === 0 && await two.engine.cli("--raw", "hkeys", "signal:room:r") === "w";
    });
  },
);

testWith(missingEngine, "the administrator sees all nodes' members, and removes them from any", async () => {
  using word = fileWith(WORD + "\n");
  await using two = await cluster(2, { adminTokenFile: word.path });
  const [one, other] = two.nodes;
  const ask = async (path: string, method = "GET") => {
    const answer = await fetch(one!.httpUrl + path, { method, headers: { authorization: `Bearer ${WORD}` } });
    const text = await answer.text();
    return { status: answer.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  };
  using near = await TestClient.openV3(one!.url);
  using far = await TestClient.openV3(other!.url);
  await near.call(["join", "near", "kitchen"], ["join", "kitchen:near"]);
  far.send(["join", "far", "kitchen"]);
  await far.expect(["join", "kitchen:far"], ["stun", "kitchen:far", "kitchen:near", true]);
  far.send(["join", "far", "attic"]);
  await far.expect(["join", "attic:far"]);
  assertEquals((await ask("/admin/rooms")).body, {
    rooms: [{ room: "attic", peers: 1 }, { room: "kitchen", peers: 2 }],
  });
  assertEquals((await ask("/admin/rooms?limit=1")).body, {
    rooms: [{ room: "attic", peers: 1 }],
    next: "attic",
  });
  const { body: { peers } } = await ask("/admin/rooms/kitchen");
  assertEquals(
    peers.map(({ ident, version, node }: Record<string, unknown>) => [ident, version, typeof node]),
    [
      ["far", undefined, "string"],
      ["near", 3, "undefined"],
    ],
  );
  assertEquals((await ask("/admin/rooms/kitchen/nobody", "DELETE")).status, 404);
  assertEquals((await ask("/admin/rooms/kitchen/far", "DELETE")).status, 204);
  await far.expect(["gone", "kitchen:far", "kitchen:far", "removed"]);
  await near.expect(["stun", "kitchen:near", "kitchen:far", false], [
    "gone",
    "kitchen:near",
    "kitchen:far",
    "removed",
  ]);
  two.engine.kill("SIGKILL");
  await two.all("cut off");
  const away = await ask("/admin/rooms");
  assertEquals(away.status, 503);
  assertMatch(String(away.body), /other nodes can't be reached/);
});

testWith(missingEngine, "a token that ends, ends the member for those on other nodes as well", async () => {
  using secret = fileWith(SECRET + "\n");
  await using two = await cluster(2, { tokenSecretFile: secret.path });
  const [one, other] = two.nodes;
  using watcher = await TestClient.openV3(other!.url);
  watcher.send(["join", "w", "r", { token: await token({ info: { name: "W" } }) }]);
  await watcher.expect(["join", "r:w"]);
  using brief = await TestClient.openV3(one!.url);
  brief.send(["join", "b", "r", { token: await token({ exp: inSeconds(3), info: { name: "B" } }) }]);
  await brief.expect(["join", "r:b"], ["stun", "r:b", "r:w", true, { name: "W" }]);
  await watcher.expect(["stun", "r:w", "r:b", false, { name: "B" }]);
  assertEquals((await brief.next() as string[])[0], "expiring");
  await brief.expect(["gone", "r:b", "r:b", "expired"]);
  await watcher.expect(["gone", "r:w", "r:b", "expired"]);
  await two.engine.cli("ping");
});

testWith(
  missingEngine,
  "a node that stops takes leave: its members are gone at once, and it is forgotten",
  async () => {
    await using two = await cluster(2);
    const [one, other] = two.nodes;
    using watcher = await TestClient.openV3(other!.url);
    await watcher.call(["join", "w", "r"], ["join", "r:w"]);
    using client = await TestClient.openV3(one!.url);
    client.send(["join", "a", "r"]);
    await client.expect(["join", "r:a"], ["stun", "r:a", "r:w", true]);
    await watcher.expect(["stun", "r:w", "r:a", false]);
    const at = performance.now();
    await one!.drain();
    await watcher.expect(["gone", "r:w", "r:a", "closed"]);
    assert(performance.now() - at < 5000);
    assertEquals(await two.engine.cli("--raw", "zcard", "signal:nodes"), "1");
  },
);
