// RAdam: Adam that waits with dividing until its mean squared gradient can be trusted, and then divides with care.

import { map } from "../core/map.ts";
import { add, div, mul, sqrt, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { twoMoments } from "./adam.ts";
import { checkShared } from "./checks.ts";
import { flushed, flushedSquare, joined, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface RAdamOptions {
  /** Step size α ≥ 0; 0.001 by default. */
  readonly lr?: number;
  /** β₁ and β₂ in [0, 1): decay of the mean gradient and of the mean squared gradient; [0.9, 0.999] by default. */
  readonly betas?: readonly [number, number];
  /** ε ≥ 0, added to the root; 1e-8 by default. */
  readonly eps?: number;
  /** λ ≥ 0: λ·θ is added to the gradient; 0 by default. */
  readonly weightDecay?: number;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

type Update = (
  theta: Tensor,
  g: Tensor,
  m: Tensor,
  v: Tensor,
  numbers: {
    /** α/(1 − β₁ᵗ), and rₜ·√(1 − β₂ᵗ) in it where the step is rectified. */
    α: number;
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

const radam = (rectified: boolean): Update =>
  map<Update>("radam", {
    doc: "A step by the mean gradient, over the root of the mean squared gradient once there are enough of them.",
    source: "Liu et al. 2020, algorithm 2",
    inputs: ["θ", "g", "m", "v"],
    params: { α: 0, β1: 0, ω1: 1, β2: 0, ω2: 1, ε: 0, λ: 0, sign: 1, least: 0 },
    program: ({ θ, g, m, v, α, β1, ω1, β2, ω2, ε, λ, sign, least }) => {
      const gt = joined(g!, θ!, sign!, λ!);
      const mt = flushed(add(mul(β1!, m!), mul(ω1!, gt)), least!);
      const vt = flushedSquare(add(mul(β2!, v!), mul(ω2!, mul(gt, gt))), least!);
      return [sub(θ!, mul(α!, rectified ? div(mt, add(sqrt(vt), ε!)) : mt)), mt, vt];
    },
    examples: [],
  });
const early: Update = /* @__PURE__ */ radam(false);
const late: Update = /* @__PURE__ */ radam(true);

/**
 * Rectified Adam: m and v as in Adam, ρ∞ = 2/(1 − β₂) − 1, ρₜ = ρ∞ − 2t·β₂ᵗ/(1 − β₂ᵗ). While ρₜ ≤ 5, θ ← θ − α·m̂; then
 * θ ← θ − α·rₜ·m̂·√(1 − β₂ᵗ)/(√v + ε) with rₜ² = (ρₜ − 4)(ρₜ − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρₜ), and g + λ·θ for g where there is decay. Needs no
 * warm-up. The conventions are PyTorch's. Throws DomainError for options out of range. Source: Liu et al. 2020, algorithm 2.
 *
 * @example
 * const radam = new RAdam(model.parameters(), { lr: 1e-3 });
 * radam.minimize(() => crossEntropy(model.forward(x), y));
 */
export class RAdam extends Optimizer<RAdamOptions> {
  constructor(params: Trained<RAdamOptions>, options: RAdamOptions = {}) {
    super("RAdam", params, options, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      maximize: false,
    });
  }

  protected override check(options: Group<RAdamOptions>): void {
    checkShared(this.name, options);
  }

  protected override remembers(): Remembered {
    return twoMoments;
  }

  protected override update({
    theta,
    g,
    options,
    t,
    moments: [m, v],
  }: Turn<RAdamOptions>): readonly Tensor[] {
    const { lr, betas, eps: ε, weightDecay: λ, maximize } = options;
    const [β1, β2] = betas;
    const left = 1 - β2 ** t;
    const most = 2 / (1 - β2) - 1;
    const ρ = most - (2 * t * β2 ** t) / left;
    const rectified = ρ > 5;
    const r = rectified ? Math.sqrt((((ρ - 4) / (most - 4)) * ((ρ - 2) / (most - 2)) * most * left) / ρ) : 1;
    return (rectified ? late : early)(theta, g, m!, v!, {
      α: (lr / (1 - β1 ** t)) * r,
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
