/** The black-box suite passes against ours, and says what is wrong with others. */

import { conform } from "../../lib/commands/conform.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../kit/assert.ts";
import { testServer } from "../kit/server.ts";

async function hold(...args: string[]): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const code = await conform(args, (line) => lines.push(line));
  return { code, text: lines.join("\n") };
}

Deno.test("ours passes all of it, and nothing of it is left", async () => {
  await using server = testServer();
  const { code, text } = await hold(server.url);
  assertEquals({ code, text }, { code: 0, text: "46 of 46 are so." });
  await server.counts({ sockets: 0, rooms: 0 });
});

Deno.test("each version by itself, and as the Test Anything Protocol", async () => {
  await using server = testServer();
  assertEquals((await hold("--version", "2", server.url)).text, "28 of 28 are so.");
  const { text } = await hold("--version", "3", "--tap", server.url);
  assertMatch(text, /^TAP version 14\n1\.\.18\nok 1 - version 3: /);
  assertEquals(text.match(/^ok /gm)?.length, 18);
});

Deno.test("what others do otherwise is named, with what came instead", async () => {
  // It answers a ping and gives idents, the same each time.
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const asksForThree = request.headers.get("sec-websocket-protocol") !== null;
    const { socket, response } = Deno.upgradeWebSocket(request);
    if (asksForThree) socket.onopen = () => socket.send('["hello"]');
    socket.onmessage = ({ data }) => {
      const text = typeof data === "string" ? data : new TextDecoder().decode(data);
      if (text === '["ping"]') socket.send('["pong"]');
      if (text === '["ident"]') socket.send('["ident","abcdefghijklmnop"]');
      if (text.startsWith('["join"')) socket.send('["join","somewhere:else"]');
    };
    return response;
  });
  const url = `ws://127.0.0.1:${http.addr.port}`;
  const { code, text } = await hold("--version", "2", "--tap", url);
  assertEquals(code, 1);
  assertMatch(text, /^ok 1 - version 2, text: a socket asks for an identifier/m);
  assertMatch(
    text,
    /^not ok 3 .*\n {2}---\n {2}message: "step 3, socket a: .*somewhere:else.* came, and not /m,
  );
  const third = await hold("--version", "3", url);
  assertEquals(third.code, 1);
  assert(third.text.includes("not so: version 3: the first message is a welcome"));
});

Deno.test("what can't be held is told in words", async () => {
  assertMatch((await assertRejects(() => hold())).message, /needs the address of a server/);
  assertMatch(
    (await assertRejects(() => hold("--version", "4", "ws://localhost"))).message,
    /neither 2 nor 3/,
  );
});
