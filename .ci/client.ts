/**
 * Builds what the server serves of the client library: one minified module, the part of it that is loaded on demand,
 * and its types. Run it where `deno.json` is; the result is kept in the repository, so that no one who runs the server
 * needs a build.
 *
 *     deno run -A .ci/client.ts [DIRECTORY]
 */

/** Where the server takes them from. */
export const SERVED = "lib/client/served";

/** The names under which they are served. */
export const FILES = ["client.js", "client.diagnose.js", "client.d.ts"];

const BANNER = "// SPDX-License-Identifier: MIT\n";

async function build(directory: string): Promise<void> {
  const work = await Deno.makeTempDir();
  try {
    const args = [
      "bundle",
      "--quiet",
      "--minify",
      "--platform=browser",
      "--format=esm",
      "--code-splitting",
      "--declaration",
    ];
    const command = new Deno.Command(Deno.execPath(), {
      args: [...args, `--outdir=${work}`, "lib/client/mod.ts"],
      stdin: "null",
    });
    const { success } = await command.spawn().status;
    if (!success) throw new Error("the client can't be bundled: see above");
    const part = [...Deno.readDirSync(work)].map(({ name }) => name).find((name) =>
      /^diagnose-\w+\.js$/.test(name)
    );
    if (part === undefined) throw new Error("the part that is loaded on demand was not split off");
    const [main, diagnose, types] = await Promise.all(
      ["mod.js", part, "mod.d.ts"].map((name) => Deno.readTextFile(`${work}/${name}`)),
    );
    await Deno.mkdir(directory, { recursive: true });
    const files = [main!.replaceAll(part, "client.diagnose.js"), diagnose!, await tidy(types!)];
    await Promise.all(FILES.map((name, i) => Deno.writeTextFile(`${directory}/${name}`, BANNER + files[i])));
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

if (import.meta.main) await build(Deno.args[0] ?? SERVED);
