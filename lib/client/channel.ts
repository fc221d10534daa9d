// SPDX-License-Identifier: MIT

/** Messages of any kind and size over data channels, and what waits to be sent. */

import { SignalError } from "./errors.ts";
import { emit, eventsOf, Target } from "./events.ts";
import type { ChannelOptions, DataChannel, RtcChannel } from "./rtc.ts";

/** JSON values; strings, bytes and Blobs arrive as what they were (bytes as `Uint8Array`). */
// deno-lint-ignore no-explicit-any -- applications have interfaces of their own, which have no index signature
export type Message = any;

export type DataEvent = Event & { readonly data: Message };

export interface ChannelEvents {
  message: DataEvent;
  open: Event;
  /** For good: the peer has left, or the channel was closed. */
  close: Event;
  error: Event & { readonly error: SignalError };
}

/** Bounds of a channel, in bytes. */
export interface ChannelLimits {
  /** The largest message that is put together from what arrives. */
  maxMessageBytes: number;
  /** What may wait to be sent; a Blob counts as nothing, since it is read piece by piece. */
  maxQueueBytes: number;
}

export const CHANNEL_LIMITS: Readonly<ChannelLimits> = { maxMessageBytes: 2 ** 26, maxQueueBytes: 2 ** 24 };

/** What every browser takes in one piece. */
const FRAME_BYTES = 16_384;

/** Above this nothing more is handed to the data channel until it has come down to a quarter. */
const HIGH_WATER = 2 ** 20;

/** For implementations without the event `bufferedamountlow`. */
const POLL_MS = 20;

/** The first byte of a binary frame, with the mark where more of the message follows. */
const Kind = { text: 0, json: 1, bytes: 2, blob: 3 } as const;
const MORE = 0x80;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

type Frame = string | Uint8Array<ArrayBuffer>;

interface Outgoing {
  readonly bytes: number;
  readonly frames: () => AsyncIterable<Frame> | Iterable<Frame | Promise<Frame>>;
  readonly resolve: () => void;
  readonly reject: (error: SignalError) => void;
}

/**
 * A channel with a label, to one peer. It outlives the connection: what waits is sent over the next. What had been
 * handed to a connection that then died may be lost.
 */
export class Channel extends Target<ChannelEvents> {
  readonly label: string;
  readonly options: Readonly<ChannelOptions>;
  readonly #limits: ChannelLimits;
  readonly #single: boolean;
  readonly #queue: Outgoing[] = [];
  readonly #received = new Set<RtcChannel>();
  #queuedBytes = 0;
  #sink: RtcChannel | undefined;
  #plain = false;
  #pumping = false;
  #closed = false;

  constructor(label: string, options: ChannelOptions, limits: ChannelLimits) {
    super();
    this.label = label;
    this.options = options;
    this.#limits = limits;
    this.#single = options.ordered === false || options.maxRetransmits !== undefined ||
      options.maxPacketLifeTime !== undefined;
  }

  get readyState(): "connecting" | "open" | "closed" {
    return this.#closed ? "closed" : this.#sink?.readyState === "open" ? "open" : "connecting";
  }

  /** The data channel that messages are sent on at the moment. */
  get dataChannel(): DataChannel | undefined {
    return this.#sink as DataChannel | undefined;
  }

  /** Bytes that wait, here and in the data channel. */
  get bufferedAmount(): number {
    return this.#queuedBytes + (this.#sink?.bufferedAmount ?? 0);
  }

  /**
   * Sends a string, a JSON value, bytes or a Blob. Resolves when it has been handed over to the network's buffer:
   * who awaits that sends as fast as the other side takes it. On a channel that is not reliable and in order a
   * message has at most 16 KiB. Rejects with `too-large`, `queue-full`, `channel-closed`.
   */
  send(data: Message): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      if (this.#closed) {
        return reject(this.#gone());
      }
      const { bytes, frames } = encode(data, () => this.#plain);
      if (this.#single && bytes >= FRAME_BYTES) {
        return reject(new SignalError("too-large", "A message that may be lost has at most 16 KiB."));
      }
      if (this.#queuedBytes + bytes > this.#limits.maxQueueBytes && this.#queue.length > 0) {
        return reject(new SignalError("queue-full", `${this.#queuedBytes} bytes wait to be sent.`));
      }
      this.#queuedBytes += bytes;
      this.#queue.push({ bytes, frames, resolve, reject });
      this.#pump();
    });
    // Who does not wait for it hears of it as an event; a rejection that nobody takes would end a process.
    sent.catch((error) => this.#closed || emit(this, "error", { error }));
    return sent;
  }

  /** Messages as they come. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for await (const { data } of eventsOf<DataEvent>(this, "message", "close")) yield data;
  }

  /** A stream to pipe into, as fast as the other side takes it. */
  get writable(): WritableStream<Message> {
    return new WritableStream({ write: (data) => this.send(data) });
  }

  /** A stream of the messages from now on. */
  get readable(): ReadableStream<Message> {
    const messages = this[Symbol.asyncIterator]();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await messages.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => messages.return(undefined).then(() => {}),
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const channel of this.#received) channel.close();
    this.#received.clear();
    for (const { reject } of this.#queue.splice(0)) reject(this.#gone());
    this.#queuedBytes = 0;
    emit(this, "close");
  }

  /**
   * Takes a data channel of a new connection. Where both sides have made one of the same label, each sends on its own,
   * so that nothing overtakes.
   *
   * @param own whether this side made it
   * @param plain whether the other side knows nothing of frames
   * @internal
   */
  attach(channel: RtcChannel, own: boolean, plain: () => boolean): void {
    if (this.#closed) return channel.close();
    channel.binaryType = "arraybuffer";
    // Closing a connection tells its channels nothing.
    for (const old of this.#received) if (old.readyState === "closed") this.#received.delete(old);
    this.#received.add(channel);
    const parts: Uint8Array[] = [];
    let size = 0;
    channel.addEventListener("message", (event) => {
      const { data } = event as MessageEvent;
      if (typeof data === "string") return emit(this, "message", { data });
      const bytes = new Uint8Array(data as ArrayBuffer | Uint8Array);
      if (plain()) return emit(this, "message", { data: bytes });
      const [first = 0] = bytes;
      size += bytes.length;
      if (size <= this.#limits.maxMessageBytes) parts.push(bytes.subarray(1));
      else parts.length = 0;
      if (first & MORE) return;
      const whole = size > this.#limits.maxMessageBytes ? undefined : join(parts.splice(0));
      size = 0;
      try {
        if (!whole) throw new SignalError("too-large", "A peer sent a message that is too large.");
        emit(this, "message", { data: decode(first & 3, whole) });
      } catch (error) {
        const known = error instanceof SignalError;
        emit(this, "error", {
          error: known ? error : new SignalError("bad-message", "A peer sent a message that can't be read."),
        });
      }
    });
    const use = () => {
      if (this.#closed || !own && this.#sink?.readyState === "open") return;
      this.#sink = channel;
      this.#plain = plain();
      emit(this, "open");
      this.#pump();
    };
    if (channel.readyState === "open") use();
    else channel.addEventListener("open", use);
    channel.addEventListener("close", () => {
      this.#received.delete(channel);
      if (this.#sink === channel) this.#sink = undefined;
    });
  }

  #gone(): SignalError {
    return new SignalError("channel-closed", `The channel ${this.label} is closed.`);
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let item; (item = this.#queue[0]) !== undefined;) {
      const sink = this.#sink;
      if (sink?.readyState !== "open") break;
      try {
        for await (const frame of item.frames()) {
          await room(sink);
          if (this.#queue[0] !== item) break;
          sink.send(frame);
        }
      } catch (error) {
        // It will be sent anew over the next connection, from its beginning; of a Blob that can't be read it won't.
        if (sink.readyState !== "open") continue;
        item.reject(new SignalError("bad-message", (error as Error).message));
      }
      if (this.#queue[0] !== item) continue;
      this.#queue.shift();
      this.#queuedBytes -= item.bytes;
      item.resolve();
    }
    this.#pumping = false;
  }
}

/** Resolves when the data channel can take more. */
async function room(channel: RtcChannel): Promise<void> {
  if (channel.bufferedAmount <= HIGH_WATER) return;
  channel.bufferedAmountLowThreshold = HIGH_WATER / 4;
  let low = () => {};
  let poll;
  await new Promise<void>((resolve) => {
    channel.addEventListener("bufferedamountlow", low = () => resolve());
    poll = setInterval(() => {
      if (channel.readyState !== "open" || channel.bufferedAmount <= HIGH_WATER / 4) resolve();
    }, POLL_MS);
  });
  clearInterval(poll);
  channel.removeEventListener("bufferedamountlow", low);
}

function encode(data: Message, plain: () => boolean): Pick<Outgoing, "bytes" | "frames"> {
  if (typeof data === "string") {
    const bytes = encoder.encode(data);
    const whole = () => plain() || bytes.length <= FRAME_BYTES;
    return { bytes: bytes.length, frames: () => whole() ? [data] : cut(Kind.text, bytes) };
  }
  if (typeof Blob !== "undefined" && data instanceof Blob) {
    return { bytes: 0, frames: () => plain() ? [wholeBlob(data)] : cutBlob(data) };
  }
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
    // A copy: the application may go on with its own.
    const bytes = data instanceof ArrayBuffer
      ? new Uint8Array(data.slice(0))
      : new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() as Uint8Array<ArrayBuffer>;
    return { bytes: bytes.length, frames: () => plain() ? [bytes] : cut(Kind.bytes, bytes) };
  }
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError("this can't be sent: it is no JSON value");
  const bytes = encoder.encode(text);
  return { bytes: bytes.length, frames: () => plain() ? [text] : cut(Kind.json, bytes) };
}

function* cut(kind: number, bytes: Uint8Array): Iterable<Frame> {
  let at = 0;
  do {
    const part = bytes.subarray(at, at += FRAME_BYTES - 1);
    yield frame(kind, part, at < bytes.length);
  } while (at < bytes.length);
}

async function wholeBlob(blob: Blob): Promise<Frame> {
  return new Uint8Array(await blob.arrayBuffer());
}

/** First its type as a frame of its own, then its bytes. */
async function* cutBlob(blob: Blob): AsyncIterable<Frame> {
  const type = encoder.encode(blob.type.slice(0, 255));
  yield frame(Kind.blob, join([new Uint8Array([type.length]), type]), blob.size > 0);
  for (let at = 0; at < blob.size;) {
    const part = await blob.slice(at, at += FRAME_BYTES - 1).arrayBuffer();
    yield frame(Kind.blob, new Uint8Array(part), at < blob.size);
  }
}

function frame(kind: number, part: Uint8Array, more: boolean): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(1 + part.length);
  out[0] = kind | (more ? MORE : 0);
  out.set(part, 1);
  return out;
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function decode(kind: number, bytes: Uint8Array<ArrayBuffer>): Message {
  if (kind === Kind.bytes) return bytes;
  if (kind === Kind.blob) {
    const start = 1 + (bytes[0] ?? 0);
    return new Blob([bytes.subarray(start)], { type: decoder.decode(bytes.subarray(1, start)) });
  }
  const text = decoder.decode(bytes);
  return kind === Kind.json ? JSON.parse(text) : text;
}
