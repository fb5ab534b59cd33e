// What cross-entropy makes of the tiles of a linear layer's scores: their statistics, the loss of a row from these, and the
// gradient of a tile. All are row formulas; when a tile is computed is decided at the end of this file, options are
// `fused.ts`'s.

import type { FloatDType } from "../core/dtype.ts";
import { rowMajor } from "../core/op.ts";
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
import type { Reduction } from "../core/rowloss.ts";
import { type Inputs, RowOp } from "../core/rowop.ts";
import { scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { hostCopy, type Tensor, viewOf } from "../core/tensor.ts";
import { exp, log1p, tanh } from "../core/words.ts";
import { logSumExpCentred } from "../ops/maps/softmax.ts";
import { type Layer, type Span, type Sums, spans } from "./tiles.ts";

/** What `fusedLinearCrossEntropy` gives on request besides the loss. */
export type Extra = "lse" | "argmax" | "targetLogProb";

export type Float = Tensor<Shape, FloatDType>;

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
 * Takes the scores of a tile up into what is known of each row: the largest score m, Σ e^(z − m) over the others, the score
 * of its class; if wanted Σ w·(z − m) with the sum of the weights, and the place of the largest.
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
export const lossOfRows: RowOp = /* @__PURE__ */ new RowOp("fusedLinearCrossEntropy", {
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
export interface Seen {
  readonly rows: Span;
  readonly m: Float;
  readonly rest: Float;
  readonly own: Float;
  readonly spread?: Float | undefined;
  readonly best?: Float | undefined;
  /** Where their scores are, if they were kept. */
  readonly kept?: KeptScores | undefined;
}

/** Where scores are kept for the gradient: those of a tile begin at its first class times `step`. */
export interface KeptScores {
  readonly at: Tensor;
  readonly step: number;
}

/** Cotangents: of the loss and the penalty (one number, or one a row), and of what else is given of each row. */
export interface Upstream {
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

/** Whether tiles may be left out. */
export const isFiltered = ({ filterX, filterW }: Settings): boolean => filterX > 0 || filterW > 0;

/** Rows, or classes, of a vector. */
export const part = (t: Tensor, { start, count }: Span): Float =>
  (t.size === 1 ? t : unseen(viewOf(t, [count], null, t.offset + start))) as Float;

/** Marks what no user sees: small or not, its scope copies nothing out. */
function unseen<T extends Tensor>(t: T): T {
  t.hidden = true;
  return t;
}

/** The tiles of some rows, each folded into what is known. */
export function seen(layer: Layer, rows: Span, settings: Settings, kept?: KeptScores): Seen {
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
        return statistics.call(z, given).map(unseen) as Float[];
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
      kept,
    };
  });
}

/** Adds the gradients of rows that were seen, tile by tile, from scores that were kept or are computed again. */
export function addGradients(
  layer: Layer,
  all: readonly Seen[],
  upstream: Upstream,
  settings: Settings,
  sums: Sums,
): void {
  const { chunkClasses, classWeight, softCap, share, labelSmoothing, zLoss, total, filterX, filterW } =
    settings;
  const zeroed = isFiltered(settings);
  // A GPU is told what to compute before anything can be read.
  const filters = zeroed && layer.backend.name !== "webgpu";
  scope(() => {
    const most = Math.max(...all.map(({ rows }) => rows.count)) * Math.min(chunkClasses, layer.classes);
    const space = all.every(({ kept }) => kept) ? undefined : layer.space(most);
    const factors = all.map(({ rows, m, rest }) => {
      // A cotangent may be one number that is repeated.
      const of = (t: Float | undefined): Float | undefined => t && part(rowMajor(t), rows);
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
      return coefficients.call(rest, given) as [Float, Float, Float];
    });
    const tiles = spans(layer.classes, chunkClasses);
    // The last first: they are those that caches still hold.
    for (const tile of tiles.reverse()) {
      all.forEach(({ rows, m, kept }, i) => {
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
          const dz = gradient.call(z, given)[0]!;
          const largest = filters ? Math.max(...hostCopy(magnitude.call(dz, {})[0]!)) : Number.NaN;
          const rest = {
            ...sums,
            ...(largest < filterX ? { x: undefined } : {}),
            ...(largest < filterW ? { weight: undefined, bias: undefined } : {}),
          };
          layer.addTo(filters ? rest : sums, dz, rows, tile, {
            x: zeroed || tile !== tiles[0],
            weight: zeroed || rows.start > 0,
          });
        });
      });
    }
  });
}
