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

/** What the role of a client's socket is. */
const CLIENT = 1;

/**
 * Closes a socket of the server's. Unlike a client's, such a socket is given up by the runtime at the first message that
 * arrives before the answer to its close frame, often with that frame unwritten: who talks is told neither why it was
 * closed nor whether to come back (RFC 6455 section 7.1.1 has the server wait). So until its end it has the role of a
 * client's, which the runtime looks at only there. What still comes has to be passed over, and bounded.
 */
export function close(socket: WebSocket, code: number, reason: string): void {
  // With the role of a client it would not take most codes.
  socket.close(code, reason);
  const role = symbolOf(socket, "[[role]]");
  if (role !== undefined) (socket as unknown as Inside)[role] = CLIENT;
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

/** Twice the time until a ping goes out. */
const PING_SECONDS = 0.002;
/** Twice the time until the runtime would give up waiting: days. It is not to come to that. */
const LONG_SECONDS = 4_000_000;

/**
 * Stands in a socket for its idle timeout while a ping is on its way. When that is out the runtime reads it, to set the
 * timer at which it would end the socket: that is somebody else's to do, so the timer is cancelled at once. It could not
 * be done at a sign of life: where a ping waits behind other messages the sign may come first.
 */
class PingOnItsWay {
  readonly #socket: Inside;
  readonly #duration: symbol;
  readonly #timer: symbol;

  constructor(socket: Inside, duration: symbol, timer: symbol) {
    this.#socket = socket;
    this.#duration = duration;
    this.#timer = timer;
  }

  valueOf(): number {
    queueMicrotask(() => {
      const timer = this.#socket[this.#timer];
      if (timer) core!.cancelTimer!(timer);
      this.#socket[this.#timer] = undefined;
      this.#socket[this.#duration] = 0;
    });
    return LONG_SECONDS;
  }
}

/**
 * Sends a ping to a socket that is watched; a sign of life should follow. While one is on its way there is no other: it
 * will be answered as well.
 */
export function ping(socket: WebSocket): void {
  const inside = socket as unknown as Inside;
  const duration = symbolOf(socket, "[[idleTimeout]]");
  const timer = symbolOf(socket, "[[idleTimeoutTimeout]]");
  if (duration === undefined || timer === undefined || setTimers === undefined) return;
  if (socket.readyState !== WebSocket.OPEN || inside[duration] instanceof PingOnItsWay) return;
  inside[duration] = PING_SECONDS;
  setTimers(inside);
  inside[duration] = new PingOnItsWay(inside, duration, timer);
}
