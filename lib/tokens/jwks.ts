/** Keys that are published at a URL (RFC 7517), and change now and then. */

import type { Log } from "../runtime/log.ts";
import { keysOfSet, type TokenKey } from "./keys.ts";

/** Milliseconds. */
const REFRESH = 600_000;
/** After a failure, and between two times at which a key that isn't there makes it look. */
const RETRY = 30_000;
const TIMEOUT = 5000;

/** Bytes. */
const MAX_ANSWER = 65_536;

/** Keeps what it has got once, however long the URL is away. */
export class PublishedKeys {
  readonly #url: string;
  readonly #log: Log;
  readonly #now: () => number;
  #keys: readonly TokenKey[] = [];
  #fetching: Promise<void> | undefined;
  #triedAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = new AbortController();

  /** @param now milliseconds; only differences matter */
  constructor(url: string, log: Log, now: () => number) {
    this.#url = url;
    this.#log = log;
    this.#now = now;
    this.#refresh();
  }

  get keys(): readonly TokenKey[] {
    return this.#keys;
  }

  /** Looks anew for a key that is not there, unless it has just done so. Resolves when it has looked. */
  lookAgain(): Promise<void> {
    if (this.#fetching === undefined && this.#now() - this.#triedAt >= RETRY) this.#refresh();
    return this.#fetching ?? Promise.resolve();
  }

  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  #refresh(): void {
    clearTimeout(this.#timer);
    this.#triedAt = this.#now();
    this.#fetching = this.#fetch().then(() => REFRESH, (error) => {
      this.#log.warn("the keys for tokens could not be fetched from {url}: {why}", {
        url: this.#url,
        why: error instanceof Error ? error.message : String(error),
      });
      return RETRY;
    }).then((pause) => {
      this.#fetching = undefined;
      if (!this.#closed.signal.aborted) this.#timer = setTimeout(() => this.#refresh(), pause);
    });
  }

  async #fetch(): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT), this.#closed.signal]);
    const answer = await fetch(this.#url, { signal, headers: { accept: "application/json" } });
    if (!answer.ok) {
      await answer.body?.cancel();
      throw new Error(`the answer was ${answer.status}`);
    }
    const parts: string[] = [];
    let length = 0;
    for await (const text of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      length += text.length;
      if (length > MAX_ANSWER) throw new Error(`the answer has more than ${MAX_ANSWER} bytes`);
      parts.push(text);
    }
    this.#keys = keysOfSet(JSON.parse(parts.join("")));
  }
}
