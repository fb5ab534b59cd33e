// Losses of rows: a formula per row against class indices or distributions, ignored rows, and how the rows become one number.
// Laying out and running is `rowop.ts`. Knows no loss in particular.

import type { FloatDType } from "./dtype.ts";
import { ArgumentError, showValue } from "./errors.ts";
import type { HandWrittenGradient } from "./formula.ts";
import { checkFloat, describe, type Op } from "./op.ts";
import {
  and,
  div,
  equal,
  greater,
  greaterEqual,
  less,
  n,
  type Row,
  type RowMask,
  type Scalar,
  select,
  sum,
  type Value,
} from "./row/expr.ts";
import {
  type AxisOption,
  axisLast,
  type Card,
  cardOf,
  IGNORED,
  type Inputs,
  type Labels,
  NOTHING,
  named,
  type OptionsArgument,
  type Params,
  RowOp,
  scores,
} from "./rowop.ts";
import type { Checked, HasRows, Shape } from "./shape.ts";
import { stopGradient } from "./tape.ts";
import { Tensor } from "./tensor.ts";
import { reshape, sumTo, transpose } from "./views.ts";

/** How the losses of the rows become one number. */
export type Reduction = "mean" | "sum" | "none";

/** Options that every loss takes. */
export interface LossOptions extends AxisOption {
  /** "mean" (default) over the rows that count, by their weights; "sum"; or "none": one loss per row. No row counts: 0. */
  readonly reduction?: Reduction;
}

/**
 * Class indices (with rows to ignore), one distribution (or other row) per row, one set of classes per row (true where a class
 * is in it), or nothing.
 */
type Against = "labels" | "distribution" | "sets" | "nothing";

/** What a loss compares scores with: a class index per row, or a distribution over the classes. */
export type Target<D extends FloatDType> = Labels | Tensor<Shape, D>;

/** A loss of scores against targets: one number, or with `reduction: "none"` one per row. */
export type Loss<O extends object = object, T extends Against | "either" = "labels"> = (<
  S extends Shape,
  D extends FloatDType,
>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  target: T extends "labels"
    ? Labels
    : T extends "distribution"
      ? Tensor<Shape, NoInfer<D>>
      : T extends "sets"
        ? Tensor<Shape, "bool">
        : Target<NoInfer<D>>,
  ...rest: OptionsArgument<O & LossOptions>
) => Tensor<Shape, D>) &
  Op;

/** A loss of scores alone: a penalty, or a measure of how spread a row is. */
export type Penalty<O extends object = object> = (<S extends Shape, D extends FloatDType>(
  x: Checked<Tensor<S, D>, HasRows<S>>,
  ...rest: OptionsArgument<O & LossOptions>
) => Tensor<Shape, D>) &
  Op;

interface RowLossOptions<A extends Against, P extends Params> extends Card {
  readonly against: A;
  readonly params?: P;
  /** The loss of a row; with the weight that the row has in a mean (1 by default), and perhaps a shorter gradient by hand. */
  readonly program: (
    inputs: Inputs<P> & {
      readonly target: A extends "labels"
        ? Scalar
        : A extends "sets"
          ? RowMask
          : A extends "distribution"
            ? Row
            : undefined;
    },
  ) =>
    | Scalar
    | { readonly loss: Scalar; readonly weight?: Scalar | number; readonly vjp?: HandWrittenGradient };
}

/** What every loss against class indices takes. */
export interface IgnoreOption {
  /** The class index that marks rows to leave out: no loss, no gradient, not counted; −100 by default. */
  readonly ignoreIndex?: number;
}

const fold = (name: string, program: (inputs: { x: Row; w: Row }) => Scalar, params: Params = {}): RowOp =>
  new RowOp(name, {
    gives: "scalar",
    params,
    nanRows: false,
    program: (inputs) => ({ results: [program(inputs)] }),
  });

const sumOfRows: RowOp = /* @__PURE__ */ fold("sum", ({ x }) => sum(x));
const meanOfRows: RowOp = /* @__PURE__ */ fold("mean", ({ x }) => div(sum(x), n));
/** The mean over the rows that count; when none does it is 0. */
const weightedMean: RowOp = /* @__PURE__ */ fold(
  "weightedMean",
  ({ x, w }) => {
    const total = sum(w);
    return select(greater(total, 0), div(sum(x), total), 0) as Scalar;
  },
  { w: { is: "row" } },
);

/** The option `reduction`, checked. */
export function reductionOf(name: string, reduction: unknown = "mean"): Reduction {
  if (reduction === "mean" || reduction === "sum" || reduction === "none") return reduction;
  throw new ArgumentError(name, `reduction is ${showValue(reduction)}`, 'give "mean", "sum" or "none"');
}

/** One number from the losses of all rows; a mean is by their weights, and 0 where these are. */
export function reduceLosses(loss: Tensor, weight: Tensor | undefined, reduction: "mean" | "sum"): Tensor {
  // Of no rows: 0, which still depends on them, so that gradients come out empty and not as an error.
  if (loss.size === 0) return sumTo(loss, []);
  const flat = (t: Tensor): Tensor => (t.rank === 1 ? t : reshape(t, [t.size]));
  if (reduction === "sum") return sumOfRows.call(flat(loss), NOTHING)[0]!;
  if (weight === undefined) return meanOfRows.call(flat(loss), NOTHING)[0]!;
  return weightedMean.call(flat(loss), { w: flat(weight) })[0]!;
}

/**
 * Declares a loss of rows from its formula. The function takes the scores, the target, and options: its own, `reduction`, `axis`,
 * and against labels `ignoreIndex`.
 */
export function rowLoss<
  const A extends Against,
  const P extends Params = object & Params,
  F extends (...args: never[]) => unknown = Loss,
>(name: string, options: RowLossOptions<A, P>): F & Op {
  const labels = options.against === "labels";
  const target: Params = labels
    ? { target: { is: "label" } }
    : options.against === "distribution"
      ? { target: { is: "row", exact: true } }
      : options.against === "sets"
        ? { target: { is: "row", stored: "bool", exact: true } }
        : {};
  const op = new RowOp(name, {
    gives: "scalar",
    params: {
      ...target,
      ...options.params,
      ...(labels ? { ignoreIndex: { is: "scalar", default: IGNORED, integer: true } } : {}),
    },
    nanRows: true,
    program: (inputs: { readonly target: Scalar; readonly ignoreIndex: Scalar }) => {
      const made = options.program(inputs as never);
      const { loss, weight = 1, vjp } = typeof made === "object" && "loss" in made ? made : { loss: made };
      if (!labels) return { results: [loss], ...(vjp ? { vjp } : {}) };
      // Rows that do not count: whatever their scores hold, nothing comes out and nothing goes back.
      const counted = (value: Value | number): Value =>
        select(equal(inputs.target, inputs.ignoreIndex), 0, value);
      // Labels that a device computed are not checked at the call: one that is no class has no loss.
      const { target } = inputs;
      const known = select(and(greaterEqual(target, 0), less(target, n)), loss, Number.NaN);
      return {
        results: [counted(known), counted(weight)],
        ...(vjp ? { vjp: ([g, ...more]: readonly Value[]) => vjp([counted(g!), ...more]) } : {}),
      };
    },
  });
  const positional = Object.keys(target);
  const known = [
    "axis",
    "reduction",
    ...op.params.map(([key]) => key).filter((key) => !positional.includes(key)),
  ];
  const fn = (x: Tensor, ...rest: readonly unknown[]): Tensor => {
    const given = named(name, positional, rest, known);
    const axis = scores(name, x, given.axis);
    checkFloat(name, x);
    const reduction = reductionOf(name, given.reduction);
    const last = axis === x.rank - 1 ? { x, given } : axisLast(op, x, axis, given);
    const [loss, weight] = op.call(last.x, last.given) as [Tensor, Tensor | undefined];
    if (reduction === "none") return loss;
    // Without class weights the divisor is a count. Neither it nor the losses of the rows are ever seen.
    const fixed = weight && !op.params.some(([key, { is }]) => is === "classes" && given[key] !== undefined);
    const divisor = fixed ? stopGradient(weight) : weight;
    for (const t of [loss, weight, divisor]) if (t) t.hidden = true;
    return reduceLosses(loss, divisor, reduction);
  };
  return describe(fn as unknown as F, cardOf(name, "loss", options, op, known));
}

/** A parameter that is one number for all, or one per class. */
export type OneOrEach = { readonly is: "scalar"; readonly default: number } | { readonly is: "classes" };

/** A loss that takes one of its options per class too, as a tensor of shape [n], from its declaration for either. */
export function perClass<L extends Op>(
  key: string,
  usual: number,
  declare: (param: OneOrEach) => L & ((...args: never[]) => Tensor<Shape, FloatDType>),
): L {
  const one = declare({ is: "scalar", default: usual });
  const each = declare({ is: "classes" });
  const fn = (...args: never[]): Tensor<Shape, FloatDType> => {
    const value = (args[2] as { readonly [key: string]: unknown } | undefined)?.[key];
    return value instanceof Tensor && value.rank === 1 && value.size > 1 ? each(...args) : one(...args);
  };
  return describe(fn, one.info) as unknown as L;
}

interface ElementLossOptions<P extends Params> extends Card {
  readonly params?: P;
  /** The loss of an entry against its target, a number; perhaps with a shorter gradient by hand. */
  readonly program: (
    inputs: Inputs<P> & { readonly target: Row },
  ) => Row | { readonly result: Row; readonly vjp: HandWrittenGradient };
}

/**
 * Declares a loss of single entries, each against a number of its own. With `reduction: "none"` it has the shape of the scores;
 * a mean is over all entries. `axis` is where the classes lie, for weights per class.
 */
export function elementLoss<O extends object, const P extends Params = Params>(
  name: string,
  options: ElementLossOptions<P>,
): Loss<O, "distribution"> {
  const op = new RowOp(name, {
    gives: "row",
    params: { target: { is: "row", exact: true }, ...options.params },
    nanRows: false,
    program: (inputs) => {
      const made = options.program(inputs);
      return "result" in made ? { results: [made.result], vjp: made.vjp } : { results: [made] };
    },
  });
  const known = ["axis", "reduction", ...op.params.map(([key]) => key).filter((key) => key !== "target")];
  const fn = (x: Tensor, ...rest: readonly unknown[]): Tensor => {
    const given = named(name, ["target"], rest, known);
    const axis = scores(name, x, given.axis);
    checkFloat(name, x);
    const reduction = reductionOf(name, given.reduction);
    const moved = axis === x.rank - 1 ? undefined : axisLast(op, x, axis, given);
    const loss = op.call(moved?.x ?? x, moved?.given ?? given)[0]!;
    if (reduction === "none") return moved ? transpose(loss, moved.back) : loss;
    loss.hidden = true;
    return reduceLosses(loss, undefined, reduction);
  };
  return describe(fn as unknown as Loss<O, "distribution">, cardOf(name, "loss", options, op, known));
}
