/** What every room store has to do: see the contract in `lib/rooms/store.ts`. */

import { assertEquals } from "../kit/assert.ts";
import type { RoomLimits } from "../../lib/limits/limits.ts";
import type { RoomEvents, RoomStore } from "../../lib/rooms/store.ts";

/** One event, as a line such as `b introduced r:bob r:alice initiator`. */
type Line = string;

/** A store under test, and the lines of all events since the last look. */
interface Bench {
  readonly store: RoomStore<string>;
  events(): Promise<Line[]>;
}

const LIMITS: RoomLimits = { maxRoomPeers: 3, maxAddresses: 4, maxRooms: 3 };

/**
 * Registers the tests of one kind of store.
 *
 * @param make makes a store that reports to `events`
 * @param idle resolves when the store has carried out all commands that it was given
 */
export function testStore(
  name: string,
  make: (events: RoomEvents<string>, limits: RoomLimits) => RoomStore<string>,
  idle: () => Promise<void>,
): void {
  function bench(): Bench {
    let lines: Line[] = [];
    const store = make({
      joined: (peer, own) => lines.push(`${peer} joined ${own.text}`),
      introduced: (peer, own, other, initiator) =>
        lines.push(`${peer} introduced ${own.text} ${other.text}${initiator ? " initiator" : ""}`),
      signalled: (peer, own, other, tail) =>
        lines.push(`${peer} signalled ${own.text} ${other.text} ${tail}`),
      replaced: (peer, own, held) => lines.push(`${peer} replaced ${own.text} ${held}`),
      left: (peer, own) => lines.push(`${peer} left ${own.text}`),
      gone: (peer, own, other, reason) => lines.push(`${peer} gone ${own.text} ${other.text} ${reason}`),
      refused: (peer, code, call, about) => lines.push(`${peer} refused ${code} ${call} ${about.join(" ")}`),
    }, LIMITS);
    return {
      store,
      async events() {
        await idle();
        const seen = lines;
        lines = [];
        return seen;
      },
    };
  }

  Deno.test(`${name}: a newcomer is introduced to all members, in the order in which they joined`, async () => {
    const { store, events } = bench();
    store.join("a", "alice", "r");
    store.join("b", "bob", "r");
    assertEquals(await events(), [
      "a joined r:alice",
      "b joined r:bob",
      "a introduced r:alice r:bob",
      "b introduced r:bob r:alice initiator",
    ]);
    store.join("c", "carol", "r");
    assertEquals(await events(), [
      "c joined r:carol",
      "a introduced r:alice r:carol",
      "c introduced r:carol r:alice initiator",
      "b introduced r:bob r:carol",
      "c introduced r:carol r:bob initiator",
    ]);
    assertEquals(store.counts(), { rooms: 1, addresses: 3 });
  });

  Deno.test(`${name}: an address has one holder`, async () => {
    const { store, events } = bench();
    store.join("a", "alice", "r");
    store.join("b", "alice", "r");
    store.join("a", "alice", "r");
    store.join("b", "alice", "s");
    assertEquals(await events(), [
      "a joined r:alice",
      "b refused ident-taken join alice r",
      "a refused ident-taken join alice r",
      "b joined s:alice",
    ]);
  });

  Deno.test(`${name}: rooms with colons are told apart`, async () => {
    const { store, events } = bench();
    store.join("a", "x", "r:s");
    store.join("b", "x", "r");
    store.join("b", "y", "r");
    assertEquals((await events()).filter((line) => line.startsWith("a")), ["a joined r:s:x"]);
  });

  Deno.test(`${name}: only the holder speaks for an address, and only within its room`, async () => {
    const { store, events } = bench();
    store.join("a", "alice", "r");
    store.join("b", "bob", "r");
    store.join("b", "bob", "s");
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

  Deno.test(`${name}: who leaves is told first, then those who stay; the address is free`, async () => {
    const { store, events } = bench();
    store.join("a", "alice", "r");
    store.join("b", "bob", "r");
    store.join("b", "bert", "r");
    await events();
    store.leave("a", "r:bob");
    store.leave("b", "r:bob");
    store.leave("b", "r:bob");
    store.join("a", "bob", "r");
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

  Deno.test(`${name}: a peer that is removed frees its own addresses and no others`, async () => {
    const { store, events } = bench();
    store.join("a", "x", "r");
    store.join("a", "y", "r");
    store.join("a", "x", "s");
    store.join("b", "x", "t");
    store.join("b", "z", "r");
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

  Deno.test(`${name}: with its holder's proof an address is taken over, in a full room too`, async () => {
    const { store, events } = bench();
    const [proof, other] = [1, 2].map((byte) => new Uint8Array(32).fill(byte));
    store.join("a", "alice", "r", proof);
    store.join("a", "second", "s");
    store.join("b", "bob", "r");
    store.join("c", "carol", "r", other);
    await events();
    for (const wrong of [undefined, other, new Uint8Array(32)]) store.join("d", "alice", "r", wrong);
    store.join("d", "bob", "r", proof);
    store.join("a", "alice", "r", proof);
    assertEquals(await events(), [
      ...Array(3).fill("d refused ident-taken join alice r"),
      "d refused ident-taken join bob r",
      "a refused ident-taken join alice r",
    ]);
    store.join("d", "alice", "r", new Uint8Array(proof!));
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
    store.join("e", "alice", "r", proof);
    assertEquals((await events())[0], "d replaced r:alice 0");
    store.remove("a", "closed");
    store.remove("d", "closed");
    assertEquals(await events(), []);
    assertEquals(store.counts(), { rooms: 1, addresses: 3 });
  });

  Deno.test(`${name}: alone in the last room there may be, a member is taken over all the same`, async () => {
    const { store, events } = bench();
    const proof = new Uint8Array(32);
    store.join("a", "x", "r", proof);
    store.join("a", "x", "s");
    store.join("a", "x", "t");
    await events();
    store.join("b", "x", "r", proof);
    assertEquals(await events(), ["a replaced r:x 2", "b joined r:x"]);
  });

  Deno.test(`${name}: limits, at and over`, async () => {
    const { store, events } = bench();
    for (const peer of ["a", "b", "c"]) store.join(peer, peer, "r");
    await events();
    store.join("d", "d", "r");
    store.join("a", "a", "s");
    store.join("a", "a", "t");
    store.join("d", "d", "u");
    store.join("a", "b", "s");
    store.join("a", "c", "s");
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
    store.leave("a", "t:a");
    store.join("d", "d", "u");
    store.leave("b", "r:b");
    store.join("d", "d", "r");
    assertEquals((await events()).filter((line) => /joined|refused/.test(line)), [
      "d joined u:d",
      "d joined r:d",
    ]);
  });
}
