// The bi-tempered logistic loss: a bounded divergence (t₁ < 1) of a heavy-tailed softmax (t₂ > 1), for noisy labels.

import { adjoints } from "../core/row/differentiate.ts";
import {
  add,
  constant,
  constantOf,
  div,
  equal,
  greater,
  index,
  maximum,
  mul,
  mulZero,
  n,
  pick,
  type Row,
  type Scalar,
  select,
  sub,
  sum,
  type Value,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { exp, expm1Ratio, log, log1pRatio } from "../core/words.ts";
import { entmaxOf } from "../ops/maps/entmax.ts";

interface Temperatures extends IgnoreOption {
  /** t₁ ≤ 1, below 1 the loss of one sample is bounded, by 1/(1 − t₁); differentiable; 0.8 by default. */
  readonly t1?: ScalarLike;
  /** t₂ ≥ 1, above 1 the probabilities have heavy tails; differentiable; 1.2 by default. */
  readonly t2?: ScalarLike;
  /** What the right class gives to the others, (1 − ls)·eₜ + ls/(n − 1) elsewhere; differentiable; 0 by default. */
  readonly labelSmoothing?: ScalarLike;
}

/**
 * Cross-entropy that wrong labels do not spoil: the Bregman divergence of logarithms of temperature t₁ between the target and
 * the tempered softmax of temperature t₂. Cross-entropy at t₁ = t₂ = 1.
 *
 * @formula L = \sum_i y_i\bigl(\log_{t_1}y_i-\log_{t_1}p_i\bigr)-\frac{y_i^{2-t_1}-p_i^{2-t_1}}{2-t_1},\qquad
 *   p=\mathrm{temperedSoftmax}_{t_2}(x),\quad \log_t v=\frac{v^{1-t}-1}{1-t}
 * @gradient dx = s\Bigl(h-\frac{\langle s,h\rangle}{\sum_j s_j}\Bigr),\qquad h=(p-y)\,p^{-t_1},\quad s=p^{t_2}
 * @remarks y = eₜ, or with label smoothing ls (1 − ls)·eₜ and ls/(n − 1) for every other class: so the published code, where
 *   the usual smoothing shares among all classes.
 * @see crossEntropy: t₁ = t₂ = 1
 * @see temperedSoftmax: its map
 * @see generalizedCe: a bounded loss of softmax
 * @example biTemperedLogistic(tensor([[0, 1, 2]]), [2], { t1: 0.8, t2: 1.2 })
 */
export const biTemperedLogistic: Loss<Temperatures> = /* @__PURE__ */ rowLoss("biTemperedLogistic", {
  doc: "Cross-entropy between tempered logarithm and tempered softmax, robust to wrong labels.",
  source: "Amid, Warmuth, Anil & Koren 2019, eq. 7; label smoothing as in their code",
  against: "labels",
  params: {
    t1: { is: "scalar", default: 0.8, max: 1 },
    t2: { is: "scalar", default: 1.2, min: 1 },
    labelSmoothing: { is: "scalar", default: 0, min: 0, below: 1 },
  },
  program: ({ x, target, t1, t2, labelSmoothing }) => {
    const { logP, p, u, v } = entmaxOf(x, sub(2, t2) as Scalar, true);
    const tilt = sub(1, t1);
    const order = sub(2, t1);
    /** (v^(1−t₁) − 1)/(1 − t₁), from log v. */
    const logT = (logV: Value): Value => mul(logV, expm1Ratio(mulZero(tilt, logV)));
    /** v^(2−t₁)/(2 − t₁), from log v. */
    const power = (logV: Value): Value => div(exp(mul(order, logV)), order);
    const ofP = logT(logP);
    const ofRight = pick(ofP, target);
    /** y·(log y − log p) − y^(2−t₁)/(2 − t₁), for classes of one y together. */
    const part = (y: Scalar, classes: Scalar | number, logs: Scalar): Scalar =>
      sub(
        mul(y, sub(mul(classes, logT(log(y)) as Scalar), logs)),
        mul(classes, power(log(y)) as Scalar),
      ) as Scalar;
    const plain = constantOf(labelSmoothing) === 0;
    const others = sub(n, 1) as Scalar;
    const off = plain ? constant(0) : (div(labelSmoothing, maximum(others, 1)) as Scalar);
    const on = plain ? constant(1) : (sub(1, mul(others, off)) as Scalar);
    const ofOthers = sum(select(equal(index, target), 0, ofP));
    const rest = plain ? constant(0) : (select(greater(off, 0), part(off, others, ofOthers), 0) as Scalar);
    const loss = add(sum(power(logP)), add(part(on, 1, ofRight), rest));
    const y = select(equal(index, target), on, off);
    const h = mul(sub(p, y), exp(mulZero(sub(t2, t1), logP))) as Row;
    const s = exp(mul(t2, logP)) as Row;
    const mean = div(sum(h), sum(s));
    // t₁ and the target leave the probabilities as they are; t₂ moves them as α = 2 − t₂ does those of entmax.
    const [ofT1, ofSmoothing] = adjoints([loss], [constant(1)], [t1, labelSmoothing], [logP]) as [
      Value,
      Value,
    ];
    const moved = mulZero(p, mul(u, mul(u, log1pRatio(v, 1)))) as Row;
    const pulled = mulZero(sub(p, y), mul(exp(mulZero(tilt, logP)), mul(u, mul(u, log1pRatio(v, 1))))) as Row;
    const ofT2 = sub(sum(pulled), mul(mean, sum(moved)));
    return {
      loss: loss as Scalar,
      vjp: ([g]) => ({
        x: mul(g!, sub(h, mul(s, mean))),
        t1: mul(g!, ofT1),
        t2: mul(g!, ofT2),
        labelSmoothing: mul(g!, ofSmoothing),
      }),
    };
  },
  domain: {
    x: { min: -3, max: 3 },
    t1: { min: 0.3, max: 0.9 },
    t2: { min: 1.1, max: 1.9 },
    labelSmoothing: { min: 0.05, max: 0.3 },
  },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2]], [1], { t1: 1, t2: 1 }], gives: 0.4054651081081644 },
    { args: [[[1, 1]], [1], { t1: 0.5, t2: 1.5 }], gives: 0.3905242917512699 },
  ],
});
