/** An HTTP server that goes on listening. */

/** What a listener does with a port. */
export interface ListenerOptions {
  /** Opens a server on it, which ends at once when the signal is aborted. */
  readonly open: (port: number, signal: AbortSignal) => Deno.HttpServer<Deno.NetAddr>;
  /** Told of the error each time that listening has ended by itself. */
  readonly onFailure: (error: unknown) => void;
}

const RETRY_MS = 200;

/**
 * `Deno.serve` stops listening for good when a connection can't be accepted: when the process has run out of file
 * descriptors, say, which a stranger can bring about. Its WebSockets live on; so this listens again on the same
 * port, and sees to it that the failure does not end the process.
 */
export class Listener {
  /** The port that was taken. */
  readonly port: number;
  /** The address that was taken. */
  readonly hostname: string;
  /** Resolves when the listener has been told to stop, and has; or was aborted. */
  readonly finished: Promise<void>;
  readonly #options: ListenerOptions;
  readonly #abort = new AbortController();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #aborted = Promise.withResolvers<void>();
  #http: Deno.HttpServer<Deno.NetAddr>;
  #stopping = false;
  #abortable = true;

  /**
   * @param port 0 takes a free one
   * @throws what `open` throws at the first time
   */
  constructor(port: number, options: ListenerOptions) {
    this.#options = options;
    this.#http = options.open(port, this.#abort.signal);
    ({ port: this.port, hostname: this.hostname } = this.#http.addr);
    this.finished = Promise.race([this.#keepOpen(), this.#aborted.promise]);
  }

  /** Takes no new connections, and finishes when those that there are have ended. */
  stop(): void {
    this.#cease();
    // A server that has ended by itself can't be shut down.
    this.#http.shutdown().catch(() => {});
  }

  /** Finishes at once, and ends all connections: but not of a server that `stop` has been called for. */
  abort(): void {
    // The runtime would throw, where nobody can catch it, if the server were stopping or had ended.
    if (this.#abortable) this.#abort.abort();
    this.#cease();
    this.#aborted.resolve();
  }

  #cease(): void {
    this.#abortable = false;
    this.#stopping = true;
    this.#stopped.resolve();
  }

  async #keepOpen(): Promise<void> {
    for (;;) {
      try {
        return await this.#http.finished;
      } catch (error) {
        if (this.#stopping) return;
        this.#abortable = false;
        this.#options.onFailure(error);
      }
      while (!await this.#reopen()) if (this.#stopping) return;
    }
  }

  async #reopen(): Promise<boolean> {
    const pause = Promise.withResolvers<void>();
    const timer = setTimeout(pause.resolve, RETRY_MS);
    await Promise.race([pause.promise, this.#stopped.promise]);
    clearTimeout(timer);
    if (this.#stopping) return false;
    try {
      this.#http = this.#options.open(this.port, this.#abort.signal);
      this.#abortable = true;
      return true;
    } catch {
      // Still no descriptor to listen with.
      return false;
    }
  }
}
