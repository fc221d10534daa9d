import { parse } from "../../lib/config/command_line.ts";
import { Accounts } from "../../lib/limits/accounts.ts";
import { holdingLimits, sharedBudgets } from "../../lib/limits/limits.ts";
import { Source } from "../../lib/limits/source.ts";
import { log } from "../../lib/runtime/log.ts";
import { MemoryStore } from "../../lib/rooms/memory.ts";
import { Session } from "../../lib/sockets/session.ts";
import { Ledger } from "../../lib/sockets/ledger.ts";
import { Tracks } from "../../lib/sockets/tracks.ts";
import { Traffic } from "../../lib/sockets/traffic.ts";
import { Turn } from "../../lib/sockets/turn.ts";
import { Tally } from "../../lib/runtime/tally.ts";
import { assertEquals } from "../kit/assert.ts";

/** A socket whose handshake is not through yet. */
class SlowSocket extends EventTarget {
  readyState: number = WebSocket.CONNECTING;
  readonly bufferedAmount = 0;
  readonly sent: string[] = [];
  send(text: string): void {
    this.sent.push(text);
  }
}

function sessionOf(socket: SlowSocket): Session {
  const { config: limits } = parse([]);
  return new Session({
    socket: socket as unknown as WebSocket,
    version: 2,
    account: new Accounts(holdingLimits(limits)).of(Source.of("192.0.2.1")),
    host: "localhost",
  }, {
    rooms: new MemoryStore(Session.roomEvents, limits, ({ account }) => account),
    limits,
    shared: sharedBudgets(limits),
    welcome: { version: 3, server: "test", limits: {}, keepaliveSeconds: 20 },
    log,
    links: new Tally(),
    ledger: new Ledger({ maxPairs: 10, now: () => 0, introduceAnew: () => false, onFailed: () => {} }),
    tracks: new Tracks(10),
    traffic: new Traffic(),
    turn: new Turn(new Traffic(), () => 0),
    onRefused: () => {},
    refusals: new Tally(),
    now: () => 0,
    ice: () => ({ iceServers: [] }),
    takeIce: () => true,
    onPass() {},
    onStale() {},
    onSealed() {},
    onAsleep() {},
    makeRoom: () => false,
    onClosed() {},
  });
}

Deno.test("a peer in the midst of its handshake is not taken for dead", async () => {
  const socket = new SlowSocket();
  sessionOf(socket).buryIfDead();
  socket.readyState = WebSocket.OPEN;
  socket.dispatchEvent(new MessageEvent("message", { data: '["ping"]' }));
  await Promise.resolve();
  assertEquals(socket.sent, ['["pong"]']);
});

Deno.test("what came for a socket that was cut is passed over", async () => {
  for (const data of ['["ping"]', "x".repeat(2_000_000), null]) {
    const socket = new SlowSocket();
    socket.readyState = WebSocket.OPEN;
    const session = sessionOf(socket);
    session.giveUp("closed");
    socket.dispatchEvent(new MessageEvent("message", { data }));
    await Promise.resolve();
    assertEquals(socket.sent, []);
  }
});
