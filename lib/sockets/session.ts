/** One socket: what it says is decoded, limited and handed to the rooms; what the rooms answer is sent. */

import { CloseCode, type GoneReason } from "../protocol/codes.ts";
import type { IceServers } from "../protocol/ice_servers.ts";
import { CallBudget, type OverLimit } from "../limits/call_budget.ts";
import { JoinBudget, payJoin } from "../limits/join_budget.ts";
import type { Account, Sleeper } from "../limits/accounts.ts";
import type { SharedBudgets, SocketLimits } from "../limits/limits.ts";
import { TokenBucket } from "../limits/token_bucket.ts";
import type { Log, LogFields } from "../runtime/log.ts";
import type { Ledger } from "./ledger.ts";
import { Outbox, type OutboxOwner } from "./outbox.ts";
import type { Burden } from "./pressure.ts";
import { Passes } from "./passes.ts";
import { hasEnded, type Track, type Tracks } from "./tracks.ts";
import { randomId, type ResumeLimits, type Resumption } from "./resumption.ts";
import type { Sealed, SealedMember } from "./seal.ts";
import {
  checkOfHead,
  type ClientCall,
  decode,
  encodeError,
  encodeGone,
  encodeGoodbye,
  encodeIce,
  encodeIdent,
  encodeJoined,
  encodeLeft,
  encodeRenewed,
  encodeResume,
  encodeResumed,
  encodeSignal,
  encodeStun,
  encodeWelcome,
  isOffer,
  isQuiet,
  type LinkReport,
  numberSignal,
  PONG,
  type Refusal,
  type ResumeOffer,
  type Version,
  type Welcome,
} from "../protocol/codec.ts";
import { type Address, addressText, splitAddress } from "../protocol/address.ts";
import { freshIdent } from "../protocol/ident.ts";
import { sha256 } from "../runtime/digest.ts";
import { canWatch, close, cut, ping, watch, type Watcher } from "../runtime/internals.ts";
import type { JoinClaim, Later, RoomEvents, RoomStore } from "../rooms/store.ts";
import type { Tally } from "../runtime/tally.ts";
import type { Traffic } from "./traffic.ts";
import { type Message, NOT_NUMBERED, sizeOf, type Taker, type Turn } from "./turn.ts";
import { admit, type Pass, type Ticket, TokenFault } from "../tokens/claims.ts";
import type { Tokens } from "../tokens/tokens.ts";

/** What all sessions of a server share. */
export interface SessionContext {
  readonly rooms: RoomStore<Session>;
  readonly limits: SocketLimits & ResumeLimits;
  readonly shared: SharedBudgets;
  /** What `welcome` tells, but for the ICE servers. */
  readonly welcome: Omit<Welcome, keyof IceServers>;
  readonly log: Log;
  /** Counts what is refused, by its code. */
  readonly refusals: Tally;
  /** Counts what becomes of the links between peers, as they report it; and keeps count of pairs. */
  readonly links: Tally;
  readonly ledger: Ledger;
  readonly tracks: Tracks<Session>;
  readonly traffic: Traffic;
  readonly turn: Turn;
  /** Told of each call that is refused. */
  readonly onRefused: (session: Session, refusal: Refusal) => void;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  /** ICE servers for a client; with TURN and fresh credentials for `ident`, where one is given. */
  readonly ice: (client: Client, ident: string | undefined) => IceServers;
  /** Whether a client may have such credentials once more, by the call `ice`. */
  readonly takeIce: (client: Client) => boolean;
  /** Where sessions can be resumed. */
  readonly resumption?: Resumption<Session> | undefined;
  /** Where tokens are asked for. */
  readonly tokens?: Tokens | undefined;
  /** Told of a session that is to be asked by `lookAtPasses` from now on, until it says no. */
  readonly onPass: (session: Session) => void;
  /** Told of a session that holds something else than its client has a seal of. */
  readonly onStale: (session: Session) => void;
  /** Told of a session whose client has just got one: a fresh one is due when that loses its force. */
  readonly onSealed: (session: Session) => void;
  /** The client of a session is gone: `giveWay` is to be called when it has been away for too long. */
  readonly onAsleep: (session: Session, client: Client) => void;
  /** Lets a sleeping session among these give way. False where none is. */
  readonly makeRoom: (sessions: Iterable<Session>) => boolean;
  /** Called once for each session, when its socket is closed for good. */
  readonly onClosed: (session: Session, client: Client) => void;
}

/** What belongs to one client: data alone, for there may be many thousands of them, and most are idle. */
export interface Client {
  readonly socket: WebSocket;
  readonly version: Version;
  /** Shared by all sockets of this client. */
  readonly account: Account;
  /** The host at which it finds STUN, without a port, if that is known; see `Visit.host`. */
  readonly host?: string;
  /** That came with the handshake, for all joins that bring none. Not checked. */
  readonly token?: string | undefined;
  /** By which a proxy knows the handshake, for the log. */
  readonly request?: string | undefined;
}

/** Calls that may wait for one whose answer takes its time, and their length in bytes or UTF-16 units. */
const MAX_WAITING = { calls: 1000, size: 65_536 };

interface Waiting {
  size: number;
  readonly calls: Message[];
}

/** A cold resume: see `Session.#resumeCold`. */
interface ColdResume {
  /** Joins whose outcome is not known yet. */
  left: number;
  readonly addresses: string[];
}

/** Milliseconds in which somebody who is as good as dead may still read why it was closed. */
const LAST_WORD = 100;

/**
 * What a client may have sent before it reads that it was closed, in UTF-16 units or bytes, and what each message counts
 * beside its length. Who sends more is cut: it costs as much to read as that of others.
 */
const MAX_UNHEARD = 1024 * 1024;
const UNHEARD_MESSAGE = 1024;

/** A message that is over the limit is read to say what was refused, if it has no more UTF-16 units or bytes than that. */
const MAX_CHEAP = 1024;

const ONCE: AddEventListenerOptions = { once: true };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Handles the events of one server-side WebSocket. It listens with itself as the listener object, which spares a
 * closure per event and socket.
 */
export class Session implements EventListenerObject, OutboxOwner, Sleeper, Taker, Watcher, Burden {
  /** Counts sessions, so that not all are looked at in the same moment. */
  static #count = 0;
  readonly number: number = Session.#count++;
  readonly #client: Client;
  readonly #context: SessionContext;
  readonly #outbox: Outbox;
  /** Made when it is needed, like those below: many sockets only wait. */
  #calls?: CallBudget | undefined;
  /** Made when they are needed: most sockets join once or twice, and break no limits. */
  #joins?: JoinBudget | undefined;
  #strikes?: TokenBucket | undefined;
  /** Of a version 3 client, where sessions can be resumed. */
  #id?: string;
  /** Whether it is found by its id. */
  #kept = false;
  /** Calls that were taken in, of whatever kind, but for that by which the session was resumed. */
  #taken = 0;
  #cold?: ColdResume | undefined;
  /** Of members by token. */
  #passes?: Passes | undefined;
  /** The token that was checked last. */
  #checked?: { readonly token: string; readonly ticket: Ticket } | undefined;
  /** Calls that wait for one whose answer takes its time. */
  #waiting?: Waiting | undefined;
  /** Whether the client has ever reported on a link. */
  #reports = false;
  /** Whether calls are taken: until the socket closes or is told to. */
  #open = true;
  /** The socket is gone, and the client may come back on another. */
  #asleep = false;
  #closed = false;
  /** Looks since the last sign of life, the first of which may come right behind it; see `listen`. */
  #silence = 0;
  #pinged = false;
  /** When it was told to close, or was given up. */
  #endedAt?: number;
  /** What has come since; see `MAX_UNHEARD`. */
  #unheard = 0;

  constructor(client: Client, context: SessionContext) {
    const { socket } = client;
    const { limits } = context;
    this.#client = client;
    this.#context = context;
    this.#outbox = new Outbox(socket, limits.maxQueueBytes, this, context.turn);
    if (canWatch) watch(socket, this);
    if (client.version === 3) socket.addEventListener("open", this, ONCE);
    socket.addEventListener("message", this);
    socket.addEventListener("close", this);
  }

  /** Whose client's limits bind this socket beside its own. */
  get account(): Account {
    return this.#client.account;
  }

  /** Which socket it is, of whom, for the log. */
  get whose(): LogFields {
    const { request } = this.#client;
    return {
      socket: this.number,
      client: String(this.account.source),
      ...request === undefined ? {} : { request },
    };
  }

  get version(): Version {
    return this.#client.version;
  }

  /** See `Burden`. */
  get burden(): number {
    return this.waiting + 2 * (this.#outbox.backlog?.units ?? 0);
  }

  get taken(): number {
    return this.#taken;
  }

  get mute(): boolean {
    return this.#pinged || !this.#open;
  }

  get holds(): boolean {
    return this.#context.rooms.standings(this).length > 0;
  }

  get siblings(): number {
    return this.account.count("sockets");
  }

  probe(): void {
    if (!this.#open || this.connecting || !canWatch || this.#pinged) return;
    this.#pinged = true;
    ping(this.#client.socket);
  }

  /** A client of version 3 may come back to what it held, when there is memory again. */
  shed(): void {
    const asleep = this.#fallAsleep();
    this.#cut();
    if (!asleep) this.#end("closed");
  }

  /** Bytes that wait for the client to read them. */
  get waiting(): number {
    return this.#asleep ? 0 : this.#client.socket.bufferedAmount;
  }

  /** A line about one of its addresses. */
  #log(line: string, { text }: Address, more: LogFields = {}): void {
    const { log } = this.#context;
    log.debug(line, () => ({ address: text, room: splitAddress(text).room, ...this.whose, ...more }));
  }

  #send(text: string): void {
    const { traffic } = this.#context;
    traffic.messagesOut++;
    traffic.unitsOut += text.length;
    this.#outbox.send(text);
  }

  #sendUnnumbered(text: string): void {
    const { traffic } = this.#context;
    traffic.messagesOut++;
    traffic.unitsOut += text.length;
    this.#outbox.sendUnnumbered(text);
  }

  onOverflow(): void {
    if (this.#asleep) return this.giveWay();
    this.#context.refusals.count("slow-reader");
    this.close(CloseCode.overloaded, "too slow a reader");
  }

  handleEvent(event: Event): void {
    switch (event.type) {
      case "message": {
        const { data } = event as MessageEvent<Message | null>;
        // Of a socket that was cut when the message was already at hand, the runtime gives the event without it.
        return data === null ? undefined : this.#context.turn.add(this, data);
      }
      case "open":
        return this.#welcome();
      case "close":
        // An error event says no more: a close event follows it, but for a handshake that failed (see `connecting`).
        return this.#onClosed(event as CloseEvent);
    }
  }

  #welcome(): void {
    const { welcome, ice, resumption, tokens } = this.#context;
    this.#sendUnnumbered(encodeWelcome({
      ...welcome,
      ...ice(this.#client, tokens === undefined ? freshIdent() : undefined),
      ...resumption && { resume: resumption.offer(this.#id = randomId(), []) },
    }));
  }

  /** For the administrator; what concerns the member of that address. */
  describe(address: string): { version: Version; client: string; asleep: boolean; until?: string } {
    const until = this.#passes?.of(address)?.until;
    return {
      version: this.#client.version,
      client: String(this.account.source),
      asleep: this.#asleep,
      ...until === undefined ? {} : { until: new Date(until).toISOString() },
    };
  }

  /** Closes the socket behind what is queued. Its addresses are free at once, and it is not listened to any more. */
  close(code: number, reason: string, gone: GoneReason = "closed"): void {
    if (this.#asleep) return this.#end(gone);
    if (!this.#open) return;
    this.#depart(gone);
    const { socket } = this.#client;
    this.#context.turn.release();
    // In the midst of its handshake it can be told nothing.
    if (this.connecting) socket.addEventListener("open", () => close(socket, code, reason));
    else close(socket, code, reason);
  }

  /** Tells the client that the server stops, and when to come back. It gets nothing more, if it has heard that. */
  sayGoodbye(retryAfterMs: number): void {
    const { socket, version } = this.#client;
    // Version 2 has no word for it, nor for departures: until its turn comes all goes on.
    if (version === 2) return;
    if (socket.readyState !== WebSocket.CONNECTING) this.#send(encodeGoodbye("shutdown", retryAfterMs));
    this.#outbox.close();
  }

  /** Whether the handshake is not through yet. */
  get connecting(): boolean {
    return this.#client.socket.readyState === WebSocket.CONNECTING;
  }

  /**
   * Gives up a peer that is dead, though no close event says so. To be called every few seconds. Where the network
   * swallows what is sent, the kernel's buffer fills up at some time, and then the runtime can write neither its close
   * frame, behind which its close event comes, nor even its ping. Nor does an event come where a client never answers
   * the close frame: it is cut after a while, and its place given to others.
   */
  buryIfDead(): void {
    const { now, welcome: { keepaliveSeconds }, limits: { closeTimeout } } = this.#context;
    const time = now();
    if (this.#endedAt !== undefined) {
      if (time - this.#endedAt >= closeTimeout * 1000) this.giveUp("timeout");
      return;
    }
    if (this.#asleep) return;
    if (this.#client.socket.readyState > WebSocket.OPEN) this.#lose();
    // In the time in which a ping would have had to be answered nothing of what waits has gone out.
    else if (this.#outbox.stalledFor(time) >= 2 * keepaliveSeconds * 1000) {
      this.#lose() || this.close(CloseCode.overloaded, "nothing is read", "timeout");
    }
  }

  /** Its client can't be reached any more. True where it may come back; else its addresses are free. */
  #lose(): boolean {
    const asleep = this.#fallAsleep();
    if (asleep) this.#cut();
    else if (this.#client.socket.readyState > WebSocket.OPEN) this.#depart("timeout");
    return asleep;
  }

  /** Ends it here and now; the connection as well, where the runtime allows that. */
  giveUp(reason: GoneReason): void {
    this.#cut();
    this.#end(reason);
  }

  #cut(): void {
    this.#context.turn.release();
    cut(this.#client.socket);
  }

  /** The client has not come back in time, or others need its place. */
  giveWay(): void {
    this.#end("timeout");
  }

  /** Whether the client is away, and may come back. */
  get asleep(): boolean {
    return this.#asleep;
  }

  /** A message or a pong has come. */
  onSign(): void {
    this.#silence = 0;
    this.#pinged = false;
  }

  /** The process has stood still: that is not to count as the client's silence. */
  forgiveSilence(): void {
    this.#silence = 0;
  }

  /**
   * To be called at equal intervals, so many of which make up the time of keepalive. A client that was silent for nearly
   * that long is pinged, and is given up where nothing comes for as long again.
   */
  listen(looksPerKeepalive: number): void {
    if (!this.#open || this.connecting) return;
    this.#silence++;
    if (!this.#pinged && this.#silence >= looksPerKeepalive) {
      this.#pinged = true;
      this.#silence = looksPerKeepalive;
      ping(this.#client.socket);
    } else if (this.#pinged && this.#silence >= 2 * looksPerKeepalive) {
      if (this.#lose()) return;
      this.close(CloseCode.silent, "no answer to a ping", "timeout");
      // Who is as good as dead is told, but not waited for.
      setTimeout(() => this.giveUp("timeout"), LAST_WORD);
    }
  }

  /** How rooms reach the sessions. */
  static readonly roomEvents: RoomEvents<Session> = {
    joined(session, own, others) {
      const { shared, now } = session.#context;
      payJoin(shared.joins, session.account.source, others, now());
      session.#log("{address} joined", own);
      session.#onJoined(own.text);
      if (session.#cold !== undefined) session.#onColdOutcome(own.text);
      else session.#send(encodeJoined(own.quoted));
    },
    introduced(session, own, other, initiator, info) {
      if (initiator) session.#context.ledger.introduced++;
      session.#send(
        encodeStun(own.quoted, other.quoted, initiator, session.#client.version === 3 ? info : undefined),
      );
    },
    signalled(session, own, other, tail, away = false) {
      const { ledger, traffic } = session.#context;
      traffic.relayed++;
      const side = ledger.sideOf({ address: other, own: !away }, { address: own, own: true });
      if (side !== undefined) side.signals++;
      session.#send(encodeSignal(own.opening, other.quoted, tail));
    },
    left(session, own) {
      session.#log("{address} left", own);
      session.#onLeft(own.text);
      session.#send(encodeLeft(own.quoted));
    },
    ended(session, own, reason, held) {
      session.#log("{address} has {reason}", own, { reason });
      session.#onLeft(own.text);
      if (session.#client.version === 3) session.#send(encodeGone(own.quoted, own.quoted, reason));
      if (held > 0) return;
      // When the caller's stack is done: a store is not to be called back from within its own events.
      if (reason === "replaced") {
        queueMicrotask(() => session.close(CloseCode.replaced, "taken over with the same key"));
      } else if (reason === "removed") {
        queueMicrotask(() => session.close(CloseCode.removed, "removed by the administrator"));
      } else if (session.#asleep) queueMicrotask(() => session.giveWay());
    },
    gone(session, own, other, reason) {
      session.#context.ledger.parted(own.text, other.text);
      if (session.#client.version === 3) session.#send(encodeGone(own.quoted, other.quoted, reason));
    },
    evicted(session, held) {
      for (const { text } of held) session.#context.ledger.departed(text);
      // When the caller's stack is done, as above.
      queueMicrotask(() => session.close(CloseCode.restart, "cut off from the other nodes for too long"));
    },
    crowded(session, what, members) {
      return what === "room"
        ? session.#context.makeRoom(members)
        : session.account.full(what) !== undefined && session.account.makeRoom(what);
    },
    refused(session, code, call, about) {
      if (call === "join") {
        session.#passes?.forget(addressText(about[1]!, about[0]!));
        if (session.#cold !== undefined) return session.#onColdOutcome();
      }
      session.#refuse({ code, call, about });
    },
  };

  /** Members by token may have lost the right to signal; and nothing is spent on what isn't paid for. */
  mayWait(message: Message): message is string {
    return typeof message === "string" && isQuiet(message) && this.#open && this.#waiting === undefined &&
      this.#passes === undefined && !!this.#calls?.hasInHand &&
      message.length <= this.#context.limits.maxMessageBytes;
  }

  take(message: Message, number: number, check: number): void {
    if (!this.#open) return this.#passOver(message);
    if (this.#waiting !== undefined) return this.#wait(message);
    this.#take(message, number, check);
  }

  /** It has been closed, and may not know yet. */
  #passOver(message: Message): void {
    if (this.#asleep) return;
    this.#unheard += UNHEARD_MESSAGE + sizeOf(message);
    if (this.#unheard > MAX_UNHEARD) this.giveUp("closed");
  }

  #take(data: Message, number = NOT_NUMBERED, check = 0): void {
    this.#taken++;
    const { limits, shared, now, traffic } = this.#context;
    traffic.messagesIn++;
    traffic.unitsIn += sizeOf(data);
    if (isLarger(data, limits.maxMessageBytes)) {
      this.#refuse({ code: "too-large", about: [] });
      return this.close(CloseCode.tooLarge, `messages may have ${limits.maxMessageBytes} bytes`);
    }
    const isFirst = this.#calls === undefined;
    this.#calls ??= new CallBudget(limits, now());
    const over = this.#calls.takeInHand()
      ? undefined
      : this.#calls.draw(limits, shared.calls, this.account.source, now());
    // Before anything is spent on it, and so without a word of what it was where that would be long to find out.
    if (over !== undefined && sizeOf(data) > MAX_CHEAP) {
      return this.#refuseOver(over, {});
    }
    const text = typeof data === "string" ? data : decodeUtf8(data);
    if (text === undefined) return this.#refuse({ code: "bad-json", about: [] });

    if (over !== undefined || this.#passes !== undefined) number = -1;
    else if (number === NOT_NUMBERED) [number, check] = [numberSignal(text), checkOfHead()];
    if (number !== -1 && this.#follow(number, check, text)) return;
    const call = decode(text, this.#client.version, number !== -1);
    if (call.call === "signal") traffic.signals++;
    else traffic.calls.count(call.call);
    const limit = over ?? (call.call === "join" ? this.#takeJoin() : undefined);
    if (limit !== undefined) this.#refuseOver(limit, describe(call));
    else if (call.call === "resume") this.#resume(call.id, call.count, isFirst);
    else {
      this.#carryOut(call);
      if (call.call === "signal" && number !== -1) {
        this.#beat(call.from, call.to, number, { check, data: text.length - call.tail.length });
      }
    }
  }

  /** Remembers the way of a signal for those that come behind it: candidates come by the dozen. */
  #beat(from: string, to: string, number: number, begins: Pick<Track<Session>, "check" | "data">): void {
    const { rooms, ledger, tracks } = this.#context;
    const route = rooms.route(this, from, to);
    if (route?.receiver.peer === undefined) return;
    const { sender, receiver } = route;
    const side = ledger.sideOf({ address: sender, own: true }, { address: receiver, own: true });
    tracks.keep(number, { sender, receiver, side, ...begins });
  }

  /**
   * Sends a signal on its way where another has gone that way before: without anything to look up, and little to look
   * at, which is what a relay's time goes into. False where none has, or the way has come to an end.
   */
  #follow(number: number, check: number, text: string): boolean {
    const { tracks, traffic } = this.#context;
    const track = tracks.find(number, check);
    if (track === undefined) return false;
    const { sender, receiver, side } = track;
    const receiving = receiver.peer;
    if (sender.peer !== this || receiving === undefined || side?.ended) {
      // A stranger may speak for others: their way stays.
      if (hasEnded(track)) tracks.forget(number);
      return false;
    }
    traffic.signals++;
    traffic.relayed++;
    if (side !== undefined) side.signals++;
    receiving.#send(encodeSignal(receiver.opening, sender.quoted, text.slice(track.data)));
    return true;
  }

  /** Keeps a call for later. */
  #wait(data: Message): void {
    const waiting = this.#waiting!;
    waiting.size += sizeOf(data);
    if (waiting.calls.length < MAX_WAITING.calls && waiting.size <= MAX_WAITING.size) {
      waiting.calls.push(data);
    } else this.close(CloseCode.overloaded, "too many calls wait for the answer to one");
  }

  /** The calls that come behind this one wait until it is done: a socket's calls are answered in order. */
  async #whenDone<T>(work: Promise<T>, then: (outcome: T) => void): Promise<void> {
    const waiting: Waiting = this.#waiting = { size: 0, calls: [] };
    const outcome = await work;
    this.#waiting = undefined;
    if (!this.#open) return;
    then(outcome);
    for (const [at, data] of waiting.calls.entries()) {
      if (!this.#open) return;
      // One of them has to wait as well.
      if (this.#waiting !== undefined) return waiting.calls.slice(at).forEach((data) => this.#wait(data));
      this.#take(data);
    }
  }

  /** Other calls wait for an outcome that comes later. */
  #await(outcome: Later): void {
    if (outcome !== undefined) this.#whenDone(outcome, () => {});
  }

  #takeJoin(): OverLimit | undefined {
    const { limits, shared, now } = this.#context;
    this.#joins ??= new JoinBudget(limits, now());
    return this.#joins.take(limits, shared.joins, this.account.source, now);
  }

  #carryOut(call: ClientCall): void {
    const { rooms } = this.#context;
    switch (call.call) {
      case "signal":
        if (this.#passes?.mayOnlyWatch(call.from)) {
          const text = "The token of this member lets it watch, not signal.";
          return this.#refuse({ code: "unauthorised", text, call: "signal", about: [call.from, call.to] });
        }
        return rooms.signal(this, call.from, call.to, call.tail);
      case "ident":
        return this.#send(encodeIdent(freshIdent()));
      case "join":
        return this.#join(call.ident, call.room, call.key, call.token);
      case "leave":
        return this.#await(rooms.leave(this, call.address));
      case "ping":
        return this.#send(PONG);
      case "renew":
        return this.#renew(call.address, call.token);
      case "seen":
        return this.#onSeen(call.count);
      case "ice":
        return this.#context.takeIce(this.#client)
          ? this.#send(encodeIce(this.#context.ice(this.#client, this.#turnIdent())))
          : this.#refuse({ code: "rate-limited", call: "ice", about: [] });
      case "report":
        return this.#takeReport(call.own, call.other, call.link);
      case "refused":
        return this.#refuse(call.refusal);
    }
  }

  /** A peer may well report on another that is gone by now, but on no link of somebody else. */
  #takeReport(own: string, other: string, link: LinkReport): void {
    const { ledger, rooms } = this.#context;
    if (!rooms.holds(this, own)) {
      return this.#refuse({ code: "not-a-member", call: "report", about: [own, other] });
    }
    if (!this.#reports) {
      this.#reports = true;
      for (const { text } of rooms.standings(this)) ledger.reports(text);
    }
    this.#context.log.debug("{own} reports on its link to {other}", { own, other, ...link });
    const detail = link.path ?? link.why;
    this.#context.links.count(detail === undefined ? link.state : `${link.state} ${detail}`);
    const pair = rooms.route(this, own, other);
    if (pair === undefined) return;
    const { sender, receiver } = pair;
    ledger.report(
      { address: sender, own: true },
      { address: receiver, own: receiver.peer !== undefined },
      link,
    );
  }

  /** Version 2 has no word for it: there the call is passed over. */
  #refuse(refusal: Refusal): void {
    this.#context.refusals.count(refusal.code);
    if (refusal.call === "signal") this.#context.traffic.dropped.count(refusal.code);
    this.#context.onRefused(this, refusal);
    if (this.#client.version === 3) this.#send(encodeError(refusal));
  }

  #onClosed(event: CloseEvent): void {
    // Else the client has said goodbye, or was told to go.
    if (this.#asleep || !event.wasClean && this.#fallAsleep()) return;
    this.#end(isTimeout(event) ? "timeout" : "closed");
  }

  #end(reason: GoneReason): void {
    // The runtime dispatches a second close event where a ping was not answered.
    if (this.#closed) return;
    this.#closed = true;
    this.#asleep = false;
    this.#depart(reason);
    this.#context.onClosed(this, this.#client);
  }

  /** Who goes on may come back where it was not his own limit, but his client's, for which he need not have done much. */
  #refuseOver(limit: OverLimit, { call, about = [] }: Partial<Refusal>): void {
    this.#refuse({ call, about, code: "rate-limited" });
    const { limits: { strikeRate, strikeBurst }, shared, now, refusals } = this.#context;
    this.#strikes ??= new TokenBucket(strikeBurst, now());
    const own = this.#strikes.take(strikeRate, strikeBurst, now);
    // To refuse a call costs about as much as to carry it out: a crowd of sockets is not to have that many each.
    if (own && shared.strikes.take(this.account.source, now())) return;
    refusals.count("flood");
    if (limit === "socket" && !own) this.close(CloseCode.policy, "too many calls, again and again");
    else this.close(CloseCode.overloaded, "too many calls of your network address, again and again");
  }

  #depart(reason: GoneReason): void {
    if (this.#endedAt !== undefined) return;
    this.#open = false;
    this.#endedAt = this.#context.now();
    this.#outbox.close();
    if (this.#kept) this.#context.resumption!.forget(this.#id!);
    const { ledger, rooms } = this.#context;
    for (const { text } of rooms.standings(this)) ledger.departed(text);
    rooms.remove(this, reason);
  }

  /** Keeps what it holds for a client that is gone and may come back. False where it has nothing to come back to. */
  #fallAsleep(): boolean {
    // Where it was told goodbye nothing is kept any more, though its socket may still be open.
    if (!this.#open || !this.#kept || (this.#outbox.backlog?.stopped ?? true)) return false;
    if (this.#context.rooms.standings(this).length === 0) return false;
    this.#open = false;
    this.#asleep = true;
    this.#outbox.detach();
    // What there may be many of is as small as can be.
    this.#calls =
      this.#joins =
      this.#strikes =
      this.#waiting =
      this.#checked =
        undefined;
    this.#context.onAsleep(this, this.#client);
    return true;
  }

  #onJoined(address: string): void {
    if (this.#passes?.confirm(address)) this.#context.onPass(this);
    this.#context.ledger.joined(address, this.#reports);
    this.#keep();
    this.#onChanged();
  }

  #onLeft(address: string): void {
    this.#context.ledger.departed(address);
    this.#passes?.forget(address);
    this.#onChanged();
  }

  #onChanged(): void {
    if (this.#kept && this.#context.resumption!.seals) this.#context.onStale(this);
  }

  /** It holds an address: from now on it signals, and can be resumed where that is possible. */
  #keep(): void {
    const { resumption } = this.#context;
    if (this.#kept || resumption === undefined || this.#id === undefined) return;
    this.#kept = true;
    this.#outbox.keep(resumption.bytes, resumption.space);
    resumption.keep(this.#id, this);
  }

  /**
   * Tells the client a seal of what it holds now; to be called when that has changed, and a while before the last one
   * loses its force. False where it needs none any more.
   */
  reseal(): boolean {
    if (!this.#open || !this.#kept) return false;
    const members = this.#sealed();
    this.#send(encodeResume(this.#context.resumption!.offer(this.#id!, members)));
    return members.length > 0;
  }

  #sealed(): SealedMember[] {
    return this.#context.rooms.standings(this).map(({ text, proof, since }) => ({
      address: text,
      proof,
      since,
      pass: this.#passes?.of(text),
    }));
  }

  #onSeen(count: number): void {
    const { backlog } = this.#outbox;
    // Without a word where nothing is kept, or not yet.
    if (backlog === undefined) return;
    const unseen = backlog.unseen;
    if (!backlog.seen(count)) return this.#refuse({ code: "bad-arguments", call: "seen", about: [] });
    // Who is sent much has to say so often: that is not counted.
    if (unseen - backlog.unseen >= MESSAGES_PER_SEEN) this.#calls?.giveBack();
  }

  #resume(id: string, count: number, isFirst: boolean): void {
    const { resumption, rooms } = this.#context;
    this.#taken--;
    const found = isFirst ? resumption?.find(id) : undefined;
    if (found === undefined) return this.#refuse({ code: "cannot-resume", call: "resume", about: [] });
    if ("sealed" in found) return this.#resumeCold(found.sealed, count);
    const former = found.session;
    const missed = former.#outbox.backlog?.after(count);
    if (missed === undefined || !rooms.handOver(former, this)) {
      // It can't be resumed a second time, and nobody is to wait for it.
      former.close(CloseCode.replaced, "could not be resumed", "timeout");
      return this.#refuse({ code: "cannot-resume", call: "resume", about: [] });
    }
    this.#context.log.debug("a session of {client} was resumed, {missed} messages behind", {
      ...this.whose,
      missed: missed.length,
    });
    if (former.#passes !== undefined) {
      this.#passes = former.#passes;
      former.#passes = undefined;
      this.#context.onPass(this);
    }
    this.#taken = former.#taken;
    this.#reports = former.#reports;
    former.close(CloseCode.replaced, "resumed on another socket");
    this.#outbox.countFrom(count);
    this.#keep();
    const offer = this.#tellResumed(rooms.standings(this).map(({ text }) => text), { calls: this.#taken });
    // Ids of the former session are among what was missed: they are no good any more.
    for (const text of missed) this.#send(isOffer(text) ? encodeResume(offer) : text);
  }

  /**
   * Joins again what the client held in a former life of the server, or on another node. The outcomes come as events;
   * when all are there the client is told, and then all that has come to be meanwhile.
   */
  #resumeCold({ members }: Sealed, count: number): void {
    const now = Date.now();
    const due = members.filter(({ pass }) => pass === undefined || pass.until > now);
    this.#outbox.countFrom(count);
    this.#outbox.hold();
    this.#cold = { left: due.length + 1, addresses: [] };
    const later: Later[] = [];
    for (const { address, proof, since, pass } of due) {
      const { room, ident } = splitAddress(address);
      if (this.#takeJoin() !== undefined) {
        this.#onColdOutcome();
        continue;
      }
      if (pass !== undefined) this.#expect(address, pass);
      later.push(this.#context.rooms.join(this, ident, room, { proof, since, info: pass?.info }));
    }
    this.#onColdOutcome();
    if (this.#cold !== undefined) this.#await(Promise.all(later).then(() => {}));
  }

  /** @param address that was joined, if one was */
  #onColdOutcome(address?: string): void {
    const cold = this.#cold!;
    if (address !== undefined) cold.addresses.push(address);
    if (--cold.left > 0) return;
    this.#cold = undefined;
    if (cold.addresses.length > 0) this.#tellResumed(cold.addresses, { cold: true });
    else this.#refuse({ code: "cannot-resume", call: "resume", about: [] });
    this.#outbox.release();
  }

  #tellResumed(addresses: readonly string[], how: { calls: number } | { cold: true }): ResumeOffer {
    const { resumption, onSealed } = this.#context;
    const resume = resumption!.offer(this.#id!, this.#sealed());
    this.#sendUnnumbered(encodeResumed({ addresses, resume, ...how }));
    if (resumption!.seals) onSealed(this);
    return resume;
  }

  #join(ident: string, room: string, key: string | undefined, own: string | undefined): void {
    const { tokens, rooms } = this.#context;
    const proof = key === undefined ? undefined : sha256(key);
    if (tokens === undefined || own === undefined && tokens.isOpen(room)) {
      return this.#await(rooms.join(this, ident, room, { proof }));
    }
    this.#withPass(own ?? this.#client.token, room, ident, ["join", ident, room], (pass) => {
      this.#expect(addressText(room, ident), pass);
      const claim: JoinClaim = { proof, info: pass.info };
      this.#await(rooms.join(this, ident, room, claim));
    });
  }

  #renew(address: string, token: string): void {
    const { tokens, rooms } = this.#context;
    const refuse = (code: "not-a-member" | "unauthorised", text?: string) =>
      this.#refuse({ code, text, call: "renew", about: [address] });
    if (!rooms.holds(this, address)) return refuse("not-a-member");
    if (tokens === undefined) return refuse("unauthorised", "No tokens are asked for here.");
    const { room, ident } = splitAddress(address);
    this.#withPass(token, room, ident, ["renew", address], (pass) => {
      // It may have ended while the token was looked at.
      if (!rooms.holds(this, address)) return refuse("not-a-member");
      this.#expect(address, pass);
      this.#onJoined(address);
      const seconds = Math.floor((pass.until - Date.now()) / 1000);
      this.#send(encodeRenewed(JSON.stringify(address), seconds));
    });
  }

  /** Goes on with what the token lets its bearer do in the room; or refuses the call. */
  #withPass(
    token: string | undefined,
    room: string,
    ident: string,
    [call, ...about]: [string, ...string[]],
    then: (pass: Pass) => void,
  ): void {
    if (token === undefined) return this.#refuse({ code: "unauthorised", call, about });
    const proceed = (ticket: Ticket | TokenFault) => {
      if (!(ticket instanceof TokenFault)) this.#checked = { token, ticket };
      const pass = ticket instanceof TokenFault ? ticket : admit(ticket, room, ident, Date.now());
      if (!(pass instanceof TokenFault)) return then(pass);
      this.#refuse({ code: pass.code, text: pass.sentence, call, about });
    };
    if (this.#checked?.token === token) return proceed(this.#checked.ticket);
    this.#whenDone(this.#context.tokens!.check(token, this.account.source), proceed);
  }

  #expect(address: string, pass: Pass): void {
    (this.#passes ??= new Passes()).expect(address, pass);
  }

  /** To be called every second for those that have any: returns whether it still has. `now`: since 1970. */
  lookAtPasses(now: number): boolean {
    if (this.#passes === undefined || this.#closed) return false;
    this.#passes.look(now, {
      tell: (text) => this.#send(text),
      end: (address) => this.#context.rooms.end(address, "expired"),
    });
    return this.#passes.size > 0;
  }

  /** Whose name TURN credentials carry; nobody's, where they are for members by token only and this is none. */
  #turnIdent(): string | undefined {
    const { tokens, rooms } = this.#context;
    const [member] = rooms.standings(this).filter(({ text }) =>
      tokens === undefined || this.#passes?.of(text)?.ice
    );
    if (member !== undefined) return splitAddress(member.text).ident;
    return tokens === undefined ? freshIdent() : undefined;
  }
}

/** As many messages a client takes in before it says so. */
const MESSAGES_PER_SEEN = 32;

/** The runtime says so of a peer that did not answer a ping, and of nothing else. */
function isTimeout(event: CloseEvent): boolean {
  return event.code === 1001 && !event.wasClean;
}

function isLarger(data: Message, maxBytes: number): boolean {
  if (typeof data !== "string") return data.byteLength > maxBytes;
  // A UTF-16 code unit takes one to three bytes: mostly the length alone decides.
  if (data.length > maxBytes) return true;
  return data.length * 3 > maxBytes && encoder.encode(data).length > maxBytes;
}

/** `undefined` where the bytes are not UTF-8. */
function decodeUtf8(bytes: ArrayBuffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A call's name and what it is about, as an error repeats it. */
function describe(call: ClientCall): Pick<Refusal, "call" | "about"> {
  switch (call.call) {
    case "refused":
      return call.refusal;
    case "join":
      return { call: call.call, about: [call.ident, call.room] };
    case "signal":
      return { call: call.call, about: [call.from, call.to] };
    case "leave":
    case "renew":
      return { call: call.call, about: [call.address] };
    case "report":
      return { call: call.call, about: [call.own, call.other] };
    default:
      return { call: call.call, about: [] };
  }
}
