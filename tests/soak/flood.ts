/**
 * A flood of datagrams for a STUN server, sound and broken, from many addresses of the loopback network, none
 * of which listens to the answers. It begins at once.
 *
 * Usage: flood.ts PORT; order: `stop`
 */

import { encodeBindingRequest } from "../kit/stun_message.ts";
import { pause } from "./lives.ts";
import { obey } from "./program.ts";
import { Random } from "./random.ts";

export interface FloodReport {
  readonly sent: number;
}

const SOURCES = 100;
const AT_ONCE = 64;

/** Even where the machine is slow, less would be no flood. */
const LEAST = 40_000;

/** One in two is a sound request. */
function datagrams(random: Random): Uint8Array[] {
  return Array.from({ length: 500 }, () => {
    const request = encodeBindingRequest(random.bytes(12), random.chance(0.5));
    return random.chance(0.5) ? request : broken(request, random);
  });
}

function broken(request: Uint8Array, random: Random): Uint8Array {
  switch (random.between(0, 5)) {
    case 0:
      return random.bytes(random.between(0, 1472));
    case 1:
      return request.subarray(0, random.between(0, request.length - 1));
    case 2:
      // A length that does not fit.
      return request.with(3, random.between(1, 255));
    case 3:
      // Success responses and indications: answering those would make two servers talk to each other.
      return request.with(0, random.between(1, 3));
    case 4: {
      const noise = request.slice();
      noise[random.between(0, noise.length - 1)]! ^= 1 << random.between(0, 7);
      return noise;
    }
    default: {
      // Full of attributes that nobody knows and that must be understood.
      const attributes = new Uint8Array(20 + 4 * 300);
      attributes.set(request.subarray(0, 20));
      for (let at = 20; at < attributes.length; at += 4) attributes[at] = 0x7f;
      new DataView(attributes.buffer).setUint16(2, attributes.length - 20);
      return attributes;
    }
  }
}

if (import.meta.main) {
  const to: Deno.NetAddr = { transport: "udp", hostname: "127.0.0.1", port: Number(Deno.args[0]) };
  const random = new Random(1);
  const pool = datagrams(random);
  const sockets = Array.from(
    { length: SOURCES },
    (_, i) => Deno.listenDatagram({ transport: "udp", hostname: `127.1.${i}.${i + 1}`, port: 0 }),
  );
  let stopped = false;
  let sent = 0;
  const flooding = (async () => {
    while (!stopped || sent < LEAST) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, () => random.pick(sockets).send(random.pick(pool), to)),
      );
      sent += AT_ONCE;
      // Orders have to come through.
      if (sent % (AT_ONCE * 100) === 0) await pause(0);
    }
  })();
  await obey(async (order): Promise<FloodReport> => {
    if (order === "stop") {
      stopped = true;
      await flooding;
    }
    return { sent };
  });
}
