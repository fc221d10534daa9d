/** Which of the addresses that a request names is the client's. */

import type ipaddr from "ipaddr.js";
import { type Ip, parseAddress } from "../runtime/addresses.ts";
import type { Hop } from "./forwarded.ts";

/** Address ranges whose word about the client is taken; those of IPv4 as they are within IPv6. */
export type TrustedProxies = readonly [ipaddr.IPv6, number][];

/** What may stand for many ranges. */
const NAMED: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1"],
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"],
  // Its own list (cloudflare.com/ips) as of 2026-02-11.
  cloudflare: [
    ...["173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18"],
    ...["108.162.192.0/18", "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17"],
    ...["162.158.0.0/15", "104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22"],
    ...["2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2405:8100::/32"],
    ...["2a06:98c0::/29", "2c0f:f248::/32"],
  ],
};

export const RANGE_NAMES: readonly string[] = Object.keys(NAMED);

/** Reads an address, a range, or the name of several ranges; `undefined` where it is none of these. */
export function parseRanges(text: string): TrustedProxies | undefined {
  const ranges = (Object.hasOwn(NAMED, text) ? NAMED[text]! : [text]).map(parseRange);
  return ranges.every((range) => range !== undefined) ? ranges : undefined;
}

/** Reads an address, or a range such as `10.0.0.0/8`; `undefined` where it is neither. */
export function parseRange(text: string): [ipaddr.IPv6, number] | undefined {
  const [, base = "", length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(base);
  if (address === undefined) return undefined;
  // Written as ::ffff:10.0.0.0/104, the length counts from where IPv6 begins.
  const whole = base.includes(":") ? 128 : 32;
  const bits = Number(length ?? whole);
  return bits > whole ? undefined : [withinIpv6(address), bits + 128 - whole];
}

/**
 * The client's address, how many proxies it came through, and what is known of how it came: that of the connection, or, where a trusted proxy is at its
 * other end, the right-most noted one that is not itself a trusted proxy. Whatever stands to the left of it is the
 * client's own claim. A connection without an IP address has no `client`.
 *
 * @param hops the nearest proxy's note first
 */
export function followHops(connection: string, hops: Iterable<Hop>, trusted: TrustedProxies): {
  client?: Ip;
  proxies: number;
  host?: string;
  proto?: string;
} {
  let client = parseAddress(connection);
  let proxies = 0;
  let host: string | undefined;
  let proto: string | undefined;
  if (isTrusted(client, trusted)) {
    for (const hop of hops) {
      host = hop.host ?? host;
      proto = hop.proto ?? proto;
      const address = parseAddress(withoutPort(hop.from));
      // What the proxy could not name ("unknown", "_hidden") ends the chain of what can be believed.
      if (address === undefined) break;
      client = address;
      proxies++;
      if (!isTrusted(client, trusted)) break;
    }
  }
  return { client, proxies, host, proto };
}

function withinIpv6(address: Ip): ipaddr.IPv6 {
  return address.kind() === "ipv4" ? (address as ipaddr.IPv4).toIPv4MappedAddress() : address as ipaddr.IPv6;
}

export function isTrusted(address: Ip | undefined, trusted: TrustedProxies): boolean {
  if (address === undefined || trusted.length === 0) return false;
  const within = withinIpv6(address);
  return trusted.some(([range, bits]) => within.match(range, bits));
}

/** `[2001:db8::1]:4711` and `192.0.2.1:4711` without the port; a bare IPv6 address as it is. */
function withoutPort(hop: string): string {
  const [, bracketed] = /^\[([^\]]*)\](?::\d+)?$/.exec(hop) ?? [];
  return bracketed ?? hop.replace(/^([^:]+):\d+$/, "$1");
}
