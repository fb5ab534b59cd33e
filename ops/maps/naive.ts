// Softmax as textbooks print it, to show what happens. Nothing to compute with: that is `softmax`.

import { div, type Row, sum } from "../../core/row/expr.ts";
import { type RowMap, rowMap } from "../../core/rowop.ts";
import { exp } from "../../core/words.ts";

/**
 * For teaching only: softmax as it is printed, eˣ/Σeˣ of the scores as they are. Equal to `softmax` until exp overflows, from
 * scores of 710 in f64 and 89 in f32: then ∞/∞ = NaN. And where all scores are so low that every eˣ is 0 (below −745 in f64),
 * it is 0/0. Subtracting the largest score first, as `softmax` does, cancels in exact arithmetic and heals both.
 *
 * @formula p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)
 * @errata The printed formula is right, and as a program wrong: softmax(710, 0) is (1, 0), and this gives (NaN, 0).
 * @see softmax: what to use
 * @example naiveSoftmax(tensor([0, 89])) // [0, NaN]
 */
export const naiveSoftmax: RowMap = /* @__PURE__ */ rowMap("naiveSoftmax", {
  doc: "Softmax without the shift, for teaching only: it overflows.",
  source: "Goodfellow, Bengio & Courville 2016, section 4.1, as an example of overflow",
  program: ({ x }) => {
    const e = exp(x) as Row;
    return div(e, sum(e));
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["permutationEquivariant", "nanRow"],
  // All but one of these would hold if numbers had no end.
  breaks: {
    sumsToOne: [[800, 0]],
    nonNegative: [[800, 0]],
    monotone: [[800, 0]],
    strictlyMonotone: [[800, 0]],
    shiftInvariant: [[709, 0]],
    infiniteRow: [[Number.POSITIVE_INFINITY, 0]],
    scaleInvariant: [[0, 1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[0, -30]],
  },
  examples: [
    { args: [[0, Math.LN2]], gives: [0.3333333333333333, 0.6666666666666666] },
    { args: [[0, 710]], gives: [0, Number.NaN] },
  ],
});
