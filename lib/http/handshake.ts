/** What a client may get wrong before it has a WebSocket, and how it says which version it speaks. */

import type { AdmissionRefusal } from "../limits/admission.ts";
import { type Version, VERSION_3 } from "../protocol/codec.ts";
import { isAllowedOrigin } from "./origin.ts";

/** A handshake that is not accepted. */
export interface HandshakeFault {
  /** For the log and the counts. */
  readonly code: "bad-handshake" | "draining" | "memory" | "origin" | AdmissionRefusal;
  readonly status: number;
  readonly sentence: string;
  readonly headers?: Record<string, string>;
}

/** Whether a request asks for a WebSocket at all. */
export function wantsWebSocket(request: Request): boolean {
  return /(?:^|,)\s*websocket\s*(?:,|$)/i.test(request.headers.get("upgrade") ?? "");
}

/**
 * Checks the form of the request (RFC 6455 section 4.2.1) and the page that it comes from; a server that is
 * `draining` accepts none.
 */
export function handshakeFault(
  request: Request,
  origins: readonly string[],
  draining: boolean,
): HandshakeFault | undefined {
  const { headers, method } = request;
  const bad = (sentence: string, status = 400, more?: Record<string, string>): HandshakeFault => ({
    code: "bad-handshake",
    status,
    sentence,
    headers: more,
  });
  if (method !== "GET") return bad("A WebSocket is asked for with GET.", 405, { allow: "GET" });
  if (!/(?:^|,)\s*upgrade\s*(?:,|$)/i.test(headers.get("connection") ?? "")) {
    return bad(
      "The header 'Connection: Upgrade' is missing. If there is a proxy in between, it must pass it on.",
    );
  }
  if (headers.get("sec-websocket-version") !== "13") {
    return bad("Only version 13 of the WebSocket protocol is spoken here.", 426, {
      "sec-websocket-version": "13",
      upgrade: "websocket",
    });
  }
  if (!/^[A-Za-z0-9+/]{22}==$/.test(headers.get("sec-websocket-key") ?? "")) {
    return bad("The header Sec-WebSocket-Key is missing, or is not 16 bytes in base64.");
  }
  const stranger = nearlyOurs(headers.get("sec-websocket-protocol"));
  if (stranger !== undefined) {
    return bad(`The subprotocol ${stranger} is not spoken here. Version 3 is asked for as ${VERSION_3}.`);
  }
  if (!isAllowedOrigin(headers.get("origin"), origins)) {
    return { code: "origin", status: 403, sentence: "Pages of this origin may not connect." };
  }
  if (draining) {
    const headers = { "retry-after": "5" };
    return { code: "draining", status: 503, sentence: "The server is about to stop.", headers };
  }
  return undefined;
}

const ADMISSION_FAULTS: Record<AdmissionRefusal, Omit<HandshakeFault, "code">> = {
  "server-full": {
    status: 503,
    sentence: "The server has as many sockets as it allows.",
    headers: { "retry-after": "30" },
  },
  "client-full": {
    status: 429,
    sentence: "Your address has as many sockets as the server allows.",
    headers: { "retry-after": "30" },
  },
  "network-full": {
    status: 429,
    sentence:
      "Your network (IPv6: the /56 or /48 around your address, IPv4: the /24) has its share of the sockets.",
    headers: { "retry-after": "30" },
  },
  "connect-rate": {
    status: 429,
    sentence: "Your address or network opens sockets too fast.",
    headers: { "retry-after": "1" },
  },
};

/** There is no memory for another. */
export const NO_MEMORY: HandshakeFault = {
  code: "memory",
  status: 503,
  sentence: "The server is short of memory.",
  headers: { "retry-after": "10" },
};

/** What a client is told that was not admitted. */
export function admissionFault(code: AdmissionRefusal): HandshakeFault {
  return { code, ...ADMISSION_FAULTS[code] };
}

/**
 * The version that a client asks for by subprotocol, and the subprotocol to answer with. A client that offers
 * none of ours gets the first of its own, as it was with the original server.
 */
export function chooseSubprotocol(offered: string | null): { version: Version; protocol?: string } {
  const names = subprotocols(offered);
  if (names.includes(VERSION_3)) return { version: 3, protocol: VERSION_3 };
  return { version: 2, protocol: names[0] };
}

function subprotocols(offered: string | null): string[] {
  return (offered ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
}

/** Of what was written otherwise than ours is, so much is repeated. */
const MAX_ECHO = 64;

/**
 * A subprotocol that can only be meant for us, where ours itself is not offered: in another case, of another version.
 * Its client would be taken for one of version 2, and would wait for a welcome in vain.
 */
function nearlyOurs(offered: string | null): string | undefined {
  const names = subprotocols(offered);
  if (names.includes(VERSION_3)) return undefined;
  return names.find((name) => /^diva[._-]?signal/i.test(name))?.slice(0, MAX_ECHO);
}
