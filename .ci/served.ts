/**
 * Builds what the server serves and what is not served as it stands: the client library (one minified module, the part
 * of it that is loaded on demand, its types) and the script of the page at `/`. Run it where `deno.json` is; the result
 * is kept in the repository, so that no one who runs the server needs a build.
 *
 *     deno run -A .ci/served.ts [DIRECTORY]
 */

const MIT = "// SPDX-License-Identifier: MIT\n";
const AGPL = "// SPDX-License-Identifier: AGPL-3.0-or-later\n";

/** All that is built, each where it is kept. */
export const FILES = [
  "lib/client/served/client.js",
  "lib/client/served/client.diagnose.js",
  "lib/client/served/client.d.ts",
  "lib/http/page/page.js",
];

async function build(directory: string): Promise<void> {
  const client = await bundle("lib/client/mod.ts", "--code-splitting", "--declaration");
  const part = Object.keys(client).find((name) => /^diagnose-\w+\.js$/.test(name));
  if (part === undefined) throw new Error("the part that is loaded on demand was not split off");
  const page = await bundle("lib/http/page/page.ts");
  const texts = [
    MIT + client["mod.js"]!.replaceAll(part, "client.diagnose.js"),
    MIT + client[part],
    MIT + await tidy(client["mod.d.ts"]!),
    AGPL + page["page.js"],
  ];
  for (const [i, file] of FILES.entries()) {
    await Deno.mkdir(`${directory}/${file}/..`.replace(/[^/]+\/\.\.$/, ""), { recursive: true });
    await Deno.writeTextFile(`${directory}/${file}`, texts[i]!);
  }
}

/** Texts by the names that the bundler gives them. */
async function bundle(entry: string, ...flags: string[]): Promise<Record<string, string>> {
  const work = await Deno.makeTempDir();
  try {
    const args = [
      "bundle",
      "--quiet",
      "--minify",
      "--platform=browser",
      "--format=esm",
      ...flags,
      `--outdir=${work}`,
      entry,
    ];
    const { success } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn().status;
    if (!success) throw new Error(`${entry} can't be bundled: see above`);
    const names = [...Deno.readDirSync(work)].map(({ name }) => name);
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await Deno.readTextFile(`${work}/${name}`)])),
    );
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/**
 * The bundler puts the types of all modules into one file, with a few imports of modules that are in it by then, and
 * exports them all: here only what the library exports.
 */
async function tidy(types: string): Promise<string> {
  const index = await Deno.readTextFile("lib/client/mod.ts");
  const names = new Set(
    [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list!.match(/\w+/g)),
  );
  return types
    .replaceAll(/^import .* from "\.\/.*";\n|^export \{\};\n/gm, "")
    .replaceAll(/^export ((?:declare )?(?:\w+) (\w+))/gm, (all, rest, name) => names.has(name) ? all : rest) +
    "export {};\n";
}

if (import.meta.main) await build(Deno.args[0] ?? ".");
