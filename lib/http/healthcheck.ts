/** Asks a running server how it is, for container images that have no curl. */

/** Where the server listens. */
export interface HealthTarget {
  readonly host: string;
  readonly port: number;
  /** Its certificate chain (PEM), where it speaks TLS. */
  readonly cert?: string;
}

const TIMEOUT_MS = 5000;

/** The status line of the answer, such as `HTTP/1.1 200 OK`. Rejects where nobody answers within 5 seconds. */
export async function askHealth({ host, port, cert }: HealthTarget): Promise<string> {
  const hostname = host === "::" || host === "0.0.0.0" ? "127.0.0.1" : host;
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  // The certificate is the server's own and names it by its public name: neither has to be proved to itself.
  using connection = cert === undefined
    ? await Deno.connect({ hostname, port, signal })
    : await Deno.connectTls({ hostname, port, caCerts: [cert], unsafelyDisableHostnameVerification: true });
  signal.addEventListener("abort", () => connection.close(), { once: true });
  await connection.write(
    new TextEncoder().encode(
      `GET /healthz HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`,
    ),
  );
  const buffer = new Uint8Array(1024);
  const length = await connection.read(buffer) ?? 0;
  const [statusLine] = new TextDecoder().decode(buffer.subarray(0, length)).split("\r\n");
  return statusLine;
}
