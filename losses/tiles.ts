// The scores of a linear layer tile by tile, and the gradients of the layer from those of a tile: how a loss of many classes
// runs without a tensor of all its scores. Runs kernels below the tape; what a loss makes of its tiles is its own affair.

import type { Backend, MatrixOperand } from "../core/backends/backend.ts";
import { matmul } from "../core/backends/kernels.ts";
import { full } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkFloat, rowMajor, sameBackend } from "../core/op.ts";
import { checkedLabels, IGNORED, type Labels } from "../core/rowop.ts";
import { linearShape, type Shape } from "../core/shape.ts";
import { checkTensor, newTensor, type Tensor, viewOf, zerosBeside } from "../core/tensor.ts";
import { div, greater, where } from "../ops/elementwise.ts";
import { operand } from "../ops/matmul.ts";

/** Rows or classes side by side. */
export interface Span {
  readonly start: number;
  readonly count: number;
}

/** So many things in spans of at most `most`. */
export const spans = (total: number, most: number): Span[] =>
  Array.from({ length: Math.ceil(total / most) }, (_, i) => ({
    start: i * most,
    count: Math.min(most, total - i * most),
  }));

/** How much of the scores is there at a time. */
export interface ChunkOptions {
  /** Rows of a tile. */
  readonly chunkRows?: number;
  /** Classes of a tile. */
  readonly chunkClasses?: number;
}

/** A number among the options, checked. */
export function numberOf(
  place: string,
  key: string,
  value: unknown,
  holds: (v: number) => boolean,
  wayOut: string,
): number {
  if (typeof value !== "number")
    throw new ArgumentError(place, `${key} is ${showValue(value)}`, "give a number");
  if (!holds(value)) throw new DomainError(place, `${key} is ${value}`, wayOut);
  return value;
}

/** How many rows, or classes, a tile has. */
export const chunkSize = (
  place: string,
  options: ChunkOptions,
  key: keyof ChunkOptions,
  usual: number,
): number =>
  numberOf(place, key, options[key] ?? usual, (v) => Number.isInteger(v) && v >= 1, "give 1, 2, 3, …");

/** 1/total, or 0 where nothing counts. */
export function inverse(total: Tensor<Shape, FloatDType>): Tensor<Shape, FloatDType> {
  const some = greater(total, 0) as Tensor<Shape, "bool">;
  return where(some, div(1, total) as typeof total, 0) as typeof total;
}

/** A tensor whose gradient is summed up, tile by tile, if it is wanted. */
export interface Sums {
  readonly x: Tensor | undefined;
  readonly weight: Tensor | undefined;
  readonly bias: Tensor | undefined;
  /** A row of ones, beside a bias: its gradient is a product like the others. */
  readonly ones: Tensor | undefined;
}

/** What a tile of gradients is added to, and whether anything stands there yet. */
export interface Adding {
  readonly x: boolean;
  readonly weight: boolean;
}

const turned = (m: MatrixOperand): MatrixOperand => ({ ...m, transposed: !m.transposed });
/** A matrix from one of its rows on. */
const from = (m: MatrixOperand, row: number): MatrixOperand => ({
  ...m,
  offset: m.offset + row * (m.transposed ? 1 : m.stride),
});
const whole = (t: Tensor): MatrixOperand => ({
  storage: t.storage,
  offset: t.offset,
  stride: t.shape[1]!,
  transposed: false,
  batchOffsets: [0],
});

/** x·Wᵀ + b, to be computed in parts: x [N, d], weight [V, d], bias [V]. */
export class Layer {
  readonly rows: number;
  readonly features: number;
  readonly classes: number;
  readonly backend: Backend;
  readonly dtype: FloatDType;
  private readonly x: MatrixOperand;
  private readonly weight: MatrixOperand;
  private readonly bias: Tensor | undefined;

  constructor(x: Tensor, weight: Tensor, bias: Tensor | undefined) {
    this.rows = x.shape[0]!;
    this.features = x.shape[1]!;
    this.classes = weight.shape[0]!;
    this.backend = x.backend;
    this.dtype = x.dtype as FloatDType;
    this.x = operand(x, []);
    this.weight = operand(weight, []);
    this.bias = bias && rowMajor(bias);
  }

  /** An uninitialised tensor beside the layer. */
  space(...shape: number[]): Tensor<Shape, FloatDType> {
    return newTensor(this.backend, this.dtype, shape, "fused");
  }

  /** A number as a tensor beside the layer. */
  number(value: number): Tensor<Shape, FloatDType> {
    return full([], value, { dtype: this.dtype, device: this.backend.name }) as Tensor<Shape, FloatDType>;
  }

  /** The scores of a tile, in row-major order from an element of `out` on. */
  scores(rows: Span, classes: Span, out: Tensor, offset = 0): Tensor<Shape, FloatDType> {
    const { bias } = this;
    this.backend.run(
      matmul,
      this.dtype,
      from(this.x, rows.start),
      turned(from(this.weight, classes.start)),
      out.storage,
      rows.count,
      this.features,
      classes.count,
      bias && { storage: bias.storage, offset: bias.offset + classes.start, rowStride: 0 },
      { offset, adds: false },
    );
    return viewOf(out, [rows.count, classes.count], null, offset) as Tensor<Shape, FloatDType>;
  }

  /** Tensors for the gradients that are wanted; zeros if tiles may be left out. */
  sums(wanted: readonly boolean[], like: readonly (Tensor | undefined)[], zeros: boolean): Sums {
    const make = (i: number): Tensor | undefined =>
      wanted[i] ? (zeros ? zerosBeside(like[i]!) : this.space(...like[i]!.shape)) : undefined;
    const { rows, dtype, backend } = this;
    const ones = wanted[2] ? full([1, rows], 1, { dtype, device: backend.name }) : undefined;
    return { x: make(0), weight: make(1), bias: make(2), ones };
  }

  /** Carries the gradients `dz` of a tile's scores on to those of the layer. */
  addTo(sums: Sums, dz: Tensor, rows: Span, classes: Span, adding: Adding): void {
    const { backend, dtype, features } = this;
    const g = whole(dz);
    const product = (
      a: MatrixOperand,
      b: MatrixOperand,
      out: Tensor,
      sizes: readonly [m: number, k: number, n: number],
      offset: number,
      adds: boolean,
    ): void => backend.run(matmul, dtype, a, b, out.storage, ...sizes, undefined, { offset, adds });
    if (sums.x)
      product(
        g,
        from(this.weight, classes.start),
        sums.x,
        [rows.count, classes.count, features],
        rows.start * features,
        adding.x,
      );
    if (sums.weight)
      product(
        turned(g),
        from(this.x, rows.start),
        sums.weight,
        [classes.count, rows.count, features],
        classes.start * features,
        adding.weight,
      );
    if (sums.bias) {
      const sizes = [1, rows.count, classes.count] as const;
      product(whole(sums.ones!), g, sums.bias, sizes, classes.start, adding.weight);
    }
  }
}

/** The arguments of a loss of a linear layer, checked. Gives the classes of the rows as a tensor. */
export function checkLayer(
  place: string,
  x: unknown,
  weight: unknown,
  bias: unknown,
  target: unknown,
  ignoreIndex: unknown = IGNORED,
): Tensor<Shape, "i32"> {
  const given = bias === undefined ? [x, weight] : [x, weight, bias];
  for (const t of given) checkTensor(place, t);
  const [first, second, third] = given as [Tensor, Tensor, Tensor?];
  const backend = sameBackend(place, given as Tensor[]);
  const dtype = checkFloat(place, first);
  for (const t of given as Tensor[])
    if (t.dtype !== dtype)
      throw new DTypeError(
        place,
        `element types ${dtype} and ${t.dtype} differ`,
        `convert one: cast(x, "${dtype}")`,
      );
  linearShape(place, first.shape, second.shape, third?.shape);
  if (second.shape[0] === 0)
    throw new ShapeError(
      place,
      `weight of shape ${showShape(second.shape)} has no classes`,
      "give at least one",
    );
  if (!Number.isInteger(ignoreIndex))
    throw new DomainError(place, `ignoreIndex is ${showValue(ignoreIndex)}`, "give an integer");
  const labels = checkedLabels(
    place,
    "target",
    target as Labels,
    backend,
    first.shape.slice(0, -1),
    second.shape[0]!,
    ignoreIndex,
  );
  sameBackend(place, [first, labels]);
  return labels;
}
