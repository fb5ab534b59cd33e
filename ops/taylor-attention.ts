// Attention by Taylor softmax of order two in time linear in the length: its weights are inner products of features, so that
// sums over keys are taken once for all queries. Attention by any map, in time quadratic in the length, is `nn/attention.ts`.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions, describe, type Op } from "../core/op.ts";
import {
  constantOf,
  index,
  less,
  div as over,
  add as plus,
  type Row,
  type Scalar,
  select,
  mul as times,
} from "../core/row/expr.ts";
import { RowOp } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { fromHost, type Tensor } from "../core/tensor.ts";
import { broadcastTo, reshape, slice, transpose } from "../core/views.ts";
import { checkAttention, checkMask, checkTemperature, type SoftmaxAttentionOptions } from "./attention.ts";
import { meanOf } from "./attention-rows.ts";
import { add, div, mul, where } from "./elementwise.ts";
import { cumsum } from "./indexing.ts";
import { linear, matmul } from "./matmul.ts";
import { pad, split } from "./movement.ts";

/** Queries and keys of a causal sequence that are held against each other; what lies further apart meets in sums of features. */
const CHUNK = 64;

type Floats = Tensor<Shape, FloatDType>;

const product = matmul as unknown as (a: Tensor, b: Tensor) => Tensor;
const times2 = mul as unknown as (a: Tensor, b: Tensor | number) => Tensor;

/**
 * The features of rows [..., d]: all products of two entries of (1, x), each once, (d + 1)(d + 2)/2 in number. With the factors
 * of the queries, ½ for squares, the inner product with the features of another row is 1 + q·k + (q·k)²/2.
 */
function features(x: Tensor, ofQueries: boolean): Tensor {
  const d = x.shape.at(-1)!;
  // Whole tiles of a product: features beyond the last are 0.
  const count = 8 * Math.ceil(((d + 1) * (d + 2)) / 16);
  const host = x.dtype === "f32" ? Float32Array : Float64Array;
  // Left and right factors are linear maps of x: entry 0 of (1, x) is a bias, the others are picked.
  const [left, right] = [0, 1].map(() => ({ pick: new host(count * d), bias: new host(count) }));
  const put = ({ pick, bias }: typeof left & object, at: number, entry: number, value: number): void => {
    if (entry === 0) bias[at] = value;
    else pick[at * d + entry - 1] = value;
  };
  let at = 0;
  for (let i = 0; i <= d; i++) {
    for (let j = i; j <= d; j++, at++) {
      put(left!, at, i, 1);
      put(right!, at, j, ofQueries && i === j && i > 0 ? 0.5 : 1);
    }
  }
  const [a, b] = [left!, right!].map(({ pick, bias }) =>
    linear(
      x as Floats,
      fromHost(x.backend, x.dtype, [count, d], pick, "features") as Floats,
      fromHost(x.backend, x.dtype, [count], bias, "features") as Floats,
    ),
  ) as unknown as [Tensor, Tensor];
  return times2(a, b);
}

/** The weights of the keys of a query's own chunk: 1 + z + z²/2, and 0 for those ahead. */
const nearby: RowOp = /* @__PURE__ */ new RowOp("taylorWeights", {
  gives: "row",
  params: { limit: { is: "scalar", default: Number.POSITIVE_INFINITY } },
  nanRows: false,
  program: ({ x, limit }: { readonly x: Row; readonly limit: Scalar }) => {
    const w = plus(plus(1, x), over(times(x, x), 2)) as Row;
    return { results: [constantOf(limit) === undefined ? (select(less(index, limit), w, 0) as Row) : w] };
  },
});

/** Rows of zeros before the others, up to `length` of them. */
function front(t: Tensor, length: number): Tensor {
  const missing = length - t.shape.at(-2)!;
  if (missing === 0) return t;
  return pad(
    t,
    t.shape.map((_, axis) => [axis === t.rank - 2 ? missing : 0, 0] as const),
  );
}

/** Sums of values and of weights for each query, [..., Tq, Ev + 1], where no query sees ahead. */
function causalSums(q: Tensor, k: Tensor, v: Tensor): Tensor {
  const queries = q.shape.at(-2)!;
  const longest = Math.max(queries, k.shape.at(-2)!);
  const size = Math.min(CHUNK, longest);
  const chunks = Math.ceil(longest / size);
  // The last query sees the last key: sequences are aligned at their ends, and keys before the first have no value and no weight.
  const [qs, ks, vs] = [q, k, v].map((t) => {
    const [width, batch] = [t.shape.at(-1)!, t.shape.slice(0, -2)];
    return reshape(front(t, chunks * size), [...batch, chunks, size, width]);
  }) as unknown as [Tensor, Tensor, Tensor];
  const along = new Array<null>(q.rank - 2).fill(null);
  const counts = Array.from({ length: size }, (_, i) => i + 1);
  const host = q.dtype === "f32" ? Float32Array.from(counts) : Float64Array.from(counts);
  const ends = fromHost(q.backend, q.dtype, [size, 1], host, "limit");
  const limit = broadcastTo(ends, [...qs.shape.slice(0, -1), 1]);
  const [weights] = nearby.call(product(qs, transpose(ks)), { limit }) as [Tensor];
  let sums = product(weights, vs);
  if (chunks > 1) {
    const before = (t: Tensor): Tensor => slice(t, ...along, [0, chunks - 1]);
    const known = product(transpose(features(before(ks), false)), before(vs));
    const past = cumsum(known as Floats, { axis: -3 }) as Tensor;
    const later = features(slice(qs, ...along, [1, chunks]), true);
    const far = product(later, past);
    const widths = sums.shape.map((_, axis) => [axis === q.rank - 2 ? 1 : 0, 0] as const);
    sums = add(sums as Floats, pad(far, widths) as never) as Tensor;
  }
  const flat = reshape(sums, [...q.shape.slice(0, -2), chunks * size, v.shape.at(-1)!]);
  return slice(flat, ...along, [chunks * size - queries, chunks * size]);
}

/** The same where every query sees every key. */
const allSums = (q: Tensor, k: Tensor, v: Tensor): Tensor =>
  product(features(q, true), product(transpose(features(k, false)), v));

/** Options of `taylorAttention`. */
export type TaylorAttentionOptions<D extends FloatDType = FloatDType> = Pick<
  SoftmaxAttentionOptions<D>,
  "mask" | "causal" | "temperature" | "scale"
>;

const known: readonly string[] = ["mask", "causal", "temperature", "scale"];

/** The type of `taylorAttention`. */
export interface TaylorAttention extends Op {
  <D extends FloatDType>(
    q: Tensor<Shape, D>,
    k: Tensor<Shape, NoInfer<D>>,
    v: Tensor<Shape, NoInfer<D>>,
    options?: TaylorAttentionOptions<NoInfer<D>>,
  ): Tensor<Shape, D>;
}

/**
 * Attention whose time grows with the length and not with its square: that of `taylorSoftmax` of order 2, to rounding. Its
 * weights 1 + z + z²/2 are inner products of features of queries and keys, so the sums over keys are shared by all queries.
 *
 * Queries [..., H, Tq, E], keys [..., H, Tk, E] and values [..., H, Tk, Ev] of the same batches and heads give [..., H, Tq, Ev].
 * Each key has (E + 1)(E + 2)/2 features; it pays where sequences are longer than about that. Causal sequences are taken in
 * chunks: within one by its weights, before it by sums of features. A mask hides keys from all queries alike, [..., 1, Tk]. A query
 * that sees nothing gives 0.
 *
 * Throws ShapeError for sizes that do not fit and for masks that differ from query to query. Source: Katharopoulos et al. 2020,
 * eq. 4–12, with the features of de Brébisson & Vincent's Taylor softmax 2016 (the same as Arora et al. 2024, "Based").
 * @formula o_i = \frac{\sum_j w_{ij}v_j}{\sum_j w_{ij}},\qquad w_{ij} = 1 + z_{ij} + \tfrac12 z_{ij}^2 = \langle\phi(q_i),
 *   \phi(k_j)\rangle,\quad z_{ij} = \frac{q_i\cdot k_j}{\sqrt{E}\,T}
 * @gradient dw_{ij} = \frac{do_i\cdot(v_j - o_i)}{\sum_j w_{ij}},\qquad dz_{ij} = (1 + z_{ij})\,dw_{ij}
 * @see attention: softmax
 * @see taylorSoftmax: its weights as a map
 * @example
 * const [q, k, v] = [1, 2, 3].map((seed) => normal([4, 1000, 16], { seed }));
 * taylorAttention(q, k, v, { causal: true }).shape; // [4, 1000, 16]
 */
export const taylorAttention: TaylorAttention = /* @__PURE__ */ describe(
  ((queries: Tensor, keys: Tensor, values: Tensor, options: TaylorAttentionOptions = {}): Tensor => {
    const place = "taylorAttention";
    checkOptions(place, options, known);
    checkAttention(place, queries, keys, values);
    const { causal = false } = options;
    if (typeof causal !== "boolean")
      throw new ArgumentError(place, `causal is ${showValue(causal)}`, "give true or false");
    const { scale, temperature } = checkTemperature(place, queries, options);
    const mask = checkMask(place, options.mask, [...keys.shape.slice(0, -2), 1, keys.shape.at(-2)!]);
    let factor: Tensor | number = scale;
    if (temperature) {
      const each = temperature.size === 1 ? [1, 1] : [temperature.size, 1, 1];
      const inverse = reshape(div(scale, temperature as Floats) as Tensor, each);
      // One factor for each row, so that rows are scaled where they stand.
      factor = broadcastTo(inverse, [...queries.shape.slice(0, -1), 1]);
    }
    const q = times2(queries, factor);
    const last = values.shape.map((_, axis) => [0, axis === values.rank - 1 ? 1 : 0] as const);
    let k = keys;
    // Beside the values stands a 1, whose weighted sum is that of the weights.
    let v = pad(values, last, 1) as Tensor;
    if (mask) {
      const kept = broadcastTo(transpose(mask), [...keys.shape.slice(0, -1), 1]) as Tensor<Shape, "bool">;
      k = where(kept, keys as Floats, 0 as never) as Tensor;
      v = where(kept, v as Floats, 0 as never) as Tensor;
    }
    const sums = causal ? causalSums(q, k, v) : allSums(q, k, v);
    const [out, weight] = split(sums, [values.shape.at(-1)!, 1], -1);
    return meanOf(out!, weight!);
  }) as TaylorAttention,
  {
    name: "taylorAttention",
    kind: "structure",
    doc: "Attention by Taylor softmax of order 2 in time linear in the length of the sequences.",
    source: "Katharopoulos et al. 2020; Arora et al. 2024",
    domain: { temperature: { min: 0.5, max: 2 } },
    options: known,
    laws: [],
    examples: [
      {
        args: [
          [[1], [0]],
          [[0], [2]],
          [[3], [9]],
        ],
        gives: [[8], [6]],
      },
      { args: [[[1], [0]], [[0], [2]], [[3], [9]], { causal: true }], gives: [[3], [6]] },
    ],
  },
);
