// Normalisers made for attention and for output layers: softmax with a sink, at a temperature of its own, after a learned
// transform of the scores; rectified softmax; sigmoids. Not the attention itself, and not what is made of several distributions.

import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, DomainError, showShape, showValue } from "../../core/errors.ts";
import { type Breaks, checkFloat, checkOptions, describe } from "../../core/op.ts";
import {
  abs,
  add,
  and,
  constant,
  constantOf,
  count,
  div,
  equal,
  greater,
  less,
  lessEqual,
  max,
  maximum,
  mul,
  mulZero,
  neg,
  not,
  type Row,
  type RowMask,
  relu,
  type Scalar,
  select,
  sign,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import { type AxisOption, type RowMap, rowMap, type ScalarLike, scores } from "../../core/rowop.ts";
import type { Shape } from "../../core/shape.ts";
import { Tensor } from "../../core/tensor.ts";
import { slice } from "../../core/views.ts";
import { exp, expm1, log, posPow, sigmoid } from "../../core/words.ts";
import { add as addTensors } from "../elementwise.ts";
import { entmaxLaws, entmaxWithGradient } from "./entmax.ts";
import { sigmoids, undefinedRow, unshiftedBreaks } from "./normalisers.ts";
import { centred, logSumExpCentred, smoothBreaks, smoothLaws, softmax, sparseBreaks } from "./softmax.ts";

/** Entries that are not masked (−∞). */
const present = (x: Row): RowMask => not(equal(x, Number.NEGATIVE_INFINITY)) as RowMask;

/** p ∘ (g − ⟨g, p⟩): the gradient of softmax. */
const softmaxGradient = (p: Row, g: Row): Row => mul(p, sub(g, sum(mul(g, p)))) as Row;

// ---------------------------------------------------------------------------------------------------------------
// The number of scores

/** The option `n`; 0, which nobody can give, stands for counting. */
const length = /* @__PURE__ */ Object.freeze({ is: "scalar", default: 0, min: 1 } as const);

interface Length {
  /** The number of scores that log n is taken of, at least 1; those of the row that are not −∞ by default. */
  readonly n?: ScalarLike;
}

/** log n. */
const logOf = (x: Row, n: Scalar): Scalar =>
  log(constantOf(n) === 0 ? maximum(count(present(x)), 1) : n) as Scalar;

/** c·z for scores z, whatever c is: what is masked stays masked. */
const times = (c: Scalar, z: Row): Row => select(present(z), mul(c, z), Number.NEGATIVE_INFINITY) as Row;

interface Scaled extends Length {
  /** The factor s of log n; 1 by default. */
  readonly s?: ScalarLike;
  /** Added to s·log n; 0 by default. */
  readonly b?: ScalarLike;
}

/**
 * Softmax that does not fade as rows get longer: softmax((s·log n + b)·x), with s and b learned.
 *
 * @formula p = \mathrm{softmax}(c\,x),\qquad c=s\log n+b
 * @gradient dx = c\,d,\qquad ds=\kappa\log n,\qquad db=\kappa=\langle d,\,x-\max x\rangle,\qquad d=p\,\bigl(g-\langle
 *   g,p\rangle\bigr)
 * @see softmax: s = 0 and b = 1
 * @see asentmax: with entmax and a power of log n
 * @example ssmax(tensor([0, 1]), { s: 1 }) // [0.3333, 0.6667]
 */
export const ssmax: RowMap<Scaled> = /* @__PURE__ */ rowMap("ssmax", {
  doc: "Softmax whose inverse temperature grows with the logarithm of the number of scores.",
  source: "Nakanishi 2025, eq. 3",
  params: { s: { is: "scalar", default: 1 }, b: { is: "scalar", default: 0 }, n: length },
  program: ({ x, s, b, n }) => {
    const logN = logOf(x, n);
    const c = add(mul(s, logN), b) as Scalar;
    const z = centred(x);
    const e = exp(centred(times(c, z))) as Row;
    const p = div(e, sum(e));
    return {
      result: p,
      vjp: ([g]) => {
        const d = softmaxGradient(p, g as Row);
        const slope = sum(mulZero(d, z));
        return { x: mul(c, d), s: mul(slope, logN), b: slope };
      },
    };
  },
  domain: {
    x: { min: -3, max: 3 },
    s: { min: 0.3, max: 1.5 },
    b: { min: -0.1, max: 0.5 },
    n: { min: 2, max: 20 },
  },
  laws: smoothLaws,
  breaks: smoothBreaks,
  examples: [
    { args: [[0, 1]], gives: [0.3333333333333333, 0.6666666666666666] },
    { args: [[0, 1], { s: 0.5, n: 4 }], gives: [0.3333333333333333, 0.6666666666666666] },
  ],
});

interface Adaptive extends Length {
  /** The order α ≥ 1 of entmax; 1.5 by default. */
  readonly alpha?: ScalarLike;
  /** The factor β of (log n)ᵞ; 1 by default. */
  readonly beta?: ScalarLike;
  /** The exponent γ of log n; 1 by default. */
  readonly gamma?: ScalarLike;
  /** The inverse temperature δ where β is 0; 1 by default. */
  readonly delta?: ScalarLike;
}

const scaledEntmax: RowMap<Adaptive> = /* @__PURE__ */ rowMap("asentmax", {
  doc: "Entmax whose inverse temperature grows with a power of the logarithm of the number of scores.",
  source: "Vasylenko, Pitorro, Martins & Treviso 2025, section 3",
  params: {
    alpha: { is: "scalar", default: 1.5, min: 1 },
    beta: { is: "scalar", default: 1 },
    gamma: { is: "scalar", default: 1 },
    delta: { is: "scalar", default: 1 },
    n: length,
  },
  program: ({ x, alpha, beta, gamma, delta, n }) => {
    const z = centred(x);
    const logN = logOf(x, n);
    const power = posPow(logN, gamma) as Scalar;
    const unknown = and(and(lessEqual(logN, 0), lessEqual(gamma, 0)), greater(count(present(x)), 1));
    const c = select(unknown, Number.NaN, add(delta, mul(beta, power))) as Scalar;
    const { p, vjp } = entmaxWithGradient(times(c, z), alpha);
    return {
      result: p,
      vjp: ([g]) => {
        const d = vjp(g!);
        const slope = sum(mulZero(d.x, z));
        const bySlope = mul(slope, power);
        return {
          x: mul(c, d.x),
          alpha: d.alpha,
          beta: bySlope,
          gamma: mulZero(mul(bySlope, beta), log(logN)),
          delta: slope,
        };
      },
    };
  },
  domain: {
    x: { min: -1, max: 1 },
    alpha: { min: 1.1, max: 1.9 },
    beta: { min: 0.1, max: 0.5 },
    gamma: { min: 0.5, max: 1.5 },
    delta: { min: 0.8, max: 1.2 },
    n: { min: 2, max: 20 },
  },
  laws: entmaxLaws,
  breaks: sparseBreaks,
  examples: [
    { args: [[-2, 0, 0.5], { beta: 0 }], gives: [0, 0.3260073636615619, 0.6739926363384381] },
    { args: [[-2, 0, 0.25], { alpha: 2, n: Math.E }], gives: [0, 0.25, 0.75] },
  ],
});

/** Refuses at the call what has no value however the scores are. */
const refusing = (op: RowMap<Adaptive>): RowMap<Adaptive> =>
  describe(
    ((x: Tensor, options?: Adaptive & AxisOption): Tensor => {
      const several = x instanceof Tensor && x.shape.at(options?.axis ?? -1) !== 1;
      if (options?.n === 1 && typeof options.gamma === "number" && options.gamma <= 0 && several)
        throw new DomainError("asentmax", `n is 1 and gamma ${options.gamma}`, "(log 1)^γ needs gamma > 0");
      return op(x as Tensor<[number], FloatDType>, options);
    }) as never,
    op.info,
  );

/**
 * α-entmax that does not fade as rows get longer: entmax((δ + β·(log n)ᵞ)·x), differentiable in α, β, γ and δ. A row of one
 * score is 1; n = 1 beside several scores and γ ≤ 0 is refused, or where it is computed gives NaN.
 *
 * @formula p = \mathrm{entmax}_\alpha(c\,x),\qquad c=\delta+\beta\,(\log n)^\gamma
 * @gradient dx &= c\,d,\quad d\ \text{ and } d\alpha\ \text{ those of entmax at } c\,x,\qquad \kappa=\langle d,\,x-\max
 *   x\rangle\\ d\delta &= \kappa,\qquad d\beta=\kappa\,(\log n)^\gamma,\qquad d\gamma=\kappa\,\beta\,(\log n)^\gamma\log\log
 *   n
 * @remarks In the paper β is the softplus of a linear function of the query, γ a multiple of the tanh of another, and δ is
 *   fixed: compute them outside. Its code counts positions from one more, so that log n is at least log 2.
 * @see entmax: β = 0 and δ = 1
 * @see ssmax: α = 1 and γ = 1
 * @example asentmax(tensor([-2, 0, 0.5]), { alpha: 1.5, beta: 0.3 })
 */
export const asentmax: RowMap<Adaptive> = /* @__PURE__ */ refusing(scaledEntmax);

/**
 * A sigmoid of every score less log n: attention weights that do not compete. They sum to about 1 where scores are about 0.
 *
 * @formula p_i = \sigma(x_i-\log n)
 * @gradient dx = g\,p\,(1-p)
 * @see normalizedSigmoid: divided by the sum
 * @see sigmoid: n = 1
 * @example sigmoidAttention(tensor([0, 1, -1, 2]))
 */
export const sigmoidAttention: RowMap<Length> = /* @__PURE__ */ rowMap("sigmoidAttention", {
  doc: "Attention weights without competition: sigmoids of the scores less the logarithm of their number.",
  source: "Ramapuram et al. 2024, eq. 3",
  params: { n: length },
  program: ({ x, n }) => {
    const y = sub(x, logOf(x, n));
    const p = sigmoid(y);
    return {
      result: add(p, undefinedRow(x)) as Row,
      // σ(−y) keeps its digits where 1 − σ(y) has none left.
      vjp: ([g]) => ({ x: mul(g!, mul(p, sigmoid(neg(y)))) }),
    };
  },
  domain: { x: { min: -3, max: 3 }, n: { min: 2, max: 20 } },
  laws: [
    "nonNegative",
    "monotone",
    "strictlyMonotone",
    "permutationEquivariant",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: {
    sumsToOne: [[0]],
    shiftInvariant: [[0]],
    scaleInvariant: [[1]],
    idempotentOnSimplex: [[1]],
    exactZeros: [[0, -30]],
  },
  examples: [
    { args: [[0, Math.LN2]], gives: [0.3333333333333333, 0.5] },
    { args: [[0, Math.LN2], { n: 1 }], gives: [0.5, 0.6666666666666666] },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// Rows that may stay silent

/** eˣ/(eˢ + Σeˣ), shifted by the largest of all. */
function sinkSoftmax(x: Row, s: Scalar): { readonly p: Row; readonly sink: Scalar } {
  const m = stop(maximum(max(x), s)) as Scalar;
  const e = exp(sub(x, m)) as Row;
  const own = exp(sub(s, m)) as Scalar;
  const total = add(sum(e), own) as Scalar;
  return { p: div(e, total) as Row, sink: div(own, total) as Scalar };
}

const sinkLaws: readonly string[] = [
  "sumsToAtMostOne",
  "nonNegative",
  "monotone",
  "strictlyMonotone",
  "permutationEquivariant",
  "jacobianSymmetric",
  "positiveSemidefinite",
  "nanRow",
  "emptyRow",
  "masked",
];

const sinkBreaks: Breaks = {
  sumsToOne: [[0]],
  shiftInvariant: [[0]],
  scaleInvariant: [[1]],
  idempotentOnSimplex: [[1]],
  exactZeros: [[0, -30]],
};

/**
 * Softmax beside a score of 0 that is not given out: eˣ/(1 + Σeˣ), so that a row may attend to nothing. A row that is −∞
 * throughout is 0.
 *
 * @formula p_i = \frac{e^{x_i}}{1+\sum_j e^{x_j}}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)
 * @see softmaxSink: with a score in place of 0
 * @see softmax: its limit for large scores
 * @example softmaxOne(tensor([0, 0])) // [0.3333, 0.3333]
 */
export const softmaxOne: RowMap = /* @__PURE__ */ rowMap("softmaxOne", {
  doc: "Softmax with a one in the denominator, so that a row may attend to nothing.",
  source: "Miller 2023, Attention is off by one",
  program: ({ x }) => {
    const { p } = sinkSoftmax(x, constant(0));
    return { result: p, vjp: ([g]) => ({ x: softmaxGradient(p, g as Row) }) };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: sinkLaws,
  breaks: sinkBreaks,
  examples: [
    { args: [[0, 0]], gives: [0.3333333333333333, 0.3333333333333333] },
    { args: [[0, 1.0986122886681098]], gives: [0.2, 0.6] },
  ],
});

interface Sink {
  /** The score of the sink, differentiable; 0 by default. −∞ is softmax. */
  readonly sink?: ScalarLike;
}

/**
 * Softmax beside a learned score that is not given out: eˣ/(eˢ + Σeˣ). A row that is −∞ throughout is 0.
 *
 * @formula p_i = \frac{e^{x_i}}{e^s+\sum_j e^{x_j}}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr),\qquad ds=-\Bigl(1-\sum_i p_i\Bigr)\langle g,p\rangle
 * @see softmaxOne: s = 0
 * @see softmax: the limit s → −∞
 * @example softmaxSink(tensor([0, 0]), { sink: Math.log(2) }) // [0.25, 0.25]
 */
export const softmaxSink: RowMap<Sink> = /* @__PURE__ */ rowMap("softmaxSink", {
  doc: "Softmax beside a learned score that takes what the row does not attend to.",
  source: "Xiao et al. 2023; as a learned bias of the denominator: OpenAI gpt-oss 2025",
  params: { sink: { is: "scalar", default: 0 } },
  program: ({ x, sink }) => {
    const { p, sink: own } = sinkSoftmax(x, sink);
    return {
      result: p,
      vjp: ([g]) => ({ x: softmaxGradient(p, g as Row), sink: neg(mul(own, sum(mul(g!, p)))) }),
    };
  },
  domain: { x: { min: -3, max: 3 }, sink: { min: -2, max: 3 } },
  laws: sinkLaws,
  breaks: sinkBreaks,
  examples: [
    { args: [[0, 0], { sink: Math.LN2 }], gives: [0.25, 0.25] },
    { args: [[0, 1.0986122886681098]], gives: [0.2, 0.6] },
  ],
});

interface Eps {
  /** Added to the denominator, ≥ 0; 1e-8 by default. */
  readonly eps?: ScalarLike;
}

/**
 * Rectified softmax: (eˣ − 1)₊/(Σ|eˣ − 1| + ε). Exactly 0 for scores up to 0, so that rows may stay silent, while these
 * still get gradients. Masked scores (−∞) are left out of the denominator.
 *
 * @formula p_i = \frac{(e^{x_i}-1)_+}D,\qquad D=\sum_j|e^{x_j}-1|+\varepsilon
 * @gradient dx_i = \frac{e^{x_i}}D\bigl(\mathbf 1[x_i>0]\,g_i-\mathrm{sign}(x_i)\langle g,p\rangle\bigr),\qquad
 *   d\varepsilon=-\frac{\langle g,p\rangle}D
 * @remarks The published kernel shifts by the maximum also where it is negative, and does not scale ε with the shift; here
 *   the definition holds exactly.
 * @see softmax: its limit for large scores
 * @example softpick(tensor([Math.log(2), Math.log(0.5)])) // [0.6667, 0]
 */
export const softpick: RowMap<Eps> = /* @__PURE__ */ rowMap("softpick", {
  doc: "Rectified softmax: exact zeros for scores up to 0, which still get gradients.",
  source: "Zuhri, Fuadi & Aji 2025, eq. 4",
  params: { eps: { is: "scalar", default: 1e-8, min: 0 } },
  program: ({ x, eps }) => {
    const m = stop(maximum(max(x), 0));
    const one = exp(neg(m));
    const e = exp(sub(x, m));
    const raised = select(less(abs(x), 1), mul(one, expm1(x)), sub(e, one));
    const a = add(raised, undefinedRow(x)) as Row;
    const size = sum(select(present(x), abs(a), 0));
    const total = add(size, mul(eps, one)) as Scalar;
    const p = select(lessEqual(a, 0), 0, div(a, total)) as Row;
    return {
      result: p,
      vjp: ([g]) => {
        const mean = sum(mul(g!, p));
        const away = sub(select(greater(x, 0), g!, 0), mul(sign(x), mean));
        return { x: mulZero(away, div(e, total)), eps: neg(mul(mean, div(one, total))) };
      },
    };
  },
  domain: { x: { min: -3, max: 3, avoid: [0] }, eps: { min: 0.1, max: 1 } },
  laws: [
    "nonNegative",
    "sumsToAtMostOne",
    "monotone",
    "permutationEquivariant",
    "exactZeros",
    "nanRow",
    "infiniteRow",
    "masked",
  ],
  breaks: {
    sumsToOne: [[-1]],
    shiftInvariant: [[1, 2]],
    strictlyMonotone: [[-2, -1]],
    scaleInvariant: [[1, 2]],
    idempotentOnSimplex: [[0.25, 0.75]],
  },
  examples: [
    { args: [[Math.LN2, -2], { eps: 0 }], gives: [0.536289441747877, 0] },
    { args: [[Math.LN2, -2], { eps: 0.5 }], gives: [0.4228929340006987, 0] },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// Softmax of transformed scores

/**
 * Probabilities in proportion to eˣ·σ(x): softmax whose logarithm is not linear in the scores, so that an output layer of few
 * dimensions can express more distributions.
 *
 * @formula p_i = \frac{e^{x_i}\,\sigma(x_i)}{\sum_j e^{x_j}\,\sigma(x_j)}
 * @gradient dx = p\,\bigl(g-\langle g,p\rangle\bigr)\bigl(1+\sigma(-x)\bigr)
 * @see softmax: of x − log(1 + e⁻ˣ); its limit for large scores
 * @example sigsoftmax(tensor([0, 0.6931])) // [0.2727, 0.7273]
 */
export const sigsoftmax: RowMap = /* @__PURE__ */ rowMap("sigsoftmax", {
  doc: "Probabilities in proportion to the exponential times the sigmoid of the scores.",
  source: "Kanai et al. 2018, eq. 15",
  program: ({ x }) => {
    const sigma = sigmoids(x);
    const w = mul(exp(centred(x)), sigma);
    const p = div(w, sum(w)) as Row;
    return {
      result: p,
      vjp: ([g]) => ({ x: mul(softmaxGradient(p, g as Row), sub(2, sigma)) }),
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "monotone",
    "strictlyMonotone",
    "permutationEquivariant",
    "nanRow",
    "infiniteRow",
    "masked",
    "oneClassIsOne",
  ],
  breaks: unshiftedBreaks,
  examples: [{ args: [[0, Math.LN2]], gives: [0.2727272727272727, 0.7272727272727273] }],
});

/** The inverse temperature as a polynomial of the entropy, highest power first. */
const temperatureOfEntropy: readonly number[] = [-0.037, 0.481, -2.3, 4.917, -1.791];

/**
 * Softmax that sharpens itself: softmax(β·x) with β ≥ 1 a fitted polynomial of the entropy of softmax(x), 1 up to an entropy
 * of 0.5 nats. Gradients pass through β.
 *
 * @formula p = \mathrm{softmax}(\beta x),\qquad \beta=\max\bigl(1,\,-0.037H^4+0.481H^3-2.3H^2+4.917H-1.791\bigr)\ \text{ if
 *   } H>0.5,\ \text{ else } 1
 * @formula H = -\langle p^0,\log p^0\rangle,\qquad p^0=\mathrm{softmax}(x)
 * @gradient dx = \beta\,d-\beta'(H)\,\langle d,\,x-\max x\rangle\;p^0\,(\log p^0+H),\qquad d=p\,\bigl(g-\langle
 *   g,p\rangle\bigr)
 * @remarks The second term is there only where β > 1.
 * @remarks The entropy is exact; the original adds 1e-9 to the probabilities before their logarithm.
 * @see softmax: where the entropy is at most 0.5
 * @example adaptiveTemperatureSoftmax(tensor([0, 1, 2, 3]))
 */
export const adaptiveTemperatureSoftmax: RowMap = /* @__PURE__ */ rowMap("adaptiveTemperatureSoftmax", {
  doc: "Softmax at a temperature that its own entropy chooses.",
  source: "Veličković et al. 2024, Algorithm 1",
  program: ({ x }) => {
    const z = centred(x);
    const { e, total, lse } = logSumExpCentred(z);
    const p0 = div(e, total) as Row;
    const entropy = sub(lse, sum(mulZero(p0, z))) as Scalar;
    // Horner's rule, for the value and the derivative.
    let [f, slope] = [constant(0), constant(0)];
    for (const c of temperatureOfEntropy) {
      slope = add(mul(slope, entropy), f);
      f = add(mul(f, entropy), c);
    }
    const active = and(greater(entropy, 0.5), greater(f, 1));
    const beta = select(active, f, 1) as Scalar;
    const q = exp(mul(beta, z)) as Row;
    const p = div(q, sum(q)) as Row;
    return {
      result: p,
      vjp: ([g]) => {
        const d = softmaxGradient(p, g as Row);
        const ofEntropy = select(active, mul(slope, sum(mulZero(d, z))), 0);
        return { x: sub(mul(beta, d), mul(ofEntropy, mulZero(p0, add(sub(z, lse), entropy)))) };
      },
    };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "monotone",
    "strictlyMonotone",
    "permutationEquivariant",
    "nanRow",
    "infiniteRow",
    "masked",
    "oneClassIsOne",
  ],
  breaks: smoothBreaks,
  examples: [
    { args: [[0, 0]], gives: [0.5, 0.5] },
    { args: [[0, 3]], gives: [0.04742587317756678, 0.9525741268224334] },
  ],
});

/**
 * Scores times their softmax: x∘softmax(x), which keeps gradients alive where softmax saturates. No distribution: entries
 * may be negative. A masked entry (−∞) is 0.
 *
 * @formula y = x\,p,\qquad p=\mathrm{softmax}(x)
 * @gradient dx = g\,p+p\,\bigl(gx-\langle gx,p\rangle\bigr)
 * @see softmax: without the factor
 * @example saSoftmax(tensor([0, 0.6931])) // [0, 0.4621]
 */
export const saSoftmax: RowMap = /* @__PURE__ */ rowMap("saSoftmax", {
  doc: "Scores times their softmax, against vanishing gradients.",
  source: "Zheng et al. 2025, section 4.1",
  program: ({ x }) => {
    const e = exp(centred(x));
    const p = div(e, sum(e)) as Row;
    const y = mulZero(p, x) as Row;
    return { result: y, vjp: ([g]) => ({ x: mulZero(p, sub(mul(g!, add(1, x)), sum(mul(g!, y)))) }) };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["permutationEquivariant", "nanRow", "infiniteRow", "masked"],
  breaks: {
    sumsToOne: [[0]],
    nonNegative: [[-1, 0]],
    shiftInvariant: [[0, 1]],
    monotone: [[-1, -9]],
    strictlyMonotone: [[-1, -9]],
    scaleInvariant: [[1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[1, -30]],
  },
  examples: [{ args: [[0, Math.LN2]], gives: [0, 0.46209812037329684] }],
});

/** t·(low − x)₊ᵏ + u·(x − high)₊ᵏ, 0 for what is masked. */
const bend = /* @__PURE__ */ rowMap("multimaxBend", {
  doc: "What multimax adds to the scores below one bound and above another.",
  source: "Zhou, Fritz & Keuper 2024, eq. 8",
  params: {
    low: { is: "scalar" },
    high: { is: "scalar" },
    t: { is: "scalar" },
    u: { is: "scalar" },
    power: { is: "static", default: 1, check: () => undefined },
  },
  program: ({ x, low, high, t, u, power }) => {
    const [below, above] = [relu(sub(low, x)), relu(sub(x, high))];
    const term = (t: Scalar, q: Row) => mul(t, power === 1 ? q : mul(q, q));
    return select(present(x), add(term(t, below), term(u, above)), 0) as Row;
  },
  laws: [],
  examples: [],
});

/** Four numbers, or a tensor of four. */
type Four = readonly [number, number, number, number] | Tensor;

interface Segments {
  /** Where the transform bends: r₀ … r₃. */
  readonly ranges: Four;
  /** The weights of its four terms: t₀ … t₃. */
  readonly ts: Four;
}

/**
 * Softmax of σ(x) = x + t₀(r₀ − x)₊ + t₁(x − r₁)₊ + t₂(r₂ − x)₊² + t₃(x − r₃)₊²: the temperature of each range of scores is
 * learned. `ranges` and `ts` are four numbers each or tensors of shape [4], shared by all rows, differentiable. Monotone as
 * long as σ is.
 *
 * @formula p = \mathrm{softmax}\bigl(x+t_0q_0+t_1q_1+t_2q_2^2+t_3q_3^2\bigr),\qquad q_0=(r_0-x)_+,\ q_1=(x-r_1)_+,\
 *   q_2=(r_2-x)_+,\ q_3=(x-r_3)_+
 * @gradient dx &= d\,\bigl(1-t_0\mathbf 1[q_0>0]+t_1\mathbf 1[q_1>0]-2t_2q_2+2t_3q_3\bigr),\qquad d=p\,\bigl(g-\langle
 *   g,p\rangle\bigr)\\ dt &= \bigl(\langle d,q_0\rangle,\langle d,q_1\rangle,\langle d,q_2^2\rangle,\langle
 *   d,q_3^2\rangle\bigr)\\ dr &= \bigl(t_0\langle d,\mathbf 1[q_0>0]\rangle,\,-t_1\langle d,\mathbf
 *   1[q_1>0]\rangle,\,2t_2\langle d,q_2\rangle,\,-2t_3\langle d,q_3\rangle\bigr)
 * @see softmax: where all weights are 0
 * @example multimax(tensor([0, 1, 2]), { ranges: [0, 1, 0, 1], ts: [0, 0.5, 0, 0] })
 */
export const multimax: RowMap<Segments> = /* @__PURE__ */ describe(
  ((x: Tensor<Shape, FloatDType>, options: Segments & AxisOption): Tensor => {
    checkOptions("multimax", options, ["ranges", "ts", "axis"]);
    const axis = { axis: scores("multimax", x, options?.axis) };
    checkFloat("multimax", x);
    const [r, t] = [four("ranges", options?.ranges), four("ts", options?.ts)];
    const run = bend as unknown as (x: Tensor, options: object) => typeof x;
    const straight = run(x, { low: r[0], high: r[1], t: t[0], u: t[1], ...axis });
    const squared = run(x, { low: r[2], high: r[3], t: t[2], u: t[3], power: 2, ...axis });
    return softmax(addTensors(addTensors(x, straight as typeof x), squared as typeof x) as typeof x, axis);
  }) as never,
  {
    name: "multimax",
    kind: "structure",
    doc: "Softmax after a learned piecewise transform of the scores: sharp for some ranges, flat for others.",
    source: "Zhou, Fritz & Keuper 2024, eq. 8",
    laws: [
      "sumsToOne",
      "nonNegative",
      "monotone",
      "strictlyMonotone",
      "permutationEquivariant",
      "nanRow",
      "infiniteRow",
      "masked",
      "oneClassIsOne",
    ],
    breaks: unshiftedBreaks,
    examples: [
      {
        args: [{ f64: [0, Math.LN2] }, { ranges: [0, 0, 0, 0], ts: [0, 1, 0, 0] }],
        gives: [0.2, 0.8],
      },
      {
        args: [{ f64: [0, Math.LN2] }, { ranges: { f64: [-1, 0, -1, 2] }, ts: { f64: [0.5, 1, -0.3, 0.2] } }],
        gives: [0.2, 0.8],
      },
    ],
  },
);

/** Four scalar arguments. */
function four(key: string, given: unknown): readonly (number | Tensor)[] {
  if (given instanceof Tensor && given.rank === 1 && given.size === 4)
    return [0, 1, 2, 3].map((i) => slice(given as Tensor<Shape, FloatDType>, [i, i + 1]) as Tensor);
  if (Array.isArray(given) && given.length === 4) return given;
  throw new ArgumentError(
    "multimax",
    `${key} is ${given instanceof Tensor ? `of shape ${showShape(given.shape)}` : showValue(given)}`,
    "give four numbers, or a tensor of shape [4]",
  );
}
