// Optimizers on every device: the steps of the plain device in f64, to the digits of the element type.

import { describe, expect, test } from "vitest";
import type { DeviceName } from "../../core/backends/backend.ts";
import { tensor } from "../../core/create.ts";
import { dtypes, type FloatDType } from "../../core/dtype.ts";
import { Parameter } from "../../core/parameter.ts";
import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Adam, type AdamOptions, AdamW, type Optimizer, SGD, type SGDOptions } from "../../optim/index.ts";
import { firstDifference, numbersOf, settings } from "../suite/samples.ts";

const steps = 30;
const sizes = [1, 5, 1003];
const values = (size: number): Float64Array => Float64Array.from({ length: size }, (_, i) => Math.cos(i));
/** A made-up sequence of gradients: rough, of both signs, every third entry often zero. */
const gradientAt = (t: number, size: number): Float64Array =>
  Float64Array.from({ length: size }, (_, i) =>
    i % 3 === 0 && t % 4 !== 0 ? 0 : Math.fround(Math.sin(3 * t + i) * (1 + (i % 5))),
  );

/** The parameters after all steps. */
async function trained(
  make: (p: Parameter[]) => Optimizer,
  device: DeviceName,
  dtype: FloatDType,
): Promise<number[][]> {
  const parameters = sizes.map(
    (size) => new Parameter(tensor(values(size).map(Math.fround), { dtype, device })),
  );
  const optimizer = make(parameters);
  for (let t = 1; t <= steps; t++)
    scope(() => optimizer.step(sizes.map((size) => tensor(gradientAt(t, size), { dtype, device }))));
  return numbersOf(...parameters.map(({ value }) => value));
}

const sgd: readonly SGDOptions[] = [
  { lr: 0.1 },
  { lr: 0.1, maximize: true, weightDecay: 0.1 },
  { lr: 0.05, momentum: 0.8, dampening: 0.3 },
  { lr: 0.05, momentum: 0.9, weightDecay: 0.01, nesterov: true },
];
const adam: readonly AdamOptions[] = [
  {},
  { lr: 0.01, betas: [0.8, 0.95], weightDecay: 0.1, eps: 1e-6 },
  { lr: 0.01, amsgrad: true, betas: [0.5, 0.6] },
  { lr: 0.02, maximize: true },
];
const makers: readonly (readonly [name: string, options: object, make: (p: Parameter[]) => Optimizer])[] = [
  ...sgd.map((options) => ["SGD", options, (p: Parameter[]) => new SGD(p, options)] as const),
  ...adam.map((options) => ["Adam", options, (p: Parameter[]) => new Adam(p, options)] as const),
  ...adam.map((options) => ["AdamW", options, (p: Parameter[]) => new AdamW(p, options)] as const),
];

describe.each(settings)("on $device in $dtype", ({ device, dtype }) => {
  test.each(makers)("%s moves as on the plain device: %j", async (_, __, make) => {
    const [want, got] = [await trained(make, "js", "f64"), await trained(make, device, dtype)];
    want.forEach((w, k) => {
      expect(firstDifference(got[k]!, w, dtypes[dtype].tolerance[0])).toBeUndefined();
    });
  });

  test("a parameter without gradient keeps its value and its moments", async () => {
    const make = (): Parameter => new Parameter(tensor([1], { device, dtype }));
    const [a, b, late] = [make(), make(), make()];
    const g = (v: number): Tensor => tensor([v], { device, dtype });
    const optimizer = new Adam([a, b], { lr: 0.1 });
    for (let i = 0; i < 3; i++) optimizer.step([g(1), undefined]);
    expect(await numbersOf(b.value)).toEqual([[1]]);
    optimizer.step([undefined, g(0.3)]);
    new Adam([late], { lr: 0.1 }).step([g(0.3)]);
    const [found, wanted] = await numbersOf(b.value, late.value);
    expect(found).toEqual(wanted);
  });

  test.runIf(dtype === "f32")(
    "moments without gradient become exact zeros, not denormal numbers",
    async () => {
      const p = new Parameter(tensor([1, 1], { device, dtype }));
      const optimizer = new SGD([p], { lr: 1e-3, momentum: 0.5 });
      optimizer.step([tensor([1, 1], { device, dtype })]);
      for (let i = 0; i < 120; i++) optimizer.step([tensor([0, 1], { device, dtype })]);
      const [dead, alive] = (await numbersOf(optimizer.stateDict()["state.0.momentum_buffer"]!))[0]!;
      expect(dead).toBe(0);
      expect(alive).toBeCloseTo(2);
    },
  );
});
