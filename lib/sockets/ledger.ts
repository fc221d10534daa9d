/** What became of each pair that was introduced: who has said something, and what both report of their link. */

import { type Address, splitAddress } from "../protocol/address.ts";
import type { LinkReport } from "../protocol/codec.ts";
import { Tally } from "../runtime/tally.ts";

/**
 * How a pair ended, or that it came about:
 *
 * - `connected`: one of the two has said so
 * - `failed`: they have only said the contrary
 * - `unanswered`: one has signalled, the other never has
 * - `silent`: neither has
 * - `unreported`: both have, and nothing is known of what became of it: clients of version 2 don't say
 * - `forgotten`: there were too many pairs to keep count of
 */
export type Outcome = "connected" | "failed" | "unanswered" | "silent" | "unreported" | "forgotten";

/** One of the two. */
export class Side {
  readonly address: Address;
  /** Signals to the other one, since they were introduced. */
  signals = 0;
  report: LinkReport | undefined;

  constructor(address: Address) {
    this.address = address;
  }
}

export class Pair {
  /** The later one makes the offer. */
  readonly earlier: Side;
  readonly later: Side;
  introducedAt: number;
  /** Whether each of the two is of this process. */
  hasEarlier = false;
  hasLater = false;
  /** It was introduced once more. */
  anew = false;
  connected = false;
  /** Its failure was told. */
  told = false;

  constructor(earlier: Address, later: Address, now: number) {
    this.earlier = new Side(earlier);
    this.later = new Side(later);
    this.introducedAt = now;
  }

  /** Whether these are the two. */
  joins(one: Address, other: Address): boolean {
    const [earlier, later] = [this.earlier.address, this.later.address];
    return earlier === one && later === other || earlier === other && later === one;
  }

  /** That of the address first. */
  sides(own: string): [Side, Side] {
    return this.earlier.address.text === own ? [this.earlier, this.later] : [this.later, this.earlier];
  }
}

/** A member, and the pairs that it is one of, by the other's address. */
interface Entry {
  readonly pairs: Map<string, Pair>;
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
  /** Introduces two members once more. False where that can't be. */
  readonly introduceAnew: (earlier: string, later: string) => boolean;
  /** Told once of each pair that failed, and is not, or not again, introduced anew. */
  readonly onFailed: (link: FailedLink) => void;
}

/** What is known of the pairs of one room. */
export interface RoomLinks {
  readonly introduced: number;
  readonly connected: number;
  readonly failed: readonly FailedLink[];
}

/** Failures of a room that are told one by one. */
const MAX_TOLD = 100;

export class Ledger {
  readonly outcomes: Tally = new Tally();
  /** Of pairs that connected: by which kind of path. */
  readonly paths: Tally = new Tally();
  /** Pairs that were introduced once more, and those of them that connected then. */
  anew = 0;
  healed = 0;
  /** Told of the seconds from the introduction to the first report of a link. */
  onConnected: ((seconds: number) => void) | undefined;
  readonly #options: LedgerOptions;
  readonly #entries = new Map<string, Entry>();
  /** In the order in which they were introduced. */
  readonly #pairs = new Set<Pair>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Pairs that are kept. */
  get size(): number {
    return this.#pairs.size;
  }

  /** Told for each of the two that is of this process. */
  introduced(own: Address, other: Address, initiator: boolean): void {
    const { maxPairs, now } = this.#options;
    if (maxPairs === 0) return;
    let pair = this.#find(own.text, other.text);
    if (pair === undefined || !pair.joins(own, other)) {
      if (pair !== undefined) this.#end(pair);
      if (this.#pairs.size >= maxPairs) {
        const oldest: Pair = this.#pairs.values().next().value!;
        this.#end(oldest, "forgotten");
      }
      pair = initiator ? new Pair(other, own, now()) : new Pair(own, other, now());
      this.#pairs.add(pair);
      this.#entry(own.text).pairs.set(other.text, pair);
      this.#entry(other.text).pairs.set(own.text, pair);
    } else if (initiator ? pair.hasLater : pair.hasEarlier) {
      // Introduced anew, by us or by the store: what was said before concerns another attempt.
      pair.introducedAt = now();
      for (const side of [pair.earlier, pair.later]) {
        side.signals = 0;
        side.report = undefined;
      }
    }
    if (initiator) pair.hasLater = true;
    else pair.hasEarlier = true;
  }

  /** Where the signals are counted that one member sends to the other; `undefined` where no count is kept of the two. */
  sideOf(sender: Address, receiver: Address): Side | undefined {
    const pair = this.#find(sender.text, receiver.text);
    if (pair === undefined || !pair.joins(sender, receiver)) return undefined;
    return pair.earlier.address === sender ? pair.earlier : pair.later;
  }

  /** The client that holds the address reports on its links. */
  reports(own: string): void {
    if (this.#options.maxPairs > 0) this.#entry(own).reports = true;
  }

  /** What a member says of its link to another. */
  report(own: string, other: string, link: LinkReport): void {
    const pair = this.#find(own, other);
    if (pair === undefined) return;
    const [ours, theirs] = pair.sides(own);
    ours.report = link;
    if (link.state === "connected") this.#onConnected(pair, link);
    else if (link.state === "failed") this.#onFailed(pair, ours, theirs);
  }

  #onConnected(pair: Pair, { path }: LinkReport): void {
    if (pair.connected) return;
    pair.connected = true;
    if (pair.anew) this.healed++;
    if (!counts(pair)) return;
    this.outcomes.count("connected");
    if (path !== undefined) this.paths.count(path);
    this.onConnected?.(this.#age(pair));
  }

  #onFailed(pair: Pair, ours: Side, theirs: Side): void {
    const { introduceAnew, onFailed } = this.#options;
    const state = theirs.report?.state;
    // Both say so, or the other one says nothing; where it says that all is well it will find out.
    const stalled = state === undefined || state === "failed" || state === "interrupted";
    const [earlier, later] = [pair.earlier.address.text, pair.later.address.text];
    if (
      stalled && !pair.anew && pair.hasEarlier && pair.hasLater &&
      this.#entries.get(earlier)!.reports && this.#entries.get(later)!.reports
    ) {
      pair.anew = true;
      if (introduceAnew(earlier, later)) {
        this.anew++;
        return;
      }
    }
    if (pair.told) return;
    pair.told = true;
    onFailed(this.#failure(pair, ours, theirs));
  }

  /** Two that were introduced to each other are not any more. */
  parted(own: string, other: string): void {
    const pair = this.#find(own, other);
    if (pair !== undefined) this.#end(pair);
  }

  /** A member of this process departs. */
  departed(own: string): void {
    const entry = this.#entries.get(own);
    if (entry === undefined) return;
    for (const pair of entry.pairs.values()) this.#end(pair);
    this.#entries.delete(own);
  }

  /** What is known of the pairs of a room, as far as they are kept. */
  ofRoom(room: string): RoomLinks {
    let introduced = 0;
    let connected = 0;
    const failed: FailedLink[] = [];
    for (const pair of this.#pairs) {
      if (splitAddress(pair.earlier.address.text).room !== room) continue;
      introduced++;
      const { earlier, later } = pair;
      if ([earlier, later].some(({ report }) => report?.state === "connected")) connected++;
      else if (failed.length < MAX_TOLD) {
        if (earlier.report?.state === "failed") failed.push(this.#failure(pair, earlier, later));
        else if (later.report?.state === "failed") failed.push(this.#failure(pair, later, earlier));
      }
    }
    return { introduced, connected, failed };
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

  #end(pair: Pair, as: Outcome = outcomeOf(pair)): void {
    if (!this.#pairs.delete(pair)) return;
    const [earlier, later] = [pair.earlier.address.text, pair.later.address.text];
    this.#unlink(earlier, later);
    this.#unlink(later, earlier);
    if (!pair.connected && counts(pair)) this.outcomes.count(as);
  }

  #unlink(own: string, other: string): void {
    const entry = this.#entries.get(own);
    if (entry === undefined) return;
    entry.pairs.delete(other);
    // A member that reports is remembered until it departs.
    if (entry.pairs.size === 0 && !entry.reports) this.#entries.delete(own);
  }

  #find(own: string, other: string): Pair | undefined {
    return this.#entries.get(own)?.pairs.get(other);
  }

  #entry(text: string): Entry {
    let entry = this.#entries.get(text);
    if (entry === undefined) this.#entries.set(text, entry = { pairs: new Map(), reports: false });
    return entry;
  }
}

/** Of two on different nodes only that of the later one counts the pair. */
function counts({ hasLater }: Pair): boolean {
  return hasLater;
}

function outcomeOf({ earlier, later }: Pair): Outcome {
  if ([earlier, later].some(({ report }) => report?.state === "failed")) return "failed";
  if (earlier.signals > 0 && later.signals > 0) return "unreported";
  return earlier.signals > 0 || later.signals > 0 ? "unanswered" : "silent";
}
