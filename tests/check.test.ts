// The checks themselves: they find wrong gradients and broken laws, tell kinks from mistakes, and draw what they promise.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkLaws,
  distributions,
  gradcheck,
  gradgradcheck,
  labels,
  laws,
  masks,
  objectionTo,
  scoreRow,
  scoreRows,
  shapes,
  tensors,
} from "../core/check/index.ts";
import { tensor } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, GradientError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import type { Row } from "../core/row/expr.ts";
import { rowMap } from "../core/rowop.ts";
import { memory, scope } from "../core/scope.ts";
import { record } from "../core/tape.ts";
import { isContiguous, type Tensor } from "../core/tensor.ts";
import * as words from "../core/words.ts";
import {
  abs,
  argmax,
  cast,
  div,
  equal,
  floor,
  greater,
  log,
  matmul,
  mul,
  relu,
  softmax,
  sparsemax,
  sqrt,
  square,
  straightThroughArgmax,
  sub,
  sum,
  where,
} from "../ops/index.ts";

type Vector = Tensor<readonly number[], "f64">;
const f64 = (data: number[] | number[][]): Vector => tensor(data, { dtype: "f64" }) as unknown as Vector;

/** Softmax in the words of formulas. */
const softmaxWords = (x: Row): Row => {
  const e = words.exp(words.sub(x, words.max(x)));
  return words.div(e, words.sum(e));
};

/** Falls with the scores: neither a distribution nor anything like it. */
const falling = rowMap("falling", {
  doc: "Breaks every law.",
  program: ({ x }) => words.sub(words.mul(-2, x), words.exp(x)),
  examples: [],
});
/** What falls, unequal from entry to entry and without NaN. */
const oddity = (x: Tensor): Tensor => {
  const places = tensor(
    Array.from({ length: x.shape.at(-1)! }, (_, i) => i - 2.5),
    { dtype: x.dtype },
  ) as Vector;
  const y = mul(falling(x as Vector), places) as Vector;
  return where(equal(y, y), y, mul(places, 0)) as Tensor;
};

/** A square whose gradient is stated as `factor`·x. */
function square_(x: Tensor, factor: number): Tensor {
  const y = scope(() =>
    tensor(
      Array.from(x.dataSync(), (v) => v * v),
      { dtype: "f64" },
    ),
  );
  record({ name: "square", vjp: ([g]) => [mul(mul(g as Vector, x as Vector), factor)] }, [x], [y]);
  return y;
}

describe("gradcheck", () => {
  test("passes right gradients of several inputs, records and parameters, and counts the entries", () => {
    const x = f64([[1, -2, 0.5]]);
    const w = f64([
      [1, 2],
      [0, 1],
      [3, -1],
    ]);
    const f = (x: Tensor, { w }: { w: Tensor }): Tensor => softmax(matmul(x as Vector, w as Vector));
    const report = gradcheck(f, [x, { w }]);
    expect(report).toMatchObject({ checked: 9, kinks: 0 });
    expect(Math.abs(report.worst.analytic - report.worst.numeric)).toBeLessThan(1e-9);
    expect(gradgradcheck(f, [x, { w }])).toMatchObject({ checked: 11, kinks: 0 });

    const p = new Parameter(w);
    const before = p.value.toArray();
    expect(
      gradcheck((x: Vector, p: Parameter) => softmax(matmul(x, p.value as Vector)), [x, p]),
    ).toMatchObject({ checked: 9 });
    expect(p.value.toArray()).toEqual(before);
  });

  test("finds a wrong gradient and says where", () => {
    const x = f64([1, 2, 3]);
    expect(() => gradcheck((x) => square_(x, 2), [x])).not.toThrow();
    expect(() => gradcheck((x) => square_(x, 2.001), [x])).toThrow(GradientError);
    expect(() => gradcheck((x) => square_(x, 2.001), [x])).toThrow(
      /^gradcheck: the derivative with respect to argument 0 at \[0\] is .+ by differences, but .+ by the tape; /,
    );
    expect(() =>
      gradcheck((a, { b }) => mul(a, square_(b, 1) as Vector), [x, { b: x }] as [Vector, { b: Vector }]),
    ).toThrow(/argument 1\.b at \[0\]/);
  });

  test("finds a wrong second derivative where the first is right", () => {
    // x², with a gradient that stands right but is constant in x.
    const f = (x: Tensor): Tensor => {
      const y = scope(() =>
        tensor(
          Array.from(x.dataSync(), (v) => v * v),
          { dtype: "f64" },
        ),
      );
      const fixed = tensor(
        Array.from(x.dataSync(), (v) => 2 * v),
        { dtype: "f64" },
      ) as Vector;
      record({ name: "square", vjp: ([g]) => [mul(g as Vector, fixed)] }, [x], [y]);
      return y;
    };
    expect(() => gradcheck(f, [f64([1, 2])])).not.toThrow();
    expect(() => gradgradcheck(f, [f64([1, 2])])).toThrow(GradientError);
  });

  test("a wrong gradient is not taken for a kink, and a strong curvature is no mistake", () => {
    expect(() =>
      gradcheck((x) => where(greater(x, 1e3), mul(x, 2), square_(x, 3) as Vector), [f64([1, 2])]),
    ).toThrow(/by differences/);
    expect(gradcheck(log, [f64([1e-3, 1e-2])])).toMatchObject({ checked: 2, kinks: 0 });
    expect(gradcheck(sqrt, [f64([1e-5, 1])])).toMatchObject({ checked: 2, kinks: 0 });
  });

  test("an entry on a kink is left out, one near it is not, and too many are refused", () => {
    expect(gradcheck(relu, [f64([0, 1e-6, 1, 2, -3])])).toMatchObject({ checked: 4, kinks: 1 });
    expect(gradcheck(floor, [f64([2, 1.5, 1.25, 0.5, 0.75])])).toMatchObject({ checked: 4, kinks: 1 });
    expect(gradcheck(abs, [f64([0, 1])]), "the convention of 0 is the mean of both sides").toMatchObject({
      checked: 2,
    });
    expect(() => gradcheck(relu, [f64([0, 0, 1])])).toThrow(/2 of 3 entries lie on kinks/);
    expect(gradcheck(relu, [f64([0, 0, 1])], { kinks: 0.7 })).toMatchObject({ checked: 1, kinks: 2 });
  });

  test("a constant gradient is right and its derivative zero", () => {
    expect(gradgradcheck(sum, [f64([1, 2, 3])])).toMatchObject({ checked: 4 });
  });

  test("what is infinite does not move", () => {
    expect(gradcheck(softmax, [f64([1, Number.NEGATIVE_INFINITY, 0])])).toMatchObject({ checked: 3 });
  });

  test("many entries are sampled, from every input", () => {
    const big = tensor(
      Float64Array.from({ length: 400 }, (_, i) => i / 100),
      { shape: [400] },
    ) as Vector;
    expect(gradcheck((a, b) => mul(a, b), [big, f64([2])], { entries: 10, seed: 3 })).toMatchObject({
      checked: 10,
    });
  });

  test("integers pass through and carry no gradient", () => {
    const index = tensor([1, 0], { dtype: "i32" });
    expect(gradcheck((x, i) => mul(x, cast(i, "f64")), [f64([1, 2]), index])).toMatchObject({ checked: 2 });
  });

  test("refuses what cannot be checked, and says what to do", () => {
    expect(() => gradcheck(softmax, [tensor([1, 2])])).toThrow(DTypeError);
    expect(() => gradcheck(softmax, [f64([1, Number.NaN])])).toThrow(/argument 0 holds NaN/);
    expect(() => gradcheck(log, [f64([-1])])).toThrow(/entry 0 of the value is NaN/);
    expect(() => gradcheck((x: Vector) => argmax(x), [f64([1, 2])])).toThrow(GradientError);
    expect(() => gradcheck((_: Vector) => f64([1]), [f64([1])])).toThrow(GradientError);
    expect(() => gradcheck((x: number) => f64([x]), [1])).toThrow(ArgumentError);
    expect(() => gradcheck(softmax, f64([1]) as never)).toThrow(ArgumentError);
    expect(() => gradcheck("softmax" as never, [f64([1])])).toThrow(ArgumentError);
    expect(() => gradcheck(square, [f64([1])], { tolerance: -1 })).toThrow(DomainError);
  });

  test("leaves memory as it was", () => {
    scope(() => {
      const x = f64([[1, 2, 4]]);
      const before = memory();
      gradcheck(sparsemax, [x]);
      gradgradcheck(softmax, [x]);
      expect(() => gradcheck((x) => square_(x, 3), [x])).toThrow();
      expect(memory().tensors).toBe(before.tensors);
      expect(memory().bytes).toBe(before.bytes);
    });
  });
});

describe("laws", () => {
  const rows = f64([
    [0.25, 0.5, 0.25],
    [1, -1, 3],
  ]) as unknown as Tensor<readonly number[], FloatDType>;
  /** Half of what softmax gives. */
  const half = (x: Tensor): Tensor => mul(softmax(x as Vector), 0.5) as Tensor;

  test("a law names what contradicts it on given rows", async () => {
    expect(await laws.sumsToOne.objection(softmax, rows)).toBeUndefined();
    expect(await laws.sumsToOne.objection(half, rows)).toMatch(/^the row sums to 0\.(5|49)/);
    expect(await laws.idempotentOnSimplex.objection(softmax, rows)).toMatch(/for a distribution$/);
  });

  test("objectionTo holds a function against one law on rows of numbers", async () => {
    const before = memory().tensors;
    expect(await objectionTo(softmax, "sumsToOne", [[1, 2]])).toBeUndefined();
    expect(await objectionTo(softmax, "exactZeros", [[0, -30]], { device: "js" })).toMatch(
      /^entry 1, of the smallest score, is 9\.35\d+e-14$/,
    );
    expect(memory().tensors).toBe(before);
    await expect(objectionTo(softmax, "sumsToTwo", [[1]])).rejects.toThrow(/^objectionTo: there is no law/);
    await expect(objectionTo(1 as never, "sumsToOne", [[1]])).rejects.toThrow(ArgumentError);
  });

  test("laws are held against scores of a domain, and without consequences that are excepted", async () => {
    const normalised = (x: Tensor): Tensor =>
      div(x as Vector, sum(x as Vector, { axis: -1, keepDims: true }) as never) as Tensor;
    const score = (v: number): number => Math.abs(v) + 1;
    await expect(checkLaws(normalised, ["nonNegative"])).rejects.toThrow();
    await checkLaws(normalised, ["nonNegative", "scaleInvariant"], { score, without: ["masked"] });
    await expect(checkLaws(straightThroughArgmax, ["scaleInvariant"])).rejects.toThrow(/orthogonal/);
    await checkLaws(straightThroughArgmax, ["scaleInvariant"], { except: ["gradientOrthogonalToScores"] });
  });

  test("checkLaws finds the broken law and shrinks to a small row", async () => {
    await checkLaws(sparsemax, ["sumsToOne", "shiftInvariant", "exactZeros"]);
    await expect(checkLaws(half, ["sumsToOne"])).rejects.toThrow(/Counterexample: \[\[\[0\]\]\]/);
    await expect(checkLaws(half, ["sumsToOne"])).rejects.toThrow(
      /Every row sums to one\. But the row sums to 0\.5\./,
    );
    await expect(checkLaws(softmax, ["exactZeros"])).rejects.toThrow(/exactly/);
    await expect(checkLaws(sparsemax, ["strictlyMonotone"])).rejects.toThrow(/larger probability/);
    await expect(checkLaws(square, ["shiftInvariant"], { without: ["masked"] })).rejects.toThrow(
      /changes nothing/,
    );
    await expect(
      checkLaws(((x: Vector, y: Vector) => mul(x, mul(y, y))) as never, ["commutative"]),
    ).rejects.toThrow(/order of the two/);
  });

  test("what follows from a law is checked with it", async () => {
    // Shift-invariant values, but a gradient that does not sum to zero.
    const unbalanced = rowMap("unbalanced", {
      doc: "Softmax with a wrong gradient.",
      program: ({ x }) => ({ result: softmaxWords(x), vjp: ([g]) => ({ x: g! }) }),
      examples: [],
    });
    await expect(checkLaws(unbalanced, ["shiftInvariant"])).rejects.toThrow(/gradient .* sums to zero/);
  });

  test("a law that there is not is refused with the list of those that are", async () => {
    await expect(checkLaws(softmax, ["sumsToTwo"])).rejects.toThrow(ArgumentError);
    await expect(checkLaws(softmax, ["sumsToTwo"])).rejects.toThrow(
      /no law "sumsToTwo"; the laws are sumsToOne/,
    );
    await expect(checkLaws("softmax" as never, [])).rejects.toThrow(ArgumentError);
  });

  test("every law is a sentence and is broken by some function", async () => {
    const byTotal = (x: Tensor): Tensor =>
      mul(x as Vector, sum(x as Vector, { axis: -1, keepDims: true }) as never);
    for (const [name, law] of Object.entries(laws)) {
      expect(law.sentence, name).toMatch(/^[A-Z].+\.$/);
      const f = name === "commutative" ? sub : name === "jacobianSymmetric" ? byTotal : oddity;
      await expect(checkLaws(f as never, [name]), name).rejects.toThrow();
    }
  });
});

describe("arbitraries", () => {
  test("shapes keep their limits", () => {
    fc.assert(
      fc.property(
        shapes({ minRank: 1, maxRank: 3, minSize: 2, maxSize: 4 }),
        (shape) => shape.length >= 1 && shape.length <= 3 && shape.every((n) => n >= 2 && n <= 4),
      ),
    );
  });

  test("tensors come in every layout, with the shape, element type and range asked for", () => {
    const drawn = fc.sample(tensors({ shape: [2, 3], dtype: "f32", min: 0, max: 1 }), {
      numRuns: 100,
      seed: 1,
    });
    for (const t of drawn) {
      expect([t.shape, t.dtype]).toEqual([[2, 3], "f32"]);
      expect(t.dataSync().every((v) => v >= 0 && v <= 1)).toBe(true);
    }
    const strides = new Set(drawn.map((t) => `${t.strides}`));
    for (const wanted of ["3,1", "1,2", "14,2", "-3,-1", "1,0"]) expect([...strides]).toContain(wanted);
    expect(
      fc.sample(tensors({ layouts: ["contiguous"] }), { numRuns: 20, seed: 1 }).every(isContiguous),
    ).toBe(true);
    expect(
      fc.sample(tensors({ dtype: "bool" }), { numRuns: 5, seed: 1 }).every((t) => t.dtype === "bool"),
    ).toBe(true);
  });

  test("a tensor shrinks to a small one that prints its numbers", () => {
    const small = fc.property(tensors({ maxRank: 1 }), (x) => sum(x).item() < 5);
    expect(() => fc.assert(small, { seed: 5 })).toThrow(/Counterexample: \[Tensor \[\] f64 on \w+: 5\]/);
  });

  test("rows of scores hold the hard cases", () => {
    const kinds = fc.sample(scoreRow(), { numRuns: 300, seed: 2 });
    const some = (holds: (row: number[]) => boolean): boolean => kinds.some(holds);
    expect(some((row) => row.length === 1)).toBe(true);
    expect(some((row) => row.length > 2 && new Set(row).size < row.length)).toBe(true);
    expect(some((row) => row.every((v) => v > 9e3))).toBe(true);
    expect(some((row) => row.includes(Number.NEGATIVE_INFINITY))).toBe(true);
    expect(some((row) => row.some((v) => v === 2 ** -20))).toBe(true);
    expect(
      kinds.every(
        (row) =>
          row.some(Number.isFinite) && !row.some(Number.isNaN) && !row.includes(Number.POSITIVE_INFINITY),
      ),
    ).toBe(true);
    expect(kinds.flat().every((v) => Object.is(Math.fround(v), v))).toBe(true);
    expect(fc.sample(scoreRow({ kinds: ["nan"] }), 20).every((row) => row.some(Number.isNaN))).toBe(true);
    expect(
      fc
        .sample(scoreRow({ kinds: ["infinite"] }), 20)
        .every(
          (row) => row.includes(Number.POSITIVE_INFINITY) || row.every((v) => v === Number.NEGATIVE_INFINITY),
        ),
    ).toBe(true);
    expect(
      fc
        .sample(scoreRows({ maxRows: 4 }), 50)
        .every((rows) => rows.length <= 4 && rows.every((row) => row.length === rows[0]!.length)),
    ).toBe(true);
  });

  test("labels, distributions and masks fit the classes", () => {
    fc.assert(
      fc.property(
        labels(4, 3),
        (y) => y.length === 3 && y.every((v) => Number.isInteger(v) && v >= 0 && v < 4),
      ),
    );
    fc.assert(
      fc.property(
        distributions(5),
        (q) => q.length === 5 && q.every((v) => v >= 0) && q.reduce((a, b) => a + b) === 1,
      ),
    );
    fc.assert(
      fc.property(
        masks(3, 2),
        (m) => m.length === 2 && m.every((row) => row.length === 3 && row.includes(true)),
      ),
    );
    expect(fc.sample(masks(2, 1, { allowEmpty: true }), 50).some(([row]) => !row!.includes(true))).toBe(true);
  });
});
