/** A hostile crowd that opens sessions and lets them sleep: what it holds is bounded, and nobody else pays for it. */

import { assert, assertEquals, assertLess, assertLessOrEqual } from "../kit/assert.ts";
import { memoryKiB } from "../bench/usage.ts";
import { RawClient } from "../kit/raw_client.ts";
import { ResumingClient } from "../kit/resuming.ts";
import type { Health } from "../../lib/http/site.ts";
import { serverProcess } from "../kit/server.ts";

const CROWD = 10_000;
const RESUME_SECONDS = 15;
const TOTAL_BYTES = 16 * 1024 * 1024;

/** Each of another network, so that no limit of a client or network stops it. */
const from = (i: number) => ({
  "Sec-WebSocket-Protocol": "diva.signal.v3",
  "X-Forwarded-For": `2001:${(0x400 + (i >> 8)).toString(16)}:${(i & 255).toString(16)}::1`,
});

async function healthOf(port: number): Promise<Health> {
  return await (await fetch(`http://127.0.0.1:${port}/healthz`)).json();
}

Deno.test(`${CROWD} sockets that are dropped asleep hold no more than they may, and honest ones are served`, async () => {
  await using server = await serverProcess([
    "--port",
    "0",
    "--stun-port",
    "off",
    "--trust-proxy",
    "127.0.0.1",
    "--resume",
    String(RESUME_SECONDS),
    "--resume-total-bytes",
    String(TOTAL_BYTES),
  ]);
  const port = await server.port;
  const health = () => healthOf(port);
  const pair: ResumingClient[] = [];
  for (const ident of ["a", "b"]) {
    const client = await ResumingClient.open(port, { "X-Forwarded-For": `198.51.100.${pair.length + 1}` });
    await client.settle(["join", ident, "honest"]);
    pair.push(client);
  }
  const [a, b] = pair as [ResumingClient, ResumingClient];
  const before = memoryKiB(server.pid)! * 1024;

  // Rooms of 32, in which each is told of the others, and tells them more than can be kept.
  const filler = "x".repeat(2000);
  let worst = 0;
  const roundTrip = async () => {
    const began = performance.now();
    await a.send(["signal", "honest:a", "honest:b", began]);
    for (;;) {
      const message = await b.next();
      if (message[0] === "signal" && message[3] === began) break;
    }
    worst = Math.max(worst, performance.now() - began);
    await Promise.all([a, b].map((client) => client.send(["seen", client.count])));
  };
  await a.settle();
  for (let first = 0; first < CROWD - 2; first += 32) {
    const room = `crowd${first}`;
    const crowd = await Promise.all(
      Array.from(
        { length: Math.min(32, CROWD - 2 - first) },
        (_, i) => RawClient.open(port, from(first + i)),
      ),
    );
    await Promise.all(crowd.map((client, i) => client.send(["join", String(i), room])));
    const [talker] = crowd;
    await talker!.settle(...crowd.map((_, i) => ["signal", `${room}:0`, `${room}:${i}`, filler]));
    for (const client of crowd) client[Symbol.dispose]();
    await roundTrip();
  }
  const { sleeping, sockets } = await health();
  assertEquals(sockets, 2);
  assert(sleeping > 1000, `only ${sleeping} sleep`);
  assertLessOrEqual(sleeping, CROWD);
  // What is kept, twice over for what the engine has not collected yet; and what 10 000 sockets leave anyway.
  assertLess(memoryKiB(server.pid)! * 1024 - before, 2 * TOTAL_BYTES + 10_000 * 24 * 1024);
  assertLess(worst, 1000);

  // The server may well be full of those that sleep: newcomers are let in all the same.
  const newcomers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => ResumingClient.open(port, { "X-Forwarded-For": `203.0.113.${i}` })),
  );
  for (const [i, client] of newcomers.entries()) {
    assertEquals((await client.settle(["join", `n${i}`, `other${i >> 5}`]) as string[][])[0]![0], "join");
  }
  for (const client of newcomers) await client.sayGoodbye();
  const deadline = performance.now() + (RESUME_SECONDS + 5) * 1000;
  while ((await health()).sleeping > 0) {
    assertLess(performance.now(), deadline, "they sleep for ever");
    await roundTrip();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const { addresses, rooms } = await health();
  assertEquals([addresses, rooms], [2, 1]);
  for (const client of [...pair, ...newcomers]) client[Symbol.dispose]();
});

Deno.test("a signal to one that sleeps is kept without what stood around it", async () => {
  await using server = await serverProcess(["--port", "0", "--stun-port", "off"]);
  const port = await server.port;
  using sleeper = await ResumingClient.join(port, "s", "r");
  using a = await ResumingClient.join(port, "a", "r");
  const padded = (spaces: number) => " ".repeat(spaces) + '["signal","r:a","r:s","a word or two of data"]';
  const send = async (spaces: number) => {
    for (let i = 0; i < 10; i++) await a.settle(...Array(60).fill(padded(spaces)));
  };
  sleeper.drop();
  while ((await healthOf(port)).sleeping === 0);
  // What is read and thrown away leaves its mark as well.
  for (let i = 0; i < 10; i++) await a.settle(...Array(60).fill(padded(60_000).replace("r:s", "r:x")));
  const before = memoryKiB(server.pid)! * 1024;
  await send(60_000);
  assertLess(memoryKiB(server.pid)! * 1024 - before, 16 * 1024 * 1024);
  assertEquals((await sleeper.resume(port))[0], "resumed");
  assertEquals(
    (await sleeper.settle()).filter((message) => (message as string[])[0] === "signal").length,
    600,
  );
});
