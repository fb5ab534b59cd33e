// Cross-entropy of a linear layer without the tensor of its scores: they are made tile by tile, folded into a few numbers a
// row, and forgotten. Products and checks are `tiles.ts`; the losses with exact zeros are `fused-sparse.ts`.

import { customOp } from "../core/custom.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions, describe, type Op, rowMajor, sameBackend } from "../core/op.ts";
import { type Reduction, reduceLosses, reductionOf } from "../core/rowloss.ts";
import { IGNORED, type Labels } from "../core/rowop.ts";
import { type Shape, sameShape } from "../core/shape.ts";
import { stopGradient } from "../core/tape.ts";
import { checkTensor, type Tensor, viewOf } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import * as ops from "../ops/elementwise.ts";
import { take } from "../ops/indexing.ts";
import { logsumexp } from "../ops/maps/softmax.ts";
import { linear } from "../ops/matmul.ts";
import { concat } from "../ops/movement.ts";
import { argmax as argmaxOf, sum as sumOf } from "../ops/reduce.ts";
import { crossEntropy } from "./cross-entropy.ts";
import {
  addGradients,
  type Extra,
  type Float,
  isFiltered,
  lossOfRows,
  part,
  type Seen,
  type Settings,
  seen,
  type Upstream,
} from "./fused-tiles.ts";
import {
  type ChunkOptions,
  checkLayer,
  chunkSize,
  inverse,
  Layer,
  numberOf,
  type Span,
  type Sums,
  spans,
} from "./tiles.ts";

/** Options of `fusedLinearCrossEntropy`. */
export interface FusedLinearCrossEntropyOptions<E extends Extra = Extra> extends ChunkOptions {
  /** A weight for each class, shape [V]; a constant. */
  readonly classWeight?: Tensor;
  /** ε in [0, 1]: the target is mixed with the uniform distribution. */
  readonly labelSmoothing?: number;
  /** λ ≥ 0 of the penalty λ·(log Σ eᶻ)², which keeps the normaliser near 1. */
  readonly zLoss?: number;
  /** c > 0: scores become c·tanh(z/c). */
  readonly softCap?: number;
  /** The class index that marks rows to leave out; −100 by default. */
  readonly ignoreIndex?: number;
  readonly reduction?: Reduction;
  /**
   * "rows": the scores of some rows at a time, which are kept until the gradient is computed, in the forward pass. "tiles":
   * scores are computed again for the gradient, and nothing is kept but two numbers a row. "auto" (default): "rows" for one
   * number.
   */
  readonly schedule?: "auto" | "rows" | "tiles";
  /**
   * Gradients below which a tile adds nothing to that of x, or to those of weight and bias; 0 (default): all is exact. A
   * device that cannot be read at once leaves nothing out.
   */
  readonly filterX?: number;
  readonly filterW?: number;
  /** What else to give, one number a row: then the result is a record with the loss among it. Rows left out have 0. */
  readonly returns?: readonly E[];
}

// ---------------------------------------------------------------------------------------------------------------
// Options

const known: readonly string[] = [
  "classWeight",
  "labelSmoothing",
  "zLoss",
  "softCap",
  "ignoreIndex",
  "reduction",
  "schedule",
  "chunkRows",
  "chunkClasses",
  "filterX",
  "filterW",
  "returns",
];
const extras: readonly Extra[] = ["lse", "argmax", "targetLogProb"];
const name = "fusedLinearCrossEntropy";

function checkChoices(
  { schedule = "auto", returns = [], softCap }: FusedLinearCrossEntropyOptions,
  reduction: Reduction,
): void {
  if (!["auto", "rows", "tiles"].includes(schedule))
    throw new ArgumentError(name, `schedule is ${showValue(schedule)}`, 'give "auto", "rows" or "tiles"');
  if (schedule === "rows" && reduction === "none") {
    throw new ArgumentError(
      name,
      'schedule "rows" computes the gradient of one number, and reduction "none" gives one a row',
      'give "tiles" or "auto"',
    );
  }
  const list: unknown = returns;
  const other = Array.isArray(list) ? list.find((e) => !extras.includes(e)) : list;
  if (other !== undefined)
    throw new ArgumentError(
      name,
      `returns holds ${showValue(other)}`,
      `give an array of ${extras.join(", ")}`,
    );
  if (softCap !== undefined) numberOf(name, "softCap", softCap, (c) => c > 0, "give a number above 0");
}

function checkClassWeight(classWeight: unknown, x: Tensor, classes: number): asserts classWeight is Float {
  checkTensor(`${name}: classWeight`, classWeight);
  sameBackend(name, [x, classWeight]);
  if (classWeight.dtype !== x.dtype)
    throw new DTypeError(
      name,
      `classWeight is ${classWeight.dtype} beside x of ${x.dtype}`,
      `give ${x.dtype}`,
    );
  if (!sameShape(classWeight.shape, [classes]))
    throw new ShapeError(
      name,
      `classWeight of shape ${showShape(classWeight.shape)} beside ${classes} classes`,
      `give shape [${classes}]`,
    );
}

/** What options say, checked, with what follows from the classes of the rows. */
function settingsOf(
  options: FusedLinearCrossEntropyOptions,
  x: Float,
  weight: Float,
  labels: Tensor<Shape, "i32">,
): Settings {
  const { classWeight, ignoreIndex = IGNORED, returns = [] } = options;
  const softCap = options.softCap === Number.POSITIVE_INFINITY ? undefined : options.softCap;
  const reduction = reductionOf(name, options.reduction);
  checkChoices(options, reduction);
  const [classes, features] = weight.shape as [number, number];
  if (classWeight !== undefined) checkClassWeight(classWeight, x, classes);
  const from0 = (key: "zLoss" | "filterX" | "filterW"): number =>
    numberOf(
      name,
      key,
      options[key] ?? 0,
      (v) => v >= 0 && v < Number.POSITIVE_INFINITY,
      "give a finite number from 0 on",
    );
  const labelSmoothing = numberOf(
    name,
    "labelSmoothing",
    options.labelSmoothing ?? 0,
    (v) => v >= 0 && v <= 1,
    "give a number from 0 to 1",
  );
  const inRows = options.schedule !== "tiles" && reduction !== "none";
  const rows = labels.size;

  const { dtype } = x;
  const counted = ops.sub(1, ops.cast(ops.equal(labels, ignoreIndex), dtype)) as Float;
  const weights = classWeight && (rowMajor(stopGradient(classWeight)) as Float);
  // Of what is no class some weight is read, which then counts for nothing.
  const readable = ops.maximum(ops.minimum(labels, classes - 1), 0);
  return {
    labels,
    classes,
    target: ops.cast(labels, dtype) as Float,
    ignoreIndex,
    counted,
    classWeight: weights,
    w: weights ? (ops.mul(counted, take(weights, readable as never) as Float) as Float) : counted,
    labelSmoothing,
    zLoss: from0("zLoss"),
    softCap,
    share: labelSmoothing / classes,
    total: weights && labelSmoothing > 0 ? (sumOf(weights as never) as Float) : classes,
    filterX: from0("filterX"),
    filterW: from0("filterW"),
    reduction,
    returns: [...new Set(returns)],
    inRows,
    chunkRows: chunkSize(
      name,
      options,
      "chunkRows",
      // Fewer rows make products slow, more take memory; all of them at once need none if they are no more than the
      // features.
      rows <= Math.min(features, 128) ? Math.max(rows, 1) : inRows && features < 128 ? 64 : 128,
    ),
    chunkClasses: chunkSize(name, options, "chunkClasses", x.device === "webgpu" ? 4096 : 512),
  };
}

// ---------------------------------------------------------------------------------------------------------------
// The loss

/** The result from the losses of the rows and the penalties on them, each divided by what it is a mean over. */
function reduced(loss: Float, penalty: Float | undefined, { w, counted, reduction }: Settings): Float {
  if (reduction === "none") return (penalty ? ops.add(loss, penalty) : loss) as Float;
  const main = reduceLosses(loss, w, reduction) as Float;
  return penalty ? (ops.add(main, reduceLosses(penalty, counted, reduction)) as Float) : main;
}

/** What the loss is, in ordinary ops on all scores: in the order of `returns`, the loss before. */
function unfused(settings: Settings, x: Float, weight: Float, bias: Float | undefined): Float[] {
  const { labels, ignoreIndex, classWeight, labelSmoothing, zLoss, softCap, reduction, returns } = settings;
  const scores = linear(x, weight as never, bias as never) as Float;
  const z = (
    softCap === undefined ? scores : ops.mul(softCap, ops.tanh(ops.div(scores, softCap) as Float))
  ) as Float;
  const common = { labelSmoothing, ignoreIndex, reduction, ...(classWeight ? { weight: classWeight } : {}) };
  const loss = crossEntropy(z, labels, common) as Float;
  const counts = ops.greater(settings.counted, 0) as Tensor<Shape, "bool">;
  const lse = logsumexp(z) as Float;
  const penalty = (): Float => ops.where(counts, ops.mul(zLoss, ops.square(lse)) as Float, 0) as Float;
  const logP = (): Float => {
    const own = crossEntropy(z, labels, { ignoreIndex, reduction: "none" }) as Float;
    return ops.neg(own) as Float;
  };
  const of = {
    lse: () => ops.where(counts, lse, 0) as Float,
    argmax: () => argmaxOf(z, { axis: -1 }) as unknown as Float,
    targetLogProb: logP,
  };
  const all =
    zLoss > 0
      ? (ops.add(
          loss,
          reduction === "none" ? penalty() : reduceLosses(penalty(), settings.counted, reduction),
        ) as Float)
      : loss;
  return [all, ...returns.map((e) => of[e]())];
}

/** The result from what is known of all rows, and what is returned besides. */
function valuesOf(all: readonly Seen[], settings: Settings): Float[] {
  const { target, w, counted, labelSmoothing, share, total, zLoss, returns } = settings;
  const classes = settings.classes;
  const each = all.map(({ rows, m, rest, own, spread }) => {
    const given = {
      target: part(target, rows),
      classes,
      m,
      own,
      spread,
      w: part(w, rows),
      counted: part(counted, rows),
      ...(share > 0 ? { labelSmoothing, share, total } : {}),
      ...(zLoss > 0 ? { zLoss } : {}),
    };
    return lossOfRows.call(rest, given) as Float[];
  });
  const joined = (parts: readonly Float[]): Float =>
    parts.length === 1 ? parts[0]! : (concat(parts as never) as Float);
  const column = (k: number): Float => joined(each.map((results) => results[k]!));
  const of = {
    lse: () => column(2),
    targetLogProb: () => column(3),
    argmax: () => ops.cast(joined(all.map(({ best }) => best!)), "i32") as unknown as Float,
  };
  return [
    reduced(column(0), zLoss > 0 ? column(1) : undefined, settings),
    ...returns.map((key) => of[key]()),
  ];
}

/** What is kept for the way back: what is known of the rows, and gradients that are there already. */
interface Kept {
  readonly known: readonly Seen[];
  readonly gradients: readonly (Tensor | undefined)[] | undefined;
}

type Arguments = readonly [x: Float, weight: Float, bias: Float | undefined];

/** Loss and gradients of all rows, in groups whose scores are kept from the one to the other. */
function inGroups(layer: Layer, upstream: Upstream, sums: Sums, settings: Settings): Seen[] {
  const [first, ...others] = spans(layer.rows, settings.chunkRows) as [Span, ...Span[]];
  const { weight } = sums;
  // Where the gradient of weight will be there is room for the scores of as many rows as there are features.
  const room = weight && first.count <= layer.features && !isFiltered(settings);
  const most = room ? others[0]?.count : first.count;
  const space = most === undefined ? undefined : layer.space(most * layer.classes);
  const groups = room
    ? [[first, ...others.slice(0, 1)], ...others.slice(1).map((rows) => [rows])]
    : [first, ...others].map((rows) => [rows]);
  return groups.flatMap((group) => {
    const all = group.map((rows) => {
      const kept =
        room && rows === first ? { at: weight, step: layer.features } : { at: space!, step: rows.count };
      return seen(layer, rows, settings, kept);
    });
    addGradients(layer, all, upstream, settings, sums);
    return all.map((one) => ({ ...one, kept: undefined }));
  });
}

/** A gradient times the cotangent of a loss, which is mostly 1. */
function scaled(t: Tensor, g: Tensor): Tensor {
  const number = g.held === null && g.host !== null ? g.host[0] : undefined;
  return number === 1
    ? viewOf(t, t.shape, null, t.offset)
    : (ops.mul((number ?? g) as Float, t as Float) as Tensor);
}

const gradientsOf = ({ x, weight, bias }: Sums): readonly (Tensor | undefined)[] => [x, weight, bias];

/** The cotangents of the rows for a loss whose own is `g`. */
function upstreamOf(g: Float, { reduction, w, counted, zLoss }: Settings): Upstream {
  const shared = (weights: Float): Float =>
    reduction === "mean" ? (ops.mul(g, inverse(sumOf(weights as never) as Float)) as Float) : g;
  const loss = shared(w);
  return { loss, penalty: zLoss > 0 ? shared(counted) : loss };
}

/** The op of these settings: the loss, and what is returned besides. */
const fused = (settings: Settings): ((...args: Arguments) => readonly Float[]) =>
  customOp<Arguments, readonly Float[], Kept>(name, {
    forward: (args, wanted) => {
      const layer = new Layer(...args);
      if (!settings.inRows || !wanted.includes(true)) {
        const known = spans(layer.rows, settings.chunkRows).map((rows) => seen(layer, rows, settings));
        return { value: valuesOf(known, settings), saved: { known, gradients: undefined } };
      }
      const sums = layer.sums(wanted, args, isFiltered(settings));
      const known = inGroups(layer, upstreamOf(layer.number(1), settings), sums, settings);
      return { value: valuesOf(known, settings), saved: { known, gradients: gradientsOf(sums) } };
    },
    vjp: ([loss, ...others], { args, saved: { known, gradients }, wanted }) => {
      const of = (key: Extra): Float | undefined =>
        others[settings.returns.indexOf(key)] as Float | undefined;
      const [lse, logP] = [of("lse"), of("targetLogProb")];
      if (gradients && !lse && !logP)
        return gradients.map((t, i) => (wanted[i] ? scaled(t!, loss!) : undefined));
      const layer = new Layer(...args);
      const sums = layer.sums(wanted, args, isFiltered(settings));
      const upstream = upstreamOf((loss as Float | undefined) ?? layer.number(0), settings);
      addGradients(layer, known, { ...upstream, lse, logP }, settings, sums);
      return gradientsOf(sums);
    },
    definition: (...args) => unfused(settings, ...args),
  });

/** The type of `fusedLinearCrossEntropy`. */
export interface FusedLinearCrossEntropy extends Op {
  <D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options?: FusedLinearCrossEntropyOptions & { readonly returns?: never },
  ): Tensor<Shape, D>;
  <D extends FloatDType, E extends Extra>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options: FusedLinearCrossEntropyOptions<E>,
  ): { readonly [K in "loss" | E]: Tensor<Shape, K extends "argmax" ? "i32" : D> };
}

/**
 * Cross-entropy of a linear layer, crossEntropy(linear(x, weight, bias), target), without a tensor of its scores: of N rows
 * and V classes only a tile is there at a time, and with the gradient no more than that of the layer. Trains output layers
 * whose N·V scores would not fit, at the speed of those that do.
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...] of class indices; float tensors of one type. Gives one
 * number, or with `reduction: "none"` one a row. A mean divides by the weights of the rows that count (the penalty by their
 * number), and is 0 where none does. `returns` asks for log Σ eᶻ, the best class and log p of the right one besides. x,
 * weight and bias are differentiable, any number of times: second derivatives are those of the layer with all its scores.
 * Throws ShapeError where sizes do not fit, and DomainError for classes that are not there and options outside their range.
 *
 * Scores −∞, from a bias, are masked: probability 0; where the right class is, the loss is ∞.
 *
 * @formula L = -\sum_j w_j\,q_j\log p_j+\lambda\log^2\sum_j e^{z_j},\qquad z=c\tanh\frac{Wx+b}{c},\quad
 *   p=\mathrm{softmax}(z),\quad q=(1-\varepsilon)\,e_t+\frac\varepsilon V
 * @gradient dz = p\Bigl(\sum_j w_j\,q_j+2\lambda\log\sum_j e^{z_j}\Bigr)-w\,q,\qquad dx=W^\top dz,\quad dW=dz\,x^\top
 * @remarks c is `softCap` (∞ by default), ε `labelSmoothing`, λ `zLoss` and w `classWeight`.
 * @see crossEntropy: of scores that are there
 * @see fusedLinearSparsemaxLoss: with exact zeros
 * @example fusedLinearCrossEntropy(tensor([[1, 2]]), tensor([[0, 0], [1, 0], [0, 0.5]]), undefined, [1]) // 0.8620
 */
export const fusedLinearCrossEntropy: FusedLinearCrossEntropy = /* @__PURE__ */ describe(
  ((
    x: Float,
    weight: Float,
    bias: Float | undefined,
    target: Labels,
    options?: FusedLinearCrossEntropyOptions,
  ) => {
    checkOptions(name, options, known);
    const labels = checkLayer(name, x, weight, bias, target, options?.ignoreIndex);
    const flat = reshape(labels, [labels.size]);
    const settings = settingsOf(options ?? {}, x, weight, flat);
    const rows = reshape(x, [flat.size, weight.shape[1]!]) as Float;
    const all = rows.size === 0 ? unfused(settings, rows, weight, bias) : fused(settings)(rows, weight, bias);
    const shaped = all.map((t) => (t.rank === 1 ? reshape(t, labels.shape) : t));
    const { returns } = settings;
    if (returns.length === 0) return shaped[0]!;
    return Object.fromEntries(["loss", ...returns].map((key, k) => [key, shaped[k]!]));
  }) as unknown as FusedLinearCrossEntropy,
  {
    name,
    kind: "structure",
    doc: "Cross-entropy of a linear layer without the tensor of its scores.",
    source: "Wijmans et al. 2025, algorithms 1–4; Hsu et al. 2024",
    laws: [],
    options: known,
    constants: ["classWeight"],
    domain: { x: { min: -2, max: 2 }, classWeight: { min: 0.5, max: 2 } },
    examples: [
      {
        args: [
          [[1, 2]],
          [
            [0, 0],
            [1, 0],
            [0, 0.5],
          ],
          undefined,
          { i32: [1] },
        ],
        gives: 0.8619948040582511,
      },
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          [
            [0, 0],
            [1, 0],
            [0, 0.5],
          ],
          [0, 1, 0],
          { i32: [1, -100] },
          { labelSmoothing: 0.5, zLoss: 0.25, softCap: 4, reduction: "none" },
        ],
        gives: [2.2354089228542935, 0],
      },
    ],
  },
);
