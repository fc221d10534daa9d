/** A real browser: its WebRTC peers meet others through the server, and it shows the server's pages. */

import type { Browser, Page } from "playwright-core";
import { assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { MeshPeer } from "../strangers/peer.ts";
import { testWith } from "../kit/parts.ts";
import { type TestServer, testServer } from "../kit/server.ts";
import { noChromium, openBrowser, servePages } from "./chromium.ts";

/** Far more than anything takes here, but on a machine that does much else, or stands still for a while. */
const PATIENCE_MS = 60_000;
const V3 = "diva.signal.v3";

function test(name: string, run: (browser: Browser, server: TestServer) => Promise<void>): void {
  testWith(noChromium, `Chromium: ${name}`, async () => {
    await using server = testServer();
    await using browser = await openBrowser();
    await run(browser, server);
  });
}

/** Opens an empty page in a profile of its own, and keeps what it complains about. */
async function open(
  browser: Browser,
  width = 1280,
  height = 800,
): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage({ viewport: { width, height } });
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return { page, complaints };
}

for (const [first, second] of [[undefined, undefined], [V3, undefined], [undefined, V3]]) {
  const versions = [first, second].map((protocol) => protocol ? "3" : "2").join(" and ");
  test(`two pages that speak versions ${versions} talk to each other`, async (browser, server) => {
    await using pages = await servePages();
    const where = { server: server.url, room: "kitchen" };
    const [alice, bob] = await Promise.all([open(browser), open(browser)]);

    await alice.page.goto(pages.peerUrl({ ...where, ident: "alice", ...first && { protocol: first } }));
    await alice.page.getByRole("heading", { name: "kitchen:alice" }).waitFor();
    await bob.page.goto(pages.peerUrl({ ...where, ident: "bob", ...second && { protocol: second } }));
    await Promise.all([alice, bob].map(({ page }) => page.locator("li").first().waitFor()));

    assertEquals(await alice.page.locator("li").allInnerTexts(), [
      "hello kitchen:alice, this is kitchen:bob",
    ]);
    assertEquals(await bob.page.locator("li").allInnerTexts(), ["hello kitchen:bob, this is kitchen:alice"]);
    assertEquals([...alice.complaints, ...bob.complaints], []);
  });
}

for (const newcomer of ["page", "program"] as const) {
  test(`a page and a program outside talk; the ${newcomer} makes the offer`, async (browser, server) => {
    await using pages = await servePages();
    const { page, complaints } = await open(browser);
    const url = pages.peerUrl({ server: server.url, room: "kitchen", ident: "alice" });
    const joinByPage = async () => {
      await page.goto(url);
      await page.getByRole("heading", { name: "kitchen:alice" }).waitFor();
    };
    if (newcomer === "program") await joinByPage();
    await using peer = await MeshPeer.join({ url: server.url, room: "kitchen", version: 3 });
    if (newcomer === "page") await joinByPage();

    const heard = await peer.hearAny(1, PATIENCE_MS).catch(async (error: Error) => {
      throw new Error(`${error.message}; the page says: ${await page.title()}`);
    });
    assertEquals([...heard], [["kitchen:alice", `hello ${peer.address}, this is kitchen:alice`]]);
    assertEquals(peer.links.get("kitchen:alice")?.initiator, newcomer === "program");
    await page.locator("li").first().waitFor();
    assertEquals(await page.locator("li").allInnerTexts(), [`hello kitchen:alice, this is ${peer.address}`]);
    assertEquals(complaints, []);
  });
}

for (
  const { name, width, height } of [
    { name: "desktop", width: 1280, height: 800 },
    { name: "phone", width: 375, height: 812 },
  ]
) {
  test(`the pages of the server fit a ${name} and break no rule`, async (browser, server) => {
    for (const [path, status] of [["/", 200], ["/nowhere", 404]] as const) {
      const { page, complaints } = await open(browser, width, height);
      const answer = await page.goto(server.httpUrl + path);
      assertEquals(answer?.status(), status);
      // In the page's words: how wide it would like to be, and what its style makes of its paper.
      const { scrollWidth, clientWidth, background } = await page.evaluate<
        { scrollWidth: number; clientWidth: number; background: string }
      >(`({
        scrollWidth: document.documentElement.scrollWidth,
        clientWidth: document.documentElement.clientWidth,
        background: getComputedStyle(document.body).backgroundColor,
      })`);
      assertEquals([scrollWidth, clientWidth], [width, width], path);
      assertEquals(background, "rgb(251, 250, 247)", "the style is not applied");
      if (path === "/") {
        assertEquals(await page.locator("#use .address").innerText(), server.url);
        await screenshot(page, `page-${name}.png`);
      } else {
        // A browser says so of each page that is answered with 404.
        assertStringIncludes(complaints.shift() ?? "", "404");
      }
      assertEquals(complaints, []);
    }
  });
}

async function screenshot(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("SIGNAL_SCREENSHOTS");
  if (folder) await page.screenshot({ path: `${folder}/${name}`, fullPage: true });
}

test("the example for the console works on the page that gives it", async (browser, server) => {
  const tabs = await Promise.all(["alice", "bob"].map(async (ident) => {
    const { page, complaints } = await open(browser);
    await page.goto(server.httpUrl);
    const example = await page.locator("pre").filter({ hasText: "new WebSocket" }).innerText();
    assertStringIncludes(example, '"alice"');
    return { page, complaints, example: example.replace("alice", ident) };
  }));
  const [alice, bob] = tabs.map(({ page, example }) => ({
    /** Resolves when the page has written this to its console. */
    logs: (text: string) => page.waitForEvent("console", (message) => message.text() === text),
    paste: () => page.evaluate(example),
  }));

  await Promise.all([alice!.logs('["join","kitchen:alice"]'), alice!.paste()]);
  await Promise.all([
    alice!.logs('["stun","kitchen:alice","kitchen:bob",false]'),
    bob!.logs('["stun","kitchen:bob","kitchen:alice",true]'),
    bob!.paste(),
  ]);
  assertEquals(tabs.flatMap(({ complaints }) => complaints), []);
});
