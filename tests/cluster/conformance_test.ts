import { cluster, missingEngine } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { CONVERSATIONS, FORMS, replay } from "../wire/recorded.ts";

testWith(
  missingEngine,
  "the recorded conversations, with their sockets spread over two nodes",
  async (test) => {
    await using nodes = await cluster(2);
    for (const form of FORMS) {
      for (const { name, steps } of CONVERSATIONS) {
        await test.step(`${name}, in ${form} frames`, () => replay(nodes.nodes, steps, form));
      }
    }
    await nodes.empty();
  },
);
