/** A client that reads all the time, answers pings, and sends without delay. */

import type { Version } from "../../lib/protocol/codec.ts";
import { frame, Opcode, type RawClient } from "../kit/raw_client.ts";

const GOODBYE = frame(new Uint8Array([1000 >> 8, 1000 & 255]), Opcode.close);

/** The headers of a client that speaks a version, and seems to come from an address. */
export function headersOf(version: Version, address?: string): Record<string, string> {
  return {
    ...version === 3 ? { "Sec-WebSocket-Protocol": "diva.signal.v3" } : {},
    ...address === undefined ? {} : { "X-Forwarded-For": address },
  };
}

export class Peer {
  /**
   * Resolves with the code of the server's close frame, or with "dropped" where there was none. Never
   * rejects.
   */
  readonly ended: Promise<string>;
  readonly #client: RawClient;
  readonly #onMessage: (message: unknown[]) => void;
  readonly #pongs: ((alive: boolean) => void)[] = [];
  /** One write at a time: the parts of two would mix where the kernel takes only a part. */
  #writing: Promise<void> = Promise.resolve();

  /** @param onMessage takes what arrives, but for the answers to pings */
  constructor(client: RawClient, onMessage: (message: unknown[]) => void) {
    this.#client = client;
    this.#onMessage = onMessage;
    this.ended = this.#read().then((code) => {
      for (const resolve of this.#pongs.splice(0)) resolve(false);
      return code;
    });
  }

  /** Sends calls. Where the connection has ended they are lost, and `ended` tells why. */
  send(...messages: unknown[]): Promise<void> {
    return this.#write(...messages.map((message) => frame(JSON.stringify(message))));
  }

  /** Sends calls, and waits until all are answered that are to be. Rejects where the connection has ended. */
  async settle(...messages: unknown[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#pongs.push(resolve);
    await this.send(...messages, ["ping"]);
    const alive = await Promise.race([promise, this.ended.then(() => false)]);
    if (!alive) throw new Error(`the server ended the connection: ${await this.ended}`);
  }

  /** Says goodbye, and resolves as `ended` does. */
  async close(): Promise<string> {
    await this.#write(GOODBYE);
    return await this.ended;
  }

  #write(...frames: Uint8Array[]): Promise<void> {
    this.#writing = this.#writing.then(() => this.#client.write(...frames)).catch(() => {});
    return this.#writing;
  }

  async #read(): Promise<string> {
    try {
      for (;;) {
        const frame = await this.#client.frame();
        if (frame === undefined) return "dropped";
        if (frame.opcode === Opcode.close) return String(frame.payload[0]! << 8 | frame.payload[1]!);
        if (frame.opcode === Opcode.ping) this.#pong(frame.payload);
        if (frame.opcode !== Opcode.text) continue;
        const message: unknown[] = JSON.parse(new TextDecoder().decode(frame.payload));
        if (message[0] === "pong") this.#pongs.shift()?.(true);
        else this.#onMessage(message);
      }
    } catch {
      // The connection was let go of here.
      return "dropped";
    }
  }

  #pong(payload: Uint8Array): void {
    this.#write(frame(payload, Opcode.pong));
  }
}
