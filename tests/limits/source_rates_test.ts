import fc from "fast-check";
import { assert, assertEquals, assertGreater, assertLess } from "../kit/assert.ts";
import { Source } from "../../lib/limits/source.ts";
import { SourceRates } from "../../lib/limits/source_rates.ts";

const ALONE = { networks: { site: 1e6, network: 1e6 }, maxSources: 1024 };

function source(...address: number[]): Source {
  return new Source(new Uint8Array(address));
}

/** Of 2001:db8::/32. */
function ipv6(site: number, subnet: number): Source {
  return Source.of(`2001:db8:${site.toString(16)}:${subnet.toString(16)}::1`);
}

Deno.test("an IPv6 /64 is one source, the next /64 another", () => {
  const rates = new SourceRates({ ratePerSource: 1, burst: 2, ...ALONE });
  assert(rates.take(Source.of("2001:db8:0:1::1"), 0));
  assert(rates.take(Source.of("2001:db8:0:1:ffff::2"), 0));
  assertEquals(rates.take(Source.of("2001:db8:0:1::3"), 0), false);
  assert(rates.take(Source.of("2001:db8:0:2::1"), 0));
});

Deno.test("no source ever has more than its burst and its rate, or less", () => {
  const step = fc.record({ number: fc.nat(3), waitMs: fc.nat(2500) });
  const rate = fc.integer({ min: 1, max: 10 });
  const burst = fc.integer({ min: 1, max: 5 });
  fc.assert(fc.property(rate, burst, fc.array(step, { maxLength: 60 }), (ratePerSource, burst, steps) => {
    const rates = new SourceRates({ ratePerSource, burst, ...ALONE });
    // The same as a bucket of tokens, counted in milliseconds of rate.
    const cost = 1000 / ratePerSource;
    const full = burst * cost;
    const buckets = new Map<number, { level: number; at: number }>();
    let now = 0;
    for (const { number, waitMs } of steps) {
      now += waitMs;
      const { level, at } = buckets.get(number) ?? { level: full, at: now };
      const filled = Math.min(full, level + now - at);
      const granted = rates.take(source(10, 0, 0, number), now);
      // Where the two only differ by rounding, either answer is right.
      if (Math.abs(filled - cost) > 1e-6) assertEquals(granted, filled > cost);
      buckets.set(number, { level: granted ? filled - cost : filled, at: now });
    }
  }));
});

Deno.test("what costs more than is left is let through once, and paid off before the next", () => {
  const rates = new SourceRates({ ratePerSource: 1, burst: 10, ...ALONE });
  assert(rates.take(ipv6(1, 1), 0, 25));
  assertEquals(rates.take(ipv6(1, 1), 15_999), false);
  assert(rates.take(ipv6(1, 1), 16_000));
});

Deno.test("a site and a network have rates of their own, and what they refuse counts nowhere", () => {
  const rates = new SourceRates({
    ratePerSource: 1,
    burst: 10,
    networks: { site: 2, network: 4 },
    maxSources: 1024,
  });
  const takeAll = (subnets: Iterable<number>, times: number) => {
    let taken = 0;
    for (const subnet of subnets) {
      for (let i = 0; i < times; i++) if (rates.take(ipv6(7, subnet), 0)) taken++;
    }
    return taken;
  };
  const subnets = Array.from({ length: 256 }, (_, i) => i);
  assertEquals(takeAll(subnets, 10), 20, "the first /56");
  assertEquals(takeAll(subnets.map((i) => 0x1200 + i), 10), 20, "the next, by which the /48 is full");
  assertEquals(takeAll([0x3400], 10), 0);
  assert(rates.take(ipv6(8, 0), 0), "another /48");
  assert(rates.take(ipv6(7, 0x3400), 1000));
  assertEquals(takeAllIpv4(10), 40, "an IPv4 /24");
  assert(rates.take(source(198, 51, 101, 1), 0));

  function takeAllIpv4(times: number): number {
    let taken = 0;
    for (let host = 0; host < 256; host++) {
      for (let i = 0; i < times; i++) if (rates.take(source(198, 51, 100, host), 0)) taken++;
    }
    return taken;
  }
});

Deno.test("a newcomer is never refused for want of a place, however many went before", () => {
  const rates = new SourceRates({ ratePerSource: 0.001, burst: 1, ...ALONE });
  for (let i = 0; i < 20_000; i++) {
    assert(rates.take(source(10, i >> 16, i >> 8 & 255, i & 255), 0), `newcomer ${i}`);
  }
});

Deno.test("a debt outlives a crowd of sources that owe less, and is wiped out only by those that owe more", () => {
  const rates = new SourceRates({ ratePerSource: 1, burst: 100, ...ALONE });
  const debtor = source(192, 168, 0, 1);
  for (let i = 0; i < 100; i++) assert(rates.take(debtor, 0));
  for (let i = 0; i < 100_000; i++) rates.take(source(10, i >> 16, i >> 8 & 255, i & 255), 0);
  assertEquals(rates.take(debtor, 0), false, "100 000 that owe one each");
  // Eight times as many places as there are, and each owes a little more.
  for (let i = 0; i < 8192; i++) rates.charge(source(10, i >> 16, i >> 8 & 255, i & 255), 0, 101);
  assert(rates.take(debtor, 0), "a table has so many places and no more");
});

Deno.test("many sources at a high rate hardly ever share places with a debtor that they push out", () => {
  const rates = new SourceRates({ ratePerSource: 50, burst: 2, ...ALONE });
  let granted = 0;
  const regular = source(192, 168, 0, 1);
  // 1000 a second are forged, and one asks 100 times a second, which is twice as often as it may.
  for (let ms = 0; ms < 10_000; ms++) {
    rates.take(new Source(crypto.getRandomValues(new Uint8Array(4))), ms);
    if (ms % 10 === 0 && rates.take(regular, ms)) granted++;
  }
  assertGreater(granted, 495);
  assertLess(granted, 510);
});
