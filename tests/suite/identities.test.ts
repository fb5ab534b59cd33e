// How maps and losses hang together: limits, special cases and gradients that have a name, on random rows with ties and offsets.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ScoreKind, scoreRows } from "../../core/check/index.ts";
import { full, tensor } from "../../core/create.ts";
import { dtypes } from "../../core/dtype.ts";
import { gumbel, normal, randomKey, split, uniform } from "../../core/random.ts";
import { openScope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { broadcastTo } from "../../core/views.ts";
import {
  adaptiveFocal,
  asSoftmaxLoss,
  balancedSoftmaxCe,
  bceWithLogits,
  binaryFocal,
  biTemperedLogistic,
  brier,
  confidencePenalty,
  crossEntropy,
  entmax15Loss,
  entmaxLoss,
  entropy,
  evSoftmaxNll,
  fenchelYoung,
  focal,
  generalizedCe,
  giniImpurity,
  jsDivergence,
  kdComposite,
  kdKl,
  klDivergenceLogits,
  labelSmoothingCe,
  learnableLabelSmoothing,
  logitAdjustedCe,
  logSphericalCe,
  nll,
  normmaxLoss,
  policyGradientEntropy,
  polyLoss,
  rankmaxLoss,
  shannonEntropy,
  smSoftmaxLoss,
  smTaylorLoss,
  softAccuracy,
  softCrossEntropy,
  sparsemaxLoss,
  sparseSoftmaxLoss,
  symmetricCe,
  taylorCe,
  temperatureScaledNll,
  weightedCrossEntropy,
  zLossSpherical,
} from "../../losses/index.ts";
import {
  add,
  alphaRelu,
  asentmax,
  asSoftmax,
  budgetSparsemax,
  cast,
  concat,
  csoftmax,
  csparsemax,
  div,
  entmax,
  entmax15,
  evSoftmax,
  exp,
  expandDims,
  fusedmax,
  greater,
  gumbelSoftmax,
  gumbelSoftmaxSt,
  hardmax,
  log,
  logMixtureOfSoftmaxes,
  logSoftmax,
  logsumexp,
  logTaylorSoftmax,
  maskedLogSoftmax,
  maskedSoftmax,
  max,
  mean,
  mellowmax,
  mixtureOfSoftmaxes,
  mul,
  multimax,
  neg,
  normalizedRelu,
  normalizedSigmoid,
  normmax,
  oneHot,
  perturbMax,
  rankmax,
  reluPowerNorm,
  sampledArgmax,
  sigmoid,
  sigmoidAttention,
  sigmoidTopk,
  sigsoftmax,
  sin,
  sinSoftmax,
  softmax,
  softmaxOne,
  softmaxSink,
  softplus,
  sparsegenLin,
  sparsehourglass,
  sparsemax,
  sparseSoftmax,
  sphericalSoftmax,
  ssmax,
  stickBreaking,
  straightThroughArgmax,
  sub,
  sum,
  taylorSoftmax,
  temperedSoftmax,
  tSoftmax,
} from "../../ops/index.ts";
import { firstDifference, numbersOf, settings } from "./samples.ts";

type X = Tensor<Shape, "f64">;
type Map = (x: X) => Tensor;

/** The label of row r. */
const labels = (x: X): number[] => Array.from({ length: x.shape[0]! }, (_, r) => (r * 5) % x.shape[1]!);
/** Noise of the shape of the scores. */
const perClass = (x: X, value: number): X => vector(x, new Array<number>(x.shape[1]!).fill(value));
/** Class frequencies that differ. */
const priors = (x: X): X =>
  vector(
    x,
    Array.from({ length: x.shape[1]! }, (_, i) => 1 + (i % 3)),
  );
const softmaxLoss = fenchelYoung(softmax);
const noiseFor = (x: X): Tensor => gumbel(x.shape, { seed: 1, dtype: x.dtype, device: x.device });
const perRow = { reduction: "none" } as const;
/** The labels as rows with a single 1. */
const hot = (x: X): X =>
  oneHot(tensor(labels(x), { dtype: "i32", device: x.device }), x.shape[1]!, {
    dtype: x.dtype,
  }) as unknown as X;
const pickTarget = (rows: X, x: X): Tensor => neg(sum(mul(rows, hot(x) as never), { axis: -1 }) as X);
/** One number everywhere, in the shape of the scores. */
const filled = (x: X, value: number): X => full(x.shape, value, { dtype: x.dtype, device: x.device }) as X;
/** Several numbers, as a tensor beside the scores. */
const vector = (x: X, values: readonly number[]): X =>
  tensor(values, { dtype: x.dtype, device: x.device }) as unknown as X;
const all = (x: X): Tensor => greater(filled(x, 1), 0 as never);
/** The same probability for all. */
const even = (x: X): Tensor => filled(x, 1 / x.shape[1]!);
/** Every row as a group of one distribution, or of two that are alike. */
const alone = (x: X): X => expandDims(x, -2) as X;
const twice = (x: X): X => concat([alone(x), alone(x)] as never, -2) as unknown as X;
/** Every row and half of it. */
const mixed = (x: X): X => concat([alone(x), alone(mul(x, 0.5) as X)] as never, -2) as unknown as X;
const weightsOf = (x: X): X => broadcastTo(vector(x, [0.3, -0.2]), [x.shape[0]!, 2]) as X;
/** Scores of zeros, a row for each class. */
const square = (x: X): X => full([x.shape[1]!, x.shape[1]!], 0, { dtype: x.dtype, device: x.device }) as X;
const rowsOfZeros = (x: X): Tensor => mul(sum(mul(x, 0) as X, { axis: -1 }) as X, 0);

/** Left and right agree on rows of these kinds, within the tolerance of the element type times `slack`. */
interface Identity {
  readonly says: string;
  readonly left: Map;
  readonly right: Map;
  readonly kinds?: readonly ScoreKind[];
  readonly slack?: number;
  /** How far a limit may still be away. */
  readonly within?: number;
  readonly minClasses?: number;
}

const unmasked: readonly ScoreKind[] = ["plain", "ties", "offset", "edge"];
/** Rows whose entries all differ by more than 1/100. */
const distinct = (rows: readonly (readonly number[])[]): boolean =>
  rows.every((row) => row.every((v, i) => row.every((w, j) => i === j || Math.abs(v - w) > 0.01)));

/** Special cases and limits of maps. */
const ofMaps: readonly Identity[] = [
  {
    says: "temperedSoftmax at t is entmax at 2 − t",
    left: (x) => temperedSoftmax(x, { t: 0.5 }),
    right: (x) => entmax(x, { alpha: 1.5 }),
    slack: 0.1,
  },
  {
    says: "temperedSoftmax at t = 1 is softmax",
    left: (x) => temperedSoftmax(x, { t: 1 }),
    right: softmax as Map,
  },
  {
    says: "normmax of large α is uniform on the support of sparsemax",
    left: (x) => normmax(x, { alpha: 1e12 }),
    right: (x) => {
      const inside = cast(greater(sparsemax(x), 0 as never) as never, x.dtype) as unknown as X;
      return div(inside, sum(inside, { axis: -1, keepDims: true }) as never);
    },
    kinds: ["plain", "ties"],
    within: 1e-6,
  },
  {
    says: "hot softmax is uniform",
    left: (x) => softmax(x, { temperature: 1e12 }),
    right: even,
    kinds: ["plain", "ties"],
    slack: 100,
  },
  {
    says: "straightThroughArgmax is hardmax",
    left: straightThroughArgmax as Map,
    right: hardmax as Map,
  },
  {
    says: "asSoftmax at δ = 1 is softmax",
    left: (x) => asSoftmax(x, labels(x), { delta: 1 }),
    right: softmax as Map,
    kinds: unmasked,
  },
  {
    says: "csoftmax under bounds of 1 is softmax",
    left: (x) => csoftmax(x, { u: filled(x, 1) }),
    right: softmax as Map,
  },
  {
    says: "csparsemax under bounds of 1 is sparsemax",
    left: (x) => csparsemax(x, { u: filled(x, 1) }),
    right: sparsemax as Map,
  },
  {
    says: "budgetSparsemax of 1 is sparsemax",
    left: (x) => budgetSparsemax(x, { budget: 1 }),
    right: sparsemax as Map,
  },
  {
    says: "budgetSparsemax of all entries is 1 everywhere",
    left: (x) => budgetSparsemax(x, { budget: x.shape[1]! }),
    right: (x) => filled(x, 1),
    kinds: unmasked,
  },
  {
    says: "sigmoidTopk of n/2 equal to a plain sigmoid where scores are balanced",
    left: (x) => sigmoidTopk(concat([x, neg(x)] as never, -1) as unknown as X, { k: x.shape[1]! }),
    right: (x) => sigmoid(concat([x, neg(x)] as never, -1) as unknown as X),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  {
    says: "fusedmax at λ = 0 is sparsemax",
    left: (x) => fusedmax(x, { lambda: 0 }),
    right: sparsemax as Map,
    kinds: unmasked,
  },
  {
    says: "fusedmax of large λ is uniform",
    left: (x) => fusedmax(x, { lambda: 1e5 }),
    right: even,
    kinds: ["plain", "ties"],
  },
  { says: "perturbMax with Gumbel noise is softmax", left: (x) => perturbMax(x), right: softmax as Map },
  {
    says: "perturbMax with Gumbel noise of scale s is softmax at temperature s",
    left: (x) => perturbMax(x, { noise: "gumbel", scale: 0.5 }),
    right: (x) => softmax(x, { temperature: 0.5 }),
  },
  {
    says: "tSoftmax of large t is softmax",
    left: (x) => tSoftmax(x, { t: 1e15 }),
    right: softmax as Map,
    slack: 10,
  },
  { says: "evSoftmax at ε = 1 is softmax", left: (x) => evSoftmax(x, { eps: 1 }), right: softmax as Map },
  {
    says: "ssmax at n = 1 is uniform",
    left: (x) => ssmax(x, { n: 1 }),
    right: even,
    kinds: unmasked,
  },
  {
    says: "ssmax at s = 0 is uniform",
    left: (x) => ssmax(x, { s: 0 }),
    right: even,
    kinds: unmasked,
  },
  {
    says: "ssmax at s = 0 and b is softmax of b·x",
    left: (x) => ssmax(x, { s: 0, b: 2 }),
    right: (x) => softmax(x, { temperature: 0.5 }),
  },
  {
    says: "asentmax at β = 0 and δ = 1 is entmax",
    left: (x) => asentmax(x, { alpha: 1.3, beta: 0, delta: 1 }),
    right: (x) => entmax(x, { alpha: 1.3 }),
  },
  {
    says: "multimax with weights of 0 is softmax",
    left: (x) => multimax(x, { ranges: [-1, 1, -2, 2], ts: [0, 0, 0, 0] }),
    right: softmax as Map,
  },
  {
    says: "softmaxSink at −∞ is softmax",
    left: (x) => softmaxSink(x, { sink: Number.NEGATIVE_INFINITY }),
    right: softmax as Map,
  },
  {
    says: "softmaxOne is softmaxSink at 0",
    left: softmaxOne as Map,
    right: (x) => softmaxSink(x, { sink: 0 }),
  },
  {
    says: "softmaxSink is softmax beside one more score",
    left: (x) => {
      const p = softmaxSink(x, { sink: 0.5 }) as X;
      const rest = sub(1, sum(p, { axis: -1, keepDims: true }) as never);
      return concat([p, rest] as never, -1);
    },
    right: (x) => {
      const sink = add(mul(max(x, { axis: -1, keepDims: true }) as X, 0), 0.5);
      return softmax(concat([x, sink] as never, -1) as unknown as X);
    },
  },
  {
    says: "sparsegenLin at λ = 0 is sparsemax",
    left: (x) => sparsegenLin(x, { lambda: 0 }),
    right: sparsemax as Map,
  },
  {
    says: "sparsegenLin is sparsemax of x/(1 − λ)",
    left: (x) => sparsegenLin(x, { lambda: 0.5 }),
    right: (x) => sparsemax(mul(x, 2) as X),
  },
  {
    says: "sparsehourglass of large q is sparsemax",
    left: (x) => sparsehourglass(x, { q: 1e15 }),
    right: sparsemax as Map,
    kinds: ["plain", "ties", "edge"],
    slack: 10,
  },
  {
    says: "a mixture of one softmax is softmax",
    left: (x) => mixtureOfSoftmaxes(alone(x), sum(alone(x), { axis: -1 }) as X),
    right: softmax as Map,
    kinds: unmasked,
  },
  {
    says: "a mixture of equal softmaxes is softmax",
    left: (x) => exp(logMixtureOfSoftmaxes(twice(x), sum(twice(x), { axis: -1 }) as X) as X),
    right: softmax as Map,
    kinds: ["plain", "ties", "edge"],
  },
  {
    says: "the logarithms of a mixture are those of its probabilities",
    left: (x) => exp(logMixtureOfSoftmaxes(mixed(x), weightsOf(x)) as X),
    right: (x) => mixtureOfSoftmaxes(mixed(x), weightsOf(x)),
  },
  {
    says: "cold logsumexp is the maximum",
    left: (x) => logsumexp(x, { temperature: 1e-13 }),
    right: (x) => max(x, { axis: -1 }),
  },
  {
    says: "gumbelSoftmax without noise is softmax at its temperature",
    left: (x) => gumbelSoftmax(x, { noise: filled(x, 0), temperature: 0.5 }),
    right: (x) => softmax(x, { temperature: 0.5 }),
  },
  {
    says: "gumbelSoftmaxSt is sampledArgmax",
    left: (x) => gumbelSoftmaxSt(x, { noise: noiseFor(x) as never }),
    right: (x) => sampledArgmax(x, { noise: noiseFor(x) as never }),
  },
  {
    says: "mellowmax is logsumexp less log n",
    left: (x) => mellowmax(x),
    right: (x) => sub(logsumexp(x) as X, Math.log(x.shape[1]!) as never),
    kinds: unmasked,
  },
  {
    says: "mellowmax of small ω is the mean",
    left: (x) => mellowmax(x, { omega: 1e-8 }),
    right: (x) => mean(x, { axis: -1 }),
    kinds: ["plain", "ties"],
    within: 1e-6,
  },
  {
    says: "mellowmax of large ω is the maximum",
    left: (x) => mellowmax(x, { omega: 1e13 }),
    right: (x) => max(x, { axis: -1 }),
    kinds: unmasked,
  },
  {
    says: "a mask that leaves all is none",
    left: (x) => maskedSoftmax(x, all(x) as never),
    right: softmax as Map,
  },
  {
    says: "masked log-probabilities are the logarithms of masked probabilities",
    left: (x) => exp(maskedLogSoftmax(x, greater(sin(x), 0 as never) as never) as X),
    right: (x) => maskedSoftmax(x, greater(sin(x), 0 as never) as never),
  },
  {
    says: "reluPowerNorm at power 1 is normalizedRelu",
    left: (x) => reluPowerNorm(x, { power: 1 }),
    right: (x) => normalizedRelu(x),
  },
  {
    says: "normalizedSigmoid is softmax of −log(1 + e⁻ˣ)",
    left: normalizedSigmoid as Map,
    right: (x) => softmax(neg(softplus(neg(x) as X) as X) as X),
    kinds: ["plain", "ties"],
  },
  {
    says: "sigsoftmax is softmax of x − log(1 + e⁻ˣ)",
    left: sigsoftmax as Map,
    right: (x) => softmax(sub(x, softplus(neg(x) as X) as never) as X),
    kinds: ["plain", "ties"],
  },
  {
    says: "sinSoftmax is softmax of sines",
    left: sinSoftmax as Map,
    right: (x) => softmax(sin(x) as X),
    kinds: unmasked,
  },
  {
    says: "sigmoidAttention of one score is the sigmoid",
    left: (x) => sigmoidAttention(x, { n: 1 }),
    right: (x) => sigmoid(x),
  },
  {
    says: "logTaylorSoftmax holds the logarithms of taylorSoftmax",
    left: (x) => exp(logTaylorSoftmax(x, { order: 4 }) as X),
    right: (x) => taylorSoftmax(x, { order: 4 }),
    kinds: unmasked,
  },
  {
    says: "taylorSoftmax of high order is softmax",
    left: (x) => taylorSoftmax(mul(x, 0.25) as X, { order: 20 }),
    right: (x) => softmax(mul(x, 0.25) as X),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  {
    says: "sphericalSoftmax of large ε is uniform",
    left: (x) => sphericalSoftmax(x, { eps: 1e15 }),
    right: even,
    kinds: ["plain", "ties"],
  },
  {
    says: "alphaRelu at entmax's own threshold is entmax",
    left: (x) => {
      // At α = 2 a distribution is its own sparsemax, with threshold 0.
      return alphaRelu(sparsemax(x) as X, { alpha: 2, tau: 0 });
    },
    right: sparsemax as Map,
  },
  {
    says: "a stick broken by logits of what is left gives the probabilities back",
    left: (x) => {
      // The share of the first of two pieces is σ(x₁ − x₂).
      const d = sub(x.slice(null, [0, 1]) as X, x.slice(null, [1, 2]) as never);
      return stickBreaking(d as X);
    },
    right: (x) => softmax(x.slice(null, [0, 2]) as X),
    kinds: ["plain", "ties", "edge"],
    minClasses: 2,
  },
];

/** Special cases and limits of losses. */
const ofLosses: readonly Identity[] = [
  ...(
    [
      ["temperatureScaledNll at 1", (x, y) => temperatureScaledNll(x, y, { temperature: 1, ...perRow })],
      ["labelSmoothingCe at 0", (x, y) => labelSmoothingCe(x, y, { epsilon: 0, ...perRow })],
      [
        "learnableLabelSmoothing at 0",
        (x, y) => learnableLabelSmoothing(x, y, { confusion: square(x), smoothing: 0, ...perRow }),
      ],
      ["focal at γ = 0", (x, y) => focal(x, y, { gamma: 0, alpha: 1, ...perRow })],
      ["polyLoss with coefficients of 0", (x, y) => polyLoss(x, y, { epsilons: [0, 0], ...perRow })],
      ["symmetricCe at β = 0", (x, y) => symmetricCe(x, y, { alpha: 1, beta: 0, ...perRow })],
      ["logitAdjustedCe at τ = 0", (x, y) => logitAdjustedCe(x, y, { priors: priors(x), tau: 0, ...perRow })],
      [
        "balancedSoftmaxCe of equal counts",
        (x, y) => balancedSoftmaxCe(x, y, { counts: perClass(x, 7), ...perRow }),
      ],
      [
        "weightedCrossEntropy of weights 1",
        (x, y) => weightedCrossEntropy(x, y, { weights: perClass(x, 1), ...perRow } as never),
      ],
      ["confidencePenalty at β = 0", (x, y) => confidencePenalty(x, y, { beta: 0, ...perRow })],
      [
        "kdComposite at α = 0",
        (x, y) => kdComposite(x, y, { teacher: filled(x, 0), alpha: 0, temperature: 1, ...perRow }),
      ],
      ["smSoftmaxLoss at margin 0", (x, y) => smSoftmaxLoss(x, y, { m: 0, ...perRow })],
      ["asSoftmaxLoss at δ = 1", (x, y) => asSoftmaxLoss(x, y, { delta: 1, ...perRow })],
      ["evSoftmaxNll at ε = 1", (x, y) => evSoftmaxNll(x, y, { eps: 1, ...perRow })],
      [
        "policyGradientEntropy of advantage 1",
        (x, y) => policyGradientEntropy(x, y, { advantage: 1, ...perRow }),
      ],
      [
        "biTemperedLogistic at temperatures 1",
        (x, y) => biTemperedLogistic(x, y, { t1: 1, t2: 1, ...perRow }),
      ],
      ["the Fenchel–Young loss of softmax", (x, y) => softmaxLoss(x, y, perRow)],
    ] as readonly (readonly [string, (x: X, y: number[]) => Tensor])[]
  ).map(
    ([name, loss]): Identity => ({
      says: `${name} is cross-entropy`,
      left: (x) => loss(x, labels(x)),
      right: (x) => crossEntropy(x, labels(x), perRow),
      kinds: ["plain", "ties", "edge"],
      slack: 10,
    }),
  ),
  {
    says: "smTaylorLoss at margin 0 is taylorCe",
    left: (x) => smTaylorLoss(x, labels(x), { m: 0, ...perRow }),
    right: (x) => taylorCe(x, labels(x), perRow),
    kinds: unmasked,
    slack: 10,
  },
  {
    says: "balancedSoftmaxCe is logitAdjustedCe at τ = 1",
    left: (x) => balancedSoftmaxCe(x, labels(x), { counts: priors(x), ...perRow }),
    right: (x) => logitAdjustedCe(x, labels(x), { priors: priors(x), tau: 1, ...perRow }),
    kinds: unmasked,
  },
  {
    says: "generalizedCe at q = 1 is one less the probability of the right class",
    left: (x) => generalizedCe(x, labels(x), { q: 1, ...perRow }),
    right: (x) => add(softAccuracy(x, labels(x), perRow) as X, 1 as never),
    kinds: unmasked,
  },
  {
    says: "generalizedCe of small q is cross-entropy",
    left: (x) => generalizedCe(x, labels(x), { q: 1e-9, ...perRow }),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: ["plain", "ties"],
    within: 1e-5,
  },
  {
    says: "adaptiveFocal between its limits is focal",
    left: (x) => adaptiveFocal(x, labels(x), { gamma: 2, ...perRow } as never),
    right: (x) => focal(x, labels(x), { gamma: 2, ...perRow }),
    kinds: unmasked,
  },
  {
    says: "binaryFocal at γ = 0 and α = ½ is half of bceWithLogits",
    left: (x) => mul(binaryFocal(x, sigmoid(x) as never, { gamma: 0, alpha: 0.5, ...perRow }) as X, 2),
    right: (x) => bceWithLogits(x, sigmoid(x) as never, perRow),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  {
    says: "a student has nothing to learn from itself",
    left: (x) => kdKl(x, x as never, { temperature: 2, ...perRow }),
    right: rowsOfZeros,
    kinds: unmasked,
  },
  {
    says: "a distribution does not diverge from itself",
    left: (x) => klDivergenceLogits(x, x as never, perRow),
    right: rowsOfZeros,
    kinds: unmasked,
  },
  {
    says: "equal distributions do not diverge",
    left: (x) => jsDivergence(twice(x), perRow),
    right: rowsOfZeros,
    kinds: unmasked,
  },
  {
    says: "entropy is that of softmax",
    left: (x) => entropy(x, perRow),
    right: (x) => shannonEntropy(softmax(x) as X),
  },
  {
    says: "giniImpurity is one less the sum of squares of softmax",
    left: (x) => giniImpurity(x, perRow),
    right: (x) => {
      const p = softmax(x) as X;
      return sub(1, sum(mul(p, p as never) as X, { axis: -1 }) as never);
    },
  },
  {
    says: "softmax less the target, squared, is brier",
    left: (x) => brier(x, labels(x), perRow),
    right: (x) => {
      const d = sub(softmax(x) as X, hot(x) as never) as X;
      return sum(mul(d, d as never) as X, { axis: -1 });
    },
    kinds: unmasked,
  },
  {
    says: "sparseSoftmaxLoss of one entry is the lead of the largest score",
    left: (x) => sparseSoftmaxLoss(x, labels(x), { k: 1, ...perRow }),
    right: (x) => add(max(x, { axis: -1 }) as X, pickTarget(x, x) as never),
    kinds: unmasked,
  },
  {
    says: "rankmaxLoss is the negative logarithm of rankmax",
    left: (x) => rankmaxLoss(x, labels(x), perRow),
    right: (x) => nll(rankmax(x, labels(x)) as X, labels(x), perRow),
    kinds: ["plain", "ties", "edge"],
    slack: 10,
  },
  ...(
    [
      ["sparsemaxLoss", sparsemaxLoss, sparsemax],
      ["entmax15Loss", entmax15Loss, entmax15],
      ["entmaxLoss", entmaxLoss, entmax],
      ["normmaxLoss", normmaxLoss, normmax],
      ["the Fenchel–Young loss of softmax", softmaxLoss, softmax],
    ] as unknown as readonly (readonly [string, (x: X, q: Tensor, o: object) => Tensor, Map])[]
  ).map(
    ([name, loss, map]): Identity => ({
      says: `${name} is 0 where its map is the target`,
      left: (x) => loss(x, map(x), perRow),
      right: rowsOfZeros,
      kinds: ["plain", "ties", "edge"],
      slack: 10,
    }),
  ),
];

const identities: readonly Identity[] = [
  ...ofMaps,
  ...ofLosses,
  {
    says: "entmax at α = 1 is softmax",
    left: (x) => entmax(x, { alpha: 1 }),
    right: softmax as Map,
    slack: 0.1,
  },
  { says: "entmax at α = 1.5 is entmax15", left: (x) => entmax(x, { alpha: 1.5 }), right: entmax15 as Map },
  { says: "entmax at α = 2 is sparsemax", left: (x) => entmax(x, { alpha: 2 }), right: sparsemax as Map },
  {
    says: "softmax at temperature τ is softmax of x/τ",
    left: (x) => softmax(x, { temperature: 0.25 }),
    right: (x) => softmax(mul(x, 4) as X),
    kinds: unmasked,
  },
  {
    says: "sparseSoftmax of all entries is softmax",
    left: (x) => sparseSoftmax(x, { k: 100 }),
    right: softmax as Map,
  },
  {
    says: "sparseSoftmax of one entry is hardmax",
    left: (x) => sparseSoftmax(x, { k: 1 }),
    right: hardmax as Map,
  },
  {
    says: "log-probabilities are the logarithms of probabilities",
    left: (x) => exp(logSoftmax(x) as X),
    right: softmax as Map,
  },
  {
    says: "log-probabilities are scores less their logsumexp",
    left: (x) => logSoftmax(x),
    right: (x) => sub(x, logsumexp(x, { keepDims: true }) as never),
    kinds: ["plain", "ties", "edge"],
  },
  {
    says: "the gradient of logsumexp is softmax",
    left: (x) => grad((x: X) => sum(logsumexp(x) as X))(x),
    right: softmax as Map,
  },
  {
    says: "gumbelSoftmax is softmax of scores with noise",
    left: (x) => gumbelSoftmax(x, { noise: noiseFor(x) as never, temperature: 0.5 }),
    right: (x) => softmax(add(x, noiseFor(x) as never) as X, { temperature: 0.5 }),
    kinds: ["plain", "ties", "masked"],
  },
  {
    says: "sampledArgmax is hardmax of scores with noise",
    left: (x) => sampledArgmax(x, { noise: noiseFor(x) as never }),
    right: (x) => hardmax(add(x, noiseFor(x) as never) as X),
    kinds: ["plain", "ties", "masked"],
  },
  {
    says: "cross-entropy is a log-probability",
    left: (x) => crossEntropy(x, labels(x), perRow),
    right: (x) => pickTarget(logSoftmax(x) as X, x),
    kinds: unmasked,
  },
  {
    says: "entmaxLoss at α = 1 is cross-entropy",
    left: (x) => entmaxLoss(x, labels(x), { alpha: 1, ...perRow }),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: ["plain", "ties", "edge"],
    slack: 10,
  },
  {
    says: "entmaxLoss at α = 1.5 is entmax15Loss",
    left: (x) => entmaxLoss(x, labels(x), { alpha: 1.5, ...perRow }),
    right: (x) => entmax15Loss(x, labels(x), perRow),
    kinds: unmasked,
    slack: 10,
  },
  {
    says: "entmaxLoss at α = 2 is sparsemaxLoss",
    left: (x) => entmaxLoss(x, labels(x), { alpha: 2, ...perRow }),
    right: (x) => sparsemaxLoss(x, labels(x), perRow),
    kinds: unmasked,
    slack: 10,
  },
  {
    says: "sparseSoftmaxLoss of all entries is cross-entropy",
    left: (x) => sparseSoftmaxLoss(x, labels(x), { k: 100, ...perRow }),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: unmasked,
  },
  {
    says: "cross-entropy against one-hot distributions is that against labels",
    left: (x) => softCrossEntropy(x, hot(x) as never, perRow),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: unmasked,
  },
  {
    says: "taylorCe is a negative log-probability of taylorSoftmax",
    left: (x) => taylorCe(x, labels(x), perRow),
    right: (x) => pickTarget(log(taylorSoftmax(x) as X) as X, x),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  {
    says: "logSphericalCe is a negative log-probability of sphericalSoftmax",
    left: (x) => logSphericalCe(x, labels(x), { eps: 0.5, ...perRow }),
    right: (x) => pickTarget(log(sphericalSoftmax(x, { eps: 0.5 }) as X) as X, x),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  ...(
    [
      ["crossEntropy", crossEntropy, softmax],
      ["sparsemaxLoss", sparsemaxLoss, sparsemax],
      ["entmax15Loss", entmax15Loss, entmax15],
      [
        "entmaxLoss",
        (x: X, y: number[], o: object) => entmaxLoss(x, y, { alpha: 1.25, ...o }),
        (x: X) => entmax(x, { alpha: 1.25 }),
      ],
    ] as const
  ).map(
    ([name, loss, map]): Identity => ({
      says: `the gradient of ${name} is its map less the target`,
      left: (x) =>
        grad((x: X) =>
          (loss as (x: X, y: number[], o: object) => Tensor)(x, labels(x), { reduction: "sum" }),
        )(x),
      right: (x) => sub((map as Map)(x) as X, hot(x) as never),
      kinds: unmasked,
    }),
  ),
];

/** ∫₀ᶻ of 2/√π·e^(−t²) by Simpson's rule. */
function erf(z: number): number {
  const steps = 2000;
  const h = z / steps;
  const sum = Array.from({ length: steps + 1 }, (_, i) => {
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    return weight * Math.exp(-((i * h) ** 2));
  }).reduce((a, b) => a + b, 0);
  return ((2 / Math.sqrt(Math.PI)) * h * sum) / 3;
}

/** The probability of the first of two classes that leads by d ≥ 0 times the scale of the noise. */
const ofTwo = {
  gumbel: (d: number): number => 1 / (1 + Math.exp(-d)),
  normal: (d: number): number => (1 + erf(d / 2)) / 2,
  // Near 0 the quotient has no digits: its series.
  logistic: (d: number): number =>
    d < 0.01 ? 0.5 + d / 6 - d ** 3 / 180 : (Math.exp(d) * (Math.expm1(d) - d)) / Math.expm1(d) ** 2,
  laplace: (d: number): number => 1 - (Math.exp(-d) * (2 + d)) / 4,
  exponential: (d: number): number => 1 - Math.exp(-d) / 2,
  uniform: (d: number): number => (d < 1 ? 1 - (1 - d) ** 2 / 2 : 1),
};

describe.each(settings)("on $device in $dtype", (setting) => {
  const [tolerance] = dtypes[setting.dtype].tolerance;
  const agree = async (
    { left, right, kinds, slack = 1, within = 0 }: Identity,
    rows: number[][],
  ): Promise<void> => {
    using _ = openScope();
    const x = tensor(rows, setting) as unknown as X;
    const [found, wanted] = await numbersOf(left(x), right(x));
    const wrong = firstDifference(found!, wanted!, Math.max(slack * tolerance, within));
    expect(wrong, kinds?.join()).toBeUndefined();
  };

  test.each(identities.map((i) => [i.says, i] as const))("%s", async (_, identity) => {
    const { kinds, minClasses = 1 } = identity;
    const rows = scoreRows({ minClasses, ...(kinds ? { kinds } : {}) });
    await fc.assert(
      fc.asyncProperty(rows, (rows) => agree(identity, rows)),
      { numRuns: 30, seed: 0, includeErrorInReport: true },
    );
  });

  test("without ties, cold softmax and entmax of large α are hardmax", async () => {
    const limits: readonly Map[] = [
      (x) => softmax(x, { temperature: 1e-4 }),
      (x) => entmax(x, { alpha: 1e4 }),
      (x) => softmax(x, { temperature: 0 }),
      (x) => normmax(x, { alpha: 1.0001 }),
    ];
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: ["plain"] }).filter(distinct), async (rows) => {
        for (const left of limits) await agree({ says: "", left, right: hardmax as Map }, rows);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("near α = 1, entmax differs from softmax in proportion to α − 1", async () => {
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: ["plain", "ties"], minClasses: 2 }), async (rows) => {
        using _ = openScope();
        const x = tensor(rows, setting) as unknown as X;
        const step = setting.dtype === "f64" ? 1e-6 : 1e-3;
        const [distances] = await numbersOf(sub(entmax(x, { alpha: 1 + step }) as X, softmax(x) as never));
        // Scores within ±8: the second-order coefficient is at most of the size of 16².
        expect(Math.max(...distances!.map(Math.abs))).toBeLessThanOrEqual(100 * step);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("on scores of the size of 1, entmax at α = 1 + ε is nearer to softmax than ε", async () => {
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: ["plain"], minClasses: 2 }), async (rows) => {
        using _ = openScope();
        const x = mul(tensor(rows, setting) as unknown as X, 1 / 8) as X;
        const [distances] = await numbersOf(sub(entmax(x, { alpha: 1.001 }) as X, softmax(x) as never));
        expect(Math.max(...distances!.map(Math.abs))).toBeLessThanOrEqual(1e-3);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("logsumexp lies between the largest score and that plus log n", async () => {
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: unmasked }), async (rows) => {
        using _ = openScope();
        const x = tensor(rows, setting) as unknown as X;
        const [low, y] = await numbersOf(max(x, { axis: -1 }), logsumexp(x));
        y!.forEach((v, r) => {
          expect(v).toBeGreaterThanOrEqual(low![r]!);
          expect(v).toBeLessThanOrEqual(
            low![r]! +
              Math.log(rows[0]!.length) +
              dtypes[setting.dtype].tolerance[0] * Math.max(1, Math.abs(v)),
          );
        });
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("a margin loss is exactly 0 beyond its margin, and positive before it", async () => {
    using _ = openScope();
    for (const [loss, margin] of [
      [sparsemaxLoss, 1],
      [entmax15Loss, 2],
      [entmaxLoss, 2],
      [(x: X, y: number[], o: object) => entmaxLoss(x, y, { alpha: 1.25, ...o }), 4],
      [(x: X, y: number[], o: object) => entmaxLoss(x, y, { alpha: 2, ...o }), 1],
      [(x: X, y: number[], o: object) => entmaxLoss(x, y, { alpha: 3, ...o }), 0.5],
      [normmaxLoss, 1],
      [(x: X, y: number[], o: object) => normmaxLoss(x, y, { alpha: 1.5, ...o }), 1],
      [rankmaxLoss, 1],
    ] as const) {
      const f = (x: X): Tensor => (loss as (x: X, y: number[], o: object) => Tensor)(x, [0, 0, 0], perRow);
      const x = tensor(
        [
          [margin, 0, -1],
          [margin + 7, 0, 3],
          [0.9 * margin, 0, -1],
        ],
        setting,
      ) as unknown as X;
      const [[at, beyond, before], gradient] = (await numbersOf(f(x), grad((x: X) => sum(f(x) as X))(x))) as [
        [number, number, number],
        number[],
      ];
      expect([at, beyond, ...gradient.slice(0, 6).map(Math.abs)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
      expect(before).toBeGreaterThan(0);
    }
  });

  test("a sample drops out of AS-Softmax once it leads by log((1 + (n − 1)δ)/(1 − δ))", async () => {
    using _ = openScope();
    for (const n of [2, 3, 10, 1000])
      for (const delta of [0.05, 0.1, 0.5, 0.9]) {
        const gap = Math.log((1 + (n - 1) * delta) / (1 - delta));
        const rows = [gap + 1e-3, gap - 1e-3].map((lead) => [lead, ...new Array<number>(n - 1).fill(0)]);
        const x = tensor(rows, setting) as unknown as X;
        const [[gone, kept], p] = (await numbersOf(
          asSoftmaxLoss(x, [0, 0], { delta, ...perRow }),
          asSoftmax(x, [0, 0], { delta }),
        )) as [[number, number], number[]];
        expect([gone, p[0], p[1]], `n = ${n}, δ = ${delta}`).toEqual([0, 1, 0]);
        expect(kept).toBeGreaterThan(0);
      }
  });

  /** Pairs of rows of one length. */
  const pairs = scoreRows({ kinds: ["plain", "ties", "edge"], maxRows: 1 }).chain(([x]) =>
    scoreRows({
      kinds: ["plain", "ties", "edge"],
      minClasses: x!.length,
      maxClasses: x!.length,
      maxRows: 1,
    }).map(([y]) => [x!, y!] as const),
  );

  test("sparsemax brings no rows farther apart, and mellowmax none farther than their farthest entries", async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ([x, y]) => {
        using _ = openScope();
        const both = tensor([x, y], setting) as unknown as X;
        const n = x.length;
        const [p, soft, hard] = (await numbersOf(
          sparsemax(both),
          mellowmax(both, { omega: 5 }),
          mellowmax(both, { omega: -5 }),
        )) as [number[], number[], number[]];
        const distance = Math.hypot(...x.map((v, i) => v - y[i]!));
        const farthest = Math.max(...x.map((v, i) => Math.abs(v - y[i]!)));
        const slack = 10 * tolerance;
        expect(Math.hypot(...x.map((_, i) => p[i]! - p[n + i]!))).toBeLessThanOrEqual(distance + slack);
        expect(Math.abs(soft[0]! - soft[1]!)).toBeLessThanOrEqual(farthest + slack);
        expect(Math.abs(hard[0]! - hard[1]!)).toBeLessThanOrEqual(farthest + slack);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("proper losses are least where the prediction is the distribution of the labels", async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ([x, y]) => {
        using _ = openScope();
        const n = x.length;
        const [scores, other] = [tensor([x], setting), tensor([y], setting)] as unknown as [X, X];
        const q = softmax(other) as X;
        /** The mean of a loss of labels drawn from q. */
        const expected = (loss: (x: X, y: number[], o: object) => Tensor, scores: X): Tensor => {
          const every = broadcastTo(scores, [n, n]) as X;
          const losses = loss(
            every,
            Array.from({ length: n }, (_, t) => t),
            perRow,
          ) as X;
          return sum(mul(losses, q as never) as X);
        };
        const soft = (loss: unknown, scores: X, target: Tensor): Tensor =>
          (loss as (x: X, q: Tensor, o: object) => Tensor)(scores, target, { reduction: "sum" });
        const differences: Tensor[] = [
          sub(expected(crossEntropy as never, scores) as X, expected(crossEntropy as never, other) as never),
          sub(expected(brier as never, scores) as X, expected(brier as never, other) as never),
          sub(soft(softCrossEntropy, scores, q) as X, soft(softCrossEntropy, other, q) as never),
          soft(sparsemaxLoss, scores, sparsemax(other)),
          soft(entmax15Loss, scores, entmax15(other)),
          soft(entmaxLoss, scores, entmax(other)),
          soft(normmaxLoss, scores, normmax(other)),
        ];
        const found = (await numbersOf(...differences)).flat();
        for (const [i, v] of found.entries()) expect(v, `loss ${i}`).toBeGreaterThanOrEqual(-100 * tolerance);
        // What Brier's loss exceeds its least by is the squared distance.
        const d = sub(softmax(scores) as X, q as never) as X;
        const [[squared]] = (await numbersOf(sum(mul(d, d as never) as X))) as [[number]];
        expect(Math.abs(found[1]! - squared)).toBeLessThanOrEqual(10 * tolerance);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("entropy, Gini impurity and Jensen–Shannon divergence keep their bounds", async () => {
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: ["plain", "ties", "spread", "masked"] }), async (rows) => {
        using _ = openScope();
        const x = tensor(rows, setting) as unknown as X;
        const n = rows[0]!.length;
        const reversed = tensor(
          rows.map((row) => row.toReversed()),
          setting,
        ) as unknown as X;
        const groups = concat([alone(x), alone(reversed)] as never, -2) as unknown as X;
        const found = await numbersOf(
          entropy(x, perRow),
          giniImpurity(x, perRow),
          jsDivergence(groups, perRow),
        );
        [Math.log(n), 1 - 1 / n, Math.LN2].forEach((bound, i) => {
          for (const v of found[i]!) {
            expect(v).toBeGreaterThanOrEqual(-tolerance);
            expect(v).toBeLessThanOrEqual(bound + 10 * tolerance);
          }
        });
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("the spherical z-loss sees neither shifts nor scales", async () => {
    const rows = scoreRows({ kinds: ["plain"], minClasses: 2 }).filter(distinct);
    await fc.assert(
      fc.asyncProperty(rows, async (rows) => {
        const loss = (x: X): Tensor => zLossSpherical(x, labels(x), { a: 1, b: 1, ...perRow });
        await agree(
          { says: "", left: loss, right: (x) => loss(add(mul(x, 2) as X, 3) as X), slack: 100 },
          rows,
        );
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test.each(Object.keys(ofTwo) as (keyof typeof ofTwo)[])(
    "perturbMax of two classes with %s noise has its closed form",
    async (noise) => {
      using _ = openScope();
      const leads = [0, 1e-3, 0.1, 0.5, 0.75, 1, 1.5, 2, 4, 6];
      for (const scale of [1, 0.5, 2]) {
        const x = tensor(
          leads.map((d) => [1 + d, 1]),
          setting,
        ) as unknown as X;
        const [p] = await numbersOf(perturbMax(x, { noise, scale }));
        leads.forEach((d, r) => {
          const wanted = ofTwo[noise](d / scale);
          const allowed = Math.max(1e-9, tolerance);
          expect(Math.abs(p![2 * r]! - wanted), `a lead of ${d / scale}`).toBeLessThanOrEqual(allowed);
          expect(Math.abs(p![2 * r + 1]! - (1 - wanted))).toBeLessThanOrEqual(allowed);
        });
      }
    },
  );

  test("the loss of a row [17, 0] keeps its digits", async () => {
    using _ = openScope();
    const x = tensor([[17, 0]], setting) as unknown as X;
    const exact = Math.log1p(Math.exp(-17));
    const [[loss], [logProbability]] = (await numbersOf(crossEntropy(x, [0]), logSoftmax(x))) as [
      [number],
      [number],
    ];
    for (const found of [loss, -logProbability]) {
      expect(Math.abs(found / exact - 1)).toBeLessThan(setting.dtype === "f64" ? 1e-14 : 1e-6);
    }
  });
});

describe("means of many samples", () => {
  const scores = [0.5, -1, 0, 1.5];
  const draws = 20_000;
  const shape = [draws, scores.length] as const;
  const how = { dtype: "f64", device: "js" } as const;
  const [key] = split(randomKey(7)) as [ReturnType<typeof randomKey>];

  /** Within five standard errors of the probabilities. */
  const approaches = (frequencies: readonly number[], p: readonly number[]): void => {
    frequencies.forEach((v, i) => {
      expect(Math.abs(v - p[i]!)).toBeLessThanOrEqual(5 * Math.sqrt((p[i]! * (1 - p[i]!)) / draws));
    });
  };

  test.each([
    ["softmax, with Gumbel noise", { key }, (x: X) => softmax(x)],
    [
      "perturbMax, with normal noise",
      { noise: normal(shape, { key, ...how }) },
      (x: X) => perturbMax(x, { noise: "normal" }),
    ],
    [
      "perturbMax, with uniform noise",
      { noise: sub(uniform(shape, { key, ...how }) as never, 0.5 as never) },
      (x: X) => perturbMax(x, { noise: "uniform" }),
    ],
    [
      "perturbMax, with exponential noise",
      { noise: neg(log(uniform(shape, { key, ...how }) as never)) },
      (x: X) => perturbMax(x, { noise: "exponential" }),
    ],
  ] as unknown as readonly (readonly [string, object, (x: X) => Tensor])[])(
    "of sampledArgmax approach %s",
    async (_, noise, map) => {
      using _scope = openScope();
      const x = tensor([scores], how) as unknown as X;
      const samples = sampledArgmax(broadcastTo(x, shape) as X, noise as never) as X;
      const [frequencies, p] = (await numbersOf(mean(samples, { axis: 0 }), map(x))) as [number[], number[]];
      approaches(frequencies, p);
    },
  );
});
