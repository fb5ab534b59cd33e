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
  laws: ["nonNegative", "nanRow"],
  examples: [{ args: [[[-1, -3]], [1]], gives: 0.1823215567939546 }],
});

interface Spherical extends IgnoreOption {
  /** Added to every square, ≥ 0; 0 by default. With 0 a right score of 0 has loss +∞. */
  readonly eps?: ScalarLike;
}

/**
 * The negative log-probability that sphericalSoftmax gives to the right class.
 * @example logSphericalCe(tensor([[1, -2]]), [1]) // 0.2231
 */
export const logSphericalCe: Loss<Spherical> = /* @__PURE__ */ rowLoss("logSphericalCe", {
  doc: "The negative log-probability of the right class under spherical softmax.",
  source: "Vincent, de Brébisson & Bouthillier 2015, section 2; de Brébisson & Vincent 2015, eq. 4",
  against: "labels",
  params: { eps: { is: "scalar", default: 0, min: 0 } },
  program: ({ x, target, eps }) => {
    const { t, r } = scaled(x, sqrt(eps));
    const w = add(mul(t, t), mul(eps, mul(r, r)));
    const own = pick(w, target);
    return select(equal(own, 0), Number.POSITIVE_INFINITY, sub(log(sum(w)), log(own))) as Scalar;
  },
  domain: { x: { min: 0.3, max: 3 }, eps: { min: 0.1, max: 1 } },
  laws: ["nonNegative", "nanRow"],
  examples: [{ args: [[[1, -2]], [1]], gives: 0.22314355131420976 }],
});
