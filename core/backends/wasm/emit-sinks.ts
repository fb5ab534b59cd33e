// What a walk over a row feeds: the folds sum, max, min, count and argmax, and the rows that are written.

import type { Expr } from "../../row/expr.ts";
import type { HotEntry, Pass, Write } from "../../row/schedule.ts";
import type { Local } from "./assembler.ts";
import type { Frame, Site, Stream } from "./emit-values.ts";
import * as op from "./opcodes.ts";

/** Something that takes the vectors of a walk one by one. */
export interface Sink {
  /** The rows it takes. */
  readonly reads: readonly Expr[];
  /** Memory that it writes as the walk goes along. */
  readonly stream?: Stream;
  /** Whether it wants to know the position in the row. */
  readonly position?: true;
  /** Before the walk; a turn of its loop gives so many vectors. */
  begin?(copies: number): void;
  take(site: Site): void;
  /** Stores, after every sink has taken the vector: a result may lie over an input. */
  put?(site: Site): void;
  /** Every so often, so that long sums keep their digits. */
  flush?(): void;
  finish?(): void;
}

/** Accumulators of a fold: more hide no more latency. */
const accumulators = 4;

/** Pushes the vector with its lanes moved round by half the vector, or by one lane of an f32x4. */
function turn(frame: Frame, v: Local, by: "half" | "lane"): void {
  const { f } = frame;
  f.get(v).get(v);
  if (by === "half") f.shuffle(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  else f.shuffle(4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
}

/** Folds the lanes of v by an instruction; all lanes get the result. */
export function acrossLanes(frame: Frame, v: Local, instruction: number): void {
  const { f } = frame;
  turn(frame, v, "half");
  f.get(v).op(instruction).set(v);
  if (frame.lanes.count === 2) return;
  turn(frame, v, "lane");
  f.get(v).op(instruction).set(v);
}

/** Folds accumulators into the first of them. */
function together(frame: Frame, acc: readonly Local[], instruction: number): void {
  const { f } = frame;
  for (let width = 1; width < acc.length; width *= 2) {
    for (let i = 0; i + width < acc.length; i += 2 * width)
      f.get(acc[i]!)
        .get(acc[i + width]!)
        .op(instruction)
        .set(acc[i]!);
  }
}

function fill(frame: Frame, targets: readonly Local[], constant: Local): void {
  for (const l of targets) frame.f.get(constant).set(l);
}

const vectors = (frame: Frame, count: number): Local[] =>
  Array.from({ length: count }, () => frame.f.local("v128"));

/** The local of a fold's result. */
function resultOf(frame: Frame, e: Expr): Local {
  const l = frame.f.local("v128");
  frame.scalars.set(e, l);
  return l;
}

/** The sink of a reduction. */
export function fold(frame: Frame, e: Expr): Sink {
  switch (e.word) {
    case "sum":
      return sum(frame, e);
    case "count":
      return count(frame, e);
    case "argmax":
      return argmax(frame, e);
    default:
      return extreme(frame, e);
  }
}

/** Short sums in vectors of the kernel's own type, flushed into f64 ones. */
function sum(frame: Frame, e: Expr): Sink {
  const { f, lanes } = frame;
  const row = e.args[0]!;
  const zero = frame.constant(0);
  const outer = vectors(frame, lanes.count / 2);
  let acc: Local[] = [];
  return {
    reads: [row],
    begin(copies) {
      acc = vectors(frame, Math.min(copies, accumulators));
      fill(frame, [...acc, ...outer], zero);
    },
    take(site) {
      const to = acc[site.copy % acc.length]!;
      f.get(to);
      site.push(row);
      if (site.valid !== undefined) f.get(site.valid).op(op.v128And);
      f.op(lanes.add).set(to);
    },
    flush() {
      together(frame, acc, lanes.add);
      const [low, high] = outer as [Local, Local];
      if (lanes.type === "f64") f.get(low).get(acc[0]!).op(op.f64x2Add).set(low);
      else {
        f.get(low).get(acc[0]!).op(op.f64x2PromoteLowF32x4, op.f64x2Add).set(low);
        f.get(high);
        turn(frame, acc[0]!, "half");
        f.op(op.f64x2PromoteLowF32x4, op.f64x2Add).set(high);
      }
      fill(frame, acc, zero);
    },
    finish() {
      const [low] = outer as [Local];
      together(frame, outer, op.f64x2Add);
      turn(frame, low, "half");
      f.get(low).op(op.f64x2Add);
      if (lanes.type === "f32") {
        f.op(op.f32x4DemoteF64x2Zero)
          .tee(low)
          .get(low)
          .shuffle(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
      }
      f.set(resultOf(frame, e));
      f.free(...acc, ...outer);
    },
  };
}

/** The largest or smallest entry, by instructions that drop NaN; where nothing else notices a NaN its lanes are collected. */
function extreme(frame: Frame, e: Expr): Sink {
  const { f, lanes } = frame;
  const row = e.args[0]!;
  const instruction = e.word === "max" ? lanes.pmax : lanes.pmin;
  const identity = frame.constant(e.word === "max" ? -Infinity : Infinity);
  const missing = frame.plan.careful.has(e) ? f.local("v128") : undefined;
  const sampled = frame.sampled.has(e);
  let acc: Local[] = [];
  return {
    reads: [row],
    begin(copies) {
      acc = vectors(frame, sampled ? copies : Math.min(copies, accumulators));
      fill(frame, acc, identity);
      if (missing !== undefined) f.get(frame.constant(0)).set(missing);
    },
    take(site) {
      const to = acc[site.copy % acc.length]!;
      if (missing !== undefined) {
        const x = site.local(row);
        f.get(missing).get(x).get(x).op(lanes.ne);
        if (site.valid !== undefined) f.get(site.valid).op(op.v128And);
        f.op(op.v128Or).set(missing);
      }
      f.get(to);
      site.push(row);
      if (site.valid !== undefined) f.get(identity).get(site.valid).op(op.v128Bitselect);
      f.op(instruction).set(to);
    },
    finish() {
      const out = resultOf(frame, e);
      f.get(acc[0]!);
      for (const l of acc.slice(1)) f.get(l).op(instruction);
      f.set(out);
      acrossLanes(frame, out, instruction);
      if (missing !== undefined) {
        // A lane of ones is a NaN.
        acrossLanes(frame, missing, op.v128Or);
        f.get(out).get(missing).op(op.v128Or).set(out).free(missing);
      }
      if (sampled) frame.samples.set(e, acc);
      else f.free(...acc);
    },
  };
}

function count(frame: Frame, e: Expr): Sink {
  const { f, lanes } = frame;
  const row = e.args[0]!;
  let acc: Local[] = [];
  return {
    reads: [row],
    begin(copies) {
      acc = vectors(frame, Math.min(copies, accumulators));
      fill(frame, acc, frame.constant(0));
    },
    take(site) {
      // A lane that holds is −1 as an integer.
      const to = acc[site.copy % acc.length]!;
      f.get(to);
      site.push(row);
      if (site.valid !== undefined) f.get(site.valid).op(op.v128And);
      f.op(lanes.intSub).set(to);
    },
    finish() {
      together(frame, acc, lanes.intAdd);
      const total = acc[0]!;
      acrossLanes(frame, total, lanes.intAdd);
      if (lanes.type === "f32") f.get(total).op(op.f32x4ConvertI32x4S);
      else f.get(total).lane(op.i32x4ExtractLane, 0).op(lanes.scalar.convertI32, lanes.splat);
      f.set(resultOf(frame, e)).free(...acc);
    },
  };
}

/** The position of the first largest entry; a NaN counts as larger than any number. */
function argmax(frame: Frame, e: Expr): Sink {
  const { f, lanes } = frame;
  const row = e.args[0]!;
  const wide = lanes.type === "f64";
  let best: Local[] = [];
  let place: Local[] = [];
  return {
    reads: [row],
    position: true,
    begin(copies) {
      best = vectors(frame, Math.min(copies, accumulators));
      place = vectors(frame, best.length);
      fill(frame, best, frame.constant(-Infinity));
      // A row of −∞ has its first maximiser at 0, which is in the first accumulator.
      fill(frame, place, f.constant(lanes.int, 0x7fffffff));
      fill(frame, [place[0]!], frame.laneNumbers);
    },
    take(site) {
      const to = best[site.copy % best.length]!;
      const at = place[site.copy % best.length]!;
      const x = site.local(row);
      const better = f.local("v128");
      const here = f.local("v128");
      // Not (x ≤ best): true for a larger x and for NaN, but then only where best is a number.
      f.get(x).get(to).op(lanes.le, op.v128Not).get(to).get(to).op(lanes.eq, op.v128And);
      if (site.valid !== undefined) f.get(site.valid).op(op.v128And);
      f.set(better);
      f.get(site.position!);
      if (wide) f.op(op.i64ExtendI32U);
      f.op(lanes.intSplat).get(frame.laneNumbers).op(lanes.intAdd);
      if (site.copy > 0) f.get(f.constant(lanes.int, site.copy * lanes.count)).op(lanes.intAdd);
      f.set(here);
      f.get(x).get(to).get(better).op(op.v128Bitselect).set(to);
      f.get(here).get(at).get(better).op(op.v128Bitselect).set(at);
      f.free(better, here);
    },
    finish() {
      const [v, i] = [best[0]!, place[0]!];
      for (let k = 1; k < best.length; k++) better(frame, v, i, best[k]!, place[k]!);
      const [v2, i2] = vectors(frame, 2) as [Local, Local];
      for (const by of wide ? (["half"] as const) : (["half", "lane"] as const)) {
        turn(frame, v, by);
        f.set(v2);
        turn(frame, i, by);
        f.set(i2);
        better(frame, v, i, v2, i2);
      }
      const whole = f.local("i32");
      f.get(i)
        .lane(op.i32x4ExtractLane, 0)
        .tee(whole)
        .op(lanes.scalar.convertI32, lanes.splat)
        .set(resultOf(frame, e));
      frame.integers.set(e, whole);
      f.free(...best, ...place, v2, i2);
    },
  };
}

/** Keeps in (v, i) the better of two candidates in each lane: NaN first, then the larger, then the earlier. */
function better(frame: Frame, v: Local, i: Local, v2: Local, i2: Local): void {
  const { f, lanes } = frame;
  const take = f.local("v128");
  const nan = (l: Local): void => {
    f.get(l).get(l).op(lanes.ne);
  };
  f.get(v2).get(v).op(lanes.gt);
  nan(v2);
  f.op(op.v128Or);
  nan(v);
  f.op(op.v128AndNot);
  f.get(v2).get(v).op(lanes.eq);
  nan(v2);
  nan(v);
  f.op(op.v128And, op.v128Or).get(i).get(i2).op(lanes.intGtS, op.v128And, op.v128Or).set(take);
  f.get(v2).get(v).get(take).op(op.v128Bitselect).set(v);
  f.get(i2).get(i).get(take).op(op.v128Bitselect).set(i);
  f.free(take);
}

/** The sinks of the rows that a step keeps for later ones. */
export function keeping(frame: Frame, keeps: readonly Expr[], writes: readonly Write[] = []): Sink[] {
  const sinks: Sink[] = [];
  for (const e of keeps) {
    const stream = frame.kept(e)!;
    if (!writes.some((w) => w.row === e && frame.outputs[w.result] === stream))
      sinks.push(storing(e, stream));
  }
  return sinks;
}

/** Writes a row to memory as it is computed. */
export function storing(row: Expr, stream: Stream): Sink {
  return {
    reads: [row],
    stream,
    take(site) {
      site.local(row);
    },
    put(site) {
      site.store(stream, site.local(row));
    },
  };
}

/** Adds a row to the sum of a series. */
export function adding(row: Expr, sum: Stream): Sink {
  return {
    reads: [row],
    stream: sum,
    take(site) {
      site.local(row);
    },
    put(site) {
      site.addWhole(sum, site.local(row));
    },
  };
}

/** The sinks of a pass's results. */
export function writing(frame: Frame, pass: Pass): Sink[] {
  const { f, lanes } = frame;
  return pass.writes.map(({ row, result }) => {
    const stream = frame.outputs[result]!;
    const plain = storing(row, stream);
    if ((row.sort === "bool") === (stream.type === "bool")) return plain;
    return {
      ...plain,
      put(site) {
        const v = site.temporary();
        f.get(site.local(row));
        if (row.sort === "bool") f.get(frame.constant(1)).op(op.v128And);
        else f.get(frame.constant(0)).op(lanes.ne);
        f.set(v);
        site.store(stream, v);
      },
    };
  });
}

/** Adds to one entry of a result. */
export function emitHot(frame: Frame, result: number, { label, value, negative }: HotEntry): void {
  const { f, lanes } = frame;
  const i = f.local("i32");
  frame.pushInteger(label);
  f.tee(i).get(frame.n).op(op.i32LtU);
  if (!frame.integers.has(label)) {
    // A label between two entries is at none.
    f.get(i).op(lanes.scalar.convertI32);
    frame.pushScalar(label);
    f.lane(lanes.extract, 0).op(lanes.scalar.eq, op.i32And);
  }
  f.if();
  f.get(i).i32(lanes.shift).op(op.i32Shl).get(frame.outputs[result]!.pointer).op(op.i32Add).tee(i);
  f.get(i).load(lanes.scalar.load);
  frame.pushScalar(value);
  f.lane(lanes.extract, 0)
    .op(negative ? lanes.scalar.sub : lanes.scalar.add)
    .store(lanes.scalar.store);
  f.end().free(i);
}
