// Relatives of cross-entropy: other functions of the probability that softmax gives to the right class, and cross-entropy of
// scores that are shifted or scaled first. Entropies and divergences stand in divergences.ts, the focal family in focal.ts.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions, describe, type Op } from "../core/op.ts";
import {
  add,
  constant,
  differentiateAs,
  div,
  greater,
  max,
  mul,
  neg,
  oneHot,
  pick,
  type Row,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, type LossOptions, type Penalty, rowLoss } from "../core/rowloss.ts";
import type { Labels, ScalarLike } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { exp, expm1, expm1Ratio, log } from "../core/words.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";

/** Probabilities, and the negative logarithm of the right one, with every digit also where it is near 0. */
export function rightClass(x: Row, target: Scalar): { readonly p: Row; readonly nll: Scalar } {
  const { e, total, lse } = logSumExpCentred(centred(x));
  // The large scores are taken from one another before the small term is added.
  return { p: div(e, total) as Row, nll: add(lse, sub(stop(max(x)), pick(x, target))) as Scalar };
}

/**
 * Less the probability of the right class: the expected number of hits, with the sign of a loss. Its gradient pₜ·(p − eₜ)
 * vanishes on the samples that are most wrong, too.
 *
 * @formula L = -p_t,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = p_t\,(p-e_t)
 * @errata Its gradient is known to vanish where pₜ is near 1. It vanishes near 0 too: on the samples that are most wrong.
 * @see generalizedCe: is this plus 1 at q = 1
 * @see accuracy: with the argmax in place of softmax
 * @example softAccuracy(tensor([[0, 0.6931]]), [1]) // -0.6667
 */
export const softAccuracy: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("softAccuracy", {
  doc: "Less the probability of the right class: the expected accuracy of sampling.",
  against: "labels",
  program: ({ x, target }) => neg(exp(neg(rightClass(x, target).nll))) as Scalar,
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0, Math.LN2]], [1]], gives: -0.6666666666666666 }],
});

interface Temperature extends IgnoreOption {
  /** The temperature T > 0, a number or a tensor (one value, or one per row), differentiable; 1 by default. */
  readonly temperature?: ScalarLike;
}

/**
 * Cross-entropy of x/T: what calibration minimises over T, which makes a model more or less confident without changing what
 * it predicts. Convex in 1/T.
 *
 * @formula L = -\log p_t,\qquad p=\mathrm{softmax}(x/T)
 * @gradient dx = \frac1T(p-e_t),\qquad dT=-\frac1T\sum_j(x_j-\max x)\,dx_j
 * @errata Temperatures are said to be fitted by the calibration error or the Brier score. Guo et al. fit T by this loss,
 *   which is convex in 1/T; the calibration error is not even continuous in T.
 * @see crossEntropy: T = 1
 * @see brier: the other proper loss
 * @example temperatureScaledNll(tensor([[0, 0.6931]]), [1], { temperature: 0.5 }) // 0.2231
 */
export const temperatureScaledNll: Loss<Temperature> = /* @__PURE__ */ rowLoss("temperatureScaledNll", {
  doc: "Cross-entropy of scores divided by a temperature, which is to be learned.",
  source: "Guo, Pleiss, Sun & Weinberger 2017",
  against: "labels",
  params: { temperature: { is: "scalar", default: 1, above: 0 } },
  program: ({ x, target, temperature }) => {
    const { lse } = logSumExpCentred(div(centred(x), temperature) as Row);
    return add(lse, div(sub(stop(max(x)), pick(x, target)), temperature)) as Scalar;
  },
  domain: { x: { min: -3, max: 3 }, temperature: { min: 0.5, max: 2 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2]], [1]], gives: 0.4054651081081644 },
    { args: [[[0, Math.LN2]], [1], { temperature: 0.5 }], gives: 0.22314355131420976 },
  ],
});

/** Cross-entropy of x + τ log w: in a model of the training set the scores owe to the frequencies w what that adds. */
function adjusted(
  x: Row,
  target: Scalar,
  w: Row,
  tau: Scalar,
): { readonly loss: Scalar; readonly d: Row; readonly logW: Row } {
  const logW = select(greater(w, 0), log(w), Number.NaN) as Row;
  const added = mul(tau, logW) as Row;
  // Around the largest score first: beside large scores a logarithm would lose its digits.
  const z = add(centred(x), added) as Row;
  const { e, total, lse } = logSumExpCentred(centred(z));
  const loss = add(
    add(lse, sub(stop(max(z)), pick(added, target))),
    sub(stop(max(x)), pick(x, target)),
  ) as Scalar;
  return { loss, d: sub(div(e, total), oneHot(target, 1)) as Row, logW };
}

interface Priors extends IgnoreOption {
  /** How frequent each class is, > 0, shape [n]. The sum does not matter. */
  readonly priors: Tensor;
  /** The strength τ of the adjustment, differentiable; 1 by default. At 0 it is cross-entropy. */
  readonly tau?: ScalarLike;
}

/**
 * Cross-entropy of x + τ log π: rare classes have to be scored above frequent ones during training, so that the plain scores
 * treat all classes alike afterwards. A prior that is not positive makes the loss NaN.
 *
 * @formula L = -\log p_t,\qquad p=\mathrm{softmax}(x+\tau\log\pi)
 * @gradient dx = p-e_t,\qquad d\tau=\langle p-e_t,\log\pi\rangle,\qquad d\pi=\tau\,\frac{p-e_t}\pi
 * @see crossEntropy: τ = 0
 * @see balancedSoftmaxCe: τ = 1, from counts
 * @example logitAdjustedCe(tensor([[0, 0]]), [1], { priors: tensor([0.9, 0.1]) }) // 2.3026
 */
export const logitAdjustedCe: Loss<Priors> = /* @__PURE__ */ rowLoss("logitAdjustedCe", {
  doc: "Cross-entropy of scores shifted by the logarithms of class priors, for long-tailed data.",
  source: "Menon, Jayasumana, Rawat, Jain, Veit & Kumar 2021, eq. 10",
  against: "labels",
  params: { priors: { is: "classes" }, tau: { is: "scalar", default: 1 } },
  program: ({ x, target, priors, tau }) => {
    const { loss, d, logW } = adjusted(x, target, priors, tau);
    return {
      loss,
      vjp: ([g]) => ({
        x: mul(g!, d),
        priors: mul(mul(g!, tau), div(d, priors)),
        tau: mul(g!, sum(mul(d, logW))),
      }),
    };
  },
  domain: { x: { min: -3, max: 3 }, priors: { min: 0.1, max: 1 }, tau: { min: 0.5, max: 2 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], [1], { priors: [0.75, 0.25] }], gives: 1.3862943611198906 },
    { args: [[[0, Math.LN2]], [1], { priors: [0.75, 0.25], tau: 0 }], gives: 0.4054651081081644 },
  ],
});

interface Counts extends IgnoreOption {
  /** How many samples each class has, > 0, shape [n]. */
  readonly counts: Tensor;
}

/**
 * Cross-entropy in which each class weighs as much as it has samples: logitAdjustedCe with τ = 1.
 *
 * @formula L = -\log p_t,\qquad p_i=\frac{c_i\,e^{x_i}}{\sum_j c_j\,e^{x_j}}
 * @gradient dx = p-e_t,\qquad dc=\frac{p-e_t}c
 * @remarks The scale of the counts drops out.
 * @see logitAdjustedCe: at τ = 1 the same
 * @see crossEntropy: with equal counts
 * @example balancedSoftmaxCe(tensor([[0, 0]]), [1], { counts: tensor([900, 100]) }) // 2.3026
 */
export const balancedSoftmaxCe: Loss<Counts> = /* @__PURE__ */ rowLoss("balancedSoftmaxCe", {
  doc: "Cross-entropy of a softmax in which each class weighs as much as it has samples.",
  source: "Ren, Yu, Ma, Zhao, Yi & Li 2020, eq. 4",
  against: "labels",
  params: { counts: { is: "classes" } },
  program: ({ x, target, counts }) => {
    const { loss, d } = adjusted(x, target, counts, constant(1));
    return { loss, vjp: ([g]) => ({ x: mul(g!, d), counts: mul(g!, div(d, counts)) }) };
  },
  domain: { x: { min: -3, max: 3 }, counts: { min: 1, max: 9 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0, 0]], [1], { counts: [300, 100] }], gives: 1.3862943611198906 }],
});

interface Order extends IgnoreOption {
  /** The order 0 < q ≤ 1, differentiable; 0.7 by default. Towards 0 the loss is cross-entropy, at 1 it is 1 − pₜ. */
  readonly q?: ScalarLike;
}

/**
 * (1 − pₜ^q)/q, between cross-entropy and the mean absolute error: wrong labels, whose pₜ stays small, pull less the larger
 * q is.
 *
 * @formula L = \frac{1-p_t^q}q,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = p_t^q\,(p-e_t),\qquad dq=-\frac{p_t^q\log p_t+L}q
 * @see crossEntropy: the limit q → 0
 * @see softAccuracy: less 1, at q = 1
 * @example generalizedCe(tensor([[0, 0.6931]]), [1], { q: 1 }) // 0.3333
 */
export const generalizedCe: Loss<Order> = /* @__PURE__ */ rowLoss("generalizedCe", {
  doc: "Between cross-entropy and mean absolute error, for labels of which some are wrong.",
  source: "Zhang & Sabuncu 2018, eq. 6",
  against: "labels",
  params: { q: { is: "scalar", default: 0.7, above: 0, max: 1 } },
  program: ({ x, target, q }) => {
    const { p, nll } = rightClass(x, target);
    const exponent = neg(mul(q, nll)) as Scalar;
    // The quotient of small numbers has the value's digits, the integral the derivative's.
    const loss = differentiateAs(neg(div(expm1(exponent), q)), mul(nll, expm1Ratio(exponent))) as Scalar;
    return { loss, vjp: ([g]) => ({ x: mul(mul(g!, exp(exponent)), sub(p, oneHot(target, 1))) }) };
  },
  domain: { x: { min: -3, max: 3 }, q: { min: 0.2, max: 0.9 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, Math.LN2]], [1], { q: 1 }], gives: 0.3333333333333333 },
    { args: [[[0, 1.0986122886681098]], [0], { q: 0.5 }], gives: 1 },
  ],
});

interface Symmetric extends IgnoreOption {
  /** The weight of cross-entropy; 0.1 by default. Differentiable. */
  readonly alpha?: ScalarLike;
  /** The weight of the reverse cross-entropy; 1 by default. Differentiable. */
  readonly beta?: ScalarLike;
  /** What counts as log 0 in the reverse one, < 0; −4 by default. Differentiable. */
  readonly logZero?: ScalarLike;
}

/**
 * α times cross-entropy and β times the reverse one, of the labels under p, which is −A·(1 − pₜ) where log 0 counts as A. The
 * second, bounded, resists labels that are wrong; the first still fits the rest.
 *
 * @formula L = -\alpha\log p_t-\beta A\,(1-p_t),\qquad p=\mathrm{softmax}(x),\quad A=\log 0:=\text{logZero}
 * @gradient dx = (\alpha-\beta A\,p_t)(p-e_t),\qquad d\alpha=-\log p_t,\qquad d\beta=-A\,(1-p_t),\qquad dA=-\beta\,(1-p_t)
 * @see crossEntropy: α = 1 and β = 0
 * @see softAccuracy: the second term, scaled
 * @example symmetricCe(tensor([[0, 0]]), [1], { alpha: 0, beta: 1, logZero: -4 }) // 2
 */
export const symmetricCe: Loss<Symmetric> = /* @__PURE__ */ rowLoss("symmetricCe", {
  doc: "Cross-entropy and reverse cross-entropy together, for labels of which some are wrong.",
  source: "Wang, Ma, Chen, Luo, Yi & Bailey 2019, eq. 6",
  against: "labels",
  params: {
    alpha: { is: "scalar", default: 0.1 },
    beta: { is: "scalar", default: 1 },
    logZero: { is: "scalar", default: -4, below: 0 },
  },
  program: ({ x, target, alpha, beta, logZero }) => {
    const { p, nll } = rightClass(x, target);
    const loss = sub(mul(alpha, nll), mul(mul(beta, logZero), neg(expm1(neg(nll))))) as Scalar;
    const slope = sub(alpha, mul(mul(beta, logZero), exp(neg(nll))));
    return { loss, vjp: ([g]) => ({ x: mul(mul(g!, slope), sub(p, oneHot(target, 1))) }) };
  },
  domain: {
    x: { min: -3, max: 3 },
    alpha: { min: 0.1, max: 2 },
    beta: { min: 0.1, max: 2 },
    logZero: { min: -6, max: -1 },
  },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], [1], { alpha: 0 }], gives: 2 },
    { args: [[[0, Math.LN2]], [1], { alpha: 1, beta: 0.5, logZero: -3 }], gives: 0.9054651081081644 },
  ],
});

/**
 * ‖x − eₜ‖², the squared distance of the scores themselves from the one-hot label: no softmax, and a function of Σx, Σx² and
 * xₜ alone.
 *
 * @formula L = \|x-e_t\|^2
 * @gradient dx = 2\,(x-e_t)
 * @see brier: the same of probabilities
 * @see logSphericalCe: another loss of the spherical family
 * @example mseOnehot(tensor([[0.5, 1]]), [1]) // 0.25
 */
export const mseOnehot: Loss<IgnoreOption> = /* @__PURE__ */ rowLoss("mseOnehot", {
  doc: "The squared distance of the scores from the one-hot label.",
  source: "Vincent, de Brébisson & Bouthillier 2015, section 2",
  against: "labels",
  program: ({ x, target }) => {
    const d = sub(x, oneHot(target, 1));
    return sum(mul(d, d));
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0.5, 1]], [1]], gives: 0.25 }],
});

interface Squared {
  /** The weight of the penalty, differentiable; 1e-4 by default. */
  readonly coef?: ScalarLike;
}

/**
 * coef·(log Σ eˣ)², to be added to cross-entropy: holds the normaliser near 1, which softmax leaves free. Not
 * shift-invariant: that is its purpose.
 *
 * @formula L = c\,z^2,\qquad z=\log\sum_j e^{x_j}
 * @gradient dx = 2\,c\,z\,p,\quad p=\mathrm{softmax}(x),\qquad dc=z^2
 * @see logsumexp: z itself
 * @see crossEntropy: what it is added to
 * @example logitZPenalty(tensor([[0, 0]]), { coef: 1 }) // 0.4805
 */
export const logitZPenalty: Penalty<Squared> = /* @__PURE__ */ rowLoss("logitZPenalty", {
  doc: "A penalty on the square of the logarithm of the normaliser, against scores that drift.",
  source: "Chowdhery et al. 2022 (PaLM), section 5",
  against: "nothing",
  params: { coef: { is: "scalar", default: 1e-4 } },
  program: ({ x, coef }) => {
    const { lse } = logSumExpCentred(centred(x));
    const normaliser = add(lse, stop(max(x)));
    return mul(coef, mul(normaliser, normaliser)) as Scalar;
  },
  domain: { x: { min: -3, max: 3 }, coef: { min: 0.1, max: 2 } },
  laws: ["nonNegative", "permutationInvariant", "nanRow"],
  examples: [{ args: [[[0, 0]], { coef: 1 }], gives: 0.4804530139182014 }],
});

interface Coefficients extends IgnoreOption {
  /** ε₁ … εₖ of the polynomial: numbers, or a tensor of shape [k], differentiable. One alone is Poly-1. */
  readonly epsilons: readonly number[] | Tensor;
}

/** Options ε₁ … εₖ of the losses below, by name. */
const coefficients = (degree: number): string[] =>
  Array.from({ length: degree }, (_, j) => `epsilon${j + 1}`);

const polynomials: Loss[] = [];
/** The loss of a polynomial of a degree, declared when it is first asked for. */
function polynomialOf(degree: number): Loss {
  polynomials[degree] ??= rowLoss("polyLoss", {
    doc: polyCard.doc,
    against: "labels",
    params: Object.fromEntries(coefficients(degree).map((key) => [key, { is: "scalar" } as const])),
    program: ({ x, target, ...given }) => {
      const { nll } = rightClass(x, target);
      const rest = neg(expm1(neg(nll))) as Scalar;
      const epsilons = coefficients(degree).map((key) => (given as { readonly [key: string]: Scalar })[key]!);
      // Horner's rule; there is no constant term.
      return add(
        nll,
        epsilons.reduceRight<Scalar>((sum, e) => mul(rest, add(e, sum)) as Scalar, constant(0)),
      ) as Scalar;
    },
    examples: [],
  });
  return polynomials[degree]!;
}

const polyCard: Op["info"] = {
  name: "polyLoss",
  kind: "structure",
  doc: "Cross-entropy plus a polynomial in the probability that the right class lacks.",
  source: "Leng, Tan, Liu, Cubuk, Shi, Cheng & Anguelov 2022, eq. 4",
  params: { target: { is: "label" } },
  options: ["epsilons", "axis", "reduction", "ignoreIndex"],
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
  examples: [
    { args: [[[0, 0]], [1], { epsilons: [1] }], gives: 1.1931471805599454 },
    { args: [[[0, 0]], [1], { epsilons: [2, 0.5, -0.1] }], gives: 1.8056471805599452 },
  ],
};

/**
 * −log pₜ + Σ εⱼ(1 − pₜ)ʲ: cross-entropy, a series in 1 − pₜ, with its first coefficients changed.
 *
 * @formula L = -\log p_t+\sum_{j\ge1}\varepsilon_j\,(1-p_t)^j,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = \Bigl(1+p_t\sum_j j\,\varepsilon_j\,(1-p_t)^{j-1}\Bigr)(p-e_t)
 * @see crossEntropy: without coefficients
 * @see focal: another series in 1 − pₜ
 * @example polyLoss(tensor([[0, 0]]), [1], { epsilons: [1] }) // 1.1931
 */
export const polyLoss: Loss<Coefficients> = /* @__PURE__ */ describe(
  (<S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Labels,
    options: Coefficients & LossOptions,
  ): Tensor<Shape, D> => {
    checkOptions("polyLoss", options, polyCard.options!);
    const { epsilons, ...rest } = options ?? {};
    const given =
      epsilons instanceof Tensor && epsilons.rank === 1
        ? Array.from({ length: epsilons.size }, (_, j) => epsilons.slice([j, j + 1]))
        : epsilons;
    if (!Array.isArray(given))
      throw new ArgumentError(
        "polyLoss",
        `epsilons is ${showValue(epsilons)}`,
        "give an array of numbers, or a tensor of shape [k]",
      );
    const named = coefficients(given.length).map((key, j) => [key, given[j]]);
    return polynomialOf(given.length)(x as Tensor<Shape, D>, target, {
      ...rest,
      ...Object.fromEntries(named),
    } as LossOptions);
  }) as never,
  polyCard,
);
