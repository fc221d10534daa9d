/** What may happen to nodes and to their engine, and what nobody may hear of it. */

import { assert, assertEquals, assertGreater, assertLess } from "../kit/assert.ts";
import { eventually, GONE_WITHIN, missingEngine } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { pause, Stage } from "./stage.ts";

testWith(missingEngine, "nothing happens, but for members that come and go: nothing is lost", async () => {
  await using stage = await Stage.open();
  await stage.populate(3, 6);
  stage.churn(8, 3);
  await pause(4000);
  await stage.calm();
  await stage.quiet();
  assertEquals(stage.anomalies, []);
  assertEquals(stage.gaps(), 0);
  assertGreater(stage.told(), 200);
});

testWith(
  missingEngine,
  "a node is killed: its members are gone in time, and nothing of them is left",
  async () => {
    await using stage = await Stage.open();
    await stage.populate(3, 6);
    const [here, there] = [0, 1].map((node) => stage.actors.filter((_, i) => i % 2 === node));
    const at = performance.now();
    stage.nodes[1]!.kill("SIGKILL");
    await eventually("the dead are gone", () => here!.every(({ known }) => known.size === 2));
    assertLess(performance.now() - at, GONE_WITHIN);
    await stage.quiet();
    const left = await stage.engine.cli("--raw", "hvals", "signal:on:room0");
    assertEquals([left, await stage.engine.cli("--raw", "hlen", "signal:room:room0")], ["3", "3"]);
    assertEquals(stage.anomalies, []);
    assertEquals(there!.some(({ open }) => open), false);
  },
);

testWith(missingEngine, "the engine is killed and comes back empty: nobody is told anything", async () => {
  await using stage = await Stage.open();
  await stage.populate(3, 6);
  const told = stage.told();
  stage.engine.kill("SIGKILL");
  await pause(2000);
  await stage.engine.restart();
  await stage.up();
  await stage.talking();
  // As long as somebody could still be given up.
  await pause(9000);
  assertEquals(stage.told() - told, 0);
  assertEquals(stage.actors.every(({ open }) => open), true);
  await stage.enter(1, "room0", "late");
  await stage.quiet();
  assertEquals(stage.anomalies, []);
});

testWith(missingEngine, "the same while members come and go", async () => {
  await using stage = await Stage.open();
  await stage.populate(3, 6);
  stage.churn(8, 3);
  await pause(1000);
  stage.engine.kill("SIGKILL");
  await pause(2000);
  await stage.engine.restart();
  await stage.up();
  await pause(4000);
  await stage.calm();
  await stage.quiet(20_000);
  await stage.talking();
  assertEquals(stage.anomalies, []);
});

for (const type of ["pubsub", "normal"]) {
  testWith(
    missingEngine,
    `connections of the kind ${type} are killed each second, while members come and go`,
    async () => {
      await using stage = await Stage.open();
      await stage.populate(3, 6);
      stage.churn(8, 3);
      for (let i = 0; i < 4; i++) {
        await pause(1000);
        await stage.engine.cli("client", "kill", "type", type);
      }
      await stage.up();
      await stage.calm();
      await stage.quiet();
      await stage.talking();
      assertEquals(stage.anomalies, []);
      assertGreater((await stage.health(0)).cluster.resyncs, 2);
    },
  );
}

testWith(
  missingEngine,
  "a node stands still: it is given up, and its clients come anew when it wakes up",
  async () => {
    await using stage = await Stage.open();
    await stage.populate(2, 4);
    const asleep = stage.actors.filter((_, i) => i % 2 === 1);
    const awake = stage.actors.filter((_, i) => i % 2 === 0);
    const at = performance.now();
    stage.nodes[1]!.kill("SIGSTOP");
    await eventually("the others are told", () => awake.every(({ known }) => known.size === 1));
    assertLess(performance.now() - at, GONE_WITHIN);
    stage.nodes[1]!.kill("SIGCONT");
    assertEquals(await Promise.all(asleep.map(({ closed }) => closed)), Array(4).fill(1012));
    // It has forgotten whom it held: in less than a lease a newcomer knows those who are there, and no others.
    const early = await stage.enter(1, "room0", "early");
    await stage.quiet(3000);
    assertEquals(early.told, early.known.size, "nobody came and went");
    for (const { address } of asleep) {
      const [room, ident] = address.split(":");
      await stage.enter(1, room!, ident!);
    }
    await stage.quiet();
    await stage.talking();
    assertEquals(stage.anomalies, []);
    assertEquals((await stage.health(1)).cluster.fenced, 1);
  },
);

testWith(missingEngine, "the engine stands still: nobody is given up, and all goes on", async () => {
  await using stage = await Stage.open();
  await stage.populate(2, 4);
  const told = stage.told();
  stage.engine.kill("SIGSTOP");
  await pause(14_000);
  stage.engine.kill("SIGCONT");
  await stage.up();
  await stage.talking();
  await pause(3000);
  assertEquals(stage.told() - told, 0);
  assertEquals(stage.anomalies, []);
});

testWith(missingEngine, "a node dies while the engine is away: its members are gone in time", async () => {
  await using stage = await Stage.open();
  await stage.populate(2, 4);
  const here = stage.actors.filter((_, i) => i % 2 === 0);
  stage.engine.kill("SIGKILL");
  await pause(500);
  stage.nodes[1]!.kill("SIGKILL");
  await pause(500);
  await stage.engine.restart();
  const at = performance.now();
  await eventually("the dead are gone", () => here.every(({ known }) => known.size === 1));
  const took = performance.now() - at;
  assert(took > 6000 && took < GONE_WITHIN + 2000, `${took} ms`);
  assertEquals(stage.anomalies, []);
});

testWith(
  missingEngine,
  "the engine becomes a replica: joins wait, and go on when it is one no more",
  async () => {
    await using stage = await Stage.open();
    await stage.populate(2, 4);
    const told = stage.told();
    await stage.engine.cli("replicaof", "127.0.0.1", "1");
    await eventually("both are cut off", async () =>
      (await stage.health(0)).cluster.engine === "cut off" &&
      (await stage.health(1)).cluster.engine === "cut off");
    assertEquals(stage.told() - told, 0);
    const late = stage.enter(0, "room0", "late");
    await pause(500);
    await stage.engine.cli("replicaof", "no", "one");
    await late;
    await stage.quiet();
    await stage.talking();
    assertEquals(stage.anomalies, []);
  },
);

testWith(
  missingEngine,
  "a join that can't be agreed on in time is refused, and local signals go on",
  async () => {
    await using stage = await Stage.open({ nodes: 1 });
    await stage.populate(1, 2);
    stage.engine.kill("SIGKILL");
    await eventually("cut off", async () => (await stage.health(0)).cluster.engine === "cut off");
    const at = performance.now();
    const error = await stage.enter(0, "room0", "late").catch(String);
    assert(/"unavailable".*"join","late","room0"/.test(String(error)), String(error));
    assertLess(performance.now() - at, 12_000);
    await stage.talking();
    const [one, two] = stage.actors;
    two!.close();
    await eventually("the departure is told", () => one!.known.size === 0);
    const ready = await fetch(`http://127.0.0.1:${stage.ports[0]}/readyz`);
    assertEquals([ready.status, await ready.json()], [503, {
      ready: false,
      why: "cut off from the other nodes",
    }]);
    await stage.engine.restart();
    await stage.up();
    assertEquals(
      (await fetch(`http://127.0.0.1:${stage.ports[0]}/readyz`).then((r) => (r.body?.cancel(), r))).status,
      200,
    );
    assertEquals(stage.anomalies, []);
  },
);

const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const hasFaketime = await Deno.stat(FAKETIME).then(() => true, () => false);

testWith(
  missingEngine ?? (hasFaketime ? undefined : "faketime not installed"),
  "a node's clock jumps by an hour, to and fro: nobody hears of it",
  async () => {
    const file = await Deno.makeTempFile();
    const jump = (to: string) => Deno.writeTextFile(file, to);
    await jump("+0");
    try {
      await using stage = await Stage.open({ nodes: 1 });
      await stage.addNodeIn({
        LD_PRELOAD: FAKETIME,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: "1",
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
      });
      await stage.populate(2, 4);
      const told = stage.told();
      for (const to of ["+3600", "-3600", "+0"]) {
        await jump(to);
        await pause(3000);
        await stage.talking();
        const said = (await fetch(`http://127.0.0.1:${stage.ports[1]}/whoami`).then((answer) =>
          answer.body!.cancel().then(() =>
            answer
          )
        )).headers.get("date")!;
        // Of a clock that was set back the runtime's header takes no notice.
        if (to === "+3600") assertGreater(Date.parse(said) - Date.now(), 3_500_000, "it did jump");
      }
      assertEquals(stage.told() - told, 0);
      await stage.enter(1, "room0", "late");
      await stage.quiet();
      assertEquals((await stage.health(1)).cluster.fenced, 0);
      assertEquals(stage.anomalies, []);
    } finally {
      await Deno.remove(file);
    }
  },
);
