/** A client that says what it is told to and waits for answers: for commands that look at a server from outside. */

export const VERSION_3 = "diva.signal.v3";

/** Messages that may wait to be looked at: a server that sends more unasked is none that could be talked to. */
const MAX_WAITING = 10_000;

/** An answer that did not come, or was another. */
export class Disappointment extends Error {
  override name = "Disappointment";
}

export class Talker implements Disposable {
  readonly #socket: WebSocket;
  readonly #received: string[] = [];
  readonly #patienceMs: number;
  #awaited: { resolve: (text: string) => void; reject: (error: Error) => void } | undefined;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<{ code: number; reason: string }>;

  private constructor(socket: WebSocket, patienceMs: number) {
    this.#socket = socket;
    this.#patienceMs = patienceMs;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      const text = typeof data === "string" ? data : new TextDecoder().decode(data);
      const awaited = this.#awaited;
      this.#awaited = undefined;
      if (awaited) awaited.resolve(text);
      else if (this.#received.push(text) > MAX_WAITING) {
        this.#received.length = 0;
        socket.close();
      }
    };
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => {
        this.#awaited?.reject(new Disappointment(`the server closed the socket: ${code} ${reason}`.trim()));
        resolve({ code, reason });
      };
    });
  }

  /** Connects, with the subprotocol of version 3 or none. Rejects with a `Disappointment`. */
  static async open(url: string, version: 2 | 3, patienceMs = 5000): Promise<Talker> {
    const socket = new WebSocket(url, version === 3 ? [VERSION_3] : []);
    const talker = new Talker(socket, patienceMs);
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        socket.onopen = () => resolve();
        socket.onerror = (event) =>
          reject(new Disappointment((event as ErrorEvent).message || "no connection"));
        timer = setTimeout(() => reject(new Disappointment(`no connection in ${patienceMs} ms`)), patienceMs);
      });
    } catch (error) {
      socket.onerror = null;
      talker[Symbol.dispose]();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    socket.onerror = null;
    return talker;
  }

  /** The subprotocol that the server has chosen. */
  get protocol(): string {
    return this.#socket.protocol;
  }

  /** A value as JSON; a text or bytes as they are. */
  send(message: unknown): void {
    const raw = typeof message === "string" || message instanceof Uint8Array;
    this.#socket.send(raw ? message as string : JSON.stringify(message));
  }

  async nextText(): Promise<string> {
    const text = this.#received.shift();
    if (text !== undefined) return text;
    if (this.#socket.readyState !== WebSocket.OPEN) throw new Disappointment("the socket is closed");
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await new Promise<string>((resolve, reject) => {
        this.#awaited = { resolve, reject };
        timer = setTimeout(
          () => reject(new Disappointment(`nothing came in ${this.#patienceMs} ms`)),
          this.#patienceMs,
        );
      });
    } finally {
      clearTimeout(timer);
      this.#awaited = undefined;
    }
  }

  async next(): Promise<unknown[]> {
    const text = await this.nextText();
    let message;
    try {
      message = JSON.parse(text);
    } catch { /* said below */ }
    if (!Array.isArray(message)) {
      throw new Disappointment(`the server sent what is no JSON array: ${text.slice(0, 200)}`);
    }
    return message;
  }

  /** All texts that were sent to it so far, and what the calls bring: up to the answer to a ping behind them. */
  async settle(...calls: unknown[]): Promise<string[]> {
    for (const call of calls) this.send(call);
    this.send(["ping"]);
    const texts: string[] = [];
    for (;;) {
      const text = await this.nextText();
      if (text === '["pong"]') return texts;
      texts.push(text);
    }
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.closed;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
