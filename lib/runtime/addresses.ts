/** IP addresses as text. */

import ipaddr from "ipaddr.js";

export type Ip = ipaddr.IPv4 | ipaddr.IPv6;

/** IPv6 forms of IPv4 addresses become IPv4; a zone (`fe80::1%eth0`) is dropped. */
export function parseAddress(text: string): Ip | undefined {
  const bare = text.replace(/%.*$/, "");
  return ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare)
    ? ipaddr.process(bare)
    : undefined;
}

/** Whether a host name or address, an IPv6 address with or without brackets, leads back to the machine it is used on. */
export function isLoopback(host: string): boolean {
  if (/(?:^|\.)localhost\.?$/i.test(host)) return true;
  const range = parseAddress(host.replace(/^\[(.*)\]$/, "$1"))?.range();
  return range === "loopback" || range === "unspecified";
}

/** An IPv6 form of an IPv4 address as that, with or without brackets; anything else as it is. */
export function plainHost(host: string): string {
  const address = parseAddress(host.replace(/^\[(.*)\]$/, "$1"));
  return address?.kind() === "ipv4" ? address.toString() : host;
}

/** An address that the public internet does not route, as a proxy of the operator's has. */
export function isLocal(address: string): boolean {
  return parseAddress(address)?.range() !== "unicast";
}
