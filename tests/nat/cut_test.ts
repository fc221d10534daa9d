/** A network that swallows everything for a while: no FIN, no reset. What a page and a program hear of it. */

import { chromium, type Page } from "playwright-core";
import { BROWSER_FLAGS, noChromium } from "../browser/chromium.ts";
import { assert, assertEquals } from "../kit/assert.ts";
import { findBinary, testWith } from "../kit/parts.ts";
import { signal } from "./firewalls.ts";
import { createNatLab, type NatLab, natLabUnavailable } from "./nat.ts";

const PATIENCE_MS = 90_000;

type Said = Record<string, unknown>;

/** A peer, and what it has told. */
interface Voice {
  readonly name: string;
  readonly told: Said[];
}

const numbers = ({ told }: Voice, what: string) =>
  told.flatMap((said) => said[what] as number | undefined ?? []);
const last = (voice: Voice, what: string) => numbers(voice, what).at(-1) ?? 0;
const events = ({ told }: Voice) => told.flatMap(({ event }) => event as string | undefined ?? []);

async function until(what: string, holds: () => boolean | undefined, ...voices: Voice[]): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadline) {
      const late = voices.map(({ name, told }) => `${name}: ${JSON.stringify(told.slice(-25))}`).join("\n");
      throw new Error(`waited in vain for ${what}\n${late}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What a program prints. */
function listen(name: string, stdout: ReadableStream<Uint8Array>): Voice {
  const told: Said[] = [];
  (async () => {
    let rest = "";
    for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      told.push(...lines.map((line) => JSON.parse(line)));
    }
  })();
  return { name, told };
}

/** A browser in a namespace, which leads nowhere but into the lab. */
async function browse(lab: NatLab): Promise<{ page: Page } & AsyncDisposable> {
  const wrapper = await Deno.makeTempFile();
  await Deno.writeTextFile(
    wrapper,
    `#!/bin/sh\nexec ${lab.within("peerA").join(" ")} ${findBinary("chromium")} "$@"\n`,
  );
  await Deno.chmod(wrapper, 0o700);
  const browser = await chromium.launch({
    executablePath: wrapper,
    args: [
      ...BROWSER_FLAGS.filter((flag) => !/host-resolver/.test(flag)),
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 198.51.100.1",
    ],
  });
  return {
    page: await browser.newPage(),
    async [Symbol.asyncDispose]() {
      await browser.close();
      await Deno.remove(wrapper);
    },
  };
}

const cut = (lab: NatLab, rule: string) =>
  lab.runInNat("natA", [
    "nft",
    `add table ip cut; add chain ip cut through { type filter hook forward priority -1; }; ${
      rule.split("|").map((part) => `add rule ip cut through ${part} drop`).join("; ")
    }`,
  ]);
const heal = (lab: NatLab) => lab.runInNat("natA", ["nft", "delete table ip cut"]);
const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000));

testWith(
  noChromium ?? natLabUnavailable(),
  "a page and a program whose network is cut for 2, 10 and 40 seconds: nothing is lost or told twice until it is too long",
  async () => {
    await using lab = await createNatLab({ mapping: "cone" });
    await using server = await signal(lab, "--keepalive", "4");
    await using browser = await browse(lab);
    const { page } = browser;
    const alice: Voice = { name: "page", told: [] };
    await page.exposeFunction("tell", (said: Said) => void alice.told.push(said));
    await page.goto(`${server.url.replace("ws", "http")}/`);
    const source = await Deno.readTextFile(new URL("cut_peer.js", import.meta.url));
    await page.evaluate(`(async () => {
      ${source.replace("export async", "async")}
      const { joinMesh } = await import("/client.js");
      await talk((ident) => joinMesh({ room: "kitchen", ident }), "alice", tell);
    })()`);
    await using program = lab.start("peerB", [
      Deno.execPath(),
      "run",
      "--quiet",
      "--cached-only",
      "-A",
      new URL("cut_program.ts", import.meta.url).pathname,
      server.url,
      "bob",
    ], "piped");
    const bob = listen("program", program.process.stdout);
    const both = [alice, bob];
    const connected = () =>
      both.every(({ told }) => told.findLast(({ state }) => state)?.["state"] === "connected");
    await until("for the link", connected, ...both);

    /** All that was said so far has come, each number once and in order. */
    const complete = async () => {
      const said = both.map((voice) => last(voice, "said"));
      await until(
        "for all that was said",
        () => last(alice, "number") >= said[1]! && last(bob, "number") >= said[0]!,
        ...both,
      );
      for (const voice of both) {
        const heard = numbers(voice, "number");
        assertEquals(heard, heard.map((_, i) => i + 1), voice.name);
      }
    };
    await complete();
    for (const time of [2, 10]) {
      const resumed = events(alice).filter((event) => event === "resumed").length;
      await cut(lab, "counter");
      await seconds(time);
      await heal(lab);
      await complete();
      await until("for the link", connected, ...both);
      // The server had found it dead in these ten seconds.
      if (time === 10) assert(events(alice).filter((event) => event === "resumed").length > resumed);
    }
    // Only the server is cut off, while a file goes over the link.
    await cut(lab, "tcp dport 3903|tcp sport 3903");
    program.process.kill("SIGUSR1");
    await seconds(10);
    await heal(lab);
    await until("for the file", () => alice.told.some(({ received }) => received), ...both);
    const [sending] = numbers(bob, "sending");
    assertEquals(numbers(alice, "received"), [sending!]);
    await complete();
    for (const voice of both) {
      assertEquals(events(voice).filter((event) => event !== "resumed" && event !== "stun"), [], voice.name);
      assertEquals(numbers(voice, "peer").length, 1, voice.name);
    }

    await cut(lab, "counter");
    await until(
      "for the other to be told",
      () => bob.told.some(({ reason }) => reason === "timeout"),
      ...both,
    );
    await until("for the end of the link", () => !connected(), ...both);
    await seconds(10);
    const before = both.map(({ told }) => told.length);
    await heal(lab);
    await until(
      "for a full mesh again",
      () => both.every(({ told }, i) => told.slice(before[i]).some(({ state }) => state === "connected")),
      ...both,
    );
    const said = both.map((voice) => last(voice, "said"));
    await until(
      "for what is said now",
      () => last(alice, "number") > said[1]! && last(bob, "number") > said[0]!,
      ...both,
    );
  },
);
