import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../../core/create.ts";
import { ArgumentError, DTypeError, ShapeError } from "../../core/errors.ts";
import { memory, scope } from "../../core/scope.ts";
import { matmulShape, sizeOf } from "../../core/shape.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { linear, matmul } from "../../ops/matmul.ts";
import { broadcastTo } from "../../ops/movement.ts";
import { sum } from "../../ops/reduce.ts";
import {
  at,
  build,
  devices,
  expectExamples,
  expectGradients,
  expectValues,
  layouts,
  type Nd,
  random,
  seeds,
  upload,
} from "./reference.ts";

/** The product by its definition, one sum for each entry. */
function product(a: Nd, b: Nd): Nd {
  const shape = matmulShape("matmul", a.shape, b.shape);
  const [vectorA, vectorB] = [a.shape.length === 1, b.shape.length === 1];
  const inner = a.shape.at(-1)!;
  return build(shape, (p) => {
    const batch = p.slice(0, p.length - (vectorA ? 0 : 1) - (vectorB ? 0 : 1));
    const row = vectorA ? [] : [p[batch.length]!];
    const column = vectorB ? [] : [p.at(-1)!];
    const within = (x: Nd, last: number[]): number[] => {
      const axes = x.shape.length - last.length;
      const own = axes === 0 ? [] : batch.slice(-axes);
      return [...own.map((i, k) => (x.shape[k] === 1 ? 0 : i)), ...last];
    };
    let sum = 0;
    for (let l = 0; l < inner; l++) sum += at(a, within(a, [...row, l])) * at(b, within(b, [l, ...column]));
    return sum;
  });
}

const size = fc.integer({ min: 1, max: 9 });
/** Pairs of batch axes that broadcast. */
const batches = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom("both", "left", "right")), { maxLength: 2 })
  .chain((axes) =>
    fc.record({
      left: fc.constant(axes.map(([n, who]) => (who === "right" ? 1 : n))),
      right: fc.constant(axes.map(([n, who]) => (who === "left" ? 1 : n))),
      drop: fc.nat({ max: axes.length }),
    }),
  );

describe.each(devices)("on %s", (device) => {
  test("the examples of matmul hold", () => expectExamples(matmul, device));

  test("a product is the sum over the inner axis, for batches, transposed and strided operands", () => {
    fc.assert(
      fc.property(
        size,
        size,
        size,
        batches,
        seeds,
        fc.constantFrom("f32", "f64"),
        (m, k, n, { left, right, drop }, seed, dtype) => {
          const a = random([...left, m, k], seed);
          const b = random([...right.slice(drop), k, n], seed + 1);
          const wanted = product(a, b);
          for (const x of layouts(a, dtype, device)) {
            for (const y of layouts(b, dtype, device)) expectValues(matmul(x, y as never), wanted);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("a vector is a row on the left and a column on the right", () => {
    fc.assert(
      fc.property(
        size,
        size,
        fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 1 }),
        seeds,
        (k, n, batch, seed) => {
          const v = random([k], seed);
          for (const [a, b] of [
            [v, random([k], seed + 1)],
            [v, random([...batch, k, n], seed + 1)],
            [random([...batch, n, k], seed + 1), v],
          ] as const) {
            layouts(a, "f64", device).forEach((x, i) => {
              expectValues(matmul(x, layouts(b, "f64", device)[i]! as never), product(a, b));
            });
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test("a row that a view repeats counts as often as it is repeated", () => {
    const row = upload(random([1, 3], 1), "f64", device);
    const b = random([3, 2], 2);
    const wanted = product({ shape: [4, 3], data: [0, 1, 2, 3].flatMap(() => random([1, 3], 1).data) }, b);
    expectValues(matmul(broadcastTo(row, [4, 3]), upload(b, "f64", device) as never), wanted);
  });

  test("an inner size of 0 gives zeros, and no rows give no rows", () => {
    expect(matmul(zeros([2, 0], { device }), zeros([0, 3], { device })).toArray()).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(matmul(zeros([0, 2], { device }), zeros([2, 3], { device })).shape).toEqual([0, 3]);
    expect(matmul(zeros([0], { device }), zeros([0], { device })).item()).toBe(0);
  });

  test("first and second derivatives agree with differences", () => {
    const shapes = [
      [
        [2, 3],
        [3, 2],
      ],
      [[3], [3]],
      [[3], [3, 2]],
      [[2, 3], [3]],
      [
        [2, 2, 3],
        [3, 2],
      ],
      [
        [2, 2, 3],
        [2, 3, 1],
      ],
      [
        [2, 3],
        [2, 3, 2],
      ],
      [
        [2, 1, 1, 2],
        [3, 2, 2],
      ],
    ] as const;
    for (const [a, b] of shapes)
      expectGradients(
        (x, y) => matmul(x as Tensor<readonly number[], "f64">, y as never),
        [random(a, 3), random(b, 4)],
        device,
      );
  });

  test("transposed operands cost no memory", () => {
    const a = upload(random([64, 64], 1), "f32", device);
    const b = upload(random([64, 64], 2), "f32", device);
    scope(() => {
      const before = memory();
      matmul(a.transpose() as typeof a, b.transpose() as never);
      expect(memory().bytes - before.bytes).toBe(64 * 64 * 4);
    });
  });
});

/** x·Wᵀ + b by its definition. */
function affine(x: Nd, weight: Nd, bias?: Nd): Nd {
  const [out, features] = weight.shape as [number, number];
  return build([...x.shape.slice(0, -1), out], (p) => {
    let sum = bias ? at(bias, p.slice(-1)) : 0;
    for (let l = 0; l < features; l++) sum += at(x, [...p.slice(0, -1), l]) * at(weight, [p.at(-1)!, l]);
    return sum;
  });
}

describe.each(devices)("linear on %s", (device) => {
  test("its examples hold", () => expectExamples(linear, device));

  test("is x·Wᵀ + b for rows, batches of rows, transposed and strided operands", () => {
    fc.assert(
      fc.property(
        fc.array(size, { maxLength: 2 }),
        size,
        size,
        fc.boolean(),
        seeds,
        fc.constantFrom("f32", "f64"),
        (lead, k, n, biased, seed, dtype) => {
          const [x, weight] = [random([...lead, k], seed), random([n, k], seed + 1)];
          const bias = biased ? random([n], seed + 2) : undefined;
          const wanted = affine(x, weight, bias);
          for (const a of layouts(x, dtype, device))
            for (const w of layouts(weight, dtype, device))
              for (const b of bias ? layouts(bias, dtype, device) : [undefined])
                expectValues(linear(a, w as never, b as never), wanted);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("the bias is added once, however many blocks and tiles a product has", () => {
    for (const [m, k, n] of [
      [5, 600, 13],
      [70, 300, 9],
      [3, 2, 530],
      [1, 257, 1],
    ] as const) {
      for (const dtype of ["f32", "f64"] as const) {
        const ones = (shape: number[]): Tensor =>
          tensor(new Float64Array(sizeOf(shape)).fill(1), { shape, dtype, device });
        const bias = random([n], m);
        const y = linear(ones([m, k]) as never, ones([n, k]) as never, upload(bias, dtype, device) as never);
        expectValues(
          y,
          build([m, n], (p) => k + at(bias, p.slice(1))),
        );
      }
    }
  });

  test("without features it gives the bias, without bias zeros; without rows nothing", () => {
    const bias = upload({ shape: [2], data: [1, 2] }, "f32", device) as Tensor<[2], "f32">;
    expect(linear(zeros([3, 0], { device }), zeros([2, 0], { device }), bias).toArray()).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    expect(linear(zeros([0], { device }), zeros([2, 0], { device })).toArray()).toEqual([0, 0]);
    expect(linear(zeros([0, 4], { device }), zeros([2, 4], { device }), bias).shape).toEqual([0, 2]);
  });

  test("first and second derivatives agree with differences", () => {
    for (const lead of [[], [3], [2, 2]])
      for (const biased of [true, false])
        expectGradients(
          (x, w, b) => linear(x as Tensor<readonly number[], "f64">, w as never, b as never),
          [random([...lead, 3], 5), random([2, 3], 6), ...(biased ? [random([2], 7)] : [])],
          device,
        );
  });

  test("the gradients come in row-major order", () => {
    const arrays = [random([5, 3], 1), random([2, 3], 2), random([2], 3)];
    const [x, w, b] = arrays.map((a) => upload(a, "f64", device)) as [Tensor, Tensor, Tensor];
    const f = (x: Tensor, w: Tensor, b: Tensor): Tensor => sum(linear(x as never, w as never, b as never));
    for (const argnums of [0, 1, 2] as const) {
      const g = grad(f as never, { argnums })(x, w, b) as unknown as Tensor;
      expect(g.strides).toEqual([x, w, b][argnums]!.strides);
    }
  });

  test("it makes its result and nothing else", () => {
    const x = upload(random([4, 8, 16], 1), "f32", device);
    const w = upload(random([32, 16], 2), "f32", device);
    const b = upload(random([32], 3), "f32", device);
    scope(() => {
      const before = memory();
      linear(x, w as never, b as never);
      expect(memory().bytes - before.bytes).toBe(4 * 8 * 32 * 4);
      expect(memory().tensors - before.tensors).toBe(1);
    });
  });
});

describe("linear refuses", () => {
  const x = zeros([4, 3]);
  const w = zeros([2, 3]);
  const refusals: [string, () => unknown, new (...args: never[]) => Error, string][] = [
    [
      "rows of another number of features",
      () => linear(x, zeros([2, 5]) as never),
      ShapeError,
      "linear: rows of 3 features in x of shape [4, 3], where weight [2, 5] takes 5; give [..., 5], and weight as [Out, In]",
    ],
    [
      "scalars",
      () => linear(tensor(1), w as never),
      ShapeError,
      "linear: rows of no features in x of shape [], where weight [2, 3] takes 3; give [..., 3], and weight as [Out, In]",
    ],
    [
      "a weight that is no matrix",
      () => linear(x, zeros([3]) as never),
      ShapeError,
      "linear: weight of shape [3] is no matrix; give [Out, In]",
    ],
    [
      "a bias of another size",
      () => linear(x, w, zeros([3]) as never),
      ShapeError,
      "linear: bias of shape [3] beside weight [2, 3]; give [2]",
    ],
    [
      "integers",
      () => linear(zeros([4, 3], { dtype: "i32" }) as never, w as never),
      DTypeError,
      'linear: i32 stands where floats are wanted; convert it: cast(x, "f32")',
    ],
    [
      "mixed element types",
      () => linear(x, w, zeros([2], { dtype: "f64" }) as never),
      DTypeError,
      'linear: element types f32 and f64 differ; convert one: cast(x, "f32")',
    ],
    [
      "arrays",
      () => linear(x, w, [1, 2] as never),
      ArgumentError,
      "linear: an array of 2 is not a tensor; give a tensor",
    ],
  ];
  test.each(refusals)("%s", (_, compute, kind, message) => {
    expect(compute).toThrow(kind);
    expect(compute).toThrow(message);
  });
});

describe("matmul refuses", () => {
  const a = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const refusals: [string, () => unknown, new (...args: never[]) => Error, string][] = [
    [
      "inner sizes that differ",
      () => matmul(a, zeros([5, 4]) as never),
      ShapeError,
      "matmul: shapes [2, 3] · [5, 4] differ in the inner size (3 ≠ 5); transpose one side?",
    ],
    [
      "batches that do not broadcast",
      () => matmul(zeros([2, 1, 3]), zeros([3, 3, 1]) as never),
      ShapeError,
      "matmul: shapes [2] and [3] do not broadcast (2 and 3 at axis -1); sizes must be equal, or 1 on one side; reshape one of them?",
    ],
    [
      "scalars",
      () => matmul(a, tensor(2) as never),
      ShapeError,
      "matmul: shapes [2, 3] · []: a scalar has no rows or columns; use mul to scale",
    ],
    [
      "integers",
      () => matmul(zeros([1, 1], { dtype: "i32" }) as never, a as never),
      DTypeError,
      'matmul: i32 stands where floats are wanted; convert it: cast(x, "f32")',
    ],
    [
      "mixed element types",
      () => matmul(a, zeros([3, 1], { dtype: "f64" }) as never),
      DTypeError,
      'matmul: element types f32 and f64 differ; convert one: cast(x, "f32")',
    ],
    [
      "arrays",
      () => matmul(a, [[1]] as never),
      ArgumentError,
      "matmul: an array of 1 is not a tensor; give a tensor",
    ],
  ];
  test.each(refusals)("%s", (_, compute, kind, message) => {
    expect(compute).toThrow(kind);
    expect(compute).toThrow(message);
  });
});
