// Writes one walk over a row: the loop over vectors with its unrolled, single and masked bodies, and what folds or
// stores the entries on the way. Knows nothing of the order of passes.

import type { Expr, SeriesParts } from "../../row/expr.ts";
import type { Pass, Step } from "../../row/schedule.ts";
import type { Local } from "./assembler.ts";
import { adding, emitHot, fold, keeping, type Sink, writing } from "./emit-sinks.ts";
import { costOf, type Frame, Site, type Stream } from "./emit-values.ts";
import * as op from "./opcodes.ts";

/** Vectors per turn of the main loop: what costs much has the processor busy without that, and long code is slow to compile. */
const copiesFor = (cost: number): number => (cost <= 4 ? 8 : cost <= 120 ? 4 : 2);
/** What costs more than this has its place in the order of a turn. */
const cheap = 4;
/** Words that cost this much together are worth a branch, more than an exponential alone: it may be mispredicted. */
const worthGuarding = 20;
/** Turns of the main loop after which partial sums go to the outer ones. */
const turnsPerBlock = 16;

/** The rows that sinks read, with the number of readers, and those among them that stand in memory. */
class Needs {
  readonly uses = new Map<Expr, number>();
  readonly sources = new Map<Expr, Stream>();
  readonly divisors = new Set<Expr>();
  /**
   * Words that are computed for all vectors of a turn before the next word is, arguments first: a processor looks ahead by about
   * two such words, and those of one vector wait for each other. Those that count only where a mask holds are together.
   */
  readonly dear: { readonly mask: Expr | undefined; readonly words: Expr[] }[] = [];
  index = false;
  cost = 0;

  constructor(frame: Frame, sinks: readonly Sink[], source: (e: Expr) => Stream | "given" | undefined) {
    const visit = (e: Expr): void => {
      if (e.kind === "scalar") return;
      const before = this.uses.get(e) ?? 0;
      this.uses.set(e, before + 1);
      if (before > 0) return;
      const stream = source(e);
      if (stream) {
        if (stream !== "given") this.sources.set(e, stream);
        return;
      }
      if (e.word === "index") this.index = true;
      if (e.word === "div" && e.args[1]!.kind === "scalar" && frame.folded(e.args[1]!))
        this.divisors.add(e.args[1]!);
      this.cost += costOf(e);
      e.args.forEach(visit);
    };
    for (const sink of sinks) sink.reads.forEach(visit);

    // Where entries have been gathered the mask holds for nearly all.
    const guards = frame.extent.gathered.size === 0 ? this.guards(sinks) : undefined;
    const groups = new Map<Expr, Expr[]>();
    for (const e of [...this.uses.keys()].sort((a, b) => a.id - b.id)) {
      if (costOf(e) <= cheap || this.sources.has(e)) continue;
      const mask = guards?.get(e);
      const group = mask && groups.get(mask);
      if (group) group.push(e);
      else {
        const words = [e];
        if (mask) groups.set(mask, words);
        this.dear.push({ mask, words });
      }
    }
  }

  /** For each row the mask without which it does not count: all that read it do so through a choice by that mask. */
  private guards(sinks: readonly Sink[]): ReadonlyMap<Expr, Expr | undefined> {
    const guards = new Map<Expr, Expr | undefined>();
    const meet = (e: Expr, mask: Expr | undefined): void => {
      guards.set(e, guards.has(e) && guards.get(e) !== mask ? undefined : mask);
    };
    for (const sink of sinks) for (const e of sink.reads) meet(e, undefined);
    // What reads a node has a larger number.
    for (const e of [...this.uses.keys()].sort((a, b) => b.id - a.id)) {
      if (this.sources.has(e)) continue;
      const [mask, chosen] = e.args;
      for (const arg of e.args) {
        const guarded = e.word === "select" && arg === chosen && mask!.kind === "row";
        meet(arg, guarded ? mask : guards.get(e));
      }
    }
    return guards;
  }
}

/** Feeds sinks with the vectors of one turn of a loop. */
function turn(frame: Frame, needs: Needs, sinks: readonly Sink[], sites: readonly Site[]): void {
  for (const { mask, words } of needs.dear) {
    const cost = words.reduce((sum, e) => sum + costOf(e), 0);
    if (mask && cost >= worthGuarding) for (const site of sites) computeGuarded(frame, site, mask, words);
    else for (const e of words) for (const site of sites) site.local(e);
  }
  for (const site of sites) {
    for (const sink of sinks) sink.take(site);
    for (const sink of sinks) sink.put?.(site);
    site.close();
  }
}

/** Computes words by a branch: if the mask holds for any lane of the vector, and 0 otherwise. */
function computeGuarded(frame: Frame, site: Site, mask: Expr, words: readonly Expr[]): void {
  const { f } = frame;
  const zero = frame.constant(0);
  const holds = site.local(mask);
  const before = new Set(site.values.keys());
  const results = words.map(() => site.temporary());
  for (const result of results) f.get(zero).set(result);
  f.get(holds).op(op.v128AnyTrue).if();
  words.forEach((e, k) => {
    f.get(site.local(e)).set(results[k]!);
  });
  f.end();
  // What became known in the branch is not known behind it.
  for (const e of site.values.keys()) if (!before.has(e)) site.values.delete(e);
  words.forEach((e, k) => {
    site.values.set(e, results[k]!);
  });
}

/** Takes the reciprocals of scalars that rows are divided by. */
function takeReciprocals(frame: Frame, divisors: Iterable<Expr>): void {
  const { f, lanes } = frame;
  for (const e of divisors) {
    let r = frame.reciprocals.get(e);
    if (r !== undefined) continue;
    r = f.local("v128");
    f.get(frame.constant(1));
    frame.pushScalar(e);
    f.op(lanes.div).set(r);
    frame.reciprocals.set(e, r);
  }
}

/** Feeds sinks with vectors that are in locals already: `values` gives one row's, all lanes of which count. */
export function feed(frame: Frame, sinks: readonly Sink[], row: Expr, values: readonly Local[]): void {
  const needs = new Needs(frame, sinks, (e) => (e === row ? "given" : undefined));
  takeReciprocals(frame, needs.divisors);
  for (const sink of sinks) sink.begin?.(values.length);
  const sites = values.map((value, copy) => new Site(frame, needs.uses, { values: [[row, value]], copy }));
  turn(frame, needs, sinks, sites);
  for (const sink of sinks) {
    sink.flush?.();
    sink.finish?.();
  }
}

/** Walks over the extent of the frame once. */
export function walk(frame: Frame, step: Step, sinks: readonly Sink[]): void {
  const { f, lanes } = frame;
  const { end } = frame.extent;
  const needs = new Needs(frame, sinks, (e) => {
    // A row that is kept from an earlier step is read back; this step computes it.
    const kept = frame.plan.kept.get(e)?.from !== step ? frame.kept(e) : undefined;
    return frame.extent.gathered.get(e) ?? frame.inputs.get(e) ?? kept;
  });
  takeReciprocals(frame, needs.divisors);
  const copies = copiesFor(needs.cost);
  for (const sink of sinks) sink.begin?.(copies);

  const streams = new Map<Local, Stream>();
  for (const s of needs.sources.values()) streams.set(s.pointer, s);
  for (const { stream } of sinks) if (stream) streams.set(stream.pointer, stream);
  const offset = f.local("i32");
  const bases = new Map<Local, Local>();
  for (const pointer of streams.keys()) bases.set(pointer, f.local("i32"));
  const position = f.local("i32");
  const valid = f.local("v128");
  const left = f.local("i32");

  const body = (vectors: number, masked: boolean): void => {
    for (const [pointer, base] of bases) {
      const shift = frame.shiftOf(streams.get(pointer)!.type);
      f.get(pointer).get(offset);
      if (shift > 0) f.i32(shift).op(op.i32ShrU);
      f.op(op.i32Add).set(base);
    }
    if (needs.index || sinks.some((s) => s.position))
      f.get(offset).i32(lanes.shift).op(op.i32ShrU).set(position);
    if (masked) {
      f.get(end).get(offset).op(op.i32Sub).i32(lanes.shift).op(op.i32ShrU).tee(left);
      if (lanes.type === "f64") f.op(op.i64ExtendI32U);
      f.op(lanes.intSplat).get(frame.laneNumbers).op(lanes.intGtS).set(valid);
    }
    const sites = Array.from(
      { length: vectors },
      (_, copy) =>
        new Site(frame, needs.uses, {
          sources: needs.sources,
          bases,
          copy,
          position,
          ...(masked ? { valid, left } : {}),
        }),
    );
    turn(frame, needs, sinks, sites);
  };

  const flushes = sinks.filter((s) => s.flush);
  f.i32(0).set(offset);
  // What is left of a row after turns of several vectors needs no flushing.
  const turns = (vectors: number): void => {
    const full = f.local("i32");
    const repeat = (to: Local): void => {
      const next = f.loop();
      body(vectors, false);
      f.get(offset)
        .i32(16 * vectors)
        .op(op.i32Add)
        .tee(offset)
        .get(to)
        .op(op.i32LtU)
        .brIf(next)
        .end();
    };
    f.get(offset)
      .get(end)
      .i32(-16 * vectors)
      .op(op.i32And)
      .tee(full)
      .op(op.i32LtU)
      .if();
    if (flushes.length === 0 || vectors < copies) repeat(full);
    else {
      const stop = f.local("i32");
      const blocks = f.loop();
      f.get(full)
        .get(offset)
        .i32(16 * vectors * turnsPerBlock)
        .op(op.i32Add)
        .tee(stop);
      f.get(full).get(stop).op(op.i32LtU, op.select).set(stop);
      repeat(stop);
      for (const sink of flushes) sink.flush!();
      f.get(offset).get(full).op(op.i32LtU).brIf(blocks).end();
      f.free(stop);
    }
    f.end().free(full);
  };
  if (copies > 1) turns(copies);
  turns(1);
  f.get(offset).get(end).op(op.i32LtU);
  f.if();
  body(1, true);
  f.end();
  for (const sink of sinks) {
    sink.flush?.();
    sink.finish?.();
  }
  f.free(offset, position, valid, left, ...bases.values());
}

/** A pass of the schedule. */
export function emitPass(frame: Frame, pass: Pass): void {
  walk(frame, pass, [
    ...pass.reductions.map((e) => fold(frame, e)),
    ...keeping(frame, pass.keeps, pass.writes),
    ...writing(frame, pass),
    ...pass.terms.map((e) => adding((e.detail as SeriesParts).value, frame.kept(e)!)),
  ]);
  for (const w of pass.writes) for (const h of w.hot) emitHot(frame, w.result, h);
}
