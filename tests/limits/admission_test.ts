import { assert, assertEquals, assertThrows } from "../kit/assert.ts";
import { type Account } from "../../lib/limits/accounts.ts";
import { Admission } from "../../lib/limits/admission.ts";
import { Source } from "../../lib/limits/source.ts";

const LIMITS = {
  maxSockets: 5,
  maxSocketsPerClient: 3,
  connectRate: 1,
  connectBurst: 4,
  maxRooms: 100,
  maxRoomsPerClient: 10,
  maxAddressesPerClient: 10,
  busySocketsPerClient: 4,
  siteShare: 100,
  networkShare: 100,
};

/** Admits a client, or tells why not. */
function admit(admission: Admission, address: string): string {
  const account = admission.admit(Source.of(address));
  return typeof account === "string" ? account : "admitted";
}

function admitted(admission: Admission, address: string): Account {
  const account = admission.admit(Source.of(address));
  assert(typeof account !== "string", String(account));
  return account;
}

Deno.test("sockets of a client: just under, at and over the limit", () => {
  const admission = new Admission(LIMITS, () => 0);
  const account = admitted(admission, "192.0.2.1");
  assertEquals([2, 3].map(() => admit(admission, "192.0.2.1")), ["admitted", "admitted"]);
  assertEquals(admit(admission, "192.0.2.1"), "client-full");
  assertEquals(admit(admission, "192.0.2.2"), "admitted", "another client is not affected");
  admission.release(account);
  assertEquals(admit(admission, "192.0.2.1"), "admitted");
});

Deno.test("sockets in all", () => {
  const admission = new Admission(LIMITS, () => 0);
  const accounts = [1, 2, 3, 4, 5].map((host) => admitted(admission, `192.0.2.${host}`));
  assertEquals(admit(admission, "192.0.2.6"), "server-full");
  admission.release(accounts[2]!);
  assertEquals(admit(admission, "192.0.2.6"), "admitted");
  assertEquals(admission.sockets, 5);
});

Deno.test("new sockets of a client per second; refused attempts do not lengthen the wait", () => {
  let now = 0;
  const admission = new Admission(LIMITS, () => now);
  for (let i = 0; i < 4; i++) admission.release(admitted(admission, "192.0.2.1"));
  for (now = 0; now < 1000; now += 10) {
    assertEquals(admit(admission, "192.0.2.1"), "connect-rate", `${now} ms`);
  }
  now = 1000;
  assertEquals(admit(admission, "192.0.2.1"), "admitted");
  assertEquals(admit(admission, "192.0.2.1"), "connect-rate");
});

Deno.test("nobody is refused for want of memory, and who holds nothing is not kept in it", () => {
  const admission = new Admission({ ...LIMITS, maxSockets: 500 }, () => 0);
  // 400 quick connections a second for a minute, each from a /48 of its own.
  for (let i = 0; i < 24_000; i++) {
    admission.release(admitted(admission, `2001:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`));
  }
  assertEquals(admission.clients, 0);
});

Deno.test("no network has all sockets, and what is left over is left for others", () => {
  const limits = { ...LIMITS, maxSockets: 1000, siteShare: 10, networkShare: 25, connectBurst: 1000 };
  const fill = (admission: Admission, address: (i: number) => string) => {
    const results = Array.from({ length: 1000 }, (_, i) => admit(admission, address(i)));
    assertEquals(new Set(results), new Set(["admitted", "network-full"]));
    return results.filter((result) => result === "admitted").length;
  };
  const admission = new Admission(limits, () => 0);
  assertEquals(fill(admission, (i) => `2001:db8:1:${(i & 255).toString(16)}::1`), 100, "a /56");
  assertEquals(
    fill(admission, (i) => `2001:db8:1:${(i << 8 & 0xffff).toString(16)}::1`),
    150,
  );
  assertEquals(fill(admission, (i) => `198.51.100.${i & 255}`), 250, "an IPv4 /24");
  assertEquals(admit(admission, "2001:db8:2::1"), "admitted");
  assertEquals(admit(admission, "203.0.113.1"), "admitted");

  const local = new Admission(limits, () => 0);
  for (let i = 0; i < 255 * 3; i++) {
    assertEquals(admit(local, `10.0.0.${i % 255}`), "admitted", "of one's own");
  }
});

Deno.test("a network may have at least what one client may, however small its share", () => {
  const admission = new Admission({ ...LIMITS, siteShare: 1, networkShare: 1 }, () => 0);
  assertEquals([1, 2, 3].map(() => admit(admission, "2001:db8::1")), Array(3).fill("admitted"));
  assertEquals(admit(admission, "2001:db8:0:1::1"), "network-full");
});

Deno.test("a place that was not given can't be given back", () => {
  const admission = new Admission(LIMITS, () => 0);
  const account = admitted(admission, "192.0.2.1");
  admission.release(account);
  assertThrows(() => admission.release(account), Error, "sockets");
});
