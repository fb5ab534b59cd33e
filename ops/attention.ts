// Softmax attention whose scores are never held together: tiles of queries by keys, each seen once forward and once back.
// Attention by any other map is a function of layers (`nn/attention.ts`), and in time linear in the length `taylor-attention.ts`.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkFloat, checkOptions, describe, type Op, sameBackend } from "../core/op.ts";
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
import { drop, scope } from "../core/scope.ts";
import { type Shape, sameShape } from "../core/shape.ts";
import { type Rule, record, tracked, untracked, vjp } from "../core/tape.ts";
import { checkTensor, fromHost, type Tensor } from "../core/tensor.ts";
import { broadcastTo, reshape, slice, sumTo, transpose } from "../core/views.ts";
import { exp, log } from "../core/words.ts";
import { add, log as logOf, mul, sub } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { concat } from "./movement.ts";
import { shiftOf } from "./online.ts";
import { sum } from "./reduce.ts";

/** Queries, and keys, of a tile where nothing else is said. */
const TILE = 128;

// ---------------------------------------------------------------------------------------------------------------
// Formulas of a row of scores: one query against the keys of a tile

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
const weigh: RowOp = /* @__PURE__ */ new RowOp("attention", {
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
const advance: RowOp = /* @__PURE__ */ new RowOp("attentionTile", {
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
const goBack: RowOp = /* @__PURE__ */ new RowOp("attentionTileGradient", {
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
const accumulate: Ternary = /* @__PURE__ */ map<Ternary>("attentionSum", {
  doc: "A sum that is scaled, and what is added.",
  inputs: ["a", "b", "c"],
  program: ({ a, b, c }) => plus(times(a!, b!), c!),
  examples: [],
});

type Binary = (a: Tensor, b: Tensor) => Tensor;

/** @internal Sums of values over sums of weights: 0 where there is no weight. */
export const meanOf: Binary = /* @__PURE__ */ map<Binary>("attentionMean", {
  doc: "A weighted sum over the sum of its weights, 0 where there are none.",
  inputs: ["x", "weight"],
  program: ({ x, weight }) => select(equal(weight!, 0), 0, div(x!, weight!)),
  examples: [],
});

// ---------------------------------------------------------------------------------------------------------------
// All at once, and in tiles

/** What is the same for all tiles. */
interface Settings {
  readonly scale: number;
  readonly causal: boolean;
  readonly mask?: Tensor | undefined;
  readonly tile: number;
}

type Given = { readonly [name: string]: unknown };

/** Part of a tensor along its last axis but one. */
const part = (t: Tensor, start: number, end: number): Tensor =>
  start === 0 && end === t.shape.at(-2)
    ? t
    : slice(t, ...new Array<null>(t.rank - 2).fill(null), [start, end]);

/** Keys [from, to) as the queries [first, last) see them: what the formulas are given; undefined if none of them is in sight. */
function sightOf(
  q: Tensor,
  [first, last]: readonly [number, number],
  [from, to]: readonly [number, number],
  queries: number,
  keys: number,
  { scale, causal, mask }: Settings,
  temperature: Tensor | undefined,
): Given | undefined {
  const given: { [name: string]: unknown } = { scale };
  const perRow = [...q.shape.slice(0, -2), last - first, 1];
  if (temperature)
    given.temperature = broadcastTo(
      temperature.size === 1 ? reshape(temperature, []) : reshape(temperature, [temperature.size, 1, 1]),
      perRow,
    );
  if (causal) {
    // Query i sees the keys up to i + keys − queries.
    const ends = (i: number): number => i + keys - queries + 1 - from;
    if (ends(last - 1) <= 0) return undefined;
    if (ends(first) < to - from) {
      const limits = Float64Array.from({ length: last - first }, (_, i) => ends(first + i));
      const host = q.dtype === "f32" ? Float32Array.from(limits) : limits;
      given.limit = broadcastTo(fromHost(q.backend, q.dtype, [last - first, 1], host, "attention"), perRow);
    }
  }
  if (mask) {
    const range = (axis: number, start: number, end: number): [number, number] =>
      mask.shape.at(axis) === 1 ? [0, 1] : [start, end];
    const rest = new Array<null>(mask.rank - 2).fill(null);
    given.mask = slice(mask, ...rest, range(-2, first, last), range(-1, from, to));
  }
  return given;
}

/** By ops, with all scores at once: what tapes can differentiate as often as they like. */
function direct(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  temperature: Tensor | undefined,
  settings: Settings,
): { out: Tensor; lse: Tensor; weights: Tensor } {
  const [queries, keys] = [q.shape.at(-2)!, k.shape.at(-2)!];
  // The last query sees all keys, so that something is in sight.
  const given = sightOf(q, [0, queries], [0, keys], queries, keys, settings, temperature)!;
  const [weights, lse] = weigh.call(product(q, transpose(k)), given) as [Tensor, Tensor];
  return { out: product(weights, v), lse, weights };
}

const product = matmul as unknown as Binary;

/** Ranges of at most `size` that fill [0, length). */
const ranges = (length: number, size: number): [number, number][] =>
  Array.from({ length: Math.ceil(length / size) }, (_, i) => [i * size, Math.min(length, (i + 1) * size)]);

/** Joins what the blocks of queries (or keys) gave. */
const joined = (parts: readonly Tensor[], axis: number): Tensor =>
  parts.length === 1 ? parts[0]! : concat(parts, axis);

/** Out and lse of the forward pass in tiles. Nothing of it is recorded. */
function streamed(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  temperature: Tensor | undefined,
  settings: Settings,
): [out: Tensor, lse: Tensor] {
  const [queries, keys] = [q.shape.at(-2)!, k.shape.at(-2)!];
  const blocks = ranges(queries, settings.tile).map((rows) => {
    const mine = part(q, ...rows);
    let state: readonly Tensor[] | undefined;
    for (const columns of ranges(keys, settings.tile)) {
      const before = state;
      const after = scope(() => {
        const given = sightOf(q, rows, columns, queries, keys, settings, temperature);
        if (given === undefined) return before;
        const [o, m = Number.NEGATIVE_INFINITY, s = 0] = before ?? [];
        const [e, max, weight, worth] = advance.call(product(mine, transpose(part(k, ...columns))), {
          ...given,
          before: m,
          weight: s,
        }) as [Tensor, Tensor, Tensor, Tensor];
        const values = product(e, part(v, ...columns));
        return [o ? accumulate(o, column(worth), values) : values, max, weight];
      });
      if (before && after !== before) for (const t of before) drop(t);
      state = after;
    }
    state ??= blind(mine, v);
    const [o, m, s] = state as [Tensor, Tensor, Tensor];
    return [meanOf(o, column(s)), add(m as Floats, logOf(s as Floats) as never) as Tensor] as const;
  });
  return [
    joined(
      blocks.map(([out]) => out),
      -2,
    ),
    joined(
      blocks.map(([, lse]) => lse),
      -1,
    ),
  ];
}

type Floats = Tensor<Shape, FloatDType>;

/** One number for each row, beside rows. */
const column = (t: Tensor): Tensor => reshape(t, [...t.shape, 1]);

/** The state of queries that have seen nothing. */
function blind(q: Tensor, v: Tensor): Tensor[] {
  const rows = q.shape.slice(0, -1);
  const fill = (shape: readonly number[], value: number): Tensor => {
    const host = q.dtype === "f32" ? Float32Array : Float64Array;
    return broadcastTo(fromHost(q.backend, q.dtype, [], host.of(value), "attention"), shape);
  };
  return [fill([...rows, v.shape.at(-1)!], 0), fill(rows, Number.NEGATIVE_INFINITY), fill(rows, 0)];
}

/**
 * Dao et al. 2022, algorithm 4, with the cotangent of lse: weights are computed again from lse, tile after tile. Where an outer
 * tape looks on, the ops of `direct` are differentiated in its place.
 */
const streamedRule: Rule = {
  name: "attention",
  vjp: (cotangents, { inputs, outputs, saved }, wanted) => {
    const [q, k, v, temperature] = inputs as [Tensor, Tensor, Tensor, Tensor?];
    const settings = saved as Settings;
    const given = cotangents.filter((g) => g !== undefined);
    if (tracked([...inputs, ...given])) {
      // lse alone says nothing of the values.
      const used = [...inputs.keys()].filter((i) => i !== 2 || cotangents[0] !== undefined);
      const again = (...some: Tensor[]): Tensor[] => {
        const all = inputs.map((t, i) => (used.includes(i) ? some[used.indexOf(i)]! : t));
        const { out, lse } = direct(all[0]!, all[1]!, all[2]!, all[3], settings);
        return [out, lse].filter((_, i) => cotangents[i] !== undefined);
      };
      const found = vjp(again, ...used.map((i) => inputs[i]!)).pullback(given) as Tensor[];
      return inputs.map((_, i) => found[used.indexOf(i)]);
    }
    const [out, lse] = outputs as [Tensor, Tensor];
    const [g, ofLse] = cotangents;
    return backwards(q, k, v, temperature, settings, out, lse, g, ofLse, wanted);
  },
};

function backwards(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  temperature: Tensor | undefined,
  settings: Settings,
  out: Tensor,
  lse: Tensor,
  ofOut: Tensor | undefined,
  ofLse: Tensor | undefined,
  wanted: readonly boolean[],
): (Tensor | undefined)[] {
  const [queries, keys] = [q.shape.at(-2)!, k.shape.at(-2)!];
  const g = ofOut ?? (mul(out as Floats, 0) as Tensor);
  const rows = ranges(queries, settings.tile);
  const columns = ranges(keys, settings.tile);
  const drawn = sum(mul(g as Floats, out as never) as Floats, { axis: -1, keepDims: true }) as Tensor;
  const centre = ofLse ? (sub(drawn as Floats, column(ofLse) as never) as Tensor) : drawn;
  const logs = column(lse);
  const [dq, dk, dv, dt]: (Tensor | undefined)[][] = [[], [], [], []];
  /** Adds to a sum whose old value nobody needs. */
  const put = (sums: (Tensor | undefined)[], i: number, t: Tensor | undefined): void => {
    const before = sums[i];
    if (t === undefined) return;
    sums[i] = before === undefined ? t : (add(before as Floats, t as never) as Tensor);
    if (before !== undefined) for (const old of [before, t]) drop(old);
  };
  columns.forEach((c, j) => {
    const [keysHere, valuesHere] = [part(k, ...c), part(v, ...c)];
    rows.forEach((r, i) => {
      const found = scope(() => {
        const given = sightOf(q, r, c, queries, keys, settings, temperature);
        if (given === undefined) return undefined;
        const [mine, gHere] = [part(q, ...r), part(g, ...r)];
        const [p, dx, ofTemperature] = goBack.call(product(mine, transpose(keysHere)), {
          ...given,
          g: product(gHere, transpose(valuesHere)),
          lse: part(logs, ...r),
          centre: part(centre, ...r),
        }) as [Tensor, Tensor, Tensor?];
        return [
          wanted[0] ? product(dx, keysHere) : undefined,
          wanted[1] ? product(transpose(dx), mine) : undefined,
          wanted[2] ? product(transpose(p), gHere) : undefined,
          wanted[3] ? ofTemperature : undefined,
        ];
      });
      if (found === undefined) return;
      put(dq!, i, found[0]);
      put(dk!, j, found[1]);
      put(dv!, j, found[2]);
      put(dt!, i, found[3]);
    });
  });
  const all = (sums: (Tensor | undefined)[], ranges: readonly [number, number][], like: Tensor): Tensor => {
    const parts = ranges.map((range, i) => sums[i] ?? (mul(part(like, ...range) as Floats, 0) as Tensor));
    return joined(parts, -2);
  };
  const ofTemperature = (t: Tensor): Tensor => {
    const each = joined(dt!.filter((sums) => sums !== undefined).map(column), -2);
    return reshape(sumTo(each, t.size === 1 ? [1, 1] : [t.size, 1, 1]), t.shape);
  };
  return [
    wanted[0] ? all(dq!, rows, q) : undefined,
    wanted[1] ? all(dk!, columns, k) : undefined,
    wanted[2] ? all(dv!, columns, v) : undefined,
    ...(temperature ? [wanted[3] ? ofTemperature(temperature) : undefined] : []),
  ];
}

// ---------------------------------------------------------------------------------------------------------------
// The op

export interface SoftmaxAttentionOptions<D extends FloatDType = FloatDType> {
  /** True where a query may look at a key; broadcasts to the scores, [..., Tq, Tk]. */
  readonly mask?: Tensor<Shape, "bool">;
  /** Whether query i sees no key after i + Tk − Tq (default false). */
  readonly causal?: boolean;
  /** What scores are divided by besides √E: a number, or a tensor of one value for each head, [H]. */
  readonly temperature?: number | Tensor<Shape, D>;
  /** What products of queries and keys are multiplied by; 1/√E by default. */
  readonly scale?: number;
  /** Whether the weights [..., Tq, Tk] are wanted too, which takes their memory (default false). */
  readonly weights?: boolean;
  /** At most so many queries, and keys, are held against each other at a time (default 128). */
  readonly tile?: number;
}

const known: readonly string[] = ["mask", "causal", "temperature", "scale", "weights", "tile"];

/** What attention gives. */
export interface Attended<D extends FloatDType = FloatDType> {
  /** The weighted means of the values, [..., Tq, Ev]. */
  readonly out: Tensor<Shape, D>;
  /** log Σ exp of each query's scores, [..., Tq]. */
  readonly lse: Tensor<Shape, D>;
  readonly weights?: Tensor<Shape, D>;
}

/** The type of `attention`. */
export interface SoftmaxAttention extends Op {
  <D extends FloatDType>(
    q: Tensor<Shape, D>,
    k: Tensor<Shape, NoInfer<D>>,
    v: Tensor<Shape, NoInfer<D>>,
    options?: SoftmaxAttentionOptions<NoInfer<D>>,
  ): Attended<D>;
}

/** @internal Refuses queries, keys and values that do not fit one another. */
export function checkAttention(place: string, q: Tensor, k: Tensor, v: Tensor): void {
  const named = { queries: q, keys: k, values: v };
  for (const [name, t] of Object.entries(named)) {
    checkTensor(`${place}: ${name}`, t);
    if (t.rank < 2)
      throw new ShapeError(
        place,
        `shape ${showShape(t.shape)} is no list of vectors`,
        "give [..., length, features]",
      );
  }
  sameBackend(place, [q, k, v]);
  const dtype = checkFloat(place, q);
  for (const t of [k, v])
    if (t.dtype !== dtype)
      throw new DTypeError(
        place,
        `element types ${dtype} and ${t.dtype} differ`,
        `convert one: cast(x, "${dtype}")`,
      );
  const batch = q.shape.slice(0, -2);
  if (![k, v].every((t) => sameShape(t.shape.slice(0, -2), batch)))
    throw new ShapeError(
      place,
      `batches ${Object.values(named)
        .map((t) => showShape(t.shape.slice(0, -2)))
        .join(", ")} of queries, keys and values differ`,
      "stretch them with broadcastTo",
    );
  if (k.shape.at(-1) !== q.shape.at(-1))
    throw new ShapeError(
      place,
      `queries of ${q.shape.at(-1)} features meet keys of ${k.shape.at(-1)}`,
      "give both the same number",
    );
  if (k.shape.at(-2) !== v.shape.at(-2))
    throw new ShapeError(
      place,
      `${k.shape.at(-2)} keys stand beside ${v.shape.at(-2)} values`,
      "give one value for each key",
    );
  if (k.shape.at(-2) === 0)
    throw new ShapeError(place, `keys of shape ${showShape(k.shape)} hold none`, "give at least one key");
}

/** @internal The scale of scores, and a temperature for each head if there is one. */
export function checkTemperature(
  place: string,
  q: Tensor,
  { scale = 1 / Math.sqrt(Math.max(1, q.shape.at(-1)!)), temperature }: SoftmaxAttentionOptions,
): { readonly scale: number; readonly temperature?: Tensor } {
  if (typeof scale !== "number" || Number.isNaN(scale))
    throw new ArgumentError(place, `scale is ${showValue(scale)}`, "give a number");
  if (temperature === undefined) return { scale };
  if (typeof temperature === "number") {
    if (!(temperature > 0))
      throw new ArgumentError(place, `temperature is ${temperature}`, "temperature must be greater than 0");
    return { scale: scale / temperature };
  }
  checkTensor(`${place}: temperature`, temperature);
  const heads = q.rank > 2 ? q.shape.at(-3) : 1;
  if (temperature.dtype !== q.dtype)
    throw new DTypeError(
      place,
      `a temperature of ${temperature.dtype as string} stands beside queries of ${q.dtype}`,
      `give ${q.dtype}`,
    );
  if (temperature.size !== 1 && !sameShape(temperature.shape, [heads!]))
    throw new ShapeError(
      place,
      `a temperature of shape ${showShape(temperature.shape)} stands beside ${heads} heads`,
      `give a number, or shape [${heads}]`,
    );
  sameBackend(place, [q, temperature as Tensor]);
  return { scale, temperature: temperature as Tensor };
}

/** @internal Refuses a mask that is none, or that does not stretch to the scores. */
export function checkMask(place: string, mask: unknown, shape: readonly number[]): Tensor | undefined {
  if (mask === undefined) return undefined;
  checkTensor(`${place}: mask`, mask);
  if (mask.dtype !== "bool")
    throw new DTypeError(
      place,
      `the mask is ${mask.dtype as string}`,
      "give true where a query may look: greater(mask, 0)",
    );
  const fits =
    mask.rank <= shape.length &&
    mask.shape.every((size, i) => size === 1 || size === shape[shape.length - mask.rank + i]);
  if (!fits)
    throw new ShapeError(
      place,
      `a mask of shape ${showShape(mask.shape)} stands beside scores of shape ${showShape(shape)}`,
      "give a shape that stretches to it",
    );
  return mask.rank < 2 ? reshape(mask, [1, mask.size]) : mask;
}

/**
 * Softmax attention whose memory grows with the length and not with its square: softmax(q·kᵀ/(√E·T))·v, for queries
 * [..., H, Tq, E], keys [..., H, Tk, E] and values [..., H, Tk, Ev] of the same batches and heads → { out, lse }.
 *
 * Scores are made a tile of queries and keys at a time and thrown away, with the running maximum, sum and output in between;
 * going back they are made again from `lse`. Short sequences, which are one tile, and calls that want the weights are computed
 * at once. A query that may look at nothing gives 0, with gradients 0. Derivatives of any order are right; those beyond the
 * first hold all scores. Other maps than softmax: `scaledDotProductAttention`.
 *
 * Throws ShapeError and DTypeError for what does not fit, ArgumentError for options that it has not.
 * @formula o_i = \sum_j p_{ij} v_j,\qquad p_{ij} = e^{s_{ij} - L_i},\quad s_{ij} = \frac{q_i\cdot k_j}{\sqrt{E}\,T},\quad L_i =
 *   \log\sum_j e^{s_{ij}}
 * @gradient ds_{ij} = p_{ij}\bigl(do_i\cdot v_j - do_i\cdot o_i + dL_i\bigr),\qquad dv_j = \sum_i p_{ij}\,do_i,\qquad dT =
 *   -\tfrac1T\sum_{ij} s_{ij}\,ds_{ij}
 * @see taylorAttention: in time linear in the length
 * @example
 * const [q, k, v] = [1, 2, 3].map((seed) => normal([4, 1000, 16], { seed }));
 * attention(q, k, v, { causal: true }).out.shape; // [4, 1000, 16]
 */
export const attention: SoftmaxAttention = /* @__PURE__ */ describe(
  ((queries: Tensor, keys: Tensor, values: Tensor, options: SoftmaxAttentionOptions = {}): Attended => {
    const place = "attention";
    checkOptions(place, options, known);
    checkAttention(place, queries, keys, values);
    const { causal = false, weights = false, tile = TILE } = options;
    for (const [name, flag] of Object.entries({ causal, weights }))
      if (typeof flag !== "boolean")
        throw new ArgumentError(place, `${name} is ${showValue(flag)}`, "give true or false");
    if (!Number.isSafeInteger(tile) || tile < 1)
      throw new ArgumentError(place, `tile is ${showValue(tile)}`, "give 1, 2, 3, …");
    const { scale, temperature } = checkTemperature(place, queries, options);
    const [rows, columns] = [queries.shape.at(-2)!, keys.shape.at(-2)!];
    const mask = checkMask(place, options.mask, [...queries.shape.slice(0, -1), columns]);
    const settings: Settings = { scale, causal, mask, tile };
    if (weights || queries.size === 0 || Math.max(rows, columns) <= tile) {
      const found = direct(queries, keys, values, temperature, settings) as Required<Attended>;
      return weights ? found : { out: found.out, lse: found.lse };
    }
    const inputs = temperature ? [queries, keys, values, temperature] : [queries, keys, values];
    const [out, lse] = untracked(() =>
      scope(() => streamed(queries, keys, values, temperature, settings)),
    ) as [Floats, Floats];
    record(streamedRule, inputs, [out as Tensor, lse as Tensor], settings);
    return { out, lse };
  }) as SoftmaxAttention,
  {
    name: "attention",
    kind: "structure",
    doc: "Softmax attention in memory linear in the length of the sequences.",
    source: "Dao et al. 2022, algorithms 1 and 4; Dao 2023",
    domain: { temperature: { min: 0.5, max: 2 } },
    options: known,
    laws: [],
    examples: [
      {
        args: [
          [[1], [0]],
          [[0], [Math.LN2]],
          [[3], [6]],
        ],
        gives: { out: [[5], [4.5]], lse: [1.0986122886681098, Math.LN2] },
      },
      {
        args: [[[1], [1], [1]], [[0], [0], [0]], [[1], [2], [6]], { causal: true, tile: 2 }],
        gives: { out: [[1], [1.5], [3]], lse: [0, Math.LN2, 1.0986122886681098] },
      },
    ],
  },
);
