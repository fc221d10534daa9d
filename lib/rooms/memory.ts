import type { GoneReason } from "../protocol/codes.ts";
import type { Account } from "../limits/accounts.ts";
import type { RoomLimits } from "../limits/limits.ts";
import { addressText, makeAddress } from "../protocol/address.ts";
import {
  introduce,
  introduceAnew,
  mayReplace,
  type Member,
  peersOf,
  Roster,
  route,
  tellGone,
} from "./roster.ts";
import type { JoinClaim, RoomEvents, RoomStore, Route, Standing } from "./store.ts";

/** The rooms of one process. Every command is carried out, and its events sent, before it returns. */
export class MemoryStore<P> implements RoomStore<P> {
  readonly state = "up";
  readonly #events: RoomEvents<P>;
  readonly #limits: RoomLimits;
  readonly #roster: Roster<P>;

  constructor(events: RoomEvents<P>, limits: RoomLimits, accountOf: (peer: P) => Account) {
    this.#events = events;
    this.#limits = limits;
    this.#roster = new Roster(limits, accountOf);
  }

  join(peer: P, ident: string, name: string, claim: JoinClaim = {}): void {
    const events = this.#events;
    const roster = this.#roster;
    const refuse = (code: Parameters<typeof events.refused>[1]) =>
      events.refused(peer, code, "join", [ident, name]);

    const text = addressText(name, ident);
    const taken = roster.members.get(text);
    if (taken !== undefined && !mayReplace(taken, peer, claim)) return refuse("ident-taken");
    const full = roster.fullFor(peer, 0, events);
    if (full !== undefined) return refuse(full);
    const former = roster.members.get(text);
    if (former !== undefined) this.#end(former, "replaced");
    let room = roster.rooms.get(name);
    while (room !== undefined && room.members.size >= this.#limits.maxRoomPeers) {
      if (!events.crowded(peer, "room", peersOf(room))) return refuse("room-full");
      room = roster.rooms.get(name);
    }
    if (room === undefined) {
      const closed = roster.closedFor(peer, 0, events);
      if (closed !== undefined) return refuse(closed);
      room = roster.enter(name, peer);
    }

    const { proof, since, info } = claim;
    const newcomer: Member<P> = {
      ...makeAddress(text),
      peer,
      own: true,
      room,
      proof,
      since: since ?? Date.now(),
      claimed: since !== undefined,
      info,
      more: undefined,
    };
    events.joined(peer, newcomer, room.members.size);
    introduce(newcomer, events);
    roster.add(newcomer);
  }

  handOver(from: P, to: P): boolean {
    return this.#roster.handOver(from, to);
  }

  end(address: string, reason: "expired" | "removed"): boolean {
    const member = this.#roster.members.get(address);
    if (member === undefined) return false;
    this.#end(member, reason);
    return true;
  }

  rooms(after: string, limit: number): ReturnType<RoomStore<P>["rooms"]> {
    const { rooms } = this.#roster;
    const names = [...rooms.keys()].filter((name) => name > after).sort().slice(0, limit);
    return Promise.resolve(names.map((room) => ({ room, peers: rooms.get(room)!.members.size })));
  }

  members(room: string, after: string, limit: number): ReturnType<RoomStore<P>["members"]> {
    const members = [...this.#roster.rooms.get(room)?.members ?? []].map(({ text, since, peer }) => ({
      ident: text.slice(room.length + 1),
      since,
      peer,
    }));
    return Promise.resolve(
      members.filter(({ ident }) => ident > after).sort((a, b) => a.ident < b.ident ? -1 : 1).slice(0, limit),
    );
  }

  standings(peer: P): readonly Standing[] {
    return [...this.#roster.heldBy(peer) ?? []];
  }

  leave(peer: P, address: string): void {
    const member = this.#roster.members.get(address);
    if (member === undefined || member.peer !== peer) {
      return this.#events.refused(peer, "not-a-member", "leave", [address]);
    }
    this.#roster.free(member);
    this.#events.left(peer, member);
    tellGone(member, "left", this.#events);
  }

  signal(peer: P, from: string, to: string, tail: string): void {
    const { members } = this.#roster;
    const sender = members.get(from);
    if (sender === undefined || sender.peer !== peer) {
      return this.#events.refused(peer, "not-a-member", "signal", [from, to]);
    }
    const receiver = members.get(to);
    if (receiver === undefined || receiver.room !== sender.room) {
      return this.#events.refused(peer, "no-such-peer", "signal", [from, to]);
    }
    this.#events.signalled(receiver.peer!, receiver, sender, tail);
  }

  remove(peer: P, reason: GoneReason): void {
    const held = [...this.#roster.heldBy(peer) ?? []];
    // All addresses first: nothing is told to an address whose holder is no longer there.
    for (const member of held) this.#roster.free(member);
    for (const member of held) tellGone(member, reason, this.#events);
  }

  counts(): { rooms: number; addresses: number } {
    return this.#roster.counts();
  }

  route(peer: P, from: string, to: string): Route<P> | undefined {
    return route(this.#roster, peer, from, to);
  }

  introduceAnew(one: string, other: string): boolean {
    const isEarlier = (one: Member<P>, other: Member<P>) =>
      [...one.room.members].find((member) => member === one || member === other) === one;
    return introduceAnew(this.#roster, [one, other], isEarlier, this.#events);
  }

  holds(peer: P, address: string): boolean {
    return this.#roster.holds(peer, address);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #end(member: Member<P>, reason: "replaced" | "expired" | "removed"): void {
    const { peer } = member;
    const held = this.#roster.heldBy(peer!)!.size - 1;
    this.#roster.free(member);
    this.#events.ended(peer!, member, reason, held);
    tellGone(member, reason, this.#events);
  }
}
