// Losses of scores, in reading order: what stands after the last layer, whatever that is. Losses that read features and the
// weights of classes are `features.ts`.

import type { Op } from "../core/op.ts";
import * as losses from "./scores.ts";

export type { Loss, LossOptions, Penalty, Reduction, Target } from "../core/rowloss.ts";
export { rowLoss } from "../core/rowloss.ts";
export type { Labels } from "../core/rowop.ts";
export { type AsSpeedWindow, asSpeedSteps } from "./accumulation.ts";
export { biTemperedLogistic } from "./bi-tempered.ts";
export { bceWithLogits, binaryFocal } from "./binary.ts";
export { fitTemperature } from "./calibration.ts";
export {
  type CrossEntropyOptions,
  crossEntropy,
  labelSmoothingCe,
  softCrossEntropy,
  weightedCrossEntropy,
} from "./cross-entropy.ts";
export {
  confidencePenalty,
  entropy,
  giniImpurity,
  kdComposite,
  kdKl,
  klDivergenceLogits,
  policyGradientEntropy,
} from "./divergences.ts";
export * from "./fenchel-young.ts";
export { adaptiveFocal, focal } from "./focal.ts";
export { jsDivergence } from "./js-divergence.ts";
export { learnableLabelSmoothing } from "./learned-smoothing.ts";
export { smSoftmaxLoss, smTaylorLoss } from "./margins.ts";
export * from "./metrics.ts";
export { asSoftmaxMultilabelLoss, multilabelCe } from "./multilabel.ts";
export * from "./polynomial.ts";
export {
  balancedSoftmaxCe,
  generalizedCe,
  logitAdjustedCe,
  logitZPenalty,
  mseOnehot,
  polyLoss,
  softAccuracy,
  symmetricCe,
  temperatureScaledNll,
} from "./relatives.ts";
export { zLossSpherical } from "./spherical.ts";
export { asSoftmaxLoss, evSoftmaxNll, rankmaxLoss, sparseSoftmaxLoss } from "./truncated.ts";

/** All losses of scores: what tests, docs and pages read. */
export const allLosses: readonly Op[] = [
  losses.crossEntropy,
  losses.softCrossEntropy,
  losses.weightedCrossEntropy,
  losses.labelSmoothingCe,
  losses.learnableLabelSmoothing,
  losses.softAccuracy,
  losses.temperatureScaledNll,
  losses.logitAdjustedCe,
  losses.balancedSoftmaxCe,
  losses.generalizedCe,
  losses.symmetricCe,
  losses.mseOnehot,
  losses.logitZPenalty,
  losses.polyLoss,
  losses.bceWithLogits,
  losses.binaryFocal,
  losses.confidencePenalty,
  losses.focal,
  losses.adaptiveFocal,
  losses.entropy,
  losses.giniImpurity,
  losses.klDivergenceLogits,
  losses.kdKl,
  losses.kdComposite,
  losses.jsDivergence,
  losses.policyGradientEntropy,
  losses.sparsemaxLoss,
  losses.entmax15Loss,
  losses.entmaxLoss,
  losses.normmaxLoss,
  losses.taylorCe,
  losses.logSphericalCe,
  losses.zLossSpherical,
  losses.smSoftmaxLoss,
  losses.smTaylorLoss,
  losses.biTemperedLogistic,
  losses.sparseSoftmaxLoss,
  losses.asSoftmaxLoss,
  losses.rankmaxLoss,
  losses.evSoftmaxNll,
  losses.multilabelCe,
  losses.asSoftmaxMultilabelLoss,
  losses.accuracy,
  losses.topKAccuracy,
  losses.nll,
  losses.brier,
  losses.brierScoreMean,
  losses.shannonEntropy,
  losses.supportSize,
];
