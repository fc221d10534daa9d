/** Answers to requests that don't ask for a WebSocket. */

import { notFoundPage, PAGE_POLICY, startPage } from "./page.ts";

/** What `/healthz` tells. */
export interface Health {
  /** `draining`: the server is about to stop and takes no new sockets. */
  readonly status: "ok" | "draining";
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly sockets: number;
  readonly rooms: number;
  readonly addresses: number;
}

const SECURITY_HEADERS = {
  "content-security-policy": PAGE_POLICY,
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** The page at `/`, the health at `/healthz`, a 404 page for the rest. `secure`: the client came by TLS. */
export function respond(request: Request, secure: boolean, health: Health): Response {
  // The runtime makes the URL from the Host header as it came.
  if (!URL.canParse(request.url)) return refusal(400, "The header Host is not one.");
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/":
      return ifRead(request, () => {
        const page = startPage(`${secure ? "wss" : "ws"}://${url.host}`, health.version);
        return content(request, 200, "text/html; charset=utf-8", page);
      });
    case "/healthz":
      return ifRead(request, () => {
        const status = health.status === "ok" ? 200 : 503;
        return content(request, status, "application/json", JSON.stringify(health) + "\n");
      });
    default:
      return content(request, 404, "text/html; charset=utf-8", notFoundPage(health.version));
  }
}

/** A refusal in one sentence. */
export function refusal(status: number, sentence: string, headers: Record<string, string> = {}): Response {
  return new Response(sentence + "\n", {
    status,
    headers: { ...SECURITY_HEADERS, "content-type": "text/plain; charset=utf-8", ...headers },
  });
}

function ifRead(request: Request, answer: () => Response): Response {
  if (request.method === "GET" || request.method === "HEAD") return answer();
  return refusal(405, `${request.method} is not possible here.`, { allow: "GET, HEAD" });
}

const encoder = new TextEncoder();

function content(request: Request, status: number, type: string, text: string): Response {
  const body = encoder.encode(text);
  return new Response(request.method === "HEAD" ? null : body, {
    status,
    headers: {
      ...SECURITY_HEADERS,
      "cache-control": "no-store",
      "content-length": String(body.length),
      "content-type": type,
    },
  });
}
