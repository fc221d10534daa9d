/** The joins of one socket, which shares with all others of its client what that client may cost. */

import type { OverLimit } from "./call_budget.ts";
import type { SocketLimits } from "./limits.ts";
import type { Source } from "./source.ts";
import type { SourceRates } from "./source_rates.ts";
import { TokenBucket } from "./token_bucket.ts";

/**
 * Each pair of members takes three messages: two when it is introduced, and one when the first of the two departs.
 * The newcomer pays for all three, so that leaving and closing are free. They take about as long as all else that
 * there is to a join: so a join counts one, and one more for each member that was there before.
 */
export class JoinBudget {
  readonly #own: TokenBucket;
  /** The first join of a socket is not refused for what others of its client did: it pays for it all the same. */
  #first = true;

  constructor({ joinBurst }: SocketLimits, now: number) {
    this.#own = new TokenBucket(joinBurst, now);
  }

  /** Takes one join, or says whose limit it goes beyond. What it costs is paid when it is known: see `payJoin`. */
  take(
    limits: SocketLimits,
    shared: SourceRates,
    source: Source,
    clock: () => number,
  ): OverLimit | undefined {
    if (!this.#own.take(limits.joinRate, limits.joinBurst, clock)) return "socket";
    if (!this.#first && !shared.allows(source, clock())) return "client";
    this.#first = false;
    return undefined;
  }
}

/** Lets a client pay for a join into a room that had so many members. It may be in debt for it, until time has paid. */
export function payJoin(shared: SourceRates, source: Source, members: number, now: number): void {
  shared.charge(source, now, 1 + members);
}
