// Batch normalisation: channels brought to mean 0 and variance 1 over the batch while training, and by running estimates in use.

import { type CreateOptions, ones, tensor, zeros } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkFloat, checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { add, div, mul, sqrt, sub } from "../core/row/expr.ts";
import type { Shape } from "../core/shape.ts";
import { untracked } from "../core/tape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import * as ops from "../ops/elementwise.ts";
import { mean } from "../ops/reduce.ts";
import { checkSize, checkSwitch, destinationOf, parameter } from "./drawn.ts";
import { Module } from "./module.ts";

type Floats = Tensor<Shape, FloatDType>;
type PerChannel = Floats | number;
type Normalise = (
  x: Floats,
  mean: PerChannel,
  variance: PerChannel,
  weight: PerChannel,
  bias: PerChannel,
  numbers: { eps: number },
) => Floats;

const normalise: Normalise = /* @__PURE__ */ map<Normalise>("BatchNorm1d", {
  doc: "Entries brought to mean 0 and variance 1, then scaled and shifted.",
  inputs: ["x", "mean", "variance", "weight", "bias"],
  params: { eps: 1e-5 },
  program: ({ x, mean, variance, weight, bias, eps }) =>
    add(mul(div(sub(x!, mean!), sqrt(add(variance!, eps!))), weight!), bias!),
  examples: [],
});

export interface BatchNormOptions<D extends FloatDType = FloatDType> extends CreateOptions<D> {
  /** What is added to the variance: 1e-5 by default. */
  readonly eps?: number;
  /** How much of a batch goes into the running estimates, 0.1 by default; null: all batches weigh the same. */
  readonly momentum?: number | null;
  /** Whether weights and biases are there (default true). */
  readonly affine?: boolean;
  /** Whether estimates are kept (default true); without them every batch is normalised by itself, in use too. */
  readonly trackRunningStats?: boolean;
}

/**
 * Each channel brought to mean 0 and variance 1, then times a weight and plus a bias: (x − mean)/√(variance + ε)·w + b (Ioffe &
 * Szegedy 2015, algorithm 1). [N, C] or [N, C, L] → the same shape; mean and (biased) variance are those of a channel over the
 * batch and all places. A training pass also moves `runningMean` and `runningVar` (unbiased) by `momentum` towards those of the
 * batch; after `eval()` these normalise. They and `numBatchesTracked` are parameters that no optimizer changes, saved and moved
 * with the others; no gradient flows into them.
 *
 * Names, defaults and first values as in PyTorch. Throws ShapeError for another rank or number of channels, and for a training
 * batch with one value a channel, whose variance is nothing.
 * @example
 * const model = new Sequential(new Linear(64, 32), new BatchNorm1d(32), relu, new Linear(32, 10));
 */
export class BatchNorm1d<const C extends number = number, D extends FloatDType = "f32"> extends Module {
  readonly numFeatures: C;
  readonly eps: number;
  readonly momentum: number | null;
  readonly weight: Parameter<[C], D> | null;
  readonly bias: Parameter<[C], D> | null;
  readonly runningMean: Parameter<[C], D> | null;
  readonly runningVar: Parameter<[C], D> | null;
  /** Training passes so far. */
  readonly numBatchesTracked: Parameter<[], "i32"> | null;

  constructor(numFeatures: C, options: BatchNormOptions<D> = {}) {
    super();
    const place = "BatchNorm1d";
    checkOptions(place, options, ["eps", "momentum", "affine", "trackRunningStats", "dtype", "device"]);
    checkSize(place, numFeatures, "features");
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = options;
    if (typeof eps !== "number" || !(eps >= 0))
      throw new DomainError(place, `eps is ${showValue(eps)}`, "give a small number that is not negative");
    if (momentum !== null && !(typeof momentum === "number" && momentum >= 0 && momentum <= 1))
      throw new DomainError(place, `momentum is ${showValue(momentum)}`, "give a number of [0, 1], or null");
    checkSwitch(place, "affine", affine);
    checkSwitch(place, "trackRunningStats", trackRunningStats);
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    const where = destinationOf(options);
    const filled = (name: string, make: typeof zeros, trainable: boolean): Parameter<[C], D> =>
      parameter(name, () => make([numFeatures], where) as Tensor<Shape, D>, { trainable });
    this.weight = affine ? filled("weight", ones as typeof zeros, true) : null;
    this.bias = affine ? filled("bias", zeros, true) : null;
    this.runningMean = trackRunningStats ? filled("runningMean", zeros, false) : null;
    this.runningVar = trackRunningStats ? filled("runningVar", ones as typeof zeros, false) : null;
    const { device } = options;
    this.numBatchesTracked = trackRunningStats
      ? parameter(
          "numBatchesTracked",
          () => tensor(0, { dtype: "i32", ...(device ? { device } : {}) }) as Tensor<Shape, "i32">,
          { trainable: false },
        )
      : null;
  }

  override forward<S extends Shape>(x: Tensor<S, D>): Tensor<S, D> {
    const place = "BatchNorm1d";
    checkTensor(place, x);
    checkFloat(place, x);
    const rows = x as unknown as Floats;
    const { shape } = rows;
    if ((rows.rank !== 2 && rows.rank !== 3) || shape[1] !== this.numFeatures)
      throw new ShapeError(
        place,
        `x of shape ${showShape(shape)} where the layer takes ${this.numFeatures} channels`,
        `give [N, ${this.numFeatures}] or [N, ${this.numFeatures}, L]`,
      );
    const count = rows.size / this.numFeatures;
    const own = this.training || this.runningMean === null;
    if (own && count === 1)
      throw new ShapeError(
        place,
        `x of shape ${showShape(shape)} has one value for each channel, and one value has no variance`,
        "train with more than one value per channel, or call eval() first",
      );
    // One value for each channel, as it stands beside the entries.
    const beside = <T extends Parameter<[C], D> | null>(p: T, otherwise: number): PerChannel =>
      p === null ? otherwise : (reshape(p.value, shape.length === 2 ? [-1] : [-1, 1]) as Floats);
    const [weight, bias] = [beside(this.weight, 1), beside(this.bias, 0)];
    const numbers = { eps: this.eps };
    // An empty batch has no mean, and says nothing of the channels.
    if (!own || count === 0) {
      const [centre, spread] = [beside(this.runningMean, 0), beside(this.runningVar, 1)];
      return normalise(rows, centre, spread, weight, bias, numbers) as unknown as Tensor<S, D>;
    }
    const fold = { axis: shape.length === 2 ? [0] : [0, 2], keepDims: true } as const;
    const centre = mean(rows, fold) as Floats;
    const spread = mean(ops.square(ops.sub(rows, centre as never) as Floats), fold) as Floats;
    if (this.training) untracked(() => this.track(centre, spread, count));
    return normalise(rows, centre, spread, weight, bias, numbers) as unknown as Tensor<S, D>;
  }

  /** Moves the running estimates towards what a batch of so many values per channel has. */
  private track(centre: Floats, spread: Floats, count: number): void {
    const { runningMean, runningVar, numBatchesTracked: seen } = this;
    if (runningMean === null || runningVar === null || seen === null) return;
    seen.value = ops.add(seen.value, 1);
    const dtype = runningMean.value.dtype;
    const share = this.momentum ?? ops.div(1, ops.cast(seen.value, dtype) as Floats);
    const towards = (p: Parameter<[C], D>, batch: Floats): void => {
      const old = p.value as unknown as Floats;
      const step = ops.mul(ops.sub(reshape(batch, old.shape), old) as Floats, share as number);
      p.value = ops.add(old, step as never) as unknown as Tensor<[C], D>;
    };
    towards(runningMean, centre);
    towards(runningVar, ops.mul(spread, count / (count - 1)));
  }

  protected override shown(): string {
    const { numFeatures, eps, momentum } = this;
    return `${numFeatures}, eps=${eps}, momentum=${momentum}, affine=${this.weight !== null}, trackRunningStats=${this.runningMean !== null}`;
  }
}
