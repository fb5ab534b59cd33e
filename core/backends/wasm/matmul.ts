// Matrix products: tiles of 4 rows by two vectors of columns, held in eight accumulators while the depth runs.
// Both operands are packed into panels of a tile's width, so that every layout computes alike; small products read
// their operands where they stand. Knows addresses and sizes; batches and storage are the backend's affair.
//
// Measured choices (f32, one thread): 4 × 8 is the best tile in every engine tried, wider or higher ones spill; a turn of
// the depth loop is two steps with an exit between (48 → 55 GFLOP/s in Node 20; more give no more). The exit is what makes
// it work: without it the engine moves the loads of all steps to the front, and spills (48 → 36); loading an entry of A
// into all lanes is a quarter faster than shuffling a loaded vector.

import type { FloatDType } from "../../dtype.ts";
import { type Fn, type Label, type Lanes, type Local, lanes, WasmModule } from "./assembler.ts";
import * as op from "./opcodes.ts";

/** Rows of a tile. Its columns are two vectors, and its bytes these. */
const tileRows = 4;
const tileBytes = tileRows * 32;
/** Depth of a block: a panel of B (8 KB, or 16) stays in the first cache. */
const depthBlock = 256;
/** Bytes of a line of a cache. */
const lineBytes = 64;
/** Steps of the depth in a turn of the loop. */
const stepsATurn = 2;
/** Rows of a block of A, which stays in the second cache, and columns of a block of B. */
const rowBlock = 64;
const columnBlock = 512;
/** Up to this many columns (for A) or rows (for B) packing costs more than reading in place. */
const fewColumns = 32;
const fewRows = 32;

/** Scratch memory that a product needs, in bytes: a tile, a block of B, a block of A. */
export function matmulScratch(dtype: FloatDType, m: number, k: number, n: number): number {
  const depth = Math.min(k, depthBlock);
  return (
    tileBytes + depth * (Math.min(n + 8, columnBlock) + Math.min(m + tileRows, rowBlock)) * lanes[dtype].bytes
  );
}

/**
 * Addresses and strides are in bytes. An operand's rows (or, `transposed` being 1, its columns) lie `stride` apart and
 * are contiguous. `bias`, if not 0, is the address of a row that is added to every row of the product; with `adds` (1) what
 * stands in the result is added instead. Reads up to 32 bytes past the operands.
 */
export type Matmul = (
  a: number,
  aStride: number,
  aTransposed: number,
  b: number,
  bStride: number,
  bTransposed: number,
  out: number,
  m: number,
  k: number,
  n: number,
  bias: number,
  adds: number,
  scratch: number,
) => void;

/** Compiles the product of one width. */
export function compileMatmul(dtype: FloatDType, memory: WebAssembly.Memory): Matmul {
  const v = lanes[dtype];
  const m = new WasmModule();
  const packA = emitPack(m, v, tileRows / v.count);
  const packB = emitPack(m, v, 2);
  emitProduct(m, v, { packA, packB, tile: emitTile(m, v), edge: emitEdge(m, v) });
  return m.instantiate(memory).matmul as Matmul;
}

/** Exchanges rows and columns of a square of vectors. */
export function transpose(f: Fn, rows: readonly Local[]): void {
  const lowHalves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
  const highHalves = [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31];
  const mix = (a: Local, b: Local, pattern: readonly number[]): Local => {
    const l = f.local("v128");
    f.get(a)
      .get(b)
      .shuffle(...pattern)
      .set(l);
    return l;
  };
  const [a, b, c, d] = rows as [Local, Local, Local, Local];
  if (rows.length === 2) {
    const first = mix(a, b, lowHalves);
    f.get(a)
      .get(b)
      .shuffle(...highHalves)
      .set(b)
      .get(first)
      .set(a)
      .free(first);
    return;
  }
  const low = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23];
  const high = [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31];
  const parts = [mix(a, b, low), mix(c, d, low), mix(a, b, high), mix(c, d, high)] as const;
  f.get(parts[0])
    .get(parts[1])
    .shuffle(...lowHalves)
    .set(a);
  f.get(parts[0])
    .get(parts[1])
    .shuffle(...highHalves)
    .set(b);
  f.get(parts[2])
    .get(parts[3])
    .shuffle(...lowHalves)
    .set(c);
  f.get(parts[2])
    .get(parts[3])
    .shuffle(...highHalves)
    .set(d)
    .free(...parts);
}

/**
 * (source, stride, along, count, depth, to) → end: packs `count` rows (or columns) into panels of `vectors` vectors,
 * depth after depth; `along` says that a panel's lanes are neighbours in the source. Lanes past `count` hold anything.
 */
function emitPack(m: WasmModule, v: Lanes, vectors: number): number {
  const width = vectors * v.count;
  const params = ["i32", "i32", "i32", "i32", "i32", "i32"] as const;
  return m.function("", params, ["i32"], (f, [source, stride, along, count, depth, to]) => {
    const left = f.local("i32");
    const panel = f.loop();
    f.get(depth).set(left);
    f.get(along).if();
    {
      const at = f.local("i32");
      f.get(source).set(at);
      const step = f.loop();
      for (let i = 0; i < vectors; i++)
        f.get(to)
          .get(at)
          .load(op.v128Load, 16 * i)
          .store(op.v128Store, 16 * i);
      f.advance(to, 16 * vectors);
      f.advanceBy(at, stride);
      f.get(left).i32(1).op(op.i32Sub).tee(left).brIf(step).end();
      f.advance(source, 16 * vectors);
    }
    f.else();
    {
      // Rows past the last are read as the last: what they give is never stored.
      const rows = [f.local("i32")];
      f.get(source).set(rows[0]!);
      for (let i = 1; i < width; i++) {
        rows.push(f.local("i32"));
        f.get(rows[i - 1]!)
          .get(stride)
          .i32(0)
          .get(count)
          .i32(i)
          .op(op.i32GtS, op.select, op.i32Add)
          .set(rows[i]!);
      }
      // Of the next panel every line is touched now: it arrives while this one is packed, all lines at once instead of a few.
      const [ahead, end, touched] = [f.local("i32"), f.local("i32"), f.local("i32")];
      f.get(count)
        .i32(2 * width)
        .op(op.i32GeS)
        .if();
      f.get(stride).i32(width).op(op.i32Mul).tee(ahead);
      f.get(depth).i32(v.shift).op(op.i32Shl, op.i32Add).set(end);
      const line = f.loop();
      for (const row of rows)
        f.get(touched).get(row).get(ahead).op(op.i32Add).load(op.i32Load).op(op.i32Xor).set(touched);
      f.advance(ahead, lineBytes);
      f.get(ahead).get(end).op(op.i32LtU).brIf(line).end();
      f.get(to).get(touched).store(op.i32Store).end();
      const block = Array.from({ length: v.count }, () => f.local("v128"));
      const squares = f.block();
      f.get(left).i32(v.count).op(op.i32LtU).brIf(squares);
      const square = f.loop();
      for (let first = 0; first < width; first += v.count) {
        for (const [i, l] of block.entries())
          f.get(rows[first + i]!)
            .load(op.v128Load)
            .set(l);
        transpose(f, block);
        for (const [i, l] of block.entries()) {
          f.get(to)
            .get(l)
            .store(op.v128Store, (i * width + first) * v.bytes);
        }
      }
      for (const row of rows) f.advance(row, 16);
      f.advance(to, 16 * width);
      f.get(left).i32(v.count).op(op.i32Sub).tee(left).i32(v.count).op(op.i32GeU).brIf(square).end().end();
      const singles = f.block();
      f.get(left).op(op.i32Eqz).brIf(singles);
      const single = f.loop();
      for (const [i, row] of rows.entries()) {
        f.get(to)
          .get(row)
          .load(v.scalar.load)
          .store(v.scalar.store, i * v.bytes);
        f.advance(row, v.bytes);
      }
      f.advance(to, width * v.bytes);
      f.get(left).i32(1).op(op.i32Sub).tee(left).brIf(single).end().end();
      f.get(source).get(stride).i32(width).op(op.i32Mul, op.i32Add).set(source);
    }
    f.end();
    f.get(count).i32(width).op(op.i32Sub).tee(count).i32(0).op(op.i32GtS).brIf(panel).end();
    f.get(to);
  });
}

/**
 * (a, aStep, aRow, b, bStep, depth, out, outRow, addend, addendRow, valid): a tile of the product, plus the tile at `addend`
 * unless that is 0. A bias is an addend whose rows lie 0 apart; what earlier blocks of the depth gave is one too.
 * Entries of A lie aStep apart along the depth and aRow apart from row to row; one of the two is the width of an entry.
 * Rows from `valid` on are read as the last one before: they may lie outside the memory.
 */
function emitTile(m: WasmModule, v: Lanes): number {
  const params = ["i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32"] as const;
  return m.function("", params, [], (f, parameters) => {
    const [a, aStep, aRow, b, bStep, depth, out, outRow, addend, addendRow, valid] = parameters;
    const sums = Array.from({ length: 2 * tileRows }, () => f.local("v128"));
    const columns = [f.local("v128"), f.local("v128")];
    const entry = f.local("v128");
    /** Entries of A come from one pointer at constant offsets, or from a pointer a row. */
    const run = (rows: readonly Local[]): void => {
      const done = f.block();
      const loop = f.loop();
      for (let left = stepsATurn; left > 0; left--) {
        for (const [i, c] of columns.entries())
          f.get(b)
            .load(op.v128Load, 16 * i)
            .set(c);
        for (let r = 0; r < tileRows; r++) {
          f.get(rows[r] ?? a)
            .load(v.loadSplat, rows.length ? 0 : r * v.bytes)
            .set(entry);
          for (const [i, c] of columns.entries()) {
            f.get(entry)
              .get(c)
              .op(v.mul)
              .get(sums[2 * r + i]!)
              .op(v.add)
              .set(sums[2 * r + i]!);
          }
        }
        if (rows.length) for (const row of rows) f.advance(row, v.bytes);
        else f.advanceBy(a, aStep);
        f.advanceBy(b, bStep);
        f.get(depth).i32(1).op(op.i32Sub).tee(depth);
        if (left > 1) f.op(op.i32Eqz).brIf(done);
        else f.brIf(loop);
      }
      f.end().end();
    };
    const zero = f.constant(v.type, 0);
    for (const s of sums) f.get(zero).set(s);
    f.get(aRow).i32(v.bytes).op(op.i32Eq).if();
    run([]);
    f.else();
    const rows = [a];
    for (let r = 1; r < tileRows; r++) {
      rows.push(f.local("i32"));
      f.get(rows[r - 1]!)
        .get(aRow)
        .i32(0)
        .get(valid)
        .i32(r)
        .op(op.i32GtU, op.select, op.i32Add)
        .set(rows[r]!);
    }
    run(rows);
    f.end();
    f.get(addend).if();
    for (const [i, s] of sums.entries()) {
      f.get(addend)
        .load(op.v128Load, 16 * (i % 2))
        .get(s)
        .op(v.add)
        .set(s);
      if (i % 2) f.advanceBy(addend, addendRow);
    }
    f.end();
    for (const [i, s] of sums.entries()) {
      f.get(out)
        .get(s)
        .store(op.v128Store, 16 * (i % 2));
      if (i % 2) f.advanceBy(out, outRow);
    }
  });
}

/** (tile, out, outRow, rows, columns, addend, addendRow): the corner of a tile that lies within the result, plus an addend. */
function emitEdge(m: WasmModule, v: Lanes): number {
  const params = ["i32", "i32", "i32", "i32", "i32", "i32", "i32"] as const;
  return m.function("", params, [], (f, [tile, out, outRow, rows, columns, addend, addendRow]) => {
    const [to, from, plus] = [f.local("i32"), f.local("i32"), f.local("i32")];
    const [left, value] = [f.local("i32"), f.local(v.type)];
    const row = f.loop();
    f.get(out).set(to).get(tile).set(from).get(addend).set(plus).get(columns).set(left);
    const column = f.loop();
    f.get(from).load(v.scalar.load).set(value);
    f.get(addend).if();
    f.get(value).get(plus).load(v.scalar.load).op(v.scalar.add).set(value).end();
    f.get(to).get(value).store(v.scalar.store);
    for (const pointer of [to, from, plus]) f.advance(pointer, v.bytes);
    f.get(left).i32(1).op(op.i32Sub).tee(left).brIf(column).end();
    f.advance(tile, 32);
    f.advanceBy(out, outRow);
    f.advanceBy(addend, addendRow);
    f.get(rows).i32(1).op(op.i32Sub).tee(rows).brIf(row).end();
  });
}

/** The loops over blocks, and over the tiles of a block. */
function emitProduct(
  m: WasmModule,
  v: Lanes,
  call: Readonly<Record<"packA" | "packB" | "tile" | "edge", number>>,
): void {
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
  ] as const;
  m.function(
    "matmul",
    params,
    [],
    (f, [a, aStride, aT, b, bStride, bT, out, rows, depth, columns, bias, adds, scratch]) => {
      const i32 = (): Local => f.local("i32");
      const left = i32();
      /** Pushes the smaller of `most` and what is left of `total` from `first` on. */
      const extent = (total: Local, first: Local, most: number): Fn =>
        f
          .get(total)
          .get(first)
          .op(op.i32Sub)
          .tee(left)
          .i32(most)
          .get(left)
          .i32(most)
          .op(op.i32LtU, op.select);
      /** Pushes base + i·stepI + j·stepJ. */
      const place = (base: Local, i: Local, stepI: Local, j: Local, stepJ: Local): Fn =>
        f.get(base).get(i).get(stepI).op(op.i32Mul, op.i32Add).get(j).get(stepJ).op(op.i32Mul, op.i32Add);
      /** Steps a counter and starts the loop's next turn while it is below the end. */
      const next = (counter: Local, step: number, end: Local, loop: Label): void => {
        f.get(counter).i32(step).op(op.i32Add).tee(counter).get(end).op(op.i32LtU).brIf(loop).end();
      };

      // Bytes from an entry to the next, along each direction.
      const entry = i32();
      const [aRow, aDepth, bDepth, bColumn, outRow] = [i32(), i32(), i32(), i32(), i32()];
      f.i32(v.bytes).set(entry);
      f.get(entry).get(aStride).get(aT).op(op.select).set(aRow);
      f.get(aStride).get(entry).get(aT).op(op.select).set(aDepth);
      f.get(entry).get(bStride).get(bT).op(op.select).set(bDepth);
      f.get(bStride).get(entry).get(bT).op(op.select).set(bColumn);
      f.get(columns).i32(v.shift).op(op.i32Shl).set(outRow);
      // A is read in place where few tiles share a panel; B too, if its panels are contiguous as they stand.
      const [aPacked, bPacked] = [i32(), i32()];
      f.get(columns).i32(fewColumns).op(op.i32GtU).set(aPacked);
      f.get(bT).get(rows).i32(fewRows).op(op.i32GtU, op.i32Or).set(bPacked);
      // Scratch memory: a tile, the block of B, the block of A.
      const [bScratch, aScratch] = [i32(), i32()];
      f.get(scratch).i32(tileBytes).op(op.i32Add).set(bScratch);

      const [j0, k0, i0, columnsNow, depthNow, rowsNow] = [i32(), i32(), i32(), i32(), i32(), i32()];
      const [aBlock, aStep, aTileRow, aPanel] = [i32(), i32(), i32(), i32()];
      const [bBlock, bStep, bPanel] = [i32(), i32(), i32()];
      const [i, j, aTile, bTile, outTile, inside] = [i32(), i32(), i32(), i32(), i32(), i32()];
      // What is added to a tile: the bias in the first block of the depth, what stands in the result in the others (or, if it
      // is wanted, in all).
      const [more, biasTile, addend, addendRow] = [i32(), i32(), i32(), i32()];

      const overColumns = f.loop();
      extent(columns, j0, columnBlock).set(columnsNow);
      f.i32(0).set(k0);

      const overDepth = f.loop();
      extent(depth, k0, depthBlock).set(depthNow);
      f.get(k0).i32(0).op(op.i32Ne).get(adds).op(op.i32Or).set(more);
      f.get(outRow).i32(0).get(more).op(op.select).set(addendRow);
      place(b, j0, bColumn, k0, bDepth).set(bBlock);
      f.get(bDepth).set(bStep).i32(32).set(bPanel).get(bScratch).set(aScratch);
      f.get(bPacked).if();
      f.get(bBlock)
        .get(bStride)
        .get(bT)
        .op(op.i32Eqz)
        .get(columnsNow)
        .get(depthNow)
        .get(bScratch)
        .call(call.packB);
      f.set(aScratch).get(bScratch).set(bBlock).i32(32).tee(bStep).get(depthNow).op(op.i32Mul).set(bPanel);
      f.end();
      f.i32(0).set(i0);

      const overRows = f.loop();
      extent(rows, i0, rowBlock).set(rowsNow);
      place(a, i0, aRow, k0, aDepth).set(aBlock);
      f.get(aDepth).set(aStep).get(aRow).tee(aTileRow).i32(tileRows).op(op.i32Mul).set(aPanel);
      f.get(aPacked).if();
      f.get(aBlock)
        .get(aStride)
        .get(aT)
        .get(rowsNow)
        .get(depthNow)
        .get(aScratch)
        .call(call.packA)
        .op(op.drop);
      f.get(aScratch).set(aBlock).get(entry).set(aTileRow);
      f.i32(tileRows * v.bytes)
        .tee(aStep)
        .get(depthNow)
        .op(op.i32Mul)
        .set(aPanel);
      f.end();
      f.i32(0).set(j).get(bBlock).set(bTile);

      const overPanels = f.loop();
      place(out, i0, outRow, j0, entry).get(j).get(entry).op(op.i32Mul, op.i32Add).set(outTile);
      f.i32(0).set(i).get(aBlock).set(aTile);
      f.get(bias)
        .get(j0)
        .get(j)
        .op(op.i32Add)
        .get(entry)
        .op(op.i32Mul, op.i32Add)
        .i32(0)
        .get(bias)
        .op(op.select);
      f.set(biasTile);

      const overTiles = f.loop();
      f.get(rowsNow).get(i).op(op.i32Sub).i32(tileRows).op(op.i32GeU);
      f.get(columnsNow)
        .get(j)
        .op(op.i32Sub)
        .i32(2 * v.count)
        .op(op.i32GeU, op.i32And)
        .set(inside);
      f.get(aTile).get(aStep).get(aTileRow).get(bTile).get(bStep).get(depthNow);
      f.get(outTile).get(scratch).get(inside).op(op.select).get(outRow).i32(32).get(inside).op(op.select);
      f.get(outTile).get(biasTile).get(more).op(op.select).tee(addend);
      f.i32(0).get(inside).op(op.select).get(addendRow);
      extent(rowsNow, i, tileRows).call(call.tile);
      f.get(inside).op(op.i32Eqz).if();
      f.get(scratch).get(outTile).get(outRow);
      extent(rowsNow, i, tileRows);
      extent(columnsNow, j, 2 * v.count)
        .get(addend)
        .get(addendRow)
        .call(call.edge);
      f.end();
      f.advanceBy(aTile, aPanel);
      f.get(outTile).get(outRow).i32(tileRows).op(op.i32Mul, op.i32Add).set(outTile);
      next(i, tileRows, rowsNow, overTiles);

      f.advanceBy(bTile, bPanel);
      next(j, 2 * v.count, columnsNow, overPanels);
      next(i0, rowBlock, rows, overRows);
      next(k0, depthBlock, depth, overDepth);
      next(j0, columnBlock, columns, overColumns);
    },
  );
}
