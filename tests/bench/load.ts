/**
 * The process that makes the load, apart from the servers and from what compares them. Told what to do by lines of
 * JSON on its standard input; each is answered by one on its standard output. Ends with its input.
 */

import { TextLineStream } from "./lines.ts";
import { Rig, type Slice, type Target, type Task } from "./workloads.ts";

/** A rig is named by a number that the load gives it. */
export type Order =
  | { readonly order: "prepare"; readonly target: Target; readonly task: Task }
  | { readonly order: "slice"; readonly rig: number; readonly milliseconds: number }
  | { readonly order: "close"; readonly rig: number };

export type Answer = { readonly rig: number } | { readonly slice: Slice } | { readonly error: string };

if (import.meta.main) {
  const rigs = new Map<number, Rig>();
  let last = 0;

  const carryOut = async (order: Order): Promise<Answer> => {
    if (order.order === "prepare") {
      rigs.set(++last, await Rig.prepare(order.target, order.task));
      return { rig: last };
    }
    const { rig: name } = order;
    const rig = rigs.get(name)!;
    if (order.order === "slice") return { slice: await rig.slice(order.milliseconds) };
    rigs.delete(name);
    rig.close();
    return { rig: name };
  };

  for await (const line of Deno.stdin.readable.pipeThrough(new TextLineStream())) {
    const answer = await carryOut(JSON.parse(line)).catch(({ message }): Answer => ({ error: message }));
    console.log(JSON.stringify(answer));
  }
}
