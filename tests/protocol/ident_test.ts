import { assert, assertEquals, assertMatch } from "../kit/assert.ts";
import { freshIdent } from "../../lib/protocol/ident.ts";

Deno.test("idents are fresh and of the form that clients know", () => {
  const idents = Array.from({ length: 10_000 }, freshIdent);
  for (const ident of idents) assertMatch(ident, /^[a-z]{12,23}$/);
  assertEquals(new Set(idents).size, idents.length);
});

Deno.test("no letter is likelier than another", () => {
  const counts = new Map<string, number>();
  let letters = 0;
  while (letters < 520_000) {
    for (const letter of freshIdent()) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
      letters++;
    }
  }
  const expected = letters / 26;
  const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 25 degrees of freedom: a fair source exceeds 75 once in a million runs. Bytes modulo 26, which favour the
  // first 22 letters by a tenth, come to several hundred.
  assert(counts.size === 26 && chiSquare < 75, `chi-square ${chiSquare}`);
});
