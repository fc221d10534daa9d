/** The options of the program: one table, from which flags, variables, `--help` and `Config` are made. */

import manifest from "../../deno.json" with { type: "json" };
import { parseRanges, RANGE_NAMES, type TrustedProxies } from "../http/client_address.ts";
import { originFault } from "../http/origin.ts";
import { STUN_LIMITS } from "../ice/stun_server.ts";
import { iceUrlFault } from "../ice/turn.ts";
import { type EngineAddress, parseEngine } from "../rooms/redis/address.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../runtime/log.ts";
import {
  basePath,
  Fault,
  headerName,
  httpUrl,
  isUrl,
  oneOf,
  portOrOff,
  positiveNumber,
  text,
  urlOf,
  wholeNumber,
  word,
} from "./values.ts";

export const VERSION: string = manifest.version;

/** One option. `T`: what its text becomes. */
export interface Option<T> {
  /** Stands above this option and those that follow it in `--help`. */
  readonly heading?: string;
  readonly env: string;
  /** What stands for the value in `--help`. */
  readonly value: string;
  readonly help: string;
  readonly default: T;
  /** Several values: the flag may be repeated, and commas separate values as well. */
  readonly list?: boolean;
  /** Throws a `Fault`. */
  readonly read: (text: string) => T;
}

/** Ties the types of a table's row together. */
function option<T>(row: Option<T>): Option<T> {
  return row;
}

const MAX_COUNT = 10_000_000;
const MAX_BYTES = 1_073_741_824;
const MAX_RATE = 1_000_000;

/** All options that take a value, by their flag, in the order of `--help`. A default stands here and nowhere else. */
export const OPTIONS = {
  "host": option({
    heading: "Where to listen",
    env: "SIGNAL_HOST",
    value: "ADDRESS",
    help: "address to listen on; :: is every address, IPv4 and IPv6",
    default: "::",
    read: text("an address of this machine"),
  }),
  "port": option({
    env: "PORT",
    value: "NUMBER",
    help: "TCP port for HTTP and WebSocket; 0 takes a free one",
    default: 3903,
    read: wholeNumber(0, 65535),
  }),
  "base-path": option({
    env: "SIGNAL_BASE_PATH",
    value: "PATH",
    help:
      "the path below which all that has one is served, such as /signal; WebSockets are welcome on any path",
    default: "/",
    read: basePath,
  }),
  "tls-cert": option<string | undefined>({
    env: "SIGNAL_TLS_CERT",
    value: "FILE",
    help: "certificate chain (PEM); with --tls-key the server speaks HTTPS and WSS",
    default: undefined,
    read: text("a file"),
  }),
  "tls-key": option<string | undefined>({
    env: "SIGNAL_TLS_KEY",
    value: "FILE",
    help: "private key (PEM) of the certificate",
    default: undefined,
    read: text("a file"),
  }),
  "stun-port": option<number | "off" | undefined>({
    heading: "STUN and TURN, which clients need to get through firewalls",
    env: "SIGNAL_STUN_PORT",
    value: "NUMBER",
    help: "UDP port of the STUN server, or off; not given: the same number as the TCP port",
    default: undefined,
    read: portOrOff,
  }),
  "stun-host": option<readonly string[]>({
    env: "SIGNAL_STUN_HOST",
    value: "ADDRESS",
    help: "addresses on which STUN is answered; none: that of --host",
    default: [],
    list: true,
    read: (address) => [text("an address of this machine")(address)],
  }),
  "stun-second-port": option<number | "off">({
    env: "SIGNAL_STUN_SECOND_PORT",
    value: "NUMBER",
    help: "another UDP port for STUN: asked on both, a client learns how its NAT maps",
    default: "off",
    read: portOrOff,
  }),
  "public-host": option<string | undefined>({
    env: "SIGNAL_PUBLIC_HOST",
    value: "HOST",
    help: "name or address at which clients reach STUN; not given: the one in their request",
    default: undefined,
    read: (host) => {
      if (iceUrlFault(`stun:${host}`, ["stun"]) || /:\d+$/.test(host) && !host.includes("]")) {
        throw new Fault("is not a host name or address (IPv6 in brackets), without a port");
      }
      return host;
    },
  }),
  "stun-url": option<readonly string[]>({
    env: "SIGNAL_STUN_URL",
    value: "URL",
    help: "further STUN servers to tell clients of, such as stun:stun.example.org:3478",
    default: [],
    list: true,
    read: urlOf("stun", "stuns"),
  }),
  "turn-url": option<readonly string[]>({
    env: "SIGNAL_TURN_URL",
    value: "URL",
    help: "TURN servers to tell clients of, such as turn:turn.example.org:3478?transport=udp",
    default: [],
    list: true,
    read: urlOf("turn", "turns"),
  }),
  "turn-secret-file": option<string | undefined>({
    env: "SIGNAL_TURN_SECRET_FILE",
    value: "FILE",
    help: "file with the secret that the TURN servers know too (coturn: static-auth-secret)",
    default: undefined,
    read: text("a file"),
  }),
  "turn-ttl": option({
    env: "SIGNAL_TURN_TTL",
    value: "SECONDS",
    help: "for how long TURN credentials are good",
    default: 21_600,
    read: wholeNumber(60, 2_592_000),
  }),
  "ice-endpoint": option({
    env: "SIGNAL_ICE_ENDPOINT",
    value: "WHEN",
    help: "whether GET /ice tells the servers to clients of version 2: auto (with TURN only), on, off",
    default: "auto" as "auto" | "on" | "off",
    read: oneOf(["auto", "on", "off"]),
  }),
  "engine": option<EngineAddress | undefined>({
    heading: "Several nodes",
    env: "SIGNAL_ENGINE",
    value: "URL",
    help:
      "Redis or Valkey by which nodes share their rooms: redis://HOST, rediss://HOST, sentinel://HOST,HOST/NAME",
    default: undefined,
    read: (text) => {
      const address = parseEngine(text);
      if (address === undefined) {
        throw new Fault("is no redis://HOST[:PORT][/DATABASE], rediss://… or sentinel://HOST[,HOST]/NAME");
      }
      return address;
    },
  }),
  "engine-password-file": option<string | undefined>({
    env: "SIGNAL_ENGINE_PASSWORD_FILE",
    value: "FILE",
    help: "file with the password for it; the user stands in the URL: redis://USER@HOST",
    default: undefined,
    read: text("a file"),
  }),
  "engine-ca-file": option<string | undefined>({
    env: "SIGNAL_ENGINE_CA_FILE",
    value: "FILE",
    help: "certificates (PEM) that vouch for its own, where no public authority does",
    default: undefined,
    read: text("a file"),
  }),
  "engine-prefix": option({
    env: "SIGNAL_ENGINE_PREFIX",
    value: "TEXT",
    help: "what all its keys and channels begin with; nodes with the same prefix are one cluster",
    default: "signal:",
    read: word(/^[\x21-\x7e]{1,64}$/, "1 to 64 printable characters"),
  }),
  "node-name": option<string | undefined>({
    env: "SIGNAL_NODE_NAME",
    value: "NAME",
    help: "this node's, unlike all others: started again, it takes the place of its former life at once",
    default: undefined,
    read: word(/^[\w.-]{1,64}$/, "1 to 64 letters, digits, dots, dashes and underscores"),
  }),
  "page": option<"on" | "off">({
    heading: "The page for people",
    env: "SIGNAL_PAGE",
    value: "WHETHER",
    help: "whether there is a page for people, with examples and documents: on or off",
    default: "on",
    read: oneOf(["on", "off"]),
  }),
  "source-url": option<string | undefined>({
    env: "SIGNAL_SOURCE_URL",
    value: "URL",
    help: "where the source of this server is, for the page to link to (AGPL)",
    default: undefined,
    read: httpUrl,
  }),
  "metrics": option<"on" | "off">({
    heading: "Metrics for Prometheus, at /metrics",
    env: "SIGNAL_METRICS",
    value: "WHETHER",
    help: "whether there are any: for loopback and private addresses, on or off",
    default: "on",
    read: oneOf(["on", "off"]),
  }),
  "metrics-port": option<number | "off">({
    env: "SIGNAL_METRICS_PORT",
    value: "NUMBER",
    help: "TCP port for metrics and health by themselves, for whoever reaches it; 0 takes a free one",
    default: "off",
    read: portOrOff,
  }),
  "metrics-token-file": option<string | undefined>({
    env: "SIGNAL_METRICS_TOKEN_FILE",
    value: "FILE",
    help: "file with the word, of 32 characters or more, with which metrics are had from anywhere (bearer)",
    default: undefined,
    read: text("a file"),
  }),
  "log-level": option({
    heading: "What to log",
    env: "LOG_LEVEL",
    value: "LEVEL",
    help: `how much to log: ${LOG_LEVELS.join(", ")}`,
    default: "info" as typeof LOG_LEVELS[number],
    read: oneOf(LOG_LEVELS),
  }),
  "log-format": option({
    env: "LOG_FORMAT",
    value: "FORMAT",
    help: `${LOG_FORMATS.join(", ")}; auto is text for a terminal and JSON lines otherwise`,
    default: "auto" as typeof LOG_FORMATS[number],
    read: oneOf(LOG_FORMATS),
  }),
  "log-addresses": option<"on" | "off">({
    env: "SIGNAL_LOG_ADDRESSES",
    value: "WHETHER",
    help: "whether the log names the addresses of clients: on or off",
    default: "on",
    read: oneOf(["on", "off"]),
  }),
  "allow-origin": option<readonly string[]>({
    heading: "Who may connect",
    env: "SIGNAL_ALLOW_ORIGIN",
    value: "ORIGIN",
    help:
      "pages that may connect: https://app.example.org, *.example.org, capacitor://localhost, null; none: any",
    default: [],
    list: true,
    read: (text) => {
      const fault = originFault(text);
      if (fault) throw new Fault(fault);
      return [text];
    },
  }),
  "trust-proxy": option<TrustedProxies>({
    env: "SIGNAL_TRUST_PROXY",
    value: "RANGE",
    help:
      "proxies whose word about the client's address is taken: 10.0.0.0/8, ::1, loopback, private, cloudflare (2026-02)",
    default: [],
    list: true,
    read: (text) => {
      const ranges = parseRanges(text);
      if (ranges !== undefined) return ranges;
      throw new Fault(
        `is neither an IP address nor a range like 10.0.0.0/8, nor one of ${RANGE_NAMES.join(", ")}`,
      );
    },
  }),
  "proxy-header": option({
    env: "SIGNAL_PROXY_HEADER",
    value: "NAME",
    help:
      "the header in which a trusted proxy names the client: x-forwarded-for, forwarded, cf-connecting-ip, ...",
    default: "x-forwarded-for",
    read: headerName,
  }),
  "keepalive": option({
    heading: "When sockets end",
    env: "SIGNAL_KEEPALIVE",
    value: "SECONDS",
    help: "ping a client that was silent for that long; as long again without a pong, and it is removed",
    default: 20,
    read: wholeNumber(1, 3600),
  }),
  "handshake-timeout": option({
    env: "SIGNAL_HANDSHAKE_TIMEOUT",
    value: "SECONDS",
    help: "a socket whose handshake is not through by then gives its place to others",
    default: 10,
    read: wholeNumber(1, 3600),
  }),
  "close-timeout": option({
    env: "SIGNAL_CLOSE_TIMEOUT",
    value: "SECONDS",
    help: "the same of a client that does not answer when its socket is closed",
    default: 10,
    read: wholeNumber(1, 3600),
  }),
  "drain-delay": option({
    env: "SIGNAL_DRAIN_DELAY",
    value: "SECONDS",
    help: "at shutdown, for how long /readyz says no before anything else ends: as long as a balancer needs",
    default: 0,
    read: wholeNumber(0, 3600),
  }),
  "drain": option({
    env: "SIGNAL_DRAIN",
    value: "SECONDS",
    help: "longest wait at shutdown, behind that, for clients to close their sockets",
    default: 5,
    read: wholeNumber(0, 3600),
  }),
  "resume": option({
    heading: "Sessions that outlive their sockets",
    env: "SIGNAL_RESUME",
    value: "SECONDS",
    help: "for how long a version 3 client whose socket broke may come back to what it held; 0: not at all",
    default: 20,
    read: wholeNumber(0, 3600),
  }),
  "resume-bytes": option({
    env: "SIGNAL_RESUME_BYTES",
    value: "BYTES",
    help: "what is kept for such a client of what it was sent and has not seen",
    default: 65_536,
    read: wholeNumber(1024, MAX_BYTES),
  }),
  "resume-total-bytes": option({
    env: "SIGNAL_RESUME_TOTAL_BYTES",
    value: "BYTES",
    help: "what is kept for all of them together",
    default: 67_108_864,
    read: wholeNumber(1024, 64 * MAX_BYTES),
  }),
  "resume-secret-file": option<string | undefined>({
    env: "SIGNAL_RESUME_SECRET_FILE",
    value: "FILE",
    help:
      "file with a secret of 32 bytes or more: with it clients take up what they held after a restart, too",
    default: undefined,
    read: text("a file"),
  }),
  "token-secret-file": option<string | undefined>({
    heading: "Tokens, without which nobody joins",
    env: "SIGNAL_TOKEN_SECRET_FILE",
    value: "FILE",
    help: "file with the secret, of 32 bytes or more, with which tokens are signed (HS256)",
    default: undefined,
    read: text("a file"),
  }),
  "token-key-file": option<string | undefined>({
    env: "SIGNAL_TOKEN_KEY_FILE",
    value: "FILE",
    help: "file with the public key (PEM, JWK or a set of JWKs) of who signs tokens (EdDSA, ES256, RS256)",
    default: undefined,
    read: text("a file"),
  }),
  "token-jwks": option<string | undefined>({
    env: "SIGNAL_TOKEN_JWKS",
    value: "PLACE",
    help:
      "URL or file of the set of public keys (JWKS) of who signs tokens; a URL is asked again now and then",
    default: undefined,
    read: (place) => isUrl(place) ? httpUrl(place) : text("a URL or a file")(place),
  }),
  "token-audience": option<string | undefined>({
    env: "SIGNAL_TOKEN_AUDIENCE",
    value: "NAME",
    help: "what has to stand in the claim aud of every token",
    default: undefined,
    read: text("a name"),
  }),
  "open-rooms": option<readonly string[]>({
    env: "SIGNAL_OPEN_ROOMS",
    value: "PATTERN",
    help: "rooms that need no token: a name, or the beginning of names with * behind it",
    default: [],
    list: true,
    read: (pattern) => [text("the name of a room")(pattern)],
  }),
  "token-rate": option({
    env: "SIGNAL_TOKEN_RATE",
    value: "NUMBER",
    help: "tokens that are not good, of one client address per second, in the long run",
    default: 1,
    read: positiveNumber(MAX_RATE),
  }),
  "token-burst": option({
    env: "SIGNAL_TOKEN_BURST",
    value: "NUMBER",
    help: "tokens that are not good, of one client address, at once",
    default: 20,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "admin-token-file": option<string | undefined>({
    heading: "Administration, at /admin/rooms",
    env: "SIGNAL_ADMIN_TOKEN_FILE",
    value: "FILE",
    help:
      "file with the word, of 32 characters or more, by which the administrator is known; none: no such path",
    default: undefined,
    read: text("a file"),
  }),
  "memory-high": option<number | undefined>({
    heading: "Limits",
    env: "SIGNAL_MEMORY_HIGH",
    value: "BYTES",
    help:
      "with more memory in use than that no new sockets are taken, and the costliest end; not given: 80 % of the machine's or container's, where that can be told; 0: no limit",
    default: undefined,
    read: wholeNumber(0, 1024 * MAX_BYTES),
  }),
  "max-sockets": option({
    env: "SIGNAL_MAX_SOCKETS",
    value: "NUMBER",
    help: "sockets in all",
    default: 10_000,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-sockets-per-client": option({
    env: "SIGNAL_MAX_SOCKETS_PER_CLIENT",
    value: "NUMBER",
    help: "sockets of one client address (IPv6: of one /64)",
    default: 128,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "site-share": option({
    env: "SIGNAL_SITE_SHARE",
    value: "PERCENT",
    help: "what one IPv6 /56 may have of all sockets and rooms, if that is more than one client may",
    default: 10,
    read: positiveNumber(100),
  }),
  "network-share": option({
    env: "SIGNAL_NETWORK_SHARE",
    value: "PERCENT",
    help: "the same for one IPv6 /48 or IPv4 /24; private and loopback addresses are not bound by shares",
    default: 25,
    read: positiveNumber(100),
  }),
  "connect-rate": option({
    env: "SIGNAL_CONNECT_RATE",
    value: "NUMBER",
    help: "new sockets of one client address per second, in the long run",
    default: 10,
    read: positiveNumber(MAX_RATE),
  }),
  "connect-burst": option({
    env: "SIGNAL_CONNECT_BURST",
    value: "NUMBER",
    help: "new sockets of one client address that may come at once",
    default: 128,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-rooms": option({
    env: "SIGNAL_MAX_ROOMS",
    value: "NUMBER",
    help: "rooms in all",
    default: 10_000,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-rooms-per-client": option({
    env: "SIGNAL_MAX_ROOMS_PER_CLIENT",
    value: "NUMBER",
    help: "rooms of one client address: those in which it has been longer than all others",
    default: 256,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-room-peers": option({
    env: "SIGNAL_MAX_ROOM_PEERS",
    value: "NUMBER",
    help: "peers in one room",
    default: 64,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-addresses": option({
    env: "SIGNAL_MAX_ADDRESSES",
    value: "NUMBER",
    help: "addresses (an ident in a room) of one socket",
    default: 64,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-addresses-per-client": option({
    env: "SIGNAL_MAX_ADDRESSES_PER_CLIENT",
    value: "NUMBER",
    help: "addresses of all sockets of one client address",
    default: 1024,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "max-pairs": option({
    env: "SIGNAL_MAX_PAIRS",
    value: "NUMBER",
    help:
      "pairs of peers of which is kept what becomes of their links; the oldest are forgotten first; 0: none",
    default: 20_000,
    read: wholeNumber(0, MAX_COUNT),
  }),
  "max-message-bytes": option({
    env: "SIGNAL_MAX_MESSAGE_BYTES",
    value: "BYTES",
    help: "largest message; a larger one closes the socket (1009)",
    default: 65_536,
    read: wholeNumber(128, MAX_BYTES),
  }),
  "max-queue-bytes": option({
    env: "SIGNAL_MAX_QUEUE_BYTES",
    value: "BYTES",
    help: "what may wait for a client that reads slowly; past it the socket is closed (1013)",
    default: 1_048_576,
    read: wholeNumber(1024, MAX_BYTES),
  }),
  "call-rate": option({
    env: "SIGNAL_CALL_RATE",
    value: "NUMBER",
    help: "calls of one socket per second, in the long run",
    default: 100,
    read: positiveNumber(MAX_RATE),
  }),
  "call-burst": option({
    env: "SIGNAL_CALL_BURST",
    value: "NUMBER",
    help: "calls of one socket that may come at once",
    default: 2000,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "join-rate": option({
    env: "SIGNAL_JOIN_RATE",
    value: "NUMBER",
    help: "joins of one socket per second, in the long run",
    default: 10,
    read: positiveNumber(MAX_RATE),
  }),
  "join-burst": option({
    env: "SIGNAL_JOIN_BURST",
    value: "NUMBER",
    help: "joins of one socket that may come at once",
    default: 128,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "busy-sockets-per-client": option({
    env: "SIGNAL_BUSY_SOCKETS_PER_CLIENT",
    value: "NUMBER",
    help:
      "all sockets of one client address share the calls and joins of so many; a join into a full room is dear",
    default: 16,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "strike-rate": option({
    env: "SIGNAL_STRIKE_RATE",
    value: "NUMBER",
    help: "calls beyond its own limits that a socket may make per second; one that goes on is closed (1008)",
    default: 1,
    read: positiveNumber(MAX_RATE),
  }),
  "strike-burst": option({
    env: "SIGNAL_STRIKE_BURST",
    value: "NUMBER",
    help: "calls beyond its own limits that a socket may make at once",
    default: 200,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "http-rate": option({
    env: "SIGNAL_HTTP_RATE",
    value: "NUMBER",
    help: "plain HTTP requests of one client address per second, in the long run",
    default: 50,
    read: positiveNumber(MAX_RATE),
  }),
  "http-burst": option({
    env: "SIGNAL_HTTP_BURST",
    value: "NUMBER",
    help: "plain HTTP requests of one client address that may come at once",
    default: 500,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "ice-rate": option({
    env: "SIGNAL_ICE_RATE",
    value: "NUMBER",
    help: "answers to GET /ice and to the call ice, to one client address per second, in the long run",
    default: 1,
    read: positiveNumber(MAX_RATE),
  }),
  "ice-burst": option({
    env: "SIGNAL_ICE_BURST",
    value: "NUMBER",
    help: "answers to GET /ice and to the call ice, to one client address, at once",
    default: 20,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "stun-rate": option({
    env: "SIGNAL_STUN_RATE",
    value: "NUMBER",
    help: "STUN answers to one address (IPv6: to one /64) per second, in the long run",
    default: STUN_LIMITS.ratePerSource,
    read: positiveNumber(MAX_RATE),
  }),
  "stun-burst": option({
    env: "SIGNAL_STUN_BURST",
    value: "NUMBER",
    help: "STUN answers to one address that may go out at once",
    default: STUN_LIMITS.burst,
    read: wholeNumber(1, MAX_COUNT),
  }),
  "stun-total-rate": option({
    env: "SIGNAL_STUN_TOTAL_RATE",
    value: "NUMBER",
    help: "datagrams per second that the STUN server reads in all",
    default: STUN_LIMITS.ratePerServer,
    read: positiveNumber(MAX_COUNT),
  }),
} as const;

export type Flag = keyof typeof OPTIONS;

/** Flags that take no value. */
export const SWITCHES = {
  "healthcheck": "ask the server that runs with the same options how it is; exit 0 where it is well, else 1",
  "help": "show this and exit",
  "version": "show the version and exit",
} as const;

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** All options, checked and frozen. `tls-cert` is `tlsCert` here, and so on. */
export type Config = {
  readonly [F in Flag as CamelCase<F>]: typeof OPTIONS[F] extends Option<infer T> ? T : never;
};

/** Variables that are read. */
export const VARIABLES: readonly string[] = Object.values(OPTIONS).map(({ env }) => env);
