import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../../core/create.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError } from "../../core/errors.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { mul } from "../../ops/elementwise.ts";
import { argsort, cumsum, gather, oneHot, scatterAdd, sort, take, topK } from "../../ops/indexing.ts";
import { sum } from "../../ops/reduce.ts";
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

type F64 = Tensor<readonly number[], "f64">;

/** Positions below `size` from a seed. */
const below = (shape: readonly number[], size: number, seed: number): Nd => {
  const { data } = random(shape, seed);
  return { shape, data: data.map((v) => (2 * v + 20) % size) };
};
const integers = (x: Nd): Nd => ({ shape: x.shape, data: x.data.map((v) => 2 * v) });
const dtypes = fc.constantFrom("f32", "f64", "i32");
const valuesOf = (shape: readonly number[], seed: number, dtype: string): Nd =>
  dtype === "i32" ? integers(random(shape, seed)) : random(shape, seed);

/** A shape, one of its axes, and something to draw numbers from. */
const axes = shapes(3, 5, 1).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axis: fc.nat({ max: shape.length - 1 }),
    seed: seeds,
    count: fc.integer({ min: 0, max: 6 }),
  }),
);

/** The order of a row: stable, NaN last. */
function order(row: number[], descending: boolean): number[] {
  return [...row.keys()].sort((i, j) => {
    const [a, b] = [row[i]!, row[j]!];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || i - j;
    return (descending ? b - a : a - b) || i - j;
  });
}

/** Replaces every row along an axis. */
function alongAxis(x: Nd, axis: number, f: (row: number[]) => number[]): Nd {
  const rows = new Map<string, number[]>();
  const rowAt = (p: number[]): number[] => {
    const key = String(p.with(axis, 0));
    const row = rows.get(key) ?? f(Array.from({ length: x.shape[axis]! }, (_, i) => at(x, p.with(axis, i))));
    rows.set(key, row);
    return row;
  };
  return build(x.shape.with(axis, rowAt(x.shape.map(() => 0)).length), (p) => rowAt(p)[p[axis]!]!);
}

describe.each(devices)("on %s", (device) => {
  const all = [gather, take, scatterAdd, oneHot, sort, argsort, topK, cumsum];
  test.each(all.map((op) => [op.info.name, op] as const))("the examples of %s hold", (_, op) =>
    expectExamples(op, device),
  );

  test("gather reads at a position of its own for each entry", () => {
    fc.assert(
      fc.property(axes, dtypes, ({ shape, axis, seed, count }, dtype) => {
        const x = valuesOf(shape, seed, dtype);
        const index = below(shape.with(axis, count), shape[axis]!, seed + 1);
        const wanted = build(index.shape, (p) => at(x, p.with(axis, at(index, p))));
        layouts(x, dtype, device).forEach((t, i) => {
          expectValues(gather(t, layouts(index, "i32", device)[i]!, axis - shape.length), wanted);
        });
      }),
      { numRuns: 40 },
    );
  });

  test("take replaces an axis by the axes of the index", () => {
    fc.assert(
      fc.property(axes, shapes(2, 4, 0, 0), dtypes, ({ shape, axis, seed }, indexShape, dtype) => {
        const x = valuesOf(shape, seed, dtype);
        const index = below(indexShape, shape[axis]!, seed + 1);
        const wanted = build(shape.toSpliced(axis, 1, ...indexShape), (p) =>
          at(x, p.toSpliced(axis, indexShape.length, at(index, p.slice(axis, axis + indexShape.length)))),
        );
        layouts(x, dtype, device).forEach((t, i) => {
          expectValues(take(t, layouts(index, "i32", device)[i]!, axis), wanted);
        });
      }),
      { numRuns: 40 },
    );
  });

  test("scatterAdd collects at each position what is sent there", () => {
    fc.assert(
      fc.property(
        axes,
        fc.boolean(),
        fc.constantFrom("f32", "f64"),
        ({ shape, axis, seed, count }, slices, dtype) => {
          const x = random(shape, seed);
          const values = random(shape.with(axis, count), seed + 1);
          const index = below(slices ? [count] : values.shape, shape[axis]!, seed + 2);
          const sums = [...x.data];
          for (const p of positions(values.shape)) {
            const to = p.with(axis, slices ? index.data[p[axis]!]! : at(index, p));
            const flat = to.reduce((place, i, k) => place * shape[k]! + i, 0);
            sums[flat]! += at(values, p);
          }
          layouts(x, dtype, device).forEach((t, i) => {
            const added = scatterAdd(
              t,
              layouts(index, "i32", device)[i]!,
              layouts(values, dtype, device)[i]!,
              axis,
            );
            expectValues(added, { shape, data: sums });
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test("oneHot marks the class of each label", () => {
    fc.assert(
      fc.property(
        shapes(2, 4, 0, 0),
        fc.integer({ min: 1, max: 9 }),
        seeds,
        fc.constantFrom("f32", "f64"),
        (shape, classes, seed, dtype) => {
          const labels = below(shape, classes, seed);
          const wanted = build([...shape, classes], (p) => Number(p.at(-1) === at(labels, p.slice(0, -1))));
          for (const t of layouts(labels, "i32", device)) {
            const marked = oneHot(t, classes, { dtype });
            expect(marked.dtype).toBe(dtype);
            expectValues(marked, wanted);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test("sort is stable, keeps NaN last and says where entries came from", () => {
    fc.assert(
      fc.property(
        axes,
        fc.boolean(),
        dtypes,
        fc.boolean(),
        ({ shape, axis, seed }, descending, dtype, withNaN) => {
          const plain = valuesOf(shape, seed, dtype);
          const x =
            withNaN && dtype !== "i32"
              ? { shape, data: plain.data.map((v) => (v > 6 ? Number.NaN : v)) }
              : plain;
          const indices = alongAxis(x, axis, (row) => order(row, descending));
          const values = alongAxis(x, axis, (row) => order(row, descending).map((i) => row[i]!));
          for (const t of layouts(x, dtype, device)) {
            const found = sort(t, { axis, descending });
            expectValues(found.values, values);
            expectValues(found.indices, indices);
            expectValues(argsort(t, { axis, descending }), indices);
            expectValues(gather(t, argsort(t, { axis, descending }), axis), values);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("sort orders long rows with many equal entries", () => {
    const x = random([3, 1000], 5);
    for (const descending of [false, true]) {
      expectValues(
        sort(upload(x, "f32", device), { descending }).indices,
        alongAxis(x, 1, (row) => order(row, descending)),
      );
    }
  });

  test("topK is the beginning of the order", () => {
    fc.assert(
      fc.property(axes, fc.boolean(), dtypes, ({ shape, axis, seed, count }, largest, dtype) => {
        const x = valuesOf(shape, seed, dtype);
        const k = 1 + (count % shape[axis]!);
        for (const t of layouts(x, dtype, device)) {
          const found = topK(t, k, { axis, largest });
          expectValues(
            found.indices,
            alongAxis(x, axis, (row) => order(row, largest).slice(0, k)),
          );
          expectValues(
            found.values,
            alongAxis(x, axis, (row) =>
              order(row, largest)
                .slice(0, k)
                .map((i) => row[i]!),
            ),
          );
        }
      }),
      { numRuns: 40 },
    );
  });

  test("cumsum is the sum of what came before", () => {
    fc.assert(
      fc.property(axes, fc.boolean(), dtypes, ({ shape, axis, seed }, reverse, dtype) => {
        const x = valuesOf(shape, seed, dtype);
        const wanted = alongAxis(x, axis, (row) =>
          row.map((_, i) => (reverse ? row.slice(i) : row.slice(0, i + 1)).reduce((a, b) => a + b, 0)),
        );
        for (const t of layouts(x, dtype, device)) expectValues(cumsum(t, { axis, reverse }), wanted);
      }),
      { numRuns: 40 },
    );
  });

  test("first and second derivatives agree with differences", () => {
    const x = distinct([3, 4], 2);
    const int = (data: number[][]) => tensor(data, { dtype: "i32", device });
    const each = int([
      [0, 2],
      [3, 3],
      [1, 0],
    ]);
    const rows = tensor([2, 0, 2], { dtype: "i32", device });
    expectGradients((t) => gather(t, each), [x], device);
    expectGradients((t) => gather(t, int([[0, 2, 1, 1]]), 0), [x], device);
    expectGradients((t) => take(t, rows), [x], device);
    expectGradients((t) => take(t, int([[1], [1]]), 1), [x], device);
    expectGradients((t, v) => scatterAdd(t as F64, rows, v as F64), [x, random([3, 4], 3)], device);
    expectGradients((t, v) => scatterAdd(t as F64, each, v as F64, 1), [x, random([3, 2], 3)], device);
    expectGradients((t) => sort(t).values, [x], device);
    expectGradients((t) => sort(t, { axis: 0, descending: true }).values, [x], device);
    expectGradients((t) => topK(t, 2).values, [x], device);
    expectGradients((t) => topK(t, 1, { axis: 0, largest: false }).values, [x], device);
    expectGradients((t) => cumsum(t as F64), [x], device);
    expectGradients((t) => cumsum(t as F64, { axis: 0, reverse: true }), [x], device);
  });

  test("of equal entries the gradient of topK goes to the first", () => {
    const x = tensor([2, 5, 5, 1], { dtype: "f64", device });
    expect(grad((t: typeof x) => sum(topK(t, 1).values as F64))(x).toArray()).toEqual([0, 1, 0, 0]);
    const weights = tensor([10, 20, 30, 40], { dtype: "f64", device });
    expect(grad((t: typeof x) => sum(mul(sort(t).values, weights)))(x).toArray()).toEqual([20, 30, 40, 10]);
  });

  test("nothing is taken from nowhere", () => {
    const none = tensor(new Int32Array(0), { device });
    expect(take(zeros([0, 2], { device }), none).shape).toEqual([0, 2]);
    expect(take(zeros([3, 0], { device }), tensor([1], { dtype: "i32", device })).shape).toEqual([1, 0]);
    expect(scatterAdd(zeros([2], { device }), none, zeros([0], { device })).toArray()).toEqual([0, 0]);
    expect(sort(zeros([2, 0], { device })).values.shape).toEqual([2, 0]);
    expect(cumsum(zeros([0], { device })).shape).toEqual([0]);
    expect(oneHot(none, 3).shape).toEqual([0, 3]);
  });
});

describe("indexing refuses", () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const int = (data: number[] | number[][]) =>
    tensor(data, { dtype: "i32" }) as Tensor<readonly number[], "i32">;
  const refusals: [string, () => unknown, new (...args: never[]) => Error, string][] = [
    [
      "a position too far",
      () => take(x, int([0, 2])),
      DomainError,
      "take: position 2 at [1] of the index is outside the axis of 2 entries; give positions from 0 to 1",
    ],
    [
      "a negative position",
      () => gather(x, int([[0], [-1]])),
      DomainError,
      "gather: position -1 at [1, 0] of the index is outside the axis of 3 entries; give positions from 0 to 2",
    ],
    [
      "a position in an empty axis",
      () => take(zeros([0, 2]), int([0])),
      DomainError,
      "take: position 0 at [0] of the index is outside the axis of 0 entries; there are none to take",
    ],
    [
      "positions as floats",
      () => take(x, tensor([0]) as never),
      DTypeError,
      'take: positions of f32; give them as i32: tensor([0, 2], { dtype: "i32" })',
    ],
    [
      "positions in an array",
      () => take(x, [0] as never),
      ArgumentError,
      "take: an array of 1 is not a tensor; give a tensor",
    ],
    [
      "sides that differ",
      () => gather(x, int([[0]])),
      ShapeError,
      "gather: shapes [2, 3] and [1, 1] differ in other axes than 1; give one position for each entry of the result",
    ],
    [
      "values that do not fit",
      () => scatterAdd(x, int([0]), zeros([2, 3])),
      ShapeError,
      "scatterAdd: values of shape [2, 3] at positions of shape [1] do not fit [2, 3]; give a position for each value, or for each slice",
    ],
    [
      "values of another type",
      () => scatterAdd(x, int([0]), zeros([1, 3], { dtype: "f64" }) as never),
      DTypeError,
      'scatterAdd: element types f32 and f64 differ; convert one: cast(x, "f32")',
    ],
    [
      "to add to integers",
      () => scatterAdd(int([0]) as never, int([0]), int([1]) as never),
      DTypeError,
      'scatterAdd: i32 stands where floats are wanted; convert it: cast(x, "f32")',
    ],
    [
      "a label too far",
      () => oneHot(int([3]), 3),
      DomainError,
      "oneHot: position 3 at [0] of the index is outside the axis of 3 entries; give positions from 0 to 2",
    ],
    [
      "no classes",
      () => oneHot(int([0]), 0),
      DomainError,
      "oneHot: there are 0 classes; give a number of classes from 1",
    ],
    [
      "marks of integers",
      () => oneHot(int([0]), 2, { dtype: "i32" as never }),
      DTypeError,
      'oneHot: "i32" is no float type; give "f32" or "f64"',
    ],
    [
      "the first 0",
      () => topK(x, 0),
      DomainError,
      "topK: k is 0; give an integer from 1 to 3, the entries along the axis",
    ],
    [
      "more than there are",
      () => topK(x, 3, { axis: 0 }),
      DomainError,
      "topK: k is 3; give an integer from 1 to 2, the entries along the axis",
    ],
    ["half an entry", () => topK(x, 1.5), DomainError, "topK: k is 1.5"],
    [
      "the order of a scalar",
      () => sort(tensor(1)),
      ShapeError,
      "sort: there is no axis -1 in 0 dimensions; a scalar has no axes",
    ],
    [
      "an unknown option",
      () => sort(x, { reverse: true } as never),
      ArgumentError,
      "sort: there is no option reverse; the options are axis, descending",
    ],
    [
      "a word for a truth",
      () => cumsum(x, { reverse: "yes" as never }),
      ArgumentError,
      'cumsum: reverse is "yes"; give true or false',
    ],
    [
      "running sums of truths",
      () => cumsum(tensor([true]) as never),
      DTypeError,
      'cumsum: bool has no running sum; count in integers: cast(x, "i32")',
    ],
  ];
  test.each(refusals)("%s", (_, compute, kind, message) => {
    expect(compute).toThrow(kind);
    expect(compute).toThrow(message);
  });
});
