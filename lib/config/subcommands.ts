/** Words by which the program does something else than to serve. */

/** By their name: what they do, for `--help`. */
export const SUBCOMMANDS = {
  "doctor": "look at a server from here as its clients do, and say what to do: signal doctor --help",
  "conform": "hold anybody's server against the protocol: signal conform --help",
  "bench": "put load on a server of one's own: signal bench --help",
  "token": "make and check tokens: signal token --help",
  "keygen": "make a secret or a key for tokens",
  "completions": "print what a shell needs to complete options: bash, zsh or fish",
  "man": "print the manual page, as troff",
  "help": "show this",
} as const;

export type Subcommand = keyof typeof SUBCOMMANDS;

export function isSubcommand(word: string | undefined): word is Subcommand {
  return word !== undefined && Object.hasOwn(SUBCOMMANDS, word);
}
