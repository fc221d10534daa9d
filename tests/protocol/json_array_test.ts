import fc from "fast-check";
import { assert, assertEquals } from "../kit/assert.ts";
import { checkOfHead, countElements, numberHead } from "../../lib/protocol/json_array.ts";

/** What `JSON.parse` makes of it: the number of elements, -1 for anything but an array, `undefined` for no JSON. */
function parsed(text: string): number | undefined {
  try {
    const value = JSON.parse(text);
    return Array.isArray(value) ? value.length : -1;
  } catch {
    return undefined;
  }
}

/** The scanner may give up, but what it says must be so. */
function assertAgrees(text: string): void {
  const count = countElements(text);
  if (count !== -1) assertEquals(count, parsed(text), JSON.stringify(text));
}

Deno.test("arrays are counted", () => {
  const counts: [string, number][] = [
    ["[]", 0],
    [" [ ] ", 0],
    ["[1]", 1],
    ['["signal","r:a","r:b",{"type":"offer","sdp":"v=0\\r\\n"}]', 4],
    ['[[],{},[[]],{"a":[1,2]}]', 4],
    ['[true,false,null,-0.5e+10,"\\u00e9\\"\\\\\\/\\b\\f\\n\\r\\t"]', 5],
    ['\t[\n"é☃😀"\r, "a" ]', 2],
    [`["${"x".repeat(40_000)}"]`, 1],
    ["[".repeat(64) + "1" + "]".repeat(64), 1],
  ];
  for (const [text, count] of counts) assertEquals(countElements(text), count, text.slice(0, 80));
});

Deno.test("what is not an array in JSON is told apart", () => {
  const wrong = [
    "",
    " ",
    "1",
    "{}",
    '"[]"',
    "null",
    "[",
    "]",
    "[1",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1]]",
    "[1] x",
    "[[1]",
    "[1}",
    '[{"a":1]',
    '[{"a"}]',
    '[{"a":}]',
    "[{1:2}]",
    "[{,}]",
    '[{"a":1,}]',
    '["a]',
    '["\n"]',
    '["\u0000"]',
    '["\u001f"]',
    '["\\x"]',
    '["\\u12g4"]',
    '["\\u123"]',
    '["\\"]',
    "['a']",
    "[01]",
    "[+1]",
    "[.5]",
    "[1.]",
    "[1e]",
    "[1e+]",
    "[-]",
    "[--1]",
    "[0x1]",
    "[NaN]",
    "[Infinity]",
    "[tru]",
    "[truex]",
    "[nul]",
    "[fals]",
    "[True]",
    "[undefined]",
    "[1\u00a0]",
    "\ufeff[]",
    "[]\u0000",
    "[1]\u0000",
    "\u0000[]",
    "[\u000b1]",
    "[1,\u000c2]",
    "[/**/]",
  ];
  for (const text of wrong) {
    assertEquals(countElements(text), -1, JSON.stringify(text));
    assert(!((parsed(text) ?? -1) >= 0), `${JSON.stringify(text)} is an array after all`);
  }
});

Deno.test("a text behind a longer one does not see its remains", () => {
  assertEquals(countElements(`["${"a".repeat(1000)}",2,3]`), 3);
  assertEquals(countElements('["a'), -1);
  assertEquals(countElements("[1"), -1);
  assertEquals(countElements("[tru"), -1);
  assertEquals(countElements("[fals"), -1);
});

Deno.test("long and deep texts are counted too; past 65 535 levels nothing is said", () => {
  assertEquals(countElements(`["${"x".repeat(200_000)}"]`), 1);
  assertEquals(
    countElements("[1]" + " ".repeat(200_000) + "x"),
    -1,
    "the part that fitted at first is an array",
  );
  for (const depth of [64, 65, 66, 1000, 65_535]) {
    assertEquals(countElements("[".repeat(depth) + "1" + "]".repeat(depth)), 1, `${depth} levels`);
    assertEquals(countElements('[{"a":'.repeat(depth >> 1) + "1" + "}]".repeat(depth >> 1)), 1);
    assertEquals(countElements("[".repeat(depth) + "1}" + "]".repeat(depth - 1)), -1);
  }
  assertEquals(countElements("[".repeat(65_536) + "1" + "]".repeat(65_536)), -1);
  // Near the end of a page of memory, at every distance to it: neither wrong nor out of bounds.
  for (let length = 262_100; length < 262_160; length++) assertAgrees(`["${"x".repeat(length)}"]`);
  for (let length = 87_360; length < 87_390; length++) assertAgrees(`["${"☃".repeat(length)}"]`);
});

Deno.test("every JSON array is counted right", () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 5 })),
      fc.constantFrom(undefined, 1, "\t"),
      (array, space) => {
        assertEquals(countElements(JSON.stringify(array, null, space)), array.length);
      },
    ),
    { numRuns: 5000 },
  );
});

Deno.test("no damaged text is taken for an array that it isn't", () => {
  const damaged = fc.tuple(
    fc.array(fc.jsonValue({ maxDepth: 4 }), { minLength: 1 }).map((value) => JSON.stringify(value)),
    fc.nat(),
    fc.nat(3),
    fc.string({ unit: fc.constantFrom(...'[]{},:"\\u0aeE+-.1tfnr \n\u0000\u001f\u0080é'), maxLength: 4 }),
  ).map(([text, at, removed, added]) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + added + text.slice(place + removed);
  });
  fc.assert(fc.property(damaged, assertAgrees), { numRuns: 50_000 });
});

Deno.test("no text of JSON's own characters is taken for an array that it isn't", () => {
  const soup = fc.string({ unit: fc.constantFrom(...'[]{},:"\\u0aeE+-.1 \ntrue'), maxLength: 24 }).map((s) =>
    `[${s}]`
  );
  fc.assert(fc.property(soup, assertAgrees), { numRuns: 50_000 });
});

Deno.test("json_array.wasm is what its source makes", async () => {
  const root = new URL("../../", import.meta.url);
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const [, build] = /^deno (run .*) -o lib\/protocol\/json_array\.wasm$/.exec(tasks.wasm.command)!;
  const built = await Deno.makeTempFile({ suffix: ".wasm" });
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...build!.split(" "), "-o", relative(root, built)],
      cwd: root,
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    assertEquals(
      await Deno.readFile(built),
      await Deno.readFile(new URL("lib/protocol/json_array.wasm", root)),
    );
  } finally {
    await Deno.remove(built);
  }
});

/** A path as the compiler wants it: below the folder that it runs in. */
function relative(folder: URL, path: string): string {
  return "../".repeat(folder.pathname.split("/").length - 2) + path.slice(1);
}

/** That texts which differ so far have numbers that differ. */
function assertTold(heads: ReadonlySet<string>): void {
  const pairs = [...heads].map((head) => [numberHead(`${head}1]`), checkOfHead()]);
  assertEquals(new Set(pairs.map(String)).size, heads.size);
  // By itself each is one of 2^30: one pair in 400 runs has it in common, three in a thousand million.
  for (const which of [0, 1]) {
    const { size } = new Set(pairs.map((pair) => pair[which]));
    assert(size >= heads.size - 2, `${size} of ${heads.size}`);
  }
}

Deno.test("what stands in front of the fourth element has two numbers of its own", () => {
  const head = (from: string, to: string) => `["signal",${JSON.stringify(from)},${JSON.stringify(to)},`;
  const heads = new Set<string>();
  const put = (text: string) => {
    const own = (data: string) => [numberHead(`${text}${data}]`), checkOfHead()] as const;
    const [number, check] = own("1");
    for (const value of [number, check]) assert(value >= 0 && value < 2 ** 30, `${value}`);
    for (const data of ['"a\\nb"', "{}", `"${"x".repeat(3000)}"`, "[[1]]"]) {
      assertEquals(own(data), [number, check], "the data makes no difference");
    }
    heads.add(text);
  };
  // Of every length, and names that differ in one place alone, or in one bit.
  for (let length = 0; length < 140; length++) put(head("r:a", "x".repeat(length)));
  for (let at = 0; at < 64; at++) put(head("r:a", "x".repeat(at) + "y" + "x".repeat(63 - at)));
  for (let at = 0; at < 64; at++) put(head("x".repeat(at) + "y" + "x".repeat(63 - at), "r:a"));
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 20; j++) put(head(`room${j}:${i}`, `room${j}:${(i * 7 + 1) % 100}`));
  }
  put(head("r:é☃", "r:😀"));
  for (const letter of ["p", "h", "`", "8"]) put(head(`r:${letter}`, "r:a"));
  for (const length of [1000, 1005, 1006]) put(head("", "z".repeat(length - 4)));
  assertEquals(heads.size, 140 + 128 + 2000 + 1 + 4 + 3);
  assertTold(heads);
});

Deno.test("what is changed in more than one place, so that changes cancel out, has other numbers", () => {
  // Without keys, words of 32 bits that are multiplied in pairs could be swapped, or two pairs of them: from byte 16 on.
  const words = ["aaaa", "bbbb", "cccc", "dddd"];
  const twos = words.flatMap((one) => words.map((other) => one + other));
  const heads = new Set(twos.flatMap((one) => twos.map((other) => `["signal",     "${one}${other}","x",`)));
  assertEquals(heads.size, 256);
  assertTold(heads);
});

Deno.test("in another process the numbers are others", async () => {
  const text = '["signal","r:a","r:b",1]';
  const source = new URL("../../lib/protocol/json_array.ts", import.meta.url).href;
  const code = `const { numberHead, checkOfHead } = await import(${JSON.stringify(source)});
    console.log(numberHead(${JSON.stringify(text)}), checkOfHead());`;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", code] }).output();
  const [number, check] = new TextDecoder().decode(stdout).trim().split(" ").map(Number);
  assertEquals(Number.isInteger(number) && Number.isInteger(check), true);
  assert(number !== numberHead(text), `${number}`);
  assert(check !== checkOfHead(), `${check}`);
});

Deno.test("only an array of four has a number, and none with more than 1024 bytes in front of the fourth", () => {
  for (const text of ["[1,2,3]", "[1,2,3,4,5]", "[]", "", "[1,2,3,4", '{"a":[1,2,3,4]}', "[1,2,3,4]]"]) {
    assertEquals(numberHead(text), -1, text);
  }
  assertEquals(numberHead("[1,2,3,4]") >= 0, true);
  for (const [length, has] of [[1023, true], [1024, true], [1025, false], [70_000, false]] as const) {
    const start = '["signal","","';
    const text = `${start}${"x".repeat(length - start.length - 1)}",1]`;
    assertEquals(text.indexOf(",1]"), length);
    assertEquals(numberHead(text) >= 0, has, `${length} bytes`);
  }
});
