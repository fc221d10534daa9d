/** The baseline of the benchmark: the smallest WebSocket server that this runtime can run. */

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`listens on ws://localhost:${port}`),
}, (request) => {
  // Without a timer for each socket: nothing could take less.
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  socket.onmessage = (event) => socket.send(event.data);
  return response;
});
