// Adamax: Adam with the largest gradient, fading, in the place of the root mean square.

import { map } from "../core/map.ts";
import { abs, add, div, maximum, mul, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkShared } from "./checks.ts";
import { flushed, joined, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface AdamaxOptions {
  /** Step size α ≥ 0; 0.002 by default. */
  readonly lr?: number;
  /** β₁ and β₂ in [0, 1): decay of the mean gradient and of the largest; [0.9, 0.999] by default. */
  readonly betas?: readonly [number, number];
  /** ε ≥ 0, added to |g|; 1e-8 by default. */
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
  u: Tensor,
  numbers: {
    /** α/(1 − β₁ᵗ). */
    α: number;
    β1: number;
    ω1: number;
    β2: number;
    ε: number;
    λ: number;
    sign: number;
    least: number;
  },
) => Tensor[];

const adamax: Update = /* @__PURE__ */ map<Update>("adamax", {
  doc: "A step by the mean gradient over the largest gradient, which fades.",
  source: "Kingma & Ba 2015, algorithm 2",
  inputs: ["θ", "g", "m", "u"],
  params: { α: 0, β1: 0, ω1: 1, β2: 0, ε: 0, λ: 0, sign: 1, least: 0 },
  program: ({ θ, g, m, u, α, β1, ω1, β2, ε, λ, sign, least }) => {
    const gt = joined(g!, θ!, sign!, λ!);
    const mt = flushed(add(mul(β1!, m!), mul(ω1!, gt)), least!);
    const ut = maximum(mul(β2!, u!), add(abs(gt), ε!));
    return [sub(θ!, mul(α!, div(mt, ut))), mt, ut];
  },
  examples: [],
});

const remembered: Remembered = { moments: { exp_avg: 0, exp_inf: 0 } };

/**
 * Adamax: m ← β₁·m + (1 − β₁)·g, u ← max(β₂·u, |g| + ε), θ ← θ − α/(1 − β₁ᵗ)·m/u, with g + λ·θ for g where there is decay. The
 * conventions are PyTorch's. Throws DomainError for options out of range. Source: Kingma & Ba 2015, algorithm 2.
 *
 * @example
 * const adamax = new Adamax(model.parameters(), { lr: 2e-3 });
 * adamax.minimize(() => crossEntropy(model.forward(x), y));
 */
export class Adamax extends Optimizer<AdamaxOptions> {
  constructor(params: Trained<AdamaxOptions>, options: AdamaxOptions = {}) {
    super("Adamax", params, options, {
      lr: 2e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      maximize: false,
    });
  }

  protected override check(options: Group<AdamaxOptions>): void {
    checkShared(this.name, options);
  }

  protected override remembers(): Remembered {
    return remembered;
  }

  protected override update({
    theta,
    g,
    options,
    t,
    moments: [m, u],
  }: Turn<AdamaxOptions>): readonly Tensor[] {
    const { lr, betas, eps: ε, weightDecay: λ, maximize } = options;
    const [β1, β2] = betas;
    return adamax(theta, g, m!, u!, {
      α: lr / (1 - β1 ** t),
      β1,
      ω1: 1 - β1,
      β2,
      ε,
      λ,
      sign: maximize ? -1 : 1,
      least: negligible[theta.dtype as "f32"],
    });
  }
}
