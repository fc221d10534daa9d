/** What clients, and the networks that they are a part of, hold of the server at the moment. */

import type { Source, Tier } from "./source.ts";

/** What can be held. `rooms` are those whose eldest member is of this client: see the memory store. */
export type Held = "sockets" | "rooms" | "addresses";

/** How much of each one client may hold, one site, and one network. */
export type HoldingLimits = Readonly<Record<Tier, Readonly<Record<Held, number>>>>;

/** Holds a place, and gives it back when it is told to: a session that waits for its client to come back. */
export interface Sleeper {
  /** Gives back all that it holds, at once. */
  giveWay(): void;
}

/** A client, or a network of clients. It stands in `home` for as long as it holds anything. */
class Holder {
  readonly tier: Tier;
  readonly #home: Map<string, Holder>;
  readonly #key: string;
  readonly #held: Record<Held, number> = { sockets: 0, rooms: 0, addresses: 0 };
  /** In the order in which they fell asleep. Most holders have none. */
  #sleepers?: Set<Sleeper>;

  constructor(tier: Tier, home: Map<string, Holder>, key: string) {
    this.tier = tier;
    this.#home = home;
    this.#key = key;
  }

  count(what: Held): number {
    return this.#held[what];
  }

  get oldestSleeper(): Sleeper | undefined {
    return this.#sleepers?.values().next().value;
  }

  addSleeper(sleeper: Sleeper): void {
    (this.#sleepers ??= new Set()).add(sleeper);
  }

  removeSleeper(sleeper: Sleeper): void {
    this.#sleepers?.delete(sleeper);
    if (this.#sleepers?.size === 0) this.#sleepers = undefined;
  }

  add(what: Held, count: 1 | -1): void {
    const held = this.#held;
    if (held[what] + count < 0) throw new Error(`a ${this.tier} gives back ${what} that it does not hold`);
    held[what] += count;
    if (held.sockets + held.rooms + held.addresses === 0) this.#home.delete(this.#key);
    else this.#home.set(this.#key, this);
  }
}

/** The account of one client: all its sockets share it. Without a socket nothing else may be taken by it. */
export class Account {
  readonly source: Source;
  readonly #holders: readonly Holder[];
  readonly #limits: HoldingLimits;

  constructor(source: Source, holders: readonly Holder[], limits: HoldingLimits) {
    this.source = source;
    this.#holders = holders;
    this.#limits = limits;
  }

  /** How many the client holds. */
  count(what: Held): number {
    return this.#holders[0]!.count(what);
  }

  /** The smallest of the client and its networks that may not hold another. */
  full(what: Held): Tier | undefined {
    return this.#holders.find((holder) => holder.count(what) >= this.#limits[holder.tier][what])?.tier;
  }

  /** Takes one, whether or not there may be another. */
  take(what: Held): void {
    for (const holder of this.#holders) holder.add(what, 1);
  }

  giveBack(what: Held): void {
    for (const holder of this.#holders) holder.add(what, -1);
  }

  /** One of the client's sockets is left by its client, and its place is kept for a while. */
  addSleeper(sleeper: Sleeper): void {
    for (const holder of this.#holders) holder.addSleeper(sleeper);
  }

  removeSleeper(sleeper: Sleeper): void {
    for (const holder of this.#holders) holder.removeSleeper(sleeper);
  }

  /** Of the client, or of one of its networks, who has slept for the longest. */
  oldestSleeper(tier: Tier): Sleeper | undefined {
    return this.#holders.find((holder) => holder.tier === tier)?.oldestSleeper;
  }

  /** Lets sleepers give way where there can't be another otherwise. Returns whether there can be one now. */
  makeRoom(what: Held): boolean {
    for (;;) {
      const tier = this.full(what);
      if (tier === undefined) return true;
      const sleeper = this.oldestSleeper(tier);
      if (sleeper === undefined) return false;
      sleeper.giveWay();
    }
  }
}

/** The accounts of all clients that hold anything: never more than there are sockets. */
export class Accounts {
  readonly #limits: HoldingLimits;
  readonly #holders: Readonly<Record<Tier, Map<string, Holder>>> = {
    client: new Map(),
    site: new Map(),
    network: new Map(),
  };
  readonly #accounts = new WeakMap<Holder, Account>();

  constructor(limits: HoldingLimits) {
    this.#limits = limits;
  }

  /** Clients that hold anything. */
  get size(): number {
    return this.#holders.client.size;
  }

  /** The account of a client: the same for as long as it holds anything. Who holds nothing leaves no trace here. */
  of(source: Source): Account {
    const holders = source.parts.map(({ tier, mask }) => {
      const home = this.#holders[tier];
      const key = `${source.high}:${(source.low & mask) >>> 0}`;
      return home.get(key) ?? new Holder(tier, home, key);
    });
    const client = holders[0]!;
    const account = this.#accounts.get(client) ?? new Account(source, holders, this.#limits);
    this.#accounts.set(client, account);
    return account;
  }
}
