// The rules of sizes, each as a function of run-time shapes and, beside it, as a type of written ones.
// Shapes only: nothing here knows tensors, strides of views, or what an op computes.
//
// A size in a type is a literal (3), a name ("batch": equal only to itself) or `number` (checked at run time).
// Two sizes that must agree are two type parameters that are compared, never one that is shared: a shared one
// would be inferred as a union and accept anything. A rule that fails gives `Mismatch`, and `Checked` puts it
// on the argument, so that the compiler's message reads as a sentence.

import { ArgumentError, ShapeError, showShape, showValue } from "./errors.ts";

/** One size in a type: a literal, a name, or `number` when only the run knows. */
export type Size = number | string;

/** The sizes of a tensor in a type. `Shape` itself means any shape, of any rank. */
export type Shape = readonly Size[];

/** What `tensor.shape` is at run time: names become numbers. */
export type Sizes<S extends Shape> = { readonly [I in keyof S]: S[I] extends number ? S[I] : number };

/** `readonly [2, 3]`, as inferred from a written shape, as `[2, 3]`. */
export type Plain<S extends Shape> = { -readonly [I in keyof S]: S[I] };

declare const mismatch: unique symbol;

/** The type of an argument that does not fit, and why. No tensor is assignable to it. */
export interface Mismatch<
  Sentence extends string = string,
  Found extends readonly unknown[] = readonly unknown[],
> {
  /** Every tensor has a shape, so the compiler says "Tensor<…> is not assignable to Mismatch<…>" in one sentence. */
  readonly shape: never;
  readonly [mismatch]?: [Sentence, Found];
}

/** The type of an argument `T` to which a rule applies: `T` where the rule gives a result, its complaint where not. */
export type Checked<T, Result> = Result extends Mismatch ? Result : T;

/** The shape that a rule gives; any shape after a mismatch, so that one mistake is reported once. */
export type Result<R> = R extends Shape ? R : Shape;

/** Whether only the run knows the rank. */
type Unranked<S extends Shape> = number extends S["length"] ? true : false;

// ---------------------------------------------------------------------------------------------------------------
// Counting and checking

/** The number of elements. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i]!;
  return size;
}

/** Where an entry in row-major order lies: one position for each axis. */
export function positionOf(i: number, shape: readonly number[]): number[] {
  const at = new Array<number>(shape.length);
  let rest = i;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    at[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return at;
}

/** Elements from one entry to the next along each axis, the last axis contiguous. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i]!;
  }
  return strides;
}

/** Whether two shapes are the same. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Refuses what is not an array of natural numbers. */
export function checkShape(place: string, shape: unknown): asserts shape is readonly number[] {
  if (!Array.isArray(shape))
    throw new ArgumentError(
      place,
      `${showValue(shape)} is not a shape`,
      "give an array of sizes, such as [2, 3]",
    );
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(
        place,
        `the size ${showValue(size)} is not a natural number`,
        "give sizes 0, 1, 2, …",
      );
    }
  }
}

/** An axis counted from the front; a negative one counts from the back. */
export function normalizeAxis(place: string, axis: number, rank: number): number {
  if (Number.isInteger(axis) && axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis))
    throw new ArgumentError(place, `${showValue(axis)} is not an axis`, "give an integer");
  const finding = `there is no axis ${axis} in ${rank} ${rank === 1 ? "dimension" : "dimensions"}`;
  throw new ShapeError(
    place,
    finding,
    rank === 0 ? "a scalar has no axes" : `give an axis from ${-rank} to ${rank - 1}`,
  );
}

/** Several axes in increasing order; all of them when none is given. A repeated one is refused. */
export function normalizeAxes(
  place: string,
  axes: number | readonly number[] | undefined,
  rank: number,
): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  if (!Array.isArray(axes)) return [normalizeAxis(place, axes as number, rank)];
  const sorted = axes.map((axis: number) => normalizeAxis(place, axis, rank)).sort((a, b) => a - b);
  const twice = sorted.find((axis, i) => axis === sorted[i - 1]);
  if (twice !== undefined)
    throw new ShapeError(place, `axis ${twice} is given twice in ${showShape(axes)}`, "name each axis once");
  return sorted;
}

// ---------------------------------------------------------------------------------------------------------------
// Broadcasting: shapes are aligned at the last axis, and a size of 1 stretches

/** The shape of an elementwise result. */
export function broadcastShapes(place: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const p = i <= a.length ? a[a.length - i]! : 1;
    const q = i <= b.length ? b[b.length - i]! : 1;
    if (p !== q && p !== 1 && q !== 1) {
      const finding = `shapes ${showShape(a)} and ${showShape(b)} do not broadcast (${p} and ${q} at axis ${-i})`;
      throw new ShapeError(place, finding, "sizes must be equal, or 1 on one side; reshape one of them?");
    }
    out[rank - i] = p === 1 ? q : p;
  }
  return out;
}

type BroadcastSize<A extends Size, B extends Size> = [A] extends [1]
  ? B
  : [B] extends [1]
    ? A
    : number extends A
      ? B
      : number extends B
        ? A
        : [A & B] extends [never]
          ? Mismatch<"broadcasting: sizes differ and neither is 1", [A, B]>
          : A & B;

type BroadcastFrom<A extends Shape, B extends Shape, Out extends Shape> = A extends readonly [
  ...infer RestA extends Shape,
  infer LastA extends Size,
]
  ? B extends readonly [...infer RestB extends Shape, infer LastB extends Size]
    ? BroadcastSize<LastA, LastB> extends infer L
      ? L extends Size
        ? BroadcastFrom<RestA, RestB, [L, ...Out]>
        : L
      : never
    : [...A, ...Out]
  : [...B, ...Out];

/** The type twin of `broadcastShapes`. */
export type Broadcast<A extends Shape, B extends Shape> = true extends Unranked<A> | Unranked<B>
  ? Shape
  : BroadcastFrom<A, B, []>;

// ---------------------------------------------------------------------------------------------------------------
// Matrix products: [..., m, k] · [..., k, n], batch axes broadcast; a vector is a row on the left, a column on the right

/** The shape of a product of matrices, vectors, or batches of matrices. */
export function matmulShape(place: string, a: readonly number[], b: readonly number[]): number[] {
  if (a.length === 0 || b.length === 0) {
    throw new ShapeError(
      place,
      `shapes ${showShape(a)} · ${showShape(b)}: a scalar has no rows or columns`,
      "use mul to scale",
    );
  }
  const inner = a[a.length - 1]!;
  const other = b.length === 1 ? b[0]! : b[b.length - 2]!;
  if (inner !== other) {
    const finding = `shapes ${showShape(a)} · ${showShape(b)} differ in the inner size (${inner} ≠ ${other})`;
    throw new ShapeError(place, finding, "transpose one side?");
  }
  const batch = broadcastShapes(place, a.slice(0, -2), b.slice(0, -2));
  if (a.length > 1) batch.push(a[a.length - 2]!);
  if (b.length > 1) batch.push(b[b.length - 1]!);
  return batch;
}

type Inner<K extends Size, L extends Size, Out> = number extends K | L
  ? Out
  : [K & L] extends [never]
    ? Mismatch<"matmul: inner sizes differ", [K, L]>
    : Out;

type Batched<Batch, Tail extends Shape> = Batch extends Shape ? [...Batch, ...Tail] : Batch;

/** The type twin of `matmulShape`. */
export type Matmul<A extends Shape, B extends Shape> = A extends readonly []
  ? Mismatch<"matmul: a scalar has no rows or columns", [A, B]>
  : B extends readonly []
    ? Mismatch<"matmul: a scalar has no rows or columns", [A, B]>
    : true extends Unranked<A> | Unranked<B>
      ? Shape
      : A extends readonly [infer K extends Size]
        ? B extends readonly [infer L extends Size]
          ? Inner<K, L, []>
          : B extends readonly [...infer BatchB extends Shape, infer L extends Size, infer N extends Size]
            ? Inner<K, L, [...BatchB, N]>
            : never
        : A extends readonly [...infer BatchA extends Shape, infer M extends Size, infer K extends Size]
          ? B extends readonly [infer L extends Size]
            ? Inner<K, L, [...BatchA, M]>
            : B extends readonly [...infer BatchB extends Shape, infer L extends Size, infer N extends Size]
              ? Inner<K, L, Batched<Broadcast<BatchA, BatchB>, [M, N]>>
              : never
          : never;

/** The shape of x·Wᵀ + b: [..., In] · [Out, In] (+ [Out]) → [..., Out]. */
export function linearShape(
  place: string,
  x: readonly number[],
  weight: readonly number[],
  bias?: readonly number[],
): number[] {
  const [out, features] = weight;
  if (weight.length !== 2)
    throw new ShapeError(place, `weight of shape ${showShape(weight)} is no matrix`, "give [Out, In]");
  const found = x[x.length - 1];
  if (found !== features) {
    const finding = `rows of ${found ?? "no"} features in x of shape ${showShape(x)}, where weight ${showShape(weight)} takes ${features}`;
    throw new ShapeError(place, finding, `give [..., ${features}], and weight as [Out, In]`);
  }
  if (bias !== undefined && !sameShape(bias, [out!]))
    throw new ShapeError(
      place,
      `bias of shape ${showShape(bias)} beside weight ${showShape(weight)}`,
      `give [${out}]`,
    );
  return [...x.slice(0, -1), out!];
}

/** The type twin of `linearShape`, but for the bias. */
export type Linear<X extends Shape, W extends Shape> =
  true extends Unranked<W>
    ? Shape
    : W extends readonly [infer Out extends Size, infer In extends Size]
      ? Matmul<X, [In, Out]>
      : Mismatch<"linear: weight is no matrix", W>;

/** What `linearShape` asks of the bias: one value for each row of weight. */
export type LinearBias<W extends Shape, B extends Shape> = true extends Unranked<W> | Unranked<B>
  ? B
  : W extends readonly [infer Out extends Size, Size]
    ? B extends readonly [infer N extends Size]
      ? number extends N | Out
        ? B
        : [N & Out] extends [never]
          ? Mismatch<"linear: one value of bias for each row of weight", [N, Out]>
          : B
      : Mismatch<"linear: bias is no vector", B>
    : B;

// ---------------------------------------------------------------------------------------------------------------
// Removing and keeping axes

/** The shape that is left when `axes` (sorted, counted from the front) are folded; with `keepDims` as sizes of 1. */
export function reduceShape(shape: readonly number[], axes: readonly number[], keepDims: boolean): number[] {
  if (keepDims) return shape.map((size, i) => (axes.includes(i) ? 1 : size));
  return shape.filter((_, i) => !axes.includes(i));
}

/** The axes of an option, as a union of numbers: `2`, `[0, -1]` → `0 | -1`; `undefined` stands for all. */
type AxesOf<Axes> = Axes extends readonly (infer A extends number)[] ? A : Axes;

/** Walks along the axes, striking those that are met off the list (kept as text, for the sake of -1); none may be left over. */
type ReduceFrom<
  S extends Shape,
  Axes extends string,
  Keep extends boolean,
  Front extends Shape,
  Out extends Shape,
> = S extends readonly [infer Head extends Size, ...infer Tail extends Shape]
  ? Extract<Axes, `${Front["length"]}` | `-${S["length"]}`> extends infer Met
    ? [Met] extends [never]
      ? ReduceFrom<Tail, Axes, Keep, [...Front, Head], [...Out, Head]>
      : ReduceFrom<Tail, Exclude<Axes, Met>, Keep, [...Front, Head], Keep extends true ? [...Out, 1] : Out>
    : never
  : [Axes] extends [never]
    ? Out
    : Mismatch<"there is no such axis", [Axes extends `${infer N extends number}` ? N : Axes, Front]>;

/** The type twin of `normalizeAxes` followed by `reduceShape`; any shape where the axes are known to the run only. */
export type Reduce<
  S extends Shape,
  Axes extends number | readonly number[] | undefined = undefined,
  Keep extends boolean = false,
> = [Axes] extends [undefined]
  ? Keep extends true
    ? { -readonly [I in keyof S]: 1 }
    : []
  : true extends Unranked<S>
    ? Shape
    : [AxesOf<Axes>] extends [number]
      ? number extends AxesOf<Axes>
        ? Shape
        : ReduceFrom<S, `${AxesOf<Axes>}`, Keep, [], []>
      : Shape;

/** The shape of a reduction over the last axis, which a scalar does not have. */
export function reduceLastShape(place: string, shape: readonly number[], keepDims = false): number[] {
  return reduceShape(shape, [normalizeAxis(place, -1, shape.length)], keepDims);
}

/** The type twin of `reduceLastShape`. */
export type ReduceLast<S extends Shape, Keep extends boolean = false> =
  true extends Unranked<S>
    ? Shape
    : S extends readonly [...infer Rest extends Shape, Size]
      ? Keep extends true
        ? [...Rest, 1]
        : Rest
      : Mismatch<"a scalar has no last axis", []>;

/** What a map over rows asks of its argument: a last axis. Its result has the same shape. */
export type HasRows<S extends Shape> = S extends readonly [] ? Mismatch<"a scalar has no last axis", []> : S;

// ---------------------------------------------------------------------------------------------------------------
// Orders of axes

/** The order of axes that a transposition asks for, checked: the last two exchanged when none is given. */
export function permutation(place: string, axes: readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) {
    if (rank < 2)
      throw new ShapeError(
        place,
        `a tensor of ${rank} ${rank === 1 ? "axis" : "axes"} has no two to exchange`,
        "reshape it first",
      );
    const order: number[] = [];
    for (let i = 0; i < rank - 2; i++) order.push(i);
    order.push(rank - 1, rank - 2);
    return order;
  }
  if (!Array.isArray(axes))
    throw new ArgumentError(
      place,
      `${showValue(axes)} is not an order of axes`,
      "give an array, such as [1, 0]",
    );
  const order = axes.map((axis: number) => normalizeAxis(place, axis, rank));
  if (order.length !== rank || new Set(order).size !== rank) {
    throw new ShapeError(
      place,
      `${showShape(axes)} is not an order of the ${rank} axes`,
      "name each axis once",
    );
  }
  return order;
}

/** The shape of a transposition: size `order[i]` comes to place i. */
export function transposeShape(place: string, shape: readonly number[], axes?: readonly number[]): number[] {
  return permutation(place, axes, shape.length).map((axis) => shape[axis]!);
}

type SizeAt<S extends Shape, Axis> = Axis extends keyof S ? S[Axis] : number;

/** The type twin of `transposeShape`. Sizes that negative or computed axes bring are left to the run. */
export type Transpose<S extends Shape, Axes extends readonly number[] | undefined = undefined> =
  true extends Unranked<S>
    ? Shape
    : Axes extends readonly number[]
      ? number extends Axes["length"]
        ? Shape
        : Axes["length"] extends S["length"]
          ? Result<{
              -readonly [I in keyof Axes]: number extends Axes[I] ? number : SizeAt<S, `${Axes[I] & number}`>;
            }>
          : Mismatch<"transpose: not an order of the axes", [Axes, S]>
      : S extends readonly [...infer Batch extends Shape, infer M extends Size, infer N extends Size]
        ? [...Batch, N, M]
        : Mismatch<"transpose: no two axes to exchange", [S]>;
