/** A room of lib imports only from lower rooms, so that data and knowledge flow one way. */

import { assert, assertEquals } from "../kit/assert.ts";

const ROOT = new URL("../../", import.meta.url);
const IMPORT = /\b(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g;

/** The rooms from the top down, as the table in CONTRIBUTING.md has them: those of a row may not import each other. */
async function rows(): Promise<string[][]> {
  const text = await Deno.readTextFile(new URL(".github/CONTRIBUTING.md", ROOT));
  const [, table] = /^\| rooms .*\n\|[- |]+\n((?:\|.*\n)+)/m.exec(text) ?? [];
  assert(table !== undefined, "CONTRIBUTING.md has no table of rooms");
  return table.trim().split("\n").map((row) =>
    [...row.split("|")[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
  );
}

function sources(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}${name}/`) : [`${folder}${name}`]
  ).filter((file) => file.endsWith(".ts"));
}

const files = ["main.ts", ...sources("lib/")];

/** `lib/http/page.ts` stands in the room `http`; `main.ts` and `lib/service.ts` are rooms of their own. */
function roomOf(path: string): string {
  return /^lib\/(\w+)\//.exec(path)?.[1] ?? path.replace(/^lib\//, "");
}

Deno.test("no import climbs: a room imports lower rooms only", async () => {
  const table = await rows();
  const rowOf = (room: string) => table.findIndex((row) => row.includes(room));
  const rooms = new Set(files.map(roomOf));
  assertEquals([...rooms].filter((room) => rowOf(room) === -1), [], "rooms that the table lacks");
  assertEquals(table.flat().filter((room) => !rooms.has(room)), [], "rooms of the table that are not there");

  let arrows = 0;
  for (const file of files) {
    const text = await Deno.readTextFile(new URL(file, ROOT));
    for (const [, specifier] of text.matchAll(IMPORT)) {
      const target = new URL(specifier!, new URL(file, ROOT)).href.slice(ROOT.href.length);
      const [from, to] = [roomOf(file), roomOf(target)];
      if (from === to || target === "deno.json" || target.endsWith(".md")) continue;
      assert(rowOf(to) > rowOf(from), `${file} imports ${target}, which is no lower room`);
      arrows++;
    }
  }
  assert(arrows > 30, `only ${arrows} imports between rooms were found: is the pattern still right?`);
});

Deno.test("nothing stands at the top but what the design names", async () => {
  const { success, stdout } = await new Deno.Command("git", { args: ["ls-files"], cwd: ROOT, stderr: "null" })
    .output()
    .catch(() => ({ success: false, stdout: new Uint8Array() }));
  // Without git, or its history, as in an archive: what there is.
  const files = success
    ? new TextDecoder().decode(stdout).trim().split("\n").map((file) => file.split("/")[0]!)
    : ["main.ts"];
  const named = ["Dockerfile", "LICENSE", "README.md", "deno.json", "deno.lock", "lib", "main.ts", "tests"];
  assertEquals([...new Set(files)].filter((name) => !name.startsWith(".") && !named.includes(name)), []);
});

Deno.test("one file stands at the top of lib", () => {
  assertEquals(files.filter((file) => /^lib\/[^/]+$/.test(file)), ["lib/service.ts"]);
});

Deno.test("one file knows the logging library", async () => {
  const knowing = [];
  for (const file of files) {
    if ((await Deno.readTextFile(new URL(file, ROOT))).includes("@logtape/")) knowing.push(file);
  }
  assertEquals(knowing, ["lib/runtime/log.ts"]);
});
