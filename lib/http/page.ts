/** What people see who open the server's address in a browser. */

import template from "./page.html" with { type: "text" };

/**
 * A Content-Security-Policy: the page's own style, and the WebSocket that its reader may open by hand. Older
 * browsers don't count `ws:` as part of 'self'.
 */
export const PAGE_POLICY =
  `default-src 'none'; style-src 'sha256-${await styleHash()}'; connect-src 'self' ws: wss:; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The page at `/`. `address`: the `ws:` or `wss:` URL under which the reader has reached the server. */
export function startPage(address: string, version: string): string {
  const url = escapeHtml(address);
  return fill(
    "signal: a rendezvous server for WebRTC peers",
    version,
    `
<h1>This is a rendezvous server</h1>
<p>Two programs behind two firewalls can talk directly once somebody has introduced them. This server does that
for WebRTC peers: they meet in a room, exchange their offers through it, connect, and from then on talk without it.</p>
<p class="label">Connect a WebSocket to</p>
<pre class="address">${url}</pre>
<p class="label">Try it in your browser's console</p>
<pre>const ws = new WebSocket("${url}", "diva.signal.v3");
ws.onmessage = (event) =&gt; console.log(event.data);
ws.onopen = () =&gt; ws.send('["join", "alice", "kitchen"]');</pre>
<p class="note">The server says welcome. Then the same in a second tab, as bob: both are told of each other. What it
does not understand it answers with an error that says why.</p>`,
  );
}

/** The page for every path that there isn't. */
export function notFoundPage(version: string): string {
  return fill(
    "Not found",
    version,
    `
<h1>There is no page here</h1>
<p>The server's address is <a href="/">its front page</a>; WebSockets are welcome on any path.</p>`,
  );
}

function fill(title: string, version: string, body: string): string {
  const values: Record<string, string> = { title, version, body };
  return template.replace(/%(\w+)%/g, (_, name) => values[name]!);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

async function styleHash(): Promise<string> {
  const style = /<style>([^]*)<\/style>/.exec(template)![1];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(style));
  return new Uint8Array(digest).toBase64();
}
