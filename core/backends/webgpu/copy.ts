// Copies between strided windows, and filling. Elements travel as words; a shader for each conversion knows every rank.

import type { DType } from "../../dtype.ts";
import { contiguousStrides } from "../../shape.ts";
import type { View } from "../backend.ts";
import type { Block, Queue } from "./queue.ts";
import { run, type Shader } from "./shader.ts";

/** An axis of a copy: its entries, and the distance from one to the next on either side. */
type Axis = readonly [size: number, from: number, to: number];

/** Axes that a shader walks along. */
const mostAxes = 8;

// An axis is a vector of the slot, from its fourth on: entries, and the steps on both sides. Negative ones wrap around.
const place = `
fn place(n: u32, axes: u32) -> vec2u {
  var rest = n;
  var sum = vec2u();
  for (var k = axes; k > 0; k--) {
    let axis = p[2 + k];
    let whole = rest / axis.x;
    sum += (rest - whole * axis.x) * axis.yz;
    rest = whole;
  }
  return sum;
}`;

/** A copy, and what becomes of each word `v`, which read as a float is `f`. */
const copying = (word: string): Shader => ({
  label: "copy",
  reads: ["x: u32"],
  writes: ["out: u32"],
  words: ["axes", "xStart", "outStart"],
  globals: place,
  main: `
let at = vec2u(xStart, outStart) + place(i, axes);
let v = x[at.x];
let f = bitcast<f32>(v);
out[at.y] = ${word};
`,
});

export const plain: Shader = /* @__PURE__ */ copying("v");
const toFloat: Shader = /* @__PURE__ */ copying("bitcast<u32>(f32(bitcast<i32>(v)))");
// Towards 0 and within the range; NaN is 0.
const toInteger: Shader = /* @__PURE__ */ copying(`select(
  select(bitcast<u32>(i32(max(f, -2147483648.0))), 0x7fffffff, f >= 2147483648.0),
  0,
  (v & 0x7fffffff) > 0x7f800000,
)`);
const isOther: Shader = /* @__PURE__ */ copying("u32(v != 0)");
const isOtherFloat: Shader = /* @__PURE__ */ copying("u32((v & 0x7fffffff) != 0)");

function conversion(from: DType, to: DType): Shader {
  if (from === to) return plain;
  if (to === "bool") return from === "f32" ? isOtherFloat : isOther;
  if (to === "f32") return toFloat;
  return from === "f32" ? toInteger : plain;
}

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

/**
 * Where neighbours in memory lie along one axis in `x` (rows) and another in `out` (columns), a workgroup takes a square of
 * 8 × 8 entries: both sides then read and write runs of memory.
 */
function inSquares(axes: readonly Axis[]): readonly Axis[] {
  const isCut = (axis: Axis, side: 1 | 2): boolean => axis[side] === 1 && axis[0] % 8 === 0;
  const rows = axes.find((axis) => isCut(axis, 1));
  const columns = axes.find((axis) => isCut(axis, 2));
  if (!rows || !columns || rows === columns || axes.length + 2 > mostAxes) return axes;
  const ends = [rows, columns];
  return [
    ...axes.filter((axis) => !ends.includes(axis)),
    ...ends.map(([size, from, to]): Axis => [size / 8, 8 * from, 8 * to]),
    ...ends.map(([, from, to]): Axis => [8, from, to]),
  ];
}

/** Copies along axes, the slowest first. */
function transfer(
  gpu: Queue,
  shader: Shader,
  x: Block,
  start: number,
  out: Block,
  target: number,
  axes: readonly Axis[],
): void {
  if (axes.length > mostAxes) {
    const [[size, from, to], ...inner] = axes as [Axis, ...Axis[]];
    for (let k = 0; k < size; k++) transfer(gpu, shader, x, start + k * from, out, target + k * to, inner);
    return;
  }
  const walked = inSquares(axes);
  const total = walked.reduce((product, [size]) => product * size, 1);
  const places = walked.flatMap((axis) => [...axis, 0]);
  run(gpu, shader, [x, out], total, [walked.length, start, target, 0, 0, 0, 0, ...places]);
}

/** Copies a view of any strides into contiguous storage, converting. */
export function copy(gpu: Queue, from: View, to: Block, dtype: DType): void {
  const axes = axesOf(from.shape, from.strides, contiguousStrides(from.shape));
  transfer(gpu, conversion(from.dtype, dtype), from.storage, from.offset, to, 0, axes);
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
  transfer(gpu, plain, from, 0, to, offset, axesOf(shape, contiguousStrides(shape), strides));
}

export const filling: Shader = {
  label: "fill",
  reads: [],
  writes: ["out: u32"],
  words: ["value"],
  main: "out[i] = value;\n",
};

export function fill(gpu: Queue, to: Block, dtype: DType, size: number, value: number): void {
  const word = dtype === "f32" ? new Uint32Array(Float32Array.of(value).buffer)[0]! : value;
  run(gpu, filling, [to], size, [word]);
}
