/** Connections over the loopback interface. */

/** Milliseconds in which somebody on the same machine answers, however busy it is; and then in which its kernel is watched. */
const PATIENCE_MS = 3000;

/**
 * Connects to a port of the loopback interface. Where a SYN is not answered at all, again and again, that is not the
 * server's doing, for its kernel accepts in its place: then this says what the kernel knows of the port, and tries once
 * more, from another port.
 */
export async function connect(port: number): Promise<Deno.TcpConn> {
  const address = { hostname: "127.0.0.1", port };
  const attempt = new AbortController();
  const connecting = Deno.connect({ ...address, signal: attempt.signal });
  const patience = async (): Promise<Deno.TcpConn | undefined> => {
    const silence = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => silence.resolve(undefined), PATIENCE_MS);
    return await Promise.race([connecting, silence.promise]).finally(() => clearTimeout(timer));
  };
  const soon = await patience();
  if (soon !== undefined) return soon;
  const before = kernelCounters();
  const late = await patience();
  const after = kernelCounters();
  console.error(
    `${late ? "late" : "no"} answer from port ${port}; its sockets, and what was counted in the last while:`,
    socketsOf(port),
    Object.keys(after).flatMap((name) =>
      after[name] === before[name] ? [] : [`${name} +${after[name]! - before[name]!}`]
    ),
  );
  if (late !== undefined) return late;
  attempt.abort();
  await connecting.then((connection) => connection.close(), () => {});
  return await Deno.connect(address);
}

/** All counts of TCP and IP, where there are any. */
function kernelCounters(): Record<string, number> {
  const counters: Record<string, number> = {};
  for (const file of ["snmp", "netstat"]) {
    // A line of names, and one of their values below; both begin with whose they are.
    const lines = kernelLines(file).map((line) => line.split(" "));
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [whose, ...names] = lines[i]!;
      names.forEach((name, k) => counters[`${whose}${name}`] = Number(lines[i + 1]![k + 1]));
    }
  }
  return counters;
}

function socketsOf(port: number): string[] {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  return kernelLines("tcp").filter((line) => line.includes(hex)).slice(0, 20);
}

function kernelLines(file: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/net/${file}`).trimEnd().split("\n");
  } catch {
    return [];
  }
}
