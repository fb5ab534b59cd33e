// Losses of features: what margins, angles, pairs and prototypes have to satisfy, whatever the numbers. Their values and
// derivatives are checked by the derived suites and the golden files.

import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { useDevice } from "../core/device.ts";
import { dtypes } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError } from "../core/errors.ts";
import { openScope, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { vjp } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import * as losses from "../losses/index.ts";
import { linear, matmul, max, mean, mul, normalize, sub } from "../ops/index.ts";
import { firstDifference, generator, numbersOf, type Setting, settings } from "./suite/samples.ts";

type Floats = Tensor<Shape, "f64">;
type Loss = (...args: readonly unknown[]) => Floats;
type Head = Loss & {
  readonly logits: Loss;
  readonly step: (...args: readonly unknown[]) => { [key: string]: Floats };
};

const all = losses as unknown as { readonly [name: string]: Head };
const js: Setting = { device: "js", dtype: "f64" };
const none = { reduction: "none" } as const;

beforeAll(() => useDevice("js"));

/** Numbers that are distributed normally. */
function normals(count: number, seed: number): number[] {
  const random = generator(seed);
  return Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

const floats = (data: readonly number[], shape: readonly number[], { device, dtype }: Setting = js): Floats =>
  tensor(Float64Array.from(data), { shape: shape as number[], device, dtype }) as Floats;
const random = (shape: readonly number[], seed: number, setting?: Setting): Floats =>
  floats(
    normals(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
    setting,
  );
const numbers = (t: Tensor): number[] => [t.toArray()].flat(9) as number[];
const scaled = (t: Floats, factor: number): Floats => mul(t, factor) as Floats;

/** A random problem of a few rows, features and classes. */
const problem = (seed: number) => {
  const draw = generator(seed + 1);
  const [rows, d, classes] = [
    1 + Math.floor(4 * draw()),
    1 + Math.floor(5 * draw()),
    2 + Math.floor(5 * draw()),
  ];
  const target = Array.from({ length: rows }, () => Math.floor(classes * draw()));
  return { rows, d, classes, target, x: random([rows, d], seed), weight: random([classes, d], seed + 7) };
};

/** Tries a property on random problems. */
const always = (runs: number, law: (p: ReturnType<typeof problem>, draw: () => number) => void): void =>
  fc.assert(
    fc.property(fc.nat(1e6), (seed) => scope(() => law(problem(seed), generator(seed + 3)))),
    { numRuns: runs, seed: 0 },
  );

const gradients = (f: (...args: Floats[]) => Floats, ...args: Floats[]): number[][] => {
  const { value, pullback } = vjp(f as (...args: Tensor[]) => Floats, ...args);
  return (pullback(tensor(1, { dtype: value.dtype, device: value.device }) as never) as Tensor[]).map(
    numbers,
  );
};

const same = (a: Tensor | readonly number[], b: Tensor | readonly number[], within = 1e-11): void => {
  const [left, right] = [a, b].map((v) => (Array.isArray(v) ? v : numbers(v as Tensor))) as [
    number[],
    number[],
  ];
  expect(firstDifference(left, right, within)).toBeUndefined();
};

/** Heads of cosines alone, with options that are far from every threshold. */
const ofCosines: readonly (readonly [name: string, options: object])[] = [
  ["cosineSoftmax", { scale: 5 }],
  ["cosface", { scale: 5, margin: 0.2 }],
  ["arcface", { scale: 5, margin: 0.4 }],
  ["arcface", { scale: 5, margin: 0.4, easyMargin: true }],
  ["combinedMargin", { scale: 5, m1: 1.3, m2: 0.3, m3: 0.1 }],
  ["combinedMargin", { scale: 5, m1: 1.3, m2: 0.3, m3: 0.1, extension: "none" }],
  ["curricularface", { scale: 5, margin: 0.4, t: 0.3 }],
  ["circleLossClasses", { gamma: 5 }],
  ["infoNce", { temperature: 0.3 }],
];
const heads: typeof ofCosines = [
  ...ofCosines,
  ["sphereface", { m: 3, lambda: 0.5 }],
  ["lSoftmax", { m: 2 }],
  ["magface", { scale: 5, lA: 1, uA: 3, lambdaG: 2 }],
  ["prototypicalLoss", { scale: 0.5 }],
  ["prototypicalLoss", { scale: 2, distance: "cosine" }],
];

describe("margins", () => {
  test("of 0 leave the cosine softmax", () => {
    always(30, ({ x, weight, target }) => {
      const plain = losses.cosineSoftmax(x, weight as never, target, { scale: 7, ...none });
      for (const [name, options] of [
        ["cosface", { margin: 0 }],
        ["arcface", { margin: 0 }],
        ["arcface", { margin: 0, easyMargin: true }],
        ["combinedMargin", { m1: 1, m2: 0, m3: 0 }],
        ["infoNce", { temperature: 1 / 7 }],
      ] as const)
        same(
          all[name]!(x, weight, target, { ...(name === "infoNce" ? {} : { scale: 7 }), ...options, ...none }),
          plain,
        );
      same(
        losses.sphereface(normalize(x), weight as never, target, { m: 1, ...none }),
        losses.cosineSoftmax(x, weight as never, target, { scale: 1, ...none }),
      );
      same(
        losses.lSoftmax(x, weight as never, target, { m: 1, ...none }),
        losses.crossEntropy(linear(x, weight as never) as Floats, target, none),
      );
    });
  });

  test("that are wider never cost less", () => {
    always(30, ({ x, weight, target }, draw) => {
      const [small, large] = [draw(), draw()].sort((a, b) => a - b) as [number, number];
      const least = 1 + Math.floor(3 * small);
      for (const [name, option, a, b] of [
        ["cosface", "margin", small, large],
        ["arcface", "margin", 1.5 * small, 1.5 * large],
        ["combinedMargin", "m1", 1 + 2 * small, 1 + 2 * large],
        ["combinedMargin", "m2", small, large],
        ["combinedMargin", "m3", small, large],
        ["sphereface", "m", least, least + 1],
        ["lSoftmax", "m", least, least + 1],
      ] as const) {
        const at = (value: number): number[] =>
          numbers(all[name]!(x, weight, target, { [option]: value, ...none }));
        const [less, more] = [at(a), at(b)];
        for (const [i, v] of more.entries())
          expect(v, `${name}: ${option}`).toBeGreaterThanOrEqual(less[i]! - 1e-9);
      }
    });
  });

  test("agree where one loss contains another", () => {
    always(30, ({ x, weight, target, rows }, draw) => {
      const margin = 0.5 * draw();
      const combined = (options: object): Floats =>
        all.combinedMargin!(x, weight, target, { scale: 4, m1: 1, m2: 0, m3: 0, ...options, ...none });
      same(combined({ m3: margin }), all.cosface!(x, weight, target, { scale: 4, margin, ...none }));
      const arc = numbers(all.arcface!(x, weight, target, { scale: 4, margin, ...none }));
      const cosines = numbers(all.cosineSoftmax!.logits(x, weight, target, { scale: 1 }));
      const classes = cosines.length / rows;
      const wide = numbers(combined({ m2: margin }));
      for (let i = 0; i < rows; i++)
        if (Math.acos(cosines[i * classes + target[i]!]!) < Math.PI - margin)
          expect(wide[i]).toBeCloseTo(arc[i]!, 10);
      for (const m of [1, 2, 3, 4, 5])
        same(
          all.combinedMargin!.logits(x, weight, target, { scale: 1, m1: m, m2: 0, m3: 0 }),
          all.sphereface!.logits(normalize(x), weight, target, { m }),
        );
    });
  });

  test("that multiply the angle are Chebyshev polynomials that go on falling", () => {
    const chebyshev = [
      (c: number) => c,
      (c: number) => 2 * c * c - 1,
      (c: number) => 4 * c ** 3 - 3 * c,
      (c: number) => 8 * c ** 4 - 8 * c * c + 1,
    ];
    const angles = Array.from({ length: 200 }, (_, i) => (Math.PI * i) / 199);
    const x = floats(
      angles.flatMap((a) => [Math.cos(a), Math.sin(a)]),
      [200, 2],
    );
    const weight = floats([1, 0], [1, 2]);
    const target = angles.map(() => 0);
    for (const [at, polynomial] of chebyshev.entries()) {
      const m = at + 1;
      const psi = numbers(all.sphereface!.logits(x, weight, target, { m }));
      const want = angles.map((a) => {
        const k = Math.min(Math.floor((m * a) / Math.PI), m - 1);
        return (-1) ** k * polynomial(Math.cos(a)) - 2 * k;
      });
      same(psi, want, 1e-12);
      expect(psi.at(-1)).toBeCloseTo(1 - 2 * m, 12);
      for (let i = 1; i < psi.length; i++) expect(psi[i]).toBeLessThanOrEqual(psi[i - 1]!);
    }
  });
});

describe("losses of cosines", () => {
  test.each(ofCosines)("%s %o: gradients are at right angles to features and class rows", (name, options) => {
    always(15, ({ x, weight, target, d }) => {
      const [dx, dw] = gradients((x, w) => all[name]!(x, w, target, options), x, weight) as [
        number[],
        number[],
      ];
      const dots = (a: readonly number[], b: readonly number[]): number[] =>
        Array.from({ length: a.length / d }, (_, i) =>
          Array.from({ length: d }, (_, k) => a[i * d + k]! * b[i * d + k]!).reduce((p, q) => p + q, 0),
        );
      for (const dot of [...dots(dx, numbers(x)), ...dots(dw, numbers(weight))])
        expect(dot).toBeCloseTo(0, 9);
    });
  });

  test.each(ofCosines)(
    "%s %o: longer features change nothing but the length of the gradient",
    (name, options) => {
      always(15, ({ x, weight, target }) => {
        const of = (x: Floats): number[] => gradients((x) => all[name]!(x, weight, target, options), x)[0]!;
        same(
          all[name]!(scaled(x, 8), weight, target, options),
          all[name]!(x, weight, target, options),
          1e-10,
        );
        same(
          of(scaled(x, 8)).map((v) => 8 * v),
          of(x),
          1e-9,
        );
      });
    },
  );

  test.each(ofCosines)(
    "%s %o: what features and class rows are turned by does not matter",
    (name, options) => {
      always(10, ({ x, weight, target, d }, draw) => {
        const axis = normalize(random([1, d], Math.floor(1e6 * draw())));
        // A reflection.
        const turn = (t: Floats): Floats =>
          sub(t, mul(matmul(matmul(t, axis.transpose() as never), axis as never), 2) as never) as Floats;
        same(
          all[name]!(turn(x), turn(weight), target, options),
          all[name]!(x, weight, target, options),
          1e-9,
        );
      });
    },
  );
});

describe("heads", () => {
  test.each(heads)("%s %o is the cross-entropy of its logits", (name, options) => {
    if (name === "magface") return;
    always(10, ({ x, weight, target }) => {
      const z = all[name]!.logits(x, weight, target, options);
      for (const labelSmoothing of [0, 0.2])
        same(
          all[name]!(x, weight, target, { ...options, labelSmoothing, ...none }),
          losses.crossEntropy(z, target, { labelSmoothing, ...none }),
          1e-10,
        );
    });
  });

  test.each(heads)("%s %o leaves out ignored rows as if they were not there", (name, options) => {
    always(10, ({ x, weight, target, d }) => {
      const more = floats(
        [...normals(d, 5), ...numbers(x), ...normals(d, 6).map((v) => 100 * v)],
        [target.length + 2, d],
      );
      const marked = [9, ...target, 9];
      const given = { ...options, ignoreIndex: 9 };
      const of = (x: Floats, target: readonly number[], options: object): number[][] =>
        gradients((x, w) => all[name]!(x, w, target, options), x, weight);
      const [[dx, dw], [dmore, dall]] = [of(x, target, options), of(more, marked, given)] as [
        number[][],
        number[][],
      ];
      same(all[name]!(more, weight, marked, given), all[name]!(x, weight, target, options));
      same(dmore!, [...new Array<number>(d).fill(0), ...dx!, ...new Array<number>(d).fill(0)], 1e-10);
      same(dall!, dw!, 1e-10);
    });
  });

  test("take batches of any rank, and none", () => {
    for (const [name, options] of heads) {
      const [x, weight] = [random([6, 3], 1), random([4, 3], 2)];
      const target = [0, 1, 2, 3, 0, 1];
      const flat = all[name]!(x, weight, target, { ...options, ...none });
      const deep = all[name]!(x.reshape([2, 3, 3]) as never, weight, target, { ...options, ...none });
      expect(deep.shape).toEqual([2, 3]);
      same(deep, flat);
      expect(all[name]!.logits(x.reshape([2, 3, 3]) as never, weight, target, options).shape).toEqual([
        2, 3, 4,
      ]);
      expect(all[name]!(floats([], [0, 3]), weight, [], options).item()).toBe(0);
    }
  });

  test("give their logits to other losses", () => {
    const { x, weight, target } = problem(4);
    const [dx] = gradients((x) => {
      const z = losses.arcface.logits(x, weight as never, target, { scale: 4 });
      return losses.sparsemaxLoss(z as Floats, target) as Floats;
    }, x);
    expect(dx!.every(Number.isFinite) && dx!.some((v) => v !== 0)).toBe(true);
  });

  test("cost nothing for a single class", () => {
    for (const [name, options] of heads) {
      if (name === "magface") continue;
      expect(all[name]!(random([3, 2], 1), random([1, 2], 2), [0, 0, 0], options).item()).toBeCloseTo(0, 12);
    }
  });
});

describe("on every device", () => {
  const directions = [
    "arcface",
    "combinedMargin",
    "sphereface",
    "lSoftmax",
    "curricularface",
    "cosface",
  ] as const;

  test.each(settings)(
    "features along their class row, or against it, have a finite gradient: $device $dtype",
    async (setting) => {
      await useDevice(setting.device);
      using _ = openScope();
      // What turns the features is 0 in every direction but rounding's.
      const weight = random([4, 5], 3, setting);
      const x = floats(
        numbers(random([4, 5], 3)).map((v, i) => (i < 10 ? 3 * v : -0.5 * v)),
        [4, 5],
        setting,
      );
      for (const name of directions) {
        const { pullback } = vjp((x, w) => all[name]!(x, w, [0, 1, 2, 3]), x, weight);
        const found = await numbersOf(...(pullback(tensor(1, setting) as never) as Tensor[]));
        for (const v of found.flat()) expect(Math.abs(v), name).toBeLessThan(100);
      }
      await useDevice("js");
    },
  );

  test.each(settings)(
    "rows without a direction have cosine 0 and gradient 0: $device $dtype",
    async (setting) => {
      await useDevice(setting.device);
      using _ = openScope();
      const x = floats([0, 0, 0, 1e-13, 0, 0, 1, 2, 3], [3, 3], setting);
      const weight = floats([0, 0, 0, 1, 1, 0, 0, 1, 1], [3, 3], setting);
      for (const name of [...directions, "magface", "infoNce", "cosineSoftmax"]) {
        const options = name === "cosineSoftmax" ? { scale: 5 } : {};
        const { value, pullback } = vjp((x, w) => all[name]!(x, w, [1, 0, 2], options), x, weight);
        const [loss, dx, dw] = await numbersOf(value, ...(pullback(tensor(1, setting) as never) as Tensor[]));
        expect(loss!.every(Number.isFinite), name).toBe(true);
        expect(dx!.slice(0, 6), name).toEqual([0, 0, 0, 0, 0, 0]);
        expect(dw!.slice(0, 3), name).toEqual([0, 0, 0]);
        expect([...dx!, ...dw!].every(Number.isFinite), name).toBe(true);
      }
      await useDevice("js");
    },
  );

  test.each(settings)(
    "rows of any length that floats have get their direction: $device $dtype",
    async (setting) => {
      await useDevice(setting.device);
      using _ = openScope();
      const [tolerance] = dtypes[setting.dtype].tolerance;
      for (const size of [1e-11, 1e-6, 1, 1e15, 1e30]) {
        const x = floats([3 * size, -4 * size, 1e-30], [1, 3], setting);
        const { value, pullback } = vjp((x) => normalize(x), x);
        const [y, dx] = await numbersOf(
          value,
          ...(pullback(floats([1, 1, 0], [1, 3], setting) as never) as Tensor[]),
        );
        expect(firstDifference(y!, [0.6, -0.8, 0], tolerance)).toBeUndefined();
        // (g − ⟨g, y⟩y)/‖x‖
        const want = [1.12, 0.84, 0].map((v) => v / (5 * size));
        for (const [i, v] of dx!.entries())
          expect(Math.abs(v - want[i]!)).toBeLessThanOrEqual(10 * tolerance * Math.abs(want[0]!));
      }
      await useDevice("js");
    },
  );
});

describe("scales", () => {
  test("at their bound give that probability to perfect features", () => {
    for (const [classes, probability] of [
      [2, 0.6],
      [5, 0.9],
      [40, 0.99],
    ] as const) {
      // A simplex: all other rows are equally far, as far as can be.
      const rows = Array.from({ length: classes }, (_, i) =>
        Array.from({ length: classes }, (_, j) => (i === j ? 1 : 0) - 1 / classes),
      );
      const weight = floats(rows.flat(), [classes, classes]);
      const target = rows.map((_, i) => i);
      const scale = losses.scaleBound(classes, probability);
      const loss = losses.cosineSoftmax(weight, weight as never, target, { scale });
      expect(Math.exp(-loss.item())).toBeCloseTo(probability, 10);
    }
    expect(losses.scaleBound(1000)).toBeCloseTo(9.09488, 5);
    expect(() => losses.scaleBound(1)).toThrow(DomainError);
    expect(() => losses.scaleBound(10, 0.1)).toThrow(DomainError);
  });

  test("of adacos follow the batch, without rows that are left out, and stay where none counts", () => {
    always(20, ({ rows, d }, draw) => {
      const [x, weight] = [
        random([rows, d], Math.floor(1e6 * draw())),
        random([5, d], Math.floor(1e6 * draw())),
      ];
      const target = Array.from({ length: rows }, () => (draw() < 0.3 ? -100 : Math.floor(5 * draw())));
      const before = 1 + 3 * draw();
      const cosines = numbers(all.cosineSoftmax!.logits(x, weight, target, { scale: 1 }));
      const counted = target.flatMap((t, i) => (t < 0 ? [] : [{ t, c: cosines.slice(5 * i, 5 * i + 5) }]));
      const { scale, loss } = all.adacos!.step(x, weight, target, { scale: before });
      if (counted.length === 0) {
        same(scale!, [before]);
        return;
      }
      const sum = counted
        .flatMap(({ t, c }) => c.filter((_, j) => j !== t))
        .reduce((s, c) => s + Math.exp(before * c), 0);
      const angles = counted
        .map(({ t, c }) => Math.acos(Math.min(1, Math.max(-1, c[t]!))))
        .sort((a, b) => a - b);
      const median = angles[Math.floor((angles.length - 1) / 2)]!;
      const want = Math.log(sum / counted.length) / Math.cos(Math.min(Math.PI / 4, median));
      same(scale!, [want], 1e-10);
      same(loss!, all.cosineSoftmax!(x, weight, target, { scale: scale! }));
    });
    const empty = all.adacos!.step(floats([], [0, 2]), random([3, 2], 1), [], { scale: 2 });
    expect([empty.scale!.item(), empty.loss!.item()]).toEqual([2, 0]);
  });
});

describe("state that goes from step to step", () => {
  test("of curricularface is a moving mean of the right cosines, without gradient", () => {
    const { x, weight, target } = problem(8);
    const cosines = numbers(all.cosineSoftmax!.logits(x, weight, target, { scale: 1 }));
    const classes = cosines.length / target.length;
    const right = target.map((t, i) => cosines[i * classes + t]!);
    const { loss, t } = all.curricularface!.step(x, weight, target, { t: 0.2, momentum: 0.25 });
    const want = 0.75 * 0.2 + (0.25 * right.reduce((a, b) => a + b, 0)) / right.length;
    same(t!, [want]);
    same(loss!, all.curricularface!(x, weight, target, { t: want }));
    const stepped = gradients(
      (x) => all.curricularface!.step(x, weight, target, { t: 0.2, momentum: 0.25 }).loss!,
      x,
    );
    same(stepped[0]!, gradients((x) => all.curricularface!(x, weight, target, { t: want }), x)[0]!);
  });

  test("of centres moves those that were seen, towards their rows", () => {
    const x = floats([1, 1, 3, 1, Number.NaN, 9], [3, 2]);
    const centers = floats([0, 0, 5, 5, 7, 7], [3, 2]);
    const step = losses.centerLoss.step(x, centers as never, [0, 0, -100], { alpha: 0.5 });
    // c − ½·Σ(c − x)/(1 + 2)
    same(step.centers as Tensor, [2 / 3, 1 / 3, 5, 5, 7, 7]);
    expect(step.loss.item()).toBe((2 + 10) / 4);
    same(losses.centerLoss(x, centers as never, [0, 0, -100], none), [1, 5, 0]);
    const [dx, dc] = gradients(
      (x, c) => losses.centerLoss(x, c as never, [0, 0, -100]) as Floats,
      x,
      centers,
    );
    same(dx!, [0.5, 0.5, 1.5, 0.5, 0, 0]);
    expect(dc!.every((v) => v === 0)).toBe(true);
  });
});

describe("magface", () => {
  const bounds = { lA: 2, uA: 6 };
  const regularizer = (length: number): number =>
    losses.magface.regularizer(floats([length, 0], [1, 2]), bounds).item();

  test("draws features to the largest length, by a convex function of it", () => {
    const lengths = Array.from({ length: 41 }, (_, i) => 2 + i / 10);
    const g = lengths.map(regularizer);
    for (let i = 1; i < g.length; i++) expect(g[i]).toBeLessThan(g[i - 1]!);
    for (let i = 1; i < g.length - 1; i++) expect(g[i - 1]! + g[i + 1]! - 2 * g[i]!).toBeGreaterThan(0);
    expect(regularizer(9)).toBe(regularizer(6));
    expect(regularizer(0.1)).toBe(regularizer(2));
  });

  test("pulls features of a length in range along their direction, and no others", () => {
    const weight = random([4, 2], 5);
    for (const [length, pulls] of [
      [1, false],
      [4, true],
      [8, false],
    ] as const) {
      const x = floats([0.6 * length, 0.8 * length], [1, 2]);
      const [dx] = gradients((x) => all.magface!(x, weight, [1], { scale: 5, ...bounds }), x);
      const along = 0.6 * dx![0]! + 0.8 * dx![1]!;
      if (pulls) expect(along).toBeLessThan(-1e-3);
      else expect(along).toBeCloseTo(0, 9);
    }
    expect(
      numbers(losses.magface.margin(floats([1, 0, 4, 0, 9, 0], [3, 2]), { ...bounds, lM: 0.2, uM: 0.6 })),
    ).toEqual([0.2, 0.4, 0.6]);
  });
});

describe("pairs", () => {
  test("circle loss counts the weights of similarities as constants", () => {
    const [x, weight, target] = [random([2, 3], 1), random([4, 3], 2), [1, 3]];
    const [m, gamma] = [0.25, 6];
    const cosinesOf = (x: Floats): number[] =>
      numbers(all.cosineSoftmax!.logits(x, weight, target, { scale: 1 }));
    const at = cosinesOf(x);
    /** The loss with the weights of x. */
    const loss = (x: Floats): number => {
      const z = cosinesOf(x).map((c, k) =>
        k % 4 === target[k >> 2]
          ? gamma * Math.max(0, 1 + m - at[k]!) * (c - 1 + m)
          : gamma * Math.max(0, at[k]! + m) * (c - m),
      );
      return losses.crossEntropy(floats(z, [2, 4]), target).item();
    };
    const [dx] = gradients((x) => all.circleLossClasses!(x, weight, target, { m, gamma }), x);
    const values = numbers(x);
    for (const i of values.keys()) {
      const moved = (by: number): number => loss(floats(values.with(i, values[i]! + by), [2, 3]));
      expect(dx![i]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 7);
    }
  });

  test("without a partner cost nothing and do not count", () => {
    const z = random([5, 3], 1);
    for (const [name, options] of [
      ["circleLoss", { gamma: 3 }],
      ["supConLoss", {}],
    ] as const) {
      const each = numbers(all[name]!(z, [4, 4, -7, 1e9, 4], { ...options, ...none }));
      expect(each[2]).toBe(0);
      expect(each[3]).toBe(0);
      expect(all[name]!(z, [4, 4, -7, 1e9, 4], options).item()).toBeCloseTo(
        (each[0]! + each[1]! + each[4]!) / 3,
        12,
      );
      const [dz] = gradients((z) => all[name]!(z, [1, 2, 3, 4, 5], options), z);
      expect(all[name]!(z, [1, 2, 3, 4, 5], options).item()).toBe(0);
      expect(dz!.every((v) => v === 0)).toBe(true);
      expect(all[name]!(random([1, 3], 2), [0], options).item()).toBe(0);
      expect(all[name]!(floats([], [0, 3]), [], options).item()).toBe(0);
    }
  });

  test("that are alone find each other at once", () => {
    const [a, b] = [random([1, 3], 1), random([1, 3], 2)];
    expect(losses.ntXent(random([2, 3], 3)).item()).toBeCloseTo(0, 12);
    expect(losses.clipLoss(a, b).item()).toBeCloseTo(0, 12);
    expect(losses.infoNce(a, b as never, [0]).item()).toBeCloseTo(0, 12);
    expect(losses.ntXent(floats([], [0, 3])).item()).toBe(0);
    expect(losses.clipLoss(floats([], [0, 3]), floats([], [0, 3])).item()).toBe(0);
  });

  test("supConLoss of two views is ntXent", () => {
    const z = random([6, 4], 9);
    const options = { temperature: 0.3, ...none };
    same(losses.supConLoss(z, [0, 1, 2, 0, 1, 2], options), losses.ntXent(z, options));
  });

  test("clipLoss is the mean of infoNce in both directions", () => {
    const [a, b] = [random([5, 4], 1), random([5, 4], 2)];
    const one = (a: Floats, b: Floats): number[] =>
      numbers(losses.infoNce(a, b as never, [0, 1, 2, 3, 4], { temperature: 0.25, ...none }));
    const [there, back] = [one(a, b), one(b, a)];
    same(
      losses.clipLoss(a, b, { logScale: Math.log(4), ...none }),
      there.map((v, i) => (v + back[i]!) / 2),
    );
  });

  test("the bound of infoNce comes near the mutual information, and never above log M", () => {
    const [m, batches] = [128, 20];
    const bound = (rho: number, dims: number): number => {
      let sum = 0;
      for (let k = 0; k < batches; k++) {
        const [u, e] = [normals(m * dims, 2 * k + 1), normals(m * dims, 2 * k + 2)];
        const v = u.map((x, i) => rho * x + Math.sqrt(1 - rho * rho) * e[i]!);
        // log p(v | u)/p(v) but for what depends on u alone, as a product of a query and a key.
        const rows = (f: (i: number) => number[]): Floats =>
          floats(Array.from({ length: m }, (_, i) => f(i)).flat(), [m, dims + 1]);
        const range = (i: number): number[] => Array.from({ length: dims }, (_, j) => i * dims + j);
        const queries = rows((i) => [...range(i).map((j) => (rho * u[j]!) / (1 - rho * rho)), 1]);
        const keys = rows((i) => [
          ...range(i).map((j) => v[j]!),
          range(i).reduce((s, j) => s - (rho * rho * v[j]! ** 2) / (2 * (1 - rho * rho)), 0),
        ]);
        const loss = scope(() => {
          const target = Array.from({ length: m }, (_, i) => i);
          return losses.infoNce(queries, keys as never, target, { normalize: false, temperature: 1 }).item();
        });
        expect(Math.log(m) - loss).toBeLessThanOrEqual(Math.log(m));
        sum += Math.log(m) - loss;
      }
      return sum / batches;
    };
    const information = (rho: number, dims: number): number => (-dims / 2) * Math.log(1 - rho * rho);
    expect(Math.abs(bound(0.5, 1) - information(0.5, 1))).toBeLessThan(0.05);
    expect(Math.abs(bound(0.9, 1) - information(0.9, 1))).toBeLessThan(0.1);
    // 16.6 nats cannot be told by 128 keys.
    expect(bound(0.9, 20)).toBeGreaterThan(0.95 * Math.log(m));
  });
});

describe("prototypes", () => {
  test("classify linearly, with weights 2P and biases −‖P‖²", () => {
    always(20, ({ rows, d, x }, draw) => {
      const means = random([3, d], Math.floor(1e6 * draw()));
      const target = Array.from({ length: rows }, () => Math.floor(3 * draw()));
      const biases = numbers(mul(means, means)).reduce<number[]>(
        (b, v, i) => {
          b[Math.floor(i / d)]! -= v;
          return b;
        },
        [0, 0, 0],
      );
      const z = linear(x, scaled(means, 2) as never, floats(biases, [3]) as never) as Floats;
      same(all.prototypicalLoss!(x, means, target, none), losses.crossEntropy(z, target, none), 1e-10);
      const distances = numbers(all.prototypicalLoss!.logits(x, means, target));
      const [q, p] = [numbers(x), numbers(means)];
      same(
        distances,
        distances.map((_, k) => {
          const [i, j] = [Math.floor(k / 3), k % 3];
          return -Array.from({ length: d }, (_, f) => (q[i * d + f]! - p[j * d + f]!) ** 2).reduce(
            (a, b) => a + b,
            0,
          );
        }),
        1e-10,
      );
    });
  });

  test("are means of their support, and hand their gradient on to it", () => {
    const support = floats([1, 2, 3, 4, 5, 6], [3, 2]);
    expect(losses.prototypes(support, [1, 0, 1], { classes: 2 }).toArray()).toEqual([
      [3, 4],
      [3, 4],
    ]);
    const { pullback } = vjp((s) => losses.prototypes(s as Floats, [1, 0, 1], { classes: 2 }), support);
    same((pullback(floats([1, 2, 3, 4], [2, 2]) as never) as Tensor[])[0]!, [1.5, 2, 1, 2, 1.5, 2]);
  });

  test("far from where numbers are fine, distances keep their digits", () => {
    const near = [0, 0.25, 0.5, 0.125, -0.25, 0.375];
    const at = (offset: number): number => {
      const far = near.map((v) => v + offset);
      const f32: Setting = { device: "js", dtype: "f32" };
      return all.prototypicalLoss!(
        floats(far.slice(0, 2), [1, 2], f32),
        floats(far.slice(2), [2, 2], f32),
        [0],
      ).item();
    };
    expect(at(4096)).toBeCloseTo(at(0), 6);
  });

  /** Lowers the mean of the largest cosines, or the largest of all, by steps that shrink, on the sphere. */
  const spread = (classes: number, d: number, fold: (cosines: Floats) => Floats, seed: number): number =>
    scope(() => {
      let rows = normalize(random([classes, d], seed, { device: "wasm", dtype: "f64" }));
      for (let k = 0; k < 600; k++)
        rows = scope(() => {
          const loss = (r: Tensor): Floats =>
            fold(losses.prototypeSeparationLoss(r as Floats, none) as Floats);
          const [g] = vjp(loss, rows).pullback(tensor(1, { dtype: "f64" }) as never) as [Floats];
          return normalize(sub(rows, scaled(g, 0.3 * (1 - k / 600)) as never) as Floats);
        });
      return Math.max(...numbers(losses.prototypeSeparationLoss(rows, none)));
    });

  test("spread until they are a simplex, or as far apart as a circle allows", async () => {
    await useDevice("wasm");
    expect(Math.abs(spread(6, 5, mean as never, 1) + 0.2)).toBeLessThan(0.01);
    expect(Math.abs(spread(10, 2, max as never, 1) - Math.cos(Math.PI / 5))).toBeLessThan(0.01);
    await useDevice("js");
  });
});

describe("what cannot be is refused by name", () => {
  const x = (): Floats => random([2, 4], 1);
  const w = (): Floats => random([5, 4], 2);
  const cases: readonly (readonly [
    words: string,
    kind: new (...args: never[]) => Error,
    call: () => unknown,
  ])[] = [
    ["scale", DomainError, () => all.cosface!(x(), w(), [0, 1], { scale: 0 })],
    ["scale", DomainError, () => all.arcface!(x(), w(), [0, 1], { scale: Number.POSITIVE_INFINITY })],
    ["scale", DomainError, () => all.cosineSoftmax!(x(), w(), [0, 1], { scale: Number.NaN })],
    ["scale", ArgumentError, () => all.cosineSoftmax!(x(), w(), [0, 1])],
    ["margin", DomainError, () => all.arcface!(x(), w(), [0, 1], { margin: -0.1 })],
    ["margin", DomainError, () => all.cosface!(x(), w(), [0, 1], { margin: Number.NaN })],
    ["m2", DomainError, () => all.combinedMargin!(x(), w(), [0, 1], { m2: -1 })],
    ["integer", DomainError, () => all.sphereface!(x(), w(), [0, 1], { m: 2.5 })],
    ["m is 0", DomainError, () => all.lSoftmax!(x(), w(), [0, 1], { m: 0 })],
    ["target", DomainError, () => all.arcface!(x(), w(), [0, 5])],
    ["target", ShapeError, () => all.arcface!(x(), w(), [0])],
    ["[2, 4].*[5, 3]", ShapeError, () => all.arcface!(x(), random([5, 3], 1), [0, 1])],
    ["[2, 4].*[5, 3]", ShapeError, () => all.subcenterArcface!(x(), random([5, 2, 3], 1), [0, 1])],
    ["centres", ShapeError, () => all.subcenterArcface!(x(), w(), [0, 1])],
    ["easyMargin", DomainError, () => all.arcface!(x(), w(), [0, 1], { easyMargin: 1 })],
    ["extension", DomainError, () => all.combinedMargin!(x(), w(), [0, 1], { extension: "cosine" })],
    ["2 classes", DomainError, () => all.adacos!(x(), random([2, 4], 1), [0, 1])],
    ["momentum", DomainError, () => all.curricularface!.step(x(), w(), [0, 1], { momentum: 2 })],
    ["momentum", ArgumentError, () => all.curricularface!(x(), w(), [0, 1], { momentum: 0.1 })],
    ["lA", DomainError, () => all.magface!(x(), w(), [0, 1], { lA: 10, uA: 10 })],
    ["temperature", DomainError, () => all.infoNce!(x(), w(), [0, 1], { temperature: 0 })],
    ["temperature", DomainError, () => all.ntXent!(x(), { temperature: -1 })],
    ["temperature", DomainError, () => all.supConLoss!(x(), [0, 0], { temperature: 0 })],
    ["views", ShapeError, () => all.ntXent!(random([3, 4], 1))],
    ["[2, 4].*[3, 4]", ShapeError, () => all.clipLoss!(x(), random([3, 4], 1))],
    ["labels", ShapeError, () => all.supConLoss!(x(), [0])],
    ["alpha", DomainError, () => losses.centerLoss.step(x(), w() as never, [0, 1], { alpha: -1 })],
    ["support", DomainError, () => losses.prototypes(x(), [0, 2], { classes: 3 })],
    ["distance", DomainError, () => all.prototypicalLoss!(x(), w(), [0, 1], { distance: "manhattan" })],
    ["prototypes", ShapeError, () => all.prototypeSeparationLoss!(random([1, 3], 1))],
  ];
  test.each(cases)("%s", (words, kind, call) => {
    expect(call).toThrow(kind);
    const pattern = words.replace(/[[\]]/g, "\\$&");
    expect(call).toThrow(new RegExp(pattern));
  });
});
