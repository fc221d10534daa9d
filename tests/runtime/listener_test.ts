/** A stranger who uses up the file descriptors of the server does not bring it down. */

import { assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { serverProcess } from "../kit/server.ts";

const LIMIT = 150;

testWith(
  missingBinaries("prlimit"),
  "out of file descriptors, the server keeps its sockets and goes on when there are descriptors again",
  async () => {
    const options = ["--host", "127.0.0.1", "--port", "0", "--stun-port", "off"];
    await using server = await serverProcess(options);
    const port = await server.port;
    const limit = ["--pid", String(server.pid), `--nofile=${LIMIT}`];
    const { success } = await new Deno.Command("prlimit", { args: limit }).output();
    assertEquals(success, true);
    using client = await TestClient.open(`ws://127.0.0.1:${port}`);
    await client.call(["join", "a", "r"], ["join", "r:a"]);

    const held: Deno.Conn[] = [];
    let refused = false;
    while (!refused && held.length < 2 * LIMIT) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
      if (connection === undefined) break;
      held.push(connection);
      // A connection that was not accepted is reset; an accepted one waits for the rest of the request.
      const reset = connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nX-"))
        .then(() => connection.read(new Uint8Array(1))).then(() => true, () => true);
      refused = await Promise.race([reset, client.settle().then(() => false)]);
    }
    await client.call(["signal", "r:a", "r:a", 1], ["signal", "r:a", "r:a", 1]);
    for (const connection of held) connection.close();

    let health: Response | undefined;
    while (health === undefined) {
      health = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    }
    assertEquals((await health.json()).sockets, 1);
    await client.call(["signal", "r:a", "r:a", 2], ["signal", "r:a", "r:a", 2]);
    server.kill("SIGTERM");
    const { code, stderr } = await server.output;
    assertStringIncludes(stderr, "Too many open files");
    assertEquals(code, 0);
  },
);
