// Checks a state before anything is made of it: names, sizes and element types of all that it holds. Knows no module.

import { type DType, isFloat } from "../core/dtype.ts";
import { ArgumentError, DTypeError, nearest, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { isRecord } from "../core/scope.ts";
import { sameShape } from "../core/shape.ts";
import { readable, type StateDict } from "../core/state.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";

/** What can be stopped and go on: modules, optimizers, batches, and anything with these two methods. */
export interface Stateful {
  stateDict(): StateDict;
  /** Takes all of a state, or throws and changes nothing. */
  loadStateDict(dict: StateDict): unknown;
}

/** Options of `Module.loadStateDict`. */
export interface LoadOptions {
  /** Whether the names must be those of the model, all of them (default true). If not, those in both are loaded. */
  readonly strict?: boolean;
  /** Whether floats of another width are converted, as PyTorch does (default false: they are refused). */
  readonly cast?: boolean;
}

/** What `loadStateDict` did not find a counterpart of. */
export interface LoadResult {
  /** Names of the model that the dict lacks. Their tensors are as before. */
  readonly missing: readonly string[];
  /** Names of the dict that the model lacks. */
  readonly unexpected: readonly string[];
}

/** Refuses what is no record of tensors. */
export function checkTensors(place: string, tensors: unknown): asserts tensors is StateDict {
  if (!isRecord(tensors))
    throw new ArgumentError(
      place,
      `${showValue(tensors)} stands where tensors by name are wanted`,
      "give a record, such as model.stateDict()",
    );
  for (const [name, t] of Object.entries(tensors)) checkTensor(`${place}: ${name}`, t);
}

/** Places for tensors, by all names of each: a shared one has several. */
export interface Place {
  readonly names: readonly string[];
  readonly like: { readonly shape: readonly number[]; readonly dtype: DType };
}

/**
 * For each place the tensor of a dict, and what has no counterpart. Refuses before anything is made of them: names first (all
 * that are wrong, in one sentence), then shapes, element types.
 */
export function matched<P extends Place>(
  place: string,
  owner: string,
  dict: unknown,
  places: readonly P[],
  options: LoadOptions,
): { pairs: readonly (readonly [P, Tensor])[] } & LoadResult {
  checkTensors(place, dict);
  checkOptions(place, options, ["strict", "cast"]);
  const { strict = true, cast = false } = options;
  for (const [name, flag] of Object.entries({ strict, cast }))
    if (typeof flag !== "boolean")
      throw new ArgumentError(place, `${name} is ${String(flag)}`, "give true or false");
  const known = new Set(places.flatMap(({ names }) => names));
  const given = ({ names }: Place): boolean => names.some((name) => Object.hasOwn(dict, name));
  const lacking = places.filter((p) => !given(p)).flatMap(({ names }) => names);
  const unexpected = Object.keys(dict).filter((name) => !known.has(name));
  if (strict) checkNames(place, owner, lacking, unexpected, [...known]);
  const pairs = places.filter(given).map((p): readonly [P, Tensor] => [p, chosen(place, dict, p)]);
  const shapes = pairs
    .filter(([{ like }, t]) => !sameShape(like.shape, t.shape))
    .map(
      ([{ names, like }, t]) => `${names[0]} is ${showShape(t.shape)} in place of ${showShape(like.shape)}`,
    );
  if (shapes.length > 0)
    throw new ShapeError(place, listed(shapes), `give the state of a ${owner} of these sizes`);
  const fits = (have: DType, want: DType): boolean =>
    have === want || (cast && isFloat(have) && isFloat(want));
  const types = pairs
    .filter(([{ like }, t]) => !fits(t.dtype, like.dtype))
    .map(([{ names, like }, t]) => `${names[0]} is ${t.dtype} in place of ${like.dtype}`);
  if (types.length > 0)
    throw new DTypeError(place, listed(types), "convert floats of another width with { cast: true }");
  return { pairs, missing: lacking, unexpected };
}

/** The tensor of a place; of a shared one the first, after comparing the others with it. */
function chosen(place: string, dict: StateDict, { names }: Place): Tensor {
  const given = [...new Set(names.filter((name) => Object.hasOwn(dict, name)).map((name) => dict[name]!))];
  const [first, ...others] = given;
  const other = others.find((t) => !sameEntries(place, names[0]!, t, first!));
  if (other !== undefined)
    throw new ArgumentError(
      place,
      `${names.join(" and ")} are one tensor here, and differ in the dict`,
      "leave out all but one of these names",
    );
  return first!;
}

function sameEntries(place: string, name: string, a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) return false;
  const [x, y] = [readable(place, name, a), readable(place, name, b)];
  return x.every((v, i) => Object.is(v, y[i]));
}

function checkNames(
  place: string,
  owner: string,
  missing: readonly string[],
  unexpected: readonly string[],
  known: readonly string[],
): void {
  const findings = [
    missing.length > 0 ? `lacks ${listed(missing)}` : "",
    unexpected.length > 0 ? `has ${listed(unexpected)}, which the ${owner} lacks` : "",
  ].filter((text) => text !== "");
  if (findings.length === 0) return;
  const meant = unexpected.slice(0, MOST).flatMap((name) => {
    const [other] = nearest(name, missing.length > 0 ? missing : known);
    return other === undefined ? [] : [`${other} for ${name}`];
  });
  const hint = meant.length > 0 ? `nearest are ${listed(meant)}: ` : "";
  throw new ArgumentError(
    place,
    `the dict ${findings.join(" and ")}`,
    `${hint}give the names of the ${owner}, or { strict: false }`,
  );
}

/** As many things as a sentence can hold. */
const MOST = 5;

function listed(items: readonly string[]): string {
  const more = items.length - MOST;
  return more > 0 ? `${items.slice(0, MOST).join(", ")} and ${more} more` : items.join(", ");
}
