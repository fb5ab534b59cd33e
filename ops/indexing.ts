// Entries by position: taking, adding at, ordering, running sums. Positions are i32 tensors and carry no gradient; what is
// taken from a place sends its gradient back to that place. Positions are checked wherever they can be read at once.

import { apply } from "../core/apply.ts";
import * as kernels from "../core/backends/kernels.ts";
import { type DType, type FloatDType, isFloat } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { Formula } from "../core/formula.ts";
import { checkFloat, checkOptions, describe, type Op, rowMajor, sameBackend } from "../core/op.ts";
import { oneHot as oneHotWord, scalarInput } from "../core/row/expr.ts";
import { takenRows } from "../core/rowsparse.ts";
import { normalizeAxis, positionOf, type Shape, sameShape, sizeOf } from "../core/shape.ts";
import { isRecording, type Rule, record } from "../core/tape.ts";
import { checkTensor, contiguous, copyOf, hostCopy, newTensor, type Tensor } from "../core/tensor.ts";
import { slice, transpose } from "../core/views.ts";
import { add } from "./elementwise.ts";

// ---------------------------------------------------------------------------------------------------------------
// Checks and layouts

/** Refuses what is no tensor of positions in [0, size); on a device that only reads asynchronously values are trusted. */
function checkPositions(place: string, index: unknown, size: number): asserts index is Tensor<Shape, "i32"> {
  checkTensor(place, index);
  if (index.dtype !== "i32")
    throw new DTypeError(
      place,
      `positions of ${index.dtype}`,
      'give them as i32: tensor([0, 2], { dtype: "i32" })',
    );
  if (index.device === "webgpu" && index.host === null) return;
  const data = hostCopy(index);
  for (let i = 0; i < data.length; i++) {
    const v = data[i]!;
    if (v < 0 || v >= size) {
      const finding = `position ${v} at ${showShape(positionOf(i, index.shape))} of the index is outside the axis of ${size} entries`;
      throw new DomainError(
        place,
        finding,
        size > 0 ? `give positions from 0 to ${size - 1}` : "there are none to take",
      );
    }
  }
}

/** How a gather or a scatter walks along an axis: over one list of positions, or over one of their own for each entry. */
interface Walk {
  readonly axis: number;
  readonly perOuter: boolean;
}

/** Sizes before, along and after an axis. */
function around(shape: readonly number[], axis: number): [outer: number, size: number, inner: number] {
  return [sizeOf(shape.slice(0, axis)), shape[axis]!, sizeOf(shape.slice(axis + 1))];
}

/** Entries of x at the positions; positions are trusted here. */
function gatherAlong(name: string, x: Tensor, index: Tensor, walk: Walk): Tensor {
  const { axis, perOuter } = walk;
  const shape = perOuter ? index.shape : x.shape.toSpliced(axis, 1, ...index.shape);
  const out = newTensor(x.backend, x.dtype, shape, name);
  const [outer, size, inner] = around(x.shape, axis);
  if (out.size > 0) {
    const count = perOuter ? index.shape[axis]! : index.size;
    x.backend.run(
      kernels.gather,
      x.dtype,
      contiguous(x).storage,
      contiguous(index).storage,
      out.storage,
      outer,
      size,
      inner,
      count,
      perOuter,
    );
  }
  record({ name, vjp: gatherVjp }, [x, index], [out], walk);
  return out;
}

const gatherVjp: Rule["vjp"] = ([g], { inputs, saved }) => {
  const [x, index] = inputs as [Tensor, Tensor];
  const { axis, perOuter } = saved as Walk;
  // Rows of a table: no zeros are made around them, unless an outer tape is to record the gradient.
  const rows =
    axis === 0 && !perOuter && !isRecording()
      ? takenRows(x.shape, index, g as Tensor<Shape, FloatDType>)
      : undefined;
  return [rows ?? scatterAlong(x.shape, index, g!, saved as Walk), undefined];
};

/** The transpose of `gatherAlong`: zeros of `shape`, with the values added at the positions. */
function scatterAlong(shape: readonly number[], index: Tensor, values: Tensor, walk: Walk): Tensor {
  const { axis, perOuter } = walk;
  const out = newTensor(values.backend, values.dtype, shape, "scatterAdd");
  const [outer, size, inner] = around(shape, axis);
  if (values.size === 0) out.size > 0 && out.backend.fill(out.storage, out.dtype, out.size, 0);
  else {
    const count = perOuter ? index.shape[axis]! : index.size;
    const dtype = values.dtype as FloatDType;
    out.backend.run(
      kernels.scatterAdd,
      dtype,
      contiguous(values).storage,
      contiguous(index).storage,
      out.storage,
      outer,
      size,
      inner,
      count,
      perOuter,
    );
  }
  record(scatterRule, [values, index], [out], walk);
  return out;
}

const scatterRule: Rule = {
  name: "scatterAdd",
  vjp: ([g], { inputs, saved }) => [gatherAlong("gather", g!, inputs[1]!, saved as Walk), undefined],
};

// ---------------------------------------------------------------------------------------------------------------
// gather, take, scatterAdd, oneHot

/** The type of `gather`. */
export interface Gather extends Op {
  <S extends Shape, D extends DType>(
    x: Tensor<Shape, D>,
    index: Tensor<S, "i32">,
    axis?: number,
  ): Tensor<S, D>;
}

/** Sizes must agree except along the axis. */
function checkSides(place: string, x: Tensor, index: Tensor, axis: number): void {
  if (x.rank === index.rank && sameShape(x.shape.toSpliced(axis, 1), index.shape.toSpliced(axis, 1))) return;
  const finding = `shapes ${showShape(x.shape)} and ${showShape(index.shape)} differ in other axes than ${axis}`;
  throw new ShapeError(place, finding, "give one position for each entry of the result");
}

/**
 * One entry of x for each position along an axis (default the last): out[i, j] = x[i, index[i, j]]. The result has the shape of
 * `index`, which agrees with x except along the axis. Throws DomainError for a position outside the axis.
 *
 * @example
 * const x = tensor([[1, 2, 3], [4, 5, 6]]);
 * gather(x, tensor([[2], [0]], { dtype: "i32" })).toArray(); // [[3], [4]]
 */
export const gather: Gather = /* @__PURE__ */ describe(
  ((x: Tensor, index: Tensor, axis = -1): Tensor => {
    checkTensor("gather", x);
    const at = normalizeAxis("gather", axis, x.rank);
    checkPositions("gather", index, x.shape[at]!);
    sameBackend("gather", [x, index]);
    checkSides("gather", x, index, at);
    return gatherAlong("gather", x, index, { axis: at, perOuter: true });
  }) as Gather,
  {
    name: "gather",
    kind: "structure",
    doc: "One entry for each position along an axis, every row with positions of its own.",
    laws: [],
    examples: [
      {
        args: [
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
          { i32: [[2], [0]] },
        ],
        gives: [[3], [4]],
      },
      {
        args: [
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
          { i32: [[1, 0, 1]] },
          0,
        ],
        gives: [[4, 2, 6]],
      },
    ],
  },
);

/** The type of `take`. */
export interface Take extends Op {
  <D extends DType>(x: Tensor<Shape, D>, index: Tensor<Shape, "i32">, axis?: number): Tensor<Shape, D>;
}

/**
 * The slices of x at the positions along an axis (default 0): rows of an embedding, columns of a table. The axis is replaced by
 * the axes of `index`. Throws DomainError for a position outside the axis.
 *
 * @example
 * const table = tensor([[1, 2], [3, 4], [5, 6]]);
 * take(table, tensor([2, 0], { dtype: "i32" })).toArray(); // [[5, 6], [1, 2]]
 */
export const take: Take = /* @__PURE__ */ describe(
  ((x: Tensor, index: Tensor, axis = 0): Tensor => {
    checkTensor("take", x);
    const at = normalizeAxis("take", axis, x.rank);
    checkPositions("take", index, x.shape[at]!);
    sameBackend("take", [x, index]);
    return gatherAlong("take", x, index, { axis: at, perOuter: false });
  }) as Take,
  {
    name: "take",
    kind: "structure",
    doc: "The slices at the given positions along an axis.",
    laws: [],
    examples: [
      {
        args: [
          [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
          { i32: [2, 0] },
        ],
        gives: [
          [5, 6],
          [1, 2],
        ],
      },
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          { i32: [[1], [1]] },
          1,
        ],
        gives: [
          [[2], [2]],
          [[4], [4]],
        ],
      },
    ],
  },
);

/** The type of `scatterAdd`. */
export interface ScatterAdd extends Op {
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    index: Tensor<Shape, "i32">,
    values: Tensor<Shape, D>,
    axis?: number,
  ): Tensor<S, D>;
}

/**
 * x with values added at positions along an axis (default 0); a position that occurs several times collects them all. The index
 * has the shape of the values (each has its own position, as in `gather`), or names whole slices (as in `take`). Float tensors.
 * Throws DomainError for a position outside the axis.
 *
 * @example
 * const sums = scatterAdd(zeros([3]), tensor([0, 2, 0], { dtype: "i32" }), tensor([1, 2, 3]));
 * sums.toArray(); // [4, 0, 2]
 */
export const scatterAdd: ScatterAdd = /* @__PURE__ */ describe(
  ((x: Tensor, index: Tensor, values: Tensor, axis = 0): Tensor => {
    checkTensor("scatterAdd", x);
    checkTensor("scatterAdd", values);
    const dtype = checkFloat("scatterAdd", x);
    if (values.dtype !== dtype) {
      throw new DTypeError(
        "scatterAdd",
        `element types ${dtype} and ${values.dtype} differ`,
        `convert one: cast(x, "${dtype}")`,
      );
    }
    const at = normalizeAxis("scatterAdd", axis, x.rank);
    checkPositions("scatterAdd", index, x.shape[at]!);
    sameBackend("scatterAdd", [x, index, values]);
    const perOuter = sameShape(index.shape, values.shape);
    if (perOuter) checkSides("scatterAdd", x, index, at);
    else if (!sameShape(values.shape, x.shape.toSpliced(at, 1, ...index.shape))) {
      const finding = `values of shape ${showShape(values.shape)} at positions of shape ${showShape(index.shape)} do not fit ${showShape(x.shape)}`;
      throw new ShapeError("scatterAdd", finding, "give a position for each value, or for each slice");
    }
    return add(x, scatterAlong(x.shape, index, values, { axis: at, perOuter }));
  }) as ScatterAdd,
  {
    name: "scatterAdd",
    kind: "structure",
    doc: "A tensor with values added at positions along an axis.",
    laws: [],
    examples: [
      { args: [[0, 0, 10], { i32: [0, 2, 0] }, [1, 2, 3]], gives: [4, 0, 12] },
      {
        args: [
          [
            [0, 0],
            [0, 0],
          ],
          { i32: [1, 1] },
          [
            [1, 2],
            [3, 4],
          ],
        ],
        gives: [
          [0, 0],
          [4, 6],
        ],
      },
      {
        args: [
          [
            [0, 0],
            [0, 0],
          ],
          { i32: [[1], [0]] },
          [[1], [2]],
          1,
        ],
        gives: [
          [0, 1],
          [2, 0],
        ],
      },
    ],
  },
);

/** The type of `oneHot`. */
export interface OneHot extends Op {
  <D extends FloatDType = "f32">(
    labels: Tensor<Shape, "i32">,
    classes: number,
    options?: { readonly dtype?: D },
  ): Tensor<Shape, D>;
}

const oneHotFormula = /* @__PURE__ */ (() => {
  let formula: Formula | undefined;
  return (): Formula => {
    if (!formula) {
      const label = scalarInput("label", "i32");
      formula = new Formula("oneHot", [label], [oneHotWord(label, 1)], { kinds: ["row"] });
    }
    return formula;
  };
})();

/**
 * 1 at the class of each label and 0 elsewhere, along a new last axis of `classes` entries. f32 unless `dtype` says otherwise.
 * Throws DomainError for a label outside [0, classes).
 *
 * @example
 * oneHot(tensor([2, 0], { dtype: "i32" }), 3).toArray(); // [[0, 0, 1], [1, 0, 0]]
 */
export const oneHot: OneHot = /* @__PURE__ */ describe(
  ((labels: Tensor, classes: number, options?: { readonly dtype?: FloatDType }): Tensor => {
    checkOptions("oneHot", options, ["dtype"]);
    const { dtype = "f32" } = options ?? {};
    if (!isFloat(dtype))
      throw new DTypeError("oneHot", `${showValue(dtype)} is no float type`, 'give "f32" or "f64"');
    if (!Number.isInteger(classes) || classes < 1) {
      throw new DomainError(
        "oneHot",
        `there are ${showValue(classes)} classes`,
        "give a number of classes from 1",
      );
    }
    checkPositions("oneHot", labels, classes);
    const layout = { rows: labels.size, n: classes, strides: [1] };
    return apply(oneHotFormula(), [rowMajor(labels)], layout, labels.backend, dtype, [
      [...labels.shape, classes],
    ])[0]!;
  }) as OneHot,
  {
    name: "oneHot",
    kind: "structure",
    doc: "1 at the class of each label and 0 elsewhere.",
    laws: [],
    smooth: false,
    examples: [
      {
        args: [{ i32: [2, 0] }, 3],
        gives: [
          [0, 0, 1],
          [1, 0, 0],
        ],
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Orders

/** Runs something along the last axis when it is asked for along another. */
function withLast<T>(
  axis: number,
  x: Tensor,
  run: (x: Tensor) => T,
  each: (out: T, back: (t: Tensor) => Tensor) => T,
): T {
  if (axis === x.rank - 1) return run(x);
  const order = [...x.shape.keys()].filter((i) => i !== axis);
  order.push(axis);
  return each(run(transpose(x, order)), (t) =>
    transpose(
      t,
      order.map((_, i) => order.indexOf(i)),
    ),
  );
}

/** Entries in order, and where each came from. */
export interface Sorted<S extends Shape = Shape, D extends DType = DType> {
  readonly values: Tensor<S, D>;
  readonly indices: Tensor<S, "i32">;
}

const sortRule: Rule = {
  name: "sort",
  vjp: ([g], { inputs, outputs }) => {
    const x = inputs[0]!;
    return [g && scatterAlong(x.shape, outputs[1]!, g, { axis: x.rank - 1, perOuter: true })];
  },
};

/** Every row of x in order. */
function sortRows(x: Tensor, descending: boolean): Sorted {
  const { backend, dtype, shape, size } = x;
  const values = newTensor(backend, dtype, shape, "sort");
  const indices = newTensor(backend, "i32", shape, "sort");
  const n = shape.at(-1)!;
  if (size > 0)
    backend.run(
      kernels.sort,
      dtype,
      contiguous(x).storage,
      values.storage,
      indices.storage,
      size / n,
      n,
      descending,
    );
  record(sortRule, [x], [values, indices]);
  return { values, indices };
}

/** Along which axis, and in which direction. */
export interface OrderOptions {
  /** The last axis when not said. */
  readonly axis?: number;
  /** Whether the largest comes first (default false). */
  readonly descending?: boolean;
}

function ordering(
  place: string,
  x: unknown,
  options: OrderOptions | undefined,
): [x: Tensor, axis: number, descending: boolean] {
  checkTensor(place, x);
  checkOptions(place, options, ["axis", "descending"]);
  const { axis = -1, descending = false } = options ?? {};
  if (typeof descending !== "boolean")
    throw new ArgumentError(place, `descending is ${showValue(descending)}`, "give true or false");
  return [x, normalizeAxis(place, axis, x.rank), descending];
}

function sorted(place: string, given: Tensor, options: OrderOptions | undefined): Sorted {
  const [x, axis, descending] = ordering(place, given, options);
  const back = ({ values, indices }: Sorted, move: (t: Tensor) => Tensor): Sorted => ({
    values: move(values),
    indices: move(indices) as Tensor<Shape, "i32">,
  });
  return withLast(axis, x, (rows) => sortRows(rows, descending), back);
}

/** The type of `sort`. */
export interface Sort extends Op {
  <S extends Shape, D extends DType>(x: Tensor<S, D>, options?: OrderOptions): Sorted<S, D>;
}

/**
 * The entries along an axis (default the last) in increasing order, and the positions that they came from. Equal entries keep
 * their order; NaN comes last in both directions. The gradient of a value goes to where it came from.
 *
 * @example
 * const { values, indices } = sort(tensor([3, 1, 2]));
 * values.toArray();  // [1, 2, 3]
 * indices.toArray(); // [1, 2, 0]
 */
export const sort: Sort = /* @__PURE__ */ describe(
  ((x: Tensor, options?: OrderOptions) => sorted("sort", x, options)) as Sort,
  {
    name: "sort",
    kind: "structure",
    doc: "The entries along an axis in order, and where they came from.",
    laws: [],
    examples: [
      { args: [[3, 1, 2]], gives: { values: [1, 2, 3], indices: [1, 2, 0] } },
      {
        args: [
          [
            [3, 1],
            [1, 1],
          ],
          { axis: 0, descending: true },
        ],
        gives: {
          values: [
            [3, 1],
            [1, 1],
          ],
          indices: [
            [0, 0],
            [1, 1],
          ],
        },
      },
    ],
  },
);

/** The type of `argsort`. */
export interface ArgSort extends Op {
  <S extends Shape>(x: Tensor<S>, options?: OrderOptions): Tensor<S, "i32">;
}

/**
 * The positions that put the entries along an axis (default the last) in increasing order; `gather(x, argsort(x))` is sorted.
 *
 * @example
 * argsort(tensor([3, 1, 2])).toArray(); // [1, 2, 0]
 */
export const argsort: ArgSort = /* @__PURE__ */ describe(
  ((x: Tensor, options?: OrderOptions) => sorted("argsort", x, options).indices) as ArgSort,
  {
    name: "argsort",
    kind: "structure",
    doc: "The positions that put the entries along an axis in order.",
    laws: [],
    smooth: false,
    examples: [{ args: [[3, 1, 2], { descending: true }], gives: [0, 2, 1] }],
  },
);

/** The type of `topK`. */
export interface TopK extends Op {
  <D extends DType>(
    x: Tensor<Shape, D>,
    k: number,
    options?: { readonly axis?: number; readonly largest?: boolean },
  ): Sorted<Shape, D>;
}

/**
 * The k largest entries along an axis (default the last), from the largest on, and their positions; the smallest with
 * `largest: false`. Of equal entries the first counts. The gradient of a value goes to where it came from.
 *
 * @example
 * topK(tensor([1, 5, 3]), 2).values.toArray(); // [5, 3]
 */
export const topK: TopK = /* @__PURE__ */ describe(
  ((x: Tensor, k: number, options?: { readonly axis?: number; readonly largest?: boolean }): Sorted => {
    checkTensor("topK", x);
    checkOptions("topK", options, ["axis", "largest"]);
    const { axis = -1, largest = true } = options ?? {};
    if (typeof largest !== "boolean")
      throw new ArgumentError("topK", `largest is ${showValue(largest)}`, "give true or false");
    const at = normalizeAxis("topK", axis, x.rank);
    if (!Number.isInteger(k) || k < 1 || k > x.shape[at]!) {
      throw new DomainError(
        "topK",
        `k is ${showValue(k)}`,
        `give an integer from 1 to ${x.shape[at]}, the entries along the axis`,
      );
    }
    const all = argsort(x, { axis: at, descending: largest });
    // A copy: the first k of a view would keep the whole order alive.
    const indices = copyOf(slice(all, ...new Array<null>(at).fill(null), [0, k])) as Tensor<Shape, "i32">;
    return { values: gatherAlong("topK", x, indices, { axis: at, perOuter: true }), indices };
  }) as TopK,
  {
    name: "topK",
    kind: "structure",
    doc: "The k largest entries along an axis, and where they are.",
    laws: [],
    examples: [
      { args: [[1, 5, 3], 2], gives: { values: [5, 3], indices: [1, 2] } },
      {
        args: [
          [
            [1, 5],
            [3, 2],
          ],
          1,
          { axis: 0, largest: false },
        ],
        gives: { values: [[1, 2]], indices: [[0, 1]] },
      },
    ],
  },
);

// ---------------------------------------------------------------------------------------------------------------
// Running sums

const cumsumRule: Rule = { name: "cumsum", vjp: ([g], { saved }) => [cumsumRows(g!, !(saved as boolean))] };

function cumsumRows(x: Tensor, reverse: boolean): Tensor {
  const { backend, dtype, shape, size } = x;
  const out = newTensor(backend, dtype, shape, "cumsum");
  const n = shape.at(-1)!;
  if (size > 0) backend.run(kernels.cumsum, dtype, contiguous(x).storage, out.storage, size / n, n, reverse);
  record(cumsumRule, [x], [out], reverse);
  return out;
}

/** The type of `cumsum`. */
export interface CumSum extends Op {
  <S extends Shape, D extends FloatDType | "i32">(
    x: Tensor<S, D>,
    options?: { readonly axis?: number; readonly reverse?: boolean },
  ): Tensor<S, D>;
}

/**
 * The running sum along an axis (default the last): entry i is the sum of the entries up to i, or from i on with `reverse`.
 *
 * @example
 * cumsum(tensor([1, 2, 3])).toArray();                    // [1, 3, 6]
 * cumsum(tensor([1, 2, 3]), { reverse: true }).toArray(); // [6, 5, 3]
 */
export const cumsum: CumSum = /* @__PURE__ */ describe(
  ((x: Tensor, options?: { readonly axis?: number; readonly reverse?: boolean }): Tensor => {
    checkTensor("cumsum", x);
    checkOptions("cumsum", options, ["axis", "reverse"]);
    const { axis = -1, reverse = false } = options ?? {};
    if (typeof reverse !== "boolean")
      throw new ArgumentError("cumsum", `reverse is ${showValue(reverse)}`, "give true or false");
    if (x.dtype === "bool")
      throw new DTypeError("cumsum", "bool has no running sum", 'count in integers: cast(x, "i32")');
    const at = normalizeAxis("cumsum", axis, x.rank);
    return withLast(
      at,
      x,
      (rows) => cumsumRows(rows, reverse),
      (out, back) => back(out),
    );
  }) as CumSum,
  {
    name: "cumsum",
    kind: "structure",
    doc: "The running sum along an axis.",
    laws: [],
    examples: [
      { args: [[1, 2, 3]], gives: [1, 3, 6] },
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          { axis: 0, reverse: true },
        ],
        gives: [
          [4, 6],
          [3, 4],
        ],
      },
    ],
  },
);
