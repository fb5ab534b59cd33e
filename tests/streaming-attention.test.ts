// Attention that never holds all scores, against the same at once; softmax seen in pieces; Taylor attention in linear time
// against its map.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gradcheck, gradgradcheck } from "../core/check/index.ts";
import { full, tensor } from "../core/create.ts";
import { dtypes } from "../core/dtype.ts";
import { normal, randomKey } from "../core/random.ts";
import { memory, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { grad, vjp } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { scaledDotProductAttention } from "../nn/index.ts";
import {
  add,
  attention,
  div,
  equal,
  logsumexp,
  maskedSoftmax,
  mergeSoftmaxStats,
  mul,
  onlineSoftmax,
  onlineSoftmaxStats,
  slice,
  softmax,
  square,
  sum,
  taylorAttention,
  taylorSoftmax,
  where,
} from "../ops/index.ts";
import { firstDifference } from "./suite/samples.ts";

type Floats = Tensor<Shape, "f64">;
type Bools = Tensor<Shape, "bool">;

const [tolerance] = dtypes.f64.tolerance;
const draw = (seed: number, ...shape: number[]): Floats =>
  normal(shape, { key: randomKey(seed), dtype: "f64" }) as Floats;
const close = (got: Tensor, want: Tensor, within = tolerance): void => {
  expect(got.shape).toEqual(want.shape);
  expect(firstDifference(got.dataSync(), want.dataSync(), within)).toBeUndefined();
};

/** What a causal query sees. */
const past = (rows: number, columns: number): Bools =>
  tensor(
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_, j) => j <= i + columns - rows),
    ),
  ) as unknown as Bools;

const random = (seed: number, shape: number[]): Bools =>
  tensor(
    draw(seed, ...shape)
      .dataSync()
      .map((v) => Number(v > -0.5)),
    { shape, dtype: "bool" },
  ) as unknown as Bools;

const cases = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  columns: fc.integer({ min: 1, max: 9 }),
  tile: fc.integer({ min: 1, max: 10 }),
  causal: fc.boolean(),
  masked: fc.constantFrom("none", "shared", "each", "keys"),
  temperature: fc.constantFrom("none", "number", "heads", "one"),
  seed: fc.nat(1000),
});

describe("attention in tiles", () => {
  const [B, H, E, Ev] = [2, 3, 4, 2];

  test("is attention at once, with its gradients, for tiles of any size", () => {
    fc.assert(
      fc.property(cases, ({ rows, columns, tile, causal, masked, temperature, seed }) =>
        scope(() => {
          const q = draw(seed, B, H, rows, E);
          const [k, v] = [draw(seed + 1, B, H, columns, E), draw(seed + 2, B, H, columns, Ev)];
          const t = tensor(temperature === "one" ? [0.7] : [0.5, 1, 2], {
            dtype: "f64",
          }) as unknown as Floats;
          const shapes: { [kind: string]: number[] } = {
            shared: [rows, columns],
            each: [B, H, rows, columns],
            keys: [B, 1, 1, columns],
          };
          const mask = shapes[masked] && random(seed + 3, shapes[masked]);
          const f =
            (tile: number) =>
            (q: Floats, k: Floats, v: Floats, t: Floats): { out: Floats; lse: Floats } => {
              const at = temperature === "number" ? 0.7 : temperature === "none" ? undefined : t;
              const { out, lse } = attention(q, k, v, {
                causal,
                tile,
                ...(mask && { mask }),
                ...(at !== undefined && { temperature: at }),
              });
              // A temperature that is not used has no gradient to ask for.
              return { out: add(out, mul(sum(t), 0)) as Floats, lse };
            };
          const [all, parts] = [vjp(f(100), q, k, v, t), vjp(f(tile), q, k, v, t)];
          close(parts.value.out, all.value.out);
          close(parts.value.lse, all.value.lse);
          const g = { out: draw(seed + 4, B, H, rows, Ev), lse: draw(seed + 5, B, H, rows) };
          const wanted = all.pullback(g);
          parts.pullback(g).forEach((d, i) => {
            close(d as Tensor, wanted[i] as Tensor, 10 * tolerance);
          });
        }),
      ),
      { numRuns: 150 },
    );
  });

  test("is softmax of the scaled products, masked", () => {
    const [q, k, v] = [draw(1, 2, 5, E), draw(2, 2, 7, E), draw(3, 2, 7, Ev)];
    const mask = past(5, 7);
    const wanted = scaledDotProductAttention(q, k, v, {
      map: (x) => maskedSoftmax(x, mask as never) as never,
    });
    for (const tile of [2, 100]) close(attention(q, k, v, { causal: true, tile }).out, wanted);
    const { weights } = attention(q, k, v, { causal: true, weights: true });
    close(sum(weights!, { axis: -1 }), full([2, 5], 1, { dtype: "f64" }));
  });

  test("a query that may look at nothing gives 0, and has and gives no gradient", () => {
    const [q, k, v] = [draw(1, 3, E), draw(2, 4, E), draw(3, 4, Ev)];
    const mask = tensor([
      [false, false, false, false],
      [true, false, true, true],
      [false, true, false, false],
    ]) as unknown as Bools;
    for (const tile of [1, 2, 100]) {
      const { out, lse } = attention(q, k, v, { mask, tile });
      expect(slice(out, 0).toArray()).toEqual([0, 0]);
      expect(lse.dataSync()[0]).toBe(Number.NEGATIVE_INFINITY);
      const loss = (q: Floats, k: Floats, v: Floats): Floats =>
        sum(square(attention(q, k, v, { mask, tile }).out)) as Floats;
      const [dq, dk, dv] = grad(loss, { argnums: [0, 1, 2] })(q, k, v);
      expect(slice(dq, 0).toArray()).toEqual(Array(E).fill(0));
      for (const d of [dq, dk, dv]) expect(d.dataSync().every(Number.isFinite)).toBe(true);
    }
  });

  test("first and second derivatives agree with differences, of out and of lse", () => {
    const t = tensor([0.6, 1.5], { dtype: "f64" }) as unknown as Floats;
    const args = [draw(1, 2, 3, 2), draw(2, 2, 4, 2), draw(3, 2, 4, 2), t] as const;
    const of = (q: Floats, k: Floats, v: Floats, temperature: Floats) =>
      attention(q, k, v, { temperature, causal: true, tile: 2 });
    gradcheck((q: Floats, k: Floats, v: Floats, t: Floats) => of(q, k, v, t).out, [...args]);
    gradgradcheck((q: Floats, k: Floats, v: Floats, t: Floats) => of(q, k, v, t).out, [...args]);
    gradgradcheck((q: Floats, k: Floats, t: Floats) => of(q, k, args[2], t).lse, [args[0], args[1], t]);
  });

  test("its memory grows with the length, not with its square: forward and back", () => {
    const peak = (length: number): number =>
      scope(() => {
        const [q, k, v] = [1, 2, 3].map((seed) => draw(seed, 1, length, 8)) as [Floats, Floats, Floats];
        const before = memory().bytes;
        const backend = q.backend as { allocate: (...args: never[]) => unknown };
        const own = backend.allocate;
        let most = 0;
        backend.allocate = function (...args: never[]) {
          const made = own.apply(this, args);
          most = Math.max(most, memory().bytes - before);
          return made;
        };
        try {
          grad((q: Floats) => sum(square(attention(q, k, v, { tile: 32 }).out)) as Floats)(q);
        } finally {
          Object.assign(backend, { allocate: own });
        }
        return most;
      });
    expect(peak(1024) / peak(256)).toBeLessThan(4.5);
  });
});

describe("softmax in pieces", () => {
  const scores = fc.array(
    fc.oneof(fc.double({ min: -800, max: 800, noNaN: true }), fc.constant(Number.NEGATIVE_INFINITY)),
    { minLength: 1, maxLength: 12 },
  );

  test("is softmax of the whole row, however it is cut, and in whatever order pieces are put together", () => {
    fc.assert(
      fc.property(scores, fc.array(fc.nat(12), { maxLength: 4 }), (row, cuts) => {
        const x = tensor(row, { dtype: "f64" }) as unknown as Floats;
        const bounds = [0, ...cuts.map((c) => Math.min(c, row.length)).sort((a, b) => a - b), row.length];
        const pieces = bounds.slice(1).map((end, i) => slice(x, [bounds[i]!, end]) as Floats);
        const folded = pieces.reduce<ReturnType<typeof onlineSoftmaxStats> | undefined>(
          (stats, piece) => onlineSoftmaxStats(piece as never, stats),
          undefined,
        )!;
        const turned = pieces.map((p) => onlineSoftmaxStats(p as never)).reduceRight(mergeSoftmaxStats);
        const masked = row.every((v) => v === Number.NEGATIVE_INFINITY);
        for (const { max, sum: total } of [folded, turned]) {
          expect(max.item()).toBe(Math.max(...row));
          if (masked) expect(total.item()).toBe(0);
          else close(add(max as never, logOf(total.item())) as never, logsumexp(x));
        }
        const p = onlineSoftmax(x, folded as never);
        if (masked) expect(p.dataSync().every((v) => v === 0)).toBe(true);
        else close(p, softmax(x));
      }),
    );
  });

  const logOf = (v: number): number => Math.log(v);
});

describe("Taylor attention", () => {
  const [H, E, Ev] = [2, 3, 2];

  /** Attention by weights 1 + z + z²/2 in time quadratic in the length. */
  const direct = (q: Floats, k: Floats, v: Floats, mask?: Bools): Floats => {
    if (!mask) return scaledDotProductAttention(q, k, v, { map: (x) => taylorSoftmax(x) }) as Floats;
    const map = (z: Floats): Floats => {
      const w = where(mask, add(add(mul(square(z), 0.5), z as never), 1) as never, 0) as unknown as Floats;
      const total = sum(w, { axis: -1, keepDims: true });
      return where(equal(total, 0), 0, div(w, total as never)) as unknown as Floats;
    };
    return scaledDotProductAttention(q, k, v, { map }) as Floats;
  };

  test.each([
    [1, 1],
    [5, 7],
    [7, 5],
    [64, 64],
    [65, 130],
    [130, 65],
    [193, 193],
  ])("is attention by taylorSoftmax to 1e-12: %i queries, %i keys", (rows, columns) => {
    const [q, k, v] = [draw(1, H, rows, E), draw(2, H, columns, E), draw(3, H, columns, Ev)];
    close(taylorAttention(q, k, v), direct(q, k, v), 1e-12);
    close(taylorAttention(q, k, v, { causal: true }), direct(q, k, v, past(rows, columns)), 1e-12);
    const keys = random(4, [H, 1, columns]);
    close(taylorAttention(q, k, v, { mask: keys }), direct(q, k, v, keys), 1e-12);
  });

  test("gradients agree with differences, of the temperature of each head too, twice", () => {
    const t = tensor([0.6, 1.5], { dtype: "f64" }) as unknown as Floats;
    const args = [draw(1, H, 3, E), draw(2, H, 4, E), draw(3, H, 4, Ev), t] as const;
    for (const causal of [false, true]) {
      const f = (q: Floats, k: Floats, v: Floats, temperature: Floats) =>
        taylorAttention(q, k, v, { temperature, causal });
      gradcheck(f, [...args]);
      gradgradcheck(f, [...args]);
    }
    const long = [draw(1, 70, 2), draw(2, 70, 2), draw(3, 70, 1)] as const;
    gradcheck((q, k, v) => taylorAttention(q, k, v, { causal: true }), [...long]);
  });

  test("a masked key has no influence, whatever it holds", () => {
    const [q, k, v] = [draw(1, 4, E), draw(2, 5, E), draw(3, 5, Ev)];
    const mask = tensor([true, true, false, true, true]) as unknown as Bools;
    const other = (t: Floats): Floats =>
      tensor(
        t.dataSync().map((x, i) => (Math.floor(i / t.shape[1]!) === 2 ? Number.NaN : x)),
        { shape: t.shape as number[] },
      ) as unknown as Floats;
    for (const causal of [false, true])
      expect(taylorAttention(q, other(k), other(v), { mask, causal }).toArray()).toEqual(
        taylorAttention(q, k, v, { mask, causal }).toArray(),
      );
  });

  test("in f32 it stays within the tolerance of f64", () => {
    const make = (seed: number) => normal([2, 300, 16], { key: randomKey(seed) });
    const [q, k, v] = [make(1), make(2), make(3)];
    const wide = (t: Tensor): Floats =>
      tensor(Float64Array.from(t.dataSync()), { shape: t.shape as number[] }) as unknown as Floats;
    const want = taylorAttention(wide(q), wide(k), wide(v), { causal: true });
    const got = taylorAttention(q, k, v, { causal: true });
    expect(firstDifference(got.dataSync(), want.dataSync(), dtypes.f32.tolerance[0])).toBeUndefined();
  });
});
