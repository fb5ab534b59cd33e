// RMSprop: each entry steps by its gradient over the root of its mean squared gradient, or of its variance.

import { map } from "../core/map.ts";
import { add, div, less, mul, relu, select, sqrt, sub } from "../core/row/expr.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkFlag, checkNumber, checkShared } from "./checks.ts";
import { flushed, flushedSquare, joined, negligible } from "./moments.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface RMSpropOptions {
  /** Step size γ ≥ 0; 0.01 by default. */
  readonly lr?: number;
  /** α in [0, 1]: decay of the mean squared gradient; 0.99 by default. */
  readonly alpha?: number;
  /** ε ≥ 0, added to the root; 1e-8 by default. */
  readonly eps?: number;
  /** λ ≥ 0: λ·θ is added to the gradient; 0 by default. */
  readonly weightDecay?: number;
  /** μ ≥ 0: how much of the last direction is kept; 0 by default. */
  readonly momentum?: number;
  /** Divides by the standard deviation of the gradient instead of its root mean square (Graves 2013, eqs. 38–45). */
  readonly centered?: boolean;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

interface Numbers {
  readonly γ: number;
  readonly α: number;
  /** 1 − α, taken in double precision. */
  readonly ω: number;
  readonly ε: number;
  readonly λ: number;
  readonly μ: number;
  readonly sign: number;
  readonly least: number;
}

type Update = (
  theta: Tensor,
  g: Tensor,
  v: Tensor,
  ...more: [numbers: Numbers] | [Tensor, numbers: Numbers] | [m: Tensor, b: Tensor, numbers: Numbers]
) => Tensor[];

const rmsprop = (centered: boolean, momentum: boolean): Update =>
  map<Update>("rmsprop", {
    doc: "A step by the gradient over its root mean square.",
    source: "Tieleman & Hinton 2012, lecture 6.5; Graves 2013, eqs. 38–45",
    inputs: ["θ", "g", "v", ...(centered ? ["m"] : []), ...(momentum ? ["b"] : [])],
    params: { γ: 0, α: 0, ω: 1, ε: 0, λ: 0, μ: 0, sign: 1, least: 0 },
    program: ({ θ, g, v, m, b, γ, α, ω, ε, λ, μ, sign, least }) => {
      const gt = joined(g!, θ!, sign!, λ!);
      const vt = flushedSquare(add(mul(α!, v!), mul(ω!, mul(gt, gt))), least!);
      const mt = centered && flushed(add(mul(α!, m!), mul(ω!, gt)), least!);
      // A variance is never below 0, but its difference may be rounded there. Squares that overflow have no difference.
      const inRange = less(vt, Number.POSITIVE_INFINITY);
      const spread = mt ? select(inRange, relu(sub(vt, mul(mt, mt))), vt) : vt;
      const step = div(gt, add(sqrt(spread), ε!));
      const bt = momentum && flushed(add(mul(μ!, b!), step), least!);
      return [sub(θ!, mul(γ!, bt || step)), vt, ...(mt ? [mt] : []), ...(bt ? [bt] : [])];
    },
    examples: [],
  });
const plain: Update = /* @__PURE__ */ rmsprop(false, false);
const centeredOnly: Update = /* @__PURE__ */ rmsprop(true, false);
const withMomentum: Update = /* @__PURE__ */ rmsprop(false, true);
const centeredWithMomentum: Update = /* @__PURE__ */ rmsprop(true, true);

/**
 * RMSprop: v ← α·v + (1 − α)·g², θ ← θ − γ·g/(√v + ε), with v − m² for v where it is centered by the mean gradient m, a momentum
 * b ← μ·b + g/(√v + ε) in the place of the last factor where there is one, and g + λ·θ for g where there is decay. The conventions
 * are PyTorch's. Throws DomainError for options out of range. Source: Tieleman & Hinton 2012, lecture 6.5.
 *
 * @example
 * const rmsprop = new RMSprop(model.parameters(), { lr: 1e-3, alpha: 0.9, centered: true });
 * rmsprop.minimize(() => crossEntropy(model.forward(x), y));
 */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(params: Trained<RMSpropOptions>, options: RMSpropOptions = {}) {
    super("RMSprop", params, options, {
      lr: 0.01,
      alpha: 0.99,
      eps: 1e-8,
      weightDecay: 0,
      momentum: 0,
      centered: false,
      maximize: false,
    });
  }

  protected override check(options: Group<RMSpropOptions>): void {
    const { alpha, centered } = options;
    checkShared(this.name, options);
    checkNumber(this.name, "alpha", alpha, alpha >= 0 && alpha <= 1, "give a number in [0, 1]");
    checkFlag(this.name, "centered", centered);
  }

  protected override remembers({ centered, momentum }: Group<RMSpropOptions>): Remembered {
    return {
      moments: {
        square_avg: 0,
        ...(centered ? { grad_avg: 0 } : {}),
        ...(momentum > 0 ? { momentum_buffer: 0 } : {}),
      },
    };
  }

  protected override update({ theta, g, options, moments }: Turn<RMSpropOptions>): readonly Tensor[] {
    const { lr: γ, alpha: α, eps: ε, weightDecay: λ, momentum: μ, centered, maximize } = options;
    const sign = maximize ? -1 : 1;
    const least = negligible[theta.dtype as "f32"];
    const [one, two] = centered ? [centeredOnly, centeredWithMomentum] : [plain, withMomentum];
    const step = (μ > 0 ? two : one) as (...args: readonly unknown[]) => Tensor[];
    return step(theta, g, ...moments, { γ, α, ω: 1 - α, ε, λ, μ, sign, least });
  }
}
