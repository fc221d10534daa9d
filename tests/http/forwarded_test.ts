import { assertEquals } from "../kit/assert.ts";
import { type Hop, hops } from "../../lib/http/forwarded.ts";

const read = (headers: HeadersInit, name = "forwarded"): Hop[] => [...hops(new Headers(headers), name)];
const forwarded = (value: string) => read({ forwarded: value });

Deno.test("one kind of header is read, and no other", () => {
  const both = {
    "x-forwarded-for": "192.0.2.1",
    forwarded: "for=192.0.2.2;host=a.example",
    "x-real-ip": "192.0.2.3",
  };
  const absent = { host: undefined, proto: undefined };
  assertEquals(read(both), [{ from: "192.0.2.2", host: "a.example", proto: undefined }]);
  assertEquals(read(both, "x-forwarded-for"), [{ from: "192.0.2.1", ...absent }]);
  assertEquals(read(both, "x-real-ip"), [{ from: "192.0.2.3", ...absent }]);
  assertEquals(read({}), []);
  const x = { "x-forwarded-host": "a.example", "x-forwarded-proto": "https" };
  assertEquals(read(x, "x-forwarded-for"), [{ from: "", host: "a.example", proto: "https" }]);
  assertEquals(read(x), []);
});

Deno.test("the nearest proxy's note comes first", () => {
  const names = (headers: HeadersInit, name?: string) => read(headers, name).map(({ from }) => from);
  assertEquals(names({ "x-forwarded-for": "a, b ,c" }, "x-forwarded-for"), ["c", "b", "a"]);
  assertEquals(names({ forwarded: "for=a, for=b;proto=http ,for=c" }), ["c", "b", "a"]);
  assertEquals(names([["forwarded", "for=a"], ["forwarded", "for=b"]]), ["b", "a"]);
});

Deno.test("of a list of hosts or protocols the first is the client's", () => {
  const headers = { "x-forwarded-host": "a.example, b.example", "x-forwarded-proto": "https,http" };
  assertEquals(read(headers, "x-forwarded-for"), [{ from: "", host: "a.example", proto: "https" }]);
});

Deno.test("Forwarded is read as RFC 7239 has it, and as it is often written", () => {
  const cases: [string, Partial<Hop>][] = [
    ["for=192.0.2.60;proto=http;by=203.0.113.43", { from: "192.0.2.60", proto: "http" }],
    ['For="[2001:db8:cafe::17]:4711"', { from: "[2001:db8:cafe::17]:4711" }],
    ["for=192.0.2.60:4711", { from: "192.0.2.60:4711" }],
    ['proto=https ; host="a.example:8443" ; for=unknown', {
      from: "unknown",
      host: "a.example:8443",
      proto: "https",
    }],
    ['for="a\\"b\\\\c"', { from: 'a"b\\c' }],
    ['host="a,for=192.0.2.9";for=192.0.2.1', { from: "192.0.2.1", host: "a,for=192.0.2.9" }],
    ["by=10.0.0.1", { from: "" }],
    ["for=", { from: "" }],
  ];
  for (const [value, expected] of cases) {
    assertEquals(forwarded(value), [{ from: "", host: undefined, proto: undefined, ...expected }], value);
  }
});

Deno.test("whatever a client has begun, the proxy's own note behind it is read", () => {
  for (
    const claim of [
      'for="',
      'q="',
      'for="x;',
      "for=192.0.2.9;",
      "\\",
      '"',
      ";;;",
      "for=192.0.2.9, ",
      '"\\',
      "=",
      'a="",b="',
    ]
  ) {
    for (const own of ["for=192.0.2.1", 'for="192.0.2.1"', 'host="a.example";for="192.0.2.1";proto=http']) {
      assertEquals(forwarded(`${claim}, ${own}`)[0]?.from, "192.0.2.1", `${claim}, ${own}`);
    }
  }
  assertEquals(forwarded("for=192.0.2.1 nonsense"), []);
  assertEquals(forwarded('for=192.0.2.1;host="a'), []);
});

Deno.test("a chain without end costs little, and its end is read", () => {
  for (const [name, claim] of [["x-forwarded-for", "192.0.2.9,"], ["forwarded", "for=192.0.2.9,"]] as const) {
    const found = read({
      [name]: claim.repeat(10_000) + (name === "forwarded" ? "for=192.0.2.1" : "192.0.2.1"),
    }, name);
    assertEquals([found.length, found[0]!.from], [32, "192.0.2.1"]);
  }
});
