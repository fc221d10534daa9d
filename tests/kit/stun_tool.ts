/**
 * Our STUN server and a STUN client as programs, so that tests can run them in another network namespace.
 *
 *     deno run --allow-net tests/kit/stun_tool.ts serve <host> <port>    prints the port, serves until killed
 *     deno run --allow-net tests/kit/stun_tool.ts ask <host> <port>...   prints "address port" for each port,
 *                                                                        asked from one and the same socket
 */

import { listenStun } from "../../lib/ice/stun_server.ts";
import { request, text } from "./stun_client.ts";
import { decodeStun } from "../../lib/ice/stun.ts";
import { mappedAddress } from "./stun_message.ts";

const [mode, hostname = "", ...ports] = Deno.args;

/** Repeats the request until one is answered, as UDP asks for (RFC 8489 section 6.2.1). */
async function ask(socket: Deno.DatagramConn, port: number): Promise<string> {
  const datagram = request();
  const send = () => socket.send(datagram, { transport: "udp", hostname, port });
  const repeat = setInterval(send, 200);
  try {
    await send();
    while (true) {
      const [answer, from] = await socket.receive();
      // Whatever comes from another address is no answer (RFC 8489 section 6.3.1), and no NAT would let it in.
      if ((from as Deno.NetAddr).hostname !== hostname) continue;
      const message = decodeStun(answer);
      if ("fault" in message || message.id.toHex() !== datagram.subarray(4, 20).toHex()) continue;
      const mapped = mappedAddress(message);
      return mapped ? text(mapped) : "no address";
    }
  } finally {
    clearInterval(repeat);
  }
}

if (mode === "serve") {
  const server = listenStun({
    hostname,
    port: Number(ports[0]),
    now: () => performance.now(),
    onError: (error) => console.error(error),
  });
  console.log(server.port);
} else {
  const local = hostname!.includes(":") ? "::" : "0.0.0.0";
  const socket = Deno.listenDatagram({ transport: "udp", hostname: local, port: 0 });
  for (const port of ports) console.log(await ask(socket, Number(port)));
  socket.close();
}
