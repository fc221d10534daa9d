/**
 * The STUN server's UDP loop: one socket, no state per client but a bounded table of rates.
 *
 * It uses `Deno.listenDatagram`, which `"unstable": ["net"]` in deno.json turns on: against `node:dgram` it costs
 * less than half the CPU per answer and a quarter per dropped datagram.
 *
 * @module
 */

import { Source } from "../limits/source.ts";
import { type SourceLimits, SourceRates } from "../limits/source_rates.ts";
import { ANSWER_GROWTH_BYTES, answerBinding, decodeStun, parseAddress } from "./stun.ts";

/** What a STUN server spends on one source and in all. */
export interface StunLimits extends Omit<SourceLimits, "maxSources"> {
  /** Datagrams read per second, of whatever kind. What comes beyond stays in the kernel's queue, or is lost there. */
  ratePerServer: number;
}

export const STUN_LIMITS: Readonly<StunLimits> = {
  // Many peers may sit behind one address, and each asks a few times for each connection that it makes.
  ratePerSource: 50,
  burst: 500,
  networks: { site: 8, network: 20 },
  ratePerServer: 20_000,
};

/** What all STUN sockets of a server share. */
export interface StunBudget {
  readonly sources: SourceRates;
  /** Milliseconds that each datagram takes of the time of all. */
  readonly costMs: number;
  /** Until when, on the clock of `StunOptions.now`, time is spent. */
  spentUntil: number;
}

export function stunBudget(limits: StunLimits): StunBudget {
  const maxSources = SPARE_SOURCES * limits.ratePerServer / limits.ratePerSource;
  return {
    sources: new SourceRates({ ...limits, maxSources }),
    costMs: 1000 / limits.ratePerServer,
    spentUntil: -Infinity,
  };
}

export interface StunOptions extends Partial<StunLimits> {
  /** "::" hears IPv4 too, mostly. From a wildcard answers leave with the address of the route. */
  hostname: string;
  /** 0 takes a free one. */
  port: number;
  /** A monotonic clock, in milliseconds. */
  now: () => number;
  /** Told of errors of the open socket, at most once a second; it carries on after each. */
  onError: (error: unknown) => void;
  /** Shared with other sockets; without it the limits are those of this one. */
  budget?: StunBudget;
}

/** Datagrams since the start, by what became of them. */
export interface StunCounts {
  answered: number;
  /** Dropped: no STUN Binding request. */
  ignored: number;
  /** Dropped: a Binding request of a source over its rate. */
  limited: number;
  /** Failed sends and receives. */
  errors: number;
  /** Not datagrams, but how often reading paused because of `ratePerServer`. */
  pauses: number;
}

export interface StunServer {
  readonly hostname: string;
  readonly port: number;
  readonly counts: Readonly<StunCounts>;
  /** Frees the port; resolves when the loop has ended, a pause later at most. */
  close(): Promise<void>;
}

/** Ethernet's payload, which no sane Binding request fills, and one byte by which a cut datagram shows. */
const BUFFER_BYTES = 1501;
const PAUSE_MS = 10;
const REPORT_MS = 1000;

/**
 * Who was answered once is whole again after `1 / ratePerSource` seconds: so many times more sources are remembered
 * than can be in debt for one answer, whatever sources are forged.
 */
const SPARE_SOURCES = 8;

/**
 * Answers Binding requests on a UDP port until closed.
 *
 * @throws {Deno.errors.AddrInUse} where the port is taken
 * @throws {Deno.errors.NotCapable} without the permission to listen
 * @throws {Deno.errors.NotSupported} where Deno runs without its datagram API
 */
export function listenStun(options: StunOptions): StunServer {
  const { hostname, port, now, onError } = options;
  const limits = { ...STUN_LIMITS, ...options };
  if (typeof Deno.listenDatagram !== "function") {
    throw new Deno.errors.NotSupported('STUN needs "unstable": ["net"] in deno.json, or --unstable-net');
  }
  const socket = Deno.listenDatagram({ transport: "udp", hostname, port });
  const bound = socket.addr as Deno.NetAddr;
  const counts: StunCounts = { answered: 0, ignored: 0, limited: 0, errors: 0, pauses: 0 };
  const budget = options.budget ?? stunBudget(limits);
  const { sources, costMs } = budget;
  const input = new Uint8Array(BUFFER_BYTES);
  const output = new Uint8Array(BUFFER_BYTES + ANSWER_GROWTH_BYTES);
  let reported = -Infinity;
  let closed = false;

  const pause = () => new Promise<void>((resolve) => setTimeout(resolve, PAUSE_MS));

  function failed(error: unknown): void {
    counts.errors++;
    if (now() - reported < REPORT_MS) return;
    reported = now();
    onError(error);
  }

  function drop(why: "ignored" | "limited"): 0 {
    counts[why]++;
    return 0;
  }

  /** The length of the answer in `output`, or 0 for silence. */
  function answer(datagram: Uint8Array, from: Deno.NetAddr): number {
    const message = decodeStun(datagram);
    if ("fault" in message) return drop("ignored");
    const address = parseAddress(from.hostname);
    // Port 0 can only be forged, and cannot be answered.
    if (address === undefined || from.port === 0) return drop("ignored");
    const length = answerBinding(message, { address, port: from.port }, output);
    if (length === 0) return drop("ignored");
    return sources.take(new Source(address), now()) ? length : drop("limited");
  }

  async function serve(): Promise<void> {
    while (!closed) {
      let received: [Uint8Array, Deno.Addr];
      try {
        received = await socket.receive(input);
      } catch (error) {
        if (closed) return;
        failed(error);
        await pause();
        continue;
      }
      const [datagram, from] = received;
      const length = answer(datagram, from as Deno.NetAddr);
      if (length > 0) {
        try {
          await socket.send(output.subarray(0, length), from);
          counts.answered++;
        } catch (error) {
          if (closed) return;
          failed(error);
        }
      }
      // Two pauses' worth may be read in one go: a short burst shouldn't wait, and timers are coarse.
      budget.spentUntil = Math.max(budget.spentUntil, now()) + costMs;
      while (!closed && budget.spentUntil - now() >= 2 * PAUSE_MS) {
        counts.pauses++;
        await pause();
      }
    }
  }

  const ended = serve();
  return {
    hostname: bound.hostname,
    port: bound.port,
    counts,
    close() {
      if (!closed) {
        closed = true;
        socket.close();
      }
      return ended;
    },
  };
}
