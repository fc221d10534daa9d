/**
 * Builds the npm package of the client library: JavaScript, types, licence. Run it where `deno.json` is:
 *
 *     deno run -A .ci/npm.ts DIRECTORY
 */

import manifest from "../lib/client/deno.json" with { type: "json" };

/** The name of the file that is made. */
export const TARBALL = `${manifest.name.replace("@", "").replace("/", "-")}-${manifest.version}.tgz`;

async function pack(directory: string): Promise<void> {
  const output = `${await Deno.realPath(directory)}/${TARBALL}`;
  // Whether what is packed is committed is asked by whoever publishes it.
  const args = ["pack", "--quiet", "--allow-dirty", `--output=${output}`];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: "lib/client",
    stdin: "null",
  }).output();
  const said = new TextDecoder().decode(stderr);
  // It goes on without types where it can't find out some.
  if (!success || said.includes("Could not generate types")) throw new Error(said);
  console.log(output);
}

if (import.meta.main) await pack(Deno.args[0] ?? "dist");
