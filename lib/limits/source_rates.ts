/** How much of something each source on the network gets, in memory that never grows. */

export interface SourceLimits {
  /** Per second, in the long run, for one source: an IPv4 address or an IPv6 /64. */
  ratePerSource: number;
  /** What a source may get at once after a rest. */
  burst: number;
  /** Sources remembered at a time; rounded up to a power of two. */
  maxSources: number;
}

const WAYS = 8;

/**
 * Rates of sources in a table that never grows and is never swept: for each source the time at which its burst is
 * whole again ("theoretical arrival time" of the generic cell rate algorithm). Once that is past, the entry says
 * nothing any more and is anybody's. A source that finds the eight places open to it all in use is refused: to
 * forget one of them instead would let forged sources wipe out a victim's count.
 */
export class SourceRates {
  readonly #intervalMs: number;
  readonly #toleranceMs: number;
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  readonly #wholeAt: Float64Array;
  /** So that nobody outside knows which sources share their places. */
  readonly #seed = crypto.getRandomValues(new Uint32Array(2));

  constructor({ ratePerSource, burst, maxSources }: SourceLimits) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(maxSources, WAYS)));
    this.#intervalMs = 1000 / ratePerSource;
    this.#toleranceMs = (burst - 1) * this.#intervalMs;
    this.#high = new Uint32Array(size);
    this.#low = new Uint32Array(size);
    this.#wholeAt = new Float64Array(size).fill(-Infinity);
  }

  /**
   * True, and counted, where the source may have one more answer.
   *
   * @param address 4 or 16 bytes; of an IPv6 address the first 8 count, since a client owns a whole /64
   */
  take(address: Uint8Array, nowMs: number): boolean {
    // An IPv4 address stands where the prefix 0:0:…/64 would, which nobody has.
    const high = address.length === 4 ? 0 : word(address, 0);
    const low = word(address, address.length === 4 ? 0 : 4);
    const first = this.#placeOf(high, low);
    let free = -1;
    for (let i = first; i < first + WAYS; i++) {
      if (this.#wholeAt[i]! <= nowMs) {
        if (free < 0) free = i;
      } else if (this.#high[i] === high && this.#low[i] === low) {
        if (this.#wholeAt[i]! - nowMs > this.#toleranceMs) return false;
        this.#wholeAt[i]! += this.#intervalMs;
        return true;
      }
    }
    if (free < 0) return false;
    this.#high[free] = high;
    this.#low[free] = low;
    this.#wholeAt[free] = nowMs + this.#intervalMs;
    return true;
  }

  #placeOf(high: number, low: number): number {
    let hash = Math.imul(high ^ this.#seed[0]!, 0x9e3779b1);
    hash = Math.imul(hash ^ hash >>> 15 ^ low, 0x85ebca6b);
    hash = Math.imul(hash ^ hash >>> 13 ^ this.#seed[1]!, 0xc2b2ae35);
    hash ^= hash >>> 16;
    return (hash & (this.#wholeAt.length / WAYS - 1)) * WAYS;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}
