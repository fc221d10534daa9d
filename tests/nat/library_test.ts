/** The client library behind real NATs: what it says of them, and how it mends what they break. */

import { assert, assertEquals, assertMatch, assertNotEquals } from "../kit/assert.ts";
import { testWith } from "../kit/parts.ts";
import type { Running } from "../kit/programs.ts";
import { signal } from "./firewalls.ts";
import { createNatLab, type NatLab, natLabUnavailable } from "./nat.ts";

const unavailable = natLabUnavailable();
const PATIENCE_MS = 60_000;

type Said = Record<string, unknown>;

function library(lab: NatLab, place: "peerA" | "peerB", ...args: string[]): Running {
  const script = new URL("library_peer.ts", import.meta.url).pathname;
  return lab.start(
    place,
    [Deno.execPath(), "run", "--quiet", "--cached-only", "-A", script, ...args],
    "piped",
  );
}

/** What a program says, line by line. */
function lines({ process }: Running) {
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const all: Said[] = [];
  let rest = "";
  let at = 0;
  return {
    all,
    /** The next line for which this holds. */
    async next(wanted: (said: Said) => boolean): Promise<Said> {
      const patience = setTimeout(() => process.kill("SIGKILL"), PATIENCE_MS);
      try {
        for (;;) {
          while (at < all.length) if (wanted(all[at++]!)) return all[at - 1]!;
          const { value, done } = await reader.read();
          if (done) {
            const told = all.filter((said, i) => said["heard"] === undefined || i + 2 > all.length);
            throw new Error(`it ended, or was waited for in vain: ${JSON.stringify(told.slice(-40))}`);
          }
          const parts = (rest + value).split("\n");
          rest = parts.pop()!;
          all.push(...parts.map((line) => JSON.parse(line)));
        }
      } finally {
        clearTimeout(patience);
      }
    },
  };
}

/** Lets no UDP through a NAT, either way. */
const block = (lab: NatLab) =>
  lab.runInNat("natA", [
    "nft",
    "add table ip blocked; add chain ip blocked through { type filter hook forward priority -1; }; add rule ip blocked through meta l4proto udp drop",
  ]);
const unblock = (lab: NatLab) => lab.runInNat("natA", ["nft", "delete table ip blocked"]);

testWith(
  unavailable,
  "a link that breaks is mended by an ICE restart, with new credentials and the same connection",
  async () => {
    await using lab = await createNatLab({ mapping: "cone" });
    await using server = await signal(lab);
    await using first = library(lab, "peerA", "mesh", server.url, "alice");
    const alice = lines(first);
    await using second = library(lab, "peerB", "mesh", server.url, "bob");
    const bob = lines(second);
    const before = await Promise.all(
      [alice, bob].map((peer) => peer.next(({ state, path }) => state === "connected" && path !== undefined)),
    );
    assertEquals(before.map(({ path }) => path), ["reflexive", "reflexive"]);
    await bob.next(({ heard }) => typeof heard === "number");

    await block(lab);
    await Promise.all([alice, bob].map((peer) => peer.next(({ state }) => state === "interrupted")));
    await Promise.all(
      [alice, bob].map((peer, i) =>
        peer.next(({ ufrag }) => ufrag !== undefined && ufrag !== before[i]!.ufrag)
      ),
    );
    await unblock(lab);
    const after = await Promise.all(
      [alice, bob].map((peer) => peer.next(({ state }) => state === "connected")),
    );
    await bob.next(({ heard }) => typeof heard === "number");
    await alice.next(({ heard }) => typeof heard === "number");
    for (const [i, peer] of [alice, bob].entries()) {
      assertEquals(peer.all.filter(({ peer }) => peer !== undefined).length, 1, "a peer was doubled");
      assertEquals(after[i]!.connections, 1);
    }
  },
);

testWith(unavailable, "a link that stays broken says so, and comes about once it can", async () => {
  await using lab = await createNatLab({ mapping: "cone" });
  await using server = await signal(lab);
  await block(lab);
  await using first = library(lab, "peerA", "mesh", server.url, "alice");
  const alice = lines(first);
  await using _second = library(lab, "peerB", "mesh", server.url, "bob");
  const failed = await alice.next(({ state }) => state === "failed");
  assertEquals(failed.why, "relay-needed");
  assertMatch(String(failed.message), /there is no TURN server/);
  await unblock(lab);
  await alice.next(({ state }) => state === "connected");
  await alice.next(({ heard }) => typeof heard === "number");
});

/** What the server's metrics say, read on its own machine. */
async function figures(lab: NatLab, url: string): Promise<string> {
  const command = `fetch("${url.replace("ws", "http")}/metrics").then((r) => r.text()).then(console.log)`;
  await using asking = lab.start("server", [Deno.execPath(), "eval", command], "piped");
  return await new Response(asking.process.stdout).text();
}

testWith(
  unavailable,
  "a symmetric pair without TURN: both say that it takes one, it is tried once more, and the operator sees it",
  async () => {
    await using lab = await createNatLab({ mapping: "symmetric" });
    // On the server's machine its public address is as near as any.
    await using server = await signal(lab, "--metrics-port", "9390");
    await using first = library(lab, "peerA", "mesh", server.url, "alice");
    await using second = library(lab, "peerB", "mesh", server.url, "bob");
    for (const peer of [first, second].map(lines)) {
      assertEquals((await peer.next(({ state }) => state === "failed"))["why"], "relay-needed");
    }
    const metrics = server.url.replace(":3903", ":9390");
    const until = async (pattern: RegExp) => {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const said = await figures(lab, metrics);
        if (pattern.test(said)) return said;
        assert(
          performance.now() < deadline,
          `waited in vain for ${pattern}: ${said.match(/^signal_(pair|link).*$/gm)}`,
        );
      }
    };
    const said = await until(/^signal_pairs_reintroduced_total 1$/m);
    assertMatch(said, /^signal_link_reports_total\{report="failed relay-needed"\} \d+$/m);
    await Promise.all([first, second].map((peer) => peer[Symbol.asyncDispose]()));
    await until(/^signal_pairs_total\{outcome="failed"\} 1$/m);
  },
);

for (const mapping of ["cone", "symmetric", "blocked"] as const) {
  testWith(unavailable, `the check tells a ${mapping} network by what it does`, async () => {
    await using lab = await createNatLab({ mapping: mapping === "symmetric" ? "symmetric" : "cone" });
    await using server = await signal(lab, "--stun-second-port", "3904");
    if (mapping === "blocked") await block(lab);
    await using running = library(lab, "peerA", "check", server.url.replace("ws", "http"));
    const { steps } = await lines(running).next(({ steps }) => steps !== undefined) as {
      steps: { name: string; verdict: string; text: string }[];
    };
    const step = (name: string) => steps.find((step) => step.name === name)!;
    const { stun, nat } = { stun: step("stun"), nat: step("nat") };
    const said = JSON.stringify(steps);
    assertEquals(
      [stun.verdict, nat.verdict],
      {
        cone: ["ok", "ok"],
        symmetric: ["ok", "notice"],
        blocked: ["failed", "skipped"],
      }[mapping],
      said,
    );
    if (mapping !== "blocked") assert(stun.text.includes(lab.natAddress.peerA), said);
    assertEquals(step("loop").verdict, "ok", said);
    assertNotEquals(step("server").verdict, "failed", said);
  });
}
