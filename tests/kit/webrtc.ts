/** Real WebRTC peers of libwebrtc. */

// @ts-types="./wrtc.d.ts"
import wrtc from "@roamhq/wrtc";
// @ts-types="./wrtc.d.ts"
import type { Configuration, DataChannel, IceCandidate, SessionDescription } from "@roamhq/wrtc";

export type Peer = InstanceType<typeof wrtc.RTCPeerConnection>;
export type { Configuration, IceCandidate, SessionDescription };

/** Longer than libwebrtc takes to give up a pair that both sides have candidates for. */
const PATIENCE_MS = 60_000;

/**
 * How long libwebrtc is given at the end of a file of tests, once to say what it has to say, and once to let go. It has no
 * event for either. Where a channel of the other side is yet to be told of when its connection is closed, or objects are
 * freed, by the end of the file's JavaScript, that have just been closed, it crashes, and all tests with it.
 */
const PARTING_MS = 250;

const connections = new Set<Peer>();

export class RTCPeerConnection extends wrtc.RTCPeerConnection {
  constructor(configuration: Configuration) {
    super(configuration);
    connections.add(this);
  }
}

// A program that is no test ends without freeing anything.
Deno.test.afterAll?.(async () => {
  const pause = () => new Promise((resolve) => setTimeout(resolve, PARTING_MS));
  await pause();
  for (const connection of connections) connection.close();
  await pause();
});

/** The candidates that a peer finds by itself. */
export async function gather(configuration: Configuration): Promise<IceCandidate[]> {
  const peer = new RTCPeerConnection(configuration);
  try {
    const candidates: IceCandidate[] = [];
    const complete = Promise.withResolvers<void>();
    peer.onicecandidate = ({ candidate }) => candidate && candidates.push(candidate);
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && complete.resolve();
    peer.createDataChannel("test");
    await peer.setLocalDescription(await peer.createOffer());
    await complete.promise;
    return candidates;
  } finally {
    peer.close();
  }
}

/** The kinds of candidate, local and remote, by which a connected peer sends. */
export async function selectedPair(peer: Peer): Promise<[IceCandidate["type"], IceCandidate["type"]]> {
  const stats = await peer.getStats();
  const pair = stats.values().find(({ type, nominated, state }) =>
    type === "candidate-pair" && nominated && state === "succeeded"
  );
  const local = stats.get(pair?.localCandidateId ?? "")?.candidateType;
  const remote = stats.get(pair?.remoteCandidateId ?? "")?.candidateType;
  if (local === undefined || remote === undefined) throw new Error("no pair of candidates is selected");
  return [local, remote];
}

/** The next message on a channel. */
export function message(channel: DataChannel): Promise<unknown> {
  return new Promise((resolve) => channel.onmessage = ({ data }) => resolve(data));
}

/**
 * Connects two peers of this process, has each say something, and returns the first one's selected pair.
 *
 * @throws {Error} where they cannot connect, or have nothing to try
 */
export async function converse(
  configuration: Configuration,
): Promise<{ heard: [unknown, unknown]; pair: [IceCandidate["type"], IceCandidate["type"]] }> {
  const caller = new RTCPeerConnection(configuration);
  const callee = new RTCPeerConnection(configuration);
  const failed = Promise.withResolvers<never>();
  const patience = setTimeout(() => failed.reject(new Error("the peers found no way")), PATIENCE_MS);
  try {
    caller.onicecandidate = ({ candidate }) => candidate && callee.addIceCandidate(candidate);
    callee.onicecandidate = ({ candidate }) => candidate && caller.addIceCandidate(candidate);
    caller.onconnectionstatechange = () =>
      caller.connectionState === "failed" && failed.reject(new Error("the peers cannot connect"));
    const channel = caller.createDataChannel("test");
    const other = new Promise<DataChannel>((resolve) => {
      callee.ondatachannel = ({ channel }) => resolve(channel);
    });
    const open = new Promise<void>((resolve) => channel.onopen = resolve);

    const offer = await caller.createOffer();
    // The other side first: setting the local one starts the search for candidates, which must not overtake it.
    await callee.setRemoteDescription(offer);
    await caller.setLocalDescription(offer);
    const answer = await callee.createAnswer();
    await caller.setRemoteDescription(answer);
    await callee.setLocalDescription(answer);

    const talk = async (): Promise<[unknown, unknown]> => {
      const answering = await other;
      const heardByCallee = message(answering);
      const heardByCaller = message(channel);
      await open;
      channel.send("from the caller");
      const first = await heardByCallee;
      answering.send("from the callee");
      return [first, await heardByCaller];
    };
    const heard = await Promise.race([talk(), failed.promise]);
    return { heard, pair: await selectedPair(caller) };
  } finally {
    clearTimeout(patience);
    caller.close();
    callee.close();
  }
}
