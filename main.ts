/**
 * signal: a rendezvous server for WebRTC peers. Read the options, start, serve until a signal comes, drain, stop.
 */

import { Admission } from "./lib/admission.ts";
import { cameByTls, clientAddress, clientKey, isUntrustedProxy } from "./lib/client_address.ts";
import { type Config, help, parse, UsageError, VARIABLES, VERSION } from "./lib/config.ts";
import { explain, readNamedFile } from "./lib/failures.ts";
import { admissionFault, chooseSubprotocol, handshakeFault, wantsWebSocket } from "./lib/http/handshake.ts";
import { askHealth } from "./lib/http/healthcheck.ts";
import { respondIce } from "./lib/http/ice.ts";
import { refusal } from "./lib/http/responses.ts";
import { type Health, respond } from "./lib/http/routes.ts";
import { Hub } from "./lib/hub.ts";
import { openIce } from "./lib/ice/service.ts";
import { Listener } from "./lib/listener.ts";
import { configureLog, log } from "./lib/log.ts";
import { listenOn, readableVariables, terminationSignal } from "./lib/process.ts";
import { freshIdent } from "./lib/protocol/ident.ts";
import { Tally } from "./lib/tally.ts";

/** A server that runs. */
export interface Server {
  /** The port that it listens on. */
  readonly port: number;
  /** The UDP ports on which it answers STUN. */
  readonly stunPorts: readonly number[];
  /** What `/healthz` tells at the moment. */
  health(): Health;
  /** Takes no new sockets, closes the open ones behind what is queued, and stops: within `drain` seconds. */
  drain(): Promise<void>;
}

const REFUSALS_INTERVAL_SECONDS = 10;

/** `address` stands in the text as it is: a field would be quoted there, and this is to be copied. */
function untrustedProxy(address: string): string {
  return `Requests from ${address} name other clients. That is not believed, so they all share the limits of one. ` +
    `If it is your proxy, start with --trust-proxy ${address}.`;
}

/** Starts a server; it listens when this returns. Throws where it can't: see `explain`. */
export function start(config: Config): Server {
  const tls = config.tlsCert === undefined ? undefined : {
    cert: readNamedFile("tls-cert", config.tlsCert),
    key: readNamedFile("tls-key", config.tlsKey!),
  };
  const turnSecret = config.turnSecretFile && readNamedFile("turn-secret-file", config.turnSecretFile).trim();
  const now = () => performance.now();
  const startedAt = now();

  const open = (port: number, signal: AbortSignal) =>
    listenOn(
      config.host,
      (hostname) => Deno.serve({ hostname, port, signal, onListen, onError, ...tls }, handle),
    );
  const listener = new Listener(config.port, open, (error) => {
    log.error("no connections could be accepted: {error}; listening again", { error: String(error) });
  });
  const { port } = listener;
  const url = `${tls ? "wss" : "ws"}://localhost:${port}`;
  log.info(`signal ${VERSION} listens on ${url}`, { version: VERSION, url });

  const refusals = new Tally();
  const admission = new Admission(config, now);
  const ice = openIce(config, { port, turnSecret, log, now });
  const server = `signal/${VERSION}`;
  const hub = new Hub({ limits: config, server, keepalive: config.keepalive, log, refusals, now });
  const logRefusals = setInterval(() => {
    const counts = refusals.flush();
    if (counts) log.info("refused in {seconds} s: {counts}", { seconds: REFUSALS_INTERVAL_SECONDS, counts });
  }, REFUSALS_INTERVAL_SECONDS * 1000);
  let warnedOfProxy = false;

  function handle(request: Request, { remoteAddr }: Deno.ServeHandlerInfo<Deno.NetAddr>): Response {
    const { headers } = request;
    const connection = remoteAddr.hostname;
    if (!warnedOfProxy && isUntrustedProxy(connection, headers, config.trustProxy)) {
      warnedOfProxy = true;
      log.warn(untrustedProxy(connection), { address: connection });
    }
    const address = clientAddress(connection, headers, config.trustProxy);
    if (wantsWebSocket(request)) return upgrade(request, address);
    return respond(request, {
      secure: tls !== undefined || cameByTls(connection, headers, config.trustProxy),
      health: health(),
      ice: ice.endpoint
        ? (request, { hostname }) =>
          respondIce(request, {
            origins: config.allowOrigin,
            take: () => ice.take(address),
            offer: () => ice.offer(hostname, freshIdent()),
          })
        : undefined,
    });
  }

  function upgrade(request: Request, address: string): Response {
    const client = clientKey(address);
    const fault = handshakeFault(request, config.allowOrigin, hub.draining) ??
      admissionFault(admission, client);
    if (fault) {
      refusals.count(fault.code);
      return refusal(fault.status, fault.sentence, fault.headers);
    }
    const { version, protocol } = chooseSubprotocol(request.headers.get("sec-websocket-protocol"));
    // Half of the idle timeout passes before the runtime pings, the other half before it gives the peer up.
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 2 * config.keepalive });
    // Not by the option `protocol`: it throws where the client lists its subprotocols without spaces.
    if (protocol !== undefined) response.headers.set("sec-websocket-protocol", protocol);
    const { hostname } = new URL(request.url);
    hub.accept({
      socket,
      version,
      ice: (ident) => ice.offer(hostname, ident),
      onClosed: () => admission.release(client),
    });
    return response;
  }

  function onListen(): void {
    // The runtime would print a line of its own.
  }

  function onError(error: unknown): Response {
    log.error("a request failed: {error}", { error });
    return refusal(500, "The server made a mistake.");
  }

  function health(): Health {
    return {
      status: hub.draining ? "draining" : "ok",
      version: VERSION,
      uptimeSeconds: Math.floor((now() - startedAt) / 1000),
      ...hub.counts(),
      stunAnswers: ice.stunAnswers(),
    };
  }

  async function drain(): Promise<void> {
    if (hub.draining) return;
    log.info("stopping, with {sockets} sockets open", hub.counts());
    ice.close();
    const deadline = setTimeout(() => listener.abort(), config.drain * 1000);
    hub.drain().then(() => listener.stop());
    await listener.finished;
    clearTimeout(deadline);
    clearInterval(logRefusals);
    hub.dispose();
    const { sockets } = hub.counts();
    if (sockets > 0) log.warn("{sockets} sockets did not close in time", { sockets });
    log.info("stopped");
  }

  return { port, stunPorts: ice.stunPorts, health, drain };
}

/** Prints how the server is that runs with this configuration. */
async function healthcheck(config: Config): Promise<number> {
  try {
    const status = await askHealth({
      host: config.host,
      port: config.port,
      tls: config.tlsCert !== undefined,
    });
    console.log(status);
    return / 200 /.test(status) ? 0 : 1;
  } catch (error) {
    console.error(`No answer on port ${config.port} (--port, PORT): ${(error as Error).message}`);
    return 1;
  }
}

/** Resolves with the exit status: 0, 1 where something failed, 2 where the options are wrong. */
async function main(): Promise<number> {
  let config: Config | undefined;
  try {
    const command = parse(Deno.args, readableVariables(VARIABLES));
    config = command.config;
    if (command.name === "help") return console.log(help()), 0;
    if (command.name === "version") return console.log(VERSION), 0;
    if (command.name === "healthcheck") return await healthcheck(config);
    configureLog(config.logLevel, config.logFormat);
    // From the first moment on: whoever reads that the server listens may stop it.
    const stopping = terminationSignal(() => Deno.exit(1), () => performance.now());
    const server = start(config);
    await stopping;
    await server.drain();
    return 0;
  } catch (error) {
    const message = error instanceof UsageError ? error.message : config && explain(error, config);
    if (message === undefined) throw error;
    console.error(`signal: ${message}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (import.meta.main) Deno.exit(await main());
