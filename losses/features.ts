// Losses of features, in reading order: what reads the vectors of samples beside those of classes, prototypes or other samples,
// and makes the scores itself. Losses of given scores are `scores.ts`.

import type { Op } from "../core/op.ts";
import * as adaptive from "./adaptive-margins.ts";
import * as contrastive from "./contrastive.ts";
import * as cosine from "./cosine-margins.ts";
import * as fused from "./fused.ts";
import * as fusedSparse from "./fused-sparse.ts";
import * as pairs from "./pairs.ts";
import * as near from "./prototypes.ts";
import * as sampled from "./sampled.ts";

export { adacos, curricularface, type MagFace, magface } from "./adaptive-margins.ts";
export type { CandidateLoss, CandidateOptions, Candidates, Counts } from "./candidates.ts";
export { clipLoss, infoNce, ntXent, supConLoss, type TwoBatchLoss } from "./contrastive.ts";
export {
  arcface,
  combinedMargin,
  cosface,
  cosineSoftmax,
  lSoftmax,
  scaleBound,
  sphereface,
  subcenterArcface,
} from "./cosine-margins.ts";
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
export type { CenterHead, Head, HeadOptions, SteppedHead } from "./heads.ts";
export { type BatchLoss, circleLoss, circleLossClasses, type LabelledLoss } from "./pairs.ts";
export {
  type CenterLoss,
  centerLoss,
  hypersphericalPrototypeLoss,
  type PrototypeLoss,
  prototypeSeparationLoss,
  prototypes,
  prototypicalLoss,
} from "./prototypes.ts";
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
export const allFeatureLosses: readonly Op[] = /* @__PURE__ */ Object.freeze([
  // Cosines to class rows
  cosine.cosineSoftmax,
  cosine.cosface,
  cosine.arcface,
  cosine.combinedMargin,
  cosine.sphereface,
  cosine.lSoftmax,
  cosine.subcenterArcface,
  adaptive.adacos,
  adaptive.curricularface,
  adaptive.magface,
  // Pairs
  pairs.circleLoss,
  pairs.circleLossClasses,
  contrastive.infoNce,
  contrastive.ntXent,
  contrastive.clipLoss,
  contrastive.supConLoss,
  // Centres and prototypes
  near.centerLoss,
  near.prototypicalLoss,
  near.hypersphericalPrototypeLoss,
  near.prototypeSeparationLoss,
  // Of sampled classes
  sampled.nceLoss,
  sampled.negativeSamplingLoss,
  sampled.rankingNceLoss,
  sampled.sampledSoftmaxLoss,
  // Of a whole layer
  fused.fusedLinearCrossEntropy,
  fusedSparse.fusedLinearSparsemaxLoss,
  fusedSparse.fusedLinearEntmax15Loss,
] as unknown as Op[]);
