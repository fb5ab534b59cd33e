// Sorting rows, stably: blocks of 1024 in workgroup memory by Batcher's bitonic network on pairs of key and place, then merges
// of sorted runs. What moves is the order alone; values are gathered by it at the end.

import type { DType } from "../../dtype.ts";
import type { Block, Queue } from "./queue.ts";
import { powerOfTwo, run, type Shader, threads } from "./shader.ts";

/** Entries that a workgroup sorts. */
const blockSize = 1024;
/** Neighbouring entries that an invocation of a merge writes. */
const merged = 8;

// Keys whose unsigned order is the order wanted: −0 is 0, NaN stands above all in both directions.
const key = `
fn key(v: u32, floats: u32, mask: u32) -> u32 {
  if (floats == 0) { return v ^ mask; }
  let magnitude = v & 0x7fffffff;
  if (magnitude > 0x7f800000) { return 0xffffffff; }
  return select(select(v, v ^ 0x7fffffff, v > 0x7fffffff), 0, magnitude == 0) ^ mask;
}`;

/** Sorts segments of `width` entries, a power of two; what is missing at the end of a row stands behind all. */
const blocks: Shader = {
  label: "sort",
  reads: ["x: u32"],
  writes: ["order: u32"],
  words: ["segments", "perRow", "n", "width", "floats", "mask"],
  together: true,
  globals: `${key}
var<workgroup> keys: array<u32, 1024>;
var<workgroup> places: array<u32, 1024>;`,
  main: `
for (var s = t; s < 1024; s += ${threads}) {
  let segment = group * (1024 / width) + s / width;
  let place = segment % perRow * width + s % width;
  places[s] = place;
  keys[s] = 0xffffffff;
  if (segment < segments && place < n) { keys[s] = key(x[segment / perRow * n + place], floats, mask); }
}
for (var size = 2u; size <= width; size *= 2) {
  for (var step = size / 2; step > 0; step /= 2) {
    workgroupBarrier();
    for (var c = t; c < 512; c += ${threads}) {
      let a = 2 * c - (c & (step - 1));
      let b = a + step;
      let greater = keys[a] > keys[b] || (keys[a] == keys[b] && places[a] > places[b]);
      if (greater == ((a & (width - 1) & size) == 0)) {
        let held = vec2u(keys[a], places[a]);
        keys[a] = keys[b];
        places[a] = places[b];
        keys[b] = held.x;
        places[b] = held.y;
      }
    }
  }
}
workgroupBarrier();
for (var s = t; s < 1024; s += ${threads}) {
  let segment = group * (1024 / width) + s / width;
  let place = segment % perRow * width + s % width;
  if (segment < segments && place < n) { order[segment / perRow * n + place] = places[s]; }
}
`,
};

/** Merges neighbouring runs: an invocation finds by bisection what precedes its first entry, and goes on from there. */
const merge: Shader = {
  label: "sort merge",
  reads: ["x: u32", "runs: u32"],
  writes: ["order: u32"],
  words: ["perRow", "n", "width", "floats", "mask"],
  globals: key,
  main: `
let row = i / perRow * n;
let first = i % perRow * ${merged};
let base = first / (2 * width) * (2 * width);
let middle = min(base + width, n);
let end = min(middle + width, n);
let ahead = first - base;
var low = max(ahead, end - middle) - (end - middle);
var high = min(ahead, middle - base);
while (low < high) {
  let a = (low + high) / 2;
  let before = key(x[row + runs[row + base + a]], floats, mask);
  let behind = key(x[row + runs[row + middle + ahead - 1 - a]], floats, mask);
  if (before <= behind) { low = a + 1; } else { high = a; }
}
var a = base + low;
var b = middle + ahead - low;
for (var to = first; to < min(first + ${merged}, end); to++) {
  var fromFirst = b >= end;
  if (a < middle && b < end) {
    fromFirst = key(x[row + runs[row + a]], floats, mask) <= key(x[row + runs[row + b]], floats, mask);
  }
  order[row + to] = runs[row + select(b, a, fromFirst)];
  a += u32(fromFirst);
  b += u32(!fromFirst);
}
`,
};

/** The order that sorts each row of contiguous [rows, n]: stable, NaN last in both directions. */
export function argsort(
  gpu: Queue,
  dtype: DType,
  x: Block,
  order: Block,
  rows: number,
  n: number,
  descending: boolean,
): void {
  const width = Math.min(powerOfTwo(n), blockSize);
  const perRow = Math.ceil(n / width);
  const passes = Math.log2(powerOfTwo(perRow));
  const spare = passes > 0 ? gpu.temporary(rows * n) : order;
  // The last pass writes the result.
  const result = (left: number): Block => (left % 2 === 0 ? order : spare);
  const how = [Number(dtype === "f32"), descending ? 0x7fffffff : 0x80000000];
  run(gpu, blocks, [x, result(passes)], Math.ceil((rows * perRow * width) / blockSize), [
    rows * perRow,
    perRow,
    n,
    width,
    ...how,
  ]);
  for (let pass = 0; pass < passes; pass++) {
    const left = passes - pass;
    const tiles = Math.ceil(n / merged);
    const words = [tiles, n, width * 2 ** pass, ...how];
    run(gpu, merge, [x, result(left), result(left - 1)], rows * tiles, words);
  }
  if (spare !== order) gpu.release(spare);
}
