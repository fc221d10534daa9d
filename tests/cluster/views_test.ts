/** What a node takes to be in a room, where joins and departures of its own cross each other on the way to the engine. */

import { Accounts } from "../../lib/limits/accounts.ts";
import { Source } from "../../lib/limits/source.ts";
import { RedisStore } from "../../lib/rooms/redis.ts";
import { assertEquals } from "../kit/assert.ts";
import { eventually, missingEngine, storeOptions } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { redis } from "../kit/redis.ts";

testWith(
  missingEngine,
  "who joins while all others of the node depart, and one who is gone joins, is introduced to everybody",
  async () => {
    await using engine = await redis();
    const lines: string[] = [];
    const nothing = () => {};
    const lots = { sockets: 100, rooms: 100, addresses: 100 };
    const accounts = new Accounts({ client: lots, site: lots, network: lots });
    const stores = [1, 2].map(() =>
      new RedisStore<string>(
        {
          joined: nothing,
          introduced: (peer, _, other, initiator) => lines.push(`${peer} ${other.text} ${initiator}`),
          gone: nothing,
          signalled: nothing,
          left: nothing,
          ended: nothing,
          evicted: nothing,
          crowded: () => false,
          refused: (peer, code) => lines.push(`${peer} ${code}`),
        },
        { maxRoomPeers: 64, maxAddresses: 64, maxRooms: 64 },
        () => accounts.of(Source.of("10.0.0.1")),
        storeOptions(engine),
      )
    );
    const [here, there] = stores as [RedisStore<string>, RedisStore<string>];
    await eventually("both are up", () => stores.every(({ state }) => state === "up"));
    await there.join("w", "w", "r");
    await here.join("x", "x", "r");
    lines.length = 0;
    // All in one go: when the last join is sent the room is still known here; when it is answered it isn't any more, and the
    // engine has counted the zombie among this node's members.
    here.join("zombie", "zombie", "r");
    here.remove("zombie", "closed");
    here.remove("x", "closed");
    await here.join("y", "y", "r");
    await eventually("the two are introduced", () => lines.some((line) => line.startsWith("y ")));
    assertEquals(lines.filter((line) => line.startsWith("y ")), ["y r:w true"]);
    assertEquals(lines.filter((line) => line.startsWith("w r:y")), ["w r:y false"]);
    await Promise.all(stores.map((store) => store.close()));
  },
);
