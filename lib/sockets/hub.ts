/** All sessions of a server, and the rooms in which they meet. */

import { addressText } from "../protocol/address.ts";
import { CloseCode } from "../protocol/codes.ts";
import type { IceServers } from "../protocol/ice_servers.ts";
import { type ClientLimits, type RoomLimits, sharedBudgets, type SocketLimits } from "../limits/limits.ts";
import { MAX_ECHO, type Refusal, type Version } from "../protocol/codec.ts";
import type { Log, LogFields } from "../runtime/log.ts";
import type { RoomEvents, RoomStore } from "../rooms/store.ts";
import { Ledger, type RoomLinks } from "./ledger.ts";
import { Pressure } from "./pressure.ts";
import { type ResumeLimits, Resumption } from "./resumption.ts";
import { SEAL_LIFE } from "./seal.ts";
import { type Client, Session, type SessionContext } from "./session.ts";
import { canWatch } from "../runtime/internals.ts";
import type { Account, Sleeper } from "../limits/accounts.ts";
import type { Tally } from "../runtime/tally.ts";
import type { Tokens } from "../tokens/tokens.ts";
import { TokenBucket } from "../limits/token_bucket.ts";
import { Tracks } from "./tracks.ts";
import { Traffic } from "./traffic.ts";
import { Turn } from "./turn.ts";

/** See `TOLD`. */
type ToldLimits = Readonly<Record<typeof TOLD[number], number>>;

/** See `RoomStore.rooms`. */
type RoomEntry = Awaited<ReturnType<SessionContext["rooms"]["rooms"]>>[number];

/** A member, for the administrator. */
type PeerEntry =
  & {
    readonly ident: string; /** ISO 8601. */
    readonly since: string; /** Another one. */
    readonly node?: string;
  }
  & Partial<ReturnType<Session["describe"]>>;

/** What a hub is made with. */
export interface HubOptions {
  /** Makes the store of its rooms. */
  readonly rooms: (
    events: RoomEvents<Session>,
    limits: RoomLimits,
    accountOf: (session: Session) => Account,
  ) => RoomStore<Session>;
  readonly limits: RoomLimits & SocketLimits & ClientLimits & ToldLimits & ResumeLimits;
  /** Pairs of which it is kept what becomes of their links. */
  readonly maxPairs: number;
  /** See `PressureOptions`. */
  readonly memoryHigh: number | undefined;
  /** Seconds over the first half of which the sockets are closed when the server stops. */
  readonly drain: number;
  /** What sessions are sealed with, so that they outlive the server. */
  readonly resumeSecret?: string | undefined;
  readonly tokens?: Tokens | undefined;
  /** Told in `welcome`; see `Welcome`. */
  readonly server: string;
  readonly keepalive: number;
  readonly log: Log;
  readonly refusals: Tally;
  /** See `SessionContext`. */
  readonly links: Tally;
  readonly now: () => number;
  /** ICE servers for a client; see `SessionContext`. */
  readonly ice: (client: Client, ident: string | undefined) => IceServers;
  readonly takeIce: (client: Client) => boolean;
  /** Whether one more line about a single refused call may be logged. */
  readonly takeLine: () => boolean;
  /** A client is gone, and its place is kept for it until `onClosed`. */
  readonly onAsleep: (client: Client, sleeper: Sleeper) => void;
  /** Called once for each client, when its socket is closed for good, and its place is not kept any more. */
  readonly onClosed: (client: Client, sleeper: Sleeper) => void;
}

/** Milliseconds between two looks at the clock, and between two looks for peers that have died. */
const TICK = 500;
const SWEEP_INTERVAL = 5000;

/** The server is overloaded where all of so many ticks were so late, in milliseconds. */
const OVERLOAD = { ticks: 4, lag: 250 };

/** When the server stops, sockets are closed in steps of so many milliseconds, so many in each at least. */
const CLOSING = { step: 50, least: 100 };

/** In the time of keepalive each session is looked at about so often. */
const LOOKS_PER_KEEPALIVE = 4;

/** Milliseconds between two looks at memberships that end. */
const PASS_INTERVAL = 1000;

/** Milliseconds: a client gets a new seal so long after a change, for others may follow; and when half of its life is over. */
const SEAL_DELAY = 20;
const SEAL_INTERVAL = SEAL_LIFE / 2;

/** Ways of signals that are remembered. Beyond, those in use are soon found again. */
const MAX_TRACKS = 16_384;

/** Lines about links that failed: so many at once, and per second in the long run. */
const FAILURES = { atOnce: 20, perSecond: 1 };

/** When a server stops, its clients are asked to come back after a time between these, in milliseconds. */
const RETRY_AFTER = { least: 1000, most: 10_000 };

export class Hub {
  readonly traffic: Traffic = new Traffic();
  readonly ledger: Ledger;
  /** Sockets that were accepted since the start, by version. */
  readonly opened: Record<Version, number> = { 2: 0, 3: 0 };
  /** Told of the milliseconds by which the event loop was late, at each tick. */
  onLag: ((ms: number) => void) | undefined;
  readonly #context: SessionContext;
  readonly #sessions = new Set<Session>();
  readonly #timer: ReturnType<typeof setInterval>;
  /** Sessions whose handshake was not through when they were last looked at, and since when they are there. */
  readonly #connecting = new Map<Session, number>();
  /** Sessions whose clients are gone, and since when: the first of them first. */
  readonly #sleeping = new Map<Session, number>();
  /** Sessions with members by token. */
  readonly #withPasses = new Set<Session>();
  /** Sessions that hold something else than they have a seal of; and all that have one, by the time of the last. */
  readonly #stale = new Set<Session>();
  readonly #sealed = new Map<Session, number>();
  #sealTimer: ReturnType<typeof setTimeout> | undefined;
  #passesLookedAt: number;
  #tickedAt: number;
  #sweptAt: number;
  /** Ticks between two looks at a session, which fall on different ticks for different sessions; and looks per keepalive. */
  readonly #ticksPerLook: number;
  readonly #looksPerKeepalive: number;
  #ticks = 0;
  readonly #pressure: Pressure;
  #pressureTimer: ReturnType<typeof setTimeout> | undefined;
  /** How late the last ticks were, in milliseconds: the worst of them. */
  readonly #lags: number[] = [];
  readonly #drainMs: number;
  #closing: ReturnType<typeof setTimeout> | undefined;
  readonly #emptied = Promise.withResolvers<void>();
  #draining = false;

  constructor(
    {
      rooms: makeRooms,
      limits,
      maxPairs,
      memoryHigh,
      drain,
      resumeSecret,
      tokens,
      server,
      keepalive,
      log,
      refusals,
      links,
      now,
      ice,
      takeIce,
      takeLine,
      onAsleep,
      onClosed,
    }: HubOptions,
  ) {
    const rooms = makeRooms(Session.roomEvents, limits, ({ account }) => account);
    const welcome = {
      version: 3,
      server,
      limits: clientLimits(limits),
      keepaliveSeconds: keepalive,
    } as const;
    this.#drainMs = drain * 1000;
    this.#pressure = new Pressure({ high: memoryHigh, burdens: () => this.#sessions, log, refusals, now });
    const look = () => {
      this.#pressureTimer = setTimeout(look, this.#pressure.look());
    };
    look();
    const lines = new TokenBucket(FAILURES.atOnce, now());
    this.ledger = new Ledger({
      maxPairs,
      now,
      introduceAnew: (one, other) => rooms.introduceAnew(one, other),
      onFailed: (link) => {
        if (!lines.take(FAILURES.perSecond, FAILURES.atOnce, now)) return;
        log.info(
          "{own} has no link to {other}: {why}, after {seconds} s, {sent} signals sent and {received} received",
          {
            ...link,
          },
        );
      },
    });
    this.#context = {
      ledger: this.ledger,
      tracks: new Tracks(MAX_TRACKS),
      traffic: this.traffic,
      turn: new Turn(this.traffic, now),
      rooms,
      limits,
      shared: sharedBudgets(limits),
      welcome,
      log,
      refusals,
      links,
      now,
      onRefused: (session, refusal) => {
        if (takeLine()) {
          log.debug("refused {code}: {what}, of {client}, version {version}", describe(session, refusal));
        }
      },
      ice,
      takeIce,
      resumption: limits.resume > 0 ? new Resumption<Session>(limits, resumeSecret) : undefined,
      tokens,
      onPass: (session) => this.#withPasses.add(session),
      onStale: (session) => {
        this.#stale.add(session);
        this.#sealTimer ??= setTimeout(() => this.#reseal(), SEAL_DELAY);
      },
      onSealed: (session) => this.#sealed.set(session, now()),
      makeRoom: (sessions) => {
        const sleeper = [...sessions].find(({ asleep }) => asleep);
        sleeper?.giveWay();
        return sleeper !== undefined;
      },
      onAsleep: (session, client) => {
        this.#connecting.delete(session);
        this.#sleeping.set(session, now());
        onAsleep(client, session);
      },
      onClosed: (session, client) => {
        this.#sessions.delete(session);
        this.#connecting.delete(session);
        this.#withPasses.delete(session);
        this.#stale.delete(session);
        this.#sealed.delete(session);
        this.#sleeping.delete(session);
        onClosed(client, session);
        if (this.#draining && this.#sessions.size === 0) this.#emptied.resolve();
      },
    };
    const ticksPerKeepalive = keepalive * 1000 / TICK;
    this.#ticksPerLook = Math.max(1, Math.floor(ticksPerKeepalive / LOOKS_PER_KEEPALIVE));
    this.#looksPerKeepalive = Math.max(2, Math.floor(ticksPerKeepalive / this.#ticksPerLook));
    this.#tickedAt = this.#sweptAt = this.#passesLookedAt = now();
    this.#timer = setInterval(() => this.#tick(), TICK);
  }

  /** Whether the hub has begun to dismiss its clients. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Why new clients should rather not come at the moment. */
  get strain(): string | undefined {
    if (this.#pressure.near) return "short of memory";
    const late = this.#lags.length === OVERLOAD.ticks && this.#lags.every((lag) => lag >= OVERLOAD.lag);
    return late ? "overloaded" : undefined;
  }

  /** Whether there is memory for new sockets. */
  get short(): boolean {
    return this.#pressure.short;
  }

  /** Sockets, sessions that wait for their clients to come back, rooms and addresses at the moment. */
  counts(): { sockets: number; sleeping: number; rooms: number; addresses: number } {
    const { size: sleeping } = this.#sleeping;
    return { sockets: this.#sessions.size - sleeping, sleeping, ...this.#context.rooms.counts() };
  }

  /** Open sockets at the moment, by version. */
  openSockets(): Record<Version, number> {
    const counts = { 2: 0, 3: 0 };
    for (const { version, asleep } of this.#sessions) if (!asleep) counts[version]++;
    return counts;
  }

  /** Members of rooms whose peers are of this process, by version. */
  addresses(): Record<Version, number> {
    const counts = { 2: 0, 3: 0 };
    for (const session of this.#sessions) {
      counts[session.version] += this.#context.rooms.standings(session).length;
    }
    return counts;
  }

  /** Rooms for the administrator: see `Administration`. */
  rooms(after: string, limit: number): Promise<readonly RoomEntry[]> {
    return this.#context.rooms.rooms(after, limit);
  }

  async peers(room: string, after: string, limit: number): Promise<readonly PeerEntry[] | undefined> {
    const members = await this.#context.rooms.members(room, after, limit);
    if (members.length === 0 && after === "") return undefined;
    return members.map(({ ident, since, peer, node }) => ({
      ident,
      since: new Date(since).toISOString(),
      ...peer?.describe(addressText(room, ident)),
      ...node === undefined ? {} : { node },
    }));
  }

  /** What has become of the links between the peers of a room. */
  links(room: string): RoomLinks {
    return this.ledger.ofRoom(room);
  }

  async remove(room: string, ident: string): Promise<boolean> {
    return await this.#context.rooms.end(addressText(room, ident), "removed");
  }

  /** Serves a client until its socket is closed for good. */
  accept(client: Client): void {
    const session = new Session(client, this.#context);
    this.opened[client.version]++;
    this.#sessions.add(session);
    this.#connecting.set(session, this.#context.now());
  }

  #tick(): void {
    const now = this.#context.now();
    // Stopped, frozen or asleep: what clients have sent meanwhile is read after the timers that would give them up.
    const stoodStill = now - this.#tickedAt > 2 * TICK;
    const lag = Math.max(0, now - this.#tickedAt - TICK);
    this.onLag?.(lag);
    this.#lags.push(lag);
    if (this.#lags.length > OVERLOAD.ticks) this.#lags.shift();
    this.#tickedAt = now;
    if (stoodStill) {
      for (const session of this.#sessions) session.forgiveSilence();
      for (const session of this.#sleeping.keys()) this.#sleeping.set(session, now);
    }
    const patience = 1000 * this.#context.limits.resume;
    for (const [session, since] of this.#sleeping) {
      if (now - since < patience) break;
      session.giveWay();
    }
    if (now - this.#passesLookedAt >= PASS_INTERVAL) {
      this.#passesLookedAt = now;
      const time = Date.now();
      for (const session of this.#withPasses) {
        if (!session.lookAtPasses(time)) this.#withPasses.delete(session);
      }
    }
    for (const [session, at] of this.#sealed) {
      if (now - at < SEAL_INTERVAL) break;
      this.#seal(session, now);
    }
    const turn = this.#ticks++ % this.#ticksPerLook;
    if (canWatch) {
      for (const session of this.#sessions) {
        if (session.number % this.#ticksPerLook === turn) session.listen(this.#looksPerKeepalive);
      }
    }
    if (now - this.#sweptAt < SWEEP_INTERVAL) return;
    this.#sweptAt = now;
    const handshake = this.#context.limits.handshakeTimeout * 1000;
    for (const [session, since] of this.#connecting) {
      if (!session.connecting) this.#connecting.delete(session);
      // Of a connection that was reset in the midst of its handshake the runtime tells nothing at all.
      else if (now - since >= handshake) session.giveUp("timeout");
    }
    this.#context.tracks.sweep();
    const { traffic } = this;
    traffic.waiting = traffic.mostWaiting = 0;
    for (const session of this.#sessions) {
      session.buryIfDead();
      const { waiting } = session;
      traffic.waiting += waiting;
      traffic.mostWaiting = Math.max(traffic.mostWaiting, waiting);
    }
  }

  #reseal(): void {
    this.#sealTimer = undefined;
    const now = this.#context.now();
    for (const session of this.#stale) this.#seal(session, now);
    this.#stale.clear();
  }

  #seal(session: Session, now: number): void {
    // To the end: they stand in the order of their time.
    this.#sealed.delete(session);
    if (session.reseal()) this.#sealed.set(session, now);
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
    // A balancer, and whatever clients turn to now, is not to see them all in the same moment.
    const sessions = [...this.#sessions];
    const steps = Math.max(1, Math.floor(this.#drainMs / 2 / CLOSING.step));
    const atOnce = Math.max(CLOSING.least, Math.ceil(sessions.length / steps));
    const closeSome = () => {
      for (const session of sessions.splice(0, atOnce)) {
        session.close(CloseCode.restart, "the server restarts");
      }
      if (sessions.length > 0) this.#closing = setTimeout(closeSome, CLOSING.step);
    };
    closeSome();
    if (this.#sessions.size === 0) this.#emptied.resolve();
    return this.#emptied.promise;
  }

  /** Stops looking after sessions, and takes leave of other nodes. */
  async dispose(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#pressureTimer);
    clearTimeout(this.#sealTimer);
    clearTimeout(this.#closing);
    await this.#context.rooms.close();
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
function describe({ whose, version }: Session, { code, call, about }: Refusal): LogFields {
  // The name of a call that there isn't may be anything.
  const name = code === "bad-call" ? undefined : call;
  const what = [name ?? "a message", ...about.map((part) => JSON.stringify(part.slice(0, MAX_ECHO)))].join(
    " ",
  );
  return { code, what, ...whose, version };
}
