// SPDX-License-Identifier: MIT

/** The low layer: one connection to the server that comes back by itself, its calls and what the server tells. */

import { emit, Target } from "./events.ts";
import { type ErrorEvent, SignalError } from "./errors.ts";
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
}

/** `open`: calls can be made. `waiting`: for the next attempt. `closed`: for good. */
export type SignallerState = "connecting" | "open" | "waiting" | "closed";

/** Two addresses, each `room:ident`. */
interface Pair {
  readonly own: string;
  readonly other: string;
}

/** A member is to be connected to; the initiator makes the offer. */
export type IntroductionEvent = Event & Pair & { readonly initiator: boolean };
export type SignalEvent = Event & Pair & { readonly data: unknown };
export type GoneEvent = Event & Pair & { readonly reason: string };

export interface SignallerEvents {
  state: Event;
  welcome: Event & { readonly welcome: Welcome };
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
}

const SUBPROTOCOL = "diva.signal.v3";

/** Close codes after which coming back would be no use: policy, too large, replaced, unauthorised. */
const FINAL = [1008, 1009, 4001, 4003];

/** A connection that lasted for so long starts its pauses over. */
const STABLE_MS = 10_000;

/** Calls that wait for their answers. */
const MAX_PENDING = 1000;

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: SignalError) => void;
}

/** Opens a connection to the server at a `ws:` or `wss:` URL (`http:` and `https:` will do), on any path. */
export function connect(url: string | URL, options: ConnectOptions = {}): Signaller {
  return new Signaller(url, options);
}

/**
 * A connection to the server. It comes back after a break, with growing pauses, but remembers no room: listen for
 * `welcome` to join (again). Calls that wait for an answer when it breaks are rejected with `disconnected`.
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
  #openedAt = 0;
  #retryAfter: number | undefined;
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
    if (!Socket) {
      throw new SignalError("not-supported", "This runtime has no WebSocket: pass one in as an option.");
    }
    this.#WebSocket = Socket;
    this.#timing = { ...TIMING, ...timing };
    const until = { signal: this.#ended.signal };
    const abort = () => this.#end(new SignalError("aborted", "The connection was given up."), 1000);
    if (signal?.aborted) queueMicrotask(abort);
    else this.#open();
    signal?.addEventListener("abort", abort, until);
    // Browsers only: elsewhere nobody dispatches these.
    const page = globalThis as Partial<EventTarget>;
    page.addEventListener?.("online", () => this.#hurry(), until);
    page.addEventListener?.("pageshow", () => this.#hurry(), until);
    // A page in the cache of the browser is to hold no socket; it opens one when it is shown again.
    page.addEventListener?.("pagehide", () => this.#socket?.close(1000), until);
    (globalThis as { document?: EventTarget }).document
      ?.addEventListener("visibilitychange", () => this.#hurry(), until);
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
      await new Promise((resolve) => this.addEventListener("state", resolve, { once: true }));
    }
  }

  /** A fresh ident that nobody can guess. */
  ident(): Promise<string> {
    return this.#ask("ident", ["ident"]);
  }

  /** Joins a room; resolves with the address, `room:ident`. */
  join(room: string, ident: string, { key }: JoinOptions = {}): Promise<string> {
    return this.#ask(`join ${room}:${ident}`, ["join", ident, room, ...key === undefined ? [] : [{ key }]]);
  }

  leave(address: string): Promise<string> {
    return this.#ask(`leave ${address}`, ["leave", address]);
  }

  /** The server's STUN and TURN servers, with fresh credentials. */
  ice(): Promise<{ iceServers: IceServer[]; iceTtlSeconds?: number }> {
    return this.#ask("ice", ["ice"]);
  }

  /** Says something to a member of the same room; what waits while the connection is down is lost: false. */
  signal(own: string, other: string, data: unknown): boolean {
    return this.#send(["signal", own, other, data]);
  }

  /** Tells the server what became of a link. */
  report(own: string, other: string, link: LinkReport): void {
    if (this.#reports) this.#send(["report", own, other, link]);
  }

  close(): void {
    this.#end(new SignalError("aborted", "The connection was closed."), 1000);
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
      const text = "The server does not speak version 3 of the protocol.";
      this.#end(new SignalError("not-version-3", text), 1000);
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (over || typeof data !== "string") return;
      clearTimeout(this.#watch);
      this.#watch = setTimeout(() => {
        this.#send(["ping"]);
        this.#watch = setTimeout(this.#giveUp, this.#timing.pongTimeout);
      }, this.#timing.pingInterval);
      this.#take(data);
    };
    // An error event says nothing; a close event follows it.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => lost(code, reason);
  }

  #onLost(code: number, reason: string): void {
    clearTimeout(this.#watch);
    this.#socket = undefined;
    this.#rejectAll(new SignalError("disconnected", "The connection to the server was lost."));
    if (this.#state === "closed") return;
    if (FINAL.includes(code)) {
      const name = code === 4001 ? "replaced" : "closed";
      return this.#end(new SignalError(name, `The server closed the connection: ${reason || code}.`));
    }
    const stable = this.#openedAt > 0 && Date.now() - this.#openedAt > STABLE_MS;
    this.#openedAt = 0;
    if (stable) this.#attempt = 0;
    this.#setState("waiting");
    this.#timer = setTimeout(() => this.#open(), this.#retryAfter ?? backoff(this.#attempt++, this.#timing));
  }

  /** The network is back, or the page is looked at again: now is a good time to try. */
  #hurry(): void {
    if (this.#state === "waiting") {
      clearTimeout(this.#timer);
      this.#open();
    } else if (this.#state === "open") {
      this.#send(["ping"]);
      clearTimeout(this.#watch);
      this.#watch = setTimeout(this.#giveUp, this.#timing.pongTimeout);
    }
  }

  #end(error: SignalError, code?: number): void {
    if (this.#state === "closed") return;
    this.#reason = error;
    this.#ended.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
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
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (!Array.isArray(message)) return;
    const [name, first, second, third] = message;
    switch (name) {
      case "welcome":
        this.#welcome = first;
        this.#openedAt = Date.now();
        this.#setState("open");
        return emit(this, name, { welcome: first });
      case "join":
      case "leave":
        return this.#settle(`${name} ${first}`)?.resolve(first as never);
      case "ident":
      case "ice":
        return this.#settle(name)?.resolve(first as never);
      case "stun":
        return emit(this, name, { own: first, other: second, initiator: third });
      case "signal":
        return emit(this, name, { own: first, other: second, data: third });
      case "gone":
        return emit(this, name, { own: first, other: second, reason: third });
      case "goodbye":
        this.#retryAfter = first?.retryAfterMs;
        return emit(this, name, first);
      case "error":
        return this.#refused(first, second, third, message[4], message[5]);
    }
  }

  #refused(code: string, text: string, call: string | undefined, first = "", second = ""): void {
    const error = new SignalError(code, text);
    const name = call === "join" ? `join ${second}:${first}` : call === "leave" ? `leave ${first}` : call;
    const waiting = name === undefined ? undefined : this.#settle(name);
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
        return reject(new SignalError("queue-full", "Too many calls wait for their answers."));
      }
      if (!this.#send(call)) {
        return reject(new SignalError("disconnected", "There is no connection to the server."));
      }
      waiting.push({ resolve, reject });
      this.#pending.set(name, waiting);
    });
  }

  /** Answers come in the order of the calls. */
  #settle(name: string): Pending | undefined {
    const waiting = this.#pending.get(name);
    const first = waiting?.shift();
    if (waiting?.length === 0) this.#pending.delete(name);
    return first;
  }

  #rejectAll(error: SignalError): void {
    const all = [...this.#pending.values()].flat();
    this.#pending.clear();
    for (const { reject } of all) reject(error);
  }

  #send(call: unknown[]): boolean {
    // Not while it closes: browsers would complain on the console.
    if (this.#state !== "open" || this.#socket?.readyState !== 1) return false;
    try {
      this.#socket.send(JSON.stringify(call));
      return true;
    } catch {
      return false;
    }
  }
}
