/** How values are spread: counted by the first of some bounds that they don't exceed. */
export class Histogram {
  /** Ascending. What exceeds the last is counted too. */
  readonly bounds: readonly number[];
  /** Values up to each bound and above the one before; the last count is of those above all. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > this.bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
  }
}
