// What output layers share: rows of features against targets on the host, rows put into buckets, and how the log-probabilities of
// the targets become one number. Knows no layer in particular.

import { zeros } from "../../core/create.ts";
import { dtypes, type FloatDType } from "../../core/dtype.ts";
import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  ShapeError,
  showShape,
  showValue,
} from "../../core/errors.ts";
import { checkFloat, checkOptions } from "../../core/op.ts";
import type { IgnoreOption, Reduction } from "../../core/rowloss.ts";
import { IGNORED, type Labels } from "../../core/rowop.ts";
import { scope } from "../../core/scope.ts";
import { type Shape, sameShape, sizeOf } from "../../core/shape.ts";
import { untracked } from "../../core/tape.ts";
import { checkTensor, fromHost, hostCopy, Tensor } from "../../core/tensor.ts";
import { reshape } from "../../core/views.ts";
import { mul, sub } from "../../ops/elementwise.ts";
import { scatterAdd, take } from "../../ops/indexing.ts";
import { argmax, sum } from "../../ops/reduce.ts";
import { Module } from "../module.ts";

/** Options of the forward pass of an output layer. */
export interface OutputOptions extends IgnoreOption {
  /** What becomes of the losses of the rows: "mean" (default) over those that count, "sum", or "none". No row counts: 0. */
  readonly reduction?: Reduction;
}

/** What an output layer says of targets. */
export interface Scored<D extends FloatDType = FloatDType> {
  /** The log-probability of each target, in the shape of the targets; 0 where a row is left out. */
  readonly output: Tensor<Shape, D>;
  /** Its negative mean (or as `reduction` says). */
  readonly loss: Tensor<Shape, D>;
}

/** Rows of features with the class of each. */
export interface Batch<D extends FloatDType = FloatDType> {
  /** [N, inFeatures]. */
  readonly rows: Tensor<Shape, D>;
  /** The class of each row. */
  readonly ids: Int32Array;
}

/**
 * A distribution over many classes given features, as a module: the layer and its loss in one, so that a layer need not score
 * all classes to train. All output layers are used in the same way, so one may stand for another:
 *
 * - `forward(x, target)` gives `{ output, loss }`: log-probabilities of the targets, and their negative mean, to be minimised;
 * - `logProb(x)` the log-probabilities of all classes, [..., nClasses];
 * - `predict(x)` the most probable class of each row (of equal ones the first), as i32.
 *
 * x is [..., inFeatures]; targets are class indices in its shape without the last axis, from the host: an i32 tensor that was
 * made from numbers, an Int32Array or an array. A class index that does not exist is a DomainError; rows of `ignoreIndex` (−100)
 * count for nothing. A subclass gives `rowLosses` and `rowLogProb`.
 */
export abstract class OutputLayer<D extends FloatDType = "f32"> extends Module {
  readonly inFeatures: number;
  readonly nClasses: number;
  /** What messages call it. */
  protected readonly place: string;

  constructor(place: string, inFeatures: number, nClasses: number) {
    super();
    checkSize(place, "features", inFeatures);
    checkSize(place, "classes", nClasses);
    this.place = place;
    this.inFeatures = inFeatures;
    this.nClasses = nClasses;
  }

  /** The negative log-probability of each row's class, [N]. */
  protected abstract rowLosses(batch: Batch<D>): Tensor<Shape, D>;

  /** Log-probabilities [N, nClasses] for rows [N, inFeatures]. */
  protected abstract rowLogProb(rows: Tensor<Shape, D>): Tensor<Shape, D>;

  /** The most probable class of each of the rows, [N]. */
  protected rowPredictions(rows: Tensor<Shape, D>): Tensor<Shape, "i32"> {
    return argmax(this.rowLogProb(rows) as never, { axis: -1 }) as Tensor<Shape, "i32">;
  }

  /** The log-probabilities of the targets, and the loss. */
  override forward(x: Tensor<Shape, D>, target: Labels, options?: OutputOptions): Scored<D> {
    checkOptions(this.place, options, ["ignoreIndex", "reduction"]);
    const { ignoreIndex = IGNORED, reduction = "mean" } = options ?? {};
    if (reduction !== "mean" && reduction !== "sum" && reduction !== "none")
      throw new ArgumentError(
        this.place,
        `reduction is ${showValue(reduction)}`,
        'give "mean", "sum" or "none"',
      );
    const { rows, outer } = this.rowsOf(x);
    const ids = classesOf(this.place, "target", target, outer, this.nClasses, ignoreIndex);
    const kept = Int32Array.from(ids.keys()).filter((row) => ids[row]! >= 0);
    const counted = kept.length;
    const losses = counted === ids.length ? this.rowLosses({ rows, ids }) : this.among(rows, ids, kept);
    return {
      output: reshape(sub(0, losses as never) as Tensor<Shape, D>, outer),
      loss: reduced(losses, outer, counted, reduction),
    };
  }

  /** The losses of the rows that count, and 0 at the others: whatever these hold, nothing comes out and nothing goes back. */
  private among(rows: Tensor<Shape, D>, ids: Int32Array, kept: Int32Array): Tensor<Shape, D> {
    const at = indices(rows, kept);
    const losses = this.rowLosses({ rows: take(rows, at), ids: kept.map((row) => ids[row]!) });
    const none = zeros([ids.length], { dtype: rows.dtype, device: rows.device }) as Tensor<Shape, D>;
    return scatterAdd(none, at, losses);
  }

  /** The log-probabilities of all classes: [..., inFeatures] → [..., nClasses]. */
  logProb(x: Tensor<Shape, D>): Tensor<Shape, D> {
    const { rows, outer } = this.rowsOf(x);
    return reshape(this.rowLogProb(rows), [...outer, this.nClasses]);
  }

  /** The most probable class of each row, the first of equal ones: [..., inFeatures] → [...], i32. */
  predict(x: Tensor<Shape, D>): Tensor<Shape, "i32"> {
    return scope(() =>
      untracked(() => {
        const { rows, outer } = this.rowsOf(x);
        return reshape(this.rowPredictions(rows), outer);
      }),
    );
  }

  /** Features as one list of rows, and the shape that the rows had. */
  protected rowsOf(x: Tensor<Shape, D>): { rows: Tensor<Shape, D>; outer: readonly number[] } {
    checkTensor(this.place, x);
    checkFloat(this.place, x);
    const features = x.shape.at(-1);
    if (features !== this.inFeatures)
      throw new ShapeError(
        this.place,
        `rows of ${features ?? "no"} features in x of shape ${showShape(x.shape)}, where the layer takes ${this.inFeatures}`,
        `give [..., ${this.inFeatures}]`,
      );
    const outer = x.shape.slice(0, -1);
    return { rows: x.rank === 2 ? x : reshape(x, [sizeOf(outer), features]), outer };
  }

  protected override shown(): string {
    return `inFeatures=${this.inFeatures}, nClasses=${this.nClasses}`;
  }
}

/** Refuses what is no number of things. */
export function checkSize(place: string, of: string, size: unknown): void {
  if (!Number.isSafeInteger(size) || (size as number) < 1)
    throw new ShapeError(place, `the size ${showValue(size)} is not a number of ${of}`, "give 1, 2, 3, …");
}

/** Losses [N] as one number, or in the shape of the rows. */
function reduced<D extends FloatDType>(
  losses: Tensor<Shape, D>,
  outer: readonly number[],
  counted: number,
  reduction: Reduction,
): Tensor<Shape, D> {
  if (reduction === "none") return reshape(losses, outer);
  const total = sum(losses as never) as Tensor<Shape, D>;
  return reduction === "sum" ? total : (mul(total, 1 / Math.max(1, counted)) as Tensor<Shape, D>);
}

// ---------------------------------------------------------------------------------------------------------------
// Integers on the host

/** Integers of a tensor or an array, where they can be read at once. */
function onHost(place: string, name: string, value: unknown): Int32Array {
  if (value instanceof Tensor) {
    if (value.dtype !== "i32")
      throw new DTypeError(place, `${name} holds ${value.dtype}`, "give class indices as i32");
    if (value.device === "webgpu" && value.host === null)
      throw new DeviceError(
        place,
        `${name} was computed on webgpu, and rows are sorted by class on the host`,
        `read it first: Int32Array.from(await ${name}.data())`,
      );
    return hostCopy(value) as Int32Array;
  }
  if (!(value instanceof Int32Array) && !Array.isArray(value))
    throw new ArgumentError(
      place,
      `${name} is ${showValue(value)}`,
      "give class indices as an i32 tensor or an array of integers",
    );
  const at = Array.prototype.findIndex.call(value, (v: unknown) => !Number.isInteger(v));
  if (at >= 0) throw new DomainError(place, `${name}[${at}] is ${showValue(value[at])}`, "give integers");
  return Int32Array.from(value as readonly number[]);
}

/** The class of each row: checked, and −1 where the row is to be left out. */
export function classesOf(
  place: string,
  name: string,
  target: unknown,
  outer: readonly number[],
  classes: number,
  ignore?: number,
): Int32Array {
  const ids = onHost(place, name, target);
  const fits = target instanceof Tensor ? sameShape(target.shape, outer) : ids.length === sizeOf(outer);
  if (!fits)
    throw new ShapeError(
      place,
      `${name} of shape ${showShape(target instanceof Tensor ? target.shape : [ids.length])} does not give one class for each of the rows ${showShape(outer)}`,
      `give shape ${showShape(outer)}`,
    );
  return ids.map((id, i) => {
    if (id === ignore) return -1;
    if (id < 0 || id >= classes)
      throw new DomainError(place, `${name}[${i}] is ${id}`, `class indices lie in [0, ${classes})`);
    return id;
  });
}

/** Integers as a tensor beside another. */
export const indices = (beside: Tensor, data: Int32Array): Tensor<Shape, "i32"> =>
  fromHost(beside.backend, "i32", [data.length], data, "tensor");

/** Numbers as a tensor of the element type of another, beside it. */
export function numbers<D extends FloatDType>(
  beside: Tensor<Shape, D>,
  data: ArrayLike<number>,
): Tensor<Shape, D> {
  const array = new dtypes[beside.dtype].array(data.length);
  array.set(data);
  return fromHost(beside.backend, beside.dtype, [data.length], array, "tensor");
}

/** Things in the order of their buckets: bucket b holds `order[starts[b]]` … `order[starts[b + 1] − 1]`, ascending. */
export interface Buckets {
  readonly order: Int32Array;
  readonly starts: Int32Array;
}

/** Puts 0, 1, 2, … into buckets by a counting sort; a key of −1 leaves one out. */
export function bucketed(keys: Int32Array, count: number): Buckets {
  const starts = new Int32Array(count + 1);
  for (const key of keys) if (key >= 0) starts[key + 1]!++;
  for (let b = 0; b < count; b++) starts[b + 1]! += starts[b]!;
  const next = starts.slice(0, count);
  const order = new Int32Array(starts[count]!);
  keys.forEach((key, i) => {
    if (key >= 0) order[next[key]!++] = i;
  });
  return { order, starts };
}

/** What a bucket holds. */
export const bucket = ({ order, starts }: Buckets, b: number): Int32Array =>
  order.subarray(starts[b]!, starts[b + 1]!);

/** Lists one after the other. */
export function joined(lists: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
