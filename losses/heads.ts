// Heads: cross-entropy of what features have in common with one row for each class. A head states its logits as a formula of a
// row of similarities; checks, options, the loss and the bare logits follow here. Knows no margin in particular.

import type { FloatDType } from "../core/dtype.ts";
import { DomainError, DTypeError } from "../core/errors.ts";
import { checkFloat, checkOptions, describe, type Op, type OpInfo, sameBackend } from "../core/op.ts";
import { add, equal, index, type Row, type Scalar, select } from "../core/row/expr.ts";
import { type IgnoreOption, type LossOptions, reductionOf, rowLoss } from "../core/rowloss.ts";
import {
  checkArguments,
  checkedLabels,
  IGNORED,
  type Inputs,
  type Labels,
  type OptionsArgument,
  type Params,
  RowOp,
  type ScalarLike,
} from "../core/rowop.ts";
import { type Checked, type Linear, linearShape, type Result, type Shape } from "../core/shape.ts";
import { untracked } from "../core/tape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { add as plus } from "../ops/elementwise.ts";
import { linear } from "../ops/matmul.ts";
import { lengths, normalize } from "../ops/normalize.ts";
import { crossEntropyOf } from "./cross-entropy.ts";

export type Features = Tensor<Shape, FloatDType>;

/** Options that every head takes. */
export interface HeadOptions extends IgnoreOption, Pick<LossOptions, "reduction"> {
  /** ε in [0, 1]: the target is mixed with the uniform distribution, (1 − ε)·one-hot + ε/C. */
  readonly labelSmoothing?: ScalarLike;
}

/** The factor of the cosines. */
export interface ScaleOption {
  /** The factor s > 0 of the cosines: a number, or a tensor that is learned. */
  readonly scale?: ScalarLike;
}

/** The margin of a head. */
export interface MarginOption extends ScaleOption {
  /** The margin m ≥ 0, a number or a tensor (one value, or one per row), differentiable. */
  readonly margin?: ScalarLike;
}

/**
 * A loss of features [..., d] against the rows of classes [C, d] and one class index for each row of features: one number, or
 * with `reduction: "none"` one per row. `logits` are the scores [..., C] that it is the cross-entropy of, for any other loss.
 */
export interface Head<O extends object = object> extends Op {
  <X extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<X, D>,
    weight: Checked<Tensor<W, D>, Linear<X, W>>,
    target: Labels,
    ...rest: OptionsArgument<O & HeadOptions>
  ): Tensor<Shape, D>;
  logits<X extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<X, D>,
    weight: Checked<Tensor<W, D>, Linear<X, W>>,
    target: Labels,
    ...rest: OptionsArgument<O & IgnoreOption>
  ): Tensor<Result<Linear<X, W>>, D>;
}

/** A head with K rows for each class: `weight` has shape [C, K, d]. */
export interface CenterHead<O extends object = object> extends Op {
  <D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, NoInfer<D>>,
    target: Labels,
    ...rest: OptionsArgument<O & HeadOptions>
  ): Tensor<Shape, D>;
  logits<D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, NoInfer<D>>,
    target: Labels,
    ...rest: OptionsArgument<O & IgnoreOption>
  ): Tensor<Shape, D>;
}

/** A head that keeps a number between the steps of a training. `step` gives the loss and the number that goes with it. */
export interface SteppedHead<O extends object, State extends string, More extends object = object>
  extends Head<O> {
  step<X extends Shape, W extends Shape, D extends FloatDType>(
    x: Tensor<X, D>,
    weight: Checked<Tensor<W, D>, Linear<X, W>>,
    target: Labels,
    ...rest: OptionsArgument<O & More & HeadOptions>
  ): { readonly loss: Tensor<Shape, D> } & { readonly [K in State]: Tensor<[], D> };
}

type Given = { readonly [name: string]: unknown };

/** What a formula of logits reads: similarities, the right class, own arguments, and lengths where it asks for them. */
type HeadInputs<P extends Params> = Inputs<P> & {
  readonly target: Scalar;
  /** The length of the features. */
  readonly length: Scalar;
  /** The lengths of the class rows. */
  readonly classLengths: Row;
};

interface Declaration<P extends Params>
  extends Pick<OpInfo, "doc" | "source" | "constants" | "domain" | "examples"> {
  readonly params: P;
  readonly logits: (inputs: HeadInputs<P>) => Row;
  /** What is added to the cross-entropy of a row. */
  readonly penalty?: (inputs: HeadInputs<P>) => Scalar;
  /** Lengths that the formulas read. */
  readonly reads?: readonly ("length" | "classLengths")[];
  /** The options with what depends on others or on the number of classes; says what is wrong with them. */
  readonly complete?: (given: Given, classes: number) => Given;
  /** The sizes of the similarities, and these: cosines unless said otherwise. */
  readonly sizes?: Sizing;
  readonly similarities?: (x: Features, weight: Features, given: Given) => Features;
  /** What all similarities of a row have in common, [..., 1], and the loss therefore does not see. */
  readonly shared?: (x: Features, weight: Features, given: Given) => Features | undefined;
  /** What the next step starts from, by the names of options. Nothing flows back through it. */
  readonly next?: {
    readonly params: Params;
    readonly of: (scores: Features, target: Tensor, given: Given) => { readonly [option: string]: Tensor };
  };
}

const extra: { readonly length: Params[string]; readonly classLengths: Params[string] } = {
  length: { is: "scalar" },
  classLengths: { is: "classes" },
};

type Sizing = (name: string, x: Tensor, weight: Tensor) => number[];

const linearSizes: Sizing = (name, x, weight) => linearShape(name, x.shape, weight.shape);

/** Refuses what are no features and no rows that go with them; the sizes of their products. */
export function checkFeatures(name: string, x: unknown, weight: unknown, sizes: Sizing): number[] {
  checkTensor(name, x);
  checkTensor(name, weight);
  sameBackend(name, [x, weight]);
  const dtype = checkFloat(name, x);
  if (weight.dtype !== dtype)
    throw new DTypeError(
      name,
      `${weight.dtype} stands beside features of ${dtype}`,
      `convert it: cast(weight, "${dtype}")`,
    );
  return sizes(name, x, weight);
}

/** Refuses what are no features, no class rows for them and no labels; gives the labels as a tensor, and the number of classes. */
export function checkLabelled(
  name: string,
  x: unknown,
  weight: unknown,
  target: unknown,
  ignore: unknown = IGNORED,
  sizes: Sizing = linearSizes,
): { readonly labels: Tensor<Shape, "i32">; readonly classes: number } {
  const shape = checkFeatures(name, x, weight, sizes);
  const classes = shape.at(-1)!;
  const { backend } = x as Tensor;
  const labels = checkedLabels(name, "target", target, backend, shape.slice(0, -1), classes, ignore);
  sameBackend(name, [x as Tensor, labels]);
  return { labels, classes };
}

/** Refuses a fixed factor of cosines that is no positive number; what a scale that is learned becomes is the optimizer's business. */
function checkScale(name: string, scale: unknown): void {
  if (typeof scale === "number" && !(scale > 0 && Number.isFinite(scale)))
    throw new DomainError(name, `scale is ${scale}`, "give a finite number above 0");
}

/** The cosines of all pairs of rows: [..., d] and [C, d] → [..., C]. A row without a direction has cosine 0 to every other. */
export const cosines = (x: Features, weight: Features): Features =>
  linear(normalize(x as never) as Features, normalize(weight as never) as never) as Features;

/** Declares a head from the formula of its logits. */
export function head<const P extends Params, H extends Op = Head>(name: string, declared: Declaration<P>): H {
  const { doc, params, reads = [], next, similarities = cosines } = declared;
  const own: Params = { ...params, ...Object.fromEntries(reads.map((key) => [key, extra[key]])) };
  const ignoring: Params = { ignoreIndex: { is: "scalar", default: IGNORED, integer: true } };
  const smoothing: Params = { labelSmoothing: { is: "scalar", default: 0, min: 0, max: 1 } };
  const loss = rowLoss<"labels", Params>(name, {
    doc,
    against: "labels",
    params: { ...own, ...smoothing },
    program: (inputs) => {
      const all = inputs as unknown as HeadInputs<P> & { readonly labelSmoothing: Scalar };
      const made = crossEntropyOf(declared.logits(all), all.target, all.labelSmoothing);
      return { loss: (declared.penalty ? add(made.loss, declared.penalty(all)) : made.loss) as Scalar };
    },
    examples: [],
  });
  const scores = new RowOp(name, {
    gives: "row",
    params: { target: { is: "label" }, ...own, ...ignoring },
    nanRows: true,
    program: (inputs: HeadInputs<P>) => ({ results: [declared.logits(inputs)] }),
  });
  const ownOptions = [...Object.keys(params), "ignoreIndex"];
  const known = [...ownOptions, "labelSmoothing", "reduction"];
  /** Checks all arguments, then measures: similarities, labels, and what goes with them. */
  const measured = (
    [x, weight, target, options]: readonly unknown[],
    names: readonly string[],
    more: Params,
  ) => {
    checkOptions(name, options, names);
    const stated = (options ?? {}) as Given;
    const { labels, classes } = checkLabelled(name, x, weight, target, stated.ignoreIndex, declared.sizes);
    const given = declared.complete?.(stated, classes) ?? stated;
    reductionOf(name, given.reduction);
    checkArguments(name, { ...params, ...more }, given, classes);
    checkScale(name, given.scale);
    const rows = x as Features;
    const passed: { [name: string]: unknown } = { ...given };
    for (const key of Object.keys(next?.params ?? {})) delete passed[key];
    if (reads.includes("length")) passed.length = lengths(rows);
    if (reads.includes("classLengths")) passed.classLengths = lengths(weight as Features);
    return { given, passed, labels, similar: similarities(rows, weight as Features, given) };
  };
  const call = (x: unknown, weight: unknown, target: unknown, options: unknown): Tensor => {
    const args = [x, weight, target, options];
    const { passed, labels, similar } = measured(args, known, { ...smoothing, ...ignoring });
    return loss(similar as never, labels, passed as never);
  };
  const logits = (...args: readonly unknown[]): Tensor => {
    const { given, passed, labels, similar } = measured(args, ownOptions, ignoring);
    const shared = declared.shared?.(args[0] as Features, args[1] as Features, given);
    return scores.call(shared ? plus(similar, shared as never) : similar, { ...passed, target: labels })[0]!;
  };
  const step = (...args: readonly unknown[]): { readonly [name: string]: Tensor } => {
    const more = { ...smoothing, ...ignoring, ...next!.params };
    const { given, passed, labels, similar } = measured(args, [...known, ...Object.keys(next!.params)], more);
    const state = untracked(() => next!.of(similar, labels, given));
    return { loss: loss(similar as never, labels, { ...passed, ...state } as never), ...state };
  };
  const { source, constants, domain, examples } = declared;
  return describe(Object.assign(call, { logits }, next ? { step } : {}), {
    name,
    kind: "structure",
    doc,
    ...(source === undefined ? {} : { source }),
    ...(constants ? { constants } : {}),
    ...(domain ? { domain } : {}),
    options: known,
    laws: [],
    examples,
  }) as unknown as H;
}

/** The row with another value at the right class. */
export const patched = (x: Row, target: Scalar, value: Scalar): Row =>
  select(equal(index, target), value, x) as Row;
