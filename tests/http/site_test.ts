import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { parse } from "../../lib/config/command_line.ts";
import { VERSION } from "../../lib/config/options.ts";
import { RawClient } from "../kit/raw_client.ts";
import { testServer } from "../kit/server.ts";

Deno.test("GET / is a page that shows the address to connect to", async () => {
  await using server = testServer();
  const response = await fetch(server.httpUrl);
  assertEquals(response.status, 200);
  assertMatch(response.headers.get("content-type")!, /^text\/html; charset=utf-8$/);
  const page = await response.text();
  assertStringIncludes(page, server.url);
  assertStringIncludes(page, `new WebSocket("${server.url}", "diva.signal.v3")`);
  assertStringIncludes(page, VERSION);
});

Deno.test("the page shows wss behind a trusted proxy that says so, and no markup of the client's", async () => {
  await using server = testServer({ trustProxy: parse(["--trust-proxy", "127.0.0.1"]).config.trustProxy });
  const page = async (headers: Record<string, string>) =>
    await (await fetch(server.httpUrl, { headers })).text();
  assertStringIncludes(await page({ "x-forwarded-proto": "https" }), `wss://127.0.0.1:${server.port}<`);
  const seen = { "x-forwarded-proto": "HTTPS, http", "x-forwarded-host": "signal.example.org" };
  assertStringIncludes(await page(seen), "wss://signal.example.org<");
  const hostile = await page({ "x-forwarded-host": '"><script>alert(1)</script>' });
  assertEquals(hostile.includes("<script>"), false);

  using client = await RawClient.open(server.port, "no handshake");
  await client.write(new TextEncoder().encode('GET / HTTP/1.1\r\nHost: "><script>alert(1)</script>\r\n\r\n'));
  assertMatch(await client.readHead(), /^HTTP\/1.1 400/);
});

Deno.test("/healthz tells status, version, uptime and counts", async () => {
  await using server = testServer();
  using client = await RawClient.open(server.port);
  await client.settle(["join", "a", "r"], ["join", "b", "r"], ["join", "a", "s"]);
  const response = await fetch(`${server.httpUrl}/healthz`);
  assertEquals(response.headers.get("content-type"), "application/json");
  assertEquals(response.headers.get("cache-control"), "no-store");
  const { uptimeSeconds, ...rest } = await response.json();
  assert(Number.isInteger(uptimeSeconds) && uptimeSeconds >= 0);
  assertEquals(rest, {
    status: "ok",
    version: VERSION,
    sockets: 1,
    clients: 1,
    sleeping: 0,
    rooms: 2,
    addresses: 3,
    stun: "ok",
    stunAtPublicHost: "unknown",
    stunAnswers: 0,
  });
});

Deno.test("every other path is a 404 page", async () => {
  await using server = testServer();
  for (const path of ["/index.html", "/healthz/", "/favicon.ico", "/..%2f", "/%00", "//"]) {
    for (const method of ["GET", "POST"]) {
      const response = await fetch(server.httpUrl + path, { method });
      assertEquals(response.status, 404, `${method} ${path}`);
      assertStringIncludes(await response.text(), "<h1>");
    }
  }
});

Deno.test("HEAD is answered as GET, but for the body; other methods are not possible on known paths", async () => {
  await using server = testServer();
  for (const path of ["/", "/healthz", "/nowhere"]) {
    const get = await fetch(server.httpUrl + path);
    const { byteLength } = await get.arrayBuffer();
    const head = await fetch(server.httpUrl + path, { method: "HEAD" });
    assertEquals(head.status, get.status);
    assertEquals(head.headers.get("content-length"), String(byteLength));
    assertEquals(head.headers.get("content-type"), get.headers.get("content-type"));
    assertEquals((await head.arrayBuffer()).byteLength, 0);
  }
  for (const path of ["/", "/healthz"]) {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const response = await fetch(server.httpUrl + path, { method });
      assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
      assertEquals(await response.text(), "Only GET, HEAD, OPTIONS are possible here.\n");
    }
  }
});

Deno.test("every answer has the security headers, a refusal too", async () => {
  await using server = testServer({ allowOrigin: ["https://app.example.org"] });
  const answers = await Promise.all([
    fetch(server.httpUrl),
    fetch(`${server.httpUrl}/healthz`),
    fetch(`${server.httpUrl}/nowhere`),
    fetch(server.httpUrl, { method: "POST" }),
  ]);
  for (const response of answers) {
    assertStringIncludes(response.headers.get("content-security-policy")!, "default-src 'none'");
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    assertEquals(response.headers.get("referrer-policy"), "no-referrer");
    await response.body?.cancel();
  }
  const refusal = await ask(server.port, "GET / HTTP/1.1", { Origin: "https://evil.example" });
  assertMatch(refusal, /^HTTP\/1.1 403[^]*x-content-type-options: nosniff/);
});

Deno.test("OPTIONS, by which proxies look whether a server is there, is answered on every known path", async () => {
  await using server = testServer();
  for (const [path, status] of [["/", 204], ["/healthz", 204], ["/nowhere", 404]] as const) {
    const response = await fetch(server.httpUrl + path, { method: "OPTIONS" });
    assertEquals(response.status, status);
    await response.body?.cancel();
  }
});

Deno.test("a Host header that is none, or longer than a name can be, is refused and does not come back", async () => {
  await using server = testServer();
  const name = "a".repeat(60) + ".";
  const none = [
    '"><b>',
    "a/healthz",
    "a?b",
    "a#b",
    "a@b",
    "a b",
    "a:99999",
    "[::1",
    "::1",
    "a,b",
    "xn--",
    "é",
  ];
  for (const host of [...none, "a".repeat(254) + ":3903", name.repeat(1000)]) {
    for (const head of ["GET / HTTP/1.1", "GET /healthz HTTP/1.1"]) {
      const answer = await ask(server.port, head, { Host: host });
      assertMatch(answer, /^HTTP\/1.1 400/);
      assert(answer.length < 1000);
      using plain = await RawClient.open(server.port, "no handshake");
      await plain.write(new TextEncoder().encode(`${head}\r\nHost: ${host}\r\n\r\n`));
      const { head: status, body } = await plain.readResponse();
      assertMatch(status, /^HTTP\/1.1 400/);
      assertStringIncludes(body, "The header Host ");
    }
  }
  assertMatch(
    await ask(server.port, "GET / HTTP/1.1", { Host: name.repeat(4) + "example:3903" }),
    /^HTTP\/1.1 101/,
  );
});

Deno.test("an address that is too long is refused, for sockets too: the runtime would keep it with them", async () => {
  await using server = testServer();
  const path = (length: number) => "/".padEnd(length - server.httpUrl.length, "x");
  for (const [length, socket, plain] of [[8192, 101, 404], [8193, 414, 414], [60_000, 414, 414]] as const) {
    const host = { Host: `127.0.0.1:${server.port}` };
    const status = await ask(server.port, `GET ${path(length)} HTTP/1.1`, host);
    assertMatch(status, new RegExp(`^HTTP/1.1 ${socket} `), String(length));
    const answer = await fetch(server.httpUrl + path(length));
    assertEquals([answer.status, answer.url.length], [plain, length]);
    await answer.body?.cancel();
  }
});

Deno.test("a bad handshake is answered with what is wrong with it", async () => {
  await using server = testServer({ allowOrigin: ["https://app.example.org"] });
  const status = async (line: string, change: Record<string, string | undefined>) =>
    /^HTTP\/1.1 (\d+)/.exec(await ask(server.port, line, change))?.[1];
  const get = "GET / HTTP/1.1";
  assertEquals(await status(get, {}), "101");
  assertEquals(await status("GET /any/path?x HTTP/1.1", {}), "101");
  assertEquals(await status(get, { Origin: "https://app.example.org" }), "101");
  assertEquals(await status(get, { Origin: "https://evil.example" }), "403");
  assertEquals(await status(get, { Connection: "close" }), "400");
  assertEquals(await status(get, { "Sec-WebSocket-Key": undefined }), "400");
  assertEquals(await status(get, { "Sec-WebSocket-Key": "short" }), "400");
  assertEquals(await status("POST / HTTP/1.1", {}), "405");
  assertMatch(
    await ask(server.port, get, { "Sec-WebSocket-Version": "8" }),
    /^HTTP\/1.1 426[^]*sec-websocket-version: 13/i,
  );
  assertEquals(server.health().sockets <= 3, true, "refused handshakes hold no place");
});

/** The head of the answer to a handshake with some headers changed. */
async function ask(port: number, line: string, change: Record<string, string | undefined>): Promise<string> {
  using client = await RawClient.open(port, "no handshake");
  const headers: Record<string, string | undefined> = {
    Host: "x",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...change,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`]
  );
  await client.write(new TextEncoder().encode(`${line}\r\n${lines.join("")}\r\n`));
  return await client.readHead();
}
