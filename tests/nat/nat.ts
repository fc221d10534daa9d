/**
 * Two home networks and a public one between them, made of network namespaces:
 *
 *     peerA 10.0.1.2 ── natA 198.51.100.11 ──┐
 *                                            ├── server 198.51.100.1
 *     peerB 10.0.2.2 ── natB 198.51.100.12 ──┘
 *
 * Every link lives inside these namespaces, so nothing of the machine's own network is touched or reachable.
 */

import { missingBinaries } from "../kit/parts.ts";
import { type Outcome, run, type Running, start } from "../kit/programs.ts";

/**
 * "cone": a NAT gives a client's socket the same outside port towards every destination, so that what STUN says is
 * true for peers too. "symmetric": another port for each, so that peers need a relay. (In RFC 4787: endpoint-independent
 * and address-and-port-dependent mapping.) What may come in is the same in both: answers to what went out.
 */
export type Mapping = "cone" | "symmetric";

export type Place = "server" | "peerA" | "peerB";

export interface NatLab extends AsyncDisposable {
  /** Of the server's namespace. */
  readonly publicAddress: string;
  /** What the server sees of each peer. */
  readonly natAddress: Readonly<Record<"peerA" | "peerB", string>>;
  /** Words that, set before a command, run it there. */
  within(place: Place): string[];
  /** Runs a command there to its end. */
  run(place: Place, command: readonly string[]): Promise<Outcome>;
  /** Runs a command in a NAT to its end; throws where it fails. */
  runInNat(nat: "natA" | "natB", command: readonly string[]): Promise<Outcome>;
  /** Starts a command there. */
  start(place: Place, command: readonly string[], stdout?: "null" | "piped"): Running;
  /** Kills what still runs there and removes the namespaces; may be done twice. */
  close(): Promise<void>;
}

const PREFIX = "natlab";
const ROLES = ["server", "natA", "natB", "peerA", "peerB"] as const;
type Role = typeof ROLES[number];

const SERVER = "198.51.100.1";
const NATS = [
  { nat: "natA", peer: "peerA", outside: "198.51.100.11", lan: "10.0.1" },
  { nat: "natB", peer: "peerB", outside: "198.51.100.12", lan: "10.0.2" },
] as const;

/** Why this machine cannot hold the lab; undefined where it can. Tries it out with a namespace of its own. */
export function natLabUnavailable(): string | undefined {
  const missing = missingBinaries("ip", "nft");
  if (missing !== undefined) return missing;
  if (Deno.uid() !== 0) return "network namespaces need root";
  const name = `${PREFIX}-${Deno.pid}-try`;
  const works = (...command: string[]) =>
    new Deno.Command(command[0]!, { args: command.slice(1), stdout: "null", stderr: "null" }).outputSync()
      .success;
  try {
    if (!works("ip", "netns", "add", name)) return "this kernel or container allows no network namespaces";
    const rules = firewall("symmetric");
    return works("ip", "netns", "exec", name, "nft", rules)
      ? undefined
      : "this kernel has no NAT for nftables";
  } finally {
    works("ip", "netns", "delete", name);
  }
}

let labs = 0;

/** Builds the lab. Where that fails, what was built is removed first. */
export async function createNatLab({ mapping }: { mapping: Mapping }): Promise<NatLab> {
  await removeOrphans();
  const id = `${PREFIX}-${Deno.pid}-${labs++}`;
  const name = (role: Role) => `${id}-${role}`;
  const within = (role: Role) => ["ip", "netns", "exec", name(role)];
  const close = () => remove(ROLES.map(name));
  try {
    await build(name, within, mapping);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    publicAddress: SERVER,
    natAddress: { peerA: NATS[0].outside, peerB: NATS[1].outside },
    within,
    run: (place, command) => run([...within(place), ...command]),
    runInNat: (nat, command) => must([...within(nat), ...command]),
    start: (place, command, stdout) => start([...within(place), ...command], stdout),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function build(
  name: (role: Role) => string,
  within: (role: Role) => string[],
  mapping: Mapping,
): Promise<void> {
  const ip = (role: Role, ...words: string[]) => must(["ip", "-n", name(role), ...words]);
  for (const role of ROLES) {
    await must(["ip", "netns", "add", name(role)]);
    await ip(role, "link", "set", "lo", "up");
    // The lab is IPv4; link-local addresses would only give the peers more to try.
    const off = "for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done";
    await must([...within(role), "sh", "-c", `[ ! -d /proc/sys/net/ipv6 ] || { ${off}; }`]);
  }
  await ip("server", "link", "add", "public", "type", "bridge");
  await ip("server", "address", "add", `${SERVER}/24`, "dev", "public");
  await ip("server", "link", "set", "public", "up");
  for (const { nat, peer, outside, lan } of NATS) {
    await ip("server", "link", "add", nat, "type", "veth", "peer", "name", "wan", "netns", name(nat));
    await ip("server", "link", "set", nat, "master", "public", "up");
    await ip(nat, "address", "add", `${outside}/24`, "dev", "wan");
    await ip(nat, "link", "set", "wan", "up");

    await ip(nat, "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", name(peer));
    await ip(nat, "address", "add", `${lan}.1/24`, "dev", "lan");
    await ip(nat, "link", "set", "lan", "up");
    await ip(peer, "address", "add", `${lan}.2/24`, "dev", "lan");
    await ip(peer, "link", "set", "lan", "up");
    await ip(peer, "route", "add", "default", "via", `${lan}.1`);

    await must([...within(nat), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    await must([...within(nat), "nft", firewall(mapping)]);
  }
}

/**
 * A home router. The input chain matters: without it the kernel answers the other side's early packets itself, its
 * connection tracking then holds the port, the peer's own flow gets another, and hole punching fails as it never
 * would behind a real router.
 */
function firewall(mapping: Mapping): string {
  return `
    table ip home {
      chain out {
        type nat hook postrouting priority srcnat
        oifname "wan" masquerade ${mapping === "symmetric" ? "random,fully-random" : ""}
      }
      chain through {
        type filter hook forward priority filter; policy drop
        ct state established,related accept
        iifname "lan" accept
      }
      chain in {
        type filter hook input priority filter; policy accept
        iifname "wan" ct state new drop
      }
    }`;
}

/** Namespaces of this lab that belong to no living process: of a run that was killed. */
async function removeOrphans(): Promise<void> {
  const orphans: string[] = [];
  for (const name of await namespaces()) {
    const pid = name.match(new RegExp(`^${PREFIX}-(\\d+)-`))?.[1];
    if (pid !== undefined && !await exists(`/proc/${pid}`)) orphans.push(name);
  }
  await remove(orphans);
}

async function remove(names: readonly string[]): Promise<void> {
  const there = await namespaces();
  for (const name of names.filter((name) => there.includes(name))) {
    const { output } = await must(["ip", "netns", "pids", name]);
    for (const pid of output.split("\n").filter((line) => line !== "")) {
      try {
        Deno.kill(Number(pid), "SIGKILL");
      } catch (error) {
        // It ended by itself meanwhile.
        if (!(error instanceof Deno.errors.NotFound || error instanceof TypeError)) throw error;
      }
    }
    await must(["ip", "netns", "delete", name]);
  }
}

async function namespaces(): Promise<string[]> {
  const { output } = await must(["ip", "netns", "list"]);
  return output.split("\n").map((line) => line.split(" ")[0]!);
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}

async function must(command: readonly string[]): Promise<Outcome> {
  const outcome = await run(command);
  if (outcome.code !== 0) throw new Error(`${command.join(" ")}: ${outcome.output}`);
  return outcome;
}
