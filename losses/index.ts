// Every loss, in reading order.

import type { Op } from "../core/op.ts";
import { biTemperedLogistic } from "./bi-tempered.ts";
import { bceWithLogits, binaryFocal } from "./binary.ts";
import { crossEntropy, labelSmoothingCe, softCrossEntropy, weightedCrossEntropy } from "./cross-entropy.ts";
import {
  confidencePenalty,
  entropy,
  giniImpurity,
  kdComposite,
  kdKl,
  klDivergenceLogits,
  policyGradientEntropy,
} from "./divergences.ts";
import { entmax15Loss, entmaxLoss, normmaxLoss, sparsemaxLoss } from "./fenchel-young.ts";
import { adaptiveFocal, focal } from "./focal.ts";
import { jsDivergence } from "./js-divergence.ts";
import { learnableLabelSmoothing } from "./learned-smoothing.ts";
import { smSoftmaxLoss, smTaylorLoss } from "./margins.ts";
import {
  accuracy,
  brier,
  brierScoreMean,
  nll,
  shannonEntropy,
  supportSize,
  topKAccuracy,
} from "./metrics.ts";
import { asSoftmaxMultilabelLoss, multilabelCe } from "./multilabel.ts";
import { logSphericalCe, taylorCe } from "./polynomial.ts";
import {
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
import { zLossSpherical } from "./spherical.ts";
import { asSoftmaxLoss, evSoftmaxNll, rankmaxLoss, sparseSoftmaxLoss } from "./truncated.ts";

export type { Loss, LossOptions, Penalty, Reduction, Target } from "../core/rowloss.ts";
export { rowLoss } from "../core/rowloss.ts";
export type { Labels } from "../core/rowop.ts";
export { type AsSpeedWindow, asSpeedSteps } from "./accumulation.ts";
export { biTemperedLogistic } from "./bi-tempered.ts";
export { bceWithLogits, binaryFocal } from "./binary.ts";
export { fitTemperature } from "./calibration.ts";
export * from "./cross-entropy.ts";
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

/** All losses: what tests, docs and pages read. */
export const allLosses: readonly Op[] = [
  crossEntropy,
  softCrossEntropy,
  weightedCrossEntropy,
  labelSmoothingCe,
  learnableLabelSmoothing,
  softAccuracy,
  temperatureScaledNll,
  logitAdjustedCe,
  balancedSoftmaxCe,
  generalizedCe,
  symmetricCe,
  mseOnehot,
  logitZPenalty,
  polyLoss,
  bceWithLogits,
  binaryFocal,
  confidencePenalty,
  focal,
  adaptiveFocal,
  entropy,
  giniImpurity,
  klDivergenceLogits,
  kdKl,
  kdComposite,
  jsDivergence,
  policyGradientEntropy,
  sparsemaxLoss,
  entmax15Loss,
  entmaxLoss,
  normmaxLoss,
  taylorCe,
  logSphericalCe,
  zLossSpherical,
  smSoftmaxLoss,
  smTaylorLoss,
  biTemperedLogistic,
  sparseSoftmaxLoss,
  asSoftmaxLoss,
  rankmaxLoss,
  evSoftmaxNll,
  multilabelCe,
  asSoftmaxMultilabelLoss,
  accuracy,
  topKAccuracy,
  nll,
  brier,
  brierScoreMean,
  shannonEntropy,
  supportSize,
];
