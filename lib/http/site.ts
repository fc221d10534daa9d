/** Answers to requests that don't ask for a WebSocket. */

import { notFoundPage, startPage } from "./page.ts";
import { content, ifRead, refusal } from "./responses.ts";

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

/** What the answers depend on. */
export interface Site {
  /** Whether the client came by TLS. */
  readonly secure: boolean;
  readonly health: Health;
  /** Answers `/ice`, where that is on. */
  readonly ice?: (request: Request, url: URL) => Response;
}

/** The page at `/`, the health at `/healthz`, ICE servers at `/ice`, a 404 page for the rest. */
export function respond(request: Request, { secure, health, ice }: Site): Response {
  // The runtime makes the URL from the Host header as it came.
  if (!URL.canParse(request.url)) return refusal(400, "The header Host is not one.");
  const url = new URL(request.url);
  if (url.pathname === "/ice" && ice) return ice(request, url);
  switch (url.pathname) {
    case "/":
      return ifRead(request, () => {
        const page = startPage(`${secure ? "wss" : "ws"}://${url.host}`, health.version);
        return content(200, "text/html; charset=utf-8", page);
      });
    case "/healthz":
      return ifRead(request, () => {
        const status = health.status === "ok" ? 200 : 503;
        return content(status, "application/json", JSON.stringify(health) + "\n");
      });
    default:
      return content(404, "text/html; charset=utf-8", notFoundPage(health.version));
  }
}
