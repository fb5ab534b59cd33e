// Losses of sampled candidates: what they converge to, by enumeration of all that can be drawn, and where they agree with the
// losses over all classes.

import { fc, test as property } from "@fast-check/vitest";
import { beforeAll, describe, expect, test } from "vitest";
import { dtypes } from "../core/dtype.ts";
import {
  ArgumentError,
  DomainError,
  DTypeError,
  grad,
  Parameter,
  type Shape,
  ShapeError,
  scope,
  type Tensor,
  tensor,
  useDevice,
  valueAndGrad,
} from "../core/index.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { lossAndGradients } from "../core/tape.ts";
import {
  crossEntropy,
  LogUniformSampler,
  nceLoss,
  negativeSamplingLoss,
  rankingNceLoss,
  sampledSoftmaxLoss,
  UnigramSampler,
} from "../losses/index.ts";
import { linear, mul, sum } from "../ops/index.ts";
import { firstDifference, generator, settings } from "./suite/samples.ts";

type F64 = Tensor<Shape, "f64">;

const [tolerance, gradientTolerance] = dtypes.f64.tolerance;
const f64 = (data: ArrayLike<number>, shape: readonly number[] = [data.length]): F64 =>
  tensor(Float64Array.from(data), { shape, dtype: "f64" }) as F64;
const i32 = (data: readonly number[], shape: readonly number[] = [data.length]): Tensor<Shape, "i32"> =>
  tensor(Int32Array.from(data), { shape }) as Tensor<Shape, "i32">;
const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));

beforeAll(() => useDevice("wasm"));

// ---------------------------------------------------------------------------------------------------------------
// Populations: every row and every draw, each with its probability

/** p = q ∝ 1/rank over five classes. */
const p: readonly number[] = (() => {
  const shares = [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5];
  return shares.map((v) => v / shares.reduce((a, b) => a + b));
})();
const q = p;
const classes = p.map((_, id) => id);

interface Draw {
  readonly ids: readonly number[];
  readonly probability: number;
}

/** All draws of so many ids, with replacement or without. */
function draws(count: number, unique: boolean): Draw[] {
  let found: Draw[] = [{ ids: [], probability: 1 }];
  for (let turn = 0; turn < count; turn++)
    found = found.flatMap(({ ids, probability }) => {
      const left = unique ? ids.reduce((rest, id) => rest - q[id]!, 1) : 1;
      const open = unique ? classes.filter((id) => !ids.includes(id)) : classes;
      return open.map((id) => ({ ids: [...ids, id], probability: (probability * q[id]!) / left }));
    });
  return found;
}

interface Population {
  readonly target: readonly number[];
  readonly sampled: Tensor<Shape, "i32">;
  readonly expectedTrue: readonly number[];
  readonly expectedSampled: F64;
  readonly weights: F64;
}

function population(count: number, unique = false): Population {
  const all = draws(count, unique);
  const inclusion = classes.map((id) =>
    unique
      ? all.reduce((sum, { ids, probability }) => sum + (ids.includes(id) ? probability : 0), 0)
      : count * q[id]!,
  );
  const rows = classes.flatMap((target) => all.map(({ ids, probability }) => ({ target, ids, probability })));
  const ids = rows.flatMap((row) => row.ids);
  return {
    target: rows.map(({ target }) => target),
    sampled: i32(ids, [rows.length, count]),
    expectedTrue: rows.map(({ target }) => inclusion[target]!),
    expectedSampled: f64(
      ids.map((id) => inclusion[id]!),
      [rows.length, count],
    ),
    weights: f64(rows.map(({ target, probability }) => p[target]! * probability)),
  };
}

type AnyLoss = (x: F64, weight: F64, bias: undefined, target: readonly number[], options: never) => Tensor;

/** The expected gradient of a table of scores: one feature that is 1. */
function expectedGradient(
  loss: AnyLoss,
  scores: readonly number[],
  { target, weights, ...candidates }: Population,
  options: object = {},
): Float64Array {
  return scope(() => {
    const x = f64(new Float64Array(target.length).fill(1), [target.length, 1]);
    const f = (table: F64): F64 =>
      sum(
        mul(
          loss(x, table, undefined, target, { ...candidates, ...options, reduction: "none" } as never),
          weights as never,
        ),
      ) as F64;
    return (grad(f as never)(f64(scores, [5, 1]) as never) as unknown as F64).dataSync();
  });
}

const softmaxOf = (scores: readonly number[]): number[] => {
  const e = scores.map(Math.exp);
  return e.map((v) => v / e.reduce((a, b) => a + b));
};

describe("the optimum", () => {
  const logP = p.map(Math.log);

  test.each([1, 2, 3])("of NCE with %d noise classes is log p itself", (k) => {
    const all = population(k);
    expect(largest(expectedGradient(nceLoss as AnyLoss, logP, all))).toBeLessThan(gradientTolerance);
    const shifted = logP.map((v) => v + 0.1);
    expect(largest(expectedGradient(nceLoss as AnyLoss, shifted, all))).toBeGreaterThan(0.001);
    const given = expectedGradient(nceLoss as AnyLoss, shifted, all, { logZ: 0.1 });
    expect(largest(given), "a normaliser is taken off").toBeLessThan(gradientTolerance);
    const removed = expectedGradient(nceLoss as AnyLoss, logP, all, { removeAccidentalHits: true });
    expect(largest(removed), "removing hits moves it").toBeGreaterThan(0.001);
  });

  test.each([1, 2])("of negative sampling with %d classes is log p − log(k q)", (k) => {
    const all = population(k);
    const shifted = p.map((v, id) => Math.log(v) - Math.log(k * q[id]!));
    const kept = { removeAccidentalHits: false };
    const of = (scores: readonly number[]) =>
      largest(expectedGradient(negativeSamplingLoss as AnyLoss, scores, all, kept));
    expect(of(shifted)).toBeLessThan(gradientTolerance);
    expect(of(logP)).toBeGreaterThan(0.01);
  });

  test("of ranking NCE is log p up to a constant", () => {
    const shifted = logP.map((v) => v + 7);
    expect(largest(expectedGradient(rankingNceLoss as AnyLoss, shifted, population(2)))).toBeLessThan(
      gradientTolerance,
    );
  });
});

describe("sampled softmax", () => {
  /** Scores at which the errors of the table in the docstring are taken. */
  const scores = [0, -0.5, 0.18, 0.71, -0.85];
  const full = softmaxOf(scores).map((v, id) => v - p[id]!);
  const kept = { removeAccidentalHits: false };
  const removed = { removeAccidentalHits: true };
  const uncorrected = { ...kept, subtractLogQ: false };
  const ones = ({ expectedTrue }: Population) => ({ ...removed, expectedTrue: expectedTrue.map(() => 1) });
  const error = (all: Population, options: object): number =>
    largest(
      expectedGradient(sampledSoftmaxLoss as AnyLoss, scores, all, options).map((v, id) => v - full[id]!),
    );

  test.each([
    ["hits kept", () => kept, false, [0.21, 0.166, 0.136]],
    ["hits removed", () => removed, false, [0.21, 0.162, 0.127]],
    ["importance sampling", ones, false, [0.243, 0.188, 0.149]],
    ["distinct candidates", () => removed, true, [0.21, 0.139, 0.076, 0.03, 0]],
    ["no correction", () => uncorrected, false, [0.265, 0.263, 0.261]],
  ] as const)("has the bias that its table says: %s", (_, options, unique, wanted) => {
    wanted.forEach((want, i) => {
      const all = population(i + 1, unique);
      expect(Math.abs(error(all, options(all)) - want), `S = ${i + 1}`).toBeLessThan(6e-4);
    });
  });

  test.each([
    ["hits kept", () => kept, false, 0],
    ["hits removed", () => removed, false, 0.0069],
    ["importance sampling", ones, false, 0.0011],
    ["distinct candidates", () => removed, true, 0.0008],
    ["no correction", () => uncorrected, false, 0.1789],
  ] as const)("ends where its table says: %s", (_, options, unique, wanted) => {
    const all = population(3, unique);
    let at: number[] = p.map(Math.log);
    for (let step = 0; step < 150; step++) {
      const g = expectedGradient(sampledSoftmaxLoss as AnyLoss, at, all, options(all));
      at = at.map((v, id) => v - 4 * g[id]!);
    }
    const end = softmaxOf(at);
    const kl = p.reduce((sum, v, id) => sum + v * Math.log(v / end[id]!), 0);
    expect(Math.abs(kl - wanted)).toBeLessThan(6e-5);
  });
});

// ---------------------------------------------------------------------------------------------------------------
// Agreement with other losses

interface Problem {
  readonly x: F64;
  readonly weight: F64;
  readonly bias: F64;
  readonly target: readonly number[];
}

function problem(rows: number, d: number, n: number, seed: number): Problem {
  const random = generator(seed);
  const normal = (size: number) => Float64Array.from({ length: size }, () => 4 * random() - 2);
  return {
    x: f64(normal(rows * d), [rows, d]),
    weight: f64(normal(n * d), [n, d]),
    bias: f64(normal(n)),
    target: Array.from({ length: rows }, () => Math.floor(random() * n)),
  };
}

/** A loss and its gradients with respect to features, weights and biases. */
function withGradients(f: (x: F64, w: F64, b: F64) => Tensor, { x, weight, bias }: Problem): number[] {
  const { value, gradient } = valueAndGrad(f as never, { argnums: [0, 1, 2] })(
    ...([x, weight, bias] as never[]),
  ) as unknown as { value: F64; gradient: F64[] };
  return [value, ...gradient].flatMap((t) => Array.from(t.dataSync()));
}

const sizes = {
  rows: fc.integer({ min: 1, max: 5 }),
  d: fc.integer({ min: 1, max: 6 }),
  n: fc.integer({ min: 1, max: 9 }),
  seed: fc.nat(1e6),
};

property.prop(sizes, { numRuns: 20 })(
  "all classes as candidates make the cross-entropy of all classes",
  ({ rows, d, n, seed }) => {
    scope(() => {
      const given = problem(rows, d, n, seed);
      const batch = new LogUniformSampler(n).draw(given.target, n, { seed });
      const got = withGradients((x, w, b) => sampledSoftmaxLoss(x, w, b, given.target, batch), given);
      const want = withGradients(
        (x, w, b) => crossEntropy(linear(x, w as never, b as never), given.target),
        given,
      );
      expect(firstDifference(got, want, gradientTolerance)).toBeUndefined();
    });
  },
);

property.prop({ ...sizes, count: fc.integer({ min: 1, max: 7 }) }, { numRuns: 20 })(
  "ranking NCE is sampled softmax with replacement and hits kept; its counts may be scaled",
  ({ rows, d, n, seed, count }) => {
    scope(() => {
      const given = problem(rows, d, n, seed);
      const batch = new UnigramSampler(Array.from({ length: n }, (_, id) => id + 1)).draw(
        given.target,
        count,
        {
          seed,
          unique: false,
        },
      );
      const scaled = {
        sampled: batch.sampled,
        expectedTrue: batch.expectedTrue.map((v) => 3 * v),
        expectedSampled: batch.expectedSampled.map((v) => 3 * v),
      };
      const got = withGradients((x, w, b) => rankingNceLoss(x, w, b, given.target, scaled), given);
      const want = withGradients((x, w, b) => sampledSoftmaxLoss(x, w, b, given.target, batch), given);
      expect(firstDifference(got, want, gradientTolerance)).toBeUndefined();
    });
  },
);

const losses = { nceLoss, negativeSamplingLoss, rankingNceLoss, sampledSoftmaxLoss } as unknown as {
  readonly [name: string]: (...args: readonly unknown[]) => Tensor;
};
const corrected = Object.entries(losses).filter(([name]) => name !== "negativeSamplingLoss");

describe.each(Object.entries(losses))("%s", (name, loss) => {
  property.prop({ ...sizes, count: fc.integer({ min: 1, max: 7 }) }, { numRuns: 12 })(
    "is the same for shared candidates and for as many lists of them",
    ({ rows, d, n, seed, count }) => {
      scope(() => {
        const given = problem(rows, d, n, seed);
        const { sampled, expectedTrue, expectedSampled } = new LogUniformSampler(n).draw(
          given.target,
          count,
          {
            seed,
            unique: false,
          },
        );
        const tiled = <A>(data: ArrayLike<A>): A[] =>
          Array.from({ length: rows }, () => Array.from(data)).flat();
        const own = {
          sampled: i32(tiled(sampled), [rows, count]),
          expectedTrue,
          expectedSampled: f64(tiled(expectedSampled), [rows, count]),
        };
        const got = withGradients((x, w, b) => loss(x, w, b, given.target, own), given);
        const shared = { sampled, expectedTrue, expectedSampled };
        const want = withGradients((x, w, b) => loss(x, w, b, given.target, shared), given);
        expect(firstDifference(got, want, gradientTolerance)).toBeUndefined();
      });
    },
  );

  test("leaves rows out, and divides by those that count", () => {
    const given = problem(4, 3, 8, 1);
    const options = { sampled: [5, 6], expectedTrue: [1, 0, 0.5, 0], expectedSampled: [0.5, 2] };
    const target = [2, -100, 0, -100];
    const got = withGradients((x, w, b) => loss(x, w, b, target, options), given);
    const few = {
      ...options,
      expectedTrue: [1, 0.5],
      reduction: "sum",
    };
    const want = withGradients((x, w, b) => {
      const rows = x.reshape([2, 2, 3]).slice(null, 0) as F64;
      return mul(loss(rows, w, b, [2, 0], few) as F64, 0.5);
    }, given);
    expect(firstDifference(got, want, tolerance)).toBeUndefined();
    const none = withGradients((x, w, b) => loss(x, w, b, [-100, -100, -100, -100], options), given);
    expect(largest(none)).toBe(0);
    const marked = loss(given.x, given.weight, given.bias, [2, 7, 0, 7], { ...options, ignoreIndex: 7 });
    expect(Math.abs((marked.item() as number) - got[0]!)).toBeLessThan(tolerance);
  });

  test("takes rows along any axes", () => {
    const given = problem(6, 3, 8, 2);
    const options = {
      sampled: i32([5, 6, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2], [2, 3, 2]),
      expectedTrue: f64([1, 2, 3, 4, 5, 6], [2, 3]),
      expectedSampled: f64(new Float64Array(12).fill(0.5), [2, 3, 2]),
      reduction: "none",
    };
    const cube = loss(
      given.x.reshape([2, 3, 3]),
      given.weight,
      given.bias,
      i32(given.target as number[], [2, 3]),
      options,
    );
    expect(cube.shape).toEqual([2, 3]);
    const flat = loss(given.x, given.weight, given.bias, given.target, {
      ...options,
      sampled: options.sampled.reshape([6, 2]),
      expectedTrue: options.expectedTrue.reshape([6]),
      expectedSampled: options.expectedSampled.reshape([6, 2]),
    });
    expect(Array.from(cube.dataSync())).toEqual(Array.from(flat.dataSync()));
    const one = loss(given.x.slice(0), given.weight, given.bias, i32([given.target[0]!], []), {
      sampled: i32([5, 6]),
      expectedTrue: f64([1], []),
      expectedSampled: [0.5, 0.5],
    });
    expect(Math.abs((one.item() as number) - (flat.dataSync()[0] as number))).toBeLessThan(tolerance);
  });

  test("touches the rows of targets and candidates and no others", () => {
    const given = problem(3, 4, 100, 3);
    const [weight, bias] = [new Parameter(given.weight), new Parameter(given.bias)];
    const target = [7, -100, 9];
    const options = { sampled: [7, 42, 42], expectedTrue: [1, 1, 1], expectedSampled: [1, 1, 1] };
    const { gradients } = lossAndGradients(
      name,
      () => loss(given.x, weight.value, bias.value, target, options),
      [weight, bias],
    );
    for (const g of gradients) {
      expect(g).toBeInstanceOf(RowSparse);
      expect((g as RowSparse).coalesced().rows.toArray()).toEqual([7, 9, 42]);
    }
  });

  test.each(settings)(
    "is finite for scores of a thousand on $device in $dtype",
    async ({ device, dtype }) => {
      await useDevice(device);
      const make = (data: readonly number[], shape: readonly number[]) =>
        tensor(Float64Array.from(data), { shape, dtype }) as F64;
      const given = {
        x: make([1000, -1000, 0], [3, 1]),
        weight: make([1, -1, 0.5, 0, 1], [5, 1]),
        bias: make([0, 0, 0, 0, 0], [5]),
        target: [],
      };
      const options = { sampled: [0, 1, 3], expectedTrue: [1, 1, 1], expectedSampled: [1, 0.5, 0.1] };
      const { value, gradient } = valueAndGrad(
        ((x: F64, w: F64, b: F64) => loss(x, w, b, [1, 4, 2], options)) as never,
        { argnums: [0, 1, 2] },
      )(...([given.x, given.weight, given.bias] as never[])) as unknown as { value: F64; gradient: F64[] };
      for (const t of [value, ...gradient])
        for (const v of await t.data()) expect(v).toSatisfy(Number.isFinite);
      await useDevice("wasm");
    },
  );

  test("is 0 without rows", () => {
    const options = { sampled: [0], expectedTrue: [], expectedSampled: [1] };
    const empty = f64([], [0, 2]);
    expect(loss(empty, f64([1, 2, 3, 4], [2, 2]), undefined, [], options).item()).toBe(0);
  });

  test("refuses candidates and layers that do not fit", () => {
    const { x, weight, bias } = problem(2, 3, 5, 4);
    const good = { sampled: [0, 1], expectedTrue: [1, 1], expectedSampled: [1, 1] };
    const call =
      (change: object, b: unknown = bias, w: unknown = weight) =>
      () =>
        loss(x, w, b, [0, 1], { ...good, ...change });
    expect(call({ sampled: [0, 5] })).toThrow(DomainError);
    expect(call({ sampled: [0, 5] })).toThrow(/sampled\[1\] is 5; class indices lie in \[0, 5\)/);
    expect(call({ sampled: [0, 0.5] })).toThrow(/sampled\[1\] is 0.5/);
    expect(call({ sampled: [] })).toThrow(ShapeError);
    expect(call({ sampled: i32([0, 1, 2], [3, 1]) })).toThrow(ShapeError);
    expect(call({ unique: "yes" })).toThrow(ArgumentError);
    expect(call({ ignoreIndex: 0.5 })).toThrow(DomainError);
    expect(call({}, f64([1, 2]))).toThrow(/bias of shape \[2\] stands beside 5 classes/);
    expect(call({}, tensor([1, 2, 3, 4, 5]))).toThrow(DTypeError);
    expect(call({}, bias, f64([1, 2, 3, 4], [2, 2]))).toThrow(/weight of shape \[2, 2\]/);
    expect(() => loss(x, weight, bias, [0, 5], good)).toThrow(/target\[1\] is 5/);
    expect(() => loss(x, weight, bias, [0, 1])).toThrow(/sampled is not given/);
  });
});

test.each(corrected)("%s refuses counts that cannot be expected", (_, loss) => {
  const { x, weight, bias } = problem(2, 3, 5, 4);
  const good = { sampled: [0, 1], expectedTrue: [1, 1], expectedSampled: [1, 1] };
  const call = (change: object) => () => loss(x, weight, bias, [0, -100], { ...good, ...change });
  for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    for (const key of ["expectedTrue", "expectedSampled"]) {
      expect(call({ [key]: [bad, 1] })).toThrow(new RegExp(`${key}\\[0\\] is ${bad}`));
      expect(call({ [key]: f64([bad, 1]) })).toThrow(DomainError);
    }
  expect(call({ expectedTrue: [1, 0] }), "of rows to leave out they are not asked").not.toThrow();
  expect(call({ expectedTrue: [1] })).toThrow(ShapeError);
  expect(call({ expectedSampled: undefined })).toThrow(/expectedSampled is not given/);
});

test("where every candidate is a hit, loss and gradient are 0", () => {
  const given = problem(2, 3, 5, 5);
  const options = { sampled: [3, 3], expectedTrue: [1, 1], expectedSampled: [1, 1] };
  expect(largest(withGradients((x, w, b) => sampledSoftmaxLoss(x, w, b, [3, 3], options), given))).toBe(0);
});

test("a masked class has no part, and as the right class an infinite loss", () => {
  const given = problem(2, 3, 5, 6);
  const masked = { ...given, bias: f64([0, Number.NEGATIVE_INFINITY, 0, 0, 0]) };
  const options = { sampled: [1, 2], expectedTrue: [1, 1], expectedSampled: [1, 1] };
  const one = { sampled: [2], expectedTrue: [1, 1], expectedSampled: [1] };
  const got = withGradients((x, w, b) => sampledSoftmaxLoss(x, w, b, [3, 4], options), masked);
  const want = withGradients((x, w, b) => sampledSoftmaxLoss(x, w, b, [3, 4], one), masked);
  expect(firstDifference(got, want, tolerance)).toBeUndefined();
  const loss = sampledSoftmaxLoss(given.x, given.weight, masked.bias, [1, 4], {
    ...options,
    sampled: [0, 2],
  });
  expect(loss.item()).toBe(Number.POSITIVE_INFINITY);
});

test("draws without replacement leave hits out, others keep them, unless it is said", () => {
  const { x, weight, bias } = problem(2, 3, 5, 7);
  const options = { sampled: [3, 1], expectedTrue: [1, 1], expectedSampled: [1, 1] };
  const of = (more: object): number =>
    sampledSoftmaxLoss(x, weight, bias, [3, 1], { ...options, ...more }).item();
  expect(of({})).toBe(of({ removeAccidentalHits: true }));
  expect(of({ unique: true })).toBe(of({}));
  expect(of({ unique: false })).toBe(of({ removeAccidentalHits: false }));
  expect(of({ unique: false, removeAccidentalHits: true })).toBe(of({}));
  expect(of({ unique: false })).toBeGreaterThan(of({}));
  expect(() => rankingNceLoss(x, weight, bias, [3, 1], { ...options, unique: true })).toThrow(ArgumentError);
});

test("a normaliser that is learned has a gradient, and is one value", () => {
  const { x, weight, target } = problem(3, 2, 5, 8);
  const options = { sampled: [3, 1], expectedTrue: [1, 1, 1], expectedSampled: [1, 1] };
  const f = (logZ: F64) => nceLoss(x, weight, undefined, target, { ...options, logZ });
  const g = (grad(f as never)(f64([0.3], []) as never) as unknown as F64).item() as number;
  const at = (v: number): number => nceLoss(x, weight, undefined, target, { ...options, logZ: v }).item();
  expect(Math.abs(g - (at(0.3 + 1e-5) - at(0.3 - 1e-5)) / 2e-5)).toBeLessThan(1e-8);
  const shifted = nceLoss(x, weight, f64([-0.3, -0.3, -0.3, -0.3, -0.3]), target, options);
  expect(Math.abs((shifted.item() as number) - at(0.3))).toBeLessThan(tolerance);
  expect(() => f(f64([1, 2]))).toThrow(ShapeError);
  expect(() => nceLoss(x, weight, undefined, target, { ...options, logZ: Number.NaN })).toThrow(
    ArgumentError,
  );
});
