// The entmax family: projections onto the simplex that give exact zeros, from softmax (α = 1) over entmax-1.5 to sparsemax (2).

import {
  add,
  and,
  count,
  differentiateAs,
  div,
  equal,
  greater,
  lessEqual,
  maximum,
  minimum,
  mul,
  mulZero,
  n,
  neg,
  not,
  type Row,
  type RowMask,
  readBack,
  relu,
  type Scalar,
  select,
  sqrt,
  sub,
  sum,
  type Value,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import { exp, expm1Ratio, log, log1p, log1pRatio, posPow, root } from "../../core/words.ts";
import { centred, sparseBreaks } from "./softmax.ts";

export const entmaxLaws: readonly string[] = [
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
];

const sparsemaxLaws: readonly string[] = /* @__PURE__ */ entmaxLaws.concat("idempotentOnSimplex");

/** τ with Σ (z − τ)₊ = 1. */
export function sparsemaxOf(x: Row): { readonly z: Row; readonly p: Row } {
  const z = centred(x); // shift first: τ then has the digits of 1, not those of x
  const tau = root((t) => sub(sum(relu(sub(z, t))), 1), -1, 0, { support: (t) => greater(z, t) });
  return { z, p: relu(sub(z, tau)) };
}

/**
 * Euclidean projection of each row onto the probability simplex: argmin ‖p − x‖². Scores far enough below the largest get
 * exactly 0; one-hot as soon as the gap of the two largest is 1.
 *
 * @formula p = \arg\min_{q\in\Delta}\|q-x\|^2 = (x-\tau)_+,\qquad \tau=\frac{\sum_{i\in S}x_i-1}{|S|}
 * @gradient dx_i = \mathbf 1[i\in S]\Bigl(g_i-\frac1{|S|}\sum_{j\in S}g_j\Bigr)
 * @remarks Of two classes a hard sigmoid: p₁ = (x₁ − x₂ + 1)/2, held within 0 and 1.
 * @remarks No two rows end farther apart than they were (1-Lipschitz).
 * @see entmax: is sparsemax at α = 2
 * @see budgetSparsemax: with another sum
 * @see csparsemax: with bounds above
 * @see fusedmax: with ties among neighbours
 * @see sparsegenLin: with sparsity under control
 * @see sparsemaxLoss: its loss
 * @example sparsemax(tensor([-2, 0, 0.5])) // [0, 0.25, 0.75]
 */
export const sparsemax: RowMap = /* @__PURE__ */ rowMap("sparsemax", {
  doc: "Euclidean projection of each row onto the probability simplex.",
  source: "Martins & Astudillo 2016, eq. 2",
  program: ({ x }) => {
    const { p } = sparsemaxOf(x);
    // On the support the cotangent less its mean there; what lies outside does not move.
    const support = greater(p, 0) as RowMask;
    return {
      result: p,
      vjp: ([g]) => ({ x: select(support, sub(g!, div(sum(select(support, g!, 0)), count(support))), 0) }),
    };
  },
  entropy: (p) => mul(0.5, sub(1, sum(mul(p, p)))),
  domain: { x: { min: -1, max: 1 } },
  laws: sparsemaxLaws,
  breaks: { strictlyMonotone: [[0, 1, 9]], scaleInvariant: [[0, 0.5]] },
  examples: [{ args: [[-2, 0, 0.5]], gives: [0, 0.25, 0.75] }],
});

/** p = s² with s = (z/2 − τ)₊. */
export function entmax15Of(x: Row): { readonly z: Row; readonly s: Row; readonly p: Row } {
  const z = centred(x);
  const half = mul(0.5, z);
  const f = (t: Scalar): Scalar => {
    const s = relu(sub(half, t));
    return sub(sum(mul(s, s)), 1);
  };
  // √Σs² is nearly straight in τ where Σs² is not: Newton needs fewer passes.
  const tau = root(f, -1, 0, { straight: (v) => sub(sqrt(add(v, 1)), 1), support: (t) => greater(half, t) });
  const s = relu(sub(half, tau));
  return { z, s, p: mul(s, s) };
}

/**
 * The α-entmax map at α = 1.5, between softmax and sparsemax: smooth on its support, exact zeros outside. One-hot when the
 * gap of the two largest scores is 2.
 *
 * @formula p_i = \bigl(\tfrac{x_i}2-\tau\bigr)_+^2,\qquad \sum_i p_i=1
 * @gradient dx = s\Bigl(g-\frac{\langle s,g\rangle}{\sum_j s_j}\Bigr),\qquad s=\sqrt p
 * @errata An Entmax15 layer of a widely read guide computes sparsemax: (−2, 0, 0.5) gives (0, 0.25, 0.75) where its own
 *   docstring says (0, 0.3260, 0.6740), and (1, 0.5, 0.2, −0.5) gives (0.75, 0.25, 0, 0) in place of (0.5926, 0.2702,
 *   0.1368, 0.0004). The formula in its comment, max(0, (2/3·(z − τ))^(1/0.5))², should be max(0, z/2 − τ)².
 * @errata It is said to cost O(n), and any other α O(n log n). By sorting, α = 1.5 costs O(n log n) at worst; another α
 *   costs O(n) for each step of the search of its threshold.
 * @errata A published selection of the threshold by sorting compares strictly on both sides. At an exact boundary it selects
 *   nothing: (2, 0) and (2, 0, −1) fail, where (1, 0) and (1, 0, 0) are right. Without shifting the scores first it gives
 *   (0.6845, 0.3333, 0.1072) for (1e8, 1e8 − 0.5, 1e8 − 1), which sums to 1.125; right is (0.6242, 0.2917, 0.0841).
 * @see entmax: is entmax15 at α = 1.5
 * @see entmax15Loss: its loss
 * @example entmax15(tensor([-2, 0, 0.5])) // [0, 0.3260, 0.6740]
 */
export const entmax15: RowMap = /* @__PURE__ */ rowMap("entmax15", {
  doc: "The distribution of largest Tsallis entropy of order 1.5 for given expected scores.",
  source: "Peters, Niculae & Martins 2019, Algorithm 2",
  program: ({ x }) => {
    const { s, p } = entmax15Of(x);
    return { result: p, vjp: ([g]) => ({ x: mul(s, sub(g!, div(sum(mul(g!, s)), sum(s)))) }) };
  },
  entropy: (p) => div(sub(1, sum(posPow(p, 1.5))), 0.75),
  domain: { x: { min: -1, max: 1 } },
  laws: entmaxLaws,
  breaks: sparseBreaks,
  examples: [{ args: [[-2, 0, 0.5]], gives: [0, 0.3260073636615619, 0.6739926363384381] }],
});

/** p^(2−α) = p/(1 + v), and 0 outside, where 1 + v ≤ 0. */
const tilted = (p: Row, v: Row): Row => div(p, maximum(add(1, v), 1e-30)) as Row;

/**
 * α-entmax as a q-exponential, which holds at and near α = 1: p = (1 + εu)₊^(1/ε) with ε = α − 1, u = z − λ, and λ such that
 * p sums to one. Below α = 1 its tails are heavy: there a masked score is not on the far side of any threshold.
 */
export function entmaxOf(
  x: Row,
  alpha: Scalar,
  heavy = false,
): {
  readonly z: Row;
  readonly lambda: Scalar;
  readonly u: Row;
  readonly v: Row;
  readonly logP: Row;
  readonly inside: RowMask;
  readonly p: Row;
  readonly eps: Scalar;
} {
  const z = centred(x);
  const eps = sub(alpha, 1) as Scalar;
  const inverse = div(1, eps);
  const flat = equal(eps, 0);
  const parts = (l: Scalar) => {
    const u = sub(z, l);
    const v = mul(eps, maximum(u, -1e30)) as Row; // at ε = 0 a masked score has u = −∞
    // Put so that NaN counts as inside, and comes out.
    const above = not(lessEqual(v, -1)) as RowMask;
    const inside = heavy ? (and(above, not(equal(u, Number.NEGATIVE_INFINITY))) as RowMask) : above;
    // log p = log1p(εu)/ε, and its limit u at ε = 0, without dividing by ε.
    const logP = mul(u, log1pRatio(v)) as Row;
    // The same for p in fewer steps: εu ≤ 0 for ε ≥ 0, and log p ≤ 0, which spares logarithm and exponential some cases.
    const short = select(flat, u, mul(log1p(heavy ? v : minimum(v, 0)), inverse)) as Row;
    const q = differentiateAs(exp(minimum(short, 0)), exp(logP)) as Row;
    return { u, v, inside, logP, p: select(inside, q, 0) as Row };
  };
  const logN = log(n);
  // For α ≤ 2 this is a power sum of order 1/ε ≥ 1, and its root of that order is straighter; beyond, it is left alone.
  const order = minimum(eps, 1);
  const lambda = root(
    (l) => sub(sum(parts(l).p), 1),
    0,
    mul(logN, expm1Ratio(neg(mul(eps, logN)))) as Scalar,
    {
      straight: (f) => mul(log1p(f), expm1Ratio(mul(order, log1p(f)))) as Scalar,
      support: (l) => parts(l).inside,
      // dp/dλ = −p/(1 + v): one division where the derived slope has a second ratio.
      slope: (l) => {
        const { p, v } = parts(l);
        return neg(sum(tilted(p, v)));
      },
    },
  );
  const { p, ...rest } = parts(lambda);
  return { z, lambda, eps, ...rest, p: readBack(p) };
}

/** α-entmax with its gradients in the scores and in α; `heavy` as in `entmaxOf`. */
export function entmaxWithGradient(
  x: Row,
  alpha: Scalar,
  heavy = false,
): { readonly p: Row; readonly vjp: (g: Value) => { readonly x: Value; readonly alpha: Scalar } } {
  const { u, v, inside, p } = entmaxOf(x, alpha, heavy);
  const s = tilted(p, v);
  // u² alone would overflow in the tail.
  const a = select(inside, mulZero(p, mul(u, mul(u, log1pRatio(v, 1)))), 0) as Row;
  return {
    p,
    vjp: (g) => {
      const mean = div(sum(mul(g, s)), sum(s));
      return { x: mul(s, sub(g, mean)), alpha: sub(mul(sum(a), mean), sum(mul(g, a))) as Scalar };
    },
  };
}

interface Alpha {
  /** The order α ≥ 1, a number or a tensor (one value, or one per row), differentiable; 1.5 by default. */
  readonly alpha?: ScalarLike;
}

/**
 * The distribution of largest Tsallis entropy of order α for given expected scores: softmax at α = 1, entmax15 at 1.5,
 * sparsemax at 2, ever sparser beyond. Differentiable in the scores and in α.
 *
 * @formula p_i = \bigl((\alpha-1)\,x_i-\tau\bigr)_+^{1/(\alpha-1)},\qquad \sum_i p_i=1
 * @gradient dx &= s\Bigl(g-\frac{\langle s,g\rangle}{\sum_j s_j}\Bigr),\quad s_i=\mathbf 1[i\in S]\,p_i^{2-\alpha}\\ d\alpha
 *   &= \frac{\langle s,g\rangle}{\sum_j s_j}\sum_j a_j-\langle a,g\rangle,\quad a_i=p_i\,u_i^2\,\varphi(v_i),\quad
 *   \varphi(v)=\frac1{v^2}\Bigl(\log(1+v)-\frac v{1+v}\Bigr)
 * @remarks Computed for every α as p = (1 + v)^(1/(α − 1)) with v = (α − 1)·u and u = x − max x − λ, which keeps all digits
 *   at and near α = 1, where the usual τ loses as many as α − 1 has zeros.
 * @remarks At α = 1 the map is softmax, and dα = −½ Σᵢ gᵢpᵢ(log²pᵢ − Σⱼ pⱼ log²pⱼ).
 * @remarks To learn α, write it as 1 + σ(θ). For α > 2 gradients grow without bound as a probability nears 0 from within the
 *   support.
 * @errata A blend of softmax and sparsemax, offered as an approximation, is none: for α = 1.5 on (−2, 0, 0.5) it gives
 *   (0.0243, 0.3046, 0.6711), without a zero, where entmax gives (0, 0.3260, 0.6740); its derivative by α is (−0.0486,
 *   −0.1092, 0.1578) in place of (0, −0.1239, 0.1239). Clipping α to [1, 2], as the same layer does, ends its gradient once
 *   it has left.
 * @see softmax: α = 1
 * @see entmax15: α = 1.5
 * @see sparsemax: α = 2
 * @see hardmax: the limit α → ∞ where the maximum is unique
 * @see temperedSoftmax: the same family on both sides of 1
 * @see entmaxLoss: its loss
 * @example entmax(tensor([-2, 0, 0.5]), { alpha: 1.25 }) // [0.0053, 0.3521, 0.6426]
 */
export const entmax: RowMap<Alpha> = /* @__PURE__ */ rowMap("entmax", {
  doc: "The distribution of largest Tsallis entropy of order α for given expected scores.",
  source:
    "Peters, Niculae & Martins 2019, eq. 10; gradient in α: Correia, Niculae & Martins 2019, Proposition 1",
  params: { alpha: { is: "scalar", default: 1.5, min: 1 } },
  program: ({ x, alpha }) => {
    const { p, vjp } = entmaxWithGradient(x, alpha);
    return { result: p, vjp: ([g]) => vjp(g!) };
  },
  // Tsallis: −Σ p·(p^ε − 1)/(ε·α), with (p^ε − 1)/ε = log p·expm1Ratio(ε·log p).
  entropy: (p, { alpha }) => {
    const logP = log(p);
    const tilted = mul(logP, expm1Ratio(mulZero(sub(alpha, 1), logP)));
    return neg(div(sum(select(greater(p, 0), mulZero(p, tilted), 0)), alpha)) as Scalar;
  },
  domain: { x: { min: -1, max: 1 }, alpha: { min: 1.1, max: 1.9 } },
  laws: entmaxLaws,
  breaks: sparseBreaks,
  examples: [
    {
      args: [[-2, 0, 0.5], { alpha: 1.25 }],
      gives: [0.005339417846436348, 0.35210978596847237, 0.6425507961850911],
    },
    { args: [[-2, 0, 0.5], { alpha: 2 }], gives: [0, 0.25, 0.75] },
    { args: [[0, Math.LN2], { alpha: 1 }], gives: [0.3333333333333333, 0.6666666666666666] },
  ],
});
