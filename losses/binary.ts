// Losses of independent yes-or-no questions: each score against a target of its own, without a softmax.

import {
  add,
  and,
  greaterEqual,
  lessEqual,
  mul,
  mulZero,
  neg,
  type Row,
  type Scalar,
  select,
  sub,
} from "../core/row/expr.ts";
import { elementLoss, type Loss, perClass } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { pow, sigmoid, softplus } from "../core/words.ts";

interface Positive {
  /** The weight w of positive answers: one for all, or one per class (shape [n]). Differentiable; 1 by default. */
  readonly posWeight?: ScalarLike;
}

/**
 * (1 − y)·log(1 + eˣ) + w·y·log(1 + e⁻ˣ) of every entry, from scores: the cross-entropy of sigmoid(x), whose logarithms are
 * never formed. Targets y in [0, 1] have the shape of x; elsewhere the loss is NaN. A mean is over all entries.
 *
 * @formula L = (1-y)\log(1+e^x)+w\,y\log(1+e^{-x})
 * @gradient dx = (1-y)\,\sigma(x)-w\,y\,\sigma(-x),\qquad dy=w\log(1+e^{-x})-\log(1+e^x),\qquad dw=y\log(1+e^{-x})
 * @see binaryFocal: weighs easy entries less
 * @see multilabelCe: without a decision for each class
 * @example bceWithLogits(tensor([[0, 2]]), tensor([[1, 0]])) // 1.4100
 */
export const bceWithLogits: Loss<Positive, "distribution"> = /* @__PURE__ */ perClass(
  "posWeight",
  1,
  (posWeight) =>
    elementLoss<Positive, { readonly posWeight: typeof posWeight }>("bceWithLogits", {
      doc: "Cross-entropy of independent yes-or-no questions, from scores.",
      source: "Good 1952; weights as in PyTorch",
      params: { posWeight },
      program: ({ x, target: y, posWeight }) => {
        const loss = add(mulZero(sub(1, y), softplus(x)), mul(posWeight, mulZero(y, softplus(neg(x)))));
        return select(and(greaterEqual(y, 0), lessEqual(y, 1)), loss, Number.NaN) as Row;
      },
      domain: { x: { min: -3, max: 3 }, target: { min: 0.05, max: 0.95 }, posWeight: { min: 0.5, max: 2 } },
      laws: ["nonNegative", "permutationEquivariant"],
      examples: [
        { args: [[[0, 0]], [[1, 0.5]]], gives: Math.LN2 },
        { args: [[[0, 0]], [[1, 0.5]], { posWeight: 3, reduction: "sum" }], gives: 3.4657359027997265 },
        { args: [[[0, 0]], [[1, 1]], { posWeight: [3, 1], reduction: "sum" }], gives: 2.772588722239781 },
      ],
    }),
);

interface Focal {
  /** The weight of positive answers in [0, 1], 1 − α that of negative ones; 0.25 by default. Differentiable. */
  readonly alpha?: ScalarLike;
  /** γ ≥ 0: how little entries count that are right; 2 by default. Differentiable. */
  readonly gamma?: ScalarLike;
}

/** σ(−z)^γ·log(1 + e⁻ᶻ) and its derivative, without a power below γ, which is infinite where an entry is right beyond doubt. */
function focalOf(z: Row, gamma: Scalar): { readonly loss: Row; readonly slope: Row } {
  const wrong = sigmoid(neg(z));
  const surprise = softplus(neg(z));
  const weight = pow(wrong, gamma);
  return {
    loss: mulZero(weight, surprise) as Row,
    slope: neg(mul(weight, add(wrong, mul(gamma, mulZero(sigmoid(z), surprise))))) as Row,
  };
}

/**
 * The focal loss of every entry: α·σ(−x)^γ·log(1 + e⁻ˣ) where y = 1, (1 − α)·σ(x)^γ·log(1 + eˣ) where y = 0, and what is
 * expected between. Targets y in [0, 1] have the shape of x; elsewhere the loss is NaN. A mean is over all entries.
 *
 * @formula L = y\,\alpha\,\sigma(-x)^\gamma\log(1+e^{-x})+(1-y)(1-\alpha)\,\sigma(x)^\gamma\log(1+e^x)
 * @gradient dx =
 *   y\,\alpha\,\sigma(-x)^\gamma\bigl(\gamma\,\sigma(x)\log\sigma(x)-\sigma(-x)\bigr)-(1-y)(1-\alpha)\,\sigma(x)^\gamma\bigl(\gamma\,\sigma(-x)\log\sigma(-x)-\sigma(x)\bigr)
 * @see bceWithLogits: twice this at γ = 0 and α = ½
 * @see focal: of classes that exclude one another
 * @example binaryFocal(tensor([[0, 2]]), tensor([[1, 0]]), { gamma: 2, alpha: 0.25 })
 */
export const binaryFocal: Loss<Focal, "distribution"> = /* @__PURE__ */ elementLoss<
  Focal,
  {
    readonly alpha: {
      readonly is: "scalar";
      readonly default: number;
      readonly min: number;
      readonly max: number;
    };
    readonly gamma: { readonly is: "scalar"; readonly default: number; readonly min: number };
  }
>("binaryFocal", {
  doc: "The focal loss of independent yes-or-no questions, from scores.",
  source: "Lin, Goyal, Girshick, He & Dollár 2017, eq. 5",
  params: {
    alpha: { is: "scalar", default: 0.25, min: 0, max: 1 },
    gamma: { is: "scalar", default: 2, min: 0 },
  },
  program: ({ x, target: y, alpha, gamma }) => {
    const [yes, no] = [focalOf(x, gamma), focalOf(neg(x), gamma)];
    const [a, b] = [mul(alpha, y), mul(sub(1, alpha), sub(1, y))];
    const within = and(greaterEqual(y, 0), lessEqual(y, 1));
    return {
      result: select(within, add(mulZero(a, yes.loss), mulZero(b, no.loss)), Number.NaN) as Row,
      vjp: ([g]) => ({
        x: select(within, mul(g!, sub(mul(a, yes.slope), mul(b, no.slope))), Number.NaN),
      }),
    };
  },
  domain: {
    x: { min: -3, max: 3 },
    target: { min: 0.05, max: 0.95 },
    alpha: { min: 0.1, max: 0.9 },
    gamma: { min: 0.5, max: 4 },
  },
  laws: ["nonNegative", "permutationEquivariant"],
  examples: [
    { args: [[[0, 0]], [[1, 0]], { reduction: "sum" }], gives: 0.17328679513998632 },
    { args: [[[0, 0]], [[1, 1]], { gamma: 0, alpha: 1 }], gives: Math.LN2 },
  ],
});
