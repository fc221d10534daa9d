/**
 * STUN messages (RFC 8489) as bytes: what a stand-alone Binding server needs, and no more.
 * Clients of RFC 5389 and of the cookie-less RFC 3489 are understood too. Pure: no sockets, no clocks.
 *
 * @module
 */

/** Bytes of a STUN header (RFC 8489 section 5). */
export const HEADER_BYTES = 20;

/**
 * An answer is at most this many bytes longer than its request; the longest way there is an IPv6 address for a
 * bare 20-byte request. The worst ratio of payloads is therefore 44/20 = 2.2 over IPv6 and 32/20 = 1.6 over
 * IPv4; with the IP and UDP headers that both carry it is 1.35 and 1.25.
 */
export const ANSWER_GROWTH_BYTES = 24;

/** A transport address: 4 (IPv4) or 16 (IPv6) address bytes in network order, and a port. */
export interface Endpoint {
  address: Uint8Array;
  port: number;
}

export type StunClass = "request" | "indication" | "success" | "error";

/** One attribute (RFC 8489 section 14): its type and its value without padding, a view into the datagram. */
export interface StunAttribute {
  type: number;
  value: Uint8Array;
}

/** A decoded message. Everything in it is a view into the datagram it was read from. */
export interface StunMessage {
  class: StunClass;
  /** 1 is Binding. */
  method: number;
  /** The 16 bytes after type and length: magic cookie and transaction ID, or RFC 3489's 128-bit ID. */
  id: Uint8Array;
  /** True for a message without the magic cookie (RFC 3489). */
  classic: boolean;
  /** In the order of the datagram; without FINGERPRINT, and without what RFC 8489 says to ignore. */
  attributes: StunAttribute[];
  /** True when the message ended in a FINGERPRINT; a wrong one is a fault. */
  fingerprint: boolean;
}

/** Why a datagram isn't STUN: a sentence, and the byte offset at which it stopped being so. */
export interface StunFault {
  fault: string;
  at: number;
}

const BINDING = 0x001;
const COOKIE = 0x2112a442;
const FINGERPRINT_MASK = 0x5354554e;
const UNKNOWN_ATTRIBUTE = 420;

const MAPPED_ADDRESS = 0x0001;
const CHANGE_REQUEST = 0x0003;
const MESSAGE_INTEGRITY = 0x0008;
const ERROR_CODE = 0x0009;
const UNKNOWN_ATTRIBUTES = 0x000a;
const MESSAGE_INTEGRITY_SHA256 = 0x001c;
const XOR_MAPPED_ADDRESS = 0x0020;
const FINGERPRINT = 0x8028;

/**
 * Comprehension-required attributes that a request may carry without getting a 420 (RFC 8489 section 18.3.1). A
 * stand-alone server must not authenticate (section 12), so what belongs to credentials is known and passed over.
 * RFC 3489's RESPONSE-ADDRESS isn't here on purpose: it asks for the answer to be sent to somebody else.
 */
const KNOWN: ReadonlySet<number> = new Set([
  MAPPED_ADDRESS,
  0x0006, // USERNAME
  MESSAGE_INTEGRITY,
  ERROR_CODE,
  UNKNOWN_ATTRIBUTES,
  0x0014, // REALM
  0x0015, // NONCE
  MESSAGE_INTEGRITY_SHA256,
  0x001d, // PASSWORD-ALGORITHM
  0x001e, // USERHASH
  XOR_MAPPED_ADDRESS,
]);

const CLASSES: readonly StunClass[] = ["request", "indication", "success", "error"];

/**
 * Reads one datagram. Returns a fault, never throws, for whatever isn't exactly one well-formed STUN message:
 * RTP, DTLS, cut or padded datagrams, a wrong FINGERPRINT, anything after a FINGERPRINT.
 */
export function decodeStun(datagram: Uint8Array): StunMessage | StunFault {
  if (datagram.length < HEADER_BYTES) return { fault: "shorter than a STUN header", at: datagram.length };
  const type = uint16(datagram, 0);
  if (type > 0x3fff) return { fault: "the two highest bits are not zero", at: 0 };
  const length = uint16(datagram, 2);
  if (length !== datagram.length - HEADER_BYTES) {
    return { fault: "the length field disagrees with the datagram", at: 2 };
  }
  if (length % 4 !== 0) return { fault: "the length is no multiple of 4", at: 2 };

  const attributes: StunAttribute[] = [];
  let sealed = 0;
  let fingerprint = false;
  for (let at = HEADER_BYTES; at < datagram.length;) {
    if (fingerprint) return { fault: "an attribute follows FINGERPRINT", at };
    const attribute = uint16(datagram, at);
    const size = uint16(datagram, at + 2);
    const start = at + 4;
    const next = start + padded(size);
    if (next > datagram.length) return { fault: "an attribute reaches past the end", at };
    if (attribute === FINGERPRINT) {
      if (size !== 4) return { fault: "FINGERPRINT is not 4 bytes long", at };
      if (uint32(datagram, start) !== fingerprintOf(datagram, at)) {
        return { fault: "FINGERPRINT does not match", at };
      }
      fingerprint = true;
    } else {
      // What follows MESSAGE-INTEGRITY isn't covered by it and must be ignored, save its SHA-256 form
      // (RFC 8489 sections 14.5 and 14.6).
      const seal = attribute === MESSAGE_INTEGRITY ? 1 : attribute === MESSAGE_INTEGRITY_SHA256 ? 2 : 0;
      if (sealed === 0 || seal > sealed) {
        attributes.push({ type: attribute, value: datagram.subarray(start, start + size) });
        sealed = seal;
      }
    }
    at = next;
  }
  return {
    class: CLASSES[(type >> 7 & 2) | (type >> 4 & 1)]!,
    method: (type & 0x000f) | (type >> 1 & 0x0070) | (type >> 2 & 0x0f80),
    id: datagram.subarray(4, HEADER_BYTES),
    classic: uint32(datagram, 4) !== COOKIE,
    attributes,
    fingerprint,
  };
}

/**
 * Writes the answer to a decoded message into `out` and returns its length in bytes, or 0 where the answer is
 * silence: everything but a Binding request. `out` must be {@link ANSWER_GROWTH_BYTES} longer than the request.
 *
 * A success carries XOR-MAPPED-ADDRESS, for an RFC 3489 client MAPPED-ADDRESS; an unknown comprehension-required
 * attribute gets error 420 with an empty reason phrase, so that a refusal is no bigger than an answer.
 */
export function answerBinding(message: StunMessage, source: Endpoint, out: Uint8Array): number {
  if (message.class !== "request" || message.method !== BINDING) return 0;
  const unknown = message.attributes.filter(isUnknown);
  out.set(message.id, 4);
  let end = HEADER_BYTES;
  if (unknown.length > 0) {
    setUint16(out, 0, typeOf("error"));
    end = writeAttribute(out, end, ERROR_CODE, 4);
    setUint32(out, end - 4, Math.floor(UNKNOWN_ATTRIBUTE / 100) << 8 | UNKNOWN_ATTRIBUTE % 100);
    end = writeUnknown(out, end, unknown, message.classic);
  } else {
    setUint16(out, 0, typeOf("success"));
    end = writeAddress(out, end, message.classic ? MAPPED_ADDRESS : XOR_MAPPED_ADDRESS, source);
  }
  return finish(out, end, message.fingerprint);
}

/**
 * Reads an IP address as the operating system writes it into 4 or 16 bytes; an IPv4 address mapped into IPv6
 * (::ffff:a.b.c.d), which a dual-stack socket reports, gives the 4 bytes that the client knows itself by. A zone
 * (fe80::1%eth0) is passed over. Undefined for anything else.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  // What a dual-stack socket says of every IPv4 client, so first.
  if (text.startsWith("::ffff:") && text.includes(".")) return parseIpv4(text.slice(7));
  const zone = text.indexOf("%");
  const plain = zone < 0 ? text : text.slice(0, zone);
  if (!plain.includes(":")) return zone < 0 ? parseIpv4(plain) : undefined;
  return parseIpv6(plain);
}

function parseIpv4(text: string): Uint8Array | undefined {
  // By hand: this runs for every datagram.
  const address = new Uint8Array(4);
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let i = 0; i <= text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit;
      if (++digits > 1 && value < 10 || value > 255) return undefined;
    } else {
      if (digits === 0 || part > 3 || i < text.length && text[i] !== ".") return undefined;
      address[part++] = value;
      value = digits = 0;
    }
  }
  return part === 4 ? address : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const dotted = text.slice(text.lastIndexOf(":") + 1);
  const tail = dotted.includes(".") ? parseIpv4(dotted) : new Uint8Array(0);
  if (tail === undefined) return undefined;
  const halves = (tail.length === 0 ? text : text.slice(0, -dotted.length)).split("::");
  if (halves.length > 2) return undefined;
  // A dotted tail leaves one separator behind, which is no empty group.
  const groups = halves.map((half, i) => {
    const hex = tail.length > 0 && i === halves.length - 1 ? half.replace(/:$/, "") : half;
    return hex === "" ? [] : hex.split(":");
  });
  const room = (16 - tail.length) / 2;
  const given = groups.flat();
  if (halves.length === 1 ? given.length !== room : given.length >= room) return undefined;
  if (!given.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  const address = new Uint8Array(16);
  groups[0]!.forEach((group, i) => setUint16(address, i * 2, parseInt(group, 16)));
  const after = groups[1] ?? [];
  const start = room - after.length;
  after.forEach((group, i) => setUint16(address, (start + i) * 2, parseInt(group, 16)));
  address.set(tail, 16 - tail.length);
  const mapped = address.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
  return mapped ? address.slice(12) : address;
}

/** A CHANGE-REQUEST that asks for no change is granted; one that does needs a second address (RFC 5780 section 6.1). */
function isUnknown({ type, value }: StunAttribute): boolean {
  if (type >= 0x8000 || KNOWN.has(type)) return false;
  return type !== CHANGE_REQUEST || value.length !== 4 || (value[3]! & 0x06) !== 0;
}

/** The type field of a Binding message: the class bits are 0x0100 and 0x0010 (RFC 8489 section 5). */
function typeOf(kind: StunClass): number {
  const bits = CLASSES.indexOf(kind);
  return BINDING | (bits & 2) << 7 | (bits & 1) << 4;
}

/** Writes type and length; returns where the next attribute starts. */
function writeAttribute(out: Uint8Array, at: number, type: number, size: number): number {
  setUint16(out, at, type);
  setUint16(out, at + 2, size);
  return at + 4 + padded(size);
}

/** Writes an address, for XOR-MAPPED-ADDRESS mixed with the header's cookie and transaction ID. */
function writeAddress(out: Uint8Array, at: number, type: number, { address, port }: Endpoint): number {
  const end = writeAttribute(out, at, type, 4 + address.length);
  setUint16(out, at + 4, address.length === 4 ? 1 : 2);
  setUint16(out, at + 6, port);
  out.set(address, at + 8);
  if (type === XOR_MAPPED_ADDRESS) {
    for (let i = 0; i < 2; i++) out[at + 6 + i]! ^= out[4 + i]!;
    for (let i = 0; i < address.length; i++) out[at + 8 + i]! ^= out[4 + i]!;
  }
  return end;
}

/** Writes UNKNOWN-ATTRIBUTES. RFC 3489 (section 11.2.10) has no padding: it wants the list filled up by repeating. */
function writeUnknown(out: Uint8Array, at: number, unknown: StunAttribute[], classic: boolean): number {
  const size = unknown.length * 2;
  const end = writeAttribute(out, at, UNKNOWN_ATTRIBUTES, classic ? padded(size) : size);
  unknown.forEach(({ type }, i) => setUint16(out, at + 4 + i * 2, type));
  if (padded(size) !== size) setUint16(out, end - 2, classic ? unknown[0]!.type : 0);
  return end;
}

/** Adds FINGERPRINT where wanted and sets the header's length; returns the whole length. */
function finish(out: Uint8Array, end: number, fingerprint: boolean): number {
  const whole = end + (fingerprint ? 8 : 0);
  setUint16(out, 2, whole - HEADER_BYTES);
  if (fingerprint) {
    writeAttribute(out, end, FINGERPRINT, 4);
    setUint32(out, end + 4, fingerprintOf(out, end));
  }
  return whole;
}

/** FINGERPRINT of the first `end` bytes (RFC 8489 section 14.7); the header's length must already count it. */
function fingerprintOf(bytes: Uint8Array, end: number): number {
  let crc = 0xffffffff;
  for (let i = 0; i < end; i++) crc = crc >>> 8 ^ CRC_TABLE[(crc ^ bytes[i]!) & 0xff]!;
  return (crc ^ 0xffffffff ^ FINGERPRINT_MASK) >>> 0;
}

/** CRC-32 as in ITU V.42 and Ethernet: the polynomial 0x04c11db7 with its bits reversed. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  return crc;
});

function padded(size: number): number {
  return (size + 3) & ~3;
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function uint32(bytes: Uint8Array, at: number): number {
  return (uint16(bytes, at) << 16 | uint16(bytes, at + 2)) >>> 0;
}

function setUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function setUint32(bytes: Uint8Array, at: number, value: number): void {
  setUint16(bytes, at, value >>> 16);
  setUint16(bytes, at + 2, value & 0xffff);
}
