/** What has gone through all sockets of a server since its start: plain numbers, for each message is counted. */

import { Tally } from "../runtime/tally.ts";

/** Of so many messages the time is taken of one: to ask the clock for each would cost a hundredth of relaying it. */
const MESSAGES_PER_SAMPLE = 64;

export class Traffic {
  /** Messages of clients, and their length in UTF-16 units: in bytes, where they are ASCII or came as bytes. */
  messagesIn = 0;
  unitsIn = 0;
  /** Messages to clients, likewise. */
  messagesOut = 0;
  unitsOut = 0;
  /** Signals that were handed to their receiver here. */
  relayed = 0;
  /** Calls by their kind; signals, of which there are most, by themselves. */
  signals = 0;
  readonly calls: Tally = new Tally();
  /** Signals that reached nobody, by the code of their refusal. */
  readonly dropped: Tally = new Tally();
  /** Bytes that wait for clients, in all and for the one for whom most do, when they were last looked at. */
  waiting = 0;
  mostWaiting = 0;
  /** Told of the milliseconds that a message took from its arrival to the last that was sent for it; see `sampled`. */
  onTaken: ((ms: number) => void) | undefined;

  /** Whether the time is to be taken of the message that was counted last. */
  get sampled(): boolean {
    return this.messagesIn % MESSAGES_PER_SAMPLE === 0;
  }
}
