// Cosine losses whose scale, margin or weights follow the training: AdaCos, CurricularFace, MagFace. What they remember between
// steps is given and returned, never kept here.

import { full } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { DomainError, showValue } from "../core/errors.ts";
import type { Op } from "../core/op.ts";
import {
  add,
  clamp,
  count,
  div,
  equal,
  floor,
  greater,
  index,
  max,
  maximum,
  mul,
  not,
  pick,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type Penalty, rowLoss } from "../core/rowloss.ts";
import {
  IGNORED,
  type OptionsArgument,
  type Params,
  RowOp,
  rowReduction,
  type ScalarLike,
} from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { kth, log } from "../core/words.ts";
import { centred, logSumExpCentred } from "../ops/maps/softmax.ts";
import { lengthOf } from "../ops/normalize.ts";
import { rotated, turned } from "./cosine-margins.ts";
import {
  type Features,
  type Head,
  head,
  type MarginOption,
  patched,
  type ScaleOption,
  type SteppedHead,
} from "./heads.ts";

// ---------------------------------------------------------------------------------------------------------------
// What a batch says of itself, as one row with an entry for each row of features; rows that do not count are −∞

const absent = Number.NEGATIVE_INFINITY;

const lse = (x: Row): Scalar => add(stop(max(x)), logSumExpCentred(centred(x)).lse) as Scalar;

/** Something of each row of cosines; −∞ where it does not count. */
const ofRows = (params: Params, program: (inputs: never) => Scalar): RowOp =>
  new RowOp("cosines", {
    gives: "scalar",
    params: { ...params, target: { is: "label" }, ignoreIndex: { is: "scalar", default: IGNORED } },
    nanRows: false,
    program: (inputs: { readonly target: Scalar; readonly ignoreIndex: Scalar }) => ({
      results: [select(equal(inputs.target, inputs.ignoreIndex), absent, program(inputs as never))],
    }),
  });

/** The right cosine. */
const rightOnes: RowOp = /* @__PURE__ */ ofRows({}, ({ x, target }: { x: Row; target: Scalar }) =>
  pick(x, target),
);

/** log Σ exp(s·c) over the wrong cosines. */
const wrongOnes: RowOp = /* @__PURE__ */ ofRows(
  { scale: { is: "scalar" } },
  ({ x, target, scale }: { x: Row; target: Scalar; scale: Scalar }) =>
    lse(select(equal(index, target), absent, mul(scale, x)) as Row),
);

/** Where rows count; one that is NaN does. */
const present = (x: Row): RowMask => not(equal(x, absent)) as RowMask;

/** Something of all rows that count; `before` where none does. */
const ofBatch = (params: Params, program: (inputs: never) => Scalar): RowOp =>
  new RowOp("batch", {
    gives: "scalar",
    params: { ...params, before: { is: "scalar" } },
    nanRows: false,
    program: (inputs: { readonly x: Row; readonly before: Scalar }) => ({
      results: [select(greater(count(present(inputs.x)), 0), program(inputs as never), inputs.before)],
    }),
  });

/** The scale at which the right class has probability ½ where the angle to it is the median one, at most π/4. */
const medianScale: RowOp = /* @__PURE__ */ ofBatch(
  { wrong: { is: "row" } },
  ({ x, wrong }: { x: Row; wrong: Row }) => {
    const logMean = sub(lse(wrong), log(count(present(x))));
    // The lower median of angles is the upper one of cosines, and no angle is needed.
    const median = kth(x, add(floor(mul(0.5, sub(count(present(x)), 1))), 1) as Scalar);
    return div(logMean, maximum(Math.SQRT1_2, median)) as Scalar;
  },
);

const movingMean: RowOp = /* @__PURE__ */ ofBatch(
  { momentum: { is: "scalar" } },
  ({ x, momentum, before }: { x: Row; momentum: Scalar; before: Scalar }) => {
    const mean = div(sum(select(present(x), x, 0)), count(present(x)));
    return add(mul(momentum, mean), mul(sub(1, momentum), before)) as Scalar;
  },
);

/** Runs such a formula over a batch, however many axes it has. */
function overBatch(op: RowOp, right: Tensor, given: { readonly [name: string]: unknown }): Tensor {
  const { before } = given;
  if (right.size === 0) {
    const { dtype, device } = right as Features;
    return before instanceof Tensor ? reshape(before, []) : full([], before as number, { dtype, device });
  }
  const flat = (t: unknown): unknown =>
    t instanceof Tensor && t.size === right.size && t !== before ? reshape(t, [right.size]) : t;
  const all = Object.fromEntries(Object.entries(given).map(([key, t]) => [key, flat(t)]));
  return op.call(reshape(right, [right.size]), all)[0]!;
}

// ---------------------------------------------------------------------------------------------------------------
// AdaCos

/**
 * Cross-entropy of cosines whose scale needs no tuning: by default it is √2·log(C − 1). `step` fits it to each batch instead and
 * returns it with the loss: give it to the next step, and to the loss where nothing is trained.
 *
 * Throws DomainError for fewer than three classes, for which that scale is no use. Below some ten classes it is too soft (C = 10:
 * 3.107, where `scaleBound` says 3.95): choose a scale for `cosineSoftmax`.
 *
 * @formula s_0=\sqrt2\,\log(C-1),\qquad s=\frac{\log B}{\cos\min(\pi/4,\theta_{\mathrm{med}})},\quad
 *   B=\frac1N\sum_i\sum_{j\ne t_i}e^{s_{\mathrm{prev}}\,c_{ij}}
 * @gradient dc = s\,(\mathrm{softmax}(s\,c)-e_t)
 * @remarks θ_med is the lower median of the angles to the right class. No gradient flows through s.
 * @see cosineSoftmax: a scale that is chosen or learned
 * @see scaleBound: the smallest scale that makes sense
 * @example
 * const x = tensor([[1, 2], [2, 1]]);
 * const weight = tensor([[1, 0], [0, 1], [-1, 1]]);
 * adacos(x, weight, [1, 0]); // 0.731
 * const { scale } = adacos.step(x, weight, [1, 0], {});
 * adacos(x, weight, [1, 0], { scale });
 */
export const adacos: SteppedHead<ScaleOption, "scale"> = /* @__PURE__ */ head("adacos", {
  doc: "Cross-entropy of cosines with a scale that follows from the number of classes, or from each batch.",
  source: "Zhang, Zhao, Qiao, Wang & Li 2019 (AdaCos), eq. 6, 12-15",
  params: { scale: { is: "scalar" } },
  complete: (given, classes) => {
    if (classes < 3)
      throw new DomainError(
        "adacos",
        `there are ${classes} classes, and the scale would be √2·log(${classes} − 1)`,
        "give at least 3 classes, or use cosineSoftmax",
      );
    return { ...given, scale: given.scale ?? Math.SQRT2 * Math.log(classes - 1) };
  },
  logits: ({ x, scale }) => mul(x, scale) as Row,
  next: {
    params: {},
    of: (similar, target, { scale, ignoreIndex }) => {
      const [right] = rightOnes.call(similar, { target, ignoreIndex });
      const [wrong] = wrongOnes.call(similar, { target, scale, ignoreIndex });
      return { scale: overBatch(medianScale, right!, { wrong, before: scale }) };
    },
  },
  domain: { scale: { min: 1, max: 4 } },
  examples: [
    {
      args: [
        [[2, 0]],
        [
          [3, 4],
          [4, -3],
          [0, 1],
        ],
        { i32: [1] },
      ],
      gives: 0.8234960745349251,
    },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// CurricularFace

interface CurricularOptions extends MarginOption {
  /** How much hard wrong classes weigh, a number or a tensor of one value; 0, the beginning of a training, by default. */
  readonly t?: ScalarLike;
}

interface Momentum {
  /** The share of the batch in the moving mean of `step`; 0.01 by default. */
  readonly momentum?: number;
}

/**
 * ArcFace with a curriculum: wrong classes nearer than the widened right angle count little at first and more as features
 * improve. `step` moves t towards the mean cosine of the right classes first, and returns it with the loss.
 *
 * @formula z_t\ \text{as arcface},\qquad z_j=\begin{cases}s\,c_j&c_j\le\cos(\theta_t+m)\\s\,c_j\,(r+c_j)&\text{else}\end{cases},\qquad
 *   r\leftarrow\mu\,\bar c_t+(1-\mu)\,r
 * @gradient dc_j=s\,dz_j\,(r+2c_j)\ \text{for hard ones, else}\ s\,dz_j
 * @remarks r is the option `t`, μ the momentum. No gradient flows through r, nor through which classes are hard.
 * @see arcface: all wrong classes alike
 * @example
 * const x = tensor([[1, 2], [2, 1]]);
 * const weight = tensor([[1, 0], [0, 1], [-1, 1]]);
 * const { t } = curricularface.step(x, weight, [1, 0], { t: 0 });
 * curricularface(x, weight, [1, 0], { t });
 */
export const curricularface: SteppedHead<CurricularOptions, "t", Momentum> = /* @__PURE__ */ head(
  "curricularface",
  {
    doc: "ArcFace in which hard wrong classes weigh more as training goes on.",
    source: "Huang et al. 2020 (CurricularFace), eq. 5-9",
    params: {
      scale: { is: "scalar", default: 64 },
      margin: { is: "scalar", default: 0.5, min: 0 },
      t: { is: "scalar", default: 0 },
    },
    logits: ({ x, target, scale, margin, t }) => {
      const own = pick(x, target);
      const r = stop(t);
      const others = select(greater(x, rotated(own, margin)), mul(x, add(r, x)), x) as Row;
      return mul(patched(others, target, turned(own, margin)), scale) as Row;
    },
    next: {
      params: { momentum: { is: "scalar", default: 0.01, min: 0, max: 1 } },
      of: (similar, target, { t = 0, momentum = 0.01, ignoreIndex }) => {
        const [right] = rightOnes.call(similar, { target, ignoreIndex });
        return { t: overBatch(movingMean, right!, { momentum, before: t }) };
      },
    },
    constants: ["t"],
    domain: { scale: { min: 1, max: 4 }, margin: { min: 0.1, max: 0.6 }, t: { min: 0, max: 1 } },
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
          { scale: 2, t: 0.5 },
        ],
        gives: 1.707242366691964,
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// MagFace

interface Magnitudes {
  /** The smallest length of features that is told from smaller ones, above 0; 10 by default. */
  readonly lA?: number;
  /** The largest; 110 by default. */
  readonly uA?: number;
}

interface Margins extends Magnitudes {
  /** The margin at the smallest length, from 0; 0.45 by default. */
  readonly lM?: number;
  /** The margin at the largest; 0.8 by default. */
  readonly uM?: number;
}

interface MagOptions extends Margins, ScaleOption {
  /** The weight λ_g of the regulariser, from 0; 35 by default. */
  readonly lambdaG?: ScalarLike;
}

/** MagFace, with what it makes of the length of features. */
export interface MagFace extends Head<MagOptions> {
  /** The margin of each row of features: [..., d] → [...]. */
  margin<D extends FloatDType>(x: Tensor<Shape, D>, ...rest: OptionsArgument<Margins>): Tensor<Shape, D>;
  /** What draws features to the largest length: a/u² + 1/a, smallest at a = u. */
  readonly regularizer: Penalty<Magnitudes>;
}

const magnitudes: {
  readonly lA: { readonly is: "scalar"; readonly default: number; readonly above: number };
  readonly uA: { readonly is: "scalar"; readonly default: number; readonly above: number };
} = {
  lA: { is: "scalar", default: 10, above: 0 },
  uA: { is: "scalar", default: 110, above: 0 },
};

const margins: typeof magnitudes & {
  readonly lM: { readonly is: "scalar"; readonly default: number; readonly min: number };
  readonly uM: { readonly is: "scalar"; readonly default: number; readonly min: number };
} = {
  ...magnitudes,
  lM: { is: "scalar", default: 0.45, min: 0 },
  uM: { is: "scalar", default: 0.8, min: 0 },
};

type Bounds = { readonly lA: Scalar; readonly uA: Scalar };

const marginOf = (
  length: Scalar,
  { lA, uA, lM, uM }: Bounds & { readonly lM: Scalar; readonly uM: Scalar },
): Scalar => add(mul(div(sub(uM, lM), sub(uA, lA)), sub(clamp(length, lA, uA), lA)), lM) as Scalar;

const pull = (length: Scalar, { lA, uA }: Bounds): Scalar => {
  const a = clamp(length, lA, uA);
  return add(div(a, mul(uA, uA)), div(1, a)) as Scalar;
};

const marginsOf: Op & MagFace["margin"] = /* @__PURE__ */ rowReduction("magface: margin", {
  doc: "The margin of features by their length.",
  params: margins,
  program: ({ x, ...bounds }) => marginOf(lengthOf(x), bounds),
  over: "last",
  examples: [],
});

const regularizer: Penalty<Magnitudes> = /* @__PURE__ */ rowLoss("magface: regularizer", {
  doc: "What draws features to the largest length.",
  against: "nothing",
  params: magnitudes,
  program: ({ x, lA, uA }) => pull(lengthOf(x), { lA, uA }),
  examples: [],
});

/**
 * ArcFace whose margin grows with the length of the features, while a regulariser draws them to be long: features that are easy
 * to tell end up long, and their length says how good a sample is. `magface.margin` and `magface.regularizer` give the parts.
 *
 * @formula z_t=s\cos\bigl(\theta_t+m(a)\bigr),\quad m(a)=\frac{u_m-l_m}{u_a-l_a}(a-l_a)+l_m,\quad a=\mathrm{clamp}(\lVert x\rVert,l_a,u_a),\qquad
 *   L=-\log\mathrm{softmax}(z)_t+\lambda_g\Bigl(\frac a{u_a^2}+\frac1a\Bigr)
 * @gradient d\lVert x\rVert = \Bigl(\frac{\partial z_t}{\partial m}\,dz_t\,\frac{u_m-l_m}{u_a-l_a}+\lambda_g\bigl(u_a^{-2}-a^{-2}\bigr)\Bigr)\,[l_a\le\lVert x\rVert\le
 *   u_a],\qquad dc\ \text{as arcface}
 * @see arcface: one margin for all
 * @example magface(tensor([[1, 2]]), tensor([[1, 0], [0, 1], [-1, 1]]), [1], { scale: 64, lA: 10, uA: 110 })
 */
export const magface: MagFace = /* @__PURE__ */ Object.assign(
  /* @__PURE__ */ head("magface", {
    doc: "ArcFace with a margin that grows with the length of features, which are drawn to be long.",
    source: "Meng, Zhao, Huang & Zhou 2021 (MagFace), eq. 4-8",
    params: {
      scale: { is: "scalar", default: 64 },
      ...margins,
      lambdaG: { is: "scalar", default: 35, min: 0 },
    },
    complete: (given) => {
      const { lA = 10, uA = 110 } = given;
      if (typeof lA === "number" && typeof uA === "number" && !(lA < uA))
        throw new DomainError(
          "magface",
          `lA is ${showValue(lA)} beside uA = ${showValue(uA)}`,
          "give lA below uA",
        );
      return given;
    },
    reads: ["length"],
    logits: ({ x, target, scale, length, ...bounds }) =>
      mul(patched(x, target, turned(pick(x, target), marginOf(length, bounds))), scale) as Row,
    penalty: ({ length, lambdaG, lA, uA }) => mul(lambdaG, pull(length, { lA, uA })) as Scalar,
    domain: { scale: { min: 1, max: 4 }, lambdaG: { min: 0, max: 2 } },
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
          { scale: 2, lA: 1, uA: 5, lambdaG: 1 },
        ],
        gives: 1.8975045203335548,
      },
    ],
  }),
  { margin: marginsOf, regularizer },
) as unknown as MagFace;
