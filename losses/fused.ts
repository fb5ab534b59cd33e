// Cross-entropy of a linear layer without the tensor of its scores: they are made tile by tile, folded into a few numbers a row,
// and forgotten. Products and checks are `tiles.ts`; the losses with exact zeros are `fused-sparse.ts`.

import { customOp } from "../core/custom.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions, describe, type Op, rowMajor, sameBackend } from "../core/op.ts";
import {
  add,
  and,
  argmax,
  constantOf,
  div,
  equal,
  greater,
  greaterEqual,
  less,
  max,
  maximum,
  minimum,
  mul,
  mulZero,
  n,
  neg,
  oneHot,
  pick,
  type Row,
  relu,
  type Scalar,
  select,
  sub,
  sum,
  type Value,
} from "../core/row/expr.ts";
import { type Reduction, reduceLosses, reductionOf } from "../core/rowloss.ts";
import { IGNORED, type Inputs, type Labels, RowOp } from "../core/rowop.ts";
import { scope } from "../core/scope.ts";
import { type Shape, sameShape } from "../core/shape.ts";
import { stopGradient } from "../core/tape.ts";
import { checkTensor, hostCopy, type Tensor, viewOf } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { exp, log1p, tanh } from "../core/words.ts";
import * as ops from "../ops/elementwise.ts";
import { gather, take } from "../ops/indexing.ts";
import { logSumExpCentred, logsumexp } from "../ops/maps/softmax.ts";
import { linear } from "../ops/matmul.ts";
import { concat } from "../ops/movement.ts";
import { argmax as argmaxOf, sum as sumOf } from "../ops/reduce.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { checkLayer, Layer, type Span, type Sums, spans } from "./tiles.ts";

/** What `fusedLinearCrossEntropy` gives on request besides the loss. */
type Extra = "lse" | "argmax" | "targetLogProb";

/** Options of `fusedLinearCrossEntropy`. */
export interface FusedLinearCrossEntropyOptions<E extends Extra = Extra> {
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
   * "rows": the scores of some rows at a time, which are kept until the gradient is computed, in the forward pass. "tiles": scores are
   * computed again for the gradient, and nothing is kept but two numbers a row. "auto" (default): "rows" for one number.
   */
  readonly schedule?: "auto" | "rows" | "tiles";
  /** Rows, and classes, of a tile. */
  readonly chunkRows?: number;
  readonly chunkClasses?: number;
  /**
   * Gradients below which a tile adds nothing to that of x, or to those of weight and bias; 0 (default): all is exact. A device that
   * cannot be read at once leaves nothing out.
   */
  readonly filterX?: number;
  readonly filterW?: number;
  /** What else to give, one number a row: then the result is a record with the loss among it. Rows left out have 0. */
  readonly returns?: readonly E[];
}

type Float = Tensor<Shape, FloatDType>;

// ---------------------------------------------------------------------------------------------------------------
// What happens to a tile

const cap = { is: "scalar", default: Number.POSITIVE_INFINITY } as const;
const classes = { is: "classes", optional: true } as const;
const perRow = { is: "scalar" } as const;
const orNone = { is: "scalar", default: 0 } as const;
const isGiven = (e: Scalar): boolean => constantOf(e) === undefined;

const statisticsOf = {
  target: perRow,
  base: perRow,
  m: perRow,
  rest: perRow,
  own: perRow,
  spread: orNone,
  seen: orNone,
  best: orNone,
  softCap: cap,
  classWeight: classes,
} as const;

/**
 * Takes the scores of a tile up into what is known of each row: the largest score m, Σ e^(z − m) over the others, the score of its
 * class; if wanted Σ w·(z − m) with the sum of the weights, and the place of the largest.
 */
const statistics: RowOp = /* @__PURE__ */ new RowOp("fusedLinearCrossEntropy", {
  gives: "scalar",
  params: statisticsOf,
  nanRows: false,
  program: (given: Inputs<typeof statisticsOf>) => {
    const { x, target, base, m, rest, own, spread, seen, best, softCap, classWeight } = given;
    const z = capped(x, softCap);
    const top = max(z);
    const centred = sub(z, top);
    const masked = equal(top, Number.NEGATIVE_INFINITY);
    const others = select(masked, 0, othersOf(centred));
    const [large, small] = [maximum(m, top), minimum(m, top)];
    const factor = select(equal(small, Number.NEGATIVE_INFINITY), 0, exp(sub(small, large)));
    const rises = greater(top, m);
    const label = sub(target, base);
    const results: Value[] = [
      large,
      select(rises, add(others, mul(factor, add(1, rest))), add(rest, mul(factor, add(1, others)))),
      select(and(greaterEqual(label, 0), less(label, n)), pick(z, label), own),
    ];
    if (isGiven(spread)) {
      const weights = classWeight ? sum(classWeight) : n;
      const inside = sum(classWeight ? mulZero(classWeight, centred) : centred);
      const before = select(equal(seen, 0), 0, add(spread, mul(seen, sub(m, large))));
      const here = add(inside, mul(weights, sub(top, large)));
      results.push(add(before, select(masked, Number.NEGATIVE_INFINITY, here)), add(seen, weights));
    }
    if (isGiven(best)) results.push(select(rises, add(base, argmax(z)), best));
    return { results };
  },
});

const gradientOf = {
  target: perRow,
  ignoreIndex: perRow,
  base: perRow,
  m: perRow,
  scale: perRow,
  ofOwn: perRow,
  share: orNone,
  softCap: cap,
  classWeight: classes,
} as const;

/** The gradient of a tile of scores: scale·e^(z − m) − share·w, and ofOwn less at the row's class. */
const gradient: RowOp = /* @__PURE__ */ new RowOp("fusedLinearCrossEntropyGradient", {
  gives: "row",
  params: gradientOf,
  nanRows: false,
  program: (given: Inputs<typeof gradientOf>) => {
    const { x, target, ignoreIndex, base, m, scale, ofOwn, share, softCap, classWeight } = given;
    const z = capped(x, softCap);
    const p = mul(scale, exp(neg(relu(sub(m, z)))));
    const uniform = isGiven(share) ? (classWeight ? mul(share, classWeight) : share) : 0;
    const dz = sub(sub(p, uniform), oneHot(sub(target, base), ofOwn)) as Row;
    const t = div(z, softCap);
    const slope = constantOf(softCap) === undefined ? mul(sub(1, t), add(1, t)) : 1;
    return { results: [select(equal(target, ignoreIndex), 0, mul(slope, dz))] };
  },
});

/** The largest magnitude of each row. */
const magnitude: RowOp = /* @__PURE__ */ new RowOp("magnitude", {
  gives: "scalar",
  params: {},
  nanRows: false,
  program: ({ x }: Inputs<object & Record<never, never>>) => ({ results: [max(maximum(x, neg(x)))] }),
});

const capped = (x: Row, softCap: Scalar): Row =>
  constantOf(softCap) === undefined ? (mul(softCap, tanh(div(x, softCap))) as Row) : x;

/** Σ eᶻ of centred scores without the largest one. */
const othersOf = (centred: Row): Scalar => logSumExpCentred(centred).others;

// ---------------------------------------------------------------------------------------------------------------
// What happens to a row, when all its tiles were seen

const row = { is: "row" } as const;
const rowOrNone = { is: "row", optional: true } as const;

const lossOf = {
  target: row,
  classes: perRow,
  m: row,
  own: row,
  spread: rowOrNone,
  w: row,
  counted: row,
  labelSmoothing: orNone,
  share: orNone,
  total: orNone,
  zLoss: orNone,
} as const;

/** Of vectors of what is known: the loss of each row, the penalty, log Σ eᶻ, and log p of the row's class. */
const lossOfRows: RowOp = /* @__PURE__ */ new RowOp("fusedLinearCrossEntropy", {
  gives: "row",
  params: lossOf,
  nanRows: false,
  program: (given: Inputs<typeof lossOf>) => {
    const { x: rest, target, m, own, spread, w, counted, labelSmoothing, share, total, zLoss } = given;
    // Labels that a device computed are not checked at the call: one that is no class has no loss.
    const isClass = and(greaterEqual(target, 0), less(target, given.classes));
    const above = log1p(rest);
    // The large scores are taken from one another before the small term is added.
    const nll = select(isClass, add(above, sub(m, own)), Number.NaN);
    const lse = add(above, m);
    const uniform = spread ? mul(share, sub(mul(total, above), spread)) : 0;
    const results = [
      add(mul(sub(1, labelSmoothing), mul(w, nll)), uniform),
      mul(zLoss, mul(lse, lse)),
      lse,
      neg(nll),
    ];
    return { results: results.map((e) => select(equal(counted, 0), 0, e)) };
  },
});

const coefficientsOf = {
  m: row,
  w: row,
  counted: row,
  loss: row,
  penalty: rowOrNone,
  lse: rowOrNone,
  logP: rowOrNone,
  labelSmoothing: orNone,
  share: orNone,
  total: orNone,
  zLoss: orNone,
} as const;

/** Of vectors of cotangents: what the gradient of a tile takes for each row, `scale`, `ofOwn` and `share`. */
const coefficients: RowOp = /* @__PURE__ */ new RowOp("fusedLinearCrossEntropyGradient", {
  gives: "row",
  params: coefficientsOf,
  nanRows: false,
  program: (given: Inputs<typeof coefficientsOf>) => {
    const { x: rest, m, w, counted, loss, penalty, lse, logP, labelSmoothing, share, total, zLoss } = given;
    const own = mul(loss, mul(sub(1, labelSmoothing), w));
    const uniform = mul(loss, share);
    let all: Value = add(own, mul(uniform, total));
    if (penalty) all = add(all, mul(penalty, mul(mul(2, zLoss), add(log1p(rest), m))));
    if (lse) all = add(all, lse);
    if (logP) all = sub(all, logP);
    const results = [div(all, add(1, rest)), logP ? sub(own, logP) : own, uniform];
    return { results: results.map((e) => select(equal(counted, 0), 0, e)) };
  },
});

// ---------------------------------------------------------------------------------------------------------------
// The two schedules

/** What is known of some rows when all tiles were seen, each a vector. */
interface Seen {
  readonly rows: Span;
  readonly m: Float;
  readonly rest: Float;
  readonly own: Float;
  readonly spread?: Float | undefined;
  readonly best?: Float | undefined;
}

/** Where scores are kept for the gradient: those of a tile begin at its first class times `step`. */
interface KeptScores {
  readonly at: Tensor;
  readonly step: number;
}

/** Cotangents: of the loss and the penalty (one number, or one a row), and of what else is given of each row. */
interface Upstream {
  readonly loss: Float;
  readonly penalty: Float;
  readonly lse?: Float | undefined;
  readonly logP?: Float | undefined;
}

/** What stays the same from tile to tile. */
export interface Settings {
  readonly labels: Tensor<Shape, "i32">;
  readonly classes: number;
  /** The class of each row, as a float. */
  readonly target: Float;
  readonly ignoreIndex: number;
  /** Weights of the rows in a mean, and 1 for those that count. */
  readonly w: Float;
  readonly counted: Float;
  readonly classWeight: Tensor | undefined;
  readonly labelSmoothing: number;
  readonly zLoss: number;
  readonly softCap: number | undefined;
  /** ε/V, and the sum of all weights of classes. */
  readonly share: number;
  readonly total: Float | number;
  readonly chunkClasses: number;
  readonly filterX: number;
  readonly filterW: number;
  readonly reduction: Reduction;
  readonly returns: readonly Extra[];
  /** Whether the gradient is computed in the forward pass, from scores that are kept until then. */
  readonly inRows: boolean;
  readonly chunkRows: number;
}

/** Leaves out what is undefined: absent arguments simplify formulas. */
const present = (given: { readonly [name: string]: unknown }): { readonly [name: string]: unknown } =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

const part = (t: Tensor, { start, count }: Span): Float =>
  (t.size === 1 ? t : viewOf(t, [count], null, t.offset + start)) as Float;

/** The tiles of some rows, each folded into what is known. */
function seen(layer: Layer, rows: Span, settings: Settings, kept: KeptScores | undefined): Seen {
  const { chunkClasses, classWeight, softCap, share, returns } = settings;
  const best = returns.includes("argmax");
  return scope(() => {
    const space = kept?.at ?? layer.space(rows.count * Math.min(chunkClasses, layer.classes));
    let known: readonly (Float | number)[] = [Number.NEGATIVE_INFINITY, 0, 0, 0, 0, 0];
    for (const tile of spans(layer.classes, chunkClasses)) {
      known = scope(() => {
        const [m, rest, own, ...more] = known;
        const z = layer.scores(rows, tile, space, kept ? tile.start * kept.step : 0);
        const given = {
          target: part(settings.target, rows),
          base: tile.start,
          m,
          rest,
          own,
          spread: share > 0 ? more[0] : undefined,
          seen: share > 0 ? more[1] : undefined,
          best: best ? more.at(-1) : undefined,
          softCap,
          classWeight: share > 0 && classWeight ? part(classWeight, tile) : undefined,
        };
        return statistics.call(z, present(given)) as Float[];
      });
    }
    const [m, rest, own, ...more] = known as readonly Float[];
    return {
      rows,
      m: m!,
      rest: rest!,
      own: own!,
      spread: share > 0 ? more[0] : undefined,
      best: best ? more.at(-1) : undefined,
    };
  });
}

/** Adds the gradients of rows that were seen, tile by tile, from scores that were kept or are computed again. */
function addGradients(
  layer: Layer,
  all: readonly Seen[],
  upstream: Upstream,
  settings: Settings,
  sums: Sums,
  kept?: KeptScores,
): void {
  const { chunkClasses, classWeight, softCap, share, labelSmoothing, zLoss, total, filterX, filterW } =
    settings;
  const { x, weight, bias } = sums;
  // A GPU is told what to compute before anything can be read.
  const filters = (filterX > 0 || filterW > 0) && layer.backend.name !== "webgpu";
  scope(() => {
    const most = Math.max(...all.map(({ rows }) => rows.count)) * Math.min(chunkClasses, layer.classes);
    const space = kept ? undefined : layer.space(most);
    const factors = all.map(({ rows, m, rest }) => {
      const of = (t: Float | undefined): Float | undefined => t && part(t, rows);
      const given = {
        m,
        w: of(settings.w),
        counted: of(settings.counted),
        loss: of(upstream.loss),
        penalty: zLoss > 0 ? of(upstream.penalty) : undefined,
        lse: of(upstream.lse),
        logP: of(upstream.logP),
        ...(share > 0 ? { labelSmoothing, share, total } : {}),
        ...(zLoss > 0 ? { zLoss } : {}),
      };
      return coefficients.call(rest, present(given)) as [Float, Float, Float];
    });
    for (const tile of spans(layer.classes, chunkClasses)) {
      all.forEach(({ rows, m }, i) => {
        scope(() => {
          const z = kept
            ? (viewOf(kept.at, [rows.count, tile.count], null, tile.start * kept.step) as Float)
            : layer.scores(rows, tile, space!);
          const [scale, ofOwn, uniform] = factors[i]!;
          const given = {
            target: part(settings.target, rows),
            ignoreIndex: settings.ignoreIndex,
            base: tile.start,
            m,
            scale,
            ofOwn,
            share: share > 0 ? uniform : undefined,
            softCap,
            classWeight: share > 0 && classWeight ? part(classWeight, tile) : undefined,
          };
          const dz = gradient.call(z, present(given))[0]!;
          const largest = filters ? Math.max(...hostCopy(magnitude.call(dz, {})[0]!)) : Number.NaN;
          const own: Sums = {
            ...sums,
            x: largest < filterX ? undefined : x,
            weight: largest < filterW ? undefined : weight,
            bias: largest < filterW ? undefined : bias,
          };
          const zeroed = isFiltered(settings);
          layer.addTo(own, dz, rows, tile, { x: zeroed || tile.start > 0, weight: zeroed || rows.start > 0 });
        });
      });
    }
  });
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

/** A number among the options, checked. */
function numberOf(key: string, value: unknown, holds: (v: number) => boolean, wayOut: string): number {
  if (typeof value !== "number")
    throw new ArgumentError(name, `${key} is ${showValue(value)}`, "give a number");
  if (!holds(value)) throw new DomainError(name, `${key} is ${value}`, wayOut);
  return value;
}

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
  if (softCap !== undefined) numberOf("softCap", softCap, (c) => c > 0, "give a number above 0");
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
  const { classWeight, softCap, ignoreIndex = IGNORED, returns = [] } = options;
  const reduction = reductionOf(name, options.reduction);
  checkChoices(options, reduction);
  const [classes, features] = weight.shape as [number, number];
  if (classWeight !== undefined) checkClassWeight(classWeight, x, classes);
  const between = (key: "labelSmoothing" | "zLoss" | "filterX" | "filterW", most: number): number =>
    numberOf(key, options[key] ?? 0, (w) => w >= 0 && w <= most, `give a number from 0 to ${most}`);
  const size = (key: "chunkRows" | "chunkClasses", usual: number): number =>
    numberOf(key, options[key] ?? usual, (v) => Number.isInteger(v) && v >= 1, "give 1, 2, 3, …");
  const labelSmoothing = between("labelSmoothing", 1);
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
    zLoss: between("zLoss", Number.MAX_VALUE),
    softCap,
    share: labelSmoothing / classes,
    total: weights && labelSmoothing > 0 ? (sumOf(weights as never) as Float) : classes,
    filterX: between("filterX", Number.MAX_VALUE),
    filterW: between("filterW", Number.MAX_VALUE),
    reduction,
    returns,
    inRows,
    // Rows whose scores are no more numbers than their features are one chunk: there is room for them in the gradient of weight.
    chunkRows: size("chunkRows", inRows ? (rows <= Math.min(features, 128) ? Math.max(rows, 1) : 64) : 128),
    chunkClasses: size("chunkClasses", x.device === "webgpu" ? 4096 : 512),
  };
}

// ---------------------------------------------------------------------------------------------------------------
// The loss

/** 1/total, or 0 where nothing counts. */
function inverse(total: Float): Float {
  const some = ops.greater(total, 0) as Tensor<Shape, "bool">;
  return ops.where(some, ops.div(1, total) as Float, 0) as Float;
}

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
    argmax: () => argmaxOf(z) as unknown as Float,
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
  const { target, classWeight, w, counted, labelSmoothing, share, total, zLoss, returns } = settings;
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
    return lossOfRows.call(rest, present(given)) as Float[];
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

const isFiltered = ({ filterX, filterW }: Settings): boolean => filterX > 0 || filterW > 0;

/** Where the scores of the largest chunk stand: in the gradient of weight before it is one, or in memory of their own. */
function placeFor(layer: Layer, { count }: Span, { weight }: Sums, settings: Settings): KeptScores {
  if (weight && count === layer.rows && count <= layer.features && !isFiltered(settings))
    return { at: weight, step: layer.features };
  return { at: layer.space(count * layer.classes), step: count };
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
      const chunks = spans(layer.rows, settings.chunkRows);
      if (!settings.inRows || !wanted.includes(true)) {
        const known = chunks.map((rows) => seen(layer, rows, settings, undefined));
        return { value: valuesOf(known, settings), saved: { known, gradients: undefined } };
      }
      const sums = layer.sums(wanted, args, isFiltered(settings));
      const kept = placeFor(layer, chunks[0]!, sums, settings);
      const upstream = upstreamOf(layer.number(1), settings);
      const known = chunks.map((rows) => {
        const one = seen(layer, rows, settings, kept);
        addGradients(layer, [one], upstream, settings, sums, kept);
        return one;
      });
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
 * Cross-entropy of a linear layer, crossEntropy(linear(x, weight, bias), target), without a tensor of its scores: of N rows and V
 * classes only a tile is there at a time, and with the gradient no more than that of the layer. Trains output layers whose N·V scores
 * would not fit, at the speed of those that do.
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...] of class indices; float tensors of one type. Gives one number, or with
 * `reduction: "none"` one a row. A mean divides by the weights of the rows that count (the penalty by their number), and is 0 where none
 * does. `returns` asks for log Σ eᶻ, the best class and log p of the right one besides. x, weight and bias are differentiable, any
 * number of times: second derivatives are those of the layer with all its scores. Throws ShapeError where sizes do not fit, and
 * DomainError for classes that are not there and options outside their range.
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
  }) as FusedLinearCrossEntropy,
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
        gives: [0, 0],
      },
    ],
  },
);
