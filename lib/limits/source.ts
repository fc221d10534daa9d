/** Where a client comes from, as limits count: itself, and the networks that it is a part of. */

import ipaddr from "ipaddr.js";

/**
 * - `client`: an IPv4 address, or an IPv6 /64, which one subscriber has to himself
 * - `site`: an IPv6 /56, which is what a provider gives to a household or a small firm
 * - `network`: an IPv6 /48, which anybody gets for a rented machine or from a tunnel broker; and an IPv4 /24, the
 *   smallest that is routed by itself. Behind a few addresses of one a carrier may have thousands of subscribers, so
 *   it gets no less than a /48, and there is no tier between it and a single address.
 */
export const TIERS = ["client", "site", "network"] as const;
export type Tier = typeof TIERS[number];

/** A tier, and which bits of `Source.low` name a part of it. */
export interface Part {
  readonly tier: Tier;
  readonly mask: number;
}

const IPV6_PARTS: readonly Part[] = [
  { tier: "client", mask: 0xffff_ffff },
  { tier: "site", mask: 0xffff_ff00 },
  { tier: "network", mask: 0xffff_0000 },
];
const IPV4_PARTS: readonly Part[] = [
  { tier: "client", mask: 0xffff_ffff },
  { tier: "network", mask: 0xffff_ff00 },
];
/** The operator's own networks (loopback, private, link-local): there all clients may well be in one. */
const OWN_PARTS: readonly Part[] = IPV4_PARTS.slice(0, 1);

export class Source {
  /** The first and the second 32 bits of an IPv6 address. Of an IPv4 address: 0, which no client has, and all of it. */
  readonly high: number;
  readonly low: number;
  /** What is counted, the smallest first. */
  readonly parts: readonly Part[];

  /** @param address 4 or 16 bytes. IPv4 within IPv6 (mapped, or by the NAT64 of RFC 6052) is IPv4. */
  constructor(address: Uint8Array) {
    const within = address.length === 4 ? 0 : embeddedAt(address);
    if (within === undefined) {
      this.high = word(address, 0);
      this.low = word(address, 4);
      this.parts = isOwnIpv6(this.high, this.low) ? OWN_PARTS : IPV6_PARTS;
    } else {
      this.high = 0;
      this.low = word(address, within);
      this.parts = isOwnIpv4(this.low) ? OWN_PARTS : IPV4_PARTS;
    }
  }

  /**
   * Of an address as text, with or without a zone. What is no address is the client `::`, all together.
   *
   * ```ts
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(String(Source.of("::ffff:198.51.100.7")), "198.51.100.7");
   * assertEquals(String(Source.of("2001:db8:1:2:3::4")), "2001:db8:1:2::/64");
   * ```
   */
  static of(address: string): Source {
    const bare = address.replace(/%.*$/, "");
    return new Source(
      ipaddr.isValid(bare) ? Uint8Array.from(ipaddr.parse(bare).toByteArray()) : new Uint8Array(16),
    );
  }

  /** The client, for people: `198.51.100.7`, or `2001:db8:1:2::/64`. */
  toString(): string {
    const { high, low } = this;
    if (high === 0) return [low >>> 24, low >>> 16 & 255, low >>> 8 & 255, low & 255].join(".");
    const groups = [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff];
    return `${groups.map((group) => group.toString(16)).join(":")}::/64`;
  }
}

/** Where in an IPv6 address an IPv4 address stands, if at all. */
function embeddedAt(address: Uint8Array): number | undefined {
  const mapped = word(address, 0) === 0 && word(address, 4) === 0 && word(address, 8) === 0xffff;
  const translated = word(address, 0) === 0x0064_ff9b && word(address, 4) === 0 && word(address, 8) === 0;
  return mapped || translated ? 12 : undefined;
}

/** 10/8, 127/8, 100.64/10 (a carrier's own, or an overlay), 169.254/16, 172.16/12, 192.168/16. */
function isOwnIpv4(address: number): boolean {
  const first = address >>> 24;
  return first === 10 || first === 127 || address >>> 22 === 0x191 || address >>> 16 === 0xa9fe ||
    address >>> 20 === 0xac1 || address >>> 16 === 0xc0a8;
}

/** ::1, fc00::/7, fe80::/10. */
function isOwnIpv6(high: number, low: number): boolean {
  return high === 0 && low === 0 || high >>> 25 === 0x7e || high >>> 22 === 0x3fa;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}
