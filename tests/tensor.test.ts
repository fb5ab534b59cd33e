// Making, reading and viewing tensors, on both CPU devices; and what each refuses.
import { afterAll, describe, expect, expectTypeOf, test } from "vitest";
import {
  eye,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  range,
  tensor,
  zeros,
  zerosLike,
} from "../core/create.ts";
import { currentBackend, useDevice } from "../core/device.ts";
import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  LifetimeError,
  ShapeError,
} from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { memory, scope } from "../core/scope.ts";
import { contiguous, isContiguous, type Tensor } from "../core/tensor.ts";
import { broadcastTo, flip, padWindow, slice, sumTo } from "../core/views.ts";
import { cast } from "../ops/elementwise.ts";

/** Asserts the error class and the sentence, and that the failing call leaves nothing behind. */
function refuses(fn: () => unknown, kind: new (...args: never[]) => Error, sentence: RegExp): void {
  const before = memory();
  expect(fn).toThrow(kind);
  expect(fn).toThrow(sentence);
  const after = memory();
  expect([after.tensors, after.bytes]).toEqual([before.tensors, before.bytes]);
}

const initial = currentBackend().name;
afterAll(() => useDevice(initial));

for (const device of ["js", "wasm"] as const) {
  describe(`on ${device}`, () => {
    test("new tensors live on the device in use", async () => {
      await useDevice(device);
      expect(zeros([2]).device).toBe(currentBackend().name);
    });

    test("nested arrays come back as they went in", () => {
      const data = [
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
        [
          [7, 8, 9],
          [10, 11, 12],
        ],
      ];
      for (const dtype of ["f32", "f64", "i32"] as const) {
        const t = tensor(data, { dtype });
        expect(t.shape).toEqual([2, 2, 3]);
        expect(t.dtype).toBe(dtype);
        expect(t.toArray()).toEqual(data);
      }
      expect(tensor([[true], [false]]).toArray()).toEqual([[true], [false]]);
      expect(tensor(2.5).toArray()).toBe(2.5);
    });

    test("data and dataSync give typed arrays that are the caller's own", async () => {
      const t = tensor([1, 2, 3], { dtype: "f64" });
      const first = await t.data();
      first[0] = 9;
      t.dataSync()[1] = 9;
      expect(first).toBeInstanceOf(Float64Array);
      expect([...t.dataSync()]).toEqual([1, 2, 3]);
      expect(tensor([true, false]).dataSync()).toEqual(new Uint8Array([1, 0]));
      expect(
        (
          await tensor([[1, 2]])
            .transpose()
            .data()
        ).length,
      ).toBe(2);
    });

    test("an upload does not see later changes of its source", () => {
      const source = new Float32Array([1, 2]);
      const t = tensor(source);
      source[0] = 7;
      expect(t.toArray()).toEqual([1, 2]);
    });

    test("filled tensors hold their number in every element type", () => {
      expect(zeros([2, 2]).toArray()).toEqual([
        [0, 0],
        [0, 0],
      ]);
      expect(ones([2], { dtype: "bool" }).toArray()).toEqual([true, true]);
      expect(full([2], -3, { dtype: "i32" }).toArray()).toEqual([-3, -3]);
      expect(full([1], 0.1, { dtype: "f64" }).toArray()).toEqual([0.1]);
      expect(full([2], true).dtype).toBe("bool");
      const like = full([2, 1], 5, { dtype: "f64" });
      expect([zerosLike(like), onesLike(like), fullLike(like, 2)].map((t) => t.toArray())).toEqual([
        [[0], [0]],
        [[1], [1]],
        [[2], [2]],
      ]);
      expect(eye(2).toArray()).toEqual([
        [1, 0],
        [0, 1],
      ]);
    });

    test("ranges exclude their end and linspace includes it", () => {
      expect(range(3).toArray()).toEqual([0, 1, 2]);
      expect(range(1, 0, { step: -0.25 }).toArray()).toEqual([1, 0.75, 0.5, 0.25]);
      expect(range(2, 5, { dtype: "i32" }).toArray()).toEqual([2, 3, 4]);
      expect(range(5, 2).toArray()).toEqual([]);
      expect(linspace(0, 0.3, 4, { dtype: "f64" }).toArray().at(-1)).toBe(0.3);
      expect(linspace(1, 9, 1).toArray()).toEqual([1]);
      expect(linspace(1, 9, 0).toArray()).toEqual([]);
    });

    test("typed arrays keep their element type and take a shape", () => {
      expect(tensor(new Float64Array(6), { shape: [2, 3] }).shape).toEqual([2, 3]);
      expect(tensor(new Int32Array([1])).dtype).toBe("i32");
      expect(tensor(new Uint8ClampedArray([255, 3]), { dtype: "f32" }).toArray()).toEqual([255, 3]);
      expect(tensor([new Float32Array([1, 2]), [3, 4]]).toArray()).toEqual([
        [1, 2],
        [3, 4],
      ]);
    });

    test("tensors may be empty", () => {
      const t = zeros([0, 3]);
      expect(t.size).toBe(0);
      expect(t.toArray()).toEqual([]);
      expect(t.transpose().shape).toEqual([3, 0]);
      expect(t.slice(null, 1).toArray()).toEqual([]);
      expect(sumTo(t, [1, 3]).toArray()).toEqual([[0, 0, 0]]);
      expect(tensor([[], []]).shape).toEqual([2, 0]);
      expect(padWindow(t, [2, 3], [1, 0]).toArray()).toEqual([
        [0, 0, 0],
        [0, 0, 0],
      ]);
    });

    const grid = (): Tensor<[3, 4], "i32"> => range(12, { dtype: "i32" }).reshape([3, 4]);

    test("views show the right entries without copying", () => {
      const t = grid();
      const bytes = memory().bytes;
      const views: [Tensor, unknown][] = [
        [
          t.reshape([2, -1]),
          [
            [0, 1, 2, 3, 4, 5],
            [6, 7, 8, 9, 10, 11],
          ],
        ],
        [
          t.transpose(),
          [
            [0, 4, 8],
            [1, 5, 9],
            [2, 6, 10],
            [3, 7, 11],
          ],
        ],
        [t.slice(1), [4, 5, 6, 7]],
        [t.slice(-1, [1, 3]), [9, 10]],
        [
          t.slice([0, 3, 2], [1]),
          [
            [1, 2, 3],
            [9, 10, 11],
          ],
        ],
        [
          slice(t, null, [-2, 4]),
          [
            [2, 3],
            [6, 7],
            [10, 11],
          ],
        ],
        [
          flip(t, 0),
          [
            [8, 9, 10, 11],
            [4, 5, 6, 7],
            [0, 1, 2, 3],
          ],
        ],
        [flip(t).slice(0), [11, 10, 9, 8]],
        [broadcastTo(t.slice(0), [2, 4]).slice(null, 1), [1, 1]],
        [
          flip(t, 1).transpose([1, 0]).slice([0, 4, 3]).slice(null, [1, 3]),
          [
            [7, 11],
            [4, 8],
          ],
        ],
      ];
      expect(memory().bytes).toBe(bytes);
      for (const [view, entries] of views) expect(view.toArray()).toEqual(entries);
    });

    test("a reshape of a strided view copies, and the copy has the view's order", () => {
      const t = grid().transpose();
      expect(isContiguous(t)).toBe(false);
      expect(t.reshape([12]).toArray()).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
      expect(isContiguous(contiguous(t))).toBe(true);
      expect(contiguous(grid().slice(2)).offset).toBe(0);
    });

    test("sumTo is the transpose of broadcastTo", () => {
      const t = range(24, { dtype: "f64" }).reshape([2, 3, 4]);
      expect(sumTo(t, [3, 1]).toArray()).toEqual([[60], [92], [124]]);
      expect(sumTo(t, [2, 1, 1]).toArray()).toEqual([[[66]], [[210]]]);
      expect(sumTo(t, [4]).toArray()).toEqual([60, 66, 72, 78]);
      expect(sumTo(t, []).item()).toBe(276);
      expect(sumTo(t.transpose([2, 1, 0]), [1, 3, 1]).toArray()).toEqual([[[60], [92], [124]]]);
    });

    test("casts cut towards zero and stay in range", () => {
      const x = tensor([1.7, -1.7, 0, 3e9, -3e9, Number.NaN], { dtype: "f64" });
      expect(cast(x, "i32").toArray()).toEqual([1, -1, 0, 2 ** 31 - 1, -(2 ** 31), 0]);
      expect(cast(x, "bool").toArray()).toEqual([true, true, false, true, true, true]);
      expect(cast(flip(tensor([true, false])), "f32").toArray()).toEqual([0, 1]);
    });

    test("padWindow writes into zeros", () => {
      expect(padWindow(tensor([1, 2]), [5], [1], [2]).toArray()).toEqual([0, 1, 0, 2, 0]);
      expect(padWindow(tensor([[1, 2]]).transpose(), [2, 2], [0, 1]).toArray()).toEqual([
        [0, 1],
        [0, 2],
      ]);
    });
  });
}

test("types follow what is written", () => {
  expectTypeOf(
    tensor([
      [1, 2],
      [3, 4],
    ]),
  ).toEqualTypeOf<Tensor<[2, 2], "f32">>();
  expectTypeOf(tensor([true, false])).toEqualTypeOf<Tensor<[2], "bool">>();
  expectTypeOf(tensor(3)).toEqualTypeOf<Tensor<[], "f32">>();
  expectTypeOf(tensor([[1]] as number[][], { dtype: "f64" })).toEqualTypeOf<
    Tensor<[number, number], "f64">
  >();
  expectTypeOf(tensor(new Float64Array(6), { shape: [2, 3] })).toEqualTypeOf<Tensor<[2, 3], "f64">>();
  expectTypeOf(zeros([2, 3], { dtype: "i32" })).toEqualTypeOf<Tensor<[2, 3], "i32">>();
  expectTypeOf(eye(3)).toEqualTypeOf<Tensor<[3, 3], "f32">>();
  const t = zeros([2, 3]);
  expectTypeOf(t.reshape([-1, 2])).toEqualTypeOf<Tensor<[number, 2], "f32">>();
  expectTypeOf(t.transpose()).toEqualTypeOf<Tensor<[3, 2], "f32">>();
  expectTypeOf(t.expect(["batch", 3])).toEqualTypeOf<Tensor<["batch", 3], "f32">>();
  expectTypeOf(t.toArray()).toEqualTypeOf<number[][]>();
  expectTypeOf(t.dataSync()).toEqualTypeOf<Float32Array>();
  expectTypeOf(t).toMatchTypeOf<Tensor>();
  expectTypeOf(t).not.toMatchTypeOf<Tensor<[3, 2]>>();
  expectTypeOf(t).not.toMatchTypeOf<Tensor<[2, 3], "f64">>();
});

test("item reads the one element", () => {
  expect(tensor([[3]]).item()).toBe(3);
  expect(tensor(true).item()).toBe(true);
});

test("expect types a tensor after checking it", () => {
  const t = zeros([4, 3]);
  expect(t.expect(["batch", 3])).toBe(t);
  expect(() => zeros([4, 3]).expect(["n", "n"])).toThrow(/has shape \[4, 3\], not \[n, n\]/);
  refuses(() => t.expect([4]), ShapeError, /expect: .*; reshape it/);
  refuses(() => t.expect(3 as never), ArgumentError, /3 is not a shape/);
});

test("ragged and foreign data are refused where they stand", () => {
  refuses(() => tensor([[1, 2], [3]]), ShapeError, /ragged: 1 entries at \[1\] where others have 2/);
  refuses(() => tensor([[1], 2]), ShapeError, /ragged: a number at \[1\] where arrays of 1 are/);
  refuses(() => tensor([1, [2]]), ShapeError, /ragged: an array at \[1\] where numbers are/);
  refuses(() => tensor([[], [1]]), ShapeError, /ragged/);
  refuses(() => tensor([1, true]), DTypeError, /numbers and booleans are mixed at \[1\]/);
  refuses(() => tensor([[1, "2"]] as never), ArgumentError, /"2" at \[0, 1\] is no number/);
  for (const junk of ["1", null, undefined, {}, () => 1, Symbol("x"), 3n, [null], [undefined], new Map()]) {
    refuses(() => tensor(junk as never), ArgumentError, /^tensor: .*; /);
  }
  const made = zeros([2]);
  refuses(() => tensor(made as never), ArgumentError, /a tensor already/);
});

test("numbers that the element type does not hold are refused", () => {
  refuses(() => tensor([1, 1.5], { dtype: "i32" }), DomainError, /entry 1 is 1.5, which i32 does not hold/);
  refuses(() => tensor([2 ** 31], { dtype: "i32" }), DomainError, /2147483648/);
  refuses(() => tensor([0, 2], { dtype: "bool" }), DomainError, /entry 1 is 2/);
  refuses(() => tensor(new Uint8Array([7])), DomainError, /give 0 and 1, or/);
  refuses(() => full([2], 0.5, { dtype: "i32" }), DomainError, /0.5/);
  refuses(() => full([2], 2, { dtype: "bool" }), DomainError, /true or false/);
  refuses(() => full([2], "1" as never), ArgumentError, /"1" is no number/);
  refuses(
    () => tensor(new BigInt64Array(2) as never, { dtype: "f32" }),
    ArgumentError,
    /entry 0 is bigint 0/,
  );
  refuses(() => tensor(new Int16Array(2)), DTypeError, /Int16Array/);
});

test("options, shapes and ranges are checked", () => {
  refuses(() => zeros([2, -1]), ShapeError, /the size -1 is not a natural number/);
  refuses(() => zeros([1.5]), ShapeError, /1.5/);
  refuses(() => zeros(3 as never), ArgumentError, /3 is not a shape/);
  refuses(() => zeros([2], { dtype: "f16" as never }), DTypeError, /"f16" is no element type/);
  refuses(() => zeros([2], "f64" as never), ArgumentError, /options/);
  refuses(() => zeros([2], { dytpe: "f64" } as never), ArgumentError, /there is no option dytpe/);
  refuses(() => zeros([2], { device: "tpu" as never }), DeviceError, /"tpu" is no device/);
  refuses(() => tensor([1, 2, 3], { shape: [2, 2] }), ShapeError, /3 numbers do not fill the shape \[2, 2\]/);
  refuses(() => range(0, 1, { step: 0 }), DomainError, /never arrives/);
  refuses(() => range(Number.NaN), ArgumentError, /NaN/);
  refuses(() => linspace(0, Number.POSITIVE_INFINITY, 3), ArgumentError, /Infinity/);
  refuses(() => linspace(0, 1, -1), ShapeError, /-1/);
  refuses(() => eye(-1), ShapeError, /-1/);
});

test("views refuse what does not fit", () => {
  const t = zeros([3, 4]);
  const vector = zeros([3]);
  const integers = ones([2], { dtype: "i32" });
  const parameter = new Parameter(zeros([2]));
  refuses(() => t.reshape([5]), ShapeError, /12 elements of shape \[3, 4\] do not fill \[5\]/);
  refuses(() => t.reshape([-1, -1]), ShapeError, /-1/);
  refuses(() => t.reshape([-1, 5]), ShapeError, /do not fill/);
  refuses(() => t.reshape("12" as never), ArgumentError, /not a shape/);
  refuses(() => t.transpose([0, 0]), ShapeError, /not an order of the 2 axes/);
  refuses(() => vector.transpose(), ShapeError, /no two to exchange/);
  refuses(() => t.slice(3), ShapeError, /position 3 at axis 0 of 3 entries/);
  refuses(() => t.slice([0, 4]), ShapeError, /position 4/);
  refuses(() => t.slice([2, 1]), ShapeError, /a start 2 after the end 1/);
  refuses(() => t.slice([0, 2, 0]), ShapeError, /step 0/);
  refuses(() => t.slice(0.5), ArgumentError, /0.5 is not a position/);
  refuses(() => t.slice("a" as never), ArgumentError, /"a" is not a range/);
  refuses(() => t.slice(0, 0, 0), ShapeError, /3 ranges for the shape \[3, 4\]/);
  refuses(() => flip(t, 2), ShapeError, /there is no axis 2/);
  refuses(() => broadcastTo(t, [4, 4]), ShapeError, /do(es)? not/);
  refuses(() => broadcastTo(t, [4]), ShapeError, /does not stretch to \[4\]/);
  refuses(() => sumTo(t, [2, 4]), ShapeError, /do(es)? not|is no broadcast/);
  refuses(() => sumTo(integers, []), DTypeError, /the sum of i32/);
  refuses(() => padWindow(t, [3, 4], [1, 0]), ShapeError, /does not lie within \[3, 4\]/);
  refuses(() => broadcastTo(3 as never, [3]), ArgumentError, /3 is not a tensor/);
  refuses(() => flip(parameter as never), ArgumentError, /give its value: p.value/);
});

test("item refuses anything but one element", () => {
  const [two, none] = [zeros([2]), zeros([0])];
  refuses(() => two.item(), ShapeError, /shape \[2\] has 2 elements, not one/);
  refuses(() => none.item(), ShapeError, /0 elements/);
});

test("use after the scope names op, shape and way out", () => {
  let lost: Tensor | undefined;
  scope(() => {
    lost = ones([100]);
  });
  expect(() => lost!.dataSync()).toThrow(LifetimeError);
  expect(() => lost!.reshape([10, 10])).toThrow(
    /^ones: its result of shape \[100\] is used after .*; return it from the scope, or keep\(\) it/,
  );
});

test("parameters keep shape and element type", () => {
  const p = new Parameter(zeros([2, 3]), { name: "weight" });
  p.value = ones([2, 3]);
  expect(p.value.toArray()).toEqual([
    [1, 1, 1],
    [1, 1, 1],
  ]);
  expect([p.shape, p.dtype, p.size, p.trainable]).toEqual([[2, 3], "f32", 6, true]);
  expect(() => {
    p.value = ones([3, 2]) as never;
  }).toThrow(/weight: a value of shape \[3, 2\] for a parameter of shape \[2, 3\]/);
  expect(() => {
    p.value = ones([2, 3], { dtype: "f64" }) as never;
  }).toThrow(DTypeError);
  expect(() => new Parameter(3 as never)).toThrow(ArgumentError);
  expect(() => new Parameter(zeros([1]), { trainable: 1 as never })).toThrow(ArgumentError);
  expect(() => new Parameter(zeros([1]), { name: 1 as never })).toThrow(ArgumentError);
});
