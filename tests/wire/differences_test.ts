/** Where the original server was at fault, ours differs on purpose: one test for each of the five. */

import { assertEquals } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { testServer } from "../kit/server.ts";

Deno.test("1: a signal is relayed only from an address of one's own, to one in the same room", async () => {
  await using server = testServer();
  using alice = await TestClient.open(server.url);
  using bob = await TestClient.open(server.url);
  using mallory = await TestClient.open(server.url);
  await alice.call(["join", "alice", "r"], ["join", "r:alice"]);
  await bob.call(["join", "bob", "r"], ["join", "r:bob"], ["stun", "r:bob", "r:alice", true]);
  await bob.call(["join", "bob", "s"], ["join", "s:bob"]);
  await mallory.call(["join", "mallory", "s"], ["join", "s:mallory"], ["stun", "s:mallory", "s:bob", true]);
  await alice.settle();
  await bob.settle();

  await mallory.call(["signal", "r:alice", "r:bob", "forged"]);
  await mallory.call(["signal", "s:mallory", "r:bob", "from another room"]);
  await mallory.call(["signal", "r:mallory", "r:bob", "from nobody"]);
  assertEquals(await bob.settle(), []);
  await mallory.call(["signal", "s:mallory", "s:bob", "allowed"]);
  await bob.expect(["signal", "s:bob", "s:mallory", "allowed"]);
});

Deno.test("2: idents and rooms are strings of bounded length, without control characters", async () => {
  await using server = testServer();
  using client = await TestClient.open(server.url);
  const passedOver: unknown[] = [
    [1, "r"],
    [null, "r"],
    [{}, "r"],
    ["", "r"],
    ["a:b", "r"],
    ["a\n", "r"],
    ["a\u007f", "r"],
    ["i".repeat(129), "r"],
    ["a", 1],
    ["a", null],
    ["a", []],
    ["a", ""],
    ["a", "r\u0000"],
    ["a", "r".repeat(257)],
  ];
  for (const [ident, room] of passedOver as [unknown, unknown][]) await client.call(["join", ident, room]);
  assertEquals(server.health().rooms, 0);
  const [ident, room] = ["é".repeat(128), ":".repeat(256)];
  await client.call(["join", ident, room], ["join", `${room}:${ident}`]);
});

Deno.test("3: who closes does not evict namesakes in other rooms", async () => {
  await using server = testServer();
  using stays = await TestClient.open(server.url);
  using goes = await TestClient.open(server.url);
  using third = await TestClient.open(server.url);
  await stays.call(["join", "alice", "r"], ["join", "r:alice"]);
  await goes.call(["join", "alice", "s"], ["join", "s:alice"]);
  await goes.close();
  await server.counts({ addresses: 1 });
  await third.call(["join", "bob", "r"], ["join", "r:bob"], ["stun", "r:bob", "r:alice", true]);
  await third.call(["join", "bob", "s"], ["join", "s:bob"]);
  await third.call(["signal", "r:bob", "r:alice", "still there?"]);
  await stays.expect(["stun", "r:alice", "r:bob", false], ["signal", "r:alice", "r:bob", "still there?"]);
});

Deno.test("4: a room without members leaves no trace", async () => {
  await using server = testServer();
  const client = await TestClient.open(server.url);
  for (let i = 0; i < 50; i++) await client.call(["join", "a", `room ${i}`], ["join", `room ${i}:a`]);
  assertEquals(server.health().rooms, 50);
  await client.close();
  await server.counts({ sockets: 0, rooms: 0, addresses: 0 });
});

Deno.test("5: a peer that does not answer pings is removed, one that does stays", async () => {
  await using server = testServer({ keepalive: 1 });
  using alive = await TestClient.openV3(server.url);
  await alive.call(["join", "alive", "r"], ["join", "r:alive"]);

  // A client that never answers anything: its connection stays open, but nobody is behind it.
  using silent = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await silent.write(new TextEncoder().encode(
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  ));
  const call = new TextEncoder().encode('["join","silent","r"]');
  await silent.write(new Uint8Array([0x81, 0x80 | call.length, 0, 0, 0, 0, ...call]));
  await alive.expect(["stun", "r:alive", "r:silent", false]);
  await alive.expect(["gone", "r:alive", "r:silent", "timeout"]);

  // The other one was silent for as long, but for its pongs.
  await alive.call(["leave", "r:alive"], ["leave", "r:alive"]);
});
