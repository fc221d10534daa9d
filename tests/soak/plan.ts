/**
 * What the peers of a storm are going to do. Pure: one seed, one plan; only the timing differs between runs.
 */

import type { Version } from "../../lib/protocol/codec.ts";
import { Random } from "./random.ts";

/** How often a way to live is chosen, and how it may end: what a life says of itself. */
interface Way {
  readonly weight: number;
  readonly ends: readonly string[];
}

const WAYS = {
  /** Joins, signals, leaves or not, closes. */
  polite: { weight: 500, ends: ["said goodbye"] },
  /** The same, but without any goodbye. */
  vanish: { weight: 120, ends: ["vanished"] },
  /** Resets the connection. */
  reset: { weight: 60, ends: ["vanished"] },
  /** Resets the connection while its handshake is answered. */
  resetHandshake: { weight: 60, ends: ["vanished"] },
  /** Hangs up with half a request sent. */
  halfHandshake: { weight: 50, ends: ["vanished"] },
  /** Hangs up with a call, or half of one, on its way. */
  midJoin: { weight: 80, ends: ["vanished"] },
  /** Makes calls until it is thrown out. A close frame may be lost in the flood. */
  flood: { weight: 12, ends: ["closed with 1008", "dropped"] },
  /** Joins one room after the other until it is thrown out. */
  joinFlood: { weight: 10, ends: ["closed with 1008", "dropped"] },
  /** Opens sockets until it is refused. */
  connectFlood: { weight: 4, ends: ["refused with 429"] },
  /** Sends texts that are no calls. */
  nonsense: { weight: 40, ends: ["answered"] },
  /** Sends frames that are none. */
  malformed: { weight: 30, ends: ["closed with 1002", "closed with 1007", "dropped"] },
  /** Speaks something else than HTTP. */
  alien: { weight: 20, ends: ["vanished"] },
  /** Sends a message that is too large. */
  oversize: { weight: 20, ends: ["closed with 1009"] },
  /** Sends a call in pieces. */
  fragments: { weight: 40, ends: ["understood"] },
  /** Doesn't read what it is sent, until it is thrown out. */
  deaf: { weight: 5, ends: ["closed with 1013"] },
  /** Doesn't answer pings. */
  sleeper: { weight: 10, ends: ["closed with 1001", "dropped"] },
  /** Wants the pages for people. */
  browser: { weight: 20, ends: ["answered with 200", "answered with 404"] },
} as const satisfies Readonly<Record<string, Way>>;

export type Kind = keyof typeof WAYS;
export const KINDS = Object.keys(WAYS) as Kind[];

/** Whether a life may end like that, if the server is as it should be. */
export function mayEnd(kind: Kind, end: string): boolean {
  const { ends }: Way = WAYS[kind];
  return ends.includes(end);
}

/** One socket's life, or that of several where it takes them to misbehave. */
export interface Life {
  readonly kind: Kind;
  readonly version: Version;
  /** From where it seems to come. */
  readonly address: string;
  readonly room: string;
  /** Under which it joins; unique in the plan. */
  readonly idents: readonly string[];
  /** For all else that it draws. */
  readonly seed: number;
  /** Milliseconds from its end to the beginning of the next. */
  readonly rest: number;
}

/** The room in which observers sit. */
export const WATCHED = "watched";

/**
 * The lives that one place in the storm sees, one after the other, without end. The first places begin with
 * one kind each, so that even a short storm has them all.
 *
 * @param place 0 to `peers` - 1
 */
export function* lives(seed: number, place: number, peers: number): Generator<Life, never> {
  const random = new Random(seed ^ Math.imul(place + 1, 0x9e3779b1));
  const address = `10.0.${place >> 8}.${place & 255}`;
  for (let number = 0;; number++) {
    const kind = number === 0 && place < KINDS.length ? KINDS[place]! : drawKind(random);
    const idents = random.chance(0.1) ? ["a", "b"] : ["a"];
    yield {
      kind,
      version: random.chance(0.5) ? 3 : 2,
      // Whoever floods with connections should not get its next lives refused.
      address: kind === "connectFlood"
        ? `172.16.${random.between(0, 255)}.${random.between(0, 255)}`
        : address,
      room: drawRoom(random, peers),
      idents: idents.map((ident) => `${ident}-${place}-${number}`),
      seed: random.word(),
      rest: random.between(100, 600),
    };
  }
}

function drawKind(random: Random): Kind {
  let at = random.between(1, KINDS.reduce((total, kind) => total + WAYS[kind].weight, 0));
  return KINDS.find((kind) => (at -= WAYS[kind].weight) <= 0)!;
}

/** Rooms for two, for a handful, for a dozen or two; one that is mostly full; and the one that is watched. */
function drawRoom(random: Random, peers: number): string {
  const one = (name: string, size: number) => `${name} ${random.between(1, Math.ceil(peers / size / 4))}`;
  const drawn = random.between(1, 100);
  if (drawn <= 35) return one("pair", 2);
  if (drawn <= 60) return one("few", 5);
  if (drawn <= 75) return one("many", 16);
  return drawn <= 88 ? "crowd" : WATCHED;
}
