/**
 * Tests that need a part which not every machine has: a program, a privilege. Where it is missing they are skipped
 * and their name says why; with CI=true they fail instead, so that nothing is left out there unnoticed.
 */

/** The directories of PATH and those where programs for root, and systemd itself, are, which PATH may leave out. */
const DIRECTORIES = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin", "/lib/systemd"];

/** The full path of a program, or undefined where it isn't installed. */
export function findBinary(name: string): string | undefined {
  return DIRECTORIES.map((directory) => `${directory}/${name}`).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

export function hasBinary(name: string): boolean {
  return findBinary(name) !== undefined;
}

/** Which of these programs are missing, in words; undefined where none is. */
export function missingBinaries(...names: string[]): string | undefined {
  const missing = names.filter((name) => !hasBinary(name));
  return missing.length === 0 ? undefined : `${missing.join(" and ")} not installed`;
}

/**
 * Registers a test.
 *
 * @param missing why the test cannot run on this machine; undefined where it can
 */
export function testWith(
  missing: string | undefined,
  name: string,
  test: (context: Deno.TestContext) => Promise<void> | void,
): void {
  if (missing === undefined) return Deno.test(name, test);
  if (Deno.env.get("CI") === "true") {
    return Deno.test(name, () => {
      throw new Error(`this test must run in CI, but: ${missing}`);
    });
  }
  Deno.test({ name: `${name} (skipped: ${missing})`, ignore: true, fn: test });
}
