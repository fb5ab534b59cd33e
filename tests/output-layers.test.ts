// Output layers: each is one distribution over its classes, however it computes it; trees, cutoffs and searches against brute force.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gradcheck } from "../core/check/index.ts";
import { tensor, zeros, zerosLike } from "../core/create.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError } from "../core/errors.ts";
import type { Parameter } from "../core/parameter.ts";
import { normal, permutation, randomKey } from "../core/random.ts";
import type { Shape } from "../core/shape.ts";
import { grad, valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import * as nn from "../nn/index.ts";
import { mul } from "../ops/elementwise.ts";
import { argmax, gather, reshape, sum, take, topK } from "../ops/index.ts";

type Floats = Tensor<Shape, "f64">;
type Layer = nn.OutputLayer<"f64">;

const f64 = { dtype: "f64" } as const;
const zipf = (classes: number): number[] => Array.from({ length: classes }, (_, i) => 1 / (i + 1));
const rows = (count: number, features: number, seed = 1): Floats =>
  normal([count, features], { ...f64, key: randomKey(seed) });
const ids = (...list: number[]): Int32Array => Int32Array.from(list);
const numbers = (t: Tensor): number[] => [...(t.dataSync() as Float64Array)];
const targetsOf = (count: number, classes: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => (i * 7 + (i >> 1)) % classes);

/** Every layer, for some number of features and classes. */
const makers: readonly (readonly [
  name: string,
  make: (features: number, classes: number) => Layer,
  least: number,
])[] = [
  ["a full softmax", (d, v) => new nn.FullSoftmax(d, v, f64), 1],
  ["a balanced tree", (d, v) => new nn.HierarchicalSoftmax(d, v, f64), 1],
  ["Huffman's tree", (d, v) => new nn.HierarchicalSoftmax(d, nn.huffmanTree(zipf(v)), f64), 1],
  ["classes of clusters", (d, v) => new nn.ClassBasedSoftmax(d, v, f64), 1],
  ["clusters of equal mass", (d, v) => new nn.ClassBasedSoftmax(d, nn.frequencyClusters(zipf(v)), f64), 1],
  [
    "interleaved clusters",
    (d, v) =>
      new nn.ClassBasedSoftmax(
        d,
        Array.from({ length: v }, (_, i) => i % Math.min(3, v)),
        f64,
      ),
    1,
  ],
  [
    "an adaptive softmax",
    (d, v) =>
      new nn.AdaptiveSoftmax(d, v, {
        cutoffs: [...new Set([1, v >> 2, v >> 1])].filter((c) => c >= 1 && c < v),
        ...f64,
      }),
    2,
  ],
  [
    "an adaptive softmax with a bias and dimensions of its own",
    (d, v) => new nn.AdaptiveSoftmax(d, v, { cutoffs: [v - 1], headBias: true, tailDims: [3], ...f64 }),
    2,
  ],
  ["a mixture", (d, v) => new nn.MixtureOfSoftmaxes(d, v, { components: 3, latentFeatures: 4, ...f64 }), 1],
];

/** Makes all weights larger. */
function scaled<L extends Layer>(layer: L, factor: number): L {
  for (const p of layer.parameters()) p.value = mul(p.value, factor) as never;
  return layer;
}

describe.each(makers)("%s", (_, make, least) => {
  const sizes = [1, 2, 3, 5, 6, 7, 11, 17, 1000].filter((v) => v >= least);

  test.each(sizes)(
    "is one distribution over %d classes, also where scores are in the thousands",
    (classes) => {
      for (const factor of [1, 3000]) {
        const layer = scaled(make(4, classes), factor);
        const logProb = layer.logProb(rows(5, 4));
        expect(logProb.shape).toEqual([5, classes]);
        for (let i = 0; i < 5; i++) {
          const row = numbers(take(logProb, tensor(ids(i))));
          expect(row.every((v) => v <= 1e-12)).toBe(true);
          expect(Math.abs(row.reduce((total, v) => total + Math.exp(v), 0) - 1)).toBeLessThan(1e-12);
        }
      }
    },
  );

  test.each(sizes)(
    "of %d classes gives each target its log-probability, and predicts the largest",
    (classes) => {
      const layer = scaled(make(4, classes), 4);
      const x = rows(9, 4);
      const target = targetsOf(9, classes);
      const { output, loss } = layer.forward(x, target);
      const logProb = layer.logProb(x);
      const wanted = numbers(gather(logProb, reshape(tensor(target), [9, 1])));
      numbers(output).forEach((v, i) => {
        expect(v).toBeCloseTo(wanted[i]!, 10);
      });
      expect(loss.item()).toBeCloseTo(-wanted.reduce((a, b) => a + b) / 9, 10);
      expect(numbers(layer.predict(x))).toEqual(numbers(argmax(logProb as never, { axis: -1 })));
    },
  );

  test("has the gradient of its value, by targets and by all classes", () => {
    const layer = make(3, 7);
    const target = ids(0, 3, 6, 6, 1);
    const x = rows(5, 3);
    gradcheck((h: Floats) => layer.forward(h, target).output, [x]);
    gradcheck((h: Floats) => layer.logProb(h), [x]);
    const { gradients } = valueAndGrad(
      () => sum(layer.forward(x, target).output as never),
      layer.parameters(),
    );
    const full = valueAndGrad(
      () => sum(gather(layer.logProb(x), reshape(tensor(target), [5, 1])) as never),
      layer.parameters(),
    );
    gradients.forEach((g, i) => {
      const wanted = numbers(full.gradients[i]!);
      numbers(g!).forEach((v, j) => {
        expect(v).toBeCloseTo(wanted[j]!, 10);
      });
    });
    gradcheck((h: Floats) => grad((y: Floats) => layer.forward(y, target).loss)(h), [x]);
  });

  test("permuted rows give permuted results", () => {
    const layer = make(4, 11);
    const x = rows(8, 4);
    const target = targetsOf(8, 11);
    const order = permutation(8, { seed: 2 });
    const shuffled = Int32Array.from(order.dataSync(), (i) => target[i]!);
    const wanted = numbers(take(layer.forward(x, target).output, order));
    numbers(layer.forward(take(x, order), shuffled).output).forEach((v, i) => {
      expect(v).toBeCloseTo(wanted[i]!, 12);
    });
  });

  test("takes rows in any shape, none at all, and leaves rows out", () => {
    const layer = make(4, 11);
    const x = rows(6, 4);
    const target = targetsOf(6, 11);
    const grid = layer.forward(reshape(x, [2, 3, 4]), tensor(target, { shape: [2, 3] }));
    const flat = layer.forward(x, target);
    expect(grid.output.shape).toEqual([2, 3]);
    expect(numbers(grid.output)).toEqual(numbers(flat.output));
    expect(layer.logProb(reshape(x, [2, 3, 4])).shape).toEqual([2, 3, 11]);
    expect(layer.predict(reshape(x, [2, 3, 4])).shape).toEqual([2, 3]);
    expect(
      layer.forward(take(x, tensor(ids(0))).reshape([4]) as Floats, tensor(2, { dtype: "i32" })).output.shape,
    ).toEqual([]);

    const none = layer.forward(zeros([0, 4], f64) as Floats, ids());
    expect([none.output.shape, none.loss.item()]).toEqual([[0], 0]);
    expect(layer.logProb(zeros([0, 4], f64) as Floats).shape).toEqual([0, 11]);
    expect(layer.predict(zeros([0, 4], f64) as Floats).shape).toEqual([0]);

    const some = target.with(1, -100).with(4, -100);
    const poisoned = tensor(x.dataSync().with(5, Number.NaN), { shape: [6, 4] }) as Floats;
    const left = layer.forward(poisoned, some);
    const kept = numbers(flat.output).map((v, i) => (i === 1 || i === 4 ? 0 : v));
    numbers(left.output).forEach((v, i) => {
      expect(v).toBeCloseTo(kept[i]!, 12);
    });
    expect(left.loss.item()).toBeCloseTo(-kept.reduce((a, b) => a + b) / 4, 12);
    expect(layer.forward(x, target, { reduction: "sum" }).loss.item()).toBeCloseTo(6 * flat.loss.item(), 12);
    expect(numbers(layer.forward(x, target, { reduction: "none" }).loss)).toEqual(
      numbers(flat.output).map((v) => -v),
    );
    const slope = grad((h: Floats) => layer.forward(h, some).loss)(poisoned);
    expect([1, 4].flatMap((i) => numbers(take(slope, tensor(ids(i)))))).toEqual(new Array(8).fill(0));
    const nobody = layer.forward(x, ids(5, 5, 5, 5, 5, 5), { ignoreIndex: 5 });
    expect(nobody.loss.item()).toBe(0);
    expect(numbers(nobody.output)).toEqual(new Array(6).fill(0));
  });

  test("says what is wrong with rows and targets, before it computes", () => {
    const layer = make(4, 11);
    const x = rows(2, 4);
    expect(() => layer.forward(x, [0, 11])).toThrow(/target\[1\] is 11; class indices lie in \[0, 11\)/);
    expect(() => layer.forward(x, [-1, 0])).toThrow(DomainError);
    expect(() => layer.forward(x, [0, 0.5])).toThrow(/target\[1\] is 0.5/);
    expect(() => layer.forward(x, [0, Number.NaN])).toThrow(DomainError);
    expect(() => layer.forward(x, [0])).toThrow(ShapeError);
    expect(() => layer.forward(x, tensor([0, 1]) as never)).toThrow(DTypeError);
    expect(() => layer.forward(x, "0" as never)).toThrow(ArgumentError);
    expect(() => layer.forward(x, [0, 0], { reduction: "max" as never })).toThrow(ArgumentError);
    expect(() => layer.forward(x, [0, 0], { weight: 1 } as never)).toThrow(ArgumentError);
    expect(() => layer.logProb(rows(2, 3))).toThrow(/rows of 3 features in x of shape \[2, 3\]/);
    expect(() => make(0, 11)).toThrow(ShapeError);
  });

  test("learns what its targets are", () => {
    const layer = make(4, 5);
    const x = rows(5, 4);
    const target = ids(0, 1, 2, 3, 4);
    const before = layer.forward(x, target).loss.item();
    for (let step = 0; step < 30; step++) {
      const { gradients } = valueAndGrad(() => layer.forward(x, target).loss, layer.parameters());
      layer.parameters().forEach((p, i) => {
        const g = gradients[i];
        if (g)
          p.value = tensor(
            numbers(p.value).map((v, j) => v - 0.5 * numbers(g)[j]!),
            { ...f64, shape: p.shape },
          ) as never;
      });
    }
    expect(layer.forward(x, target).loss.item()).toBeLessThan(0.6 * before);
  });
});

describe("adaptive softmax", () => {
  test("a cluster without targets has no gradient, and the layer has PyTorch's names", () => {
    const layer = new nn.AdaptiveSoftmax(8, 30, { cutoffs: [5, 12], headBias: true, ...f64 });
    const named = layer.namedParameters();
    expect(named.map(([name, p]) => `${name} [${p.shape}]`)).toEqual([
      "head.weight [7,8]",
      "head.bias [7]",
      "tail.0.0.weight [2,8]",
      "tail.0.1.weight [7,2]",
      "tail.1.0.weight [1,8]",
      "tail.1.1.weight [18,1]",
    ]);
    const { gradients } = valueAndGrad(() => layer.forward(rows(3, 8), [0, 29, 4]).loss, layer.parameters());
    expect(gradients.map((g) => g !== undefined)).toEqual([true, true, false, false, true, true]);
  });

  test("is a full softmax where each cluster has one class", () => {
    const layer = new nn.AdaptiveSoftmax(3, 4, { cutoffs: [2, 3], ...f64 });
    const full = new nn.FullSoftmax(3, 4, { bias: false, ...f64 });
    full.decoder.weight.value = layer.head.weight.value;
    const x = rows(6, 3);
    const wanted = numbers(full.logProb(x));
    numbers(layer.logProb(x)).forEach((v, i) => {
      expect(v).toBeCloseTo(wanted[i]!, 12);
    });
  });

  test.each([
    [[], "cutoffs"],
    [undefined, "cutoffs"],
    [[5, 3], "ascend"],
    [[5, 5], "ascend"],
    [[0, 5], "between 1 and 19"],
    [[5, 20], "between 1 and 19"],
    [[2.5], "integers"],
  ])("cutoffs %j are refused", (cutoffs, word) => {
    expect(() => new nn.AdaptiveSoftmax(4, 20, { cutoffs: cutoffs as number[] })).toThrow(word);
  });

  test("div and tailDims are checked", () => {
    expect(() => new nn.AdaptiveSoftmax(4, 20, { cutoffs: [5], div: 0 })).toThrow(/div is 0/);
    expect(() => new nn.AdaptiveSoftmax(4, 20, { cutoffs: [5], tailDims: [] })).toThrow(/tailDims/);
    expect(() => new nn.AdaptiveSoftmax(4, 20, { cutoffs: [5], tailDims: [0] })).toThrow(
      /tailDims\[0\] is 0/,
    );
    expect(() => new nn.AdaptiveSoftmax(4, 20, { cutoffs: [5], divValue: 2 } as never)).toThrow(/divValue/);
  });

  test("a tied embedding gives rows of the head and projected rows of the clusters, and sends gradients there", () => {
    const output = new nn.AdaptiveSoftmax(6, 12, { cutoffs: [3, 7], div: 2, ...f64 });
    const input = new nn.AdaptiveEmbedding(output);
    expect(input.parameters()).toEqual(output.parameters());
    const some = tensor(ids(11, 0, 3, 7, 2, 11), { shape: [2, 3] });
    const vectors = input.forward(some);
    expect(vectors.shape).toEqual([2, 3, 6]);
    const table = Array.from({ length: 12 }, (_, id) => {
      if (id < 3) return numbers(output.head.weight.value).slice(6 * id, 6 * id + 6);
      const i = id < 7 ? 0 : 1;
      const [projection, classes] = output.tail[i]!;
      const h = classes.inFeatures;
      const own = numbers(classes.weight.value)
        .slice((id - output.cutoffs[i]!) * h)
        .slice(0, h);
      const p = numbers(projection.weight.value);
      return Array.from({ length: 6 }, (_, j) => own.reduce((total, v, k) => total + v * p[6 * k + j]!, 0));
    });
    numbers(vectors).forEach((v, at) => {
      expect(v).toBeCloseTo(table[some.dataSync()[Math.floor(at / 6)]!]![at % 6]!, 12);
    });
    gradcheck((_: Parameter<Shape, "f64">) => input.forward(some), [output.head.weight]);
    gradcheck((_: Parameter<Shape, "f64">) => input.forward(some), [output.tail[1]![0].weight]);
    expect(input.forward([]).shape).toEqual([0, 6]);
    expect(input.forward([5, 6]).shape).toEqual([2, 6]);
    expect(() => input.forward([12])).toThrow(/ids\[0\] is 12/);
    expect(() => new nn.AdaptiveEmbedding({} as never)).toThrow(ArgumentError);
  });
});

describe("adaptive cutoffs", () => {
  /** All cutoffs there are, in lexicographic order. */
  function best(frequency: readonly number[], clusters: number, dim: number, div: number): number[] {
    const total = frequency.reduce((a, b) => a + b);
    const classes = frequency.length;
    const mass = (from: number, to: number): number =>
      frequency.slice(from, to).reduce((a, b) => a + b, 0) / total;
    let [least, found] = [Number.POSITIVE_INFINITY, [] as number[]];
    const go = (cutoffs: readonly number[], spent: number): void => {
      const i = cutoffs.length - 1;
      const h = Math.max(1, Math.floor(dim / div ** (i + 1)));
      const from = cutoffs[i] ?? 0;
      const costOf = (to: number): number =>
        i < 0 ? dim * (to + clusters) : mass(from, to) * h * (dim + to - from);
      if (cutoffs.length === clusters) {
        const cost = spent + costOf(classes);
        if (cost < least - 1e-12 * least || least === Number.POSITIVE_INFINITY)
          [least, found] = [cost, [...cutoffs]];
      } else for (let to = from + 1; to < classes; to++) go([...cutoffs, to], spent + costOf(to));
    };
    go([], 0);
    return found;
  }

  test("are those that a trial of all finds, the lexicographically smallest of equal ones", () => {
    const frequencies = fc
      .array(fc.oneof(fc.nat(20), fc.double({ min: 0, max: 1, noNaN: true })), {
        minLength: 3,
        maxLength: 14,
      })
      .filter((list) => list.some((v) => v > 0.01));
    fc.assert(
      fc.property(
        frequencies,
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(1, 4, 32),
        fc.constantFrom(0.5, 1, 4),
        (frequency, k, dim, div) => {
          const clusters = Math.min(k, frequency.length - 1);
          expect(nn.adaptiveCutoffs(frequency, { clusters, dim, div }).cutoffs).toEqual(
            best(frequency, clusters, dim, div),
          );
        },
      ),
      { numRuns: 150, seed: 1 },
    );
    expect(nn.adaptiveCutoffs(zipf(300), { clusters: 1, dim: 32 }).cutoffs).toEqual(
      best(zipf(300), 1, 32, 4),
    );
    expect(nn.adaptiveCutoffs(new Array(40).fill(1), { clusters: 2, dim: 8 }).cutoffs).toEqual(
      best(new Array(40).fill(1), 2, 8, 4),
    );
  });

  test("by measured times with nothing but a cost per operation are those by operations", () => {
    const cost = { latency: 0, perFlop: 1e-9, least: 0, batch: 64 };
    const counted = nn.adaptiveCutoffs(zipf(5000), { clusters: 3, dim: 64 });
    const timed = nn.adaptiveCutoffs(zipf(5000), { clusters: 3, dim: 64, cost });
    expect(timed.cutoffs).toEqual(counted.cutoffs);
    expect(timed.speedup).toBeCloseTo(counted.speedup, 6);
    // Where small products are as dear as large ones, the head takes what it can.
    const floor = nn.adaptiveCutoffs(zipf(5000), {
      clusters: 1,
      dim: 64,
      cost: { ...cost, least: 64 * 64 * 900 },
    });
    expect(floor.cutoffs[0]).toBeGreaterThanOrEqual(counted.cutoffs[0]!);
  });

  test("are found among 10⁵ classes at once", () => {
    const started = performance.now();
    const { cutoffs, cost, fullCost } = nn.adaptiveCutoffs(zipf(100_000), { clusters: 3, dim: 512 });
    expect(performance.now() - started).toBeLessThan(5000);
    expect(cost).toBeLessThan(fullCost / 100);
    expect(cutoffs).toEqual([...cutoffs].sort((a, b) => a - b));
  });

  test("measured costs are finite and positive", async () => {
    const cost = await nn.measureSoftmax({ dim: 16, batch: 32 });
    expect(cost.perFlop).toBeGreaterThan(0);
    for (const v of Object.values(cost)) expect(v >= 0 && Number.isFinite(v)).toBe(true);
    expect(nn.adaptiveCutoffs(zipf(100), { clusters: 2, dim: 16, cost }).cutoffs).toHaveLength(2);
  });

  test("bad frequencies, clusters and costs are refused", () => {
    const options = { clusters: 1, dim: 8 };
    for (const frequency of [[1, -1], [1, Number.NaN], [0, 0], [1, Number.POSITIVE_INFINITY], []])
      expect(() => nn.adaptiveCutoffs(frequency, options)).toThrow(/frequency/);
    expect(() => nn.adaptiveCutoffs([1, 1], { clusters: 2, dim: 8 })).toThrow(/clusters is 2/);
    expect(() => nn.adaptiveCutoffs([1, 1], { clusters: 1, dim: 0 })).toThrow(ShapeError);
    expect(() => nn.adaptiveCutoffs([1, 1], { ...options, div: -1 })).toThrow(/div/);
    expect(() => nn.adaptiveCutoffs([1, 1], { ...options, cost: "time" as never })).toThrow(/cost/);
    expect(() => nn.adaptiveCutoffs([1, 1], { ...options, cost: { latency: 1 } as never })).toThrow(
      /cost.perFlop/,
    );
  });
});

describe("trees", () => {
  const depths = (classes: number): number[] => [...nn.codeLengths(nn.balancedTree(classes))];
  const frequencies = fc
    .array(fc.oneof(fc.nat(5), fc.double({ min: 0, max: 1, noNaN: true })), { minLength: 1, maxLength: 40 })
    .filter((list) => list.some((v) => v > 1e-6));

  test("leaves of a balanced tree are ⌊log₂V⌋ or ⌈log₂V⌉ deep", () => {
    for (let classes = 1; classes <= 70; classes++) {
      const [low, high] = [Math.floor(Math.log2(classes)), Math.ceil(Math.log2(classes))];
      expect(depths(classes).every((d) => d >= low && d <= high)).toBe(true);
    }
  });

  test("zero weights on a balanced tree of 2ᵏ classes give exactly 1/2ᵏ", () => {
    for (const classes of [1, 2, 4, 16]) {
      const layer = new nn.HierarchicalSoftmax(3, classes, f64);
      for (const p of layer.parameters()) p.value = zerosLike(p.value) as never;
      for (const v of numbers(layer.logProb(rows(2, 3)))) expect(v).toBeCloseTo(-Math.log(classes), 14);
    }
  });

  test("Huffman's codes are prefix free, within one bit of the entropy, and no balanced tree is shorter", () => {
    fc.assert(
      fc.property(frequencies, (frequency) => {
        const lengths = nn.codeLengths(nn.huffmanTree(frequency));
        const total = frequency.reduce((a, b) => a + b, 0);
        const p = frequency.map((f) => f / total);
        const entropy = p.reduce((h, v) => h - (v > 0 ? v * Math.log2(v) : 0), 0);
        const mean = p.reduce((m, v, i) => m + v * lengths[i]!, 0);
        expect(mean).toBeGreaterThanOrEqual(entropy - 1e-9);
        expect(mean).toBeLessThan(entropy + 1 + 1e-9);
        expect(mean).toBeLessThanOrEqual(p.reduce((m, v, i) => m + v * depths(p.length)[i]!, 0) + 1e-9);
        // Kraft's sum of a full tree is 1: leaves are no inner nodes, so no code begins another.
        expect(lengths.reduce((sum, l) => sum + 2 ** -l, 0)).toBe(1);
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  test("a very deep tree needs no more memory than its classes", () => {
    const classes = 20_000;
    const chain = {
      left: Int32Array.from({ length: classes - 1 }, (_, i) => -1 - i),
      right: Int32Array.from({ length: classes - 1 }, (_, i) => (i === classes - 2 ? -classes : i + 1)),
    };
    const layer = new nn.HierarchicalSoftmax(2, chain, f64);
    expect(nn.codeLengths(chain).at(-1)).toBe(classes - 1);
    expect(layer.forward(rows(2, 2), [0, 5]).output.shape).toEqual([2]);
  });

  test.each([
    ["one side", { left: [-1], right: [] }, /1 left children and 0 right ones/],
    ["a class twice", { left: [-1], right: [-1] }, /reaches class 0 twice/],
    ["a class that does not exist", { left: [-1], right: [-3] }, /child -3/],
    ["a node that does not exist", { left: [-1], right: [1] }, /child 1/],
    ["a cycle", { left: [1, 0], right: [-1, -2] }, /reaches node 0 twice/],
    ["a node twice", { left: [1, -1], right: [1, -2] }, /reaches node 1 twice/],
    ["fractions", { left: [0.5], right: [-1] }, /left holds 0.5/],
    ["nothing", {}, /left is undefined/],
  ])("a tree with %s is refused", (_, tree, message) => {
    expect(() => new nn.HierarchicalSoftmax(2, tree as never)).toThrow(message);
  });

  test("frequencies that are none are refused", () => {
    expect(() => nn.huffmanTree([1, -2])).toThrow(/frequency\[1\] is -2/);
    expect(() => nn.huffmanTree([Number.NaN])).toThrow(/frequency/);
    expect(() => nn.huffmanTree([])).toThrow(/frequency/);
    expect(() => nn.balancedTree(0)).toThrow(ShapeError);
  });
});

describe("searches of a tree", () => {
  test("topK is what sorting all classes gives, also where probabilities are 0 and 1 and equal", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom(0, 1, 30, 3000),
        fc.nat(5),
        (classes, factor, seed) => {
          const frequency = Array.from({ length: classes }, (_, i) => ((i * 7 + seed) % 5) + 1);
          const layer = scaled(
            new nn.HierarchicalSoftmax(3, nn.huffmanTree(frequency), { ...f64, seed }),
            factor,
          );
          const x = rows(4, 3, seed);
          const k = Math.min(classes, 4);
          const wanted = topK(layer.logProb(x), k);
          const found = layer.topK(x, k);
          expect(numbers(found.indices)).toEqual(numbers(wanted.indices));
          const values = numbers(wanted.values);
          numbers(found.values).forEach((v, i) => {
            expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(v)));
          });
          // A beam as wide as the tree misses nothing.
          expect(numbers(layer.topK(x, k, { beam: classes }).indices)).toEqual(numbers(wanted.indices));
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });

  test("the best class is found where a greedy descent, and a beam of one, go wrong", () => {
    // 0.6 left, where two classes have 0.5 each; 0.4 right.
    const layer = new nn.HierarchicalSoftmax(1, { left: [1, -1], right: [-3, -2] }, f64);
    layer.node.weight.value = zeros([2, 1], f64) as never;
    layer.node.bias.value = tensor([Math.log(0.4 / 0.6), 0], f64) as never;
    const x = zeros([1, 1], f64) as Floats;
    expect(numbers(layer.predict(x))).toEqual([2]);
    expect(layer.topK(x, 1).values.item()).toBeCloseTo(Math.log(0.4), 12);
    // Width 1 still sees the leaf beside the node that it follows; one level deeper it would not.
    const deep = new nn.HierarchicalSoftmax(1, { left: [1, -1, -3], right: [2, -2, -4] }, f64);
    deep.node.weight.value = zeros([3, 1], f64) as never;
    deep.node.bias.value = tensor([Math.log(0.4 / 0.6), 0, -9], f64) as never;
    expect(numbers(deep.topK(x, 1).indices)).toEqual([2]);
    expect(numbers(deep.topK(x, 1, { beam: 1 }).indices)).toEqual([0]);
    expect(numbers(deep.topK(x, 1, { beam: 2 }).indices)).toEqual([2]);
  });

  test("values have gradients, and a k or a beam that is none is refused", () => {
    const layer = new nn.HierarchicalSoftmax(3, 9, f64);
    const x = rows(2, 3);
    gradcheck((h: Floats) => layer.topK(h, 3).values, [x]);
    expect(layer.topK(reshape(x, [2, 1, 3]), 3).indices.shape).toEqual([2, 1, 3]);
    for (const k of [0, 10, 1.5]) expect(() => layer.topK(x, k)).toThrow(/k is/);
    expect(() => layer.topK(x, 3, { beam: 2 })).toThrow(/beam is 2/);
  });

  test("rows of NaN are answered as argmax answers", () => {
    const layer = new nn.HierarchicalSoftmax(2, nn.huffmanTree([1, 5, 2, 2]), f64);
    const x = tensor([[Number.NaN, 1]], f64) as Floats;
    expect(numbers(layer.predict(x))).toEqual(numbers(argmax(layer.logProb(x) as never, { axis: -1 })));
  });
});

describe("class-based softmax", () => {
  test("of one cluster, and of clusters of one class, is a full softmax", () => {
    const x = rows(6, 3);
    const one = new nn.ClassBasedSoftmax(3, [0, 0, 0, 0], f64);
    const full = new nn.FullSoftmax(3, 4, f64);
    const same = (layer: Layer, decoder: nn.Linear<number, number, "f64">): void => {
      full.decoder.weight.value = decoder.weight.value;
      full.decoder.bias!.value = decoder.bias!.value;
      const wanted = numbers(full.logProb(x));
      numbers(layer.logProb(x)).forEach((v, i) => {
        expect(v).toBeCloseTo(wanted[i]!, 12);
      });
    };
    same(one, one.word);
    const each = new nn.ClassBasedSoftmax(3, [0, 1, 2, 3], f64);
    same(each, each.cluster);
  });

  test("clusters by frequency have about equal mass and no gaps, and hold every class", () => {
    for (const classes of [1, 2, 10, 1000]) {
      const assignment = nn.frequencyClusters(zipf(classes));
      const used = new Set(assignment);
      expect([...used].sort((a, b) => a - b)).toEqual(Array.from({ length: used.size }, (_, c) => c));
      expect(used.size).toBeLessThanOrEqual(Math.ceil(Math.sqrt(classes)));
    }
    const mass = new Float64Array(32);
    const assignment = nn.frequencyClusters(zipf(1000));
    zipf(1000).forEach((f, i) => {
      mass[assignment[i]!]! += f / zipf(1000).reduce((a, b) => a + b);
    });
    expect(Math.max(...mass.slice(4))).toBeLessThan(2 / 32);
    expect([...nn.frequencyClusters(9)]).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
    expect([...nn.frequencyClusters([0, 0])]).toEqual([0, 0]);
  });

  test.each([
    [[], /assignment is an array of 0/],
    [[0, 2], /assignment\[1\] is 2/],
    [[1, 1, 2], /cluster 0 empty/],
    [[0, -1], /assignment\[1\] is -1/],
    [[0, 0.5], /assignment\[1\] is 0.5/],
    ["no", /assignment is "no"/],
  ])("the assignment %j is refused", (assignment, message) => {
    expect(() => new nn.ClassBasedSoftmax(2, assignment as never)).toThrow(message);
  });
});

test("a mixture of one component is a full softmax of its latent features", () => {
  const layer = new nn.MixtureOfSoftmaxes(3, 5, { components: 1, ...f64 });
  const full = new nn.FullSoftmax(3, 5, f64);
  full.decoder.weight.value = layer.decoder.weight.value;
  full.decoder.bias!.value = layer.decoder.bias!.value;
  const x = rows(4, 3);
  const latent = layer.latent.forward(x as never) as Floats;
  const tanh = tensor(numbers(latent).map(Math.tanh), { ...f64, shape: [4, 3] }) as Floats;
  const wanted = numbers(full.logProb(tanh));
  numbers(layer.logProb(x)).forEach((v, i) => {
    expect(v).toBeCloseTo(wanted[i]!, 12);
  });
  expect(() => new nn.MixtureOfSoftmaxes(3, 5, {} as never)).toThrow(/components/);
});
