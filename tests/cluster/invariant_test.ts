import { cluster, missingEngine } from "../kit/cluster.ts";
import { testWith } from "../kit/parts.ts";
import { crowds } from "../wire/crowd.ts";

const SCENES = 150;

for (const count of [2, 3]) {
  testWith(
    missingEngine,
    `${SCENES} crowds on ${count} nodes: every departure is told once, and nothing is left`,
    async () => {
      await using nodes = await cluster(count, { drain: 0, resume: 0 });
      await crowds(nodes.nodes, SCENES);
      await nodes.empty();
    },
  );
}
