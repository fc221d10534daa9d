/**
 * The contract between sessions and whatever keeps the rooms: memory today, a cluster's database some day.
 *
 * Commands go down and return nothing; every outcome, a refusal too, comes back as an event. So a store may
 * carry a command out at once or later.
 *
 * Ordering: the commands of one peer take effect in the order in which they were given. The events of one
 * peer are sent in the order in which they came to be; all events of one command come before those of the
 * next that touches the same room. Atomicity: a join or a departure is seen by all members of a room at the
 * same point of their streams of events, so that for every pair there is one `introduced` on each side, and
 * later one `gone` on the side that stays.
 */

import type { Address } from "../protocol/address.ts";
import type { ErrorCode, GoneReason } from "../protocol/codes.ts";

/** `P` is what stands for a peer, a session; the store only compares it. */
export interface RoomStore<P> {
  /**
   * Takes the address and introduces it to all members in the order in which they joined; the newcomer is the
   * initiator of every pair. Events: `joined`, then for each member `introduced` to the member and `introduced`
   * to the newcomer. Refused with `ident-taken`, `room-full`, `too-many-addresses`, `unavailable`.
   *
   * An address that another peer holds is taken over where both have given the same `proof`: then `replaced` comes
   * first, to the former holder, and `gone` to every member that stays.
   *
   * @param proof the SHA-256 of the key that the peer gave; compared in constant time
   */
  join(peer: P, ident: string, room: string, proof?: Uint8Array): void;

  /** Frees the address. Events: `left`, then `gone` to every member that stays. Refused with `not-a-member`. */
  leave(peer: P, address: string): void;

  /**
   * Carries `tail` to the holder of `to`. Event: `signalled`. Refused with `not-a-member` where the peer does
   * not hold `from`, with `no-such-peer` where nobody holds `to` in the same room.
   */
  signal(peer: P, from: string, to: string, tail: string): void;

  /** Whether the peer holds the address. */
  holds(peer: P, address: string): boolean;

  /** Frees all addresses of a peer that is no longer there. Events: `gone` to every member that stays. */
  remove(peer: P, reason: GoneReason): void;

  /** How many rooms have members, and how many members there are. */
  counts(): { readonly rooms: number; readonly addresses: number };
}

/** What a store tells about `peer`, who holds `own`. A receiver must not call the store back from within. */
export interface RoomEvents<P> {
  /** `others`: how many members the peer is about to be introduced to. */
  joined(peer: P, own: Address, others: number): void;
  introduced(peer: P, own: Address, other: Address, initiator: boolean): void;
  signalled(peer: P, own: Address, other: Address, tail: string): void;
  left(peer: P, own: Address): void;
  /** Somebody with the same proof has taken `own` over; `held` addresses are left to the peer. */
  replaced(peer: P, own: Address, held: number): void;
  gone(peer: P, own: Address, other: Address, reason: GoneReason): void;
  refused(peer: P, code: ErrorCode, call: "join" | "leave" | "signal", about: readonly string[]): void;
}
