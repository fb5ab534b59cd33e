// Metrics: how good predictions are, and how honest their probabilities. Those that a walk back could use have gradients
// (brier, nll, shannonEntropy); calibration errors and hits have none. Fitting a temperature is `calibration.ts`.

import { tensor } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../core/errors.ts";
import { checkFloat, checkOptions } from "../core/op.ts";
import {
  argmax,
  count,
  div,
  equal,
  greater,
  maximum,
  mul,
  neg,
  oneHot,
  pick,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum as sumOfRow,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import { type Labels, rowReduction, type ScalarLike, scores } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { stopGradient } from "../core/tape.ts";
import { Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { exp, log, xlogx } from "../core/words.ts";
import * as t from "../ops/elementwise.ts";
import { argsort, take } from "../ops/indexing.ts";
import { centred } from "../ops/maps/softmax.ts";
import { topK } from "../ops/maps/truncated.ts";
import { matmul } from "../ops/matmul.ts";
import { max, sum } from "../ops/reduce.ts";

/**
 * The share of rows whose largest score is that of the right class; ties go to the lowest index. No gradient.
 *
 * @formula L = \mathbf 1\bigl[t=\min\,\arg\max_i x_i\bigr]
 * @gradient dx = 0
 * @see topKAccuracy: among the k largest
 * @see softAccuracy: with a gradient
 * @example accuracy(tensor([[2, 1], [0, 3]]), [0, 0]) // 0.5
 */
export const accuracy: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("accuracy", {
  doc: "The share of rows whose largest score is that of the right class.",
  against: "labels",
  program: ({ x, target }) => select(equal(argmax(x), target), 1, 0) as Scalar,
  domain: { x: { min: -3, max: 3 } },
  smooth: false,
  laws: ["nonNegative", "atMostOne", "shiftInvariant", "scaleInvariant"],
  examples: [
    {
      args: [
        [
          [2, 1],
          [0, 3],
        ],
        [0, 0],
      ],
      gives: 0.5,
    },
    { args: [[[1, 1]], [0]], gives: 1 },
  ],
});

interface K extends IgnoreOption {
  /** How many guesses count, at least 1. */
  readonly k: ScalarLike;
}

/**
 * The share of rows where the right class is among the k largest scores; ties go to the lowest index. No gradient.
 *
 * @formula L = \mathbf 1[t\in K],\qquad K=\text{the } k\text{ largest scores}
 * @gradient dx = 0
 * @see accuracy: k = 1
 * @example topKAccuracy(tensor([[3, 2, 1]]), [1], { k: 2 }) // 1
 */
export const topKAccuracy: Loss<K> = /* @__PURE__ */ rowLoss("topKAccuracy", {
  doc: "The share of rows where the right class is among the k largest scores.",
  against: "labels",
  params: { k: { is: "scalar", min: 1, integer: true } },
  program: ({ x, target, k }) =>
    sumOfRow(select(equal(oneHot(target, 1), 1), select(topK(x, stop(k)), 1, 0), 0)) as Scalar,
  domain: { x: { min: -3, max: 3 } },
  smooth: false,
  laws: ["nonNegative", "atMostOne", "shiftInvariant", "scaleInvariant"],
  examples: [
    { args: [[[3, 2, 1]], [1], { k: 2 }], gives: 1 },
    { args: [[[3, 2, 1]], [2], { k: 2 }], gives: 0 },
  ],
});

/** The smallest normal f32: what a probability counts as at least, where its logarithm is taken. */
const tiny: number = 2 ** -126;

/**
 * −log of the **probability** of the right class, for probabilities that are given (any map's). One below 2⁻¹²⁶ counts as
 * that, without a gradient; to train, use a loss of scores.
 *
 * @formula L = -\log\max(p_t,\,2^{-126})
 * @gradient dp = -\frac{e_t}{p_t}\ \text{ where } p_t\ge 2^{-126},\qquad 0\ \text{ below}
 * @see crossEntropy: the same of softmax, from scores
 * @see brierScoreMean: the other proper score
 * @example nll(tensor([[0.25, 0.75]]), [1]) // 0.2877
 */
export const nll: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("nll", {
  doc: "The negative logarithm of the probability that is given for the right class.",
  source: "Good 1952",
  against: "labels",
  program: ({ x, target }) => neg(log(maximum(pick(x, target), tiny))) as Scalar,
  domain: { x: { min: 0.1, max: 1 } },
  laws: ["nonNegative", "permutationInvariant"],
  examples: [{ args: [[[0.25, 0.75]], [1]], gives: 0.2876820724517809 }],
});

/**
 * The squared distance between softmax(x) and the right class, from 0 to 2, for **scores**. A proper loss; its gradient is
 * 2p·(d − ⟨p, d⟩) with d = p − eₜ.
 *
 * @formula L = \|p-e_t\|^2,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = 2\,p\,\bigl(d-\langle p,d\rangle\bigr),\qquad d=p-e_t
 * @see brierScoreMean: of probabilities
 * @see crossEntropy: the other proper loss
 * @see mseOnehot: of the scores themselves
 * @example brier(tensor([[0, 0]]), [1]) // 0.5
 */
export const brier: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("brier", {
  doc: "The squared distance between softmax and the right class.",
  source: "Brier 1950",
  against: "labels",
  program: ({ x, target }) => {
    const e = exp(centred(x));
    const p = div(e, sumOfRow(e)) as Row;
    const d = sub(p, oneHot(target, 1));
    const lead = sumOfRow(mul(p, d));
    return {
      loss: sumOfRow(mul(d, d)),
      vjp: ([g]) => ({ x: mul(mul(2, g!), mul(p, sub(d, lead))) }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0, 0]], [1]], gives: 0.5 }],
});

/**
 * The squared distance between **probabilities** and the right class, from 0 to 2.
 *
 * @formula L = \|p-e_t\|^2
 * @gradient dp = 2\,(p-e_t)
 * @see brier: of scores
 * @see nll: the other proper score
 * @example brierScoreMean(tensor([[0.25, 0.75]]), [1]) // 0.125
 */
export const brierScoreMean: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("brierScoreMean", {
  doc: "The squared distance between probabilities that are given and the right class.",
  source: "Brier 1950",
  against: "labels",
  program: ({ x, target }) => {
    const d = sub(x, oneHot(target, 1));
    return sumOfRow(mul(d, d));
  },
  domain: { x: { min: 0.1, max: 1 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0.25, 0.75]], [1]], gives: 0.125 }],
});

/**
 * −Σ p log p of each row of **probabilities**, in nats; 0 log 0 is 0.
 *
 * @formula H = -\sum_j p_j\log p_j
 * @gradient dp = -g\,(\log p+1)
 * @see entropy: of scores
 * @see supportSize: how many there are at all
 * @example shannonEntropy(tensor([0.5, 0.5])) // 0.6931
 */
export const shannonEntropy: typeof max = /* @__PURE__ */ rowReduction("shannonEntropy", {
  doc: "The entropy of probabilities that are given, in nats.",
  source: "Shannon 1948",
  over: "last",
  program: ({ x }) => neg(sumOfRow(xlogx(x))) as Scalar,
  domain: { x: { min: 0.1, max: 1 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[0.5, 0.5]], gives: Math.LN2 },
    { args: [[0, 1]], gives: 0 },
  ],
});

/**
 * How many probabilities of each row are not 0.
 *
 * @formula y = \bigl|\{i:p_i>0\}\bigr|
 * @gradient dp = 0
 * @see shannonEntropy: counts by weight
 * @example supportSize(tensor([0, 0.25, 0.75])) // 2
 */
export const supportSize: typeof max = /* @__PURE__ */ rowReduction("supportSize", {
  doc: "How many probabilities of a row are not 0.",
  over: "last",
  program: ({ x }) => count(greater(x, 0) as RowMask),
  domain: { x: { min: -1, max: 1, avoid: [0] } },
  smooth: false,
  laws: ["nonNegative", "scaleInvariant", "permutationInvariant"],
  examples: [{ args: [[0, 0.25, 0.75]], gives: 2 }],
});

// ---------------------------------------------------------------------------------------------------------------
// Calibration

/** How rows are sorted into bins by their confidence. */
export interface BinOptions {
  /** How many bins; 15 by default. */
  readonly bins?: number;
  /** "width" (default): equal parts of (0, 1], as (b/M, (b+1)/M]; "mass": equal numbers of rows, in order of confidence. */
  readonly by?: "width" | "mass";
}

/** What the rows of each bin have in common: tensors of shape [bins]. An empty bin holds 0. */
export interface Reliability<D extends FloatDType = FloatDType> {
  readonly count: Tensor<[number], D>;
  /** The mean of the largest probabilities. */
  readonly confidence: Tensor<[number], D>;
  /** The share of rows whose largest probability is that of the right class. */
  readonly accuracy: Tensor<[number], D>;
}

type Floats = Tensor<Shape, FloatDType>;

/**
 * The table behind a reliability diagram: rows in bins of confidence (the largest probability; ties go to the lowest index),
 * and for each bin how many there are, how confident and how right. `probs` holds probabilities [.., classes], `target` one
 * class index per row. No gradient: membership of a bin is a step.
 *
 * Throws DomainError for a number of bins that is none, and for labels that are no classes.
 * @example
 * const { count, confidence, accuracy } = reliability(softmax(scores), labels, { bins: 10 });
 */
export function reliability<D extends FloatDType>(
  probs: Tensor<Shape, D>,
  target: Labels,
  options?: BinOptions,
): Reliability<D> {
  return binned("reliability", probs, target, options) as unknown as Reliability<D>;
}

function binned(place: string, probs: Tensor, target: Labels, options: BinOptions = {}): Reliability {
  scores(place, probs, undefined);
  const dtype = checkFloat(place, probs);
  checkOptions(place, options, ["bins", "by"]);
  const { bins = 15, by = "width" } = options;
  if (!Number.isInteger(bins) || bins < 1)
    throw new DomainError(place, `bins is ${showValue(bins)}`, "give an integer of at least 1");
  if (by !== "width" && by !== "mass")
    throw new ArgumentError(place, `by is ${showValue(by)}`, 'give "width" or "mass"');
  const n = probs.shape.at(-1)!;
  const rows = probs.size / Math.max(n, 1);
  const p = reshape(stopGradient(probs as Floats), [rows, n]) as Floats;
  const labels = target instanceof Tensor ? (reshape(target, [rows]) as Labels) : target;
  // Every row counts: no label is left out.
  const right = accuracy(p as never, labels, { reduction: "none", ignoreIndex: 2 ** 31 - 1 }) as Floats;
  const confidence = max(p as never, { axis: -1 }) as Floats;
  const where = { dtype, device: probs.device };
  let order: Tensor<Shape, "i32"> | undefined;
  let within: Floats;
  if (by === "mass") {
    order = argsort(confidence as never) as Tensor<Shape, "i32">;
    const table = new Float64Array(rows * bins);
    for (let i = 0; i < rows; i++) table[i * bins + Math.floor((i * bins) / rows)] = 1;
    within = tensor(table, { ...where, shape: [rows, bins] }) as Floats;
  } else {
    // The first bin is closed at 0, and what is above 1 by rounding is in the last.
    const edge = (b: number): number =>
      b === 0 ? Number.NEGATIVE_INFINITY : b === bins ? Number.POSITIVE_INFINITY : b / bins;
    const low = tensor(
      Float64Array.from({ length: bins }, (_, b) => edge(b)),
      { ...where, shape: [bins] },
    );
    const high = tensor(
      Float64Array.from({ length: bins }, (_, b) => edge(b + 1)),
      { ...where, shape: [bins] },
    );
    const c = reshape(confidence, [rows, 1]);
    const inside = t.logicalAnd(t.greater(c as never, low as never), t.lessEqual(c as never, high as never));
    within = t.cast(inside as never, dtype) as Floats;
  }
  const totals = (row: Floats): Floats => {
    const sorted = order ? (take(row as never, order as never) as Floats) : row;
    return reshape(matmul(reshape(sorted, [1, rows]) as never, within as never) as Floats, [bins]) as Floats;
  };
  const counts = sum(within as never, { axis: 0 }) as Floats;
  const divisor = t.maximum(counts as never, 1) as Floats;
  const mean = (row: Floats): Floats => t.div(totals(row) as never, divisor as never) as Floats;
  return { count: counts, confidence: mean(confidence), accuracy: mean(right) } as unknown as Reliability;
}

const gaps = ({ accuracy: right, confidence }: Reliability): Floats =>
  t.abs(t.sub(right as never, confidence as never) as Floats) as Floats;

/**
 * Expected calibration error: by how much confidence and accuracy differ, on average over rows, in bins of confidence. From
 * 0 to 1. No gradient; to calibrate use `fitTemperature`.
 *
 * @formula \mathrm{ECE} = \sum_b\frac{n_b}N\,\bigl|\mathrm{acc}_b-\mathrm{conf}_b\bigr|,\qquad \mathrm{conf}=\max_i p_i
 * @gradient 0
 * @errata A text on applications tunes T to lower this error: it is not continuous in T. Guo et al. 2017 fit T on the
 *   likelihood, as `fitTemperature` does.
 * @see mce: the largest gap instead of the mean
 * @see reliability: the table that it is computed from
 * @see fitTemperature: what to do about it
 * @example ece(softmax(scores), labels, { bins: 15 })
 */
export function ece<D extends FloatDType>(
  probs: Tensor<Shape, D>,
  target: Labels,
  options?: BinOptions,
): Tensor<[], D> {
  const table = binned("ece", probs, target, options);
  const weighed = t.mul(table.count as never, gaps(table) as never) as Floats;
  const rows = probs.size / probs.shape.at(-1)!;
  return t.div(sum(weighed as never) as Floats, Math.max(rows, 1)) as Tensor<[], D>;
}

/**
 * Maximum calibration error: the largest difference of confidence and accuracy in any bin of confidence. No gradient.
 *
 * @formula \mathrm{MCE} = \max_b\,\bigl|\mathrm{acc}_b-\mathrm{conf}_b\bigr|
 * @gradient 0
 * @see ece: the mean over rows
 * @example mce(softmax(scores), labels, { bins: 15, by: "mass" })
 */
export function mce<D extends FloatDType>(
  probs: Tensor<Shape, D>,
  target: Labels,
  options?: BinOptions,
): Tensor<[], D> {
  return max(gaps(binned("mce", probs, target, options)) as never) as Tensor<[], D>;
}
