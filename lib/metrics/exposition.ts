/** Metrics as text that Prometheus reads. The one place that knows its library. */

import type { Registry } from "@prometheus-io/client";
import type { Histogram } from "./histogram.ts";

/** A value, and what tells it from others of its metric: words of the program's own, never a stranger's. */
export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** One metric; its values are read when somebody asks. */
export type Metric =
  & { readonly name: string; readonly help: string }
  & (
    | { readonly type: "counter" | "gauge"; read(): number | Iterable<Sample> }
    | { readonly type: "histogram"; read(): Histogram }
  );

interface Value {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly metricName?: string;
}

/** Makes the text of all metrics. The library is loaded when it is first asked for: most servers never are. */
export class Exposition {
  readonly #metrics: readonly Metric[];
  #registry: Promise<Registry> | undefined;

  constructor(metrics: readonly Metric[]) {
    this.#metrics = metrics;
  }

  /** The text, and its media type. */
  async text(): Promise<{ readonly type: string; readonly text: string }> {
    const registry = await (this.#registry ??= this.#register());
    return { type: registry.contentType, text: await registry.metrics() };
  }

  async #register(): Promise<Registry> {
    const { Registry } = await import("@prometheus-io/client");
    const registry = new Registry();
    for (const metric of this.#metrics) {
      const { name, help, type } = metric;
      // The library's own histograms would have to be there before the first value is.
      const collected = {
        name,
        get: () => Promise.resolve({ name, help, type, values: valuesOf(metric), aggregator: "sum" }),
      };
      registry.registerMetric(collected as unknown as Parameters<Registry["registerMetric"]>[0]);
    }
    return registry;
  }
}

function valuesOf(metric: Metric): Value[] {
  if (metric.type === "histogram") return bucketsOf(metric.name, metric.read());
  const read = metric.read();
  if (typeof read === "number") return [{ labels: {}, value: read }];
  return [...read].map(([labels, value]) => ({ labels, value }));
}

function bucketsOf(name: string, { bounds, counts, sum }: Histogram): Value[] {
  let count = 0;
  const buckets = counts.map((more, at): Value => ({
    metricName: `${name}_bucket`,
    labels: { le: at < bounds.length ? String(bounds[at]) : "+Inf" },
    value: count += more,
  }));
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: {}, value: sum },
    { metricName: `${name}_count`, labels: {}, value: count },
  ];
}
