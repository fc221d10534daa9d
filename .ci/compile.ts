/**
 * Builds the executables of a release, with the permissions of `deno task start` baked in. Run it where
 * `deno.json` is:
 *
 *     deno run -A .ci/compile.ts DIRECTORY [PLATFORM ... | all]
 *
 * Writes `signal-PLATFORM` for each platform (none named: this one) and, over all of them, `SHA256SUMS` in the
 * format that `sha256sum --check` reads.
 */

import manifest from "../deno.json" with { type: "json" };
import { SYSTEMD_VARIABLES } from "../lib/runtime/systemd.ts";

/** Deno's name for each platform that there is an executable for, by ours. */
export const TARGETS: Readonly<Record<string, string>> = {
  "linux-x64": "x86_64-unknown-linux-gnu",
  "linux-arm64": "aarch64-unknown-linux-gnu",
  "macos-x64": "x86_64-apple-darwin",
  "macos-arm64": "aarch64-apple-darwin",
  "windows-x64": "x86_64-pc-windows-msvc",
};

/** What it takes to tell systemd how a service of the name `signal` is. */
const SYSTEMD = [
  `--allow-env=${SYSTEMD_VARIABLES.join(",")}`,
  "--allow-write=/run/systemd/notify,/run/signal",
];

/**
 * The permissions of `deno task start`, and that to read: who knows where the files that options name will be.
 */
function permissions(platform: string): string[] {
  const flags = /^deno run (.*) main\.ts$/.exec(manifest.tasks.start.command)?.[1];
  if (flags === undefined) throw new Error("the task 'start' is not of the form: deno run FLAGS main.ts");
  return [
    ...flags.split(" "),
    "--allow-read",
    ...platform.startsWith("linux") ? SYSTEMD : [],
  ];
}

/**
 * Tests that a package brings along: of no use here, and one of the files makes Deno 2.9.6 overflow its stack when it
 * compiles.
 */
const FOREIGN_TESTS = ["bintrees/1.0.2/test"];

/** The arguments of the `deno` that compiles for one platform. `npmCache`: where it has the files of packages. */
export function compileArguments(platform: string, output: string, npmCache: string): string[] {
  return [
    "compile",
    "--frozen",
    // Else everything that only the tests need would be in it as well.
    "--exclude-unused-npm",
    ...FOREIGN_TESTS.map((path) => `--exclude=${npmCache}/registry.npmjs.org/${path}`),
    ...permissions(platform),
    `--target=${TARGETS[platform]}`,
    `--output=${output}`,
    "main.ts",
  ];
}

/** The name of a platform's executable. */
export function executable(platform: string): string {
  return `signal-${platform}${platform.startsWith("windows") ? ".exe" : ""}`;
}

async function npmCache(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).npmCache;
}

async function compile(platforms: readonly string[], directory: string): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  const cache = await npmCache();
  let sums = "";
  for (const platform of platforms) {
    const name = executable(platform);
    const args = compileArguments(platform, `${directory}/${name}`, cache);
    const { success } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn().status;
    if (!success) throw new Error(`there is no executable for ${platform}: see above`);
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(`${directory}/${name}`));
    sums += `${new Uint8Array(digest).toHex()}  ${name}\n`;
  }
  await Deno.writeTextFile(`${directory}/SHA256SUMS`, sums);
}

/** Which platforms the command line names. Throws where it names one that isn't known. */
function choose(names: readonly string[]): string[] {
  const known = Object.keys(TARGETS);
  if (names.includes("all")) return known;
  const chosen = names.length > 0
    ? [...names]
    : known.filter((platform) => TARGETS[platform] === Deno.build.target);
  const unknown = chosen.find((name) => !known.includes(name));
  if (chosen.length === 0 || unknown !== undefined) {
    throw new Error(`${unknown ?? Deno.build.target} is none of: ${known.join(", ")}`);
  }
  return chosen;
}

if (import.meta.main) {
  const [directory, ...names] = Deno.args;
  if (directory === undefined) throw new Error("usage: compile.ts DIRECTORY [PLATFORM ... | all]");
  await compile(choose(names), directory);
}
