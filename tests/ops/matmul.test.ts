import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../../core/create.ts";
import { ArgumentError, DTypeError, ShapeError } from "../../core/errors.ts";
import { memory, scope } from "../../core/scope.ts";
import { matmulShape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { matmul } from "../../ops/matmul.ts";
import { broadcastTo } from "../../ops/movement.ts";
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
