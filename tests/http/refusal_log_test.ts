import { assertEquals, assertStringIncludes } from "../kit/assert.ts";
import { RefusalLog } from "../../lib/http/refusal_log.ts";
import { Source } from "../../lib/limits/source.ts";
import type { LogFields } from "../../lib/runtime/log.ts";

const CLIENT = Source.of("192.0.2.1");

/** A log that keeps its lines, and a clock that is set by hand. */
function told() {
  const lines: string[] = [];
  const write = (level: string) => (message: string, fields: LogFields = {}) =>
    void lines.push(`${level}: ${message.replace(/\{(\w+)\}/g, (_, name) => String(fields[name]))}`);
  const clock = { now: 0 };
  const log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  return { lines, clock, refusals: new RefusalLog(log, () => clock.now) };
}

Deno.test("a refused handshake is a line at level debug, and there are not too many of them", () => {
  const { lines, clock, refusals } = told();
  refusals.handshake("bad-handshake", "The header is missing.", CLIENT, null);
  assertEquals(lines, [
    "debug: refused bad-handshake: a handshake, of 192.0.2.1, origin none: The header is missing.",
  ]);
  for (let i = 0; i < 1000; i++) refusals.handshake("server-full", "Full.", CLIENT, "https://a.example");
  assertEquals(lines.length, 100);
  clock.now += 2000;
  for (let i = 0; i < 1000; i++) refusals.handshake("server-full", "Full.", CLIENT, "x".repeat(60_000));
  assertEquals(lines.length, 120);
  assertEquals(lines.at(-1)!.length < 500, true);
});

Deno.test("a refused origin is named once, whatever strangers make up, and again after ten minutes", () => {
  const { lines, clock, refusals } = told();
  const warnings = () => lines.filter((line) => line.startsWith("warn: "));
  // What could not be allowed by its name, or must not be, takes no place.
  for (const origin of ["*", "*.example.org", "nonsense", `app://${"x".repeat(300)}`]) {
    refusals.handshake("origin", "No.", CLIENT, origin);
  }
  assertEquals(warnings(), []);
  for (let again = 0; again < 2; again++) {
    for (let i = 0; i < 40; i++) refusals.handshake("origin", "No.", CLIENT, `https://${i}.example`);
  }
  assertEquals(warnings().length, 16);
  assertStringIncludes(warnings()[0]!, "--allow-origin https://0.example.");
  const other = told();
  other.refusals.origin("null");
  assertStringIncludes(
    other.lines[0]!,
    "--allow-origin null lets them, and sandboxed frames of any other site too.",
  );
  clock.now += 599_999;
  refusals.origin("https://0.example");
  assertEquals(warnings().length, 16);
  clock.now += 1;
  refusals.origin("https://0.example");
  assertEquals(warnings().length, 17);
});

Deno.test("each mistake with a proxy is told once", () => {
  const { lines, refusals } = told();
  for (let again = 0; again < 3; again++) {
    refusals.proxy({ mistake: "untrusted", sentence: "A." }, "10.0.0.1");
    refusals.proxy({ mistake: "other-header", sentence: "B." }, "10.0.0.1");
  }
  assertEquals(lines, ["warn: A.", "warn: B."]);
});
