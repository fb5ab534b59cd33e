// Scores made non-negative entry by entry and divided by their sum: identity, ReLU and its powers, sigmoid, softplus, sine.
// None is shift-invariant. Polynomials of the scores stand in `polynomial.ts`.

import type { HandWrittenGradient } from "../../core/formula.ts";
import type { Breaks } from "../../core/op.ts";
import {
  abs,
  add,
  differentiateAs,
  div,
  equal,
  greater,
  less,
  max,
  maximum,
  min,
  minimum,
  mul,
  n,
  neg,
  type Row,
  relu,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import { cos, exp, log, log1pRatio, posPow, sigmoid, sin } from "../../core/words.ts";
import { scaled } from "./polynomial.ts";

/** 0, or NaN for the rows that have no distribution: those that hold NaN or +∞, or are −∞ throughout. */
export function undefinedRow(x: Row): Scalar {
  const m = stop(max(x));
  return sub(m, m);
}

interface Unchecked {
  /** Whether to divide also where scores are negative; false by default. */
  readonly unchecked?: boolean;
}

/**
 * Non-negative scores divided by their sum. A row that holds a negative score, or whose sum is 0, is NaN; with `unchecked`
 * only the sum must not be 0.
 *
 * @formula p_i = \frac{x_i}{\sum_j x_j}
 * @gradient dx = \frac{g-\langle g,p\rangle}{\sum_j x_j}
 * @see normalizedRelu: the same for scores that are not negative
 * @see sparsehourglass: at q = 0 the same for these
 * @example sumNormalization(tensor([1, 3])) // [0.25, 0.75]
 */
export const sumNormalization: RowMap<Unchecked> = /* @__PURE__ */ rowMap("sumNormalization", {
  doc: "Non-negative scores divided by their sum.",
  source: "Laha et al. 2018, section 2",
  params: {
    unchecked: {
      is: "static",
      default: 0,
      check: (v) => (typeof v === "boolean" ? undefined : "give true or false"),
    },
  },
  program: ({ x, unchecked }) => {
    const { t, r } = scaled(x, 0);
    const total = unchecked ? sum(t) : (select(less(min(x), 0), Number.NaN, sum(t)) as Scalar);
    const p = div(t, total);
    return { result: p, vjp: ([g]) => ({ x: mul(div(r, total), sub(g!, sum(mul(g!, p)))) }) };
  },
  domain: { x: { min: 0.1, max: 3 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "monotone",
    "strictlyMonotone",
    "permutationEquivariant",
    "scaleInvariant",
    "idempotentOnSimplex",
    "nanRow",
    "finiteScoresOnly",
    "oneClassIsOne",
  ],
  breaks: { shiftInvariant: [[0, 1]], exactZeros: [[31, 1]] },
  examples: [
    { args: [[1, 3]], gives: [0.25, 0.75] },
    { args: [[-1, 3], { unchecked: true }], gives: [-0.5, 1.5] },
  ],
});

interface Eps {
  /** Added to the sum, ≥ 0; 0 by default. */
  readonly eps?: ScalarLike;
}

/**
 * Positive parts divided by their sum: x₊/(Σx₊ + ε). A row without a positive score is 0 throughout, with zero gradient.
 *
 * @formula p_i = \frac{(x_i)_+}{\sum_j (x_j)_++\varepsilon}
 * @gradient dx_i = \mathbf 1[x_i>0]\frac{g_i-\langle g,p\rangle}{\sum_j (x_j)_++\varepsilon},\qquad
 *   d\varepsilon=-\frac{\langle g,p\rangle}{\sum_j (x_j)_++\varepsilon}
 * @see reluPowerNorm: with a power
 * @see sumNormalization: for scores that are not negative
 * @example normalizedRelu(tensor([3, -1, 1])) // [0.75, 0, 0.25]
 */
export const normalizedRelu: RowMap<Eps> = /* @__PURE__ */ rowMap("normalizedRelu", {
  doc: "Positive parts of the scores divided by their sum.",
  source: "Zhang et al. 2021, section 3 (without their normalisation layer); Wortsman et al. 2023",
  params: { eps: { is: "scalar", default: 0, min: 0 } },
  program: ({ x, eps }) => {
    const { t, r } = scaled(relu(x), eps);
    const total = add(add(sum(t), mul(eps, r)), undefinedRow(x)) as Scalar;
    const zeros = equal(total, 0);
    const p = select(zeros, 0, div(t, total)) as Row;
    const slope = select(zeros, 0, div(r, total)) as Scalar;
    return {
      result: p,
      vjp: ([g]) => {
        const mean = sum(mul(g!, p));
        return { x: select(greater(x, 0), mul(slope, sub(g!, mean)), 0), eps: neg(mul(slope, mean)) };
      },
    };
  },
  domain: { x: { min: -3, max: 3, avoid: [0] }, eps: { min: 0.1, max: 1 } },
  laws: [
    "nonNegative",
    "sumsToAtMostOne",
    "monotone",
    "permutationEquivariant",
    "scaleInvariant",
    "idempotentOnSimplex",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: { sumsToOne: [[-1]], shiftInvariant: [[1, 2]], strictlyMonotone: [[-2, -1]] },
  examples: [
    { args: [[3, -1, 1]], gives: [0.75, 0, 0.25] },
    { args: [[-3, -1]], gives: [0, 0] },
  ],
});

interface Power {
  /** The exponent a ≥ 1, differentiable; 2 by default. */
  readonly power?: ScalarLike;
}

/**
 * Powers of positive parts divided by their sum: x₊ᵃ/Σx₊ᵃ. A row without a positive score is 0 throughout, with zero
 * gradient.
 *
 * @formula p_i = \frac{(x_i)_+^a}{\sum_j (x_j)_+^a}
 * @gradient dx = \frac{a\,(x)_+^{a-1}}{\sum_j (x_j)_+^a}\bigl(g-\langle g,p\rangle\bigr),\qquad da=\sum_{i\in S}p_i\log
 *   x_i\,\bigl(g_i-\langle g,p\rangle\bigr)
 * @see normalizedRelu: a = 1
 * @see hardmax: the limit a → ∞ where a positive maximum is unique
 * @example reluPowerNorm(tensor([3, -1, 1]), { power: 2 }) // [0.9, 0, 0.1]
 */
export const reluPowerNorm: RowMap<Power> = /* @__PURE__ */ rowMap("reluPowerNorm", {
  doc: "Powers of the positive parts of the scores divided by their sum.",
  source: "p-norm weights; with softplus in place of ReLU: LSSA, Gao et al. 2025",
  params: { power: { is: "scalar", default: 2, min: 1 } },
  program: ({ x, power }) => {
    const { t, r } = scaled(relu(x), 0);
    const w = posPow(t, power) as Row;
    const total = add(sum(w), undefinedRow(x)) as Scalar;
    const zeros = equal(total, 0);
    const p = select(zeros, 0, div(w, total)) as Row;
    const slope = mul(power, select(zeros, 0, div(r, total)));
    return {
      result: p,
      vjp: ([g]) => {
        const away = sub(g!, sum(mul(g!, p)));
        const logs = select(greater(t, 0), log(t), 0);
        return {
          x: mul(mul(slope, posPow(t, sub(power, 1))), away),
          power: sum(mul(mul(p, logs), away)),
        };
      },
    };
  },
  domain: { x: { min: -3, max: 3, avoid: [0] }, power: { min: 1.5, max: 3 } },
  laws: [
    "nonNegative",
    "sumsToOneOrZero",
    "monotone",
    "permutationEquivariant",
    "scaleInvariant",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: {
    sumsToOne: [[-1]],
    shiftInvariant: [[1, 2]],
    strictlyMonotone: [[-2, -1]],
    idempotentOnSimplex: [[0.25, 0.75]],
  },
  examples: [
    { args: [[3, -1, 1]], gives: [0.9, 0, 0.1] },
    { args: [[3, -1, 1], { power: 1 }], gives: [0.75, 0, 0.25] },
  ],
});

/** How far a row of negative scores is shifted up: σ(x) = eˣ to the last digit below −37, and would vanish further down. */
const liftOf = (m: Scalar): Scalar => minimum(add(m, 37), 0) as Scalar;

/** σ(x), in units of e^lift. */
export function sigmoids(x: Row): Row {
  // Beyond 40 a sigmoid is 1 to the last digit.
  const t = exp(minimum(sub(x, liftOf(stop(max(x)))), 40));
  return div(t, add(1, t)) as Row;
}

/** w/Σw with its gradient, for w = w(x) with derivative `slope`, both at any scale. */
function ratio(x: Row, w: Row, slope: Row): { readonly result: Row; readonly vjp: HandWrittenGradient } {
  const total = add(sum(w), undefinedRow(x)) as Scalar;
  const p = div(w, total);
  return {
    result: p,
    vjp: ([g]) => ({ x: mul(div(slope, total), sub(g!, sum(mul(g!, p)))) }),
  };
}

/** What breaks the laws that these keep no more than softmax does, and shift invariance. */
export const unshiftedBreaks: Breaks = {
  shiftInvariant: [[0, 1]],
  scaleInvariant: [[0, 1]],
  idempotentOnSimplex: [[0.25, 0.75]],
  exactZeros: [[0, -30]],
};

const monotoneRatio: readonly string[] = [
  "sumsToOne",
  "nonNegative",
  "monotone",
  "strictlyMonotone",
  "permutationEquivariant",
  "nanRow",
  "infiniteRow",
  "masked",
  "oneClassIsOne",
];

/**
 * Sigmoids divided by their sum: σ(x)/Σσ(x), exact also where every sigmoid underflows.
 *
 * @formula p_i = \frac{\sigma(x_i)}{\sum_j\sigma(x_j)}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)\,\sigma(-x)
 * @see softmax: the same of −log(1 + e⁻ˣ), and its limit for very negative scores
 * @see sigmoidAttention: not divided by the sum
 * @example normalizedSigmoid(tensor([0, -1.0986])) // [0.6667, 0.3333]
 */
export const normalizedSigmoid: RowMap = /* @__PURE__ */ rowMap("normalizedSigmoid", {
  doc: "Sigmoids of the scores divided by their sum.",
  source: "σ(x)/Σσ(x), a normalised monotone function",
  program: ({ x }) => {
    const w = sigmoids(x);
    const total = add(sum(w), undefinedRow(x)) as Scalar;
    const p = div(w, total) as Row;
    const sigma = mul(p, total);
    // σ(−x) as 1 − σ(x) while that has its digits, also where σ is lifted: there it is 0.
    const rest = select(greater(sigma, 31 / 32), sigmoid(neg(x)), sub(1, sigma));
    return { result: p, vjp: ([g]) => ({ x: mul(mul(p, rest), sub(g!, sum(mul(g!, p)))) }) };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: monotoneRatio,
  breaks: unshiftedBreaks,
  examples: [{ args: [[0, -1.0986122886681098]], gives: [0.6666666666666666, 0.3333333333333333] }],
});

/**
 * Softplus of the scores divided by its sum: log(1 + eˣ)/Σ log(1 + eˣ), exact also where every term underflows.
 *
 * @formula p_i = \frac{\log(1+e^{x_i})}{\sum_j\log(1+e^{x_j})}
 * @gradient dx = \frac{\sigma(x)}{\sum_j\log(1+e^{x_j})}\bigl(g-\langle g,p\rangle\bigr)
 * @see softmax: its limit for very negative scores
 * @see normalizedRelu: its limit for large ones
 * @example normalizedSoftplus(tensor([0, 1.0986])) // [0.3333, 0.6667]
 */
export const normalizedSoftplus: RowMap = /* @__PURE__ */ rowMap("normalizedSoftplus", {
  doc: "Softplus of the scores divided by its sum.",
  source: "log(1 + eˣ)/Σ log(1 + eˣ), a normalised monotone function",
  program: ({ x }) => {
    const m = stop(max(x));
    const scale = div(1, maximum(m, 1));
    // log(1 + eˣ) = x₊ + log(1 + e^−|x|), and all of it in units of e^lift.
    const lift = liftOf(m);
    const fall = exp(minimum(sub(neg(abs(x)), lift), 0));
    const tail = differentiateAs(fall, exp(sub(select(greater(x, 0), neg(x), x), lift)));
    const w = mul(scale, add(relu(x), mul(tail, log1pRatio(mul(tail, exp(lift)))))) as Row;
    return ratio(x, w, mul(scale, sigmoids(x)) as Row);
  },
  domain: { x: { min: -3, max: 3 } },
  laws: monotoneRatio,
  breaks: unshiftedBreaks,
  examples: [{ args: [[0, 1.0986122886681098]], gives: [0.3333333333333333, 0.6666666666666666] }],
});

/**
 * Softmax of sines: probabilities within a factor e² of one another, whatever the scores, and gradients that never vanish for
 * long. Periodic, so not monotone.
 *
 * @formula p_i = \frac{e^{\sin x_i}}{\sum_j e^{\sin x_j}}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)\cos x
 * @see softmax: of the sines
 * @see sin2MaxShifted: without an exponential
 * @example sinSoftmax(tensor([0, Math.PI / 2])) // [0.2689, 0.7311]
 */
export const sinSoftmax: RowMap = /* @__PURE__ */ rowMap("sinSoftmax", {
  doc: "Softmax of the sines of the scores.",
  source: "Wang et al. 2021, section 3.2",
  program: ({ x }) => {
    const e = exp(sin(x)) as Row;
    return ratio(x, e, mul(e, cos(x)) as Row);
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["sumsToOne", "nonNegative", "permutationEquivariant", "nanRow", "oneClassIsOne", "finiteScoresOnly"],
  breaks: {
    shiftInvariant: [[0, 1]],
    monotone: [[2, 4]],
    strictlyMonotone: [[2, 4]],
    scaleInvariant: [[0, 1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[0, -30]],
  },
  examples: [{ args: [[0, 1.5707963267948966]], gives: [0.2689414213699951, 0.7310585786300049] }],
});

/**
 * Probabilities in proportion to sin²(x + π/4): the largest gradient is at 0. Periodic, so not monotone. A row of zeros of
 * the sine is uniform, with zero gradient.
 *
 * @formula p_i = \frac{\sin^2(x_i+\pi/4)}{\sum_j\sin^2(x_j+\pi/4)}
 * @gradient dx = \frac{\cos 2x}{\sum_j\sin^2(x_j+\pi/4)}\bigl(g-\langle g,p\rangle\bigr)
 * @see sinSoftmax: with an exponential, never 0
 * @example sin2MaxShifted(tensor([0, Math.PI / 4])) // [0.3333, 0.6667]
 */
export const sin2MaxShifted: RowMap = /* @__PURE__ */ rowMap("sin2MaxShifted", {
  doc: "Probabilities in proportion to squared sines of the shifted scores.",
  source: "Wang et al. 2021, section 3.3",
  program: ({ x }) => {
    // √2·sin(x + π/4), without rounding a sum of a large score and π/4.
    const s = add(sin(x), cos(x));
    const w = mul(s, s) as Row;
    const total = sum(w);
    const zeros = equal(total, 0);
    const p = select(zeros, div(1, n), div(w, total)) as Row;
    return {
      result: p,
      vjp: ([g]) => ({
        x: select(zeros, 0, mul(div(mul(mul(2, s), sub(cos(x), sin(x))), total), sub(g!, sum(mul(g!, p))))),
      }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["sumsToOne", "nonNegative", "permutationEquivariant", "nanRow", "oneClassIsOne", "finiteScoresOnly"],
  breaks: {
    shiftInvariant: [[0, 1]],
    monotone: [[1, 2]],
    strictlyMonotone: [[1, 2]],
    scaleInvariant: [[0, 1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[0, -30]],
  },
  examples: [{ args: [[0, 0.7853981633974483]], gives: [0.3333333333333333, 0.6666666666666666] }],
});
