/** The Host header, from which the runtime makes the URL of a request. */

/** DNS has no longer names (RFC 1035 section 2.3.4), and whatever stands there comes back in answers. */
const MAX_HOST = 253;
/** A colon and its digits. */
const MAX_PORT = 6;
const TOO_LONG = `The header Host has more than ${MAX_HOST} characters.`;

/** A name or an address, and perhaps a port: of what RFC 3986 lets stand there as much as anybody has. */
const AUTHORITY = /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i;

/**
 * The URL that was asked for, or a sentence that says what is wrong with the Host header.
 *
 * @param seen by a proxy that is believed: the host and the protocol by which it was asked. What can't be read is
 * passed over.
 */
export function requestedUrl(
  { url, headers }: Request,
  seen: { host?: string; proto?: string } = {},
): URL | string {
  const named = headers.get("host") ?? "";
  // Before anything is made of it that costs time.
  if (named.length > MAX_HOST + MAX_PORT) return TOO_LONG;
  const own = URL.parse(url);
  // Where it holds a path, the runtime puts that in front of what was asked for. It may be empty (RFC 9112 section 3.2).
  if (own === null || named !== "" && !AUTHORITY.test(named)) return "The header Host is not one.";
  if (own.hostname.length > MAX_HOST) return TOO_LONG;
  const scheme = schemeOf(seen.proto) ?? own.protocol;
  const host = seen.host !== undefined && AUTHORITY.test(seen.host) ? seen.host : own.host;
  if (scheme === own.protocol && host === own.host) return own;
  const public_ = URL.parse(`${scheme}//${host}${own.pathname}${own.search}`);
  return public_ !== null && public_.hostname.length <= MAX_HOST ? public_ : own;
}

/** Proxies write `HTTPS` too, and name the protocol of a WebSocket by its own name. */
function schemeOf(proto: string | undefined): string | undefined {
  if (proto === undefined) return undefined;
  if (/^(?:https|wss)$/i.test(proto)) return "https:";
  return /^(?:http|ws)$/i.test(proto) ? "http:" : undefined;
}
