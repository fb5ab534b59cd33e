// Cross-entropy: the negative log-likelihood of softmax, against class indices or distributions.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../core/errors.ts";
import { checkOptions, describeAs, type OpInfo } from "../core/op.ts";
import {
  add,
  and,
  constantOf,
  div,
  equal,
  max,
  mul,
  mulZero,
  n,
  pick,
  type Row,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, type LossOptions, rowLoss, type Target } from "../core/rowloss.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";

interface Common {
  /** A weight for each class, shape [n]. */
  readonly weight?: Tensor;
  /** ε in [0, 1]: the target is mixed with the uniform distribution, (1 − ε)·target + ε/n. */
  readonly labelSmoothing?: number;
}

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions extends Common, IgnoreOption {}

const params: {
  readonly weight: { readonly is: "classes"; readonly optional: true };
  readonly labelSmoothing: {
    readonly is: "scalar";
    readonly default: number;
    readonly min: number;
    readonly max: number;
  };
} = {
  weight: { is: "classes", optional: true },
  labelSmoothing: { is: "scalar", default: 0, min: 0, max: 1 },
};

const domain: OpInfo["domain"] & object = {
  x: { min: -3, max: 3 },
  weight: { min: 0.5, max: 2 },
  labelSmoothing: { min: 0.05, max: 0.5 },
};

/** The loss of a row of scores against a class, and the weight that the row has in a mean. */
export function crossEntropyOf(
  x: Row,
  target: Scalar,
  labelSmoothing: Scalar,
  weight?: Row,
): { readonly loss: Scalar; readonly weight: Scalar | number } {
  const z = centred(x);
  const { lse } = logSumExpCentred(z);
  const w = weight ? pick(weight, target) : 1;
  // The large scores are taken from one another before the small term is added.
  const own = mul(w, add(lse, sub(stop(max(x)), pick(x, target)))) as Scalar;
  if (constantOf(labelSmoothing) === 0) return { loss: own, weight: w };
  const all = weight ? sub(mul(lse, sum(weight)), sum(mul(weight, z))) : sub(mul(n, lse), sum(z));
  // Without smoothing a class that is masked costs nothing.
  const masked = and(equal(labelSmoothing, 0), equal(all, Number.POSITIVE_INFINITY));
  const uniform = select(masked, 0, mul(div(labelSmoothing, n), all));
  return { loss: add(mul(sub(1, labelSmoothing), own), uniform) as Scalar, weight: w };
}

const ofLabels: Loss<CrossEntropyOptions> = /* @__PURE__ */ rowLoss("crossEntropy", {
  doc: "The negative log-probability that softmax gives to the right class.",
  source: "Good 1952; label smoothing: Szegedy et al. 2016, eq. 7",
  against: "labels",
  params,
  program: ({ x, target, weight, labelSmoothing }) => crossEntropyOf(x, target, labelSmoothing, weight),
  domain,
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2]], [1]], gives: 0.4054651081081644 },
    {
      args: [
        [
          [0, Math.LN2],
          [5, 5],
        ],
        [1, -100],
      ],
      gives: 0.4054651081081644,
    },
    { args: [[[0, Math.LN2]], [0], { labelSmoothing: 1 }], gives: 0.7520386983881371 },
  ],
});

/**
 * Cross-entropy against a distribution q over the classes: −Σ q log softmax(x). q need not sum to one, and is differentiable.
 * A mean divides by the number of rows.
 *
 * @formula L = -\sum_j q_j\log p_j,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = p\sum_j q_j-q,\qquad dq=-\log p
 * @see crossEntropy: against class indices
 * @see klDivergenceLogits: with both sides given as scores
 * @example softCrossEntropy(tensor([[0, 1]]), tensor([[0.5, 0.5]]))
 */
export const softCrossEntropy: Loss<Common, "distribution"> = /* @__PURE__ */ rowLoss("softCrossEntropy", {
  doc: "The expected negative log-probability of softmax under a target distribution.",
  source: "Good 1952",
  against: "distribution",
  params,
  program: ({ x, target, weight, labelSmoothing }) => {
    const z = centred(x);
    const { lse } = logSumExpCentred(z);
    const mixed =
      constantOf(labelSmoothing) === 0
        ? target
        : add(mul(sub(1, labelSmoothing), target), div(labelSmoothing, n));
    const q = weight ? mul(weight, mixed) : mixed;
    return sum(mulZero(q, sub(lse, z)) as Row);
  },
  domain: {
    x: { min: -3, max: 3 },
    target: { min: 0.1, max: 1 },
    weight: { min: 0.5, max: 2 },
    labelSmoothing: { min: 0.05, max: 0.5 },
  },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0, Math.LN2]], [[0.5, 0.5]]], gives: 0.7520386983881371 }],
});

const known: readonly string[] = ["axis", "reduction", "weight", "labelSmoothing", "ignoreIndex"];

/**
 * The negative log-probability that softmax gives to the right class; per row −log softmax(x)[target].
 *
 * `target` holds a class index per row (shape of x without the last axis) or a distribution (shape of x). With indices the mean
 * divides by the weights of the rows that count, as in PyTorch.
 *
 * @formula L = -\sum_j w_j\,q_j\log p_j,\qquad p=\mathrm{softmax}(x),\quad q=(1-\varepsilon)\,e_t+\frac\varepsilon n
 * @gradient dx = p\sum_j w_j\,q_j-w\,q,\qquad\text{without weights } p-q
 * @remarks ε is `labelSmoothing`, w is `weight`; a target distribution takes the place of eₜ.
 * @see softmax: the map that it trains
 * @see focal: weighs easy samples less
 * @see entmaxLoss: is cross-entropy at α = 1
 * @see logitAdjustedCe: for classes of different frequency
 * @example crossEntropy(tensor([[2, 0, 1], [0, 3, 0]]), [0, 1], { labelSmoothing: 0.1 })
 */
export const crossEntropy: Loss<CrossEntropyOptions, "either"> = /* @__PURE__ */ describeAs(
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Target<D>,
    options?: CrossEntropyOptions & LossOptions,
  ): Tensor<Shape, D> => {
    if (!(target instanceof Tensor) || target.dtype === "i32")
      return ofLabels(x as Tensor<Shape, D>, target as Tensor<Shape, "i32">, options);
    checkOptions("crossEntropy", options, known);
    if (options?.ignoreIndex !== undefined) {
      throw new ArgumentError(
        "crossEntropy",
        "ignoreIndex is given with a distribution",
        "leave it out, or give class indices",
      );
    }
    return softCrossEntropy(x as Tensor<Shape, D>, target as Tensor<Shape, D>, options);
  },
  ofLabels,
  {
    options: known,
    examples: [
      { args: [[[0, Math.LN2]], [1]], gives: 0.4054651081081644 },
      { args: [[[0, Math.LN2]], [[0.5, 0.5]]], gives: 0.7520386983881371 },
    ],
  },
) as Loss<CrossEntropyOptions, "either">;

const weightedOptions: readonly string[] = ["weights", "axis", "reduction"];

/**
 * Cross-entropy with a weight for each class: −w[t]·log p[t].
 *
 * @formula L = -w_t\log p_t,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = w_t\,(p-e_t)
 * @errata That a weight scales the gradient of its class holds for a sum, not for the weighted mean that is usual: it
 *   divides by the weights too. A batch of one sample with w = 5 and scores (0.5, 0), t = 0, has exactly the gradient
 *   without weights, (−0.3775, 0.3775).
 * @see crossEntropy: the same with its option `weight`
 * @see balancedSoftmaxCe: counts in the scores instead
 * @example weightedCrossEntropy(tensor([[0, 1]]), [1], { weights: tensor([1, 5]) })
 */
export const weightedCrossEntropy: Loss<{ readonly weights: Tensor }> = /* @__PURE__ */ describeAs(
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Tensor<Shape, "i32">,
    options: { readonly weights: Tensor } & LossOptions,
  ): Tensor<Shape, D> => {
    checkOptions("weightedCrossEntropy", options, weightedOptions);
    if (options?.weights === undefined)
      throw new ArgumentError(
        "weightedCrossEntropy",
        "weights is not given",
        "give one weight for each class",
      );
    const { weights, ...rest } = options;
    return ofLabels(x as Tensor<Shape, D>, target, { ...rest, weight: weights });
  },
  ofLabels,
  {
    name: "weightedCrossEntropy",
    params: { target: { is: "label" }, weights: { is: "classes" } },
    options: weightedOptions,
    domain: { x: { min: -3, max: 3 }, weights: { min: 0.5, max: 2 } },
    doc: "Cross-entropy with a weight for each class.",
    examples: [
      { args: [[[0, Math.LN2]], [1], { weights: [1, 5], reduction: "sum" }], gives: 2.027325540540822 },
    ],
  },
) as Loss<{ readonly weights: Tensor }>;

const smoothingOptions: readonly string[] = ["epsilon", "axis", "reduction"];

/**
 * Cross-entropy against (1 − ε)·one-hot + ε/n.
 *
 * @formula L = -(1-\varepsilon)\log p_t-\frac\varepsilon n\sum_j\log p_j,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = p-(1-\varepsilon)\,e_t-\frac\varepsilon n
 * @errata From probabilities, by log(p + 1e-12), the scores (0, 100) with t = 1 and ε = 0.1 give 1.3816; right is 5.
 * @errata That smoothing almost always helps has known exceptions: a teacher trained with it distils worse (Müller,
 *   Kornblith & Hinton 2019).
 * @see crossEntropy: ε = 0
 * @see learnableLabelSmoothing: where the classes are not alike
 * @see confidencePenalty: the other way to hold confidence down
 * @example labelSmoothingCe(tensor([[0, 1]]), [1], { epsilon: 0.1 })
 */
export const labelSmoothingCe: Loss<{ readonly epsilon: number }> = /* @__PURE__ */ describeAs(
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Tensor<Shape, "i32">,
    options: { readonly epsilon: number } & LossOptions,
  ): Tensor<Shape, D> => {
    checkOptions("labelSmoothingCe", options, smoothingOptions);
    if (typeof options?.epsilon !== "number" || !(options.epsilon >= 0 && options.epsilon <= 1)) {
      throw new DomainError(
        "labelSmoothingCe",
        `epsilon is ${showValue(options?.epsilon)}`,
        "give a number from 0 to 1",
      );
    }
    const { epsilon, ...rest } = options;
    return ofLabels(x as Tensor<Shape, D>, target, { ...rest, labelSmoothing: epsilon });
  },
  ofLabels,
  {
    name: "labelSmoothingCe",
    params: { target: { is: "label" }, epsilon: { is: "scalar", min: 0, max: 1 } },
    options: smoothingOptions,
    domain: { x: { min: -3, max: 3 } },
    doc: "Cross-entropy against a target mixed with the uniform distribution.",
    source: "Szegedy et al. 2016, eq. 7",
    examples: [{ args: [[[0, Math.LN2]], [0], { epsilon: 1 }], gives: 0.7520386983881371 }],
  },
) as Loss<{ readonly epsilon: number }>;
