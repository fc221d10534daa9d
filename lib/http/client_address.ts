/** Who is asking, also where a proxy asks on somebody's behalf. */

import ipaddr from "ipaddr.js";

type Ip = ipaddr.IPv4 | ipaddr.IPv6;

/** Address ranges whose word about the client is taken. */
export type TrustedProxies = readonly [Ip, number][];

/** Reads an address, or a range such as `10.0.0.0/8`; `undefined` where it is neither. */
export function parseRange(text: string): [Ip, number] | undefined {
  if (ipaddr.isValidCIDR(text)) {
    const [address, bits] = ipaddr.parseCIDR(text);
    return [address, bits];
  }
  const address = parseAddress(text);
  return address && [address, address.kind() === "ipv4" ? 32 : 128];
}

/**
 * The client's address: that of the connection, or, where a trusted proxy is at its other end, the right-most
 * address in `Forwarded` (RFC 7239) or `X-Forwarded-For` that is not itself a trusted proxy. Whatever stands to
 * the left of it is the client's own claim.
 */
export function clientAddress(connection: string, headers: Headers, trusted: TrustedProxies): string {
  if (!isTrusted(connection, trusted)) return connection;
  let client = connection;
  for (const hop of forwardedFor(headers).reverse()) {
    const address = parseAddress(hop);
    // What the proxy could not name ("unknown", "_hidden") ends the chain of what can be believed.
    if (address === undefined) break;
    client = address.toString();
    if (!isTrusted(client, trusted)) break;
  }
  return client;
}

/** IPv6 forms of IPv4 addresses become IPv4; a zone (`fe80::1%eth0`) is dropped. */
function parseAddress(text: string): Ip | undefined {
  const bare = text.replace(/%.*$/, "");
  return ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare)
    ? ipaddr.process(bare)
    : undefined;
}

function isTrusted(text: string, trusted: TrustedProxies): boolean {
  const ip = trusted.length > 0 && parseAddress(text);
  return !!ip && trusted.some(([range, bits]) => range.kind() === ip.kind() && ip.match(range, bits));
}

/** Longer chains are nobody's. */
const MAX_HOPS = 32;

/** The addresses that proxies noted, the nearest proxy's note last. */
function forwardedFor(headers: Headers): string[] {
  const standard = headers.get("forwarded");
  const hops = standard !== null
    ? standard.split(",").slice(-MAX_HOPS).map((hop) => /(?:^|;)\s*for=("?)([^";]+)\1/i.exec(hop)?.[2] ?? "")
    : headers.get("x-forwarded-for")?.split(",").slice(-MAX_HOPS) ?? [];
  return hops.map((hop) => withoutPort(hop.trim()));
}

/** `[2001:db8::1]:4711` and `192.0.2.1:4711` without the port; a bare IPv6 address as it is. */
function withoutPort(hop: string): string {
  const [, bracketed] = /^\[([^\]]*)\](?::\d+)?$/.exec(hop) ?? [];
  return bracketed ?? hop.replace(/^([^:]+):\d+$/, "$1");
}

/** Whether a trusted proxy says that the client came to it by TLS. */
export function cameByTls(connection: string, headers: Headers, trusted: TrustedProxies): boolean {
  if (!isTrusted(connection, trusted)) return false;
  return headers.get("x-forwarded-proto") === "https" ||
    /proto="?https/i.test(headers.get("forwarded") ?? "");
}

/**
 * Whether a request has the looks of one that came through a proxy of the operator's, of which nobody has told
 * us: then all its clients share the limits of one.
 */
export function isUntrustedProxy(connection: string, headers: Headers, trusted: TrustedProxies): boolean {
  // Not by `has`, which makes the runtime keep a copy of all headers for as long as a WebSocket lives.
  if (headers.get("x-forwarded-for") === null && headers.get("forwarded") === null) return false;
  // On the public internet anybody may send such a header.
  return !isTrusted(connection, trusted) && parseAddress(connection)?.range() !== "unicast";
}
