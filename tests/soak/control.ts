/**
 * Pairs of peers that do nothing wrong, and what the server does for them: how long a signal takes there and
 * back, and whether all arrive, in order.
 *
 * Usage: control.ts PORT; orders: `lap`, `finish`
 */

import { RawClient } from "../kit/raw_client.ts";
import { Latencies } from "./latency.ts";
import { headersOf, Peer } from "./peer.ts";
import { obey } from "./program.ts";

/** What was seen since the last lap. */
export interface Lap {
  /** Round trips that were begun, and those that came to an end. */
  readonly sent: number;
  readonly answered: number;
  /** What arrived in another order than it was sent in, or was not what was sent. */
  readonly disordered: number;
  readonly latencies: readonly (readonly [milliseconds: number, times: number])[];
  /** How sockets ended that should be open. */
  readonly ended: readonly string[];
}

/** As many as it takes for a 99th percentile to mean something after two seconds. */
const PAIRS = 4;

/** Sockets that this opens. */
export const CONTROL_SOCKETS = 2 * PAIRS;

/** Milliseconds between two signals of one pair: within the server's limit of 100 calls a second. */
const INTERVAL = 12;

/** About what an offer has. */
const SDP = "a=candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host\r\n".repeat(16);

/** A pair does not send more while that many of its signals are on their way: 12 seconds' worth. */
const MAX_PENDING = 1000;

/** Milliseconds to wait for what is still on its way at the end. */
const PATIENCE = 10_000;

class Pair {
  readonly #room: string;
  readonly #offerer: Peer;
  readonly #answerer: Peer;
  /** When each signal that is on its way was sent; the oldest first. */
  readonly #pending: { readonly number: number; readonly sentAt: number }[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #number = 0;
  #finishing = false;
  #sent = 0;
  #answered = 0;
  #disordered = 0;
  #ended: string[] = [];
  #latencies = new Latencies();

  private constructor(room: string, offerer: RawClient, answerer: RawClient) {
    this.#room = room;
    this.#offerer = new Peer(offerer, (message) => this.#onAnswer(message));
    this.#answerer = new Peer(answerer, (message) => this.#onOffer(message));
    for (const peer of [this.#offerer, this.#answerer]) {
      peer.ended.then((how) => this.#finishing || this.#ended.push(how));
    }
  }

  static async open(port: number, room: string): Promise<Pair> {
    const open = () => RawClient.open(port, headersOf(3));
    const pair = new Pair(room, await open(), await open());
    await pair.#answerer.settle(["join", "answerer", room]);
    await pair.#offerer.settle(["join", "offerer", room]);
    return pair;
  }

  start(): void {
    this.#timer = setInterval(() => this.#offer(), INTERVAL);
  }

  /** Sends nothing more, waits for what is on its way, and closes both sockets. */
  async finish(): Promise<void> {
    clearInterval(this.#timer);
    const deadline = performance.now() + PATIENCE;
    while (this.#pending.length > 0 && this.#ended.length === 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.#finishing = true;
    for (const peer of [this.#offerer, this.#answerer]) {
      const how = await peer.close();
      if (how !== "1000") this.#ended.push(how);
    }
  }

  lap(): Lap {
    const lap = {
      sent: this.#sent,
      answered: this.#answered,
      disordered: this.#disordered,
      latencies: [...this.#latencies],
      ended: this.#ended,
    };
    this.#sent = this.#answered = this.#disordered = 0;
    this.#ended = [];
    this.#latencies = new Latencies();
    return lap;
  }

  #offer(): void {
    if (this.#pending.length >= MAX_PENDING || this.#ended.length > 0) return;
    const number = this.#number++;
    this.#sent++;
    this.#pending.push({ number, sentAt: performance.now() });
    const { offerer, answerer } = this.#addresses();
    this.#offerer.send(["signal", offerer, answerer, { number, sdp: SDP }]);
  }

  #onOffer([name, , , data]: unknown[]): void {
    if (name !== "signal") return;
    const { offerer, answerer } = this.#addresses();
    this.#answerer.send(["signal", answerer, offerer, data]);
  }

  #onAnswer([name, , , data]: unknown[]): void {
    if (name !== "signal") return;
    const { number, sdp } = data as { number: number; sdp: string };
    const oldest = this.#pending.shift();
    if (number === oldest?.number && sdp === SDP) {
      this.#answered++;
      this.#latencies.add(performance.now() - oldest.sentAt);
    } else {
      this.#disordered++;
    }
  }

  #addresses() {
    return { offerer: `${this.#room}:offerer`, answerer: `${this.#room}:answerer` };
  }
}

if (import.meta.main) {
  const pairs: Pair[] = [];
  for (let i = 0; i < PAIRS; i++) pairs.push(await Pair.open(Number(Deno.args[0]), `control ${i}`));
  for (const pair of pairs) {
    pair.start();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL / PAIRS));
  }
  await obey(async (order): Promise<Lap> => {
    if (order === "finish") await Promise.all(pairs.map((pair) => pair.finish()));
    const laps = pairs.map((pair) => pair.lap());
    const sum = (name: "sent" | "answered" | "disordered") =>
      laps.reduce((total, lap) => total + lap[name], 0);
    return {
      sent: sum("sent"),
      answered: sum("answered"),
      disordered: sum("disordered"),
      latencies: laps.flatMap((lap) => lap.latencies),
      ended: laps.flatMap((lap) => lap.ended),
    };
  });
}
