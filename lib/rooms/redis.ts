/**
 * Rooms that several nodes share by way of a Redis or Valkey.
 *
 * What happens in a room is put in order by the engine: a script changes it and publishes the outcome to the inbox of
 * every node that has members there, the one that asked among them. So all see the same events in the same order, and
 * nothing is made of a script's reply. Each node keeps a view of the rooms in which it has members; signals between two
 * of its own need no engine. The nodes own the truth: where the engine was away or has lost its memory they tell it anew
 * what they hold, and whom they hold it for hears nothing of that.
 */

import type { Account } from "../limits/accounts.ts";
import type { RoomLimits } from "../limits/limits.ts";
import { addressText, makeAddress, splitAddress } from "../protocol/address.ts";
import type { ErrorCode, GoneReason } from "../protocol/codes.ts";
import type { Log } from "../runtime/log.ts";
import type { EngineAddress } from "./redis/address.ts";
import { Engine } from "./redis/engine.ts";
import { EngineFault } from "./redis/fault.ts";
import { BEAT_MS, DEAF_MS, LIFE_MS } from "./redis/lease.ts";
import {
  CLUSTER_VERSION,
  decode,
  decodeStay,
  encodeProof,
  encodeSignal,
  encodeStay,
  type Entry,
  FIELD,
  type Message,
  type Stay,
} from "./redis/messages.ts";
import {
  introduce,
  introduceAnew,
  introducePair,
  type Member,
  peersOf,
  type Room,
  Roster,
  route,
  tellGone,
} from "./roster.ts";
import {
  type JoinClaim,
  type Later,
  type ListedMember,
  type RoomEvents,
  type RoomStore,
  type Route,
  type Standing,
  Unreachable,
} from "./store.ts";

export interface ClusterOptions {
  readonly engine: EngineAddress;
  /** What all keys and channels begin with. */
  readonly prefix: string;
  /** Of this node, over all its lives; may be empty. */
  readonly name: string;
  readonly log: Log;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  /** Told of what makes the engine unusable from the start, and won't change by waiting. */
  readonly onFault: (fault: EngineFault) => void;
}

/** Figures of a node, for whoever operates it. */
export interface ClusterFigures {
  readonly node: string;
  /** When something last came through its own inbox. */
  readonly probedAt: number;
  /** Joins that wait for their outcome. */
  readonly pending: number;
  /** How often all was told anew to the engine, and how often this node was held for dead. */
  readonly resyncs: number;
  readonly fenced: number;
  /** Signals to other nodes, and from them. */
  readonly published: number;
  readonly received: number;
}

/** What is known of a member beside what its own node needs. */
interface Place {
  readonly stay: Stay;
  /** Since the engine came back without its memory, its node has not told of it. */
  suspect: boolean;
  /** Its peer has asked to leave: to be called when it has. */
  left?: (() => void) | undefined;
}

type Guest<P> = Member<P, Place>;

/** A join whose outcome is not known. */
interface Request<P> {
  readonly id: string;
  /** `undefined`: nobody waits for it any more, and what comes of it is to be undone. */
  peer: P | undefined;
  readonly ident: string;
  readonly room: string;
  readonly claim: JoinClaim;
  /** Pays for it meanwhile. */
  readonly account: Account;
  /** The room would be a new one here. */
  readonly founds: boolean;
  readonly since: number;
  sent: boolean;
  /** It has asked who is in the room. */
  asked: boolean;
  readonly done: () => void;
}

/** Milliseconds. */
const JOIN_PATIENCE = 10_000;
const RETRY = { first: 200, spread: 300, most: 2000 };
/** An engine that has lost its memory hears of nobody but from its nodes: so long they have for that before others join. */
const SETTLING = 2500;
const BYE_PATIENCE = 3000;
/** The engine does nothing else while it works through so many. */
const CHUNK = 200;
const ROOMS_AT_ONCE = 10;

const MAX_REQUESTS = 10_000;

export class RedisStore<P> implements RoomStore<P> {
  readonly #events: RoomEvents<P>;
  readonly #limits: RoomLimits;
  readonly #accountOf: (peer: P) => Account;
  readonly #options: ClusterOptions;
  readonly #roster: Roster<P, Place>;
  readonly #requests = new Map<string, Request<P>>();
  readonly #requestsOf = new Map<P, Set<Request<P>>>();
  /** Rooms that there will be where joins succeed. */
  #founding = 0;
  #requestCount = 0;
  /** Of this life: another one after others were told that it is dead. */
  #node: string;
  #name: string;
  /** Where it is connected; usable for others once it is `up`. */
  #engine: Engine | undefined;
  #up = false;
  #cutOffSince: number;
  #life = "";
  #born = "";
  /** Of the last time that all was told anew. */
  #intact = false;
  #mark = 0;
  #probedAt: number;
  #beating = false;
  #attempts = 0;
  #hasBeenUp = false;
  #closed = false;
  #reconnect: ReturnType<typeof setTimeout> | undefined;
  #settle: ReturnType<typeof setTimeout> | undefined;
  #suspectTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #beatTimer: ReturnType<typeof setInterval>;
  readonly #patienceTimer: ReturnType<typeof setInterval>;
  #figures = { resyncs: 0, fenced: 0, published: 0, received: 0 };

  constructor(
    events: RoomEvents<P>,
    limits: RoomLimits,
    accountOf: (peer: P) => Account,
    options: ClusterOptions,
  ) {
    this.#events = events;
    this.#limits = limits;
    this.#accountOf = accountOf;
    this.#options = options;
    this.#roster = new Roster(limits, accountOf);
    this.#name = options.name;
    this.#node = this.#incarnation();
    this.#cutOffSince = this.#probedAt = options.now();
    this.#beatTimer = setInterval(() => this.#beat(), BEAT_MS);
    this.#patienceTimer = setInterval(() => this.#refuseLate(), JOIN_PATIENCE / 20);
    this.#connect();
  }

  get state(): RoomStore<P>["state"] {
    if (this.#up) return "up";
    return { cutOff: this.#hasBeenUp ? this.#options.now() - this.#cutOffSince : Infinity };
  }

  figures(): ClusterFigures {
    return {
      node: this.#node,
      probedAt: this.#probedAt,
      pending: this.#requests.size,
      ...this.#figures,
    };
  }

  counts(): { rooms: number; addresses: number } {
    return this.#roster.counts();
  }

  route(peer: P, from: string, to: string): Route<P> | undefined {
    return route(this.#roster, peer, from, to);
  }

  introduceAnew(one: string, other: string): boolean {
    const earlier = (one: Guest<P>, other: Guest<P>) => isEarlier(one.more.stay, other.more.stay);
    return introduceAnew(this.#roster, [one, other], earlier, this.#events);
  }

  holds(peer: P, address: string): boolean {
    return this.#roster.holds(peer, address);
  }

  standings(peer: P): readonly Standing[] {
    return [...this.#roster.heldBy(peer) ?? []];
  }

  join(peer: P, ident: string, room: string, claim: JoinClaim = {}): Later {
    const events = this.#events;
    const refuse = (code: ErrorCode) => events.refused(peer, code, "join", [ident, room]);
    const holder = this.#roster.members.get(addressText(room, ident));
    // Whether others may be replaced is for the engine to say.
    if (holder?.peer === peer) return refuse("ident-taken");
    if (holder?.peer !== undefined && holder.more.left === undefined && cantReplace(holder, claim)) {
      return refuse("ident-taken");
    }
    const full = this.#roster.fullFor(peer, this.#requestsOf.get(peer)?.size ?? 0, events);
    if (full !== undefined) return refuse(full);
    const founds = !this.#roster.isOpen(room);
    if (founds) {
      const closed = this.#roster.closedFor(peer, this.#founding, events);
      if (closed !== undefined) return refuse(closed);
    }
    if (this.#requests.size >= MAX_REQUESTS || this.#closed) return refuse("unavailable");

    const account = this.#accountOf(peer);
    account.take("addresses");
    if (founds) {
      account.take("rooms");
      this.#founding++;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const request: Request<P> = {
      id: String(++this.#requestCount),
      peer,
      ident,
      room,
      claim,
      account,
      founds,
      since: this.#options.now(),
      sent: false,
      asked: false,
      done: resolve,
    };
    this.#requests.set(request.id, request);
    const others = this.#requestsOf.get(peer);
    if (others === undefined) this.#requestsOf.set(peer, new Set([request]));
    else others.add(request);
    if (this.#up && this.#settle === undefined) this.#send(request);
    return promise;
  }

  leave(peer: P, address: string): Later {
    const member = this.#roster.members.get(address);
    if (member === undefined || member.peer !== peer) {
      return this.#events.refused(peer, "not-a-member", "leave", [address]);
    }
    if (!this.#up) return this.#leave(member);
    const { promise, resolve } = Promise.withResolvers<void>();
    member.more.left = resolve;
    this.#depart("left", [member]);
    return promise;
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
    if (receiver.peer !== undefined) return this.#events.signalled(receiver.peer, receiver, sender, tail);
    const { node } = receiver.more.stay;
    // One of our own, whose departure is under way.
    if (node === this.#node) return this.#events.refused(peer, "no-such-peer", "signal", [from, to]);
    if (!this.#up || !this.#engine!.publish(node, encodeSignal(from, to, tail))) {
      return this.#events.refused(peer, "unavailable", "signal", [from, to]);
    }
    this.#figures.published++;
  }

  handOver(from: P, to: P): boolean {
    if (!this.#roster.handOver(from, to)) return false;
    const requests = this.#requestsOf.get(from);
    if (requests === undefined) return true;
    this.#requestsOf.delete(from);
    this.#requestsOf.set(to, requests);
    for (const request of requests) request.peer = to;
    return true;
  }

  end(address: string, reason: "expired" | "removed"): boolean | Promise<boolean> {
    const member = this.#roster.members.get(address);
    if (member?.peer !== undefined) {
      const { peer } = member;
      this.#events.ended(peer, member, reason, this.#roster.part(member));
      this.#departed([member], reason);
      return true;
    }
    if (reason === "expired") return false;
    if (!this.#up) return Promise.reject(new Unreachable());
    const { room, ident } = splitAddress(address);
    return this.#engine!.run("end", room, ident, reason).then(
      (told) => told === 1,
      () => Promise.reject(new Unreachable()),
    );
  }

  remove(peer: P, reason: GoneReason): void {
    for (const request of this.#requestsOf.get(peer) ?? []) {
      request.peer = undefined;
      if (!request.sent) this.#release(request);
    }
    this.#requestsOf.delete(peer);
    const held = [...this.#roster.heldBy(peer) ?? []];
    for (const member of held) this.#roster.part(member);
    this.#departed(held, reason);
  }

  async rooms(after: string, limit: number): ReturnType<RoomStore<P>["rooms"]> {
    return await this.#ask(async (engine) => {
      const from = after === "" ? "-" : `(${after}`;
      const names = await engine.ask<string[]>(
        "ZRANGEBYLEX",
        "rooms",
        from,
        "+",
        "LIMIT",
        "0",
        String(limit),
      );
      const peers = await Promise.all(names.map((room) => engine.ask<number>("HLEN", `room:${room}`)));
      return names.map((room, at) => ({ room, peers: peers[at]! })).filter(({ peers }) => peers > 0);
    });
  }

  async members(room: string, after: string, limit: number): Promise<readonly ListedMember<P>[]> {
    return await this.#ask(async (engine) => {
      const found = await engine.ask<Record<string, string>>("HGETALL", `room:${room}`);
      return Object.keys(found).filter((ident) => ident > after).sort().slice(0, limit).map((ident) => {
        const { node, since } = decodeStay(found[ident]!.split(FIELD));
        const peer = node === this.#node
          ? this.#roster.members.get(addressText(room, ident))?.peer
          : undefined;
        return { ident, since, ...peer === undefined ? { node: node.replace(/~.*/, "") } : { peer } };
      });
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#beatTimer);
    clearInterval(this.#patienceTimer);
    clearTimeout(this.#reconnect);
    clearTimeout(this.#settle);
    clearTimeout(this.#suspectTimer);
    for (const request of this.#requests.values()) this.#release(request);
    const engine = this.#engine;
    this.#engine = undefined;
    if (engine === undefined) return;
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, BYE_PATIENCE);
    const bye = async () => {
      let left = await engine.run("bye", this.#node, this.#name);
      while (typeof left === "number" && left > 0) left = await engine.run("reap");
    };
    // Whoever is left is reaped by the other nodes.
    await Promise.race([bye().catch(() => {}), deadline.promise]);
    clearTimeout(timer);
    engine.close();
  }

  async #ask<T>(question: (engine: Engine) => Promise<T>): Promise<T> {
    if (!this.#up) throw new Unreachable();
    try {
      return await question(this.#engine!);
    } catch {
      throw new Unreachable();
    }
  }

  #incarnation(): string {
    return `${this.#options.name || "node"}~${crypto.randomUUID().slice(0, 13)}`;
  }

  // What comes of requests

  #send(request: Request<P>): void {
    request.sent = true;
    request.asked = !this.#roster.rooms.has(request.room);
    const { id, room, ident, claim: { proof, since, info } } = request;
    this.#run(
      "join",
      this.#node,
      room,
      ident,
      String(this.#limits.maxRoomPeers),
      id,
      encodeProof(proof),
      since === undefined ? "" : String(since),
      info ?? "",
      request.asked ? "1" : "0",
      this.#life,
    );
  }

  /** It has had its outcome. */
  #release(request: Request<P>): void {
    if (!this.#requests.delete(request.id)) return;
    const { peer, account, founds } = request;
    account.giveBack("addresses");
    if (founds) {
      account.giveBack("rooms");
      this.#founding--;
    }
    if (peer !== undefined) {
      const others = this.#requestsOf.get(peer);
      others?.delete(request);
      if (others?.size === 0) this.#requestsOf.delete(peer);
    }
    // Behind the events that belong to it.
    queueMicrotask(request.done);
  }

  #refuse(request: Request<P>, code: ErrorCode): void {
    const { peer, ident, room } = request;
    this.#release(request);
    if (peer !== undefined) this.#events.refused(peer, code, "join", [ident, room]);
  }

  #refuseLate(): void {
    const now = this.#options.now();
    for (const request of this.#requests.values()) {
      if (now - request.since < JOIN_PATIENCE) return;
      const { peer, ident, room, sent } = request;
      if (!sent) this.#refuse(request, "unavailable");
      else if (peer !== undefined) {
        // It may come about all the same, and is undone then.
        request.peer = undefined;
        this.#requestsOf.get(peer)?.delete(request);
        this.#events.refused(peer, "unavailable", "join", [ident, room]);
        request.done();
      }
    }
  }

  // Departures of our own

  /** They are no peer's any more: the others are told by way of the engine; where it is away, those who are here at once. */
  #departed(members: readonly Guest<P>[], reason: GoneReason): void {
    for (const { more } of members) more.left?.();
    if (this.#up) return this.#depart(reason, members);
    for (const member of members) this.#forget(member, reason);
  }

  #depart(reason: GoneReason, members: readonly Guest<P>[]): void {
    for (let at = 0; at < members.length; at += CHUNK) {
      const some = members.slice(at, at + CHUNK).flatMap(({ text, room: { name }, more: { stay } }) => [
        name,
        text.slice(name.length + 1),
        stay.serial,
      ]);
      this.#run("depart", this.#node, reason, ...some);
    }
  }

  #leave(member: Guest<P>): void {
    const { peer, more } = member;
    this.#roster.free(member);
    this.#events.left(peer!, member);
    tellGone(member, "left", this.#events);
    more.left?.();
  }

  /** Where it is still known. */
  #forget(member: Guest<P>, reason: GoneReason): void {
    if (this.#roster.members.get(member.text) !== member) return;
    this.#roster.free(member);
    tellGone(member, reason, this.#events);
  }

  /** All that a peer holds is somebody else's, or nobody's: it has to come anew. */
  #evict(peer: P): void {
    const held = [...this.#roster.heldBy(peer) ?? []];
    for (const member of held) this.#roster.part(member);
    this.#departed(held, "closed");
    this.#events.evicted(peer, held);
  }

  // What the inbox says

  #onMessage(text: string): void {
    const message = decode(text);
    try {
      if (message !== undefined) this.#take(message);
    } catch (error) {
      // It must not reach the library, which would take it for a fault of the connection.
      this.#options.log.error("a message of another node could not be taken: {error}", { error });
    }
  }

  #take(message: Message): void {
    switch (message.kind) {
      case "signal":
        return this.#onSignal(message.from, message.to, message.tail);
      case "joined": {
        const { request, room, entry, list } = message;
        if (request !== "") return this.#onOwnJoined(request, room, entry, list);
        const found = this.#roster.rooms.get(room);
        return found && this.#adopt(found, entry);
      }
      case "refused":
        return this.#onRefused(message.request, message.code);
      case "gone":
        return this.#onGone(message.room, message.ident, message.serial, message.reason as GoneReason);
      case "synced":
        return this.#onSynced(message.room, message.list);
      case "view":
        this.#probedAt = this.#options.now();
        return this.#onView(message.room, message.list);
      case "mark":
        return this.#onMark(message.mark, message.held);
      case "end": {
        const address = addressText(message.room, message.ident);
        const member = this.#roster.members.get(address);
        if (member?.peer !== undefined && member.more.stay.serial === message.serial) {
          this.end(address, message.reason as "removed");
        }
        return;
      }
      case "probe":
        // Only what we have asked for ourselves shows that both connections do their work.
        this.#probedAt = this.#options.now();
        return;
      case "fenced":
        this.#options.log.error(
          `another node has taken the name ${this.#name} (--node-name): this one goes on without it`,
        );
        this.#name = "";
        return this.#fence();
    }
  }

  #onSignal(from: string, to: string, tail: string): void {
    const { members } = this.#roster;
    const [sender, receiver] = [members.get(from), members.get(to)];
    // One of them has gone, or is not introduced: signals of others than members are not passed on.
    if (sender === undefined || receiver?.peer === undefined || sender.room !== receiver.room) return;
    this.#figures.received++;
    this.#events.signalled(receiver.peer, receiver, sender, tail, true);
  }

  #onOwnJoined(id: string, name: string, entry: Entry, list: readonly Entry[]): void {
    const request = this.#requests.get(id);
    const text = addressText(name, entry.ident);
    if (entry.stay.node !== this.#node || request !== undefined && !request.sent) return;
    if (request?.peer === undefined) {
      if (request !== undefined) this.#release(request);
      this.#run("depart", this.#node, "closed", name, entry.ident, entry.stay.serial);
      return;
    }
    const { peer, asked } = request;
    this.#release(request);
    // Those for whose sake the room was known have gone since; but where the join of somebody who isn't there any more was
    // on its way, the engine held us for informed.
    const blind = !asked && list.length === 0 && !this.#roster.rooms.has(name);
    const room = this.#roster.enter(name, peer);
    for (const other of [...list].sort(bySerial)) {
      if (other.stay.node !== this.#node) this.#adopt(room, other);
    }
    const former = this.#roster.members.get(text);
    if (former !== undefined) this.#forget(former, "closed");
    const newcomer = this.#guest(this.#roster.enter(name, peer), entry, peer);
    this.#events.joined(peer, newcomer, newcomer.room.members.size);
    introduce(newcomer, this.#events);
    this.#roster.add(newcomer);
    if (blind) this.#run("view", this.#node, this.#life, name);
  }

  #onRefused(id: string, code: "ident-taken" | "room-full"): void {
    const request = this.#requests.get(id);
    if (request === undefined || !request.sent) return;
    const { peer } = request;
    if (code === "room-full" && peer !== undefined) {
      const room = this.#roster.rooms.get(request.room);
      // One that isn't there gives way, and then there is a place: the engine hears it in this order.
      if (room !== undefined && this.#events.crowded(peer, "room", peersOf(room))) return this.#send(request);
    }
    this.#refuse(request, code);
  }

  #onGone(room: string, ident: string, serial: string, reason: GoneReason): void {
    const member = this.#roster.members.get(addressText(room, ident));
    if (member === undefined || member.more.stay.serial !== serial) return;
    const { peer } = member;
    if (peer === undefined) return this.#forget(member, reason);
    if (reason === "left" && member.more.left !== undefined) return this.#leave(member);
    if (reason !== "replaced") return this.#fence();
    const held = this.#roster.heldBy(peer)!.size - 1;
    this.#roster.free(member);
    this.#events.ended(peer, member, reason, held);
    if (member.more.left !== undefined) {
      this.#events.refused(peer, "not-a-member", "leave", [member.text]);
      member.more.left();
    }
    tellGone(member, reason, this.#events);
  }

  #onSynced(name: string, list: readonly Entry[]): void {
    for (const entry of list) {
      const room = this.#roster.rooms.get(name);
      if (room !== undefined) this.#adopt(room, entry);
    }
  }

  #onView(name: string, list: readonly Entry[]): void {
    this.#onSynced(name, list.filter(({ stay }) => stay.node !== this.#node));
    const there = new Set(list.map(({ stay }) => stay.serial));
    for (const member of [...this.#roster.rooms.get(name)?.members ?? []]) {
      if (member.peer !== undefined || there.has(member.more.stay.serial)) continue;
      // An engine that has its memory knows that it has left. Another only hasn't heard of it yet.
      if (this.#intact) this.#forget(member, "closed");
      else member.more.suspect = true;
    }
  }

  #onMark(mark: string, held: ReadonlyMap<string, string>): void {
    if (mark !== String(this.#mark) || this.#up) return;
    const stale: string[] = [];
    for (const [address, serial] of held) {
      const member = this.#roster.members.get(address);
      if (member?.peer !== undefined && member.more.stay.serial === serial) continue;
      const { room, ident } = splitAddress(address);
      stale.push(room, ident, serial);
    }
    for (let at = 0; at < stale.length; at += 3 * CHUNK) {
      this.#run("depart", this.#node, "closed", ...stale.slice(at, at + 3 * CHUNK));
    }
    this.#onUp();
  }

  /** Another member of a room, whether or not it is news. */
  #adopt(room: Room<P, Place>, entry: Entry): void {
    const known = this.#roster.members.get(addressText(room.name, entry.ident));
    if (known !== undefined) {
      if (known.more.stay.serial === entry.stay.serial) {
        known.more.suspect = false;
        return;
      }
      // It was taken by another while we were away.
      if (known.peer !== undefined) this.#evict(known.peer);
      this.#forget(known, "closed");
    }
    // Its last member of ours may have been that one.
    if (this.#roster.rooms.get(room.name) !== room) return;
    const guest = this.#guest(room, entry, undefined);
    for (const member of room.members) {
      const [earlier, later] = isEarlier(member.more.stay, entry.stay) ? [member, guest] : [guest, member];
      introducePair(earlier, later, this.#events);
    }
    this.#roster.add(guest);
  }

  #guest(room: Room<P, Place>, { ident, stay }: Entry, peer: P | undefined): Guest<P> {
    const { proof, since, claimed, info } = stay;
    return {
      ...makeAddress(addressText(room.name, ident)),
      peer,
      own: peer !== undefined,
      room,
      proof,
      since,
      claimed,
      info,
      more: { stay, suspect: false },
    };
  }

  // The engine comes and goes

  async #connect(): Promise<void> {
    this.#reconnect = undefined;
    const { engine: address, prefix, log, onFault } = this.#options;
    const node = this.#node;
    const lost = (why: string) => this.#node === node && this.#onLost(why);
    try {
      const engine = await Engine.connect({
        address,
        prefix,
        inbox: node,
        onMessage: (text) => this.#node === node && this.#onMessage(text),
        onLost: lost,
      });
      if (this.#closed) return engine.close();
      this.#engine = engine;
      this.#probedAt = this.#options.now();
      const first = await this.#show(engine, "1");
      if (this.#engine === engine) await this.#sync(engine, first);
    } catch (error) {
      if (this.#closed) return;
      const fault = error instanceof EngineFault ? error : undefined;
      if (fault?.final && !this.#hasBeenUp) onFault(fault);
      else if (this.#attempts++ === 0) {
        log.warn(`${(error as Error).message} Joins wait; it is tried again and again.`);
      }
      this.#engine?.close();
      this.#engine = undefined;
      this.#retry();
    }
  }

  #retry(): void {
    if (this.#closed || this.#reconnect !== undefined) return;
    const { first, spread, most } = RETRY;
    const delay = Math.min(most, first * 2 ** Math.min(this.#attempts, 8)) + Math.random() * spread;
    this.#reconnect = setTimeout(() => this.#connect(), delay);
  }

  /** Tells the engine all that this node holds, and asks what it knows. */
  async #sync(engine: Engine, [state, born]: readonly [string, string, number]): Promise<void> {
    if (state === "FENCED") return this.#fence();
    if (state === "VERSION") {
      throw new EngineFault(
        `The nodes that use the engine at ${this.#options.engine.text} under the prefix "${this.#options.prefix}" ` +
          `speak version ${born} with each other, and this one ${CLUSTER_VERSION}: give it another (--engine-prefix).`,
        true,
      );
    }
    const { life } = engine;
    this.#intact = life === this.#life && born === this.#born;
    this.#life = life;
    this.#born = born;
    this.#probedAt = this.#options.now();
    this.#mark++;
    const run = (name: "sync" | "view", args: readonly string[]) =>
      engine.run(name, this.#node, this.#life, ...args);
    const own = [...this.#roster.rooms.values()].flatMap(({ name, members }) =>
      [...members].filter(({ peer }) => peer !== undefined).map(({ text, more: { stay } }) => [
        name,
        text.slice(name.length + 1),
        encodeStay(stay),
      ])
    );
    const rooms = [...this.#roster.rooms.keys()];
    // Awaited only at the end: they are carried out in this order.
    const replies: Promise<unknown>[] = [];
    for (let at = 0; at < own.length; at += CHUNK) {
      replies.push(run("sync", own.slice(at, at + CHUNK).flat()));
    }
    replies.push(engine.run("synced", this.#node, this.#life));
    for (let at = 0; at < rooms.length; at += ROOMS_AT_ONCE) {
      replies.push(run("view", rooms.slice(at, at + ROOMS_AT_ONCE)));
    }
    replies.push(engine.run("mark", this.#node, String(this.#mark)));
    await Promise.all(replies);
  }

  #onUp(): void {
    const { log, now } = this.#options;
    this.#up = true;
    this.#figures.resyncs++;
    this.#attempts = 0;
    const { text: engine } = this.#options.engine;
    log.info(`node ${this.#node} shares its rooms by way of ${engine}`, {
      node: this.#node,
      engine,
      cutOffMs: Math.round(now() - this.#cutOffSince),
    });
    const again = this.#hasBeenUp;
    this.#hasBeenUp = true;
    if (!this.#intact) {
      clearTimeout(this.#suspectTimer);
      this.#suspectTimer = setTimeout(() => this.#giveUpSuspects(), LIFE_MS);
    }
    if (this.#intact || !again) return this.#sendAll();
    this.#settle = setTimeout(() => {
      this.#settle = undefined;
      if (this.#up) this.#sendAll();
    }, SETTLING);
  }

  #sendAll(): void {
    for (const request of this.#requests.values()) if (!request.sent) this.#send(request);
  }

  #giveUpSuspects(): void {
    for (const member of [...this.#roster.members.values()]) {
      if (member.peer === undefined && member.more.suspect) this.#forget(member, "timeout");
    }
  }

  #onLost(why: string): void {
    this.#engine = undefined;
    if (this.#closed) return;
    if (this.#up) {
      this.#options.log.warn(`cut off from the other nodes: ${why}. Joins wait, and local signals go on.`);
      this.#attempts = 1;
    }
    this.#cutOff();
    for (const member of [...this.#roster.members.values()]) {
      if (member.more.left !== undefined && member.peer !== undefined) this.#leave(member);
      else if (member.peer === undefined && member.more.stay.node === this.#node) {
        this.#forget(member, "closed");
      }
    }
    this.#retry();
  }

  /** What was asked of the engine is asked again when it is back. */
  #cutOff(): void {
    if (this.#up) this.#cutOffSince = this.#options.now();
    this.#up = false;
    clearTimeout(this.#settle);
    clearTimeout(this.#suspectTimer);
    this.#settle = undefined;
    for (const request of [...this.#requests.values()]) {
      // What has come about all the same is found when all is told anew.
      if (request.peer === undefined) this.#release(request);
      else request.sent = false;
    }
  }

  /** The others have been told that this node is dead: who was here comes anew. */
  #fence(): void {
    this.#figures.fenced++;
    this.#options.log.warn("the other nodes held this one for dead: its clients have to come anew");
    this.#engine?.close();
    this.#engine = undefined;
    this.#cutOff();
    this.#node = this.#incarnation();
    this.#life = this.#born = "";
    const peers = [...this.#roster.holders()].map((peer) => [peer, [...this.#roster.heldBy(peer)!]] as const);
    // Those whose departure is under way as well: with the last of them goes what is known of their rooms.
    for (const member of [...this.#roster.members.values()]) {
      if (!member.own) continue;
      member.more.left?.();
      this.#roster.free(member);
    }
    for (const [peer, held] of peers) this.#events.evicted(peer, held);
    this.#retry();
  }

  async #beat(): Promise<void> {
    const engine = this.#engine;
    if (engine === undefined) return;
    if (this.#options.now() - this.#probedAt > DEAF_MS) return engine.lose("nothing arrives from it");
    if (!this.#up || this.#beating) return;
    this.#beating = true;
    try {
      let [state, born, left] = await this.#show(engine, "0");
      if (this.#engine !== engine) return;
      if (state === "FENCED") return this.#fence();
      if (state !== "OK" || born !== this.#born) return engine.lose("it has forgotten this node");
      while (left !== 0 && this.#engine === engine) left = await engine.run("reap") as number;
    } catch {
      // The connection is lost, and that was told.
    } finally {
      this.#beating = false;
    }
  }

  /** Shows the engine that this node lives. */
  async #show(engine: Engine, first: "0" | "1"): Promise<[state: string, born: string, left: number]> {
    const { maxRoomPeers } = this.#limits;
    const reply = await engine.run(
      "beat",
      this.#node,
      first,
      this.#name,
      String(maxRoomPeers),
      CLUSTER_VERSION,
    );
    return reply as [string, string, number];
  }

  /** Runs a script whose outcome comes by the inbox. */
  #run(name: "join" | "depart" | "view", ...args: string[]): void {
    const engine = this.#engine;
    engine?.run(name, ...args).then(
      (reply) => reply === "OK" || engine.lose(`it says ${reply}`),
      () => {},
    );
  }
}

/** Of a member of ours; what it came with may still tell that it may be. */
function cantReplace<P>(holder: Guest<P>, { proof, since }: JoinClaim): boolean {
  return proof === undefined && since === undefined || holder.proof === undefined && since === undefined;
}

function isEarlier(one: Stay, other: Stay): boolean {
  return BigInt(one.serial) < BigInt(other.serial);
}

function bySerial(one: Entry, other: Entry): number {
  return isEarlier(one.stay, other.stay) ? -1 : 1;
}
