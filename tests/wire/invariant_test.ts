import { testServer } from "../kit/server.ts";
import { crowds } from "./crowd.ts";

const SCENES = 150;

Deno.test(`${SCENES} crowds that come and die at random: every departure is told once, and nothing is left`, async () => {
  await using server = testServer({ drain: 0, resume: 0 });
  await crowds([server], SCENES);
});
