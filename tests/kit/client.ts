/** A client as a stranger would write it, with the means to wait for what a test expects. */

import { assertEquals } from "./assert.ts";

const PATIENCE_MS = 5000;

/** How a socket was closed. */
export interface Closed {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
}

export class TestClient implements Disposable {
  readonly socket: WebSocket;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<Closed>;
  readonly #received: string[] = [];
  #awaited?: { resolve: (text: string) => void; reject: (error: Error) => void };

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      const awaited = this.#awaited;
      this.#awaited = undefined;
      if (awaited) awaited.resolve(data);
      else this.#received.push(data);
    };
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason, wasClean }) => {
        this.#awaited?.reject(new Error(`the socket was closed with ${code} ${reason}`));
        resolve({ code, reason, wasClean });
      };
    });
  }

  /** Connects; rejects where the server does not accept. */
  static async open(url: string, protocols: string | string[] = []): Promise<TestClient> {
    const socket = new WebSocket(url, protocols);
    const client = new TestClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
    });
    socket.onerror = null;
    return client;
  }

  /** Connects with version 3 of the protocol and takes its `welcome`. */
  static async openV3(url: string): Promise<TestClient & { welcome: Record<string, unknown> }> {
    const client = await TestClient.open(url, "diva.signal.v3");
    const [name, welcome] = await client.next() as [string, Record<string, unknown>];
    assertEquals(name, "welcome");
    return Object.assign(client, { welcome });
  }

  /** Sends a call: a value as JSON, a text or bytes as they are. */
  send(message: unknown): void {
    const raw = typeof message === "string" || message instanceof Uint8Array;
    this.socket.send(raw ? message as string : JSON.stringify(message));
  }

  /** The next text that arrives, or has arrived. */
  async nextText(): Promise<string> {
    const text = this.#received.shift();
    if (text !== undefined) return text;
    let timer;
    try {
      return await new Promise<string>((resolve, reject) => {
        this.#awaited = { resolve, reject };
        timer = setTimeout(() => reject(new Error(`nothing arrived in ${PATIENCE_MS} ms`)), PATIENCE_MS);
      });
    } finally {
      clearTimeout(timer);
      this.#awaited = undefined;
    }
  }

  /** The next message, as a value. */
  async next(): Promise<unknown> {
    return JSON.parse(await this.nextText());
  }

  /** Waits for exactly these messages, in this order. */
  async expect(...messages: unknown[]): Promise<void> {
    for (const message of messages) assertEquals(await this.next(), message);
  }

  /**
   * All texts that the server has sent so far: it answers in order, so what it sent before its answer to a ping
   * is there when that answer is. Of another client's calls that covers those that were answered before.
   */
  async settle(): Promise<string[]> {
    this.send(["ping"]);
    const texts: string[] = [];
    for (;;) {
      const text = await this.nextText();
      if (text === '["pong"]') return texts;
      texts.push(text);
    }
  }

  /** Sends a call and waits for exactly these answers and no others. */
  async call(message: unknown, ...answers: unknown[]): Promise<void> {
    this.send(message);
    assertEquals((await this.settle()).map((text) => JSON.parse(text)), answers);
  }

  async close(code = 1000): Promise<Closed> {
    this.socket.close(code);
    return await this.closed;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

/** Two clients that have just connected meet in a room, and the second signals to the first. */
export async function meetInRoom(alice: TestClient, bob: TestClient): Promise<void> {
  await alice.call(["join", "alice", "room"], ["join", "room:alice"]);
  bob.send(["join", "bob", "room"]);
  await bob.expect(["join", "room:bob"], ["stun", "room:bob", "room:alice", true]);
  bob.send(["signal", "room:bob", "room:alice", { sdp: "v=0" }]);
  await alice.expect(
    ["stun", "room:alice", "room:bob", false],
    ["signal", "room:alice", "room:bob", { sdp: "v=0" }],
  );
}
