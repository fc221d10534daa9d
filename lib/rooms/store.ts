/**
 * The contract between sessions and whatever keeps the rooms: the memory of one process, or an engine that several
 * nodes share.
 *
 * Commands go down, and every outcome, a refusal too, comes back as an event. A store may carry a command out at once
 * or later. Each `join` and each `leave` has one outcome; where that comes later the command returns a promise that
 * resolves behind it, and its peer gives no other command until then. A peer that is removed meanwhile hears nothing
 * any more, and what it had begun is undone.
 *
 * Ordering: the commands of one peer take effect in the order in which they were given. The events of one
 * peer are sent in the order in which they came to be; all events of one command come before those of the
 * next that touches the same room. Atomicity: a join or a departure is seen by all members of a room at the
 * same point of their streams of events, so that for every pair there is one `introduced` on each side, and
 * later one `gone` on the side that stays.
 */

import type { Address } from "../protocol/address.ts";
import type { ErrorCode, GoneReason } from "../protocol/codes.ts";

/** What a peer joins with. */
export interface JoinClaim {
  /** The SHA-256 of the key that the peer gave; compared in constant time. */
  readonly proof?: Uint8Array | undefined;
  /**
   * Milliseconds since 1970: the peer has held the address since then, in a former life of the server or on another
   * node. It goes before any that has only joined here, and before older claims.
   */
  readonly since?: number | undefined;
  /** JSON that the server vouches for, told to whoever is introduced to the member. */
  readonly info?: string | undefined;
}

/** A member as its own session sees it. */
export interface Standing extends Address {
  readonly proof?: Uint8Array | undefined;
  /** Milliseconds since 1970: it holds the address since then. */
  readonly since: number;
}

/** `P` is what stands for a peer, a session; the store only compares it. */
export interface RoomStore<P> {
  /**
   * Takes the address and introduces it to all members in the order in which they joined; the newcomer is the
   * initiator of every pair. Events: `joined`, then for each member `introduced` to the member and `introduced`
   * to the newcomer. Refused with `ident-taken`, `room-full`, `too-many-addresses`, `unavailable`: there can't be another
   * room, or the other nodes can't be reached.
   *
   * An address that another peer holds is taken over where both have given the same `proof`, or by a `since` that
   * counts more: then `replaced` comes first, to the former holder, and `gone` to every member that stays.
   */
  join(peer: P, ident: string, room: string, claim?: JoinClaim): Later;

  /**
   * Whatever `from` holds, `to` holds from now on, as if it had been so all the time: there is no event. False, and
   * nothing has changed, where the account of `to` has no room for it.
   */
  handOver(from: P, to: P): boolean;

  /** Frees the address. Events: `left`, then `gone` to every member that stays. Refused with `not-a-member`. */
  leave(peer: P, address: string): Later;

  /**
   * Carries `tail` to the holder of `to`. Event: `signalled`. Refused with `not-a-member` where the peer does
   * not hold `from`, with `no-such-peer` where nobody holds `to` in the same room, with `unavailable` where its node
   * can't be reached.
   */
  signal(peer: P, from: string, to: string, tail: string): void;

  /**
   * Two members of one room, of which `peer` holds the first: the way that a signal takes at the moment. `undefined` where
   * there are no such two. `receiver.peer` is `undefined` where it is of another node, or not there any more.
   */
  route(peer: P, from: string, to: string): Route<P> | undefined;

  /**
   * Introduces two members to each other once more, the later one as the initiator. Events: `introduced` to both. False
   * where not both are of this process, and members of one room.
   */
  introduceAnew(one: string, other: string): boolean;

  /** Whether the peer holds the address. */
  holds(peer: P, address: string): boolean;

  /** What the peer holds, in the order in which it joined. */
  standings(peer: P): readonly Standing[];

  /**
   * Takes one address away from whoever holds it. Events: `ended` to the holder, then `gone` to every member that
   * stays. False where nobody holds it; where another node has to be asked, later.
   */
  end(address: string, reason: "expired" | "removed"): boolean | Promise<boolean>;

  /** Frees all addresses of a peer that is no longer there. Events: `gone` to every member that stays. */
  remove(peer: P, reason: GoneReason): void;

  /**
   * Rooms in the order of their names, from behind `after` on, `limit` at most; and how many members each has. Rejects
   * with `Unreachable` where the other nodes can't be asked; so does `members`.
   */
  rooms(after: string, limit: number): Promise<readonly { readonly room: string; readonly peers: number }[]>;

  /** Members of a room in the order of their idents, likewise; none where there is no such room. */
  members(
    room: string,
    after: string,
    limit: number,
  ): Promise<readonly ListedMember<P>[]>;

  /** How many rooms have members of this process, and how many of those there are. */
  counts(): { readonly rooms: number; readonly addresses: number };

  /** Whether the other nodes can be reached; for how many milliseconds not, `Infinity` where they never were. */
  readonly state: "up" | { readonly cutOff: number };

  /** Tells the others that nobody is here any more. To be called when all peers are removed; takes a few seconds at most. */
  close(): Promise<void>;
}

/** A signal may go that way for as long as `sender.peer` is the same, and `receiver.peer` anybody. */
export interface Route<P> {
  readonly sender: Address & { readonly peer: P | undefined };
  readonly receiver: Address & { readonly peer: P | undefined };
}

/** Of a command whose outcome comes later: resolves behind it. */
export type Later = void | Promise<void>;

export interface ListedMember<P> {
  readonly ident: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Where it is of this process; else the name of its node. */
  readonly peer?: P | undefined;
  readonly node?: string;
}

/** The other nodes can't be asked at the moment. */
export class Unreachable extends Error {
  override name = "Unreachable";
}

/** What a store tells about `peer`, who holds `own`. A receiver must not call the store back from within. */
export interface RoomEvents<P> {
  /** `others`: how many members the peer is about to be introduced to. */
  joined(peer: P, own: Address, others: number): void;
  /** `info`: what the server vouches for of the other, as JSON. */
  introduced(peer: P, own: Address, other: Address, initiator: boolean, info?: string): void;
  /** `away`: the other is of another node. */
  signalled(peer: P, own: Address, other: Address, tail: string, away?: boolean): void;
  left(peer: P, own: Address): void;
  /** Somebody has taken `own` over, or it was taken away; `held` addresses are left to the peer. */
  ended(peer: P, own: Address, reason: "replaced" | "expired" | "removed", held: number): void;
  gone(peer: P, own: Address, other: Address, reason: GoneReason): void;
  /** The peer does not hold these any more, nor any other, and may come back: the others have been told that it is gone. */
  evicted(peer: P, held: readonly Address[]): void;
  /**
   * A newcomer finds no place among these members, or in the account of `peer` where there are none given: true where
   * one that is not really there has given way, by `remove`.
   */
  crowded(peer: P, what: "room" | "rooms" | "addresses", members: Iterable<P>): boolean;
  refused(peer: P, code: ErrorCode, call: "join" | "leave" | "signal", about: readonly string[]): void;
}
