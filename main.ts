/**
 * signal: a rendezvous server for WebRTC peers. Read the options, listen, upgrade, serve until a signal comes, drain.
 */

import { parse, UsageError } from "./lib/config/command_line.ts";
import { help } from "./lib/config/help.ts";
import { isSubcommand, type Subcommand } from "./lib/config/subcommands.ts";
import { type Config, VARIABLES, VERSION } from "./lib/config/options.ts";
import { Renewal, RENEWAL_INTERVAL } from "./lib/config/renewal.ts";
import { checkCertificate, explain, FileError, readSecrets } from "./lib/config/startup.ts";
import { askHealth } from "./lib/http/healthcheck.ts";
import type { Health } from "./lib/http/site.ts";
import type { RedisStore } from "./lib/rooms/redis.ts";
import { canWatch } from "./lib/runtime/internals.ts";
import { Listener } from "./lib/runtime/listener.ts";
import { configureLog, flushLog, log as programLog, withoutAddresses } from "./lib/runtime/log.ts";
import { listenOn, onHangup, readableVariables, terminationSignal } from "./lib/runtime/process.ts";
import { Systemd, SYSTEMD_VARIABLES } from "./lib/runtime/systemd.ts";
import { Service } from "./lib/service.ts";

/** A server that runs. */
export interface Server {
  /** The port that it listens on. */
  readonly port: number;
  /** The UDP ports on which it answers STUN at the moment. */
  readonly stunPorts: readonly number[];
  /** Where metrics have a port of their own. */
  readonly metricsPort: number | undefined;
  /** What `/healthz` tells at the moment. */
  health(): Health;
  /** Resolves where it can't go on, with an error that says why. */
  readonly failed: Promise<Error>;
  /** Reads the files of secrets and keys again. */
  renew(): void;
  /** Takes no new sockets, closes the open ones behind what is queued, and stops: within `drain` seconds. */
  drain(): Promise<void>;
}

/** What only some servers need: loaded for those, so that the others start as fast without it. */
async function loadShared({ engine }: Config): Promise<typeof RedisStore | undefined> {
  return engine && (await import("./lib/rooms/redis.ts")).RedisStore;
}

/**
 * Starts a server; it listens when this returns. Throws where it can't: see `explain`.
 *
 * @param shared the store of several nodes, where the configuration names an engine
 */
export function start(config: Config, shared?: typeof RedisStore): Server {
  const secrets = readSecrets(config);
  const log = config.logAddresses === "off" ? withoutAddresses(programLog) : programLog;
  let { tls } = secrets;
  const now = () => performance.now();
  const failed = Promise.withResolvers<Error>();
  const service = new Service(config, { secrets, log, now, shared, onFault: failed.resolve });

  function handle(
    request: Request,
    { remoteAddr }: Deno.ServeHandlerInfo<Deno.NetAddr>,
  ): Response | Promise<Response> {
    // It was reset before its address could be asked for: nobody will read the answer.
    if (remoteAddr.port === 0) return new Response(null, { status: 400 });
    const answer = service.answer(request, remoteAddr.hostname);
    if (answer instanceof Response || answer instanceof Promise) return answer;
    // Where the sessions can't watch their sockets themselves: half of the idle timeout passes before the runtime
    // pings, the other half before it gives the peer up.
    const { socket, response } = Deno.upgradeWebSocket(request, {
      idleTimeout: canWatch ? 0 : 2 * config.keepalive,
    });
    // Not by the option `protocol`: it throws where the client lists its subprotocols without spaces.
    if (answer.protocol !== undefined) response.headers.set("sec-websocket-protocol", answer.protocol);
    answer.accept(socket);
    return response;
  }

  type Handler = (
    request: Request,
    info: Deno.ServeHandlerInfo<Deno.NetAddr>,
  ) => Response | Promise<Response>;
  const listen = (host: string, port: number, handler: Handler = handle) =>
    new Listener(port, {
      open: (port, signal) =>
        listenOn(host, (hostname) =>
          Deno.serve({
            hostname,
            port,
            signal,
            ...tls,
            // The runtime would print a line of its own.
            onListen: () => {},
            onError: (error) => service.fail(error),
          }, handler)),
      onFailure: (error) =>
        log.error("no connections could be accepted: {error}; listening again", { error: String(error) }),
    });
  const first = listen(config.host, config.port);
  const { port } = first;
  const listeners = [first];
  if (first.hostname === "::") {
    // Where IPv6 sockets take no IPv4 (bindv6only, Windows); elsewhere it is taken already, by the first one.
    try {
      listeners.push(listen("0.0.0.0", port));
    } catch { /* then that is all there is */ }
  }
  let metricsPort: number | undefined;
  if (config.metricsPort !== "off" && config.metrics === "on") {
    const back: Handler = (request, { remoteAddr }) => service.answerBack(request, remoteAddr.hostname);
    const listener = listen(config.host, config.metricsPort, back);
    metricsPort = listener.port;
    listeners.push(listener);
    log.info("metrics are at port {metricsPort}", { metricsPort });
  }
  announce(first.hostname, port, tls !== undefined);
  service.open(port);

  const renewal = new Renewal(config, {
    secrets,
    log,
    take: (secrets) => service.renew(secrets),
    certify: (fresh) => {
      checkCertificate(
        config,
        () => listenOn(config.host, (hostname) => Deno.listenTls({ hostname, port: 0, ...fresh })),
      );
      tls = fresh;
      return listeners.map((listener) => listener.renew()).every(Boolean);
    },
  });
  const renewing = renewal.needed ? setInterval(() => renewal.look(), RENEWAL_INTERVAL) : undefined;

  let stopped: Promise<void> | undefined;
  async function drain(): Promise<void> {
    clearInterval(renewing);
    service.leave();
    if (config.drainDelay > 0) {
      log.info("stopping in {seconds} s: /readyz says so", { seconds: config.drainDelay });
      await new Promise((resolve) => setTimeout(resolve, config.drainDelay * 1000));
    }
    const deadline = setTimeout(() => listeners.forEach((listener) => listener.abort()), config.drain * 1000);
    service.drain().then(() => listeners.forEach((listener) => listener.stop()));
    await Promise.all(listeners.map(({ finished }) => finished));
    clearTimeout(deadline);
    await service.dispose();
  }

  return {
    port,
    metricsPort,
    get stunPorts() {
      return service.stunPorts;
    },
    health: () => service.health(),
    failed: failed.promise,
    renew() {
      if (stopped === undefined) renewal.look(true);
    },
    drain: () => stopped ??= drain(),
  };
}

/** Says where it listens: for programs, and to click. */
function announce(address: string, port: number, tls: boolean): void {
  const every = { "::": " (every address)", "0.0.0.0": " (every IPv4 address)" }[address];
  const host = every !== undefined ? "localhost" : address.includes(":") ? `[${address}]` : address;
  const url = `${tls ? "wss" : "ws"}://${host}:${port}`;
  const page = url.replace("ws", "http");
  const version = VERSION;
  programLog.info(`signal ${version} listens on ${url} and ${page}${every ?? ""}`, {
    version,
    address,
    url,
    page,
  });
}

/** A way to tell systemd how the server is, where it asks for that and can be told. */
function openSystemd(): Systemd | undefined {
  const opened = Systemd.open(readableVariables(SYSTEMD_VARIABLES));
  if (typeof opened !== "string") return opened;
  programLog.warn(
    `systemd asks to be told when the server is ready (Type=notify), and can't be: ${opened} Type=exec asks for nothing.`,
  );
  return undefined;
}

/** Prints how the server is that runs with this configuration; the exit status says whether it is well. */
async function healthcheck(config: Config): Promise<number> {
  const { host, port } = config;
  let status: string;
  try {
    status = await askHealth({ host, port, tls: config.tlsCert !== undefined });
  } catch (error) {
    console.error(`signal: no answer on port ${port} (--port, PORT): ${(error as Error).message}`);
    return 1;
  }
  if (/ 200 /.test(status)) return console.log(status), 0;
  console.error(`signal: the answer on port ${port} is ${status}`);
  return 1;
}

type Run = (
  words: readonly string[],
  variables: Record<string, string | undefined>,
) => Promise<number> | number;

/** What else the program can do; each is loaded when it is asked for. */
const COMMANDS: Readonly<Record<Subcommand, Run>> = {
  doctor: async (words) => (await import("./lib/commands/doctor.ts")).doctor(words, console.log),
  conform: async (words) => (await import("./lib/commands/conform.ts")).conform(words, console.log),
  bench: async (words) => (await import("./lib/commands/bench.ts")).bench(words, console.log),
  token: (words, variables) => tokens(["token", ...words], variables),
  keygen: (words, variables) => tokens(["keygen", ...words], variables),
  completions: async (words) =>
    (await import("./lib/commands/completions.ts")).completions(words, console.log),
  man: async (words) => (await import("./lib/commands/completions.ts")).man(words, console.log),
  help: () => (console.log(help()), 0),
};

async function tokens(
  words: readonly string[],
  variables: Record<string, string | undefined>,
): Promise<number> {
  return await (await import("./lib/config/token_commands.ts")).tokenCommand(words, variables, console.log);
}

/** Resolves with the exit status: 0, 1 where something failed, 2 where the options are wrong. */
async function main(): Promise<number> {
  let config: Config | undefined;
  try {
    const variables = readableVariables(VARIABLES);
    const [word, ...words] = Deno.args;
    if (isSubcommand(word)) return await COMMANDS[word](words, variables);
    const command = parse(Deno.args, variables);
    config = command.config;
    if (command.name === "help") return console.log(help()), 0;
    if (command.name === "version") return console.log(VERSION), 0;
    if (command.name === "healthcheck") return await healthcheck(config);
    configureLog(config.logLevel, config.logFormat);
    for (const { name, value } of command.injected) {
      const variable = `${name}=${value}`;
      programLog.warn("{variable} is passed over: an orchestrator puts such into the environment", {
        variable,
      });
    }
    // From the first moment on: whoever reads that the server listens may stop it, or tell it to read its files again.
    const stopping = terminationSignal(() => Deno.exit(1), () => performance.now());
    let started: Server | undefined;
    onHangup(() => started?.renew());
    const server = started = start(config, await loadShared(config));
    const systemd = openSystemd();
    systemd?.ready(`listens on port ${server.port}`);
    const failure = await Promise.race([stopping, server.failed]);
    systemd?.stopping();
    await server.drain();
    systemd?.close();
    if (failure instanceof Error) throw failure;
    return 0;
  } catch (error) {
    const message = error instanceof UsageError || error instanceof FileError
      ? error.message
      : config && explain(error, config);
    if (message === undefined) throw error;
    console.error(`signal: ${message}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (import.meta.main) {
  const status = await main();
  await flushLog();
  Deno.exit(status);
}
