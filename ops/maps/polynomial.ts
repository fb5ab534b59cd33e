// Normalisers by polynomials of the scores: Taylor softmax and spherical softmax. No exponential, no shift invariance.

import {
  abs,
  add,
  constant,
  div,
  equal,
  max,
  maximum,
  mul,
  n,
  type Row,
  type Scalar,
  select,
  sqrt,
  stop,
  sub,
  sum,
  type Value,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import { exp, log, pow } from "../../core/words.ts";

/**
 * x divided by the largest |x| of its row (at least `floor`), and one over that size: homogeneous formulas cannot overflow then.
 */
export function scaled(x: Row, floor: Scalar | number): { readonly t: Row; readonly r: Scalar } {
  const size = stop(maximum(max(abs(x)), floor)) as Scalar;
  const r = div(1, size);
  // A row of zeros has no size, and the size of a subnormal one no reciprocal. NaN goes on.
  const finite = select(equal(r, Number.POSITIVE_INFINITY), select(equal(size, 0), 1, 2 ** 127), r) as Scalar;
  return { t: mul(x, finite), r: finite };
}

/** fₖ(x)/|x|ᵏ = Σ tᵐrᵏ⁻ᵐ/m! by Horner's rule, for x = t/r. */
export function taylorPolynomial<V extends Value>(t: V, r: Value, order: number): V {
  let f: Value = constant(1);
  let power: Value = constant(1);
  for (let j = order; j >= 1; j--) {
    power = mul(power, r);
    f = add(power, div(mul(t, f), j));
  }
  return f as V;
}

/** The degree as an argument: even, so that the polynomial stays positive. */
export const taylorOrder: {
  readonly is: "static";
  readonly default: number;
  readonly check: (order: unknown) => string | undefined;
} = {
  is: "static",
  default: 2,
  check: (order) =>
    typeof order === "number" && Number.isInteger(order) && order >= 2 && order % 2 === 0
      ? undefined
      : "give an even integer of at least 2: odd orders go negative",
};

interface Order {
  /** The degree k of the polynomial, even; 2 by default. */
  readonly order?: number;
}

/**
 * Probabilities in proportion to the Taylor polynomial of eˣ of even degree k, fₖ(x) = Σ xᵐ/m! > 0. Neither monotone nor
 * shift-invariant: (−1, −3) gives (1/6, 5/6).
 *
 * @formula p_i = \frac{f_k(x_i)}{\sum_j f_k(x_j)},\qquad f_k(v)=\sum_{m=0}^k\frac{v^m}{m!},\quad k\ \text{even}
 * @gradient dx = \frac{f_{k-1}(x)}{\sum_j f_k(x_j)}\bigl(g-\langle g,p\rangle\bigr)
 * @errata Presented as a stand-in for softmax without a word of what is lost. Order 2 is not monotone: (−1, −3, 0) gives
 *   (0.125, 0.625, 0.25). It is not shift-invariant: (0, 1) gives 0.7143 to the second class, (5, 6) gives it 0.5747.
 * @see softmax: the limit k → ∞
 * @see logTaylorSoftmax: its logarithms
 * @see taylorCe: its loss
 * @example taylorSoftmax(tensor([0, 1]), { order: 2 }) // [0.2857, 0.7143]
 */
export const taylorSoftmax: RowMap<Order> = /* @__PURE__ */ rowMap("taylorSoftmax", {
  doc: "Probabilities in proportion to a Taylor polynomial of the exponential.",
  source: "de Brébisson & Vincent 2015, eq. 6 (order 2); Banerjee et al. 2020 (higher orders)",
  params: { order: taylorOrder },
  program: ({ x, order }) => {
    const { t, r } = scaled(x, 1);
    const f = taylorPolynomial(t, r, order);
    const total = sum(f);
    const p = div(f, total);
    // fₖ' = fₖ₋₁.
    return {
      result: p,
      vjp: ([g]) => ({
        x: mul(mul(taylorPolynomial(t, r, order - 1), div(r, total)), sub(g!, sum(mul(g!, p)))),
      }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["sumsToOne", "nonNegative", "permutationEquivariant", "nanRow", "oneClassIsOne", "finiteScoresOnly"],
  breaks: {
    shiftInvariant: [[0, 1]],
    monotone: [[-1, -3]],
    strictlyMonotone: [[-1, -3]],
    scaleInvariant: [[0, 1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[0, -30]],
  },
  examples: [
    { args: [[-1, -3]], gives: [0.16666666666666666, 0.8333333333333334] },
    { args: [[-1, -3, 0], { order: 2 }], gives: [0.125, 0.625, 0.25] },
  ],
});

/**
 * The logarithms of taylorSoftmax's probabilities, finite also where these underflow.
 *
 * @formula y_i = \log f_k(x_i)-\log\sum_j f_k(x_j),\qquad f_k(v)=\sum_{m=0}^k\frac{v^m}{m!},\quad k\ \text{even}
 * @gradient dx_i = f_{k-1}(x_i)\Bigl(\frac{g_i}{f_k(x_i)}-\frac{\sum_j g_j}{\sum_j f_k(x_j)}\Bigr)
 * @see taylorSoftmax: its exponential
 * @see taylorCe: the loss that reads one entry of it
 * @example logTaylorSoftmax(tensor([-1, -3])) // [-1.7918, -0.1823]
 */
export const logTaylorSoftmax: RowMap<Order> = /* @__PURE__ */ rowMap("logTaylorSoftmax", {
  doc: "The logarithms of Taylor softmax's probabilities.",
  source: "de Brébisson & Vincent 2015, eq. 6 (order 2); Banerjee et al. 2020 (higher orders)",
  params: { order: taylorOrder },
  program: ({ x, order }) => {
    // fₖ(x) = sᵏ·f with s ≥ |x|: each entry by its own size, the sum by the largest.
    const s = stop(maximum(abs(x), 1));
    const [t, r] = [div(x, s), div(1, s)];
    const f = taylorPolynomial(t, r, order);
    const relative = div(s, max(s));
    const total = sum(mul(pow(relative, order), f));
    const y = add(mul(order, log(relative)), sub(log(f), log(total))) as Row;
    const slope = div(mul(taylorPolynomial(t, r, order - 1), r), f);
    return {
      result: y,
      vjp: ([g]) => ({ x: mul(slope, sub(g!, mul(exp(y), sum(g!)))) }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["expSumsToOne", "permutationEquivariant", "nanRow", "finiteScoresOnly"],
  examples: [
    { args: [[-1, -3]], gives: [-1.791759469228055, -0.1823215567939546] },
    {
      args: [[0, 0, 0], { order: 4 }],
      gives: [-1.0986122886681098, -1.0986122886681098, -1.0986122886681098],
    },
  ],
});

interface Eps {
  /** Added to every square, ≥ 0; 0 by default. */
  readonly eps?: ScalarLike;
}

/**
 * Probabilities in proportion to squared scores: (x² + ε)/Σ(x² + ε). Even in every score, scale-invariant at ε = 0. A row of
 * zeros at ε = 0 is uniform, with zero gradient.
 *
 * @formula p_i = \frac{x_i^2+\varepsilon}{\sum_j (x_j^2+\varepsilon)}
 * @gradient dx = \frac{2x}{W}\bigl(g-\langle g,p\rangle\bigr),\qquad d\varepsilon=\frac1W\Bigl(\sum_i g_i-n\langle
 *   g,p\rangle\Bigr),\qquad W=\sum_j(x_j^2+\varepsilon)
 * @errata Overviews that list a family of spherical softmaxes do not always define it; the definition here is that of the
 *   papers named as source.
 * @see logSphericalCe: its loss
 * @see taylorSoftmax: order 2 adds the linear term
 * @example sphericalSoftmax(tensor([1, -2])) // [0.2, 0.8]
 */
export const sphericalSoftmax: RowMap<Eps> = /* @__PURE__ */ rowMap("sphericalSoftmax", {
  doc: "Probabilities in proportion to squared scores.",
  source: "Ollivier 2013; de Brébisson & Vincent 2015, eq. 4",
  params: { eps: { is: "scalar", default: 0, min: 0 } },
  program: ({ x, eps }) => {
    const { t, r } = scaled(x, sqrt(eps));
    const w = add(mul(t, t), mul(mul(eps, r), r));
    const total = sum(w);
    const zeros = equal(total, 0);
    const p = select(zeros, div(1, n), div(w, total)) as Row;
    return {
      result: p,
      vjp: ([g]) => {
        const mean = sum(mul(g!, p));
        return {
          x: select(zeros, 0, mul(mul(mul(2, t), div(r, total)), sub(g!, mean))),
          eps: select(zeros, 0, mul(div(mul(r, r), total), sub(sum(g!), mul(n, mean)))),
        };
      },
    };
  },
  domain: { x: { min: 0.3, max: 3 }, eps: { min: 0.1, max: 1 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "permutationEquivariant",
    "scaleInvariant",
    "nanRow",
    "oneClassIsOne",
    "finiteScoresOnly",
  ],
  breaks: {
    shiftInvariant: [[1, 2]],
    monotone: [[1, -2]],
    strictlyMonotone: [[1, -2]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[1, -30]],
  },
  examples: [
    { args: [[1, -2]], gives: [0.2, 0.8] },
    { args: [[0, 0]], gives: [0.5, 0.5] },
  ],
});
