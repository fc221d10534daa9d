/** From a command line and an environment to a configuration. */

import { hint, misuse, parseFlags } from "./flags.ts";
import { type Config, type Flag, type Option, OPTIONS, SWITCHES } from "./options.ts";
import { SUBCOMMANDS } from "./subcommands.ts";
import { Fault } from "./values.ts";

/** A command line or environment that can't be used. The message is meant for the person who wrote it. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What the command line asks for. */
export interface Command {
  readonly name: "run" | keyof typeof SWITCHES;
  readonly config: Config;
  /** Variables that were passed over, since nobody who runs a server has set them: see `isInjected`. */
  readonly injected: readonly { readonly name: string; readonly value: string }[];
}

/**
 * Kubernetes, and Docker with links, put `NAME_PORT=tcp://10.0.0.1:3903` into the environment for each service: one that
 * is called signal-stun has the name of a variable of ours. No option takes such a value.
 */
function isInjected(value: string): boolean {
  return /^(?:tcp|udp|sctp):\/\/\S+:\d+$/i.test(value);
}

/**
 * Reads flags and variables; a flag wins over a variable, and an empty variable is none. Pure.
 *
 * @param env values by name
 * @throws {UsageError} where something is wrong: the first thing found
 */
export function parse(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Command {
  const flagNames = Object.keys(OPTIONS) as Flag[];
  const switchNames = Object.keys(SWITCHES) as (keyof typeof SWITCHES)[];
  const flags = parseFlags(args, flagNames, switchNames);

  const [word] = flags.words;
  const meant = word === undefined ? "" : hint(word, Object.keys(SUBCOMMANDS));
  const fault = flags.unknown.length === 0 && meant !== ""
    ? `"${word}" is no command${meant}`
    : misuse(flags, [...flagNames, ...switchNames], "--port 8080");
  if (fault) throw new UsageError(flags.unknown.length > 0 ? `${fault} --help lists all options.` : fault);

  const config: Record<string, unknown> = {};
  const injected: { name: string; value: string }[] = [];
  for (const flag of flagNames) {
    const row: Option<unknown> = OPTIONS[flag];
    const given = flags.values[flag] ?? [];
    let variable = env[row.env];
    if (variable && isInjected(variable)) {
      injected.push({ name: row.env, value: variable });
      variable = undefined;
    }
    config[camelCase(flag)] = given.length > 0
      ? readValues(row, `--${flag}`, given)
      : variable
      ? readValues(row, row.env, [variable])
      : row.default;
  }
  const checked = Object.freeze(config) as Config;
  if ((checked.tlsCert === undefined) !== (checked.tlsKey === undefined)) {
    const [given, missing] = checked.tlsCert ? ["--tls-cert", "--tls-key"] : ["--tls-key", "--tls-cert"];
    throw new UsageError(`${given} is given without ${missing}: TLS needs both.`);
  }
  if ((checked.turnUrl.length > 0) !== (checked.turnSecretFile !== undefined)) {
    const [given, missing] = checked.turnSecretFile
      ? ["--turn-secret-file", "--turn-url"]
      : ["--turn-url", "--turn-secret-file"];
    throw new UsageError(`${given} is given without ${missing}: credentials for TURN need both.`);
  }
  const asks = [checked.tokenSecretFile, checked.tokenKeyFile, checked.tokenJwks].some((from) =>
    from !== undefined
  );
  if (!asks && (checked.tokenAudience !== undefined || checked.openRooms.length > 0)) {
    const given = checked.tokenAudience === undefined ? "--open-rooms" : "--token-audience";
    throw new UsageError(
      `${given} is given, but no tokens are asked for: --token-secret-file, --token-key-file or --token-jwks does that.`,
    );
  }
  if (checked.resume === 0 && checked.resumeSecretFile !== undefined) {
    throw new UsageError("--resume-secret-file is given, but --resume 0 turns resuming off.");
  }
  // --help wins over anything else that is asked for.
  const name = (["help", "version", "healthcheck"] as const).find((name) => flags.switches.has(name)) ??
    "run";
  return { name, config: checked, injected };
}

/** `name`: the flag or variable that the values come from. */
function readValues(row: Option<unknown>, name: string, given: readonly string[]): unknown {
  const texts = row.list
    ? given.flatMap((text) => text.split(",").map((part) => part.trim()))
    : given.slice(-1);
  const values = texts.map((text) => readValue(name, text, row.read, row.value));
  return row.list ? values.flat() : values[0];
}

/**
 * Reads one value.
 *
 * @param name the flag or variable that it comes from
 * @param what stands for the value in the help
 * @throws {UsageError}
 */
export function readValue<T>(name: string, text: string, read: (text: string) => T, what: string): T {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (text === "") throw new UsageError(`${name} needs a value (${what}).`);
    const fault = error.message.endsWith("?") ? error.message : `${error.message}.`;
    throw new UsageError(`${name}: "${text}" ${fault}`);
  }
}

function camelCase(flag: string): string {
  return flag.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
}
