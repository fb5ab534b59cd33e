// Writes the root of a decreasing function of one scalar: safeguarded Newton, with the row's support gathered first.
// The stopping rule is the delicate part; why it is what it is stands beside it.

import { dtypes } from "../../dtype.ts";
import type { Expr, RootParts } from "../../row/expr.ts";
import type { Gather, RootStep, Step } from "../../row/schedule.ts";
import type { Local } from "./assembler.ts";
import { feed, walk } from "./emit-passes.ts";
import { fold, keeping, type Sink } from "./emit-sinks.ts";
import { emitScalar, type Frame, type Stream } from "./emit-values.ts";
import * as op from "./opcodes.ts";

/** Evaluations after which Newton gives up: bisecting every other time, enough for all bits. */
const turns = 120;
/** Rows shorter than this are not worth a start from the accumulators of their maximum. */
const worthSampling = 64;

/** Writes the steps of a region of the schedule in order. */
export type EmitSteps = (steps: readonly Step[]) => void;

/** What evaluating F leaves in locals: F and its slope as scalars. */
interface Evaluation {
  readonly value: Local;
  readonly slope: Local;
}

export function emitRoot(frame: Frame, step: RootStep, emitSteps: EmitSteps): void {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  const parts = step.node.detail as RootParts;
  const number = (): Local => f.local(lanes.type);
  const [low, high] = [number(), number()];
  for (const [e, to] of [
    [step.node.args[0]!, low],
    [step.node.args[1]!, high],
  ] as const) {
    frame.pushScalar(e);
    f.lane(lanes.extract, 0).set(to);
  }
  const tau = number();
  const spread = f.local("v128");
  frame.scalars.set(parts.variable, spread);
  const evaluation = { value: number(), slope: number() };

  /** Sets τ from the stack. */
  const setTau = (): void => {
    f.tee(tau).op(lanes.splat).set(spread);
  };
  f.get(low);
  setTau();

  const before = frame.extent;
  // Reciprocals taken in here may be those of another τ, or never have been reached.
  const reciprocals = frame.reciprocals;
  frame.reciprocals = new Map(reciprocals);
  if (step.gather) {
    if (step.gather.sample && step.body.filter((s) => s.kind === "pass").length === 1) {
      startFromSample(frame, step, step.gather.sample, { tau, high, low, setTau }, evaluation);
    }
    frame.reciprocals = new Map(reciprocals);
    frame.extent = gather(frame, step, step.gather);
  }

  const [best, smallest, next, size] = [number(), number(), number(), number()];
  const [stalled, left, bisect] = [f.local("i32"), f.local("i32"), f.local("i32")];
  f.get(low).set(best);
  constant(frame, Infinity).set(smallest);
  f.i32(0).set(stalled).i32(turns).set(left);
  const done = f.block();
  const again = f.loop();
  emitSteps(step.body);
  extract(frame, parts, evaluation);
  const { value } = evaluation;

  f.get(value).get(value).op(scalar.ne);
  f.if();
  f.get(value).set(best).br(done);
  f.end();
  f.i32(0).set(bisect);
  // |F| as the larger of F and −F
  constant(frame, 0)
    .get(value)
    .op(scalar.sub)
    .tee(size)
    .get(value)
    .get(size)
    .get(value)
    .op(scalar.gt, op.select)
    .tee(size);
  f.get(smallest).op(scalar.lt);
  f.if();
  f.get(size).set(smallest).get(tau).set(best).i32(0).set(stalled);
  f.get(size);
  constant(frame, 2 * dtypes[lanes.type].eps)
    .op(scalar.le)
    .brIf(done);
  f.else();
  // No progress: near zero that is rounding, and twice in a row is enough; elsewhere the step was wrong. (A function that is
  // steep on one side of its root, as for sums of roots, is small on the other side long before Newton is there.)
  f.get(smallest);
  constant(frame, Math.sqrt(dtypes[lanes.type].eps)).op(scalar.gt);
  f.if();
  f.i32(1).set(bisect);
  f.else();
  f.get(stalled).i32(1).op(op.i32Add).tee(stalled).i32(2).op(op.i32Eq).brIf(done);
  f.end();
  f.end();
  f.get(left).i32(1).op(op.i32Sub).tee(left).op(op.i32Eqz).brIf(done);

  // F falls: the root is to the right where F is positive.
  f.get(value);
  constant(frame, 0).op(scalar.gt);
  f.if();
  f.get(tau).set(low);
  f.else();
  f.get(tau).set(high);
  f.end();
  pushStep(frame, step, parts, evaluation);
  f.get(tau).op(scalar.add).set(next);
  f.get(next)
    .get(low)
    .op(scalar.ge)
    .get(next)
    .get(high)
    .op(scalar.le, op.i32And)
    .get(bisect)
    .op(op.i32Eqz, op.i32And, op.i32Eqz);
  f.if();
  f.get(high).get(low).op(scalar.sub);
  constant(frame, 0.5).op(scalar.mul).get(low).op(scalar.add).set(next);
  f.end();
  f.get(next).get(tau).op(scalar.eq).brIf(done);
  f.get(next);
  setTau();
  f.br(again);
  f.end();
  f.end();

  const out = f.local("v128");
  f.get(best).op(lanes.splat).set(out);
  frame.scalars.set(step.node, out);
  frame.extent = before;
  frame.reciprocals = reciprocals;
  f.free(
    low,
    high,
    tau,
    spread,
    evaluation.value,
    evaluation.slope,
    best,
    smallest,
    next,
    size,
    stalled,
    left,
    bisect,
  );
}

function constant(frame: Frame, value: number): Frame["f"] {
  return frame.lanes.type === "f32" ? frame.f.f32(value) : frame.f.f64(value);
}

/** Reads F and its slope off the vectors that the body left. */
function extract(frame: Frame, parts: RootParts, to: Evaluation): void {
  for (const [e, l] of [
    [parts.value, to.value],
    [parts.slope, to.slope],
  ] as const) {
    frame.pushScalar(e);
    frame.f.lane(frame.lanes.extract, 0).set(l);
  }
}

/** Pushes Newton's step −F/F_τ, or on the scale where F is straighter −s(F)/(s′(F)·F_τ). */
function pushStep(frame: Frame, step: RootStep, parts: RootParts, { value, slope }: Evaluation): void {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  constant(frame, 0);
  if (!parts.straight) {
    f.get(value).get(slope).op(scalar.div, scalar.sub);
    return;
  }
  const { variable, value: s, slope: ds } = parts.straight;
  const spread = f.local("v128");
  f.get(value).op(lanes.splat).set(spread);
  frame.scalars.set(variable, spread);
  for (const e of step.straight) emitScalar(frame, e);
  frame.pushScalar(s);
  f.lane(lanes.extract, 0);
  frame.pushScalar(ds);
  f.lane(lanes.extract, 0).get(slope).op(scalar.mul, scalar.div, scalar.sub).free(spread);
}

/**
 * Moves τ up from `low` by a few Newton steps on the entries that the accumulators of the row's maximum hold: every entry adds
 * something non-negative to F, so where F over these is still positive, F over all is.
 */
function startFromSample(
  frame: Frame,
  step: RootStep,
  maximum: Expr,
  { tau, high, low, setTau }: { tau: Local; high: Local; low: Local; setTau: () => void },
  evaluation: Evaluation,
): void {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  const parts = step.node.detail as RootParts;
  const { value } = evaluation;
  const left = f.local("i32");
  f.get(frame.n).i32(worthSampling).op(op.i32GeU);
  f.if();
  f.i32(10).set(left);
  const done = f.block();
  const again = f.loop();
  for (const s of step.body) {
    if (s.kind === "scalar") emitScalar(frame, s.node);
    else if (s.kind === "pass") {
      feed(
        frame,
        s.reductions.map((e) => fold(frame, e)),
        maximum.args[0]!,
        frame.samples.get(maximum)!,
      );
    }
  }
  extract(frame, parts, evaluation);
  f.get(value);
  constant(frame, 0).op(scalar.gt, op.i32Eqz).brIf(done);
  f.get(tau).set(low);
  f.get(value);
  constant(frame, 2 ** -10)
    .op(scalar.lt)
    .brIf(done);
  pushStep(frame, step, parts, evaluation);
  f.get(tau).op(scalar.add);
  setTau();
  // Neither a step back nor one beyond the bracket, nor NaN
  f.get(tau).get(low).op(scalar.gt).get(tau).get(high).op(scalar.lt, op.i32And, op.i32Eqz).brIf(done);
  f.get(left).i32(1).op(op.i32Sub).tee(left).brIf(again);
  f.end();
  f.end();
  f.get(low);
  setTau();
  f.end().free(left);
}

/** Copies what the body reads, at the entries where the support holds for the first τ, and gives the extent of that. */
function gather(
  frame: Frame,
  step: RootStep,
  { support, rows }: Gather,
): { end: Local; gathered: Map<Expr, Stream> } {
  const { f, lanes } = frame;
  const end = f.local("i32");
  const gathered = new Map<Expr, Stream>();
  for (const [e, slot] of rows) gathered.set(e, { pointer: frame.slots[slot]!.pointer, type: lanes.type });
  const numbers = [...rows.keys()].filter((e) => e.sort === "number");
  const sink: Sink = {
    reads: [support, ...rows.keys(), ...numbers],
    begin() {
      f.i32(0).set(end);
    },
    take(site) {
      for (const e of rows.keys()) site.local(e);
    },
    put(site) {
      const bits = f.local("i32");
      const pattern = site.temporary();
      site.push(support);
      // A NaN must reach F.
      for (const e of numbers) {
        const v = site.local(e);
        f.get(v).get(v).op(lanes.ne, op.v128Or);
      }
      if (site.valid !== undefined) f.get(site.valid).op(op.v128And);
      f.op(lanes.bitmask)
        .tee(bits)
        .i32(4)
        .op(op.i32Shl)
        .get(frame.patterns!)
        .op(op.i32Add)
        .load(op.v128Load)
        .set(pattern);
      // A whole vector: what lies past the entries that count is overwritten by the next ones.
      for (const [e, { pointer }] of gathered)
        f.get(pointer)
          .get(end)
          .op(op.i32Add)
          .get(site.local(e))
          .get(pattern)
          .op(op.i8x16Swizzle)
          .store(op.v128Store);
      f.get(bits).op(op.i32Popcnt).i32(lanes.shift).op(op.i32Shl).get(end).op(op.i32Add).set(end).free(bits);
    },
  };
  walk(frame, step, [...keeping(frame, step.keeps), sink]);
  return { end, gathered };
}

/** Writes the swizzle patterns: for each mask of lanes the bytes of those that hold, one after the other. */
export function writePatterns(frame: Frame): void {
  const { f, lanes } = frame;
  const [mask, at] = [f.local("i32"), f.local("i32")];
  f.i32(0).set(mask);
  const next = f.loop();
  f.get(mask).i32(4).op(op.i32Shl).get(frame.patterns!).op(op.i32Add).set(at);
  for (let lane = 0; lane < lanes.count; lane++) {
    for (let byte = 0; byte < lanes.bytes; byte += 4) {
      f.get(at)
        .i32(0x03020100 + 0x04040404 * (lane * (lanes.bytes / 4) + byte / 4))
        .store(op.i32Store, byte);
    }
    // Overwritten by the next lane if this one does not hold.
    f.get(mask).i32(lane).op(op.i32ShrU).i32(1).op(op.i32And);
    f.i32(lanes.shift).op(op.i32Shl).get(at).op(op.i32Add).set(at);
  }
  const masks = 1 << lanes.count;
  f.get(mask).i32(1).op(op.i32Add).tee(mask).i32(masks).op(op.i32LtU).brIf(next).end();
  f.free(mask, at);
}

/** Bytes of the swizzle patterns. */
export const patternBytes = 256;
