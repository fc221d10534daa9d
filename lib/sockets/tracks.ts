/** Ways that signals have taken: those that come behind them need not be taken apart and looked up once more. */

import type { Route } from "../rooms/store.ts";
import type { Side } from "./ledger.ts";

export interface Track<P> extends Route<P> {
  readonly side: Side | undefined;
}

/**
 * The tracks of all sockets of a server, by the number of how their signals begin; see `numberSignal`. Of two with the
 * same number the later one stays; where there are too many all begin anew. Those of members that are gone stay until
 * they are come upon or swept out. So nothing has to be kept with a socket, of which most wait for most of the time; and
 * a track has no text of its own, but compares with what its members have, which is in the processor's cache already.
 */
export class Tracks<P> {
  readonly #most: number;
  readonly #tracks = new Map<number, Track<P>>();

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#tracks.size;
  }

  /** The track of a signal of that number, where there is one. */
  find(number: number, text: string): Track<P> | undefined {
    const track = this.#tracks.get(number);
    return track !== undefined && isOf(track, text) ? track : undefined;
  }

  /** Unless the signal spells its addresses in a way of its own. */
  keep(number: number, text: string, track: Track<P>): void {
    if (!isOf(track, text)) return;
    if (this.#tracks.size >= this.#most) this.#tracks.clear();
    this.#tracks.set(number, track);
  }

  forget(number: number): void {
    this.#tracks.delete(number);
  }

  /** Lets go of members that are gone, and of all that hangs on them. To be called every few seconds. */
  sweep(): void {
    for (const [number, track] of this.#tracks) if (hasEnded(track)) this.#tracks.delete(number);
  }
}

/** Whether nobody can go that way any more, or what goes there is not counted. */
export function hasEnded({ sender, receiver, side }: Track<unknown>): boolean {
  return sender.peer === undefined || receiver.peer === undefined || side?.ended === true;
}

/** Where a track's signals have their data, and the comma in front of it. */
export function dataOf({ sender, receiver }: Route<unknown>): number {
  return sender.opening.length + receiver.quoted.length;
}

/** A signal begins for its sender as it would begin for a receiver of that address. */
function isOf({ sender: { opening }, receiver: { quoted } }: Route<unknown>, text: string): boolean {
  // Half as dear as text.startsWith: a part of a string is no copy.
  return text.slice(0, opening.length) === opening &&
    text.slice(opening.length, opening.length + quoted.length) === quoted;
}
