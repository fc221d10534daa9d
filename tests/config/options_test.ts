import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "../kit/assert.ts";
import { parse, UsageError } from "../../lib/config/command_line.ts";
import { help } from "../../lib/config/help.ts";
import { OPTIONS, SWITCHES, VARIABLES } from "../../lib/config/options.ts";

/** Asserts that parsing fails, with a sentence that holds all these parts. */
function assertUsage(args: string[], env: Record<string, string>, ...parts: string[]): void {
  const { message } = assertThrows(() => parse(args, env), UsageError);
  for (const part of parts) assertStringIncludes(message, part);
  assert(!message.includes("\n"), message);
  assertMatch(message, /[.?]$/);
}

Deno.test("without options everything has its default, and the configuration is frozen", () => {
  const { name, config } = parse([]);
  assertEquals(name, "run");
  assertEquals([config.host, config.port, config.logLevel, config.tlsCert], ["::", 3903, "info", undefined]);
  assert(Object.isFrozen(config));
});

Deno.test("a flag wins over a variable, a variable over the default, and an empty variable is none", () => {
  const port = (args: string[], env: Record<string, string>) => parse(args, env).config.port;
  assertEquals(port([], { PORT: "8080" }), 8080);
  assertEquals(port(["--port", "9090"], { PORT: "8080" }), 9090);
  assertEquals(port(["--port=0"], {}), 0);
  assertEquals(port([], { PORT: "" }), 3903);
  assertEquals(port(["--port", "1", "--port", "2"], {}), 2);
});

Deno.test("lists may be repeated or have commas", () => {
  const { config } = parse([
    "--allow-origin",
    "*.example.org, https://a.example.com",
    "--allow-origin=http://b",
  ], {});
  assertEquals(config.allowOrigin, ["*.example.org", "https://a.example.com", "http://b"]);
  assertEquals(parse([], { SIGNAL_TRUST_PROXY: "127.0.0.1,::1" }).config.trustProxy.length, 2);
});

Deno.test("what can't be understood is answered with a sentence that names it, and a hint", () => {
  assertUsage(["--prot", "80"], {}, "--prot is not an option", "did you mean --port?");
  assertUsage(["--hlep"], {}, "--help");
  assertUsage(["--no-port"], {}, "--no-port is not an option");
  assertUsage(["-p", "80"], {}, "-p is not an option");
  assertUsage(["8080"], {}, '"8080"', "--port 8080");
  assertUsage(["--port"], {}, "--port needs a value (NUMBER)");
  assertUsage(["--port", "--help"], {}, "--port needs a value");
  assertUsage(["--port", "abc"], {}, '--port: "abc"', "0 to 65535");
  assertUsage(["--port", "65536"], {}, "65536");
  assertUsage(["--port=-1"], {}, '--port: "-1"');
  assertUsage(["--port", "1e3"], {}, "1e3");
  assertUsage([], { PORT: "http" }, 'PORT: "http"');
  assertUsage(["--log-level", "inf"], {}, '"inf"', "did you mean info?");
  assertUsage([], { LOG_FORMAT: "xml" }, "LOG_FORMAT", "json");
  assertUsage(["--call-rate", "0"], {}, '--call-rate: "0"');
  assertUsage(["--call-rate", "fast"], {}, "above 0");
  assertUsage(["--max-sockets", "0"], {}, "--max-sockets");
  assertUsage(["--trust-proxy", "10.0.0.0/64"], {}, "10.0.0.0/64", "10.0.0.0/8");
  assertUsage(["--trust-proxy", "127.0.0.1,"], {}, "--trust-proxy needs a value");
  assertUsage(["--allow-origin", "example.org"], {}, "example.org", "https://app.example.org");
  assertUsage(["--host", " "], {}, "--host");
  assertUsage(["--tls-cert", "a.pem"], {}, "--tls-cert is given without --tls-key");
  assertUsage([], { SIGNAL_TLS_KEY: "a.pem" }, "--tls-key is given without --tls-cert");
});

Deno.test("help, version and health check are told apart from a run", () => {
  assertEquals(parse(["--help"]).name, "help");
  assertEquals(parse(["--version"]).name, "version");
  assertEquals(parse(["--healthcheck", "--port", "80"]).name, "healthcheck");
  assertEquals(parse(["--version", "--help"]).name, "help");
});

Deno.test("--help names every option, its variable and its default, in lines that fit", () => {
  const text = help();
  for (const [flag, row] of Object.entries(OPTIONS)) {
    assertStringIncludes(text, `--${flag} ${row.value}`);
    assertStringIncludes(text, row.env);
    if (typeof row.default === "number") assertStringIncludes(text, `${row.env}; ${row.default}]`);
  }
  for (const name of Object.keys(SWITCHES)) assertStringIncludes(text, `--${name}`);
  for (const line of text.split("\n")) assert(line.length <= 100, line);
});

Deno.test("each option has a variable of its own", () => {
  assertEquals(new Set(VARIABLES).size, Object.keys(OPTIONS).length);
});

Deno.test("the list of options in the documents is the program's", async () => {
  const readme = await Deno.readTextFile(new URL("../../lib/config/README.md", import.meta.url));
  const row = /^- \*\*`--([\w-]+)(?: (\w+))?`\*\*(?:, `(\w+)`)?(?:, default (`.*`))?\\\n((?: {2}.*\n)+)/gm;
  const rows = [...readme.matchAll(row)].map(([, flag, value = "", env = "", defaultText = "", about]) => ({
    flag,
    value,
    env,
    defaultText,
    about: about!.trim().replaceAll(/\s+/g, " "),
  }));
  const expected = [
    ...Object.entries(OPTIONS).map(([flag, row]) => ({
      flag,
      value: row.value as string,
      env: row.env as string,
      defaultText: row.default === undefined || Array.isArray(row.default) ? "" : `\`${row.default}\``,
      about: row.help as string,
    })),
    ...Object.entries(SWITCHES).map(([flag, about]) => ({
      flag,
      value: "",
      env: "",
      defaultText: "",
      about,
    })),
  ];
  assertEquals(rows, expected as typeof rows);
});
