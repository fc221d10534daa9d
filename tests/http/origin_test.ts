import { assertEquals } from "../kit/assert.ts";
import { isAllowedOrigin, originFault } from "../../lib/http/origin.ts";

Deno.test("patterns are exact origins or everything below a domain", () => {
  for (const good of ["*", "*.example.org", "https://app.example.org", "http://localhost:8080"]) {
    assertEquals(originFault(good), undefined, good);
  }
  for (
    const bad of ["", "example.org", "https://example.org/", "https://*.example.org", "*example.org", "null"]
  ) {
    assertEquals(typeof originFault(bad), "string", bad);
  }
});

Deno.test("only pages of the named origins may connect", () => {
  const patterns = ["https://app.example.com", "*.example.org"];
  const cases: [string | null, boolean][] = [
    ["https://app.example.com", true],
    ["http://app.example.com", false],
    ["https://app.example.com:8443", false],
    ["https://a.example.org", true],
    ["http://b.a.example.org:8080", true],
    ["https://example.org", false],
    ["https://evilexample.org", false],
    ["https://a.example.org.evil.net", false],
    ["null", false],
    ["", false],
    ["file://", false],
    [null, true],
  ];
  for (const [origin, allowed] of cases) {
    assertEquals(isAllowedOrigin(origin, patterns), allowed, String(origin));
  }
  assertEquals(isAllowedOrigin("https://anywhere.net", []), true);
  assertEquals(isAllowedOrigin("null", ["*"]), true);
});
