// Views: the same elements under other sizes, orders and windows, without copying, and their rules for the tape.
// Two computations live here because views' gradients need them: `sumTo` and `padWindow`. All other arithmetic is ops'.

import { sumMiddle } from "./backends/kernels.ts";
import { type DType, type FloatDType, isFloat } from "./dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "./errors.ts";
import {
  broadcastShapes,
  checkShape,
  contiguousStrides,
  normalizeAxes,
  type Plain,
  permutation,
  type Result,
  type Shape,
  sameShape,
  sizeOf,
  type Transpose,
} from "./shape.ts";
import { type Rule, record } from "./tape.ts";
import { checkTensor, contiguous, copyOf, newTensor, type Tensor, viewOf } from "./tensor.ts";

// ---------------------------------------------------------------------------------------------------------------
// reshape

/** The sizes that a reshape gives: −1 is left to the run. */
export type Reshaped<T extends readonly number[]> = {
  -readonly [I in keyof T]: T[I] extends -1 ? number : T[I];
};

const reshapeRule: Rule = { name: "reshape", vjp: ([g], { inputs }) => [reshape(g!, inputs[0]!.shape)] };

/** The same elements in row-major order under other sizes; one may be −1: whatever is left. Copies only what is not contiguous. */
export function reshape<const T extends readonly number[], D extends DType>(
  t: Tensor<Shape, D>,
  shape: T,
): Tensor<Reshaped<T>, D> {
  checkTensor("reshape", t);
  const sizes = completed(t, shape);
  const run = t.steps === null ? t : copyOf(t);
  const out = viewOf<D, Reshaped<T>>(run, sizes, null, run.offset, "reshape");
  record(reshapeRule, [t], [out]);
  return out;
}

/** The shape with its −1 computed. */
function completed(t: Tensor, shape: readonly number[]): number[] {
  const free = Array.isArray(shape) ? shape.indexOf(-1) : -1;
  checkShape("reshape", free < 0 ? shape : shape.with(free, 1));
  const sizes = [...shape];
  if (free >= 0) {
    const others = sizeOf(shape.with(free, 1));
    if (others === 0 || t.size % others !== 0) throw misfit(t, shape);
    sizes[free] = t.size / others;
  }
  if (sizeOf(sizes) !== t.size) throw misfit(t, shape);
  return sizes;
}

function misfit(t: Tensor, shape: readonly number[]): ShapeError {
  return new ShapeError(
    "reshape",
    `${t.size} elements of shape ${showShape(t.shape)} do not fill ${showShape(shape)}`,
    "sizes must multiply to the same number; one may be -1",
  );
}

// ---------------------------------------------------------------------------------------------------------------
// transpose, flip

const transposeRule: Rule = {
  name: "transpose",
  vjp: ([g], { saved }) => {
    const order = saved as readonly number[];
    return [
      transpose(
        g!,
        order.map((_, i) => order.indexOf(i)),
      ),
    ];
  },
};

/** Axes in another order: axis `axes[i]` comes to place i; the last two exchanged when none is given. */
export function transpose<
  S extends Shape,
  D extends DType,
  const A extends readonly number[] | undefined = undefined,
>(t: Tensor<S, D>, axes?: A): Tensor<Result<Transpose<S, A>>, D> {
  checkTensor("transpose", t);
  const order = permutation("transpose", axes, t.rank);
  const { shape, strides } = t as Tensor;
  const out = viewOf<D, Result<Transpose<S, A>>>(
    t,
    order.map((i) => shape[i]!),
    order.map((i) => strides[i]!),
    t.offset,
    "transpose",
  );
  record(transposeRule, [t], [out], order);
  return out;
}

const flipRule: Rule = { name: "flip", vjp: ([g], { saved }) => [flip(g!, saved as readonly number[])] };

/** The entries in opposite order along the given axes (all when not said). */
export function flip<S extends Shape, D extends DType>(
  t: Tensor<S, D>,
  axes?: number | readonly number[],
): Tensor<S, D> {
  checkTensor("flip", t);
  const turned = normalizeAxes("flip", axes, t.rank);
  const strides = [...t.strides];
  let { offset } = t;
  for (const axis of turned) {
    offset += Math.max(0, t.shape[axis]! - 1) * strides[axis]!;
    strides[axis] = -strides[axis]!;
  }
  const out = viewOf<D, S>(t, t.shape, strides, offset, "flip");
  record(flipRule, [t], [out], turned);
  return out;
}

// ---------------------------------------------------------------------------------------------------------------
// slice, and its transpose

/** What `slice` takes of one axis: an entry (the axis goes), `[start, end?, step?]` half-open, or null for all. */
export type Range = number | readonly [start?: number, end?: number, step?: number] | null;

interface Window {
  /** First entry, step and number of entries along each axis. */
  readonly starts: readonly number[];
  readonly steps: readonly number[];
  readonly sizes: readonly number[];
}

const windowRule: Rule = {
  name: "slice",
  vjp: ([g], { inputs, saved }) => {
    const { starts, steps, sizes } = saved as Window;
    return [padWindow(reshape(g!, sizes), inputs[0]!.shape, starts, steps)];
  },
};

/**
 * A part of a tensor: one range for each axis, from the first; axes not named are kept whole. Negative positions count from
 * the end. Throws ShapeError for a range that leaves the tensor.
 *
 * @example
 * slice(x, [0, 2], null, -1); // the first two along axis 0, all along axis 1, the last along axis 2
 */
export function slice<D extends DType>(t: Tensor<Shape, D>, ...ranges: readonly Range[]): Tensor<Shape, D> {
  checkTensor("slice", t);
  const { shape } = t;
  if (ranges.length > t.rank)
    throw new ShapeError(
      "slice",
      `${ranges.length} ranges for the shape ${showShape(shape)}`,
      "give at most one range for each axis",
    );
  const starts: number[] = [];
  const steps: number[] = [];
  const sizes: number[] = [];
  shape.forEach((size, axis) => {
    const range = ranges[axis];
    const [start, end, step] = limits(range, size, axis);
    starts.push(start);
    steps.push(step);
    sizes.push(Math.max(0, Math.ceil((end - start) / step)));
  });
  return windowOf(t, { starts, steps, sizes }, (axis) => typeof ranges[axis] !== "number");
}

/** Start, end and step of a range, counted from the front and inside the axis. */
function limits(range: Range | undefined, size: number, axis: number): [number, number, number] {
  const fail = (finding: string): ShapeError =>
    new ShapeError(
      "slice",
      `${finding} at axis ${axis} of ${size} entries`,
      "give an entry, [start, end, step] within the axis with a step of at least 1, or null",
    );
  const place = (position: unknown, last: number): number => {
    if (!Number.isInteger(position))
      throw new ArgumentError("slice", `${showValue(position)} is not a position`, "give integers");
    const from = (position as number) < 0 ? (position as number) + size : (position as number);
    if (from < 0 || from > last) throw fail(`position ${position}`);
    return from;
  };
  if (range === undefined || range === null) return [0, size, 1];
  if (typeof range === "number") {
    const at = place(range, size - 1);
    return [at, at + 1, 1];
  }
  if (!Array.isArray(range) || range.length > 3)
    throw new ArgumentError(
      "slice",
      `${showValue(range)} is not a range`,
      "give a number, [start, end, step] or null",
    );
  const [start = 0, end = size, step = 1] = range as readonly number[];
  if (!Number.isInteger(step) || step < 1) throw fail(`step ${showValue(step)}`);
  const [from, to] = [place(start, size), place(end, size)];
  if (from > to) throw fail(`a start ${start} after the end ${end}`);
  return [from, to, step];
}

function windowOf<D extends DType>(
  t: Tensor<Shape, D>,
  window: Window,
  stays: (axis: number) => boolean = () => true,
): Tensor<Shape, D> {
  const { starts, steps, sizes } = window;
  const { strides } = t;
  let { offset } = t;
  // An empty window has no first entry: its offset must not leave the storage.
  if (sizeOf(sizes) > 0) for (let i = 0; i < starts.length; i++) offset += starts[i]! * strides[i]!;
  const kept = sizes.filter((_, axis) => stays(axis));
  const apart = strides.map((s, axis) => s * steps[axis]!).filter((_, axis) => stays(axis));
  const out = viewOf<D>(t, kept, apart, offset, "slice");
  record(windowRule, [t], [out], window);
  return out;
}

const padRule: Rule = {
  name: "padWindow",
  vjp: ([g], { saved }) => [windowOf(g!, saved as Window)],
};

/** Zeros of `shape` with the tensor written into the window that begins at `starts` and advances by `steps` (all 1 when not said). */
export function padWindow<D extends DType>(
  t: Tensor<Shape, D>,
  shape: readonly number[],
  starts: readonly number[],
  steps: readonly number[] = starts.map(() => 1),
): Tensor<Shape, D> {
  checkTensor("padWindow", t);
  checkShape("padWindow", shape);
  const fits =
    shape.length === t.rank &&
    shape.every(
      (size, i) =>
        t.shape[i] === 0 ||
        (starts[i]! >= 0 && steps[i]! >= 1 && starts[i]! + (t.shape[i]! - 1) * steps[i]! < size),
    );
  if (!fits) {
    throw new ShapeError(
      "padWindow",
      `${showShape(t.shape)} from ${showShape(starts)} in steps of ${showShape(steps)} does not lie within ${showShape(shape)}`,
      "give a larger shape",
    );
  }
  const source = contiguous(t);
  const out = newTensor(t.backend, t.dtype, shape, "padWindow");
  if (out.size > 0) t.backend.fill(out.storage, t.dtype, out.size, 0);
  if (t.size > 0) {
    const strides = contiguousStrides(shape);
    const offset = starts.reduce((sum, start, i) => sum + start * strides[i]!, 0);
    t.backend.copyInto(
      source.storage,
      t.dtype,
      t.shape,
      out.storage,
      offset,
      strides.map((s, i) => s * steps[i]!),
    );
  }
  record(padRule, [t], [out], { starts, steps, sizes: t.shape } satisfies Window);
  return out;
}

// ---------------------------------------------------------------------------------------------------------------
// broadcastTo, and its transpose

const broadcastRule: Rule = { name: "broadcastTo", vjp: ([g], { inputs }) => [sumTo(g!, inputs[0]!.shape)] };

/** Entries repeated along axes of size 1 and along new axes in front, without a copy. The tensor itself when nothing changes. */
export function broadcastTo<const T extends readonly number[], D extends DType>(
  t: Tensor<Shape, D>,
  shape: T,
): Tensor<Plain<T>, D> {
  checkTensor("broadcastTo", t);
  checkShape("broadcastTo", shape);
  if (sameShape(t.shape, shape)) return t as unknown as Tensor<Plain<T>, D>;
  const lead = shape.length - t.rank;
  if (lead < 0 || !sameShape(broadcastShapes("broadcastTo", t.shape, shape), shape)) {
    throw new ShapeError(
      "broadcastTo",
      `${showShape(t.shape)} does not stretch to ${showShape(shape)}`,
      "only axes of size 1 stretch, and new axes come in front",
    );
  }
  const { strides } = t;
  const repeated = shape.map((size, i) => (i < lead || t.shape[i - lead] !== size ? 0 : strides[i - lead]!));
  const out = viewOf<D, Plain<T>>(t, [...shape], repeated, t.offset, "broadcastTo");
  record(broadcastRule, [t], [out]);
  return out;
}

const sumToRule: Rule = { name: "sumTo", vjp: ([g], { inputs }) => [broadcastTo(g!, inputs[0]!.shape)] };

/** The transpose of `broadcastTo`: entries added up along the axes that `shape` lacks or has 1 at. Float tensors only. */
export function sumTo<D extends DType>(t: Tensor<Shape, D>, shape: readonly number[]): Tensor<Shape, D> {
  checkTensor("sumTo", t);
  if (sameShape(t.shape, shape)) return t;
  if (!isFloat(t.dtype)) throw new DTypeError("sumTo", `the sum of ${t.dtype}`, "cast it to a float type");
  const lead = t.rank - shape.length;
  if (lead < 0 || !sameShape(broadcastShapes("sumTo", t.shape, shape), t.shape)) {
    throw new ShapeError(
      "sumTo",
      `${showShape(t.shape)} is no broadcast of ${showShape(shape)}`,
      "give a shape that stretches to that of the tensor",
    );
  }
  const { backend } = t;
  const dtype: FloatDType = t.dtype;
  // Neighbouring axes that go are summed in one call, from the last: what is left stays contiguous.
  let source = contiguous(t) as Tensor;
  const sizes = [...t.shape];
  const goes = (axis: number): boolean =>
    axis >= 0 && (axis < lead || (shape[axis - lead] === 1 && t.shape[axis] !== 1));
  for (let last = t.rank - 1; last >= 0; last--) {
    if (!goes(last)) continue;
    let first = last;
    while (goes(first - 1)) first--;
    const outer = sizeOf(sizes.slice(0, first));
    const middle = sizeOf(sizes.slice(first, last + 1));
    const inner = sizeOf(sizes.slice(last + 1));
    sizes.fill(1, first, last + 1);
    const sum = newTensor(backend, dtype, [...sizes], "sumTo");
    if (middle === 0) sum.size > 0 && backend.fill(sum.storage, dtype, sum.size, 0);
    else if (sum.size > 0) backend.run(sumMiddle, dtype, source.storage, sum.storage, outer, middle, inner);
    source = sum;
    last = first;
  }
  const out = viewOf(source, [...shape], null, 0, "sumTo") as Tensor<Shape, D>;
  record(sumToRule, [t], [out]);
  return out;
}

// ---------------------------------------------------------------------------------------------------------------
// expect

/** The tensor with the given sizes in its type, after checking them. A name stands for any size, the same wherever it recurs. */
export function expectShape<const T extends Shape, D extends DType>(
  t: Tensor<Shape, D>,
  shape: T,
): Tensor<Plain<T>, D> {
  checkTensor("expect", t);
  if (!Array.isArray(shape))
    throw new ArgumentError(
      "expect",
      `${showValue(shape)} is not a shape`,
      'give an array of sizes and names, such as ["batch", 3]',
    );
  const named = new Map<unknown, number>();
  const fits =
    shape.length === t.rank &&
    shape.every((size: unknown, i) => {
      const found = t.shape[i]!;
      if (typeof size !== "string") return size === found;
      const before = named.get(size) ?? found;
      named.set(size, found);
      return before === found;
    });
  if (!fits)
    throw new ShapeError(
      "expect",
      `the tensor has shape ${showShape(t.shape)}, not ${showShape(shape)}`,
      "reshape it, or correct what is expected",
    );
  return t as unknown as Tensor<Plain<T>, D>;
}
