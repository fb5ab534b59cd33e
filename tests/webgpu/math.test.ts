// The WGSL functions keep their error budgets against f64, and their limits are right.

import { expect, test } from "vitest";
import { library } from "../../core/backends/webgpu/math.ts";
import * as special from "../../core/special.ts";
import { openAdapter } from "./adapter.ts";

const gpu = await openAdapter();
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
type Law = (x: number, y: number) => number;

/** A word at each of the points. */
async function evaluate(
  word: string,
  xs: Float32Array<ArrayBuffer>,
  ys: Float32Array<ArrayBuffer> = xs,
  text: string = library([word]),
): Promise<Float32Array> {
  const [x, y, r] = [gpu.temporary(xs.length), gpu.temporary(xs.length), gpu.temporary(xs.length)];
  gpu.write(x, xs);
  gpu.write(y, ys);
  const name = `s_${word.replace(":", "_")}`;
  const binary = new RegExp(`fn ${name}\\([^)]*,`).test(text);
  const shader = `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;
@group(1) @binding(0) var<uniform> p: array<vec4u, 16>;
${text}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  let b = y[i];
  if (i < arrayLength(&r)) { r[i] = ${name}(x[i]${binary ? ", b" : ""}); }
}`;
  gpu.slot();
  gpu.dispatch(gpu.pipeline(word, shader, "rrw"), [x, y, r], Math.ceil(xs.length / 64));
  const found = new Float32Array(await gpu.read(r, 0, 4 * xs.length));
  for (const block of [x, y, r]) gpu.release(block);
  return found;
}

/** Points spread over [low, high] for each pair of bounds, alternately; every third of any magnitude and sign if asked for. */
function spread(bounds: readonly number[], seed: number, anywhere = false): Float32Array<ArrayBuffer> {
  let state = seed;
  return new Float32Array(2 ** 17).map((_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const u = state / 2 ** 32;
    if (anywhere && i % 3 === 0) return 10 ** (-37.5 + 76 * u) * (i % 2 === 0 ? 1 : -1);
    const k = (2 * i) % bounds.length;
    return bounds[k]! + (bounds[k + 1]! - bounds[k]!) * u;
  });
}

/** An error in units of the last place of f32. What is subnormal may be flushed. */
function error(found: number, exact: number): number {
  const wanted = Math.fround(exact);
  if (Object.is(found, wanted) || Math.abs(found - exact) <= 2 ** -126) return 0;
  if (!Number.isFinite(wanted)) return found === 2 ** 128 - 2 ** 104 && exact > 0 ? 0 : inf;
  const e = Math.abs(found - exact) / 2 ** (Math.max(Math.floor(Math.log2(Math.abs(exact))), -126) - 23);
  return Number.isNaN(e) ? inf : e;
}

/** The largest error, and where it is. */
async function worst(
  word: string,
  law: Law,
  xs: Float32Array<ArrayBuffer>,
  ys?: Float32Array<ArrayBuffer>,
  text?: string,
): Promise<[ulp: number, message: string]> {
  const found = await evaluate(word, xs, ys, text);
  let [largest, at] = [0, 0];
  found.forEach((v, i) => {
    const e = error(v, law(xs[i]!, (ys ?? xs)[i]!));
    if (e > largest) [largest, at] = [e, i];
  });
  const args = ys ? `${xs[at]}, ${ys[at]}` : `${xs[at]}`;
  const exact = law(xs[at]!, (ys ?? xs)[at]!);
  return [largest, `${word}(${args}) is ${found[at]}, not ${exact}: ${largest.toFixed(2)} ulp`];
}

const sigmoid = (x: number): number => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const budgets: readonly [word: string, ulp: number, law: Law, bounds: readonly number[]][] = [
  ["exp", 4, Math.exp, [-1, 1, -104, 89]],
  ["expm1", 4, Math.expm1, [-1, 1, -30, 89]],
  ["log", 4, Math.log, [0, 3, 0.99, 1.01]],
  ["log1p", 4, Math.log1p, [-1, 3, -0.01, 0.01]],
  ["tanh", 4, Math.tanh, [-1, 1, -10, 10]],
  ["sin", 4, Math.sin, [-4, 4, -300, 300]],
  ["cos", 4, Math.cos, [-4, 4, -300, 300]],
  ["erf", 4, special.erf, [-1, 1, -4, 4]],
  ["sqrt", 3, Math.sqrt, [0, 4]],
  ["sigmoid", 5, sigmoid, [-4, 4, -90, 20]],
  ["softplus", 5, softplus, [-4, 4, -90, 20]],
  ["xlogx", 4, (x) => (x === 0 ? 0 : x * Math.log(x)), [0, 3, 0.9, 1.1]],
  ["logNormalCdf", 10, special.logNormalCdf, [-3, 3, -40, 14]],
  ...[0, 1, 2, 3, 4, 6].flatMap((k): (typeof budgets)[number][] => [
    [`log1pRatio:${k}`, 10 + k, (v) => special.log1pRatio(v, k), [-1, 2, 0, 20]],
    [`expm1Ratio:${k}`, 10 + k, (v) => (v > 700 ? inf : special.expm1Ratio(v, k)), [-2, 2, -95, 95]],
  ]),
];

test.each(budgets)("%s is good to %d ulp", async (word, ulp, law, bounds) => {
  const [found, message] = await worst(word, law, spread(bounds, 7, true));
  expect(found, message).toBeLessThanOrEqual(ulp);
});

test.each(["sin", "cos"] as const)(
  "%s keeps its digits beside multiples of π/2, however large",
  async (word) => {
    const beside = new Float32Array(2 ** 15).map((_, i) => ((i - 2 ** 14) * Math.PI) / 2);
    // Bit patterns of numbers of every size.
    const bits = new Uint32Array(2 ** 17).map((_, i) => Math.imul(i, 16319) + 0x3f000000);
    const [found, message] = await worst(word, Math[word], beside);
    const [large, largeMessage] = await worst(
      word,
      Math[word],
      new Float32Array(bits.buffer).filter(Number.isFinite),
    );
    expect(found, message).toBeLessThanOrEqual(4);
    expect(large, largeMessage).toBeLessThanOrEqual(4);
  },
);

/** Bases and exponents whose powers fill the range of f32, and whole exponents of bases of either sign. */
function powers(): [bases: Float32Array<ArrayBuffer>, exponents: Float32Array<ArrayBuffer>] {
  const bases = spread([0.5, 2, 0.99, 1.01, -30, 30], 3, true);
  const wanted = spread([-126, 128], 5);
  const exponents = bases.map((x, i) =>
    x < 0 || i % 7 === 0 ? Math.round(wanted[i]! / 8) : wanted[i]! / Math.log2(x),
  );
  return [bases, exponents];
}

test.each(["pow", "posPow"])("%s is good to 6 ulp, however large y·log x is", async (word) => {
  const law: Law = (x, y) => (x <= 0 && word === "posPow" ? 0 : x ** y);
  const [found, message] = await worst(word, law, ...powers());
  expect(found, message).toBeLessThanOrEqual(6);
});

test("the digits do not depend on whether a·b + c is fused", async () => {
  const separate = (word: string): string =>
    `fn separate(a: f32, b: f32, c: f32) -> f32 { let d = a * b; return d + c; }\n${library([word]).replaceAll("fma(", "separate(")}`;
  for (const [word, ulp, law, bounds] of budgets) {
    if (!/^(exp|log|sin|logNormalCdf|log1pRatio:2)$/.test(word)) continue;
    const [found, message] = await worst(word, law, spread(bounds, 7), undefined, separate(word));
    expect(found, message).toBeLessThanOrEqual(ulp);
  }
  const [found, message] = await worst("pow", Math.pow, ...powers(), separate("pow"));
  expect(found, message).toBeLessThanOrEqual(6);
});

/** What words without a budget mean. */
const plain: readonly [word: string, law: Law][] = [
  ["sign", Math.sign],
  ["relu", (x) => Math.max(x, 0)],
  ["floor", Math.floor],
  ["round", special.roundHalfEven],
  ["maximum", Math.max],
  ["minimum", Math.min],
  ["mulZero", (x, y) => (x === 0 ? 0 : x * y)],
  ["pow", Math.pow],
  ["posPow", (x, y) => (x <= 0 ? 0 : x ** y)],
];

test("at NaN, infinities, zeros and subnormal numbers words mean what they mean in f64", async () => {
  const halves = [0, 0.5, 1, 1.5, 2.5, 3, 1e-30, 3e5, 8388609, 1e30, inf];
  const points = [nan, ...halves, ...halves.map((v) => -v)];
  const pairs = points.flatMap((x) => points.map((y) => [x, y] as const));
  // Products of infinity and what may be flushed have no value.
  pairs.push([1e-40, 1], [-1e-40, 1], [1e-45, -1], [1e-40, -0.5]);
  const xs = Float32Array.from(pairs, ([x]) => x);
  const ys = Float32Array.from(pairs, ([, y]) => y);
  for (const [word, law] of [...plain, ...budgets.map(([w, , l]) => [w, l] as const)]) {
    const found = await evaluate(word, xs, ys);
    found.forEach((v, i) => {
      const exact = law(xs[i]!, ys[i]!);
      const wanted = Math.fround(exact);
      const same = Number.isFinite(wanted)
        ? Math.abs(v - exact) <= 1e-5 * Math.max(1, Math.abs(exact))
        : Object.is(v, wanted);
      expect(same, `${word}(${xs[i]}, ${ys[i]}) is ${v}, not ${exact}`).toBe(true);
    });
  }
});

test("a clamp holds NaN of any argument", async () => {
  const text = `${library(["clamp"])}fn s_held(x: f32, y: f32) -> f32 { return s_clamp(x, y, 2.0); }`;
  const found = await evaluate(
    "held",
    Float32Array.of(5, 1, nan, 1.5, -1),
    Float32Array.of(0, 1, 0, nan, 0),
    text,
  );
  expect([...found]).toEqual([2, 1, nan, nan, 0]);
});

test("a library holds each function once and behind what it calls", () => {
  const text = library(["softplus", "exp", "log1pRatio:2", "pow"]);
  const names = [...text.matchAll(/^fn (\w+)/gm)].map(([, name]) => name!);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(text.indexOf(`${name}(`)).toBe(text.indexOf(`fn ${name}(`) + 3);
  expect(() => library(["softmax"])).toThrow("softmax");
});
