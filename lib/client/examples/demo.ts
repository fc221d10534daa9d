// SPDX-License-Identifier: MIT

/**
 * Real WebRTC peers meet through a running server, and the mesh is drawn as it forms.
 *
 *     deno task demo --url http://localhost:3903 --peers 5
 */

import { parseArgs } from "node:util";
import { RTCPeerConnection } from "werift";
import { joinMesh, type Mesh } from "../mod.ts";
import { type Nodes, startNodes } from "./nodes.ts";

const HELP = `Real WebRTC peers meet through a running server, and the mesh is drawn as it forms.

Usage: deno task demo [OPTION ...]

  --url URL          the server [http://localhost:3903]; start one with: deno task start
  --room NAME        where they meet; others may come, too [a new one]
  --peers NUMBER     how many, from 1 to 32 [3]
  --timeout SECONDS  how long it may take [30]
  --stay             go on when all are connected: stop the server, start it again, and watch
  --nodes NUMBER     start so many nodes that share their rooms, and kill one when all are connected
  --engine URL       of the Redis for that [one that is started, where redis-server is installed]
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
  /** 0: a server runs already. */
  nodes: number;
  engine: string | undefined;
}

/** A sentence where they are wrong. */
function readOptions(args: string[]): Options | "help" | { fault: string } {
  let values;
  try {
    const text = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    ({ values } = parseArgs({
      args,
      options: {
        url: text,
        room: text,
        peers: text,
        timeout: text,
        stay: flag,
        nodes: text,
        engine: text,
        help: flag,
      },
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
  const nodes = Number(values.nodes ?? 0);
  if (values.nodes !== undefined && !(Number.isInteger(nodes) && nodes >= 2 && nodes <= 8)) {
    return { fault: `--nodes: "${values.nodes}" is not a number from 2 to 8.` };
  }
  const url = values.url ?? "http://localhost:3903";
  const room = values.room ?? `demo ${crypto.randomUUID()}`;
  return { url, room, peers, timeoutSeconds, stay: values.stay ?? false, nodes, engine: values.engine };
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

/** @param interlude what happens when all are connected; all say something once more after it */
async function demo(
  { url, room, peers, timeoutSeconds, stay }: Options,
  interlude?: (meshes: readonly Mesh[]) => Promise<void>,
): Promise<number> {
  const meshes: Mesh[] = [];
  const terminal = Deno.stdout.isTerminal();
  let over = false;
  const show = (line: string) => {
    if (over) return;
    if (terminal) console.log(`\x1b[2J\x1b[H${draw(meshes)}\n\n${line}`);
    else console.log(line);
  };
  const heard = new Set<string>();
  let complete = Promise.withResolvers<void>();
  const all = peers * (peers - 1) / 2;
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
  try {
    await complete.promise;
    console.log(`\n${all} of ${all} pairs are connected.`);
    if (interlude !== undefined) {
      await interlude(meshes);
      heard.clear();
      complete = Promise.withResolvers();
      await Promise.all(meshes.map((mesh) => mesh.send("still here")));
      await complete.promise;
      console.log(`\n${all} of ${all} pairs talk, each over the link that it had.`);
    }
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

/** Kills a node, and waits until its peers are on another, their links to all others untouched. */
async function survive(nodes: Nodes, meshes: readonly Mesh[]): Promise<void> {
  const links = () => meshes.flatMap(({ peers }) => [...peers.values()]);
  const before = new Map(links().map((peer) => [peer, peer.connection]));
  const away = new Set<Mesh>();
  const back = new Promise<void>((resolve) => {
    for (const mesh of meshes) {
      mesh.addEventListener("state", () => {
        if (mesh.state !== "joined") away.add(mesh);
        if (away.size > 0 && meshes.every(({ state }) => state === "joined")) resolve();
      });
    }
  });
  console.log(`\nOne node is killed, with ${nodes.kill(0)} peers on it.`);
  await back;
  const same = links().every((peer) => before.get(peer) === peer.connection && peer.state === "connected");
  if (!same || links().length !== before.size) throw new Error("A link did not outlive the node.");
  console.log(`\n${away.size} peers came back on another node; all links are as they were.`);
}

async function main(): Promise<number> {
  const options = readOptions(Deno.args);
  if (options === "help") return console.log(HELP), 0;
  if ("fault" in options) return console.error(`demo: ${options.fault} --help shows all options.`), 2;
  try {
    if (options.nodes === 0) return await demo(options);
    await using nodes = await startNodes(options.nodes, options.engine);
    return await demo({ ...options, url: nodes.url }, (meshes) => survive(nodes, meshes));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(`demo: ${error.message}`);
    return 1;
  }
}

Deno.exit(await main());
