import { assert, assertEquals, assertThrows } from "../kit/assert.ts";
import { Admission } from "../../lib/limits/admission.ts";

const LIMITS = { maxSockets: 5, maxSocketsPerClient: 3, connectRate: 1, connectBurst: 4 };

Deno.test("sockets of a client: just under, at and over the limit", () => {
  const admission = new Admission(LIMITS, () => 0);
  assertEquals([1, 2, 3].map(() => admission.admit("a")), [undefined, undefined, undefined]);
  assertEquals(admission.admit("a"), "client-full");
  assertEquals(admission.admit("b"), undefined, "another client is not affected");
  admission.release("a");
  assertEquals(admission.admit("a"), undefined);
});

Deno.test("sockets in all", () => {
  const admission = new Admission({ ...LIMITS, maxSocketsPerClient: 1 }, () => 0);
  for (const client of "abcde") assertEquals(admission.admit(client), undefined);
  assertEquals(admission.admit("f"), "server-full");
  admission.release("c");
  assertEquals(admission.admit("f"), undefined);
  assertEquals(admission.sockets, 5);
});

Deno.test("new sockets of a client per second; refused attempts do not lengthen the wait", () => {
  let now = 0;
  const admission = new Admission(LIMITS, () => now);
  for (let i = 0; i < 4; i++) {
    assertEquals(admission.admit("a"), undefined);
    admission.release("a");
  }
  for (now = 0; now < 1000; now += 10) assertEquals(admission.admit("a"), "connect-rate", `${now} ms`);
  now = 1000;
  assertEquals(admission.admit("a"), undefined);
  assertEquals(admission.admit("a"), "connect-rate");
});

Deno.test("clients that have gone are forgotten, and never more are remembered than stated", () => {
  let now = 0;
  const admission = new Admission({ ...LIMITS, maxSockets: 100 }, () => now);
  let refused = 0;
  for (let i = 0; i < 5000; i++) {
    if (admission.admit(`client ${i}`) === undefined) admission.release(`client ${i}`);
    else refused++;
  }
  assertEquals(admission.clients, 2 * 100 + 1024);
  assert(refused > 0);
  now = 60_000;
  assertEquals(admission.admit("later"), undefined);
  assertEquals(admission.clients, 1);
});

Deno.test("a place that was not given can't be given back", () => {
  const admission = new Admission(LIMITS, () => 0);
  assertThrows(() => admission.release("a"), Error, "no socket of a");
});
