// What every op has: a card that describes it, and the checks that all ops share.
// Formulas become ops in `map.ts` and `rowop.ts`; nothing here computes.

import type { Backend } from "./backends/backend.ts";
import { type FloatDType, isFloat } from "./dtype.ts";
import { ArgumentError, DeviceError, DTypeError, showValue } from "./errors.ts";
import type { Formula } from "./formula.ts";
import { Expr, type Row, type Scalar } from "./row/expr.ts";
import type { Params } from "./rowop.ts";
import { contiguous, isContiguous, Tensor } from "./tensor.ts";

// ---------------------------------------------------------------------------------------------------------------
// What an op says of itself

/**
 * Arguments as nested arrays of floats (`{ i32: … }` and `{ bool: … }` for the others), numbers and options, and the result.
 * Where `{ f64: … }` marks a tensor, bare arrays are plain: shapes, ranges.
 */
export interface Example {
  readonly args: readonly unknown[];
  readonly gives: unknown;
}

/** Where an argument may lie, for checks by sampling, and places to keep away from (kinks). */
export interface Domain {
  readonly min?: number;
  readonly max?: number;
  readonly avoid?: readonly number[];
}

/** Laws by name, each with rows of scores that break it. */
export interface Breaks {
  readonly [law: string]: readonly (readonly number[])[];
}

/** The card of an op: what the docs, the laws and the derived tests read. */
export interface OpInfo {
  readonly name: string;
  /** The problem solved, in one sentence. */
  readonly doc: string;
  readonly source?: string;
  readonly kind: "map" | "rowMap" | "loss" | "reduction" | "structure";
  /** Names of laws of `simplexgrad/check` that it keeps, with the options of its first example at least. */
  readonly laws: readonly string[];
  /** Laws that it breaks, each with rows of scores that show it, in the place of those of its first example. */
  readonly breaks?: Breaks;
  readonly examples: readonly Example[];
  readonly domain?: { readonly [argument: string]: Domain };
  /** The arguments of a row op besides its scores: defaults, bounds, and what may be left out. */
  readonly params?: Params;
  /** The names of all its options: of every loss, and of what is declared as one formula. */
  readonly options?: readonly string[];
  /** Arguments that count as constants: they have no gradient. */
  readonly constants?: readonly string[];
  /** Of a map that maximises ⟨x, p⟩ + H(p): the formulas of p and of H, of which `fenchelYoung` makes its loss. */
  readonly maximises?: {
    readonly program: (inputs: never) => Row;
    readonly entropy: (p: Row, inputs: never) => Scalar;
  };
  /** False where the derivative is zero wherever it exists. */
  readonly smooth?: boolean;
  /** The op whose derivatives it has in place of its own: a straight-through estimator. */
  readonly derivativesOf?: Op;
  /** The row formula, for printing and for other readings; absent where an op is not one formula. */
  readonly formula?: () => Formula;
}

/** A function of tensors that carries its card. */
export interface Op {
  readonly info: OpInfo;
}

/** Puts the card on a function. */
export function describe<F extends (...args: never[]) => unknown>(fn: F, info: OpInfo): F & Op {
  Object.defineProperty(fn, "name", { value: info.name });
  return Object.assign(fn, { info });
}

/** Puts on a function the card of an op that it gives another form, with what is different; options are its own. */
export function describeAs<F extends (...args: never[]) => unknown>(
  fn: F,
  op: Op,
  changes: Partial<OpInfo>,
): F & Op {
  const { formula: _, options: __, ...card } = op.info;
  return describe(fn, { ...card, ...changes });
}

// ---------------------------------------------------------------------------------------------------------------
// Checks shared by all ops

/** The device that all tensors live on. */
export function sameBackend(place: string, tensors: readonly (Tensor | number)[]): Backend {
  let backend: Backend | undefined;
  for (const t of tensors) {
    if (typeof t === "number") continue;
    if (backend !== undefined && t.backend !== backend) {
      throw new DeviceError(
        place,
        `tensors live on ${backend.name} and on ${t.device}`,
        "make them on one device",
      );
    }
    backend = t.backend;
  }
  return backend!;
}

/** Refuses tensors that carry no gradients. */
export function checkFloat(place: string, t: Tensor): FloatDType {
  if (!isFloat(t.dtype))
    throw new DTypeError(place, `${t.dtype} stands where floats are wanted`, 'convert it: cast(x, "f32")');
  return t.dtype;
}

/** Refuses an option that is not known, since an option that is accepted is used. */
export function checkOptions(place: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  if (
    typeof options !== "object" ||
    options === null ||
    Array.isArray(options) ||
    options instanceof Tensor
  ) {
    throw new ArgumentError(
      place,
      `${showValue(options)} stands where options are wanted`,
      `give a record such as { ${known[0] ?? ""} }`,
    );
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key))
      throw new ArgumentError(
        place,
        `there is no option ${key}`,
        known.length ? `the options are ${known.join(", ")}` : "it takes none",
      );
  }
}

/** Refuses what a declared formula gives if it is no formula. */
export function checkExpression(place: string, e: unknown): asserts e is Expr {
  if (e instanceof Expr) return;
  const finding = `the formula gives ${showValue(e)}, no expression`;
  throw new ArgumentError(place, finding, "return what words of the row language give");
}

/** The tensor with its elements in row-major order: itself, or a copy. */
export const rowMajor = (t: Tensor): Tensor => (isContiguous(t) ? t : contiguous(t));
