/** The memberships by token of one session, and when they end. */

import { encodeExpiring } from "../protocol/codec.ts";
import type { Pass } from "../tokens/claims.ts";

interface Membership {
  readonly pass: Pass;
  /** So many milliseconds before its end the client is told. */
  readonly notice: number;
  /** Whether the client was told that it ends soon. */
  told: boolean;
}

/** Of a membership that is shorter, half of it: else whoever renews such would do so again and again. */
const NOTICE = 60_000;

export class Passes {
  /** By address. */
  readonly #held = new Map<string, Membership>();
  /** Of joins that are under way. */
  readonly #expected = new Map<string, Pass>();
  /** Members that may not signal. */
  #watchers = 0;

  get size(): number {
    return this.#held.size;
  }

  of(address: string): Pass | undefined {
    return this.#held.get(address)?.pass;
  }

  /** The address is about to be joined with this. */
  expect(address: string, pass: Pass): void {
    this.#expected.set(address, pass);
  }

  /** It was joined. True where it is now held with a pass that was not held before. */
  confirm(address: string): boolean {
    const pass = this.#expected.get(address);
    if (pass === undefined) return false;
    this.forget(address);
    const left = pass.until - Date.now();
    this.#held.set(address, { pass, notice: left > NOTICE ? NOTICE : left / 2, told: false });
    if (!pass.publish) this.#watchers++;
    return true;
  }

  /** It was not joined, or is not held any more. */
  forget(address: string): void {
    this.#expected.delete(address);
    const membership = this.#held.get(address);
    if (membership === undefined) return;
    this.#held.delete(address);
    if (!membership.pass.publish) this.#watchers--;
  }

  /** Stands in the way of every signal, so it costs next to nothing where nobody is bound to watch. */
  mayOnlyWatch(address: string): boolean {
    return this.#watchers > 0 && this.#held.get(address)?.pass.publish === false;
  }

  /** @param now milliseconds since 1970 */
  look(now: number, { tell, end }: { tell: (text: string) => void; end: (address: string) => void }): void {
    for (const [address, membership] of this.#held) {
      const left = membership.pass.until - now;
      if (left <= 0) end(address);
      else if (left <= membership.notice && !membership.told) {
        membership.told = true;
        tell(encodeExpiring(JSON.stringify(address), Math.ceil(left / 1000)));
      }
    }
  }
}
