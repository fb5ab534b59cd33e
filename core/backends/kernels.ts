// The kernels written by hand, besides copies: for each, what the two CPU devices run. Their loops stand in the devices'
// folders; an op imports the kernels that it needs, and a bundle holds no others. Sizes are at least 1.

import { type DType, dtypes, type FloatDType } from "../dtype.ts";
import type { HandKernel, Into, MatrixOperand, RowOperand, Storage, Windows } from "./backend.ts";
import { arrayOf } from "./js/index.ts";
import * as js from "./js/kernels.ts";
import { addressOf, alike, elementsOf } from "./wasm/device.ts";
import * as wasm from "./wasm/kernels.ts";
import { compileMatmul, matmulScratch } from "./wasm/matmul.ts";
import { sortRows } from "./wasm/sort.ts";
import { compileFoldWindows, compileWindowArgmax, inBytes } from "./wasm/windows.ts";

/**
 * out[b] = a[b] · b[b] for `batchOffsets.length` products of [m, k] · [k, n]; out is contiguous [batch, m, n]. A bias is one
 * row of n values that is added to every row of every product. `into` says where in `out` the first entry goes, if not to its
 * start, and whether the product is added to what stands there; then there is no bias.
 */
export const matmul: HandKernel<
  [
    dtype: FloatDType,
    a: MatrixOperand,
    b: MatrixOperand,
    out: Storage,
    m: number,
    k: number,
    n: number,
    bias?: RowOperand | undefined,
    into?: Into,
  ]
> = {
  name: "matmul",
  js(dtype, a, b, out, m, k, n, bias, into) {
    const first = bias?.offset ?? 0;
    const row = bias && arrayOf(bias.storage, dtype).subarray(first, first + n);
    const to = arrayOf(out, dtype).subarray(into?.offset ?? 0);
    js.matmul(arrayOf(a.storage, dtype), a, arrayOf(b.storage, dtype), b, to, m, k, n, row, into?.adds);
  },
  wasm(device, dtype, a, b, out, m, k, n, bias, into) {
    const product = device.compiled(compileMatmul, dtype);
    const scratch = device.scratch(matmulScratch(dtype, m, k, n));
    const { width } = dtypes[dtype];
    const [aStart, bStart] = [addressOf(a.storage), addressOf(b.storage)];
    const outStart = addressOf(out) + (into?.offset ?? 0) * width;
    const row = bias === undefined ? 0 : addressOf(bias.storage) + bias.offset * width;
    for (let i = 0; i < a.batchOffsets.length; i++) {
      product(
        aStart + (a.offset + a.batchOffsets[i]!) * width,
        a.stride * width,
        a.transposed ? 1 : 0,
        bStart + (b.offset + b.batchOffsets[i]!) * width,
        b.stride * width,
        b.transposed ? 1 : 0,
        outStart + i * m * n * width,
        m,
        k,
        n,
        row,
        into?.adds ? 1 : 0,
        scratch,
      );
    }
  },
};

type IndexedSizes = [outer: number, size: number, inner: number, count: number, perOuter: boolean];

/**
 * out[o, i, r] = x[o, index[i], r] over outer × count × inner (x contiguous [outer, size, inner]); indices are in [0, size).
 * With `perOuter`, index is [outer, count, inner] and out[o, i, r] = x[o, index[o, i, r], r].
 */
export const gather: HandKernel<
  [dtype: DType, x: Storage, index: Storage, out: Storage, ...sizes: IndexedSizes]
> = {
  name: "gather",
  js(dtype, x, index, out, ...sizes) {
    js.gather(arrayOf(x, dtype), arrayOf(index, "i32"), arrayOf(out, dtype), ...sizes);
  },
  wasm(device, dtype, x, index, out, outer, size, inner, count, perOuter) {
    const run = device.compiled(wasm.compileGather, alike[dtype]);
    run(addressOf(x), addressOf(index), addressOf(out), outer, size, inner, count, perOuter ? 1 : 0);
  },
};

/** The transpose of `gather`: out is set to zero, then out[o, index[…], r] += x[o, i, r], in index order (deterministic). */
export const scatterAdd: HandKernel<
  [dtype: FloatDType, x: Storage, index: Storage, out: Storage, ...sizes: IndexedSizes]
> = {
  name: "scatterAdd",
  js(dtype, x, index, out, ...sizes) {
    js.scatterAdd(arrayOf(x, dtype), arrayOf(index, "i32"), arrayOf(out, dtype), ...sizes);
  },
  wasm(device, dtype, x, index, out, outer, size, inner, count, perOuter) {
    const run = device.compiled(wasm.compileScatterAdd, dtype);
    run(addressOf(x), addressOf(index), addressOf(out), outer, size, inner, count, perOuter ? 1 : 0);
  },
};

/** out[index[i], r] = x[i, r] over count × inner, in place: rows that no index names stay. Indices are distinct and below `size`. */
export const putRows: HandKernel<
  [dtype: DType, x: Storage, index: Storage, out: Storage, size: number, inner: number, count: number]
> = {
  name: "putRows",
  js(dtype, x, index, out, _, inner, count) {
    js.putRows(arrayOf(x, dtype), arrayOf(index, "i32"), arrayOf(out, dtype), count, inner);
  },
  wasm(device, dtype, x, index, out, size, inner, count) {
    const run = device.compiled(wasm.compilePutRows, alike[dtype]);
    run(addressOf(x), addressOf(index), addressOf(out), 1, size, inner, count, 0);
  },
};

/** out[o, r] = Σ over the middle axis of contiguous x [outer, size, inner], by two-level sums. */
export const sumMiddle: HandKernel<
  [dtype: FloatDType, x: Storage, out: Storage, outer: number, size: number, inner: number]
> = {
  name: "sumMiddle",
  js(dtype, x, out, outer, size, inner) {
    js.sumMiddle(arrayOf(x, dtype), arrayOf(out, dtype), outer, size, inner);
  },
  wasm(device, dtype, x, out, outer, size, inner) {
    device.compiled(wasm.compileSumMiddle, dtype)(addressOf(x), addressOf(out), outer, size, inner);
  },
};

/** Sorts each row of contiguous [rows, n], stably, NaN last; `indices` gets the permutation (i32). */
export const sort: HandKernel<
  [dtype: DType, x: Storage, values: Storage, indices: Storage, rows: number, n: number, descending: boolean]
> = {
  name: "sort",
  js(dtype, x, values, indices, rows, n, descending) {
    js.sort(arrayOf(x, dtype), arrayOf(values, dtype), arrayOf(indices, "i32"), rows, n, descending);
  },
  wasm({ heap }, dtype, x, values, indices, rows, n, descending) {
    const size = rows * n;
    const from = elementsOf(heap, dtype, addressOf(x), size);
    const to = elementsOf(heap, dtype, addressOf(values), size);
    const order = elementsOf(heap, "i32", addressOf(indices), size) as Int32Array;
    sortRows(dtype, from, to, order, rows, n, descending);
  },
};

/** Running sum of each row of contiguous [rows, n]; from the end when `reverse`. */
export const cumsum: HandKernel<
  [dtype: DType, x: Storage, out: Storage, rows: number, n: number, reverse: boolean]
> = {
  name: "cumsum",
  js(dtype, x, out, rows, n, reverse) {
    js.cumsum(arrayOf(x, dtype), arrayOf(out, dtype), rows, n, reverse);
  },
  wasm(device, dtype, x, out, rows, n, reverse) {
    device.compiled(wasm.compileCumsum, dtype)(addressOf(x), addressOf(out), rows, n, reverse ? 1 : 0);
  },
};

/**
 * The transpose of reading windows: planes of zeros, with every tap of every window added where it was read. x is contiguous
 * [planes, taps down, taps across, windows down, windows across].
 */
export const foldWindows: HandKernel<
  [dtype: FloatDType, x: Storage, out: Storage, planes: number, windows: Windows]
> = {
  name: "foldWindows",
  js(dtype, x, out, planes, windows) {
    js.foldWindows(arrayOf(x, dtype), arrayOf(out, dtype), planes, windows);
  },
  wasm(device, dtype, x, out, planes, windows) {
    const run = device.compiled(compileFoldWindows, dtype);
    run(addressOf(x), addressOf(out), planes, ...inBytes(windows, dtype));
  },
};

/** The place (i32) in its plane of the first largest entry of each window of contiguous planes; of the first NaN, if there is one. */
export const windowArgmax: HandKernel<
  [dtype: FloatDType, x: Storage, out: Storage, planes: number, windows: Windows]
> = {
  name: "windowArgmax",
  js(dtype, x, out, planes, windows) {
    js.windowArgmax(arrayOf(x, dtype), arrayOf(out, "i32"), planes, windows);
  },
  wasm(device, dtype, x, out, planes, windows) {
    const run = device.compiled(compileWindowArgmax, dtype);
    run(addressOf(x), addressOf(out), planes, ...inBytes(windows, dtype));
  },
};

/**
 * The counter-based stream of `random.ts` for a 64-bit key: i32 bits, or floats in [0, 1) (f32: the high 24 bits of word i;
 * f64: 53 bits of words 2i and 2i + 1).
 */
export const random: HandKernel<
  [dtype: "i32" | "f32" | "f64", key: readonly [number, number], out: Storage, size: number]
> = {
  name: "random",
  js(dtype, key, out, size) {
    js.random(dtype, key, arrayOf(out, dtype), size);
  },
  wasm(device, dtype, key, out, size) {
    const run = device.compiled(wasm.compileRandom, dtype);
    run(key[0], key[1], addressOf(out), size * dtypes[dtype].width, device.scratch(32));
  },
};
