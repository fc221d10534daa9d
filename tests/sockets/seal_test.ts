import { assert, assertEquals, assertLess, assertLessOrEqual } from "../kit/assert.ts";
import { MAX_SEAL, type Sealed, Sealer } from "../../lib/sockets/seal.ts";
import { Resumption } from "../../lib/sockets/resumption.ts";

const sealer = new Sealer("s".repeat(32));

const session: Sealed = {
  id: "A".repeat(22),
  life: "B".repeat(22),
  until: 1000,
  members: [
    { address: "r:ä€😀", proof: new Uint8Array(32).fill(7), since: 5, pass: undefined },
    {
      address: "s:b",
      proof: undefined,
      since: 6,
      pass: { until: 7, publish: false, ice: true, info: '{"name":"B"}' },
    },
    {
      address: "s:c",
      proof: undefined,
      since: 6,
      pass: { until: 7, publish: true, ice: false, info: undefined },
    },
  ],
};

Deno.test("what is sealed is what is opened, and no two seals are alike", () => {
  const [one, two] = [sealer.seal(session), sealer.seal(session)];
  assert(one !== two);
  for (const seal of [one, two]) assertEquals(sealer.open(seal), session);
  assertEquals(sealer.open(sealer.seal({ ...session, members: [] })), { ...session, members: [] });
});

Deno.test("of a seal that was touched, or is another secret's, nothing is known", () => {
  const seal = sealer.seal(session);
  for (let at = 0; at < seal.length; at += 7) {
    const other = seal[at] === "A" ? "B" : "A";
    assertEquals(sealer.open(seal.slice(0, at) + other + seal.slice(at + 1)), undefined, `at ${at}`);
  }
  for (const text of ["", "A", "A".repeat(37), "A".repeat(38), seal.slice(1), seal + "A", `${seal}=`, "é"]) {
    assertEquals(sealer.open(text), undefined, text);
  }
  assertEquals(new Sealer("t".repeat(32)).open(seal), undefined);
});

Deno.test("a seal of many and long names is as long as may be, and no longer", () => {
  const members = Array.from({ length: 64 }, (_, i) => ({
    address: `${"ä".repeat(200)}:${i}`,
    proof: new Uint8Array(32),
    since: Date.now(),
    pass: undefined,
  }));
  const seal = sealer.seal({ ...session, members });
  assertLessOrEqual(seal.length, MAX_SEAL);
  const { length } = sealer.open(seal)!.members;
  assert(length > 5 && length < 64, String(length));
  assertEquals(sealer.open(seal)!.members, members.slice(0, length));
});

Deno.test("what is too long is not even looked at", () => {
  const resumption = new Resumption<string>(
    { resume: 20, resumeBytes: 1000, resumeTotalBytes: 1000 },
    "s".repeat(32),
  );
  const time = (text: string) => {
    const before = performance.now();
    for (let i = 0; i < 2000; i++) assertEquals(resumption.find(text), undefined);
    return performance.now() - before;
  };
  time("A".repeat(MAX_SEAL));
  assertLess(time("A".repeat(1_000_000)), time("A".repeat(MAX_SEAL)));
});

Deno.test("a seal of a former life is found once, those of the same session with it; no seal of this life is", () => {
  const limits = { resume: 20, resumeBytes: 1000, resumeTotalBytes: 1000 };
  const [former, now] = [1, 2].map(() => new Resumption<string>(limits, "s".repeat(32)));
  const [, member] = session.members;
  const members = [{ ...member!, pass: { ...member!.pass!, until: Date.now() + 60_000 } }];
  const [older, younger] = [1, 2].map(() => former!.offer("i".repeat(22), members).id);
  assertEquals(former!.find(older!), undefined, "it has been given up");
  const found = now!.find(older!);
  assertEquals(found && "sealed" in found && found.sealed.members, members);
  assertEquals([now!.find(older!), now!.find(younger!)], [undefined, undefined]);
  assertEquals(now!.find(former!.offer("j".repeat(22), []).id), undefined, "there is nothing in it");
  const ended = [{ ...member!, pass: { ...member!.pass!, until: Date.now() - 1 } }];
  assertEquals(now!.find(former!.offer("k".repeat(22), ended).id), undefined, "its token has ended");

  former!.keep("l".repeat(22), "the session");
  assertEquals(former!.find(former!.offer("l".repeat(22), members).id), { session: "the session" });
});
