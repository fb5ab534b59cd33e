// A softmax over clusters, and one over the classes of a cluster: two levels.

import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { split as splitKey } from "../../core/random.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { crossEntropy } from "../../losses/cross-entropy.ts";
import { add } from "../../ops/elementwise.ts";
import { scatterAdd, take } from "../../ops/indexing.ts";
import { logSoftmax } from "../../ops/maps/softmax.ts";
import { linear } from "../../ops/matmul.ts";
import { concat, split } from "../../ops/movement.ts";
import { layerKey } from "../keys.ts";
import { Linear } from "../linear.ts";
import type { WeightOptions } from "./full.ts";
import {
  type Batch,
  type Buckets,
  bucket,
  bucketed,
  checkSize,
  indices,
  joined,
  OutputLayer,
} from "./layer.ts";
import { checkFrequency } from "./trees.ts";

type Any<D extends FloatDType> = Tensor<Shape, D>;

/**
 * Clusters of about equal probability, for a ClassBasedSoftmax: classes in order of falling frequency are dealt out to √V
 * clusters (or as many as `clusters` says) so that each has its share of all. A few frequent classes have clusters of their
 * own, which the next ones then skip: there may be fewer clusters. A number stands for so many classes of one frequency.
 *
 * @example
 * frequencyClusters([4, 1, 2, 1], 2); // [0, 1, 1, 1]
 */
export function frequencyClusters(frequency: ArrayLike<number> | number, clusters?: number): Int32Array {
  const place = "frequencyClusters";
  if (typeof frequency === "number") checkSize(place, "classes", frequency);
  const weights = typeof frequency === "number" ? new Float64Array(frequency).fill(1) : frequency;
  checkFrequency(place, weights);
  const count = clusters ?? Math.ceil(Math.sqrt(weights.length));
  checkSize(place, "clusters", count);
  const order = Int32Array.from({ length: weights.length }, (_, i) => i).sort(
    (a, b) => weights[b]! - weights[a]! || a - b,
  );
  const total = order.reduce((sum, i) => sum + weights[i]!, 0);
  const assignment = new Int32Array(weights.length);
  let [cluster, before] = [-1, 0];
  let share = -1;
  for (const i of order) {
    // The cluster that the middle of the class falls into; the next one if it is another than that of the class before.
    const middle = before + weights[i]! / 2;
    const falls = total > 0 ? Math.min(count - 1, Math.floor((count * middle) / total)) : 0;
    if (falls !== share) {
      share = falls;
      cluster++;
    }
    assignment[i] = cluster;
    before += weights[i]!;
  }
  return assignment;
}

/**
 * A distribution over many classes in two steps: a softmax over clusters, and a softmax over the classes of one cluster, so that
 * a training step scores about √V classes a row and not V.
 *
 *     log p(w) = log softmax(A·x + a)[c(w)] + log softmax over the classes of c(w) of (W·x + b)[w]
 *
 * The second argument says which cluster each class is in: as an array of integers, as `frequencyClusters` makes it, or as a
 * number of classes, which are then in √V clusters of equal size. Clusters are numbered from 0 without gaps, else a DomainError.
 * Parameters are `cluster.weight` [C, d], `cluster.bias`, `word.weight` [V, d] and `word.bias`. A training step takes the rows of
 * `word` that belong to the clusters of its targets, which come from the host.
 *
 * Source: Goodman 2001, section 2.
 * @example
 * import { normal } from "simplexgrad";
 * import { ClassBasedSoftmax } from "simplexgrad/nn";
 *
 * const layer = new ClassBasedSoftmax(8, [0, 0, 1, 1, 1]);
 * layer.forward(normal([2, 8], { seed: 0 }), [0, 4]).output.shape; // [2]
 */
export class ClassBasedSoftmax<D extends FloatDType = "f32"> extends OutputLayer<D> {
  readonly cluster: Linear<number, number, D>;
  readonly word: Linear<number, number, D>;
  /** The cluster of each class. */
  readonly assignment: Int32Array;
  /** The classes of each cluster. */
  private readonly classes: Buckets;
  /** Where each class stands in its cluster. */
  private readonly within: Int32Array;

  constructor(inFeatures: number, assignment: ArrayLike<number> | number, options: WeightOptions<D> = {}) {
    const place = "ClassBasedSoftmax";
    const clusterOf = checkAssignment(
      place,
      typeof assignment === "number" ? frequencyClusters(assignment) : assignment,
    );
    const count = clusterOf.reduce((most, c) => Math.max(most, c), 0) + 1;
    super(place, inFeatures, clusterOf.length);
    checkOptions(place, options, ["key", "seed", "dtype", "device"]);
    const { key: _, seed: __, ...rest } = options;
    const keys = splitKey(layerKey(place, options, inFeatures, clusterOf.length));
    this.cluster = new Linear<number, number, D>(inFeatures, count, { ...rest, key: keys[0]! });
    this.word = new Linear<number, number, D>(inFeatures, clusterOf.length, { ...rest, key: keys[1]! });
    this.assignment = clusterOf;
    this.classes = bucketed(clusterOf, count);
    this.within = new Int32Array(clusterOf.length);
    const { order, starts } = this.classes;
    order.forEach((id, at) => {
      this.within[id] = at - starts[clusterOf[id]!]!;
    });
  }

  protected override rowLosses({ rows, ids }: Batch<D>): Any<D> {
    const clusters = ids.map((id) => this.assignment[id]!);
    const options = { reduction: "none" } as const;
    const between = crossEntropy(this.cluster.forward(rows as never) as Any<D>, clusters, options);
    const buckets = bucketed(clusters, this.cluster.outFeatures);
    const touched = Array.from({ length: this.cluster.outFeatures }, (_, c) => c).filter(
      (c) => bucket(buckets, c).length > 0,
    );
    if (touched.length === 0) return between;
    // One read of all that is needed, parted by cluster: one gradient of rows goes back.
    const own = touched.map((c) => bucket(buckets, c));
    const words = touched.map((c) => bucket(this.classes, c));
    const needed = indices(rows, joined(words));
    const sizes = words.map((list) => list.length);
    const weights = split(take(this.word.weight.value, needed), sizes);
    const biases = split(take(this.word.bias!.value, needed), sizes);
    const order = indices(rows, buckets.order);
    const parts = split(
      take(rows, order),
      own.map((list) => list.length),
    );
    const inside = parts.map((part, i) =>
      crossEntropy(
        linear(part, weights[i] as never, biases[i] as never) as Any<D>,
        own[i]!.map((row) => this.within[ids[row]!]!),
        options,
      ),
    );
    return scatterAdd(between, order, concat(inside)) as Any<D>;
  }

  protected override rowLogProb(rows: Any<D>): Any<D> {
    const between = logSoftmax(this.cluster.forward(rows as never) as never) as unknown as Any<D>;
    const count = this.cluster.outFeatures;
    const order = indices(rows, this.classes.order);
    const scores = linear(
      rows,
      take(this.word.weight.value, order) as never,
      take(this.word.bias!.value, order) as never,
    ) as Any<D>;
    const sizes = Array.from({ length: count }, (_, c) => bucket(this.classes, c).length);
    const entries = split(between, count, 1);
    const sorted = split(scores, sizes, 1).map(
      (part, c) => add(logSoftmax(part as never), entries[c] as never) as unknown as Any<D>,
    );
    const at = this.within.map((place, id) => place + this.classes.starts[this.assignment[id]!]!);
    return take(concat(sorted, 1), indices(rows, at), 1);
  }

  protected override shown(): string {
    return `${super.shown()}, clusters=${this.cluster.outFeatures}`;
  }
}

function checkAssignment(place: string, assignment: unknown): Int32Array {
  if (
    (!Array.isArray(assignment) && !ArrayBuffer.isView(assignment)) ||
    !("length" in assignment) ||
    assignment.length === 0
  )
    throw new ArgumentError(
      place,
      `assignment is ${showValue(assignment)}`,
      "give the cluster of each class, as an array of integers",
    );
  const list = assignment as unknown as ArrayLike<unknown>;
  const seen = new Set<number>();
  for (let i = 0; i < list.length; i++) {
    const c = list[i];
    if (!Number.isSafeInteger(c) || (c as number) < 0 || (c as number) >= list.length)
      throw new DomainError(
        place,
        `assignment[${i}] is ${showValue(c)}`,
        "number the clusters 0, 1, 2, …, none of them empty",
      );
    seen.add(c as number);
  }
  for (let c = 0; c < seen.size; c++)
    if (!seen.has(c))
      throw new DomainError(
        place,
        `assignment leaves cluster ${c} empty`,
        "number the clusters 0, 1, 2, …, none of them empty",
      );
  return Int32Array.from(list as ArrayLike<number>);
}
