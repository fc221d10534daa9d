/** Version 3: what a client author is told. */

import { assert, assertEquals, assertMatch } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { type ErrorCode, ErrorText } from "../../lib/protocol/codes.ts";
import { parse } from "../../lib/config/command_line.ts";
import { VERSION } from "../../lib/config/options.ts";
import { RawClient } from "../kit/raw_client.ts";
import { testServer } from "../kit/server.ts";

Deno.test("the first message is a welcome that tells all limits which bind the client", async () => {
  await using server = testServer({ keepalive: 33 });
  const client = await TestClient.openV3(server.url);
  assertEquals(client.socket.protocol, "diva.signal.v3");
  const { config } = parse([]);
  const { resume, ...welcome } = client.welcome as { resume: { id: string } };
  assertEquals({ ...resume, id: "" }, { id: "", seconds: config.resume, bytes: config.resumeBytes });
  assertMatch(resume.id, /^[\w-]{22}$/);
  assertEquals(welcome, {
    version: 3,
    server: `signal/${VERSION}`,
    limits: {
      maxMessageBytes: config.maxMessageBytes,
      maxQueueBytes: config.maxQueueBytes,
      callRate: config.callRate,
      callBurst: config.callBurst,
      joinRate: config.joinRate,
      joinBurst: config.joinBurst,
      maxRoomPeers: config.maxRoomPeers,
      maxAddresses: config.maxAddresses,
      maxAddressesPerClient: config.maxAddressesPerClient,
      maxRoomsPerClient: config.maxRoomsPerClient,
      maxSocketsPerClient: 10_000,
      busySocketsPerClient: 10_000,
      connectRate: config.connectRate,
      connectBurst: 100_000,
      iceRate: config.iceRate,
      iceBurst: config.iceBurst,
    },
    keepaliveSeconds: 33,
    iceServers: [{ urls: [`stun:127.0.0.1:${server.stunPorts[0]}`] }],
  });
  await client.close();
});

Deno.test("version 3 is asked for among other subprotocols, in any order and with any spaces", async () => {
  await using server = testServer();
  for (const offer of ["diva.signal.v3", "x, diva.signal.v3", "x,diva.signal.v3", "diva.signal.v3 ,x"]) {
    using client = await RawClient.open(server.port, { "Sec-WebSocket-Protocol": offer });
    assertEquals(JSON.parse((await client.text())!)[0], "welcome", offer);
  }
});

Deno.test("whoever offers other subprotocols gets the first of them, and speaks version 2", async () => {
  await using server = testServer();
  for (const offer of ["chat", "chat, superchat", "chat,superchat"]) {
    using client = await RawClient.open(server.port, "no handshake");
    await client.write(handshakeWith(offer));
    const head = await client.readHead();
    assert(head.startsWith("HTTP/1.1 101"), head);
    assertEquals(/sec-websocket-protocol: (.*)/i.exec(head)?.[1], offer.split(",")[0], offer);
    assertEquals(await client.settle(["leave", "r:a"]), []);
  }
  using plain = await TestClient.open(server.url);
  assertEquals(plain.socket.protocol, "");
  await plain.call(["bogus"]);
});

function handshakeWith(protocol: string): Uint8Array {
  return new TextEncoder().encode(
    "GET /any/path?at=all HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n" +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
  );
}

Deno.test("versions 2 and 3 meet in one room, and one leaves", async () => {
  await using server = testServer();
  const old = await TestClient.open(server.url);
  const young = await TestClient.openV3(server.url);
  await old.call(["join", "old", "r"], ["join", "r:old"]);
  await young.call(["join", "young", "r"], ["join", "r:young"], ["stun", "r:young", "r:old", true]);
  await old.expect(["stun", "r:old", "r:young", false]);
  await young.call(["signal", "r:young", "r:old", { offer: 1 }]);
  await old.expect(["signal", "r:old", "r:young", { offer: 1 }]);
  await old.call(["signal", "r:old", "r:young", { answer: 1 }]);
  await young.expect(["signal", "r:young", "r:old", { answer: 1 }]);

  await young.call(["leave", "r:young"], ["leave", "r:young"]);
  assertEquals(await old.settle(), [], "version 2 has no word for it");
  await young.call(["join", "young", "r"], ["join", "r:young"], ["stun", "r:young", "r:old", true]);
  await old.close();
  await young.expect(["gone", "r:young", "r:old", "closed"]);
  await young.close();
});

Deno.test("ice is answered with the servers of the welcome", async () => {
  await using server = testServer();
  using client = await TestClient.openV3(server.url);
  await client.call(["ice"], ["ice", { iceServers: client.welcome.iceServers }]);
  await using bare = testServer({ stunPort: "off" });
  using without = await TestClient.openV3(bare.url);
  await without.call(["ice"], ["ice", { iceServers: [] }]);
});

Deno.test("gone names its reason: left, closed, timeout", async () => {
  await using server = testServer();
  using stays = await TestClient.openV3(server.url);
  await stays.call(["join", "s", "r"], ["join", "r:s"]);

  const leaves = await TestClient.open(server.url, "diva.signal.v3");
  await leaves.settle();
  await leaves.call(["join", "x", "r"], ["join", "r:x"], ["stun", "r:x", "r:s", true]);
  await leaves.call(["leave", "r:x"], ["leave", "r:x"]);
  await stays.expect(["stun", "r:s", "r:x", false], ["gone", "r:s", "r:x", "left"]);
  await leaves.close();

  for (
    const vanish of [
      (c: RawClient) => c[Symbol.dispose](),
      (c: RawClient) => c.write(new Uint8Array([0x88, 0x80, 0, 0, 0, 0])),
    ]
  ) {
    const closes = await RawClient.open(server.port);
    await closes.settle(["join", "x", "r"]);
    await vanish(closes);
    await stays.expect(["stun", "r:s", "r:x", false], ["gone", "r:s", "r:x", "closed"]);
    closes[Symbol.dispose]();
  }
  // "timeout": see the fifth of the deliberate differences, and the test with a network that swallows packets.
});

async function expectRefusal(
  client: TestClient,
  call: unknown,
  code: ErrorCode,
  ...rest: unknown[]
): Promise<void> {
  client.send(call);
  await client.expect(["error", code, ErrorText[code], ...rest]);
}

Deno.test("each error code is told with the call's name and its ident, room or addresses", async () => {
  await using server = testServer({ maxRooms: 2, maxRoomPeers: 2, maxMessageBytes: 1000 });
  await using frugal = testServer({ maxAddresses: 1, callBurst: 6, callRate: 0.001 });
  const told = new Set<string>();
  const refused = async (...args: Parameters<typeof expectRefusal>) => {
    await expectRefusal(...args);
    told.add(args[2]);
  };

  using other = await TestClient.open(server.url);
  for (const ident of ["o", "p"]) other.send(["join", ident, "full"]);
  await other.settle();

  using client = await TestClient.openV3(server.url);
  await refused(client, "{", "bad-json");
  await refused(client, new Uint8Array([0xff, 0xfe]), "bad-json");
  await refused(client, { a: 1 }, "bad-call");
  client.send(["bogus", "data"]);
  await client.expect(["error", "bad-call", "No call has that name.", "bogus"]);
  await refused(client, ["join", "a"], "bad-arguments", "join");
  await refused(client, ["join", "a:b", "r"], "bad-ident", "join", "a:b", "r");
  await refused(client, ["join", "a", ""], "bad-room", "join", "a", "");
  await refused(client, ["join", "o", "full"], "ident-taken", "join", "o", "full");
  await refused(client, ["join", "c", "full"], "room-full", "join", "c", "full");
  await client.call(["join", "a", "r"], ["join", "r:a"]);
  await refused(client, ["join", "a", "third"], "unavailable", "join", "a", "third");
  await refused(
    client,
    ["signal", "full:o", "full:p", "secret"],
    "not-a-member",
    "signal",
    "full:o",
    "full:p",
  );
  await refused(client, ["signal", "r:a", "full:o", "secret"], "no-such-peer", "signal", "r:a", "full:o");
  await refused(client, ["leave", "r:x"], "not-a-member", "leave", "r:x");
  await refused(client, ["resume", "x", 0], "cannot-resume", "resume");
  client.send(["seen", 1000]);
  await client.expect(["error", "bad-arguments", ErrorText["bad-arguments"], "seen"]);
  client.send(["renew", "r:a", "x"]);
  const sentence = "No tokens are asked for here.";
  await client.expect(["error", "unauthorised", sentence, "renew", "r:a"]);
  told.add("unauthorised");
  await refused(client, "x".repeat(1001), "too-large");
  assertEquals((await client.closed).code, 1009);

  using hasty = await TestClient.openV3(frugal.url);
  await hasty.call(["join", "h", "r"], ["join", "r:h"]);
  await refused(hasty, ["join", "h", "s"], "too-many-addresses", "join", "h", "s");
  for (let i = 0; i < 3; i++) hasty.send(["ident"]);
  for (let i = 0; i < 3; i++) await hasty.next();
  await refused(hasty, ["join", "late", "r"], "rate-limited", "join", "late", "r");
  await refused(hasty, ["signal", "r:h", "r:h", "secret"], "rate-limited", "signal", "r:h", "r:h");
  await refused(hasty, ["leave", "r:h"], "rate-limited", "leave", "r:h");
  await refused(hasty, ["ident"], "rate-limited", "ident");
  await refused(hasty, "{", "rate-limited");

  assertEquals([...told].sort(), Object.keys(ErrorText).sort(), "every code there is");
});

const KEY = "a key that only alice has";

Deno.test("an address is taken over at once by whoever has its holder's key, and the others are told", async () => {
  await using server = testServer();
  using bob = await TestClient.openV3(server.url);
  await bob.call(["join", "bob", "r"], ["join", "r:bob"]);
  const lost = await TestClient.openV3(server.url);
  lost.send(["join", "alice", "r", { key: KEY }]);
  await lost.expect(["join", "r:alice"], ["stun", "r:alice", "r:bob", true]);
  await bob.expect(["stun", "r:bob", "r:alice", false]);

  using back = await TestClient.openV3(server.url);
  back.send(["join", "alice", "r", { key: KEY }]);
  await back.expect(["join", "r:alice"], ["stun", "r:alice", "r:bob", true]);
  await bob.expect(["gone", "r:bob", "r:alice", "replaced"], ["stun", "r:bob", "r:alice", false]);
  await lost.expect(["gone", "r:alice", "r:alice", "replaced"]);
  const { code, reason } = await lost.closed;
  assertEquals([code, reason], [4001, "taken over with the same key"]);
  back.send(["signal", "r:alice", "r:bob", 1]);
  await bob.expect(["signal", "r:bob", "r:alice", 1]);
  await server.counts({ sockets: 2, rooms: 1, addresses: 2 });
});

Deno.test("a socket that holds another address stays open when one is taken over", async () => {
  await using server = testServer();
  using old = await TestClient.openV3(server.url);
  await old.call(["join", "a", "r", { key: KEY }], ["join", "r:a"]);
  await old.call(["join", "a", "s", { key: KEY }], ["join", "s:a"]);
  using young = await TestClient.openV3(server.url);
  await young.call(["join", "a", "r", { key: KEY }], ["join", "r:a"]);
  await old.expect(["gone", "r:a", "r:a", "replaced"]);
  await expectRefusal(old, ["signal", "r:a", "r:a", 1], "not-a-member", "signal", "r:a", "r:a");
  await old.call(["leave", "s:a"], ["leave", "s:a"]);
});

Deno.test("without the key an address stays with its holder, whatever else is tried", async () => {
  await using server = testServer();
  using holder = await TestClient.openV3(server.url);
  await holder.call(["join", "a", "r", { key: KEY }], ["join", "r:a"]);
  await holder.call(["join", "keyless", "r"], ["join", "r:keyless"], ["stun", "r:a", "r:keyless", false], [
    "stun",
    "r:keyless",
    "r:a",
    true,
  ]);
  using thief = await TestClient.openV3(server.url);
  for (const options of [{}, { key: KEY + "!" }, { key: KEY.toUpperCase() }]) {
    await expectRefusal(thief, ["join", "a", "r", options], "ident-taken", "join", "a", "r");
  }
  await expectRefusal(thief, ["join", "keyless", "r", { key: KEY }], "ident-taken", "join", "keyless", "r");
  await expectRefusal(thief, ["join", "a", "r", { key: "short" }], "bad-arguments", "join", "a", "r");
  await expectRefusal(holder, ["join", "a", "r", { key: KEY }], "ident-taken", "join", "a", "r");
  assertEquals(await holder.settle(), []);
});

Deno.test("a report gets no answer, and only a member may make one", async () => {
  await using server = testServer();
  using client = await TestClient.openV3(server.url);
  await client.call(["join", "a", "r"], ["join", "r:a"]);
  await client.call(["report", "r:a", "r:b", { state: "failed", why: "no-answer", ms: 20_000 }]);
  await expectRefusal(
    client,
    ["report", "r:b", "r:a", { state: "closed" }],
    "not-a-member",
    "report",
    "r:b",
    "r:a",
  );
  await expectRefusal(client, ["report", "r:a", "r:b", {}], "bad-arguments", "report", "r:a", "r:b");
});
