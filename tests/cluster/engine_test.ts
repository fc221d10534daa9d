/** What an engine may be like: guarded, encrypted, watched by Sentinels, used by others, full, old, wrong. */

import { assert, assertEquals, assertGreater, assertLess, assertMatch } from "../kit/assert.ts";
import { eventually, GONE_WITHIN, missingEngine } from "../kit/cluster.ts";
import { fileWith } from "../kit/files.ts";
import { losing, noPacketFilter } from "../kit/packet_filter.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { freeTcpPort, redis } from "../kit/redis.ts";
import { run, start } from "../kit/programs.ts";
import { serverProcess, startFlags } from "../kit/server.ts";
import { pause, Stage } from "./stage.ts";

/** What the documents say that a user of the engine has to be allowed. */
async function documentedAcl(): Promise<string[]> {
  const text = await Deno.readTextFile(new URL("../../lib/rooms/README.md", import.meta.url));
  const [, words] = /ACL SETUSER signal (.*)/.exec(text) ?? [];
  return words!.replace(">PASSWORD", ">" + PASSWORD).split(" ");
}

const PASSWORD = "a-word-of-the-engine";

async function failing(...args: string[]): Promise<{ code: number; stderr: string }> {
  await using node = await serverProcess([
    "--host",
    "127.0.0.1",
    "--port",
    "0",
    "--stun-port",
    "off",
    ...args,
  ]);
  const { code, stderr } = await node.output;
  return { code, stderr };
}

testWith(missingEngine, "a user that may do nothing but what the documents list is enough", async () => {
  const engine = await redis();
  assertEquals(await engine.cli("acl", "setuser", "signal", ...await documentedAcl()), "OK");
  await engine.cli("acl", "setuser", "default", "off");
  using password = fileWith(PASSWORD + "\n");
  const args = ["--engine-password-file", password.path, "--node-name"];
  await using stage = await Stage.open({ nodes: 0, engine, url: engine.url.replace("//", "//signal@") });
  await stage.addNode(...args, "one");
  await stage.addNode(...args, "two");
  await stage.populate(2, 4);
  stage.churn(4, 2);
  await pause(1000);
  await stage.calm();
  await stage.talking();
  stage.nodes[1]!.kill("SIGKILL");
  // Gives its dead members up as well.
  await eventually(
    "the dead are gone",
    () => stage.actors.filter(({ open }) => open).every(({ known }) => known.size === 1),
  );
  assertEquals(stage.anomalies, []);
});

testWith(
  missingBinaries("redis-server", "redis-cli", "openssl"),
  "the engine speaks TLS, with a certificate of one's own",
  async () => {
    const directory = await Deno.makeTempDir();
    const [key, cert] = [`${directory}/key.pem`, `${directory}/cert.pem`];
    const made = await run([
      ...[
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
      ],
      ...["-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
    ]);
    assertEquals(made.code, 0, made.output);
    const port = freeTcpPort();
    await using engine = await redis(
      ...[
        "--tls-port",
        String(port),
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-auth-clients",
        "no",
      ],
    );
    const args = [
      "--host",
      "127.0.0.1",
      "--port",
      "0",
      "--stun-port",
      "off",
      "--engine",
      `rediss://localhost:${port}`,
    ];
    try {
      const flags = [...await startFlags(), `--allow-read=${cert}`];
      await using trusting = await serverProcess([...args, "--engine-ca-file", cert], {}, flags);
      await trusting.said(/shares its rooms/);
      await using other = await serverProcess(args);
      assertMatch((await other.said(/can't be reached.*/))[0], /certificate|issuer/i);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
    assertGreater(engine.port, 0);
  },
);

testWith(missingEngine, "what will not change by waiting ends the start, in a sentence", async () => {
  await using engine = await redis();
  await using guarded = await redis("--requirepass", PASSWORD);
  await engine.cli("set", "other:version", "7");
  using wrong = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    for await (const connection of wrong) {
      await connection.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")).catch(() => {});
      connection.close();
    }
  })().catch(() => {});
  using old = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const aged = (async () => {
    for await (const connection of old) {
      const buffer = new Uint8Array(4096);
      const info = "# Server\r\nredis_version:6.2.14\r\nrole:master\r\n";
      for (let size; (size = await connection.read(buffer).catch(() => null)) !== null;) {
        const hello = new TextDecoder().decode(buffer.subarray(0, size)).includes("HELLO");
        const answer = hello ? "%0\r\n" : `$${info.length}\r\n${info}\r\n`;
        await connection.write(new TextEncoder().encode(answer)).catch(() => {});
      }
      connection.close();
    }
  })().catch(() => {});
  const cases: [string[], number, RegExp][] = [
    [
      ["--engine", `redis://127.0.0.1:${old.addr.port}`],
      1,
      /it is Redis 6\.2\.14, but 7\.0 is needed at least/,
    ],
    [
      ["--engine", guarded.url],
      1,
      /^signal: The engine at redis:\S+ doesn't take the user and password.*\.$/,
    ],
    [
      ["--engine", `${guarded.url.replace("//", "//:wrong@")}`],
      1,
      /:\*\*\*@\S+ doesn't take the user and password/,
    ],
    [
      ["--engine", "redis://nobody.invalid"],
      1,
      /^signal: There is no engine at redis:\S+: nobody knows a host/,
    ],
    [["--engine", `redis://127.0.0.1:${wrong.addr.port}`], 1, /is no Redis or Valkey that can be used/],
    [["--engine", engine.url, "--engine-prefix", "other:"], 1, /speak version 7 .* and this one 1/],
    [["--engine", "http://127.0.0.1"], 2, /--engine.*is no redis:\/\/HOST/],
    [["--engine", engine.url, "--node-name", "a b"], 2, /--node-name.*is not made of 1 to 64 letters/],
    [["--engine", engine.url, "--engine-password-file", "/nowhere"], 1, /--engine-password-file \/nowhere: /],
  ];
  for (const [args, code, sentence] of cases) {
    const ended = await failing(...args);
    assertMatch(ended.stderr.trim(), sentence);
    assertEquals([ended.code, ended.stderr.trim().split("\n").length], [code, 1], ended.stderr);
  }
  wrong.close();
  old.close();
  await Promise.all([served, aged]);
});

testWith(missingEngine, "an engine that is away at the start is waited for", async () => {
  await using engine = await redis();
  engine.kill("SIGKILL");
  await pause(100);
  await using node = await serverProcess(
    ["--host", "127.0.0.1", "--port", "0", "--stun-port", "off", "--engine", engine.url],
  );
  await node.said(/can't be reached.*Joins wait/);
  const at = `http://127.0.0.1:${await node.port}`;
  const states = async () =>
    await Promise.all(["/healthz", "/readyz"].map(async (path) => {
      const response = await fetch(at + path);
      await response.body?.cancel();
      return response.status;
    }));
  assertEquals(await states(), [200, 503]);
  await engine.restart();
  await node.said(/shares its rooms/);
  assertEquals(await states(), [200, 200]);
});

testWith(
  missingEngine,
  "a node that is started again under its name frees what it held at once",
  async () => {
    await using stage = await Stage.open({ nodes: 0 });
    await stage.addNode("--node-name", "one");
    await stage.addNode("--node-name", "two");
    await stage.populate(1, 4);
    const here = stage.actors.filter((_, i) => i % 2 === 0);
    stage.nodes[1]!.kill("SIGKILL");
    const at = performance.now();
    await stage.addNode("--node-name", "two");
    await stage.enter(2, "room0", "s1");
    await stage.quiet();
    assertLess(performance.now() - at, 7000, "less than a lease");
    assertEquals(here.map(({ known }) => known.size), [2, 2]);
    assertEquals(stage.anomalies, []);
    assertMatch(await stage.engine.cli("--raw", "get", "signal:name:two"), /^two~/);
  },
);

testWith(missingEngine, "two nodes of one name: the second has it, and both serve", async () => {
  await using stage = await Stage.open({ nodes: 0 });
  await stage.addNode("--node-name", "one");
  const member = await stage.enter(0, "r", "a");
  await stage.addNode("--node-name", "one");
  assertEquals(await member.closed, 1012);
  await stage.nodes[0]!.said(/another node has taken the name one/);
  await stage.up();
  await stage.enter(0, "r", "a");
  await stage.enter(1, "r", "b");
  await stage.quiet();
  await stage.talking();
  await pause(5000);
  assertEquals([(await stage.health(0)).cluster.fenced, (await stage.health(1)).cluster.fenced], [1, 0]);
  assertEquals(stage.anomalies, []);
});

testWith(
  missingEngine,
  "an engine that comes back with an old snapshot: nobody is told of what is in it",
  async () => {
    await using stage = await Stage.open();
    await stage.populate(2, 4);
    const stray = await stage.enter(1, "room0", "stray");
    await stage.quiet();
    assertEquals(await stage.engine.cli("save"), "OK");
    stray.close();
    await stage.enter(0, "room1", "young");
    await stage.quiet();
    const told = stage.told();
    stage.engine.kill("SIGKILL");
    // The one that the stray was on tells what it holds behind the other, which has looked at the rooms by then.
    stage.nodes[1]!.kill("SIGSTOP");
    await pause(300);
    await stage.engine.restart();
    assertMatch(await stage.engine.cli("--raw", "hkeys", "signal:room:room0"), /^stray$/m);
    await stage.up(0);
    stage.nodes[1]!.kill("SIGCONT");
    await stage.up();
    await pause(9000);
    assertEquals(stage.told() - told, 0);
    await stage.enter(1, "room0", "stray");
    await stage.quiet();
    await stage.talking();
    assertEquals(stage.anomalies, []);
  },
);

testWith(missingEngine, "a node that reads too slowly is cut by the engine, and tells all anew", async () => {
  await using stage = await Stage.open();
  await stage.populate(2, 4);
  await stage.engine.cli("config", "set", "client-output-buffer-limit", "pubsub 64kb 0 0");
  stage.nodes[1]!.kill("SIGSTOP");
  const node = (await stage.engine.cli("--raw", "pubsub", "channels", "signal:inbox:*")).split("\n");
  // What other nodes might have said to it.
  const text = "1?" + "x".repeat(100_000);
  for (let i = 0; i < 100; i++) {
    for (const channel of node) await stage.engine.cli("publish", channel, text);
  }
  stage.nodes[1]!.kill("SIGCONT");
  await eventually("it has told all anew", async () => {
    const { resyncs, engine } = (await stage.health(1)).cluster;
    return resyncs > 1 && engine === "up";
  });
  await stage.quiet();
  await stage.talking();
  assertEquals(stage.anomalies, []);
});

testWith(missingEngine, "64 join at once under one ident, and for the last place: one has it", async () => {
  await using stage = await Stage.open({ nodes: 3, args: ["--max-room-peers", "10"] });
  const race = async (room: string, ident: (i: number) => string) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 64 }, (_, i) => stage.enter(i % 3, room, ident(i))),
    );
    const refused = outcomes.flatMap((outcome) =>
      outcome.status === "rejected" ? [String(outcome.reason)] : []
    );
    return { joined: 64 - refused.length, refused };
  };
  const idents = await race("one", () => "same");
  assertEquals(idents.joined, 1);
  assert(idents.refused.every((text) => text.includes('"ident-taken"')), idents.refused[0]);
  for (let i = 0; i < 9; i++) await stage.enter(i % 3, "full", `first${i}`);
  const places = await race("full", (i) => `i${i}`);
  assertEquals(places.joined, 1);
  assert(places.refused.every((text) => text.includes('"room-full"')), places.refused[0]);
  for (const actor of [...stage.actors]) if (!actor.open) stage.actors.splice(stage.actors.indexOf(actor), 1);
  await stage.quiet();
  assertEquals(stage.anomalies, []);
});

testWith(missingEngine, "what a younger node of the same version may say is passed over", async () => {
  await using stage = await Stage.open();
  await stage.populate(1, 4);
  const channels = (await stage.engine.cli("--raw", "pubsub", "channels", "signal:inbox:*")).split("\n");
  assertEquals(channels.length, 2);
  const F = "\x1f";
  const stay = ["99999999999999999", "younger~node", "1", "0", "", "", "a field more"].join(F);
  for (const channel of channels) {
    for (
      const text of [
        "",
        "1",
        "1Z",
        `1Zsomething${F}else`,
        "1J",
        "1V",
        "1E",
        "1S",
        `1D${F}a`,
        `1J${F}${F}room0${F}young${F}${stay}`,
      ]
    ) await stage.engine.cli("publish", channel, text);
  }
  await eventually(
    "the younger node's member is known",
    () => stage.actors.every(({ known }) => known.has("room0:young")),
  );
  await stage.talking();
  assertEquals(stage.anomalies, []);
});

testWith(
  missingBinaries("redis-server", "redis-cli", "ss") ?? noPacketFilter,
  "a node whose way to the engine goes silent is given up, and begins anew when it is back",
  async () => {
    await using stage = await Stage.open();
    await stage.populate(2, 4);
    const awake = stage.actors.filter((_, i) => i % 2 === 0);
    const asleep = stage.actors.filter((_, i) => i % 2 === 1);
    const { output } = await run(["ss", "-tnpH", "dport", "=", `:${stage.engine.port}`]);
    const ports = output.split("\n").filter((line) => line.includes(`pid=${stage.nodes[1]!.pid},`))
      .map((line) => /:(\d+)\s+\S+:\d+\s/.exec(line)![1]!);
    assertEquals(ports.length, 2, output);
    const enginePort = stage.engine.port;
    {
      await using _silence = await losing(
        enginePort,
        ...ports.flatMap((port) => [
          `tcp sport ${port} tcp dport ${enginePort}`,
          `tcp sport ${enginePort} tcp dport ${port}`,
        ]),
        // Connections that it makes anew are lost as well.
        `tcp dport ${enginePort} tcp flags & (syn|ack) == syn`,
      );
      const at = performance.now();
      await eventually("the others are told", () => awake.every(({ known }) => known.size === 1));
      assertLess(performance.now() - at, GONE_WITHIN);
      assert(asleep.every(({ open }) => open));
    }
    assertEquals(await Promise.all(asleep.map(({ closed }) => closed)), Array(4).fill(1012));
    await stage.up();
    for (const { address } of asleep) await stage.enter(1, ...address.split(":") as [string, string]);
    await stage.quiet();
    await stage.talking();
    assertEquals(stage.anomalies, []);
  },
);

testWith(missingEngine, "Sentinels say who the master is; when it dies, all goes on by another", async () => {
  const replica = await redis();
  await using second: AsyncDisposable = replica;
  const master = await redis();
  assertEquals(await replica.cli("replicaof", "127.0.0.1", String(master.port)), "OK");
  const directory = await Deno.makeTempDir();
  const port = freeTcpPort();
  await Deno.writeTextFile(
    `${directory}/sentinel.conf`,
    `port ${port}
bind 127.0.0.1
dir ${directory}
sentinel monitor signal 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds signal 1000
sentinel failover-timeout signal 3000
`,
  );
  await using _sentinel = start(["redis-server", `${directory}/sentinel.conf`, "--sentinel"]);
  const ask = async (...words: string[]) => (await run(["redis-cli", "-p", String(port), ...words])).output;
  await eventually(
    "the Sentinel knows the replica",
    async () => (await ask("sentinel", "replicas", "signal")).includes(String(replica.port)),
  );
  await using stage = await Stage.open({
    engine: master,
    url: `sentinel://127.0.0.1:1,127.0.0.1:${port}/signal`,
  });
  await stage.populate(2, 4);
  const told = stage.told();
  master.kill("SIGKILL");
  await eventually("both are by the other", async () => {
    const info = await replica.cli("pubsub", "channels", "signal:inbox:*");
    return info.split("\n").filter(Boolean).length === 2;
  });
  await stage.up();
  await stage.talking();
  assertEquals(stage.told() - told, 0);
  await stage.enter(0, "room0", "late");
  await stage.quiet();
  assertEquals(stage.anomalies, []);
  await Deno.remove(directory, { recursive: true });
  assert(second !== undefined);
});
