/** The low layer by itself: calls and their answers, what the server tells, and when it comes back. */

import { connect, SignalError, type Signaller } from "../../lib/client/mod.ts";
import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "../kit/assert.ts";
import { testServer } from "../kit/server.ts";
import { next, QUICK, until } from "./meshes.ts";

const WELCOME = JSON.stringify(["welcome", {
  version: 3,
  server: "test/1",
  limits: {},
  keepaliveSeconds: 30,
  iceServers: [],
}]);

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => promise);
  assert(error instanceof SignalError, `it was no SignalError: ${error}`);
  return error.code;
}

/** A server that lets each socket do what the test says. */
function scripted(onSocket: (socket: WebSocket, count: number) => void) {
  let count = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "diva.signal.v3" });
    socket.onopen = () => onSocket(socket, ++count);
    return response;
  });
  return {
    url: `ws://127.0.0.1:${server.addr.port}`,
    count: () => count,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("calls are answered, each with its own answer, and refused with the server's code", async () => {
  await using server = testServer();
  using alice = connect(server.httpUrl);
  using bob = connect(server.url);
  const { version } = await alice.ready();
  await bob.ready();
  const ident = await alice.ident();
  const [own, second] = await Promise.all([alice.join("kitchen", ident), alice.join("hall", "alice")]);
  assertEquals([version, own, second], [3, `kitchen:${ident}`, "hall:alice"]);
  assertEquals(await refusal(bob.join("hall", "alice")), "ident-taken");
  assertEquals(await refusal(bob.join("hall", "a:b")), "bad-ident");
  assertEquals(await refusal(bob.leave("hall:alice")), "not-a-member");

  const introduced = next<Event & { own: string; other: string; initiator: boolean }>(alice, "stun");
  await bob.join("hall", "bob");
  const stun = await introduced;
  assertEquals([stun.own, stun.other, stun.initiator], ["hall:alice", "hall:bob", false]);

  const said = next<Event & { other: string; data: unknown }>(alice, "signal");
  assertEquals(bob.signal("hall:bob", "hall:alice", { candidate: null }), true);
  const { other, data } = await said;
  assertEquals([other, data], ["hall:bob", { candidate: null }]);

  const gone = next<Event & { reason: string }>(alice, "gone");
  assertEquals(await bob.leave("hall:bob"), "hall:bob");
  assertEquals((await gone).reason, "left");
  assert(Array.isArray((await bob.ice()).iceServers));

  const unheard = next<Event & { error: SignalError }>(bob, "error");
  bob.signal("hall:bob", "hall:alice", "too late");
  assertEquals((await unheard).error.code, "not-a-member");
});

Deno.test("calls that wait when the connection breaks are rejected; those after it are not lost in silence", async () => {
  await using server = scripted((socket) => {
    socket.send(WELCOME);
    socket.onmessage = () => socket.close(1011);
  });
  using signaller = connect(server.url, { timing: QUICK });
  await signaller.ready();
  const waiting = signaller.join("kitchen", "alice");
  assertEquals(await refusal(waiting), "disconnected");
  assertEquals([signaller.signal("a:b", "a:c", 1), await refusal(signaller.ident())], [
    false,
    "disconnected",
  ]);
  await signaller.ready();
  assertEquals(server.count(), 2);
});

for (
  const [code, comesBack] of [
    [1000, true],
    [1001, true],
    [1011, true],
    [1012, true],
    [1013, true],
    [1008, false],
    [1009, false],
    [4001, false],
    [4003, false],
  ] as const
) {
  Deno.test(`closed with ${code}, the client ${comesBack ? "comes back" : "stays away, and says why"}`, async () => {
    await using server = scripted((socket) => {
      socket.send(WELCOME);
      socket.close(code, "as the test says");
    });
    using signaller = connect(server.url, { timing: QUICK });
    if (comesBack) return await until("for the next attempt", () => server.count() === 2, signaller);
    const { error } = await next<Event & { error: SignalError }>(signaller, "error");
    assertEquals([error.code, signaller.state], [code === 4001 ? "replaced" : "closed", "closed"]);
    assert(error.message.includes("as the test says"), error.message);
  });
}

Deno.test("the server's word on when to come back is kept; without one, pauses grow and differ", async () => {
  const times: number[] = [];
  await using server = scripted((socket, count) => {
    times.push(performance.now());
    socket.send(WELCOME);
    if (count === 1) socket.send(JSON.stringify(["goodbye", { reason: "shutdown", retryAfterMs: 400 }]));
    socket.close(1012);
  });
  using signaller = connect(server.url, { timing: { retryLeast: 100, retryMost: 10_000 } });
  await until("for five attempts", () => times.length === 5, signaller);
  const pauses = times.slice(1).map((time, i) => time - times[i]!);
  assertGreater(pauses[0]!, 395);
  // 50 to 100, 100 to 200, 200 to 400 ms, and what a busy machine adds.
  assertGreater(pauses[1]!, 45);
  assertGreater(pauses[3]!, 195);
  assertLess(pauses[1]!, pauses[3]!);
});

Deno.test("a server that says nothing, any more or at all, is given up and tried again", async () => {
  await using mute = scripted(() => {});
  using never = connect(mute.url, { timing: { ...QUICK, connectTimeout: 100 } });
  await until("for the second attempt", () => mute.count() === 2, never);

  await using falling = scripted((socket) => socket.send(WELCOME));
  using once = connect(falling.url, { timing: { ...QUICK, pingInterval: 50, pongTimeout: 50 } });
  await until("for the second attempt", () => falling.count() === 2, once);
});

Deno.test("a server of version 2 is recognised, and an aborted connection stays closed", async () => {
  const old = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => Deno.upgradeWebSocket(request).response,
  );
  const url = `ws://127.0.0.1:${old.addr.port}`;
  const codeOf = async (signaller: Signaller) => await refusal(signaller.ready());
  assertEquals(await codeOf(connect(url)), "not-version-3");
  assertEquals(await codeOf(connect(url, { signal: AbortSignal.abort() })), "aborted");
  const abort = new AbortController();
  const second = connect(url, { signal: abort.signal });
  abort.abort();
  assertEquals([await codeOf(second), second.state], ["aborted", "closed"]);
  await old.shutdown();
});
