// Layers one after the other.

import type { DType, FloatDType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import type { Checked, HasRows, Matmul, Mismatch, Result, Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { Module } from "./module.ts";

/** A module of one input, or a function of a tensor. */
export type Layer = { readonly forward: (x: never) => unknown } | ((x: never) => unknown);

/** Functions that give a tensor of the shape they get: `relu`, dropout, batch normalisation, and, written as row maps are, `softmax`. */
type KeepsShape =
  | (<S extends Shape>(x: Tensor<S, "f32">) => Tensor<S, "f32">)
  | (<S extends Shape>(x: Tensor<S, "f64">) => Tensor<S, "f64">)
  | (<S extends Shape, D extends FloatDType>(x: Tensor<S, D>) => Tensor<S, D>)
  | (<S extends Shape, D extends FloatDType>(x: Checked<Tensor<S, D>, HasRows<S>>) => Tensor<S, D>);

/**
 * The features that a layer takes and gives; one number where it gives ids features on a new axis, null where it gives what it
 * gets, undefined where only the run knows.
 */
export type Features<L> = L extends {
  readonly inFeatures: infer I extends number;
  readonly outFeatures: infer O extends number;
}
  ? [I, O]
  : L extends { readonly embeddingDim: infer O extends number }
    ? [O]
    : L extends { readonly normalizedShape: readonly [...(readonly number[]), infer N extends number] }
      ? number extends N
        ? null
        : [N, N]
      : L extends { readonly normalizedShape: readonly number[] }
        ? null
        : FunctionOf<L> extends KeepsShape
          ? null
          : undefined;

/** A layer as a function. */
type FunctionOf<L> = L extends { readonly forward: infer F } ? F : L;

/** What the layers make of rows with `Size` features: for each `unknown`, or the complaint about what comes before it. */
type Chain<
  L extends readonly unknown[],
  Size extends number = number,
  Verdicts extends readonly unknown[] = [],
> = L extends readonly [infer Head, ...infer Tail]
  ? Features<Head> extends [infer I extends number, infer O extends number]
    ? Chain<Tail, O, [...Verdicts, Fit<Size, I>]>
    : Features<Head> extends [infer O extends number]
      ? Chain<Tail, O, [...Verdicts, unknown]>
      : Chain<Tail, Features<Head> extends null ? Size : number, [...Verdicts, unknown]>
  : readonly [...Verdicts, ...L];

type Fit<Size extends number, I extends number> = number extends I | Size
  ? unknown
  : Size extends I
    ? unknown
    : Mismatch<
        "Sequential: the layer before gives another number of features than this one takes",
        [Size, I]
      >;

/** What the first layer that has sizes says of a shape. */
type Entered<S extends Shape, L extends readonly unknown[]> = L extends readonly [infer Head, ...infer Tail]
  ? Features<Head> extends [infer I extends number, infer O extends number]
    ? Matmul<S, [I, O]>
    : Features<Head> extends null
      ? Entered<S, Tail>
      : S
  : S;

/** What the first layer says of an element type: ids go where a layer takes them. */
type Typed<D extends DType, L extends readonly unknown[]> = D extends FloatDType
  ? unknown
  : L extends readonly [infer Head, ...unknown[]]
    ? FunctionOf<Head> extends (x: infer X) => unknown
      ? Tensor<Shape, D> extends X
        ? unknown
        : Mismatch<"Sequential: the first layer takes another element type", [D]>
      : unknown
    : unknown;

/** The element type after all layers: what comes in, or that of the rows that ids stand for. */
type Floats<D extends DType, L extends readonly unknown[]> = D extends FloatDType
  ? D
  : L extends readonly [{ readonly weight: { readonly value: Tensor<Shape, infer E> } }, ...unknown[]]
    ? E & FloatDType
    : FloatDType;

/** The shape after all layers. */
type Left<S extends Shape, L extends readonly unknown[]> = number extends L["length"]
  ? Shape
  : L extends readonly [infer Head, ...infer Tail]
    ? Features<Head> extends [infer I extends number, infer O extends number]
      ? Left<Result<Matmul<S, [I, O]>>, Tail>
      : Features<Head> extends [infer O extends number]
        ? Left<[...S, O], Tail>
        : Features<Head> extends null
          ? Left<S, Tail>
          : Shape
    : S;

/**
 * A model that applies layers (modules, or functions of a tensor) in order. Parameters are named by position: `0.weight`. Where
 * the layers' sizes are written down, a layer that does not fit the one before is a compile error.
 *
 * @example
 * const model = new Sequential(new Linear(784, 128), relu, new Linear(128, 10));
 * model.forward(zeros([32, 784])).shape; // [32, 10]
 */
export class Sequential<const L extends readonly Layer[] = readonly Layer[]> extends Module {
  readonly layers: L;

  constructor(...layers: L & Chain<L>) {
    super();
    layers.forEach((layer: unknown, i) => {
      const fits = typeof layer === "function" || (layer instanceof Module && "forward" in layer);
      if (!fits)
        throw new ArgumentError(
          "Sequential",
          `layer ${i} is ${showValue(layer)}`,
          "give modules and functions of a tensor",
        );
    });
    this.layers = layers;
  }

  /** The output of the last layer. */
  override forward<S extends Shape, D extends DType>(
    x: Checked<Checked<Tensor<S, D>, Entered<S, L>>, Typed<D, L>>,
  ): Tensor<Left<S, L>, Floats<D, L>> {
    let h: unknown = x;
    for (const layer of this.layers)
      h = typeof layer === "function" ? layer(h as never) : layer.forward(h as never);
    return h as Tensor<Left<S, L>, Floats<D, L>>;
  }

  protected override members(): readonly (readonly [name: string, member: unknown])[] {
    return Object.entries(this.layers);
  }
}
