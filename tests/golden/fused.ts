// Golden adapters of fused layers.

import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import type { Adapters, Tensors } from "./adapter.ts";

/** The arguments of a loss of a linear layer, in order. */
const layerOf = ({ x, weight, bias, target }: Tensors) =>
  [x, weight, bias, target] as [Float, Float, Float | undefined, Tensor<Shape, "i32">];
type Float = Tensor<Shape, FloatDType>;

export const fusedLayers: Adapters = {
  // Whole layers without their scores
  fused_linear_cross_entropy:
    () =>
    (inputs, { params }) => {
      const { softcap, ignoreIndex, ...rest } = params;
      return losses.fusedLinearCrossEntropy(...layerOf(inputs), {
        ...rest,
        ...(softcap ? { softCap: softcap as number } : {}),
        ...(ignoreIndex === undefined ? {} : { ignoreIndex: ignoreIndex as number }),
        ...(inputs.class_weight ? { classWeight: inputs.class_weight } : {}),
        returns: ["lse"],
      }) as Tensors;
    },
};
