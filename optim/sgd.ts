// Stochastic gradient descent, plain, with momentum, and with Nesterov's momentum.

import { ArgumentError } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { add, mul, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkFlag, checkNumber, checkShared } from "./checks.ts";
import { flushed, joined, negligible } from "./moments.ts";
import { type Group, NOTHING, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface SGDOptions {
  /** Step size γ ≥ 0. */
  readonly lr: number;
  /** μ ≥ 0: how much of the last direction is kept; 0 by default. */
  readonly momentum?: number;
  /** τ: the share of the gradient that does not enter the momentum; 0 by default. The first gradient enters whole. */
  readonly dampening?: number;
  /** λ ≥ 0: the gradient of λ/2·|θ|² is added; 0 by default. */
  readonly weightDecay?: number;
  /** Looks ahead along the momentum; needs a momentum and no dampening. */
  readonly nesterov?: boolean;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

type Plain = (theta: Tensor, g: Tensor, numbers: { γ: number; λ: number; sign: number }) => Tensor;

const plain: Plain = /* @__PURE__ */ map<Plain>("sgd", {
  doc: "A step against the gradient.",
  inputs: ["θ", "g"],
  params: { γ: 0, λ: 0, sign: 1 },
  program: ({ θ, g, γ, λ, sign }) => sub(θ!, mul(γ!, joined(g!, θ!, sign!, λ!))),
  examples: [],
});

type WithMomentum = (
  theta: Tensor,
  g: Tensor,
  b: Tensor,
  numbers: { γ: number; λ: number; μ: number; ω: number; sign: number; least: number },
) => Tensor[];

const withMomentum = (nesterov: boolean): WithMomentum =>
  map<WithMomentum>("sgdMomentum", {
    doc: "A step along the decaying sum of gradients.",
    source: "Polyak 1964; Sutskever, Martens, Dahl & Hinton 2013, eqs. 1–4",
    inputs: ["θ", "g", "b"],
    params: { γ: 0, λ: 0, μ: 0, ω: 1, sign: 1, least: 0 },
    program: ({ θ, g, b, γ, λ, μ, ω, sign, least }) => {
      const h = joined(g!, θ!, sign!, λ!);
      const bt = flushed(add(mul(μ!, b!), mul(ω!, h)), least!);
      return [sub(θ!, mul(γ!, nesterov ? add(h, mul(μ!, bt)) : bt)), bt];
    },
    examples: [],
  });
const heavyBall: WithMomentum = /* @__PURE__ */ withMomentum(false);
const lookingAhead: WithMomentum = /* @__PURE__ */ withMomentum(true);

const buffer: Remembered = { moments: { momentum_buffer: 0 } };

/**
 * Stochastic gradient descent: θ ← θ − γ·b with b ← μ·b + (1 − τ)·(g + λ·θ), b beginning as the first gradient; with Nesterov's
 * momentum θ ← θ − γ·(g + λ·θ + μ·b). The conventions are PyTorch's. Without momentum and decay, row-sparse gradients change
 * their rows alone. Throws DomainError for options out of range.
 *
 * @example
 * const sgd = new SGD(model.parameters(), { lr: 0.1, momentum: 0.9, nesterov: true });
 * sgd.minimize(() => crossEntropy(model.forward(x), y));
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Trained<SGDOptions>, options: SGDOptions) {
    super("SGD", params, options, {
      lr: undefined,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
      maximize: false,
    });
  }

  protected override check(options: Group<SGDOptions>): void {
    const { name } = this;
    const { momentum, dampening, nesterov } = options;
    checkShared(name, options);
    checkNumber(name, "dampening", dampening, true, "give a finite number");
    checkFlag(name, "nesterov", nesterov);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ArgumentError(
        name,
        `nesterov is given with momentum ${momentum} and dampening ${dampening}`,
        "Nesterov's momentum needs a momentum above 0 and no dampening",
      );
    }
  }

  protected override remembers({ momentum }: Group<SGDOptions>): Remembered {
    return momentum === 0 ? NOTHING : buffer;
  }

  protected override leavesRows({ momentum, weightDecay }: Group<SGDOptions>): boolean {
    return momentum === 0 && weightDecay === 0;
  }

  protected override update({ theta, g, options, moments, t }: Turn<SGDOptions>): readonly Tensor[] {
    const { lr: γ, momentum: μ, weightDecay: λ, dampening, nesterov, maximize } = options;
    const sign = maximize ? -1 : 1;
    if (μ === 0) return [plain(theta, g, { γ, λ, sign })];
    const ω = t === 1 ? 1 : 1 - dampening;
    const least = negligible[theta.dtype as "f32"];
    return (nesterov ? lookingAhead : heavyBall)(theta, g, moments[0]!, { γ, λ, μ, ω, sign, least });
  }
}
