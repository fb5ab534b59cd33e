// Softmax attention computed at once, and tile after tile: forward with the running maximum, sum and output, and back with
// weights made again. Sizes and options are `attention.ts`'s to check.

import type { FloatDType } from "../core/dtype.ts";
import { drop, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { type Rule, tracked, vjp } from "../core/tape.ts";
import { fromHost, type Tensor } from "../core/tensor.ts";
import { broadcastTo, reshape, slice, sumTo, transpose } from "../core/views.ts";
import { accumulate, advance, goBack, meanOf, weigh } from "./attention-rows.ts";
import { add, log, mul, sub } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { concat } from "./movement.ts";
import { sum } from "./reduce.ts";

/** What is the same for all tiles. */
export interface Settings {
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
export function direct(
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

const product = matmul as unknown as (a: Tensor, b: Tensor) => Tensor;

/** Ranges of at most `size` that fill [0, length). */
const ranges = (length: number, size: number): [number, number][] =>
  Array.from({ length: Math.ceil(length / size) }, (_, i) => [i * size, Math.min(length, (i + 1) * size)]);

/** Joins what the blocks of queries (or keys) gave. */
const joined = (parts: readonly Tensor[], axis: number): Tensor =>
  parts.length === 1 ? parts[0]! : concat(parts, axis);

/** Out and lse of the forward pass in tiles. Nothing of it is recorded. */
export function streamed(
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
    return [meanOf(o, column(s)), add(m as Floats, log(s as Floats) as never) as Tensor] as const;
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
export const streamedRule: Rule = {
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
