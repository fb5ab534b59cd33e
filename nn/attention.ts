// Attention as a function: queries against keys, a map from scores to weights, and the weighted values. No module, no
// projections and no heads: these are `multihead-attention.ts`.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Checked, Matmul, Result, Shape, Transpose } from "../core/shape.ts";
import { sameShape } from "../core/shape.ts";
import { checkTensor, Tensor } from "../core/tensor.ts";
import { mul, where } from "../ops/elementwise.ts";
import { softmax } from "../ops/maps/softmax.ts";
import { matmul } from "../ops/matmul.ts";

export interface AttentionOptions<D extends FloatDType = FloatDType> {
  /** From rows of scores to rows of weights: any map of `simplexgrad/ops`, by itself or with options in a function; softmax by default. */
  readonly map?: (scores: Tensor<Shape, D>) => Tensor<Shape, D>;
  /** True where a query may look at a key; broadcasts to the scores, [..., L, S]. The others have the score −∞. */
  readonly mask?: Tensor<Shape, "bool">;
  /** What scores are multiplied by; 1/√E by default. */
  readonly scale?: number;
}

/** The shape of the scores. */
type Scores<Q extends Shape, K extends Shape> =
  Transpose<K> extends infer T ? (T extends Shape ? Matmul<Q, T> : T) : never;

/**
 * map(q·kᵀ·scale)·v: for each query the mean of the values by weights that a map makes of its scores. PyTorch's function of this
 * name, with any map in the place of softmax.
 *
 * Queries [..., L, E], keys [..., S, E] and values [..., S, Eᵥ] give [..., L, Eᵥ]; the axes before are batches (and heads) that
 * broadcast. A mask is a score of −∞: weight and gradient exactly 0 in the maps that know masked scores, NaN in those that are
 * not defined there (Taylor, spherical, …). A query that may look at nothing is NaN, unless the map says otherwise:
 * `softmaxOne` gives zeros, and so does `(scores) => maskedSoftmax(scores, mask)`.
 *
 * Throws ShapeError for sizes that do not fit, ArgumentError for a map that does not keep the shape of its scores. Source: Vaswani
 * et al. 2017, eq. 1.
 * @example
 * import { normal, randomKey, tensor } from "simplexgrad";
 * import { scaledDotProductAttention } from "simplexgrad/nn";
 * import { entmax, sparsemax } from "simplexgrad/ops";
 *
 * const draw = (seed: number) => normal([2, 5, 8], { key: randomKey(seed) });
 * const [q, k, v] = [draw(1), draw(2), draw(3)] as const;
 * scaledDotProductAttention(q, k, v, { map: sparsemax });
 * const past = tensor(Array.from({ length: 5 }, (_, i) => Array.from({ length: 5 }, (_, j) => j <= i)));
 * scaledDotProductAttention(q, k, v, { map: (scores) => entmax(scores, { alpha: 1.25 }), mask: past });
 */
export function scaledDotProductAttention<
  Q extends Shape,
  K extends Shape,
  V extends Shape,
  D extends FloatDType,
>(
  q: Tensor<Q, D>,
  k: Checked<Tensor<K, NoInfer<D>>, Scores<Q, K>>,
  v: Checked<Tensor<V, NoInfer<D>>, Matmul<Result<Scores<Q, K>>, V>>,
  options: AttentionOptions<NoInfer<D>> = {},
): Tensor<Result<Matmul<Result<Scores<Q, K>>, V>>, D> {
  const [queries, keys, values] = [q, k, v] as unknown as [Any<D>, Any<D>, Any<D>];
  return attend("scaledDotProductAttention", queries, keys, values, options).out as never;
}

/** The weights of the values beside their means; queries are multiplied by `factor` if it is given, and not by the scale. */
export function attend<D extends FloatDType>(
  place: string,
  queries: Any<D>,
  keys: Any<D>,
  values: Any<D>,
  options: AttentionOptions<D>,
  factor?: Any<D>,
): { readonly out: Any<D>; readonly weights: Any<D> } {
  for (const t of [queries, keys, values]) {
    checkTensor(place, t);
    if (t.rank < 2)
      throw new ShapeError(
        place,
        `shape ${showShape(t.shape)} is no list of vectors`,
        "give [..., length, features]",
      );
  }
  checkOptions(place, options, ["map", "mask", "scale"]);
  const e = queries.shape.at(-1)!;
  const { map = softmax as (scores: Any<D>) => Any<D>, mask, scale = 1 / Math.sqrt(e) } = options;
  if (typeof map !== "function")
    throw new ArgumentError(place, `map is ${showValue(map)}`, "give a map of rows, such as sparsemax");
  if (typeof scale !== "number")
    throw new ArgumentError(place, `scale is ${showValue(scale)}`, "give a number");
  if (keys.shape.at(-1) !== e)
    throw new ShapeError(
      place,
      `queries of shape ${showShape(queries.shape)} meet keys of shape ${showShape(keys.shape)}`,
      "give both the same number of features",
    );
  if (values.shape.at(-2) !== keys.shape.at(-2))
    throw new ShapeError(
      place,
      `keys of shape ${showShape(keys.shape)} stand beside values of shape ${showShape(values.shape)}`,
      "give one value for each key",
    );
  // Queries are scaled, not scores: these are as many as queries times keys.
  const scaled = mul(queries, (factor ?? scale) as never) as Any<D>;
  let scores = matmul(scaled, keys.transpose() as Any<D>) as Any<D>;
  if (mask !== undefined) {
    checkTensor(`${place}: mask`, mask);
    if (mask.dtype !== "bool")
      throw new DTypeError(
        place,
        `the mask is ${mask.dtype as string}`,
        "give true where a query may look: greater(mask, 0)",
      );
    scores = where(mask, scores, Number.NEGATIVE_INFINITY) as Any<D>;
  }
  const weights = map(scores);
  if (!(weights instanceof Tensor) || !sameShape(weights.shape, scores.shape))
    throw new ArgumentError(
      place,
      `the map gives ${weights instanceof Tensor ? `shape ${showShape(weights.shape)}` : showValue(weights)} for scores of shape ${showShape(scores.shape)}`,
      "give a map that keeps the shape",
    );
  return { out: matmul(weights, values) as Any<D>, weights };
}

type Any<D extends FloatDType> = Tensor<Shape, D>;
