import { assert, assertEquals, assertGreater, assertLessOrEqual } from "../kit/assert.ts";
import { request, stunClient } from "../kit/stun_client.ts";
import { testWith } from "../kit/parts.ts";
import { serverProcess } from "../kit/server.ts";
import type { Lap } from "./control.ts";
import type { FloodReport } from "./flood.ts";
import { Latencies } from "./latency.ts";
import { pause } from "./lives.ts";
import { Program } from "./program.ts";
import { latencyBound, measureWithin } from "./report.ts";

/** Milliseconds of quiet and of flood. */
const SPAN = 2000;

const RETRANSMISSION = 100;
const ATTEMPTS = 50;

/** Asks as STUN clients do: again and again until an answer comes. */
async function isAnswered(port: number): Promise<boolean> {
  using client = stunClient({ hostname: "127.0.0.1", port }, "127.0.0.1");
  const asked = request();
  let attempts = 0;
  const timer = setInterval(() => {
    // A socket that is closed ends the wait for an answer.
    if (attempts++ < ATTEMPTS) client.send(asked);
    else client[Symbol.dispose]();
  }, RETRANSMISSION);
  try {
    const { id } = await client.receive();
    return id.toHex() === asked.subarray(4, 20).toHex();
  } finally {
    clearInterval(timer);
  }
}

const unavailable = Deno.build.os === "linux" ? undefined : "one address on the loopback interface only";

testWith(
  unavailable,
  "a flood of STUN datagrams from many addresses does not hold up signalling",
  async () => {
    await using server = await serverProcess(["--host", "127.0.0.1", "--port", "0"]);
    const port = await server.port;
    await using control = new Program<Lap>("tests/soak/control.ts", port);
    const stunAnswers = async (): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${port}/healthz`);
      return (await response.json()).stunAnswers;
    };
    const laps: Lap[] = [];
    const lap = async (order: "lap" | "finish" = "lap") => {
      const ended = await control.ask(order);
      laps.push(ended);
      const latencies = new Latencies();
      latencies.addAll(ended.latencies);
      return latencies.quantile(0.99);
    };

    await lap();
    await pause(SPAN / 2);
    await lap();
    await pause(SPAN);
    const quiet = await lap();

    {
      await using flood = new Program<FloodReport>("tests/soak/flood.ts", port);
      // When that is answered it has begun.
      await flood.ask("report");
      const before = await stunAnswers();
      const flooded = await measureWithin(latencyBound(quiet), async () => {
        await lap();
        await pause(SPAN);
        return await lap();
      });
      const answers = await stunAnswers() - before;
      const { sent } = await flood.ask("stop");
      assertGreater(answers, 0, "the flood has not reached the server");
      assertGreater(sent, answers);
      assertLessOrEqual(flooded, latencyBound(quiet), `p99 in milliseconds; in the quiet it was ${quiet}`);
    }

    assert(await isAnswered(port), "STUN is not answered any more");
    await lap("finish");
    const sum = (name: "sent" | "answered" | "disordered") =>
      laps.reduce((total, lap) => total + lap[name], 0);
    assertEquals([sum("answered"), sum("disordered"), laps.flatMap(({ ended }) => ended)], [
      sum("sent"),
      0,
      [],
    ]);
    server.kill("SIGTERM");
    const { code, stderr } = await server.output;
    assertEquals([code, stderr], [0, ""]);
  },
);
