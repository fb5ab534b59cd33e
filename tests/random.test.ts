// Random numbers: the published words of Threefry, one stream on every device, and distributions that are what they say.
import { describe, expect, test } from "vitest";
import type { DeviceName } from "../core/backends/backend.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError } from "../core/errors.ts";
import {
  bernoulli,
  gumbel,
  type Key,
  normal,
  permutation,
  randomInt,
  randomKey,
  randomWords,
  split,
  threefry,
  uniform,
} from "../core/random.ts";

const hex = (words: Uint32Array): string[] => [...words].map((w) => w.toString(16).padStart(8, "0"));
const mean = (data: ArrayLike<number>): number => Array.from(data).reduce((s, v) => s + v, 0) / data.length;

test("Threefry-2x32-20 gives the words of its authors' known-answer tests", () => {
  const answer = (key: Key, first: number, second: number): string[] => {
    const out = new Uint32Array(2);
    threefry(key, first, second, out, 0);
    return hex(out);
  };
  expect(answer([0, 0], 0, 0)).toEqual(["6b200159", "99ba4efe"]);
  expect(answer([0xffffffff, 0xffffffff], 0xffffffff, 0xffffffff)).toEqual(["1cb996fc", "bb002be7"]);
  expect(answer([0x13198a2e, 0x03707344], 0x243f6a88, 0x85a308d3)).toEqual(["c4923a9c", "483df7a0"]);
});

test("a longer stream begins with the shorter one", () => {
  const key = randomKey(7);
  expect(hex(randomWords(key, 9)).slice(0, 4)).toEqual(hex(randomWords(key, 4)));
});

test("a seed is a key: the same seed, the same numbers; another seed, others", () => {
  const draw = (seed: number): number[] => uniform([8], { seed }).toArray();
  expect(draw(3)).toEqual(draw(3));
  expect(draw(3)).not.toEqual(draw(4));
  expect(uniform([8], { key: randomKey(3) }).toArray()).toEqual(draw(3));
  expect(randomKey(2 ** 40 + 5)).toEqual([5, 256]);
});

test("split keys differ from one another and from their parent", () => {
  const key = randomKey(0);
  const keys = split(key, 100);
  const firsts = new Set(
    [key, ...keys, ...keys.flatMap((k) => split(k))].map((k) => hex(randomWords(k, 2)).join()),
  );
  expect(firsts.size).toBe(301);
  expect(split(key)).toEqual(keys.slice(0, 2));
});

describe.each(["js", "wasm"] as const)("on %s", (device) => {
  test("floats are the stream's high bits, in [0, 1)", () => {
    const words = randomWords(randomKey(5), 2000);
    const f32 = uniform([1000], { seed: 5, device }).dataSync();
    const f64 = uniform([1000], { seed: 5, dtype: "f64", device }).dataSync();
    for (let i = 0; i < 1000; i++) {
      expect(f32[i]).toBe((words[i]! >>> 8) / 2 ** 24);
      expect(f64[i]).toBe((words[2 * i]! * 2 ** 21 + (words[2 * i + 1]! >>> 11)) / 2 ** 53);
    }
  });

  test("every draw is the same as on the other device", () => {
    const other: DeviceName = device === "js" ? "wasm" : "js";
    for (const dtype of ["f32", "f64"] as const) {
      const draws = [device, other].map((device) => [
        normal([7], { seed: 1, dtype, device }).toArray(),
        uniform([7], { seed: 1, low: -2, high: 3, dtype, device }).toArray(),
        uniform([3, 3], { seed: 1, dtype, device }).toArray(),
      ]);
      expect(draws[0]).toEqual(draws[1]);
    }
    expect(bernoulli([20], { seed: 1, device }).toArray()).toEqual(
      bernoulli([20], { seed: 1, device: other }).toArray(),
    );
  });
});

test("uniform numbers fill their interval evenly", () => {
  const data = uniform([20000], { seed: 2, low: -1, high: 3 }).dataSync();
  expect(Math.min(...data)).toBeGreaterThanOrEqual(-1);
  expect(Math.max(...data)).toBeLessThan(3);
  const counts = new Array<number>(8).fill(0);
  for (const v of data) counts[Math.floor((v + 1) * 2)]!++;
  for (const c of counts) expect(Math.abs(c - 2500)).toBeLessThan(250);
});

test("normal numbers have their mean, spread and tails, and no correlation of neighbours", () => {
  const data = normal([20001], { seed: 3, mean: 2, std: 0.5, dtype: "f64" }).dataSync();
  const z = Array.from(data, (v) => (v - 2) / 0.5);
  expect(Math.abs(mean(z))).toBeLessThan(0.03);
  expect(Math.abs(mean(z.map((v) => v * v)) - 1)).toBeLessThan(0.05);
  expect(Math.abs(mean(z.map((v) => v ** 4)) - 3)).toBeLessThan(0.3);
  expect(Math.abs(mean(z.slice(1).map((v, i) => v * z[i]!)))).toBeLessThan(0.03);
  expect(mean(z.map((v) => Number(Math.abs(v) > 1.96)))).toBeCloseTo(0.05, 2);
});

test("normal numbers of f32 are those of f64, rounded", () => {
  const [a, b] = [normal([9], { seed: 4 }), normal([9], { seed: 4, dtype: "f64" })];
  expect(a.toArray()).toEqual(b.toArray().map(Math.fround));
});

test("Gumbel numbers are such that e^−e^−g is uniform, and finite everywhere", () => {
  const g = Array.from(gumbel([20000], { seed: 3, dtype: "f64" }).dataSync());
  expect(g.every(Number.isFinite)).toBe(true);
  const u = g.map((v) => Math.exp(-Math.exp(-v)));
  for (let k = 1; k < 8; k++) expect(mean(u.map((v) => Number(v < k / 8)))).toBeCloseTo(k / 8, 1.7);
  expect(mean(g)).toBeCloseTo(0.5772, 1);
});

test("bernoulli is true with its probability, where a uniform of the key is below it", () => {
  const draws = bernoulli([10000], { seed: 5, p: 0.3 });
  expect(draws.dtype).toBe("bool");
  expect(Math.abs(mean(draws.dataSync()) - 0.3)).toBeLessThan(0.02);
  expect(draws.toArray()).toEqual(
    uniform([10000], { seed: 5 })
      .toArray()
      .map((v) => v < Math.fround(0.3)),
  );
  expect(bernoulli([3], { seed: 0, p: 0 }).toArray()).toEqual([false, false, false]);
  expect(bernoulli([3], { seed: 0, p: 1 }).toArray()).toEqual([true, true, true]);
});

test("randomInt reaches every value of its range and no other", () => {
  const data = randomInt([6000], { seed: 6, low: -2, high: 4 }).dataSync();
  const counts = new Map<number, number>();
  for (const v of data) counts.set(v, (counts.get(v) ?? 0) + 1);
  expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3]);
  for (const c of counts.values()) expect(Math.abs(c - 1000)).toBeLessThan(150);
});

test("a permutation holds every number once, and all orders are equally likely", () => {
  expect([...permutation(100, { seed: 1 }).dataSync()].sort((a, b) => a - b)).toEqual([...Array(100).keys()]);
  const seen = new Map<string, number>();
  for (const key of split(randomKey(9), 3000)) {
    const order = permutation(3, { key }).dataSync().join();
    seen.set(order, (seen.get(order) ?? 0) + 1);
  }
  expect(seen.size).toBe(6);
  for (const c of seen.values()) expect(Math.abs(c - 500)).toBeLessThan(100);
  expect(permutation(0, { seed: 1 }).toArray()).toEqual([]);
});

test("refusals", () => {
  const cases: [() => unknown, new (...args: never[]) => Error, RegExp][] = [
    [() => uniform([2], {}), ArgumentError, /uniform: neither a key nor a seed is given; give \{ seed: 0 \}/],
    [() => normal([2], { seed: 1, key: [1, 2] }), ArgumentError, /both/],
    [() => normal([2], { key: [1] as never }), ArgumentError, /no key/],
    [() => normal([2], { key: [0.5, 1] }), ArgumentError, /no key/],
    [() => randomKey(-1), DomainError, /seed -1/],
    [() => randomKey(0.5), DomainError, /seed 0.5/],
    [() => randomKey("x" as never), DomainError, /"x"/],
    [() => split("x" as never), ArgumentError, /no key/],
    [() => split([0, 0], -1), ShapeError, /-1/],
    [() => uniform([2], { seed: 0, low: 1, high: 1 }), DomainError, /nothing in \[1, 1\)/],
    [() => uniform([2], { seed: 0, low: Number.NaN }), DomainError, /low is NaN/],
    [() => uniform([2], { seed: 0, dtype: "i32" as never }), DTypeError, /randomInt draws integers/],
    [() => uniform([-2], { seed: 0 }), ShapeError, /-2/],
    [() => uniform([2], { seed: 0, std: 1 } as never), ArgumentError, /there is no option std/],
    [() => normal([2], { seed: 0, std: -1 }), DomainError, /standard deviation of -1/],
    [() => bernoulli([2], { seed: 0, p: 1.5 }), DomainError, /p is 1.5/],
    [() => randomInt([2], { seed: 0, high: 0 }), DomainError, /no integer in \[0, 0\)/],
    [() => randomInt([2], { seed: 0, high: 0.5 }), DomainError, /0.5/],
    [() => permutation(-1, { seed: 0 }), ShapeError, /-1/],
  ];
  for (const [fn, kind, sentence] of cases) {
    expect(fn).toThrow(kind);
    expect(fn).toThrow(sentence);
  }
});
