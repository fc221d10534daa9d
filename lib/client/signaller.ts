// SPDX-License-Identifier: MIT

/** The low layer: one connection to the server that comes back by itself, its calls and what the server tells. */

import { emit, next, Target } from "./events.ts";
import { type ErrorEvent, lacks, SignalError } from "./errors.ts";
import type { IceServer, WebSocketConstructor } from "./rtc.ts";
import { backoff, TIMING, type Timing } from "./timing.ts";

export interface ConnectOptions {
  /** Where there is no global one: `ws` from npm, say. */
  WebSocket?: WebSocketConstructor | undefined;
  /** Ends the connection for good. */
  signal?: AbortSignal | undefined;
  /** Other waits than the usual ones. */
  timing?: Partial<Timing> | undefined;
}

/** What the server tells of itself; see the protocol's `welcome`. */
export interface Welcome {
  readonly version: 3;
  readonly server: string;
  readonly limits: Readonly<Record<string, number>>;
  readonly keepaliveSeconds: number;
  readonly iceServers: IceServer[];
  readonly iceTtlSeconds?: number;
  /** Where sessions can be resumed. */
  readonly resume?: { readonly id: string; readonly seconds: number; readonly bytes: number };
}

/** `open`: calls can be made. `waiting`: for the next attempt. `closed`: for good. */
export type SignallerState = "connecting" | "open" | "waiting" | "closed";

/** Two addresses, each `room:ident`. */
interface Pair {
  readonly own: string;
  readonly other: string;
}

/** A member is to be connected to; the initiator makes the offer. `info`: what the server vouches for of the other. */
export type IntroductionEvent = Event & Pair & { readonly initiator: boolean; readonly info?: unknown };
export type SignalEvent = Event & Pair & { readonly data: unknown };
export type GoneEvent = Event & Pair & { readonly reason: string };

export interface SignallerEvents {
  state: Event;
  /** There is nothing left of a former session, if there was one: join (again). */
  welcome: Event & { readonly welcome: Welcome };
  /** It goes on where it broke off; `cold`: but for what was said meanwhile, and members are introduced anew. */
  resumed: Event & { readonly addresses: readonly string[]; readonly cold: boolean };
  /** A membership by token is about to end: `renew` it. */
  expiring: Event & { readonly own: string; readonly seconds: number };
  stun: IntroductionEvent;
  signal: SignalEvent;
  gone: GoneEvent;
  goodbye: Event & { readonly reason: string; readonly retryAfterMs: number };
  /** A call without an answer was refused, or the connection has ended for good. */
  error: ErrorEvent;
}

/** What became of a link; see the protocol's `report`. */
export interface LinkReport {
  state: "connected" | "interrupted" | "failed" | "closed";
  path?: "host" | "srflx" | "prflx" | "relay";
  ms?: number;
  why?: "no-answer" | "no-candidates" | "ice-failed" | "relay-needed" | "other";
}

export interface JoinOptions {
  /** 22 to 128 printable characters, made at random and kept: takes the address over from a connection that died. */
  key?: string | undefined;
  /** Where the server asks for one. */
  token?: string | undefined;
}

const SUBPROTOCOL = "diva.signal.v3";

/** Close codes after which coming back would be no use: policy, too large, replaced, unauthorised. */
const FINAL = [1008, 1009, 4001, 4003];

/** A connection that lasted for so long starts its pauses over. */
const STABLE_MS = 10_000;

/** Calls that wait for their answers, or may have to be sent again. */
const MAX_PENDING = 1000;

/** After so many messages each side is told that they have arrived; or after a while, in milliseconds. */
const CONFIRM_MESSAGES = 32;
const CONFIRM_MS = 5000;

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: SignalError) => void;
}

/** Opens a connection to the server at a `ws:` or `wss:` URL (`http:` and `https:` will do), on any path. */
export function connect(url: string | URL, options?: ConnectOptions): Signaller {
  return new Signaller(url, options);
}

/**
 * A connection to the server. It comes back after a break, with growing pauses. Within some seconds it goes on as if
 * nothing had been (`resumed`): what was said on either side arrives, once. After that nothing is left of it: listen for
 * `welcome` to join (again). Calls that still wait for an answer are then rejected with `disconnected`.
 */
export class Signaller extends Target<SignallerEvents> implements Disposable {
  readonly url: string;
  readonly #WebSocket: WebSocketConstructor;
  readonly #timing: Timing;
  // deno-lint-ignore no-explicit-any -- whatever kind of WebSocket was passed in
  #socket: any;
  #state: SignallerState = "connecting";
  #giveUp = () => {};
  #welcome: Welcome | undefined;
  #reason: SignalError | undefined;
  #attempt = 0;
  #openedAt = Infinity;
  #retryAfter: number | undefined;
  /** How to come back to the session, and whether it is being tried. */
  #resume: { id: string } | undefined;
  #resuming = false;
  /** Messages that were taken in; the server knows of those but the last few. */
  #count = 0;
  #unseen = 0;
  #seen: ReturnType<typeof setTimeout> | undefined;
  /** The server has taken in so many calls, as far as is known, and may have missed these behind them. */
  #taken = 0;
  #calls: string[] = [];
  /** The numbers of calls that were pings, and not answered yet; and of the last. */
  #pings: number[] = [];
  #pinged = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;
  /** By what the answer begins with: `join room:ident`, `leave room:ident`, `ident`, `ice`. */
  readonly #pending = new Map<string, Pending[]>();
  readonly #ended = new AbortController();
  /** Servers before this call was known would answer each with an error. */
  #reports = true;

  constructor(url: string | URL, { WebSocket, signal, timing }: ConnectOptions = {}) {
    super();
    this.url = String(url).replace(/^http/, "ws");
    const Socket = WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!Socket) throw lacks("WebSocket");
    this.#WebSocket = Socket;
    this.#timing = { ...TIMING, ...timing };
    const until = { signal: this.#ended.signal };
    const abort = () => this.close();
    if (signal?.aborted) queueMicrotask(abort);
    else this.#open();
    signal?.addEventListener("abort", abort, until);
    // Browsers only: elsewhere nobody dispatches these.
    const page = globalThis as Partial<EventTarget>;
    for (const type of ["online", "pageshow", "visibilitychange"]) {
      page.addEventListener?.(type, () => this.#hurry(), until);
    }
    // A page in the cache of the browser is to hold no socket; it opens one when it is shown again.
    page.addEventListener?.("pagehide", () => this.#socket?.close(1000), until);
  }

  get state(): SignallerState {
    return this.#state;
  }

  /** What the server said last; `undefined` before it has said anything. */
  get welcome(): Welcome | undefined {
    return this.#welcome;
  }

  /** Why it is closed. */
  get reason(): SignalError | undefined {
    return this.#reason;
  }

  /** Resolves with the welcome once the server is reached. */
  async ready(): Promise<Welcome> {
    for (;;) {
      if (this.#state === "open") return this.#welcome!;
      if (this.#state === "closed") throw this.#reason;
      await next(this, "state");
    }
  }

  /** A fresh ident that nobody can guess. */
  ident(): Promise<string> {
    return this.#ask("ident", ["ident"]);
  }

  /** Joins a room; resolves with the address, `room:ident`. */
  join(room: string, ident: string, { key, token }: JoinOptions = {}): Promise<string> {
    // Older servers would not take options where there are none.
    const options = key === undefined && token === undefined ? [] : [{ key, token }];
    return this.#ask(`join ${room}:${ident}`, ["join", ident, room, ...options]);
  }

  /** Goes on with a membership by token; resolves with the seconds that it has. */
  renew(address: string, token: string): Promise<number> {
    return this.#ask(`renew ${address}`, ["renew", address, token]);
  }

  leave(address: string): Promise<string> {
    return this.#ask(`leave ${address}`, ["leave", address]);
  }

  /** The server's STUN and TURN servers, with fresh credentials. */
  ice(): Promise<{ iceServers: IceServer[]; iceTtlSeconds?: number }> {
    return this.#ask("ice", ["ice"]);
  }

  /** Says something to a member of the same room. False: it is lost, for the connection is down for long. */
  signal(own: string, other: string, data: unknown): boolean {
    return this.#send(["signal", own, other, data]);
  }

  /** Tells the server what became of a link. */
  report(own: string, other: string, link: LinkReport): void {
    if (this.#reports) this.#send(["report", own, other, link]);
  }

  close(): void {
    this.#end(new SignalError("aborted", "It was closed."), 1000);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): void {
    this.#setState("connecting");
    this.#retryAfter = undefined;
    let socket;
    try {
      socket = this.#socket = new this.#WebSocket(this.url, [SUBPROTOCOL]);
    } catch (error) {
      // Of a URL that is none, say: no later attempt would fare better.
      return queueMicrotask(() => this.#end(new SignalError("not-supported", (error as Error).message)));
    }
    let over = false;
    const lost = (code = 1006, reason = "") => {
      if (over) return;
      over = true;
      this.#onLost(code, reason);
    };
    // A socket whose network is gone may take minutes to close.
    this.#giveUp = () => {
      socket.close();
      lost();
    };
    this.#watch = setTimeout(this.#giveUp, this.#timing.connectTimeout);
    socket.onopen = () => {
      if (socket.protocol === SUBPROTOCOL) return;
      const text = "The server does not speak version 3.";
      this.#end(new SignalError("not-version-3", text), 1000);
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (over || typeof data !== "string") return;
      clearTimeout(this.#watch);
      this.#watch = setTimeout(() => this.#probe(), this.#timing.pingInterval);
      this.#take(data);
    };
    // An error event says nothing; a close event follows it.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => lost(code, reason);
  }

  #onLost(code: number, reason: string): void {
    clearTimeout(this.#watch);
    clearTimeout(this.#seen);
    this.#seen = this.#socket = undefined;
    this.#resuming = false;
    if (!this.#resume) this.#rejectAll();
    if (this.#state === "closed") return;
    if (FINAL.includes(code)) {
      const name = code === 4001 ? "replaced" : "closed";
      return this.#end(new SignalError(name, `The server closed the connection: ${reason || code}.`));
    }
    if (Date.now() - this.#openedAt > STABLE_MS) this.#attempt = 0;
    this.#openedAt = Infinity;
    this.#setState("waiting");
    this.#timer = setTimeout(() => this.#open(), this.#retryAfter ?? backoff(this.#attempt++, this.#timing));
  }

  /** The network is back, or the page is looked at again: now is a good time to try. */
  #hurry(): void {
    if (this.#state === "waiting") {
      clearTimeout(this.#timer);
      this.#open();
    } else if (this.#state === "open") this.#probe();
  }

  #probe(): void {
    clearTimeout(this.#watch);
    this.#ping();
    this.#watch = setTimeout(this.#giveUp, this.#timing.pongTimeout);
  }

  #end(error: SignalError, code?: number): void {
    if (this.#state === "closed") return;
    this.#reason = error;
    this.#ended.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    clearTimeout(this.#seen);
    this.#socket?.close(code);
    this.#rejectAll(error);
    this.#setState("closed");
    if (error.code !== "aborted") emit(this, "error", { error });
  }

  #setState(state: SignallerState): void {
    if (this.#state === state) return;
    this.#state = state;
    emit(this, "state");
  }

  #take(text: string): void {
    // deno-lint-ignore no-explicit-any -- the server's word is taken
    let message: any[];
    try {
      message = [...JSON.parse(text)];
    } catch {
      return;
    }
    const [name, first, second, third, info] = message;
    switch (name) {
      case "welcome":
        this.#welcome = first;
        this.#openedAt = Date.now();
        this.#resuming = this.#resume !== undefined;
        if (!this.#resume) return this.#begin(0);
        return this.#socket.send(JSON.stringify(["resume", this.#resume.id, this.#count]));
      case "resumed":
        return this.#resumed(first);
    }
    if (this.#resuming) return this.#begin(1);
    this.#count++;
    if (this.#resume) this.#saySeen(text.length);
    switch (name) {
      case "resume":
        this.#resume = first;
        return;
      case "pong":
        return this.#confirm(this.#pings.shift() ?? 0);
      case "renewed":
        return this.#settle(`renew ${first}`)?.resolve(second as never);
      case "expiring":
        return emit(this, name, { own: first, seconds: second });
      case "join":
      case "leave":
        return this.#settle(`${name} ${first}`)?.resolve(first as never);
      case "ident":
      case "ice":
        return this.#settle(name)?.resolve(first as never);
      case "stun":
        return emit(this, name, { own: first, other: second, initiator: third, info });
      case "signal":
        return emit(this, name, { own: first, other: second, data: third });
      case "gone":
        return emit(this, name, { own: first, other: second, reason: third });
      case "goodbye":
        this.#retryAfter = first?.retryAfterMs;
        return emit(this, name, first);
      case "error":
        return this.#refused(first, second, third, info, message[5]);
    }
  }

  /** A session of its own: the first one, or the one before can't be resumed, which was its first message. */
  #begin(count: number): void {
    this.#resuming = false;
    this.#resume = this.#welcome!.resume;
    this.#count = count;
    this.#forget();
    this.#setState("open");
    emit(this, "welcome", { welcome: this.#welcome });
  }

  #forget(): void {
    this.#taken = this.#pinged = 0;
    this.#calls = [];
    this.#pings = [];
    this.#rejectAll();
  }

  #resumed({ addresses, resume, calls = this.#taken, cold = false }: Resumed): void {
    this.#resuming = false;
    this.#resume = resume;
    if (cold) this.#forget();
    else this.#confirm(calls);
    this.#setState("open");
    for (const call of this.#calls) this.#socket.send(call);
    emit(this, "resumed", { addresses, cold });
  }

  /** The server has taken in so many calls. */
  #confirm(calls: number): void {
    // Those of pings that came before what was resumed are known already.
    if (calls <= this.#taken) return;
    this.#calls.splice(0, calls - this.#taken);
    this.#taken = calls;
  }

  #ping(): void {
    const number = this.#pinged = this.#taken + this.#calls.length + 1;
    if (this.#send(["ping"])) this.#pings.push(number);
  }

  #saySeen(length: number): void {
    const say = () => {
      clearTimeout(this.#seen);
      this.#seen = undefined;
      this.#unseen = 0;
      this.#send(["seen", this.#count]);
    };
    // Long ones count for more: the server keeps so many characters, not messages.
    this.#unseen += 1 + length / 1024;
    if (this.#unseen >= CONFIRM_MESSAGES) say();
    else this.#seen ??= setTimeout(say, CONFIRM_MS);
  }

  #refused(code: string, text: string, call: string | undefined, first = "", second = ""): void {
    const error = new SignalError(code, text);
    const waiting = this.#settle(
      call === "join" ? `join ${second}:${first}` : first ? `${call} ${first}` : call,
    );
    if (waiting) return waiting.reject(error);
    if (call === "report") {
      this.#reports = code !== "bad-call";
      return;
    }
    emit(this, "error", { error });
  }

  #ask<T>(name: string, call: unknown[]): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = this.#pending.get(name) ?? [];
      if (this.#pending.size + waiting.length >= MAX_PENDING) {
        return reject(new SignalError("queue-full", "Too many calls wait."));
      }
      if (!this.#send(call)) return reject(lost());
      waiting.push({ resolve, reject });
      this.#pending.set(name, waiting);
    });
  }

  /** Answers come in the order of the calls. */
  #settle(name = ""): Pending | undefined {
    const waiting = this.#pending.get(name);
    const first = waiting?.shift();
    if (waiting?.length === 0) this.#pending.delete(name);
    return first;
  }

  #rejectAll(error = lost()): void {
    const all = [...this.#pending.values()].flat();
    this.#pending.clear();
    for (const { reject } of all) reject(error);
  }

  #send(call: unknown[]): boolean {
    // Not while it closes: browsers would complain on the console.
    const open = this.#state === "open" && this.#socket?.readyState === 1;
    if (this.#calls.length >= MAX_PENDING || !open && (!this.#resume || this.#state === "closed")) {
      return false;
    }
    const text = JSON.stringify(call);
    if (this.#resume) this.#calls.push(text);
    if (open) this.#socket.send(text);
    if (open && this.#taken + this.#calls.length - this.#pinged >= CONFIRM_MESSAGES) this.#ping();
    return true;
  }
}

interface Resumed {
  readonly addresses: readonly string[];
  readonly resume: { readonly id: string };
  readonly calls?: number;
  readonly cold?: boolean;
}

function lost(): SignalError {
  return new SignalError("disconnected", "The server is not connected.");
}
