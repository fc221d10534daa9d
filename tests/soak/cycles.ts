/**
 * Connects, joins, signals and closes again and again against a server in this process, and prints what is left,
 * early and late, as one line of JSON. Needs `--v8-flags=--expose-gc`: only after a collection does the heap tell
 * what is held on to.
 *
 * Usage: cycles.ts EARLY LATE (numbers of cycles)
 */

import { RawClient } from "../kit/raw_client.ts";
import { testServer } from "../kit/server.ts";

declare function gc(): void;

/** What a process holds after that many cycles. */
export interface Residue {
  readonly cycles: number;
  /** Bytes in the engine's heap, and those that objects in it hold outside of it. */
  readonly heap: number;
  readonly external: number;
  readonly sockets: number;
  readonly rooms: number;
  readonly addresses: number;
  readonly clients: number;
}

const CONCURRENT = 8;

/** The runtime holds on to a socket that vanished until its keepalive timer has run out. */
const KEEPALIVE_SECONDS = 2;

if (import.meta.main) {
  const [early, late] = Deno.args.map(Number);
  await using server = testServer({ keepalive: KEEPALIVE_SECONDS, resume: KEEPALIVE_SECONDS });
  let cycles = 0;

  const cycle = async (number: number) => {
    using client = await RawClient.open(
      server.port,
      number % 2 ? { "Sec-WebSocket-Protocol": "diva.signal.v3" } : {},
    );
    // Four in a room at a time, two addresses each; a third of them vanish without goodbye.
    const room = `room ${number >> 2}`;
    await client.settle(["join", `a${number}`, room], ["join", `b${number}`, room]);
    await client.settle(["signal", `${room}:a${number}`, `${room}:b${number}`, {
      sdp: "v=0\r\n".repeat(50),
    }]);
    if (number % 3 === 0) return;
    await client.write(new Uint8Array([0x88, 0x82, 0, 0, 0, 0, 3, 232]));
    while (await client.frame() !== undefined);
  };
  const until = async (target: number): Promise<Residue> => {
    await Promise.all(Array.from({ length: CONCURRENT }, async () => {
      while (cycles < target) await cycle(cycles++);
    }));
    await server.counts({ sockets: 0, sleeping: 0 });
    await new Promise((resolve) => setTimeout(resolve, 2 * KEEPALIVE_SECONDS * 1000 + 100));
    // What objects hold outside of the heap is freed a task later.
    for (let i = 0; i < 3; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { heapUsed, external } = Deno.memoryUsage();
    const { sockets, rooms, addresses, clients } = server.health();
    return { cycles, heap: heapUsed, external, sockets, rooms, addresses, clients };
  };
  console.log(JSON.stringify([await until(early!), await until(late!)]));
}
