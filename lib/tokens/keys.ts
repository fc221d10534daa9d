/** The keys that tokens are signed with. Each decides which algorithm its tokens have (RFC 8725 section 3.1). */

import { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";
import type { JWK } from "jose";

/** One that a signature can be checked with. */
export interface TokenKey {
  /** `oct` for a shared secret. */
  readonly jwk: JWK;
  readonly algorithm: Algorithm;
  /** Not given: it is tried for any token of its algorithm. */
  readonly id?: string | undefined;
}

export const ALGORITHMS = ["HS256", "EdDSA", "ES256", "RS256"] as const;
export type Algorithm = typeof ALGORITHMS[number];

/** A file or an answer that holds no key that can be used; the message is the end of a sentence about it. */
export class KeyFault extends Error {
  override name = "KeyFault";
}

/** Bytes of a secret (RFC 7518 section 3.2), and bits of an RSA key (section 3.3). */
const LEAST_SECRET = 32;
const LEAST_RSA = 2048;

/** Keys of a set that are looked at. */
const MAX_KEYS = 32;

/** The secret as it stands in a file. Throws a `KeyFault`. */
export function secretKey(text: string): TokenKey {
  const bytes = Buffer.from(text.trim());
  if (bytes.length < LEAST_SECRET) {
    throw new KeyFault(
      `the secret has ${bytes.length} bytes, but needs ${LEAST_SECRET} at least; "signal keygen" makes one`,
    );
  }
  return { jwk: { kty: "oct", k: bytes.toString("base64url") }, algorithm: "HS256" };
}

/** Public keys: PEM (SPKI or a certificate), a JWK or a set of them (RFC 7517). Throws a `KeyFault`. */
export function publicKeys(text: string): TokenKey[] {
  if (/^\s*\{/.test(text)) return keysOfSet(readJson(text));
  if (/PRIVATE KEY/.test(text)) throw new KeyFault(PRIVATE);
  let jwk: JWK;
  try {
    jwk = createPublicKey(text).export({ format: "jwk" }) as JWK;
  } catch {
    throw new KeyFault("it holds neither a public key in PEM nor a JWK");
  }
  return [publicKey(jwk)];
}

/** A set of keys, or a single one; those of unknown kinds are passed over. Throws a `KeyFault` where nothing is left. */
export function keysOfSet(set: unknown): TokenKey[] {
  const { keys = [set] } = (set ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new KeyFault("it is not a JWK or a set of them");
  const good: TokenKey[] = [];
  let last = new KeyFault("it holds no keys");
  for (const jwk of keys.slice(0, MAX_KEYS)) {
    try {
      good.push(publicKey(jwk));
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      last = error;
    }
  }
  if (good.length === 0) throw last;
  return good;
}

const PRIVATE = "it holds a private key: only its public half belongs on this server";

function publicKey(jwk: unknown): TokenKey {
  if (typeof jwk !== "object" || jwk === null) throw new KeyFault("it holds something that is no JWK");
  const { kty, crv, d, use, kid, n = "" } = jwk as JWK;
  if (kty === "oct") {
    throw new KeyFault("a shared secret has no place among public keys: it belongs into --token-secret-file");
  }
  if (d !== undefined) throw new KeyFault(PRIVATE);
  if (use !== undefined && use !== "sig") throw new KeyFault(`its key is for "${use}", not for signatures`);
  const algorithm = kty === "OKP" && crv === "Ed25519"
    ? "EdDSA"
    : kty === "EC" && crv === "P-256"
    ? "ES256"
    : kty === "RSA"
    ? "RS256"
    : undefined;
  if (algorithm === undefined) {
    throw new KeyFault(
      `a key of the kind ${kty} ${crv ?? ""} is not known here, only Ed25519, P-256 and RSA`,
    );
  }
  const bits = Buffer.from(n, "base64url").length * 8;
  if (algorithm === "RS256" && bits < LEAST_RSA) {
    throw new KeyFault(`its RSA key has ${bits} bits, but needs ${LEAST_RSA} at least`);
  }
  // Nothing but the key itself: what else stands there is not to have a say in how it is used.
  const { x, y, e } = jwk as JWK;
  const bare = algorithm === "RS256" ? { kty, n, e } : { kty, crv, x, ...algorithm === "ES256" ? { y } : {} };
  return { jwk: bare as JWK, algorithm, id: typeof kid === "string" ? kid : undefined };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KeyFault("it looks like JSON, but is not valid");
  }
}
