/** A look at a JSON text that builds no values: see `json_array.as.ts`, the source of the module imported here. */

import { elements, head, memory } from "./json_array.wasm";

/** Where the text has to be; see the module's source. */
const TEXT = 65_536;
/** Behind a text the scanner reads up to 16 bytes further. */
const SLACK_BYTES = 16;
const PAGE_BYTES = 65_536;

const textArea = () => new Uint8Array(memory.buffer, TEXT, memory.buffer.byteLength - TEXT - SLACK_BYTES);
let area = textArea();
const encoder = new TextEncoder();

/**
 * How many elements the JSON array `text` has. -1 where the text is anything else, and also where it nests deeper
 * than 65 535 levels.
 */
export function countElements(text: string): number {
  return elements(put(text));
}

/**
 * Of an array of four: a number below 2^30 for what `text` has in front of the fourth element. Texts that are equal so
 * far have the same one, and others, unless they were made for it, nearly always another. -1 of anything else.
 */
export function numberHead(text: string): number {
  return head(put(text));
}

/** Returns the text's length in bytes. */
function put(text: string): number {
  let { read, written } = encoder.encodeInto(text, area);
  if (read < text.length) {
    // Only where messages may be larger than by default.
    memory.grow(Math.ceil((text.length * 3 - area.length) / PAGE_BYTES));
    area = textArea();
    ({ read, written } = encoder.encodeInto(text, area));
  }
  return written;
}
