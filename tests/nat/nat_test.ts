import { assert, assertEquals } from "../kit/assert.ts";
import { testWith } from "../kit/parts.ts";
import { askStun, stunTool } from "../kit/coturn.ts";
import { createNatLab, type NatLab, natLabUnavailable } from "./nat.ts";
import { run } from "../kit/programs.ts";

const PORTS = [3903, 3904];
const unavailable = natLabUnavailable();

/** What our server says to each peer on two ports, asked from one socket. */
async function mappings(lab: NatLab, peer: "peerA" | "peerB"): Promise<[string, string][]> {
  const said = await askStun(lab.publicAddress, PORTS, lab.within(peer));
  return said.map((line) => {
    const [address, port] = line.split(" ");
    return [address!, port!];
  });
}

for (const mapping of ["cone", "symmetric"] as const) {
  testWith(unavailable, `behind a ${mapping} NAT our server shows each peer its NAT's address`, async () => {
    await using lab = await createNatLab({ mapping });
    await using _first = lab.start("server", stunTool("serve", lab.publicAddress, PORTS[0]!));
    await using _second = lab.start("server", stunTool("serve", lab.publicAddress, PORTS[1]!));
    for (const peer of ["peerA", "peerB"] as const) {
      const [[first, firstPort], [second, secondPort]] = (await mappings(lab, peer)) as [
        [string, string],
        [string, string],
      ];
      assertEquals([first, second], [lab.natAddress[peer], lab.natAddress[peer]]);
      assertEquals(firstPort === secondPort, mapping === "cone");
    }
  });
}

testWith(unavailable, "closing kills what still runs and leaves no namespace, however often", async () => {
  const lab = await createNatLab({ mapping: "cone" });
  const [, , , name] = lab.within("peerA");
  await using sleeper = lab.start("peerA", ["sleep", "600"]);
  await lab.close();
  assertEquals((await sleeper.process.status).success, false);
  await lab.close();
  assert(!(await run(["ip", "netns", "list"])).output.includes(name!));
});
