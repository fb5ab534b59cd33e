// Perturb-max: how often each class has the largest score once independent noise is added. The expectations of `sampled.ts`,
// by quadrature in the row language; nothing is sampled here.

import {
  abs,
  add,
  constant,
  count,
  differentiateAs,
  div,
  equal,
  floor,
  greater,
  less,
  lessEqual,
  max,
  maximum,
  minimum,
  mul,
  mulZero,
  n,
  neg,
  type Row,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import {
  exp,
  expm1,
  expm1Ratio,
  integrate,
  kth,
  log,
  log1p,
  logNormalCdf,
  series,
  sigmoid,
  softplus,
} from "../../core/words.ts";
import { smoothBreaks, smoothLaws } from "./softmax.ts";

/** Scores less the largest, in units of the noise, as a function of all scores and the scale. */
type Scores = (of: "constant" | "moving") => Row;

/**
 * For a threshold t above the scores z by u: p = ∫ f(u)/F(u) · ΠF dt, with the product over all classes as the exponential
 * of Σ log F, so that nothing is divided by what underflows.
 */
const term = (logRatio: Row, logF: Row): Row => exp(add(logRatio, sum(logF))) as Row;

function normal(z: Row): Row {
  return integrate(
    (t) => {
      const u = sub(t, z) as Row;
      const logF = logNormalCdf(u);
      const logDensity = sub(mul(-0.5, mul(u, u)), 0.5 * Math.log(2 * Math.PI));
      return term(sub(logDensity, logF) as Row, logF);
    },
    -9,
    9,
    145,
  );
}

function logistic(z: Row): Row {
  return integrate(
    (t) => {
      const u = sub(t, z) as Row;
      return mul(exp(neg(sum(softplus(neg(u))))), sigmoid(neg(u))) as Row;
    },
    -37,
    39,
    229,
  );
}

/**
 * ∫₀^∞ f(w) dw for an f that falls like e^−w, from any value at 0 on: with 1 − e^−w = 1 − e^(−eˢ) a tail that is
 * exponential on the one side and doubly so on the other.
 */
function overPositive(f: (w: Scalar) => Row): Row {
  return integrate(
    (s) => {
      const v = exp(s);
      // w = −log(1 − e^−v), each half with its digits
      const w = neg(
        select(less(v, 1), log(neg(expm1(neg(v)))), log1p(neg(exp(neg(maximum(v, 1)))))),
      ) as Scalar;
      return mul(div(1, expm1Ratio(v)), f(w)) as Row;
    },
    -37,
    3.5,
    163,
  );
}

function exponential(z: Row): Row {
  return overPositive((w) => {
    const u = sub(w, z) as Row;
    const logF = log(neg(expm1(neg(u))));
    return term(neg(add(u, logF)) as Row, logF);
  });
}

/** An entry of a row which moves with all that are equal to it: ends of neighbouring panels then move alike. */
function moving(row: Row, v: Scalar): Scalar {
  const here = equal(row, v);
  return differentiateAs(v, div(sum(select(here, row, 0)), count(here))) as Scalar;
}

/** Nodes in (0, 1) and weights of Gauss & Legendre. */
function gaussLegendre(size: number): { readonly at: number; readonly weight: number }[] {
  return Array.from({ length: size }, (_, i) => {
    let x = Math.cos((Math.PI * (i + 0.75)) / (size + 0.5));
    let slope = 1;
    for (let turn = 0; turn < 8; turn++) {
      let [before, p] = [1, x];
      for (let k = 2; k <= size; k++) [before, p] = [p, ((2 * k - 1) * x * p - (k - 1) * before) / k];
      slope = (size * (x * p - before)) / (x * x - 1);
      x -= p / slope;
    }
    return { at: (1 + x) / 2, weight: 1 / ((1 - x * x) * slope * slope) };
  });
}

/** The entry of a table at a computed position. */
const lookUp = (table: readonly number[], k: Scalar): Scalar =>
  table.reduceRight<Scalar>((rest, v, i) => select(equal(k, i), v, rest) as Scalar, constant(0));

/**
 * ∫ f dt below 0 for an f that is smooth between neighbouring scores, and falls downwards below the k-th largest like e^(kt) or
 * faster: panels from score to score, each no longer than counts, in pieces. `panels` says how many there are.
 */
function betweenScores(z: Row, panels: Scalar, lowest: number, f: (t: Scalar) => Row): Row {
  const rule = gaussLegendre(nodes);
  const finite = count(greater(z, Number.NEGATIVE_INFINITY));
  return series(panels, (k) => {
    const rank = add(k, 1) as Scalar;
    const from = moving(z, kth(z, rank));
    const next = select(
      less(rank, finite),
      moving(z, kth(z, add(rank, 1) as Scalar)),
      Number.NEGATIVE_INFINITY,
    );
    const to = maximum(maximum(next, sub(from, div(reach, rank))), lowest);
    const width = sub(from, to) as Scalar;
    const pieces = maximum(neg(floor(neg(mul(width, div(rank, piece))))), 1) as Scalar;
    const step = div(width, pieces) as Scalar;
    // Equal scores have nothing between them.
    const evaluations = select(greater(width, 0), mul(nodes, pieces), 0) as Scalar;
    const inner = series(evaluations, (q) => {
      const nth = floor(div(q, nodes)) as Scalar;
      const node = sub(q, mul(nodes, nth)) as Scalar;
      const at = add(
        nth,
        lookUp(
          rule.map(({ at }) => at),
          node,
        ),
      );
      return mul(
        lookUp(
          rule.map(({ weight }) => weight),
          node,
        ),
        f(add(to, mul(step, at)) as Scalar),
      ) as Row;
    });
    return mul(step, inner) as Row;
  });
}

/**
 * How far below its score the k-th panel reaches, in units of 1/k: e^−30 is nothing. The length of its pieces in the same units,
 * and the nodes of each: 10 digits where a thousand scores lie just below, 14 elsewhere.
 */
const [reach, piece, nodes] = [30, 2, 8] as const;

function laplace(z: Row): Row {
  const f = (t: Scalar): Row => {
    const u = sub(t, z) as Row;
    const below = sub(u, Math.LN2);
    const tail = exp(neg(abs(u)));
    const logF = select(greater(u, 0), log1p(mul(-0.5, tail)), below) as Row;
    return term(sub(sub(neg(abs(u)), Math.LN2), logF) as Row, logF);
  };
  // Below the k-th largest score the other factors are less than 2⁻ᵏ.
  const panels = minimum(count(greater(z, Number.NEGATIVE_INFINITY)), 44) as Scalar;
  return add(overPositive(f), betweenScores(z, panels, Number.NEGATIVE_INFINITY, f)) as Row;
}

/** ∫ f(t, log F) dt for uniform noise and the threshold t + ½: F = 1 + t − z below z, and 1 above. Below −1 ΠF is 0. */
const overUniform = (z: Row, f: (t: Scalar, logF: Row) => Row): Row =>
  betweenScores(z, count(greater(z, -1)), -1, (t) => f(t, log1p(minimum(sub(t, z), 0)) as Row));

const uniform = (z: Row): Row =>
  overUniform(z, (t, logF) => select(less(t, z), term(neg(logF) as Row, logF), 0) as Row);

/**
 * The density jumps at the score, which moves an end of the integral: among equal scores no derived gradient knows which.
 * Hence the weights between pairs: dz_j = Σᵢ w_ij(g_j − gᵢ), w_ij = ∫ fᵢ f_j Π F of the others.
 */
const uniformGradient = (z: Row, g: Row): Row =>
  overUniform(z, (t, logF) => {
    const below = less(t, z);
    const h = select(below, exp(neg(logF)), 0) as Row;
    const pairs = select(below, mul(h, sub(mul(g, sum(h)), sum(mul(g, h)))), 0);
    return mul(exp(sum(logF)), pairs) as Row;
  });

const noises: { readonly [Noise in NoiseName]: (z: Scores) => Row } = {
  gumbel: (z) => {
    const e = exp(z("constant")) as Row;
    return div(e, sum(e));
  },
  normal: (z) => normal(z("constant")),
  logistic: (z) => logistic(z("constant")),
  // Where the density has corners they move with the scores.
  exponential: (z) => exponential(z("moving")),
  laplace: (z) => laplace(z("moving")),
  uniform: (z) => uniform(z("moving")),
};

/** A distribution of noise: standard, except for `uniform`, which is that on (−½, ½). */
export type NoiseName = "gumbel" | "normal" | "uniform" | "logistic" | "laplace" | "exponential";

interface Perturbation {
  /** What is added to each score, independently; "gumbel", which gives softmax, by default. */
  readonly noise?: NoiseName;
  /** The factor of the noise, above 0, a number or a tensor (one value, or one per row), differentiable; 1 by default. */
  readonly scale?: ScalarLike;
}

/**
 * The probability that a class has the largest score once independent noise is added to all: p = P[argmax(x + s·ε) = i], by
 * quadrature to about 12 digits. Gumbel noise gives softmax, bounded noise exact zeros. Differentiable in the scores and
 * the scale. Costs some hundred times a softmax; uniform noise more, as the square of how many scores lie within s of the largest.
 *
 * @formula p_i = P\bigl[i=\arg\max_j\,(x_j+s\,\epsilon_j)\bigr]=\int f(u-z_i)\prod_{j\ne i}F(u-z_j)\,du,\qquad z=\frac xs
 * @gradient dx_j = \frac1s\sum_i w_{ij}\,(g_j-g_i),\qquad w_{ij}=\int f(u-z_i)\,f(u-z_j)\!\!\prod_{k\ne
 *   i,j}\!\!F(u-z_k)\,du,\qquad ds=-\frac1s\sum_j(x_j-\max x)\,dx_j
 * @remarks f and F are the density and the distribution function of the noise: standard, for `uniform` on (−½, ½).
 * @remarks Of two classes at the distance d = (x₁ − x₂)/s ≥ 0, p₁ is Φ(d/√2) for normal noise, eᵈ(eᵈ − 1 − d)/(eᵈ − 1)² for
 *   logistic, 1 − e⁻ᵈ(2 + d)/4 for Laplace, 1 − e⁻ᵈ/2 for exponential, and 1 − (1 − d)²/2 for uniform noise (1 from d = 1
 *   on).
 * @errata That equal probabilities mean equal scores is said of all noise. It needs noise without an upper bound: uniform
 *   noise turns (2, 0, −1) into (1, 0, 0), a tie of different scores.
 * @see softmax: Gumbel noise
 * @see hardmax: the limit s → 0 where the maximum is unique
 * @see sampledArgmax: one draw, with Gumbel noise
 * @example perturbMax(tensor([0, 1]), { noise: "normal" }) // [0.2398, 0.7602]
 */
export const perturbMax: RowMap<Perturbation> = /* @__PURE__ */ rowMap("perturbMax", {
  doc: "The probability that a class has the largest score once independent noise is added.",
  source: "Hazan & Jaakkola 2012; Berthet et al. 2020, section 2",
  params: {
    noise: {
      is: "static",
      default: "gumbel",
      check: (v) =>
        typeof v === "string" && Object.hasOwn(noises, v)
          ? undefined
          : `the noises are ${Object.keys(noises).join(", ")}`,
    },
    scale: { is: "scalar", default: 1, above: 0 },
  },
  program: ({ x, noise, scale }) => {
    const m = max(x);
    const still = stop(m);
    const z: Scores = (of) => div(sub(x, of === "moving" ? moving(x, m) : still), scale) as Row;
    // A single class is 1 to the last digit, or NaN.
    // 0, or NaN for the rows that have no distribution: counting panels would hide it.
    const p = add(select(lessEqual(n, 1), 1, noises[noise as NoiseName](z)), sub(still, still)) as Row;
    if ((noise as NoiseName) !== "uniform") return p;
    return {
      result: p,
      vjp: ([g]) => {
        const dz = uniformGradient(z("moving"), g as Row);
        const ds = neg(div(sum(mulZero(dz, z("moving"))), scale));
        return { x: div(dz, scale), scale: ds };
      },
    };
  },
  domain: { x: { min: -2, max: 2 }, scale: { min: 0.5, max: 2 } },
  laws: smoothLaws,
  breaks: smoothBreaks,
  examples: [
    { args: [[0, Math.LN2]], gives: [0.3333333333333333, 0.6666666666666666] },
    { args: [[0, Math.LN2], { scale: 0.5 }], gives: [0.2, 0.8] },
    { args: [[0, 1], { noise: "normal" }], gives: [0.23975006109347669, 0.7602499389065233] },
    { args: [[0, 1], { noise: "logistic" }], gives: [0.3386968873384659, 0.6613031126615341] },
    { args: [[0, 1], { noise: "laplace" }], gives: [0.27590958087858175, 0.7240904191214182] },
    { args: [[0, 1], { noise: "exponential" }], gives: [0.18393972058572117, 0.8160602794142788] },
    { args: [[0, 0.5, -2], { noise: "uniform" }], gives: [0.125, 0.875, 0] },
  ],
});
