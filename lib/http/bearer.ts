/** The token that a request brings. */

import type { Visit } from "./visit.ts";

/** Of `Authorization: Bearer` (RFC 6750 section 2.1); or, for browsers' WebSockets, `?token=` in the address. */
export function bearerToken({ request, url }: Visit): string | undefined {
  const [, bearer] = /^Bearer +([\w.~+/=-]+) *$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  return bearer ?? url.searchParams.get("token") ?? undefined;
}
