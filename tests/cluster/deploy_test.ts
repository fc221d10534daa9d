/** The files that there are to copy: read, checked, and run as far as a Debian machine can. */

import { parseAll as untypedParseAll } from "@std/yaml";
import { parse } from "../../lib/config/command_line.ts";
import { OPTIONS } from "../../lib/config/options.ts";
import { assert, assertEquals, assertGreater, assertMatch } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { cluster, eventually } from "../kit/cluster.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { run } from "../kit/programs.ts";
import { balancer, BALANCERS } from "../kit/proxies.ts";

const FOLDER = new URL("../../.github/deploy/", import.meta.url);

const read = (file: string) => Deno.readTextFile(new URL(file, FOLDER));

// deno-lint-ignore no-explicit-any -- manifests of all kinds
type Manifest = any;
const parseAll = untypedParseAll as (text: string, options?: { schema: "extended" }) => Manifest[];

/** Reads variables as the server does; throws where one is unknown or wrong. */
function checkVariables(variables: Record<string, string>) {
  const known = new Set<string>(Object.values(OPTIONS).map(({ env }) => env));
  for (const name of Object.keys(variables)) assert(known.has(name), name);
  return parse([], variables).config;
}

const ROOMS = Array.from({ length: 24 }, (_, i) => `room ${i}/${i % 3 ? "é" : "?"}`);

for (const name of Object.keys(BALANCERS) as (keyof typeof BALANCERS)[]) {
  testWith(
    missingBinaries(name, "redis-server", "redis-cli"),
    `${name} keeps a room on one node, and finds another where that is gone`,
    async () => {
      await using two = await cluster(2, { trustProxy: [] });
      const [one, other] = two.nodes;
      await using proxy = await balancer(name, two.nodes.map(({ port }) => port));
      const open = (room: string) =>
        TestClient.openV3(`ws://127.0.0.1:${proxy.port}/r/${encodeURIComponent(room)}`);
      const meet = async (room: string) => {
        using alice = await open(room);
        using bob = await open(room);
        await alice.call(["join", "alice", room], ["join", `${room}:alice`]);
        bob.send(["join", "bob", room]);
        await bob.expect(["join", `${room}:bob`], ["stun", `${room}:bob`, `${room}:alice`, true]);
        await alice.expect(["stun", `${room}:alice`, `${room}:bob`, false]);
        bob.send(["signal", `${room}:bob`, `${room}:alice`, 1]);
        await alice.expect(["signal", `${room}:alice`, `${room}:bob`, 1]);
        return await Promise.all(two.nodes.map((node) => Promise.resolve(node.health().rooms)));
      };
      const seen = [0, 0];
      for (const room of ROOMS) {
        for (const [at, rooms] of (await meet(room)).entries()) seen[at]! += rooms > 0 ? 1 : 0;
        for (const node of two.nodes) await node.counts({ rooms: 0 });
      }
      assertEquals(seen[0]! + seen[1]!, ROOMS.length, "no room was on both");
      assertGreater(Math.min(...seen), 0, "both had some");
      assertEquals(two.nodes.map((node) => node.health().cluster!.published), [0, 0]);
      await one!.drain();
      // Whoever is turned away by a node that has gone comes again.
      for (const room of ROOMS) {
        await eventually("they meet", () => meet(room).then(() => true, () => false));
      }
      assertEquals(other!.health().cluster!.published, 0);
    },
  );
}

Deno.test("the compose file's nodes have options that there are, each its own name", async () => {
  const [compose] = parseAll(await read("compose.yaml"));
  const { one, two, engine, proxy } = compose.services;
  const configs = [one, two].map(({ environment }) => checkVariables(environment));
  assertEquals(configs.map(({ nodeName }) => nodeName), ["one", "two"]);
  for (const [config, node] of [[configs[0]!, one], [configs[1]!, two]] as const) {
    assertEquals([config.engine?.hosts, node.depends_on], [[{ host: "engine", port: 6379 }], ["engine"]]);
    assertGreater(Number.parseInt(node.stop_grace_period), config.drain);
  }
  assertEquals(engine.command[0], "valkey-server");
  assert(engine.command.includes("noeviction") && engine.ports === undefined);
  assertEquals(proxy.depends_on, ["one", "two"]);
  assert(proxy.volumes.includes("./Caddyfile:/etc/caddy/Caddyfile:ro") && compose.volumes !== undefined);
});

Deno.test("the Kubernetes manifests agree with each other and with the server", async () => {
  const all = parseAll(await read("kubernetes.yaml"));
  const find = (kind: string, name: string) => {
    const found = all.filter((one) => one.kind === kind && one.metadata.name === name);
    assertEquals(found.length, 1, `${kind} ${name}`);
    return found[0];
  };
  const pods = find("StatefulSet", "signal").spec;
  const [container] = pods.template.spec.containers;
  const variables = Object.fromEntries(
    container.env.map(({ name, value }: Record<string, string>) => [name, value ?? "signal-0"]),
  );
  const config = checkVariables(variables);
  assertEquals(config.nodeName, "signal-0");
  assertEquals(container.env.find(({ name }: Manifest) => name === "SIGNAL_NODE_NAME").valueFrom.fieldRef, {
    fieldPath: "metadata.name",
  });
  assertGreater(pods.template.spec.terminationGracePeriodSeconds, config.drain);
  assertEquals(container.readinessProbe.httpGet.path, "/readyz");
  assertEquals(find("Service", config.engine!.hosts[0]!.host).spec.ports[0].port, 6379);
  assertEquals(find("PodDisruptionBudget", "signal").spec.selector, pods.selector);
  const ingress = find("Ingress", "signal").spec.rules[0].http.paths[0].backend.service;
  const service = find("Service", ingress.name);
  for (const selector of [service.spec.selector, find("Service", "signal-stun").spec.selector]) {
    assertEquals(selector, pods.template.metadata.labels);
  }
  assertEquals(pods.serviceName, ingress.name);
  const ports = container.ports.map(({ name, containerPort }: Manifest) => [name, containerPort]);
  assertEquals(ports, [["http", config.port], ["stun", config.port]]);
  for (const workload of [pods, find("Deployment", "signal-engine").spec]) {
    assertEquals(workload.selector.matchLabels, workload.template.metadata.labels);
    // Variables that an orchestrator makes up of services' names.
    assertEquals(workload.template.spec.enableServiceLinks, false);
  }
});

testWith(
  missingBinaries("systemd-analyze"),
  "the unit for several nodes is one that systemd takes",
  async () => {
    const text = await read("signal@.service");
    const variables = Object.fromEntries(
      [...text.matchAll(/^Environment=(\w+)=(.*)$/gm)].map((
        [, name, value],
      ) => [name, value!.replace("%i", "one")]),
    );
    assertEquals(checkVariables(variables).nodeName, "one");
    const directory = await Deno.makeTempDir();
    try {
      const unit = `${directory}/signal@.service`;
      // The program is not installed there.
      await Deno.writeTextFile(unit, text.replace("/usr/local/bin/signal", "/bin/true"));
      const { code, output } = await run([
        "systemd-analyze",
        "verify",
        "--man=no",
        `${directory}/signal@one.service`,
      ])
        .catch(() => run(["systemd-analyze", "verify", "--man=no", unit]));
      const ours = output.split("\n").filter((line) => line.includes("signal@"));
      assertEquals([code, ours], [0, []], output);
      assertMatch(text, /^EnvironmentFile=\/etc\/signal\/%i\.env$/m);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);
