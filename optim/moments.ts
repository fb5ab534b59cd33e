// Moments that decay, in the words of row programs: what the methods of optimization share of their formulas.

import type { FloatDType } from "../core/dtype.ts";
import { abs, add, lessEqual, mul, select, type Value } from "../core/row/expr.ts";

/** Below this magnitude a moment of each element type counts as zero: see `flushed`. */
export const negligible: { readonly [D in FloatDType]: number } = { f32: 1e-30, f64: 1e-290 };

/**
 * A moment, with 0 for what is negligible. The moments of a parameter without gradient decay towards denormal numbers, and
 * arithmetic on those is dozens of times slower. NaN stays.
 */
export function flushed(moment: Value, least: Value): Value {
  return select(lessEqual(abs(moment), least), 0, moment);
}

/** A mean of squares, of which a root is taken: what is negligible of it lies lower. */
export function flushedSquare(moment: Value, least: Value): Value {
  return flushed(moment, mul(1e-6, least));
}

/** The gradient that a step follows: g, or −g to climb, and λ·θ for the decay that joins it. */
export function joined(g: Value, θ: Value, sign: Value, λ: Value): Value {
  return add(mul(sign, g), mul(λ, θ));
}
