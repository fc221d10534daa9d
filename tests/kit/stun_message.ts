/** The client's half of STUN messages (RFC 8489), written apart from the server's. */

import { crc32 } from "node:zlib";
import { type Endpoint, HEADER_BYTES, type StunMessage } from "../../lib/ice/stun.ts";

const BINDING_REQUEST = 0x0001;
const COOKIE = 0x2112a442;
const FINGERPRINT_MASK = 0x5354554e;

const MAPPED_ADDRESS = 0x0001;
const ERROR_CODE = 0x0009;
const UNKNOWN_ATTRIBUTES = 0x000a;
const XOR_MAPPED_ADDRESS = 0x0020;
const FINGERPRINT = 0x8028;

/**
 * A Binding request: 20 bytes, or 28 with a FINGERPRINT.
 *
 * @param transactionId 12 bytes, fresh and random for each request (RFC 8489 section 5)
 */
export function encodeBindingRequest(transactionId: Uint8Array, fingerprint = false): Uint8Array {
  if (transactionId.length !== 12) {
    throw new RangeError(`a transaction ID has 12 bytes, not ${transactionId.length}`);
  }
  const out = new Uint8Array(HEADER_BYTES + (fingerprint ? 8 : 0));
  const view = new DataView(out.buffer);
  view.setUint16(0, BINDING_REQUEST);
  view.setUint16(2, out.length - HEADER_BYTES);
  view.setUint32(4, COOKIE);
  out.set(transactionId, 8);
  if (fingerprint) {
    view.setUint16(HEADER_BYTES, FINGERPRINT);
    view.setUint16(HEADER_BYTES + 2, 4);
    view.setUint32(HEADER_BYTES + 4, (crc32(out.subarray(0, HEADER_BYTES)) ^ FINGERPRINT_MASK) >>> 0);
  }
  return out;
}

/** The reflexive address in a success: XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS; undefined where neither is whole. */
export function mappedAddress(message: StunMessage): Endpoint | undefined {
  const xored = message.attributes.find(({ type }) => type === XOR_MAPPED_ADDRESS);
  const value = (xored ?? message.attributes.find(({ type }) => type === MAPPED_ADDRESS))?.value;
  const size = value?.[1] === 1 ? 8 : value?.[1] === 2 ? 20 : undefined;
  if (value === undefined || value.length !== size) return undefined;
  const address = value.slice(4);
  if (xored === undefined) return { address, port: uint16(value, 2) };
  for (let i = 0; i < address.length; i++) address[i]! ^= message.id[i]!;
  return { address, port: uint16(value, 2) ^ uint16(message.id, 0) };
}

/** The code of an error (RFC 8489 section 14.8), 300 to 699; undefined where it has none. */
export function errorCode(message: StunMessage): number | undefined {
  const value = message.attributes.find(({ type }) => type === ERROR_CODE)?.value;
  return value === undefined || value.length < 4 ? undefined : (value[2]! & 7) * 100 + value[3]!;
}

/** The attribute types that a 420 names (RFC 8489 section 14.9). */
export function unknownAttributes(message: StunMessage): number[] {
  const value = message.attributes.find(({ type }) => type === UNKNOWN_ATTRIBUTES)?.value;
  if (value === undefined) return [];
  return Array.from({ length: value.length >> 1 }, (_, i) => uint16(value, i * 2));
}

/** The text of 4 or 16 address bytes; IPv6 in the canonical form of RFC 5952. */
export function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => uint16(address, i * 2).toString(16));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length === 1) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}
