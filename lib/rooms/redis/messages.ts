/**
 * What nodes say to each other, by way of the engine: a version, a letter, and fields. Names have no control characters
 * and JSON has none that is not escaped, so these can separate them.
 */

/** Nodes that speak another version, and whose keys mean something else, must not share an engine under one prefix. */
export const CLUSTER_VERSION = "1";

export const FIELD = "\x1f";
export const ITEM = "\x1e";
export const PREFIX = CLUSTER_VERSION;

/** How long somebody has held an address, and where. */
export interface Stay {
  /** Grows with every join anywhere: in a pair the later one is the initiator. In decimal. */
  readonly serial: string;
  readonly node: string;
  readonly since: number;
  readonly claimed: boolean;
  readonly proof?: Uint8Array | undefined;
  readonly info?: string | undefined;
}

/** A member of a room, as the engine has it. */
export interface Entry {
  readonly ident: string;
  readonly stay: Stay;
}

export type Message =
  /** Somebody has joined. `request`: of this node; `list`: who else is in the room, where it could not know. */
  | {
    readonly kind: "joined";
    readonly request: string;
    readonly room: string;
    readonly entry: Entry;
    readonly list: readonly Entry[];
  }
  | { readonly kind: "refused"; readonly request: string; readonly code: "ident-taken" | "room-full" }
  | {
    readonly kind: "gone";
    readonly room: string;
    readonly ident: string;
    readonly serial: string;
    readonly reason: string;
  }
  /** All members of a node in a room that came in one call, told anew. */
  | { readonly kind: "synced"; readonly room: string; readonly list: readonly Entry[] }
  /** All members of a room. */
  | { readonly kind: "view"; readonly room: string; readonly list: readonly Entry[] }
  /** Address → serial of all that the engine holds for this node, at this point of the inbox. */
  | { readonly kind: "mark"; readonly mark: string; readonly held: ReadonlyMap<string, string> }
  | { readonly kind: "signal"; readonly from: string; readonly to: string; readonly tail: string }
  /** The administrator, who asked another node, removes a member of this one. */
  | {
    readonly kind: "end";
    readonly room: string;
    readonly ident: string;
    readonly serial: string;
    readonly reason: string;
  }
  /** The answer to a beat. */
  | { readonly kind: "probe" }
  /** Another node has taken this one's name, or holds it for dead. */
  | { readonly kind: "fenced" };

export function encodeSignal(from: string, to: string, tail: string): string {
  return `${PREFIX}D${FIELD}${from}${FIELD}${to}${FIELD}${tail}`;
}

export function encodeStay({ serial, node, since, claimed, proof, info }: Stay): string {
  return [serial, node, since, claimed ? 1 : 0, encodeProof(proof), info ?? ""].join(FIELD);
}

/** As it stands in a stay; of a claim as well. */
export function encodeProof(proof: Uint8Array | undefined): string {
  return proof === undefined ? "" : proof.toBase64();
}

export function decodeStay(fields: readonly string[]): Stay {
  const [serial = "0", node = "", since, claimed, proof, info] = fields;
  return {
    serial,
    node,
    since: Number(since),
    claimed: claimed === "1",
    proof: proof ? Uint8Array.fromBase64(proof) : undefined,
    info: info || undefined,
  };
}

/** `undefined` for what a later minor version may say. */
export function decode(text: string): Message | undefined {
  const kind = text[PREFIX.length];
  if (kind === "D") {
    const from = text.indexOf(FIELD) + 1;
    const to = text.indexOf(FIELD, from) + 1;
    const tail = text.indexOf(FIELD, to) + 1;
    return {
      kind: "signal",
      from: text.slice(from, to - 1),
      to: text.slice(to, tail - 1),
      tail: text.slice(tail),
    };
  }
  const [head = "", ...items] = text.split(ITEM);
  const [, ...fields] = head.split(FIELD);
  const [first = "", second = "", third = "", fourth = ""] = fields;
  switch (kind) {
    case "J":
      return {
        kind: "joined",
        request: first,
        room: second,
        entry: { ident: third, stay: decodeStay(fields.slice(3)) },
        list: items.filter(Boolean).map(decodeEntry),
      };
    case "R":
      return { kind: "refused", request: first, code: second as "ident-taken" | "room-full" };
    case "G":
      return { kind: "gone", room: first, ident: second, serial: third, reason: fourth };
    case "S":
    case "V": {
      const list = [fields.slice(1).join(FIELD), ...items].filter(Boolean).map(decodeEntry);
      return { kind: kind === "S" ? "synced" : "view", room: first, list };
    }
    case "E": {
      const list = [fields.slice(1).join(FIELD), ...items].filter(Boolean);
      return {
        kind: "mark",
        mark: first,
        held: new Map(list.map((item) => item.split(FIELD) as [string, string])),
      };
    }
    case "X":
      return { kind: "end", room: first, ident: second, serial: third, reason: fourth };
    case "P":
      return { kind: "probe" };
    case "F":
      return { kind: "fenced" };
    default:
      return undefined;
  }
}

function decodeEntry(item: string): Entry {
  const [ident = "", ...fields] = item.split(FIELD);
  return { ident, stay: decodeStay(fields) };
}
