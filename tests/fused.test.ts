// Laws of the losses of a linear layer without its scores: what tiles, filters and schedules may change, and how much memory
// they take.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FloatDType } from "../core/dtype.ts";
import {
  ArgumentError,
  DomainError,
  DTypeError,
  grad,
  memory,
  Parameter,
  resetPeak,
  ShapeError,
  scope,
  type Tensor,
  tensor,
  useDevice,
  valueAndGrad,
  vjp,
} from "../core/index.ts";
import { RowSparse } from "../core/rowsparse.ts";
import type { Shape } from "../core/shape.ts";
import { lossAndGradients } from "../core/tape.ts";
import {
  crossEntropy,
  type FusedLinearCrossEntropyOptions,
  type FusedSparseLoss,
  fusedLinearCrossEntropy,
  fusedLinearEntmax15Loss,
  fusedLinearSparsemaxLoss,
} from "../losses/index.ts";
import { add, linear, mul, sub, sum } from "../ops/index.ts";
import { SGD } from "../optim/index.ts";
import { generator } from "./suite/samples.ts";

type Float = Tensor<Shape, FloatDType>;
type Layer = [x: Float, weight: Float, bias: Float];

const sparseLosses: readonly (readonly [string, FusedSparseLoss])[] = [
  ["fusedLinearSparsemaxLoss", fusedLinearSparsemaxLoss],
  ["fusedLinearEntmax15Loss", fusedLinearEntmax15Loss],
];

function layerOf(n: number, d: number, v: number, dtype: FloatDType = "f64", seed = 7, scale = 2) {
  const random = generator(seed);
  const draw = (...shape: number[]): Float =>
    tensor(
      Float64Array.from({ length: shape.reduce((a, b) => a * b) }, () => scale * (2 * random() - 1)),
      { shape, dtype },
    ) as Float;
  const args: Layer = [draw(n, d), draw(v, d), draw(v)];
  return { args, target: Array.from({ length: n }, () => Math.floor(random() * v)) };
}

/** Loss and gradients as numbers. */
function measured(f: (...args: Layer) => Float, args: Layer): number[][] {
  const { value, gradient } = valueAndGrad(f as (...args: Float[]) => Float, { argnums: [0, 1, 2] })(...args);
  return [value, ...gradient].map((t) => [...(t as Tensor).dataSync()]);
}

const fused =
  (target: readonly number[], options: FusedLinearCrossEntropyOptions & { returns?: never } = {}) =>
  (...args: Layer): Float =>
    fusedLinearCrossEntropy(...args, target, options);

/** The largest difference of two lists, relative to the largest entry. */
function apart(a: readonly number[], b: readonly number[]): number {
  const largest = b.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-3);
  return a.reduce((m, v, i) => Math.max(m, Math.abs(v - b[i]!)), 0) / largest;
}

const sizes = fc.record({
  n: fc.integer({ min: 1, max: 9 }),
  d: fc.integer({ min: 1, max: 6 }),
  v: fc.integer({ min: 1, max: 40 }),
  chunkRows: fc.integer({ min: 1, max: 12 }),
  chunkClasses: fc.integer({ min: 1, max: 50 }),
  schedule: fc.constantFrom("rows", "tiles"),
  seed: fc.integer(),
});
const runs = { numRuns: 40 };

describe("cross-entropy of a layer", () => {
  test.each([
    ["f64", 1e-12],
    ["f32", 2e-5],
  ] as const)("in %s no tile of any size changes it by more than %d", (dtype, tolerance) => {
    fc.assert(
      fc.property(sizes, ({ n, d, v, seed, ...options }) => {
        const { args, target } = layerOf(n, d, v, dtype, seed);
        const got = measured(fused(target, options), args);
        const want = measured(
          (x, w, b) => crossEntropy(linear(x, w as never, b as never) as Float, target),
          args,
        );
        got.forEach((numbers, i) => {
          expect(apart(numbers, want[i]!)).toBeLessThanOrEqual(tolerance);
        });
      }),
      runs,
    );
  });

  test("a confident row keeps its digits, wherever its class stands", () => {
    const w = tensor(Float64Array.of(0, 40, 3, -2, 1), { shape: [5, 1] }) as Float;
    const one = tensor(Float64Array.of(1), { shape: [1, 1] }) as Float;
    const want = crossEntropy(tensor(Float64Array.of(0, 40, 3, -2, 1), { shape: [1, 5] }), [1]).item();
    for (const chunkClasses of [1, 2, 3, 5])
      expect(fusedLinearCrossEntropy(one, w, undefined, [1], { chunkClasses }).item()).toBeCloseTo(want, 28);
    expect(want).toBeGreaterThan(1e-17);
  });

  test("a constant on the bias changes nothing, and its gradients sum to zero", () => {
    fc.assert(
      fc.property(
        sizes,
        fc.double({ min: -50, max: 50, noNaN: true }),
        ({ n, d, v, seed, ...options }, c) => {
          const { args, target } = layerOf(n, d, v, "f64", seed);
          const [x, w, b] = args;
          const smooth = { ...options, labelSmoothing: 0.2 };
          const plain = measured(fused(target, smooth), args);
          const shifted = measured(fused(target, smooth), [x, w, add(b, c) as Float]);
          shifted.forEach((numbers, i) => {
            expect(apart(numbers, plain[i]!)).toBeLessThanOrEqual(1e-11);
          });
          expect(Math.abs(plain[3]!.reduce((a, b) => a + b))).toBeLessThanOrEqual(1e-14);
        },
      ),
      runs,
    );
  });

  test("a filter of 0 leaves out nothing, another no more than it says", () => {
    fc.assert(
      fc.property(sizes, fc.double({ min: -8, max: -1, noNaN: true }), ({ n, d, v, seed, ...options }, e) => {
        const { args, target } = layerOf(n, d, v, "f64", seed, 4);
        const [x, w] = args.map((t) => t.toArray()) as [number[][], number[][]];
        const exact = measured(fused(target, options), args);
        expect(measured(fused(target, { ...options, filterX: 0, filterW: 0 }), args)).toEqual(exact);
        const filter = 10 ** e;
        const some = measured(fused(target, { ...options, filterX: filter, filterW: filter }), args);
        const norm = (t: readonly number[]): number => Math.hypot(...t);
        const rowsOf = (t: readonly number[], i: number): number[] => t.slice(i * d, (i + 1) * d);
        const difference = (k: number, i: number): number =>
          norm(rowsOf(some[k]!, i).map((u, j) => u - rowsOf(exact[k]!, i)[j]!));
        const [ofW, ofX] = [w, x].map((rows) => rows.reduce((total, r) => total + norm(r), 0));
        for (let i = 0; i < n; i++) expect(difference(1, i)).toBeLessThanOrEqual(filter * ofW! + 1e-14);
        for (let j = 0; j < v; j++) expect(difference(2, j)).toBeLessThanOrEqual(filter * ofX! + 1e-14);
        expect(some[0]).toEqual(exact[0]);
      }),
      runs,
    );
  });

  test("a filter above every gradient leaves the layer as it is", () => {
    const { args, target } = layerOf(5, 3, 12);
    const [, dx, dw, db] = measured(fused(target, { filterX: 2, filterW: 2, chunkRows: 2 }), args);
    for (const numbers of [dx, dw, db]) expect(numbers!.every((v) => v === 0)).toBe(true);
    const [, onlyX] = measured(fused(target, { filterW: 2 }), args);
    expect(onlyX).toEqual(measured(fused(target), args)[1]);
  });

  test("gradients are scaled by the cotangent, each time anew", () => {
    const { args, target } = layerOf(6, 4, 15);
    for (const schedule of ["rows", "tiles"] as const) {
      const { pullback } = vjp(fused(target, { schedule, chunkRows: 4 }), ...args);
      const at = (g: number): number[] =>
        pullback(tensor(Float64Array.of(g), { shape: [] }) as Float).flatMap((t) => [...t.dataSync()]);
      const once = at(1);
      const tripled = at(3);
      expect(at(1)).toEqual(once);
      expect(
        apart(
          tripled,
          once.map((v) => 3 * v),
        ),
      ).toBeLessThanOrEqual(1e-14);
    }
  });

  test("second derivatives are those of the layer with all its scores", () => {
    const { args, target } = layerOf(4, 3, 9);
    const [x, w, b] = args;
    const along = layerOf(4, 3, 9, "f64", 8).args[1];
    const hvp = (f: (w: Float) => Float): number[] => [
      ...grad((w: Float) => sum(mul(grad(f)(w) as Float, along) as Float) as Float)(w).dataSync(),
    ];
    const options = { labelSmoothing: 0.1, zLoss: 0.1, chunkRows: 3, chunkClasses: 4 };
    for (const schedule of ["rows", "tiles"] as const) {
      const got = hvp((w) => fusedLinearCrossEntropy(x, w, b, target, { ...options, schedule }));
      const h = 1e-5;
      const gradientAt = (sign: number): Float =>
        grad((w: Float) => fusedLinearCrossEntropy(x, w, b, target, options))(
          add(w, mul(sign * h, along)) as Float,
        ) as Float;
      const differences = sub(gradientAt(1), gradientAt(-1)).dataSync();
      expect(
        apart(
          got,
          [...differences].map((v) => v / (2 * h)),
        ),
      ).toBeLessThanOrEqual(1e-8);
    }
  });

  test("it trains a layer step by step as the layer with all its scores is trained", () => {
    const { args, target } = layerOf(20, 6, 50);
    const train = (loss: (x: Float, w: Float, b: Float) => Float): number[] => {
      const [w, b] = [new Parameter(args[1]), new Parameter(args[2])];
      const sgd = new SGD([w, b], { lr: 0.5 });
      return Array.from({ length: 5 }, () =>
        Number((sgd.minimize(() => loss(args[0], w.value as Float, b.value as Float)) as Tensor).item()),
      );
    };
    const want = train((x, w, b) => crossEntropy(linear(x, w as never, b as never) as Float, target));
    expect(apart(train(fused(target, { chunkRows: 8 })), want)).toBeLessThanOrEqual(1e-12);
    expect(want[4]).toBeLessThan(want[0]!);
  });
});

describe.each(sparseLosses)("%s", (_, loss) => {
  test("touches the classes in the support of a row or right for it, and no others", () => {
    fc.assert(
      fc.property(sizes, ({ n, d, v, seed, chunkRows, chunkClasses }) => {
        const { args, target } = layerOf(n, d, v, "f64", seed);
        const [x, w, b] = args;
        const [p, q] = [new Parameter(w), new Parameter(b)];
        const f = (): Float =>
          loss(x, p.value as Float, q.value as Float, target, { chunkRows, chunkClasses });
        const [dw, db] = lossAndGradients("test", f, [p, q]).gradients as RowSparse[];
        expect(dw).toBeInstanceOf(RowSparse);
        const rows = [...dw!.rows.dataSync()];
        for (const t of target)
          if (
            dw!
              .toDense()
              .slice(t)
              .dataSync()
              .some((g) => g !== 0)
          )
            expect(rows).toContain(t);
        const z = linear(x, w as never, b as never).toArray() as number[][];
        const margin = loss === fusedLinearSparsemaxLoss ? 1 : 2;
        const reached = (j: number): boolean =>
          target.includes(j) || z.some((scores) => scores[j]! > Math.max(...scores) - margin);
        expect(rows.every(reached)).toBe(true);
        const dense = dw!.toDense().toArray() as number[][];
        dense.forEach((row, j) => {
          if (!reached(j)) expect(row.every((g) => g === 0)).toBe(true);
        });
        expect(Math.abs(Number(sum(db!.toDense() as Float).item()))).toBeLessThanOrEqual(1e-13);
      }),
      { numRuns: 25 },
    );
  });

  test("has the second derivatives of the layer with all its scores", () => {
    const { args, target } = layerOf(4, 3, 9);
    const [x, w, b] = args;
    const gradient = (w: Float): Float => grad((w: Float) => loss(x, w, b, target))(w) as Float;
    const along = layerOf(4, 3, 9, "f64", 8).args[1];
    const got = grad((w: Float) => sum(mul(gradient(w), along) as Float) as Float)(w).dataSync();
    const h = 1e-6;
    const differences = sub(
      gradient(add(w, mul(h, along)) as Float),
      gradient(sub(w, mul(h, along)) as Float),
    ).dataSync();
    expect(
      apart(
        [...got],
        [...differences].map((v) => v / (2 * h)),
      ),
    ).toBeLessThanOrEqual(1e-7);
  });
});

describe("beside the layer and its gradients", () => {
  /** Bytes that a loss takes at most besides its arguments and their gradients. */
  function extra(
    n: number,
    d: number,
    v: number,
    f: (target: readonly number[]) => (...args: Layer) => Float,
  ): number {
    const { args, target } = layerOf(n, d, v, "f32", 1, d ** -0.5);
    resetPeak();
    const { bytes } = memory();
    scope(() => {
      valueAndGrad(f(target) as (...args: Float[]) => Float, { argnums: [0, 1, 2] })(...args);
    });
    return memory().peak - bytes - 4 * (n * d + v * d + v);
  }

  test("a batch of no more rows than features takes less than an eighth of its scores", async () => {
    await useDevice("wasm");
    const [n, d, v] = [64, 128, 50000];
    expect(extra(n, d, v, (target) => fused(target))).toBeLessThan((4 * n * v) / 8);
  });

  test("a larger one takes less than an eighth of what all scores do, and in tiles less than a fiftieth", async () => {
    await useDevice("wasm");
    const [n, d, v] = [512, 16, 16384];
    const unfused = extra(
      n,
      d,
      v,
      (target) => (x, w, b) => crossEntropy(linear(x, w as never, b as never) as Float, target),
    );
    expect(unfused).toBeGreaterThan(4 * n * v);
    expect(extra(n, d, v, (target) => fused(target, { schedule: "rows" }))).toBeLessThan(unfused / 8);
    expect(extra(n, d, v, (target) => fused(target, { schedule: "tiles" }))).toBeLessThan(unfused / 50);
    expect(
      extra(
        n,
        d,
        v,
        (target) =>
          (...args) =>
            fusedLinearSparsemaxLoss(...args, target),
      ),
    ).toBeLessThan(unfused / 8);
  });
});

describe("what does not fit is refused before anything runs", () => {
  const { args, target } = layerOf(2, 3, 6);
  const [x, w, b] = args;
  const all = [
    ["fusedLinearCrossEntropy", fusedLinearCrossEntropy as unknown as FusedSparseLoss],
    ...sparseLosses,
  ] as const;

  test.each(all)("%s names the argument, the finding and the way out", (name, loss) => {
    expect(() => loss(x, w, b, [0, 6])).toThrow(`${name}: target[1] is 6; class indices lie in [0, 6)`);
    expect(() => loss(x, w, b, [0, -1])).toThrow(DomainError);
    expect(() => loss(x, w, b, [0, 0.5])).toThrow(DomainError);
    expect(() => loss(x, w, b, [0])).toThrow(ShapeError);
    expect(() =>
      loss(x, tensor(Float64Array.of(1, 2), { shape: [1, 2] }) as Float, undefined, [0, 0]),
    ).toThrow(ShapeError);
    expect(() => loss(x, w, x, target)).toThrow(ShapeError);
    expect(() =>
      loss(x, tensor(new Float32Array(18), { shape: [6, 3] }) as unknown as Float, b, target),
    ).toThrow(DTypeError);
    expect(() => loss(x, w, b, target, { chunkRows: 0 })).toThrow(DomainError);
    expect(() => loss(x, w, b, target, { chunkClasses: 1.5 })).toThrow(DomainError);
    expect(() => loss(x, w, b, target, { reduction: "all" as never })).toThrow(ArgumentError);
    expect(() => loss(x, w, b, target, { rows: 3 } as never)).toThrow(ArgumentError);
  });

  test.each([
    [{ labelSmoothing: 1.5 }, DomainError],
    [{ zLoss: -1 }, DomainError],
    [{ zLoss: Number.NaN }, DomainError],
    [{ softCap: 0 }, DomainError],
    [{ softCap: "4" as never }, ArgumentError],
    [{ schedule: "columns" as never }, ArgumentError],
    [{ schedule: "rows", reduction: "none" }, ArgumentError],
    [{ filterX: -1 }, DomainError],
    [{ ignoreIndex: 0.5 }, DomainError],
    [{ returns: ["p"] as never }, ArgumentError],
    [{ classWeight: b.slice([0, 3]) }, ShapeError],
  ] as const)("fusedLinearCrossEntropy refuses %o", (options, error) => {
    expect(() => fusedLinearCrossEntropy(x, w, b, target, options as FusedLinearCrossEntropyOptions)).toThrow(
      error,
    );
  });
});
