/** `GET /whoami`: how the server sees whoever asks, for those who look for a mistake between the two. */

import { sharedWith } from "./origin.ts";
import { content } from "./responses.ts";
import type { Row } from "./site.ts";
import type { Visit } from "./visit.ts";

/**
 * Answers with `{"address", "proxies", "unheard"}`: the client's address, through how many trusted proxies it came,
 * and whether a proxy named a client that was not believed. Pages of other sites may read it if their origin may open
 * a socket (CORS).
 */
export function whoamiRow(origins: readonly string[], proxyHeader: string): Row {
  const cors = ({ request }: Visit) => sharedWith(request.headers.get("origin"), origins);
  return {
    answer(visit) {
      const { request: { headers }, address, proxies } = visit;
      const unheard = proxies === 0 && headers.get(proxyHeader) !== null;
      const body = { address: address?.toString() ?? null, proxies, unheard };
      return content(200, "application/json", JSON.stringify(body) + "\n", cors(visit));
    },
    preflight: cors,
  };
}
