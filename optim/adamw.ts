// AdamW: Adam whose weight decay shrinks the parameter itself and does not pass through the moments.

import type { Tensor } from "../core/tensor.ts";
import { AdamFamily, type AdamOptions, adamStep } from "./adam.ts";
import type { Trained, Turn } from "./optimizer.ts";

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): θ ← (1 − α·λ)·θ − α·m̂/(√v̂ + ε). The conventions are
 * PyTorch's. Throws DomainError for options out of range.
 *
 * @example
 * const adamw = new AdamW([{ params: [head.weight], lr: 1e-2 }, { params: body.parameters() }], { lr: 1e-3, weightDecay: 0.1 });
 */
export class AdamW extends AdamFamily {
  constructor(params: Trained<AdamOptions>, options: AdamOptions = {}) {
    super("AdamW", params, options, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0.01,
      amsgrad: false,
      maximize: false,
    });
  }

  protected override update(turn: Turn<AdamOptions>): readonly Tensor[] {
    const { lr: α, weightDecay: λ } = turn.options;
    return adamStep(turn, 0, 1 - α * λ);
  }
}
