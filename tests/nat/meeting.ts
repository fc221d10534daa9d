/** Two real WebRTC peers, one behind each NAT of the lab, that meet through a signalling server. */

import type { NatLab } from "./nat.ts";
import type { PeerReport } from "./peer.ts";

/**
 * Starts both peers and waits for both reports.
 *
 * @param url of the signalling server, as the peers reach it
 */
export async function meet(lab: NatLab, url: string): Promise<[PeerReport, PeerReport]> {
  const script = new URL("peer.ts", import.meta.url).pathname;
  const command = [Deno.execPath(), "run", "--quiet", "--cached-only", "-A", script, url, "meeting"];
  await using first = lab.start("peerA", command, "piped");
  await using second = lab.start("peerB", command, "piped");
  const reports = [first, second].map(async ({ process }): Promise<PeerReport> =>
    JSON.parse(await firstLine(process.stdout))
  );
  const [ofFirst, ofSecond] = await Promise.all(reports);
  return [ofFirst!, ofSecond!];
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the program ended after ${JSON.stringify(text)}`);
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    reader.releaseLock();
  }
  return text.slice(0, text.indexOf("\n"));
}
