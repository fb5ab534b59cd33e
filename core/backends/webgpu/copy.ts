// Copies between strided windows, and filling. Elements travel as words; one shader knows every conversion and every rank.

import type { DType } from "../../dtype.ts";
import { contiguousStrides } from "../../shape.ts";
import type { View } from "../backend.ts";
import type { Block, Queue } from "./queue.ts";
import { run, runEach, type Shader } from "./shader.ts";

/** An axis of a copy: its entries, and the distance from one to the next on either side. */
type Axis = readonly [size: number, from: number, to: number];

/** Axes that a shader walks along. */
const mostAxes = 8;

// Negative steps are words that wrap around.
const globals = `
fn place(n: u32, axes: u32) -> vec2u {
  var rest = n;
  var sum = vec2u();
  for (var k = axes; k > 0u; k--) {
    let axis = p[2u + k];
    let whole = rest / axis.x;
    sum += (rest - whole * axis.x) * axis.yz;
    rest = whole;
  }
  return sum;
}
fn convert(v: u32, how: u32) -> u32 {
  switch how {
    case 1u: {
      let f = bitcast<f32>(v);
      if ((v & 0x7fffffffu) > 0x7f800000u) { return 0u; }
      if (f >= 2147483648.0) { return 0x7fffffffu; }
      return bitcast<u32>(i32(max(f, -2147483648.0)));
    }
    case 2u: { return u32((v & 0x7fffffffu) != 0u); }
    case 3u: { return u32(v != 0u); }
    case 4u: { return bitcast<u32>(f32(bitcast<i32>(v))); }
    default: { return v; }
  }
}`;

/** The number of a conversion in the shader. */
function conversion(from: DType, to: DType): number {
  if (from === to) return 0;
  if (to === "bool") return from === "f32" ? 2 : 3;
  if (to === "f32") return 4;
  return from === "f32" ? 1 : 0;
}

export const move: Shader = {
  label: "copy",
  reads: ["x: u32"],
  writes: ["out: u32"],
  words: ["total", "axes", "xStart", "outStart", "how"],
  globals,
  main: `
if (i < total) {
  let at = vec2u(xStart, outStart) + place(i, axes);
  out[at.y] = convert(x[at.x], how);
}
`,
};

/** Where neighbours in memory lie along one axis in `x` (rows) and another in `out` (columns): squares, turned in workgroup memory. */
const turn: Shader = {
  label: "copy turned",
  reads: ["x: u32"],
  writes: ["out: u32"],
  words: ["slabs", "axes", "xStart", "outStart", "how", "rows", "columns"],
  globals: `${globals}
var<workgroup> square: array<array<u32, 33>, 32>;`,
  main: `
let across = (columns + 31u) / 32u;
let down = (rows + 31u) / 32u;
let slab = group / (across * down);
if (slab >= slabs) { return; }
let row = group / across % down * 32u;
let column = group % across * 32u;
let at = vec2u(xStart, outStart) + place(slab, axes);
let byRow = p[3u + axes].yz;
let byColumn = p[4u + axes].yz;
let a = t % 32u;
for (var b = t / 32u; b < 32u; b += 8u) {
  if (row + a < rows && column + b < columns) {
    square[b][a] = x[at.x + (row + a) * byRow.x + (column + b) * byColumn.x];
  }
}
workgroupBarrier();
for (var b = t / 32u; b < 32u; b += 8u) {
  if (row + b < rows && column + a < columns) {
    out[at.y + (row + b) * byRow.y + (column + a) * byColumn.y] = convert(square[a][b], how);
  }
}
`,
};

/** The axes of a copy, without those of one entry; one that continues the next on both sides is joined with it. */
function axesOf(shape: readonly number[], from: readonly number[], to: readonly number[]): Axis[] {
  const axes: Axis[] = [];
  shape.forEach((size, k) => {
    if (size === 1) return;
    const axis: Axis = [size, from[k]!, to[k]!];
    const last = axes.at(-1);
    if (last?.[1] === size * axis[1] && last[2] === size * axis[2])
      axes[axes.length - 1] = [last[0] * size, axis[1], axis[2]];
    else axes.push(axis);
  });
  return axes;
}

function transfer(
  gpu: Queue,
  x: Block,
  start: number,
  out: Block,
  target: number,
  axes: Axis[],
  how: number,
): void {
  if (axes.length > mostAxes) {
    const [[size, from, to], ...inner] = axes as [Axis, ...Axis[]];
    for (let k = 0; k < size; k++) transfer(gpu, x, start + k * from, out, target + k * to, inner, how);
    return;
  }
  const total = axes.reduce((product, [size]) => product * size, 1);
  const isLong = (axis: Axis, side: 1 | 2): boolean => axis[0] >= 16 && axis[side] === 1;
  const row = axes.findIndex((axis) => isLong(axis, 1));
  const column = axes.findIndex((axis) => isLong(axis, 2));
  const turned = row >= 0 && column >= 0 && row !== column;
  const order = turned
    ? [...axes.filter((_, k) => k !== row && k !== column), axes[row]!, axes[column]!]
    : axes;
  const places = order.flatMap((axis) => [...axis, 0]);
  if (turned) {
    const [rows, columns] = [axes[row]![0], axes[column]![0]];
    const slabs = total / (rows * columns);
    const squares = Math.ceil(rows / 32) * Math.ceil(columns / 32);
    const words = [slabs, axes.length - 2, start, target, how, rows, columns, 0, ...places];
    run(gpu, turn, [x, out], slabs * squares, words);
  } else runEach(gpu, move, [x, out], total, [total, axes.length, start, target, how, 0, 0, 0, ...places]);
}

/** Copies a view of any strides into contiguous storage, converting. */
export function copy(gpu: Queue, from: View, to: Block, dtype: DType): void {
  const axes = axesOf(from.shape, from.strides, contiguousStrides(from.shape));
  transfer(gpu, from.storage, from.offset, to, 0, axes, conversion(from.dtype, dtype));
}

/** Copies a contiguous tensor into a strided window. */
export function copyInto(
  gpu: Queue,
  from: Block,
  _: DType,
  shape: readonly number[],
  to: Block,
  offset: number,
  strides: readonly number[],
): void {
  transfer(gpu, from, 0, to, offset, axesOf(shape, contiguousStrides(shape), strides), 0);
}

/** Lists of an index [outer, count, inner] made contiguous: [outer, inner, count]. */
export function listsOf(
  gpu: Queue,
  index: Block,
  lists: Block,
  outer: number,
  count: number,
  inner: number,
): void {
  const axes = axesOf([outer, inner, count], [count * inner, 1, inner], [count * inner, count, 1]);
  transfer(gpu, index, 0, lists, 0, axes, 0);
}

export const filling: Shader = {
  label: "fill",
  reads: [],
  writes: ["out: u32"],
  words: ["total", "value"],
  main: "if (i < total) { out[i] = value; }\n",
};

export function fill(gpu: Queue, to: Block, dtype: DType, size: number, value: number): void {
  const word = dtype === "f32" ? new Uint32Array(Float32Array.of(value).buffer)[0]! : value;
  runEach(gpu, filling, [to], size, [size, word]);
}
