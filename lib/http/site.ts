/** Answers to requests that don't ask for a WebSocket: a table from path to answer, made once. */

import { notFoundPage, startPage } from "./page.ts";
import { content, refusal } from "./responses.ts";
import type { Visit } from "./visit.ts";

/** What stands at one path. */
export interface Row {
  /** Answers GET; the runtime keeps the body back where HEAD was asked. */
  answer(visit: Visit): Response;
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
  readonly rooms: number;
  readonly addresses: number;
  /** STUN requests that were answered since the start. */
  readonly stunAnswers: number;
}

const METHODS = "GET, HEAD, OPTIONS";

/** Rows by their path, and a page for every path that there isn't. */
export class Site {
  readonly #rows: ReadonlyMap<string, Row>;
  readonly #version: string;

  constructor(rows: Iterable<readonly [string, Row]>, version: string) {
    this.#rows = new Map(rows);
    this.#version = version;
  }

  answer(visit: Visit): Response {
    const { request: { method }, url } = visit;
    const row = this.#rows.get(url.pathname);
    if (row === undefined) return content(404, "text/html; charset=utf-8", notFoundPage(this.#version));
    switch (method) {
      case "GET":
      case "HEAD":
        return row.answer(visit);
      case "OPTIONS":
        return new Response(null, { status: 204, headers: { allow: METHODS, ...row.preflight?.(visit) } });
      default:
        return refusal(405, `${method} is not possible here.`, { allow: METHODS });
    }
  }
}

/** The page at `/`. */
export function pageRow(version: string): Row {
  return {
    answer: ({ url: { protocol, host } }) => {
      const address = `${protocol === "https:" ? "wss" : "ws"}://${host}`;
      return content(200, "text/html; charset=utf-8", startPage(address, version));
    },
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

/** A text that is the same for everybody, with an ETag; pages of any site may read it. */
export async function assetRow(type: string, text: string): Promise<Row> {
  const bytes = new TextEncoder().encode(text);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  const etag = new Uint8Array(digest).toBase64({ alphabet: "base64url", omitPadding: true }).slice(0, 22);
  const cors = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
  const headers = {
    ...cors,
    // Weak, since the runtime may compress what it sends. Asked for anew each time: the server may be a newer one.
    etag: `W/"${etag}"`,
    "cache-control": "no-cache",
    vary: "accept-encoding",
  };
  return {
    answer({ request }) {
      if (request.headers.get("if-none-match")?.includes(etag)) {
        return new Response(null, { status: 304, headers });
      }
      return content(200, type, text, headers);
    },
    preflight: () => ({ ...cors, "access-control-allow-methods": METHODS }),
  };
}
