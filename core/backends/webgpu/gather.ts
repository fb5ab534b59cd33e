// Gathering by index, and its transpose. Sums of the transpose run in the order of the index, one invocation an entry, so they
// are the same every time without atomics on floats.

import type { DType } from "../../dtype.ts";
import { copyInto } from "./copy.ts";
import type { Block, Queue } from "./queue.ts";
import { exactSums, run, type Shader } from "./shader.ts";
import { argsort } from "./sort.ts";

type IndexedSizes = [outer: number, size: number, inner: number, count: number, perOuter: boolean];

/** Elements travel as words. A position outside the axis, which only a device's own result can be, gives `missing`. */
export const gathering: Shader = {
  label: "gather",
  reads: ["x: u32", "index: u32"],
  writes: ["out: u32"],
  words: ["size", "inner", "count", "perOuter", "missing"],
  main: `
let rest = i / inner;
let position = index[select(rest % count, i, perOuter == 1)];
var v = missing;
if (position < size) { v = x[(rest / count * size + position) * inner + i % inner]; }
out[i] = v;
`,
};

export function gather(
  gpu: Queue,
  dtype: DType,
  x: Block,
  index: Block,
  out: Block,
  ...[outer, size, inner, count, perOuter]: IndexedSizes
): void {
  const total = outer * count * inner;
  const missing = dtype === "f32" ? 0x7fc00000 : 0;
  run(gpu, gathering, [x, index, out], total, [size, inner, count, Number(perOuter), missing]);
}

const putting: Shader = {
  label: "putRows",
  reads: ["x: u32", "index: u32"],
  writes: ["out: u32"],
  words: ["size", "inner"],
  main: `
let position = index[i / inner];
if (position < size) { out[position * inner + i % inner] = x[i]; }
`,
};

/** Writes rows in place; other rows stay. */
export function putRows(
  gpu: Queue,
  _: DType,
  x: Block,
  index: Block,
  out: Block,
  size: number,
  inner: number,
  count: number,
): void {
  run(gpu, putting, [x, index, out], count * inner, [size, inner]);
}

/** Where the run of each position begins in a sorted list; the place behind the last comes last. */
const bounds: Shader = {
  label: "scatterAdd bounds",
  reads: ["index: i32", "order: u32"],
  writes: ["begins: u32"],
  words: ["size", "count"],
  main: `
let list = i / (size + 1) * count;
let position = i32(i % (size + 1));
var low = 0u;
var high = count;
while (low < high) {
  let middle = (low + high) / 2;
  if (index[list + order[list + middle]] < position) { low = middle + 1; } else { high = middle; }
}
begins[i] = low;
`,
};

const runs: Shader = {
  label: "scatterAdd",
  reads: ["x: f32", "order: u32", "begins: u32"],
  writes: ["out: f32"],
  words: ["size", "inner", "count", "perOuter"],
  globals: exactSums,
  main: `
let slab = i / inner / size;
let r = i % inner;
let list = select(0, slab * inner + r, perOuter == 1);
let begin = list * (size + 1) + i / inner % size;
var sum = vec2f();
for (var k = begins[begin]; k < begins[begin + 1]; k++) {
  sum = plus(sum, vec2f(x[(slab * count + order[list * count + k]) * inner + r], 0.0));
}
out[i] = rounded(sum);
`,
};

/**
 * Zeros, with x added at the positions of the index. Each list of positions is sorted, stably; then an entry sums its own run.
 * Cost: the sorts, log₂(count) reads for each position of a list, and one read of x. A position that is named very often is
 * one invocation's work.
 */
export function scatterAdd(
  gpu: Queue,
  _: DType,
  x: Block,
  index: Block,
  out: Block,
  ...[outer, size, inner, count, perOuter]: IndexedSizes
): void {
  const lists = perOuter ? outer * inner : 1;
  const apart = perOuter && inner > 1;
  // Lists that lie interleaved are laid end to end.
  const positions = apart ? gpu.temporary(lists * count) : index;
  if (apart) copyInto(gpu, index, "i32", [outer, count, inner], positions, 0, [count * inner, 1, count]);
  const order = gpu.temporary(lists * count);
  argsort(gpu, "i32", positions, order, lists, count, false);
  const begins = gpu.temporary(lists * (size + 1));
  run(gpu, bounds, [positions, order, begins], lists * (size + 1), [size, count]);
  run(gpu, runs, [x, order, begins, out], outer * size * inner, [size, inner, count, Number(perOuter)]);
  for (const block of apart ? [order, begins, positions] : [order, begins]) gpu.release(block);
}
