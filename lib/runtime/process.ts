/** What the operating system gives to this process. */

/** Those of the named variables that may be read: to ask for the others would only bring up a prompt. */
export function readableVariables(names: readonly string[]): Record<string, string | undefined> {
  const readable = names.filter((variable) =>
    Deno.permissions.querySync({ name: "env", variable }).state === "granted"
  );
  return Object.fromEntries(readable.map((variable) => [variable, Deno.env.get(variable)]));
}

const TERMINATION: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

/**
 * `deno task` passes on the Ctrl-C that the terminal has sent to its child as well: signals within so many
 * milliseconds are one.
 */
const ECHO_MS = 500;

/**
 * Resolves at the first signal that asks the process to end.
 *
 * @param again called at each later one
 * @param now in milliseconds; only differences matter
 */
export function terminationSignal(again: () => void, now: () => number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let first: number | undefined;
  const caught = () => {
    if (first === undefined) {
      first = now();
      resolve();
    } else if (now() - first >= ECHO_MS) {
      again();
    }
  };
  // They stay: without a listener the next signal would kill the process in the midst of its drain.
  for (const signal of TERMINATION) Deno.addSignalListener(signal, caught);
  return promise;
}

/**
 * Calls it at each SIGHUP, by which daemons are told to read their files again. Of a program on a terminal it says that
 * the terminal is gone, and there it ends the process, as everywhere.
 */
export function onHangup(renew: () => void): void {
  if (Deno.build.os !== "windows" && !Deno.stdout.isTerminal()) Deno.addSignalListener("SIGHUP", renew);
}

/** The addresses of this machine; `undefined` where they may not be read. */
export function localAddresses(): string[] | undefined {
  if (Deno.permissions.querySync({ name: "sys", kind: "networkInterfaces" }).state !== "granted") {
    return undefined;
  }
  try {
    return [...new Set(Deno.networkInterfaces().map(({ address }) => address))];
  } catch {
    return undefined;
  }
}

/** `::` is every address; on a machine without IPv6 that is every IPv4 address. */
export function listenOn<T>(host: string, listen: (hostname: string) => T): T {
  try {
    return listen(host);
  } catch (error) {
    const noIpv6 = error instanceof Deno.errors.AddrNotAvailable || /address family/i.test(String(error));
    if (host === "::" && noIpv6) return listen("0.0.0.0");
    throw error;
  }
}
