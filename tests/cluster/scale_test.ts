/** Many members: the engine serves all nodes, and no step of its work may hold it up. */

import { assertEquals, assertLess } from "../kit/assert.ts";
import { eventually, missingEngine, storeOptions } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { run } from "../kit/programs.ts";
import { redis } from "../kit/redis.ts";
import { Accounts } from "../../lib/limits/accounts.ts";
import { Source } from "../../lib/limits/source.ts";
import { RedisStore } from "../../lib/rooms/redis.ts";
import type { RoomEvents } from "../../lib/rooms/store.ts";

const MEMBERS = 10_000;
const LOTS = 1_000_000;

/** Milliseconds. */
const LONGEST_STEP = 10;

testWith(
  missingEngine,
  `no step of the engine takes ${LONGEST_STEP} ms with ${MEMBERS} members in rooms of 50`,
  async () => {
    await using engine = await redis();
    // The engine counts time, not work: nothing else on the machine is to come between.
    await run(["chrt", "--fifo", "--pid", "10", String(engine.pid)]).catch(() => {});
    const nothing = () => {};
    const counts = { joined: 0, gone: 0, introduced: 0 };
    const events: RoomEvents<string> = {
      joined: () => counts.joined++,
      introduced: () => counts.introduced++,
      gone: () => counts.gone++,
      signalled: nothing,
      left: nothing,
      ended: nothing,
      evicted: nothing,
      crowded: () => false,
      refused: (_, code) => {
        throw new Error(code);
      },
    };
    const lots = { sockets: LOTS, rooms: LOTS, addresses: LOTS };
    const accounts = new Accounts({ client: lots, site: lots, network: lots });
    const account = accounts.of(Source.of("10.0.0.1"));
    const limits = { maxRoomPeers: 64, maxAddresses: LOTS, maxRooms: LOTS };
    const stores = [1, 2].map(() => new RedisStore(events, limits, () => account, storeOptions(engine)));
    const up = () => eventually("both are up", () => stores.every(({ state }) => state === "up"), 30_000);
    await up();
    for (let at = 0; at < MEMBERS; at += 500) {
      await Promise.all(
        Array.from({ length: 500 }, (_, i) => {
          const number = at + i;
          return stores[number % 2]!.join(`p${number}`, `i${number}`, `room${Math.floor(number / 50)}`);
        }),
      );
    }
    assertEquals(counts.joined, MEMBERS);
    const introductions = MEMBERS * 49;
    await eventually("all are introduced", () => counts.introduced === introductions, 30_000);
    await engine.cli("config", "set", "slowlog-log-slower-than", String(LONGEST_STEP * 1000));
    await engine.cli("slowlog", "reset");
    const slow = async () => assertEquals(await engine.cli("slowlog", "get"), "");

    // All is told anew.
    await engine.cli("client", "kill", "type", "pubsub");
    await eventually("both are cut off", () => stores.every(({ state }) => state !== "up"));
    await up();
    await slow();
    assertEquals(counts, { joined: MEMBERS, gone: 0, introduced: introductions });

    // One takes leave of nobody: what it held is removed for it.
    const at = performance.now();
    await stores[1]!.close();
    await eventually("its members are gone", () => counts.gone === (MEMBERS / 2) * 25, 30_000);
    assertLess(performance.now() - at, 15_000);
    await slow();
    for (let i = 0; i < MEMBERS; i += 2) stores[0]!.remove(`p${i}`, "closed");
    await stores[0]!.close();
    await slow();
    assertEquals((await engine.cli("--raw", "keys", "signal:room:*")).trim(), "");
  },
);
