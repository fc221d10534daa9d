// SPDX-License-Identifier: MIT

/**
 * As much of the WebRTC API (W3C WebRTC 1.0) as is used here. Browsers have it, elsewhere a package brings it; where
 * the DOM's types are known, what applications get to see has those.
 */

type Global = typeof globalThis;
type Dom<Name extends string, Else> = Global extends { [key in Name]: { prototype: infer T } } ? T : Else;

/** The application's type for a connection, with all that it has. */
export type PeerConnection = Dom<"RTCPeerConnection", RtcConnection>;
export type DataChannel = Dom<"RTCDataChannel", RtcChannel>;
export type MediaStream = Dom<"MediaStream", RtcStream>;
export type MediaStreamTrack = Dom<"MediaStreamTrack", RtcTrack>;

/** One entry of `RTCConfiguration.iceServers`. */
export interface IceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
}

/** `RTCConfiguration`; members that are not named here are passed on as they are. */
export interface Configuration {
  iceServers?: IceServer[];
  iceTransportPolicy?: "all" | "relay";
  [member: string]: unknown;
}

export interface Description {
  type: "offer" | "answer" | "pranswer" | "rollback";
  sdp?: string;
}

/** `RTCIceCandidateInit`. */
export interface Candidate {
  candidate: string;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
  usernameFragment?: string | null;
}

export interface ChannelOptions {
  /** Whether messages arrive in the order in which they were sent. */
  ordered?: boolean;
  /** How often a lost message is sent again; not given: until it arrives. */
  maxRetransmits?: number;
  /** Milliseconds for which a lost message is sent again; not given: until it arrives. */
  maxPacketLifeTime?: number;
}

export interface RtcTrack {
  readonly kind: string;
  readonly id: string;
}

export interface RtcStream {
  readonly id: string;
  getTracks(): RtcTrack[];
}

export interface RtcChannel extends EventTarget {
  readonly label: string;
  readonly protocol: string;
  readonly readyState: string;
  readonly bufferedAmount: number;
  bufferedAmountLowThreshold: number;
  binaryType: string;
  // deno-lint-ignore no-explicit-any -- the implementations differ in what they declare
  send(data: any): void;
  close(): void;
}

export interface RtcConnection extends EventTarget {
  readonly connectionState: string;
  readonly iceConnectionState: string;
  readonly iceGatheringState: string;
  readonly signalingState: string;
  readonly localDescription: Description | null;
  readonly remoteDescription: Description | null;
  createDataChannel(
    label: string,
    options?: ChannelOptions & { negotiated?: boolean; id?: number; protocol?: string },
  ): RtcChannel;
  createOffer(options?: { iceRestart?: boolean }): Promise<Description>;
  createAnswer(): Promise<Description>;
  setLocalDescription(description?: Description): Promise<void>;
  setRemoteDescription(description: Description): Promise<void>;
  addIceCandidate(candidate?: Candidate | null): Promise<void>;
  setConfiguration?(configuration: Configuration): void;
  restartIce?(): void;
  addTrack?(track: RtcTrack, ...streams: RtcStream[]): unknown;
  removeTrack?(sender: unknown): void;
  getStats(): Promise<{ forEach(see: (entry: Record<string, unknown>) => void): void }>;
  close(): void;
}

/** Anything that can be called like the global `RTCPeerConnection`. */
// deno-lint-ignore no-explicit-any -- the implementations differ in what they declare
export type PeerConnectionConstructor = new (configuration?: any) => any;

/** Anything that can be called like the global `WebSocket`. */
// deno-lint-ignore no-explicit-any -- the implementations differ in what they declare
export type WebSocketConstructor = new (url: string, protocols?: string[]) => any;
