/** A WebSocket client over a bare TCP connection, for what well-behaved clients never do. */

import { connect } from "./connect.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** RFC 6455 section 5.2. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** One frame from the server, which never masks and, here, never fragments. */
export interface Frame {
  readonly opcode: number;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A client's frame, masked as the protocol asks. */
export function frame(
  payload: string | Uint8Array,
  opcode: number = Opcode.text,
  fin = true,
): Uint8Array<ArrayBuffer> {
  const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
  const { length } = bytes;
  const wide = length > 0xffff ? 8 : length > 125 ? 2 : 0;
  const out = new Uint8Array(2 + wide + 4 + length);
  const view = new DataView(out.buffer);
  out[0] = (fin ? 0x80 : 0) | opcode;
  out[1] = 0x80 | (wide === 8 ? 127 : wide === 2 ? 126 : length);
  if (wide === 2) view.setUint16(2, length);
  if (wide === 8) view.setBigUint64(2, BigInt(length));
  const mask = [0x37, 0xfa, 0x21, 0x3d];
  out.set(mask, 2 + wide);
  for (let i = 0; i < length; i++) out[2 + wide + 4 + i] = bytes[i]! ^ mask[i & 3]!;
  return out;
}

/** The request that opens a WebSocket. */
export function handshake(headers: Record<string, string> = {}): Uint8Array<ArrayBuffer> {
  const lines = Object.entries({
    Host: "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return encoder.encode(`GET / HTTP/1.1\r\n${lines.join("")}\r\n`);
}

export class RawClient implements Disposable {
  readonly #connection: Deno.TcpConn;
  #buffer = new Uint8Array(0);

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects and, unless told otherwise, shakes hands. */
  static async open(port: number, headers?: Record<string, string> | "no handshake"): Promise<RawClient> {
    const connection = await connect(port);
    connection.setNoDelay(true);
    const client = new RawClient(connection);
    if (headers === "no handshake") return client;
    await client.write(handshake(headers));
    const head = await client.readHead();
    if (!head.startsWith("HTTP/1.1 101")) throw new Error(head);
    return client;
  }

  /** Writes all parts at once. */
  async write(...parts: Uint8Array[]): Promise<void> {
    const bytes = parts.length === 1 ? parts[0] : concat(parts);
    for (let written = 0; written < bytes!.length;) {
      written += await this.#connection.write(bytes!.subarray(written));
    }
  }

  /** Sends calls in one write. */
  async send(...messages: unknown[]): Promise<void> {
    await this.write(...messages.map((m) => frame(typeof m === "string" ? m : JSON.stringify(m))));
  }

  /** Reads to the end of an HTTP head. */
  async readHead(): Promise<string> {
    for (;;) {
      const text = decoder.decode(this.#buffer);
      const end = text.indexOf("\r\n\r\n");
      if (end !== -1) {
        this.#buffer = this.#buffer.slice(end + 4);
        return text.slice(0, end);
      }
      if (!await this.#read()) return text;
    }
  }

  /** Reads an HTTP answer that says how long its body is. */
  async readResponse(): Promise<{ head: string; body: string }> {
    const head = await this.readHead();
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
    while (this.#buffer.length < length && await this.#read());
    const body = decoder.decode(this.#buffer.subarray(0, length));
    this.#buffer = this.#buffer.slice(length);
    return { head, body };
  }

  /** The next frame; `undefined` at the end of the connection. */
  async frame(): Promise<Frame | undefined> {
    for (;;) {
      const parsed = parse(this.#buffer);
      if (parsed) {
        this.#buffer = this.#buffer.subarray(parsed.size);
        return parsed.frame;
      }
      if (!await this.#read()) return undefined;
    }
  }

  /** The next text; `undefined` at the end of the connection. Pings are not answered. */
  async text(): Promise<string | undefined> {
    for (;;) {
      const frame = await this.frame();
      if (frame === undefined) return undefined;
      if (frame.opcode === Opcode.text) return decoder.decode(frame.payload);
    }
  }

  /** Sends calls, and a ping behind them: all texts up to its answer. */
  async settle(...messages: unknown[]): Promise<string[]> {
    await this.send(...messages, '["ping"]');
    const texts: string[] = [];
    for (;;) {
      const text = await this.text();
      if (text === undefined) throw new Error("the connection has ended");
      if (text === '["pong"]') return texts;
      texts.push(text);
    }
  }

  /** The code of the close frame that comes next but for texts; `undefined` where the connection ends without. */
  async closeCode(): Promise<number | undefined> {
    for (;;) {
      const frame = await this.frame();
      if (frame === undefined) return undefined;
      if (frame.opcode === Opcode.close) {
        return frame.payload.length < 2
          ? 1005
          : new DataView(frame.payload.buffer, frame.payload.byteOffset).getUint16(0);
      }
    }
  }

  /** Ends the connection without a close frame. */
  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // It is closed.
    }
  }

  async #read(): Promise<boolean> {
    const chunk = new Uint8Array(65_536);
    let length: number | null;
    try {
      length = await this.#connection.read(chunk);
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      return false;
    }
    if (length === null) return false;
    this.#buffer = concat([this.#buffer, chunk.subarray(0, length)]);
    return true;
  }
}

function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function parse(bytes: Uint8Array<ArrayBuffer>): { frame: Frame; size: number } | undefined {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 2;
  let length = bytes[1]! & 0x7f;
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    length = view.getUint16(2);
    at = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    length = Number(view.getBigUint64(2));
    at = 10;
  }
  if (bytes.length < at + length) return undefined;
  return { frame: { opcode: bytes[0]! & 0x0f, payload: bytes.slice(at, at + length) }, size: at + length };
}
