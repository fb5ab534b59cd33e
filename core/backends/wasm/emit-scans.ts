// Writes the words that need a walk of their own: the k-th largest entry and the running sum.

import type { ScanStep } from "../../row/schedule.ts";
import type { Local } from "./assembler.ts";
import { walk } from "./emit-passes.ts";
import { acrossLanes, keeping, type Sink, storing } from "./emit-sinks.ts";
import type { Frame } from "./emit-values.ts";
import * as op from "./opcodes.ts";

/** A running sum: the row goes to its place first, and is summed up there in f64, entry by entry. */
export function emitCumsum(frame: Frame, step: ScanStep): void {
  const { f, lanes, extent } = frame;
  const row = step.node.args[0]!;
  const to = frame.kept(step.node)!;
  walk(frame, step, [...keeping(frame, step.keeps), storing(row, to)]);
  const total = f.local("f64");
  const at = f.local("i32");
  const stop = f.local("i32");
  f.f64(0).set(total);
  f.get(to.pointer).tee(at).get(extent.end).op(op.i32Add).set(stop);
  const next = f.loop();
  f.get(at).get(total).get(at).load(lanes.scalar.load);
  if (lanes.type === "f32") f.op(op.f64PromoteF32, op.f64Add).tee(total).op(op.f32DemoteF64);
  else f.op(op.f64Add).tee(total);
  f.store(lanes.scalar.store);
  f.get(at).i32(lanes.bytes).op(op.i32Add).tee(at).get(stop).op(op.i32LtU).brIf(next).end();
  f.free(total, at, stop);
}

/**
 * The k-th largest entry. The bits of a float, the low ones inverted where the sign is set, are integers in the order of
 * the floats; the answer is the largest such integer that at least k entries reach, found by bisection between the row's
 * extremes: exact, without a sort. Where exactly k entries reach a candidate, the smallest of them is the answer.
 */
export function emitKth(frame: Frame, step: ScanStep): void {
  const { f, lanes } = frame;
  const wide = lanes.type === "f64";
  const int = lanes.int;
  const [row, rank] = step.node.args as [typeof step.node, typeof step.node];
  const slot = frame.slots[step.slot]!;
  const lowest = f.constant(int, wide ? -(2n ** 63n) : -(2 ** 31));
  const magnitude = f.constant(int, wide ? 2n ** 63n - 1n : 2 ** 31 - 1);
  const [low, high, missing] = [f.local("v128"), f.local("v128"), f.local("v128")];

  /** Pushes the integer image of the float whose bits are in v, and back. */
  const image = (v: Local): void => {
    f.get(v)
      .get(v)
      .i32(lanes.bytes * 8 - 1)
      .op(lanes.intShrS)
      .get(magnitude)
      .op(op.v128And, op.v128Xor);
  };
  const keys: Sink = {
    reads: [row],
    stream: slot,
    begin() {
      f.get(frame.constant(Infinity))
        .set(low)
        .get(frame.constant(-Infinity))
        .set(high)
        .get(frame.constant(0))
        .set(missing);
    },
    take(site) {
      const x = site.local(row);
      const bounded = (identity: number, instruction: number, to: Local): void => {
        f.get(to).get(x);
        if (site.valid !== undefined) f.get(frame.constant(identity)).get(site.valid).op(op.v128Bitselect);
        f.op(instruction).set(to);
      };
      bounded(Infinity, lanes.pmin, low);
      bounded(-Infinity, lanes.pmax, high);
      f.get(missing).get(x).get(x).op(lanes.ne);
      if (site.valid !== undefined) f.get(site.valid).op(op.v128And);
      f.op(op.v128Or).set(missing);
    },
    put(site) {
      const key = site.temporary();
      image(site.local(row));
      // Lanes past the end of the row are below every candidate, so that counting needs no mask.
      if (site.valid !== undefined) f.get(lowest).get(site.valid).op(op.v128Bitselect);
      f.set(key);
      site.storeWhole(slot, key);
    },
  };
  // Images are read four vectors at a time: the last ones are lowest unless the walk writes them.
  const from = f.local("i32");
  f.get(frame.extent.end)
    .i32(63)
    .op(op.i32Add)
    .i32(-64)
    .op(op.i32And)
    .get(slot.pointer)
    .op(op.i32Add)
    .set(from);
  for (let back = 16; back <= 48; back += 16) {
    f.get(from).i32(back).op(op.i32Sub).get(lowest).store(op.v128Store);
  }
  walk(frame, step, [...keeping(frame, step.keeps), keys]);

  const k = f.local("i32");
  frame.pushInteger(rank);
  f.set(k);
  frame.clampInteger(
    k,
    () => f.i32(1),
    () => f.get(frame.n),
  );
  // The bracket [a, b] of images: a is reached by at least k entries, nothing above b is.
  const [a, b, middle] = [f.local(int), f.local(int), f.local(int)];
  const [candidate, found] = [f.local("v128"), f.local("i32")];
  const reached = [f.local("v128"), f.local("v128")];
  const at = f.local("i32");
  const extract = wide ? op.i64x2ExtractLane : op.i32x4ExtractLane;
  const scalarImage = (v: Local): void => {
    image(v);
    f.lane(extract, 0);
  };
  acrossLanes(frame, low, lanes.pmin);
  acrossLanes(frame, high, lanes.pmax);
  scalarImage(low);
  f.set(a);
  scalarImage(high);
  f.set(b);
  const out = f.local("v128");
  const integer = wide
    ? { sub: op.i64Sub, add: op.i64Add, and: op.i64And, shrU: op.i64ShrU, lt: op.i64LtS, one: () => f.i64(1) }
    : {
        sub: op.i32Sub,
        add: op.i32Add,
        and: op.i32And,
        shrU: op.i32ShrU,
        lt: op.i32LtS,
        one: () => f.i32(1),
      };

  const key = f.local("v128");
  const scan = (take: (copy: number) => void): void => {
    f.i32(0).set(at);
    const next = f.loop();
    f.get(slot.pointer).get(at).op(op.i32Add).set(from);
    for (let copy = 0; copy < 4; copy++) {
      f.get(from)
        .load(op.v128Load, 16 * copy)
        .set(key);
      take(copy);
    }
    f.get(at).i32(64).op(op.i32Add).tee(at).get(frame.extent.end).op(op.i32LtU).brIf(next).end();
  };
  const done = f.block();
  const search = f.loop();
  f.get(a).get(b).op(integer.lt);
  f.if();
  // Half the width, rounded up and taken as unsigned: it may not fit a signed integer.
  f.get(a).get(b).get(a).op(integer.sub);
  integer.one();
  f.op(integer.shrU);
  f.get(b).get(a).op(integer.sub);
  integer.one();
  f.op(integer.and, integer.add, integer.add).tee(middle);
  // What reaches the middle is above the integer before it: one instruction less than the comparison "at least".
  integer.one();
  f.op(integer.sub, lanes.intSplat).set(candidate);
  for (const l of reached) f.get(frame.constant(0)).set(l);
  scan((copy) => {
    const to = reached[copy % 2]!;
    f.get(to).get(key).get(candidate).op(lanes.intGtS, lanes.intSub).set(to);
  });
  const total = reached[0]!;
  f.get(total).get(reached[1]!).op(lanes.intAdd).set(total);
  acrossLanes(frame, total, lanes.intAdd);
  f.get(total).lane(op.i32x4ExtractLane, 0).tee(found).get(k).op(op.i32Eq);
  f.if();
  // Exactly k reach it: their smallest is the answer.
  f.get(magnitude).set(total);
  scan(() => {
    f.get(key).get(total).get(key).get(candidate).op(lanes.intGtS);
    f.get(total).get(key).op(lanes.intGtS, op.v128And, op.v128Bitselect).set(total);
  });
  for (let lane = 0; lane < lanes.count; lane++) {
    f.get(total).lane(extract, lane);
    if (lane === 0) f.set(a);
    else f.tee(middle).get(a).get(middle).get(a).op(integer.lt, op.select).set(a);
  }
  f.br(done);
  f.end();
  f.get(found).get(k).op(op.i32GtS);
  f.if();
  f.get(middle).set(a);
  f.else();
  f.get(middle);
  integer.one();
  f.op(integer.sub).set(b);
  f.end();
  f.br(search);
  f.end();
  f.end();
  f.end();

  f.get(a).op(lanes.intSplat).set(candidate);
  image(candidate);
  acrossLanes(frame, missing, op.v128Or);
  f.get(missing).op(op.v128Or).set(out);
  frame.scalars.set(step.node, out);
  f.free(low, high, missing, k, a, b, middle, candidate, found, ...reached, at, from, key);
}
