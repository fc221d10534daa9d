/** The library's example for the command line, against a running server. */

import { assert, assertEquals, assertLess, assertMatch } from "../kit/assert.ts";
import { missingEngine } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { redis } from "../kit/redis.ts";
import { testServer } from "../kit/server.ts";

async function demo(...args: string[]) {
  const script = new URL("../../lib/client/examples/demo.ts", import.meta.url).pathname;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", script, ...args],
    stdin: "null",
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("the demo joins a running server, tells of each link, and ends when all are connected", async () => {
  await using server = testServer();
  const { code, stdout, stderr } = await demo("--url", server.httpUrl, "--peers", "4");
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^peer3 and peer1: connected/m);
  assertMatch(stdout, /^peer1 to peer4, directly: "hello peer4"$/m);
  assertMatch(stdout, /\n6 of 6 pairs are connected\.\n$/);
  await server.counts({ sockets: 0, rooms: 0 });
});

testWith(
  missingEngine,
  "the demo kills one of three nodes: the links of its peers stay, they come back on another, all pairs talk",
  async () => {
    await using engine = await redis();
    const { code, stdout, stderr } = await demo("--nodes", "3", "--peers", "5", "--engine", engine.url);
    assertEquals([code, stderr], [0, ""], stdout);
    assertMatch(stdout, /\n10 of 10 pairs are connected\.\n\nOne node is killed, with [12] peers on it\.\n/);
    assertMatch(stdout, /\n[12] peers came back on another node; all links are as they were\.\n/);
    assertMatch(stdout, /\n10 of 10 pairs talk, each over the link that it had\.\n$/);
    const own = await demo("--nodes", "2", "--peers", "2");
    assertEquals([own.code, own.stderr], [0, ""], "with a Redis of its own");
  },
);

Deno.test("the demo says what is wrong, in a sentence", async () => {
  const wrong = await demo("--peers", "99");
  assertEquals([wrong.code, wrong.stdout], [2, ""]);
  assertMatch(wrong.stderr, /^demo: --peers: "99" is not a number from 1 to 32\. --help/);
  assertEquals((await demo("--per", "3")).code, 2);
  await using server = testServer();
  const late = await demo("--url", server.httpUrl, "--timeout", "0.01", "--peers", "2");
  assertEquals(late.code, 1);
  assertMatch(late.stdout, /\n[01] of 1 pairs are connected\.\n$/);
  const { code, stdout } = await demo("--help");
  assertEquals(code, 0);
  for (const flag of ["--url", "--room", "--peers", "--timeout", "--stay", "--nodes", "--engine", "--help"]) {
    assert(stdout.includes(`\n  ${flag} `));
  }
  for (const line of stdout.split("\n")) assertLess(line.length, 101);
});
