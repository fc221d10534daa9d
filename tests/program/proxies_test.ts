/** The server behind real proxies, with the configurations that the documents give. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { meetInRoom, TestClient } from "../kit/client.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { caddy, connectFrom, haproxy, nginx, type Proxy } from "../kit/proxies.ts";
import { serverProcess } from "../kit/server.ts";

/** What a client may write to pass for another. */
const DISGUISES: Record<string, string>[] = [
  { "X-Forwarded-For": "198.51.100.7" },
  { Forwarded: "for=198.51.100.7" },
  { "X-Forwarded-For": "198.51.100.7", Forwarded: 'for="' },
  { Forwarded: 'for=198.51.100.7, for="', "X-Real-IP": "198.51.100.7", "CF-Connecting-IP": "198.51.100.7" },
  { "X-Forwarded-For": "198.51.100.7,", "X-Forwarded-Host": "evil.example", Host: "a,for=198.51.100.7" },
];

/** By one socket for each client: through the proxy each of them gets one, whatever it writes. */
async function tellApart(start: (upstream: number) => Promise<Proxy>, ...options: string[]): Promise<void> {
  const limits = ["--max-sockets-per-client", "1", "--trust-proxy", "127.0.0.1", ...options];
  await using server = await serverProcess(["--port", "0", "--host", "127.0.0.1", ...limits]);
  await using proxy = await start(await server.port);
  using first = await connectFrom("127.0.0.2", proxy.port);
  assertEquals(first.status, 101);
  using again = await connectFrom("127.0.0.2", proxy.port);
  assertEquals(again.status, 429);
  for (const disguise of DISGUISES) {
    using disguised = await connectFrom("127.0.0.2", proxy.port, disguise);
    assert([400, 429].includes(disguised.status), JSON.stringify([disguised.status, disguise]));
  }
  using other = await connectFrom("127.0.0.3", proxy.port);
  assertEquals(other.status, 101);
}

for (const proxyOf of [nginx, caddy, haproxy]) {
  const { name } = proxyOf;
  const missing = missingBinaries(name);

  testWith(missing, `Peers meet through ${name}, and the page shows its address`, async () => {
    const args = ["--port", "0", "--host", "127.0.0.1", "--trust-proxy", "127.0.0.1"];
    await using server = await serverProcess(args);
    await using proxy = await proxyOf(await server.port);
    const url = `ws://127.0.0.1:${proxy.port}`;
    using alice = await TestClient.openV3(url);
    using bob = await TestClient.open(`${url}/some/path`, "xmpp");
    assertEquals(bob.socket.protocol, "xmpp");
    await meetInRoom(alice, bob);
    const headers = { "x-forwarded-host": "evil.example", forwarded: "host=evil.example" };
    const page = await fetch(`http://127.0.0.1:${proxy.port}/`, { headers });
    assertStringIncludes(await page.text(), url);
  });

  testWith(
    missing,
    `A trusted ${name} tells clients apart, and no header of theirs is believed`,
    async (t) => {
      await t.step("as documented", () => tellApart((upstream) => proxyOf(upstream)));
      await t.step(
        "passing on what clients write",
        () => tellApart((upstream) => proxyOf(upstream, "unclean")),
      );
    },
  );
}

testWith(
  missingBinaries("haproxy"),
  "A proxy that writes Forwarded behind what clients have written there is read from the end",
  () => tellApart((upstream) => haproxy(upstream, "forwarded"), "--proxy-header", "forwarded"),
);

testWith(
  missingBinaries("nginx"),
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
  missingBinaries("nginx"),
  "An idle socket outlives nginx's read timeout, thanks to the keepalive and only to it",
  async () => {
    const args = ["--port", "0", "--host", "127.0.0.1", "--keepalive"];
    await using pinging = await serverProcess([...args, "1"]);
    await using silent = await serverProcess([...args, "3600"]);
    await using proxy = await nginx(await pinging.port, "as documented", "2s");
    await using control = await nginx(await silent.port, "as documented", "2s");

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
