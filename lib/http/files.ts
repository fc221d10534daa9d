/** The files that the server carries in itself, by their paths. */

import client from "../client/served/client.js" with { type: "text" };
import diagnose from "../client/served/client.diagnose.js" with { type: "text" };
import types from "../client/served/client.d.ts" with { type: "text" };
import { assetRow } from "./asset.ts";
import type { Row } from "./site.ts";

export const JAVASCRIPT = "text/javascript; charset=utf-8";

/** The client library, for pages of any site and for programs. */
export function* clientRows(): Iterable<readonly [string, Row]> {
  // Deno looks here for the types of a module that it loads (and editors with it).
  yield ["/client.js", assetRow(JAVASCRIPT, client, { "x-typescript-types": "./client.d.ts" })];
  yield ["/client.diagnose.js", assetRow(JAVASCRIPT, diagnose)];
  yield ["/client.d.ts", assetRow("application/typescript; charset=utf-8", types)];
}
