import { assertEquals, assertLess } from "../kit/assert.ts";
import { assetRow } from "../../lib/http/asset.ts";
import { Source } from "../../lib/limits/source.ts";

const SCRIPT = "export const something = 1;\n".repeat(500);
const script = assetRow("text/javascript; charset=utf-8", SCRIPT);

function ask(headers: HeadersInit = {}, row = script): Response {
  const request = new Request("http://signal.example.org/client.js", { headers });
  return row.answer({
    request,
    url: new URL(request.url),
    hearsay: false,
    client: Source.of("192.0.2.1"),
    proxies: 0,
  }) as Response;
}

async function unzipped(response: Response): Promise<string> {
  return await new Response(response.body!.pipeThrough(new DecompressionStream("gzip"))).text();
}

Deno.test("pages of any site may load an asset, of whatever kind", async () => {
  const answer = ask();
  assertEquals([answer.status, await answer.text()], [200, SCRIPT]);
  const { headers } = answer;
  assertEquals(headers.get("content-type"), "text/javascript; charset=utf-8");
  assertEquals(headers.get("access-control-allow-origin"), "*");
  assertEquals(headers.get("cross-origin-resource-policy"), "cross-origin");
  assertEquals(headers.get("x-content-type-options"), "nosniff");
  assertEquals(script.preflight?.(undefined!)["access-control-allow-origin"], "*");

  const bytes = new Uint8Array([0, 255, 254]);
  const image = ask({}, assetRow("image/png", bytes, { "content-security-policy": "default-src 'none'" }));
  assertEquals(await image.bytes(), bytes);
  assertEquals(image.headers.get("content-security-policy"), "default-src 'none'");
});

Deno.test("who has an asset already is told so, by its ETag", async () => {
  const etag = ask().headers.get("etag")!;
  for (const tags of [etag, etag.slice(2), `"other", ${etag}`, `${etag},W/"other"`, "*"]) {
    const answer = ask({ "if-none-match": tags });
    assertEquals([answer.status, answer.headers.get("etag"), await answer.text()], [304, etag, ""], tags);
    assertEquals(answer.headers.get("access-control-allow-origin"), "*");
  }
  for (const tags of ['W/"other"', etag.slice(3, -1), "", `W/"x${etag.slice(3)}`, "undefined"]) {
    assertEquals(ask({ "if-none-match": tags }).status, 200, tags);
  }
  assertEquals(ask({ "if-none-match": etag }, assetRow("text/plain", "another")).status, 200);
});

Deno.test("who takes Brotli gets that: it is smaller still", () => {
  for (const coding of ["br", "gzip, deflate, br, zstd", "gzip;q=1, BR;q=0.5"]) {
    const answer = ask({ "accept-encoding": coding });
    assertEquals(answer.headers.get("content-encoding"), "br", coding);
    assertEquals(answer.headers.get("vary"), "accept-encoding");
  }
});

Deno.test("who takes gzip gets an asset compressed, where that makes it smaller", async () => {
  for (const coding of ["gzip", "gzip, deflate, zstd", "br;q=0, GZIP;q=0.5", "x-gzip", "gzip;q=0.001"]) {
    const answer = ask({ "accept-encoding": coding });
    assertEquals(answer.headers.get("content-encoding"), "gzip", coding);
    assertEquals(answer.headers.get("vary"), "accept-encoding");
    const body = await answer.bytes();
    assertLess(body.length, SCRIPT.length / 10);
    assertEquals(await unzipped(new Response(body)), SCRIPT);
  }
  for (const coding of ["", "identity", "brr", "gzip;q=0", "gzip; q=0.0", "notgzip", "gzipped"]) {
    const answer = ask({ "accept-encoding": coding });
    assertEquals([answer.headers.get("content-encoding"), await answer.text()], [null, SCRIPT], coding);
  }
  for (const small of ["export {};", crypto.getRandomValues(new Uint8Array(2000))]) {
    const answer = ask({ "accept-encoding": "gzip" }, assetRow("text/plain", small));
    assertEquals(answer.headers.get("content-encoding"), null);
    await answer.body?.cancel();
  }
});
