// Compiled row programs against the plain reading in f64, over every word, storage type and row length.

import { describe, expect, test } from "vitest";
import { runRows } from "../../core/backends/js/rows.ts";
import { compileRows, type RowFunction } from "../../core/backends/wasm/emit.ts";
import { type DType, dtypes, type FloatDType, type TypedArray } from "../../core/dtype.ts";
import { adjoints } from "../../core/row/differentiate.ts";
import { Kernel, type Program } from "../../core/row/program.ts";
import { schedule } from "../../core/row/schedule.ts";
import * as R from "../../core/words.ts";
import { root } from "../../core/words.ts";

const memory = new WebAssembly.Memory({ initial: 4096 });
const lengths = [...Array.from({ length: 40 }, (_, i) => i + 1), 63, 64, 65, 1000, 1001];
const floats = ["f32", "f64"] as const;

/** Values of an operand, and the elements from one row to the next. */
interface Operand {
  readonly values: ArrayLike<number>;
  readonly stride: number;
}

function compiled(kernel: Kernel): RowFunction {
  kernel.compiled.wasm ??= compileRows(kernel, memory);
  return kernel.compiled.wasm as RowFunction;
}

function view(dtype: DType, address: number, length: number): TypedArray {
  const array = dtypes[dtype].array as unknown as new (
    buffer: ArrayBuffer,
    at: number,
    length: number,
  ) => TypedArray;
  return new array(memory.buffer, address, length);
}

/** Runs rows begin … end of a kernel and checks that it wrote nothing but its results. */
function run(
  kernel: Kernel,
  operands: readonly Operand[],
  rows: number,
  n: number,
  [begin, end] = [0, rows],
): TypedArray[] {
  const { call, scratchBytes } = compiled(kernel);
  let next = 1024;
  const guard = 0xa5;
  const place = (bytes: number): number => {
    const at = next;
    next += ((bytes + 15) & -16) + 64;
    new Uint8Array(memory.buffer, at, bytes + 64).fill(guard);
    return at;
  };
  const parameters: number[] = [];
  operands.forEach(({ values, stride }, k) => {
    const dtype = kernel.inputs[k]!;
    const { width } = dtypes[dtype];
    const at = place(values.length * width);
    view(dtype, at, values.length).set(Array.from(values));
    parameters.push(at, stride * width);
  });
  const outputs = kernel.outputs.map((dtype, k) => {
    const length = kernel.program.kinds[k] === "row" ? rows * n : rows;
    const bytes = length * dtypes[dtype].width;
    const at = place(bytes);
    parameters.push(at);
    return { dtype, at, length, bytes };
  });
  const scratch = place(scratchBytes(n));
  call(...parameters, scratch, begin, end, n);
  for (const { at, bytes } of [...outputs, { at: scratch, bytes: scratchBytes(n) + 16 }]) {
    expect(new Uint8Array(memory.buffer, at + bytes, 16).every((b) => b === guard)).toBe(true);
  }
  return outputs.map(({ dtype, at, length }) => view(dtype, at, length).slice());
}

/** What the plain reading in f64 makes of the operands as this kernel stores them. */
function plain(kernel: Kernel, operands: readonly Operand[], rows: number, n: number): Float64Array[] {
  const { program } = kernel;
  const inputs = kernel.inputs.map((d) => (d === "f32" ? "f64" : d));
  const outputs = program.kinds.map((kind) => new Float64Array(kind === "row" ? rows * n : rows));
  const stored = operands.map(({ values, stride }, k) => {
    const array = new dtypes[kernel.inputs[k]!].array(values.length);
    array.set(Array.from(values));
    return { array, offset: 0, rowStride: stride };
  });
  runRows(new Kernel(program, "f64", inputs), stored, outputs, rows, n);
  return outputs;
}

function expectClose(
  float: FloatDType,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) {
    const w = float === "f32" ? Math.fround(want[i]!) : want[i]!;
    const g = got[i]!;
    const same = Object.is(g, w) || g === w || Math.abs(g - w) <= tolerance * Math.max(1, Math.abs(w));
    if (!same) expect.fail(`${what} in ${float}: entry ${i} of ${want.length} is ${g}, not ${w}`);
  }
}

/** Runs a program both ways and compares. */
function check(
  program: Program,
  operands: (n: number, random: () => number) => Operand[],
  at: { rows?: number; tolerance?: Partial<Record<FloatDType, number>>; lengths?: readonly number[] } = {},
): void {
  for (const float of floats) {
    const kernel = Kernel.of(program, float);
    const random = generator(7);
    for (const n of at.lengths ?? lengths) {
      const rows = at.rows ?? 2;
      const given = operands(n, random);
      const want = plain(kernel, given, rows, n);
      run(kernel, given, rows, n).forEach((got, k) => {
        expectClose(
          float,
          got,
          want[k]!,
          at.tolerance?.[float] ?? (float === "f32" ? 2e-6 : 1e-13),
          `${program.name}, result ${k}, rows of ${n}`,
        );
      });
    }
  }
}

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const uniform = (size: number, random: () => number, low: number, high: number): Float64Array =>
  Float64Array.from({ length: size }, () => Math.fround(low + (high - low) * random()));

const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 0.5, 2];
/** Numbers of one range, every third of them special or a repetition. */
function mixed(size: number, random: () => number, low: number, high: number): Float64Array {
  const values = uniform(size, random, low, high);
  for (let i = 0; i < size; i++) {
    if (random() < 0.2) values[i] = special[Math.floor(random() * special.length)]!;
    else if (i > 0 && random() < 0.1) values[i] = values[i - 1]!;
  }
  return values;
}

const x = R.rowInput("x");
const y = R.rowInput("y");
const s = R.scalarInput("s");
const row = (values: ArrayLike<number>, n: number): Operand => ({ values, stride: n });
const perRow = (values: ArrayLike<number>): Operand => ({ values, stride: 1 });
const shared = (values: ArrayLike<number>): Operand => ({ values, stride: 0 });

function program(
  name: string,
  inputs: readonly R.Expr[],
  results: readonly R.Expr[],
  kinds?: readonly R.Kind[],
  stored?: Program["stored"],
): Program {
  return {
    name,
    inputs,
    results,
    kinds: kinds ?? results.map((e) => e.kind),
    stored: stored ?? results.map((e) => (e.sort === "bool" ? "bool" : "float")),
  };
}

describe("words", () => {
  type Range = readonly [low: number, high: number];
  const unary: Record<string, { word: (v: R.Row) => R.Expr; range?: Range }> = {
    neg: { word: R.neg },
    exp: { word: R.exp },
    "exp of what is not positive": { word: (v) => R.exp(R.neg(R.abs(v))) },
    expm1: { word: R.expm1 },
    log: { word: R.log, range: [-1, 30] },
    log1p: { word: R.log1p, range: [-1.2, 30] },
    sqrt: { word: R.sqrt, range: [-1, 30] },
    sin: { word: R.sin },
    cos: { word: R.cos },
    tanh: { word: R.tanh },
    erf: { word: R.erf, range: [-4, 4] },
    logNormalCdf: { word: R.logNormalCdf, range: [-20, 8] },
    sigmoid: { word: R.sigmoid, range: [-40, 40] },
    softplus: { word: R.softplus, range: [-40, 40] },
    abs: { word: R.abs },
    sign: { word: R.sign },
    floor: { word: R.floor },
    round: { word: R.round },
    relu: { word: R.relu },
    xlogx: { word: R.xlogx, range: [-1, 5] },
    "log1pRatio 0": { word: (v) => R.log1pRatio(v, 0), range: [-0.9, 5] },
    "log1pRatio 2": { word: (v) => R.log1pRatio(v, 2), range: [-0.7, 5] },
    "expm1Ratio 0": { word: (v) => R.expm1Ratio(v, 0), range: [-5, 5] },
    "expm1Ratio 2": { word: (v) => R.expm1Ratio(R.clamp(v, -20, 20), 2), range: [-5, 5] },
    "division by a power of two": { word: (v) => R.div(v, 8) },
    "division by a number": { word: (v) => R.div(v, 3) },
    not: { word: (v) => R.not(R.greater(v, 0)) },
    index: { word: (v) => R.add(v, R.index) },
    "a constant": { word: () => R.constant(0.25) },
    n: { word: (v) => R.add(v, R.n) },
    stop: { word: (v) => R.stop(v) },
  };
  test.each(Object.entries(unary))("%s", (name, { word, range }) => {
    check(
      program(name, [x], [word(x)], ["row"]),
      (n, random) => [row(mixed(2 * n, random, ...(range ?? ([-6, 6] as const))), n)],
      { tolerance: { f32: 4e-6, f64: 4e-14 } },
    );
  });

  const binary: Record<string, (a: R.Operand, b: R.Operand) => R.Expr> = {
    add: R.add,
    sub: R.sub,
    mul: R.mul,
    mulZero: (a, b) => R.mulZero(a, R.log(b)),
    div: R.div,
    maximum: R.maximum,
    minimum: R.minimum,
    greater: R.greater,
    greaterEqual: R.greaterEqual,
    less: R.less,
    lessEqual: R.lessEqual,
    equal: R.equal,
    and: (a, b) => R.and(R.greater(a, 0), R.greater(b, 0)),
    or: (a, b) => R.or(R.greater(a, 0), R.greater(b, 0)),
    select: (a, b) => R.select(R.greater(a, b), R.mul(a, 2), b),
    "select or zero": (a, b) => R.select(R.greater(a, b), a, 0),
    clamp: (a, b) => R.clamp(a, -1, R.abs(b)),
    "maximum with a number": (a) => R.maximum(a, -0.5),
    "minimum with a number": (a) => R.minimum(0.5, a),
  };
  test.each(Object.entries(binary))("%s, of rows and of a row and a scalar", (name, word) => {
    check(program(name, [x, y], [word(x, y)]), (n, random) => [
      row(mixed(2 * n, random, -4, 4), n),
      row(mixed(2 * n, random, -4, 4), n),
    ]);
    check(program(name, [x, s], [word(x, s)]), (n, random) => [
      row(mixed(2 * n, random, -4, 4), n),
      perRow(uniform(2, random, -4, 4)),
    ]);
    check(program(name, [s, x], [word(s, x)]), (n, random) => [
      perRow(uniform(2, random, -4, 4)),
      row(mixed(2 * n, random, -4, 4), n),
    ]);
    check(program(name, [s], [word(s, R.add(s, 1))]), (_, random) => [perRow(mixed(2, random, -4, 4))]);
  });

  test.each([
    ["pow", (a: R.Row, b: R.Operand) => R.pow(a, b), 0],
    ["posPow", (a: R.Row, b: R.Operand) => R.posPow(a, b), -2],
  ] as const)("%s", (name, word, low) => {
    const tolerance = { f32: 2e-5, f64: 4e-14 };
    check(
      program(name, [x, y], [word(x, y)]),
      (n, random) => [row(uniform(2 * n, random, low, 6), n), row(uniform(2 * n, random, -3, 3), n)],
      { tolerance },
    );
    check(
      program(name, [x, s], [word(x, s)]),
      (n, random) => [row(mixed(2 * n, random, Math.max(low, 0), 6), n), perRow([0.4, 2.5])],
      { tolerance },
    );
  });

  test("truth values and integers are read and stored as such", () => {
    const mask = R.rowInput("mask", "bool");
    const label = R.rowInput("label", "i32");
    const flag = R.scalarInput("flag", "bool");
    const count = R.scalarInput("count", "i32");
    check(
      program(
        "storage",
        [mask, label, flag, count, x],
        [
          R.select(mask, x, -1),
          R.and(mask, flag),
          R.add(label, count),
          R.add(R.mul(label, x), count),
          R.and(flag, R.greater(count, 2)),
          R.add(count, 1),
          R.argmax(x),
          R.count(R.and(R.not(mask), R.greater(x, 0))),
        ],
        ["row", "row", "row", "row", "scalar", "scalar", "scalar", "scalar"],
        ["float", "bool", "i32", "float", "bool", "i32", "i32", "i32"],
      ),
      (n, random) => [
        row(uniform(2 * n, random, 0, 2).map(Math.floor), n),
        row(uniform(2 * n, random, -50, 50).map(Math.floor), n),
        perRow([1, 0]),
        perRow([3, -7]),
        row(uniform(2 * n, random, -1, 1), n),
      ],
    );
  });
});

describe("folds", () => {
  test.each([
    ["sum", R.sum],
    ["max", R.max],
    ["min", R.min],
    ["argmax", R.argmax],
    ["count", (v: R.Row) => R.count(R.greater(v, 0.25))],
  ] as const)("%s, of numbers, of special values and of ties", (name, word) => {
    const p = program(name, [x], [word(x)]);
    const tolerance = { f32: 1e-6, f64: 1e-14 };
    check(p, (n, random) => [row(uniform(5 * n, random, -1, 2), n)], { rows: 5, tolerance });
    check(p, (n, random) => [row(mixed(9 * n, random, -1, 2), n)], { rows: 9, tolerance });
    check(p, (n, random) => [row(uniform(5 * n, random, 0, 3).map(Math.floor), n)], { rows: 5, tolerance });
    check(p, (n) => [row(new Float64Array(n).fill(-Infinity), n)], { rows: 1, tolerance });
  });

  test("one NaN at any position is found by max, min and argmax", () => {
    for (const float of floats) {
      const kernel = Kernel.of(program("extremes", [x], [R.max(x), R.min(x), R.argmax(x)]), float);
      for (const n of lengths) {
        for (let at = 0; at < n; at += n > 100 ? 97 : 1) {
          const values = Float64Array.from({ length: n }, (_, i) => (i === at ? Number.NaN : Math.sin(i)));
          expect(run(kernel, [row(values, n)], 1, n).map((r) => r[0])).toEqual([Number.NaN, Number.NaN, at]);
        }
      }
    }
  });

  test("the sum of 2²⁴ times 0.1 keeps six digits in f32", () => {
    const n = 2 ** 24;
    const kernel = Kernel.of(program("long sum", [x], [R.sum(x)]), "f32");
    const at = 65536;
    new Float32Array(memory.buffer, at, n).fill(0.1);
    compiled(kernel).call(at, 0, 1024, 2048, 0, 1, n);
    expect(Math.abs(new Float32Array(memory.buffer, 1024, 1)[0]! / (n * Math.fround(0.1)) - 1)).toBeLessThan(
      1e-6,
    );
  });

  test("folds of folds, and several rows in one pass", () => {
    const centred = R.sub(x, R.div(R.sum(x), R.n));
    const variance = R.div(R.sum(R.mul(centred, centred)), R.n);
    check(
      program(
        "moments",
        [x, y],
        [
          variance,
          R.div(centred, R.sqrt(R.add(variance, 1e-5))),
          R.sum(R.mul(centred, y)),
          R.max(R.mul(x, y)),
        ],
      ),
      (n, random) => [row(uniform(2 * n, random, -3, 3), n), row(uniform(2 * n, random, -3, 3), n)],
      { tolerance: { f32: 1e-4, f64: 1e-12 } },
    );
  });
});

describe("picking, ranks and running sums", () => {
  const label = R.scalarInput("label", "i32");

  test("pick holds a label within the row", () => {
    check(
      program(
        "pick",
        [x, label, s],
        [
          R.pick(R.mul(x, 2), label),
          R.pick(x, R.sub(label, s)),
          R.pick(R.greater(x, 0), label),
          R.pick(R.index, label),
        ],
      ),
      (n, random) => [
        row(uniform(4 * n, random, -3, 3), n),
        perRow([0, n - 1, n + 5, -2]),
        perRow([0, 1, 1, 0]),
      ],
      { rows: 4 },
    );
  });

  test.each(["numbers", "ties", "special values"])("kth is exact for every rank: %s", (kind) => {
    const k = R.scalarInput("k", "i32");
    for (const float of floats) {
      const kernel = Kernel.of(program("kth", [x, k], [R.kth(x, k)]), float);
      const random = generator(3);
      for (const n of [...lengths.slice(0, 20), 65, 1000]) {
        const values =
          kind === "numbers" ? uniform(n, random, -5, 5) : uniform(n, random, -2, 3).map(Math.floor);
        if (kind === "special values")
          for (let i = 0; i < n; i++) if (random() < 0.3) values[i] = special[1 + Math.floor(random() * 5)]!;
        const sorted = Float64Array.from(values).sort().reverse();
        const ranks =
          n > 100 ? [1, 2, 50, 500, 999, 1000, 2000, -1] : Array.from({ length: n + 2 }, (_, i) => i);
        const got = run(kernel, [{ values, stride: 0 }, perRow(ranks)], ranks.length, n)[0]!;
        const want = ranks.map((rank) => sorted[Math.max(1, Math.min(n, rank)) - 1]!);
        expectClose(float, got, want, 0, `kth of ${n}`);
      }
    }
  });

  test("kth of a formula, with a computed rank; NaN if the row holds one", () => {
    const half = R.floor(R.div(R.add(R.n, 1), 2));
    check(
      program("median", [x], [R.kth(R.exp(x), half), R.sum(R.exp(x))]),
      (n, random) => [row(mixed(6 * n, random, -3, 3), n)],
      { rows: 6, tolerance: { f32: 1e-5, f64: 1e-13 } },
    );
  });

  test("cumsum, read back by later words", () => {
    const c = R.cumsum(R.exp(x));
    check(
      program("cumsum", [x, label], [c, R.div(c, R.max(c)), R.pick(c, label), R.sum(R.exp(x))]),
      (n, random) => [row(uniform(2 * n, random, -2, 2), n), perRow([0, n >> 1])],
      { tolerance: { f32: 1e-5, f64: 1e-12 } },
    );
  });

  test("a one-hot term is added at the label alone, and nowhere for a label outside", () => {
    const real = R.scalarInput("real");
    const hot = R.oneHot(label, s);
    check(
      program(
        "hot",
        [x, label, s, real],
        [
          R.sub(x, hot),
          R.add(hot, R.mul(x, 2)),
          R.sub(hot, x),
          R.add(R.sub(x, hot), R.oneHot(real, 1)),
          hot,
          R.select(R.greater(s, 0), R.sub(x, hot), 0),
        ],
      ),
      (n, random) => [
        row(uniform(6 * n, random, -3, 3), n),
        perRow([0, n - 1, n, -1, -100, n >> 1]),
        perRow([1, -2, 3, 4, 5, Number.NaN]),
        perRow([0, n - 0.5, 0.5, -1, Number.NaN, n - 1]),
      ],
      { rows: 6 },
    );
  });
});

describe("rows in memory", () => {
  test("a vector for all rows, a number for all rows, some of the rows", () => {
    const kernel = Kernel.of(program("affine", [x, y, s], [R.add(R.mul(x, y), s), R.sum(x)]), "f32");
    const [rows, n] = [7, 13];
    const random = generator(1);
    const operands = [
      row(uniform(rows * n, random, -1, 1), n),
      shared(uniform(n, random, -1, 1)),
      shared([0.5]),
    ];
    const [all, sums] = run(kernel, operands, rows, n) as [TypedArray, TypedArray];
    expectClose("f32", all, plain(kernel, operands, rows, n)[0]!, 1e-6, "affine");
    const [part, partSums] = run(kernel, operands, rows, n, [2, 5]) as [TypedArray, TypedArray];
    expect(part.slice(2 * n, 5 * n)).toEqual(all.slice(2 * n, 5 * n));
    expect(partSums.slice(2, 5)).toEqual(sums.slice(2, 5));
    const untouched = new Uint8Array(part.buffer, 0, 2 * n * 4);
    expect(untouched.every((b) => b === 0xa5)).toBe(true);
  });

  test("rows further apart than their length", () => {
    const kernel = Kernel.of(program("window", [x], [R.mul(x, 2)]), "f32");
    const got = run(kernel, [row([1, 2, 3, 9, 4, 5, 6, 9], 4)], 2, 3)[0]!;
    expect([...got]).toEqual([2, 4, 6, 8, 10, 12]);
  });

  test("elementwise results may lie over inputs", () => {
    for (const float of floats) {
      const kernel = Kernel.of(program("swap", [x, y], [R.add(y, 1), R.mul(x, 2)]), float);
      const { width } = dtypes[float];
      for (const n of lengths) {
        const [a, b] = [1024, 1024 + n * width + 64];
        view(float, a, n).set(Array.from({ length: n }, (_, i) => i));
        view(float, b, n).set(Array.from({ length: n }, (_, i) => -i));
        compiled(kernel).call(a, 0, b, 0, a, b, 65536, 0, 1, n);
        expect(Array.from(view(float, a, n))).toEqual(Array.from({ length: n }, (_, i) => 1 - i));
        expect(Array.from(view(float, b, n))).toEqual(Array.from({ length: n }, (_, i) => 2 * i));
      }
    }
  });

  test("scalars fill the rows that they are stored to", () => {
    check(
      program(
        "spread",
        [x],
        [R.max(x), R.constant(3), R.max(x), R.greater(R.n, 10)],
        ["scalar", "row", "row", "row"],
        ["float", "float", "float", "bool"],
      ),
      (n, random) => [row(uniform(2 * n, random, -1, 1), n)],
    );
  });
});

const z = R.sub(x, R.stop(R.max(x)));
const exps = R.exp(z);
const total = R.sum(exps);
const square = (v: R.Row): R.Row => R.mul(v, v) as R.Row;
const sparsemax = R.relu(
  R.sub(
    z,
    root((t) => R.sub(R.sum(R.relu(R.sub(z, t))), 1), -1, 0, { support: (t) => R.greater(z, t) }),
  ),
);
const half = R.mul(0.5, z) as R.Row;
const entmax15 = square(
  R.relu(
    R.sub(
      half,
      root((t) => R.sub(R.sum(square(R.relu(R.sub(half, t)))), 1), -1, 0, {
        support: (t) => R.greater(half, t),
        straight: (f) => R.sub(R.sqrt(R.add(f, 1)), 1),
      }),
    ),
  ),
);
/** The q-exponential form, for every α: p = exp(u·log1p(εu)/(εu)) with u = z − λ. */
function entmax(alpha: R.Operand, hints: { support: boolean }): { p: R.Row; lambda: R.Scalar } {
  const epsilon = R.sub(alpha, 1);
  const v = (l: R.Scalar): R.Row => R.mul(epsilon, R.sub(z, l)) as R.Row;
  // In this order an entry that is NaN is not taken for one outside the support.
  const p = (l: R.Scalar): R.Row =>
    R.select(
      R.lessEqual(v(l), -1),
      0,
      R.exp(R.mul(R.sub(z, l), R.log1pRatio(R.maximum(v(l), -1), 0))),
    ) as R.Row;
  const logN = R.log(R.n);
  const high = R.mul(logN, R.expm1Ratio(R.neg(R.mul(epsilon, logN)), 0)) as R.Expr as R.Scalar;
  const lambda = root(
    (l) => R.sub(R.sum(p(l)), 1) as R.Scalar,
    0,
    high,
    hints.support ? { support: (l) => R.greater(v(l), -1) } : {},
  );
  return { p: p(lambda), lambda };
}
const maps: Record<string, R.Row> = { softmax: R.div(exps, total), sparsemax, entmax15 };

describe("maps", () => {
  const label = R.scalarInput("label", "i32");
  const g = R.rowInput("g");
  const scores = (n: number, random: () => number): Operand[] => [row(uniform(3 * n, random, -3, 3), n)];
  const tolerance = { f32: 5e-7, f64: 1e-14 };

  test.each(Object.entries(maps))("%s agrees with the plain reading", (name, p) => {
    check(program(name, [x], [p]), scores, { rows: 3, tolerance });
  });

  test.each(Object.entries(maps))("the derived gradient of %s agrees with the plain reading", (name, p) => {
    const [dx] = adjoints([p], [g], [x]);
    check(
      program(name, [x, g], [dx!], ["row"]),
      (n, random) => [...scores(n, random), row(uniform(3 * n, random, -1, 1), n)],
      { rows: 3, tolerance: { f32: 5e-6, f64: 1e-12 } },
    );
  });

  test("cross-entropy and its gradient", () => {
    const loss = R.add(R.log(total), R.sub(R.max(x), R.pick(x, label)));
    const p = R.div(exps, total);
    check(
      program("cross-entropy", [x, label], [loss, R.sub(p, R.oneHot(label, 1)), R.sub(z, R.log(total))]),
      (n, random) => [...scores(n, random), perRow([0, n >> 1, n - 1])],
      { rows: 3, tolerance: { f32: 2e-6, f64: 1e-14 } },
    );
  });

  test.each([1, 1.00001, 1.1, 1.5, 1.9, 2, 3])("entmax by its q-exponential, α = %f", (a) => {
    for (const support of [false, true]) {
      const alpha = R.scalarInput("alpha");
      check(
        program("entmax", [x, alpha], [entmax(alpha, { support }).p]),
        (n, random) => [...scores(n, random), shared([a])],
        {
          rows: 3,
          lengths: [1, 2, 3, 5, 10, 31, 64, 65, 200],
          tolerance: { f32: a > 2 ? 3e-6 : 1e-6, f64: a > 2 ? 1e-9 : 1e-12 },
        },
      );
    }
  });

  test("softmax over the k largest scores", () => {
    const k = R.scalarInput("k", "i32");
    const kept = R.select(R.greaterEqual(x, R.kth(x, k)), exps, 0);
    check(
      program("sparse softmax", [x, k], [R.div(kept, R.sum(kept))]),
      (n, random) => [...scores(n, random), perRow([1, 3, n])],
      { rows: 3, tolerance },
    );
  });

  test("one NaN at any position of a row makes that row NaN, and no other", () => {
    for (const float of floats) {
      for (const [name, p] of Object.entries({ ...maps, entmax: entmax(1.3, { support: true }).p })) {
        const kernel = Kernel.of(program(name, [x], [p]), float);
        for (const n of [...lengths.slice(0, 40), 65, 130]) {
          for (let at = 0; at < n; at++) {
            const values = Float64Array.from({ length: 2 * n }, (_, i) =>
              i === at ? Number.NaN : Math.sin(i),
            );
            const got = run(kernel, [row(values, n)], 2, n)[0]!;
            expect(got.subarray(0, n).every(Number.isNaN)).toBe(true);
            expect(got.subarray(n).every(Number.isFinite)).toBe(true);
          }
        }
      }
    }
  });

  test("−∞ is masked: probability exactly 0, and the others as without it", () => {
    for (const float of floats) {
      for (const [name, p] of Object.entries(maps)) {
        const kernel = Kernel.of(program(name, [x], [p]), float);
        for (const n of [3, 10, 70]) {
          const values = Float64Array.from({ length: n }, (_, i) => (i % 3 === 0 ? -Infinity : Math.sin(i)));
          const got = run(kernel, [row(values, n)], 1, n)[0]!;
          const alone = run(kernel, [row(values.filter(Number.isFinite), n)], 1, n - Math.ceil(n / 3))[0]!;
          expect([...got].filter((_, i) => i % 3 === 0).every((v) => v === 0)).toBe(true);
          expectClose(
            float,
            got.filter((_, i) => i % 3 !== 0),
            alone,
            2e-7,
            name,
          );
        }
      }
    }
  });

  test("one class has probability exactly 1", () => {
    const share = R.div(x, R.sum(x));
    for (const float of floats) {
      for (const [name, p] of Object.entries({ ...maps, share })) {
        const kernel = Kernel.of(program(name, [x], [p]), float);
        for (const v of [49, 3, 0.1, 1e-20])
          expect([name, ...run(kernel, [row([v], 1)], 1, 1)[0]!]).toEqual([name, 1]);
      }
    }
  });
});

describe("root", () => {
  test.each([0, 10, 1000])("rows of sparse maps sum to one for nearly uniform scores around %f", (offset) => {
    const random = generator(11);
    for (const n of [50, 1000, 50000]) {
      const values = uniform(n, random, offset - 1e-3, offset + 1e-3);
      for (const [p, bound] of [
        [sparsemax, 1e-6],
        [entmax15, 2e-6],
      ] as const) {
        const kernel = Kernel.of(program("root", [x], [p]), "f32");
        const sum = Array.from(run(kernel, [row(values, n)], 1, n)[0]!).reduce((a, b) => a + b, 0);
        expect(Math.abs(sum - 1)).toBeLessThan(bound);
      }
    }
  });

  test.each([1.05, 1.5, 2, 2.5, 4])(
    "the sum crosses 1 within a few ulp of λ, for α = %f, where it need not be convex",
    (alpha) => {
      const random = generator(5);
      for (const float of floats) {
        const { p, lambda } = entmax(alpha, { support: true });
        const kernel = Kernel.of(program("entmax", [x], [p, lambda]), float);
        for (const [n, width] of [
          [2, 1],
          [5, 0.1],
          [20, 3],
          [300, 5],
          [300, 0.01],
        ] as const) {
          const values = uniform(20 * n, random, -width, width);
          const found = run(kernel, [row(values, n)], 20, n)[1]!;
          found.forEach((at, r) => {
            const scores = values.subarray(r * n, (r + 1) * n);
            const top = Math.max(...scores);
            const difference = (l: number): number => {
              let sum = -1;
              for (const v of scores) {
                const u = (float === "f32" ? Math.fround(v - top) : v - top) - l;
                sum += Math.max(0, 1 + (alpha - 1) * u) ** (1 / (alpha - 1));
              }
              return sum;
            };
            // α in f32 is off by half an ulp too, which moves λ.
            const slack = (float === "f32" ? 2 ** -19 : 2 ** -47) * Math.max(1, at);
            expect(difference(at - slack)).toBeGreaterThanOrEqual(0);
            expect(difference(at + slack)).toBeLessThanOrEqual(0);
          });
        }
      }
    },
  );

  test("an equation without reductions, whose first step leaves the bracket", () => {
    const cube = root((t) => R.sub(s, R.mul(t, R.mul(t, t))) as R.Scalar, 0, R.add(R.abs(s), 1) as R.Scalar);
    for (const float of floats) {
      const got = run(
        Kernel.of(program("cube root", [s], [cube]), float),
        [perRow([8, 27, 0.125, 0])],
        4,
        1,
      )[0]!;
      expectClose(float, got, [2, 3, 0.5, 0], 4 * dtypes[float].eps, "cube root");
    }
  });

  test("the maximum of the row may be wanted only later", () => {
    const tau = root((t) => R.sub(R.sum(R.relu(R.sub(x, t))), 1) as R.Scalar, -5, 5, {
      support: (t) => R.greater(x, t),
    });
    check(
      program("late maximum", [x], [R.relu(R.sub(x, tau)), R.max(x)]),
      (n, random) => [row(uniform(2 * n, random, -2, 2), n)],
      { tolerance: { f32: 2e-6, f64: 1e-13 } },
    );
  });

  test("several rows are gathered together: numbers, truth values and positions", () => {
    const mask = R.rowInput("mask", "bool");
    const term = (t: R.Scalar): R.Row =>
      R.select(mask, R.div(R.relu(R.sub(x, t)), R.add(R.index, 1)), 0) as R.Row;
    const tau = root((t) => R.sub(R.sum(term(t)), 0.25) as R.Scalar, R.sub(R.min(x), 200), R.max(x), {
      support: (t) => R.and(R.greater(x, t), mask) as R.RowMask,
    });
    check(
      program("masked", [x, mask], [term(tau)]),
      (n, random) => [
        row(uniform(2 * n, random, -2, 2), n),
        row(
          Array.from({ length: 2 * n }, (_, i) => (i % n === 0 || random() < 0.5 ? 1 : 0)),
          n,
        ),
      ],
      { lengths: [1, 2, 3, 4, 5, 17, 33, 64, 100], tolerance: { f32: 2e-4, f64: 1e-12 } },
    );
  });

  test("a budget: the sum of clamped entries is k", () => {
    const k = R.scalarInput("k");
    const tau = root(
      (t) => R.sub(R.sum(R.clamp(R.sub(x, t), 0, 1)), k) as R.Scalar,
      R.sub(R.min(x), 1),
      R.max(x),
    );
    check(
      program("budget", [x, k], [R.clamp(R.sub(x, tau), 0, 1)]),
      (n, random) => [row(uniform(3 * n, random, -2, 2), n), shared([Math.min(n - 0.5, 3)])],
      { rows: 3, tolerance: { f32: 3e-6, f64: 1e-13 } },
    );
  });
});

describe("words behind a mask", () => {
  const mask = R.greater(x, 1.5) as R.RowMask;
  const dear = R.mul(R.log(x), R.exp(R.mul(x, x))) as R.Row;
  const inputs = (n: number, random: () => number) => [row(uniform(3 * n, random, 0.1, 2), n)];
  const close = { rows: 3, tolerance: { f32: 1e-5, f64: 1e-12 } };

  test("count where it holds, beside 0 or another row, once or twice", () => {
    check(program("zero", [x], [R.select(mask, dear, 0)]), inputs, close);
    check(program("other", [x], [R.select(mask, dear, R.sqrt(x))]), inputs, close);
    const twice = R.sub(R.select(mask, dear, 0), R.sum(R.select(mask, R.div(dear, R.add(1, x)), 0)));
    check(program("twice", [x], [twice]), inputs, close);
  });

  test("count everywhere if anything else reads them", () => {
    check(program("free", [x], [R.add(R.select(mask, dear, 0), R.mul(0.001, dear))]), inputs, close);
    check(program("nested", [x], [R.select(mask, R.select(R.less(x, 1.8), dear, x), 0)]), inputs, close);
  });

  test("are not computed where it holds nowhere", () => {
    check(program("never", [x], [R.select(R.greater(x, 5), dear, x)]), inputs, close);
  });
});

describe("schedule", () => {
  const passes = (p: Program): number => schedule(p).steps.filter((step) => step.kind === "pass").length;

  test("softmax walks three times and keeps its exponentials in its own result", () => {
    const plan = schedule(program("softmax", [x], [maps.softmax!]));
    expect(plan.steps.filter((step) => step.kind === "pass")).toHaveLength(3);
    expect([...plan.kept.values()].map(({ place }) => place)).toEqual([{ result: 0 }]);
    expect(plan.slots).toBe(0);
    expect(plan.careful.size).toBe(0);
  });

  test("exponentials that no result has room for are kept in scratch", () => {
    const plan = schedule(program("variance", [x], [R.sum(square(R.sub(exps, R.div(total, R.n)) as R.Row))]));
    expect(plan.slots).toBe(1);
  });

  test("what was made of a dear row is kept in its place", () => {
    const w = R.div(exps, R.add(1, exps)) as R.Row;
    const plan = schedule(program("ratio", [x], [R.div(w, R.sum(w))]));
    expect([...plan.kept.keys()].map(({ word }) => word)).toEqual(["div"]);
  });

  test("a dear row that two rows are made of is kept for both, and what they read besides is not overwritten", () => {
    const logs = R.log(R.add(1, R.abs(x))) as R.Row;
    const [a, b] = [R.add(exps, 1), R.mul(exps, logs)] as [R.Row, R.Row];
    const mean = R.div(R.add(R.sum(a), R.sum(b)), R.sum(logs)) as R.Scalar;
    const result = R.mul(R.sub(a, mean), b) as R.Row;
    const plan = schedule(program("shared", [x], [result]));
    expect([...plan.kept.keys()].map(({ word }) => word).sort()).toEqual(["exp", "log"]);
    check(program("shared", [x], [result]), (n, random) => [row(uniform(3 * n, random, -2, 2), n)], {
      rows: 3,
      tolerance: { f32: 1e-5, f64: 1e-12 },
    });
  });

  test("what one pass alone reads is not kept", () => {
    const plan = schedule(program("two sums", [x], [R.sum(exps), R.sum(R.mul(exps, z))]));
    expect(plan.kept.size).toBe(0);
  });

  test("folds that need nothing of each other share a pass", () => {
    expect(passes(program("folds", [x, y], [R.sum(x), R.max(y), R.count(R.greater(x, y))]))).toBe(1);
  });

  test("an extreme must look for NaN itself where nothing else would spread it", () => {
    expect(schedule(program("max", [x], [R.max(x)])).careful.size).toBe(1);
    expect(schedule(program("masked", [x], [R.sum(R.select(R.greater(z, -1), z, 0))])).careful.size).toBe(1);
  });
});
