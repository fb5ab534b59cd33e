// Truncated softmaxes: softmax on a part of the row that the scores choose, exact zeros outside.

import type { FloatDType } from "../../core/dtype.ts";
import type { HandWrittenGradient } from "../../core/formula.ts";
import type { Op } from "../../core/op.ts";
import {
  add,
  and,
  argmax,
  constantOf,
  count,
  div,
  equal,
  floor,
  greater,
  greaterEqual,
  index,
  less,
  lessEqual,
  max,
  maximum,
  mul,
  n,
  neg,
  not,
  oneHot,
  or,
  pick,
  type Row,
  type RowMask,
  relu,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import {
  type AxisOption,
  type Labels,
  type OptionsArgument,
  type RowMap,
  rowMap,
  type ScalarLike,
} from "../../core/rowop.ts";
import type { Checked, HasRows, Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { exp, kth } from "../../core/words.ts";
import { centred, sparseBreaks } from "./softmax.ts";

/** The k largest entries; among equals the lowest index. */
export function topK(x: Row, k: Scalar): RowMask {
  const threshold = kth(x, k);
  // Put so that a NaN row is kept whole, and comes out.
  const above = not(lessEqual(x, threshold)) as RowMask;
  const ties = equal(x, threshold) as RowMask;
  // As many of the ties as are still missing, by lowest index: the (k − above)-th largest of the negated indices.
  const last = kth(select(ties, neg(index), Number.NEGATIVE_INFINITY) as Row, sub(k, count(above)));
  return or(above, and(ties, greaterEqual(neg(index), last)));
}

/** Softmax of the kept scores, where the largest is always one of them; the choice counts as constant. */
function softmaxOfKept(x: Row, kept: RowMask): { readonly result: Row; readonly vjp: HandWrittenGradient } {
  const e = select(kept, exp(centred(x)), 0) as Row;
  const total = sum(e);
  // total − total is 0, or NaN for the rows that have no distribution: the mask would hide it.
  const p = add(div(e, total), sub(total, total));
  return { result: p, vjp: ([g]) => ({ x: mul(p, sub(g!, sum(mul(g!, p)))) }) };
}

interface K {
  /** How many scores are kept, at least 1. */
  readonly k: ScalarLike;
}

type SparseSoftmax = RowMap<K>;

/**
 * Softmax over the k largest scores of each row, exactly 0 elsewhere; ties go to the lowest index. k ≥ n is softmax.
 *
 * @formula p_i = \mathbf 1[i\in K]\frac{e^{x_i}}{\sum_{j\in K}e^{x_j}},\qquad K=\text{the } k \text{ largest scores}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)
 * @remarks K counts as constant.
 * @see softmax: k ≥ n
 * @see hardmax: k = 1, for its values
 * @see sparseSoftmaxLoss: its loss
 * @example sparseSoftmax(tensor([0, 0.6931, -5]), { k: 2 }) // [0.3333, 0.6667, 0]
 */
export const sparseSoftmax: SparseSoftmax = /* @__PURE__ */ rowMap("sparseSoftmax", {
  doc: "Softmax over the k largest scores of each row.",
  source: "Sun et al. 2021; Su 2020",
  params: { k: { is: "scalar", min: 1, integer: true } },
  program: ({ x, k }) => softmaxOfKept(x, topK(x, stop(k))),
  domain: { x: { min: -3, max: 3 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "monotone",
    "permutationEquivariantWithoutTies",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "masked",
    "oneClassIsOne",
  ],
  breaks: {
    strictlyMonotone: [[0, 1, 9, 9]],
    permutationEquivariant: [[0, 0, 0]],
    scaleInvariant: [[0, 1]],
    idempotentOnSimplex: [[0.25, 0.75]],
  },
  examples: [
    { args: [[0, Math.LN2, -5], { k: 2 }], gives: [0.3333333333333333, 0.6666666666666666, 0] },
    { args: [[1, 1, 1], { k: 2 }], gives: [0.5, 0.5, 0] },
  ],
});

/** A map that needs the right class of each row, as a loss does. */
type LabelledMap<O extends object = object> = (<S extends Shape, D extends FloatDType>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  target: Labels,
  ...rest: OptionsArgument<O & AxisOption>
) => Tensor<S, D>) &
  Op;

/** NaN for a class that there is not: labels that a device computed are not checked at the call. */
function known(target: Scalar): Scalar {
  return select(and(greaterEqual(target, 0), less(target, n)), 0, Number.NaN) as Scalar;
}

/** The right class, and those whose probability lies at most δ below its own: what AS-Softmax keeps. */
export function nearTarget(x: Row, target: Scalar, delta: Scalar): RowMask {
  const e = stop(exp(centred(x)));
  const total = sum(e);
  const gap = sub(div(pick(e, target), total), div(e, total));
  // Put so that a NaN row is kept whole, and comes out. The largest score is always kept, and a difference of equals is 0.
  return or(greaterEqual(x, pick(x, target)), not(greater(gap, stop(delta)))) as RowMask;
}

/** δ as an argument. What is kept does not move with it, so it has no gradient. */
export const deltaParam: {
  readonly is: "scalar";
  readonly default: number;
  readonly min: number;
  readonly max: number;
} = { is: "scalar", default: 0.1, min: 0, max: 1 };

interface Delta {
  /** The margin δ of probability in [0, 1] beyond which a class counts as beaten; 0.1 by default, 1 is softmax. */
  readonly delta?: ScalarLike;
}

/**
 * Softmax for training that leaves out what is already beaten: every class whose softmax probability lies more than δ below
 * that of the right one. A row of which only the right class is left is one-hot, with gradient exactly 0: the easy sample
 * drops out. What is kept counts as constant. For inference take softmax.
 *
 * @formula p_i = \mathbf 1[i\in K]\frac{e^{x_i}}{\sum_{j\in K}e^{x_j}},\qquad K=\{i:\ i=t\ \text{ or }\
 *   q_t-q_i\le\delta\},\quad q=\mathrm{softmax}(x)
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)
 * @remarks Where all other scores are equal the sample drops out as soon as the right one leads by log((1 + (n − 1)δ)/(1 −
 *   δ)); under softmax it never does.
 * @errata The paper masks where qₜ − qᵢ ≥ δ, its code keeps where qₜ − qᵢ ≤ δ: they differ where both are equal. Here as in
 *   the code, so that δ = 1 keeps everything also where q rounds to (1, 0).
 * @see softmax: δ = 1
 * @see asSoftmaxLoss: its loss
 * @example asSoftmax(tensor([[0, 0.6931, -5]]), [1], { delta: 0.5 }) // [[0.3333, 0.6667, 0]]
 */
export const asSoftmax: LabelledMap<Delta> = /* @__PURE__ */ rowMap("asSoftmax", {
  doc: "Softmax over the right class and those that it does not yet beat by a margin of probability.",
  source: "Lv et al. 2025, arXiv 2508.03175",
  params: { target: { is: "label" }, delta: deltaParam },
  positional: ["target"],
  program: ({ x, target, delta }) => {
    const { result, vjp } = softmaxOfKept(x, nearTarget(x, target, delta));
    return { result: add(result, known(target)), vjp };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "oneClassIsOne",
  ],
  breaks: { strictlyMonotone: [[0, 9, 1]], scaleInvariant: [[0, 1]], idempotentOnSimplex: [[0.25, 0.75]] },
  examples: [
    {
      args: [[[0, Math.LN2, -5]], { i32: [1] }, { delta: 0.5 }],
      gives: [[0.3333333333333333, 0.6666666666666666, 0]],
    },
    { args: [[[9, 0, 1]], { i32: [0] }], gives: [[1, 0, 0]] },
  ],
});

interface Eps {
  /** The weight of what is left out, ≥ 0, for training; 0 by default. */
  readonly eps?: ScalarLike;
}

/**
 * Softmax over the scores that are at least the mean of their row: evidential sparsification. Scores −∞ do not count in the
 * mean. With ε > 0 the others keep that fraction of their weight, so that they can be learned again.
 *
 * @formula p_i = \frac{c_i\,e^{x_i}}W,\qquad W=\sum_j c_j\,e^{x_j},\qquad c_i=1\ \text{ if } x_i\ge\tfrac1n\sum_j x_j,\
 *   \text{ else }\varepsilon
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr),\qquad
 *   d\varepsilon=\frac1W\sum_{i:\,c_i=\varepsilon}e^{x_i}\bigl(g_i-\langle g,p\rangle\bigr)
 * @remarks Which scores are kept counts as constant. Of equal scores all are.
 * @see softmax: ε = 1
 * @see evSoftmaxNll: its loss
 * @example evSoftmax(tensor([0, 0.6931, -5])) // [0.3333, 0.6667, 0]
 */
export const evSoftmax: RowMap<Eps> = /* @__PURE__ */ rowMap("evSoftmax", {
  doc: "Softmax over the scores that are at least the mean of their row.",
  source: "Chen, Itkina, Senanayake & Kochenderfer 2021, eq. 5",
  params: { eps: { is: "scalar", default: 0, min: 0 } },
  program: ({ x, eps }) => {
    const z = centred(x);
    const finite = greater(z, Number.NEGATIVE_INFINITY) as RowMask;
    // Put so that a NaN row is kept whole, and comes out.
    const kept = not(less(z, div(sum(select(finite, z, 0)), count(finite)))) as RowMask;
    if (constantOf(eps) === 0) return softmaxOfKept(x, kept);
    const e = exp(z) as Row;
    const w = select(kept, e, mul(eps, e)) as Row;
    const p = div(w, sum(w));
    return {
      result: p,
      vjp: ([g]) => {
        const d = sub(g!, sum(mul(g!, p)));
        return { x: mul(p, d), eps: div(sum(select(kept, 0, mul(e, d))), sum(w)) };
      },
    };
  },
  domain: { x: { min: -3, max: 3 }, eps: { min: 0.1, max: 0.5 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "jacobianSymmetric",
    "positiveSemidefinite",
    "nanRow",
    "infiniteRow",
    "masked",
    "oneClassIsOne",
  ],
  breaks: sparseBreaks,
  examples: [
    { args: [[0, Math.LN2, -5]], gives: [0.3333333333333333, 0.6666666666666666, 0] },
    {
      args: [[0, Math.LN2, -1], { eps: 0.5 }],
      gives: [0.3140762978439927, 0.6281525956879854, 0.05777110646802176],
    },
  ],
});

/** wᵢeᶻ/Σwᵢeᶻ with wᵢ = (z + t)₊: what lies t or more below the maximum has weight 0. */
function tSoftmaxOf(x: Row, t: Scalar): { readonly p: Row; readonly vjp: HandWrittenGradient } {
  // The weights move with the maximum; the exponentials are only scaled by it.
  const w = relu(add(sub(x, max(x)), t)) as Row;
  const e = exp(centred(x)) as Row;
  const total = sum(mul(w, e));
  const p = div(mul(w, e), total) as Row;
  return {
    p,
    vjp: ([g]) => {
      const h = mul(div(e, total), sub(g!, sum(mul(g!, p))));
      const inside = select(greater(w, 0), h, 0) as Row;
      // The weights fall as the maximum rises.
      const pull = sum(inside);
      return { x: sub(add(mul(w, h), inside), oneHot(argmax(x), pull)), t: pull };
    },
  };
}

const tSoftmaxLaws: readonly string[] = [
  "sumsToOne",
  "nonNegative",
  "shiftInvariant",
  "monotone",
  "permutationEquivariant",
  "exactZeros",
  "nanRow",
  "infiniteRow",
  "masked",
  "oneClassIsOne",
];

interface T {
  /** How far below the largest a score may lie, > 0: a number or a tensor (one value, or one per row), differentiable. */
  readonly t: ScalarLike;
}

type TSoftmax = RowMap<T>;

/**
 * Softmax with weights that fall to exactly 0 for scores t or more below the largest: continuous truncation, with softmax as
 * its limit for large t. At tied maxima the gradient is that of the first.
 *
 * @formula p_i = \frac{w_i\,e^{x_i}}W,\qquad w_i=(x_i-\max x+t)_+,\quad W=\sum_j w_j\,e^{x_j}
 * @gradient dx = w\,h+\mathbf 1[w>0]\,h-e_m\,dt,\qquad dt=\sum_{i:\,w_i>0}h_i,\qquad h=\frac{e^x}W\bigl(g-\langle
 *   g,p\rangle\bigr),\quad m=\arg\max x
 * @see softmax: the limit t → ∞
 * @see rSoftmax: with t by the share of zeros
 * @see hardmax: the limit t → 0 where the maximum is unique
 * @example tSoftmax(tensor([0, 0.6931, -5]), { t: 2 }) // [0.2463, 0.7537, 0]
 */
export const tSoftmax: TSoftmax = /* @__PURE__ */ rowMap("tSoftmax", {
  doc: "Softmax with weights that fall to 0 at a distance t below the largest score.",
  source: "Bałazy, Struski, Śmieja & Tabor 2023, eq. 3",
  params: { t: { is: "scalar", above: 0, below: Infinity } },
  program: ({ x, t }) => {
    const { p, vjp } = tSoftmaxOf(x, t);
    return { result: p, vjp };
  },
  domain: { x: { min: -3, max: 3 }, t: { min: 0.5, max: 3 } },
  laws: tSoftmaxLaws,
  breaks: sparseBreaks,
  examples: [
    { args: [[0, Math.LN2, -5], { t: 2 }], gives: [0.24625759633898145, 0.7537424036610185, 0] },
    { args: [[0, Math.LN2, 0.5], { t: 0.5 }], gives: [0, 0.6640482048955926, 0.3359517951044075] },
  ],
});

interface R {
  /** The fraction of zeros that is wanted, in [0, 1]. */
  readonly r: ScalarLike;
}

type RSoftmax = RowMap<R>;

/**
 * tSoftmax with t such that about a fraction r of the row becomes 0: t is the (1 − r)-quantile of the distances to the
 * maximum (between entries by linear interpolation), and counts as constant. Scores −∞ do not count in the quantile. Where t
 * is 0 the row is uniform over its maximisers, with zero gradient.
 *
 * @formula p_i = \frac{w_i\,e^{x_i}}W,\qquad w_i=(x_i-\max x+t)_+,\quad W=\sum_j w_j\,e^{x_j},\qquad t=\text{the }
 *   (1-r)\text{-quantile of } \max x-x
 * @gradient dx = w\,h+\mathbf 1[w>0]\,h-e_m\sum_{i:\,w_i>0}h_i,\qquad h=\frac{e^x}W\bigl(g-\langle g,p\rangle\bigr),\quad
 *   m=\arg\max x
 * @remarks At r = 0 the distance t is that of the smallest score, which therefore has weight 0; the published code adds 1e-8
 *   to it.
 * @see tSoftmax: with t given
 * @see hardmax: r = 1 where the maximum is unique
 * @example rSoftmax(tensor([3, 2, 1, 0]), { r: 0.5 }) // [0.8908, 0.1092, 0, 0]
 */
export const rSoftmax: RSoftmax = /* @__PURE__ */ rowMap("rSoftmax", {
  doc: "Softmax of which a wanted fraction of each row is 0.",
  source: "Bałazy, Struski, Śmieja & Tabor 2023, eq. 5",
  params: { r: { is: "scalar", min: 0, max: 1 } },
  program: ({ x, r }) => {
    const z = centred(x);
    const finite = count(greater(z, Number.NEGATIVE_INFINITY) as RowMask);
    const place = mul(stop(r), sub(finite, 1));
    const before = floor(place);
    const low = kth(z, sub(finite, before));
    const high = kth(z, maximum(sub(sub(finite, before), 1), 1));
    const t = stop(neg(add(low, mul(sub(place, before), sub(high, low))))) as Scalar;
    const { p, vjp } = tSoftmaxOf(x, t);
    const flat = equal(t, 0);
    const largest = greaterEqual(z, 0) as RowMask;
    return {
      result: select(flat, select(largest, div(1, count(largest)), 0), p) as Row,
      vjp: (g) => ({ x: select(flat, 0, vjp(g).x!) }),
    };
  },
  domain: { x: { min: -3, max: 3 }, r: { min: 0.1, max: 0.9 } },
  constants: ["r"],
  laws: tSoftmaxLaws,
  breaks: sparseBreaks,
  examples: [
    { args: [[3, 2, 1, 0], { r: 0.5 }], gives: [0.890768227426964, 0.10923177257303593, 0, 0] },
    { args: [[1, 2, 2], { r: 1 }], gives: [0, 0.5, 0.5] },
  ],
});

/**
 * Probabilities by rank-like margins to the right class: (x − xₜ + 1)₊ normalised. The right class is always in the support;
 * what lies 1 or more below it has probability 0. A right class of score −∞ has no distribution (NaN).
 *
 * @formula p_i = \frac{w_i}{\sum_j w_j},\qquad w_i=(x_i-x_t+1)_+
 * @gradient dx = d-e_t\sum_i d_i,\qquad d_i=\mathbf 1[w_i>0]\frac{g_i-\langle g,p\rangle}{\sum_j w_j}
 * @see sparsemax: a projection without the right class
 * @see rankmaxLoss: its loss
 * @example rankmax(tensor([[0, 1, 0.5]]), [2]) // [[0.1667, 0.5, 0.3333]]
 */
export const rankmax: LabelledMap = /* @__PURE__ */ rowMap("rankmax", {
  doc: "Probabilities by the margin of each score to that of the right class.",
  source: "Kong, Krichene, Mayoraz, Rendle & Zhang 2020, eq. 7",
  params: { target: { is: "label" } },
  positional: ["target"],
  program: ({ x, target }) => {
    const w = relu(add(sub(x, pick(x, target)), 1)) as Row;
    const total = sum(w);
    const p = add(div(w, total), add(sub(total, total), known(target))) as Row;
    return {
      result: p,
      vjp: ([g]) => {
        const d = select(greater(w, 0), div(sub(g!, sum(mul(g!, p))), total), 0) as Row;
        return { x: sub(d, oneHot(target, sum(d))) };
      },
    };
  },
  domain: { x: { min: -1, max: 1 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "oneClassIsOne",
  ],
  breaks: {
    strictlyMonotone: [[0, 1, 9]],
    scaleInvariant: [[0, 1, 0.5]],
    idempotentOnSimplex: [[0, 0.25, 0.75]],
  },
  examples: [
    { args: [[[0, 1, 0.5]], { i32: [2] }], gives: [[0.16666666666666666, 0.5, 0.3333333333333333]] },
    { args: [[[0, 3, 1]], { i32: [1] }], gives: [[0, 1, 0]] },
  ],
});
