/** Peers that meet in one room until every pair of them has talked, and an account of it in words. */

import { type IceServer, type LinkView, MeshPeer, type PeerEvent, type Version } from "./peer.ts";

export interface MeshOptions {
  /** `ws:` or `wss:` URL of the server. */
  readonly url: string;
  readonly room: string;
  /** One peer for each, in the order in which they join; they are called peer 1, peer 2, … */
  readonly versions: readonly Version[];
  /** As for a `MeshPeer`. */
  readonly iceServers?: readonly IceServer[];
  /** For all of it, in milliseconds. */
  readonly timeoutMs: number;
  /** Told what happens, a line at a time. */
  readonly say: (line: string) => void;
  /** Ends it early. */
  readonly signal?: AbortSignal;
}

/** Two of the peers, and whether each has heard from the other what the other said. */
export interface Pair {
  /** `peer 1 and peer 2` */
  readonly names: string;
  readonly talked: boolean;
  /** What each of them knows of the other; empty where they have talked. */
  readonly why: string;
}

/** What the server carried for the peers. */
export interface Carried {
  offer: number;
  answer: number;
  candidate: number;
}

export interface MeshReport {
  readonly pairs: readonly Pair[];
  readonly carried: Readonly<Carried>;
}

/** Resolves when all pairs have talked, or none of the others will, or the time is up; all peers are closed then. */
export async function mesh(options: MeshOptions): Promise<MeshReport> {
  const { versions, say, signal } = options;
  const deadline = performance.now() + options.timeoutMs;
  const remaining = () => Math.max(0, deadline - performance.now());
  const names = new Map<string, string>();
  const nameOf = (address: string) => names.get(address) ?? address;
  const greeting = (own: string, other: string) => `Hello ${nameOf(other)}, this is ${nameOf(own)}.`;
  const carried: Carried = { offer: 0, answer: 0, candidate: 0 };
  const peers: MeshPeer[] = [];
  const acquainted = () =>
    peers.flatMap((peer) => {
      const others = peers.filter((other) => other !== peer).map(({ address }) => address);
      return { peer, others };
    });
  const settle = (timeoutMs: number) =>
    Promise.allSettled(acquainted().map(({ peer, others }) => peer.hear(others, timeoutMs)));
  const closeAll = () => Promise.all(peers.map((peer) => peer.close()));
  signal?.addEventListener("abort", closeAll);

  try {
    for (const [index, version] of versions.entries()) {
      const name = `peer ${index + 1}`;
      const onEvent = (event: PeerEvent) => {
        if (event.type === "named") names.set(`${options.room}:${event.ident}`, name);
        if (event.type === "sent") carried[event.what]++;
        const line = describe(event, name, version, nameOf);
        if (line !== undefined) say(line);
      };
      const { url, room, iceServers } = options;
      try {
        const timeoutMs = remaining();
        peers.push(
          await MeshPeer.join({ url, room, version, iceServers, timeoutMs, greeting, signal, onEvent }),
        );
      } catch (error) {
        if (!signal?.aborted) say(`${name} could not join: ${(error as Error).message}`);
        break;
      }
      // One after the other reads better; a pair that hangs takes no more than its share of the time.
      await settle(remaining() / (versions.length - index));
    }
    if (peers.length === versions.length) await settle(remaining());
    return { pairs: pairsOf(versions.length, peers, greeting), carried };
  } finally {
    signal?.removeEventListener("abort", closeAll);
    await closeAll();
  }
}

function pairsOf(
  count: number,
  peers: readonly MeshPeer[],
  greeting: (own: string, other: string) => string,
): Pair[] {
  const pairs: Pair[] = [];
  for (let b = 1; b < count; b++) {
    for (let a = 0; a < b; a++) {
      const sides = [[a, b], [b, a]].map(([own, other]) => {
        const name = `peer ${own! + 1}`;
        if (peers[own!] === undefined) return { talked: false, why: `${name} did not join` };
        const link = peers[own!]!.links.get(peers[other!]?.address!);
        const heard = link?.heard;
        const talked = heard !== undefined &&
          heard === greeting(peers[other!]!.address, peers[own!]!.address);
        return { talked, why: `${name}: ${stateOf(link)}` };
      });
      const talked = sides.every((side) => side.talked);
      const why = talked ? "" : sides.map((side) => side.why).join("; ");
      pairs.push({ names: `peer ${a + 1} and peer ${b + 1}`, talked, why });
    }
  }
  return pairs;
}

function stateOf(link: LinkView | undefined): string {
  if (link === undefined) return "not introduced";
  if (link.heard !== undefined) return `has heard ${JSON.stringify(link.heard)}`;
  return link.failure ?? link.progress;
}

/** One line about an event; undefined where it's too small to tell. */
function describe(
  event: PeerEvent,
  name: string,
  version: Version,
  nameOf: (address: string) => string,
): string | undefined {
  switch (event.type) {
    case "named":
      return `${name} connects, speaking version ${version}; the server names it ${event.ident}`;
    case "joined":
      return `${name} joins the room`;
    case "introduced":
      return event.initiator
        ? `server to ${name}: ${nameOf(event.other)} is here, make it an offer`
        : `server to ${name}: ${nameOf(event.other)} is new, wait for its offer`;
    case "sent":
      if (event.what === "candidate") return undefined;
      return `${name} to ${nameOf(event.other)}, through the server: ${event.what}`;
    case "state":
      return `${name}'s link to ${nameOf(event.other)}: ${event.state}`;
    case "message":
      return `${nameOf(event.other)} to ${name}, directly: ${event.text}`;
    case "failed":
      return `${name}'s link to ${nameOf(event.other)} failed: ${event.reason}`;
    case "gone":
      return `server to ${name}: ${nameOf(event.other)} is gone (${event.reason})`;
    case "refused":
      return `server to ${name}: ${event.reason} (${event.code})`;
    case "disconnected":
      return `${name} has lost the server: ${event.reason}`;
    case "received":
      return undefined;
  }
}
