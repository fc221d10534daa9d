/** The library's example for the command line, against a running server. */

import { assert, assertEquals, assertLess, assertMatch } from "../kit/assert.ts";
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
  for (const flag of ["--url", "--room", "--peers", "--timeout", "--stay", "--help"]) {
    assert(stdout.includes(`\n  ${flag} `));
  }
  for (const line of stdout.split("\n")) assertLess(line.length, 101);
});
