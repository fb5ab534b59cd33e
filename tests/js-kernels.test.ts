// The kernels of the plain-JavaScript device against their definitions: what every other device is compared with must be right.
import { expect, test } from "vitest";
import type { MatrixOperand, Storage } from "../core/backends/backend.ts";
import { createJsBackend } from "../core/backends/js/index.ts";
import * as kernels from "../core/backends/kernels.ts";
import { type DType, dtypes } from "../core/dtype.ts";
import { DeviceError } from "../core/errors.ts";

const backend = createJsBackend();

function put(dtype: DType, values: readonly number[]): Storage {
  const { array: Kind } = dtypes[dtype];
  const data = new Kind(values.length);
  data.set(values);
  const storage = backend.allocate(dtype, values.length);
  backend.write(storage, data);
  return storage;
}

const space = (dtype: DType, size: number): Storage => put(dtype, new Array<number>(size).fill(7));
const get = (storage: Storage, dtype: DType, size: number): number[] => [
  ...backend.readSync(storage, dtype, 0, size),
];

test("a product is the same from every layout of its factors, for each of a batch", () => {
  const [m, k, n] = [2, 3, 4];
  const a = [1, 2, 3, 4, 5, 6];
  const b = [1, 0, 2, 0, 0, 1, 0, 3, 1, 1, 1, 1];
  const expected = [4, 5, 5, 9, 10, 11, 14, 21];
  const transposed = (v: number[], rows: number, columns: number): number[] =>
    Array.from({ length: v.length }, (_, i) => v[(i % rows) * columns + Math.floor(i / rows)]!);
  const operand = (v: number[], rows: number, columns: number, turn: boolean): MatrixOperand => ({
    // One element in front, two matrices behind it: the second twice the first.
    storage: put("f64", [
      9,
      ...[v, v.map((x) => 2 * x)].flatMap((v) => (turn ? transposed(v, rows, columns) : v)),
    ]),
    offset: 1,
    stride: turn ? rows : columns,
    transposed: turn,
    batchOffsets: [0, v.length, 0],
  });
  for (const [turnA, turnB] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    const out = space("f64", 24);
    backend.run(kernels.matmul, "f64", operand(a, m, k, turnA), operand(b, k, n, turnB), out, m, k, n);
    expect(get(out, "f64", 24)).toEqual([...expected, ...expected.map((v) => 4 * v), ...expected]);
  }
});

test("gather and scatterAdd are transposes of one another", () => {
  const [outer, size, inner, count] = [2, 3, 2, 4];
  const x = Array.from({ length: outer * size * inner }, (_, i) => i + 1);
  const y = Array.from({ length: outer * count * inner }, (_, i) => (i * 5) % 7);
  for (const perOuter of [false, true]) {
    const index = perOuter ? y.map((v) => v % size) : [2, 0, 0, 1];
    const at = (o: number, i: number, r: number): number =>
      (o * size + index[perOuter ? (o * count + i) * inner + r : i]!) * inner + r;
    const gathered = space("f64", y.length);
    const scattered = space("f64", x.length);
    const indices = put("i32", index);
    backend.run(kernels.gather, "f64", put("f64", x), indices, gathered, outer, size, inner, count, perOuter);
    backend.run(
      kernels.scatterAdd,
      "f64",
      put("f64", y),
      indices,
      scattered,
      outer,
      size,
      inner,
      count,
      perOuter,
    );
    const expectedX = new Array<number>(x.length).fill(0);
    const expectedY = y.map((v, j) => {
      const [o, i, r] = [Math.floor(j / (count * inner)), Math.floor(j / inner) % count, j % inner];
      expectedX[at(o, i, r)]! += v;
      return x[at(o, i, r)]!;
    });
    expect(get(gathered, "f64", y.length)).toEqual(expectedY);
    expect(get(scattered, "f64", x.length)).toEqual(expectedX);
  }
});

test("sumMiddle folds the middle axis, and loses no small terms beside large ones", () => {
  const out = space("f64", 4);
  backend.run(
    kernels.sumMiddle,
    "f64",
    put("f64", [1, 2, 1e16, 4, -1e16, 6, 7, 8, 9, 10, 11, 12]),
    out,
    2,
    3,
    2,
  );
  expect(get(out, "f64", 4)).toEqual([1, 12, 27, 30]);
  const infinite = space("f64", 1);
  backend.run(kernels.sumMiddle, "f64", put("f64", [1, Number.POSITIVE_INFINITY, 2]), infinite, 1, 3, 1);
  expect(get(infinite, "f64", 1)).toEqual([Number.POSITIVE_INFINITY]);
  const many = backend.allocate("f32", 2 ** 24);
  backend.fill(many, "f32", 2 ** 24, 0.1);
  const sum = space("f32", 1);
  backend.run(kernels.sumMiddle, "f32", many, sum, 1, 2 ** 24, 1);
  expect(Math.abs(get(sum, "f32", 1)[0]! / (2 ** 24 * Math.fround(0.1)) - 1)).toBeLessThan(1e-6);
});

test("sort is stable in both directions, with NaN last", () => {
  const x = put("f64", [3, Number.NaN, 1, 3, -0, 0, 5, Number.NaN, 5, 5]);
  const [values, indices] = [space("f64", 10), space("i32", 10)];
  backend.run(kernels.sort, "f64", x, values, indices, 2, 5, false);
  expect(get(values, "f64", 10)).toEqual([-0, 1, 3, 3, Number.NaN, 0, 5, 5, 5, Number.NaN]);
  expect(get(indices, "i32", 10)).toEqual([4, 2, 0, 3, 1, 0, 1, 3, 4, 2]);
  backend.run(kernels.sort, "f64", x, values, indices, 2, 5, true);
  expect(get(values, "f64", 10)).toEqual([3, 3, 1, -0, Number.NaN, 5, 5, 5, 0, Number.NaN]);
  expect(get(indices, "i32", 10)).toEqual([0, 3, 2, 4, 1, 1, 3, 4, 0, 2]);
});

test("cumsum runs along rows, from either end", () => {
  const out = space("i32", 6);
  backend.run(kernels.cumsum, "i32", put("i32", [1, 2, 3, 4, 5, 6]), out, 2, 3, false);
  expect(get(out, "i32", 6)).toEqual([1, 3, 6, 4, 9, 15]);
  backend.run(kernels.cumsum, "i32", put("i32", [1, 2, 3, 4, 5, 6]), out, 2, 3, true);
  expect(get(out, "i32", 6)).toEqual([6, 5, 3, 15, 11, 6]);
});

test("random bits are the words of the stream", () => {
  const out = space("i32", 3);
  backend.run(kernels.random, "i32", [0, 0], out, 3);
  expect(get(out, "i32", 2)).toEqual([0x6b200159, 0x99ba4efe | 0]);
});

test("memory counts what lives, remembers its peak, and refuses what cannot be had", () => {
  const own = createJsBackend();
  const [a, b] = [own.allocate("bool", 100), own.allocate("bool", 50)];
  a.retain().release();
  expect(own.memory()).toEqual({ bytes: 150, pool: 0, peak: 150 });
  a.release();
  expect(own.memory()).toEqual({ bytes: 50, pool: 0, peak: 150 });
  b.release();
  expect(() => own.allocate("bool", 2 ** 53)).toThrow(DeviceError);
  expect(own.memory().bytes).toBe(0);
});
