/** What a token says, and what it lets its bearer do. */

/** What is left of a token once its signature and its time were checked. */
export interface Ticket {
  /** Names of rooms, or beginnings of names that end in `*`. */
  readonly rooms: readonly string[];
  /** The only ident that it is good for. */
  readonly subject?: string | undefined;
  /** Milliseconds since 1970: it can be used until then. */
  readonly expires: number;
  /** What whoever joins with it gets. */
  readonly pass: Pass;
}

/** A membership by token. */
export interface Pass {
  /** Milliseconds since 1970: when it ends. */
  readonly until: number;
  /** Whether the member may signal. */
  readonly publish: boolean;
  /** Whether it gets TURN credentials. */
  readonly ice: boolean;
  /** JSON that the server vouches for. */
  readonly info?: string | undefined;
}

/** A token that is not good, in a sentence for whoever wrote the application. */
export class TokenFault {
  readonly sentence: string;
  /** `unavailable` and `rate-limited`: it may be good, but could not be looked at. */
  readonly code: "unauthorised" | "unavailable" | "rate-limited";

  constructor(sentence: string, code: TokenFault["code"] = "unauthorised") {
    this.sentence = sentence;
    this.code = code;
  }
}

/** Bytes of `info`. */
export const MAX_INFO = 1024;

/** Of a claim that is repeated in a sentence. */
const MAX_ECHO = 64;

/** Reads the claims of a token whose signature, `exp`, `nbf` and `aud` are right. */
export function readClaims(claims: Readonly<Record<string, unknown>>): Ticket | TokenFault {
  const { rooms, sub, exp, until, publish, ice, info } = claims;
  if (typeof exp !== "number") return new TokenFault("The token has no end: exp is missing.");
  if (!Array.isArray(rooms) || !rooms.every((room) => typeof room === "string")) {
    return new TokenFault("The token names no rooms: rooms should be an array of strings.");
  }
  if (sub !== undefined && typeof sub !== "string") return new TokenFault("The token's sub is not a string.");
  if (until !== undefined && typeof until !== "number") {
    return new TokenFault("The token's until is not a number of seconds.");
  }
  if (
    publish !== undefined && typeof publish !== "boolean" || ice !== undefined && typeof ice !== "boolean"
  ) {
    return new TokenFault("The token's publish and ice should be true or false.");
  }
  let vouched: string | undefined;
  if (info !== undefined) {
    if (typeof info !== "object" || info === null || Array.isArray(info)) {
      return new TokenFault("The token's info is not an object.");
    }
    vouched = JSON.stringify(info);
    if (new TextEncoder().encode(vouched).length > MAX_INFO) {
      return new TokenFault(`The token's info has more than ${MAX_INFO} bytes.`);
    }
  }
  return {
    rooms,
    subject: sub,
    expires: exp * 1000,
    pass: {
      until: (until ?? exp) * 1000,
      publish: publish !== false,
      ice: ice !== false,
      info: vouched,
    },
  };
}

/**
 * Whether a name is one of those, which may end in `*`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(matches(["kitchen", "hall-*"], "hall-2"), true);
 * assertEquals(matches(["kitchen", "hall-*"], "kitchen-2"), false);
 * ```
 */
export function matches(patterns: readonly string[], room: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("*") ? room.startsWith(pattern.slice(0, -1)) : room === pattern
  );
}

/** Lets the bearer of a ticket into a room, or says why not. `now`: milliseconds since 1970. */
export function admit(ticket: Ticket, room: string, ident: string, now: number): Pass | TokenFault {
  const { rooms, subject, expires, pass } = ticket;
  if (expires <= now) return expired(expires, now);
  if (pass.until <= now) {
    return new TokenFault(`The token's membership ended ${secondsBetween(pass.until, now)} s ago.`);
  }
  if (!matches(rooms, room)) return new TokenFault(`The token is not for the room ${short(room)}.`);
  if (subject !== undefined && subject !== ident) {
    return new TokenFault(`The token is for another ident than ${short(ident)}.`);
  }
  return pass;
}

/** `expires` and `now`: milliseconds since 1970. */
export function expired(expires: number, now: number): TokenFault {
  return new TokenFault(`The token expired ${secondsBetween(expires, now)} s ago.`);
}

function secondsBetween(earlier: number, later: number): number {
  return Math.max(0, Math.round((later - earlier) / 1000));
}

function short(name: string): string {
  return JSON.stringify(name.slice(0, MAX_ECHO));
}
