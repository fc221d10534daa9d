/** The figures of a run, for people. */

import { type Quartiles, quartiles } from "./statistics.ts";

/** One line of the table. */
export interface Row {
  readonly what: string;
  /** The middle one of all rounds. */
  readonly signal: number;
  readonly baseline: number;
  /** Of signal to the baseline, in each round. */
  readonly ratios: readonly number[];
  readonly decimals: number;
}

/** What must not be exceeded. */
export interface Bar {
  readonly what: string;
  readonly most: number;
  /** Of what it is compared with, round by round; or, with a unit, the figure itself. */
  readonly ratios: readonly number[];
  /** What it is compared with; the echo, where it is not said. */
  readonly of?: string;
  readonly unit?: string;
}

function head(baseline: string): string[] {
  return ["", "signal", baseline, "ratio", "middle half of the rounds"];
}

function cells({ what, signal, baseline, ratios, decimals }: Row): string[] {
  const { low, median, high } = quartiles(ratios);
  return [what, number(signal, decimals), number(baseline, decimals), ratio(median), spread({ low, high })];
}

function number(value: number, decimals: number): string {
  const [whole, fraction] = value.toFixed(decimals).split(".");
  const grouped = whole!.replace(/\B(?=(\d{3})+$)/g, " ");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

function ratio(value: number): string {
  return value.toFixed(2);
}

function spread({ low, high }: Pick<Quartiles, "low" | "high">): string {
  return `${ratio(low)} – ${ratio(high)}`;
}

/** Columns that line up in a fixed-width font. */
export function plainTable(rows: readonly Row[], baseline: string): string {
  const lines = [head(baseline), ...rows.map(cells)];
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join(
      "   ",
    )
  ).join("\n");
}

export function markdownTable(rows: readonly Row[], baseline: string): string {
  const names = head(baseline);
  return [names, names.map((_, column) => column === 0 ? "---" : "--:"), ...rows.map(cells)]
    .map((line) => `| ${line.join(" | ")} |`)
    .join("\n");
}

/** Whether a bar is met, by the median of the rounds. */
export function isMet({ most, ratios }: Bar): boolean {
  return quartiles(ratios).median <= most;
}

export function describeBar(bar: Bar): string {
  const { median, ...outer } = quartiles(bar.ratios);
  const verdict = isMet(bar) ? "met" : "missed";
  const { what, most, of = "the echo", unit } = bar;
  const cost = `${ratio(median)} ${unit ?? `times ${of}'s`}`;
  return `${verdict}: ${what} costs ${cost} (${spread(outer)}), ${ratio(most)} at most`;
}

/** The machine by its size, and what the servers run on. */
export function describeMachine(): string {
  const gib = Math.round(Deno.systemMemoryInfo().total / 2 ** 30);
  const os = Deno.build.os === "darwin" ? "macOS" : Deno.build.os[0]!.toUpperCase() + Deno.build.os.slice(1);
  const { deno, v8 } = Deno.version;
  return `${navigator.hardwareConcurrency} cores, ${gib} GiB of memory, ${os}, Deno ${deno}, V8 ${v8}`;
}
