/**
 * The client library in a program, so that tests can run it in another network namespace.
 *
 *     deno run -A tests/nat/library_peer.ts mesh <URL> <ident>    joins, and says each second how many words it has sent
 *     deno run -A tests/nat/library_peer.ts check <URL>           checks the connection
 *
 * Prints a line of JSON for whatever happens, until killed.
 */

import { diagnose, joinMesh } from "../../lib/client/mod.ts";
import { RTCPeerConnection, type SessionDescription } from "../kit/webrtc.ts";

const [mode, url = "", ident] = Deno.args;
const print = (what: object) => console.log(JSON.stringify(what));

if (mode === "check") {
  const { steps } = await diagnose({ url, RTCPeerConnection, stepTimeout: 12_000 });
  print({ steps: steps.map(({ name, verdict, text }) => ({ name, verdict, text })) });
  Deno.exit();
}

/** To ask a connection for its description while it finds candidates would end the process. */
class Remembering extends RTCPeerConnection {
  described = "";

  override setLocalDescription(description: SessionDescription): Promise<void> {
    this.described = description.sdp ?? this.described;
    return super.setLocalDescription(description);
  }
}

const mesh = await joinMesh({ url, room: "kitchen", ident, RTCPeerConnection: Remembering });
const connections = new Set<unknown>();
mesh.addEventListener("error", ({ error }) => print({ error: error.code, message: error.message }));
mesh.addEventListener("peer", ({ peer }) => {
  print({ peer: peer.ident });
  peer.addEventListener("state", () => {
    const { state, path, failure } = peer;
    const connection = peer.connection as unknown as Remembering | undefined;
    // ICE has other words for each restart.
    const ufrag = () => /^a=ice-ufrag:(\S+)/m.exec(connection?.described ?? "")?.[1];
    if (connection && !connections.has(connection)) {
      connections.add(connection);
      connection.addEventListener("signalingstatechange", () => print({ ufrag: ufrag() }));
    }
    const { why, message } = failure ?? {};
    print({ state, path, ufrag: ufrag(), why, message, connections: connections.size });
  });
  peer.addEventListener("message", ({ data }) => print({ heard: data }));
});
let words = 0;
setInterval(() => {
  const now = [...mesh.peers.values()].filter(({ state }) => state === "connected");
  for (const peer of now) peer.send(++words);
}, 250);
