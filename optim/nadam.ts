// NAdam: Adam that looks ahead along its mean gradient, as Nesterov's momentum does, with a momentum that warms up.

import { map } from "../core/map.ts";
import { add, div, mul, sqrt, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkNumber, checkShared } from "./checks.ts";
import { flushed, flushedSquare, joined, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface NAdamOptions {
  /** Step size γ ≥ 0; 0.002 by default. */
  readonly lr?: number;
  /** β₁ and β₂ in [0, 1): decay of the mean gradient and of the mean squared gradient; [0.9, 0.999] by default. */
  readonly betas?: readonly [number, number];
  /** ε ≥ 0, added to the root; 1e-8 by default. */
  readonly eps?: number;
  /** λ ≥ 0: λ·θ is added to the gradient; 0 by default. */
  readonly weightDecay?: number;
  /** ψ ≥ 0: how fast the momentum comes up to β₁; 0.004 by default. */
  readonly momentumDecay?: number;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

type Update = (
  theta: Tensor,
  g: Tensor,
  m: Tensor,
  v: Tensor,
  numbers: {
    /** γ·(1 − μₜ)/(1 − μ₁⋯μₜ) for the gradient, and γ·μₜ₊₁/(1 − μ₁⋯μₜ·μₜ·μₜ₊₁) for its mean. */
    γg: number;
    γm: number;
    /** 1/√(1 − β₂ᵗ). */
    c: number;
    β1: number;
    ω1: number;
    β2: number;
    ω2: number;
    ε: number;
    λ: number;
    sign: number;
    least: number;
  },
) => Tensor[];

const nadam: Update = /* @__PURE__ */ map<Update>("nadam", {
  doc: "A step by the mean gradient and the gradient itself over the root of the mean squared gradient.",
  source: "Dozat 2016, algorithm 8",
  inputs: ["θ", "g", "m", "v"],
  params: { γg: 0, γm: 0, c: 1, β1: 0, ω1: 1, β2: 0, ω2: 1, ε: 0, λ: 0, sign: 1, least: 0 },
  program: ({ θ, g, m, v, γg, γm, c, β1, ω1, β2, ω2, ε, λ, sign, least }) => {
    const gt = joined(g!, θ!, sign!, λ!);
    const mt = flushed(add(mul(β1!, m!), mul(ω1!, gt)), least!);
    const vt = flushedSquare(add(mul(β2!, v!), mul(ω2!, mul(gt, gt))), least!);
    const ahead = add(mul(γg!, gt), mul(γm!, mt));
    return [sub(θ!, div(ahead, add(mul(c!, sqrt(vt)), ε!))), mt, vt];
  },
  examples: [],
});

const remembered: Remembered = { moments: { exp_avg: 0, exp_avg_sq: 0 }, numbers: { mu_product: 1 } };

/**
 * Adam with Nesterov's momentum: m and v as in Adam, μₜ = β₁·(1 − 0.96^(t·ψ)/2), and
 * θ ← θ − γ·(μₜ₊₁·m/(1 − μ₁⋯μₜ·μₜ·μₜ₊₁) + (1 − μₜ)·g/(1 − μ₁⋯μₜ))/(√v̂ + ε), with g + λ·θ for g where there is decay. The conventions
 * are those of PyTorch 1.13, μₜ twice in a product included. Throws DomainError for options out of range. Source: Dozat 2016,
 * algorithm 8.
 *
 * @example
 * const nadam = new NAdam(model.parameters(), { lr: 2e-3 });
 * nadam.minimize(() => crossEntropy(model.forward(x), y));
 */
export class NAdam extends Optimizer<NAdamOptions> {
  constructor(params: Trained<NAdamOptions>, options: NAdamOptions = {}) {
    super("NAdam", params, options, {
      lr: 2e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      momentumDecay: 4e-3,
      maximize: false,
    });
  }

  protected override check(options: Group<NAdamOptions>): void {
    const { momentumDecay } = options;
    checkShared(this.name, options);
    checkNumber(this.name, "momentumDecay", momentumDecay, momentumDecay >= 0, "give a decay ≥ 0");
  }

  protected override remembers(): Remembered {
    return remembered;
  }

  protected override update(turn: Turn<NAdamOptions>): readonly Tensor[] {
    const { theta, g, options, t, moments, numbers } = turn;
    const { lr, betas, eps: ε, weightDecay: λ, momentumDecay: ψ, maximize } = options;
    const [m, v] = moments;
    const [β1, β2] = betas;
    const μ = β1 * (1 - 0.5 * 0.96 ** (t * ψ));
    const μNext = β1 * (1 - 0.5 * 0.96 ** ((t + 1) * ψ));
    numbers.mu_product! *= μ;
    const product = numbers.mu_product!;
    // Dozat's product goes from μ₁ to μₜ₊₁; PyTorch's, which is followed here, has μₜ twice.
    const productNext = product * μ * μNext;
    return nadam(theta, g, m!, v!, {
      γg: (lr * (1 - μ)) / (1 - product),
      γm: (lr * μNext) / (1 - productNext),
      c: 1 / Math.sqrt(1 - β2 ** t),
      β1,
      ω1: 1 - β1,
      β2,
      ω2: 1 - β2,
      ε,
      λ,
      sign: maximize ? -1 : 1,
      least: negligible[theta.dtype as "f32"],
    });
  }
}
