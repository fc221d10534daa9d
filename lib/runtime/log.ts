/** The one place that knows the logging library. */

import {
  configureSync,
  type FormattedValues,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  getTextFormatter,
  type LogLevel as LibraryLevel,
  type LogRecord,
} from "@logtape/logtape";

import { LineWriter } from "./line_writer.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

export const LOG_FORMATS = ["auto", "text", "json"] as const;
/** `auto`: text for a terminal, otherwise a JSON object a line. */
export type LogFormat = typeof LOG_FORMATS[number];

/** Values by name; a message shows those that it names in braces. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where the parts of the server say what happens. Never given what peers say to each other. */
export interface Log {
  /** A function is called only where the line is written. */
  debug(message: string, fields?: LogFields | (() => LogFields)): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** The log of this program. Silent until `configureLog` was called. */
export const log: Log = getLogger("signal") as Log;

/** The field in which the address of a client stands. */
const ADDRESSES = ["client"];

/** A log that names no client's address. */
export function withoutAddresses(log: Log): Log {
  const hidden = (fields: LogFields = {}) =>
    Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, ADDRESSES.includes(name) ? "hidden" : value]),
    );
  return {
    debug: (message, fields) =>
      log.debug(message, () => hidden(typeof fields === "function" ? fields() : fields)),
    info: (message, fields) => log.info(message, hidden(fields)),
    warn: (message, fields) => log.warn(message, hidden(fields)),
    error: (message, fields) => log.error(message, hidden(fields)),
  };
}

let writers: readonly LineWriter[] = [];

/** Resolves when the lines so far are written, or after half a second: before the process ends. */
export async function flushLog(): Promise<void> {
  await Promise.all(writers.map((writer) => writer.flush(500)));
}

/** Warnings and errors go to standard error, everything else to standard output. For the whole process. */
export function configureLog(level: LogLevel, format: LogFormat): void {
  const isTerminal = Deno.stdout.isTerminal();
  const text = format === "text" || (format === "auto" && isTerminal);
  const options = {
    timestamp: "rfc3339",
    level: "full",
    value: "bare",
    format: ({ timestamp, level, message }: FormattedValues) => `${timestamp} [${level}] ${message}`,
  } as const;
  const formatter = !text
    ? getJsonLinesFormatter({ properties: "flatten" })
    : isTerminal && !Deno.noColor
    ? getAnsiColorFormatter(options)
    : getTextFormatter(options);
  const lowestLevel: LibraryLevel | null = level === "silent" ? null : level === "warn" ? "warning" : level;
  const gap = (lines: number) => {
    const message = `${lines} lines are missing here: they were not read in time`;
    return formatter({
      category: ["signal"],
      level: "warning",
      message: [message],
      rawMessage: message,
      timestamp: Date.now(),
      properties: { lines },
    });
  };
  const [out, err] = [Deno.stdout, Deno.stderr].map((stream) =>
    new LineWriter((bytes) => stream.write(bytes), gap)
  ) as [LineWriter, LineWriter];
  writers = [out, err];
  const streams = (record: LogRecord) =>
    (/^(?:warning|error|fatal)$/.test(record.level) ? err : out).write(formatter(record));
  configureSync({
    reset: true,
    sinks: { streams },
    loggers: [
      { category: "signal", lowestLevel, sinks: ["streams"] },
      // The library's own news.
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["streams"] },
    ],
  });
}
