/** Machines of every kind: with several addresses, with IPv6 sockets that take no IPv4, without IPv6, without IPv4. */

import { assertEquals, assertMatch } from "../kit/assert.ts";
import { stunTool } from "../kit/coturn.ts";
import { testWith } from "../kit/parts.ts";
import { run } from "../kit/programs.ts";
import { startFlags } from "../kit/server.ts";
import { natLabUnavailable } from "./nat.ts";

const PORT = 3903;
const unavailable = natLabUnavailable();
let machines = 0;

async function must(command: readonly string[]): Promise<string> {
  const { code, output } = await run(command);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${output}`);
  return output;
}

/** A namespace with a loopback interface, in which these shell commands were run, and a server in it. */
async function machine(setup: string, flags?: readonly string[]) {
  const name = `machine-${Deno.pid}-${machines++}`;
  const within = ["ip", "netns", "exec", name];
  await must(["ip", "netns", "add", name]);
  const remove = () => must(["ip", "netns", "delete", name]);
  try {
    await must([...within, "sh", "-c", `ip link set lo up; ${setup}`]);
  } catch (error) {
    await remove();
    throw error;
  }
  const program = ["run", "--quiet", ...flags ?? await startFlags(), "main.ts"];
  const child = new Deno.Command("ip", {
    args: [...within.slice(1), Deno.execPath(), ...program],
    cwd: new URL("../../", import.meta.url),
    env: { LOG_FORMAT: "text" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("STUN is answered")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the server ended: ${said}`);
    said += value;
  }
  return {
    name,
    within,
    /** What STUN says there to somebody at home. */
    stun: (address: string) => must([...within, ...stunTool("ask", address, PORT)]),
    /** The first line of the answer to a plain request. */
    http: (address: string) =>
      must([
        ...within,
        ...[
          "bash",
          "-c",
          `exec 3<>/dev/tcp/${address}/${PORT}; printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; head -1 <&3`,
        ],
      ]),
    healthcheck: () => must([...within, Deno.execPath(), ...program, "--healthcheck"]),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
      await remove();
    },
  };
}

const OK = /^HTTP\/1\.[01] 200 OK/;

testWith(
  unavailable,
  "STUN answers from each of a machine's addresses, and from one that comes later",
  async () => {
    const addresses = [1, 2, 3, 4, 5].map((i) => `10.9.0.${i}`);
    const setup = `ip link add lan type veth peer name far; ip link set lan up; ${
      addresses.map((address) => `ip address add ${address}/24 dev lan`).join("; ")
    }`;
    await using server = await machine(setup);
    const client = `${server.name}-client`;
    await must(["ip", "netns", "add", client]);
    try {
      await must([...server.within, "ip", "link", "set", "far", "netns", client]);
      const far = ["ip", "netns", "exec", client];
      await must([...far, "sh", "-c", "ip link set far up; ip address add 10.9.0.100/24 dev far"]);
      for (const address of addresses) {
        assertMatch(await must([...far, ...stunTool("ask", address, PORT)]), /^10\.9\.0\.100 \d+$/m, address);
      }
      await must([...server.within, "ip", "address", "add", "10.9.0.6/24", "dev", "lan"]);
      assertMatch(await must([...far, ...stunTool("ask", "10.9.0.6", PORT)]), /^10\.9\.0\.100 \d+$/m);
    } finally {
      await must(["ip", "netns", "delete", client]);
    }
  },
);

testWith(unavailable, "where IPv6 sockets take no IPv4, all is answered by both", async () => {
  for (const flags of [undefined, ["--no-prompt", "--allow-net", "--allow-env"]]) {
    await using server = await machine("echo 1 > /proc/sys/net/ipv6/bindv6only", flags);
    for (const address of ["127.0.0.1", "::1"]) {
      assertMatch(await server.http(address), OK, address);
      assertMatch(await server.stun(address), new RegExp(`^${address} \\d+$`, "m"));
    }
    assertMatch(await server.healthcheck(), OK);
  }
});

testWith(unavailable, "a machine without IPv6 is served by IPv4", async () => {
  await using server = await machine(
    "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6",
  );
  assertMatch(await server.http("127.0.0.1"), OK);
  assertMatch(await server.stun("127.0.0.1"), /^127\.0\.0\.1 \d+$/m);
  assertMatch(await server.healthcheck(), OK);
});

testWith(unavailable, "a machine without IPv4 is served by IPv6", async () => {
  await using server = await machine("ip address delete 127.0.0.1/8 dev lo");
  assertMatch(await server.http("::1"), OK);
  assertMatch(await server.stun("::1"), /^::1 \d+$/m);
  assertMatch(await server.healthcheck(), OK);
  assertEquals(
    (await run([...server.within, "ip", "-4", "address", "show", "dev", "lo"])).output.includes("inet "),
    false,
  );
});
