/**
 * A real WebRTC peer as a program, so that tests can run it in another network namespace.
 *
 *     deno run -A tests/nat/peer.ts <WebSocket URL> <room>
 *
 * It takes the ICE servers from the server's welcome (version 3), joins the room, connects to the one peer that it
 * is introduced to, says its address to it, prints a {@link PeerReport} as one line of JSON, and stays until killed.
 */

import {
  type Configuration,
  type IceCandidate,
  type Peer,
  RTCPeerConnection,
  selectedPair,
} from "../kit/webrtc.ts";
import type { DataChannel, SessionDescription } from "../kit/wrtc.d.ts";

export interface PeerReport {
  /** The own candidates' kinds and addresses, in the order in which they were found. */
  candidates: { type: IceCandidate["type"]; address: string | null }[];
  /** What the other peer said; undefined where the two cannot connect. */
  heard?: string;
  /** The kinds of candidate, local and remote, that carry it. */
  pair?: [IceCandidate["type"], IceCandidate["type"]];
}

interface Signal {
  description?: SessionDescription;
  candidate?: IceCandidate;
}

/** Longer than libwebrtc takes to give up; a peer with nothing to try never does by itself. */
const PATIENCE_MS = 20_000;

/** Resolves with what the other peer says; undefined where there is no way to it. */
function connect(
  socket: WebSocket,
  configuration: Configuration,
  room: string,
  candidates: PeerReport["candidates"],
): Promise<{ peer: Peer; heard?: string }> {
  const peer = new RTCPeerConnection(configuration);
  const result = Promise.withResolvers<{ peer: Peer; heard?: string }>();
  const call = (...words: unknown[]) => socket.send(JSON.stringify(words));
  let send = (_signal: Signal) => {};
  // One signal after another, and descriptions sent before they are set, which starts the search for candidates:
  // no candidate may overtake the description that it belongs to.
  let signals = Promise.resolve();

  function converse(channel: DataChannel, own: string): void {
    channel.onmessage = ({ data }) => result.resolve({ peer, heard: String(data) });
    const greet = () => channel.send(`from ${own}`);
    if (channel.readyState === "open") greet();
    else channel.onopen = greet;
  }

  async function introduce(own: string, other: string, initiator: boolean): Promise<void> {
    send = (signal) => call("signal", own, other, signal);
    peer.onicecandidate = ({ candidate }) => {
      if (candidate === null) return;
      candidates.push({ type: candidate.type, address: candidate.address });
      send({ candidate });
    };
    peer.ondatachannel = ({ channel }) => converse(channel, own);
    if (!initiator) return;
    converse(peer.createDataChannel("test"), own);
    const offer = await peer.createOffer();
    send({ description: offer });
    await peer.setLocalDescription(offer);
  }

  async function hear({ description, candidate }: Signal): Promise<void> {
    if (candidate) await peer.addIceCandidate(candidate);
    if (!description) return;
    await peer.setRemoteDescription(description);
    if (description.type !== "offer") return;
    const answer = await peer.createAnswer();
    send({ description: answer });
    await peer.setLocalDescription(answer);
  }

  peer.onconnectionstatechange = () => peer.connectionState === "failed" && result.resolve({ peer });
  setTimeout(() => result.resolve({ peer }), PATIENCE_MS);
  socket.onmessage = ({ data }) => {
    const [name, first, second, third] = JSON.parse(data);
    if (name === "ident") call("join", first, room);
    if (name === "stun") signals = signals.then(() => introduce(first, second, third));
    if (name === "signal") signals = signals.then(() => hear(third));
  };
  call("ident");
  return result.promise;
}

if (import.meta.main) {
  const [url, room] = Deno.args;
  const socket = new WebSocket(url!, "diva.signal.v3");
  const welcome = await new Promise<{ iceServers: Configuration["iceServers"] }>((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(JSON.parse(data)[1]);
    socket.onclose = () => reject(new Error(`${url} closed the socket`));
  });
  socket.onclose = null;
  const candidates: PeerReport["candidates"] = [];
  const { peer, heard } = await connect(socket, { iceServers: welcome.iceServers }, room!, candidates);
  const report: PeerReport = { candidates };
  if (heard !== undefined) Object.assign(report, { heard, pair: await selectedPair(peer) });
  console.log(JSON.stringify(report));
}
