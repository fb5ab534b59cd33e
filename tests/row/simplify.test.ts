// What building an expression simplifies, and how formulas print.

import { describe, expect, test } from "vitest";
import { Formula } from "../../core/formula.ts";
import { printGradient, printProgram } from "../../core/print.ts";
import * as w from "../../core/words.ts";
import { root } from "../../core/words.ts";

const x = w.rowInput("x");
const y = w.rowInput("y");
const s = w.scalarInput("s");

describe("equal formulas are the same node", () => {
  test("sums and products do not depend on the order of their arguments", () => {
    expect(w.add(x, y)).toBe(w.add(y, x));
    expect(w.mul(x, y)).toBe(w.mul(y, x));
    expect(w.sub(x, y)).not.toBe(w.sub(y, x));
  });

  test("zeros, ones and double signs go", () => {
    expect(w.add(x, 0)).toBe(x);
    expect(w.mul(1, x)).toBe(x);
    expect(w.neg(w.neg(x))).toBe(x);
    expect(w.constantOf(w.mul(x, 0))).toBe(0);
    expect(w.sub(x, w.neg(y))).toBe(w.add(x, y));
    expect(w.constantOf(w.mul(2, w.sub(5, 2)))).toBe(6);
  });

  test("a mask stays a select, and signs float out of it", () => {
    const mask = w.greater(x, 0);
    expect(w.mul(w.select(mask, x, 0), y)).toBe(w.select(mask, w.mul(x, y), 0));
    expect(w.select(mask, w.neg(x), 0)).toBe(w.neg(w.select(mask, x, 0)));
  });

  test("a sum lets out signs and masks, but keeps what its author has scaled", () => {
    expect(w.sum(w.neg(x))).toBe(w.neg(w.sum(x)));
    expect(w.sum(w.select(w.greater(x, 0), s, 0))).toBe(w.mul(s, w.count(w.greater(x, 0))));
    expect(w.sum(s)).toBe(w.mul(w.n, s));
    expect(w.sum(w.mul(s, x)).word).toBe("sum");
  });

  test("pick goes down to what is stored", () => {
    expect(w.pick(w.exp(w.sub(x, s)), 1)).toBe(w.exp(w.sub(w.pick(x, 1), s)));
    expect(w.pick(s, 1)).toBe(s);
  });
});

test("numbers and truth values do not mix", () => {
  expect(() => w.add(w.greater(x, 0) as unknown as w.Row, 1)).toThrow(
    "add: a truth value stands where a number",
  );
  expect(() => w.select(x as unknown as w.RowMask, 1, 2)).toThrow(
    "select: a number stands where a truth value",
  );
  expect(() => w.exp("1" as unknown as number)).toThrow('exp: "1" stands where a number');
});

describe("printing", () => {
  test("a program reads from top to bottom, with its reductions named", () => {
    const e = w.exp(w.sub(x, w.max(x)));
    const softmax = new Formula("softmax", [x], [w.div(e, w.sum(e))]);
    expect(printProgram(softmax.runnable.program)).toBe(
      ["softmax(row x)", "  m = max(x)", "  r = exp(x − m)", "  Σ = sum(r)", "  → row r / Σ"].join("\n"),
    );
  });

  test("a root prints its equation", () => {
    const z = w.sub(x, w.max(x));
    const tau = root((t) => w.sub(w.sum(w.relu(w.sub(z, t))), 1), -1, 0);
    const text = printProgram(new Formula("sparsemax", [x], [w.relu(w.sub(z, tau))]).runnable.program);
    expect(text).toContain("τ = the t in [−1, 0] with sum(relu(r − t)) − 1 = 0");
  });

  test("a derived gradient prints as a program of inputs and cotangents", () => {
    const square = new Formula("square", [x], [w.mul(x, x)]);
    expect(printGradient(square)).toBe("squareGradient(row x, row g)\n  → row 2 · g ·₀ x");
  });
});
