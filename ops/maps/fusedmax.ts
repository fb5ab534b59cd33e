// Fusedmax: sparsemax that lets neighbouring classes share one probability. The order of the classes matters.

import {
  add,
  count,
  div,
  greater,
  max,
  min,
  mul,
  neg,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import { groupDrift, groupMeans, totalVariation } from "../../core/words.ts";
import { sparsemaxOf } from "./entmax.ts";
import { centred } from "./softmax.ts";

interface Fused {
  /** The strength λ ≥ 0 of the pull between neighbours, a number or a tensor (one value, or one per row), differentiable; 0.1 by default. */
  readonly lambda?: ScalarLike;
  /** The strength γ > 0 of the pull to the centre, a number or a tensor, differentiable; 1 by default. */
  readonly gamma?: ScalarLike;
}

/**
 * The distribution near the scores that is constant over stretches of neighbours: argmin ½‖p − x/γ‖² + (λ/γ)·Σ|pᵢ₊₁ − pᵢ|
 * over the simplex, which is sparsemax of the total-variation proximal step. Entries that are fused are equal to the last
 * digit, and small ones are exactly 0. λ = 0 is sparsemax of x/γ.
 *
 * A row that holds NaN or an infinity is NaN.
 *
 * @formula p = \arg\min_{q\in\Delta}\tfrac12\Bigl\|q-\frac
 *   x\gamma\Bigr\|^2+\frac\lambda\gamma\sum_i|q_{i+1}-q_i|=\mathrm{sparsemax}\Bigl(\frac y\gamma\Bigr),\qquad
 *   y=\arg\min_v\tfrac12\|v-x\|^2+\lambda\sum_i|v_{i+1}-v_i|
 * @gradient dx_i = \frac1\gamma\,\bar d_{G(i)},\qquad
 *   d\lambda=\frac1\gamma\sum_G\bigl(s_G^{\text{right}}-s_G^{\text{left}}\bigr)\,\bar d_G,\qquad d\gamma=-\frac{\langle
 *   d,y\rangle}{\gamma^2}
 * @remarks d is the gradient of sparsemax at y/γ, G runs over the groups of neighbours that are fused in y, and d̄ is the
 *   mean over a group. The signs s say whether y rises (1) or falls (−1) from the left neighbour into the group and from it
 *   to the right one, 0 at the ends.
 * @remarks The order along the axis matters: not permutation equivariant.
 * @see sparsemax: λ = 0 and γ = 1
 * @example fusedmax(tensor([1.6, 1.7, 1.1, -0.1]), { lambda: 0.1 })
 */
export const fusedmax: RowMap<Fused> = /* @__PURE__ */ rowMap("fusedmax", {
  doc: "The distribution near the scores that is constant over stretches of neighbours.",
  source: "Niculae & Blondel 2017, eq. 8 and Proposition 2; total variation: Condat 2013",
  params: {
    lambda: { is: "scalar", default: 0.1, min: 0 },
    gamma: { is: "scalar", default: 1, above: 0 },
  },
  program: ({ x, lambda, gamma }) => {
    const y = totalVariation(div(centred(x), gamma) as Row, div(lambda, gamma) as Scalar);
    // 0, or NaN for the rows that have no such distribution: comparisons would hide it.
    const [most, least] = [stop(max(x)), stop(min(x))];
    const p = add(sparsemaxOf(y).p, add(sub(most, most), sub(least, least))) as Row;
    return {
      result: p,
      vjp: ([g]) => {
        // Sparsemax's at y, then the means of that over what is fused. y is homogeneous in x and λ, and goes as 1/γ.
        const support = greater(p, 0) as RowMask;
        const mean = div(sum(select(support, g!, 0)), count(support));
        const dy = select(support, sub(g!, mean), 0) as Row;
        return {
          x: div(groupMeans(dy, y), gamma),
          lambda: div(sum(mul(dy, groupDrift(y))), gamma),
          gamma: neg(div(sum(mul(dy, y)), gamma)),
        };
      },
    };
  },
  domain: { x: { min: -2, max: 2 }, lambda: { min: 0.05, max: 0.4 }, gamma: { min: 0.5, max: 1.5 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "exactZeros",
    "jacobianSymmetric",
    "positiveSemidefinite",
    "nanRow",
    "oneClassIsOne",
    "finiteScoresOnly",
  ],
  breaks: {
    monotone: [[0.5, 0, 0.49, 0.49]],
    strictlyMonotone: [[0, 1, 9, 9]],
    permutationEquivariant: [[0, 0.5, 1]],
    scaleInvariant: [[0, 0.5]],
    idempotentOnSimplex: [[0.25, 0.75]],
  },
  examples: [
    {
      args: [[1.6374, 1.6829, 1.1386, -0.1138, 0.28], { lambda: 0.1 }],
      gives: [0.49051666666666666, 0.49051666666666666, 0.018966666666666698, 0, 0],
    },
    { args: [[-2, 0, 0.5], { lambda: 0 }], gives: [0, 0.25, 0.75] },
    { args: [[1, 0, 0.5, 0], { lambda: 5, gamma: 0.5 }], gives: [0.25, 0.25, 0.25, 0.25] },
  ],
});
