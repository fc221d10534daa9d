/**
 * What clients and server say to each other, as text and as values. Pure: no sockets, no clock.
 *
 * Version 2 is what every DIVA client speaks; version 3 is asked for with the subprotocol `diva.signal.v3` and
 * adds to it. A message is a JSON array in one frame.
 */

import {
  type ErrorCode,
  ErrorText,
  type GoneReason,
  LINK_FAILURES,
  LINK_PATHS,
  LINK_STATES,
  type LinkFailure,
  type LinkPath,
  type LinkState,
} from "./codes.ts";
import type { IceServers } from "./ice_servers.ts";
import { countElements, numberHead } from "./json_array.ts";

export { checkOfHead } from "./json_array.ts";

/** The WebSocket subprotocol (RFC 6455 section 1.9) by which a client asks for version 3. */
export const VERSION_3 = "diva.signal.v3";

export type Version = 2 | 3;

/** A call as a client sends it, checked. */
export type ClientCall =
  | { readonly call: "ident" }
  | {
    readonly call: "join";
    readonly ident: string;
    readonly room: string;
    readonly key?: string;
    readonly token?: string;
  }
  | {
    readonly call: "signal";
    readonly from: string;
    readonly to: string;
    /** The client's text from behind `to`, a comma first and the array's bracket last: relayed as it came. */
    readonly tail: string;
  }
  | { readonly call: "leave"; readonly address: string }
  | { readonly call: "renew"; readonly address: string; readonly token: string }
  | { readonly call: "ice" }
  | { readonly call: "seen"; readonly count: number }
  | { readonly call: "resume"; readonly id: string; readonly count: number }
  | { readonly call: "report"; readonly own: string; readonly other: string; readonly link: LinkReport }
  | { readonly call: "ping" }
  | { readonly call: "refused"; readonly refusal: Refusal };

/** Why a call is not carried out, and as much of the call as may be repeated: never its data. */
export interface Refusal {
  readonly code: ErrorCode;
  /** What is wrong this time, for a person; not given: what the code always means. */
  readonly text?: string | undefined;
  /** The name of the call, where it had one. */
  readonly call?: string;
  /** Its ident and room, or its addresses. */
  readonly about: readonly string[];
}

/** What a peer says of its link to another. */
export interface LinkReport {
  readonly state: LinkState;
  /** By which kind of path, once it is connected. */
  readonly path?: LinkPath;
  /** Milliseconds since the two were introduced. */
  readonly ms?: number;
  /** Of a link that failed. */
  readonly why?: LinkFailure;
}

/** What a version 3 client is told first. */
export interface Welcome extends IceServers {
  readonly version: 3;
  /** Name and version of the program, such as `signal/3.0.0`. */
  readonly server: string;
  /** All limits that bind this client. */
  readonly limits: Readonly<Record<string, number>>;
  /** The server pings a client that was silent for that long. */
  readonly keepaliveSeconds: number;
  /** Where sessions can be resumed. */
  readonly resume?: ResumeOffer;
}

/** How a client comes back to its session after its socket broke. */
export interface ResumeOffer {
  /** Good for one resume. */
  readonly id: string;
  /** For how long the session waits. */
  readonly seconds: number;
  /** How much of what was sent and not seen is kept, in UTF-16 units. */
  readonly bytes: number;
}

const SIGNAL_OPENING = '["signal","';
const SEEN_OPENING = '["seen",';
const COMMA = ",".charCodeAt(0);
const ARRAY_END = "]".charCodeAt(0);
const ZERO = "0".charCodeAt(0);
const LETTER_I = "i".charCodeAt(0);
const LETTER_S = "s".charCodeAt(0);

/** Matches the array up to the end of its third string, in a text that is known to be valid JSON. */
const THREE_STRINGS =
  /^\s*\[\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*,\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*,\s*("[^"\\]*(?:\\.[^"\\]*)*")/;

// deno-lint-ignore no-control-regex -- these are the characters that are not allowed
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const MAX_IDENT = 128;
const MAX_ROOM = 256;

/**
 * Of a text that is likely to be a signal, and is valid JSON and an array of four: the number of what it has in front
 * of its data, to which `checkOfHead` belongs; see `numberHead`. -1 of others.
 */
export function numberSignal(text: string): number {
  // No other call has an i there; who has spaces in front of it does without a number.
  return text.charCodeAt(3) === LETTER_I ? numberHead(text) : -1;
}

/** Whether a text is likely to be a call of which there are many, and which has no answer unless it's refused: `signal`, `seen`. */
export function isQuiet(text: string): boolean {
  return text.charCodeAt(2) === LETTER_S;
}

/**
 * Reads one message of a client. Never throws: what can't be understood is a call of the kind `refused`.
 *
 * @param counted whether `numberSignal` had a number for it; it makes no difference to the result
 */
export function decode(text: string, version: Version, counted = false): ClientCall {
  return decodePlainSignal(text, counted) ?? decodePlainSeen(text, version) ??
    (text.length <= MAX_PARSED ? decodeAny(text, version) : decodeLong(text));
}

/**
 * The longest text, in UTF-16 units, that `JSON.parse` gets to see; all calls but signals are shorter. It can be made
 * to take a hundred milliseconds for 64 KiB: with strings of digits that the engine's table of strings can't tell apart.
 */
const MAX_PARSED = 8192;

/**
 * The usual form of the usual call, `["signal","F","T",D]` without spaces and escapes in front of D, is taken
 * apart without building anything out of D. Whatever else a text may be is left to `decodeAny`.
 */
function decodePlainSignal(text: string, counted: boolean): ClientCall | undefined {
  if (!text.startsWith(SIGNAL_OPENING)) return;
  const fromEnd = text.indexOf('"', SIGNAL_OPENING.length);
  if (!text.startsWith('","', fromEnd)) return;
  const toEnd = text.indexOf('"', fromEnd + 3);
  if (text.charCodeAt(toEnd + 1) !== COMMA) return;
  const escape = text.indexOf("\\");
  if (escape !== -1 && escape < toEnd || !counted && countElements(text) !== 4) return;
  return {
    call: "signal",
    from: text.slice(SIGNAL_OPENING.length, fromEnd),
    to: text.slice(fromEnd + 3, toEnd),
    tail: text.slice(toEnd + 1),
  };
}

/** The most digits of which every number is exact. */
const MAX_DIGITS = 15;

/** The usual form of the call that is second in number, `["seen",N]`. Whatever else a text may be is left to `decodeAny`. */
function decodePlainSeen(text: string, version: Version): ClientCall | undefined {
  if (version !== 3 || !text.startsWith(SEEN_OPENING)) return;
  const digits = text.length - 1 - SEEN_OPENING.length;
  if (digits < 1 || digits > MAX_DIGITS || text.charCodeAt(text.length - 1) !== ARRAY_END) return;
  let count = 0;
  for (let i = 0; i < digits; i++) {
    const digit = text.charCodeAt(SEEN_OPENING.length + i) - ZERO;
    // JSON has no number with a zero in front.
    if (digit < 0 || digit > 9 || i > 0 && count === 0) return;
    count = count * 10 + digit;
  }
  return { call: "seen", count };
}

/** A text that no call but a signal can be: validated whole, and parsed as far as its three strings go. */
function decodeLong(text: string): ClientCall {
  const count = countElements(text);
  if (count === -1) return refused(countElements(`[${text}]`) === 1 ? "bad-call" : "bad-json");
  const name = readString(/^\s*\[\s*("[^"\\]*(?:\\.[^"\\]*)*")/.exec(text)?.[1]);
  if (name === undefined) return refused("bad-call");
  if (!CALLS.has(name)) return unknown(name);
  const [head = "", , first, second] = THREE_STRINGS.exec(text) ?? [];
  const [from, to] = [readString(first), readString(second)];
  if (name === "join" && head) {
    // Mostly it is one of the names that is too long.
    return refused(
      from === undefined ? "bad-ident" : to === undefined ? "bad-room" : "bad-arguments",
      name,
      from,
      to,
    );
  }
  return name !== "signal" || count !== 4 || from === undefined || to === undefined
    ? refused("bad-arguments", name, from, to)
    : { call: "signal", from, to, tail: text.slice(head.length) };
}

/** A string as JSON has it, unless it is longer than any name. */
function readString(json: string | undefined): string | undefined {
  return json === undefined || json.length > MAX_PARSED ? undefined : JSON.parse(json);
}

const CALLS: ReadonlySet<string> = new Set<ClientCall["call"]>([
  "ident",
  "join",
  "signal",
  "leave",
  "renew",
  "ice",
  "seen",
  "resume",
  "report",
  "ping",
]);

function decodeAny(text: string, version: Version): ClientCall {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return refused("bad-json");
  }
  if (!Array.isArray(message) || typeof message[0] !== "string") return refused("bad-call");

  const name: string = message[0];
  const given = message.length - 1;
  switch (name) {
    case "ident":
      return { call: "ident" };
    case "ping":
      return given === 0 ? { call: "ping" } : refused("bad-arguments", name);
    case "join": {
      if (given !== 2 && (given !== 3 || version === 2)) return refused("bad-arguments", name);
      const [, ident, room, options] = message;
      if (!isName(ident, MAX_IDENT) || ident.includes(":")) return refused("bad-ident", name, ident, room);
      if (!isName(room, MAX_ROOM)) return refused("bad-room", name, ident, room);
      if (given === 2) return { call: "join", ident, room };
      if (!isObject(options)) return refused("bad-arguments", name, ident, room);
      const { key, token } = options;
      if (key !== undefined && !isKey(key) || token !== undefined && typeof token !== "string") {
        return refused("bad-arguments", name, ident, room);
      }
      return {
        call: "join",
        ident,
        room,
        ...key === undefined ? {} : { key },
        ...token === undefined ? {} : { token },
      };
    }
    case "signal": {
      const [, from, to] = message;
      if (given !== 3 || typeof from !== "string" || typeof to !== "string") {
        return refused("bad-arguments", name, from, to);
      }
      const { length } = THREE_STRINGS.exec(text)![0];
      return { call: "signal", from, to, tail: text.slice(length) };
    }
  }
  if (version === 3) {
    switch (name) {
      case "leave":
        return given === 1 && typeof message[1] === "string"
          ? { call: "leave", address: message[1] }
          : refused("bad-arguments", name, message[1]);
      case "renew": {
        const [, address, token] = message;
        return given === 2 && typeof address === "string" && typeof token === "string"
          ? { call: "renew", address, token }
          : refused("bad-arguments", name, address);
      }
      case "seen":
        return given === 1 && isCount(message[1])
          ? { call: "seen", count: message[1] }
          : refused("bad-arguments", name);
      case "resume": {
        const [, id, count] = message;
        return given === 2 && typeof id === "string" && isCount(count)
          ? { call: "resume", id, count }
          : refused("bad-arguments", name);
      }
      case "ice":
        return given === 0 ? { call: "ice" } : refused("bad-arguments", name);
      case "report": {
        const [, own, other] = message;
        const link = given === 3 ? readLinkReport(message[3]) : undefined;
        return typeof own === "string" && typeof other === "string" && link !== undefined
          ? { call: "report", own, other, link }
          : refused("bad-arguments", name, own, other);
      }
    }
  }
  return unknown(name);
}

function isName(value: unknown, maxLength: number): value is string {
  return typeof value === "string" && value.length >= 1 && value.length <= maxLength &&
    // Half a surrogate pair has no UTF-8: what the others would see is another name.
    value.isWellFormed() && !CONTROL.test(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What proves to be the same peer again: 22 characters of base64 hold 128 bits. */
function isKey(value: unknown): value is string {
  return typeof value === "string" && /^[\x20-\x7e]{22,128}$/.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** `undefined` where it is none. Members that are not known are passed over, and so are those that don't apply. */
function readLinkReport(value: unknown): LinkReport | undefined {
  if (!isObject(value)) return undefined;
  const { ms } = value;
  const state = oneOf(LINK_STATES, value["state"]);
  const path = oneOf(LINK_PATHS, value["path"]);
  const why = oneOf(LINK_FAILURES, value["why"]);
  if (state === undefined || ms !== undefined && !(Number.isFinite(ms) && (ms as number) >= 0)) {
    return undefined;
  }
  return {
    state,
    ...state === "connected" && path !== undefined ? { path } : {},
    ...ms === undefined ? {} : { ms: ms as number },
    ...state === "failed" && why !== undefined ? { why } : {},
  };
}

function oneOf<T>(words: readonly T[], value: unknown): T | undefined {
  return words.find((word) => word === value);
}

function refused(code: ErrorCode, call?: string, ...about: unknown[]): ClientCall {
  return {
    call: "refused",
    refusal: { code, call, about: about.filter((part) => typeof part === "string") },
  };
}

/** Of an array that begins with a string as it should. */
function unknown(call: string): ClientCall {
  return { call: "refused", refusal: { code: "bad-call", text: "No call has that name.", call, about: [] } };
}

export function encodeIdent(ident: string): string {
  return `["ident","${ident}"]`;
}

export const PONG = '["pong"]';

/** `own` and every address below: quoted. */
export function encodeJoined(own: string): string {
  return `["join",${own}]`;
}

/** `info`: JSON. */
export function encodeStun(own: string, other: string, initiator: boolean, info?: string): string {
  return `["stun",${own},${other},${initiator}${info === undefined ? "" : "," + info}]`;
}

/** `opening`: that of the receiver; `tail`: that of the call. */
export function encodeSignal(opening: string, other: string, tail: string): string {
  return opening + other + tail;
}

export function encodeLeft(own: string): string {
  return `["leave",${own}]`;
}

export function encodeGone(own: string, other: string, reason: GoneReason): string {
  return `["gone",${own},${other},"${reason}"]`;
}

export function encodeWelcome(welcome: Welcome): string {
  return JSON.stringify(["welcome", welcome]);
}

/** A fresh id, for what the client holds now. */
export function encodeResume(offer: ResumeOffer): string {
  return JSON.stringify(["resume", offer]);
}

/** Whether a message of the server's is such an offer. */
export function isOffer(text: string): boolean {
  return text.startsWith('["resume",');
}

/** What a client is told that has come back to its session. */
export interface Resumed {
  readonly addresses: readonly string[];
  readonly resume: ResumeOffer;
  /** How many calls of the client the session has taken in: those behind them were lost on the way. */
  readonly calls?: number;
  /** What was sent meanwhile is lost, and all members are introduced anew. */
  readonly cold?: true;
}

export function encodeResumed(resumed: Resumed): string {
  return JSON.stringify(["resumed", resumed]);
}

/** `own`: quoted, as above. */
export function encodeExpiring(own: string, seconds: number): string {
  return `["expiring",${own},${seconds}]`;
}

export function encodeRenewed(own: string, seconds: number): string {
  return `["renewed",${own},${seconds}]`;
}

export function encodeIce(servers: IceServers): string {
  return JSON.stringify(["ice", servers]);
}

/** `retryAfterMs`: how long the client should wait before it comes back. */
export function encodeGoodbye(reason: "shutdown" | "overload", retryAfterMs: number): string {
  return JSON.stringify(["goodbye", { reason, retryAfterMs }]);
}

/** The longest text of a client that an error, or the log, repeats. */
export const MAX_ECHO = MAX_ROOM + 1 + MAX_IDENT;

export function encodeError({ code, text = ErrorText[code], call, about }: Refusal): string {
  const echo = [...call === undefined ? [] : [call], ...about].map((part) => part.slice(0, MAX_ECHO));
  return JSON.stringify(["error", code, text, ...echo]);
}
