/** What is done where memory gets short: nobody new comes in, and those who cost the most go first. */

import { residentMemory } from "../runtime/memory.ts";
import type { Log } from "../runtime/log.ts";
import type { Tally } from "../runtime/tally.ts";

/** A session, as far as memory is concerned. */
export interface Burden {
  /** Its client is gone and may come back. */
  readonly asleep: boolean;
  /** Its handshake is not through: then it can be neither asked nor ended. */
  readonly connecting: boolean;
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
  /** Asks for a sign of life. False where the runtime does not let us. */
  probe(): boolean;
  /** Ends its connection here and now, and frees what waits in it. */
  shed(): void;
}

export interface PressureOptions {
  /** Bytes of resident memory above which it is short; `undefined`: never. */
  readonly high: number | undefined;
  readonly burdens: () => Iterable<Burden>;
  readonly log: Log;
  readonly refusals: Tally;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  readonly memory?: () => number;
}

/** Bytes above the limit with which nobody is sent away yet: the collector may be about to bring it down. */
const SLACK = 33_554_432;
/** What waits for a client that is told from others by it. */
const HEAVY = 65_536;
/** Of sockets whose cost can't be seen this share of the suspects is ended at a look. */
const SHARE = 0.75;
/** Milliseconds for which everybody is watched on when all is well again: whoever was cut comes again. */
const WARY = 10_000;

/** Share of the limit from which on `/readyz` says no. */
const NEAR = 0.95;

/** Milliseconds from one look to the next; where memory grows as fast as an attacker can make it grow, and else. */
const LOOK = { quick: 20, usual: 100 };
/** Everybody is watched where memory will be short within so many milliseconds, and grows by so many bytes in one. */
const SOON = 2000;
const FAST = 50_000;

/** What comes within so many milliseconds counts as if it were there. */
const HASTE = 100;

/** Milliseconds for which a sign of life counts, and that there are to give the first, if there is time. */
const SIGN = { usual: 200, known: 1500 };
const ANSWER = 200;
/** So many calls and signs of life make a client known. */
const KNOWN = 4;
/** Milliseconds for which it has been short, after which those may be ended as well who gave a sign of life. */
const PATIENCE = 1000;

/** What a session has been seen to do since it is watched. */
interface Watched {
  taken: number;
  /** `-Infinity`: never. */
  heardAt: number;
  /** Calls before, and looks at which it had given a sign. */
  signs: number;
}

export class Pressure {
  readonly #options: PressureOptions;
  readonly #memory: () => number;
  #watched = new WeakMap<Burden, Watched>();
  #alarmedAt = -Infinity;
  /** Since when everybody is watched. */
  #watchedSince: number | undefined;
  #used = 0;
  /** What was in use when nobody was there: it is no client's, and perhaps never given back by the allocator. */
  #floor = 0;
  #lookedAt: number;
  /** At the last look some were ended: what that has brought is not to be seen before the next. */
  #relieved = false;
  /** Since when it is short. */
  #shortSince: number | undefined;
  #ended = 0;

  constructor(options: PressureOptions) {
    this.#options = options;
    this.#memory = options.memory ?? residentMemory;
    this.#lookedAt = options.now();
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

  /** Looks, does what is to be done, and says in how many milliseconds to look again. */
  look(): number {
    const { high, burdens, now } = this.#options;
    if (high === undefined) return LOOK.usual;
    const before = this.#used;
    this.#used = this.#memory();
    const time = now();
    const growth = Math.max(0, this.#used - before) / Math.max(1, time - this.#lookedAt);
    this.#lookedAt = time;
    // At the first look there is nothing to compare with.
    const soon = before > 0 && growth > FAST && this.#used + growth * SOON > this.#high;
    if (soon || this.#used > this.#high + SLACK) this.#alarmedAt = time;
    else if (time - this.#alarmedAt > WARY) {
      this.#relax();
      this.#watchedSince = undefined;
      return LOOK.usual;
    }
    const awake = [...burdens()].filter(({ asleep, connecting }) => !asleep && !connecting);
    if (awake.length === 0) this.#floor = this.#used;
    this.#watch(awake, time);
    if (!this.short) this.#relax();
    else {
      if (this.#shortSince === undefined) {
        this.#shortSince = time;
        this.#options.log.warn(
          "memory is short: {used} MB of {high} MB (--memory-high); no new sockets are taken",
          {
            used: megabytes(this.#used),
            high: megabytes(high),
          },
        );
      }
      if (this.#used + growth * HASTE > this.#high + SLACK) this.#relieve(awake, time);
    }
    return LOOK.quick;
  }

  #relax(): void {
    if (this.#shortSince === undefined) return;
    this.#shortSince = undefined;
    this.#options.log.warn("memory is no longer short: {used} MB, after {ended} sockets were ended", {
      used: megabytes(this.#used),
      ended: this.#ended,
    });
    this.#ended = 0;
  }

  #watch(awake: readonly Burden[], time: number): void {
    if (this.#watchedSince === undefined) {
      this.#watchedSince = time;
      this.#watched = new WeakMap();
    }
    for (const burden of awake) {
      const { taken } = burden;
      const watched = this.#watched.get(burden);
      if (watched === undefined) {
        if (burden.probe()) this.#watched.set(burden, { taken, heardAt: -Infinity, signs: taken });
      } else if (taken !== watched.taken || !burden.mute) {
        watched.taken = taken;
        if (time - watched.heardAt >= (this.short ? SIGN.usual : SIGN.known) / 2) burden.probe();
        watched.heardAt = time;
        watched.signs++;
      }
    }
  }

  #relieve(awake: readonly Burden[], time: number): void {
    this.#relieved = !this.#relieved;
    if (!this.#relieved) return;
    let excess = this.#used - this.#high;
    const heavy = awake.map((burden) => [burden, burden.burden] as const)
      .filter(([, cost]) => cost >= HEAVY)
      .sort(([, a], [, b]) => b - a);
    for (const [burden, cost] of heavy) {
      if (excess <= 0) return;
      this.#shed(burden);
      excess -= cost;
    }
    if (excess <= 0 || time - this.#watchedSince! < ANSWER && excess < 2 * SLACK) return;
    // What a socket has taken in of a message that is not complete nobody can see. Who gives no sign of life goes before
    // all others; then who has no part in any room, has many sockets, or has come late.
    const suspects = awake.map((burden, at) => {
      const { heardAt = -Infinity, signs = 0 } = this.#watched.get(burden) ?? {};
      const known = signs >= KNOWN;
      // Whoever is known is as good as heard when the watching began.
      const silence = time - (known ? Math.max(heardAt, this.#watchedSince!) : heardAt);
      return { burden, at, silence, suspect: silence > (known ? SIGN.known : SIGN.usual) };
    })
      .filter(({ suspect }) => suspect || time - this.#shortSince! > PATIENCE)
      .sort((one, other) =>
        compareSilence(one.silence, other.silence) || Number(one.burden.holds) - Number(other.burden.holds) ||
        other.burden.siblings - one.burden.siblings || other.at - one.at
      );
    for (const { burden } of suspects.slice(0, Math.ceil(SHARE * suspects.length))) this.#shed(burden);
  }

  #shed(burden: Burden): void {
    this.#ended++;
    this.#options.refusals.count("memory");
    burden.shed();
  }
}

/** The longer first; never heard of (`Infinity`) is as long as ever. */
function compareSilence(one: number, other: number): number {
  return one === other ? 0 : other - one;
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000);
}
