/** Counts things that happen too often to be logged one by one. */
export class Tally {
  readonly #totals = new Map<string, number>();
  /** The totals at the last flush. */
  #flushed: ReadonlyMap<string, number> = new Map();

  /** `what` comes from the program's own vocabulary, never from a client: the map stays small. */
  count(what: string): void {
    this.#totals.set(what, (this.#totals.get(what) ?? 0) + 1);
  }

  /** Counts since the start. */
  get totals(): ReadonlyMap<string, number> {
    return this.#totals;
  }

  /** Counts since the last flush, the most frequent first; `undefined` where there are none. */
  flush(): Record<string, number> | undefined {
    const counts = [...this.#totals]
      .map(([what, total]): [string, number] => [what, total - (this.#flushed.get(what) ?? 0)])
      .filter(([, count]) => count > 0)
      .sort(([, a], [, b]) => b - a);
    if (counts.length === 0) return undefined;
    this.#flushed = new Map(this.#totals);
    return Object.fromEntries(counts);
  }
}
