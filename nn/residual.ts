// x + inner(x): a layer that learns what is to be added.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { type Mismatch, type Shape, sameShape } from "../core/shape.ts";
import { checkTensor, Tensor } from "../core/tensor.ts";
import { add } from "../ops/elementwise.ts";
import { Module } from "./module.ts";
import type { Features, Layer } from "./sequential.ts";

/** Whether a layer gives as many features as it takes, as far as types tell. */
type Keeps<L> =
  Features<L> extends [infer I extends number, infer O extends number]
    ? I extends O
      ? unknown
      : Mismatch<"Residual: inner gives another number of features than it takes", [I, O]>
    : unknown;

/**
 * x + inner(x) (He et al. 2016, eq. 1), where `inner` is any layer, or function of a tensor, that gives the shape it gets. Its
 * parameters are named `inner.…`. Throws ShapeError where it gives another shape: nothing is stretched.
 *
 * @example
 * const block = new Residual(new Sequential(new LayerNorm(64), new Linear(64, 64), relu));
 */
export class Residual<const L extends Layer = Layer> extends Module {
  readonly inner: L;

  constructor(inner: L & Keeps<L>) {
    super();
    const given: unknown = inner;
    if (typeof given !== "function" && !(given instanceof Module))
      throw new ArgumentError(
        "Residual",
        `inner is ${showValue(given)}`,
        "give a module, or a function of a tensor",
      );
    this.inner = inner;
  }

  override forward<S extends Shape, D extends FloatDType>(x: Tensor<S, D>): Tensor<S, D> {
    checkTensor("Residual", x);
    const { inner } = this;
    const change: unknown = typeof inner === "function" ? inner(x as never) : inner.forward(x as never);
    if (!(change instanceof Tensor))
      throw new ArgumentError(
        "Residual",
        `inner gives ${showValue(change)}`,
        "give a layer that gives a tensor",
      );
    if (!sameShape(change.shape, x.shape))
      throw new ShapeError(
        "Residual",
        `inner gives shape ${showShape(change.shape)} for x of shape ${showShape(x.shape)}`,
        "give a layer that keeps the shape",
      );
    return add(x, change as never) as Tensor<S, D>;
  }
}
