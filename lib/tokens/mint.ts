/** Tokens and keys, made. */

import { Buffer } from "node:buffer";
import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { calculateJwkThumbprint, type JWK, SignJWT } from "jose";
import { type Algorithm, KeyFault, publicKeys, secretKey, type TokenKey } from "./keys.ts";

/** What a token is to say; see the protocol's section on tokens. */
export interface Claims {
  readonly rooms: readonly string[];
  readonly ident?: string | undefined;
  readonly audience?: string | undefined;
  /** False: its bearer may only watch. */
  readonly publish: boolean;
  readonly info?: unknown;
}

/** Signs a token that is good for so many seconds from now on. */
export async function mint(key: TokenKey, claims: Claims, ttlSeconds: number): Promise<string> {
  const { rooms, ident, audience, publish, info } = claims;
  const now = Math.floor(Date.now() / 1000);
  const token = new SignJWT({
    rooms: [...rooms],
    ...publish ? {} : { publish },
    ...info === undefined ? {} : { info },
  }).setProtectedHeader({
    alg: key.algorithm,
    typ: "JWT",
    ...key.id === undefined ? {} : { kid: key.id },
  }).setIssuedAt(now).setExpirationTime(now + ttlSeconds);
  if (ident !== undefined) token.setSubject(ident);
  if (audience !== undefined) token.setAudience(audience);
  return await token.sign({ ...key.jwk, alg: key.algorithm });
}

/** What a token can be signed with: a secret, or a private key as PEM (PKCS #8) or JWK. Throws a `KeyFault`. */
export function signingKey(text: string): TokenKey {
  const isJwk = /^\s*\{/.test(text);
  if (!isJwk && !/-----BEGIN /.test(text)) return secretKey(text);
  const { jwk, id } = privateKey(text);
  // The public half says which algorithm it is.
  const [{ algorithm }] = publicKeys(JSON.stringify(publicHalf(jwk))) as [TokenKey];
  return { jwk, algorithm, id };
}

/** The public half of a private key, as a JWK. Throws a `KeyFault`. */
export async function publicJwk(text: string): Promise<JWK> {
  const { jwk, id } = privateKey(text);
  const bare = publicHalf(jwk);
  const [{ algorithm }] = publicKeys(JSON.stringify(bare)) as [TokenKey];
  return { ...bare, kid: id ?? await calculateJwkThumbprint(bare), use: "sig", alg: algorithm };
}

/** A fresh secret (HS256), or a fresh private key as a JWK. */
export async function generate(type: Algorithm): Promise<string> {
  if (type === "HS256") return randomBytes(32).toString("base64url");
  const { privateKey } = type === "EdDSA"
    ? generateKeyPairSync("ed25519")
    : type === "ES256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = privateKey.export({ format: "jwk" }) as JWK;
  return JSON.stringify({ ...jwk, kid: await calculateJwkThumbprint(publicHalf(jwk)), alg: type });
}

function privateKey(text: string): { jwk: JWK; id?: string } {
  let jwk: JWK;
  try {
    jwk = /^\s*\{/.test(text)
      ? JSON.parse(text)
      : createPrivateKey(Buffer.from(text)).export({ format: "jwk" }) as JWK;
  } catch {
    throw new KeyFault("it holds neither a private key in PEM nor a JWK");
  }
  if (jwk.d === undefined) throw new KeyFault("it holds a public key, but to sign the private one is needed");
  return { jwk, ...typeof jwk.kid === "string" ? { id: jwk.kid } : {} };
}

/** A private JWK holds its public half (RFC 7518 section 6). */
function publicHalf({ kty, crv, x, y, n, e }: JWK): JWK {
  return JSON.parse(JSON.stringify({ kty, crv, x, y, n, e }));
}
