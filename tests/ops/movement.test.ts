import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../../core/create.ts";
import { ArgumentError, DTypeError, ShapeError } from "../../core/errors.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { mul } from "../../ops/elementwise.ts";
import {
  broadcastTo,
  concat,
  expandDims,
  flatten,
  flip,
  pad,
  repeat,
  reshape,
  slice,
  split,
  squeeze,
  stack,
  tile,
  transpose,
} from "../../ops/movement.ts";
import { sum } from "../../ops/reduce.ts";
import {
  at,
  build,
  devices,
  expectExamples,
  expectGradients,
  expectValues,
  layouts,
  random,
  seeds,
  shapes,
  upload,
} from "./reference.ts";

const all = [
  reshape,
  transpose,
  slice,
  broadcastTo,
  flip,
  expandDims,
  squeeze,
  flatten,
  concat,
  stack,
  split,
  pad,
  tile,
  repeat,
];

describe.each(devices)("on %s", (device) => {
  test.each(all.map((op) => [op.info.name, op] as const))("the examples of %s hold", (_, op) =>
    expectExamples(op, device),
  );

  test("concat lays parts end to end, whatever their order in memory", () => {
    fc.assert(
      fc.property(
        shapes(3, 3, 1),
        fc.nat(),
        fc.integer({ min: 0, max: 4 }),
        seeds,
        fc.constantFrom("f32", "i32", "bool"),
        (shape, a, extra, seed, dtype) => {
          const axis = a % shape.length;
          const values = (s: readonly number[], from: number) => {
            const { data } = random(s, from);
            return {
              shape: s,
              data: dtype === "f32" ? data : data.map((v) => (dtype === "i32" ? 2 * v : v > 0 ? 1 : 0)),
            };
          };
          const x = values(shape, seed);
          const y = values(shape.with(axis, extra), seed + 1);
          const wanted = build(shape.with(axis, shape[axis]! + extra), (p) =>
            p[axis]! < shape[axis]! ? at(x, p) : at(y, p.with(axis, p[axis]! - shape[axis]!)),
          );
          layouts(x, dtype as "f32", device).forEach((t, i) => {
            expectValues(concat([t, layouts(y, dtype as "f32", device)[i]!], axis), wanted);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test("split undoes concat", () => {
    fc.assert(
      fc.property(shapes(3, 4, 1), fc.nat(), seeds, (shape, a, seed) => {
        const axis = a % shape.length;
        const x = random(shape, seed);
        const first = seed % (shape[axis]! + 1);
        for (const t of layouts(x, "f32", device)) {
          const parts = split(t, [first, shape[axis]! - first], axis);
          expectValues(
            parts[0]!,
            build(shape.with(axis, first), (p) => at(x, p)),
          );
          expectValues(concat(parts, axis), x);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("pad surrounds a tensor by its value", () => {
    fc.assert(
      fc.property(shapes(3, 3), seeds, (shape, seed) => {
        const x = random(shape, seed);
        const widths = shape.map((_, i) => [(seed >> i) % 3, (seed >> (i + 2)) % 2] as const);
        const wanted = build(
          shape.map((size, i) => size + widths[i]![0] + widths[i]![1]),
          (p) => {
            const inside = p.map((i, axis) => i - widths[axis]![0]);
            return inside.every((i, axis) => i >= 0 && i < shape[axis]!) ? at(x, inside) : -3;
          },
        );
        for (const t of layouts(x, "f64", device)) expectValues(pad(t, widths, -3), wanted);
      }),
      { numRuns: 40 },
    );
  });

  test("tile repeats the whole, repeat each entry", () => {
    fc.assert(
      fc.property(shapes(3, 3, 1), seeds, (shape, seed) => {
        const x = random(shape, seed);
        const counts = shape.map((_, i) => (seed >> i) % 3);
        const axis = seed % shape.length;
        for (const t of layouts(x, "f32", device)) {
          const tiled = build(
            shape.map((size, i) => size * counts[i]!),
            (p) =>
              at(
                x,
                p.map((i, k) => i % shape[k]!),
              ),
          );
          expectValues(tile(t, counts), tiled);
          const repeated = build(shape.with(axis, shape[axis]! * 2), (p) =>
            at(x, p.with(axis, p[axis]! >> 1)),
          );
          expectValues(repeat(t, 2, axis), repeated);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("gradients of joining, parting, padding and repeating follow the entries", () => {
    const x = random([2, 3], 1);
    const y = random([2, 2], 2);
    expectGradients((a, b) => concat([a, b], 1), [x, y], device);
    expectGradients((a) => concat([a, a]), [x], device);
    expectGradients((a, b) => stack([a, b], -1), [y, random([2, 2], 3)], device);
    expectGradients(
      (a) =>
        mul(...(split(a, [1, 1], 0) as [Tensor<readonly number[], "f64">, Tensor<readonly number[], "f64">])),
      [x],
      device,
    );
    expectGradients(
      (a) =>
        pad(
          a,
          [
            [1, 0],
            [0, 2],
          ],
          2,
        ),
      [x],
      device,
    );
    expectGradients((a) => tile(a, [2, 1, 3]), [x], device);
    expectGradients((a) => repeat(a, 3, 1), [x], device);
    expectGradients((a) => squeeze(expandDims(a, 1)), [x], device);
    expectGradients((a) => flatten(a), [x], device);
    expectGradients((a) => transpose(flip(slice(a, null, [0, 2]), 1)), [x], device);
    expectGradients((a) => reshape(broadcastTo(a, [4, 2, 3]), [8, 3]), [x], device);
  });

  test("a part that nothing depends on has a zero gradient", () => {
    const x = upload(random([4], 5), "f64", device);
    expect(grad((t: typeof x) => sum(split(t, [1, 3])[1]!))(x).toArray()).toEqual([0, 1, 1, 1]);
  });

  test("empty parts join to nothing", () => {
    const empty = zeros([0, 2], { device });
    expect(concat([empty, zeros([1, 2], { device })]).shape).toEqual([1, 2]);
    expect(stack([empty, empty]).shape).toEqual([2, 0, 2]);
    expect(
      pad(
        empty,
        [
          [1, 0],
          [0, 0],
        ],
        4,
      ).toArray(),
    ).toEqual([[4, 4]]);
    expect(tile(empty, [3, 1]).shape).toEqual([0, 2]);
    expect(split(empty, [0, 0]).map((t) => t.shape)).toEqual([
      [0, 2],
      [0, 2],
    ]);
  });
});

describe("movement refuses", () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  const refusals: [string, () => unknown, new (...args: never[]) => Error, string][] = [
    [
      "nothing to join",
      () => concat([]),
      ArgumentError,
      "concat: the array of tensors is empty; give an array of at least one tensor",
    ],
    [
      "a tensor for a list",
      () => stack(x as never),
      ArgumentError,
      "stack: a Tensor is not an array of tensors; give an array of at least one tensor",
    ],
    [
      "a number in a list",
      () => concat([x, 1 as never]),
      ArgumentError,
      "concat: 1 is not a tensor; give a tensor",
    ],
    [
      "mixed element types",
      () => concat([x, tensor([[1]], { dtype: "f64" })] as never),
      DTypeError,
      'concat: element types f32 and f64 differ; convert one: cast(x, "f32")',
    ],
    [
      "sides that differ",
      () => concat([x, zeros([3, 3])]),
      ShapeError,
      "concat: shapes [2, 2] and [3, 3] differ in other axes than 0; give tensors that differ along the joined axis only",
    ],
    [
      "shapes to stack that differ",
      () => stack([x, zeros([2])]),
      ShapeError,
      "stack: shapes [2, 2] and [2] differ; give tensors of one shape, or join them with concat",
    ],
    [
      "an axis too far",
      () => concat([x], 2),
      ShapeError,
      "concat: there is no axis 2 in 2 dimensions; give an axis from -2 to 1",
    ],
    [
      "unequal parts",
      () => split(x, 3),
      ShapeError,
      "split: 2 entries do not make 3 equal parts; give a divisor, or the sizes of the parts as an array",
    ],
    [
      "parts that do not fill",
      () => split(x, [1, 2]),
      ShapeError,
      "split: parts [1, 2] add up to 3, not 2; give sizes that fill the axis",
    ],
    [
      "a negative border",
      () =>
        pad(x, [
          [-1, 0],
          [0, 0],
        ]),
      ShapeError,
      "pad: the size -1 is not a natural number; give sizes 0, 1, 2, …",
    ],
    [
      "a border for one axis",
      () => pad(x, [[1, 1]]),
      ArgumentError,
      "pad: an array of 1 does not say the border of the 2 axes of [2, 2]; give [before, after] for each axis",
    ],
    [
      "half a truth",
      () => pad(tensor([true]), [[1, 1]], 0.5),
      DTypeError,
      "pad: 0.5 is no element of type bool; give 0 or 1",
    ],
    [
      "to squeeze what is wide",
      () => squeeze(x, 0),
      ShapeError,
      "squeeze: axis 0 of [2, 2] has 2 entries; name axes of size 1",
    ],
    [
      "a place beyond the new axes",
      () => expandDims(x, 3),
      ShapeError,
      "expandDims: there is no axis 3 in 3 dimensions; give an axis from -3 to 2",
    ],
    [
      "fractions of a repetition",
      () => repeat(x, 1.5),
      ShapeError,
      "repeat: the size 1.5 is not a natural number; give sizes 0, 1, 2, …",
    ],
    [
      "something that is no tensor",
      () => flatten([1] as never),
      ArgumentError,
      "flatten: an array of 1 is not a tensor; give a tensor",
    ],
  ];
  test.each(refusals)("%s", (_, compute, kind, message) => {
    expect(compute).toThrow(kind);
    expect(compute).toThrow(message);
  });
});
