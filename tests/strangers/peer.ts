/**
 * A peer as a stranger would write it: it knows the wire protocol and WebRTC, and nothing of the server's code.
 *
 * The server passes on what peers tell each other and does not look into it. Peers of this kind send two shapes:
 *
 * - `{"description": {"type": "offer" | "answer", "sdp": "…"}}`
 * - `{"candidate": {"candidate": "…", "sdpMid": "0", "sdpMLineIndex": 0}}`, one for each address at which the
 *   sender may be reached, as soon as it is known ("trickle ICE", RFC 8838).
 *
 * A page that speaks with the browser's own `RTCPeerConnection` understands both as they are.
 */

// @ts-types="../kit/wrtc.d.ts"
import wrtc from "@roamhq/wrtc";
// @ts-types="../kit/wrtc.d.ts"
import type { DataChannel, IceCandidate, SessionDescription } from "@roamhq/wrtc";

/** Version of the wire protocol. */
export type Version = 2 | 3;

/** An `RTCIceServer` of the WebRTC API. */
export interface IceServer {
  readonly urls: string | readonly string[];
  readonly username?: string;
  readonly credential?: string;
}

/** What happens to a peer. `other`: the address (`room:ident`) of the peer that it happens with. */
export type PeerEvent =
  | { readonly type: "named"; readonly ident: string }
  | { readonly type: "joined" }
  | { readonly type: "introduced"; readonly other: string; readonly initiator: boolean }
  | { readonly type: "sent" | "received"; readonly other: string; readonly what: SignalKind }
  | { readonly type: "state"; readonly other: string; readonly state: ConnectionState }
  | { readonly type: "message"; readonly other: string; readonly text: string }
  | { readonly type: "failed" | "gone"; readonly other: string; readonly reason: string }
  | { readonly type: "refused"; readonly code: string; readonly reason: string }
  | { readonly type: "disconnected"; readonly reason: string };

export type SignalKind = "offer" | "answer" | "candidate";
type Connection = InstanceType<typeof wrtc.RTCPeerConnection>;
type ConnectionState = Connection["connectionState"];
type Candidate = Pick<IceCandidate, "candidate" | "sdpMid" | "sdpMLineIndex">;
type Signal = { readonly description: SessionDescription } | { readonly candidate: Candidate };

export interface MeshPeerOptions {
  /** `ws:` or `wss:` URL of the server. */
  readonly url: string;
  readonly room: string;
  /** Default: 2. */
  readonly version?: Version;
  /** Default: none for version 2; for version 3 those that the server offers. */
  readonly iceServers?: readonly IceServer[];
  /** Longest wait for the server to let this peer in, in milliseconds. Default: ten seconds. */
  readonly timeoutMs?: number;
  /** What to say first on each link. Default: `hello <other>, this is <own>`. */
  readonly greeting?: (own: string, other: string) => string;
  /** Aborts what `join` does; later it has no effect. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: PeerEvent) => void;
}

/** A link as others may see it. */
export interface LinkView {
  /** Whether this peer makes the offer. */
  readonly initiator: boolean;
  /** The first text that came from the other peer. */
  readonly heard?: string;
  /** How far it got, in words. */
  readonly progress: string;
  /** Why it is of no use any more. */
  readonly failure?: string;
}

const SUBPROTOCOL_V3 = "diva.signal.v3";
const DEFAULT_TIMEOUT_MS = 10_000;
/** Longest wait for the server's half of the closing handshake. */
const CLOSE_TIMEOUT_MS = 2000;
/**
 * Offers are made one after the other: where many connections start at once in one process, each opens sockets for
 * all of them. After so many milliseconds the next is made even so, lest a peer that does not answer hold up others.
 */
const OFFER_HEAD_START_MS = 250;
/** Past these, what a room or a peer asks of us is passed over. */
const MAX_LINKS = 256;
const MAX_EARLY_CANDIDATES = 64;

/**
 * A member of a room that connects to all other members over WebRTC and greets each of them. Leave it with
 * `close()`, or by `await using`.
 */
export class MeshPeer implements AsyncDisposable {
  readonly #options: MeshPeerOptions;
  readonly #greeting: (own: string, other: string) => string;
  readonly #socket: WebSocket;
  readonly #links = new Map<string, Link>();
  #isMakingOffers = false;
  readonly #socketClosed = Promise.withResolvers<void>();
  /** Answers that `#enter` waits for, by their name. */
  readonly #answers = new Map<string, (message: unknown[]) => void>();
  /** Resolved and renewed whenever a link makes progress. */
  #progress = Promise.withResolvers<void>();
  /** Rejects when the peer can't go on: it was closed, or lost its server while it entered. */
  readonly #over = Promise.withResolvers<never>();
  #closed = false;
  #iceServers: readonly IceServer[] = [];
  #address = "";

  private constructor(options: MeshPeerOptions) {
    this.#options = options;
    this.#greeting = options.greeting ?? ((own, other) => `hello ${other}, this is ${own}`);
    this.#over.promise.catch(() => {});
    this.#socket = new WebSocket(options.url, options.version === 3 ? [SUBPROTOCOL_V3] : []);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    let reason = "";
    this.#socket.onerror = (event) => reason = (event as ErrorEvent).message;
    this.#socket.onclose = ({ code, reason: given }) => {
      reason ||= `the server closed the socket with ${code} ${given}`.trimEnd();
      this.#socketClosed.resolve();
      if (this.#closed) return;
      if (this.#address === "") this.#over.reject(new Error(reason));
      else this.#emit({ type: "disconnected", reason });
    };
  }

  /** Connects to the server, asks for a name and joins; rejects where that fails or takes too long. */
  static async join(options: MeshPeerOptions): Promise<MeshPeer> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
    signal?.throwIfAborted();
    const peer = new MeshPeer(options);
    const abort = () => void peer.close();
    signal?.addEventListener("abort", abort);
    try {
      await peer.#within(timeoutMs, peer.#enter(), "the server did not let it in");
      return peer;
    } catch (error) {
      await peer.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** `room:ident` */
  get address(): string {
    return this.#address;
  }

  /** By the other peer's address. */
  get links(): ReadonlyMap<string, LinkView> {
    return this.#links;
  }

  /** Whether there is a link to each of these addresses, and a text has come by it or it has failed. */
  isDoneWith(others: readonly string[]): boolean {
    return others.every((other) => {
      const link = this.#links.get(other);
      return link !== undefined && (link.heard !== undefined || link.failure !== undefined);
    });
  }

  /**
   * Resolves once each of these peers has said something, or its link has failed: see `links`.
   *
   * @throws {Error} after `timeoutMs` milliseconds, or when the peer is closed
   */
  async hear(others: readonly string[], timeoutMs: number): Promise<void> {
    const wait = async () => {
      while (!this.isDoneWith(others) && !this.#closed) await this.#progress.promise;
    };
    await this.#within(timeoutMs, wait(), "not all of the others have been heard");
  }

  /** Resolves once `count` peers have said something, with their words by address. @throws like `hear` */
  async hearAny(count: number, timeoutMs: number): Promise<ReadonlyMap<string, string>> {
    const heard = () => [...this.#links].filter(([, link]) => link.heard !== undefined);
    const wait = async () => {
      while (heard().length < count && !this.#closed) await this.#progress.promise;
    };
    await this.#within(timeoutMs, wait(), `fewer than ${count} others have been heard`);
    return new Map(heard().map(([other, { heard }]) => [other, heard!]));
  }

  /** Closes all links and the socket. May be called more than once. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#over.reject(new Error("the peer was closed"));
      for (const link of this.#links.values()) link.close();
      this.#progress.resolve();
      this.#socket.close();
    }
    await settlesWithin(CLOSE_TIMEOUT_MS, this.#socketClosed.promise);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #enter(): Promise<void> {
    const { room, version, iceServers } = this.#options;
    const welcome = this.#answer("welcome");
    const opened = Promise.withResolvers<void>();
    this.#socket.onopen = () => opened.resolve();
    await opened.promise;
    if (version === 3) {
      if (this.#socket.protocol !== SUBPROTOCOL_V3) {
        throw new Error(`the server does not speak ${SUBPROTOCOL_V3}`);
      }
      const [, offer] = await welcome as [string, { iceServers: readonly IceServer[] }];
      this.#iceServers = offer.iceServers;
    }
    if (iceServers !== undefined) this.#iceServers = iceServers;

    this.#call("ident");
    const [, ident] = await this.#answer("ident");
    if (typeof ident !== "string") throw new Error("the server does not speak this protocol");
    this.#emit({ type: "named", ident });
    this.#address = `${room}:${ident}`;
    this.#call("join", ident, room);
    await this.#answer("join");
    this.#emit({ type: "joined" });
  }

  #call(...call: unknown[]): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(call));
  }

  #answer(name: string): Promise<unknown[]> {
    return new Promise((resolve) => this.#answers.set(name, resolve));
  }

  #receive(text: unknown): void {
    if (this.#closed) return;
    const message = parseMessage(text);
    const [name, own, other, more] = message;
    switch (name) {
      case "welcome":
      case "ident":
      case "join":
        this.#answers.get(name)?.(message);
        this.#answers.delete(name);
        break;
      case "stun":
        if (own === this.#address) this.#introduce(String(other), more === true);
        break;
      case "signal": {
        const signal = readSignal(more);
        if (signal !== undefined && own === this.#address) this.#links.get(String(other))?.take(signal);
        break;
      }
      case "gone":
        // What two peers have between them outlasts the server's part in it: whether the link ends, it tells itself.
        if (own === this.#address) this.#emit({ type: "gone", other: String(other), reason: String(more) });
        break;
      case "error": {
        const [, code, reason, call] = message;
        this.#emit({ type: "refused", code: String(code), reason: String(reason) });
        if (call === "join") this.#over.reject(new Error(String(reason)));
      }
    }
  }

  /** A peer that comes again under an old address gets a new link. */
  #introduce(other: string, initiator: boolean): void {
    this.#links.get(other)?.close();
    if (!this.#links.has(other) && this.#links.size >= MAX_LINKS) return;
    this.#emit({ type: "introduced", other, initiator });
    const link = new Link({
      initiator,
      iceServers: this.#iceServers,
      greeting: this.#greeting(this.#address, other),
      send: (signal) => {
        this.#call("signal", this.#address, other, signal);
        this.#emit({ type: "sent", other, what: kindOf(signal) });
      },
      emit: (event) => this.#emit({ ...event, other }),
    });
    this.#links.set(other, link);
    if (!this.#isMakingOffers) this.#makeOffers();
  }

  async #makeOffers(): Promise<void> {
    this.#isMakingOffers = true;
    let link: Link | undefined;
    while ((link = this.#links.values().find(({ isOfferDue }) => isOfferDue)) !== undefined) {
      link.offer();
      await settlesWithin(OFFER_HEAD_START_MS, link.settled);
    }
    this.#isMakingOffers = false;
  }

  #emit(event: PeerEvent): void {
    if (!this.#closed) this.#options.onEvent?.(event);
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  async #within(timeoutMs: number, work: Promise<void>, failure: string): Promise<void> {
    const inTime = await settlesWithin(timeoutMs, Promise.race([work, this.#over.promise]));
    if (inTime) return;
    const links = [...this.#links].map(([other, { progress, failure }]) =>
      `; ${other}: ${failure ?? progress}`
    );
    throw new Error(`${failure} within ${timeoutMs / 1000} s${links.join("")}`);
  }
}

type LinkEvent =
  | { readonly type: "received"; readonly what: SignalKind }
  | { readonly type: "state"; readonly state: ConnectionState }
  | { readonly type: "message"; readonly text: string }
  | { readonly type: "failed"; readonly reason: string };

interface LinkOptions {
  readonly initiator: boolean;
  readonly iceServers: readonly IceServer[];
  readonly greeting: string;
  readonly send: (signal: Signal) => void;
  readonly emit: (event: LinkEvent) => void;
}

/** One WebRTC connection to one other peer, from introduction to the end. */
class Link implements LinkView {
  readonly #options: LinkOptions;
  readonly #connection: Connection;
  /** Candidates that came before the other's description, without which they can't be used. */
  readonly #early: Candidate[] = [];
  #described = false;
  #closed = false;
  readonly #settled = Promise.withResolvers<void>();
  /** Resolves when the connection stands, or never will. */
  readonly settled = this.#settled.promise;
  /** Whether we are to make the offer, and have not begun to. */
  isOfferDue: boolean;
  progress: string;
  heard?: string;
  failure?: string;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.isOfferDue = options.initiator;
    this.progress = options.initiator ? "introduced, no offer made yet" : "introduced, no offer has come";
    this.#connection = new wrtc.RTCPeerConnection({
      iceServers: options.iceServers.map((server) => ({ ...server, urls: [server.urls].flat() })),
    });
    this.#connection.onicecandidate = ({ candidate }) => {
      if (candidate === null || this.#closed) return;
      const { sdpMid, sdpMLineIndex } = candidate;
      options.send({ candidate: { candidate: candidate.candidate, sdpMid, sdpMLineIndex } });
    };
    this.#connection.onconnectionstatechange = () => {
      const state = this.#connection.connectionState;
      // The state is that of now, so an event may tell of one that is past or was told of before.
      if (this.#closed || state === this.progress || state === "new" || state === "closed") return;
      this.progress = state;
      options.emit({ type: "state", state });
      if (state === "connected") this.#settled.resolve();
      if (state === "failed") this.#fail("no way to the other peer was found");
    };
    this.#connection.ondatachannel = ({ channel }) => this.#use(channel);
  }

  get initiator(): boolean {
    return this.#options.initiator;
  }

  offer(): void {
    this.isOfferDue = false;
    this.#attempt(async () => {
      this.#use(this.#connection.createDataChannel("mesh"));
      await this.#describe(await this.#connection.createOffer());
      this.progress = "offer made, no answer has come";
    });
  }

  /** Handles what the other side sent through the server. */
  take(signal: Signal): void {
    if (this.#closed) return;
    this.#options.emit({ type: "received", what: kindOf(signal) });
    this.#attempt(async () => {
      if ("description" in signal) await this.#takeDescription(signal.description);
      else if (this.#described) await this.#connection.addIceCandidate(signal.candidate as IceCandidate);
      else if (this.#early.length < MAX_EARLY_CANDIDATES) this.#early.push(signal.candidate);
    });
  }

  close(): void {
    this.#closed = true;
    this.isOfferDue = false;
    this.#connection.close();
    this.#settled.resolve();
  }

  async #takeDescription(description: SessionDescription): Promise<void> {
    await this.#connection.setRemoteDescription(description);
    this.#described = true;
    for (const candidate of this.#early.splice(0)) {
      await this.#connection.addIceCandidate(candidate as IceCandidate);
    }
    if (description.type === "answer") return;
    await this.#describe(await this.#connection.createAnswer());
  }

  async #describe(description: SessionDescription): Promise<void> {
    // Sent first: applying it sets off the candidates, which would overtake it.
    const { type, sdp } = description;
    this.#options.send({ description: { type, sdp } });
    await this.#connection.setLocalDescription(description);
  }

  #use(channel: DataChannel): void {
    channel.onopen = () => {
      // The event may come when the channel is closed again.
      if (channel.readyState === "open") channel.send(this.#options.greeting);
    };
    channel.onmessage = ({ data }) => {
      if (this.#closed) return;
      const text = String(data);
      this.heard ??= text;
      this.#options.emit({ type: "message", text });
    };
    channel.addEventListener("close", () => this.#fail("the other side closed the link"));
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  #fail(reason: string): void {
    if (this.#closed || this.failure !== undefined) return;
    this.failure = reason;
    this.#settled.resolve();
    this.#options.emit({ type: "failed", reason });
  }
}

/** Every message is a JSON array; anything else says nothing to us. */
function parseMessage(text: unknown): unknown[] {
  try {
    const message = JSON.parse(String(text));
    return Array.isArray(message) ? message : [];
  } catch {
    return [];
  }
}

function kindOf(signal: Signal): SignalKind {
  return "description" in signal ? signal.description.type : "candidate";
}

/** What a signal says; undefined where a stranger sent something else. */
function readSignal(data: unknown): Signal | undefined {
  const { description, candidate } = (data ?? {}) as { description?: unknown; candidate?: unknown };
  if (isRecord(description)) {
    const { type, sdp } = description;
    if ((type === "offer" || type === "answer") && typeof sdp === "string") {
      return { description: { type, sdp } };
    }
  }
  if (isRecord(candidate)) {
    const { candidate: line, sdpMid = null, sdpMLineIndex = null } = candidate;
    const isMid = sdpMid === null || typeof sdpMid === "string";
    const isIndex = sdpMLineIndex === null || typeof sdpMLineIndex === "number";
    if (typeof line === "string" && isMid && isIndex) {
      return { candidate: { candidate: line, sdpMid, sdpMLineIndex } };
    }
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Whether a promise settles within so many milliseconds; throws what it rejects with. */
async function settlesWithin(ms: number, promise: Promise<unknown>): Promise<boolean> {
  let timer;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), ms));
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
