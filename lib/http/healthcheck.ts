/** Asks a running server how it is, for container images that have no curl. */

import { request as requestInClear } from "node:http";
import { request as requestByTls } from "node:https";

/** Where the server listens. */
export interface HealthTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

const TIMEOUT_MS = 5000;

/**
 * The status line of the answer, such as `HTTP/1.1 200 OK`. Rejects where nobody answers within 5 seconds; a server on
 * every address is asked by IPv6 where it does not answer by IPv4.
 */
export async function askHealth(target: HealthTarget): Promise<string> {
  if (target.host !== "::") {
    return await ask({ ...target, host: target.host === "0.0.0.0" ? "127.0.0.1" : target.host });
  }
  try {
    return await ask({ ...target, host: "127.0.0.1" });
  } catch {
    return await ask({ ...target, host: "::1" });
  }
}

function ask({ host, port, tls }: HealthTarget): Promise<string> {
  const options = {
    host,
    port,
    path: "/healthz",
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    // Whoever asks has started the server, so it need not prove who it is; and could not, where its certificate
    // names it by its public name or is signed by nobody known. Deno's own client has no way to say so.
    rejectUnauthorized: false,
    ca: [],
  };
  return new Promise((resolve, reject) => {
    const request = (tls ? requestByTls : requestInClear)(options, (response) => {
      response.resume();
      resolve(`HTTP/${response.httpVersion} ${response.statusCode} ${response.statusMessage}`);
    });
    request.on("error", reject);
    request.end();
  });
}
