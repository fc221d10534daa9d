import { assert, assertEquals, assertThrows } from "../kit/assert.ts";
import { testWith } from "../kit/parts.ts";
import { listenStun, type StunOptions, type StunServer } from "../../lib/ice/stun_server.ts";
import { request, stunClient } from "../kit/stun_client.ts";

/** A server on a free port of 127.0.0.1 that fails the test on any error of its socket. */
async function serving(
  options: Partial<StunOptions>,
  test: (server: StunServer) => Promise<void>,
): Promise<void> {
  const errors: unknown[] = [];
  const server = listenStun({
    hostname: "127.0.0.1",
    port: 0,
    now: () => performance.now(),
    onError: (error) => errors.push(error),
    ...options,
  });
  try {
    await test(server);
  } finally {
    await server.close();
  }
  assertEquals(errors, []);
}

function hasIpv6(): boolean {
  try {
    Deno.listenDatagram({ transport: "udp", hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

const noIpv6 = hasIpv6() ? undefined : "this machine has no IPv6 loopback";

Deno.test("an IPv4 client learns its address and port", () =>
  serving({}, async (server) => {
    using client = stunClient(server, "127.0.0.1");
    assertEquals(await client.ask(), `127.0.0.1 ${client.port}`);
    assertEquals({ ...server.counts }, { answered: 1, ignored: 0, limited: 0, errors: 0, pauses: 0 });
  }));

testWith(
  noIpv6,
  'on "::" each client is told the address of its own family',
  () =>
    serving({ hostname: "::" }, async ({ port }) => {
      using four = stunClient({ hostname: "127.0.0.1", port }, "127.0.0.1");
      using six = stunClient({ hostname: "::1", port }, "::1");
      assertEquals(await four.ask(), `127.0.0.1 ${four.port}`);
      assertEquals(await six.ask(), `::1 ${six.port}`);
    }),
);

Deno.test("what isn't a Binding request is dropped in silence, and the next request is answered", () =>
  serving({}, async (server) => {
    using client = stunClient(server, "127.0.0.1");
    const broken = request(true);
    broken[27]! ^= 1;
    const huge = new Uint8Array(3000);
    huge.set(request());
    huge.set([(1480 >> 8) & 0xff, 1480 & 0xff], 2);
    const drops = [
      new Uint8Array(0),
      new Uint8Array([0x80, 0x60, 0, 1]),
      new Uint8Array([0x16, 0xfe, 0xfd, ...new Uint8Array(60)]),
      request().subarray(0, 19),
      request().with(1, 0x11),
      request().with(0, 0x01),
      broken,
      huge,
    ];
    for (const datagram of drops) await client.send(datagram);
    assertEquals(await client.ask(), `127.0.0.1 ${client.port}`);
    assertEquals(server.counts.ignored, drops.length);
    assertEquals(server.counts.answered, 1);
  }));

Deno.test("a source over its rate gets silence, whatever its ports; other sources don't notice", async () => {
  let clock = 0;
  await serving({ now: () => clock, ratePerSource: 1, burst: 3, ratePerServer: Infinity }, async (server) => {
    using client = stunClient(server, "127.0.0.1");
    using neighbour = stunClient(server, "127.0.0.1");
    using other = stunClient(server, "127.0.0.2");
    for (let i = 0; i < 3; i++) await client.ask();
    await client.send(request());
    await neighbour.send(request());
    await other.ask();
    assertEquals([server.counts.answered, server.counts.limited], [4, 2]);
    clock += 1000;
    assertEquals(await neighbour.ask(), `127.0.0.1 ${neighbour.port}`);
    await client.send(request());
    await other.ask();
    assertEquals([server.counts.answered, server.counts.limited], [6, 3]);
  });
});

Deno.test("over its own rate the server stops reading, and loses nothing that the kernel still holds", async () => {
  let clock = 0;
  await serving({ now: () => clock, ratePerServer: 100 }, async (server) => {
    using client = stunClient(server, "127.0.0.1");
    for (let i = 0; i < 6; i++) await client.send(request());
    for (let answered = 2; answered <= 6; answered += 2) {
      await client.receive();
      await client.receive();
      const { pauses } = server.counts;
      while (server.counts.pauses < pauses + 2) await new Promise((resolve) => setTimeout(resolve, 1));
      assertEquals(server.counts.answered, answered);
      clock += 1000;
    }
  });
});

Deno.test("closing ends a server in mid-pause, frees the port and may be done twice", async () => {
  let port = 0;
  await serving({ now: () => 0, ratePerServer: 1 }, async (server) => {
    using client = stunClient(server, "127.0.0.1");
    await client.ask();
    while (server.counts.pauses === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    port = server.port;
    await server.close();
    await server.close();
  });
  await serving({ port }, (server) => {
    assertEquals(server.port, port);
    return Promise.resolve();
  });
});

Deno.test("a taken port is told with Deno's own error", () =>
  serving({}, ({ port }) => {
    const options = { hostname: "127.0.0.1", port, now: () => 0, onError: () => {} };
    assertThrows(() => listenStun(options), Deno.errors.AddrInUse);
    return Promise.resolve();
  }));

Deno.test("clients that are gone before their answer comes don't disturb the next", () =>
  serving({}, async (server) => {
    for (let i = 0; i < 20; i++) {
      using gone = stunClient(server, "127.0.0.1");
      await gone.send(request());
    }
    using client = stunClient(server, "127.0.0.1");
    await client.ask();
    await client.ask();
    assertEquals(server.counts.answered + server.counts.errors, 22);
  }));

/** Runs the test with every socket that Deno opens passed through `wrap`. */
function withSockets(
  wrap: ((socket: Deno.DatagramConn) => Deno.DatagramConn) | undefined,
  test: () => void,
): void {
  const { listenDatagram } = Deno;
  const wrapped = wrap &&
    ((options: Deno.UdpListenOptions) => wrap(listenDatagram({ ...options, transport: "udp" })));
  Object.defineProperty(Deno, "listenDatagram", { value: wrapped, configurable: true, writable: true });
  try {
    test();
  } finally {
    Object.defineProperty(Deno, "listenDatagram", {
      value: listenDatagram,
      configurable: true,
      writable: true,
    });
  }
}

Deno.test("errors of the socket are counted, told once a second, and survived", async () => {
  const failures = { receive: 3, send: 2 };
  function failing(socket: Deno.DatagramConn): Deno.DatagramConn {
    return new Proxy(socket, {
      get(target, name: keyof Deno.DatagramConn) {
        if ((name === "receive" || name === "send") && failures[name] > 0) {
          failures[name]--;
          return () => Promise.reject(new Error(`${name} failed`));
        }
        const value = target[name];
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }
  let clock = 0;
  const errors: string[] = [];
  let server: StunServer | undefined;
  withSockets(failing, () => {
    server = listenStun({
      hostname: "127.0.0.1",
      port: 0,
      now: () => clock,
      onError: (error) => errors.push(String(error)),
      ratePerServer: Infinity,
    });
  });
  assert(server);
  using client = stunClient(server, "127.0.0.1");
  await client.send(request());
  while (server.counts.errors < 4) await new Promise((resolve) => setTimeout(resolve, 1));
  clock = 1000;
  await client.send(request());
  await client.ask();
  assertEquals(errors, ["Error: receive failed", "Error: send failed"]);
  assertEquals([server.counts.errors, server.counts.answered], [5, 1]);
  await server.close();
});

Deno.test("a Deno without the datagram API is told of the setting", () =>
  withSockets(undefined, () => {
    const options = { hostname: "127.0.0.1", port: 0, now: () => 0, onError: () => {} };
    assertThrows(() => listenStun(options), Deno.errors.NotSupported, "unstable");
  }));
