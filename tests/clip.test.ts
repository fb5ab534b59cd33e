// Clipping: bounds that hold, directions that stay, and norms that are not finite.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { ArgumentError, DeviceError, DomainError, DTypeError, GradientError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { memory, scope } from "../core/scope.ts";
import { valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { mul, square } from "../ops/elementwise.ts";
import { sum } from "../ops/reduce.ts";
import { Accumulation, clipGradNorm, clipGradValue, SGD } from "../optim/index.ts";

const entries = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 20 });
const numbers = (t: Tensor | undefined): number[] => [...t!.dataSync()];

test("the norm of all together is at most the bound, by one factor for all; within the bound not a bit changes", () => {
  fc.assert(
    fc.property(
      fc.array(entries, { minLength: 1, maxLength: 3 }),
      fc.double({ min: 1e-3, max: 1e4, noNaN: true }),
      fc.constantFrom(1, 1.5, 2, Number.POSITIVE_INFINITY),
      (lists, most, normType) => {
        const gradients = lists.map((list) => tensor(Float64Array.from(list)));
        const { gradients: clipped, norm } = clipGradNorm(gradients, most, { normType });
        const all = lists.flat().map(Math.abs);
        // In units of the largest: powers of small entries would vanish.
        const largest = Math.max(...all);
        const powers = all.reduce((total, v) => total + (v / (largest || 1)) ** normType, 0);
        const want = normType === Number.POSITIVE_INFINITY ? largest : largest * powers ** (1 / normType);
        expect(Math.abs(norm.item() - want)).toBeLessThanOrEqual(1e-12 * want + 1e-300);
        const factor = Math.min(1, most / (norm.item() + 1e-6));
        lists.forEach((list, i) => {
          expect(numbers(clipped[i])).toEqual(list.map((v) => v * factor));
        });
      },
    ),
    { numRuns: 50 },
  );
});

test.each([
  [1e30, 5e30],
  [1e-30, 5e-30],
])("in f32 the norm of (3, 4)·%s neither overflows nor vanishes", (scale, norm) => {
  const found = clipGradNorm([tensor([3 * scale, 4 * scale])], 1e38).norm.item();
  expect(found / norm).toBeCloseTo(1, 6);
});

test("long gradients are measured row by row, and the norm is the same", () => {
  const g = tensor(
    Float64Array.from({ length: 70_000 }, (_, i) => Math.sin(i)),
    { shape: [700, 100] },
  );
  const { norm } = clipGradNorm([g, undefined, tensor(Float64Array.of(3))], 1);
  const want = Math.sqrt(numbers(g).reduce((total, v) => total + v * v, 9));
  expect(norm.item() / want).toBeCloseTo(1, 13);
});

test("nothing has norm 0", () => {
  for (const gradients of [[], [undefined], [zeros([0])], [zeros([2, 3])]]) {
    const { norm, gradients: clipped } = clipGradNorm(gradients, 1);
    expect(norm.item()).toBe(0);
    expect(clipped.map((g) => g && numbers(g))).toEqual(gradients.map((g) => g && numbers(g)));
  }
});

test("gradients of two element types have one norm", () => {
  const { gradients, norm } = clipGradNorm([tensor([3]), tensor(Float64Array.of(4))], 1);
  expect(norm.item()).toBe(5);
  expect(gradients.map((g) => g.dtype)).toEqual(["f32", "f64"]);
  expect(numbers(gradients[1])[0]).toBeCloseTo(0.8);
});

describe("a norm that is not finite", () => {
  const nan = Number.NaN;
  const inf = Number.POSITIVE_INFINITY;
  test("NaN makes everything NaN, ∞ makes itself NaN and all else 0", () => {
    const clip = (...g: number[]): number[] => numbers(clipGradNorm([tensor(g)], 1).gradients[0]);
    expect(clip(1, nan)).toEqual([nan, nan]);
    expect(clip(1, -inf)).toEqual([0, nan]);
    expect(clip(nan, inf)).toEqual([nan, nan]);
    expect(clipGradNorm([tensor([1, -inf])], 1).norm.item()).toBe(inf);
    expect(clipGradNorm([tensor([1, nan])], 1, { normType: inf }).norm.item()).toBe(nan);
    expect(numbers(clipGradValue([tensor([nan, inf, -3])], 1)[0])).toEqual([nan, 1, -1]);
  });
  test("is an error where that was asked for, and no step is taken", () => {
    const w = new Parameter(tensor([1, 2]));
    const sgd = new SGD([w], { lr: 1, momentum: 0.5 });
    const before = memory().tensors;
    const attempt = (): void =>
      scope(() => sgd.step([tensor([1, nan])], { clip: { norm: 1, errorIfNonfinite: true } }));
    expect(attempt).toThrow(GradientError);
    expect(attempt).toThrow("clipGradNorm: the norm of the gradients is NaN");
    expect(memory().tensors).toBe(before);
    expect(w.value.toArray()).toEqual([1, 2]);
    expect(Object.keys(sgd.stateDict())).not.toContain("state.0.step");
  });
});

describe("within a step", () => {
  const make = (): { w: Parameter; sgd: SGD; loss: () => Tensor } => {
    const w = new Parameter(tensor([3, -4]));
    return { w, sgd: new SGD([w], { lr: 1 }), loss: () => sum(square(w.value)) };
  };
  test("minimize clips as clipGradNorm and step do", () => {
    const [one, two] = [make(), make()];
    expect(one.sgd.minimize(one.loss, { clip: { norm: 1 } }).item()).toBe(25);
    const { gradients } = valueAndGrad(two.loss, two.sgd.parameters);
    two.sgd.step(clipGradNorm(gradients, 1).gradients);
    expect(one.w.value.toArray()).toEqual(two.w.value.toArray());
    expect(numbers(one.w.value)[0]).toBeCloseTo(2.4);
  });
  test("or by value", () => {
    const { w, sgd, loss } = make();
    sgd.minimize(loss, { clip: { value: 1 } });
    expect(w.value.toArray()).toEqual([2, -3]);
  });
  test("of an accumulation it is the mean that is clipped, at its end and when it is flushed", () => {
    const { w, sgd } = make();
    const parts = new Accumulation(sgd, { steps: 2 });
    const clip = { value: 1 };
    parts.minimize(() => sum(mul(w.value, 10)), { clip });
    parts.minimize(() => sum(mul(w.value, -9)), { clip });
    expect(w.value.toArray()).toEqual([2.5, -4.5]);
    parts.minimize(() => sum(mul(w.value, 10)));
    parts.flush({ clip });
    expect(w.value.toArray()).toEqual([1.5, -5.5]);
  });
});

describe("what makes no sense is refused by name", () => {
  const g = [tensor([1])];
  const { sgd } = { sgd: new SGD([new Parameter(tensor([1]))], { lr: 1 }) };
  const step = (clip: unknown) => () => sgd.step(g, { clip } as never);
  const cases: [() => unknown, new (...args: never[]) => Error, string][] = [
    [() => clipGradNorm(g, -1), DomainError, "clipGradNorm: maxNorm is -1; give a bound ≥ 0"],
    [() => clipGradNorm(g, Number.NaN), DomainError, "clipGradNorm: maxNorm is NaN"],
    [() => clipGradNorm(g, 1, { normType: 0 }), DomainError, "clipGradNorm: normType is 0"],
    [() => clipGradNorm(g, 1, { p: 2 } as never), ArgumentError, "clipGradNorm: there is no option p"],
    [() => clipGradNorm(g, undefined as never), ArgumentError, "clipGradNorm: maxNorm is undefined"],
    [() => clipGradNorm(3 as never, 1), ArgumentError, "clipGradNorm: 3 stands where gradients are wanted"],
    [() => clipGradNorm([3 as never], 1), ArgumentError, "clipGradNorm: gradient 0 is 3"],
    [() => clipGradNorm([tensor([1], { dtype: "i32" })], 1), DTypeError, "clipGradNorm: i32 stands where"],
    [
      () => clipGradNorm([...g, tensor([1], { device: "js" })], 1),
      DeviceError,
      "tensors live on wasm and on js",
    ],
    [() => clipGradValue(g, -1), DomainError, "clipGradValue: clipValue is -1"],
    [step({}), ArgumentError, "SGD.step: clip has neither norm nor value"],
    [step({ norm: 1, value: 1 }), ArgumentError, "SGD.step: clip has both norm and value"],
    [step({ value: 1, normType: 2 }), ArgumentError, "SGD.step: there is no option normType"],
    [step(5), ArgumentError, "SGD.step: 5 stands where options are wanted"],
    [
      () => sgd.minimize(() => tensor(1), { clips: 1 } as never),
      ArgumentError,
      "minimize: there is no option clips",
    ],
  ];
  test.each(cases.map(([attempt, kind, message]) => ({ attempt, kind, message })))(
    "$message",
    ({ attempt, kind, message }) => {
      expect(attempt).toThrow(kind);
      expect(attempt).toThrow(message);
    },
  );
});
