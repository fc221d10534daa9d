/**
 * Whatever a client does: it gets what it asked for, the others notice nothing, nothing of it stays, and the server
 * has no word to say about it.
 */

import fc from "fast-check";
import { assert, assertEquals, assertLess, assertMatch } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { frame, handshake, Opcode, RawClient } from "../kit/raw_client.ts";
import { serverProcess } from "../kit/server.ts";

const PATIENCE_MS = 20_000;
const VERSION_3 = { "Sec-WebSocket-Protocol": "diva.signal.v3" };
const MAX_MESSAGE_BYTES = 65_536;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A server under attack, and a pair of peers on it that has nothing to do with the attack. */
interface Scene {
  readonly port: number;
  /** The pair's signals arrive, and soon it is alone on the server: rejects where one of the two is not so. */
  undisturbed(): Promise<void>;
  /** The same, while so many others are there. */
  goesOn(others: number): Promise<void>;
}

/** Runs an attack on a server of its own, then sees to it that the server is in order, stops cleanly and said nothing. */
async function attack(attempt: (scene: Scene) => Promise<void>): Promise<void> {
  // All come from one address, and more often than a client may.
  const limits = ["--call-burst", "1000000", "--connect-burst", "1000000"];
  await using server = await serverProcess([
    "--port",
    "0",
    "--stun-port",
    "off",
    // Each attacker is to find what the last one left: nothing.
    "--resume",
    "0",
    ...limits,
  ]);
  const port = await server.port;
  const url = `ws://127.0.0.1:${port}`;
  using alice = await TestClient.openV3(url);
  using bob = await TestClient.open(url);
  await alice.call(["join", "alice", "home"], ["join", "home:alice"]);
  await bob.call(["join", "bob", "home"], ["join", "home:bob"], ["stun", "home:bob", "home:alice", true]);
  await alice.expect(["stun", "home:alice", "home:bob", false]);

  let signals = 0;
  const goesOn = async (others: number) => {
    const number = signals++;
    alice.send(["signal", "home:alice", "home:bob", number]);
    await bob.expect(["signal", "home:bob", "home:alice", number]);
    bob.send(["signal", "home:bob", "home:alice", number]);
    await alice.expect(["signal", "home:alice", "home:bob", number]);
    await settles(port, { sockets: 2 + others, rooms: 1, addresses: 2 });
  };
  const undisturbed = () => goesOn(0);
  await attempt({ port, goesOn, undisturbed });
  await undisturbed();

  server.kill("SIGTERM");
  const { code, stdout, stderr } = await server.output;
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  for (const line of stdout.trim().split("\n")) assertEquals(JSON.parse(line).level, "INFO", line);
}

/** Waits until the server counts these. */
async function settles(port: number, wanted: Record<string, number>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const health = await fetch(`http://127.0.0.1:${port}/healthz`).then((response) => response.json());
    if (Object.entries(wanted).every(([name, count]) => health[name] === count)) return;
    if (performance.now() > deadline) {
      throw new Error(`expected ${JSON.stringify(wanted)}, the server says ${JSON.stringify(health)}`);
    }
    await pause(5);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Rejects where the promise takes so long that it will never be kept. */
async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Data that is valid JSON, if barely, with the text that has to arrive. */
function nastyData(): [name: string, data: string][] {
  const head = '["signal","r:from","r:to","';
  const fill = (unit: string) => {
    const room = MAX_MESSAGE_BYTES - head.length - '"]'.length;
    const size = encoder.encode(unit).length;
    const units = Math.floor(room / size);
    return `"${unit.repeat(units)}${"x".repeat(room - units * size)}"`;
  };
  return [
    ["arrays in arrays", "[".repeat(30_000) + "]".repeat(30_000)],
    ["objects in objects", '{"a":'.repeat(10_000) + "0" + "}".repeat(10_000)],
    ["a level more than the scanner knows", "[".repeat(64) + "]".repeat(64)],
    ["numbers beyond a double", "[1e999,-1e999,1e-999,-0,0.1E+400]"],
    ["integers beyond a double", "[9007199254740993,12345678901234567890]"],
    ["a number of 60 000 digits", "1".repeat(60_000)],
    ["a fraction of 60 000 digits", "0." + "3".repeat(60_000)],
    ["half surrogate pairs, escaped", String.raw`["\ud800","\udc00\ud800","x\uDBFF"]`],
    ["a surrogate pair, escaped", String.raw`"\ud83d\ude00"`],
    ["escapes that nobody needs", String.raw`"\u0041\/\u0022\u005c\u005D"`],
    ["a NUL, escaped", String.raw`"a\u0000b"`],
    ["a byte order mark inside", '"\ufeff"'],
    ["characters that some take for the end of a line", '"\u2028\u2029\u0085"'],
    ["what Unicode calls no character", '"\uffff\ufffe\u{10ffff}"'],
    ["a DEL and what follows it", '"\u007f\u0080\u009f"'],
    ["a character and its accents", `"e${"\u0301".repeat(20_000)}"`],
    ["text that runs both ways", '"\u202e\u2066abc\u2069"'],
    ["duplicate keys", '{"a":1,"a":2,"a":{"a":3,"a":4}}'],
    ["10 000 times the same key", `{${Array(10_000).fill('"k":1').join(",")}}`],
    ["5 000 keys", `{${Array.from({ length: 5000 }, (_, i) => `"k${i}":${i}`).join(",")}}`],
    ["keys that are numbers, in their order", '{"2":0,"1":0,"4294967295":0,"-1":0,"":0}'],
    ["__proto__", '{"__proto__":{"polluted":true},"__proto__":null}'],
    ["constructor", '{"constructor":{"prototype":{"polluted":true}}}'],
    ["methods", '{"toString":1,"toJSON":1,"valueOf":1,"then":1,"length":-1}'],
    ["30 000 elements", `[${Array(30_000).fill("0").join(",")}]`],
    ["30 000 empty arrays in a row", `[${Array(20_000).fill("[]").join(",")}]`],
    ["60 000 blanks", " ".repeat(60_000) + "0" + "\t\r\n "],
    ["a call within a string", String.raw`"],[\"join\",\"x\",\"y\"]"`],
    ["a page's markup", '"</script><!--"'],
    ["exactly as many bytes as allowed", fill("x")],
    ["the same in two bytes each", fill("é")],
    ["the same in three bytes each", fill("☃")],
    ["the same in four bytes each", fill("😀")],
    ["the same in escapes", fill("\\u0000")],
  ];
}

Deno.test("nasty data arrives as it was sent, to the byte, whatever frames it came in", async () => {
  await attack(async ({ port }) => {
    using sender = await RawClient.open(port, VERSION_3);
    using receiver = await RawClient.open(port);
    await sender.settle(["join", "from", "r"]);
    await receiver.settle(["join", "to", "r"]);
    await sender.settle();
    for (const [name, data] of nastyData()) {
      const call = encoder.encode(`["signal","r:from","r:to",${data}]`);
      assert(call.length <= MAX_MESSAGE_BYTES, name);
      const [a, b] = [Math.floor(call.length / 3), Math.floor(call.length / 2)];
      const forms = {
        "a text frame": [frame(call)],
        "a binary frame": [frame(call, Opcode.binary)],
        // The cuts may well go through a character.
        "three fragments and a ping": [
          frame(call.subarray(0, a), Opcode.text, false),
          frame(call.subarray(a, b), Opcode.continuation, false),
          frame("", Opcode.ping),
          frame(call.subarray(b), Opcode.continuation),
        ],
      };
      for (const [form, frames] of Object.entries(forms)) {
        await sender.write(...frames);
        assertEquals(await sender.settle(), [], `${name}, in ${form}`);
        const received = await soon(receiver.text(), `${name}, in ${form}`);
        const expected = `["signal","r:to","r:from",${data}]`;
        // Not by assertEquals, which would compute the difference of two long texts for minutes.
        assert(received === expected, `${name}, in ${form}: ${received?.slice(0, 100)}`);
      }
    }
  });
});

Deno.test("names that mean something to JavaScript are names like others", async () => {
  await attack(async ({ port }) => {
    using one = await RawClient.open(port, VERSION_3);
    using other = await RawClient.open(port);
    await one.settle();
    for (
      const name of [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "then",
        "0",
        "-1",
        " ",
        "\u202e",
      ]
    ) {
      const [mine, its] = [`${name}:${name}`, `${name}:peer`].map((address) => JSON.stringify(address));
      assertEquals(await one.settle(["join", name, name]), [`["join",${mine}]`]);
      assertEquals(await other.settle(["join", "peer", name]), [
        `["join",${its}]`,
        `["stun",${its},${mine},true]`,
      ]);
      assertEquals(await other.settle(`["signal",${its},${mine},1]`), []);
      assertEquals(await one.settle(`["leave",${mine}]`), [
        `["stun",${mine},${its},false]`,
        `["signal",${mine},${its},1]`,
        `["leave",${mine}]`,
      ]);
    }
  });
});

/** Texts that no server can make a call of, with the code that tells so. */
function nastyCalls(): [code: string, text: string][] {
  const long = "x".repeat(60_000);
  const signal = (rest: string) => `["signal","home:alice","home:bob",${rest}`;
  return [
    ["bad-json", ""],
    ["bad-json", " "],
    ["bad-json", "\0"],
    ["bad-json", "["],
    ["bad-json", '\ufeff["ping"]'],
    ["bad-json", '["ping"]\0'],
    ["bad-json", '["ping"]["ping"]'],
    ["bad-json", '["ping"]\n// comment'],
    ["bad-json", "['ping']"],
    ["bad-json", '["p\0ing"]'],
    ["bad-json", '["ping\n"]'],
    ["bad-json", '["ping",]'],
    ["bad-json", '["ping",,]'],
    ["bad-json", '["ping",NaN]'],
    ["bad-json", '["ping",-Infinity]'],
    ["bad-json", '["ping",01]'],
    ["bad-json", String.raw`["\x70ing"]`],
    ["bad-json", String.raw`["\u00"]`],
    ["bad-json", "[".repeat(60_000)],
    ["bad-json", '{"a":'.repeat(12_000)],
    ["bad-json", "[" + ",".repeat(60_000) + "]"],
    ["bad-json", '"' + long],
    ["bad-json", signal("]")],
    ["bad-json", signal("1,]")],
    ["bad-json", signal("[1,,2]]")],
    ["bad-json", signal('{"a":1,}]')],
    ["bad-json", signal("[".repeat(60_000))],
    ["bad-json", signal("[" + ",".repeat(60_000) + "]]")],
    ["bad-json", signal('"\u0001"]')],
    ["bad-json", signal("1]]")],
    ["bad-call", "null"],
    ["bad-call", "1e999"],
    ["bad-call", '"ping"'],
    ["bad-call", "{}"],
    ["bad-call", '{"0":"ping","length":1}'],
    ["bad-call", '{"__proto__":["ping"]}'],
    ["bad-call", "[]"],
    ["bad-call", "[null]"],
    ["bad-call", '[["ping"]]'],
    ["bad-call", '["__proto__"]'],
    ["bad-call", '["constructor","a","b"]'],
    ["bad-call", '["PING"]'],
    ["bad-call", '["ping "]'],
    ["bad-call", String.raw`["ping\u0000"]`],
    ["bad-call", String.raw`["\ud800"]`],
    ["bad-call", `["${long}"]`],
    ["bad-call", "[".repeat(30_000) + "]".repeat(30_000)],
    ["bad-arguments", '["ping",null]'],
    ["bad-arguments", `["ping"${",0".repeat(30_000)}]`],
    ["bad-arguments", '["join"]'],
    ["bad-arguments", '["join","a"]'],
    ["bad-arguments", '["join","a","b","c"]'],
    ["bad-arguments", signal("1,2]")],
    ["bad-arguments", '["signal",["home:alice"],"home:bob",1]'],
    ["bad-arguments", '["signal",{"toString":1},null,1]'],
    ["bad-ident", `["join","${long}","r"]`],
    ["bad-ident", String.raw`["join","\u0000","r"]`],
    ["bad-ident", String.raw`["join","\udc00","r"]`],
    ["bad-ident", '["join",{"length":3},"r"]'],
    ["bad-ident", '["join",["a"],"r"]'],
    ["bad-ident", '["join","\u009f","r"]'],
    ["bad-room", `["join","a","${long}"]`],
    ["bad-room", String.raw`["join","a","\ud800"]`],
    ["bad-room", '["join","a",{}]'],
    ["bad-room", '["join","a",1e999]'],
    ["not-a-member", '["signal","__proto__","constructor",1]'],
    ["not-a-member", signal("1]")],
    ["not-a-member", `["signal","${long}","home:bob",1]`],
    ["not-a-member", String.raw`["signal","\ud800","\u0000",1]`],
  ];
}

Deno.test("nasty calls are refused in few bytes by their code, in version 2 by silence; the socket stays", async () => {
  await attack(async ({ port, goesOn }) => {
    using version2 = await RawClient.open(port);
    using version3 = await RawClient.open(port, VERSION_3);
    await version3.settle();
    const calls: [string, string][] = [
      ...nastyCalls(),
      ["not-a-member", '["leave","__proto__"]'],
      ["not-a-member", '["leave","home:alice"]'],
      ["bad-arguments", '["leave",null]'],
      ["bad-arguments", '["ice",{}]'],
    ];
    for (const [code, text] of calls) {
      for (const opcode of [Opcode.text, Opcode.binary]) {
        const about = `${text.length} characters, ${JSON.stringify(text.slice(0, 80))}`;
        await version2.write(frame(text, opcode));
        assertEquals(await version2.settle(), [], about);
        await version3.write(frame(text, opcode));
        const answers = await version3.settle();
        assertEquals(answers.map((answer) => JSON.parse(answer).slice(0, 2)), [["error", code]], about);
        // It repeats two addresses at most, of 385 characters, and any of them may take an escape of six bytes.
        assertLess(answers[0]!.length, 5000, about);
      }
    }
    await version3.write(frame(new Uint8Array([0x22, 0xff, 0x22]), Opcode.binary));
    assertEquals((await version3.settle()).map((answer) => JSON.parse(answer)[1]), ["bad-json"]);
    await goesOn(2);
  });
});

/** A frame's head as it is, and what follows it. */
function rawFrame(...bytes: number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

const MASK = [0, 0, 0, 0];
const ping = encoder.encode('["ping"]');

/** What a client of version 3 hears until its connection ends: names and codes of texts, then how it ended. */
async function fate(client: RawClient): Promise<string> {
  const heard: string[] = [];
  for (;;) {
    const next = await client.frame();
    if (next === undefined) return [...heard, "dropped"].join(" ");
    const { opcode, payload } = next;
    if (opcode === Opcode.close) {
      const code = payload.length === 0 ? "without a code" : new DataView(payload.buffer).getUint16(0);
      return [...heard, `closed ${code}`].join(" ");
    }
    if (opcode === Opcode.text) {
      const [name, code] = JSON.parse(decoder.decode(payload));
      if (name !== "welcome") heard.push(name === "error" ? code : name);
    } else {
      heard.push(opcode === Opcode.pong ? `pong(${payload.length})` : `opcode ${opcode}`);
    }
  }
}

/** Ends what can go on: whatever stands before it is answered first. */
const bye = frame(new Uint8Array([0x03, 0xe8]), Opcode.close);

const BAD_FRAMES: [name: string, fate: string, ...bytes: Uint8Array[]][] = [
  // What is odd, but has a meaning.
  ["a call without a mask", "pong closed 1000", rawFrame(0x81, 8, ...ping), bye],
  [
    "a length in more bytes than it needs",
    "pong closed 1000",
    rawFrame(0x81, 0xfe, 0, 8, ...MASK, ...ping),
    bye,
  ],
  [
    "a length in far more bytes than it needs",
    "pong closed 1000",
    rawFrame(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 8, ...MASK, ...ping),
    bye,
  ],
  [
    "a ping between two fragments",
    "pong(3) pong closed 1000",
    frame('["pi', Opcode.text, false),
    frame("abc", Opcode.ping),
    frame('ng"]', Opcode.continuation),
    bye,
  ],
  [
    "fragments without content",
    "pong closed 1000",
    frame("", Opcode.text, false),
    ...Array(1000).fill(frame("", Opcode.continuation, false)),
    frame(ping, Opcode.continuation, false),
    frame("", Opcode.continuation),
    bye,
  ],
  [
    "a character in two fragments",
    "bad-call closed 1000",
    frame(new Uint8Array([0x22, 0xe2, 0x98]), Opcode.text, false),
    frame(new Uint8Array([0x83, 0x22]), Opcode.continuation),
    bye,
  ],
  ["a pong that nobody asked for", "pong closed 1000", frame("x", Opcode.pong), frame(ping), bye],
  ["the largest ping", "pong(125) closed 1000", frame("x".repeat(125), Opcode.ping), bye],
  ["calls behind a close", "closed 1000", bye, frame('["join","late","r"]'), frame(ping)],
  ["a close without a code", "closed without a code", frame("", Opcode.close)],
  ["a close with a code of its own", "closed 4999", frame(new Uint8Array([0x13, 0x87]), Opcode.close)],
  ...[999, 1005, 1006, 1015, 65_535].map((code): [string, string, Uint8Array] => [
    `a close with ${code}, which nobody may send`,
    "closed 1002",
    frame(new Uint8Array([code >> 8, code & 0xff]), Opcode.close),
  ]),
  // What breaks the protocol.
  ["a close with one byte", "dropped", frame("x", Opcode.close)],
  ["a close whose reason is not UTF-8", "dropped", frame(new Uint8Array([0x13, 0x88, 0xff]), Opcode.close)],
  ["a text that is not UTF-8", "dropped", frame(new Uint8Array([0x22, 0xff, 0x22]))],
  ["half a surrogate pair as UTF-8", "dropped", frame(new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]))],
  ["an overlong NUL", "dropped", frame(new Uint8Array([0x22, 0xc0, 0x80, 0x22]))],
  ["a character that its text ends in", "dropped", frame(new Uint8Array([0x22, 0xe2, 0x98]))],
  ...[0x40, 0x20, 0x10].map((bit): [string, string, Uint8Array] => [
    `the reserved bit ${bit}`,
    "dropped",
    rawFrame(0x81 | bit, 0x88, ...MASK, ...ping),
  ]),
  ...[3, 7, 11, 15].map((opcode): [string, string, Uint8Array] => [
    `the reserved opcode ${opcode}`,
    "dropped",
    frame("", opcode),
  ]),
  ["a ping that is too large", "dropped", frame("x".repeat(126), Opcode.ping)],
  ["a ping in fragments", "dropped", frame("x", Opcode.ping, false)],
  ["a continuation of nothing", "dropped", frame(ping, Opcode.continuation)],
  ["a text within a text", "dropped", frame('["pi', Opcode.text, false), frame(ping)],
  ["an HTTP request", "dropped", handshake()],
];

Deno.test("frames that are odd are understood or end the connection, and only that", async (t) => {
  await attack(async ({ port, undisturbed }) => {
    for (const [name, expected, ...frames] of BAD_FRAMES) {
      await t.step(name, async () => {
        using client = await RawClient.open(port, VERSION_3);
        await client.settle(["join", "hostile", "elsewhere"]);
        await client.write(...frames);
        assertEquals(await soon(fate(client), "the end"), expected);
        await undisturbed();
      });
    }
  });
});

Deno.test("connections that end in the midst of anything leave nothing", async (t) => {
  const join = frame('["join","hostile","elsewhere"]');
  const midst: [string, Uint8Array][] = [
    ["nothing", new Uint8Array()],
    ["the request line", encoder.encode("GET / HT")],
    ["a header", handshake().subarray(0, 60)],
    ["the last line end of the head", handshake().subarray(0, -1)],
    ["the answer", handshake()],
    ["a frame's head", concat(handshake(), join.subarray(0, 3))],
    ["a frame", concat(handshake(), join.subarray(0, -1))],
    ["the answer to a join", concat(handshake(), join)],
    ["a message of fragments", concat(handshake(), join, frame("[", Opcode.text, false))],
    ["64 MiB", concat(handshake(), join, rawFrame(0x81, 0xff, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, ...MASK, 1))],
    ["its own close", concat(handshake(), join, bye)],
  ];
  await attack(async ({ port, undisturbed }) => {
    for (const [name, bytes] of midst) {
      await t.step(name, async () => {
        for (let times = 0; times < 20; times++) {
          using client = await RawClient.open(port, "no handshake");
          await client.write(bytes);
          // In half of the cases the server has read everything before the end comes.
          if (times % 2 === 1) await pause(1);
        }
        await undisturbed();
      });
    }
  });
});

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

Deno.test("requests that are none get 400 and no more", async (t) => {
  const get = (headers: string) => `GET / HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;
  const upgrade = decoder.decode(handshake());
  const clientHello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
  const requests: [name: string, status: number, request: string | Uint8Array][] = [
    ["a TLS hello on the plain port", 400, new Uint8Array(clientHello)],
    ["zeros", 400, new Uint8Array(100)],
    ["no HTTP at all", 400, "hello\r\n\r\n"],
    ["HTTP 0.9", 400, "GET /\r\n\r\n"],
    ["bytes in the path that no URL has", 400, new Uint8Array([...encoder.encode("GET /"), 0xff, 0, 0x20])],
    ["a head of 500 kB", 400, get(`X: ${"y".repeat(500_000)}\r\n`)],
    ["200 headers", 400, get("X: y\r\n".repeat(200))],
    ["two ideas of where the body ends", 400, get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")],
    ["a negative length", 400, get("Content-Length: -5\r\n")],
    ["a host that is none", 400, upgrade.replace("localhost", "[::::")],
    ["no key", 400, upgrade.replace(/Sec-WebSocket-Key.*\r\n/, "")],
    ["a key that is too short", 400, upgrade.replace(/(Sec-WebSocket-Key: ).*/, "$1AAAA")],
    ["a version that nobody speaks", 426, upgrade.replace("Version: 13", "Version: 99")],
    ["an upgrade by POST", 405, upgrade.replace("GET", "POST")],
    ["a proxy's call", 405, "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n"],
  ];
  await attack(async ({ port, undisturbed }) => {
    for (const [name, status, request] of requests) {
      await t.step(name, async () => {
        using client = await RawClient.open(port, "no handshake");
        await client.write(typeof request === "string" ? encoder.encode(request) : request);
        assertMatch(await soon(client.readHead(), "an answer"), new RegExp(`^HTTP/1.1 ${status} `));
        await undisturbed();
      });
    }
  });
});

Deno.test("requests held open in their midst do not count, and nobody waits for them", async () => {
  await attack(async ({ port, undisturbed }) => {
    using held = new DisposableStack();
    for (let i = 0; i < 500; i++) {
      const client = held.use(await RawClient.open(port, "no handshake"));
      await client.write(encoder.encode("GET / HTTP/1.1\r\nHost: localhost\r\nX-"));
    }
    await undisturbed();
    using newcomer = await RawClient.open(port);
    assertEquals(await newcomer.settle(["join", "newcomer", "r"]), ['["join","r:newcomer"]']);
  });
});

Deno.test("a client that pings on and on and reads nothing is read no faster than it reads", async () => {
  await attack(async ({ port, goesOn }) => {
    using client = await RawClient.open(port);
    const pings = concat(...Array(1000).fill(frame("x".repeat(125), Opcode.ping)));
    let written = 0;
    const flood = (async () => {
      for (;;) {
        await client.write(pings);
        written += pings.length;
      }
    })();
    // It ends when the client is disposed of.
    const flooded = flood.catch(() => {});
    for (let before = -1; before !== written;) {
      before = written;
      // The kernel's buffers of both directions are all that it can fill.
      assertLess(written, 100_000_000, "the server's answers pile up somewhere");
      await goesOn(1);
      await pause(300);
    }
    client[Symbol.dispose]();
    await flooded;
  });
});

/**
 * What our code cannot change. Should the runtime learn to do better, this fails, and the README's section on
 * security has to be told.
 */
Deno.test("the runtime: a frame counts up to 64 MiB, the fragments of a message without a bound", async (t) => {
  const megabyte = "x".repeat(1_000_000);
  const announce = (bytes: bigint) => {
    const head = new Uint8Array(14);
    new DataView(head.buffer).setBigUint64(2, bytes);
    head.set([0x81, 0xff]);
    return head;
  };
  await attack(async ({ port, undisturbed, goesOn }) => {
    for (
      const [name, bytes] of [["64 MiB", 2n ** 26n], ["2^62 bytes", 2n ** 62n], [
        "2^64 - 1 bytes",
        2n ** 64n - 1n,
      ]]
    ) {
      await t.step(`a head that announces ${name} ends the connection`, async () => {
        using client = await RawClient.open(port);
        await client.write(announce(bytes as bigint));
        assertEquals(await soon(fate(client), "the end"), "dropped");
        await undisturbed();
      });
    }
    await t.step("one that announces a byte less is waited for", async () => {
      using client = await RawClient.open(port);
      await client.write(announce(2n ** 26n - 1n), new Uint8Array(1000));
      const end = fate(client).catch(() => {});
      assertEquals(await Promise.race([end, pause(500)]), undefined);
      await goesOn(1);
      client[Symbol.dispose]();
      await end;
      await undisturbed();
    });
    for (const opcode of [Opcode.text, Opcode.binary]) {
      await t.step(`a frame of 60 MB with opcode ${opcode} is taken in, then refused`, async () => {
        using client = await RawClient.open(port, VERSION_3);
        await client.write(frame(new Uint8Array(60_000_000), opcode));
        assertEquals(await soon(fate(client), "the end"), "too-large closed 1009");
        client[Symbol.dispose]();
        await undisturbed();
      });
    }
    await t.step("a message of 80 MB in fragments is taken in, then refused", async () => {
      using client = await RawClient.open(port, VERSION_3);
      await client.write(frame(megabyte, Opcode.text, false));
      const middle = frame(megabyte, Opcode.continuation, false);
      for (let i = 0; i < 79; i++) {
        await client.write(middle);
        if (i % 20 === 0) await goesOn(1);
      }
      await client.write(frame("", Opcode.continuation));
      assertEquals(await soon(fate(client), "the end"), "too-large closed 1009");
      client[Symbol.dispose]();
      await undisturbed();
    });
  });
});

/** Frames as a client that knows the protocol a little would make them at random. */
function randomFrames(): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const texts = [
    '["ident"]',
    '["ping"]',
    '["ice"]',
    '["join","a","r"]',
    '["join","b","r"]',
    '["join","a","s"]',
    '["leave","r:a"]',
    '["signal","r:a","r:b",{"x":[1,2,"é😀"]}]',
    '["signal","r:b","r:a",null]',
    '["signal","r:a","home:alice","to another room"]',
    '["signal","home:alice","home:bob","from another"]',
    ...nastyCalls().map(([, text]) => text),
    ...nastyData().map(([, data]) => `["signal","r:a","r:b",${data}]`),
  ].map((text) => encoder.encode(text));
  const payload = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...texts.slice(0, 11)) },
    { weight: 3, arbitrary: fc.constantFrom(...texts) },
    { weight: 2, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2 }) },
  );
  const opcode = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(Opcode.text, Opcode.binary) },
    { weight: 4, arbitrary: fc.constantFrom(Opcode.continuation, Opcode.ping, Opcode.pong) },
    { weight: 1, arbitrary: fc.nat(15) },
  );
  const fin = fc.oneof({ weight: 8, arbitrary: fc.constant(true) }, {
    weight: 1,
    arbitrary: fc.constant(false),
  });
  const damage = fc.option(fc.tuple(fc.nat(13), fc.nat(7)), { freq: 15, nil: undefined });
  return fc.tuple(payload, opcode, fin, damage).map(([payload, opcode, fin, damage]) => {
    const bytes = frame(payload, opcode, fin);
    if (damage) bytes[damage[0] % bytes.length]! ^= 1 << damage[1];
    return bytes;
  });
}

const CLIENTS = 400;

Deno.test(`${CLIENTS} clients that send frames at random, in segments at random, disturb nobody`, async () => {
  await attack(async ({ port, undisturbed }) => {
    const client = fc.record({
      version3: fc.boolean(),
      frames: fc.array(randomFrames(), { minLength: 1, maxLength: 12 }),
      /** In thousandths of all bytes. */
      cuts: fc.uniqueArray(fc.nat(999), { maxLength: 6 }),
      handshakeFirst: fc.boolean(),
      reads: fc.boolean(),
    });
    let answered = 0;
    await fc.assert(
      fc.asyncProperty(client, async ({ version3, frames, cuts, handshakeFirst, reads }) => {
        const headers: Record<string, string> = version3 ? VERSION_3 : {};
        using client = await RawClient.open(port, handshakeFirst ? headers : "no handshake");
        const bytes = concat(...handshakeFirst ? [] : [handshake(headers)], ...frames, bye);
        const ends = [
          ...cuts.toSorted((a, b) => a - b).map((cut) => Math.floor(cut * bytes.length / 1000)),
          bytes.length,
        ];
        try {
          for (const [i, end] of ends.entries()) {
            await client.write(bytes.subarray(ends[i - 1] ?? 0, end));
            await pause(0);
          }
          if (reads) {
            if (!handshakeFirst) await soon(client.readHead(), "the head");
            // A frame that was damaged may announce bytes that never come: then there is no end to wait for.
            const heard = await Promise.race([fate(client), pause(50)]);
            if (heard !== undefined) answered++;
          }
        } catch (error) {
          if (!(error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset)) {
            throw error;
          }
        }
        client[Symbol.dispose]();
        await undisturbed();
        using sane = await RawClient.open(port, VERSION_3);
        assertEquals((await soon(sane.settle(["join", "a", "r"]), "an answer")).slice(1), ['["join","r:a"]']);
      }),
      { numRuns: CLIENTS },
    );
    assert(answered > CLIENTS / 10, `only ${answered} clients came to an end that they saw`);
  });
});
