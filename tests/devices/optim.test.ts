// Optimizers on every device: the steps of the plain device in f64, to the digits of the element type.

import { describe, expect, test } from "vitest";
import type { DeviceName } from "../../core/backends/backend.ts";
import { tensor } from "../../core/create.ts";
import { dtypes, type FloatDType } from "../../core/dtype.ts";
import { Parameter } from "../../core/parameter.ts";
import { RowSparse } from "../../core/rowsparse.ts";
import { keep, scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { fromCheckpoint, toCheckpoint } from "../../nn/index.ts";
import { square } from "../../ops/elementwise.ts";
import { take } from "../../ops/indexing.ts";
import { sum } from "../../ops/reduce.ts";
import {
  Accumulation,
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  type AdamOptions,
  AdamW,
  clipGradNorm,
  clipGradValue,
  EMA,
  Lion,
  NAdam,
  type Optimizer,
  RAdam,
  RMSprop,
  SGD,
  type SGDOptions,
  SparseAdam,
} from "../../optim/index.ts";
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
  ["Adagrad", {}, (p) => new Adagrad(p, { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.1 })],
  ["RMSprop", {}, (p) => new RMSprop(p)],
  ["RMSprop", { momentum: 0.5 }, (p) => new RMSprop(p, { momentum: 0.5, weightDecay: 0.1 })],
  ["RMSprop", { centered: true }, (p) => new RMSprop(p, { centered: true, alpha: 0.9, eps: 1e-2 })],
  ["Adamax", {}, (p) => new Adamax(p, { lr: 0.01 })],
  ["NAdam", {}, (p) => new NAdam(p, { lr: 0.01 })],
  ["RAdam", {}, (p) => new RAdam(p, { lr: 0.01, betas: [0.9, 0.9] })],
  ["Adadelta", {}, (p) => new Adadelta(p)],
  ["Lion", {}, (p) => new Lion(p, { lr: 0.01, weightDecay: 0.1 })],
  ["SparseAdam", {}, (p) => new SparseAdam(p, { lr: 0.01 })],
];

/** A table of 50 rows, and the gradient of step t: five rows, of which two are the same. */
const tableOf = (dtype: FloatDType, device: DeviceName): Parameter =>
  new Parameter(tensor(values(200).map(Math.fround), { shape: [50, 4], dtype, device }));
const rowsOf = (t: number, dtype: FloatDType, device: DeviceName): RowSparse =>
  new RowSparse(
    [50, 4],
    tensor(
      Int32Array.from([0, 3, 9, 40, 0], (k) => (k + 7 * t) % 50),
      { device },
    ),
    tensor(gradientAt(t, 20), { shape: [5, 4], dtype, device }),
  );

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

  test.each<readonly [string, (p: Parameter[]) => Optimizer]>([
    ["SGD", (p) => new SGD(p, { lr: 0.1 })],
    ["Adagrad", (p) => new Adagrad(p, { lr: 0.1 })],
    ["SparseAdam", (p) => new SparseAdam(p, { lr: 0.1 })],
    ["Adam, which makes them dense,", (p) => new Adam(p, { lr: 0.1 })],
  ])("%s changes the rows of a table as on the plain device, alone and accumulated", async (_, make) => {
    const trained = async (d: DeviceName, kind: FloatDType): Promise<number[][]> => {
      const [one, other] = [tableOf(kind, d), tableOf(kind, d)];
      const optimizer = make([one]);
      const parts = new Accumulation(make([other]), { steps: 2 });
      for (let t = 1; t <= 8; t++)
        scope(() => {
          optimizer.step([rowsOf(t, kind, d)], { clip: { norm: 3 } });
          parts.step([rowsOf(t, kind, d)], { clip: { value: 1 } });
        });
      const ids = tensor(Int32Array.of(5, 6, 5), { device: d });
      for (let t = 0; t < 2; t++) optimizer.minimize(() => sum(square(take(one.value, ids))));
      return numbersOf(one.value, other.value);
    };
    const [want, got] = [await trained("js", "f64"), await trained(device, dtype)];
    want.forEach((w, k) => {
      expect(firstDifference(got[k]!, w, dtypes[dtype].tolerance[0])).toBeUndefined();
    });
  });

  test("rows are written in place, and who kept the old value keeps it", async () => {
    const p = tableOf(dtype, device);
    const kept = keep(p.value);
    const before = (await numbersOf(kept))[0];
    const sgd = new SGD([p], { lr: 1 });
    sgd.step([rowsOf(1, dtype, device)]);
    const { storage } = p.value;
    sgd.step([rowsOf(2, dtype, device)]);
    expect(p.value.storage).toBe(storage);
    expect((await numbersOf(kept))[0]).toEqual(before);
  });

  test("gradients are clipped as on the plain device, and a norm that is not finite is loud", async () => {
    const clipped = async (d: DeviceName, kind: FloatDType): Promise<number[][]> => {
      const gradients = sizes.map((size) => tensor(gradientAt(1, size), { dtype: kind, device: d }));
      const results = [2, 1, Number.POSITIVE_INFINITY].map((normType) =>
        clipGradNorm(gradients, 0.5, { normType }),
      );
      const all = results.flatMap(({ gradients: g, norm }) => [...g, norm] as Tensor[]);
      return numbersOf(...all, ...clipGradValue(gradients, 0.3));
    };
    const [want, got] = [await clipped("js", "f64"), await clipped(device, dtype)];
    want.forEach((w, k) => {
      expect(firstDifference(got[k]!, w, dtypes[dtype].tolerance[0])).toBeUndefined();
    });
    const g = (...v: number[]): Tensor => tensor(v, { dtype, device });
    const loud = [g(1, Number.NaN), g(1, Number.POSITIVE_INFINITY)].map(
      (t) => clipGradNorm([t], 1).gradients[0],
    );
    expect(await numbersOf(...loud)).toEqual([
      [Number.NaN, Number.NaN],
      [0, Number.NaN],
    ]);
    // In f32 the squares of these overflow and vanish.
    const [large, small] = await numbersOf(...[3e25, 3e-25].map((v) => clipGradNorm([g(v, 0)], 1).norm));
    expect(large![0]! / 3e25).toBeCloseTo(1, 6);
    expect(small![0]! / 3e-25).toBeCloseTo(1, 6);
  });

  test("moments do not hide a gradient of NaN", async () => {
    const p = new Parameter(tensor([1, 2], { dtype, device }));
    new Adam([p]).step([tensor([Number.NaN, 1], { dtype, device })]);
    expect((await numbersOf(p.value))[0]!.map(Number.isNaN)).toEqual([true, false]);
  });

  test("state comes back from a file to the last bit, averages among it", async () => {
    const make = (): [Parameter, Optimizer, EMA] => {
      const p = new Parameter(tensor(values(5).map(Math.fround), { dtype, device }));
      return [p, new NAdam([p]) as Optimizer, new EMA([p], { decay: 0.5 })];
    };
    const run = ([, optimizer, average]: [Parameter, Optimizer, EMA], from: number, to: number): void => {
      for (let t = from; t < to; t++) {
        scope(() => optimizer.step([tensor(gradientAt(t, 5), { dtype, device })]));
        average.update();
      }
    };
    const [one, two] = [make(), make()];
    run(one, 1, 4);
    two[0].value = one[0].value;
    const bytes = await toCheckpoint({ optimizer: one[1], average: one[2] });
    fromCheckpoint(bytes, { optimizer: two[1], average: two[2] });
    for (const each of [one, two]) run(each, 4, 7);
    const seen = [one, two].flatMap(([p, , average]) => [p.value, average.stateDict()["shadow.0"]!]);
    const [a, b, c, d] = await numbersOf(...seen);
    expect([c, d]).toEqual([a, b]);
  });

  test("moments without gradient become exact zeros, not denormal numbers", async () => {
    const p = new Parameter(tensor([1, 1], { device, dtype }));
    const optimizer = new SGD([p], { lr: 1e-3, momentum: 0.5 });
    optimizer.step([tensor([1, 1], { device, dtype })]);
    const steps = dtype === "f32" ? 120 : 1000;
    for (let i = 0; i < steps; i++) optimizer.step([tensor([0, 1], { device, dtype })]);
    const [dead, alive] = (await numbersOf(optimizer.stateDict()["state.0.momentum_buffer"]!))[0]!;
    expect(dead).toBe(0);
    expect(alive).toBeCloseTo(2);
  });
});
