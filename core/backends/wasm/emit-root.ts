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
/** When that start is good enough: F over the sample, or the steps it took. */
const closeEnough = 2 ** -4;
const sampleTurns = 10;

/** Writes the steps of a region of the schedule in order. */
export type EmitSteps = (steps: readonly Step[]) => void;

/** Locals of the iteration: numbers, but for τ as the vector that the formula reads. */
interface Search {
  readonly tau: Local;
  readonly spread: Local;
  readonly low: Local;
  readonly high: Local;
  /** F at τ, and its slope. */
  readonly value: Local;
  readonly slope: Local;
}

export function emitRoot(frame: Frame, step: RootStep, emitSteps: EmitSteps): void {
  const { f, lanes } = frame;
  const number = (): Local => f.local(lanes.type);
  const search: Search = {
    tau: number(),
    spread: f.local("v128"),
    low: number(),
    high: number(),
    value: number(),
    slope: number(),
  };
  frame.scalars.set((step.node.detail as RootParts).variable, search.spread);
  pushNumber(frame, step.node.args[1]!);
  f.set(search.high);
  pushNumber(frame, step.node.args[0]!);
  f.tee(search.low);
  setTau(frame, search);

  const { extent, reciprocals } = frame;
  // Reciprocals taken in here may be those of another τ, or never have been reached.
  frame.reciprocals = new Map(reciprocals);
  if (step.gather) {
    if (step.gather.sample && step.body.filter((s) => s.kind === "pass").length === 1) {
      startFromSample(frame, step, step.gather.sample, search);
    }
    frame.reciprocals = new Map(reciprocals);
    frame.extent = gather(frame, step, step.gather);
  }
  const best = newton(frame, step, search, emitSteps);
  const out = f.local("v128");
  f.get(best).op(lanes.splat).set(out);
  frame.scalars.set(step.node, out);
  frame.extent = extent;
  frame.reciprocals = reciprocals;
  f.free(best, ...Object.values(search));
}

/** The iteration itself. Gives the local of the τ whose |F| was smallest. */
function newton(frame: Frame, step: RootStep, search: Search, emitSteps: EmitSteps): Local {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  const { tau, low, high, value } = search;
  const number = (): Local => f.local(lanes.type);
  const [best, smallest, size, next] = [number(), number(), number(), number()];
  const [stalled, left, bisect] = [f.local("i32"), f.local("i32"), f.local("i32")];
  f.get(low).set(best);
  constant(frame, Infinity).set(smallest);
  f.i32(0).set(stalled).i32(turns).set(left);
  const done = f.block();
  const again = f.loop();
  emitSteps(step.body);
  evaluate(frame, step, search);
  f.get(value).get(value).op(scalar.ne);
  f.if();
  f.get(value).set(best).br(done);
  f.end();

  // |F| as the larger of F and −F
  constant(frame, 0).get(value).op(scalar.sub).tee(size).get(value);
  f.get(size).get(value).op(scalar.gt, op.select).set(size);
  f.i32(0).set(bisect);
  f.get(size).get(smallest).op(scalar.lt);
  f.if();
  f.get(size).set(smallest).get(tau).set(best).i32(0).set(stalled).get(size);
  constant(frame, 2 * dtypes[lanes.type].eps).op(scalar.le);
  f.brIf(done);
  f.else();
  // No progress: near zero that is rounding, and twice in a row is enough; elsewhere the step was wrong. (A function that is
  // steep on one side of its root, as a sum of roots is, comes near zero on the other side long before Newton is there.)
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
  pushNewtonStep(frame, step, search);
  f.get(tau).op(scalar.add).set(next);
  f.get(next).get(low).op(scalar.ge).get(next).get(high).op(scalar.le, op.i32And, op.i32Eqz);
  f.get(bisect).op(op.i32Or);
  f.if();
  f.get(high).get(low).op(scalar.sub);
  constant(frame, 0.5).op(scalar.mul).get(low).op(scalar.add).set(next);
  f.end();
  f.get(next).get(tau).op(scalar.eq).brIf(done).get(next);
  setTau(frame, search);
  f.br(again).end().end();
  f.free(smallest, size, next, stalled, left, bisect);
  return best;
}

/** Takes τ from the stack. */
function setTau(frame: Frame, { tau, spread }: Search): void {
  frame.f.tee(tau).op(frame.lanes.splat).set(spread);
}

/** Pushes a scalar as a number. */
function pushNumber(frame: Frame, e: Expr): void {
  frame.pushScalar(e);
  frame.f.lane(frame.lanes.extract, 0);
}

function constant(frame: Frame, value: number): Frame["f"] {
  return frame.lanes.type === "f32" ? frame.f.f32(value) : frame.f.f64(value);
}

/** Reads F and its slope off the vectors that the body left. */
function evaluate(frame: Frame, step: RootStep, { value, slope }: Search): void {
  const parts = step.node.detail as RootParts;
  pushNumber(frame, parts.value);
  frame.f.set(value);
  pushNumber(frame, parts.slope);
  frame.f.set(slope);
}

/** Pushes Newton's step −F/F_τ, or on the scale where F is straighter −s(F)/(s′(F)·F_τ). */
function pushNewtonStep(frame: Frame, step: RootStep, { value, slope }: Search): void {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  const { straight } = step.node.detail as RootParts;
  constant(frame, 0);
  if (!straight) {
    f.get(value).get(slope).op(scalar.div, scalar.sub);
    return;
  }
  const spread = f.local("v128");
  f.get(value).op(lanes.splat).set(spread);
  frame.scalars.set(straight.variable, spread);
  for (const e of step.straight) emitScalar(frame, e);
  pushNumber(frame, straight.value);
  pushNumber(frame, straight.slope);
  f.get(slope).op(scalar.mul, scalar.div, scalar.sub).free(spread);
}

/**
 * Moves τ up from `low` by a few Newton steps on the entries that the accumulators of the row's maximum hold: every entry adds
 * something non-negative to F, so where F over these is still positive, F over all is.
 */
function startFromSample(frame: Frame, step: RootStep, maximum: Expr, search: Search): void {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  const { tau, low, high, value } = search;
  const left = f.local("i32");
  f.get(frame.n).i32(worthSampling).op(op.i32GeU);
  f.if();
  f.i32(sampleTurns).set(left);
  const done = f.block();
  const again = f.loop();
  for (const s of step.body) {
    if (s.kind === "scalar") emitScalar(frame, s.node);
    else if (s.kind === "pass") {
      const sinks = s.reductions.map((e) => fold(frame, e));
      feed(frame, sinks, maximum.args[0]!, frame.samples.get(maximum)!);
    }
  }
  evaluate(frame, step, search);
  f.get(value);
  constant(frame, 0).op(scalar.gt, op.i32Eqz);
  f.brIf(done).get(tau).set(low).get(value);
  constant(frame, closeEnough).op(scalar.lt).brIf(done);
  pushNewtonStep(frame, step, search);
  f.get(tau).op(scalar.add);
  setTau(frame, search);
  // Neither a step back nor one beyond the bracket, nor NaN
  f.get(tau).get(low).op(scalar.gt).get(tau).get(high).op(scalar.lt, op.i32And, op.i32Eqz).brIf(done);
  f.get(left).i32(1).op(op.i32Sub).tee(left).brIf(again);
  f.end().end().get(low);
  setTau(frame, search);
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
