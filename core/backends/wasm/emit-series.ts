// Writes the sum of a series: the steps of its terms in a loop, and a scratch row or a local that the terms are added to.

import type { SeriesParts } from "../../row/expr.ts";
import type { SeriesStep } from "../../row/schedule.ts";
import { walk } from "./emit-passes.ts";
import type { EmitSteps } from "./emit-root.ts";
import type { Sink } from "./emit-sinks.ts";
import type { Frame } from "./emit-values.ts";
import * as op from "./opcodes.ts";

export function emitSeries(frame: Frame, step: SeriesStep, emitSteps: EmitSteps): void {
  const { f, lanes, reciprocals } = frame;
  const { variable, value } = step.node.detail as SeriesParts;
  const zero = frame.constant(0);
  const total = f.local("v128");
  if (step.slot !== undefined) {
    const sum = frame.slots[step.slot]!;
    const clear: Sink = { reads: [], stream: sum, take() {}, put: (site) => site.storeWhole(sum, zero) };
    walk(frame, step, [clear]);
  } else f.get(zero).set(total);

  const [k, count, spread] = [f.local("i32"), f.local("i32"), f.local("v128")];
  frame.scalars.set(variable, spread);
  frame.integers.set(variable, k);
  frame.pushInteger(step.node.args[0]!);
  f.set(count).i32(0).set(k);
  f.get(k).get(count).op(op.i32LtS);
  f.if();
  const next = f.loop();
  f.get(k).op(lanes.scalar.convertI32, lanes.splat).set(spread);
  // Reciprocals taken in here are those of one term.
  frame.reciprocals = new Map(reciprocals);
  emitSteps(step.body);
  frame.reciprocals = reciprocals;
  if (step.slot === undefined) {
    f.get(total);
    frame.pushScalar(value);
    f.op(lanes.add).set(total);
  }
  f.get(k).i32(1).op(op.i32Add).tee(k).get(count).op(op.i32LtS).brIf(next).end();
  f.end();
  if (step.slot === undefined) frame.scalars.set(step.node, total);
  else f.free(total);
  f.free(k, count, spread);
}
