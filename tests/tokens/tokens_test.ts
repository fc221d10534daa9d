/** Which tokens are good: what an attacker would send, and how keys are chosen. */

import { Buffer } from "node:buffer";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { CompactSign, exportJWK, importJWK, type JWK, SignJWT } from "jose";
import { assert, assertEquals, assertLess, assertThrows } from "../kit/assert.ts";
import { inSeconds, SECRET, token } from "../kit/tokens.ts";
import { admit, matches, type Ticket, TokenFault } from "../../lib/tokens/claims.ts";
import { PublishedKeys } from "../../lib/tokens/jwks.ts";
import { KeyFault, publicKeys, secretKey } from "../../lib/tokens/keys.ts";
import { checkToken, type TokenCheck } from "../../lib/tokens/tokens.ts";
import { log } from "../../lib/runtime/log.ts";

const bySecret: TokenCheck = { keys: [secretKey(SECRET)] };

async function sentence(text: string, check = bySecret): Promise<string | undefined> {
  const outcome = await checkToken(text, check);
  return outcome instanceof TokenFault ? outcome.sentence : undefined;
}

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

const claims = { rooms: ["r"], exp: inSeconds(3600) };

/** Signed by hand, with whatever header. */
function forged(header: unknown, secret: string | Uint8Array): string {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

const pair = (type: "ed25519" | "rsa" | "ec") => {
  const { publicKey, privateKey } = type === "ed25519"
    ? generateKeyPairSync("ed25519")
    : type === "rsa"
    ? generateKeyPairSync("rsa", { modulusLength: 2048 })
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    pem: publicKey.export({ type: "spki", format: "pem" }) as string,
    publicJwk: publicKey.export({ format: "jwk" }) as JWK,
    privateJwk: privateKey.export({ format: "jwk" }) as JWK,
  };
};

async function signed(jwk: JWK, alg: string, header = {}): Promise<string> {
  return await new SignJWT(claims).setProtectedHeader({ alg, ...header }).sign(await importJWK(jwk, alg));
}

Deno.test("a good token says what it says", async () => {
  const outcome = await checkToken(
    await token({
      rooms: ["a", "b*"],
      sub: "i",
      until: inSeconds(9000),
      publish: false,
      ice: false,
      info: { x: 1 },
    }),
    bySecret,
  ) as Ticket;
  const { expires, pass: { until, ...pass }, ...rest } = outcome;
  assertEquals(rest, { rooms: ["a", "b*"], subject: "i" });
  assertEquals(pass, { publish: false, ice: false, info: '{"x":1}' });
  assert(until - expires > 5_000_000);
});

Deno.test("a token that is not good is told apart by a sentence, and none names the token", async () => {
  const none = `${part({ alg: "none" })}.${part(claims)}.`;
  const wrong: [string, string, RegExp][] = [
    ["nothing", "", /not a JWT/],
    ["no token", "x", /not a JWT/],
    ["a token of dots", "..", /not a JWT/],
    ["alg none", none, /signed with a key, or in a way/],
    ["alg none with a signature", none + "AAAA", /signed with a key, or in a way/],
    [
      "alg none in other letters",
      `${part({ alg: "NoNe" })}.${part(claims)}.`,
      /signed with a key, or in a way/,
    ],
    ["no alg", forged({}, SECRET), /signed with a key, or in a way|not a JWT/],
    ["another hash", forged({ alg: "HS512" }, SECRET), /signed with a key, or in a way/],
    ["crit", forged({ alg: "HS256", crit: ["x"], x: 1 }, SECRET), /not a JWT/],
    ["another secret", await token({}, "t".repeat(43)), /signature is wrong/],
    ["no signature", (await token()).replace(/[^.]+$/, ""), /signature is wrong/],
    [
      "another body",
      (await token()).replace(/\..*\./, `.${part({ ...claims, rooms: ["*"] })}.`),
      /signature/,
    ],
    ["huge", await token({ info: { x: "x".repeat(6000) } }), /more than 6000 characters/],
    ["expired", await token({ exp: inSeconds(-90) }), /expired (90|91) s ago/],
    ["no end", await token({ exp: undefined }), /exp is missing/],
    ["not yet", await token({ nbf: inSeconds(90) }), /good in (90|89) s only/],
    ["no rooms", await token({ rooms: undefined }), /names no rooms/],
    ["rooms of numbers", await token({ rooms: [1] }), /names no rooms/],
    ["a number as sub", await token({ sub: 1 }), /sub|not as it should be|not a JWT/],
    ["a word as publish", await token({ publish: "no" }), /true or false/],
    ["a word as until", await token({ until: "tomorrow" }), /until is not a number/],
    ["info that is no object", await token({ info: [1] }), /info is not an object/],
    ["info that is too long", await token({ info: { x: "ä".repeat(600) } }), /more than 1024 bytes/],
    [
      "an array as claims",
      await new CompactSign(Buffer.from("[]")).setProtectedHeader({ alg: "HS256" })
        .sign(Buffer.from(SECRET)),
      /not a JWT/,
    ],
  ];
  for (const [name, text, expected] of wrong) {
    const said = await sentence(text);
    assert(said !== undefined && expected.test(said), `${name}: ${said}`);
    assert(text.length < 8 || !said.includes(text.slice(0, 8)), name);
  }
});

Deno.test("where there is an audience every token is for it", async () => {
  const check = { ...bySecret, audience: "signal" };
  assertEquals(await sentence(await token({ aud: "signal" }), check), undefined);
  assertEquals(await sentence(await token({ aud: ["x", "signal"] }), check), undefined);
  for (const aud of [undefined, "x", "", ["x"]]) {
    assert(/audience/.test(await sentence(await token({ aud }), check) ?? ""), String(aud));
  }
  assertEquals(await sentence(await token({ aud: "anything" })), undefined, "none is asked for");
});

Deno.test("the key decides on the algorithm: no public key is ever a secret", async () => {
  for (const [type, alg] of [["ed25519", "EdDSA"], ["ec", "ES256"], ["rsa", "RS256"]] as const) {
    const { pem, publicJwk, privateJwk } = pair(type);
    const check = { keys: publicKeys(pem) };
    assertEquals(await sentence(await signed(privateJwk, alg), check), undefined, alg);
    if (type === "ed25519") {
      assertEquals(await sentence(await signed(privateJwk, "Ed25519"), check), undefined);
    }
    for (
      const secret of [
        pem,
        pem.trim(),
        publicJwk.x ?? publicJwk.n!,
        Buffer.from(publicJwk.x ?? "", "base64url"),
      ]
    ) {
      for (const header of [{ alg: "HS256" }, { alg: "HS256", jwk: publicJwk }, { alg, jwk: publicJwk }]) {
        const said = await sentence(forged(header, secret), check);
        assert(said !== undefined, `${alg} ${JSON.stringify(header)}`);
      }
    }
    // A key that the token brings along itself.
    const own = pair(type);
    const brought = await signed(own.privateJwk, alg, { jwk: own.publicJwk });
    assert(/signature is wrong/.test(await sentence(brought, check) ?? ""));
  }
});

Deno.test("of several keys the token's own is taken, by its id", async () => {
  const [one, two, foreign] = [pair("ed25519"), pair("ed25519"), pair("ed25519")];
  const keys = publicKeys(JSON.stringify({
    keys: [
      { ...one.publicJwk, kid: "one" },
      { ...two.publicJwk, kid: "two", use: "sig", key_ops: ["verify"] },
      { kty: "unknown" },
      { ...foreign.publicJwk, kid: "enc", use: "enc" },
    ],
  }));
  assertEquals(keys.map(({ id }) => id), ["one", "two"]);
  const check = { keys };
  assertEquals(await sentence(await signed(one.privateJwk, "EdDSA", { kid: "one" }), check), undefined);
  assertEquals(await sentence(await signed(two.privateJwk, "EdDSA", { kid: "two" }), check), undefined);
  assertEquals(
    await sentence(await signed(two.privateJwk, "EdDSA"), check),
    undefined,
    "it need not say which",
  );
  for (const kid of ["one", "enc", "three", "../../etc/passwd"]) {
    assert(await sentence(await signed(two.privateJwk, "EdDSA", { kid }), check), kid);
  }
});

Deno.test("keys that can't be used are told by what is wrong with them", async () => {
  const { privateJwk, publicJwk } = pair("ed25519");
  const small = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
  const pkcs8 = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const faults: [string, () => unknown, RegExp][] = [
    ["a short secret", () => secretKey("s".repeat(31)), /31 bytes, but needs 32/],
    ["an empty secret", () => secretKey("\n"), /0 bytes/],
    ["a private key", () => publicKeys(pkcs8), /private key/],
    ["a private JWK", () => publicKeys(JSON.stringify(privateJwk)), /private key/],
    ["a private JWK in a set", () => publicKeys(JSON.stringify({ keys: [privateJwk] })), /private key/],
    ["a secret as JWK", () => publicKeys(JSON.stringify({ kty: "oct", k: "x" })), /shared secret/],
    ["a small RSA key", () => publicKeys(JSON.stringify(small)), /1024 bits/],
    ["another curve", () => publicKeys(JSON.stringify({ ...publicJwk, crv: "Ed448" })), /Ed448/],
    ["no keys", () => publicKeys('{"keys":[]}'), /no keys/],
    ["broken JSON", () => publicKeys("{"), /not valid/],
    ["anything else", () => publicKeys("hello"), /neither/],
  ];
  for (const [name, make, expected] of faults) {
    const error = assertThrows(make, KeyFault, undefined, name);
    assert(expected.test(error.message), `${name}: ${error.message}`);
  }
  assertEquals(publicKeys(JSON.stringify(await exportJWK(await importJWK(publicJwk, "EdDSA")))).length, 1);
});

Deno.test("a ticket lets into its rooms, by its ident, for its time", () => {
  const ticket: Ticket = {
    rooms: ["kitchen", "hall-*"],
    subject: undefined,
    expires: 1000,
    pass: { until: 2000, publish: true, ice: true },
  };
  for (const room of ["kitchen", "hall-", "hall-1", "hall-*"]) {
    assertEquals(admit(ticket, room, "i", 999), ticket.pass);
  }
  for (const room of ["", "kitchens", "Kitchen", "hall", "kitchen*"]) {
    assert(admit(ticket, room, "i", 999) instanceof TokenFault, room);
  }
  assert(matches(["*"], "anything"));
  assert(admit(ticket, "kitchen", "i", 1000) instanceof TokenFault);
  assertEquals(admit({ ...ticket, subject: "i" }, "kitchen", "i", 0), ticket.pass);
  assert(admit({ ...ticket, subject: "i" }, "kitchen", "j", 0) instanceof TokenFault);
  assert(admit({ ...ticket, expires: 9000 }, "kitchen", "i", 2000) instanceof TokenFault);
});

/** Serves a set of keys that a test can change. */
function keyServer(answer: () => Response | Promise<Response>) {
  let asked = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    asked++;
    return answer();
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/jwks.json`,
    get asked() {
      return asked;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("published keys are looked at again for a key that is not there, but not for each token", async () => {
  const [one, two] = [pair("ed25519"), pair("ed25519")];
  let keys = [{ ...one.publicJwk, kid: "one" }];
  await using server = keyServer(() => Response.json({ keys }));
  let now = 0;
  const published = new PublishedKeys(server.url, log, () => now);
  const check = { keys: [], published };
  assertEquals(await sentence(await signed(one.privateJwk, "EdDSA", { kid: "one" }), check), undefined);
  assertEquals(server.asked, 1);
  keys = [{ ...two.publicJwk, kid: "two" }];
  const rotated = await signed(two.privateJwk, "EdDSA", { kid: "two" });
  for (let i = 0; i < 20; i++) assert(await sentence(rotated, check));
  assertEquals(server.asked, 1, "a crowd of foreign tokens makes it ask no more");
  now = 30_000;
  assertEquals(await Promise.all([1, 2, 3].map(() => sentence(rotated, check))), Array(3).fill(undefined));
  assertEquals(server.asked, 2);
  published.close();
});

Deno.test("keys that are away, broken or endless are waited for briefly, and the last ones stay good", async () => {
  const { publicJwk, privateJwk } = pair("ed25519");
  const good = () => Response.json({ keys: [{ ...publicJwk, kid: "one" }] });
  const endless = () => {
    let sent = 0;
    return new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(new Uint8Array(10_000));
          if ((sent += 10_000) > 10_000_000) controller.close();
        },
      }),
    );
  };
  let answer: () => Response | Promise<Response> = () => new Response("no", { status: 500 });
  await using server = keyServer(() => answer());
  let now = 0;
  const published = new PublishedKeys(server.url, log, () => now);
  const check = { keys: [], published };
  const mine = await signed(privateJwk, "EdDSA", { kid: "one" });
  const outcome = await checkToken(mine, check);
  assert(outcome instanceof TokenFault && outcome.code === "unavailable", JSON.stringify(outcome));
  answer = good;
  now += 30_000;
  assertEquals(await sentence(mine, check), undefined);
  const foreign = await signed(privateJwk, "EdDSA", { kid: "two" });
  for (
    const bad of [
      endless,
      () => new Response("{"),
      () => new Response("{}"),
      () => new Response("", { status: 404 }),
    ]
  ) {
    answer = bad;
    now += 30_000;
    const before = server.asked;
    assert(await sentence(foreign, check));
    assertEquals(server.asked, before + 1);
    assertEquals(await sentence(mine, check), undefined);
  }
  const never = Promise.withResolvers<Response>();
  answer = () => never.promise;
  now += 30_000;
  const began = performance.now();
  assert(await sentence(foreign, check));
  assertLess(performance.now() - began, 8000);
  assertEquals(await sentence(mine, check), undefined);
  never.resolve(new Response());
  published.close();
});
