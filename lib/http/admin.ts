/** Rooms for the administrator: JSON to look at them, and a way to remove a member. */

import { timingSafeEqual } from "node:crypto";
import type { Source } from "../limits/source.ts";
import { Unreachable } from "../rooms/store.ts";
import { sha256 } from "../runtime/digest.ts";
import { content, refusal } from "./responses.ts";
import { bearerOf } from "./bearer.ts";
import type { Visit } from "./visit.ts";

/** A room, in a list. */
export interface RoomEntry {
  readonly room: string;
  readonly peers: number;
}

/** A member of a room, in a list. */
export interface PeerEntry {
  readonly ident: string;
  /** ISO 8601. */
  readonly since: string;
  /** Of the protocol. Of members of another node neither this is known here nor what follows, but its name. */
  readonly version?: number;
  /** The client's address as limits count it: `198.51.100.7`, `2001:db8:1:2::/64`. */
  readonly client?: string;
  /** Its socket broke, and it may come back. */
  readonly asleep?: boolean;
  /** ISO 8601, of a member by token. */
  readonly until?: string;
  readonly node?: string;
}

/** What has become of the links between the peers of a room, as far as their clients report it. */
export interface RoomLinks {
  /** Of which one has signalled or reported. */
  readonly pairs: number;
  readonly connected: number;
  /** The first of those of which it is known that they failed. */
  readonly failed: readonly object[];
}

/** What the administrator may do. Lists are in the order of names, from behind `after` on. */
export interface Administration {
  rooms(after: string, limit: number): Promise<readonly RoomEntry[]>;
  /** `undefined` where there is no such room. */
  peers(room: string, after: string, limit: number): Promise<readonly PeerEntry[] | undefined>;
  links(room: string): RoomLinks;
  /** False where there is no such member. */
  remove(room: string, ident: string): Promise<boolean>;
}

export interface AdminOptions {
  /** The word by which the administrator is known. */
  readonly token: string;
  readonly administration: Administration;
  /** Whether a client may try once more; `onWrong` counts a try that was none. */
  readonly mayTry: (client: Source) => boolean;
  readonly onWrong: (client: Source) => void;
}

const PAGE = { usual: 100, most: 1000 };

/** What stands below this path is for the administrator. */
export const ADMIN_PATH = "/admin/";

/** Answers what is asked below `/admin/`. */
export class Admin {
  readonly #options: AdminOptions;
  readonly #proof: Uint8Array;

  constructor(options: AdminOptions) {
    this.#options = options;
    this.#proof = sha256(options.token);
  }

  /** @param base in front of the path; with a slash at both ends */
  async answer(visit: Visit, base = "/"): Promise<Response> {
    const { mayTry, onWrong } = this.#options;
    const { request: { method, headers }, url, client } = visit;
    // Not by the address: that stands in logs and histories.
    const given = bearerOf(headers);
    if (!mayTry(client)) {
      return refusal(429, "Your address has been wrong too often.", { "retry-after": "10" });
    }
    if (given === undefined || !timingSafeEqual(sha256(given), this.#proof)) {
      if (given !== undefined) onWrong(client);
      return refusal(401, "This is for the administrator: Authorization: Bearer, and the token.", {
        "www-authenticate": "Bearer",
      });
    }
    try {
      return await this.#carryOut(method, url, url.pathname.slice(base.length - 1));
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return refusal(503, "The other nodes can't be reached at the moment.", { "retry-after": "5" });
    }
  }

  async #carryOut(method: string, url: URL, pathname: string): Promise<Response> {
    const { administration } = this.#options;
    const names = readPath(pathname);
    if (names === undefined) return refusal(400, "The path can't be read.");
    const [what, room, ident, ...more] = names;
    if (what !== "rooms" || more.length > 0) return refusal(404, "There is nothing here but /admin/rooms.");
    const allowed = ident === undefined ? "GET, HEAD" : "DELETE";
    if (!allowed.split(", ").includes(method)) {
      return refusal(405, `Only ${allowed} is possible here.`, { allow: allowed });
    }
    if (ident !== undefined) {
      return await administration.remove(room!, ident)
        ? new Response(null, { status: 204 })
        : refusal(404, "There is no such member.");
    }
    const after = url.searchParams.get("after") ?? "";
    const limit = Number(url.searchParams.get("limit") ?? PAGE.usual);
    if (!Number.isInteger(limit) || limit < 1 || limit > PAGE.most) {
      return refusal(400, `limit is a whole number from 1 to ${PAGE.most}.`);
    }
    // One more than asked for, to see whether there is more.
    if (room === undefined) {
      const rooms = await administration.rooms(after, limit + 1);
      return page(
        { rooms: rooms.slice(0, limit) },
        rooms.length > limit ? rooms[limit - 1]!.room : undefined,
      );
    }
    const peers = await administration.peers(room, after, limit + 1);
    if (peers === undefined) return refusal(404, "There is no such room.");
    const links = administration.links(room);
    return page({ room, links, peers: peers.slice(0, limit) }, peers[limit] && peers[limit - 1]!.ident);
  }
}

/** `next` is to be asked for as `after`. */
function page(body: object, next: string | undefined): Response {
  return content(200, "application/json", JSON.stringify({ ...body, next }) + "\n");
}

/** Behind `/admin/`: names in a path are percent-encoded. */
function readPath(pathname: string): string[] | undefined {
  try {
    return pathname.slice(ADMIN_PATH.length).split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
