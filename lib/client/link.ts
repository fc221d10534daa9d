// SPDX-License-Identifier: MIT

/** The link to one member of the room, through as many connections as it takes. */

import { Channel, CHANNEL_LIMITS, type ChannelLimits } from "./channel.ts";
import { emit } from "./events.ts";
import { fingerprint, Negotiation, type Payload } from "./negotiation.ts";
import type {
  ChannelOptions,
  Configuration,
  Description,
  MediaStream,
  RtcChannel,
  RtcConnection,
  RtcStream,
  RtcTrack,
} from "./rtc.ts";
import type { LinkReport } from "./signaller.ts";
import { pause, type Timing } from "./timing.ts";

/**
 * - `introduced`: the server has named the peer
 * - `negotiating`: descriptions and candidates go to and fro
 * - `connected`
 * - `interrupted`: it was connected, and is about to be mended
 * - `failed`: see `failure`; where it then comes about after all it is `connected`
 * - `left`: for good
 */
export type LinkState = "introduced" | "negotiating" | "connected" | "interrupted" | "failed" | "left";

/** How the data of a link travels: straight, straight through NATs, through a TURN server. */
export type Path = "host" | "reflexive" | "relay";

/** Why a link could not be made. */
export interface Failure {
  readonly why: NonNullable<LinkReport["why"]>;
  /** A sentence for the person in front of the application. */
  readonly message: string;
}

/** What a link measures of itself; a value that the WebRTC implementation does not tell is `undefined`. */
export interface LinkStats {
  path?: Path | undefined;
  /** Milliseconds there and back. */
  roundTripTime?: number | undefined;
  bytesSent?: number | undefined;
  bytesReceived?: number | undefined;
}

/** What a link needs of the mesh that it belongs to. */
export interface Surroundings {
  readonly timing: Timing;
  readonly limits?: Partial<ChannelLimits> | undefined;
  /** Whether the server can be reached and knows us as a member. */
  readonly joined: () => boolean;
  readonly open: () => RtcConnection;
  /** With fresh credentials where that is possible. */
  readonly refresh: () => Promise<Configuration>;
  readonly hasRelay: () => boolean;
  readonly signal: (data: object) => void;
  readonly report: (report: LinkReport) => void;
  readonly tracks: ReadonlyMap<RtcTrack, readonly RtcStream[]>;
  readonly onError: (error: unknown) => void;
  readonly onMessage: (data: unknown) => void;
  readonly onLeft: () => void;
}

/** What goes over the signalling and over a link's own control channel. */
interface Word extends Payload {
  /** Counts the connections of a link, from 1. A message of an older one is passed over. */
  session?: number;
  /** Beside a description: its sender keeps to the framing and to the control channel of this library. */
  mesh?: 1;
  /** Beside a description: a word made at random for the connection of its sender. */
  connection?: string;
  /** Over the control channel, since the server may be away. */
  gone?: "left";
}

/** The channel for the messages of the application that need no channel of their own. */
const MESSAGES = "messages";
const CONTROL = "diva.signal.control";

/** Up to this grow the pauses between two looks at which way the data of a link goes. */
const LONGEST_PAUSE_MS = 500;

/** Channels that the other side may make beside those that are asked for here. */
const MAX_FOREIGN_CHANNELS = 64;

/** Neither a data channel nor a WebSocket tells when its last message is on its way. */
export const GOODBYE_MS = 50;

const SENTENCES: Record<Failure["why"], string> = {
  "no-answer": "The other side did not answer.",
  "no-candidates": "One side has no network address.",
  "ice-failed": "The two networks let no connection through, not even by TURN.",
  "relay-needed": "The two networks let no connection through, and there is no TURN server.",
  "other": "The two sides did not agree.",
};

export class Link {
  state: LinkState = "introduced";
  failure: Failure | undefined;
  path: Path | undefined;
  readonly messages: Channel;
  readonly channels: Map<string, Channel> = new Map();
  readonly streams: Map<string, MediaStream> = new Map();
  /** Whom events are dispatched at. */
  target: EventTarget = new EventTarget();
  #negotiation: Negotiation | undefined;
  #control: RtcChannel | undefined;
  /** The other side has closed its connection. */
  #closed = false;
  #senders = new Map<RtcTrack, unknown>();
  #session = 0;
  /** Words for the two ends of the connection; see `Word`. */
  #own = "";
  #other: string | undefined;
  #initiator: boolean;
  /** Of the newest introduction: it was kept for a link that lived, the other side may have begun to count anew. */
  #reintroduced = false;
  /** Set where the server does not, or may not, know the other side: how long it is waited for without a link. */
  #absent: number | undefined;
  #mesh = false;
  #foreign = 0;
  /** Attempts since it was last connected. */
  #restarts = 0;
  #sessions = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #introducedAt = Date.now();
  readonly #around: Surroundings;

  constructor(around: Surroundings, initiator: boolean) {
    this.#around = around;
    this.#initiator = initiator;
    this.messages = this.#channel(MESSAGES, {});
    // @roamhq/wrtc tells of a connection's state with that of ICE alone, which may be earlier.
    const look = () => {
      if (this.state !== "connected" && this.#living) this.#onConnectionState();
    };
    this.messages.addEventListener("open", look);
    this.messages.addEventListener("message", ({ data }) => {
      look();
      emit(this.target, "message", { data });
      around.onMessage(data);
    });
  }

  get connection(): RtcConnection | undefined {
    return this.#negotiation?.connection;
  }

  get #living(): boolean {
    return !this.#closed && this.connection?.connectionState === "connected";
  }

  /** A channel by its label; the first who asks for it decides on its options. */
  channel(label: string, options: ChannelOptions): Channel {
    const known = this.channels.get(label);
    if (known) return known;
    const channel = this.#channel(label, options);
    this.channels.set(label, channel);
    if (this.state === "left") channel.close();
    else if (this.connection) this.#attach(channel, this.connection);
    return channel;
  }

  /** The server has introduced the two (again). */
  introduce(initiator: boolean): void {
    this.#initiator = initiator;
    this.#absent = undefined;
    this.#introducedAt = Date.now();
    if (this.#living) {
      this.#reintroduced = true;
      return;
    }
    this.#sessions = 0;
    // A restarted peer counts from 1 again; what it sends next comes behind this introduction.
    this.#reintroduced = this.#session > 0;
    this.#start(this.#session + 1);
  }

  /** The server says that the member is no longer there. */
  gone(reason: string): void {
    if (["left", "removed", "expired"].includes(reason)) return this.leave();
    this.absent(this.#around.timing.returnTimeout);
  }

  /**
   * The member is to be introduced anew, if it comes back: within so many milliseconds, where its link does not live.
   */
  absent(graceMs: number): void {
    this.#absent = graceMs;
    if (!this.#living) this.#onLost();
  }

  /** Takes what the other side has signalled. */
  take(data: unknown): void {
    const word = this.state === "left" ? undefined : read(data);
    if (!word) return;
    try {
      this.#take(word);
    } catch (error) {
      // Of a connection that the application has closed, mostly.
      this.#around.onError(error);
      this.#fail("other");
    }
  }

  #take(word: Word): void {
    const { description, candidate, mesh, gone } = word;
    if (gone) return this.leave();
    const another = description !== undefined && this.#isAnother(description, word.connection);
    // Other clients may not count.
    const { session = another ? 1 : this.#session } = word;
    if (word.session !== undefined && session < this.#session && !this.#reintroduced) return;
    if (description) this.#mesh = mesh === 1;
    const current = this.#negotiation;
    if (description?.type === "offer" && (!current || another || session !== this.#session)) {
      this.#start(session, description);
      this.#other = word.connection;
    } else if (session === this.#session && current) {
      // Not of this connection, or the application has closed ours: both are to begin anew, but not in a storm.
      if (another || current.connection.signalingState === "closed") return this.#fail("other");
      if (this.state === "introduced") this.#setState("negotiating");
      if (description) this.#other = word.connection;
      current.take({ ...description && { description }, ...candidate !== undefined && { candidate } });
      if (description?.type === "answer") this.#openControl();
    }
  }

  /** Of another connection than the one that is known, or a first offer that meets our own and outranks it. */
  #isAnother(description: Description, connection: string | undefined): boolean {
    // Other clients say no such word; and a fingerprint may be that of all connections of a process.
    if (this.#other !== undefined && connection !== undefined) return connection !== this.#other;
    const known = fingerprint(this.#negotiation?.remote);
    if (known) return fingerprint(description) !== known;
    return description.type === "offer" && !!this.#negotiation?.offered && !this.#initiator;
  }

  /** Begins with a new connection: with an offer, or with the answer to this one. */
  #start(session: number, offer?: Description): void {
    if (this.state === "left") return;
    this.#drop();
    this.#session = session;
    this.#own = Math.random().toString(36).slice(2);
    if (this.state === "connected") this.#setState("interrupted");
    this.#sessions++;
    this.#restarts = 0;
    this.#foreign = 0;
    if (offer) this.#reintroduced = false;
    let connection: RtcConnection;
    try {
      connection = this.#around.open();
    } catch (error) {
      this.#around.onError(error);
      return this.#fail("other");
    }
    const offers = this.#initiator && !offer;
    const negotiation = this.#negotiation = new Negotiation(connection, {
      polite: () => !this.#initiator,
      send: (payload) => this.#negotiation === negotiation && this.#send(payload),
      onError: (error) => {
        if (this.#negotiation !== negotiation) return;
        this.#around.onError(error);
        if (!this.#living) this.#fail("other");
      },
    });
    const when = (type: string, then: (event: Event) => void) =>
      connection.addEventListener(type, (event) => this.#negotiation === negotiation && then(event));
    when("negotiationneeded", () => {
      if (offers || negotiation.remote) negotiation.offer();
    });
    when("connectionstatechange", () => this.#onConnectionState());
    when("datachannel", (event) => this.#onChannel((event as Event & { channel: RtcChannel }).channel));
    when("track", (event) => this.#onTrack(event as TrackEvent));
    for (const track of this.#around.tracks.keys()) this.addTrack(track);
    if (offers) this.#attach(this.messages, connection);
    for (const channel of this.channels.values()) this.#attach(channel, connection);
    if (this.state === "introduced" && (offers || offer)) this.#setState("negotiating");
    if (offer) negotiation.take({ description: offer });
    else if (offers) negotiation.offer();
    const { linkTimeout, interruptedTimeout } = this.#around.timing;
    const limit = () => this.#wait(linkTimeout, () => this.#fail());
    if (offers || offer || !this.#mesh) return limit();
    // The other side, which is to make the offer, may not know that the link was lost.
    this.#wait(interruptedTimeout, () => {
      if (!negotiation.heard) {
        this.#attach(this.messages, connection);
        negotiation.offer();
      }
      limit();
    });
  }

  addTrack(track: RtcTrack): void {
    const { connection } = this;
    if (!connection?.addTrack || this.#senders.has(track)) return;
    this.#senders.set(track, connection.addTrack(track, ...this.#around.tracks.get(track) ?? []));
  }

  removeTrack(track: RtcTrack): void {
    const sender = this.#senders.get(track);
    if (sender === undefined) return;
    this.#senders.delete(track);
    this.connection?.removeTrack?.(sender);
  }

  /** Ends the link for good. */
  leave(): void {
    if (this.state === "left") return;
    this.#setState("left");
    this.messages.close();
    for (const channel of this.channels.values()) channel.close();
    this.#drop();
    this.#around.onLeft();
  }

  /** Says goodbye to the other side; resolves when that has had a moment to go out. */
  async sayGoodbye(): Promise<void> {
    if (!this.#living || this.#control?.readyState !== "open") return;
    this.#control.send(JSON.stringify({ gone: "left" }));
    await pause(GOODBYE_MS);
  }

  async stats(): Promise<LinkStats> {
    const entries = new Map<unknown, Record<string, unknown>>();
    (await this.connection?.getStats())?.forEach((entry) => entries.set(entry.id, entry));
    const pair = [...entries.values()].filter(({ type, state, nominated, selected }) =>
      type === "candidate-pair" && state === "succeeded" && (nominated || selected)
    ).pop();
    if (!pair) return {};
    const { currentRoundTripTime: seconds, bytesSent, bytesReceived } = pair as Record<string, number>;
    const kinds = [pair.localCandidateId, pair.remoteCandidateId].map((id) => entries.get(id)?.candidateType)
      .join();
    return {
      path: /relay/.test(kinds)
        ? "relay"
        : /rflx/.test(kinds)
        ? "reflexive"
        : /host/.test(kinds)
        ? "host"
        : undefined,
      roundTripTime: seconds && seconds * 1000,
      bytesSent,
      bytesReceived,
    };
  }

  #channel(label: string, options: ChannelOptions): Channel {
    const channel = new Channel(label, options, { ...CHANNEL_LIMITS, ...this.#around.limits });
    channel.addEventListener("error", ({ error }) => this.#around.onError(error));
    return channel;
  }

  #attach(channel: Channel, connection: RtcConnection): void {
    channel.attach(
      connection.createDataChannel(channel.label, { ...channel.options }),
      true,
      () => !this.#mesh,
    );
  }

  #onChannel(channel: RtcChannel): void {
    if (channel.label === CONTROL) return this.#useControl(channel);
    const plain = () => !this.#mesh;
    // Other clients name their channel as they like.
    const first = !this.#mesh && this.#foreign === 0;
    if (channel.label === MESSAGES || first) {
      this.#foreign++;
      return this.messages.attach(channel, false, plain);
    }
    let known = this.channels.get(channel.label);
    if (!known) {
      if (this.#foreign++ >= MAX_FOREIGN_CHANNELS) return channel.close();
      known = this.#channel(channel.label, {});
      this.channels.set(channel.label, known);
      known.attach(channel, false, plain);
      emit(this.target, "channel", { channel: known });
    } else known.attach(channel, false, plain);
  }

  /** Made by the side that made the offer, as soon as it knows that the other understands it. */
  #openControl(): void {
    const { connection } = this;
    if (!this.#mesh || this.#control || !connection) return;
    this.#useControl(connection.createDataChannel(CONTROL));
  }

  #useControl(channel: RtcChannel): void {
    const negotiation = this.#negotiation;
    this.#control = channel;
    channel.addEventListener("message", (event) => {
      if (this.#negotiation !== negotiation) return;
      try {
        this.take(JSON.parse((event as MessageEvent).data));
      } catch { /* no message of this library's */ }
    });
    channel.addEventListener("close", () => {
      if (this.#control !== channel) return;
      this.#control = undefined;
      // ICE would find out much later. A goodbye by the server may be on its way still.
      this.#closed = true;
      setTimeout(() => this.#closed && this.#onLost(true), 5 * GOODBYE_MS);
    });
  }

  #onTrack({ track, streams }: TrackEvent): void {
    for (const stream of streams) {
      const known = this.streams.has(stream.id);
      this.streams.set(stream.id, stream as MediaStream);
      if (!known) {
        (stream as RtcStream & Partial<EventTarget>).addEventListener?.("removetrack", () => {
          if (stream.getTracks().length > 0) return;
          this.streams.delete(stream.id);
          emit(this.target, "media");
        });
      }
    }
    emit(this.target, "track", { track, streams });
    emit(this.target, "media");
  }

  /** Over the link itself while it lives, so that the server need not be there. */
  #send(payload: Payload): void {
    const word: Word = {
      ...payload,
      session: this.#session,
      ...payload.description && { mesh: 1, connection: this.#own },
    };
    if (this.#living && this.#control?.readyState === "open") this.#control.send(JSON.stringify(word));
    else this.#around.signal(word);
  }

  #onConnectionState(): void {
    if (this.#closed) return;
    switch (this.connection?.connectionState) {
      case "connected":
        // From now on nothing is lost. What went by way of the server has a while to be answered.
        this.#wait(this.#around.timing.interruptedTimeout, () => this.#negotiation?.remind());
        this.#restarts = this.#sessions = 0;
        this.failure = undefined;
        this.#setState("connected");
        return void this.#findPath();
      case "disconnected":
        return this.#onLost();
      case "failed":
        if (this.state === "connected" || this.state === "interrupted") return this.#onLost(true);
        return this.#fail();
    }
  }

  async #findPath(): Promise<void> {
    const { connection } = this;
    const ms = Date.now() - this.#introducedAt;
    let path: Path | undefined;
    // The statistics may be behind; and there are implementations that never tell.
    for (let wait = 0; !path && wait < LONGEST_PAUSE_MS; wait += GOODBYE_MS) {
      if (wait) await pause(wait);
      ({ path } = await this.stats().catch(() => ({} as LinkStats)));
      if (this.connection !== connection || this.state !== "connected") return;
    }
    this.#around.report({
      state: "connected",
      ...path && { path: path === "reflexive" ? "srflx" : path },
      ms,
    });
    if (path === this.path) return;
    this.path = path;
    emit(this.target, "state");
  }

  /** It was connected, or never was: is there anybody to mend it with? */
  #onLost(now = false): void {
    if (this.state === "left") return;
    if (this.state === "connected") {
      this.#around.report({ state: "interrupted" });
      this.#setState("interrupted");
    }
    const { interruptedTimeout } = this.#around.timing;
    if (this.#absent !== undefined && this.#around.joined()) {
      // It may have lost the server and us at once, and be on its way back.
      return this.#wait(this.#absent, () => this.#absent === undefined ? this.#mend() : this.leave());
    }
    if (this.state !== "interrupted") return;
    this.#wait(now ? 0 : this.#initiator ? interruptedTimeout : 2 * interruptedTimeout, () => this.#mend());
  }

  /** Restarts ICE, twice; then begins anew; then gives up. */
  #mend(): void {
    // It may have come back without a word; see the constructor.
    if (this.#living) return this.#onConnectionState();
    const { interruptedTimeout, sessions } = this.#around.timing;
    const again = () => this.#mend();
    // Without the server nobody can be asked: it introduces the two anew when both are back.
    if (!this.#around.joined()) return this.#wait(interruptedTimeout, again);
    if (this.#absent !== undefined) return this.#onLost();
    if (this.#restarts < 2 && !this.#closed && this.connection?.connectionState !== "closed") {
      this.#restarts++;
      this.#wait(3 * interruptedTimeout, again);
      return void this.#restart();
    }
    if (this.#sessions < sessions) return this.#start(this.#session + 1);
    this.#fail();
  }

  async #restart(): Promise<void> {
    const negotiation = this.#negotiation;
    try {
      const configuration = await this.#around.refresh();
      if (negotiation !== this.#negotiation || this.#living) return;
      negotiation?.connection.setConfiguration?.(configuration);
      negotiation?.offer(true);
    } catch (error) {
      this.#around.onError(error);
    }
  }

  /** A session has come to nothing. Tries again for a while, with growing pauses. */
  #fail(why = this.#reason()): void {
    if (this.state === "left") return;
    if (this.#absent !== undefined && this.#around.joined()) return this.#onLost();
    this.failure = { why, message: SENTENCES[why] };
    this.#around.report({ state: "failed", why });
    this.#setState("failed");
    const { sessions, interruptedTimeout } = this.#around.timing;
    // Whoever was to wait for the offer does so for longer: perhaps the other side believes that all is well.
    if (this.#sessions >= sessions || !this.#initiator && !this.#mesh) return;
    this.#wait(interruptedTimeout * this.#sessions * (this.#initiator ? 1 : 3), () => {
      if (this.#around.joined()) this.#start(this.#session + 1);
    });
  }

  #reason(): Failure["why"] {
    const negotiation = this.#negotiation;
    if (!negotiation?.heard) return "no-answer";
    if (!negotiation.candidates || !negotiation.gathered) return "no-candidates";
    return this.#around.hasRelay() ? "ice-failed" : "relay-needed";
  }

  #setState(state: LinkState): void {
    if (this.state === state) return;
    this.state = state;
    if (state !== "connected") this.path = undefined;
    emit(this.target, "state");
  }

  #wait(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #drop(): void {
    clearTimeout(this.#timer);
    const negotiation = this.#negotiation;
    this.#negotiation = undefined;
    this.#control = this.#other = undefined;
    this.#closed = false;
    this.#senders.clear();
    if (this.streams.size > 0) {
      this.streams.clear();
      emit(this.target, "media");
    }
    negotiation?.connection.close();
  }
}

/** What is understood of what another peer said; it may be anything. */
function read(data: unknown): Word | undefined {
  const { description, candidate, session, mesh, connection, gone } = (data ?? {}) as Word;
  const word: Word = {};
  if (typeof description?.type === "string" && typeof description.sdp === "string") {
    word.description = description;
  } else if (candidate === null || typeof candidate?.candidate === "string") word.candidate = candidate;
  else if (gone === "left") word.gone = gone;
  else return undefined;
  if (Number.isSafeInteger(session)) word.session = session!;
  if (mesh === 1) word.mesh = mesh;
  if (typeof connection === "string") word.connection = connection;
  return word;
}

interface TrackEvent extends Event {
  readonly track: RtcTrack;
  readonly streams: readonly RtcStream[];
}
