// Scores → probabilities: every map, in reading order.

export { entmax, entmax15, sparsemax } from "./entmax.ts";
export {
  normalizedRelu,
  normalizedSigmoid,
  normalizedSoftplus,
  reluPowerNorm,
  sin2MaxShifted,
  sinSoftmax,
  sumNormalization,
} from "./normalisers.ts";
export { logTaylorSoftmax, sphericalSoftmax, taylorSoftmax } from "./polynomial.ts";
export { gumbelSoftmax, gumbelSoftmaxSt, sampledArgmax } from "./sampled.ts";
export { hardmax, logSoftmax, logsumexp, maskedSoftmax, softmax } from "./softmax.ts";
export { asSoftmax, evSoftmax, rankmax, rSoftmax, sparseSoftmax, tSoftmax } from "./truncated.ts";
