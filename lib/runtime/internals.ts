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
const core = internal &&
  ((Deno as unknown as Inside)[internal] as { core?: { tryClose?: unknown } } | undefined)?.core;

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

/** Half of it, in milliseconds, is nearly the longest that a timer can be set to: 23 days. */
const LONG_SECONDS = 4_000_000;

/**
 * Changes how long the client of a server's socket may be silent (see `idleTimeout` of `Deno.upgradeWebSocket`), and gives
 * it that time anew. 0: for days, which costs nothing; else the runtime sets a timer at every message.
 *
 * @returns false where it could not be done; then it is as it was
 */
export function setIdleTimeout(socket: WebSocket, seconds: number): boolean {
  return socket.readyState === WebSocket.OPEN && setTimer(socket, seconds || LONG_SECONDS, seconds);
}

/** The runtime holds on to a socket that is closed until its timer has run out: lets that be soon. */
export function dropIdleTimeout(socket: WebSocket): void {
  setTimer(socket, 0.002, 0);
}

/** Ends the timer that there is, and sets one for half that time; and what those that come are to be set to. */
function setTimer(socket: WebSocket, seconds: number, afterwards: number): boolean {
  const inside = socket as unknown as Inside;
  const duration = symbolOf(socket, "[[idleTimeout]]");
  const method = renew && inside[renew];
  if (duration === undefined || typeof method !== "function" || typeof inside[duration] !== "number") {
    return false;
  }
  inside[duration] = seconds;
  method.call(socket);
  inside[duration] = afterwards;
  return true;
}
