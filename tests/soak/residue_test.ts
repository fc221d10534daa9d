import { assert, assertEquals, assertLess } from "../kit/assert.ts";
import type { Residue } from "./cycles.ts";

const EARLY = 2000;
const LATE = 12_000;

Deno.test(`${LATE - EARLY} cycles of connect, join, signal, close leave nothing behind`, async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--v8-flags=--expose-gc",
      "tests/soak/cycles.ts",
      String(EARLY),
      String(LATE),
    ],
    cwd: new URL("../../", import.meta.url),
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const [early, late]: Residue[] = JSON.parse(new TextDecoder().decode(stdout));
  for (const { sockets, rooms, addresses, clients } of [early!, late!]) {
    assertEquals([sockets, rooms, addresses, clients], [0, 0, 0, 0]);
  }
  for (const what of ["heap", "external"] as const) {
    const perCycle = (late![what] - early![what]) / (late!.cycles - early!.cycles);
    // One forgotten map entry or listener a cycle comes to a hundred bytes and more.
    assertLess(perCycle, 30, `${what} grew by ${perCycle} bytes a cycle: ${JSON.stringify([early, late])}`);
  }
});
