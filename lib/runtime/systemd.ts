/** What systemd asks to be told, in the datagrams of sd_notify(3). */

/** By which systemd says what it asks for. */
export const SYSTEMD_VARIABLES: readonly string[] = [
  "NOTIFY_SOCKET",
  "RUNTIME_DIRECTORY",
  "WATCHDOG_PID",
  "WATCHDOG_USEC",
];

const encoder = new TextEncoder();

/** A way to systemd. It never throws: that nobody listens any more is no matter of the server's. */
export class Systemd {
  readonly #socket: Deno.DatagramConn;
  readonly #manager: Deno.UnixAddr;
  readonly #watchdog?: ReturnType<typeof setInterval>;
  /** A sign of life is on its way: where systemd does not read, there is no use in more. */
  #busy = false;

  private constructor(socket: Deno.DatagramConn, manager: Deno.UnixAddr, watchdogMs: number | undefined) {
    this.#socket = socket;
    this.#manager = manager;
    // Twice as often as is asked for, as the manual advises.
    if (watchdogMs !== undefined) this.#watchdog = setInterval(() => this.#live(), watchdogMs / 2);
  }

  /**
   * @param variables of the environment, as far as they may be read: see `SYSTEMD_VARIABLES`
   * @returns `undefined` where systemd does not ask; a sentence where it can't be told
   */
  static open(variables: Record<string, string | undefined>): Systemd | string | undefined {
    const { NOTIFY_SOCKET: path, RUNTIME_DIRECTORY: directory } = variables;
    if (path === undefined || path === "") return undefined;
    if (!path.startsWith("/")) return `the runtime knows only sockets with a path, and this one is ${path}.`;
    // systemd answers nothing, but whoever sends has to have an address; with all permissions the kernel gives one.
    const own = directory ? `${directory.split(":")[0]}/notify.${Deno.pid}` : "";
    try {
      if (own !== "") removeLeftover(own);
      const socket = Deno.listenDatagram({ transport: "unixpacket", path: own });
      return new Systemd(socket, { transport: "unixpacket", path }, watchdogOf(variables));
    } catch (error) {
      return directory
        ? `${(error as Error).message}.`
        : "its unit has no RuntimeDirectory= in which to have a socket.";
    }
  }

  /** The server is there. */
  ready(status: string): void {
    this.#tell(`READY=1\nSTATUS=${status}`);
  }

  /** It drains, and will end. */
  stopping(): void {
    this.#tell("STOPPING=1\nSTATUS=draining");
  }

  close(): void {
    clearInterval(this.#watchdog);
    this.#socket.close();
  }

  async #live(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    await this.#tell("WATCHDOG=1");
    this.#busy = false;
  }

  async #tell(state: string): Promise<void> {
    try {
      await this.#socket.send(encoder.encode(state), this.#manager);
    } catch { /* see above */ }
  }
}

/** Of a process that had the same number. */
function removeLeftover(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Milliseconds within which this process is to give signs of life, where it is. */
function watchdogOf({ WATCHDOG_USEC, WATCHDOG_PID }: Record<string, string | undefined>): number | undefined {
  const microseconds = Number(WATCHDOG_USEC);
  const mine = !WATCHDOG_PID || WATCHDOG_PID === String(Deno.pid);
  return mine && microseconds > 0 ? microseconds / 1000 : undefined;
}
