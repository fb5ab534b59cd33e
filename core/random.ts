// Random tensors from keys; the stream behind them is `threefry.ts`.
// The same words on every device; floats derived by logarithms and cosines are drawn on the host, so they are the same too.

import { random } from "./backends/kernels.ts";
import { type CreateOptions, destination } from "./create.ts";
import { type DType, dtypes, type FloatDType, isFloat } from "./dtype.ts";
import { ArgumentError, DomainError, DTypeError, showValue } from "./errors.ts";
import { checkShape, type Plain, sizeOf } from "./shape.ts";
import { fromHost, newTensor, type Tensor } from "./tensor.ts";
import { type Key, randomWords, threefry, unitDouble, unitFloat } from "./threefry.ts";

export { type Key, randomWords, threefry } from "./threefry.ts";

/** Where the randomness comes from: a key, or a seed that stands for `randomKey(seed)`. */
export interface RandomOptions<D extends DType = DType> extends CreateOptions<D> {
  readonly key?: Key;
  readonly seed?: number;
}

/** The key that a seed stands for: a natural number below 2⁵³. */
export function randomKey(seed: number): Key {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new DomainError(
      "randomKey",
      `the seed ${showValue(seed)} is not a natural number`,
      "give 0, 1, 2, …",
    );
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/**
 * Keys whose streams have nothing to do with one another, nor with that of the key they come from.
 *
 * @example
 * const [weights, dropout] = split(randomKey(0));
 */
export function split(key: Key, count = 2): Key[] {
  checkKey("split", key);
  checkShape("split", [count]);
  return Array.from({ length: count }, (_, i) => child(key, i));
}

/** The i-th of the keys that `split` makes, without those before it. */
export function child(key: Key, i: number): Key {
  const words = new Uint32Array(2);
  // The second counter word keeps children apart from the stream itself.
  threefry(key, i, 1, words, 0);
  return [words[0]!, words[1]!];
}

/** Whether a value is a key: two words of 32 bits. */
export function isKey(value: unknown): value is Key {
  const isWord = (w: unknown): boolean => typeof w === "number" && w >>> 0 === w;
  return Array.isArray(value) && value.length === 2 && value.every(isWord);
}

function checkKey(place: string, key: unknown): asserts key is Key {
  if (!isKey(key))
    throw new ArgumentError(
      place,
      `${showValue(key)} is no key`,
      "make one with randomKey(seed) or split(key)",
    );
}

/** The key that options hold or stand for. */
export function keyOf(place: string, { key, seed }: RandomOptions): Key {
  if ((key === undefined) === (seed === undefined)) {
    throw new ArgumentError(
      place,
      key === undefined ? "neither a key nor a seed is given" : "both a key and a seed are given",
      "give { seed: 0 } or { key: randomKey(0) }",
    );
  }
  if (key === undefined) return randomKey(seed!);
  checkKey(place, key);
  return key;
}

function finite(place: string, name: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new DomainError(place, `${name} is ${showValue(value)}`, "give a finite number");
  return value;
}

/** Draws `size` numbers on the host, each from doubles in [0, 1) or, for f32, from floats of 24 bits. */
function units(key: Key, dtype: DType, size: number): (i: number) => number {
  if (dtype === "f32") {
    const words = randomWords(key, size);
    return (i) => unitFloat(words[i]!);
  }
  const words = randomWords(key, 2 * size);
  return (i) => unitDouble(words[2 * i]!, words[2 * i + 1]!);
}

function floatDestination<D extends FloatDType>(
  place: string,
  options: RandomOptions<D>,
  known: readonly string[],
): ReturnType<typeof destination<D>> {
  const target = destination(place, options, "f32" as D, ["key", "seed", ...known]);
  if (!isFloat(target[1]))
    throw new DTypeError(
      place,
      `floats are drawn, not ${target[1] as DType}`,
      'give { dtype: "f32" } or "f64"; randomInt draws integers',
    );
  return target;
}

/** Options of `uniform`. */
export interface UniformOptions<D extends FloatDType = FloatDType> extends RandomOptions<D> {
  /** 0 when not said. */
  readonly low?: number;
  /** 1 when not said; not reached. */
  readonly high?: number;
}

/**
 * Independent numbers, uniform in [low, high).
 *
 * @example
 * uniform([2, 3], { seed: 0, low: -1 });
 */
export function uniform<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: UniformOptions<D>,
): Tensor<Plain<S>, D> {
  const [backend, dtype] = floatDestination("uniform", options, ["low", "high"]);
  const key = keyOf("uniform", options);
  checkShape("uniform", shape);
  const low = finite("uniform", "low", options.low ?? 0);
  const high = finite("uniform", "high", options.high ?? 1);
  if (low >= high)
    throw new DomainError("uniform", `there is nothing in [${low}, ${high})`, "give low < high");
  if (low === 0 && high === 1) {
    const t = newTensor<D, Plain<S>>(backend, dtype, [...shape], "uniform");
    if (t.size > 0) backend.run(random, dtype, key, t.storage, t.size);
    return t;
  }
  const unit = units(key, dtype, sizeOf(shape));
  return drawn(backend, dtype, shape, "uniform", (i) => low + (high - low) * unit(i));
}

/** Options of `normal`. */
export interface NormalOptions<D extends FloatDType = FloatDType> extends RandomOptions<D> {
  /** 0 when not said. */
  readonly mean?: number;
  /** Standard deviation, 1 when not said. */
  readonly std?: number;
}

/**
 * Independent normal numbers (Box & Muller 1958, from doubles of the key's stream).
 *
 * @example
 * const w = normal([784, 128], { seed: 0, std: 0.05 });
 */
export function normal<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: NormalOptions<D>,
): Tensor<Plain<S>, D> {
  const [backend, dtype] = floatDestination("normal", options, ["mean", "std"]);
  const key = keyOf("normal", options);
  checkShape("normal", shape);
  const mean = finite("normal", "mean", options.mean ?? 0);
  const std = finite("normal", "std", options.std ?? 1);
  if (std < 0) throw new DomainError("normal", `a standard deviation of ${std}`, "give std ≥ 0");
  const size = sizeOf(shape);
  const unit = units(key, "f64", size + (size & 1));
  return drawn(backend, dtype, shape, "normal", (i) => {
    const pair = i - (i & 1);
    const radius = Math.sqrt(-2 * Math.log1p(-unit(pair)));
    const angle = 2 * Math.PI * unit(pair + 1);
    return mean + std * radius * (i & 1 ? Math.sin(angle) : Math.cos(angle));
  });
}

/**
 * Independent numbers of the standard Gumbel distribution, −log(−log u): added to scores, the largest sum is at class i with
 * softmax's probability (Gumbel 1954). They are drawn from doubles of the key's stream.
 *
 * @example
 * gumbel([2, 3], { seed: 0 });
 */
export function gumbel<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: RandomOptions<D>,
): Tensor<Plain<S>, D> {
  const [backend, dtype] = floatDestination("gumbel", options, []);
  const key = keyOf("gumbel", options);
  checkShape("gumbel", shape);
  const unit = units(key, "f64", sizeOf(shape));
  // 0 stands for all of [0, 2⁻⁵³): its middle is finite.
  return drawn(backend, dtype, shape, "gumbel", (i) => -Math.log(-Math.log(unit(i) || 2 ** -54)));
}

/** Options of `bernoulli`. */
export interface BernoulliOptions extends Omit<RandomOptions, "dtype"> {
  /** The chance of true, ½ when not said. */
  readonly p?: number;
}

/** Independent truth values, each true with probability p: where a uniform f32 of the same key is below p. */
export function bernoulli<const S extends readonly number[]>(
  shape: S,
  options: BernoulliOptions,
): Tensor<Plain<S>, "bool"> {
  const [backend] = destination("bernoulli", options, "bool", ["key", "seed", "p"]);
  const key = keyOf("bernoulli", options);
  checkShape("bernoulli", shape);
  const { p = 0.5 } = options;
  if (typeof p !== "number" || !(p >= 0 && p <= 1))
    throw new DomainError("bernoulli", `p is ${showValue(p)}`, "a probability lies between 0 and 1");
  const unit = units(key, "f32", sizeOf(shape));
  return drawn(backend, "bool", shape, "bernoulli", (i) => Number(unit(i) < p));
}

/** Options of `randomInt`. */
export interface RandomIntOptions extends Omit<RandomOptions, "dtype"> {
  /** 0 when not said. */
  readonly low?: number;
  /** Not reached. */
  readonly high: number;
}

/** Independent integers (i32), uniform in low … high − 1. */
export function randomInt<const S extends readonly number[]>(
  shape: S,
  options: RandomIntOptions,
): Tensor<Plain<S>, "i32"> {
  const [backend] = destination("randomInt", options, "i32", ["key", "seed", "low", "high"]);
  const key = keyOf("randomInt", options);
  checkShape("randomInt", shape);
  const { low = 0, high } = options;
  for (const v of [low, high])
    if ((v | 0) !== v)
      throw new DomainError(
        "randomInt",
        `the bound ${showValue(v)} is no integer of 32 bits`,
        "give integers",
      );
  if (low >= high)
    throw new DomainError("randomInt", `there is no integer in [${low}, ${high})`, "give low < high");
  const unit = units(key, "f64", sizeOf(shape));
  return drawn(backend, "i32", shape, "randomInt", (i) => low + Math.floor(unit(i) * (high - low)));
}

/** The numbers 0 … n − 1 in random order (i32), every order equally likely. */
export function permutation<const N extends number>(
  n: N,
  options: Omit<RandomOptions, "dtype">,
): Tensor<[N], "i32"> {
  const [backend] = destination("permutation", options, "i32", ["key", "seed"]);
  const key = keyOf("permutation", options);
  checkShape("permutation", [n]);
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const unit = units(key, "f64", n);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(unit(i) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return fromHost(backend, "i32", [n], order, "permutation");
}

function drawn<D extends DType, S extends readonly number[]>(
  backend: Parameters<typeof fromHost>[0],
  dtype: D,
  shape: S,
  origin: string,
  draw: (i: number) => number,
): Tensor<Plain<S>, D> {
  const data = new dtypes[dtype].array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = draw(i);
  return fromHost(backend, dtype, [...shape], data, origin);
}
