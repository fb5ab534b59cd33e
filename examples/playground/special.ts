// What the cards do not say and the page wants to know, as data: where families begin, what is not a row of scores, and how to
// begin where the defaults show nothing. Computes nothing; an op that is not named here is shown all the same.

import type { Settings } from "./arguments.ts";

/** A heading, and the op that it stands before: the lists of the library are in reading order. */
export type Heading = readonly [title: string, first: string];

export const mapFamilies: readonly Heading[] = [
  ["Softmax and the largest score", "softmax"],
  ["Sparse distributions", "sparsemax"],
  ["Budgets, bounds and thresholds", "budgetSparsemax"],
  ["Polynomials instead of exponentials", "taylorSoftmax"],
  ["Other functions, normalised", "sumNormalization"],
  ["Attention", "ssmax"],
  ["Transformed scores, mixtures and sticks", "sigsoftmax"],
  ["Truncated softmax", "sparseSoftmax"],
  ["Samples and perturbed maxima", "gumbelSoftmax"],
  ["Neighbours together", "fusedmax"],
];

export const lossFamilies: readonly Heading[] = [
  ["Cross-entropy", "crossEntropy"],
  ["Relatives of cross-entropy", "softAccuracy"],
  ["Several yes-or-no questions", "bceWithLogits"],
  ["Confidence and focus", "confidencePenalty"],
  ["Between distributions", "klDivergenceLogits"],
  ["Of sparse maps", "sparsemaxLoss"],
  ["Polynomial, spherical and heavy-tailed", "taylorCe"],
  ["Of truncated maps", "sparseSoftmaxLoss"],
  ["Several right classes", "multilabelCe"],
  ["Metrics", "accuracy"],
];

/** Ops of a stack of rows, [.., K, n]: the scores are the first row, and a second has controls of its own. */
export const stacked: ReadonlySet<string> = new Set([
  "mixtureOfSoftmaxes",
  "logMixtureOfSoftmaxes",
  "jsDivergence",
]);

/** Ops of rows that are probabilities already: a map of the scores stands before them. */
export const ofProbabilities: ReadonlySet<string> = new Set([
  "nll",
  "brierScoreMean",
  "shannonEntropy",
  "supportSize",
]);

/** Losses against a distribution: their target sums to one whatever is moved. */
export const againstDistributions: ReadonlySet<string> = new Set(["softCrossEntropy"]);

/** What is set at first, where a default would say nothing of most scores. */
export const begin: { readonly [op: string]: Settings } = { sumNormalization: { unchecked: true } };
