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
  /** It was asked for a sign of life and has not given one, or is on its way out. */
  readonly mute: boolean;
  /** Whether it is a member of a room. */
  readonly holds: boolean;
  /** Sockets of its client. */
  readonly siblings: number;
  /** Asks for a sign of life, where the runtime lets us: then it is `mute` until there is one. */
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
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  readonly memory?: () => number;
  /** Calls back when all that had come in before has been dealt with. */
  readonly pass?: (done: () => void) => void;
}

/** Bytes above the limit with which nobody is sent away yet: the collector may be about to bring it down. */
const SLACK = 33_554_432;
/** Bytes above that with which patience has come to its least: it is measured in bytes, as what it costs is. */
const ROOM = 67_108_864;
/** What waits for a client that is told from others by it. */
const HEAVY = 65_536;
/** Of the suspects such a share is ended at a look as their memory would be too much, in these bounds. */
const SHARE = { least: 0.5, most: 0.75 };
/**
 * It is short until it is down to this share of the limit, or has been below the limit for so many milliseconds: what
 * the allocator keeps may never come down. Else those that were ended come again at once, and find those that were not.
 */
const CALM = { share: 0.85, after: 1000 };
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
const HASTE = 50;
/**
 * A look may count for so many milliseconds at most. Where the process stood still nobody could be heard: that is
 * nobody's silence.
 */
const STEP = 10 * LOOK.quick;

/**
 * Milliseconds that a sign of life may take which was asked for: with time and room, and where both run out. They are
 * those up to which all that came in has been dealt with: where 64 sockets send as fast as they can, the runtime may take
 * half a second to go once through all of them.
 */
const SILENCE = {
  stranger: { most: 200, least: 50 },
  known: { most: 1500, least: 250 },
};
/** So many calls and signs of life make a client known. */
const KNOWN = 4;
/** Milliseconds from a sign of life to the next that the known are asked for: where it is short, and else. */
const ASK = { short: 100, usual: 750 };
/** Strangers are asked at every look until they are known, but not more of them in a millisecond. */
const ASKED_AT_ONCE = 10;
/** Milliseconds for which it has been short, after which those may be ended as well who give signs of life, if it grows. */
const PATIENCE = 1000;
/** Whoever has made a call within so many milliseconds has no message without end on the way. */
const CALLED = 50;
/** Who has made calls at so many looks, or so many before, and some within so many milliseconds, talks. */
const TALKER = { looks: 3, before: 20, recent: 1500 };
/** Passages that may be on the way: one for each look of more than a second. */
const PASSAGES = 64;

/** What a session has been seen to do since it is watched. Times are of the watch: see `STEP`. */
interface Watched {
  taken: number;
  /** When the last call had come; `-Infinity`: none. */
  calledAt: number;
  /** Looks at which calls had come: these take time to gather. */
  calls: number;
  /** `-Infinity`: never. */
  heardAt: number;
  /** Since when it owes a sign of life. */
  askedAt: number | undefined;
  /** Calls before, and looks at which it had given a sign. */
  signs: number;
}

export class Pressure {
  readonly #options: PressureOptions;
  readonly #memory: () => number;
  #watched = new WeakMap<Burden, Watched>();
  #alarmedAt = -Infinity;
  /** What was in use when the watching began; `undefined`: nobody is watched. */
  #base: number | undefined;
  /** Milliseconds of the watch: those for which the process stood still are not among them. */
  #watch = 0;
  /** What had come in by then, by the watch, has been dealt with. */
  #settled = 0;
  #passages = 0;
  #used = 0;
  /** What was in use when nobody was there: it is no client's, and perhaps never given back by the allocator. */
  #floor = 0;
  #lookedAt: number;
  /** When it was last above the limit. */
  #aboveAt = -Infinity;
  /** Bytes in a millisecond, at the last look. */
  #growth = 0;
  /** At the last look some were ended. */
  #relieved = false;
  /** When strangers were last ended, by the watch. */
  #endedAt = -Infinity;
  /** Since when it is short, by the watch. */
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
    return this.#used > this.#high ||
      this.#shortSince !== undefined && this.#used > CALM.share * this.#high &&
        this.#lookedAt - this.#aboveAt < CALM.after;
  }

  /** Whether it may soon be so. */
  get near(): boolean {
    return this.short || this.#used > NEAR * this.#high;
  }

  /** Looks, does what is to be done, and says in how many milliseconds to look again. */
  look(): number {
    const { high, burdens, now } = this.#options;
    if (high === undefined) return LOOK.usual;
    const before = this.#used;
    this.#used = this.#memory();
    const time = now();
    // At the first look there is nothing to compare with.
    const growth = before > 0 ? Math.max(0, this.#used - before) / Math.max(1, time - this.#lookedAt) : 0;
    // One leap may be the collector's. What is coming is seen at two looks.
    const lasting = Math.min(growth, this.#growth);
    this.#growth = growth;
    this.#watch += Math.min(time - this.#lookedAt, STEP);
    this.#lookedAt = time;
    if (this.#used > this.#high) this.#aboveAt = time;
    const soon = growth > FAST && this.#used + growth * SOON > this.#high;
    if (soon || this.#used > this.#high + SLACK) this.#alarmedAt = time;
    else if (time - this.#alarmedAt > WARY) {
      this.#relax();
      this.#base = undefined;
      return LOOK.usual;
    }
    this.#pass();
    const awake = [...burdens()].filter(({ asleep, connecting }) => !asleep && !connecting);
    if (awake.length === 0) this.#floor = this.#used;
    this.#listen(awake);
    if (!this.short) this.#relax();
    else {
      if (this.#shortSince === undefined) {
        this.#shortSince = this.#watch;
        this.#options.log.warn(
          "memory is short: {used} MB of {high} MB (--memory-high); no new sockets are taken",
          {
            used: megabytes(this.#used),
            high: megabytes(high),
          },
        );
      }
      // What the last look has brought may not all be seen yet; where it grows on, it was not enough.
      const waits = this.#relieved && this.#used <= before;
      this.#relieved = false;
      const excess = this.#used + lasting * HASTE - this.#high - SLACK;
      if (excess > 0 && !waits) this.#relieve(awake, Math.max(0, 1 - excess / ROOM), lasting);
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

  #pass(): void {
    if (this.#passages >= PASSAGES) return;
    this.#passages++;
    const sentAt = this.#watch;
    (this.#options.pass ?? passRuntime)(() => {
      this.#passages--;
      this.#settled = Math.max(this.#settled, sentAt);
    });
  }

  #listen(awake: readonly Burden[]): void {
    const now = this.#watch;
    if (this.#base === undefined) {
      this.#base = this.#used;
      this.#watched = new WeakMap();
    }
    const pause = {
      known: this.short ? ASK.short : ASK.usual,
      stranger: awake.length / ASKED_AT_ONCE,
    };
    for (const burden of awake) {
      const { taken } = burden;
      const watched = this.#watched.get(burden);
      if (watched === undefined) {
        burden.probe();
        const talks = taken >= TALKER.before;
        this.#watched.set(burden, {
          taken,
          calledAt: talks ? now : -Infinity,
          calls: talks ? TALKER.looks : 0,
          heardAt: -Infinity,
          askedAt: burden.mute ? now : undefined,
          signs: taken,
        });
        continue;
      }
      const called = taken !== watched.taken;
      if (called) {
        watched.taken = taken;
        watched.calledAt = now;
        watched.calls++;
      }
      if (burden.mute) {
        watched.askedAt ??= now;
        continue;
      }
      if (called || watched.askedAt !== undefined) {
        watched.askedAt = undefined;
        watched.heardAt = now;
        watched.signs++;
      }
      if (now - watched.heardAt >= (watched.signs >= KNOWN ? pause.known : pause.stranger)) {
        burden.probe();
        if (burden.mute) watched.askedAt = now;
      }
    }
  }

  /** `patience` from 1, where there is time and room, to 0. */
  #relieve(awake: readonly Burden[], patience: number, growth: number): void {
    const now = this.#watch;
    let excess = this.#used - this.#high;
    const heavy = awake.map((burden) => [burden, burden.burden] as const)
      .filter(([, cost]) => cost >= HEAVY)
      .sort(([, a], [, b]) => b - a);
    for (const [burden, cost] of heavy) {
      if (excess <= 0) return;
      this.#shed(burden);
      excess -= cost;
    }
    if (excess <= 0) return;
    // What a socket has taken in of a message that is not complete nobody can see. Those go first who were never heard
    // and are not known, then those who have fallen silent, and those last who give signs of life.
    const settled = this.#settled;
    const others = awake.map((burden, at) => {
      const { heardAt, calledAt, calls, askedAt = Infinity, signs } = this.#watched.get(burden)!;
      const known = signs >= KNOWN;
      return { burden, at, known, heardAt, silence: settled - askedAt, quiet: settled - calledAt, calls };
    });
    const overdue =
      ({ most, least }: { readonly most: number; readonly least: number }) =>
      ({ silence }: { readonly silence: number }) => silence > Math.max(least, patience * most);
    const strangers = others.filter(({ known, silence }) => !known && silence > -Infinity);
    // With no room left there is no time either: the next half second may bring more than there is.
    const mutes = patience > 0 ? strangers.filter(overdue(SILENCE.stranger)) : strangers;
    if (mutes.length > 0) {
      const never = mutes.filter(({ heardAt }) => heardAt === -Infinity);
      const ranked = never.length > 0 ? never : mutes;
      this.#endedAt = now;
      return this.#shedShare(ranked.sort(compareRoots), growth);
    }
    // Others only once it is seen that ending these was not enough.
    if (settled <= this.#endedAt) return;
    if (patience > 0) {
      // Of who was asked just now it will be known shortly.
      if (strangers.length > 0) return;
      const silent = others.filter(overdue(SILENCE.known));
      if (silent.length > 0) {
        silent.sort((one, other) => compare(one.silence, other.silence) || compareRoots(one, other));
        return this.#shedShare(silent, growth);
      }
      if (growth === 0 || now - this.#shortSince! <= PATIENCE) return;
    }
    // A pong may come in the middle of a message, and a call may not: who makes some holds no more than came since. Of
    // the others those of the client with the most sockets are to go.
    const quiet = others.filter(({ quiet }) => quiet > CALLED);
    const listeners = quiet.filter(({ quiet, calls }) => quiet > TALKER.recent || calls < TALKER.looks);
    // Not by spreading: a call takes no more than some hundred thousand arguments.
    const crowd = listeners.reduce((most, { burden }) => Math.max(most, burden.siblings), 0);
    const ranked = listeners.length > 0
      ? listeners.filter(({ burden }) => burden.siblings === crowd)
        .sort((one, other) => compare(one.silence, other.silence) || compareRoots(one, other))
      : quiet.sort((one, other) => one.calls - other.calls || compareRoots(one, other));
    this.#shedShare(ranked, growth);
  }

  #shedShare(ranked: readonly { readonly burden: Burden }[], growth: number): void {
    const needed = this.#used + growth * 2 * LOOK.quick - CALM.share * this.#high;
    const share = needed / Math.max(1, this.#used - this.#base!);
    const count = Math.ceil(Math.min(Math.max(share, SHARE.least), SHARE.most) * ranked.length);
    for (const { burden } of ranked.slice(0, count)) this.#shed(burden);
  }

  #shed(burden: Burden): void {
    this.#ended++;
    this.#relieved = true;
    this.#options.refusals.count("memory");
    burden.shed();
  }
}

interface Ranked {
  readonly burden: Burden;
  /** The place in the order of coming. */
  readonly at: number;
}

/** The greater first, be it infinite. */
function compare(one: number, other: number): number {
  return one === other ? 0 : other - one;
}

/** First who holds nothing, has many sockets, or has come late. */
function compareRoots(one: Ranked, other: Ranked): number {
  return Number(one.burden.holds) - Number(other.burden.holds) ||
    other.burden.siblings - one.burden.siblings || other.at - one.at;
}

const NOTHING = new Uint8Array(0);

/** What is worked out on another thread comes back in the same queue as what comes in from sockets. */
function passRuntime(done: () => void): void {
  crypto.subtle.digest("SHA-256", NOTHING).then(done, done);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000);
}
