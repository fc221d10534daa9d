/** Whether a token (JWT, RFC 7519) is good. */

import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { type ClientLimits, clientRates } from "../limits/limits.ts";
import type { Source } from "../limits/source.ts";
import type { SourceRates } from "../limits/source_rates.ts";
import { expired, matches, readClaims, type Ticket, TokenFault } from "./claims.ts";
import type { PublishedKeys } from "./jwks.ts";
import type { TokenKey } from "./keys.ts";

export interface TokenOptions extends ClientLimits {
  readonly tokenAudience?: string | undefined;
  readonly openRooms: readonly string[];
  /** Tokens that were not good, of one client, per second and at once. */
  readonly tokenRate: number;
  readonly tokenBurst: number;
}

export interface TokenParts extends Omit<TokenCheck, "audience"> {
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
}

/** What a token is checked with. */
export interface TokenCheck {
  readonly keys: readonly TokenKey[];
  readonly published?: PublishedKeys | undefined;
  /** What has to stand in `aud`. */
  readonly audience?: string | undefined;
}

/** The longest token, in characters. */
const MAX_TOKEN = 6000;

/** Keys that are tried for one token, where it does not say which is its own. */
const MAX_TRIES = 4;

export class Tokens {
  readonly #openRooms: readonly string[];
  #check: TokenCheck;
  readonly #now: () => number;
  /** Failures. A check takes a tenth of a millisecond. */
  readonly #failures: SourceRates;

  constructor(options: TokenOptions, { keys, published, now }: TokenParts) {
    this.#openRooms = options.openRooms;
    this.#check = { keys, published, audience: options.tokenAudience };
    this.#now = now;
    this.#failures = clientRates(options, options.tokenRate, options.tokenBurst);
  }

  /** From now on tokens are checked with these keys; what was let in with others stays until its own end. */
  renew(keys: readonly TokenKey[]): void {
    this.#check = { ...this.#check, keys };
  }

  /** Whether the room asks for no token. */
  isOpen(room: string): boolean {
    return matches(this.#openRooms, room);
  }

  /** Checks signature, time and audience. Never rejects. `source` pays where the token is not good. */
  async check(token: string, source: Source): Promise<Ticket | TokenFault> {
    if (!this.#failures.allows(source, this.#now())) {
      return new TokenFault("Too many tokens of your network address were not good.", "rate-limited");
    }
    const ticket = await checkToken(token, this.#check);
    if (ticket instanceof TokenFault && ticket.code === "unauthorised") {
      this.#failures.charge(source, this.#now(), 1);
    }
    return ticket;
  }

  close(): void {
    this.#check.published?.close();
  }
}

/** Checks signature, time and audience. Never rejects. */
export async function checkToken(token: string, given: TokenCheck): Promise<Ticket | TokenFault> {
  if (token.length > MAX_TOKEN) {
    return new TokenFault(`The token has more than ${MAX_TOKEN} characters.`);
  }
  let header;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    return new TokenFault("The token is not a JWT.");
  }
  const { alg, kid } = header;
  const { published, audience } = given;
  let keys = keysFor(given, alg, kid);
  if (keys.length === 0 && published !== undefined) {
    await published.lookAgain();
    keys = keysFor(given, alg, kid);
    if (keys.length === 0 && published.keys.length === 0) {
      return new TokenFault("The keys for tokens can't be fetched at the moment.", "unavailable");
    }
  }
  if (keys.length === 0) {
    return new TokenFault("The token is signed with a key, or in a way, that is not taken here.");
  }
  let fault = new TokenFault("The token's signature is wrong.");
  for (const { jwk, algorithm } of keys.slice(0, MAX_TRIES)) {
    try {
      const { payload } = await jwtVerify(token, jwk, {
        algorithms: algorithm === "EdDSA" ? ["EdDSA", "Ed25519"] : [algorithm],
        requiredClaims: ["exp"],
        ...audience === undefined ? {} : { audience },
      });
      return readClaims(payload);
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) continue;
      fault = explain(error);
    }
  }
  return fault;
}

/** A token may name its key; the algorithm that it names is only compared. */
function keysFor(
  { keys, published }: TokenCheck,
  alg: string | undefined,
  kid: string | undefined,
): readonly TokenKey[] {
  return [...keys, ...published?.keys ?? []].filter(({ algorithm, id }) =>
    // "Ed25519" is the same by a newer name (RFC 9864).
    (alg === algorithm || alg === "Ed25519" && algorithm === "EdDSA") &&
    (kid === undefined || id === undefined || id === kid)
  );
}

function explain(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) {
    return expired((error.payload.exp ?? 0) * 1000, Date.now());
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, payload } = error;
    if (claim === "exp") return new TokenFault("The token has no end: exp is missing.");
    if (claim === "nbf") return new TokenFault(notYet(payload));
    if (claim === "aud") return new TokenFault("The token is for another audience (aud) than this server.");
    return new TokenFault(`The token's ${claim} is not as it should be.`);
  }
  return new TokenFault("The token is not a JWT.");
}

function notYet({ nbf = 0 }: JWTPayload): string {
  return `The token is good in ${Math.max(1, Math.ceil(nbf - Date.now() / 1000))} s only.`;
}
