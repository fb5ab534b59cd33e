// Scores → probabilities: every map, in reading order.

export {
  adaptiveTemperatureSoftmax,
  asentmax,
  multimax,
  saSoftmax,
  sigmoidAttention,
  sigsoftmax,
  softmaxOne,
  softmaxSink,
  softpick,
  ssmax,
} from "./attention.ts";
export { entmax, entmax15, sparsemax } from "./entmax.ts";
export { fusedmax } from "./fusedmax.ts";
export { logMixtureOfSoftmaxes, mixtureOfSoftmaxes, stickBreaking } from "./mixtures.ts";
export { naiveSoftmax } from "./naive.ts";
export {
  normalizedRelu,
  normalizedSigmoid,
  normalizedSoftplus,
  reluPowerNorm,
  sin2MaxShifted,
  sinSoftmax,
  sumNormalization,
} from "./normalisers.ts";
export { type NoiseName, perturbMax } from "./perturb.ts";
export { logTaylorSoftmax, sphericalSoftmax, taylorSoftmax } from "./polynomial.ts";
export {
  alphaRelu,
  budgetSparsemax,
  csoftmax,
  csparsemax,
  normmax,
  sigmoidTopk,
  sparsegenLin,
  sparsehourglass,
  temperedSoftmax,
} from "./projections.ts";
export { gumbelSoftmax, gumbelSoftmaxSt, sampledArgmax } from "./sampled.ts";
export {
  hardmax,
  logSoftmax,
  logsumexp,
  maskedLogSoftmax,
  maskedSoftmax,
  mellowmax,
  softmax,
  straightThroughArgmax,
} from "./softmax.ts";
export { asSoftmax, evSoftmax, rankmax, rSoftmax, sparseSoftmax, tSoftmax } from "./truncated.ts";
