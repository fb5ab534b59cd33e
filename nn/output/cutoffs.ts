// Where an adaptive softmax cuts: the cutoffs that cost least, by counted operations or by measured times. Exact, in plain numbers
// on the host.

import type { DeviceName } from "../../core/backends/backend.ts";
import { ones } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { openScope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { linear } from "../../ops/matmul.ts";
import { clusterDims } from "./adaptive.ts";
import { checkSize } from "./layer.ts";
import { checkFrequency } from "./trees.ts";

/** What a matrix product takes: latency + perFlop·max(flops, least), where a multiply-add counts as one (Grave et al. 2017, eq. 4). */
export interface ProductCost {
  readonly latency: number;
  readonly perFlop: number;
  /** Products of fewer operations take as long as one of so many. */
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
  /** "flops" (default): multiply-adds of a row on average. Or times, as `measureProducts` finds them. */
  readonly cost?: "flops" | ProductCost;
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
 * ignores what starting a product takes and makes heads tiny: in practice give `cost: await measureProducts({ dim })`, which
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
      'give "flops", or what measureProducts finds',
    );
  checkOptions(place, cost, ["latency", "perFlop", "least", "batch"]);
  const { latency, perFlop, least, batch } = cost as ProductCost;
  for (const [name, v] of Object.entries({ latency, perFlop, least, batch })) {
    if (typeof v !== "number" || !(v >= 0) || v === Number.POSITIVE_INFINITY)
      throw new DomainError(place, `cost.${name} is ${showValue(v)}`, "give a finite number from 0");
  }
  return (flops) => latency + perFlop * Math.max(batch * flops, least);
}

/** Where and for what products are measured. */
export interface MeasureOptions {
  readonly dim: number;
  /** Rows in a batch; 256 by default. */
  readonly batch?: number;
  readonly dtype?: FloatDType;
  readonly device?: DeviceName;
}

/**
 * What products of a batch with a layer's weights take on the device in use, in milliseconds, as `adaptiveCutoffs` wants it. Runs
 * some dozens of products for a fraction of a second: call it when nothing else is running.
 *
 * @example
 * const cost = await measureProducts({ dim: 128 });
 * adaptiveCutoffs(frequency, { clusters: 2, dim: 128, cost });
 */
export async function measureProducts(options: MeasureOptions): Promise<ProductCost> {
  const place = "measureProducts";
  checkOptions(place, options, ["dim", "batch", "dtype", "device"]);
  const { dim, batch = 256, ...rest } = options ?? {};
  checkSize(place, "features", dim);
  checkSize(place, "rows", batch);
  const timeFor = async (width: number): Promise<number> => {
    using _ = openScope();
    const x = ones([batch, dim], rest) as Tensor<Shape, FloatDType>;
    const weight = ones([width, dim], rest) as Tensor<Shape, FloatDType>;
    const run = async (times: number): Promise<number> => {
      const begin = performance.now();
      let last: Tensor<Shape, FloatDType> | undefined;
      for (let i = 0; i < times; i++) last = linear(x, weight as never) as Tensor<Shape, FloatDType>;
      // Reading one entry waits for all.
      await last!.slice(0, 0).data();
      return (performance.now() - begin) / times;
    };
    await run(3);
    const rounds = [];
    for (let i = 0; i < 5; i++) rounds.push(await run(8));
    return Math.min(...rounds);
  };
  const times: [flops: number, ms: number][] = [];
  for (const width of [1, 256, 1024, 4096]) times.push([batch * dim * width, await timeFor(width)]);
  const [[, smallest], , [f1, t1], [f2, t2]] = times as [
    [number, number],
    [number, number],
    [number, number],
    [number, number],
  ];
  const perFlop = Math.max(0, t2 - t1) / (f2 - f1);
  const latency = Math.max(0, t1 - perFlop * f1);
  return { latency, perFlop, least: perFlop > 0 ? Math.max(0, smallest - latency) / perFlop : 0, batch };
}
