/** Lines for somebody who may read them late, or not at all: a terminal, a pipe, a file. */

const encoder = new TextEncoder();

/** Bytes of lines that wait to be read. */
const MAX_WAITING_BYTES = 1_048_576;

/**
 * Writes without waiting. `console.log` waits until the line is written: once the pipe to a reader that has stopped is
 * full, the whole process stands still.
 */
export class LineWriter {
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #gap: (lines: number) => string;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #writing: Promise<void> | undefined;
  #broken = false;

  /**
   * @param write part of the bytes at least; it resolves with how many that were
   * @param gap the line that stands where so many lines were dropped
   */
  constructor(write: (bytes: Uint8Array) => Promise<number>, gap: (lines: number) => string) {
    this.#write = write;
    this.#gap = gap;
  }

  /** `line` ends as lines do. Where too much waits already, it is dropped and counted. */
  write(line: string): void {
    if (this.#broken) return;
    if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#dropped++;
      return;
    }
    this.#push(line);
    this.#writing ??= this.#pump();
  }

  /** Resolves when all is written, or after so many milliseconds. */
  async flush(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([this.#writing, late]);
    clearTimeout(timer);
  }

  #push(line: string): void {
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
  }

  async #pump(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = encoder.encode(this.#waiting.join(""));
        this.#waiting = [];
        for (let at = 0; at < bytes.length;) at += await this.#write(bytes.subarray(at));
        // What waited meanwhile came behind these; what was dropped came behind that.
        this.#waitingBytes = this.#waiting.reduce((sum, { length }) => sum + length, 0);
        if (this.#dropped > 0) this.#push(this.#gap(this.#dropped));
        this.#dropped = 0;
      }
    } catch {
      // Nobody is there any more, and there is nobody to tell.
      this.#broken = true;
      this.#waiting = [];
    }
    this.#writing = undefined;
  }
}
