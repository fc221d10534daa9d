/** Files that the server carries in itself: the same for everybody, as long as it runs. */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { content } from "./responses.ts";
import { METHODS, type Row } from "./site.ts";

/** The size of an answer's head, more or less: below it there is nothing to win. */
const WORTH_COMPRESSING = 512;

/**
 * A file that pages of any site may load: compressed once, for those who take gzip (the runtime compresses nothing),
 * and with an ETag, so that who has it already gets 304.
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
  const zipped = bytes.length < WORTH_COMPRESSING ? bytes : new Uint8Array(gzipSync(bytes, { level: 9 }));
  const cors = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
  const common = {
    ...cors,
    // Weak: it is the same for both forms.
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
      return zipped.length < bytes.length && takesGzip(request.headers.get("accept-encoding"))
        ? content(200, type, zipped, { ...common, "content-encoding": "gzip" })
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

/** RFC 9110 section 12.5.3, but for `*`: who writes that is content with the plain form. */
function takesGzip(header: string | null): boolean {
  return header !== null &&
    header.split(",").some((coding) => /^\s*(?:x-)?gzip\s*(?:;(?!\s*q=0(?:\.0*)?\s*$)|$)/i.test(coding));
}
