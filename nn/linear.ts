// The linear layer: x·Wᵀ + b.

import type { CreateOptions } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ShapeError, showShape } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { split } from "../core/random.ts";
import { type Checked, type Matmul, type Result, type Shape, sizeOf } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { linear } from "../ops/matmul.ts";
import { checkSize, checkSwitch, uniformParameter } from "./drawn.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Module } from "./module.ts";

export interface LinearOptions<D extends FloatDType = FloatDType> extends LayerRandomness, CreateOptions<D> {
  /** Whether b is there (default true). */
  readonly bias?: boolean;
}

/**
 * x·Wᵀ + b for rows of `In` features, giving rows of `Out`: [..., In] → [..., Out]. W is stored as [Out, In] and drawn, like b,
 * uniformly within ±1/√In, as in PyTorch.
 *
 * Nothing is random that was not asked for: the weights follow from the sizes and a seed, which is 0 where none is given. So a
 * program trains in the same way each time; but two layers of the same sizes begin alike unless their seeds (or keys) differ.
 *
 * @example
 * const layer = new Linear(784, 128, { seed: 1 });
 * layer.forward(zeros([32, 784])).shape; // [32, 128]
 */
export class Linear<
  const In extends number = number,
  const Out extends number = number,
  D extends FloatDType = "f32",
> extends Module {
  readonly inFeatures: In;
  readonly outFeatures: Out;
  readonly weight: Parameter<[Out, In], D>;
  readonly bias: Parameter<[Out], D> | null;

  constructor(inFeatures: In, outFeatures: Out, options: LinearOptions<D> = {}) {
    super();
    checkOptions("Linear", options, ["bias", "key", "seed", "dtype", "device"]);
    checkSize("Linear", inFeatures, "features");
    checkSize("Linear", outFeatures, "features");
    const { bias = true } = options;
    checkSwitch("Linear", "bias", bias);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const [forWeight, forBias] = split(layerKey("Linear", options, inFeatures, outFeatures));
    const reach = 1 / Math.sqrt(inFeatures);
    this.weight = uniformParameter("weight", [outFeatures, inFeatures], reach, forWeight!, options);
    this.bias = bias ? uniformParameter("bias", [outFeatures], reach, forBias!, options) : null;
  }

  /** [..., In] → [..., Out]. Throws ShapeError where the last axis has another size. */
  override forward<S extends Shape>(
    x: Checked<Tensor<S, D>, Matmul<S, [In, Out]>>,
  ): Tensor<Result<Matmul<S, [In, Out]>>, D> {
    checkTensor("Linear", x);
    const rows = x as Tensor<Shape, D>;
    const features = rows.shape.at(-1);
    if (features !== this.inFeatures) {
      const planes = rows.rank > 2 && sizeOf(rows.shape.slice(1)) === this.inFeatures;
      throw new ShapeError(
        "Linear",
        `rows of ${features ?? "no"} features in x of shape ${showShape(rows.shape)}, where the layer takes ${this.inFeatures}`,
        planes
          ? "join the axes of each example first: new Flatten(), or x.reshape"
          : `give [..., ${this.inFeatures}]`,
      );
    }
    return linear(
      rows,
      this.weight.value as Tensor<Shape, D>,
      this.bias?.value as Tensor<Shape, D> | undefined,
    ) as Tensor<Result<Matmul<S, [In, Out]>>, D>;
  }

  protected override shown(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${this.bias !== null}`;
  }
}
