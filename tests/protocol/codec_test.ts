import fc from "fast-check";
import { assert, assertEquals, assertLess } from "../kit/assert.ts";
import type { ErrorCode } from "../../lib/protocol/codes.ts";
import {
  type ClientCall,
  decode,
  encodeError,
  encodeSignal,
  numberSignal,
  type Refusal,
} from "../../lib/protocol/codec.ts";
import { makeAddress } from "../../lib/protocol/address.ts";

const quote = (text: string) => JSON.stringify(text);
const refused = (code: ErrorCode, call?: string, ...about: string[]): ClientCall => ({
  call: "refused",
  refusal: { code, call, about },
});

const unknown = (call: string): ClientCall => ({
  call: "refused",
  refusal: { code: "bad-call", text: "No call has that name.", call, about: [] },
});

const signal = (from: string, to: string, tail: string): ClientCall => ({ call: "signal", from, to, tail });

Deno.test("every call is read", () => {
  const calls: [string, ClientCall][] = [
    ['["ident"]', { call: "ident" }],
    ['["ident",1,{"further":"arguments"}]', { call: "ident" }],
    ['["ping"]', { call: "ping" }],
    ['["join","alice","r"]', { call: "join", ident: "alice", room: "r" }],
    [' [ "join" , "a\\u006cice" , "a:b" ] ', { call: "join", ident: "alice", room: "a:b" }],
    ['["signal","r:a","r:b",{"x":1}]', signal("r:a", "r:b", ',{"x":1}]')],
    ['["signal" , "r:a" ,"r:b" , null ] ', signal("r:a", "r:b", " , null ] ")],
    ['["signal","r:\\"","r:\\u0062",0]', signal('r:"', "r:b", ",0]")],
    ['["signal","r:\\\\","r:b",[","]]', signal("r:\\", "r:b", ',[","]]')],
    ['["signal","","","signal"]', signal("", "", ',"signal"]')],
  ];
  for (const [text, call] of calls) {
    assertEquals(decode(text, 2), call, text);
    assertEquals(decode(text, 3), call, text);
  }
  assertEquals(decode('["leave","r:a"]', 3), { call: "leave", address: "r:a" });
  assertEquals(decode('["ice"]', 3), { call: "ice" });
});

Deno.test("a join may have options, of which unknown ones are passed over", () => {
  const join = (options: unknown) => decode(JSON.stringify(["join", "i", "r", options]), 3);
  assertEquals(join({ token: "x", key: "k".repeat(22) }), {
    call: "join",
    ident: "i",
    room: "r",
    key: "k".repeat(22),
    token: "x",
  });
  for (const token of [1, null, ["x"]]) {
    assertEquals(join({ token }), refused("bad-arguments", "join", "i", "r"), String(token));
  }
  for (const none of [{}, { unknown: [1] }]) {
    assertEquals(join(none), { call: "join", ident: "i", room: "r" });
  }
  for (const key of ["k".repeat(22), "~ ".repeat(64)]) {
    assertEquals(join({ key, more: 1 }), { call: "join", ident: "i", room: "r", key });
  }
  for (
    const key of ["k".repeat(21), "k".repeat(129), "\u00e9".repeat(30), "\t".repeat(30), 1, null, [
      "k".repeat(22),
    ]]
  ) {
    assertEquals(join({ key }), refused("bad-arguments", "join", "i", "r"), String(key));
  }
  for (const options of [null, 1, "key", []]) {
    assertEquals(join(options), refused("bad-arguments", "join", "i", "r"), String(options));
  }
  assertEquals(decode('["join","i","r",{}]', 2), refused("bad-arguments", "join"));
});

Deno.test("a report says what became of a link, in words that are known", () => {
  const report = (link: unknown) => decode(JSON.stringify(["report", "r:a", "r:b", link]), 3);
  const read = (link: unknown) => {
    const call = report(link);
    return call.call === "report" && call.own === "r:a" && call.other === "r:b" ? call.link : call;
  };
  assertEquals(read({ state: "connected", path: "srflx", ms: 120.5 }), {
    state: "connected",
    path: "srflx",
    ms: 120.5,
  });
  assertEquals(read({ state: "failed", why: "relay-needed", x: [] }), {
    state: "failed",
    why: "relay-needed",
  });
  assertEquals(read({ state: "closed", path: "host", why: "other" }), { state: "closed" });
  assertEquals(read({ state: "failed", why: "boredom" }), { state: "failed" });
  for (
    const link of [
      {},
      { state: "happy" },
      { state: "closed", ms: -1 },
      { state: "closed", ms: "1" },
      [],
      null,
      1,
    ]
  ) {
    assertEquals(report(link), refused("bad-arguments", "report", "r:a", "r:b"), JSON.stringify(link));
  }
});

Deno.test("what can't be understood is refused with its code, and with nothing of its data", () => {
  const faults: [string, ClientCall][] = [
    ["", refused("bad-json")],
    ["invalid json", refused("bad-json")],
    ['["ping"', refused("bad-json")],
    ['["signal","r:a","r:b",{"x":1}', refused("bad-json")],
    ['["signal","r:a","r:b",\u0001]', refused("bad-json")],
    ["{}", refused("bad-call")],
    ["[]", refused("bad-call")],
    ["null", refused("bad-call")],
    ["[1]", refused("bad-call")],
    ['["bogus","data"]', unknown("bogus")],
    ['["toString"]', unknown("toString")],
    ['["__proto__"]', unknown("__proto__")],
    ['["ping",1]', refused("bad-arguments", "ping")],
    ['["join","a"]', refused("bad-arguments", "join")],
    ['["join","a","r","x"]', refused("bad-arguments", "join")],
    ['["join",1,"r"]', refused("bad-ident", "join", "r")],
    ['["join","","r"]', refused("bad-ident", "join", "", "r")],
    ['["join","a:b","r"]', refused("bad-ident", "join", "a:b", "r")],
    ['["join","a\\u0000","r"]', refused("bad-ident", "join", "a\0", "r")],
    ['["join","\\ud800","r"]', refused("bad-ident", "join", "\ud800", "r")],
    ['["join","a",null]', refused("bad-room", "join", "a")],
    ['["join","a",""]', refused("bad-room", "join", "a", "")],
    ['["join","a","r\\n"]', refused("bad-room", "join", "a", "r\n")],
    ['["signal","r:a","r:b"]', refused("bad-arguments", "signal", "r:a", "r:b")],
    ['["signal","r:a","r:b",1,2]', refused("bad-arguments", "signal", "r:a", "r:b")],
    ['["signal",1,"r:b","secret"]', refused("bad-arguments", "signal", "r:b")],
  ];
  for (const [text, call] of faults) assertEquals(decode(text, 2), call, text);
  assertEquals(decode('["leave"]', 3), refused("bad-arguments", "leave"));
  assertEquals(decode('["leave",7]', 3), refused("bad-arguments", "leave"));
  assertEquals(decode('["ice",1]', 3), refused("bad-arguments", "ice"));
});

Deno.test("version 2 does not know the calls of version 3", () => {
  assertEquals(decode('["leave","r:a"]', 2), unknown("leave"));
  assertEquals(decode('["ice"]', 2), unknown("ice"));
  assertEquals(decode('["report","r:a","r:b",{"state":"closed"}]', 2), unknown("report"));
});

Deno.test("how many messages were seen is read as JSON has it, and by version 3 alone", () => {
  const read = (text: string): ClientCall => {
    let count: unknown;
    try {
      [, count] = JSON.parse(text);
    } catch {
      return refused("bad-json");
    }
    return Number.isSafeInteger(count) && count as number >= 0
      ? { call: "seen", count: count as number }
      : refused("bad-arguments", "seen");
  };
  const check = (argument: string) => {
    const text = `["seen",${argument}]`;
    assertEquals(decode(text, 3), read(text), text);
    const call = read(text);
    const known = call.call === "refused" && call.refusal.code === "bad-json";
    assertEquals(decode(text, 2), known ? call : unknown("seen"), text);
  };
  // deno-fmt-ignore
  for (
    const argument of [
      "0", "7", "32", "999999999999999", "1000000000000000", "9007199254740991", "9007199254740992", "9".repeat(400),
      "", " ", " 32", "32 ", "00", "01", "-1", "-0", "+1", "1.5", "1e3", "1_0", "0x10", "1]", "[1]", '"1"', "true", "١", ":", "/",
    ]
  ) check(argument);
  fc.assert(fc.property(fc.maxSafeNat(), (count) => check(String(count))));
  fc.assert(fc.property(fc.stringMatching(/^[0-9 .e:/+-]{1,20}$/), check));
  for (
    const text of [
      '["seen"]',
      '["seen",',
      '["seen",5',
      '["seen",5}',
      '["seen",5]]',
      '["seen" ,5]',
      '["seen",5,6]',
    ]
  ) {
    const { call } = decode(text, 3);
    assertEquals(call, text === '["seen" ,5]' ? "seen" : "refused", text);
  }
});

Deno.test("names have their bounds", () => {
  const join = (ident: string, room: string) => decode(JSON.stringify(["join", ident, room]), 2).call;
  assertEquals(join("i".repeat(128), "r".repeat(256)), "join");
  assertEquals(join("i".repeat(129), "r"), "refused");
  assertEquals(join("i", "r".repeat(257)), "refused");
  assertEquals(join("é☃😀", ":::"), "join");
  for (const control of ["\u0000", "\u001f", "\u007f", "\u0085", "\u009f"]) {
    assertEquals(join(control, "r"), "refused");
  }
});

Deno.test("a refusal does not repeat more of a text than a name may have", () => {
  const long = "x".repeat(10_000);
  for (const message of [[long], ["join", long, long], ["signal", long, 1]]) {
    const call = decode(JSON.stringify(message), 3);
    assert(call.call === "refused");
    assert(encodeError(call.refusal).length < 1000);
  }
  assert(encodeError({ code: "not-a-member", call: "signal", about: [long, long] }).length < 1000);
});

Deno.test("whatever the form of a signal, the receiver gets its data as it was sent", () => {
  const space = fc.string({ unit: fc.constantFrom(" ", "\t", "\n", "\r"), maxLength: 2 });
  // Numbers that no double holds, duplicate keys, escapes: a round trip through values would change them.
  const data = fc.oneof(
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.constantFrom(
      "1e999",
      "-0",
      "12345678901234567890",
      '{"a":1,"a":2}',
      '"\\u0041\\/"',
      '{"__proto__":1}',
      '"\\ud800"',
    ),
  );
  const name = fc.string({ unit: "grapheme", maxLength: 8 });
  fc.assert(
    fc.property(name, name, data, fc.array(space, { minLength: 9, maxLength: 9 }), (from, to, data, s) => {
      const text = `${s[0]}[${s[1]}"signal"${s[2]},${s[3]}${quote(from)}${s[4]},${s[5]}${quote(to)}${s[6]},${
        s[7]
      }${data}]${s[8]}`;
      const call = decode(text, 2);
      assert(call.call === "signal", text);
      assertEquals([call.from, call.to], [from, to]);
      const relayed = encodeSignal(makeAddress(to).opening, quote(from), call.tail);
      assert(relayed.includes(data), relayed);
      const [name, own, other, ...rest] = JSON.parse(relayed);
      assertEquals([name, own, other, rest.length], ["signal", to, from, 1]);
      assertEquals(JSON.stringify(rest[0]), JSON.stringify(JSON.parse(data)));
    }),
    { numRuns: 5000 },
  );
});

Deno.test("what has a number is a signal or an array of four, and is understood as without", () => {
  const name = fc.constantFrom("r:a", "r:b", "r:", "r", "", 'r:"', "r:\\\\", "r:é");
  const data = fc.constantFrom("1", '"x"', "{}", "1,2", "", "[", '"\\\\"', '{"a":"b\\r\\n"}');
  const form = fc.constantFrom(
    '["signal",F,T,D]',
    '["signal",F,T ,D]',
    '[ "signal",F,T,D]',
    '["sit",F,T,D]',
    '["signal",F,T]',
    '["signal",F,T,D',
  );
  const text = fc.tuple(form, name, name, data).map(([form, from, to, data]) =>
    form.replace("F", () => quote(from)).replace("T", () => quote(to)).replace("D", () => data)
  );
  let numbered = 0;
  fc.assert(
    fc.property(text, (text) => {
      if (numberSignal(text) === -1) return;
      numbered++;
      assertEquals(JSON.parse(text).length, 4);
      assertEquals(decode(text, 2, true), decode(text, 2), text);
    }),
    { numRuns: 5000 },
  );
  assertEquals(numbered > 500, true);
  for (const text of ['["join","a","r"]', '["ping"]', "", '["s', '["signal"', '["signal","r:a","r:b"]']) {
    assertEquals(numberSignal(text), -1, text);
  }
});

Deno.test("no text makes the decoder throw or say anything but what JSON.parse would", () => {
  const texts = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json().map((text) => `["signal","r:a","r:b",${text}]`),
    fc.string({ unit: fc.constantFrom(...'[]{},:"\\u00 ') }).map((text) => `["signal","r:a","r:b",${text}]`),
    fc.tuple(fc.constantFrom("signal", "join", "ident", "leave"), fc.array(fc.jsonValue())).map((m) =>
      JSON.stringify(m.flat())
    ),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const call = decode(text, 3);
      let valid = true;
      try {
        JSON.parse(text);
      } catch {
        valid = false;
      }
      assertEquals(call.call === "refused" && call.refusal.code === "bad-json", !valid, text);
    }),
    { numRuns: 20_000 },
  );
});

Deno.test("long texts of whatever kind cost no more than their length", () => {
  // Strings of digits that the engine's table of strings can't tell apart (multiples of 65 536).
  const digits = Array.from({ length: 6000 }, (_, i) => String(655_360 + i * 65_536));
  const nasty = ["x", "join", "signal"].map((name) => JSON.stringify([name, "r:a", "r:b", digits]));
  const harmless = JSON.stringify(["signal", "r:a", "r:b", "x".repeat(nasty[0]!.length)]);
  const time = (text: string) => {
    const begun = performance.now();
    for (let i = 0; i < 20; i++) decode(text, 3);
    return performance.now() - begun;
  };
  const best = (text: string) => Math.min(...Array.from({ length: 5 }, () => time(text)));
  const baseline = best(harmless);
  for (const text of nasty) assertLess(best(text), 30 * baseline, text.slice(0, 40));
});

Deno.test("a long signal is taken apart in every form, and what else is long is refused by its kind", () => {
  const data = JSON.stringify({ sdp: "x".repeat(20_000) });
  for (
    const [opening, from] of [['["signal"', "r:a"], [' [ "\\u0073ignal" ', "r:a"], [
      '["signal"',
      "r:\\u0061\\n",
    ]]
  ) {
    const call = decode(`${opening},"${from}" , "r:b",${data}]`, 3);
    assertEquals(
      call,
      { call: "signal", from: JSON.parse(`"${from}"`), to: "r:b", tail: `,${data}]` } as ClientCall,
    );
  }
  const long = "x".repeat(20_000);
  const cases: [string, Partial<Refusal>][] = [
    [`["signal","r:a","r:b",${data},1]`, { code: "bad-arguments", call: "signal" }],
    [`["join","${long}","kitchen"]`, { code: "bad-ident", call: "join" }],
    [`["join","a","${long}"]`, { code: "bad-room", call: "join" }],
    [`["join","a","b",{"key":"${long}"}]`, { code: "bad-arguments", call: "join" }],
    [`["ping","${long}"]`, { code: "bad-arguments", call: "ping" }],
    [`["${long}"]`, { code: "bad-call" }],
    [`["nothing","${long}"]`, { code: "bad-call", call: "nothing" }],
    [`{"a":"${long}"}`, { code: "bad-call" }],
    [`["signal","r:a","r:b",${data}`, { code: "bad-json" }],
    [long, { code: "bad-json" }],
  ];
  for (const [text, expected] of cases) {
    const call = decode(text, 3);
    assert(call.call === "refused", text.slice(0, 40));
    const { code, call: name } = call.refusal;
    assertEquals({ code, ...name !== undefined && { call: name } }, expected, text.slice(0, 40));
  }
});
