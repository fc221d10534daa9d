/** The client library, the page and the examples in a real browser. */

import { Buffer } from "node:buffer";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { wire } from "../client/meshes.ts";
import { testWith } from "../kit/parts.ts";
import { type TestServer, testServer } from "../kit/server.ts";
import { noChromium, openBrowser } from "./chromium.ts";

const PATIENCE_MS = 40_000;

/** Whether a picture has come. */
const VIDEO = `[...document.querySelectorAll("video")].some(({ videoWidth }) => videoWidth > 0)`;

function test(name: string, run: (browser: Browser, server: TestServer) => Promise<void>): void {
  testWith(noChromium, `Chromium: ${name}`, async () => {
    await using server = testServer();
    await using browser = await openBrowser();
    await run(browser, server);
  });
}

/** Playwright's own way makes code of a string in the page, which its policy forbids. */
async function until(page: Page, expression: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!await page.evaluate(expression)) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${expression}`);
    await page.waitForTimeout(20);
  }
}

/** A person with a browser of their own, in a room by the library alone. */
class Person {
  readonly ident: string;
  readonly page: Page;
  readonly context: BrowserContext;

  private constructor(ident: string, page: Page, context: BrowserContext) {
    this.ident = ident;
    this.page = page;
    this.context = context;
  }

  static async come(browser: Browser, url: string, ident: string, keep = `"tab"`): Promise<Person> {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const person = new Person(ident, page, context);
    await page.goto(url);
    await person.join(keep);
    return person;
  }

  async join(keep = `"tab"`): Promise<void> {
    await this.page.evaluate(`(async () => {
      const { joinMesh } = await import("/client.js");
      const timing = { retryLeast: 100, retryMost: 500, interruptedTimeout: 1000 };
      globalThis.mesh = await joinMesh({ room: "kitchen", ident: "${this.ident}", keep: ${keep}, timing });
      globalThis.told = [];
      globalThis.heard = [];
      mesh.addEventListener("peer", ({ peer }) => told.push(peer.ident));
      mesh.addEventListener("message", ({ peer, data }) => heard.push(peer.ident + ": " + data));
    })()`);
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string): Promise<void> {
    await until(this.page, expression).catch(async ({ message }) => {
      throw new Error(`${this.ident} ${message}: ${JSON.stringify(await this.see())}`);
    });
  }

  see(): Promise<unknown> {
    return this.page.evaluate(
      `[mesh.state, [...mesh.peers.values()].map(({ ident, state }) => ident + " " + state), told]`,
    );
  }

  /** Waits until exactly these others are connected. */
  async with(others: readonly Person[]): Promise<void> {
    const idents = JSON.stringify(others.map(({ ident }) => ident).sort());
    await this.until(
      `JSON.stringify([...mesh.peers.values()].filter(({ state }) => state === "connected").map(({ ident }) => ident).sort()) === '${idents}' && mesh.peers.size === ${others.length}`,
    );
  }

  async told(): Promise<string[]> {
    return (await this.page.evaluate<string[]>("told")).sort();
  }
}

async function everybody(people: readonly Person[]): Promise<void> {
  await Promise.all(people.map((person) => person.with(people.filter((other) => other !== person))));
}

async function chat(people: readonly Person[], word: string): Promise<void> {
  await Promise.all(people.map(({ page }) => page.evaluate(`mesh.send("${word}")`)));
  await Promise.all(
    people.map((person) =>
      person.until(`heard.filter((line) => line.endsWith(": ${word}")).length === ${people.length - 1}`)
    ),
  );
}

for (const count of [2, 5]) {
  test(`${count} people connect and chat; one leaves, one reloads, one goes offline and returns, the server restarts`, async (browser) => {
    const first = testServer();
    using network = wire(first.port);
    const people: Person[] = [];
    for (let i = 0; i < count; i++) people.push(await Person.come(browser, network.url, `person${i}`));
    await everybody(people);
    await chat(people, "hello");
    const [alice, bob] = people as [Person, Person];

    // A reload, with the same ident and key: the same person to the others.
    await bob.page.reload();
    await bob.join();
    await everybody(people);
    assertEquals(await alice.told(), people.slice(1).map(({ ident }) => ident));

    // Offline: the link over the loopback interface stays, the server is lost and found again.
    await bob.context.setOffline(true);
    network.target = undefined;
    network.cut();
    await bob.until(`mesh.state === "waiting"`);
    await bob.context.setOffline(false);
    network.target = first.port;
    await bob.until(`mesh.state === "joined"`);
    await everybody(people);
    assertEquals(await alice.told(), people.slice(1).map(({ ident }) => ident));

    // The server restarts: links stay, nobody is doubled.
    await alice.page.evaluate(
      "globalThis.connections = [...mesh.peers.values()].map(({ connection }) => connection)",
    );
    network.target = undefined;
    network.cut();
    await first.drain();
    await alice.until(`mesh.state === "waiting"`);
    await chat(people, "without a server");
    await using second = testServer();
    network.target = second.port;
    for (const person of people) await person.until(`mesh.state === "joined"`);
    await everybody(people);
    await chat(people, "with another one");
    assertEquals(await alice.told(), people.slice(1).map(({ ident }) => ident));
    assertEquals(
      await alice.page.evaluate(
        "[...mesh.peers.values()].every(({ connection }) => connections.includes(connection))",
      ),
      true,
    );

    // One leaves, one closes the tab; the rest hears of both.
    await bob.page.evaluate("mesh.leave()");
    // As a person does: what the page has to say at its end is said.
    if (count > 2) await people[2]!.page.close({ runBeforeUnload: true });
    await everybody(people.filter((_, i) => i !== 1 && i !== 2));
  });
}

test("people share video, add and remove it, both at once too, while the server is away", async (browser) => {
  const server = testServer();
  const alice = await Person.come(browser, server.httpUrl, "alice");
  const bob = await Person.come(browser, server.httpUrl, "bob");
  await everybody([alice, bob]);
  await server.drain();
  const share = `(async () => {
    globalThis.stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
    mesh.addMedia(stream);
  })()`;
  const other = "[...mesh.peers.values()][0]";
  const sees = (tracks: number) =>
    `${other}.media.length === ${
      tracks ? 1 : 0
    } && (${other}.media[0]?.getTracks().length ?? 0) === ${tracks}`;
  // Both at the same moment: their offers meet.
  await Promise.all([alice, bob].map(({ page }) => page.evaluate(share)));
  await Promise.all([alice, bob].map((person) => person.until(sees(2))));
  await bob.page.evaluate(`(() => {
    globalThis.video = document.createElement("video");
    video.muted = true;
    video.srcObject = ${other}.media[0];
    video.play();
  })()`);
  await bob.until("video.videoWidth > 0");
  await alice.page.evaluate("mesh.removeMedia(stream)");
  await bob.until(sees(0));
  await alice.page.evaluate("mesh.addMedia(stream)");
  await bob.until(sees(2));
  await chat([alice, bob], "still in order");
});

test(
  "a page in the browser's cache lets go of the server and comes back; one that is left is gone at once",
  async (browser, server) => {
    const alice = await Person.come(browser, server.httpUrl, "alice");
    const bob = await Person.come(browser, server.httpUrl, "bob", "undefined");
    await everybody([alice, bob]);
    const turn = (type: string) =>
      bob.page.evaluate(`dispatchEvent(new PageTransitionEvent("${type}", { persisted: true }))`);
    // This page only says so, and is not stopped: it may be back before anybody looks.
    await bob.page.evaluate(`(() => {
      globalThis.left = false;
      mesh.addEventListener("state", () => left ||= mesh.state !== "joined");
    })()`);
    await turn("pagehide");
    await bob.until("left");
    await server.counts({ sockets: 1 });
    await turn("pageshow");
    await everybody([alice, bob]);
    await server.counts({ sockets: 2 });
    assertEquals(await alice.told(), ["bob"]);

    await alice.page.evaluate(`(() => {
    globalThis.states = [];
    const [peer] = mesh.peers.values();
    // Which way the data goes may be known late.
    peer.addEventListener("state", () => peer.state !== "connected" && states.push(peer.state));
  })()`);
    await bob.page.goto("about:blank");
    await alice.until("mesh.peers.size === 0");
    // It had time to say so: nobody waited for it to come back.
    assertEquals(await alice.page.evaluate("states"), ["left"]);
    await server.counts({ sockets: 1, addresses: 1 });
  },
);

test("the page: a room for two, their mesh, their chat, a camera, and the check", async (browser, server) => {
  const complaints: string[] = [];
  const open = async (hash: string) => {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("console", (message) => /error|warning/.test(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(server.httpUrl + "/" + hash);
    return page;
  };
  const alice = await open("");
  const room = await alice.locator("#room").inputValue();
  assertMatch(room, /^[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}$/);
  await alice.getByLabel("Your name").fill("Alice");
  await alice.getByRole("button", { name: "Open the room" }).click();
  await alice.getByText("You are in the room, alone so far.").waitFor();
  const link = await alice.locator("#link").innerText();
  assertEquals(link, `${server.httpUrl}/#room=${room}`);
  await alice.getByRole("img", { name: "The link as a QR code, for a phone" }).waitFor();

  const bob = await open(`#room=${room}`);
  await bob.getByRole("listitem").filter({ hasText: "Alice" }).filter({ hasText: "connected, direct" })
    .waitFor();
  await bob.getByRole("img", { name: "You and 1 others; connected with 1 of them" }).waitFor();
  await bob.getByLabel("Say something to everybody").fill("<b>hello</b>");
  await bob.getByRole("button", { name: "Send" }).click();
  await alice.getByRole("log").getByText("<b>hello</b>").waitFor();
  await alice.getByRole("button", { name: "Share my camera" }).click();
  await until(bob, VIDEO);

  await alice.getByRole("button", { name: "Check now" }).click();
  await alice.getByRole("button", { name: "Check again" }).waitFor();
  const steps = await alice.locator("#steps li").allInnerTexts();
  assertEquals(steps.length, 7);
  assertStringIncludes(steps[0]!, "The server is reached directly, from the address 127.0.0.1.");
  assertEquals(await alice.getByRole("img", { name: "failed" }).count(), 0);
  await bob.close();
  await alice.getByRole("log").getByText("has left.").waitFor();
  assertEquals(complaints, []);
});

test(
  "the page can be used while the library is on its way, and says when it never comes",
  async (browser, server) => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const arrival = Promise.withResolvers<void>();
    await page.route("**/client.js", async (route) => {
      await arrival.promise;
      await route.continue();
    });
    await page.goto(server.httpUrl);
    assertMatch(await page.locator("#room").inputValue(), /^[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}$/);
    await page.locator("#room").fill("mine");
    await page.getByRole("button", { name: "Open the room" }).click();
    await page.getByRole("button", { name: "Joining" }).waitFor();
    arrival.resolve();
    await page.getByText("You are in the room, alone so far.").waitFor();
    assertEquals(await page.locator("#link").innerText(), `${server.httpUrl}/#room=mine`);

    const other = await (await browser.newContext()).newPage();
    other.setDefaultTimeout(PATIENCE_MS);
    await other.route("**/client.js", (route) => route.abort());
    await other.goto(server.httpUrl);
    await other.getByRole("button", { name: "Open the room" }).click();
    await other.getByText("That did not work").waitFor();
    await other.getByRole("button", { name: "Check now" }).click();
    await other.getByText("Load this page again").waitFor();
    await other.getByRole("button", { name: "Check again" }).waitFor();
  },
);

test("the page weighs less than 80 KiB, and can be turned off", async (browser, server) => {
  const page = await browser.newPage();
  let bytes = 0;
  const urls: string[] = [];
  page.on("requestfinished", async (request) => {
    urls.push(new URL(request.url()).pathname);
    const { responseBodySize, responseHeadersSize } = await request.sizes();
    bytes += responseBodySize + responseHeadersSize;
  });
  await page.goto(server.httpUrl);
  await page.getByRole("button", { name: "Check now" }).click();
  await page.getByRole("button", { name: "Check again" }).waitFor({ timeout: 3 * PATIENCE_MS }).catch(
    async ({ message }) => {
      const shown = await page.locator("#run, #steps").allInnerTexts();
      throw new Error(`${message}\nThe page shows: ${JSON.stringify(shown)}; loaded: ${urls.join()}`);
    },
  );
  assert(
    urls.includes("/client.js") && urls.includes("/page.js") && urls.includes("/client.diagnose.js"),
    urls.join(),
  );
  console.log(`the page with all that it loads: ${bytes} bytes`);
  assertLess(bytes, 80 * 1024);

  await using silent = testServer({ page: "off" });
  for (const path of ["/", "/page.js", "/examples/chat.html", "/docs/"]) {
    const answer = await fetch(silent.httpUrl + path);
    assertEquals([answer.status, await answer.text()], [
      404,
      "There is nothing here; WebSockets are welcome on any path.\n",
    ], path);
  }
  const client = await fetch(`${silent.httpUrl}/client.js`);
  assertEquals([client.status, (await client.text()).length > 1000], [200, true]);
});

/** Two people open an example; what they do is the test's. */
function example(name: string, act: (alice: Page, bob: Page) => Promise<void>): void {
  test(`the example ${name} works as it is served, in at most 60 lines`, async (browser, server) => {
    const complaints: string[] = [];
    const [alice, bob] = await Promise.all([1, 2].map(async () => {
      const page = await (await browser.newContext({ viewport: { width: 800, height: 600 } })).newPage();
      page.setDefaultTimeout(PATIENCE_MS);
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
      const answer = await page.goto(`${server.httpUrl}/examples/${name}.html`);
      assertLess((await answer!.text()).trim().split("\n").length, 61);
      return page;
    })) as [Page, Page];
    await act(alice, bob);
    // An icon that no example has is asked for by every browser.
    assertEquals(complaints.filter((text) => !text.includes("404")), []);
  });
}

example("chat", async (alice, bob) => {
  for (const page of [alice, bob]) await page.getByText("connected with 1 others").waitFor();
  await alice.getByLabel("Say something").fill("hello");
  await alice.keyboard.press("Enter");
  await bob.getByRole("log").getByText(": hello").waitFor();
});

example("video", async (alice, bob) => {
  await alice.getByRole("button").click();
  await until(bob, VIDEO);
});

example("files", async (alice, bob) => {
  await bob.getByText("You are").waitFor();
  const buffer = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  const send = async () => {
    // Who is not there yet gets nothing: it is sent until somebody is.
    await alice.getByLabel("Send to everybody").setInputFiles({
      name: "photo.jpg",
      mimeType: "image/jpeg",
      buffer,
    });
    await alice.getByText("photo.jpg to").waitFor({ timeout: 500 });
  };
  await send().catch(send);
  const download = bob.waitForEvent("download");
  await bob.getByRole("link", { name: "photo.jpg" }).first().click();
  const file = await (await download).path();
  assertEquals(Buffer.from(await Deno.readFile(file)).compare(buffer), 0);
  await alice.getByText("sent").first().waitFor();
});

example("cursors", async (alice, bob) => {
  const seen = bob.locator(".cursor").first().waitFor();
  let over = false;
  seen.finally(() => over = true);
  for (let x = 0; !over; x = (x + 7) % 700) await alice.mouse.move(x, 100);
  await seen;
});
