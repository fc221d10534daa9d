/** The forms of all plain HTTP answers. */

import { PAGE_POLICY } from "./page.ts";

const SECURITY_HEADERS = {
  "content-security-policy": PAGE_POLICY,
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** An answer with a body, which the runtime keeps back where HEAD was asked. */
export function content(
  status: number,
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Response {
  return new Response(body, {
    status,
    headers: { ...SECURITY_HEADERS, "cache-control": "no-store", "content-type": type, ...headers },
  });
}

/** A refusal in one sentence. */
export function refusal(status: number, sentence: string, headers: Record<string, string> = {}): Response {
  return new Response(sentence + "\n", {
    status,
    headers: { ...SECURITY_HEADERS, "content-type": "text/plain; charset=utf-8", ...headers },
  });
}
