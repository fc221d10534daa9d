/** What public docstrings show is true. */

import { assertEquals, assertGreater } from "../kit/assert.ts";

const ROOT = new URL("../../", import.meta.url);

function sources(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}${name}/`) : name.endsWith(".ts") ? [`${folder}${name}`] : []
  );
}

Deno.test("the examples in docstrings run", async () => {
  const example = /^ *\* ```ts$/gm;
  const files = sources("lib/").map((file) => ({
    file,
    count: Deno.readTextFileSync(new URL(file, ROOT)).match(example)?.length ?? 0,
  })).filter(({ count }) => count > 0);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    // Unchecked: what an example does not use of a module is imported all the same, and would be objected to.
    args: ["test", "--doc", "--no-check", "--no-lock", ...files.map(({ file }) => file)],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertEquals(code, 0, text);
  const passed = Number(/ok \| (\d+) passed/.exec(text)?.[1]);
  assertEquals(passed, files.reduce((sum, { count }) => sum + count, 0), text);
  assertGreater(passed, 4);
});
