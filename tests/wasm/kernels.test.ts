// The WebAssembly device's kernels agree with plain loops, whatever the sizes and strides.
import { expect, test } from "vitest";
import type { Backend, MatrixOperand, Storage, View } from "../../core/backends/backend.ts";
import { createJsBackend } from "../../core/backends/js/index.ts";
import * as kernels from "../../core/backends/kernels.ts";
import { createWasmBackend } from "../../core/backends/wasm/index.ts";
import { type DType, dtypeOf, dtypes, type FloatDType, type TypedArray } from "../../core/dtype.ts";
import { add, type Expr, greater, mul, rowInput, scalarInput, select } from "../../core/row/expr.ts";
import { Kernel, type Program } from "../../core/row/program.ts";

const wasm = createWasmBackend();
const js = createJsBackend();
const floats = ["f32", "f64"] as const;
const types = ["f32", "f64", "i32", "bool"] as const;

/** Numbers of [0, 1), the same on every run. */
function uniforms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return (Math.imul(state ^ (state >>> 13), 0x297a2d39) >>> 0) / 2 ** 32;
  };
}

function values(dtype: DType, size: number, seed = 1): TypedArray {
  const u = uniforms(seed);
  const make: Record<DType, () => number> = {
    f32: () => 20 * u() - 10,
    f64: () => 20 * u() - 10,
    i32: () => Math.floor(20 * u() - 10),
    bool: () => Number(u() < 0.5),
  };
  return new dtypes[dtype].array(size).map(make[dtype]);
}

function put(backend: Backend, data: TypedArray): Storage {
  const storage = backend.allocate(dtypeOf("upload", data), data.length);
  backend.write(storage, data);
  return storage;
}

/** Storage whose last 32 bytes, past `size` elements, must stay as they are. */
function guarded(backend: Backend, dtype: DType, size: number): { storage: Storage; read: () => TypedArray } {
  const { width } = dtypes[dtype];
  const storage = backend.allocate("bool", size * width + 32);
  backend.write(storage, new Uint8Array(size * width + 32).fill(0xa5));
  const read = (): TypedArray => {
    expect(backend.readSync(storage, "bool", size * width, 32), "bytes past the end").toEqual(
      new Uint8Array(32).fill(0xa5),
    );
    return backend.readSync(storage, dtype, 0, size);
  };
  return { storage, read };
}

/** The largest difference, relative to the largest entry. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [most, scale] = [0, 1e-300];
  for (let i = 0; i < b.length; i++) {
    most = Math.max(most, Number.isNaN(a[i]! - b[i]!) ? Infinity : Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(b[i]!));
  }
  return most / scale;
}

// ---------------------------------------------------------------------------------------------------------------
// Products of matrices

function product(
  backend: Backend,
  dtype: FloatDType,
  a: MatrixOperand,
  b: MatrixOperand,
  m: number,
  k: number,
  n: number,
): TypedArray {
  const { storage, read } = guarded(backend, dtype, a.batchOffsets.length * m * n);
  backend.run(kernels.matmul, dtype, a, b, storage, m, k, n);
  return read();
}

test("products agree with plain loops, for every layout and odd sizes", () => {
  const sizes = [
    [1, 1, 1],
    [1, 7, 5],
    [4, 4, 8],
    [5, 9, 7],
    [3, 300, 17],
    [33, 64, 35],
    [37, 257, 41],
    [64, 128, 10],
    [66, 2, 130],
    [9, 31, 520],
    [130, 520, 9],
    [35, 20, 1],
    [2, 600, 70],
  ] as const;
  for (const dtype of floats) {
    for (const [m, k, n] of sizes) {
      for (const layout of [0, 1, 2, 3]) {
        const [aT, bT] = [layout > 1, layout % 2 === 1];
        const [a, b] = [values(dtype, m * k, 2), values(dtype, k * n, 3)];
        const results = [wasm, js].map((backend) =>
          product(
            backend,
            dtype,
            { storage: put(backend, a), offset: 0, stride: aT ? m : k, transposed: aT, batchOffsets: [0] },
            { storage: put(backend, b), offset: 0, stride: bT ? k : n, transposed: bT, batchOffsets: [0] },
            m,
            k,
            n,
          ),
        );
        expect(difference(results[0]!, results[1]!), `${dtype} ${m}×${k}×${n} ${aT} ${bT}`).toBeLessThan(
          dtype === "f32" ? 2e-6 : 2e-15,
        );
      }
    }
  }
});

test("batches and windows of larger matrices need no copy", () => {
  const [m, k, n] = [6, 5, 11];
  for (const dtype of floats) {
    const [a, b] = [values(dtype, 1000, 4), values(dtype, 1000, 5)];
    const results = [wasm, js].map((backend) =>
      product(
        backend,
        dtype,
        { storage: put(backend, a), offset: 13, stride: 8, transposed: false, batchOffsets: [0, 100, 7] },
        { storage: put(backend, b), offset: 3, stride: 20, transposed: false, batchOffsets: [300, 300, 0] },
        m,
        k,
        n,
      ),
    );
    expect(difference(results[0]!, results[1]!)).toBeLessThan(dtype === "f32" ? 1e-6 : 1e-15);
  }
});

test("NaN beside a matrix stays out of the product", () => {
  for (const dtype of floats) {
    for (const transposed of [false, true]) {
      const [m, k, n] = [5, 6, 7];
      const framed = (rows: number, columns: number): MatrixOperand => {
        const data = new dtypes[dtype].array(20 * 20).fill(Number.NaN);
        const [outer, inner] = transposed ? [columns, rows] : [rows, columns];
        for (let i = 0; i < outer; i++) for (let j = 0; j < inner; j++) data[(i + 3) * 20 + j + 3] = 1;
        return { storage: put(wasm, data), offset: 63, stride: 20, transposed, batchOffsets: [0] };
      };
      expect([...product(wasm, dtype, framed(m, k), framed(k, n), m, k, n)]).toEqual(Array(m * n).fill(k));
    }
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Copies

function view(
  storage: Storage,
  dtype: DType,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): View {
  return { storage, dtype, shape, strides, offset, size: shape.reduce((a, b) => a * b, 1) };
}

test("copies follow any strides and convert between all types", () => {
  const windows: [shape: number[], strides: number[], offset: number][] = [
    [[], [], 5],
    [[700], [1], 3],
    [[9], [-1], 20],
    [[4, 5], [0, 1], 2],
    [[4, 5], [1, 0], 2],
    [[3, 4], [0, 0], 7],
    [[8, 12], [1, 8], 0],
    [[17, 35], [1, 17], 1],
    [[3, 5], [1, 3], 0],
    [[21, 6], [1, 40], 0],
    [[6, 7], [7, -1], 6],
    [[6, 7], [-7, 1], 35],
    [[2, 3, 4], [12, 4, 1], 0],
    [[4, 3, 2], [1, 4, 12], 0],
    [[2, 5, 3, 4], [60, 4, 20, 1], 0],
    [[3, 2, 2, 2, 3, 2], [1, 3, 6, 12, 24, 72], 0],
    [[1, 6, 1, 5], [0, 10, 99, 2], 1],
    [[2, 150], [400, 1], 9],
    [[0, 4], [4, 1], 0],
  ];
  for (const from of types) {
    const data = values(from, 1000, 6);
    if (from === "f32" || from === "f64") data.set([0, -0, 0.5, -0.5, 1e20, Number.NaN, Infinity]);
    const source = put(wasm, data);
    const reference = put(js, data);
    for (const to of types) {
      for (const [shape, strides, offset] of windows) {
        // What integers a number out of range becomes differs, and is nobody's business.
        const safe = to === "i32" && (from === "f32" || from === "f64") ? offset + 10 : offset;
        const v = view(source, from, shape, strides, safe);
        const { storage, read } = guarded(wasm, to, v.size);
        wasm.copy(v, storage, to);
        const expected = js.allocate("f64", v.size);
        js.copy(view(reference, from, shape, strides, safe), expected, to);
        expect(read(), `${from} to ${to}, [${shape}] by [${strides}]`).toEqual(
          js.readSync(expected, to, 0, v.size),
        );
      }
    }
  }
});

test("NaN becomes 0 as an integer and true as a truth value", () => {
  for (const from of floats) {
    const source = put(wasm, new dtypes[from].array(4).fill(Number.NaN));
    for (const [to, expected] of [
      ["i32", 0],
      ["bool", 1],
    ] as const) {
      const { storage, read } = guarded(wasm, to, 4);
      wasm.copy(view(source, from, [4], [1], 0), storage, to);
      expect([...read()]).toEqual(Array(4).fill(expected));
    }
  }
});

test("windows of a larger tensor are filled in place, and nothing else", () => {
  for (const dtype of types) {
    for (const [shape, offset, strides] of [
      [[4, 6], 3, [10, 1]],
      [[5], 2, [3]],
      [[3, 2, 4], 1, [40, 10, 2]],
      [[7, 9], 0, [1, 7]],
      [[2, 2, 2, 2, 2], 0, [48, 24, 12, 3, 1]],
    ] as const) {
      const data = values(
        dtype,
        shape.reduce((a: number, b) => a * b, 1),
        8,
      );
      const results = [wasm, js].map((backend) => {
        const target = put(backend, values(dtype, 200, 9));
        backend.copyInto(put(backend, data), dtype, shape, target, offset, strides);
        return backend.readSync(target, dtype, 0, 200);
      });
      expect(results[0], `${dtype} [${shape}]`).toEqual(results[1]);
    }
  }
});

test("filling stops at the size", () => {
  for (const dtype of types) {
    const { storage, read } = guarded(wasm, dtype, 13);
    wasm.fill(storage, dtype, 13, 1);
    expect([...read()]).toEqual(Array(13).fill(1));
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Indices

test("gathering and scattering agree with plain loops", () => {
  const u = uniforms(10);
  for (const perOuter of [false, true]) {
    for (const [outer, size, inner, count] of [
      [1, 9, 1, 20],
      [3, 5, 7, 4],
      [2, 6, 16, 9],
      [1, 4, 200, 3],
      [5, 3, 1, 1],
      [2, 30, 3, 1],
    ] as const) {
      const index = new Int32Array(perOuter ? outer * count * inner : count).map(() =>
        Math.floor(u() * size),
      );
      for (const dtype of types) {
        const x = values(dtype, outer * size * inner, 11);
        const results = [wasm, js].map((backend) => {
          const { storage, read } = guarded(backend, dtype, outer * count * inner);
          backend.run(
            kernels.gather,
            dtype,
            put(backend, x),
            put(backend, index),
            storage,
            outer,
            size,
            inner,
            count,
            perOuter,
          );
          return read();
        });
        expect(results[0]).toEqual(results[1]);
      }
      for (const dtype of floats) {
        const x = values(dtype, outer * count * inner, 12);
        const results = [wasm, js].map((backend) => {
          const { storage, read } = guarded(backend, dtype, outer * size * inner);
          backend.run(
            kernels.scatterAdd,
            dtype,
            put(backend, x),
            put(backend, index),
            storage,
            outer,
            size,
            inner,
            count,
            perOuter,
          );
          return read();
        });
        expect(difference(results[0]!, results[1]!)).toBeLessThan(dtype === "f32" ? 1e-6 : 1e-15);
      }
    }
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Sums

test("sums of an axis agree with compensated ones", () => {
  for (const dtype of floats) {
    for (const [outer, size, inner] of [
      [1, 1, 1],
      [7, 10, 1],
      [3, 1000, 1],
      [2, 65, 3],
      [1, 200, 32],
      [4, 129, 37],
      [2, 3, 70],
    ] as const) {
      const x = values(dtype, outer * size * inner, 13);
      const results = [wasm, js].map((backend) => {
        const { storage, read } = guarded(backend, dtype, outer * inner);
        backend.run(kernels.sumMiddle, dtype, put(backend, x), storage, outer, size, inner);
        return read();
      });
      expect(difference(results[0]!, results[1]!), `${dtype} [${outer}, ${size}, ${inner}]`).toBeLessThan(
        dtype === "f32" ? 1e-6 : 1e-14,
      );
    }
  }
});

test("2^24 times 0.1 is right to six digits, along rows and down columns", () => {
  const size = 2 ** 24;
  const backend = createWasmBackend();
  const x = backend.allocate("f32", size);
  const out = backend.allocate("f32", 4);
  backend.fill(x, "f32", size, 0.1);
  const exact = size * Math.fround(0.1);
  backend.run(kernels.sumMiddle, "f32", x, out, 1, size, 1);
  expect(Math.abs(backend.readSync(out, "f32", 0, 1)[0]! / exact - 1)).toBeLessThan(1e-6);
  backend.run(kernels.sumMiddle, "f32", x, out, 1, size / 2, 2);
  for (const sum of backend.readSync(out, "f32", 0, 2))
    expect(Math.abs(sum / (exact / 2) - 1)).toBeLessThan(1e-6);
});

test("running sums go either way", () => {
  for (const dtype of ["f32", "f64", "i32"] as const) {
    for (const reverse of [false, true]) {
      const x = values(dtype, 3 * 37, 14);
      const results = [wasm, js].map((backend) => {
        const { storage, read } = guarded(backend, dtype, 3 * 37);
        backend.run(kernels.cumsum, dtype, put(backend, x), storage, 3, 37, reverse);
        return read();
      });
      expect(results[0]).toEqual(results[1]);
    }
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Sorting

test("rows sort stably in either direction, NaN last, −0 equal to 0", () => {
  for (const dtype of types) {
    for (const n of [1, 2, 13, 47, 48, 300]) {
      const x = values(dtype, 4 * n, 15);
      // Ties, and the numbers that sort oddly.
      for (let i = 0; i < x.length; i += 3) x[i] = Math.round(x[i]! / 4);
      if (dtype === "f32" || dtype === "f64")
        x.set([Number.NaN, -0, 0, Infinity, -0, -Infinity, 0, Number.NaN].slice(0, n), n);
      for (const descending of [false, true]) {
        const results = [wasm, js].map((backend) => {
          const sorted = guarded(backend, dtype, 4 * n);
          const order = guarded(backend, "i32", 4 * n);
          backend.run(kernels.sort, dtype, put(backend, x), sorted.storage, order.storage, 4, n, descending);
          return [sorted.read(), order.read()];
        });
        expect(results[0], `${dtype}, ${n} entries, ${descending ? "down" : "up"}`).toEqual(results[1]);
      }
    }
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Random bits

/** Threefry-2x32-20, written from its definition. */
function threefry([k0, k1]: readonly [number, number], c0: number, c1: number): [number, number] {
  const rotations = [
    [13, 15, 26, 6],
    [17, 29, 16, 24],
  ];
  const keys = [k0, k1, (k0 ^ k1 ^ 0x1bd11bda) >>> 0];
  let [x, y] = [(c0 + k0) >>> 0, (c1 + k1) >>> 0];
  for (let group = 0; group < 5; group++) {
    for (const r of rotations[group % 2]!) {
      x = (x + y) >>> 0;
      y = (((y << r) | (y >>> (32 - r))) ^ x) >>> 0;
    }
    x = (x + keys[(group + 1) % 3]!) >>> 0;
    y = (y + keys[(group + 2) % 3]! + group + 1) >>> 0;
  }
  return [x, y];
}

test("the reference gives the published vectors", () => {
  // From the known-answer tests of Random123, Threefry-2x32 with 20 rounds.
  expect(threefry([0, 0], 0, 0)).toEqual([0x6b200159, 0x99ba4efe]);
  expect(threefry([0xffffffff, 0xffffffff], 0xffffffff, 0xffffffff)).toEqual([0x1cb996fc, 0xbb002be7]);
  expect(threefry([0x13198a2e, 0x03707344], 0x243f6a88, 0x85a308d3)).toEqual([0xc4923a9c, 0x483df7a0]);
});

test("random bits are those of the cipher, and floats are made of them", () => {
  for (const key of [
    [0, 0],
    [0x13198a2e, 0x83707344],
    [0xffffffff, 1],
  ] as const) {
    for (const size of [1, 2, 7, 8, 33, 100]) {
      const words = Array.from({ length: size }, (_, b) => threefry(key, b, 0)).flat();
      const expected: Record<"i32" | "f32" | "f64", number[]> = {
        i32: words.slice(0, size).map((w) => w | 0),
        f32: words.slice(0, size).map((w) => (w >>> 8) / 2 ** 24),
        f64: Array.from(
          { length: size },
          (_, i) => (words[2 * i]! * 2 ** 21 + (words[2 * i + 1]! >>> 11)) / 2 ** 53,
        ),
      };
      for (const dtype of ["i32", "f32", "f64"] as const) {
        const { storage, read } = guarded(wasm, dtype, size);
        wasm.run(kernels.random, dtype, key, storage, size);
        expect([...read()], `${dtype} × ${size}`).toEqual(expected[dtype]);
      }
    }
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Row kernels

test("row kernels take numbers and tensors, few or many, and results of every kind", () => {
  const [a, b, c] = [rowInput("a"), rowInput("b"), rowInput("c")];
  const [s, k, flag] = [scalarInput("s"), scalarInput("k", "i32"), scalarInput("flag", "bool")];
  const program = (
    inputs: readonly Expr[],
    results: readonly Expr[],
    stored: ("float" | "i32" | "bool")[],
  ): Program => ({
    name: "test",
    inputs,
    results,
    kinds: results.map((r) => r.kind),
    stored,
  });
  // Whole numbers, so that no reading rounds.
  const sum = add(a, mul(s, 2));
  const programs: [Program, (number | TypedArray)[]][] = [
    [program([a], [add(a, 1)], ["float"]), [values("i32", 10)]],
    [program([a, s], [sum], ["float"]), [values("i32", 10), 3]],
    [program([a, b, s], [add(mul(a, b), s)], ["float"]), [values("i32", 10), values("i32", 10, 2), -2]],
    [program([a, k, flag], [select(flag, add(a, k), a)], ["float"]), [values("i32", 10), 7, 1]],
    [
      program([a, b, c, s], [add(add(a, b), mul(c, s)), greater(a, b)], ["float", "bool"]),
      [values("i32", 10), values("i32", 10, 2), values("i32", 10, 3), 0.5],
    ],
  ];
  for (const [p, operands] of programs) {
    for (const float of floats) {
      const kernel = Kernel.of(p, float);
      // A second device of the same kind has a memory of its own: what the first compiled is no use to it.
      const results = [wasm, js, createWasmBackend()].map((backend) => {
        const inputs = operands.map((operand) =>
          typeof operand === "number"
            ? operand
            : {
                storage: put(
                  backend,
                  new dtypes[float].array(operand.length).map((_, i) => operand[i]!),
                ),
                offset: 1,
                rowStride: 4,
              },
        );
        const outputs = kernel.outputs.map((dtype) => guarded(backend, dtype, 2 * 3));
        backend.rows(
          kernel,
          inputs,
          outputs.map((o) => o.storage),
          2,
          3,
        );
        return outputs.map((o) => o.read());
      });
      expect(results[0]).toEqual(results[1]);
      expect(results[2]).toEqual(results[1]);
    }
  }
});
