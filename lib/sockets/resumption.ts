/** Sessions that can be resumed, by their ids; and those of former lives of the server, by their seals. */

import { randomBytes } from "node:crypto";
import type { ResumeOffer } from "../protocol/codec.ts";
import { BacklogSpace } from "./backlog.ts";
import { SEAL_LIFE, type Sealed, type SealedMember, Sealer } from "./seal.ts";

export interface ResumeLimits {
  /** Seconds for which a session waits for its client; 0: not at all. */
  readonly resume: number;
  /** What is kept for one session of what was sent and not seen. */
  readonly resumeBytes: number;
  /** What is kept for all sessions together. */
  readonly resumeTotalBytes: number;
}

/** 128 bits: nobody guesses one. */
const ID_BYTES = 16;

/** Seals that were used and would be good for a while yet. Beyond so many no more are taken. */
const MAX_USED = 100_000;

/** `S` is a session. */
export class Resumption<S> {
  readonly seconds: number;
  readonly bytes: number;
  /** Whether clients get seals, which have to be renewed. */
  readonly seals: boolean;
  readonly space: BacklogSpace;
  readonly #sealer: Sealer | undefined;
  readonly #life = randomId();
  readonly #sessions = new Map<string, S>();
  /** By the id of the session, the time until which its seals are good. */
  readonly #used = new Map<string, number>();

  constructor({ resume, resumeBytes, resumeTotalBytes }: ResumeLimits, secret: string | undefined) {
    this.seconds = resume;
    this.bytes = resumeBytes;
    this.space = new BacklogSpace(resumeTotalBytes);
    this.#sealer = secret === undefined ? undefined : new Sealer(secret);
    this.seals = this.#sealer !== undefined;
  }

  /** What a session tells its client: that it can come back to it by this id. */
  offer(id: string, members: readonly SealedMember[]): ResumeOffer {
    const { seconds, bytes } = this;
    if (this.#sealer === undefined) return { id, seconds, bytes };
    // It must not bring a member back whose token has ended meanwhile.
    const until = Math.min(Date.now() + SEAL_LIFE, ...members.map(({ pass }) => pass?.until ?? Infinity));
    return { id: this.#sealer.seal({ id, life: this.#life, until, members }), seconds, bytes };
  }

  /** From now on the session is found. */
  keep(id: string, session: S): void {
    this.#sessions.set(id, session);
  }

  forget(id: string): void {
    this.#sessions.delete(id);
  }

  /** The session that an id or a seal is of; or what a former life has sealed, which is found once. */
  find(text: string): { readonly session: S } | { readonly sealed: Sealed } | undefined {
    const sealed = this.#sealer?.open(text);
    const session = this.#sessions.get(this.#sealer === undefined ? text : sealed?.id ?? "");
    if (session !== undefined) return { session };
    const now = Date.now();
    // Of our own life, it has been resumed or given up.
    if (sealed === undefined || sealed.life === this.#life || sealed.until <= now) return undefined;
    if (sealed.members.length === 0 || this.#used.has(sealed.id)) return undefined;
    for (const [id, until] of this.#used) {
      if (until > now) break;
      this.#used.delete(id);
    }
    if (this.#used.size >= MAX_USED) return undefined;
    // All seals of the session: those that are younger than this one, too.
    this.#used.set(sealed.id, now + SEAL_LIFE);
    return { sealed };
  }
}

/** 22 characters of base64url. */
export function randomId(): string {
  return randomBytes(ID_BYTES).toString("base64url");
}
