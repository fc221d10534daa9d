/** A file imports only from rows below its own, so that data and knowledge flow one way. */

import { assert, assertEquals } from "./assert.ts";

/** From the bottom up; a file of the project that stands nowhere here fails the test. */
const ROWS: readonly (readonly string[])[] = [
  [
    "deno.json",
    "lib/codes.ts",
    "lib/flags.ts",
    "lib/http/page.html",
    "lib/limits.ts",
    "lib/listener.ts",
    "lib/log.ts",
    "lib/process.ts",
    "lib/protocol/ident.ts",
    "lib/protocol/json_array.as.ts",
    "lib/protocol/json_array.wasm",
    "lib/source_rates.ts",
    "lib/tally.ts",
  ],
  ["lib/http/page.ts", "lib/ice/stun.ts", "lib/ice/turn.ts", "lib/protocol/json_array.ts"],
  [
    "lib/admission.ts",
    "lib/client_address.ts",
    "lib/http/responses.ts",
    "lib/ice/offers.ts",
    "lib/ice/server.ts",
    "lib/origin.ts",
    "lib/protocol/codec.ts",
    "lib/rooms/store.ts",
  ],
  ["lib/outbox.ts", "lib/rooms/memory.ts"],
  ["lib/session.ts"],
  ["lib/hub.ts"],
  ["lib/http/handshake.ts", "lib/http/healthcheck.ts", "lib/http/ice.ts"],
  ["lib/http/routes.ts"],
  ["lib/config.ts"],
  ["lib/failures.ts", "lib/ice/service.ts"],
  ["lib/service.ts"],
  ["main.ts"],
];

const ROOT = new URL("../", import.meta.url);
const IMPORT = /\b(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g;

function sources(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}${name}/`) : [`${folder}${name}`]
  );
}

const rowOf = (path: string) => ROWS.findIndex((row) => row.includes(path));

Deno.test("no import points up or sideways", async () => {
  const files = [...sources("lib/"), "main.ts"];
  assertEquals(files.filter((file) => rowOf(file) === -1), [], "files without a row");
  const stale = ROWS.flat().filter((path) => path !== "deno.json" && !files.includes(path));
  assertEquals(stale, [], "rows without a file");

  let imports = 0;
  for (const file of files.filter((file) => file.endsWith(".ts"))) {
    const text = await Deno.readTextFile(new URL(file, ROOT));
    for (const [, specifier] of text.matchAll(IMPORT)) {
      const target = new URL(specifier, new URL(file, ROOT)).href.slice(ROOT.href.length);
      assert(rowOf(target) !== -1, `${file} imports ${target}, which has no row`);
      assert(rowOf(target) < rowOf(file), `${file} imports ${target}, which is not below it`);
      imports++;
    }
  }
  assert(imports > 30, `only ${imports} imports were found: is the pattern still right?`);
});

Deno.test("one file knows the logging library", async () => {
  const knowing = [];
  for (const file of [...sources("lib/"), "main.ts"].filter((file) => file.endsWith(".ts"))) {
    if ((await Deno.readTextFile(new URL(file, ROOT))).includes("@logtape/")) knowing.push(file);
  }
  assertEquals(knowing, ["lib/log.ts"]);
});
