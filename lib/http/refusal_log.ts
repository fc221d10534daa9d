/** What the operator is told of refusals: by which nobody is to fill the log, nor to hide what matters in it. */

import type { Source } from "../limits/source.ts";
import { TokenBucket } from "../limits/token_bucket.ts";
import type { Log } from "../runtime/log.ts";
import { isOrigin } from "./origin.ts";
import type { ProxyMistake } from "./visit.ts";

/** Lines about single refusals: so many at once, and per second in the long run. */
const LINES = 100;
const LINES_PER_SECOND = 10;

/** So many refused origins are named, each once, before they are forgotten: anybody may make some up. */
const MAX_ORIGINS = 16;
const FORGET_MS = 600_000;
/** A host name has at most 253 characters. */
const MAX_ORIGIN_LENGTH = 300;

export class RefusalLog {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #lines: TokenBucket;
  readonly #origins = new Set<string>();
  #originsSince: number;
  readonly #mistakes = new Set<ProxyMistake["mistake"]>();

  /** @param now milliseconds; only differences matter */
  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
    this.#lines = new TokenBucket(LINES, now());
    this.#originsSince = now();
  }

  /** Whether one more line about a single refusal may be logged. */
  takeLine(): boolean {
    return this.#lines.take(LINES_PER_SECOND, LINES, this.#now);
  }

  /** A handshake that was refused. No browser shows its page the sentence, so it stands in the log. */
  handshake(
    code: string,
    sentence: string,
    client: Source,
    origin: string | null,
    request?: string,
  ): void {
    if (code === "origin" && origin !== null) this.origin(origin);
    if (!this.takeLine()) return;
    this.#log.debug("refused {code}: a handshake, of {client}, origin {origin}: {sentence}", {
      code,
      client: String(client),
      origin: origin?.slice(0, MAX_ORIGIN_LENGTH) ?? "none",
      sentence,
      ...request === undefined ? {} : { request },
    });
  }

  /** A page that was refused: the operator needs to know which origin to allow. */
  origin(origin: string): void {
    if (this.#now() - this.#originsSince >= FORGET_MS) {
      this.#origins.clear();
      this.#originsSince = this.#now();
    }
    if (this.#origins.size >= MAX_ORIGINS || this.#origins.has(origin)) return;
    if (origin.length > MAX_ORIGIN_LENGTH || !isOrigin(origin)) return;
    this.#origins.add(origin);
    this.#log.warn(
      origin === "null"
        ? "Pages from files or in sandboxed frames may not connect: browsers send the origin {origin} for them. " +
          "--allow-origin {origin} lets them, and sandboxed frames of any other site too."
        : "Pages of {origin} may not connect. If they are yours, start with --allow-origin {origin}.",
      { origin },
    );
  }

  /** Each mistake once. */
  proxy({ mistake, sentence }: ProxyMistake, address: string): void {
    if (this.#mistakes.has(mistake)) return;
    this.#mistakes.add(mistake);
    // What is to be copied stands in the text as it is: a field would be quoted there.
    this.#log.warn(sentence, { address });
  }
}
