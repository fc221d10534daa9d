/** A real systemd is told how the server is: one of its own processes, in namespaces of its own. */

import { compileArguments } from "../../.ci/compile.ts";
import { assertEquals, assertMatch } from "../kit/assert.ts";
import { findBinary, missingBinaries, testWith } from "../kit/parts.ts";
import { serverProcess } from "../kit/server.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** With what the executables for Linux may do. */
const FLAGS = compileArguments("linux-x64", "", "").filter((argument) =>
  /^--(?:allow|no-prompt)/.test(argument)
);

function missing(): string | undefined {
  if (Deno.build.os !== "linux") return "systemd is a matter of Linux";
  if (Deno.uid() !== 0) return "namespaces take root";
  return missingBinaries("unshare", "systemctl", "systemd");
}

const UNIT = `[Unit]
DefaultDependencies=no
[Service]
Type=notify
RuntimeDirectory=signal
WatchdogSec=2
Restart=on-failure
ExecReload=/bin/kill -HUP $MAINPID
ExecStart=${Deno.execPath()} run --quiet ${FLAGS.join(" ")} main.ts --host 127.0.0.1 --port 0 --stun-port off
WorkingDirectory=${ROOT}
`;

/** Starts behind the server; what it says is what the test looks at. */
const OBSERVER = `[Unit]
DefaultDependencies=no
After=signal.service
[Service]
Type=oneshot
ExecStart=/bin/bash DIRECTORY/observe
StandardOutput=file:DIRECTORY/observed
`;

const OBSERVE = `
show() { systemctl show signal --property "$1" --value; }
settled() { for _ in $(seq 100); do [ "$(show "$1")" = "$2" ] && break; sleep 0.1; done; show "$1"; }
show StatusText
show SubState
# Longer than the watchdog waits.
sleep 3
show NRestarts
kill -STOP "$(show MainPID)"
settled NRestarts 1
settled SubState running
systemctl reload signal && show SubState
systemctl stop signal
show StatusText
show Result
show SubState
systemctl exit
`;

testWith(
  missing(),
  "systemd is told when the server is ready, that it lives, and that it stops; one that stands still is started anew",
  async () => {
    const directory = await Deno.makeTempDir();
    try {
      const place = (text: string) => text.replaceAll("DIRECTORY", directory);
      await Deno.writeTextFile(`${directory}/signal.service`, UNIT);
      await Deno.writeTextFile(`${directory}/observer.service`, place(OBSERVER));
      await Deno.writeTextFile(`${directory}/observe`, OBSERVE);
      await Deno.writeTextFile(
        `${directory}/test.target`,
        "[Unit]\nDefaultDependencies=no\nWants=signal.service observer.service\n",
      );
      const variables = ["HOME", "PATH", "DENO_DIR", "NPM_CONFIG_REGISTRY", "DENO_TLS_CA_STORE", "DENO_CERT"]
        .filter((name) => Deno.env.has(name)).map((name) => `"${name}=${Deno.env.get(name)}"`);
      const script = `set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/system
cp ${directory}/*.service ${directory}/*.target /run/systemd/system
printf '[Manager]\\nDefaultEnvironment=%s\\n' '${variables.join(" ")}' > ${directory}/system.conf
mount --bind ${directory}/system.conf /etc/systemd/system.conf
exec ${findBinary("systemd")} --system --unit=test.target --log-target=null --show-status=no`;
      const { code, stderr } = await new Deno.Command("unshare", {
        args: [
          ...["--kill-child", "--fork", "--pid", "--mount-proc", "--mount", "--uts", "--ipc", "--cgroup"],
          ...["env", "container=unshare", "bash", "-c", script],
        ],
        stdin: "null",
        stdout: "null",
        stderr: "piped",
        signal: AbortSignal.timeout(60_000),
      }).output();
      assertEquals({ code, stderr: new TextDecoder().decode(stderr) }, { code: 0, stderr: "" });
      const observed = (await Deno.readTextFile(`${directory}/observed`)).trimEnd().split("\n");
      assertMatch(observed.shift()!, /^listens on port \d+$/);
      assertEquals(observed, ["running", "0", "1", "running", "running", "draining", "success", "dead"]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

Deno.test("where systemd can't be told, the log says why", async (t) => {
  const without = (...left: string[]) => FLAGS.filter((flag) => !left.some((name) => flag.startsWith(name)));
  const cases: [string, readonly string[], Record<string, string>, RegExp][] = [
    [
      "without a directory for a socket",
      FLAGS,
      { NOTIFY_SOCKET: "/run/systemd/notify" },
      /no RuntimeDirectory=/,
    ],
    [
      "without the permission to write",
      without("--allow-write"),
      { NOTIFY_SOCKET: "/run/systemd/notify", RUNTIME_DIRECTORY: "/run/signal" },
      /write access to \\"\/run\/signal/,
    ],
    ["with a socket without a path", FLAGS, { NOTIFY_SOCKET: "@abstract" }, /this one is @abstract/],
  ];
  for (const [name, flags, variables, why] of cases) {
    await t.step(name, async () => {
      const env = { ...variables, PORT: "0", SIGNAL_HOST: "127.0.0.1", SIGNAL_STUN_PORT: "off" };
      await using server = await serverProcess([], env, flags);
      const [line] = await server.said(/systemd asks to be told.*/);
      assertMatch(line, why);
      server.kill("SIGTERM");
      assertEquals((await server.output).code, 0);
    });
  }
});
