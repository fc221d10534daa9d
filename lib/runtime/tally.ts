/** Counts things that happen too often to be logged one by one. */
export class Tally {
  #counts = new Map<string, number>();

  /** `what` comes from the program's own vocabulary, never from a client: the map stays small. */
  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** Counts since the last flush, the most frequent first; `undefined` where there are none. */
  flush(): Record<string, number> | undefined {
    if (this.#counts.size === 0) return undefined;
    const counts = [...this.#counts].sort(([, a], [, b]) => b - a);
    this.#counts = new Map();
    return Object.fromEntries(counts);
  }
}
