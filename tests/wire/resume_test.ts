/** A session outlives its socket: what the others hear of it, and what its client gets when it comes back. */

import { assert, assertEquals, assertGreater, assertNotEquals } from "../kit/assert.ts";
import { parseRange } from "../../lib/http/client_address.ts";
import { ErrorText } from "../../lib/protocol/codes.ts";
import { RawClient } from "../kit/raw_client.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { type TestServer, testServer } from "../kit/server.ts";

const KEY = "k".repeat(22);
const CANNOT = ["error", "cannot-resume", ErrorText["cannot-resume"], "resume"];

/** Two that have met in the room `r`; the second one, `b`, is the initiator. */
async function pair(server: TestServer): Promise<[a: ResumingClient, b: ResumingClient]> {
  const a = await ResumingClient.join(server.port, "a", "r");
  const b = await ResumingClient.join(server.port, "b", "r", { key: KEY });
  await a.settle();
  return [a, b];
}

const signals = (...data: unknown[]) => data.map((value) => ["signal", "r:a", "r:b", value]);
const received = (...data: unknown[]) => data.map((value) => ["signal", "r:b", "r:a", value]);

Deno.test("nobody hears of a socket that broke, and what was sent meanwhile arrives once, in order", async () => {
  await using server = testServer();
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  // Sent, but not read: the client may have lost it.
  await a.settle(...signals(0));
  b.drop();
  await server.counts({ sockets: 1, sleeping: 1, addresses: 2 });
  assertEquals(await a.settle(...signals(1, 2, "ä€😀")), []);
  const { id } = b.offer;
  assertEquals(await b.resume(server.port), [
    "resumed",
    { addresses: ["r:b"], resume: { ...b.offer, seconds: 20, bytes: 65_536 }, calls: 2 },
  ]);
  assertNotEquals(b.offer.id, id);
  assertEquals(await b.settle(), received(0, 1, 2, "ä€😀"));
  await server.counts({ sockets: 2, sleeping: 0, addresses: 2, rooms: 1 });
  // In both directions, and again.
  assertEquals(await b.settle(["signal", "r:b", "r:a", "back"]), []);
  assertEquals(await a.settle(), [["signal", "r:a", "r:b", "back"]]);
  b.drop();
  await server.counts({ sleeping: 1 });
  await a.settle(...signals(3));
  await b.resume(server.port);
  assertEquals(await b.settle(), received(3));
});

Deno.test("a client that has taken in less than it was sent gets the rest again, and no more", async () => {
  await using server = testServer();
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  await a.settle(...signals(1, 2, 3));
  for (const message of received(1)) assertEquals(await b.next(), message);
  await b.resume(server.port);
  assertEquals(await b.settle(), received(2, 3));
  // What it says to have seen is not kept.
  await a.settle(...signals(4, 5));
  assertEquals(await b.settle(), received(4, 5));
  const { count } = b;
  await b.send(["seen", count - 1]);
  assertEquals(await b.settle(), []);
  assertEquals(await b.resume(server.port, { count: count - 2 }), CANNOT);
});

Deno.test("the client's close ends its session at once, and so does the server's for breaking the rules", async () => {
  await using server = testServer({ maxMessageBytes: 200, strikeBurst: 1, callBurst: 5, callRate: 0.001 });
  using a = await ResumingClient.join(server.port, "a", "r");
  const endings: [string, (b: ResumingClient) => Promise<void>][] = [
    ["close 1000", (b) => b.sayGoodbye(1000)],
    ["close 1001", (b) => b.sayGoodbye(1001)],
    ["close without a code", (b) => b.sayGoodbye()],
    ["a message that is too large", (b) => b.send("x".repeat(201))],
    ["too many calls", (b) => b.send(...Array(20).fill(["ident"]))],
  ];
  for (const [name, end] of endings) {
    using b = await ResumingClient.join(server.port, "b", "r");
    await end(b);
    assertEquals(await a.next(), ["stun", "r:a", "r:b", false], name);
    assertEquals(await a.next(), ["gone", "r:a", "r:b", "closed"], name);
    assertEquals(await b.resume(server.port), CANNOT, name);
    b[Symbol.dispose]();
    await server.counts({ sleeping: 0 });
  }
});

Deno.test("a client that does not come back in time is told gone, by timeout", async () => {
  await using server = testServer({ resume: 1 });
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  b.drop();
  assertEquals(await a.next(), ["gone", "r:a", "r:b", "timeout"]);
  await server.counts({ sockets: 1, sleeping: 0, addresses: 1 });
  assertEquals(await b.resume(server.port), CANNOT);
  // As fresh as any: it may join again.
  assertEquals(await b.settle(["join", "b", "r"]), [["join", "r:b"], ["stun", "r:b", "r:a", true]]);
});

Deno.test("past its bytes a sleeping session is given up", async () => {
  await using server = testServer({ resumeBytes: 1024 });
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  b.drop();
  await server.counts({ sleeping: 1 });
  assertEquals(await a.settle(...signals("x".repeat(900))), []);
  assertEquals(await a.settle(...signals("x".repeat(100))), [["gone", "r:a", "r:b", "timeout"]]);
  assertEquals(await b.resume(server.port), CANNOT);
});

Deno.test("a client that never says what it has seen is not waited for, once that is too much", async () => {
  await using server = testServer({ resumeBytes: 1024 });
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  await a.settle(...signals("x".repeat(1000)));
  b.drop();
  assertEquals(await a.next(), ["gone", "r:a", "r:b", "closed"]);
  using c = await ResumingClient.join(server.port, "b", "r");
  assertEquals(await a.next(), ["stun", "r:a", "r:b", false]);
  await a.settle(...signals("x".repeat(1000)));
  await c.settle();
  await c.send(["seen", c.count]);
  await c.settle();
  c.drop();
  await server.counts({ sleeping: 1 });
  assertEquals(await a.settle(...signals(1)), []);
  await c.resume(server.port);
  assertEquals(await c.settle(), received(1));
});

Deno.test("all sessions together keep no more than they may", async () => {
  await using server = testServer({ resumeTotalBytes: 5000 });
  using a = await ResumingClient.join(server.port, "a", "r");
  for (const ident of ["b", "c", "d"]) {
    (await ResumingClient.join(server.port, ident, "r")).drop();
  }
  await server.counts({ sleeping: 3 });
  await a.settle();
  const told = [];
  for (const ident of ["b", "c", "d"]) {
    told.push(...await a.settle(["signal", "r:a", `r:${ident}`, "x".repeat(2000)]));
  }
  assertEquals(told, [["gone", "r:a", "r:d", "timeout"]]);
});

Deno.test("an id is good once, as the first call, and for its own session", async () => {
  await using server = testServer();
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  b.drop();
  await server.counts({ sleeping: 1 });
  using stranger = await ResumingClient.open(server.port);
  for (const id of ["", "x", "A".repeat(22), "A".repeat(6000), stranger.offer.id]) {
    assertEquals(await stranger.resume(server.port, { id, count: 0 }), CANNOT);
  }
  assertEquals(await stranger.settle(["resume", b.offer.id, b.count]), [CANNOT], "not the first call");
  assertEquals(await a.settle(), [], "nobody has noticed");

  const { id } = b.offer;
  const racing = await Promise.all([0, 1, 2, 3].map(async () => {
    using client = await ResumingClient.open(server.port);
    return (await client.resume(server.port, { id, count: b.count }))[0];
  }));
  assertEquals(racing.sort(), ["error", "error", "error", "resumed"]);
  assertEquals(await stranger.resume(server.port, { id, count: b.count }), CANNOT, "a second time");
});

Deno.test("who claims to have taken in more than was sent, or less than it said, loses the session", async () => {
  await using server = testServer();
  for (const count of [99, Number.MAX_SAFE_INTEGER]) {
    const [a, b] = await pair(server);
    b.drop();
    await server.counts({ sleeping: 1 });
    assertEquals(await b.resume(server.port, { count }), CANNOT);
    assertEquals(await a.next(), ["gone", "r:a", "r:b", "timeout"]);
    for (const client of [a, b]) await client.sayGoodbye();
    await server.counts({ sockets: 0, sleeping: 0 });
  }
  using client = await ResumingClient.join(server.port, "a", "r");
  for (
    const bad of [["resume", "x"], ["resume", 1, 2], ["resume", "x", -1], ["resume", "x", 1.5], ["seen", "1"]]
  ) {
    assertEquals(((await client.settle(bad))[0] as unknown[])[1], "bad-arguments", JSON.stringify(bad));
  }
});

Deno.test("a socket that still stands is closed with 4001, and the others hear nothing", async () => {
  await using server = testServer();
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  const former = b.raw;
  await b.resume(server.port);
  assertEquals(await former.closeCode(), 4001);
  former[Symbol.dispose]();
  assertEquals(await a.settle(...signals(1)), []);
  assertEquals(await b.settle(), received(1));
  await server.counts({ sockets: 2, sleeping: 0, addresses: 2 });
});

Deno.test("while a session sleeps its address is taken, but for whoever has its key", async () => {
  await using server = testServer();
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  b.drop();
  await server.counts({ sleeping: 1 });
  using c = await ResumingClient.open(server.port);
  const taken = ["error", "ident-taken", ErrorText["ident-taken"], "join", "b", "r"];
  assertEquals(await c.settle(["join", "b", "r"]), [taken]);
  assertEquals(await c.settle(["join", "b", "r", { key: "z".repeat(22) }]), [taken]);
  assertEquals(await c.settle(["join", "b", "r", { key: KEY }]), [
    ["join", "r:b"],
    ["stun", "r:b", "r:a", true],
  ]);
  assertEquals(await a.settle(), [["gone", "r:a", "r:b", "replaced"], ["stun", "r:a", "r:b", false]]);
  await server.counts({ sockets: 2, sleeping: 0, addresses: 2 });
  assertEquals(await b.resume(server.port), CANNOT);
});

Deno.test("a session without an address is not kept", async () => {
  await using server = testServer();
  using client = await ResumingClient.open(server.port);
  await client.settle(["join", "a", "r"], ["leave", "r:a"]);
  client.drop();
  await server.counts({ sockets: 0, sleeping: 0 });
  assertEquals(await client.resume(server.port), CANNOT);
});

Deno.test("sleeping sessions are sockets of their client, and the first of them give way to a newcomer", async () => {
  await using server = testServer({ maxSocketsPerClient: 3 });
  using a = await ResumingClient.join(server.port, "a", "r");
  const [b, c] = [
    await ResumingClient.join(server.port, "b", "r"),
    await ResumingClient.join(server.port, "c", "r"),
  ];
  for (const client of [b, c]) {
    client.drop();
    await server.counts({ sleeping: client === b ? 1 : 2 });
  }
  await a.settle();
  using d = await ResumingClient.open(server.port);
  assertEquals(await a.settle(), [["gone", "r:a", "r:b", "timeout"]]);
  using _e = await ResumingClient.open(server.port);
  assertEquals(await a.settle(), [["gone", "r:a", "r:c", "timeout"]]);
  const full = await ResumingClient.open(server.port).catch((error) => String(error));
  assert(String(full).includes("429"), "those who are there stay");
  await d.settle();
});

Deno.test("others give no place for it: a full server, room and network", async () => {
  const trustProxy = [parseRange("127.0.0.1")!];
  const from = (address: string) => ({ "X-Forwarded-For": address });
  await using server = testServer({ trustProxy, maxSockets: 4, maxSocketsPerClient: 3, maxRoomPeers: 2 });
  const mine = [];
  for (const ident of ["x", "y"]) {
    const client = await ResumingClient.open(server.port, from("198.51.100.1"));
    await client.settle(["join", ident, "full"]);
    mine.push(client);
  }
  mine[0]!.drop();
  await server.counts({ sleeping: 1 });
  using b = await ResumingClient.open(server.port, from("203.0.113.2"));
  // The room is full, and half of it asleep.
  assertEquals((await b.settle(["join", "z", "full"]))[0], ["join", "full:z"]);
  assertEquals((await mine[1]!.settle()).slice(-2), [
    ["gone", "full:y", "full:x", "timeout"],
    ["stun", "full:y", "full:z", false],
  ]);
  mine[1]!.drop();
  await server.counts({ sleeping: 1, sockets: 1 });
  using _c = await ResumingClient.open(server.port, from("192.0.2.3"));
  using _d = await ResumingClient.open(server.port, from("192.88.99.4"));
  await server.counts({ sleeping: 1, sockets: 3 });
  using _e = await ResumingClient.open(server.port, from("2001:db8::5"));
  await server.counts({ sleeping: 0, sockets: 4 });
});

Deno.test("a phone comes back from another network, whose client it is from then on", async () => {
  const trustProxy = [parseRange("127.0.0.1")!];
  const from = (address: string) => ({ headers: { "X-Forwarded-For": address } });
  await using server = testServer({ trustProxy, maxSocketsPerClient: 1, maxAddressesPerClient: 2 });
  using phone = await ResumingClient.open(server.port, from("198.51.100.1").headers);
  await phone.settle(["join", "a", "r"], ["join", "b", "r"]);
  const home = phone.raw;
  assertEquals((await phone.resume(server.port, from("2001:db8::1")))[0], "resumed");
  home[Symbol.dispose]();
  await server.counts({ sockets: 1, sleeping: 0, addresses: 2 });
  // All that it had at home is free again, and all it may have here is taken.
  using other = await ResumingClient.open(server.port, from("198.51.100.1").headers);
  assertEquals((await other.settle(["join", "c", "r"], ["join", "d", "r"])).length, 8);
  await phone.settle();
  const refused = ["error", "too-many-addresses", ErrorText["too-many-addresses"], "join", "e", "r"];
  assertEquals(await phone.settle(["join", "e", "r"]), [refused]);
});

Deno.test("version 2 clients have no sessions, and signal to those that sleep", async () => {
  await using server = testServer();
  const [a, b] = await pair(server);
  using _a = a, _b = b;
  const old = await RawClient.open(server.port);
  await old.settle(["join", "old", "r"]);
  assertEquals(await old.settle(["resume", b.offer.id, 0], ["seen", 1]), []);
  b.drop();
  await server.counts({ sleeping: 1 });
  assertEquals(await old.settle(["signal", "r:old", "r:b", 1]), []);
  await b.resume(server.port);
  assertEquals((await b.settle()).at(-1), ["signal", "r:b", "r:old", 1]);
  old[Symbol.dispose]();
  assertEquals(await a.next(), ["stun", "r:a", "r:old", false]);
  assertEquals(await a.next(), ["gone", "r:a", "r:old", "closed"]);
});

Deno.test("sessions that sleep do not hold up a server that stops", async () => {
  const server = testServer({ drain: 60 });
  const [a, b] = await pair(server);
  a.drop();
  b.drop();
  await server.counts({ sleeping: 2 });
  const before = performance.now();
  await server.drain();
  assertGreater(5000, performance.now() - before);
});

Deno.test("whoever is sent much may say so as often as it has to", async () => {
  await using server = testServer({ callBurst: 64, callRate: 0.001 });
  using b = await ResumingClient.join(server.port, "b", "r");
  let sent = 0;
  for (let i = 0; i < 40; i++) {
    using a = await ResumingClient.join(server.port, `a${i}`, "r");
    const batch = Array.from({ length: 50 }, () => ["signal", `r:a${i}`, "r:b", sent++]);
    await a.settle(...batch);
    while (b.count % 32 !== 0 || b.count < sent) {
      await b.next();
      if (b.count % 32 === 0) await b.send(["seen", b.count]);
      if (b.count >= sent) break;
    }
    await a.sayGoodbye();
  }
  const rest = await b.settle();
  assert(!rest.some((message) => (message as string[])[0] === "error"), JSON.stringify(rest));
  assertGreater(Math.floor(b.count / 32), 60, "more than its calls would have been enough for");
});
