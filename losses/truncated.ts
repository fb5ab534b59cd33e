// Losses of truncated softmaxes.

import { add, max, pick, type Scalar, stop, sub } from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { topK } from "../ops/maps/truncated.ts";

interface Options extends IgnoreOption {
  /** How many scores are kept, at least 1. */
  readonly k: ScalarLike;
}

/**
 * log Σ eˣ over the k largest scores, less the right one. A surrogate: where the right class is not among the k its probability
 * is 0, but the loss stays finite and pulls it up.
 * @example sparseSoftmaxLoss(tensor([[3, 2, 1, 0]]), [3], { k: 2 }) // 3.3133
 */
export const sparseSoftmaxLoss: Loss<Options> = /* @__PURE__ */ rowLoss("sparseSoftmaxLoss", {
  doc: "The logarithm of the sum of the k largest exponentials, less the right score.",
  source: "Sun et al. 2021; Su 2020",
  against: "labels",
  params: { k: { is: "scalar", min: 1, integer: true } },
  program: ({ x, target, k }) => {
    const { lse } = logSumExpCentred(centred(x), topK(x, stop(k)));
    return add(lse, sub(stop(max(x)), pick(x, target))) as Scalar;
  },
  domain: { x: { min: -3, max: 3 } },
  laws: ["shiftInvariant", "nanRow"],
  examples: [{ args: [[[3, 2, 1, 0]], [3], { k: 2 }], gives: 3.313261687518223 }],
});
