/**
 * WebSockets as a pipe, for tests that run their peers in network namespaces: `pipe.ts URL COUNT [SUBPROTOCOL]`.
 * A line `N TEXT` on standard input is sent over socket N, counted from 0, and each text that it receives is a line
 * of that form on standard output.
 */

const [url, count, ...protocols] = Deno.args;

const sockets = await Promise.all(Array.from({ length: Number(count) }, (_, number) => {
  const socket = new WebSocket(url!, protocols);
  socket.onmessage = ({ data }) => console.log(`${number} ${data}`);
  return new Promise<WebSocket>((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
  });
}));
// From here on one may be lost: that is what the tests are about.
for (const socket of sockets) socket.onerror = null;

let rest = "";
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    const space = line.indexOf(" ");
    sockets[Number(line.slice(0, space))]!.send(line.slice(space + 1));
  }
}
