/**
 * What the runtime answers before the server sees a handshake. The documents tell of it; when this fails, the runtime
 * has changed, and they are to be corrected.
 */

import { assertEquals, assertMatch } from "../kit/assert.ts";
import { handshake, RawClient } from "../kit/raw_client.ts";

Deno.test("a handshake that announces a body, were it an empty one, gets an empty 400 of the runtime's", async () => {
  let seen = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    seen++;
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => socket.close();
    return response;
  });
  const ask = async (headers: Record<string, string>) => {
    using client = await RawClient.open(server.addr.port, "no handshake");
    await client.write(handshake(headers));
    return await client.readHead();
  };
  for (
    const [name, value] of [["Content-Length", "0"], ["Content-Length", "1"], [
      "Transfer-Encoding",
      "chunked",
    ]]
  ) {
    assertMatch(await ask({ [name!]: value! }), /^HTTP\/1\.1 400 [^]*^content-length: 0\r$/m);
  }
  assertEquals(seen, 0, "the server has never heard of them");
  assertMatch(await ask({}), /^HTTP\/1\.1 101 /);
  assertEquals(seen, 1);
  await server.shutdown();
});
