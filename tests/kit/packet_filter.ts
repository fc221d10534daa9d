/** Packets that are lost on their way out. */

import { assertEquals } from "./assert.ts";
import { missingBinaries } from "./parts.ts";
import { run } from "./programs.ts";

/** Why there is no filter for packets on this machine; undefined where there is one. */
export const noPacketFilter: string | undefined = missingBinaries("nft") ??
  (Deno.uid() === 0 ? undefined : "filters for packets need root");

/**
 * Loses what one of these matches, in the words of nftables, until it is disposed of.
 *
 * @param port one that nobody else has meanwhile; it names the table
 */
export async function losing(port: number, ...matches: string[]): Promise<AsyncDisposable> {
  const table = `inet signal_test_${port}`;
  const nft = async (text: string) => assertEquals((await run(["nft", text])).output, "");
  await nft([
    `add table ${table}`,
    `add chain ${table} out { type filter hook output priority 0; }`,
    ...matches.map((match) => `add rule ${table} out ${match} drop`),
  ].join("; "));
  return { [Symbol.asyncDispose]: () => nft(`delete table ${table}`) };
}
