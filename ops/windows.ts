// Windows that slide over planes, as convolution and pooling share them: how many there are, the border they need, their entries as
// a view, and the way back. Computes nothing of what is in them.

import type { Windows } from "../core/backends/backend.ts";
import { foldWindows } from "../core/backends/kernels.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkFloat } from "../core/op.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { type Rule, record } from "../core/tape.ts";
import { checkTensor, contiguous, newTensor, type Tensor, viewOf } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { pad } from "./movement.ts";

/** One size for both axes of a plane, or [down, across]. */
export type Sizes = number | readonly [number, number];

/** How windows slide. */
export interface WindowOptions<P extends number | readonly number[] = Sizes> {
  /** From one window to the next. */
  readonly stride?: P;
  /** A border before and after each axis, 0 by default. */
  readonly padding?: P | "same" | "valid";
  /** From one entry of a window to the next, 1 by default. */
  readonly dilation?: P;
}

/** Sizes of every axis, checked: integers from `least`. */
export function sizesOf(place: string, name: string, value: unknown, axes: number, least: number): number[] {
  const sizes = typeof value === "number" ? new Array<number>(axes).fill(value) : value;
  if (!Array.isArray(sizes) || sizes.length !== axes)
    throw new ArgumentError(
      place,
      `${name} is ${showValue(value)}`,
      axes === 1 ? "give a number" : "give a number, or one for each axis: [down, across]",
    );
  for (const size of sizes)
    if (!Number.isSafeInteger(size) || size < least)
      throw new DomainError(place, `${name} is ${showValue(size)}`, `give whole numbers from ${least}`);
  return [...sizes];
}

/** What slides over an input: windows on planes with a border, and that border. */
export interface Sliding {
  readonly windows: Windows;
  readonly border: readonly (readonly [before: number, after: number])[];
}

/** Options that are checked and complete, with one number for each axis. */
export interface Steps {
  readonly stride: readonly number[];
  readonly padding: readonly number[] | "same" | "valid";
  readonly dilation: readonly number[];
}

/** The steps of a kernel. */
export function stepsOf(
  place: string,
  axes: number,
  { stride = 1, padding = 0, dilation = 1 }: WindowOptions<number | readonly number[]>,
): Steps {
  if (typeof padding === "string" && padding !== "same" && padding !== "valid")
    throw new ArgumentError(place, `padding is ${showValue(padding)}`, 'give numbers, "same" or "valid"');
  const steps: Steps = {
    stride: sizesOf(place, "stride", stride, axes, 1),
    padding: typeof padding === "string" ? padding : sizesOf(place, "padding", padding, axes, 0),
    dilation: sizesOf(place, "dilation", dilation, axes, 1),
  };
  if (padding === "same" && steps.stride.some((step) => step !== 1))
    throw new DomainError(
      place,
      `padding is "same" with strides ${showShape(steps.stride)}`,
      "only windows that move by 1 keep sizes; give { stride: 1 }, or padding as a number",
    );
  return steps;
}

/**
 * The windows of `taps` entries on an input of the given sizes; with `ceil`, a last one that is not full counts if it begins before
 * the border behind the input. Throws ShapeError where not one fits.
 */
export function sliding(
  place: string,
  sizes: readonly number[],
  taps: readonly number[],
  { stride, padding, dilation }: Steps,
  ceil = false,
): Sliding {
  const span = taps.map((n, i) => dilation[i]! * (n - 1) + 1);
  const before = span.map((n, i) =>
    padding === "same" ? (n - 1) >> 1 : padding === "valid" ? 0 : padding[i]!,
  );
  const padded = sizes.map((n, i) => n + (padding === "same" ? span[i]! - 1 : 2 * before[i]!));
  if (padded.some((n, i) => n < span[i]!)) {
    const what = span.length === 1 ? `${span[0]} entries` : `${span.join(" × ")} entries`;
    throw new ShapeError(
      place,
      `windows of ${what} on an input of ${padded.join(" × ")}, its border included`,
      "give a smaller kernel or dilation, or more padding",
    );
  }
  const count = padded.map((n, i) => {
    const last = (n - span[i]!) / stride[i]!;
    if (!ceil) return Math.floor(last) + 1;
    return Math.min(Math.ceil(last), Math.ceil((sizes[i]! + before[i]!) / stride[i]!) - 1) + 1;
  });
  // What no window reads is no border.
  const border = sizes.map((n, i): readonly [number, number] => [
    before[i]!,
    Math.max(0, (count[i]! - 1) * stride[i]! + span[i]! - n - before[i]!),
  ]);
  const plane = sizes.map((n, i) => border[i]![0] + n + border[i]![1]);
  const pair = (list: readonly number[], filler: number): readonly [number, number] =>
    list.length === 1 ? [filler, list[0]!] : (list as [number, number]);
  return {
    windows: {
      plane: pair(plane, 1),
      count: pair(count, 1),
      step: pair(stride, 1),
      taps: pair(taps, 1),
      apart: pair(dilation, 1),
    },
    border,
  };
}

/** An input of layers: a batch of channels of `axes` axes each, or one example, which becomes a batch of one. */
export function batched(place: string, x: unknown, axes: number): Tensor<Shape, FloatDType> {
  checkTensor(place, x);
  checkFloat(place, x);
  const form = axes === 1 ? "length" : "height, width";
  if (x.rank !== axes + 2 && x.rank !== axes + 1)
    throw new ShapeError(
      place,
      `x of shape ${showShape(x.shape)} has ${x.rank} axes`,
      `give [batch, channels, ${form}], or [channels, ${form}] for one example`,
    );
  return (x.rank === axes + 2 ? x : reshape(x, [1, ...x.shape])) as Tensor<Shape, FloatDType>;
}

/** A result in the form that the input had: without the batch of one that was put before it. */
export const unbatched = (out: Tensor, x: Tensor, axes: number): Tensor =>
  x.rank === axes + 2 ? out : reshape(out, out.shape.slice(1));

/** Planes with their border, [batch, channels, height, width]; an axis of lengths becomes a plane of one row. */
export function planesOf(x: Tensor, { border, windows }: Sliding, value = 0): Tensor {
  const widths = [[0, 0], [0, 0], ...border] as readonly (readonly [number, number])[];
  const bordered = border.some(([a, b]) => a + b > 0) ? pad(x, widths, value) : x;
  return x.rank === 4 ? bordered : reshape(bordered, [...x.shape.slice(0, 2), ...windows.plane]);
}

const readRule: Rule = {
  name: "windows",
  vjp: ([g], { inputs, saved }) => [fold(g!, inputs[0]!.shape, saved as Windows)],
};

/**
 * What windows on planes hold, as a view: [batch, channels, height, width] → [batch, channels, taps down, taps across, windows
 * down, windows across].
 */
export function read(x: Tensor, windows: Windows): Tensor {
  const { count, step, taps, apart } = windows;
  const [batch, channel, down, across] = x.strides as [number, number, number, number];
  const out = viewOf(
    x,
    [...x.shape.slice(0, 2), ...taps, ...count],
    [batch, channel, apart[0] * down, apart[1] * across, step[0] * down, step[1] * across],
    x.offset,
    "windows",
  );
  record(readRule, [x], [out], windows);
  return out;
}

const foldRule: Rule = { name: "fold", vjp: ([g], { saved }) => [read(g!, saved as Windows)] };

/** The transpose of `read`: planes of zeros, with every entry of every window added where it was read. */
function fold(g: Tensor, shape: readonly number[], windows: Windows): Tensor {
  const { backend } = g;
  const dtype = g.dtype as FloatDType;
  const out = newTensor(backend, dtype, shape, "fold");
  if (out.size > 0)
    backend.run(foldWindows, dtype, contiguous(g).storage, out.storage, sizeOf(shape.slice(0, 2)), windows);
  record(foldRule, [g], [out], windows);
  return out;
}
