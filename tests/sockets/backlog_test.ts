import fc from "fast-check";
import { Backlog, BacklogSpace } from "../../lib/sockets/backlog.ts";
import { assert, assertEquals } from "../kit/assert.ts";

const MOST = 2000;
const SPACE = 2500;

/** What a backlog is to be: an array of what was sent, and where in it begins what is kept. */
class Model {
  readonly sent: string[] = [];
  first = 0;
  stopped = false;

  get kept(): string[] {
    return this.sent.slice(this.first);
  }

  get units(): number {
    return this.kept.join("").length;
  }
}

const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ push: fc.nat({ max: 40 }), times: fc.nat({ max: 90 }) }) },
    { weight: 3, arbitrary: fc.record({ seen: fc.nat({ max: 50 }) }) },
    { weight: 1, arbitrary: fc.record({ others: fc.integer({ min: -2000, max: 2000 }) }) },
    { weight: 1, arbitrary: fc.constant("clear" as const) },
  ),
  { maxLength: 60 },
);

Deno.test("a backlog keeps what was sent and not seen, in order, and no more than it may", () => {
  fc.assert(fc.property(steps, fc.nat({ max: 5 }), (steps, before) => {
    const space = new BacklogSpace(SPACE);
    const backlog = new Backlog(before, MOST, space);
    const model = new Model();
    let others = 0;
    for (const step of steps) {
      if (step === "clear") {
        backlog.clear();
        model.first = model.sent.length;
      } else if ("others" in step) {
        const taken = Math.min(Math.max(step.others, -others), SPACE - others - model.units);
        if (taken > 0) assert(space.take(taken), `${taken} units are left`);
        else space.giveBack(-taken);
        others += taken;
      } else if ("seen" in step) {
        const count = before + model.first + step.seen;
        const known = count <= before + model.sent.length;
        assertEquals(backlog.seen(count), known);
        if (known) {
          // What was sent while nothing was kept is not kept afterwards.
          model.first = model.stopped ? model.sent.length : Math.max(model.first, count - before);
          model.stopped = false;
        }
      } else {
        for (let i = 0; i < step.times; i++) {
          const text = String(model.sent.length).padEnd(step.push, ".");
          backlog.push(text);
          model.sent.push(text);
          if (model.units > MOST || model.units + others > SPACE) model.stopped = true;
          if (model.stopped) model.first = model.sent.length;
        }
      }
      const { kept, first, sent, stopped, units } = model;
      assertEquals(
        { unseen: backlog.unseen, units: backlog.units, stopped: backlog.stopped },
        { unseen: kept.length, units, stopped },
      );
      assertEquals(backlog.after(before + first), kept);
      assertEquals(backlog.after(before + sent.length), []);
      assertEquals(backlog.after(before + first - 1), undefined);
      assertEquals(backlog.after(before + sent.length + 1), undefined);
      // All that is left of the space, and not one unit more.
      const left = SPACE - others - units;
      assert(space.take(left) && !space.take(1), "the space is not what is kept");
      space.giveBack(left);
    }
  }));
});
