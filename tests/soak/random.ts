/** Numbers that look random and are the same for the same seed. */
export class Random {
  #state: number;

  /** Neighbouring seeds give sequences that have nothing to do with each other. */
  constructor(seed: number) {
    let mixed = Math.imul(seed ^ seed >>> 16 ^ 0x5bd1e995, 0x2c1b3c6d);
    mixed = Math.imul(mixed ^ mixed >>> 13, 0x297a2d39);
    // Zero would stay zero for ever.
    this.#state = (mixed ^ mixed >>> 16) || 1;
  }

  /** A whole number from 0 to 2^32 - 1, by Marsaglia's xorshift. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.word() / 2 ** 32 * (most - least + 1));
  }

  /** True with a probability from 0 to 1. */
  chance(probability: number): boolean {
    return this.word() < probability * 2 ** 32;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.between(0, values.length - 1)]!;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.word() >>> 24);
  }
}
