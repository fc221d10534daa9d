/** What a client was sent and has not said to have seen, so that it can have it again on another socket. */

/** What all backlogs of a server may keep together, in UTF-16 units. */
export class BacklogSpace {
  readonly #most: number;
  #used = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes so much, where there is so much left. */
  take(units: number): boolean {
    if (this.#used + units > this.#most) return false;
    this.#used += units;
    return true;
  }

  giveBack(units: number): void {
    this.#used -= units;
  }
}

/** Places of a ring: at first, and as many as it may have though most of them are empty. */
const SLOTS = { least: 8, spare: 64 };

/**
 * The last messages to one client, by their numbers. Lengths are in UTF-16 units, which is what a text takes in memory,
 * or half of it: to find out how many bytes it has on the wire would cost as much as a tenth of relaying it.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * const backlog = new Backlog(0, 100, new BacklogSpace(1000));
 * for (const text of ["one", "two", "three"]) backlog.push(text);
 * backlog.seen(1);
 * assertEquals(backlog.after(2), ["three"]);
 * assertEquals(backlog.after(0), undefined);
 * ```
 */
export class Backlog {
  readonly #space: BacklogSpace;
  readonly #most: number;
  /** A ring of the messages that are kept, without gaps; the newest is the last that was sent. Its size is a power of two. */
  #texts: string[] = [];
  /** Another, of their lengths: by the time these are asked for the texts themselves are far away in memory. */
  #lengths: number[] = [];
  /** Where the oldest stands, and how many there are. */
  #oldest = 0;
  #count = 0;
  #units = 0;
  /** The number of the last message that was sent. */
  #sent: number;
  #stopped = false;

  /** @param sent the number of the last message that was sent before; @param most units that are kept */
  constructor(sent: number, most: number, space: BacklogSpace) {
    this.#sent = sent;
    this.#most = most;
    this.#space = space;
  }

  /** Length of what is kept, in UTF-16 units. */
  get units(): number {
    return this.#units;
  }

  /** How many messages are kept. */
  get unseen(): number {
    return this.#count;
  }

  /** More was not seen than is kept: then nothing is, until the client says that it has seen something. */
  get stopped(): boolean {
    return this.#stopped;
  }

  push(text: string): void {
    this.#sent++;
    if (this.#stopped) return;
    const { length } = text;
    if (this.#units + length > this.#most || !this.#space.take(length)) {
      this.clear();
      this.#stopped = true;
      return;
    }
    this.#units += length;
    if (this.#count === this.#texts.length) this.#resize(Math.max(SLOTS.least, 2 * this.#count));
    const at = this.#at(this.#count++);
    this.#texts[at] = text;
    this.#lengths[at] = length;
  }

  /** The client has taken in the messages up to this number. False where it has not been sent so many. */
  seen(count: number): boolean {
    if (count > this.#sent) return false;
    this.#stopped = false;
    const fresh = count - (this.#sent - this.#count);
    if (fresh <= 0) return true;
    let units = 0;
    for (let i = 0; i < fresh; i++) {
      const at = this.#at(i);
      units += this.#lengths[at]!;
      this.#texts[at] = "";
    }
    this.#oldest = this.#at(fresh);
    this.#count -= fresh;
    this.#units -= units;
    this.#space.giveBack(units);
    let { length } = this.#texts;
    while (length > SLOTS.spare && 4 * this.#count <= length) length /= 2;
    if (length < this.#texts.length) this.#resize(length);
    return true;
  }

  /** The messages behind that number; `undefined` where they are not all kept. */
  after(count: number): readonly string[] | undefined {
    const known = count - (this.#sent - this.#count);
    if (known < 0 || known > this.#count) return undefined;
    return Array.from({ length: this.#count - known }, (_, i) => this.#texts[this.#at(known + i)]!);
  }

  clear(): void {
    this.#space.giveBack(this.#units);
    this.#units = this.#count = this.#oldest = 0;
    this.#texts = [];
    this.#lengths = [];
  }

  /** Where the message stands that has so many in front of it. */
  #at(index: number): number {
    return (this.#oldest + index) & (this.#texts.length - 1);
  }

  #resize(size: number): void {
    const texts = new Array<string>(size).fill("");
    const lengths = new Array<number>(size).fill(0);
    for (let i = 0; i < this.#count; i++) {
      const at = this.#at(i);
      texts[i] = this.#texts[at]!;
      lengths[i] = this.#lengths[at]!;
    }
    this.#texts = texts;
    this.#lengths = lengths;
    this.#oldest = 0;
  }
}
