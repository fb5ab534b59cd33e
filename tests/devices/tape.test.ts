// Gradients on every device: higher orders, several values, records, parameters, views. What they are is the plain device's affair.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tensor } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { GradientError } from "../../core/errors.ts";
import { Parameter } from "../../core/parameter.ts";
import { scope } from "../../core/scope.ts";
import { grad, stopGradient, valueAndGrad, vjp } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { crossEntropy } from "../../losses/index.ts";
import { add, exp, mul, sin, square } from "../../ops/elementwise.ts";
import { concat, gather, matmul, softmax, sparsemax, sum, topK } from "../../ops/index.ts";
import { devices } from "../place.ts";
import { numbersOf } from "../suite/samples.ts";

type Matrix = Tensor<[number, number], "f32">;
type Scalar = Tensor<[], "f32">;

afterEach(() => useDevice("wasm"));

describe.each(["js", ...devices] as const)("on %s", (device) => {
  beforeEach(() => useDevice(device));
  const close = async (got: readonly Tensor[], want: readonly (readonly number[])[]): Promise<void> => {
    const found = await numbersOf(...got);
    expect(found.map((row) => row.length)).toEqual(want.map((row) => row.length));
    want.forEach((row, i) => {
      row.forEach((w, j) => {
        expect(found[i]![j], `entry ${j} of result ${i}`).toBeCloseTo(w, 4);
      });
    });
  };

  test("the gradient of x³ is 3x², then 6x, then 6, then 0", async () => {
    const cube = (x: Scalar): Scalar => mul(mul(x, x), x) as Scalar;
    const first = grad(cube);
    const second = grad((x: Scalar) => first(x) as Scalar);
    const third = grad((x: Scalar) => second(x) as Scalar);
    const fourth = grad((x: Scalar) => add(third(x) as Scalar, mul(x, 0)) as Scalar);
    const x = tensor(2, { dtype: "f32" }) as Scalar;
    await close([cube(x), first(x), second(x), third(x), fourth(x)], [[8], [12], [12], [6], [0]]);
  });

  test("cotangents of a value that is used twice add up, and a constant stays one", async () => {
    const x = tensor([1, 2]);
    const f = (x: Tensor<[2], "f32">) => sum(mul(add(x, stopGradient(x)), mul(x, x)));
    // d/dx (x + c)·x² at c = x is x² + (x + c)·2x = 5x².
    await close([grad(f)(x)], [[5, 20]]);
  });

  test("a function with several values is pulled back, more than once, into records", async () => {
    const input = { a: tensor([1, 2]), b: tensor([3, 4]) };
    const { value, pullback } = vjp(({ a, b }: typeof input) => [mul(a, b), exp(a)] as const, input);
    await close(
      [...value],
      [
        [3, 8],
        [Math.E, Math.E ** 2],
      ],
    );
    for (const k of [1, 2]) {
      const [{ a, b }] = pullback([tensor([k, 0]), tensor([0, k])]) as unknown as [typeof input];
      await close(
        [a, b],
        [
          [3 * k, k * Math.E ** 2],
          [k, 0],
        ],
      );
    }
  });

  test("the penalty on a gradient reaches the weights", async () => {
    const w = new Parameter(tensor([0.5, -1]));
    const x = tensor([0.3, 0.7]);
    const penalty = () => {
      const slope = grad((x: Tensor<[2], "f32">) => sum(sin(mul(w.value, x))))(x);
      return sum(square(slope));
    };
    const { value, gradients } = valueAndGrad(penalty, [w]);
    // Σ (w cos wx)², and its derivative by w: 2 w cos wx (cos wx − w x sin wx).
    const [ws, xs] = [
      [0.5, -1],
      [0.3, 0.7],
    ] as const;
    await close(
      [value, gradients[0]!],
      [
        [ws.reduce((total, w, i) => total + (w * Math.cos(w * xs[i]!)) ** 2, 0)],
        ws.map((w, i) => {
          const [c, s] = [Math.cos(w * xs[i]!), Math.sin(w * xs[i]!)];
          return 2 * w * c * (c - w * xs[i]! * s);
        }),
      ],
    );
  });

  test("gradients go through views, products, indexing and maps as on the plain device", async () => {
    const f = (x: Matrix, y: Matrix): Tensor => {
      const p = softmax(matmul(x, y.transpose()) as Matrix);
      const q = sparsemax(concat([p.slice(null, [0, 2]) as Matrix, x], -1) as Matrix);
      const places = tensor(
        [
          [3, 0],
          [1, 1],
        ],
        { dtype: "i32", device: x.device },
      );
      const r = gather(q as Matrix, places);
      return sum(mul(topK(r as Matrix, 1).values, 3) as Matrix);
    };
    const data = [
      [
        [0.3, -0.2, 0.9],
        [1.1, 0.4, -0.6],
      ],
      [
        [0.5, 0.1, -0.7],
        [0.2, 0.8, 0.3],
        [-0.4, 0.6, 0.1],
      ],
    ] as const;
    const run = (on: "js" | typeof device): readonly Tensor[] => {
      const [x, y] = data.map((rows) => tensor(rows, { device: on, dtype: "f32" })) as [Matrix, Matrix];
      return scope(
        () =>
          grad(f as (x: Matrix, y: Matrix) => Scalar, { argnums: [0, 1] } as never)(
            x,
            y,
          ) as unknown as Tensor[],
      );
    };
    await close(run(device), await numbersOf(...run("js")));
  });

  test("a loss against labels gives its rows a gradient, and ignored rows none", async () => {
    const x = tensor([
      [1, 2, 0.5],
      [0, 0, 0],
    ]);
    const g = grad((x: Matrix) => crossEntropy(x, [1, -100]) as Scalar)(x as Matrix);
    const total = Math.E + Math.E ** 2 + Math.exp(0.5);
    await close([g], [[Math.E / total, Math.E ** 2 / total - 1, Math.exp(0.5) / total, 0, 0, 0]]);
  });

  test("what the value does not depend on is refused", () => {
    const x = tensor([1, 2]);
    expect(() => grad((x: Tensor) => sum(stopGradient(x)))(x)).toThrow(GradientError);
  });
});
