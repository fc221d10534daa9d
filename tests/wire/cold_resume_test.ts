/** A server that was killed: with a secret of its own its clients take up what they held. */

import { assertEquals, assertLess } from "../kit/assert.ts";
import { ErrorText } from "../../lib/protocol/codes.ts";
import { fileWith } from "../kit/files.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { serverProcess, startFlags, testServer } from "../kit/server.ts";

const SECRET = "s".repeat(32);
const KEY = "k".repeat(22);
const CANNOT = ["error", "cannot-resume", ErrorText["cannot-resume"], "resume"];

Deno.test("after kill -9 clients have their addresses back, before anybody else", async () => {
  using file = fileWith(SECRET + "\n");
  const start = async () =>
    await serverProcess(
      ["--port", "0", "--stun-port", "off", "--resume-secret-file", file.path],
      {},
      [...await startFlags(), `--allow-read=${file.path}`],
    );
  const first = await start();
  let port = await first.port;
  using a = await ResumingClient.join(port, "a", "r");
  using b = await ResumingClient.open(port);
  await b.settle(["join", "b", "r", { key: KEY }], ["join", "b", "s:t"]);
  await Promise.all([a.resealed(), b.resealed()]);
  first.kill("SIGKILL");
  await first.output;

  await using second = await start();
  port = await second.port;
  using usurper = await ResumingClient.open(port);
  assertEquals(await usurper.settle(["join", "b", "r", { key: "z".repeat(22) }]), [["join", "r:b"]]);
  const { id } = b.offer;
  const count = b.count;
  assertEquals(await b.resume(port), [
    "resumed",
    { addresses: ["r:b", "s:t:b"], resume: { ...b.offer, seconds: 20, bytes: 65_536 }, cold: true },
  ]);
  assertEquals(b.count, count);
  assertEquals(await usurper.next(), ["gone", "r:b", "r:b", "replaced"]);
  assertEquals(await usurper.raw.closeCode(), 4001);
  assertEquals((await a.resume(port))[0], "resumed");
  assertEquals(await a.next(), ["stun", "r:a", "r:b", true]);
  assertEquals(await b.next(), ["stun", "r:b", "r:a", false]);
  assertEquals(await b.settle(["signal", "r:b", "r:a", 1]), []);
  assertEquals(await a.settle(), [["signal", "r:a", "r:b", 1]]);

  using thief = await ResumingClient.open(port);
  assertEquals(await thief.resume(port, { id, count }), CANNOT, "a second use");
  // The key is bound to it again.
  assertEquals(await thief.settle(["join", "b", "r", { key: KEY }]), [
    ["join", "r:b"],
    ["stun", "r:b", "r:a", true],
  ]);
  // And it can be resumed warm, as any.
  await a.settle();
  a.drop();
  assertEquals(await thief.settle(["signal", "r:b", "r:a", 2]), []);
  assertEquals((await a.resume(port))[1], { addresses: ["r:a"], resume: a.offer, calls: 2 });
  assertEquals((await a.settle()).at(-1), ["signal", "r:a", "r:b", 2]);
});

Deno.test("a client that left an address does not get it back from who took it, by an older seal", async () => {
  using file = fileWith(SECRET);
  const options = { resumeSecretFile: file.path, drain: 0 };
  const first = testServer(options);
  using bob = await ResumingClient.join(first.port, "x", "r");
  await bob.resealed();
  const { id } = bob.offer;
  await bob.settle(["leave", "r:x"]);
  using carol = await ResumingClient.join(first.port, "x", "r");
  await carol.resealed();
  await first.drain();
  for (const order of ["bob first", "carol first"]) {
    await using second = testServer(options);
    using b = await ResumingClient.open(second.port);
    const outcome = async (client: ResumingClient, id: string) =>
      (await client.resume(second.port, { id, count: 0 }))[0];
    if (order === "bob first") {
      assertEquals(await outcome(b, id), "resumed");
      using c = await ResumingClient.open(second.port);
      assertEquals(await outcome(c, carol.offer.id), "resumed");
      assertEquals(await b.next(), ["gone", "r:x", "r:x", "replaced"]);
    } else {
      using c = await ResumingClient.open(second.port);
      assertEquals(await outcome(c, carol.offer.id), "resumed");
      assertEquals(await outcome(b, id), "error");
      assertEquals(await c.settle(), []);
    }
  }
});

Deno.test("a server with another secret, or none, knows nothing of a seal", async () => {
  using file = fileWith(SECRET);
  using other = fileWith("t".repeat(32));
  const first = testServer({ resumeSecretFile: file.path, drain: 0 });
  using a = await ResumingClient.join(first.port, "a", "r");
  await a.resealed();
  const { id } = a.offer;
  await first.drain();
  for (const options of [{}, { resumeSecretFile: other.path }]) {
    await using server = testServer(options);
    using client = await ResumingClient.open(server.port);
    assertEquals(await client.resume(server.port, { id, count: 0 }), CANNOT);
    assertEquals(await client.settle(["join", "a", "r"]), [["join", "r:a"]]);
  }
});

Deno.test("without a secret a client hears of no other ids than those of its sockets", async () => {
  await using server = testServer();
  using a = await ResumingClient.open(server.port);
  const { id } = a.offer;
  await a.settle(["join", "a", "r"]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await a.settle();
  assertEquals(a.offer.id, id);
  assertEquals(a.count, 3);
});

const CROWD = 2000;

Deno.test(`${CROWD} clients that come back at once to a server that was killed are all there again, soon`, async () => {
  using file = fileWith(SECRET);
  const options = {
    resumeSecretFile: file.path,
    drain: 0,
    maxAddressesPerClient: 1e6,
    maxRoomsPerClient: 1e6,
    connectRate: 1e6,
  };
  const first = testServer(options);
  const clients: ResumingClient[] = [];
  for (let i = 0; i < CROWD; i++) {
    const client = await ResumingClient.open(first.port);
    await client.send(["join", "i", `room${i}`]);
    clients.push(client);
  }
  await Promise.all(clients.map((client) => client.resealed()));
  for (const client of clients) client.drop();
  await first.drain();
  await using second = testServer(options);
  const before = performance.now();
  const answers: unknown[][] = [];
  // As many at a time as the kernel's queue of new connections surely takes; a client that finds it full tries again.
  for (let i = 0; i < CROWD; i += 100) {
    answers.push(...await Promise.all(clients.slice(i, i + 100).map((client) => client.resume(second.port))));
  }
  assertLess(performance.now() - before, 20_000);
  assertEquals(answers.filter(([name]) => name === "resumed").length, CROWD);
  assertEquals(second.health().addresses, CROWD);
  for (const client of clients) client[Symbol.dispose]();
});
