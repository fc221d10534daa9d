/** What all commands do alike with their words and flags. */

import { UsageError } from "../config/command_line.ts";
import { type Flags, misuse, parseFlags } from "../config/flags.ts";

/** Reads the flags of a command that takes one word, if any. Throws a `UsageError`. */
export function readFlags(
  name: string,
  args: readonly string[],
  { valued, bare, word }: { valued: readonly string[]; bare: readonly string[]; word?: string },
): Flags {
  const flags = parseFlags(args, valued, [...bare, "help"]);
  if (flags.switches.has("help")) return flags;
  const words = word === undefined ? flags.words : flags.words.slice(1);
  const fault = misuse({ ...flags, words }, [...valued, ...bare, "help"], `signal ${name} --help`);
  if (fault) throw new UsageError(`${fault} signal ${name} --help shows what there is.`);
  if (word !== undefined && flags.words.length === 0) {
    throw new UsageError(`signal ${name} needs ${word}. signal ${name} --help shows more.`);
  }
  return flags;
}

/** The address of a server: `wss:`, `ws:`, or as a browser shows it; without a scheme `ws:` on loopback and else `wss:`. */
export function readServerUrl(text: string): URL {
  const bare = !/^[a-z]+:\/\//i.test(text);
  const local = /^(?:localhost|127\.|\[::1\])/i.test(text);
  const url = URL.parse(bare ? `${local ? "ws" : "wss"}://${text}` : text.replace(/^http/i, "ws"));
  if (url === null || !/^wss?:$/.test(url.protocol)) {
    throw new UsageError(`"${text}" is no address of a server, such as wss://signal.example.org.`);
  }
  return url;
}

/** The last value of a flag, as a whole number within bounds. */
export function readNumber(flags: Flags, name: string, usual: number, min: number, max: number): number {
  const text = flags.values[name]?.at(-1);
  if (text === undefined) return usual;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${name}: "${text}" is not a whole number from ${min} to ${max}.`);
  }
  return value;
}

/** A text of a stranger's for a terminal: what would move the cursor, or worse, is a question mark. */
export function plain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "?");
}
