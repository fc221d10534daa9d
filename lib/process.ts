/** What the operating system gives to this process. */

/** Those of the named variables that may be read: to ask for the others would only bring up a prompt. */
export function readableVariables(names: readonly string[]): Record<string, string | undefined> {
  const readable = names.filter((variable) =>
    Deno.permissions.querySync({ name: "env", variable }).state === "granted"
  );
  return Object.fromEntries(readable.map((variable) => [variable, Deno.env.get(variable)]));
}

/** Resolves at the next signal that asks the process to end. */
export function terminationSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  const caught = () => {
    for (const signal of signals) Deno.removeSignalListener(signal, caught);
    resolve();
  };
  for (const signal of signals) Deno.addSignalListener(signal, caught);
  return promise;
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
