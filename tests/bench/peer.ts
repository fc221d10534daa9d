/**
 * The client's end of a WebSocket (RFC 6455) for load: frames are built once and sent many times, and what arrives
 * is not copied. Checks what it reads, so that a server can't be fast by being wrong.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Zeros would spare the server the work of unmasking. */
const MASK = [0x4b, 0xd2, 0x17, 0xa9];

const FIN = 0x80;
const MASKED = 0x80;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** A masked frame, as clients send it (section 5.2). Up to 65 535 bytes. */
export function clientFrame(payload: string | Uint8Array, opcode = TEXT): Uint8Array {
  const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
  const length = bytes.length < 126
    ? [MASKED | bytes.length]
    : [MASKED | 126, bytes.length >> 8, bytes.length & 0xff];
  const head = [FIN | opcode, ...length, ...MASK];
  const frame = new Uint8Array(head.length + bytes.length);
  frame.set(head);
  bytes.forEach((byte, index) => frame[head.length + index] = byte ^ MASK[index % MASK.length]!);
  return frame;
}

const CLOSE_FRAME = clientFrame(new Uint8Array([1000 >> 8, 1000 & 0xff]), CLOSE);

function handshake(path: string): Uint8Array {
  return encoder.encode([
    `GET ${path} HTTP/1.1`,
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${btoa("sixteen bytes it")}`,
    "\r\n",
  ].join("\r\n"));
}

const HANDSHAKE = handshake("/");

/** What comes from an idle socket fits in many times over. */
const SMALL_BUFFER = 512;

export class Peer {
  readonly #connection: Deno.TcpConn;
  readonly #buffer: Uint8Array;
  /** What was read and not yet taken lies between these. */
  #start = 0;
  #end = 0;

  private constructor(connection: Deno.TcpConn, bufferBytes: number) {
    this.#connection = connection;
    this.#buffer = new Uint8Array(bufferBytes);
  }

  /**
   * Connects to a server on this machine.
   *
   * @param bufferBytes the largest frame that can be received
   * @param path with which it is asked for
   */
  static async connect(port: number, bufferBytes = SMALL_BUFFER, path?: string): Promise<Peer> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.setNoDelay(true);
    const peer = new Peer(connection, bufferBytes);
    await peer.send(path === undefined ? HANDSHAKE : handshake(path));
    await peer.#finishHandshake();
    return peer;
  }

  /**
   * Opens `count` sockets, some at a time.
   *
   * @param path with which each is asked for, by its number from 0 on
   */
  static async connectMany(
    port: number,
    count: number,
    bufferBytes?: number,
    path?: (number: number) => string,
  ): Promise<Peer[]> {
    const atOnce = 64;
    const peers: Peer[] = [];
    while (peers.length < count) {
      const batch = Math.min(atOnce, count - peers.length);
      peers.push(
        ...await Promise.all(Array.from(
          { length: batch },
          (_, i) => Peer.connect(port, bufferBytes, path?.(peers.length + i)),
        )),
      );
    }
    return peers;
  }

  /** Sends frames that were built before. */
  async send(frames: Uint8Array): Promise<void> {
    let sent = await this.#connection.write(frames);
    while (sent < frames.length) sent += await this.#connection.write(frames.subarray(sent));
  }

  /**
   * The payload of the next text frame, if it has arrived in full; good until the next `fill`. Throws where the
   * server closes the socket or sends what it shouldn't.
   */
  take(): Uint8Array | undefined {
    for (;;) {
      const buffer = this.#buffer;
      const available = this.#end - this.#start;
      if (available < 2) return;
      const opcode = buffer[this.#start]! ^ FIN;
      const shortLength = buffer[this.#start + 1];
      const headLength = shortLength! < 126 ? 2 : 4;
      if (available < headLength) return;
      if (shortLength! > 126) throw new Error(`a frame has a length field of ${shortLength}`);
      const length = shortLength! < 126
        ? shortLength
        : buffer[this.#start + 2]! << 8 | buffer[this.#start + 3]!;
      if (headLength + length! > buffer.length) {
        throw new Error(`a frame of ${length} bytes was not expected`);
      }
      if (available < headLength + length!) return;
      const payload = buffer.subarray(this.#start + headLength, this.#start + headLength + length!);
      this.#start += headLength + length!;
      if (opcode === TEXT) return payload;
      if (opcode === CLOSE) throw new Error(`the server closed a socket with ${describeClose(payload)}`);
      if (opcode !== PING) throw new Error(`a frame with the opcode ${opcode} was not expected`);
      this.send(clientFrame(payload, PONG));
    }
  }

  /** Waits for more bytes. Throws where none will come. */
  async fill(): Promise<void> {
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const count = await this.#connection.read(this.#buffer.subarray(this.#end));
    if (count === null) throw new Error("the server dropped a connection");
    this.#end += count;
  }

  /** The next text; for what is not counted. */
  async text(): Promise<string> {
    for (;;) {
      const payload = this.take();
      if (payload) return decoder.decode(payload);
      await this.fill();
    }
  }

  /** Sends one text; for what is not counted. */
  async say(text: string): Promise<void> {
    await this.send(clientFrame(text));
  }

  /** Closes the socket as the protocol wants it, and waits until the server has done so too. */
  async close(): Promise<void> {
    await this.send(CLOSE_FRAME);
    while (this.#end - this.#start < 2) await this.fill();
    const opcode = this.#buffer[this.#start]! ^ FIN;
    if (opcode !== CLOSE) throw new Error(`a close was answered with the opcode ${opcode}`);
    this.#connection.close();
  }

  /** Lets go of the socket at once. */
  drop(): void {
    this.#connection.close();
  }

  async #finishHandshake(): Promise<void> {
    for (;;) {
      await this.fill();
      const head = decoder.decode(this.#buffer.subarray(0, this.#end));
      const length = head.indexOf("\r\n\r\n");
      if (length === -1) continue;
      if (!head.startsWith("HTTP/1.1 101 ")) {
        throw new Error(`a handshake was answered with ${head.slice(0, head.indexOf("\r\n"))}`);
      }
      this.#start = length + 4;
      return;
    }
  }
}

function describeClose(payload: Uint8Array): string {
  return payload.length < 2
    ? "no code"
    : `${payload[0]! << 8 | payload[1]!} ${decoder.decode(payload.subarray(2))}`;
}
