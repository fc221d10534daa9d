import { timingSafeEqual } from "node:crypto";
import type { GoneReason } from "../protocol/codes.ts";
import type { Account } from "../limits/accounts.ts";
import type { RoomLimits } from "../limits/limits.ts";
import { addressText, makeAddress } from "../protocol/address.ts";
import type { JoinClaim, RoomEvents, RoomStore, Standing } from "./store.ts";

interface Member<P> extends Standing {
  peer: P;
  readonly room: Room<P>;
  /** It came with a claim to have held the address since then. */
  readonly claimed: boolean;
  readonly info?: string | undefined;
}

interface Room<P> {
  readonly name: string;
  /** In the order in which they joined. */
  readonly members: Set<Member<P>>;
  /**
   * Whose room it is: the eldest member's. At first that is the founder's; when he goes, the next takes it over,
   * even beyond what his account allows. So nobody pays for a room in which he isn't, which others could keep alive
   * on his account for ever, and none is free for whoever lets a stranger found it.
   */
  owner: Account;
}

/** The rooms of one process. Every command is carried out, and its events sent, before it returns. */
export class MemoryStore<P> implements RoomStore<P> {
  readonly #events: RoomEvents<P>;
  readonly #limits: RoomLimits;
  readonly #rooms = new Map<string, Room<P>>();
  /** By address. */
  readonly #members = new Map<string, Member<P>>();
  readonly #held = new Map<P, Set<Member<P>>>();

  readonly #accountOf: (peer: P) => Account;

  constructor(events: RoomEvents<P>, limits: RoomLimits, accountOf: (peer: P) => Account) {
    this.#events = events;
    this.#limits = limits;
    this.#accountOf = accountOf;
  }

  join(peer: P, ident: string, name: string, claim: JoinClaim = {}): void {
    const events = this.#events;
    const refuse = (code: Parameters<typeof events.refused>[1]) =>
      events.refused(peer, code, "join", [ident, name]);

    const text = addressText(name, ident);
    const taken = this.#members.get(text);
    if (taken !== undefined && !mayReplace(taken, peer, claim)) return refuse("ident-taken");
    const held = this.#held.get(peer);
    if (held !== undefined && held.size >= this.#limits.maxAddresses) return refuse("too-many-addresses");
    const account = this.#accountOf(peer);
    while (account.full("addresses")) {
      if (!events.crowded(peer, "addresses", [])) return refuse("too-many-addresses");
    }
    const former = this.#members.get(text);
    if (former !== undefined) this.#end(former, "replaced");
    let room = this.#rooms.get(name);
    while (room !== undefined && room.members.size >= this.#limits.maxRoomPeers) {
      if (!events.crowded(peer, "room", peersOf(room))) return refuse("room-full");
      room = this.#rooms.get(name);
    }
    if (room === undefined) {
      while (this.#rooms.size >= this.#limits.maxRooms || account.full("rooms")) {
        if (!events.crowded(peer, "rooms", [])) return refuse("unavailable");
      }
      room = { name, members: new Set(), owner: account };
      account.take("rooms");
      this.#rooms.set(name, room);
    }

    const { proof, since, info } = claim;
    const newcomer: Member<P> = {
      ...makeAddress(text),
      peer,
      room,
      proof,
      since: since ?? Date.now(),
      claimed: since !== undefined,
      info,
    };
    events.joined(peer, newcomer, room.members.size);
    for (const member of room.members) {
      events.introduced(member.peer, member, newcomer, false, info);
      events.introduced(peer, newcomer, member, true, member.info);
    }
    account.take("addresses");
    this.#members.set(text, newcomer);
    room.members.add(newcomer);
    if (held === undefined) this.#held.set(peer, new Set([newcomer]));
    else held.add(newcomer);
  }

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
      const [eldest] = member.room.members;
      if (eldest !== member) continue;
      giver.giveBack("rooms");
      taker.take("rooms");
      member.room.owner = taker;
    }
    return true;
  }

  end(address: string, reason: "expired" | "removed"): boolean {
    const member = this.#members.get(address);
    if (member === undefined) return false;
    this.#end(member, reason);
    return true;
  }

  rooms(after: string, limit: number): ReturnType<RoomStore<P>["rooms"]> {
    const names = [...this.#rooms.keys()].filter((name) => name > after).sort().slice(0, limit);
    return Promise.resolve(
      names.map((room) => ({ room, peers: this.#rooms.get(room)!.members.size })),
    );
  }

  members(room: string, after: string, limit: number): ReturnType<RoomStore<P>["members"]> {
    const members = [...this.#rooms.get(room)?.members ?? []].map(({ text, since, peer }) => ({
      ident: text.slice(room.length + 1),
      since,
      peer,
    }));
    return Promise.resolve(
      members.filter(({ ident }) => ident > after).sort((a, b) => a.ident < b.ident ? -1 : 1).slice(0, limit),
    );
  }

  standings(peer: P): readonly Standing[] {
    return [...this.#held.get(peer) ?? []];
  }

  leave(peer: P, address: string): void {
    const member = this.#members.get(address);
    if (member === undefined || member.peer !== peer) {
      return this.#events.refused(peer, "not-a-member", "leave", [address]);
    }
    this.#release(member);
    this.#events.left(peer, member);
    this.#tellGone(member, "left");
  }

  signal(peer: P, from: string, to: string, tail: string): void {
    const sender = this.#members.get(from);
    if (sender === undefined || sender.peer !== peer) {
      return this.#events.refused(peer, "not-a-member", "signal", [from, to]);
    }
    const receiver = this.#members.get(to);
    if (receiver === undefined || receiver.room !== sender.room) {
      return this.#events.refused(peer, "no-such-peer", "signal", [from, to]);
    }
    this.#events.signalled(receiver.peer, receiver, sender, tail);
  }

  remove(peer: P, reason: GoneReason): void {
    const held = this.#held.get(peer);
    if (held === undefined) return;
    this.#held.delete(peer);
    // All addresses first: nothing is told to an address whose holder is no longer there.
    for (const member of held) this.#free(member);
    for (const member of held) this.#tellGone(member, reason);
  }

  counts(): { rooms: number; addresses: number } {
    return { rooms: this.#rooms.size, addresses: this.#members.size };
  }

  holds(peer: P, address: string): boolean {
    return this.#members.get(address)?.peer === peer;
  }

  #end(member: Member<P>, reason: "replaced" | "expired" | "removed"): void {
    const held = this.#release(member);
    this.#events.ended(member.peer, member, reason, held);
    this.#tellGone(member, reason);
  }

  /** Frees one address of a peer that may have others, and returns how many. */
  #release(member: Member<P>): number {
    this.#free(member);
    const held = this.#held.get(member.peer)!;
    held.delete(member);
    if (held.size === 0) this.#held.delete(member.peer);
    return held.size;
  }

  #free(member: Member<P>): void {
    const { room } = member;
    this.#members.delete(member.text);
    room.members.delete(member);
    this.#accountOf(member.peer).giveBack("addresses");
    const [eldest] = room.members;
    if (eldest === undefined) this.#rooms.delete(room.name);
    const owner = eldest && this.#accountOf(eldest.peer);
    if (owner === room.owner) return;
    room.owner.giveBack("rooms");
    if (owner === undefined) return;
    owner.take("rooms");
    room.owner = owner;
  }

  #tellGone(departed: Member<P>, reason: GoneReason): void {
    for (const member of departed.room.members) this.#events.gone(member.peer, member, departed, reason);
  }
}

function* peersOf<P>(room: Room<P>): Iterable<P> {
  for (const { peer } of room.members) yield peer;
}

/** A peer does not replace itself: that it holds the address already is more likely a mistake. */
function mayReplace<P>(former: Member<P>, peer: P, { proof, since }: JoinClaim): boolean {
  if (former.peer === peer) return false;
  if (since !== undefined && (!former.claimed || former.since < since)) return true;
  return proof !== undefined && former.proof !== undefined && timingSafeEqual(proof, former.proof);
}
