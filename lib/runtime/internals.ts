/**
 * What the runtime knows of its WebSockets and has no public name for: found by its description, and left alone where
 * it isn't found. A test tells when a new runtime has changed it.
 */

/** Properties of the runtime's own are symbols. */
type Inside = Record<symbol, unknown>;

function symbolOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

const renew = symbolOf(WebSocket.prototype, "[[serverHandleIdleTimeout]]");
const { internal } = Deno as unknown as { internal?: symbol };
const core = internal && ((Deno as unknown as Inside)[internal] as { core?: { tryClose?: unknown } } | undefined)?.core;

/**
 * Ends a socket's connection at once, and frees what waits in it. Without this a socket whose client never answers the
 * close frame stays for as long as the client likes. No event may come of it. False where it could not be done.
 */
export function cut(socket: WebSocket): boolean {
  const rid = symbolOf(socket, "[[rid]]");
  const resource = rid && (socket as unknown as Inside)[rid];
  if (typeof resource !== "number" || typeof core?.tryClose !== "function") return false;
  core.tryClose(resource);
  return true;
}

/**
 * Gives the client of a server's socket its full time anew to show a sign of life (see `idleTimeout` of
 * `Deno.upgradeWebSocket`). False where it could not be done.
 */
export function renewIdleTimeout(socket: WebSocket): boolean {
  const method = renew && (socket as unknown as Inside)[renew];
  if (typeof method !== "function" || socket.readyState !== WebSocket.OPEN) return false;
  method.call(socket);
  return true;
}
