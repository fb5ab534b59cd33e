// Elementwise ops: the formula of one entry, on tensors of any shapes that broadcast.
// Checks arguments and lays tensors out as rows; `apply.ts` runs and records. Knows no op in particular.

import { apply, type Layout } from "./apply.ts";
import type { Backend } from "./backends/backend.ts";
import type { DType, FloatDType } from "./dtype.ts";
import { ArgumentError, DTypeError, showValue } from "./errors.ts";
import { Formula } from "./formula.ts";
import {
  checkExpression,
  checkOptions,
  type Domain,
  describe,
  type Example,
  type Op,
  rowMajor,
  sameBackend,
} from "./op.ts";
import { type Expr, type Mask, rowInput, scalarInput, type Value } from "./row/expr.ts";
import {
  type Broadcast,
  broadcastShapes,
  type Checked,
  type Result,
  type Shape,
  sameShape,
  sizeOf,
} from "./shape.ts";
import { checkTensor, isContiguous, Tensor } from "./tensor.ts";
import { broadcastTo } from "./views.ts";

type MapInputs = { readonly [name: string]: Value & Mask };

/** What `map` is told. */
export interface MapOptions {
  readonly doc: string;
  readonly source?: string;
  /** Names of the tensor inputs, in the order of the arguments; `x` alone by default. A leading "?" marks a bool input. */
  readonly inputs?: readonly string[];
  /** Named numbers given after the tensors, with their default values. */
  readonly params?: { readonly [name: string]: number };
  /** The formula of one entry; the same text serves whole tensors. Several results are given as an array. */
  readonly program: (inputs: MapInputs) => Value | Mask | readonly (Value | Mask)[];
  /** Whether integers are accepted too (the result is of integers then). */
  readonly integers?: boolean;
  readonly laws?: readonly string[];
  readonly examples: readonly Example[];
  readonly domain?: { readonly [argument: string]: Domain };
  readonly smooth?: boolean;
}

/** An elementwise formula in all its layouts. */
class ElementwiseMap {
  readonly name: string;
  readonly names: readonly string[];
  private readonly options: MapOptions;
  private readonly isMask: readonly boolean[];
  private readonly params: readonly string[];
  private readonly variants: (Formula | undefined)[] = [];

  constructor(name: string, options: MapOptions) {
    this.name = name;
    this.options = options;
    const inputs = options.inputs ?? ["x"];
    this.isMask = inputs.map((s) => s.startsWith("?"));
    this.names = inputs.map((s) => s.replace("?", ""));
    this.params = Object.keys(options.params ?? {});
  }

  /** The formula in which input i is a row where bit i is set, else one value per row; over integers if asked. */
  variant(rowBits: number, integers: boolean): Formula {
    const key = rowBits * 2 + (integers ? 1 : 0);
    let formula = this.variants[key];
    if (!formula) {
      const nodes = this.names.map((name, i) => {
        const stored = this.isMask[i] ? "bool" : integers ? "i32" : "float";
        return (
          rowBits & (1 << i) ? rowInput(name, stored as "float") : scalarInput(name, stored as "float")
        ) as Expr;
      });
      for (const name of this.params) nodes.push(scalarInput(name));
      const named = Object.fromEntries(
        nodes.map((e, i) => [i < this.names.length ? this.names[i] : this.params[i - this.names.length], e]),
      );
      const made = this.options.program(named as MapInputs);
      const results = (Array.isArray(made) ? made : [made]) as Expr[];
      for (const e of results) checkExpression(this.name, e);
      formula = new Formula(this.name, nodes, results, {
        kinds: results.map(() => "row"),
        stored: results.map((e) => (e.sort === "bool" ? "bool" : integers ? "i32" : "float")),
      });
      this.variants[key] = formula;
    }
    return formula;
  }

  call(args: readonly (Tensor | number)[], params: readonly number[]): Tensor[] {
    const { name } = this;
    let first: Tensor | undefined;
    let dtype: DType | undefined;
    let same = true;
    for (let i = 0; i < args.length; i++) {
      const t = args[i]!;
      if (typeof t === "number") {
        if (this.isMask[i])
          throw new DTypeError(
            name,
            `the number ${t} stands where a bool tensor is wanted`,
            "give a comparison",
          );
        continue;
      }
      if (!(t instanceof Tensor)) checkTensor(name, t);
      if (first === undefined) first = t;
      else {
        if (t.backend !== first.backend) sameBackend(name, args);
        if (same && !sameShape(t.shape, first.shape)) same = false;
      }
      if (this.isMask[i]) {
        if (t.dtype !== "bool")
          throw new DTypeError(name, `${t.dtype} stands where a bool tensor is wanted`, "give a comparison");
      } else if (dtype === undefined) {
        dtype = t.dtype;
        if (dtype === "bool" || (dtype === "i32" && !this.options.integers)) {
          throw new DTypeError(
            name,
            `${dtype} stands where ${this.options.integers ? "numbers are" : "floats are"} wanted`,
            'convert it: cast(x, "f32")',
          );
        }
      } else if (t.dtype !== dtype)
        throw new DTypeError(
          name,
          `element types ${dtype} and ${t.dtype} differ`,
          `convert one: cast(x, "${dtype}")`,
        );
    }
    if (first === undefined)
      throw new ArgumentError(name, "no argument is a tensor", "give a tensor; for numbers there is Math");
    if (dtype === undefined && this.isMask.every((mask) => mask)) dtype = "f32"; // no number is computed
    if (dtype === undefined)
      throw new DTypeError(
        name,
        "no argument tells the element type of the result",
        "give one of the values as a tensor",
      );
    const integers = dtype === "i32";
    if (integers) checkIntegers(name, args);
    const float: FloatDType = dtype === "f32" ? "f32" : "f64";

    if (same) {
      let bits = 0;
      let parted = false;
      const operands = new Array<Tensor | number>(args.length + params.length);
      for (let i = 0; i < args.length; i++) {
        const t = args[i]!;
        if (typeof t === "number") operands[i] = t;
        else {
          bits |= 1 << i;
          if (isContiguous(t)) operands[i] = t;
          else if (rowStep(t) > 0) {
            operands[i] = t;
            parted = true;
          } else operands[i] = rowMajor(t);
        }
      }
      for (let i = 0; i < params.length; i++) operands[args.length + i] = params[i]!;
      const formula = this.variant(bits, integers);
      const shapes = this.shapes(formula, first.shape);
      const layout = parted ? partedLayout(first, operands) : { rows: 1, n: first.size, strides: ZEROS };
      return apply(formula, operands, layout, first.backend, float, shapes);
    }
    return this.broadcast(args, params, first.backend, float, integers);
  }

  private shapes(formula: Formula, shape: readonly number[]): (readonly number[])[] {
    return formula.results.length === 1 ? [shape] : formula.results.map(() => shape);
  }

  /** Two levels of broadcasting are strides of rows; deeper patterns are copied out first. */
  private broadcast(
    args: readonly (Tensor | number)[],
    params: readonly number[],
    backend: Backend,
    float: FloatDType,
    integers: boolean,
  ): Tensor[] {
    let shape: readonly number[] = [];
    for (const t of args) if (typeof t !== "number") shape = broadcastShapes(this.name, shape, t.shape);
    // Adjacent axes on which every operand behaves alike (present or repeated) are one axis.
    const groups: { size: number; pattern: number; first: number }[] = [];
    for (let axis = 0; axis < shape.length; axis++) {
      if (shape[axis] === 1) continue;
      let pattern = 0;
      args.forEach((t, i) => {
        if (typeof t !== "number" && (t.shape[axis - shape.length + t.rank] ?? 1) !== 1) pattern |= 1 << i;
      });
      const last = groups.at(-1);
      if (last && last.pattern === pattern) last.size *= shape[axis]!;
      else groups.push({ size: shape[axis]!, pattern, first: axis });
    }
    if (groups.length > 2) {
      // What repeats along the last of them keeps doing so: copies of a value for each row, not for each entry.
      const { pattern, first } = groups.at(-1)!;
      const size = sizeOf(shape);
      const rows = shape.map((n, axis) => (axis < first ? n : 1));
      const full = args.map((t, i) =>
        typeof t === "number" || t.size === 1 || t.size === size
          ? t
          : broadcastTo(t, (pattern >> i) & 1 ? shape : rows),
      );
      return this.broadcast(full, params, backend, float, integers);
    }
    const inner = groups.at(-1) ?? { size: 1, pattern: 0 };
    const outer = groups.length === 2 ? groups[0]! : { size: 1, pattern: 0 };
    let bits = 0;
    const strides: number[] = [];
    const operands: (Tensor | number)[] = [];
    args.forEach((t, i) => {
      if (typeof t === "number") {
        operands.push(t);
        strides.push(0);
        return;
      }
      const inRow = (inner.pattern >> i) & 1;
      if (inRow) bits |= 1 << i;
      operands.push(rowMajor(t));
      strides.push((outer.pattern >> i) & 1 ? (inRow ? inner.size : 1) : 0);
    });
    for (const value of params) {
      operands.push(value);
      strides.push(0);
    }
    const formula = this.variant(bits, integers);
    return apply(
      formula,
      operands,
      { rows: outer.size, n: inner.size, strides },
      backend,
      float,
      this.shapes(formula, shape),
    );
  }
}

/** Rows of fewer entries are copied out: a kernel would spend its time between them. */
const LONG = 16;

/** Elements from each row to the next, where rows are in one piece and lie evenly apart, as in a part of the columns; else 0. */
function rowStep({ shape, strides, rank }: Tensor): number {
  const last = rank - 1;
  if (rank < 2 || shape[last]! < LONG || strides[last] !== 1) return 0;
  let step = 0;
  let size = 1;
  for (let axis = last - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    if (step === 0) step = strides[axis]!;
    else if (strides[axis] !== step * size) return 0;
    size *= shape[axis]!;
  }
  return Math.max(step, 0);
}

/** The layout of operands of one shape whose rows lie apart. */
function partedLayout({ shape, size }: Tensor, operands: readonly (Tensor | number)[]): Layout {
  const n = shape.at(-1)!;
  const strides = operands.map((t) => (typeof t === "number" ? 0 : isContiguous(t) ? n : rowStep(t)));
  return { rows: size / n, n, strides };
}

const ZEROS: readonly number[] = /* @__PURE__ */ Object.freeze(new Array<number>(16).fill(0));

function checkIntegers(place: string, args: readonly (Tensor | number)[]): void {
  for (const v of args) {
    if (typeof v === "number" && !Number.isInteger(v))
      throw new DTypeError(
        place,
        `the number ${v} stands beside integers`,
        'convert the tensor first: cast(x, "f32")',
      );
  }
}

/** Elementwise functions of one tensor. */
export type Unary = (<S extends Shape, D extends FloatDType>(x: Tensor<S, D>) => Tensor<S, D>) & Op;

/** Elementwise functions of two; numbers stand for tensors of that value everywhere. */
export interface Binary<In extends DType = DType, Out extends DType | "same" = "same"> extends Op {
  <S extends Shape, D extends In>(x: Tensor<S, D>, y: number): Tensor<S, Out extends DType ? Out : D>;
  <S extends Shape, D extends In>(x: number, y: Tensor<S, D>): Tensor<S, Out extends DType ? Out : D>;
  <A extends Shape, B extends Shape, D extends In>(
    x: Tensor<A, D>,
    y: Checked<Tensor<B, D>, Broadcast<A, B>>,
  ): Tensor<Result<Broadcast<A, B>>, Out extends DType ? Out : D>;
}

/**
 * Declares an elementwise op from the formula of one entry. Its gradients, kernels and checks follow from it.
 *
 * @example
 * import { map, words } from "simplexgrad";
 * const cube = map("cube", {
 *   doc: "The third power of each entry.",
 *   program: ({ x }) => words.mul(x, words.mul(x, x)),
 *   examples: [{ args: [[1, 2]], gives: [1, 8] }],
 * });
 */
export function map<F extends (...args: never[]) => unknown = Unary>(
  name: string,
  options: MapOptions,
): F & Op {
  const own = new ElementwiseMap(name, options);
  const arity = own.names.length;
  const defaults = Object.entries(options.params ?? {});
  const fn = (...args: readonly unknown[]): Tensor | Tensor[] => {
    if (args.length < arity || args.length > arity + (defaults.length > 0 ? 1 : 0)) {
      throw new ArgumentError(
        name,
        `${args.length} arguments were given`,
        `give ${own.names.join(", ")}${defaults.length > 0 ? " and perhaps options" : ""}`,
      );
    }
    let params: readonly number[] = NONE;
    let tensors = args as readonly (Tensor | number)[];
    if (defaults.length > 0) {
      const given = args[arity] as { readonly [name: string]: unknown } | undefined;
      checkOptions(
        name,
        given,
        defaults.map(([key]) => key),
      );
      params = defaults.map(([key, value]) => {
        const v = given?.[key] ?? value;
        if (typeof v !== "number")
          throw new ArgumentError(name, `${key} is ${showValue(v)}`, "give a number");
        return v;
      });
      tensors = tensors.slice(0, arity);
    }
    const results = own.call(tensors, params);
    return results.length === 1 ? results[0]! : results;
  };
  return describe(fn as unknown as F, {
    name,
    kind: "map",
    doc: options.doc,
    ...(options.source === undefined ? {} : { source: options.source }),
    laws: options.laws ?? [],
    examples: options.examples,
    ...(options.domain ? { domain: options.domain } : {}),
    ...(options.smooth === undefined ? {} : { smooth: options.smooth }),
    formula: () => own.variant((1 << arity) - 1, false),
  });
}

const NONE: readonly number[] = /* @__PURE__ */ Object.freeze([]);
