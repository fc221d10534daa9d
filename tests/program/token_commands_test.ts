/** `signal token`, `signal token check`, `signal keygen`: what a person sees who tries them. */

import { assert, assertEquals, assertMatch } from "../kit/assert.ts";
import { fileWith } from "../kit/files.ts";
import { type Output, serverProcess, startFlags } from "../kit/server.ts";
import { TestClient } from "../kit/client.ts";

/** With the permissions that the documents give, and to read the files that are named. */
async function run(args: string[], env: Record<string, string> = {}): Promise<Output> {
  await using program = await serverProcess(args, env, [...await startFlags(), "--allow-read"]);
  return await program.output;
}

async function printed(args: string[], env?: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await run(args, env);
  assertEquals([code, stderr], [0, ""], args.join(" "));
  return stdout.trim();
}

Deno.test("a secret that is made signs tokens, which the server takes", async () => {
  const secret = await printed(["keygen"]);
  assertMatch(secret, /^[\w-]{43}$/);
  using file = fileWith(secret + "\n");
  const given = ["--token-secret-file", file.path];
  const token = await printed([
    "token",
    ...given,
    "--room",
    "kitchen",
    "--room",
    "hall*",
    "--ident",
    "alice",
    "--ttl",
    "15m",
  ]);
  assertMatch(
    await printed(["token", "check", ...given, "--room", "kitchen", "--ident", "alice", token]),
    /^The token is good for (900|89\d) s\.\n {2}rooms {3}kitchen, hall\*\n {2}ident {3}alice\n {2}member {2}for \d+ s$/,
  );
  for (
    const [more, sentence] of [
      [["--room", "cellar"], 'The token is not for the room "cellar".\n'],
      [["--ident", "bob"], 'The token is for another ident than "bob".\n'],
      [["--token-audience", "x"], "The token is for another audience (aud) than this server.\n"],
    ] as const
  ) {
    const { code, stdout } = await run(["token", "check", ...given, ...more, token]);
    assertEquals([code, stdout], [1, sentence]);
  }
  await using server = await serverProcess(["--port", "0", "--stun-port", "off", ...given], {}, [
    ...await startFlags(),
    `--allow-read=${file.path}`,
  ]);
  using client = await TestClient.openV3(`ws://127.0.0.1:${await server.port}`);
  await client.call(["join", "alice", "hall-1", { token }], ["join", "hall-1:alice"]);
});

Deno.test("a pair of keys is made, and only its public half is taken by the server", async () => {
  for (const type of ["EdDSA", "ES256", "RS256"]) {
    using privateFile = fileWith(await printed(["keygen", "--type", type]));
    using publicFile = fileWith(await printed(["keygen", "--public", privateFile.path]));
    const token = await printed(["token", "--private-key-file", privateFile.path, "--room", "r", "--watch"]);
    const env = { SIGNAL_TOKEN_KEY_FILE: publicFile.path };
    assertMatch(await printed(["token", "check", token], env), /may watch only$/);
    const { code, stderr } = await run(["--port", "0", "--token-key-file", privateFile.path]);
    assertEquals(code, 1);
    assertMatch(
      stderr,
      /^signal: --token-key-file \S+: it holds a private key: only its public half belongs on this server\.\n$/,
    );
  }
});

Deno.test("what is wrong is told in a sentence, with status 2, or 1 of a file", async () => {
  using short = fileWith("too short");
  using empty = fileWith("");
  const wrong: [string[], number, RegExp][] = [
    [["token"], 2, /A token is for a room: --room kitchen\.$/],
    [["token", "--room"], 2, /^signal: --room needs a value \(ROOM\)\.$/],
    [["token", "--room", "r"], 2, /--token-secret-file FILE\. "signal keygen" makes one\.$/],
    [["token", "--rom", "r"], 2, /--rom is not an option; did you mean --room\?/],
    [
      ["token", "--room", "r", "--ttl", "soon", "--token-secret-file", short.path],
      2,
      /The key can't be used: the secret has 9 bytes|--ttl/,
    ],
    [
      ["token", "--room", "r", "--info", "x", "--token-secret-file", short.path],
      2,
      /--info: "x" is not a JSON object/,
    ],
    [
      ["token", "--room", "r", "--token-secret-file", "/nowhere"],
      1,
      /--token-secret-file \/nowhere: there is no such file\.$/,
    ],
    [["token", "check", "x"], 2, /Name what the token is to be checked with/],
    [["token", "chek", "x"], 2, /"chek" is not understood/],
    [["keygen", "--type", "hs256"], 2, /is none of HS256, EdDSA, ES256, RS256; did you mean HS256\?$/],
    [["keygen", "--public", short.path], 2, /neither a private key/],
    [
      ["--port", "0", "--token-secret-file", short.path],
      1,
      /the secret has 9 bytes, but needs 32 at least; "signal keygen" makes one\.$/,
    ],
    [["--port", "0", "--resume-secret-file", empty.path], 1, /it holds 0 characters, but 32 are needed/],
    [["--port", "0", "--admin-token-file", short.path], 1, /it holds 9 characters, but 32 are needed/],
    [["--port", "0", "--token-jwks", short.path], 1, /neither a public key/],
    [["--open-rooms", "x"], 2, /--open-rooms is given, but no tokens are asked for/],
    [["--token-audience", "x"], 2, /--token-audience is given, but no tokens are asked for/],
    [["--resume", "0", "--resume-secret-file", short.path], 2, /--resume 0 turns resuming off/],
    [["--token-jwks", "https://"], 2, /is no http: or https: URL/],
  ];
  for (const [args, status, sentence] of wrong) {
    const { code, stdout, stderr } = await run(args);
    assertEquals([code, stdout], [status, ""], args.join(" "));
    assertMatch(stderr.trim(), sentence);
    assert(stderr.startsWith("signal: ") && stderr.trim().split("\n").length === 1, stderr);
  }
});

Deno.test("signal token --help shows all of it, in lines that fit", async () => {
  const text = await printed(["token", "--help"]);
  for (const word of ["token check", "keygen", "--private-key-file", "--ttl"]) {
    assert(text.includes(word), word);
  }
  assert(text.split("\n").every((line) => line.length <= 110));
  assertEquals(await printed(["keygen", "-h"]), text);
  assert((await printed(["--help"])).includes("signal token --help"));
});
