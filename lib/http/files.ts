/** The files that the server carries in itself, by their paths. */

import client from "../client/served/client.js" with { type: "text" };
import diagnose from "../client/served/client.diagnose.js" with { type: "text" };
import types from "../client/served/client.d.ts" with { type: "text" };
import chat from "../client/examples/chat.html" with { type: "text" };
import cursors from "../client/examples/cursors.html" with { type: "text" };
import files from "../client/examples/files.html" with { type: "text" };
import video from "../client/examples/video.html" with { type: "text" };
import page from "./page/page.js" with { type: "text" };
import { assetRow } from "./asset.ts";
import { EXAMPLE_POLICY } from "./page.ts";
import type { Row } from "./site.ts";

const JAVASCRIPT = "text/javascript; charset=utf-8";
const HTML = "text/html; charset=utf-8";

/** What the page at `/` needs besides. */
export function* pageFileRows(): Iterable<readonly [string, Row]> {
  yield ["/page.js", assetRow(JAVASCRIPT, page)];
  for (const [name, text] of Object.entries({ chat, cursors, files, video })) {
    yield [`/examples/${name}.html`, assetRow(HTML, text, { "content-security-policy": EXAMPLE_POLICY })];
  }
}

/** The client library, for pages of any site and for programs. */
export function* clientRows(): Iterable<readonly [string, Row]> {
  // Deno looks here for the types of a module that it loads (and editors with it).
  yield ["/client.js", assetRow(JAVASCRIPT, client, { "x-typescript-types": "./client.d.ts" })];
  yield ["/client.diagnose.js", assetRow(JAVASCRIPT, diagnose)];
  yield ["/client.d.ts", assetRow("application/typescript; charset=utf-8", types)];
}
