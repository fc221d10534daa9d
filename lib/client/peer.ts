// SPDX-License-Identifier: MIT

/** A member of the room, as the application sees it. */

import type { Channel, DataEvent, Message } from "./channel.ts";
import { Target } from "./events.ts";
import type { Failure, Link, LinkState, LinkStats, Path } from "./link.ts";
import type { ChannelOptions, MediaStream, MediaStreamTrack, PeerConnection } from "./rtc.ts";

export interface PeerEvents {
  /** `state`, `path` or `failure` has changed. */
  state: Event;
  message: DataEvent;
  /** The other side has made a channel that was not asked for here. */
  channel: Event & { readonly channel: Channel };
  /** `media` has changed. */
  media: Event;
  track: Event & { readonly track: MediaStreamTrack; readonly streams: readonly MediaStream[] };
}

/** There is one for each member of the room, whatever happens to the connections to it. */
export class Peer extends Target<PeerEvents> {
  /** Its name, unique in the room. */
  readonly ident: string;
  /** What the server vouches for, where it asks for tokens. */
  readonly info: unknown;
  readonly #link: Link;

  /** @internal */
  constructor(ident: string, link: Link, info: unknown) {
    super();
    this.ident = ident;
    this.info = info;
    this.#link = link;
    link.target = this;
  }

  get state(): LinkState {
    return this.#link.state;
  }

  /** How its data travels, once that is known. */
  get path(): Path | undefined {
    return this.#link.path;
  }

  /** Why the link could not be made, with a sentence for the user. */
  get failure(): Failure | undefined {
    return this.#link.failure;
  }

  /** The streams that it sends. */
  get media(): readonly MediaStream[] {
    return [...this.#link.streams.values()];
  }

  /** The `RTCPeerConnection` of the moment. A link that is begun anew has another. */
  get connection(): PeerConnection | undefined {
    return this.#link.connection as PeerConnection | undefined;
  }

  /**
   * Sends a JSON value, a string, bytes or a Blob; it waits until the link is up. Resolves when it has been handed to
   * the network: who awaits that sends as fast as the other side takes it.
   */
  send(data: Message): Promise<void> {
    return this.#link.messages.send(data);
  }

  /** What `send` and `message` use. */
  get messages(): Channel {
    return this.#link.messages;
  }

  /** A channel of its own, by its label: it appears at the other side, too. Reliable and in order if not told otherwise. */
  channel(label: string, options: ChannelOptions = {}): Channel {
    return this.#link.channel(label, options);
  }

  stats(): Promise<LinkStats> {
    return this.#link.stats();
  }

  /** Messages as they come, until the peer has left. */
  [Symbol.asyncIterator](): AsyncGenerator<Message> {
    return this.#link.messages[Symbol.asyncIterator]();
  }
}
