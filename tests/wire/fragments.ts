/**
 * Sockets that send messages without an end, in fragments, as fast as they can; whoever is cut comes again.
 *
 * Usage: fragments.ts PORT SOCKETS. It begins at once.
 */

import { frame, Opcode, RawClient } from "../kit/raw_client.ts";

const [port, sockets] = Deno.args.map(Number);
const FIRST = frame(new Uint8Array(65_536).fill(120), Opcode.text, false);
const NEXT = frame(new Uint8Array(65_536).fill(120), Opcode.continuation, false);

async function life(i: number): Promise<void> {
  for (;;) {
    try {
      using client = await RawClient.open(port!);
      // Every other one is a member of a room.
      if (i % 2 === 0) await client.send(["join", `f${i}`, "fragments"]);
      await client.write(FIRST);
      for (;;) await client.write(NEXT);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

await Promise.all(Array.from({ length: sockets! }, (_, i) => life(i)));
