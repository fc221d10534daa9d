/** An HTTP server that goes on listening. */

import { openSeparable } from "./internals.ts";

/** What a listener does with a port. */
export interface ListenerOptions {
  /** Opens a server on it, which ends at once when the signal is aborted. */
  readonly open: (port: number, signal: AbortSignal) => Deno.HttpServer<Deno.NetAddr>;
  /** Told of the error each time that listening has ended by itself. */
  readonly onFailure: (error: unknown) => void;
}

/** Pauses before it is tried to listen again, in milliseconds. At first the port is still in use, for a moment. */
const RETRY = { first: 1, most: 200 };

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
  readonly #stopped = Promise.withResolvers<void>();
  readonly #aborted = Promise.withResolvers<void>();
  #http!: Deno.HttpServer<Deno.NetAddr>;
  /** Of this server alone: the runtime would throw for one that has ended. */
  #abort!: AbortController;
  #separate: (() => void) | undefined;
  /** It is ended so that another takes its place. */
  #renewing = false;
  #stopping = false;
  #abortable = true;

  /**
   * @param port 0 takes a free one
   * @throws what `open` throws at the first time
   */
  constructor(port: number, options: ListenerOptions) {
    this.#options = options;
    this.#open(port);
    ({ port: this.port, hostname: this.hostname } = this.#http.addr);
    this.finished = Promise.race([this.#keepOpen(), this.#aborted.promise]);
  }

  /**
   * Listens anew, with what `open` does by now; for a few milliseconds nobody can connect. Ends connections, but for
   * those that have become WebSockets. False where the runtime can't tell these apart: then nothing is done.
   */
  renew(): boolean {
    if (this.#stopping || this.#separate === undefined) return false;
    // Where it has ended already, and the next is not there yet, that will do it.
    if (!this.#abortable) return true;
    this.#renewing = true;
    this.#abortable = false;
    this.#separate();
    return true;
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
        await this.#http.finished;
        if (!this.#renewing) return;
      } catch (error) {
        if (this.#stopping) return;
        this.#abortable = false;
        if (!this.#renewing) this.#options.onFailure(error);
      }
      let pause = this.#renewing ? RETRY.first : RETRY.most;
      this.#renewing = false;
      while (!await this.#reopen(pause)) {
        if (this.#stopping) return;
        pause = Math.min(2 * pause, RETRY.most);
      }
    }
  }

  async #reopen(pause: number): Promise<boolean> {
    const due = Promise.withResolvers<void>();
    const timer = setTimeout(due.resolve, pause);
    await Promise.race([due.promise, this.#stopped.promise]);
    clearTimeout(timer);
    if (this.#stopping) return false;
    try {
      this.#open(this.port);
      this.#abortable = true;
      return true;
    } catch (error) {
      // No descriptor to listen with, or somebody else has taken the port; told when it is no matter of a moment.
      if (pause > RETRY.most / 2 && pause < RETRY.most) this.#options.onFailure(error);
      return false;
    }
  }

  #open(port: number): void {
    const abort = new AbortController();
    const { server, separate } = openSeparable(() => this.#options.open(port, abort.signal));
    this.#http = server;
    this.#separate = separate;
    this.#abort = abort;
  }
}
