// Sums along an axis and running sums: trees in workgroup memory, and another turn over the results of workgroups where an axis
// is longer than what one of them reads. The order of additions follows from the sizes alone.

import type { DType } from "../../dtype.ts";
import type { Block, Queue } from "./queue.ts";
import { exactSums, powerOfTwo, run, type Shader, threads } from "./shader.ts";

/** Entries that an invocation sums, at most. */
const depth = 64;

/**
 * A workgroup has `lanes` invocations for each of its columns. Invocations beside one another read what lies side by
 * side: `near` columns, then lanes, then columns further on.
 */
export const summing: Shader = {
  label: "sumMiddle",
  reads: ["x: f32"],
  writes: ["out: f32"],
  words: ["columns", "size", "inner", "parts", "lanes", "near"],
  together: true,
  globals: `${exactSums}
var<workgroup> sums: array<vec2f, ${threads}>;`,
  main: `
let width = ${threads} / lanes;
let tiles = (columns + width - 1) / width;
let part = group / tiles;
let lane = t / near % lanes;
let column = group % tiles * width + t / (near * lanes) * near + t % near;
let slab = column / inner;
let r = column % inner;
let live = column < columns;
let first = part * lanes * ${depth};
var sum = vec2f();
if (live) {
  for (var k = first + lane; k < min(first + lanes * ${depth}, size); k += lanes) {
    sum = plus(sum, vec2f(x[(slab * size + k) * inner + r], 0.0));
  }
}
sums[t] = sum;
for (var half = lanes / 2; half > 0; half /= 2) {
  workgroupBarrier();
  if (lane < half) { sums[t] = plus(sums[t], sums[t + half * near]); }
}
if (live && lane == 0) { out[(slab * parts + part) * inner + r] = rounded(sums[t]); }
`,
};

/** The middle axis of contiguous [outer, size, inner] summed. */
export function sumMiddle(
  gpu: Queue,
  dtype: DType,
  x: Block,
  out: Block,
  outer: number,
  size: number,
  inner: number,
): void {
  const columns = outer * inner;
  const near = Math.min(powerOfTwo(inner), 16);
  const lanes = Math.min(powerOfTwo(size / 8), threads / near);
  const parts = Math.ceil(size / (lanes * depth));
  const result = parts > 1 ? gpu.temporary(columns * parts) : out;
  const tiles = Math.ceil((columns * lanes) / threads);
  run(gpu, summing, [x, result], tiles * parts, [columns, size, inner, parts, lanes, near]);
  if (result === out) return;
  sumMiddle(gpu, dtype, result, out, outer, parts, inner);
  gpu.release(result);
}

/** Entries that an invocation of a running sum reads. */
const steps = 16;

/**
 * Running sums of chunks of lanes × steps entries, begun with what stands in `carry` for all chunks before; or, where `totals` is
 * asked for, the sums of the chunks alone.
 */
const scan = (type: "f32" | "i32"): Shader => ({
  label: `cumsum ${type}`,
  reads: [`x: ${type}`, `carry: ${type}`],
  writes: [`out: ${type}`],
  words: ["segments", "n", "perRow", "lanes", "reverse", "totals"],
  together: true,
  globals: `var<workgroup> sums: array<${type}, ${threads}>;`,
  main: `
let segment = group * (${threads} / lanes) + t / lanes;
let lane = t % lanes;
let row = segment / perRow * n;
let first = (segment % perRow * lanes + lane) * ${steps};
let live = segment < segments;
var sum = ${type}();
for (var k = 0u; k < ${steps}; k++) {
  let j = first + k;
  if (live && j < n) { sum += x[row + select(j, n - 1 - j, reverse == 1)]; }
}
sums[t] = sum;
for (var step = 1u; step < lanes; step *= 2) {
  workgroupBarrier();
  var before = ${type}();
  if (lane >= step) { before = sums[t - step]; }
  workgroupBarrier();
  sums[t] += before;
}
workgroupBarrier();
if (!live) { return; }
if (totals == 1) {
  if (lane == lanes - 1) { out[segment] = sums[t]; }
  return;
}
sum = ${type}();
if (segment % perRow > 0) { sum = carry[segment - 1]; }
if (lane > 0) { sum += sums[t - 1]; }
for (var k = 0u; k < ${steps}; k++) {
  let j = first + k;
  if (j < n) {
    let at = row + select(j, n - 1 - j, reverse == 1);
    sum += x[at];
    out[at] = sum;
  }
}
`,
});

const scans: Readonly<Record<"f32" | "i32", Shader>> = {
  f32: /* @__PURE__ */ scan("f32"),
  i32: /* @__PURE__ */ scan("i32"),
};

/** The running sum of each row of contiguous [rows, n]. */
export function cumsum(
  gpu: Queue,
  dtype: DType,
  x: Block,
  out: Block,
  rows: number,
  n: number,
  reverse: boolean,
): void {
  const shader = scans[dtype as "f32" | "i32"];
  const lanes = Math.min(powerOfTwo(n / steps), threads);
  const perRow = Math.ceil(n / (lanes * steps));
  const groups = Math.ceil((rows * perRow * lanes) / threads);
  const words = [rows * perRow, n, perRow, lanes, Number(reverse)];
  if (perRow === 1) {
    run(gpu, shader, [x, x, out], groups, [...words, 0]);
    return;
  }
  const [totals, carry] = [gpu.temporary(rows * perRow), gpu.temporary(rows * perRow)];
  run(gpu, shader, [x, x, totals], groups, [...words, 1]);
  cumsum(gpu, dtype, totals, carry, rows, perRow, false);
  run(gpu, shader, [x, carry, out], groups, [...words, 0]);
  gpu.release(totals);
  gpu.release(carry);
}
