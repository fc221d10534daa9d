// SPDX-License-Identifier: MIT

/** Looks for what stands in the way of connections, step by step. Loaded when it is asked for. */

import type { Mesh, MeshOptions } from "./mesh.ts";
import type { Peer } from "./peer.ts";
import type { IceServer, PeerConnectionConstructor, RtcConnection, WebSocketConstructor } from "./rtc.ts";

/** What one step has found. */
export interface Step {
  readonly name: "server" | "websocket" | "stun" | "nat" | "turn" | "loop" | "throughput" | "quiet";
  /** `notice`: it works, but not for everybody. `skipped`: there is nothing to look at. */
  readonly verdict: "ok" | "notice" | "failed" | "skipped";
  /** What was seen, in a sentence for a person. */
  readonly text: string;
  /** What to do about it. */
  readonly advice?: string;
  /** What was measured, for programs. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Diagnosis {
  readonly steps: readonly Step[];
  /** Whether no step has failed. */
  readonly ok: boolean;
  /** All of it as text, for a report. It holds the reader's own address. */
  readonly text: string;
}

export interface DiagnoseOptions extends Omit<MeshOptions, "room"> {
  /** Told of each step as it ends. */
  onStep?: ((step: Step) => void) | undefined;
  /** Longest wait for each step, in milliseconds. */
  stepTimeout?: number | undefined;
  /** How long a connection is kept silent to see whether a proxy ends it, in seconds; 0: not at all. */
  quietSeconds?: number | undefined;
}

interface Verdict extends Omit<Step, "name" | "details"> {
  readonly details?: Record<string, unknown>;
}

interface Gathered {
  readonly candidates: readonly { type: string; address: string; port: number }[];
  /** Of `icecandidateerror`: code 701 where nobody answered (W3C WebRTC), else what STUN or TURN said. */
  readonly errors: readonly { code: number; text: string; url: string }[];
  readonly ms: number;
}

/** @internal `join` is handed in, so that nothing of the module that loads this one stands here twice. */
export async function examine(
  options: DiagnoseOptions,
  join: (options: MeshOptions) => Promise<Mesh>,
): Promise<Diagnosis> {
  const { RTCPeerConnection, stepTimeout = 10_000, quietSeconds = 0, onStep, signal } = options;
  const url = new URL(String(options.url ?? import.meta.url));
  const base = options.url === undefined ? new URL(".", url) : url;
  const steps: Step[] = [];
  const look = async (name: Step["name"], find: () => Promise<Verdict>): Promise<Step> => {
    signal?.throwIfAborted();
    const verdict = await find().catch((error): Verdict => ({
      verdict: "failed",
      text: (error as Error).message,
    }));
    const step = { name, details: {}, ...verdict };
    steps.push(step);
    onStep?.(step);
    return step;
  };
  const Connection = RTCPeerConnection ??
    (globalThis as { RTCPeerConnection?: PeerConnectionConstructor }).RTCPeerConnection;
  const Socket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  const search = (iceServers: IceServer[], iceTransportPolicy: "all" | "relay" = "all") =>
    gather(new Connection!({ iceServers, iceTransportPolicy }), stepTimeout);

  const server = await look("server", () => askServer(base, stepTimeout));
  let iceServers: IceServer[] = [];
  const socket = await look("websocket", async () => {
    const { welcome, ms, close } = await greet(Socket!, base, stepTimeout);
    close();
    if (!welcome) {
      return server.verdict !== "failed"
        ? {
          verdict: "failed",
          text: "The server answers, but no WebSocket comes about.",
          advice:
            "A proxy in between may not pass the upgrade on, or the server may not allow pages of this origin.",
        }
        : {
          verdict: "failed",
          text: "No WebSocket comes about.",
          advice: "Is this the server's address, and is it running?",
        };
    }
    iceServers = welcome.iceServers;
    return { verdict: "ok", text: `A WebSocket opens, and is welcomed after ${ms} ms.`, details: { ms } };
  });
  if (socket.verdict !== "failed" && Connection) {
    const stun = iceServers.filter(({ urls }) => /^stuns?:/.test([urls].flat()[0] ?? ""));
    const each = stun.flatMap(({ urls }) => [urls].flat()).map((urls) => ({ urls }));
    let count = 0;
    const reflexive = await look("stun", async () => {
      if (each.length === 0) {
        return {
          verdict: "notice",
          text: "The server names no STUN server that could be reached from here.",
          advice:
            "Without one, peers in different networks do not find each other: start the server with STUN, and let its UDP port be reached.",
        };
      }
      const found = await search(each.slice(0, 1));
      const own = found.candidates.filter(({ type }) => type === "srflx");
      count = own.length;
      const details = { ...found, url: each[0]?.urls };
      const [first] = own;
      if (first) {
        const text = `UDP works. From outside you are seen at ${first.address}, after ${found.ms} ms.`;
        return { verdict: "ok", text, details };
      }
      // One that is of another family than the interface is nobody's fault.
      if (found.errors.some(({ text }) => !/incompatible/.test(text)) || found.ms >= stepTimeout) {
        return {
          verdict: "failed",
          text: `No answer from ${each[0]?.urls} over UDP.`,
          advice:
            "A firewall near you blocks UDP, or the server's UDP port is closed. Only a TURN server over TCP or TLS would help.",
          details,
        };
      }
      return {
        verdict: "ok",
        text: "UDP is not blocked, and there is no address translation on the way.",
        details,
      };
    });
    await look("nat", async () => {
      if (reflexive.verdict !== "ok" || each.length < 2) {
        return {
          verdict: "skipped",
          text: "Two STUN addresses that answer are needed to see how your NAT maps.",
        };
      }
      const { candidates } = await search(each.slice(0, 2));
      const mapped = candidates.filter(({ type }) => type === "srflx").length;
      if (mapped > count) {
        return {
          verdict: "notice",
          text: "Your NAT gives each destination another port (symmetric).",
          advice:
            "A direct connection to somebody behind the same kind will not come about: offer a TURN server.",
          details: { mapping: "dependent" },
        };
      }
      return {
        verdict: "ok",
        text: count === 0
          ? "There is no NAT that maps."
          : "Your NAT keeps one port for all destinations, so direct connections come about.",
        details: { mapping: count === 0 ? "none" : "endpoint-independent" },
      };
    });
    const turn = iceServers.filter(({ urls }) => /^turns?:/.test([urls].flat()[0] ?? ""));
    if (turn.length === 0) {
      await look("turn", () =>
        Promise.resolve({
          verdict: "notice",
          text: "The server offers no TURN server.",
          advice:
            "Most pairs connect without. Where UDP is blocked or both NATs are symmetric, only TURN helps.",
        }));
    }
    for (const entry of turn) {
      for (const urls of [entry.urls].flat()) {
        await look("turn", async () => {
          const found = await search([{ ...entry, urls }], "relay");
          const details = { ...found, url: urls };
          if (found.candidates.length > 0) {
            return { verdict: "ok", text: `${urls} relays, after ${found.ms} ms.`, details };
          }
          const refusal = found.errors.find(({ code }) => code !== 701);
          return refusal
            ? {
              verdict: "failed",
              text: `${urls} refuses: ${refusal.code} ${refusal.text}`.trim(),
              advice: "Have the TURN server and this server the same secret, and do their clocks agree?",
              details,
            }
            : {
              verdict: "failed",
              text: `${urls} does not answer, or takes no credentials from here.`,
              advice:
                "Is it running, does a firewall let its port pass, and have the two servers the same secret?",
              details,
            };
        });
      }
    }
    await loop(options, base, stepTimeout, join, look);
  }
  if (quietSeconds > 0 && socket.verdict !== "failed") {
    await look("quiet", () => stayQuiet(Socket!, base, quietSeconds));
  }
  return {
    steps,
    ok: steps.every(({ verdict }) => verdict !== "failed"),
    text: steps.map(({ name, verdict, text, advice }) =>
      `${name}: ${verdict}. ${text}${advice ? ` ${advice}` : ""}\n`
    ).join(""),
  };
}

/** Over plain HTTP: which way do we come to the server? */
async function askServer(base: URL, timeoutMs: number): Promise<Verdict> {
  const url = new URL("whoami", slashed(base, "http"));
  const seen = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) }).then((answer) =>
    answer.ok ? answer.json() : undefined
  )
    .catch(() => undefined) as { address: string; proxies: number; unheard: boolean } | undefined;
  if (!seen) {
    return {
      verdict: "failed",
      text: `${url.origin} does not answer.`,
      advice: "Is this the server's address, and is it running?",
    };
  }
  const { address, proxies } = seen;
  if (seen.unheard) {
    return {
      verdict: "notice",
      text: `A proxy at ${address} names clients, which the server does not believe.`,
      advice: "Everybody behind it shares the limits of one client: start the server with --trust-proxy.",
      details: { ...seen },
    };
  }
  const way = proxies === 0 ? "directly" : proxies === 1 ? "through a proxy" : `through ${proxies} proxies`;
  return {
    verdict: "ok",
    text: `The server is reached ${way}, from the address ${address}.`,
    details: { ...seen },
  };
}

interface Greeting {
  readonly welcome?: { iceServers: IceServer[] };
  readonly ms: number;
  // deno-lint-ignore no-explicit-any -- whatever kind of WebSocket was passed in
  readonly socket: any;
  close(): void;
}

function greet(Socket: WebSocketConstructor, base: URL, timeoutMs: number): Promise<Greeting> {
  return new Promise((resolve) => {
    const begun = Date.now();
    const socket = new Socket(slashed(base, "ws").href, ["diva.signal.v3"]);
    const done = (welcome?: Greeting["welcome"]) => {
      clearTimeout(timer);
      resolve({ ...welcome && { welcome }, ms: Date.now() - begun, socket, close: () => socket.close() });
    };
    const timer = setTimeout(done, timeoutMs);
    socket.onmessage = ({ data }: { data: string }) => done(JSON.parse(data)[1]);
    socket.onclose = () => done();
    socket.onerror = () => {};
  });
}

/** Whether the connection outlives a silence in which only the server's own pings pass. */
async function stayQuiet(Socket: WebSocketConstructor, base: URL, seconds: number): Promise<Verdict> {
  const { socket, close } = await greet(Socket, base, 10_000);
  const begun = Date.now();
  const code = await new Promise<number | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), seconds * 1000);
    socket.onclose = (event: { code: number }) => {
      clearTimeout(timer);
      resolve(event.code);
    };
  });
  close();
  const lasted = Math.round((Date.now() - begun) / 1000);
  if (code === undefined) {
    return {
      verdict: "ok",
      text: `A silent connection is still open after ${lasted} s.`,
      details: { seconds: lasted },
    };
  }
  return {
    verdict: "failed",
    text: `A silent connection was ended after ${lasted} s (${code || 1006}).`,
    advice: "A proxy in between gives up too early: let it wait longer than the server's --keepalive.",
    details: { seconds: lasted, code },
  };
}

/** Two peers here, through the server: the whole way that an application goes. */
async function loop(
  options: DiagnoseOptions,
  base: URL,
  timeoutMs: number,
  join: (options: MeshOptions) => Promise<Mesh>,
  look: (name: Step["name"], find: () => Promise<Verdict>) => Promise<Step>,
): Promise<void> {
  const room = `check-${crypto.randomUUID?.() ?? Math.random()}`;
  const { WebSocket, RTCPeerConnection, rtcConfiguration, signal } = options;
  const timing = { joinTimeout: timeoutMs };
  const both = { url: base, room, WebSocket, RTCPeerConnection, rtcConfiguration, signal, timing };
  const meshes: Mesh[] = [];
  try {
    const linked = await look("loop", async () => {
      const begun = Date.now();
      for (let i = 0; i < 2; i++) meshes.push(await join(both));
      const peer = await within(
        timeoutMs,
        new Promise<Peer>((resolve) => {
          meshes[1]!.addEventListener("peer", ({ peer }) => {
            peer.addEventListener("state", () => peer.state === "connected" && peer.path && resolve(peer));
          });
        }),
      );
      const ms = Date.now() - begun;
      if (!peer) {
        return {
          verdict: "failed",
          text: "Two peers here, side by side, did not find each other.",
          advice:
            "An extension or a setting of the browser may forbid WebRTC, or a VPN on this device may lose large packets.",
        };
      }
      return {
        verdict: "ok",
        text: `Two peers here are connected through the server after ${ms} ms (${peer.path}).`,
        details: { ms, path: peer.path },
      };
    });
    if (linked.verdict === "failed") return;
    await look("throughput", async () => {
      const [from, to] = meshes as [Mesh, Mesh];
      let bytes = 0;
      const arrived = new Promise<void>((resolve) => {
        to.addEventListener("message", ({ data }) => {
          bytes += (data as Uint8Array).length;
          resolve();
        });
      });
      const part = new Uint8Array(65_536);
      const begun = Date.now();
      const stream = async () => {
        while (Date.now() - begun < 1000) await from.send(part);
        await arrived;
        return true;
      };
      const flows = await within(timeoutMs, stream());
      if (!flows) {
        return {
          verdict: "failed",
          text: "The two are connected, but what they send does not get through.",
          advice: "A VPN or another tunnel on this device may lose large packets: lower its MTU.",
          details: { bytes },
        };
      }
      const rate = bytes / (Date.now() - begun) * 8 / 1000;
      return {
        verdict: "ok",
        text: `Between them pass ${rate.toFixed(0)} Mbit/s.`,
        details: { megabitsPerSecond: rate },
      };
    });
  } finally {
    for (const mesh of meshes) await mesh.leave();
  }
}

/** What it comes to, or `undefined` where that takes longer. */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T | undefined> {
  let timer;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), timeoutMs));
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** All candidates for these servers, and what was heard of errors. */
function gather(connection: RtcConnection, timeoutMs: number): Promise<Gathered> {
  return new Promise((resolve, reject) => {
    const begun = Date.now();
    const candidates: Gathered["candidates"][number][] = [];
    const errors: Gathered["errors"][number][] = [];
    const done = () => {
      clearTimeout(timer);
      connection.close();
      resolve({ candidates, errors, ms: Date.now() - begun });
    };
    const timer = setTimeout(done, timeoutMs);
    connection.addEventListener("icecandidate", (event) => {
      const { candidate } = event as Event & { candidate: { candidate: string } | null };
      // candidate:foundation component protocol priority address port typ type (RFC 8839 section 5.1)
      const [, address = "", port, type = ""] = / (\S+) (\d+) typ (\w+)/.exec(candidate?.candidate ?? "") ??
        [];
      if (type) candidates.push({ type, address, port: Number(port) });
    });
    connection.addEventListener("icecandidateerror", (event) => {
      const { errorCode, errorText, url } = event as Event & {
        errorCode: number;
        errorText: string;
        url: string;
      };
      errors.push({ code: errorCode, text: errorText, url });
    });
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState === "complete") done();
    });
    connection.createDataChannel("check");
    connection.createOffer().then((offer) => connection.setLocalDescription(offer)).catch(reject);
  });
}

/** A folder below which the server's paths are. */
function slashed(base: URL, scheme: "http" | "ws"): URL {
  const url = new URL(base);
  url.protocol = url.protocol.replace(/^(http|ws)/, scheme);
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}
