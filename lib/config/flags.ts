/** The parts of the Deno standard library that reading flags needs, with their types: its npm edition has none. */

import { parseArgs as untypedParseArgs } from "@std/cli/parse-args";
import { levenshteinDistance as untypedDistance } from "@std/text/levenshtein-distance";

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

/** Reads flags of the forms `--name value`, `--name=value` and `--name`; `-h` is `--help`, `-v` is `--version`. */
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
    alias: { h: "help", ...bare.includes("version") ? { v: "version" } : {} },
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

/** `; did you mean X?` for the candidate that is the fewest edits away from `word`, where one is near; else nothing. */
export function hint(word: string, candidates: readonly string[], prefix = ""): string {
  const distance = untypedDistance as (a: string, b: string) => number;
  const [nearest] = candidates
    .map((candidate) => ({ candidate, edits: distance(word, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  // Two letters that changed places are two edits. Of a word of two letters nothing would be left.
  const near = nearest !== undefined &&
    nearest.edits <= Math.min(word.length - 1, Math.max(2, word.length / 3));
  return near ? `; did you mean ${prefix}${nearest.candidate}?` : "";
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
    const near = hint(stranger.replace(/^-+/, "").replace(/=.*$/, ""), names, "--");
    return `${stranger} is not an option${near || "."}`;
  }
  if (words.length > 0) return `"${words[0]}" is not understood: options begin with --, as in ${example}.`;
  return undefined;
}
