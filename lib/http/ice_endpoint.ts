/** `GET /ice`: ICE servers for clients of version 2, which has no word for them. */

import type { IceServers } from "../protocol/ice_servers.ts";
import { isAllowedOrigin } from "./origin.ts";
import { content, ifRead, refusal } from "./responses.ts";

/** What the answer depends on. */
export interface IceEndpoint {
  /** See `isAllowedOrigin`. */
  readonly origins: readonly string[];
  /** Whether this client may have one more answer. */
  readonly take: () => boolean;
  readonly servers: () => IceServers;
}

/**
 * Answers with `{"iceServers": [...], "iceTtlSeconds": ...}`. Pages of other sites may read it if their origin may
 * open a socket (CORS); 429 where a client asks too often.
 */
export function respondIce(request: Request, { origins, take, servers }: IceEndpoint): Response {
  const origin = request.headers.get("origin");
  if (!isAllowedOrigin(origin, origins)) return refusal(403, "Pages of this origin may not have this.");
  const cors = {
    "access-control-allow-origin": origins.length === 0 ? "*" : origin ?? "null",
    "access-control-allow-methods": "GET, HEAD",
    "cross-origin-resource-policy": "cross-origin",
    vary: "origin",
  };
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: cors });
  return ifRead(request, () => {
    if (!take()) {
      return refusal(429, "Your address asks too often.", { ...cors, "retry-after": "1" });
    }
    return content(200, "application/json", JSON.stringify(servers()) + "\n", cors);
  });
}
