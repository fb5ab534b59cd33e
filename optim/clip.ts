// Gradients held within bounds before a step: all together by their norm, or each entry by itself. Gradients in, gradients out.

import { zeros } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DeviceError, DomainError, GradientError, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkFloat, checkOptions } from "../core/op.ts";
import { abs, add, and, div, greater, less, max, minimum, mul, type Row, type Scalar, select, sqrt, sum } from "../core/row/expr.ts";
import { rowReduction } from "../core/rowop.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { passingOn } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { posPow } from "../core/words.ts";
import { cast, clip } from "../ops/elementwise.ts";
import { concat, reshape } from "../ops/movement.ts";
import type { Fold } from "../ops/reduce.ts";
import { checkFlag, checkNumber } from "./checks.ts";

/** The gradient of a parameter, whole or as its rows; undefined where there is none. */
export type AnyGradient = Tensor | RowSparse | undefined;

export interface ClipNormOptions {
  /** p > 0: which norm, (Σ|g|ᵖ)^(1/p); 2 by default, Infinity for the largest entry. */
  readonly normType?: number;
  /** Throws GradientError for a norm that is ∞ or NaN. It must be read at once, which webgpu cannot. */
  readonly errorIfNonfinite?: boolean;
}

/** How `minimize` and `step` clip: by the norm of all gradients together, or entry by entry. */
export type Clip = ({ readonly norm: number } & ClipNormOptions) | { readonly value: number };

/** A norm of rows, scaled by their largest entry: squares of large gradients would overflow, and of small ones vanish. */
const scaled = (name: string, of: (scaled: Row, p: Scalar) => Scalar): Fold<FloatDType, "same", { p: number }> =>
  rowReduction(name, {
    doc: "A norm that overflows only where its value does.",
    params: { p: { default: 2 } },
    program: ({ x, p }) => {
      const most = max(abs(x));
      const scale = select(and(greater(most, 0), less(most, Number.POSITIVE_INFINITY)), most, 1);
      return mul(scale, of(div(abs(x), scale), p));
    },
    over: "all",
    examples: [],
  });
