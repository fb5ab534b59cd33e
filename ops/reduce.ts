// Folding axes into single values: sums, means, extremes, and where those are. Over all axes together, or over those that
// `axis` names. Sums have a kernel for every axis; the others are formulas of rows. `logsumexp` and its kin are maps.

import { type DType, type FloatDType, isFloat } from "../core/dtype.ts";
import { ArgumentError, DTypeError, showValue } from "../core/errors.ts";
import { checkFloat, checkOptions, describe, type Op } from "../core/op.ts";
import { rowReduction } from "../core/rowop.ts";
import {
  type Checked,
  normalizeAxes,
  type Reduce,
  type Result,
  reduceShape,
  type Shape,
  sizeOf,
} from "../core/shape.ts";
import { checkTensor, newTensor, type Tensor } from "../core/tensor.ts";
import { reshape, slice, sumTo } from "../core/views.ts";
import * as words from "../core/words.ts";
import { cast, div, equal, greater, logicalNot, mul } from "./elementwise.ts";

/** Which axes are folded, and whether they stay as axes of size 1. */
export interface FoldOptions<A extends number | readonly number[] | undefined, K extends boolean> {
  /** One axis, or several that are folded together; all when not said. */
  readonly axis?: A;
  /** Whether the folded axes stay, with size 1 (default false). */
  readonly keepDims?: K;
}

/** A fold of axes; `Out` is the element type of the result, "same" being that of the argument. `O` are further options. */
export interface Fold<
  In extends DType = FloatDType,
  Out extends DType | "same" = "same",
  O extends object = object,
> extends Op {
  <
    S extends Shape,
    D extends In,
    const A extends number | readonly number[] | undefined = undefined,
    K extends boolean = false,
  >(
    x: Checked<Tensor<S, D>, Reduce<S, A, K>>,
    options?: FoldOptions<A, K> & O,
  ): Tensor<Result<Reduce<S, A, K>>, Out extends DType ? Out : D>;
}

type Options = FoldOptions<number | readonly number[] | undefined, boolean>;

/** The axes that a call folds, and the shape that it leaves. */
function folding(
  place: string,
  x: Tensor,
  options: Options | undefined,
): { axes: number[]; shape: number[] } {
  checkTensor(place, x);
  checkOptions(place, options, ["axis", "keepDims"]);
  const keepDims: unknown = options?.keepDims ?? false;
  if (typeof keepDims !== "boolean")
    throw new ArgumentError(place, `keepDims is ${showValue(keepDims)}`, "give true or false");
  const axes = normalizeAxes(place, options?.axis, x.rank);
  return { axes, shape: reduceShape(x.shape, axes, keepDims) };
}

function filled(like: Tensor, dtype: DType, shape: readonly number[], value: number): Tensor {
  const out = newTensor(like.backend, dtype, shape);
  if (out.size > 0) out.backend.fill(out.storage, dtype, out.size, value);
  return out;
}

// ---------------------------------------------------------------------------------------------------------------
// Sums and what is made of them

/** Sums of integers, exact as long as they are integers of 32 bits. */
const integerSum: Fold<"i32"> = /* @__PURE__ */ rowReduction("sum", {
  doc: "The sum of integers.",
  program: ({ x }) => words.sum(x),
  over: "all",
  integers: true,
  examples: [],
});

/** The type of `sum`: sums of truth values count them. */
export interface Sum extends Op {
  <
    S extends Shape,
    D extends DType,
    const A extends number | readonly number[] | undefined = undefined,
    K extends boolean = false,
  >(
    x: Checked<Tensor<S, D>, Reduce<S, A, K>>,
    options?: FoldOptions<A, K>,
  ): Tensor<Result<Reduce<S, A, K>>, D extends "bool" ? "i32" : D>;
}

/**
 * The sum over all axes, or over those that `axis` names. Long sums are compensated. Integers sum to i32, and a bool tensor to
 * the number of its true entries. No entries sum to 0.
 *
 * @example
 * sum(tensor([[1, 2], [3, 4]])).item();                  // 10
 * sum(tensor([[1, 2], [3, 4]]), { axis: 0 }).toArray();  // [4, 6]
 */
export const sum: Sum = /* @__PURE__ */ describe(
  ((x: Tensor, options?: Options): Tensor => {
    const { axes, shape } = folding("sum", x, options);
    if (isFloat(x.dtype)) {
      // Axes in front go as they came: by broadcasting. Others leave a 1 behind first.
      const front = axes.every((axis, i) => axis === i);
      if (front || shape.length === x.rank) return sumTo(x, shape);
      return reshape(sumTo(x, reduceShape(x.shape, axes, true)), shape);
    }
    if (x.size === 0) return filled(x, "i32", shape, 0);
    return integerSum(cast(x, "i32"), options);
  }) as Sum,
  {
    name: "sum",
    kind: "reduction",
    doc: "The sum of all entries, or along axes.",
    laws: [],
    examples: [
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
        ],
        gives: 10,
      },
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          { axis: 0 },
        ],
        gives: [4, 6],
      },
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          { axis: -1, keepDims: true },
        ],
        gives: [[3], [7]],
      },
      { args: [{ bool: [true, false, true] }], gives: 2 },
    ],
  },
);

/**
 * The arithmetic mean over all axes, or over those that `axis` names. Floats only; NaN where there are no entries.
 *
 * @example
 * mean(tensor([1, 2, 6])).item(); // 3
 */
export const mean: Fold = /* @__PURE__ */ describe(
  ((x: Tensor, options?: Options): Tensor => {
    const { axes } = folding("mean", x, options);
    checkFloat("mean", x);
    const total = sum(x as Tensor<Shape, FloatDType>, options);
    return div(
      total,
      axes.reduce((count, axis) => count * x.shape[axis]!, 1),
    );
  }) as Fold,
  {
    name: "mean",
    kind: "reduction",
    doc: "The arithmetic mean of all entries, or along axes.",
    laws: [],
    examples: [
      { args: [[1, 2, 6]], gives: 3 },
      {
        args: [
          [
            [1, 2],
            [3, 6],
          ],
          { axis: 0 },
        ],
        gives: [2, 4],
      },
    ],
  },
);

const correction = { is: "scalar", default: 1, min: 0 } as const;

/** Σ(x − mean)² ÷ (n − correction): centred first, since differences of large squares have no digits left. */
function varianceOf(x: words.Row, less: words.Scalar): words.Scalar {
  const centred = words.sub(x, words.div(words.sum(x), words.n));
  return words.div(words.sum(words.mul(centred, centred)), words.sub(words.n, less));
}

/** The root of a sum of squares; where it is 0 the sum itself, whose derivative there is 0 and not 0 ÷ 0. */
const root = (squares: words.Scalar): words.Scalar =>
  words.select(words.greater(squares, 0), words.sqrt(squares), squares) as words.Scalar;

/** The option of `variance` and `std`. */
export interface Correction {
  /** What is taken off the count of entries: 1 (default) estimates from a sample, 0 is the variance of just these entries. */
  readonly correction?: number;
}

/**
 * The variance over all axes, or over those that `axis` names: the squared distance from the mean, summed and divided by
 * n − correction (default 1, as for a sample). Floats only; NaN where n is not larger than the correction.
 *
 * @example
 * variance(tensor([1, 2, 3])).item();                    // 1
 * variance(tensor([1, 2, 3]), { correction: 0 }).item(); // 0.6667
 */
export const variance: Fold<FloatDType, "same", Correction> = /* @__PURE__ */ rowReduction("variance", {
  doc: "The variance of all entries, or along axes.",
  params: { correction },
  program: ({ x, correction }) => varianceOf(x, correction),
  over: "all",
  examples: [
    { args: [[1, 2, 3]], gives: 1 },
    { args: [[1, 3], { correction: 0 }], gives: 1 },
  ],
});

/**
 * The standard deviation over all axes, or over those that `axis` names: the root of `variance`, with its options. Where all
 * entries are equal its gradient is 0.
 *
 * @example
 * std(tensor([1, 3]), { correction: 0 }).item(); // 1
 */
export const std: Fold<FloatDType, "same", Correction> = /* @__PURE__ */ rowReduction("std", {
  doc: "The standard deviation of all entries, or along axes.",
  params: { correction },
  program: ({ x, correction }) => root(varianceOf(x, correction)),
  over: "all",
  examples: [{ args: [[1, 3], { correction: 0 }], gives: 1 }],
});

/**
 * The Euclidean length over all axes, or over those that `axis` names: √Σx². Its gradient at 0 is 0.
 *
 * @example
 * norm(tensor([3, 4])).item(); // 5
 */
export const norm: Fold = /* @__PURE__ */ rowReduction("norm", {
  doc: "The Euclidean length of all entries, or along axes.",
  program: ({ x }) => root(words.sum(words.mul(x, x))),
  over: "all",
  examples: [{ args: [[3, 4]], gives: 5 }],
});

// ---------------------------------------------------------------------------------------------------------------
// Products

/** The product along one axis: halves are multiplied until one entry is left, so no factor is ever divided out. */
function productAlong(x: Tensor, axis: number): Tensor {
  const part = (t: Tensor, from: number, to: number): Tensor =>
    slice(t, ...new Array<null>(axis).fill(null), [from, to]);
  let left = x;
  let odd: Tensor | undefined;
  for (let size = x.shape[axis]!; size > 1; size = size >> 1) {
    const half = size >> 1;
    if (size & 1) {
      const last = part(left, size - 1, size);
      odd = odd ? mul(odd, last) : last;
    }
    left = mul(part(left, 0, half), part(left, half, 2 * half));
  }
  return odd ? mul(left, odd) : left;
}

/**
 * The product over all axes, or over those that `axis` names. The gradient is right where factors are 0. No entries multiply
 * to 1.
 *
 * @example
 * prod(tensor([2, 3, 4])).item(); // 24
 */
export const prod: Fold<FloatDType | "i32"> = /* @__PURE__ */ describe(
  ((x: Tensor, options?: Options): Tensor => {
    const { axes, shape } = folding("prod", x, options);
    if (x.dtype === "bool") throw new DTypeError("prod", "bool has no product", "use all, or cast it");
    if (sizeOf(axes.map((axis) => x.shape[axis]!)) === 0) return filled(x, x.dtype, shape, 1);
    const product = axes.reduce(productAlong, x);
    return axes.length === 0 ? product : reshape(product, shape);
  }) as Fold<FloatDType | "i32">,
  {
    name: "prod",
    kind: "reduction",
    doc: "The product of all entries, or along axes.",
    laws: [],
    examples: [
      { args: [[2, 3, 4]], gives: 24 },
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          { axis: 1 },
        ],
        gives: [2, 12],
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Extremes

/**
 * The largest entry over all axes, or over those that `axis` names; NaN if there is one. The gradient goes to the first of
 * equal entries. Throws ShapeError where there are no entries.
 *
 * @example
 * max(tensor([[1, 5], [7, 2]]), { axis: 1 }).toArray(); // [5, 7]
 */
export const max: Fold<FloatDType | "i32"> = /* @__PURE__ */ rowReduction("max", {
  doc: "The largest entry, or the largest along axes.",
  program: ({ x }) => words.max(x),
  over: "all",
  integers: true,
  examples: [
    {
      args: [
        [
          [1, 5],
          [7, 2],
        ],
      ],
      gives: 7,
    },
    {
      args: [
        [
          [1, 5],
          [7, 2],
        ],
        { axis: 1 },
      ],
      gives: [5, 7],
    },
  ],
});

/**
 * The smallest entry over all axes, or over those that `axis` names; NaN if there is one. The gradient goes to the first of
 * equal entries. Throws ShapeError where there are no entries.
 *
 * @example
 * min(tensor([[1, 5], [7, 2]]), { axis: 1 }).toArray(); // [1, 2]
 */
export const min: Fold<FloatDType | "i32"> = /* @__PURE__ */ rowReduction("min", {
  doc: "The smallest entry, or the smallest along axes.",
  program: ({ x }) => words.min(x),
  over: "all",
  integers: true,
  examples: [
    {
      args: [
        [
          [1, 5],
          [7, 2],
        ],
        { axis: 1 },
      ],
      gives: [1, 2],
    },
  ],
});

/**
 * The position of the first largest entry (of the first NaN, if there is one), as i32. Over several axes, or all, positions are
 * counted in row-major order. Throws ShapeError where there are no entries.
 *
 * @example
 * argmax(tensor([[1, 5], [7, 2]]), { axis: 1 }).toArray(); // [1, 0]
 */
export const argmax: Fold<FloatDType | "i32", "i32"> = /* @__PURE__ */ rowReduction("argmax", {
  doc: "The position of the first largest entry, or of that along axes.",
  program: ({ x }) => words.argmax(x),
  over: "all",
  stored: "i32",
  integers: true,
  smooth: false,
  examples: [
    {
      args: [
        [
          [1, 5],
          [7, 2],
        ],
      ],
      gives: 2,
    },
    {
      args: [
        [
          [1, 5],
          [7, 2],
        ],
        { axis: 1 },
      ],
      gives: [1, 0],
    },
  ],
});

/**
 * The position of the first smallest entry (of the first NaN, if there is one), as i32; otherwise as `argmax`.
 *
 * @example
 * argmin(tensor([[1, 5], [7, 2]]), { axis: 1 }).toArray(); // [0, 1]
 */
export const argmin: Fold<FloatDType | "i32", "i32"> = /* @__PURE__ */ rowReduction("argmin", {
  doc: "The position of the first smallest entry, or of that along axes.",
  program: ({ x }) => words.argmax(words.neg(x)),
  over: "all",
  stored: "i32",
  integers: true,
  smooth: false,
  examples: [
    {
      args: [
        [
          [1, 5],
          [7, 2],
        ],
        { axis: 1 },
      ],
      gives: [0, 1],
    },
  ],
});

// ---------------------------------------------------------------------------------------------------------------
// Truth

/** Folds truth values: some are true if their count is not 0, all are if the count of the false ones is. */
function quantifier(
  name: "any" | "all",
  doc: string,
  examples: Op["info"]["examples"],
): Fold<"bool", "bool"> {
  return describe(
    ((x: Tensor, options?: Options): Tensor => {
      checkTensor(name, x);
      if (x.dtype !== "bool")
        throw new DTypeError(
          name,
          `${x.dtype} stands where truth values are wanted`,
          "compare first: notEqual(x, 0)",
        );
      const trues = sum(name === "any" ? x : logicalNot(x as Tensor<Shape, "bool">), options);
      return name === "any" ? greater(trues, 0) : equal(trues, 0);
    }) as Fold<"bool", "bool">,
    { name, kind: "reduction", doc, laws: [], smooth: false, examples },
  );
}

/**
 * Whether any entry is true, over all axes or over those that `axis` names. Bool tensors only; false where there are no entries.
 *
 * @example
 * any(tensor([false, true])).item(); // true
 */
export const any: Fold<"bool", "bool"> = /* @__PURE__ */ quantifier(
  "any",
  "Whether any entry is true, or any along axes.",
  [
    {
      args: [
        {
          bool: [
            [true, false],
            [false, false],
          ],
        },
        { axis: 1 },
      ],
      gives: [true, false],
    },
  ],
);

/**
 * Whether all entries are true, over all axes or over those that `axis` names. Bool tensors only; true where there are no
 * entries.
 *
 * @example
 * all(tensor([false, true])).item(); // false
 */
export const all: Fold<"bool", "bool"> = /* @__PURE__ */ quantifier(
  "all",
  "Whether all entries are true, or all along axes.",
  [
    {
      args: [
        {
          bool: [
            [true, false],
            [true, true],
          ],
        },
        { axis: 1 },
      ],
      gives: [false, true],
    },
  ],
);
