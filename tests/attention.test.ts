// Attention against its formula in plain numbers and against differences, for maps of every kind, with masks and batches.

import { describe, expect, expectTypeOf, test } from "vitest";
import { gradcheck } from "../core/check/index.ts";
import { tensor, zeros } from "../core/create.ts";
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.ts";
import type { Shape } from "../core/shape.ts";
import { grad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { scaledDotProductAttention } from "../nn/index.ts";
import { mul } from "../ops/elementwise.ts";
import { entmax, maskedSoftmax, softmaxOne, sparsemax } from "../ops/maps/index.ts";
import { sum } from "../ops/reduce.ts";
import { firstDifference } from "./suite/samples.ts";

type Floats = Tensor<Shape, "f64">;

const wave = (shape: readonly number[], seed: number): Floats => {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float64Array.from({ length: size }, (_, i) => 1.5 * Math.sin(seed + i * i)),
    { shape },
  );
};

const [L, S, E, Ev] = [3, 4, 5, 2];

/** Attention of one head in plain numbers, for a map of a row. */
function naive(
  q: readonly number[][],
  k: readonly number[][],
  v: readonly number[][],
  map: (row: number[]) => number[],
  scale: number,
): number[][] {
  return q.map((query) => {
    const scores = k.map((key) => scale * key.reduce((all, value, e) => all + value * query[e]!, 0));
    const weights = map(scores);
    return v[0]!.map((_, c) => weights.reduce((all, weight, s) => all + weight * v[s]![c]!, 0));
  });
}

const softmaxRow = (row: number[]): number[] => {
  const e = row.map((x) => Math.exp(x - Math.max(...row)));
  return e.map((x) => x / e.reduce((a, b) => a + b, 0));
};

describe("values", () => {
  const [q, k, v] = [wave([L, E], 1), wave([S, E], 2), wave([S, Ev], 3)];
  const rows = (t: Floats): number[][] => t.toArray() as number[][];
  const close = (found: Floats, wanted: number[][]): void => {
    expect(found.shape).toEqual([wanted.length, wanted[0]!.length]);
    expect(firstDifference(found.dataSync(), wanted.flat(), 1e-14)).toBeUndefined();
  };

  test("are means by softmax of the scaled products", () => {
    close(scaledDotProductAttention(q, k, v), naive(rows(q), rows(k), rows(v), softmaxRow, 1 / Math.sqrt(E)));
    close(
      scaledDotProductAttention(q, k, v, { scale: 0.3 }),
      naive(rows(q), rows(k), rows(v), softmaxRow, 0.3),
    );
  });

  test("are means by whatever map is given, with options or without", () => {
    const row = (map: (x: Floats) => Floats) => (scores: number[]) =>
      map(tensor(scores, { dtype: "f64" })).toArray() as number[];
    const alpha = (x: Floats): Floats => entmax(x, { alpha: 1.3 });
    for (const map of [sparsemax as (x: Floats) => Floats, alpha])
      close(
        scaledDotProductAttention(q, k, v, { map }),
        naive(rows(q), rows(k), rows(v), row(map), 1 / Math.sqrt(E)),
      );
  });

  test("batches and heads broadcast, and are computed apart", () => {
    const [qs, ks, vs] = [wave([2, 3, L, E], 1), wave([3, S, E], 2), wave([2, 1, S, Ev], 3)];
    const all = scaledDotProductAttention(qs, ks, vs);
    expect(all.shape).toEqual([2, 3, L, Ev]);
    for (const b of [0, 1])
      for (const h of [0, 1, 2])
        close(
          all.slice(b, h),
          naive(rows(qs.slice(b, h)), rows(ks.slice(h)), rows(vs.slice(b, 0)), softmaxRow, 1 / Math.sqrt(E)),
        );
  });
});

describe("masks", () => {
  const [q, k, v] = [wave([2, L, E], 1), wave([2, S, E], 2), wave([2, S, Ev], 3)];
  const past = tensor(Array.from({ length: L }, (_, i) => Array.from({ length: S }, (_, j) => j <= i)));

  test("a key that is masked has no influence on value or gradient, whatever it holds", () => {
    const other = tensor(
      k.dataSync().map((value, i) => (Math.floor(i / E) % S === 1 ? 1e3 : value)),
      { shape: [2, S, E] },
    );
    const first = tensor([[true, false, true, true]]);
    for (const map of [undefined, sparsemax as (x: Floats) => Floats]) {
      const options = { mask: first, ...(map && { map }) };
      const f = (keys: Floats): Floats =>
        sum(mul(scaledDotProductAttention(q, keys, v, options), v.slice(null, [0, L])));
      expect(f(other).item()).toBe(f(k).item());
      const d = grad(f)(k);
      expect(d.slice(null, 1).toArray()).toEqual([Array(E).fill(0), Array(E).fill(0)]);
      expect(grad(f)(other).slice(null, 0).toArray()).toEqual(d.slice(null, 0).toArray());
    }
  });

  test("what lies ahead is not seen: the first query has the first value", () => {
    const out = scaledDotProductAttention(q, k, v, { mask: past });
    expect(out.slice(null, 0).toArray()).toEqual(v.slice(null, 0).toArray());
  });

  test("a query that may look at nothing is NaN, or 0 where the map knows better", () => {
    const none = tensor([[false], [true], [true]]);
    const first = (t: Tensor): unknown => t.slice(null, 0).toArray();
    const nothing = [0, 0];
    expect(first(scaledDotProductAttention(q, k, v, { mask: none }))).toEqual([
      [Number.NaN, Number.NaN],
      [Number.NaN, Number.NaN],
    ]);
    expect(first(scaledDotProductAttention(q, k, v, { mask: none, map: softmaxOne }))).toEqual([
      nothing,
      nothing,
    ]);
    const own = (scores: Floats): Floats => maskedSoftmax(scores, none);
    expect(first(scaledDotProductAttention(q, k, v, { map: own }))).toEqual([nothing, nothing]);
  });
});

test("gradients agree with differences, for queries, keys and values", () => {
  const [q, k, v] = [wave([2, L, E], 1), wave([S, E], 2), wave([2, S, Ev], 3)];
  const mask = tensor([[true, true, false, true]]);
  const alpha = (scores: Floats): Floats => entmax(scores, { alpha: 1.5 });
  for (const options of [{}, { mask }, { map: sparsemax as typeof alpha, scale: 0.5 }, { map: alpha, mask }])
    gradcheck((q, k, v) => scaledDotProductAttention(q, k, v, options), [q, k, v]);
});

describe("sizes and arguments", () => {
  const [q, k, v] = [zeros([6, 3, 5]), zeros([6, 4, 5]), zeros([6, 4, 2])];

  test("the result has the sizes of the rule", () => {
    expectTypeOf(scaledDotProductAttention(q, k, v)).toEqualTypeOf<Tensor<[6, 3, 2], "f32">>();
    expectTypeOf(
      scaledDotProductAttention(q, k, v, { map: (scores) => entmax(scores, { alpha: 1.2 }) }),
    ).toEqualTypeOf<Tensor<[6, 3, 2], "f32">>();
    expectTypeOf(scaledDotProductAttention(q, k, v, { map: sparsemax })).toEqualTypeOf<
      Tensor<[6, 3, 2], "f32">
    >();
    const anything: Tensor<Shape, "f32"> = q;
    expectTypeOf(scaledDotProductAttention(anything, k, v)).toEqualTypeOf<Tensor<Shape, "f32">>();
  });

  test("what does not fit is refused by the compiler and by the run", () => {
    // @ts-expect-error queries of 5 features, keys of 7
    expect(() => scaledDotProductAttention(q, zeros([6, 4, 7]), v)).toThrow(
      "queries of shape [6, 3, 5] meet keys of shape [6, 4, 7]; give both the same number of features",
    );
    // @ts-expect-error 4 keys, 3 values
    expect(() => scaledDotProductAttention(q, k, zeros([6, 3, 2]))).toThrow(
      "keys of shape [6, 4, 5] stand beside values of shape [6, 3, 2]; give one value for each key",
    );
    // @ts-expect-error batches of 6 and 2
    expect(() => scaledDotProductAttention(q, zeros([2, 4, 5]), v)).toThrow(ShapeError);
    // @ts-expect-error a vector is no list of vectors
    expect(() => scaledDotProductAttention(q, zeros([5]), v)).toThrow("shape [5] is no list of vectors");
    // @ts-expect-error f32 and f64
    expect(() => scaledDotProductAttention(q, zeros([6, 4, 5], { dtype: "f64" }), v)).toThrow(DTypeError);
    // @ts-expect-error no such option
    expect(() => scaledDotProductAttention(q, k, v, { dropout: 1 })).toThrow("there is no option dropout");
    // @ts-expect-error no map
    expect(() => scaledDotProductAttention(q, k, v, { map: "softmax" })).toThrow('map is "softmax"');
    // @ts-expect-error no number
    expect(() => scaledDotProductAttention(q, k, v, { scale: "1" })).toThrow('scale is "1"');
    // @ts-expect-error numbers are no mask
    expect(() => scaledDotProductAttention(q, k, v, { mask: k })).toThrow("the mask is f32");
    expect(() => scaledDotProductAttention(q, k, v, { map: (scores) => sum(scores, { axis: -1 }) })).toThrow(
      ArgumentError,
    );
    expect(() => scaledDotProductAttention(q, k, v, { map: (scores) => sum(scores, { axis: -1 }) })).toThrow(
      "the map gives shape [6, 3] for scores of shape [6, 3, 4]; give a map that keeps the shape",
    );
  });
});
