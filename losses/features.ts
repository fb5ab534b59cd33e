// Losses of features, in reading order: what reads the vectors of samples beside those of classes, prototypes or other samples,
// and makes the scores itself. Losses of given scores are `scores.ts`.

import type { Op } from "../core/op.ts";
import * as fused from "./fused.ts";
import * as fusedSparse from "./fused-sparse.ts";
import * as sampled from "./sampled.ts";

export type { CandidateLoss, CandidateOptions, Candidates, Counts } from "./candidates.ts";
export {
  type FusedLinearCrossEntropy,
  type FusedLinearCrossEntropyOptions,
  fusedLinearCrossEntropy,
} from "./fused.ts";
export {
  type FusedSparseLoss,
  type FusedSparseOptions,
  fusedLinearEntmax15Loss,
  fusedLinearSparsemaxLoss,
} from "./fused-sparse.ts";
export {
  type NceOptions,
  type NegativeSamplingOptions,
  nceLoss,
  negativeSamplingLoss,
  type RankingNceOptions,
  rankingNceLoss,
  type SampledSoftmaxOptions,
  sampledSoftmaxLoss,
} from "./sampled.ts";
export {
  type Batch,
  LogUniformSampler,
  type Sample,
  type SampleOptions,
  Sampler,
  type UnigramOptions,
  UnigramSampler,
} from "./samplers.ts";

/** All losses of features: what tests and docs read. */
export const allFeatureLosses: readonly Op[] = [
  // Of sampled classes
  sampled.nceLoss,
  sampled.negativeSamplingLoss,
  sampled.rankingNceLoss,
  sampled.sampledSoftmaxLoss,
  // Of a whole layer
  fused.fusedLinearCrossEntropy,
  fusedSparse.fusedLinearSparsemaxLoss,
  fusedSparse.fusedLinearEntmax15Loss,
];
