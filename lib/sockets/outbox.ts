/** What waits to be read by one client. */

import { Buffer } from "node:buffer";
import { Backlog, type BacklogSpace } from "./backlog.ts";
import type { Sink, Turn } from "./turn.ts";

/** Who is told when a client reads too slowly. An object and not a function: there is one for each socket. */
export interface OutboxOwner {
  onOverflow(): void;
}

interface Watch {
  /** Bytes that would wait if nothing had gone out. */
  waiting: number;
  readonly since: number;
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
  readonly #turn: Turn;
  /** At least as many bytes as wait. */
  #upperBound = 0;
  /** Of a client for which something waited when it was last looked at: most have none. */
  #watch?: Watch;
  #open = true;
  /** Whether the socket is there. */
  #attached = true;
  /** Messages that were sent, as long as there is no backlog to count them. */
  #sent = 0;
  #backlog?: Backlog | undefined;
  #held?: string[] | undefined;

  /**
   * @param maxBytes as soon as more bytes than that wait, nothing more is sent
   * @param owner told once then, when the caller's stack is done: whoever sent to this client must not find the
   * rooms changed in the midst of its own work
   */
  constructor(sink: Sink, maxBytes: number, owner: OutboxOwner, turn: Turn) {
    this.#sink = sink;
    this.#maxBytes = maxBytes;
    this.#owner = owner;
    this.#turn = turn;
  }

  /** What can be sent once more; see `keep`. */
  get backlog(): Backlog | undefined {
    return this.#backlog;
  }

  /** Queues a text frame. Does nothing once the outbox is closed. */
  send(text: string): void {
    if (!this.#open) return;
    if (this.#held !== undefined) {
      this.#held.push(text);
      return;
    }
    if (!this.#attached) return this.#store(text);
    if (this.#backlog === undefined) this.#sent++;
    else this.#backlog.push(text);
    this.#put(text);
  }

  /**
   * Keeps what can't be sent. Sending would have made a copy of it; as it is it may be a part of a longer text, all of
   * which would stay in memory: this copies.
   */
  #store(text: string): void {
    this.#backlog!.push((" " + text).slice(1));
    if (this.#backlog!.stopped) this.#overflow();
  }

  /** Queues a text frame that has no number: see the protocol's section on resuming. */
  sendUnnumbered(text: string): void {
    if (this.#open) this.#put(text);
  }

  #put(text: string): void {
    const atMost = text.length * MAX_BYTES_PER_UNIT;
    this.#upperBound += atMost;
    if (this.#upperBound > this.#maxBytes) {
      this.#turn.release();
      const waiting = this.#sink.bufferedAmount;
      if (waiting > this.#maxBytes) return this.#overflow();
      this.#upperBound = waiting + atMost;
    }
    if (this.#watch !== undefined) this.#watch.waiting += Buffer.byteLength(text);
    this.#turn.send(this.#sink, text);
  }

  #overflow(): void {
    this.#open = false;
    this.#turn.later(() => this.#owner.onOverflow());
  }

  /** From now on what is sent is kept until the client says that it has seen it. */
  keep(most: number, space: BacklogSpace): void {
    this.#backlog ??= new Backlog(this.#sent, most, space);
  }

  /** The next message is the one behind this number. What was kept is forgotten. */
  countFrom(sent: number): void {
    this.#backlog?.clear();
    this.#backlog = undefined;
    this.#sent = sent;
  }

  /** What is sent waits, unnumbered, until `release`. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const text of held) this.send(text);
  }

  /** The socket is gone: what is sent is only kept. More than can be kept is an overflow. */
  detach(): void {
    this.#attached = false;
    this.#watch = undefined;
  }

  /**
   * Milliseconds for which nothing of what waits has gone out, as far as calls of this have seen: 0 at first, where
   * nothing waits, and where something has gone out since the last call.
   *
   * @param now milliseconds
   */
  stalledFor(now: number): number {
    const waiting = this.#sink.bufferedAmount;
    if (waiting === 0) this.#watch = undefined;
    else if (this.#watch === undefined || waiting < this.#watch.waiting) {
      this.#watch = { waiting, since: now };
    }
    return this.#watch === undefined ? 0 : now - this.#watch.since;
  }

  /** From now on nothing more is queued or kept; what waits still goes out. */
  close(): void {
    this.#open = false;
    this.#backlog?.clear();
    this.#backlog = undefined;
  }
}
