// Losses of a linear layer without its scores, on every device: against the same losses of all scores, and at their edges.

import { describe, expect, test } from "vitest";
import { tensor } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { dtypes, type FloatDType } from "../../core/dtype.ts";
import { openScope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { valueAndGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  crossEntropy,
  entmax15Loss,
  type FusedSparseLoss,
  fusedLinearCrossEntropy,
  fusedLinearEntmax15Loss,
  fusedLinearSparsemaxLoss,
  sparsemaxLoss,
} from "../../losses/index.ts";
import { add, div, greater, mul, square, tanh, where } from "../../ops/elementwise.ts";
import { argmax, linear, logsumexp, mean, sum } from "../../ops/index.ts";
import { firstDifference, generator, numbersOf, settings } from "../suite/samples.ts";

type Float = Tensor<Shape, FloatDType>;

/** The losses with the options that they share. */
const losses = [
  fusedLinearCrossEntropy,
  fusedLinearSparsemaxLoss,
  fusedLinearEntmax15Loss,
] as readonly unknown[] as readonly FusedSparseLoss[];

describe.each(settings)("on $device in $dtype", ({ device, dtype }) => {
  const floats = (data: readonly number[], ...shape: number[]): Float =>
    tensor(Float64Array.from(data), { shape, dtype, device }) as Float;
  /** A layer of V classes and d features, N rows, and their classes: every fourth is left out. */
  function layer(n: number, d: number, v: number, seed = 1) {
    const random = generator(seed);
    const draw = (...shape: number[]): Float =>
      floats(
        Array.from({ length: shape.reduce((a, b) => a * b) }, () => 4 * random() - 2),
        ...shape,
      );
    const target = Array.from({ length: n }, (_, i) => (i % 4 === 1 ? -100 : Math.floor(random() * v)));
    return { args: [draw(n, d), draw(v, d), draw(v)] as [Float, Float, Float], target };
  }
  /** Value and gradients, each as numbers. */
  const all = (f: (...args: Float[]) => Float, args: readonly Float[]): Promise<number[][]> => {
    const { value, gradient } = valueAndGrad(f, { argnums: args.map((_, i) => i) })(...args);
    return numbersOf(value, ...(gradient as Float[]));
  };
  const same = (got: number[][], want: number[][]): void =>
    got.forEach((numbers, i) => {
      const tolerance = dtypes[dtype].tolerance[i === 0 ? 0 : 1];
      expect(firstDifference(numbers, want[i]!, 2 * tolerance), `result ${i}`).toBeUndefined();
    });

  test.each([
    { chunkRows: 4, chunkClasses: 5 },
    { chunkRows: 3, chunkClasses: 64, schedule: "rows" },
    { chunkRows: 16, chunkClasses: 7, schedule: "tiles" },
    {},
  ] as const)("with %o cross-entropy is that of all scores, whatever its options", async (chunks) => {
    await useDevice(device);
    using _ = openScope();
    const { args, target } = layer(13, 6, 37);
    const weight = floats(
      Array.from({ length: 37 }, (_, i) => (i % 5) / 2),
      37,
    );
    const [labelSmoothing, zLoss, softCap] = [0.3, 0.05, 2];
    for (const reduction of ["mean", "sum"] as const) {
      const fused = await all(
        (x, w, b) =>
          fusedLinearCrossEntropy(x, w, b, target, {
            classWeight: weight,
            labelSmoothing,
            zLoss,
            softCap,
            reduction,
            ...chunks,
          }),
        args,
      );
      const counted = target.map((t) => Number(t !== -100));
      const unfused = await all((x, w, b) => {
        const z = mul(softCap, tanh(div(linear(x, w as never, b as never) as Float, softCap))) as Float;
        const penalty = mul(zLoss, mul(floats(counted, 13), square(logsumexp(z) as Float))) as Float;
        const divisor = reduction === "mean" ? counted.reduce((a, b) => a + b) : 1;
        return add(
          crossEntropy(z, target, { weight, labelSmoothing, reduction }),
          div(sum(penalty) as Float, divisor),
        ) as Float;
      }, args);
      same(fused, unfused);
    }
  });

  test.each([
    ["crossEntropy", losses[0]!, crossEntropy],
    ["sparsemaxLoss", losses[1]!, sparsemaxLoss],
    ["entmax15Loss", losses[2]!, entmax15Loss],
  ] as const)(
    "%s of a layer is that of its scores, for one number and for one a row",
    async (_, fused, unfused) => {
      await useDevice(device);
      using _s = openScope();
      const sizes = [
        [1, 1, 1],
        [5, 3, 1],
        [5, 3, 2],
        [11, 4, 70],
      ] as const;
      for (const [n, d, v] of sizes) {
        const { args, target } = layer(n, d, v, n + v);
        const g = floats(
          Array.from({ length: n }, (_, i) => i - 2),
          n,
        );
        for (const reduction of ["mean", "sum", "none"] as const) {
          const one = (t: Float): Float => (reduction === "none" ? (sum(mul(g, t) as Float) as Float) : t);
          same(
            await all(
              (x, w, b) => one(fused(x, w, b, target, { reduction, chunkRows: 4, chunkClasses: 16 })),
              args,
            ),
            await all(
              (x, w, b) =>
                one(unfused(linear(x, w as never, b as never) as Float, target, { reduction }) as Float),
              args,
            ),
          );
        }
      }
    },
  );

  test("losses of rows that are summed up pass on one cotangent for all", async () => {
    await useDevice(device);
    using _ = openScope();
    const { args, target } = layer(7, 3, 20);
    for (const fused of losses) {
      const summed = (reduction: "none" | "sum") =>
        all((x, w, b) => sum(fused(x, w, b, target, { reduction, chunkRows: 3 })) as Float, args);
      same(await summed("none"), await summed("sum"));
    }
  });

  test("what is returned besides the loss has its gradients too", async () => {
    await useDevice(device);
    using _ = openScope();
    const { args } = layer(6, 3, 20);
    const target = [3, 0, 19, 7, 7, 2];
    const options = { returns: ["targetLogProb", "argmax", "lse"], chunkRows: 4, chunkClasses: 6 } as const;
    const [x, w, b] = args;
    const z = linear(x, w as never, b as never) as Float;
    const { loss, argmax: best, lse, targetLogProb } = fusedLinearCrossEntropy(x, w, b, target, options);
    expect(best.dtype).toBe("i32");
    const want = [crossEntropy(z, target), argmax(z, { axis: -1 }), logsumexp(z)] as Tensor[];
    same(await numbersOf(loss, best, lse), await numbersOf(...want));
    same([[...(await mean(targetLogProb as never).data())]], [[-(await loss.data())[0]!]]);
    same(
      await all((x, w, b) => {
        const { loss, lse, targetLogProb } = fusedLinearCrossEntropy(x, w, b, target, options);
        return add(loss, sum(add(square(lse), mul(3, targetLogProb)) as Float)) as Float;
      }, args),
      await all((x, w, b) => {
        const z = linear(x, w as never, b as never) as Float;
        const each = crossEntropy(z, target, { reduction: "none" }) as Float;
        return add(
          mean(each as never),
          sum(add(square(logsumexp(z) as Float), mul(-3, each)) as Float),
        ) as Float;
      }, args),
    );
  });

  test("masked classes have neither probability nor gradient, and a masked target a loss of ∞", async () => {
    await useDevice(device);
    using _ = openScope();
    const { args } = layer(3, 2, 12);
    const masked = [0, 1, 2, 3, 4, 5, 9];
    const bias = floats(
      Array.from({ length: 12 }, (_, j) => (masked.includes(j) ? Number.NEGATIVE_INFINITY : 0)),
      12,
    );
    for (const schedule of ["rows", "tiles"] as const) {
      const options = { chunkClasses: 4, schedule } as const;
      const [value, dx, dw, db] = await all(
        (x, w, b) => fusedLinearCrossEntropy(x, w, b, [6, 7, 11], options),
        [args[0], args[1], bias],
      );
      for (const numbers of [value, dx, dw, db]) expect(numbers!.every(Number.isFinite)).toBe(true);
      for (const j of masked)
        expect([db![j], dw![2 * j], dw![2 * j + 1]].map((v) => Math.abs(v!))).toEqual([0, 0, 0]);
      const each = fusedLinearCrossEntropy(args[0], args[1], bias, [6, 0, 11], {
        chunkClasses: 4,
        reduction: "none",
      });
      expect([...(await each.data())].map(Number.isFinite)).toEqual([true, false, true]);
      expect((await each.data())[1]).toBe(Number.POSITIVE_INFINITY);
    }
  });

  test("scores of ±10⁵ have finite losses and gradients", async () => {
    await useDevice(device);
    using _ = openScope();
    const x = floats([1, -1, 1, 1], 2, 2);
    const w = floats([1e5, 0, 0, 1e5, -1e5, 0, 1e5, 1], 4, 2);
    for (const fused of losses) {
      const results = await all((x, w) => fused(x, w, undefined, [1, 0], { chunkClasses: 3 }), [x, w]);
      for (const numbers of results) expect(numbers.every(Number.isFinite)).toBe(true);
    }
  });

  test("rows that are left out cost and pass back nothing, and where none counts all is 0", async () => {
    await useDevice(device);
    using _ = openScope();
    const { args } = layer(4, 3, 9);
    for (const fused of losses) {
      for (const reduction of ["mean", "sum"] as const) {
        const results = await all(
          (x, w, b) => fused(x, w, b, [5, 5, 5, 5], { ignoreIndex: 5, reduction, chunkRows: 3 }),
          args,
        );
        for (const numbers of results) expect(numbers.every((v) => v === 0)).toBe(true);
      }
    }
    // Whatever their scores hold.
    const x = where(greater(args[0], 10), 0, args[0]) as Float;
    const spoilt = mul(x, floats([1, 1, Number.NaN, 1], 4, 1)) as Float;
    const loss = fusedLinearCrossEntropy(spoilt, args[1], args[2], [1, 2, -100, 3]);
    same(
      await numbersOf(loss),
      await numbersOf(fusedLinearCrossEntropy(x, args[1], args[2], [1, 2, -100, 3])),
    );
  });

  test("a batch may have axes, or be empty", async () => {
    await useDevice(device);
    using _ = openScope();
    const { args } = layer(6, 3, 8);
    const [x, w, b] = args;
    const target = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3], dtype: "i32" });
    for (const fused of losses) {
      const each = fused(x.reshape([2, 3, 3]) as Float, w, b, target, { reduction: "none" });
      expect(each.shape).toEqual([2, 3]);
      same(await numbersOf(each), await numbersOf(fused(x, w, b, [1, 2, 3, 4, 5, 6], { reduction: "none" })));
      const none = floats([], 0, 3);
      expect(await numbersOf(fused(none, w, b, []))).toEqual([[0]]);
      expect(fused(none, w, b, [], { reduction: "none" }).shape).toEqual([0]);
    }
  });
});
