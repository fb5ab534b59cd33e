// Losses of truncated softmaxes.

import { type Loss, rowLoss, type ScalarLike } from "../core/rowop.ts";
import { add, equal, max, pick, type Scalar, select, stop, sub } from "../core/row/expr.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { topK } from "../ops/maps/truncated.ts";

type Params = {
  readonly target: { readonly is: "label"; readonly ignore: string };
  readonly ignoreIndex: { readonly is: "scalar"; readonly default: number; readonly integer: true };
  readonly k: { readonly is: "scalar"; readonly min: number; readonly integer: true };
};

interface Options {
  /** How many scores are kept, at least 1. */
  readonly k: ScalarLike;
  /** The class index that marks rows to leave out; −100 by default. */
  readonly ignoreIndex?: number;
}

/**
 * log Σ eˣ over the k largest scores, less the right one. A surrogate: where the right class is not among the k its probability
 * is 0, but the loss stays finite and pulls it up.
 * @example sparseSoftmaxLoss(tensor([[3, 2, 1, 0]]), [3], { k: 2 }) // 3.3133
 */
export const sparseSoftmaxLoss: Loss<Options> = /* @__PURE__ */ rowLoss<Params, Loss<Options>>(
  "sparseSoftmaxLoss",
  {
    doc: "The logarithm of the sum of the k largest exponentials, less the right score.",
    source: "Sun et al. 2021; Su 2020",
    params: {
      target: { is: "label", ignore: "ignoreIndex" },
      ignoreIndex: { is: "scalar", default: -100, integer: true },
      k: { is: "scalar", min: 1, integer: true },
    },
    program: ({ x, target, ignoreIndex, k }) => {
      const { lse } = logSumExpCentred(centred(x), topK(x, stop(k)));
      const counted = (v: Scalar | number): Scalar => select(equal(target, ignoreIndex), 0, v) as Scalar;
      return { loss: counted(add(lse, sub(stop(max(x)), pick(x, target))) as Scalar), weight: counted(1) };
    },
    domain: { x: { min: -3, max: 3 } },
    laws: ["shiftInvariant", "nanRow"],
    examples: [{ args: [[[3, 2, 1, 0]], [3], { k: 2 }], gives: 3.313261687518223 }],
  },
);
