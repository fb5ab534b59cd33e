// Calibration: the one temperature for which probabilities are honest, fitted on the negative log-likelihood of held-out rows.
// Calibration errors are `metrics.ts`; they are steps, and nothing can be fitted on them.

import type { FloatDType } from "../core/dtype.ts";
import { div, mul, mulZero, pick, type Row, type Scalar, sub, sum } from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, rowLoss } from "../core/rowloss.ts";
import type { Labels, Params } from "../core/rowop.ts";
import { scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { exp } from "../core/words.ts";
import { centred } from "../ops/maps/softmax.ts";

interface Beta extends IgnoreOption {
  readonly beta: number;
}

const beta: Params & { readonly beta: { readonly is: "scalar" } } = { beta: { is: "scalar" } };

/** Centred scores, and their mean under softmax(βx). */
function expected(x: Row, b: Scalar): { readonly z: Row; readonly p: Row; readonly mean: Scalar } {
  const z = centred(x);
  const e = exp(mul(b, z)) as Row;
  const p = div(e, sum(e)) as Row;
  return { z, p, mean: sum(mulZero(p, z) as Row) };
}

/** ∂/∂β of the negative log-likelihood of softmax(βx): the expected score less the right one. */
const slope: Loss<Beta> = /* @__PURE__ */ rowLoss("fitTemperature", {
  doc: "The slope of the negative log-likelihood in the inverse temperature.",
  against: "labels",
  params: beta,
  program: ({ x, target, beta: b }) => {
    const { z, mean } = expected(x, b);
    return sub(mean, pick(z, target)) as Scalar;
  },
  examples: [],
});

/** ∂²/∂β²: the variance of the scores. */
const curvature: Loss<Beta> = /* @__PURE__ */ rowLoss("fitTemperature", {
  doc: "The curvature of the negative log-likelihood in the inverse temperature.",
  against: "labels",
  params: beta,
  program: ({ x, beta: b }) => {
    const { z, p, mean } = expected(x, b);
    const d = sub(z, mean);
    return sum(mulZero(p, mul(d, d)) as Row);
  },
  examples: [],
});

/** No temperature outside is looked for. */
const [coldest, hottest] = [2 ** -10, 2 ** 10] as const;

/**
 * The temperature T for which softmax(x/T) has the least negative log-likelihood on held-out scores and labels: what to divide
 * scores by so that their probabilities are honest. The accuracy stays as it is.
 *
 * Convex in 1/T, so Newton's method in 1/T within a bracket finds it, in some five passes over the rows. Nothing outside
 * [2⁻¹⁰, 2¹⁰] is looked for: scores worse than chance give the upper bound. Where every row is right there is no best one: it
 * grows colder until the likelihood no longer changes.
 * @formula T = \arg\min_{T>0}\;-\sum_r\log\,\mathrm{softmax}(x_r/T)_{t_r}
 * @see temperatureScaledNll: what is minimised
 * @see ece: what becomes smaller
 * @param x Scores [.., classes].
 * @param target One class index per row; rows with `ignoreIndex` (−100) do not count.
 * @returns A promise, since results are read on every device.
 * @example
 * const temperature = await fitTemperature(heldOutScores, heldOutLabels);
 * const p = softmax(scores, { temperature });
 */
export async function fitTemperature<D extends FloatDType>(
  x: Tensor<Shape, D>,
  target: Labels,
  options: IgnoreOption = {},
): Promise<number> {
  const tolerance = x.dtype === "f64" ? 1e-12 : 1e-6;
  let [low, high, b] = [1 / hottest, 1 / coldest, 1];
  for (let pass = 0; pass < 200; pass++) {
    const at = { ...options, beta: b };
    const [first, second] = scope(() => [
      slope(x as Tensor<[number, number], D>, target, at),
      curvature(x as Tensor<[number, number], D>, target, at),
    ]) as [Tensor, Tensor];
    const [[rise = 0], [bend = 0]] = await Promise.all([first.data(), second.data()]);
    if (rise === 0) break;
    if (Number.isNaN(rise)) return Number.NaN;
    if (rise > 0) high = b;
    else low = b;
    const newton = b - rise / bend;
    const next = newton > low && newton < high ? newton : Math.sqrt(low * high);
    const settled = Math.abs(next - b) <= tolerance * b;
    b = next;
    if (settled) break;
  }
  return 1 / b;
}
