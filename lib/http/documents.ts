/** The documents that the server carries in itself, as pages: those for whoever uses it or runs it. */

import { marked } from "marked";
import client from "../client/README.md" with { type: "text" };
import options from "../config/README.md" with { type: "text" };
import metrics from "../metrics/README.md" with { type: "text" };
import ice from "../ice/README.md" with { type: "text" };
import protocol from "../protocol/README.md" with { type: "text" };
import nodes from "../rooms/README.md" with { type: "text" };
import tokens from "../tokens/README.md" with { type: "text" };
import deployment from "../../.github/DEPLOYMENT.md" with { type: "text" };
import security from "../../.github/SECURITY.md" with { type: "text" };
import { type Imprint, textPage } from "./page.ts";
import { content } from "./responses.ts";
import type { Row } from "./site.ts";

/** By its name in the address, where each is in the repository, and its text. */
const DOCUMENTS = {
  client: ["lib/client/README.md", client],
  protocol: ["lib/protocol/README.md", protocol],
  options: ["lib/config/README.md", options],
  ice: ["lib/ice/README.md", ice],
  tokens: ["lib/tokens/README.md", tokens],
  nodes: ["lib/rooms/README.md", nodes],
  metrics: ["lib/metrics/README.md", metrics],
  deployment: [".github/DEPLOYMENT.md", deployment],
  security: [".github/SECURITY.md", security],
} as const;

const TITLES: Record<keyof typeof DOCUMENTS, string> = {
  client: "The client library",
  protocol: "The protocol, for clients in any language",
  options: "Options",
  ice: "STUN and TURN",
  tokens: "Tokens: who may join",
  nodes: "Several nodes",
  metrics: "Metrics",
  deployment: "Running a server",
  security: "Security: what is promised, and what is left",
};

/** `/docs/` and what is below it. Pages are made when they are first asked for. */
export function* documentRows(imprint: Imprint): Iterable<readonly [string, Row]> {
  const list = Object.entries(TITLES).map(([name, title]) => `<li><a href="${name}">${title}</a></li>`).join(
    "\n",
  );
  yield [
    "/docs/",
    pageRow(() => textPage("Documents", `${BACK}<h1>Documents</h1>\n<ul>${list}</ul>`, imprint)),
  ];
  for (const [name, [path, text]] of Object.entries(DOCUMENTS)) {
    const title = TITLES[name as keyof typeof TITLES];
    yield [`/docs/${name}`, pageRow(() => textPage(title, BACK + toHtml(text, path), imprint))];
  }
}

const BACK = '<nav><a href="../">signal</a> <a href="./">Documents</a></nav>\n';

function pageRow(make: () => string): Row {
  let page: string | undefined;
  return { answer: () => content(200, "text/html; charset=utf-8", page ??= make()) };
}

/** Markdown as HTML. Links from one document to another lead to its page; those to what is not served are none. */
function toHtml(text: string, path: string): string {
  const names = new Map<string, string>(Object.entries(DOCUMENTS).map(([name, [path]]) => [path, name]));
  const ids = (html: string) =>
    html.replaceAll(
      /<(h[23])>(.*?)<\/\1>/g,
      (_, tag, inner) => `<${tag} id="${slug(inner)}">${inner}</${tag}>`,
    );
  return ids(marked.parse(text, { async: false })).replaceAll(
    /<a href="([^"]*)">([^]*?)<\/a>/g,
    (all, href, inner) => {
      if (/^(https?:|#)/.test(href)) return all;
      const target = new URL(href, `file:///${path}`);
      const name = names.get(target.pathname.slice(1));
      return name === undefined ? inner : `<a href="${name}${target.hash}">${inner}</a>`;
    },
  );
}

/** As repositories' own pages make it, so that links to a heading lead there in both. */
function slug(heading: string): string {
  return heading.replaceAll(/<[^>]*>|&\w+;/g, "").toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(
    " ",
    "-",
  );
}
