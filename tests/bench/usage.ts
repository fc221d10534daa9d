/** What processes use, as the operating system counts it. Known on Linux only: elsewhere the answers are undefined. */

/** Length of a clock tick in /proc/PID/stat, in microseconds: the same on every Linux in use. */
const TICK_MICROS = 10_000;

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    // A thread that has ended meanwhile reads as ESRCH, which has no class of its own.
    if (error instanceof Deno.errors.NotFound || (error as { code?: string }).code === "ESRCH") {
      return undefined;
    }
    throw error;
  }
}

function threads(pid: number): string[] {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => `/proc/${pid}/task/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/**
 * Microseconds that all threads of a process have run so far. Exact where the kernel keeps scheduler statistics,
 * in steps of 10 ms otherwise.
 */
export function cpuMicros(pid: number): number | undefined {
  const times = threads(pid).map((thread) => read(`${thread}/schedstat`)).filter((text) =>
    text !== undefined
  );
  if (times.length > 0) return times.reduce((total, text) => total + Number(text.split(" ")[0]) / 1000, 0);
  // Fields 14 and 15, of which 12 and 13 stand behind the name, which may hold spaces itself.
  const fields = read(`/proc/${pid}/stat`)?.replace(/^.*\) /s, "").split(" ");
  return fields && (Number(fields[11]) + Number(fields[12])) * TICK_MICROS;
}

/**
 * KiB of memory that a process has to itself: what it allocated, without the pages of its program file, which come
 * in as code is first run. The whole resident set where the kernel does not tell them apart.
 */
export function memoryKiB(pid: number): number | undefined {
  const anonymous = /^Anonymous:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? "");
  if (anonymous) return Number(anonymous[1]);
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? "");
  return resident ? Number(resident[1]) : undefined;
}

/** How many files and sockets a process started from here may have open. The runtime raises its own limit to that. */
export function maxOpenFiles(): number | undefined {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(read("/proc/self/limits") ?? "");
  return limit ? Number(limit[1]) : undefined;
}
