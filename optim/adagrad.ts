// Adagrad: each entry steps by its gradient over the root of the sum of all its squared gradients.

import { map } from "../core/map.ts";
import { add, div, mul, sqrt, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkNumber, checkShared } from "./checks.ts";
import { joined } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface AdagradOptions {
  /** Step size γ ≥ 0; 0.01 by default. */
  readonly lr?: number;
  /** η ≥ 0: step t is γ/(1 + (t − 1)·η) long; 0 by default. */
  readonly lrDecay?: number;
  /** λ ≥ 0: λ·θ is added to the gradient; 0 by default. */
  readonly weightDecay?: number;
  /** What the sum of squares begins with, ≥ 0; 0 by default. */
  readonly initialAccumulatorValue?: number;
  /** ε ≥ 0, added to the root; 1e-10 by default. */
  readonly eps?: number;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

type Update = (
  theta: Tensor,
  g: Tensor,
  s: Tensor,
  numbers: { γ: number; λ: number; ε: number; sign: number },
) => Tensor[];

const adagrad: Update = /* @__PURE__ */ map<Update>("adagrad", {
  doc: "A step by the gradient over the root of the sum of its squares.",
  source: "Duchi, Hazan & Singer 2011, eq. 1, with diagonal matrices",
  inputs: ["θ", "g", "s"],
  params: { γ: 0, λ: 0, ε: 0, sign: 1 },
  program: ({ θ, g, s, γ, λ, ε, sign }) => {
    const gt = joined(g!, θ!, sign!, λ!);
    const st = add(s!, mul(gt, gt));
    return [sub(θ!, mul(γ!, div(gt, add(sqrt(st), ε!)))), st];
  },
  examples: [],
});

/**
 * Adagrad: s ← s + g², θ ← θ − γ/(1 + (t − 1)·η)·g/(√s + ε), with g + λ·θ for g where there is decay. Rare features keep long
 * steps. The conventions are PyTorch's. Without decay of the weights, row-sparse gradients change their rows alone. Throws
 * DomainError for options out of range. Source: Duchi, Hazan & Singer 2011.
 *
 * @example
 * const adagrad = new Adagrad([table], { lr: 0.1 });
 * adagrad.minimize(() => crossEntropy(matmul(take(table.value, words), w), y)); // changes the rows of `words`
 */
export class Adagrad extends Optimizer<AdagradOptions> {
  constructor(params: Trained<AdagradOptions>, options: AdagradOptions = {}) {
    super("Adagrad", params, options, {
      lr: 0.01,
      lrDecay: 0,
      weightDecay: 0,
      initialAccumulatorValue: 0,
      eps: 1e-10,
      maximize: false,
    });
  }

  protected override check(options: Group<AdagradOptions>): void {
    const { lrDecay, initialAccumulatorValue: s0 } = options;
    checkShared(this.name, options);
    checkNumber(this.name, "lrDecay", lrDecay, lrDecay >= 0, "give a decay ≥ 0");
    checkNumber(this.name, "initialAccumulatorValue", s0, s0 >= 0, "give a number ≥ 0");
  }

  protected override remembers({ initialAccumulatorValue }: Group<AdagradOptions>): Remembered {
    return { moments: { sum: initialAccumulatorValue } };
  }

  protected override leavesRows({ weightDecay }: Group<AdagradOptions>): boolean {
    return weightDecay === 0;
  }

  protected override update({ theta, g, options, t, moments: [s] }: Turn<AdagradOptions>): readonly Tensor[] {
    const { lr, lrDecay, weightDecay: λ, eps: ε, maximize } = options;
    return adagrad(theta, g, s!, { γ: lr / (1 + (t - 1) * lrDecay), λ, ε, sign: maximize ? -1 : 1 });
  }
}
