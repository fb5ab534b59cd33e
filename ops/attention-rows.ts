// Attention's formulas: a row is one query against the keys of a tile, or against all. Which rows and which keys is
// `attention-tiles.ts`.

import { map } from "../core/map.ts";
import {
  and,
  constantOf,
  div,
  equal,
  index,
  less,
  max,
  maximum,
  sub as minus,
  neg,
  add as plus,
  type Row,
  type RowMask,
  readBack,
  type Scalar,
  select,
  stop,
  mul as times,
  sum as total,
} from "../core/row/expr.ts";
import { type Params, RowOp } from "../core/rowop.ts";
import type { Tensor } from "../core/tensor.ts";
import { exp, log } from "../core/words.ts";
import { shiftOf } from "./online.ts";

/** What makes a row of products q·k into scores: they are scaled, and those out of sight are −∞. */
const sight = {
  scale: { is: "scalar", default: 1 },
  temperature: { is: "scalar", default: 1, above: 0 },
  /** How many keys of the tile lie within the sight of a query. */
  limit: { is: "scalar", default: Number.POSITIVE_INFINITY },
  mask: { is: "row", stored: "bool", optional: true },
} as const satisfies Params;

interface Sight {
  readonly x: Row;
  readonly scale: Scalar;
  readonly temperature: Scalar;
  readonly limit: Scalar;
  readonly mask?: RowMask;
}

const isLimited = ({ limit }: Sight): boolean => constantOf(limit) !== Number.POSITIVE_INFINITY;

/** Which keys a query may look at; undefined: all. */
function seen(s: Sight): RowMask | undefined {
  const near = isLimited(s) ? (less(index, s.limit) as RowMask) : undefined;
  return near && s.mask ? (and(near, s.mask) as RowMask) : (near ?? s.mask);
}

const scaled = ({ x, scale, temperature }: Sight): Row => times(x, div(scale, temperature)) as Row;

/** The row of scores. */
function scoresOf(s: Sight): Row {
  const kept = seen(s);
  return kept ? (select(kept, scaled(s), Number.NEGATIVE_INFINITY) as Row) : scaled(s);
}

/** All keys at once: the weights, and the logarithm of their normaliser. */
export const weigh: RowOp = /* @__PURE__ */ new RowOp("attention", {
  gives: "each",
  params: sight,
  nanRows: false,
  program: (s: Sight) => {
    const z = scoresOf(s);
    const m = stop(max(z));
    const e = exp(minus(z, m)) as Row;
    const all = total(e);
    const own = plus(m, log(all));
    // Where something may be hidden, so may everything: a row of −∞.
    const none = seen(s) && equal(m, Number.NEGATIVE_INFINITY);
    const p = readBack((none ? select(none, 0, div(e, all)) : div(e, all)) as Row);
    return {
      results: [p, none ? select(none, Number.NEGATIVE_INFINITY, own) : own],
      vjp: ([g, ofLse]) => {
        const dz = times(p, plus(minus(g!, total(times(g!, p))), ofLse!)) as Row;
        const dx = times(dz, div(s.scale, s.temperature));
        return { x: dx, temperature: neg(div(total(times(dx, s.x)), s.temperature)) };
      },
    };
  },
});

/** A tile's exponentials, the state after it, and what the sums before it are worth then. */
export const advance: RowOp = /* @__PURE__ */ new RowOp("attentionTile", {
  gives: "each",
  params: { ...sight, before: { is: "scalar", default: 0 }, weight: { is: "scalar", default: 0 } },
  nanRows: false,
  program: (s: Sight & { readonly before: Scalar; readonly weight: Scalar }) => {
    const z = scoresOf(s);
    const m = maximum(s.before, max(z));
    const shift = shiftOf(m);
    const e = exp(minus(z, shift)) as Row;
    const worth = exp(minus(s.before, shift));
    return { results: [e, m, plus(times(s.weight, worth), total(e)), worth] };
  },
});

interface Back {
  readonly g: Row;
  /** log of the normaliser. */
  readonly lse: Scalar;
  /** What the cotangents of a query's weights are centred by. */
  readonly centre: Scalar;
}

/** The way back through a tile: its weights again, the cotangents of its products q·k, and the temperature's. */
export const goBack: RowOp = /* @__PURE__ */ new RowOp("attentionTileGradient", {
  gives: "each",
  params: {
    ...sight,
    g: { is: "row" },
    lse: { is: "scalar", default: 0 },
    centre: { is: "scalar", default: 0 },
  },
  nanRows: false,
  program: (s: Sight & Back) => {
    // A query without sight has lse −∞ and scores −∞: exp(−∞ − 0) = 0.
    const p = exp(minus(scoresOf(s), shiftOf(s.lse))) as Row;
    const dx = times(times(p, minus(s.g, s.centre)), div(s.scale, s.temperature)) as Row;
    const ofTemperature = neg(div(total(times(dx, s.x)), s.temperature));
    return { results: constantOf(s.temperature) === 1 ? [p, dx] : [p, dx, ofTemperature] };
  },
});

type Ternary = (a: Tensor, b: Tensor, c: Tensor) => Tensor;

/** a·b + c: sums before, and what a tile adds. */
export const accumulate: Ternary = /* @__PURE__ */ map<Ternary>("attentionSum", {
  doc: "A sum that is scaled, and what is added.",
  inputs: ["a", "b", "c"],
  program: ({ a, b, c }) => plus(times(a!, b!), c!),
  examples: [],
});

type Binary = (a: Tensor, b: Tensor) => Tensor;

/** Sums of values over sums of weights: 0 where there is no weight. */
export const meanOf: Binary = /* @__PURE__ */ map<Binary>("attentionMean", {
  doc: "A weighted sum over the sum of its weights, 0 where there are none.",
  inputs: ["x", "weight"],
  program: ({ x, weight }) => select(equal(weight!, 0), 0, div(x!, weight!)),
  examples: [],
});
