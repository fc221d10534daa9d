/** Files that the server carries in itself: the same for everybody, as long as it runs. */

import { createHash } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { content } from "./responses.ts";
import { METHODS, type Row } from "./site.ts";

/** The size of an answer's head, more or less: below it there is nothing to win. */
const WORTH_COMPRESSING = 512;

/**
 * A file that pages of any site may load: compressed once, for those who take Brotli or gzip (the runtime compresses
 * nothing), and with an ETag, so that who has it already gets 304.
 *
 * @param headers more of them, or others: a page needs a Content-Security-Policy of its own
 */
export function assetRow(
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Row {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const hash = createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
  const made = new Map<string, Uint8Array<ArrayBuffer>>();
  /** When it is first asked for: Brotli takes its time. */
  const compressed = (coding: keyof typeof CODINGS) => {
    const known = made.get(coding) ?? new Uint8Array(CODINGS[coding](bytes));
    made.set(coding, known);
    return known;
  };
  const cors = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
  const common = {
    ...cors,
    // Weak: it is the same for all forms.
    etag: `W/"${hash}"`,
    // Asked for anew each time: the server may have become a newer one.
    "cache-control": "no-cache",
    vary: "accept-encoding",
    ...headers,
  };
  return {
    answer({ request }) {
      if (hasAlready(request.headers.get("if-none-match"), hash)) {
        return new Response(null, { status: 304, headers: common });
      }
      const accepted = request.headers.get("accept-encoding");
      const coding = bytes.length < WORTH_COMPRESSING
        ? undefined
        : takes(accepted, BROTLI)
        ? "br"
        : takes(accepted, GZIP)
        ? "gzip"
        : undefined;
      const body = coding === undefined ? bytes : compressed(coding);
      return body.length < bytes.length
        ? content(200, type, body, { ...common, "content-encoding": coding! })
        : content(200, type, bytes, common);
    },
    preflight: () => ({ ...cors, "access-control-allow-methods": METHODS }),
  };
}

/** Whether one of the ETags in If-None-Match (RFC 9110 section 13.1.2) is this one, weak or not. */
function hasAlready(header: string | null, hash: string): boolean {
  const tags = (header ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.includes(`"${hash}"`) || header === "*";
}

const CODINGS = {
  br: (bytes: Uint8Array) => brotliCompressSync(bytes),
  // The runtime's level 9 is no smaller.
  gzip: (bytes: Uint8Array) => gzipSync(bytes, { level: 8 }),
} as const;

const BROTLI = /^\s*br\s*(?:;(?!\s*q=0(?:\.0*)?\s*$)|$)/i;
const GZIP = /^\s*(?:x-)?gzip\s*(?:;(?!\s*q=0(?:\.0*)?\s*$)|$)/i;

/** RFC 9110 section 12.5.3, but for `*`: who writes that is content with the plain form. */
function takes(header: string | null, coding: RegExp): boolean {
  return header !== null && header.split(",").some((part) => coding.test(part));
}
