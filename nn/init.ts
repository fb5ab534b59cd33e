// First values of weights, as functions from a shape to a tensor. All of them are drawn from a key or a seed on the host.

import { destination } from "../core/create.ts";
import { dtypes, type FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { normal, type RandomOptions, uniform } from "../core/random.ts";
import { checkShape, type Plain } from "../core/shape.ts";
import { fromHost, type Tensor } from "../core/tensor.ts";

export { ones, zeros } from "../core/create.ts";
export { normal, uniform } from "../core/random.ts";

/** What follows a layer, as far as the size of its outputs matters. */
export type Nonlinearity = "linear" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";

/** The factor by which weights are larger so that variances pass through a nonlinearity; `a` is the slope of leakyRelu. */
export function gain(nonlinearity: Nonlinearity, a = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.SQRT2;
    case "leakyRelu":
      return Math.sqrt(2 / (1 + a * a));
    case "selu":
      return 3 / 4;
    default:
      throw new ArgumentError(
        "gain",
        `${showValue(nonlinearity)} is no nonlinearity that it knows`,
        "give linear, sigmoid, tanh, relu, leakyRelu or selu",
      );
  }
}

/** Inputs and outputs that a weight [out, in, …] connects; further axes are taps of a kernel. */
function fans(place: string, shape: readonly number[]): { fanIn: number; fanOut: number } {
  checkShape(place, shape);
  const [out, inputs, ...taps] = shape;
  if (out === undefined || inputs === undefined)
    throw new ShapeError(
      place,
      `the shape ${showShape(shape)} has no inputs and outputs`,
      "give [out, in, …], as weights are stored",
    );
  const field = taps.reduce((a, b) => a * b, 1);
  return { fanIn: inputs * field, fanOut: out * field };
}

/** Options of the Xavier initialisers. */
export interface XavierOptions<D extends FloatDType = FloatDType> extends RandomOptions<D> {
  /** A factor on the standard deviation, 1 by default: see `gain`. */
  readonly gain?: number;
}

/** Options of the Kaiming initialisers. */
export interface KaimingOptions<D extends FloatDType = FloatDType> extends RandomOptions<D> {
  /** Whether variances are kept forwards (by the inputs, the default) or backwards (by the outputs). */
  readonly mode?: "fanIn" | "fanOut";
  /** What follows; leakyRelu by default. */
  readonly nonlinearity?: Nonlinearity;
  /** The slope of that leakyRelu, 0 by default: a relu. */
  readonly a?: number;
}

const places: readonly string[] = ["key", "seed", "dtype", "device"];

/** The standard deviation that keeps variances both ways, and what is left of the options. */
function xavier<D extends FloatDType>(
  place: string,
  shape: readonly number[],
  options: XavierOptions<D>,
): [std: number, rest: RandomOptions<D>] {
  checkOptions(place, options, ["gain", ...places]);
  const { gain: factor = 1, ...rest } = options;
  const { fanIn, fanOut } = fans(place, shape);
  return [
    positive(place, "gain", factor) * Math.sqrt(2 / Math.max(1, fanIn + fanOut)),
    rest as RandomOptions<D>,
  ];
}

function kaiming<D extends FloatDType>(
  place: string,
  shape: readonly number[],
  options: KaimingOptions<D>,
): [std: number, rest: RandomOptions<D>] {
  checkOptions(place, options, ["mode", "nonlinearity", "a", ...places]);
  const { mode = "fanIn", nonlinearity = "leakyRelu", a = 0, ...rest } = options;
  if (mode !== "fanIn" && mode !== "fanOut")
    throw new ArgumentError(place, `mode is ${showValue(mode)}`, 'give "fanIn" or "fanOut"');
  if (typeof a !== "number" || !Number.isFinite(a))
    throw new DomainError(place, `a is ${showValue(a)}`, "give the slope of a leakyRelu");
  return [gain(nonlinearity, a) / Math.sqrt(Math.max(1, fans(place, shape)[mode])), rest as RandomOptions<D>];
}

function positive(place: string, name: string, value: unknown): number {
  if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value))
    throw new DomainError(place, `${name} is ${showValue(value)}`, "give a number above 0");
  return value;
}

/** A uniform distribution of standard deviation s reaches to s·√3. */
const evenly = <S extends readonly number[], D extends FloatDType>(
  shape: S,
  std: number,
  rest: RandomOptions<D>,
): Tensor<Plain<S>, D> => uniform(shape, { ...rest, low: -Math.sqrt(3) * std, high: Math.sqrt(3) * std });

/**
 * Uniform weights that keep variances forwards and backwards: within ±gain·√(6/(in + out)) (Glorot & Bengio 2010, eq. 16).
 *
 * @example
 * layer.weight.value = xavierUniform(layer.weight.shape, { seed: 0 });
 */
export function xavierUniform<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: XavierOptions<D>,
): Tensor<Plain<S>, D> {
  return evenly(shape, ...xavier("xavierUniform", shape, options));
}

/** Normal weights with standard deviation gain·√(2/(in + out)) (Glorot & Bengio 2010). */
export function xavierNormal<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: XavierOptions<D>,
): Tensor<Plain<S>, D> {
  const [std, rest] = xavier("xavierNormal", shape, options);
  return normal(shape, { ...rest, std });
}

/** Uniform weights that keep variances through a rectifier: within ±gain·√(3/in) (He et al. 2015, eq. 10). */
export function kaimingUniform<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: KaimingOptions<D>,
): Tensor<Plain<S>, D> {
  return evenly(shape, ...kaiming("kaimingUniform", shape, options));
}

/** Normal weights with standard deviation gain/√in (He et al. 2015, eq. 10). */
export function kaimingNormal<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: KaimingOptions<D>,
): Tensor<Plain<S>, D> {
  const [std, rest] = kaiming("kaimingNormal", shape, options);
  return normal(shape, { ...rest, std });
}

/**
 * A weight [out, in, …] whose rows (or columns, if there are more rows than that) are orthogonal and of length `gain` (Saxe,
 * McClelland & Ganguli 2014). Drawn on the host in time out²·in.
 */
export function orthogonal<const S extends readonly number[], D extends FloatDType = "f32">(
  shape: S,
  options: XavierOptions<D>,
): Tensor<Plain<S>, D> {
  const place = "orthogonal";
  checkOptions(place, options, ["gain", ...places]);
  const { gain: factor = 1, device, dtype: wanted = "f32" as D, ...rest } = options;
  const [backend, dtype] = destination(place, { dtype: wanted, ...(device ? { device } : {}) }, wanted);
  positive(place, "gain", factor);
  const { fanIn: columns } = fans(place, shape);
  const rows = shape[0]!;
  const wide = rows <= columns;
  const [count, length] = wide ? [rows, columns] : [columns, rows];
  const drawn = normal([count, length], { ...rest, dtype: "f64", device: "js" });
  const q = drawn.dataSync();
  const row = (i: number): Float64Array => q.subarray(i * length, (i + 1) * length);
  for (let i = 0; i < count; i++) {
    const own = row(i);
    // Gram–Schmidt; the second sweep removes what rounding left of the first.
    for (let k = 0; k < 2 * i; k++) {
      const other = row(k % i);
      const share = dot(own, other);
      for (let j = 0; j < length; j++) own[j]! -= share * other[j]!;
    }
    const size = Math.sqrt(dot(own, own));
    for (let j = 0; j < length; j++) own[j]! /= size;
  }
  const data = new dtypes[dtype].array(q.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      data[i * columns + j] = factor * q[wide ? i * length + j : j * length + i]!;
  return fromHost(backend, dtype, [...shape], data, place);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
