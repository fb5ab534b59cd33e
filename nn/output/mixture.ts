// A mixture of softmaxes as an output layer: log-probabilities whose rank is not bounded by the number of features.

import type { FloatDType } from "../../core/dtype.ts";
import { checkOptions } from "../../core/op.ts";
import { split as splitKey } from "../../core/random.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { reshape } from "../../core/views.ts";
import { crossEntropy } from "../../losses/cross-entropy.ts";
import { neg, sub, tanh } from "../../ops/elementwise.ts";
import { logMixtureOfSoftmaxes } from "../../ops/maps/mixtures.ts";
import { logSoftmax, logsumexp } from "../../ops/maps/softmax.ts";
import { layerKey } from "../keys.ts";
import { Linear } from "../linear.ts";
import type { WeightOptions } from "./full.ts";
import { type Batch, checkSize, OutputLayer } from "./layer.ts";

type Any<D extends FloatDType> = Tensor<Shape, D>;

export interface MixtureOfSoftmaxesOptions<D extends FloatDType = FloatDType> extends WeightOptions<D> {
  /** K, the number of softmaxes. */
  readonly components: number;
  /** The features of each, inFeatures by default. */
  readonly latentFeatures?: number;
}

/**
 * A weighted mean of K softmaxes over all classes, for contexts that one softmax cannot tell apart: the log-probabilities of a
 * softmax of d features have at most rank d + 1 over all contexts, those of a mixture any rank.
 *
 *     p = Σₖ πₖ·softmax(W·hₖ + b),   hₖ = tanh(Lₖ·x + lₖ),   π = softmax(P·x)
 *
 * Parameters are `prior.weight` [K, d], `latent.weight` [K·e, d], `latent.bias`, `decoder.weight` [V, e] and `decoder.bias`. Costs
 * K times what a full softmax costs, in time and memory.
 *
 * Source: Yang, Dai, Salakhutdinov & Cohen 2018, section 2.3.
 * @see logMixtureOfSoftmaxes: the map
 * @example
 * import { normal } from "simplexgrad";
 * import { MixtureOfSoftmaxes } from "simplexgrad/nn";
 *
 * const layer = new MixtureOfSoftmaxes(8, 5, { components: 3 });
 * layer.logProb(normal([2, 8], { seed: 0 })).shape; // [2, 5]
 */
export class MixtureOfSoftmaxes<D extends FloatDType = "f32"> extends OutputLayer<D> {
  readonly components: number;
  readonly prior: Linear<number, number, D>;
  readonly latent: Linear<number, number, D>;
  readonly decoder: Linear<number, number, D>;

  constructor(inFeatures: number, nClasses: number, options: MixtureOfSoftmaxesOptions<D>) {
    const place = "MixtureOfSoftmaxes";
    super(place, inFeatures, nClasses);
    checkOptions(place, options, ["components", "latentFeatures", "key", "seed", "dtype", "device"]);
    const { components, latentFeatures = inFeatures, key: _, seed: __, ...rest } = options ?? {};
    checkSize(place, "components", components);
    checkSize(place, "latent features", latentFeatures);
    const keys = splitKey(layerKey(place, options, inFeatures, nClasses, components), 3);
    const weights = (from: number, to: number, at: number, bias: boolean): Linear<number, number, D> =>
      new Linear<number, number, D>(from, to, { ...rest, bias, key: keys[at]! });
    this.components = components;
    this.prior = weights(inFeatures, components, 0, false);
    this.latent = weights(inFeatures, components * latentFeatures, 1, true);
    this.decoder = weights(latentFeatures, nClasses, 2, true);
  }

  /** Scores [N, K, V] and those of the components, [N, K]. */
  private scores(rows: Any<D>): { logits: Any<D>; prior: Any<D> } {
    const latent = tanh(this.latent.forward(rows as never) as Any<D>);
    const features = reshape(latent, [rows.shape[0]!, this.components, this.decoder.inFeatures]);
    return {
      logits: this.decoder.forward(features as never) as Any<D>,
      prior: this.prior.forward(rows as never) as Any<D>,
    };
  }

  protected override rowLosses({ rows, ids }: Batch<D>): Any<D> {
    // Of each component the target's log-probability is enough.
    const { logits, prior } = this.scores(rows);
    const repeated = new Int32Array(ids.length * this.components).map(
      (_, i) => ids[Math.floor(i / this.components)]!,
    );
    const each = crossEntropy(logits, repeated, { reduction: "none" });
    const joint = sub(logSoftmax(prior as never) as unknown as Any<D>, each as never) as Any<D>;
    return neg(logsumexp(joint as never, { axis: -1 }) as Any<D>) as Any<D>;
  }

  protected override rowLogProb(rows: Any<D>): Any<D> {
    const { logits, prior } = this.scores(rows);
    return logMixtureOfSoftmaxes(logits, prior);
  }

  protected override shown(): string {
    return `${super.shown()}, components=${this.components}`;
  }
}
