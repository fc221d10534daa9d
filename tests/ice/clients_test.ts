/** Clients and servers that others wrote, against ours. */

import { assert, assertEquals, assertMatch, assertNotEquals } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { listenStun, type StunServer } from "../../lib/ice/stun_server.ts";
import { iceServers, stunUrl, turnIssuer } from "../../lib/ice/turn.ts";
import { coturn } from "../kit/coturn.ts";
import { run } from "../kit/programs.ts";
import { type Configuration, converse, gather } from "../kit/webrtc.ts";

const LOOPBACK = "127.0.0.1";

interface Translator extends Disposable {
  /** Where a client finds the server. */
  readonly port: number;
  /** The ports by which the server saw its clients. */
  readonly outside: ReadonlySet<number>;
}

/**
 * Passes datagrams between clients and a server, each client on a socket of its own: what a NAT does, so that a
 * reflexive address is one that the client cannot know by itself. (WebRTC even drops one that isn't.)
 */
function translator(server: StunServer): Translator {
  const listen = () => Deno.listenDatagram({ transport: "udp", hostname: LOOPBACK, port: 0 });
  const port = (socket: Deno.DatagramConn) => (socket.addr as Deno.NetAddr).port;
  const inside = listen();
  const sockets = new Map<string, Deno.DatagramConn>();
  const outside = new Set<number>();
  const open = (client: Deno.Addr): Deno.DatagramConn => {
    assert(sockets.size < 16);
    const socket = listen();
    outside.add(port(socket));
    pass(socket, (datagram) => inside.send(datagram, client));
    return socket;
  };
  async function pass(
    from: Deno.DatagramConn,
    to: (datagram: Uint8Array, source: Deno.NetAddr) => Promise<number>,
  ): Promise<void> {
    for await (const [datagram, source] of from) await to(datagram, source as Deno.NetAddr);
  }
  pass(inside, (datagram, source) => {
    const key = `${source.hostname} ${source.port}`;
    const socket = sockets.get(key) ?? open(source);
    sockets.set(key, socket);
    return socket.send(datagram, { transport: "udp", hostname: LOOPBACK, port: server.port });
  });
  return {
    port: port(inside),
    outside,
    [Symbol.dispose]: () => [inside, ...sockets.values()].forEach((socket) => socket.close()),
  };
}

/** Our server, reached through a translator. */
async function behindNat(test: (nat: Translator) => Promise<void>): Promise<void> {
  const errors: unknown[] = [];
  const server = listenStun({
    hostname: LOOPBACK,
    port: 0,
    now: () => performance.now(),
    onError: (error) => errors.push(error),
  });
  try {
    using nat = translator(server);
    await test(nat);
  } finally {
    await server.close();
  }
  assertEquals(errors, []);
}

testWith(
  missingBinaries("turnutils_stunclient"),
  "coturn's client gets its reflexive address",
  () =>
    behindNat(async (nat) => {
      const { code, output } = await run(["turnutils_stunclient", "-p", String(nat.port), LOOPBACK]);
      assertEquals(code, 0, output);
      const [mapped] = nat.outside;
      assertMatch(output, new RegExp(`UDP reflexive addr: ${LOOPBACK}:${mapped}\\b`));
    }),
);

testWith(
  missingBinaries("stun"),
  "the RFC 3489 client of stun-client gets its reflexive address",
  () =>
    behindNat(async (nat) => {
      const { code, output } = await run(["stun", `${LOOPBACK}:${nat.port}`, "1", "-v"]);
      assertEquals(code, 0, output);
      const [mapped] = nat.outside;
      assertMatch(output, new RegExp(`MappedAddress = ${LOOPBACK}:${mapped}\\b`));
    }),
);

testWith(
  missingBinaries("stun"),
  "stun-client's whole discovery comes to an end and finds no error",
  () =>
    behindNat(async (nat) => {
      const { output } = await run(["stun", `${LOOPBACK}:${nat.port}`]);
      assertMatch(output, /Primary: (?!Blocked|.*fail)/);
    }),
);

Deno.test("a WebRTC peer gets a server-reflexive candidate", () =>
  behindNat(async (nat) => {
    const candidates = await gather({
      iceServers: iceServers({ stun: [stunUrl(LOOPBACK, nat.port)], turn: [] }),
    });
    const reflexive = candidates.filter(({ type }) => type === "srflx");
    assertNotEquals(reflexive.length, 0);
    for (const { address, port } of reflexive) {
      assertEquals(address, LOOPBACK);
      assert(nat.outside.has(port ?? 0), `${port} is none of ${[...nat.outside]}`);
    }
  }));

const now = () => Date.now();
const HOUR = 3600;

testWith(
  missingBinaries("turnserver", "turnutils_uclient"),
  "coturn and our credentials",
  async (context) => {
    await using server = await coturn({ address: LOOPBACK, secret: "north" });
    const port = server.url.match(/:(\d+)\?/)?.[1] ?? "";
    const allocate = (secret: string, clock: () => number) => {
      const issue = turnIssuer({ secret, ttlSeconds: HOUR, now: clock });
      const { username, credential } = issue("abcdefghijkl");
      const login = ["-u", username, "-w", credential];
      return run([
        "turnutils_uclient",
        "-y",
        "-c",
        "-n",
        "2",
        "-e",
        LOOPBACK,
        "-p",
        port,
        ...login,
        LOOPBACK,
      ]);
    };

    await context.step("an allocation is granted, and carries data", async () => {
      const { code, output } = await allocate("north", now);
      assertEquals(code, 0, output);
      assertMatch(output, /tot_send_msgs=4, tot_recv_msgs=4/);
    });

    await context.step("an expired credential is refused", async () => {
      const { code, output } = await allocate("north", () => now() - (HOUR + 60) * 1000);
      assertNotEquals(code, 0);
      assertMatch(output, /Cannot complete Allocation/);
    });

    await context.step("a forged credential is refused", async () => {
      const { code, output } = await allocate("south", now);
      assertNotEquals(code, 0);
      assertMatch(output, /Cannot complete Allocation/);
    });

    const relayOnly = (secret: string): Configuration => {
      const issue = turnIssuer({ secret, ttlSeconds: HOUR, now });
      const credentials = issue("abcdefghijkl");
      return {
        iceServers: iceServers({ stun: [], turn: [server.url], credentials }),
        iceTransportPolicy: "relay",
      };
    };

    await context.step("two WebRTC peers forced to relay talk through it", async () => {
      assertEquals(await converse(relayOnly("north")), {
        heard: ["from the caller", "from the callee"],
        pair: ["relay", "relay"],
      });
    });

    await context.step("a WebRTC peer with a forged credential gets no candidate at all", async () => {
      assertNotEquals(await gather(relayOnly("north")), []);
      assertEquals(await gather(relayOnly("south")), []);
    });
  },
);
