// Losses of samples that belong to any number of classes: log-sum-exp losses of all pairs of a right and a wrong class.
// A target is a bool tensor of the shape of the scores, true where the sample belongs.

import type { HandWrittenGradient } from "../core/formula.ts";
import {
  add,
  count,
  differentiateAs,
  div,
  greater,
  greaterEqual,
  less,
  max,
  maximum,
  min,
  mul,
  neg,
  not,
  or,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { exp, log, log1p } from "../core/words.ts";
import { centred } from "../ops/maps/softmax.ts";
import { deltaParam } from "../ops/maps/truncated.ts";

/** log(1 + Σ eᵛ) over the classes of a set. */
function logOnePlusSumExp(v: Row, set: RowMask): Scalar {
  const own = select(set, v, Number.NEGATIVE_INFINITY) as Row;
  const m = stop(max(own));
  const shift = maximum(m, 0);
  const e = exp(sub(own, shift)) as Row;
  const total = add(exp(neg(shift)), sum(e));
  // The largest term is 1: it is 1 itself, or some eᵛ; the others are summed.
  const others = select(
    greater(m, 0),
    add(exp(neg(shift)), add(sum(select(less(own, m), e, 0)), sub(count(greaterEqual(own, m)), 1))),
    sum(e),
  );
  return add(shift, differentiateAs(log1p(others), log(total))) as Scalar;
}

/** log(1 + Σ eˣ) over the wrong classes and log(1 + Σ e⁻ˣ) over the right ones, with a gradient that needs no more than these. */
function pairs(
  x: Row,
  wrong: RowMask,
  right: RowMask,
): { readonly loss: Scalar; readonly vjp: HandWrittenGradient } {
  const below = logOnePlusSumExp(x, wrong);
  const above = logOnePlusSumExp(neg(x), right);
  return {
    loss: add(below, above) as Scalar,
    vjp: ([g]) => ({
      x: mul(g!, select(wrong, exp(sub(x, below)), select(right, neg(exp(neg(add(x, above)))), 0))),
    }),
  };
}

/**
 * log(1 + Σ eˣ) over the classes outside the set, plus log(1 + Σ e⁻ˣ) over those within: every right score is to lie above 0
 * and every wrong one below, the worst counting most. `target` is a bool tensor of the shape of x.
 *
 * @formula L = \log\Bigl(1+\sum_{i\notin Y}e^{x_i}\Bigr)+\log\Bigl(1+\sum_{j\in Y}e^{-x_j}\Bigr)
 * @gradient dx_i = \frac{e^{x_i}}{1+\sum_{k\notin Y}e^{x_k}}\ \text{ for } i\notin Y,\qquad
 *   dx_j=-\frac{e^{-x_j}}{1+\sum_{k\in Y}e^{-x_k}}\ \text{ for } j\in Y
 * @see bceWithLogits: a decision for each class by itself
 * @see asSoftmaxMultilabelLoss: leaves out what does not compete
 * @example multilabelCe(tensor([[0, 0]]), tensor([[true, false]])) // 1.3863
 */
export const multilabelCe: Loss<object, "sets"> = /* @__PURE__ */ rowLoss("multilabelCe", {
  doc: "Cross-entropy for samples of any number of classes, with 0 as the threshold.",
  source: "Su et al. 2022, arXiv:2208.02955, eq. 6",
  against: "sets",
  program: ({ x, target }) => pairs(x, not(target), target),
  domain: { x: { min: -3, max: 3 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], { bool: [[true, false]] }], gives: 1.3862943611198906 },
    { args: [[[Math.LN2, 0]], { bool: [[false, false]] }], gives: 1.3862943611198906 },
  ],
});

interface Delta {
  /** δ in [0, 1]: classes that the others lead or follow by more than δ in probability are left out; 0.1 by default. */
  readonly delta?: ScalarLike;
}

/**
 * multilabelCe over the classes that still compete: a wrong one is left out where its probability lies more than δ below that
 * of every right class, a right one where it lies more than δ above that of every wrong class.
 *
 * @formula L = \log\Bigl(1+\sum_{i\in N}e^{x_i}\Bigr)+\log\Bigl(1+\sum_{j\in P}e^{-x_j}\Bigr)
 * @formula N = \{i\notin Y:\ \min_{k\in Y}s_k-s_i\le\delta\},\qquad P=\{j\in Y:\ s_j-\max_{k\notin Y}s_k\le\delta\},\qquad
 *   s=\mathrm{softmax}(x)
 * @gradient dx_i = \frac{e^{x_i}}{1+\sum_{k\in N}e^{x_k}}\ \text{ for } i\in N,\qquad dx_j=-\frac{e^{-x_j}}{1+\sum_{k\in
 *   P}e^{-x_k}}\ \text{ for } j\in P,\qquad 0\ \text{ elsewhere}
 * @remarks N and P count as constants. Without right classes, or without wrong ones, nothing competes and the loss is 0.
 * @see multilabelCe: δ = 1, where there are right and wrong classes
 * @see asSoftmaxLoss: for one right class
 * @example asSoftmaxMultilabelLoss(tensor([[5, 0]]), tensor([[true, false]])) // 0
 */
export const asSoftmaxMultilabelLoss: Loss<Delta, "sets"> = /* @__PURE__ */ rowLoss(
  "asSoftmaxMultilabelLoss",
  {
    doc: "The cross-entropy for any number of classes over those that still compete.",
    source: "Lv et al. 2025, arXiv:2508.03175, reference code",
    against: "sets",
    params: { delta: deltaParam },
    program: ({ x, target, delta }) => {
      const e = stop(exp(centred(x)));
      const s = div(e, sum(e)) as Row;
      const lowest = min(select(target, s, Number.POSITIVE_INFINITY));
      const highest = max(select(target, Number.NEGATIVE_INFINITY, s));
      // Put so that a NaN row is kept whole, and comes out.
      const wrong = not(or(target, greater(sub(lowest, s), delta)));
      const right = not(or(not(target), greater(sub(s, highest), delta)));
      return pairs(x, wrong, right);
    },
    domain: { x: { min: -3, max: 3 } },
    laws: ["nonNegative", "permutationInvariant", "nanRow"],
    examples: [
      { args: [[[5, 0]], { bool: [[true, false]] }], gives: 0 },
      { args: [[[0, 0]], { bool: [[true, false]] }], gives: 1.3862943611198906 },
      { args: [[[0, 0]], { bool: [[true, true]] }], gives: 0 },
    ],
  },
);
