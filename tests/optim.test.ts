// Optimizers against their definitions in plain numbers: trajectories, groups, options that change, and options without meaning.

import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  GradientError,
  ShapeError,
} from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { memory, scope } from "../core/scope.ts";
import { valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { add, mul, square } from "../ops/elementwise.ts";
import { sum } from "../ops/reduce.ts";
import { Adam, type AdamOptions, AdamW, type Optimizer, SGD, type SGDOptions } from "../optim/index.ts";

/** A made-up sequence of gradients for three entries: rough, of both signs, one of them often zero. */
const gradientAt = (t: number): number[] => [Math.sin(3 * t), 0.1 * Math.cos(t * t), t % 3 === 0 ? -2 : 0];
const start = [1, -0.5, 2];
const steps = 20;

/** The values after each step of an optimizer that is given the gradients above. */
function trajectory(
  make: (p: Parameter[]) => Optimizer,
  options: { dtype?: "f32" | "f64"; device?: "js" | "wasm" } = {},
): number[][] {
  const { dtype = "f64", device = "wasm" } = options;
  const p = new Parameter(tensor(start, { dtype, device }), { name: "w" });
  const optimizer = make([p]);
  return Array.from({ length: steps }, (_, i) => {
    scope(() => optimizer.step([tensor(gradientAt(i + 1), { dtype, device })]));
    return [...p.value.dataSync()];
  });
}

/** The same from an update written for one entry; `state` is its own. */
function reference(
  update: (theta: number, g: number, t: number, state: { [name: string]: number }) => number,
): number[][] {
  const states = start.map(() => ({}));
  const theta = [...start];
  return Array.from({ length: steps }, (_, i) => {
    gradientAt(i + 1).forEach((g, k) => {
      theta[k] = update(theta[k]!, g, i + 1, states[k]!);
    });
    return [...theta];
  });
}

function sgdReference({
  lr,
  momentum = 0,
  dampening = 0,
  weightDecay = 0,
  nesterov = false,
  maximize = false,
}: SGDOptions): number[][] {
  return reference((theta, gradient, _, s) => {
    const g = (maximize ? -gradient : gradient) + weightDecay * theta;
    if (momentum === 0) return theta - lr * g;
    s.b = s.b === undefined ? g : momentum * s.b + (1 - dampening) * g;
    return theta - lr * (nesterov ? g + momentum * s.b : s.b);
  });
}

function adamReference(options: AdamOptions, decoupled: boolean): number[][] {
  const {
    lr = 1e-3,
    betas = [0.9, 0.999],
    eps = 1e-8,
    weightDecay = decoupled ? 0.01 : 0,
    amsgrad = false,
    maximize = false,
  } = options;
  const [beta1, beta2] = betas;
  return reference((theta, gradient, t, s) => {
    let [w, g] = [theta, maximize ? -gradient : gradient];
    if (decoupled) w -= lr * weightDecay * w;
    else g += weightDecay * w;
    s.m = beta1 * (s.m ?? 0) + (1 - beta1) * g;
    s.v = beta2 * (s.v ?? 0) + (1 - beta2) * g * g;
    s.top = Math.max(s.top ?? 0, s.v);
    const root = Math.sqrt((amsgrad ? s.top : s.v) / (1 - beta2 ** t));
    return w - (lr * (s.m / (1 - beta1 ** t))) / (root + eps);
  });
}

function expectClose(found: number[][], wanted: number[][], tolerance: number): void {
  found.forEach((row, i) => {
    row.forEach((value, k) => {
      expect(Math.abs(value - wanted[i]![k]!), `step ${i + 1}, entry ${k}: ${value}`).toBeLessThanOrEqual(
        tolerance * (1 + Math.abs(wanted[i]![k]!)),
      );
    });
  });
}

const sgdCases: SGDOptions[] = [
  { lr: 0.1 },
  { lr: 0.1, weightDecay: 0.3 },
  { lr: 0.1, maximize: true, weightDecay: 0.1 },
  { lr: 0.05, momentum: 0.9 },
  { lr: 0.05, momentum: 0.8, dampening: 0.3 },
  { lr: 0.05, momentum: 0.9, weightDecay: 0.01, nesterov: true },
  { lr: 0 },
];

const adamCases: AdamOptions[] = [
  {},
  { lr: 0.01, betas: [0.8, 0.95], weightDecay: 0.1, eps: 1e-6 },
  { lr: 0.01, amsgrad: true, betas: [0.5, 0.6] },
  { lr: 0.02, maximize: true },
  { lr: 0.02, betas: [0, 0], eps: 0.1 },
];

describe.each(["js", "wasm"] as const)("on %s", (device) => {
  test.each(sgdCases)("SGD moves as it is defined: %j", (options) => {
    expectClose(
      trajectory((p) => new SGD(p, options), { device }),
      sgdReference(options),
      1e-13,
    );
  });
  test.each(adamCases)("Adam moves as it is defined: %j", (options) => {
    expectClose(
      trajectory((p) => new Adam(p, options), { device }),
      adamReference(options, false),
      1e-12,
    );
  });
  test.each(adamCases)("AdamW moves as it is defined: %j", (options) => {
    expectClose(
      trajectory((p) => new AdamW(p, options), { device }),
      adamReference(options, true),
      1e-12,
    );
  });
});

test("in f32 the complements of the betas keep their digits", () => {
  expectClose(
    trajectory((p) => new Adam(p, { lr: 0.1 }), { dtype: "f32" }),
    adamReference({ lr: 0.1 }, false),
    2e-6,
  );
  expectClose(
    trajectory((p) => new SGD(p, { lr: 0.1, momentum: 0.9 }), { dtype: "f32" }),
    sgdReference({ lr: 0.1, momentum: 0.9 }),
    2e-6,
  );
});

test("Adam's first step is the step size against the sign of the gradient", () => {
  const p = new Parameter(tensor([0, 0, 0]));
  new Adam([p], { lr: 0.5 }).step([tensor([1e-3, -70, 0])]);
  expect(p.value.toArray().map((v) => Math.round(1e4 * v) / 1e4)).toEqual([-0.5, 0.5, 0]);
});

test("moments without gradient become exact zeros, not denormal numbers", () => {
  const p = new Parameter(tensor([1, 1]));
  const sgd = new SGD([p], { lr: 1e-3, momentum: 0.5 });
  sgd.step([tensor([1, 1])]);
  for (let i = 0; i < 120; i++) sgd.step([tensor([0, 1])]);
  const [dead, alive] = sgd.stateDict()["state.0.momentum_buffer"]!.dataSync();
  expect(dead).toBe(0);
  expect(alive).toBeCloseTo(2);
});

describe("groups", () => {
  const pair = () =>
    [new Parameter(tensor([1]), { name: "a" }), new Parameter(tensor([1]), { name: "b" })] as const;
  const ones = (): Tensor[] => [tensor([1]), tensor([1])];

  test("options of a group come before those of the optimizer, and those before the defaults", () => {
    const [a, b] = pair();
    const sgd = new SGD(
      [
        { params: [a], lr: 0.5 },
        { params: [b], weightDecay: 1 },
      ],
      { lr: 0.1 },
    );
    sgd.step(ones());
    expect(a.value.item()).toBeCloseTo(0.5);
    expect(b.value.item()).toBeCloseTo(0.8);
    expect(sgd.groups.map(({ lr, momentum, weightDecay }) => [lr, momentum, weightDecay])).toEqual([
      [0.5, 0, 0],
      [0.1, 0, 1],
    ]);
    expect(sgd.parameters).toEqual([a, b]);
  });

  test("options may be changed between steps, and are checked again", () => {
    const [a, b] = pair();
    const sgd = new SGD([a, b], { lr: 0.5 });
    sgd.groups[0]!.lr = 0.25;
    sgd.step(ones());
    expect(a.value.item()).toBe(0.75);
    sgd.groups[0]!.lr = -1;
    expect(() => sgd.step(ones())).toThrow(DomainError);
    expect(a.value.item()).toBe(0.75);
  });

  test("a parameter without gradient keeps its value, its moments and its count of steps", () => {
    const [a, b] = pair();
    const adam = new Adam([a, b], { lr: 0.1 });
    for (let i = 0; i < 3; i++) adam.step([tensor([1]), undefined]);
    expect(b.value.item()).toBe(1);
    const late = new Parameter(tensor([1]));
    const fresh = new Adam([late], { lr: 0.1 });
    adam.step([undefined, tensor([0.3])]);
    fresh.step([tensor([0.3])]);
    expect(b.value.item()).toBe(late.value.item());
    expect(a.value.item()).toBeCloseTo(0.7);
  });

  test("state that is not trainable may be among the parameters and is left alone", () => {
    const running = new Parameter(tensor([5]), { trainable: false });
    const w = new Parameter(tensor([1]));
    const sgd = new SGD([running, w], { lr: 1 });
    const loss = sgd.minimize(() => sum(mul(w.value, running.value)));
    expect([loss.item(), w.value.item(), running.value.item()]).toEqual([5, -4, 5]);
  });
});

describe("minimize", () => {
  test("returns the loss before the step, readable although its step is over", () => {
    const w = new Parameter(tensor([3]));
    const sgd = new SGD([w], { lr: 0.25 });
    const losses = [0, 1, 2].map(() => sgd.minimize(() => sum(square(w.value))));
    expect(losses.map((loss) => loss.item())).toEqual([9, 2.25, 0.5625]);
    expect(w.value.item()).toBe(0.375);
  });

  test("a value that was read before the step stays what it was", () => {
    const w = new Parameter(tensor([3, 4]));
    const before = w.value;
    new SGD([w], { lr: 0.5 }).minimize(() => sum(square(w.value)));
    expect(before.toArray()).toEqual([3, 4]);
    expect(w.value.toArray()).toEqual([0, 0]);
  });

  test("agrees with valueAndGrad and step", () => {
    const make = () => {
      const w = new Parameter(tensor([0.5, -1.5], { dtype: "f64" }));
      return { w, adam: new Adam([w], { lr: 0.1 }), loss: () => sum(square(mul(w.value, add(w.value, 1)))) };
    };
    const [one, two] = [make(), make()];
    for (let i = 0; i < 5; i++) {
      one.adam.minimize(one.loss);
      const { gradients } = valueAndGrad(two.loss, two.adam.parameters);
      two.adam.step(gradients);
    }
    expect(one.w.value.toArray()).toEqual(two.w.value.toArray());
  });

  test("a parameter of no elements is no obstacle", () => {
    const [w, none] = [new Parameter(tensor([1])), new Parameter(tensor(new Float32Array(0)))];
    new Adam([w, none]).minimize(() => add(sum(square(w.value)), sum(none.value)));
    expect(w.value.item()).toBeCloseTo(0.999);
  });

  test.each<[string, (w: Parameter) => unknown, string]>([
    [
      "no parameter is reached",
      () => tensor([1]),
      "minimize: the result does not depend on any of the parameters",
    ],
    [
      "the loss is no single number",
      (w) => mul(w.value, 2),
      "minimize: the function returned a tensor of shape [2], not a single number",
    ],
    ["the loss is no tensor", () => 3, "minimize: the function returned 3, not a tensor"],
    ["the loss is a promise", async (w) => sum(w.value), "minimize: the function returned a promise"],
  ])("refuses where %s, and leaves nothing behind", (_, loss, message) => {
    const w = new Parameter(tensor([1, 2]));
    const sgd = new SGD([w], { lr: 1, momentum: 0.9 });
    const before = memory().tensors;
    const attempt = () => scope(() => sgd.minimize(() => loss(w) as Tensor));
    expect(attempt).toThrow(GradientError);
    expect(attempt).toThrow(message);
    expect(memory().tensors).toBe(before);
    expect(w.value.toArray()).toEqual([1, 2]);
  });

  test("an error inside the loss passes through and frees what was made", () => {
    const w = new Parameter(tensor([1, 2]));
    const sgd = new SGD([w], { lr: 1 });
    const before = memory().tensors;
    const failing = () => {
      mul(w.value, 2);
      throw new Error("mine");
    };
    expect(() => sgd.minimize(failing)).toThrow("mine");
    expect(memory().tensors).toBe(before);
  });
});

describe("bad arguments are refused by name", () => {
  const w = new Parameter(tensor([1, 2]), { name: "w" });
  const frozen = new Parameter(tensor([1]), { trainable: false });
  const cases: [() => unknown, new (...args: never[]) => Error, string][] = [
    [() => new SGD([w], { lr: -1 }), DomainError, "SGD: lr is -1; give a step size ≥ 0"],
    [() => new SGD([w], { lr: Number.NaN }), DomainError, "SGD: lr is NaN"],
    [() => new SGD([w], { lr: Number.POSITIVE_INFINITY }), DomainError, "SGD: lr is Infinity"],
    [() => new SGD([w], { lr: "1" as never }), ArgumentError, 'SGD: lr is "1"; give a number'],
    [() => new SGD([w], {} as SGDOptions), ArgumentError, "SGD: lr is not given"],
    [() => new SGD([w], undefined as never), ArgumentError, "SGD: lr is not given"],
    [() => new SGD([w], 0.1 as never), ArgumentError, "SGD: 0.1 stands where options are wanted"],
    [() => new SGD([w], { lr: 1, beta: 1 } as never), ArgumentError, "SGD: there is no option beta"],
    [
      () => new SGD([{ params: [w], lrate: 1 } as never], { lr: 1 }),
      ArgumentError,
      "SGD: there is no option lrate",
    ],
    [() => new SGD([w], { lr: 1, momentum: -0.1 }), DomainError, "SGD: momentum is -0.1"],
    [() => new SGD([w], { lr: 1, weightDecay: -1 }), DomainError, "SGD: weightDecay is -1"],
    [() => new SGD([w], { lr: 1, nesterov: true }), ArgumentError, "nesterov is given with momentum 0"],
    [
      () => new SGD([w], { lr: 1, nesterov: true, momentum: 0.9, dampening: 0.1 }),
      ArgumentError,
      "dampening 0.1",
    ],
    [
      () => new SGD([w], { lr: 1, nesterov: "yes" as never }),
      ArgumentError,
      'SGD: nesterov is "yes"; give true or false',
    ],
    [() => new Adam([w], { betas: [1, 0.9] }), DomainError, "Adam: betas[0] is 1; give a number in [0, 1)"],
    [() => new Adam([w], { betas: [0.9, -0.1] }), DomainError, "Adam: betas[1] is -0.1"],
    [() => new Adam([w], { betas: 0.9 as never }), ArgumentError, "Adam: betas is 0.9; give two numbers"],
    [() => new Adam([w], { eps: -1e-8 }), DomainError, "Adam: eps is"],
    [() => new AdamW([w], { lr: -1 }), DomainError, "AdamW: lr is -1"],
    [() => new AdamW([w], { amsgrad: 1 as never }), ArgumentError, "AdamW: amsgrad is 1"],
    [() => new Adam(w as never), ArgumentError, "Adam: a Parameter stands where parameters are wanted"],
    [() => new Adam([]), ArgumentError, "Adam: there is nothing to train"],
    [() => new Adam([frozen]), ArgumentError, "Adam: there is nothing to train"],
    [() => new Adam([w, w]), ArgumentError, "Adam: the parameter w of shape [2] is given twice"],
    [() => new Adam([{ params: [w] }, { params: [w] }]), ArgumentError, "given twice"],
    [() => new Adam([w.value as never]), ArgumentError, "Adam: entry 0 of the parameters is a Tensor"],
    [
      () => new Adam([{ params: [w] }, w as never]),
      ArgumentError,
      "Adam: entry 1 of the groups is a Parameter",
    ],
    [() => new Adam([{ params: w as never }]), ArgumentError, "Adam: the params of group 0 are a Parameter"],
    [() => new SGD([w], { lr: 1 }).minimize(3 as never), ArgumentError, "minimize: 3 is not a function"],
    [() => new SGD([w], { lr: 1 }).step([]), ArgumentError, "SGD.step: 0 gradients for 1 parameters"],
    [() => new SGD([w], { lr: 1 }).step(w as never), ArgumentError, "SGD.step: a Parameter for 1 parameters"],
    [() => new SGD([w], { lr: 1 }).step([3 as never]), ArgumentError, "SGD.step: gradient 0 (of w) is 3"],
    [
      () => new SGD([w], { lr: 1 }).step([tensor([1])]),
      ShapeError,
      "gradient 0 (of w) has shape [1], the parameter [2]",
    ],
    [
      () => new SGD([w], { lr: 1 }).step([tensor([1, 2], { dtype: "f64" })]),
      DTypeError,
      "is f64, the parameter f32",
    ],
    [
      () => new SGD([w], { lr: 1 }).step([tensor([1, 2], { device: "js" })]),
      DeviceError,
      "lives on js, the parameter on wasm",
    ],
    [() => new SGD([w, frozen], { lr: 1 }).step([undefined, tensor([1])]), ArgumentError, "not trainable"],
  ];
  test.each(cases.map(([attempt, kind, message]) => ({ attempt, kind, message })))(
    "$message",
    ({ attempt, kind, message }) => {
      expect(attempt).toThrow(kind);
      expect(attempt).toThrow(message);
      expect(w.value.toArray()).toEqual([1, 2]);
    },
  );
});
