import { assertEquals } from "../kit/assert.ts";
import { Source } from "../../lib/limits/source.ts";

/** What a source is counted by, one line for each tier. */
function counted(address: string): string[] {
  const { high, low, parts } = Source.of(address);
  return parts.map(({ tier, mask }) =>
    `${tier} ${high.toString(16)} ${((low & mask) >>> 0).toString(16).padStart(8, "0")}`
  );
}

Deno.test("an IPv6 client is a /64, in a /56, in a /48", () => {
  assertEquals(counted("2001:db8:12:3456:7:8:9:a"), [
    "client 20010db8 00123456",
    "site 20010db8 00123400",
    "network 20010db8 00120000",
  ]);
  assertEquals(counted("2001:db8:12:3456::1"), counted("2001:0DB8:12:3456:ffff:ffff:ffff:ffff"));
});

Deno.test("an IPv4 client is an address, in a /24, in whatever form it comes", () => {
  const expected = ["client 0 c6336407", "network 0 c6336400"];
  for (
    const form of [
      "198.51.100.7",
      "::ffff:198.51.100.7",
      "::FFFF:c633:6407",
      "0:0:0:0:0:ffff:c633:6407",
      "64:ff9b::198.51.100.7",
      "64:ff9b::c633:6407",
    ]
  ) {
    assertEquals(counted(form), expected, form);
  }
  assertEquals(new Source(new Uint8Array([198, 51, 100, 7])), Source.of("198.51.100.7"));
});

Deno.test("the operator's own networks have no tiers, those at their edges have", () => {
  const own = [
    "127.0.0.1",
    "10.255.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.7.1",
    "169.254.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "::ffff:10.0.0.1",
    "::1",
    "fe80::1%eth0",
    "febf::1",
    "fc00::1",
    "fdff:ffff::1",
  ];
  for (const address of own) {
    assertEquals(Source.of(address).parts.map(({ tier }) => tier), ["client"], address);
  }
  const others = [
    "9.255.255.255",
    "11.0.0.1",
    "126.0.0.1",
    "128.0.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.0.1",
    "192.169.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "169.253.0.1",
    "fbff::1",
    "fec0::1",
    "::ffff:11.0.0.1",
  ];
  for (const address of others) assertEquals(Source.of(address).parts.length > 1, true, address);
});

Deno.test("a zone makes no other client, and what is no address is one client", () => {
  assertEquals(Source.of("fe80::1%eth0"), Source.of("fe80::1%7"));
  assertEquals(Source.of("unix"), Source.of("nonsense"));
});

Deno.test("a client has a name for people", () => {
  assertEquals(String(Source.of("::ffff:198.51.100.7")), "198.51.100.7");
  assertEquals(String(Source.of("2001:db8:0:1a::7")), "2001:db8:0:1a::/64");
});
