// Adadelta: each entry steps by its gradient, times the root mean square of its past steps over that of its gradients.

import { map } from "../core/map.ts";
import { add, div, mul, sqrt, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkNumber, checkShared } from "./checks.ts";
import { flushedSquare, joined, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface AdadeltaOptions {
  /** Factor γ ≥ 0 of the step; 1 by default. */
  readonly lr?: number;
  /** ρ in [0, 1]: decay of both means of squares; 0.9 by default. */
  readonly rho?: number;
  /** ε ≥ 0, added under both roots; 1e-6 by default. */
  readonly eps?: number;
  /** λ ≥ 0: λ·θ is added to the gradient; 0 by default. */
  readonly weightDecay?: number;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

type Update = (
  theta: Tensor,
  g: Tensor,
  v: Tensor,
  u: Tensor,
  numbers: { γ: number; ρ: number; ω: number; ε: number; λ: number; sign: number; least: number },
) => Tensor[];

const adadelta: Update = /* @__PURE__ */ map<Update>("adadelta", {
  doc: "A step whose length follows the root mean squares of past steps and gradients.",
  source: "Zeiler 2012, algorithm 1",
  inputs: ["θ", "g", "v", "u"],
  params: { γ: 1, ρ: 0, ω: 1, ε: 0, λ: 0, sign: 1, least: 0 },
  program: ({ θ, g, v, u, γ, ρ, ω, ε, λ, sign, least }) => {
    const gt = joined(g!, θ!, sign!, λ!);
    const vt = flushedSquare(add(mul(ρ!, v!), mul(ω!, mul(gt, gt))), least!);
    const Δ = mul(div(sqrt(add(u!, ε!)), sqrt(add(vt, ε!))), gt);
    const ut = flushedSquare(add(mul(ρ!, u!), mul(ω!, mul(Δ, Δ))), least!);
    return [sub(θ!, mul(γ!, Δ)), vt, ut];
  },
  examples: [],
});

const remembered: Remembered = { moments: { square_avg: 0, acc_delta: 0 } };

/**
 * Adadelta: v ← ρ·v + (1 − ρ)·g², Δ = √(u + ε)/√(v + ε)·g, u ← ρ·u + (1 − ρ)·Δ², θ ← θ − γ·Δ, with g + λ·θ for g where there is decay.
 * Steps have the units of the parameter. The conventions are PyTorch's. Throws DomainError for options out of range.
 * Source: Zeiler 2012, algorithm 1.
 *
 * @example
 * const adadelta = new Adadelta(model.parameters());
 * adadelta.minimize(() => crossEntropy(model.forward(x), y));
 */
export class Adadelta extends Optimizer<AdadeltaOptions> {
  constructor(params: Trained<AdadeltaOptions>, options: AdadeltaOptions = {}) {
    super("Adadelta", params, options, { lr: 1, rho: 0.9, eps: 1e-6, weightDecay: 0, maximize: false });
  }

  protected override check(options: Group<AdadeltaOptions>): void {
    const { rho } = options;
    checkShared(this.name, options);
    checkNumber(this.name, "rho", rho, rho >= 0 && rho <= 1, "give a number in [0, 1]");
  }

  protected override remembers(): Remembered {
    return remembered;
  }

  protected override update({
    theta,
    g,
    options,
    moments: [v, u],
  }: Turn<AdadeltaOptions>): readonly Tensor[] {
    const { lr: γ, rho: ρ, eps: ε, weightDecay: λ, maximize } = options;
    const least = negligible[theta.dtype as "f32"];
    return adadelta(theta, g, v!, u!, { γ, ρ, ω: 1 - ρ, ε, λ, sign: maximize ? -1 : 1, least });
  }
}
