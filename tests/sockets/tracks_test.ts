import { makeAddress } from "../../lib/protocol/address.ts";
import { checkOfHead, numberSignal } from "../../lib/protocol/codec.ts";
import { Side } from "../../lib/sockets/ledger.ts";
import { Tracks } from "../../lib/sockets/tracks.ts";
import { assertEquals } from "../kit/assert.ts";

/** A signal, what it begins with, and the track between two members of a room that it leaves. */
function way(from: string, to: string, spelt: (text: string) => string = (text) => text) {
  const member = (ident: string) => ({
    ...makeAddress(`r:${ident}`),
    peer: ident as string | undefined,
    since: 0,
  });
  const side = new Side({ address: makeAddress(`r:${from}`), own: true });
  const text = spelt(JSON.stringify(["signal", `r:${from}`, `r:${to}`, { candidate: null }]));
  const [number, check] = numbers(text);
  const data = text.indexOf(',{"candidate"');
  return { track: { sender: member(from), receiver: member(to), side, check, data }, text, number };
}

function numbers(text: string): [number, number] {
  return [numberSignal(text), checkOfHead()];
}

Deno.test("a track is found by a signal that begins as the first one did, whatever it carries", () => {
  const tracks = new Tracks<string>(10);
  for (const [from, to] of [["alice", "bob"], ['a"b', "c\\d"], ["é☃", "😀"]] as const) {
    const { track, text, number } = way(from, to);
    assertEquals(tracks.find(...numbers(text)), undefined);
    tracks.keep(number, track);
    assertEquals(tracks.find(...numbers(text)), track);
    assertEquals(tracks.find(...numbers(text.replace('{"candidate":null}', "[1,2]"))), track);
  }
});

Deno.test("a signal that has a track's number and is another's does not go that way", () => {
  const tracks = new Tracks<string>(10);
  const { track, text, number } = way("alice", "bob");
  tracks.keep(number, track);
  for (
    const [from, to] of [["alice", "bo"], ["alice", "bobby"], ["alic", "bob"], ["bob", "alice"]] as const
  ) {
    assertEquals(tracks.find(number, way(from, to).track.check), undefined);
  }
  tracks.forget(number);
  assertEquals(tracks.find(...numbers(text)), undefined);
});

Deno.test("an address that is spelt in another way is not remembered", () => {
  const tracks = new Tracks<string>(10);
  for (const [is, spelt] of [["alice", "\\u0061lice"], ['","', '" ,"']] as const) {
    const { track, number } = way("alice", "bob", (text) => text.replace(is, spelt));
    tracks.keep(number, track);
    assertEquals(tracks.size, 0);
  }
});

Deno.test("there are never more tracks than may be", () => {
  const tracks = new Tracks<string>(10);
  for (let i = 0; i < 1000; i++) {
    const { track, number } = way("alice", `bob${i}`);
    tracks.keep(number, track);
    assertEquals(tracks.size <= 10, true);
    assertEquals(tracks.find(number, track.check), track);
  }
});

Deno.test("tracks of members that are gone, and of pairs that are not counted any more, are swept out", () => {
  const tracks = new Tracks<string>(10);
  const ways = ["bob", "carol", "dave", "erin"].map((to) => way("alice", to));
  for (const { number, track } of ways) tracks.keep(number, track);
  tracks.sweep();
  assertEquals(tracks.size, 4);
  const [bob, carol, dave, erin] = ways;
  bob!.track.receiver.peer = undefined;
  carol!.track.sender.peer = undefined;
  dave!.track.side.ended = true;
  tracks.sweep();
  assertEquals(ways.map(({ number, track }) => tracks.find(number, track.check)), [
    undefined,
    undefined,
    undefined,
    erin!.track,
  ]);
});
