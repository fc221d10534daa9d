/** A real coturn that takes credentials of a shared secret; nothing of it stays behind. */

import { run, type Running, start } from "./programs.ts";

export interface Coturn extends AsyncDisposable {
  /** Its TURN URL, by UDP. */
  readonly url: string;
}

export interface CoturnOptions {
  /** Where it listens and relays; without a port it takes a free one, which needs the address to be ours. */
  address: string;
  port?: number;
  secret: string;
  /** Words before each command, to run it elsewhere: "ip netns exec name". */
  within?: readonly string[];
}

/** What makes coturn read no configuration, speak no TLS, and write nothing outside a folder. */
export function quietArguments(directory: string): string[] {
  return [
    "-n",
    "--no-tls",
    "--no-dtls",
    "--no-cli",
    "--no-stdout-log",
    `--log-file=${directory}/log`,
    "--simple-log",
    `--pidfile=${directory}/pid`,
    `--userdb=${directory}/users`,
  ];
}

/** Resolves once it answers. */
export async function coturn(
  { address, port = freePort(address), secret, within = [] }: CoturnOptions,
): Promise<Coturn> {
  const directory = await Deno.makeTempDir({ prefix: "coturn-" });
  let running: Running | undefined;
  const stop = async () => {
    await running?.[Symbol.asyncDispose]();
    await Deno.remove(directory, { recursive: true });
  };
  try {
    running = start([
      ...within,
      "turnserver",
      ...quietArguments(directory),
      `--listening-ip=${address}`,
      `--relay-ip=${address}`,
      `--listening-port=${port}`,
      "--allow-loopback-peers",
      "--realm=test",
      "--use-auth-secret",
      `--static-auth-secret=${secret}`,
    ]);
    await askStun(address, [port], within);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `turn:${address}:${port}?transport=udp`, [Symbol.asyncDispose]: stop };
}

/**
 * What STUN servers at an address say that a client there is seen as: "address port" for each of their ports, asked
 * from one socket. Repeats each request until answered.
 */
export async function askStun(
  address: string,
  ports: readonly number[],
  within: readonly string[] = [],
): Promise<string[]> {
  const { code, output } = await run([...within, ...stunTool("ask", address, ...ports)]);
  if (code !== 0) throw new Error(`no answer from ${address} ${ports}: ${output}`);
  return output.trim().split("\n");
}

/** The command line of the program beside this file. */
export function stunTool(mode: "serve" | "ask", address: string, ...ports: number[]): string[] {
  const script = new URL("stun_tool.ts", import.meta.url).pathname;
  const words = [mode, address, ...ports.map(String)];
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-net", script, ...words];
}

/** A UDP port that nobody has at the moment. */
export function freePort(hostname: string): number {
  const socket = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
  socket.close();
  return (socket.addr as Deno.NetAddr).port;
}
