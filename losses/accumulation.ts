// AS-Speed: how many mini-batches to accumulate, as more and more samples of `asSoftmaxLoss` have nothing left to teach.
// Plain numbers; counting and accumulating is done by `Accumulation` of the optimizers.

import { DomainError } from "../core/errors.ts";

/** What a window of training steps has counted. */
export interface AsSpeedWindow {
  /** Samples seen. */
  readonly samples: number;
  /** Those of them of which only the right class was left: loss 0. */
  readonly easy: number;
  /** The number of mini-batches that were accumulated per step. */
  readonly previous: number;
  /** The factor λ; 1 by default. */
  readonly lambda?: number;
  /** The most mini-batches per step. */
  readonly maxSteps: number;
}

/**
 * The number of mini-batches to accumulate per step after a window of training: λN/(N − M) for N samples of which M were easy,
 * rounded (halves to even), never fewer than before, at most one more, and at most `maxSteps`.
 *
 * Throws DomainError where more samples are easy than there are. Source: Lv et al. 2025, arXiv:2508.03175, reference code.
 * @example asSpeedSteps({ samples: 16, easy: 8, previous: 1, maxSteps: 8 }) // 2
 */
export function asSpeedSteps({ samples, easy, previous, lambda = 1, maxSteps }: AsSpeedWindow): number {
  if (!(easy >= 0 && easy <= samples))
    throw new DomainError("asSpeedSteps", `easy is ${easy}`, `give a number from 0 to samples, ${samples}`);
  const raw = (lambda * samples) / (samples - easy + 1e-8);
  const below = Math.floor(raw);
  const up = raw - below > 0.5 || (raw - below === 0.5 && below % 2 === 1);
  return Math.min(Math.max(1, previous, up ? below + 1 : below), previous + 1, maxSteps);
}
