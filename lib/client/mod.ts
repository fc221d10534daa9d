// SPDX-License-Identifier: MIT

/**
 * Peers in browsers, Deno, Node.js and Bun that find each other through the signal server and connect directly.
 *
 * @module
 */

export type { Channel, ChannelEvents, ChannelLimits, DataEvent, Message } from "./channel.ts";
export type { DiagnoseOptions, Diagnosis, Step } from "./diagnose.ts";
export { type ErrorEvent, SignalError } from "./errors.ts";
export type { Target } from "./events.ts";
export type { Failure, LinkState, LinkStats, Path } from "./link.ts";
export { diagnose, joinMesh, type Mesh, type MeshEvents, type MeshOptions, type MeshState } from "./mesh.ts";
export type { Peer, PeerEvents } from "./peer.ts";
export type { ChannelOptions, Configuration, IceServer } from "./rtc.ts";
export {
  connect,
  type ConnectOptions,
  type GoneEvent,
  type IntroductionEvent,
  type JoinOptions,
  type LinkReport,
  type SignalEvent,
  Signaller,
  type SignallerEvents,
  type SignallerState,
  type Welcome,
} from "./signaller.ts";
export type { Timing } from "./timing.ts";
