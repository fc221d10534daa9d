/** OpenTelemetry by the runtime's own support, with a receiver of its protocol (OTLP over HTTP, as JSON). */

import { assert, assertEquals } from "../kit/assert.ts";
import { TestClient } from "../kit/client.ts";
import { serverProcess } from "../kit/server.ts";

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}

Deno.test("spans of HTTP requests and metrics reach a collector when the usual variables say so, and else nothing does", async () => {
  const spans: { name: string; attributes: Attribute[] }[] = [];
  const metrics = new Set<string>();
  const services = new Set<string>();
  let requests = 0;
  // deno-lint-ignore no-explicit-any -- as OTLP has it, of which this reads what it needs
  const noted = (body: any) => {
    for (
      const { resource, scopeSpans = [], scopeMetrics = [] } of [
        ...body.resourceSpans ?? [],
        ...body.resourceMetrics ?? [],
      ]
    ) {
      for (const { key, value } of resource.attributes as Attribute[]) {
        if (key === "service.name") services.add(value.stringValue!);
      }
      for (const scope of scopeSpans) spans.push(...scope.spans);
      for (const scope of scopeMetrics) for (const { name } of scope.metrics) metrics.add(name);
    }
  };
  await using collector = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    requests++;
    noted(await request.json());
    return Response.json({});
  });
  const settings = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_METRIC_EXPORT_INTERVAL: "200",
    OTEL_BSP_SCHEDULE_DELAY: "200",
    OTEL_SERVICE_NAME: "signal-under-test",
  };
  for (const on of [false, true]) {
    await using server = await serverProcess([], {
      PORT: "0",
      SIGNAL_HOST: "127.0.0.1",
      SIGNAL_STUN_PORT: "off",
      ...settings,
      ...on ? { OTEL_DENO: "true" } : {},
    });
    const url = `127.0.0.1:${await server.port}`;
    for (const path of ["/healthz", "/nowhere"]) await (await fetch(`http://${url}${path}`)).body?.cancel();
    using client = await TestClient.openV3(`ws://${url}`);
    await client.settle();
    if (on) {
      const deadline = performance.now() + 20_000;
      while ((spans.length < 3 || metrics.size === 0) && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    server.kill("SIGTERM");
    assertEquals((await server.output).code, 0);
    if (!on) assertEquals(requests, 0);
  }
  assertEquals([...services], ["signal-under-test"]);
  assert([...metrics].some((name) => name.startsWith("http.server")), [...metrics].join());
  const statuses = spans.map(({ attributes }) =>
    attributes.find(({ key }) => key === "http.response.status_code")?.value.stringValue ??
      attributes.find(({ key }) => key === "http.response.status_code")?.value.intValue
  );
  for (const status of ["200", "404"]) {
    assert(statuses.includes(status), JSON.stringify(spans).slice(0, 2000));
  }
});
