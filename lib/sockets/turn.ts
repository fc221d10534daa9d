/** What comes in one turn of the event loop, taken in together. */

import { checkOfHead, numberSignal } from "../protocol/codec.ts";
import type { Traffic } from "./traffic.ts";

export type Message = string | ArrayBuffer;

/** Who takes in messages. */
export interface Taker {
  /** Whether a message of its may wait for others: it will get no answer, and its number is going to be of use. */
  mayWait(message: Message): message is string;
  /**
   * @param number see `numberSignal`; or `NOT_NUMBERED`
   * @param check what `checkOfHead` said behind that
   */
  take(message: Message, number: number, check: number): void;
}

/** A WebSocket, as far as it is sent to. */
export type Sink = Pick<WebSocket, "send" | "bufferedAmount">;

/** In place of a number that nobody has looked for. */
export const NOT_NUMBERED = -2;

/** Messages that are taken in together, and their length in UTF-16 units: about what stays near a processor. */
const MOST = { messages: 64, units: 65_536 };
/** Texts that are sent together. */
const MOST_TEXTS = 64;
/** Of so many messages the time is taken of one: to ask the clock for each would cost a hundredth of relaying it. */
const MESSAGES_PER_SAMPLE = 64;

/**
 * Signals that the runtime has at hand at the same time are not carried out one by one, but step by step: all are
 * numbered, then all are taken in, then all is sent that is to be sent. So the code of a step is fetched from memory once
 * for many of them; that of the last goes deep into the kernel. One by itself is done with at once. Of several the first
 * waits for those behind it, which would have waited for it.
 *
 * What is to have an answer can't wait: the runtime reads on meanwhile, and where it comes upon the client's close frame
 * nothing more goes out.
 *
 * Who asks what waits in a socket, closes it or cuts it, has to `release` before what is held back.
 */
export class Turn {
  readonly #traffic: Traffic;
  readonly #now: () => number;
  readonly #takers: Taker[] = [];
  readonly #messages: string[] = [];
  readonly #numbers: number[] = [];
  readonly #checks: number[] = [];
  #units = 0;
  readonly #sinks: Sink[] = [];
  readonly #texts: string[] = [];
  readonly #later: (() => void)[] = [];
  #holds = false;
  #count = 0;
  /** When that message came of which the time is taken. */
  #since: number | undefined;
  readonly #end = () => this.#takeAll();

  /** @param now milliseconds */
  constructor(traffic: Traffic, now: () => number) {
    this.#traffic = traffic;
    this.#now = now;
  }

  /** Has a message taken in, in the order in which they come, and before the runtime waits for others. */
  add(taker: Taker, message: Message): void {
    const waits = taker.mayWait(message);
    if (!waits) this.#takeAll();
    if (++this.#count % MESSAGES_PER_SAMPLE === 0) this.#since = this.#now();
    if (!waits) {
      taker.take(message, NOT_NUMBERED, 0);
      return this.#observe();
    }
    // Those that have come with it stand in the queue of microtasks already.
    if (this.#takers.length === 0) queueMicrotask(this.#end);
    this.#messages.push(message);
    this.#units += message.length;
    if (this.#takers.push(taker) >= MOST.messages || this.#units >= MOST.units) this.#takeAll();
  }

  /** Sends a text: at once, but while messages are taken in behind all that are. */
  send(sink: Sink, text: string): void {
    if (!this.#holds) return sink.send(text);
    this.#sinks.push(sink);
    if (this.#texts.push(text) >= MOST_TEXTS) this.release();
  }

  /** Sends what is held back. */
  release(): void {
    try {
      for (let i = 0; i < this.#texts.length; i++) this.#sinks[i]!.send(this.#texts[i]!);
    } finally {
      this.#sinks.length = this.#texts.length = 0;
    }
  }

  /** Does something when the caller's stack is done, and before messages are taken in that come behind these. */
  later(what: () => void): void {
    if (this.#holds) this.#later.push(what);
    else queueMicrotask(what);
  }

  #takeAll(): void {
    const takers = this.#takers;
    const messages = this.#messages;
    const { length } = takers;
    if (length === 0) return;
    for (let i = 0; i < length; i++) {
      this.#numbers[i] = numberSignal(messages[i]!);
      this.#checks[i] = checkOfHead();
    }
    this.#holds = true;
    try {
      for (let i = 0; i < length; i++) takers[i]!.take(messages[i]!, this.#numbers[i]!, this.#checks[i]!);
      // One may bring about another, which the loop comes to as well.
      for (const what of this.#later) what();
    } finally {
      this.#holds = false;
      takers.length =
        messages.length =
        this.#later.length =
        this.#units =
          0;
      this.release();
    }
    this.#observe();
  }

  #observe(): void {
    if (this.#since === undefined) return;
    this.#traffic.onTaken?.(this.#now() - this.#since);
    this.#since = undefined;
  }
}

/** In UTF-16 units or bytes. */
export function sizeOf(message: Message): number {
  return typeof message === "string" ? message.length : message.byteLength;
}
