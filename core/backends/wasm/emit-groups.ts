// Writes the words of rows in groups of equal neighbours: the total-variation proximal step, group means, and how groups drift.
// Rows stand in scratch memory and are gone through entry by entry; offsets are bytes from the beginning of the row.

import type { Expr } from "../../row/expr.ts";
import type { ScanStep } from "../../row/schedule.ts";
import type { Local } from "./assembler.ts";
import { walk } from "./emit-passes.ts";
import { keeping, storing } from "./emit-sinks.ts";
import type { Frame, Stream } from "./emit-values.ts";
import * as op from "./opcodes.ts";

/** Pushes the entry at an offset. */
function load(frame: Frame, row: Stream, at: Local, ahead = 0): void {
  frame.f
    .get(row.pointer)
    .get(at)
    .op(op.i32Add)
    .load(frame.lanes.scalar.load, ahead * frame.lanes.bytes);
}

/** Writes a number along the row from an offset on, which moves behind the last entry written: the one at `end`, or the first. */
function fill(frame: Frame, row: Stream, from: Local, value: Local, end: Local): void {
  const { f, lanes } = frame;
  const next = f.loop();
  f.get(row.pointer).get(from).op(op.i32Add).get(value).store(lanes.scalar.store);
  f.get(from).i32(lanes.bytes).op(op.i32Add).tee(from).get(end).op(op.i32LeS).brIf(next).end();
}

/** Condat 2013: the bounds of the value that the current piece can have, with the slack of each, entry by entry. */
export function emitTotalVariation(frame: Frame, step: ScanStep): void {
  const { f, lanes } = frame;
  const { scalar } = lanes;
  const [row, strength] = step.node.args as [Expr, Expr];
  const y = frame.kept(step.node)!;
  walk(frame, step, [...keeping(frame, step.keeps), storing(row, y)]);

  const number = (): Local => f.local(lanes.type);
  const [s, minus, low, high, slackLow, slackHigh] = [
    number(),
    number(),
    number(),
    number(),
    number(),
    number(),
  ];
  const [k, start, endLow, endHigh, last] = [
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
  ];
  const zero = (): Frame["f"] => (lanes.type === "f32" ? f.f32(0) : f.f64(0));
  frame.pushScalar(strength);
  f.lane(lanes.extract, 0).set(s);
  zero().get(s).op(scalar.sub).set(minus);
  f.get(frame.extent.end).i32(lanes.bytes).op(op.i32Sub).set(last);
  for (const l of [k, start, endLow, endHigh]) f.i32(0).set(l);
  load(frame, y, k);
  f.tee(high).get(s).op(scalar.sub).set(low).get(high).get(s).op(scalar.add).set(high);
  f.get(s).set(slackLow).get(minus).set(slackHigh);

  /** Ends a piece at one of its bounds; the next one begins behind it. */
  const close = (bound: Local, end: Local): void => {
    fill(frame, y, start, bound, end);
    f.get(start).tee(k).set(end);
    load(frame, y, start);
    f.set(bound);
  };
  /** The next entry less a bound is added to the slack of it. */
  const extend = (slack: Local, bound: Local): void => {
    f.get(slack);
    load(frame, y, k, 1);
    f.get(bound).op(scalar.sub, scalar.add).set(slack);
  };
  const pushLength = (): void => {
    f.get(k).get(start).op(op.i32Sub).i32(lanes.shift).op(op.i32ShrU).i32(1).op(op.i32Add, scalar.convertI32);
  };
  /** Moves a bound so that its slack is `limit` again, where it has reached it. */
  const tighten = (slack: Local, comparison: number, limit: Local, bound: Local, end: Local): void => {
    f.get(slack).get(limit).op(comparison);
    f.if();
    f.get(k).set(end).get(bound).get(slack).get(limit).op(scalar.sub);
    pushLength();
    f.op(scalar.div, scalar.add).set(bound).get(limit).set(slack);
    f.end();
  };

  const again = f.loop();
  f.get(k).get(last).op(op.i32Eq);
  f.if();
  f.get(slackLow);
  zero().op(scalar.lt);
  f.if();
  close(low, endLow);
  f.get(s).set(slackLow).get(low).get(s).op(scalar.add).get(high).op(scalar.sub).set(slackHigh);
  f.else();
  f.get(slackHigh);
  zero().op(scalar.gt);
  f.if();
  close(high, endHigh);
  f.get(minus).set(slackHigh).get(high).get(s).op(scalar.sub).get(low).op(scalar.sub).set(slackLow);
  f.else();
  f.get(low).get(slackLow);
  pushLength();
  f.op(scalar.div, scalar.add).set(low);
  fill(frame, y, start, low, k);
  f.end();
  f.end();
  f.else();
  {
    const restart = (): void => {
      f.get(start).tee(endLow).set(endHigh).get(s).set(slackLow).get(minus).set(slackHigh);
    };
    extend(slackLow, low);
    extend(slackHigh, high);
    f.get(slackLow).get(minus).op(scalar.lt);
    f.if();
    close(low, endLow);
    f.get(low).get(s).get(s).op(scalar.add, scalar.add).set(high);
    restart();
    f.else();
    f.get(slackHigh).get(s).op(scalar.gt);
    f.if();
    close(high, endHigh);
    f.get(high).get(s).get(s).op(scalar.add, scalar.sub).set(low);
    restart();
    f.else();
    f.get(k).i32(lanes.bytes).op(op.i32Add).set(k);
    tighten(slackLow, scalar.ge, s, low, endLow);
    tighten(slackHigh, scalar.le, minus, high, endHigh);
    f.end();
    f.end();
  }
  f.end();
  f.get(start).get(last).op(op.i32LeS).brIf(again).end();
  f.free(s, minus, low, high, slackLow, slackHigh, k, start, endLow, endHigh, last);
}

/** The mean of a row over each run of equal entries of another, or the drift of that run. */
export function emitGroups(frame: Frame, step: ScanStep): void {
  const { f, lanes, extent } = frame;
  const { scalar, bytes } = lanes;
  const to = frame.kept(step.node)!;
  const of = frame.slots[step.beside!]!;
  const [row, groups] = step.node.args.length === 2 ? step.node.args : [undefined, step.node.args[0]];
  walk(frame, step, [
    ...keeping(frame, step.keeps),
    storing(groups!, of),
    ...(row ? [storing(row, to)] : []),
  ]);

  const [from, end, edges, last] = [f.local("i32"), f.local("i32"), f.local("i32"), f.local("i32")];
  const [value, total] = [f.local(lanes.type), f.local(lanes.type)];
  /** Pushes the sign of what the run's value exceeds a neighbour by, as an integer. */
  const pushStep = (at: Local, ahead: number): void => {
    f.get(value);
    load(frame, of, at, ahead);
    f.op(scalar.gt).get(value);
    load(frame, of, at, ahead);
    f.op(scalar.lt, op.i32Sub);
  };
  f.i32(0).set(from);
  const next = f.loop();
  load(frame, of, from);
  f.set(value);
  if (row) {
    load(frame, to, from);
    f.set(total);
  } else {
    f.i32(0).set(edges).get(from);
    f.if();
    // The entry before the run
    f.get(from).i32(bytes).op(op.i32Sub).set(last);
    f.i32(0);
    pushStep(last, 0);
    f.op(op.i32Sub).set(edges);
    f.end();
  }
  f.get(from).i32(bytes).op(op.i32Add).set(end);
  const behind = f.block();
  const member = f.loop();
  f.get(end).get(extent.end).op(op.i32GeS).brIf(behind);
  load(frame, of, end);
  f.get(value).op(scalar.ne).brIf(behind);
  if (row) {
    f.get(total);
    load(frame, to, end);
    f.op(scalar.add).set(total);
  }
  f.get(end).i32(bytes).op(op.i32Add).set(end).br(member).end().end();
  if (!row) {
    f.get(end).get(extent.end).op(op.i32LtS);
    f.if();
    f.get(edges);
    pushStep(end, 0);
    f.op(op.i32Sub).set(edges);
    f.end();
    f.get(edges).op(scalar.convertI32).set(total);
  }
  f.get(total)
    .get(end)
    .get(from)
    .op(op.i32Sub)
    .i32(lanes.shift)
    .op(op.i32ShrU, scalar.convertI32, scalar.div);
  f.set(total).get(end).i32(bytes).op(op.i32Sub).set(last);
  fill(frame, to, from, total, last);
  f.get(from).get(extent.end).op(op.i32LtS).brIf(next).end();
  f.free(from, end, edges, last, value, total);
}
