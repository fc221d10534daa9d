/** A connection to the server that breaks: what was said on either side arrives once, and nobody hears of it. */

import fc from "fast-check";
import { type Configuration, connect, type Mesh } from "../../lib/client/mod.ts";
import { assert, assertEquals, assertGreater, assertLess } from "../kit/assert.ts";
import { fileWith } from "../kit/files.ts";
import { serverProcess, startFlags, type TestServer, testServer } from "../kit/server.ts";
import { SECRET, token } from "../kit/tokens.ts";
import { RTCPeerConnection } from "../kit/webrtc.ts";
import { full, join, next, peerOf, QUICK, until, wire } from "./meshes.ts";

type Said = Event & { own: string; other: string; data: number; reason: string };

/** One end of a pair, over a wire of its own. */
async function end(server: TestServer, ident: string, room = "r") {
  const network = wire(server.port);
  const signaller = connect(network.url, { timing: QUICK });
  const heard: number[] = [];
  const events: string[] = [];
  signaller.addEventListener("signal", (event) => heard.push((event as Said).data));
  for (const type of ["welcome", "resumed", "gone", "error"] as const) {
    signaller.addEventListener(type, () => events.push(type));
  }
  await signaller.ready();
  await signaller.join(room, ident);
  return {
    network,
    signaller,
    heard,
    events,
    [Symbol.dispose]() {
      signaller.close();
      network[Symbol.dispose]();
    },
  };
}

type Step =
  | { readonly do: "say"; readonly who: 0 | 1; readonly times: number }
  | { readonly do: "cut"; readonly who: 0 | 1 }
  | { readonly do: "pause"; readonly ms: number };

const who = fc.constantFrom<(0 | 1)[]>(0, 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("say" as const), who, times: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("cut" as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pause" as const), ms: fc.nat(120) }) },
);

Deno.test("60 random histories of a bad network: every signal arrives once and in order, both ways, and nothing is told", async () => {
  await using server = testServer({ callBurst: 1_000_000, connectRate: 1_000_000 });
  let cuts = 0;
  let resumed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      // Those who close while they are cut off leave their sessions asleep.
      const room = crypto.randomUUID();
      using a = await end(server, "a", room);
      using b = await end(server, "b", room);
      const both = [a, b];
      const said: number[][] = [[], []];
      const say = (who: 0 | 1) => {
        const [own, other] = who === 0 ? ["a", "b"] : ["b", "a"];
        said[who]!.push(said[who]!.length);
        assert(
          both[who]!.signaller.signal(`${room}:${own}`, `${room}:${other}`, said[who]!.at(-1)),
          "it was not even taken",
        );
      };
      for (const happening of steps) {
        switch (happening.do) {
          case "say":
            for (let i = 0; i < happening.times; i++) say(happening.who);
            break;
          case "cut":
            // An id is good once: who is cut off before the answer to it has come has to join again.
            if (both[happening.who]!.signaller.state !== "open") break;
            both[happening.who]!.network.cut();
            cuts++;
            break;
          case "pause":
            await new Promise((resolve) => setTimeout(resolve, happening.ms));
        }
      }
      say(0);
      say(1);
      await until(
        "for all that was said",
        () => a.heard.length >= said[1]!.length && b.heard.length >= said[0]!.length,
      );
      assertEquals([a.heard, b.heard], [said[1], said[0]]);
      for (const { events } of both) {
        assertEquals(events.filter((type) => type !== "resumed"), ["welcome"]);
        resumed += events.length - 1;
      }
    }),
    { numRuns: 60 },
  );
  assertGreater(cuts, 50);
  assertGreater(resumed, 30);
});

Deno.test("calls that wait for their answers when the connection breaks are answered on the next", async () => {
  await using server = testServer();
  using a = await end(server, "a");
  const answers = Promise.all([a.signaller.ident(), a.signaller.join("s", "a"), a.signaller.leave("r:a")]);
  a.network.cut();
  const late = a.signaller.join("t", "a");
  const [ident, joined, left] = await answers;
  assertEquals([ident.length, joined, left, await late], [22, "s:a", "r:a", "t:a"]);
  assertEquals(a.events, ["welcome", "resumed"]);
});

Deno.test("a session that can't be resumed is begun anew: what waited is rejected, and it says so", async () => {
  const first = testServer();
  using a = await end(first, "a");
  a.network.target = undefined;
  a.network.cut();
  await next(a.signaller, "state");
  const waiting = a.signaller.ident().catch((error) => error.code);
  assertEquals(a.signaller.signal("r:a", "r:a", 1), true, "it may still arrive");
  await first.drain();
  await using second = testServer();
  a.network.target = second.port;
  assertEquals(await waiting, "disconnected");
  assertEquals(a.events, ["welcome", "welcome"]);
  assertEquals(await a.signaller.join("r", "a"), "r:a");
  await a.signaller.ident();
  assertEquals(a.heard, []);
});

Deno.test("a server with a secret gives addresses back after it was lost", async () => {
  using secret = fileWith("z".repeat(32));
  const options = { resumeSecretFile: secret.path, drain: 0 };
  const first = testServer(options);
  using a = await end(first, "a");
  using b = await end(first, "b");
  // The seal comes a moment behind the answer.
  await new Promise((resolve) => setTimeout(resolve, 150));
  for (const { network } of [a, b]) {
    network.target = undefined;
    network.cut();
  }
  await first.drain();
  await using second = testServer(options);
  const [resumed] = [a, b].map(({ network, signaller }) => {
    const event = next<Event & { addresses: string[]; cold: boolean }>(signaller, "resumed");
    network.target = second.port;
    return event;
  });
  const { addresses, cold } = await resumed!;
  assertEquals([addresses, cold], [["r:a"], true]);
  await until("for both", () => second.health().addresses === 2);
  a.signaller.signal("r:a", "r:b", 7);
  await until("for the signal", () => b.heard.includes(7));
});

/** What happens to a mesh, but for its own state. */
function log(mesh: Mesh): string[] {
  const lines: string[] = [];
  mesh.addEventListener("peer", ({ peer }) => {
    lines.push(`peer ${peer.ident}`);
    peer.addEventListener("state", () => lines.push(`${peer.ident} ${peer.state}`));
  });
  mesh.addEventListener("error", ({ error }) => lines.push(`error ${error.code}`));
  return lines;
}

Deno.test("a mesh whose connection breaks is as it was: no peer is told of, and none is lost", async () => {
  await using server = testServer();
  using network = wire(server.port);
  await using alice = await join({ url: network.url, ident: "alice" });
  await using bob = await join({ url: server.httpUrl, ident: "bob" });
  await full(alice, bob);
  const lines = [log(alice), log(bob)];
  const states: string[] = [];
  alice.addEventListener("state", () => states.push(alice.state));
  const { connection } = peerOf(alice, "bob");
  network.cut();
  await until("for it to be back", () => states.includes("joined"));
  assertEquals(states, ["waiting", "joined"]);
  assertEquals([peerOf(alice, "bob").connection === connection, lines], [true, [[], []]]);
  await using carol = await join({ url: server.httpUrl, ident: "carol" });
  await full(alice, bob, carol);
  assertEquals(lines.map((log) => log.filter((line) => line.startsWith("peer"))), [["peer carol"], [
    "peer carol",
  ]]);
});

for (const how of ["without a secret", "with one"]) {
  Deno.test(`after kill -9 of the server, ${how}, all come back under their idents, and nobody finds his taken`, async () => {
    using secret = fileWith("z".repeat(32));
    const start = async (port: number) => {
      const options = how === "with one" ? ["--resume-secret-file", secret.path] : [];
      const args = ["--host", "127.0.0.1", "--port", String(port), "--stun-port", "off", ...options];
      return await serverProcess(args, {}, [...await startFlags(), `--allow-read=${secret.path}`]);
    };
    await using first = await start(0);
    const port = await first.port;
    const url = `http://127.0.0.1:${port}`;
    await using meshes = new AsyncDisposableStack();
    const all: Mesh[] = [];
    for (let i = 0; i < 6; i++) all.push(meshes.use(await join({ url, ident: `p${i}` })));
    await full(...all);
    const errors: string[] = [];
    const lines = all.map((mesh) => {
      mesh.addEventListener("error", ({ error }) => errors.push(error.code));
      return log(mesh);
    });
    const connections = all.map((mesh) => [...mesh.peers.values()].map(({ connection }) => connection));
    first.kill("SIGKILL");
    await first.output;
    await until("for all to notice", () => all.every(({ state }) => state === "waiting"));
    await using second = await start(port);
    await second.port;
    const before = performance.now();
    await full(...all);
    // The longest pause between two attempts, and what a busy machine needs.
    assertLess(performance.now() - before, QUICK.retryMost + 5000);
    assertEquals([errors, ...lines], [[], ...all.map(() => [])]);
    assertEquals(
      all.map((mesh) => [...mesh.peers.values()].map(({ connection }) => connection)),
      connections,
    );
    assertEquals(all.map(({ ident }) => ident), ["p0", "p1", "p2", "p3", "p4", "p5"]);
  });
}

Deno.test("a token is fetched to join, and again before it ends; with one that ends it joins anew", async () => {
  using secret = fileWith(SECRET);
  using turnSecret = fileWith("turn secret");
  await using server = testServer({
    tokenSecretFile: secret.path,
    turnUrl: ["turn:127.0.0.1:9"],
    turnSecretFile: turnSecret.path,
  });
  const code = (options: object) =>
    join({ url: server.httpUrl, ...options }).then(() => "joined", (error) => error.code);
  assertEquals(await code({}), "unauthorised");
  assertEquals(await code({ token: await token({ rooms: ["elsewhere"] }) }), "unauthorised");
  assertEquals(await code({ token: () => Promise.reject(new Error("no session")) }), "link-failed");

  const asked: unknown[] = [];
  let life = 4;
  let broken = 0;
  const configurations: Configuration[] = [];
  await using alice = await join({
    url: server.httpUrl,
    ident: "alice",
    // A function, for a class that extends a native one would be wrapped natively as well.
    RTCPeerConnection: function (configuration: Configuration) {
      configurations.push(configuration);
      return new RTCPeerConnection(configuration as ConstructorParameters<typeof RTCPeerConnection>[0]);
    } as unknown as typeof RTCPeerConnection,
    token: async (about) => {
      asked.push(about);
      if (broken-- > 0) throw new Error("the application's server is down");
      return await token({
        rooms: ["kitchen"],
        exp: Math.floor(Date.now() / 1000) + life,
        info: { name: "A" },
      });
    },
  });
  await using bob = await join({
    url: server.httpUrl,
    ident: "bob",
    token: await token({ rooms: ["kitchen"] }),
  });
  await full(alice, bob);
  assertEquals(peerOf(bob, "alice").info, { name: "A" });
  assert(
    configurations.some(({ iceServers }) =>
      iceServers!.some(({ username }) => /:alice$/.test(username ?? ""))
    ),
  );
  assertEquals(asked, [{ room: "kitchen", ident: "alice" }]);
  const lines = log(bob);
  await until("for the renewal", () => asked.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assertEquals(lines, [], "nobody has heard of it");
  // It can't be renewed, and so it ends; then the application has recovered.
  broken = 2;
  life = 60;
  await until("for the end, and for it to be back", () => lines.includes("peer alice"));
  await full(alice, bob);
  assertEquals(lines.filter((line) => line.startsWith("peer")), ["peer alice"]);
});

Deno.test("an application without a function is told that its token has ended", async () => {
  using secret = fileWith(SECRET);
  await using server = testServer({ tokenSecretFile: secret.path });
  const exp = Math.floor(Date.now() / 1000) + 2;
  await using alice = await join({ url: server.httpUrl, token: await token({ rooms: ["kitchen"], exp }) });
  const { error } = await next<Event & { error: { code: string } }>(alice, "error");
  assertEquals([error.code, alice.state], ["expired", "closed"]);
});

Deno.test("a server that knows nothing of sessions is spoken to as before", async () => {
  await using server = testServer({ resume: 0 });
  using a = await end(server, "a");
  using b = await end(server, "b");
  for (let i = 0; i < 100; i++) b.signaller.signal("r:b", "r:a", i);
  await until("for all of it", () => a.heard.length === 100);
  const waiting = b.signaller.ident().catch((error) => error.code);
  b.network.cut();
  assertEquals(await waiting, "disconnected");
  await until("for the other to be told", () => a.events.includes("gone"));
  await until("for it to be back", () => b.events.length === 2);
  assertEquals(b.events, ["welcome", "welcome"]);
});
