// Lion: every entry takes a step of one length, in the direction that its mean gradient and the last one agree on.

import { map } from "../core/map.ts";
import { add, mul, sign as signOf, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkShared } from "./checks.ts";
import { flushed, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface LionOptions {
  /** Step size η ≥ 0, three to ten times smaller than Adam's; 1e-4 by default. */
  readonly lr?: number;
  /** β₁ and β₂ in [0, 1): share of the mean in the direction, and decay of the mean; [0.9, 0.99] by default. */
  readonly betas?: readonly [number, number];
  /** λ ≥ 0: η·λ·θ is taken off the parameter; 0 by default. */
  readonly weightDecay?: number;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

type Update = (
  theta: Tensor,
  g: Tensor,
  m: Tensor,
  numbers: {
    η: number;
    β1: number;
    ω1: number;
    β2: number;
    ω2: number;
    λ: number;
    sign: number;
    least: number;
  },
) => Tensor[];

const lion: Update = /* @__PURE__ */ map<Update>("lion", {
  doc: "A step by the sign of the mean gradient.",
  source: "Chen et al. 2023, algorithm 2",
  inputs: ["θ", "g", "m"],
  params: { η: 0, β1: 0, ω1: 1, β2: 0, ω2: 1, λ: 0, sign: 1, least: 0 },
  program: ({ θ, g, m, η, β1, ω1, β2, ω2, λ, sign, least }) => {
    const gt = mul(sign!, g!);
    const c = add(mul(β1!, m!), mul(ω1!, gt));
    const mt = flushed(add(mul(β2!, m!), mul(ω2!, gt)), least!);
    return [sub(θ!, mul(η!, add(signOf(c), mul(λ!, θ!)))), mt];
  },
  examples: [],
});

const remembered: Remembered = { moments: { exp_avg: 0 } };

/**
 * Lion: θ ← θ − η·(sign(β₁·m + (1 − β₁)·g) + λ·θ), then m ← β₂·m + (1 − β₂)·g, with sign(0) = 0. Half of Adam's memory. Throws
 * DomainError for options out of range. Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2.
 *
 * @example
 * const lion = new Lion(model.parameters(), { lr: 1e-4, weightDecay: 0.1 });
 * lion.minimize(() => crossEntropy(model.forward(x), y));
 */
export class Lion extends Optimizer<LionOptions> {
  constructor(params: Trained<LionOptions>, options: LionOptions = {}) {
    super("Lion", params, options, { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0, maximize: false });
  }

  protected override check(options: Group<LionOptions>): void {
    checkShared(this.name, options);
  }

  protected override remembers(): Remembered {
    return remembered;
  }

  protected override update({ theta, g, options, moments: [m] }: Turn<LionOptions>): readonly Tensor[] {
    const { lr: η, betas, weightDecay: λ, maximize } = options;
    const [β1, β2] = betas;
    const least = negligible[theta.dtype as "f32"];
    const sign = maximize ? -1 : 1;
    return lion(theta, g, m!, { η, β1, ω1: 1 - β1, β2, ω2: 1 - β2, λ, sign, least });
  }
}
