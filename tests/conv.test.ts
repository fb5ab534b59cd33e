// Convolution and pooling as ops and as layers: derivatives of every order, what is refused, and a small network that learns. What
// they compute is held against definitions in tests/devices/windows.test.ts.

import { describe, expect, expectTypeOf, test } from "vitest";
import { gradcheck, gradgradcheck } from "../core/check/index.ts";
import { tensor, zeros } from "../core/create.ts";
import { useDevice } from "../core/device.ts";
import { normal } from "../core/random.ts";
import { memory, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { loadData } from "../examples/data/index.ts";
import { accuracy, crossEntropy } from "../losses/index.ts";
import {
  AvgPool1d,
  AvgPool2d,
  BatchNorm1d,
  Conv1d,
  Conv2d,
  Flatten,
  Linear,
  MaxPool1d,
  MaxPool2d,
  Sequential,
} from "../nn/index.ts";
import {
  avgPool1d,
  avgPool2d,
  conv1d,
  conv2d,
  maxPool1d,
  maxPool2d,
  patches,
  relu,
  square,
  tanh,
} from "../ops/index.ts";
import { Adam } from "../optim/index.ts";

type Floats = Tensor<Shape, "f64">;
const draw = <const S extends readonly number[]>(shape: S, seed: number) =>
  normal(shape, { seed, dtype: "f64" });

describe.each(["js", "wasm"] as const)("on %s", (device) => {
  const of2d = draw([1, 2, 3, 4], 1);
  test.each<[string, (...args: never[]) => Tensor, unknown[]]>([
    [
      "conv2d with every option",
      (x: Floats, w: Floats, b: Floats) =>
        conv2d(x, w, { bias: b, stride: [1, 2], padding: [2, 1], dilation: [2, 1], groups: 2 }),
      [of2d, draw([4, 1, 3, 2], 2), draw([4], 3)],
    ],
    [
      'conv2d with padding "same"',
      (x: Floats, w: Floats) => conv2d(x, w, { padding: "same", dilation: [1, 3] }),
      [draw([3, 5, 4], 1), draw([2, 3, 2, 3], 2)],
    ],
    [
      "conv2d of single places",
      (x: Floats, w: Floats) => conv2d(x, w),
      [draw([2, 3, 2, 2], 1), draw([4, 3, 1, 1], 2)],
    ],
    [
      "conv1d",
      (x: Floats, w: Floats) => conv1d(x, w, { stride: 2 }),
      [draw([2, 3, 7], 1), draw([2, 3, 3], 2)],
    ],
    ["patches", (x: Floats) => square(patches(x, [2, 3], { padding: 1 })), [of2d]],
    ["maxPool2d", (x: Floats) => square(maxPool2d(x, 3, { stride: 2, padding: 1 })), [of2d]],
    ["maxPool1d", (x: Floats) => square(maxPool1d(x, 3, { dilation: 2, stride: 1 })), [draw([2, 2, 8], 4)]],
    ["avgPool2d", (x: Floats) => square(avgPool2d(x, 2, { padding: 1, countIncludePad: false })), [of2d]],
    [
      "avgPool1d",
      (x: Floats) => square(avgPool1d(x, 3, { stride: 2, ceilMode: true })),
      [draw([2, 2, 8], 4)],
    ],
  ])("first and second derivatives of %s are right", async (_, f, args) => {
    await useDevice(device);
    const there = await Promise.all(args.map((t) => (t as Tensor).to(device)));
    gradcheck(f as (...args: unknown[]) => Tensor, there);
    gradgradcheck((...a: unknown[]) => tanh(f(...(a as never[])) as Floats), there);
  });
});

describe("sizes", () => {
  test('"same" keeps them, and "valid" adds no border; the larger half of an odd border stands behind', () => {
    for (const k of [1, 2, 3, 4])
      for (const dilation of [1, 2])
        expect(conv1d(zeros([1, 9]), zeros([1, 1, k]), { padding: "same", dilation }).shape).toEqual([1, 9]);
    expect(conv2d(zeros([1, 1, 5, 5]), zeros([1, 1, 3, 2]), { padding: "valid" }).shape).toEqual([
      1, 1, 3, 4,
    ]);
    const edge = conv1d(tensor([[1, 2, 3]]), tensor([[[1, 10]]]), { padding: "same" });
    expect(edge.toArray()).toEqual([[21, 32, 3]]);
  });

  test("a last window that is not full counts with ceilMode, unless it begins behind the input", () => {
    const x = tensor([[1, 2, 3, 4, 5]]);
    expect(maxPool1d(x, 2).toArray()).toEqual([[2, 4]]);
    expect(maxPool1d(x, 2, { ceilMode: true }).toArray()).toEqual([[2, 4, 5]]);
    expect(maxPool1d(x, 1, { stride: 3, ceilMode: true }).toArray()).toEqual([[1, 4]]);
    expect(avgPool1d(x, 2, { ceilMode: true }).toArray()).toEqual([[1.5, 3.5, 5]]);
    expect(avgPool1d(x, 2, { ceilMode: true, padding: 1 }).toArray()).toEqual([[0.5, 2.5, 4.5]]);
  });

  test("an example without a batch gives a result without one", () => {
    expect(conv1d(zeros([2, 5]), zeros([3, 2, 2])).shape).toEqual([3, 4]);
    expect(new Conv2d(2, 3, 2).forward(zeros([2, 5, 5])).shape).toEqual([3, 4, 4]);
    expect(maxPool2d(zeros([2, 4, 4]), 2).shape).toEqual([2, 2, 2]);
    expect(patches(zeros([2, 4, 4]), 2).shape).toEqual([8, 9]);
  });

  test("are known to the compiler as far as they do not follow from arithmetic", () => {
    const x = zeros([7, 3, 8, 8]);
    expectTypeOf(conv2d(x, zeros([5, 3, 3, 3]))).toEqualTypeOf<Tensor<[7, 5, number, number], "f32">>();
    expectTypeOf(new Conv2d(3, 5, 3).forward(x)).toEqualTypeOf<Tensor<[7, 5, number, number], "f32">>();
    expectTypeOf(new Conv1d(3, 5, 3).forward(zeros([3, 8]))).toEqualTypeOf<Tensor<[5, number], "f32">>();
    expectTypeOf(new MaxPool2d(2).forward(x)).toEqualTypeOf<Tensor<[7, 3, number, number], "f32">>();
    expectTypeOf(avgPool1d(zeros([3, 8]), 2)).toEqualTypeOf<Tensor<[3, number], "f32">>();
  });
});

test("strided, transposed and broadcast inputs are read as they lie", () => {
  const x = draw([2, 5, 6, 3], 1).transpose([0, 3, 2, 1]);
  const w = draw([2, 2, 3, 3], 2).transpose([1, 0, 3, 2]).slice([0, 2], [0, 2], [0, 2], [0, 2]);
  const plain = (t: Tensor): Floats =>
    tensor(t.dataSync() as Float64Array, { shape: t.shape as number[] }) as never;
  const part = x.slice([0, 2], [1, 3]) as Floats;
  expect(conv2d(part, w as Floats).toArray()).toEqual(conv2d(plain(part), plain(w)).toArray());
  expect(maxPool2d(part, 2).toArray()).toEqual(maxPool2d(plain(part), 2).toArray());
});

test("what is refused says where, what and what to do", () => {
  const x = zeros([2, 4, 5, 5]);
  const attempts: readonly (readonly [string, () => unknown])[] = [
    [
      "conv2d: x of shape [5, 5] has 2 axes; give [batch, channels, height, width], or",
      () => conv2d(zeros([5, 5]), zeros([1, 1, 2, 2])),
    ],
    [
      "conv2d: x of shape [2, 4, 5, 5] has 4 channels, where weight [3, 2, 3, 3] takes 2; give weight as [out, in, down, across]",
      () => conv2d(x, zeros([3, 2, 3, 3])),
    ],
    [
      "conv2d: x of shape [32, 8, 8] has 32 channels, where weight [3, 1, 3, 3] takes 1; for a batch of one channel give [32, 1, 8, 8]",
      () => conv2d(zeros([32, 8, 8]), zeros([3, 1, 3, 3])),
    ],
    [
      "rows of 5 features in x of shape [2, 4, 5, 5], where the layer takes 100; join the axes of each example first: new Flatten()",
      () => new Linear(100, 2).forward(x as Tensor<Shape, "f32"> as never),
    ],
    [
      "has 4 channels, where weight [3, 2, 3, 3] takes 6 in 3 groups",
      () => conv2d(x, zeros([3, 2, 3, 3]), { groups: 3 }),
    ],
    [
      "conv2d: 3 channels of the result do not make 2 equal groups",
      () => conv2d(x, zeros([3, 2, 3, 3]), { groups: 2 }),
    ],
    ["conv2d: weight of shape [3, 4, 3]; give [out, in, down, across]", () => conv2d(x, zeros([3, 4, 3]))],
    [
      "conv2d: bias of shape [4] beside weight [3, 4, 1, 1]; give [3]",
      () => conv2d(x, zeros([3, 4, 1, 1]), { bias: zeros([4]) }),
    ],
    [
      "conv2d: windows of 6 × 1 entries on an input of 5 × 5, its border included; give a smaller kernel",
      () => conv2d(x, zeros([3, 4, 6, 1])),
    ],
    [
      "conv1d: windows of 5 entries on an input of 4",
      () => conv1d(zeros([1, 4]), zeros([1, 1, 3]), { dilation: 2 }),
    ],
    ["conv2d: stride is 0; give whole numbers from 1", () => conv2d(x, zeros([3, 4, 1, 1]), { stride: 0 })],
    [
      "conv2d: stride is an array of 3; give a number, or one for each axis: [down, across]",
      () => conv2d(x, zeros([3, 4, 1, 1]), { stride: [1, 1, 1] as never }),
    ],
    [
      'conv2d: padding is "full"; give numbers, "same" or "valid"',
      () => conv2d(x, zeros([3, 4, 1, 1]), { padding: "full" as never }),
    ],
    [
      'conv1d: padding is "same" with strides [2]',
      () => conv1d(zeros([1, 4]), zeros([1, 1, 3]), { padding: "same", stride: 2 }),
    ],
    ["conv2d: there is no option strides", () => conv2d(x, zeros([3, 4, 1, 1]), { strides: 2 } as never)],
    [
      "conv2d: element types f32 and f64 differ",
      () => conv2d(x, zeros([3, 4, 1, 1], { dtype: "f64" }) as never),
    ],
    [
      "conv2d: i32 stands where floats are wanted",
      () => conv2d(zeros([1, 2, 2], { dtype: "i32" }) as never, x as never),
    ],
    ["maxPool2d: padding is 2 for windows of 3", () => maxPool2d(x, 3, { padding: 2 })],
    ["maxPool2d: kernelSize is 1.5", () => maxPool2d(x, 1.5)],
    ["avgPool2d: ceilMode is 1; give true or false", () => avgPool2d(x, 2, { ceilMode: 1 as never })],
    ["avgPool1d: there is no option dilation", () => avgPool1d(zeros([1, 4]), 2, { dilation: 2 } as never)],
    ["Conv2d: 4 and 6 channels do not make 3 equal groups", () => new Conv2d(4, 6, 3, { groups: 3 })],
    ["Conv1d: the size 0 is not a number of channels", () => new Conv1d(0, 1, 3)],
    ["MaxPool2d: padding is 2 for windows of 2", () => new MaxPool2d(2, { padding: 2 })],
    ["AvgPool1d: there is no option dilation", () => new AvgPool1d(2, { dilation: 2 } as never)],
  ];
  for (const [message, attempt] of attempts) expect(attempt, message).toThrow(message);
});

describe("layers", () => {
  test("kernels and biases reach 1/√fanIn and no further, differ, and follow from sizes and seed", () => {
    const layer = new Conv2d(8, 16, [3, 2], { groups: 2 });
    const reach = 1 / Math.sqrt(4 * 6);
    expect(layer.namedParameters().map(([name, p]) => [name, p.shape])).toEqual([
      ["weight", [16, 4, 3, 2]],
      ["bias", [16]],
    ]);
    const largest = (t: Tensor): number => Math.max(...(t.dataSync() as Float32Array).map(Math.abs)) / reach;
    expect(largest(layer.weight.value)).toBeGreaterThan(0.98);
    expect(largest(layer.weight.value)).toBeLessThanOrEqual(1);
    expect(largest(layer.bias!.value)).toBeLessThanOrEqual(1);
    const first = (seed: number): unknown => new Conv1d(2, 2, 2, { seed }).weight.value.toArray();
    expect(first(1)).toEqual(first(1));
    expect(first(1)).not.toEqual(first(2));
  });

  test("print as PyTorch's do", () => {
    const text = [
      new Conv2d(1, 16, 3, { padding: 1 }),
      new Conv2d(4, 8, [3, 5], { padding: "same", dilation: 2, groups: 4, bias: false }),
      new Conv1d(1, 2, 3, { stride: 2 }),
      new MaxPool2d(2, { stride: [1, 2] }),
      new MaxPool1d(3),
      new AvgPool2d([2, 3], { countIncludePad: false }),
      new AvgPool1d(2),
    ].map(String);
    expect(text).toEqual([
      "Conv2d(1, 16, kernelSize=[3, 3], stride=[1, 1], padding=[1, 1])",
      'Conv2d(4, 8, kernelSize=[3, 5], stride=[1, 1], padding="same", dilation=[2, 2], groups=4, bias=false)',
      "Conv1d(1, 2, kernelSize=3, stride=2)",
      "MaxPool2d(kernelSize=2, stride=[1, 2])",
      "MaxPool1d(kernelSize=3)",
      "AvgPool2d(kernelSize=[2, 3], countIncludePad=false)",
      "AvgPool1d(kernelSize=2)",
    ]);
  });

  test("a network of them learns digits, and its steps leave nothing behind", async () => {
    await useDevice("wasm");
    const { train } = await loadData("digits");
    const images = tensor(train.x.slice(0, 256 * 64), { shape: [256, 1, 8, 8] });
    const labels = tensor(train.y.slice(0, 256));
    const model = new Sequential(
      new Conv2d(1, 8, 3, { padding: 1 }),
      relu,
      new MaxPool2d(2),
      new Conv2d(8, 16, 3, { padding: 1 }),
      relu,
      new AvgPool2d(2),
      new Flatten(),
      new BatchNorm1d(64, { momentum: 0.5 }),
      new Linear(64, 10),
    );
    const adam = new Adam(model.parameters(), { lr: 0.01 });
    const step = (): number =>
      scope(() => adam.minimize(() => crossEntropy(model.forward(images) as never, labels)).item() as number);
    const first = step();
    const { tensors, bytes } = memory();
    let last = first;
    for (let i = 0; i < 25; i++) last = step();
    expect(memory()).toMatchObject({ tensors, bytes });
    expect(first).toBeGreaterThan(2);
    expect(last).toBeLessThan(0.2);
    model.eval();
    expect(scope(() => accuracy(model.forward(images) as never, labels).item())).toBeGreaterThan(0.9);
  });
});
