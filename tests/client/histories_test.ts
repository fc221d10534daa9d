/** Random histories of a room: whatever happens, it ends as a full mesh in which nobody is twice. */

import fc from "fast-check";
// Many connections that are torn down in the middle of something: libwebrtc's package for Node.js crashes at that.
import { RTCPeerConnection } from "werift";
import type { Mesh } from "../../lib/client/mod.ts";
import { assertEquals } from "../kit/assert.ts";
import { type TestServer, testServer } from "../kit/server.ts";
import { full, join, QUICK, until, type Wire, wire } from "./meshes.ts";

type Happening =
  /** Somebody comes. */
  | { readonly type: "join" }
  /** Somebody leaves, and comes back as a new peer of the same name. */
  | { readonly type: "return"; readonly who: number }
  /** A connection to the server is cut, on both ends at once. */
  | { readonly type: "drop"; readonly who: number }
  /** The connection under a link is closed behind its back. */
  | { readonly type: "fail"; readonly who: number; readonly other: number }
  /** The server is gone, and another one comes. */
  | { readonly type: "restart" }
  | { readonly type: "pause"; readonly ms: number };

const who = fc.nat(5);
const happenings: fc.Arbitrary<Happening[]> = fc.array(
  fc.oneof<fc.MaybeWeightedArbitrary<Happening>[]>(
    { weight: 1, arbitrary: fc.constant({ type: "join" }) },
    { weight: 2, arbitrary: who.map((who) => ({ type: "return", who })) },
    { weight: 3, arbitrary: who.map((who) => ({ type: "drop", who })) },
    { weight: 3, arbitrary: fc.tuple(who, who).map(([who, other]) => ({ type: "fail", who, other })) },
    { weight: 2, arbitrary: fc.constant({ type: "restart" }) },
    { weight: 2, arbitrary: fc.nat(100).map((ms) => ({ type: "pause", ms })) },
  ),
  { minLength: 3, maxLength: 7 },
);

const MOST = 6;

class Room {
  readonly meshes: Mesh[] = [];
  /** How often each has been told of a name, less one for each time that its bearer came back as a new peer. */
  readonly told = new Map<Mesh, Map<string, number>>();
  readonly heard = new Map<Mesh, string[]>();
  readonly #wires: Wire[] = [];
  /** Connections that were closed behind somebody's back, both ends of each. */
  readonly #dead = new Set<unknown>();
  #server: TestServer = testServer();

  async enter(ident: string): Promise<void> {
    const network = wire(this.#server.port);
    this.#wires.push(network);
    const mesh = await join({
      url: network.url,
      ident,
      // Who left while the server could not be told finds its former session asleep.
      key: ident.padEnd(22, "-"),
      RTCPeerConnection,
      timing: { ...QUICK, linkTimeout: 10_000 },
    });
    const told = new Map<string, number>();
    const heard: string[] = [];
    mesh.addEventListener("peer", ({ peer }) => told.set(peer.ident, (told.get(peer.ident) ?? 0) + 1));
    mesh.addEventListener("message", ({ data, peer }) => heard.push(`${peer.ident}: ${data}`));
    this.meshes.push(mesh);
    this.told.set(mesh, told);
    this.heard.set(mesh, heard);
  }

  async happen(happening: Happening): Promise<void> {
    const at = (index: number) => index % this.meshes.length;
    switch (happening.type) {
      case "join":
        if (this.meshes.length < MOST) await this.enter(`p${this.meshes.length}`);
        return;
      case "return": {
        const i = at(happening.who);
        const [mesh] = this.meshes.splice(i, 1);
        await mesh!.leave();
        this.#wires.splice(i, 1)[0]![Symbol.dispose]();
        const { ident } = mesh!;
        for (const told of this.told.values()) told.set(ident, (told.get(ident) ?? 0) - 1);
        return await this.enter(ident);
      }
      case "drop":
        return this.#wires[at(happening.who)]!.cut();
      case "fail": {
        const mesh = this.meshes[at(happening.who)]!;
        const peers = [...mesh.peers.values()];
        const peer = peers[happening.other % Math.max(1, peers.length)];
        if (peer?.connection === undefined) return;
        const other = this.meshes.find(({ ident }) => ident === peer.ident)?.peers.get(mesh.ident);
        this.#dead.add(peer.connection);
        // Else it may be about another connection already, which the closed one is to give way to.
        if (other?.state === "connected" && peer.state === "connected") this.#dead.add(other.connection);
        return (peer.connection as unknown as { close(): void }).close();
      }
      case "restart": {
        for (const network of this.#wires) network.target = undefined;
        for (const network of this.#wires) network.cut();
        await this.#server.drain();
        this.#server = testServer();
        for (const network of this.#wires) network.target = this.#server.port;
        return;
      }
      case "pause":
        return await new Promise((resolve) => setTimeout(resolve, happening.ms));
    }
  }

  /** What is said over a link that has died unnoticed is lost: resolves when no such link is left. */
  async noticed(): Promise<void> {
    const links = () => this.meshes.flatMap((mesh) => [...mesh.peers.values()]);
    await until(
      "for dead links to be noticed",
      () => !links().some(({ connection }) => this.#dead.has(connection)),
    );
  }

  async end(): Promise<void> {
    await Promise.all(this.meshes.map((mesh) => mesh.leave()));
    for (const network of this.#wires) network[Symbol.dispose]();
    await this.#server.drain();
  }
}

async function live(size: number, history: readonly Happening[]): Promise<void> {
  const room = new Room();
  try {
    for (let i = 0; i < size; i++) await room.enter(`p${i}`);
    for (const happening of history) await room.happen(happening);
    await room.noticed();
    await full(...room.meshes);
    for (const mesh of room.meshes) {
      const twice = [...room.told.get(mesh)!].filter(([, count]) => count > 1);
      assertEquals(twice, [], `${mesh.ident} was told of somebody twice`);
    }
    for (const heard of room.heard.values()) heard.length = 0;
    await Promise.all(room.meshes.map((mesh) => mesh.send("hello")));
    const others = room.meshes.length - 1;
    await until(
      "for everybody's hello",
      () => room.meshes.every((mesh) => room.heard.get(mesh)!.length === others),
    );
    for (const mesh of room.meshes) {
      const heard = room.heard.get(mesh)!;
      assertEquals(new Set(heard).size, others, `${mesh.ident} heard somebody twice`);
    }
  } finally {
    await room.end();
  }
}

Deno.test("200 random histories of three to six peers end in a full mesh without doubles", async () => {
  // Some at a time: each waits most of its life.
  const runs = Array.from(
    { length: 5 },
    () =>
      fc.assert(fc.asyncProperty(fc.integer({ min: 3, max: 5 }), happenings, live), {
        numRuns: 40,
        endOnFailure: true,
      }),
  );
  await Promise.all(runs);
});
