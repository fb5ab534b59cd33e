// Where an adaptive softmax cuts: the cutoffs that cost least, by counted operations or by measured times. Exact, in plain numbers
// on the host.

import type { DeviceName } from "../../core/backends/backend.ts";
import { full } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { scope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { crossEntropy } from "../../losses/cross-entropy.ts";
import { linear } from "../../ops/matmul.ts";
import { clusterDims } from "./adaptive.ts";
import { checkSize } from "./layer.ts";
import { checkFrequency } from "./trees.ts";

type Any = Tensor<Shape, FloatDType>;

/**
 * What a softmax over some classes takes: latency + perFlop·max(flops, least) for as many multiply-adds in the product of its
 * scores (Grave et al. 2017, eq. 4).
 */
export interface SoftmaxCost {
  readonly latency: number;
  readonly perFlop: number;
  /** Fewer operations take as long as so many. */
  readonly least: number;
  /** Rows in a batch. */
  readonly batch: number;
}

export interface CutoffOptions {
  /** How many clusters there are beside the short list. */
  readonly clusters: number;
  /** The features of the layer. */
  readonly dim: number;
  /** As in `AdaptiveSoftmax`; 4 by default. */
  readonly div?: number;
  /** "flops" (default): multiply-adds of a row on average. Or times, as `measureSoftmax` finds them. */
  readonly cost?: "flops" | SoftmaxCost;
}

/** The best cutoffs and what they are good for. */
export interface Cutoffs {
  readonly cutoffs: number[];
  /** What the layer costs with them, and what a full softmax does: multiply-adds a row, or the time of a batch. */
  readonly cost: number;
  readonly fullCost: number;
  /** fullCost/cost. */
  readonly speedup: number;
}

/**
 * The cutoffs with which an `AdaptiveSoftmax` costs least, given how often each class occurs (in the order of the layer, from
 * the most frequent on; counts or probabilities). Of several the lexicographically smallest.
 *
 * A row costs d·(c₀ + K) in the head, and with probability Pᵢ hᵢ·(d + vᵢ) in cluster i of vᵢ classes and hᵢ features. That count
 * ignores what it takes to start anything and makes heads tiny: in practice give `cost: await measureSoftmax({ dim })`, which
 * minimises the time of a batch (Grave et al. 2017, eq. 5).
 *
 * Exact for any number of classes in time K·V·log V: the cost of a cluster fulfils the quadrangle inequality, so the best end of
 * a cluster moves up with its beginning, and halving the beginnings halves the ends to be tried. Throws DomainError for
 * frequencies that are negative, not finite, or all 0, and for as many clusters as classes.
 *
 * @example
 * const frequency = Array.from({ length: 200 }, (_, i) => 1 / (i + 1));
 * adaptiveCutoffs(frequency, { clusters: 1, dim: 32 }).cutoffs; // [10]
 */
export function adaptiveCutoffs(frequency: ArrayLike<number>, options: CutoffOptions): Cutoffs {
  const place = "adaptiveCutoffs";
  checkFrequency(place, frequency);
  checkOptions(place, options, ["clusters", "dim", "div", "cost"]);
  const { clusters, dim, div = 4, cost = "flops" } = options ?? {};
  const classes = frequency.length;
  checkSize(place, "features", dim);
  if (!Number.isInteger(clusters) || clusters < 1 || clusters >= classes)
    throw new DomainError(
      place,
      `clusters is ${showValue(clusters)}`,
      `give an integer from 1 to ${classes - 1}: each of ${classes} classes stands in one cluster or in the short list`,
    );
  const dims = clusterDims(place, dim, clusters, div);
  const time = timeOf(place, cost);
  const mass = new Float64Array(classes + 1);
  for (let i = 0; i < classes; i++) mass[i + 1] = mass[i]! + frequency[i]!;
  const total = mass[classes]!;
  if (!(total > 0) || total === Number.POSITIVE_INFINITY)
    throw new DomainError(place, `frequency sums to ${total}`, "give finite counts, some of them positive");
  const head = (size: number): number => time(dim * size);
  const cluster = (i: number, from: number, to: number): number =>
    time(((mass[to]! - mass[from]!) / total) * dims[i]! * (dim + to - from));

  // From the last cluster to the first: what clusters i, i + 1, … cost at least from a class on, and where cluster i then ends.
  let after = new Float64Array(classes + 1).fill(Number.POSITIVE_INFINITY);
  after[classes] = 0;
  const ends: Int32Array[] = [];
  for (let i = clusters - 1; i >= 0; i--) {
    const own = new Float64Array(classes + 1).fill(Number.POSITIVE_INFINITY);
    const end = new Int32Array(classes + 1);
    const rest = after;
    // Beginnings leave classes for the short list and the clusters before, and for those behind.
    const behind = clusters - 1 - i;
    const solve = (low: number, high: number, first: number, last: number): void => {
      if (low > high) return;
      const from = (low + high) >> 1;
      for (let to = Math.max(first, from + 1); to <= last; to++) {
        const value = cluster(i, from, to) + rest[to]!;
        if (isLess(value, own[from]!)) {
          own[from] = value;
          end[from] = to;
        }
      }
      solve(low, from - 1, first, end[from]!);
      solve(from + 1, high, end[from]!, last);
    };
    if (behind === 0) {
      for (let from = 0; from < classes; from++) {
        own[from] = cluster(i, from, classes);
        end[from] = classes;
      }
    } else solve(1 + i, classes - 1 - behind, 2 + i, classes - behind);
    ends.unshift(end);
    after = own;
  }

  let best = Number.POSITIVE_INFINITY;
  let first = 0;
  for (let from = 1; from <= classes - clusters; from++) {
    const value = head(from + clusters) + after[from]!;
    if (isLess(value, best)) [best, first] = [value, from];
  }
  const cutoffs = [first];
  for (let i = 0; i < clusters - 1; i++) cutoffs.push(ends[i]![cutoffs[i]!]!);
  const fullCost = head(classes);
  const spent = cutoffs.reduce(
    (sum, from, i) => sum + cluster(i, from, cutoffs[i + 1] ?? classes),
    head(first + clusters),
  );
  return { cutoffs, cost: spent, fullCost, speedup: fullCost / spent };
}

/** Smaller by more than rounding: of costs that are equal the first counts. */
const isLess = (a: number, b: number): boolean =>
  a < b - 1e-13 * Math.abs(b) || b === Number.POSITIVE_INFINITY;

/** The cost of what a row does on average. A maximum with a constant keeps the quadrangle inequality. */
function timeOf(place: string, cost: unknown): (flops: number) => number {
  if (cost === "flops") return (flops) => flops;
  if (typeof cost !== "object" || cost === null)
    throw new ArgumentError(
      place,
      `cost is ${showValue(cost)}`,
      'give "flops", or what measureSoftmax finds',
    );
  checkOptions(place, cost, ["latency", "perFlop", "least", "batch"]);
  const { latency, perFlop, least, batch } = cost as SoftmaxCost;
  for (const [name, v] of Object.entries({ latency, perFlop, least, batch })) {
    if (typeof v !== "number" || !(v >= 0) || v === Number.POSITIVE_INFINITY)
      throw new DomainError(place, `cost.${name} is ${showValue(v)}`, "give a finite number from 0");
  }
  return (flops) => latency + perFlop * Math.max(batch * flops, least);
}

/** Where and for what a softmax is measured. */
export interface MeasureOptions {
  readonly dim: number;
  /** Rows in a batch; 256 by default. */
  readonly batch?: number;
  readonly dtype?: FloatDType;
  readonly device?: DeviceName;
}

/**
 * What a softmax over some classes takes with its gradients, in milliseconds a batch on the device in use, as `adaptiveCutoffs`
 * wants it. Runs some dozens of them in about a second: call it when nothing else is running. Numbers differ from run to run;
 * for cutoffs that stay, write down what it finds.
 *
 * @example
 * const cost = await measureSoftmax({ dim: 128 });
 * adaptiveCutoffs(frequency, { clusters: 2, dim: 128, cost });
 */
export async function measureSoftmax(options: MeasureOptions): Promise<SoftmaxCost> {
  const place = "measureSoftmax";
  checkOptions(place, options, ["dim", "batch", "dtype", "device"]);
  const { dim, batch = 256, ...rest } = options ?? {};
  checkSize(place, "features", dim);
  checkSize(place, "rows", batch);
  const timeOver = async (classes: number): Promise<number> => {
    const [x, weight] = scope(
      () => [full([batch, dim], 0.1, rest), full([classes, dim], 0.1, rest)] as Any[],
    );
    const loss = (h: Any, w: Any): Any => crossEntropy(linear(h, w as never) as Any, new Int32Array(batch));
    const step = grad(loss, { argnums: [0, 1] });
    const run = async (times: number): Promise<number> => {
      const begin = performance.now();
      const last = scope(() => {
        for (let i = 1; i < times; i++) scope(() => void step(x!, weight!));
        return step(x!, weight!)[0] as Any;
      });
      // Reading a row waits for all.
      await last.slice(0).data();
      return (performance.now() - begin) / times;
    };
    await run(2);
    const rounds = [];
    for (let i = 0; i < 5; i++) rounds.push(await run(4));
    return Math.min(...rounds);
  };
  const [few, many] = [512, 2048];
  const smallest = await timeOver(1);
  const [less, more] = [await timeOver(few), await timeOver(many)];
  const flops = (classes: number): number => batch * dim * classes;
  // Where noise makes the line fall, the time of the largest is all there is.
  const perFlop = less < more ? (more - less) / (flops(many) - flops(few)) : more / flops(many);
  const latency = Math.min(smallest, Math.max(0, more - perFlop * flops(many)));
  return { latency, perFlop, least: (smallest - latency) / perFlop, batch };
}
