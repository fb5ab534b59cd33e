// The Z-loss: a function of Σx, Σx² and the right score alone, so that an output layer of d inputs is trained in O(d²) whatever
// the number of classes. The other spherical losses are logSphericalCe, taylorCe of order 2 and mseOnehot.

import {
  abs,
  add,
  div,
  max,
  mul,
  n,
  oneHot,
  pick,
  type Row,
  type Scalar,
  sqrt,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { ScalarLike } from "../core/rowop.ts";
import { sigmoid, softplus } from "../core/words.ts";
import { centred } from "../ops/maps/softmax.ts";

interface Z extends IgnoreOption {
  /** The steepness a > 0 of the softplus, differentiable; 0.1 by default. */
  readonly a?: ScalarLike;
  /** The standardised score b that the right class is to reach, differentiable; 10 by default. */
  readonly b?: ScalarLike;
}

/**
 * softplus(a·(b − zₜ))/a of the standardised score zₜ = (xₜ − mean)/std: shift- and scale-invariant. NaN where all scores are
 * equal, as for a single class.
 *
 * @formula L = \frac1a\log\bigl(1+e^{a(b-z_t)}\bigr),\qquad z=\frac{x-\bar x}s,\quad s^2=\frac1n\sum_j(x_j-\bar x)^2
 * @gradient dx = -\frac{\sigma\bigl(a(b-z_t)\bigr)}s\Bigl(e_t-\frac1n-\frac{z_t\,z}n\Bigr)
 * @remarks Not the penalty on log Σ eˣ that is called z-loss as well: that is `logitZPenalty`.
 * @see mseOnehot: another loss of the spherical family
 * @see logitZPenalty: the other z-loss
 * @example zLossSpherical(tensor([[1, -1, 0]]), [0], { a: 1, b: 1 })
 */
export const zLossSpherical: Loss<Z> = /* @__PURE__ */ rowLoss("zLossSpherical", {
  doc: "How far the standardised score of the right class falls short, smoothly.",
  source: "de Brébisson & Vincent 2016, eq. 5",
  against: "labels",
  params: { a: { is: "scalar", default: 0.1, above: 0 }, b: { is: "scalar", default: 10 } },
  program: ({ x, target, a, b }) => {
    const c = centred(x);
    const d = sub(c, div(sum(c), n)) as Row;
    // Deviations of the size of 1 cannot overflow when they are squared.
    const size = stop(max(abs(d)));
    const t = div(d, size) as Row;
    const std = sqrt(div(sum(mul(t, t)), n));
    const own = div(pick(t, target), std) as Scalar;
    const short = mul(a, sub(b, own));
    return {
      loss: div(softplus(short), a) as Scalar,
      vjp: ([g]) => {
        const back = div(mul(g!, sigmoid(short)), mul(size, std));
        // The direction less its mean and its part along z.
        const rest = div(add(mul(div(t, std), own), 1), n);
        return { x: sub(mul(back, rest), oneHot(target, back)) };
      },
    };
  },
  domain: { x: { min: -3, max: 3 }, a: { min: 0.1, max: 1 }, b: { min: 1, max: 3 } },
  // The laws that it keeps, shift and scale invariance, are not put to rows whose scores are all equal: those are NaN.
  examples: [
    { args: [[[1, -1]], [0], { a: 1, b: 1 }], gives: Math.LN2 },
    { args: [[[1, -1]], [1], { a: 1, b: -1 }], gives: Math.LN2 },
  ],
});
