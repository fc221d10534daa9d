/** Answers to requests that don't ask for a WebSocket: a table from path to answer, made once. */

import { type Imprint, notFoundPage, START_POLICY, startPage } from "./page.ts";
import { content, refusal } from "./responses.ts";
import type { Visit } from "./visit.ts";

/** What stands at one path. */
export interface Row {
  /** Answers GET; the runtime keeps the body back where HEAD was asked. */
  answer(visit: Visit): Response | Promise<Response>;
  /** Headers of the answer to OPTIONS, where pages of other sites may come (CORS). */
  preflight?(visit: Visit): Record<string, string>;
}

/** What `/healthz` tells. */
export interface Health {
  /** `draining`: the server is about to stop and takes no new sockets. */
  readonly status: "ok" | "draining";
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly sockets: number;
  /** Client addresses that hold anything. */
  readonly clients: number;
  /** Sessions whose socket broke, and whose client may come back. */
  readonly sleeping: number;
  readonly rooms: number;
  readonly addresses: number;
  /** Whether STUN is answered where it should be. */
  readonly stun: "ok" | "unavailable" | "off";
  /** Whether it answers at the public host, as far as the server itself can see. */
  readonly stunAtPublicHost: "ok" | "unanswered" | "private" | "unknown";
  /** STUN requests that were answered since the start. */
  readonly stunAnswers: number;
  /** Where there are several nodes: how this one is connected to the others. */
  readonly cluster?: {
    readonly engine: "up" | "cut off";
    /** Since something last came through the engine, which should be every two seconds. */
    readonly secondsSinceSign: number;
    readonly node: string;
    readonly pending: number;
    readonly resyncs: number;
    readonly fenced: number;
    readonly published: number;
    readonly received: number;
  };
}

/** What `/readyz` tells. */
export type Readiness = { readonly ready: true } | { readonly ready: false; readonly why: string };

/** The methods of every row. */
export const METHODS = "GET, HEAD, OPTIONS";

/** Paths that are found without the base, too. */
const STATUS = ["/healthz", "/readyz", "/metrics"];

/** Rows by their path, and a page for every path that there isn't. */
export class Site {
  readonly #base: string;
  readonly #rows: ReadonlyMap<string, Row>;
  readonly #notFound: () => Response;

  /**
   * @param imprint of the page for paths that there aren't; without one it is a plain sentence
   * @param base below which the rows are; with a slash at both ends
   */
  constructor(rows: Iterable<readonly [string, Row]>, imprint: Imprint | undefined, base = "/") {
    this.#base = base;
    this.#rows = new Map(rows);
    this.#notFound = () =>
      imprint === undefined
        ? refusal(404, "There is nothing here; WebSockets are welcome on any path.")
        : content(404, HTML, notFoundPage(imprint, base));
  }

  answer(visit: Visit): Response | Promise<Response> {
    const { request: { method }, url: { pathname, search } } = visit;
    // What stands on a page leads on from where the page is.
    if (`${pathname}/` === this.#base) {
      return new Response(null, { status: 308, headers: { location: this.#base + search } });
    }
    const path = pathname.startsWith(this.#base) ? pathname.slice(this.#base.length - 1) : undefined;
    const row = path === undefined ? this.#outside(pathname) : this.#rows.get(path);
    if (row === undefined) return this.#notFound();
    switch (method) {
      case "GET":
      case "HEAD":
        return row.answer(visit);
      case "OPTIONS":
        return new Response(null, { status: 204, headers: { allow: METHODS, ...row.preflight?.(visit) } });
      default:
        return refusal(405, `Only ${METHODS} are possible here.`, { allow: METHODS });
    }
  }

  /** Whoever looks after the server asks it directly, and knows nothing of a path in front. */
  #outside(pathname: string): Row | undefined {
    return STATUS.includes(pathname) ? this.#rows.get(pathname) : undefined;
  }
}

const HTML = "text/html; charset=utf-8";

/** The page at `/`. */
export function pageRow(imprint: Imprint, base: string): Row {
  return {
    answer: ({ url: { origin } }) =>
      content(200, HTML, startPage(origin + base.slice(0, -1), imprint), {
        "content-security-policy": START_POLICY,
      }),
  };
}

/** The health at `/healthz`: 200, or 503 where the server is about to stop. */
export function healthRow(health: () => Health): Row {
  return {
    answer() {
      const now = health();
      return content(now.status === "ok" ? 200 : 503, "application/json", JSON.stringify(now) + "\n");
    },
  };
}

/** Whether new clients should come, at `/readyz`: 200, or 503. */
export function readyRow(readiness: () => Readiness): Row {
  return {
    answer() {
      const now = readiness();
      return content(now.ready ? 200 : 503, "application/json", JSON.stringify(now) + "\n");
    },
  };
}
