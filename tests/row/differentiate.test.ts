// Derivatives of the row language against central differences in f64, read by the plain reading.

import { describe, expect, test } from "vitest";
import { Formula } from "../../core/formula.ts";
import * as w from "../../core/words.ts";
import { root } from "../../core/words.ts";
import { derived, differences, read } from "./read.ts";

const x = w.rowInput("x");
const y = w.rowInput("y");
const s = w.scalarInput("s");
const xs = [0.31, -0.22, 1.13, 0.74, -0.95];
const positive = [0.31, 1.22, 2.13, 0.74, 0.95];
const ys = [0.41, 0.72, -0.33, 0.44, 0.85];
const cotangent = [0.7, -1.3, 0.4, 1.1, -0.6];

function agrees(formula: Formula, inputs: number[][], tolerance = 1e-7): void {
  const n = inputs[0]!.length;
  const cotangents = formula.kinds.map((kind, k) => (kind === "row" ? cotangent.slice(0, n) : [0.8 - k]));
  const want = differences(formula, inputs, cotangents, n);
  const { saved, pure } = derived(formula, inputs, cotangents, n);
  want.forEach((values, i) => {
    values.forEach((v, j) => {
      expect(Math.abs(saved[i]![j]! - v)).toBeLessThan(tolerance * (1 + Math.abs(v)));
      expect(Math.abs(pure[i]![j]! - v)).toBeLessThan(tolerance * (1 + Math.abs(v)));
    });
  });
}

/** First derivative, and the derivative of the derivative. */
function agreesTwice(formula: Formula, inputs: number[][]): void {
  agrees(formula, inputs);
  const { pure } = formula.gradient((1 << inputs.length) - 1);
  if (pure.results.length > 0)
    agrees(pure, [...inputs, ...formula.kinds.map((k) => (k === "row" ? ys : [0.9]))], 1e-6);
}

describe("every elementwise word has the derivative of its value", () => {
  const unary: readonly [string, (v: w.Row) => w.Value, number[]][] = [
    ["neg", w.neg, xs],
    ["exp", w.exp, xs],
    ["expm1", w.expm1, xs],
    ["log", w.log, positive],
    ["log1p", w.log1p, positive],
    ["sqrt", w.sqrt, positive],
    ["sin", w.sin, xs],
    ["cos", w.cos, xs],
    ["tanh", w.tanh, xs],
    ["erf", w.erf, xs],
    ["logNormalCdf", w.logNormalCdf, xs],
    ["sigmoid", w.sigmoid, xs],
    ["softplus", w.softplus, xs],
    ["abs", w.abs, xs],
    ["sign", w.sign, xs],
    ["floor", w.floor, xs],
    ["round", w.round, xs],
    ["relu", w.relu, xs],
    ["xlogx", w.xlogx, positive],
    ["log1pRatio", (v) => w.log1pRatio(v), xs],
    ["log1pRatio of order 1", (v) => w.log1pRatio(v, 1), xs],
    ["expm1Ratio", (v) => w.expm1Ratio(v), xs],
    ["expm1Ratio of order 2", (v) => w.expm1Ratio(v, 2), xs],
    ["clamp", (v) => w.clamp(v, -0.5, 1), xs],
    ["pow by a constant", (v) => w.pow(v, 3), xs],
    ["posPow by a constant", (v) => w.posPow(v, 1.5), xs],
    ["select", (v) => w.select(w.greater(v, 0), w.mul(v, v), w.exp(v)), xs],
  ];
  test.each(unary)("%s", (name, word, at) => agreesTwice(new Formula(name, [x], [word(x)]), [at]));

  const binary: readonly [string, (a: w.Row, b: w.Row) => w.Value, number[]][] = [
    ["add", w.add, xs],
    ["sub", w.sub, xs],
    ["mul", w.mul, xs],
    ["mulZero", w.mulZero, xs],
    ["div", (a, b) => w.div(b, a), positive],
    ["pow", w.pow, positive],
    ["posPow", w.posPow, xs],
    ["maximum", w.maximum, xs],
    ["minimum", w.minimum, xs],
  ];
  test.each(binary)("%s", (name, word, at) => agreesTwice(new Formula(name, [x, y], [word(x, y)]), [at, ys]));
});

describe("reductions", () => {
  test.each<[string, w.Value]>([
    ["sum", w.sum(w.mul(x, x))],
    ["sum with scalar factors", w.sum(w.div(w.mul(s, w.exp(x)), w.add(2, s)))],
    ["max", w.max(w.mul(x, s))],
    ["min", w.min(w.mul(x, s))],
    ["pick", w.pick(w.exp(w.mul(s, x)), 2)],
    ["cumsum", w.cumsum(w.mul(s, w.exp(x)))],
    ["a masked sum", w.sum(w.select(w.greater(x, 0), w.mul(s, x), 0))],
    ["a scalar that feeds a row", w.mul(x, w.sum(w.mul(s, x)))],
  ])("%s", (name, e) => agreesTwice(new Formula(name, [x, s], [e]), [xs, [0.6]]));

  test("counts, positions and order statistics are piecewise constant", () => {
    for (const e of [w.count(w.greater(x, 0)), w.argmax(x), w.kth(x, 2)]) {
      expect(new Formula("constant", [x], [e]).gradient(1).parts).toEqual([{ how: "zero" }]);
    }
  });
});

describe("root", () => {
  const z = w.sub(x, w.stop(w.max(x)));
  const sparsemax = (): Formula => {
    const tau = root((t) => w.sub(w.sum(w.relu(w.sub(z, t))), 1), -1, 0);
    return new Formula("sparsemax", [x], [w.relu(w.sub(z, tau))], { nanRows: true });
  };

  test("the threshold of sparsemax moves by the implicit function theorem", () => {
    agreesTwice(sparsemax(), [xs]);
    expect(read(sparsemax().runnable, [[-2, 0, 0.5]], 3)).toEqual([[0, 0.25, 0.75]]);
  });

  test("a parameter inside the equation receives its derivative", () => {
    const tau = root((t) => w.sub(w.sum(w.posPow(w.sub(z, t), s)), 1), -1, 0);
    agreesTwice(new Formula("power", [x, s], [w.posPow(w.sub(z, tau), s)]), [xs, [1.7]]);
  });

  test("α-entmax as a q-exponential is right at α = 1, near it, and beyond 2", () => {
    const eps = w.sub(s, 1);
    const p = (l: w.Scalar): w.Row => {
      const u = w.sub(z, l);
      const v = w.mul(eps, u);
      return w.select(w.greater(v, -1), w.exp(w.mul(u, w.log1pRatio(v))), 0) as w.Row;
    };
    const width = w.mul(w.log(w.n), w.expm1Ratio(w.neg(w.mul(eps, w.log(w.n)))));
    const entmax = new Formula(
      "entmax",
      [x, s],
      [p(root((l) => w.sub(w.sum(p(l)), 1), 0, width as w.Scalar))],
    );
    for (const alpha of [1, 1.0001, 1.3, 1.5, 2.2]) agreesTwice(entmax, [xs, [alpha]]);
  });

  test("where no entry is free the root does not move", () => {
    const tau = root((t) => w.sub(w.sum(w.clamp(w.sub(x, t), 0, 1)), 2), -3, 3);
    const formula = new Formula("two of them", [x], [w.clamp(w.sub(x, tau), 0, 1)]);
    const { saved } = derived(formula, [[5, 5, -5, -5]], [[1, 2, 3, 4]], 4);
    expect(saved[0]!.every(Number.isFinite)).toBe(true);
  });

  test("an equation without its unknown, or without a reduction, is refused", () => {
    expect(() => root(() => w.sum(x), -1, 0)).toThrow("root: the equation does not contain its unknown");
    expect(() => root((t) => w.sub(x, t) as unknown as w.Scalar, -1, 0)).toThrow(
      "root: the equation gives no scalar",
    );
  });
});

describe("what only differentiation sees", () => {
  test("stop is a constant", () => {
    const { saved } = derived(new Formula("stopped", [x], [w.mul(x, w.stop(x))]), [xs], [cotangent], 5);
    expect(saved[0]).toEqual(xs.map((v, i) => v * cotangent[i]!));
  });

  test("differentiateAs has the value of the first and the derivatives of the second", () => {
    const formula = new Formula("straight through", [x], [w.differentiateAs(w.sign(x), w.mul(3, x))]);
    expect(read(formula.runnable, [xs], 5)[0]).toEqual(xs.map(Math.sign));
    expect(derived(formula, [xs], [cotangent], 5).saved[0]).toEqual(cotangent.map((g) => 3 * g));
  });

  test("a cotangent that is selected away cannot bring NaN back", () => {
    const formula = new Formula("guarded", [x], [w.select(w.greater(x, 0), w.log(x), 0)]);
    const at = [-1, 0, 2];
    const ones = [1, 1, 1];
    expect(derived(formula, [at], [ones], 3).saved[0]).toEqual([0, 0, 0.5]);
    const [, , second] = derived(formula.gradient(1).pure, [at, ones], [ones], 3).saved[0]!;
    expect(second).toBe(-0.25);
  });

  test("a zero cotangent meets an infinite factor as zero", () => {
    const formula = new Formula("weighted", [x, y], [w.sum(w.mulZero(y, w.mul(x, x)))]);
    const masked = [3, Number.NEGATIVE_INFINITY];
    expect(derived(formula, [masked, [1, 0]], [[1]], 2).saved[0]).toEqual([6, 0]);
  });

  test("NaN anywhere makes the gradient of a row map NaN, even behind a mask", () => {
    const z = w.sub(x, w.stop(w.max(x)));
    const tau = root((t) => w.sub(w.sum(w.relu(w.sub(z, t))), 1), -1, 0);
    const formula = new Formula("sparsemax", [x], [w.relu(w.sub(z, tau))], { nanRows: true });
    const { saved, pure } = derived(formula, [[0, 5, Number.NaN]], [[1, 2, 3]], 3);
    expect(saved[0]!.every(Number.isNaN)).toBe(true);
    expect(pure[0]!.every(Number.isNaN)).toBe(true);
  });
});

describe("what a backward program reads", () => {
  const z = w.sub(x, w.stop(w.max(x)));
  const e = w.exp(z);
  const p = w.div(e, w.sum(e));

  test("softmax by hand reads its result and nothing else of the forward pass", () => {
    const softmax = new Formula("softmax", [x], [p], {
      nanRows: true,
      vjp: ([g]) => ({ x: w.mul(p, w.sub(g!, w.sum(w.mul(g!, p)))) }),
    });
    agreesTwice(softmax, [xs]);
    expect(softmax.gradient(1).sources.map((s) => s.from)).toEqual(["cotangent", "result"]);
    expect(softmax.gradient(1).forward.program.results).toHaveLength(1);
  });

  test("a sum hands its cotangent on without computing anything", () => {
    const plus = new Formula("add", [x, y], [w.add(x, y)]);
    expect(plus.gradient(3).parts).toEqual([
      { how: "cotangent", at: 0 },
      { how: "cotangent", at: 0 },
    ]);
  });

  test("scalars of the forward pass are saved, rows are not", () => {
    const derivedSoftmax = new Formula("softmax", [x], [p]);
    const { forward } = derivedSoftmax.gradient(1);
    expect(forward.program.kinds.slice(1).every((kind) => kind === "scalar")).toBe(true);
  });
});
