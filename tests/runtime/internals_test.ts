/** What we know of the runtime's insides. Where a new runtime has changed them, these fail, and SECURITY.md has to say so. */

import { canWatch, close, cut, openSeparable, ping, watch } from "../../lib/runtime/internals.ts";
import { assertEquals } from "../kit/assert.ts";
import { frame, Opcode, RawClient } from "../kit/raw_client.ts";

function serve(idleTimeout: number) {
  const opened = Promise.withResolvers<WebSocket>();
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout });
    socket.onopen = () => opened.resolve(socket);
    return response;
  });
  const { finished, addr: { port } } = http;
  return { port, finished, opened: opened.promise, [Symbol.asyncDispose]: () => http.shutdown() };
}

Deno.test("the runtime: a socket can be cut, with all that waits in it", async () => {
  await using server = serve(0);
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  // The beginning of a message that never ends.
  await client.write(frame("x".repeat(1000), Opcode.text, false));
  assertEquals(cut(socket), true);
  assertEquals(await client.frame(), undefined);
  assertEquals(cut(new EventTarget() as WebSocket), false);
});

Deno.test("the runtime: a socket that is closed waits for the answer, whatever comes before it", async () => {
  await using server = serve(0);
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  const passedOver: string[] = [];
  const heard = new Promise<void>((resolve) =>
    socket.onmessage = ({ data }) => passedOver.push(data) === 2 && resolve()
  );
  close(socket, 1012, "the server restarts");
  await client.send("I don't know yet");
  await client.send("nor now");
  await Promise.race([heard, closed]);
  assertEquals(socket.readyState, WebSocket.CLOSING);
  assertEquals(await client.closeCode(), 1012);
  await client.write(frame(Uint8Array.of(0x03, 0xf4), Opcode.close));
  const { code, wasClean } = await closed;
  assertEquals([code, wasClean], [1012, true]);
  assertEquals(await client.frame(), undefined);
});

Deno.test("the runtime: an HTTP server can be ended apart from its WebSockets, and another takes its port", async () => {
  const { server, separate } = openSeparable(() => serve(0));
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  socket.onmessage = ({ data }) => socket.send(data);
  separate!();
  await server.finished;
  Deno.listen({ hostname: "127.0.0.1", port: server.port }).close();
  await client.send("still there");
  assertEquals(await client.text(), "still there");
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await client.frame();
  await client.write(frame("", Opcode.close));
  await closed;
});

Deno.test("the runtime: whoever watches a socket is told of messages and pongs, and nothing else is done", async () => {
  await using server = serve(0);
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  let signs = 0;
  let waiting = Promise.withResolvers<void>();
  assertEquals(canWatch, true);
  watch(socket, {
    onSign() {
      signs++;
      waiting.resolve();
    },
  });
  const received = new Promise((resolve) => socket.onmessage = resolve);
  await client.send("hello");
  await Promise.all([received, waiting.promise]);
  assertEquals(signs, 1);

  // As often as one likes: each ping is one frame, and the client is not given up for want of an answer.
  for (let i = 2; i < 5; i++) {
    ping(socket);
    assertEquals((await client.frame())?.opcode, Opcode.ping);
    waiting = Promise.withResolvers();
    await client.write(frame("", Opcode.pong));
    await waiting.promise;
    assertEquals(signs, i);
  }
  const next = client.frame();
  ping(socket);
  assertEquals((await next)?.opcode, Opcode.ping);
  const late = client.frame();
  assertEquals(
    await Promise.race([late, new Promise((resolve) => setTimeout(resolve, 500, "nothing"))]),
    "nothing",
  );
  assertEquals(socket.readyState, WebSocket.OPEN);
  socket.close();
  assertEquals((await late)?.opcode, Opcode.close);
});

Deno.test("the runtime: a sign that comes while a ping waits behind other messages does no harm", async () => {
  await using server = serve(0);
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  let heard = Promise.withResolvers<void>();
  watch(socket, { onSign: () => heard.resolve() });
  // More than is taken in by who does not read.
  socket.send("x".repeat(16_000_000));
  for (let i = 0; i < 3; i++) {
    heard = Promise.withResolvers();
    ping(socket);
    // By then it is to go out.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await client.send("here I am");
    await heard.promise;
  }
  assertEquals((await client.frame())?.opcode, Opcode.text);
  // One ping is on its way, and enough.
  assertEquals((await client.frame())?.opcode, Opcode.ping);
  socket.onmessage = ({ data }) => socket.send(data);
  await client.send("still there");
  assertEquals(await client.text(), "still there");
  ping(socket);
  assertEquals((await client.frame())?.opcode, Opcode.ping);
  assertEquals(socket.readyState, WebSocket.OPEN);
  // The runtime holds on to a socket for as long as it has a timer.
  const timer = Object.getOwnPropertySymbols(socket).find(({ description }) =>
    description === "[[idleTimeoutTimeout]]"
  );
  assertEquals((socket as unknown as Record<symbol, unknown>)[timer!], undefined);
});
