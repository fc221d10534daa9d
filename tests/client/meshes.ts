/** Peers of the client library in this process, over a network that can be broken on purpose. */

import { joinMesh, type Mesh, type MeshOptions, type Peer } from "../../lib/client/mod.ts";
import { RTCPeerConnection } from "../kit/webrtc.ts";

/** Far more than is needed, were the machine busy with nothing else. */
const PATIENCE_MS = 60_000;

/** Waits that suit a loopback interface, where nothing needs long. */
export const QUICK = {
  connectTimeout: 3000,
  retryLeast: 50,
  retryMost: 500,
  interruptedTimeout: 300,
  returnTimeout: 3000,
  linkTimeout: 5000,
};

export function join(options: Partial<MeshOptions> & { url: string }): Promise<Mesh> {
  return joinMesh({ room: "kitchen", RTCPeerConnection, timing: QUICK, ...options });
}

/** Resolves as soon as the condition holds, which is looked at after each event; rejects in words after a while. */
export function until(what: string, holds: () => boolean, ...targets: EventTarget[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const types = ["state", "peer", "message", "media", "channel", "error", "welcome"];
    const look = () => {
      if (!holds()) return;
      stop();
      resolve();
    };
    // States of peers that come later tell nothing to those who listen to the mesh only.
    const poll = setInterval(look, 10);
    const patience = setTimeout(() => {
      stop();
      reject(new Error(`waited in vain: ${what}`));
    }, PATIENCE_MS);
    const stop = () => {
      clearInterval(poll);
      clearTimeout(patience);
      for (const target of targets) for (const type of types) target.removeEventListener(type, look);
    };
    for (const target of targets) for (const type of types) target.addEventListener(type, look);
    look();
  });
}

/** How each sees the others, in words, for a failing test. */
export function picture(meshes: readonly Mesh[]): string {
  return meshes.map((mesh) =>
    `${mesh.ident} (${mesh.state}): ` +
    [...mesh.peers.values()].map((peer) => `${peer.ident} ${peer.state}`).join(", ")
  ).join("; ");
}

/** Everybody is connected to everybody else, and to nobody twice. */
export function isFull(meshes: readonly Mesh[]): boolean {
  return meshes.every((mesh) =>
    mesh.state === "joined" && mesh.peers.size === meshes.length - 1 &&
    meshes.every((other) => other === mesh || mesh.peers.get(other.ident)?.state === "connected")
  );
}

export async function full(...meshes: Mesh[]): Promise<void> {
  await until("for a full mesh", () => isFull(meshes)).catch((error) => {
    throw new Error(`${error.message}: ${picture(meshes)}`);
  });
}

/** The next event of a type. */
export function next<T extends Event>(target: EventTarget, type: string): Promise<T> {
  return new Promise((resolve) =>
    target.addEventListener(type, (event) => resolve(event as T), { once: true })
  );
}

export function peerOf(mesh: Mesh, ident: string): Peer {
  const peer = mesh.peers.get(ident);
  if (!peer) throw new Error(`${mesh.ident} knows no ${ident}: ${picture([mesh])}`);
  return peer;
}

/** A TCP connection to the server that can be cut, in front of a server that may be another each time. */
export interface Wire extends Disposable {
  readonly url: string;
  /** Where new connections lead to. */
  target: number | undefined;
  /** Ends all connections at once, as a lost network does. */
  cut(): void;
}

export function wire(port: number): Wire {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const self: Wire = {
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    target: port,
    cut() {
      for (const connection of open) close(connection);
    },
    [Symbol.dispose]() {
      listener.close();
      self.cut();
    },
  };
  const close = (connection: Deno.TcpConn) => {
    open.delete(connection);
    try {
      connection.close();
    } catch { /* it was already */ }
  };
  (async () => {
    for await (const near of listener) {
      (async () => {
        open.add(near);
        let far: Deno.TcpConn | undefined;
        try {
          if (self.target === undefined) return;
          far = await Deno.connect({ hostname: "127.0.0.1", port: self.target });
          open.add(far);
          await Promise.race([pump(near, far), pump(far, near)]);
        } catch {
          /* one of the two has ended */
        } finally {
          close(near);
          if (far) close(far);
        }
      })();
    }
  })();
  return self;
}

async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(65_536);
  for (let size; (size = await from.read(buffer)) !== null;) {
    for (let at = 0; at < size;) at += await to.write(buffer.subarray(at, size));
  }
}
