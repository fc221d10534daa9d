/** How long things took. */

/** Milliseconds: the upper end of the lowest bucket, and how much further up each next one ends. */
const FINEST = 0.01;
const GROWTH = 1.02;
/** Up to more than a minute. */
const BUCKETS = 800;

/** Durations by size, in memory that does not grow with their number; at most 2 % too long each. */
export class Latencies {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(milliseconds: number, times = 1): void {
    const bucket = Math.ceil(Math.log(Math.max(milliseconds, FINEST) / FINEST) / Math.log(GROWTH));
    this.#counts[Math.min(bucket, BUCKETS - 1)]! += times;
    this.#count += times;
  }

  addAll(pairs: Iterable<readonly [milliseconds: number, times: number]>): void {
    for (const [milliseconds, times] of pairs) this.add(milliseconds, times);
  }

  /** The durations that occurred, and how often: what `addAll` takes. */
  *[Symbol.iterator](): Generator<[milliseconds: number, times: number]> {
    // The middle of a bucket, so that rounding does not lead to the next one.
    for (const [bucket, times] of this.#counts.entries()) {
      if (times > 0) yield [FINEST * GROWTH ** (bucket - 0.5), times];
    }
  }

  /** Milliseconds that the given fraction (0 to 1) did not exceed; NaN where there are no durations. */
  quantile(fraction: number): number {
    let left = Math.max(1, Math.ceil(fraction * this.#count));
    for (const [bucket, times] of this.#counts.entries()) {
      left -= times;
      if (left <= 0) return FINEST * GROWTH ** bucket;
    }
    return NaN;
  }
}
