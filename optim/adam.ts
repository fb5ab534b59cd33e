// Adam: each entry steps by its mean gradient over the root of its mean squared gradient. AdamW differs in the decay alone.

import { ArgumentError, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { add, div, maximum, mul, sqrt, sub, type Value } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import {
  checkFlag,
  checkNumber,
  flushed,
  type Group,
  negligible,
  Optimizer,
  type Trained,
  type Turn,
} from "./optimizer.ts";

export interface AdamOptions {
  /** Step size α ≥ 0; 0.001 by default. */
  readonly lr?: number;
  /** β₁ and β₂ in [0, 1): decay of the mean gradient and of the mean squared gradient; [0.9, 0.999] by default. */
  readonly betas?: readonly [number, number];
  /** ε ≥ 0, added to the root; 1e-8 by default. */
  readonly eps?: number;
  /** λ ≥ 0. Adam adds λ·θ to the gradient (default 0), AdamW takes α·λ·θ off the parameter (default 0.01). */
  readonly weightDecay?: number;
  /** Divides by the largest mean squared gradient so far (Reddi, Kale & Kumar 2018). */
  readonly amsgrad?: boolean;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

/** What depends on the step alone. Complements such as 1 − β₂ are taken in double precision: in f32 they have few digits left. */
interface Numbers {
  /** α/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ): the two corrections for moments that begin at 0. */
  readonly α: number;
  readonly c: number;
  readonly β1: number;
  /** 1 − β₁ and 1 − β₂. */
  readonly ω1: number;
  readonly β2: number;
  readonly ω2: number;
  readonly ε: number;
  /** Decay that joins the gradient, and the factor that decay apart from it leaves of θ. */
  readonly λ: number;
  readonly κ: number;
  readonly sign: number;
  readonly least: number;
}

type AdamUpdate = (
  theta: Tensor,
  g: Tensor,
  m: Tensor,
  v: Tensor,
  ...more: [numbers: Numbers] | [vMax: Tensor, numbers: Numbers]
) => Tensor[];

const adamUpdate = (amsgrad: boolean): AdamUpdate =>
  map<AdamUpdate>("adam", {
    doc: "A step by the mean gradient over the root of the mean squared gradient.",
    source: "Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2",
    inputs: amsgrad ? ["θ", "g", "m", "v", "vMax"] : ["θ", "g", "m", "v"],
    params: { α: 0, c: 1, β1: 0, ω1: 1, β2: 0, ω2: 1, ε: 0, λ: 0, κ: 1, sign: 1, least: 0 },
    program: ({ θ, g, m, v, vMax, α, c, β1, ω1, β2, ω2, ε, λ, κ, sign, least }) => {
      const gt = add(mul(sign!, g!), mul(λ!, θ!));
      const mt = flushed(add(mul(β1!, m!), mul(ω1!, gt)), least!);
      // A root is taken of it: what is negligible lies lower.
      const vt = flushed(add(mul(β2!, v!), mul(ω2!, mul(gt, gt))), mul(1e-6, least!));
      const top: Value = amsgrad ? maximum(vMax!, vt) : vt;
      const θt = sub(mul(κ!, θ!), mul(α!, div(mt, add(mul(c!, sqrt(top)), ε!))));
      return amsgrad ? [θt, mt, vt, top] : [θt, mt, vt];
    },
    examples: [],
  });
const latest: AdamUpdate = /* @__PURE__ */ adamUpdate(false);
const largest: AdamUpdate = /* @__PURE__ */ adamUpdate(true);

/**
 * Adam: m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², θ ← θ − α·m̂/(√v̂ + ε), with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ), and
 * g + λ·θ for g where there is decay. The conventions are PyTorch's. Throws DomainError for options out of range.
 *
 * @example
 * const adam = new Adam(model.parameters(), { lr: 1e-3 });
 * adam.minimize(() => crossEntropy(model.forward(x), y));
 */
export class Adam extends Optimizer<AdamOptions> {
  constructor(params: Trained<AdamOptions>, options: AdamOptions = {}) {
    super("Adam", params, options, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      amsgrad: false,
      maximize: false,
    });
  }

  protected override check(options: Group<AdamOptions>): void {
    checkAdam(this.name, options);
  }

  protected override update(turn: Turn<AdamOptions>): readonly Tensor[] {
    return adamStep(turn, turn.options.weightDecay, 1);
  }
}

/** Refuses options that make no sense, for Adam and AdamW. */
export function checkAdam(
  name: string,
  { lr, betas, eps, weightDecay, amsgrad, maximize }: Group<AdamOptions>,
): void {
  checkNumber(name, "lr", lr, lr >= 0, "give a step size ≥ 0");
  if (!Array.isArray(betas) || betas.length !== 2)
    throw new ArgumentError(name, `betas is ${showValue(betas)}`, "give two numbers, such as [0.9, 0.999]");
  for (let i = 0; i < 2; i++)
    checkNumber(name, `betas[${i}]`, betas[i], betas[i]! >= 0 && betas[i]! < 1, "give a number in [0, 1)");
  checkNumber(name, "eps", eps, eps >= 0, "give a number ≥ 0");
  checkNumber(name, "weightDecay", weightDecay, weightDecay >= 0, "give a decay ≥ 0");
  checkFlag(name, "amsgrad", amsgrad);
  checkFlag(name, "maximize", maximize);
}

/** One update, with decay λ in the gradient and a factor κ on θ for decay beside it. */
export function adamStep(
  { theta, g, options, t, moment }: Turn<AdamOptions>,
  λ: number,
  κ: number,
): readonly Tensor[] {
  const { lr, betas, eps: ε, amsgrad, maximize } = options;
  const [β1, β2] = betas;
  const numbers: Numbers = {
    α: lr / (1 - β1 ** t),
    c: 1 / Math.sqrt(1 - β2 ** t),
    β1,
    ω1: 1 - β1,
    β2,
    ω2: 1 - β2,
    ε,
    λ,
    κ,
    sign: maximize ? -1 : 1,
    least: negligible[theta.dtype as "f32"],
  };
  return amsgrad
    ? largest(theta, g, moment(0), moment(1), moment(2), numbers)
    : latest(theta, g, moment(0), moment(1), numbers);
}
