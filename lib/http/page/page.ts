/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/** What moves on the page at `/`: a room to try, and the check. Made with the library as it is served. */

import { correction, generate } from "lean-qr";
import { toSvg } from "lean-qr/extras/svg";
import type { Mesh, Peer, Step } from "../../client/mod.ts";

/** As every application gets it; not a copy within this file. The page is there to be used while it is on its way. */
const library = (): Promise<typeof import("../../client/mod.ts")> =>
  import(new URL("client.js", import.meta.url).href);
library().catch(() => {/* whoever needs it asks once more, and is told */});

/** What the pages tell each other. */
interface Word {
  readonly chat?: string;
  readonly name?: string;
  /** How its sender's links are, by ident. */
  readonly links?: Readonly<Record<string, string>>;
}

const element = <T extends Element = HTMLElement>(id: string) => document.getElementById(id) as unknown as T;

function make(tag: string, text = "", className = ""): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

async function copy(button: HTMLElement, text: string): Promise<void> {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Without https there is no clipboard for pages.
    button.textContent = "Mark it and copy by hand";
  }
  setTimeout(() => button.textContent = before, 2000);
}

for (const box of document.querySelectorAll(".code")) {
  const pre = box.querySelector("pre")!;
  if (pre.id) continue;
  const button = make("button", "Copy", "small");
  button.addEventListener("click", () => copy(button, pre.textContent!));
  box.append(button);
}

// A room

const enter = element<HTMLFormElement>("enter");
const roomInput = element<HTMLInputElement>("room");
const nameInput = element<HTMLInputElement>("name");
const log = element("log");
let mesh: Mesh | undefined;
let camera: MediaStream | undefined;
const names = new Map<string, string>();
const links = new Map<string, Readonly<Record<string, string>>>();
const roundTrips = new Map<string, number>();

/** 12 characters of 32 that can't be mistaken for each other: 60 bits. */
function unguessable(): string {
  const letters = "abcdefghjkmnpqrstuvwxyz234567892";
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => letters[byte % 32]).join("").replace(
    /(.{4})(?!$)/g,
    "$1-",
  );
}

const roomOfAddress = () => new URLSearchParams(location.hash.slice(1)).get("room");
const nameOf = (ident: string) => names.get(ident) || ident.slice(0, 6);

roomInput.value = roomOfAddress() ?? unguessable();
roomInput.addEventListener("input", () => {
  element("enter-note").textContent = "Whoever knows or guesses this name can join.";
});

async function open(): Promise<void> {
  const button = element<HTMLButtonElement>("open");
  const room = roomInput.value.trim();
  if (!room || mesh || button.disabled) return;
  button.disabled = true;
  button.textContent = "Joining …";
  try {
    const { joinMesh } = await library();
    mesh = await joinMesh({ room: `page/${room}`, keep: "tab" });
  } catch (error) {
    const reason = (error as Error).message.replace(/[.!?]?$/, ".");
    element("enter-note").textContent = `That did not work: ${reason} The check below tells more.`;
    return;
  } finally {
    button.disabled = false;
    button.textContent = "Open the room";
  }
  const link = new URL(`#room=${encodeURIComponent(room)}`, location.href).href;
  history.replaceState(null, "", link);
  element("link").textContent = link;
  element("qr").replaceChildren(
    toSvg(generate(link, { minCorrectionLevel: correction.M }), document, { on: "black", pad: 1 }),
  );
  element("qr").firstElementChild!.setAttribute("class", "qr");
  element("qr").firstElementChild!.setAttribute("role", "img");
  element("qr").firstElementChild!.setAttribute("aria-label", "The link as a QR code, for a phone");
  enter.hidden = element("enter-note").hidden = true;
  element("opened").hidden = false;
  mesh.addEventListener("state", draw);
  mesh.addEventListener("peer", ({ peer }) => meet(peer));
  mesh.addEventListener("error", ({ error, peer }) => {
    if (error.code === "replaced") say("", "This room was opened in another tab with the same session.");
    else if (error.code !== "disconnected") {
      say("", `${peer ? `${nameOf(peer.ident)}: ` : ""}${error.message}`);
    }
  });
  draw();
}

function meet(peer: Peer): void {
  peer.addEventListener("state", () => {
    if (peer.state === "left") {
      say("", `${nameOf(peer.ident)} has left.`);
      links.delete(peer.ident);
      roundTrips.delete(peer.ident);
      document.querySelector(`video[data-peer="${CSS.escape(peer.ident)}"]`)?.remove();
    }
    draw();
    tellLinks();
  });
  peer.addEventListener("message", ({ data }) => {
    const { chat, name, links: theirs } = (data ?? {}) as Word;
    if (typeof name === "string") names.set(peer.ident, name.slice(0, 24));
    if (typeof theirs === "object" && theirs !== null) links.set(peer.ident, theirs);
    if (typeof chat === "string") say(nameOf(peer.ident), chat.slice(0, 2000));
    draw();
  });
  peer.addEventListener("media", () => show(peer));
  peer.send({ name: nameInput.value.trim() });
  draw();
}

/** Who is connected with whom is known to those two only: each tells the others. */
function tellLinks(): void {
  if (!mesh) return;
  const states = Object.fromEntries([...mesh.peers].map(([ident, { state }]) => [ident, state]));
  mesh.send({ links: states }).catch(() => {/* who has left need not know */});
}

function say(who: string, what: string): void {
  const line = make("p");
  if (who) line.append(make("b", `${who}: `));
  line.append(who ? what : make("i", what));
  log.append(line);
  while (log.childElementCount > 200) log.firstElementChild!.remove();
  log.scrollTop = log.scrollHeight;
}

function show(peer: Peer): void {
  const videos = element("videos");
  const selector = `video[data-peer="${CSS.escape(peer.ident)}"]`;
  videos.querySelector(selector)?.remove();
  const stream = peer.media[0];
  if (!stream) return;
  const video = document.createElement("video");
  video.dataset.peer = peer.ident;
  video.autoplay = video.playsInline = true;
  video.title = nameOf(peer.ident);
  video.setAttribute("aria-label", `Camera of ${nameOf(peer.ident)}`);
  video.srcObject = stream as MediaStream;
  videos.append(video);
}

const WORDS: Record<string, string> = {
  host: "direct",
  reflexive: "direct, through NAT",
  relay: "through a TURN server",
};

function describe(peer: Peer): string {
  const rtt = roundTrips.get(peer.ident);
  const way = peer.path ? `, ${WORDS[peer.path]}` : "";
  const why = peer.failure ? `: ${peer.failure.message}` : "";
  return `${peer.state}${way}${rtt === undefined ? "" : `, ${rtt.toFixed(0)} ms`}${why}`;
}

const STATES: Record<string, string> = {
  connecting: "Connecting to the server …",
  joined: "You are in the room.",
  waiting: "The server can't be reached at the moment. Links stay up; it is tried again.",
  closed: "You have left the room.",
};

function draw(): void {
  if (!mesh) return;
  const peers = [...mesh.peers.values()].filter(({ state }) => state !== "left");
  const count = peers.filter(({ state }) => state === "connected").length;
  const state = peers.length === 0 && mesh.state === "joined"
    ? "You are in the room, alone so far."
    : STATES[mesh.state]!;
  if (element("room-state").textContent !== state) element("room-state").textContent = state;
  element("peers").replaceChildren(...peers.map((peer) => {
    const item = make("li");
    item.append(make("b", nameOf(peer.ident)), make("span", describe(peer), peer.state));
    return item;
  }));
  drawMesh(peers, `You and ${peers.length} others; connected with ${count} of them`);
}

function drawMesh(peers: readonly Peer[], label: string): void {
  const svg = element<SVGSVGElement>("mesh");
  // On a phone it is drawn narrower, not smaller.
  const width = svg.clientWidth < 480 ? 360 : 640;
  svg.setAttribute("viewBox", `0 0 ${width} 300`);
  const idents = [mesh!.ident, ...peers.map(({ ident }) => ident)];
  const places = new Map(idents.map((ident, i) => {
    const angle = Math.PI / 2 + 2 * Math.PI * i / idents.length;
    const far = idents.length < 2 ? 0 : 1;
    return [ident, [width / 2 + far * width / 3.2 * Math.cos(angle), 140 + far * 105 * Math.sin(angle)]];
  }));
  const draw = (tag: string, attributes: Record<string, string | number>, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    made.textContent = text;
    return made;
  };
  const lines: Element[] = [];
  const line = (a: string, b: string, state: string) => {
    const [from, to] = [places.get(a), places.get(b)];
    if (from && to) {
      lines.push(draw("line", { x1: from[0]!, y1: from[1]!, x2: to[0]!, y2: to[1]!, class: state }));
    }
  };
  for (const { ident, state } of peers) line(mesh!.ident, ident, state);
  for (const { ident } of peers) {
    for (const [other, state] of Object.entries(links.get(ident) ?? {})) {
      // Both tell of their link: it is drawn once.
      if (ident < other && other !== mesh!.ident) line(ident, other, String(state).replace(/\W/g, ""));
    }
  }
  const nodes = idents.flatMap((ident, i) => {
    const [x, y] = places.get(ident)!;
    const own = i === 0;
    return [
      draw("circle", { cx: x!, cy: y!, r: own ? 11 : 9, class: own ? "own" : "other" }),
      draw("text", { x: x!, y: y! + 28 }, own ? "you" : nameOf(ident)),
    ];
  });
  svg.setAttribute("aria-label", label);
  svg.replaceChildren(...lines, ...nodes);
}

setInterval(async () => {
  if (!mesh || document.hidden) return;
  for (const peer of mesh.peers.values()) {
    const { roundTripTime } = await peer.stats().catch(() => ({ roundTripTime: undefined }));
    if (roundTripTime !== undefined) roundTrips.set(peer.ident, roundTripTime);
  }
  draw();
}, 2000);

async function toggleCamera(): Promise<void> {
  const button = element("camera");
  if (camera) {
    mesh?.removeMedia(camera);
    for (const track of camera.getTracks()) track.stop();
    camera = undefined;
    element("own-camera")?.remove();
    button.textContent = "Share my camera";
    return;
  }
  if (!navigator.mediaDevices) {
    return say("", "Browsers give a camera to pages from https or from localhost only.");
  }
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { width: 320 }, audio: true });
  } catch (error) {
    return say("", `There is no camera for us: ${(error as Error).message}`);
  }
  button.textContent = "Stop my camera";
  const video = document.createElement("video");
  video.id = "own-camera";
  video.autoplay = video.playsInline = video.muted = true;
  video.setAttribute("aria-label", "Your own camera");
  video.srcObject = camera;
  element("videos").prepend(video);
  mesh?.addMedia(camera);
}

enter.addEventListener("submit", (event) => {
  event.preventDefault();
  open();
});
element("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element<HTMLInputElement>("text");
  const chat = input.value.trim();
  if (!chat || !mesh) return;
  say("you", chat);
  mesh.send({ chat }).catch(() => {/* who has left does not hear it */});
  input.value = "";
});
element("copy-link").addEventListener(
  "click",
  ({ currentTarget }) => copy(currentTarget as HTMLElement, element("link").textContent!),
);
element("camera").addEventListener("click", toggleCamera);
element("leave").addEventListener("click", async () => {
  await mesh?.leave();
  history.replaceState(null, "", location.pathname + location.search);
  location.reload();
});
if (roomOfAddress()) open();
addEventListener("hashchange", () => {
  if (roomOfAddress() && !mesh) {
    roomInput.value = roomOfAddress()!;
    open();
  }
});

// The check

const SIGNS: Record<Step["verdict"], string> = { ok: "✓", notice: "!", failed: "✗", skipped: "–" };
const TITLES: Record<Step["name"], string> = {
  server: "Server",
  websocket: "WebSocket",
  stun: "STUN",
  nat: "NAT",
  turn: "TURN",
  loop: "Two peers",
  throughput: "Throughput",
  quiet: "Silence",
};

async function check(): Promise<void> {
  const run = element<HTMLButtonElement>("run");
  const steps = element("steps");
  run.disabled = true;
  run.textContent = "Checking …";
  steps.replaceChildren();
  const show = (title: string, verdict: Step["verdict"], text: string, advice = "") => {
    const item = make("li");
    const body = make("div");
    body.append(make("b", `${title} `), text);
    if (advice) body.append(make("small", advice));
    const sign = make("span", SIGNS[verdict], verdict);
    sign.setAttribute("aria-label", verdict);
    sign.setAttribute("role", "img");
    item.append(sign, body);
    steps.append(item);
  };
  try {
    const { diagnose } = await library();
    const { text } = await diagnose({
      quietSeconds: element<HTMLInputElement>("quiet").checked ? 70 : 0,
      onStep: ({ name, verdict, text, advice }) => show(TITLES[name], verdict, text, advice),
    });
    const button = element("copy-report");
    button.hidden = element("check-note").hidden = false;
    button.onclick = () => copy(button, `${text}${navigator.userAgent}\n`);
  } catch (error) {
    show("Check", "failed", (error as Error).message, "Is the server still there? Load this page again.");
  } finally {
    run.disabled = false;
    run.textContent = "Check again";
  }
}

element("run").addEventListener("click", check);
