/** What was asked for: the runtime makes a request's URL of the Host header and the path. */

import { refusal } from "./responses.ts";

/** DNS has no longer names (RFC 1035 section 2.3.4), and whatever stands there comes back in answers. */
const MAX_HOST = 253;
/** A colon and its digits. */
const MAX_PORT = 6;
/** A token in its query may take half of it. The runtime keeps it for as long as a WebSocket lives. */
const MAX_URL = 8192;

/** A name or an address, and perhaps a port: of what RFC 3986 lets stand there as much as anybody has. */
const AUTHORITY = /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i;

/**
 * The URL that was asked for, or the refusal of one that can't be.
 *
 * @param seen by a proxy that is believed: the host and the protocol by which it was asked. What can't be read is
 * passed over.
 */
export function requestedUrl(
  { url, headers }: Request,
  seen: { host?: string; proto?: string } = {},
): URL | Response {
  const named = headers.get("host") ?? "";
  // Before anything is made of it that costs time.
  if (named.length > MAX_HOST + MAX_PORT) return tooLong();
  if (url.length > MAX_URL) return refusal(414, `What is asked for has more than ${MAX_URL} characters.`);
  const own = URL.parse(url);
  // Where it holds a path, the runtime puts that in front of what was asked for. It may be empty (RFC 9112 section 3.2).
  if (own === null || named !== "" && !AUTHORITY.test(named)) {
    return refusal(400, "The header Host is not one.");
  }
  if (own.hostname.length > MAX_HOST) return tooLong();
  const scheme = schemeOf(seen.proto) ?? own.protocol;
  const host = seen.host !== undefined && AUTHORITY.test(seen.host) ? seen.host : own.host;
  if (scheme === own.protocol && host === own.host) return own;
  const public_ = URL.parse(`${scheme}//${host}${own.pathname}${own.search}`);
  return public_ !== null && public_.hostname.length <= MAX_HOST ? public_ : own;
}

function tooLong(): Response {
  return refusal(400, `The header Host has more than ${MAX_HOST} characters.`);
}

/** Proxies write `HTTPS` too, and name the protocol of a WebSocket by its own name. */
function schemeOf(proto: string | undefined): string | undefined {
  if (proto === undefined) return undefined;
  if (/^(?:https|wss)$/i.test(proto)) return "https:";
  return /^(?:http|ws)$/i.test(proto) ? "http:" : undefined;
}
