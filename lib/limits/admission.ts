/** Who may open a socket: decided before the upgrade, so that a refusal costs next to nothing. */

import { type Account, Accounts, type Sleeper } from "./accounts.ts";
import { type ClientLimits, clientRates, holdingLimits } from "./limits.ts";
import type { Source } from "./source.ts";
import type { SourceRates } from "./source_rates.ts";

/** Why a socket was not admitted. */
export type AdmissionRefusal = "server-full" | "client-full" | "network-full" | "connect-rate";

/** Counts open sockets, in all and by client and network, and new ones per second. */
export class Admission {
  readonly #maxSockets: number;
  readonly #accounts: Accounts;
  readonly #rates: SourceRates;
  readonly #now: () => number;
  /** In the order in which they fell asleep. */
  readonly #sleepers = new Set<Sleeper>();
  #open = 0;

  /** `now` is in milliseconds; only differences matter. */
  constructor(limits: ClientLimits, now: () => number) {
    this.#maxSockets = limits.maxSockets;
    this.#accounts = new Accounts(holdingLimits(limits));
    this.#rates = clientRates(limits, limits.connectRate, limits.connectBurst);
    this.#now = now;
  }

  /** Sockets that are open. */
  get sockets(): number {
    return this.#open;
  }

  /** Clients that have a socket open. */
  get clients(): number {
    return this.#accounts.size;
  }

  /**
   * Takes a place for a socket, to be given back with `release`, or says why there is none. What is refused leaves
   * no trace and makes no later attempt harder. Nobody is refused for what others did that are gone, and those who are
   * gone but keep a place give way: the first of them first, of the client or network that has no more places.
   */
  admit(source: Source): Account | AdmissionRefusal {
    if (this.#open >= this.#maxSockets && this.#sleepers.size === 0) return "server-full";
    const account = this.#accounts.of(source);
    const full = account.full("sockets");
    if (full !== undefined && account.oldestSleeper(full) === undefined) {
      return full === "client" ? "client-full" : "network-full";
    }
    if (!this.#rates.take(source, this.#now())) return "connect-rate";
    // Who sleeps in the smallest that is full sleeps in those around it, too.
    account.makeRoom("sockets");
    if (this.#open >= this.#maxSockets) this.#sleepers.values().next().value!.giveWay();
    account.take("sockets");
    this.#open++;
    return account;
  }

  /** The client of a socket is gone, but its place is kept until `release`. */
  rest(account: Account, sleeper: Sleeper): void {
    account.addSleeper(sleeper);
    this.#sleepers.add(sleeper);
  }

  /** Gives back a place that `admit` gave; `sleeper`: who has kept it meanwhile, if anybody has. */
  release(account: Account, sleeper?: Sleeper): void {
    if (sleeper !== undefined && this.#sleepers.delete(sleeper)) account.removeSleeper(sleeper);
    account.giveBack("sockets");
    this.#open--;
  }
}
