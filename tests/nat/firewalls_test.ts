/**
 * What the server is for: two real WebRTC peers, each behind a NAT of its own, find each other through it and talk
 * directly, with nothing else in the public network. Where the NATs don't allow that, a real TURN server helps,
 * with credentials of ours.
 */

import { assert, assertEquals } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { coturn } from "../kit/coturn.ts";
import { meet } from "./meeting.ts";
import { signal } from "./firewalls.ts";
import { createNatLab, natLabUnavailable } from "./nat.ts";

const unavailable = natLabUnavailable();

testWith(unavailable, "behind two NATs, peers talk directly with our server alone", async () => {
  await using lab = await createNatLab({ mapping: "cone" });
  await using server = await signal(lab);
  const reports = await meet(lab, server.url);
  for (const [report, peer] of [[reports[0], "peerA"], [reports[1], "peerB"]] as const) {
    assert(report.heard?.startsWith("from meeting:"), JSON.stringify(reports));
    const reflexive = report.candidates.filter(({ type }) => type === "srflx");
    assertEquals(reflexive.map(({ address }) => address), [lab.natAddress[peer]], JSON.stringify(reports));
    const [local, remote] = report.pair!;
    assert(local !== "host" || remote !== "host", JSON.stringify(reports));
    assert(![local, remote].includes("relay"), JSON.stringify(reports));
  }
});

testWith(unavailable, "behind two NATs, peers can't talk where our server serves no STUN", async () => {
  await using lab = await createNatLab({ mapping: "cone" });
  await using server = await signal(lab, "--stun-port", "off");
  const reports = await meet(lab, server.url);
  for (const { heard, candidates } of reports) {
    assertEquals([heard, candidates.some(({ type }) => type === "srflx")], [undefined, false]);
  }
});

testWith(unavailable, "behind NATs that map by destination, STUN alone is not enough", async () => {
  await using lab = await createNatLab({ mapping: "symmetric" });
  await using server = await signal(lab);
  const reports = await meet(lab, server.url);
  for (const { heard, candidates } of reports) {
    assertEquals([heard, candidates.some(({ type }) => type === "srflx")], [undefined, true]);
  }
});

testWith(
  unavailable ?? missingBinaries("turnserver"),
  "behind NATs that map by destination, a TURN server with our credentials connects them",
  async () => {
    await using lab = await createNatLab({ mapping: "symmetric" });
    const secret = "shared with coturn";
    await using turn = await coturn({
      address: lab.publicAddress,
      port: 3478,
      secret,
      within: lab.within("server"),
    });
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, secret + "\n");
      // These peers know nothing of sessions, and end without a goodbye: those of one try are not to be met by the next.
      await using server = await signal(
        lab,
        "--turn-url",
        turn.url,
        "--turn-secret-file",
        file,
        "--resume",
        "0",
      );
      // One meeting in a dozen fails here, with the candidates that the others have too, and why is not known; it is
      // no matter of signalling, for all of it has arrived by then. An application would try again: so does this.
      let reports = await meet(lab, server.url);
      for (let tries = 1; tries < 3 && reports.some(({ heard }) => heard === undefined); tries++) {
        reports = await meet(lab, server.url);
      }
      for (const { heard, pair } of reports) {
        assert(heard?.startsWith("from meeting:"), JSON.stringify(reports));
        assert(pair!.includes("relay"), JSON.stringify(reports));
      }
    } finally {
      await Deno.remove(file);
    }
  },
);
