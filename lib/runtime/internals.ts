/**
 * What the runtime knows of its WebSockets and has no public name for: found by its description, and left alone where
 * it isn't found. A test tells when a new runtime has changed it.
 */

/** Properties of the runtime's own are symbols. */
type Inside = Record<symbol, unknown>;

function symbolOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

/** What the runtime calls at every message and pong of a server's socket. */
const sign = symbolOf(WebSocket.prototype, "[[serverHandleIdleTimeout]]");
const { internal } = Deno as unknown as { internal?: symbol };
const core = internal &&
  ((Deno as unknown as Inside)[internal] as {
    core?: {
      tryClose?: (resource: number) => void;
      cancelTimer?: (timer: unknown) => void;
      resources?: () => Record<string, string>;
    };
  } | undefined)?.core;

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
 * Opens an HTTP server, and gives a way to end it, with its listening and its connections but for those that have become
 * WebSockets: `shutdown` and an abort would close these as well. It finishes then. No way where there is none.
 */
export function openSeparable<T>(open: () => T): { readonly server: T; readonly separate?: () => void } {
  const { resources, tryClose } = core ?? {};
  if (typeof resources !== "function" || typeof tryClose !== "function") return { server: open() };
  const before = resources();
  const server = open();
  const opened = Object.entries(resources()).filter(([id, kind]) =>
    kind === "http" && before[id] === undefined
  );
  return opened.length === 1 ? { server, separate: () => tryClose(Number(opened[0]![0])) } : { server };
}

/** Who watches a socket: told of every message and pong before anything else is made of it. */
export interface Watcher {
  onSign(): void;
}

const WATCHER = Symbol("watcher");

/** What the runtime would do at such a sign, which is to set its timers; `undefined` where that can't be put off. */
const setTimers = interceptSigns();

/**
 * Whether sockets can be watched. The runtime itself does so with a timer for each (see `idleTimeout` of
 * `Deno.upgradeWebSocket`), which takes 3 KiB and is set anew at every message.
 */
export const canWatch: boolean = setTimers !== undefined;

function interceptSigns(): ((socket: Inside) => void) | undefined {
  const { prototype } = WebSocket as unknown as { prototype: Inside };
  if (sign === undefined) return undefined;
  const original = prototype[sign];
  if (typeof original !== "function" || typeof core?.cancelTimer !== "function") return undefined;
  prototype[sign] = function (this: Inside) {
    const watcher = this[WATCHER] as Watcher | undefined;
    if (watcher === undefined) original.call(this);
    else watcher.onSign();
  };
  return (socket) => original.call(socket);
}

/** From now on the watcher is told of every sign of life; the runtime has to have been told that there is no idle timeout. */
export function watch(socket: WebSocket, watcher: Watcher): void {
  (socket as unknown as Inside)[WATCHER] = watcher;
}

/** Twice the time until the ping goes out, and until the runtime gives up waiting: days, since somebody else does that. */
const PING_SECONDS = 0.002;
const LONG_SECONDS = 4_000_000;

/** Sends a ping to a socket that is watched; a sign of life should follow, and then `calm`. */
export function ping(socket: WebSocket): void {
  const inside = socket as unknown as Inside;
  const duration = symbolOf(socket, "[[idleTimeout]]");
  if (duration === undefined || setTimers === undefined || socket.readyState !== WebSocket.OPEN) return;
  inside[duration] = PING_SECONDS;
  setTimers(inside);
  inside[duration] = LONG_SECONDS;
}

/** Ends what `ping` has begun: the runtime holds on to a socket for as long as it has a timer. */
export function calm(socket: WebSocket): void {
  const inside = socket as unknown as Inside;
  const [duration, timer] = ["[[idleTimeout]]", "[[idleTimeoutTimeout]]"].map((name) =>
    symbolOf(socket, name)
  );
  if (duration === undefined || timer === undefined || !canWatch) return;
  if (inside[timer]) core!.cancelTimer!(inside[timer]);
  inside[timer] = undefined;
  inside[duration] = 0;
}
