/** The server behind a real nginx, with the configuration that the README gives. */

import { connect } from "node:net";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { meetInRoom, TestClient } from "../kit/client.ts";
import { findBinary, missingBinaries, testWith } from "../kit/parts.ts";
import { serverProcess } from "../kit/server.ts";
import { handshake } from "../kit/raw_client.ts";

const missing = missingBinaries("nginx");

/** The configuration for nginx in the README. */
async function readmeConfiguration(): Promise<string> {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const blocks = [...readme.matchAll(/^```nginx\n([^]*?)^```$/gm)];
  assertEquals(blocks.length, 1, "blocks of nginx configuration in the README");
  return blocks[0]![1]!;
}

/** Replaces what must be there, so that a README that has changed fails the test. */
function replace(text: string, what: RegExp, by: string): string {
  assertMatch(text, what);
  return text.replace(what, by);
}

/** nginx in front of a server; `await using` stops it. */
interface Nginx extends AsyncDisposable {
  readonly port: number;
}

/**
 * Runs nginx as the current user, without TLS, on a free port of the loopback interface, with the configuration
 * of the README.
 *
 * @param upstream the port of the server
 * @param readTimeout `proxy_read_timeout`: after how long a silence of the server a connection is cut
 */
async function nginx(upstream: number, readTimeout = "60s"): Promise<Nginx> {
  const directory = await Deno.makeTempDir({ prefix: "nginx-" });
  let port = 0;
  {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    port = listener.addr.port;
  }
  let site = await readmeConfiguration();
  site = replace(site, /listen 443 ssl;\n\s*listen \[::\]:443 ssl;/, `listen 127.0.0.1:${port};`);
  site = replace(site, /^\s*ssl_certificate .*$/m, "");
  site = replace(site, /^\s*ssl_certificate_key .*$/m, "");
  site = replace(site, /127\.0\.0\.1:3903/, `127.0.0.1:${upstream}`);
  const configuration = `
    daemon off;
    pid ${directory}/pid;
    error_log stderr notice;
    events {}
    http {
      access_log off;
      client_body_temp_path ${directory}/body;
      proxy_temp_path ${directory}/proxy;
      fastcgi_temp_path ${directory}/fastcgi;
      uwsgi_temp_path ${directory}/uwsgi;
      scgi_temp_path ${directory}/scgi;
      proxy_read_timeout ${readTimeout};
      ${site}
    }`;
  await Deno.writeTextFile(`${directory}/nginx.conf`, configuration);
  const child = new Deno.Command(findBinary("nginx")!, {
    args: ["-p", directory, "-e", "stderr", "-c", `${directory}/nginx.conf`],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();

  const started = Promise.withResolvers<void>();
  const read = (async () => {
    let stderr = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += text;
      // It listens before it starts those that accept.
      if (/start worker process/.test(stderr)) started.resolve();
    }
    started.reject(new Error(`nginx ended: ${stderr}`));
  })();
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await Promise.all([read, child.status]);
    await Deno.remove(directory, { recursive: true });
  };
  try {
    await started.promise;
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, [Symbol.asyncDispose]: stop };
}

/** A connection that asks for a WebSocket from an address of its own choice in 127.0.0.0/8. */
async function connectFrom(
  address: string,
  port: number,
  headers: Record<string, string> = {},
): Promise<{ status: number } & Disposable> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: address });
  const head = Promise.withResolvers<string>();
  let received = "";
  socket.on("data", (bytes: Uint8Array) => {
    received += new TextDecoder().decode(bytes);
    if (received.includes("\r\n\r\n")) head.resolve(received);
  });
  socket.on("error", head.reject);
  socket.on("close", () => head.reject(new Error(`closed after: ${received}`)));
  socket.on("connect", () => socket.write(handshake(headers)));
  const status = Number(/^HTTP\/1\.1 (\d+) /.exec(await head.promise)?.[1]);
  return { status, [Symbol.dispose]: () => void socket.destroy() };
}

testWith(missing, "Peers meet through nginx, and the page shows nginx's address", async () => {
  await using server = await serverProcess(["--port", "0", "--host", "127.0.0.1"]);
  await using proxy = await nginx(await server.port);
  const url = `ws://127.0.0.1:${proxy.port}`;
  using alice = await TestClient.openV3(url);
  using bob = await TestClient.open(`${url}/some/path`, "xmpp");
  assertEquals(bob.socket.protocol, "xmpp");
  await meetInRoom(alice, bob);
  const page = await fetch(`http://127.0.0.1:${proxy.port}/`);
  assertStringIncludes(await page.text(), url);
});

testWith(
  missing,
  "A trusted nginx tells clients apart, and what they claim themselves is not believed",
  async () => {
    const limits = ["--max-sockets-per-client", "1", "--trust-proxy", "127.0.0.1"];
    await using server = await serverProcess(["--port", "0", "--host", "127.0.0.1", ...limits]);
    await using proxy = await nginx(await server.port);
    using first = await connectFrom("127.0.0.2", proxy.port);
    assertEquals(first.status, 101);
    using again = await connectFrom("127.0.0.2", proxy.port);
    assertEquals(again.status, 429);
    using disguised = await connectFrom("127.0.0.2", proxy.port, { "X-Forwarded-For": "198.51.100.7" });
    assertEquals(disguised.status, 429);
    using other = await connectFrom("127.0.0.3", proxy.port);
    assertEquals(other.status, 101);
  },
);

testWith(
  missing,
  "Behind an nginx that is not trusted all clients are one, and the log says how to change it",
  async () => {
    const args = ["--port", "0", "--host", "127.0.0.1", "--max-sockets-per-client", "1"];
    await using server = await serverProcess(args);
    await using proxy = await nginx(await server.port);
    using first = await connectFrom("127.0.0.2", proxy.port);
    assertEquals(first.status, 101);
    using other = await connectFrom("127.0.0.3", proxy.port);
    assertEquals(other.status, 429);
    // Else the drain would wait for it.
    first[Symbol.dispose]();
    server.kill("SIGTERM");
    const { stderr } = await server.output;
    assertMatch(stderr, /--trust-proxy \\?"?127\.0\.0\.1/);
  },
);

testWith(
  missing,
  "An idle socket outlives nginx's read timeout, thanks to the keepalive and only to it",
  async () => {
    const args = ["--port", "0", "--host", "127.0.0.1", "--keepalive"];
    await using pinging = await serverProcess([...args, "1"]);
    await using silent = await serverProcess([...args, "3600"]);
    await using proxy = await nginx(await pinging.port, "2s");
    await using control = await nginx(await silent.port, "2s");

    using idle = await TestClient.open(`ws://127.0.0.1:${proxy.port}`);
    let cut = false;
    idle.closed.then(() => cut = true);
    // The time is told by sockets that nobody pings: each lives for as long as nginx's timeout.
    for (let lives = 0; lives < 2; lives++) {
      const unpinged = await TestClient.open(`ws://127.0.0.1:${control.port}`);
      assertEquals((await unpinged.closed).wasClean, false);
      assert(!cut, "the socket was cut though it was pinged");
    }
    await idle.call(["join", "alice", "room"], ["join", "room:alice"]);
  },
);
