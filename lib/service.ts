/** All that a running server is, but for its sockets on the network. */

import { Admission } from "./limits/admission.ts";
import type { Source } from "./limits/source.ts";
import { type Config, VERSION } from "./config/options.ts";
import {
  admissionFault,
  chooseSubprotocol,
  type HandshakeFault,
  handshakeFault,
  wantsWebSocket,
} from "./http/handshake.ts";
import { iceRow } from "./http/ice_endpoint.ts";
import { isOrigin } from "./http/origin.ts";
import { refusal } from "./http/responses.ts";
import { type Health, healthRow, pageRow, type Row, Site } from "./http/site.ts";
import { proxyMistake, readVisit, type Visit } from "./http/visit.ts";
import { TokenBucket } from "./limits/token_bucket.ts";
import { Hub } from "./sockets/hub.ts";
import { type IceService, openIce } from "./ice/ice.ts";
import type { Log } from "./runtime/log.ts";
import { freshIdent } from "./protocol/ident.ts";
import { Tally } from "./runtime/tally.ts";

/** A WebSocket that is granted: to be upgraded, and then handed to `accept`, come what may. */
export interface Grant {
  /** The subprotocol to answer with. */
  readonly protocol?: string;
  accept(socket: WebSocket): void;
}

/** What a service needs besides its options. */
export interface ServiceOptions {
  /** The TCP port on which it is reached. */
  readonly port: number;
  /** What the file of the TURN secret holds. */
  readonly turnSecret?: string;
  readonly log: Log;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
}

const TALLY_INTERVAL_SECONDS = 10;

/** Lines of the log about single refusals: so many at once, and per second in the long run. */
const REFUSAL_LINES = 100;
const REFUSAL_LINES_PER_SECOND = 10;

/** So many refused origins are named in the log, each once, until they are all forgotten after ten minutes. */
const MAX_ORIGINS = 16;
const TALLIES_PER_ORIGIN = 60;
/** A host name has at most 253 characters. */
const MAX_ORIGIN_LENGTH = 300;

export class Service {
  readonly #config: Config;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #refusals = new Tally();
  readonly #links = new Tally();
  #tallies = 0;
  readonly #admission: Admission;
  readonly #ice: IceService;
  readonly #hub: Hub;
  readonly #site: Site;
  readonly #refusalLines: TokenBucket;
  readonly #logTallies: ReturnType<typeof setInterval>;
  readonly #proxyMistakes = new Set<string>();
  /** Those that were named in the log since it was told last how many there were. */
  readonly #refusedOrigins = new Set<string>();

  constructor(config: Config, { port, turnSecret, log, now }: ServiceOptions) {
    this.#config = config;
    this.#log = log;
    this.#now = now;
    this.#startedAt = now();
    this.#admission = new Admission(config, now);
    this.#ice = openIce(config, { port, turnSecret, log, now });
    this.#refusalLines = new TokenBucket(REFUSAL_LINES, now());
    this.#hub = new Hub({
      limits: config,
      server: `signal/${VERSION}`,
      keepalive: config.keepalive,
      log,
      refusals: this.#refusals,
      links: this.#links,
      now,
      ice: ({ host }, ident) => this.#ice.servers(host, ident),
      takeIce: ({ account }) => this.#ice.take(account.source),
      takeLine: () => this.#takeLine(),
      onClosed: ({ account }) => this.#admission.release(account),
    });
    this.#site = new Site(this.#rows(), VERSION);
    this.#logTallies = setInterval(() => {
      const seconds = TALLY_INTERVAL_SECONDS;
      this.#tell(`refused in ${seconds} s`, this.#refusals);
      this.#tell(`links reported in ${seconds} s`, this.#links);
      if (++this.#tallies % TALLIES_PER_ORIGIN === 0) this.#refusedOrigins.clear();
    }, TALLY_INTERVAL_SECONDS * 1000);
  }

  /** The UDP ports on which STUN is answered. */
  get stunPorts(): readonly number[] {
    return this.#ice.stunPorts;
  }

  /** What `/healthz` tells at the moment. */
  health(): Health {
    return {
      status: this.#hub.draining ? "draining" : "ok",
      version: VERSION,
      uptimeSeconds: Math.floor((this.#now() - this.#startedAt) / 1000),
      ...this.#hub.counts(),
      stunAnswers: this.#ice.stunAnswers(),
    };
  }

  /** Answers a request that came from the address `connection`. */
  answer(request: Request, connection: string): Response | Grant {
    this.#noticeProxy(connection, request.headers);
    const visit = readVisit(request, connection, this.#config);
    if (visit instanceof Response) return visit;
    return wantsWebSocket(request) ? this.#admit(visit) : this.#site.answer(visit);
  }

  /** Everything that is not a WebSocket, by its path. */
  *#rows(): Iterable<readonly [string, Row]> {
    yield ["/", pageRow(VERSION)];
    yield ["/healthz", healthRow(() => this.health())];
    if (this.#ice.endpoint) {
      yield [
        "/ice",
        iceRow({
          origins: this.#config.allowOrigin,
          onRefused: (origin) => this.#nameOrigin(origin),
          take: (client) => this.#ice.take(client),
          servers: (host) => this.#ice.servers(host, freshIdent()),
        }),
      ];
    }
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

  /** Takes no new sockets and closes those that are open; resolves when all clients have closed theirs too. */
  drain(): Promise<void> {
    this.#log.info("stopping, with {sockets} sockets open", this.#hub.counts());
    this.#ice.close();
    return this.#hub.drain();
  }

  /** Stops all that is left to stop. */
  dispose(): void {
    clearInterval(this.#logTallies);
    this.#hub.dispose();
    const { sockets } = this.#hub.counts();
    if (sockets > 0) this.#log.warn("{sockets} sockets did not close in time", { sockets });
    this.#log.info("stopped");
  }

  #admit({ request, client, host }: Visit): Response | Grant {
    const fault = handshakeFault(request, this.#config.allowOrigin, this.#hub.draining);
    if (fault) {
      if (fault.code === "origin") this.#nameOrigin(request.headers.get("origin")!);
      return this.#refuse(fault, client);
    }
    const account = this.#admission.admit(client);
    if (typeof account === "string") return this.#refuse(admissionFault(account), client);
    const { version, protocol } = chooseSubprotocol(request.headers.get("sec-websocket-protocol"));
    return {
      protocol,
      accept: (socket) => this.#hub.accept({ socket, version, account, host }),
    };
  }

  /** The operator needs to know which to allow; whoever makes up a new one each time does not fill the log. */
  #nameOrigin(origin: string): void {
    const { size } = this.#refusedOrigins;
    if (size >= MAX_ORIGINS || this.#refusedOrigins.has(origin) || !isOrigin(origin)) return;
    this.#refusedOrigins.add(origin);
    this.#log.warn(
      "Pages of {origin} may not connect. If they are yours, start with --allow-origin {origin}.",
      { origin: origin.slice(0, MAX_ORIGIN_LENGTH) },
    );
  }

  /** No browser shows its page the sentence: so it stands in the log too. */
  #refuse({ code, status, sentence, headers }: HandshakeFault, client: Source): Response {
    this.#refusals.count(code);
    if (this.#takeLine()) {
      this.#log.debug("refused {code}: a handshake, of {client}: {sentence}", {
        code,
        client: String(client),
        sentence,
      });
    }
    return refusal(status, sentence, headers);
  }

  #takeLine(): boolean {
    return this.#refusalLines.take(REFUSAL_LINES_PER_SECOND, REFUSAL_LINES, this.#now);
  }

  /** Each mistake once. */
  #noticeProxy(connection: string, headers: Headers): void {
    const found = proxyMistake(connection, headers, this.#config);
    if (found === undefined || this.#proxyMistakes.has(found.mistake)) return;
    this.#proxyMistakes.add(found.mistake);
    // What is to be copied stands in the text as it is: a field would be quoted there.
    this.#log.warn(found.sentence, { address: connection });
  }
}
