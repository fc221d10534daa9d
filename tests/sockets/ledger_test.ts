import { makeAddress } from "../../lib/protocol/address.ts";
import { type FailedLink, Ledger } from "../../lib/sockets/ledger.ts";
import { assertEquals } from "../kit/assert.ts";

const [ALICE, BOB, CAROL] = ["r:alice", "r:bob", "other:carol"].map(makeAddress) as [
  ReturnType<typeof makeAddress>,
  ReturnType<typeof makeAddress>,
  ReturnType<typeof makeAddress>,
];

function bench(maxPairs = 10) {
  const clock = { now: 0 };
  const failed: FailedLink[] = [];
  const anew: string[] = [];
  const seconds: number[] = [];
  const ledger: Ledger = new Ledger({
    maxPairs,
    now: () => clock.now,
    introduceAnew(earlier, later) {
      anew.push(`${earlier} ${later}`);
      meet();
      return true;
    },
    onFailed: (link) => failed.push(link),
  });
  ledger.onConnected = (age) => seconds.push(age);
  function meet(earlier = ALICE, later = BOB) {
    ledger.introduced(earlier, later, false);
    ledger.introduced(later, earlier, true);
  }
  /** One signals to the other. */
  function send(sender: typeof ALICE, receiver: typeof ALICE) {
    const side = ledger.sideOf(sender, receiver);
    if (side !== undefined) side.signals++;
    return side;
  }
  const outcomes = () => Object.fromEntries(ledger.outcomes.totals);
  return { clock, ledger, failed, anew, seconds, meet, send, outcomes };
}

Deno.test("a pair that connects is counted once, with its path and the time that it took", () => {
  const { clock, ledger, seconds, meet, outcomes } = bench();
  meet();
  clock.now = 1500;
  ledger.report("r:bob", "r:alice", { state: "connected", path: "srflx", ms: 1400 });
  ledger.report("r:alice", "r:bob", { state: "connected", path: "srflx" });
  ledger.report("r:alice", "r:bob", { state: "interrupted" });
  ledger.report("r:alice", "r:bob", { state: "connected", path: "relay" });
  assertEquals(ledger.ofRoom("r"), { introduced: 1, connected: 1, failed: [] });
  ledger.departed("r:bob");
  assertEquals(outcomes(), { connected: 1 });
  assertEquals(Object.fromEntries(ledger.paths.totals), { srflx: 1 });
  assertEquals(seconds, [1.5]);
  assertEquals(ledger.size, 0);
});

Deno.test("a pair that never connects ends as what was seen of it", () => {
  const { ledger, meet, send, outcomes } = bench();
  meet();
  ledger.departed("r:alice");
  assertEquals(outcomes(), { silent: 1 });

  meet();
  send(BOB, ALICE);
  ledger.departed("r:alice");
  assertEquals(outcomes(), { silent: 1, unanswered: 1 });

  meet();
  send(BOB, ALICE);
  send(ALICE, BOB);
  ledger.parted("r:alice", "r:bob");
  assertEquals(outcomes(), { silent: 1, unanswered: 1, unreported: 1 });

  meet();
  ledger.report("r:bob", "r:alice", { state: "failed", why: "no-answer" });
  ledger.departed("r:bob");
  ledger.departed("r:alice");
  assertEquals(outcomes(), { silent: 1, unanswered: 1, unreported: 1, failed: 1 });
});

Deno.test("a pair that stalls is introduced anew once, where both report; then its failure is told", () => {
  const { clock, ledger, failed, anew, meet, send, outcomes } = bench();
  meet();
  for (const own of ["r:alice", "r:bob"]) ledger.reports(own);
  send(BOB, ALICE);
  ledger.report("r:bob", "r:alice", { state: "failed", why: "no-answer" });
  assertEquals(anew, ["r:alice r:bob"]);
  assertEquals(failed, []);
  // What was before does not count for the second attempt.
  clock.now = 2500;
  ledger.report("r:bob", "r:alice", { state: "failed", why: "ice-failed" });
  ledger.report("r:alice", "r:bob", { state: "failed", why: "ice-failed" });
  assertEquals(anew.length, 1);
  const told = { own: "r:bob", other: "r:alice", why: "ice-failed", sent: 0, received: 0, seconds: 2.5 };
  assertEquals(failed, [told]);
  assertEquals(ledger.ofRoom("r"), {
    introduced: 1,
    connected: 0,
    failed: [{ ...told, own: "r:alice", other: "r:bob" }],
  });
  ledger.report("r:bob", "r:alice", { state: "connected" });
  assertEquals([ledger.anew, ledger.healed], [1, 1]);
  ledger.departed("r:bob");
  assertEquals(outcomes(), { connected: 1 });
});

Deno.test("a pair is not introduced anew where one side does not report, is elsewhere, or says that all is well", () => {
  const { ledger, failed, anew, meet } = bench();
  meet();
  ledger.reports("r:bob");
  ledger.report("r:bob", "r:alice", { state: "failed", why: "no-answer" });
  assertEquals([anew.length, failed.length], [0, 1]);
  ledger.departed("r:alice");

  ledger.introduced(BOB, ALICE, true);
  ledger.reports("r:alice");
  ledger.report("r:bob", "r:alice", { state: "failed" });
  assertEquals([anew.length, failed.length], [0, 2]);
  ledger.departed("r:alice");

  meet();
  ledger.reports("r:alice");
  ledger.report("r:alice", "r:bob", { state: "connected" });
  ledger.report("r:bob", "r:alice", { state: "failed" });
  assertEquals([anew.length, failed.length], [0, 3]);
});

Deno.test("of pairs on two nodes that of the later one counts them", () => {
  const { ledger, outcomes } = bench();
  ledger.introduced(ALICE, BOB, false);
  ledger.report("r:alice", "r:bob", { state: "connected", path: "host" });
  ledger.parted("r:alice", "r:bob");
  assertEquals(outcomes(), {});
  ledger.introduced(BOB, ALICE, true);
  ledger.report("r:bob", "r:alice", { state: "connected", path: "host" });
  ledger.parted("r:bob", "r:alice");
  assertEquals(outcomes(), { connected: 1 });
});

Deno.test("the oldest pair is forgotten where there are too many, and none is kept where none may be", () => {
  const { ledger, meet, outcomes } = bench(1);
  meet();
  meet(ALICE, CAROL);
  assertEquals(ledger.size, 1);
  assertEquals(ledger.sideOf(ALICE, BOB), undefined);
  assertEquals(outcomes(), { forgotten: 1 });

  const none = bench(0);
  none.meet();
  none.ledger.reports("r:alice");
  none.ledger.report("r:alice", "r:bob", { state: "failed" });
  assertEquals([none.ledger.size, none.failed.length], [0, 0]);
});

Deno.test("whoever comes back under a name is another one", () => {
  const { ledger, meet, send, outcomes } = bench();
  meet();
  send(BOB, ALICE);
  const other = makeAddress("r:bob");
  ledger.introduced(ALICE, other, false);
  assertEquals(ledger.sideOf(BOB, ALICE), undefined);
  assertEquals(send(other, ALICE)?.signals, 1);
  assertEquals(outcomes(), { unanswered: 1 });
  assertEquals(ledger.size, 1);
});
