// Directions and lengths of rows, of any size that floats have: what losses and layers of cosines are made of. `norm` is the
// length along any axes, without the care for numbers whose squares are no floats.

import type { FloatDType } from "../core/dtype.ts";
import { describeAs } from "../core/op.ts";
import {
  abs,
  div,
  greater,
  lessEqual,
  max,
  mul,
  type Row,
  readBack,
  type Scalar,
  type ScalarMask,
  select,
  sqrt,
  stop,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type RowMap, rowMap, rowReduction } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** The longest row that counts as none. */
const NONE = 1e-12;

/** The direction of a row, 0 for a row that has none, and its length. */
function polar(x: Row): { readonly direction: Row; readonly length: Scalar; readonly vanishes: ScalarMask } {
  const largest = stop(max(abs(x)));
  // Entries of the size of 1 can be squared.
  const size = select(greater(largest, 0), largest, 1) as Scalar;
  const t = div(x, size) as Row;
  const squares = sum(mul(t, t));
  // The root of 0 has no derivative.
  const root = select(greater(squares, 0), sqrt(squares), 0) as Scalar;
  const length = mul(size, root) as Scalar;
  const vanishes = lessEqual(length, NONE);
  return { direction: select(vanishes, 0, div(t, root)) as Row, length, vanishes };
}

const rows: RowMap = /* @__PURE__ */ rowMap("normalize", {
  doc: "The direction of each row: the row over its Euclidean length.",
  program: ({ x }) => {
    const { direction, length, vanishes } = polar(x);
    const y = readBack(direction);
    return {
      result: y,
      // What would turn the direction, over the length.
      vjp: ([g]) => ({ x: select(vanishes, 0, div(sub(g!, mul(sum(mul(g!, y)), y)), length)) }),
    };
  },
  domain: { x: { min: 0.2, max: 2 } },
  laws: [],
  examples: [{ args: [[3, -4]], gives: [0.6, -0.8] }],
});

/**
 * The direction of each row: the row over its Euclidean length, of the same shape; along another axis with `axis`. A product
 * of two directions is a cosine. Rows of 1e30 and more have a direction in f32 too.
 *
 * A row no longer than 1e-12 has none: it becomes 0, and its gradient is 0 (PyTorch divides both by 1e-12).
 *
 * @formula y = \frac{x}{\lVert x\rVert}
 * @gradient dx = \frac{g-\langle g,y\rangle\,y}{\lVert x\rVert}
 * @see norm: the length
 * @example normalize(tensor([3, -4])) // [0.6, -0.8]
 */
export const normalize: RowMap = /* @__PURE__ */ describeAs(
  (<S extends Shape, D extends FloatDType>(x: Tensor<S, D>, ...rest: []): Tensor<S, D> =>
    rows(x as never, ...rest) as Tensor<S, D>) as RowMap,
  rows,
  {
    kind: "structure",
    examples: [
      { args: [[3, -4]], gives: [0.6, -0.8] },
      {
        args: [
          [
            [0, 0],
            [0, 2],
          ],
        ],
        gives: [
          [0, 0],
          [0, 1],
        ],
      },
      {
        args: [
          [
            [3, 0],
            [-4, 2],
          ],
          { axis: 0 },
        ],
        gives: [
          [0.6, 0],
          [-0.8, 1],
        ],
      },
    ],
  },
);

/** The Euclidean length of a row, in a formula; 0 for a row that has no direction. */
export function lengthOf(x: Row): Scalar {
  const { length, vanishes } = polar(x);
  return select(vanishes, 0, length) as Scalar;
}

/** The Euclidean length of each row, of any size; its gradient is the direction. */
export const lengths: (x: Tensor<Shape, FloatDType>) => Tensor<Shape, FloatDType> =
  /* @__PURE__ */ rowReduction("lengths", {
    doc: "The length of each row.",
    program: ({ x }) => lengthOf(x),
    over: "last",
    examples: [],
  });
