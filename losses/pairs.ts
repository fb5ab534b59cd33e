// Losses of the similarities of all pairs in a batch: labels or places say which rows belong together. Rows of classes or of keys
// that stand beside the batch are heads (`heads.ts`).

import { range } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ShapeError, showShape } from "../core/errors.ts";
import { checkFloat, checkOptions, describe, type Op, sameBackend } from "../core/op.ts";
import {
  add,
  and,
  count,
  equal,
  greater,
  index,
  max,
  mul,
  neg,
  not,
  pick,
  type Row,
  type RowMask,
  relu,
  type Scalar,
  type ScalarMask,
  select,
  stop,
  sub,
} from "../core/row/expr.ts";
import { type Loss, type LossOptions, reductionOf, rowLoss } from "../core/rowloss.ts";
import {
  checkArguments,
  checkedLabels,
  type Labels,
  type OptionsArgument,
  type Params,
  type ScalarLike,
} from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { softplus } from "../core/words.ts";
import { equal as sameEntries } from "../ops/elementwise.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { linear } from "../ops/matmul.ts";
import { normalize } from "../ops/normalize.ts";
import { sum as total } from "../ops/reduce.ts";
import { type Features, type Head, head, patched } from "./heads.ts";

export type Reducing = Pick<LossOptions, "reduction">;

/** A loss of one batch of features, [N, d]. */
export type BatchLoss<O extends object> = (<D extends FloatDType>(
  z: Tensor<Shape, D>,
  ...rest: OptionsArgument<O & Reducing>
) => Tensor<Shape, D>) &
  Op;

/** A loss of one batch of features, [N, d], and a number for each row that says which belong together. */
export type LabelledLoss<O extends object> = (<D extends FloatDType>(
  z: Tensor<Shape, D>,
  labels: Labels,
  ...rest: OptionsArgument<O & Reducing>
) => Tensor<Shape, D>) &
  Op;

type Given = { readonly [name: string]: unknown };

/** Refuses what is no batch of features; options and scalars are checked too. */
export function checkBatch(
  name: string,
  z: unknown,
  options: unknown,
  params: Params,
): asserts z is Features {
  checkOptions(name, options, [...Object.keys(params), "reduction"]);
  checkTensor(name, z);
  checkFloat(name, z);
  if (z.rank !== 2 || z.shape[1] === 0)
    throw new ShapeError(name, `shape ${showShape(z.shape)} is no batch of features`, "give [N, d]");
  reductionOf(name, (options as Given | undefined)?.reduction);
  checkArguments(name, params, (options ?? {}) as Given, z.shape[0]!);
}

/** The loss of no rows: 0, or no entries. */
export const ofNothing = (z: Features, options: Reducing | undefined): Features =>
  total(z as never, options?.reduction === "none" ? { axis: -1 } : undefined) as Features;

/** The cosines of all pairs of rows. */
export function cosinesWithin(z: Features): Features {
  const directions = normalize(z as never) as Features;
  return linear(directions, directions as never) as Features;
}

/** The places of the rows of a batch. */
export const places = (z: Tensor): Tensor<Shape, "i32"> =>
  range(z.shape[0]!, { dtype: "i32", device: z.device });

/** A loss of the cosines of each row, whose place is the target, to all rows, and of those that have its label. */
export type OfPairs = Loss<{ readonly together: Tensor<Shape, "bool"> }>;

/** A loss of pairs as a function of features and labels. */
export function ofLabelled<O extends object>(
  params: Params,
  loss: OfPairs,
  card: Omit<Op["info"], "kind" | "laws" | "options">,
): LabelledLoss<O> {
  const { name } = card;
  const fn = (z: Features, labels: Labels, options?: O & Reducing): Features => {
    checkBatch(name, z, options, params);
    const own = checkedLabels(name, "labels", labels, z.backend, z.shape.slice(0, 1), undefined);
    sameBackend(name, [z, own]);
    if (z.size === 0) return ofNothing(z, options);
    const count = z.shape[0]!;
    const together = sameEntries(
      reshape(own as never, [count, 1]) as never,
      reshape(own as never, [1, count]) as never,
    ) as never;
    return loss(cosinesWithin(z) as never, places(z), { ...options, together } as never) as Features;
  };
  return describe(fn as never, {
    ...card,
    kind: "structure",
    laws: [],
    options: [...Object.keys(params), "reduction"],
  }) as unknown as LabelledLoss<O>;
}

export const together: { readonly together: { readonly is: "row"; readonly stored: "bool" } } = {
  together: { is: "row", stored: "bool" },
};

/** log Σ eˣ over the kept entries; where there are not `some`, any number will do. */
export function lseOf(x: Row, kept: RowMask, some: ScalarMask): Scalar {
  const z = select(kept, x, select(some, Number.NEGATIVE_INFINITY, 0)) as Row;
  return add(stop(max(z)), logSumExpCentred(centred(z)).lse) as Scalar;
}

/** Where the other rows of the same label are, and where those of others. */
export function sides(
  place: Scalar,
  same: RowMask,
): { readonly others: RowMask; readonly positive: RowMask } {
  const others = not(equal(index, place)) as RowMask;
  return { others, positive: and(others, same) as RowMask };
}

// ---------------------------------------------------------------------------------------------------------------
// Circle loss

interface CircleOptions {
  /** The margin m from 0: similarities are to reach 1 − m within a class and to fall to m between classes. */
  readonly m?: ScalarLike;
  /** The factor γ > 0. */
  readonly gamma?: ScalarLike;
}

const circle = (
  m: number,
  gamma: number,
): {
  readonly m: { readonly is: "scalar"; readonly default: number; readonly min: number };
  readonly gamma: { readonly is: "scalar"; readonly default: number; readonly above: number };
} => ({
  m: { is: "scalar", default: m, min: 0 },
  gamma: { is: "scalar", default: gamma, above: 0 },
});

/** How far similarities are past where they should be, times how far they are from where they would be best; the latter is constant. */
const nearness = (s: Row, m: Scalar, gamma: Scalar): Row =>
  mul(mul(gamma, stop(relu(add(s, m)))), sub(s, m)) as Row;
const likeness = <A extends Row | Scalar>(s: A, m: Scalar, gamma: Scalar): A =>
  mul(mul(gamma, stop(relu(sub(add(1, m), s)))), sub(s, sub(1, m))) as never;

const circleParams = circle(0.4, 80);

const circlePairs: OfPairs = /* @__PURE__ */ rowLoss("circleLoss", {
  doc: "How the similarities of an anchor within its class fall behind those between classes, each weighed by its distance from the best.",
  against: "labels",
  params: { ...circleParams, ...together },
  program: ({ x, target, m, gamma, together }) => {
    const { positive } = sides(target, together);
    const negative = not(together) as RowMask;
    const both = and(greater(count(positive), 0), greater(count(negative), 0));
    const wrong = lseOf(nearness(x, m, gamma), negative, both);
    const right = lseOf(neg(likeness(x, m, gamma)), positive, both);
    return {
      loss: select(both, softplus(add(wrong, right)), 0) as Scalar,
      weight: select(both, 1, 0) as Scalar,
    };
  },
  examples: [],
});

/**
 * Similarities within a class are to be large and those between classes small, and the further one is from where it should be
 * the harder it is pulled. Features [N, d] and a label for each; the mean is over rows that have both another row of their label
 * and one of another label (none: 0).
 *
 * @formula L_i=\mathrm{softplus}\Bigl(\log\sum_n e^{\gamma\alpha_n(s_n-m)}+\log\sum_p e^{-\gamma\alpha_p(s_p-1+m)}\Bigr),\quad
 *   \alpha_n=[s_n+m]_+,\quad\alpha_p=[1+m-s_p]_+
 * @gradient ds_n=\sigma(\cdot)\,\mathrm{softmax}_n\,\gamma\alpha_n,\qquad ds_p=-\sigma(\cdot)\,\mathrm{softmax}_p\,\gamma\alpha_p
 * @remarks The weights α count as constants, so this is not the derivative of the value. s are cosines.
 * @see circleLossClasses: against class rows
 * @see supConLoss: without the weights
 * @example circleLoss(tensor([[1, 2], [2, 3], [-1, 1], [-2, 1]]), [0, 0, 1, 1], { m: 0.25, gamma: 80 })
 */
export const circleLoss: LabelledLoss<CircleOptions> = /* @__PURE__ */ ofLabelled<CircleOptions>(
  circleParams,
  circlePairs,
  {
    name: "circleLoss",
    doc: "How similarities within classes fall behind those between classes, each weighed by its distance from the best.",
    source: "Sun et al. 2020 (circle loss), eq. 6-8",
    examples: [
      {
        args: [
          [
            [1, 0],
            [0, 1],
            [1, 1],
          ],
          { i32: [0, 1, 0] },
          { gamma: 2 },
        ],
        gives: 0.7399805491259486,
      },
    ],
  },
);

/**
 * Circle loss against class rows: cross-entropy of cosines that are weighed by their distance from the best. For options that
 * are shared by all heads see `cosineSoftmax`.
 *
 * @formula z_t=\gamma\,\alpha_p\,(c_t-1+m),\quad z_j=\gamma\,\alpha_n\,(c_j-m),\qquad\alpha_p=[1+m-c_t]_+,\quad\alpha_n=[c_j+m]_+
 * @gradient dc_t=\gamma\,\alpha_p\,dz_t,\qquad dc_j=\gamma\,\alpha_n\,dz_j
 * @remarks The weights α count as constants, so this is not the derivative of the value.
 * @see circleLoss: of the pairs in a batch
 * @example circleLossClasses(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { m: 0.25, gamma: 256 })
 */
export const circleLossClasses: Head<CircleOptions> = /* @__PURE__ */ head("circleLossClasses", {
  doc: "Cross-entropy of cosines to class rows, each weighed by its distance from the best.",
  source: "Sun et al. 2020 (circle loss), eq. 6-8",
  params: circle(0.25, 256),
  logits: ({ x, target, m, gamma }) =>
    patched(nearness(x, m, gamma), target, likeness(pick(x, target), m, gamma)),
  domain: { m: { min: 0.1, max: 0.5 }, gamma: { min: 1, max: 4 } },
  examples: [
    {
      args: [
        [
          [2, 0],
          [0, 3],
        ],
        [
          [3, 4],
          [4, -3],
          [0, 1],
        ],
        { i32: [1, 0] },
        { gamma: 2 },
      ],
      gives: 1.6887006203926882,
    },
  ],
});
