/**
 * Sessions against a model: random drops, resumes, resumes that race for one id, take-overs by key and restarts of the
 * server. Every address has one holder all the time, and what it is sent arrives once and in order, for as long as its
 * session is not lost by what the contract says.
 */

import fc from "fast-check";
import { assert, assertEquals, assertGreater } from "../kit/assert.ts";
import { fileWith } from "../kit/files.ts";
import { ResumingClient } from "../kit/resuming.ts";
import { type TestServer, testServer } from "../kit/server.ts";

const PEERS = 4;

type Step =
  | {
    readonly do: "say";
    readonly from: number;
    readonly to: number;
    readonly times: number;
    readonly size: number;
  }
  | {
    readonly do: "drop" | "resume" | "race" | "take over" | "try the wrong key" | "see";
    readonly who: number;
  }
  | { readonly do: "restart" };

const peer = fc.nat(PEERS - 1);
const about = (what: Exclude<Step["do"], "say" | "restart">, weight: number) => ({
  weight,
  arbitrary: fc.record({ do: fc.constant(what), who: peer }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("say" as const),
      from: peer,
      to: peer,
      times: fc.integer({ min: 1, max: 40 }),
      size: fc.constantFrom(1, 100, 500),
    }),
  },
  about("drop", 5),
  about("resume", 5),
  about("race", 2),
  about("take over", 2),
  about("try the wrong key", 1),
  about("see", 2),
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

const ident = (who: number) => `p${who}`;
const address = (who: number) => `r:${ident(who)}`;
const key = (who: number) => `key of ${who}`.padEnd(22);

class World {
  server: TestServer;
  readonly #options: Parameters<typeof testServer>[0];
  readonly #all = new DisposableStack();
  readonly clients: ResumingClient[] = [];
  readonly attached: boolean[] = [];
  /** What each has been sent since its session began, and what it has taken in. */
  readonly sent: unknown[][] = [];
  readonly taken: unknown[][] = [];
  #number = 0;

  constructor(secret: string) {
    this.#options = { resumeSecretFile: secret, drain: 0, callBurst: 1e6, connectRate: 1e6, joinBurst: 1e6 };
    this.server = testServer(this.#options);
  }

  /** A new session of a peer, with its key. */
  async enter(who: number): Promise<void> {
    const client = this.#all.use(await ResumingClient.open(this.server.port));
    this.clients[who] = client;
    this.attached[who] = true;
    this.sent[who] = [];
    this.taken[who] = [];
    const answers = await client.settle(["join", ident(who), "r", { key: key(who) }]) as unknown[][];
    assertEquals(answers[0], ["join", address(who)]);
    await client.resealed();
  }

  /** Takes in what has come. */
  async read(who: number): Promise<void> {
    for (const message of await this.clients[who]!.settle() as unknown[][]) {
      if (message[0] === "signal") this.taken[who]!.push(message.slice(1));
    }
  }

  async take(step: Step): Promise<void> {
    if (step.do === "restart") return await this.restart();
    if (step.do === "say") {
      if (!this.attached[step.from]) return;
      const calls = Array.from({ length: step.times }, () => {
        const data = `${this.#number++} ${"x".repeat(step.size)}`;
        this.sent[step.to]!.push([address(step.to), address(step.from), data]);
        return ["signal", address(step.from), address(step.to), data];
      });
      await this.clients[step.from]!.send(...calls);
      return await this.read(step.from);
    }
    const { who } = step;
    const client = this.clients[who]!;
    switch (step.do) {
      case "drop": {
        if (!this.attached[who]) return;
        this.attached[who] = false;
        client.drop();
        return await this.server.counts({ sleeping: this.attached.filter((there) => !there).length });
      }
      case "resume":
        assertEquals((await client.resume(this.server.port))[0], "resumed");
        this.attached[who] = true;
        return await this.read(who);
      case "race": {
        const { offer: { id }, count } = client;
        const racing = await Promise.all([1, 2, 3].map(async () => {
          const other = this.#all.use(await ResumingClient.open(this.server.port));
          const [name] = await other.resume(this.server.port, { id, count });
          return name === "resumed" ? [other] : [];
        }));
        const [winner, ...more] = racing.flat();
        assert(winner !== undefined && more.length === 0, `${racing.flat().length} have resumed`);
        this.clients[who] = winner;
        this.attached[who] = true;
        return await this.read(who);
      }
      case "take over": {
        const { offer: { id }, count } = client;
        await this.enter(who);
        using late = await ResumingClient.open(this.server.port);
        assertEquals((await late.resume(this.server.port, { id, count }))[1], "cannot-resume");
        return;
      }
      case "try the wrong key": {
        using stranger = await ResumingClient.open(this.server.port);
        const [answer] = await stranger.settle(["join", ident(who), "r", { key: "not his key".padEnd(22) }]);
        return assertEquals((answer as unknown[])[1], "ident-taken");
      }
      case "see":
        if (!this.attached[who]) return;
        await client.send(["seen", client.count]);
        return await this.read(who);
    }
  }

  async restart(): Promise<void> {
    for (const who of this.clients.keys()) if (this.attached[who]) await this.read(who);
    await this.server.drain();
    this.server = testServer(this.#options);
    for (const who of this.clients.keys()) {
      const [name, how] = await this.clients[who]!.resume(this.server.port);
      assertEquals([name, (how as { cold?: boolean }).cold], ["resumed", true]);
      this.attached[who] = true;
      this.sent[who] = [];
      this.taken[who] = [];
    }
  }

  /** One holder of each address, and nothing missing or twice. */
  async check(): Promise<void> {
    assertEquals(this.server.health().addresses, PEERS);
    for (const who of this.clients.keys()) {
      if (!this.attached[who]) await this.take({ do: "resume", who });
      await this.read(who);
      assertEquals(this.taken[who], this.sent[who], ident(who));
    }
  }

  async end(): Promise<void> {
    this.#all.dispose();
    await this.server.drain();
  }
}

Deno.test("120 random histories of sessions agree with the model", async () => {
  using secret = fileWith("z".repeat(32));
  const seen: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      const world = new World(secret.path);
      try {
        for (let who = 0; who < PEERS; who++) await world.enter(who);
        for (const step of steps) {
          await world.take(step);
          seen[step.do] = (seen[step.do] ?? 0) + 1;
          assertEquals(world.server.health().addresses, PEERS, step.do);
        }
        await world.check();
      } finally {
        await world.end();
      }
    }),
    { numRuns: 120 },
  );
  for (const what of ["drop", "resume", "race", "take over", "restart"]) {
    assertGreater(seen[what] ?? 0, 20, what);
  }
});
