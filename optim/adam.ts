// Adam: each entry steps by its mean gradient over the root of its mean squared gradient. AdamW differs in the decay alone.

import { map } from "../core/map.ts";
import { add, div, maximum, mul, sqrt, sub, type Value } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkFlag, checkShared } from "./checks.ts";
import { flushed, flushedSquare, joined, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

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
      const gt = joined(g!, θ!, sign!, λ!);
      const mt = flushed(add(mul(β1!, m!), mul(ω1!, gt)), least!);
      const vt = flushedSquare(add(mul(β2!, v!), mul(ω2!, mul(gt, gt))), least!);
      const top: Value = amsgrad ? maximum(vMax!, vt) : vt;
      const θt = sub(mul(κ!, θ!), mul(α!, div(mt, add(mul(c!, sqrt(top)), ε!))));
      return amsgrad ? [θt, mt, vt, top] : [θt, mt, vt];
    },
    examples: [],
  });
const latest: AdamUpdate = /* @__PURE__ */ adamUpdate(false);
const largest: AdamUpdate = /* @__PURE__ */ adamUpdate(true);

/** What Adam and its kin remember. */
export const twoMoments: Remembered = { moments: { exp_avg: 0, exp_avg_sq: 0 } };
const threeMoments: Remembered = { moments: { exp_avg: 0, exp_avg_sq: 0, max_exp_avg_sq: 0 } };

/** What Adam and AdamW have in common: their options, and what they remember. */
export abstract class AdamFamily extends Optimizer<AdamOptions> {
  protected override check(options: Group<AdamOptions>): void {
    checkShared(this.name, options);
    checkFlag(this.name, "amsgrad", options.amsgrad);
  }

  protected override remembers({ amsgrad }: Group<AdamOptions>): Remembered {
    return amsgrad ? threeMoments : twoMoments;
  }
}

/**
 * Adam: m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², θ ← θ − α·m̂/(√v̂ + ε), with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ), and
 * g + λ·θ for g where there is decay. The conventions are PyTorch's. Throws DomainError for options out of range. Moments decay
 * everywhere at each step, so a row-sparse gradient is made dense; `SparseAdam` is the lazy method that does not.
 *
 * @example
 * const adam = new Adam(model.parameters(), { lr: 1e-3 });
 * adam.minimize(() => crossEntropy(model.forward(x), y));
 */
export class Adam extends AdamFamily {
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

  protected override update(turn: Turn<AdamOptions>): readonly Tensor[] {
    return adamStep(turn, turn.options.weightDecay, 1);
  }
}

/** One update, with decay λ in the gradient and a factor κ on θ for decay beside it. */
export function adamStep(
  { theta, g, options, t, moments: [m, v, vMax] }: Turn<AdamOptions>,
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
  return amsgrad ? largest(theta, g, m!, v!, vMax!, numbers) : latest(theta, g, m!, v!, numbers);
}
