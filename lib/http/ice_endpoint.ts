/** `GET /ice`: ICE servers for clients of version 2, which has no word for them. */

import type { IceServers } from "../protocol/ice_servers.ts";
import type { Source } from "../limits/source.ts";
import { isAllowedOrigin, sharedWith } from "./origin.ts";
import { content, refusal } from "./responses.ts";
import type { Row } from "./site.ts";
import type { Visit } from "./visit.ts";

/** What the answer depends on. */
export interface IceEndpoint {
  /** See `isAllowedOrigin`. */
  readonly origins: readonly string[];
  /** Told of the origin of a page that may not have it. */
  onRefused(origin: string): void;
  /** Whether the client may have one more answer. */
  take(client: Source): boolean;
  /** For a client that came by the host; see `Visit.host`. */
  servers(host: string | undefined): IceServers;
}

/**
 * Answers with `{"iceServers": [...], "iceTtlSeconds": ...}`. Pages of other sites may read it if their origin may
 * open a socket (CORS); 429 where a client asks too often.
 */
export function iceRow({ origins, onRefused, take, servers }: IceEndpoint): Row {
  const originOf = ({ request }: Visit) => request.headers.get("origin");
  const cors = (origin: string | null) => sharedWith(origin, origins);
  return {
    answer(visit) {
      const origin = originOf(visit);
      if (origin !== null && !isAllowedOrigin(origin, origins)) {
        onRefused(origin);
        return refusal(403, "Pages of this origin may not have this.");
      }
      if (!take(visit.client)) {
        return refusal(429, "Your address asks too often.", { ...cors(origin), "retry-after": "1" });
      }
      return content(
        200,
        "application/json",
        JSON.stringify(servers(visit.host)) + "\n",
        cors(origin),
      );
    },
    preflight: (visit) => cors(originOf(visit)),
  };
}
