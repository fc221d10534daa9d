// SPDX-License-Identifier: MIT

/** One `RTCPeerConnection` and the exchange of descriptions and candidates for it (perfect negotiation). */

import type { Candidate, Description, RtcConnection } from "./rtc.ts";

/** What is signalled; see the protocol's payload convention. */
export interface Payload {
  description?: Description;
  /** `null` is the end of candidates. */
  candidate?: Candidate | null;
}

/** Candidates that came before the description they belong to. */
const MAX_EARLY = 256;

export interface NegotiationOptions {
  /** Who gives way where both make an offer at once. */
  readonly polite: () => boolean;
  readonly send: (payload: Payload) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Steps are taken one after the other, in the order in which they were asked for. The connection is never asked for its
 * descriptions: `@roamhq/wrtc` reads them while another thread adds candidates to them, and crashes.
 */
export class Negotiation {
  readonly connection: RtcConnection;
  /** Whether an offer was made, or is about to be. */
  offered = false;
  /** Whether anything was heard of the other side, and whether it had candidates. */
  heard = false;
  candidates = false;
  /** Whether candidates of our own were found. */
  gathered = false;
  /** The other side's description, once it is set. */
  remote?: Description;
  readonly #options: NegotiationOptions;
  #early: (Candidate | null)[] = [];
  #ignored = false;
  #wanted = false;
  /** The description of our own that was set last. */
  #described: Description | undefined;
  #restart = false;
  #steps: Promise<void> = Promise.resolve();
  /** Candidates of our own that must not overtake their description. */
  #held: (Candidate | null)[] | undefined;

  constructor(connection: RtcConnection, options: NegotiationOptions) {
    this.connection = connection;
    this.#options = options;
    connection.addEventListener("icecandidate", (event) => {
      const candidate = (event as Event & { candidate: Candidate | null }).candidate;
      // Some say the end of candidates as an empty one as well.
      const plain = candidate?.candidate ? pick(candidate) : null;
      if (plain) this.gathered = true;
      if (this.#held) this.#held.push(plain);
      else options.send({ candidate: plain });
    });
  }

  /** Makes an offer as soon as none is under way. */
  offer(iceRestart = false): void {
    this.#restart ||= iceRestart;
    this.#wanted = this.offered = true;
    this.#step(() => this.#offerIfWanted());
  }

  /** Says an offer once more that has had no answer: either may be lost, together with the server. */
  remind(): void {
    const description = this.#unanswered;
    if (description) this.#options.send({ description });
  }

  /** Takes what the other side has signalled. */
  take(payload: Payload): void {
    this.heard = true;
    this.#step(() =>
      payload.description ? this.#describe(payload.description) : this.#add(payload.candidate ?? null)
    );
  }

  /** Our own offer that waits for its answer. Some implementations make one by themselves: that is none. */
  get #unanswered(): Description | false | undefined {
    return this.connection.signalingState === "have-local-offer" && this.#described;
  }

  #step(step: () => Promise<void>): void {
    this.#steps = this.#steps.then(step).catch((error) => {
      if (this.connection.signalingState !== "closed") this.#options.onError(error);
    });
  }

  async #offerIfWanted(): Promise<void> {
    const { connection } = this;
    if (!this.#wanted || this.#unanswered) return;
    this.#wanted = false;
    const iceRestart = this.#restart;
    this.#restart = false;
    await this.#apply(await connection.createOffer(iceRestart ? { iceRestart } : {}));
  }

  async #describe(description: Description): Promise<void> {
    const { connection } = this;
    const isOffer = description.type === "offer";
    if (!isOffer && connection.signalingState !== "have-local-offer") return;
    const glare = isOffer && !!this.#unanswered;
    this.#ignored = glare && !this.#options.polite();
    if (this.#ignored) return;
    if (glare) {
      await connection.setLocalDescription({ type: "rollback" });
      this.#wanted = true;
    }
    if (/^a=candidate:/m.test(description.sdp ?? "")) this.candidates = true;
    await connection.setRemoteDescription(description);
    this.remote = description;
    for (const candidate of this.#early.splice(0)) await this.#add(candidate);
    if (isOffer) await this.#apply(await connection.createAnswer());
    await this.#offerIfWanted();
  }

  async #apply(description: Description): Promise<void> {
    const { connection } = this;
    const held: (Candidate | null)[] = this.#held = [];
    this.#described = description;
    try {
      await connection.setLocalDescription(description);
      this.#options.send({ description });
    } finally {
      this.#held = undefined;
    }
    for (const candidate of held) this.#options.send({ candidate });
  }

  async #add(candidate: Candidate | null): Promise<void> {
    if (this.#ignored) return;
    if (candidate) this.candidates = true;
    if (!this.remote) {
      if (this.#early.length < MAX_EARLY) this.#early.push(candidate);
      return;
    }
    // The end of candidates needs no word: implementations differ in how they take it, and all find out.
    if (candidate) await this.connection.addIceCandidate(candidate);
  }
}

function pick({ candidate, sdpMid, sdpMLineIndex, usernameFragment }: Candidate): Candidate {
  return {
    // Some write the name of the line before it, which browsers don't take.
    candidate: candidate.replace(/^a=/, ""),
    sdpMid: sdpMid ?? null,
    sdpMLineIndex: sdpMLineIndex ?? null,
    usernameFragment: usernameFragment ?? null,
  };
}

/** What identifies the other side's end of a connection: a new connection has another (RFC 8122). */
export function fingerprint(description: Description | undefined): string | undefined {
  return /^a=fingerprint:\S+ +(\S+)/m.exec(description?.sdp ?? "")?.[1];
}
