/** The server's own STUN, and what clients are told of it and of other servers. */

import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import { listenOn } from "../process.ts";
import { SourceRates } from "../source_rates.ts";
import { makeOffer } from "./offers.ts";
import { listenStun, STUN_LIMITS, type StunServer } from "./server.ts";
import { parseAddress } from "./stun.ts";
import { type IceOffer, turnIssuer } from "./turn.ts";

/** What an ICE service needs besides its options. */
export interface IceServiceOptions {
  /** The TCP port that was taken: STUN's own, where nothing else was asked for. */
  readonly port: number;
  /** What the file of the TURN secret holds. */
  readonly turnSecret?: string;
  readonly log: Log;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
}

export interface IceService {
  /** UDP ports on which STUN is served; see `makeOffer` for who is told of them. */
  readonly stunPorts: readonly number[];
  /** STUN requests that were answered since the start. */
  stunAnswers(): number;
  /** What to tell a client that came by `host`; `ident` stands in the TURN server's log. */
  offer(host: string, ident: string): IceOffer;
  /** Whether `GET /ice` is on. */
  readonly endpoint: boolean;
  /** Whether the client at this address may have one more answer of `GET /ice`. */
  take(address: string): boolean;
  close(): void;
}

/** Opens the STUN ports. One that can't be had is told in the log, and gone without. */
export function openIce(config: Config, { port, turnSecret, log, now }: IceServiceOptions): IceService {
  const wanted = [config.stunPort ?? port, config.stunSecondPort].filter((port) => port !== "off");
  const servers = wanted.map((port) => openStun(config, port, log, now)).filter((server) =>
    server !== undefined
  );
  const stunPorts = servers.map(({ port }) => port);
  const turn = turnSecret === undefined
    ? undefined
    : turnIssuer({ secret: turnSecret, ttlSeconds: config.turnTtl, now: Date.now });
  const sources = {
    stunPorts,
    publicHost: config.publicHost,
    stunUrls: config.stunUrl,
    turnUrls: config.turnUrl,
    turn,
    turnTtlSeconds: config.turnTtl,
  };
  const rates = new SourceRates({
    ratePerSource: config.iceRate,
    burst: config.iceBurst,
    maxSources: STUN_LIMITS.maxSources,
  });
  return {
    stunPorts,
    stunAnswers: () => servers.reduce((sum, { counts }) => sum + counts.answered, 0),
    offer: (host, ident) => makeOffer(sources, host, ident),
    endpoint: config.iceEndpoint === "on" || (config.iceEndpoint === "auto" && turn !== undefined),
    take(address) {
      const bytes = parseAddress(address);
      return bytes !== undefined && rates.take(bytes, now());
    },
    close: () => servers.forEach((server) => server.close()),
  };
}

function openStun(config: Config, port: number, log: Log, now: () => number): StunServer | undefined {
  try {
    const server = listenOn(config.stunHost ?? config.host, (hostname) =>
      listenStun({
        hostname,
        port,
        now,
        onError: (error) => log.warn("STUN: {error}", { error: String(error) }),
        ratePerSource: config.stunRate,
        burst: config.stunBurst,
        maxSources: STUN_LIMITS.maxSources,
        ratePerServer: config.stunTotalRate,
      }));
    const { hostname, port: stunPort } = server;
    log.info(`STUN is answered on UDP port ${stunPort} of ${hostname}`, { stunPort, stunHost: hostname });
    return server;
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse ? "it is in use" : (error as Error).message;
    log.warn(`No STUN on UDP port ${port}: ${why}. Going on without; --stun-port takes another, or off.`);
    return undefined;
  }
}
