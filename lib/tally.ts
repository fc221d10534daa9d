/** Counts things that happen too often to be logged one by one. */
export class Tally {
  #sinceFlush = new Map<string, number>();
  readonly #total = new Map<string, number>();

  /** `what` comes from the program's own vocabulary, never from a client: the maps stay small. */
  count(what: string): void {
    this.#sinceFlush.set(what, (this.#sinceFlush.get(what) ?? 0) + 1);
    this.#total.set(what, (this.#total.get(what) ?? 0) + 1);
  }

  /** Counts since the start. */
  totals(): Record<string, number> {
    return Object.fromEntries(this.#total);
  }

  /** Counts since the last flush, the most frequent first; `undefined` where there are none. */
  flush(): Record<string, number> | undefined {
    if (this.#sinceFlush.size === 0) return undefined;
    const counts = [...this.#sinceFlush].sort(([, a], [, b]) => b - a);
    this.#sinceFlush = new Map();
    return Object.fromEntries(counts);
  }
}
