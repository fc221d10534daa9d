/** Bounds that protect the server and its users from a client that does too much of something. */

/** All limits that bind one socket. Their defaults stand in the table of options. */
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
