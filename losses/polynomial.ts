// Negative log-likelihoods of the polynomial normalisers: Taylor softmax and spherical softmax.

import { add, div, equal, mul, oneHot, pick, type Scalar, select, sqrt, sub, sum } from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { log } from "../core/words.ts";
import { scaled, taylorOrder, taylorPolynomial } from "../ops/maps/polynomial.ts";

interface Taylor extends IgnoreOption {
  /** The degree k of the polynomial, even; 2 by default. */
  readonly order?: number;
}

/**
 * The negative log-probability that taylorSoftmax gives to the right class.
 *
 * @formula L = \log\sum_j f_k(x_j)-\log f_k(x_t),\qquad f_k(v)=\sum_{m=0}^k\frac{v^m}{m!}
 * @gradient dx = \frac{f_{k-1}(x)}{\sum_j f_k(x_j)}-e_t\frac{f_{k-1}(x_t)}{f_k(x_t)}
 * @remarks Of order 2 a function of Σx, Σx² and xₜ alone, as all losses of the spherical family are.
 * @see taylorSoftmax: its map
 * @see crossEntropy: the limit k → ∞
 * @see smTaylorLoss: with a margin
 * @example taylorCe(tensor([[0, 1]]), [1], { order: 2 }) // 0.3365
 */
export const taylorCe: Loss<Taylor> = /* @__PURE__ */ rowLoss("taylorCe", {
  doc: "The negative log-probability of the right class under Taylor softmax.",
  source: "de Brébisson & Vincent 2015, eq. 6; Banerjee et al. 2020",
  against: "labels",
  params: { order: taylorOrder },
  program: ({ x, target, order }) => {
    const { t, r } = scaled(x, 1);
    const f = taylorPolynomial(t, r, order);
    const slope = mul(taylorPolynomial(t, r, order - 1), r); // fₖ' = fₖ₋₁
    const total = sum(f);
    const own = pick(f, target);
    return {
      loss: sub(log(total), log(own)),
      vjp: ([g]) => ({
        x: sub(mul(slope, div(g!, total)), oneHot(target, mul(g!, div(pick(slope, target), own)))),
      }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[-1, -3]], [1]], gives: 0.1823215567939546 }],
});

interface Spherical extends IgnoreOption {
  /** Added to every square, ≥ 0; 0 by default. With 0 a right score of 0 has loss +∞. */
  readonly eps?: ScalarLike;
}

/**
 * The negative log-probability that sphericalSoftmax gives to the right class.
 *
 * @formula L = \log\sum_j(x_j^2+\varepsilon)-\log(x_t^2+\varepsilon)
 * @gradient dx = \frac{2x}{\sum_j(x_j^2+\varepsilon)}-e_t\frac{2x_t}{x_t^2+\varepsilon}
 * @remarks At ε = 0 a right score of 0 costs +∞.
 * @see sphericalSoftmax: its map
 * @see zLossSpherical: another loss of the spherical family
 * @example logSphericalCe(tensor([[1, -2]]), [1]) // 0.2231
 */
export const logSphericalCe: Loss<Spherical> = /* @__PURE__ */ rowLoss("logSphericalCe", {
  doc: "The negative log-probability of the right class under spherical softmax.",
  source: "Vincent, de Brébisson & Bouthillier 2015, section 2; de Brébisson & Vincent 2015, eq. 4",
  against: "labels",
  params: { eps: { is: "scalar", default: 0, min: 0 } },
  program: ({ x, target, eps }) => {
    const { t, r } = scaled(x, sqrt(eps));
    const w = add(mul(t, t), mul(mul(eps, r), r));
    const own = pick(w, target);
    return select(equal(own, 0), Number.POSITIVE_INFINITY, sub(log(sum(w)), log(own))) as Scalar;
  },
  domain: { x: { min: 0.3, max: 3 }, eps: { min: 0.1, max: 1 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[1, -2]], [1]], gives: 0.22314355131420976 }],
});
