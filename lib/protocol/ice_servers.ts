/** How a client is told of STUN and TURN servers. */

/** One entry of `RTCConfiguration.iceServers` (WebRTC, section 4.2.4). */
export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/** What a client is told, in `welcome`, as the answer to `ice`, and by `GET /ice`. */
export interface IceServers {
  /** Ready to be handed to `RTCPeerConnection`. */
  readonly iceServers: readonly IceServer[];
  /** Seconds for which the credentials among them are good, where there are any. */
  readonly iceTtlSeconds?: number;
}
