// The plain output layer: scores of all classes and one softmax. What the others are measured against.

import type { CreateOptions } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { crossEntropy } from "../../losses/cross-entropy.ts";
import { logSoftmax } from "../../ops/maps/softmax.ts";
import type { LayerRandomness } from "../keys.ts";
import { Linear, type LinearOptions } from "../linear.ts";
import { type Batch, OutputLayer } from "./layer.ts";

/** Where the weights of an output layer come from and live. */
export interface WeightOptions<D extends FloatDType = FloatDType> extends LayerRandomness, CreateOptions<D> {}

/**
 * A softmax over the scores of all classes, W·x + b: exact, and as dear as there are classes. The layer to compare others with.
 *
 * Costs 2·N·inFeatures·nClasses flops forward and three times that to train. Parameters as in `Linear`, under the name `decoder`.
 *
 * @example
 * import { tensor } from "simplexgrad";
 * import { FullSoftmax } from "simplexgrad/nn";
 *
 * const layer = new FullSoftmax(2, 3);
 * const x = tensor([[1, 2], [0, 1]]);
 * layer.forward(x, [2, 0]).loss.shape; // []
 * layer.logProb(x).shape;              // [2, 3]
 */
export class FullSoftmax<D extends FloatDType = "f32"> extends OutputLayer<D> {
  readonly decoder: Linear<number, number, D>;

  constructor(inFeatures: number, nClasses: number, options: LinearOptions<D> = {}) {
    super("FullSoftmax", inFeatures, nClasses);
    this.decoder = new Linear(inFeatures, nClasses, options);
  }

  protected override rowLosses({ rows, ids }: Batch<D>): Tensor<Shape, D> {
    return crossEntropy(this.decoder.forward(rows as never) as Tensor<Shape, D>, ids, {
      reduction: "none",
    });
  }

  protected override rowLogProb(rows: Tensor<Shape, D>): Tensor<Shape, D> {
    return logSoftmax(this.decoder.forward(rows as never) as never) as unknown as Tensor<Shape, D>;
  }
}
