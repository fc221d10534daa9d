/** Limits of a socket and of the server: just under, at and over. */

import { assert, assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { parse } from "../../lib/config/command_line.ts";
import { ErrorText } from "../../lib/protocol/codes.ts";
import { frame, handshake, Opcode, RawClient } from "../kit/raw_client.ts";
import { type TestServer, testServer } from "../kit/server.ts";

Deno.test("bytes per message: a larger one closes with 1009, for both versions and all forms", async () => {
  await using server = testServer({ maxMessageBytes: 1000 });
  const signal = (bytes: number, filler: string) => {
    const [head, tail] = ['["signal","r:a","r:a","', '"]'];
    const size = new TextEncoder().encode(filler).length;
    const units = Math.floor((bytes - head.length - tail.length) / size);
    return head + filler.repeat(units) + "x".repeat(bytes - head.length - tail.length - units * size) + tail;
  };
  for (const filler of ["x", "é", "☃", "😀"]) {
    for (const opcode of [Opcode.text, Opcode.binary]) {
      using client = await RawClient.open(server.port);
      await client.settle(["join", "a", "r"]);
      for (const bytes of [999, 1000]) {
        await client.write(frame(signal(bytes, filler), opcode));
        assertEquals((await client.settle()).length, 1, `${bytes} bytes of ${filler}`);
      }
      await client.write(frame(signal(1001, filler), opcode));
      assertEquals(await client.closeCode(), 1009, `1001 bytes of ${filler}`);
    }
  }
  await server.counts({ sockets: 0, rooms: 0 });
});

Deno.test("calls per second: the burst, then the rate; whoever goes on is closed with 1008", async () => {
  await using server = testServer({ callBurst: 20, callRate: 0.001 });
  using polite = await RawClient.open(server.port);
  const answered = await polite.send(...Array(20).fill(["ping"])).then(() => read(polite, 20));
  assertEquals(answered, Array(20).fill('["pong"]'));

  using greedy = await RawClient.open(server.port, { "Sec-WebSocket-Protocol": "diva.signal.v3" });
  await greedy.send(...Array(23).fill(["ping"]));
  const texts = await read(greedy, 24);
  assertEquals(texts.slice(1, 21), Array(20).fill('["pong"]'));
  for (const text of texts.slice(21)) assertEquals(JSON.parse(text!).slice(0, 2), ["error", "rate-limited"]);

  for (const protocol of ["any", "diva.signal.v3"]) {
    using flood = await RawClient.open(server.port, { "Sec-WebSocket-Protocol": protocol });
    await flood.send(...Array(500).fill(["ident"]));
    assertEquals(await flood.closeCode(), 1008);
  }
});

Deno.test("a newcomer in a full room can signal to everybody at once", async () => {
  await using server = testServer();
  using old = await RawClient.open(server.port);
  const idents = Array.from({ length: 63 }, (_, i) => `peer${i}`);
  await old.settle(...idents.map((ident) => ["join", ident, "r"]));
  using newcomer = await RawClient.open(server.port, { "Sec-WebSocket-Protocol": "diva.signal.v3" });
  const introductions = await newcomer.settle(["join", "new", "r"]);
  assertEquals(introductions.length, 1 + 1 + 63);
  // An offer and a dozen candidates for each.
  const calls = idents.flatMap((ident) =>
    Array(13).fill(["signal", "r:new", `r:${ident}`, { candidate: "…" }])
  );
  assertEquals(await newcomer.settle(...calls), []);
  assertEquals((await old.settle()).filter((text) => text.startsWith('["signal"')).length, 63 * 13);
});

Deno.test("joins per second", async () => {
  await using server = testServer({ joinBurst: 5, joinRate: 0.001 });
  using client = await RawClient.open(server.port, { "Sec-WebSocket-Protocol": "diva.signal.v3" });
  const texts = await client.settle(...Array.from({ length: 7 }, (_, i) => ["join", "a", `r${i}`]));
  assertEquals(texts.slice(1, 6), [0, 1, 2, 3, 4].map((i) => `["join","r${i}:a"]`));
  assertEquals(
    texts.slice(6).map((text) => JSON.parse(text).with(2, "")),
    [5, 6].map((i) => ["error", "rate-limited", "", "join", "a", `r${i}`]),
  );
});

Deno.test("peers per room and addresses per socket: at the limit and over, for a socket of version 2", async () => {
  await using server = testServer({ maxRoomPeers: 2, maxAddresses: 3 });
  using client = await TestClient.open(server.url);
  await client.call(["join", "a", "r"], ["join", "r:a"]);
  await client.call(["join", "b", "r"], ["join", "r:b"], ["stun", "r:a", "r:b", false], [
    "stun",
    "r:b",
    "r:a",
    true,
  ]);
  await client.call(["join", "c", "r"]);
  await client.call(["join", "c", "s"], ["join", "s:c"]);
  await client.call(["join", "c", "t"]);
});

Deno.test("sockets of one client: 429 over the limit, and a place that is given back can be taken", async () => {
  await using server = testServer({ maxSocketsPerClient: 3 });
  const open = await Promise.all([1, 2, 3].map(() => RawClient.open(server.port)));
  await assertRefused(server, 429, "30");
  open[0]![Symbol.dispose]();
  await server.counts({ sockets: 2 });
  using _again = await RawClient.open(server.port);
  await assertRefused(server, 429, "30");
  for (const client of open) client[Symbol.dispose]();
});

Deno.test("sockets in all: 503 over the limit", async () => {
  await using server = testServer({ maxSockets: 2 });
  using _first = await RawClient.open(server.port);
  using _second = await RawClient.open(server.port);
  await assertRefused(server, 503, "30");
});

Deno.test("new sockets per second: 429 over the burst", async () => {
  await using server = testServer({ connectBurst: 2, connectRate: 0.001 });
  for (let i = 0; i < 2; i++) (await RawClient.open(server.port))[Symbol.dispose]();
  await assertRefused(server, 429, "1");
  assert((await fetch(`${server.httpUrl}/healthz`).then((response) => response.json())).status === "ok");
});

Deno.test("limits count a client behind a trusted proxy by its own address", async () => {
  const { trustProxy } = parse(["--trust-proxy", "127.0.0.1"]).config;
  await using server = testServer({ maxSocketsPerClient: 1, trustProxy });
  using _one = await RawClient.open(server.port, { "X-Forwarded-For": "198.51.100.1" });
  using _two = await RawClient.open(server.port, { "X-Forwarded-For": "198.51.100.2" });
  await assertRefused(server, 429, "30", { "X-Forwarded-For": "8.8.8.8, 198.51.100.1" });

  await using suspicious = testServer({ maxSocketsPerClient: 1 });
  using _three = await RawClient.open(suspicious.port, { "X-Forwarded-For": "198.51.100.1" });
  await assertRefused(suspicious, 429, "30", { "X-Forwarded-For": "198.51.100.2" });
});

/** One proxy, which names whatever client it likes. */
const BEHIND_PROXY = parse(["--trust-proxy", "127.0.0.1"]).config.trustProxy;

function from(address: string, headers: Record<string, string> = {}): Record<string, string> {
  return { "X-Forwarded-For": address, ...headers };
}

Deno.test("a /56, a /48 and an IPv4 /24 get their share of the sockets, and no more", async () => {
  await using server = testServer({
    trustProxy: BEHIND_PROXY,
    maxSockets: 20,
    maxSocketsPerClient: 2,
    siteShare: 15,
    networkShare: 25,
  });
  using open = new DisposableStack();
  const admitted = async (...addresses: string[]) => {
    for (const address of addresses) open.use(await RawClient.open(server.port, from(address)));
  };
  const refused = async (sentence: string, ...addresses: string[]) => {
    for (const address of addresses) await assertRefused(server, 429, "30", from(address), sentence);
  };
  await admitted("2001:db8:1:0::1", "2001:db8:1:0::2", "2001:db8:1:1::1");
  await refused("Your address has", "2001:db8:1:0::3");
  await refused("Your network", "2001:db8:1:2::1", "2001:db8:1:ff::1");
  await admitted("2001:db8:1:100::1", "2001:db8:1:100::2");
  await refused("Your network", "2001:db8:1:101::1", "2001:db8:1:ffff::1");
  await admitted("2001:db8:2::1");
  await admitted(
    "198.51.100.1",
    "198.51.100.1",
    "::ffff:198.51.100.2",
    "198.51.100.2",
    "64:ff9b::198.51.100.3",
  );
  await refused("Your address has", "::ffff:198.51.100.1");
  await refused("Your network", "198.51.100.4", "::ffff:c633:6405");
  await admitted("198.51.101.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6");
  open.dispose();
  await server.counts({ sockets: 0 });
  using _again = await RawClient.open(server.port, from("198.51.100.4"));
});

Deno.test("newcomers are not refused for those who have just left", async () => {
  await using server = testServer({
    trustProxy: BEHIND_PROXY,
    maxSockets: 50,
    connectBurst: 1,
    connectRate: 0.001,
  });
  for (let i = 0; i < 1500; i++) {
    (await RawClient.open(server.port, from(`10.${i >> 8}.${i & 255}.1`)))[Symbol.dispose]();
    // The server learns of the end a moment later.
    if (i % 25 === 24) await server.counts({ sockets: 0 });
  }
  await assertRefused(server, 429, "1", from("10.5.200.1"), "Your address or network opens sockets too fast");
});

Deno.test("addresses and rooms of one client, over all its sockets: at the limit and over", async () => {
  await using server = testServer({
    trustProxy: BEHIND_PROXY,
    maxAddressesPerClient: 4,
    maxRoomsPerClient: 3,
    siteShare: 0.0001,
    maxSocketsPerClient: 128,
  });
  const open = (address: string) =>
    RawClient.open(server.port, from(address, { "Sec-WebSocket-Protocol": "diva.signal.v3" }));
  using one = await open("2001:db8:1:0::1");
  using other = await open("2001:db8:1:0:f::2");
  using neighbour = await open("2001:db8:1:1::1");
  using stranger = await open("2001:db8:2:0::1");
  for (const client of [one, other, neighbour, stranger]) await client.settle();
  const join = async (client: RawClient, room: string) => {
    const answers = (await client.settle(["join", `i${crypto.randomUUID()}`, room])).map((text) =>
      JSON.parse(text)
    );
    return answers.find(([name]) => name === "error")?.[1] ?? "joined";
  };
  assertEquals([await join(one, "a"), await join(one, "b"), await join(other, "c")], [
    "joined",
    "joined",
    "joined",
  ]);
  assertEquals([await join(one, "d"), await join(other, "d")], ["unavailable", "unavailable"]);
  assertEquals(await join(neighbour, "d"), "unavailable", "its /56 has no share of the rooms left");
  assertEquals(await join(stranger, "d"), "joined");
  assertEquals([await join(other, "d"), await join(one, "d")], ["joined", "too-many-addresses"]);
  assertEquals(await join(neighbour, "d"), "too-many-addresses", "its /56 has as many as it may");
  assertEquals(await join(stranger, "a"), "joined");
  other[Symbol.dispose]();
  await server.counts({ sockets: 3 });
  assertEquals([await join(one, "e"), await join(one, "d"), await join(one, "d")], [
    "joined",
    "joined",
    "too-many-addresses",
  ]);
});

Deno.test("the call ice takes from the budget of GET /ice, that of all sockets of a client", async () => {
  await using server = testServer({ iceEndpoint: "on", iceBurst: 5, iceRate: 0.001 });
  const get = async () => {
    const response = await fetch(`${server.httpUrl}/ice`);
    await response.body?.cancel();
    return response.status;
  };
  using one = await TestClient.openV3(server.url);
  using other = await TestClient.openV3(server.url);
  const refused = ["error", "rate-limited", ErrorText["rate-limited"], "ice"];
  const granted = ["ice", { iceServers: one.welcome.iceServers }];
  await one.call(["ice"], granted);
  await one.call(["ice"], granted);
  assertEquals(await get(), 200);
  await other.call(["ice"], granted);
  assertEquals(await get(), 200);
  await other.call(["ice"], refused);
  await one.call(["ice"], refused);
  assertEquals(await get(), 429);
});

Deno.test("a reader that does not read is closed with 1013, its peers are told, and none of 100 waits for it", async () => {
  await using server = testServer({ maxQueueBytes: 200_000, callBurst: 1_000_000, maxRoomPeers: 101 });
  using clients = new DisposableStack();
  const talkers: RawClient[] = [];
  for (let i = 0; i < 100; i++) {
    const talker = await RawClient.open(server.port, { "Sec-WebSocket-Protocol": "diva.signal.v3" });
    await talker.settle(["join", `t${i}`, "r"]);
    talkers.push(clients.use(talker));
  }
  using deaf = await RawClient.open(server.port);
  await deaf.settle(["join", "deaf", "r"]);
  for (const talker of talkers) await talker.settle();

  const data = "x".repeat(60_000);
  const told = new Set<number>();
  // The kernel's buffers on both sides hold some megabytes before anything waits in the server.
  for (let round = 0; told.size < talkers.length; round++) {
    assert(round < 600, "36 MB were queued for a reader that does not read");
    await talkers[0]!.settle(["signal", "r:t0", "r:deaf", data]).then(noteGone(0));
    // Whatever the deaf one is sent, each of the others gets what its neighbour says.
    for (const [i, talker] of talkers.entries()) {
      await talker.send(["signal", `r:t${i}`, `r:t${(i + 1) % 100}`, round]);
    }
    await Promise.all(talkers.map(async (talker, i) => {
      const neighbour = (i + 99) % 100;
      const expected = `["signal","r:t${i}","r:t${neighbour}",${round}]`;
      for (;;) {
        const text = await talker.text();
        if (text === expected) return;
        noteGone(i)([text ?? "the connection has ended"]);
      }
    }));
  }
  assertEquals(server.health().addresses, 100);
  assertEquals(await deaf.closeCode(), 1013, "what was queued comes first, then the close");

  function noteGone(index: number): (texts: string[]) => void {
    return (texts) => {
      for (const text of texts) {
        if (text.startsWith('["error","no-such-peer"')) continue;
        assertEquals(text, `["gone","r:t${index}","r:deaf","closed"]`);
        told.add(index);
      }
    };
  }
});

async function read(client: RawClient, count: number): Promise<(string | undefined)[]> {
  const texts = [];
  for (let i = 0; i < count; i++) texts.push(await client.text());
  return texts;
}

async function assertRefused(
  server: TestServer,
  status: number,
  retryAfter: string,
  headers: Record<string, string> = {},
  sentence = "",
): Promise<void> {
  using client = await RawClient.open(server.port, "no handshake");
  await client.write(handshake(headers));
  const { head, body } = await client.readResponse();
  assertEquals(/^HTTP\/1.1 (\d+)/.exec(head)?.[1], String(status), head);
  assertEquals(/retry-after: (.*)/i.exec(head)?.[1], retryAfter);
  assertStringIncludes(body, sentence);
}

Deno.test("plain requests of one client: 429 over the burst, and others are answered", async () => {
  const { parseRange } = await import("../../lib/http/client_address.ts");
  await using server = testServer({ httpRate: 1, httpBurst: 3, trustProxy: [parseRange("127.0.0.1")!] });
  const ask = async (client: string) => {
    const answer = await fetch(`${server.httpUrl}/healthz`, { headers: { "x-forwarded-for": client } });
    await answer.body?.cancel();
    return [answer.status, answer.headers.get("retry-after")];
  };
  const statuses = [];
  for (let i = 0; i < 5; i++) statuses.push((await ask("192.0.2.1"))[0]);
  assertEquals(statuses, [200, 200, 200, 429, 429]);
  assertEquals([await ask("192.0.2.1"), await ask("198.51.100.7")], [[429, "1"], [200, null]]);
  // Sockets are counted apart.
  using client = await TestClient.openV3(server.url);
  assertEquals(client.welcome.version, 3);
});
