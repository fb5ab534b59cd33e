// Layers between products: embeddings, normalisation over features and over the batch, flattening, residuals. Names, first values,
// what they compute, what they refuse, and what the compiler knows of them. Convolution and pooling have a file of their own.

import fc from "fast-check";
import { afterEach, describe, expect, expectTypeOf, test } from "vitest";
import { gradcheck, gradgradcheck } from "../core/check/index.ts";
import { ones, tensor, zeros } from "../core/create.ts";
import { useDevice } from "../core/device.ts";
import { dtypes } from "../core/dtype.ts";
import type { Parameter } from "../core/parameter.ts";
import { normal, randomInt } from "../core/random.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { memory, openScope, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { lossAndGradients, valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import {
  BatchNorm1d,
  Conv2d,
  Dropout,
  Embedding,
  Flatten,
  LayerNorm,
  Linear,
  type Module,
  Residual,
  RMSNorm,
  Sequential,
} from "../nn/index.ts";
import { relu, square, tanh } from "../ops/elementwise.ts";
import { sum } from "../ops/reduce.ts";
import { Adam, SGD } from "../optim/index.ts";
import { withTensors } from "./golden/adapter.ts";
import { firstDifference, numbersOf, settings } from "./suite/samples.ts";

type Floats = Tensor<Shape, "f64">;
const draw = <const S extends readonly number[]>(shape: S, seed: number) =>
  normal(shape, { seed, dtype: "f64" });
const ids = (...rows: number[]): Tensor<[number], "i32"> => tensor(Int32Array.from(rows)) as never;
const names = (module: Module): unknown[] => module.namedParameters().map(([name, p]) => [name, p.shape]);

/** The layer as a function of its parameters too. */
const open =
  (make: () => Module, ...paths: string[]) =>
  (x: Tensor, ...given: Tensor[]): Tensor =>
    withTensors(make(), Object.fromEntries(paths.map((path, i) => [path, given[i]!]))).forward(
      x as never,
    ) as Tensor;

const mean = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
const spread = (v: readonly number[]): number => mean(v.map((a) => (a - mean(v)) ** 2));

afterEach(() => useDevice("wasm"));

describe("normalisation of features", () => {
  test.each(settings)(
    "rows have mean 0 and variance 1, or mean square 1, on $device in $dtype",
    async ({ device, dtype }) => {
      await useDevice(device);
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            rows: fc.nat({ max: 5 }),
            n: fc.integer({ min: 1, max: 70 }),
            offset: fc.constantFrom(0, 1e3, -7),
            seed: fc.nat(),
          }),
          async ({ rows, n, offset, seed }) => {
            using _ = openScope();
            const x = Array.from(
              (await normal([rows, n], { seed, mean: offset, dtype }).data()) as Float64Array,
            );
            const t = tensor(Float64Array.from(x), { shape: [rows, n], dtype });
            const [layer, root] = [
              new LayerNorm(n, { dtype, device }),
              new RMSNorm(n, { dtype, device, eps: 0.01 }),
            ];
            const [a, b] = await numbersOf(
              layer.forward(t as never) as Tensor,
              root.forward(t as never) as Tensor,
            );
            const wantA: number[] = [];
            const wantB: number[] = [];
            for (let i = 0; i < rows; i++) {
              const row = x.slice(i * n, (i + 1) * n);
              const m = mean(row);
              wantA.push(...row.map((v) => (v - m) / Math.sqrt(spread(row) + 1e-5)));
              wantB.push(...row.map((v) => v / Math.sqrt(mean(row.map((v) => v * v)) + 0.01)));
            }
            // An offset of 1000 takes three digits from the entries themselves.
            const [tolerance] = dtypes[dtype].tolerance;
            expect(firstDifference(a!, wantA, tolerance * Math.max(1, Math.abs(offset)))).toBeUndefined();
            expect(firstDifference(b!, wantB, tolerance)).toBeUndefined();
          },
        ),
        { numRuns: device === "webgpu" ? 8 : 20 },
      );
    },
  );

  test.each<[string, () => Module, string[], Floats[]]>([
    [
      "LayerNorm",
      () => new LayerNorm(4, { dtype: "f64", eps: 0.1 }),
      ["weight", "bias"],
      [draw([2, 3, 4], 1), draw([4], 2), draw([4], 3)],
    ],
    [
      "LayerNorm over two axes",
      () => new LayerNorm([3, 2], { dtype: "f64" }),
      ["weight", "bias"],
      [draw([2, 3, 2], 1), draw([3, 2], 2), draw([3, 2], 3)],
    ],
    [
      "RMSNorm",
      () => new RMSNorm(4, { dtype: "f64", eps: 0.1 }),
      ["weight"],
      [draw([2, 3, 4], 1), draw([4], 2)],
    ],
    [
      "BatchNorm1d",
      () => new BatchNorm1d(2, { dtype: "f64" }),
      ["weight", "bias"],
      [draw([4, 2], 1), draw([2], 2), draw([2], 3)],
    ],
    [
      "BatchNorm1d of sequences",
      () => new BatchNorm1d(2, { dtype: "f64" }),
      ["weight", "bias"],
      [draw([2, 2, 3], 1), draw([2], 2), draw([2], 3)],
    ],
    [
      "BatchNorm1d in use",
      () => new BatchNorm1d(2, { dtype: "f64" }).eval(),
      ["weight", "bias"],
      [draw([2, 2, 3], 1), draw([2], 2), draw([2], 3)],
    ],
  ])("first and second derivatives of %s are right", async (_, make, paths, args) => {
    await useDevice("wasm");
    gradcheck(open(make, ...paths) as (...args: unknown[]) => Tensor, args);
    gradgradcheck((...a: unknown[]) => tanh(open(make, ...paths)(...(a as [Tensor])) as Floats), args);
  });

  test("a constant row gives 0, and its gradient is a number", () => {
    const x = tensor([[3, 3, 3]], { dtype: "f64" });
    const layer = new LayerNorm(3, { dtype: "f64" });
    expect(layer.forward(x).toArray()).toEqual([[0, 0, 0]]);
    const { gradients } = valueAndGrad(() => sum(square(layer.forward(x))), layer.parameters());
    expect(gradients.flatMap((g) => [...g!.dataSync()]).every(Number.isFinite)).toBe(true);
    expect(new RMSNorm(2).forward(zeros([1, 2])).toArray()).toEqual([[0, 0]]);
  });

  test("parameters are there as the options say, and begin as 1 and 0", () => {
    expect(names(new LayerNorm(3))).toEqual([
      ["weight", [3]],
      ["bias", [3]],
    ]);
    expect(names(new LayerNorm([2, 3], { bias: false }))).toEqual([["weight", [2, 3]]]);
    expect(names(new LayerNorm(3, { elementwiseAffine: false }))).toEqual([]);
    expect(names(new RMSNorm([2, 3]))).toEqual([["weight", [2, 3]]]);
    expect(new LayerNorm(2).weight!.value.toArray()).toEqual([1, 1]);
    expect(new LayerNorm(2).bias!.value.toArray()).toEqual([0, 0]);
  });
});

describe("BatchNorm1d", () => {
  const layer = (options = {}) => new BatchNorm1d(2, { dtype: "f64", ...options });
  const list = (p: Parameter<Shape, "f64"> | null): number[] => [...p!.value.dataSync()];
  const a = tensor(
    [
      [1, 10],
      [3, 30],
    ],
    { dtype: "f64" },
  );
  const b = tensor(
    [
      [
        [5, 7],
        [0, 4],
      ],
    ],
    { dtype: "f64" },
  );

  test("running estimates move by the momentum, variances unbiased; in use they normalise and stay", () => {
    const bn = layer({ eps: 0 });
    bn.forward(a);
    expect(list(bn.runningMean)).toEqual([0.2, 2]);
    expect(list(bn.runningVar).map((v) => Math.round(v * 1e9) / 1e9)).toEqual([1.1, 20.9]);
    expect(bn.numBatchesTracked!.value.item()).toBe(1);
    bn.eval();
    const [x] = bn.forward(tensor([[1.2, 3]], { dtype: "f64" })).toArray();
    expect(x![0]).toBeCloseTo(1 / Math.sqrt(1.1), 12);
    expect(x![1]).toBeCloseTo(1 / Math.sqrt(20.9), 12);
    expect(list(bn.runningMean)).toEqual([0.2, 2]);
    expect(bn.numBatchesTracked!.value.item()).toBe(1);
  });

  test("with momentum null all batches weigh the same", () => {
    const bn = layer({ momentum: null });
    bn.forward(a);
    expect(list(bn.runningMean)).toEqual([2, 20]);
    expect(list(bn.runningVar)).toEqual([2, 200]);
    bn.forward(b);
    expect(list(bn.runningMean)).toEqual([4, 11]);
    expect(list(bn.runningVar)).toEqual([2, 104]);
  });

  test("without estimates every batch is normalised by itself, in use too", () => {
    const bn = layer({ trackRunningStats: false, affine: false, eps: 0 }).eval();
    expect(bn.forward(a).toArray()).toEqual([
      [-1, -1],
      [1, 1],
    ]);
    expect(names(bn)).toEqual([]);
  });

  test("estimates are parameters with names, which no optimizer and no gradient touches", () => {
    const bn = layer();
    expect(names(bn)).toEqual([
      ["weight", [2]],
      ["bias", [2]],
      ["runningMean", [2]],
      ["runningVar", [2]],
      ["numBatchesTracked", []],
    ]);
    const { gradients } = valueAndGrad(() => sum(square(bn.forward(a))), bn.parameters());
    expect(gradients.map((g) => g !== undefined)).toEqual([true, true, false, false, false]);
    const before = list(bn.runningMean);
    bn.eval();
    new SGD(bn.parameters(), { lr: 1, weightDecay: 1 }).minimize(() => sum(square(bn.forward(a))));
    expect(list(bn.runningMean)).toEqual(before);
    expect(list(bn.weight)).not.toEqual([1, 1]);
  });

  test("an empty batch gives an empty result, gradients 0, and leaves the estimates", () => {
    const bn = layer();
    const { gradients } = valueAndGrad(
      () => sum(bn.forward(zeros([0, 2, 3], { dtype: "f64" }))),
      bn.parameters(),
    );
    expect([...gradients[0]!.dataSync(), ...gradients[1]!.dataSync()]).toEqual([0, 0, 0, 0]);
    expect(list(bn.runningMean)).toEqual([0, 0]);
    expect(bn.numBatchesTracked!.value.item()).toBe(0);
  });

  test.each(settings)(
    "trains alike on $device in $dtype, and leaves nothing behind",
    async ({ device, dtype }) => {
      await useDevice(device);
      using _ = openScope();
      const bn = new BatchNorm1d(3, { dtype, device, momentum: null });
      const x = normal([8, 3], { seed: 1, mean: 2, dtype });
      const adam = new Adam(bn.parameters());
      const step = (): void =>
        scope(() => void adam.minimize(() => sum(square(tanh(bn.forward(x as never))))));
      step();
      const { tensors } = memory();
      for (let i = 0; i < 4; i++) step();
      expect(memory().tensors).toBe(tensors);
      const columns = [0, 1, 2].map((j) => Array.from({ length: 8 }, (_, i) => i * 3 + j));
      const [data, centre, variance] = await numbersOf(x, bn.runningMean!.value, bn.runningVar!.value);
      const wanted = columns.map((column) => column.map((i) => data![i]!));
      const [tolerance] = dtypes[dtype].tolerance;
      expect(firstDifference(centre!, wanted.map(mean), tolerance)).toBeUndefined();
      expect(
        firstDifference(
          variance!,
          wanted.map((v) => (spread(v) * 8) / 7),
          tolerance,
        ),
      ).toBeUndefined();
      expect(await numbersOf(bn.numBatchesTracked!.value)).toEqual([[5]]);
    },
  );
});

describe("Embedding", () => {
  test.each(settings)(
    "gives rows by id, and gradients to the rows that were read, on $device in $dtype",
    async ({ device, dtype }) => {
      await useDevice(device);
      using _ = openScope();
      const table = new Embedding(9, 2, { dtype, device, paddingIdx: -1, seed: 3 });
      const index = tensor(Int32Array.of(1, 8, 1, 0), { shape: [2, 2] });
      const loss = (): Tensor => sum(table.forward(index) as Tensor<Shape, "f32">);
      const { value, gradients } = lossAndGradients("test", loss, table.parameters());
      const [rows, total] = await numbersOf(table.weight.value, value);
      expect(rows!.slice(16)).toEqual([0, 0]);
      const [r0, r1, r2, r3] = rows! as [number, number, number, number];
      expect(total![0]).toBeCloseTo(r0 + r1 + 2 * (r2 + r3), 5);
      expect(gradients[0]).toBeInstanceOf(RowSparse);
      const [dense] = await numbersOf((gradients[0] as RowSparse).toDense());
      expect(dense).toEqual([1, 1, 2, 2, ...new Array(14).fill(0)]);
      const before = rows!.slice(16);
      scope(() => void new SGD(table.parameters(), { lr: 1 }).minimize(loss));
      expect((await numbersOf(table.weight.value))[0]!.slice(16)).toEqual(before);
    },
  );

  test("begins as N(0, 1), with zeros in the padding row", () => {
    const table = new Embedding(50, 40, { paddingIdx: 7 });
    const rows = table.weight.value.toArray() as number[][];
    const all = rows.flat();
    expect(mean(all)).toBeCloseTo(0, 1);
    expect(spread(all)).toBeCloseTo(1, 1);
    expect(rows[7]).toEqual(new Array(40).fill(0));
    expect(rows[8]).toEqual(new Embedding(50, 40).weight.value.toArray()[8]);
    expect(table.paddingIdx).toBe(7);
  });

  test("ids of any shape, and none", () => {
    const table = new Embedding(3, 2);
    expect(table.forward(tensor(1, { dtype: "i32" })).shape).toEqual([2]);
    expect(table.forward(zeros([0, 4], { dtype: "i32" })).shape).toEqual([0, 4, 2]);
    expectTypeOf(table.forward(zeros([2, 4], { dtype: "i32" }))).toEqualTypeOf<Tensor<[2, 4, 2], "f32">>();
  });

  test("the rows of a computed index are read too", () => {
    const index = scope(() => randomInt([3], { seed: 1, high: 5 }));
    expect(new Embedding(5, 2).forward(index).shape).toEqual([3, 2]);
  });
});

describe("Flatten and Residual", () => {
  test("Flatten joins the axes that it names", () => {
    const x = zeros([2, 3, 4, 5]);
    expect(new Flatten().forward(x).shape).toEqual([2, 60]);
    expect(new Flatten(0, 1).forward(x).shape).toEqual([6, 4, 5]);
    expect(new Flatten(-2).forward(x).shape).toEqual([2, 3, 20]);
    expect(new Flatten(1, 1).forward(x).shape).toEqual([2, 3, 4, 5]);
    expect(new Flatten().forward(zeros([0, 3, 4])).shape).toEqual([0, 12]);
  });

  test("Residual adds what its inner layer makes, and trains it", () => {
    const block = new Residual(new Linear(2, 2, { dtype: "f64" }));
    const x = tensor([[1, 2]], { dtype: "f64" });
    const inner = block.inner.forward(x).toArray()[0]!;
    expect(block.forward(x).toArray()).toEqual([[1 + inner[0]!, 2 + inner[1]!]]);
    expect(names(block)).toEqual([
      ["inner.weight", [2, 2]],
      ["inner.bias", [2]],
    ]);
    gradcheck((x: Floats) => new Residual(tanh).forward(x), [draw([2, 3], 1)]);
    const dropout = new Residual(new Dropout(0.5));
    expect(dropout.eval().inner.training).toBe(false);
  });
});

describe("in a chain", () => {
  const classifier = new Sequential(
    new Embedding(100, 8, { paddingIdx: 0 }),
    new LayerNorm(8),
    new Residual(new Sequential(new Linear(8, 8), relu, new Dropout(0.1))),
    new RMSNorm(8),
    new Linear(8, 3),
  );

  test("sizes pass through layers that keep them, and ids become features", () => {
    const scores = classifier.forward(zeros([4, 6], { dtype: "i32" }));
    expect(scores.shape).toEqual([4, 6, 3]);
    expectTypeOf(scores).toEqualTypeOf<Tensor<[4, 6, 3], "f32">>();
    const model = new Sequential(
      new Linear(5, 4),
      new BatchNorm1d(4),
      relu,
      new LayerNorm(4),
      new Linear(4, 2),
    );
    expectTypeOf(model.forward(zeros([7, 5]))).toEqualTypeOf<Tensor<[7, 2], "f32">>();
    expect(model.forward(zeros([7, 5])).shape).toEqual([7, 2]);
  });

  test("what does not fit is a compile error, and refused by the run", () => {
    const floats = zeros([2]);
    // @ts-expect-error LayerNorm takes 5 features where 4 come in
    new Sequential(new Linear(5, 4), relu, new LayerNorm(5));
    // @ts-expect-error rows of 8 features come out of the embedding
    new Sequential(new Embedding(10, 8), new Dropout(), new Linear(7, 2));
    // @ts-expect-error an inner layer that changes the number of features
    new Residual(new Linear(3, 4));
    // @ts-expect-error four features where the layer normalises over three
    expect(() => new LayerNorm(3).forward(zeros([2, 4]))).toThrow(
      "LayerNorm: x of shape [2, 4] where normalizedShape is [3]; give [..., 3]",
    );
    // @ts-expect-error ids where a layer takes floats
    expect(() => new Sequential(new Linear(3, 2)).forward(zeros([2, 3], { dtype: "i32" }))).toThrow("linear");
    // @ts-expect-error floats where a layer takes ids
    expect(() => new Embedding(3, 2).forward(floats)).toThrow("Embedding: index holds f32");
  });

  test("prints as a listing", () => {
    expect(String(classifier)).toBe(
      [
        "Sequential(",
        "  (0): Embedding(100, 8, paddingIdx=0)",
        "  (1): LayerNorm([8], eps=0.00001, elementwiseAffine=true)",
        "  (2): Residual(",
        "    (inner): Sequential(",
        "      (0): Linear(inFeatures=8, outFeatures=8, bias=true)",
        "      (1): relu()",
        "      (2): Dropout(p=0.1)",
        "    )",
        "  )",
        "  (3): RMSNorm([8], eps=null, elementwiseAffine=true)",
        "  (4): Linear(inFeatures=8, outFeatures=3, bias=true)",
        ")",
      ].join("\n"),
    );
    expect(String(new BatchNorm1d(4))).toBe(
      "BatchNorm1d(4, eps=0.00001, momentum=0.1, affine=true, trackRunningStats=true)",
    );
    expect(String(new Flatten())).toBe("Flatten(startDim=1, endDim=-1)");
  });
});

test("what is refused says where, what and what to do", () => {
  const attempts: readonly (readonly [string, () => unknown])[] = [
    [
      "Embedding: index[1, 0] is 6; ids lie in [0, 6)",
      () => new Embedding(6, 2).forward(tensor([[0], [6]], { dtype: "i32" })),
    ],
    ["Embedding: index[0] is -1; ids lie in [0, 6)", () => new Embedding(6, 2).forward(ids(-1))],
    ["Embedding: the size 0 is not a number of rows", () => new Embedding(0, 2)],
    [
      "Embedding: paddingIdx is 3; give an id of [0, 3), or a negative one",
      () => new Embedding(3, 2, { paddingIdx: 3 }),
    ],
    [
      "LayerNorm: x of shape [2] where normalizedShape is [3, 2]; give [..., 3, 2]",
      () => new LayerNorm([3, 2]).forward(zeros([2]) as never),
    ],
    ["LayerNorm: the size 0 is not a number of features", () => new LayerNorm(0)],
    ["LayerNorm: normalizedShape is an array of 0", () => new LayerNorm([])],
    ["LayerNorm: eps is -1; give a small number", () => new LayerNorm(2, { eps: -1 })],
    ["LayerNorm: there is no option epsilon", () => new LayerNorm(2, { epsilon: 1 } as never)],
    [
      "RMSNorm: elementwiseAffine is 1; give true or false",
      () => new RMSNorm(2, { elementwiseAffine: 1 as never }),
    ],
    [
      "BatchNorm1d: x of shape [2, 4] where the layer takes 3 channels; give [N, 3] or [N, 3, L]",
      () => new BatchNorm1d(3).forward(ones([2, 4])),
    ],
    ["BatchNorm1d: x of shape [3] where", () => new BatchNorm1d(3).forward(ones([3]))],
    [
      "BatchNorm1d: x of shape [1, 3] has one value for each channel, and one value has no variance; train with more",
      () => new BatchNorm1d(3).forward(ones([1, 3])),
    ],
    [
      "BatchNorm1d: x of shape [1, 3, 1] has one value",
      () => new BatchNorm1d(3, { trackRunningStats: false }).eval().forward(ones([1, 3, 1])),
    ],
    ["BatchNorm1d: momentum is 2", () => new BatchNorm1d(3, { momentum: 2 })],
    ["Flatten: startDim is 0.5", () => new Flatten(0.5)],
    ["Flatten: axes 2 to 1 of shape [1, 2, 3] are none", () => new Flatten(2, 1).forward(zeros([1, 2, 3]))],
    ["Flatten", () => new Flatten().forward(zeros([3]))],
    ["Residual: inner is 3; give a module, or a function of a tensor", () => new Residual(3 as never)],
    [
      "Residual: inner gives shape [2, 4] for x of shape [2, 3]; give a layer that keeps the shape",
      () => new Residual(new Linear(3, 4) as never).forward(zeros([2, 3])),
    ],
    ["Residual: inner gives 3", () => new Residual((() => 3) as never).forward(zeros([2, 3]))],
    ["Conv2d: the size 1.5 is not a number of groups", () => new Conv2d(2, 2, 1, { groups: 1.5 })],
  ];
  for (const [message, attempt] of attempts) expect(attempt, message).toThrow(message);
  expect(new BatchNorm1d(3).eval().forward(ones([1, 3])).shape).toEqual([1, 3]);
});
