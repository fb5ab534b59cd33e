// Adaptive softmax: frequent classes in a short list, rare ones in clusters of lower dimension; and an embedding that shares its
// matrices. Where to cut is found by `cutoffs.ts`.

import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { split as splitKey } from "../../core/random.ts";
import type { Labels } from "../../core/rowop.ts";
import type { Shape } from "../../core/shape.ts";
import { hostCopy, Tensor } from "../../core/tensor.ts";
import { reshape } from "../../core/views.ts";
import { crossEntropy } from "../../losses/cross-entropy.ts";
import { add } from "../../ops/elementwise.ts";
import { scatterAdd, take } from "../../ops/indexing.ts";
import { logSoftmax } from "../../ops/maps/softmax.ts";
import { matmul } from "../../ops/matmul.ts";
import { concat, split } from "../../ops/movement.ts";
import { argmax } from "../../ops/reduce.ts";
import { layerKey } from "../keys.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";
import type { WeightOptions } from "./full.ts";
import { type Batch, bucket, bucketed, classesOf, indices, OutputLayer } from "./layer.ts";

type Any<D extends FloatDType> = Tensor<Shape, D>;

export interface AdaptiveSoftmaxOptions<D extends FloatDType = FloatDType> extends WeightOptions<D> {
  /** Where clusters begin, ascending: classes below the first are the short list. Integers from 1 to nClasses − 1. */
  readonly cutoffs: readonly number[];
  /** PyTorch's div_value: cluster i has max(1, ⌊inFeatures/divⁱ⁺¹⌋) features; 4 by default. */
  readonly div?: number;
  /** Whether the head has a bias (default false). */
  readonly headBias?: boolean;
  /** The features of each cluster, in the place of `div`. */
  readonly tailDims?: readonly number[];
}

/**
 * A distribution over many classes, exactly normalised, that scores the rare ones only where they are the target. Classes are
 * in order of falling frequency. A head decides between the `cutoffs[0]` most frequent classes and the clusters of the others,
 * in one softmax; a cluster decides among its classes in a space of few features:
 *
 *     log p(w) = log head(w)                        of a class in the short list
 *              = log head(cluster) + log tail(w)    of a class in a cluster
 *
 * Parameters have PyTorch's names and layouts (AdaptiveLogSoftmaxWithLoss): `head.weight` [cutoffs[0] + K, d] and `head.bias`,
 * and for cluster i the projection `tail.i.0.weight` [hᵢ, d] and the classes `tail.i.1.weight` [vᵢ, hᵢ]. Unlike there, a
 * cluster has one feature at least. Cutoffs that are none throw DomainError.
 *
 * A training step scores the head for all rows and a cluster for its own rows, which are found on the host: targets come from
 * there. A cluster without targets runs nothing and has no gradient. `predict` scores clusters for the rows whose most probable
 * entry of the head is one (on a GPU, which cannot say which, for all rows).
 *
 * Source: Grave et al. 2017, sections 3 and 4.
 * @see adaptiveCutoffs: finds the cutoffs
 * @example
 * import { normal } from "simplexgrad";
 * import { AdaptiveSoftmax } from "simplexgrad/nn";
 *
 * const layer = new AdaptiveSoftmax(16, 100, { cutoffs: [10, 40] });
 * const x = normal([3, 16], { seed: 0 });
 * layer.forward(x, [0, 25, 99]).loss.shape; // []
 * layer.logProb(x).shape;                   // [3, 100]
 */
export class AdaptiveSoftmax<D extends FloatDType = "f32"> extends OutputLayer<D> {
  /** Where clusters begin, and the number of classes. */
  readonly cutoffs: readonly number[];
  readonly head: Linear<number, number, D>;
  /** Of each cluster the projection to its features, and its classes. */
  readonly tail: readonly (readonly [
    projection: Linear<number, number, D>,
    classes: Linear<number, number, D>,
  ])[];

  constructor(inFeatures: number, nClasses: number, options: AdaptiveSoftmaxOptions<D>) {
    const place = "AdaptiveSoftmax";
    super(place, inFeatures, nClasses);
    checkOptions(place, options, [
      "cutoffs",
      "div",
      "headBias",
      "tailDims",
      "key",
      "seed",
      "dtype",
      "device",
    ]);
    const { cutoffs, div = 4, headBias = false, tailDims, key: _, seed: __, ...rest } = options ?? {};
    checkCutoffs(place, cutoffs, nClasses);
    const dims = clusterDims(place, inFeatures, cutoffs.length, div, tailDims);
    const keys = splitKey(layerKey(place, options, inFeatures, nClasses), 1 + 2 * dims.length);
    const weights = (from: number, to: number, at: number, bias = false): Linear<number, number, D> =>
      new Linear<number, number, D>(from, to, { ...rest, bias, key: keys[at]! });
    this.cutoffs = [...cutoffs, nClasses];
    this.head = weights(inFeatures, cutoffs[0]! + dims.length, 0, headBias);
    this.tail = dims.map((dim, i) => [
      weights(inFeatures, dim, 2 * i + 1),
      weights(dim, this.cutoffs[i + 1]! - cutoffs[i]!, 2 * i + 2),
    ]);
  }

  protected override rowLosses({ rows, ids }: Batch<D>): Any<D> {
    const { cutoffs } = this;
    const [short] = cutoffs as [number];
    const clusters = clustersOf(ids, cutoffs);
    const inHead = ids.map((id, i) => (clusters[i]! < 0 ? id : short + clusters[i]!));
    const lossesOf = (logits: Any<D>, target: Int32Array): Any<D> =>
      crossEntropy(logits, target, { reduction: "none" });
    const head = lossesOf(this.head.forward(rows as never) as Any<D>, inHead);
    const buckets = bucketed(clusters, this.tail.length);
    const losses = this.tail.flatMap((_, i) => {
      const own = bucket(buckets, i);
      if (own.length === 0) return [];
      const logits = this.cluster(i, take(rows, indices(rows, own)));
      return lossesOf(
        logits,
        own.map((row) => ids[row]! - cutoffs[i]!),
      );
    });
    return losses.length === 0
      ? head
      : (scatterAdd(head, indices(rows, buckets.order), concat(losses)) as Any<D>);
  }

  protected override rowLogProb(rows: Any<D>): Any<D> {
    const head = logSoftmax(this.head.forward(rows as never) as never) as unknown as Any<D>;
    const [first, ...entries] = split(head, [this.cutoffs[0]!, ...this.tail.map(() => 1)], 1);
    const tails = entries.map(
      (entry, i) => add(logSoftmax(this.cluster(i, rows) as never), entry as never) as unknown as Any<D>,
    );
    return concat([first!, ...tails], 1);
  }

  protected override rowPredictions(rows: Any<D>): Tensor<Shape, "i32"> {
    if (rows.device === "webgpu") return super.rowPredictions(rows);
    // A class of a cluster is at most as probable as its cluster: a class of the short list that leads the head leads all.
    const best = hostCopy(argmax(this.head.forward(rows as never) as never, { axis: -1 })) as Int32Array;
    const open = Int32Array.from(best.keys()).filter((row) => best[row]! >= this.cutoffs[0]!);
    if (open.length > 0) {
      const found = hostCopy(super.rowPredictions(take(rows, indices(rows, open))));
      open.forEach((row, i) => {
        best[row] = found[i]!;
      });
    }
    return indices(rows, best);
  }

  /** Scores of the classes of cluster i. */
  private cluster(i: number, rows: Any<D>): Any<D> {
    const [projection, classes] = this.tail[i]!;
    return classes.forward(projection.forward(rows as never) as never) as Any<D>;
  }

  protected override shown(): string {
    return `${super.shown()}, cutoffs=[${this.cutoffs.slice(0, -1).join(", ")}]`;
  }
}

/** The cluster of each class, −1 in the short list. */
const clustersOf = (ids: Int32Array, cutoffs: readonly number[]): Int32Array =>
  ids.map((id) => cutoffs.findIndex((end) => id < end) - 1);

function checkCutoffs(
  place: string,
  cutoffs: unknown,
  nClasses: number,
): asserts cutoffs is readonly [number, ...number[]] {
  if (!Array.isArray(cutoffs) || cutoffs.length === 0)
    throw new ArgumentError(
      place,
      `cutoffs is ${showValue(cutoffs)}`,
      "give an array of the classes at which clusters begin, at least one",
    );
  cutoffs.forEach((cutoff: unknown, i) => {
    const refuse = (wayOut: string): never => {
      throw new DomainError(place, `cutoffs[${i}] is ${showValue(cutoff)}`, wayOut);
    };
    if (!Number.isInteger(cutoff)) refuse("cutoffs are integers");
    if ((cutoff as number) < 1 || (cutoff as number) >= nClasses)
      refuse(`cutoffs lie between 1 and ${nClasses - 1}, the number of classes less one`);
    if (i > 0 && (cutoff as number) <= cutoffs[i - 1])
      refuse(`cutoffs ascend, and the one before is ${cutoffs[i - 1]}`);
  });
}

/** The features of each cluster: those that are given, or ⌊d/divⁱ⁺¹⌋ and at least one. */
export function clusterDims(
  place: string,
  inFeatures: number,
  clusters: number,
  div: unknown,
  tailDims?: readonly number[],
): number[] {
  if (typeof div !== "number" || !(div > 0) || div === Number.POSITIVE_INFINITY)
    throw new DomainError(place, `div is ${showValue(div)}`, "give a number above 0");
  if (tailDims === undefined)
    return Array.from({ length: clusters }, (_, i) => Math.max(1, Math.floor(inFeatures / div ** (i + 1))));
  if (!Array.isArray(tailDims) || tailDims.length !== clusters)
    throw new ArgumentError(
      place,
      `tailDims is ${showValue(tailDims)}`,
      `give the features of each of ${clusters} clusters`,
    );
  tailDims.forEach((dim: unknown, i) => {
    if (!Number.isSafeInteger(dim) || (dim as number) < 1)
      throw new DomainError(place, `tailDims[${i}] is ${showValue(dim)}`, "give 1, 2, 3, …");
  });
  return [...tailDims];
}

/**
 * Input vectors of classes that share the matrices of an AdaptiveSoftmax, so that a language model learns one set of vectors for
 * what it reads and what it predicts: [...] of class indices → [..., inFeatures]. A class of the short list is its row of the
 * head; a class of cluster i is its row of the cluster, brought back by the transpose of the projection. It has no parameters
 * of its own. The indices come from the host, as targets do.
 *
 * Source: Baevski & Auli 2019, sections 3.1 and 3.2.
 * @example
 * import { AdaptiveEmbedding, AdaptiveSoftmax } from "simplexgrad/nn";
 *
 * const output = new AdaptiveSoftmax(16, 100, { cutoffs: [10, 40] });
 * const input = new AdaptiveEmbedding(output);
 * input.forward([3, 25, 99]).shape; // [3, 16]
 */
export class AdaptiveEmbedding<D extends FloatDType = "f32"> extends Module {
  /** The layer that holds the matrices. */
  readonly output: AdaptiveSoftmax<D>;

  constructor(output: AdaptiveSoftmax<D>) {
    super();
    if (!(output instanceof AdaptiveSoftmax))
      throw new ArgumentError(
        "AdaptiveEmbedding",
        `${showValue(output)} is no AdaptiveSoftmax`,
        "give the layer that it shares matrices with",
      );
    this.output = output;
  }

  override forward(ids: Labels): Any<D> {
    const { output } = this;
    const shape = ids instanceof Tensor ? ids.shape : [ids?.length ?? 0];
    const classes = classesOf("AdaptiveEmbedding", "ids", ids, shape, output.nClasses);
    const clusters = clustersOf(classes, output.cutoffs);
    // The short list is bucket 0.
    const buckets = bucketed(
      clusters.map((cluster) => cluster + 1),
      1 + output.tail.length,
    );
    const vectors = [undefined, ...output.tail].flatMap((tail, b) => {
      const own = bucket(buckets, b);
      if (own.length === 0 && (b > 0 || classes.length > 0)) return [];
      const first = b === 0 ? 0 : output.cutoffs[b - 1]!;
      const table = (tail ? tail[1] : output.head).weight.value as Any<D>;
      const rows = take(
        table,
        indices(
          table,
          own.map((i) => classes[i]! - first),
        ),
      );
      return [tail ? (matmul(rows, tail[0].weight.value as never) as Any<D>) : rows];
    });
    const back = new Int32Array(classes.length);
    buckets.order.forEach((i, at) => {
      back[i] = at;
    });
    const sorted = vectors.length === 1 ? vectors[0]! : concat(vectors);
    return reshape(take(sorted, indices(sorted, back)), [...shape, output.inFeatures]);
  }
}
