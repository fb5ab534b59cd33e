// To and from the `ndarray` package, with any strides.
import ndarray from "ndarray";
import { expect, test } from "vitest";
import { range, tensor } from "../core/create.ts";
import { ArgumentError, DomainError, ShapeError } from "../core/errors.ts";

const grid = ndarray(new Float64Array([0, 1, 2, 3, 4, 5]), [2, 3]);

test("an ndarray becomes a tensor, with its element type", () => {
  const t = tensor(grid);
  expect([t.dtype, t.shape]).toEqual(["f64", [2, 3]]);
  expect(t.toArray()).toEqual([
    [0, 1, 2],
    [3, 4, 5],
  ]);
  expect(tensor(grid, { dtype: "f32" }).dtype).toBe("f32");
  expect(tensor(ndarray([1, 2])).dtype).toBe("f32");
  expect(tensor(ndarray(new Int32Array([1]))).dtype).toBe("i32");
  expect(tensor(ndarray(new Uint8Array([200])), { dtype: "i32" }).toArray()).toEqual([200]);
});

test("strides, steps and offsets are honoured", () => {
  expect(tensor(grid.transpose(1, 0)).toArray()).toEqual([
    [0, 3],
    [1, 4],
    [2, 5],
  ]);
  expect(tensor(grid.step(1, -1)).toArray()).toEqual([
    [2, 1, 0],
    [5, 4, 3],
  ]);
  expect(tensor(grid.pick(1, null)).toArray()).toEqual([3, 4, 5]);
  expect(tensor(grid.lo(0, 1).hi(2, 1)).toArray()).toEqual([[1], [4]]);
  expect(tensor(ndarray(new Float32Array([7]), [])).toArray()).toBe(7);
});

test("a tensor becomes an ndarray of its own", () => {
  const t = range(6, { dtype: "f64" }).reshape([2, 3]).transpose();
  const copy = t.toNdarray();
  expect([copy.shape, copy.dtype]).toEqual([[3, 2], "float64"]);
  expect(copy.get(2, 1)).toBe(5);
  copy.set(2, 1, 0);
  expect(t.toArray()[2]).toEqual([2, 5]);
  expect(tensor(copy).slice(2).toArray()).toEqual([2, 0]);
  expect(tensor([[true]]).toNdarray().dtype).toBe("uint8");
});

test("what only looks like an ndarray is refused", () => {
  const like = { data: [1, 2], shape: [2], stride: [1], offset: 0 };
  expect(tensor(like).toArray()).toEqual([1, 2]);
  expect(() => tensor({ ...like, shape: [3] })).toThrow(ArgumentError);
  expect(() => tensor({ ...like, shape: [-1] })).toThrow(ShapeError);
  expect(() => tensor({ ...like, data: ["a", "b"] as never })).toThrow(/entry 0 is "a"/);
  expect(() => tensor({ ...like, stride: [1, 1] })).toThrow(ArgumentError);
  expect(() => tensor(ndarray(new Uint8Array([3])))).toThrow(DomainError);
});
