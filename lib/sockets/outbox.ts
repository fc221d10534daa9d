/** What waits to be read by one client. */

/** A WebSocket, as far as an outbox needs it. */
export type Sink = Pick<WebSocket, "send" | "bufferedAmount">;

/** Who is told when a client reads too slowly. An object and not a function: there is one for each socket. */
export interface OutboxOwner {
  onOverflow(): void;
}

/** UTF-16 code units become at most three bytes each in UTF-8. */
const MAX_BYTES_PER_UNIT = 3;

/**
 * The send queue of one socket, with a bound in bytes. The bytes themselves wait in the runtime; asking it how
 * many there are costs a call, so this asks only once the texts sent since the last answer could have
 * reached the bound.
 */
export class Outbox {
  readonly #sink: Sink;
  readonly #maxBytes: number;
  readonly #owner: OutboxOwner;
  /** At least as many bytes as wait. */
  #upperBound = 0;
  /** UTF-16 code units that were ever sent. */
  #sent = 0;
  #open = true;

  /**
   * @param maxBytes as soon as more bytes than that wait, nothing more is sent
   * @param owner told once then, when the caller's stack is done: whoever sent to this client must not find the
   * rooms changed in the midst of its own work
   */
  constructor(sink: Sink, maxBytes: number, owner: OutboxOwner) {
    this.#sink = sink;
    this.#maxBytes = maxBytes;
    this.#owner = owner;
  }

  /** Queues a text frame. Does nothing once the outbox is closed. */
  send(text: string): void {
    if (!this.#open) return;
    const atMost = text.length * MAX_BYTES_PER_UNIT;
    this.#upperBound += atMost;
    if (this.#upperBound > this.#maxBytes) {
      const waiting = this.#sink.bufferedAmount;
      if (waiting > this.#maxBytes) {
        this.#open = false;
        queueMicrotask(() => this.#owner.onOverflow());
        return;
      }
      this.#upperBound = waiting + atMost;
    }
    this.#sent += text.length;
    this.#sink.send(text);
  }

  /**
   * A number that grows only where something of what waited has gone out since the last time; `undefined` where
   * nothing waits.
   */
  progress(): number | undefined {
    const waiting = this.#sink.bufferedAmount;
    return waiting === 0 ? undefined : this.#sent - waiting;
  }

  /** From now on nothing more is queued; what waits still goes out. */
  close(): void {
    this.#open = false;
  }
}
