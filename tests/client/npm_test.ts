/** The npm package: installed into an empty project, its types checked by TypeScript, used from Node.js. */

import { TARBALL } from "../../.ci/npm.ts";
import { assert, assertEquals } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { testServer } from "../kit/server.ts";

const ROOT = new URL("../../", import.meta.url);

/** With two implementations of WebRTC: one of JavaScript, one native. */
const PROGRAM = `
import { joinMesh, SignalError, type Mesh, type Peer } from "@diva-exchange/signal-client";
import { RTCPeerConnection as Native } from "node-datachannel/polyfill";
import { RTCPeerConnection as Script } from "werift";
import WebSocket from "ws";

const meshes: Mesh[] = [];
const heard: string[] = [];
const done = new Promise<void>((resolve) => {
  const listen = (mesh: Mesh) => mesh.addEventListener("message", ({ peer, data }) => {
    const other: Peer = peer;
    heard.push(\`\${mesh.ident} from \${other.ident}: \${JSON.stringify(data)}\`);
    if (heard.length === 2) resolve();
  });
  (async () => {
    for (const [ident, RTCPeerConnection] of Object.entries({ alice: Native, bob: Script })) {
      const mesh = await joinMesh({ url: process.argv[2]!, room: "kitchen", ident, RTCPeerConnection, WebSocket });
      listen(mesh);
      mesh.addEventListener("peer", ({ peer }) => void peer.send({ hello: peer.ident }));
      // @ts-expect-error: a peer has no such method
      mesh.addEventListener("peer", ({ peer }) => peer.call?.());
      meshes.push(mesh);
    }
    const refused: unknown = await joinMesh({ url: process.argv[2]!, room: "kitchen", ident: "bob", RTCPeerConnection: Script, WebSocket })
      .catch((error: unknown) => error);
    if (!(refused instanceof SignalError) || refused.code !== "ident-taken") throw refused;
  })();
});
setTimeout(() => { console.log("late", heard); process.exit(1); }, 20_000);
await done;
console.log(heard.sort().join("\\n"));
for (const mesh of meshes) await mesh.leave();
process.exit();
`;

async function run(cwd: string, ...words: string[]): Promise<string> {
  const [command, ...args] = words;
  const { success, stdout, stderr } = await new Deno.Command(command!, { args, cwd, stdin: "null" }).output();
  const text = new TextDecoder().decode(stdout);
  assert(success, `${words.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return text;
}

testWith(missingBinaries("node", "npm"), "the npm package works in Node.js, types included", async () => {
  const directory = await Deno.makeTempDir({ prefix: "npm-" });
  try {
    await run(ROOT.pathname, Deno.execPath(), "run", "-A", ".ci/npm.ts", directory);
    await Deno.writeTextFile(`${directory}/package.json`, JSON.stringify({ type: "module", private: true }));
    await run(
      directory,
      ...["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", `./${TARBALL}`],
      ...[
        "werift@0.25.2",
        "node-datachannel@0.33.4",
        "ws@8",
        "@types/ws@8",
        "@types/node@22",
        "typescript@5.9",
      ],
    );
    await Deno.writeTextFile(`${directory}/main.ts`, PROGRAM);
    const options = [
      "--strict",
      "--target",
      "es2022",
      "--module",
      "nodenext",
      "--lib",
      "es2023,dom,esnext.disposable",
    ];
    await run(directory, "npx", "tsc", ...options, "--skipLibCheck", "main.ts");
    await using server = testServer();
    assertEquals(
      await run(directory, "node", "main.js", server.httpUrl),
      'alice from bob: {"hello":"alice"}\nbob from alice: {"hello":"bob"}\n',
    );

    const files = await run(directory, "tar", "--list", "--file", TARBALL);
    for (const name of ["LICENSE", "README.md", "mod.js", "mod.d.ts"]) {
      assert(files.includes(`package/${name}\n`), files);
    }
    assert(!files.includes("examples/"), files);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
