import { assertEquals } from "../kit/assert.ts";
import { requestedUrl } from "../../lib/http/host.ts";

const request = new Request("http://127.0.0.1:3903/a//b?c=d");
const url = (seen: { host?: string; proto?: string }) => String(requestedUrl(request, seen));

Deno.test("the URL is the one that the client has asked a proxy for, however that writes it", () => {
  assertEquals(url({}), request.url);
  assertEquals(url({ host: "signal.example.org" }), "http://signal.example.org/a//b?c=d");
  assertEquals(
    url({ host: "signal.example.org:8443", proto: "https" }),
    "https://signal.example.org:8443/a//b?c=d",
  );
  assertEquals(url({ host: "[2001:db8::1]:80" }), "http://[2001:db8::1]/a//b?c=d");
  for (const proto of ["https", "HTTPS", "wss", "WSS"]) {
    assertEquals(url({ proto }), "https://127.0.0.1:3903/a//b?c=d", proto);
  }
  for (const proto of ["http", "HTTP", "ws", "", "httpsx", "on", "gopher"]) {
    assertEquals(url({ proto }), request.url, proto);
  }
  assertEquals(
    String(requestedUrl(new Request("https://a.example/"), { proto: "http" })),
    "http://a.example/",
    "to the proxy in the clear, by TLS from there",
  );
});

Deno.test("a host that is none, or too long, is not taken from a proxy", () => {
  for (
    const host of [
      "",
      "a b",
      "a/b",
      "a@b",
      "a?b",
      "a#b",
      "a\\b",
      "a:b",
      "a:123456",
      "[::g]",
      "<script>",
      "a".repeat(254),
    ]
  ) {
    assertEquals(url({ host }), request.url, host);
  }
});
