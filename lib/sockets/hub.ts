/** All sessions of a server, and the rooms in which they meet. */

import { CloseCode } from "../protocol/codes.ts";
import type { IceServers } from "../protocol/ice_servers.ts";
import { type ClientLimits, type RoomLimits, sharedBudgets, type SocketLimits } from "../limits/limits.ts";
import { MAX_ECHO, type Refusal } from "../protocol/codec.ts";
import type { Log, LogFields } from "../runtime/log.ts";
import { MemoryStore } from "../rooms/memory.ts";
import { type Client, Session, type SessionContext } from "./session.ts";
import type { Tally } from "../runtime/tally.ts";

/** See `TOLD`. */
type ToldLimits = Readonly<Record<typeof TOLD[number], number>>;

/** What a hub is made with. */
export interface HubOptions {
  readonly limits: RoomLimits & SocketLimits & ClientLimits & ToldLimits;
  /** Told in `welcome`; see `Welcome`. */
  readonly server: string;
  readonly keepalive: number;
  readonly log: Log;
  readonly refusals: Tally;
  /** See `SessionContext`. */
  readonly links: Tally;
  readonly now: () => number;
  /** ICE servers for a client; see `SessionContext`. */
  readonly ice: (client: Client, ident: string) => IceServers;
  readonly takeIce: (client: Client) => boolean;
  /** Whether one more line about a single refused call may be logged. */
  readonly takeLine: () => boolean;
  /** Called once for each client, when its socket is closed for good. */
  readonly onClosed: (client: Client) => void;
}

/** Milliseconds between two looks at the clock, and between two looks for peers that have died. */
const TICK = 500;
const SWEEP_INTERVAL = 5000;
const DAY = 86_400_000;

/** When a server stops, its clients are asked to come back after a time between these, in milliseconds. */
const RETRY_AFTER = { least: 1000, most: 10_000 };

export class Hub {
  readonly #context: SessionContext;
  readonly #sessions = new Set<Session>();
  readonly #timer: ReturnType<typeof setInterval>;
  /** Sessions whose handshake was not through when they were last looked at, and since when they are there. */
  readonly #connecting = new Map<Session, number>();
  /** Sessions that talk: see `Session.restIfSilent`. */
  readonly #busy = new Set<Session>();
  #tickedAt: number;
  #sweptAt: number;
  #wokeAt: number;
  readonly #emptied = Promise.withResolvers<void>();
  #draining = false;

  constructor(
    { limits, server, keepalive, log, refusals, links, now, ice, takeIce, takeLine, onClosed }: HubOptions,
  ) {
    const rooms = new MemoryStore<Session>(Session.roomEvents, limits, ({ account }) => account);
    const welcome = {
      version: 3,
      server,
      limits: clientLimits(limits),
      keepaliveSeconds: keepalive,
    } as const;
    this.#context = {
      rooms,
      limits,
      shared: sharedBudgets(limits),
      welcome,
      log,
      refusals,
      links,
      now,
      onRefused: (client, refusal) => {
        if (takeLine()) {
          log.debug("refused {code}: {what}, of {client}, version {version}", describe(client, refusal));
        }
      },
      ice,
      takeIce,
      onBusy: (session) => this.#busy.add(session),
      onClosed: (session, client) => {
        this.#sessions.delete(session);
        this.#connecting.delete(session);
        this.#busy.delete(session);
        onClosed(client);
        if (this.#draining && this.#sessions.size === 0) this.#emptied.resolve();
      },
    };
    this.#tickedAt = this.#sweptAt = this.#wokeAt = now();
    this.#timer = setInterval(() => this.#tick(), TICK);
  }

  /** Whether the hub has begun to dismiss its clients. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Sockets, rooms and addresses at the moment. */
  counts(): { sockets: number; rooms: number; addresses: number } {
    return { sockets: this.#sessions.size, ...this.#context.rooms.counts() };
  }

  /** Serves a client until its socket is closed for good. */
  accept(client: Client): void {
    const session = new Session(client, this.#context);
    this.#sessions.add(session);
    this.#connecting.set(session, this.#context.now());
  }

  #tick(): void {
    const now = this.#context.now();
    // Stopped, frozen or asleep: what clients have sent meanwhile is read after the timers that would give them up.
    const stoodStill = now - this.#tickedAt > 2 * TICK;
    this.#tickedAt = now;
    for (const session of this.#busy) if (!session.restIfSilent()) this.#busy.delete(session);
    if (now - this.#wokeAt >= DAY) {
      this.#wokeAt = now;
      for (const session of this.#busy) session.stayAwake();
    }
    if (stoodStill) { for (const session of this.#sessions) session.forgiveSilence(); }
    if (now - this.#sweptAt < SWEEP_INTERVAL) return;
    this.#sweptAt = now;
    const patience = this.#context.limits.handshakeTimeout * 1000;
    for (const [session, since] of this.#connecting) {
      if (!session.connecting) this.#connecting.delete(session);
      // Of a connection that was reset in the midst of its handshake the runtime tells nothing at all.
      else if (now - since >= patience) session.giveUp("timeout");
    }
    for (const session of this.#sessions) session.buryIfDead();
  }

  /** Closes every socket behind what is queued for it; resolves when all clients have closed theirs too. */
  drain(): Promise<void> {
    this.#draining = true;
    const { least, most } = RETRY_AFTER;
    // All goodbyes come first: peers whose connections to each other outlive this server are not to hear that
    // everybody is gone.
    for (const session of this.#sessions) {
      session.sayGoodbye(Math.round(least + Math.random() * (most - least)));
    }
    for (const session of this.#sessions) session.close(CloseCode.restart, "the server restarts");
    if (this.#sessions.size === 0) this.#emptied.resolve();
    return this.#emptied.promise;
  }

  /** Stops looking after sessions. */
  dispose(): void {
    clearInterval(this.#timer);
  }
}

/** The limits that bind a client itself, of which `welcome` tells it. Its networks' are no use to it. */
const TOLD = [
  "maxMessageBytes",
  "maxQueueBytes",
  "callRate",
  "callBurst",
  "joinRate",
  "joinBurst",
  "maxRoomPeers",
  "maxAddresses",
  "maxAddressesPerClient",
  "maxRoomsPerClient",
  "maxSocketsPerClient",
  "busySocketsPerClient",
  "connectRate",
  "connectBurst",
  "iceRate",
  "iceBurst",
] as const;

function clientLimits(limits: ToldLimits): Record<string, number> {
  return Object.fromEntries(TOLD.map((name) => [name, limits[name]]));
}

/** What the log says of a refused call: who, what and why, and nothing of its data. */
function describe({ account, version }: Client, { code, call, about }: Refusal): LogFields {
  // The name of a call that there isn't may be anything.
  const name = code === "bad-call" ? undefined : call;
  const what = [name ?? "a message", ...about.map((part) => JSON.stringify(part.slice(0, MAX_ECHO)))].join(
    " ",
  );
  return { code, what, client: String(account.source), version };
}
