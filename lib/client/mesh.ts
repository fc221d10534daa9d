// SPDX-License-Identifier: MIT

/** A room in which everybody is connected to everybody else. */

import type { ChannelLimits, Message } from "./channel.ts";
import type { DiagnoseOptions, Diagnosis } from "./diagnose.ts";
import { type ErrorEvent, lacks, SignalError } from "./errors.ts";
import { emit, eventsOf, next, Target } from "./events.ts";
import { GOODBYE_MS, Link } from "./link.ts";
import { Peer } from "./peer.ts";
import type {
  Configuration,
  IceServer,
  MediaStream,
  PeerConnectionConstructor,
  RtcConnection,
  RtcStream,
  RtcTrack,
  WebSocketConstructor,
} from "./rtc.ts";
import {
  connect,
  type GoneEvent,
  type IntroductionEvent,
  type SignalEvent,
  type Signaller,
} from "./signaller.ts";
import { backoff, pause, TIMING, type Timing } from "./timing.ts";

export interface MeshOptions {
  /** 1 to 256 characters. Whoever knows the name can join. */
  room: string;
  /** Where the server is: `https://signal.example.org`. Not given: where this module was loaded from. */
  url?: string | URL | undefined;
  /** 1 to 128 characters without a colon, unique in the room. Not given: the server makes one up. */
  ident?: string | undefined;
  /**
   * 22 to 128 printable characters, kept to oneself: who has it can take over the ident, from a connection that died
   * for instance. Not given: made at random, for as long as this mesh lives.
   */
  key?: string | undefined;
  /** `"tab"`: ident and key outlive a reload of the page, so that the others see the same peer again. */
  keep?: "tab" | undefined;
  /**
   * Where the server asks for one: a token, or a function that fetches a fresh one whenever it is needed: to join, and
   * before the last one ends.
   */
  token?: string | ((about: { room: string; ident: string }) => string | Promise<string>) | undefined;
  /** For every connection; the ICE servers in it are used beside those that the server offers. */
  rtcConfiguration?: Configuration | undefined;
  /** Sent to everybody from the beginning. */
  media?: MediaStream | undefined;
  /** Ends everything. */
  signal?: AbortSignal | undefined;
  /** Where there is no global one. */
  WebSocket?: WebSocketConstructor | undefined;
  /** Where there is no global one: that of `node-datachannel/polyfill`, `werift` or `@roamhq/wrtc`. */
  RTCPeerConnection?: PeerConnectionConstructor | undefined;
  limits?: Partial<ChannelLimits> | undefined;
  timing?: Partial<Timing> | undefined;
}

/** Of the connection to the server. Links stay up whatever it is; `closed` is for good. */
export type MeshState = "connecting" | "joined" | "waiting" | "closed";

export interface MeshEvents {
  /** Somebody is there: once for each peer, whatever then happens to its connection. */
  peer: Event & { readonly peer: Peer };
  /** From any peer. */
  message: Event & { readonly peer: Peer; readonly data: Message };
  state: Event;
  /** With the peer that it concerns, where it concerns one. */
  error: ErrorEvent & { readonly peer?: Peer };
}

/** Refusals that another attempt may not meet. */
const PASSING = ["disconnected", "rate-limited", "unavailable"];

/** Joins a room. Rejects with `aborted`, `unreachable`, and what the server refuses a join with. */
export async function joinMesh(options: MeshOptions): Promise<Mesh> {
  const mesh = new Mesh(options);
  await mesh.ready();
  return mesh;
}

/** Looks for what stands in the way of connections, step by step: takes a few seconds. */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const { examine } = await import("./diagnose.ts");
  return examine({ ...options, url: options.url ?? ownServer() }, joinMesh);
}

export class Mesh extends Target<MeshEvents> implements AsyncDisposable {
  readonly room: string;
  /** Of the low layer: the connection to the server. */
  readonly signaller: Signaller;
  readonly #options: MeshOptions;
  readonly #timing: Timing;
  readonly #RTCPeerConnection: PeerConnectionConstructor;
  readonly #key: string;
  readonly #peers = new Map<string, Peer>();
  readonly #links = new Map<string, Link>();
  readonly #tracks = new Map<RtcTrack, RtcStream[]>();
  readonly #ended = new AbortController();
  #iceServers: IceServer[] = [];
  #ident: string | undefined;
  #address = "";
  #state: MeshState = "connecting";
  #wasJoined = false;
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #freshen: ReturnType<typeof setTimeout> | undefined;
  #reason: SignalError | undefined;
  /** What comes before the application had a chance to listen. */
  #held: (() => void)[] | undefined = [];

  /** @internal */
  constructor(options: MeshOptions) {
    super();
    const { room, WebSocket, RTCPeerConnection, signal, timing } = options;
    if (!room) {
      throw new SignalError("bad-arguments", "Pass the name of a room: { room }.");
    }
    const Connection = RTCPeerConnection ??
      (globalThis as { RTCPeerConnection?: PeerConnectionConstructor }).RTCPeerConnection;
    if (!Connection) throw lacks("RTCPeerConnection");
    const url = roomUrl(options);
    this.room = room;
    this.#options = options;
    this.#timing = { ...TIMING, ...timing };
    this.#RTCPeerConnection = Connection;
    const former = options.keep === "tab" ? kept(room) : undefined;
    this.#ident = options.ident ?? former?.ident;
    this.#key = options.key ?? former?.key ?? randomKey();
    if (options.media) this.addMedia(options.media);
    const until = { signal: this.#ended.signal };
    // Somebody who closes the page is not to be waited for. (Pages in the cache of the browser may
    // come back.) Before the connection hears of it, which it ends.
    (globalThis as Partial<EventTarget>).addEventListener?.("pagehide", (event) => {
      if (!(event as Event & { persisted: boolean }).persisted && options.keep !== "tab") this.leave();
    }, until);
    const signaller = this.signaller = connect(url, { WebSocket, timing });
    signal?.addEventListener("abort", () => this.leave(), until);
    if (signal?.aborted) queueMicrotask(() => this.leave());
    signaller.addEventListener("welcome", () => this.#onWelcome());
    signaller.addEventListener("resumed", ({ addresses, cold }) => {
      this.#refreshed(signaller.welcome!);
      if (cold) this.#lost();
      if (addresses.includes(this.#address)) this.#onJoined();
      else if (this.#ident) this.#join();
    });
    signaller.addEventListener(
      "expiring",
      ({ own, seconds }) => own === this.#address && this.#renew(seconds),
    );
    signaller.addEventListener("state", () => this.#onState());
    const inTurn = <E>(take: (event: E) => void) => (event: E) => {
      if (this.#held) this.#held.push(() => take(event));
      else take(event);
    };
    signaller.addEventListener("stun", inTurn((event) => this.#onIntroduction(event)));
    signaller.addEventListener("signal", inTurn((event) => this.#onSignal(event)));
    signaller.addEventListener("gone", inTurn((event) => this.#onGone(event)));
    signaller.addEventListener("error", ({ error }) => {
      // The other side has just left; that is told by `gone`.
      if (!["no-such-peer", "not-a-member"].includes(error.code)) this.#onError(error);
    });
  }

  get ident(): string {
    return this.#ident ?? "";
  }

  get state(): MeshState {
    return this.#state;
  }

  /** Everybody else in the room, by ident. */
  get peers(): ReadonlyMap<string, Peer> {
    return this.#peers;
  }

  /** Resolves once the room is joined for the first time. @internal */
  async ready(): Promise<void> {
    const late = setTimeout(() => {
      const text = `Nobody answers at ${this.signaller.url}. Does the server run, and is this its address?`;
      this.#end(new SignalError("unreachable", text));
    }, this.#timing.joinTimeout);
    while (this.#state !== "joined" && this.#state !== "closed") {
      await next(this, "state");
    }
    clearTimeout(late);
    if (this.#state === "closed") throw this.#reason;
    // A task of its own: whoever waited for us has run by then.
    setTimeout(() => this.#takeHeld());
  }

  #takeHeld(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const take of held) take();
  }

  /** Sends to everybody who is there now; see `Peer.send`. */
  async send(data: Message): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.send(data)));
  }

  /** Sends a stream's tracks to everybody, now and later; call it again after a track was added to the stream. */
  addMedia(stream: MediaStream): void {
    for (const track of (stream as RtcStream).getTracks()) {
      if (this.#tracks.has(track)) continue;
      this.#tracks.set(track, [stream as RtcStream]);
      for (const link of this.#links.values()) link.addTrack(track);
    }
  }

  removeMedia(stream: MediaStream): void {
    for (const [track, streams] of this.#tracks) {
      if (!streams.includes(stream as RtcStream)) continue;
      this.#tracks.delete(track);
      for (const link of this.#links.values()) link.removeTrack(track);
    }
  }

  /** Looks for what stands in the way of connections; see `diagnose`. */
  diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
    return diagnose({ ...this.#options, ...options });
  }

  /** Ends all links and the connection to the server, and tells the others. */
  async leave(): Promise<void> {
    if (this.#options.keep === "tab") kept(this.room, null);
    if (this.#state === "joined") this.signaller.leave(this.#address).catch(() => {});
    else await Promise.all([...this.#links.values()].map((link) => link.sayGoodbye()));
    this.#end(new SignalError("aborted", "The room was left."));
    // Whoever ends the process then would keep it from going out.
    await pause(GOODBYE_MS);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }

  /** The peers that are there, and those who come. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Peer> {
    const known = [...this.#peers.values()];
    const events = eventsOf<Event & { peer: Peer }>(this, "peer", "closed");
    const first = events.next();
    yield* known;
    const { done, value } = await first;
    if (done) return;
    yield value.peer;
    for await (const { peer } of events) yield peer;
  }

  #onWelcome(): void {
    this.#refreshed(this.signaller.welcome!);
    this.#attempt = 0;
    this.#lost();
    this.#join();
  }

  /** What the server knew is void: who is still there is introduced anew. */
  #lost(): void {
    for (const link of this.#links.values()) link.absent(this.#timing.linkTimeout);
  }

  async #token(): Promise<string | undefined> {
    const { token } = this.#options;
    return typeof token === "function" ? await token({ room: this.room, ident: this.ident }) : token;
  }

  async #renew(seconds: number): Promise<void> {
    if (typeof this.#options.token !== "function") return;
    try {
      await this.signaller.renew(this.#address, (await this.#token())!);
    } catch (error) {
      this.#onError(error);
      // While there is time; then it joins anew.
      if (seconds > 8) this.#retry = setTimeout(() => this.#renew(seconds / 2), seconds * 500);
    }
  }

  async #join(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      this.#ident ??= await this.signaller.ident();
      this.#address = `${this.room}:${this.#ident}`;
      const token = await this.#token();
      // Where tokens are asked for TURN is not in the welcome: links wait for it.
      if (token) this.#held ??= [];
      // Those who are there are introduced right behind the answer; who is not is no longer known to the server.
      await this.signaller.join(this.room, this.#ident, { key: this.#key, token });
      if (token) this.#refreshed(await this.signaller.ice());
    } catch (error) {
      return this.#onRefused(error);
    }
    if (this.#state === "closed") return;
    if (this.#wasJoined) this.#takeHeld();
    this.#wasJoined = true;
    this.#onJoined();
  }

  #onJoined(): void {
    if (this.#options.keep === "tab") kept(this.room, { ident: this.#ident!, key: this.#key });
    this.#setState("joined");
  }

  #onRefused(reason: unknown): void {
    const error = toError(reason);
    if (this.#state === "closed" || error.code === "disconnected") return;
    // The former connection may still hold the address, or the room is full for a while.
    if (!this.#wasJoined && !PASSING.includes(error.code)) return this.#end(error);
    this.#onError(error);
    this.#retry = setTimeout(() => this.#join(), backoff(this.#attempt++, this.#timing));
  }

  #onState(): void {
    const { state } = this.signaller;
    if (state === "closed") return this.#end(this.signaller.reason!);
    if (state !== "waiting") return;
    clearTimeout(this.#freshen);
    this.#setState("waiting");
  }

  #onIntroduction({ own, other, initiator, info }: IntroductionEvent): void {
    if (own !== this.#address || this.#state === "closed") return;
    const known = this.#links.get(other);
    if (known) return known.introduce(initiator);
    const ident = other.slice(other.lastIndexOf(":") + 1);
    const link: Link = new Link({
      timing: this.#timing,
      limits: this.#options.limits,
      tracks: this.#tracks,
      joined: () => this.#state === "joined",
      open: () => new this.#RTCPeerConnection(this.#configuration()) as RtcConnection,
      refresh: () => this.#refresh(),
      hasRelay: () => hasRelay(this.#configuration()),
      signal: (data) => void this.signaller.signal(this.#address, other, data),
      report: (report) => this.signaller.report(this.#address, other, report),
      onMessage: (data) => emit(this, "message", { peer, data }),
      onError: (error) => this.#onError(error, peer),
      onLeft: () => {
        if (this.#links.get(other) !== link) return;
        this.#links.delete(other);
        this.#peers.delete(ident);
      },
    }, initiator);
    const peer = new Peer(ident, link, info);
    this.#links.set(other, link);
    this.#peers.set(ident, peer);
    emit(this, "peer", { peer });
    link.introduce(initiator);
  }

  #onSignal({ own, other, data }: SignalEvent): void {
    if (own === this.#address) this.#links.get(other)?.take(data);
  }

  #onGone({ own, other, reason }: GoneEvent): void {
    if (own !== this.#address) return;
    if (other !== own) return this.#links.get(other)?.gone(reason);
    if (reason === "expired" && typeof this.#options.token === "function") {
      for (const link of [...this.#links.values()]) link.leave();
      return void this.#join();
    }
    this.#end(new SignalError(reason, `The server has taken the address away: ${reason}.`));
  }

  #configuration(): Configuration {
    const own = this.#options.rtcConfiguration;
    return { ...own, iceServers: [...own?.iceServers ?? [], ...this.#iceServers] };
  }

  async #refresh(): Promise<Configuration> {
    if (this.signaller.state === "open") this.#refreshed(await this.signaller.ice());
    return this.#configuration();
  }

  /** Credentials are renewed at half their life, so that a new connection can always be opened at once. */
  #refreshed({ iceServers, iceTtlSeconds }: { iceServers: IceServer[]; iceTtlSeconds?: number }): void {
    this.#iceServers = iceServers;
    clearTimeout(this.#freshen);
    if (iceTtlSeconds === undefined) return;
    this.#freshen = setTimeout(
      () => this.#refresh().catch((error) => this.#onError(error)),
      iceTtlSeconds * 500,
    );
  }

  #onError(error: unknown, peer?: Peer): void {
    emit(this, "error", { error: toError(error), ...peer && { peer } });
  }

  #end(error: SignalError): void {
    if (this.#state === "closed") return;
    this.#reason = error;
    clearTimeout(this.#retry);
    clearTimeout(this.#freshen);
    this.#ended.abort();
    for (const link of [...this.#links.values()]) link.leave();
    this.#setState("closed");
    this.signaller.close();
    emit(this, "closed");
    if (error.code !== "aborted" && this.#wasJoined) this.#onError(error);
  }

  #setState(state: MeshState): void {
    if (this.#state === state) return;
    this.#state = state;
    emit(this, "state");
  }
}

function toError(error: unknown): SignalError {
  return error instanceof SignalError
    ? error
    : new SignalError("link-failed", String((error as Error)?.message ?? error));
}

function hasRelay({ iceServers = [] }: Configuration): boolean {
  return iceServers.some(({ urls }) => [urls].flat().some((url) => /^turns?:/.test(url)));
}

/** The room is in the path too, so that a proxy can keep a room on one node. */
function roomUrl({ url, room }: MeshOptions): string {
  const base = url ?? ownServer();
  let full;
  try {
    full = new URL(base!);
  } catch {
    throw new SignalError("bad-arguments", `Pass the address of the server: { url }. This is none: ${base}`);
  }
  full.pathname = `${full.pathname.replace(/\/$/, "")}/r/${encodeURIComponent(room)}`;
  return full.href;
}

/** Where this module was loaded from, where that was a server of ours. */
function ownServer(): string | undefined {
  return /^https?:.*\/client\.js$/.test(import.meta.url) ? new URL(".", import.meta.url).href : undefined;
}

function randomKey(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))));
}

interface Kept {
  ident: string;
  key: string;
}

/** What a reload of the page leaves; nothing where the browser lets no page store anything. */
function kept(room: string, value?: Kept | null): Kept | undefined {
  const place = `signal:${room}`;
  try {
    if (value) sessionStorage.setItem(place, JSON.stringify(value));
    else if (value === null) sessionStorage.removeItem(place);
    else return JSON.parse(sessionStorage.getItem(place)!) ?? undefined;
  } catch { /* it is kept for the life of the page, then */ }
  return undefined;
}
