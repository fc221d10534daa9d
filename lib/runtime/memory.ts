/** How much memory the process takes, and how much it may. */

import process from "node:process";

/** What is taken where nothing else was asked for. */
const SHARE = 0.8;

/**
 * 80 % of what this process may have: of the container's limit, or else of the machine's memory. `undefined` where that
 * may not be read (`--allow-sys=systemMemoryInfo`).
 */
export function usualMemoryHigh(): number | undefined {
  if (Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" }).state !== "granted") {
    return undefined;
  }
  try {
    const limits = [Deno.systemMemoryInfo().total, process.constrainedMemory()].filter((bytes) => bytes > 0);
    return limits.length > 0 ? Math.floor(SHARE * Math.min(...limits)) : undefined;
  } catch {
    return undefined;
  }
}

/** Bytes that are resident: takes 8 microseconds to find out. */
export function residentMemory(): number {
  return Deno.memoryUsage().rss;
}
