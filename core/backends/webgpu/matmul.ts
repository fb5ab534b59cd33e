// Products of matrices in three schedules: tiles of 64 × 64, whose operands pass through workgroup memory in slices; where these
// would be too few, or wasted on few rows or columns, squares of 4 × 4, each computed by one invocation that reads for itself;
// and, where squares are few and the depth is long, squares of parts of the depth, which are then added up.
// Knows addresses, strides and sizes. A layout is two strides: a product compiles nothing that another one has not.

import type { FloatDType } from "../../dtype.ts";
import type { Into, MatrixOperand, RowOperand } from "../backend.ts";
import type { Block, Queue } from "./queue.ts";
import { powerOfTwo, run, type Shader } from "./shader.ts";

/** Depth of a slice in workgroup memory: each of 64 invocations reads two quads of either operand. */
const slice = 8;
/** Depth of a plain sum. Longer ones are sums of such blocks, so that they keep their digits. */
const block = 512;
/** Workgroups that keep a device busy. */
const enoughGroups = 64;
/** The least depth of a part. */
const leastPart = 512;
/** Invocations side by side that share the depth, where neighbours in memory lie along it. */
const lanes = 16;

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const lines = (count: number, text: (i: number) => string): string => range(count).map(text).join("\n");

/** What both schedules are told. The matrices of a batch lie `step` apart, or where `offsets` says. */
const words: readonly string[] = [
  ...["m", "n", "k", "batch", "part"],
  ...["aStart", "aRow", "aDepth", "aStep", "bStart", "bDepth", "bColumn", "bStep"],
  ...["listed", "biased", "biasStart", "outStart", "adds"],
];
const reads: readonly string[] = ["a: f32", "b: f32", "bias: f32", "offsets: u32"];

/** Where the matrices of a workgroup begin, and its part of the depth; z counts matrices, part after part. */
const place = `
let matrix = z % batch;
let begin = z / batch * part;
let end = min(begin + part, k);
let aAt = aStart + select(matrix * aStep, offsets[matrix], listed == 1);
let bAt = bStart + select(matrix * bStep, offsets[batch + matrix], listed == 1);
`;

/**
 * Which two quads of a slice an invocation reads, and where they lie at the start of the depth: invocations side by side read
 * what lies side by side, along the depth or across it.
 */
const own = (x: "a" | "b", step: string, first: string): string => `
let ${x}Along = ${x}Depth == 1;
${lines(
  2,
  (i) => `
let ${x}D${i} = select(t / 16 + ${4 * i}, t % 8, ${x}Along);
let ${x}Q${i} = select(t % 16, t / 8 + ${8 * i}, ${x}Along);
let ${x}At${i} = ${x}At + ${x}D${i} * ${x}Depth + (${first} + 4 * ${x}Q${i}) * ${step};`,
)}
`;

/**
 * Reads a slice of an operand: 64 of its rows (columns, for the right one) in quads. What stands past the last row may be
 * anything, since what it gives is never stored; but nothing is added past the end of the depth.
 */
const take = (x: "a" | "b", step: string): string =>
  lines(
    2,
    (i) => `{
  let at = ${x}At${i} + k0 * ${x}Depth;
  let v = vec4f(${range(4).map((e) => `${x}[at + ${e} * ${step}]`)});
  ${x}Slice[${x}D${i} * 17 + ${x}Q${i}] = select(vec4f(), v, k0 + ${x}D${i} < until);
}`,
  );

/**
 * Of the 8 × 8 invocations each has 8 rows by two quads of columns, in squares that lie 32 apart: so those side by side read
 * workgroup memory side by side. A slice has a quad more a depth than is used: writing along the depth meets no bank twice.
 */
const tiles: Shader = {
  label: "matmul in tiles",
  reads,
  writes: ["out: f32"],
  words,
  together: true,
  invocations: 64,
  globals: `
var<workgroup> aSlice: array<vec4f, ${17 * slice}>;
var<workgroup> bSlice: array<vec4f, ${17 * slice}>;`,
  main: `
let columns = (n + 63) / 64;
let rows = (m + 63) / 64;
let row = group / columns % rows * 64;
let column = group % columns * 64;
let z = group / (columns * rows);${place}${own("a", "aRow", "row")}${own("b", "bColumn", "column")}
let x = t % 8;
let y = t / 8;
for (var first = begin; first < end; first += ${block}) {
  let until = min(first + ${block}, end);
${lines(64, (i) => `var c${i} = 0.0;`)}
  for (var k0 = first; k0 < until; k0 += ${slice}) {
${take("a", "aRow")}
${take("b", "bColumn")}
    workgroupBarrier();
    for (var d = 0u; d < ${slice}; d++) {
      let a0 = aSlice[d * 17 + y];
      let a1 = aSlice[d * 17 + y + 8];
      let b0 = bSlice[d * 17 + x];
      let b1 = bSlice[d * 17 + x + 8];
${lines(64, (i) => `c${i} = fma(a${i >> 5}[${(i >> 3) & 3}], b${(i >> 2) & 1}[${i & 3}], c${i});`)}
    }
    workgroupBarrier();
  }
  // The first block brings the bias along, the others what those before them gave.
  var all = array(${range(64).map((i) => `c${i}`)});
  for (var i = 0u; i < 64; i++) {
    let r = row + 4 * y + i / 32 * 32 + i / 8 % 4;
    let c = column + 4 * x + i / 4 % 2 * 32 + i % 4;
    if (r >= m || c >= n) { continue; }
    let at = outStart + (z * m + r) * n + c;
    var sum = all[i];
    if (first > begin || adds == 1) { sum += out[at]; } else if (biased == 1) { sum += bias[biasStart + c]; }
    out[at] = sum;
  }
}
`,
};

/** Adds what one depth gives to a square. */
const go = (depth: string): string => `{
  let aD = (${depth}) * aDepth;
  let bD = (${depth}) * bDepth;
${lines(4, (i) => `let u${i} = a[a${i} + aD];\nlet v${i} = b[b${i} + bD];`)}
${lines(16, (i) => `c${i} = fma(u${i >> 2}, v${i & 3}, c${i});`)}
}`;

/**
 * 64 invocations as `lanes` along the depth by `across` by what is left of rows, all powers of two; the lanes of a square are
 * parts of its result. Rows of an invocation lie as far apart as there are invocations along them, and so do its columns. Four
 * depths at a time keep more reads on their way.
 */
const squares: Shader = {
  label: "matmul in squares",
  reads,
  writes: ["out: f32"],
  words: [...words, "lanes", "across"],
  together: true,
  invocations: 64,
  main: `
let down = 64 / (lanes * across);
let columns = (n + 4 * across - 1) / (4 * across);
let rows = (m + 4 * down - 1) / (4 * down);
let row = group / columns % rows * 4 * down + t / (lanes * across);
let column = group % columns * 4 * across + t / lanes % across;
let z = group / (columns * rows);
let lane = t % lanes;${place}
${lines(4, (i) => `let a${i} = aAt + min(row + ${i} * down, m - 1) * aRow;`)}
${lines(4, (j) => `let b${j} = bAt + min(column + ${j} * across, n - 1) * bColumn;`)}
var sums: array<f32, 16>;
for (var first = begin; first < end; first += ${block} * lanes) {
  let until = min(first + ${block} * lanes, end);
${lines(16, (i) => `var c${i} = 0.0;`)}
  var d = first + lane;
  for (; d + 3 * lanes < until; d += 4 * lanes) {${lines(4, (i) => go(`d + ${i} * lanes`))} }
  for (; d < until; d += lanes) {${go("d")} }
${lines(16, (i) => `sums[${i}] += c${i};`)}
}
let slab = (z / batch * lanes + lane) * batch + matrix;
for (var i = 0u; i < 16; i++) {
  let r = row + i / 4 * down;
  let c = column + i % 4 * across;
  if (r >= m || c >= n) { continue; }
  var sum = sums[i];
  if (biased == 1) { sum += bias[biasStart + c]; }
  let at = outStart + (slab * m + r) * n + c;
  if (adds == 1) { sum += out[at]; }
  out[at] = sum;
}
`,
};

/** What the parts of the depth gave, added up. */
const joining: Shader = {
  label: "matmul joined",
  reads: ["x: f32", "bias: f32"],
  writes: ["out: f32"],
  words: ["size", "n", "parts", "biased", "biasStart", "outStart", "adds"],
  main: `
var sum = 0.0;
for (var k = 0u; k < parts; k++) { sum += x[k * size + i]; }
if (biased == 1) { sum += bias[biasStart + i % n]; }
if (adds == 1) { sum += out[outStart + i]; }
out[outStart + i] = sum;
`,
};

/** Elements from one row to the next, and from one column to the next. */
const steps = ({ transposed, stride }: MatrixOperand): [row: number, column: number] =>
  transposed ? [1, stride] : [stride, 1];

/** How far the matrices of a batch lie apart, if it is as far from each to the next. */
function stepOf(offsets: readonly number[]): number | undefined {
  const step = offsets[1] ?? 0;
  return offsets.every((offset, i) => offset === i * step) ? step : undefined;
}

/**
 * out[b] = a[b] · b[b] for `batchOffsets.length` products of [m, k] · [k, n], plus a row of biases where there is one, or what
 * stands there already; out is contiguous. Sizes are at least 1.
 */
export function matmul(
  gpu: Queue,
  _: FloatDType,
  a: MatrixOperand,
  b: MatrixOperand,
  out: Block,
  m: number,
  k: number,
  n: number,
  bias?: RowOperand,
  { offset: outStart, adds }: Into = { offset: 0, adds: false },
): void {
  const batch = a.batchOffsets.length;
  const [aRow, aDepth] = steps(a);
  const [bDepth, bColumn] = steps(b);
  const groupsOf = (high: number, wide: number): number => batch * Math.ceil(m / high) * Math.ceil(n / wide);

  const inTiles = Math.min(m, n) >= 32 && groupsOf(64, 64) >= enoughGroups;
  const alongDepth = (n < m ? aDepth : bDepth) === 1;
  const shared = !inTiles && Math.min(m, n) <= 4 && k >= leastPart && alongDepth ? lanes : 1;
  // As many columns as there are, or as leave eight rows, or as many rows as there are.
  const room = 64 / shared;
  const [high, wide] = [Math.min(powerOfTwo(m / 4), room), Math.min(powerOfTwo(n / 4), room)];
  const across = Math.min(wide, Math.max(room / high, 8));
  const groups = inTiles ? groupsOf(64, 64) : groupsOf((4 * room) / across, 4 * across);

  const mostParts = inTiles ? 1 : Math.min(Math.floor(enoughGroups / groups), Math.floor(k / leastPart));
  const part = Math.ceil(k / Math.max(mostParts, 1));
  const parts = Math.ceil(k / part);
  const joined = parts * shared > 1;
  const size = batch * m * n;
  const result = joined ? gpu.temporary(parts * shared * size) : out;

  const [aStep, bStep] = [stepOf(a.batchOffsets), stepOf(b.batchOffsets)];
  const listed = aStep === undefined || bStep === undefined;
  const list = listed ? gpu.temporary(2 * batch) : undefined;
  if (list) gpu.write(list, Uint32Array.of(...a.batchOffsets, ...b.batchOffsets));
  const row = bias?.storage ?? a.storage;
  const biasStart = bias?.offset ?? 0;
  run(
    gpu,
    inTiles ? tiles : squares,
    [a.storage, b.storage, row, list ?? a.storage, result],
    groups * parts,
    [
      ...[m, n, k, batch, part],
      ...[a.offset, aRow, aDepth, aStep ?? 0, b.offset, bDepth, bColumn, bStep ?? 0],
      ...[Number(listed), Number(bias !== undefined && !joined), biasStart],
      ...(joined ? [0, 0] : [outStart, Number(adds)]),
      ...[shared, across],
    ],
  );
  if (list) gpu.release(list);
  if (!joined) return;
  run(gpu, joining, [result, row, out], size, [
    size,
    n,
    parts * shared,
    Number(bias !== undefined),
    biasStart,
    outStart,
    Number(adds),
  ]);
  gpu.release(result);
}
