/** Ways that signals have taken: those that come behind them need not be taken apart and looked up once more. */

import type { Route } from "../rooms/store.ts";
import type { Side } from "./ledger.ts";

export interface Track<P> extends Route<P> {
  readonly side: Side | undefined;
  /** Of what its signals have in front of their data; see `checkOfHead`. */
  readonly check: number;
  /** Where they have their data, and the comma in front of it. */
  readonly data: number;
}

/**
 * The tracks of all sockets of a server, by the number of how their signals begin; see `numberSignal`. Of two with the
 * same number the later one stays; where there are too many all begin anew. Those of members that are gone stay until
 * they are come upon or swept out. So nothing has to be kept with a socket, of which most wait for most of the time; and
 * no text is compared: to fetch what it has to be compared with from memory takes longer than all else that is done here.
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

  /** The track of signals that begin with what has these two numbers, where there is one. */
  find(number: number, check: number): Track<P> | undefined {
    const track = this.#tracks.get(number);
    return track?.check === check ? track : undefined;
  }

  /** Unless its signal spells addresses in a way of its own: of that there are many, and one for each pair will do. */
  keep(number: number, track: Track<P>): void {
    const { sender, receiver, data } = track;
    if (data !== sender.opening.length + receiver.quoted.length) return;
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
