import { makeAddress } from "../../lib/protocol/address.ts";
import { numberSignal } from "../../lib/protocol/codec.ts";
import { Side } from "../../lib/sockets/ledger.ts";
import { dataOf, Tracks } from "../../lib/sockets/tracks.ts";
import { assertEquals } from "../kit/assert.ts";

/** A track between two members of a room, and a signal that goes that way. */
function way(from: string, to: string) {
  const member = (ident: string) => ({
    ...makeAddress(`r:${ident}`),
    peer: ident as string | undefined,
    since: 0,
  });
  const side = new Side({ address: makeAddress(`r:${from}`), own: true });
  const track = { sender: member(from), receiver: member(to), side };
  const text = JSON.stringify(["signal", `r:${from}`, `r:${to}`, { candidate: null }]);
  return { track, text, number: numberSignal(text) };
}

Deno.test("a track is found by a signal that begins as the first one did, whatever it carries", () => {
  const tracks = new Tracks<string>(10);
  for (const [from, to] of [["alice", "bob"], ['a"b', "c\\d"], ["é☃", "😀"]] as const) {
    const { track, text, number } = way(from, to);
    assertEquals(tracks.find(number, text), undefined);
    tracks.keep(number, text, track);
    assertEquals(tracks.find(number, text), track);
    assertEquals(text.slice(dataOf(track)), ',{"candidate":null}]');
    const other = text.replace('{"candidate":null}', "[1,2]");
    assertEquals(tracks.find(numberSignal(other), other), track);
  }
});

Deno.test("a signal that has a track's number and is another's does not go that way", () => {
  const tracks = new Tracks<string>(10);
  const { track, text, number } = way("alice", "bob");
  tracks.keep(number, text, track);
  for (
    const [from, to] of [["alice", "bo"], ["alice", "bobby"], ["alic", "bob"], ["bob", "alice"]] as const
  ) {
    assertEquals(tracks.find(number, way(from, to).text), undefined);
  }
  tracks.forget(number);
  assertEquals(tracks.find(number, text), undefined);
});

Deno.test("an address that is spelt in another way is not remembered", () => {
  const tracks = new Tracks<string>(10);
  const { track, text } = way("alice", "bob");
  const spelt = text.replace("alice", "\\u0061lice");
  tracks.keep(numberSignal(spelt), spelt, track);
  assertEquals(tracks.size, 0);
});

Deno.test("there are never more tracks than may be", () => {
  const tracks = new Tracks<string>(10);
  for (let i = 0; i < 1000; i++) {
    const { track, text, number } = way("alice", `bob${i}`);
    tracks.keep(number, text, track);
    assertEquals(tracks.size <= 10, true);
    assertEquals(tracks.find(number, text), track);
  }
});

Deno.test("tracks of members that are gone, and of pairs that are not counted any more, are swept out", () => {
  const tracks = new Tracks<string>(10);
  const ways = ["bob", "carol", "dave", "erin"].map((to) => way("alice", to));
  for (const { number, text, track } of ways) tracks.keep(number, text, track);
  tracks.sweep();
  assertEquals(tracks.size, 4);
  const [bob, carol, dave, erin] = ways;
  bob!.track.receiver.peer = undefined;
  carol!.track.sender.peer = undefined;
  dave!.track.side.ended = true;
  tracks.sweep();
  assertEquals(ways.map(({ number, text }) => tracks.find(number, text)), [
    undefined,
    undefined,
    undefined,
    erin!.track,
  ]);
});
