/** `GET /metrics`: for those who are near, or have the word. */

import { timingSafeEqual } from "node:crypto";
import { type Ip, isPrivateAddress } from "../runtime/addresses.ts";
import { sha256 } from "../runtime/digest.ts";
import { bearerOf } from "./bearer.ts";
import { content, refusal } from "./responses.ts";
import type { Row } from "./site.ts";

export interface MetricsEndpoint {
  readonly text: () => Promise<{ readonly type: string; readonly text: string }>;
  /** The word with which they are had from anywhere; without one it is by the address. */
  readonly token?: string | undefined;
  /** The port is not for strangers: whoever reaches it may read. */
  readonly own: boolean;
}

/** Answers 401 without the word, 403 to those from elsewhere. */
export function metricsRow({ text, token, own }: MetricsEndpoint): Row {
  const proof = token === undefined ? undefined : sha256(token);
  return {
    async answer({ request: { headers }, address, hearsay }) {
      if (proof !== undefined) {
        const given = bearerOf(headers);
        if (given === undefined || !timingSafeEqual(sha256(given), proof)) {
          return refusal(
            401,
            "A word is asked for: Authorization: Bearer, and what --metrics-token-file holds.",
            {
              "www-authenticate": "Bearer",
            },
          );
        }
      } else if (!own && !mayRead(address, hearsay)) {
        return refusal(
          403,
          "Metrics are for loopback and private addresses, not through a proxy that is not trusted. " +
            "--metrics-token-file opens them to whoever has the word, --metrics-port to whoever reaches another port.",
        );
      }
      const answer = await text();
      return content(200, answer.type, answer.text);
    },
  };
}

/** Behind a proxy that is not trusted everybody has the proxy's address. */
function mayRead(address: Ip | undefined, hearsay: boolean): boolean {
  return address !== undefined && isPrivateAddress(address) && !hearsay;
}
