import { assertEquals } from "../kit/assert.ts";
import { Tally } from "../../lib/runtime/tally.ts";

Deno.test("counts come with the most frequent first, and begin anew after each flush", () => {
  const tally = new Tally();
  assertEquals(tally.flush(), undefined);
  for (const what of ["origin", "flood", "flood"]) tally.count(what);
  assertEquals(JSON.stringify(tally.flush()), '{"flood":2,"origin":1}');
  assertEquals(tally.flush(), undefined);
  tally.count("origin");
  assertEquals(tally.flush(), { origin: 1 });
});
