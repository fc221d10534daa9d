import { assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { parse } from "../../lib/config/command_line.ts";
import { proxyMistake, readVisit, type Visit } from "../../lib/http/visit.ts";
import { Source } from "../../lib/limits/source.ts";
import { RawClient } from "../kit/raw_client.ts";
import { serverProcess, testServer } from "../kit/server.ts";

const options = (...args: string[]) => parse(args).config;
const behind = (...args: string[]) => options("--trust-proxy", "10.0.0.0/8", ...args);

function visit(connection: string, url: string, headers: HeadersInit, config = behind()): Visit {
  const read = readVisit(new Request(url, { headers }), connection, config);
  if (read instanceof Response) throw new Error(`refused: ${read.status}`);
  return read;
}

Deno.test("client, scheme and host are those that a trusted proxy tells, by one kind of header", () => {
  const hostile = { forwarded: "for=203.0.113.9;host=evil.example;proto=http" };
  const headers = {
    "x-forwarded-for": "198.51.100.7",
    "x-forwarded-host": "signal.example.org",
    "x-forwarded-proto": "https",
    ...hostile,
  };
  const seen = visit("10.0.0.1", "http://10.0.0.2:3903/ice", headers);
  assertEquals(seen.url.href, "https://signal.example.org/ice");
  assertEquals(seen.client, Source.of("198.51.100.7"));
  assertEquals(seen.host, "signal.example.org");

  const other = visit("10.0.0.1", "http://10.0.0.2:3903/ice", headers, behind("--proxy-header", "Forwarded"));
  assertEquals(other.url.href, "http://evil.example/ice");
  assertEquals(other.client, Source.of("203.0.113.9"));

  const stranger = visit("192.0.2.1", "http://10.0.0.2:3903/ice", headers);
  assertEquals(stranger.url.href, "http://10.0.0.2:3903/ice");
  assertEquals(stranger.client, Source.of("192.0.2.1"));
});

Deno.test("in a chain of Forwarded the host is that of the proxy nearest to the client that is believed", () => {
  const config = behind("--proxy-header", "forwarded");
  const forwarded =
    "for=203.0.113.9;host=evil.example, for=198.51.100.7;host=signal.example.org;proto=https, " +
    "for=10.0.0.3;host=inner:3903;proto=http";
  const seen = visit("10.0.0.1", "http://10.0.0.2:3903/", { forwarded }, config);
  assertEquals([seen.url.href, seen.client], ["https://signal.example.org/", Source.of("198.51.100.7")]);
});

Deno.test("the name of everybody's own machine leads nobody to this one who is elsewhere", () => {
  const host = (connection: string, url: string, headers: HeadersInit = {}) =>
    visit(connection, url, headers).host;
  assertEquals(host("127.0.0.1", "http://localhost:3903/"), "localhost");
  assertEquals(host("::1", "http://[::1]:3903/"), "[::1]");
  assertEquals(host("::ffff:127.0.0.1", "http://[::ffff:127.0.0.1]:3903/"), "127.0.0.1");
  assertEquals(host("192.0.2.1", "http://signal.example.org/"), "signal.example.org");
  for (const url of ["http://localhost/", "http://127.0.0.1/", "http://[::1]/", "http://0.0.0.0/"]) {
    assertEquals(host("192.0.2.1", url), undefined, url);
    assertEquals(host("10.0.0.1", url, { "x-forwarded-for": "198.51.100.7" }), undefined, url);
    // Whoever this proxy is, and whether it is to be believed: it says that somebody is behind it.
    assertEquals(host("127.0.0.1", url, { "x-forwarded-for": "198.51.100.7" }), undefined, url);
    assertEquals(host("127.0.0.1", url, { forwarded: "for=198.51.100.7" }), undefined, url);
    assertEquals(host("10.0.0.1", url, { "x-forwarded-for": "127.0.0.1" }) !== undefined, true, url);
  }
});

Deno.test("where a proxy and the options don't fit, the operator is told what to do", () => {
  const mistake = (connection: string, headers: HeadersInit, config = behind()) =>
    proxyMistake(connection, new Headers(headers), config);
  const xff = { "x-forwarded-for": "198.51.100.7" };
  const forwarded = { forwarded: "for=198.51.100.7" };
  for (const headers of [xff, forwarded]) {
    assertStringIncludes(mistake("::ffff:172.17.0.1", headers)!.sentence, "--trust-proxy 172.17.0.1.");
    assertEquals(mistake("127.0.0.1", headers, options())!.mistake, "untrusted");
    assertEquals(mistake("8.8.8.8", headers), undefined, "anybody may send such a header");
  }
  assertEquals(mistake("10.0.0.1", xff), undefined);
  assertEquals(mistake("10.0.0.1", {}), undefined, "a check of the proxy's own");
  assertEquals(mistake("10.0.0.1", forwarded)!.mistake, "other-header");
  assertStringIncludes(mistake("10.0.0.1", forwarded)!.sentence, "does not send the header x-forwarded-for");
  assertEquals(mistake("10.0.0.1", forwarded, behind("--proxy-header", "forwarded")), undefined);
  const cloud = behind("--proxy-header", "CF-Connecting-IP");
  assertEquals(mistake("10.0.0.1", { "cf-connecting-ip": "198.51.100.7" }, cloud), undefined);
  assertEquals(mistake("172.17.0.1", { "cf-connecting-ip": "198.51.100.7" }, cloud)!.mistake, "untrusted");
});

const ICE = ["--host", "127.0.0.1", "--stun-host", "0.0.0.0", "--port", "0", "--ice-endpoint", "on"];

Deno.test("a client from elsewhere is not sent to its own machine for STUN, and the log says so once", async () => {
  await using server = await serverProcess([...ICE, "--trust-proxy", "127.0.0.1"], { LOG_FORMAT: "text" });
  const port = await server.port;
  const servers = async (headers: Record<string, string>) =>
    (await (await fetch(`http://127.0.0.1:${port}/ice`, { headers })).json()).iceServers;
  assertEquals(await servers({ "x-forwarded-for": "198.51.100.7" }), []);
  assertEquals(await servers({ "x-forwarded-for": "198.51.100.8" }), []);
  assertEquals((await servers({})).length, 1);
  assertEquals(
    (await servers({ "x-forwarded-for": "198.51.100.7", "x-forwarded-host": "a.example:443" })).length,
    1,
  );
  using client = await RawClient.open(port, {
    "X-Forwarded-For": "198.51.100.7",
    "Sec-WebSocket-Protocol": "diva.signal.v3",
  });
  assertEquals(JSON.parse((await client.text())!)[1].iceServers, []);
  client[Symbol.dispose]();
  server.kill("SIGTERM");
  const { stderr } = await server.output;
  assertEquals(stderr.match(/--public-host names where they find it/g)?.length, 1, stderr);
});

Deno.test("with a public host everybody is told of STUN there, wherever from", async () => {
  await using server = testServer({ iceEndpoint: "on", publicHost: "127.0.0.9" });
  const answer = await fetch(`${server.httpUrl}/ice`, { headers: { "x-forwarded-for": "198.51.100.7" } });
  assertEquals((await answer.json()).iceServers, [{
    urls: [`stun:127.0.0.9:${server.stunPorts[0]}`],
  }]);
});

Deno.test("STUN on a loopback address is told to who came by one, and the log says so once", async () => {
  const options = [
    "--host",
    "127.0.0.1",
    "--port",
    "0",
    "--ice-endpoint",
    "on",
    "--trust-proxy",
    "127.0.0.1",
  ];
  await using server = await serverProcess(options, { LOG_FORMAT: "text" });
  const port = await server.port;
  const servers = async (headers: Record<string, string>) =>
    (await (await fetch(`http://127.0.0.1:${port}/ice`, { headers })).json()).iceServers;
  const remote = { "x-forwarded-for": "198.51.100.7", "x-forwarded-host": "signal.example.org" };
  assertEquals(await servers(remote), []);
  assertEquals(await servers(remote), []);
  assertEquals(await servers({}), [{ urls: [`stun:127.0.0.1:${port}`] }]);
  server.kill("SIGTERM");
  const { stderr } = await server.output;
  assertEquals(stderr.match(/--stun-host :: answers everybody/g)?.length, 1, stderr);
});
