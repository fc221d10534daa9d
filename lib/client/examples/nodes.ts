// SPDX-License-Identifier: MIT

/** For the demo: several nodes of the server on this machine, and a stand-in for the load balancer in front of them. */

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

/** Milliseconds. */
const PATIENCE = 20_000;

export interface Nodes extends AsyncDisposable {
  /** Of the load balancer. */
  readonly url: string;
  /** Ends a node as a power cut would. Returns how many connections it had. */
  kill(index: number): number;
}

/** A program in the background, and the port that it says, on either output, to listen on. */
function launch(program: string, args: string[], listens: RegExp) {
  const child = new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  const ready = Promise.withResolvers<number>();
  const said: string[] = [];
  for (const output of [child.stdout, child.stderr]) {
    (async () => {
      for await (const text of output.pipeThrough(new TextDecoderStream())) {
        said.push(text);
        const [found, port] = listens.exec(said.join("")) ?? [];
        if (found !== undefined) ready.resolve(Number(port));
      }
      ready.reject(new Error(`${program} ended: ${said.join("")}`));
    })();
  }
  setTimeout(() => ready.reject(new Error(`${program} is not up in time: ${said.join("")}`)), PATIENCE);
  ready.promise.catch(() => {});
  return {
    ready: ready.promise,
    kill() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
    },
    ended: child.status,
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/**
 * Starts nodes that share their rooms.
 *
 * @param engine the URL of a Redis; without one it is started as well, where this machine has it
 * @throws {Error} in words, where that can't be
 */
export async function startNodes(count: number, engine?: string): Promise<Nodes> {
  await using stack = new AsyncDisposableStack();
  const start = (...parts: Parameters<typeof launch>) => {
    const running = launch(...parts);
    stack.defer(async () => {
      running.kill();
      await running.ended;
    });
    return running;
  };
  let url = engine;
  if (url === undefined) {
    const port = freePort();
    try {
      await start(
        "redis-server",
        ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""],
        /Ready to accept/,
      )
        .ready;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Error(
        "There is no redis-server here. Install it, or name a Redis that runs: --engine redis://HOST",
      );
    }
    url = `redis://127.0.0.1:${port}`;
  }
  const prefix = `demo-${crypto.randomUUID()}:`;
  const options = ["--host", "127.0.0.1", "--port", "0", "--stun-port", "off", "--engine-prefix", prefix];
  const nodes = Array.from({ length: count }, () =>
    start(
      Deno.execPath(),
      ["run", "--quiet", "-A", MAIN, ...options, "--engine", url],
      /listens on .*?ws:\/\/\S+?:(\d+)[^]*shares its rooms/,
    ));
  const places = await Promise.all(
    nodes.map(async ({ ready }) => ({ port: await ready, open: new Set<Deno.Conn>() })),
  );

  const balancer = stack.adopt(
    Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    (listener) => listener.close(),
  );
  let turn = 0;
  (async () => {
    for await (const client of balancer) {
      forward(client, turn++).catch(() => client.close());
    }
  })().catch(() => {});
  /** To the next of them that listens. */
  async function forward(client: Deno.Conn, first: number): Promise<void> {
    for (let i = 0; i < places.length; i++) {
      const place = places[(first + i) % places.length]!;
      const node = await Deno.connect({ hostname: "127.0.0.1", port: place.port }).catch(() => undefined);
      if (node === undefined) continue;
      place.open.add(node);
      // Either end closes both.
      const pipe = (from: Deno.Conn, to: Deno.Conn) => from.readable.pipeTo(to.writable).catch(() => {});
      await Promise.race([pipe(client, node), pipe(node, client)]);
      place.open.delete(node);
      for (const end of [client, node]) {
        try {
          end.close();
        } catch {
          // It was closed by the other side.
        }
      }
      return;
    }
    client.close();
  }

  const kept = stack.move();
  return {
    url: `http://127.0.0.1:${balancer.addr.port}`,
    kill(index) {
      const { size } = places[index]!.open;
      nodes[index]!.kill();
      return size;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
