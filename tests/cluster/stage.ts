/**
 * Nodes as processes of their own, members that stay and members that come and go, and what each of them may believe:
 * whatever happens to nodes and engine, nobody is told anything that contradicts what it was told before.
 */

import { eventually } from "../kit/cluster.ts";
import { type Redis, redis } from "../kit/redis.ts";
import { type ServerProcess, serverProcess, startFlags } from "../kit/server.ts";

const VERSION_3 = "diva.signal.v3";
const SIGNAL_INTERVAL = 50;

/** One socket of version 3, in one room. */
export class Actor {
  readonly #stage: Stage;
  readonly #socket: WebSocket;
  readonly address: string;
  /** Whom it was introduced to, and whether it makes the offer. */
  readonly known = new Map<string, boolean>();
  /** The number of the last signal of each. */
  readonly #heard = new Map<string, number>();
  readonly #said = new Map<string, number>();
  readonly #texts: string[] = [];
  readonly joined: Promise<void>;
  readonly closed: Promise<number>;
  #resolveJoined!: () => void;
  #rejectJoined!: (error: Error) => void;
  #holds = false;
  /** What it was told of others coming and going. */
  told = 0;
  /** Signals that were lost on their way. */
  gaps = 0;
  signals = 0;

  constructor(stage: Stage, port: number, room: string, ident: string, key?: string) {
    this.#stage = stage;
    this.address = `${room}:${ident}`;
    this.joined = new Promise((resolve, reject) => {
      this.#resolveJoined = resolve;
      this.#rejectJoined = reject;
    });
    this.joined.catch(() => {});
    const socket = this.#socket = new WebSocket(`ws://127.0.0.1:${port}`, VERSION_3);
    socket.onopen = () =>
      socket.send(JSON.stringify(["join", ident, room, ...key === undefined ? [] : [{ key }]]));
    socket.onmessage = ({ data }) => this.#read(data);
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code }) => {
        this.#rejectJoined(new Error(`closed with ${code}`));
        resolve(code);
      };
    });
  }

  get open(): boolean {
    return this.#holds && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Says a number to everybody that it knows. */
  say(): void {
    if (!this.open) return;
    for (const other of this.known.keys()) {
      const number = (this.#said.get(other) ?? 0) + 1;
      this.#said.set(other, number);
      this.#socket.send(JSON.stringify(["signal", this.address, other, number]));
    }
  }

  leave(): void {
    this.#holds = false;
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(["leave", this.address]));
    }
  }

  close(): void {
    this.#holds = false;
    this.#socket.close();
  }

  #read(text: string): void {
    this.#texts.push(text);
    if (this.#texts.length > 300) this.#texts.shift();
    const [name, own, other, rest] = JSON.parse(text);
    switch (name) {
      case "join":
        this.#must(!this.#holds, "joined twice");
        this.#holds = true;
        return this.#resolveJoined();
      case "stun":
        this.told++;
        this.#must(own === this.address && other !== own && !this.known.has(other), "introduced twice");
        this.known.set(other, rest);
        this.#said.delete(other);
        this.#heard.delete(other);
        return;
      case "gone":
        this.told++;
        if (other === own) return;
        this.#must(this.known.delete(other), "gone of an unknown");
        return;
      case "signal": {
        this.signals++;
        this.#must(this.known.has(other), "a signal from an unknown");
        const last = this.#heard.get(other) ?? 0;
        this.#must(rest > last, "signals out of order");
        this.gaps += rest - last - 1;
        this.#heard.set(other, rest);
        return;
      }
      case "error":
        if (own === "no-such-peer" || own === "unavailable" && JSON.parse(text)[3] === "signal") return;
        return this.#rejectJoined(new Error(text));
      case "leave":
        this.#holds = false;
        return;
    }
  }

  #must(condition: boolean, what: string): void {
    if (!condition) {
      this.#stage.anomalies.push(`${this.address}: ${what}: ${this.#texts.slice(-12).join(" ")}`);
    }
  }
}

export class Stage implements AsyncDisposable {
  readonly anomalies: string[] = [];
  readonly actors: Actor[] = [];
  readonly nodes: ServerProcess[] = [];
  readonly ports: number[] = [];
  readonly engine: Redis;
  readonly #args: readonly string[];
  readonly #saying: ReturnType<typeof setInterval>;
  #churning = false;
  #churners: Promise<void>[] = [];
  #count = 0;

  private constructor(engine: Redis, args: readonly string[]) {
    this.engine = engine;
    this.#args = args;
    this.#saying = setInterval(() => this.actors.forEach((actor) => actor.say()), SIGNAL_INTERVAL);
  }

  /** @param args of every node, beside those that it needs */
  static async open(
    { nodes = 2, args = [], engine, url = engine?.url }: {
      nodes?: number;
      args?: readonly string[];
      engine?: Redis;
      url?: string;
    } = {},
  ): Promise<Stage> {
    const made = engine ?? await redis();
    const stage = new Stage(made, ["--engine", url ?? made.url, ...args]);
    try {
      await Promise.all(Array.from({ length: nodes }, () => stage.addNode()));
      return stage;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts one more node; resolves with its index once it shares its rooms. */
  addNode(...args: string[]): Promise<number> {
    return this.addNodeIn({}, ...args);
  }

  /** The same, with variables. */
  async addNodeIn(env: Record<string, string>, ...args: string[]): Promise<number> {
    const node = await serverProcess(
      [
        ...["--host", "127.0.0.1", "--port", "0", "--stun-port", "off", "--resume", "0", "--drain", "2"],
        ...[
          "--max-sockets-per-client",
          "5000",
          "--busy-sockets-per-client",
          "5000",
          "--connect-burst",
          "100000",
        ],
        ...this.#args,
        ...args,
        // A password may stand in a file.
      ],
      env,
      [...await startFlags(), "--allow-read"],
    );
    const index = this.nodes.push(node) - 1;
    this.ports[index] = await node.port;
    await node.said(/shares its rooms/);
    return index;
  }

  /** A member that stays; joins on that node. */
  async enter(node: number, room: string, ident: string, key?: string): Promise<Actor> {
    const actor = new Actor(this, this.ports[node]!, room, ident, key);
    this.actors.push(actor);
    await actor.joined;
    return actor;
  }

  /** Rooms with members on all nodes in turn. */
  async populate(rooms: number, each: number): Promise<void> {
    for (let room = 0; room < rooms; room++) {
      for (let i = 0; i < each; i++) await this.enter(i % this.nodes.length, `room${room}`, `s${i}`);
    }
    await this.quiet();
  }

  /** Members that come, stay for a little and go, in one way or another, until the promise of `calm`. */
  churn(count: number, rooms: number): void {
    this.#churning = true;
    this.#churners = Array.from({ length: count }, async () => {
      while (this.#churning) {
        const number = this.#count++;
        const node = number % this.nodes.length;
        const actor = new Actor(this, this.ports[node]!, `room${number % rooms}`, `c${number % 97}`);
        this.actors.push(actor);
        try {
          await actor.joined;
          await pause(Math.random() * 400);
          if (Math.random() < 0.4) actor.leave();
          await pause(Math.random() * 30);
        } catch {
          // Its name was taken, the nodes could not agree in time, or its node was cut off.
        }
        actor.close();
        this.actors.splice(this.actors.indexOf(actor), 1);
        await pause(Math.random() * 100);
      }
    });
  }

  async calm(): Promise<void> {
    this.#churning = false;
    await Promise.all(this.#churners);
  }

  /** Resolves when each knows exactly the others of its room that are there, one of each two makes the offer. */
  async quiet(patienceMs = 15_000): Promise<void> {
    const wrong = () => {
      const open = this.actors.filter((actor) => actor.open);
      for (const actor of open) {
        const room = actor.address.split(":")[0];
        const others = open.filter(({ address }) =>
          address !== actor.address && address.split(":")[0] === room
        );
        if (others.length !== actor.known.size) {
          return `${actor.address} knows ${[...actor.known.keys()]}, and there are ${
            others.map((other) => other.address)
          }`;
        }
        for (const other of others) {
          if (actor.known.get(other.address) === other.known.get(actor.address)) {
            return `${actor.address} and ${other.address} don't know who makes the offer`;
          }
        }
      }
      return undefined;
    };
    await eventually("everybody knows everybody", () => wrong() === undefined, patienceMs).catch((error) => {
      throw new Error(`${error.message}: ${wrong()}`);
    });
  }

  /** Resolves when signals go both ways between all that know each other. */
  async talking(): Promise<void> {
    const before = new Map(this.actors.map((actor) => [actor, actor.signals]));
    await eventually(
      "signals arrive again",
      () =>
        this.actors.every((actor) =>
          !actor.open || actor.signals >= before.get(actor)! + 3 * actor.known.size
        ),
    );
  }

  told(): number {
    return this.actors.reduce((sum, { told }) => sum + told, 0);
  }

  gaps(): number {
    return this.actors.reduce((sum, { gaps }) => sum + gaps, 0);
  }

  async health(node: number): Promise<{ cluster: { engine: string; fenced: number; resyncs: number } }> {
    const response = await fetch(`http://127.0.0.1:${this.ports[node]}/healthz`);
    return await response.json();
  }

  async up(...nodes: number[]): Promise<void> {
    for (const node of nodes.length > 0 ? nodes : this.nodes.keys()) {
      await eventually(`node ${node} is up`, async () => (await this.health(node)).cluster.engine === "up");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#saying);
    this.#churning = false;
    await Promise.all(this.#churners);
    for (const actor of this.actors) actor.close();
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
    await this.engine[Symbol.asyncDispose]();
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
