import { RedisStore } from "../../lib/rooms/redis.ts";
import { storeOptions } from "../kit/cluster.ts";
import { missingBinaries } from "../kit/parts.ts";
import { type Redis, redis } from "../kit/redis.ts";
import { testStore } from "./store_conformance.ts";

const missing = missingBinaries("redis-server", "redis-cli");

const PREFIX = "test:";

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

let engine: Redis | undefined;
Deno.test.afterAll(async () => await engine?.[Symbol.asyncDispose]());

testStore("Redis", {
  missing,
  async make(events, limits, accountOf) {
    engine ??= await redis();
    const store = new RedisStore(events, limits, accountOf, storeOptions(engine, PREFIX));
    await until(() => store.state === "up");
    return store;
  },
  async idle(store) {
    // What a node hears behind all that its commands have led to: the last of them has been carried out by then.
    const cluster = store as RedisStore<string>;
    await store.rooms("", 1);
    const { node, probedAt } = cluster.figures();
    await engine!.cli("publish", `${PREFIX}inbox:${node}`, "1P");
    await until(() => cluster.figures().probedAt !== probedAt);
  },
});
