/** What we know of the runtime's insides. Where a new runtime has changed them, these fail, and SECURITY.md has to say so. */

import { cut, setIdleTimeout } from "../../lib/runtime/internals.ts";
import { assert, assertEquals, assertGreater } from "../kit/assert.ts";
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

Deno.test("the runtime: a client can be given its time to answer anew", async () => {
  const seconds = 1;
  await using server = serve(seconds);
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  const begun = performance.now();
  let renewals = 0;
  const renewing = setInterval(() => renewals += setIdleTimeout(socket, seconds) ? 1 : 0, 100);
  const pinged = client.frame();
  await new Promise((resolve) => setTimeout(resolve, 1500 * seconds));
  clearInterval(renewing);
  assert(renewals > 5, `${renewals} renewals`);
  assertEquals((await pinged)?.opcode, Opcode.ping);
  // Without them the ping would have come after half a second.
  assertGreater(performance.now() - begun, 1500 * seconds);
  assertEquals(setIdleTimeout(new EventTarget() as WebSocket, seconds), false);
});

Deno.test("the runtime: a client can be let be silent without end, and be watched again", async () => {
  await using server = serve(1);
  using client = await RawClient.open(server.port);
  const socket = await server.opened;
  assertEquals(setIdleTimeout(socket, 0), true);
  const begun = performance.now();
  const pinged = client.frame();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assertEquals([socket.readyState, setIdleTimeout(socket, 0.2)], [WebSocket.OPEN, true]);
  assertEquals((await pinged)?.opcode, Opcode.ping);
  assertGreater(performance.now() - begun, 1500);
  // Unanswered, it is closed.
  const { code } = await new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  assertEquals(code, 1001);
});
