// The hand-written kernels of the plain-JavaScript device: loops over typed arrays, as simple as they can be.
// Sums are compensated, so that these can serve as the oracle. Nothing here allocates device memory.

import { type DType, isFloat, type TypedArray } from "../../dtype.ts";
import { sizeOf } from "../../shape.ts";
import { randomWords, unitDouble, unitFloat } from "../../threefry.ts";
import type { MatrixOperand, View, Windows } from "../backend.ts";

/** out[b] = a[b] · b[b], plus a bias in every row, or added to what `out` holds; sums in doubles, from the first to the last. */
export function matmul(
  x: TypedArray,
  a: MatrixOperand,
  y: TypedArray,
  b: MatrixOperand,
  out: TypedArray,
  m: number,
  k: number,
  n: number,
  bias?: TypedArray,
  adds = false,
): void {
  const [aRow, aColumn] = a.transposed ? [1, a.stride] : [a.stride, 1];
  const [bRow, bColumn] = b.transposed ? [1, b.stride] : [b.stride, 1];
  const row = new Float64Array(n);
  a.batchOffsets.forEach((aOffset, batch) => {
    const aStart = a.offset + aOffset;
    const bStart = b.offset + b.batchOffsets[batch]!;
    for (let i = 0; i < m; i++) {
      const at = (batch * m + i) * n;
      if (adds) row.set(out.subarray(at, at + n));
      else row.fill(0);
      for (let l = 0; l < k; l++) {
        const factor = x[aStart + i * aRow + l * aColumn]!;
        const from = bStart + l * bRow;
        for (let j = 0; j < n; j++) row[j]! += factor * y[from + j * bColumn]!;
      }
      if (bias) for (let j = 0; j < n; j++) row[j]! += bias[j]!;
      out.set(row, at);
    }
  });
}

/** Visits the rows of a strided window: where each begins, and the number of its first entry in row-major order. */
function eachRow(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  visit: (at: number, first: number) => void,
): void {
  const last = shape.length - 1;
  const n = shape[last] ?? 1;
  const index = new Array<number>(Math.max(last, 0)).fill(0);
  let at = offset;
  for (let first = 0, size = sizeOf(shape); first < size; first += n) {
    visit(at, first);
    for (let axis = last - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}

/** Copies a strided window into contiguous memory. Floats become integers by truncation within their range, bools by being other than 0. */
export function copy(
  from: TypedArray,
  { shape, strides, offset, dtype: source }: Omit<View, "storage">,
  to: TypedArray,
  dtype: DType,
): void {
  const n = shape.at(-1) ?? 1;
  const step = strides.at(-1) ?? 1;
  const convert = dtype === "bool" ? isTrue : dtype === "i32" && isFloat(source) ? truncate : same;
  eachRow(shape, strides, offset, (at, first) => {
    for (let j = 0; j < n; j++) to[first + j] = convert(from[at + j * step]!);
  });
}

const same = (v: number): number => v;
const isTrue = (v: number): number => (v === 0 ? 0 : 1);
const truncate = (v: number): number => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(v)));

export function copyInto(
  from: TypedArray,
  shape: readonly number[],
  to: TypedArray,
  offset: number,
  strides: readonly number[],
): void {
  const n = shape.at(-1) ?? 1;
  const step = strides.at(-1) ?? 1;
  eachRow(shape, strides, offset, (at, first) => {
    for (let j = 0; j < n; j++) to[at + j * step] = from[first + j]!;
  });
}

export function gather(
  x: TypedArray,
  index: TypedArray,
  out: TypedArray,
  outer: number,
  size: number,
  inner: number,
  count: number,
  perOuter: boolean,
): void {
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      for (let r = 0; r < inner; r++) {
        const at = (o * count + i) * inner + r;
        out[at] = x[(o * size + index[perOuter ? at : i]!) * inner + r]!;
      }
    }
  }
}

export function putRows(
  x: TypedArray,
  index: TypedArray,
  out: TypedArray,
  count: number,
  inner: number,
): void {
  for (let i = 0; i < count; i++)
    for (let r = 0; r < inner; r++) out[index[i]! * inner + r] = x[i * inner + r]!;
}

export function scatterAdd(
  x: TypedArray,
  index: TypedArray,
  out: TypedArray,
  outer: number,
  size: number,
  inner: number,
  count: number,
  perOuter: boolean,
): void {
  const sums = new Float64Array(outer * size * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < count; i++) {
      for (let r = 0; r < inner; r++) {
        const at = (o * count + i) * inner + r;
        sums[(o * size + index[perOuter ? at : i]!) * inner + r]! += x[at]!;
      }
    }
  }
  out.set(sums);
}

/** out[o, r] = Σ over the middle axis, with Neumaier's compensation. */
export function sumMiddle(x: TypedArray, out: TypedArray, outer: number, size: number, inner: number): void {
  const lost = new Float64Array(inner);
  const total = new Float64Array(inner);
  for (let o = 0; o < outer; o++) {
    lost.fill(0);
    total.fill(0);
    for (let i = 0; i < size; i++) {
      for (let r = 0; r < inner; r++) {
        const v = x[(o * size + i) * inner + r]!;
        const sum = total[r]!;
        const next = sum + v;
        lost[r]! += Math.abs(sum) >= Math.abs(v) ? sum - next + v : v - next + sum;
        total[r] = next;
      }
    }
    // The compensation of an infinite sum is NaN and means nothing.
    for (let r = 0; r < inner; r++)
      out[o * inner + r] = Number.isFinite(total[r]!) ? total[r]! + lost[r]! : total[r]!;
  }
}

/** Sorts each row stably; NaN comes last in either direction. */
export function sort(
  x: TypedArray,
  values: TypedArray,
  indices: TypedArray,
  rows: number,
  n: number,
  descending: boolean,
): void {
  const sign = descending ? -1 : 1;
  for (let start = 0; start < rows * n; start += n) {
    const before = (i: number, j: number): number => {
      const [a, b] = [x[start + i]!, x[start + j]!];
      if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
      return a < b ? -sign : a > b ? sign : 0;
    };
    const order = Array.from({ length: n }, (_, i) => i).sort(before);
    order.forEach((from, to) => {
      values[start + to] = x[start + from]!;
      indices[start + to] = from;
    });
  }
}

export function cumsum(x: TypedArray, out: TypedArray, rows: number, n: number, reverse: boolean): void {
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const at = row * n + (reverse ? n - 1 - i : i);
      sum += x[at]!;
      out[at] = sum;
    }
  }
}

/** Visits the taps of all windows of a plane, in order; `at` is the place of a tap in the plane. */
function eachTap(
  { plane, count, step, taps, apart }: Windows,
  visit: (at: number, window: number, tap: number) => void,
): void {
  for (let window = 0; window < count[0] * count[1]; window++) {
    const row = Math.floor(window / count[1]) * step[0];
    const column = (window % count[1]) * step[1];
    for (let tap = 0; tap < taps[0] * taps[1]; tap++) {
      const down = row + Math.floor(tap / taps[1]) * apart[0];
      visit(down * plane[1] + column + (tap % taps[1]) * apart[1], window, tap);
    }
  }
}

/** Planes of sums of what their windows hold: x is [planes, taps, windows]. */
export function foldWindows(x: TypedArray, out: TypedArray, planes: number, windows: Windows): void {
  const { plane, count, taps } = windows;
  const size = plane[0] * plane[1];
  const each = count[0] * count[1];
  const sums = new Float64Array(planes * size);
  for (let p = 0; p < planes; p++) {
    const from = p * taps[0] * taps[1] * each;
    eachTap(windows, (at, window, tap) => {
      sums[p * size + at]! += x[from + tap * each + window]!;
    });
  }
  out.set(sums);
}

/** The place in its plane of the first largest entry of each window, of the first NaN where there is one. */
export function windowArgmax(x: TypedArray, out: TypedArray, planes: number, windows: Windows): void {
  const { plane, count } = windows;
  const size = plane[0] * plane[1];
  for (let p = 0; p < planes; p++) {
    const first = p * count[0] * count[1];
    eachTap(windows, (at, window, tap) => {
      const [v, best] = [x[p * size + at]!, x[p * size + out[first + window]!]!];
      if (tap === 0 || v > best || (Number.isNaN(v) && !Number.isNaN(best))) out[first + window] = at;
    });
  }
}

/** The stream of a key: bits, or floats in [0, 1). */
export function random(
  dtype: "i32" | "f32" | "f64",
  key: readonly [number, number],
  out: TypedArray,
  size: number,
): void {
  const words = randomWords(key, dtype === "f64" ? 2 * size : size);
  if (dtype === "i32") out.set(words.map((w) => w | 0));
  else
    for (let i = 0; i < size; i++)
      out[i] = dtype === "f32" ? unitFloat(words[i]!) : unitDouble(words[2 * i]!, words[2 * i + 1]!);
}
