// One table of cases for every rule of sizes: each row is read by the function at run time and by its type twin when
// the suite is compiled. Sizes of 7 stand for what a type leaves to the run: a name, or `number`.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ArgumentError, ShapeError } from "../core/errors.ts";
import {
  type Broadcast,
  broadcastShapes,
  checkShape,
  contiguousStrides,
  type HasRows,
  type Linear,
  type LinearBias,
  linearShape,
  type Matmul,
  type Mismatch,
  matmulShape,
  normalizeAxes,
  normalizeAxis,
  type Plain,
  permutation,
  type Reduce,
  type ReduceLast,
  reduceLastShape,
  reduceShape,
  type Shape,
  sameShape,
  sizeOf,
  type Transpose,
  transposeShape,
} from "../core/shape.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** What the table says of a rule: the shape that it gives, or the sentence of its complaint. */
type Verdict<R> = R extends Mismatch<infer Sentence> ? Sentence : R extends Shape ? Plain<R> : R;
/** The expected verdict, if the type gives exactly that one. */
type Exactly<E, R> =
  Same<E extends Shape ? Plain<E> : E, Verdict<R>> extends true ? E : ["the type gives", Verdict<R>];

const run: number = 7;
/** Where only the run knows the rank. */
const unknown = [2, 3] as Shape;

/** A size of the run: names and `number` are 7. */
const atRun = (shape: Shape): number[] => shape.map((size) => (typeof size === "string" ? run : size));

function check(expected: unknown, compute: () => readonly number[]): void {
  if (typeof expected === "string") expect(compute).toThrow(ShapeError);
  else if (expected !== unknown) expect(compute()).toEqual(atRun(expected as Shape));
  else expect(compute).not.toThrow();
}

interface Case {
  readonly title: string;
  readonly run: () => void;
}

const cases: Case[] = [];

function broadcast<const A extends Shape, const B extends Shape, const E>(
  a: A,
  b: B,
  expected: E & Exactly<E, Broadcast<A, B>>,
): void {
  cases.push({
    title: `broadcast [${a}] with [${b}]`,
    run: () => check(expected, () => broadcastShapes("add", atRun(a), atRun(b))),
  });
}

function matmul<const A extends Shape, const B extends Shape, const E>(
  a: A,
  b: B,
  expected: E & Exactly<E, Matmul<A, B>>,
): void {
  cases.push({
    title: `matmul [${a}] · [${b}]`,
    run: () => check(expected, () => matmulShape("matmul", atRun(a), atRun(b))),
  });
}

function linear<const X extends Shape, const W extends Shape, const E>(
  x: X,
  weight: W,
  expected: E & Exactly<E, Linear<X, W>>,
): void {
  cases.push({
    title: `linear [${x}] · [${weight}]ᵀ`,
    run: () => check(expected, () => linearShape("linear", atRun(x), atRun(weight))),
  });
}

function bias<const W extends Shape, const B extends Shape, const E>(
  weight: W,
  b: B,
  expected: E & Exactly<E, LinearBias<W, B>>,
): void {
  cases.push({
    title: `bias [${b}] beside weight [${weight}]`,
    run: () =>
      check(expected, () => {
        linearShape("linear", atRun(weight).slice(-1), atRun(weight), atRun(b));
        return atRun(b);
      }),
  });
}

function reduce<
  const S extends Shape,
  const A extends number | readonly number[] | undefined,
  const K extends boolean,
  const E,
>(shape: S, axes: A, keep: K, expected: E & Exactly<E, Reduce<S, A, K>>): void {
  cases.push({
    title: `reduce [${shape}] over ${axes === undefined ? "all" : `[${axes}]`}${keep ? ", kept" : ""}`,
    run: () =>
      check(expected, () => reduceShape(atRun(shape), normalizeAxes("sum", axes, shape.length), keep)),
  });
}

function last<const S extends Shape, const K extends boolean, const E>(
  shape: S,
  keep: K,
  expected: E & Exactly<E, ReduceLast<S, K>>,
): void {
  cases.push({
    title: `fold the rows of [${shape}]${keep ? ", kept" : ""}`,
    run: () => check(expected, () => reduceLastShape("logsumexp", atRun(shape), keep)),
  });
}

function rows<const S extends Shape, const E>(shape: S, expected: E & Exactly<E, HasRows<S>>): void {
  cases.push({
    title: `rows of [${shape}]`,
    run: () =>
      check(expected, () => {
        normalizeAxis("softmax", -1, shape.length);
        return atRun(shape);
      }),
  });
}

function transpose<const S extends Shape, const A extends readonly number[] | undefined, const E>(
  shape: S,
  axes: A,
  expected: E & Exactly<E, Transpose<S, A>>,
): void {
  cases.push({
    title: `transpose [${shape}]${axes ? ` by [${axes}]` : ""}`,
    run: () => check(expected, () => transposeShape("transpose", atRun(shape), axes)),
  });
}

const differ = "broadcasting: sizes differ and neither is 1";
broadcast([2, 3], [2, 3], [2, 3]);
broadcast([2, 3], [3], [2, 3]);
broadcast([2, 3], [], [2, 3]);
broadcast([2, 1], [1, 3], [2, 3]);
broadcast([4, 1, 3], [2, 1], [4, 2, 3]);
broadcast([0, 3], [1, 3], [0, 3]);
broadcast([2, 3], [2], differ);
broadcast([2, 3], [3, 3], differ);
broadcast([0, 3], [2, 3], differ);
broadcast(["n", 3], [3], ["n", 3]);
broadcast(["n", 3], [1, 3], ["n", 3]);
broadcast(["n", 3], ["n", 3], ["n", 3]);
broadcast([run, 3], [7, 3], [7, 3]);
broadcast([run, 3], [1, 3], [run, 3]);
broadcast([run, 3], ["n", 3], ["n", 3]);
broadcast(unknown, [3], unknown);

const inner = "matmul: inner sizes differ";
const scalar = "matmul: a scalar has no rows or columns";
matmul([2, 3], [3, 4], [2, 4]);
matmul([3], [3], []);
matmul([2, 3], [3], [2]);
matmul([3], [3, 4], [4]);
matmul([5, 2, 3], [3, 4], [5, 2, 4]);
matmul([5, 1, 2, 3], [6, 3, 4], [5, 6, 2, 4]);
matmul([3], [5, 3, 4], [5, 4]);
matmul([5, 2, 3], [3], [5, 2]);
matmul([2, 0], [0, 4], [2, 4]);
matmul([2, 3], [5, 4], inner);
matmul([3], [4], inner);
matmul([2, 3], [4], inner);
matmul([2], [3, 4], inner);
matmul([5, 2, 3], [6, 3, 4], differ);
matmul([], [3, 4], scalar);
matmul([3], [], scalar);
matmul(["batch", 784], [784, 10], ["batch", 10]);
matmul([2, run], [7, 4], [2, 4]);
matmul([run, 3], [3, run], [run, run]);
matmul(unknown, [3, 4], unknown);

linear([4, 3], [2, 3], [4, 2]);
linear([3], [2, 3], [2]);
linear([5, 4, 3], [2, 3], [5, 4, 2]);
linear(["batch", 784], [10, 784], ["batch", 10]);
linear([run, 3], [run, 3], [run, run]);
linear([4, 3], [2, 5], inner);
linear([], [2, 3], scalar);
linear([4, 3], [3], "linear: weight is no matrix");
linear(unknown, [2, 3], unknown);
linear([4, 3], unknown, unknown);
bias([2, 3], [2], [2]);
bias([7, 3], [run], [run]);
bias([run, 3], [7], [7]);
bias([2, 3], [3], "linear: one value of bias for each row of weight");
bias([2, 3], [1, 2], "linear: bias is no vector");

reduce([2, 3, 4], undefined, false, []);
reduce([2, 3, 4], undefined, true, [1, 1, 1]);
reduce([2, 3, 4], 0, false, [3, 4]);
reduce([2, 3, 4], -1, false, [2, 3]);
reduce([2, 3, 4], 1, true, [2, 1, 4]);
reduce([2, 3, 4], [0, -1], false, [3]);
reduce([2, 3, 4], [2, 0], true, [1, 3, 1]);
reduce(["n", 3], -1, false, ["n"]);
reduce([2, 3], [], false, [2, 3]);
reduce([2, 3], run - 7, false, unknown);
reduce([], undefined, false, []);
reduce([2, 3], 2, false, "there is no such axis");
reduce([2, 3], [0, -3], true, "there is no such axis");
reduce([], -1, false, "there is no such axis");
reduce(unknown, 0, false, unknown);
reduce(unknown, undefined, false, []);

const noRows = "a scalar has no last axis";
last([2, 3], false, [2]);
last([2, 3], true, [2, 1]);
last(["n", run], false, ["n"]);
last([], false, noRows);
last(unknown, false, unknown);
rows([2, 3], [2, 3]);
rows([], noRows);

transpose([2, 3], undefined, [3, 2]);
transpose([5, 2, 3], undefined, [5, 3, 2]);
transpose(["n", 3], undefined, [3, "n"]);
transpose([2, 3, 4], [2, 0, 1], [4, 2, 3]);
transpose([2, 3, 7], [-1, 0, 1], [run, 2, 3]);
transpose([3], undefined, "transpose: no two axes to exchange");
transpose([2, 3], [0], "transpose: not an order of the axes");
transpose(unknown, undefined, unknown);

describe("a rule of sizes gives what its type says", () => {
  for (const { title, run } of cases) test(title, run);
});

// What fails only at run time, and in which words.
describe("a rule that fails says where, what and what to do", () => {
  const failures: [string, () => unknown, new (...args: never[]) => Error, string][] = [
    [
      "inner sizes",
      () => matmulShape("matmul", [2, 3], [5, 4]),
      ShapeError,
      "matmul: shapes [2, 3] · [5, 4] differ in the inner size (3 ≠ 5); transpose one side?",
    ],
    [
      "broadcasting",
      () => broadcastShapes("add", [2, 3], [4]),
      ShapeError,
      "add: shapes [2, 3] and [4] do not broadcast (3 and 4 at axis -1); sizes must be equal, or 1 on one side; reshape one of them?",
    ],
    [
      "an axis too far",
      () => normalizeAxis("sum", 2, 2),
      ShapeError,
      "sum: there is no axis 2 in 2 dimensions; give an axis from -2 to 1",
    ],
    [
      "an axis of a scalar",
      () => normalizeAxis("max", -1, 0),
      ShapeError,
      "max: there is no axis -1 in 0 dimensions; a scalar has no axes",
    ],
    [
      "half an axis",
      () => normalizeAxis("sum", 0.5, 2),
      ArgumentError,
      "sum: 0.5 is not an axis; give an integer",
    ],
    [
      "a repeated axis",
      () => normalizeAxes("sum", [0, -2], 2),
      ShapeError,
      "sum: axis 0 is given twice in [0, -2]; name each axis once",
    ],
    [
      "a repeated axis of an order",
      () => permutation("transpose", [0, 0], 2),
      ShapeError,
      "transpose: [0, 0] is not an order of the 2 axes; name each axis once",
    ],
    [
      "an order that is none",
      () => permutation("transpose", 1 as never, 2),
      ArgumentError,
      "transpose: 1 is not an order of axes; give an array, such as [1, 0]",
    ],
    [
      "a negative size",
      () => checkShape("zeros", [2, -1]),
      ShapeError,
      "zeros: the size -1 is not a natural number; give sizes 0, 1, 2, …",
    ],
    [
      "a number for a shape",
      () => checkShape("zeros", 3),
      ArgumentError,
      "zeros: 3 is not a shape; give an array of sizes, such as [2, 3]",
    ],
  ];
  test.each(failures)("%s", (_, compute, kind, message) => {
    expect(compute).toThrow(kind);
    expect(compute).toThrow(message);
  });
});

const sizes = fc.array(fc.nat({ max: 5 }), { maxLength: 5 });

test("a contiguous tensor ends size − 1 elements after its start", () => {
  fc.assert(
    fc.property(sizes, (shape) => {
      const strides = contiguousStrides(shape);
      fc.pre(sizeOf(shape) > 0);
      const end = shape.reduce((at, size, i) => at + (size - 1) * strides[i]!, 0);
      expect(end).toBe(sizeOf(shape) - 1);
    }),
  );
});

test("a shape broadcasts with itself, with a scalar and with ones to itself, in either order", () => {
  fc.assert(
    fc.property(sizes, (shape) => {
      const ones = shape.map(() => 1);
      for (const other of [shape, [], ones]) {
        expect(broadcastShapes("add", shape, other)).toEqual(shape);
        expect(broadcastShapes("add", other, shape)).toEqual(shape);
      }
      expect(sameShape(shape, [...shape])).toBe(true);
      expect(sameShape(shape, [...shape, 1])).toBe(false);
    }),
  );
});

test("transposing twice gives the shape back", () => {
  fc.assert(
    fc.property(sizes, (shape) => {
      fc.pre(shape.length >= 2);
      expect(transposeShape("t", transposeShape("t", shape))).toEqual(shape);
    }),
  );
});
