import { assert, assertEquals, assertMatch } from "../kit/assert.ts";
import { isAllowedOrigin, isOrigin, originFault } from "../../lib/http/origin.ts";
import { handshake, RawClient } from "../kit/raw_client.ts";
import { serverProcess } from "../kit/server.ts";

/** What Capacitor, Ionic, Tauri, Electron and extensions send; and pages from files and in sandboxed frames: null. */
const APPS = [
  "capacitor://localhost",
  "ionic://localhost",
  "tauri://localhost",
  "app://obsidian.md",
  "app://-",
  "app://",
  "file://",
  "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn",
  "moz-extension://3f1c7a52-1b0e-4e3f-9d0c-7d5f1f6a2b11",
  "safari-web-extension://7E0CF2B5-3A0B-4F5C-8F7B-0B5D7C1E9A10",
  "vscode-webview://1k2j3h4g",
  "null",
];

Deno.test("patterns are exact origins, everything below a domain, or a scheme of an application", () => {
  const web = [
    "*",
    "*.example.org",
    "https://app.example.org",
    "http://localhost:8080",
    "http://tauri.localhost",
  ];
  for (const good of [...web, ...APPS, "moz-extension://*"]) assertEquals(originFault(good), undefined, good);
  for (
    const bad of [
      "",
      "example.org",
      "https://example.org/",
      "https://example.org:443",
      "https://*.example.org",
      "https://*",
      "https://",
      "*example.org",
      "NULL",
      "capacitor",
      "capacitor:",
      "capacitor:localhost",
      "capacitor://localhost/",
      "capacitor://local host",
      "moz-extension://*.org",
      "://x",
      "1app://x",
    ]
  ) {
    assertEquals(typeof originFault(bad), "string", bad);
  }
});

Deno.test("only pages of the named origins may connect", () => {
  const patterns = ["https://app.example.com", "*.example.org", "capacitor://localhost", "moz-extension://*"];
  const cases: [string | null, boolean][] = [
    ["https://app.example.com", true],
    ["http://app.example.com", false],
    ["https://app.example.com:8443", false],
    ["https://a.example.org", true],
    ["http://b.a.example.org:8080", true],
    ["https://example.org", false],
    ["https://evilexample.org", false],
    ["https://a.example.org.evil.net", false],
    ["evil://a.example.org", false],
    ["capacitor://localhost", true],
    ["capacitor://localhost:80", false],
    ["ionic://localhost", false],
    ["http://localhost", false],
    ["moz-extension://3f1c7a52-1b0e-4e3f-9d0c-7d5f1f6a2b11", true],
    ["moz-extension-evil://x", false],
    ["chrome-extension://moz-extension://x", false],
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
  assertEquals(isAllowedOrigin("null", ["null"]), true);
  assertEquals(isAllowedOrigin("https://null", ["null"]), false);
});

Deno.test("what is refused is named only where it could be allowed by that name", () => {
  for (const yes of ["https://app.example.org", ...APPS]) assertEquals(isOrigin(yes), true, yes);
  for (const no of ["*", "*.example.org", "moz-extension://*", "nonsense", "", "https://a.example/path"]) {
    assertEquals(isOrigin(no), false, no);
  }
});

Deno.test("a server allows applications by the origin that they send, one by one", async () => {
  await using server = await serverProcess([
    "--host",
    "127.0.0.1",
    "--port",
    "0",
    ...APPS.slice(1).flatMap((origin) => ["--allow-origin", origin]),
  ]);
  const port = await server.port;
  for (const origin of APPS) {
    using client = await RawClient.open(port, "no handshake");
    await client.write(handshake({ Origin: origin }));
    const expected = origin === APPS[0] ? 403 : 101;
    assertMatch(await client.readHead(), new RegExp(`^HTTP/1.1 ${expected} `), origin);
  }
  server.kill("SIGTERM");
  const { stderr } = await server.output;
  assert(
    stderr.includes(`--allow-origin ${APPS[0]}.`) || stderr.includes(`--allow-origin \\"${APPS[0]}`),
    stderr,
  );
});
