/** What is shipped: the executables, the container image, the release, and the one command that checks it all. */

import { compileArguments, executable, TARGETS } from "../../.ci/compile.ts";
import manifest from "../../deno.json" with { type: "json" };
import { SYSTEMD_VARIABLES } from "../../lib/runtime/systemd.ts";
import { OPTIONS, SWITCHES } from "../../lib/config/options.ts";
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { startFlags } from "../kit/server.ts";

const ROOT = new URL("../../", import.meta.url);

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(new URL(path, ROOT)).then(() => true, () => false);
}

interface Outcome {
  readonly code: number;
  /** What it said on standard error and then on standard output, without colours. */
  readonly text: string;
}

async function run(program: string, args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stderr) + decoder.decode(stdout) };
}

/** This platform, if there is an executable for it. */
const platform = Object.keys(TARGETS).find((name) => TARGETS[name] === Deno.build.target);

/**
 * The runtime that an executable is made of. It has to be downloaded, which not every machine can; for all that is
 * looked at here Deno itself does as well. Such an executable is Deno and not the server, so it isn't run.
 */
const RUNTIME = Deno.env.get("DENORT_BIN") ?? Deno.execPath();

/** Finds a text in a file of many megabytes. */
function indexOf(bytes: Uint8Array, text: string): number {
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0]!); at !== -1; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

testWith(
  platform === undefined ? `there is no executable for ${Deno.build.target}` : missingBinaries("sha256sum"),
  "An executable holds the server and nothing else, and may do what 'deno task start' may, read files, and tell systemd how it is",
  async (t) => {
    const directory = await Deno.makeTempDir();
    const { code, text } = await run(Deno.execPath(), ["run", "-A", ".ci/compile.ts", directory], {
      DENORT_BIN: RUNTIME,
    });
    assertEquals(code, 0, text);
    const name = executable(platform!);
    const file = `${directory}/${name}`;

    await t.step("its checksum", async () => {
      assertEquals(
        await Deno.readTextFile(`${directory}/SHA256SUMS`).then((sums) => sums.split("\n").length),
        2,
      );
      const check = await new Deno.Command("sha256sum", { args: ["--check", "SHA256SUMS"], cwd: directory })
        .output();
      assertEquals(new TextDecoder().decode(check.stdout), `${name}: OK\n`);
    });

    await t.step("what is in it", () => {
      const embedded = text.slice(text.indexOf("Embedded Files"));
      // Packages come first, then what stands beside deno.json.
      const [modules] = embedded.split("deno.json");
      const packages = [...modules!.matchAll(/─ (\S+?)(?:\/\d[^/]*)?\/\* /g)].map(([, name]) => name);
      assertEquals(packages.toSorted(), [
        "@logtape/logtape",
        "@opentelemetry/api",
        "@prometheus-io/client",
        "@redis/client",
        "bintrees",
        "deno-std",
        "ipaddr.js",
        "jose",
        "marked",
        "tdigest",
      ]);
      for (const part of ["main.ts", "deno.json", "service.ts", "json_array.wasm"]) {
        assertStringIncludes(embedded, part);
      }
      assertEquals(/tests|wrtc|playwright|assemblyscript|binaryen|fast-check/.exec(embedded), null);
    });

    await t.step("its size and permissions", async () => {
      const bytes = await Deno.readFile(file);
      const { size } = await Deno.stat(RUNTIME);
      // Of which the library for the engine of several nodes is 5 MB.
      assertLess(bytes.length - size, 14 * 2 ** 20);
      const added = bytes.subarray(Math.max(0, size - 2 ** 20));
      assert(indexOf(added, "</html>") > 0, "the page is not in it");

      const at = indexOf(added, '"permissions":{');
      const json = new TextDecoder().decode(added.subarray(at, at + 4096)).replace(/^"permissions":/, "");
      const permissions: Record<string, unknown> = JSON.parse(json.slice(0, json.indexOf("}") + 1));
      const allowed = Object.entries(permissions)
        .filter(([name, value]) => name.startsWith("allow_") && name !== "allow_import" && value !== null);
      const variables = (await startFlags()).find((flag) => flag.startsWith("--allow-env="))!
        .slice("--allow-env=".length).split(",");
      const onLinux = platform!.startsWith("linux");
      assertEquals(Object.fromEntries(allowed), {
        allow_env: [...variables, ...onLinux ? SYSTEMD_VARIABLES : []],
        allow_net: [],
        allow_read: [],
        allow_sys: ["networkInterfaces", "systemMemoryInfo"],
        ...onLinux ? { allow_write: ["/run/systemd/notify", "/run/signal"] } : {},
      });
      assertEquals(permissions.prompt, false);
    });
    await Deno.remove(directory, { recursive: true });
  },
);

Deno.test("There are executables for five platforms, with the flags of 'deno task start'", async () => {
  const flags = [...await startFlags(), "--allow-read"];
  const names = ["signal-linux-x64", "signal-linux-arm64", "signal-macos-x64", "signal-macos-arm64"];
  assertEquals(Object.keys(TARGETS).map(executable), [...names, "signal-windows-x64.exe"]);
  for (const [platform, target] of Object.entries(TARGETS)) {
    const args = compileArguments(platform, "out", "cache");
    assertEquals(args.filter((arg) => flags.includes(arg)), flags);
    assertStringIncludes(args.join(" "), `--target=${target}`);
  }
  const { tasks } = manifest;
  assertEquals(tasks.compile.command, "deno run -A .ci/compile.ts dist");
  assertEquals(tasks["compile:all"].command, "deno run -A .ci/compile.ts dist all");
});

Deno.test("A platform that there is no executable for is refused", async () => {
  const { code, text } = await run(Deno.execPath(), ["run", "-A", ".ci/compile.ts", "unused", "plan9-x64"]);
  assertEquals(code, 1);
  assertStringIncludes(text, "plan9-x64 is none of: linux-x64, linux-arm64, ");
  assertEquals(await exists("unused"), false);
});

/** The instructions of the Dockerfile: their name and the rest. */
async function dockerfile(): Promise<[string, string][]> {
  const text = (await read("Dockerfile")).replace(/^#.*\n/gm, "").replace(/\\\n\s*/g, "");
  return text.split("\n").filter((line) => line !== "").map((line): [string, string] => {
    const [, name, rest] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
    assert(name !== undefined, line);
    return [name, rest!];
  });
}

Deno.test("The container image is built from what there is, and of little", async () => {
  const instructions = await dockerfile();
  const context = (await read(".dockerignore")).trim().split("\n");
  assertEquals(context.shift(), "*");
  assert(context.every((line) => line.startsWith("!")), "an allow-list");
  const sent = context.map((line) => line.slice(1));
  for (const path of sent) assert(await exists(path), `${path} in .dockerignore is not there`);

  const copied = instructions.filter(([name, rest]) => name === "COPY" && !rest.startsWith("--from="))
    .flatMap(([, rest]) => rest.split(" ").slice(0, -1));
  assertEquals(copied.toSorted(), sent.toSorted());
  // What compiling needs beyond the sources themselves.
  for (const path of ["deno.json", "deno.lock", ".ci/compile.ts"]) assert(copied.includes(path), path);
  for (const script of instructions.filter(([name]) => name === "RUN").map(([, rest]) => rest)) {
    const named = [...script.matchAll(/platform=([\w-]+)/g)].map(([, platform]) => platform!);
    assertEquals(named.filter((platform) => TARGETS[platform] === undefined), []);
    assertEquals(named.length, 2);
  }
});

Deno.test("The container runs the server as nobody in particular, and asks it how it is", async () => {
  const instructions = await dockerfile();
  const last = instructions.slice(instructions.findLastIndex(([name]) => name === "FROM"));
  const values = (name: string) => last.filter(([other]) => other === name).map(([, rest]) => rest);
  assertMatch(values("FROM").join(), /^gcr\.io\/distroless\/\S+:nonroot$/);
  assertMatch(values("USER").join(), /^[1-9]\d*:[1-9]\d*$/);
  const { default: port } = OPTIONS.port;
  assertEquals(values("EXPOSE"), [`${port}/tcp ${port}/udp`]);

  const entrypoint: string[] = JSON.parse(values("ENTRYPOINT").join());
  assertEquals(entrypoint.length, 1);
  assert(last.some(([name, rest]) => name === "COPY" && rest.endsWith(` ${entrypoint[0]}`)));
  const [, check] = /^(?:--\S+ )+CMD (.*)$/.exec(values("HEALTHCHECK").join()) ?? [];
  const [program, ...flags]: string[] = JSON.parse(check!);
  assertEquals([program, ...flags], [entrypoint[0], "--healthcheck"]);
  assert("healthcheck" in SWITCHES);
});

Deno.test("The image is built from all that the server consists of", async () => {
  const { text } = await run(Deno.execPath(), ["info", "--json", "main.ts"]);
  const root = ROOT.href;
  const { modules } = JSON.parse(text) as { modules: { specifier: string }[] };
  const files = modules.map(({ specifier }) => specifier).filter((url) => url.startsWith(root)).map((url) =>
    url.slice(root.length)
  );
  assert(files.length > 40, `only ${files.length} files: is this how they are listed?`);
  const copied = [...(await read("Dockerfile")).matchAll(/^COPY (?!--)(.*) \S+$/gm)].flatMap(([, names]) =>
    names!.split(" ")
  );
  const sent = (await read(".dockerignore")).split("\n").filter((line) => line.startsWith("!")).map((line) =>
    line.slice(1)
  );
  for (const file of files) {
    const within = (places: string[]) =>
      places.some((place) => file === place || file.startsWith(`${place}/`));
    assert(within(copied), `the Dockerfile copies no ${file}`);
    assert(within(sent), `.dockerignore leaves out ${file}`);
  }
});

Deno.test("One version of Deno is named, everywhere the same", async () => {
  const places = ["Dockerfile", "README.md", ".ci/run", ".github/workflows/release.yml"];
  const versions = new Set<string>();
  for (const place of places) {
    const named = [...(await read(place)).matchAll(/\bdeno[@:](\d[\w.]*)/g)].map(([, version]) => version);
    assert(named.length > 0, `${place} names none`);
    named.forEach((version) => versions.add(version!));
  }
  assertEquals(versions.size, 1, [...versions].join(" "));
});

Deno.test("The workflows trust nobody with more than they need", async () => {
  for (const name of ["test", "release"]) {
    const text = await read(`.github/workflows/${name}.yml`);
    assertMatch(text, /^permissions:\n {2}contents: read\n(?! )/m);
    for (const [, action] of text.matchAll(/\buses: (\S+)/g)) {
      if (action!.startsWith("./")) assert(await exists(action!), action);
      else assertMatch(action!, /@[0-9a-f]{40}$/);
    }
    for (const [, task] of text.matchAll(/\btask (\S+)/g)) assert(task! in manifest.tasks, task);
    for (const [, script] of text.matchAll(/\brun: (\.ci\/\S+)/g)) {
      const { mode } = await Deno.stat(new URL(script!, ROOT));
      assert(mode === null || (mode & 0o111) !== 0, `${script} can't be run`);
    }
  }
});

testWith(missingBinaries("bash"), "A release is refused whose tag isn't the version", async () => {
  assertEquals(await run("bash", [".ci/check-tag", `v${manifest.version}`]), { code: 0, text: "" });
  for (const tag of [manifest.version, `v${manifest.version}.1`, "v", ""]) {
    const { code, text } = await run("bash", [".ci/check-tag", tag]);
    assertEquals(code, 1);
    assertStringIncludes(text, `it should be v${manifest.version}`);
  }
});

/** Runs `.ci/run` with programs that only pretend: `npx` says and does what the test wants of lint and tests. */
async function pretend(
  { lint = 0, test = 0, says = "", installed = true, apt = 0 }: {
    lint?: number;
    test?: number;
    says?: string;
    installed?: boolean;
    apt?: number;
  },
): Promise<Outcome & { lastLine: string }> {
  const directory = await Deno.makeTempDir();
  const programs = {
    "npx": `[ "$*" = "-y deno@2.9.6 task lint" ] && exit ${lint}
      [ "$*" = "-y deno@2.9.6 task test" ] && [ "$CI" = true ] || exit 99
      printf '%s\\n' "$SAYS" >&2; exit ${test}`,
    "dpkg-query": installed ? "echo installed" : "exit 1",
    "apt-get": `echo "apt-get $*" >&2; exit ${apt}`,
  };
  for (const [name, script] of Object.entries(programs)) {
    await Deno.writeTextFile(`${directory}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const path = `${directory}:${Deno.env.get("PATH")}`;
  const outcome = await run("bash", [".ci/run"], { PATH: path, SAYS: says });
  await Deno.remove(directory, { recursive: true });
  return { ...outcome, lastLine: outcome.text.split("\n").at(-2) ?? "" };
}

testWith(
  missingBinaries("bash"),
  ".ci/run counts what Deno counts, and fails when anything fails",
  async (t) => {
    const good = "a ... ok\n\nok | 28 passed (137 steps) | 0 failed (1m2s)\n";
    const cases: Record<string, [Parameters<typeof pretend>[0], number, string]> = {
      "all is well": [{ says: good }, 0, "28 passed, 0 failed"],
      "a test failed": [
        { says: "FAILED | 27 passed (1 step) | 2 failed (3 steps) (1s)\n\nerror: Test failed", test: 1 },
        1,
        "27 passed, 2 failed",
      ],
      "a test was left out": [
        { says: "ok | 5 passed | 0 failed | 1 ignored (2ms)" },
        1,
        "5 passed, 0 failed",
      ],
      "only the count says so": [{ says: "FAILED | 1 passed | 1 failed (2ms)" }, 1, "1 passed, 1 failed"],
      "only the exit status says so": [{ says: good, test: 1 }, 1, "28 passed, 0 failed"],
      "lint failed": [{ says: good, lint: 1 }, 1, "28 passed, 0 failed"],
      "the tests did not begin": [{ says: "error: Type checking failed.", test: 1 }, 1, "0 passed, 1 failed"],
      "nothing could be installed": [{ says: good, installed: false, apt: 100 }, 1, "28 passed, 0 failed"],
    };
    for (const [name, [what, code, lastLine]] of Object.entries(cases)) {
      await t.step(name, async () => {
        const outcome = await pretend(what);
        assertEquals([outcome.code, outcome.lastLine], [code, lastLine], outcome.text);
      });
    }
    await t.step("what is missing is installed", async () => {
      const { code, text } = await pretend({ says: good, installed: false });
      assertEquals(code, 0, text);
      assertMatch(text, /apt-get install .*--no-install-recommends .*nginx-light/);
    });
    await t.step("what is there is not", async () => {
      assertEquals((await pretend({ says: good })).text.includes("apt-get"), false);
    });
  },
);
