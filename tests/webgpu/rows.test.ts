// Row programs on the GPU against the plain reading in f64: every word, storage type, way of laying rows over invocations.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RowOperand } from "../../core/backends/backend.ts";
import { Storage } from "../../core/backends/backend.ts";
import { runRows as runPlainly } from "../../core/backends/js/rows.ts";
import { printWgsl } from "../../core/backends/webgpu/emit.ts";
import { runRows } from "../../core/backends/webgpu/rows.ts";
import { dtypes, type TypedArray } from "../../core/dtype.ts";
import type { Formula } from "../../core/formula.ts";
import { adjoints } from "../../core/row/differentiate.ts";
import { intern } from "../../core/row/expr.ts";
import { Kernel, type Program } from "../../core/row/program.ts";
import * as R from "../../core/words.ts";
import { allLosses } from "../../losses/index.ts";
import * as maps from "../../ops/maps/index.ts";
import { openAdapter } from "./adapter.ts";

const gpu = await openAdapter();

/** Lengths on both sides of every choice of schedule. */
const lengths = [1, 2, 5, 31, 32, 33, 64, 65, 256, 257, 1000, 1024, 1025, 4097];
const few = [1, 5, 33, 300];

/** Values of an operand and the elements from one row to the next, or a number for all rows. */
type Operand = { readonly values: ArrayLike<number>; readonly stride: number } | number;

const row = (values: ArrayLike<number>, n: number): Operand => ({ values, stride: n });
const perRow = (values: ArrayLike<number>): Operand => ({ values, stride: 1 });
const shared = (values: ArrayLike<number>): Operand => ({ values, stride: 0 });

/** Elements in front of an operand, and behind a result: one must be skipped, the other left alone. */
const margin = 5;
const guard = 0x5a5a5a5a;

/** Runs a kernel on the GPU and checks that it wrote nothing but its results. */
async function run(
  kernel: Kernel,
  operands: readonly Operand[],
  rows: number,
  n: number,
): Promise<TypedArray[]> {
  const used: Storage[] = [];
  const put = (data: TypedArray): Storage => {
    const storage = new Storage(undefined as never, gpu.allocate(4 * data.length), 4 * data.length);
    gpu.write(storage, data as Float32Array<ArrayBuffer>);
    used.push(storage);
    return storage;
  };
  const inputs = operands.map((operand, k): RowOperand | number => {
    if (typeof operand === "number") return operand;
    const { values, stride } = operand;
    const dtype = kernel.inputs[k]!;
    const Elements = dtype === "i32" ? Int32Array : dtype === "bool" ? Uint32Array : Float32Array;
    const data = new Elements(margin + values.length);
    data.set(Array.from(values), margin);
    return { storage: put(data as TypedArray), offset: margin, rowStride: stride };
  });
  const sizes = kernel.program.kinds.map((kind) => (kind === "row" ? rows * n : rows));
  const outputs = sizes.map((size) => put(new Int32Array(size + margin).fill(guard)));
  runRows(gpu, kernel, inputs, outputs, rows, n);
  const read = await Promise.all(outputs.map((o) => gpu.read(o, 0, o.bytes)));
  for (const storage of used) gpu.release(storage);
  return read.map((bytes, k) => {
    const size = sizes[k]!;
    expect(new Int32Array(bytes, 4 * size).every((word) => word === guard)).toBe(true);
    const dtype = kernel.outputs[k]!;
    if (dtype === "bool") return Uint8Array.from(new Uint32Array(bytes, 0, size));
    return dtype === "i32" ? new Int32Array(bytes, 0, size) : new Float32Array(bytes, 0, size);
  });
}

/** What the plain reading in f64 makes of the operands as this kernel stores them. */
function plain(kernel: Kernel, operands: readonly Operand[], rows: number, n: number): Float64Array[] {
  const { program } = kernel;
  const outputs = program.kinds.map((kind) => new Float64Array(kind === "row" ? rows * n : rows));
  const inputs = operands.map((operand, k) => {
    if (typeof operand === "number") return operand;
    const array = new dtypes[kernel.inputs[k]!].array(operand.values.length);
    array.set(Array.from(operand.values));
    return { array, offset: 0, rowStride: operand.stride };
  });
  runPlainly(new Kernel(program, "f64", kernel.inputs), inputs, outputs, rows, n);
  return outputs;
}

/** The first entry that is wrong: differences count relative to the entry, or to 1, or to `scale`. */
function difference(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: number,
  scale = 1,
): string | undefined {
  for (let i = 0; i < want.length; i++) {
    const w = Math.fround(want[i]!);
    const g = got[i]!;
    if (Object.is(g, w) || g === w || Math.abs(g - w) <= tolerance * Math.max(scale, Math.abs(w))) continue;
    return `entry ${i} of ${want.length} is ${g}, not ${w}`;
  }
  return undefined;
}

/** Runs a program both ways and compares. */
async function check(
  program: Program,
  operands: (n: number, random: () => number) => Operand[],
  at: { rows?: number; tolerance?: number; lengths?: readonly number[] } = {},
): Promise<void> {
  const kernel = Kernel.of(program, "f32");
  const random = generator(7);
  const { rows = 2, tolerance = 2e-6 } = at;
  for (const n of at.lengths ?? lengths) {
    const given = operands(n, random);
    const want = plain(kernel, given, rows, n);
    const got = await run(kernel, given, rows, n);
    got.forEach((values, k) => {
      const wrong = difference(values, want[k]!, tolerance);
      if (wrong) expect.fail(`${program.name}, result ${k}, rows of ${n}: ${wrong}`);
    });
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

const special = [Number.NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, 2];
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
const g = R.rowInput("g");
const s = R.scalarInput("s");
const label = R.scalarInput("label", "i32");

function program(
  name: string,
  inputs: readonly R.Expr[],
  results: readonly R.Expr[],
  kinds: readonly R.Kind[] = results.map((e) => e.kind),
  stored: Program["stored"] = results.map((e) => (e.sort === "bool" ? "bool" : "float")),
): Program {
  return { name, inputs, results, kinds, stored };
}

describe("words", () => {
  type Range = readonly [low: number, high: number];
  const unary: Record<string, { word: (v: R.Row) => R.Expr; range?: Range }> = {
    neg: { word: R.neg },
    exp: { word: R.exp },
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
    "equal to itself": { word: (v) => R.equal(v, v) },
    index: { word: (v) => R.add(v, R.index) },
    "a constant": { word: () => R.constant(0.25) },
    "special constants": { word: (v) => R.select(R.greater(v, -Infinity), Number.NaN, R.maximum(v, 1e300)) },
    n: { word: (v) => R.add(v, R.n) },
    stop: { word: (v) => R.stop(v) },
  };
  test.each(Object.entries(unary))("%s", async (name, { word, range }) => {
    await check(
      program(name, [x], [word(x)], ["row"]),
      (n, random) => [row(mixed(2 * n, random, ...(range ?? ([-6, 6] as const))), n)],
      { tolerance: 4e-6, lengths: few },
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
  test.each(Object.entries(binary))("%s, of rows, of a row and a scalar, of scalars", async (name, word) => {
    const at = { lengths: few };
    await check(
      program(name, [x, y], [word(x, y)]),
      (n, random) => [row(mixed(2 * n, random, -4, 4), n), row(mixed(2 * n, random, -4, 4), n)],
      at,
    );
    await check(
      program(name, [x, s], [word(x, s), word(s, x), word(s, R.add(s, 1))]),
      (n, random) => [row(mixed(2 * n, random, -4, 4), n), perRow(mixed(2, random, -4, 4))],
      at,
    );
  });

  test.each([
    ["pow", (a: R.Row, b: R.Operand) => R.pow(a, b), 0],
    ["posPow", (a: R.Row, b: R.Operand) => R.posPow(a, b), -2],
  ] as const)("%s", async (name, word, low) => {
    await check(
      program(name, [x, y, s], [word(x, y), word(R.abs(x), s)]),
      (n, random) => [
        row(uniform(2 * n, random, low, 6), n),
        row(uniform(2 * n, random, -3, 3), n),
        perRow([0.4, 2.5]),
      ],
      { tolerance: 1e-5, lengths: few },
    );
  });

  test("truth values and integers are read and stored as such", async () => {
    const mask = R.rowInput("mask", "bool");
    const whole = R.rowInput("whole", "i32");
    const flag = R.scalarInput("flag", "bool");
    const count = R.scalarInput("count", "i32");
    const p = program(
      "storage",
      [mask, whole, flag, count, x],
      [
        R.select(mask, x, -1),
        R.and(mask, flag),
        R.add(whole, count),
        R.add(R.mul(whole, x), count),
        R.and(flag, R.greater(count, 2)),
        R.add(count, 1),
        R.argmax(x),
        R.count(R.and(R.not(mask), R.greater(x, 0))),
      ],
      ["row", "row", "row", "row", "scalar", "scalar", "scalar", "scalar"],
      ["float", "bool", "i32", "float", "bool", "i32", "i32", "i32"],
    );
    const rest = (n: number, random: () => number): Operand[] => [
      row(uniform(2 * n, random, 0, 2).map(Math.floor), n),
      row(uniform(2 * n, random, -50, 50).map(Math.floor), n),
    ];
    const scores = (n: number, random: () => number): Operand => row(uniform(2 * n, random, -1, 1), n);
    await check(p, (n, random) => [...rest(n, random), perRow([1, 0]), perRow([3, -7]), scores(n, random)]);
    await check(p, (n, random) => [...rest(n, random), 1, -7, scores(n, random)], { lengths: few });
  });

  test("integers are exact in 32 bits", async () => {
    const a = R.rowInput("a", "i32");
    const b = R.rowInput("b", "i32");
    const results = [
      R.add(a, b),
      R.sub(a, b),
      R.maximum(a, b),
      R.minimum(a, R.add(b, 1)),
      R.select(R.greater(a, b), R.neg(a), R.abs(b)),
      R.mul(R.sign(a), R.floor(b)),
      R.mul(R.index, 65537),
      R.greater(a, b),
      R.equal(R.add(a, 1), b),
      R.sum(a),
      R.max(a),
      R.min(b),
      R.argmax(a),
    ];
    const stored = results.map((e) => (e.sort === "bool" ? "bool" : "i32"));
    const kernel = Kernel.of(program("integers", [a, b], results, undefined, stored), "f64");
    for (const n of [1, 5, 33, 1025]) {
      const start = 2 ** 30;
      const first = Float64Array.from({ length: n }, (_, i) => start + ((i * 7919) % n) * (i % 2 ? 1 : -1));
      const second = first.map((v, i) => v + 1 - (i % 3));
      const given = [
        row(first, n),
        row(
          second.map((v, i) => (i % 5 === 0 ? -v : v)),
          n,
        ),
      ];
      const want = plain(kernel, given, 1, n).map((v) => v.map((w) => w | 0));
      (await run(kernel, given, 1, n)).forEach((got, k) => {
        expect(Array.from(got), `result ${k} of ${n}`).toEqual(Array.from(want[k]!));
      });
    }
  });

  test("a word without a reading is refused when the shader is written", () => {
    const strange = intern("strange" as never, "row", "number", [x]);
    const kernel = Kernel.of(program("strange", [x], [strange]), "f32");
    expect(() => printWgsl(kernel, { unit: "entry", width: 64, held: 0 })).toThrow("strange");
  });
});

describe("folds", () => {
  const folds = program(
    "folds",
    [x],
    [R.sum(x), R.max(x), R.min(x), R.argmax(x), R.count(R.greater(x, 0.25))],
    undefined,
    ["float", "float", "float", "i32", "i32"],
  );

  test("of numbers, of special values, of ties and of what is masked", async () => {
    const at = { rows: 3, tolerance: 1e-6 };
    await check(folds, (n, random) => [row(uniform(3 * n, random, -1, 2), n)], at);
    await check(folds, (n, random) => [row(mixed(3 * n, random, -1, 2), n)], at);
    await check(folds, (n, random) => [row(uniform(3 * n, random, 0, 3).map(Math.floor), n)], at);
    await check(folds, (n) => [row(new Float64Array(n).fill(-Infinity), n)], { rows: 1 });
  });

  test("one NaN at any position is found by max, min and argmax", async () => {
    const kernel = Kernel.of(folds, "f32");
    for (const n of [1, 2, 5, 31, 32, 33, 64, 65, 1000, 1025]) {
      const step = n > 100 ? 97 : 1;
      const rows = Math.ceil(n / step);
      const values = Float64Array.from({ length: rows * n }, (_, i) =>
        i % n === step * Math.floor(i / n) ? Number.NaN : Math.sin(i),
      );
      const [, max, min, at] = await run(kernel, [row(values, n)], rows, n);
      expect(max!.every(Number.isNaN) && min!.every(Number.isNaN)).toBe(true);
      expect(Array.from(at!)).toEqual(Array.from({ length: rows }, (_, r) => r * step));
    }
  });

  test("a sum of 70000 entries agrees with f64 to 1e-6, 2²⁴ times 0.1 too", async () => {
    await check(folds, (n, random) => [row(uniform(2 * n, random, 0, 1), n)], {
      tolerance: 1e-6,
      lengths: [70_000],
    });
    const kernel = Kernel.of(program("long sum", [x], [R.sum(x)]), "f32");
    const n = 2 ** 24;
    const [sum] = await run(kernel, [shared(new Float32Array(n).fill(0.1))], 1, n);
    expect(Math.abs(sum![0]! / (n * Math.fround(0.1)) - 1)).toBeLessThan(1e-6);
  });

  test("folds of folds, and several rows in one pass", async () => {
    const centred = R.sub(x, R.div(R.sum(x), R.n));
    const variance = R.div(R.sum(R.mul(centred, centred)), R.n);
    await check(
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
      { tolerance: 1e-4 },
    );
  });
});

describe("picking, ranks and running sums", () => {
  test("pick holds a label within the row", async () => {
    await check(
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

  test.each(["numbers", "ties", "special values"])("kth is exact for every rank: %s", async (kind) => {
    const k = R.scalarInput("k", "i32");
    const kernel = Kernel.of(program("kth", [x, k], [R.kth(x, k)]), "f32");
    const random = generator(3);
    for (const n of [1, 2, 5, 31, 33, 65, 1000, 1025, 5000]) {
      const values =
        kind === "numbers" ? uniform(n, random, -5, 5) : uniform(n, random, -2, 3).map(Math.floor);
      if (kind === "special values")
        for (let i = 0; i < n; i++) if (random() < 0.3) values[i] = special[1 + Math.floor(random() * 5)]!;
      const sorted = Float64Array.from(values).sort().reverse();
      const ranks = n > 70 ? [1, 2, n >> 1, n - 1, n, n + 7, -1] : Array.from({ length: n + 2 }, (_, i) => i);
      const [got] = await run(kernel, [shared(values), perRow(ranks)], ranks.length, n);
      const want = ranks.map((rank) => sorted[Math.max(1, Math.min(n, rank)) - 1]!);
      expect(difference(got!, want, 0), `kth of ${n}`).toBe(undefined);
    }
  });

  test("kth of a formula, with a computed rank; NaN if the row holds one", async () => {
    const half = R.floor(R.div(R.add(R.n, 1), 2));
    await check(
      program("median", [x], [R.kth(R.exp(x), half), R.sum(R.exp(x))]),
      (n, random) => [row(mixed(3 * n, random, -3, 3), n)],
      { rows: 3, tolerance: 1e-5 },
    );
  });

  test("cumsum, read back by later words", async () => {
    const c = R.cumsum(R.exp(x));
    await check(
      program("cumsum", [x, label], [c, R.div(c, R.max(c)), R.pick(c, label), R.sum(R.exp(x)), R.cumsum(c)]),
      (n, random) => [row(uniform(2 * n, random, -2, 2), n), perRow([0, n >> 1])],
      { tolerance: 2e-6 },
    );
  });

  test("running sums of 70000 entries agree with f64 to 1e-6", async () => {
    await check(
      program("long cumsum", [x], [R.cumsum(x)]),
      (n, random) => [row(uniform(n, random, 0, 1), n)],
      { rows: 1, tolerance: 1e-6, lengths: [70_000] },
    );
  });

  test("a one-hot term is added at the label alone, and nowhere for a label outside", async () => {
    const real = R.scalarInput("real");
    const hot = R.oneHot(label, s);
    await check(
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
  const affine = program("affine", [x, y, s], [R.add(R.mul(x, y), s), R.sum(x)]);

  test("a vector for all rows, a number for all rows, a tensor of one", async () => {
    const rest = (n: number, random: () => number): Operand[] => [
      row(uniform(7 * n, random, -1, 1), n),
      shared(uniform(n, random, -1, 1)),
    ];
    await check(affine, (n, random) => [...rest(n, random), shared([0.5])], { rows: 7, lengths: few });
    await check(affine, (n, random) => [...rest(n, random), 0.5], { rows: 7, lengths: few });
  });

  test("rows further apart than their length, and one buffer read twice", async () => {
    const kernel = Kernel.of(program("window", [x], [R.mul(x, 2), R.sum(x)]), "f32");
    const got = await run(kernel, [row([1, 2, 3, 9, 4, 5, 6, 9], 4)], 2, 3);
    expect(got.map((v) => [...v])).toEqual([
      [2, 4, 6, 8, 10, 12],
      [6, 15],
    ]);
    const twice = Kernel.of(program("twice", [x, y], [R.mul(x, y)]), "f32");
    const storage = { handle: gpu.allocate(16), bytes: 16 } as Storage;
    const out = { handle: gpu.allocate(16), bytes: 16 } as Storage;
    gpu.write(storage, Float32Array.of(1, 2, 3, 4));
    const whole = { storage, offset: 0, rowStride: 0 };
    runRows(gpu, twice, [whole, whole], [out], 1, 4);
    expect([...new Float32Array(await gpu.read(out, 0, 16))]).toEqual([1, 4, 9, 16]);
  });

  test("scalars fill the rows that they are stored to", async () => {
    await check(
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

  test("more entries and more rows than a dispatch has invocations", async () => {
    const doubled = Kernel.of(program("doubled", [x], [R.mul(x, 2)]), "f32");
    const n = 65_535 * 256 + 3;
    const values = Float32Array.from({ length: n }, (_, i) => i % 1021);
    const [all] = await run(doubled, [shared(values)], 1, n);
    expect(all!.every((v, i) => v === 2 * (i % 1021))).toBe(true);
    const sums = Kernel.of(program("sums", [x], [R.sum(x)]), "f32");
    const rows = 65_535 * 64 + 3;
    const [each] = await run(sums, [row(values, 1)], rows, 1);
    expect(each!.every((v, i) => v === i % 1021)).toBe(true);
  });

  test("results that need more buffers than a shader has are computed in parts", async () => {
    const count = gpu.maxBuffers;
    const many = Array.from({ length: count }, (_, i) => R.add(R.mul(x, i), R.sum(y)));
    await check(
      program("many", [x, y], many),
      (n, random) => [row(uniform(2 * n, random, -1, 1), n), row(uniform(2 * n, random, -1, 1), n)],
      { lengths: few, tolerance: 1e-5 },
    );
    const inputs = many.map((_, i) => R.rowInput(`x${i}`));
    const kernel = Kernel.of(program("much", inputs, [inputs.reduce((a, b) => R.add(a, b))]), "f32");
    const given = inputs.map(() => row([1, 2], 1));
    await expect(run(kernel, given, 2, 1)).rejects.toThrow(`${count + 1} tensors take part in one kernel`);
  });

  test("inputs of one number per row share a buffer where there are too many", async () => {
    const count = gpu.maxBuffers + 3;
    const scalars = Array.from({ length: count }, (_, i) => R.scalarInput(`s${i}`));
    const weighted = scalars.reduce<R.Operand>((a, e, i) => R.add(a, R.mul(i + 1, e)), x);
    await check(
      program("scalars", [...scalars, x], [weighted as R.Row, R.sum(weighted)]),
      (n, random) => [
        ...scalars.map((_, i): Operand => {
          const values = uniform(3, random, -1, 1);
          return i % 5 === 0 ? values[0]! : i % 2 === 0 ? shared(values) : perRow(values);
        }),
        row(uniform(3 * n, random, -1, 1), n),
      ],
      { rows: 3, lengths: few, tolerance: 1e-5 },
    );
  });

  test("names that WGSL keeps for itself, and names that look alike, are no trouble", async () => {
    const strange = ["var", "$", "€", "f32", "row", "n"].map((name) => R.rowInput(name));
    await check(
      program("strange names", strange, [strange.reduce((a, b) => R.add(a, b))]),
      (n, random) => strange.map(() => row(uniform(2 * n, random, -1, 1), n)),
      { lengths: [5] },
    );
  });
});

const z = R.sub(x, R.stop(R.max(x)));
const exps = R.exp(z);
const total = R.sum(exps);
const square = (v: R.Row): R.Row => R.mul(v, v) as R.Row;
const half = R.mul(0.5, z) as R.Row;
const threshold = (v: R.Row, of: (u: R.Row) => R.Row = (u) => u): R.Scalar =>
  R.root((t) => R.sub(R.sum(of(R.relu(R.sub(v, t)))), 1), -1, 0, { support: (t) => R.greater(v, t) });
const programs: Record<string, R.Row> = {
  softmax: R.div(exps, total),
  sparsemax: R.relu(R.sub(z, threshold(z))),
  entmax15: square(
    R.relu(
      R.sub(
        half,
        R.root((t) => R.sub(R.sum(square(R.relu(R.sub(half, t)))), 1), -1, 0, {
          support: (t) => R.greater(half, t),
          straight: (f) => R.sub(R.sqrt(R.add(f, 1)), 1),
        }),
      ),
    ),
  ),
};

describe("maps", () => {
  const scores = (n: number, random: () => number): Operand[] => [row(uniform(2 * n, random, -3, 3), n)];
  const tolerance = 1e-6;

  test.each(Object.entries(programs))("%s and its derived gradient", async (name, p) => {
    await check(program(name, [x], [p]), scores, { tolerance, lengths: [...lengths, 70_000] });
    const [dx] = adjoints([p], [g], [x]);
    await check(
      program(name, [x, g], [dx!], ["row"]),
      (n, random) => [...scores(n, random), row(uniform(2 * n, random, -1, 1), n)],
      { tolerance: 5e-6 },
    );
  });

  test("cross-entropy and its gradient", async () => {
    const loss = R.add(R.log(total), R.sub(R.max(x), R.pick(x, label)));
    const p = R.div(exps, total);
    await check(
      program("cross-entropy", [x, label], [loss, R.sub(p, R.oneHot(label, 1)), R.sub(z, R.log(total))]),
      (n, random) => [...scores(n, random), perRow([0, n >> 1])],
      { tolerance: 2e-6 },
    );
  });

  test("softmax over the k largest scores", async () => {
    const k = R.scalarInput("k", "i32");
    const kept = R.select(R.greaterEqual(x, R.kth(x, k)), exps, 0);
    await check(
      program("sparse softmax", [x, k], [R.div(kept, R.sum(kept))]),
      (n, random) => [...scores(n, random), perRow([3, n])],
      { tolerance },
    );
  });

  test("a root whose bracket is a root, a rank and a running sum", async () => {
    const first = threshold(z);
    const low = R.minimum(first, R.mul(0.01, R.pick(R.cumsum(R.neg(R.abs(x))), label)));
    const second = R.root((t) => R.sub(R.sum(R.exp(R.sub(z, t))), 3), low, R.add(R.kth(x, 1), 20));
    await check(
      program("roots", [x, label], [second]),
      (n, random) => [...scores(n, random), perRow([0, n >> 1])],
      { tolerance: 2e-6, lengths: few },
    );
  });

  test("one NaN at any position of a row makes that row NaN, and no other", async () => {
    for (const [name, p] of Object.entries(programs)) {
      const kernel = Kernel.of(program(name, [x], [p]), "f32");
      for (const n of [1, 2, 5, 32, 40, 1000]) {
        const step = n > 100 ? 97 : 1;
        const rows = Math.ceil(n / step) + 1;
        const values = Float64Array.from({ length: rows * n }, (_, i) =>
          i % n === step * Math.floor(i / n) ? Number.NaN : Math.sin(i),
        );
        const [got] = await run(kernel, [row(values, n)], rows, n);
        expect(got!.subarray(0, (rows - 1) * n).every(Number.isNaN)).toBe(true);
        expect(got!.subarray((rows - 1) * n).every(Number.isFinite)).toBe(true);
      }
    }
  });

  test("masked scores get nothing, and give nothing back", async () => {
    for (const [name, p] of Object.entries(programs)) {
      const [dx] = adjoints([p], [g], [x]);
      await check(
        program(name, [x, g], [p, dx!], ["row", "row"]),
        (n, random) => [
          row(
            uniform(2 * n, random, -3, 3).map((v, i) => (i % n > 0 && random() < 0.5 ? -Infinity : v)),
            n,
          ),
          row(uniform(2 * n, random, -1, 1), n),
        ],
        { tolerance: 5e-6, lengths: few },
      );
    }
  });

  const entries = fc.oneof(
    fc.integer({ min: -8, max: 8 }).map((v) => v / 4),
    fc.double({ min: -20, max: 20, noNaN: true }).map(Math.fround),
    fc.constantFrom(-Infinity, -0, Number.NaN, 1e30),
  );
  test("any row", async () => {
    const all = Object.values(programs);
    const kernel = Kernel.of(
      program("everything", [x], [...all, R.sum(x), R.argmax(x), R.kth(x, 2), R.cumsum(R.minimum(x, 1))]),
      "f32",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(entries, { minLength: 1, maxLength: 40 }), async (values) => {
        const n = values.length;
        const want = plain(kernel, [row(values, n)], 1, n);
        const got = await run(kernel, [row(values, n)], 1, n);
        got.forEach((v, k) => {
          const scale = k < 3 ? 1 : values.reduce((a, b) => a + (Number.isFinite(b) ? Math.abs(b) : 0), 1);
          expect(difference(v, want[k]!, 3e-6, scale), `result ${k}`).toBe(undefined);
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe("the library's own formulas, forward and backward", () => {
  const formulas = [...Object.values(maps), ...allLosses].flatMap((op) => {
    const formula = op.info.formula?.();
    return formula ? [[op.info.name, formula] as [string, Formula]] : [];
  });

  test.each(formulas)("%s", async (_, formula) => {
    const rows = 3;
    const random = generator(11);
    const gradient = formula.gradient(formula.floatInputs & 1);
    const forward = gradient.forward.kernel("f32");
    const backward = gradient.backward.kernel("f32");
    for (const n of [5, 300]) {
      const given = formula.inputs.map((e): Operand => {
        const { name, stored } = e.detail as { name: string; stored: string };
        const size = e.kind === "row" ? rows * n : rows;
        const stride = e.kind === "row" ? n : 1;
        if (stored === "bool") return { values: uniform(size, random, 0, 2).map(Math.floor), stride };
        if (stored === "i32") return { values: uniform(size, random, 0, n).map(Math.floor), stride };
        // A budget of all classes is refused.
        if (name === "k") return perRow([1, 2, formula.name === "sigmoidTopk" ? n - 1 : n]);
        if (name === "x" || e.kind === "scalar")
          return { values: uniform(size, random, name === "x" ? -1.5 : 1.1, 1.9), stride };
        // Distributions and weights
        return { values: uniform(size, random, 0, 2 / n), stride };
      });
      const agree = async (
        kernel: Kernel,
        operands: readonly Operand[],
        what: string,
      ): Promise<Float64Array[]> => {
        const want = plain(kernel, operands, rows, n);
        const got = await run(kernel, operands, rows, n);
        got.forEach((v, k) => {
          // Rows outside a domain are NaN.
          const scale = want[k]!.reduce((a, b) => (Number.isFinite(b) ? Math.max(a, Math.abs(b)) : a), 0);
          const wrong = difference(v, want[k]!, what === "forward" ? 1e-5 : 1e-4, scale);
          if (wrong) expect.fail(`${what}, result ${k}, rows of ${n}: ${wrong}`);
        });
        return want;
      };
      const made = await agree(forward, given, "forward");
      const count = formula.results.length;
      const operands = gradient.sources.map(({ from, at }): Operand => {
        if (from === "input") return given[at]!;
        if (from === "saved") return perRow(made[count + at]!);
        const stride = formula.kinds[at] === "row" ? n : 1;
        const values = from === "result" ? made[at]! : uniform(rows * stride, random, -1, 1);
        return { values, stride };
      });
      if (backward.outputs.length > 0) await agree(backward, operands, "backward");
    }
  });
});
