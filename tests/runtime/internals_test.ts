/** What we know of the runtime's insides. Where a new runtime has changed them, these fail, and SECURITY.md has to say so. */

import { calm, canWatch, cut, ping, watch } from "../../lib/runtime/internals.ts";
import { assertEquals } from "../kit/assert.ts";
import { frame, Opcode, RawClient } from "../kit/raw_client.ts";

function serve(idleTimeout: number) {
  const opened = Promise.withResolvers<WebSocket>();
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout });
    socket.onopen = () => opened.resolve(socket);
    return response;
  });
  return { port: http.addr.port, opened: opened.promise, [Symbol.asyncDispose]: () => http.shutdown() };
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
    calm(socket);
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
  calm(socket);
  socket.close();
  assertEquals((await late)?.opcode, Opcode.close);
});
