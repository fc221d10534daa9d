/** The token that a request brings. */

import type { Visit } from "./visit.ts";

/** Of `Authorization: Bearer` (RFC 6750 section 2.1). */
export function bearerOf(headers: Headers): string | undefined {
  return /^Bearer +([\w.~+/=-]+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
}

/** The same, or, for browsers' WebSockets, `?token=` in the address. */
export function bearerToken({ request, url }: Visit): string | undefined {
  return bearerOf(request.headers) ?? url.searchParams.get("token") ?? undefined;
}
