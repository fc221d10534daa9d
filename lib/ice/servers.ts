/** Which STUN and TURN servers a client is told of. */

import type { IceServers } from "../protocol/ice_servers.ts";
import { iceServers, stunUrl, type TurnIssuer } from "./turn.ts";

/** What there is to tell of. */
export interface IceSources {
  /** UDP ports of the server's own STUN. */
  readonly stunPorts: readonly number[];
  /** The name or address under which clients find it; where there is none, the one by which they came. */
  readonly publicHost?: string;
  /** URLs of other STUN servers. */
  readonly stunUrls: readonly string[];
  /** URLs of TURN servers that take the issuer's credentials. */
  readonly turnUrls: readonly string[];
  readonly turn?: TurnIssuer;
  /** Lifetime of the credentials. */
  readonly turnTtlSeconds: number;
}

/**
 * Makes the list for one client, with fresh credentials.
 *
 * @param host the host by which the client came, without a port; where there is none that would lead here, and no
 * public one, the server's own STUN is left out
 * @param ident tells the client's credentials from others in the TURN server's log; without one there is no TURN
 */
export function serversFor(
  sources: IceSources,
  host: string | undefined,
  ident: string | undefined,
): IceServers {
  const ownHost = sources.publicHost ?? host;
  const own = ownHost === undefined ? [] : sources.stunPorts.map((port) => stunUrl(ownHost, port));
  const stun = [...own, ...sources.stunUrls];
  if (sources.turn === undefined || ident === undefined) {
    return { iceServers: iceServers({ stun, turn: [] }) };
  }
  const credentials = sources.turn(turnName(ident));
  return {
    iceServers: iceServers({ stun, turn: sources.turnUrls, credentials }),
    iceTtlSeconds: sources.turnTtlSeconds,
  };
}

/** Letters of an ident in a user name, where others than plain ones stand as three for a byte. */
const MAX_NAME = 384;

/** A member chooses its ident as it likes: what a TURN server's log gets to read is plain, and no longer than it can be. */
function turnName(ident: string): string {
  return encodeURIComponent(ident).slice(0, MAX_NAME);
}
