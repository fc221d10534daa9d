import { cluster, missingEngine } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { agree, LIMITS } from "../wire/model.ts";

const SEQUENCES = 300;

for (const count of [2, 3]) {
  testWith(
    missingEngine,
    `${SEQUENCES} random sequences of calls on ${count} nodes agree with the model`,
    async () => {
      await using nodes = await cluster(count, {
        ...LIMITS,
        callBurst: 1_000_000,
        joinBurst: 1_000_000,
        resume: 0,
      });
      await agree(nodes.nodes, SEQUENCES);
      await nodes.empty();
    },
  );
}
