// Sorting rows: plain JavaScript over the memory's views, since it is as fast as SIMD would be. Keys are numbers whose
// unsigned order is the order wanted, sorted digit by digit, which is stable.

import { type DType, dtypes, type TypedArray } from "../../dtype.ts";

/** Below this length moving entries into place beats counting digits. */
const shortRow = 48;

/**
 * Sorts each row of `x` into `values`, stably, NaN last in either direction; `indices` gets where each value stood.
 * The arrays begin at row 0 and do not overlap.
 */
export function sortRows(
  dtype: DType,
  x: TypedArray,
  values: TypedArray,
  indices: Int32Array,
  rows: number,
  n: number,
  descending: boolean,
): void {
  const digits = dtypes[dtype].width;
  const parts = dtype === "f64" ? 2 : 1;
  // Keys of 32 bits, the lower half first.
  const keys = Array.from({ length: parts }, () => new Uint32Array(n));
  let order = new Uint32Array(n);
  let next = new Uint32Array(n);
  const counts = new Uint32Array(256);
  const bits = dtype === "bool" ? x : new Uint32Array(x.buffer, x.byteOffset, rows * n * parts);
  for (let row = 0; row < rows; row++) {
    fillKeys(dtype, bits, row * n, keys, descending);
    for (let i = 0; i < n; i++) order[i] = i;
    if (n < shortRow) insert(keys, order);
    else {
      for (let digit = 0; digit < digits; digit++) {
        if (distribute(keys[digit >> 2]!, 8 * (digit & 3), order, next, counts))
          [order, next] = [next, order];
      }
    }
    const start = row * n;
    for (let i = 0; i < n; i++) {
      const from = order[i]!;
      values[start + i] = x[start + from]!;
      indices[start + i] = from;
    }
  }
}

/** Writes keys in whose unsigned order numbers ascend (or descend), with −0 as 0 and NaN above all. */
function fillKeys(
  dtype: DType,
  bits: ArrayLike<number>,
  start: number,
  keys: readonly Uint32Array[],
  descending: boolean,
): void {
  const flip = descending ? -1 : 0;
  const [low, high] = [keys[0]!, keys.at(-1)!];
  const n = low.length;
  if (dtype === "bool" || dtype === "i32") {
    const sign = dtype === "i32" ? 1 << 31 : 0;
    for (let i = 0; i < n; i++) low[i] = bits[start + i]! ^ sign ^ (dtype === "i32" ? flip : flip & 255);
  } else if (dtype === "f32") {
    for (let i = 0; i < n; i++) {
      const b = bits[start + i]! | 0;
      const magnitude = b & 0x7fffffff;
      // Negative numbers descend with their bits: all of them turn, else the sign alone.
      if (magnitude > 0x7f800000) low[i] = -1;
      else low[i] = (magnitude === 0 ? 1 << 31 : b ^ ((b >> 31) | (1 << 31))) ^ flip;
    }
  } else {
    for (let i = 0; i < n; i++) {
      const at = 2 * (start + i);
      const [l, h] = [bits[at]! | 0, bits[at + 1]! | 0];
      const magnitude = h & 0x7fffffff;
      if (magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && l !== 0)) low[i] = high[i] = -1;
      else {
        const zero = magnitude === 0 && l === 0;
        low[i] = l ^ (zero ? 0 : h >> 31) ^ flip;
        high[i] = (zero ? 1 << 31 : h ^ ((h >> 31) | (1 << 31))) ^ flip;
      }
    }
  }
}

/** One pass of a radix sort by eight bits; false, with nothing done, where all have the same. */
function distribute(
  key: Uint32Array,
  shift: number,
  order: Uint32Array,
  next: Uint32Array,
  counts: Uint32Array,
): boolean {
  const n = order.length;
  counts.fill(0);
  for (let i = 0; i < n; i++) counts[(key[i]! >>> shift) & 255]!++;
  if (counts[(key[0]! >>> shift) & 255] === n) return false;
  for (let d = 0, total = 0; d < 256; d++) {
    const count = counts[d]!;
    counts[d] = total;
    total += count;
  }
  for (let i = 0; i < n; i++) {
    const from = order[i]!;
    next[counts[(key[from]! >>> shift) & 255]!++] = from;
  }
  return true;
}

/** Insertion sort. */
function insert(keys: readonly Uint32Array[], order: Uint32Array): void {
  const [low, high] = [keys[0]!, keys.at(-1)!];
  for (let i = 1; i < order.length; i++) {
    const entry = order[i]!;
    const [l, h] = [low[entry]!, high[entry]!];
    let j = i - 1;
    for (; j >= 0; j--) {
      const other = order[j]!;
      if (high[other]! < h || (high[other]! === h && low[other]! <= l)) break;
      order[j + 1] = other;
    }
    order[j + 1] = entry;
  }
}
