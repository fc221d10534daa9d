/** Why a server could not start, in words for the person who started it. */

import type { Config } from "./options.ts";

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
  if (error instanceof FileError) return error.message;
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
    return `The certificate (--tls-cert ${config.tlsCert}) and key (--tls-key ${config.tlsKey}) can't be used: ` +
      `${error.message}.`;
  }
  if (/lookup|resolve|invalid (?:host|ip)/i.test(error.message)) {
    return `${config.host} is neither an address nor a name that is known here (--host, SIGNAL_HOST).`;
  }
  return undefined;
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
