/** A STUN client on a real UDP socket. */

import { decodeStun, type Endpoint, type StunMessage } from "../../lib/ice/stun.ts";
import { encodeBindingRequest, formatAddress, mappedAddress } from "./stun_message.ts";

export interface StunClient extends Disposable {
  readonly port: number;
  send(datagram: Uint8Array): Promise<void>;
  /** The next datagram, decoded. */
  receive(): Promise<StunMessage>;
  /** One exchange: the mapped address as text, `address port`. */
  ask(): Promise<string>;
}

export function request(fingerprint = false): Uint8Array {
  return encodeBindingRequest(crypto.getRandomValues(new Uint8Array(12)), fingerprint);
}

export function text({ address, port }: Endpoint): string {
  return `${formatAddress(address)} ${port}`;
}

/** @param local the address to send from */
export function stunClient(server: { hostname: string; port: number }, local: string): StunClient {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: local, port: 0 });
  const to: Deno.NetAddr = { transport: "udp", hostname: server.hostname, port: server.port };
  const client: StunClient = {
    port: (socket.addr as Deno.NetAddr).port,
    async send(datagram) {
      await socket.send(datagram, to);
    },
    async receive() {
      const [datagram] = await socket.receive();
      const message = decodeStun(datagram);
      if ("fault" in message) throw new Error(`${message.fault} at ${message.at}`);
      return message;
    },
    async ask() {
      const sent = request();
      await client.send(sent);
      const reply = await client.receive();
      if (reply.id.toHex() !== sent.subarray(4, 20).toHex()) throw new Error("the answer of another request");
      const mapped = mappedAddress(reply);
      if (mapped === undefined) throw new Error("an answer without an address");
      return text(mapped);
    },
    [Symbol.dispose]: () => socket.close(),
  };
  return client;
}
