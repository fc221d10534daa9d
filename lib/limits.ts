/** Bounds that protect the server and its users from a client that does too much of something. */

/** All limits that bind one socket. Their defaults stand in the table of options. */
export interface SocketLimits {
  /** Largest message in bytes; a larger one closes the socket (1009). */
  readonly maxMessageBytes: number;
  /** Bytes that may wait to be read by the client before its socket is closed (1013). */
  readonly maxQueueBytes: number;
  /** Calls per second, in the long run. */
  readonly callRate: number;
  /** Calls that may come at once after a pause. */
  readonly callBurst: number;
  /** Joins per second, in the long run. */
  readonly joinRate: number;
  /** Joins that may come at once after a pause. */
  readonly joinBurst: number;
}

/** The limits of the rooms. */
export interface RoomLimits {
  /** Addresses in one room. */
  readonly maxRoomPeers: number;
  /** Addresses that one socket may hold. */
  readonly maxAddresses: number;
  /** Rooms in all. */
  readonly maxRooms: number;
}

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
