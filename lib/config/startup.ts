/** The files that options name; and why a server could not start, in words for the person who started it. */

import { KeyFault, publicKeys, secretKey, type TokenKey } from "../tokens/keys.ts";
import { EngineFault } from "../rooms/redis/fault.ts";
import type { Config } from "./options.ts";
import { isUrl } from "./values.ts";

/** One sentence that names the option, its value and what to do; `undefined` for an error that nobody foresaw. */
export function explain(error: unknown, config: Config): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const place = `--host ${config.host} --port ${config.port}`;
  if (error instanceof Deno.errors.AddrInUse) {
    return `Port ${config.port} is in use (--port, PORT). Is the server running already? ` +
      "Another port will do: --port 8080; or 0 for any that is free.";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return `${config.host} is not an address of this machine (--host, SIGNAL_HOST). ` +
      "Leave it out to listen on every address.";
  }
  if (error instanceof FileError || error instanceof EngineFault) return error.message;
  if (error instanceof Deno.errors.PermissionDenied) {
    return `Listening there is not allowed (${place}): ports below 1024 belong to the system's administrator.`;
  }
  if (error instanceof Deno.errors.NotCapable) {
    return `Deno was not given the permission to listen (${place}): start it with --allow-net.`;
  }
  if (
    config.tlsCert !== undefined &&
    (error instanceof Deno.errors.InvalidData || /key|cert/i.test(error.message))
  ) {
    return certificateFault(config, error);
  }
  if (/lookup|resolve|invalid (?:host|ip)/i.test(error.message)) {
    return `${config.host} is neither an address nor a name that is known here (--host, SIGNAL_HOST).`;
  }
  return undefined;
}

function certificateFault({ tlsCert, tlsKey }: Config, { message }: Error): string {
  return `The certificate (--tls-cert ${tlsCert}) and key (--tls-key ${tlsKey}) can't be used: ${message}.`;
}

/**
 * Throws a `FileError` where nobody could listen with this certificate and key.
 *
 * @param listen tries it, on a port of its own
 */
export function checkCertificate(config: Config, listen: () => Disposable): void {
  try {
    listen()[Symbol.dispose]();
  } catch (error) {
    throw new FileError(certificateFault(config, error as Error));
  }
}

/** What the files hold that options name. */
export interface Secrets {
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly turn?: string;
  readonly resume?: string;
  readonly admin?: string;
  readonly metrics?: string;
  readonly engine?: { readonly password?: string; readonly ca?: string };
  /** With which tokens are signed. */
  readonly tokenKeys: readonly TokenKey[];
}

/** Characters of a word that nobody is to guess. */
const LEAST_WORD = 32;

/** Reads all files that options name. Throws a `FileError`. */
export function readSecrets(config: Config): Secrets {
  const {
    tlsCert,
    tlsKey,
    turnSecretFile,
    resumeSecretFile,
    adminTokenFile,
    metricsTokenFile,
    enginePasswordFile,
    engineCaFile,
  } = config;
  return {
    ...tlsCert === undefined
      ? {}
      : { tls: { cert: readNamedFile("tls-cert", tlsCert), key: readNamedFile("tls-key", tlsKey!) } },
    ...turnSecretFile === undefined ? {} : { turn: readNamedFile("turn-secret-file", turnSecretFile).trim() },
    ...resumeSecretFile === undefined ? {} : { resume: readWord("resume-secret-file", resumeSecretFile) },
    ...adminTokenFile === undefined ? {} : { admin: readWord("admin-token-file", adminTokenFile) },
    ...metricsTokenFile === undefined ? {} : { metrics: readWord("metrics-token-file", metricsTokenFile) },
    engine: {
      ...enginePasswordFile === undefined
        ? {}
        : { password: readNamedFile("engine-password-file", enginePasswordFile).trim() },
      ...engineCaFile === undefined ? {} : { ca: readNamedFile("engine-ca-file", engineCaFile) },
    },
    tokenKeys: readTokenKeys(config),
  };
}

/** The keys of tokens that stand in files. Throws a `FileError`. */
export function readTokenKeys(
  { tokenSecretFile, tokenKeyFile, tokenJwks }: Partial<
    Pick<Config, "tokenSecretFile" | "tokenKeyFile" | "tokenJwks">
  >,
): TokenKey[] {
  const read = (flag: string, path: string | undefined, parse: (text: string) => TokenKey[]) => {
    if (path === undefined) return [];
    const text = readNamedFile(flag, path);
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      throw new FileError(`--${flag} ${path}: ${error.message}.`);
    }
  };
  return [
    ...read("token-secret-file", tokenSecretFile, (text) => [secretKey(text)]),
    ...read("token-key-file", tokenKeyFile, publicKeys),
    ...isUrl(tokenJwks) ? [] : read("token-jwks", tokenJwks, publicKeys),
  ];
}

function readWord(flag: string, path: string): string {
  const word = readNamedFile(flag, path).trim();
  if (word.length >= LEAST_WORD) return word;
  throw new FileError(
    `--${flag} ${path}: it holds ${word.length} characters, but ${LEAST_WORD} are needed at least; ` +
      '"signal keygen" makes as many as it takes.',
  );
}

/** A file named by an option that can't be read. */
export class FileError extends Error {
  override name = "FileError";
}

/** Reads the text file that the option `flag` names. Throws a `FileError`. */
export function readNamedFile(flag: string, path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Deno.errors.IsADirectory
      ? "it is a directory"
      : error instanceof Deno.errors.NotCapable
      ? `Deno was not given the permission to read it: add --allow-read=${path}`
      : error instanceof Deno.errors.PermissionDenied
      ? "this user may not read it"
      : (error as Error).message;
    throw new FileError(`--${flag} ${path}: ${why}.`);
  }
}
