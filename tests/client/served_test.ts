/** What the server serves of the library: built from its source, small, and with its types. */

import { FILES } from "../../.ci/served.ts";
import { assert, assertEquals, assertLess, assertMatch } from "../kit/assert.ts";
import { RawClient } from "../kit/raw_client.ts";
import { testServer } from "../kit/server.ts";

const ROOT = new URL("../../", import.meta.url);

async function deno(...args: string[]): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdin: "null" });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout);
  assert(success, text + new TextDecoder().decode(stderr));
  return text;
}

Deno.test("what is served was built from the source as it is now", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await deno("run", "-A", ".ci/served.ts", directory);
    for (const name of FILES) {
      const [kept, built] = await Promise.all(
        [new URL(name, ROOT), `${directory}/${name}`].map((file) => Deno.readTextFile(file)),
      );
      assert(kept === built, `${name} is not what its source would give: run \`deno task served\``);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("/client.js is one module of at most 10 kB, and any page may load it", async () => {
  await using server = testServer();
  const response = await fetch(`${server.httpUrl}/client.js`);
  const { headers } = response;
  const text = await response.text();
  for (const coding of ["gzip", "br"]) {
    using connection = await RawClient.open(server.port, "no handshake");
    await connection.write(
      new TextEncoder().encode(`GET /client.js HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`),
    );
    const head = await connection.readHead();
    assertMatch(head, new RegExp(`^content-encoding: ${coding}\r?$`, "im"));
    const size = Number(/^content-length: (\d+)/im.exec(head)![1]);
    console.log(`/client.js: ${size} bytes by ${coding}, ${text.length} as they are`);
    assertLess(size, 10_000);
  }
  assertEquals(headers.get("access-control-allow-origin"), "*");
  assertEquals(headers.get("x-typescript-types"), "./client.d.ts");
  assertMatch(headers.get("content-type")!, /^text\/javascript/);
  // Besides the check, which is loaded when it is asked for.
  assertEquals([...text.matchAll(/\bimport\b\s*[("{*\w]/g)].length, 1);

  const etag = headers.get("etag")!;
  const again = await fetch(`${server.httpUrl}/client.js`, { headers: { "if-none-match": etag } });
  assertEquals([again.status, await again.text()], [304, ""]);
});

Deno.test("a program that loads the module from the server has its types, and needs no address", async () => {
  await using server = testServer();
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      file,
      `import { RTCPeerConnection } from "npm:werift@0.25.2";
import { joinMesh, type Mesh, type Peer } from "${server.httpUrl}/client.js";

const meshes: Mesh[] = [];
const heard = Promise.withResolvers<unknown>();
for (const ident of ["alice", "bob"]) {
  const mesh = await joinMesh({ room: "kitchen", ident, RTCPeerConnection });
  mesh.addEventListener("peer", ({ peer }) => {
    const other: Peer = peer;
    other.send({ hello: other.ident });
    other.addEventListener("message", ({ data }) => ident === "bob" && heard.resolve(data));
    // @ts-expect-error: there is no such event
    other.addEventListener("mesage", () => {});
    // @ts-expect-error: a state that there isn't
    if (other.state === "conected") console.log("never");
  });
  meshes.push(mesh);
}
// @ts-expect-error: a room is needed
void (() => joinMesh({}));
console.log(JSON.stringify(await heard.promise));
for (const mesh of meshes) await mesh.leave();
Deno.exit();
`,
    );
    assertEquals(
      (await deno("run", "-A", "--check", "--quiet", "--no-lock", "--reload=" + server.httpUrl, file)).trim(),
      '{"hello":"bob"}',
    );
  } finally {
    await Deno.remove(file);
  }
});
