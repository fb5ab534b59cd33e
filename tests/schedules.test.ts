// Schedules as functions, and what attaches them to an optimizer. PyTorch's numbers are in the golden files; here stand their laws.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { ArgumentError, DomainError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import {
  Accumulation,
  Adam,
  type Optimizer,
  Plateau,
  type Schedule,
  Scheduler,
  SGD,
  schedules,
} from "../optim/index.ts";

const {
  cosine,
  cosineRestarts,
  exponential,
  inverseSqrt,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  step,
  warmupCosine,
} = schedules;
const sgd = (lr = 0.5): SGD => new SGD([new Parameter(tensor([1]))], { lr, momentum: 0.9 });
const path = (schedule: Schedule, count: number, base = 1): number[] =>
  Array.from({ length: count }, (_, t) => schedule(t, base));
const steps = fc.integer({ min: 1, max: 200 });

test("those that end stay where they end", () => {
  fc.assert(
    fc.property(steps, steps, fc.double({ min: 1e-3, max: 10, noNaN: true }), (total, more, base) => {
      expect(cosine({ total, min: 0.1 })(total + more, base)).toBe(0.1);
      expect(polynomial({ total, power: 2 })(total + more, base)).toBe(0);
      expect(linear({ total, endFactor: 0.5 })(total + more, base)).toBe(base * 0.5);
      expect(warmupCosine({ warmup: 3, total: total + 3, minRatio: 0.5 })(total + 3 + more, base)).toBe(
        base * 0.5,
      );
      const { lr, momentum } = oneCycle({ max: base, total });
      expect(lr(total + more, 0)).toBeCloseTo(base / 25 / 1e4, 12);
      expect(momentum(total + more, 0)).toBe(0.95);
    }),
    { numRuns: 30 },
  );
});

test("a warm-up goes up in equal steps to the rate itself and from there only down", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (warmup, more) => {
      for (const schedule of [warmupCosine({ warmup, total: warmup + more }), inverseSqrt({ warmup })]) {
        const rates = path(schedule, warmup + more + 5, 2);
        expect(rates[warmup - 1]).toBe(2);
        for (let t = 0; t < warmup; t++) expect(rates[t]).toBeCloseTo((2 * (t + 1)) / warmup, 12);
        for (let t = warmup; t < rates.length; t++) expect(rates[t]).toBeLessThanOrEqual(rates[t - 1]!);
      }
    }),
    { numRuns: 30 },
  );
});

test("rates are in proportion to where they begin, but for those with a floor or a top", () => {
  const all = [
    step({ stepSize: 3 }),
    multiStep({ milestones: [2, 5] }),
    exponential({ gamma: 0.9 }),
    cosine({ total: 7 }),
    cosineRestarts({ t0: 3, tMult: 2 }),
    linear({ total: 4 }),
    polynomial({ total: 9 }),
    warmupCosine({ warmup: 2, total: 8, minRatio: 0.1 }),
    inverseSqrt({ warmup: 3 }),
  ];
  for (const schedule of all)
    path(schedule, 12, 6).forEach((rate, t) => {
      expect(rate).toBeCloseTo(6 * schedule(t, 1), 12);
    });
});

test("a cosine begins anew at the ends of its periods, exactly", () => {
  const at = (schedule: Schedule, count: number): number[] =>
    path(schedule, count).flatMap((rate, t) => (rate === 1 ? [t] : []));
  expect(at(cosineRestarts({ t0: 10, tMult: 2 }), 200)).toEqual([0, 10, 30, 70, 150]);
  expect(at(cosineRestarts({ t0: 3 }), 10)).toEqual([0, 3, 6, 9]);
  expect(cosineRestarts({ t0: 3 })(3e8, 1)).toBe(1);
});

test("milestones may come in any order, and twice", () => {
  expect(path(multiStep({ milestones: [5, 2, 5], gamma: 0.5 }), 7)).toEqual([
    1, 1, 0.5, 0.5, 0.5, 0.125, 0.125,
  ]);
  expect(path(step({ stepSize: 2, gamma: 0.5 }), 5)).toEqual([1, 1, 0.5, 0.5, 0.25]);
});

test("one cycle in three phases comes back to its first rate and then falls below it; along lines it has corners", () => {
  const { lr, momentum } = oneCycle({
    max: 25,
    total: 21,
    pctStart: 8 / 21,
    threePhase: true,
    anneal: "linear",
  });
  const close = (found: number, wanted: number) => expect(found).toBeCloseTo(wanted, 12);
  close(lr(0, 0), 1);
  close(lr(3.5, 0), 13);
  close(lr(7, 0), 25);
  close(lr(14, 0), 1);
  close(lr(20, 0), 1e-4);
  close(momentum(7, 0), 0.85);
  close(momentum(14, 0), 0.95);
  close(momentum(17, 0), 0.95);
});

test("short cycles and warm-ups without a step divide by nothing", () => {
  for (const total of [1, 2, 3])
    for (const pctStart of [0, 0.3, 1])
      for (const threePhase of [false, true])
        for (const rate of path(oneCycle({ max: 1, total, pctStart, threePhase }).lr, 5))
          expect(rate).toBeGreaterThan(0);
  expect(path(warmupCosine({ warmup: 0, total: 0 }), 2)).toEqual([0, 0]);
  expect(inverseSqrt({ warmup: 0 })(3, 1)).toBe(0.5);
});

describe("a scheduler", () => {
  test("sets each group from the value it came with, before the first step and after each", () => {
    const [a, b] = [1, 2].map((v) => new Parameter(tensor([v])));
    const adam = new Adam([
      { params: [a!], lr: 1 },
      { params: [b!], lr: 10 },
    ]);
    const scheduler = new Scheduler(adam, { lr: linear({ startFactor: 0.5, total: 2 }) });
    const seen = [0, 1, 2, 3].map(() => {
      const rates = adam.groups.map(({ lr }) => lr);
      scheduler.step();
      return rates;
    });
    expect(seen).toEqual([
      [0.5, 5],
      [0.75, 7.5],
      [1, 10],
      [1, 10],
    ]);
    expect(scheduler.steps).toBe(4);
  });

  test("changes any option: a momentum with the rate, or one of two betas", () => {
    const method = sgd();
    new Scheduler(method, oneCycle({ max: 1, total: 10 }));
    expect(method.groups[0]!.lr).toBeCloseTo(0.04, 12);
    expect(method.groups[0]!.momentum).toBe(0.95);
    const adam = new Adam([new Parameter(tensor([1]))], { betas: [0.9, 0.99] });
    const { lr, momentum } = oneCycle({ max: 1, total: 10 });
    new Scheduler(adam, { lr, betas: (t, [β1, β2]) => [momentum(t, β1), β2] });
    expect(adam.groups[0]!.betas).toEqual([0.95, 0.99]);
  });

  test("takes an optimizer inside an accumulation", () => {
    const parts = new Accumulation(sgd(1), { steps: 2 });
    new Scheduler(parts, { lr: (t, base) => base / (2 + t) }).step();
    expect(parts.groups[0]!.lr).toBeCloseTo(1 / 3);
  });

  test("what a schedule gives is checked by the next step", () => {
    const method = sgd();
    new Scheduler(method, { lr: () => -1 });
    expect(() => method.step([tensor([1])])).toThrow("SGD: lr is -1");
  });
});

describe("a plateau", () => {
  const run = (metrics: readonly number[], options: object, lr = 1): number[] => {
    const method = sgd(lr);
    const plateau = new Plateau(method, options);
    return metrics.map((metric) => {
      plateau.step(metric);
      return method.groups[0]!.lr;
    });
  };
  test("waits for its patience, and anew after each fall", () => {
    expect(run([1, 1, 1, 1, 1, 1], { patience: 1, factor: 0.5 })).toEqual([1, 1, 0.5, 0.5, 0.25, 0.25]);
  });
  test("counts nothing while it cools down", () => {
    expect(run([1, 1, 1, 1, 1, 1], { patience: 0, factor: 0.5, cooldown: 2 })).toEqual([
      1, 0.5, 0.5, 0.5, 0.25, 0.25,
    ]);
  });
  test("of larger metrics, and by an amount", () => {
    const options = { mode: "max", patience: 0, factor: 0.5, threshold: 0.1, thresholdMode: "abs" };
    expect(run([1, 1.2, 1.25, 1.4], options)).toEqual([1, 1, 0.5, 0.5]);
    expect(run([1, 1.05, 1.2], { ...options, thresholdMode: "rel" })).toEqual([1, 0.5, 0.5]);
  });
  test("stops at the least rate, and leaves out what is hardly a fall", () => {
    expect(run([1, 1, 1], { patience: 0, minLr: 0.3 })).toEqual([1, 0.3, 0.3]);
    expect(run([1, 1], { patience: 0 }, 1e-9)).toEqual([1e-9, 1e-9]);
  });
  test("NaN is not better", () => {
    expect(run([1, Number.NaN, Number.NaN], { patience: 1, factor: 0.5 })).toEqual([1, 1, 0.5]);
  });
  test("takes a loss as it is", () => {
    new Plateau(sgd()).step(tensor(1));
  });
});

describe("what makes no sense is refused by name", () => {
  const cases: [() => unknown, new (...args: never[]) => Error, string][] = [
    [() => step({ stepSize: 0 }), DomainError, "step: stepSize is 0; give a number above 0"],
    [() => step({} as never), ArgumentError, "step: stepSize is not given"],
    [() => step(undefined as never), ArgumentError, "step: stepSize is not given"],
    [() => multiStep({ milestones: 3 as never }), ArgumentError, "multiStep: milestones is 3"],
    [() => multiStep({ milestones: [1, -2] }), DomainError, "multiStep: milestones[1] is -2"],
    [() => exponential({ gamma: -1 }), DomainError, "exponential: gamma is -1"],
    [() => cosine({ total: 0 }), DomainError, "cosine: total is 0"],
    [() => cosine({ total: 10, tMax: 3 } as never), ArgumentError, "cosine: there is no option tMax"],
    [() => cosineRestarts({ t0: 1, tMult: 0.5 }), DomainError, "cosineRestarts: tMult is 0.5"],
    [() => linear({ total: 3, startFactor: -1 }), DomainError, "linear: startFactor is -1"],
    [() => polynomial({ total: 3, power: "2" as never }), ArgumentError, 'polynomial: power is "2"'],
    [() => warmupCosine({ warmup: 5, total: 3 }), DomainError, "warmupCosine: total is 3"],
    [() => inverseSqrt({ warmup: -1 }), DomainError, "inverseSqrt: warmup is -1"],
    [() => oneCycle({ max: 1, total: 3, pctStart: 2 }), DomainError, "oneCycle: pctStart is 2"],
    [
      () => oneCycle({ max: 1, total: 3, anneal: "sin" as never }),
      ArgumentError,
      'anneal is "sin"; give "cos" or "linear"',
    ],
    [() => oneCycle({ total: 3 } as never), ArgumentError, "oneCycle: max is not given"],
    [() => new Scheduler(sgd(), {}), ArgumentError, "Scheduler: there is no schedule"],
    [() => new Scheduler(sgd(), { lr: 0.1 as never }), ArgumentError, "Scheduler: the schedule of lr is 0.1"],
    [
      () => new Scheduler(sgd(), { rate: () => 1 } as never),
      ArgumentError,
      "Scheduler: there is no option rate",
    ],
    [() => new Scheduler(3 as unknown as Optimizer, {}), ArgumentError, "Scheduler: 3 is no optimizer"],
    [() => new Plateau(sgd(), { factor: 1 }), DomainError, "Plateau: factor is 1; give a number in [0, 1)"],
    [() => new Plateau(sgd(), { patience: 0.5 }), DomainError, "Plateau: patience is 0.5"],
    [
      () => new Plateau(sgd(), { mode: "less" as never }),
      ArgumentError,
      'Plateau: mode is "less"; give "min" or "max"',
    ],
    [() => new Plateau(sgd()).step("1" as never), ArgumentError, 'Plateau.step: the metric is "1"'],
  ];
  test.each(cases.map(([attempt, kind, message]) => ({ attempt, kind, message })))(
    "$message",
    ({ attempt, kind, message }) => {
      expect(attempt).toThrow(kind);
      expect(attempt).toThrow(message);
    },
  );
});
