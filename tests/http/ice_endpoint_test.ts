/** `GET /ice`, by which clients of version 2 get what version 3 tells in `welcome`. */

import { assert, assertEquals, assertStringIncludes } from "../kit/assert.ts";
import type { Config } from "../../lib/config/options.ts";
import { serverProcess, testServer } from "../kit/server.ts";

/** A server that has a TURN secret, for as long as the test runs. */
async function withTurn(
  options: Partial<Config>,
  test: (server: ReturnType<typeof testServer>) => Promise<void>,
) {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, "north\n");
    await using server = testServer({ turnUrl: ["turn:turn.example.org"], turnSecretFile: file, ...options });
    await test(server);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("with TURN, /ice tells STUN and TURN with fresh credentials that expire", () =>
  withTurn({ turnTtl: 600, stunUrl: ["stun:127.0.0.9"] }, async (server) => {
    const ask = async () => await (await fetch(`${server.httpUrl}/ice`)).json();
    const first = await ask();
    const [stun, turn] = first.iceServers;
    assertEquals(first.iceTtlSeconds, 600);
    assertEquals(stun, { urls: [`stun:127.0.0.1:${server.stunPorts[0]}`, "stun:127.0.0.9"] });
    assertEquals(turn.urls, ["turn:turn.example.org"]);
    const [expiry, ident] = turn.username.split(":");
    const left = Number(expiry) - Date.now() / 1000;
    assert(left > 590 && left <= 600, turn.username);
    assertEquals(/^[a-z]+$/.test(ident), true);
    assertEquals(turn.credential, await hmacSha1("north", turn.username));
    assert((await ask()).iceServers[1].username.split(":")[1] !== ident);
  }));

async function hmacSha1(secret: string, text: string): Promise<string> {
  const bytes = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-1" };
  const key = await crypto.subtle.importKey("raw", bytes.encode(secret), algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(text))).toBase64();
}

Deno.test("/ice is off without TURN, unless asked for, and can be off with it", async () => {
  const status = async (options: Partial<Config>) => {
    await using server = testServer(options);
    const response = await fetch(`${server.httpUrl}/ice`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status({}), 404);
  assertEquals(await status({ iceEndpoint: "on" }), 200);
  await withTurn({ iceEndpoint: "off" }, async (server) => {
    const response = await fetch(`${server.httpUrl}/ice`);
    assertEquals(response.status, 404);
    await response.body?.cancel();
  });
});

Deno.test("pages of allowed origins may read /ice, others not", async () => {
  await using open = testServer({ iceEndpoint: "on" });
  await using closed = testServer({ iceEndpoint: "on", allowOrigin: ["https://app.example.org"] });
  const ask = async (url: string, origin?: string, method = "GET") => {
    const response = await fetch(`${url}/ice`, { method, headers: origin === undefined ? {} : { origin } });
    await response.body?.cancel();
    return [response.status, response.headers.get("access-control-allow-origin")];
  };
  assertEquals(await ask(open.httpUrl, "https://anywhere.net"), [200, "*"]);
  assertEquals(await ask(closed.httpUrl, "https://app.example.org"), [200, "https://app.example.org"]);
  assertEquals(await ask(closed.httpUrl, "https://app.example.org", "OPTIONS"), [
    204,
    "https://app.example.org",
  ]);
  assertEquals(await ask(closed.httpUrl, "https://evil.example"), [403, null]);
  assertEquals((await ask(closed.httpUrl))[0], 200, "what is no browser sends no origin");
  assertEquals((await ask(open.httpUrl, undefined, "POST"))[0], 405);
});

Deno.test("/ice is limited by client address", async () => {
  await using server = testServer({ iceEndpoint: "on", iceBurst: 3, iceRate: 0.001 });
  const statuses = [];
  for (let i = 0; i < 5; i++) {
    const response = await fetch(`${server.httpUrl}/ice`);
    await response.body?.cancel();
    statuses.push(response.status);
    if (response.status === 429) assertEquals(response.headers.get("retry-after"), "1");
  }
  assertEquals(statuses, [200, 200, 200, 429, 429]);
});

Deno.test("the host of STUN is the one by which the client came, or the public one", async () => {
  const urls = async (options: Partial<Config>, host: string) => {
    await using server = testServer({ iceEndpoint: "on", ...options });
    const response = await fetch(`http://${host}:${server.port}/ice`);
    const [port, second] = server.stunPorts;
    return JSON.stringify((await response.json()).iceServers).replaceAll(String(port), "P").replaceAll(
      String(second),
      "Q",
    );
  };
  assertEquals(await urls({}, "localhost"), '[{"urls":["stun:localhost:P"]}]');
  assertEquals(await urls({ host: "::" }, "[::1]"), '[{"urls":["stun:[::1]:P"]}]');
  assertEquals(
    await urls({ publicHost: "127.0.0.9" }, "localhost"),
    '[{"urls":["stun:127.0.0.9:P"]}]',
  );
  assertEquals(
    await urls({ stunSecondPort: 0 }, "localhost"),
    '[{"urls":["stun:localhost:P","stun:localhost:Q"]}]',
  );
});

Deno.test("where the UDP port is taken the server says so and goes on without STUN", async () => {
  const taken = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  await using server = await serverProcess([
    "--host",
    "127.0.0.1",
    "--port",
    "0",
    "--stun-port",
    String(port),
  ]);
  const health = await fetch(`http://127.0.0.1:${await server.port}/healthz`);
  assertEquals((await health.json()).status, "ok");
  server.kill("SIGTERM");
  const { stderr, code } = await server.output;
  taken.close();
  assertEquals(code, 0);
  assertStringIncludes(stderr, `No STUN on UDP port ${port} of 127.0.0.1: it is in use.`);
});

Deno.test("STUN whose port is free again is answered, shown in the health, and offered to clients", async () => {
  const taken = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  await using server = testServer({ stunPort: port, iceEndpoint: "on" });
  const urls = async () => (await (await fetch(`${server.httpUrl}/ice`)).json()).iceServers;
  assertEquals([server.health().stun, server.stunPorts, await urls()], ["unavailable", [], []]);
  taken.close();
  for (const deadline = performance.now() + 10_000; server.health().stun !== "ok";) {
    assert(performance.now() < deadline, "it was not tried again");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertEquals([server.stunPorts, await urls()], [[port], [{ urls: [`stun:127.0.0.1:${port}`] }]]);
  await using off = testServer({ stunPort: "off" });
  assertEquals(off.health().stun, "off");
});
