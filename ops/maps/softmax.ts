// The softmax family: softmax, its logarithm and its normaliser, with masks, and the hard limit.

import type { FloatDType } from "../../core/dtype.ts";
import type { Breaks, Op } from "../../core/op.ts";
import {
  add,
  and,
  argmax,
  constantOf,
  count,
  differentiateAs,
  div,
  equal,
  greater,
  greaterEqual,
  index,
  less,
  max,
  min,
  mul,
  n,
  neg,
  not,
  type Row,
  type RowMask,
  type Scalar,
  type ScalarMask,
  select,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, rowReduction, type ScalarLike } from "../../core/rowop.ts";
import type { Checked, HasRows, Reduce, Result, Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { exp, expm1, log, log1p, xlogx } from "../../core/words.ts";

/** Scores shifted by their maximum: exp cannot overflow and the shift cancels. */
export function centred(x: Row): Row {
  return sub(x, stop(max(x)));
}

/** log Σ eᶻ of centred scores by log1p over the *other* terms, so that a confident row keeps its digits. */
export function logSumExpCentred(
  z: Row,
  kept?: RowMask,
): { readonly e: Row; readonly others: Scalar; readonly total: Scalar; readonly lse: Scalar } {
  const e = kept ? select(kept, exp(z), 0) : exp(z);
  const largest = greaterEqual(z, 0);
  const top = kept ? and(kept, largest) : largest;
  // Ties beyond the first count first: 1 + tiny − 1 would lose the tiny.
  const others = add(sum(select(not(top), e, 0)), sub(count(top), 1)) as Scalar;
  // One sum serves both: the largest term is 1.
  const total = differentiateAs(add(others, 1), sum(e)) as Scalar;
  return { e, others, total, lse: differentiateAs(log1p(others), log(total)) };
}

/** Softmax at a temperature. At 0 the maximisers keep 0 and the rest go to −∞: the limit, and constant. */
export function temperedSoftmaxOf(x: Row, temperature: Scalar): Row {
  const z = centred(x);
  const limit = select(less(z, 0), Number.NEGATIVE_INFINITY, stop(z));
  const e = exp(select(equal(temperature, 0), limit, div(z, temperature))) as Row;
  return div(e, sum(e));
}

/** The laws of maps like softmax: every class has a share, and the map is a gradient. */
export const smoothLaws: readonly string[] = [
  "sumsToOne",
  "nonNegative",
  "shiftInvariant",
  "monotone",
  "strictlyMonotone",
  "permutationEquivariant",
  "jacobianSymmetric",
  "positiveSemidefinite",
  "nanRow",
  "infiniteRow",
  "masked",
  "oneClassIsOne",
];

/** What breaks the laws that no smooth map keeps which sees differences alone. */
export const smoothBreaks: Breaks = {
  scaleInvariant: [[0, 1]],
  idempotentOnSimplex: [[0.25, 0.75]],
  exactZeros: [[0, -30]],
};

/** The same for maps with exact zeros. */
export const sparseBreaks: Breaks = {
  strictlyMonotone: [[0, 1, 9, 9]],
  scaleInvariant: [[0, 0.1, 0.2, 0.3]],
  idempotentOnSimplex: [[0.25, 0.75]],
};

interface Tempered {
  /** The temperature τ > 0, a number or a tensor (one value, or one per row); 1 by default. */
  readonly temperature?: ScalarLike;
}

/**
 * The distribution of largest entropy for given expected scores: p = eˣ/ᵗ / Σ eˣ/ᵗ. Temperature 0 is the limit, uniform over
 * the maximisers, with zero gradient.
 *
 * Scores −∞ are masked: probability and gradient exactly 0. A row that holds NaN or +∞, or is −∞ throughout, is NaN.
 *
 * @formula p_i = \frac{e^{x_i/\tau}}{\sum_j e^{x_j/\tau}}
 * @gradient dx = \tfrac1\tau\,p\,\bigl(g-\langle g,p\rangle\bigr),\qquad d\tau = -\tfrac1\tau\sum_j (x_j-\max x)\,dx_j
 * @remarks The Jacobian at τ = 1 is diag p − ppᵀ; half the sum of its absolute entries is 1 − Σp², the Gini impurity.
 * @remarks Scores are shifted by their maximum before anything else: of unshifted ones exp overflows at 710 in f64 and at 89
 *   in f32.
 * @errata A widely read guide gives softmax(−10, −5, 0, 5, 10) as (4.54e-9, 3.35e-7, 6.14e-5, 4.50e-3, 0.995); it is
 *   (2.0473e-9, 3.0384e-7, 4.5094e-5, 6.6925e-3, 0.993262).
 * @errata That a softmax is never one-hot holds in exact arithmetic. In f64 the largest probability is exactly 1 for gaps
 *   above 37, and the others are exactly 0 for gaps above 745: losses have to work from scores.
 * @see logSoftmax: its logarithms, with all their digits
 * @see hardmax: the limit τ → 0 where the maximum is unique
 * @see entmax: is softmax at α = 1
 * @see perturbMax: is softmax for Gumbel noise
 * @see crossEntropy: its loss
 * @example softmax(tensor([1, 2, 3]), { temperature: 0.5 })
 */
export const softmax: RowMap<Tempered> = /* @__PURE__ */ rowMap("softmax", {
  doc: "The distribution of largest entropy for given expected scores.",
  source: "Boltzmann 1868; Bridle 1990",
  params: { temperature: { is: "scalar", default: 1, min: 0 } },
  program: ({ x, temperature }) => {
    if (constantOf(temperature) !== 1) return temperedSoftmaxOf(x, temperature);
    const e = exp(centred(x)) as Row;
    const p = div(e, sum(e));
    return { result: p, vjp: ([g]) => ({ x: mul(p, sub(g!, sum(mul(g!, p)))) }) };
  },
  entropy: (p, { temperature }) => neg(mul(temperature, sum(xlogx(p)))) as Scalar,
  domain: { x: { min: -3, max: 3 }, temperature: { min: 0.5, max: 2 } },
  laws: smoothLaws,
  breaks: smoothBreaks,
  examples: [
    { args: [[0, Math.LN2]], gives: [0.3333333333333333, 0.6666666666666666] },
    { args: [[0, Math.LN2], { temperature: 0.5 }], gives: [0.2, 0.8] },
    { args: [[1, 3, 3], { temperature: 0 }], gives: [0, 0.5, 0.5] },
  ],
});

/**
 * Log-probabilities of softmax: x/τ − log Σ eˣ/ᵗ, with every digit also where a probability rounds to 1.
 *
 * @formula y_i = x_i/\tau - \log\sum_j e^{x_j/\tau}
 * @gradient dx = \tfrac1\tau\Bigl(g-p\sum_j g_j\Bigr),\quad p=e^y,\qquad d\tau = -\tfrac1\tau\sum_j (x_j-\max x)\,dx_j
 * @remarks The sum is taken by log1p over the terms besides the largest, so that a confident row keeps its digits: in f32
 *   too (17, 0) gives −4.1e-8 and not 0.
 * @remarks A score of −∞ gives −∞, and the cotangent there is ignored.
 * @errata log(softmax(x) + 1e-12), meant for safety, biases a loss and kills its gradient where it matters: see `focal` and
 *   `labelSmoothingCe` for figures.
 * @see softmax: its exponential
 * @see logsumexp: its normaliser
 * @see crossEntropy: the loss that reads one entry of it
 * @example logSoftmax(tensor([17, 0])) // [-4.1e-8, -17.00000004]
 */
export const logSoftmax: RowMap<Tempered> = /* @__PURE__ */ rowMap("logSoftmax", {
  doc: "The logarithms of softmax's probabilities, without cancellation.",
  source: "Boltzmann 1868; Bridle 1990",
  params: { temperature: { is: "scalar", default: 1, above: 0 } },
  program: ({ x, temperature }) => {
    const z = div(centred(x), temperature) as Row;
    const { total, lse } = logSumExpCentred(z);
    // A masked entry stays −∞ whatever comes back to it.
    return differentiateAs(sub(z, lse), select(equal(z, Number.NEGATIVE_INFINITY), 0, sub(z, log(total))));
  },
  domain: { x: { min: -3, max: 3 }, temperature: { min: 0.5, max: 2 } },
  laws: [
    "expSumsToOne",
    "shiftInvariant",
    "monotone",
    "strictlyMonotone",
    "permutationEquivariant",
    "nanRow",
    "infiniteRow",
  ],
  examples: [{ args: [[0, Math.LN2]], gives: [-1.0986122886681098, -0.40546510810816444] }],
});

/** 1 at the first largest entry, 0 elsewhere; NaN for the rows that have no maximum to speak of. */
export function hardmaxOf(x: Row): Row {
  const m = max(x);
  return add(select(equal(index, argmax(x)), 1, 0), sub(m, m)) as Row;
}

/** Whether a number is neither infinite nor NaN. */
const finite = (m: Scalar): ScalarMask => equal(sub(m, m), 0);

/** Folds of rows of scores, along the last axis or `axis`. `O` are their options. */
type RowFold<O> = (<
  S extends Shape,
  D extends FloatDType,
  const A extends number | readonly number[] = -1,
  K extends boolean = false,
>(
  x: Checked<Tensor<S, D>, Reduce<S, A, K>>,
  options?: O & { readonly axis?: A; readonly keepDims?: K },
) => Tensor<Result<Reduce<S, A, K>>, D>) &
  Op;

/**
 * τ·log Σ eˣ/ᵗ along the last axis (or `axis`): a smooth maximum, between max x and max x + τ log n. Its gradient is softmax.
 * A row that is −∞ throughout gives −∞, one that holds +∞ gives +∞.
 *
 * @formula y = \tau\log\sum_j e^{x_j/\tau}
 * @gradient dx = g\,p,\quad p=\mathrm{softmax}(x/\tau),\qquad d\tau = g\,H(p),\quad H(p)=-\langle p,\log p\rangle
 * @remarks The gradient in τ is formed from shifted scores: (y − ⟨p, x⟩)/τ would lose six digits at scores of 1e6.
 * @see softmax: its gradient
 * @see max: the limit τ → 0
 * @see mellowmax: with the mean in place of the sum
 * @example logsumexp(tensor([0, 0])) // 0.6931
 */
export const logsumexp: RowFold<Tempered> = /* @__PURE__ */ rowReduction("logsumexp", {
  doc: "A smooth maximum: the logarithm of the sum of exponentials.",
  source: "Boltzmann 1868",
  params: { temperature: { is: "scalar", default: 1, above: 0 } },
  over: "last",
  program: ({ x, temperature }) => {
    const m = stop(max(x));
    const { lse } = logSumExpCentred(div(sub(x, m), temperature) as Row);
    return select(finite(m), add(m, mul(temperature, lse)), m) as Scalar;
  },
  domain: { x: { min: -3, max: 3 }, temperature: { min: 0.5, max: 2 } },
  laws: ["shiftEquivariant", "permutationInvariant", "nanRow"],
  examples: [{ args: [[0, Math.LN2]], gives: 1.0986122886681098 }],
});

interface Omega {
  /** The sharpness ω ≠ 0, a number or a tensor (one value, or one per row); 1 by default. Negative: a soft minimum. */
  readonly omega?: ScalarLike;
}

/**
 * log(mean eᵂˣ)/ω along the last axis (or `axis`): a soft maximum that stays between the mean (ω → 0) and the maximum (ω →
 * ∞), and brings no two rows farther apart than their farthest entries. Where the largest score (for ω < 0 the smallest) is
 * infinite, so is the result.
 *
 * @formula y = \tfrac1\omega\log\Bigl(\tfrac1n\sum_j e^{\omega x_j}\Bigr)
 * @gradient dx = g\,p,\quad p=\mathrm{softmax}(\omega x),\qquad d\omega = \tfrac g\omega\bigl(\langle p,x\rangle-y\bigr)
 * @remarks A non-expansion: |y(x) − y(z)| ≤ max |x − z|, which a softmax-weighted mean of the scores is not.
 * @remarks For ω < 0 a soft minimum.
 * @see mean: the limit ω → 0
 * @see max: the limit ω → ∞
 * @see logsumexp: larger by log n / ω, at τ = 1/ω
 * @example mellowmax(tensor([0, 1]), { omega: 5 }) // 0.8627
 */
export const mellowmax: RowFold<Omega> = /* @__PURE__ */ rowReduction("mellowmax", {
  doc: "A soft maximum between the mean and the maximum that is a non-expansion.",
  source: "Asadi & Littman 2017, section 5",
  params: { omega: { is: "scalar", default: 1, nonzero: true } },
  over: "last",
  program: ({ x, omega }) => {
    const m = stop(select(greater(omega, 0), max(x), min(x))) as Scalar;
    const z = mul(omega, sub(x, m)) as Row;
    const { total, lse } = logSumExpCentred(z);
    // Of scores that hardly differ, the logarithm of the mean keeps its digits only as log1p.
    const near = log1p(div(sum(expm1(z)), n));
    const mean = select(greater(min(z), -0.5), near, sub(lse, log(n)));
    const y = add(m, div(differentiateAs(mean, sub(log(total), log(n))), omega));
    return select(finite(m), y, m) as Scalar;
  },
  domain: { x: { min: -3, max: 3 }, omega: { min: 0.5, max: 3 } },
  laws: ["shiftEquivariant", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[0, Math.LN2]], gives: 0.4054651081081644 },
    { args: [[0, Math.LN2], { omega: -1 }], gives: 0.2876820724517809 },
  ],
});

type MaskedMap = (<S extends Shape, D extends FloatDType>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  mask: Tensor<Shape, "bool">,
  options?: { readonly axis?: number },
) => Tensor<S, D>) &
  Op;
/** Valid scores less their maximum (−∞ elsewhere), without reading the others as numbers. */
function validCentred(x: Row, mask: RowMask): Row {
  const valid = select(mask, x, Number.NEGATIVE_INFINITY) as Row;
  return sub(valid, stop(max(valid)));
}

/**
 * Softmax over the entries where the mask holds; the others are exactly 0, in value and gradient, whatever their scores are.
 * A row without any valid entry is 0 throughout.
 *
 * @formula p_i = \frac{m_i\,e^{x_i}}{\sum_j m_j\,e^{x_j}}
 * @gradient dx_i = m_i\,p_i\,\bigl(g_i-\langle g,p\rangle\bigr)
 * @remarks Masked scores are not read as numbers: they may be 800, infinite or NaN.
 * @errata Zeroing entries of a full softmax leaks gradient where the rest is not renormalised: for x = (0, 1, 3), the third
 *   masked, and g = (1, −1, 0) the row sums to 0.156 and the masked score receives 0.0609. Renormalised, it leaks nothing
 *   (the gradient is (0.393, −0.393, 0)), but with 800 for the masked score it is 0/0 = NaN.
 * @see softmax: where the mask holds everywhere
 * @see maskedLogSoftmax: its logarithms
 * @example maskedSoftmax(tensor([1, 2, 3]), tensor([true, true, false]))
 */
export const maskedSoftmax: MaskedMap = /* @__PURE__ */ rowMap("maskedSoftmax", {
  doc: "Softmax over the entries that a mask leaves.",
  source: "Vaswani et al. 2017, section 3.2.3",
  params: { mask: { is: "row", stored: "bool" } },
  positional: ["mask"],
  program: ({ x, mask }) => {
    const e = exp(validCentred(x, mask)) as Row;
    const p = select(mask, div(e, sum(select(mask, e, 0))), 0) as Row;
    return {
      result: p,
      vjp: ([g]) => ({ x: select(mask, mul(p, sub(g!, sum(select(mask, mul(g!, p), 0)))), 0) }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["sumsToOneOrZero", "nonNegative", "shiftInvariant", "permutationEquivariant"],
  breaks: {
    monotone: [[0, 0, 1]],
    strictlyMonotone: [[0, 0, 1]],
    scaleInvariant: [[0, 1, 0]],
    idempotentOnSimplex: [[0.25, 0.25, 0.5]],
    exactZeros: [[0, -30, 0]],
  },
  examples: [
    {
      args: [[0, Math.LN2, 800], { bool: [true, true, false] }],
      gives: [0.3333333333333333, 0.6666666666666666, 0],
    },
    { args: [[1, 2], { bool: [false, false] }], gives: [0, 0] },
  ],
});

/**
 * Log-probabilities of softmax over the entries where the mask holds; the others are −∞, with zero gradient, whatever their
 * scores are. A row without any valid entry is −∞ throughout.
 *
 * @formula y_i = x_i-\log\sum_j m_j\,e^{x_j}\ \text{ where } m_i=1,\qquad y_i=-\infty\ \text{ elsewhere}
 * @gradient dx_i = m_i\Bigl(g_i-p_i\sum_j m_j\,g_j\Bigr),\quad p=e^y
 * @see logSoftmax: where the mask holds everywhere
 * @see maskedSoftmax: its exponential
 * @example maskedLogSoftmax(tensor([1, 2, 3]), tensor([true, true, false])) // [-1.3133, -0.3133, -Infinity]
 */
export const maskedLogSoftmax: MaskedMap = /* @__PURE__ */ rowMap("maskedLogSoftmax", {
  doc: "The logarithms of softmax's probabilities over the entries that a mask leaves.",
  source: "Vaswani et al. 2017, section 3.2.3",
  params: { mask: { is: "row", stored: "bool" } },
  positional: ["mask"],
  program: ({ x, mask }) => {
    const z = validCentred(x, mask);
    const { e, total, lse } = logSumExpCentred(z, mask);
    return {
      result: select(mask, sub(z, lse), Number.NEGATIVE_INFINITY) as Row,
      vjp: ([g]) => {
        // What comes back to −∞ is ignored.
        const kept = and(mask, greater(z, Number.NEGATIVE_INFINITY));
        return { x: select(kept, sub(g!, mul(div(e, total), sum(select(kept, g!, 0)))), 0) };
      },
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["expSumsToOne", "shiftInvariant", "permutationEquivariant"],
  examples: [
    {
      args: [[0, Math.LN2, 800], { bool: [true, true, false] }],
      gives: [-1.0986122886681098, -0.40546510810816444, -Infinity],
    },
    {
      args: [[1, 2], { bool: [false, false] }],
      gives: [-Infinity, -Infinity],
    },
  ],
});

/** The laws of a choice of one class. */
const choiceLaws: readonly string[] = [
  "sumsToOne",
  "nonNegative",
  "shiftInvariant",
  "monotone",
  "scaleInvariant",
  "permutationEquivariantWithoutTies",
  "nanRow",
  "infiniteRow",
  "masked",
  "oneClassIsOne",
  "exactZeros",
];

/**
 * The limit of softmax at temperature 0 with ties broken: 1 at the first maximum, 0 elsewhere. Its gradient is zero.
 *
 * @formula p = e_k,\qquad k=\min\,\arg\max_i x_i
 * @gradient dx = 0
 * @see softmax: at temperature 0 uniform over ties instead
 * @see entmax: tends to it for α → ∞ where the maximum is unique
 * @see straightThroughArgmax: with a gradient
 * @see argmax: the index alone
 * @example hardmax(tensor([1, 3, 3])) // [0, 1, 0]
 */
export const hardmax: RowMap = /* @__PURE__ */ rowMap("hardmax", {
  doc: "One at the first largest score, zero elsewhere.",
  program: ({ x }) => hardmaxOf(x),
  domain: { x: { min: -3, max: 3 } },
  smooth: false,
  laws: choiceLaws,
  breaks: {
    strictlyMonotone: [[0, 1, 2]],
    permutationEquivariant: [[0, 0]],
    idempotentOnSimplex: [[0.25, 0.75]],
  },
  examples: [{ args: [[1, 3, 3]], gives: [0, 1, 0] }],
});

/**
 * A one-hot choice that gradients pass: forward `hardmax`, backward `softmax` at the temperature τ.
 *
 * @formula p = e_k,\qquad k=\min\,\arg\max_i x_i
 * @gradient dx = \tfrac1\tau\,s\,\bigl(g-\langle g,s\rangle\bigr),\quad s=\mathrm{softmax}(x/\tau),\qquad
 *   d\tau=-\tfrac1\tau\sum_j(x_j-\max x)\,dx_j
 * @remarks The gradient is not that of the function, which has none: it points where softmax would.
 * @see hardmax: forward
 * @see softmax: backward
 * @see gumbelSoftmaxSt: the same of a sample
 * @example straightThroughArgmax(tensor([1, 3, 3])) // [0, 1, 0]
 */
export const straightThroughArgmax: RowMap<Tempered> = /* @__PURE__ */ rowMap("straightThroughArgmax", {
  doc: "One at the first largest score, zero elsewhere, with the gradient of softmax.",
  source: "Bengio, Léonard & Courville 2013, section 3",
  params: { temperature: { is: "scalar", default: 1, min: 0 } },
  program: ({ x, temperature }) => differentiateAs(hardmaxOf(x), temperedSoftmaxOf(x, temperature)) as Row,
  domain: { x: { min: -3, max: 3 }, temperature: { min: 0.5, max: 2 } },
  derivativesOf: softmax,
  laws: choiceLaws,
  breaks: {
    strictlyMonotone: [[0, 1, 2]],
    permutationEquivariant: [[0, 0]],
    idempotentOnSimplex: [[0.25, 0.75]],
    gradientOrthogonalToScores: [[0, 1]],
  },
  examples: [{ args: [[1, 3, 3]], gives: [0, 1, 0] }],
});
