// Truncated softmaxes: softmax on a part of the row that the scores choose, exact zeros outside.

import {
  add,
  and,
  count,
  div,
  equal,
  greaterEqual,
  index,
  lessEqual,
  mul,
  neg,
  not,
  or,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../../core/row/expr.ts";
import { type RowMap, rowMap, type ScalarLike } from "../../core/rowop.ts";
import { exp, kth } from "../../core/words.ts";
import { centred } from "./softmax.ts";

/** The k largest entries; among equals the lowest index. */
export function topK(x: Row, k: Scalar): RowMask {
  const threshold = kth(x, k);
  // Put so that a NaN row is kept whole, and comes out.
  const above = not(lessEqual(x, threshold)) as RowMask;
  const ties = equal(x, threshold) as RowMask;
  // As many of the ties as are still missing, by lowest index: the (k − above)-th largest of the negated indices.
  const last = kth(select(ties, neg(index), Number.NEGATIVE_INFINITY) as Row, sub(k, count(above)));
  return or(above, and(ties, greaterEqual(neg(index), last)));
}

interface K {
  /** How many scores are kept, at least 1. */
  readonly k: ScalarLike;
}

type SparseSoftmax = RowMap<K>;

/**
 * Softmax over the k largest scores of each row, exactly 0 elsewhere; ties go to the lowest index. k ≥ n is softmax.
 * @example sparseSoftmax(tensor([0, 0.6931, -5]), { k: 2 }) // [0.3333, 0.6667, 0]
 */
export const sparseSoftmax: SparseSoftmax = /* @__PURE__ */ rowMap("sparseSoftmax", {
  doc: "Softmax over the k largest scores of each row.",
  source: "Sun et al. 2021; Su 2020",
  params: { k: { is: "scalar", min: 1, integer: true } },
  program: ({ x, k }) => {
    const e = select(topK(x, stop(k)), exp(centred(x)), 0) as Row;
    const total = sum(e);
    // total − total is 0, or NaN for the rows that have no distribution: the mask would hide it.
    const p = add(div(e, total), sub(total, total));
    return { result: p, vjp: ([g]) => ({ x: mul(p, sub(g!, sum(mul(g!, p)))) }) };
  },
  domain: { x: { min: -3, max: 3 } },
  laws: [
    "sumsToOne",
    "nonNegative",
    "shiftInvariant",
    "monotone",
    "exactZeros",
    "nanRow",
    "masked",
    "oneClassIsOne",
  ],
  examples: [
    { args: [[0, Math.LN2, -5], { k: 2 }], gives: [0.3333333333333333, 0.6666666666666666, 0] },
    { args: [[1, 1, 1], { k: 2 }], gives: [0.5, 0.5, 0] },
  ],
});
