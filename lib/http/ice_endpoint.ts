/** `GET /ice`: ICE servers for clients of version 2, which has no word for them. */

import type { IceServers } from "../protocol/ice_servers.ts";
import type { Source } from "../limits/source.ts";
import { isAllowedOrigin, sharedWith } from "./origin.ts";
import { bearerToken } from "./bearer.ts";
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
  servers(host: string | undefined, ident?: string): IceServers;
  /** Where tokens are asked for: what is wrong with one, or whom it is for. */
  check?(token: string | undefined, client: Source): Promise<IceRefusal | { readonly ident?: string }>;
}

interface IceRefusal {
  readonly status: number;
  readonly sentence: string;
}

/**
 * Answers with `{"iceServers": [...], "iceTtlSeconds": ...}`. Pages of other sites may read it if their origin may
 * open a socket (CORS); 429 where a client asks too often, 401 where a token is asked for and there is no good one.
 */
export function iceRow({ origins, onRefused, take, servers, check }: IceEndpoint): Row {
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
      const granted = (ident?: string) =>
        content(200, "application/json", JSON.stringify(servers(visit.host, ident)) + "\n", cors(origin));
      if (check === undefined) return granted();
      return check(bearerToken(visit), visit.client).then((outcome) =>
        "status" in outcome
          ? refusal(outcome.status, outcome.sentence, {
            ...cors(origin),
            ...outcome.status === 401 ? { "www-authenticate": "Bearer" } : {},
          })
          : granted(outcome.ident)
      );
    },
    preflight: (visit) => ({
      ...cors(originOf(visit)),
      ...check === undefined ? {} : { "access-control-allow-headers": "authorization" },
    }),
  };
}
