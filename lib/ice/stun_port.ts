/** STUN on one UDP port of this machine, whatever becomes of its addresses and of whoever holds the port now. */

import type { Log } from "../runtime/log.ts";
import { localAddresses } from "../runtime/process.ts";
import { listenStun, type StunBudget, type StunCounts, type StunServer } from "./stun_server.ts";

export interface StunPortOptions {
  /** Addresses; `::` is every one, `0.0.0.0` every one of IPv4. */
  readonly hosts: readonly string[];
  /** 0 takes a free one. */
  readonly port: number;
  readonly budget: StunBudget;
  readonly log: Log;
  readonly now: () => number;
}

/** Milliseconds between two looks at the machine's addresses. */
const LOOK_INTERVAL = 5000;

/**
 * A socket for each local address: from one for all of them an answer leaves with the address of its route, and whoever
 * has asked another does not take it for an answer (RFC 8489 section 6.3.1). Where the addresses may not be read
 * (`--allow-sys=networkInterfaces`) it is one for all.
 */
export class StunPort {
  readonly #options: StunPortOptions;
  readonly #servers = new Map<string, StunServer>();
  readonly #failed = new Set<string>();
  readonly #timer: ReturnType<typeof setInterval>;
  #port: number;
  /** Of sockets that are closed by now. */
  readonly #former: StunCounts = { answered: 0, ignored: 0, limited: 0, errors: 0, pauses: 0 };

  constructor(options: StunPortOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL);
  }

  /** The port that was taken; before that the one that is asked for. */
  get port(): number {
    return this.#port;
  }

  /** The addresses on which STUN is answered at the moment. */
  get hostnames(): string[] {
    return [...this.#servers.keys()];
  }

  /** Since the start. */
  counts(): StunCounts {
    const sum = { ...this.#former };
    for (const { counts } of this.#servers.values()) addCounts(sum, counts);
    return sum;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const hostname of this.#servers.keys()) this.#close(hostname);
  }

  #look(): void {
    const { hosts, log } = this.#options;
    const wanted = new Set(hosts.flatMap(addressesOf));
    for (const hostname of this.#servers.keys()) {
      if (!wanted.has(hostname)) this.#close(hostname);
    }
    const opened: string[] = [];
    for (const hostname of wanted) {
      if (!this.#servers.has(hostname) && this.#open(hostname)) opened.push(hostname);
    }
    if (opened.length === 0) return;
    log.info(`STUN is answered on UDP port ${this.#port} of ${opened.join(", ")}`, {
      stunPort: this.#port,
      stunHost: opened.join(","),
    });
  }

  #open(hostname: string): boolean {
    const { budget, log, now } = this.#options;
    try {
      const onError = (error: unknown) => log.warn("STUN: {error}", { error: String(error) });
      const server = listenStun({ hostname, port: this.#port, now, onError, budget });
      this.#servers.set(hostname, server);
      this.#failed.delete(hostname);
      this.#port = server.port;
      return true;
    } catch (error) {
      // In the wake of :: it is what a machine says whose IPv6 sockets take IPv4 as well; without IPv6 there is only this.
      const spare = hostname === "0.0.0.0" && this.#servers.has("::") || hostname === "::" && isNoIpv6(error);
      if (!spare && !this.#failed.has(hostname)) {
        const why = error instanceof Deno.errors.AddrInUse ? "it is in use" : (error as Error).message;
        log.warn(
          `No STUN on UDP port ${this.#port} of ${hostname}: ${why}. Going on without, and trying again; ` +
            "--stun-port takes another, or off.",
        );
      }
      this.#failed.add(hostname);
      return false;
    }
  }

  #close(hostname: string): void {
    const server = this.#servers.get(hostname)!;
    this.#servers.delete(hostname);
    addCounts(this.#former, server.counts);
    server.close();
  }
}

export function addCounts(sum: StunCounts, more: Readonly<StunCounts>): void {
  for (const what of Object.keys(sum) as (keyof StunCounts)[]) sum[what] += more[what];
}

function isNoIpv6(error: unknown): boolean {
  return error instanceof Deno.errors.AddrNotAvailable || /address family/i.test(String(error));
}

/** Every address that stands for this one; link-local ones are none that a client could be told of. */
function addressesOf(host: string): string[] {
  if (host !== "::" && host !== "0.0.0.0") return [host];
  const all = localAddresses()?.filter((address) => !/^fe[89ab]/i.test(address));
  if (all === undefined || all.length === 0) return host === "::" ? ["::", "0.0.0.0"] : ["0.0.0.0"];
  return host === "::" ? all : all.filter((address) => !address.includes(":"));
}
