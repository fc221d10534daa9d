import { assertEquals } from "../kit/assert.ts";
import { cameByTls, clientAddress, isUntrustedProxy, parseRange } from "../../lib/http/client_address.ts";

const trusted = ["10.0.0.0/8", "::1", "2001:db8:1::/48"].map((text) => parseRange(text)!);
const address = (connection: string, headers: HeadersInit) =>
  clientAddress(connection, new Headers(headers), trusted);

Deno.test("ranges are read, and what is none is told", () => {
  for (const good of ["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.1"]) {
    assertEquals(parseRange(good) !== undefined, true, good);
  }
  for (
    const bad of ["", "localhost", "10.0.0", "10.0.0.0/33", "300.1.1.1", "::g", "10.0.0.0/", "1", "0x7f.1"]
  ) {
    assertEquals(parseRange(bad), undefined, bad);
  }
});

Deno.test("nobody but a trusted proxy is believed", () => {
  assertEquals(address("192.0.2.1", { "x-forwarded-for": "198.51.100.7" }), "192.0.2.1");
  assertEquals(address("192.0.2.1", { forwarded: "for=198.51.100.7" }), "192.0.2.1");
  assertEquals(
    clientAddress("127.0.0.1", new Headers({ "x-forwarded-for": "198.51.100.7" }), []),
    "127.0.0.1",
  );
});

Deno.test("the client is the right-most address that is no trusted proxy", () => {
  const cases: [string, HeadersInit, string][] = [
    ["10.0.0.1", {}, "10.0.0.1"],
    ["10.0.0.1", { "x-forwarded-for": "198.51.100.7" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "1.1.1.1, 198.51.100.7" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "1.1.1.1, 198.51.100.7, 10.9.9.9" }, "198.51.100.7"],
    ["::ffff:10.0.0.1", { "x-forwarded-for": "198.51.100.7" }, "198.51.100.7"],
    ["::1", { "x-forwarded-for": "2001:db8:2::1" }, "2001:db8:2::1"],
    ["::1", { "x-forwarded-for": "10.1.1.1, 10.2.2.2" }, "10.1.1.1"],
    ["10.0.0.1", { "x-forwarded-for": "198.51.100.7:4711" }, "198.51.100.7"],
    ["10.0.0.1", { "x-forwarded-for": "[2001:db8:2::1]:4711" }, "2001:db8:2::1"],
    ["10.0.0.1", { "x-forwarded-for": "198.51.100.7, nonsense" }, "10.0.0.1"],
    ["10.0.0.1", { "x-forwarded-for": "" }, "10.0.0.1"],
    ["10.0.0.1", { "x-forwarded-for": ",,,," }, "10.0.0.1"],
    ["10.0.0.1", { forwarded: "for=1.1.1.1, for=198.51.100.7;proto=https;by=10.0.0.1" }, "198.51.100.7"],
    ["10.0.0.1", { forwarded: 'For="[2001:db8:2::17]:4711"' }, "2001:db8:2::17"],
    ["10.0.0.1", { forwarded: "for=198.51.100.7, for=_hidden" }, "10.0.0.1"],
    ["10.0.0.1", { forwarded: "for=unknown" }, "10.0.0.1"],
    ["10.0.0.1", { forwarded: "for=198.51.100.7", "x-forwarded-for": "192.0.2.9" }, "198.51.100.7"],
  ];
  for (const [connection, headers, expected] of cases) {
    assertEquals(address(connection, headers), expected, JSON.stringify([connection, headers]));
  }
  assertEquals(
    address("10.0.0.1", { "x-forwarded-for": "1.2.3.4,".repeat(100_000) + "198.51.100.7" }),
    "198.51.100.7",
  );
});

Deno.test("TLS is believed of a trusted proxy only", () => {
  const https = new Headers({ "x-forwarded-proto": "https" });
  assertEquals(cameByTls("10.0.0.1", https, trusted), true);
  assertEquals(cameByTls("192.0.2.1", https, trusted), false);
  assertEquals(cameByTls("10.0.0.1", new Headers(), trusted), false);
  assertEquals(cameByTls("10.0.0.1", new Headers({ forwarded: "for=192.0.2.9;proto=https" }), trusted), true);
});

Deno.test("a proxy that nobody named is noticed, a stranger's header is not", () => {
  const headers = new Headers({ "x-forwarded-for": "198.51.100.7" });
  assertEquals(isUntrustedProxy("172.17.0.1", headers, trusted), true);
  assertEquals(isUntrustedProxy("127.0.0.1", headers, []), true);
  assertEquals(isUntrustedProxy("10.0.0.1", headers, trusted), false);
  assertEquals(isUntrustedProxy("8.8.8.8", headers, trusted), false);
  assertEquals(isUntrustedProxy("172.17.0.1", new Headers(), trusted), false);
});
