// Training as users write it: no growth of memory, the same numbers each time, and problems that are learned.

import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { Parameter } from "../core/parameter.ts";
import { normal, randomInt, uniform } from "../core/random.ts";
import { memory, scope } from "../core/scope.ts";
import { grad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { crossEntropy, sparsemaxLoss } from "../losses/index.ts";
import { Dropout, Linear, Module, Sequential } from "../nn/index.ts";
import { add, mul, relu, square, sub, tanh } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { mean, sum } from "../ops/reduce.ts";
import { Adam, AdamW, type Optimizer, SGD } from "../optim/index.ts";

const x = uniform([32, 20], { seed: 1 });
const y = randomInt([32], { seed: 2, high: 5 });
const network = () => new Sequential(new Linear(20, 16), relu, new Dropout(0.1), new Linear(16, 5));

describe("memory", () => {
  test.each<[string, (p: Parameter[]) => Optimizer]>([
    ["SGD", (p) => new SGD(p, { lr: 0.05 })],
    ["SGD with momentum", (p) => new SGD(p, { lr: 0.05, momentum: 0.9 })],
    ["Adam", (p) => new Adam(p, { lr: 1e-3 })],
    ["AdamW with amsgrad", (p) => new AdamW(p, { amsgrad: true })],
  ])("5,000 steps of %s without one dispose leave not a tensor and not a byte", (_, make) => {
    const model = network();
    const optimizer = make(model.parameters());
    const losses: Tensor[] = [];
    const step = () => losses.push(optimizer.minimize(() => crossEntropy(model.forward(x), y)));
    for (let i = 0; i < 10; i++) step();
    const before = memory();
    for (let i = 0; i < 5000; i++) step();
    const after = memory();
    expect(after).toEqual(before);
    expect(losses[5000]!.item()).toBeLessThan(losses[0]!.item() as number);
  });

  test("evaluation in a scope, and reading on the way, leave nothing either", () => {
    const model = network().eval();
    const adam = new Adam(model.parameters());
    const once = (): void => {
      const loss = adam.minimize(() => {
        const scores = model.forward(x);
        scores.slice(0).dataSync();
        return sparsemaxLoss(scores, y);
      });
      String(loss);
      scope(() => model.forward(x).dataSync());
      scope(() => grad((t: Tensor) => sum(square(model.forward(t as typeof x))))(x).dataSync());
    };
    once();
    const before = memory();
    for (let i = 0; i < 50; i++) once();
    expect(memory()).toEqual(before);
  });
});

test("the same program gives the same numbers", () => {
  const run = (seed: number): number[] => {
    const model = new Sequential(
      new Linear(20, 16, { seed }),
      relu,
      new Dropout(0.3, { seed }),
      new Linear(16, 5, { seed }),
    );
    const adam = new Adam(model.parameters(), { lr: 0.01 });
    return Array.from(
      { length: 20 },
      () => adam.minimize(() => crossEntropy(model.forward(x), y)).item() as number,
    );
  };
  expect(run(0)).toEqual(run(0));
  expect(run(0)).not.toEqual(run(1));
});

test("exclusive or is learned", () => {
  const inputs = tensor([
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ]);
  const model = new Sequential(new Linear(2, 8, { seed: 3 }), tanh, new Linear(8, 2));
  const sgd = new SGD(model.parameters(), { lr: 0.5, momentum: 0.9, nesterov: true });
  let loss = 1;
  for (let i = 0; i < 200; i++)
    loss = sgd.minimize(() => crossEntropy(model.forward(inputs), [0, 1, 1, 0])).item() as number;
  expect(loss).toBeLessThan(0.01);
});

test("a least-squares problem is solved to the digits of f64", () => {
  const a = normal([12, 3], { seed: 1, dtype: "f64" });
  const truth = tensor([1, -2, 0.5], { dtype: "f64" });
  const b = scope(() => matmul(a, truth));
  const w = new Parameter(tensor([0, 0, 0], { dtype: "f64" }));
  const sgd = new SGD([w], { lr: 0.3, momentum: 0.6 });
  for (let i = 0; i < 400; i++) sgd.minimize(() => mean(square(sub(matmul(a, w.value), b))));
  for (const [i, v] of w.value.toArray().entries()) expect(v).toBeCloseTo(truth.toArray()[i]!, 12);
});

test("a model of one's own trains, shared weights receive the sum of their gradients", () => {
  class Tied extends Module {
    readonly weight = new Parameter(tensor([[0.5]], { dtype: "f64" }), { name: "weight" });
    override forward(x: Tensor<[1, 1], "f64">): Tensor<[1, 1], "f64"> {
      return matmul(matmul(x, this.weight.value), this.weight.value);
    }
  }
  const model = new Tied();
  const sgd = new SGD(model.parameters(), { lr: 0.1 });
  // The derivative of 3·w² at 0.5 is 3.
  sgd.minimize(() => sum(model.forward(tensor([[3]], { dtype: "f64" }))));
  expect(model.weight.value.item()).toBeCloseTo(0.2, 14);
});

test("a frozen part stays as it is while gradients pass through it", () => {
  const [frozen, head] = [new Linear(2, 2), new Linear(2, 1)];
  const before = frozen.weight.value.toArray();
  const first = new Linear(2, 2, { seed: 5 });
  const start = first.weight.value.toArray();
  const sgd = new SGD([...first.parameters(), ...head.parameters()], { lr: 0.1 });
  sgd.minimize(() => sum(head.forward(relu(add(frozen.forward(first.forward(tensor([[1, 2]]))), 5)))));
  expect(frozen.weight.value.toArray()).toEqual(before);
  expect(first.weight.value.toArray()).not.toEqual(start);
});

test("a step inside a differentiated function changes the parameter, and the gradient is that of what was computed", () => {
  const w = new Parameter(tensor([2], { dtype: "f64" }));
  const sgd = new SGD([w], { lr: 0.25 });
  const g = grad((x: Tensor) => {
    const inner = sgd.minimize(() => sum(square(w.value)));
    return sum(mul(x as Tensor<[1], "f64">, add(w.value, mul(inner, 0))));
  })(tensor([7], { dtype: "f64" }));
  expect([w.value.item(), g.item()]).toEqual([1, 1]);
});
