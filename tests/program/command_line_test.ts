/** The program as a process: what it says to a person and to a supervisor, and how it ends. */

import { help } from "../../lib/config/help.ts";
import { OPTIONS, SWITCHES, VERSION } from "../../lib/config/options.ts";
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { type Output, type ServerProcess, serverProcess, startFlags } from "../kit/server.ts";
import { handshake, Opcode, RawClient } from "../kit/raw_client.ts";

const PATIENCE_MS = 30_000;

/** A promise that rejects where this takes so long that it won't come any more. */
async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited in vain for: ${what}`)), PATIENCE_MS);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs the program to its end. */
async function run(
  args: readonly string[],
  env: Record<string, string> = {},
  flags?: readonly string[],
): Promise<Output> {
  await using program = await serverProcess(args, env, flags);
  return await soon(program.output, `the end of: ${args.join(" ")}`);
}

/** A server on a free port of the loopback interface. */
function serve(args: readonly string[] = [], env: Record<string, string> = {}): Promise<ServerProcess> {
  return serverProcess(["--host", "127.0.0.1", "--port", "0", ...args], env);
}

/** Asks a server to end and waits until it has: with status 0, and nothing on standard error. */
async function stop(server: ServerProcess, signal: Deno.Signal = "SIGTERM"): Promise<string> {
  server.kill(signal);
  const { code, stdout, stderr } = await soon(server.output, `the end after ${signal}`);
  assertEquals(stderr, "");
  assertEquals(code, 0);
  return stdout;
}

/** One line on standard error, and nothing else: no stack trace. */
function assertSentence({ stdout, stderr }: Output, sentence: RegExp): void {
  assertEquals(stdout, "");
  assertMatch(stderr, /^[^\n]+\n$/);
  assertMatch(stderr, sentence);
}

/** A port on which nobody listens, at least at the moment. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("--help names every option, its variable and default, in lines of 100 characters at most", async () => {
  const { code, stdout, stderr } = await run(["--help"]);
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  for (const [flag, { env, value }] of Object.entries(OPTIONS)) {
    assertStringIncludes(stdout, `--${flag} ${value}`);
    assertMatch(stdout, new RegExp(`\\[${env}[;\\]]`));
  }
  for (const flag of Object.keys(SWITCHES)) assertStringIncludes(stdout, `--${flag}`);
  for (const line of stdout.split("\n")) assert(line.length <= 100, line);
  assertEquals(stdout, help() + "\n");
  assertEquals((await run(["-h"])).stdout, stdout);
});

Deno.test("--version is that of deno.json", async () => {
  const manifest = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  for (const flag of ["--version", "-v"]) {
    assertEquals(await run([flag]), { code: 0, stdout: `${manifest.version}\n`, stderr: "" });
  }
});

const BAD_USE: readonly { args: string[]; env?: Record<string, string>; sentence: RegExp }[] = [
  { args: ["--prot", "80"], sentence: /--prot is not an option; did you mean --port\?/ },
  { args: ["--verbose"], sentence: /^signal: --verbose is not an option\. --help lists all options\.$/m },
  { args: ["-x"], sentence: /^signal: -x is not an option\. --help lists all options\.$/m },
  { args: ["--max-socket=5"], sentence: /--max-socket=5 is not .* did you mean --max-sockets\?/ },
  { args: ["--port", "http"], sentence: /--port: "http" is not a whole number from 0 to 65535/ },
  { args: ["--port", "65536"], sentence: /--port: "65536" is not a whole number from 0 to 65535/ },
  { args: ["--keepalive", "1.5"], sentence: /--keepalive: "1.5" is not a whole number/ },
  { args: ["--call-rate", "0"], sentence: /--call-rate: "0" is not a number above 0/ },
  { args: ["--log-level", "debgu"], sentence: /--log-level: "debgu" is none of .* did you mean debug\?$/m },
  { args: ["--allow-origin", "https://a.example/x"], sentence: /--allow-origin: "https:\/\/a.example\/x" / },
  { args: ["--trust-proxy", "10.0.0.0/99"], sentence: /--trust-proxy: "10.0.0.0\/99" is neither/ },
  { args: ["--trust-proxy", "::1,proxy"], sentence: /--trust-proxy: "proxy" is neither/ },
  { args: ["--port"], sentence: /--port needs a value \(NUMBER\)/ },
  { args: ["--port", "--help"], sentence: /--port needs a value \(NUMBER\)/ },
  { args: ["--tls-cert="], sentence: /--tls-cert needs a value \(FILE\)/ },
  { args: ["8080"], sentence: /"8080" is not understood/ },
  { args: ["--tls-cert", "x.pem"], sentence: /--tls-cert is given without --tls-key/ },
  { args: ["--tls-key", "x.pem"], sentence: /--tls-key is given without --tls-cert/ },
  { args: [], env: { PORT: "http" }, sentence: /PORT: "http" is not a whole number from 0 to 65535/ },
  { args: [], env: { SIGNAL_MAX_ROOMS: "-1" }, sentence: /SIGNAL_MAX_ROOMS: "-1" is not a whole number/ },
  {
    args: [],
    env: { LOG_FORMAT: "jsno" },
    sentence: /LOG_FORMAT: "jsno" is none of .* did you mean json\?$/m,
  },
];

Deno.test("Bad use ends with status 2 and one sentence that names the option and the value", async (t) => {
  for (const { args, env, sentence } of BAD_USE) {
    await t.step([...Object.entries(env ?? {}).flat(), ...args].join(" "), async () => {
      const output = await run(args, env);
      assertSentence(output, /^signal: .*[^.?][.?]\n$/);
      assertSentence(output, sentence);
      assertEquals(output.code, 2);
    });
  }
});

Deno.test("What keeps the server from starting ends it with status 1 and one sentence", async (t) => {
  await t.step("a port in use", async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const output = await run(["--host", "127.0.0.1", "--port", String(port)]);
    assertSentence(output, new RegExp(`^signal: Port ${port} is in use \\(--port, PORT\\)`));
    assertEquals(output.code, 1);
  });
  await t.step("a host that is another machine's", async () => {
    const output = await run(["--host", "203.0.113.1", "--port", "0"]);
    assertSentence(
      output,
      /^signal: 203\.0\.113\.1 is not an address of this machine \(--host, SIGNAL_HOST\)/,
    );
    assertEquals(output.code, 1);
  });

  const directory = await Deno.makeTempDir();
  const tls = (cert: string, key: string) => async () => {
    const flags = [...await startFlags(), `--allow-read=${directory}`];
    return await run(["--port", "0", "--tls-cert", cert, "--tls-key", key], {}, flags);
  };
  const missing = `${directory}/missing.pem`;
  const broken = `${directory}/broken.pem`;
  await Deno.writeTextFile(broken, "not a certificate\n");
  await t.step("a certificate that is not there", async () => {
    const output = await tls(missing, broken)();
    assertSentence(output, new RegExp(`^signal: --tls-cert ${missing}: there is no such file\\.`));
    assertEquals(output.code, 1);
  });
  await t.step("a key that is not there", async () => {
    const output = await tls(broken, missing)();
    assertSentence(output, new RegExp(`^signal: --tls-key ${missing}: there is no such file\\.`));
    assertEquals(output.code, 1);
  });
  await t.step("a certificate that is none", async () => {
    const output = await tls(broken, broken)();
    assertSentence(
      output,
      new RegExp(`^signal: The certificate \\(--tls-cert ${broken}\\) and key .* can't be`),
    );
    assertEquals(output.code, 1);
  });
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Variables are in effect, and a flag wins over its variable", async () => {
  const env = { SIGNAL_MAX_MESSAGE_BYTES: "2000", SIGNAL_MAX_QUEUE_BYTES: "30000" };
  await using server = await serve(["--max-message-bytes", "1000"], env);
  using client = await TestClient.openV3(`ws://127.0.0.1:${await server.port}`);
  const { maxMessageBytes, maxQueueBytes, maxRoomPeers } = client.welcome.limits as Record<string, number>;
  assertEquals({ maxMessageBytes, maxQueueBytes }, { maxMessageBytes: 1000, maxQueueBytes: 30_000 });
  assertEquals(maxRoomPeers, OPTIONS["max-room-peers"].default);
});

Deno.test("--healthcheck tells by its exit status whether a server answers", async () => {
  await using server = await serve();
  const port = String(await server.port);
  const healthy = await run(["--healthcheck"], { PORT: port });
  assertEquals(healthy, { code: 0, stdout: "HTTP/1.1 200 OK\n", stderr: "" });

  // While it drains it answers, but is not well.
  using silent = await RawClient.open(Number(port));
  server.kill("SIGTERM");
  assertEquals(await silent.closeCode(), 1012);
  const draining = await run(["--healthcheck", "--port", port]);
  assertEquals(draining, {
    code: 1,
    stdout: "",
    stderr: `signal: the answer on port ${port} is HTTP/1.1 503 Service Unavailable\n`,
  });

  silent[Symbol.dispose]();
  await soon(server.output, "the end of the drain");
  const gone = await run(["--healthcheck", "--port", port]);
  assertSentence(gone, new RegExp(`^signal: no answer on port ${port} \\(--port, PORT\\): `));
  assertEquals(gone.code, 1);
});

/** Whether this machine has an address: containers often have no IPv6. */
function isOurs(hostname: string): boolean {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

Deno.test("--healthcheck asks where the server listens", async (t) => {
  for (const host of ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::"].filter(isOurs)) {
    await t.step(host, async () => {
      await using server = await serverProcess(["--port", "0"], { SIGNAL_HOST: host });
      const output = await run(["--healthcheck", "--host", host], { PORT: String(await server.port) });
      assertEquals(output, { code: 0, stdout: "HTTP/1.1 200 OK\n", stderr: "" });
    });
  }
});

Deno.test("The first line names the address that it listens on, for programs and to click", async (t) => {
  const hosts = [
    ["127.0.0.1", "127.0.0.1", ""],
    ["127.0.0.2", "127.0.0.2", ""],
    ["0.0.0.0", "localhost", " (every IPv4 address)"],
    ["::1", "[::1]", ""],
    ["::", "localhost", " (every address)"],
  ] as const;
  for (const [host, shown, where] of hosts.filter(([host]) => isOurs(host))) {
    await t.step(host, async () => {
      await using server = await serverProcess(["--port", "0", "--host", host], { LOG_FORMAT: "text" });
      const port = await server.port;
      await server.said(/listens on .*\n/);
      await (await fetch(`http://${shown}:${port}/`)).text();
      server.kill("SIGTERM");
      const { stdout } = await server.output;
      const line = `signal ${VERSION} listens on ws://${shown}:${port} and http://${shown}:${port}${where}\n`;
      assertStringIncludes(stdout, line);
    });
  }
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`After ${signal} everybody gets what was queued, then goodbye, then the close`, async () => {
    await using server = await serve();
    const url = `ws://127.0.0.1:${await server.port}`;
    const sender = await TestClient.open(url);
    const old = await TestClient.open(url);
    const receivers = [await TestClient.openV3(url), await TestClient.openV3(url), old];
    await sender.call(["join", "sender", "room"], ["join", "room:sender"]);
    for (const [i, receiver] of receivers.entries()) {
      receiver.send(["join", `r${i}`, "room"]);
      await receiver.settle();
    }
    for (const client of [sender, ...receivers]) await client.settle();

    const signals = Array.from({ length: 300 }, (_, i) => ({ i, filling: "x".repeat(1000) }));
    for (const data of signals) {
      for (const i of receivers.keys()) sender.send(["signal", "room:sender", `room:r${i}`, data]);
    }
    // They have all been taken once a call after them has been answered.
    await sender.settle();
    server.kill(signal);

    const delays: unknown[] = [];
    for (const [i, receiver] of receivers.entries()) {
      await receiver.expect(...signals.map((data) => ["signal", `room:r${i}`, "room:sender", data]));
      if (receiver === old) continue;
      const [goodbye, details] = await receiver.next() as [string, Record<string, unknown>];
      assertEquals([goodbye, details.reason], ["goodbye", "shutdown"]);
      const { retryAfterMs } = details as { retryAfterMs: number };
      assert(Number.isInteger(retryAfterMs) && retryAfterMs > 0, String(retryAfterMs));
      delays.push(retryAfterMs);
    }
    assertNotEquals(delays[0], delays[1], "a crowd must not come back at once");
    for (const client of [sender, ...receivers]) {
      const { code, wasClean } = await client.closed;
      assertEquals({ code, wasClean }, { code: 1012, wasClean: true });
    }
    const { code, stderr } = await soon(server.output, "the end of the drain");
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  });
}

Deno.test("A client that has not begun to read still gets all that was queued, and then the close", async () => {
  const limits = ["--max-queue-bytes", "100000000"];
  await using server = await serve(limits);
  const port = await server.port;
  using reader = await RawClient.open(port);
  assertEquals(await reader.settle(["join", "reader", "room"]), ['["join","room:reader"]']);

  const sender = await TestClient.open(`ws://127.0.0.1:${port}`);
  sender.send(["join", "sender", "room"]);
  await sender.settle();
  assertEquals(await reader.text(), '["stun","room:reader","room:sender",false]');
  // More than the system's buffers hold.
  const count = 400;
  const filling = "x".repeat(60_000);
  for (let i = 0; i < count; i++) sender.send(["signal", "room:sender", "room:reader", [i, filling]]);
  await sender.settle();
  server.kill("SIGTERM");
  assertEquals((await sender.closed).code, 1012);

  for (let i = 0; i < count; i++) {
    assert(
      await reader.text() === `["signal","room:reader","room:sender",[${i},"${filling}"]]`,
      `signal ${i}`,
    );
  }
  const close = await reader.frame();
  assertEquals([close?.opcode, close?.payload.slice(0, 2)], [
    Opcode.close,
    Uint8Array.of(1012 >> 8, 1012 & 0xff),
  ]);
  reader[Symbol.dispose]();
  const { code, stderr } = await soon(server.output, "the end of the drain");
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
});

Deno.test("A drain refuses new sockets, and ends in time though a client never answers", async () => {
  await using server = await serve(["--drain", "2"]);
  const port = await server.port;
  using silent = await RawClient.open(port);
  server.kill("SIGTERM");
  assertEquals(await silent.closeCode(), 1012);

  using late = await RawClient.open(port, "no handshake");
  await late.write(handshake());
  assertMatch(await late.readHead(), /^HTTP\/1\.1 503 [^]*^retry-after: [1-9]\d*$/m);
  const health = await fetch(`http://127.0.0.1:${port}/healthz`);
  assertEquals([health.status, (await health.json()).status], [503, "draining"]);

  const { code, stdout } = await soon(server.output, "the end of the drain");
  assertEquals(code, 0);
  assertStringIncludes(stdout, "stopped");
  // The connection is cut.
  assertEquals(await silent.frame(), undefined);
});

Deno.test("A request that is never finished does not hold up the end", async () => {
  await using server = await serve(["--drain", "3600"]);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: await server.port });
  await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: local"));
  await stop(server);
});

Deno.test("A second signal ends the drain at once", async () => {
  await using server = await serve(["--drain", "3600"]);
  using silent = await RawClient.open(await server.port);
  server.kill("SIGTERM");
  assertEquals(await silent.closeCode(), 1012);
  // A signal that comes right behind the first may be its echo, so this one is repeated.
  const again = setInterval(() => server.kill("SIGTERM"), 100);
  const { code, stderr } = await soon(server.output, "the end after a second signal");
  clearInterval(again);
  assertEquals({ code, stderr }, { code: 1, stderr: "" });
});

Deno.test("A signal right behind the first is its echo and does not cut the drain short", async () => {
  await using server = await serve(["--drain", "3600"]);
  const port = await server.port;
  using silent = await RawClient.open(port);
  // Two of a kind might be merged on their way.
  server.kill("SIGINT");
  server.kill("SIGTERM");
  assertEquals(await silent.closeCode(), 1012);
  const health = await fetch(`http://127.0.0.1:${port}/healthz`);
  assertEquals((await health.json()).status, "draining");
  silent[Symbol.dispose]();
  const { code, stderr } = await soon(server.output, "the end of the drain");
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
});

Deno.test({
  name:
    "Ctrl-C stops 'deno task start' gently, though the task passes it on to a server that has got it already",
  ignore: Deno.build.os === "windows",
  async fn() {
    const task = new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", "start", "--host", "127.0.0.1", "--port", "0"],
      env: { LOG_LEVEL: "info", LOG_FORMAT: "json" },
      // A process group of its own, as in a terminal: Ctrl-C reaches all of it.
      detached: true,
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let stdout = "";
    const listening = Promise.withResolvers<number>();
    const read = (async () => {
      for await (const text of task.stdout.pipeThrough(new TextDecoderStream())) {
        stdout += text;
        const port = /ws:\/\/127\.0\.0\.1:(\d+)/.exec(stdout)?.[1];
        if (port) listening.resolve(Number(port));
      }
      listening.reject(new Error(`the task ended: ${stdout}`));
    })();
    try {
      const port = await soon(listening.promise, "the start");
      using client = await RawClient.open(port);
      Deno.kill(-task.pid, "SIGINT");
      assertEquals(await client.closeCode(), 1012);
      // It drains until this client closes; the second signal must not have cut that short.
      const health = await fetch(`http://127.0.0.1:${port}/healthz`);
      assertEquals((await health.json()).status, "draining");
      client[Symbol.dispose]();
      const { code } = await soon(task.status, "the end after Ctrl-C");
      await read;
      assertEquals(code, 0, stdout);
      assertStringIncludes(stdout, '"stopped"');
    } finally {
      try {
        Deno.kill(-task.pid, "SIGKILL");
      } catch {
        // They have all ended.
      }
      await Promise.all([read, task.status]);
    }
  },
});

Deno.test("Where there is no terminal each line of the log is JSON; debug shows who joins", async () => {
  await using server = await serve(["--log-level", "debug"]);
  const port = await server.port;
  using client = await TestClient.open(`ws://127.0.0.1:${port}`);
  await client.call(["join", "alice", "kitchen"], ["join", "kitchen:alice"]);
  const stdout = await stop(server);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  for (const { "@timestamp": time, level, message } of lines) {
    assert(!Number.isNaN(Date.parse(time)), time);
    assertMatch(level, /^(DEBUG|INFO)$/);
    assertEquals(typeof message, "string");
  }
  assertEquals({ version: lines[0].version, url: lines[0].url }, {
    version: VERSION,
    url: `ws://127.0.0.1:${port}`,
  });
  const joined = lines.find(({ message }) => /joined/.test(message));
  assertEquals([joined.level, joined.address], ["DEBUG", "kitchen:alice"]);
});

Deno.test("At level info nobody's address is logged", async () => {
  await using server = await serve();
  using client = await TestClient.open(`ws://127.0.0.1:${await server.port}`);
  await client.call(["join", "alice", "kitchen"], ["join", "kitchen:alice"]);
  assertEquals((await stop(server)).includes("alice"), false);
});

Deno.test("LOG_FORMAT=text is for people, LOG_LEVEL=silent says nothing", async (t) => {
  await t.step("text", async () => {
    await using server = await serve([], { LOG_FORMAT: "text" });
    const port = await server.port;
    const [line] = (await stop(server)).split("\n");
    assertMatch(line!, /^\d{4}-\d\d-\d\d\S* .*info.* signal /i);
    assertStringIncludes(line!, `listens on ws://127.0.0.1:${port} and http://127.0.0.1:${port}`);
  });
  await t.step("silent", async () => {
    const port = freePort();
    const args = ["--host", "127.0.0.1", "--port", String(port)];
    await using server = await serverProcess(args, { LOG_LEVEL: "silent" });
    let client: RawClient | undefined;
    // It cannot say when it is ready.
    for (let attempt = 0; client === undefined; attempt++) {
      assertLess(attempt, 300, "the server does not listen");
      client = await RawClient.open(port).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    client[Symbol.dispose]();
    assertEquals(await stop(server), "");
  });
});

Deno.test("Neither what peers say to each other nor the data of a refused call is ever logged", async () => {
  const secret = "bell-the-cat";
  await using server = await serve(["--log-level", "debug", "--max-message-bytes", "1000"]);
  const url = `ws://127.0.0.1:${await server.port}`;
  const alice = await TestClient.openV3(url);
  const bob = await TestClient.open(url);
  await alice.call(["join", "alice", "kitchen"], ["join", "kitchen:alice"]);
  bob.send(["join", "bob", "kitchen"]);
  await bob.settle();
  const refused = [
    ["signal", "kitchen:alice", "kitchen:nobody", secret],
    ["signal", "kitchen:bob", "kitchen:alice", secret],
    [secret],
    { secret },
    `["${secret}`,
    new TextEncoder().encode(secret),
  ];
  for (const call of refused) alice.send(call);
  await alice.settle();
  alice.send(["signal", "kitchen:alice", "kitchen:bob", { secret }]);
  await bob.expect(["signal", "kitchen:bob", "kitchen:alice", { secret }]);
  alice.send(["ping", secret.repeat(100)]);
  assertEquals((await alice.closed).code, 1009);
  const stdout = await stop(server);
  assertEquals((await bob.closed).code, 1012);
  assertStringIncludes(stdout, "kitchen:alice");
  assertStringIncludes(stdout, "no-such-peer");
  assertEquals(stdout.includes(secret), false, stdout);
});
