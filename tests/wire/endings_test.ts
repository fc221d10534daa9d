/** Sockets that end in no orderly way: in their handshake, without a last word, or beside a clock that stood still. */

import { connect } from "node:net";
import { assert, assertEquals, assertLess } from "../kit/assert.ts";
import { frame, handshake, Opcode, RawClient } from "../kit/raw_client.ts";
import { serverProcess, type TestServer, testServer } from "../kit/server.ts";

const V3 = { "Sec-WebSocket-Protocol": "diva.signal.v3" };

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resets connections in the midst of their handshakes until the server holds sockets that nothing will come of. */
async function resetInHandshake(server: TestServer, wanted: number): Promise<void> {
  for (let i = 0; i < 2000 && server.health().sockets < wanted; i++) {
    const socket = connect({ host: "127.0.0.1", port: server.port });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.on("connect", resolve));
    socket.write(handshake(V3));
    // The moment that matters is some hundred microseconds wide.
    for (const until = performance.now() + (i % 10) / 20; performance.now() < until;);
    socket.resetAndDestroy();
    await pause(1);
  }
  assert(server.health().sockets >= wanted, `only ${server.health().sockets} handshakes could be caught`);
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + 15_000; !holds();) {
    assert(performance.now() < deadline, `waited in vain for ${what}`);
    await pause(20);
  }
}

Deno.test("connections that were reset in their handshake give their places back", async () => {
  await using server = testServer({ handshakeTimeout: 1 });
  await resetInHandshake(server, 2);
  await until(() => server.health().sockets === 0, "the places");
});

Deno.test("a server stops in order while handshakes hang: the others are told", async () => {
  const server = testServer({ drain: 1 });
  using client = await RawClient.open(server.port, V3);
  await client.text();
  await resetInHandshake(server, 2);
  const drained = server.drain();
  assertEquals(JSON.parse((await client.text())!)[0], "goodbye");
  assertEquals(await client.closeCode(), 1012);
  await drained;
});

Deno.test("a client that talks on is told why it was closed", async () => {
  await using server = testServer({ maxMessageBytes: 100 });
  using client = await RawClient.open(server.port);
  const ping = frame(JSON.stringify(["ping"]));
  // The server has the others at hand while it closes, and more come before the client can have read of it.
  await client.write(new Uint8Array([...frame("x".repeat(101)), ...ping, ...ping]));
  for (let i = 0; i < 5; i++) {
    await pause(20);
    await client.write(ping);
  }
  assertEquals(await client.closeCode(), 1009);
  assertEquals(server.health().sockets, 1);
  await client.write(frame(Uint8Array.of(0x03, 0xf1), Opcode.close));
  assertEquals(await client.frame(), undefined);
  await until(() => server.health().sockets === 0, "its place");
});

Deno.test("who does not stop talking though he was closed is cut", async () => {
  await using server = testServer({ closeTimeout: 3600, maxMessageBytes: 100 });
  using client = await RawClient.open(server.port);
  const large = frame("x".repeat(101));
  await client.write(large);
  assertEquals(await client.closeCode(), 1009);
  assertEquals(server.health().sockets, 1);
  const cut = client.frame().catch(() => undefined);
  for (let i = 0; i < 100_000 && server.health().sockets > 0; i++) await client.write(large).catch(() => {});
  assertEquals(server.health().sockets, 0);
  assertEquals(await cut, undefined);
});

Deno.test("a client that never answers the close frame gives its place to others after a while", async () => {
  await using server = testServer({ closeTimeout: 1, maxSockets: 1 });
  using client = await RawClient.open(server.port, V3);
  await client.text();
  // Too large: the server closes. Nothing is answered, but all is read.
  await client.write(frame("x".repeat(70_000)));
  const opcodes: number[] = [];
  let ended = false;
  (async () => {
    for (let next; (next = await client.frame()) !== undefined;) opcodes.push(next.opcode);
    ended = true;
  })();
  await until(() => server.health().sockets === 0, "its place");
  using next = await RawClient.open(server.port, V3);
  assertEquals(JSON.parse((await next.text())!)[0], "welcome");
  // The connection is cut as well.
  await until(() => ended, "its connection to end");
  assertEquals(opcodes.at(-1), Opcode.close);
});

Deno.test("a process that stood still for longer than the keepalive evicts nobody who had answered", async () => {
  const keepalive = 2;
  await using server = await serverProcess([
    "--port",
    "0",
    "--host",
    "127.0.0.1",
    "--stun-port",
    "off",
    "--keepalive",
    `${keepalive}`,
  ]);
  const port = await server.port;
  const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.open(port, V3)));
  try {
    // Each is pinged; then the process stands still, and finds the answers when it goes on.
    await Promise.all(clients.map(async (client) => {
      for (;;) if ((await client.frame())!.opcode === Opcode.ping) return;
    }));
    server.kill("SIGSTOP");
    const pong = frame("", Opcode.pong);
    await Promise.all(clients.map((client) => client.write(pong)));
    await pause(2.5 * keepalive * 1000);
    server.kill("SIGCONT");
    const codes: (number | undefined)[] = [];
    for (const client of clients) client.closeCode().then((code) => codes.push(code), () => {});
    await pause(keepalive * 750);
    const health = await (await fetch(`http://127.0.0.1:${port}/healthz`)).json();
    assertEquals([codes, health.sockets], [[], 100]);
    // Those that stay silent now are found in the usual time.
    const begun = performance.now();
    await until(() => codes.length === 100, "the silent ones to be closed");
    assertLess(performance.now() - begun, 2 * keepalive * 1000 + 3000);
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
});

Deno.test("who talks is not pinged; fallen silent it is, and is found dead where it does not answer", async () => {
  await using server = testServer({ keepalive: 1 });
  using client = await RawClient.open(server.port, V3);
  const opcodes: number[] = [];
  let endedAt = 0;
  (async () => {
    for (let next; (next = await client.frame()) !== undefined;) opcodes.push(next.opcode);
    endedAt = performance.now();
  })();
  for (let i = 0; i < 15; i++) {
    await client.send(["ping"]);
    await pause(200);
  }
  // The welcome, and an answer to each.
  assertEquals(opcodes, Array(16).fill(Opcode.text));
  const silentSince = performance.now();
  await until(() => endedAt > 0, "its end");
  assertEquals(opcodes.slice(16), [Opcode.ping, Opcode.close]);
  assertLess(endedAt - silentSince, 4500);
});
