/** Where the engine is, as an option says it. */

/** A Redis or Valkey, or Sentinels that know where it is at the moment. */
export interface EngineAddress {
  /** As it was given, but for the password. */
  readonly text: string;
  readonly tls: boolean;
  /** Of the engine, or of Sentinels, to be asked in this order. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** The name by which Sentinels know the engine. */
  readonly master?: string;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
  /** Certificates (PEM) of whoever vouches for the engine's; not given: those that the runtime trusts. */
  readonly ca?: string;
}

const SCHEMES: Readonly<Record<string, { tls: boolean; sentinel: boolean; port: number }>> = {
  redis: { tls: false, sentinel: false, port: 6379 },
  rediss: { tls: true, sentinel: false, port: 6379 },
  sentinel: { tls: false, sentinel: true, port: 26_379 },
  sentinels: { tls: true, sentinel: true, port: 26_379 },
};

/**
 * Reads `redis://[user[:password]@]host[:port][/database]`, `rediss://…` for TLS, and
 * `sentinel://[user[:password]@]host[:port][,host[:port]…]/name[/database]`, `sentinels://…`. `undefined` for what is
 * none of these.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * const { hosts, master, database } = parseEngine("sentinel://one,two:26380/signal/2")!;
 * assertEquals(hosts, [{ host: "one", port: 26379 }, { host: "two", port: 26380 }]);
 * assertEquals([master, database], ["signal", 2]);
 * ```
 */
export function parseEngine(text: string): EngineAddress | undefined {
  const [, name = "", credentials, places = "", path = ""] =
    /^([a-z]+):\/\/(?:([^@/]*)@)?([^/@]+)((?:\/[^/]+)*)\/?$/i.exec(text) ?? [];
  const scheme = SCHEMES[name.toLowerCase()];
  if (scheme === undefined) return undefined;
  const hosts = places.split(",").map((place) => readPlace(place, scheme.port));
  const names = path.split("/").filter(Boolean);
  const master = scheme.sentinel ? names.shift() : undefined;
  const [database = "0", ...more] = names;
  if (
    hosts.includes(undefined) || more.length > 0 || !/^\d{1,5}$/.test(database) ||
    scheme.sentinel !== (master !== undefined) || !scheme.sentinel && hosts.length > 1
  ) return undefined;
  const [username, password] = (credentials ?? "").split(/:(.*)/s).map(decodePart);
  return {
    text: text.replace(/:[^:@/]*@/, ":***@"),
    tls: scheme.tls,
    hosts: hosts as { host: string; port: number }[],
    ...master === undefined ? {} : { master },
    ...username ? { username } : {},
    ...password ? { password } : {},
    database: Number(database),
  };
}

function readPlace(place: string, usual: number): { host: string; port: number } | undefined {
  const [, bracketed, plain, port = String(usual)] =
    /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i.exec(place) ??
      [];
  const host = bracketed ?? plain;
  return host === undefined || Number(port) > 65_535 || Number(port) === 0
    ? undefined
    : { host, port: Number(port) };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
