// Moving entries without computing: other sizes, orders and windows, and tensors joined and parted.
// Views copy nothing and live in the core; here they get their cards. What joins or pads fills new memory.

import type { DType } from "../core/dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { describe, type Op, sameBackend } from "../core/op.ts";
import {
  checkShape,
  contiguousStrides,
  normalizeAxes,
  normalizeAxis,
  type Shape,
  sameShape,
  sizeOf,
} from "../core/shape.ts";
import { type Rule, record } from "../core/tape.ts";
import { checkTensor, contiguous, newTensor, type Tensor, viewOf } from "../core/tensor.ts";
import {
  broadcastTo as broadcastView,
  flip as flipView,
  type Range,
  reshape as reshapeView,
  slice as sliceView,
  transpose as transposeView,
} from "../core/views.ts";

// ---------------------------------------------------------------------------------------------------------------
// The core's views

/**
 * The same elements in row-major order under other sizes; one may be −1: whatever is left. Copies only what does not lie in
 * row-major order. Throws ShapeError when the sizes do not multiply to the number of elements.
 *
 * @example
 * reshape(tensor([[1, 2], [3, 4], [5, 6]]), [2, -1]).toArray(); // [[1, 2, 3], [4, 5, 6]]
 */
export const reshape: typeof reshapeView & Op = /* @__PURE__ */ describe(
  ((x, shape) => reshapeView(x, shape)) as typeof reshapeView,
  {
    name: "reshape",
    kind: "structure",
    doc: "The same elements in row-major order under other sizes; one of them may be -1.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [1, 2],
              [3, 4],
              [5, 6],
            ],
          },
          [2, -1],
        ],
        gives: [
          [1, 2, 3],
          [4, 5, 6],
        ],
      },
    ],
  },
);

/**
 * Axes in another order: axis `axes[i]` comes to place i; the last two exchanged when none is given. A view. Throws
 * ShapeError unless every axis is named once.
 *
 * @example
 * transpose(tensor([[1, 2, 3], [4, 5, 6]])).toArray(); // [[1, 4], [2, 5], [3, 6]]
 */
export const transpose: typeof transposeView & Op = /* @__PURE__ */ describe(
  ((x, axes) => transposeView(x, axes)) as typeof transposeView,
  {
    name: "transpose",
    kind: "structure",
    doc: "Axes in another order; the last two exchanged when none is given.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [1, 2, 3],
              [4, 5, 6],
            ],
          },
        ],
        gives: [
          [1, 4],
          [2, 5],
          [3, 6],
        ],
      },
      {
        args: [
          {
            f64: [
              [
                [1, 2],
                [3, 4],
              ],
            ],
          },
          [2, 0, 1],
        ],
        gives: [[[1, 3]], [[2, 4]]],
      },
    ],
  },
);

/**
 * A part, one range for each axis from the first: `[start, end, step]` (half-open, negative counted from the end), a number
 * (that entry; the axis goes), or null (all). A view. Throws ShapeError for a range that leaves the tensor.
 *
 * @example
 * slice(tensor([[1, 2, 3], [4, 5, 6]]), null, [0, 2]).toArray(); // [[1, 2], [4, 5]]
 */
export const slice: typeof sliceView & Op = /* @__PURE__ */ describe(
  ((x: Tensor, ...ranges: readonly Range[]) => sliceView(x, ...ranges)) as typeof sliceView,
  {
    name: "slice",
    kind: "structure",
    doc: "A part of a tensor: one entry, a range or all along each axis.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [1, 2, 3],
              [4, 5, 6],
            ],
          },
          null,
          [0, 2],
        ],
        gives: [
          [1, 2],
          [4, 5],
        ],
      },
      { args: [{ f64: [1, 2, 3, 4, 5] }, [1, -1, 2]], gives: [2, 4] },
      {
        args: [
          {
            i32: [
              [1, 2],
              [3, 4],
            ],
          },
          -1,
        ],
        gives: [3, 4],
      },
    ],
  },
);

/**
 * Entries repeated along axes of size 1 and along new axes in front. A view. Throws ShapeError where another size would have
 * to stretch.
 *
 * @example
 * broadcastTo(tensor([1, 2]), [3, 2]).toArray(); // [[1, 2], [1, 2], [1, 2]]
 */
export const broadcastTo: typeof broadcastView & Op = /* @__PURE__ */ describe(
  ((x, shape) => broadcastView(x, shape)) as typeof broadcastView,
  {
    name: "broadcastTo",
    kind: "structure",
    doc: "Entries repeated along axes of size 1 and along new axes in front.",
    laws: [],
    examples: [
      {
        args: [{ f64: [[1], [2]] }, [2, 3]],
        gives: [
          [1, 1, 1],
          [2, 2, 2],
        ],
      },
    ],
  },
);

/**
 * The entries in opposite order along the given axes (all when not said). A view.
 *
 * @example
 * flip(tensor([1, 2, 3])).toArray(); // [3, 2, 1]
 */
export const flip: typeof flipView & Op = /* @__PURE__ */ describe(
  ((x, axes) => flipView(x, axes)) as typeof flipView,
  {
    name: "flip",
    kind: "structure",
    doc: "The entries in opposite order along the given axes.",
    laws: [],
    examples: [
      { args: [{ f64: [1, 2, 3] }], gives: [3, 2, 1] },
      {
        args: [
          {
            f64: [
              [1, 2],
              [3, 4],
            ],
          },
          1,
        ],
        gives: [
          [2, 1],
          [4, 3],
        ],
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Axes of size 1

const axesRule: Rule = { name: "expandDims", vjp: ([g], { inputs }) => [reshapeView(g!, inputs[0]!.shape)] };

/** A view whose axes differ from those of x by axes of size 1 only; any order in memory is kept. */
function withAxes<D extends DType>(
  x: Tensor<Shape, D>,
  shape: number[],
  strides: number[],
  origin: string,
): Tensor<Shape, D> {
  const out = viewOf<D>(x, shape, strides, x.offset, origin);
  record(axesRule, [x], [out]);
  return out;
}

/** The type of `expandDims`. */
export interface ExpandDims extends Op {
  <D extends DType>(x: Tensor<Shape, D>, axis: number): Tensor<Shape, D>;
}

/**
 * A new axis of size 1 at the place `axis` of the result. A view.
 *
 * @example
 * expandDims(tensor([1, 2]), -1).shape; // [2, 1]
 */
export const expandDims: ExpandDims = /* @__PURE__ */ describe(
  (<D extends DType>(x: Tensor<Shape, D>, axis: number): Tensor<Shape, D> => {
    checkTensor("expandDims", x);
    const at = normalizeAxis("expandDims", axis, x.rank + 1);
    return withAxes(x, x.shape.toSpliced(at, 0, 1), x.strides.toSpliced(at, 0, 0), "expandDims");
  }) as ExpandDims,
  {
    name: "expandDims",
    kind: "structure",
    doc: "A new axis of size 1.",
    laws: [],
    examples: [{ args: [{ f64: [1, 2] }, -1], gives: [[1], [2]] }],
  },
);

/** The type of `squeeze`. */
export interface Squeeze extends Op {
  <D extends DType>(x: Tensor<Shape, D>, axes?: number | readonly number[]): Tensor<Shape, D>;
}

/**
 * Drops axes of size 1: the given ones, or all. A view. Throws ShapeError when a given one has another size.
 *
 * @example
 * squeeze(zeros([1, 3, 1])).shape; // [3]
 */
export const squeeze: Squeeze = /* @__PURE__ */ describe(
  (<D extends DType>(x: Tensor<Shape, D>, axes?: number | readonly number[]): Tensor<Shape, D> => {
    checkTensor("squeeze", x);
    const { shape, strides } = x as Tensor;
    const gone =
      axes === undefined
        ? [...shape.keys()].filter((i) => shape[i] === 1)
        : normalizeAxes("squeeze", axes, x.rank);
    const wide = gone.find((i) => shape[i] !== 1);
    if (wide !== undefined) {
      throw new ShapeError(
        "squeeze",
        `axis ${wide} of ${showShape(shape)} has ${shape[wide]} entries`,
        "name axes of size 1",
      );
    }
    const stays = (_: number, i: number): boolean => !gone.includes(i);
    return withAxes(x, shape.filter(stays), strides.filter(stays), "squeeze");
  }) as Squeeze,
  {
    name: "squeeze",
    kind: "structure",
    doc: "Drops axes of size 1.",
    laws: [],
    examples: [
      { args: [{ f64: [[[1], [2]]] }], gives: [1, 2] },
      { args: [{ f64: [[1, 2]] }, 0], gives: [1, 2] },
    ],
  },
);

/** The type of `flatten`. */
export interface Flatten extends Op {
  <D extends DType>(x: Tensor<Shape, D>, startAxis?: number): Tensor<Shape, D>;
}

/**
 * Joins the axes from `startAxis` on (default 0) into one.
 *
 * @example
 * flatten(zeros([32, 8, 8]), 1).shape; // [32, 64]
 */
export const flatten: Flatten = /* @__PURE__ */ describe(
  (<D extends DType>(x: Tensor<Shape, D>, startAxis = 0): Tensor<Shape, D> => {
    checkTensor("flatten", x);
    const { shape } = x as Tensor;
    const at = x.rank === 0 && startAxis === 0 ? 0 : normalizeAxis("flatten", startAxis, x.rank);
    return reshapeView(x, [...shape.slice(0, at), sizeOf(shape.slice(at))]);
  }) as Flatten,
  {
    name: "flatten",
    kind: "structure",
    doc: "Joins the axes from one on into one.",
    laws: [],
    examples: [
      {
        args: [
          {
            f64: [
              [1, 2],
              [3, 4],
            ],
          },
        ],
        gives: [1, 2, 3, 4],
      },
      {
        args: [
          {
            f64: [
              [
                [1, 2],
                [3, 4],
              ],
            ],
          },
          1,
        ],
        gives: [[1, 2, 3, 4]],
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Joining and parting

/** All along the axes before `axis`, and a range there. */
const along = (axis: number, start: number, end: number): Range[] => [
  ...new Array<null>(axis).fill(null),
  [start, end],
];

function checkTensors(place: string, tensors: unknown): asserts tensors is readonly Tensor[] {
  if (!Array.isArray(tensors) || tensors.length === 0) {
    const finding = Array.isArray(tensors)
      ? "the array of tensors is empty"
      : `${showValue(tensors)} is not an array of tensors`;
    throw new ArgumentError(place, finding, "give an array of at least one tensor");
  }
  for (const t of tensors) checkTensor(place, t);
  sameBackend(place, tensors);
  const { dtype } = tensors[0] as Tensor;
  const other = tensors.find((t: Tensor) => t.dtype !== dtype) as Tensor | undefined;
  if (other)
    throw new DTypeError(
      place,
      `element types ${dtype} and ${other.dtype} differ`,
      `convert one: cast(x, "${dtype}")`,
    );
}

const concatRule: Rule = {
  name: "concat",
  vjp: ([g], { inputs, saved }, wanted) => {
    const axis = saved as number;
    let end = 0;
    return inputs.map((t, i) => {
      const start = end;
      end += t.shape[axis]!;
      return wanted[i] ? sliceView(g!, ...along(axis, start, end)) : undefined;
    });
  },
};

function join(place: string, tensors: readonly Tensor[], axis: number): Tensor {
  const first = tensors[0]!;
  const rest = first.shape.toSpliced(axis, 1);
  for (const t of tensors) {
    if (t.rank !== first.rank || !sameShape(t.shape.toSpliced(axis, 1), rest)) {
      const finding = `shapes ${showShape(first.shape)} and ${showShape(t.shape)} differ in other axes than ${axis}`;
      throw new ShapeError(place, finding, "give tensors that differ along the joined axis only");
    }
  }
  const total = tensors.reduce((sum, t) => sum + t.shape[axis]!, 0);
  const out = newTensor(first.backend, first.dtype, first.shape.with(axis, total), place);
  const strides = contiguousStrides(out.shape);
  let start = 0;
  for (const t of tensors) {
    if (t.size > 0)
      out.backend.copyInto(
        contiguous(t).storage,
        t.dtype,
        t.shape,
        out.storage,
        start * strides[axis]!,
        strides,
      );
    start += t.shape[axis]!;
  }
  record(concatRule, tensors, [out], axis);
  return out;
}

/** The type of `concat` and `stack`. */
export interface Join extends Op {
  <D extends DType>(tensors: readonly Tensor<Shape, D>[], axis?: number): Tensor<Shape, D>;
}

/**
 * Tensors one after the other along an axis (default 0) that they have. Other sizes and element types must agree.
 *
 * @example
 * concat([tensor([1, 2]), tensor([3])]).toArray(); // [1, 2, 3]
 */
export const concat: Join = /* @__PURE__ */ describe(
  ((tensors: readonly Tensor[], axis = 0): Tensor => {
    checkTensors("concat", tensors);
    return join("concat", tensors, normalizeAxis("concat", axis, tensors[0]!.rank));
  }) as Join,
  {
    name: "concat",
    kind: "structure",
    doc: "Tensors one after the other along an axis that they have.",
    laws: [],
    examples: [
      { args: [[{ f64: [1, 2] }, { f64: [3] }]], gives: [1, 2, 3] },
      {
        args: [[{ f64: [[1], [2]] }, { f64: [[3], [4]] }], -1],
        gives: [
          [1, 3],
          [2, 4],
        ],
      },
    ],
  },
);

/**
 * Tensors of one shape one after the other along a new axis, at the place `axis` of the result (default 0).
 *
 * @example
 * stack([tensor([1, 2]), tensor([3, 4])]).toArray(); // [[1, 2], [3, 4]]
 */
export const stack: Join = /* @__PURE__ */ describe(
  ((tensors: readonly Tensor[], axis = 0): Tensor => {
    checkTensors("stack", tensors);
    const { shape, rank } = tensors[0]!;
    const at = normalizeAxis("stack", axis, rank + 1);
    const other = tensors.find((t) => !sameShape(t.shape, shape));
    if (other) {
      const finding = `shapes ${showShape(shape)} and ${showShape(other.shape)} differ`;
      throw new ShapeError("stack", finding, "give tensors of one shape, or join them with concat");
    }
    return join(
      "stack",
      tensors.map((t) => expandDims(t, at)),
      at,
    );
  }) as Join,
  {
    name: "stack",
    kind: "structure",
    doc: "Tensors of one shape one after the other along a new axis.",
    laws: [],
    examples: [
      {
        args: [[{ f64: [1, 2] }, { f64: [3, 4] }]],
        gives: [
          [1, 2],
          [3, 4],
        ],
      },
      {
        args: [[{ f64: [1, 2] }, { f64: [3, 4] }], 1],
        gives: [
          [1, 3],
          [2, 4],
        ],
      },
    ],
  },
);

const splitRule: Rule = {
  name: "split",
  vjp: (cotangents, { outputs, saved }) => {
    const parts = cotangents.map((g, i) => g ?? zerosLike(outputs[i]!));
    return [join("split", parts, saved as number)];
  },
};

function zerosLike(t: Tensor): Tensor {
  const out = newTensor(t.backend, t.dtype, t.shape, "zeros");
  if (out.size > 0) t.backend.fill(out.storage, t.dtype, out.size, 0);
  return out;
}

/** The type of `split`. */
export interface Split extends Op {
  <D extends DType>(
    x: Tensor<Shape, D>,
    parts: number | readonly number[],
    axis?: number,
  ): Tensor<Shape, D>[];
}

/**
 * Parts of a tensor along an axis (default 0): so many of equal size, or of the given sizes. Views. Throws ShapeError when the
 * parts do not add up to the axis.
 *
 * @example
 * split(tensor([1, 2, 3, 4]), 2).map((t) => t.toArray()); // [[1, 2], [3, 4]]
 */
export const split: Split = /* @__PURE__ */ describe(
  (<D extends DType>(
    x: Tensor<Shape, D>,
    parts: number | readonly number[],
    axis = 0,
  ): Tensor<Shape, D>[] => {
    checkTensor("split", x);
    const at = normalizeAxis("split", axis, x.rank);
    const { shape, strides } = x as Tensor;
    const size = shape[at]!;
    if (typeof parts === "number" && !(Number.isInteger(parts) && parts > 0 && size % parts === 0)) {
      const finding = `${size} entries do not make ${showValue(parts)} equal parts`;
      throw new ShapeError("split", finding, "give a divisor, or the sizes of the parts as an array");
    }
    const sizes = typeof parts === "number" ? new Array<number>(parts).fill(size / parts) : parts;
    checkShape("split", sizes);
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (total !== size) {
      throw new ShapeError(
        "split",
        `parts ${showShape(sizes)} add up to ${total}, not ${size}`,
        "give sizes that fill the axis",
      );
    }
    let start = 0;
    const views = sizes.map((n) => {
      const offset = x.offset + (n === 0 ? 0 : start * strides[at]!);
      start += n;
      return viewOf<D>(x, shape.with(at, n), strides, offset, "split");
    });
    if (views.length > 0) record(splitRule, [x], views, at);
    return views;
  }) as Split,
  {
    name: "split",
    kind: "structure",
    doc: "Parts of a tensor along an axis.",
    laws: [],
    examples: [
      {
        args: [{ f64: [1, 2, 3, 4] }, 2],
        gives: [
          [1, 2],
          [3, 4],
        ],
      },
      { args: [{ f64: [[1, 2, 3]] }, [1, 2], 1], gives: [[[1]], [[2, 3]]] },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Padding and repeating

const padRule: Rule = {
  name: "pad",
  vjp: ([g], { inputs, saved }) => {
    const { shape } = inputs[0]!;
    return [
      sliceView(g!, ...(saved as readonly number[]).map((start, i): Range => [start, start + shape[i]!])),
    ];
  },
};

/** The type of `pad`. */
export interface Pad extends Op {
  <D extends DType>(
    x: Tensor<Shape, D>,
    widths: readonly (readonly [before: number, after: number])[],
    value?: number,
  ): Tensor<Shape, D>;
}

/**
 * A border of one value (default 0) around a tensor: for each axis, so many entries before and after.
 *
 * @example
 * pad(tensor([1, 2]), [[1, 2]]).toArray(); // [0, 1, 2, 0, 0]
 */
export const pad: Pad = /* @__PURE__ */ describe(
  (<D extends DType>(
    x: Tensor<Shape, D>,
    widths: readonly (readonly [number, number])[],
    value = 0,
  ): Tensor<Shape, D> => {
    checkTensor("pad", x);
    const { shape, dtype, backend } = x as Tensor;
    if (
      !Array.isArray(widths) ||
      widths.length !== x.rank ||
      widths.some((w) => !Array.isArray(w) || w.length !== 2)
    ) {
      const finding = `${showValue(widths)} does not say the border of the ${x.rank} axes of ${showShape(shape)}`;
      throw new ArgumentError("pad", finding, "give [before, after] for each axis");
    }
    for (const width of widths) checkShape("pad", width);
    if (typeof value !== "number")
      throw new ArgumentError("pad", `${showValue(value)} is not a number`, "give the value of the border");
    if (dtype === "i32" || dtype === "bool") checkFits(dtype, value);
    const out = newTensor(
      backend,
      x.dtype,
      shape.map((size, i) => size + widths[i]![0] + widths[i]![1]),
      "pad",
    );
    const starts = widths.map(([before]) => before);
    if (out.size > x.size) backend.fill(out.storage, dtype, out.size, value);
    if (x.size > 0) {
      const strides = contiguousStrides(out.shape);
      const offset = starts.reduce((sum, start, i) => sum + start * strides[i]!, 0);
      backend.copyInto(contiguous(x).storage, dtype, shape, out.storage, offset, strides);
    }
    record(padRule, [x], [out], starts);
    return out;
  }) as Pad,
  {
    name: "pad",
    kind: "structure",
    doc: "A border of one value around a tensor.",
    laws: [],
    examples: [
      { args: [{ f64: [1, 2] }, [[1, 2]]], gives: [0, 1, 2, 0, 0] },
      {
        args: [
          { f64: [[1], [2]] },
          [
            [0, 0],
            [1, 0],
          ],
          7,
        ],
        gives: [
          [7, 1],
          [7, 2],
        ],
      },
    ],
  },
);

function checkFits(dtype: "i32" | "bool", value: number): void {
  if (dtype === "bool" ? value === 0 || value === 1 : (value | 0) === value) return;
  throw new DTypeError(
    "pad",
    `${value} is no element of type ${dtype}`,
    dtype === "bool" ? "give 0 or 1" : "give a 32-bit integer",
  );
}

/** The type of `tile`. */
export interface Tile extends Op {
  <D extends DType>(x: Tensor<Shape, D>, counts: readonly number[]): Tensor<Shape, D>;
}

/**
 * The whole tensor laid out again and again: `counts[i]` times along axis i, counted from the last axis as in broadcasting.
 *
 * @example
 * tile(tensor([1, 2]), [3]).toArray(); // [1, 2, 1, 2, 1, 2]
 */
export const tile: Tile = /* @__PURE__ */ describe(
  (<D extends DType>(x: Tensor<Shape, D>, counts: readonly number[]): Tensor<Shape, D> => {
    checkTensor("tile", x);
    checkShape("tile", counts);
    const rank = Math.max(x.rank, counts.length);
    const filled = (list: readonly number[]): number[] => [
      ...new Array<number>(rank - list.length).fill(1),
      ...list,
    ];
    const times = filled(counts);
    const sizes = filled(x.shape);
    // Every axis gets a partner that repeats it; joining the two lays the copies end to end.
    const between = reshapeView(
      x,
      sizes.flatMap((size) => [1, size]),
    );
    const repeated = broadcastView(
      between,
      sizes.flatMap((size, i) => [times[i]!, size]),
    );
    return reshapeView(
      repeated,
      sizes.map((size, i) => size * times[i]!),
    );
  }) as Tile,
  {
    name: "tile",
    kind: "structure",
    doc: "The whole tensor laid out again and again along each axis.",
    laws: [],
    examples: [
      { args: [{ f64: [1, 2] }, [2]], gives: [1, 2, 1, 2] },
      {
        args: [{ f64: [[1], [2]] }, [1, 2]],
        gives: [
          [1, 1],
          [2, 2],
        ],
      },
    ],
  },
);

/** The type of `repeat`. */
export interface Repeat extends Op {
  <D extends DType>(x: Tensor<Shape, D>, count: number, axis?: number): Tensor<Shape, D>;
}

/**
 * Each entry along an axis (default 0) `count` times in a row.
 *
 * @example
 * repeat(tensor([1, 2]), 2).toArray(); // [1, 1, 2, 2]
 */
export const repeat: Repeat = /* @__PURE__ */ describe(
  (<D extends DType>(x: Tensor<Shape, D>, count: number, axis = 0): Tensor<Shape, D> => {
    checkTensor("repeat", x);
    const at = normalizeAxis("repeat", axis, x.rank);
    checkShape("repeat", [count]);
    const { shape } = x as Tensor;
    const repeated = broadcastView(expandDims(x, at + 1), shape.toSpliced(at + 1, 0, count));
    return reshapeView(repeated, shape.with(at, shape[at]! * count));
  }) as Repeat,
  {
    name: "repeat",
    kind: "structure",
    doc: "Each entry along an axis several times in a row.",
    laws: [],
    examples: [
      { args: [{ f64: [1, 2] }, 2], gives: [1, 1, 2, 2] },
      { args: [{ f64: [[1, 2]] }, 2, 1], gives: [[1, 1, 2, 2]] },
    ],
  },
);
