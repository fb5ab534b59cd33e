// Distributions made of several: mixtures of softmaxes, and a stick broken piece by piece. Functions of ops around a row program;
// maps of one row alone are in the other files.

import type { FloatDType } from "../../core/dtype.ts";
import { ShapeError, showShape } from "../../core/errors.ts";
import { checkFloat, checkOptions, describe, describeAs, type Op } from "../../core/op.ts";
import { add, mul, neg, type Row } from "../../core/row/expr.ts";
import { type AxisOption, rowMap, scores } from "../../core/rowop.ts";
import { type Shape, sameShape } from "../../core/shape.ts";
import { checkTensor, type Tensor } from "../../core/tensor.ts";
import { cumsum, exp, sigmoid, softplus } from "../../core/words.ts";
import { add as addTensors, mul as mulTensors } from "../elementwise.ts";
import { expandDims, pad } from "../movement.ts";
import { sum as sumOver } from "../reduce.ts";
import { undefinedRow } from "./normalisers.ts";
import { logSoftmax, logsumexp, softmax } from "./softmax.ts";

interface Mixture extends Op {
  <D extends FloatDType>(logits: Tensor<Shape, D>, priorLogits: Tensor<Shape, D>): Tensor<Shape, D>;
}

/** Checks logits [..., K, n] beside prior logits [..., K]. */
function checkMixture(place: string, logits: Tensor, priorLogits: Tensor): void {
  checkTensor(place, logits);
  checkTensor(place, priorLogits);
  checkFloat(place, logits);
  if (logits.rank < 2 || !sameShape(priorLogits.shape, logits.shape.slice(0, -1)))
    throw new ShapeError(
      place,
      `prior logits of shape ${showShape(priorLogits.shape)} stand beside logits of shape ${showShape(logits.shape)}`,
      "give logits of shape [..., K, n] and prior logits of shape [..., K]",
    );
}

/**
 * A mixture of K softmaxes: Σₖ πₖ·softmax(Lₖ) with π the softmax of the prior logits. Its logarithms have a rank that is not
 * bounded by the dimension of an output layer. Logits [..., K, n] and prior logits [..., K] give [..., n].
 *
 * @formula p = \sum_k\pi_k P_k,\qquad P_k=\mathrm{softmax}(L_k),\quad \pi=\mathrm{softmax}(a)
 * @gradient dL_k = \pi_k P_k\,\bigl(g-\langle g,P_k\rangle\bigr),\qquad da=\pi\,\bigl(c-\langle\pi,c\rangle\bigr),\quad
 *   c_k=\langle g,P_k\rangle
 * @see softmax: K = 1
 * @see logMixtureOfSoftmaxes: its logarithms
 * @example mixtureOfSoftmaxes(tensor([[0, 0, 0], [0, 1, 2]]), tensor([1, 2]))
 */
export const mixtureOfSoftmaxes: Mixture = /* @__PURE__ */ describe(
  (<D extends FloatDType>(logits: Tensor<Shape, D>, priorLogits: Tensor<Shape, D>): Tensor<Shape, D> => {
    checkMixture("mixtureOfSoftmaxes", logits, priorLogits);
    const weights = expandDims(softmax(priorLogits as never), -1);
    return sumOver(mulTensors(softmax(logits as never), weights as never) as never, {
      axis: -2,
    }) as unknown as Tensor<Shape, D>;
  }) as never,
  {
    name: "mixtureOfSoftmaxes",
    kind: "structure",
    doc: "A weighted mean of softmaxes, whose logarithms have a higher rank than one softmax can have.",
    source: "Yang, Dai, Salakhutdinov & Cohen 2018, section 2.3",
    laws: [
      "sumsToOne",
      "nonNegative",
      "shiftInvariant",
      "permutationEquivariant",
      "nanRow",
      "infiniteRow",
      "masked",
      "oneClassIsOne",
    ],
    examples: [
      {
        args: [
          [
            [0, Math.LN2],
            [1.0986122886681098, 0],
          ],
          [0, 0],
        ],
        gives: [0.5416666666666666, 0.4583333333333333],
      },
    ],
  },
);

/**
 * The logarithms of mixtureOfSoftmaxes' probabilities: logsumexpₖ(log πₖ + log softmax(Lₖ)).
 *
 * @formula y = \log\sum_k\pi_k P_k,\qquad P_k=\mathrm{softmax}(L_k),\quad \pi=\mathrm{softmax}(a)
 * @gradient dL_k = g\,r_k-c_k P_k,\qquad da=c-\pi\sum_i g_i,\qquad r_k=\frac{\pi_k P_k}{\sum_l\pi_l P_l},\quad c_k=\langle
 *   g,r_k\rangle
 * @see logSoftmax: K = 1
 * @see mixtureOfSoftmaxes: its exponential
 * @example logMixtureOfSoftmaxes(tensor([[0, 0, 0], [0, 1, 2]]), tensor([1, 2]))
 */
export const logMixtureOfSoftmaxes: Mixture = /* @__PURE__ */ describe(
  (<D extends FloatDType>(logits: Tensor<Shape, D>, priorLogits: Tensor<Shape, D>): Tensor<Shape, D> => {
    checkMixture("logMixtureOfSoftmaxes", logits, priorLogits);
    const weights = expandDims(logSoftmax(priorLogits as never), -1);
    return logsumexp(addTensors(logSoftmax(logits as never), weights as never) as never, {
      axis: -2,
    }) as unknown as Tensor<Shape, D>;
  }) as never,
  {
    name: "logMixtureOfSoftmaxes",
    kind: "structure",
    doc: "The logarithms of the probabilities of a mixture of softmaxes.",
    source: "Yang, Dai, Salakhutdinov & Cohen 2018, section 2.3",
    laws: ["expSumsToOne", "shiftInvariant", "permutationEquivariant", "nanRow", "infiniteRow"],
    examples: [
      {
        args: [
          [
            [0, Math.LN2],
            [0, Math.LN2],
          ],
          [0, 3],
        ],
        gives: [-1.0986122886681098, -0.40546510810816444],
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Stick-breaking

/** σ(x)·Πσ(−before): each entry takes its share of what those before it leave. */
const shares = /* @__PURE__ */ rowMap("stickBreaking", {
  doc: "Each score takes its share of what is left of a stick; the last entry is the rest.",
  source: "Sethuraman 1994; for attention: Tan et al. 2024, eq. 4",
  params: { before: { is: "row", exact: true } },
  program: ({ x, before }) => {
    const left = exp(neg(cumsum(softplus(before) as Row)));
    return add(mul(sigmoid(x), left), undefinedRow(before)) as Row;
  },
  laws: ["sumsToOne", "nonNegative", "nanRow"],
  breaks: {
    shiftInvariant: [[0]],
    monotone: [[0, 0.5]],
    strictlyMonotone: [[0, 0.5]],
    permutationEquivariant: [[0, 1]],
    scaleInvariant: [[1]],
    idempotentOnSimplex: [[0.25, 0.75]],
    exactZeros: [[0, -30]],
  },
  examples: [],
});

interface StickBreaking extends Op {
  <D extends FloatDType>(x: Tensor<Shape, D>, options?: AxisOption): Tensor<Shape, D>;
}

/**
 * Probabilities of n + 1 pieces from n scores: piece i is the share σ(xᵢ) of what the pieces before it leave, the last is the
 * rest. Early scores take precedence: not permutation equivariant. The axis grows by one.
 *
 * @formula p_i = \sigma(x_i)\prod_{j<i}\sigma(-x_j),\qquad p_{n+1}=\prod_{j\le n}\sigma(-x_j)
 * @gradient dx_i = p_i\,g_i\,\sigma(-x_i)-\sigma(x_i)\sum_{j>i}p_j\,g_j
 * @see softmax: treats all scores alike
 * @example stickBreaking(tensor([0, 0])) // [0.5, 0.25, 0.25]
 */
export const stickBreaking: StickBreaking = /* @__PURE__ */ describeAs(
  ((x: Tensor<Shape, FloatDType>, options?: AxisOption): Tensor => {
    checkOptions("stickBreaking", options, ["axis"]);
    const axis = scores("stickBreaking", x, options?.axis);
    checkFloat("stickBreaking", x);
    const border = (before: number, value: number): Tensor =>
      pad(
        x as Tensor,
        x.shape.map((_, i) => (i === axis ? [before, 1 - before] : [0, 0])),
        value,
      );
    const run = shares as unknown as (x: Tensor, options: object) => Tensor;
    // The last piece takes all that is left; nothing stands before the first.
    return run(border(0, Number.POSITIVE_INFINITY), { before: border(1, Number.NEGATIVE_INFINITY), axis });
  }) as never,
  shares,
  {
    kind: "structure",
    examples: [
      { args: [[0, 0]], gives: [0.5, 0.25, 0.25] },
      {
        args: [[[0], [1.0986122886681098]]],
        gives: [
          [0.5, 0.5],
          [0.75, 0.25],
        ],
      },
    ],
  },
);
