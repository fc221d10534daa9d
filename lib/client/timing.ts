// SPDX-License-Identifier: MIT

/** Waits and their bounds. All in milliseconds. */
export interface Timing {
  /** For the handshake and the welcome of one attempt to reach the server. */
  connectTimeout: number;
  /** For the first attempts to reach the server and to join, all together. */
  joinTimeout: number;
  /** The first pause before coming back to the server; it doubles up to `retryMost`. */
  retryLeast: number;
  retryMost: number;
  /** The server is asked for a sign of life after so long a silence, and has `pongTimeout` to give it. */
  pingInterval: number;
  pongTimeout: number;
  /** For a link, from the introduction or the start of a session on. */
  linkTimeout: number;
  /** How long a link that was interrupted may mend itself before its ICE is restarted. */
  interruptedTimeout: number;
  /** How long a peer that has lost both the server and its link is expected back before it counts as left. */
  returnTimeout: number;
  /** So often is a link that was lost begun anew before it has failed. */
  sessions: number;
}

export const TIMING: Readonly<Timing> = {
  connectTimeout: 10_000,
  joinTimeout: 30_000,
  retryLeast: 500,
  retryMost: 30_000,
  pingInterval: 20_000,
  pongTimeout: 10_000,
  linkTimeout: 30_000,
  interruptedTimeout: 3000,
  returnTimeout: 10_000,
  sessions: 5,
};

/** A pause of which half is left to chance, so that a crowd does not come back at once. */
export function backoff(attempt: number, { retryLeast, retryMost }: Timing): number {
  return Math.min(retryMost, retryLeast * 2 ** attempt) * (0.5 + Math.random() / 2);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
