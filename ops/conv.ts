// Convolution: a strided copy of what slides under the kernel, and one product of matrices. Its gradients are those of the two:
// products, and the windows added where they were read.

import type { FloatDType } from "../core/dtype.ts";
import { DomainError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions, describe, type Op, sameBackend } from "../core/op.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { add } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import {
  batched,
  planesOf,
  read,
  type Sizes,
  type Sliding,
  sizesOf,
  sliding,
  stepsOf,
  unbatched,
  type WindowOptions,
} from "./windows.ts";

type Floats = Tensor<Shape, FloatDType>;

/** Columns of patches: [batch, channels, …] → [batch, channels · taps, windows]. A kernel of one entry copies nothing. */
function columns(x: Tensor, slide: Sliding): Tensor {
  const { taps, count } = slide.windows;
  const [batch, channels] = x.shape as [number, number];
  return reshape(read(planesOf(x, slide), slide.windows), [
    batch,
    channels * taps[0] * taps[1],
    count[0] * count[1],
  ]);
}

/** The type of `patches`. */
export interface Patches extends Op {
  <D extends FloatDType>(
    x: Tensor<Shape, D>,
    kernelSize: Sizes,
    options?: WindowOptions,
  ): Tensor<[number, number, number], D>;
}

/**
 * What slides under a kernel, laid out as columns for a product of matrices: [N, C, H, W] → [N, C·kh·kw, L] with one column for
 * each of L positions in row-major order, and within it channels, rows, columns. PyTorch's unfold; its gradient adds every entry
 * where it came from.
 *
 * `kernelSize` and the options are numbers, or pairs [down, across]; padding is a border of zeros, or "same" or "valid". Floats
 * only. Throws ShapeError where the kernel is larger than the input with its border.
 *
 * @example
 * patches(tensor([[[[1, 2, 3], [4, 5, 6]]]]), 2).toArray(); // [[[1, 2], [2, 3], [4, 5], [5, 6]]]
 */
export const patches: Patches = /* @__PURE__ */ describe(
  ((x: Tensor, kernelSize: Sizes, options: WindowOptions = {}): Tensor => {
    checkOptions("patches", options, ["stride", "padding", "dilation"]);
    const batch = batched("patches", x, 2);
    const taps = sizesOf("patches", "kernelSize", kernelSize, 2, 1);
    const slide = sliding("patches", batch.shape.slice(2), taps, stepsOf("patches", 2, options));
    return unbatched(columns(batch, slide), x, 2);
  }) as Patches,
  {
    name: "patches",
    kind: "structure",
    doc: "What slides under a kernel, as the columns of a matrix.",
    laws: [],
    examples: [
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
          2,
        ],
        gives: [
          [
            [1, 2],
            [2, 3],
            [4, 5],
            [5, 6],
          ],
        ],
      },
      {
        args: [{ f64: [[[[1, 2, 3]]]] }, [1, 2], { stride: [1, 3], padding: [0, 1] }],
        gives: [
          [
            [0, 3],
            [1, 0],
          ],
        ],
      },
    ],
  },
);

/** The options of a convolution. */
export interface ConvOptions<P extends number | readonly number[], D extends FloatDType = FloatDType>
  extends WindowOptions<P> {
  /** One value for each channel of the result. */
  readonly bias?: Tensor<Shape, D>;
  /** Channels fall into so many groups, each with weights of its own; 1 by default. */
  readonly groups?: number;
}

/** The shape of a convolution: sizes of planes are the run's affair. */
export type Convolved<S extends Shape, W extends Shape, Axes extends readonly number[]> = W extends readonly [
  infer Out extends number,
  ...number[],
]
  ? S extends readonly [infer N extends number, number, ...Axes]
    ? [N, Out, ...Axes]
    : S extends readonly [number, ...Axes]
      ? [Out, ...Axes]
      : Shape
  : Shape;

type Options = ConvOptions<number | readonly number[]>;

/** Refuses kernels and biases that do not fit the input, or one another; `batch` is the input with its axis of examples. */
function checkFit(
  place: string,
  x: Tensor,
  batch: Tensor,
  weight: Tensor,
  { bias, groups = 1 }: Options,
): void {
  const others = bias === undefined ? [weight] : [weight, bias];
  for (const t of others) {
    checkTensor(place, t);
    if (t.dtype === x.dtype) continue;
    const finding = `element types ${x.dtype} and ${t.dtype} differ`;
    throw new DTypeError(place, finding, `convert one: cast(x, "${t.dtype}")`);
  }
  sameBackend(place, [x, ...others]);
  if (!Number.isSafeInteger(groups) || groups < 1)
    throw new DomainError(place, `groups is ${showValue(groups)}`, "give a whole number from 1");
  const misfit = (finding: string, wayOut: string): never => {
    throw new ShapeError(place, finding, wayOut);
  };
  const { shape } = weight;
  const [out, perGroup] = shape as [number, number];
  const [axes, channels] = [batch.rank - 2, batch.shape[1]!];
  const form = `[out, in${groups === 1 ? "" : " / groups"}, ${axes === 1 ? "taps" : "down, across"}]`;
  if (weight.rank !== axes + 2) misfit(`weight of shape ${showShape(shape)}`, `give ${form}`);
  const taken = perGroup * groups;
  if (channels !== taken) {
    const inGroups = groups === 1 ? "" : ` in ${groups} groups`;
    // Images without an axis of channels look like one example of many channels.
    const grey = x.rank === axes + 1 && taken === 1;
    misfit(
      `x of shape ${showShape(x.shape)} has ${channels} channels, where weight ${showShape(shape)} takes ${taken}${inGroups}`,
      grey
        ? `for a batch of one channel give ${showShape(x.shape.toSpliced(1, 0, 1))}`
        : `give weight as ${form}, or other channels`,
    );
  }
  if (out % groups !== 0)
    misfit(`${out} channels of the result do not make ${groups} equal groups`, "give a divisor as groups");
  if (bias !== undefined && !(bias.rank === 1 && bias.size === out))
    misfit(`bias of shape ${showShape(bias.shape)} beside weight ${showShape(shape)}`, `give [${out}]`);
}

/** Each example is a product of its own, and each group of it. */
function convolve(place: string, axes: number, x: Tensor, weight: Tensor, options: Options): Tensor {
  checkOptions(place, options, ["bias", "stride", "padding", "dilation", "groups"]);
  const batch = batched(place, x, axes);
  const size = batch.shape[0]!;
  checkFit(place, x, batch, weight, options);
  const { bias, groups = 1 } = options;
  const [out, perGroup, ...kernel] = weight.shape as [number, number, ...number[]];
  const taps = sizesOf(place, "the kernel's size", kernel, axes, 1);
  const slide = sliding(place, batch.shape.slice(2), taps, stepsOf(place, axes, options));
  const { count } = slide.windows;
  const [depth, places] = [perGroup * sizeOf(taps), sizeOf(count)];
  const [kernels, patches] =
    groups === 1
      ? [
          [out, depth],
          [size, depth, places],
        ]
      : [
          [groups, out / groups, depth],
          [size, groups, depth, places],
        ];
  const product = matmul(
    reshape(weight, kernels!) as Floats,
    reshape(columns(batch, slide), patches!) as Floats as never,
  );
  const flat = reshape(product as Tensor, [size, out, places]) as Floats;
  const biased = bias ? add(flat, reshape(bias, [out, 1]) as never) : flat;
  return unbatched(reshape(biased as Tensor, [size, out, ...count.slice(2 - axes)]), x, axes);
}

/** The type of `conv1d`. */
export interface Conv1dOp extends Op {
  <S extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    weight: Tensor<W, D>,
    options?: ConvOptions<number | readonly [number], D>,
  ): Tensor<Convolved<S, W, [number]>, D>;
}

/** The type of `conv2d`. */
export interface Conv2dOp extends Op {
  <S extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    weight: Tensor<W, D>,
    options?: ConvOptions<number | readonly [number, number], D>,
  ): Tensor<Convolved<S, W, [number, number]>, D>;
}

/**
 * Kernels slid along a sequence, as in PyTorch (a cross-correlation: kernels are not turned round): [N, C, L] or [C, L] with
 * weight [Out, C/groups, k] gives [N, Out, L′] or [Out, L′], where L′ = ⌊(L + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1.
 *
 * Options: `bias` [Out], `stride`, `padding` (a border of zeros, or "same" or "valid"), `dilation`, `groups`. Floats of one
 * element type. Throws ShapeError where sizes do not fit, or the kernel is larger than the input with its border.
 *
 * @example
 * conv1d(tensor([[1, 2, 4]]), tensor([[[1, -1]]])).toArray(); // [[-1, -2]]
 */
export const conv1d: Conv1dOp = /* @__PURE__ */ describe(
  ((x: Tensor, weight: Tensor, options: ConvOptions<number | readonly number[]> = {}) =>
    convolve("conv1d", 1, x, weight, options)) as Conv1dOp,
  {
    name: "conv1d",
    kind: "structure",
    doc: "Kernels slid along a sequence.",
    laws: [],
    examples: [
      { args: [{ f64: [[1, 2, 4]] }, { f64: [[[1, -1]]] }], gives: [[-1, -2]] },
      {
        args: [{ f64: [[[1, 2, 4]]] }, { f64: [[[1, 1]]] }, { bias: { f64: [10] }, stride: 2, padding: 1 }],
        gives: [[[11, 16]]],
      },
    ],
  },
);

/**
 * Kernels slid over planes, as in PyTorch (a cross-correlation: kernels are not turned round): [N, C, H, W] or [C, H, W] with
 * weight [Out, C/groups, kh, kw] gives [N, Out, H′, W′] or [Out, H′, W′], where H′ = ⌊(H + 2·padding − dilation·(kh − 1) −
 * 1)/stride⌋ + 1.
 *
 * Options: `bias` [Out], `groups`, and, as numbers or pairs [down, across], `stride`, `padding` (a border of zeros, or "same" or
 * "valid") and `dilation`. Floats of one element type. Throws ShapeError where sizes do not fit, or the kernel is larger than
 * the input with its border.
 *
 * @example
 * const image = tensor([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]);
 * conv2d(image, tensor([[[[1, 0], [0, -1]]]])).toArray(); // [[[-4, -4], [-4, -4]]]
 */
export const conv2d: Conv2dOp = /* @__PURE__ */ describe(
  ((x: Tensor, weight: Tensor, options: ConvOptions<number | readonly number[]> = {}) =>
    convolve("conv2d", 2, x, weight, options)) as Conv2dOp,
  {
    name: "conv2d",
    kind: "structure",
    doc: "Kernels slid over planes.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [
                [1, 2, 3],
                [4, 5, 6],
                [7, 8, 9],
              ],
            ],
          },
          {
            f64: [
              [
                [
                  [1, 0],
                  [0, -1],
                ],
              ],
            ],
          },
        ],
        gives: [
          [
            [-4, -4],
            [-4, -4],
          ],
        ],
      },
      {
        args: [
          {
            f64: [
              [
                [
                  [1, 2],
                  [3, 4],
                ],
                [
                  [1, 0],
                  [0, 0],
                ],
              ],
            ],
          },
          { f64: [[[[1]]], [[[2]]]] },
          { bias: { f64: [0, 1] }, groups: 2, stride: 2, padding: [0, 1], dilation: 3 },
        ],
        gives: [[[[0, 2]], [[1, 1]]]],
      },
    ],
  },
);
