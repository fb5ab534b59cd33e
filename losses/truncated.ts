// Losses of truncated softmaxes.

import {
  add,
  count,
  div,
  equal,
  greater,
  index,
  lessEqual,
  max,
  not,
  pick,
  type Row,
  relu,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { log, log1p } from "../core/words.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { deltaParam, nearTarget, topK } from "../ops/maps/truncated.ts";

interface K extends IgnoreOption {
  /** How many scores are kept, at least 1. */
  readonly k: ScalarLike;
}

/**
 * log Σ eˣ over the k largest scores, less the right one. A surrogate: where the right class is not among the k its
 * probability is 0, but the loss stays finite and pulls it up.
 *
 * @formula L = \log\sum_{j\in K}e^{x_j}-x_t,\qquad K=\text{the } k\text{ largest scores}
 * @gradient dx = p-e_t,\qquad p=\mathrm{sparseSoftmax}_k(x)
 * @errata It is presented as −log pₜ, which is infinite where the right class is not among the k largest. This is finite
 *   there, a surrogate: 3.3133 for (3, 2, 1, 0), k = 2 and t = 3.
 * @see sparseSoftmax: its map
 * @see crossEntropy: k ≥ n
 * @example sparseSoftmaxLoss(tensor([[3, 2, 1, 0]]), [3], { k: 2 }) // 3.3133
 */
export const sparseSoftmaxLoss: Loss<K> = /* @__PURE__ */ rowLoss("sparseSoftmaxLoss", {
  doc: "The logarithm of the sum of the k largest exponentials, less the right score.",
  source: "Sun et al. 2021; Su 2020",
  against: "labels",
  params: { k: { is: "scalar", min: 1, integer: true } },
  program: ({ x, target, k }) => {
    const { lse } = logSumExpCentred(centred(x), topK(x, stop(k)));
    return add(lse, sub(stop(max(x)), pick(x, target))) as Scalar;
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[3, 2, 1, 0]], [3], { k: 2 }], gives: 3.313261687518223 }],
});

interface Delta extends IgnoreOption {
  /** δ in [0, 1]: classes whose probability lies more than δ below that of the right one are left out; 0.1 by default. */
  readonly delta?: ScalarLike;
}

/**
 * Cross-entropy over the right class and those whose probability comes within δ of it or above: log Σ eˣ over them, less the
 * right score. An easy sample, of which only the right class is left, has loss 0 and gradient 0 exactly. δ = 1 is cross-entropy.
 *
 * @formula L = \log\sum_{j\in K}e^{x_j}-x_t,\qquad K=\{i:\ i=t\ \text{ or }\ q_t-q_i\le\delta\},\quad q=\mathrm{softmax}(x)
 * @gradient dx = p-e_t,\qquad p=\mathrm{asSoftmax}(x)
 * @remarks K counts as constant.
 * @see asSoftmax: its map
 * @see crossEntropy: δ = 1
 * @see asSoftmaxMultilabelLoss: for sets of classes
 * @example asSoftmaxLoss(tensor([[9, 0, 1]]), [0], { delta: 0.1 }) // 0
 */
export const asSoftmaxLoss: Loss<Delta> = /* @__PURE__ */ rowLoss("asSoftmaxLoss", {
  doc: "Cross-entropy over the right class and those that still compete with it.",
  source: "Lv et al. 2025, arXiv:2508.03175; kept where its reference code keeps",
  against: "labels",
  params: { delta: deltaParam },
  program: ({ x, target, delta }) => {
    const { lse } = logSumExpCentred(centred(x), nearTarget(x, target, delta));
    return add(lse, sub(stop(max(x)), pick(x, target))) as Scalar;
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[9, 0, 1]], [0]], gives: 0 },
    { args: [[[0, Math.LN2, -5]], [1], { delta: 0.4 }], gives: 0.4054651081081644 },
    { args: [[[0, Math.LN2]], [1], { delta: 1 }], gives: 0.4054651081081644 },
  ],
});

/**
 * log Σ (xᵢ − xₜ + 1)₊, the negative log-probability that rankmax gives to the right class: 0 as soon as the right score
 * leads by 1.
 *
 * @formula L = \log\sum_j(x_j-x_t+1)_+
 * @gradient dx = d-e_t\sum_i d_i,\qquad d_i=\frac{\mathbf 1[x_i>x_t-1]}{\sum_j(x_j-x_t+1)_+}
 * @see rankmax: its map
 * @example rankmaxLoss(tensor([[2, 0, 1.5]]), [0]) // 0.4055
 */
export const rankmaxLoss: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("rankmaxLoss", {
  doc: "The negative log-probability of the right class under rankmax, zero once it leads by 1.",
  source: "Kong, Krichene, Mayoraz, Rendle & Zhang 2020",
  against: "labels",
  program: ({ x, target }) => {
    const w = relu(add(sub(x, pick(x, target)), 1));
    // The right class itself adds 1 (or the NaN of its score).
    return log1p(sum(select(equal(index, target), sub(w, 1), w))) as Scalar;
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[2, 0, 1.5]], [0]], gives: 0.4054651081081644 },
    { args: [[[2, 0, 1]], [0]], gives: 0 },
  ],
});

interface Eps extends IgnoreOption {
  /** The weight in (0, 1] of scores below the mean of their row; 1e-6 by default. Differentiable. */
  readonly eps?: ScalarLike;
}

/**
 * The negative log-probability that evSoftmax gives to the right class: cross-entropy in which scores below the mean of the
 * row count ε times.
 *
 * @formula L = -\log p_t,\qquad p_i=\frac{c_i\,e^{x_i}}{\sum_j c_j\,e^{x_j}},\quad c_i=1\ \text{ if } x_i\ge\tfrac1n\sum_j
 *   x_j,\ \text{ else }\varepsilon
 * @gradient dx = p-e_t,\qquad d\varepsilon=\frac1\varepsilon\sum_{i:\,c_i=\varepsilon}(p-e_t)_i
 * @see evSoftmax: its map
 * @see crossEntropy: ε = 1
 * @example evSoftmaxNll(tensor([[0, 0.6931, -5]]), [1]) // 0.4055
 */
export const evSoftmaxNll: Loss<Eps> = /* @__PURE__ */ rowLoss("evSoftmaxNll", {
  doc: "The negative log-probability of the right class under evidential softmax.",
  source: "Chen, Itkina, Senanayake & Kochenderfer 2021, section 3.2",
  against: "labels",
  params: { eps: { is: "scalar", default: 1e-6, above: 0, max: 1 } },
  program: ({ x, target, eps }) => {
    const z = centred(x);
    const there = not(lessEqual(z, Number.NEGATIVE_INFINITY));
    const mean = stop(div(sum(select(there, z, 0)), count(there)));
    const c = select(greater(mean, z), log(eps), 0) as Row;
    const { lse } = logSumExpCentred(add(z, c) as Row);
    return add(sub(lse, pick(c, target)), sub(stop(max(x)), pick(x, target))) as Scalar;
  },
  domain: { x: { min: -3, max: 3 }, eps: { min: 0.05, max: 0.5 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2, -5]], [1], { eps: 1 }], gives: 0.4077085719930945 },
    { args: [[[0, 0]], [1]], gives: Math.LN2 },
  ],
});
