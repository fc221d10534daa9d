/** What the benchmark makes servers do. All workloads run in closed loops: nothing is sent before its answer is due. */

import { decodeStun } from "../../lib/ice/stun.ts";
import { encodeBindingRequest, mappedAddress } from "../kit/stun_message.ts";
import { ident, relayedText, room, signalText } from "./messages.ts";
import { clientFrame, Peer } from "./peer.ts";
import { quantile } from "./statistics.ts";
import { cpuMicros } from "./usage.ts";

/** A server under load. */
export interface Target {
  readonly port: number;
  readonly pid: number;
  /** Whether it only sends back what it gets. */
  readonly echoes: boolean;
  /** Other nodes, over which the sockets are spread, too. */
  readonly more?: readonly { readonly port: number; readonly pid: number }[];
  /** What they share their rooms by. */
  readonly enginePid?: number;
}

/** Sockets spread over all nodes of a server in turn. */
async function connectAll({ port, more = [] }: Target, count: number, bytes: number): Promise<Peer[]> {
  const ports = [port, ...more.map(({ port }) => port)];
  const each = await Promise.all(ports.map((port) => Peer.connectMany(port, count / ports.length, bytes)));
  return Array.from(
    { length: count },
    (_, index) => each[index % ports.length]![Math.floor(index / ports.length)]!,
  );
}

/** What to do, and with how much at once. */
export type Task =
  /** Opens and closes sockets. Done: a socket. */
  | { readonly kind: "handshakes"; readonly atOnce: number }
  /**
   * Groups of `roomSize` sockets, `sockets` in all, join one new room after another. Done: a join, with all the
   * introductions that it leads to. The echo sends as many frames, but is asked for each.
   */
  | { readonly kind: "joins"; readonly roomSize: number; readonly sockets: number }
  /**
   * Pairs of sockets send each other signals; each socket has one on its way. It sends to so many addresses of the
   * other in turn. Done: a signal that has arrived.
   */
  | { readonly kind: "signals"; readonly pairs: number; readonly bytes: number; readonly addresses: number }
  /** STUN clients that ask for their address again and again, one request on its way each. Done: an answer. */
  | { readonly kind: "answers"; readonly clients: number }
  /** Sockets that do nothing. Done: a socket that was still served when the slice began. */
  | { readonly kind: "idle"; readonly sockets: number };

/** What was done in a slice of time, from the first thing sent to the last answer. */
export interface Slice {
  readonly done: number;
  readonly seconds: number;
  /** CPU time of the server, and of the process that makes the load; undefined where the system does not tell. */
  readonly serverMicros?: number;
  readonly loadMicros?: number;
  /** The same of what nodes share their rooms by. */
  readonly engineMicros?: number;
  /** Milliseconds from sending a signal to its arrival. */
  readonly p50?: number;
  readonly p99?: number;
}

/** Does its work until `deadline` (of `performance.now()`) and finishes what it has begun. */
interface Workload {
  run(deadline: number, progress: Progress): Promise<void>;
  close(): void;
}

interface Progress {
  done: number;
  /** Milliseconds each; empty where the workload does not measure them. */
  readonly latencies: number[];
}

/** One answer in so many is compared with what was expected byte by byte; of the others, the length. */
const SAMPLE = 64;

/** A workload on one server, ready to run. */
export class Rig {
  readonly #target: Target;
  readonly #workload: Workload;

  private constructor(target: Target, workload: Workload) {
    this.#target = target;
    this.#workload = workload;
  }

  static async prepare(target: Target, task: Task): Promise<Rig> {
    switch (task.kind) {
      case "handshakes":
        return new Rig(target, new Handshakes(target, task.atOnce));
      case "joins":
        return new Rig(target, await Joins.prepare(target, task.sockets, task.roomSize));
      case "signals":
        return new Rig(target, await Signals.prepare(target, task));
      case "answers":
        return new Rig(target, new Answers(target, task.clients));
      case "idle":
        return new Rig(target, await Idle.prepare(target, task.sockets));
    }
  }

  /** Throws where the server answers anything but what it should. */
  async slice(milliseconds: number): Promise<Slice> {
    const progress: Progress = { done: 0, latencies: [] };
    const before = this.#usage();
    const start = performance.now();
    await this.#workload.run(start + milliseconds, progress);
    const seconds = (performance.now() - start) / 1000;
    const after = this.#usage();
    const [serverMicros, loadMicros, engineMicros] = after.map((micros, index) => {
      const earlier = before[index];
      return micros === undefined || earlier === undefined ? undefined : micros - earlier;
    });
    const { done, latencies } = progress;
    const percentiles = latencies.length > 0 &&
      { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
    return { done, seconds, serverMicros, loadMicros, engineMicros, ...percentiles };
  }

  #usage(): (number | undefined)[] {
    const { pid, more = [], enginePid } = this.#target;
    const nodes = [pid, ...more.map(({ pid }) => pid)].map(cpuMicros);
    return [
      nodes.includes(undefined) ? undefined : nodes.reduce<number>((sum, micros) => sum + micros!, 0),
      cpuMicros(Deno.pid),
      enginePid === undefined ? undefined : cpuMicros(enginePid),
    ];
  }

  close(): void {
    this.#workload.close();
  }
}

class Handshakes implements Workload {
  readonly #port: number;
  readonly #atOnce: number;

  constructor({ port }: Target, atOnce: number) {
    this.#port = port;
    this.#atOnce = atOnce;
  }

  async run(deadline: number, progress: Progress): Promise<void> {
    const loop = async () => {
      do {
        const peer = await Peer.connect(this.#port);
        await peer.close();
        progress.done++;
      } while (performance.now() < deadline);
    };
    await Promise.all(Array.from({ length: this.#atOnce }, loop));
  }

  close(): void {}
}

class Joins implements Workload {
  readonly #echoes: boolean;
  readonly #roomSize: number;
  readonly #groups: Peer[][];
  #rooms = 0;

  private constructor(echoes: boolean, roomSize: number, groups: Peer[][]) {
    this.#echoes = echoes;
    this.#roomSize = roomSize;
    this.#groups = groups;
  }

  static async prepare(target: Target, sockets: number, roomSize: number): Promise<Joins> {
    const peers = await connectAll(target, sockets, 16_384);
    const groups = Array.from(
      { length: Math.floor(sockets / roomSize) },
      (_, group) => peers.slice(group * roomSize, (group + 1) * roomSize),
    );
    return new Joins(target.echoes, roomSize, groups);
  }

  async run(deadline: number, progress: Progress): Promise<void> {
    await Promise.all(this.#groups.map(async (group) => {
      do {
        if (this.#echoes) await this.#echo(group);
        else await this.#fillRoom(group);
        progress.done += this.#roomSize;
      } while (performance.now() < deadline);
    }));
  }

  close(): void {
    for (const peer of this.#groups.flat()) peer.drop();
  }

  /** Lets all peers of a group join a new room, and waits until each has met every other. */
  async #fillRoom(group: Peer[]): Promise<void> {
    const number = this.#rooms++;
    const name = room(number);
    const address = `${name}:${ident(0)}`;
    const joined = JSON.stringify(["join", address]).length;
    const told = JSON.stringify(["stun", address, address, true]).length;
    const sampled = number % SAMPLE === 0;
    const texts = await Promise.all(group.map(async (peer, index) => {
      await peer.say(JSON.stringify(["join", ident(index), name]));
      return await receive(peer, this.#roomSize, (bytes, position) => {
        if (position === 0 ? bytes === joined : bytes === told || bytes === told + 1) return;
        throw new Error(`an answer of ${bytes} bytes to a join was not expected`);
      }, sampled);
    }));
    if (sampled) checkIntroductions(name, texts);
  }

  async #echo(group: Peer[]): Promise<void> {
    const address = `${room(0)}:${ident(0)}`;
    const text = JSON.stringify(["stun", address, address, true]);
    const frame = clientFrame(text);
    const frames = new Uint8Array(frame.length * this.#roomSize);
    for (let offset = 0; offset < frames.length; offset += frame.length) frames.set(frame, offset);
    await Promise.all(group.map(async (peer) => {
      await peer.send(frames);
      await receive(peer, this.#roomSize, (bytes) => {
        if (bytes !== text.length) throw new Error(`an echo has ${bytes} bytes instead of ${text.length}`);
      }, false);
    }));
  }
}

/**
 * Takes so many messages, each of a length that `check` accepts.
 *
 * @return their texts where they are to be `kept`
 */
async function receive(
  peer: Peer,
  count: number,
  check: (bytes: number, position: number) => void,
  kept: boolean,
): Promise<string[]> {
  const texts: string[] = [];
  for (let position = 0; position < count;) {
    const payload = peer.take();
    if (payload === undefined) {
      await peer.fill();
      continue;
    }
    check(payload.length, position++);
    if (kept) texts.push(new TextDecoder().decode(payload));
  }
  return texts;
}

/** Throws unless all members of a room were told of each other, with one initiator in each pair. */
function checkIntroductions(name: string, texts: string[][]): void {
  const initiators = new Map<string, boolean>();
  for (const [index, [first, ...others]] of texts.entries()) {
    const own = `${name}:${ident(index)}`;
    if (first !== JSON.stringify(["join", own])) throw new Error(`${own} was told ${first}`);
    for (const text of others) {
      const [call, subject, other, initiator] = JSON.parse(text);
      if (call !== "stun" || subject !== own) throw new Error(`${own} was told ${text}`);
      initiators.set(`${own} ${other}`, initiator);
    }
  }
  for (let one = 0; one < texts.length; one++) {
    for (let other = 0; other < one; other++) {
      const [a, b] = [one, other].map((index) => `${name}:${ident(index)}`);
      const [atOne, atOther] = [initiators.get(`${a} ${b}`), initiators.get(`${b} ${a}`)];
      if (atOne === undefined || atOther !== !atOne) throw new Error(`${a} and ${b} were not introduced`);
    }
  }
}

/** A sender, a receiver, and what goes from one to the other, in turn. */
interface Lane {
  readonly from: Peer;
  readonly to: Peer;
  readonly signals: readonly { readonly frame: Uint8Array; readonly expected: Uint8Array }[];
}

class Signals implements Workload {
  readonly #lanes: Lane[];

  private constructor(lanes: Lane[]) {
    this.#lanes = lanes;
  }

  static async prepare(
    target: Target,
    { pairs, bytes, addresses }: Extract<Task, { kind: "signals" }>,
  ): Promise<Signals> {
    const { echoes } = target;
    const peers = await connectAll(target, 2 * pairs, 4096);
    const lanes: Lane[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const members = [2 * pair, 2 * pair + 1].map((index) => ({
        peer: peers[index],
        idents: Array.from({ length: addresses }, (_, number) => ident(index * addresses + number)),
      }));
      if (!echoes) {
        for (const { peer, idents } of members) {
          for (const ident of idents) await peer!.say(JSON.stringify(["join", ident, room(pair)]));
          await settled(peer!);
        }
        // Now it has been told of the other, too; by another node that may take its time.
        if (target.more === undefined) await settled(members[0]!.peer!);
        else await receive(members[0]!.peer!, addresses ** 2, () => {}, false);
      }
      for (const [sender, receiver] of [members, members.toReversed()]) {
        const from = `${room(pair)}:${sender!.idents[0]}`;
        const signals = receiver!.idents.map((ident) => {
          const to = `${room(pair)}:${ident}`;
          const sent = signalText(from, to, bytes);
          const expected = new TextEncoder().encode(echoes ? sent : relayedText(from, to, sent));
          return { frame: clientFrame(sent), expected };
        });
        lanes.push({ from: sender!.peer!, to: echoes ? sender!.peer! : receiver!.peer!, signals });
      }
    }
    return new Signals(lanes);
  }

  async run(deadline: number, progress: Progress): Promise<void> {
    await Promise.all(this.#lanes.map(async ({ from, to, signals }) => {
      for (let count = 0, now = performance.now(); count === 0 || now < deadline; count++) {
        const { frame, expected } = signals[count % signals.length]!;
        await from.send(frame);
        let payload: Uint8Array | undefined;
        while ((payload = to.take()) === undefined) await to.fill();
        const arrival = performance.now();
        progress.latencies.push(arrival - now);
        progress.done++;
        now = arrival;
        const same = payload.length === expected.length &&
          (count % SAMPLE !== 0 || payload.every((byte, index) => byte === expected[index]));
        if (!same) throw new Error(`instead of a signal there came ${new TextDecoder().decode(payload)}`);
      }
    }));
  }

  close(): void {
    for (const { from } of this.#lanes) from.drop();
  }
}

/** After so many milliseconds without an answer a request is sent again: UDP may lose it. */
const REPEAT_MS = 250;

class Answers implements Workload {
  readonly #server: Deno.NetAddr;
  readonly #sockets: Deno.DatagramConn[];

  constructor({ port }: Target, clients: number) {
    this.#server = { transport: "udp", hostname: "127.0.0.1", port };
    this.#sockets = Array.from(
      { length: clients },
      () => Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 }),
    );
  }

  async run(deadline: number, progress: Progress): Promise<void> {
    await Promise.all(this.#sockets.map(async (socket) => {
      const id = crypto.getRandomValues(new Uint8Array(12));
      const request = encodeBindingRequest(id);
      const own = (socket.addr as Deno.NetAddr).port;
      const send = () => socket.send(request, this.#server);
      const repeat = setInterval(send, REPEAT_MS);
      for (let count = 0, now = performance.now(); count === 0 || now < deadline; count++) {
        await send();
        const [datagram] = await socket.receive();
        const arrival = performance.now();
        progress.latencies.push(arrival - now);
        progress.done++;
        now = arrival;
        if (count % SAMPLE !== 0) continue;
        const answer = decodeStun(datagram);
        const port = "fault" in answer ? undefined : mappedAddress(answer)?.port;
        if (port !== own) throw new Error(`a request from port ${own} was answered with ${port}`);
      }
      clearInterval(repeat);
    }));
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

/** Takes all that has been sent to a peer so far. */
async function settled(peer: Peer): Promise<void> {
  await peer.say('["ping"]');
  while (await peer.text() !== '["pong"]');
}

class Idle implements Workload {
  readonly #echoes: boolean;
  readonly #peers: Peer[];

  private constructor(echoes: boolean, peers: Peer[]) {
    this.#echoes = echoes;
    this.#peers = peers;
  }

  static async prepare({ port, echoes }: Target, sockets: number): Promise<Idle> {
    return new Idle(echoes, await Peer.connectMany(port, sockets));
  }

  async run(_deadline: number, progress: Progress): Promise<void> {
    const ping = '["ping"]';
    const answer = this.#echoes ? ping : '["pong"]';
    for (const peer of this.#peers) {
      await peer.say(ping);
      const text = await peer.text();
      if (text !== answer) throw new Error(`a ping was answered with ${text}`);
      progress.done++;
    }
  }

  close(): void {
    for (const peer of this.#peers) peer.drop();
  }
}
