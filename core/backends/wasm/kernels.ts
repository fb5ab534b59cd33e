// The hand-written kernels besides the product of matrices: copies, gathering and its transpose, sums of an axis, running
// sums, random bits. Each is a small module that the backend compiles at its first use. Knows addresses and sizes only.
// Sizes are at least 1. Strides are in bytes; other sizes in elements.

import { type DType, dtypes, type FloatDType } from "../../dtype.ts";
import { type Fn, type Label, type Lanes, type Local, lanes, WasmModule } from "./assembler.ts";
import { transpose } from "./matmul.ts";
import * as op from "./opcodes.ts";

/** Loads and stores of one element. */
const elements: Readonly<Record<DType, { readonly load: number; readonly store: number }>> = {
  f32: { load: op.f32Load, store: op.f32Store },
  f64: { load: op.f64Load, store: op.f64Store },
  i32: { load: op.i32Load, store: op.i32Store },
  bool: { load: op.i32Load8U, store: op.i32Store8 },
};

/** Counts down, and starts the loop's next turn while something is left. */
export function again(f: Fn, counter: Local, loop: Label): Fn {
  return f.get(counter).i32(1).op(op.i32Sub).tee(counter).brIf(loop).end();
}

/** Pushes base + i·step. */
function place(f: Fn, base: Local, i: Local, step: Local): Fn {
  return f.get(base).get(i).get(step).op(op.i32Mul, op.i32Add);
}

/** Copies `bytes`, a multiple of an element's; both addresses come out behind what was copied. */
function copyRun(f: Fn, from: Local, to: Local, bytes: Local, dtype: DType): void {
  const { width } = dtypes[dtype];
  // Below that, a call of the engine's copying costs more than the loop.
  f.get(bytes).i32(512).op(op.i32GeU).if();
  f.get(to).get(from).get(bytes).op(op.memoryCopy).advanceBy(from, bytes).advanceBy(to, bytes).else();
  const end = f.local("i32");
  f.get(from).get(bytes).op(op.i32Add).set(end);
  const vectors = f.block();
  const vector = f.loop();
  f.get(end).get(from).op(op.i32Sub).i32(16).op(op.i32LtU).brIf(vectors);
  f.get(to)
    .get(from)
    .load(op.v128Load)
    .store(op.v128Store)
    .advance(from, 16)
    .advance(to, 16)
    .br(vector)
    .end()
    .end();
  const singles = f.block();
  const single = f.loop();
  f.get(from).get(end).op(op.i32Eq).brIf(singles);
  f.get(to).get(from).load(elements[dtype].load).store(elements[dtype].store);
  f.advance(from, width).advance(to, width).br(single).end().end();
  f.end().free(end);
}

// ---------------------------------------------------------------------------------------------------------------
// Copies

/** Turns the value of one type on the stack into another's. */
function convert(f: Fn, from: DType, to: DType): void {
  if (from === to) return;
  if (to === "bool") {
    if (from === "i32") f.i32(0).op(op.i32Ne);
    else if (from === "f32") f.f32(0).op(op.f32Ne);
    else f.f64(0).op(op.f64Ne);
  } else if (to === "i32") {
    if (from !== "bool") f.op(from === "f32" ? op.i32TruncSatF32S : op.i32TruncSatF64S);
  } else if (to === "f32") f.op(from === "f64" ? op.f32DemoteF64 : op.f32ConvertI32S);
  else f.op(from === "f32" ? op.f64PromoteF32 : op.f64ConvertI32S);
}

/** (from, to, n0, from0, to0, n1, from1, to1, n2, …, to3): four axes, the last fastest, and their strides on either side. */
export type Copy = (
  from: number,
  to: number,
  n0: number,
  from0: number,
  to0: number,
  n1: number,
  from1: number,
  to1: number,
  n2: number,
  from2: number,
  to2: number,
  n3: number,
  from3: number,
  to3: number,
) => void;

const planeParams = ["i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32"] as const;

/** Copies strided windows, converting. Floats become integers by truncation, held within their range; NaN becomes 0. */
export function compileCopy(from: DType, to: DType, memory: WebAssembly.Memory): Copy {
  const m = new WasmModule();
  const { width } = dtypes[from];

  // Two axes, entry by entry.
  const entries = m.function(
    "",
    planeParams,
    [],
    (f, [at, out, rows, fromRow, toRow, columns, fromColumn, toColumn]) => {
      const [p, q, left] = [f.local("i32"), f.local("i32"), f.local("i32")];
      const row = f.loop();
      f.get(at).set(p).get(out).set(q).get(columns).set(left);
      const column = f.loop();
      f.get(q).get(p).load(elements[from].load);
      convert(f, from, to);
      f.store(elements[to].store).advanceBy(p, fromColumn).advanceBy(q, toColumn);
      again(f, left, column).advanceBy(at, fromRow).advanceBy(out, toRow);
      again(f, rows, row);
    },
  );

  // Rows that are contiguous on both sides.
  const runs = m.function("", planeParams, [], (f, [at, out, rows, fromRow, toRow, columns]) => {
    const [p, q, bytes] = [f.local("i32"), f.local("i32"), f.local("i32")];
    f.get(columns).i32(width).op(op.i32Mul).set(bytes);
    const row = f.loop();
    f.get(at).set(p).get(out).set(q);
    copyRun(f, p, q, bytes, from);
    f.advanceBy(at, fromRow).advanceBy(out, toRow);
    again(f, rows, row);
  });

  // Columns contiguous where they come from become rows contiguous where they go: squares of vectors, in bands as high as
  // a cache line, so that every line read is used up at once.
  const turned = m.function(
    "",
    planeParams,
    [],
    (f, [at, out, rows, fromRow, toRow, columns, fromColumn, toColumn]) => {
      const i32 = (): Local => f.local("i32");
      const count = 16 / width;
      const [wholeRows, wholeColumns, i, j, end, band, line, p, q, r] = [
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
      ];
      f.get(rows)
        .i32(-count)
        .op(op.i32And)
        .set(wholeRows)
        .get(columns)
        .i32(-count)
        .op(op.i32And)
        .set(wholeColumns);
      f.get(wholeRows).i32(0).op(op.i32Ne).get(wholeColumns).i32(0).op(op.i32Ne, op.i32And).if();
      const bands = f.loop();
      f.get(wholeRows)
        .get(end)
        .i32(64 / width)
        .op(op.i32Add)
        .tee(end)
        .get(wholeRows)
        .get(end)
        .op(op.i32LtU, op.select)
        .set(end);
      place(f, at, band, fromRow).set(line);
      f.i32(0).set(j);
      const squares = f.loop();
      f.get(line).set(p).get(band).set(i);
      f.get(out)
        .get(band)
        .get(toRow)
        .op(op.i32Mul, op.i32Add)
        .get(j)
        .i32(width)
        .op(op.i32Mul, op.i32Add)
        .set(q);
      const square = f.loop();
      const block = Array.from({ length: count }, () => f.local("v128"));
      f.get(p).set(r);
      for (const [k, l] of block.entries()) {
        f.get(r).load(op.v128Load).set(l);
        if (k + 1 < count) f.advanceBy(r, fromColumn);
      }
      transpose(f, block);
      for (const l of block) f.get(q).get(l).store(op.v128Store).advanceBy(q, toRow);
      f.advance(p, 16).get(i).i32(count).op(op.i32Add).tee(i).get(end).op(op.i32LtU).brIf(square).end();
      f.get(line).get(fromColumn).i32(count).op(op.i32Mul, op.i32Add).set(line);
      f.get(j).i32(count).op(op.i32Add).tee(j).get(wholeColumns).op(op.i32LtU).brIf(squares).end();
      f.get(end).tee(band).get(wholeRows).op(op.i32LtU).brIf(bands).end();
      f.end();
      // What fills no square: the columns behind, and the rows below.
      f.get(wholeRows).i32(0).op(op.i32Ne).get(columns).get(wholeColumns).op(op.i32Ne, op.i32And).if();
      place(f, at, wholeColumns, fromColumn);
      place(f, out, wholeColumns, toColumn).get(wholeRows).get(fromRow).get(toRow);
      f.get(columns).get(wholeColumns).op(op.i32Sub).get(fromColumn).get(toColumn).call(entries).end();
      f.get(rows).get(wholeRows).op(op.i32Ne).if();
      place(f, at, wholeRows, fromRow);
      place(f, out, wholeRows, toRow).get(rows).get(wholeRows).op(op.i32Sub).get(fromRow).get(toRow);
      f.get(columns).get(fromColumn).get(toColumn).call(entries).end();
    },
  );

  const plane = m.function("", planeParams, [], (f, params) => {
    const [, , , fromRow, , , fromColumn, toColumn] = params;
    const when = (a: Local, b: Local, call: number): void => {
      f.get(a).i32(width).op(op.i32Eq).get(b).i32(width).op(op.i32Eq, op.i32And).if();
      for (const l of params) f.get(l);
      f.call(call).op(op.return).end();
    };
    if (from === to) {
      when(fromColumn, toColumn, runs);
      if (width > 1) when(fromRow, toColumn, turned);
    }
    for (const l of params) f.get(l);
    f.call(entries);
  });

  const params = [
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
    "i32",
  ] as const;
  m.function("copy", params, [], (f, [at, out, n0, from0, to0, n1, from1, to1, ...inner]) => {
    const [p, q, left] = [f.local("i32"), f.local("i32"), f.local("i32")];
    const outer = f.loop();
    f.get(at).set(p).get(out).set(q).get(n1).set(left);
    const middle = f.loop();
    f.get(p).get(q);
    for (const l of inner) f.get(l);
    f.call(plane).advanceBy(p, from1).advanceBy(q, to1);
    again(f, left, middle).advanceBy(at, from0).advanceBy(out, to0);
    again(f, n0, outer);
  });
  return m.instantiate(memory).copy as Copy;
}

// ---------------------------------------------------------------------------------------------------------------
// Gathering, and its transpose

/** The parameters of `Backend.gather` and `Backend.scatterAdd`: addresses, sizes, and `perOuter` as 0 or 1. */
export type Indexed = (
  x: number,
  index: number,
  out: number,
  outer: number,
  size: number,
  inner: number,
  count: number,
  perOuter: number,
) => void;

const indexedParams = ["i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32"] as const;

type Eight = readonly [Local, Local, Local, Local, Local, Local, Local, Local];

interface IndexedParts {
  readonly width: number;
  /** The side that has an entry for every index. */
  readonly dense: Local;
  /** The side that is found by index. */
  readonly indexed: Local;
  /** Handles an entry. */
  entry(dense: Local, indexed: Local): void;
  /** Handles so many bytes of neighbouring entries; `dense` comes out behind them. */
  run(dense: Local, indexed: Local, bytes: Local): void;
}

/** The loops of `gather`, `scatterAdd` and `putRows`. */
function emitIndexed(f: Fn, params: Eight, { width, dense, indexed, entry, run }: IndexedParts): void {
  const [, index, , outer, size, inner, count, perOuter] = params;
  const [bytes, slab, at, left, to, r] = [
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
    f.local("i32"),
  ];
  f.get(inner).i32(width).op(op.i32Mul).tee(bytes).get(size).op(op.i32Mul).set(slab);
  f.get(index).set(at);
  const slabs = f.loop();
  f.get(count).set(left);
  f.get(perOuter).get(inner).i32(1).op(op.i32Eq, op.i32Or).if();
  {
    const indices = f.loop();
    f.i32(0).set(r);
    const entries = f.loop();
    f.get(indexed).get(at).load(op.i32Load).get(bytes).op(op.i32Mul, op.i32Add).get(r).op(op.i32Add).set(to);
    entry(dense, to);
    f.advance(dense, width).advance(at, 4);
    f.get(r).i32(width).op(op.i32Add).tee(r).get(bytes).op(op.i32LtU).brIf(entries).end();
    again(f, left, indices);
  }
  f.else();
  {
    const indices = f.loop();
    f.get(indexed).get(at).load(op.i32Load).get(bytes).op(op.i32Mul, op.i32Add).set(to);
    run(dense, to, bytes);
    f.advance(at, 4);
    again(f, left, indices);
  }
  f.end();
  // Shared indices start over.
  f.get(at).get(index).get(perOuter).op(op.select).set(at);
  f.advanceBy(indexed, slab);
  again(f, outer, slabs);
}

/** out[o, i, r] = x[o, index[…], r], for elements of this type's width. */
export function compileGather(dtype: DType, memory: WebAssembly.Memory): Indexed {
  const m = new WasmModule();
  const { load, store } = elements[dtype];
  m.function("gather", indexedParams, [], (f, params) => {
    const [x, , out] = params;
    emitIndexed(f, params, {
      width: dtypes[dtype].width,
      dense: out,
      indexed: x,
      entry: (to, from) => f.get(to).get(from).load(load).store(store),
      run: (to, from, bytes) => copyRun(f, from, to, bytes, dtype),
    });
  });
  return m.instantiate(memory).gather as Indexed;
}

/** Adds the entry at one address to that at another. */
export function addEntry(f: Fn, { scalar: { load, store, add } }: Lanes, from: Local, to: Local): Fn {
  return f.get(to).get(to).load(load).get(from).load(load).op(add).store(store);
}

/** Adds `bytes` of neighbouring entries to others; both addresses come out behind them. */
export function addRun(f: Fn, v: Lanes, from: Local, to: Local, bytes: Local): void {
  const end = f.local("i32");
  f.get(from).get(bytes).op(op.i32Add).set(end);
  const vectors = f.block();
  const vector = f.loop();
  f.get(end).get(from).op(op.i32Sub).i32(16).op(op.i32LtU).brIf(vectors);
  f.get(to).get(to).load(op.v128Load).get(from).load(op.v128Load).op(v.add).store(op.v128Store);
  f.advance(from, 16).advance(to, 16).br(vector).end().end();
  const singles = f.block();
  const single = f.loop();
  f.get(from).get(end).op(op.i32Eq).brIf(singles);
  addEntry(f, v, from, to).advance(from, v.bytes).advance(to, v.bytes).br(single).end().end().free(end);
}

/** out[o, index[…], r] += x[o, i, r] into zeros, in the order of the indices. */
export function compileScatterAdd(dtype: FloatDType, memory: WebAssembly.Memory): Indexed {
  const m = new WasmModule();
  const v = lanes[dtype];
  m.function("scatterAdd", indexedParams, [], (f, params) => {
    const [x, , out, outer, size, inner] = params;
    f.get(out)
      .i32(0)
      .get(outer)
      .get(size)
      .get(inner)
      .op(op.i32Mul, op.i32Mul)
      .i32(v.shift)
      .op(op.i32Shl, op.memoryFill);
    emitIndexed(f, params, {
      width: v.bytes,
      dense: x,
      indexed: out,
      entry: (from, to) => addEntry(f, v, from, to),
      run: (from, to, bytes) => addRun(f, v, from, to, bytes),
    });
  });
  return m.instantiate(memory).scatterAdd as Indexed;
}

/** out[o, index[…], r] = x[o, i, r]; what no index names stays. */
export function compilePutRows(dtype: DType, memory: WebAssembly.Memory): Indexed {
  const m = new WasmModule();
  const { load, store } = elements[dtype];
  m.function("putRows", indexedParams, [], (f, params) => {
    const [x, , out] = params;
    emitIndexed(f, params, {
      width: dtypes[dtype].width,
      dense: x,
      indexed: out,
      entry: (from, to) => f.get(to).get(from).load(load).store(store),
      run: (from, to, bytes) => copyRun(f, from, to, bytes, dtype),
    });
  });
  return m.instantiate(memory).putRows as Indexed;
}

// ---------------------------------------------------------------------------------------------------------------
// Sums

/** The parameters of `Backend.sumMiddle`. */
export type SumMiddle = (x: number, out: number, outer: number, size: number, inner: number) => void;

/** Vectors summed side by side, and the rows after which their sums move into f64: 2^24 f32 terms then keep 6 digits. */
const sideBySide = 8;
const flushEvery = 64;

/** Sums `count` vectors over rows a stride apart, from the address p, into vectors of f64: two for each of f32. */
function emitTotals(f: Fn, v: Lanes, p: Local, stride: Local, rows: Local, count: number): Local[] {
  const vectors = (n: number): Local[] => Array.from({ length: n }, () => f.local("v128"));
  const sums = vectors(count);
  const totals = vectors(v.type === "f32" ? 2 * count : count);
  const [left, now] = [f.local("i32"), f.local("i32")];
  const zero = f.constant(v.type, 0);
  for (const t of totals) f.get(zero).set(t);
  f.get(rows).set(left);
  const chunks = f.loop();
  for (const s of sums) f.get(zero).set(s);
  f.get(left).i32(flushEvery).get(left).i32(flushEvery).op(op.i32LtU, op.select).set(now);
  f.get(left).get(now).op(op.i32Sub).set(left);
  const steps = f.loop();
  for (const [i, s] of sums.entries())
    f.get(p)
      .load(op.v128Load, 16 * i)
      .get(s)
      .op(v.add)
      .set(s);
  f.advanceBy(p, stride);
  again(f, now, steps);
  for (const [i, t] of totals.entries()) {
    if (v.type === "f64") f.get(sums[i]!);
    else {
      const s = sums[i >> 1]!;
      f.get(s);
      if (i & 1) f.get(s).shuffle(8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
      f.op(op.f64x2PromoteLowF32x4);
    }
    f.get(t).op(op.f64x2Add).set(t);
  }
  f.get(left).brIf(chunks).end();
  f.free(...sums, left, now);
  return totals;
}

/** Pushes the vector that totals stand for. */
function pushTotals(f: Fn, totals: readonly Local[]): Fn {
  f.get(totals[0]!);
  if (totals.length === 1) return f;
  f.op(op.f32x4DemoteF64x2Zero).get(totals[1]!).op(op.f32x4DemoteF64x2Zero);
  return f.shuffle(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

/** out[o, r] = Σ over the middle axis of x [outer, size, inner]. */
export function compileSumMiddle(dtype: FloatDType, memory: WebAssembly.Memory): SumMiddle {
  const m = new WasmModule();
  const v = lanes[dtype];
  const { load, store } = v.scalar;
  const perVector = v.type === "f32" ? 2 : 1;
  const params = ["i32", "i32", "i32", "i32"] as const;

  // Contiguous rows: as many columns as fit side by side, then the columns together.
  const line = m.function("", params, [], (f, [x, out, outer, size]) => {
    const [stride, rows, end, total] = [f.local("i32"), f.local("i32"), f.local("i32"), f.local("f64")];
    f.i32(16 * sideBySide).set(stride);
    const each = f.loop();
    f.get(x).get(size).i32(v.shift).op(op.i32Shl, op.i32Add).set(end);
    f.f64(0).set(total);
    f.get(size)
      .i32(sideBySide * v.count)
      .op(op.i32DivU)
      .tee(rows)
      .if();
    const totals = emitTotals(f, v, x, stride, rows, sideBySide);
    f.get(totals[0]!);
    for (const t of totals.slice(1)) f.get(t).op(op.f64x2Add);
    const sum = f.local("v128");
    f.tee(sum).lane(op.f64x2ExtractLane, 0).get(sum).lane(op.f64x2ExtractLane, 1).op(op.f64Add).set(total);
    f.free(sum, ...totals).end();
    const singles = f.block();
    const single = f.loop();
    f.get(x).get(end).op(op.i32Eq).brIf(singles);
    f.get(total).get(x).load(load);
    convert(f, dtype, "f64");
    f.op(op.f64Add).set(total).advance(x, v.bytes).br(single).end().end();
    f.get(out).get(total);
    convert(f, "f64", dtype);
    f.store(store).advance(out, v.bytes);
    again(f, outer, each);
  });

  m.function("sumMiddle", [...params, "i32"], [], (f, [x, out, outer, size, inner]) => {
    const [stride, left, p] = [f.local("i32"), f.local("i32"), f.local("i32")];
    f.get(inner).i32(1).op(op.i32Eq).if();
    f.get(x).get(out).get(outer).get(size).call(line).op(op.return).end();
    f.get(inner).i32(v.shift).op(op.i32Shl).set(stride);
    const slabs = f.loop();
    f.get(inner).set(left);
    const wide = f.block();
    const wides = f.loop();
    f.get(left)
      .i32(sideBySide * v.count)
      .op(op.i32LtU)
      .brIf(wide);
    f.get(x).set(p);
    const many = emitTotals(f, v, p, stride, size, sideBySide);
    for (let i = 0; i < sideBySide; i++) {
      f.get(out);
      pushTotals(f, many.slice(i * perVector, (i + 1) * perVector)).store(op.v128Store, 16 * i);
    }
    f.free(...many)
      .advance(x, 16 * sideBySide)
      .advance(out, 16 * sideBySide);
    f.get(left)
      .i32(sideBySide * v.count)
      .op(op.i32Sub)
      .set(left)
      .br(wides)
      .end()
      .end();
    const narrow = f.block();
    const narrows = f.loop();
    f.get(left).op(op.i32Eqz).brIf(narrow);
    f.get(x).set(p);
    const one = emitTotals(f, v, p, stride, size, 1);
    const sum = f.local("v128");
    pushTotals(f, one).set(sum);
    // The last vector reads past the row; what it found there is not stored.
    for (let i = 0; i < v.count; i++) {
      f.get(out).get(sum).storeLane(v.storeLane, i);
      f.advance(x, v.bytes).advance(out, v.bytes);
      f.get(left).i32(1).op(op.i32Sub).tee(left).op(op.i32Eqz).brIf(narrow);
    }
    f.free(sum, ...one)
      .br(narrows)
      .end()
      .end();
    // x stands at the slab's second row.
    f.get(x).get(stride).get(size).i32(1).op(op.i32Sub, op.i32Mul, op.i32Add).set(x);
    again(f, outer, slabs);
  });
  return m.instantiate(memory).sumMiddle as SumMiddle;
}

/** (x, out, rows, n, reverse). */
export type Cumsum = (x: number, out: number, rows: number, n: number, reverse: number) => void;

/** Running sums of rows, from the end when `reverse` is 1; of floats in f64. */
export function compileCumsum(dtype: DType, memory: WebAssembly.Memory): Cumsum {
  const m = new WasmModule();
  const { width } = dtypes[dtype];
  const whole = dtype === "i32" || dtype === "bool";
  m.function("cumsum", ["i32", "i32", "i32", "i32", "i32"], [], (f, [x, out, rows, n, reverse]) => {
    const [step, bytes, first, at, left] = [
      f.local("i32"),
      f.local("i32"),
      f.local("i32"),
      f.local("i32"),
      f.local("i32"),
    ];
    const sum = f.local(whole ? "i32" : "f64");
    f.get(n).i32(width).op(op.i32Mul).set(bytes);
    f.i32(-width).i32(width).get(reverse).op(op.select).set(step);
    f.get(bytes).i32(width).op(op.i32Sub).i32(0).get(reverse).op(op.select).set(first);
    const row = f.loop();
    f.get(first).set(at).get(n).set(left);
    if (whole) f.i32(0).set(sum);
    else f.f64(0).set(sum);
    const entry = f.loop();
    f.get(out).get(at).op(op.i32Add).get(sum);
    f.get(x).get(at).op(op.i32Add).load(elements[dtype].load);
    if (!whole) convert(f, dtype, "f64");
    f.op(whole ? op.i32Add : op.f64Add).tee(sum);
    if (!whole) convert(f, "f64", dtype);
    f.store(elements[dtype].store).advanceBy(at, step);
    again(f, left, entry).advanceBy(x, bytes).advanceBy(out, bytes);
    again(f, rows, row);
  });
  return m.instantiate(memory).cumsum as Cumsum;
}

// ---------------------------------------------------------------------------------------------------------------
// Random bits

/** (key0, key1, out, bytes, rest): `rest` is memory for 32 bytes. */
export type Random = (key0: number, key1: number, out: number, bytes: number, rest: number) => void;

/** Rotations of the eight rounds after which the cipher repeats. */
const rotations = [13, 15, 26, 6, 17, 29, 16, 24];

/**
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): block b encrypts the
 * counter (b, 0) and gives words 2b and 2b + 1; four blocks at once make 32 bytes of any of the types.
 */
export function compileRandom(dtype: "i32" | "f32" | "f64", memory: WebAssembly.Memory): Random {
  const m = new WasmModule();
  m.function("random", ["i32", "i32", "i32", "i32", "i32"], [], (f, [key0, key1, out, bytes, rest]) => {
    const v128 = (): Local => f.local("v128");
    const [x, y, counter, to] = [v128(), v128(), v128(), f.local("i32")];
    const keys = [v128(), v128(), v128()] as const;
    f.get(key0).op(op.i32x4Splat).set(keys[0]).get(key1).op(op.i32x4Splat).set(keys[1]);
    f.get(key0).get(key1).i32(0x1bd11bda).op(op.i32Xor, op.i32Xor, op.i32x4Splat).set(keys[2]);
    f.get(f.constant("i32", 0, 1, 2, 3)).set(counter);
    const blocks = f.loop();
    f.get(counter).get(keys[0]).op(op.i32x4Add).set(x).get(keys[1]).set(y);
    for (let round = 0; round < 20; round++) {
      const turn = rotations[round % 8]!;
      f.get(x).get(y).op(op.i32x4Add).set(x);
      f.get(y)
        .i32(turn)
        .op(op.i32x4Shl)
        .get(y)
        .i32(32 - turn)
        .op(op.i32x4ShrU, op.v128Or)
        .get(x)
        .op(op.v128Xor)
        .set(y);
      if (round % 4 === 3) {
        const injection = (round + 1) / 4;
        f.get(x)
          .get(keys[injection % 3]!)
          .op(op.i32x4Add)
          .set(x);
        f.get(y)
          .get(keys[(injection + 1) % 3]!)
          .get(f.constant("i32", injection))
          .op(op.i32x4Add, op.i32x4Add)
          .set(y);
      }
    }
    f.get(counter).get(f.constant("i32", 4)).op(op.i32x4Add).set(counter);
    // The last vectors may reach beyond the end: they go elsewhere first.
    f.get(out).get(rest).get(bytes).i32(32).op(op.i32GeU, op.select).set(to);
    for (const half of [0, 1]) {
      const upper = 8 * half;
      f.get(to);
      if (dtype === "f64") {
        // The first word's 32 bits and the second's upper 21.
        const words = (from: Local): Fn => {
          f.get(from);
          if (half) f.get(from).shuffle(8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
          return f;
        };
        words(x)
          .op(op.f64x2ConvertLowI32x4U)
          .get(f.constant("f64", 2 ** 21))
          .op(op.f64x2Mul);
        words(y)
          .i32(11)
          .op(op.i32x4ShrU, op.f64x2ConvertLowI32x4U, op.f64x2Add)
          .get(f.constant("f64", 2 ** -53))
          .op(op.f64x2Mul);
      } else {
        const pairs = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23].map((i) => i + upper);
        f.get(x)
          .get(y)
          .shuffle(...pairs);
        if (dtype === "f32")
          f.i32(8)
            .op(op.i32x4ShrU, op.f32x4ConvertI32x4S)
            .get(f.constant("f32", 2 ** -24))
            .op(op.f32x4Mul);
      }
      f.store(op.v128Store, 16 * half);
    }
    f.get(bytes).i32(32).op(op.i32LtU).if();
    f.get(out).get(rest).get(bytes).op(op.memoryCopy, op.return).end();
    f.advance(out, 32);
    f.get(bytes).i32(32).op(op.i32Sub).tee(bytes).brIf(blocks).end();
  });
  return m.instantiate(memory).random as Random;
}
