// Losses of large output layers that look at the right class and a few sampled ones: noise-contrastive estimation, negative
// sampling, ranking NCE, sampled softmax. Each is one program over the scores of the candidates; taking the rows of the layer,
// and all checks, are `candidates.ts`. For evaluation there is the whole layer with `crossEntropy`.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError } from "../core/errors.ts";
import { describe, type Op, type OpInfo } from "../core/op.ts";
import {
  add,
  max,
  maximum,
  neg,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import type { Labels } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { exp, expm1, log1p, softplus } from "../core/words.ts";
import {
  type CandidateLoss,
  type CandidateOptions,
  CandidateProgram,
  candidateLoss,
  checkCandidateOptions,
  commonOptions,
  flag,
} from "./candidates.ts";

interface HitsOption {
  /** Whether candidates that are the row's own class are left out. */
  readonly removeAccidentalHits?: boolean;
}

/** Options of `negativeSamplingLoss`. */
export interface NegativeSamplingOptions extends CandidateOptions, HitsOption {}

/** Options of `rankingNceLoss`. */
export type RankingNceOptions = CandidateOptions;

/** Options of `nceLoss`. */
export interface NceOptions extends CandidateOptions, HitsOption {
  /** log Z: a number (0 by default: scores that normalise themselves), or a tensor of one value, which is learned. */
  readonly logZ?: number | Tensor;
}

/** Options of `sampledSoftmaxLoss`. */
export interface SampledSoftmaxOptions extends CandidateOptions, HitsOption {
  /** Whether scores are corrected for how often their classes are candidates (default). Without it softmax learns a wrong distribution. */
  readonly subtractLogQ?: boolean;
}

/** Binary cross-entropy of the right class against the candidates that count. */
const binary = (own: Scalar, z: Row, kept: RowMask | undefined): Scalar => {
  const noise = softplus(z);
  return add(softplus(neg(own)), sum(kept ? select(kept, noise, 0) : noise)) as Scalar;
};

/** Cross-entropy of the right class among itself and the candidates that count. */
const ranked = (own: Scalar, z: Row, kept: RowMask | undefined): Scalar => {
  const largest = stop(maximum(own, max(kept ? select(kept, z, Number.NEGATIVE_INFINITY) : z)));
  const ahead = sub(own, largest);
  const e = exp(sub(z, largest)) as Row;
  // Where the right class is ahead this is log1p of the others, with all its digits.
  return sub(log1p(add(sum(kept ? select(kept, e, 0) : e), expm1(ahead))), ahead) as Scalar;
};

const binaryProgram: CandidateProgram = /* @__PURE__ */ new CandidateProgram("nceLoss", binary);
const rankedProgram: CandidateProgram = /* @__PURE__ */ new CandidateProgram("sampledSoftmaxLoss", ranked);

/** What the cards of these losses share. */
const card = (
  name: string,
  options: readonly string[],
  info: Pick<OpInfo, "doc" | "source" | "examples">,
): OpInfo => ({
  name,
  kind: "structure",
  laws: [],
  options: [...commonOptions, ...options],
  domain: {
    x: { min: -2, max: 2 },
    expectedTrue: { min: 0.2, max: 2 },
    expectedSampled: { min: 0.2, max: 2 },
  },
  ...info,
});

/** Scores 0, 1 and 1 of three classes; the row is of the second. */
const given: readonly unknown[] = [
  [[1, 2]],
  [
    [0, 0],
    [1, 0],
    [0, 0.5],
  ],
  undefined,
  { i32: [1] },
];

/**
 * Trains a layer of many classes as a binary choice between data and noise, so that one row costs k + 1 scores: the layer's
 * scores become log-probabilities, for every k ≥ 1, which changes the variance only. `sampled` holds k noise classes for all
 * rows or for each ([S] or [..., S]); `expectedTrue` and `expectedSampled` say how often each class was to be expected among
 * them (k·q), so any sampler will do.
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...]: a number, or with `reduction: "none"` one per row. The scores
 * normalise themselves unless `logZ` is given, which as a tensor is learned. Start with `bias` = log q, or at least −log V: from
 * zero the first steps only find the bias. Accidental hits are kept, as the noise may be the right class; removing them moves
 * the optimum. Gradients touch the rows of `weight` and `bias` that are taken and no others. Throws DomainError for classes that
 * are not there and for expected counts that are not positive.
 *
 * @formula L = \operatorname{sp}(-\Delta_t)+\sum_{j=1}^k\operatorname{sp}(\Delta_{n_j}),\qquad
 *   \Delta_w=x\cdot W_w+b_w-\log Z-\log(k\,q_w)
 * @gradient ds_t = -\sigma(-\Delta_t),\qquad ds_{n_j}=\sigma(\Delta_{n_j}),\qquad d\log Z=-\sum ds
 * @remarks sp(u) = log(1 + eᵘ).
 * @errata That the estimate is biased for finite k is wrong: for scores of a table the optimum is s = log p for every k.
 * @errata From log(σ + 1e-12) a score of −40 for the right class has the gradient 4e-6 in place of 1.
 * @see sampledSoftmaxLoss: a choice among the candidates instead
 * @see rankingNceLoss: where the normaliser depends on x
 * @see negativeSamplingLoss: without the correction
 * @example
 * const noise = new UnigramSampler([50, 30, 20], { power: 1 });
 * const [x, w] = [tensor([[1, 2]]), tensor([[0, 0], [1, 0], [0, 0.5]])];
 * nceLoss(x, w, undefined, [1], noise.draw([1], 2, { seed: 0, unique: false }));
 */
export const nceLoss: CandidateLoss<NceOptions> & Op = /* @__PURE__ */ describe(
  (<D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options: NceOptions,
  ): Tensor => {
    const name = "nceLoss";
    checkCandidateOptions(name, options, nceLoss.info.options!);
    const removesHits = flag(name, "removeAccidentalHits", options.removeAccidentalHits, false);
    return candidateLoss(name, x, weight, bias, target, options, {
      program: binaryProgram,
      corrected: true,
      removesHits,
    });
  }) as CandidateLoss<NceOptions>,
  /* @__PURE__ */ card("nceLoss", ["logZ", "removeAccidentalHits"], {
    doc: "Binary cross-entropy of the right class against classes of noise, whose scores become log-probabilities.",
    source: "Gutmann & Hyvärinen 2012, eq. 2–8; Mnih & Teh 2012",
    examples: [
      {
        args: [
          ...given,
          { sampled: { i32: [0, 2] }, expectedTrue: [0.5], expectedSampled: [1, 0.5], reduction: "none" },
        ],
        gives: [2.7239896081165025],
      },
      {
        args: [
          ...given,
          {
            sampled: { i32: [[0, 1]] },
            expectedTrue: [0.5],
            expectedSampled: [[1, 0.5]],
            logZ: [1],
            removeAccidentalHits: true,
          },
        ],
        gives: 0.7187267956263872,
      },
    ],
  }),
);

/**
 * Trains embeddings by telling the right class from sampled ones, without a correction for how often they are sampled: the
 * scores become log p(w|x) − log(k q_w), a shifted pointwise mutual information. Softmax of them is *not* the distribution of
 * the classes; for that there is `nceLoss`.
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...]. Candidates equal to the target are left out, as in word2vec,
 * unless `removeAccidentalHits` is false; noise is usually the unigram distribution to the power 0.75. Throws DomainError for
 * classes that are not there.
 *
 * @formula L = \operatorname{sp}(-s_t)+\sum_{n_j\neq t}\operatorname{sp}(s_{n_j}),\qquad s_w=x\cdot W_w+b_w
 * @gradient ds_t = -\sigma(-s_t),\qquad ds_{n_j}=\sigma(s_{n_j})
 * @remarks sp(u) = log(1 + eᵘ).
 * @see nceLoss: with the correction
 * @example
 * const [x, w] = [tensor([[1, 2]]), tensor([[0, 0], [1, 0], [0, 0.5]])];
 * negativeSamplingLoss(x, w, undefined, [1], { sampled: [0, 2] });
 */
export const negativeSamplingLoss: CandidateLoss<NegativeSamplingOptions> & Op = /* @__PURE__ */ describe(
  (<D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options: NegativeSamplingOptions,
  ): Tensor => {
    const name = "negativeSamplingLoss";
    checkCandidateOptions(name, options, negativeSamplingLoss.info.options!);
    const removesHits = flag(name, "removeAccidentalHits", options.removeAccidentalHits, true);
    return candidateLoss(name, x, weight, bias, target, options, {
      program: binaryProgram,
      corrected: false,
      removesHits,
    });
  }) as CandidateLoss<NegativeSamplingOptions>,
  /* @__PURE__ */ card("negativeSamplingLoss", ["removeAccidentalHits"], {
    doc: "Binary cross-entropy of the right class against sampled ones, whose scores become pointwise mutual information.",
    source: "Mikolov et al. 2013, eq. 4; Levy & Goldberg 2014",
    examples: [
      { args: [...given, { sampled: { i32: [0, 2] }, reduction: "none" }], gives: [2.319670555596391] },
      { args: [...given, { sampled: { i32: [[0, 1]] } }], gives: 1.0064088680781682 },
    ],
  }),
);

/**
 * Noise-contrastive estimation as a ranking: which of the candidates is the right class? Consistent without a normaliser, also
 * where that depends strongly on x. Candidates are drawn independently, and hits stay.
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...]. Equal to `sampledSoftmaxLoss` with independent draws and hits
 * kept. Throws ArgumentError for candidates without replacement, DomainError for classes that are not there and expected counts
 * that are not positive.
 *
 * @formula L = -\log\frac{e^{z_0}}{\sum_{j=0}^k e^{z_j}},\qquad z_0=s_t-\log q_t,\quad z_j=s_{n_j}-\log q_{n_j}
 * @gradient ds = \mathrm{softmax}(z)-e_0
 * @see nceLoss: as a binary choice
 * @see sampledSoftmaxLoss: with other samplers and corrections
 * @example
 * const noise = new LogUniformSampler(3);
 * const [x, w] = [tensor([[1, 2]]), tensor([[0, 0], [1, 0], [0, 0.5]])];
 * rankingNceLoss(x, w, undefined, [1], noise.draw([1], 4, { seed: 0, unique: false }));
 */
export const rankingNceLoss: CandidateLoss<RankingNceOptions> & Op = /* @__PURE__ */ describe(
  (<D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options: RankingNceOptions,
  ): Tensor => {
    const name = "rankingNceLoss";
    checkCandidateOptions(name, options, rankingNceLoss.info.options!);
    if (options.unique === true)
      throw new ArgumentError(
        name,
        "the candidates are drawn without replacement",
        "draw them with { unique: false }, or take sampledSoftmaxLoss",
      );
    return candidateLoss(name, x, weight, bias, target, options, {
      program: rankedProgram,
      corrected: true,
      removesHits: false,
    });
  }) as CandidateLoss<RankingNceOptions>,
  /* @__PURE__ */ card("rankingNceLoss", [], {
    doc: "The negative log-probability that the right class is the one among independent draws of noise.",
    source: "Ma & Collins 2018, eq. 3",
    examples: [
      {
        args: [
          ...given,
          { sampled: { i32: [0, 2] }, expectedTrue: [0.5], expectedSampled: [1, 0.5], reduction: "none" },
        ],
        gives: [0.7811304570373454],
      },
    ],
  }),
);

/**
 * Cross-entropy among the right class and S sampled ones in place of all V: one product of size N·S, and gradients on at most
 * N + S rows of the layer. For training; evaluation needs the whole layer.
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...]. Scores are corrected by the logarithm of E, how often each
 * class was to be expected among the candidates. Which correction goes with which sampler, by enumeration for five classes with
 * p = q ∝ 1/rank: the largest error of the expected gradient for S candidates at scores (0, −0.5, 0.18, 0.71, −0.85), and
 * KL(p‖fixed point) at S = 3.
 *
 * | candidates | `removeAccidentalHits` | S = 1, 2, 3, 4, 5 | KL |
 * | --- | --- | --- | --- |
 * | with replacement | false (= ranking NCE) | .210 .166 .136 .114 .098, → 0 like 1/S | 0 |
 * | with replacement | true | .210 .162 .127 .100 .080, stays at .055 for S = 10⁴ | .0069 |
 * | with replacement, `expectedTrue` = 1 | true (importance sampling of Z) | .243 .188 .149 .122 .103, → 0 | .0011 |
 * | distinct, by inclusion probability | true | .210 .139 .076 .030 0 | .0008 |
 * | with replacement, `subtractLogQ: false` | false | .265 .263 .261 .259 .257 | .179 |
 *
 * So hits are removed where candidates are distinct and kept where they are not, as `draw` says with `unique` (true where nothing
 * is said). The gradient is biased for S < V, by the logarithm, and the bias shrinks with S; with all classes as candidates the
 * loss is `crossEntropy`. Where every candidate is a hit, loss and gradient are 0.
 *
 * Throws DomainError for classes that are not there and for expected counts that are not positive.
 *
 * @formula L = \log\sum_j e^{z_j}-z_0,\qquad z_0=s_t-\log E_t,\quad z_j=s_{n_j}-\log E_{n_j},\quad z_j=-\infty\text{ where }n_j=t
 * @gradient ds = \mathrm{softmax}(z)-e_0
 * @errata Without the correction and with hits kept, the fixed point under unigram sampling is the uniform distribution: KL
 *   0.1789 for five classes ∝ 1/rank. With h hits in the list the loss cannot go below log(1 + h).
 * @errata It is no unbiased estimate, with importance sampling or without: the logarithm makes it biased for S < V.
 * @see crossEntropy: all classes
 * @see rankingNceLoss: independent draws, hits kept
 * @see nceLoss: log-probabilities without a normaliser
 * @example
 * const candidates = new LogUniformSampler(3);
 * const [x, w] = [tensor([[1, 2]]), tensor([[0, 0], [1, 0], [0, 0.5]])];
 * sampledSoftmaxLoss(x, w, undefined, [1], candidates.draw([1], 2, { seed: 0 }));
 */
export const sampledSoftmaxLoss: CandidateLoss<SampledSoftmaxOptions> & Op = /* @__PURE__ */ describe(
  (<D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options: SampledSoftmaxOptions,
  ): Tensor => {
    const name = "sampledSoftmaxLoss";
    checkCandidateOptions(name, options, sampledSoftmaxLoss.info.options!);
    const { removeAccidentalHits, subtractLogQ, unique = true } = options;
    return candidateLoss(name, x, weight, bias, target, options, {
      program: rankedProgram,
      corrected: flag(name, "subtractLogQ", subtractLogQ, true),
      removesHits: flag(name, "removeAccidentalHits", removeAccidentalHits, unique),
    });
  }) as CandidateLoss<SampledSoftmaxOptions>,
  /* @__PURE__ */ card("sampledSoftmaxLoss", ["removeAccidentalHits", "subtractLogQ"], {
    doc: "The negative log-probability of the right class among itself and sampled ones, corrected for how they are sampled.",
    source: "Bengio & Senécal 2008; Jean et al. 2015, sec. 3",
    examples: [
      {
        args: [
          ...given,
          { sampled: { i32: [0, 2] }, expectedTrue: [0.5], expectedSampled: [1, 0.5], reduction: "none" },
        ],
        gives: [0.7811304570373454],
      },
      {
        args: [...given, { sampled: { i32: [[0, 1]] }, expectedTrue: [0.5], expectedSampled: [[1, 0.5]] }],
        gives: 0.16884762349830562,
      },
    ],
  }),
);
