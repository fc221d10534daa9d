/** `signal doctor`: looks at a server as its clients do, from a terminal, and says what to do. */

import { lookup } from "node:dns/promises";
import { connect as connectTls } from "node:tls";
import ipaddr from "ipaddr.js";
import { UsageError } from "../config/command_line.ts";
import { FileError, readNamedFile } from "../config/startup.ts";
import { iceUrlFault, turnIssuer } from "../ice/turn.ts";
import type { Endpoint } from "../ice/stun.ts";
import {
  allocate,
  type Allocation,
  askBinding,
  type StunPath,
  tcpPath,
  udpPath,
} from "../ice/stun_client.ts";
import type { IceServer } from "../protocol/ice_servers.ts";
import { isLoopback, isPrivateAddress, parseAddress } from "../runtime/addresses.ts";
import { Disappointment, Talker, VERSION_3 } from "./talker.ts";
import { plain, readFlags, readNumber, readServerUrl } from "./usage.ts";

const HELP = `Look at a server from here as its clients do

Usage: signal doctor [OPTION ...] wss://signal.example.org[:port]

Each line says what was looked at, what was seen and, where that is wrong, what to do. Exit 0 where nothing
has failed, else 1.

  --idle SECONDS           for how long a socket is silent, to see whether a proxy ends it [30]; 0: not at all
  --turn URL               a TURN server to look at beside those that the server names
  --turn-secret-file FILE  the secret for it; not given: with the credentials that the server gives
  --token TOKEN            for a server that asks for one
  --timeout SECONDS        longest wait for each answer [5]
  --json                   for programs: one object`;

/** `notice`: it works, but not for everybody, or not for long. `skipped`: there is nothing to look at. */
type Verdict = "ok" | "notice" | "failed" | "skipped";

interface Finding {
  readonly verdict: Verdict;
  /** What was seen, in a sentence. */
  readonly text: string;
  readonly advice?: string;
  /** For programs. */
  readonly details?: Readonly<Record<string, unknown>>;
}

interface Step extends Finding {
  readonly name: string;
}

const MARKS: Readonly<Record<Verdict, string>> = { ok: "ok", notice: "note", failed: "FAILED", skipped: "-" };

/** Days before its end from which on a certificate is worth a notice. */
const DAYS_LEFT = 14;
/** Seconds by which clocks may differ before tokens and TURN credentials fail. */
const CLOCK = { notice: 10, failed: 120 };

interface Patient {
  readonly url: URL;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly patienceMs: number;
  readonly token: string | undefined;
}

export async function doctor(args: readonly string[], print: (line: string) => void): Promise<number> {
  const flags = readFlags("doctor", args, {
    valued: ["idle", "turn", "turn-secret-file", "token", "timeout"],
    bare: ["json"],
    word: "the address of a server",
  });
  if (flags.switches.has("help")) return print(HELP), 0;
  const url = readServerUrl(flags.words[0]!);
  const idle = readNumber(flags, "idle", 30, 0, 3600);
  const patienceMs = 1000 * readNumber(flags, "timeout", 5, 1, 60);
  const turn = flags.values["turn"]?.at(-1);
  const turnFault = turn === undefined ? undefined : iceUrlFault(turn, ["turn", "turns"]);
  if (turnFault) throw new UsageError(`--turn: "${turn}" can't be used: ${turnFault}.`);
  const secretFile = flags.values["turn-secret-file"]?.at(-1);
  const tls = url.protocol === "wss:";
  const token = flags.values["token"]?.at(-1);
  if (token !== undefined) url.searchParams.set("token", token);
  const patient: Patient = {
    url,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port) || (tls ? 443 : 80),
    tls,
    patienceMs,
    token,
  };

  const json = flags.switches.has("json");
  const steps: Step[] = [];
  const tell = (name: string, finding: Finding) => {
    steps.push({ name, ...finding });
    if (json) return;
    print(`${MARKS[finding.verdict].padEnd(7)}${name.padEnd(10)} ${plain(finding.text)}`);
    if (finding.advice) print(`${" ".repeat(18)}${finding.advice}`);
  };
  const look = async (name: string, find: () => Promise<Finding>): Promise<Finding> => {
    const finding = await find().catch((error): Finding => {
      if (error instanceof FileError || error instanceof UsageError) throw error;
      return { verdict: "failed", text: (error as Error).message };
    });
    tell(name, finding);
    return finding;
  };

  let addresses: string[] = [];
  const dns = await look("DNS", async () => {
    const found = await lookup(patient.host, { all: true }).catch(() => []);
    addresses = found.map(({ address }) => address);
    return judgeNames(patient.host, addresses);
  });
  const reached = dns.verdict === "failed" ? dns : await look("TCP", () => judgeTcp(patient, addresses));
  if (reached.verdict !== "failed" && tls) await look("TLS", () => judgeCertificate(patient));
  let welcome: Welcome = {};
  if (reached.verdict !== "failed") {
    await look("proxies", () => judgeProxies(patient));
    const third = await look("version 3", async () => {
      const { talker, welcome: said } = await greet(patient);
      welcome = said;
      talker[Symbol.dispose]();
      return {
        verdict: "ok",
        text: `the WebSocket opens, ${said.server ?? "a server"} says welcome`,
        details: { server: said.server, limits: said.limits },
      };
    });
    await look("version 2", () => judgeVersion2(patient));
    if (third.verdict !== "failed") await look("loop", () => judgeLoop(patient));
    const servers = third.verdict === "failed" ? [] : await iceServers(patient, welcome);
    const stun = servers.flatMap(({ urls }) => urls).filter((url) => /^stun:/.test(url));
    await look("STUN", () => judgeStun(stun, patient));
    await look("NAT", () => judgeMapping(stun, patient));
    for (const finding of await judgeTurn(servers, turn, secretFile, patient)) tell("TURN", finding);
    await look("clock", () => judgeClock(patient));
    if (idle > 0 && third.verdict !== "failed") await look("idle", () => judgeIdle(patient, idle));
  }

  const ok = !steps.some(({ verdict }) => verdict === "failed");
  if (json) print(JSON.stringify({ url: flags.words[0], ok, steps }));
  return ok ? 0 : 1;
}

interface Welcome {
  readonly server?: string;
  readonly limits?: unknown;
  readonly keepaliveSeconds?: number;
  readonly iceServers?: readonly IceServer[];
}

async function greet({ url, patienceMs }: Patient): Promise<{ talker: Talker; welcome: Welcome }> {
  const talker = await Talker.open(url.href, 3, patienceMs);
  try {
    if (talker.protocol !== VERSION_3) {
      throw new Disappointment(
        "the server speaks version 2 of the protocol only; clients that need version 3 can't use it",
      );
    }
    const [name, welcome] = await talker.next();
    if (name !== "welcome") throw new Disappointment(`the first message was ${name} and no welcome`);
    return { talker, welcome: welcome as Welcome };
  } catch (error) {
    talker[Symbol.dispose]();
    throw error;
  }
}

function judgeNames(host: string, addresses: readonly string[]): Promise<Finding> {
  const details = { addresses };
  if (addresses.length === 0) {
    return Promise.resolve({
      verdict: "failed",
      text: `${host} is not known here`,
      advice: "Is the name right, and are there A or AAAA records for it?",
    });
  }
  const [v4, v6] = [addresses.filter((a) => !a.includes(":")), addresses.filter((a) => a.includes(":"))];
  const text = `${host} is ${addresses.join(", ")}`;
  const literal = parseAddress(host) !== undefined || /(^|\.)localhost$/.test(host);
  if (literal || v4.length > 0 && v6.length > 0) return Promise.resolve({ verdict: "ok", text, details });
  return Promise.resolve(
    v4.length > 0
      ? {
        verdict: "notice",
        text: `${text}; there is no AAAA record`,
        advice: "Clients with IPv6 alone reach it only through their provider's translation.",
        details,
      }
      : {
        verdict: "notice",
        text: `${text}; there is no A record`,
        advice: "Clients with IPv4 alone can't reach it.",
        details,
      },
  );
}

async function judgeTcp({ port, patienceMs }: Patient, addresses: readonly string[]): Promise<Finding> {
  const outcomes = await Promise.all(addresses.map(async (hostname) => {
    const begun = performance.now();
    let late: ReturnType<typeof setTimeout> | undefined;
    const connection = Deno.connect({ hostname, port });
    try {
      const timeout = new Promise<never>((_, reject) => {
        late = setTimeout(() => reject(new Error("no answer")), patienceMs);
      });
      (await Promise.race([connection, timeout])).close();
      return { hostname, ms: Math.round(performance.now() - begun) };
    } catch (error) {
      connection.then((late) => late.close(), () => {});
      const refused = error instanceof Deno.errors.ConnectionRefused;
      return {
        hostname,
        fault: refused ? "nobody listens" : (error as Error).message.replace(/ \(os error.*$/, ""),
      };
    } finally {
      clearTimeout(late);
    }
  }));
  const there = outcomes.filter((outcome) => "ms" in outcome);
  const text = outcomes.map((outcome) =>
    `${outcome.hostname} port ${port}: ${"ms" in outcome ? `${outcome.ms} ms` : outcome.fault}`
  ).join("; ");
  const details = { outcomes };
  if (there.length === 0) {
    return {
      verdict: "failed",
      text,
      advice: "Does the server run, does it listen on this port, and does the firewall let TCP in?",
      details,
    };
  }
  return there.length === outcomes.length ? { verdict: "ok", text, details } : {
    verdict: "notice",
    text,
    advice:
      "Clients try one address after the other: those that fail cost them seconds. Remove the record, or listen there.",
    details,
  };
}

interface Certificate {
  readonly valid_to: string;
  readonly issuer?: Readonly<Record<string, string>>;
}

async function judgeCertificate({ host, port, patienceMs }: Patient): Promise<Finding> {
  const servername = parseAddress(host) === undefined ? host : "";
  const { certificate, fault } = await new Promise<{ certificate?: Certificate; fault?: string }>(
    (resolve, reject) => {
      const socket = connectTls({ host, port, servername, rejectUnauthorized: false }, () => {
        const certificate = socket.getPeerCertificate() as unknown as Certificate | undefined;
        resolve({
          certificate,
          fault: socket.authorized ? undefined : String(socket.authorizationError ?? ""),
        });
        socket.destroy();
      });
      socket.on("error", (error: Error) => reject(new Error(`TLS is not spoken there: ${error.message}`)));
      setTimeout(() => (socket.destroy(), reject(new Error("no answer to the TLS handshake"))), patienceMs)
        .unref?.();
    },
  );
  const until = Date.parse(certificate?.valid_to ?? "");
  const days = Math.floor((until - Date.now()) / 86_400_000);
  const details = { until: certificate?.valid_to, days, fault };
  if (days < 0) {
    return {
      verdict: "failed",
      text: `the certificate has expired ${-days} days ago`,
      advice: "Renew it, and restart the server or the proxy that has it.",
      details,
    };
  }
  // The runtime's own answer: it looks at the whole chain and at the name.
  const trusted = await fetch(`https://${host.includes(":") ? `[${host}]` : host}:${port}/healthz`, {
    signal: AbortSignal.timeout(patienceMs),
  }).then((response) => (response.body?.cancel(), undefined), (error) => error as Error);
  const why =
    trusted && /certificate|tls|UnknownIssuer|NotValidForName/i.test(String(trusted.cause ?? trusted))
      ? String((trusted.cause as Error | undefined)?.message ?? trusted.message)
      : undefined;
  if (why !== undefined) {
    return {
      verdict: "failed",
      text: `the certificate is not trusted here: ${why.replace(/^.*?invalid peer certificate: /, "")}`,
      advice:
        "Is it for this name, and does the file hold the whole chain (fullchain.pem)? One signed by oneself works " +
        "for nobody who has not imported it.",
      details,
    };
  }
  if (days < DAYS_LEFT) {
    return {
      verdict: "notice",
      text: `the certificate is good for ${days} days more`,
      advice: "Is it renewed by itself?",
      details,
    };
  }
  return { verdict: "ok", text: `the certificate is trusted, and good for ${days} days more`, details };
}

function httpUrl({ url, tls }: Patient, path: string): string {
  return new URL(path, `${tls ? "https" : "http"}://${url.host}/`).href;
}

async function judgeProxies(patient: Patient): Promise<Finding> {
  const response = await fetch(httpUrl(patient, "/whoami"), {
    signal: AbortSignal.timeout(patient.patienceMs),
  })
    .catch((error) => error as Error);
  if (response instanceof Error) return { verdict: "failed", text: `no answer by HTTP: ${response.message}` };
  const text = await response.text();
  let said: { address?: string | null; proxies?: number; unheard?: boolean } = {};
  try {
    if (response.ok) said = JSON.parse(text);
  } catch { /* another server's */ }
  if (said.proxies === undefined) {
    return {
      verdict: "skipped",
      text: `GET /whoami is answered with ${response.status}: this is another server, or an old one`,
    };
  }
  if (said.unheard) {
    return {
      verdict: "failed",
      text:
        `a proxy at ${said.address} names its clients, and is not believed: all of them share the limits of one`,
      advice: `Start the server with --trust-proxy ${said.address}.`,
      details: said,
    };
  }
  return {
    verdict: "ok",
    text: `the server sees us at ${said.address}, through ${
      said.proxies === 1 ? "one proxy" : `${said.proxies} proxies`
    }`,
    details: said,
  };
}

async function judgeVersion2({ url, patienceMs }: Patient): Promise<Finding> {
  using talker = await Talker.open(url.href, 2, patienceMs);
  talker.send(["ident"]);
  const [name, ident] = await talker.next();
  return name === "ident" && typeof ident === "string"
    ? { verdict: "ok", text: "clients of the DIVA protocol are served" }
    : { verdict: "failed", text: `["ident"] was answered with ${JSON.stringify([name, ident])}` };
}

async function judgeLoop(patient: Patient): Promise<Finding> {
  const room = `doctor-${crypto.randomUUID()}`;
  const { talker: alice } = await greet(patient);
  const { talker: bob } = await greet(patient);
  try {
    for (const [talker, ident] of [[alice, "alice"], [bob, "bob"]] as const) {
      talker.send(["join", ident, room]);
      const [name, code, why] = await talker.next();
      if (name === "error") {
        return code === "unauthorised"
          ? {
            verdict: "skipped",
            text: "the server asks for a token",
            advice: "--token TOKEN shows one to it.",
          }
          : { verdict: "failed", text: `a room can't be joined: ${code}, ${why}` };
      }
    }
    await alice.next();
    await bob.next();
    const begun = performance.now();
    const data = { description: { type: "offer", sdp: "v=0" } };
    bob.send(["signal", `${room}:bob`, `${room}:alice`, data]);
    const came = await alice.next();
    const ms = Math.round(10 * (performance.now() - begun)) / 10;
    return JSON.stringify(came) === JSON.stringify(["signal", `${room}:alice`, `${room}:bob`, data])
      ? { verdict: "ok", text: `two peers of ours found each other; a signal took ${ms} ms`, details: { ms } }
      : { verdict: "failed", text: `a signal came as ${JSON.stringify(came).slice(0, 200)}` };
  } finally {
    alice[Symbol.dispose]();
    bob[Symbol.dispose]();
  }
}

async function iceServers(patient: Patient, welcome: Welcome): Promise<readonly IceServer[]> {
  const known = welcome.iceServers ?? [];
  if (patient.token === undefined) return known;
  // Where tokens are asked for, TURN is for who has shown one.
  const answer = await fetch(httpUrl(patient, "/ice"), {
    headers: { authorization: `Bearer ${patient.token}` },
    signal: AbortSignal.timeout(patient.patienceMs),
  }).then((response) => response.ok ? response.json() : undefined, () => undefined);
  return answer?.iceServers ?? known;
}

/** Host and port of a URL such as `stun:stun.example.org:3478?transport=udp`. */
function place(url: string): { host: string; port: number; tls: boolean; transport: "udp" | "tcp" } {
  const [, scheme, host, port, transport] =
    /^(stuns?|turns?):(\[[^\]]*\]|[^:?]*)(?::(\d+))?(?:\?transport=(udp|tcp))?$/i.exec(url)!;
  const tls = /s$/i.test(scheme!);
  return {
    host: host!.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port ?? (tls ? 5349 : 3478)),
    tls,
    transport: tls || transport === "tcp" ? "tcp" : "udp",
  };
}

async function placesOf(url: string): Promise<Deno.NetAddr[]> {
  const { host, port } = place(url);
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.map(({ address: hostname }) => ({ transport: "udp" as const, hostname, port }));
}

const written = ({ address, port }: Endpoint) => {
  const text = ipaddr.fromByteArray([...address]).toString();
  return `${text.includes(":") ? `[${text}]` : text}:${port}`;
};

/** Whether it is the address of a network that is not the internet. */
function isPrivate(host: string): boolean {
  const address = parseAddress(host);
  return address !== undefined && isPrivateAddress(address);
}

const NO_STUN = "Is UDP let through to the server's port? In a container it takes a mapping of its own: " +
  "-p 3903:3903/udp. Clients wait in vain for it, up to 40 s each.";

async function judgeStun(urls: readonly string[], { patienceMs, host }: Patient): Promise<Finding> {
  if (urls.length === 0) {
    return {
      verdict: "notice",
      text: "the server names no STUN server",
      advice:
        "Clients behind NATs find each other with one only. --stun-port and --public-host of the server.",
    };
  }
  const asked = await Promise.all(urls.map(async (url) => {
    const places = await placesOf(url);
    const answers = await Promise.all(places.map(async (to) => {
      try {
        using path = udpPath(to);
        const reflexive = await askBinding(path, patienceMs);
        return { asked: `${to.hostname} port ${to.port}`, reflexive: reflexive && written(reflexive) };
      } catch (error) {
        return {
          asked: `${to.hostname} port ${to.port}`,
          reflexive: undefined,
          fault: (error as Error).message,
        };
      }
    }));
    return { url, answers };
  }));
  const all = asked.flatMap(({ url, answers }) =>
    answers.length > 0 ? answers : [{ asked: url, reflexive: undefined }]
  );
  const silent = all.filter(({ reflexive }) => reflexive === undefined);
  const text = all.map(({ asked, reflexive }) =>
    `${asked} ${reflexive ? `sees ${reflexive}` : "does not answer"}`
  ).join("; ");
  const details = { asked };
  // Whoever is near may well be told of a near one.
  const near = isLoopback(host) || isPrivate(host);
  const named = near ? undefined : urls.map((url) => place(url).host).find(isPrivate);
  if (silent.length === all.length) return { verdict: "failed", text, advice: NO_STUN, details };
  if (silent.length > 0) return { verdict: "notice", text, advice: NO_STUN, details };
  if (named !== undefined) {
    return {
      verdict: "notice",
      text: `${text}; but ${named} is an address that clients from elsewhere can't reach`,
      advice: "--public-host names what they can.",
      details,
    };
  }
  return { verdict: "ok", text, details };
}

async function judgeMapping(urls: readonly string[], { patienceMs }: Patient): Promise<Finding> {
  const hosts = new Map<string, number[]>();
  for (const url of urls) {
    const { host, port } = place(url);
    hosts.set(host, [...hosts.get(host) ?? [], port]);
  }
  const [host, ports] = [...hosts].find(([, ports]) => ports.length > 1) ?? [];
  const [hostname] = host === undefined
    ? []
    : (await lookup(host, { all: true }).catch(() => [])).map(({ address }) => address);
  if (hostname === undefined) {
    return {
      verdict: "skipped",
      text: "it takes two STUN ports of one server to see how a NAT maps",
      advice: "--stun-second-port of the server opens another.",
    };
  }
  using path = udpPath({ transport: "udp", hostname, port: ports![0]! });
  const seen: string[] = [];
  for (const port of ports!.slice(0, 2)) {
    path.to = { transport: "udp", hostname, port };
    const reflexive = await askBinding(path, patienceMs);
    if (reflexive === undefined) return { verdict: "skipped", text: `port ${port} does not answer` };
    seen.push(written(reflexive));
  }
  return seen[0] === seen[1]
    ? {
      verdict: "ok",
      text: `what is between here and there maps a socket to ${seen[0]} for all it talks to`,
      details: { seen },
    }
    : {
      verdict: "notice",
      text: `what is between here and there maps a socket to ${seen.join(" and then to ")}: it is symmetric`,
      advice: "Two networks like this connect by TURN only.",
      details: { seen },
    };
}

async function judgeTurn(
  servers: readonly IceServer[],
  extra: string | undefined,
  secretFile: string | undefined,
  { patienceMs }: Patient,
): Promise<Finding[]> {
  const named = servers.flatMap(({ urls, username, credential }) =>
    urls.filter((url) => /^turns?:/.test(url)).map((url) => ({ url, username, credential }))
  );
  const secret = secretFile === undefined ? undefined : readNamedFile("turn-secret-file", secretFile).trim();
  if (extra !== undefined) {
    const own = secret === undefined
      ? named[0]
      : turnIssuer({ secret, ttlSeconds: 600, now: Date.now })("doctor");
    named.push({ url: extra, username: own?.username, credential: own?.credential });
  }
  if (named.length === 0) {
    return [{
      verdict: "notice",
      text: "the server names no TURN server",
      advice: "Some one in ten pairs connect by TURN only. --turn-url and --turn-secret-file of the server.",
    }];
  }
  return await Promise.all(named.map(async ({ url, username, credential }): Promise<Finding> => {
    if (username === undefined || credential === undefined) {
      return { verdict: "failed", text: `${url}: there are no credentials for it` };
    }
    const outcome = await allocateAt(url, { username, credential }, patienceMs).catch((error) =>
      (error as Error).message
    );
    if (outcome === "no answer" || typeof outcome === "string") {
      return {
        verdict: "failed",
        text: `${url}: ${outcome}`,
        advice: "Does the TURN server run, and are its ports open, UDP and TCP?",
        details: { url },
      };
    }
    if ("refused" in outcome) {
      return outcome.refused === 401
        ? {
          verdict: "failed",
          text: `${url}: the credentials are refused (401)`,
          advice:
            "The secret is another there (coturn: use-auth-secret, static-auth-secret), or the clocks differ by hours.",
          details: { url, code: 401 },
        }
        : {
          verdict: "failed",
          text: `${url}: no allocation, error ${outcome.refused}`,
          advice: "Its log says why; 486 is a quota, 508 want of ports.",
          details: { url, code: outcome.refused },
        };
    }
    const relayed = written(outcome.relayed);
    const address = parseAddress(ipaddr.fromByteArray([...outcome.relayed.address]).toString());
    return address !== undefined && isPrivateAddress(address) && !isPrivate(place(url).host) &&
        !isLoopback(place(url).host)
      ? {
        verdict: "notice",
        text: `${url}: relays at ${relayed}, which others can't reach`,
        advice: "Tell the TURN server its public address (coturn: external-ip).",
        details: { url, relayed },
      }
      : { verdict: "ok", text: `${url}: relays at ${relayed}`, details: { url, relayed } };
  }));
}

async function allocateAt(
  url: string,
  credentials: { username: string; credential: string },
  patienceMs: number,
): Promise<Allocation | string> {
  const { host, tls, transport } = place(url);
  const [to] = await placesOf(url);
  if (to === undefined) return `${host} is not known here`;
  let path: StunPath;
  try {
    path = transport === "udp"
      ? udpPath(to)
      : await tcpPath({ ...to, transport: "tcp" }, tls ? { hostname: host } : undefined);
  } catch (error) {
    return `no connection: ${(error as Error).message.replace(/ \(os error.*$/, "")}`;
  }
  using _ = path;
  return await allocate(path, credentials, patienceMs);
}

async function judgeClock(patient: Patient): Promise<Finding> {
  const begun = Date.now();
  const response = await fetch(httpUrl(patient, "/healthz"), {
    signal: AbortSignal.timeout(patient.patienceMs),
  });
  await response.body?.cancel();
  const there = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(there)) return { verdict: "skipped", text: "the server does not tell the time" };
  // It tells whole seconds.
  const seconds = Math.round((there + 500 - (begun + Date.now()) / 2) / 1000);
  const off = Math.abs(seconds);
  const text = off <= 1
    ? "the clocks agree"
    : `the server's clock is ${off} s ${seconds > 0 ? "fast" : "slow"}, or ours the other way`;
  const advice = "Tokens and TURN credentials end too soon or too late. Let both keep time by NTP.";
  return off >= CLOCK.failed
    ? { verdict: "failed", text, advice, details: { seconds } }
    : off >= CLOCK.notice
    ? { verdict: "notice", text, advice, details: { seconds } }
    : { verdict: "ok", text, details: { seconds } };
}

async function judgeIdle(patient: Patient, seconds: number): Promise<Finding> {
  const { talker, welcome } = await greet(patient);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const begun = performance.now();
    const passed = new Promise<undefined>((resolve) =>
      timer = setTimeout(() => resolve(undefined), seconds * 1000)
    );
    const closed = await Promise.race([passed, talker.closed]);
    if (closed !== undefined) {
      return {
        verdict: "failed",
        text: `a silent socket was closed after ${
          Math.round((performance.now() - begun) / 1000)
        } s (${closed.code})`,
        advice:
          `A proxy ends what is idle sooner than the server pings (${
            welcome.keepaliveSeconds ?? "?"
          } s): raise ` +
          "its timeout (nginx: proxy_read_timeout), or lower --keepalive.",
        details: { code: closed.code },
      };
    }
    await talker.settle();
    return { verdict: "ok", text: `a socket was silent for ${seconds} s and lives` };
  } finally {
    clearTimeout(timer);
    talker[Symbol.dispose]();
  }
}
