/** What the wire makes of a name that a peer holds in a room. */

/** `room:ident`. Unique; free again as soon as its holder departs. */
export interface Address {
  readonly text: string;
  /** The text as a JSON string. This and the next are made once: they stand in every relayed signal. */
  readonly quoted: string;
  /** How every signal to this address begins: the receiver sees its own address first. */
  readonly opening: string;
}

/**
 * The text after the last colon is the ident, so a room may hold colons.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(addressText("kitchen:left", "alice"), "kitchen:left:alice");
 * ```
 */
export function addressText(room: string, ident: string): string {
  return `${room}:${ident}`;
}

/** The other way round. */
export function splitAddress(text: string): { room: string; ident: string } {
  const colon = text.lastIndexOf(":");
  return { room: text.slice(0, colon), ident: text.slice(colon + 1) };
}

export function makeAddress(text: string): Address {
  const quoted = JSON.stringify(text);
  // Joined it is one piece in memory; by a template it would be put together anew for every signal.
  return { text, quoted, opening: ['["signal",', quoted, ","].join("") };
}
