// What losses of a few candidate classes have in common: the rows of features, the rows of the right classes and of the
// candidates taken out of a large layer, and one program over a row of candidate scores. Nothing here has an entry for every
// class. The losses are `sampled.ts`; where candidates come from, `samplers.ts`.

import { apply } from "../core/apply.ts";
import { dtypes, type FloatDType, type TypedArray } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { Formula } from "../core/formula.ts";
import { checkFloat, checkOptions, rowMajor, sameBackend } from "../core/op.ts";
import {
  and,
  type Expr,
  equal,
  greaterEqual,
  less,
  mul,
  not,
  type Row,
  type RowMask,
  rowInput,
  type Scalar,
  scalarInput,
  select,
  sub,
  sum,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Reduction, reduceLosses, reductionOf } from "../core/rowloss.ts";
import { checkedLabels, IGNORED, type Labels, RowOp } from "../core/rowop.ts";
import { type Shape, sameShape, sizeOf } from "../core/shape.ts";
import { stopGradient } from "../core/tape.ts";
import { checkTensor, fromHost, hostCopy, isReadable, Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { add, log, maximum, minimum, neg, sub as subtract } from "../ops/elementwise.ts";
import { take } from "../ops/indexing.ts";
import { linear, matmul } from "../ops/matmul.ts";

/** Expected counts: a float tensor, or numbers. */
export type Counts = Tensor | Float64Array | Float32Array | readonly number[];

/**
 * Candidate classes and how often each was to be expected among them. A sampler's `draw` gives all of it, to be handed on
 * whole: a loss reads of it what it needs.
 */
export interface Candidates {
  /** Candidate classes: [S] for all rows, or [..., S] with some for each row. */
  readonly sampled: Labels;
  /** How often the class of each row was to be expected among the candidates; the shape of the targets. */
  readonly expectedTrue?: Counts;
  /** How often each candidate was to be expected; the shape of `sampled`. */
  readonly expectedSampled?: Counts;
  /** Whether no class is twice among the candidates. */
  readonly unique?: boolean;
}

/** Options that every loss of candidates takes. */
export interface CandidateOptions extends Candidates, IgnoreOption {
  /** "mean" (default) over the rows that count, "sum", or "none": one loss per row. No row counts: 0. */
  readonly reduction?: Reduction;
}

/** A loss of features against the rows of a layer that candidates name. */
export type CandidateLoss<O extends CandidateOptions> = <D extends FloatDType>(
  x: Tensor<Shape, D>,
  weight: Tensor<Shape, NoInfer<D>>,
  bias: Tensor<Shape, NoInfer<D>> | undefined,
  target: Labels,
  options: O,
) => Tensor<Shape, D>;

/** What the options of every loss of candidates are called. */
export const commonOptions: readonly string[] = [
  "sampled",
  "expectedTrue",
  "expectedSampled",
  "unique",
  "reduction",
  "ignoreIndex",
];

// ---------------------------------------------------------------------------------------------------------------
// The program of a row

/** The loss of a row: the score of its class, those of the candidates, and which of these count (all, if not said). */
type Program = (own: Scalar, z: Row, kept: RowMask | undefined) => Scalar;

/** A program in its forms: with hits removed or kept, with a normaliser or without. */
export class CandidateProgram {
  readonly name: string;
  private readonly program: Program;
  private readonly forms: (Formula | undefined)[] = [];

  constructor(name: string, program: Program) {
    this.name = name;
    this.program = program;
  }

  private form(removesHits: boolean, normalised: boolean): Formula {
    const at = (removesHits ? 1 : 0) + (normalised ? 2 : 0);
    let found = this.forms[at];
    if (!found) {
      const [z, sampled] = [rowInput("z"), rowInput("sampled", "i32")];
      const [own, logZ] = [scalarInput("own"), scalarInput("logZ")];
      const [target, ignored] = [scalarInput("target", "i32"), scalarInput("ignoreIndex")];
      const classes = scalarInput("classes");
      const kept = removesHits ? not(equal(sampled, target)) : undefined;
      const loss = normalised ? this.program(sub(own, logZ), sub(z, logZ), kept) : this.program(own, z, kept);
      // Labels that a device computed are not checked at the call: one that is no class has no loss.
      const known = select(and(greaterEqual(target, 0), less(target, classes)), loss, Number.NaN);
      const counted = (value: Scalar | number): Scalar => select(equal(target, ignored), 0, value) as Scalar;
      const inputs: Expr[] = [z, own, target, ignored, classes];
      if (removesHits) inputs.push(sampled);
      if (normalised) inputs.push(logZ);
      found = new Formula(this.name, inputs, [counted(known as Scalar), counted(1)], { nanRows: true });
      this.forms[at] = found;
    }
    return found;
  }

  /** The loss of every row, and 1 for each that counts. */
  run(
    z: Tensor,
    own: Tensor,
    target: Tensor,
    sampled: Tensor,
    given: {
      readonly ignore: number;
      readonly classes: number;
      readonly hits: boolean;
      readonly logZ?: Tensor | number;
    },
  ): readonly [loss: Tensor, counts: Tensor] {
    const { ignore, classes, hits, logZ } = given;
    const [rows, n] = z.shape as readonly number[] as [number, number];
    const operands: (Tensor | number)[] = [rowMajor(z), rowMajor(own), target, ignore, classes];
    const strides = [n, 1, 1, 0, 0];
    if (hits) {
      operands.push(sampled);
      strides.push(sampled.rank === 1 ? 0 : n);
    }
    if (logZ !== undefined) {
      operands.push(logZ);
      strides.push(0);
    }
    const formula = this.form(hits, logZ !== undefined);
    const shapes = [[rows], [rows]];
    const float = z.dtype as FloatDType;
    return apply(formula, operands, { rows, n, strides }, z.backend, float, shapes) as [Tensor, Tensor];
  }
}

/** Dot products of the rows of two matrices, plus a number each. */
const dotOfRows: RowOp = /* @__PURE__ */ new RowOp("dotOfRows", {
  gives: "scalar",
  params: { y: { is: "row", exact: true } },
  nanRows: false,
  program: ({ x, y }: { readonly x: Row; readonly y: Row }) => ({ results: [sum(mul(x, y))] }),
});

// ---------------------------------------------------------------------------------------------------------------
// Arguments

/** Refuses a layer that does not fit the features; gives its number of classes. */
function checkLayer(place: string, x: Tensor, weight: unknown, bias: unknown): number {
  checkTensor(`${place}: weight`, weight);
  if (bias !== undefined) checkTensor(`${place}: bias`, bias);
  const dtype = checkFloat(place, x);
  for (const [key, t] of [
    ["weight", weight],
    ["bias", bias],
  ] as const) {
    if (t !== undefined && t.dtype !== dtype)
      throw new DTypeError(
        `${place}: ${key}`,
        `${t.dtype} stands beside features of ${dtype}`,
        `give ${dtype}`,
      );
  }
  if (x.rank === 0) throw new ShapeError(place, "a scalar has no features", "give at least one axis");
  const d = x.shape.at(-1)!;
  if (weight.rank !== 2 || weight.shape[1] !== d || weight.shape[0] === 0)
    throw new ShapeError(
      place,
      `weight of shape ${showShape(weight.shape)} stands beside features of shape ${showShape(x.shape)}`,
      `give one row of ${d} for each class`,
    );
  const classes = weight.shape[0]!;
  if (bias !== undefined && !sameShape(bias.shape, [classes]))
    throw new ShapeError(
      place,
      `bias of shape ${showShape(bias.shape)} stands beside ${classes} classes`,
      `give shape ${showShape([classes])}`,
    );
  return classes;
}

/** The candidates, checked: one list for all rows, or one for each. */
function checkSampled(
  place: string,
  value: unknown,
  x: Tensor,
  outer: readonly number[],
  classes: number,
): Tensor {
  if (value === undefined)
    throw new ArgumentError(place, "sampled is not given", "give what a sampler's draw gives");
  const own =
    value instanceof Tensor ? value.shape : [(value as { readonly length?: number } | null)?.length ?? 0];
  const perRow = own.length === outer.length + 1 && sameShape(own.slice(0, -1), outer);
  if (own.length !== 1 && !perRow)
    throw new ShapeError(
      place,
      `sampled of shape ${showShape(own)} stands beside rows of shape ${showShape(outer)}`,
      `give shape [S] for all rows, or ${showShape([...outer, "S"])}`,
    );
  const ids = checkedLabels(place, "sampled", value, x.backend, own, classes);
  if (ids.shape.at(-1) === 0) throw new ShapeError(place, "sampled names no candidate", "give at least one");
  return own.length === 1 ? ids : reshape(ids, [sizeOf(outer), own.at(-1)!]);
}

/** Logarithms of expected counts of a shape, beside features; those of rows that `counts` does not hold are not looked at. */
function logCounts(
  place: string,
  key: string,
  value: unknown,
  shape: readonly number[],
  x: Tensor,
  counts: (i: number) => boolean,
): Tensor {
  const check = (data: ArrayLike<number>): void => {
    for (let i = 0; i < data.length; i++) {
      const v = data[i]!;
      if (!(typeof v === "number" && v > 0 && v < Number.POSITIVE_INFINITY) && counts(i))
        throw new DomainError(
          place,
          `${key}[${i}] is ${showValue(v)}`,
          "expected counts are positive and finite",
        );
    }
  };
  const misfit = (of: readonly number[]): ShapeError =>
    new ShapeError(
      place,
      `${key} of shape ${showShape(of)} stands where ${showShape(shape)} is wanted`,
      "give one count for each",
    );
  if (value instanceof Tensor) {
    if (value.dtype !== x.dtype)
      throw new DTypeError(
        `${place}: ${key}`,
        `${value.dtype} stands beside features of ${x.dtype}`,
        `give ${x.dtype}`,
      );
    sameBackend(place, [x, value]);
    if (!sameShape(value.shape, shape)) throw misfit(value.shape);
    if (isReadable(value)) check(hostCopy(value));
    return log(value as Tensor<Shape, FloatDType>);
  }
  if (!(value instanceof Float64Array || value instanceof Float32Array || Array.isArray(value)))
    throw new ArgumentError(
      place,
      value === undefined ? `${key} is not given` : `${key} is ${showValue(value)}`,
      "give expected counts, as a sampler's draw does",
    );
  if (value.length !== sizeOf(shape)) throw misfit([value.length]);
  check(value as readonly number[]);
  const logs =
    dtypes[x.dtype].array === Float32Array ? new Float32Array(value.length) : new Float64Array(value.length);
  for (let i = 0; i < logs.length; i++) logs[i] = Math.log(value[i]!);
  return fromHost(x.backend, x.dtype, shape, logs, "tensor");
}

/** Labels as rows to take: for those to leave out another row that is taken anyway, so that no other is touched. */
function rowsOf(
  target: Tensor<Shape, "i32">,
  known: TypedArray | undefined,
  ignore: number,
  classes: number,
): Tensor<Shape, "i32"> {
  if (known === undefined) return minimum(maximum(target, 0), classes - 1) as Tensor<Shape, "i32">;
  const other = known.find((v) => v !== ignore) ?? 0;
  if (!known.includes(ignore)) return target;
  const rows = known.map((v) => (v === ignore ? other : v));
  return fromHost(target.backend, "i32", target.shape, rows, "tensor");
}

// ---------------------------------------------------------------------------------------------------------------
// The loss

/** What one loss of candidates is. */
interface Kind {
  readonly program: CandidateProgram;
  /** Whether logarithms of expected counts are taken off the scores. */
  readonly corrected: boolean;
  readonly removesHits: boolean;
}

/** A truth value among options. */
export function flag(place: string, key: string, value: unknown, usual: boolean): boolean {
  if (value === undefined) return usual;
  if (typeof value === "boolean") return value;
  throw new ArgumentError(place, `${key} is ${showValue(value)}`, "give true or false");
}

/** Refuses what is no record of options that are known, or none at all. */
export function checkCandidateOptions(
  place: string,
  options: unknown,
  known: readonly string[],
): asserts options is { readonly [name: string]: unknown } {
  if (options === undefined)
    throw new ArgumentError(place, "sampled is not given", "give what a sampler's draw gives");
  checkOptions(place, options, known);
  const { unique } = options as { readonly unique?: unknown };
  flag(place, "unique", unique, true);
}

/** The normaliser: a number, or one value that is learned. */
function checkLogZ(place: string, value: unknown, x: Tensor): Tensor | number | undefined {
  if (value === undefined || value === 0) return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (!(value instanceof Tensor))
    throw new ArgumentError(place, `logZ is ${showValue(value)}`, "give a finite number, or a tensor of one");
  if (value.dtype !== x.dtype)
    throw new DTypeError(
      `${place}: logZ`,
      `${value.dtype} stands beside features of ${x.dtype}`,
      `give ${x.dtype}`,
    );
  if (value.size !== 1)
    throw new ShapeError(place, `logZ has shape ${showShape(value.shape)}`, "give one value for all rows");
  sameBackend(place, [x, value]);
  return value;
}

/** Scores of the candidates: one product with the shared ones, or a dot for each of the others; [N, S]. */
function scoresOf(x: Tensor, rows: Tensor, offset: Tensor | undefined): Tensor {
  if (rows.rank === 2) return linear(x as never, rows as never, offset as never) as Tensor;
  const [n, s, d] = rows.shape as readonly number[] as [number, number, number];
  const dots = reshape(matmul(rows as never, reshape(x, [n, d, 1]) as never) as Tensor, [n, s]);
  return offset ? (add(dots as never, offset as never) as Tensor) : dots;
}

/** What is added to products: the biases less the logarithms of expected counts. */
function offsetOf(bias: Tensor | undefined, ids: Tensor, logs: Tensor | undefined): Tensor | undefined {
  const taken = bias && (take(bias, ids as Tensor<Shape, "i32">) as Tensor<Shape, FloatDType>);
  if (!logs) return taken;
  return taken ? (subtract(taken, logs as never) as Tensor) : neg(logs as Tensor<Shape, FloatDType>);
}

/** Checks everything, takes the rows, and runs the program. */
export function candidateLoss(
  place: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  target: unknown,
  given: { readonly [name: string]: unknown },
  { program, corrected, removesHits }: Kind,
): Tensor {
  checkTensor(place, x);
  const classes = checkLayer(place, x, weight, bias);
  sameBackend(place, bias ? [x, weight, bias] : [x, weight]);
  const reduction = reductionOf(place, given.reduction);
  const { ignoreIndex: ignore = IGNORED } = given;
  if (!Number.isInteger(ignore))
    throw new DomainError(place, `ignoreIndex is ${showValue(ignore)}`, "give an integer");
  const outer = x.shape.slice(0, -1);
  const n = sizeOf(outer);
  const labels = reshape(checkedLabels(place, "target", target, x.backend, outer, classes, ignore), [n]);
  const sampled = checkSampled(place, given.sampled, x, outer, classes);
  sameBackend(place, [x, labels, sampled]);
  const logZ = checkLogZ(place, given.logZ, x);
  const known = isReadable(labels) ? hostCopy(labels) : undefined;
  const ids = rowsOf(labels, known, ignore as number, classes);

  const logs = (
    key: "expectedTrue" | "expectedSampled",
    shape: readonly number[],
    counts: (i: number) => boolean,
  ): Tensor => logCounts(place, key, given[key], shape, x, counts);
  const logTrue = corrected
    ? reshape(
        logs("expectedTrue", outer, (i) => known !== undefined && known[i] !== ignore),
        [n],
      )
    : undefined;
  const perRow = sampled.rank === 2;
  const logSampled = corrected
    ? reshape(
        logs("expectedSampled", perRow ? [...outer, sampled.shape[1]!] : sampled.shape, () => true),
        sampled.shape,
      )
    : undefined;

  const features = reshape(x, [n, x.shape.at(-1)!]);
  const dots = dotOfRows.call(features, { y: take(weight, ids) })[0]!;
  const ownOffset = offsetOf(bias, ids, logTrue);
  const own = ownOffset ? (add(dots as never, ownOffset as never) as Tensor) : dots;
  const z = scoresOf(
    features,
    take(weight, sampled as Tensor<Shape, "i32">),
    offsetOf(bias, sampled, logSampled),
  );
  const [loss, counts] = program.run(z, own, labels, sampled, {
    ignore: ignore as number,
    classes,
    hits: removesHits,
    ...(logZ === undefined ? {} : { logZ }),
  });
  if (reduction === "none") return reshape(loss, outer);
  // Neither the losses of the rows nor their count are ever seen.
  const divisor = stopGradient(counts);
  for (const t of [loss, counts, divisor]) t.hidden = true;
  return reduceLosses(loss, divisor, reduction);
}
