import { assertEquals } from "../kit/assert.ts";
import { isLoopback, parseAddress, plainHost } from "../../lib/runtime/addresses.ts";

Deno.test("an address is read in all its forms, and IPv4 within IPv6 is IPv4", () => {
  const cases: [string, string | undefined][] = [
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::FFFF:c000:201", "192.0.2.1"],
    ["0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"],
    ["2001:DB8::0:1", "2001:db8::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["1", undefined],
    ["0x7f.1", undefined],
    ["010.0.0.1", undefined],
    ["[::1]", undefined],
    ["localhost", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of cases) assertEquals(parseAddress(text)?.toString(), expected, text);
  assertEquals(plainHost("[::ffff:c000:201]"), "192.0.2.1");
  assertEquals(plainHost("[2001:db8::1]"), "[2001:db8::1]");
  assertEquals(plainHost("example.org"), "example.org");
});

Deno.test("loopback is what leads back to the machine it is used on", () => {
  for (
    const yes of [
      "localhost",
      "LOCALHOST.",
      "app.localhost",
      "127.0.0.1",
      "127.8.8.8",
      "::1",
      "[::1]",
      "0.0.0.0",
    ]
  ) {
    assertEquals(isLoopback(yes), true, yes);
  }
  for (const yes of ["[::]", "[::ffff:7f00:1]", "::ffff:127.0.0.1"]) assertEquals(isLoopback(yes), true, yes);
  for (
    const no of ["example.org", "notlocalhost", "localhost.example.org", "10.0.0.1", "[2001:db8::1]", ""]
  ) {
    assertEquals(isLoopback(no), false, no);
  }
});
