/** A connection to the engine: two sockets, one for commands and one for the inbox. When either breaks, it is lost. */

import type { EngineAddress } from "./address.ts";
import { EngineFault } from "./fault.ts";
import { type ScriptName, SCRIPTS } from "./scripts.ts";

type RedisClient = Awaited<ReturnType<typeof makeClient>>;

export interface ConnectionOptions {
  readonly address: EngineAddress;
  readonly prefix: string;
  readonly inbox: string;
  readonly onMessage: (text: string) => void;
  /** Called once, when the connection is no good any more, by whatever has made it so. */
  readonly onLost: (why: string) => void;
}

/** Milliseconds. */
const CONNECT_PATIENCE = 4000;

/** Commands on their way, and what they weigh in UTF-16 units: beyond that the engine has stopped to read. */
const MAX_UNDER_WAY = { commands: 100_000, units: 16_777_216 };

const LEAST_MAJOR = 7;

// Only where an engine is configured: the library takes 0.3 s to load, and 50 MB.
async function makeClient(
  { host, port }: { host: string; port: number },
  { tls, ca, username, password, database }: EngineAddress,
) {
  const { createClient } = await import("@redis/client");
  return createClient({
    RESP: 3,
    // It would read the environment, which isn't allowed.
    maintNotifications: "disabled",
    disableOfflineQueue: true,
    // A timer for each command took a fifth of the time of a signal to another node. Whether the engine still answers
    // is watched as a whole.
    commandOptions: { timeout: 0 },
    // It would tell the engine its own name and version, which takes a permission more.
    disableClientInfo: true,
    commandsQueueMaxLength: 2 * MAX_UNDER_WAY.commands,
    ...username === undefined ? {} : { username },
    ...password === undefined ? {} : { password },
    ...database === 0 ? {} : { database },
    // Every break has to be seen, so the library must not mend any.
    socket: {
      host,
      port,
      reconnectStrategy: false,
      connectTimeout: CONNECT_PATIENCE,
      ...tls ? { tls: true as const, ...ca === undefined ? {} : { ca } } : {},
    },
  });
}

export class Engine {
  readonly #commands: RedisClient;
  readonly #prefix: string;
  readonly #lose: (why: string) => void;
  readonly #digests: ReadonlyMap<ScriptName, string>;
  readonly #destroy: () => void;
  #commandsUnderWay = 0;
  #unitsUnderWay = 0;
  /** Which process it is, and of which line: others after a restart, or where a replica has taken over. */
  readonly life: string;

  private constructor(
    commands: RedisClient,
    { prefix, life, digests, lose, destroy }: {
      prefix: string;
      life: string;
      digests: ReadonlyMap<ScriptName, string>;
      lose: (why: string) => void;
      destroy: () => void;
    },
  ) {
    this.#commands = commands;
    this.#prefix = prefix;
    this.life = life;
    this.#digests = digests;
    this.#lose = lose;
    this.#destroy = destroy;
  }

  /** Throws an `EngineFault`. */
  static async connect({ address, prefix, inbox, onMessage, onLost }: ConnectionOptions): Promise<Engine> {
    const clients: RedisClient[] = [];
    let ended = false;
    let broken: ((error: Error) => void) | undefined;
    const destroy = () => {
      ended = true;
      for (const client of clients) {
        try {
          client.destroy();
        } catch {
          // It has ended by itself.
        }
      }
    };
    let live = false;
    /** What went wrong first: what is told of later comes of it. */
    let cause: Error | undefined;
    const lose = (why: string) => {
      if (ended) return;
      destroy();
      if (live) onLost(why);
    };
    const open = async (place: { host: string; port: number }) => {
      const client = await makeClient(place, address);
      client.on("error", (error: Error) => {
        cause ??= error;
        lose(error.message);
      });
      client.on("end", () => lose("the connection was closed"));
      clients.push(client);
      await client.connect();
      return client;
    };
    const patience = new Promise<never>((_, reject) => broken = reject);
    patience.catch(() => {});
    const timer = setTimeout(() => broken!(new Error("no answer")), 2 * CONNECT_PATIENCE);
    try {
      return await Promise.race([
        patience,
        (async () => {
          const place = address.master === undefined ? address.hosts[0]! : await askSentinels(address);
          const commands = await open(place);
          const life = await inspect(commands);
          const digests = new Map<ScriptName, string>();
          for (const [name, script] of Object.entries(SCRIPTS)) {
            digests.set(name as ScriptName, await commands.sendCommand<string>(["SCRIPT", "LOAD", script]));
          }
          const subscriber = await open(place);
          await subscriber.subscribe(prefix + "inbox:" + inbox, (text: string) => {
            // A listener that throws would take the connection with it.
            if (!ended) onMessage(text);
          });
          live = true;
          return new Engine(commands, { prefix, life, digests, lose, destroy });
        })(),
      ]);
    } catch (error) {
      destroy();
      throw faultOf(cause ?? error, address);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Has the engine run a script; resolves with its reply. Where that can't be, the connection is lost. */
  async run(name: ScriptName, ...args: string[]): Promise<unknown> {
    const digest = this.#digests.get(name)!;
    let units = 0;
    for (const { length } of args) units += length;
    try {
      return await this.#underWay(
        units,
        () => this.#commands.sendCommand(["EVALSHA", digest, "0", this.#prefix, ...args]),
      );
    } catch (error) {
      this.#lose(`${name}: ${(error as Error).message}`);
      throw error;
    }
  }

  /** Sends a text to the inbox of another node. False where too much is on its way. */
  publish(node: string, text: string): boolean {
    if (this.full) return false;
    const { length } = text;
    this.#commandsUnderWay++;
    this.#unitsUnderWay += length;
    // Nothing is awaited here: this is the way of every signal to another node.
    this.#commands.sendCommand(["PUBLISH", this.#prefix + "inbox:" + node, text]).then(() => {
      this.#commandsUnderWay--;
      this.#unitsUnderWay -= length;
    }, (error) => this.#lose(`publish: ${error.message}`));
    return true;
  }

  /** Whether too much is on its way. */
  get full(): boolean {
    return this.#commandsUnderWay >= MAX_UNDER_WAY.commands || this.#unitsUnderWay >= MAX_UNDER_WAY.units;
  }

  /** Runs a plain command. */
  ask<T>(...command: string[]): Promise<T> {
    return this.#underWay(
      0,
      () => this.#commands.sendCommand([command[0]!, this.#prefix + command[1]!, ...command.slice(2)]),
    ) as Promise<T>;
  }

  /** Gives the connection up; nobody is told. */
  close(): void {
    this.#destroy();
  }

  /** Gives it up as if it had broken. */
  lose(why: string): void {
    this.#lose(why);
  }

  async #underWay<T>(units: number, work: () => Promise<T>): Promise<T> {
    this.#commandsUnderWay++;
    this.#unitsUnderWay += units;
    try {
      return await work();
    } finally {
      this.#commandsUnderWay--;
      this.#unitsUnderWay -= units;
    }
  }
}

/** Says which life of the engine this is. */
async function inspect(client: RedisClient): Promise<string> {
  const info = String(await client.sendCommand(["INFO"]));
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  // Valkey calls itself 7.2.4 there, for the sake of programs that ask.
  const version = field("redis_version");
  if (Number.parseInt(version) < LEAST_MAJOR) {
    throw new EngineFault(`it is Redis ${version}, but ${LEAST_MAJOR}.0 is needed at least, or Valkey`, true);
  }
  if (field("role") !== "master") throw new EngineFault("it is a replica, which takes no changes", false);
  return `${field("run_id")} ${field("master_replid")}`;
}

async function askSentinels(address: EngineAddress): Promise<{ host: string; port: number }> {
  const { username: _, password: __, ...bare } = address;
  let last: unknown;
  for (const place of address.hosts) {
    const client = await makeClient(place, { ...bare, database: 0 });
    client.on("error", () => {});
    try {
      await client.connect();
      const found = await client.sendCommand<[string, string] | null>([
        "SENTINEL",
        "GET-MASTER-ADDR-BY-NAME",
        address.master!,
      ]);
      if (found !== null) return { host: found[0], port: Number(found[1]) };
      last = new Error(`the Sentinel at ${place.host}:${place.port} knows no master "${address.master}"`);
    } catch (error) {
      last = error;
    } finally {
      try {
        client.destroy();
      } catch {
        // It has ended by itself.
      }
    }
  }
  throw last;
}

/** In words, and whether waiting is of any use. */
function faultOf(error: unknown, { text, hosts }: EngineAddress): EngineFault {
  if (error instanceof EngineFault) {
    return new EngineFault(`The engine at ${text} can't be used: ${error.message}.`, error.final);
  }
  const { message, code } = error as Error & { code?: string };
  const host = hosts.map(({ host }) => host).join(", ");
  if (code === "ENOTFOUND") {
    return new EngineFault(`There is no engine at ${text}: nobody knows a host ${host}.`, true);
  }
  if (/WRONGPASS|NOAUTH|invalid (?:username|password)/i.test(message)) {
    return new EngineFault(
      `The engine at ${text} doesn't take the user and password (--engine, --engine-password-file).`,
      true,
    );
  }
  if (/NOPERM/.test(message)) {
    return new EngineFault(
      `The engine at ${text} doesn't let this user do what is needed: ${message}.`,
      true,
    );
  }
  if (/unknown command|invalid DB|RESP type|HELLO/i.test(message)) {
    return new EngineFault(
      `What answers at ${text} is no Redis or Valkey that can be used: ${message}.`,
      true,
    );
  }
  return new EngineFault(`The engine at ${text} can't be reached: ${message}.`, false);
}
