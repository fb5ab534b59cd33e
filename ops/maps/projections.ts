// Entropic projections besides the entmax family: other entropies, bounds above, other sums, other scales. Total variation is no
// part of this.

import type { FloatDType } from "../../core/dtype.ts";
import type { Op } from "../../core/op.ts";
import {
  abs,
  add,
  and,
  clamp,
  constant,
  count,
  div,
  equal,
  floor,
  greater,
  greaterEqual,
  less,
  lessEqual,
  max,
  maximum,
  min,
  minimum,
  mul,
  mulZero,
  n,
  neg,
  or,
  type Row,
  type RowMask,
  type Scalar,
  select,
  sign,
  stop,
  sub,
  sum,
  type Value,
} from "../../core/row/expr.ts";
import { type AxisOption, type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import type { Checked, HasRows, Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { exp, expm1, kth, log, log1p, posPow, root, sigmoid } from "../../core/words.ts";
import { entmaxLaws, entmaxWithGradient, sparsemaxOf } from "./entmax.ts";
import { centred, sparseBreaks } from "./softmax.ts";

const ceil = (k: Scalar): Scalar => neg(floor(neg(k)));

/** The mean of a row over some entries; 0 where there are none. */
function meanOver(mask: RowMask, row: Value): Scalar {
  const entries = count(mask);
  return select(greater(entries, 0), div(sum(select(mask, row, 0)), entries), 0) as Scalar;
}

// ---------------------------------------------------------------------------------------------------------------
// Other entropies

interface TemperedOptions {
  /** The order t of the exponential, a number or a tensor (one value, or one per row), differentiable. */
  readonly t: ScalarLike;
}

type TemperedSoftmax = RowMap<TemperedOptions>;

/**
 * Softmax with the tempered exponential exp_t(u) = (1 + (1 − t)u)₊^(1/(1−t)): softmax at t = 1, tails that fall like a power
 * for t > 1 (outliers keep weight), exact zeros for t < 1. It is entmax at α = 2 − t.
 *
 * @formula p_i = \exp_t(x_i-\lambda),\qquad \exp_t(u)=\bigl(1+(1-t)\,u\bigr)_+^{1/(1-t)},\qquad \sum_i p_i=1
 * @gradient dx = s\Bigl(g-\frac{\langle s,g\rangle}{\sum_j s_j}\Bigr),\quad s_i=\mathbf 1[i\in S]\,p_i^t,\qquad
 *   dt=-\,d\alpha\ \text{ of entmax at }\alpha=2-t
 * @see entmax: the same at α = 2 − t
 * @see softmax: t = 1
 * @see biTemperedLogistic: a loss of it
 * @example temperedSoftmax(tensor([0, 1]), { t: 2 }) // [0.3820, 0.6180]
 */
export const temperedSoftmax: TemperedSoftmax = /* @__PURE__ */ rowMap("temperedSoftmax", {
  doc: "Softmax with an exponential of heavier or lighter tails.",
  source: "Amid, Warmuth, Anil & Koren 2019, eq. 4",
  params: { t: { is: "scalar" } },
  program: ({ x, t }) => {
    const { p, vjp } = entmaxWithGradient(x, sub(2, t), true);
    return {
      result: p,
      vjp: ([g]) => {
        const { x, alpha } = vjp(g!);
        return { x, t: neg(alpha) };
      },
    };
  },
  domain: { x: { min: -2, max: 2 }, t: { min: 0.2, max: 2.5 } },
  laws: entmaxLaws,
  breaks: sparseBreaks,
  examples: [
    { args: [[-2, 0, 0.5], { t: 0.5 }], gives: [0, 0.3260073636615619, 0.6739926363384381] },
    { args: [[-2, 0, 0.5], { t: 0 }], gives: [0, 0.25, 0.75] },
    { args: [[0, 1], { t: 2 }], gives: [0.3819660112501051, 0.6180339887498949] },
    { args: [[0, Math.LN2], { t: 1 }], gives: [0.3333333333333333, 0.6666666666666666] },
  ],
});

interface Alpha {
  /** The order α > 1 of the norm, a number or a tensor (one value, or one per row), differentiable; 2 by default. */
  readonly alpha?: ScalarLike;
}

/**
 * The distribution of largest ⟨x, p⟩ − ‖p‖_α: one-hot in the limit α → 1, uniform on its support for α → ∞. Scores 1 or more
 * below the largest get exactly 0 at any α.
 *
 * @formula p = \frac y{\sum_j y_j},\qquad y_i=(x_i-\tau)_+^{1/(\alpha-1)},\qquad \sum_i y_i^\alpha=1
 * @gradient dx &= w\,h-p\,\langle w,h\rangle,\quad h_i=\mathbf 1[i\in S]\frac{g_i-\langle g,p\rangle}{\sum_j y_j},\quad
 *   w=\frac{y^{2-\alpha}}{\alpha-1}\ \text{ on } S\\ d\alpha &= \Bigl\langle h,\,-\frac{y\log
 *   y}{\alpha-1}-\dot\tau\,w\Bigr\rangle,\quad \dot\tau=-\frac{\sum_i y_i^\alpha\log y_i}{\alpha\sum_j y_j}
 * @see hardmax: the limit α → 1
 * @see sparsemax: the Euclidean relative, which does not fix how far below is 0
 * @see normmaxLoss: its loss
 * @example normmax(tensor([0, 0.5]), { alpha: 2 }) // [0.3110, 0.6890]
 */
export const normmax: RowMap<Alpha> = /* @__PURE__ */ rowMap("normmax", {
  doc: "The distribution of largest expected score less its own norm.",
  source: "Blondel, Martins & Niculae 2020, section 4.3",
  params: { alpha: { is: "scalar", default: 2, above: 1, below: Infinity } },
  program: ({ x, alpha }) => {
    const z = centred(x);
    const eps = sub(alpha, 1);
    const parts = (t: Scalar): { readonly d: Row; readonly y: Row } => {
      const d = sub(z, t);
      return { d, y: posPow(d, div(1, eps)) as Row };
    };
    // y^α = y·d.
    const tau = root(
      (t) => {
        const { d, y } = parts(t);
        return sub(sum(mulZero(y, d)), 1);
      },
      -1,
      neg(exp(neg(mul(div(eps, alpha), log(n))))),
      {
        // A sum of powers of order α/(α − 1): its root of that order is straighter.
        straight: (f) => expm1(mul(div(eps, alpha), log1p(f))),
        support: (t) => greater(z, t),
        slope: (t) => neg(mul(div(alpha, eps), sum(parts(t).y))),
      },
    );
    const { d, y } = parts(tau);
    const inside = greater(d, 0) as RowMask;
    const total = sum(y);
    const p = div(y, total) as Row;
    return {
      result: p,
      vjp: ([g]) => {
        const h = div(sub(g!, sum(mul(g!, p))), total);
        const w = select(inside, div(y, mul(eps, d)), 0) as Row;
        const wh = mul(w, h);
        const moved = sum(wh);
        // y log y and y^α log y
        const yLog = select(inside, div(mul(y, log(d)), eps), 0) as Row;
        const shift = neg(div(sum(select(inside, mul(yLog, d), 0)), mul(alpha, total)));
        return {
          x: sub(wh, mul(p, moved)),
          alpha: neg(add(div(sum(mul(yLog, h)), eps), mul(shift, moved))),
        };
      },
    };
  },
  entropy: (p, { alpha }) => sub(1, posPow(sum(posPow(p, alpha)), div(1, alpha))) as Scalar,
  domain: { x: { min: -1, max: 1 }, alpha: { min: 1.3, max: 2 } },
  laws: entmaxLaws,
  breaks: sparseBreaks,
  examples: [
    { args: [[0, 0.5], { alpha: 2 }], gives: [0.3110177634953864, 0.6889822365046137] },
    { args: [[-2, 0, 0], { alpha: 1.5 }], gives: [0, 0.5, 0.5] },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// Other sums: subsets of k

interface Budget {
  /** What each row sums to, from 0 to the number of classes: a number or a tensor (one value, or one per row), differentiable. */
  readonly budget: ScalarLike;
}

type BudgetSparsemax = RowMap<Budget>;

/**
 * Euclidean projection of each row onto 0 ≤ p ≤ 1 with Σp = k: how much of each item to take when k of them may be. At k = 1
 * it is sparsemax. Where no entry lies strictly between 0 and 1 the gradient is 0. More budget than finite scores has no
 * solution (NaN).
 *
 * @formula p_i = \min\bigl((x_i-\tau)_+,\,1\bigr),\qquad \sum_i p_i=k
 * @gradient dx_i = \mathbf 1[i\in F]\,(g_i-\bar g),\qquad dk=\bar g=\frac1{|F|}\sum_{j\in F}g_j,\qquad F=\{i:0<p_i<1\}
 * @remarks Where F is empty, as at k = 0 and k = n, all gradients are 0 by convention.
 * @see sparsemax: k = 1
 * @see sigmoidTopk: smooth, without zeros
 * @example budgetSparsemax(tensor([2, 1, 0.5, -1]), { budget: 2 }) // [1, 0.75, 0.25, 0]
 */
export const budgetSparsemax: BudgetSparsemax = /* @__PURE__ */ rowMap("budgetSparsemax", {
  doc: "Euclidean projection of each row onto the weights from 0 to 1 of a given sum.",
  source: "Lou et al. 2024 (SparseK), section 3.2",
  params: { budget: { is: "scalar", min: 0, max: "n" } },
  program: ({ x, budget }) => {
    // Shifted by the ⌈k⌉-th largest score the threshold lies in [−1, 0].
    const rank = maximum(ceil(stop(budget)), 1);
    const c = centred(x);
    const z = sub(c, stop(kth(c, rank))) as Row;
    const weights = (t: Scalar): Row => clamp(sub(z, t), 0, 1) as Row;
    const tau = root((t) => sub(sum(weights(t)), budget), select(equal(budget, 0), 0, -1) as Scalar, 0, {
      support: (t) => greater(z, t),
      // The slope to the right: what is about to leave 1 counts, what is about to reach 0 does not.
      slope: (t) => neg(count(and(greater(z, t), lessEqual(sub(z, t), 1)))),
    });
    const p = weights(tau);
    return {
      result: p,
      vjp: ([g]) => {
        const free = and(greater(p, 0), less(p, 1)) as RowMask;
        const mean = meanOver(free, g!);
        return { x: select(free, sub(g!, mean), 0), budget: mean };
      },
    };
  },
  domain: { x: { min: -1, max: 1 }, budget: { min: 0.5, max: 2.5 } },
  laws: [
    "nonNegative",
    "sumsAlike",
    "atMostOne",
    "shiftInvariant",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "jacobianSymmetric",
    "positiveSemidefinite",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: {
    sumsToOne: [[0, 1]],
    strictlyMonotone: [[0, 1, 9]],
    scaleInvariant: [[0, 0.25]],
    idempotentOnSimplex: [[0.25, 0.75]],
  },
  examples: [
    { args: [[0, 0.25, -1], { budget: 0.5 }], gives: [0.125, 0.375, 0] },
    { args: [[-2, 0, 0.5], { budget: 1 }], gives: [0, 0.25, 0.75] },
  ],
});

interface K {
  /** What each row sums to, more than 0 and less than the number of classes: a number or a tensor, differentiable. */
  readonly k: ScalarLike;
}

type SigmoidTopk = RowMap<K>;

/**
 * A smooth choice of k items: sigmoid(x + b) with b such that each row sums to k, the occupation numbers of Fermi and Dirac.
 *
 * @formula p_i = \sigma(x_i+b),\qquad \sum_i p_i=k
 * @gradient dx = w\,(g-\bar g),\qquad dk=\bar g=\frac{\langle w,g\rangle}{\sum_j w_j},\qquad w=p\,(1-p)
 * @see budgetSparsemax: with exact zeros and ones
 * @see topK: the choice itself
 * @example sigmoidTopk(tensor([0, 0, 0, 0]), { k: 2 }) // [0.5, 0.5, 0.5, 0.5]
 */
export const sigmoidTopk: SigmoidTopk = /* @__PURE__ */ rowMap("sigmoidTopk", {
  doc: "Sigmoids with a common offset, such that each row sums to k.",
  source: "Fermi 1926; Dirac 1926",
  params: { k: { is: "scalar", above: 0, below: "n" } },
  program: ({ x, k }) => {
    const c = centred(x);
    const fixed = stop(k);
    // The N = ⌈k⌉-th largest score and those below it must not give more than is left for them; the M = ⌊k⌋ + 1 largest must
    // give k.
    const upper = ceil(fixed);
    const lower = add(floor(fixed), 1);
    const [high, low] = [stop(kth(c, upper)), stop(kth(c, lower))];
    // A gap between the two that no exponential spans is as good as any wider one.
    const gap = minimum(sub(high, low), 1600) as Scalar;
    const z = select(less(c, high), sub(sub(c, low), gap), sub(c, high)) as Row;
    const left = sub(add(fixed, 1), upper);
    const weights = (t: Scalar): Row => sigmoid(sub(z, t));
    const tau = root(
      (t) => sub(sum(weights(t)), k),
      neg(add(gap, log(div(fixed, sub(lower, fixed))))),
      log(div(sub(n, fixed), left)),
    );
    const p = weights(tau);
    return {
      result: p,
      vjp: ([g]) => {
        const w = mul(p, sigmoid(sub(tau, z))) as Row;
        const total = sum(w);
        // Where all is 0 or 1 nothing moves.
        const mean = select(equal(total, 0), 0, div(sum(mul(g!, w)), total));
        return { x: mul(w, sub(g!, mean)), k: mean };
      },
    };
  },
  domain: { x: { min: -3, max: 3 }, k: { min: 0.5, max: 3 } },
  laws: [
    "nonNegative",
    "sumsAlike",
    "atMostOne",
    "shiftInvariant",
    "monotone",
    "strictlyMonotone",
    "permutationEquivariant",
    "jacobianSymmetric",
    "positiveSemidefinite",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: {
    sumsToOne: [[0, 1]],
    scaleInvariant: [[0, 1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[0, -30]],
  },
  examples: [{ args: [[0, 0, 0], { k: 0.75 }], gives: [0.25, 0.25, 0.25] }],
});

// ---------------------------------------------------------------------------------------------------------------
// Bounds above

type BoundedMap = (<S extends Shape, D extends FloatDType>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  options: AxisOption & {
    /** Upper bounds of the probabilities, ≥ 0 and with a sum of at least 1; a tensor that broadcasts to the scores, differentiable. */
    readonly u: Tensor<Shape, NoInfer<D>>;
  },
) => Tensor<S, D>) &
  Op;

/**
 * A score among those at which the threshold need be looked for: as many of the largest as the smallest bound fits into 1 fill the
 * row when all are at their bounds. NaN where the bounds have no solution.
 */
function reference(z: Row, u: Row): Scalar {
  const usable = and(greater(u, 0), greater(z, Number.NEGATIVE_INFINITY)) as RowMask;
  const smallest = min(select(greater(u, 0), minimum(u, 1), 1));
  const rank = minimum(ceil(div(1, smallest)), count(usable));
  const feasible = and(greaterEqual(min(u), 0), greaterEqual(sum(select(usable, u, 0)), slack));
  const score = kth(select(usable, z, Number.NEGATIVE_INFINITY) as Row, rank);
  return stop(select(feasible, score, Number.NaN)) as Scalar;
}

/**
 * The largest score around a threshold found so far (within 1 of where it is between its bounds), or else that threshold: seen
 * from there the threshold has the digits of 1, however far from the other scores it lies.
 */
function nearest(c: Row, around: RowMask, threshold: Scalar): Scalar {
  return stop(
    select(greater(count(around), 0), max(select(around, c, Number.NEGATIVE_INFINITY)), threshold),
  ) as Scalar;
}

/** Bounds whose sum is rounded to less than 1 still count. */
const slack: number = 1 - 1e-5;

const boundedLaws: readonly string[] = [
  "sumsToOne",
  "nonNegative",
  "shiftInvariant",
  "monotoneUnderEqualBounds",
  "permutationEquivariant",
  "jacobianSymmetric",
  "positiveSemidefinite",
  "nanRow",
  "infiniteRow",
  "masked",
  "oneClassIsOne",
];

const csparsemaxLaws: readonly string[] = /* @__PURE__ */ boundedLaws.concat("exactZeros");

/**
 * Softmax under upper bounds, the fertility of words in translation: p = min(u, eˣ/Z), with Z such that the row sums to one.
 * With bounds of 1 it is softmax. Rows whose bounds are negative or sum to less than 1 are NaN.
 *
 * @formula p_i = \min\bigl(u_i,\,e^{x_i}/Z\bigr),\qquad \sum_i p_i=1
 * @gradient dx_i = \mathbf 1[i\in F]\,p_i\,(g_i-m),\qquad du_i=\mathbf 1[i\in A]\,(g_i-m),\qquad m=\frac{\sum_{j\in
 *   F}p_j\,g_j}{\sum_{j\in F}p_j}
 * @remarks A holds the entries that are at their bound, F the others.
 * @see softmax: with bounds of 1
 * @see csparsemax: with exact zeros
 * @example csoftmax(tensor([3, 1, 1]), { u: tensor([0.5, 1, 1]) }) // [0.5, 0.25, 0.25]
 */
export const csoftmax: BoundedMap = /* @__PURE__ */ rowMap("csoftmax", {
  doc: "Softmax under upper bounds of the probabilities.",
  source: "Martins & Kreutzer 2017, eq. 6",
  params: { u: { is: "row" } },
  program: ({ x, u }) => {
    const c = centred(x);
    const logU = log(u);
    const parts = (z: Row, l: Scalar): { readonly clipped: RowMask; readonly p: Row } => {
      const v = sub(z, l);
      // Put so that NaN is not clipped, and comes out.
      const clipped = greater(v, logU) as RowMask;
      return { clipped, p: select(clipped, u, exp(v)) as Row };
    };
    const lambdaOf = (z: Row, lo: Scalar, hi: Scalar): Scalar =>
      root((l) => sub(sum(parts(z, l).p), 1), lo, hi, {
        // Without clipping this is a line.
        straight: log1p,
        slope: (l) => {
          const { clipped, p } = parts(z, l);
          return neg(sum(select(clipped, 0, p)));
        },
      });
    const shift = reference(c, u);
    const far = sub(c, shift) as Row;
    const lowest = neg(max(minimum(logU, 0)));
    const coarse = stop(lambdaOf(far, lowest, sub(log(sum(exp(c))), shift) as Scalar));
    const v = sub(far, coarse);
    const around = and(greater(v, Number.NEGATIVE_INFINITY), lessEqual(v, add(logU, 1))) as RowMask;
    const z = sub(c, nearest(c, around, add(shift, coarse))) as Row;
    const lambda = lambdaOf(z, constant(-2), add(log(n), 750));
    const { p } = parts(z, lambda);
    return {
      result: p,
      vjp: ([g]) => {
        const free = less(p, u) as RowMask;
        const mass = sum(select(free, p, 0));
        const mean = select(greater(mass, 0), div(sum(select(free, mul(p, g!), 0)), mass), 0);
        const d = sub(g!, mean);
        // A single class has probability 1 whatever its bound is.
        return { x: select(free, mul(p, d), 0), u: select(or(free, equal(n, 1)), 0, d) };
      },
    };
  },
  domain: { x: { min: -3, max: 3 }, u: { min: 0.3, max: 0.9 } },
  laws: boundedLaws,
  breaks: {
    monotone: [[3, 1, 1]],
    strictlyMonotone: [[3, 1, 1]],
    scaleInvariant: [[0, 0.1, 0.2]],
    idempotentOnSimplex: [[1, 0, 0]],
    exactZeros: [[0, 0, -30]],
  },
  examples: [
    { args: [{ f64: [3, 1, 1] }, { u: { f64: [0.25, 1, 1] } }], gives: [0.25, 0.375, 0.375] },
    {
      args: [{ f64: [0, Math.LN2] }, { u: { f64: [1, 1] } }],
      gives: [0.3333333333333333, 0.6666666666666666],
    },
  ],
});

/**
 * Sparsemax under upper bounds: Euclidean projection of each row onto the distributions with p ≤ u. With bounds of 1 it is
 * sparsemax. Rows whose bounds are negative or sum to less than 1 are NaN.
 *
 * @formula p_i = \min\bigl((x_i-\tau)_+,\,u_i\bigr),\qquad \sum_i p_i=1
 * @gradient dx_i = \mathbf 1[i\in F]\,(g_i-m),\qquad du_i=\mathbf 1[i\in A]\,(g_i-m),\qquad m=\frac1{|F|}\sum_{j\in
 *   F}g_j,\qquad F=\{i:0<p_i<u_i\}
 * @remarks A holds the entries that are at their bound. Where F is empty m is 0.
 * @see sparsemax: with bounds of 1
 * @see csoftmax: without zeros
 * @example csparsemax(tensor([3, 1, 0.5]), { u: tensor([0.5, 1, 1]) }) // [0.5, 0.5, 0]
 */
export const csparsemax: BoundedMap = /* @__PURE__ */ rowMap("csparsemax", {
  doc: "Euclidean projection of each row onto the distributions under upper bounds.",
  source: "Malaviya, Ferreira & Martins 2018, section 3",
  params: { u: { is: "row" } },
  program: ({ x, u }) => {
    const c = centred(x);
    const weights = (z: Row, t: Scalar): Row => clamp(sub(z, t), 0, u) as Row;
    const tauOf = (z: Row, lo: Scalar, hi: Scalar): Scalar =>
      root((t) => sub(sum(weights(z, t)), 1), lo, hi, {
        support: (t) => greater(z, t),
        slope: (t) => neg(count(and(greater(z, t), lessEqual(sub(z, t), u)))),
      });
    const shift = reference(c, u);
    const far = sub(c, shift) as Row;
    const coarse = stop(tauOf(far, neg(max(minimum(u, 1))), neg(shift)));
    const v = sub(far, coarse);
    const around = and(greater(v, -1), lessEqual(v, add(u, 1))) as RowMask;
    const z = sub(c, nearest(c, around, add(shift, coarse))) as Row;
    const tau = tauOf(z, constant(-3), constant(2));
    const p = weights(z, tau);
    return {
      result: p,
      vjp: ([g]) => {
        const above = and(greaterEqual(p, u), greater(z, tau)) as RowMask;
        const free = and(greater(p, 0), less(p, u)) as RowMask;
        const d = sub(g!, meanOver(free, g!));
        // A single class has probability 1 whatever its bound is.
        return { x: select(free, d, 0), u: select(and(above, greater(n, 1)), d, 0) };
      },
    };
  },
  domain: { x: { min: -1, max: 1 }, u: { min: 0.3, max: 0.9 } },
  laws: csparsemaxLaws,
  breaks: {
    monotone: [[3, 1, 1]],
    strictlyMonotone: [[3, 1, 1]],
    scaleInvariant: [[0, 0.1, 0.2]],
    idempotentOnSimplex: [[1, 0, 0]],
  },
  examples: [
    { args: [{ f64: [3, 1, 0.5] }, { u: { f64: [0.25, 1, 1] } }], gives: [0.25, 0.625, 0.125] },
    { args: [{ f64: [-2, 0, 0.5] }, { u: { f64: [1, 1, 1] } }], gives: [0, 0.25, 0.75] },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// Other scales

/** The gradient of sparsemax: on the support the cotangent less its mean there. */
function sparsemaxGradient(p: Row, g: Value): Row {
  const support = greater(p, 0) as RowMask;
  return select(support, sub(g, meanOver(support, g)), 0) as Row;
}

interface Lambda {
  /** λ < 1, sparser towards 1, denser below 0: a number or a tensor (one value, or one per row), differentiable; 0 by default. */
  readonly lambda?: ScalarLike;
}

/**
 * Sparsemax with sparsity under control: sparsemax(x/(1 − λ)), the projection with −λ‖p‖² added. λ = 0 is sparsemax.
 *
 * @formula p = \mathrm{sparsemax}\Bigl(\frac x{1-\lambda}\Bigr)=\arg\min_{q\in\Delta}\ \|q-x\|^2-\lambda\|q\|^2
 * @gradient dx = \frac d{1-\lambda},\qquad d\lambda=\frac{\langle d,x\rangle}{(1-\lambda)^2},\qquad d_i=\mathbf 1[i\in
 *   S]\Bigl(g_i-\frac1{|S|}\sum_{j\in S}g_j\Bigr)
 * @see sparsemax: λ = 0
 * @see hardmax: the limit λ → 1 where the maximum is unique
 * @example sparsegenLin(tensor([-2, 0, 0.5]), { lambda: 0.25 }) // [0, 0.1667, 0.8333]
 */
export const sparsegenLin: RowMap<Lambda> = /* @__PURE__ */ rowMap("sparsegenLin", {
  doc: "Sparsemax with its sparsity under control.",
  source: "Laha et al. 2018, eq. 8",
  params: { lambda: { is: "scalar", default: 0, below: 1 } },
  program: ({ x, lambda }) => {
    const scale = sub(1, lambda);
    const c = centred(x);
    const { p } = sparsemaxOf(div(c, scale) as Row);
    return {
      result: p,
      vjp: ([g]) => {
        const d = div(sparsemaxGradient(p, g!), scale) as Row;
        return { x: d, lambda: div(sum(mulZero(d, c)), scale) };
      },
    };
  },
  domain: { x: { min: -1, max: 1 }, lambda: { min: -1, max: 0.5 } },
  laws: entmaxLaws,
  breaks: sparseBreaks,
  examples: [
    { args: [[-2, 0, 0.5], { lambda: 0.25 }], gives: [0, 0.16666666666666666, 0.8333333333333334] },
    { args: [[-2, 0, 0.5]], gives: [0, 0.25, 0.75] },
  ],
});

interface Q {
  /** q ≥ 0: scale-invariant at 0 (rows of sum 0 are NaN then), sparsemax towards infinity; differentiable. */
  readonly q: ScalarLike;
}

type Sparsehourglass = RowMap<Q>;

/**
 * Between a scale-invariant and a shift-invariant projection: sparsemax(cx) with c = (1 + nq)/(|Σx| + nq). It keeps what
 * already is a distribution.
 *
 * @formula p = \mathrm{sparsemax}(c\,x),\qquad c=\frac{1+nq}{|s|+nq},\qquad s=\sum_i x_i
 * @gradient dx = c\,d-\frac{c\,\mathrm{sign}(s)}{|s|+nq}\langle d,x\rangle,\qquad dq=\langle
 *   d,x\rangle\frac{n\,(|s|-1)}{(|s|+nq)^2},\qquad d_i=\mathbf 1[i\in S]\Bigl(g_i-\frac1{|S|}\sum_{j\in S}g_j\Bigr)
 * @remarks q = 0 is allowed where the scores do not sum to 0, and is scale-invariant where they sum to more.
 * @see sparsemax: the limit q → ∞
 * @see sumNormalization: q = 0 for scores that are not negative
 * @example sparsehourglass(tensor([1, 2, 1]), { q: 0 }) // [0.25, 0.5, 0.25]
 */
export const sparsehourglass: Sparsehourglass = /* @__PURE__ */ rowMap("sparsehourglass", {
  doc: "Sparsemax at a scale set by the sum of the scores.",
  source: "Laha et al. 2018, eq. 10",
  params: { q: { is: "scalar", min: 0, below: Infinity } },
  program: ({ x, q }) => {
    const total = sum(x);
    const nq = mul(n, q);
    // A single class has probability 1 at any scale. total − total is 0, or NaN for the rows that have no sum.
    const size = add(select(greater(n, 1), add(abs(total), nq), 1), sub(total, total));
    const scale = div(add(1, nq), size);
    const c = centred(x);
    const { p } = sparsemaxOf(mul(scale, c) as Row);
    return {
      result: p,
      vjp: ([g]) => {
        const d = sparsemaxGradient(p, g!);
        const change = div(sum(mulZero(d, c)), size);
        return {
          x: sub(mul(scale, d), mul(sign(total), mul(change, scale))),
          q: mul(mul(change, n), div(sub(abs(total), 1), size)),
        };
      },
    };
  },
  domain: { x: { min: 0.1, max: 1 }, q: { min: 0.1, max: 1 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "idempotentOnSimplex",
    "nanRow",
    "oneClassIsOne",
    "finiteScoresOnly",
  ],
  breaks: { shiftInvariant: [[0, 0.5]], strictlyMonotone: [[0, 1, 9]], scaleInvariant: [[0, 0.5]] },
  examples: [
    { args: [[-1, 0, 0.75], { q: 1 }], gives: [0, 0.03846153846153844, 0.9615384615384616] },
    { args: [[1, 2, 1], { q: 0 }], gives: [0.25, 0.5, 0.25] },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// No sum at all

interface AlphaRelu {
  /** The order α > 1, differentiable; 1.5 by default. */
  readonly alpha?: ScalarLike;
  /** The threshold τ, differentiable; 0 by default. */
  readonly tau?: ScalarLike;
}

/**
 * The α-entmax formula with a threshold that is given instead of searched: ((α − 1)x − τ)₊^(1/(α−1)), sparse scores for large
 * vocabularies. Its rows sum to whatever they do.
 *
 * @formula p_i = \bigl((\alpha-1)\,x_i-\tau\bigr)_+^{1/(\alpha-1)}
 * @gradient dx = g\,s,\qquad d\tau=-\frac{\langle g,s\rangle}{\alpha-1},\qquad d\alpha=\sum_i
 *   g_i\Bigl(\frac{x_i\,s_i}{\alpha-1}-\frac{p_i\log p_i}{\alpha-1}\Bigr),\qquad s_i=\mathbf 1[i\in S]\,p_i^{2-\alpha}
 * @see entmax: with the τ for which the row sums to one
 * @see relu: α = 2 and τ = 0
 * @example alphaRelu(tensor([-2, 1, 2]), { alpha: 1.5 }) // [0, 0.25, 1]
 */
export const alphaRelu: RowMap<AlphaRelu> = /* @__PURE__ */ rowMap("alphaRelu", {
  doc: "The formula of entmax with a given threshold.",
  source: "Tezekbayev, Nikoulina, Gallé & Assylbekov 2021",
  params: {
    alpha: { is: "scalar", default: 1.5, above: 1, below: Infinity },
    tau: { is: "scalar", default: 0 },
  },
  program: ({ x, alpha, tau }) => {
    const eps = sub(alpha, 1);
    const m = stop(max(x));
    // m − m is 0, or NaN for the rows that have no largest score to speak of.
    return add(posPow(sub(mul(eps, x), tau), div(1, eps)), sub(m, m)) as Row;
  },
  domain: { x: { min: 0.5, max: 2 }, alpha: { min: 1.2, max: 2 }, tau: { min: -1, max: 0 } },
  laws: [
    "nonNegative",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: {
    sumsToOne: [[1]],
    shiftInvariant: [[1]],
    strictlyMonotone: [[-2, -1]],
    scaleInvariant: [[1]],
    idempotentOnSimplex: [[1]],
  },
  examples: [
    { args: [[-2, 1, 2], { alpha: 1.5 }], gives: [0, 0.25, 1] },
    { args: [[-1, 0, 1], { alpha: 2, tau: 0.5 }], gives: [0, 0, 0.5] },
  ],
});
