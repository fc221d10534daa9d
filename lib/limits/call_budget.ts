/** The calls of one socket, which shares with all others of its client what that client may make. */

import type { SocketLimits } from "./limits.ts";
import type { Source } from "./source.ts";
import type { SourceRates } from "./source_rates.ts";

/** Whose limit a call goes beyond: the socket's own, or that of all its client's sockets. */
export type OverLimit = "socket" | "client";

/** Calls that are paid for at a time: so seldom is the clock looked at, and the client's budget. */
const CHUNK = 64;

/**
 * A token bucket that hands its tokens out in chunks, each of which is also taken from what the client has. The first
 * chunk is free: whatever the other sockets of a client do, a newcomer can join and say a little. How many may come
 * to that is bounded by the rate of new sockets.
 */
export class CallBudget {
  /** Calls that are paid for. */
  #inHand: number;
  /** What else there is of the socket's own burst. */
  #reserve: number;
  /** Milliseconds: the reserve has been credited for all time until then. */
  #creditedUntil: number;

  /** `now` is in milliseconds. */
  constructor({ callBurst }: SocketLimits, now: number) {
    this.#inHand = Math.min(CHUNK, callBurst);
    this.#reserve = callBurst - this.#inHand;
    this.#creditedUntil = now;
  }

  /** Whether there is one that is paid for. */
  get hasInHand(): boolean {
    return this.#inHand > 0;
  }

  /** Takes one call that is paid for. False where there is none: then `draw` takes it. */
  takeInHand(): boolean {
    if (this.#inHand === 0) return false;
    this.#inHand--;
    return true;
  }

  /** The last call that was taken is not to count. */
  giveBack(): void {
    this.#inHand++;
  }

  /** Pays for the next calls and takes one of them, or says whose limit it goes beyond. `shared`: the calls of all clients. */
  draw(
    { callRate, callBurst }: SocketLimits,
    shared: SourceRates,
    source: Source,
    now: number,
  ): OverLimit | undefined {
    // A clock that was set back must not take calls away.
    const seconds = Math.max(0, now - this.#creditedUntil) / 1000;
    this.#reserve = Math.min(callBurst, this.#reserve + seconds * callRate);
    this.#creditedUntil = now;
    const chunk = Math.min(CHUNK, Math.floor(this.#reserve));
    if (chunk === 0) return "socket";
    if (!shared.take(source, now, chunk)) {
      // Refusing costs something as well: whoever goes on and on meets the limit of his own.
      this.#reserve--;
      return "client";
    }
    this.#reserve -= chunk;
    this.#inHand = chunk - 1;
    return undefined;
  }
}
