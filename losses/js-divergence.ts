// The Jensen–Shannon divergence of several distributions: it reads across rows, so it is written with ops.

import { tensor } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkFloat, checkOptions, describe, type Op } from "../core/op.ts";
import type { Reduction } from "../core/rowloss.ts";
import type { Shape } from "../core/shape.ts";
import { checkTensor, Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { add, equal, exp, log, mul, sub, where } from "../ops/elementwise.ts";
import { logSoftmax, logsumexp } from "../ops/maps/softmax.ts";
import { mean, sum } from "../ops/reduce.ts";

/** Options of `jsDivergence`. */
interface Options {
  /** The weight of each distribution, K numbers ≥ 0 that sum to 1 or a tensor of shape [K], differentiable; 1/K by default. */
  readonly weights?: readonly number[] | Tensor;
  /** "mean" (default) over the groups, "sum", or "none": one divergence per group. */
  readonly reduction?: Reduction;
}

const known: readonly string[] = ["weights", "reduction"];

type JsDivergence = (<S extends Shape, D extends FloatDType>(
  x: Tensor<S, D>,
  options?: Options,
) => Tensor<Shape, D>) &
  Op;

/** The weights as a column beside K distributions. */
function columnOf(name: string, x: Tensor, weights: unknown): Tensor {
  const k = x.shape[x.rank - 2]!;
  const { dtype, device } = x as Tensor<Shape, FloatDType>;
  if (weights === undefined) return tensor(new Float64Array(k).fill(1 / k), { shape: [k, 1], dtype, device });
  if (Array.isArray(weights)) {
    const total = weights.reduce((a, b) => a + b, 0);
    if (weights.length !== k || !weights.every((w) => w >= 0) || !(Math.abs(total - 1) < 1e-6))
      throw new DomainError(name, `weights is [${weights}]`, `give ${k} numbers from 0 that sum to 1`);
    return tensor(weights, { shape: [k, 1], dtype, device });
  }
  if (!(weights instanceof Tensor))
    throw new ArgumentError(name, `weights is ${showValue(weights)}`, `give ${k} numbers, or a tensor`);
  if (weights.rank !== 1 || weights.size !== k)
    throw new ShapeError(
      name,
      `weights of shape ${showShape(weights.shape)} stand beside ${k} distributions`,
      `give shape [${k}]`,
    );
  return reshape(weights, [k, 1]);
}

/**
 * How far K distributions are from their mixture, H(Σ wₖPₖ) − Σ wₖH(Pₖ) in nats, from scores of shape [..., K, n]: 0 where
 * all are alike, at most H(w). Symmetric, and finite also where they have no class in common.
 *
 * @formula L = H(m)-\sum_k w_k\,H(P_k)=\sum_k w_k\,\mathrm{KL}(P_k\,\|\,m),\qquad P_k=\mathrm{softmax}(x_k),\quad m=\sum_k
 *   w_k P_k
 * @gradient dx_k = w_k P_k\,\bigl(r_k-\langle P_k,r_k\rangle\bigr),\quad r_k=\log P_k-\log m,\qquad
 *   dw_k=\mathrm{KL}(P_k\,\|\,m)-1
 * @see klDivergenceLogits: of one from another
 * @see entropy: of each
 * @example jsDivergence(tensor([[0, 0], [0, 0.6931]])) // 0.0144
 */
export const jsDivergence: JsDivergence = /* @__PURE__ */ describe(
  (<D extends FloatDType>(x: Tensor<Shape, D>, options?: Options): Tensor<Shape, D> => {
    const name = "jsDivergence";
    checkOptions(name, options, known);
    checkTensor(name, x);
    checkFloat(name, x);
    const { reduction = "mean" } = options ?? {};
    if (reduction !== "mean" && reduction !== "sum" && reduction !== "none")
      throw new ArgumentError(name, `reduction is ${showValue(reduction)}`, 'give "mean", "sum" or "none"');
    if (x.rank < 2 || x.size === 0)
      throw new ShapeError(
        name,
        `scores of shape ${showShape(x.shape)} are no group of distributions`,
        "give shape [..., K, n]",
      );
    const w = columnOf(name, x, options?.weights) as Tensor<Shape, D>;
    const l = logSoftmax(x) as Tensor<Shape, D>;
    const mixture = logsumexp(add(l, log(w)) as Tensor<Shape, D>, { axis: -2, keepDims: true });
    const p = exp(l);
    const terms = mul(mul(w, p), sub(l, mixture as never)) as Tensor<Shape, D>;
    // What has no probability adds nothing, though its logarithm is −∞.
    const each = sum(where(equal(p, 0), 0, terms) as Tensor<Shape, D>, { axis: [-2, -1] });
    if (reduction === "none") return each as Tensor<Shape, D>;
    return (reduction === "sum" ? sum(each as never) : mean(each as never)) as Tensor<Shape, D>;
  }) as never,
  {
    name: "jsDivergence",
    kind: "structure",
    doc: "How far several softmax distributions are from their mixture, in nats.",
    source: "Lin 1991, eq. 5.1",
    domain: { weights: { min: 0.2, max: 0.8 } },
    options: known,
    laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
    examples: [
      {
        args: [
          [
            [0, 0],
            [0, 1.0986122886681098],
          ],
        ],
        gives: 0.03382207556860539,
      },
      {
        args: [
          [
            [
              [0, 0],
              [0, 1.0986122886681098],
            ],
            [
              [1, 5],
              [2, 6],
            ],
          ],
          { weights: [0.25, 0.75], reduction: "none" },
        ],
        gives: [0.026048220951152556, 0],
      },
    ],
  },
);
