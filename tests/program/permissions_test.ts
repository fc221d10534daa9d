/** The permissions of `deno task start` are enough, and none of them can be done without. */

import { OPTIONS, VARIABLES } from "../../lib/config/options.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { meetInRoom, TestClient } from "../kit/client.ts";
import { type Output, serverProcess, startFlags } from "../kit/server.ts";

/** A text that no option takes for a value. */
const NO_VALUE = "  ";

async function run(args: readonly string[], env: Record<string, string>, flags: string[]): Promise<Output> {
  await using program = await serverProcess(args, env, flags);
  return await program.output;
}

/** The flag that lists the variables, split: `--allow-env` and their names. */
async function variablePatterns(): Promise<string[]> {
  const flag = (await startFlags()).find((flag) => flag.startsWith("--allow-env="));
  assert(flag !== undefined, "all variables, or none, may be read");
  return flag.slice("--allow-env=".length).split(",");
}

function matches(pattern: string, variable: string): boolean {
  return pattern.endsWith("*") ? variable.startsWith(pattern.slice(0, -1)) : variable === pattern;
}

Deno.test("The flags are: no questions, the network with this machine's addresses, the program's own variables", async () => {
  const names = (await startFlags()).map((flag) => flag.split("=")[0]);
  assertEquals(names.toSorted(), ["--allow-env", "--allow-net", "--allow-sys", "--no-prompt"]);
});

Deno.test("README names the same flags", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const commands = readme.replaceAll(" \\\n  ", " ");
  assertStringIncludes(commands, `\ndeno run ${(await startFlags()).join(" ")} main.ts\n`);
});

Deno.test("With exactly these flags the server does its work", async () => {
  await using server = await serverProcess([], { PORT: "0", SIGNAL_HOST: "127.0.0.1" });
  const url = `127.0.0.1:${await server.port}`;
  using alice = await TestClient.openV3(`ws://${url}`);
  using bob = await TestClient.open(`ws://${url}`);
  await meetInRoom(alice, bob);
  assertStringIncludes(await (await fetch(`http://${url}/`)).text(), `ws://${url}`);
  assertEquals((await (await fetch(`http://${url}/healthz`)).json()).sockets, 2);
  server.kill("SIGTERM");
  const { code, stderr } = await server.output;
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
});

Deno.test("Every variable of the table may be read, and no pattern is there for none of them", async (t) => {
  const patterns = await variablePatterns();
  for (const pattern of patterns) {
    assert(VARIABLES.some((variable) => matches(pattern, variable)), `nothing needs ${pattern}`);
  }
  const flags = await startFlags();
  await Promise.all(
    Object.values(OPTIONS).map(({ env }) =>
      t.step({
        name: env,
        async fn() {
          const output = await run(["--version"], { [env]: NO_VALUE }, flags);
          assertEquals(output.code, 2);
          assertMatch(output.stderr, new RegExp(`^signal: ${env}\\b.*\\n$`));
        },
        // They run at the same time.
        sanitizeOps: false,
        sanitizeResources: false,
        sanitizeExit: false,
      })
    ),
  );
});

Deno.test("Without the permission to listen the server ends and says which flag it needs", async () => {
  const flags = (await startFlags()).filter((flag) => !flag.startsWith("--allow-net"));
  const { code, stdout, stderr } = await run(["--host", "127.0.0.1", "--port", "0"], {}, flags);
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertMatch(stderr, /^signal: .*--host 127\.0\.0\.1 --port 0.*--allow-net\.\n$/);
});

Deno.test("A variable that may not be read is passed over in silence", async (t) => {
  const patterns = await variablePatterns();
  const others = (await startFlags()).filter((flag) => !flag.startsWith("--allow-env"));
  for (const pattern of patterns) {
    await t.step(`without ${pattern}`, async () => {
      const kept = patterns.filter((other) => other !== pattern);
      const env = Object.fromEntries(
        VARIABLES.filter((variable) => matches(pattern, variable)).map((variable) => [variable, NO_VALUE]),
      );
      const { code, stderr } = await run(["--version"], env, [...others, `--allow-env=${kept.join(",")}`]);
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
    });
  }
});
