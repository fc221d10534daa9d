/** Who asks, for what, and by which name: of a proxy's word as much as the operator believes. */

import { Source } from "../limits/source.ts";
import { type Ip, isLoopback, isLoopbackAddress, parseAddress, plainHost } from "../runtime/addresses.ts";
import { followHops, isTrusted, type TrustedProxies } from "./client_address.ts";
import { hops } from "./forwarded.ts";
import { requestedUrl } from "./host.ts";

/** One request, and what is known of whoever made it. */
export interface Visit {
  readonly request: Request;
  /** As the client wrote it: behind a trusted proxy with the scheme and the host by which that one was asked. */
  readonly url: URL;
  readonly client: Source;
  /** As text would have it; connections other than by IP have none. */
  readonly address?: Ip;
  /** How many trusted proxies it came through. */
  readonly proxies: number;
  /** It came through a proxy whose word about the client was not taken: the address is that of the proxy. */
  readonly hearsay: boolean;
  /**
   * The host at which this client finds what else the server offers; `undefined` where the one that was asked for is
   * the name of everybody's own machine, and the client is on another: a proxy did not pass on what it was asked for.
   */
  readonly host?: string;
}

/** Whose word is taken. */
export interface ProxyOptions {
  readonly trustProxy: TrustedProxies;
  /** See `hops`. */
  readonly proxyHeader: string;
}

/** What is wrong between the server and a proxy, for the operator; `mistake` tells one from another. */
export interface ProxyMistake {
  readonly mistake: "untrusted" | "other-header";
  readonly sentence: string;
}

/** Reads a request that came from `connection`, or refuses it. */
export function readVisit(request: Request, connection: string, options: ProxyOptions): Visit | Response {
  const { headers } = request;
  const { trustProxy, proxyHeader } = options;
  const { client, proxies, ...seen } = followHops(connection, hops(headers, proxyHeader), trustProxy);
  const url = requestedUrl(request, seen);
  if (url instanceof Response) return url;
  const { hostname } = url;
  const astray = isLoopback(hostname) && (client === undefined || !isLoopbackAddress(client) ||
    namesClients(headers, proxyHeader) && !isTrusted(parseAddress(connection), trustProxy));
  const source = new Source(Uint8Array.from(client?.toByteArray() ?? NO_ADDRESS));
  return {
    request,
    url,
    client: source,
    address: client,
    proxies,
    hearsay: proxies === 0 && PROXY_HEADERS.some((name) => headers.get(name) !== null),
    host: astray ? undefined : plainHost(hostname),
  };
}

/** Some of which most proxies write. */
const PROXY_HEADERS = [
  "x-forwarded-for",
  "forwarded",
  "x-forwarded-host",
  "x-real-ip",
  "via",
  "cf-connecting-ip",
];

/** Of connections that have none: they count as one client. */
const NO_ADDRESS = new Uint8Array(16);

/**
 * What shows that a proxy and the options don't fit: then all its clients share the limits of one.
 */
export function proxyMistake(
  connection: string,
  headers: Headers,
  { trustProxy, proxyHeader }: ProxyOptions,
): ProxyMistake | undefined {
  if (!namesClients(headers, proxyHeader)) return undefined;
  const address = parseAddress(connection);
  if (!isTrusted(address, trustProxy)) {
    // On the public internet anybody may send such a header.
    if (address === undefined || address.range() === "unicast") return undefined;
    return {
      mistake: "untrusted",
      sentence:
        `Requests from ${address} name other clients. That is not believed, so they all share the limits ` +
        `of one. If it is your proxy, start with --trust-proxy ${address}.`,
    };
  }
  if (headers.get(proxyHeader) !== null) return undefined;
  return {
    mistake: "other-header",
    // Which header there is stays unsaid: the client may have sent it.
    sentence:
      `The proxy at ${address} does not send the header ${proxyHeader}, so all its clients share the limits ` +
      "of one. Let it send that, or name the header that it writes itself with --proxy-header.",
  };
}

/** Not by `has`, which makes the runtime keep a copy of all headers for as long as a WebSocket lives. */
function namesClients(headers: Headers, proxyHeader: string): boolean {
  return [proxyHeader, "x-forwarded-for", "forwarded"].some((name) => headers.get(name) !== null);
}
