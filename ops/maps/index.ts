// Scores → probabilities: every map, in reading order.

export { entmax, entmax15, sparsemax } from "./entmax.ts";
export { sphericalSoftmax, taylorSoftmax } from "./polynomial.ts";
export { hardmax, logSoftmax, logsumexp, maskedSoftmax, softmax } from "./softmax.ts";
export { sparseSoftmax } from "./truncated.ts";
