/**
 * Hundreds of peers, of which many misbehave. Each place in the storm sees one life after the other.
 *
 * Usage: storm.ts PORT PEERS SEED; orders: `report`, `stop`
 */

import { live, pause, Scope } from "./lives.ts";
import { type Kind, KINDS, type Life, lives } from "./plan.ts";
import { obey } from "./program.ts";

/** What has come to pass since the start. */
export interface StormReport {
  /** How many lives of a kind ended how. */
  readonly ends: Readonly<Record<Kind, Readonly<Record<string, number>>>>;
  /** Joins of the watched room that the server confirmed. */
  readonly confirmed: number;
}

/** Milliseconds in which all peers have come. */
const ARRIVAL = 1000;

/** Milliseconds; who lives longer than that waits for something that the server does not do. */
const LONGEST_LIFE = 20_000;

/** Different ends of a kind that are told apart: messages of errors may differ without end. */
const MAX_ENDS = 20;

class Storm {
  readonly #port: number;
  readonly #ends = new Map<Kind, Map<string, number>>(KINDS.map((kind) => [kind, new Map()]));
  readonly #scopes = new Set<Scope>();
  #confirmed = 0;
  #stopped = false;

  constructor(port: number) {
    this.#port = port;
  }

  /** Lives one life after the other, until stopped. */
  async inhabit(plan: Iterable<Life>): Promise<void> {
    for (const life of plan) {
      if (this.#stopped) return;
      const end = await this.#live(life);
      if (this.#stopped) return;
      this.#count(life.kind, end);
      await pause(life.rest);
    }
  }

  /** All peers are gone at once, in the midst of what they do. */
  stop(): void {
    this.#stopped = true;
    for (const scope of this.#scopes) scope[Symbol.dispose]();
  }

  report(): StormReport {
    const ends = Object.fromEntries([...this.#ends].map(([kind, ends]) => [kind, Object.fromEntries(ends)]));
    return { ends: ends as StormReport["ends"], confirmed: this.#confirmed };
  }

  async #live(life: Life): Promise<string> {
    using scope = new Scope(this.#port);
    this.#scopes.add(scope);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      scope[Symbol.dispose]();
    }, LONGEST_LIFE);
    try {
      return await live(life, scope);
    } catch (error) {
      return late ? "waited in vain" : `failed: ${(error as Error).message}`;
    } finally {
      clearTimeout(timer);
      this.#scopes.delete(scope);
      this.#confirmed += scope.confirmed;
    }
  }

  #count(kind: Kind, end: string): void {
    const ends = this.#ends.get(kind)!;
    const name = ends.has(end) || ends.size < MAX_ENDS ? end : "ended otherwise";
    ends.set(name, (ends.get(name) ?? 0) + 1);
  }
}

if (import.meta.main) {
  const [port = 0, peers = 0, seed = 0] = Deno.args.map(Number);
  const storm = new Storm(port);
  for (let place = 0; place < peers; place++) {
    setTimeout(() => storm.inhabit(lives(seed, place, peers)), place / peers * ARRIVAL);
  }
  await obey((order) => {
    if (order === "stop") storm.stop();
    return Promise.resolve(storm.report());
  });
}
