// Negative log-likelihoods of the polynomial normalisers: Taylor softmax and spherical softmax.

import { type Loss, rowLoss, type ScalarLike } from "../core/rowop.ts";
import { add, div, equal, log, mul, oneHot, pick, type Scalar, select, sub, sum } from "../core/row/expr.ts";
import { checkOrder, scaled, taylorPolynomial } from "../ops/maps/polynomial.ts";

type TaylorParams = {
  readonly target: { readonly is: "label"; readonly ignore: string };
  readonly ignoreIndex: { readonly is: "scalar"; readonly default: number; readonly integer: true };
  readonly order: { readonly is: "static"; readonly default: number; readonly check: typeof checkOrder };
};

interface Taylor {
  /** The degree k of the polynomial, even; 2 by default. */
  readonly order?: number;
  /** The class index that marks rows to leave out; −100 by default. */
  readonly ignoreIndex?: number;
}

/**
 * The negative log-probability that taylorSoftmax gives to the right class.
 * @example taylorCe(tensor([[0, 1]]), [1], { order: 2 })
 */
export const taylorCe: Loss<Taylor> = /* @__PURE__ */ rowLoss<TaylorParams, Loss<Taylor>>("taylorCe", {
  doc: "The negative log-probability of the right class under Taylor softmax.",
  source: "de Brébisson & Vincent 2015, eq. 6; Banerjee et al. 2020",
  params: {
    target: { is: "label", ignore: "ignoreIndex" },
    ignoreIndex: { is: "scalar", default: -100, integer: true },
    order: { is: "static", default: 2, check: checkOrder },
  },
  program: ({ x, target, ignoreIndex, order }) => {
    const { t, r } = scaled(x);
    const f = taylorPolynomial(t, r, order);
    const total = sum(f);
    const own = pick(f, target);
    const counted = <V extends Scalar | number>(v: V): Scalar =>
      select(equal(target, ignoreIndex), 0, v) as Scalar;
    return {
      loss: counted(sub(log(total), log(own))),
      weight: counted(1),
      vjp: ([g]) => {
        const slope = mul(taylorPolynomial(t, r, order - 1), r); // fₖ' = fₖ₋₁
        const v = counted(g as Scalar);
        return { x: sub(mul(slope, div(v, total)), oneHot(target, mul(v, div(pick(slope, target), own)))) };
      },
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["nonNegative", "nanRow"],
  examples: [{ args: [[[-1, -3]], [1]], gives: Math.log(6 / 5) }],
});

type SphericalParams = {
  readonly target: { readonly is: "label"; readonly ignore: string };
  readonly ignoreIndex: { readonly is: "scalar"; readonly default: number; readonly integer: true };
  readonly eps: { readonly is: "scalar"; readonly default: number; readonly min: number };
};

interface Spherical {
  /** Added to every square, ≥ 0; 0 by default. With 0 a right score of 0 has loss +∞. */
  readonly eps?: ScalarLike;
  /** The class index that marks rows to leave out; −100 by default. */
  readonly ignoreIndex?: number;
}

/**
 * The negative log-probability that sphericalSoftmax gives to the right class.
 * @example logSphericalCe(tensor([[1, -2]]), [1]) // 0.2231
 */
export const logSphericalCe: Loss<Spherical> = /* @__PURE__ */ rowLoss<SphericalParams, Loss<Spherical>>(
  "logSphericalCe",
  {
    doc: "The negative log-probability of the right class under spherical softmax.",
    source: "Vincent, de Brébisson & Bouthillier 2015, section 2; de Brébisson & Vincent 2015, eq. 4",
    params: {
      target: { is: "label", ignore: "ignoreIndex" },
      ignoreIndex: { is: "scalar", default: -100, integer: true },
      eps: { is: "scalar", default: 0, min: 0 },
    },
    program: ({ x, target, ignoreIndex, eps }) => {
      const { t, r } = scaled(x);
      const w = add(mul(t, t), mul(eps, mul(r, r)));
      const own = pick(w, target);
      const counted = (v: Scalar | number): Scalar => select(equal(target, ignoreIndex), 0, v) as Scalar;
      const loss = select(equal(own, 0), Number.POSITIVE_INFINITY, sub(log(sum(w)), log(own))) as Scalar;
      return { loss: counted(loss), weight: counted(1) };
    },
    domain: { x: { min: 0.3, max: 3 }, eps: { min: 0.1, max: 1 } },
    laws: ["nonNegative", "nanRow"],
    examples: [{ args: [[[1, -2]], [1]], gives: Math.log(5 / 4) }],
  },
);
