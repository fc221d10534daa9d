/** What has gone through all sockets of a server since its start: plain numbers, for each message is counted. */

import { Tally } from "../runtime/tally.ts";

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
  /** Told of the milliseconds that some messages took, from their arrival to the last that was sent for them. */
  onTaken: ((ms: number) => void) | undefined;
}
