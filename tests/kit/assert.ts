/**
 * The assertions of the Deno standard library, with their types: the npm package that carries them has none.
 */

// @ts-types="./assert.d.ts"
export {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
