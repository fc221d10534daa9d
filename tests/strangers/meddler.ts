/** A man in the middle: between peers and a server, to make happen what a good network and server don't. */

export interface Meddling {
  /** What to pass on to the server when a peer makes this call. Default: the call. */
  readonly calls?: (call: readonly unknown[]) => readonly (readonly unknown[])[];
  /** What to pass on to the peer when the server says this. Default: the same. */
  readonly answers?: (answer: readonly unknown[]) => readonly (readonly unknown[])[];
}

export interface Meddler extends AsyncDisposable {
  /** For peers: `ws://127.0.0.1:PORT` */
  readonly url: string;
}

/** Listens on a free port, and connects to `target` once for each socket that comes. */
export function meddler(target: string, { calls, answers }: Meddling): Meddler {
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const protocol = request.headers.get("sec-websocket-protocol") ?? undefined;
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol });
    const behind = new WebSocket(target, protocol ?? []);
    const opened = new Promise<void>((resolve) => behind.onopen = () => resolve());
    const pass =
      (to: WebSocket, meddle: Meddling["calls"] = (message) => [message]) => (event: MessageEvent) => {
        for (const message of meddle(JSON.parse(event.data))) {
          if (to.readyState === WebSocket.OPEN) to.send(JSON.stringify(message));
        }
      };
    const passCall = pass(behind, calls);
    // Calls made before there is a way on wait for it; a promise keeps their order.
    socket.onmessage = (event) => opened.then(() => passCall(event));
    behind.onmessage = pass(socket, answers);
    socket.onclose = () => behind.close();
    behind.onclose = () => socket.close();
    return response;
  });
  return {
    url: `ws://127.0.0.1:${http.addr.port}`,
    [Symbol.asyncDispose]: () => http.shutdown(),
  };
}
