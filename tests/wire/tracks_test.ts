/** A signal that goes the way of an earlier one is not looked up again: it must not go a way that isn't there any more. */

import { assertEquals } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { testServer } from "../kit/server.ts";

const KEY = "k".repeat(32);

Deno.test("whoever leaves gets nothing more, and who comes under the same name gets it", async () => {
  await using server = testServer();
  using alice = await TestClient.openV3(server.url);
  using bob = await TestClient.openV3(server.url);
  using other = await TestClient.openV3(server.url);
  await alice.call(["join", "a", "r"], ["join", "r:a"]);
  await bob.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:b", "r:a", true]);
  await alice.settle();
  const send = (n: number) => alice.send(["signal", "r:a", "r:b", n]);
  for (const n of [1, 2, 3]) send(n);
  await alice.settle();
  assertEquals((await bob.settle()).length, 3);

  await bob.call(["leave", "r:b"], ["leave", "r:b"]);
  await alice.expect(["gone", "r:a", "r:b", "left"]);
  send(4);
  assertEquals((await alice.next() as string[]).slice(0, 2), ["error", "no-such-peer"]);
  assertEquals(await bob.settle(), []);

  await other.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:b", "r:a", true]);
  await alice.settle();
  send(5);
  await alice.settle();
  assertEquals(await bob.settle(), []);
  await other.expect(["signal", "r:b", "r:a", 5]);
});

Deno.test("whoever has lost an address signals from it no more, were it by a take-over", async () => {
  await using server = testServer();
  using alice = await TestClient.openV3(server.url);
  using bob = await TestClient.openV3(server.url);
  using thief = await TestClient.openV3(server.url);
  await bob.call(["join", "b", "r"], ["join", "r:b"]);
  await alice.call(["join", "a", "r", { key: KEY }], ["join", "r:a"], ["stun", "r:a", "r:b", true]);
  // It holds another, and so stays open.
  await alice.call(["join", "a", "s"], ["join", "s:a"]);
  for (const n of [1, 2, 3]) alice.send(["signal", "r:a", "r:b", n]);
  await alice.settle();
  assertEquals((await bob.settle()).length, 4);

  thief.send(["join", "a", "r", { key: KEY }]);
  await thief.settle();
  await alice.expect(["gone", "r:a", "r:a", "replaced"]);
  alice.send(["signal", "r:a", "r:b", 3]);
  assertEquals((await alice.next() as string[]).slice(0, 2), ["error", "not-a-member"]);
  const told = (await bob.settle()).map((text) => JSON.parse(text)[0]);
  assertEquals(told, ["gone", "stun"]);
  thief.send(["signal", "r:a", "r:b", 4]);
  await thief.settle();
  await bob.expect(["signal", "r:b", "r:a", 4]);
});

Deno.test("nobody else signals on a way that others have gone, and it stays theirs", async () => {
  await using server = testServer();
  using alice = await TestClient.openV3(server.url);
  using bob = await TestClient.openV3(server.url);
  using thief = await TestClient.openV3(server.url);
  await alice.call(["join", "a", "r"], ["join", "r:a"]);
  await bob.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:b", "r:a", true]);
  await thief.call(["join", "t", "r"], ["join", "r:t"], ["stun", "r:t", "r:a", true], [
    "stun",
    "r:t",
    "r:b",
    true,
  ]);
  await alice.settle();
  for (const n of [1, 2, 3]) alice.send(["signal", "r:a", "r:b", n]);
  await alice.settle();
  await bob.settle();
  for (const n of [1, 2, 3]) {
    thief.send(["signal", "r:a", "r:b", n]);
    assertEquals((await thief.next() as string[]).slice(0, 2), ["error", "not-a-member"]);
  }
  assertEquals(await bob.settle(), []);
  alice.send(["signal", "r:a", "r:b", 4]);
  await bob.expect(["signal", "r:b", "r:a", 4]);
});

Deno.test("what is broken is refused on the beaten track as well, and what is else is not taken for a signal", async () => {
  await using server = testServer();
  using alice = await TestClient.openV3(server.url);
  using bob = await TestClient.openV3(server.url);
  await alice.call(["join", "a", "r"], ["join", "r:a"]);
  await bob.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:b", "r:a", true]);
  await alice.settle();
  for (const n of [1, 2, 3]) alice.send(["signal", "r:a", "r:b", n]);
  await alice.settle();
  assertEquals((await bob.settle()).length, 3);
  const codes = async (text: string) => {
    alice.send(text);
    return (await alice.settle()).map((answer) => JSON.parse(answer)[1]);
  };
  assertEquals(await codes('["signal","r:a","r:b",]'), ["bad-json"]);
  assertEquals(await codes('["signal","r:a","r:b",1,2]'), ["bad-arguments"]);
  assertEquals(await codes('["signal","r:a","r:b"]'), ["bad-arguments"]);
  assertEquals(await codes('["signal","r:a","r:b"1]'), ["bad-json"]);
  assertEquals(await bob.settle(), []);
  assertEquals(await codes('["signal","r:a","r:b" , {"a":1} ]'), []);
  assertEquals(JSON.parse(await bob.nextText()), ["signal", "r:b", "r:a", { a: 1 }]);
});
