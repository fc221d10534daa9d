import { type Burden, Pressure } from "../../lib/sockets/pressure.ts";
import { Tally } from "../../lib/runtime/tally.ts";
import { assert, assertEquals } from "../kit/assert.ts";

const MB = 1_000_000;

class Peer implements Burden {
  asleep = false;
  connecting = false;
  burden = 0;
  taken = 1;
  mute = false;
  holds = true;
  siblings = 1;
  probes = 0;
  ended = false;
  /** Whether it answers. */
  lives = true;
  askedAt = 0;

  constructor(options: Partial<Peer> = {}) {
    Object.assign(this, options);
  }

  probe(): void {
    this.probes++;
    this.mute = true;
  }

  /** Is heard, where it has answered in time. */
  hear(upTo: number): void {
    if (this.lives && this.askedAt <= upTo) this.mute = false;
  }

  shed(): void {
    this.ended = true;
  }
}

function bench(peers: Peer[], limit: number | "none" = 1000 * MB, lag = 0) {
  const state = { used: 100 * MB, now: 0 };
  const passages: { at: number; done: () => void }[] = [];
  let stopped = false;
  const lines: string[] = [];
  const log = { debug() {}, info() {}, warn: (line: string) => lines.push(line), error() {} };
  const pressure = new Pressure({
    high: limit === "none" ? undefined : limit,
    burdens: () => peers.filter(({ ended }) => !ended),
    log,
    refusals: new Tally(),
    now: () => state.now,
    memory: () => state.used,
    pass: (done) => passages.push({ at: state.now, done }),
  });
  const look = (used: number) => {
    state.used = used * MB;
    const asked = peers.filter(({ mute }) => !mute);
    const pause = pressure.look();
    for (const peer of asked) if (peer.mute) peer.askedAt = state.now;
    state.now += pause;
    settle();
  };
  /** Deals with what has come in up to `lag` milliseconds ago. */
  const settle = () => {
    if (stopped) return;
    const upTo = state.now - lag;
    for (const peer of peers) peer.hear(upTo);
    while (passages[0] && passages[0].at <= upTo) passages.shift()!.done();
  };
  const stop = () => {
    stopped = true;
  };
  /** Goes on after so many milliseconds. */
  const go = (milliseconds: number) => {
    state.now += milliseconds;
    stopped = false;
  };
  look(100);
  return { pressure, look, stop, go, lines };
}

Deno.test("nobody is bothered while there is memory, however long it goes up and down", () => {
  const peers = [new Peer(), new Peer()];
  const { pressure, look, lines } = bench(peers);
  for (let used = 100; used < 936; used += 4) look(used);
  for (let i = 0; i < 1000; i++) look(i % 2 ? 940 : 936);
  assertEquals([pressure.short, pressure.near, lines.length], [false, false, 0]);
  assertEquals(peers.map(({ probes, ended }) => [probes, ended]), [[0, false], [0, false]]);
  look(960);
  assertEquals([pressure.short, pressure.near], [false, true]);
});

Deno.test("above the limit nobody new is taken, and who is there stays while it grows no more", () => {
  const peers = [new Peer(), new Peer({ lives: false })];
  const { pressure, look, lines } = bench(peers);
  for (let i = 0; i < 100; i++) look(1010);
  assertEquals(pressure.short, true);
  assertEquals(peers.map(({ ended }) => ended), [false, false]);
  look(900);
  assertEquals([pressure.short, pressure.near, lines.length], [true, true, 1]);
  look(840);
  assertEquals([pressure.short, lines.length], [false, 2]);
  look(1010);
  // The allocator may keep what it has.
  for (let i = 0; i < 49; i++) look(990);
  assertEquals([pressure.short, lines.length], [true, 3]);
  for (let i = 0; i < 3; i++) look(990);
  assertEquals([pressure.short, lines.length], [false, 4]);
});

Deno.test("for whom the most waits goes first, and no more than need be", () => {
  const [much, less, none] = [new Peer({ burden: 90 * MB }), new Peer({ burden: 10 * MB }), new Peer()];
  const { look } = bench([less, none, much]);
  look(1040);
  look(1040);
  assertEquals([much.ended, less.ended, none.ended], [true, false, false]);
});

/** Sends a message without end: so many bytes at each look. */
class Flooder extends Peer {
  held = 0;

  flood(bytes: number): void {
    if (!this.ended) this.held += bytes;
  }

  override shed(): void {
    super.shed();
    this.held = 0;
  }
}

/**
 * Looks at a flood of `rate` MB at each look, shared by who is still there; gives the most that was in use, in MB. The others
 * have come last, which speaks against them.
 */
function flood(
  peers: Peer[],
  flooders: Flooder[],
  { base = 700, rate = 25, looks = 50, lag = 0, atLook = (_: number) => {} } = {},
): number {
  const { look } = bench([...flooders, ...peers], 1000 * MB, lag);
  let most = 0;
  for (let i = 0; i < looks; i++) {
    atLook(i);
    const left = flooders.filter(({ ended }) => !ended);
    for (const flooder of left) flooder.flood(rate * MB / left.length);
    const used = base + flooders.reduce((sum, { held }) => sum + held, 0) / MB;
    most = Math.max(most, used);
    look(used);
  }
  return most;
}

function endedOf(peers: readonly Peer[]): number {
  return peers.filter(({ ended }) => ended).length;
}

const many = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

Deno.test("who gives no sign of life goes before who does; the known and the living stay", () => {
  const known = many(5, () => new Peer({ taken: 20, lives: false }));
  const living = many(5, () => new Peer());
  const dead = many(40, () => new Flooder({ taken: 0, lives: false, holds: false }));
  const most = flood([...known, ...living], dead);
  assertEquals([endedOf(known), endedOf(living)], [0, 0]);
  assert(endedOf(dead) >= 30, "the dead are still there");
  assert(most < 1100, `${most} MB`);
});

Deno.test("a flood that answers pings, or made calls before, is bounded; and who makes calls stays", () => {
  for (
    const [name, options] of Object.entries({
      answers: { taken: 0 },
      "has joined, and is silent": { taken: 1, lives: false },
      "has made calls, and is silent": { taken: 20, lives: false },
      "has made calls, and answers": { taken: 20 },
    })
  ) {
    const talkers = many(5, () => new Peer());
    const flooders = many(40, () => new Flooder(options));
    const most = flood(talkers, flooders, {
      looks: 200,
      atLook: (i) => {
        if (i % 3 === 0) { for (const talker of talkers) talker.taken++; }
      },
    });
    assertEquals(endedOf(talkers), 0, name);
    assert(endedOf(flooders) >= 30, `${name}: they are still there`);
    assert(most < 1200, `${name}: ${most} MB`);
  }
});

Deno.test("many sockets of one client go before those of others that are as silent", () => {
  const others = many(30, () => new Peer());
  const flooders = many(30, () => new Flooder({ siblings: 30 }));
  const most = flood(others, flooders, { looks: 40 });
  assertEquals(endedOf(others), 0);
  assert(endedOf(flooders) > 10, "they are still there");
  assert(most < 1200, `${most} MB`);
});

Deno.test("of strangers those go first who were never heard", () => {
  const heard = many(5, () => new Peer({ taken: 0, holds: false }));
  const dead = many(40, () => new Flooder({ taken: 1, lives: false }));
  flood(heard, dead, { base: 900, rate: 60, lag: 10 });
  assertEquals(endedOf(heard), 0);
  assert(endedOf(dead) >= 30, "the dead are still there");
});

Deno.test("of strangers that came just now it is waited for a sign, before others are ended", () => {
  const silent = many(5, () => new Peer({ taken: 20, lives: false }));
  const late = many(5, () => new Peer({ taken: 0, lives: false }));
  const peers = [...silent];
  const { look } = bench(peers);
  for (let i = 0; i < 80; i++) look(1030);
  peers.push(...late);
  look(1030);
  look(1040);
  assertEquals([endedOf(silent), endedOf(late)], [0, 0]);
  for (let i = 0; i < 20 && endedOf(late) < 5; i++) look(1041 + i);
  assertEquals([endedOf(silent), endedOf(late)], [0, 5]);
});

Deno.test("those that are known go only once it is seen that ending strangers was not enough", () => {
  const listeners = many(5, () => new Peer({ taken: 10 }));
  const strangers = many(5, () => new Peer({ taken: 0, lives: false }));
  const { look } = bench([...listeners, ...strangers], 1000 * MB, 60);
  for (let used = 600; used < 1000; used += 20) look(used);
  let i = 0;
  for (; endedOf(strangers) < 5; i++) look(1150 + i);
  look(1150 + i);
  assertEquals(endedOf(listeners), 0);
  for (let more = 0; more < 5; more++) look(1160 + i + more);
  assert(endedOf(listeners) > 0, "it was never enough");
});

Deno.test("however many there are, some go where it must be", () => {
  const listeners = many(150_000, () => new Peer({ taken: 10 }));
  const { look } = bench(listeners);
  for (const used of [900, 950, 1200, 1250, 1300]) look(used);
  assert(endedOf(listeners) > 0, "nobody has gone");
});

Deno.test("that the runtime comes late to what they say is nobody's silence", () => {
  const peers = many(10, () => new Peer({ taken: 20 }));
  const { look } = bench(peers, 1000 * MB, 900);
  for (let used = 600; used < 1000; used += 20) look(used);
  for (let i = 0; i < 200; i++) look(1070);
  assertEquals(endedOf(peers), 0);
});

Deno.test("that the process stood still is nobody's silence", () => {
  const peers = many(10, () => new Peer({ taken: 20 }));
  const { look, stop, go } = bench(peers);
  for (let used = 600; used < 1000; used += 20) look(used);
  for (let i = 0; i < 10; i++) {
    // They are asked, and before they can be heard two seconds go by.
    stop();
    look(1040 + i);
    go(2000);
    look(1060 + i);
    look(1060 + i);
  }
  assertEquals(endedOf(peers), 0);
});

Deno.test("where nobody is left, what the allocator keeps is held against nobody", () => {
  const { pressure, look } = bench([]);
  for (let i = 0; i < 10; i++) look(1100);
  assertEquals(pressure.short, false);
});

Deno.test("without a limit nothing is looked at", () => {
  const { pressure, look } = bench([new Peer()], "none");
  look(1_000_000);
  assertEquals([pressure.short, pressure.near], [false, false]);
});
