// The focal family: cross-entropy that looks away from samples that are right already. The binary form stands in binary.ts.

import {
  add,
  clamp,
  div,
  equal,
  index,
  mul,
  neg,
  pick,
  type Row,
  type Scalar,
  select,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, perClass, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { expm1, expm1Ratio, pow } from "../core/words.ts";
import { rightClass } from "./relatives.ts";

interface Focal extends IgnoreOption {
  /** The weight of the loss: one for all, one per row (shape [..., 1]), or one per class (shape [n]). Differentiable; 1 by default. */
  readonly alpha?: ScalarLike;
  /** γ ≥ 0: how little samples count that are right. Differentiable; 2 by default, and 0 is cross-entropy. */
  readonly gamma?: ScalarLike;
}

/** α·(1 − pₜ)^γ·(−log pₜ) and its gradient. */
function focalOf(
  x: Row,
  target: Scalar,
  alpha: Scalar | Row,
  gamma: Scalar,
): { readonly loss: Scalar; readonly slope: Row } {
  const { p, nll } = rightClass(x, target);
  // 1 − pₜ keeps its digits where pₜ rounds to 1, and so does the gradient, which is free of powers of it below γ.
  const rest = neg(expm1(neg(nll))) as Scalar;
  const weight = mul(pick(alpha, target), pow(rest, gamma)) as Scalar;
  const factor = mul(weight, add(1, div(gamma, expm1Ratio(nll))));
  return {
    loss: mul(weight, nll) as Scalar,
    slope: mul(factor, select(equal(index, target), neg(rest), p)) as Row,
  };
}

/**
 * −α·(1 − pₜ)^γ·log pₜ: the more certain the right class is, the less a sample counts, so that many easy ones do not drown
 * the few hard ones. Exact also where pₜ rounds to 1.
 *
 * Only an α per class balances the classes: one α for all multiplies every loss alike.
 *
 * @formula L = -\alpha\,(1-p_t)^\gamma\log p_t,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = \alpha\,(1-p_t)^{\gamma-1}\bigl(1-p_t-\gamma\,p_t\log p_t\bigr)(p-e_t),\qquad d\gamma=L\log(1-p_t),\qquad
 *   d\alpha=L/\alpha
 * @remarks 1 − pₜ is the share of the other classes, from their scores; where pₜ rounds to 1 the difference would be 0.
 * @errata With log(p + 1e-12) it fails where it matters: for γ = 2, α = 0.25, the scores (0, 100) and t = 0 that gives
 *   6.9078 with a gradient of 9e-33; right are 25 and (−0.25, 0.25).
 * @errata An α that is called a weight for class balance, but multiplies every class, is a constant factor of the loss and
 *   balances nothing.
 * @see crossEntropy: γ = 0 and α = 1
 * @see adaptiveFocal: with bounds for a learned γ
 * @see binaryFocal: of single entries
 * @see polyLoss: another series in 1 − pₜ
 * @example focal(tensor([[0, 0]]), [1], { gamma: 2, alpha: tensor([0.25, 0.75]) }) // 0.1300
 */
export const focal: Loss<Focal> = /* @__PURE__ */ perClass(
  "alpha",
  1,
  (alpha): Loss<Focal> =>
    rowLoss("focal", {
      doc: "Cross-entropy that counts a sample less the more certain it is of the right class.",
      source: "Lin, Goyal, Girshick, He & Dollár 2017, eq. 5",
      against: "labels",
      params: { alpha, gamma: { is: "scalar", default: 2, min: 0 } },
      program: ({ x, target, alpha, gamma }) => {
        const { loss, slope } = focalOf(x, target, alpha, gamma);
        return { loss, vjp: ([g]) => ({ x: mul(g!, slope) }) };
      },
      domain: { x: { min: -3, max: 3 }, alpha: { min: 0.1, max: 1 }, gamma: { min: 0.5, max: 4 } },
      laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
      examples: [
        { args: [[[0, 0]], [1]], gives: 0.17328679513998632 },
        { args: [[[0, Math.LN2]], [1], { gamma: 0 }], gives: 0.4054651081081644 },
        { args: [[[0, 0]], [1], { gamma: 1, alpha: [0.25, 0.5] }], gives: 0.17328679513998632 },
      ],
    }),
);

interface Adaptive extends Focal {
  /** γ, which is held within [gammaMin, gammaMax], a number or a tensor, differentiable; 2 by default. */
  readonly gamma?: ScalarLike;
  /** At least 0; 0 by default. */
  readonly gammaMin?: ScalarLike;
  /** 5 by default. */
  readonly gammaMax?: ScalarLike;
}

/**
 * The focal loss with a γ that is meant to be learned, held within bounds. Its derivative by γ, L·log(1 − pₜ), is never
 * positive: descent on this loss alone only raises γ to its bound, where it stays. Learn it with another objective, or a
 * penalty.
 *
 * @formula L = -\alpha\,(1-p_t)^{\bar\gamma}\log p_t,\qquad
 *   \bar\gamma=\min\bigl(\max(\gamma,\gamma_{\min}),\gamma_{\max}\bigr),\quad p=\mathrm{softmax}(x)
 * @gradient dx = \alpha\,(1-p_t)^{\bar\gamma-1}\bigl(1-p_t-\bar\gamma\,p_t\log p_t\bigr)(p-e_t),\qquad d\gamma=\mathbf
 *   1[\gamma_{\min}\le\gamma\le\gamma_{\max}]\,L\log(1-p_t)
 * @errata γ is said to adjust to the difficulty of the samples. Its derivative is negative for every pₜ (at γ = 2 and α =
 *   0.25: −0.0491 at 0.1, −0.0300 at 0.5, −0.00061 at 0.9, −1.2e-6 at 0.99), so descent only raises it to its bound, and
 *   beyond that its gradient is 0.
 * @see focal: within the bounds the same
 * @example adaptiveFocal(tensor([[0, 0]]), [1], { gamma: tensor([9]), gammaMax: 2 }) // 0.1733
 */
export const adaptiveFocal: Loss<Adaptive> = /* @__PURE__ */ perClass(
  "alpha",
  1,
  (alpha): Loss<Adaptive> =>
    rowLoss("adaptiveFocal", {
      doc: "The focal loss with an exponent that is learned within bounds.",
      source: "Lin, Goyal, Girshick, He & Dollár 2017, eq. 5, with γ as a parameter",
      against: "labels",
      params: {
        alpha,
        gamma: { is: "scalar", default: 2 },
        gammaMin: { is: "scalar", default: 0, min: 0 },
        gammaMax: { is: "scalar", default: 5, min: 0 },
      },
      program: ({ x, target, alpha, gamma, gammaMin, gammaMax }) => {
        const { loss, slope } = focalOf(x, target, alpha, clamp(gamma, gammaMin, gammaMax) as Scalar);
        return { loss, vjp: ([g]) => ({ x: mul(g!, slope) }) };
      },
      domain: {
        x: { min: -3, max: 3 },
        alpha: { min: 0.1, max: 1 },
        gamma: { min: 0.5, max: 4 },
        gammaMin: { min: 0.1, max: 0.4 },
        gammaMax: { min: 4.1, max: 6 },
      },
      laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
      examples: [
        { args: [[[0, 0]], [1], { gamma: 9, gammaMax: 2 }], gives: 0.17328679513998632 },
        { args: [[[0, Math.LN2]], [1], { gamma: -1 }], gives: 0.4054651081081644 },
      ],
    }),
);
