/** A version 3 client that counts what it is sent, and can come back to its session on another connection. */

import { frame, Opcode, RawClient } from "./raw_client.ts";

interface Offer {
  readonly id: string;
  readonly seconds: number;
  readonly bytes: number;
}

export class ResumingClient implements Disposable {
  #raw: RawClient;
  readonly #all: RawClient[];
  /** Of its last session. */
  offer: Offer;
  /** How many messages it has taken in. */
  count = 0;

  private constructor(raw: RawClient, offer: Offer) {
    this.#raw = raw;
    this.#all = [raw];
    this.offer = offer;
  }

  static async open(port: number, headers: Record<string, string> = {}): Promise<ResumingClient> {
    const [raw, offer] = await greet(port, headers);
    return new ResumingClient(raw, offer);
  }

  /** With an address. */
  static async join(port: number, ident: string, room: string, options = {}): Promise<ResumingClient> {
    const client = await ResumingClient.open(port);
    await client.settle(["join", ident, room, options]);
    return client;
  }

  get raw(): RawClient {
    return this.#raw;
  }

  /** The next message; a fresh id is remembered, and is none. Throws at the end of the connection. */
  async next(): Promise<unknown[]> {
    for (;;) {
      const text = await this.#raw.text();
      if (text === undefined) throw new Error("the connection has ended");
      const message = JSON.parse(text);
      if (message[0] === "resumed") {
        this.offer = message[1].resume;
        return message;
      }
      this.count++;
      if (message[0] !== "resume") return message;
      this.offer = message[1];
    }
  }

  async send(...messages: unknown[]): Promise<void> {
    await this.#raw.send(...messages);
  }

  /** Sends calls, and a ping behind them: all messages up to its answer. */
  async settle(...calls: unknown[]): Promise<unknown[]> {
    await this.send(...calls, ["ping"]);
    const messages = [];
    for (;;) {
      const message = await this.next();
      if (message[0] === "pong") return messages;
      messages.push(message);
    }
  }

  /** Waits until the server has told a fresh id, and takes what comes before. */
  async resealed(): Promise<void> {
    const { id } = this.offer;
    while (this.offer.id === id) await this.settle();
  }

  /** Begins the close handshake, with a code or without. */
  async sayGoodbye(code?: number): Promise<void> {
    await this.#raw.write(
      frame(new Uint8Array(code === undefined ? [] : [code >> 8, code & 255]), Opcode.close),
    );
  }

  /** The connection ends without a word. */
  drop(): void {
    this.#raw[Symbol.dispose]();
  }

  /** Comes back on another connection; the answer to that. Where it is none, it has a new session there. */
  async resume(
    port: number,
    { id = this.offer.id, count = this.count, headers = {} }: {
      id?: string;
      count?: number;
      headers?: Record<string, string>;
    } = {},
  ): Promise<unknown[]> {
    const [raw, offer] = await greet(port, headers);
    this.#raw = raw;
    this.#all.push(raw);
    await raw.send(["resume", id, count]);
    this.count = 0;
    const answer = await this.next();
    if (answer[0] === "resumed") this.count = count;
    else this.offer = offer;
    return answer;
  }

  [Symbol.dispose](): void {
    for (const raw of this.#all) raw[Symbol.dispose]();
  }
}

async function greet(port: number, headers: Record<string, string>): Promise<[RawClient, Offer]> {
  const raw = await RawClient.open(port, { "Sec-WebSocket-Protocol": "diva.signal.v3", ...headers });
  const [name, { resume }] = JSON.parse((await raw.text())!);
  if (name !== "welcome") throw new Error(`the first message is ${name}`);
  return [raw, resume];
}
