/** Several nodes of a server that share their rooms by way of a real Redis. */

import type { Config } from "../../lib/config/options.ts";
import { parseEngine } from "../../lib/rooms/redis/address.ts";
import type { ClusterOptions } from "../../lib/rooms/redis.ts";
import { log } from "../../lib/runtime/log.ts";
import { missingBinaries } from "./parts.ts";
import { type Redis, redis } from "./redis.ts";
import { type TestServer, testServer } from "./server.ts";

/** Why such tests can't run here. */
export const missingEngine = missingBinaries("redis-server", "redis-cli");

export interface Cluster extends AsyncDisposable {
  readonly nodes: readonly TestServer[];
  readonly engine: Redis;
  /** Resolves when all nodes are up, or not up any more. */
  all(state: "up" | "cut off"): Promise<void>;
  /** Resolves once the engine holds nothing of anybody, but what nodes that run hold of themselves. */
  empty(): Promise<void>;
}

/** Nodes in this process, on a Redis of their own. */
export async function cluster(count: number, options: Partial<Config> = {}): Promise<Cluster> {
  const engine = await redis();
  const nodes = Array.from(
    { length: count },
    () => testServer({ engine: parseEngine(engine.url)!, ...options }),
  );
  const made: Cluster = {
    nodes,
    engine,
    all: (state) =>
      eventually(`all nodes ${state}`, () => nodes.every((node) => node.health().cluster?.engine === state)),
    async empty() {
      const keys = async () => (await engine.cli("--raw", "keys", "signal:*")).split("\n");
      await eventually(
        "nothing left",
        async () => !(await keys()).some((key) => /:(?:room|on|node|rooms|dead)(?::|$)/.test(key)),
      );
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.drain()));
      await engine[Symbol.asyncDispose]();
    },
  };
  try {
    await made.all("up");
    return made;
  } catch (error) {
    await made[Symbol.asyncDispose]();
    throw error;
  }
}

/** With which a store shares the rooms of others of the same engine and prefix. */
export function storeOptions({ url }: Redis, prefix = "signal:"): ClusterOptions {
  return {
    engine: parseEngine(url)!,
    prefix,
    name: "",
    log,
    now: () => performance.now(),
    onFault: (fault) => {
      throw fault;
    },
  };
}

/** Milliseconds in which the members of a node that died are gone: its lease, a beat, and a little. */
export const GONE_WITHIN = 10_500;

/** Resolves once it holds, which is looked at again and again; rejects after a while. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  patienceMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!await holds()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
