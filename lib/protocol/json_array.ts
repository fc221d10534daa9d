/** A look at a JSON text that builds no values: see `json_array.as.ts`, the source of the module imported here. */

import { elements, memory } from "./json_array.wasm";

/** Behind a text the scanner reads up to 16 bytes further. */
const SLACK_BYTES = 16;

const area = new Uint8Array(memory.buffer, 0, memory.buffer.byteLength - SLACK_BYTES);
const encoder = new TextEncoder();

/**
 * How many elements the JSON array `text` has. -1 where the text is anything else, and also where it is too
 * long or nests too deep to be told (about 128 KiB, 64 levels): then `JSON.parse` has the last word.
 */
export function countElements(text: string): number {
  const { read, written } = encoder.encodeInto(text, area);
  return read === text.length ? elements(written) : -1;
}
