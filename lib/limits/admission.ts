/** Who may open a socket: decided before the upgrade, so that a refusal costs next to nothing. */

import { TokenBucket } from "./token_bucket.ts";

export interface AdmissionLimits {
  /** Sockets in all. */
  readonly maxSockets: number;
  /** Sockets of one client. */
  readonly maxSocketsPerClient: number;
  /** New sockets of one client per second, in the long run. */
  readonly connectRate: number;
  /** New sockets of one client that may come at once after a pause. */
  readonly connectBurst: number;
}

/** Why a socket was not admitted. */
export type AdmissionRefusal = "server-full" | "client-full" | "connect-rate";

interface ClientEntry {
  open: number;
  readonly bucket: TokenBucket;
}

/** A client that was remembered only for its rate is forgotten within that time, in milliseconds. */
const SWEEP_INTERVAL = 10_000;

/** Counts open sockets, and new ones per client. A client is whatever the caller names by a string. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => number;
  readonly #clients = new Map<string, ClientEntry>();
  #open = 0;
  #nextSweep: number;

  /** `now` is in milliseconds; only differences matter. */
  constructor(limits: AdmissionLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#nextSweep = now() + SWEEP_INTERVAL;
  }

  /** Sockets that are open. */
  get sockets(): number {
    return this.#open;
  }

  /** Clients that are remembered. Bounded: see `admit`. */
  get clients(): number {
    return this.#clients.size;
  }

  /**
   * Takes a place for a socket of `client`, to be given back with `release`, or says why there is none. What is
   * refused leaves no trace and makes no later attempt harder.
   */
  admit(client: string): AdmissionRefusal | undefined {
    const { maxSockets, maxSocketsPerClient, connectRate, connectBurst } = this.#limits;
    if (this.#open >= maxSockets) return "server-full";
    let entry = this.#clients.get(client);
    if (entry === undefined) {
      this.#sweep();
      // Each open socket and each recent one may account for an entry, and no more than that is remembered.
      if (this.#clients.size >= 2 * maxSockets + 1024) return "server-full";
      entry = { open: 0, bucket: new TokenBucket(connectBurst, this.#now()) };
      this.#clients.set(client, entry);
    }
    if (entry.open >= maxSocketsPerClient) return "client-full";
    if (!entry.bucket.take(connectRate, connectBurst, this.#now)) return "connect-rate";
    entry.open++;
    this.#open++;
    return undefined;
  }

  /** Gives back a place that `admit` gave. */
  release(client: string): void {
    const entry = this.#clients.get(client);
    if (entry === undefined || entry.open === 0) throw new Error(`no socket of ${client} is open`);
    entry.open--;
    this.#open--;
    this.#sweep();
  }

  #sweep(): void {
    const now = this.#now();
    if (now < this.#nextSweep) return;
    this.#nextSweep = now + SWEEP_INTERVAL;
    const { connectRate, connectBurst } = this.#limits;
    for (const [client, { open, bucket }] of this.#clients) {
      if (open === 0 && bucket.isFull(connectRate, connectBurst, now)) this.#clients.delete(client);
    }
  }
}
