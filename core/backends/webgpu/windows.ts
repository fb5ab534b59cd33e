// Windows on planes: where each is largest, and the sum of what they hold. The sum is gathered, an entry of the plane looking for
// the windows that read it, so that it is the same every time without atomics on floats. Reading windows is a strided copy.

import type { FloatDType } from "../../dtype.ts";
import type { Windows } from "../backend.ts";
import type { Block, Queue } from "./queue.ts";
import { run, type Shader } from "./shader.ts";

const words: readonly string[] = [
  ...["height", "width", "rows", "columns"],
  ...["down", "across", "tapRows", "tapColumns", "tapDown", "tapAcross"],
];

const wordsOf = ({ plane, count, step, taps, apart }: Windows): number[] => [
  ...plane,
  ...count,
  ...step,
  ...taps,
  ...apart,
];

const folding: Shader = {
  label: "foldWindows",
  reads: ["x: f32"],
  writes: ["out: f32"],
  words,
  main: `
let plane = i / (height * width);
let y = i / width % height;
let z = i % width;
var sum = 0.0;
for (var r = 0u; r < tapRows; r++) {
  let row = (y - r * tapDown) / down;
  if (y < r * tapDown || row >= rows || row * down + r * tapDown != y) { continue; }
  for (var c = 0u; c < tapColumns; c++) {
    let column = (z - c * tapAcross) / across;
    if (z < c * tapAcross || column >= columns || column * across + c * tapAcross != z) { continue; }
    sum += x[(((plane * tapRows + r) * tapColumns + c) * rows + row) * columns + column];
  }
}
out[i] = sum;
`,
};

export function foldWindows(
  gpu: Queue,
  _: FloatDType,
  x: Block,
  out: Block,
  planes: number,
  windows: Windows,
): void {
  const [height, width] = windows.plane;
  run(gpu, folding, [x, out], planes * height * width, wordsOf(windows));
}

/** Entries are compared as whole numbers in their order, NaN above all. */
const largest: Shader = {
  label: "windowArgmax",
  reads: ["x: u32"],
  writes: ["out: u32"],
  words,
  globals: `
fn key(v: u32) -> u32 {
  let magnitude = v & 0x7fffffff;
  if (magnitude > 0x7f800000) { return 0xffffffff; }
  return select(0x80000000 + magnitude, 0x80000000 - magnitude, v > 0x80000000);
}`,
  main: `
let row = i / columns % rows * down;
let column = i % columns * across;
let start = i / (rows * columns) * height * width;
var best = 0u;
var place = 0u;
for (var r = 0u; r < tapRows; r++) {
  for (var c = 0u; c < tapColumns; c++) {
    let at = (row + r * tapDown) * width + column + c * tapAcross;
    let v = key(x[start + at]);
    if (v > best) {
      best = v;
      place = at;
    }
  }
}
out[i] = place;
`,
};

export function windowArgmax(
  gpu: Queue,
  _: FloatDType,
  x: Block,
  out: Block,
  planes: number,
  windows: Windows,
): void {
  const [rows, columns] = windows.count;
  run(gpu, largest, [x, out], planes * rows * columns, wordsOf(windows));
}
