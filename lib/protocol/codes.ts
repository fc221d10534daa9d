/** The stable words and numbers that clients may act upon, all in one place. */

/**
 * Why a socket is closed (RFC 6455 section 7.4). A client may retry on 1001, 1006, 1011, 1012 and 1013, and
 * should not on 1008, 1009, 4001 and 4003.
 */
export const CloseCode = {
  /** The client did not answer a ping. */
  silent: 1001,
  /** Limits were broken again and again. */
  policy: 1008,
  /** A message was larger than `maxMessageBytes`. */
  tooLarge: 1009,
  /** The server is about to stop, and will probably be back. */
  restart: 1012,
  /** The server is over capacity, or this client does not read what is sent to it. */
  overloaded: 1013,
  /** Somebody with the key of this socket's only address has taken it over, or has resumed its session. */
  replaced: 4001,
  /** The administrator has removed this socket's only address. */
  removed: 4003,
} as const;

/** What a version 3 client is told about a call that was refused: the code, and a sentence for a person. */
export const ErrorText = {
  "bad-json": "The message is not valid JSON.",
  "bad-call": "The message is not an array that begins with the name of a call.",
  "bad-arguments": "The call has the wrong number or kind of arguments.",
  "bad-ident":
    "An ident is a string of 1 to 128 characters, without a colon, control characters or half surrogate pairs.",
  "bad-room":
    "A room is a string of 1 to 256 characters, without control characters or half surrogate pairs.",
  "ident-taken": "The ident is taken in this room.",
  "room-full": "The room has as many peers as the server allows.",
  "too-many-addresses":
    "This socket, or all of its network address, holds as many addresses as the server allows.",
  "not-a-member": "This socket does not hold the address that it speaks for.",
  "no-such-peer": "Nobody in the room holds the address that is spoken to.",
  "too-large": "The message is larger than the server allows. The socket is closed.",
  "rate-limited":
    "Too many calls in too short a time, of this socket or its network address; this one was passed over.",
  "unauthorised": "This room asks for a token.",
  "cannot-resume": "This session can't be resumed (any more): join again, with the key.",
  "unavailable":
    "There are as many rooms as the server allows, in all or to the network address of this socket.",
} as const;

/** Stable: programs compare it. */
export type ErrorCode = keyof typeof ErrorText;

/**
 * Why a member of a room is no longer there: it left, its socket closed, it stopped answering pings or did not come
 * back to resume, somebody with its key took its address over, its token has ended, the administrator removed it.
 */
export type GoneReason = "left" | "closed" | "timeout" | "replaced" | "expired" | "removed";

/** What became of a link between two peers, as one of them reports it. */
export const LINK_STATES = ["connected", "interrupted", "failed", "closed"] as const;
export type LinkState = typeof LINK_STATES[number];

/** By which kinds of candidate a link runs: the least direct of both sides'. */
export const LINK_PATHS = ["host", "srflx", "prflx", "relay"] as const;
export type LinkPath = typeof LINK_PATHS[number];

/** Why a link failed, as far as a peer can tell. */
export const LINK_FAILURES = ["no-answer", "no-candidates", "ice-failed", "relay-needed", "other"] as const;
export type LinkFailure = typeof LINK_FAILURES[number];
