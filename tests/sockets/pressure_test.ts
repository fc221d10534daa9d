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

  constructor(options: Partial<Peer> = {}) {
    Object.assign(this, options);
  }

  probe(): boolean {
    this.probes++;
    this.mute = !this.lives;
    return true;
  }

  shed(): void {
    this.ended = true;
  }
}

function bench(peers: Peer[], limit: number | "none" = 1000 * MB) {
  const state = { used: 100 * MB, now: 0 };
  const lines: string[] = [];
  const log = { debug() {}, info() {}, warn: (line: string) => lines.push(line), error() {} };
  const pressure = new Pressure({
    high: limit === "none" ? undefined : limit,
    burdens: () => peers.filter(({ ended }) => !ended),
    log,
    refusals: new Tally(),
    now: () => state.now,
    memory: () => state.used,
  });
  const look = (used: number) => {
    state.used = used * MB;
    state.now += pressure.look();
  };
  look(100);
  return { pressure, look, lines };
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
  assertEquals([pressure.short, lines.length], [false, 2]);
});

Deno.test("for whom the most waits goes first, and no more than need be", () => {
  const [much, less, none] = [new Peer({ burden: 90 * MB }), new Peer({ burden: 10 * MB }), new Peer()];
  const { look } = bench([less, none, much]);
  look(1040);
  look(1040);
  assertEquals([much.ended, less.ended, none.ended], [true, false, false]);
});

Deno.test("who gives no sign of life goes before who does; the known and the living stay", () => {
  const known = Array.from({ length: 5 }, () => new Peer({ taken: 20, lives: false }));
  const living = Array.from({ length: 5 }, () => new Peer());
  const dead = Array.from({ length: 40 }, () => new Peer({ taken: 0, lives: false, holds: false }));
  const { look } = bench([...known, ...dead, ...living]);
  for (let used = 600; used < 1120; used += 20) look(used);
  assert(dead.filter(({ ended }) => ended).length >= 30, "the dead are still there");
  assertEquals([...known, ...living].filter(({ ended }) => ended).length, 0);
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
