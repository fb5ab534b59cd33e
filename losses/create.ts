// A loss picked by name and options, and written as JSON: for configurations, command lines and the controls of a page. Reads
// the list of losses, so that a new one needs no second place. Computes nothing itself. An entry of its own, because it brings
// every loss along.

import { tensor } from "../core/create.ts";
import type { DType, FloatDType } from "../core/dtype.ts";
import { ArgumentError, nearest, showValue } from "../core/errors.ts";
import { checkOptions, type Op } from "../core/op.ts";
import type { IgnoreOption, Loss, LossOptions } from "../core/rowloss.ts";
import type { AxisOption, OptionsArgument, RowMap } from "../core/rowop.ts";
import { isRecord, keep } from "../core/scope.ts";
import type { Checked, HasRows, Mismatch, Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { allOps } from "../ops/index.ts";
import type * as maps from "../ops/maps/index.ts";
import type * as losses from "./scores.ts";
import { allLosses, fenchelYoung } from "./scores.ts";

// ---------------------------------------------------------------------------------------------------------------
// Names and options, read off the functions

/** All arguments of a function, none of them optional. */
type Arguments<F> = F extends (...args: infer A) => unknown ? Required<A> : never;

/** The options of a function: its last argument. */
type OptionsOf<F> = Arguments<F> extends readonly [...unknown[], infer O extends object] ? O : never;

/** What a function takes between scores and options: targets, beside scores of the element type D. */
type TargetsOf<F, D extends FloatDType> =
  Arguments<F> extends readonly [unknown, ...infer T, unknown] ? { [I in keyof T]: Beside<T[I], D> } : never;
type Beside<T, D extends FloatDType> =
  T extends Tensor<Shape, infer E> ? (E extends FloatDType ? Tensor<Shape, NoInfer<D>> : T) : T;

/** What takes a map as an option has no name for it here; `fenchelYoung` has an overload of its own. */
type Losses = {
  readonly [K in keyof typeof losses as (typeof losses)[K] extends Op
    ? Exclude<K, "stopgradFyLoss">
    : never]: (typeof losses)[K];
};

/** The names of losses: those of scores in `simplexgrad/losses`, metrics among them. */
export type LossName = keyof Losses;

/** The options of a loss, by its name. */
export type LossOptionsOf<N extends LossName> = OptionsOf<Losses[N]>;

/** What can be called with scores alone, and keeps their shape. */
type OfScores = <S extends Shape, D extends FloatDType>(x: Checked<Tensor<S, D>, HasRows<S>>) => Tensor<S, D>;
type MapName = {
  [K in keyof typeof maps]: (typeof maps)[K] extends OfScores ? K : never;
}[keyof typeof maps];

/** The options of `fenchelYoung(map)`, and the name of the map. */
type OfMap<M extends MapName> = { readonly map: M } & Omit<OptionsOf<(typeof maps)[M]>, keyof AxisOption> &
  LossOptions &
  IgnoreOption;

/** Options that a call may give: all, and those that are neither given nor optional it must. */
type Remaining<O extends object, G> = Omit<O, keyof G> & Partial<Pick<O, keyof O & keyof G>>;

/** Complains of options that do not exist. */
type Known<G, O> = {
  readonly [K in Exclude<keyof G, keyof O>]: Mismatch<"createLoss: there is no such option", [K]>;
};

/** A loss with options: called as the loss is, and options of the call come before its own. */
export interface Created<F = never, G extends object = object> extends Written {
  <S extends Shape, D extends FloatDType>(
    x: Checked<Tensor<S, D>, HasRows<S>>,
    ...rest: [F] extends [never]
      ? readonly unknown[]
      : [...TargetsOf<F, D>, ...OptionsArgument<Remaining<OptionsOf<F>, G>>]
  ): Tensor<Shape, D>;
  /** The options that were given. */
  readonly options: G;
}

interface Written {
  readonly name: string;
  /** Name and options as plain data, for `JSON.stringify`; `lossFromJSON` makes the loss of it. */
  toJSON(): LossJSON;
}

/** A loss as JSON holds it. */
export interface LossJSON {
  readonly loss: string;
  readonly options: { readonly [name: string]: unknown };
}

// ---------------------------------------------------------------------------------------------------------------
// Making

/**
 * A loss by its name, with options: what a configuration, a command line or a page chooses. It is called as the loss is, with
 * scores, target and options that come before those given here; required options that are not given here are given there.
 *
 * Names and options are those of `simplexgrad/losses`, checked by the compiler and again by the run: ArgumentError for names and
 * options that do not exist. `"fenchelYoung"` takes the name of a map and the map's options. Metrics are among the names;
 * `stopgradFyLoss`, which takes a function, is not. Tensors among the options are not copied: they live as long as their scope.
 * @example
 * import { tensor } from "simplexgrad";
 * import { createLoss, lossFromJSON } from "simplexgrad/losses/create";
 *
 * const loss = createLoss("focal", { gamma: 2 });
 * const [x, y] = [tensor([[0.2, 1.5], [2, -1]]), [1, 0]];
 * loss(x, y);
 * loss(x, y, { reduction: "none" });
 * const same = lossFromJSON(JSON.stringify(loss)); // {"loss":"focal","options":{"gamma":2}}
 */
export function createLoss<M extends MapName>(
  name: "fenchelYoung",
  options: OfMap<M>,
): Created<Loss<Omit<OfMap<M>, "map">, "either">, OfMap<M>>;
export function createLoss<N extends LossName, const G extends Partial<LossOptionsOf<N>> = object>(
  name: N,
  options?: G & Known<G, LossOptionsOf<N>>,
): Created<Losses[N], G>;
export function createLoss(name: string, options: object = {}): unknown {
  const place = "createLoss";
  const { map, ...others } = options as { readonly [name: string]: unknown };
  const isOfMap = name === ofMap;
  const loss = isOfMap
    ? fenchelYoung(named(place, "map with an entropy", map, withEntropy()) as RowMap)
    : named(place, "loss", name, allLosses, [ofMap]);
  const { params = {}, options: known = [] } = loss.info;
  checkOptions(`${place}: ${name}`, isOfMap ? others : options, known);
  const own = isOfMap ? others : options;
  const call = loss as unknown as (x: unknown, ...rest: readonly unknown[]) => Tensor<Shape, FloatDType>;
  const at = "target" in params ? 1 : 0;
  const created = (x: unknown, ...rest: readonly unknown[]): Tensor<Shape, FloatDType> => {
    const more = rest[at];
    checkOptions(name, more, known);
    const target = at === 1 ? [rest[0]] : [];
    return call(x, ...target, { ...own, ...(more as object | undefined) }, ...rest.slice(at + 1));
  };
  Object.defineProperty(created, "name", { value: name });
  const toJSON = (): LossJSON => ({
    loss: name,
    options: Object.fromEntries(
      Object.entries(options).map(([key, v]) => [key, encoded(`${name}: ${key}`, v)]),
    ),
  });
  return Object.assign(created, { options: Object.freeze({ ...options }), toJSON });
}

/**
 * The loss that `JSON.stringify` of a created one has written, from the text or from what `JSON.parse` made of it. Numbers come
 * back to the last bit, tensors with shape and element type, on the device that new tensors live on.
 *
 * Throws ArgumentError for what is no such text, and for names and options that do not exist.
 * @example lossFromJSON('{"loss":"focal","options":{"gamma":2}}')(x, target)
 */
export function lossFromJSON(json: string | LossJSON): Created {
  const place = "lossFromJSON";
  const refuse = (finding: string): never => {
    throw new ArgumentError(place, finding, "give what JSON.stringify makes of a created loss");
  };
  let read: unknown = json;
  if (typeof json === "string") {
    try {
      read = JSON.parse(json);
    } catch {
      refuse(`${showValue(json)} is no JSON`);
    }
  }
  if (!isRecord(read) || typeof read.loss !== "string" || !isRecord(read.options ?? {}))
    refuse(`${showValue(read)} holds no name of a loss with options`);
  const { loss, options = {} } = read as unknown as LossJSON;
  const decode = ([key, v]: [string, unknown]): [string, unknown] => [key, decoded(`${place}: ${key}`, v)];
  return (createLoss as (name: string, options: object) => Created)(
    loss,
    Object.fromEntries(Object.entries(options).map(decode)),
  );
}

const ofMap = "fenchelYoung";

const withEntropy = (): readonly Op[] => allOps.filter(({ info }) => info.maximises !== undefined);

/** The op of a name; an error that names the nearest ones where there is none. */
function named(
  place: string,
  what: string,
  name: unknown,
  ops: readonly Op[],
  more: readonly string[] = [],
): Op {
  const op = ops.find(({ info }) => info.name === name);
  if (op !== undefined) return op;
  const names = [...ops.map(({ info }) => info.name), ...more];
  throw new ArgumentError(
    place,
    `there is no ${what} named ${showValue(name)}`,
    `the nearest are ${nearest(String(name), names).slice(0, 3).join(", ")}`,
  );
}

// ---------------------------------------------------------------------------------------------------------------
// Values as JSON, which has neither infinities nor NaN nor −0: these are words

const words: readonly unknown[] = ["NaN", "Infinity", "-Infinity", "-0"];

const isPlain = (v: number): boolean => Number.isFinite(v) && !Object.is(v, -0);
const wordOf = (v: number): string => (v === 0 ? "-0" : String(v));

function encoded(place: string, value: unknown): unknown {
  if (typeof value === "number") return isPlain(value) ? value : { number: wordOf(value) };
  if (value instanceof Tensor) {
    const { dtype, shape } = value;
    const data = Array.from(value.dataSync(), (v) => (isPlain(v) ? v : wordOf(v)));
    return { tensor: { dtype, shape, data } };
  }
  if (Array.isArray(value)) return value.map((item) => encoded(place, item));
  if (value === undefined || typeof value === "string" || typeof value === "boolean") return value;
  throw new ArgumentError(place, `${showValue(value)} cannot be written`, "give numbers, words and tensors");
}

function decoded(place: string, value: unknown): unknown {
  const refuse = (v: unknown): never => {
    throw new ArgumentError(
      place,
      `${showValue(v)} stands where a number is wanted`,
      `give one, or ${words.join(", ")}`,
    );
  };
  const number = (v: unknown): number => (typeof v === "number" || words.includes(v) ? Number(v) : refuse(v));
  if (Array.isArray(value)) return value.map((item) => decoded(place, item));
  if (!isRecord(value)) return value;
  if ("number" in value) return number(value.number);
  const { dtype, shape, data } = (isRecord(value.tensor) ? value.tensor : {}) as { [key: string]: unknown };
  if (!Array.isArray(shape) || !Array.isArray(data))
    throw new ArgumentError(
      place,
      `${showValue(value)} is no tensor`,
      "give { tensor: { dtype, shape, data } }",
    );
  return keep(tensor(Float64Array.from(data, number), { shape, dtype: dtype as DType }));
}
