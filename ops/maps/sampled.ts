// Samples from categorical distributions by noise that is added to the scores, hard and relaxed. The noise is an argument, or is
// drawn from a key: the ops are pure. The expectations over the noise are in `perturb.ts`.

import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, ShapeError, showShape } from "../../core/errors.ts";
import { type Breaks, checkFloat, checkOptions, describeAs, type Op } from "../../core/op.ts";
import { gumbel, type Key } from "../../core/random.ts";
import { add, differentiateAs, type Row } from "../../core/row/expr.ts";
import { type AxisOption, type RowMap, rowMap, type ScalarLike, scores } from "../../core/rowop.ts";
import { type Checked, type HasRows, type Shape, sameShape } from "../../core/shape.ts";
import { checkTensor, type Tensor } from "../../core/tensor.ts";
import { centred, hardmaxOf, temperedSoftmaxOf } from "./softmax.ts";

/** Where the noise comes from: one of these. */
interface Noise {
  /** Numbers to add to the scores, of their shape. */
  readonly noise?: Tensor;
  /** Draws standard Gumbel noise. Using a key twice gives the same noise twice: `splitKey` it. */
  readonly key?: Key;
  /** Stands for the key `randomKey(seed)`. */
  readonly seed?: number;
}

/** A map of rows of scores and noise. */
type Sampled<O extends object = object> = (<S extends Shape, D extends FloatDType>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  options: O & Noise & AxisOption,
) => Tensor<S, D>) &
  Op;

/** The op that draws the noise itself where it is not given. */
function drawing<O extends object>(op: Op, own: readonly string[], derivativesOf?: Op): Sampled<O> {
  const { name } = op.info;
  const run = op as RowMap<Noise>;
  const fn = (x: Tensor<Shape, FloatDType>, options: Noise & AxisOption): Tensor => {
    checkOptions(name, options, ["noise", "key", "seed", "axis", ...own]);
    const { key, seed, ...rest } = options ?? {};
    const given = [rest.noise, key, seed].filter((v) => v !== undefined).length;
    if (given !== 1)
      throw new ArgumentError(
        name,
        given === 0 ? "neither noise nor a key is given" : "noise is given in more than one way",
        "give { key: randomKey(0) }, { seed: 0 } or { noise: … } of the shape of the scores",
      );
    scores(name, x, rest.axis);
    if (rest.noise !== undefined) {
      checkTensor(`${name}: noise`, rest.noise);
      if (!sameShape(rest.noise.shape, x.shape))
        throw new ShapeError(
          name,
          `noise of shape ${showShape(rest.noise.shape)} stands beside scores of shape ${showShape(x.shape)}`,
          "give a number for every score",
        );
      return run(x, rest);
    }
    const drawn = { dtype: checkFloat(name, x), device: x.device };
    return run(x, { ...rest, noise: gumbel(x.shape, key ? { ...drawn, key } : { ...drawn, seed: seed! }) });
  };
  return describeAs(fn as unknown as Sampled<O>, op, derivativesOf ? { derivativesOf } : {});
}

/** Scores with noise, shifted first: the noise keeps its digits beside large scores. */
const noisy = (x: Row, noise: Row): Row => add(centred(x), noise);

const temperature = /* @__PURE__ */ Object.freeze({ is: "scalar", default: 1, min: 0 } as const);
const temperatureDomain = /* @__PURE__ */ Object.freeze({ min: 0.5, max: 2 });

const relaxedLaws: readonly string[] = /* @__PURE__ */ Object.freeze([
  "sumsToOne",
  "nonNegative",
  "shiftInvariant",
  "nanRow",
  "infiniteRow",
  "masked",
  "oneClassIsOne",
]);

const softLaws: readonly string[] = /* @__PURE__ */ relaxedLaws.concat(
  "permutationEquivariant",
  "jacobianSymmetric",
  "positiveSemidefinite",
);

const oneHotLaws: readonly string[] = /* @__PURE__ */ relaxedLaws.concat(
  "permutationEquivariantWithoutTies",
  "exactZeros",
);

/** Beside noise of (0, 0, 2). */
const oneHotBreaks: Breaks = {
  monotone: [[0, 1, 0]],
  strictlyMonotone: [[0, 1, 0]],
  permutationEquivariant: [[0, 0]],
  scaleInvariant: [[1, 0, 0]],
  idempotentOnSimplex: [[0.25, 0.25, 0.5]],
};

interface Temperature {
  /** The temperature τ ≥ 0, a number or a tensor (one value, or one per row), differentiable; 1 by default. */
  readonly temperature?: ScalarLike;
}

const softSample: Op = /* @__PURE__ */ rowMap("gumbelSoftmax", {
  doc: "A sample from a categorical distribution, relaxed so that gradients pass.",
  source: "Jang, Gu & Poole 2017, eq. 2; Maddison, Mnih & Teh 2017",
  params: { noise: { is: "row", exact: true }, temperature },
  program: ({ x, noise, temperature }) => temperedSoftmaxOf(noisy(x, noise), temperature),
  domain: { x: { min: -3, max: 3 }, temperature: temperatureDomain },
  laws: softLaws,
  breaks: {
    monotone: [[0, 0.5, 0]],
    strictlyMonotone: [[0, 0.5, 0]],
    scaleInvariant: [[0, 1, 0]],
    idempotentOnSimplex: [[0.25, 0.25, 0.5]],
    exactZeros: [[0, -30, 0]],
  },
  examples: [
    { args: [[0, Math.LN2, 0], { noise: [0, 0, Math.LN2] }], gives: [0.2, 0.4, 0.4] },
    {
      args: [[0, Math.LN2, 0], { noise: [0, 0, Math.LN2], temperature: 0.5 }],
      gives: [0.1111111111111111, 0.4444444444444444, 0.4444444444444444],
    },
  ],
});

/**
 * A sample from the distribution softmax(x), relaxed so that gradients pass: softmax((x + noise)/τ) with Gumbel noise. As
 * τ → 0 it becomes one-hot, and a sample in truth. Differentiable in the scores, the noise and the temperature.
 *
 * @formula p = \mathrm{softmax}\Bigl(\frac{x+\nu}\tau\Bigr),\qquad \nu_i=-\log(-\log u_i),\quad u_i\ \text{ uniform on }
 *   (0,1)
 * @gradient dx = d\nu = \tfrac1\tau\,p\,\bigl(g-\langle g,p\rangle\bigr),\qquad d\tau=-\tfrac1\tau\sum_j\bigl(y_j-\max
 *   y\bigr)dx_j,\quad y=x+\nu
 * @see softmax: without noise
 * @see sampledArgmax: the limit τ → 0
 * @see gumbelSoftmaxSt: one-hot forward
 * @example gumbelSoftmax(tensor([1, 2, 3]), { seed: 0, temperature: 0.5 })
 */
export const gumbelSoftmax: Sampled<Temperature> = /* @__PURE__ */ drawing(softSample, ["temperature"]);

/**
 * A one-hot sample from the distribution softmax(x) with the gradient of its relaxation: forward the argmax of x + noise,
 * backward `gumbelSoftmax` at the temperature τ (straight-through). The gradient is biased, of low variance.
 *
 * @formula p = e_k,\qquad k=\min\,\arg\max_i\,(x_i+\nu_i)
 * @gradient dx = d\nu = \tfrac1\tau\,s\,\bigl(g-\langle g,s\rangle\bigr),\quad
 *   s=\mathrm{softmax}\Bigl(\frac{x+\nu}\tau\Bigr),\qquad d\tau=-\tfrac1\tau\sum_j\bigl(y_j-\max y\bigr)dx_j,\quad y=x+\nu
 * @see gumbelSoftmax: backward
 * @see sampledArgmax: forward
 * @see straightThroughArgmax: without noise
 * @example gumbelSoftmaxSt(tensor([1, 2, 3]), { seed: 0, temperature: 0.5 })
 */
export const gumbelSoftmaxSt: Sampled<Temperature> = /* @__PURE__ */ drawing(
  /* @__PURE__ */ rowMap("gumbelSoftmaxSt", {
    doc: "A one-hot sample from a categorical distribution with the gradient of its relaxation.",
    source: "Jang, Gu & Poole 2017, section 2.2; Bengio, Léonard & Courville 2013",
    params: { noise: { is: "row", exact: true }, temperature },
    program: ({ x, noise, temperature }) => {
      const y = noisy(x, noise);
      return differentiateAs(hardmaxOf(y), temperedSoftmaxOf(y, temperature)) as Row;
    },
    domain: { x: { min: -3, max: 3 }, temperature: temperatureDomain },
    laws: oneHotLaws,
    breaks: oneHotBreaks,
    examples: [
      { args: [[0, 1, 0], { noise: [0, 0, 2] }], gives: [0, 0, 1] },
      { args: [[1, 3, 3], { noise: [0, 0, 0], temperature: 0.5 }], gives: [0, 1, 0] },
    ],
  }),
  ["temperature"],
  softSample,
);

/**
 * A one-hot sample from the distribution softmax(x), by the Gumbel-max trick: 1 at the argmax of x + noise. Its gradient is
 * zero: learn through it by a score-function estimator.
 *
 * @formula p = e_k,\qquad k=\min\,\arg\max_i\,(x_i+\nu_i),\quad \nu_i=-\log(-\log u_i)
 * @gradient dx = 0
 * @see softmax: the mean of many samples
 * @see perturbMax: the mean for other noise
 * @see policyGradientEntropy: how to learn through it
 * @example sampledArgmax(tensor([1, 2, 3]), { seed: 0 })
 */
export const sampledArgmax: Sampled = /* @__PURE__ */ drawing(
  /* @__PURE__ */ rowMap("sampledArgmax", {
    doc: "A one-hot sample from a categorical distribution.",
    source: "Gumbel 1954; Maddison, Tarlow & Minka 2014",
    params: { noise: { is: "row", exact: true } },
    program: ({ x, noise }) => hardmaxOf(noisy(x, noise)),
    domain: { x: { min: -3, max: 3 } },
    smooth: false,
    laws: oneHotLaws,
    breaks: oneHotBreaks,
    examples: [
      { args: [[0, 1, 0], { noise: [0, 0, 2] }], gives: [0, 0, 1] },
      { args: [[1, 3, 3], { noise: [0, 0, 0] }], gives: [0, 1, 0] },
    ],
  }),
  [],
);
