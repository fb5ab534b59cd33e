// Pooling and flattening: layers without parameters between convolutions and the layers of features behind them.

import type { DType, FloatDType } from "../core/dtype.ts";
import { ArgumentError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { normalizeAxis, type Shape, sizeOf } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import {
  type AvgPoolOptions,
  avgPool1d,
  avgPool2d,
  type MaxPoolOptions,
  maxPool1d,
  maxPool2d,
  type Pooled,
  poolSteps,
} from "../ops/pool.ts";
import type { Sizes } from "../ops/windows.ts";
import { Module } from "./module.ts";

type Size = number | readonly [number];

/** Windows, checked when the layer is made, and printed. */
abstract class Pool<K, O extends object> extends Module {
  readonly kernelSize: K;
  /** As they were given. */
  readonly options: O;

  constructor(place: string, axes: number, kernelSize: K, options: O, known: readonly string[]) {
    super();
    checkOptions(place, options, ["stride", "padding", "ceilMode", ...known]);
    poolSteps(place, axes, kernelSize, options);
    this.kernelSize = kernelSize;
    this.options = options;
  }

  protected override shown(): string {
    const list = (v: unknown): string => (Array.isArray(v) ? showShape(v) : String(v));
    return Object.entries({ kernelSize: this.kernelSize, ...this.options })
      .map(([name, value]) => `${name}=${list(value)}`)
      .join(", ");
  }
}

/** The largest entry of each window along a sequence; `kernelSize` and options as in the op `maxPool1d`. */
export class MaxPool1d extends Pool<Size, MaxPoolOptions<Size>> {
  constructor(kernelSize: Size, options: MaxPoolOptions<Size> = {}) {
    super("MaxPool1d", 1, kernelSize, options, ["dilation"]);
  }
  override forward<S extends Shape, D extends FloatDType>(x: Tensor<S, D>): Tensor<Pooled<S, [number]>, D> {
    return maxPool1d(x, this.kernelSize, this.options);
  }
}

/** The largest entry of each window on planes; `kernelSize` and options as in the op `maxPool2d`. */
export class MaxPool2d extends Pool<Sizes, MaxPoolOptions> {
  constructor(kernelSize: Sizes, options: MaxPoolOptions = {}) {
    super("MaxPool2d", 2, kernelSize, options, ["dilation"]);
  }
  override forward<S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
  ): Tensor<Pooled<S, [number, number]>, D> {
    return maxPool2d(x, this.kernelSize, this.options);
  }
}

/** The mean of each window along a sequence; `kernelSize` and options as in the op `avgPool1d`. */
export class AvgPool1d extends Pool<Size, AvgPoolOptions<Size>> {
  constructor(kernelSize: Size, options: AvgPoolOptions<Size> = {}) {
    super("AvgPool1d", 1, kernelSize, options, ["countIncludePad"]);
  }
  override forward<S extends Shape, D extends FloatDType>(x: Tensor<S, D>): Tensor<Pooled<S, [number]>, D> {
    return avgPool1d(x, this.kernelSize, this.options);
  }
}

/** The mean of each window on planes; `kernelSize` and options as in the op `avgPool2d`. */
export class AvgPool2d extends Pool<Sizes, AvgPoolOptions> {
  constructor(kernelSize: Sizes, options: AvgPoolOptions = {}) {
    super("AvgPool2d", 2, kernelSize, options, ["countIncludePad"]);
  }
  override forward<S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
  ): Tensor<Pooled<S, [number, number]>, D> {
    return avgPool2d(x, this.kernelSize, this.options);
  }
}

/**
 * Joins the axes from `startDim` (default 1: examples stay apart) to `endDim` (default −1: the last) into one.
 *
 * @example
 * new Flatten().forward(zeros([32, 16, 4, 4])).shape; // [32, 256]
 */
export class Flatten extends Module {
  readonly startDim: number;
  readonly endDim: number;

  constructor(startDim = 1, endDim = -1) {
    super();
    for (const [name, axis] of Object.entries({ startDim, endDim }))
      if (!Number.isInteger(axis))
        throw new ArgumentError("Flatten", `${name} is ${showValue(axis)}`, "give the number of an axis");
    this.startDim = startDim;
    this.endDim = endDim;
  }

  override forward<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D> {
    checkTensor("Flatten", x);
    const [first, last] = [this.startDim, this.endDim].map((axis) => normalizeAxis("Flatten", axis, x.rank));
    if (first! > last!)
      throw new ShapeError(
        "Flatten",
        `axes ${this.startDim} to ${this.endDim} of shape ${showShape(x.shape)} are none`,
        "let startDim stand before endDim",
      );
    const { shape } = x as Tensor;
    const joined = sizeOf(shape.slice(first, last! + 1));
    return reshape(x, shape.toSpliced(first!, last! + 1 - first!, joined));
  }

  protected override shown(): string {
    return `startDim=${this.startDim}, endDim=${this.endDim}`;
  }
}
