/** Files that change while the server runs: what they hold is taken up without closing a socket, where it is sound. */

import type { Log } from "../runtime/log.ts";
import type { Config } from "./options.ts";
import { FileError, readSecrets, type Secrets } from "./startup.ts";

/** Milliseconds between two looks at the files. */
export const RENEWAL_INTERVAL = 10_000;

export interface RenewalParts {
  /** What was read at the start. */
  readonly secrets: Secrets;
  readonly log: Log;
  /** Takes up another TURN secret, or other keys for tokens. Throws what is wrong with them. */
  readonly take: (secrets: Secrets) => void;
  /** Listens with another certificate. Throws what is wrong with it; false where that can't be without a restart. */
  readonly certify: (tls: NonNullable<Secrets["tls"]>) => boolean;
}

/** What can be taken up, by the words for it in the log. */
const PARTS = {
  "the TURN secret": ({ turn }: Secrets) => turn,
  "the keys for tokens": ({ tokenKeys }: Secrets) => JSON.stringify(tokenKeys),
};

export class Renewal {
  readonly #config: Config;
  readonly #parts: RenewalParts;
  #secrets: Secrets;
  /** Of each kind of trouble the last that was told. */
  #told = "";

  constructor(config: Config, parts: RenewalParts) {
    this.#config = config;
    this.#parts = parts;
    this.#secrets = parts.secrets;
  }

  /** Whether there is any file to look at. */
  get needed(): boolean {
    const { turnSecretFile, tokenSecretFile, tokenKeyFile, tokenJwks, tlsCert } = this.#config;
    return [turnSecretFile, tokenSecretFile, tokenKeyFile, tokenJwks, tlsCert].some((file) =>
      file !== undefined
    );
  }

  /**
   * Reads all files once more.
   *
   * @param asked by somebody who waits for an answer, in the log
   */
  look(asked = false): void {
    const { log } = this.#parts;
    if (asked) this.#told = "";
    try {
      const secrets = readSecrets(this.#config);
      // One after the other: a certificate whose key is not there yet is not to keep the others waiting.
      const taken = [this.#take(secrets), this.#certify(secrets)].some(Boolean);
      if (asked && !taken) log.info("asked to read its files again: nothing in them has changed");
      this.#told = "";
    } catch (error) {
      if (!(error instanceof FileError || error instanceof RangeError)) throw error;
      if (error.message === this.#told) return;
      this.#told = error.message;
      log.error(`a file can't be used, so what it held stays: ${error.message}`);
    }
  }

  #take(secrets: Secrets): boolean {
    const { log, take } = this.#parts;
    const changed = Object.entries(PARTS)
      .filter(([, of]) => of(secrets) !== of(this.#secrets))
      .map(([name]) => name);
    if (changed.length === 0) return false;
    take(secrets);
    this.#secrets = { ...secrets, ...this.#secrets.tls && { tls: this.#secrets.tls } };
    log.info(`taken up from its file: ${changed.join(" and ")}`);
    return true;
  }

  #certify({ tls }: Secrets): boolean {
    const { log, certify } = this.#parts;
    const { tls: former } = this.#secrets;
    if (tls === undefined || tls.cert === former?.cert && tls.key === former.key) return false;
    const done = certify(tls);
    this.#secrets = { ...this.#secrets, tls };
    if (done) log.info("taken up from its file: the certificate");
    else {
      log.warn(
        "The certificate has changed. It is taken up at the next start: this runtime can't change that of a " +
          "listener, and closes all its WebSockets with it.",
      );
    }
    return true;
  }
}
