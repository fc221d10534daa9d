import { assertEquals } from "../kit/assert.ts";
import { followHops, isTrusted, parseRange } from "../../lib/http/client_address.ts";
import { hops } from "../../lib/http/forwarded.ts";
import { parseAddress } from "../../lib/runtime/addresses.ts";

const ranges = (...texts: string[]) => texts.map((text) => parseRange(text)!);
const trusted = ranges("10.0.0.0/8", "::1", "2001:db8:1::/48");
const address = (connection: string, headers: HeadersInit, proxies = trusted) => {
  const [name = "x-forwarded-for"] = new Headers(headers).keys();
  return followHops(connection, hops(new Headers(headers), name), proxies).client?.toString();
};

Deno.test("ranges are read, and what is none is told", () => {
  for (
    const good of ["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.1", "0.0.0.0/0", "::/0"]
  ) {
    assertEquals(parseRange(good) !== undefined, true, good);
  }
  for (
    const bad of [
      "",
      "localhost",
      "10.0.0",
      "10/8",
      "10.0.0.0/33",
      "10.0.0.0/",
      "10.0.0.0/8/8",
      "10.0.0.0/-1",
      "300.1.1.1",
      "::g",
      "::/129",
      "1",
      "0x7f.1",
      "0x7f.1/8",
      "[::1]",
    ]
  ) {
    assertEquals(parseRange(bad), undefined, bad);
  }
});

Deno.test("an IPv4 address within an IPv6 one is that IPv4 address, in ranges and connections alike", () => {
  const cases: [string, string, boolean][] = [
    ["::ffff:172.18.0.0/112", "172.18.0.2", true],
    ["::ffff:172.18.0.0/112", "::ffff:172.18.0.2", true],
    ["::ffff:172.18.0.0/112", "::ffff:ac12:2", true],
    ["::ffff:172.18.0.0/112", "172.19.0.2", false],
    ["::ffff:ac12:0/112", "172.18.0.2", true],
    ["0:0:0:0:0:ffff:172.18.0.2", "172.18.0.2", true],
    ["::ffff:172.18.0.2", "::FFFF:172.18.0.2", true],
    ["::ffff:172.18.0.2", "172.18.0.3", false],
    ["172.18.0.0/16", "::ffff:172.18.0.2", true],
    ["::ffff:0:0/96", "192.0.2.1", true],
    ["::ffff:0:0/96", "2001:db8::1", false],
    ["::/0", "192.0.2.1", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["fe80::/10", "fe80::1%eth0", true],
  ];
  for (const [range, text, expected] of cases) {
    assertEquals(isTrusted(parseAddress(text), ranges(range)), expected, `${text} in ${range}`);
  }
  assertEquals(address("::ffff:192.0.2.1", {}), "192.0.2.1");
});

Deno.test("nobody but a trusted proxy is believed", () => {
  assertEquals(address("192.0.2.1", { "x-forwarded-for": "198.51.100.7" }), "192.0.2.1");
  assertEquals(address("192.0.2.1", { forwarded: "for=198.51.100.7" }), "192.0.2.1");
  assertEquals(address("127.0.0.1", { "x-forwarded-for": "198.51.100.7" }, []), "127.0.0.1");
  assertEquals(address("", { "x-forwarded-for": "198.51.100.7" }), undefined);
});

Deno.test("the client is the right-most address that is no trusted proxy", () => {
  const cases: [string, HeadersInit, string][] = [
    ["10.0.0.1", {}, "10.0.0.1"],
    ["10.0.0.1", { "x-forwarded-for": "198.51.100.7" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "1.1.1.1, 198.51.100.7" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "1.1.1.1, 198.51.100.7, 10.9.9.9" }, "198.51.100.7"],
    ["::ffff:10.0.0.1", { "x-forwarded-for": "198.51.100.7" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "::ffff:198.51.100.7, ::ffff:10.1.1.1" }, "198.51.100.7"],
    ["::1", { "x-forwarded-for": "2001:db8:2::1" }, "2001:db8:2::1"],
    ["::1", { "x-forwarded-for": "10.1.1.1, 10.2.2.2" }, "10.1.1.1"],
    ["10.0.0.1", { "x-forwarded-for": "198.51.100.7:4711" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "[2001:db8:2::1]:4711" }, "2001:db8:2::1"],
    ["10.0.0.1", { "x-forwarded-for": "198.51.100.7, nonsense" }, "10.0.0.1"],
    ["10.0.0.1", { "x-forwarded-for": "" }, "10.0.0.1"],
    ["10.0.0.1", { "x-forwarded-for": ",,,," }, "10.0.0.1"],
    ["10.0.0.1", { "cf-connecting-ip": "198.51.100.7" }, "198.51.100.7"],
    ["10.0.0.1", { forwarded: "for=1.1.1.1, for=198.51.100.7;proto=https;by=10.0.0.1" }, "198.51.100.7"],
    ["10.0.0.1", { forwarded: 'For="[2001:db8:2::17]:4711"' }, "2001:db8:2::17"],
    ["10.0.0.1", { forwarded: "for=198.51.100.7, for=_hidden" }, "10.0.0.1"],
    ["10.0.0.1", { forwarded: "for=unknown" }, "10.0.0.1"],
    ["10.0.0.1", { forwarded: "for=1.1.1.1, for=198.51.100.7, for=10.9.9.9" }, "198.51.100.7"],
  ];
  for (const [connection, headers, expected] of cases) {
    assertEquals(address(connection, headers), expected, JSON.stringify([connection, headers]));
  }
});
