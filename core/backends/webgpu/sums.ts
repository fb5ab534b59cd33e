// Sums along an axis and running sums: trees in workgroup memory, and another turn over the results of workgroups where an axis
// is longer than what one of them reads. The order of additions follows from the sizes alone.

import type { DType } from "../../dtype.ts";
import type { Block, Queue } from "./queue.ts";
import { exactSums, powerOfTwo, run, type Shader } from "./shader.ts";

/** Entries that an invocation sums, at most. */
const depth = 32;

/**
 * A workgroup has `lanes` invocations for each of 256 / lanes columns. Invocations beside one another read what lies side by
 * side: `near` columns, then lanes, then columns further on.
 */
export const summing: Shader = {
  label: "sumMiddle",
  reads: ["x: f32"],
  writes: ["out: f32"],
  words: ["columns", "size", "inner", "parts", "lanes", "near"],
  globals: `${exactSums}
var<workgroup> sums: array<vec2f, 256>;`,
  main: `
let width = 256u / lanes;
let tiles = (columns + width - 1u) / width;
let part = group / tiles;
let lane = t / near % lanes;
let column = group % tiles * width + t / (near * lanes) * near + t % near;
let slab = column / inner;
let r = column % inner;
let live = column < columns && part < parts;
let first = part * lanes * ${depth}u;
var sum = vec2f();
if (live) {
  for (var k = first + lane; k < min(first + lanes * ${depth}u, size); k += lanes) {
    sum = plus(sum, vec2f(x[(slab * size + k) * inner + r], 0.0));
  }
}
sums[t] = sum;
for (var half = lanes / 2u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (lane < half) { sums[t] = plus(sums[t], sums[t + half * near]); }
}
if (live && lane == 0u) { out[(slab * parts + part) * inner + r] = rounded(sums[t]); }
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
  const near = Math.min(powerOfTwo(inner), 32);
  const lanes = Math.min(powerOfTwo(size / 8), 256 / near);
  const parts = Math.ceil(size / (lanes * depth));
  const result = parts > 1 ? gpu.temporary(columns * parts) : out;
  const tiles = Math.ceil((columns * lanes) / 256);
  run(gpu, summing, [x, result], tiles * parts, [columns, size, inner, parts, lanes, near]);
  if (result === out) return;
  sumMiddle(gpu, dtype, result, out, outer, parts, inner);
  gpu.release(result);
}

/** Entries that an invocation of a running sum reads. */
const steps = 8;

/**
 * Running sums of chunks of lanes × steps entries, begun with what stands in `carry` for all chunks before; or, where `totals` is
 * asked for, the sums of the chunks alone.
 */
const scan = (type: "f32" | "i32"): Shader => ({
  label: `cumsum ${type}`,
  reads: [`x: ${type}`, `carry: ${type}`],
  writes: [`out: ${type}`],
  words: ["segments", "n", "perRow", "lanes", "reverse", "totals"],
  globals: `var<workgroup> sums: array<${type}, 256>;`,
  main: `
let segment = group * (256u / lanes) + t / lanes;
let lane = t % lanes;
let row = segment / perRow * n;
let first = (segment % perRow * lanes + lane) * ${steps}u;
let live = segment < segments;
var own: array<${type}, ${steps}>;
var sum = ${type}();
for (var k = 0u; k < ${steps}u; k++) {
  let j = first + k;
  if (live && j < n) { sum += x[row + select(j, n - 1u - j, reverse == 1u)]; }
  own[k] = sum;
}
sums[t] = sum;
for (var step = 1u; step < lanes; step *= 2u) {
  workgroupBarrier();
  var before = ${type}();
  if (lane >= step) { before = sums[t - step]; }
  workgroupBarrier();
  sums[t] += before;
}
workgroupBarrier();
if (!live) { return; }
if (totals == 1u) {
  if (lane == lanes - 1u) { out[segment] = sums[t]; }
  return;
}
var base = ${type}();
if (segment % perRow > 0u) { base = carry[segment - 1u]; }
if (lane > 0u) { base += sums[t - 1u]; }
for (var k = 0u; k < ${steps}u; k++) {
  let j = first + k;
  if (j < n) { out[row + select(j, n - 1u - j, reverse == 1u)] = base + own[k]; }
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
  const lanes = Math.min(powerOfTwo(n / steps), 256);
  const perRow = Math.ceil(n / (lanes * steps));
  const groups = Math.ceil((rows * perRow * lanes) / 256);
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
