/** Meshes of real WebRTC peers at the real server: what an application sees of them. */

import { joinMesh, type Mesh, type Peer, SignalError } from "../../lib/client/mod.ts";
import { assert, assertEquals, assertRejects } from "../kit/assert.ts";
import { testServer } from "../kit/server.ts";
import {
  type Configuration,
  type IceCandidate,
  RTCPeerConnection,
  type SessionDescription,
} from "../kit/webrtc.ts";
import { MeshPeer } from "../strangers/peer.ts";
import { full, join, next, peerOf, QUICK, until, wire } from "./meshes.ts";

/** All that a mesh is told of one kind, from now on. */
function collect<T extends Event>(target: EventTarget, type: string): T[] {
  const events: T[] = [];
  target.addEventListener(type, (event) => events.push(event as T));
  return events;
}

const messages = (target: EventTarget) => collect<Event & { data: unknown; peer: Peer }>(target, "message");
const peers = (mesh: Mesh) => collect<Event & { peer: Peer }>(mesh, "peer");

/** Makes one side want new descriptions, as a new track would (tracks of this package crash the process at its end). */
function renegotiation(connection: Peer["connection"]) {
  const target = connection as unknown as EventTarget & { signalingState: string };
  let answers = 0;
  let before = "";
  target.addEventListener("signalingstatechange", () => {
    if (before === "have-local-offer" && target.signalingState === "stable") answers++;
    before = target.signalingState;
  });
  return {
    answers: () => answers,
    stable: () => target.signalingState === "stable",
    ask: () => target.dispatchEvent(new Event("negotiationneeded")),
  };
}

const astray = (candidate: string) => candidate.replace(/ \d+ typ /, " 9 typ ");

async function caught(promise: Promise<unknown>): Promise<SignalError> {
  const error = await assertRejects(() => promise);
  assert(error instanceof SignalError, `it was no SignalError: ${error}`);
  return error;
}

Deno.test("two peers meet and say everything that can be said, in order", async () => {
  await using server = testServer();
  await using alice = await join({ url: server.httpUrl, ident: "alice" });
  await using bob = await join({ url: server.url });
  const heard = messages(alice);
  const own = { any: ["JSON", 1, null, true, { nested: "ü" }] };

  await until("for the introduction", () => bob.peers.size === 1);
  const peer = peerOf(bob, "alice");
  // Queued: nothing is connected yet.
  const sent = [
    peer.send(own),
    peer.send("a string"),
    peer.send("ö".repeat(100_000)),
    peer.send(new Uint8Array([1, 2, 3])),
    peer.send(new Uint8Array(100_000).fill(7)),
    peer.send(new Blob(["x".repeat(50_000)], { type: "image/png" })),
    peer.send(null),
    peer.send(""),
  ];
  await Promise.all(sent);
  await until("for all messages", () => heard.length === sent.length);

  assertEquals(heard.map(({ peer }) => peer.ident), sent.map(() => bob.ident));
  const [json, text, long, bytes, many, blob, nothing, empty] = heard.map(({ data }) => data);
  assertEquals([json, text, nothing, empty], [own, "a string", null, ""]);
  assertEquals([long, bytes], ["ö".repeat(100_000), new Uint8Array([1, 2, 3])]);
  assertEquals(many, new Uint8Array(100_000).fill(7));
  assert(blob instanceof Blob);
  assertEquals([blob.type, await blob.text()], ["image/png", "x".repeat(50_000)]);
  await until("for the path", () => peer.path !== undefined, peer);
  // Between the interfaces of one machine a peer may show as reflexive.
  assertEquals([peer.state, /^(?:host|reflexive)$/.test(peer.path!)], ["connected", true]);
});

Deno.test("whoever listens after joining misses nobody", async () => {
  await using server = testServer();
  await using alice = await join({ url: server.httpUrl, ident: "alice" });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  await using carol = await join({ url: server.httpUrl, ident: "carol" });
  const seen = peers(carol);
  await full(alice, bob, carol);
  assertEquals(seen.map(({ peer }) => peer.ident).sort(), ["alice", "bob"]);
  const iterated = [];
  for await (const { ident } of carol) if (iterated.push(ident) === 2) break;
  assertEquals(iterated.sort(), ["alice", "bob"]);
});

Deno.test("links outlive the server: they talk, open channels and renegotiate while it is away", async () => {
  const server = testServer();
  await using alice = await join({ url: server.httpUrl, ident: "alice" });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const connection = peerOf(alice, "bob").connection;
  await server.drain();
  await until("for both to miss the server", () => [alice, bob].every(({ state }) => state === "waiting"));

  const heard = messages(bob);
  await alice.send("still here");
  const files: unknown[] = [];
  peerOf(bob, "alice").addEventListener("channel", ({ channel }) => {
    channel.addEventListener("message", ({ data }) => files.push(channel.label, data));
  });
  await peerOf(alice, "bob").channel("file").send({ name: "photo.jpg" });
  await until("for the file", () => files.length === 2);
  assertEquals(files, ["file", { name: "photo.jpg" }]);
  assertEquals(heard.map(({ data }) => data), ["still here"]);

  // An offer and its answer: over the link itself, there is nothing else.
  const { answers, ask } = renegotiation(connection);
  ask();
  await until("for the answer", () => answers() === 1);
  assertEquals([peerOf(alice, "bob").connection === connection, peerOf(bob, "alice").state], [
    true,
    "connected",
  ]);

  const left = until("for bob to hear that alice left", () => bob.peers.size === 0);
  await alice.leave();
  await left;
});

Deno.test("a server that restarts breaks no link and doubles nobody; who comes then is met by all", async () => {
  const first = testServer();
  using network = wire(first.port);
  await using alice = await join({ url: network.url, ident: "alice" });
  await using bob = await join({ url: network.url, ident: "bob" });
  await full(alice, bob);
  // Which way the data goes is known a moment later, and is the last that is told of a link that just came up.
  await until("for the way", () => peerOf(alice, "bob").path !== undefined);
  const [seenByAlice, seenByBob] = [peers(alice), peers(bob)];
  const states = collect(peerOf(alice, "bob"), "state");
  const before = [peerOf(alice, "bob"), peerOf(bob, "alice")];
  const connections = before.map(({ connection }) => connection);

  network.target = undefined;
  network.cut();
  await first.drain();
  await using second = testServer();
  network.target = second.port;
  await until("for both to be back", () => [alice, bob].every(({ state }) => state === "joined"));
  await using carol = await join({ url: network.url, ident: "carol" });
  await full(alice, bob, carol);

  assertEquals([peerOf(alice, "bob"), peerOf(bob, "alice")], before);
  assertEquals(before.map(({ connection }) => connection), connections);
  assertEquals(states.length, 0);
  assertEquals([seenByAlice, seenByBob].map((seen) => seen.map(({ peer }) => peer.ident)), [["carol"], [
    "carol",
  ]]);
  const heard = messages(bob);
  await alice.send("once");
  await carol.send("twice");
  await until("for both messages", () => heard.length === 2);
});

Deno.test("a lost connection to the server is taken up again under the same ident, before the server has noticed", async () => {
  await using server = testServer();
  using network = wire(server.port);
  await using alice = await join({ url: network.url, ident: "alice" });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const seen = peers(bob);
  const errors = collect(alice, "error");
  const rejoined = until("for alice to come back", () => alice.state === "joined");
  network.cut();
  await until("for alice to notice", () => alice.state !== "joined");
  await rejoined;
  await until("for alice to come back", () => alice.state === "joined");
  await full(alice, bob);
  assertEquals([alice.ident, seen.length, errors.length], ["alice", 0, 0]);
});

Deno.test("a reload with the same ident and key is the same peer to the others, over a new connection", async () => {
  await using server = testServer();
  const me = { url: server.httpUrl, ident: "alice", key: "0123456789abcdefghijkl" };
  using network = wire(server.port);
  const before = await join({ ...me, url: network.url });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(before, bob);
  const peer = peerOf(bob, "alice");
  const replaced = next<Event & { error: SignalError }>(before, "error");
  await using after = await join(me);
  await full(after, bob);
  const heard = messages(after);
  await bob.send("welcome back");
  await until("for the message", () => heard.length === 1);
  assertEquals([peerOf(bob, "alice") === peer, (await replaced).error.code, before.state], [
    true,
    "replaced",
    "closed",
  ]);
});

Deno.test("a link whose connection died is begun anew, and what waits is sent over it", async () => {
  await using server = testServer();
  await using alice = await join({ url: server.httpUrl, ident: "alice" });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const seen = peers(bob);
  const heard = messages(bob);
  const states: string[] = [];
  const peer = peerOf(bob, "alice");
  peer.addEventListener("state", () => states.push(peer.state));
  const former = peerOf(alice, "bob").connection;
  // deno-lint-ignore no-explicit-any -- the types here are those of no DOM
  (former as any).close();
  await until("for the other side to notice", () => states.includes("interrupted"));
  const sent = alice.send("over the next connection");
  await full(alice, bob);
  await sent;
  await until("for the message", () => heard.length === 1);
  assertEquals([seen.length, states.includes("interrupted"), peerOf(alice, "bob").connection === former], [
    0,
    true,
    false,
  ]);
});

/** A connection as that of @roamhq/wrtc, but for the state that it says and what it tells of it. */
function taciturn(connectionState: () => string | undefined, tells: (event: string) => boolean) {
  return class {
    constructor(configuration: Configuration) {
      return new Proxy(new RTCPeerConnection(configuration), {
        get(target, name) {
          if (name === "connectionState") return connectionState() ?? target.connectionState;
          if (name === "addEventListener") {
            return (type: string, ...rest: [never]) => tells(type) && target.addEventListener(type, ...rest);
          }
          const value = Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    }
  } as unknown as typeof RTCPeerConnection;
}

Deno.test("a link that comes back without a word of it is up again: by what it hears, and by and by", async () => {
  await using server = testServer();
  let broken = false;
  const Taciturn = taciturn(() => broken ? "disconnected" : undefined, () => true);
  await using alice = await join({ url: server.httpUrl, ident: "alice", RTCPeerConnection: Taciturn });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const peer = peerOf(alice, "bob");
  const { connection } = peer;
  for (const hears of [false, true]) {
    broken = true;
    (connection as unknown as EventTarget).dispatchEvent(new Event("connectionstatechange"));
    await until("for the interruption", () => peer.state === "interrupted", peer);
    broken = false;
    if (hears) {
      const heard = next(peer, "message");
      await bob.send("still here");
      await heard;
      assertEquals(peer.state, "connected");
    }
    await until("for the link to be up", () => peer.state === "connected" && peer.path !== undefined, peer);
    assert(peer.connection === connection, "it has another connection");
  }
});

Deno.test("a connection that never tells of its state is known by its channels", async () => {
  await using server = testServer();
  const Taciturn = taciturn(() => undefined, (event) => event !== "connectionstatechange");
  const both = {
    url: server.httpUrl,
    RTCPeerConnection: Taciturn,
    timing: { ...QUICK, linkTimeout: 60_000 },
  };
  await using alice = await join({ ...both, ident: "alice" });
  await using bob = await join({ ...both, ident: "bob" });
  await full(alice, bob);
});

Deno.test("which way the data goes is told where the statistics are late, too", async () => {
  await using server = testServer();
  class Late extends RTCPeerConnection {
    #asked = 0;
    override getStats(): ReturnType<RTCPeerConnection["getStats"]> {
      return this.#asked++ < 3 ? Promise.resolve(new Map()) : super.getStats();
    }
  }
  await using alice = await join({ url: server.httpUrl, ident: "alice", RTCPeerConnection: Late });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const peer = peerOf(alice, "bob");
  await until("for the way", () => /^(?:host|reflexive)$/.test(peer.path ?? ""), peer);
});

Deno.test("an offer that was lost together with the server is said again over the link", async () => {
  const server = testServer();
  // Offers get no further, but for the first.
  let described = 0;
  let lost = 0;
  class Forgetful extends WebSocket {
    override send(data: string): void {
      if (data.includes('"description":') && described++ > 0) lost++;
      else super.send(data);
    }
  }
  const url = server.httpUrl;
  await using alice = await join({ url, ident: "alice" });
  await using bob = await join({ url, ident: "bob", WebSocket: Forgetful });
  await full(alice, bob);
  const { connection } = peerOf(bob, "alice");
  const { stable, ask } = renegotiation(connection);
  ask();
  await until("for an offer to be lost", () => lost > 0);
  assert(!stable(), "it was answered");
  await server.drain();
  await until("for its answer", stable);
  assert(peerOf(bob, "alice").connection === connection, "it is another connection");
});

Deno.test("both sides renegotiate at once, many times, and agree in the end", async () => {
  await using server = testServer();
  await using alice = await join({ url: server.httpUrl, ident: "alice" });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const errors = [collect(alice, "error"), collect(bob, "error")];
  const both = [peerOf(alice, "bob"), peerOf(bob, "alice")].map(({ connection }) =>
    renegotiation(connection)
  );
  for (let i = 1; i <= 5; i++) {
    for (const { ask } of both) ask();
    await until("for two answers", () => both.every(({ answers, stable }) => answers() >= i && stable()));
  }
  assertEquals(errors, [[], []]);
  const heard = messages(bob);
  await alice.send("still in order");
  await until("for the message", () => heard.length === 1);
});

Deno.test("five peers come at once: everybody is connected to everybody, once", async () => {
  await using server = testServer();
  const meshes = await Promise.all(
    [1, 2, 3, 4, 5].map((i) => join({ url: server.httpUrl, ident: `peer ${i}` })),
  );
  await full(...meshes);
  await server.counts({ sockets: 5, rooms: 1, addresses: 5 });
  await Promise.all(meshes.map((mesh) => mesh.leave()));
  await server.counts({ sockets: 0, rooms: 0, addresses: 0 });
});

Deno.test("whoever leaves is gone at once; an aborted mesh leaves nothing behind", async () => {
  await using server = testServer();
  const abort = new AbortController();
  const alice = await join({ url: server.httpUrl, ident: "alice", signal: abort.signal });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const peer = peerOf(bob, "alice");
  const closed = next(peer.messages, "close");
  abort.abort();
  await until("for bob to hear of it", () => peer.state === "left" && bob.peers.size === 0);
  await closed;
  assertEquals([alice.state, alice.peers.size], ["closed", 0]);
  assertEquals((await caught(peer.send("too late"))).code, "channel-closed");
  await server.counts({ sockets: 1, addresses: 1 });
});

Deno.test("what can't be is said in words: at once, or in time", async () => {
  await using server = testServer();
  await using alice = await join({ url: server.httpUrl, ident: "alice" });
  const at = (options: object) =>
    caught(joinMesh({ room: "kitchen", url: server.httpUrl, RTCPeerConnection, timing: QUICK, ...options }));
  assertEquals((await at({ ident: "alice" })).code, "ident-taken");
  assertEquals((await at({ ident: "a:b" })).code, "bad-ident");
  assertEquals((await at({ room: "" })).code, "bad-arguments");
  assertEquals((await at({ url: undefined })).code, "bad-arguments");
  assertEquals((await at({ url: "no address" })).code, "bad-arguments");
  assertEquals((await at({ RTCPeerConnection: undefined })).code, "not-supported");
  assertEquals((await at({ signal: AbortSignal.abort() })).code, "aborted");
  const nowhere = await at({ url: "http://127.0.0.1:1", timing: { ...QUICK, joinTimeout: 300 } });
  assertEquals([nowhere.code, /Does the server run/.test(nowhere.message)], ["unreachable", true]);
  assertEquals(alice.peers.size, 0);
});

Deno.test("a peer that never answers ends in a state that says so, and the server is told", async () => {
  await using server = testServer();
  const socket = new WebSocket(server.url, ["diva.signal.v3"]);
  await next(socket, "open");
  socket.send(JSON.stringify(["join", "mute", "kitchen"]));
  await next(socket, "message");
  await using alice = await join({
    url: server.httpUrl,
    ident: "alice",
    timing: { ...QUICK, linkTimeout: 300, sessions: 1 },
  });
  await until("for the failure", () => alice.peers.get("mute")?.state === "failed");
  const peer = peerOf(alice, "mute");
  assertEquals(peer.failure, { why: "no-answer", message: "The other side did not answer." });
  const left = until("for it to be gone", () => peer.state === "left");
  socket.close();
  await left;
});

Deno.test("a pair that stalled connects after the server has introduced it anew", async () => {
  await using server = testServer();
  const timing = { ...QUICK, linkTimeout: 700, sessions: 1 };
  let swallow = true;
  /** Nobody hears the first offer; and neither side tries again by itself. */
  class Lossy extends WebSocket {
    override send(data: string): void {
      if (!swallow || !data.startsWith('["signal"')) super.send(data);
    }
  }
  // Whoever has never reported may not know what to do: each of the two has, on a third, who is gone.
  const mute = new WebSocket(server.url, ["diva.signal.v3"]);
  await next(mute, "open");
  mute.send(JSON.stringify(["join", "mute", "kitchen"]));
  await next(mute, "message");
  await using alice = await join({ url: server.httpUrl, ident: "alice", timing, WebSocket: Lossy });
  await until("for alice's report", () => alice.peers.get("mute")?.state === "failed");
  await using bob = await join({ url: server.httpUrl, ident: "bob", timing, WebSocket: Lossy });
  await until("for the two to be introduced", () => alice.peers.has("bob") && bob.peers.has("alice"));
  const pair = [peerOf(alice, "bob"), peerOf(bob, "alice")];
  for (const peer of pair) peer.addEventListener("state", () => swallow &&= peer.state !== "failed");
  mute.close();
  await full(alice, bob);
  assertEquals(swallow, false);
  assertEquals([peerOf(alice, "bob"), peerOf(bob, "alice")], pair);
});

Deno.test("no connection is asked for its descriptions, which @roamhq/wrtc can't tell while it finds candidates", async () => {
  await using server = testServer();
  class Secretive extends RTCPeerConnection {
    constructor(configuration: Configuration) {
      super(configuration);
      return new Proxy(this, {
        get(target, name) {
          if (/Description$/.test(String(name)) && !/^set/.test(String(name))) {
            throw new Error(`asked for ${String(name)}`);
          }
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    }
  }
  const both = { url: server.httpUrl, RTCPeerConnection: Secretive };
  await using alice = await join({ ...both, ident: "alice" });
  await using bob = await join({ ...both, ident: "bob" });
  await full(alice, bob);
  const errors = [collect(alice, "error"), collect(bob, "error")];
  const { answers, ask } = renegotiation(peerOf(bob, "alice").connection);
  ask();
  await until("for the answer", () => answers() === 1);
  assertEquals(errors, [[], []]);
});

Deno.test("a link without candidates, and one whose candidates lead nowhere, say so", async () => {
  await using server = testServer();
  class Silent extends RTCPeerConnection {
    constructor(configuration: Configuration) {
      super({ ...configuration, iceTransportPolicy: "relay" });
    }
  }
  /** For which every other peer is at a port that nobody has (discard, RFC 863). */
  class Astray extends RTCPeerConnection {
    override addIceCandidate(candidate: IceCandidate): Promise<void> {
      return super.addIceCandidate({ ...candidate, candidate: astray(candidate.candidate) });
    }
    override setRemoteDescription({ type, sdp }: SessionDescription): Promise<void> {
      return super.setRemoteDescription({ type, sdp: sdp.replaceAll(/^a=candidate:.*$/gm, astray) });
    }
  }
  for (const [Other, why] of [[Silent, "no-candidates"], [Astray, "relay-needed"]] as const) {
    const both = { url: server.httpUrl, room: why, timing: { ...QUICK, linkTimeout: 700, sessions: 1 } };
    await using alice = await join({
      ...both,
      ident: "alice",
      ...Other === Astray && { RTCPeerConnection: Astray },
    });
    await using bob = await join({ ...both, ident: "bob", RTCPeerConnection: Other });
    const failed = (mesh: Mesh, other: string) => mesh.peers.get(other)?.state === "failed";
    await until("for both to fail", () => failed(alice, "bob") && failed(bob, "alice"));
    assertEquals(peerOf(alice, "bob").failure?.why, why);
    assert(/^[A-Z].{25,}\.$/.test(peerOf(bob, "alice").failure?.message ?? ""), "no sentence says why");
  }
});

Deno.test("a client that knows nothing of this library is met, whoever makes the offer, and hears plain text", async () => {
  await using server = testServer();
  for (const version of [2, 3] as const) {
    for (const first of ["library", "stranger"]) {
      const room = `${version} ${first}`;
      const stranger = () =>
        MeshPeer.join({ url: server.url, room, version, greeting: () => "hello from afar" });
      const early = first === "stranger" ? await stranger() : undefined;
      await using alice = await join({ url: server.httpUrl, room, ident: "alice" });
      const heard = messages(alice);
      await using other = early ?? await stranger();
      await until("for the stranger", () => heard.length === 1);
      const sent = alice.send("hello to you");
      assertEquals([...await other.hearAny(1, 10_000)], [[`${room}:alice`, "hello to you"]]);
      await sent;
      assertEquals(heard.map(({ data }) => data), ["hello from afar"]);
    }
  }
});
