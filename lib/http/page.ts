/** What people see who open the server's address in a browser. */

import shell from "./page/shell.html" with { type: "text" };
import start from "./page/start.html" with { type: "text" };

/** What stands below every page. */
export interface Imprint {
  readonly version: string;
  /** Where the source of the server is, which its licence (AGPL) gives everybody who uses it a right to. */
  readonly source?: string;
}

const CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * A Content-Security-Policy: the page's own style, and the WebSocket that its reader may open by hand. Older
 * browsers don't count `ws:` as part of 'self'.
 */
export const PAGE_POLICY = `${CLOSED}; style-src 'sha256-${await styleHash()}'; connect-src 'self' ws: wss:`;

/** That of the page at `/`, which has a script. */
export const START_POLICY = `${PAGE_POLICY}; script-src 'self'`;

/** That of the examples: their script and style stand in themselves, and other pages may show them. */
export const EXAMPLE_POLICY =
  "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; " +
  "connect-src 'self' ws: wss:; img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'";

/** The page at `/`. `address`: the `http:` or `https:` URL under which the reader has reached the server. */
export function startPage(address: string, imprint: Imprint): string {
  const body = fill(start, { http: escapeHtml(address), ws: escapeHtml(address.replace(/^http/, "ws")) });
  return page({
    title: "signal: a rendezvous server for WebRTC peers",
    body,
    imprint,
    head: '<script type="module" src="page.js"></script>',
  });
}

/** The page for every path that there isn't. */
export function notFoundPage(imprint: Imprint, base: string): string {
  return page({
    title: "Not found",
    imprint,
    body: `
<h1>There is no page here</h1>
<p>The server's address is <a href="${
      escapeHtml(base)
    }">its front page</a>; WebSockets are welcome on any path.</p>`,
  });
}

/** A page of text. `body`: HTML. */
export function textPage(title: string, body: string, imprint: Imprint): string {
  return page({ title, body, imprint });
}

function page(
  { title, body, imprint, head = "" }: { title: string; body: string; imprint: Imprint; head?: string },
): string {
  const { version, source } = imprint;
  const link = source === undefined ? "" : ` <a href="${escapeHtml(source)}">Source</a>`;
  const footer =
    `<span>signal ${version}</span>${link} <span>AGPL-3.0-or-later; the client library MIT</span>`;
  return fill(shell, { title, head, body, footer });
}

/** Replaces `%name%`; what is filled in is not looked at again. */
function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/%(\w+)%/g, (all, name) => values[name] ?? all);
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

async function styleHash(): Promise<string> {
  const style = /<style>([^]*)<\/style>/.exec(shell)![1];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(style));
  return new Uint8Array(digest).toBase64();
}
