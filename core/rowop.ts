// Row ops: formulas of whole rows (probability maps and reductions) as functions of tensors, on any axis.
// Checks arguments and lays tensors out as rows; `apply.ts` runs and records. Knows no op in particular.

import { apply } from "./apply.ts";
import type { Backend } from "./backends/backend.ts";
import { type FloatDType, isFloat } from "./dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError, showShape, showValue } from "./errors.ts";
import { Formula, type HandWrittenGradient } from "./formula.ts";
import {
  type Breaks,
  checkExpression,
  checkFloat,
  checkOptions,
  type Domain,
  describe,
  type Example,
  type Op,
  rowMajor,
  sameBackend,
} from "./op.ts";
import {
  and,
  constant,
  type Expr,
  equal,
  greater,
  greaterEqual,
  type Kind,
  less,
  lessEqual,
  not,
  n as numberOfClasses,
  type Row,
  type RowMask,
  rowInput,
  type Scalar,
  type ScalarMask,
  scalarInput,
  select,
} from "./row/expr.ts";
import {
  type Checked,
  type HasRows,
  normalizeAxes,
  normalizeAxis,
  reduceShape,
  type Shape,
  sameShape,
  sizeOf,
} from "./shape.ts";
import { checkTensor, fromHost, hostCopy, isReadable, Tensor } from "./tensor.ts";
import { broadcastTo, reshape, transpose } from "./views.ts";

// ---------------------------------------------------------------------------------------------------------------
// Arguments besides the row of scores

/** An argument of a row op, as its declaration describes it. */
export type Param =
  | {
      /** A number, or a tensor of one value for all rows or one per row: temperature, α. */
      readonly is: "scalar";
      /** What it is where it is not given; the formula is simplified for it. Without a default it must be given. */
      readonly default?: number;
      /** Numbers outside are refused; values computed on a device give a NaN row. */
      readonly min?: number;
      /** "n": the number of classes. */
      readonly max?: number | "n";
      /** Strict bounds. */
      readonly above?: number;
      readonly below?: number | "n";
      readonly integer?: boolean;
      readonly nonzero?: boolean;
    }
  /** A tensor of the shape of the scores, or unless `exact` one that broadcasts to it: a mask, a target distribution. */
  | {
      readonly is: "row";
      readonly stored?: "float" | "bool";
      readonly optional?: boolean;
      readonly exact?: boolean;
    }
  /** One value per class, shared by all rows: class weights. */
  | { readonly is: "classes"; readonly optional?: boolean }
  /** One class index per row, as an i32 tensor or an array of integers; a loss's option `ignoreIndex` marks rows to leave out. */
  | { readonly is: "label" }
  /** A number or word that chooses the formula itself: the order of a Taylor polynomial. `check` says what is wrong with it. */
  | {
      readonly is: "static";
      readonly default: number | string | boolean;
      readonly check: (value: unknown) => string | undefined;
    };

export type Params = { readonly [name: string]: Param };

/** A scalar argument: a number, or a tensor with one value for all rows or one per row. */
export type ScalarLike = number | Tensor;

/** Class indices: an i32 tensor, or integers. */
export type Labels = Tensor<Shape, "i32"> | Int32Array | readonly number[];

type Static = number | string | boolean;

type Given<P extends Param> = P extends { is: "static" }
  ? P["default"]
  : P extends { is: "row"; stored: "bool" }
    ? RowMask
    : P extends { is: "row" | "classes"; optional: true }
      ? Row | undefined
      : P extends { is: "row" | "classes" }
        ? Row
        : Scalar;

/** What a formula's text receives: the row of scores `x`, and each argument by name. */
export type Inputs<P extends Params> = { readonly x: Row } & { readonly [K in keyof P]: Given<P[K]> };

/** What a formula's text gives back when there is more to say than one result. */
export interface Stated {
  readonly results: readonly Expr[];
  readonly vjp?: HandWrittenGradient;
}

interface RowOpOptions {
  /** Whether results are rows (a formula that gives a scalar is repeated along them) or one number per row; "each": as each formula is. */
  readonly gives: Kind | "each";
  readonly params: Params;
  readonly program: (inputs: never) => Stated;
  /** How result k is stored; floats by default. */
  readonly stored?: readonly ("float" | "i32" | "bool")[];
  /** Whether scores may be integers (results stored as such). */
  readonly integers?: boolean;
  /** C3 of the conventions: a NaN anywhere makes the row of the gradient NaN. */
  readonly nanRows: boolean;
}

/** The label that PyTorch's losses ignore by default. */
export const IGNORED = -100;

/** A formula of rows in all the forms that its arguments can choose. */
export class RowOp {
  readonly name: string;
  readonly params: readonly (readonly [string, Param])[];
  private readonly options: RowOpOptions;
  private readonly variants = new Map<string | number, Formula>();

  constructor(name: string, options: RowOpOptions) {
    this.name = name;
    this.options = options;
    this.params = Object.entries(options.params);
  }

  /** The formula for the arguments that are present (bits by position) and the static ones' values. */
  formula(present: number, statics: readonly Static[] = [], integers = false): Formula {
    const bits = present * 2 + (integers ? 1 : 0);
    const key = statics.length > 0 ? `${bits}|${statics.join("|")}` : bits;
    let found = this.variants.get(key);
    if (!found) {
      const x = integers ? rowInput("x", "i32") : rowInput("x");
      const inputs: Expr[] = [x];
      const named: { [name: string]: unknown } = { x };
      let nextStatic = 0;
      this.params.forEach(([name, param], i) => {
        if (param.is === "static") named[name] = statics[nextStatic++] ?? param.default;
        else if (present & (1 << i)) {
          const e = inputOf(name, param);
          inputs.push(e);
          named[name] = param.is === "scalar" ? guarded(e as Scalar, param) : e;
        } else if (param.is === "scalar") named[name] = constant(param.default!);
      });
      const { results, vjp } = this.options.program(named as never);
      const { gives } = this.options;
      for (const e of results) checkResult(this.name, e, gives === "each" ? e.kind : gives);
      const stored =
        this.options.stored ?? results.map((e) => (e.sort === "bool" ? "bool" : integers ? "i32" : "float"));
      const kinds = results.map((e) => (gives === "each" ? e.kind : gives));
      found = new Formula(this.name, inputs, results, { kinds, stored, vjp, nanRows: this.options.nanRows });
      this.variants.set(key, found);
    }
    return found;
  }

  /** The results for scores whose last axis is the row; rows come out in the shape of x, scalars without the last axis. */
  call(x: Tensor, given: { readonly [name: string]: unknown }): Tensor[] {
    const { name } = this;
    const n = x.shape[x.rank - 1]!;
    const outer = x.shape.slice(0, -1);
    if (n === 0)
      throw new ShapeError(
        name,
        `the rows of shape ${showShape(x.shape)} have no entries`,
        "give at least one class",
      );
    const rows = x.size / n;
    const integers = this.options.integers === true && !isFloat(x.dtype);
    const float: FloatDType = x.dtype === "f32" ? "f32" : "f64";
    const operands: (Tensor | number)[] = [rowMajor(x)];
    const strides: number[] = [n];
    const statics: Static[] = [];
    let present = 0;
    for (let i = 0; i < this.params.length; i++) {
      const [key, param] = this.params[i]!;
      const value = given[key];
      if (param.is === "static") {
        checkStatic(name, key, value, param);
        statics.push((value ?? param.default) as Static);
        continue;
      }
      if (value === undefined) {
        if (param.is === "scalar" ? param.default !== undefined : "optional" in param && param.optional)
          continue;
        throw new ArgumentError(
          name,
          `${key} is not given`,
          param.is === "label" ? "give the index of each row's class" : `give ${key}`,
        );
      }
      present |= 1 << i;
      const [operand, stride] = this.operand(key, param, value, x, outer, rows, n, given);
      operands.push(operand);
      strides.push(stride);
    }
    const backend = operands.length > 1 ? sameBackend(name, operands) : x.backend;
    const formula = this.formula(present, statics, integers);
    const shapes = formula.kinds.map((kind) => (kind === "row" ? x.shape : outer));
    return apply(formula, operands, { rows, n, strides }, backend, float, shapes);
  }

  private operand(
    key: string,
    param: Exclude<Param, { is: "static" }>,
    value: unknown,
    x: Tensor,
    outer: readonly number[],
    _rows: number,
    n: number,
    given: { readonly [name: string]: unknown },
  ): [Tensor | number, number] {
    const place = `${this.name}: ${key}`;
    if (param.is === "scalar" && typeof value === "number") {
      checkNumber(this.name, key, value, param, n);
      return [value, 0];
    }
    if (param.is === "label") {
      // A loss leaves rows out; a map has to say something of every row.
      const ignored = this.params.some(([name]) => name === "ignoreIndex")
        ? (given.ignoreIndex ?? IGNORED)
        : undefined;
      return [checkedLabels(this.name, key, value, x.backend, outer, n, ignored), 1];
    }
    checkTensor(place, value);
    const wanted = param.is === "row" && param.stored === "bool" ? "bool" : x.dtype;
    if (value.dtype !== wanted)
      throw new DTypeError(place, `${value.dtype} stands beside scores of ${x.dtype}`, `give ${wanted}`);
    if (param.is === "classes") {
      if (!sameShape(value.shape, [n]))
        throw new ShapeError(
          place,
          `shape ${showShape(value.shape)} stands where one value for each of ${n} classes is wanted`,
          `give shape [${n}]`,
        );
      return [rowMajor(value), 0];
    }
    if (param.is === "row") {
      if (sameShape(value.shape, x.shape)) return [rowMajor(value), n];
      if (!param.exact) return [rowMajor(broadcastTo(value, x.shape)), n];
      throw new ShapeError(
        place,
        `shape ${showShape(value.shape)} stands beside scores of shape ${showShape(x.shape)}`,
        "give one distribution per row, or class indices as i32",
      );
    }
    if (value.size === 1) return [value, 0];
    const perRow = [...outer, 1];
    if (sameShape(value.shape, perRow) || sameShape(value.shape, outer)) return [rowMajor(value), 1];
    if (value.shape.at(-1) === 1 && value.rank <= perRow.length)
      return [rowMajor(broadcastTo(value, perRow)), 1];
    throw new ShapeError(
      place,
      `shape ${showShape(value.shape)} is neither one value nor one per row of ${showShape(x.shape)}`,
      `give a number, or shape ${showShape(perRow)}`,
    );
  }
}

/**
 * Class indices of the given shape as a tensor beside others, checked: integers of [0, n), or the mark of rows to leave out.
 * What a device computed, and cannot be read at once, is trusted. Without n all integers will do: they say what belongs together.
 */
export function checkedLabels(
  place: string,
  key: string,
  value: unknown,
  backend: Backend,
  outer: readonly number[],
  n: number | undefined,
  ignore?: unknown,
): Tensor<Shape, "i32"> {
  let labels: Tensor;
  if (value instanceof Tensor) {
    labels = value;
    if (labels.dtype !== "i32")
      throw new DTypeError(
        place,
        `${key} holds ${labels.dtype}`,
        "give class indices as i32, or a distribution to the losses that take one",
      );
  } else if (value instanceof Int32Array || Array.isArray(value)) {
    const at = Array.prototype.findIndex.call(value, (v: unknown) => !Number.isInteger(v));
    if (at >= 0)
      throw new DomainError(
        place,
        `${key}[${at}] is ${showValue(value[at])}`,
        n === undefined ? "give integers" : `give integers from 0 to ${n - 1}`,
      );
    const given = Int32Array.from(value as readonly number[]);
    labels = fromHost(backend, "i32", [given.length], given, "tensor");
    if (outer.length !== 1 && labels.size === sizeOf(outer)) labels = reshape(labels, outer);
  } else
    throw new ArgumentError(
      place,
      `${key} is ${showValue(value)}`,
      "give class indices as an i32 tensor or an array of integers",
    );
  if (!sameShape(labels.shape, outer)) {
    throw new ShapeError(
      place,
      `${key} of shape ${showShape(labels.shape)} does not give one class for each entry of ${showShape(outer)}`,
      `give shape ${showShape(outer)}`,
    );
  }
  if (n !== undefined && isReadable(labels)) {
    const data = hostCopy(labels);
    for (let i = 0; i < data.length; i++) {
      const v = data[i]!;
      if ((v < 0 || v >= n) && v !== ignore)
        throw new DomainError(place, `${key}[${i}] is ${v}`, `class indices lie in [0, ${n})`);
    }
  }
  return rowMajor(labels) as Tensor<Shape, "i32">;
}

/** Refuses what a formula must not give. */
function checkResult(place: string, e: unknown, gives: Kind): void {
  checkExpression(place, e);
  if (gives === "scalar" && e.kind === "row") {
    throw new ArgumentError(
      place,
      "the formula gives a row where one number per row is wanted",
      "reduce it, with sum for instance",
    );
  }
}

function inputOf(name: string, param: Exclude<Param, { is: "static" }>): Expr {
  switch (param.is) {
    case "scalar":
      return scalarInput(name);
    case "label":
      return scalarInput(name, "i32");
    case "classes":
      return rowInput(name);
    default:
      return param.stored === "bool" ? rowInput(name, "bool") : rowInput(name);
  }
}

type ScalarParam = Extract<Param, { is: "scalar" }>;

/** A scalar that a device computed is NaN outside its domain. */
function guarded(e: Scalar, { min, max, above, below, nonzero }: ScalarParam): Scalar {
  const bounds: ScalarMask[] = [];
  if (min !== undefined) bounds.push(greaterEqual(e, min));
  if (above !== undefined) bounds.push(greater(e, above));
  if (max !== undefined) bounds.push(lessEqual(e, max === "n" ? numberOfClasses : max));
  if (below !== undefined) bounds.push(less(e, below === "n" ? numberOfClasses : below));
  if (nonzero) bounds.push(not(equal(e, 0)));
  return bounds.length === 0
    ? e
    : select(
        bounds.reduce((a, b) => and(a, b)),
        e,
        Number.NaN,
      );
}

function checkNumber(
  place: string,
  key: string,
  v: number,
  { min, max, above, below, integer, nonzero }: ScalarParam,
  n: number,
): void {
  const refuse = (wayOut: string): never => {
    throw new DomainError(place, `${key} is ${v}`, wayOut);
  };
  if (Number.isNaN(v)) refuse(integer ? "give an integer" : "give a number");
  if (nonzero && v === 0) refuse(`${key} must not be 0`);
  if (integer && !Number.isInteger(v)) refuse("give an integer");
  if (min !== undefined && !(v >= min))
    refuse(`${key} must be ${integer ? "an integer of " : ""}at least ${min}`);
  if (above !== undefined && !(v > above)) refuse(`${key} must be greater than ${above}`);
  const [most, bound] = [max === "n" ? n : max, below === "n" ? n : below];
  if (most !== undefined && !(v <= most)) refuse(`${key} must be at most ${most}`);
  if (bound !== undefined && !(v < bound)) refuse(`${key} must be less than ${bound}`);
}

/** Refuses numbers out of bounds, wrong words, and scalars that are missing, before there are scores to go with them. */
export function checkArguments(
  place: string,
  params: Params,
  given: { readonly [name: string]: unknown },
  n: number,
): void {
  for (const [key, param] of Object.entries(params)) {
    const value = given[key];
    if (param.is === "static") checkStatic(place, key, value, param);
    if (param.is !== "scalar") continue;
    if (typeof value === "number") checkNumber(place, key, value, param, n);
    else if (value !== undefined) checkTensor(`${place}: ${key}`, value);
    else if (param.default === undefined)
      throw new ArgumentError(place, `${key} is not given`, `give ${key}`);
  }
}

function checkStatic(
  place: string,
  key: string,
  value: unknown,
  { check }: Extract<Param, { is: "static" }>,
): void {
  const finding = value === undefined ? undefined : check(value);
  if (finding !== undefined) throw new DomainError(place, `${key} is ${showValue(value)}`, finding);
}

// ---------------------------------------------------------------------------------------------------------------
// Maps of rows

/** The axis that an op works along; the last by default. */
export interface AxisOption {
  readonly axis?: number;
}

/** What every declared row op says of itself. */
export interface Card {
  readonly doc: string;
  readonly source?: string;
  readonly laws?: readonly string[];
  readonly breaks?: Breaks;
  readonly examples: readonly Example[];
  readonly domain?: { readonly [argument: string]: Domain };
  readonly constants?: readonly string[];
  readonly smooth?: boolean;
  readonly derivativesOf?: Op;
}

export const cardOf = (
  name: string,
  kind: "rowMap" | "reduction" | "loss",
  o: Card,
  op: RowOp,
  known: readonly string[],
): Op["info"] => ({
  name,
  kind,
  doc: o.doc,
  ...(o.source === undefined ? {} : { source: o.source }),
  laws: o.laws ?? [],
  ...(o.breaks ? { breaks: o.breaks } : {}),
  examples: o.examples,
  ...(o.domain ? { domain: o.domain } : {}),
  ...(o.constants ? { constants: o.constants } : {}),
  params: Object.fromEntries(op.params),
  options: known,
  ...(o.smooth === undefined ? {} : { smooth: o.smooth }),
  ...(o.derivativesOf === undefined ? {} : { derivativesOf: o.derivativesOf }),
  formula: () =>
    op.formula(
      op.params.reduce(
        (bits, [, p], i) => (p.is !== "static" && !("optional" in p && p.optional) ? bits | (1 << i) : bits),
        0,
      ),
    ),
});

/** Splits a call into the named arguments of the op; a positional argument that is an array or tensor may be an op's own. */
export function named(
  place: string,
  positional: readonly string[],
  args: readonly unknown[],
  known: readonly string[],
): { readonly [name: string]: unknown } {
  if (args.length > positional.length + 1)
    throw new ArgumentError(
      place,
      `${args.length + 1} arguments were given`,
      `give ${["x", ...positional].join(", ")} and perhaps options`,
    );
  const options = args[positional.length];
  checkOptions(place, options, known);
  if (positional.length === 0) return (options as { readonly [name: string]: unknown }) ?? NOTHING;
  const out: { [name: string]: unknown } = { ...(options as object | undefined) };
  positional.forEach((key, i) => {
    out[key] = args[i];
  });
  return out;
}

export const NOTHING: { readonly [name: string]: unknown } = /* @__PURE__ */ Object.freeze({});

/** The scores with an axis brought last, and with them what has one entry for each of theirs or for each row; and the way back. */
export function axisLast(
  op: RowOp,
  x: Tensor,
  axis: number,
  given: { readonly [name: string]: unknown },
): { readonly x: Tensor; readonly given: { readonly [name: string]: unknown }; readonly back: number[] } {
  const there = Array.from({ length: x.rank }, (_, i) => i).filter((i) => i !== axis);
  there.push(axis);
  const back = new Array<number>(x.rank);
  there.forEach((from, to) => {
    back[from] = to;
  });
  const moved = { ...given };
  for (const [key, param] of op.params) {
    const v = moved[key];
    if (!(v instanceof Tensor)) continue;
    if (param.is === "row" ? sameShape(v.shape, x.shape) : param.is === "scalar" && v.rank === x.rank)
      moved[key] = transpose(v, there);
  }
  return { x: transpose(x, there), given: moved, back };
}

/** Checks the scores of a row op. */
export function scores(place: string, x: unknown, axis: unknown): number {
  checkTensor(place, x);
  if (x.rank === 0) throw new ShapeError(place, "a scalar has no rows", "give at least one axis");
  return axis === undefined ? x.rank - 1 : normalizeAxis(place, axis as number, x.rank);
}

/** The last argument of a function with options `O`: required where one of them is. */
export type OptionsArgument<O extends object> = object extends O ? [options?: O] : [options: O];

/** A map of rows: scores in, a row of the same shape out. `O` are its options. */
export type RowMap<O extends object = object> = (<S extends Shape, D extends FloatDType>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  ...rest: OptionsArgument<O & AxisOption>
) => Tensor<S, D>) &
  Op;

interface RowMapOptions<P extends Params> extends Card {
  readonly params?: P;
  /** Names of the arguments that are given by position, after the scores. */
  readonly positional?: readonly string[];
  /** The formula: the row of results, or that row with a shorter gradient by hand. */
  readonly program: (inputs: Inputs<P>) => Row | { readonly result: Row; readonly vjp: HandWrittenGradient };
  /** H of a map that maximises ⟨x, p⟩ + H(p) over distributions, concave and 0 at one-hot ones: `fenchelYoung` makes its loss of it. */
  readonly entropy?: (p: Row, inputs: Inputs<P>) => Scalar;
}

/**
 * Declares a map of rows from its formula, stated once. Its gradients, kernels and checks follow from it.
 *
 * @example
 * import { rowMap, words } from "simplexgrad";
 * const { div, relu, sum } = words;
 * const reluNorm = rowMap("reluNorm", {
 *   doc: "Positive parts, normalised.",
 *   program: ({ x }) => div(relu(x), sum(relu(x))),
 *   examples: [{ args: [[3, -1, 1]], gives: [0.75, 0, 0.25] }],
 * });
 */
export function rowMap<
  const P extends Params = object & Params,
  F extends (...args: never[]) => unknown = RowMap,
>(name: string, options: RowMapOptions<P>): F & Op {
  const positional = options.positional ?? [];
  const op = new RowOp(name, {
    gives: "row",
    params: options.params ?? {},
    nanRows: true,
    program: (inputs) => {
      const made = options.program(inputs);
      return typeof made === "object" && "result" in made
        ? { results: [made.result], vjp: made.vjp }
        : { results: [made] };
    },
  });
  const known = ["axis", ...op.params.map(([key]) => key).filter((key) => !positional.includes(key))];
  const fn = (x: Tensor, ...rest: readonly unknown[]): Tensor => {
    const given = named(name, positional, rest, known);
    const axis = scores(name, x, given.axis);
    checkFloat(name, x);
    if (axis === x.rank - 1) return op.call(x, given)[0]!;
    const moved = axisLast(op, x, axis, given);
    return transpose(op.call(moved.x, moved.given)[0]!, moved.back);
  };
  const { entropy } = options;
  const program = (inputs: Inputs<P>): Row => {
    const made = options.program(inputs);
    return "result" in made ? made.result : made;
  };
  return describe(fn as unknown as F, {
    ...cardOf(name, "rowMap", options, op, known),
    ...(entropy ? { maximises: { program, entropy } } : {}),
  });
}

// ---------------------------------------------------------------------------------------------------------------
// Reductions

interface RowReductionOptions<P extends Params> extends Card {
  readonly params?: P;
  readonly program: (inputs: Inputs<P>) => Scalar | ScalarMask;
  /** Where the option `axis` is not given: all axes together, or the last. */
  readonly over: "all" | "last";
  readonly stored?: "float" | "i32" | "bool";
  readonly integers?: boolean;
}

/**
 * Declares a fold of rows into single values from its formula. The function takes `{ axis, keepDims }` besides its own
 * options; `axis` may be one axis or several, which then count as one row.
 */
export function rowReduction<
  const P extends Params = object & Params,
  F extends (...args: never[]) => unknown = (x: Tensor) => Tensor,
>(name: string, options: RowReductionOptions<P>): F & Op {
  const op = new RowOp(name, {
    gives: "scalar",
    params: options.params ?? {},
    nanRows: options.over === "last",
    program: (inputs) => ({ results: [options.program(inputs)] }),
    ...(options.stored ? { stored: [options.stored] } : {}),
    ...(options.integers === undefined ? {} : { integers: options.integers }),
  });
  const known = ["axis", "keepDims", ...op.params.map(([key]) => key)];
  const fn = (x: Tensor, ...rest: readonly unknown[]): Tensor => {
    const given = named(name, [], rest, known);
    checkTensor(name, x);
    if (x.dtype === "bool" || (!isFloat(x.dtype) && !options.integers)) checkFloat(name, x);
    const whole = given.axis === undefined && options.over === "all";
    const axes = whole
      ? normalizeAxes(name, undefined, x.rank)
      : normalizeAxes(
          name,
          (given.axis === undefined ? -1 : given.axis) as number | readonly number[],
          x.rank,
        );
    const { keepDims = false } = given;
    if (typeof keepDims !== "boolean")
      throw new ArgumentError(name, `keepDims is ${showValue(keepDims)}`, "give true or false");
    const shape = reduceShape(x.shape, axes, keepDims);
    // The folded axes come last and become one; what is left stays in order.
    let rows: Tensor = x;
    const first = x.rank - axes.length;
    if (axes.some((axis, i) => axis !== first + i)) {
      rows = transpose(x, [
        ...Array.from({ length: x.rank }, (_, i) => i).filter((i) => !axes.includes(i)),
        ...axes,
      ]);
    }
    if (axes.length !== 1)
      rows = reshape(rows, [
        ...rows.shape.slice(0, first),
        axes.reduce((size, axis) => size * x.shape[axis]!, 1),
      ]);
    const folded = op.call(rows, given)[0]!;
    return sameShape(folded.shape, shape) ? folded : reshape(folded, shape);
  };
  return describe(fn as unknown as F, cardOf(name, "reduction", options, op, known));
}
