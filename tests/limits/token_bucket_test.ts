import fc from "fast-check";
import { assert, assertEquals } from "../kit/assert.ts";
import { TokenBucket } from "../../lib/limits/token_bucket.ts";

Deno.test("a bucket gives its burst at once, then its rate", () => {
  let now = 0;
  const bucket = new TokenBucket(3, now);
  const take = () => bucket.take(2, 3, () => now);
  assertEquals([take(), take(), take(), take()], [true, true, true, false]);
  now = 499;
  assertEquals(take(), false);
  now = 500;
  assertEquals([take(), take()], [true, false]);
  now = 60_000;
  assertEquals([take(), take(), take(), take()], [true, true, true, false]);
});

Deno.test("an ordinary call does not look at the clock", () => {
  const bucket = new TokenBucket(10, 0);
  for (let i = 0; i < 10; i++) {
    assert(bucket.take(1, 10, () => {
      throw new Error("looked");
    }));
  }
});

Deno.test("a clock that is set back takes nothing away", () => {
  let now = 1000;
  const bucket = new TokenBucket(1, now);
  assert(bucket.take(1, 1, () => now));
  now = 0;
  assert(!bucket.take(1, 1, () => now));
  now = 1000;
  assert(bucket.take(1, 1, () => now));
});

Deno.test("no pattern of calls gets more than burst + rate * time, and refused calls cost nothing", () => {
  const pauses = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 })), { maxLength: 200 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
      pauses,
      (rate, burst, pauses) => {
        let now = 0;
        let taken = 0;
        const bucket = new TokenBucket(burst, now);
        for (const pause of pauses) {
          now += pause;
          if (bucket.take(rate, burst, () => now)) taken++;
          assert(taken <= burst + rate * now / 1000 + 1e-6, `${taken} in ${now} ms`);
        }
        // However many were refused, a token comes after 1/rate seconds.
        now += Math.ceil(1000 / rate) + 1;
        assert(bucket.take(rate, burst, () => now));
      },
    ),
  );
});
