/** The server's own STUN, and what clients are told of it and of other servers. */

import { lookup } from "node:dns/promises";
import ipaddr from "ipaddr.js";
import type { Log } from "../runtime/log.ts";
import { isLoopback, isPrivateAddress } from "../runtime/addresses.ts";
import { type ClientLimits, clientRates, networkFactors } from "../limits/limits.ts";
import type { Source } from "../limits/source.ts";
import { serversFor } from "./servers.ts";
import { askBinding, udpPath } from "./stun_client.ts";
import { addCounts, StunPort } from "./stun_port.ts";
import { stunBudget, type StunCounts } from "./stun_server.ts";
import type { IceServers } from "../protocol/ice_servers.ts";
import { turnIssuer } from "./turn.ts";

/** Which STUN ports to open, and what to tell clients. */
export interface IceOptions extends ClientLimits {
  /** The address of the HTTP server, and STUN's own where `stunHost` is empty. */
  readonly host: string;
  readonly stunHost: readonly string[];
  /** UDP port; not given: the number of the TCP port. */
  readonly stunPort?: number | "off";
  readonly stunSecondPort: number | "off";
  /** See `IceSources`. */
  readonly publicHost?: string;
  readonly stunUrl: readonly string[];
  readonly turnUrl: readonly string[];
  /** Seconds. */
  readonly turnTtl: number;
  readonly iceEndpoint: "auto" | "on" | "off";
  /** Answers of `GET /ice` and to the call `ice`, to one client, per second and at once. */
  readonly iceRate: number;
  readonly iceBurst: number;
  /** See `StunLimits`. */
  readonly stunRate: number;
  readonly stunBurst: number;
  readonly stunTotalRate: number;
}

/** What an ICE service needs besides its options. */
export interface IceServiceParts {
  /** What the file of the TURN secret holds. */
  readonly turnSecret?: string;
  readonly log: Log;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
}

/**
 * Whether the server's own STUN answers at the name that clients are told: `unanswered` where nothing comes, `private`
 * where what comes names an address that is none on the internet; `unknown` where it was not asked.
 */
export type PublicStun = "ok" | "unanswered" | "private" | "unknown";

export type StunState = "ok" | "unavailable" | "off";

export interface IceService {
  /** UDP ports on which STUN is served at the moment; see `serversFor` for who is told of them. */
  readonly stunPorts: readonly number[];
  /** Whether it is served on all ports on which it should be; `off`: on none. */
  readonly stunState: StunState;
  /** What the server has seen when it asked itself, once, at its public host. */
  readonly publicStun: PublicStun;
  /** STUN datagrams since the start. */
  stunCounts(): StunCounts;
  /** TURN credentials that were given since the start. */
  readonly turnCredentials: number;
  /**
   * What to tell a client that came by `host`, see `serversFor`; `ident` stands in the TURN server's log. Without one
   * there is no TURN.
   */
  servers(host: string | undefined, ident: string | undefined): IceServers;
  /** Whether `GET /ice` is on. */
  readonly endpoint: boolean;
  /** Whether the client may have fresh credentials once more, by `GET /ice` or by the call `ice`. */
  take(source: Source): boolean;
  /** From now on credentials are made with this secret. Throws a `RangeError` where it is empty. */
  renew(turnSecret: string): void;
  /**
   * Begins to answer STUN.
   *
   * @param port the TCP port that was taken: STUN's own, where nothing else was asked for
   */
  open(port: number): void;
  close(): void;
}

/** Milliseconds after the start: whoever starts the server may still be about to open the way to it. */
const SELF_CHECK_DELAY = 3000;
const SELF_CHECK_PATIENCE = 5000;

const NAMELESS =
  "A client from elsewhere came by a name of this machine alone, such as localhost: a proxy does not pass on " +
  "what it was asked for. Such clients are not told of STUN here; --public-host names where they find it.";
const UNREACHABLE =
  "STUN is answered on a loopback address only, where clients from elsewhere can't ask it: they are " +
  "not told of it. --stun-host :: answers everybody.";

/** `undefined` where it can't be found out: the name is not known here, or the runtime does not let us ask. */
async function askPublicly(host: string, port: number): Promise<PublicStun | undefined> {
  try {
    const { address: hostname } = await lookup(host.replace(/^\[(.*)\]$/, "$1"));
    using path = udpPath({ transport: "udp", hostname, port });
    const reflexive = await askBinding(path, SELF_CHECK_PATIENCE);
    if (reflexive === undefined) return "unanswered";
    // Whoever names a private address serves those who are near.
    if (isPrivateAddress(ipaddr.parse(hostname))) return "ok";
    return isPrivateAddress(ipaddr.fromByteArray([...reflexive.address])) ? "private" : "ok";
  } catch {
    return undefined;
  }
}

/** What a server offers for ICE; STUN, once it is opened. A port that can't be had is told in the log, and tried again. */
export function iceService(options: IceOptions, { turnSecret, log, now }: IceServiceParts): IceService {
  const hosts = options.stunHost.length > 0 ? options.stunHost : [options.host];
  const budget = stunBudget({
    ratePerSource: options.stunRate,
    burst: options.stunBurst,
    networks: networkFactors(options),
    ratePerServer: options.stunTotalRate,
  });
  let all: StunPort[] = [];
  let turnCredentials = 0;
  const open = () => all.filter(({ hostnames }) => hostnames.length > 0);
  const issuer = (secret: string) => turnIssuer({ secret, ttlSeconds: options.turnTtl, now: Date.now });
  let turn = turnSecret === undefined ? undefined : issuer(turnSecret);
  const sources = {
    publicHost: options.publicHost,
    stunUrls: options.stunUrl,
    turnUrls: options.turnUrl,
    turnTtlSeconds: options.turnTtl,
  };
  const rates = clientRates(options, options.iceRate, options.iceBurst);
  const warned = new Set<string>();
  function warnOnce(sentence: string): void {
    if (warned.has(sentence)) return;
    warned.add(sentence);
    log.warn(sentence);
  }
  let publicStun: PublicStun = "unknown";
  let checking: ReturnType<typeof setTimeout> | undefined;
  async function askOneself(host: string, port: number): Promise<void> {
    const seen = await askPublicly(host, port);
    if (seen === undefined) return;
    publicStun = seen;
    const place = `${host}, UDP port ${port} (--public-host)`;
    if (seen === "unanswered") {
      log.warn(
        `STUN does not answer at ${place}, asked from here. Where clients get no answer either, each of them waits up to ` +
          "40 s: is the port open for UDP, and mapped where this is a container (-p 3903:3903/udp)? Some routers let " +
          "nobody in from inside; `signal doctor` asks from elsewhere.",
      );
    } else if (seen === "private") {
      log.warn(
        `STUN at ${place} sees a private address. Something in between hides where clients come from: a container's port ` +
          "mapping by a proxy of its own, say. They learn nothing of use by it; let the container use the host's network.",
      );
    }
  }
  return {
    get publicStun() {
      return publicStun;
    },
    get stunPorts() {
      return open().map(({ port }) => port);
    },
    get stunState() {
      return all.length === 0 ? "off" : open().length === all.length ? "ok" : "unavailable";
    },
    stunCounts() {
      const sum: StunCounts = { answered: 0, ignored: 0, limited: 0, errors: 0, pauses: 0 };
      for (const port of all) addCounts(sum, port.counts());
      return sum;
    },
    get turnCredentials() {
      return turnCredentials;
    },
    servers(host, ident) {
      if (turn !== undefined && ident !== undefined) turnCredentials++;
      const ports = open();
      const told = { ...sources, turn, stunPorts: ports.map(({ port }) => port) };
      if (options.publicHost === undefined && ports.length > 0) {
        if (host === undefined) warnOnce(NAMELESS);
        else if (
          !isLoopback(host) &&
          ports.every(({ hostnames }) => hostnames.every((address) => /^127\.|^::1$/.test(address)))
        ) {
          warnOnce(UNREACHABLE);
          return serversFor(told, undefined, ident);
        }
      }
      return serversFor(told, host, ident);
    },
    endpoint: options.iceEndpoint === "on" || (options.iceEndpoint === "auto" && turn !== undefined),
    take: (source) => rates.take(source, now()),
    renew: (secret) => turn = issuer(secret),
    open(port) {
      const wanted = [options.stunPort ?? port, options.stunSecondPort].filter((port) => port !== "off");
      all = wanted.map((port) => new StunPort({ hosts, port, budget, log, now }));
      const [first] = all;
      const { publicHost } = options;
      if (first === undefined || publicHost === undefined) return;
      checking = setTimeout(() => void askOneself(publicHost, first.port), SELF_CHECK_DELAY);
    },
    close() {
      clearTimeout(checking);
      all.forEach((port) => port.close());
    },
  };
}
