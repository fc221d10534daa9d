import { testServer } from "../kit/server.ts";
import { CONVERSATIONS, FORMS, replay } from "./recorded.ts";

for (const form of FORMS) {
  for (const { name, steps } of CONVERSATIONS) {
    Deno.test(`recorded, in ${form} frames: ${name}`, async () => {
      await using server = testServer();
      await replay([server], steps, form);
    });
  }
}
