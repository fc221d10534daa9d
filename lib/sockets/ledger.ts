/** What became of each pair that was introduced: who has said something, and what both report of their link. */

import { type Address, splitAddress } from "../protocol/address.ts";
import type { LinkReport } from "../protocol/codec.ts";
import { Tally } from "../runtime/tally.ts";

/**
 * How a pair of which one has signalled or reported ended, or that it came about:
 *
 * - `connected`: one of the two has said so
 * - `failed`: they have only said the contrary
 * - `unanswered`: one has signalled, the other never has
 * - `unreported`: both have, and nothing is known of what became of it: clients of version 2 don't say
 * - `forgotten`: there were too many pairs to keep count of
 */
export type Outcome = "connected" | "failed" | "unanswered" | "unreported" | "forgotten";

/** One of the two. */
export class Side {
  readonly address: Address;
  /** Whether it is of this process. */
  readonly own: boolean;
  /** Signals to the other one, since they were introduced. */
  signals = 0;
  report: LinkReport | undefined;
  /** The two are not a pair any more, or their pair was forgotten: what is counted here counts for nothing. */
  ended = false;

  constructor({ address, own }: Party) {
    this.address = address;
    this.own = own;
  }
}

/** A member, and whether it is of this process. */
export interface Party {
  readonly address: Address;
  readonly own: boolean;
}

class Pair {
  readonly one: Side;
  readonly other: Side;
  introducedAt: number;
  /** It was introduced once more. */
  anew = false;
  connected = false;
  /** One of the two has said so, of this attempt or the one before. */
  failed = false;
  /** Its failure was told. */
  told = false;
  ended = false;

  constructor(one: Party, other: Party, now: number) {
    this.one = new Side(one);
    this.other = new Side(other);
    this.introducedAt = now;
  }

  /** That of the address first. */
  sides(own: string): [Side, Side] {
    return this.one.address.text === own ? [this.one, this.other] : [this.other, this.one];
  }

  /** Of two on different nodes only one counts the pair, and it is the same for both. */
  get counts(): boolean {
    const { one, other } = this;
    return one.own && other.own || (one.own === one.address.text < other.address.text);
  }
}

/** A member, and the pairs that it is one of, by the other's address. */
interface Entry {
  /** Milliseconds: when it joined; 0 of one of another node. */
  readonly since: number;
  pairs: Map<string, Pair> | undefined;
  /** Its client reports what becomes of links: so it knows what to do when it is introduced anew. */
  reports: boolean;
}

/** A link that failed, for the log and the administrator. */
export interface FailedLink {
  /** Who reports it, and the other one. */
  readonly own: string;
  readonly other: string;
  readonly why: string;
  /** Signals of each. */
  readonly sent: number;
  readonly received: number;
  /** Since they were introduced. */
  readonly seconds: number;
}

export interface LedgerOptions {
  /** Pairs that are kept; beyond, the oldest are forgotten. */
  readonly maxPairs: number;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  /** Introduces two members of this process once more. False where that can't be. */
  readonly introduceAnew: (one: string, other: string) => boolean;
  /** Told once of each pair that failed, and is not, or not again, introduced anew. */
  readonly onFailed: (link: FailedLink) => void;
}

/** What is known of the pairs of one room. */
export interface RoomLinks {
  /** Of which one has signalled or reported. */
  readonly pairs: number;
  readonly connected: number;
  readonly failed: readonly FailedLink[];
}

/** Failures of a room that are told one by one. */
const MAX_TOLD = 100;

/**
 * Of a pair that is only introduced nothing is kept: a newcomer in a full room makes sixty of them, and most servers
 * spend most of their time on that. It is entered when the first of the two signals or reports.
 */
export class Ledger {
  readonly outcomes: Tally = new Tally();
  /** Of pairs that connected: by which kind of path. */
  readonly paths: Tally = new Tally();
  /** Pairs that were introduced, by the side that makes the offer. */
  introduced = 0;
  /** Pairs that were introduced once more, and those of them that connected then. */
  anew = 0;
  healed = 0;
  /** Told of the seconds from the introduction to the first report of a link. */
  onConnected: ((seconds: number) => void) | undefined;
  readonly #options: LedgerOptions;
  readonly #entries = new Map<string, Entry>();
  /** In the order in which they were entered, those among them that have ended. */
  #queue: Pair[] = [];
  /** Where the first that may not have ended stands. */
  #head = 0;
  #size = 0;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Pairs that are kept. */
  get size(): number {
    return this.#size;
  }

  /** A member of this process has joined; `reports`: its client does so. */
  joined(own: string, reports: boolean): void {
    if (this.#options.maxPairs === 0) return;
    this.#entries.set(own, { since: this.#options.now(), pairs: undefined, reports });
  }

  /** Where the signals are counted that one member sends to the other. */
  sideOf(sender: Party, receiver: Party): Side | undefined {
    return this.#enter(sender, receiver)?.sides(sender.address.text)[0];
  }

  /** The client that holds the address reports on its links. */
  reports(own: string): void {
    const entry = this.#entries.get(own);
    if (entry !== undefined) entry.reports = true;
  }

  /** What a member says of its link to another of its room. */
  report(own: Party, other: Party, link: LinkReport): void {
    const pair = this.#enter(own, other);
    if (pair === undefined) return;
    const [ours, theirs] = pair.sides(own.address.text);
    ours.report = link;
    if (link.state === "connected") this.#onConnected(pair, link);
    else if (link.state === "failed") this.#onFailed(pair, ours, theirs);
  }

  #onConnected(pair: Pair, { path }: LinkReport): void {
    if (pair.connected) return;
    pair.connected = true;
    if (pair.anew) this.healed++;
    if (!pair.counts) return;
    this.outcomes.count("connected");
    if (path !== undefined) this.paths.count(path);
    this.onConnected?.(this.#age(pair));
  }

  #onFailed(pair: Pair, ours: Side, theirs: Side): void {
    const { introduceAnew, onFailed, now } = this.#options;
    pair.failed = true;
    const state = theirs.report?.state;
    // Both say so, or the other one says nothing; where it says that all is well it will find out.
    const stalled = state === undefined || state === "failed" || state === "interrupted";
    const [one, other] = [ours.address.text, theirs.address.text];
    if (
      stalled && !pair.anew && ours.own && theirs.own &&
      this.#entries.get(one)?.reports && this.#entries.get(other)?.reports
    ) {
      pair.anew = true;
      const failure = this.#failure(pair, ours, theirs);
      // What was said before concerns another attempt.
      pair.introducedAt = now();
      for (const side of [ours, theirs]) {
        side.signals = 0;
        side.report = undefined;
      }
      if (introduceAnew(one, other)) {
        this.anew++;
        return;
      }
      pair.told = true;
      return onFailed(failure);
    }
    if (pair.told) return;
    pair.told = true;
    onFailed(this.#failure(pair, ours, theirs));
  }

  /** Two that were introduced to each other are not any more. */
  parted(own: string, other: string): void {
    const pair = this.#entries.get(own)?.pairs?.get(other);
    if (pair !== undefined) this.#end(pair);
  }

  /** A member of this process departs. */
  departed(own: string): void {
    const entry = this.#entries.get(own);
    if (entry === undefined) return;
    for (const pair of entry.pairs?.values() ?? []) this.#end(pair);
    this.#entries.delete(own);
  }

  /** What is known of the pairs of a room, as far as they are kept. */
  ofRoom(room: string): RoomLinks {
    let pairs = 0;
    let connected = 0;
    const failed: FailedLink[] = [];
    for (const pair of this.#queue) {
      const { one, other } = pair;
      if (pair.ended || splitAddress(one.address.text).room !== room) continue;
      pairs++;
      if ([one, other].some(({ report }) => report?.state === "connected")) connected++;
      else if (failed.length < MAX_TOLD) {
        if (one.report?.state === "failed") failed.push(this.#failure(pair, one, other));
        else if (other.report?.state === "failed") failed.push(this.#failure(pair, other, one));
      }
    }
    return { pairs, connected, failed };
  }

  #failure(pair: Pair, ours: Side, theirs: Side): FailedLink {
    return {
      own: ours.address.text,
      other: theirs.address.text,
      why: ours.report?.why ?? "other",
      sent: ours.signals,
      received: theirs.signals,
      seconds: Math.round(10 * this.#age(pair)) / 10,
    };
  }

  #age(pair: Pair): number {
    return (this.#options.now() - pair.introducedAt) / 1000;
  }

  #enter(own: Party, other: Party): Pair | undefined {
    const { maxPairs, now } = this.#options;
    if (maxPairs === 0) return undefined;
    const { text } = own.address;
    let pair = this.#entries.get(text)?.pairs?.get(other.address.text);
    if (pair !== undefined) return pair;
    if (this.#size >= maxPairs) this.#forgetOldest();
    const [ours, theirs] = [this.#entry(text), this.#entry(other.address.text)];
    pair = new Pair(own, other, Math.max(ours.since, theirs.since) || now());
    (ours.pairs ??= new Map()).set(other.address.text, pair);
    (theirs.pairs ??= new Map()).set(text, pair);
    this.#queue.push(pair);
    this.#size++;
    return pair;
  }

  #forgetOldest(): void {
    while (this.#queue[this.#head]?.ended) this.#head++;
    const oldest = this.#queue[this.#head];
    if (oldest !== undefined) this.#end(oldest, "forgotten");
    // Now and then, so that each pair is moved once at the most.
    if (2 * this.#head > this.#queue.length) this.#compact();
  }

  #compact(): void {
    this.#queue = this.#queue.filter(({ ended }) => !ended);
    this.#head = 0;
  }

  #end(pair: Pair, as: Outcome = outcomeOf(pair)): void {
    if (pair.ended) return;
    pair.ended = pair.one.ended = pair.other.ended = true;
    this.#size--;
    const [one, other] = [pair.one.address.text, pair.other.address.text];
    this.#unlink(one, other);
    this.#unlink(other, one);
    if (!pair.connected && pair.counts) this.outcomes.count(as);
    if (this.#queue.length > 64 && this.#queue.length > 4 * this.#size) this.#compact();
  }

  #unlink(own: string, other: string): void {
    const entry = this.#entries.get(own);
    if (entry?.pairs === undefined) return;
    entry.pairs.delete(other);
    if (entry.pairs.size > 0) return;
    entry.pairs = undefined;
    // Of another node's member nobody tells but by its pairs.
    if (entry.since === 0) this.#entries.delete(own);
  }

  #entry(text: string): Entry {
    let entry = this.#entries.get(text);
    if (entry === undefined) this.#entries.set(text, entry = { since: 0, pairs: undefined, reports: false });
    return entry;
  }
}

function outcomeOf({ one, other, failed }: Pair): Outcome {
  if (failed) return "failed";
  return one.signals > 0 && other.signals > 0 ? "unreported" : "unanswered";
}
