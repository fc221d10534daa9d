/** Many sockets of one client: those of an attacker hold nobody up, those of a class behind one NAT get in. */

import { assertEquals, assertLessOrEqual } from "../kit/assert.ts";
import { frame, RawClient } from "../kit/raw_client.ts";
import { parse } from "../../lib/config/command_line.ts";
import { TestClient } from "../kit/client.ts";
import { serverProcess, testServer } from "../kit/server.ts";
import type { Lap } from "../soak/control.ts";
import { Latencies } from "../soak/latency.ts";
import { Program } from "../soak/program.ts";
import { latencyBound, measureWithin } from "../soak/report.ts";

const LAP_MS = 2500;

function headers(address: string): Record<string, string> {
  return { "X-Forwarded-For": address, "Sec-WebSocket-Protocol": "diva.signal.v3" };
}

async function openMany(port: number, count: number, addressOf: (i: number) => string): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  for (let i = 0; i < count; i++) clients.push(await RawClient.open(port, headers(addressOf(i))));
  return clients;
}

function concat(frames: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(frames.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const frame of frames) {
    out.set(frame, at);
    at += frame.length;
  }
  return out;
}

/**
 * Runs an attack beside pairs that signal to each other from a process of their own.
 *
 * @returns the 99th percentile of their round trips before and meanwhile, in milliseconds
 */
async function besidePairs(
  attack: (port: number, until: number) => Promise<void>,
): Promise<{ quiet: number; meanwhile: number; lap: Lap }> {
  await using server = await serverProcess([
    "--port",
    "0",
    "--stun-port",
    "off",
    "--trust-proxy",
    "127.0.0.1",
  ]);
  const port = await server.port;
  await using control = new Program<Lap>("tests/soak/control.ts", port);
  const lap = async (order = "lap") => {
    const lap = await control.ask(order);
    const latencies = new Latencies();
    latencies.addAll(lap.latencies);
    return { lap, p99: latencies.quantile(0.99) };
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  await lap();
  await pause(500);
  await lap();
  await pause(LAP_MS / 2);
  const { p99: quiet } = await lap();
  await attack(port, performance.now() + LAP_MS);
  // What is still on its way counts as well.
  const { lap: last, p99: meanwhile } = await lap("finish");
  return { quiet, meanwhile, lap: last };
}

type Calls = (socket: number) => string[];

/** 128 sockets that write all of this at once, again and again, and read what comes. */
async function crowd(
  port: number,
  until: number,
  addressOf: (i: number) => string,
  callsOf: Calls,
): Promise<void> {
  const clients = await openMany(port, 128, addressOf);
  try {
    const calls = clients.map((_, i) => concat(callsOf(i).map((call) => frame(call))));
    const reading = clients.map(async (client) => {
      while (await client.frame() !== undefined);
    });
    while (performance.now() < until) {
      await Promise.all(clients.map((client, i) => client.write(calls[i]!).catch(() => {})));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    for (const client of clients) client[Symbol.dispose]();
    await Promise.all(reading.map((reading) => reading.catch(() => {})));
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
}

const ROOMS = Array.from({ length: 64 }, (_, room) => room);

/** The cheapest calls that there are, as many. */
const pings: Calls = () => ROOMS.flatMap(() => ['["ping"]', '["ping"]']);

/** Each joins 64 rooms, in which it meets 63 others, and leaves them. */
const joinsAndLeaves: Calls = (i) => {
  const rooms = ROOMS.map((room) => `${i >> 6} ${room}`);
  return [
    ...rooms.map((room) => `["join","${i}","${room}"]`),
    ...rooms.map((room) => `["leave","${room}:${i}"]`),
  ];
};

for (
  const [what, addressOf] of [
    ["one client", () => "2001:db8::1"],
    ["one /56", (i: number) => `2001:db8:0:${i.toString(16)}::1`],
  ] as const
) {
  Deno.test(`128 sockets of ${what} that join and leave 64 rooms together are no worse than as many pings`, async () => {
    // A join that is let through introduces up to 63 others, which is more work than the answer to a ping: a small
    // processor takes up to five times as long. Both are measured anew each time, for each may have a good moment.
    const over = await measureWithin(0, async () => {
      const flood = await besidePairs((port, until) => crowd(port, until, addressOf, pings));
      const joins = await besidePairs((port, until) => crowd(port, until, addressOf, joinsAndLeaves));
      assertEquals([flood.lap.ended, joins.lap.ended], [[], []]);
      return joins.meanwhile - latencyBound(joins.quiet) - 6 * flood.meanwhile;
    });
    assertLessOrEqual(over, 0);
  });
}

Deno.test("a class behind one address that comes back at once gets in, all of it", async () => {
  await using server = testServer({ busySocketsPerClient: parse([]).config.busySocketsPerClient });
  const clients = await Promise.all(Array.from({ length: 60 }, () => TestClient.openV3(server.url)));
  try {
    for (const [i, client] of clients.entries()) client.send(["join", `pupil ${i}`, "class"]);
    const introduced = await Promise.all(clients.map(async (client) => {
      let count = 0;
      while (count < clients.length - 1) if ((await client.next() as unknown[])[0] === "stun") count++;
      return count;
    }));
    assertEquals(introduced, clients.map(() => clients.length - 1));
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
});
