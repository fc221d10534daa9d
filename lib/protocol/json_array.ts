/** A look at a JSON text that builds no values: see `json_array.as.ts`, the source of the module imported here. */

import { elements, head, memory } from "./json_array.wasm";

/** Where the text has to be; see the module's source. */
const TEXT = 131_072;
/** Where the second number is, and behind it random bytes. */
const CHECK = 0;
const KEYS = { at: 8, bytes: 32 + 128 * 32 };
/** Behind a text the scanner reads up to 16 bytes further. */
const SLACK_BYTES = 16;
const PAGE_BYTES = 65_536;

const textArea = () => new Uint8Array(memory.buffer, TEXT, memory.buffer.byteLength - TEXT - SLACK_BYTES);
const checkArea = () => new Int32Array(memory.buffer, CHECK, 1);
let area = textArea();
let check = checkArea();
crypto.getRandomValues(new Uint8Array(memory.buffer, KEYS.at, KEYS.bytes));
const encoder = new TextEncoder();

/**
 * How many elements the JSON array `text` has. -1 where the text is anything else, and also where it nests deeper
 * than 65 535 levels.
 */
export function countElements(text: string): number {
  return elements(put(text));
}

/**
 * Of an array of four: a number below 2^30 for what `text` has in front of the fourth element. -1 of anything else, and
 * where that has more than 1024 bytes.
 *
 * Texts that are equal so far have the same number, and the same `checkOfHead` right behind it. Others have both in
 * common with a probability of 2^-60, even where somebody looks for such texts: the numbers of another process are
 * others.
 */
export function numberHead(text: string): number {
  return head(put(text));
}

/** A second number, likewise, of the text that `numberHead` had one for last. */
export function checkOfHead(): number {
  return check[0]!;
}

/** Returns the text's length in bytes. */
function put(text: string): number {
  let { read, written } = encoder.encodeInto(text, area);
  if (read < text.length) {
    // Only where messages may be larger than by default.
    memory.grow(Math.ceil((text.length * 3 - area.length) / PAGE_BYTES));
    area = textArea();
    check = checkArea();
    ({ read, written } = encoder.encodeInto(text, area));
  }
  return written;
}
