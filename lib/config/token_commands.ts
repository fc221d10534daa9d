/** `signal token`, `signal token check` and `signal keygen`: tokens and their keys, without a server. */

import { Buffer } from "node:buffer";
import { matches, MAX_INFO, type Ticket, TokenFault } from "../tokens/claims.ts";
import { PublishedKeys } from "../tokens/jwks.ts";
import { ALGORITHMS, KeyFault } from "../tokens/keys.ts";
import { generate, mint, publicJwk, signingKey } from "../tokens/mint.ts";
import { checkToken } from "../tokens/tokens.ts";
import { log } from "../runtime/log.ts";
import { readValue, UsageError } from "./command_line.ts";
import { misuse, parseFlags } from "./flags.ts";
import { OPTIONS } from "./options.ts";
import { readNamedFile, readTokenKeys } from "./startup.ts";
import { Fault, isUrl, oneOf, text } from "./values.ts";

export const TOKEN_HELP = `Tokens, without which nobody joins a server that asks for them

Usage: signal token --room ROOM [--room ROOM ...] [OPTION ...]
       signal token check [--room ROOM] [--ident IDENT] [OPTION ...] [TOKEN]
       signal keygen [--type TYPE]
       signal keygen --public FILE

signal token prints a token:
  --room ROOM                a room that it is good for; names that begin alike: kitchen-*
  --ident IDENT              the only ident that may be joined with it; not given: any
  --ttl TIME                 for how long it is good: 90s, 15m, 1h, 7d [1h]
  --watch                    its bearer is introduced, but may not signal
  --info JSON                an object that the server vouches for to the others
  --token-audience NAME      what the server asks for in the claim aud [SIGNAL_TOKEN_AUDIENCE]
  --token-secret-file FILE   the secret, as the server has it [SIGNAL_TOKEN_SECRET_FILE]
  --private-key-file FILE    instead: a private key (PEM or JWK)

signal token check says what a token is good for, or why it is good for nothing; exit 0 or 1. The token is
the last word, or comes by standard input. It takes --token-secret-file, --token-key-file, --token-jwks and
--token-audience, or their variables, as the server does.

signal keygen prints a fresh secret of 32 bytes; any other --type is a private key (JWK):
  --type TYPE                ${ALGORITHMS.join(", ")} [HS256]
  --public FILE              print the public half (JWK) of a private key, for --token-key-file`;

const TOKEN_FLAGS = ["token-secret-file", "token-key-file", "token-jwks", "token-audience"] as const;

type Env = Readonly<Record<string, string | undefined>>;
type Values = Readonly<Record<string, string | undefined>>;

/**
 * Carries one out and returns the exit status.
 *
 * @param print takes a line
 * @throws {UsageError} {FileError}
 */
export async function tokenCommand(
  args: readonly string[],
  env: Env,
  print: (line: string) => void,
): Promise<number> {
  const [name, ...rest] = args;
  const checks = name === "token" && rest[0] === "check";
  const flags = parseFlags(
    checks ? rest.slice(1) : rest,
    name === "keygen"
      ? ["type", "public"]
      : checks
      ? ["room", "ident", ...TOKEN_FLAGS]
      : ["room", "ident", "ttl", "info", "private-key-file", "token-secret-file", "token-audience"],
    checks || name === "keygen" ? ["help"] : ["watch", "help"],
  );
  if (flags.switches.has("help")) return print(TOKEN_HELP), 0;
  const known = [...Object.keys(flags.values), "watch", "help"];
  const fault = misuse(checks ? { ...flags, words: flags.words.slice(1) } : flags, known, "--room kitchen");
  if (fault) throw new UsageError(`${fault} signal ${name} --help shows what there is.`);
  const values: Values = {
    ...Object.fromEntries(TOKEN_FLAGS.map((flag) => [flag, env[OPTIONS[flag].env] || undefined])),
    ...Object.fromEntries(
      Object.entries(flags.values).flatMap(([flag, given]) => given.length > 0 ? [[flag, given.at(-1)]] : []),
    ),
  };
  try {
    if (name === "keygen") return await keygen(values, print);
    if (checks) return await check(values, flags.words[0], print);
    return await make(values, flags.values["room"] ?? [], flags.switches.has("watch"), print);
  } catch (error) {
    if (error instanceof KeyFault) throw new UsageError(`The key can't be used: ${error.message}.`);
    throw error;
  }
}

async function keygen(values: Values, print: (line: string) => void): Promise<number> {
  const file = values["public"];
  if (file !== undefined) {
    print(JSON.stringify(await publicJwk(readNamedFile("public", file))));
    return 0;
  }
  const type = readValue("--type", values["type"] ?? "HS256", oneOf(ALGORITHMS), "TYPE");
  print(await generate(type));
  return 0;
}

async function make(
  values: Values,
  rooms: readonly string[],
  watch: boolean,
  print: (line: string) => void,
): Promise<number> {
  if (rooms.length === 0) throw new UsageError("A token is for a room: --room kitchen.");
  for (const room of rooms) readValue("--room", room, text("a room"), "ROOM");
  const flag = values["private-key-file"] === undefined ? "token-secret-file" : "private-key-file";
  const file = values[flag];
  if (file === undefined) {
    throw new UsageError(
      'A token is signed with a secret: --token-secret-file FILE. "signal keygen" makes one.',
    );
  }
  const claims = {
    rooms,
    ident: values["ident"],
    audience: values["token-audience"],
    publish: !watch,
    info: values["info"] === undefined ? undefined : readValue("--info", values["info"], object, "JSON"),
  };
  print(
    await mint(
      signingKey(readNamedFile(flag, file)),
      claims,
      readValue("--ttl", values["ttl"] ?? "1h", seconds, "TIME"),
    ),
  );
  return 0;
}

async function check(
  values: Values,
  word: string | undefined,
  print: (line: string) => void,
): Promise<number> {
  const tokenJwks = values["token-jwks"];
  const keys = readTokenKeys({
    tokenSecretFile: values["token-secret-file"],
    tokenKeyFile: values["token-key-file"],
    tokenJwks,
  });
  if (keys.length === 0 && !isUrl(tokenJwks)) {
    throw new UsageError("Name what the token is to be checked with: --token-secret-file FILE, say.");
  }
  const token = (word ?? await new Response(Deno.stdin.readable).text()).trim();
  const published = isUrl(tokenJwks) ? new PublishedKeys(tokenJwks, log, () => performance.now()) : undefined;
  try {
    const outcome = await checkToken(token, { keys, published, audience: values["token-audience"] });
    const fault = outcome instanceof TokenFault ? outcome.sentence : unfit(outcome, values);
    print(fault ?? describe(outcome as Ticket));
    return fault === undefined ? 0 : 1;
  } finally {
    published?.close();
  }
}

function unfit({ rooms, subject }: Ticket, { room, ident }: Values): string | undefined {
  if (room !== undefined && !matches(rooms, room)) return `The token is not for the room "${room}".`;
  if (ident !== undefined && subject !== undefined && subject !== ident) {
    return `The token is for another ident than "${ident}".`;
  }
  return undefined;
}

function describe({ rooms, subject, expires, pass }: Ticket): string {
  const seconds = (time: number) => `${Math.round((time - Date.now()) / 1000)} s`;
  return [
    `The token is good for ${seconds(expires)}.`,
    `  rooms   ${rooms.join(", ")}`,
    `  ident   ${subject ?? "any"}`,
    `  member  for ${seconds(pass.until)}${pass.publish ? "" : ", may watch only"}${
      pass.ice ? "" : ", no TURN"
    }`,
    ...pass.info === undefined ? [] : [`  info    ${pass.info}`],
  ].join("\n");
}

const UNITS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

function seconds(text: string): number {
  const [, number, unit] = /^(\d+)([smhd]?)$/.exec(text) ?? [];
  const value = Number(number) * (UNITS[unit ?? ""] ?? NaN);
  if (!(value > 0)) throw new Fault("is not a time such as 90s, 15m, 1h or 7d");
  return value;
}

function object(text: string): unknown {
  let value;
  try {
    value = JSON.parse(text);
  } catch { /* said below */ }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Fault('is not a JSON object such as {"name":"Alice"}');
  }
  if (Buffer.byteLength(JSON.stringify(value)) > MAX_INFO) throw new Fault(`has more than ${MAX_INFO} bytes`);
  return value;
}
