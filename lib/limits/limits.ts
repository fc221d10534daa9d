/** Bounds that protect the server and its users from a client that does too much of something. */

import type { HoldingLimits } from "./accounts.ts";
import { type NetworkFactors, SourceRates } from "./source_rates.ts";

/** What binds one socket. Their defaults stand in the table of options. */
export interface SocketLimits {
  /** Largest message in bytes; a larger one closes the socket (1009). */
  readonly maxMessageBytes: number;
  /** Bytes that may wait to be read by the client before its socket is closed (1013). */
  readonly maxQueueBytes: number;
  /** Calls per second, in the long run. */
  readonly callRate: number;
  /** Calls that may come at once after a pause. */
  readonly callBurst: number;
  /** Joins per second, in the long run. */
  readonly joinRate: number;
  /** Joins that may come at once after a pause. */
  readonly joinBurst: number;
  /** Seconds within which a handshake has to be through. */
  readonly handshakeTimeout: number;
  /** Seconds for which a client may leave a close frame unanswered. */
  readonly closeTimeout: number;
  /** Calls beyond its own limits that a socket may make per second, in the long run; it is closed then (1008). */
  readonly strikeRate: number;
  /** Calls beyond its own limits that may come at once after a pause. */
  readonly strikeBurst: number;
}

/** The limits of the rooms. */
export interface RoomLimits {
  /** Addresses in one room. */
  readonly maxRoomPeers: number;
  /** Addresses that one socket may hold. */
  readonly maxAddresses: number;
  /** Rooms in all. */
  readonly maxRooms: number;
}

/** What binds a client, all its sockets together, and the networks that it is a part of: see `Source`. */
export interface ClientLimits {
  /** Sockets in all. */
  readonly maxSockets: number;
  /** Sockets of one client. */
  readonly maxSocketsPerClient: number;
  /** New sockets of one client per second, in the long run. */
  readonly connectRate: number;
  /** New sockets of one client that may come at once after a pause. */
  readonly connectBurst: number;
  /** Rooms in all. */
  readonly maxRooms: number;
  /** Rooms of one client. */
  readonly maxRoomsPerClient: number;
  /** Addresses of one client. */
  readonly maxAddressesPerClient: number;
  /** All sockets of one client share the calls and joins of so many. */
  readonly busySocketsPerClient: number;
  /** What one IPv6 /56 may have of all sockets and rooms, in percent. */
  readonly siteShare: number;
  /** What one IPv6 /48 or IPv4 /24 may have of all sockets and rooms, in percent. */
  readonly networkShare: number;
}

/**
 * What clients and networks may hold. A network may have its share of the whole, and never less than one client;
 * of addresses, and of anything per second, as many times a client's as it may have a client's sockets.
 */
export function holdingLimits(limits: ClientLimits): HoldingLimits {
  const { maxSockets, maxRooms, maxSocketsPerClient, maxRoomsPerClient, maxAddressesPerClient } = limits;
  const shareOf = (whole: number, percent: number, client: number) =>
    Math.max(client, Math.floor(whole * percent / 100));
  const network = (percent: number) => {
    const sockets = shareOf(maxSockets, percent, maxSocketsPerClient);
    return {
      sockets,
      rooms: shareOf(maxRooms, percent, maxRoomsPerClient),
      addresses: maxAddressesPerClient * (sockets / maxSocketsPerClient),
    };
  };
  return {
    client: {
      sockets: maxSocketsPerClient,
      rooms: maxRoomsPerClient,
      addresses: maxAddressesPerClient,
    },
    site: network(limits.siteShare),
    network: network(limits.networkShare),
  };
}

/** How many times one client's rates a network gets: as many as it may have a client's sockets. */
export function networkFactors(limits: ClientLimits): NetworkFactors {
  const { client, site, network } = holdingLimits(limits);
  return { site: site.sockets / client.sockets, network: network.sockets / client.sockets };
}

/** A rate of each client, and of the networks. `rate` is per second, in the long run; `burst` may come at once. */
export function clientRates(limits: ClientLimits, rate: number, burst: number): SourceRates {
  const { maxSockets: maxSources } = limits;
  return new SourceRates({ ratePerSource: rate, burst, networks: networkFactors(limits), maxSources });
}

/** What all sockets of a client share: calls, joins by what they cost, and calls beyond the limits. */
export interface SharedBudgets {
  readonly calls: SourceRates;
  readonly joins: SourceRates;
  readonly strikes: SourceRates;
}

export function sharedBudgets(limits: ClientLimits & SocketLimits): SharedBudgets {
  const { busySocketsPerClient: busy, callRate, callBurst, joinRate, joinBurst, strikeRate, strikeBurst } =
    limits;
  return {
    calls: clientRates(limits, busy * callRate, busy * callBurst),
    joins: clientRates(limits, busy * joinRate, busy * joinBurst),
    strikes: clientRates(limits, busy * strikeRate, busy * strikeBurst),
  };
}
