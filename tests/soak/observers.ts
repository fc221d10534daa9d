/** Members of a room who write down who comes and goes. */

import { WATCHED } from "./plan.ts";

/** What one observer was told, held against: of everybody who came, exactly once, that they are gone. */
export class Logbook {
  readonly #present = new Set<string>();
  readonly #reasons = new Map<string, number>();
  readonly #faults: string[] = [];
  #arrivals = 0;

  /** Takes a message of the server; those that are not about coming and going are passed over. */
  take([name, , other, reason]: readonly unknown[]): void {
    const address = String(other);
    if (name === "stun") {
      if (this.#present.has(address)) this.#fault(`${address} came twice`);
      this.#present.add(address);
      this.#arrivals++;
    } else if (name === "gone") {
      if (!this.#present.delete(address)) this.#fault(`${address} went, and was not there`);
      this.#reasons.set(String(reason), (this.#reasons.get(String(reason)) ?? 0) + 1);
    }
  }

  get arrivals(): number {
    return this.#arrivals;
  }

  /** How often each reason was given. */
  get reasons(): ReadonlyMap<string, number> {
    return this.#reasons;
  }

  /** Who came, and did not go. */
  get present(): ReadonlySet<string> {
    return this.#present;
  }

  /** The first few things that should not be. */
  get faults(): readonly string[] {
    return this.#faults;
  }

  #fault(text: string): void {
    if (this.#faults.length < 10) this.#faults.push(text);
  }
}

/** Observers of the watched room, until closed. */
export class Observers {
  readonly logbooks: readonly Logbook[];
  /** How sockets ended that should be open. */
  readonly ended: string[] = [];
  readonly #sockets: readonly WebSocket[];
  #closing = false;

  private constructor(sockets: readonly WebSocket[]) {
    this.#sockets = sockets;
    this.logbooks = sockets.map(() => new Logbook());
  }

  /** Resolves when all have joined. They do not count each other. */
  static async open(url: string, count: number): Promise<Observers> {
    const observers = new Observers(
      Array.from({ length: count }, () => new WebSocket(url, "diva.signal.v3")),
    );
    await Promise.all(observers.#sockets.map((socket, index) => observers.#join(socket, index)));
    return observers;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#sockets.map((socket) =>
      new Promise<void>((resolve) => {
        if (socket.readyState === WebSocket.CLOSED) return resolve();
        socket.addEventListener("close", () => resolve());
        socket.close(1000);
      })
    ));
  }

  async #join(socket: WebSocket, index: number): Promise<void> {
    const joined = Promise.withResolvers<void>();
    socket.onopen = () => socket.send(JSON.stringify(["join", `observer-${index}`, WATCHED]));
    socket.onmessage = ({ data }) => {
      const message: unknown[] = JSON.parse(data);
      if (message[0] === "join") joined.resolve();
      if (!String(message[2]).startsWith(`${WATCHED}:observer-`)) this.logbooks[index]!.take(message);
    };
    socket.onclose = ({ code, reason }) => {
      joined.reject(new Error(`an observer was closed with ${code} ${reason}`));
      if (!this.#closing) this.ended.push(`${code} ${reason}`);
    };
    await joined.promise;
  }
}
