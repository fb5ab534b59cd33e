// The one mutable thing: a cell that holds a tensor between steps. Models are made of these.
// Knows no module and no optimizer; gradients are the tape's.

import type { DType, FloatDType } from "./dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "./errors.ts";
import { display, showTensor } from "./inspect.ts";
import { handToCurrent, Keeper, keepBy } from "./scope.ts";
import { type Shape, sameShape } from "./shape.ts";
import { checkTensor, contiguous, isContiguous, type Tensor, viewOf } from "./tensor.ts";

export interface ParameterOptions {
  /** What messages, listings and checkpoints call it. */
  readonly name?: string;
  /** Whether optimizers change it (default true); false for state that a forward pass keeps. */
  readonly trainable?: boolean;
}

/**
 * A tensor that can be replaced by another of the same shape and element type. Its value lives outside every scope.
 *
 * @example
 * const w = new Parameter(zeros([784, 10]), { name: "weight" });
 * w.value = add(w.value, 1);
 */
export class Parameter<S extends Shape = Shape, D extends DType = FloatDType> {
  name: string;
  readonly trainable: boolean;
  /** @internal Who frees the value, unless it was handed to someone else. */
  readonly keeper: Keeper = new Keeper();
  private current: Tensor<S, D>;

  constructor(value: Tensor<S, D>, options: ParameterOptions = {}) {
    checkTensor("Parameter", value);
    const { name = "parameter", trainable = true } = options;
    if (typeof name !== "string")
      throw new ArgumentError(
        "Parameter",
        `the name ${showValue(name)} is not a string`,
        'give { name: "weight" }',
      );
    if (typeof trainable !== "boolean")
      throw new ArgumentError("Parameter", `trainable is ${showValue(trainable)}`, "give true or false");
    this.name = name;
    this.trainable = trainable;
    this.current = this.handle(value);
    keepBy(this.current, this.keeper);
  }

  get value(): Tensor<S, D> {
    return this.current;
  }

  /** Replaces the value. The old one is freed with the scope that is open now (by the garbage collector outside of all). */
  set value(next: Tensor<S, D>) {
    checkTensor(this.name, next);
    if (next === this.current) return;
    const { shape, dtype } = this.current;
    if (!sameShape(next.shape, shape)) {
      throw new ShapeError(
        this.name,
        `a value of shape ${showShape(next.shape)} for a parameter of shape ${showShape(shape)}`,
        "a parameter keeps its shape; make a new one",
      );
    }
    if (next.dtype !== dtype)
      throw new DTypeError(
        this.name,
        `a value of ${next.dtype} for a parameter of ${dtype}`,
        "cast it first",
      );
    const own = this.handle(next);
    // Whoever kept the old value meanwhile has it from now on.
    if (this.current.owner === this.keeper) handToCurrent(this.current);
    keepBy(own, this.keeper);
    this.current = own;
  }

  get shape(): Tensor<S, D>["shape"] {
    return this.current.shape;
  }

  get dtype(): D {
    return this.current.dtype;
  }

  get size(): number {
    return this.current.size;
  }

  /** The tensor itself if only a scope owns it, else another handle on its memory; contiguous. */
  private handle(value: Tensor<S, D>): Tensor<S, D> {
    if (!isContiguous(value)) return contiguous(value);
    if (value.held !== null && !(value.owner instanceof Keeper)) return value;
    return viewOf<D, S>(value, value.shape, null, value.offset);
  }

  toString(): string {
    return `${this.name}: ${showTensor(this.current)}`;
  }

  static {
    display(Parameter.prototype);
  }
}
