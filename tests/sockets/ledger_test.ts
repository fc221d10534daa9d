import { makeAddress } from "../../lib/protocol/address.ts";
import { type FailedLink, Ledger, type Party } from "../../lib/sockets/ledger.ts";
import { assertEquals } from "../kit/assert.ts";

const own = (text: string): Party => ({ address: makeAddress(text), own: true });
const away = (text: string): Party => ({ address: makeAddress(text), own: false });
const [ALICE, BOB, CAROL] = [own("r:alice"), own("r:bob"), own("other:carol")];

function bench(maxPairs = 10) {
  const clock = { now: 1000 };
  const failed: FailedLink[] = [];
  const anew: string[] = [];
  const seconds: number[] = [];
  const ledger: Ledger = new Ledger({
    maxPairs,
    now: () => clock.now,
    introduceAnew: (one, other) => anew.push(`${one} ${other}`) > 0,
    onFailed: (link) => failed.push(link),
  });
  ledger.onConnected = (age) => seconds.push(age);
  /** They join, one after the other. */
  const meet = (reports = false) => {
    for (const { address } of [ALICE, BOB]) ledger.joined(address.text, reports);
  };
  /** One signals to the other. */
  const send = (sender: Party, receiver: Party) => {
    const side = ledger.sideOf(sender, receiver);
    if (side !== undefined) side.signals++;
    return side;
  };
  const outcomes = () => Object.fromEntries(ledger.outcomes.totals);
  return { clock, ledger, failed, anew, seconds, meet, send, outcomes };
}

Deno.test("a pair that connects is counted once, with its path and the time since the later one joined", () => {
  const { clock, ledger, seconds, meet, outcomes } = bench();
  ledger.joined("r:alice", false);
  clock.now = 3000;
  ledger.joined("r:bob", false);
  clock.now = 4500;
  ledger.report(BOB, ALICE, { state: "connected", path: "srflx", ms: 1400 });
  ledger.report(ALICE, BOB, { state: "connected", path: "srflx" });
  ledger.report(ALICE, BOB, { state: "interrupted" });
  ledger.report(ALICE, BOB, { state: "connected", path: "relay" });
  assertEquals(ledger.ofRoom("r"), { pairs: 1, connected: 1, failed: [] });
  ledger.departed("r:bob");
  assertEquals(outcomes(), { connected: 1 });
  assertEquals(Object.fromEntries(ledger.paths.totals), { srflx: 1 });
  assertEquals(seconds, [1.5]);
  assertEquals(ledger.size, 0);
  meet();
});

Deno.test("a pair that never connects ends as what was seen of it; of one that says nothing nothing is kept", () => {
  const { ledger, meet, send, outcomes } = bench();
  meet();
  assertEquals(ledger.size, 0);
  ledger.departed("r:alice");
  assertEquals(outcomes(), {});

  meet();
  send(BOB, ALICE);
  ledger.departed("r:alice");
  assertEquals(outcomes(), { unanswered: 1 });

  meet();
  send(BOB, ALICE);
  send(ALICE, BOB);
  ledger.parted("r:alice", "r:bob");
  assertEquals(outcomes(), { unanswered: 1, unreported: 1 });

  meet();
  ledger.report(BOB, ALICE, { state: "failed", why: "no-answer" });
  ledger.departed("r:bob");
  ledger.departed("r:alice");
  assertEquals(outcomes(), { unanswered: 1, unreported: 1, failed: 1 });
});

Deno.test("a pair that stalls is introduced anew once, where both report; then its failure is told", () => {
  const { clock, ledger, failed, anew, meet, send, outcomes } = bench();
  meet(true);
  send(BOB, ALICE);
  ledger.report(BOB, ALICE, { state: "failed", why: "no-answer" });
  assertEquals(anew, ["r:bob r:alice"]);
  assertEquals(failed, []);
  // What was before does not count for the second attempt.
  clock.now = 3500;
  ledger.report(BOB, ALICE, { state: "failed", why: "ice-failed" });
  ledger.report(ALICE, BOB, { state: "failed", why: "ice-failed" });
  assertEquals(anew.length, 1);
  const told = { own: "r:bob", other: "r:alice", why: "ice-failed", sent: 0, received: 0, seconds: 2.5 };
  assertEquals(failed, [told]);
  assertEquals(ledger.ofRoom("r"), { pairs: 1, connected: 0, failed: [told] });
  ledger.report(BOB, ALICE, { state: "connected" });
  assertEquals([ledger.anew, ledger.healed], [1, 1]);
  ledger.departed("r:bob");
  assertEquals(outcomes(), { connected: 1 });
});

Deno.test("a pair that departs in the midst of its second attempt has failed", () => {
  const { ledger, meet, send, outcomes } = bench();
  meet(true);
  ledger.report(BOB, ALICE, { state: "failed" });
  send(BOB, ALICE);
  send(ALICE, BOB);
  ledger.departed("r:bob");
  assertEquals(outcomes(), { failed: 1 });
});

Deno.test("a pair is not introduced anew where one side does not report, is elsewhere, or says that all is well", () => {
  const { ledger, failed, anew, meet } = bench();
  meet();
  ledger.reports("r:bob");
  ledger.report(BOB, ALICE, { state: "failed", why: "no-answer" });
  assertEquals([anew.length, failed.length], [0, 1]);
  ledger.departed("r:alice");

  ledger.report(BOB, away("r:alice"), { state: "failed" });
  assertEquals([anew.length, failed.length], [0, 2]);
  ledger.departed("r:bob");

  meet(true);
  ledger.report(ALICE, BOB, { state: "connected" });
  ledger.report(BOB, ALICE, { state: "failed" });
  assertEquals([anew.length, failed.length], [0, 3]);
});

Deno.test("of pairs on two nodes one of them counts it, whichever is asked", () => {
  const [here, there] = [bench(), bench()];
  here.ledger.report(ALICE, away("r:bob"), { state: "connected", path: "host" });
  there.ledger.report(BOB, away("r:alice"), { state: "connected", path: "host" });
  here.ledger.parted("r:alice", "r:bob");
  there.ledger.parted("r:bob", "r:alice");
  assertEquals([here.outcomes(), there.outcomes()], [{ connected: 1 }, {}]);
  assertEquals([here.ledger.size, there.ledger.size], [0, 0]);
});

Deno.test("the oldest pair is forgotten where there are too many, and none is kept where none may be", () => {
  const { ledger, send, outcomes } = bench(2);
  for (const { address } of [ALICE, BOB, CAROL]) ledger.joined(address.text, false);
  const first = send(ALICE, BOB);
  const second = send(ALICE, CAROL);
  send(BOB, CAROL);
  assertEquals([first?.ended, second?.ended], [true, false], "who counts with the first is to ask anew");
  assertEquals(ledger.size, 2);
  assertEquals(outcomes(), { forgotten: 1 });
  assertEquals(send(ALICE, BOB)?.signals, 1);

  const none = bench(0);
  none.meet(true);
  none.ledger.report(ALICE, BOB, { state: "failed" });
  assertEquals([none.ledger.size, none.failed.length], [0, 0]);
});

Deno.test("however many come and go, what is kept is bounded, and none is ended twice", () => {
  const { ledger, send, outcomes } = bench(100);
  for (let i = 0; i < 5000; i++) {
    const peer = own(`r:${i}`);
    ledger.joined(`r:${i}`, false);
    for (let j = Math.max(0, i - 20); j < i; j++) send(peer, own(`r:${j}`));
    if (i % 3 === 0) ledger.departed(`r:${i - 7}`);
  }
  assertEquals(ledger.size <= 100, true);
  for (let i = 0; i < 5000; i++) ledger.departed(`r:${i}`);
  assertEquals(ledger.size, 0);
  const { forgotten = 0, unanswered = 0 } = outcomes();
  assertEquals(forgotten > 10_000, true);
  assertEquals(unanswered > 500, true);
});
