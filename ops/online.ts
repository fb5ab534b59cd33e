// Softmax of rows that are seen in pieces: what has to be known of a row, how two pieces are put together, and the
// probabilities of a piece once all are known. Attention that never sees a whole row is `attention.ts`.

import { full } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { map } from "../core/map.ts";
import { checkFloat, checkOptions, describe, type Op } from "../core/op.ts";
import {
  add,
  div,
  equal,
  max,
  maximum,
  mul,
  type Row,
  type Scalar,
  select,
  sub,
  sum,
  type Value,
} from "../core/row/expr.ts";
import { RowOp, scores } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { exp } from "../core/words.ts";

/** What is known of rows of which pieces have been seen. */
export interface SoftmaxStats<D extends FloatDType = FloatDType> {
  /** The largest score, −∞ where all were masked. */
  readonly max: Tensor<Shape, D>;
  /** Σ exp(x − max). */
  readonly sum: Tensor<Shape, D>;
}

/** What scores are shifted by: their maximum, but 0 where all are masked, since −∞ − (−∞) is no number. */
export const shiftOf = <V extends Value>(m: V): V =>
  select(equal(m, Number.NEGATIVE_INFINITY), 0, m) as unknown as V;

const stats: RowOp = /* @__PURE__ */ new RowOp("onlineSoftmaxStats", {
  gives: "scalar",
  params: {},
  nanRows: true,
  program: ({ x }: { readonly x: Row }) => {
    const m = max(x);
    return { results: [m, sum(exp(sub(x, shiftOf(m))))] };
  },
});

type Merge = (max: Tensor, sum: Tensor, otherMax: Tensor, otherSum: Tensor) => readonly Tensor[];

const merge: Merge = /* @__PURE__ */ map<Merge>("mergeSoftmaxStats", {
  doc: "The statistics of the rows of which two pieces have been seen.",
  inputs: ["max", "sum", "otherMax", "otherSum"],
  program: (x) => {
    const m = maximum(x.max!, x.otherMax!);
    const scaled = (s: Value, own: Value): Value => mul(s, exp(sub(own, shiftOf(m))));
    return [m, add(scaled(x.sum!, x.max!), scaled(x.otherSum!, x.otherMax!))];
  },
  examples: [],
});

function checkStats(place: string, given: SoftmaxStats | undefined): void {
  checkOptions(place, given, ["max", "sum"]);
  checkTensor(`${place}: max`, given?.max);
  checkTensor(`${place}: sum`, given?.sum);
}

/** What is known of rows of which nothing has been seen. */
function nothingOf<D extends FloatDType>({ shape, dtype, device }: Tensor<Shape, D>): SoftmaxStats<D> {
  const all = (value: number) => full(shape.slice(0, -1), value, { dtype, device }) as Tensor<Shape, D>;
  return { max: all(Number.NEGATIVE_INFINITY), sum: all(0) };
}

/** The type of `onlineSoftmaxStats`. */
export interface OnlineSoftmaxStats extends Op {
  <D extends FloatDType>(x: Tensor<Shape, D>, before?: SoftmaxStats<D>): SoftmaxStats<D>;
}

/**
 * The normaliser of softmax for rows that are too long to be held at once: the largest score and Σ exp(x − max) of a piece
 * [..., n], together with what is known from pieces before. log Σ exp(x) of all is max + log(sum).
 *
 * @formula m = \max_j x_j,\qquad s = \sum_j e^{x_j - m}
 * @remarks Where all scores so far are −∞ the largest is −∞ and the sum 0: no NaN, whatever the order of the pieces.
 * @see mergeSoftmaxStats: puts together what two have seen
 * @see onlineSoftmax: the probabilities of a piece
 * @example
 * let stats = onlineSoftmaxStats(tensor([1, 2]));
 * stats = onlineSoftmaxStats(tensor([3]), stats);
 * onlineSoftmax(tensor([3]), stats).toArray(); // [0.6652]
 */
export const onlineSoftmaxStats: OnlineSoftmaxStats = /* @__PURE__ */ describe(
  (<D extends FloatDType>(x: Tensor<Shape, D>, before?: SoftmaxStats<D>): SoftmaxStats<D> => {
    scores("onlineSoftmaxStats", x, undefined);
    checkFloat("onlineSoftmaxStats", x);
    if (before !== undefined) checkStats("onlineSoftmaxStats", before as never);
    if (x.shape.at(-1) === 0) return before ?? nothingOf(x);
    const [m, s] = stats.call(x as Tensor, {}) as [Tensor<Shape, D>, Tensor<Shape, D>];
    return before === undefined ? { max: m, sum: s } : mergeSoftmaxStats(before, { max: m, sum: s });
  }) as OnlineSoftmaxStats,
  {
    name: "onlineSoftmaxStats",
    kind: "structure",
    doc: "The largest score of rows seen in pieces, and the sum of exponentials below it.",
    source: "Milakov & Gimelshein 2018, algorithm 3",
    laws: [],
    examples: [
      {
        args: [
          [
            [0, Math.LN2],
            [3, 3],
          ],
        ],
        gives: { max: [Math.LN2, 3], sum: [1.5, 2] },
      },
      { args: [[[0]], { max: [Math.LN2], sum: [1] }], gives: { max: [Math.LN2], sum: [1.5] } },
    ],
  },
);

/** The type of `mergeSoftmaxStats`. */
export interface MergeSoftmaxStats extends Op {
  <D extends FloatDType>(one: SoftmaxStats<D>, other: SoftmaxStats<D>): SoftmaxStats<D>;
}

/**
 * What is known of rows after two pieces, from what is known of each. Associative, and commutative up to rounding, so that
 * pieces may be folded in any order.
 *
 * @formula m = \max(m_1, m_2),\qquad s = s_1 e^{m_1 - m} + s_2 e^{m_2 - m}
 * @see onlineSoftmaxStats: of one piece
 * @example
 * mergeSoftmaxStats(onlineSoftmaxStats(tensor([1, 2])), onlineSoftmaxStats(tensor([3])));
 */
export const mergeSoftmaxStats: MergeSoftmaxStats = /* @__PURE__ */ describe(
  (<D extends FloatDType>(one: SoftmaxStats<D>, other: SoftmaxStats<D>): SoftmaxStats<D> => {
    for (const given of [one, other]) checkStats("mergeSoftmaxStats", given as never);
    const [m, s] = merge(one.max as Tensor, one.sum as Tensor, other.max as Tensor, other.sum as Tensor);
    return { max: m, sum: s } as SoftmaxStats<D>;
  }) as MergeSoftmaxStats,
  {
    name: "mergeSoftmaxStats",
    kind: "structure",
    doc: "What is known of rows after two pieces, from what is known of each piece.",
    source: "Milakov & Gimelshein 2018, eq. 4",
    domain: { sum: { min: 1, max: 3 } },
    laws: [],
    examples: [
      {
        args: [
          { max: [Math.LN2], sum: [1] },
          { max: [0], sum: [3] },
        ],
        gives: { max: [Math.LN2], sum: [2.5] },
      },
    ],
  },
);

const shares: RowOp = /* @__PURE__ */ new RowOp("onlineSoftmax", {
  gives: "row",
  params: { max: { is: "scalar", default: 0 }, sum: { is: "scalar", default: 1 } },
  nanRows: false,
  program: ({ x, max: m, sum: s }: { readonly x: Row; readonly max: Scalar; readonly sum: Scalar }) => ({
    results: [select(equal(s, 0), 0, div(exp(sub(x, shiftOf(m))), s)) as Row],
  }),
});

/** The type of `onlineSoftmax`. */
export interface OnlineSoftmax extends Op {
  <S extends Shape, D extends FloatDType>(x: Tensor<S, D>, stats: SoftmaxStats<D>): Tensor<S, D>;
}

/**
 * The probabilities of a piece of rows, once all pieces have been seen: exp(x − max) / sum. A row whose scores are all −∞ has
 * probability 0 everywhere.
 *
 * @formula p_j = e^{x_j - m} / s
 * @see onlineSoftmaxStats: where max and sum come from
 * @example
 * const all = onlineSoftmaxStats(tensor([1, 2, 3]));
 * onlineSoftmax(tensor([3]), all).toArray(); // [0.6652]
 */
export const onlineSoftmax: OnlineSoftmax = /* @__PURE__ */ describe(
  ((x: Tensor, given: SoftmaxStats): Tensor => {
    scores("onlineSoftmax", x, undefined);
    checkFloat("onlineSoftmax", x);
    checkStats("onlineSoftmax", given);
    return shares.call(x, { max: given.max, sum: given.sum })[0]!;
  }) as OnlineSoftmax,
  {
    name: "onlineSoftmax",
    kind: "structure",
    doc: "The softmax probabilities of a piece of rows, from what is known of all pieces.",
    source: "Milakov & Gimelshein 2018, algorithm 3",
    domain: { sum: { min: 1, max: 3 } },
    laws: [],
    examples: [
      {
        args: [
          [
            [0, Math.LN2],
            [3, 3],
          ],
          { max: [Math.LN2, 3], sum: [1.5, 4] },
        ],
        gives: [
          [0.3333333333333333, 0.6666666666666666],
          [0.25, 0.25],
        ],
      },
    ],
  },
);
