/** The comparison with others as a table and as a picture. */

import { quartiles } from "../statistics.ts";
import type { Measures } from "./main.ts";

const ROWS: readonly (readonly [key: keyof Measures, name: string, digits: number])[] = [
  ["signals", "signals of 1 KiB per second, 100 pairs", 0],
  ["cpu", "server CPU, µs per signal", 1],
  ["p50", "latency p50, ms", 2],
  ["p99", "latency p99, ms", 2],
  ["inTurn", "signals per second, to 16 peers in turn", 0],
  ["inTurnCpu", "server CPU, µs per signal", 1],
  ["handshakes", "handshakes per second", 0],
  ["joins", "joins per second, rooms of 64", 0],
  ["idle", "KiB per idle socket", 1],
];

/** In Markdown: medians, and in brackets the middle half of the rounds. */
export function table(all: ReadonlyMap<string, readonly Measures[]>): string {
  const cell = (rounds: readonly Measures[], key: keyof Measures, digits: number) => {
    const values = rounds.map((round) => round[key]).filter((value) => value !== undefined);
    if (values.length === 0) return "–";
    const { low, median, high } = quartiles(values);
    const text = (value: number) =>
      value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, "\u00a0");
    return `${text(median)} (${text(low)} – ${text(high)})`;
  };
  const rows = [
    ["", ...all.keys()],
    ["---", ...[...all].map(() => "---:")],
    ...ROWS.map((
      [key, name, digits],
    ) => [name, ...[...all.values()].map((rounds) => cell(rounds, key, digits))]),
  ];
  return rows.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Bars of signals per second, as SVG that fits light and dark pages. */
export function chart(rates: ReadonlyMap<string, number>): string {
  const most = Math.max(...rates.values());
  const [left, width, step] = [130, 430, 30];
  const bars = [...rates].map(([name, rate], i) => {
    const y = 40 + i * step;
    const length = Math.round(width * rate / most);
    const colour = name === "signal" ? "#2a7de1" : "#8a939c";
    const number = Math.round(rate / 100) / 10;
    return `<text x="${left - 8}" y="${y + 14}" text-anchor="end">${name}</text>` +
      `<rect x="${left}" y="${y}" width="${length}" height="20" rx="2" fill="${colour}"/>` +
      `<text x="${left + length + 6}" y="${y + 14}">${number} k</text>`;
  });
  const height = 50 + rates.size * step;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 ${height}" width="640" height="${height}" role="img" aria-label="Signals per second">
<style>text { font: 13px sans-serif; fill: #6b747d; } .title { font-weight: 600; }</style>
<text class="title" x="${left}" y="22">Signals of 1 KiB per second on one core, 100 pairs</text>
${bars.join("\n")}
</svg>
`;
}
