// Label smoothing whose target is read from a confusion matrix that can be learned: a gather of its rows, and one row program.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions, describe } from "../core/op.ts";
import { div, mul, mulZero, neg, oneHot, type Row, type Scalar, sub, sum } from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, type LossOptions, rowLoss } from "../core/rowloss.ts";
import { type Labels, type ScalarLike, scores } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { checkTensor, fromHost, Tensor } from "../core/tensor.ts";
import { reshape, transpose } from "../core/views.ts";
import { maximum, minimum } from "../ops/elementwise.ts";
import { take } from "../ops/indexing.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { rightClass } from "./relatives.ts";

interface Smoothing extends IgnoreOption {
  /** Scores [n, n]: row t, through softmax, is what a label t is smoothed with. Differentiable. */
  readonly confusion: Tensor;
  /** The share s in [0, 1] of smoothing, differentiable; 0.1 by default. */
  readonly smoothing?: ScalarLike;
}

const known: readonly string[] = ["confusion", "smoothing", "axis", "reduction", "ignoreIndex"];

const doc = "Cross-entropy against labels that are smoothed with the rows of a confusion matrix.";

/** The loss for the rows of the matrix that belong to the labels. */
const ofRows: Loss<{ readonly confusion: Tensor; readonly smoothing?: ScalarLike }> = /* @__PURE__ */ rowLoss(
  "learnableLabelSmoothing",
  {
    doc,
    against: "labels",
    params: { confusion: { is: "row" }, smoothing: { is: "scalar", default: 0.1, min: 0, max: 1 } },
    program: ({ x, target, confusion, smoothing: s }) => {
      const { p, nll } = rightClass(x, target);
      const z = centred(x);
      const l = sub(z, logSumExpCentred(z).lse) as Row;
      const { e, total } = logSumExpCentred(centred(confusion));
      const c = div(e, total) as Row;
      const mean = sum(mulZero(c, l));
      return {
        loss: sub(mul(sub(1, s), nll), mul(s, mean)) as Scalar,
        vjp: ([g]) => ({
          x: mul(g!, sub(sub(p, mul(s, c)), oneHot(target, sub(1, s)))),
          confusion: neg(mul(mul(g!, s), mulZero(c, sub(l, mean)))),
        }),
      };
    },
    examples: [],
  },
);

/** Labels as positions in the matrix; what is no class (a mark of rows to leave out) is left to the loss to judge. */
function positionsOf(x: Tensor, target: Labels, outer: readonly number[], n: number): Tensor<Shape, "i32"> {
  let labels = target as Tensor;
  if (!(target instanceof Tensor)) {
    const given = Int32Array.from(target);
    labels = fromHost(x.backend, "i32", [given.length], given, "tensor");
    if (outer.length !== 1) labels = reshape(labels, outer);
  }
  return minimum(maximum(labels as never, 0 as never) as never, (n - 1) as never) as never;
}

/**
 * Cross-entropy against (1 − s)·eₜ + s·softmax(confusion[t]): wrong labels are expected to look like certain other classes. A
 * matrix that says "almost the identity" has a large diagonal; the identity itself is nearly uniform.
 *
 * Learned by this loss alone the matrix degenerates: each row moves to the class that is most probable already. Freeze it,
 * anchor it, or regularise it.
 *
 * @formula L = -\sum_j q_j\log p_j,\qquad q=(1-s)\,e_t+s\,C,\quad C=\mathrm{softmax}(\text{confusion}_t),\quad
 *   p=\mathrm{softmax}(x)
 * @gradient dx = p-q,\qquad d\,\text{confusion}_t=-s\,C\,\bigl(\log p-\langle C,\log p\rangle\bigr)
 * @errata An identity matrix is no identity here, since it goes through a softmax: for 10 classes its diagonal becomes
 *   0.2320 and the rest 0.0853 each.
 * @errata Trained by this loss alone the matrix feeds on itself: for the log-probabilities of (2, 0.5, −1) and t = 0 its
 *   gradient is (−0.0549, 0.0116, 0.0434). Mass moves to the class that is most probable already, and the smoothing
 *   vanishes.
 * @see labelSmoothingCe: every class alike
 * @see crossEntropy: s = 0
 * @example learnableLabelSmoothing(tensor([[0, 1]]), [1], { confusion: tensor([[4, 0], [0, 4]]), smoothing: 0.1 })
 */
export const learnableLabelSmoothing: Loss<Smoothing> = /* @__PURE__ */ describe(
  (<S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Labels,
    options: Smoothing & LossOptions,
  ): Tensor<Shape, D> => {
    const name = "learnableLabelSmoothing";
    checkOptions(name, options, known);
    const axis = scores(name, x, options?.axis);
    const { confusion, ...rest } = options ?? {};
    checkTensor(`${name}: confusion`, confusion);
    const n = x.shape[axis]!;
    if (confusion.rank !== 2 || confusion.shape[0] !== n || confusion.shape[1] !== n)
      throw new ShapeError(
        name,
        `confusion of shape ${showShape(confusion.shape)} stands beside ${n} classes`,
        `give shape [${n}, ${n}]`,
      );
    if (!(target instanceof Tensor) && !(target instanceof Int32Array) && !Array.isArray(target))
      throw new ArgumentError(
        name,
        `target is ${showValue(target)}`,
        "give class indices as an i32 tensor or an array of integers",
      );
    const outer = x.shape.filter((_, i) => i !== axis);
    const rows = take(confusion, positionsOf(x, target, outer, n));
    // The classes come last there, and stand where they do in x.
    const order = outer.map((_, i) => i).toSpliced(axis, 0, outer.length);
    const own = axis === x.rank - 1 ? rows : transpose(rows, order);
    return ofRows(x as Tensor<Shape, D>, target, { ...rest, confusion: own } as never);
  }) as never,
  {
    name: "learnableLabelSmoothing",
    kind: "structure",
    doc,
    source: "Szegedy et al. 2016, eq. 7, with a learned distribution in place of the uniform one",
    params: { target: { is: "label" }, confusion: { is: "row" }, smoothing: { is: "scalar", default: 0.1 } },
    options: known,
    laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"],
    examples: [
      {
        args: [
          [[0, Math.LN2]],
          [1],
          {
            confusion: [
              [0, 0],
              [0, 0],
            ],
            smoothing: 0,
          },
        ],
        gives: 0.4054651081081644,
      },
      {
        args: [
          [
            [0, Math.LN2],
            [1, 1],
          ],
          [1, 0],
          {
            confusion: [
              [0, 0],
              [1.0986122886681098, 0],
            ],
            smoothing: 1,
            reduction: "none",
          },
        ],
        gives: [0.9253254935281232, Math.LN2],
      },
    ],
  },
);
