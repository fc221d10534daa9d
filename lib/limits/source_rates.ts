/** How much of something each client and each network gets, in memory that never grows. */

import type { Source, Tier } from "./source.ts";

/** How many times as much as one client a whole network gets. */
export type NetworkFactors = Readonly<Record<Exclude<Tier, "client">, number>>;

export interface SourceLimits {
  /** Per second, in the long run, for one client. */
  readonly ratePerSource: number;
  /** What a client may get at once after a rest. */
  readonly burst: number;
  readonly networks: NetworkFactors;
  /** About as many clients as are busy at a time; rounded up to a power of two, within `PLACES`. */
  readonly maxSources: number;
}

/** Sources that a table remembers, whatever the options. One takes 16 bytes. */
const PLACES = { least: 1024, most: 65_536 };

/** There are fewer networks than clients. */
const NETWORKS_PER_SOURCE = 1 / 4;

/** Rates of clients and of the networks around them. What is refused counts nowhere. */
export class SourceRates {
  readonly #tables: Readonly<Record<Tier, RateTable>>;

  constructor({ ratePerSource, burst, networks, maxSources }: SourceLimits) {
    const table = (factor: number, size: number) =>
      new RateTable(factor * ratePerSource, factor * burst, size);
    this.#tables = {
      client: table(1, maxSources),
      site: table(networks.site, maxSources * NETWORKS_PER_SOURCE),
      network: table(networks.network, maxSources * NETWORKS_PER_SOURCE),
    };
  }

  /** True, and counted, where the client and its networks may have one more, or `cost` more and be in debt for it. */
  take(source: Source, nowMs: number, cost = 1): boolean {
    if (!this.allows(source, nowMs)) return false;
    this.charge(source, nowMs, cost);
    return true;
  }

  /** Whether `take` would be granted. */
  allows({ high, low, parts }: Source, nowMs: number): boolean {
    for (const { tier, mask } of parts) {
      if (!this.#tables[tier].allows(high, (low & mask) >>> 0, nowMs)) return false;
    }
    return true;
  }

  /** Counts what can't be refused, or is known only afterwards. */
  charge({ high, low, parts }: Source, nowMs: number, cost: number): void {
    for (const { tier, mask } of parts) this.#tables[tier].charge(high, (low & mask) >>> 0, nowMs, cost);
  }
}

const WAYS = 8;

/**
 * Rates in a table that never grows and is never swept: for each source the time at which its burst is whole again
 * ("theoretical arrival time" of the generic cell rate algorithm).
 *
 * A source has eight places open to it. Where it stands in none of them, it takes that of the one which is whole
 * the soonest, so that a newcomer is never refused for want of a place. To be forgotten while in debt, a source
 * must share its places with eight others, and nobody outside knows which do, that have spent more than itself:
 * whoever wants to wipe out a debt, his own or another's, pays more than it comes to. Only who has hardly spent
 * anything is forgotten easily, and there it matters least.
 */
class RateTable {
  readonly #intervalMs: number;
  readonly #toleranceMs: number;
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  readonly #wholeAt: Float64Array;
  readonly #seed = crypto.getRandomValues(new Uint32Array(2));

  constructor(rate: number, burst: number, places: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.min(Math.max(places, PLACES.least), PLACES.most)));
    this.#intervalMs = 1000 / rate;
    this.#toleranceMs = (burst - 1) * this.#intervalMs;
    this.#high = new Uint32Array(size);
    this.#low = new Uint32Array(size);
    this.#wholeAt = new Float64Array(size);
  }

  allows(high: number, low: number, nowMs: number): boolean {
    const place = this.#find(high, low);
    return place < 0 || this.#wholeAt[place]! - nowMs <= this.#toleranceMs;
  }

  charge(high: number, low: number, nowMs: number, cost: number): void {
    let place = this.#find(high, low);
    if (place < 0) {
      place = ~place;
      this.#high[place] = high;
      this.#low[place] = low;
      this.#wholeAt[place] = nowMs;
    }
    this.#wholeAt[place] = Math.max(nowMs, this.#wholeAt[place]!) + cost * this.#intervalMs;
  }

  /** Where the source stands; or, as `~place`, where it is to stand. */
  #find(high: number, low: number): number {
    const first = this.#firstPlace(high, low);
    let soonest = first;
    for (let place = first; place < first + WAYS; place++) {
      if (this.#high[place] === high && this.#low[place] === low) return place;
      if (this.#wholeAt[place]! < this.#wholeAt[soonest]!) soonest = place;
    }
    return ~soonest;
  }

  #firstPlace(high: number, low: number): number {
    let hash = Math.imul(high ^ this.#seed[0]!, 0x9e3779b1);
    hash = Math.imul(hash ^ hash >>> 15 ^ low, 0x85ebca6b);
    hash = Math.imul(hash ^ hash >>> 13 ^ this.#seed[1]!, 0xc2b2ae35);
    hash ^= hash >>> 16;
    return (hash & (this.#wholeAt.length / WAYS - 1)) * WAYS;
  }
}
