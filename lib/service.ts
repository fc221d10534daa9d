/** All that a running server is, but for its sockets on the network. */

import { Admission } from "./limits/admission.ts";
import { clientRates } from "./limits/limits.ts";
import type { Source } from "./limits/source.ts";
import type { SourceRates } from "./limits/source_rates.ts";
import { type Config, VERSION } from "./config/options.ts";
import type { Secrets } from "./config/startup.ts";
import { isUrl } from "./config/values.ts";
import { Admin, ADMIN_PATH } from "./http/admin.ts";
import { bearerToken } from "./http/bearer.ts";
import {
  admissionFault,
  chooseSubprotocol,
  type HandshakeFault,
  handshakeFault,
  NO_MEMORY,
  wantsWebSocket,
} from "./http/handshake.ts";
import { documentRows } from "./http/documents.ts";
import { clientRows, pageFileRows } from "./http/files.ts";
import { iceRow } from "./http/ice_endpoint.ts";
import { metricsRow } from "./http/metrics_endpoint.ts";
import { Exposition } from "./metrics/exposition.ts";
import { metrics } from "./metrics/metrics.ts";
import type { Imprint } from "./http/page.ts";
import { RefusalLog } from "./http/refusal_log.ts";
import { refusal } from "./http/responses.ts";
import { type Health, healthRow, pageRow, type Readiness, readyRow, type Row, Site } from "./http/site.ts";
import { proxyMistake, readVisit, type Visit } from "./http/visit.ts";
import { whoamiRow } from "./http/whoami.ts";
import { MemoryStore } from "./rooms/memory.ts";
import type { EngineFault } from "./rooms/redis/fault.ts";
import type { RedisStore } from "./rooms/redis.ts";
import { Hub, type HubOptions } from "./sockets/hub.ts";
import type { Session } from "./sockets/session.ts";
import { type IceService, iceService } from "./ice/ice.ts";
import type { Log } from "./runtime/log.ts";
import { usualMemoryHigh } from "./runtime/memory.ts";
import { freshIdent } from "./protocol/ident.ts";
import { Tally } from "./runtime/tally.ts";
import { TokenFault } from "./tokens/claims.ts";
import { PublishedKeys } from "./tokens/jwks.ts";
import { Tokens } from "./tokens/tokens.ts";

/** A WebSocket that is granted: to be upgraded, and then handed to `accept`, come what may. */
export interface Grant {
  /** The subprotocol to answer with. */
  readonly protocol?: string;
  accept(socket: WebSocket): void;
}

/** What a service needs besides its options. */
export interface ServiceOptions {
  readonly secrets: Secrets;
  readonly log: Log;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
  /** The store of several nodes: loaded only where there is an engine. */
  readonly shared?: typeof RedisStore | undefined;
  /** Told of an engine that can't be used, however long one waits. */
  readonly onFault: (fault: EngineFault) => void;
}

const TALLY_INTERVAL_SECONDS = 10;

/** Proxies and tracers write such ids; what is longer or stranger is nobody's. */
function requestId(headers: Headers): string | undefined {
  return /^[\w.:=+/-]{1,128}$/.exec(headers.get("x-request-id") ?? "")?.[0];
}

const TOKEN_STATUS = { "unauthorised": 401, "rate-limited": 429, "unavailable": 503 } as const;

function tokensOf(
  config: Config,
  { secrets, log, now }: Pick<ServiceOptions, "secrets" | "log" | "now">,
): Tokens | undefined {
  const published = isUrl(config.tokenJwks) ? new PublishedKeys(config.tokenJwks, log, now) : undefined;
  return secrets.tokenKeys.length > 0 || published !== undefined
    ? new Tokens(config, { keys: secrets.tokenKeys, published, now })
    : undefined;
}

/** Milliseconds for which a node may be cut off from the others before new clients should go elsewhere. */
const CUT_OFF_PATIENCE = 10_000;

export class Service {
  readonly #config: Config;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #refusals = new Tally();
  readonly #links = new Tally();
  /** Answers to plain requests, by their status. */
  readonly #answers = new Tally();
  readonly #admission: Admission;
  /** Requests that are no WebSocket's. */
  readonly #plainRates: SourceRates;
  readonly #ice: IceService;
  /** Where tokens are asked for. */
  readonly #tokens?: Tokens | undefined;
  readonly #admin?: Admin | undefined;
  readonly #hub: Hub;
  /** Of several nodes. */
  #cluster?: RedisStore<Session>;
  /** What stands below the pages; without one there are none. */
  readonly #imprint?: Imprint;
  readonly #site: Site;
  /** What is answered on the port for metrics. */
  readonly #back: Site;
  /** Nobody new should come, but all goes on for those who do. */
  #leaving = false;
  readonly #refusalLog: RefusalLog;
  readonly #logTallies: ReturnType<typeof setInterval>;

  constructor(config: Config, { secrets, log, now, shared, onFault }: ServiceOptions) {
    this.#config = config;
    this.#log = log;
    this.#now = now;
    this.#startedAt = now();
    this.#admission = new Admission(config, now);
    this.#plainRates = clientRates(config, config.httpRate, config.httpBurst);
    this.#ice = iceService(config, { turnSecret: secrets.turn, log, now });
    this.#tokens = tokensOf(config, { secrets, log, now });
    this.#refusalLog = new RefusalLog(log, now);
    const { engine, enginePrefix: prefix, nodeName: name = "" } = config;
    const rooms: HubOptions["rooms"] = (...parts) => {
      if (engine === undefined) return new MemoryStore(...parts);
      if (shared === undefined) {
        throw new Error("an engine is configured, but no store that uses it was loaded");
      }
      const address = { ...engine, ...secrets.engine };
      return this.#cluster = new shared(...parts, { engine: address, prefix, name, log, now, onFault });
    };
    const { memoryHigh: asked = usualMemoryHigh() } = config;
    const memoryHigh = asked === 0 ? undefined : asked;
    this.#hub = new Hub({
      rooms,
      limits: config,
      maxPairs: config.maxPairs,
      memoryHigh,
      drain: config.drain,
      resumeSecret: secrets.resume,
      tokens: this.#tokens,
      server: `signal/${VERSION}`,
      keepalive: config.keepalive,
      log,
      refusals: this.#refusals,
      links: this.#links,
      now,
      ice: ({ host }, ident) => this.#ice.servers(host, ident),
      takeIce: ({ account }) => this.#ice.take(account.source),
      takeLine: () => this.#refusalLog.takeLine(),
      onAsleep: ({ account }, sleeper) => this.#admission.rest(account, sleeper),
      onClosed: ({ account }, sleeper) => this.#admission.release(account, sleeper),
    });
    if (secrets.admin !== undefined) {
      const wrong = clientRates(config, config.tokenRate, config.tokenBurst);
      this.#admin = new Admin({
        token: secrets.admin,
        administration: this.#hub,
        mayTry: (client) => wrong.allows(client, now()),
        onWrong: (client) => wrong.charge(client, now(), 1),
      });
    }
    this.#imprint = config.page === "on" ? { version: VERSION, source: config.sourceUrl } : undefined;
    const exposition = new Exposition(metrics({
      version: VERSION,
      health: () => this.health(),
      readiness: () => this.readiness(),
      hub: this.#hub,
      refusals: this.#refusals,
      links: this.#links,
      answers: this.#answers,
      stun: () => this.#ice.stunCounts(),
      turnCredentials: () => this.#ice.turnCredentials,
      maxSockets: config.maxSockets,
      memoryHigh: memoryHigh,
      startedAt: Date.now() / 1000,
    }));
    const figures = (own: boolean) =>
      metricsRow({ text: () => exposition.text(), token: secrets.metrics, own });
    const status: [string, Row][] = [
      ["/healthz", healthRow(() => this.health())],
      ["/readyz", readyRow(() => this.readiness())],
    ];
    const isPublic = config.metrics === "on" && config.metricsPort === "off";
    this.#site = new Site(
      [...this.#rows(), ...status, ...isPublic ? [["/metrics", figures(false)] as [string, Row]] : []],
      this.#imprint,
      config.basePath,
    );
    this.#back = new Site([...status, ["/metrics", figures(true)]], undefined);
    this.#logTallies = setInterval(() => {
      const seconds = TALLY_INTERVAL_SECONDS;
      this.#tell(`refused in ${seconds} s`, this.#refusals);
      this.#tell(`links reported in ${seconds} s`, this.#links);
    }, TALLY_INTERVAL_SECONDS * 1000);
  }

  /** Tells it the TCP port on which it is reached: STUN has the same, where nothing else was asked for. */
  open(port: number): void {
    this.#ice.open(port);
  }

  /** The UDP ports on which STUN is answered. */
  get stunPorts(): readonly number[] {
    return this.#ice.stunPorts;
  }

  /** What `/healthz` tells at the moment. */
  health(): Health {
    const counts = this.#hub.counts();
    return {
      status: this.#hub.draining ? "draining" : "ok",
      version: VERSION,
      uptimeSeconds: Math.floor((this.#now() - this.#startedAt) / 1000),
      ...counts,
      // Those that newcomers are refused for: should the two ever differ, this is the one that hurts.
      sockets: this.#admission.sockets - counts.sleeping,
      clients: this.#admission.clients,
      stun: this.#ice.stunState,
      stunAtPublicHost: this.#ice.publicStun,
      stunAnswers: this.#ice.stunCounts().answered,
      ...this.#cluster && { cluster: this.#clusterHealth(this.#cluster) },
    };
  }

  #clusterHealth(cluster: RedisStore<Session>): Health["cluster"] {
    const { state } = cluster;
    const { probedAt, ...figures } = cluster.figures();
    return {
      engine: state === "up" ? "up" : "cut off",
      secondsSinceSign: Math.floor((this.#now() - probedAt) / 1000),
      ...figures,
    };
  }

  /** Whether new clients should come here; what `/readyz` tells. */
  readiness(): Readiness {
    if (this.#leaving || this.#hub.draining) return { ready: false, why: "draining" };
    const { strain } = this.#hub;
    if (strain !== undefined) return { ready: false, why: strain };
    const state = this.#cluster?.state ?? "up";
    return state === "up" || state.cutOff <= CUT_OFF_PATIENCE
      ? { ready: true }
      : { ready: false, why: "cut off from the other nodes" };
  }

  /** Answers a request that came from the address `connection`. */
  answer(request: Request, connection: string): Response | Promise<Response> | Grant {
    const mistake = proxyMistake(connection, request.headers, this.#config);
    if (mistake) this.#refusalLog.proxy(mistake, connection);
    const visit = readVisit(request, connection, this.#config);
    if (visit instanceof Response) return visit;
    if (wantsWebSocket(request)) return this.#admit(visit);
    return this.#counted(this.#answerPlain(visit));
  }

  /** Answers a request on the port for metrics. */
  answerBack(request: Request, connection: string): Response | Promise<Response> {
    const visit = readVisit(request, connection, this.#config);
    return visit instanceof Response ? visit : this.#back.answer(visit);
  }

  #counted(answer: Response | Promise<Response>): Response | Promise<Response> {
    if (answer instanceof Promise) return answer.then((answer) => this.#counted(answer));
    this.#answers.count(String(answer.status));
    return answer;
  }

  #answerPlain(visit: Visit): Response | Promise<Response> {
    if (this.#plainRates.take(visit.client, this.#now())) {
      return this.#admin !== undefined && this.#isAdmins(visit.url.pathname)
        ? this.#admin.answer(visit, this.#config.basePath)
        : this.#site.answer(visit);
    }
    this.#refusals.count("http-rate");
    // Whoever goes on has to connect anew each time.
    return refusal(429, "Your address asks too often.", { "retry-after": "1", connection: "close" });
  }

  #isAdmins(pathname: string): boolean {
    return pathname.startsWith(this.#config.basePath + ADMIN_PATH.slice(1));
  }

  /** Everything that is not a WebSocket, by its path. */
  *#rows(): Iterable<readonly [string, Row]> {
    if (this.#imprint) {
      yield ["/", pageRow(this.#imprint, this.#config.basePath)];
      yield* pageFileRows();
      yield* documentRows(this.#imprint);
    }
    yield* clientRows();
    yield ["/whoami", whoamiRow(this.#config.allowOrigin, this.#config.proxyHeader)];
    if (this.#ice.endpoint) {
      yield [
        "/ice",
        iceRow({
          origins: this.#config.allowOrigin,
          onRefused: (origin) => this.#refusalLog.origin(origin),
          take: (client) => this.#ice.take(client),
          servers: (host, ident = freshIdent()) => this.#ice.servers(host, ident),
          check: this.#tokens && ((token, client) => this.#checkForIce(token, client)),
        }),
      ];
    }
  }

  async #checkForIce(token: string | undefined, client: Source) {
    if (token === undefined) return { status: 401, sentence: "A token is asked for: Authorization: Bearer." };
    const ticket = await this.#tokens!.check(token, client);
    if (ticket instanceof TokenFault) {
      return { status: TOKEN_STATUS[ticket.code], sentence: ticket.sentence };
    }
    return ticket.pass.ice
      ? { ident: ticket.subject }
      : { status: 403, sentence: "The token does not cover TURN credentials (ice)." };
  }

  /** In one line, for people; as an object, for programs. */
  #tell(what: string, tally: Tally): void {
    const counts = tally.flush();
    if (counts === undefined) return;
    const words = Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ");
    this.#log.info(`${what}: ${words}`, { counts });
  }

  /** Answers where `answer` threw. */
  fail(error: unknown): Response {
    this.#log.error("a request failed: {error}", { error });
    return refusal(500, "The server made a mistake.");
  }

  /** Takes up another TURN secret, and other keys for tokens. Throws a `RangeError` of a secret that can't be used. */
  renew({ turn, tokenKeys }: Secrets): void {
    if (turn !== undefined) this.#ice.renew(turn);
    this.#tokens?.renew(tokenKeys);
  }

  /** Tells balancers that the server is about to stop. All else goes on. */
  leave(): void {
    this.#leaving = true;
  }

  /** Takes no new sockets and closes those that are open; resolves when all clients have closed theirs too. */
  drain(): Promise<void> {
    this.#log.info("stopping, with {sockets} sockets open", this.#hub.counts());
    this.#ice.close();
    this.#tokens?.close();
    return this.#hub.drain();
  }

  /** Stops all that is left to stop. */
  async dispose(): Promise<void> {
    clearInterval(this.#logTallies);
    await this.#hub.dispose();
    const { sockets } = this.#hub.counts();
    if (sockets > 0) this.#log.warn("{sockets} sockets did not close in time", { sockets });
    this.#log.info("stopped");
  }

  #admit(visit: Visit): Response | Grant {
    const { request, client, host } = visit;
    const fault = handshakeFault(request, this.#config.allowOrigin, this.#hub.draining);
    if (fault) return this.#refuse(fault, visit);
    if (this.#hub.short) return this.#refuse(NO_MEMORY, visit);
    const account = this.#admission.admit(client);
    if (typeof account === "string") return this.#refuse(admissionFault(account), visit);
    const { version, protocol } = chooseSubprotocol(request.headers.get("sec-websocket-protocol"));
    const token = this.#tokens && bearerToken(visit);
    const id = requestId(request.headers);
    return {
      protocol,
      accept: (socket) => this.#hub.accept({ socket, version, account, host, token, request: id }),
    };
  }

  #refuse({ code, status, sentence, headers }: HandshakeFault, { request, client }: Visit): Response {
    this.#refusals.count(code);
    const { headers: asked } = request;
    this.#refusalLog.handshake(code, sentence, client, asked.get("origin"), requestId(asked));
    return refusal(status, sentence, headers);
  }
}
