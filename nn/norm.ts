// Normalisation of features: rows brought to mean 0 and variance 1, or to root mean square 1. A formula of rows, weights included.
// Normalisation over a batch stands in batch-norm.ts.

import { type CreateOptions, ones, zeros } from "../core/create.ts";
import { dtypes, type FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkFloat, checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { add, div, mul, n, type Row, type Scalar, sqrt, sub, sum } from "../core/row/expr.ts";
import { type RowMap, rowMap } from "../core/rowop.ts";
import { type Checked, type Matmul, type Shape, sameShape, sizeOf } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { checkSize, checkSwitch, destinationOf, parameter } from "./drawn.ts";
import { Module } from "./module.ts";

/** What follows normalisation, one value for each feature, and what is added to the mean of squares. */
interface Affine {
  readonly weight?: Tensor;
  readonly bias?: Tensor;
  readonly eps: number;
}

const params = {
  weight: { is: "classes", optional: true },
  bias: { is: "classes", optional: true },
  eps: { is: "scalar", min: 0 },
} as const;

/** x ÷ √(mean x² + ε), times the weights, plus the biases. */
const scaled = (x: Row, weight: Row | undefined, bias: Row | undefined, eps: Scalar): Row => {
  const unit = div(x, sqrt(add(div(sum(mul(x, x)), n), eps)));
  const weighted = weight ? mul(unit, weight) : unit;
  return (bias ? add(weighted, bias) : weighted) as Row;
};

/** Centred first: differences of large squares have no digits left. */
const layerRows: RowMap<Affine> = /* @__PURE__ */ rowMap("LayerNorm", {
  doc: "Rows of mean 0 and variance 1.",
  params,
  program: ({ x, weight, bias, eps }) => scaled(sub(x, div(sum(x), n)) as Row, weight, bias, eps),
  examples: [],
});

const rmsRows: RowMap<Affine> = /* @__PURE__ */ rowMap("RMSNorm", {
  doc: "Rows of root mean square 1.",
  params,
  program: ({ x, weight, bias, eps }) => scaled(x, weight, bias, eps),
  examples: [],
});

/** The sizes that a layer normalises over, as they are given. */
type Sizes = number | readonly number[];

/** The same as a shape. */
export type Normalized<N extends Sizes> = N extends number
  ? readonly [N]
  : N extends readonly number[]
    ? N
    : never;

/** The number of entries of the last axis. */
type Last<N extends Sizes> = N extends number
  ? N
  : N extends readonly [...(readonly number[]), infer L extends number]
    ? L
    : number;

function normalized(place: string, sizes: unknown): number[] {
  const shape: unknown = typeof sizes === "number" ? [sizes] : sizes;
  if (!Array.isArray(shape) || shape.length === 0)
    throw new ArgumentError(
      place,
      `normalizedShape is ${showValue(sizes)}`,
      "give the number of features, or the sizes of the last axes",
    );
  for (const size of shape) checkSize(place, size, "features");
  return [...shape];
}

function checkEps(place: string, eps: unknown): void {
  if (typeof eps !== "number" || !(eps >= 0) || !Number.isFinite(eps))
    throw new DomainError(place, `eps is ${showValue(eps)}`, "give a small number that is not negative");
}

/** Rows through a map: the last axes, which must have the sizes of the layer, count as one. */
function overRows(
  place: string,
  x: Tensor,
  shape: readonly number[],
  map: (rows: Tensor<Shape, FloatDType>) => Tensor,
): Tensor {
  checkTensor(place, x);
  checkFloat(place, x);
  const outer = x.shape.slice(0, Math.max(0, x.rank - shape.length));
  if (!sameShape(x.shape.slice(outer.length), shape))
    throw new ShapeError(
      place,
      `x of shape ${showShape(x.shape)} where normalizedShape is ${showShape(shape)}`,
      `give ${showShape(["...", ...shape])}`,
    );
  const rows = x as Tensor<Shape, FloatDType>;
  return shape.length === 1 ? map(rows) : reshape(map(reshape(rows, [...outer, sizeOf(shape)])), x.shape);
}

/** Values of a parameter as one row. */
const rowOf = (p: Parameter | null): Tensor | undefined => p?.value && reshape(p.value, [-1]);

export interface LayerNormOptions<D extends FloatDType = FloatDType> extends CreateOptions<D> {
  /** What is added to the variance: 1e-5 by default. */
  readonly eps?: number;
  /** Whether weights and biases are there (default true). */
  readonly elementwiseAffine?: boolean;
  /** Whether biases are there, if weights are (default true). */
  readonly bias?: boolean;
}

/**
 * Each row brought to mean 0 and variance 1, then times a weight and plus a bias for each feature: (x − mean)/√(variance + ε)·w +
 * b (Ba, Kiros & Hinton 2016, eq. 4), with the biased variance. [..., ...normalizedShape] → the same shape: a row is one axis, or
 * the several that `normalizedShape` names. Weights begin as 1 and biases as 0, as in PyTorch.
 *
 * Throws ShapeError where the last axes have other sizes.
 * @example
 * const model = new Sequential(new Linear(64, 32), new LayerNorm(32), relu, new Linear(32, 10));
 */
export class LayerNorm<const N extends Sizes = number, D extends FloatDType = "f32"> extends Module {
  readonly normalizedShape: Normalized<N>;
  readonly eps: number;
  readonly weight: Parameter<Normalized<N>, D> | null;
  readonly bias: Parameter<Normalized<N>, D> | null;

  constructor(normalizedShape: N, options: LayerNormOptions<D> = {}) {
    super();
    checkOptions("LayerNorm", options, ["eps", "elementwiseAffine", "bias", "dtype", "device"]);
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    checkEps("LayerNorm", eps);
    checkSwitch("LayerNorm", "elementwiseAffine", elementwiseAffine);
    checkSwitch("LayerNorm", "bias", bias);
    const shape = normalized("LayerNorm", normalizedShape) as unknown as Normalized<N>;
    const where = destinationOf(options);
    this.normalizedShape = shape;
    this.eps = eps;
    this.weight = elementwiseAffine
      ? parameter("weight", () => ones(shape, where) as Tensor<Shape, D>)
      : null;
    this.bias =
      elementwiseAffine && bias ? parameter("bias", () => zeros(shape, where) as Tensor<Shape, D>) : null;
  }

  override forward<S extends Shape>(x: Checked<Tensor<S, D>, Matmul<S, [Last<N>, Last<N>]>>): Tensor<S, D> {
    const [weight, bias] = [rowOf(this.weight as Parameter | null), rowOf(this.bias as Parameter | null)];
    const affine = { ...(weight ? { weight } : {}), ...(bias ? { bias } : {}), eps: this.eps };
    return overRows("LayerNorm", x as Tensor, this.normalizedShape, (rows) =>
      layerRows(rows, affine),
    ) as Tensor<S, D>;
  }

  protected override shown(): string {
    return `${showShape(this.normalizedShape)}, eps=${this.eps}, elementwiseAffine=${this.weight !== null}`;
  }
}

export interface RMSNormOptions<D extends FloatDType = FloatDType> extends CreateOptions<D> {
  /** What is added to the mean of squares; null (default) is the distance from 1 to the next number of the element type. */
  readonly eps?: number | null;
  /** Whether weights are there (default true). */
  readonly elementwiseAffine?: boolean;
}

/**
 * Each row divided by its root mean square, then times a weight for each feature: x/√(mean x² + ε)·w (Zhang & Sennrich 2019, eq. 4).
 * Nothing is subtracted, which costs nothing in most networks and saves a pass. Shapes, first values and errors as for
 * `LayerNorm`; there are no biases.
 *
 * @example
 * new RMSNorm(2, { eps: 0 }).forward(tensor([3, 4])).toArray(); // [0.8485, 1.1314]
 */
export class RMSNorm<const N extends Sizes = number, D extends FloatDType = "f32"> extends Module {
  readonly normalizedShape: Normalized<N>;
  readonly eps: number | null;
  readonly weight: Parameter<Normalized<N>, D> | null;

  constructor(normalizedShape: N, options: RMSNormOptions<D> = {}) {
    super();
    checkOptions("RMSNorm", options, ["eps", "elementwiseAffine", "dtype", "device"]);
    const { eps = null, elementwiseAffine = true } = options;
    if (eps !== null) checkEps("RMSNorm", eps);
    checkSwitch("RMSNorm", "elementwiseAffine", elementwiseAffine);
    const shape = normalized("RMSNorm", normalizedShape) as unknown as Normalized<N>;
    this.normalizedShape = shape;
    this.eps = eps;
    this.weight = elementwiseAffine
      ? parameter("weight", () => ones(shape, destinationOf(options)) as Tensor<Shape, D>)
      : null;
  }

  override forward<S extends Shape>(x: Checked<Tensor<S, D>, Matmul<S, [Last<N>, Last<N>]>>): Tensor<S, D> {
    const weight = rowOf(this.weight as Parameter | null);
    return overRows("RMSNorm", x as Tensor, this.normalizedShape, (rows) =>
      rmsRows(rows, { ...(weight ? { weight } : {}), eps: this.eps ?? dtypes[rows.dtype].eps }),
    ) as Tensor<S, D>;
  }

  protected override shown(): string {
    return `${showShape(this.normalizedShape)}, eps=${this.eps}, elementwiseAffine=${this.weight !== null}`;
  }
}
