// SPDX-License-Identifier: MIT

/**
 * Real WebRTC peers meet through a running server, and the mesh is drawn as it forms.
 *
 *     deno task demo --url http://localhost:3903 --peers 5
 */

import { parseArgs } from "node:util";
import { RTCPeerConnection } from "werift";
import { joinMesh, type Mesh, SignalError } from "../mod.ts";

const HELP = `Real WebRTC peers meet through a running server, and the mesh is drawn as it forms.

Usage: deno task demo [OPTION ...]

  --url URL          the server [http://localhost:3903]; start one with: deno task start
  --room NAME        where they meet; others may come, too [a new one]
  --peers NUMBER     how many, from 1 to 32 [3]
  --timeout SECONDS  how long it may take [30]
  --stay             go on when all are connected: stop the server, start it again, and watch
  --help             show this and exit

Exit status: 0 when every pair is connected, 1 when not, 2 for options that are wrong.`;

/** One cell of the drawing. */
const SIGNS: Record<string, string> = {
  introduced: "·",
  negotiating: "~",
  connected: "●",
  interrupted: "!",
  failed: "✗",
};

interface Options {
  url: string;
  room: string;
  peers: number;
  timeoutSeconds: number;
  stay: boolean;
}

/** A sentence where they are wrong. */
function readOptions(args: string[]): Options | "help" | { fault: string } {
  let values;
  try {
    const text = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    ({ values } = parseArgs({
      args,
      options: { url: text, room: text, peers: text, timeout: text, stay: flag, help: flag },
    }));
  } catch (error) {
    return { fault: (error as Error).message };
  }
  if (values.help) return "help";
  const [peers, timeoutSeconds] = [Number(values.peers ?? 3), Number(values.timeout ?? 30)];
  if (!(Number.isInteger(peers) && peers >= 1 && peers <= 32)) {
    return { fault: `--peers: "${values.peers}" is not a number from 1 to 32.` };
  }
  if (!(timeoutSeconds > 0)) return { fault: `--timeout: "${values.timeout}" is not a number of seconds.` };
  const url = values.url ?? "http://localhost:3903";
  const room = values.room ?? `demo ${crypto.randomUUID()}`;
  return { url, room, peers, timeoutSeconds, stay: values.stay ?? false };
}

/** A row for each peer, a column for each that it may be linked to. */
function draw(meshes: readonly Mesh[]): string {
  const idents = [...new Set(meshes.flatMap(({ ident, peers }) => [ident, ...peers.keys()]))];
  const short = (ident: string) => ident.slice(0, 8).padEnd(9);
  const rows = meshes.map((mesh) => {
    const cells = idents.map((ident) =>
      ident === mesh.ident ? " " : SIGNS[mesh.peers.get(ident)?.state ?? ""] ?? " "
    );
    return `${short(mesh.ident)}${cells.map((cell) => cell.padEnd(9)).join("")}${
      mesh.state === "joined" ? "" : mesh.state
    }`;
  });
  return [`${" ".repeat(9)}${idents.map(short).join("")}`, ...rows].join("\n");
}

async function demo({ url, room, peers, timeoutSeconds, stay }: Options): Promise<number> {
  const meshes: Mesh[] = [];
  const terminal = Deno.stdout.isTerminal();
  let over = false;
  const show = (line: string) => {
    if (over) return;
    if (terminal) console.log(`\x1b[2J\x1b[H${draw(meshes)}\n\n${line}`);
    else console.log(line);
  };
  const heard = new Set<string>();
  const complete = Promise.withResolvers<void>();
  for (let i = 1; i <= peers; i++) {
    const mesh = await joinMesh({ url, room, ident: `peer${i}`, RTCPeerConnection });
    meshes.push(mesh);
    mesh.addEventListener(
      "state",
      () => show(`${mesh.ident}: the server is ${mesh.state === "joined" ? "there" : "away"}`),
    );
    mesh.addEventListener("message", ({ peer, data }) => {
      heard.add(`${peer.ident} ${mesh.ident}`);
      show(`${peer.ident} to ${mesh.ident}, directly: ${JSON.stringify(data)}`);
      if (heard.size === peers * (peers - 1)) complete.resolve();
    });
    mesh.addEventListener("peer", ({ peer }) => {
      peer.send(`hello ${peer.ident}`);
      peer.addEventListener("state", () => {
        const detail = peer.failure?.message ?? peer.path ?? "";
        show(`${mesh.ident} and ${peer.ident}: ${peer.state}${detail && ` (${detail})`}`);
      });
    });
  }
  if (peers === 1) complete.resolve();
  const late = setTimeout(() => complete.reject(new Error("late")), timeoutSeconds * 1000);
  const all = peers * (peers - 1) / 2;
  try {
    await complete.promise;
    console.log(`\n${all} of ${all} pairs are connected.`);
    if (stay) await new Promise(() => {});
    return 0;
  } catch {
    const connected = meshes.flatMap((mesh) =>
      [...mesh.peers.values()].filter(({ state }) => state === "connected")
    ).length / 2;
    console.log(`\n${Math.floor(connected)} of ${all} pairs are connected.`);
    return 1;
  } finally {
    clearTimeout(late);
    over = true;
    await Promise.all(meshes.map((mesh) => mesh.leave()));
  }
}

async function main(): Promise<number> {
  const options = readOptions(Deno.args);
  if (options === "help") return console.log(HELP), 0;
  if ("fault" in options) return console.error(`demo: ${options.fault} --help shows all options.`), 2;
  try {
    return await demo(options);
  } catch (error) {
    if (!(error instanceof SignalError)) throw error;
    console.error(`demo: ${error.message}`);
    return 1;
  }
}

Deno.exit(await main());
