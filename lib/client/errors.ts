// SPDX-License-Identifier: MIT

/**
 * Stable words for programs: those of the protocol's errors (`ident-taken`, `room-full`, …), and
 *
 * - `aborted`: by the `AbortSignal`, or by `leave()`
 * - `unreachable`: the server did not answer in time
 * - `closed`: the server closed the connection for good
 * - `replaced`: another client took the address over with the same key
 * - `not-version-3`: the server speaks an older version of the protocol
 * - `disconnected`: the connection to the server is lost; it comes back by itself
 * - `not-supported`: something that the runtime lacks was not passed in
 * - `too-large`, `queue-full`, `channel-closed`: a message could not be sent
 * - `bad-message`: another peer sent what can't be read
 */
export class SignalError extends Error {
  override name = "SignalError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** @internal What the runtime has not. */
export function lacks(name: string): SignalError {
  return new SignalError("not-supported", `This runtime has no ${name}: pass one in as an option.`);
}

/** Dispatched as `error` where nobody waits for an answer that could carry it. */
export interface ErrorEvent extends Event {
  readonly error: SignalError;
}
