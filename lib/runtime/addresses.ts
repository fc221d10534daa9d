/** IP addresses as text. */

import ipaddr from "ipaddr.js";

export type Ip = ipaddr.IPv4 | ipaddr.IPv6;

const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/** IPv6 forms of IPv4 addresses become IPv4; a zone (`fe80::1%eth0`) is dropped. */
export function parseAddress(text: string): Ip | undefined {
  const bare = text.includes("%") ? text.replace(/%.*$/, "") : text;
  // The library throws and catches where it can't read, and goes through all ranges to find what is mapped: that takes
  // ten microseconds each, and every request comes by here.
  if (!bare.includes(":")) {
    return IPV4.test(bare) && ipaddr.IPv4.isValidFourPartDecimal(bare) ? ipaddr.IPv4.parse(bare) : undefined;
  }
  if (!ipaddr.IPv6.isValid(bare)) return undefined;
  const address = ipaddr.IPv6.parse(bare);
  const { parts } = address;
  const isMapped = parts[5] === 0xffff && parts.slice(0, 5).every((part) => part === 0);
  return isMapped ? new ipaddr.IPv4(address.toByteArray().slice(12)) : address;
}

/** Whether an address leads back to the machine it is used on: loopback, and the one that stands for none. */
export function isLoopbackAddress(address: Ip): boolean {
  const bytes = address.toByteArray();
  if (bytes.length === 4) return bytes[0] === 127 || bytes.every((byte) => byte === 0);
  return bytes.every((byte, i) => byte === 0 || i === 15 && byte === 1);
}

/** Whether it is of this machine or of a network that is not the internet. */
export function isPrivateAddress(address: Ip): boolean {
  return ["loopback", "private", "uniqueLocal", "linkLocal"].includes(address.range());
}

/** Whether a host name or an address leads back to the machine it is used on; an IPv6 address with or without brackets. */
export function isLoopback(host: string): boolean {
  if (/(?:^|\.)localhost\.?$/i.test(host)) return true;
  const address = parseAddress(withoutBrackets(host));
  return address !== undefined && isLoopbackAddress(address);
}

/** An IPv6 form of an IPv4 address as that, with or without brackets; anything else as it is. */
export function plainHost(host: string): string {
  const address = parseAddress(withoutBrackets(host));
  return address?.kind() === "ipv4" ? address.toString() : host;
}

function withoutBrackets(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}
