// Contrastive losses: which rows belong together, found by a softmax over the similarities to all others. Written with the pairs of
// `pairs.ts` and, where keys stand beside the queries, with heads.

import type { FloatDType } from "../core/dtype.ts";
import { ShapeError, showShape } from "../core/errors.ts";
import { describe, type Op } from "../core/op.ts";
import {
  add,
  constant,
  count,
  div,
  equal,
  greater,
  index,
  less,
  mul,
  n,
  type Row,
  type Scalar,
  select,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type Loss, rowLoss } from "../core/rowloss.ts";
import type { OptionsArgument, ScalarLike } from "../core/rowop.ts";
import { type Shape, sameShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { exp, add as plus, mul as times } from "../ops/elementwise.ts";
import { linear } from "../ops/matmul.ts";
import { crossEntropyOf } from "./cross-entropy.ts";
import { checkFeatures, cosines, type Features, type Head, head } from "./heads.ts";
import {
  type BatchLoss,
  checkBatch,
  cosinesWithin,
  type LabelledLoss,
  lseOf,
  type OfPairs,
  ofLabelled,
  ofNothing,
  places,
  type Reducing,
  sides,
  together,
} from "./pairs.ts";

interface TemperatureOption {
  /** The temperature τ > 0 of the similarities, a number or a tensor that is learned. */
  readonly temperature?: ScalarLike;
}

const temperature = (
  usual: number,
): { readonly temperature: { readonly is: "scalar"; readonly default: number; readonly above: number } } => ({
  temperature: { is: "scalar", default: usual, above: 0 },
});

interface InfoNceOptions extends TemperatureOption {
  /** Whether similarities are cosines (the default), or plain products. */
  readonly normalize?: boolean;
}

/**
 * Which of M keys belongs to each query? Cross-entropy of their similarities [..., M], with the place of the right key as the
 * target; queries may share a key. log M less the loss is, on average, a lower bound of the mutual information of queries and keys:
 * it never exceeds log M.
 *
 * @formula L=-\log\mathrm{softmax}(z)_t,\qquad z_j=\frac{\langle\hat q,\hat k_j\rangle}\tau
 * @gradient dz=\mathrm{softmax}(z)-e_t
 * @see ntXent: two views of each sample, each a key of the others
 * @see clipLoss: both directions
 * @see cosineSoftmax: keys that are class rows
 * @example infoNce(tensor([[1, 2], [2, 1]]), tensor([[1, 3], [3, 1], [-1, 0]]), [0, 1], { temperature: 0.1 })
 */
export const infoNce: Head<InfoNceOptions> = /* @__PURE__ */ head("infoNce", {
  doc: "Cross-entropy of the similarities between queries and keys, of which one is right.",
  source: "van den Oord, Li & Vinyals 2018 (CPC), eq. 4",
  params: {
    ...temperature(0.1),
    normalize: {
      is: "static",
      default: true as boolean,
      check: (v) => (typeof v === "boolean" ? undefined : "give true or false"),
    },
  },
  logits: ({ x, temperature }) => div(x, temperature) as Row,
  similarities: (query, key, { normalize = true }) =>
    normalize ? cosines(query, key) : (linear(query as never, key as never) as Features),
  domain: { temperature: { min: 0.3, max: 2 } },
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
        { temperature: 0.5 },
      ],
      gives: 0.7821245611720524,
    },
  ],
});

const ntXentParams = temperature(0.5);

const ofViews: Loss<TemperatureOption> = /* @__PURE__ */ rowLoss("ntXent", {
  doc: "How well a view finds its partner.",
  against: "labels",
  params: ntXentParams,
  program: ({ x, target, temperature }) => {
    // A row and its partner stand half a batch apart.
    const half = mul(0.5, n);
    const self = select(less(target, half), add(target, half), sub(target, half));
    const z = select(equal(index, self), Number.NEGATIVE_INFINITY, div(x, temperature)) as Row;
    return crossEntropyOf(z, target, constant(0));
  },
  examples: [],
});

/**
 * Two views of each of N samples are to find each other among all 2N: rows i and i + N of [2N, d] belong together. The loss of
 * SimCLR; the mean is over all 2N.
 *
 * @formula L_i=-\log\frac{e^{c_{i,p(i)}/\tau}}{\sum_{j\ne i}e^{c_{ij}/\tau}},\qquad c_{ij}=\langle\hat z_i,\hat z_j\rangle
 * @gradient dc_{ij}=\tfrac1\tau\Bigl(\frac{e^{c_{ij}/\tau}}{\sum_{k\ne i}e^{c_{ik}/\tau}}-[j=p(i)]\Bigr),\quad j\ne i
 * @see supConLoss: with labels, and any number of rows that belong together
 * @see clipLoss: views of two kinds
 * @example ntXent(concat([tensor([[1, 2], [2, -1]]), tensor([[1, 3], [3, -1]])]), { temperature: 0.5 })
 */
export const ntXent: BatchLoss<TemperatureOption> = /* @__PURE__ */ describe(
  ((z: Features, options?: TemperatureOption & Reducing): Features => {
    checkBatch("ntXent", z, options, ntXentParams);
    const [count] = z.shape as [number, number];
    if (count % 2 === 1)
      throw new ShapeError("ntXent", `${count} rows are not two views of each sample`, "give [2N, d]");
    if (z.size === 0) return ofNothing(z, options);
    const partners = Int32Array.from({ length: count }, (_, i) => (i + count / 2) % count);
    return ofViews(cosinesWithin(z) as never, partners, options) as Features;
  }) as never,
  {
    name: "ntXent",
    kind: "structure",
    doc: "How well two views of each sample find each other among all.",
    source: "Chen, Kornblith, Norouzi & Hinton 2020 (SimCLR), eq. 1",
    laws: [],
    options: ["temperature", "reduction"],
    domain: { temperature: { min: 0.3, max: 2 } },
    examples: [
      {
        args: [
          [
            [1, 0],
            [0, 1],
            [1, 1],
            [1, 2],
          ],
          { temperature: 0.5 },
        ],
        gives: 0.8596741447479579,
      },
    ],
  },
);

interface ClipOptions {
  /** The logarithm of the factor of the cosines, a number or a tensor that is learned; log(1/0.07) by default. */
  readonly logScale?: ScalarLike;
}

/** A loss of two batches of features, [N, d], of which equal rows belong together. */
export type TwoBatchLoss<O extends object> = (<D extends FloatDType>(
  a: Tensor<Shape, D>,
  b: Tensor<Shape, NoInfer<D>>,
  ...rest: OptionsArgument<O & Reducing>
) => Tensor<Shape, D>) &
  Op;

const clipParams: { readonly logScale: { readonly is: "scalar"; readonly default: number } } = {
  logScale: { is: "scalar", default: Math.log(1 / 0.07) },
};

const scaledCe: Loss<{ readonly scale: ScalarLike }> = /* @__PURE__ */ rowLoss("clipLoss", {
  doc: "Cross-entropy of scaled cosines.",
  against: "labels",
  params: { scale: { is: "scalar" } },
  program: ({ x, target, scale }) => crossEntropyOf(mul(x, scale) as Row, target, constant(0)),
  examples: [],
});

/**
 * Rows of two batches [N, d], images and their texts, are to find each other: the mean of `infoNce` in both directions. The scale
 * is learned by its logarithm; CLIP holds that to at most log 100, outside the loss.
 *
 * @formula L_i=-\tfrac12\log\frac{e^{s\,c_{ii}}}{\sum_j e^{s\,c_{ij}}}-\tfrac12\log\frac{e^{s\,c_{ii}}}{\sum_j e^{s\,c_{ji}}},\qquad
 *   s=e^{\text{logScale}},\quad c_{ij}=\langle\hat a_i,\hat b_j\rangle
 * @gradient dc=\tfrac s2\bigl(\mathrm{softmax}_{\text{rows}}(s\,c)+\mathrm{softmax}_{\text{columns}}(s\,c)\bigr)-s\,I
 * @see infoNce: one direction
 * @example clipLoss(tensor([[1, 2], [2, -1]]), tensor([[1, 3], [3, -1]]), { logScale: Math.log(10) })
 */
export const clipLoss: TwoBatchLoss<ClipOptions> = /* @__PURE__ */ describe(
  ((a: Features, b: Features, options?: ClipOptions & Reducing): Features => {
    const name = "clipLoss";
    checkBatch(name, a, options, clipParams);
    checkBatch(name, b, options, clipParams);
    checkFeatures(name, a, b, () => []);
    if (!sameShape(a.shape, b.shape))
      throw new ShapeError(
        name,
        `shapes ${showShape(a.shape)} and ${showShape(b.shape)} are not rows that belong together`,
        "give two batches of one shape, [N, d]",
      );
    if (a.size === 0) return ofNothing(a, options);
    const { logScale = clipParams.logScale.default, reduction = "mean" } = options ?? {};
    const scale = typeof logScale === "number" ? Math.exp(logScale) : exp(logScale as Features);
    const similar = cosines(a, b);
    const [there, back] = [-1, 0].map((axis) =>
      scaledCe(similar as never, places(a), { scale, reduction, axis }),
    ) as [Features, Features];
    return times(plus(there as never, back as never) as never, 0.5) as Features;
  }) as never,
  {
    name: "clipLoss",
    kind: "structure",
    doc: "How well rows of two batches find their partners in the other, in both directions.",
    source: "Radford et al. 2021 (CLIP), figure 3",
    laws: [],
    options: ["logScale", "reduction"],
    domain: { logScale: { min: 0, max: 1 } },
    examples: [
      {
        args: [
          [
            [1, 0],
            [0, 1],
          ],
          [
            [1, 1],
            [1, 2],
          ],
          { logScale: 0 },
        ],
        gives: 0.5907421630438078,
      },
    ],
  },
);

const supConParams = temperature(0.1);

const supConPairs: OfPairs = /* @__PURE__ */ rowLoss("supConLoss", {
  doc: "How well an anchor finds the others of its class.",
  against: "labels",
  params: { ...supConParams, ...together },
  program: ({ x, target, temperature, together }) => {
    const { others, positive } = sides(target, together);
    const z = div(x, temperature) as Row;
    const found = count(positive);
    const some = greater(found, 0);
    const mean = div(sum(select(positive, z, 0)), select(some, found, 1));
    return {
      loss: select(some, sub(lseOf(z, others, some), mean), 0) as Scalar,
      weight: select(some, 1, 0) as Scalar,
    };
  },
  examples: [],
});

/**
 * Rows of one label are to find one another among all: features [N, d] and a label for each. The mean over the others of a
 * row's label is taken outside of the logarithm; rows that are alone with their label have loss 0 and do not count in the mean.
 *
 * @formula L_i=-\frac1{|P_i|}\sum_{p\in P_i}\log\frac{e^{c_{ip}/\tau}}{\sum_{j\ne i}e^{c_{ij}/\tau}},\qquad c_{ij}=\langle\hat z_i,\hat z_j\rangle
 * @gradient dc_{ij}=\tfrac1\tau\Bigl(\frac{e^{c_{ij}/\tau}}{\sum_{k\ne i}e^{c_{ik}/\tau}}-\frac{[j\in P_i]}{|P_i|}\Bigr),\quad j\ne i
 * @see ntXent: two views of each sample
 * @see circleLoss: pairs that weigh more the worse they are
 * @example supConLoss(tensor([[1, 2], [2, 3], [-1, 1], [-2, 1]]), [0, 0, 1, 1], { temperature: 0.1 })
 */
export const supConLoss: LabelledLoss<TemperatureOption> = /* @__PURE__ */ ofLabelled<TemperatureOption>(
  supConParams,
  supConPairs,
  {
    name: "supConLoss",
    doc: "How well rows of one label find one another among all.",
    source: "Khosla et al. 2020 (SupCon), eq. 2",
    domain: { temperature: { min: 0.3, max: 2 } },
    examples: [
      {
        args: [
          [
            [1, 0],
            [0, 1],
            [1, 1],
          ],
          { i32: [0, 1, 0] },
          { temperature: 0.5 },
        ],
        gives: 0.4553844510708446,
      },
    ],
  },
);
