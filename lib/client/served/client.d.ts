// SPDX-License-Identifier: MIT
/**
 * Peers in browsers, Deno, Node.js and Bun that find each other through the signal server and connect directly.
 *
 * @module
 */
/** Messages of any kind and size over data channels, and what waits to be sent. */
/** JSON values; strings, bytes and Blobs arrive as what they were (bytes as `Uint8Array`). */
export type Message = any;
export type DataEvent = Event & { readonly data: Message;
};
export interface ChannelEvents { message: DataEvent;
    open: Event;
    /** For good: the peer has left, or the channel was closed. */
    close: Event;
    error: Event & {
        readonly error: SignalError;
    };
}
/** Bounds of a channel, in bytes. */
export interface ChannelLimits { /** The largest message that is put together from what arrives. */ maxMessageBytes: number;
    /** What may wait to be sent; a Blob counts as nothing, since it is read piece by piece. */
    maxQueueBytes: number;
}
declare const CHANNEL_LIMITS: Readonly<ChannelLimits>;
/**
 * A channel with a label, to one peer. It outlives the connection: what waits is sent over the next. What had been
 * handed to a connection that then died may be lost.
 */
export declare class Channel extends Target<ChannelEvents> { #private;
    readonly label: string;
    readonly options: Readonly<ChannelOptions>;
    constructor(label: string, options: ChannelOptions, limits: ChannelLimits);
    get readyState(): "connecting" | "open" | "closed";
    /** The data channel that messages are sent on at the moment. */
    get dataChannel(): DataChannel | undefined;
    /** Bytes that wait, here and in the data channel. */
    get bufferedAmount(): number;
    /**
     * Sends a string, a JSON value, bytes or a Blob. Resolves when it has been handed over to the network's buffer:
     * who awaits that sends as fast as the other side takes it. On a channel that is not reliable and in order a
     * message has at most 16 KiB. Rejects with `too-large`, `queue-full`, `channel-closed`.
     */
    send(data: Message): Promise<void>;
    /** Messages as they come. */
    [Symbol.asyncIterator](): AsyncGenerator<Message>;
    /** A stream to pipe into, as fast as the other side takes it. */
    get writable(): WritableStream<Message>;
    /** A stream of the messages from now on. */
    get readable(): ReadableStream<Message>;
    close(): void;
    /**
     * Takes a data channel of a new connection. Where both sides have made one of the same label, each sends on its own,
     * so that nothing overtakes.
     *
     * @param own whether this side made it
     * @param plain whether the other side knows nothing of frames
     * @internal
     */
    attach(channel: RtcChannel, own: boolean, plain: () => boolean): void;
}
/** Looks for what stands in the way of connections, step by step. Loaded when it is asked for. */
/** What one step has found. */
export interface Step { readonly name: "server" | "websocket" | "stun" | "nat" | "turn" | "loop" | "throughput" | "quiet";
    /** `notice`: it works, but not for everybody. `skipped`: there is nothing to look at. */
    readonly verdict: "ok" | "notice" | "failed" | "skipped";
    /** What was seen, in a sentence for a person. */
    readonly text: string;
    /** What to do about it. */
    readonly advice?: string;
    /** What was measured, for programs. */
    readonly details: Readonly<Record<string, unknown>>;
}
export interface Diagnosis { readonly steps: readonly Step[];
    /** Whether no step has failed. */
    readonly ok: boolean;
    /** All of it as text, for a report. It holds the reader's own address. */
    readonly text: string;
}
export interface DiagnoseOptions extends Omit<MeshOptions, "room"> { /** Told of each step as it ends. */ onStep?: ((step: Step) => void) | undefined;
    /** Longest wait for each step, in milliseconds. */
    stepTimeout?: number | undefined;
    /** How long a connection is kept silent to see whether a proxy ends it, in seconds; 0: not at all. */
    quietSeconds?: number | undefined;
}
/** @internal `join` is handed in, so that nothing of the module that loads this one stands here twice. */
declare function examine(options: DiagnoseOptions, join: (options: MeshOptions) => Promise<Mesh>): Promise<Diagnosis>;
/**
 * Stable words for programs: those of the protocol's errors (`ident-taken`, `room-full`, …), and
 *
 * - `aborted`: by the `AbortSignal`, or by `leave()`
 * - `unreachable`: the server did not answer in time
 * - `closed`: the server closed the connection for good
 * - `replaced`: another client took the address over with the same key
 * - `not-version-3`: the server speaks an older version of the protocol
 * - `disconnected`: the connection to the server is lost; it comes back by itself
 * - `not-supported`: something that the runtime lacks was not passed in
 * - `too-large`, `queue-full`, `channel-closed`: a message could not be sent
 * - `bad-message`: another peer sent what can't be read
 */
export declare class SignalError extends Error { name: string;
    readonly code: string;
    constructor(code: string, message: string);
}
/** @internal What the runtime has not. */
declare function lacks(name: string): SignalError;
/** Dispatched as `error` where nobody waits for an answer that could carry it. */
export interface ErrorEvent extends Event { readonly error: SignalError;
}
/** Events with types: an `EventTarget` as the platform has it, of which the compiler knows what it dispatches. */
/** Listeners as functions or objects; see `EventTarget`. */
export interface Target<Events extends { [type in keyof Events]: Event;
}> extends EventTarget {
    addEventListener<Type extends keyof Events & string>(type: Type, listener: ((event: Events[Type]) => void) | {
        handleEvent(event: Events[Type]): void;
    } | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<Type extends keyof Events & string>(type: Type, listener: ((event: Events[Type]) => void) | {
        handleEvent(event: Events[Type]): void;
    } | null, options?: boolean | EventListenerOptions): void;
}
/** The platform's `EventTarget`, with the types of what it dispatches. */
export declare const Target: new <Events extends { [type in keyof Events]: Event;
}>() => Target<Events>;
/** Dispatches an event of this type that has these members. */
declare function emit(target: EventTarget, type: string, members?: object): void;
/** Resolves with the next event of this type. */
declare function next(target: EventTarget, type: string): Promise<Event>;
/** All events of one type, as they come. Ends with `end`; at most `MAX_WAITING` wait to be taken, the oldest go first. */
declare function eventsOf<T>(target: EventTarget, type: string, end: string): AsyncGenerator<T>;
/** The link to one member of the room, through as many connections as it takes. */
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
export interface Failure { readonly why: NonNullable<LinkReport["why"]>;
    /** A sentence for the person in front of the application. */
    readonly message: string;
}
/** What a link measures of itself; a value that the WebRTC implementation does not tell is `undefined`. */
export interface LinkStats { path?: Path | undefined;
    /** Milliseconds there and back. */
    roundTripTime?: number | undefined;
    bytesSent?: number | undefined;
    bytesReceived?: number | undefined;
}
/** What a link needs of the mesh that it belongs to. */
interface Surroundings { readonly timing: Timing;
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
/** Neither a data channel nor a WebSocket tells when its last message is on its way. */
declare const GOODBYE_MS = 50;
declare class Link { #private;
    state: LinkState;
    failure: Failure | undefined;
    path: Path | undefined;
    readonly messages: Channel;
    readonly channels: Map<string, Channel>;
    readonly streams: Map<string, MediaStream>;
    /** Whom events are dispatched at. */
    target: EventTarget;
    constructor(around: Surroundings, initiator: boolean);
    get connection(): RtcConnection | undefined;
    /** A channel by its label; the first who asks for it decides on its options. */
    channel(label: string, options: ChannelOptions): Channel;
    /** The server has introduced the two (again). */
    introduce(initiator: boolean): void;
    /** The server says that the member is no longer there. */
    gone(reason: string): void;
    /**
     * The member is to be introduced anew, if it comes back: within so many milliseconds, where its link does not live.
     */
    absent(graceMs: number): void;
    /** Takes what the other side has signalled. */
    take(data: unknown): void;
    addTrack(track: RtcTrack): void;
    removeTrack(track: RtcTrack): void;
    /** Ends the link for good. */
    leave(): void;
    /** Says goodbye to the other side; resolves when that has had a moment to go out. */
    sayGoodbye(): Promise<void>;
    stats(): Promise<LinkStats>;
}
/** A room in which everybody is connected to everybody else. */
export interface MeshOptions { /** 1 to 256 characters. Whoever knows the name can join. */ room: string;
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
    token?: string | ((about: {
        room: string;
        ident: string;
    }) => string | Promise<string>) | undefined;
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
export interface MeshEvents { /** Somebody is there: once for each peer, whatever then happens to its connection. */ peer: Event & { readonly peer: Peer;
    };
    /** From any peer. */
    message: Event & {
        readonly peer: Peer;
        readonly data: Message;
    };
    state: Event;
    /** With the peer that it concerns, where it concerns one. */
    error: ErrorEvent & {
        readonly peer?: Peer;
    };
}
/** Joins a room. Rejects with `aborted`, `unreachable`, and what the server refuses a join with. */
export declare function joinMesh(options: MeshOptions): Promise<Mesh>;
/** Looks for what stands in the way of connections, step by step: takes a few seconds. */
export declare function diagnose(options?: DiagnoseOptions): Promise<Diagnosis>;
export declare class Mesh extends Target<MeshEvents> implements AsyncDisposable { #private;
    readonly room: string;
    /** Of the low layer: the connection to the server. */
    readonly signaller: Signaller;
    /** @internal */
    constructor(options: MeshOptions);
    get ident(): string;
    get state(): MeshState;
    /** Everybody else in the room, by ident. */
    get peers(): ReadonlyMap<string, Peer>;
    /** Resolves once the room is joined for the first time. @internal */
    ready(): Promise<void>;
    /** Sends to everybody who is there now; see `Peer.send`. */
    send(data: Message): Promise<void>;
    /** Sends a stream's tracks to everybody, now and later; call it again after a track was added to the stream. */
    addMedia(stream: MediaStream): void;
    removeMedia(stream: MediaStream): void;
    /** Looks for what stands in the way of connections; see `diagnose`. */
    diagnose(options?: DiagnoseOptions): Promise<Diagnosis>;
    /** Ends all links and the connection to the server, and tells the others. */
    leave(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
    /** The peers that are there, and those who come. */
    [Symbol.asyncIterator](): AsyncGenerator<Peer>;
}
/** A member of the room, as the application sees it. */
export interface PeerEvents { /** `state`, `path` or `failure` has changed. */ state: Event;
    message: DataEvent;
    /** The other side has made a channel that was not asked for here. */
    channel: Event & {
        readonly channel: Channel;
    };
    /** `media` has changed. */
    media: Event;
    track: Event & {
        readonly track: MediaStreamTrack;
        readonly streams: readonly MediaStream[];
    };
}
/** There is one for each member of the room, whatever happens to the connections to it. */
export declare class Peer extends Target<PeerEvents> { #private;
    /** Its name, unique in the room. */
    readonly ident: string;
    /** What the server vouches for, where it asks for tokens. */
    readonly info: unknown;
    /** @internal */
    constructor(ident: string, link: Link, info: unknown);
    get state(): LinkState;
    /** How its data travels, once that is known. */
    get path(): Path | undefined;
    /** Why the link could not be made, with a sentence for the user. */
    get failure(): Failure | undefined;
    /** The streams that it sends. */
    get media(): readonly MediaStream[];
    /** The `RTCPeerConnection` of the moment. A link that is begun anew has another. */
    get connection(): PeerConnection | undefined;
    /**
     * Sends a JSON value, a string, bytes or a Blob; it waits until the link is up. Resolves when it has been handed to
     * the network: who awaits that sends as fast as the other side takes it.
     */
    send(data: Message): Promise<void>;
    /** What `send` and `message` use. */
    get messages(): Channel;
    /** A channel of its own, by its label: it appears at the other side, too. Reliable and in order if not told otherwise. */
    channel(label: string, options?: ChannelOptions): Channel;
    stats(): Promise<LinkStats>;
    /** Messages as they come, until the peer has left. */
    [Symbol.asyncIterator](): AsyncGenerator<Message>;
}
/**
 * As much of the WebRTC API (W3C WebRTC 1.0) as is used here. Browsers have it, elsewhere a package brings it; where
 * the DOM's types are known, what applications get to see has those.
 */
type Global = typeof globalThis;
type Dom<Name extends string, Else> = Global extends {
    [key in Name]: {
        prototype: infer T;
    };
} ? T : Else;
/** The application's type for a connection, with all that it has. */
type PeerConnection = Dom<"RTCPeerConnection", RtcConnection>;
type DataChannel = Dom<"RTCDataChannel", RtcChannel>;
type MediaStream = Dom<"MediaStream", RtcStream>;
type MediaStreamTrack = Dom<"MediaStreamTrack", RtcTrack>;
/** One entry of `RTCConfiguration.iceServers`. */
export interface IceServer { urls: string | string[];
    username?: string;
    credential?: string;
}
/** `RTCConfiguration`; members that are not named here are passed on as they are. */
export interface Configuration { iceServers?: IceServer[];
    iceTransportPolicy?: "all" | "relay";
    [member: string]: unknown;
}
interface Description { type: "offer" | "answer" | "pranswer" | "rollback";
    sdp?: string;
}
/** `RTCIceCandidateInit`. */
interface Candidate { candidate: string;
    sdpMid?: string | null;
    sdpMLineIndex?: number | null;
    usernameFragment?: string | null;
}
export interface ChannelOptions { /** Whether messages arrive in the order in which they were sent. */ ordered?: boolean;
    /** How often a lost message is sent again; not given: until it arrives. */
    maxRetransmits?: number;
    /** Milliseconds for which a lost message is sent again; not given: until it arrives. */
    maxPacketLifeTime?: number;
}
interface RtcTrack { readonly kind: string;
    readonly id: string;
}
interface RtcStream { readonly id: string;
    getTracks(): RtcTrack[];
}
interface RtcChannel extends EventTarget { readonly label: string;
    readonly protocol: string;
    readonly readyState: string;
    readonly bufferedAmount: number;
    bufferedAmountLowThreshold: number;
    binaryType: string;
    send(data: any): void;
    close(): void;
}
interface RtcConnection extends EventTarget { readonly connectionState: string;
    readonly iceConnectionState: string;
    readonly iceGatheringState: string;
    readonly signalingState: string;
    readonly localDescription: Description | null;
    readonly remoteDescription: Description | null;
    createDataChannel(label: string, options?: ChannelOptions & {
        negotiated?: boolean;
        id?: number;
        protocol?: string;
    }): RtcChannel;
    createOffer(options?: {
        iceRestart?: boolean;
    }): Promise<Description>;
    createAnswer(): Promise<Description>;
    setLocalDescription(description?: Description): Promise<void>;
    setRemoteDescription(description: Description): Promise<void>;
    addIceCandidate(candidate?: Candidate | null): Promise<void>;
    setConfiguration?(configuration: Configuration): void;
    restartIce?(): void;
    addTrack?(track: RtcTrack, ...streams: RtcStream[]): unknown;
    removeTrack?(sender: unknown): void;
    getStats(): Promise<{
        forEach(see: (entry: Record<string, unknown>) => void): void;
    }>;
    close(): void;
}
/** Anything that can be called like the global `RTCPeerConnection`. */
type PeerConnectionConstructor = new (configuration?: any) => any;
/** Anything that can be called like the global `WebSocket`. */
type WebSocketConstructor = new (url: string, protocols?: string[]) => any;
/** The low layer: one connection to the server that comes back by itself, its calls and what the server tells. */
export interface ConnectOptions { /** Where there is no global one: `ws` from npm, say. */ WebSocket?: WebSocketConstructor | undefined;
    /** Ends the connection for good. */
    signal?: AbortSignal | undefined;
    /** Other waits than the usual ones. */
    timing?: Partial<Timing> | undefined;
}
/** What the server tells of itself; see the protocol's `welcome`. */
export interface Welcome { readonly version: 3;
    readonly server: string;
    readonly limits: Readonly<Record<string, number>>;
    readonly keepaliveSeconds: number;
    readonly iceServers: IceServer[];
    readonly iceTtlSeconds?: number;
    /** Where sessions can be resumed. */
    readonly resume?: {
        readonly id: string;
        readonly seconds: number;
        readonly bytes: number;
    };
}
/** `open`: calls can be made. `waiting`: for the next attempt. `closed`: for good. */
export type SignallerState = "connecting" | "open" | "waiting" | "closed";
/** Two addresses, each `room:ident`. */
interface Pair {
    readonly own: string;
    readonly other: string;
}
/** A member is to be connected to; the initiator makes the offer. `info`: what the server vouches for of the other. */
export type IntroductionEvent = Event & Pair & { readonly initiator: boolean;
    readonly info?: unknown;
};
export type SignalEvent = Event & Pair & { readonly data: unknown;
};
export type GoneEvent = Event & Pair & { readonly reason: string;
};
export interface SignallerEvents { state: Event;
    /** There is nothing left of a former session, if there was one: join (again). */
    welcome: Event & {
        readonly welcome: Welcome;
    };
    /** It goes on where it broke off; `cold`: but for what was said meanwhile, and members are introduced anew. */
    resumed: Event & {
        readonly addresses: readonly string[];
        readonly cold: boolean;
    };
    /** A membership by token is about to end: `renew` it. */
    expiring: Event & {
        readonly own: string;
        readonly seconds: number;
    };
    stun: IntroductionEvent;
    signal: SignalEvent;
    gone: GoneEvent;
    goodbye: Event & {
        readonly reason: string;
        readonly retryAfterMs: number;
    };
    /** A call without an answer was refused, or the connection has ended for good. */
    error: ErrorEvent;
}
/** What became of a link; see the protocol's `report`. */
export interface LinkReport { state: "connected" | "interrupted" | "failed" | "closed";
    path?: "host" | "srflx" | "prflx" | "relay";
    ms?: number;
    why?: "no-answer" | "no-candidates" | "ice-failed" | "relay-needed" | "other";
}
export interface JoinOptions { /** 22 to 128 printable characters, made at random and kept: takes the address over from a connection that died. */ key?: string | undefined;
    /** Where the server asks for one. */
    token?: string | undefined;
}
/** Opens a connection to the server at a `ws:` or `wss:` URL (`http:` and `https:` will do), on any path. */
export declare function connect(url: string | URL, options?: ConnectOptions): Signaller;
/**
 * A connection to the server. It comes back after a break, with growing pauses. Within some seconds it goes on as if
 * nothing had been (`resumed`): what was said on either side arrives, once. After that nothing is left of it: listen for
 * `welcome` to join (again). Calls that still wait for an answer are then rejected with `disconnected`.
 */
export declare class Signaller extends Target<SignallerEvents> implements Disposable { #private;
    readonly url: string;
    constructor(url: string | URL, { WebSocket, signal, timing }?: ConnectOptions);
    get state(): SignallerState;
    /** What the server said last; `undefined` before it has said anything. */
    get welcome(): Welcome | undefined;
    /** Why it is closed. */
    get reason(): SignalError | undefined;
    /** Resolves with the welcome once the server is reached. */
    ready(): Promise<Welcome>;
    /** A fresh ident that nobody can guess. */
    ident(): Promise<string>;
    /** Joins a room; resolves with the address, `room:ident`. */
    join(room: string, ident: string, { key, token }?: JoinOptions): Promise<string>;
    /** Goes on with a membership by token; resolves with the seconds that it has. */
    renew(address: string, token: string): Promise<number>;
    leave(address: string): Promise<string>;
    /** The server's STUN and TURN servers, with fresh credentials. */
    ice(): Promise<{
        iceServers: IceServer[];
        iceTtlSeconds?: number;
    }>;
    /** Says something to a member of the same room. False: it is lost, for the connection is down for long. */
    signal(own: string, other: string, data: unknown): boolean;
    /** Tells the server what became of a link. */
    report(own: string, other: string, link: LinkReport): void;
    close(): void;
    [Symbol.dispose](): void;
}
/** Waits and their bounds. All in milliseconds. */
export interface Timing { /** For the handshake and the welcome of one attempt to reach the server. */ connectTimeout: number;
    /** For the first attempts to reach the server and to join, all together. */
    joinTimeout: number;
    /** The first pause before coming back to the server; it doubles up to `retryMost`. */
    retryLeast: number;
    retryMost: number;
    /** The server is asked for a sign of life after so long a silence, and has `pongTimeout` to give it. */
    pingInterval: number;
    pongTimeout: number;
    /** For a link, from the introduction or the start of a session on. */
    linkTimeout: number;
    /** How long a link that was interrupted may mend itself before its ICE is restarted. */
    interruptedTimeout: number;
    /** How long a peer that has lost both the server and its link is expected back before it counts as left. */
    returnTimeout: number;
    /** So often is a link that was lost begun anew before it has failed. */
    sessions: number;
}
declare const TIMING: Readonly<Timing>;
/** A pause of which half is left to chance, so that a crowd does not come back at once. */
declare function backoff(attempt: number, { retryLeast, retryMost }: Timing): number;
declare function pause(ms: number): Promise<void>;
export {};
