/** What a newcomer's mistakes are answered with: to the client, and in the log of a server that is asked to say all. */

import { assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { handshake, RawClient } from "../kit/raw_client.ts";
import { serverProcess } from "../kit/server.ts";
import { ErrorText } from "../../lib/protocol/codes.ts";

const OPTIONS = ["--host", "127.0.0.1", "--port", "0", "--stun-port", "off", "--log-level", "debug"];
const TEXT = { LOG_FORMAT: "text" };

interface Mistake {
  readonly what: string;
  readonly send: unknown;
  /** The answer to a client of version 3. One of version 2 hears nothing. */
  readonly code: keyof typeof ErrorText;
  /** Not given: what the code always means. */
  readonly sentence?: string;
  readonly about: readonly string[];
  readonly logged: string;
}

const MISTAKES: readonly Mistake[] = [
  {
    what: "an object instead of an array",
    send: { join: "alice", room: "kitchen" },
    code: "bad-call",
    about: [],
    logged: "refused bad-call: a message, of 127.0.0.1",
  },
  {
    what: "an array that was not made JSON",
    send: "join,alice,kitchen",
    code: "bad-json",
    about: [],
    logged: "refused bad-json: a message, of 127.0.0.1",
  },
  {
    what: "a call that is misspelt",
    send: ["jion", "alice", "kitchen"],
    code: "bad-call",
    sentence: "No call has that name.",
    about: ["jion"],
    logged: "refused bad-call: a message, of 127.0.0.1",
  },
  {
    what: "the address where the ident belongs",
    send: ["join", "kitchen:alice", "kitchen"],
    code: "bad-ident",
    about: ["join", "kitchen:alice", "kitchen"],
    logged: 'refused bad-ident: join "kitchen:alice" "kitchen", of 127.0.0.1',
  },
  {
    what: "a signal before the join",
    send: ["signal", "kitchen:alice", "kitchen:bob", { description: { type: "offer", sdp: "v=0" } }],
    code: "not-a-member",
    about: ["signal", "kitchen:alice", "kitchen:bob"],
    logged: 'refused not-a-member: signal "kitchen:alice" "kitchen:bob", of 127.0.0.1',
  },
  {
    what: "a second join under the same name",
    send: ["join", "taken", "kitchen"],
    code: "ident-taken",
    about: ["join", "taken", "kitchen"],
    logged: 'refused ident-taken: join "taken" "kitchen", of 127.0.0.1',
  },
];

Deno.test("six mistakes of a newcomer: version 3 is told of each, version 2 of none, and the log has both", async () => {
  await using server = await serverProcess(OPTIONS, TEXT);
  const url = `ws://127.0.0.1:${await server.port}`;
  const member = await TestClient.open(url);
  await member.call(["join", "taken", "kitchen"], ["join", "kitchen:taken"]);
  const current = await TestClient.openV3(url);
  const old = await TestClient.open(url);
  for (const { what, send, code, sentence = ErrorText[code], about } of MISTAKES) {
    current.send(send);
    assertEquals(await current.next(), ["error", code, sentence, ...about], what);
    await old.call(send);
  }
  for (const client of [member, current, old]) await client.close();

  server.kill("SIGTERM");
  const { stdout } = await server.output;
  for (const { what, logged } of MISTAKES) {
    for (const version of [2, 3]) assertStringIncludes(stdout, `${logged}, version ${version}\n`, what);
  }
  assertEquals(stdout.includes("v=0"), false, "data in the log");
});

Deno.test("a subprotocol that is nearly ours is refused with a sentence, beside ours it is passed over", async () => {
  await using server = await serverProcess(OPTIONS, TEXT);
  const port = await server.port;
  for (const offer of ["Diva.Signal.V3", "diva.signal.v4", "diva-signal", "chat, diva.signal.v2"]) {
    using client = await RawClient.open(port, "no handshake");
    await client.write(handshake({ "Sec-WebSocket-Protocol": offer }));
    const { head, body } = await client.readResponse();
    assertMatch(head, /^HTTP\/1\.1 400 /, offer);
    assertEquals(
      body,
      `The subprotocol ${
        offer.split(", ").at(-1)
      } is not spoken here. Version 3 is asked for as diva.signal.v3.\n`,
    );
  }
  using client = await RawClient.open(port, { "Sec-WebSocket-Protocol": "diva.signal.v4, diva.signal.v3" });
  assertEquals(JSON.parse((await client.text())!)[0], "welcome");
  client[Symbol.dispose]();
  server.kill("SIGTERM");
  const { stdout } = await server.output;
  // A browser does not show its page why it was refused.
  const sentence = "The subprotocol diva.signal.v4 is not spoken here.";
  assertStringIncludes(stdout, `refused bad-handshake: a handshake, of 127.0.0.1, origin none: ${sentence}`);
});

Deno.test("a burst of mistakes does not fill the log, and its count is one line in words", async () => {
  await using server = await serverProcess(OPTIONS, TEXT);
  const client = await TestClient.openV3(`ws://127.0.0.1:${await server.port}`);
  for (let i = 0; i < 1000; i++) client.send(["bogus"]);
  await client.settle();
  await client.close();
  await server.said(/refused in 10 s: 1000 bad-call\n/);
  server.kill("SIGTERM");
  const { stdout } = await server.output;
  const single = stdout.split("\n").filter((line) => line.includes("refused bad-call:")).length;
  // A hundred at once and ten a second, for the two seconds that this may take at the very most.
  assertEquals(single >= 100 && single <= 150, true, `${single} lines`);
});

Deno.test("a page that may not connect is named in the log, once, and not too many of them", async () => {
  const options = [...OPTIONS, "--allow-origin", "https://app.example.org", "--ice-endpoint", "on"];
  await using server = await serverProcess(options, TEXT);
  const port = await server.port;
  const headers = { origin: "https://ice.example.org" };
  const ice = await fetch(`http://127.0.0.1:${port}/ice`, { headers });
  assertEquals([ice.status, await ice.text()], [403, "Pages of this origin may not have this.\n"]);
  for (
    const origin of [
      "https://other.example.org",
      ...Array.from({ length: 40 }, (_, i) => `https://${i}.example`),
    ]
  ) {
    for (let again = 0; again < 2; again++) {
      using client = await RawClient.open(port, "no handshake");
      await client.write(handshake({ Origin: origin }));
      assertMatch(await client.readHead(), /^HTTP\/1\.1 403 /);
    }
  }
  server.kill("SIGTERM");
  const { stderr } = await server.output;
  const lines = stderr.trim().split("\n");
  assertEquals(lines.length, 16);
  assertStringIncludes(lines[0]!, "Pages of https://ice.example.org may not connect.");
  assertStringIncludes(
    lines[1]!,
    "Pages of https://other.example.org may not connect. If they are yours, start with --allow-origin " +
      "https://other.example.org.",
  );
});
