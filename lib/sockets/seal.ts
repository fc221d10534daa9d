/**
 * What a session is, sealed, for its client to keep: so that a server that has just been started, or another node with
 * the same secret, can give the client back what it held.
 */

import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { Pass } from "../tokens/claims.ts";

/** An address that the session holds. */
export interface SealedMember {
  readonly address: string;
  /** SHA-256 of the key. */
  readonly proof?: Uint8Array | undefined;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Of a member by token. */
  readonly pass?: Pass | undefined;
}

export interface Sealed {
  /** Of the session. */
  readonly id: string;
  /** Of the process that sealed it. */
  readonly life: string;
  /** Milliseconds since 1970. */
  readonly until: number;
  readonly members: readonly SealedMember[];
}

/** Milliseconds for which a seal is good. */
export const SEAL_LIFE = 300_000;

/** The longest seal, in characters: with a call around it, it has to be shorter than any text that is parsed. */
export const MAX_SEAL = 6000;

const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** As arrays, in the order of the interfaces: short, for it travels. Of no proof the text is empty. */
type PackedPass = [until: number, publish: boolean, ice: boolean, info?: string];
type PackedMember = [address: string, proof: string, since: number, pass?: PackedPass];
type Packed = [id: string, life: string, until: number, members: PackedMember[]];

/** Seals and opens with AES-256-GCM (NIST SP 800-38D), by a key that is derived from a secret (RFC 5869). */
export class Sealer {
  readonly #key: Uint8Array;

  /** @param secret at least 32 bytes */
  constructor(secret: string) {
    this.#key = new Uint8Array(hkdfSync("sha256", secret, "", "signal session seal", 32));
  }

  /** In base64url. Of members that would make it too long, the last are left out. */
  seal({ id, life, until, members }: Sealed): string {
    const packed: Packed = [id, life, until, []];
    let room = MAX_SEAL * 3 / 4 - NONCE_BYTES - TAG_BYTES - JSON.stringify(packed).length;
    for (const { address, proof, since, pass } of members) {
      const member: PackedMember = [address, Buffer.from(proof ?? []).toString("base64url"), since];
      if (pass !== undefined) {
        const { until, publish, ice, info } = pass;
        member.push(info === undefined ? [until, publish, ice] : [until, publish, ice, info]);
      }
      room -= Buffer.byteLength(JSON.stringify(member)) + 1;
      if (room < 0) break;
      packed[3].push(member);
    }
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce);
    return Buffer.concat([nonce, cipher.update(JSON.stringify(packed)), cipher.final(), cipher.getAuthTag()])
      .toString("base64url");
  }

  /** `undefined` where it is no seal of this secret. Its time may be over. */
  open(text: string): Sealed | undefined {
    if (text.length > MAX_SEAL) return undefined;
    const bytes = Buffer.from(text, "base64url");
    // The decoder passes over what does not belong there.
    if (bytes.length <= NONCE_BYTES + TAG_BYTES || bytes.toString("base64url") !== text) return undefined;
    let packed: Packed;
    try {
      const decipher = createDecipheriv(ALGORITHM, this.#key, bytes.subarray(0, NONCE_BYTES));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const plain = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
      packed = JSON.parse(Buffer.concat([plain, decipher.final()]).toString());
    } catch {
      return undefined;
    }
    const [id, life, until, members] = packed;
    return {
      id,
      life,
      until,
      members: members.map(([address, proof, since, pass]) => ({
        address,
        proof: proof === "" ? undefined : new Uint8Array(Buffer.from(proof, "base64url")),
        since,
        pass: pass && { until: pass[0], publish: pass[1], ice: pass[2], info: pass[3] },
      })),
    };
  }
}
