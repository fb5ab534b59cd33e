// Entropies and divergences of softmax distributions, and the losses that are made with them. All take scores, never
// probabilities: the logarithm of a probability that has been rounded is lost.

import {
  add,
  differentiateAs,
  div,
  greaterEqual,
  mul,
  mulZero,
  neg,
  oneHot,
  type Row,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, type Penalty, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import type { Tensor } from "../core/tensor.ts";
import { expm1 } from "../core/words.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { rightClass } from "./relatives.ts";

/** Probabilities and their logarithms, of scores that are centred (and perhaps divided by a temperature). */
function distribution(z: Row): { readonly p: Row; readonly l: Row; readonly lse: Scalar } {
  const { e, total, lse } = logSumExpCentred(z);
  return { p: div(e, total) as Row, l: sub(z, lse) as Row, lse };
}

/** The entropy H of softmax, and its gradient −p·(l + H). A class without probability adds nothing to either. */
function entropyOf(x: Row): { readonly h: Scalar; readonly slope: Row } {
  const z = centred(x);
  const { p, l, lse } = distribution(z);
  const h = sub(lse, sum(mulZero(p, z))) as Scalar;
  return { h, slope: neg(mulZero(p, add(l, h))) as Row };
}

/**
 * −Σ p log p of p = softmax(x), in nats: 0 for a certain row, log n for an even one.
 *
 * @formula H = -\sum_j p_j\log p_j,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = -p\,(\log p+H)
 * @see giniImpurity: its quadratic relative
 * @see shannonEntropy: of probabilities
 * @see confidencePenalty: cross-entropy less this
 * @example entropy(tensor([[0, 0]])) // 0.6931
 */
export const entropy: Penalty = /* @__PURE__ */ rowLoss("entropy", {
  doc: "How uncertain softmax of the scores is, in nats.",
  source: "Shannon 1948",
  against: "nothing",
  program: ({ x }) => {
    const { h, slope } = entropyOf(x);
    return { loss: h, vjp: ([g]) => ({ x: mul(g!, slope) }) };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]]], gives: Math.LN2 },
    { args: [[[7]]], gives: 0 },
  ],
});

/**
 * 1 − Σ p² of p = softmax(x): the chance that two draws differ, between 0 and 1 − 1/n.
 *
 * @formula L = 1-\sum_j p_j^2,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = -2\,p\,\Bigl(p-\sum_j p_j^2\Bigr)
 * @remarks Half the sum of the absolute entries of softmax's Jacobian.
 * @see entropy: its logarithmic relative
 * @see sparsemaxLoss: has half of it as entropy
 * @example giniImpurity(tensor([[0, 0.6931]])) // 0.4444
 */
export const giniImpurity: Penalty = /* @__PURE__ */ rowLoss("giniImpurity", {
  doc: "The chance that two draws from softmax of the scores differ.",
  source: "Breiman, Friedman, Olshen & Stone 1984, section 4.3",
  against: "nothing",
  program: ({ x }) => {
    const z = centred(x);
    const { e, total, lse } = logSumExpCentred(z);
    const p = div(e, total);
    // 1 − p of the largest entry is the sum of the others, which log1p has kept.
    const others = sub(total, e);
    const rest = div(differentiateAs(select(greaterEqual(z, 0), expm1(lse), others), others), total);
    return {
      loss: sum(mul(p, rest)),
      vjp: ([g]) => ({ x: mul(mul(-2, g!), mul(p, sub(p, sum(mul(p, p))))) }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2]]], gives: 0.4444444444444444 },
    { args: [[[7]]], gives: 0 },
  ],
});

interface Confidence extends IgnoreOption {
  /** The weight β of the entropy, differentiable. Positive rewards spread, negative rewards confidence. */
  readonly beta: ScalarLike;
}

/**
 * Cross-entropy less β times the entropy of the prediction, so that a model does not become more certain than it has to.
 *
 * @formula L = -\log p_t-\beta H(p),\qquad H(p)=-\langle p,\log p\rangle,\quad p=\mathrm{softmax}(x)
 * @gradient dx = p-e_t+\beta\,p\,\bigl(\log p+H(p)\bigr),\qquad d\beta=-H(p)
 * @see crossEntropy: β = 0
 * @see entropy: the second term
 * @see labelSmoothingCe: the other way to hold confidence down
 * @example confidencePenalty(tensor([[0, 0]]), [1], { beta: 0.1 }) // 0.6238
 */
export const confidencePenalty: Loss<Confidence> = /* @__PURE__ */ rowLoss("confidencePenalty", {
  doc: "Cross-entropy less a share of the entropy of the prediction, against overconfidence.",
  source: "Pereyra, Tucker, Chorowski, Kaiser & Hinton 2017, section 3",
  against: "labels",
  params: { beta: { is: "scalar" } },
  program: ({ x, target, beta }) => {
    const { p, nll } = rightClass(x, target);
    const { h, slope } = entropyOf(x);
    return {
      loss: sub(nll, mul(beta, h)) as Scalar,
      vjp: ([g]) => ({ x: mul(g!, sub(sub(p, oneHot(target, 1)), mul(beta, slope))) }),
    };
  },
  domain: { x: { min: -3, max: 3 }, beta: { min: -0.5, max: 0.5 } },
  laws: ["shiftInvariant", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0, 0]], [1], { beta: 0.5 }], gives: 0.34657359027997264 }],
});

interface PolicyGradient extends IgnoreOption {
  /** The advantage A of the action taken, a number or one per row; a constant, without gradient. */
  readonly advantage: ScalarLike;
  /** The weight β of the entropy bonus, differentiable; 0 by default. */
  readonly beta?: ScalarLike;
}

/**
 * −A·log p of the action taken, less β times the entropy of the policy: its gradient is that of the expected return, with a
 * bonus for exploring. `target` holds the actions.
 *
 * @formula L = -A\log p_a-\beta H(p),\qquad H(p)=-\langle p,\log p\rangle,\quad p=\mathrm{softmax}(x)
 * @gradient dx = A\,(p-e_a)+\beta\,p\,\bigl(\log p+H(p)\bigr),\qquad d\beta=-H(p)
 * @remarks a is the action taken and A its advantage, a constant.
 * @see confidencePenalty: A = 1
 * @see sampledArgmax: how actions are drawn
 * @example policyGradientEntropy(tensor([[0, 0]]), [1], { advantage: 2 }) // 1.3863
 */
export const policyGradientEntropy: Loss<PolicyGradient> = /* @__PURE__ */ rowLoss("policyGradientEntropy", {
  doc: "The policy gradient as a loss, with a bonus for the entropy of the policy.",
  source: "Williams 1992; Mnih et al. 2016",
  against: "labels",
  params: { advantage: { is: "scalar" }, beta: { is: "scalar", default: 0 } },
  program: ({ x, target, advantage, beta }) => {
    const { p, nll } = rightClass(x, target);
    const { h, slope } = entropyOf(x);
    const a = stop(advantage);
    return {
      loss: sub(mul(a, nll), mul(beta, h)) as Scalar,
      vjp: ([g]) => ({ x: mul(g!, sub(mul(a, sub(p, oneHot(target, 1))), mul(beta, slope))) }),
    };
  },
  domain: { x: { min: -3, max: 3 }, beta: { min: 0.01, max: 0.5 } },
  laws: ["shiftInvariant", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], [1], { advantage: 2 }], gives: 1.3862943611198906 },
    { args: [[[0, 0]], [1], { advantage: -1, beta: 0.5 }], gives: -1.0397207708399179 },
  ],
});

/** KL(P ‖ Q) and both distributions, from centred scores: Σ p (log p − log q), where 0 times anything is 0. */
function divergence(
  x: Row,
  y: Row,
): { readonly kl: Scalar; readonly p: Row; readonly q: Row; readonly r: Row } {
  const [P, Q] = [distribution(x), distribution(y)];
  const r = sub(P.l, Q.l) as Row;
  return { kl: sum(mulZero(P.p, r)), p: P.p, q: Q.p, r };
}

/**
 * KL(softmax x ‖ softmax y), in nats: what it costs to code draws from the first with a code made for the second. Both are
 * differentiable. +∞ where y rules out what x does not.
 *
 * @formula L = \sum_j p_j\,(\log p_j-\log q_j),\qquad p=\mathrm{softmax}(x),\quad q=\mathrm{softmax}(y)
 * @gradient dx = p\,\bigl(\log p-\log q-L\bigr),\qquad dy=q-p
 * @see kdKl: the other direction, at a temperature
 * @see jsDivergence: symmetric
 * @see softCrossEntropy: plus the entropy of the target
 * @example klDivergenceLogits(tensor([[0, 0]]), tensor([[0, 0.6931]])) // 0.0589
 */
export const klDivergenceLogits: Loss<object, "distribution"> = /* @__PURE__ */ rowLoss(
  "klDivergenceLogits",
  {
    doc: "The Kullback–Leibler divergence between the softmaxes of two rows of scores.",
    source: "Kullback & Leibler 1951",
    against: "distribution",
    program: ({ x, target }) => {
      const { kl, p, q, r } = divergence(centred(x), centred(target));
      return {
        loss: kl,
        vjp: ([g]) => ({ x: mul(g!, mulZero(p, sub(r, kl))), target: mul(g!, sub(q, p)) }),
      };
    },
    domain: { x: { min: -3, max: 3 }, target: { min: -3, max: 3 } },
    laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
    examples: [{ args: [[[0, 0]], [[0, Math.LN2]]], gives: 0.05889151782819174 }],
  },
);

interface Distillation {
  /** The temperature T > 0 that both are softened with, differentiable; 1 by default. */
  readonly temperature?: ScalarLike;
}

/** T²·KL(softmax(t/T) ‖ softmax(s/T)), and its gradients with respect to s and T. The teacher is a constant. */
function distilled(
  s: Row,
  t: Row,
  T: Scalar,
): { readonly loss: Scalar; readonly slope: Row; readonly slopeT: Scalar } {
  const u = div(centred(stop(t)), T) as Row;
  const v = div(centred(s), T) as Row;
  const { kl, p, q, r } = divergence(u, v);
  // Both rows of scores shrink as T grows.
  const shrunk = add(sum(mulZero(mulZero(p, sub(r, kl)), u)), sum(mulZero(sub(q, p), v)));
  return {
    loss: mul(mul(T, T), kl) as Scalar,
    slope: mul(T, sub(q, p)) as Row,
    slopeT: mul(T, sub(mul(2, kl), shrunk)) as Scalar,
  };
}

/**
 * How far a student's softened distribution is from its teacher's, T²·KL(softmax(teacher/T) ‖ softmax(x/T)). The factor T²
 * keeps the size of the gradient, which tends to the difference of the centred scores as T grows. The teacher counts as a
 * constant.
 *
 * @formula L = T^2\sum_j q_j\,(\log q_j-\log p_j),\qquad p=\mathrm{softmax}(x/T),\quad q=\mathrm{softmax}(\text{teacher}/T)
 * @gradient dx = T\,(p-q)
 * @errata Descriptions that leave out T² lose the gradient: for the teacher (2, 0.5, −1) and the student (0, 1, 0.3) its
 *   length is 0.7267 at T = 1, and 0.00817 at T = 10, which the factor makes 0.817.
 * @see klDivergenceLogits: with the gradient of both sides
 * @see kdComposite: with the labels
 * @example kdKl(tensor([[0, 0]]), tensor([[0, 0.6931]]), { temperature: 2 })
 */
export const kdKl: Loss<Distillation, "distribution"> = /* @__PURE__ */ rowLoss("kdKl", {
  doc: "The divergence of a student's softened distribution from its teacher's, for distillation.",
  source: "Hinton, Vinyals & Dean 2015, section 2",
  against: "distribution",
  params: { temperature: { is: "scalar", default: 1, above: 0 } },
  constants: ["target"],
  program: ({ x, target, temperature }) => {
    const { loss, slope, slopeT } = distilled(x, target, temperature);
    return { loss, vjp: ([g]) => ({ x: mul(g!, slope), temperature: mul(g!, slopeT) }) };
  },
  domain: { x: { min: -3, max: 3 }, target: { min: -3, max: 3 }, temperature: { min: 0.5, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], [[0, Math.LN2]]], gives: 0.05663301226513243 },
    { args: [[[0, 0]], [[0, 1.3862943611198906]], { temperature: 2 }], gives: 0.22653204906052973 },
  ],
});

interface Composite extends Distillation, IgnoreOption {
  /** The teacher's scores, in the shape of x; constants. */
  readonly teacher: Tensor;
  /** The share α in [0, 1] of distillation, differentiable; 0.5 by default. */
  readonly alpha?: ScalarLike;
}

/**
 * α times the distillation loss kdKl and 1 − α times cross-entropy against the labels.
 *
 * @formula L = \alpha\,T^2\,\mathrm{KL}(q\,\|\,p^T)-(1-\alpha)\log p_t,\qquad p=\mathrm{softmax}(x),\quad
 *   p^T=\mathrm{softmax}(x/T),\quad q=\mathrm{softmax}(\text{teacher}/T)
 * @gradient dx = \alpha\,T\,(p^T-q)+(1-\alpha)(p-e_t)
 * @see kdKl: α = 1
 * @see crossEntropy: α = 0
 * @example kdComposite(tensor([[0, 0]]), [1], { teacher: tensor([[0, 0.6931]]), alpha: 0.9, temperature: 2 })
 */
export const kdComposite: Loss<Composite> = /* @__PURE__ */ rowLoss("kdComposite", {
  doc: "Distillation from a teacher and cross-entropy against the labels, in shares.",
  source: "Hinton, Vinyals & Dean 2015, section 2",
  against: "labels",
  params: {
    teacher: { is: "row" },
    alpha: { is: "scalar", default: 0.5, min: 0, max: 1 },
    temperature: { is: "scalar", default: 1, above: 0 },
  },
  constants: ["teacher"],
  program: ({ x, target, teacher, alpha, temperature }) => {
    const soft = distilled(x, teacher, temperature);
    const { p, nll } = rightClass(x, target);
    const share = sub(1, alpha);
    return {
      loss: add(mul(alpha, soft.loss), mul(share, nll)) as Scalar,
      vjp: ([g]) => ({
        x: mul(g!, add(mul(alpha, soft.slope), mul(share, sub(p, oneHot(target, 1))))),
        alpha: mul(g!, sub(soft.loss, nll)),
        temperature: mul(mul(g!, alpha), soft.slopeT),
      }),
    };
  },
  domain: {
    x: { min: -3, max: 3 },
    teacher: { min: -3, max: 3 },
    alpha: { min: 0.1, max: 0.9 },
    temperature: { min: 0.5, max: 3 },
  },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], [1], { teacher: [[0, Math.LN2]] }], gives: 0.37489009641253884 },
    {
      args: [[[0, 0]], [1], { teacher: [[0, 1.3862943611198906]], alpha: 1, temperature: 2 }],
      gives: 0.22653204906052973,
    },
  ],
});
