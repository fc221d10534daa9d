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
  /** Without gaps; the last is the last that was sent. */
  #texts: string[] = [];
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
    return this.#texts.length;
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
    this.#texts.push(text);
  }

  /** The client has taken in the messages up to this number. False where it has not been sent so many. */
  seen(count: number): boolean {
    if (count > this.#sent) return false;
    this.#stopped = false;
    const fresh = count - (this.#sent - this.#texts.length);
    if (fresh <= 0) return true;
    const seen = this.#texts.splice(0, fresh);
    let units = 0;
    for (const { length } of seen) units += length;
    this.#units -= units;
    this.#space.giveBack(units);
    return true;
  }

  /** The messages behind that number; `undefined` where they are not all kept. */
  after(count: number): readonly string[] | undefined {
    const first = this.#sent - this.#texts.length;
    if (count > this.#sent || count < first) return undefined;
    return this.#texts.slice(count - first);
  }

  clear(): void {
    this.#space.giveBack(this.#units);
    this.#units = 0;
    this.#texts = [];
  }
}
