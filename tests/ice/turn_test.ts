import fc from "fast-check";
import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "../kit/assert.ts";
import { type IceScheme, iceServers, iceUrlFault, stunUrl, turnIssuer } from "../../lib/ice/turn.ts";

const NOW = Date.UTC(2026, 0, 1);
const EXPIRY = NOW / 1000 + 600;
const ALL: IceScheme[] = ["stun", "stuns", "turn", "turns"];

Deno.test("credentials are expiry:ident and its HMAC-SHA1 in base64 (by OpenSSL)", () => {
  const issue = turnIssuer({ secret: "north", ttlSeconds: 600, now: () => NOW + 999 });
  assertEquals(issue("abcdefghijkl"), {
    username: `${EXPIRY}:abcdefghijkl`,
    credential: "YLo9p3QQi4YPh1uHCpvo3Ry8QyU=",
  });
  assertEquals(issue("zoë"), { username: `${EXPIRY}:zoë`, credential: "qAA32ltphNl4DKZeMePqw03husI=" });
});

Deno.test("each credential counts from the moment of asking", () => {
  let clock = NOW;
  const issue = turnIssuer({ secret: "north", ttlSeconds: 600, now: () => clock });
  issue("a");
  clock += 5000;
  assertEquals(issue("a").username, `${EXPIRY + 5}:a`);
});

Deno.test("an empty secret and a username too long for STUN are refused", () => {
  assertThrows(() => turnIssuer({ secret: "", ttlSeconds: 1, now: () => NOW }), RangeError, "empty");
  const issue = turnIssuer({ secret: "north", ttlSeconds: 600, now: () => NOW });
  const room = 508 - `${EXPIRY}:`.length;
  assertEquals(issue("a".repeat(room)).username.length, 508);
  assertThrows(() => issue("a".repeat(room + 1)), RangeError, "509");
  assertThrows(() => issue("ë".repeat(room / 2 + 1)), RangeError, "509");
});

Deno.test("iceServers leaves out what is empty and puts credentials on TURN alone", () => {
  const credentials = { username: "1:a", credential: "b" };
  assertEquals(iceServers({ stun: [], turn: [] }), []);
  assertEquals(iceServers({ stun: ["stun:a"], turn: [], credentials }), [{ urls: ["stun:a"] }]);
  assertEquals(iceServers({ stun: ["stun:a", "stun:b"], turn: ["turn:c", "turns:d"], credentials }), [
    { urls: ["stun:a", "stun:b"] },
    { urls: ["turn:c", "turns:d"], username: "1:a", credential: "b" },
  ]);
});

Deno.test("a STUN URL brackets an IPv6 address once", () => {
  assertEquals(stunUrl("example.org", 3903), "stun:example.org:3903");
  assertEquals(stunUrl("2001:db8::1", 3903), "stun:[2001:db8::1]:3903");
  assertEquals(stunUrl("[2001:db8::1]", 3903), "stun:[2001:db8::1]:3903");
});

Deno.test("the URLs of RFC 7064 and RFC 7065 are right", () => {
  for (
    const url of [
      "stun:example.org",
      "stuns:example.org",
      "stun:example.org:8000",
      "STUN:192.0.2.1",
      "turn:example.org",
      "turns:example.org:443?transport=tcp",
      "turn:[2001:db8::1]:3478?transport=udp",
      "turn:turn_1.example.org",
    ]
  ) assertEquals(iceUrlFault(url, ALL), undefined, url);
});

Deno.test("what is wrong with a URL is said by the rule that it breaks", () => {
  const faults: [string, string][] = [
    ["", "it must start with"],
    ["example.org", "it must start with"],
    ["http://example.org", "it must start with"],
    ["turn://example.org", 'no "//"'],
    ["turn:me:secret@example.org", "user names"],
    ["turn:", "host name"],
    ["turn::3478", "host name"],
    ["turn:2001:db8::1", "in brackets"],
    ["turn:[2001:db8::1", "host name"],
    ["turn:[2001:db8:::1]", "host name"],
    ["turn:[]", "host name"],
    ["turn:999.1.1.1", "host name"],
    ["turn:exa mple.org", "host name"],
    ["turn:example.org/path", "host name"],
    ["turn:[::1]x", "host name"],
    ["turn:example.org:", "port"],
    ["turn:example.org:0", "port"],
    ["turn:example.org:65536", "port"],
    ["turn:example.org:http", "port"],
    ["stun:example.org?transport=udp", 'no "?"'],
    ["turn:example.org?transport=sctp", "transport=udp"],
    ["turn:example.org?", "transport=udp"],
    ["turn:example.org?transport=udp?transport=tcp", "transport=udp"],
  ];
  for (const [url, rule] of faults) {
    const fault = iceUrlFault(url, ALL) ?? "nothing";
    assertStringIncludes(fault, rule, url);
  }
});

Deno.test("only the schemes asked for are right", () => {
  assertMatch(iceUrlFault("turn:example.org", ["stun", "stuns"]) ?? "", /"stun:" or "stuns:"/);
  assertEquals(iceUrlFault("turns:example.org", ["turn", "turns"]), undefined);
});

Deno.test("no text makes the URL check throw, and what it passes is a host and a port in one line", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(..."stunr:/?[]@.1aé %\n#\\") }),
    fc.tuple(fc.constantFrom(...ALL), fc.string({ unit: "binary" })).map(([scheme, rest]) =>
      `${scheme}:${rest}`
    ),
  );
  fc.assert(
    fc.property(text, (url) => {
      if (iceUrlFault(url, ALL) !== undefined) return;
      assertMatch(url, /^(stuns?|turns?):[A-Za-z0-9._:[\]-]+(\?transport=(udp|tcp))?$/i);
    }),
    { numRuns: 3000 },
  );
});
