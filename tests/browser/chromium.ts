/** A real browser, and pages for it. */

import { type Browser, chromium } from "playwright-core";
import { findBinary, missingBinaries } from "../kit/parts.ts";

/** Why there is no browser on this machine; undefined where there is one. */
export const noChromium: string | undefined = missingBinaries("chromium");

/** What every browser of the tests is started with. */
export const BROWSER_FLAGS: readonly string[] = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Nothing that it would like to tell its maker leaves this machine.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  // Peers outside the browser do not resolve the names (RFC draft mdns-ice-candidates) that would hide addresses.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  // A camera that shows a test picture, and nobody who has to allow it.
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  // On a machine without a network the loopback interface is the only one.
  "--allow-loopback-in-peer-connection",
];

/** Starts a browser; `await using` ends it. */
export async function openBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: findBinary("chromium"), args: [...BROWSER_FLAGS] });
}

export interface PageServer extends AsyncDisposable {
  /** Where a peer in a browser is, which joins a room of the server at `url`. */
  peerUrl(peer: { server: string; room: string; ident: string; protocol?: string }): string;
}

/** Serves `peer.html` on a free port. */
export async function servePages(): Promise<PageServer> {
  const page = await Deno.readFile(new URL("peer.html", import.meta.url));
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      new URL(request.url).pathname === "/peer.html"
        ? new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } })
        : new Response(null, { status: 404 }),
  );
  return {
    peerUrl: (peer) => `http://127.0.0.1:${http.addr.port}/peer.html?${new URLSearchParams({ ...peer })}`,
    [Symbol.asyncDispose]: () => http.shutdown(),
  };
}
