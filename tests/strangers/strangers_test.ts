/** End to end: real WebRTC peers meet through the server and talk, or it is said which of them can't. */

import { createSocket } from "node:dgram";
import { assertEquals, assertRejects } from "../kit/assert.ts";
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
