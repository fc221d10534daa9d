/** Peers whose network swallows everything from one moment on: no FIN, no RST, no answer. */

import { assert, assertEquals, assertLess } from "../kit/assert.ts";
import { createNatLab, type NatLab, natLabUnavailable, type Place } from "../nat/nat.ts";
import { testWith } from "../kit/parts.ts";
import { startFlags } from "../kit/server.ts";

const PORT = 3903;
const KEEPALIVE_SECONDS = 2;
/** What the server promises, and what it takes at most where not even a ping can be written. */
const PROMISED_MS = 2 * KEEPALIVE_SECONDS * 1000;
const PROMISED_IF_FULL_MS = PROMISED_MS + 15_000;
/** For the machine to be busy with something else. */
const SLACK_MS = 3000;
/** A line that is waited for longer than that will never come. */
const PATIENCE_MS = PROMISED_IF_FULL_MS + SLACK_MS + 10_000;

const ROOT = new URL("../../", import.meta.url);

/** A program of ours in a namespace of the lab. */
class Program implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #read: string[] = [];
  #rest = "";

  constructor(lab: NatLab, place: Place, args: readonly string[]) {
    const [command, ...words] = [...lab.within(place), Deno.execPath(), "run", "--quiet", ...args];
    this.#process = new Deno.Command(command!, {
      args: words,
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async write(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(line + "\n"));
  }

  /** The next line for which this holds; those before it are passed over. */
  async line(wanted: (line: string) => boolean): Promise<string> {
    for (;;) {
      for (let line = this.#read.shift(); line !== undefined; line = this.#read.shift()) {
        if (wanted(line)) return line;
      }
      // Ends the program, and with it the wait.
      const timer = setTimeout(() => this.#process.kill("SIGKILL"), PATIENCE_MS);
      const { value, done } = await this.#lines.read();
      clearTimeout(timer);
      if (done) throw new Error("the program has ended, or was waited for in vain");
      const lines = (this.#rest + value).split("\n");
      this.#rest = lines.pop()!;
      this.#read.push(...lines);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#input.abort().catch(() => {});
    await this.#lines.cancel();
  }
}

/** Peers in a namespace, as many as sockets are asked for. */
class Peers extends Program {
  static readonly #script = "tests/wire/pipe.ts";

  constructor(lab: NatLab, place: Place, sockets: number, ...protocols: string[]) {
    const url = `ws://${lab.publicAddress}:${PORT}`;
    super(lab, place, ["--allow-net", Peers.#script, url, String(sockets), ...protocols]);
  }

  async send(socket: number, message: unknown): Promise<void> {
    await this.write(`${socket} ${JSON.stringify(message)}`);
  }

  /** The next message that is like this one, which may leave out its end. */
  async expect(socket: number, ...start: unknown[]): Promise<unknown[]> {
    const prefix = `${socket} ${JSON.stringify(start).slice(0, -1)}`;
    const line = await this.line((line) => line.startsWith(prefix));
    return JSON.parse(line.slice(line.indexOf(" ")));
  }

  async join(socket: number, ident: string, room: string): Promise<void> {
    await this.send(socket, ["join", ident, room]);
    await this.expect(socket, "join", `${room}:${ident}`);
  }
}

async function waitUntil(time: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, time - performance.now())));
}

const ROOMS = [
  { room: "quiet", sentAfter: undefined, means: "nobody sends anything" },
  {
    room: "early",
    sentAfter: 0,
    means: "what is sent fills the kernel's buffer before the server has pinged",
  },
  {
    room: "late",
    sentAfter: 1.4 * KEEPALIVE_SECONDS * 1000,
    means: "what is sent fills it after the ping, and the close frame can't be written",
  },
];

testWith(
  natLabUnavailable(),
  "peers whose network is dead are found in time, whatever is sent to them",
  async (t) => {
    await using lab = await createNatLab({ mapping: "cone" });
    // Much less than the server queues for a client before it gives it up as a slow reader.
    const small = "echo 4096 16384 65536 > /proc/sys/net/ipv4/tcp_wmem";
    assertEquals((await lab.run("server", ["sh", "-c", small])).code, 0);
    const options = ["--port", String(PORT), "--keepalive", String(KEEPALIVE_SECONDS)];
    await using server = new Program(lab, "server", [...await startFlags(), "main.ts", ...options]);
    await server.line((line) => line.includes("listens on"));

    await using doomed = new Peers(lab, "peerA", ROOMS.length);
    await using lucky = new Peers(lab, "peerB", 1);
    await using observer = new Peers(lab, "server", 1, "diva.signal.v3");
    await observer.expect(0, "welcome");
    for (const [socket, { room }] of ROOMS.entries()) {
      await doomed.join(socket, "doomed", room);
      await lucky.join(0, "lucky", room);
      await observer.join(0, "observer", room);
    }

    const swallow = `
    table ip dead {
      chain out { type filter hook output priority filter; policy drop; }
      chain in { type filter hook input priority filter; policy drop; }
    }`;
    assertEquals((await lab.run("peerA", ["nft", swallow])).code, 0);
    const deadSince = performance.now();

    for (const { room, sentAfter } of ROOMS.filter(({ sentAfter }) => sentAfter !== undefined)) {
      await waitUntil(deadSince + sentAfter!);
      for (let i = 0; i < 10; i++) {
        await observer.send(0, ["signal", `${room}:observer`, `${room}:doomed`, "x".repeat(50_000)]);
      }
    }

    const gone = new Map<string, { after: number; message: unknown[] }>();
    const watch = (async () => {
      while (gone.size < ROOMS.length) {
        const message = await observer.expect(0, "gone");
        gone.set(String(message[2]), { after: performance.now() - deadSince, message });
      }
    })();
    let deadline;
    const late = new Promise((resolve) => {
      deadline = setTimeout(resolve, deadSince + PROMISED_IF_FULL_MS + SLACK_MS - performance.now());
    });
    await Promise.race([watch, late]);
    clearTimeout(deadline);
    for (const { room, sentAfter, means } of ROOMS) {
      await t.step(means, () => {
        const found = gone.get(`${room}:doomed`);
        assert(found, `not found in ${PROMISED_IF_FULL_MS + SLACK_MS} ms`);
        assertEquals(found.message, ["gone", `${room}:observer`, `${room}:doomed`, "timeout"]);
        const promised = sentAfter === undefined ? PROMISED_MS : PROMISED_IF_FULL_MS;
        assertLess(found.after, promised + SLACK_MS);
      });
    }

    await t.step(
      "who lives is still there, if silent as long, and may take the dead one's name",
      async () => {
        await observer.send(0, ["signal", "quiet:observer", "quiet:lucky", "are you there?"]);
        await lucky.expect(0, "signal", "quiet:lucky", "quiet:observer", "are you there?");
        await lucky.join(0, "doomed", "quiet");
      },
    );
    await lab.close();
    await watch.catch(() => {});
  },
);
