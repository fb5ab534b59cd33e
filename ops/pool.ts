// Pooling: the largest entry or the mean of windows that slide over planes.

import { windowArgmax } from "../core/backends/kernels.ts";
import { dtypes, type FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../core/errors.ts";
import { checkOptions, describe, type Op } from "../core/op.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { contiguous, fromHost, newTensor, type Tensor } from "../core/tensor.ts";
import { reshape, sumTo } from "../core/views.ts";
import { div } from "./elementwise.ts";
import { gather } from "./indexing.ts";
import { batched, planesOf, read, type Sizes, type Sliding, sizesOf, sliding, unbatched } from "./windows.ts";

/** How windows slide, in pooling. */
export interface PoolOptions<P extends number | readonly number[] = Sizes> {
  /** From one window to the next; the size of a window by default. */
  readonly stride?: P;
  /** A border, of at most half a window; 0 by default. */
  readonly padding?: P;
  /** Whether a last window that is not full counts too (default false). */
  readonly ceilMode?: boolean;
}

export interface MaxPoolOptions<P extends number | readonly number[] = Sizes> extends PoolOptions<P> {
  /** From one entry of a window to the next, 1 by default. */
  readonly dilation?: P;
}

export interface AvgPoolOptions<P extends number | readonly number[] = Sizes> extends PoolOptions<P> {
  /** Whether the zeros of the border count as entries (default true). */
  readonly countIncludePad?: boolean;
}

type Floats = Tensor<Shape, FloatDType>;
type AnyOptions = MaxPoolOptions<number | readonly number[]> & AvgPoolOptions<number | readonly number[]>;

/** Options of pooling that are checked and complete. */
export interface PoolSteps {
  readonly taps: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
  readonly ceilMode: boolean;
  readonly countIncludePad: boolean;
}

/** The windows of a pooling op, checked. */
export function poolSteps(place: string, axes: number, kernelSize: unknown, options: AnyOptions): PoolSteps {
  const taps = sizesOf(place, "kernelSize", kernelSize, axes, 1);
  const { stride = taps, padding = 0, dilation = 1, ceilMode = false, countIncludePad = true } = options;
  for (const [name, value] of Object.entries({ ceilMode, countIncludePad }))
    if (typeof value !== "boolean")
      throw new ArgumentError(place, `${name} is ${showValue(value)}`, "give true or false");
  const border = sizesOf(place, "padding", padding, axes, 0);
  const wide = border.findIndex((n, i) => 2 * n > taps[i]!);
  if (wide >= 0)
    throw new DomainError(
      place,
      `padding is ${border[wide]} for windows of ${taps[wide]}`,
      "windows of nothing but border have no entries; give at most half of kernelSize",
    );
  return {
    taps,
    stride: sizesOf(place, "stride", stride, axes, 1),
    padding: border,
    dilation: sizesOf(place, "dilation", dilation, axes, 1),
    ceilMode,
    countIncludePad,
  };
}

/** The input as a batch, and the windows on it. */
function pooling(
  place: string,
  axes: number,
  x: unknown,
  kernelSize: unknown,
  options: AnyOptions,
): { batch: Floats; slide: Sliding; steps: PoolSteps } {
  const batch = batched(place, x, axes);
  const steps = poolSteps(place, axes, kernelSize, options);
  return { batch, slide: sliding(place, batch.shape.slice(2), steps.taps, steps, steps.ceilMode), steps };
}

/** The result for each window, in the form of the input. */
const pooled = (out: Tensor, x: Tensor, batch: Tensor, { windows: { count } }: Sliding): Tensor => {
  const axes = batch.rank - 2;
  return unbatched(reshape(out, [...batch.shape.slice(0, 2), ...count.slice(2 - axes)]), x, axes);
};

function maxPool(place: string, axes: number, x: Tensor, kernelSize: unknown, options: AnyOptions): Tensor {
  checkOptions(place, options, ["stride", "padding", "dilation", "ceilMode"]);
  const { batch, slide } = pooling(place, axes, x, kernelSize, options);
  const { plane, count } = slide.windows;
  const planes = sizeOf(batch.shape.slice(0, 2));
  const entries = reshape(planesOf(batch, slide, Number.NEGATIVE_INFINITY), [planes, sizeOf(plane)]);
  const { backend } = x;
  const places = newTensor(backend, "i32", [planes, sizeOf(count)], place);
  if (places.size > 0)
    backend.run(
      windowArgmax,
      batch.dtype,
      contiguous(entries).storage,
      places.storage,
      planes,
      slide.windows,
    );
  return pooled(gather(entries, places, 1), x, batch, slide);
}

/** How many entries count in each window of an axis: those of the input and, if `bordered`, of the border that was asked for. */
function counted(
  n: number,
  taps: number,
  step: number,
  windows: number,
  border: number,
  bordered: boolean,
): number[] {
  const [first, last] = bordered ? [-border, n + border] : [0, n];
  return Array.from({ length: windows }, (_, i) => {
    const start = i * step - border;
    return Math.min(start + taps, last) - Math.max(start, first);
  });
}

function avgPool(place: string, axes: number, x: Tensor, kernelSize: unknown, options: AnyOptions): Tensor {
  checkOptions(place, options, ["stride", "padding", "ceilMode", "countIncludePad"]);
  const { batch, slide, steps } = pooling(place, axes, x, kernelSize, options);
  const { taps, step, count } = slide.windows;
  const held = read(planesOf(batch, slide), slide.windows);
  const sums = reshape(sumTo(held, [...batch.shape.slice(0, 2), 1, 1, ...count]), [
    ...batch.shape.slice(0, 2),
    ...count,
  ]);
  const entries = slide.border
    .map(([border], i) => {
      const [n, at] = [batch.shape[2 + i]!, i - axes];
      return counted(n, taps.at(at)!, step.at(at)!, count.at(at)!, border, steps.countIncludePad);
    })
    .reduce((rows, columns) => rows.flatMap((a) => columns.map((b) => a * b)));
  const full = sizeOf(taps);
  let divisor: Tensor | number = full;
  if (entries.some((n) => n !== full)) {
    const data = new dtypes[batch.dtype].array(entries.length);
    data.set(entries);
    divisor = fromHost(x.backend, batch.dtype, count, data, place);
  }
  return pooled(div(sums as Floats, divisor as never) as Tensor, x, batch, slide);
}

/** The shape of a result of pooling: rank and channels are known, sizes of planes are the run's affair. */
export type Pooled<S extends Shape, Axes extends readonly number[]> = S extends readonly [
  infer N extends number,
  infer C extends number,
  ...Axes,
]
  ? [N, C, ...Axes]
  : S extends readonly [infer C extends number, ...Axes]
    ? [C, ...Axes]
    : Shape;

/** A pooling op of one axis or two. */
export interface Pool<Axes extends readonly number[], O extends object> extends Op {
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    kernelSize: number | Readonly<Axes>,
    options?: O,
  ): Tensor<Pooled<S, Axes>, D>;
}

type Line = [number];
type Plane = [number, number];

/**
 * The largest entry of each window along a sequence: [N, C, L] → [N, C, L′], or [C, L] → [C, L′], with L′ = ⌊(L + 2·padding −
 * dilation·(kernelSize − 1) − 1)/stride⌋ + 1, or ⌈…⌉ + 1 with `ceilMode`, unless that window began behind the input. A border
 * counts as −∞. The gradient goes to the first of equal entries; NaN wins.
 *
 * Options as in PyTorch: `stride` (default `kernelSize`), `padding` (at most half a window), `dilation`, `ceilMode`. Floats only.
 * Throws ShapeError where no window fits.
 *
 * @example
 * maxPool1d(tensor([[1, 5, 2, 0]]), 2).toArray(); // [[5, 2]]
 */
export const maxPool1d: Pool<Line, MaxPoolOptions<number | readonly [number]>> = /* @__PURE__ */ describe(
  ((x: Tensor, kernelSize: unknown, options: AnyOptions = {}) =>
    maxPool("maxPool1d", 1, x, kernelSize, options)) as Pool<
    Line,
    MaxPoolOptions<number | readonly [number]>
  >,
  {
    name: "maxPool1d",
    kind: "structure",
    doc: "The largest entry of each window along a sequence.",
    laws: [],
    examples: [
      { args: [{ f64: [[1, 5, 2, 0]] }, 2], gives: [[5, 2]] },
      { args: [{ f64: [[[-1, -5, -2]]] }, 2, { padding: 1, ceilMode: true }], gives: [[[-1, -2]]] },
    ],
  },
);

/**
 * The largest entry of each window on planes: [N, C, H, W] → [N, C, H′, W′], or [C, H, W] → [C, H′, W′]; sizes, border and ties as
 * in `maxPool1d`. `kernelSize` and the options `stride`, `padding` and `dilation` are numbers, or pairs [down, across].
 *
 * @example
 * maxPool2d(tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2).toArray(); // [[[6, 8]]]
 */
export const maxPool2d: Pool<Plane, MaxPoolOptions> = /* @__PURE__ */ describe(
  ((x: Tensor, kernelSize: unknown, options: AnyOptions = {}) =>
    maxPool("maxPool2d", 2, x, kernelSize, options)) as Pool<Plane, MaxPoolOptions>,
  {
    name: "maxPool2d",
    kind: "structure",
    doc: "The largest entry of each window on planes.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [
                [1, 2, 3, 4],
                [5, 6, 7, 8],
              ],
            ],
          },
          2,
        ],
        gives: [[[6, 8]]],
      },
      {
        args: [
          {
            f64: [
              [
                [
                  [1, 2, 3],
                  [4, 5, 6],
                ],
              ],
            ],
          },
          [2, 1],
          { stride: 1, padding: [1, 0], dilation: [2, 1] },
        ],
        gives: [
          [
            [
              [4, 5, 6],
              [1, 2, 3],
            ],
          ],
        ],
      },
    ],
  },
);

/**
 * The mean of each window along a sequence: [N, C, L] → [N, C, L′], or [C, L] → [C, L′], with L′ as for `maxPool1d`. Zeros of the
 * border count as entries unless `countIncludePad` is false; what a last window of `ceilMode` has beyond them never does.
 *
 * Options as in PyTorch: `stride` (default `kernelSize`), `padding` (at most half a window), `ceilMode`, `countIncludePad`.
 * Floats only. Throws ShapeError where no window fits.
 *
 * @example
 * avgPool1d(tensor([[1, 5, 2, 0]]), 2).toArray(); // [[3, 1]]
 */
export const avgPool1d: Pool<Line, AvgPoolOptions<number | readonly [number]>> = /* @__PURE__ */ describe(
  ((x: Tensor, kernelSize: unknown, options: AnyOptions = {}) =>
    avgPool("avgPool1d", 1, x, kernelSize, options)) as Pool<
    Line,
    AvgPoolOptions<number | readonly [number]>
  >,
  {
    name: "avgPool1d",
    kind: "structure",
    doc: "The mean of each window along a sequence.",
    laws: [],
    examples: [
      { args: [{ f64: [[1, 5, 2, 0]] }, 2], gives: [[3, 1]] },
      { args: [{ f64: [[[2, 4, 6]]] }, 2, { padding: 1, countIncludePad: false }], gives: [[[2, 5]]] },
    ],
  },
);

/**
 * The mean of each window on planes: [N, C, H, W] → [N, C, H′, W′], or [C, H, W] → [C, H′, W′]; sizes and border as in `avgPool1d`.
 * `kernelSize` and the options `stride` and `padding` are numbers, or pairs [down, across].
 *
 * @example
 * avgPool2d(tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2).toArray(); // [[[3.5, 5.5]]]
 */
export const avgPool2d: Pool<Plane, AvgPoolOptions> = /* @__PURE__ */ describe(
  ((x: Tensor, kernelSize: unknown, options: AnyOptions = {}) =>
    avgPool("avgPool2d", 2, x, kernelSize, options)) as Pool<Plane, AvgPoolOptions>,
  {
    name: "avgPool2d",
    kind: "structure",
    doc: "The mean of each window on planes.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [
                [1, 2, 3, 4],
                [5, 6, 7, 8],
              ],
            ],
          },
          2,
        ],
        gives: [[[3.5, 5.5]]],
      },
      {
        args: [
          { f64: [[[[4, 8, 12]]]] },
          [1, 2],
          { padding: [0, 1], ceilMode: true, countIncludePad: false },
        ],
        gives: [[[[4, 10]]]],
      },
    ],
  },
);
