/** How the servers that are compared are started, and how their clients say the same things. */

import type { Peer } from "../peer.ts";
import { start } from "../../kit/programs.ts";
import { pinned, SERVER_CORE } from "../cores.ts";
import { startServer } from "../processes.ts";
import { ident, room, signalText } from "../messages.ts";

export interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

/** A signal, and how long what comes of it is: at the receiver, and at the sender where that hears it, too. */
export interface Exchange {
  readonly sent: string;
  readonly received: number;
  readonly echoed?: number;
}

export interface Dialect {
  readonly name: string;
  /** `directory`: where the packages from npm are. */
  start(directory: string, port: number): Promise<Running>;
  /** With which a socket is asked for. */
  path?(number: number): string;
  /** Lets a socket be the one of that number in the room; resolves when it can be signalled to. */
  enter(peer: Peer, number: number, inRoom: number, members: number): Promise<void>;
  /** From one of these to the other, in the same room; `undefined` where it can't be sent to one alone. */
  signal(from: number, to: number, inRoom: number, bytes: number): Exchange | undefined;
  /** Whether joins introduce members to each other. */
  readonly introduces: boolean;
}

/** Milliseconds between two tries to reach a server that says that it is there, and how many there are. */
const TRY_AGAIN = 100;
const MAX_TRIES = 50;

async function process(
  command: readonly string[],
  env: Record<string, string>,
  ready: RegExp,
  port: number,
): Promise<Running> {
  const running = start([...await pinned(SERVER_CORE), ...command], "piped", {
    NODE_ENV: "production",
    ...env,
  });
  const { process: { stdout, pid } } = running;
  const reader = stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!ready.test(said)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`${command.join(" ")} ended: ${said}`);
    said += value;
  }
  // Some say so before they listen.
  for (let tries = 0;; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch (error) {
      if (tries === MAX_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN));
    }
  }
  // A pipe that nobody reads would stop it.
  (async () => {
    while (!(await reader.read()).done);
  })();
  return { pid, port, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
}

/** Takes texts until one is this, or begins so. */
async function until(peer: Peer, start: string): Promise<void> {
  while (!(await peer.text()).startsWith(start));
}

/** Our own words, for ours, for the relay on `ws`, and in form for the echo. */
const own = {
  async enter(peer: Peer, number: number, inRoom: number): Promise<void> {
    await peer.say(JSON.stringify(["join", ident(number), room(inRoom)]));
    await peer.say('["ping"]');
    await until(peer, '["pong"]');
  },
  signal(from: number, to: number, inRoom: number, bytes: number): Exchange {
    const sent = signalText(`${room(inRoom)}:${ident(from)}`, `${room(inRoom)}:${ident(to)}`, bytes);
    return { sent, received: sent.length };
  },
};

const onDeno = (name: "signal" | "echo") => (): Promise<Running> => startServer(name);

export const DIALECTS: readonly Dialect[] = [
  { name: "signal", introduces: true, start: onDeno("signal"), ...own },
  {
    name: "echo on Deno",
    introduces: false,
    start: onDeno("echo"),
    enter: () => Promise.resolve(),
    // It comes back to its sender.
    signal: (from, to, inRoom, bytes) => {
      const { sent, received } = own.signal(from, to, inRoom, bytes);
      return { sent, received: 0, echoed: received };
    },
  },
  {
    name: "relay on ws",
    introduces: true,
    start: (directory, port) =>
      process(["node", `${directory}/relay.mjs`, String(port)], {}, /listening/, port),
    ...own,
  },
  {
    name: "PeerJS server",
    introduces: false,
    start: (directory, port) =>
      process(
        [
          "node",
          `${directory}/node_modules/.bin/peerjs`,
          "--port",
          String(port),
          "--host",
          "127.0.0.1",
          "--concurrent_limit",
          "100000",
        ],
        {},
        /Started PeerServer/,
        port,
      ),
    path: (number) => `/peerjs?key=peerjs&id=${ident(number)}&token=${number}&version=1.0.0`,
    enter: (peer) => until(peer, '{"type":"OPEN"'),
    signal(from, to, _room, bytes) {
      const text = (payload: string) => JSON.stringify({ type: "OFFER", payload, dst: ident(to) });
      const sent = text("x".repeat(bytes - text("").length));
      return { sent, received: sent.length + `"src":"${ident(from)}",`.length };
    },
  },
  {
    name: "y-webrtc server",
    introduces: false,
    start: (directory, port) =>
      process(
        ["node", `${directory}/node_modules/y-webrtc/bin/server.js`],
        { PORT: String(port) },
        /running/i,
        port,
      ),
    async enter(peer, _number, inRoom) {
      await peer.say(JSON.stringify({ type: "subscribe", topics: [room(inRoom)] }));
      await peer.say('{"type":"ping"}');
      await until(peer, '{"type":"pong"}');
    },
    // Whatever is said in a room goes to all who are there, its sender among them.
    signal(_from, _to, inRoom, bytes) {
      const text = (data: string) => JSON.stringify({ type: "publish", topic: room(inRoom), data });
      const sent = text("x".repeat(bytes - text("").length));
      const received = sent.length + ',"clients":2'.length;
      return { sent, received, echoed: received };
    },
  },
];
