// Products on the GPU against those of plain JavaScript, whose sums are in doubles: every schedule, layout and edge.
import { expect, test } from "vitest";
import { type MatrixOperand, Storage } from "../../core/backends/backend.ts";
import * as js from "../../core/backends/js/kernels.ts";
import { matmul } from "../../core/backends/webgpu/matmul.ts";
import { randomWords } from "../../core/threefry.ts";
import { openAdapter } from "./adapter.ts";

const gpu = await openAdapter();

const space = (size: number): Storage => new Storage(undefined as never, gpu.allocate(4 * size), 4 * size);

function floats(size: number, seed: number): Float32Array<ArrayBuffer> {
  const words = randomWords([seed, 0], size);
  return Float32Array.from({ length: size }, (_, i) => words[i]! * 2 ** -31 - 1);
}

/** An operand without its memory. */
type Layout = Omit<MatrixOperand, "storage">;

interface Given {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly a: Layout;
  readonly b: Layout;
  /** Where a bias begins in its memory. */
  readonly bias?: number;
}

/** Rows (or columns) that lie end to end. */
const plain = (rows: number, columns: number, transposed: boolean, batch = 1): Layout => ({
  offset: 0,
  stride: transposed ? rows : columns,
  transposed,
  batchOffsets: Array.from({ length: batch }, (_, i) => i * rows * columns),
});

/** Elements that an operand reaches over. */
const reach = ({ offset, stride, transposed, batchOffsets }: Layout, rows: number, columns: number): number =>
  offset +
  Math.max(...batchOffsets) +
  ((transposed ? columns : rows) - 1) * stride +
  (transposed ? rows : columns);

/** The largest difference from the plain product, relative to the largest entry; NaN counts as far off. */
async function difference(
  { m, k, n, a, b, bias }: Given,
  values: (size: number, seed: number) => Float32Array<ArrayBuffer> = floats,
): Promise<number> {
  const [x, y] = [values(reach(a, m, k), 1), values(reach(b, k, n), 2)];
  const added = bias === undefined ? undefined : floats(bias + n, 3);
  const size = a.batchOffsets.length * m * n;
  const wanted = new Float32Array(size);
  js.matmul(
    x,
    a as MatrixOperand,
    y,
    b as MatrixOperand,
    wanted,
    m,
    k,
    n,
    added && new Float32Array(added).subarray(bias),
  );

  const put = (data: Float32Array<ArrayBuffer>): Storage => {
    const storage = space(data.length);
    gpu.write(storage, data);
    return storage;
  };
  const out = space(size + 8);
  gpu.write(out, new Float32Array(size + 8).fill(7));
  const [left, right] = [put(x), put(y)];
  const row = added && { storage: put(added), offset: bias!, rowStride: 0 };
  matmul(gpu, "f32", { ...a, storage: left }, { ...b, storage: right }, out, m, k, n, row);
  const found = new Float32Array(await gpu.read(out, 0, 4 * (size + 8)));
  for (const storage of [left, right, out, ...(row ? [row.storage] : [])]) gpu.release(storage);
  expect([...found.subarray(size)], "entries behind the result").toEqual(new Array(8).fill(7));
  let [most, largest] = [0, 1e-30];
  for (let i = 0; i < size; i++) {
    const distance = Math.abs(found[i]! - wanted[i]!);
    most = Math.max(most, Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance);
    largest = Math.max(largest, Math.abs(wanted[i]!));
  }
  return most / largest;
}

const layouts = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const;

test("products of odd sizes agree in every layout, with and without bias", async () => {
  for (const [m, k, n] of [
    [1, 1, 1],
    [1, 7, 5],
    [5, 9, 1],
    [3, 300, 17],
    [15, 40, 33],
    [70, 31, 15],
    [16, 16, 16],
    [17, 5, 19],
    [33, 64, 65],
    [64, 128, 10],
    [37, 257, 41],
    [66, 2, 130],
    [9, 31, 520],
    [1, 600, 70],
    [35, 20, 1],
    [70, 600, 3],
  ] as const) {
    for (const [aT, bT] of layouts) {
      const given = { m, k, n, a: plain(m, k, aT), b: plain(k, n, bT) };
      const name = `${m}×${k}×${n} ${aT} ${bT}`;
      expect(await difference(given), name).toBeLessThan(2e-6);
      expect(await difference({ ...given, bias: 3 }), `${name} with bias`).toBeLessThan(2e-6);
    }
  }
});

test("large tiles agree in every layout", async () => {
  const [m, k, n] = [500, 35, 513];
  for (const [aT, bT] of layouts)
    expect(await difference({ m, k, n, a: plain(m, k, aT), b: plain(k, n, bT), bias: 0 })).toBeLessThan(2e-6);
});

test("batches, evenly apart or as listed, and windows of larger matrices", async () => {
  const batch = 3;
  for (const [m, k, n] of [
    [20, 11, 30],
    [6, 5, 21],
    [40, 700, 4],
    [18, 1100, 20],
  ] as const) {
    for (const [aT, bT] of layouts) {
      const [a, b] = [plain(m, k, aT, batch), plain(k, n, bT, batch)];
      const name = `${m}×${k}×${n} ${aT} ${bT}`;
      expect(await difference({ m, k, n, a, b }), name).toBeLessThan(2e-6);
      // One matrix for all, and matrices in any order, between other elements.
      const shared = { ...b, stride: b.stride + 3, offset: 5, batchOffsets: [0, 0, 0] };
      expect(await difference({ m, k, n, a, b: shared, bias: 1 }), name).toBeLessThan(2e-6);
      const mixed = { ...a, stride: a.stride + 1, offset: 2, batchOffsets: [900, 0, 7] };
      expect(await difference({ m, k, n, a: mixed, b: shared, bias: 1 }), name).toBeLessThan(2e-6);
    }
  }
});

test("long sums keep their digits, whatever the schedule", async () => {
  const tenth = (size: number): Float32Array<ArrayBuffer> => new Float32Array(size).fill(Math.sqrt(0.1));
  for (const [m, k, n] of [
    [1, 100_000, 1],
    [2, 100_000, 20],
    [20, 100_000, 16],
  ] as const) {
    const a = plain(m, k, false);
    expect(await difference({ m, k, n, a, b: plain(k, n, true), bias: 0 })).toBeLessThan(5e-6);
    expect(await difference({ m, k, n, a, b: plain(k, n, false) }, tenth)).toBeLessThan(1e-5);
  }
  // Enough matrices for large tiles.
  const [m, k, n, batch] = [32, 600, 32, 64];
  const given = { m, k, n, a: plain(m, k, false, batch), b: plain(k, n, false, batch) };
  expect(await difference({ ...given, bias: 0 }, tenth)).toBeLessThan(1e-5);
});

test("NaN beside a matrix stays out of the product", async () => {
  for (const [m, k, n] of [
    [5, 6, 7],
    [20, 17, 33],
  ] as const) {
    for (const [aT, bT] of layouts) {
      const framed = (
        rows: number,
        columns: number,
        transposed: boolean,
      ): [Layout, Float32Array<ArrayBuffer>] => {
        const [outer, inner] = transposed ? [columns, rows] : [rows, columns];
        const stride = inner + 5;
        const data = new Float32Array((outer + 4) * stride).fill(Number.NaN);
        for (let i = 0; i < outer; i++) data.fill(1, (i + 1) * stride + 2, (i + 1) * stride + 2 + inner);
        return [{ offset: stride + 2, stride, transposed, batchOffsets: [0] }, data];
      };
      const [[a, x], [b, y]] = [framed(m, k, aT), framed(k, n, bT)];
      expect(
        await difference({ m, k, n, a, b }, (size, seed) => (seed === 1 ? x : y).slice(0, Math.max(size, 0))),
      ).toBe(0);
    }
  }
});

test("the same product is the same bit for bit", async () => {
  const [m, k, n] = [40, 2000, 50];
  const [x, y] = [floats(m * k, 1), floats(k * n, 2)];
  const results: Float32Array[] = [];
  for (let i = 0; i < 2; i++) {
    const [a, b, out] = [space(m * k), space(k * n), space(m * n)];
    gpu.write(a, x);
    gpu.write(b, y);
    const [left, right] = [plain(m, k, false), plain(k, n, false)];
    matmul(gpu, "f32", { ...left, storage: a }, { ...right, storage: b }, out, m, k, n);
    results.push(new Float32Array(await gpu.read(out, 0, 4 * m * n)));
  }
  expect(results[0]).toEqual(results[1]);
});
