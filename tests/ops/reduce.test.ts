import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { full, tensor, zeros } from "../../core/create.ts";
import { ArgumentError, DTypeError, ShapeError } from "../../core/errors.ts";
import type { Op } from "../../core/op.ts";
import { normalizeAxes, reduceShape } from "../../core/shape.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  all,
  any,
  argmax,
  argmin,
  max,
  mean,
  min,
  norm,
  prod,
  std,
  sum,
  variance,
} from "../../ops/reduce.ts";
import {
  at,
  build,
  devices,
  distinct,
  expectExamples,
  expectGradients,
  expectValues,
  layouts,
  type Nd,
  positions,
  random,
  seeds,
  shapes,
  upload,
} from "./reference.ts";

type Options = { axis?: number | number[]; keepDims?: boolean };
type Fold = (x: Tensor, options?: Options) => Tensor;

/** Folds axes by collecting the entries of each row, in row-major order. */
function fold(x: Nd, { axis, keepDims = false }: Options, f: (row: number[]) => number): Nd {
  const axes = normalizeAxes("test", axis, x.shape.length);
  const kept = [...x.shape.keys()].filter((i) => !axes.includes(i));
  const folded = build(reduceShape(x.shape, axes, false), (p) => {
    const row = positions(axes.map((i) => x.shape[i]!)).map((q) => {
      const place = new Array<number>(x.shape.length);
      kept.forEach((i, k) => {
        place[i] = p[k]!;
      });
      axes.forEach((i, k) => {
        place[i] = q[k]!;
      });
      return at(x, place);
    });
    return f(row);
  });
  return { shape: reduceShape(x.shape, axes, keepDims), data: folded.data };
}

const total = (row: number[]): number => row.reduce((a, b) => a + b, 0);
const spread = (row: number[], correction = 1): number => {
  const centre = total(row) / row.length;
  return total(row.map((v) => (v - centre) ** 2)) / (row.length - correction);
};
const folds: [name: string, op: unknown, reference: (row: number[]) => number, tolerance: number][] = [
  ["sum", sum, total, 0],
  ["mean", mean, (row) => total(row) / row.length, 1e-6],
  ["variance", variance, (row) => spread(row), 1e-5],
  ["std", std, (row) => Math.sqrt(spread(row)), 1e-5],
  ["norm", norm, (row) => Math.hypot(...row), 1e-6],
  ["max", max, (row) => Math.max(...row), 0],
  ["min", min, (row) => Math.min(...row), 0],
  ["argmax", argmax, (row) => row.indexOf(Math.max(...row)), 0],
  ["argmin", argmin, (row) => row.indexOf(Math.min(...row)), 0],
];

/** Shapes with some of their axes, and whether these stay. */
const foldings = shapes(4, 4).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axis: fc.option(
      fc.subarray([...shape.keys()]).map((axes) => axes.map((i) => (i % 2 ? i : i - shape.length))),
      { nil: undefined },
    ),
    keepDims: fc.boolean(),
    seed: seeds,
  }),
);
const optionsOf = ({ axis, keepDims }: { axis: number[] | undefined; keepDims: boolean }): Options => ({
  ...(axis ? { axis } : {}),
  keepDims,
});

describe.each(devices)("on %s", (device) => {
  test.each([...folds, ["any", any], ["all", all]] as [string, Op][])("the examples of %s hold", (_, op) =>
    expectExamples(op, device),
  );

  test.each(folds)("%s folds any axes of any layout", (_, op, reference, tolerance) => {
    fc.assert(
      fc.property(foldings, fc.constantFrom("f32", "f64"), (folding, dtype) => {
        const options = optionsOf(folding);
        const x = random(folding.shape, folding.seed);
        const wanted = fold(x, options, reference);
        for (const t of layouts(x, dtype, device))
          expectValues((op as Fold)(t as Tensor, options), wanted, tolerance);
      }),
      { numRuns: 40 },
    );
  });

  test("prod multiplies along any axes of any layout", () => {
    fc.assert(
      fc.property(foldings, (folding) => {
        const options = optionsOf(folding);
        const { shape, data } = random(folding.shape, folding.seed);
        const x = { shape, data: data.map((v) => 1 + v / 50) };
        const wanted = fold(x, options, (row) => row.reduce((a, b) => a * b, 1));
        for (const t of layouts(x, "f64", device)) expectValues(prod(t, options), wanted, 1e-13);
      }),
      { numRuns: 40 },
    );
  });

  test("integers fold exactly, and truths are counted", () => {
    fc.assert(
      fc.property(foldings, (folding) => {
        const options = optionsOf(folding) as object;
        const { shape, data } = random(folding.shape, folding.seed);
        const x = { shape, data: data.map((v) => Math.trunc(v) * 10_000_019) };
        const truths = { shape, data: data.map((v) => Number(v > 0)) };
        for (const t of layouts(x, "i32", device)) {
          const wanted = fold(x, options, total);
          if (wanted.data.every((v) => Math.abs(v) < 2 ** 31)) expectValues(sum(t, options), wanted);
          expectValues(
            max(t, options),
            fold(x, options, (row) => Math.max(...row)),
          );
          expectValues(
            argmin(t, options),
            fold(x, options, (row) => row.indexOf(Math.min(...row))),
          );
        }
        for (const t of layouts(truths, "bool", device)) {
          expect(sum(t).dtype).toBe("i32");
          expectValues(sum(t, options), fold(truths, options, total));
          expectValues(
            any(t, options),
            fold(truths, options, (row) => Number(row.some((v) => v === 1))),
          );
          expectValues(
            all(t, options),
            fold(truths, options, (row) => Number(row.every((v) => v === 1))),
          );
        }
        expectValues(
          prod(upload(truths, "i32", device), options),
          fold(truths, options, (row) => row.reduce((a, b) => a * b, 1)),
        );
      }),
      { numRuns: 30 },
    );
  });

  test("first and second derivatives agree with differences", () => {
    const x = distinct([2, 3, 2], 4);
    const axes: Options[] = [
      {},
      { axis: -1 },
      { axis: 0, keepDims: true },
      { axis: [0, 2] },
      { axis: [1, 2], keepDims: true },
    ];
    for (const op of [sum, mean, variance, std, norm, prod, max, min]) {
      for (const options of axes) expectGradients((t) => (op as unknown as Fold)(t, options), [x], device);
    }
  });

  test("the gradient of a product is right where factors are 0", () => {
    const at = (data: number[]) => tensor(data, { dtype: "f64", device });
    const gradient = grad((t: Tensor<[3], "f64">) => prod(t));
    expect(gradient(at([2, 0, 5]) as never).toArray()).toEqual([0, 10, 0]);
    expect(gradient(at([0, 0, 5]) as never).toArray()).toEqual([0, 0, 0]);
  });

  test("the gradient of an extreme goes to the first of equal entries", () => {
    const x = tensor([1, 3, 3, 1], { dtype: "f64", device });
    expect(grad((t: typeof x) => max(t))(x).toArray()).toEqual([0, 1, 0, 0]);
    expect(grad((t: typeof x) => min(t))(x).toArray()).toEqual([1, 0, 0, 0]);
  });

  test("std and norm have gradient 0 where they have a kink", () => {
    const flat = full([4], 3, { dtype: "f64", device });
    expect(grad((t: typeof flat) => std(t))(flat).toArray()).toEqual([0, 0, 0, 0]);
    const zero = zeros([4], { dtype: "f64", device });
    expect(grad((t: typeof zero) => norm(t))(zero).toArray()).toEqual([0, 0, 0, 0]);
  });

  test("a NaN is found by every fold of floats", () => {
    for (let n = 1; n <= 20; n++) {
      for (let i = 0; i < n; i++) {
        const x = tensor(new Float32Array(n).fill(1).with(i, Number.NaN), { device });
        for (const op of [sum, mean, max, min, norm, prod])
          expect((op as unknown as Fold)(x).item(), `${op.info.name} of ${n}`).toBeNaN();
        expect(argmax(x).item()).toBe(i);
        expect(argmin(x).item()).toBe(i);
      }
    }
  });

  test("no entries sum to 0, multiply to 1, and have no extreme", () => {
    const empty = zeros([0, 2], { device });
    expect(sum(empty).item()).toBe(0);
    expect(sum(empty, { axis: 0 }).toArray()).toEqual([0, 0]);
    expect(sum(zeros([0], { dtype: "i32", device })).item()).toBe(0);
    expect(prod(empty, { axis: 0 }).toArray()).toEqual([1, 1]);
    expect(mean(empty).item()).toBeNaN();
    expect(any(zeros([0], { dtype: "bool", device })).item()).toBe(false);
    expect(all(zeros([0], { dtype: "bool", device })).item()).toBe(true);
    expect(sum(empty, { axis: 1 }).shape).toEqual([0]);
    expect(() => max(empty)).toThrow(ShapeError);
    expect(() => argmax(empty, { axis: 0 })).toThrow(ShapeError);
  });

  test("a long sum keeps its digits", () => {
    const x = full([2 ** 20], 0.1, { device });
    expect(Math.abs((sum(x).item() as number) / (2 ** 20 * Math.fround(0.1)) - 1)).toBeLessThan(1e-6);
    expect(Math.abs((mean(x).item() as number) / Math.fround(0.1) - 1)).toBeLessThan(1e-6);
  });
});

describe("folds refuse", () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  const refusals: [string, () => unknown, new (...args: never[]) => Error, string][] = [
    [
      "an axis too far",
      () => sum(x as Tensor, { axis: 2 }),
      ShapeError,
      "sum: there is no axis 2 in 2 dimensions; give an axis from -2 to 1",
    ],
    [
      "a repeated axis",
      () => max(x, { axis: [0, -2] }),
      ShapeError,
      "max: axis 0 is given twice in [0, -2]; name each axis once",
    ],
    [
      "an unknown option",
      () => mean(x, { dim: 0 } as never),
      ArgumentError,
      "mean: there is no option dim; the options are axis, keepDims",
    ],
    [
      "an axis for options",
      () => sum(x, 0 as never),
      ArgumentError,
      "sum: 0 stands where options are wanted; give a record such as { axis }",
    ],
    [
      "a word for a truth",
      () => sum(x, { keepDims: "yes" } as never),
      ArgumentError,
      'sum: keepDims is "yes"; give true or false',
    ],
    [
      "the mean of integers",
      () => mean(tensor([1, 2], { dtype: "i32" }) as never),
      DTypeError,
      'mean: i32 stands where floats are wanted; convert it: cast(x, "f32")',
    ],
    [
      "the largest truth",
      () => max(tensor([true]) as never),
      DTypeError,
      'max: bool stands where floats are wanted; convert it: cast(x, "f32")',
    ],
    [
      "the product of truths",
      () => prod(tensor([true]) as never),
      DTypeError,
      "prod: bool has no product; use all, or cast it",
    ],
    [
      "numbers for truths",
      () => any(x as never),
      DTypeError,
      "any: f32 stands where truth values are wanted; compare first: notEqual(x, 0)",
    ],
    [
      "a negative correction",
      () => std(x, { correction: -1 }),
      RangeError,
      "std: correction is -1; correction must be at least 0",
    ],
    [
      "arrays",
      () => sum([1, 2] as never),
      ArgumentError,
      "sum: an array of 2 is not a tensor; give a tensor",
    ],
  ];
  test.each(refusals)("%s", (_, compute, kind, message) => {
    expect(compute).toThrow(kind);
    expect(compute).toThrow(message);
  });
});
