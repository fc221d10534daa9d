/**
 * The client's half of STUN (RFC 8489) and of TURN's allocations (RFC 8656): to ask a server, ours or another, what its
 * clients would ask it.
 *
 * @module
 */

import { createHash, createHmac } from "node:crypto";
import { decodeStun, type Endpoint, HEADER_BYTES, type StunMessage } from "./stun.ts";

const COOKIE = 0x2112a442;
const BINDING = 0x0001;
const ALLOCATE = 0x0003;
const REFRESH = 0x0004;

const Attribute = {
  mappedAddress: 0x0001,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  lifetime: 0x000d,
  realm: 0x0014,
  nonce: 0x0015,
  relayedAddress: 0x0016,
  requestedTransport: 0x0019,
  xorMappedAddress: 0x0020,
} as const;

const UDP = 17;
const UNAUTHORIZED = 401;
const STALE_NONCE = 438;
const INTEGRITY_BYTES = 24;

/** Milliseconds from one datagram to the next of the same request (RFC 8489 section 6.2.1 begins with 500). */
const RETRANSMIT = 500;

/** Carries messages to one server and its answers back; an answer to another request is passed over. */
export interface StunPath extends Disposable {
  /** The local port. */
  readonly port: number;
  /** Resolves with the answer; `undefined` where none came in so many milliseconds. */
  ask(request: Uint8Array<ArrayBuffer>, patienceMs: number): Promise<StunMessage | undefined>;
}

/** By UDP; requests are sent again where no answer comes. `to` may be another server each time. */
export function udpPath(to: Deno.NetAddr): StunPath & { to: Deno.NetAddr } {
  const hostname = to.hostname.includes(":") ? "::" : "0.0.0.0";
  const socket = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
  const path = {
    to,
    port: (socket.addr as Deno.NetAddr).port,
    async ask(request: Uint8Array<ArrayBuffer>, patienceMs: number) {
      let waiting = true;
      const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), patienceMs));
      const send = async () => {
        try {
          await socket.send(request, path.to);
        } catch { /* there is no way to it: then no answer comes */ }
      };
      send();
      const again = setInterval(send, RETRANSMIT);
      const answer = (async () => {
        while (waiting) {
          const [datagram] = await socket.receive();
          const message = answerTo(request, datagram);
          if (message !== undefined) return message;
        }
        return undefined;
      })().catch(() => undefined);
      try {
        return await Promise.race([answer, late]);
      } finally {
        waiting = false;
        clearInterval(again);
      }
    },
    [Symbol.dispose]: () => socket.close(),
  };
  return path;
}

/** By TCP, in the clear or in TLS (RFC 8489 section 6.2.2). Rejects where nobody takes the connection. */
export async function tcpPath(to: Deno.NetAddr, tls?: { readonly hostname: string }): Promise<StunPath> {
  const { hostname, port } = to;
  const plain = await Deno.connect({ hostname, port });
  const socket = tls === undefined ? plain : await Deno.startTls(plain, { hostname: tls.hostname });
  return {
    port: (plain.localAddr as Deno.NetAddr).port,
    async ask(request, patienceMs) {
      const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), patienceMs));
      const answer = (async () => {
        for (let sent = 0; sent < request.length;) sent += await socket.write(request.subarray(sent));
        const head = await readExactly(socket, HEADER_BYTES);
        const body = await readExactly(socket, head[2]! << 8 | head[3]!);
        const whole = new Uint8Array(head.length + body.length);
        whole.set(head);
        whole.set(body, head.length);
        return answerTo(request, whole);
      })().catch(() => undefined);
      return await Promise.race([answer, late]);
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

async function readExactly(from: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let got = 0; got < length;) {
    const more = await from.read(bytes.subarray(got));
    if (more === null) throw new Error("the connection has ended");
    got += more;
  }
  return bytes;
}

function answerTo(request: Uint8Array, datagram: Uint8Array): StunMessage | undefined {
  const message = decodeStun(datagram);
  if ("fault" in message || message.class === "request" || message.class === "indication") return undefined;
  return message.id.every((byte, i) => byte === request[4 + i]) ? message : undefined;
}

/** Asks for the reflexive address; `undefined` where no answer comes. */
export async function askBinding(path: StunPath, patienceMs: number): Promise<Endpoint | undefined> {
  const answer = await path.ask(encode(BINDING, []), patienceMs);
  return answer?.class === "success" ? addressIn(answer, Attribute.xorMappedAddress) : undefined;
}

/** What came of an allocation. */
export type Allocation =
  | { readonly relayed: Endpoint; readonly mapped: Endpoint | undefined }
  | { readonly refused: number }
  | "no answer";

/** Takes an allocation with long-term credentials, and gives it back at once (RFC 8656 section 7). */
export async function allocate(
  path: StunPath,
  { username, credential }: { readonly username: string; readonly credential: string },
  patienceMs: number,
): Promise<Allocation> {
  const transport: Given = [Attribute.requestedTransport, Uint8Array.of(UDP, 0, 0, 0)];
  let answer = await path.ask(encode(ALLOCATE, [transport]), patienceMs);
  for (let tries = 0; tries < 2 && answer?.class === "error"; tries++) {
    const code = errorCode(answer);
    const [realm, nonce] = [valueOf(answer, Attribute.realm), valueOf(answer, Attribute.nonce)];
    if (![UNAUTHORIZED, STALE_NONCE].includes(code) || realm === undefined || nonce === undefined) break;
    if (tries > 0 && code === UNAUTHORIZED) break;
    const key = createHash("md5")
      .update(`${username}:${new TextDecoder().decode(realm)}:${credential}`).digest();
    const known: Given[] = [
      [Attribute.username, new TextEncoder().encode(username)],
      [Attribute.realm, realm.slice()],
      [Attribute.nonce, nonce.slice()],
    ];
    answer = await path.ask(encode(ALLOCATE, [transport, ...known], key), patienceMs);
    const relayed = answer?.class === "success" ? addressIn(answer, Attribute.relayedAddress) : undefined;
    if (relayed === undefined) continue;
    const mapped = addressIn(answer!, Attribute.xorMappedAddress);
    await path.ask(encode(REFRESH, [[Attribute.lifetime, new Uint8Array(4)], ...known], key), patienceMs / 4);
    return { relayed, mapped };
  }
  return answer === undefined ? "no answer" : { refused: errorCode(answer) };
}

type Given = readonly [type: number, value: Uint8Array];

function encode(type: number, attributes: readonly Given[], key?: Uint8Array): Uint8Array<ArrayBuffer> {
  const padded = (length: number) => Math.ceil(length / 4) * 4;
  const length = attributes.reduce((sum, [, value]) => sum + 4 + padded(value.length), 0);
  const out = new Uint8Array(HEADER_BYTES + length + (key === undefined ? 0 : INTEGRITY_BYTES));
  const view = new DataView(out.buffer);
  view.setUint16(0, type);
  view.setUint16(2, out.length - HEADER_BYTES);
  view.setUint32(4, COOKIE);
  crypto.getRandomValues(out.subarray(8, HEADER_BYTES));
  let at = HEADER_BYTES;
  const write = (attribute: number, value: Uint8Array) => {
    view.setUint16(at, attribute);
    view.setUint16(at + 2, value.length);
    out.set(value, at + 4);
    at += 4 + padded(value.length);
  };
  for (const [attribute, value] of attributes) write(attribute, value);
  if (key !== undefined) {
    write(Attribute.messageIntegrity, createHmac("sha1", key).update(out.subarray(0, at)).digest());
  }
  return out;
}

function valueOf({ attributes }: StunMessage, type: number): Uint8Array | undefined {
  return attributes.find((attribute) => attribute.type === type)?.value;
}

/** RFC 8489 section 14.8. */
function errorCode(message: StunMessage): number {
  const value = valueOf(message, Attribute.errorCode);
  return value === undefined || value.length < 4 ? 0 : (value[2]! & 7) * 100 + value[3]!;
}

/** RFC 8489 section 14.2. */
function addressIn(message: StunMessage, type: number): Endpoint | undefined {
  const value = valueOf(message, type);
  if (value === undefined || value.length !== (value[1] === 1 ? 8 : 20)) return undefined;
  const address = value.slice(4);
  for (let i = 0; i < address.length; i++) address[i]! ^= message.id[i]!;
  return { address, port: (value[2]! << 8 | value[3]!) ^ (message.id[0]! << 8 | message.id[1]!) };
}
