/** Every verdict of the doctor, against servers that are made for it. */

import { doctor } from "../../lib/commands/doctor.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../kit/assert.ts";
import { coturn, freePort } from "../kit/coturn.ts";
import { fileWith } from "../kit/files.ts";
import { missingBinaries, testWith } from "../kit/parts.ts";
import { run } from "../kit/programs.ts";
import { freeTcpPort } from "../kit/redis.ts";
import { serverProcess, startFlags, testServer } from "../kit/server.ts";
import { SECRET, token } from "../kit/tokens.ts";
import { signal } from "../nat/firewalls.ts";
import { createNatLab, natLabUnavailable } from "../nat/nat.ts";

interface Step {
  readonly name: string;
  readonly verdict: string;
  readonly text: string;
  readonly advice?: string;
}

async function examine(...args: string[]): Promise<{ code: number; steps: Step[]; of(name: string): Step }> {
  const lines: string[] = [];
  const code = await doctor(["--json", "--idle", "0", "--timeout", "2", ...args], (line) => lines.push(line));
  const { steps, ok } = JSON.parse(lines.join("\n")) as { steps: Step[]; ok: boolean };
  assertEquals(ok, code === 0);
  return {
    code,
    steps,
    of(name) {
      const step = steps.find((step) => step.name === name);
      assert(step !== undefined, `nothing was said of ${name}: ${JSON.stringify(steps)}`);
      return step;
    },
  };
}

Deno.test("of a server that is well nothing has failed, and each thing was looked at", async () => {
  await using server = testServer({ stunSecondPort: 0 });
  const { code, steps, of } = await examine("--idle", "1", server.url);
  assertEquals(
    steps.map(({ name, verdict }) => `${name}: ${verdict}`),
    [
      "DNS: ok",
      "TCP: ok",
      "proxies: ok",
      "version 3: ok",
      "version 2: ok",
      "loop: ok",
      "STUN: ok",
      "NAT: ok",
      "TURN: notice",
      "clock: ok",
      "idle: ok",
    ],
  );
  assertEquals(code, 0);
  assertMatch(of("STUN").text, /sees 127\.0\.0\.1:\d+/);
});

Deno.test("what is said to a person is a line each, with what to do below it", async () => {
  await using server = testServer({ stunPort: "off" });
  const lines: string[] = [];
  assertEquals(await doctor(["--idle", "0", server.url.replace("ws://", "")], (line) => lines.push(line)), 0);
  const text = lines.join("\n");
  assertMatch(text, /^ok {5}DNS {8}127\.0\.0\.1 is 127\.0\.0\.1$/m);
  assertMatch(text, /^note {3}STUN {7}the server names no STUN server\n {18}\S/m);
});

Deno.test("a name that there isn't, and a port where nobody listens", async () => {
  const unknown = await examine("ws://nowhere.invalid");
  assertEquals([unknown.code, unknown.steps.length, unknown.of("DNS").verdict], [1, 1, "failed"]);
  const closed = await examine(`ws://127.0.0.1:${freeTcpPort()}`);
  assertEquals([closed.code, closed.of("TCP").verdict], [1, "failed"]);
  assertMatch(closed.of("TCP").text, /nobody listens/);
});

Deno.test("a server of version 2 alone, whose clock is wrong", async () => {
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    if (request.headers.get("upgrade") !== "websocket") {
      const date = new Date(Date.now() - 3_600_000).toUTCString();
      return new Response("hello", { headers: { date } });
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = () => socket.send('["ident","abcdefghijklmnop"]');
    return response;
  });
  const { code, of } = await examine(`ws://127.0.0.1:${http.addr.port}`);
  assertEquals(code, 1);
  assertMatch(of("version 3").text, /version 2 of the protocol only/);
  assertEquals([of("version 2").verdict, of("proxies").verdict], ["ok", "skipped"]);
  assertEquals(of("clock").verdict, "failed");
  assertMatch(of("clock").text, /36\d\d s slow/);
});

Deno.test("what a server says moves no cursor, and one that says too much is not listened to", async () => {
  let flood = false;
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    if (request.headers.get("upgrade") !== "websocket") return new Response("hello");
    const asksForThree = request.headers.get("sec-websocket-protocol") !== null;
    const { socket, response } = Deno.upgradeWebSocket(request, {
      protocol: asksForThree ? "diva.signal.v3" : "",
    });
    socket.onopen = () => {
      socket.send(JSON.stringify(["welcome", { server: "evil\u001b[2J\u009b31m" }]));
      if (flood) { for (let i = 0; i < 20_000; i++) socket.send('["flood"]'); }
    };
    return response;
  });
  const lines: string[] = [];
  const url = `ws://127.0.0.1:${http.addr.port}`;
  await doctor(["--idle", "0", "--timeout", "1", url], (line) => lines.push(line));
  const text = lines.join("\n");
  assertMatch(text, /evil\?\[2J\?31m says welcome/);
  flood = true;
  const { of } = await examine("--idle", "1", url);
  assertEquals(of("idle").verdict, "failed");
});

Deno.test("a proxy that is not believed, and one that ends what is idle", async () => {
  await using server = testServer();
  const header = (text: string) => text.replace(/\r\n/, "\r\nX-Forwarded-For: 198.51.100.7\r\n");
  using strange = relay(server.port, { rewrite: header });
  const { of } = await examine(`ws://127.0.0.1:${strange.port}`);
  assertEquals(of("proxies").verdict, "failed");
  assertMatch(of("proxies").advice!, /--trust-proxy 127\.0\.0\.1/);

  using impatient = relay(server.port, { idleMs: 1200 });
  const idle = (await examine("--idle", "4", `ws://127.0.0.1:${impatient.port}`)).of("idle");
  assertEquals(idle.verdict, "failed");
  assertMatch(idle.text, /closed after [123] s/);
});

/** Bytes there and back, as a proxy passes them on. */
function relay(
  target: number,
  { idleMs, rewrite }: { idleMs?: number; rewrite?: (head: string) => string },
): Disposable & { readonly port: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  (async () => {
    for await (const near of listener) {
      const far = await Deno.connect({ hostname: "127.0.0.1", port: target });
      open.add(near).add(far);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const end = () => {
        clearTimeout(timer);
        for (const connection of [near, far]) {
          open.delete(connection);
          try {
            connection.close();
          } catch { /* it is */ }
        }
      };
      const alive = () => {
        clearTimeout(timer);
        if (idleMs !== undefined) timer = setTimeout(end, idleMs);
      };
      const pass = async (from: Deno.TcpConn, to: Deno.TcpConn, change?: (head: string) => string) => {
        const buffer = new Uint8Array(65_536);
        try {
          for (let first = true;; first = false) {
            const length = await from.read(buffer);
            if (length === null) break;
            alive();
            const bytes = buffer.subarray(0, length);
            const text = first && change
              ? new TextEncoder().encode(change(new TextDecoder().decode(bytes)))
              : bytes;
            for (let sent = 0; sent < text.length;) sent += await to.write(text.subarray(sent));
          }
        } catch { /* it was ended */ }
        end();
      };
      pass(near, far, rewrite);
      pass(far, near);
    }
  })();
  return {
    port: (listener.addr as Deno.NetAddr).port,
    [Symbol.dispose]() {
      listener.close();
      for (const connection of open) {
        try {
          connection.close();
        } catch { /* it is */ }
      }
    },
  };
}

Deno.test("STUN that does not answer, on some of the addresses or on all", async () => {
  // A socket that takes all and answers nothing.
  const deaf = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const silent = `stun:127.0.0.1:${(deaf.addr as Deno.NetAddr).port}`;
  await using some = testServer({ stunUrl: [silent] });
  assertEquals((await examine(some.url)).of("STUN").verdict, "notice");
  await using none = testServer({ stunPort: "off", stunUrl: [silent] });
  const { code, of } = await examine(none.url);
  assertEquals([code, of("STUN").verdict], [1, "failed"]);
  assertMatch(of("STUN").advice!, /3903:3903\/udp/);
  deaf.close();
});

testWith(
  missingBinaries("turnserver"),
  "TURN that relays, whose secret is another, and that is not there",
  async () => {
    const secret = "a secret that both know";
    await using turn = await coturn({ address: "127.0.0.1", secret });
    const place = turn.url.replace(/\?.*/, "");
    using right = fileWith(secret);
    using wrong = fileWith("a secret that only one knows");
    for (const transport of ["udp", "tcp"]) {
      const url = `${place}?transport=${transport}`;
      await using good = testServer({ turnUrl: [url], turnSecretFile: right.path });
      const well = (await examine(good.url)).of("TURN");
      assertEquals(well.verdict, "ok", JSON.stringify(well));
      assertMatch(well.text, /relays at 127\.0\.0\.1:\d+/);

      await using bad = testServer({ turnUrl: [url], turnSecretFile: wrong.path });
      const refused = (await examine(bad.url)).of("TURN");
      assertEquals(refused.verdict, "failed");
      assertMatch(refused.text, /credentials are refused \(401\)/);
      assertMatch(refused.advice!, /static-auth-secret/);
    }
    await using none = testServer({ stunPort: "off" });
    const own = await examine(
      ...["--turn", `${place}?transport=tcp`, "--turn-secret-file", right.path],
      none.url,
    );
    assertEquals(own.of("TURN").verdict, "ok");
    const away = await examine(
      "--turn",
      `turn:127.0.0.1:${freePort("127.0.0.1")}`,
      "--turn-secret-file",
      right.path,
      none.url,
    );
    assertMatch(away.of("TURN").text, /no answer/);
  },
);

Deno.test("a server that asks for tokens is looked at with one, and as far as may be without", async () => {
  using secret = fileWith(SECRET);
  await using server = testServer({ tokenSecretFile: secret.path });
  const without = await examine(server.url);
  assertEquals([without.code, without.of("loop").verdict], [0, "skipped"]);
  const shown = await examine("--token", await token({ rooms: ["doctor-*"] }), server.url);
  assertEquals(shown.of("loop").verdict, "ok");
});

testWith(
  missingBinaries("openssl", "faketime"),
  "a certificate that is trusted, strange, about to end, and past its end",
  async () => {
    const directory = await Deno.makeTempDir();
    const file = (name: string) => `${directory}/${name}`;
    const make = async (name: string, days: string, when?: string) => {
      await Deno.writeTextFile(file("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
      const before = when === undefined ? [] : ["faketime", when];
      for (
        const command of [
          [
            "openssl",
            "req",
            "-x509",
            ...key,
            "-keyout",
            file("ca.key"),
            "-out",
            file("ca.pem"),
            "-subj",
            "/CN=CA",
            "-days",
            "3650",
          ],
          [
            "openssl",
            "req",
            ...key,
            "-keyout",
            file(`${name}.key`),
            "-out",
            file("csr"),
            "-subj",
            "/CN=localhost",
          ],
          [
            ...before,
            ...[
              "openssl",
              "x509",
              "-req",
              "-in",
              file("csr"),
              "-out",
              file(`${name}.pem`),
              "-extfile",
              file("ext"),
            ],
            ...["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", days],
          ],
        ]
      ) {
        const { code, output } = await run(command);
        assertEquals(code, 0, output);
      }
      await Deno.copyFile(file("ca.pem"), file(`${name}.ca`));
    };
    try {
      await make("good", "90");
      await make("short", "5");
      await make("past", "5", "2020-01-01 00:00:00");
      const cases = [
        ["good", true, "ok", /trusted, and good for 89 days/],
        ["good", false, "failed", /not trusted here: UnknownIssuer/],
        ["short", true, "notice", /good for 4 days/],
        ["past", true, "failed", /expired 2\d\d\d days ago/],
      ] as const;
      for (const [name, trusted, verdict, text] of cases) {
        await using server = await serverProcess(
          ["--tls-cert", file(`${name}.pem`), "--tls-key", file(`${name}.key`)],
          { PORT: "0", SIGNAL_HOST: "127.0.0.1", SIGNAL_STUN_PORT: "off" },
          [...await startFlags(), `--allow-read=${directory}`],
        );
        const port = await server.port;
        // As a process of its own: which authorities are trusted is decided when one starts.
        const { stdout } = await new Deno.Command(Deno.execPath(), {
          args: [
            ...[
              "run",
              "--quiet",
              "-A",
              "main.ts",
              "doctor",
              "--json",
              "--idle",
              "0",
              `wss://localhost:${port}`,
            ],
          ],
          env: trusted ? { DENO_CERT: file(`${name}.ca`) } : {},
        }).output();
        const { steps } = JSON.parse(new TextDecoder().decode(stdout)) as { steps: Step[] };
        const tls = steps.find(({ name }) => name === "TLS")!;
        assertEquals(tls.verdict, verdict, tls.text);
        assertMatch(tls.text, text);
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

testWith(natLabUnavailable(), "behind a NAT that maps by destination the doctor says so", async () => {
  await using lab = await createNatLab({ mapping: "symmetric" });
  await using server = await signal(lab, "--stun-second-port", "3904");
  const main = new URL("../../main.ts", import.meta.url).pathname;
  const command = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--cached-only",
    "-A",
    main,
    "doctor",
    "--json",
    "--idle",
    "0",
    server.url,
  ];
  await using running = lab.start("peerA", command, "piped");
  const text = await new Response(running.process.stdout).text();
  const { steps } = JSON.parse(text) as { steps: Step[] };
  const nat = steps.find(({ name }) => name === "NAT")!;
  assertEquals(nat.verdict, "notice", text);
  assertMatch(nat.text, /it is symmetric/);
});

Deno.test("what can't be looked at is told in words", async () => {
  const fault = async (...args: string[]) => (await assertRejects(() => doctor(args, () => {}))).message;
  assertMatch(await fault(), /needs the address of a server/);
  assertMatch(await fault("ftp://x"), /is no address of a server/);
  assertMatch(await fault("--idel", "3", "ws://localhost"), /did you mean --idle\?/);
  assertMatch(await fault("--idle", "x", "ws://localhost"), /--idle: "x" is not a whole number/);
  assertMatch(await fault("--turn", "stun:x", "ws://localhost"), /--turn/);
});
