/** What is measured, and by what name: for Prometheus, by its conventions of names and units. */

import type { Health, Readiness } from "../http/site.ts";
import type { StunCounts } from "../ice/stun_server.ts";
import type { Tally } from "../runtime/tally.ts";
import type { Hub } from "../sockets/hub.ts";
import type { Metric, Sample } from "./exposition.ts";
import { Histogram } from "./histogram.ts";

/** Where the values are read. */
export interface MetricSources {
  readonly version: string;
  readonly health: () => Health;
  readonly readiness: () => Readiness;
  readonly hub: Hub;
  /** See `Service`. */
  readonly refusals: Tally;
  readonly links: Tally;
  /** Plain HTTP answers by their status. */
  readonly answers: Tally;
  readonly stun: () => Readonly<StunCounts>;
  readonly turnCredentials: () => number;
  readonly maxSockets: number;
  /** Bytes; `undefined` where there is no limit. */
  readonly memoryHigh: number | undefined;
  /** Seconds since 1970. */
  readonly startedAt: number;
}

const LAG = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const RELAY = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1];
const LINK = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60];

/** Begins to measure what is measured over time, and lists all there is. */
export function metrics(sources: MetricSources): Metric[] {
  const { hub, health } = sources;
  const { traffic, ledger } = hub;
  const lag = new Histogram(LAG);
  const relay = new Histogram(RELAY);
  const link = new Histogram(LINK);
  hub.onLag = (ms) => lag.observe(ms / 1000);
  traffic.onTaken = (ms) => relay.observe(ms / 1000);
  ledger.onConnected = (seconds) => link.observe(seconds);

  const counter = (name: string, help: string, read: () => number | Iterable<Sample>): Metric => {
    return { type: "counter", name, help, read };
  };
  const gauge = (name: string, help: string, read: () => number | Iterable<Sample>): Metric => {
    return { type: "gauge", name, help, read };
  };
  const histogram = (name: string, help: string, histogram: Histogram): Metric => {
    return { type: "histogram", name, help, read: () => histogram };
  };
  const cluster = (read: (cluster: NonNullable<Health["cluster"]>) => number) => (): Sample[] => {
    const { cluster } = health();
    return cluster === undefined ? [] : [[{ node: cluster.node }, read(cluster)]];
  };

  return [
    gauge("signal_build_info", "Version of the program and of its runtime.", () => [
      [{ version: sources.version, runtime: `deno ${Deno.version.deno}` }, 1],
    ]),
    gauge("signal_ready", "Whether new clients should come, as /readyz tells.", () => {
      return Number(sources.readiness().ready);
    }),
    gauge("signal_sockets", "WebSockets that are open, by version of the protocol.", () => {
      return byVersion(hub.openSockets());
    }),
    gauge("signal_max_sockets", "WebSockets that may be open.", () => sources.maxSockets),
    counter(
      "signal_sockets_opened_total",
      "WebSockets that were accepted, by version of the protocol.",
      () => {
        return byVersion(hub.opened);
      },
    ),
    gauge("signal_sleeping_sessions", "Sessions whose socket broke, and whose client may come back.", () => {
      return health().sleeping;
    }),
    gauge("signal_clients", "Client addresses (IPv6: /64) that hold anything.", () => health().clients),
    gauge("signal_rooms", "Rooms with a member on this node.", () => health().rooms),
    gauge("signal_addresses", "Members of rooms on this node, by version of the protocol.", () => {
      return byVersion(hub.addresses());
    }),

    counter("signal_calls_total", "Calls of clients, by kind; refused: those that were none.", () => [
      [{ call: "signal" }, traffic.signals],
      ...samples("call", traffic.calls),
    ]),
    counter("signal_signals_relayed_total", "Signals that were handed to a receiver on this node.", () => {
      return traffic.relayed;
    }),
    counter("signal_signals_dropped_total", "Signals that reached nobody, by the code of the error.", () => {
      return samples("reason", traffic.dropped);
    }),
    counter("signal_refusals_total", "What clients were refused, calls and handshakes, by code.", () => {
      return samples("code", sources.refusals);
    }),
    counter("signal_received_messages_total", "Messages of clients.", () => traffic.messagesIn),
    counter(
      "signal_received_bytes_total",
      "Bytes of messages of clients, without framing; of what is not ASCII, UTF-16 units.",
      () => traffic.unitsIn,
    ),
    counter("signal_sent_messages_total", "Messages to clients.", () => traffic.messagesOut),
    counter(
      "signal_sent_bytes_total",
      "Bytes of messages to clients, without framing; of what is not ASCII, UTF-16 units.",
      () => traffic.unitsOut,
    ),
    gauge(
      "signal_queued_bytes",
      "Bytes that waited for clients to read them, at the last look (5 s).",
      () => {
        return traffic.waiting;
      },
    ),
    gauge(
      "signal_queue_high_water_bytes",
      "The most that waited for one client, at the last look (5 s).",
      () => {
        return traffic.mostWaiting;
      },
    ),
    histogram(
      "signal_relay_seconds",
      "Time from a message to the last that is sent for it; of one in 64.",
      relay,
    ),
    histogram("signal_event_loop_lag_seconds", "How late a timer was that is due twice a second.", lag),

    counter("signal_pairs_introduced_total", "Pairs of peers that were introduced to each other.", () => {
      return ledger.introduced;
    }),
    counter("signal_pairs_total", "Pairs of peers that have signalled, by what became of their link.", () => {
      return samples("outcome", ledger.outcomes);
    }),
    counter("signal_pair_path_total", "Pairs that connected, by the kind of path.", () => {
      return samples("path", ledger.paths);
    }),
    histogram("signal_pair_seconds", "Time from a pair's introduction to the report of its link.", link),
    counter(
      "signal_pairs_reintroduced_total",
      "Pairs that stalled and were introduced anew.",
      () => ledger.anew,
    ),
    counter("signal_pairs_healed_total", "Those of them that connected then.", () => ledger.healed),
    gauge("signal_pairs", "Pairs of which count is kept.", () => ledger.size),
    counter("signal_link_reports_total", "Reports of clients on their links, by what they say.", () => {
      return samples("report", sources.links);
    }),

    counter("signal_stun_requests_total", "STUN datagrams, by what became of them.", () => {
      const { answered, ignored, limited, errors } = sources.stun();
      return Object.entries({ answered, ignored, limited, errors }).map((
        [result, count],
      ) => [{ result }, count]);
    }),
    gauge("signal_stun_up", "Whether STUN is answered wherever it should be.", () => {
      return Number(health().stun !== "unavailable");
    }),
    counter("signal_turn_credentials_total", "TURN credentials that were given.", sources.turnCredentials),
    counter("signal_http_responses_total", "Answers to plain HTTP requests, by status.", () => {
      return samples("status", sources.answers);
    }),

    gauge(
      "signal_cluster_up",
      "Whether the other nodes can be reached.",
      cluster(({ engine }) => Number(engine === "up")),
    ),
    gauge(
      "signal_cluster_seconds_since_sign",
      "Seconds since something last came through the engine.",
      cluster(({ secondsSinceSign }) => secondsSinceSign),
    ),
    gauge(
      "signal_cluster_pending_joins",
      "Joins whose outcome is not known yet.",
      cluster(({ pending }) => pending),
    ),
    counter(
      "signal_cluster_resyncs_total",
      "How often all was told anew to the engine.",
      cluster(({ resyncs }) => resyncs),
    ),
    counter(
      "signal_cluster_fenced_total",
      "How often this node was held for dead.",
      cluster(({ fenced }) => fenced),
    ),
    counter(
      "signal_cluster_published_total",
      "Signals to other nodes.",
      cluster(({ published }) => published),
    ),
    counter(
      "signal_cluster_received_total",
      "Signals from other nodes.",
      cluster(({ received }) => received),
    ),

    gauge("process_resident_memory_bytes", "Resident memory.", () => Deno.memoryUsage().rss),
    gauge(
      "signal_heap_used_bytes",
      "What of the JavaScript heap is in use.",
      () => Deno.memoryUsage().heapUsed,
    ),
    gauge("signal_memory_high_bytes", "Above this no new sockets are taken (--memory-high).", () => {
      return sources.memoryHigh === undefined ? [] : [[{}, sources.memoryHigh]];
    }),
    gauge(
      "process_start_time_seconds",
      "When the process started, in seconds since 1970.",
      () => sources.startedAt,
    ),
  ];
}

/** Counts since the start. */
function samples(label: string, tally: Tally): Sample[] {
  return [...tally.totals].map(([what, count]) => [{ [label]: what }, count]);
}

function byVersion(counts: Readonly<Record<2 | 3, number>>): Sample[] {
  return ([2, 3] as const).map((version) => [{ version: String(version) }, counts[version]]);
}
