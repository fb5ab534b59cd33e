// Softmax attention whose scores are never held together: the op and its arguments; the tiles are `attention-tiles.ts`.
// Attention by any other map is a function of layers (`nn/attention.ts`), and in time linear in the length `taylor-attention.ts`.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkFloat, checkOptions, describe, type Op, sameBackend } from "../core/op.ts";
import { scope } from "../core/scope.ts";
import { type Shape, sameShape } from "../core/shape.ts";
import { record, untracked } from "../core/tape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { direct, type Settings, streamed, streamedRule } from "./attention-tiles.ts";

/** Queries, and keys, of a tile where nothing else is said: half of that takes half as long again. */
const TILE = 256;

type Floats = Tensor<Shape, FloatDType>;

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
  /** At most so many queries, and keys, are held against each other at a time (default 256). */
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
