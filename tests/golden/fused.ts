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

/** Both forms of a loss with exact zeros. */
const sparse =
  (loss: losses.FusedSparseLoss) =>
  (inputs: Tensors): Tensors => ({
    loss_per_sample: loss(...layerOf(inputs), { reduction: "none" }),
    loss: loss(...layerOf(inputs)),
  });

export const fusedLayers: Adapters = {
  // Whole layers without their scores
  fused_linear_sparsemax_loss: () => sparse(losses.fusedLinearSparsemaxLoss),
  fused_linear_entmax15_loss: () => sparse(losses.fusedLinearEntmax15Loss),
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
