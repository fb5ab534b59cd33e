// Losses of distances and angles to centres and prototypes: means of classes that move along, means of a few samples, and
// directions that are fixed beforehand.

import { zeros, zerosLike } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkFloat, checkOptions, describe, type Op, sameBackend } from "../core/op.ts";
import { type IgnoreOption, type Loss, type LossOptions, reductionOf, rowLoss } from "../core/rowloss.ts";
import { checkedLabels, IGNORED, type Labels } from "../core/rowop.ts";
import { type Checked, type Linear, type Shape, sizeOf } from "../core/shape.ts";
import { stopGradient, untracked } from "../core/tape.ts";
import { checkTensor, hostCopy, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import * as words from "../core/words.ts";
import { add, cast, div, mul, neg, notEqual, square, sub, where } from "../ops/elementwise.ts";
import { scatterAdd, take } from "../ops/indexing.ts";
import { linear } from "../ops/matmul.ts";
import { mean, sum } from "../ops/reduce.ts";
import { checkLabelled, cosines, type Features, type Head, head, type ScaleOption } from "./heads.ts";
import { type BatchLoss, checkBatch, cosinesWithin, places } from "./pairs.ts";

type Reducing = Pick<LossOptions, "reduction">;

// ---------------------------------------------------------------------------------------------------------------
// Centres

/** The loss of features and the centres of their classes. Nothing is trained through the centres. */
export interface CenterLoss extends Op {
  <X extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<X, D>,
    centers: Checked<Tensor<W, D>, Linear<X, W>>,
    target: Labels,
    options?: IgnoreOption & Reducing,
  ): Tensor<Shape, D>;
  step<X extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<X, D>,
    centers: Checked<Tensor<W, D>, Linear<X, W>>,
    target: Labels,
    options?: IgnoreOption & Reducing & { readonly alpha?: number },
  ): { readonly loss: Tensor<Shape, D>; readonly centers: Tensor<W, D> };
}

const toCenter: Loss<{ readonly center: Tensor }> = /* @__PURE__ */ rowLoss("centerLoss", {
  doc: "Half the squared distance of a row to its centre.",
  against: "labels",
  params: { center: { is: "row" } },
  program: ({ x, center }) => {
    const d = words.sub(x, words.stop(center));
    return words.mul(0.5, words.sum(words.mul(d, d))) as words.Scalar;
  },
  examples: [],
});

const centerOptions: readonly string[] = ["reduction", "ignoreIndex"];

/** The loss, and what moves the centres. */
function centered(
  x: Features,
  centers: Features,
  target: Labels,
  options: { readonly [name: string]: unknown } | undefined,
  known: readonly string[],
) {
  const name = "centerLoss";
  checkOptions(name, options, known);
  const { reduction, ignoreIndex = IGNORED, alpha = 0.5 } = options ?? {};
  reductionOf(name, reduction);
  if (!Number.isInteger(ignoreIndex))
    throw new DomainError(name, `ignoreIndex is ${showValue(ignoreIndex)}`, "give an integer");
  if (typeof alpha !== "number" || !(alpha >= 0 && alpha <= 1))
    throw new DomainError(name, `alpha is ${showValue(alpha)}`, "give a number from 0 to 1");
  const { labels } = checkLabelled(name, x, centers, target, ignoreIndex);
  const counts = notEqual(labels, ignoreIndex as never) as Tensor<Shape, "bool">;
  // A row that does not count is compared with the first centre, and left out.
  const kept = cast(counts as never, "i32") as Tensor<Shape, "i32">;
  const at = mul(labels, kept as never) as Tensor<Shape, "i32">;
  const mark = mul(sub(kept, 1 as never) as never, -IGNORED as never) as Tensor<Shape, "i32">;
  const own = take(centers, at) as Features;
  const loss = toCenter(x as never, mark, { center: own, reduction: (reduction ?? "mean") as "mean" });
  return { loss: loss as Features, at, counts, own, alpha };
}

/**
 * Half the squared distance of features [..., d] to the centre of their class, one of [C, d]: added to a cross-entropy, with a
 * weight of .003 to .01, it draws a class together. Centres are not trained by an optimizer: `step` moves each towards the mean
 * of its rows, by `alpha` (0.5 by default) and less where they are few, and returns all of them with the loss.
 *
 * @formula L_i=\tfrac12\lVert x_i-c_{t_i}\rVert^2,\qquad c_j\leftarrow c_j-\alpha\,\frac{\sum_{i:t_i=j}(c_j-x_i)}{1+n_j}
 * @gradient dx_i = x_i-c_{t_i},\qquad dc=0
 * @see prototypicalLoss: distances to all classes
 * @see arcface: draws classes together by angles
 * @example
 * const x = tensor([[1, 2], [2, 1]]);
 * const centers = tensor([[0, 0], [1, 1]]);
 * centerLoss(x, centers, [0, 1]);
 * centerLoss.step(x, centers, [0, 1], { alpha: 0.5 }).centers;
 */
export const centerLoss: CenterLoss = /* @__PURE__ */ describe(
  /* @__PURE__ */ Object.assign(
    (...[x, centers, target, options]: readonly unknown[]): Tensor =>
      centered(x as Features, centers as Features, target as Labels, options as never, centerOptions).loss,
    {
      step: (...[x, centers, target, options]: readonly unknown[]): { readonly [name: string]: Tensor } => {
        const [rows, before] = [x as Features, centers as Features];
        const known = [...centerOptions, "alpha"];
        const { loss, at, counts, own, alpha } = centered(
          rows,
          before,
          target as Labels,
          options as never,
          known,
        );
        const moved = untracked(() => {
          const [classes, width] = before.shape as [number, number];
          const count = sizeOf(at.shape);
          const flat = (t: Tensor, ...more: number[]): never =>
            reshape(t as never, [count, ...more]) as never;
          const off = where(flat(counts, 1), flat(sub(own, rows as never) as Tensor, width), 0 as never);
          const ones = cast(flat(counts), rows.dtype);
          const rest = scatterAdd(zerosLike(before), flat(at), off as never);
          const none = zeros([classes], { dtype: rows.dtype, device: rows.device }) as Features;
          const divisor = add(scatterAdd(none, flat(at), ones as never), 1);
          const share = div(mul(rest, alpha) as never, reshape(divisor as never, [classes, 1]) as never);
          return sub(before, share as never) as Tensor;
        });
        return { loss, centers: moved };
      },
    },
  ),
  {
    name: "centerLoss",
    kind: "structure",
    doc: "Half the squared distance of features to the centre of their class.",
    source: "Wen, Zhang, Li & Qiao 2016 (center loss), eq. 2-5",
    constants: ["centers"],
    options: centerOptions,
    laws: [],
    examples: [
      {
        args: [
          [
            [2, 0],
            [0, 3],
          ],
          [
            [1, 0],
            [0, 0],
          ],
          { i32: [0, 1] },
        ],
        gives: 2.5,
      },
    ],
  },
) as unknown as CenterLoss;

// ---------------------------------------------------------------------------------------------------------------
// Prototypes of a few samples

/**
 * The mean of the support of each class: rows [N, d] and their classes → [C, d]. What `prototypicalLoss` compares queries with;
 * its gradient goes to every row of the class, over their number.
 *
 * Throws DomainError for a class without support. Classes that only the device knows are not looked at: one without support is NaN.
 * @example prototypes(tensor([[1, 0], [3, 0], [0, 1]]), [0, 0, 1], { classes: 2 }) // [[2, 0], [0, 1]]
 */
export function prototypes<D extends FloatDType>(
  support: Tensor<Shape, D>,
  target: Labels,
  options: { readonly classes: number },
): Tensor<Shape, D> {
  const name = "prototypes";
  checkOptions(name, options, ["classes"]);
  checkTensor(name, support);
  checkFloat(name, support);
  const classes: unknown = options?.classes;
  if (typeof classes !== "number" || !(Number.isInteger(classes) && classes >= 1))
    throw new ArgumentError(name, `classes is ${showValue(classes)}`, "give the number of classes");
  if (support.rank !== 2)
    throw new ShapeError(name, `support of shape ${showShape(support.shape)} is no matrix`, "give [N, d]");
  const [rows, width] = support.shape as [number, number];
  const labels = checkedLabels(name, "target", target, support.backend, [rows], classes);
  sameBackend(name, [support, labels]);
  if (labels.device !== "webgpu" || labels.host !== null) {
    const found = new Set<number>(hostCopy(labels));
    for (let c = 0; c < classes; c++)
      if (!found.has(c))
        throw new DomainError(
          name,
          `class ${c} has no support`,
          "give at least one row of support for each class",
        );
  }
  const { dtype, device } = support;
  const sums = scatterAdd(zeros([classes, width], { dtype, device }) as Features, labels, support as never);
  const ones = add(zeros([rows], { dtype, device }) as Features, 1);
  const counts = scatterAdd(zeros([classes], { dtype, device }) as Features, labels, ones as never);
  return div(sums, reshape(counts as never, [classes, 1]) as never) as Tensor<Shape, D>;
}

/** Distances see differences only: what all prototypes share goes first, so that squares do not swallow them. */
function centred(query: Features, means: Features): [query: Features, means: Features] {
  const middle = stopGradient(mean(means as never, { axis: 0 }) as Features);
  return [sub(query, middle as never) as Features, sub(means, middle as never) as Features];
}

const squares = (t: Features, keepDims = false): Features =>
  sum(square(t) as never, { axis: -1, keepDims }) as Features;

interface PrototypicalOptions extends ScaleOption {
  /** What is compared: squared Euclidean distances (the default) or cosines. */
  readonly distance?: "sqeuclidean" | "cosine";
}

/**
 * Cross-entropy of how near queries [..., d] are to the prototype of each class, [C, d], as `prototypes` makes them of a few
 * samples. With squared distances it is a linear classifier with weights 2P and biases −‖P‖².
 *
 * @formula z_j=-s\,\lVert q-P_j\rVert^2\ \text{or}\ s\,\cos(q,P_j),\qquad L=-\log\mathrm{softmax}(z)_t
 * @gradient dq=2s\sum_j dz_j\,P_j,\qquad dP_j=2s\,dz_j\,(q-P_j),\qquad dz=\mathrm{softmax}(z)-e_t
 * @see prototypes: the means
 * @see cosineSoftmax: class rows that are learned
 * @example
 * const means = prototypes(tensor([[1, 2], [2, 3], [-1, 1]]), [0, 0, 1], { classes: 2 });
 * prototypicalLoss(tensor([[1, 1], [-2, 0]]), means, [0, 1]);
 */
export const prototypicalLoss: Head<PrototypicalOptions> = /* @__PURE__ */ head("prototypicalLoss", {
  doc: "Cross-entropy of how near queries are to the prototype of each class.",
  source: "Snell, Swersky & Zemel 2017, eq. 1-2",
  params: {
    scale: { is: "scalar", default: 1 },
    distance: {
      is: "static",
      default: "sqeuclidean" as string,
      check: (v) => (v === "sqeuclidean" || v === "cosine" ? undefined : 'give "sqeuclidean" or "cosine"'),
    },
  },
  logits: ({ x, scale }) => words.mul(x, scale) as words.Row,
  similarities: (query, means, { distance = "sqeuclidean" }) => {
    if (distance === "cosine") return cosines(query, means);
    const [q, p] = centred(query, means);
    return linear(q as never, mul(p, 2) as never, neg(squares(p)) as never) as Features;
  },
  shared: (query, means, { distance = "sqeuclidean" }) =>
    distance === "cosine" ? undefined : (neg(squares(centred(query, means)[0], true)) as Features),
  domain: { scale: { min: 0.2, max: 1 } },
  examples: [
    {
      args: [
        [
          [2, 0],
          [0, 3],
        ],
        [
          [1, 0],
          [0, 1],
        ],
        { i32: [0, 1] },
        { distance: "sqeuclidean" },
      ],
      gives: 0.010312806527770169,
    },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// Prototypes that are fixed beforehand

/** A loss of features against directions of classes that are not trained. */
export interface PrototypeLoss extends Op {
  <X extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<X, D>,
    prototypes: Checked<Tensor<W, D>, Linear<X, W>>,
    target: Labels,
    options?: IgnoreOption & Reducing,
  ): Tensor<Shape, D>;
}

const ofAngle: Loss = /* @__PURE__ */ rowLoss("hypersphericalPrototypeLoss", {
  doc: "The squared distance of a cosine to 1.",
  against: "labels",
  program: ({ x, target }) => {
    const short = words.sub(1, words.pick(x, target));
    return words.mul(short, short) as words.Scalar;
  },
  examples: [],
});

/**
 * (1 − cos)² between features [..., d] and the prototype of their class, one of [C, d] that are fixed beforehand, far from one
 * another: classes get their place on the sphere before anything is learned.
 *
 * @formula L_i=(1-c_t)^2,\qquad c_t=\cos(x_i,P_{t_i})
 * @gradient dc_t=-2\,(1-c_t)
 * @see prototypeSeparationLoss: finds such prototypes
 * @see cosineSoftmax: prototypes that are learned
 * @example hypersphericalPrototypeLoss(tensor([[1, 2], [2, 1]]), tensor([[1, 0], [0, 1], [-1, 0]]), [2, 0])
 */
export const hypersphericalPrototypeLoss: PrototypeLoss = /* @__PURE__ */ describe(
  ((x: Features, fixed: Features, target: Labels, options?: IgnoreOption & Reducing): Features => {
    const name = "hypersphericalPrototypeLoss";
    checkOptions(name, options, ["reduction", "ignoreIndex"]);
    reductionOf(name, options?.reduction);
    const { labels } = checkLabelled(name, x, fixed, target, options?.ignoreIndex);
    return ofAngle(cosines(x, fixed) as never, labels, options as never) as Features;
  }) as never,
  {
    name: "hypersphericalPrototypeLoss",
    kind: "structure",
    doc: "How far the cosine of features to the fixed prototype of their class is from 1, squared.",
    source: "Mettes, van der Pol & Snoek 2019, eq. 1",
    options: ["reduction", "ignoreIndex"],
    laws: [],
    examples: [
      {
        args: [
          [
            [2, 0],
            [0, 3],
          ],
          [
            [1, 0],
            [1, 0],
          ],
          { i32: [0, 1] },
        ],
        gives: 0.5,
      },
    ],
  },
);

const nearest: Loss = /* @__PURE__ */ rowLoss("prototypeSeparationLoss", {
  doc: "The largest cosine to another row.",
  against: "labels",
  program: ({ x, target }) =>
    words.max(words.select(words.equal(words.index, target), Number.NEGATIVE_INFINITY, x)),
  examples: [],
});

/**
 * The cosine of each prototype [C, d] to its nearest neighbour: what has to fall for prototypes to spread over the sphere. Use
 * `normalize` on them after each step. The optimum for C ≤ d + 1 is a simplex, with cosine −1/(C − 1). For more prototypes lower
 * the largest of all, `max(prototypeSeparationLoss(p, { reduction: "none" }))`: under the mean two of them can be pressed together
 * by their neighbours, and where they meet the cosine has no slope.
 *
 * @formula L_i=\max_{j\ne i}\cos(P_i,P_j)
 * @gradient dc_{ij}=1\ \text{for the first}\ j\ \text{of the largest cosine}
 * @see hypersphericalPrototypeLoss: what the prototypes are for
 * @example prototypeSeparationLoss(tensor([[1, 0], [0, 1]])) // 0
 */
export const prototypeSeparationLoss: BatchLoss<object> = /* @__PURE__ */ describe(
  ((rows: Features, options?: Reducing): Features => {
    const name = "prototypeSeparationLoss";
    checkBatch(name, rows, options, {});
    if (rows.shape[0]! < 2)
      throw new ShapeError(name, `${rows.shape[0]} prototypes have no neighbours`, "give at least two");
    return nearest(cosinesWithin(rows) as never, places(rows), options as never) as Features;
  }) as never,
  {
    name: "prototypeSeparationLoss",
    kind: "structure",
    doc: "The cosine of each prototype to its nearest neighbour.",
    source: "Mettes, van der Pol & Snoek 2019, eq. 3",
    options: ["reduction"],
    laws: [],
    examples: [
      {
        args: [
          [
            [1, 0],
            [0, 1],
          ],
        ],
        gives: 0,
      },
    ],
  },
);
