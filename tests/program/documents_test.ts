/** What the documents say can be done as they say it. */

import { assert, assertEquals, assertLess } from "../kit/assert.ts";
import { noChromium, openBrowser } from "../browser/chromium.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { testServer } from "../kit/server.ts";
import { TokenFault } from "../../lib/tokens/claims.ts";
import { secretKey } from "../../lib/tokens/keys.ts";
import { checkToken } from "../../lib/tokens/tokens.ts";

const ROOT = new URL("../../", import.meta.url);

function documents(folder = ""): string[] {
  return [...Deno.readDirSync(new URL(folder || ".", ROOT))].flatMap(({ name, isDirectory }) => {
    if (/^(node_modules|dist|coverage|\.git|\.deno)$/.test(name)) return [];
    return isDirectory ? documents(`${folder}${name}/`) : name.endsWith(".md") ? [`${folder}${name}`] : [];
  });
}

/** The one block of code of a document that holds this. */
function block(text: string, language: string, what: string): string {
  const blocks = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map((
    [, block],
  ) => block!);
  const found = blocks.filter((block) => block.includes(what));
  assertEquals(found.length, 1, `blocks of ${language} with ${what}`);
  return found[0]!;
}

Deno.test("README is short, and its prose fits a terminal", async () => {
  const text = await Deno.readTextFile(new URL("README.md", ROOT));
  assertLess(new TextEncoder().encode(text).length, 14 * 1024);
  const long = text.split("\n").filter((line) => [...line].length > 120);
  assertEquals(long, []);
});

Deno.test("what a document links to is there, headings too", async () => {
  const slug = (heading: string) => heading.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-");
  let links = 0;
  for (const file of documents()) {
    const text = await Deno.readTextFile(new URL(file, ROOT));
    for (const [, href] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(href!)) continue;
      const [path, heading] = href!.split("#");
      const target = path ? new URL(path, new URL(file, ROOT)) : new URL(file, ROOT);
      const there = await Deno.readTextFile(target).catch(() => undefined);
      assert(there !== undefined, `${file} links to ${href}, which is not there`);
      if (heading) {
        const headings = [...there.matchAll(/^#+ (.*)$/gm)].map(([, text]) => slug(text!));
        assert(headings.includes(heading), `${file} links to ${href}, but there is no such heading`);
      }
      links++;
    }
  }
  assert(links > 10, `only ${links} links were found`);
});

Deno.test("the pages of the documents lead to each other and to nothing that isn't served", async () => {
  await using server = testServer();
  const seen = new Set<string>();
  const next = [`${server.httpUrl}/docs/`];
  for (let url; (url = next.pop()) !== undefined;) {
    if (seen.has(url)) continue;
    seen.add(url);
    const answer = await fetch(url);
    const text = await answer.text();
    assertEquals(answer.status, 200, url);
    if (!answer.headers.get("content-type")!.startsWith("text/html") || url.includes("/examples/")) continue;
    for (const [, href] of text.matchAll(/<a href="([^"]+)"/g)) {
      const target = new URL(href!, url);
      if (target.origin !== server.httpUrl) continue;
      target.hash = "";
      next.push(target.href);
    }
  }
  for (const name of ["client", "protocol", "options", "ice", "tokens", "nodes", "deployment", "security"]) {
    assert(seen.has(`${server.httpUrl}/docs/${name}`), name);
  }
  assert(seen.has(`${server.httpUrl}/examples/chat.html`));
});

testWith(
  noChromium,
  "Chromium: README's application works as written, opened from a file in two tabs",
  async () => {
    await using server = testServer();
    const readme = await Deno.readTextFile(new URL("README.md", ROOT));
    const page = block(readme, "html", "joinMesh");
    assertLess(page.trim().split("\n").length, 13);
    const file = await Deno.makeTempFile({ suffix: ".html" });
    await using browser = await openBrowser();
    try {
      await Deno.writeTextFile(file, page.replace("http://localhost:3903", server.httpUrl));
      const heard = await Promise.all([1, 2].map(async () => {
        const tab = await browser.newPage();
        const said = tab.waitForEvent("console", (message) => /hello: there/.test(message.text()));
        await tab.goto(`file://${file}`);
        return said;
      }));
      await Promise.all(heard.map((said) => said.text()));
    } finally {
      await Deno.remove(file);
    }
  },
);

Deno.test("an application of simple-peer works with the low layer as the documents show it", async () => {
  await using server = testServer();
  const text = await Deno.readTextFile(new URL("lib/client/README.md", ROOT));
  const example = block(text, "js", "SimplePeer")
    .replace('"simple-peer"', '"npm:simple-peer@9.11.1"')
    .replaceAll("https://signal.example.org", server.httpUrl)
    // Where there is no browser, simple-peer takes WebRTC from a package.
    .replace("new SimplePeer({", "new SimplePeer({ wrtc,");
  const program = `import wrtc from "npm:@roamhq/wrtc@0.10.0";\n${example}
    const poll = setInterval(() => {
      for (const peer of peers.values()) {
        if (!peer.connected || peer.told) continue;
        peer.told = true;
        peer.on("data", (data) => {
          console.log(String(data));
          clearInterval(poll);
          setTimeout(() => Deno.exit(), 300);
        });
        peer.send("hello from simple-peer");
      }
    }, 20);`;
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, program);
    const args = ["run", "-A", "--quiet", "--no-lock", `--reload=${server.httpUrl}`, file];
    const both = await Promise.all(
      [1, 2].map(() => new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output()),
    );
    for (const { stdout, stderr } of both) {
      assertEquals(
        new TextDecoder().decode(stdout),
        "hello from simple-peer\n",
        new TextDecoder().decode(stderr),
      );
    }
  } finally {
    await Deno.remove(file);
  }
});

/** Runs what the documents say for minting a token with a program, and says whether it is good. */
async function mintAsWritten(
  command: string[],
  language: string,
  name: string,
  install?: string[],
): Promise<void> {
  const text = await Deno.readTextFile(new URL("lib/tokens/README.md", ROOT));
  const cwd = await Deno.makeTempDir();
  const secret = "s".repeat(43);
  const run = async ([program, ...args]: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(program!, { args, cwd, stdin: "null" }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  };
  try {
    await Deno.writeTextFile(`${cwd}/token.secret`, secret + "\n");
    await Deno.writeTextFile(`${cwd}/${name}`, block(text, language, "token.secret"));
    if (install) await run(install);
    const token = (await run([...command, name])).trim();
    const ticket = await checkToken(token, { keys: [secretKey(secret)] });
    assert(!(ticket instanceof TokenFault), JSON.stringify(ticket));
    const { rooms, subject, expires } = ticket;
    assertEquals([rooms, subject], [["kitchen"], "alice"]);
    assertLess(Math.abs(expires - Date.now() - 300_000), 5000);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

/** One that has PyJWT; the first in PATH need not be the system's own. */
const python = ["python3", "/usr/bin/python3"].find((program) => {
  try {
    return new Deno.Command(program, { args: ["-c", "import jwt"], stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
});

testWith(missingBinaries("node", "npm"), "a token is minted in Node.js as the documents say", async () => {
  await mintAsWritten(["node"], "js", "mint.mjs", ["npm", "install", "--no-fund", "--no-audit", "jose@6"]);
});

testWith(
  python === undefined ? "python3 with jwt not installed" : undefined,
  "a token is minted in Python as the documents say",
  async () => await mintAsWritten([python!], "python", "mint.py"),
);
