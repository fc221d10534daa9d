/** As much of the WebRTC API as the tests use: Deno has no types for it, and those of the package lean on the DOM's. */

export interface IceCandidate {
  readonly candidate: string;
  readonly sdpMid: string | null;
  readonly sdpMLineIndex: number | null;
  readonly type: "host" | "srflx" | "prflx" | "relay";
  readonly address: string | null;
  readonly port: number | null;
}

export interface SessionDescription {
  readonly type: "offer" | "answer";
  readonly sdp: string;
}

export interface DataChannel extends EventTarget {
  readonly readyState: "connecting" | "open" | "closing" | "closed";
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  send(text: string): void;
}

/** Entries of a statistics report (WebRTC Statistics, section 8), which share a map. */
export interface Stats {
  readonly id: string;
  readonly type: string;
  readonly nominated?: boolean;
  readonly state?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly candidateType?: IceCandidate["type"];
}

export interface Configuration {
  iceServers: { urls: string[]; username?: string; credential?: string }[];
  iceTransportPolicy?: "all" | "relay";
}

declare class RTCPeerConnection extends EventTarget {
  constructor(configuration: Configuration);
  readonly connectionState: "new" | "connecting" | "connected" | "disconnected" | "failed" | "closed";
  readonly iceGatheringState: "new" | "gathering" | "complete";
  onicecandidate: ((event: { readonly candidate: IceCandidate | null }) => void) | null;
  onicegatheringstatechange: (() => void) | null;
  onconnectionstatechange: (() => void) | null;
  ondatachannel: ((event: { readonly channel: DataChannel }) => void) | null;
  createDataChannel(label: string): DataChannel;
  createOffer(): Promise<SessionDescription>;
  createAnswer(): Promise<SessionDescription>;
  setLocalDescription(description: SessionDescription): Promise<void>;
  setRemoteDescription(description: SessionDescription): Promise<void>;
  addIceCandidate(candidate: IceCandidate): Promise<void>;
  getStats(): Promise<ReadonlyMap<string, Stats>>;
  close(): void;
}

declare const wrtc: { readonly RTCPeerConnection: typeof RTCPeerConnection };
export default wrtc;
