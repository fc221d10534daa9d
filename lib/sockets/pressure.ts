/** What is done where memory gets short: nobody new comes in, and those who cost the most go first. */

import { residentMemory } from "../runtime/memory.ts";
import type { Log } from "../runtime/log.ts";
import type { Tally } from "../runtime/tally.ts";

/** A session, as far as memory is concerned. */
export interface Burden {
  /** Its client is gone and may come back. */
  readonly asleep: boolean;
  /** Bytes that wait for its client, on the socket or to be seen. */
  readonly burden: number;
  /** Calls that it has made; of a message that comes in endless fragments there is never one. */
  readonly taken: number;
  /** It was asked for a sign of life, and has not given one. */
  readonly mute: boolean;
  /** Whether it is a member of a room. */
  readonly holds: boolean;
  /** Sockets of its client. */
  readonly siblings: number;
  /** Asks for a sign of life. */
  probe(): void;
  /** Ends its connection here and now, and frees what waits in it. */
  shed(): void;
}

export interface PressureOptions {
  /** Bytes of resident memory above which it is short; `undefined`: never. */
  readonly high: number | undefined;
  readonly burdens: () => Iterable<Burden>;
  readonly log: Log;
  readonly refusals: Tally;
  readonly memory?: () => number;
}

/** Bytes above the limit with which nobody is sent away yet: the collector may be about to bring it down. */
const SLACK = 33_554_432;
/** What waits for a client that is told from others by it. */
const HEAVY = 65_536;
/** Sockets whose cost can't be seen that are ended at the first look; twice as many at each that follows. */
const FIRST_BATCH = 8;
/** Looks after which everybody is asked for a sign of life again. */
const LOOKS_PER_PROBE = 20;

/** Whether `/readyz` should say no before it is short. */
const NEAR = 0.95;

export class Pressure {
  readonly #options: PressureOptions;
  readonly #memory: () => number;
  readonly #takenBefore = new WeakMap<Burden, number>();
  #used = 0;
  /** What was in use when nobody was there: it is no client's, and perhaps never given back by the allocator. */
  #floor = 0;
  #batch = FIRST_BATCH;
  #looks = 0;
  #ended = 0;

  constructor(options: PressureOptions) {
    this.#options = options;
    this.#memory = options.memory ?? residentMemory;
  }

  get #high(): number {
    return Math.max(this.#options.high ?? Infinity, this.#floor * 1.1);
  }

  /** Whether nobody new may come in. */
  get short(): boolean {
    return this.#used > this.#high;
  }

  /** Whether it may soon be so. */
  get near(): boolean {
    return this.#used > NEAR * this.#high;
  }

  /** To be called several times a second. */
  look(): void {
    const { high, burdens, log } = this.#options;
    if (high === undefined) return;
    this.#used = this.#memory();
    if (!this.short) {
      if (this.#looks === 0) return;
      log.warn("memory is no longer short: {used} MB, {ended} sockets were ended", {
        used: megabytes(this.#used),
        ended: this.#ended,
      });
      this.#looks = this.#ended = 0;
      this.#batch = FIRST_BATCH;
      return;
    }
    const awake = [...burdens()].filter(({ asleep }) => !asleep);
    if (awake.length === 0) this.#floor = this.#used;
    if (this.#looks === 0) {
      log.warn("memory is short: {used} MB of {high} MB (--memory-high); no new sockets are taken", {
        used: megabytes(this.#used),
        high: megabytes(high),
      });
    }
    if (this.#looks++ % LOOKS_PER_PROBE === 0) { for (const burden of awake) burden.probe(); }
    if (this.#used > this.#high + SLACK) this.#relieve(awake);
    for (const burden of awake) this.#takenBefore.set(burden, burden.taken);
  }

  #relieve(awake: readonly Burden[]): void {
    let excess = this.#used - this.#high;
    const heavy = awake.map((burden) => [burden, burden.burden] as const)
      .filter(([, cost]) => cost >= HEAVY)
      .sort(([, a], [, b]) => b - a);
    for (const [burden, cost] of heavy) {
      if (excess <= 0) break;
      this.#shed(burden);
      excess -= cost;
    }
    if (excess <= 0) return;
    // What a socket has taken in of a message that is not complete nobody can see.
    const suspects = awake.map((burden) => [burden, this.#suspicion(burden)] as const)
      .sort(([a, one], [b, other]) => other - one || b.siblings - a.siblings);
    for (const [burden] of suspects.slice(0, this.#batch)) this.#shed(burden);
    this.#batch *= 2;
  }

  /** Who says nothing, not even that he lives, and has no part in any room goes before all others. */
  #suspicion(burden: Burden): number {
    const quiet = burden.taken === (this.#takenBefore.get(burden) ?? burden.taken);
    return Number(quiet) * 4 + Number(burden.mute) * 2 + Number(!burden.holds);
  }

  #shed(burden: Burden): void {
    this.#ended++;
    this.#options.refusals.count("memory");
    burden.shed();
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000);
}
