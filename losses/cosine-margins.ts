// Losses of cosines between features and class rows, with a margin on the angle or the cosine of the right class: NormFace,
// CosFace, ArcFace, SphereFace and their kin. Margins whose size is found in training are `adaptive-margins.ts`; margins on given
// scores are `margins.ts`.

import { DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import {
  abs,
  add,
  div,
  floor,
  greater,
  greaterEqual,
  less,
  mul,
  neg,
  oneHot,
  pick,
  type Row,
  type Scalar,
  select,
  sqrt,
  sub,
} from "../core/row/expr.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { linearShape, type Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { cos, sin } from "../core/words.ts";
import { max } from "../ops/reduce.ts";
import {
  type CenterHead,
  cosines,
  type Features,
  type Head,
  head,
  type MarginOption,
  patched,
  type ScaleOption,
} from "./heads.ts";

/**
 * The smallest scale s at which a cosine softmax can give a probability to the right class, reached where features lie on their
 * class row and all others are as far away as they can be. Below it even perfect features keep being pushed.
 *
 * Throws DomainError for fewer than two classes, and for a probability outside (1/C, 1). Source: Wang et al. 2017, proposition 2;
 * Wang et al. 2018 (CosFace), eq. 6.
 * @example scaleBound(1000, 0.9) // 9.09: a scale of 4 is too small for 1000 classes
 */
export function scaleBound(classes: number, probability = 0.9): number {
  if (!(Number.isInteger(classes) && classes >= 2))
    throw new DomainError(
      "scaleBound",
      `classes is ${showValue(classes)}`,
      "give a number of classes from 2",
    );
  if (!(probability > 1 / classes && probability < 1))
    throw new DomainError(
      "scaleBound",
      `probability is ${showValue(probability)}`,
      `give a number between 1/${classes} and 1`,
    );
  return ((classes - 1) / classes) * Math.log(((classes - 1) * probability) / (1 - probability));
}

// ---------------------------------------------------------------------------------------------------------------
// Angles

/** cos(θ + m) of c = cos θ, without θ. At c = ±1, where the cosine has no slope in any direction, sin θ counts as constant. */
export function rotated(c: Scalar, m: Scalar): Scalar {
  const squared = mul(sub(1, c), add(1, c));
  const sine = select(greater(squared, 0), sqrt(squared), 0);
  return sub(mul(c, cos(m)), mul(sine, sin(m))) as Scalar;
}

/** cos(θ + m) of c = cos θ where θ ≤ π − m; beyond it c − m sin m, which falls on to where θ = π. */
export const turned = (c: Scalar, m: Scalar): Scalar =>
  select(greaterEqual(c, neg(cos(m))), rotated(c, m), sub(c, mul(m, sin(m)))) as Scalar;

// Numerator and denominator of (arcsin √z − √z) / z√z up to z = ¼, by rising powers of z (fdlibm).
const over: readonly number[] = [
  0.16666666666666666, -0.3255658186224009, 0.20121253213486293, -0.04005553450067941, 7.915349942898145e-4,
  3.479331075960212e-5,
];
const under: readonly number[] = [
  1, -2.403394911734414, 2.0209457602335057, -0.6882839716054533, 0.07703815055590194,
];

/** The angle of a cosine, to the last digit, with derivative 0 at ±1 as in `sine`. Cosines beyond ±1 count as ±1. */
function arccos(c: Scalar): Scalar {
  const wide = less(abs(c), 0.5);
  // Near ±1 half the angle is known from its sine.
  const z = select(wide, mul(c, c), mul(0.5, sub(1, abs(c)))) as Scalar;
  const r = select(wide, c, select(greater(z, 0), sqrt(z), 0)) as Scalar;
  const series = (k: readonly number[]): Scalar =>
    k.reduceRight<Scalar | number>((sum, a) => add(mul(sum, z), a) as Scalar, 0) as Scalar;
  const asin = add(r, mul(mul(r, z), div(series(over), series(under))));
  const double = mul(2, asin);
  return select(wide, sub(Math.PI / 2, asin), select(greater(c, 0), double, sub(Math.PI, double))) as Scalar;
}

/** cos φ as long as φ ≤ π, and beyond it what goes on falling: (−1)ᵏ cos φ − 2k, k = ⌊φ/π⌋. */
function falling(phi: Scalar): Scalar {
  const k = floor(div(phi, Math.PI));
  const odd = sub(k, mul(2, floor(mul(0.5, k))));
  return sub(mul(sub(1, mul(2, odd)), cos(phi)), mul(2, k)) as Scalar;
}

// ---------------------------------------------------------------------------------------------------------------
// Margins that are added

const scale = (usual: number): { readonly is: "scalar"; readonly default: number } => ({
  is: "scalar",
  default: usual,
});
const margin = (
  usual: number,
): { readonly is: "scalar"; readonly default: number; readonly min: number } => ({
  is: "scalar",
  default: usual,
  min: 0,
});

/** Two features beside three class rows, for examples. */
const sample: readonly [x: number[][], weight: number[][]] = [
  [
    [2, 0],
    [0, 3],
  ],
  [
    [3, 4],
    [4, -3],
    [0, 1],
  ],
];

/**
 * Cross-entropy of cosines: what has to be right is the direction of the features, and their length says nothing. The logits
 * are s·cos of the angle to each class row. A margin asks for more than the largest cosine.
 *
 * Learn the scale, or choose one above `scaleBound`. Rows without a direction (‖x‖ ≤ 1e-12) have cosine 0 to all, and gradient 0.
 *
 * @formula z_j = s\,c_j,\quad c_j=\frac{\langle x,W_j\rangle}{\lVert x\rVert\,\lVert W_j\rVert},\qquad L=-\log\mathrm{softmax}(z)_t
 * @gradient dx = \sum_j s\,dz_j\,\frac{\hat w_j-c_j\hat x}{\lVert x\rVert},\quad dW_j=s\,dz_j\,\frac{\hat x-c_j\hat w_j}{\lVert
 *   W_j\rVert},\quad ds=\langle dz,c\rangle,\qquad dz=\mathrm{softmax}(z)-e_t
 * @see cosface: the right cosine lowered by a margin
 * @see arcface: the right angle widened by a margin
 * @see scaleBound: how large the scale has to be
 * @example cosineSoftmax(tensor([[2, 0]]), tensor([[3, 4], [4, -3]]), [1], { scale: 10 })
 */
export const cosineSoftmax: Head<{ readonly scale: ScalarLike }> = /* @__PURE__ */ head("cosineSoftmax", {
  doc: "Cross-entropy of the cosines between features and class rows.",
  source: "Wang, Xiang, Cheng & Yuille 2017 (NormFace), eq. 6",
  params: { scale: { is: "scalar" } },
  logits: ({ x, scale }) => mul(x, scale) as Row,
  domain: { scale: { min: 1, max: 4 } },
  examples: [{ args: [...sample, { i32: [1, 0] }, { scale: 1 }], gives: 0.8611663546472044 }],
});

/**
 * Cross-entropy of cosines of which the right one is lowered by m: it has to lead by m. Also known as AM-Softmax, and as the
 * large margin cosine loss.
 *
 * @formula z_t=s\,(c_t-m),\quad z_j=s\,c_j
 * @gradient dc = s\,dz,\qquad dm=-s\,dz_t,\qquad dz=\mathrm{softmax}(z)-e_t
 * @errata The margin is what the loss asks for, no guarantee: for cosines (.5, .45, −.2), s = 20 and m = .3 the loss is 5.0067, and
 *   it tends to 0 only as the lead goes to ∞.
 * @see arcface: on the angle
 * @see smSoftmaxLoss: the same margin on any scores
 * @example cosface(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { scale: 30, margin: 0.35 })
 */
export const cosface: Head<MarginOption> = /* @__PURE__ */ head("cosface", {
  doc: "Cross-entropy of cosines of which the right one has to lead by a margin.",
  source: "Wang et al. 2018 (CosFace), eq. 4; Wang, Cheng, Liu & Liu 2018 (AM-Softmax)",
  params: { scale: scale(64), margin: margin(0.35) },
  logits: ({ x, target, scale, margin }) => mul(sub(x, oneHot(target, margin)), scale) as Row,
  domain: { scale: { min: 1, max: 4 }, margin: { min: 0.1, max: 0.6 } },
  examples: [{ args: [...sample, { i32: [1, 0] }, { scale: 1, margin: 0.1 }], gives: 0.9200738536046086 }],
});

interface ArcOptions extends MarginOption {
  /** Whether the margin is left out where the right cosine is not positive; false by default. */
  readonly easyMargin?: boolean;
}

/** ArcFace's logits of cosines. */
const arc = ({
  x,
  target,
  scale,
  margin,
  easyMargin,
}: {
  readonly x: Row;
  readonly target: Scalar;
  readonly scale: Scalar;
  readonly margin: Scalar;
  readonly easyMargin: boolean;
}): Row => {
  const own = pick(x, target);
  const moved = easyMargin ? select(greater(own, 0), rotated(own, margin), own) : turned(own, margin);
  return mul(patched(x, target, moved as Scalar), scale) as Row;
};

const arcParams: {
  readonly scale: ReturnType<typeof scale>;
  readonly margin: ReturnType<typeof margin>;
  readonly easyMargin: {
    readonly is: "static";
    readonly default: boolean;
    readonly check: (v: unknown) => string | undefined;
  };
} = {
  scale: scale(64),
  margin: margin(0.5),
  easyMargin: {
    is: "static",
    default: false,
    check: (v) => (typeof v === "boolean" ? undefined : "give true or false"),
  },
};

/**
 * Cross-entropy of cosines in which the angle to the right class counts as m radians wider: features have to come nearer by a
 * fixed arc. Where θ + m would pass π the cosine is lowered by m·sin m instead, so that the logit still falls.
 *
 * @formula z_t=\begin{cases}s\cos(\theta_t+m)&\theta_t\le\pi-m\\s\,(c_t-m\sin m)&\text{else}\end{cases},\quad z_j=s\,c_j
 * @gradient dc_t=s\,dz_t\,\Bigl(\cos m+\frac{c_t\sin m}{\sin\theta_t}\Bigr)\ \text{or}\ s\,dz_t,\qquad dc_j=s\,dz_j
 * @remarks At θ = π − m the logit steps down from −s to −s(cos m + m sin m): monotone, though not continuous.
 * @remarks No angle is computed: cos(θ + m) = c·cos m − sin θ·sin m.
 * @errata Many implementations clamp cosines to ±(1 − 1e-7) before an arccos: a row that points exactly against its class row
 *   then has no gradient from the margin and stays there, and in f32, where 1 − 1e-7 is 0.99999988, no angle is below 4.9e-4.
 *   Nothing has to be clamped: the slope 1/sin θ meets a direction of length sin θ.
 * @see combinedMargin: without the step
 * @see subcenterArcface: for noisy labels
 * @see magface: a margin that grows with the length of the features
 * @example arcface(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { scale: 64, margin: 0.5 })
 * @example sparsemaxLoss(arcface.logits(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { scale: 8 }), [1])
 */
export const arcface: Head<ArcOptions> = /* @__PURE__ */ head("arcface", {
  doc: "Cross-entropy of cosines in which the angle to the right class counts as wider by a margin.",
  source: "Deng, Guo, Xue & Zafeiriou 2019 (ArcFace), eq. 3; beyond π as in insightface",
  params: arcParams,
  logits: arc,
  domain: { scale: { min: 1, max: 4 }, margin: { min: 0.1, max: 0.6 } },
  examples: [{ args: [...sample, { i32: [1, 0] }, { scale: 1, margin: 0.5 }], gives: 1.1012990928438855 }],
});

interface CombinedOptions extends ScaleOption {
  /** The factor of the angle, from 0; 1 by default. */
  readonly m1?: ScalarLike;
  /** Radians that are added to the angle, from 0; 0.5 by default. */
  readonly m2?: ScalarLike;
  /** What is taken off the cosine, from 0; 0 by default. */
  readonly m3?: ScalarLike;
  /** How the logit goes on beyond an angle of π: falling ("monotone", the default), or as the cosine does ("none", the paper). */
  readonly extension?: "monotone" | "none";
}

/**
 * Cross-entropy of cosines with all three margins at once: a factor of the angle (SphereFace), an arc that is added to it
 * (ArcFace) and what is taken off the cosine (CosFace).
 *
 * @formula z_t=s\,\bigl(\psi(m_1\theta_t+m_2)-m_3\bigr),\quad z_j=s\,c_j,\qquad\psi(\varphi)=(-1)^k\cos\varphi-2k,\quad k=\lfloor\varphi/\pi\rfloor
 * @gradient dc_t = s\,dz_t\,(-1)^k\,m_1\frac{\sin\varphi}{\sin\theta_t},\qquad dc_j=s\,dz_j
 * @see arcface: m₁ = 1, m₃ = 0, with another way beyond π
 * @see cosface: m₁ = 1, m₂ = 0
 * @see sphereface: m₂ = m₃ = 0
 * @example combinedMargin(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { scale: 64, m1: 1, m2: 0.3, m3: 0.2 })
 */
export const combinedMargin: Head<CombinedOptions> = /* @__PURE__ */ head("combinedMargin", {
  doc: "Cross-entropy of cosines with margins on the angle, as a factor and as an arc, and on the cosine.",
  source: "Deng, Guo, Xue & Zafeiriou 2019 (ArcFace), eq. 4",
  params: {
    scale: scale(64),
    m1: margin(1),
    m2: margin(0.5),
    m3: margin(0),
    extension: {
      is: "static",
      default: "monotone" as string,
      check: (v) => (v === "monotone" || v === "none" ? undefined : 'give "monotone" or "none"'),
    },
  },
  logits: ({ x, target, scale, m1, m2, m3, extension }) => {
    const phi = add(mul(m1, arccos(pick(x, target))), m2) as Scalar;
    const wide = extension === "none" ? cos(phi) : falling(phi);
    return mul(patched(x, target, sub(wide, m3) as Scalar), scale) as Row;
  },
  domain: {
    scale: { min: 1, max: 4 },
    m1: { min: 1, max: 3 },
    m2: { min: 0, max: 0.5 },
    m3: { min: 0, max: 0.5 },
  },
  examples: [{ args: [...sample, { i32: [1, 0] }, { scale: 1, m1: 2, m2: 0 }], gives: 1.1929457164129516 }],
});

// ---------------------------------------------------------------------------------------------------------------
// Margins that multiply the angle

interface FactorOptions {
  /** The factor m ≥ 1 of the right angle, an integer; 4 by default. */
  readonly m?: ScalarLike;
  /** How much of the plain cosine is mixed in, from 0 (the default): (λ·cos θ + ψ(θ))/(1 + λ). */
  readonly lambda?: ScalarLike;
}

const factor: {
  readonly m: {
    readonly is: "scalar";
    readonly default: number;
    readonly min: number;
    readonly integer: true;
  };
  readonly lambda: ReturnType<typeof margin>;
} = { m: { is: "scalar", default: 4, min: 1, integer: true }, lambda: margin(0) };

/** Cosines with ψ(θ) in the place of the right one, mixed with it. */
const multiplied = (x: Row, target: Scalar, m: Scalar, lambda: Scalar): Row => {
  const own = pick(x, target);
  const psi = falling(mul(m, arccos(own)) as Scalar);
  return patched(x, target, div(add(mul(lambda, own), psi), add(1, lambda)) as Scalar);
};

/**
 * Cross-entropy of x·ŵ in which the angle to the right class counts m times: A-Softmax. Features keep their length, class rows
 * do not. A large m is hard to begin with: the paper starts with almost the plain cosine, λ = max(5, 1500/(1 + 0.1·step)).
 *
 * @formula z_t=\lVert x\rVert\frac{\lambda c_t+\psi(\theta_t)}{1+\lambda},\quad z_j=\lVert x\rVert\,c_j,\qquad
 *   \psi(\theta)=(-1)^k\cos m\theta-2k,\quad k=\lfloor m\theta/\pi\rfloor
 * @gradient dc_t=\lVert x\rVert\,dz_t\,\frac{\lambda+(-1)^k m\sin m\theta_t/\sin\theta_t}{1+\lambda},\qquad
 *   d\lVert x\rVert=\sum_j dz_j\,\frac{z_j}{\lVert x\rVert}
 * @see lSoftmax: with class rows of any length
 * @see combinedMargin: the same ψ of features of length 1
 * @see arcface: easier to train
 * @example sphereface(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { m: 4, lambda: 5 })
 */
export const sphereface: Head<FactorOptions> = /* @__PURE__ */ head("sphereface", {
  doc: "Cross-entropy in which the angle to the right class counts several times, with class rows of length 1.",
  source: "Liu et al. 2017 (SphereFace), eq. 7",
  params: factor,
  reads: ["length"],
  logits: ({ x, target, m, lambda, length }) => mul(multiplied(x, target, m, lambda), length) as Row,
  domain: { lambda: { min: 0, max: 2 } },
  examples: [{ args: [...sample, { i32: [1, 0] }, { m: 2 }], gives: 1.7599931490162586 }],
});

/**
 * Cross-entropy of the scores x·Wⱼ of a linear layer in which the angle to the right class counts m times: L-Softmax. At m = 1 it is
 * the cross-entropy of that layer. For λ see `sphereface`.
 *
 * @formula z_t=\lVert W_t\rVert\lVert x\rVert\frac{\lambda c_t+\psi(\theta_t)}{1+\lambda},\quad z_j=\langle W_j,x\rangle,\qquad
 *   \psi(\theta)=(-1)^k\cos m\theta-2k,\quad k=\lfloor m\theta/\pi\rfloor
 * @gradient dc_t=\lVert W_t\rVert\lVert x\rVert\,dz_t\,\frac{\lambda+(-1)^k m\sin m\theta_t/\sin\theta_t}{1+\lambda},\qquad
 *   d\lVert x\rVert=\sum_j dz_j\frac{z_j}{\lVert x\rVert},\quad d\lVert W_j\rVert=dz_j\frac{z_j}{\lVert W_j\rVert}
 * @see sphereface: with class rows of length 1
 * @example lSoftmax(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { m: 2 })
 */
export const lSoftmax: Head<FactorOptions> = /* @__PURE__ */ head("lSoftmax", {
  doc: "Cross-entropy of a linear layer in which the angle to the right class counts several times.",
  source: "Liu, Wen, Yu & Yang 2016, eq. 5-7",
  params: factor,
  reads: ["length", "classLengths"],
  logits: ({ x, target, m, lambda, length, classLengths }) =>
    mul(mul(multiplied(x, target, m, lambda), classLengths), length) as Row,
  domain: { lambda: { min: 0, max: 2 } },
  examples: [{ args: [...sample, { i32: [1, 0] }, { m: 2 }], gives: 1.752808030553716 }],
});

// ---------------------------------------------------------------------------------------------------------------
// Several rows for a class

/**
 * ArcFace with K centres for each class, of which the nearest counts: wrong labels and odd samples gather around centres of
 * their own. The class rows have shape [C, K, d]; the gradient goes to the first of the nearest centres.
 *
 * @formula c_j=\max_k\langle\hat x,\hat w_{j,k}\rangle,\quad\text{then as arcface}
 * @gradient dw_{j,k}\ \text{only for the first}\ k\ \text{of the largest cosine}
 * @see arcface: K = 1
 * @example subcenterArcface(tensor([[1, 2]]), tensor([[[1, 0], [1, 1]], [[0, 1], [-1, 1]]]), [1], { scale: 64, margin: 0.5 })
 */
export const subcenterArcface: CenterHead<ArcOptions> = /* @__PURE__ */ head("subcenterArcface", {
  doc: "ArcFace with several centres for each class, of which the nearest counts.",
  source: "Deng, Guo, Liu, Gong & Zafeiriou 2020 (sub-center ArcFace)",
  params: arcParams,
  sizes: (name, x, weight) => {
    const { shape } = weight;
    if (shape.length !== 3 || shape[1] === 0)
      throw new ShapeError(name, `weight of shape ${showShape(shape)} holds no centres`, "give [C, K, d]");
    return linearShape(name, x.shape, [shape[0]!, shape[2]!]);
  },
  similarities: (x, weight) => {
    const [classes, centers, width] = weight.shape as [number, number, number];
    const all = cosines(x, reshape(weight as Tensor<Shape, "f64">, [classes * centers, width]) as Features);
    return max(
      reshape(all as Tensor<Shape, "f64">, [...(x.shape.slice(0, -1) as number[]), classes, centers]),
      { axis: -1 } as never,
    ) as Features;
  },
  logits: arc,
  domain: { scale: { min: 1, max: 4 }, margin: { min: 0.1, max: 0.6 } },
  examples: [
    {
      args: [
        sample[0],
        [
          [
            [3, 4],
            [4, -3],
          ],
          [
            [0, 1],
            [0, -1],
          ],
        ],
        { i32: [0, 1] },
        { scale: 1 },
      ],
      gives: 0.5811825331704723,
    },
  ],
});
