// Margins on the normaliser: the right score is lowered by m before it is compared, so that it must lead by more to cost as
// little. Margins on angles and distances are not here.

import { add, div, max, mul, oneHot, pick, type Row, type Scalar, stop, sub, sum } from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { log } from "../core/words.ts";
import { scaled, taylorOrder, taylorPolynomial } from "../ops/maps/polynomial.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";

interface Margin extends IgnoreOption {
  /** The margin m ≥ 0, a number or a tensor (one value, or one per row), differentiable. */
  readonly m: ScalarLike;
}

/**
 * Cross-entropy in which the right class has to lead by a margin: that of x − m·eₜ.
 *
 * @formula L = -\log p_t,\qquad p=\mathrm{softmax}(x-m\,e_t)
 * @gradient dx = p-e_t,\qquad dm=1-p_t
 * @see crossEntropy: m = 0
 * @see smTaylorLoss: the same of Taylor softmax
 * @example smSoftmaxLoss(tensor([[0, 0.6931]]), [1], { m: 0.6931 }) // 0.6931
 */
export const smSoftmaxLoss: Loss<Margin> = /* @__PURE__ */ rowLoss("smSoftmaxLoss", {
  doc: "Cross-entropy in which the right class has to lead by a margin.",
  source: "Liang et al. 2017, eq. 5",
  against: "labels",
  params: { m: { is: "scalar", min: 0 } },
  program: ({ x, target, m }) => {
    // Centred before the margin, which large scores would swallow, and after it.
    const y = sub(centred(x), oneHot(target, m)) as Row;
    const { lse } = logSumExpCentred(centred(y));
    return add(lse, sub(stop(max(y)), pick(y, target))) as Scalar;
  },
  domain: { x: { min: -3, max: 3 }, m: { min: 0.1, max: 1 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2]], [1], { m: Math.LN2 }], gives: Math.LN2 },
    { args: [[[0, Math.LN2]], [1], { m: 0 }], gives: 0.4054651081081644 },
  ],
});

interface TaylorMargin extends Margin {
  /** The degree k of the polynomial, even; 2 by default. */
  readonly order?: number;
}

/**
 * taylorCe in which the right class has to lead by a margin: that of x − m·eₜ. A loss only: no distribution over the classes
 * has it as its negative log-likelihood.
 *
 * @formula L = \log\sum_j f_k(y_j)-\log f_k(y_t),\qquad y=x-m\,e_t,\quad f_k(v)=\sum_{i=0}^k\frac{v^i}{i!}
 * @gradient dx = \frac{f_{k-1}(y)}{\sum_j f_k(y_j)}-e_t\frac{f_{k-1}(y_t)}{f_k(y_t)},\qquad dm=-dx_t
 * @see taylorCe: m = 0
 * @see smSoftmaxLoss: the same of softmax
 * @example smTaylorLoss(tensor([[-1, -2]]), [1], { m: 1 }) // 0.1823
 */
export const smTaylorLoss: Loss<TaylorMargin> = /* @__PURE__ */ rowLoss("smTaylorLoss", {
  doc: "The loss of Taylor softmax in which the right class has to lead by a margin.",
  source: "Banerjee et al. 2020, section 3.3",
  against: "labels",
  params: { m: { is: "scalar", min: 0 }, order: taylorOrder },
  program: ({ x, target, m, order }) => {
    const y = sub(x, oneHot(target, m)) as Row;
    const { t, r } = scaled(y, 1);
    const f = taylorPolynomial(t, r, order);
    const slope = mul(taylorPolynomial(t, r, order - 1), r); // fₖ' = fₖ₋₁
    const total = sum(f);
    const own = pick(f, target);
    return {
      loss: sub(log(total), log(own)),
      vjp: ([g]) => {
        const ofOwn = mul(g!, div(pick(slope, target), own));
        return {
          x: sub(mul(slope, div(g!, total)), oneHot(target, ofOwn)),
          m: sub(ofOwn, mul(pick(slope, target), div(g!, total))),
        };
      },
    };
  },
  domain: { x: { min: -3, max: 3 }, m: { min: 0.1, max: 1 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[-1, -2]], [1], { m: 1 }], gives: 0.1823215567939546 }],
});
