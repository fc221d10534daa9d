/** Who is in which room, as far as this process knows, and what each client has taken of its account for it. */

import { timingSafeEqual } from "node:crypto";
import type { Account } from "../limits/accounts.ts";
import type { RoomLimits } from "../limits/limits.ts";
import type { GoneReason } from "../protocol/codes.ts";
import type { JoinClaim, RoomEvents, Route, Standing } from "./store.ts";

/** One that holds an address. */
export interface Member<P, S = undefined> extends Standing {
  /** Of this process; `undefined` where it is not, or not any more. */
  peer: P | undefined;
  /** Whether it is, or was, of this process. */
  readonly own: boolean;
  readonly room: Room<P, S>;
  /** What a store knows of it besides. */
  readonly more: S;
  /** It came with a claim to have held the address since then. */
  readonly claimed: boolean;
  readonly info?: string | undefined;
}

export interface Room<P, S = undefined> {
  readonly name: string;
  /** In the order in which they joined. */
  readonly members: Set<Member<P, S>>;
  /** How many of them are, or were, of this process. */
  own: number;
  /**
   * Whose room it is: that of the eldest member of this process. At first that is the founder; when he goes, the next
   * takes it over, even beyond what his account allows. So nobody pays for a room in which he isn't, which others
   * could keep alive on his account for ever, and none is free for whoever lets a stranger found it.
   */
  owner: Account | undefined;
}

/** Rooms are there for as long as a member of this process is in them, be it one whose peer is gone. */
export class Roster<P, S = undefined> {
  readonly #limits: RoomLimits;
  readonly #rooms = new Map<string, Room<P, S>>();
  readonly #held = new Map<P, Set<Member<P, S>>>();
  readonly #accountOf: (peer: P) => Account;
  #locals = 0;
  /** By address. */
  readonly members = new Map<string, Member<P, S>>();

  constructor(limits: RoomLimits, accountOf: (peer: P) => Account) {
    this.#limits = limits;
    this.#accountOf = accountOf;
  }

  get rooms(): ReadonlyMap<string, Room<P, S>> {
    return this.#rooms;
  }

  heldBy(peer: P): ReadonlySet<Member<P, S>> | undefined {
    return this.#held.get(peer);
  }

  holds(peer: P, address: string): boolean {
    return this.members.get(address)?.peer === peer;
  }

  /** Rooms with members of this process, and how many peers of it are there as members. */
  counts(): { rooms: number; addresses: number } {
    return { rooms: this.#rooms.size, addresses: this.#locals };
  }

  /** Why a peer may not have one more address; `under way`: addresses that it will have soon. */
  fullFor(peer: P, underWay: number, events: RoomEvents<P>): "too-many-addresses" | undefined {
    const held = this.#held.get(peer)?.size ?? 0;
    if (held + underWay >= this.#limits.maxAddresses) return "too-many-addresses";
    const account = this.#accountOf(peer);
    while (account.full("addresses")) {
      if (!events.crowded(peer, "addresses", [])) return "too-many-addresses";
    }
    return undefined;
  }

  /** Why a peer may not found one more room; `under way`: rooms that there will be soon. */
  closedFor(peer: P, underWay: number, events: RoomEvents<P>): "unavailable" | undefined {
    const account = this.#accountOf(peer);
    while (this.#rooms.size + underWay >= this.#limits.maxRooms || account.full("rooms")) {
      if (!events.crowded(peer, "rooms", [])) return "unavailable";
    }
    return undefined;
  }

  /** Whether there is a room of that name that somebody pays for. */
  isOpen(name: string): boolean {
    return this.#rooms.get(name)?.owner !== undefined;
  }

  /** The room of that name, which is the peer's where it is nobody's. */
  enter(name: string, founder: P): Room<P, S> {
    let room = this.#rooms.get(name);
    if (room?.owner !== undefined) return room;
    const owner = this.#accountOf(founder);
    owner.take("rooms");
    room ??= { name, members: new Set(), own: 0, owner };
    room.owner = owner;
    this.#rooms.set(name, room);
    return room;
  }

  /** Into a room that is there. */
  add(member: Member<P, S>): void {
    const { peer, own, room, text } = member;
    this.members.set(text, member);
    room.members.add(member);
    if (own) room.own++;
    if (peer === undefined) return;
    this.#locals++;
    this.#accountOf(peer).take("addresses");
    const held = this.#held.get(peer);
    if (held === undefined) this.#held.set(peer, new Set([member]));
    else held.add(member);
  }

  /** Its address is free. */
  free(member: Member<P, S>): void {
    this.members.delete(member.text);
    const { room, own } = member;
    room.members.delete(member);
    if (own) room.own--;
    this.part(member);
    if (room.own > 0) return;
    this.#rooms.delete(room.name);
    for (const { text } of room.members) this.members.delete(text);
    room.members.clear();
  }

  /** It is no peer's of this process any more, but its address is not free yet. Returns how many its peer has left. */
  part(member: Member<P, S>): number {
    const { peer, room } = member;
    if (peer === undefined) return 0;
    member.peer = undefined;
    const held = this.#held.get(peer);
    held?.delete(member);
    if (held?.size === 0) this.#held.delete(peer);
    this.#locals--;
    this.#accountOf(peer).giveBack("addresses");
    this.#settle(room);
    return held?.size ?? 0;
  }

  /** Peers of this process that hold anything. */
  holders(): Iterable<P> {
    return this.#held.keys();
  }

  /** Whatever `from` holds, `to` holds from now on. False where the account of `to` has no room for it. */
  handOver(from: P, to: P): boolean {
    const held = this.#held.get(from);
    if (held === undefined) return true;
    const [giver, taker] = [this.#accountOf(from), this.#accountOf(to)];
    if (giver !== taker && taker.full("addresses")) return false;
    this.#held.delete(from);
    this.#held.set(to, held);
    for (const member of held) {
      member.peer = to;
      if (giver === taker) continue;
      giver.giveBack("addresses");
      taker.take("addresses");
      this.#settle(member.room);
    }
    return true;
  }

  /** The room is that of its eldest member whose peer is of this process. */
  #settle(room: Room<P, S>): void {
    let eldest: Account | undefined;
    for (const { peer } of room.members) {
      if (peer === undefined) continue;
      eldest = this.#accountOf(peer);
      break;
    }
    if (eldest !== room.owner) {
      room.owner?.giveBack("rooms");
      eldest?.take("rooms");
      room.owner = eldest;
    }
  }
}

/** Introduces a newcomer and all members of its room to each other. It is not among them yet. */
export function introduce<P, S>(newcomer: Member<P, S>, events: RoomEvents<P>): void {
  for (const member of newcomer.room.members) introducePair(member, newcomer, events);
}

/** See `RoomStore.route`. */
export function route<P, S>(
  { members }: Roster<P, S>,
  peer: P,
  from: string,
  to: string,
): Route<P> | undefined {
  const [sender, receiver] = [members.get(from), members.get(to)];
  return sender?.peer === peer && receiver !== undefined && receiver.room === sender.room
    ? { sender, receiver }
    : undefined;
}

/** See `RoomStore.introduceAnew`. `isEarlier`: whether the first of two has joined before the second. */
export function introduceAnew<P, S>(
  { members }: Roster<P, S>,
  [one, other]: readonly [string, string],
  isEarlier: (one: Member<P, S>, other: Member<P, S>) => boolean,
  events: RoomEvents<P>,
): boolean {
  const [first, second] = [members.get(one), members.get(other)];
  if (first?.peer === undefined || second?.peer === undefined || first.room !== second.room) return false;
  if (isEarlier(first, second)) introducePair(first, second, events);
  else introducePair(second, first, events);
  return true;
}

/** The later one makes the offer. */
export function introducePair<P, S>(earlier: Member<P, S>, later: Member<P, S>, events: RoomEvents<P>): void {
  if (earlier.peer !== undefined) events.introduced(earlier.peer, earlier, later, false, later.info);
  if (later.peer !== undefined) events.introduced(later.peer, later, earlier, true, earlier.info);
}

export function tellGone<P, S>(departed: Member<P, S>, reason: GoneReason, events: RoomEvents<P>): void {
  for (const member of departed.room.members) {
    if (member.peer !== undefined) events.gone(member.peer, member, departed, reason);
  }
}

/** Peers of this process in a room. */
export function* peersOf<P, S>(room: Room<P, S>): Iterable<P> {
  for (const { peer } of room.members) if (peer !== undefined) yield peer;
}

/** A peer does not replace itself: that it holds the address already is more likely a mistake. */
export function mayReplace<P, S>(former: Member<P, S>, peer: P, { proof, since }: JoinClaim): boolean {
  if (former.peer === peer) return false;
  if (since !== undefined && (!former.claimed || former.since < since)) return true;
  return proof !== undefined && former.proof !== undefined && timingSafeEqual(proof, former.proof);
}
