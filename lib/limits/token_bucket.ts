/** A rate with a burst, for one of whatever is limited. */

/**
 * A token bucket that looks at the clock only when it is empty, so that an ordinary call costs no more than a
 * subtraction. In any span of T seconds it lets at most `burst + rate * T` through, and what it refuses costs
 * nothing later.
 */
export class TokenBucket {
  #tokens: number;
  /** Milliseconds: the bucket has been credited for all time until then. */
  #creditedUntil: number;

  /** `burst` is also what the bucket starts with; `now` is in milliseconds. */
  constructor(burst: number, now: number) {
    this.#tokens = burst;
    this.#creditedUntil = now;
  }

  /** Takes one token, where there is one. `rate` is in tokens per second. */
  take(rate: number, burst: number, clock: () => number): boolean {
    if (this.#tokens < 1) this.#refill(rate, burst, clock());
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Whether nothing was taken of late: a bucket that is full need not be remembered. */
  isFull(rate: number, burst: number, now: number): boolean {
    this.#refill(rate, burst, now);
    return this.#tokens >= burst;
  }

  #refill(rate: number, burst: number, now: number): void {
    // A clock that was set back must not take tokens away.
    const seconds = Math.max(0, now - this.#creditedUntil) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + seconds * rate);
    this.#creditedUntil = now;
  }
}
