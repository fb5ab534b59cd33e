// Losses of features, in reading order: what reads the vectors of samples beside those of classes, prototypes or other samples,
// and makes the scores itself. Losses of given scores are `scores.ts`.

import type { Op } from "../core/op.ts";
import * as fused from "./fused.ts";

export {
  type FusedLinearCrossEntropy,
  type FusedLinearCrossEntropyOptions,
  fusedLinearCrossEntropy,
} from "./fused.ts";

/** All losses of features: what tests and docs read. */
export const allFeatureLosses: readonly Op[] = [
  // Of a whole layer
  fused.fusedLinearCrossEntropy,
];
