/** What every room store has to do: see the contract in `lib/rooms/store.ts`. */

import { assertEquals } from "../kit/assert.ts";
import { testWith } from "../kit/parts.ts";
import { type Account, Accounts } from "../../lib/limits/accounts.ts";
import type { RoomLimits } from "../../lib/limits/limits.ts";
import { Source } from "../../lib/limits/source.ts";
import type { RoomEvents, RoomStore } from "../../lib/rooms/store.ts";

/** One event, as a line such as `b introduced r:bob r:alice initiator`. */
type Line = string;

/** A store under test, and the lines of all events since the last look. */
interface Bench {
  readonly store: RoomStore<string>;
  /** Peers that give way where a newcomer finds no place. */
  readonly asleep: Set<string>;
  /** What the client of a peer holds, as `2 rooms, 3 addresses`. */
  held(peer: string): string;
  events(): Promise<Line[]>;
}

/** Of a client: peers whose names begin with the same letter are one. */
const CLIENT_LIMITS = { sockets: 100, rooms: 4, addresses: 6 };

const LIMITS: RoomLimits = { maxRoomPeers: 3, maxAddresses: 4, maxRooms: 3 };

/** How a kind of store is had. */
interface Kind {
  /** Why it can't be tested on this machine. */
  readonly missing?: string | undefined;
  /** Makes a store that reports to `events`. */
  make(
    events: RoomEvents<string>,
    limits: RoomLimits,
    accountOf: (peer: string) => Account,
  ): Promise<RoomStore<string>>;
  /** Resolves when a store has carried out all commands that it was given. */
  idle(store: RoomStore<string>): Promise<void>;
}

/** Registers the tests of one kind of store. */
export function testStore(name: string, { missing, make, idle }: Kind): void {
  const made: RoomStore<string>[] = [];
  const test = (what: string, body: () => Promise<void>) =>
    testWith(missing, `${name}: ${what}`, async () => {
      try {
        await body();
      } finally {
        await Promise.all(made.splice(0).map((store) => store.close()));
      }
    });

  async function bench(limits: RoomLimits = LIMITS): Promise<Bench> {
    let lines: Line[] = [];
    const asleep = new Set<string>();
    const accounts = new Accounts({ client: CLIENT_LIMITS, site: CLIENT_LIMITS, network: CLIENT_LIMITS });
    const accountOf = (peer: string) => accounts.of(Source.of(`10.0.0.${peer.charCodeAt(0)}`));
    const store: RoomStore<string> = await make(
      {
        joined: (peer, own) => lines.push(`${peer} joined ${own.text}`),
        introduced: (peer, own, other, initiator, info = "") =>
          lines.push(`${peer} introduced ${own.text} ${other.text}${initiator ? " initiator" : ""}${info}`),
        signalled: (peer, own, other, tail) =>
          lines.push(`${peer} signalled ${own.text} ${other.text} ${tail}`),
        ended: (peer, own, reason, held) => lines.push(`${peer} ${reason} ${own.text} ${held}`),
        crowded(peer, what, members) {
          const sleeper = what === "room"
            ? [...members].find((member) => asleep.has(member))
            : [...asleep].find((other) => other[0] === peer[0]);
          if (sleeper === undefined) return false;
          asleep.delete(sleeper);
          lines.push(`${sleeper} gave way`);
          store.remove(sleeper, "timeout");
          return true;
        },
        left: (peer, own) => lines.push(`${peer} left ${own.text}`),
        gone: (peer, own, other, reason) => lines.push(`${peer} gone ${own.text} ${other.text} ${reason}`),
        evicted: (peer) => lines.push(`${peer} evicted`),
        refused: (peer, code, call, about) =>
          lines.push(`${peer} refused ${code} ${call} ${about.join(" ")}`),
      },
      limits,
      accountOf,
    );
    made.push(store);
    return {
      store,
      asleep,
      held: (peer) =>
        `${accountOf(peer).count("rooms")} rooms, ${accountOf(peer).count("addresses")} addresses`,
      async events() {
        await idle(store);
        const seen = lines;
        lines = [];
        return seen;
      },
    };
  }

  test(`a newcomer is introduced to all members, in the order in which they joined`, async () => {
    const { store, events } = await bench();
    await store.join("a", "alice", "r");
    await store.join("b", "bob", "r");
    assertEquals(await events(), [
      "a joined r:alice",
      "b joined r:bob",
      "a introduced r:alice r:bob",
      "b introduced r:bob r:alice initiator",
    ]);
    await store.join("c", "carol", "r");
    assertEquals(await events(), [
      "c joined r:carol",
      "a introduced r:alice r:carol",
      "c introduced r:carol r:alice initiator",
      "b introduced r:bob r:carol",
      "c introduced r:carol r:bob initiator",
    ]);
    assertEquals(store.counts(), { rooms: 1, addresses: 3 });
  });

  test(`an address has one holder`, async () => {
    const { store, events } = await bench();
    await store.join("a", "alice", "r");
    await store.join("b", "alice", "r");
    await store.join("a", "alice", "r");
    await store.join("b", "alice", "s");
    assertEquals(await events(), [
      "a joined r:alice",
      "b refused ident-taken join alice r",
      "a refused ident-taken join alice r",
      "b joined s:alice",
    ]);
  });

  test(`rooms with colons are told apart`, async () => {
    const { store, events } = await bench();
    await store.join("a", "x", "r:s");
    await store.join("b", "x", "r");
    await store.join("b", "y", "r");
    assertEquals((await events()).filter((line) => line.startsWith("a")), ["a joined r:s:x"]);
  });

  test(`only the holder speaks for an address, and only within its room`, async () => {
    const { store, events } = await bench();
    await store.join("a", "alice", "r");
    await store.join("b", "bob", "r");
    await store.join("b", "bob", "s");
    await events();
    store.signal("a", "r:alice", "r:bob", ",1]");
    store.signal("a", "r:bob", "r:alice", ",2]");
    store.signal("c", "r:alice", "r:bob", ",3]");
    store.signal("a", "r:alice", "s:bob", ",4]");
    store.signal("a", "r:alice", "r:nobody", ",5]");
    store.signal("a", "r:alice", "r:alice", ",6]");
    assertEquals(await events(), [
      "b signalled r:bob r:alice ,1]",
      "a refused not-a-member signal r:bob r:alice",
      "c refused not-a-member signal r:alice r:bob",
      "a refused no-such-peer signal r:alice s:bob",
      "a refused no-such-peer signal r:alice r:nobody",
      "a signalled r:alice r:alice ,6]",
    ]);
  });

  test(`who leaves is told first, then those who stay; the address is free`, async () => {
    const { store, events } = await bench();
    await store.join("a", "alice", "r");
    await store.join("b", "bob", "r");
    await store.join("b", "bert", "r");
    await events();
    await store.leave("a", "r:bob");
    await store.leave("b", "r:bob");
    await store.leave("b", "r:bob");
    await store.join("a", "bob", "r");
    assertEquals(await events(), [
      "a refused not-a-member leave r:bob",
      "b left r:bob",
      "a gone r:alice r:bob left",
      "b gone r:bert r:bob left",
      "b refused not-a-member leave r:bob",
      "a joined r:bob",
      "a introduced r:alice r:bob",
      "a introduced r:bob r:alice initiator",
      "b introduced r:bert r:bob",
      "a introduced r:bob r:bert initiator",
    ]);
  });

  test(`a peer that is removed frees its own addresses and no others`, async () => {
    const { store, events } = await bench();
    await store.join("a", "x", "r");
    await store.join("a", "y", "r");
    await store.join("a", "x", "s");
    await store.join("b", "x", "t");
    await store.join("b", "z", "r");
    await events();
    store.remove("a", "timeout");
    store.remove("a", "closed");
    store.remove("nobody", "closed");
    assertEquals(await events(), ["b gone r:z r:x timeout", "b gone r:z r:y timeout"]);
    assertEquals(store.counts(), { rooms: 2, addresses: 2 });
    store.remove("b", "closed");
    assertEquals(await events(), []);
    assertEquals(store.counts(), { rooms: 0, addresses: 0 });
  });

  test(`what one peer held another holds, without a word, and its client pays for it`, async () => {
    const { store, events, held } = await bench();
    await store.join("a", "x", "r");
    await store.join("b", "y", "r");
    await store.join("a", "x", "s");
    await events();
    assertEquals([store.handOver("a", "c"), store.handOver("nobody", "c")], [true, true]);
    assertEquals(await events(), []);
    assertEquals(
      [held("a"), held("c"), held("b")],
      ["0 rooms, 0 addresses", "2 rooms, 2 addresses", "0 rooms, 1 addresses"],
    );
    assertEquals(store.standings("c").map(({ text }) => text), ["r:x", "s:x"]);
    assertEquals([store.holds("a", "r:x"), store.holds("c", "r:x")], [false, true]);
    store.signal("b", "r:y", "r:x", ",1]");
    store.signal("a", "r:x", "r:y", ",2]");
    store.remove("a", "closed");
    assertEquals(await events(), ["c signalled r:x r:y ,1]", "a refused not-a-member signal r:x r:y"]);
    store.remove("c", "closed");
    assertEquals(await events(), ["b gone r:y r:x closed"]);
    assertEquals([held("c"), held("b")], ["0 rooms, 0 addresses", "1 rooms, 1 addresses"]);
  });

  test(`nothing is handed over to a client that holds as much as it may`, async () => {
    const { store, events, held } = await bench({ ...LIMITS, maxRoomPeers: 9, maxAddresses: 9 });
    for (const ident of ["1", "2", "3", "4", "5", "6"]) await store.join("b", ident, "r");
    await store.join("a", "x", "r");
    await events();
    assertEquals(store.handOver("a", "b"), false);
    assertEquals([store.holds("a", "r:x"), held("a")], [true, "0 rooms, 1 addresses"]);
  });

  test(`an address is taken away from its holder`, async () => {
    const { store, events } = await bench();
    await store.join("a", "x", "r");
    await store.join("b", "y", "r");
    await store.join("a", "x", "s");
    await events();
    assertEquals([await store.end("r:x", "expired"), await store.end("r:x", "expired")], [true, false]);
    assertEquals(await events(), ["a expired r:x 1", "b gone r:y r:x expired"]);
    await store.end("s:x", "removed");
    assertEquals(await events(), ["a removed s:x 0"]);
    assertEquals(store.standings("a"), []);
    assertEquals(store.counts(), { rooms: 1, addresses: 1 });
  });

  test(`an older claim goes before whoever has only just joined, and a later one before it`, async () => {
    const { store, events } = await bench();
    await store.join("a", "x", "r");
    await store.join("b", "x", "r", { since: 1000 });
    assertEquals(await events(), ["a joined r:x", "a replaced r:x 0", "b joined r:x"]);
    await store.join("c", "x", "r", { since: 1000 });
    await store.join("c", "x", "r", { since: 999 });
    await store.join("c", "x", "r");
    assertEquals(await events(), Array(3).fill("c refused ident-taken join x r"));
    await store.join("c", "x", "r", { since: 1001 });
    assertEquals(await events(), ["b replaced r:x 0", "c joined r:x"]);
    assertEquals(store.standings("c")[0]!.since, 1001);
  });

  test(`what the server vouches for is told to both sides of an introduction`, async () => {
    const { store, events } = await bench();
    await store.join("a", "x", "r", { info: '{"a":1}' });
    await store.join("b", "y", "r", { info: '{"b":2}' });
    assertEquals((await events()).slice(2), [
      'a introduced r:x r:y{"b":2}',
      'b introduced r:y r:x initiator{"a":1}',
    ]);
  });

  test(`who is not there any more gives way to a newcomer`, async () => {
    const { store, events, asleep } = await bench();
    for (const peer of ["a", "b", "c"]) await store.join(peer, peer, "r");
    await store.join("d", "d", "r");
    assertEquals((await events()).at(-1), "d refused room-full join d r");
    asleep.add("b");
    await store.join("d", "d", "r");
    assertEquals(await events(), [
      "b gave way",
      "a gone r:a r:b timeout",
      "c gone r:c r:b timeout",
      "d joined r:d",
      "a introduced r:a r:d",
      "d introduced r:d r:a initiator",
      "c introduced r:c r:d",
      "d introduced r:d r:c initiator",
    ]);
    await store.join("e1", "1", "s");
    for (const ident of ["1", "2", "3"]) await store.join("e2", ident, "t");
    await store.join("e3", "2", "s");
    await store.join("e3", "3", "s");
    await events();
    asleep.add("e1");
    await store.join("e4", "x", "t");
    assertEquals(await events(), [
      "e1 gave way",
      "e3 gone s:2 s:1 timeout",
      "e3 gone s:3 s:1 timeout",
      "e4 refused room-full join x t",
    ]);
  });

  test(`rooms and their members are listed in pages, by name`, async () => {
    const { store, events } = await bench();
    for (const room of ["b", "a", "c"]) await store.join("a", "x", room);
    await store.join("b", "z", "a");
    await store.join("c", "y", "a");
    await events();
    assertEquals(await store.rooms("", 2), [{ room: "a", peers: 3 }, { room: "b", peers: 1 }]);
    assertEquals(await store.rooms("b", 2), [{ room: "c", peers: 1 }]);
    const members = async (after: string, limit: number) =>
      (await store.members("a", after, limit)).map(({ ident, peer }) => `${ident} ${peer}`);
    assertEquals(await members("", 2), ["x a", "y c"]);
    assertEquals(await members("y", 2), ["z b"]);
    assertEquals(await store.members("nowhere", "", 9), []);
  });

  test(`with its holder's proof an address is taken over, in a full room too`, async () => {
    const { store, events } = await bench();
    const [proof, other] = [1, 2].map((byte) => new Uint8Array(32).fill(byte));
    await store.join("a", "alice", "r", { proof });
    await store.join("a", "second", "s");
    await store.join("b", "bob", "r");
    await store.join("c", "carol", "r", { proof: other });
    await events();
    for (const wrong of [undefined, other, new Uint8Array(32)]) {
      await store.join("d", "alice", "r", { proof: wrong });
    }
    await store.join("d", "bob", "r", { proof });
    await store.join("a", "alice", "r", { proof });
    assertEquals(await events(), [
      ...Array(3).fill("d refused ident-taken join alice r"),
      "d refused ident-taken join bob r",
      "a refused ident-taken join alice r",
    ]);
    await store.join("d", "alice", "r", { proof: new Uint8Array(proof!) });
    assertEquals(await events(), [
      "a replaced r:alice 1",
      "b gone r:bob r:alice replaced",
      "c gone r:carol r:alice replaced",
      "d joined r:alice",
      "b introduced r:bob r:alice",
      "d introduced r:alice r:bob initiator",
      "c introduced r:carol r:alice",
      "d introduced r:alice r:carol initiator",
    ]);
    assertEquals([store.holds("a", "r:alice"), store.holds("d", "r:alice")], [false, true]);
    await store.join("e", "alice", "r", { proof });
    assertEquals((await events())[0], "d replaced r:alice 0");
    store.remove("a", "closed");
    store.remove("d", "closed");
    assertEquals(await events(), []);
    assertEquals(store.counts(), { rooms: 1, addresses: 3 });
  });

  test(`alone in the last room there may be, a member is taken over all the same`, async () => {
    const { store, events } = await bench();
    const proof = new Uint8Array(32);
    await store.join("a", "x", "r", { proof });
    await store.join("a", "x", "s");
    await store.join("a", "x", "t");
    await events();
    await store.join("b", "x", "r", { proof });
    assertEquals(await events(), ["a replaced r:x 2", "b joined r:x"]);
  });

  test(`limits, at and over`, async () => {
    const { store, events } = await bench();
    for (const peer of ["a", "b", "c"]) await store.join(peer, peer, "r");
    await events();
    await store.join("d", "d", "r");
    await store.join("a", "a", "s");
    await store.join("a", "a", "t");
    await store.join("d", "d", "u");
    await store.join("a", "b", "s");
    await store.join("a", "c", "s");
    assertEquals(await events(), [
      "d refused room-full join d r",
      "a joined s:a",
      "a joined t:a",
      "d refused unavailable join d u",
      "a joined s:b",
      "a introduced s:a s:b",
      "a introduced s:b s:a initiator",
      "a refused too-many-addresses join c s",
    ]);
    await store.leave("a", "t:a");
    await store.join("d", "d", "u");
    await store.leave("b", "r:b");
    await store.join("d", "d", "r");
    assertEquals((await events()).filter((line) => /joined|refused/.test(line)), [
      "d joined u:d",
      "d joined r:d",
    ]);
  });

  const WIDE: RoomLimits = { maxRoomPeers: 100, maxAddresses: 100, maxRooms: 100 };

  test(`all peers of a client share its rooms and addresses`, async () => {
    const { store, events, held } = await bench(WIDE);
    for (const [peer, room] of [["a1", "r"], ["a2", "s"], ["a3", "t"], ["a4", "u"]] as const) {
      await store.join(peer, "x", room);
    }
    await events();
    await store.join("a1", "x", "v");
    await store.join("a1", "y", "r");
    await store.join("a2", "z", "r");
    await store.join("a5", "one", "r");
    await store.join("b", "x", "v");
    await store.join("a5", "x", "v");
    assertEquals((await events()).filter((line) => /joined|refused/.test(line)), [
      "a1 refused unavailable join x v",
      "a1 joined r:y",
      "a2 joined r:z",
      "a5 refused too-many-addresses join one r",
      "b joined v:x",
      "a5 refused ident-taken join x v",
    ]);
    assertEquals([held("a"), held("b")], ["4 rooms, 6 addresses", "1 rooms, 1 addresses"]);
    store.remove("a2", "closed");
    assertEquals(held("a"), "3 rooms, 4 addresses");
    await store.leave("a1", "r:x");
    assertEquals(held("a"), "3 rooms, 3 addresses");
    for (const peer of ["a1", "a3", "a4", "b"]) store.remove(peer, "closed");
    assertEquals([held("a"), held("b")], ["0 rooms, 0 addresses", "0 rooms, 0 addresses"]);
  });

  test(`a room is its eldest member's, who need not have founded it`, async () => {
    const { store, events, held } = await bench(WIDE);
    const rooms = ["r", "s", "t", "u"];
    for (const room of rooms) {
      for (const peer of ["a", "b", "c"]) await store.join(peer, peer, room);
    }
    await store.join("b", "b", "own");
    assertEquals(["a", "b", "c"].map(held), [
      "4 rooms, 4 addresses",
      "1 rooms, 5 addresses",
      "0 rooms, 4 addresses",
    ]);
    await store.leave("c", "r:c");
    store.remove("a", "closed");
    assertEquals(["a", "b", "c"].map(held), [
      "0 rooms, 0 addresses",
      "5 rooms, 5 addresses",
      "0 rooms, 3 addresses",
    ], "b inherits more than it might have founded");
    await events();
    await store.join("b", "b", "another");
    await store.join("a", "a", "another");
    assertEquals((await events()).map((line) => line.split(" ").slice(0, 3).join(" ")), [
      "b refused unavailable",
      "a joined another:a",
    ]);
    store.remove("b", "closed");
    assertEquals(["a", "b", "c"].map(held), [
      "1 rooms, 1 addresses",
      "0 rooms, 0 addresses",
      "3 rooms, 3 addresses",
    ]);
    store.remove("c", "closed");
    await events();
    assertEquals([held("c"), store.counts()], ["0 rooms, 0 addresses", { rooms: 1, addresses: 1 }]);
  });

  test(`an address that is taken over counts for its new holder`, async () => {
    const { store, held } = await bench(WIDE);
    const proof = new Uint8Array(32);
    await store.join("a", "x", "r", { proof });
    await store.join("b", "x", "r", { proof });
    assertEquals([held("a"), held("b")], ["0 rooms, 0 addresses", "1 rooms, 1 addresses"]);
  });
}
