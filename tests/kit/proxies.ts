/** Real reverse proxies, with the configurations that the documents give. */

import { connect } from "node:net";
import { assertEquals, assertMatch } from "./assert.ts";
import { findBinary } from "./parts.ts";
import { handshake } from "./raw_client.ts";

/** A proxy in front of a server; `await using` stops it. */
export interface Proxy extends AsyncDisposable {
  readonly port: number;
}

/** The one block of code in this language that the documents hold. */
async function documented(language: string): Promise<string> {
  const root = new URL("../../", import.meta.url);
  const files = [new URL("README.md", root)];
  for await (const { name } of Deno.readDir(new URL(".github/", root))) {
    if (name.endsWith(".md")) files.push(new URL(`.github/${name}`, root));
  }
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(file)));
  const fence = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm");
  const blocks = texts.flatMap((text) => [...text.matchAll(fence)].map(([, block]) => block!));
  assertEquals(blocks.length, 1, `blocks of ${language} in the documents`);
  return blocks[0]!;
}

/** Replaces what must be there, so that a document that has changed fails the test. */
function replace(text: string, what: RegExp, by: string): string {
  assertMatch(text, what);
  return text.replace(what, by);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** One kind of proxy. */
interface Kind {
  readonly program: string;
  /** What it says once it listens. */
  readonly ready: RegExp;
  readonly file: string;
  args(directory: string): string[];
  /** Without TLS, on a port of the loopback interface, from the documents' example. */
  configuration(example: string, port: number, directory: string): string;
}

/**
 * Of the example, a change: `unclean` leaves a client's own `Forwarded` as it is; `forwarded` notes clients there, and
 * in no other header (HAProxy only); `no upgrade` passes requests on, but no WebSocket (nginx only).
 */
export type Variant = "as documented" | "unclean" | "forwarded" | "no upgrade";

/** Runs a proxy as the current user. `upstream`: the port of the server. */
async function run(kind: Kind, language: string, upstream: number, variant: Variant): Promise<Proxy> {
  let example = await documented(language);
  if (variant === "no upgrade") {
    example = replace(example, /^\s*proxy_set_header Upgrade .*$/m, "");
  } else if (variant !== "as documented") {
    example = replace(
      example,
      /^.*(?:set_header Forwarded "";|header_up -Forwarded|del-header Forwarded)$/m,
      "",
    );
  }
  if (variant === "forwarded") {
    const note = 'http-request add-header Forwarded "for=%[src];proto=http;host=\\"%[req.hdr(host)]\\""';
    example = replace(replace(example, /option forwardfor/, note), /^.*X-Forwarded-Host.*$/m, "");
  }
  return await launch(kind, replace(example, /127\.0\.0\.1:3903/, `127.0.0.1:${upstream}`));
}

async function launch(kind: Kind, example: string): Promise<Proxy> {
  const directory = await Deno.makeTempDir({ prefix: `${kind.program}-` });
  const port = freePort();
  await Deno.writeTextFile(`${directory}/${kind.file}`, kind.configuration(example, port, directory));
  const child = new Deno.Command(findBinary(kind.program)!, {
    args: kind.args(directory),
    env: { XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();

  const started = Promise.withResolvers<void>();
  const read = (async () => {
    let stderr = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += text;
      if (kind.ready.test(stderr)) started.resolve();
    }
    started.reject(new Error(`${kind.program} ended: ${stderr}`));
  })();
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await Promise.all([read, child.status]);
    await Deno.remove(directory, { recursive: true });
  };
  try {
    await started.promise;
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, [Symbol.asyncDispose]: stop };
}

function nginxKind(readTimeout: string): Kind {
  return {
    program: "nginx",
    // It listens before it starts those that accept.
    ready: /start worker process/,
    file: "nginx.conf",
    args: (directory) => ["-p", directory, "-e", "stderr", "-c", `${directory}/nginx.conf`],
    configuration(site, port, directory) {
      site = replace(site, /listen 443 ssl;\n\s*listen \[::\]:443 ssl;/, `listen 127.0.0.1:${port};`);
      site = replace(site, /^\s*ssl_certificate .*$/m, "");
      site = replace(site, /^\s*ssl_certificate_key .*$/m, "");
      return `
        daemon off;
        pid ${directory}/pid;
        error_log stderr notice;
        events {}
        http {
          access_log off;
          client_body_temp_path ${directory}/body;
          proxy_temp_path ${directory}/proxy;
          fastcgi_temp_path ${directory}/fastcgi;
          uwsgi_temp_path ${directory}/uwsgi;
          scgi_temp_path ${directory}/scgi;
          proxy_read_timeout ${readTimeout};
          ${site}
        }`;
    },
  };
}

const CADDY: Kind = {
  program: "caddy",
  ready: /serving initial configuration/,
  file: "Caddyfile",
  args: (directory) => ["run", "--config", `${directory}/Caddyfile`, "--adapter", "caddyfile"],
  configuration(site, port) {
    site = replace(site, /^signal\.example\.org \{/m, `:${port} {\n\tbind 127.0.0.1`);
    return `{\n\tadmin off\n\tauto_https off\n}\n${site}`;
  },
};

const HAPROXY: Kind = {
  program: "haproxy",
  ready: /Loading success/,
  file: "haproxy.cfg",
  args: (directory) => ["-W", "-db", "-f", `${directory}/haproxy.cfg`],
  configuration(site, port) {
    site = replace(site, /^(\s*)bind .*$/m, `$1bind 127.0.0.1:${port}`);
    return replace(site, /X-Forwarded-Proto https/, "X-Forwarded-Proto http");
  },
};

/** @param readTimeout `proxy_read_timeout`: after how long a silence of the server a connection is cut */
export function nginx(
  upstream: number,
  variant: Variant = "as documented",
  readTimeout = "60s",
): Promise<Proxy> {
  return run(nginxKind(readTimeout), "nginx", upstream, variant);
}

export function caddy(upstream: number, variant: Variant = "as documented"): Promise<Proxy> {
  return run(CADDY, "caddyfile", upstream, variant);
}

export function haproxy(upstream: number, variant: Variant = "as documented"): Promise<Proxy> {
  return run(HAPROXY, "haproxy", upstream, variant);
}

/** Those that keep a room on one of two nodes, with the files that there are to copy. */
export const BALANCERS = {
  nginx: { kind: nginxKind("60s"), file: "nginx.conf", places: ["10.0.0.1:3903", "10.0.0.2:3903"] },
  caddy: { kind: CADDY, file: "Caddyfile", places: ["one:3903", "two:3903"] },
  haproxy: { kind: HAPROXY, file: "haproxy.cfg", places: ["10.0.0.1:3903", "10.0.0.2:3903"] },
} as const;

/** Runs one in front of two nodes. */
export async function balancer(name: keyof typeof BALANCERS, ports: readonly number[]): Promise<Proxy> {
  const { kind, file, places } = BALANCERS[name];
  let text = await Deno.readTextFile(new URL(`../../.github/deploy/${file}`, import.meta.url));
  for (const [index, place] of places.entries()) {
    text = replace(text, new RegExp(place.replaceAll(".", "\\.")), `127.0.0.1:${ports[index]}`);
  }
  return await launch(kind, text);
}

/** A connection that asks for a WebSocket from an address of its own choice in 127.0.0.0/8. */
export async function connectFrom(
  address: string,
  port: number,
  headers: Record<string, string> = {},
): Promise<{ status: number } & Disposable> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: address });
  const head = Promise.withResolvers<string>();
  let received = "";
  socket.on("data", (bytes: Uint8Array) => {
    received += new TextDecoder().decode(bytes);
    if (received.includes("\r\n\r\n")) head.resolve(received);
  });
  socket.on("error", head.reject);
  socket.on("close", () => head.reject(new Error(`closed after: ${received}`)));
  socket.on("connect", () => socket.write(handshake(headers)));
  const status = Number(/^HTTP\/1\.1 (\d+) /.exec(await head.promise)?.[1]);
  return { status, [Symbol.dispose]: () => void socket.destroy() };
}
