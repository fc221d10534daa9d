/** TLS by the server itself, with certificates such as people make. */

import { assertEquals, assertMatch, assertStringIncludes } from "../kit/assert.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { serverProcess, startFlags } from "../kit/server.ts";

const missing = missingBinaries("openssl");

type Pair = readonly [cert: string, key: string];

/** A directory with certificates; `await using` removes it. */
interface Certificates extends AsyncDisposable {
  readonly directory: string;
  /** The files of a certificate and its key. */
  readonly selfSigned: Pair;
  /** The same; signed by `authority`, for localhost and 127.0.0.1. */
  readonly issued: Pair;
  /** A certificate (PEM). */
  readonly authority: string;
}

async function openssl(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, stdout: "null", stderr: "piped" })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

async function certificates(): Promise<Certificates> {
  const directory = await Deno.makeTempDir();
  const file = (name: string) => `${directory}/${name}`;
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
  // As most instructions have it: by default it is marked as an authority, which many TLS clients then refuse.
  await openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    file("self.key"),
    "-out",
    file("self.pem"),
    "-subj",
    "/CN=self",
  );
  await openssl("req", "-x509", ...key, "-keyout", file("ca.key"), "-out", file("ca.pem"), "-subj", "/CN=CA");
  await openssl(
    "req",
    ...key,
    "-keyout",
    file("issued.key"),
    "-out",
    file("issued.csr"),
    "-subj",
    "/CN=issued",
  );
  await Deno.writeTextFile(file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  await openssl(
    ...["x509", "-req", "-in", file("issued.csr"), "-out", file("issued.pem"), "-extfile", file("names")],
    ...["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"],
  );
  return {
    directory,
    authority: await Deno.readTextFile(file("ca.pem")),
    selfSigned: [file("self.pem"), file("self.key")],
    issued: [file("issued.pem"), file("issued.key")],
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

function tlsFlags([cert, key]: Pair): string[] {
  return ["--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", key];
}

testWith(missing, "With a certificate the server speaks WSS and HTTPS", async () => {
  await using made = await certificates();
  const flags = [...await startFlags(), `--allow-read=${made.directory}`];
  await using server = await serverProcess(["--port", "0", ...tlsFlags(made.issued)], {}, flags);
  const port = await server.port;
  using client = Deno.createHttpClient({ caCerts: [made.authority] });

  const socket = new WebSocket(`wss://127.0.0.1:${port}`, { client });
  const answer = new Promise((resolve, reject) => {
    socket.onopen = () => socket.send('["join", "alice", "room"]');
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = (event) => reject((event as ErrorEvent).error);
  });
  const closed = new Promise((resolve) => socket.onclose = resolve);
  assertEquals(await answer, '["join","room:alice"]');
  socket.close();
  await closed;

  const page = await fetch(`https://127.0.0.1:${port}/`, { client });
  assertEquals(page.status, 200);
  assertStringIncludes(await page.text(), `wss://127.0.0.1:${port}`);
  server.kill("SIGTERM");
  const { code, stdout, stderr } = await server.output;
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertStringIncludes(stdout, `listens on wss://127.0.0.1:${port} and https://127.0.0.1:${port}"`);
});

testWith(
  missing,
  "a renewed certificate is taken up without closing a socket, and one that can't be used is not",
  async () => {
    await using made = await certificates();
    await using renewed = await certificates();
    const [cert, key] = made.issued;
    const flags = [...await startFlags(), `--allow-read=${made.directory}`];
    await using server = await serverProcess(["--port", "0", ...tlsFlags(made.issued)], {}, flags);
    const port = await server.port;
    /** Whether one is served whose certificate this authority has signed. */
    const serves = async ({ authority }: Certificates): Promise<boolean> => {
      using client = Deno.createHttpClient({ caCerts: [authority] });
      return await fetch(`https://127.0.0.1:${port}/healthz`, { client })
        .then(async (answer) => (await answer.text(), true), (error) => {
          assertStringIncludes(String(error.cause ?? error), "certificate");
          return false;
        });
    };
    assertEquals([await serves(made), await serves(renewed)], [true, false]);
    using trusting = Deno.createHttpClient({ caCerts: [made.authority] });
    const words: string[] = [];
    const socket = new WebSocket(`wss://127.0.0.1:${port}`, { client: trusting });
    let told = () => {};
    socket.onmessage = ({ data }) => (words.push(data), told());
    await new Promise((resolve) => socket.onopen = resolve);
    const echoes = async (number: number) => {
      const heard = new Promise<void>((resolve) => told = resolve);
      socket.send(`["signal","room:alice","room:alice",${number}]`);
      await heard;
    };
    const joined = new Promise<void>((resolve) => told = resolve);
    socket.send('["join","alice","room"]');
    await joined;

    // As tools for certificates do it, one after the other: at first the key is another's.
    await Deno.copyFile(renewed.issued[0], cert);
    server.kill("SIGHUP");
    await server.said(/a file can't be used, so what it held stays: The certificate [^"]*/);
    assertEquals([await serves(made), await serves(renewed)], [true, false]);
    await Deno.copyFile(renewed.issued[1], key);
    server.kill("SIGHUP");
    await server.said(/taken up from its file: the certificate/);
    // The port is free for a moment; whoever comes then comes once more.
    let took = false;
    for (let tries = 0; !took && tries < 1000; tries++) took = await serves(renewed).catch(() => false);
    assertEquals(took, true);
    assertEquals(await serves(made), false);
    await echoes(1);

    // And once more, with a file that is none.
    await Deno.writeTextFile(cert, "nothing\n");
    server.kill("SIGHUP");
    await server.said(/KeyMismatch[^]*stays: The certificate .* can't be used: /);
    assertEquals(await serves(renewed), true);
    await echoes(2);
    assertEquals(words, [
      '["join","room:alice"]',
      '["signal","room:alice","room:alice",1]',
      '["signal","room:alice","room:alice",2]',
    ]);
    const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
    server.kill("SIGTERM");
    assertEquals((await closed).code, 1012);
    assertEquals((await server.output).code, 0);
  },
);

testWith(missing, "--healthcheck does not mind who has signed the certificate", async (t) => {
  await using made = await certificates();
  const flags = [...await startFlags(), `--allow-read=${made.directory}`];
  for (const pair of [made.selfSigned, made.issued]) {
    await t.step(pair[0].replace(/.*\//, ""), async () => {
      await using server = await serverProcess(["--port", "0", ...tlsFlags(pair)], {}, flags);
      const args = ["--healthcheck", "--port", String(await server.port), ...tlsFlags(pair)];
      await using check = await serverProcess(args, {}, flags);
      assertEquals(await check.output, { code: 0, stdout: "HTTP/1.1 200 OK\n", stderr: "" });
    });
  }
});

testWith(
  missing,
  "Without the permission to read the certificate, the server names the flag to add",
  async () => {
    await using made = await certificates();
    await using server = await serverProcess(["--port", "0", ...tlsFlags(made.issued)]);
    const { code, stdout, stderr } = await server.output;
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    const [cert] = made.issued;
    assertEquals(
      stderr,
      `signal: --tls-cert ${cert}: Deno was not given the permission to read it: add --allow-read=${cert}.\n`,
    );
  },
);

testWith(missing, "A key that belongs to another certificate is refused in one sentence", async () => {
  await using made = await certificates();
  const flags = [...await startFlags(), `--allow-read=${made.directory}`];
  const [cert] = made.issued;
  const [, key] = made.selfSigned;
  await using server = await serverProcess(["--port", "0", ...tlsFlags([cert, key])], {}, flags);
  const { code, stdout, stderr } = await server.output;
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertMatch(
    stderr,
    /^signal: The certificate \(--tls-cert [^\n]*\) and key \(--tls-key [^\n]*\) can't be used: .*\n$/,
  );
});
