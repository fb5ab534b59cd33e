// The output layer with steps of O(d²): every step is that of dense SGD.

import { fc, test as property } from "@fast-check/vitest";
import { describe, expect, test } from "vitest";
import {
  ArgumentError,
  DomainError,
  grad,
  type Shape,
  ShapeError,
  scope,
  type Tensor,
  tensor,
} from "../core/index.ts";
import { SphericalOutput } from "../nn/index.ts";
import { add, div, log, matmul, mul, square, sub, sum } from "../ops/index.ts";
import { generator } from "./suite/samples.ts";

type F64 = Tensor<Shape, "f64">;
type Kind = "squared" | "logSpherical" | "logTaylor";
const kinds: readonly Kind[] = ["squared", "logSpherical", "logTaylor"];

const f64 = (data: ArrayLike<number>, shape: readonly number[]): F64 =>
  tensor(Float64Array.from(data), { shape, dtype: "f64" }) as F64;

/** The loss of an example written with ops over all classes. */
function lossOf(kind: Kind, w: F64, h: F64, y: F64, eps: number): F64 {
  const o = matmul(w as never, h as never) as F64;
  if (kind === "squared") return sum(square(sub(o, y as never))) as F64;
  const weights = (
    kind === "logSpherical" ? add(square(o), eps) : add(add(o, 1), mul(square(o), 0.5) as never)
  ) as F64;
  return log(div(sum(weights), sum(mul(weights, y as never)) as never) as F64) as F64;
}

interface Problem {
  readonly kind: Kind;
  readonly d: number;
  readonly classes: number;
  readonly lr: number;
  readonly seed: number;
  readonly rebuildEvery: number;
}

/** Runs both for some steps; gives the largest relative difference of losses, gradients and, at the end, weights. */
function difference({ kind, d, classes, lr, seed, rebuildEvery }: Problem, steps: number): number {
  return scope(() => {
    const random = generator(seed);
    const normal = (size: number) => Float64Array.from({ length: size }, () => 2 * random() - 1);
    const eps = 0.1;
    let w = f64(normal(classes * d), [classes, d]);
    const output = new SphericalOutput(d, classes, { loss: kind, eps, weight: w, rebuildEvery });
    let worst = 0;
    const compare = (got: ArrayLike<number>, want: ArrayLike<number>): void => {
      const size = Math.max(1, ...Array.from(want, Math.abs));
      for (let i = 0; i < want.length; i++) worst = Math.max(worst, Math.abs(got[i]! - want[i]!) / size);
      expect(got.length).toBe(want.length);
    };
    for (let step = 0; step < steps; step++) {
      const h = normal(d);
      const targets = Array.from({ length: kind === "squared" ? 3 : 1 }, () =>
        Math.floor(random() * classes),
      );
      const values = kind === "squared" ? Array.from(normal(3)) : undefined;
      const y = new Float64Array(classes);
      targets.forEach((t, i) => {
        y[t] = y[t]! + (values?.[i] ?? 1);
      });
      const dense = (weights: F64, features: F64) => lossOf(kind, weights, features, f64(y, [classes]), eps);
      const x = f64(h, [d]);
      const [gw, gh] = grad(dense as never, { argnums: [0, 1] })(...([w, x] as never[])) as unknown as [
        F64,
        F64,
      ];
      const { loss, gradH } = output.step(step % 2 ? h : x, targets, {
        lr,
        ...(values ? { value: values } : {}),
      });
      compare([loss], [dense(w, x).item() as number]);
      compare(gradH, gh.dataSync());
      w = sub(w, mul(gw, lr) as never) as F64;
    }
    const h = normal(d);
    compare(output.scores(h), (matmul(w as never, f64(h, [d]) as never) as F64).dataSync());
    compare((output.weight({ dtype: "f64" }) as F64).dataSync(), w.dataSync());
    return worst;
  });
}

property.prop(
  {
    kind: fc.constantFrom(...kinds),
    d: fc.integer({ min: 1, max: 9 }),
    classes: fc.integer({ min: 1, max: 30 }),
    lr: fc.constantFrom(0, 0.001, 0.02),
    seed: fc.nat(1e6),
    rebuildEvery: fc.constantFrom(1, 4, 1000),
  },
  { numRuns: 30 },
)("losses, gradients and weights are those of dense SGD", (problem) => {
  expect(difference(problem, 12)).toBeLessThan(1e-9);
});

describe("a step that makes U singular, or nearly", () => {
  // For the squared loss α = 2, so a rate of 1/(2‖h‖²) is singular.
  test.each([0.5, 0.499, 0.52, 0.45, 1.2])("at %d/‖h‖² is the dense one too", (share) => {
    const random = generator(5);
    const [d, classes] = [4, 11];
    const weight = f64(Array.from({ length: d * classes }, random), [classes, d]);
    const output = new SphericalOutput(d, classes, { loss: "squared", weight });
    let w = Array.from(weight.dataSync());
    for (let step = 0; step < 6; step++) {
      const h = Array.from({ length: d }, random);
      const lr = share / h.reduce((sum, v) => sum + v * v, 0);
      output.step(h, step, { lr });
      const g = Array.from({ length: classes }, (_, c) => {
        const o = h.reduce((sum, v, j) => sum + v * w[c * d + j]!, 0);
        return 2 * (o - Number(c === step));
      });
      w = w.map((v, i) => v - lr * g[Math.floor(i / d)]! * h[i % d]!);
    }
    const got = (output.weight({ dtype: "f64" }) as F64).dataSync();
    expect(Math.max(...w.map((v, i) => Math.abs(v - got[i]!)))).toBeLessThan(1e-7);
  });
});

test("a U that decays along one direction is multiplied out before it loses its inverse", () => {
  const [d, classes] = [5, 40];
  const random = generator(9);
  const weight = f64(Array.from({ length: d * classes }, random), [classes, d]);
  const output = new SphericalOutput(d, classes, { loss: "squared", weight });
  const h = [1, 1, 1, 1, 1];
  let w = Array.from(weight.dataSync());
  for (let step = 0; step < 300; step++) {
    // Each step halves the direction: 300 of them would be 1e-90.
    const x = h.map((v) => v + 0.01 * (random() - 0.5));
    output.step(x, step % classes, { lr: 0.05 });
    const g = Array.from({ length: classes }, (_, c) => {
      const o = x.reduce((sum, v, j) => sum + v * w[c * d + j]!, 0);
      return 2 * (o - Number(c === step % classes));
    });
    w = w.map((v, i) => v - 0.05 * g[Math.floor(i / d)]! * x[i % d]!);
  }
  const got = (output.weight({ dtype: "f64" }) as F64).dataSync();
  expect(Math.max(...w.map((v, i) => Math.abs(v - got[i]!)))).toBeLessThan(1e-6);
});

test("thousands of steps stay on the path of dense SGD", () => {
  const problem = { kind: "logTaylor", d: 6, classes: 25, lr: 0.05, seed: 1, rebuildEvery: 1000 } as const;
  expect(difference(problem, 1500)).toBeLessThan(1e-9);
});

test("weights follow from sizes and a seed, within ±1/√d, and training lowers the loss", () => {
  const make = (seed: number) => new SphericalOutput(8, 50, { loss: "logSpherical", seed });
  const data = make(1).weight().dataSync();
  expect(data).toEqual(make(1).weight().dataSync());
  expect(data).not.toEqual(make(2).weight().dataSync());
  expect(Math.max(...data.map(Math.abs))).toBeLessThanOrEqual(Math.fround(8 ** -0.5));
  const output = make(1);
  const h = [1, -1, 0.5, 0, 0, 2, 1, 1];
  const losses = Array.from({ length: 30 }, () => output.step(h, 7, { lr: 0.1 }).loss);
  expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
});

test("bad arguments are refused in sentences", () => {
  const output = new SphericalOutput(2, 5, { loss: "squared" });
  const taylor = new SphericalOutput(2, 5);
  const lr = 0.1;
  const refused: readonly (readonly [() => unknown, abstract new (...args: never[]) => Error, RegExp])[] = [
    [() => new SphericalOutput(0, 5), ShapeError, /the size 0/],
    [() => new SphericalOutput(2, 1.5), ShapeError, /the size 1.5/],
    [() => new SphericalOutput(2, 5, { loss: "hinge" as never }), ArgumentError, /loss is "hinge"/],
    [() => new SphericalOutput(2, 5, { eps: 0 }), DomainError, /eps is 0/],
    [() => new SphericalOutput(2, 5, { rebuildEvery: 0 }), DomainError, /rebuildEvery is 0/],
    [
      () => new SphericalOutput(2, 5, { weight: f64([1, 2], [1, 2]) }),
      ShapeError,
      /weight has shape \[1, 2\]/,
    ],
    [() => new SphericalOutput(2, 5, { weight: 3 as never }), ArgumentError, /weight is 3/],
    [() => new SphericalOutput(2, 5, { bias: true } as never), ArgumentError, /there is no option bias/],
    [() => output.step([1], 0, { lr }), ShapeError, /1 features/],
    [() => output.step(null as never, 0, { lr }), ArgumentError, /the features are null/],
    [() => output.step([1, 2], 5, { lr }), DomainError, /target\[0\] is 5; classes lie in \[0, 5\)/],
    [() => output.step([1, 2], [0, -1], { lr }), DomainError, /target\[1\] is -1/],
    [() => output.step([1, 2], [0, 1], { lr, value: [1] }), ShapeError, /1 values/],
    [() => output.step([1, 2], 0, { lr: -1 }), DomainError, /lr is -1/],
    [() => output.step([1, 2], 0, {} as never), DomainError, /lr is undefined/],
    [() => taylor.step([1, 2], [0, 1], { lr }), ArgumentError, /2 classes are right/],
    [() => taylor.step([1, 2], 0, { lr, value: 1 }), ArgumentError, /value is given/],
    [() => taylor.scores([1, 2, 3]), ShapeError, /3 features/],
  ];
  for (const [call, kind, text] of refused) {
    expect(call, String(text)).toThrow(kind);
    expect(call).toThrow(text);
  }
});
