/** One socket: what it says is decoded, limited and handed to the rooms; what the rooms answer is sent. */

import { createHash } from "node:crypto";
import { CloseCode, type GoneReason } from "../protocol/codes.ts";
import type { IceServers } from "../protocol/ice_servers.ts";
import type { Account } from "../limits/accounts.ts";
import { CallBudget, type OverLimit } from "../limits/call_budget.ts";
import { JoinBudget, payJoin } from "../limits/join_budget.ts";
import type { SharedBudgets, SocketLimits } from "../limits/limits.ts";
import { TokenBucket } from "../limits/token_bucket.ts";
import type { Log } from "../runtime/log.ts";
import { Outbox, type OutboxOwner } from "./outbox.ts";
import {
  type ClientCall,
  decode,
  encodeError,
  encodeGone,
  encodeGoodbye,
  encodeIce,
  encodeIdent,
  encodeJoined,
  encodeLeft,
  encodeSignal,
  encodeStun,
  encodeWelcome,
  type LinkReport,
  PONG,
  type Refusal,
  SignalMemory,
  type Version,
  type Welcome,
} from "../protocol/codec.ts";
import { freshIdent } from "../protocol/ident.ts";
import { cut, dropIdleTimeout, setIdleTimeout } from "../runtime/internals.ts";
import type { RoomEvents, RoomStore } from "../rooms/store.ts";
import type { Tally } from "../runtime/tally.ts";

/** What all sessions of a server share. */
export interface SessionContext {
  readonly rooms: RoomStore<Session>;
  readonly limits: SocketLimits;
  readonly shared: SharedBudgets;
  /** What `welcome` tells, but for the ICE servers. */
  readonly welcome: Omit<Welcome, keyof IceServers>;
  readonly log: Log;
  /** Counts what is refused, by its code. */
  readonly refusals: Tally;
  /** Counts what becomes of the links between peers, as they report it. */
  readonly links: Tally;
  /** Told of each call that is refused. */
  readonly onRefused: (client: Client, refusal: Refusal) => void;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  /** ICE servers for a client, with fresh credentials; `ident` tells them from others'. */
  readonly ice: (client: Client, ident: string) => IceServers;
  /** Whether a client may have such credentials once more, by the call `ice`. */
  readonly takeIce: (client: Client) => boolean;
  /** Told of a session that is to be asked by `restIfSilent` from now on, until it says no. */
  readonly onBusy: (session: Session) => void;
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
}

/**
 * Milliseconds. A message that arrives between a call of `WebSocket.close` and the writing of the close frame makes
 * the runtime drop the connection without one; so those that are on their way are passed over first.
 */
const CLOSE_DELAY = 50;

/** A message that is over the limit is read to say what was refused, if it has no more UTF-16 units or bytes than that. */
const MAX_CHEAP = 1024;

const ONCE: AddEventListenerOptions = { once: true };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Handles the events of one server-side WebSocket. It listens with itself as the listener object, which spares a
 * closure per event and socket.
 */
export class Session implements EventListenerObject, OutboxOwner {
  readonly #client: Client;
  readonly #context: SessionContext;
  readonly #outbox: Outbox;
  /** Made when it is needed, like those below: many sockets only wait. */
  #calls?: CallBudget;
  /** Of a socket that has joined: others have nothing to signal. */
  #memory?: SignalMemory;
  /** Made when they are needed: most sockets join once or twice, and break no limits. */
  #joins?: JoinBudget;
  #strikes?: TokenBucket;
  /** Whether calls are taken: until the socket closes or is told to. */
  #open = true;
  #closed = false;
  #closing: ReturnType<typeof setTimeout> | undefined;
  /** Whether a message has come since `restIfSilent` was called, and whether that is called at all. */
  #heard = false;
  #busy = false;
  /** When it was told to close, or was given up. */
  #endedAt?: number;

  constructor(client: Client, context: SessionContext) {
    const { socket } = client;
    const { limits } = context;
    this.#client = client;
    this.#context = context;
    this.#outbox = new Outbox(socket, limits.maxQueueBytes, this);
    if (client.version === 3) socket.addEventListener("open", this, ONCE);
    socket.addEventListener("message", this);
    socket.addEventListener("close", this);
  }

  /** Whose client's limits bind this socket beside its own. */
  get account(): Account {
    return this.#client.account;
  }

  onOverflow(): void {
    this.#context.refusals.count("slow-reader");
    this.close(CloseCode.overloaded, "too slow a reader");
  }

  handleEvent(event: Event): void {
    switch (event.type) {
      case "message":
        return this.#onMessage((event as MessageEvent<string | ArrayBuffer>).data);
      case "open":
        return this.#outbox.send(
          encodeWelcome({ ...this.#context.welcome, ...this.#context.ice(this.#client, freshIdent()) }),
        );
      case "close":
        // An error event says no more: a close event follows it, but for a handshake that failed (see `connecting`).
        return this.#onClosed(isTimeout(event as CloseEvent) ? "timeout" : "closed");
    }
  }

  /** Closes the socket behind what is queued. Its addresses are free at once, and it is not listened to any more. */
  close(code: number, reason: string, gone: GoneReason = "closed"): void {
    if (!this.#open) return;
    this.#depart(gone);
    const { socket } = this.#client;
    const close = () => this.#closing = setTimeout(() => socket.close(code, reason), CLOSE_DELAY);
    // In the midst of its handshake it can be told nothing.
    if (socket.readyState === WebSocket.CONNECTING) socket.addEventListener("open", close);
    else close();
  }

  /** Tells the client that the server stops, and when to come back. It gets nothing more. */
  sayGoodbye(retryAfterMs: number): void {
    const { socket, version } = this.#client;
    if (version === 3 && socket.readyState !== WebSocket.CONNECTING) {
      this.#outbox.send(encodeGoodbye("shutdown", retryAfterMs));
    }
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
    if (this.#client.socket.readyState > WebSocket.OPEN) this.#depart("timeout");
    // In the time in which a ping would have had to be answered nothing of what waits has gone out.
    else if (this.#outbox.stalledFor(time) >= 2 * keepaliveSeconds * 1000) {
      this.close(CloseCode.overloaded, "nothing is read", "timeout");
    }
  }

  /** Ends it here and now; the connection as well, where the runtime allows that. */
  giveUp(reason: GoneReason): void {
    cut(this.#client.socket);
    this.#onClosed(reason);
  }

  /** The process has stood still: that is not to count as the client's silence. */
  forgiveSilence(): void {
    if (!this.#busy) this.#setIdleTimeout();
  }

  /** To be called every day for those that are busy. */
  stayAwake(): void {
    setIdleTimeout(this.#client.socket, 0);
  }

  /** To be called now and then for those that are busy. Returns whether it still is: else it is watched for silence again. */
  restIfSilent(): boolean {
    if (this.#heard) {
      this.#heard = false;
      return true;
    }
    this.#busy = false;
    this.#setIdleTimeout();
    return false;
  }

  #setIdleTimeout(): void {
    setIdleTimeout(this.#client.socket, 2 * this.#context.welcome.keepaliveSeconds);
  }

  /** Whoever talks need not be watched for silence: the runtime sets a timer at every message otherwise. */
  #wake(): void {
    this.#heard = true;
    if (this.#busy || !setIdleTimeout(this.#client.socket, 0)) return;
    this.#busy = true;
    this.#context.onBusy(this);
  }

  /** How rooms reach the sessions. */
  static readonly roomEvents: RoomEvents<Session> = {
    joined(session, own, others) {
      const { shared, now } = session.#context;
      payJoin(shared.joins, session.account.source, others, now());
      session.#context.log.debug("{address} joined", { address: own.text });
      session.#memory ??= new SignalMemory();
      session.#outbox.send(encodeJoined(own.quoted));
    },
    introduced(session, own, other, initiator) {
      session.#outbox.send(encodeStun(own.quoted, other.quoted, initiator));
    },
    signalled(session, own, other, tail) {
      session.#outbox.send(encodeSignal(own.opening, other.quoted, tail));
    },
    left(session, own) {
      session.#context.log.debug("{address} left", { address: own.text });
      session.#outbox.send(encodeLeft(own.quoted));
    },
    replaced(session, own, held) {
      session.#context.log.debug("{address} was taken over", { address: own.text });
      session.#outbox.send(encodeGone(own.quoted, own.quoted, "replaced"));
      // When the caller's stack is done: a store is not to be called back from within its own events.
      if (held === 0) queueMicrotask(() => session.close(CloseCode.replaced, "taken over with the same key"));
    },
    gone(session, own, other, reason) {
      if (session.#client.version === 3) session.#outbox.send(encodeGone(own.quoted, other.quoted, reason));
    },
    refused(session, code, call, about) {
      session.#refuse({ code, call, about });
    },
  };

  #onMessage(data: string | ArrayBuffer): void {
    if (!this.#open) return;
    if (!this.#heard) this.#wake();
    const { limits, shared, now } = this.#context;
    if (isLarger(data, limits.maxMessageBytes)) {
      this.#refuse({ code: "too-large", about: [] });
      return this.close(CloseCode.tooLarge, `messages may have ${limits.maxMessageBytes} bytes`);
    }
    this.#calls ??= new CallBudget(limits, now());
    const over = this.#calls.take(limits, shared.calls, this.account.source, now);
    // Before anything is spent on it, and so without a word of what it was where that would be long to find out.
    if (over !== undefined && (typeof data === "string" ? data.length : data.byteLength) > MAX_CHEAP) {
      return this.#refuseOver(over, {});
    }
    const text = typeof data === "string" ? data : decodeUtf8(data);
    if (text === undefined) return this.#refuse({ code: "bad-json", about: [] });

    const call = decode(text, this.#client.version, this.#memory);
    const limit = over ?? (call.call === "join" ? this.#takeJoin() : undefined);
    if (limit === undefined) this.#carryOut(call);
    else this.#refuseOver(limit, describe(call));
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
        return rooms.signal(this, call.from, call.to, call.tail);
      case "ident":
        return this.#outbox.send(encodeIdent(freshIdent()));
      case "join":
        return rooms.join(this, call.ident, call.room, call.key === undefined ? undefined : sha256(call.key));
      case "leave":
        return rooms.leave(this, call.address);
      case "ping":
        return this.#outbox.send(PONG);
      case "ice":
        return this.#context.takeIce(this.#client)
          ? this.#outbox.send(encodeIce(this.#context.ice(this.#client, freshIdent())))
          : this.#refuse({ code: "rate-limited", call: "ice", about: [] });
      case "report":
        return this.#takeReport(call.own, call.other, call.link);
      case "refused":
        return this.#refuse(call.refusal);
    }
  }

  /** A peer may well report on another that is gone by now, but on no link of somebody else. */
  #takeReport(own: string, other: string, link: LinkReport): void {
    if (!this.#context.rooms.holds(this, own)) {
      return this.#refuse({ code: "not-a-member", call: "report", about: [own, other] });
    }
    this.#context.log.debug("{own} reports on its link to {other}", { own, other, ...link });
    const detail = link.path ?? link.why;
    this.#context.links.count(detail === undefined ? link.state : `${link.state} ${detail}`);
  }

  /** Version 2 has no word for it: there the call is passed over. */
  #refuse(refusal: Refusal): void {
    this.#context.refusals.count(refusal.code);
    this.#context.onRefused(this.#client, refusal);
    if (this.#client.version === 3) this.#outbox.send(encodeError(refusal));
  }

  #onClosed(reason: GoneReason): void {
    // The runtime dispatches a second close event where a ping was not answered.
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#closing);
    dropIdleTimeout(this.#client.socket);
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
    if (!this.#open) return;
    this.#open = false;
    this.#endedAt = this.#context.now();
    this.#outbox.close();
    this.#context.rooms.remove(this, reason);
  }
}

/** The runtime says so of a peer that did not answer a ping, and of nothing else. */
function isTimeout(event: CloseEvent): boolean {
  return event.code === 1001 && !event.wasClean;
}

function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function isLarger(data: string | ArrayBuffer, maxBytes: number): boolean {
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
      return { call: call.call, about: [call.address] };
    case "report":
      return { call: call.call, about: [call.own, call.other] };
    default:
      return { call: call.call, about: [] };
  }
}
