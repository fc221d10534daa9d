import { testServer } from "../kit/server.ts";
import { agree, LIMITS } from "./model.ts";

const SEQUENCES = 2000;

Deno.test(`${SEQUENCES} random sequences of calls agree with the model`, async () => {
  await using server = testServer({ ...LIMITS, callBurst: 1_000_000, joinBurst: 1_000_000, resume: 0 });
  await agree([server], SEQUENCES);
});
