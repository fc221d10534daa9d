/**
 * The JSON grammar of RFC 8259 over UTF-8 bytes in linear memory, as one pass that allocates nothing.
 *
 * This file is AssemblyScript, not TypeScript: `deno task wasm` turns it into `json_array.wasm`, and a test
 * builds it again to see that the two agree. It exists because `JSON.parse`, used only to learn that a text
 * is valid, costs a relayed signal as much as everything else that we do to it: it builds every string
 * that nobody reads. Inside strings, where an offer spends nearly all its bytes, this looks at 16 bytes at once.
 *
 * It says no to a valid text that nests too deep. It never says yes to an invalid one.
 *
 * Memory: what `head` needs, one byte for each level that is open, then the text.
 */

const QUOTE: i32 = 0x22;
const BACKSLASH: i32 = 0x5c;
const COMMA: i32 = 0x2c;
const COLON: i32 = 0x3a;
const BRACKET: i32 = 0x5b;
const BRACKET_END: i32 = 0x5d;
const BRACE: i32 = 0x7b;
const BRACE_END: i32 = 0x7d;

/** A byte for each level, which is 1 where that is an object; the first is not used. */
const LEVELS: i32 = 65536;
const TEXT: i32 = 131072;
const MAX_DEPTH: i32 = TEXT - LEVELS - 1;

/** The second number of `head`. */
const CHECK: i32 = 0;
/** Of each of the two numbers of `head` one, and one for the length; then four for each 8 bytes. */
const KEYS: i32 = 8;
const BLOCK_KEYS: i32 = KEYS + 32;
const MAX_HEAD: i32 = 1024;

function at(i: i32): i32 {
  return load<u8>(i);
}

function isDigit(c: i32): bool {
  return u32(c - 0x30) < 10;
}

function skipSpace(i: i32): i32 {
  let c = at(i);
  while (c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09) c = at(++i);
  return i;
}

function skipDigits(i: i32): i32 {
  if (!isDigit(at(i))) return -1;
  do i++; while (isDigit(at(i)));
  return i;
}

/** `i`: behind the opening quote. Returns the place behind the closing one, or -1. */
function skipString(i: i32): i32 {
  while (true) {
    const block = v128.load(i);
    const stops = i8x16.bitmask(
      v128.or(
        v128.or(i8x16.eq(block, i8x16.splat(0x22)), i8x16.eq(block, i8x16.splat(0x5c))),
        // Below 0x20, in a way for which processors have one instruction.
        i8x16.eq(i8x16.min_u(block, i8x16.splat(0x1f)), block),
      ),
    );
    if (stops == 0) {
      i += 16;
      continue;
    }
    i += ctz(stops);
    // The line end of an SDP: \\r\\n, as a little-endian number.
    if (load<u32>(i) == 0x6e5c725c) {
      i += 4;
      continue;
    }
    while (at(i) == BACKSLASH) {
      const escaped = at(i + 1);
      if (escaped == 0x75) {
        for (let k = i + 2; k < i + 6; k++) {
          const digit = at(k);
          if (!isDigit(digit) && u32((digit | 0x20) - 0x61) > 5) return -1;
        }
        i += 6;
      } else if (
        escaped == 0x6e || escaped == 0x72 || escaped == 0x74 || escaped == 0x62 || escaped == 0x66 ||
        escaped == QUOTE || escaped == BACKSLASH || escaped == 0x2f
      ) {
        i += 2;
      } else {
        return -1;
      }
    }
    const c = at(i);
    if (c == QUOTE) return i + 1;
    if (c < 0x20) return -1;
  }
}

/** `i`: at the key of an object's member. Returns the place of its value, or -1. */
function skipKey(i: i32): i32 {
  if (at(i) != QUOTE) return -1;
  i = skipString(i + 1);
  if (i < 0) return -1;
  i = skipSpace(i);
  if (at(i) != COLON) return -1;
  return skipSpace(i + 1);
}

function skipNumber(i: i32): i32 {
  if (at(i) == 0x2d) i++;
  if (at(i) == 0x30) i++;
  else i = skipDigits(i);
  if (i > 0 && at(i) == 0x2e) i = skipDigits(i + 1);
  if (i > 0 && (at(i) | 0x20) == 0x65) {
    i++;
    if (at(i) == 0x2b || at(i) == 0x2d) i++;
    i = skipDigits(i);
  }
  return i;
}

/** Anything but an array or an object. */
function skipScalar(i: i32): i32 {
  const c = at(i);
  if (c == QUOTE) return skipString(i + 1);
  // The words as little-endian 32-bit numbers: true, null, alse.
  if (c == 0x74) return load<u32>(i) == 0x65757274 ? i + 4 : -1;
  if (c == 0x6e) return load<u32>(i) == 0x6c6c756e ? i + 4 : -1;
  if (c == 0x66) return load<u32>(i + 1) == 0x65736c61 ? i + 5 : -1;
  return skipNumber(i);
}

/** Behind the third element of the array that was looked at last, where it has more. */
let third: i32 = TEXT;

/**
 * How many elements the array has that `length` bytes of memory from 131072 on hold as JSON; -1 where they hold
 * anything else, or nest deeper than 65535 levels. Needs 16 bytes of memory behind the text, whatever is in them.
 */
export function elements(length: i32): i32 {
  // A control character behind the end stops every loop there: none has to compare with `length`.
  const end = TEXT + length;
  store<u8>(end, 0);
  let i = skipSpace(TEXT);
  if (at(i) != BRACKET) return -1;
  i = skipSpace(i + 1);
  if (at(i) == BRACKET_END) return skipSpace(i + 1) == end ? 0 : -1;

  let count = 1;
  let depth = 1;
  let isObject = false;
  store<u8>(LEVELS + depth, 0);
  while (true) {
    const c = at(i);
    if (c == BRACE || c == BRACKET) {
      i = skipSpace(i + 1);
      if (at(i) == (c == BRACE ? BRACE_END : BRACKET_END)) {
        i++;
      } else {
        if (depth == MAX_DEPTH) return -1;
        isObject = c == BRACE;
        store<u8>(LEVELS + ++depth, u8(isObject));
        if (isObject) {
          i = skipKey(i);
          if (i < 0) return -1;
        }
        continue;
      }
    } else {
      i = skipScalar(i);
      if (i < 0) return -1;
    }

    // A value has ended: close levels until another value is due.
    i = skipSpace(i);
    while (at(i) != COMMA) {
      if (at(i) != (isObject ? BRACE_END : BRACKET_END)) return -1;
      i = skipSpace(i + 1);
      if (--depth == 0) return i == end ? count : -1;
      isObject = load<u8>(LEVELS + depth) != 0;
    }
    if (depth == 1) {
      if (count == 3) third = i;
      count++;
    }
    i = skipSpace(i + 1);
    if (isObject) {
      i = skipKey(i);
      if (i < 0) return -1;
    }
  }
}

/**
 * Where `elements` is four, and what stands in front of the fourth has at most 1024 bytes: two numbers below 2^30 for
 * that, the second of which is in memory at 0. Else -1.
 *
 * Texts that differ have both numbers in common with a probability of 2^-60, whoever made them, as long as nobody knows
 * the keys: from 8 to 8 + 32 + 128 * 32 memory holds random bytes, put there once. The family of functions is
 * strongly universal: "Multilinear-HM" in Lemire and Kaser, Strongly universal string hashing is fast, 2014.
 */
export function head(length: i32): i32 {
  if (elements(length) != 4) return -1;
  const size = third - TEXT;
  if (size > MAX_HEAD) return -1;
  let one = load<u64>(KEYS) + load<u64>(KEYS, 8) * u64(size);
  let other = load<u64>(KEYS, 16) + load<u64>(KEYS, 24) * u64(size);
  // The last 8 bytes, some of them once more; of a text of fewer, with something that stands in front of it.
  const last = third - 8;
  let key = BLOCK_KEYS;
  for (let i = TEXT;; i += 8, key += 32) {
    if (i > last) i = last;
    const a: u64 = load<u32>(i);
    const b: u64 = load<u32>(i, 4);
    one += (a + load<u64>(key)) * (b + load<u64>(key, 8));
    other += (a + load<u64>(key, 16)) * (b + load<u64>(key, 24));
    if (i == last) break;
  }
  store<i32>(CHECK, i32(other >>> 34));
  return i32(one >>> 34);
}
