/** Who may open a socket: decided before the upgrade, so that a refusal costs next to nothing. */

import { type Account, Accounts } from "./accounts.ts";
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
   * no trace and makes no later attempt harder. Nobody is refused for what others did that are gone.
   */
  admit(source: Source): Account | AdmissionRefusal {
    if (this.#open >= this.#maxSockets) return "server-full";
    const account = this.#accounts.of(source);
    const full = account.full("sockets");
    if (full !== undefined) return full === "client" ? "client-full" : "network-full";
    if (!this.#rates.take(source, this.#now())) return "connect-rate";
    account.take("sockets");
    this.#open++;
    return account;
  }

  /** Gives back a place that `admit` gave. */
  release(account: Account): void {
    account.giveBack("sockets");
    this.#open--;
  }
}
