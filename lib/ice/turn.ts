/**
 * What a client is told of STUN and TURN servers: URLs (RFC 7064, RFC 7065), short-lived TURN credentials in the
 * REST form that coturn reads with `use-auth-secret`, and both as `RTCIceServer`s.
 *
 * @module
 */

import { createHmac } from "node:crypto";
import type { IceServer } from "../protocol/ice_servers.ts";

export interface TurnCredentials {
  /** `expiry:ident`; expiry in seconds since 1970. */
  username: string;
  /** HMAC-SHA1 of the username under the shared secret, in base64. */
  credential: string;
}

export interface TurnIssuerOptions {
  /** As in coturn's `static-auth-secret`; not empty. */
  secret: string;
  ttlSeconds: number;
  /** The time of day, in milliseconds since 1970. */
  now: () => number;
}

/** Credentials for one ident, which may be any text: it only tells who in the TURN server's log. */
export type TurnIssuer = (ident: string) => TurnCredentials;

export type IceScheme = "stun" | "stuns" | "turn" | "turns";

/** USERNAME holds less than this (RFC 8489 section 14.3). */
const USERNAME_BYTES = 509;

/**
 * Makes an issuer of credentials, which are good for `ttlSeconds` from when they are made.
 *
 * @throws {RangeError} of an empty secret; the issuer, of an ident that makes the username 509 bytes or more
 */
export function turnIssuer({ secret, ttlSeconds, now }: TurnIssuerOptions): TurnIssuer {
  if (secret === "") throw new RangeError("the TURN secret is empty");
  const text = new TextEncoder();
  return (ident) => {
    const username = `${Math.floor(now() / 1000) + ttlSeconds}:${ident}`;
    const bytes = text.encode(username);
    if (bytes.length >= USERNAME_BYTES) {
      throw new RangeError(`a TURN username has less than ${USERNAME_BYTES} bytes, not ${bytes.length}`);
    }
    // Web Crypto only promises, and a call must not be answered after those that came behind it.
    return { username, credential: createHmac("sha1", secret).update(bytes).digest("base64") };
  };
}

/**
 * The entries of `iceServers`: the STUN URLs in one, the TURN URLs with their credentials in another; what is
 * empty is left out.
 */
export function iceServers(
  { stun, turn, credentials }: {
    stun: readonly string[];
    turn: readonly string[];
    credentials?: TurnCredentials;
  },
): IceServer[] {
  const servers: IceServer[] = [];
  if (stun.length > 0) servers.push({ urls: [...stun] });
  if (turn.length > 0) servers.push({ urls: [...turn], ...credentials });
  return servers;
}

/**
 * The URL of a STUN server on UDP; an IPv6 address may stand in brackets or without.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(stunUrl("2001:db8::1", 3478), "stun:[2001:db8::1]:3478");
 * ```
 */
export function stunUrl(host: string, port: number): string {
  return `stun:${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}

/**
 * Says which rule the URL of a STUN or TURN server breaks, for the person who wrote it; undefined where none. Only what browsers take is right: `scheme:host`, then perhaps `:port`, then for TURN perhaps
 * `?transport=udp` or `?transport=tcp`.
 *
 * @param schemes the schemes that may stand here
 */
export function iceUrlFault(url: string, schemes: readonly IceScheme[]): string | undefined {
  const [scheme = "", ...rest] = url.split(":");
  const known = schemes.find((name) => name === scheme.toLowerCase());
  if (rest.length === 0 || known === undefined) {
    return `it must start with ${schemes.map((name) => `"${name}:"`).join(" or ")}`;
  }
  const [authority = "", ...queries] = rest.join(":").split("?");
  if (authority.startsWith("//")) return 'no "//" follows the scheme of STUN and TURN URLs';
  if (authority.includes("@")) return "user names and passwords have no place in it";
  const [, host, port] = authority.match(/^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$/) ?? [];
  if (host === undefined || !isHost(host)) {
    return "after the scheme comes a host name, an IPv4 address or an IPv6 address in brackets";
  }
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535)) {
    return "the port must be a number from 1 to 65535";
  }
  if (queries.length === 0) return undefined;
  if (known === "stun" || known === "stuns") return 'a STUN URL has no "?"';
  if (queries.length === 1 && /^transport=(udp|tcp)$/.test(queries[0]!)) return undefined;
  return 'after "?" only "transport=udp" or "transport=tcp" may come';
}

/** Leaves the finer points of addresses to the platform's own parser. */
function isHost(host: string): boolean {
  if (!host.startsWith("[") && !/^[A-Za-z0-9._-]+$/.test(host)) return false;
  return URL.canParse(`http://${host}/`);
}
