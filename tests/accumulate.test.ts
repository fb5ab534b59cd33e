// Accumulation against the joined batch and against its rule: the same steps, the same memory, nothing lost.

import { beforeEach, describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { ArgumentError, DomainError, GradientError, ShapeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { memory, scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { asSoftmaxLoss, asSpeedSteps, crossEntropy } from "../losses/index.ts";
import { Linear, Sequential } from "../nn/index.ts";
import { add, mul, relu, square } from "../ops/elementwise.ts";
import { sum } from "../ops/reduce.ts";
import { Accumulation, Adam, AdamW, type Counted, type Optimizer, SGD } from "../optim/index.ts";
import { firstDifference } from "./suite/samples.ts";

const [features, classes, batch] = [5, 3, 4];
const x = tensor(
  Float64Array.from({ length: 12 * batch * features }, (_, i) => Math.sin(i * i)),
  { shape: [12 * batch, features] },
);
const y = Array.from({ length: 12 * batch }, (_, i) => (i * 7) % classes);

const network = () =>
  new Sequential(
    new Linear(features, 8, { seed: 3, dtype: "f64" }),
    relu,
    new Linear(8, classes, { seed: 3, dtype: "f64" }),
  );

/** The loss of samples from `from` to `to`. */
const lossOf = (model: ReturnType<typeof network>, from: number, to: number) => () =>
  crossEntropy(model.forward(x.slice([from, to]) as Tensor<[number, 5], "f64">), y.slice(from, to));

const values = (parameters: readonly Parameter[]): number[] =>
  parameters.flatMap(({ value }) => [...value.dataSync()]);

function expectClose(found: readonly number[], wanted: readonly number[], tolerance = 1e-13): void {
  expect(firstDifference(found, wanted, tolerance)).toBeUndefined();
}

const methods: readonly (readonly [string, (p: Parameter[]) => Optimizer])[] = [
  ["SGD", (p) => new SGD(p, { lr: 0.1, momentum: 0.9 })],
  ["Adam", (p) => new Adam(p, { lr: 0.01 })],
  ["AdamW", (p) => new AdamW(p, { lr: 0.01 })],
];

describe.each(methods)("with %s", (_, make) => {
  test.each([1, 2, 3, 6])("%d mini-batches are the batch that they make together", (k) => {
    const [one, two] = [network(), network()];
    const [whole, parts] = [make(one.parameters()), new Accumulation(make(two.parameters()), { steps: k })];
    for (let at = 0; at < 12; at += k) {
      whole.minimize(lossOf(one, at * batch, (at + k) * batch));
      for (let i = at; i < at + k; i++) parts.minimize(lossOf(two, i * batch, (i + 1) * batch));
      expectClose(values(two.parameters()), values(one.parameters()));
    }
    expect(parts.updates).toBe(12 / k);
  });

  test("what is left steps by its own mean when it is flushed, once", () => {
    const [one, two] = [network(), network()];
    const [whole, parts] = [make(one.parameters()), new Accumulation(make(two.parameters()), { steps: 5 })];
    const before = values(two.parameters());
    for (let i = 0; i < 3; i++) parts.minimize(lossOf(two, i * batch, (i + 1) * batch));
    expect(values(two.parameters())).toEqual(before);
    parts.flush();
    parts.flush();
    whole.minimize(lossOf(one, 0, 3 * batch));
    expectClose(values(two.parameters()), values(one.parameters()));
    expect(parts.updates).toBe(1);
  });
});

test("a single mini-batch steps as the optimizer itself, to the last bit", () => {
  const [one, two] = [network(), network()];
  const [plain, wrapped] = [
    new Adam(one.parameters()),
    new Accumulation(new Adam(two.parameters()), { steps: 1 }),
  ];
  for (let i = 0; i < 5; i++) {
    const [a, b] = [plain.minimize(lossOf(one, 0, 8)), wrapped.minimize(lossOf(two, 0, 8))];
    expect(b.item()).toBe(a.item());
  }
  expect(values(two.parameters())).toEqual(values(one.parameters()));
});

test("a parameter that some mini-batches do not reach has gradient 0 in them; one that none reaches is left alone", () => {
  const [a, b, c] = [1, 1, 1].map((v) => new Parameter(tensor([v])));
  const parts = new Accumulation(new SGD([a!, b!, c!], { lr: 1 }), { steps: 2 });
  parts.minimize(() => sum(mul(a!.value, 3)));
  parts.minimize(() => sum(add(a!.value, mul(b!.value, 2))));
  expect([a, b, c].map((p) => p!.value.item())).toEqual([1 - 4 / 2, 1 - 2 / 2, 1]);
});

test("step takes gradients from elsewhere, and keeps none of them", () => {
  const w = new Parameter(tensor([1, 2]));
  const parts = new Accumulation(new SGD([w], { lr: 1 }), { steps: 2 });
  const g = tensor([1, 3]);
  parts.step([g]);
  parts.step([g]);
  expect(w.value.toArray()).toEqual([0, -1]);
  expect(g.toArray()).toEqual([1, 3]);
});

test("groups and parameters are those of the optimizer", () => {
  const w = new Parameter(tensor([1]));
  const sgd = new SGD([w], { lr: 1 });
  const parts = new Accumulation(sgd, { steps: 2 });
  expect(parts.parameters).toBe(sgd.parameters);
  parts.groups[0]!.lr = 0.5;
  parts.step([tensor([1])]);
  parts.step([tensor([1])]);
  expect(w.value.item()).toBe(0.5);
});

describe("memory", () => {
  test.each([
    ["fixed", { steps: 3 }],
    ["by a rule", { window: 5, adapt: ({ previous }: Counted) => (previous % 4) + 1 }],
  ])("is the same after hundreds of mini-batches, %s", (_, options) => {
    const model = new Sequential(
      new Linear(features, 40, { seed: 1 }),
      relu,
      new Linear(40, classes, { seed: 1 }),
    );
    const parts = new Accumulation(new Adam(model.parameters()), options);
    const xs = tensor(Float32Array.from(x.dataSync()), { shape: [12 * batch, features] });
    const reduction = "adapt" in options ? "none" : "mean";
    const run = (): void => {
      for (let i = 0; i < 60; i++) parts.minimize(() => crossEntropy(model.forward(xs), y, { reduction }));
      parts.flush();
    };
    run();
    const { tensors, bytes } = memory();
    for (let i = 0; i < 5; i++) run();
    expect(memory()).toMatchObject({ tensors, bytes });
  });

  test("an error leaves nothing behind, and what was collected in place", () => {
    const w = new Parameter(tensor([1, 2]));
    const parts = new Accumulation(new SGD([w], { lr: 1 }), { steps: 2 });
    parts.step([tensor([1, 1])]);
    const { tensors } = memory();
    expect(() => scope(() => parts.minimize(() => tensor([1])))).toThrow(GradientError);
    expect(() => scope(() => parts.step([tensor([1])]))).toThrow(ShapeError);
    expect(memory().tensors).toBe(tensors);
    parts.flush();
    expect(w.value.toArray()).toEqual([0, 1]);
  });
});

describe("with a rule", () => {
  const counted: Counted[] = [];
  beforeEach(() => {
    counted.length = 0;
  });
  /** Losses of four samples, of which so many are 0. */
  const samples = (w: Parameter, easy: number) => () =>
    mul(square(w.value), tensor([1, 2, 3, 4].map((v, i) => (i < easy ? 0 : v))));

  test("counts samples whose loss is 0, and asks once a window", () => {
    const w = new Parameter(tensor([1, 1, 1, 1]));
    const adapt = (c: Counted): number => {
      counted.push(c);
      return asSpeedSteps({ ...c, maxSteps: 3 });
    };
    const speed = new Accumulation(new SGD([w], { lr: 0 }), { window: 2, adapt });
    const ks: number[] = [];
    // Of two steps of one mini-batch each all samples are hard; later more and more are easy.
    for (const easy of [0, 0, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4]) {
      speed.minimize(samples(w, easy));
      ks.push(speed.steps);
    }
    expect(ks).toEqual([1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    expect(counted).toEqual([
      { samples: 8, easy: 0, previous: 1 },
      { samples: 8, easy: 4, previous: 1 },
      { samples: 16, easy: 10, previous: 2 },
      { samples: 24, easy: 22, previous: 3 },
    ]);
    expect(speed.updates).toBe(2 + 2 + 2 + 2);
  });

  test("steps by the mean of the losses, and returns it", () => {
    const w = new Parameter(tensor([1, 1, 1, 1]));
    const speed = new Accumulation(new SGD([w], { lr: 1 }), { adapt: () => 1 });
    expect(speed.minimize(samples(w, 1)).item()).toBe(9 / 4);
    expect(w.value.toArray()).toEqual([1, 0, -0.5, -1]);
  });

  test("an easy sample of AS-Softmax is one that is counted", () => {
    const scores = new Parameter(
      tensor([
        [9, 0, 0],
        [0, 1, 0.9],
        [0, 0, 9],
      ]),
    );
    const adapt = (c: Counted): number => counted.push(c);
    const speed = new Accumulation(new SGD([scores], { lr: 0 }), { window: 1, adapt });
    speed.minimize(() => asSoftmaxLoss(scores.value, [0, 1, 2], { reduction: "none" }));
    expect(counted).toEqual([{ samples: 3, easy: 2, previous: 1 }]);
  });

  test("is not asked where nothing was counted", () => {
    const w = new Parameter(tensor([1]));
    const speed = new Accumulation(new SGD([w], { lr: 1 }), { window: 1, adapt: () => 5 });
    speed.step([tensor([1])]);
    expect(speed.steps).toBe(1);
  });

  test("refuses a loss that is one number, and an answer that is no number of mini-batches", () => {
    const w = new Parameter(tensor([1, 1]));
    const speed = new Accumulation(new SGD([w], { lr: 1 }), { window: 1, adapt: () => 0.5 });
    expect(() => speed.minimize(() => sum(w.value))).toThrow(
      'give the losses of the samples: { reduction: "none" }',
    );
    expect(() => speed.minimize(() => 3 as never)).toThrow("the function returned 3, not a tensor");
    expect(() => speed.minimize(() => square(w.value))).toThrow("Accumulation: adapt's answer is 0.5");
  });
});

test("bad arguments are refused by name", () => {
  const sgd = new SGD([new Parameter(tensor([1]))], { lr: 1 });
  expect(() => new Accumulation(sgd, { steps: 0 })).toThrow(DomainError);
  expect(() => new Accumulation(sgd, { steps: 1.5 })).toThrow(
    "Accumulation: steps is 1.5; give an integer of at least 1",
  );
  expect(() => new Accumulation(sgd, { window: -1 })).toThrow("Accumulation: window is -1");
  expect(() => new Accumulation(sgd, { adapt: 3 as never })).toThrow("Accumulation: adapt is 3");
  expect(() => new Accumulation(sgd, { k: 3 } as never)).toThrow("Accumulation: there is no option k");
  expect(() => new Accumulation(3 as never)).toThrow(ArgumentError);
  expect(() => new Accumulation(sgd).minimize(3 as never)).toThrow("minimize: 3 is not a function");
  expect(() => new Accumulation(sgd).step([])).toThrow("Accumulation.step: 0 gradients for 1 parameters");
});
