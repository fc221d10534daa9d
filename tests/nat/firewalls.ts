/** Our server between the firewalls of the lab. */

import { startFlags } from "../kit/server.ts";
import type { Running } from "../kit/programs.ts";
import type { NatLab } from "./nat.ts";

/** Our server in the public network, as a user starts it; resolves once it listens. */
export async function signal(lab: NatLab, ...options: string[]): Promise<Running & { url: string }> {
  const main = new URL("../../main.ts", import.meta.url).pathname;
  // The file with the TURN secret is the one thing that it must read.
  const flags = [...await startFlags(), "--allow-read"];
  const command = [Deno.execPath(), "run", "--quiet", "--cached-only", ...flags, main, ...options];
  const running = lab.start("server", command, "piped");
  let said = "";
  const reader = running.process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!said.includes(" listens on ")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the server ended: ${said}`);
    said += value;
  }
  reader.releaseLock();
  return Object.assign(running, { url: `ws://${lab.publicAddress}:3903` });
}
