// Layers that slide kernels along a sequence or over planes.

import type { CreateOptions } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ShapeError, showShape } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { split } from "../core/random.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { type Convolved, conv1d, conv2d } from "../ops/conv.ts";
import { sizesOf, stepsOf, type WindowOptions } from "../ops/windows.ts";
import { checkSize, checkSwitch, uniformParameter } from "./drawn.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Module } from "./module.ts";

export interface ConvLayerOptions<P extends number | readonly number[], D extends FloatDType = FloatDType>
  extends WindowOptions<P>,
    LayerRandomness,
    CreateOptions<D> {
  /** Channels fall into so many groups, each with kernels of its own; 1 by default. */
  readonly groups?: number;
  /** Whether biases are there (default true). */
  readonly bias?: boolean;
}

type Numbers = number | readonly number[];

/** What both layers are: their sizes, checked, and first values. */
abstract class Conv<
  In extends number,
  Out extends number,
  W extends Shape,
  D extends FloatDType,
> extends Module {
  readonly inChannels: In;
  readonly outChannels: Out;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[] | "same" | "valid";
  readonly dilation: readonly number[];
  readonly groups: number;
  readonly weight: Parameter<W, D>;
  readonly bias: Parameter<[Out], D> | null;

  constructor(
    place: string,
    axes: number,
    inChannels: In,
    outChannels: Out,
    kernelSize: Numbers,
    options: ConvLayerOptions<Numbers, D>,
  ) {
    super();
    checkOptions(place, options, [
      ...["stride", "padding", "dilation", "groups", "bias"],
      ...["key", "seed", "dtype", "device"],
    ]);
    const { groups = 1, bias = true } = options;
    checkSize(place, inChannels, "channels");
    checkSize(place, outChannels, "channels");
    checkSize(place, groups, "groups");
    checkSwitch(place, "bias", bias);
    if (inChannels % groups !== 0 || outChannels % groups !== 0)
      throw new ShapeError(
        place,
        `${inChannels} and ${outChannels} channels do not make ${groups} equal groups`,
        "give a divisor of both",
      );
    const taps = sizesOf(place, "kernelSize", kernelSize, axes, 1);
    const { stride, padding, dilation } = stepsOf(place, axes, options);
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = taps;
    this.stride = stride;
    this.padding = padding;
    this.dilation = dilation;
    this.groups = groups;
    const inputs = inChannels / groups;
    const [forWeight, forBias] = split(layerKey(place, options, inChannels, outChannels, ...taps, groups));
    const reach = 1 / Math.sqrt(inputs * sizeOf(taps));
    const shape = [outChannels, inputs, ...taps] as unknown as W;
    this.weight = uniformParameter(`weight`, shape, reach, forWeight!, options);
    this.bias = bias ? uniformParameter("bias", [outChannels], reach, forBias!, options) : null;
  }

  /** What the op takes besides x and the kernels. */
  protected steps(): { [option: string]: unknown } {
    const { stride, padding, dilation, groups, bias } = this;
    return { stride, padding, dilation, groups, ...(bias ? { bias: bias.value } : {}) };
  }

  protected override shown(): string {
    const { inChannels, outChannels, kernelSize, stride, padding, dilation, groups } = this;
    const list = (v: readonly number[]): string => (v.length === 1 ? String(v[0]) : showShape(v));
    const parts = [inChannels, outChannels, `kernelSize=${list(kernelSize)}`, `stride=${list(stride)}`];
    if (typeof padding === "string") parts.push(`padding="${padding}"`);
    else if (padding.some((n) => n > 0)) parts.push(`padding=${list(padding)}`);
    if (dilation.some((n) => n > 1)) parts.push(`dilation=${list(dilation)}`);
    if (groups > 1) parts.push(`groups=${groups}`);
    if (!this.bias) parts.push("bias=false");
    return parts.join(", ");
  }
}

/**
 * Kernels slid along a sequence: [N, In, L] → [N, Out, L′], or [In, L] → [Out, L′]; what is computed, and L′, as in `conv1d`. The
 * kernels are stored as [Out, In/groups, k] and drawn, like the biases, uniformly within ±1/√(In/groups·k), as in PyTorch, from a
 * seed as in `Linear`.
 *
 * Throws ShapeError for another rank, another number of channels, or a sequence shorter than the kernel.
 * @example
 * new Conv1d(4, 8, 3, { padding: "same" }).forward(zeros([32, 4, 100])).shape; // [32, 8, 100]
 */
export class Conv1d<
  const In extends number = number,
  const Out extends number = number,
  D extends FloatDType = "f32",
> extends Conv<In, Out, [Out, number, number], D> {
  constructor(
    inChannels: In,
    outChannels: Out,
    kernelSize: number | readonly [number],
    options: ConvLayerOptions<number | readonly [number], D> = {},
  ) {
    super("Conv1d", 1, inChannels, outChannels, kernelSize, options);
  }

  override forward<S extends Shape>(
    x: Tensor<S, D>,
  ): Tensor<Convolved<S, [Out, number, number], [number]>, D> {
    return conv1d(x, this.weight.value, this.steps());
  }
}

/**
 * Kernels slid over planes: [N, In, H, W] → [N, Out, H′, W′], or [In, H, W] → [Out, H′, W′]; what is computed, and H′ and W′, as in
 * `conv2d`. `kernelSize`, `stride`, `padding` and `dilation` are numbers, or pairs [down, across]. The kernels are stored as [Out,
 * In/groups, kh, kw] and drawn as those of `Conv1d`.
 *
 * @example
 * const model = new Sequential(
 *   new Conv2d(1, 16, 3, { padding: 1 }), relu, new MaxPool2d(2),
 *   new Flatten(), new Linear(16 * 4 * 4, 10),
 * );
 * model.forward(zeros([32, 1, 8, 8])).shape; // [32, 10]
 */
export class Conv2d<
  const In extends number = number,
  const Out extends number = number,
  D extends FloatDType = "f32",
> extends Conv<In, Out, [Out, number, number, number], D> {
  constructor(
    inChannels: In,
    outChannels: Out,
    kernelSize: number | readonly [number, number],
    options: ConvLayerOptions<number | readonly [number, number], D> = {},
  ) {
    super("Conv2d", 2, inChannels, outChannels, kernelSize, options);
  }

  override forward<S extends Shape>(
    x: Tensor<S, D>,
  ): Tensor<Convolved<S, [Out, number, number, number], [number, number]>, D> {
    return conv2d(x, this.weight.value, this.steps());
  }
}
