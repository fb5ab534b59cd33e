// The further methods of optimization against their definitions in plain numbers, and the options that they refuse.

import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { ArgumentError, DomainError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { add, mul, sign, sub } from "../ops/elementwise.ts";
import {
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  type Group,
  Lion,
  NAdam,
  Optimizer,
  RAdam,
  type Remembered,
  RMSprop,
  SGD,
  SparseAdam,
  type Trained,
  type Turn,
} from "../optim/index.ts";

type Numbers = { [name: string]: number };
type Options = { readonly [name: string]: unknown };
/** One step of one entry; `s` is its own, with zeros at first. */
type Step = (theta: number, g: number, t: number, s: Numbers, o: never) => number;
type Method = new (params: readonly Parameter[], options: never) => Optimizer;

const steps = 20;
const start = [1, -0.5, 2];
/** Rough gradients of both signs, one of them often zero. */
const gradientAt = (t: number): number[] => [Math.sin(3 * t), 0.1 * Math.cos(t * t), t % 3 === 0 ? -2 : 0];

/** m ← β·m + (1 − β)·x, from 0. */
const follow = (s: Numbers, name: string, beta: number, x: number): number => {
  s[name] = beta * (s[name] ?? 0) + (1 - beta) * x;
  return s[name];
};

interface AdamLike {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly momentumDecay: number;
}

const methods: readonly (readonly [
  name: string,
  make: Method,
  defaults: Options,
  step: Step,
  cases: readonly Options[],
])[] = [
  [
    "Adagrad",
    Adagrad,
    { lr: 0.01, lrDecay: 0, eps: 1e-10, initialAccumulatorValue: 0 },
    (theta, g, t, s, o: { lr: number; lrDecay: number; eps: number; initialAccumulatorValue: number }) => {
      s.sum = (s.sum ?? o.initialAccumulatorValue) + g * g;
      return theta - ((o.lr / (1 + (t - 1) * o.lrDecay)) * g) / (Math.sqrt(s.sum) + o.eps);
    },
    [
      {},
      { lr: 0.1, lrDecay: 0.02, initialAccumulatorValue: 0.3, weightDecay: 0.01 },
      { maximize: true, eps: 0.1 },
    ],
  ],
  [
    "RMSprop",
    RMSprop,
    { lr: 0.01, alpha: 0.99, eps: 1e-8, momentum: 0, centered: false },
    (theta, g, _, s, o: { lr: number; alpha: number; eps: number; momentum: number; centered: boolean }) => {
      const v = follow(s, "v", o.alpha, g * g);
      const m = follow(s, "m", o.alpha, g);
      const d = g / (Math.sqrt(o.centered ? v - m * m : v) + o.eps);
      s.b = o.momentum * (s.b ?? 0) + d;
      return theta - o.lr * s.b;
    },
    [
      {},
      { alpha: 0.9, centered: true },
      { momentum: 0.9, weightDecay: 0.02, maximize: true },
      { alpha: 0.5, centered: true, momentum: 0.5, eps: 1e-3 },
    ],
  ],
  [
    "Adamax",
    Adamax,
    { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8 },
    (theta, g, t, s, { lr, betas: [b1, b2], eps }: AdamLike) => {
      const m = follow(s, "m", b1, g);
      s.u = Math.max(b2 * (s.u ?? 0), Math.abs(g) + eps);
      return theta - (lr / (1 - b1 ** t)) * (m / s.u);
    },
    [{}, { lr: 0.05, betas: [0.5, 0.9], weightDecay: 0.1, eps: 1e-3 }, { maximize: true, betas: [0, 0] }],
  ],
  [
    "NAdam",
    NAdam,
    { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, momentumDecay: 4e-3 },
    (theta, g, t, s, { lr, betas: [b1, b2], eps, momentumDecay }: AdamLike) => {
      const mu = (k: number): number => b1 * (1 - 0.5 * 0.96 ** (k * momentumDecay));
      s.product = (s.product ?? 1) * mu(t);
      const m = follow(s, "m", b1, g);
      const root = Math.sqrt(follow(s, "v", b2, g * g) / (1 - b2 ** t)) + eps;
      const ahead = (mu(t + 1) * m) / (1 - s.product * mu(t) * mu(t + 1));
      return theta - (lr * (((1 - mu(t)) * g) / (1 - s.product) + ahead)) / root;
    },
    [
      {},
      { lr: 0.05, betas: [0.7, 0.9], weightDecay: 0.1, momentumDecay: 0.3, eps: 1e-4 },
      { maximize: true },
    ],
  ],
  [
    "RAdam",
    RAdam,
    { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8 },
    (theta, g, t, s, { lr, betas: [b1, b2], eps }: AdamLike) => {
      const m = follow(s, "m", b1, g) / (1 - b1 ** t);
      const v = follow(s, "v", b2, g * g);
      const most = 2 / (1 - b2) - 1;
      const rho = most - (2 * t * b2 ** t) / (1 - b2 ** t);
      if (rho <= 5) return theta - lr * m;
      const r = Math.sqrt(((rho - 4) * (rho - 2) * most) / ((most - 4) * (most - 2) * rho));
      return theta - (lr * m * r * Math.sqrt(1 - b2 ** t)) / (Math.sqrt(v) + eps);
    },
    // With β₂ = 0.5 the step is never rectified.
    [{}, { lr: 0.05, betas: [0.7, 0.9], weightDecay: 0.1, eps: 1e-2 }, { betas: [0.9, 0.5], maximize: true }],
  ],
  [
    "Adadelta",
    Adadelta,
    { lr: 1, rho: 0.9, eps: 1e-6 },
    (theta, g, _, s, o: { lr: number; rho: number; eps: number }) => {
      const v = follow(s, "v", o.rho, g * g);
      const d = (Math.sqrt((s.u ?? 0) + o.eps) / Math.sqrt(v + o.eps)) * g;
      follow(s, "u", o.rho, d * d);
      return theta - o.lr * d;
    },
    [{}, { lr: 0.5, rho: 0.5, eps: 1e-3, weightDecay: 0.1 }, { maximize: true }],
  ],
  [
    "Lion",
    Lion,
    { lr: 1e-4, betas: [0.9, 0.99], decoupled: 0 },
    (theta, g, _, s, { lr, betas: [b1, b2], decoupled }: AdamLike & { decoupled: number }) => {
      const direction = Math.sign(b1 * (s.m ?? 0) + (1 - b1) * g);
      follow(s, "m", b2, g);
      return theta - lr * (direction + decoupled * theta);
    },
    [{}, { lr: 0.1, betas: [0.5, 0.9], decoupled: 0.3 }, { lr: 0.01, maximize: true }],
  ],
  [
    "SparseAdam",
    SparseAdam,
    { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8 },
    (theta, g, t, s, { lr, betas: [b1, b2], eps }: AdamLike) => {
      if (g === 0) return theta;
      const m = follow(s, "m", b1, g);
      const v = follow(s, "v", b2, g * g);
      return theta - ((lr * Math.sqrt(1 - b2 ** t)) / (1 - b1 ** t)) * (m / (Math.sqrt(v) + eps));
    },
    [{}, { lr: 0.05, betas: [0.5, 0.9], eps: 1e-2 }, { maximize: true }],
  ],
];

describe.each(methods)("%s", (_, Method, defaults, step, cases) => {
  test.each(cases)("moves as it is defined: %j", (options) => {
    const { decoupled, ...rest } = options;
    const p = new Parameter(tensor(start, { dtype: "f64" }));
    const optimizer = new Method([p], { ...rest, ...(decoupled ? { weightDecay: decoupled } : {}) } as never);
    const theta = [...start];
    const states: Numbers[] = start.map(() => ({}));
    const { weightDecay = 0, maximize = false } = options as { weightDecay?: number; maximize?: boolean };
    for (let t = 1; t <= steps; t++) {
      scope(() => optimizer.step([tensor(gradientAt(t), { dtype: "f64" })]));
      gradientAt(t).forEach((g, k) => {
        const joined = (maximize ? -g : g) + weightDecay * theta[k]!;
        theta[k] = step(theta[k]!, joined, t, states[k]!, { ...defaults, ...options } as never);
      });
      p.value.dataSync().forEach((found, k) => {
        expect(Math.abs(found - theta[k]!), `step ${t}, entry ${k}`).toBeLessThanOrEqual(1e-12);
      });
    }
  });

  test("a gradient of NaN is not hidden, and stays with its entry", () => {
    const p = new Parameter(tensor([1, 2, 3]));
    const optimizer = new Method([p], {} as never);
    for (const g of [
      [1, Number.NaN, 1],
      [1, 1, 1],
    ])
      optimizer.step([tensor(g)]);
    expect([...p.value.dataSync()].map(Number.isNaN)).toEqual([false, true, false]);
  });
});

test("moments of SGD and Adam do not hide NaN either", () => {
  for (const make of [
    (p: Parameter[]) => new SGD(p, { lr: 1, momentum: 0.9 }),
    (p: Parameter[]) => new Adam(p),
  ]) {
    const p = new Parameter(tensor([1, 2]));
    make([p]).step([tensor([Number.NaN, 1])]);
    expect([...p.value.dataSync()].map(Number.isNaN)).toEqual([true, false]);
  }
});

test("a variance that is rounded below 0 divides as 0 does", () => {
  const p = new Parameter(tensor([1]));
  const rmsprop = new RMSprop([p], { centered: true, alpha: 0.5, lr: 1e-9, eps: 1 });
  for (let i = 0; i < 60; i++) rmsprop.step([tensor([0.1 + 0.2])]);
  expect(p.value.item()).toBeCloseTo(1);
});

test("a variance whose squares overflow holds the parameter still, and hides no NaN", () => {
  const p = new Parameter(tensor([1, 2, 3]));
  const rmsprop = new RMSprop([p], { centered: true, momentum: 0.9 });
  for (let i = 0; i < 3; i++) rmsprop.step([tensor([1e20, -1e30, Number.NaN])]);
  expect([...p.value.dataSync()]).toEqual([1, 2, Number.NaN]);
});

test("a method of one's own is its formula, what it remembers, and its checks", () => {
  interface Options {
    readonly lr?: number;
  }
  /** Steps of one length along the sum of the gradients, shorter each time. */
  class Own extends Optimizer<Options> {
    constructor(params: Trained<Options>, options: Options = {}) {
      super("Own", params, options, { lr: 1 });
    }
    protected override check({ lr }: Group<Options>): void {
      if (!(lr >= 0)) throw new RangeError(`lr is ${lr}`);
    }
    protected override remembers(): Remembered {
      return { moments: { total: 0 }, numbers: { factor: 1 } };
    }
    protected override update({ theta, g, options, moments, numbers }: Turn<Options>): readonly Tensor[] {
      numbers.factor! /= 2;
      const total = add(moments[0]!, g);
      return [sub(theta, mul(sign(total), options.lr * numbers.factor!)), total];
    }
  }
  const run = (own: Own, ...gradients: number[]): number => {
    for (const g of gradients) own.step([tensor([g])]);
    return own.parameters[0]!.value.item() as number;
  };
  const make = (at = 0): Own => new Own([new Parameter(tensor([at]))], { lr: 2 });
  const [whole, first] = [make(), make()];
  expect(run(whole, 1, -3, 1, 9)).toBe(-1 + 0.5 + 0.25 - 0.125);
  const resumed = make(run(first, 1, -3));
  resumed.loadStateDict(first.stateDict());
  expect(Object.keys(first.stateDict())).toEqual([
    "param_groups.0.lr",
    "state.0.step",
    "state.0.factor",
    "state.0.total",
  ]);
  expect(run(resumed, 1, 9)).toBe(run(whole));
  expect(() => new Own([new Parameter(tensor([0]))], { lr: -1 })).toThrow("lr is -1");
});

describe("options without meaning are refused by name", () => {
  const w = new Parameter(tensor([1, 2]));
  const cases: [() => unknown, new (...args: never[]) => Error, string][] = [
    [() => new Adagrad([w], { lr: -1 }), DomainError, "Adagrad: lr is -1; give a step size ≥ 0"],
    [() => new Adagrad([w], { lrDecay: -1 }), DomainError, "Adagrad: lrDecay is -1"],
    [
      () => new Adagrad([w], { initialAccumulatorValue: -0.1 }),
      DomainError,
      "initialAccumulatorValue is -0.1",
    ],
    [() => new Adagrad([w], { eps: Number.NaN }), DomainError, "Adagrad: eps is NaN"],
    [() => new RMSprop([w], { alpha: 1.5 }), DomainError, "RMSprop: alpha is 1.5; give a number in [0, 1]"],
    [() => new RMSprop([w], { momentum: -1 }), DomainError, "RMSprop: momentum is -1"],
    [
      () => new RMSprop([w], { centered: 1 as never }),
      ArgumentError,
      "RMSprop: centered is 1; give true or false",
    ],
    [() => new Adamax([w], { betas: [0.9, 1] }), DomainError, "Adamax: betas[1] is 1"],
    [() => new NAdam([w], { momentumDecay: -1 }), DomainError, "NAdam: momentumDecay is -1"],
    [() => new RAdam([w], { weightDecay: -1 }), DomainError, "RAdam: weightDecay is -1"],
    [() => new Adadelta([w], { rho: -0.1 }), DomainError, "Adadelta: rho is -0.1"],
    [() => new Lion([w], { betas: [0.9] as never }), ArgumentError, "Lion: betas is an array of 1"],
    [() => new Lion([w], { eps: 1 } as never), ArgumentError, "Lion: there is no option eps"],
    [() => new SparseAdam([w], { maximize: 1 as never }), ArgumentError, "SparseAdam: maximize is 1"],
  ];
  test.each(cases.map(([attempt, kind, message]) => ({ attempt, kind, message })))(
    "$message",
    ({ attempt, kind, message }) => {
      expect(attempt).toThrow(kind);
      expect(attempt).toThrow(message);
    },
  );
});
