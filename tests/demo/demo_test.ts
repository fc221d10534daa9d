/** End to end: real WebRTC peers meet through the server and talk, or it is said which of them can't. */

import { createSocket } from "node:dgram";
import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { testServer } from "../kit/server.ts";
import { meddler } from "./meddler.ts";
import { mesh, type MeshOptions, type MeshReport } from "./mesh.ts";
import { MeshPeer, type PeerEvent } from "./peer.ts";

/** Far more than is needed. */
const PATIENCE_MS = 20_000;

function meet(options: Pick<MeshOptions, "url" | "versions"> & Partial<MeshOptions>): Promise<MeshReport> {
  return mesh({ room: "kitchen", timeoutMs: PATIENCE_MS, say: () => {}, ...options });
}

/** What a promise resolves with, which it has to do in time. */
async function inTime<T>(promise: Promise<T>): Promise<T> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("what was awaited did not happen")), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Names of the pairs that have talked, and what is said of the others. */
function outcome({ pairs }: MeshReport): { talked: string[]; others: string[] } {
  return {
    talked: pairs.filter(({ talked }) => talked).map(({ names }) => names),
    others: pairs.filter(({ talked }) => !talked).map(({ names, why }) => `${names}: ${why}`),
  };
}

Deno.test("five peers: each of the ten pairs talks", async () => {
  await using server = testServer();
  const { pairs, carried } = await meet({ url: server.url, versions: [2, 2, 2, 2, 2] });
  assertEquals(pairs.length, 10);
  assertEquals(outcome({ pairs, carried }).others, []);
  assertEquals([carried.offer, carried.answer], [10, 10]);
  await server.counts({ sockets: 0, rooms: 0, addresses: 0 });
});

Deno.test("peers of both versions are in one mesh, whoever comes first", async () => {
  await using server = testServer();
  const report = await meet({ url: server.url, versions: [2, 3, 3, 2] });
  assertEquals(report.pairs.length, 6);
  assertEquals(outcome(report).others, []);
});

Deno.test("the newcomer offers, and to each who is there", async () => {
  await using server = testServer();
  const lines: string[] = [];
  await meet({ url: server.url, versions: [2, 3, 2], say: (line) => lines.push(line) });
  const offers = lines.filter((line) => line.endsWith(": offer")).map((line) => line.replace(/, .*/, ""));
  assertEquals(offers, ["peer 2 to peer 1", "peer 3 to peer 1", "peer 3 to peer 2"]);
});

Deno.test("candidates that overtake the description that they belong to are kept for it", async () => {
  await using server = testServer();
  const descriptions = new Map<unknown, readonly unknown[]>();
  const overtaken = new Set<unknown>();
  // Of each side one candidate arrives, before its description; all others are lost.
  await using late = meddler(server.url, {
    calls(call) {
      const [name, own, , data] = call as [
        string,
        string,
        string,
        Partial<Record<string, { candidate: string }>>,
      ];
      if (name !== "signal") return [call];
      const description = descriptions.get(own);
      if (data.candidate === undefined) {
        descriptions.set(own, call);
      } else if (description && !overtaken.has(own) && / udp \d+ [\d.]+ /i.test(data.candidate.candidate)) {
        overtaken.add(own);
        return [call, description];
      }
      return [];
    },
  });
  assertEquals(outcome(await meet({ url: late.url, versions: [2, 2] })).others, []);
  assertEquals(overtaken.size, 2);
});

Deno.test("a version 3 peer uses the ICE servers that it is offered", async () => {
  await using server = testServer();
  const stun = createSocket("udp4");
  await new Promise<void>((resolve) => stun.bind(0, "127.0.0.1", resolve));
  const request = new Promise<Uint8Array>((resolve) => stun.once("message", resolve));
  const iceServers = [{ urls: [`stun:127.0.0.1:${stun.address().port}`] }];
  await using generous = meddler(server.url, {
    answers: ([name, ...rest]) =>
      name === "welcome" ? [[name, { ...rest[0] as object, iceServers }]] : [[name, ...rest]],
  });
  assertEquals(outcome(await meet({ url: generous.url, versions: [2, 3] })).others, []);
  // RFC 8489 section 5: a Binding request begins with 0x0001, the magic cookie stands at the fifth byte.
  const datagram = await inTime(request);
  stun.close();
  assertEquals([...datagram.subarray(0, 2), ...datagram.subarray(4, 8)], [0, 1, 0x21, 0x12, 0xa4, 0x42]);
});

Deno.test("a server that says nothing is given up in time", async () => {
  await using server = testServer();
  await using silent = meddler(server.url, { answers: () => [] });
  await assertRejects(
    () => MeshPeer.join({ url: silent.url, room: "kitchen", timeoutMs: 50 }),
    Error,
    "did not let it in within 0.05 s",
  );
});

Deno.test("a peer that can't be reached is waited for no longer than was said", async () => {
  await using server = testServer();
  await using peer = await MeshPeer.join({ url: server.url, room: "kitchen" });
  await assertRejects(() => peer.hearAny(1, 50), Error, "fewer than 1 others have been heard within 0.05 s");
  await assertRejects(() => peer.hear(["kitchen:nobody"], 50), Error, "not all of the others");
});

Deno.test("closing a peer ends its waits, and the others see the link end", async () => {
  await using server = testServer();
  const ended = Promise.withResolvers<PeerEvent>();
  await using one = await MeshPeer.join({
    url: server.url,
    room: "kitchen",
    version: 3,
    onEvent: (event) => event.type === "failed" && ended.resolve(event),
  });
  const other = await MeshPeer.join({ url: server.url, room: "kitchen" });
  await Promise.all([one.hearAny(1, PATIENCE_MS), other.hearAny(1, PATIENCE_MS)]);
  const wait = assertRejects(() => other.hearAny(2, PATIENCE_MS), Error, "the peer was closed");
  await Promise.all([wait, other.close()]);
  assertEquals(await inTime(ended.promise), {
    type: "failed",
    other: other.address,
    reason: "the other side closed the link",
  });
});

Deno.test("what a stranger signals is not taken for a description", async () => {
  await using server = testServer();
  const junk = [null, 7, "offer", {}, { description: { type: "rollback", sdp: "" } }, {
    candidate: { candidate: 1 },
  }];
  await using odd = meddler(server.url, {
    calls(call) {
      const [name, own, other] = call;
      return name === "signal" ? [...junk.map((data) => [name, own, other, data]), call] : [call];
    },
  });
  assertEquals(outcome(await meet({ url: odd.url, versions: [2, 2] })).others, []);
});

const MAIN = new URL("main.ts", import.meta.url).pathname;

function demo(...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return finish(demo(...args));
}

async function finish(command: Deno.Command): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await command.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Lets peers 2 and 3 be introduced and no more. */
function estranged(url: string) {
  const joined: unknown[] = [];
  return meddler(url, {
    answers(answer) {
      if (answer[0] === "join") joined.push(answer[1]);
      return [answer];
    },
    calls(call) {
      const [name, own, other] = call;
      return name === "signal" && joined.indexOf(own) > 0 && joined.indexOf(other) > 0 ? [] : [call];
    },
  });
}

Deno.test("the program starts a server, tells what happens, and names every pair that has talked", async () => {
  for (const flags of [[], ["--v3"]]) {
    const { code, stdout, stderr } = await run("--peers", "3", ...flags);
    assertEquals(code, 0, stdout + stderr);
    assertEquals(stderr, "");
    for (const pair of ["peer 1 and peer 2", "peer 1 and peer 3", "peer 2 and peer 3"]) {
      assertMatch(stdout, new RegExp(`^${pair} have talked$`, "m"));
    }
    assertMatch(stdout, /^peer 3 to peer 1, through the server: offer$/m);
    assertMatch(stdout, /^peer 1 to peer 3, directly: Hello peer 3, this is peer 1\.$/m);
    assertMatch(stdout, /\n3 of 3 pairs have talked\.\n$/);
    assertMatch(stdout, flags.length > 0 ? /speaking version 3/ : /speaking version 2/);
  }
});

Deno.test("the program fails in time where a pair can't talk, and names it", async () => {
  await using server = testServer();
  await using network = estranged(server.url);
  const { code, stdout, stderr } = await run("--url", network.url, "--timeout", "4");
  assertEquals(code, 1, stdout + stderr);
  assertMatch(stdout, /^peer 1 and peer 2 have talked$/m);
  assertMatch(stdout, /^peer 1 and peer 3 have talked$/m);
  assertMatch(
    stdout,
    /^peer 2 and peer 3 HAVE NOT: peer 2: introduced, no offer has come; peer 3: offer made, no/m,
  );
  assertMatch(stdout, /\n2 of 3 pairs have talked\.\n$/);
});

Deno.test("the program fails where there is no server", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  free.close();
  const { code, stdout } = await run(
    "--url",
    `ws://127.0.0.1:${(free.addr as Deno.NetAddr).port}`,
    "--peers",
    "2",
  );
  assertEquals(code, 1, stdout);
  assertMatch(stdout, /^peer 1 could not join: .*connect/m);
  assertMatch(stdout, /^peer 1 and peer 2 HAVE NOT: /m);
});

Deno.test("Ctrl-C closes all sockets and says so", async () => {
  await using server = testServer();
  await using network = estranged(server.url);
  await using child = demo("--url", network.url).spawn();
  let said = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const before = said;
    said += text;
    const offered = (text: string) => text.includes("peer 3 to peer 2, through the server: offer");
    if (offered(said) && !offered(before)) child.kill("SIGINT");
  }
  const [{ code }, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assertEquals(stderr, "");
  assertEquals(code, 130);
  assertMatch(said, /\nstopped\n$/);
  await server.counts({ sockets: 0, rooms: 0 });
});

for (
  const { args, says } of [
    { args: ["--peers", "1"], says: /--peers: "1" is not a number from 2 to 64/ },
    { args: ["--peers", "65"], says: /--peers: "65" is not a number from 2 to 64/ },
    { args: ["--peers", "2.5"], says: /--peers: "2.5" is not/ },
    { args: ["--peers"], says: /--peers: "" is not/ },
    { args: ["--timeout", "soon"], says: /--timeout: "soon" is not a number from 0.1 to 3600/ },
    { args: ["--url", "http://127.0.0.1"], says: /--url: "http:\/\/127.0.0.1" is not a WebSocket URL/ },
    { args: ["--per", "3"], says: /--per is not an option; did you mean --peers\?/ },
    { args: ["five"], says: /"five" is not understood/ },
  ]
) {
  Deno.test(`wrong options are told in one line: ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await run(...args);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, says);
    assertMatch(stderr, /^demo: [^\n]* --help shows all options\.\n$/);
  });
}

testWith(
  Deno.build.os === "linux" ? missingBinaries("sh") : "the limit can't be read on this system",
  "more peers than a process may have open files for are refused",
  async () => {
    const { code, stderr } = await finish(
      new Deno.Command("sh", {
        args: ["-c", 'ulimit -n 2000; exec "$0" run --quiet -A "$1" --peers 40', Deno.execPath(), MAIN],
        stdin: "null",
      }),
    );
    assertEquals(code, 2, stderr);
    assertMatch(
      stderr,
      /^demo: --peers: 40 would need about \d+ open files, and .* 2000 here .*; --peers \d+ will do/,
    );
  },
);

Deno.test("--help names every option, in lines that fit a terminal", async () => {
  const { code, stdout } = await run("--help");
  assertEquals(code, 0);
  for (const flag of ["--peers", "--url", "--timeout", "--v3", "--help"]) {
    assert(stdout.includes(`\n  ${flag} `));
  }
  for (const line of stdout.split("\n")) assertLess(line.length, 101);
});
