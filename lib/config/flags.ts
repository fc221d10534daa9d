/** The parts of the Deno standard library that reading flags needs, with their types: its npm edition has none. */

import { parseArgs as untypedParseArgs } from "@std/cli/parse-args";
import { closestString as untypedClosestString } from "@std/text/closest-string";

/** What stood on the command line. */
export interface Flags {
  /** Values of the options that take one, in the order given. */
  readonly values: Readonly<Record<string, string[]>>;
  /** Names of the options that take none. */
  readonly switches: ReadonlySet<string>;
  /** Flags that nobody asked for, as they were written. */
  readonly unknown: readonly string[];
  /** What isn't a flag. */
  readonly words: readonly string[];
}

/** Reads flags of the forms `--name value`, `--name=value` and `--name`; `-h` is `--help`. */
export function parseFlags(
  args: readonly string[],
  valued: readonly string[],
  bare: readonly string[],
): Flags {
  const unknown: string[] = [];
  const parsed: Record<string, unknown> = untypedParseArgs(args, {
    string: valued,
    collect: valued,
    boolean: bare,
    alias: { h: "help" },
    unknown(arg: string, key: string | undefined): boolean {
      if (key === undefined) return true;
      unknown.push(arg);
      return false;
    },
  });
  return {
    values: Object.fromEntries(valued.map((name) => [name, parsed[name] as string[]])),
    switches: new Set(bare.filter((name) => parsed[name] === true)),
    unknown,
    words: (parsed["_"] as (string | number)[]).map(String),
  };
}

/** The candidate that is the fewest edits away from `word`. */
export function closest(word: string, candidates: readonly string[]): string {
  return untypedClosestString(word, candidates);
}

/**
 * What is wrong with a command line before any value is looked at: a flag that is not among `names`, or a word that
 * belongs to none. `example` shows an option as it should be written.
 */
export function misuse(
  { unknown, words }: Flags,
  names: readonly string[],
  example: string,
): string | undefined {
  const [stranger] = unknown;
  if (stranger !== undefined) {
    const hint = closest(stranger.replace(/^-+/, "").replace(/=.*$/, ""), names);
    return `${stranger} is not an option; did you mean --${hint}?`;
  }
  if (words.length > 0) return `"${words[0]}" is not understood: options begin with --, as in ${example}.`;
  return undefined;
}
