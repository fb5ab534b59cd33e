// The hand-written kernels of the WebGPU device against those of plain JavaScript: what moves is the same bit for bit, and so
// are orders and random words; sums agree within the type's tolerance.
import fc from "fast-check";
import { expect, test } from "vitest";
import { Storage, type View } from "../../core/backends/backend.ts";
import * as js from "../../core/backends/js/kernels.ts";
import { copy, copyInto, corePipelines, fill, handKernels } from "../../core/backends/webgpu/kernels.ts";
import { Queue } from "../../core/backends/webgpu/queue.ts";
import { type DType, dtypes, type TypedArray } from "../../core/dtype.ts";
import { contiguousStrides, sizeOf } from "../../core/shape.ts";
import { randomWords } from "../../core/threefry.ts";
import { openAdapter } from "./adapter.ts";

const gpu = await openAdapter();

/** Memory of the device with these elements; left to the pool of a queue that dies with the test. */
function put(data: TypedArray): Storage {
  const storage = space(data.length);
  gpu.write(
    storage,
    data instanceof Uint8Array ? Uint32Array.from(data) : (data as Float32Array<ArrayBuffer>),
  );
  return storage;
}

const space = (size: number): Storage => new Storage(undefined as never, gpu.allocate(4 * size), 4 * size);

async function get(storage: Storage, dtype: DType, size: number): Promise<TypedArray> {
  const words = await gpu.read(storage, 0, 4 * size);
  gpu.release(storage);
  if (dtype === "bool") return Uint8Array.from(new Uint32Array(words));
  return dtype === "i32" ? new Int32Array(words) : new Float32Array(words);
}

/** Runs a kernel by its name, with the arguments of its plain form. */
const run = (name: string, ...args: unknown[]): void =>
  (handKernels[name] as unknown as (gpu: Queue, ...args: unknown[]) => void)(gpu, ...args);

// A small generator of its own, so that each test sees the same numbers whatever runs before it.
function numbers(seed: number): () => number {
  let word = 0;
  const words = randomWords([seed, 0], 1 << 16);
  return () => words[word++ & 0xffff]! * 2 ** -32;
}

function floats(size: number, seed: number): Float32Array {
  const next = numbers(seed);
  return Float32Array.from({ length: size }, () => 4 * next() - 2);
}

function integers(size: number, below: number, seed: number): Int32Array {
  const next = numbers(seed);
  return Int32Array.from({ length: size }, () => Math.floor(next() * below));
}

const arrayOf = (dtype: DType, size: number): TypedArray => new dtypes[dtype].array(size);

const special = [0, -0, 0.5, -0.5, 1, 2.9, -2.9, 1e9, 3e9, -3e9, 2147483520, 1e-42, Infinity, -Infinity, NaN];

function elements(dtype: DType, size: number, seed: number): TypedArray {
  if (dtype === "f32") return floats(size, seed).map((v, i) => (i % 7 === 3 ? special[i % 15]! : v));
  if (dtype === "bool") return Uint8Array.from(integers(size, 2, seed));
  return integers(size, 1e9, seed).map((v) => (v - 5e8) | 0);
}

/** The largest difference beside the largest entry; entries that are not finite have to be the same. */
function distance(found: TypedArray, wanted: TypedArray): number {
  let [most, largest] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const [f, w] = [found[i]!, wanted[i]!];
    if (Number.isFinite(w)) {
      most = Math.max(most, Number.isFinite(f) ? Math.abs(f - w) : Number.POSITIVE_INFINITY);
      largest = Math.max(largest, Math.abs(w));
    } else if (!Object.is(f, w)) return Number.POSITIVE_INFINITY;
  }
  return most === 0 ? 0 : most / largest;
}

/** Arrays of millions of elements compared by their bytes: the expectation of vitest would take seconds. */
function expectSame(found: TypedArray, wanted: TypedArray): void {
  if (Buffer.compare(bytes(found), bytes(wanted)) !== 0) expect(found).toEqual(wanted);
}

const bytes = (a: TypedArray): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

// ---------------------------------------------------------------------------------------------------------------
// Copies

const types = ["f32", "i32", "bool"] as const;

async function copied(x: TypedArray, view: Omit<View, "storage" | "size">, dtype: DType): Promise<void> {
  const size = sizeOf(view.shape);
  const wanted = arrayOf(dtype, size);
  js.copy(x, { ...view, size }, wanted, dtype);
  const [from, to] = [put(x), space(size)];
  copy(gpu, { ...view, storage: from, size }, to, dtype);
  gpu.release(from);
  expectSame(await get(to, dtype, size), wanted);
}

/** An axis of a view: its entries, and whether it walks on, backwards, in steps, or repeats. */
const axis = fc.record({
  size: fc.integer({ min: 1, max: 20 }),
  step: fc.constantFrom(1, 1, 1, -1, 2, 3, 0),
});

test("a copy of any view in any type holds what the view shows", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(axis, { maxLength: 4 }).chain((axes) =>
        fc.tuple(
          fc.constant(axes),
          fc.shuffledSubarray(
            axes.map((_, k) => k),
            { minLength: axes.length },
          ),
        ),
      ),
      fc.constantFrom(...types),
      fc.constantFrom(...types),
      async ([axes, order], source, dtype) => {
        let offset = 3;
        let span = 1;
        const strides = axes.map(() => 0);
        for (const k of order) {
          const { size, step } = axes[k]!;
          if (step < 0) offset += (size - 1) * span;
          strides[k] = step * span;
          span *= Math.max(1, size * Math.abs(step));
        }
        await copied(
          elements(source, span + 3, 1),
          { shape: axes.map((a) => a.size), strides, offset, dtype: source },
          dtype,
        );
      },
    ),
    { numRuns: 100 },
  );
});

test("large matrices are turned whole", async () => {
  const x = floats(3 * 517 * 700 + 1, 2);
  for (const dtype of types)
    await copied(x, { shape: [3, 700, 517], strides: [517 * 700, 1, 700], offset: 1, dtype: "f32" }, dtype);
  await copied(x, { shape: [512, 3, 704], strides: [1, 512 * 704, 512], offset: 0, dtype: "f32" }, "f32");
  await copied(x, { shape: [32, 16, 16], strides: [1, 0, 64], offset: 0, dtype: "f32" }, "f32");
  await copied(x, { shape: [16, 16], strides: [1, 0], offset: 5, dtype: "f32" }, "f32");
});

test("a copy walks along more axes than a shader knows", async () => {
  const shape = [2, 3, 2, 2, 2, 3, 2, 2, 2, 2];
  const strides = contiguousStrides(shape.toReversed()).toReversed();
  await copied(elements("i32", sizeOf(shape), 3), { shape, strides, offset: 0, dtype: "i32" }, "i32");
});

test("a long run is copied and filled to its last element", async () => {
  const size = 2 ** 20 + 37;
  await copied(elements("f32", size, 4), { shape: [size], strides: [1], offset: 0, dtype: "f32" }, "i32");
  for (const [dtype, value] of [
    ["f32", 0.1],
    ["f32", Number.NaN],
    ["i32", -7],
    ["bool", 1],
  ] as const) {
    const to = space(size);
    fill(gpu, to, dtype, size - 1, 0);
    fill(gpu, to, dtype, size, value);
    expectSame(await get(to, dtype, size), arrayOf(dtype, size).fill(value));
  }
});

test("copying into a window leaves what lies around it", async () => {
  for (const [shape, whole, starts, steps] of [
    [
      [3, 4],
      [5, 9],
      [1, 2],
      [1, 1],
    ],
    [
      [3, 4],
      [9, 9],
      [2, 0],
      [3, 2],
    ],
    [
      [1, 1],
      [1, 1],
      [0, 0],
      [1, 1],
    ],
    [
      [40, 200, 3],
      [40, 401, 5],
      [0, 200, 1],
      [1, 1, 1],
    ],
  ] as const) {
    const x = floats(sizeOf(shape), 5);
    const wanted = new Float32Array(sizeOf(whole)).fill(7);
    const apart = contiguousStrides(whole);
    const offset = starts.reduce<number>((sum, start, k) => sum + start * apart[k]!, 0);
    const strides = apart.map((s, k) => s * steps[k]!);
    js.copyInto(x, shape, wanted, offset, strides);
    const to = space(wanted.length);
    fill(gpu, to, "f32", wanted.length, 7);
    copyInto(gpu, put(x), "f32", shape, to, offset, strides);
    expectSame(await get(to, "f32", wanted.length), wanted);
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Gathering, and its transpose

type Sizes = [outer: number, size: number, inner: number, count: number, perOuter: boolean];

const indexed: readonly Sizes[] = [
  [1, 1, 1, 1, false],
  [1, 1, 1, 1, true],
  [3, 7, 5, 4, false],
  [3, 7, 5, 4, true],
  [64, 1000, 1, 1, true],
  [1, 300, 3, 32, false],
  [2, 50, 3, 33, false],
  [5, 9, 7, 100, true],
  [1, 10, 16, 5000, false],
  [3, 2000, 1, 2000, true],
  [1, 50_000, 2, 100_000, false],
];

test("gather takes entries of every type by their positions", async () => {
  for (const [k, sizes] of indexed.entries()) {
    const [outer, size, inner, count, perOuter] = sizes;
    const dtype = types[k % 3]!;
    const x = elements(dtype, outer * size * inner, 6);
    const index = integers(perOuter ? outer * count * inner : count, size, 7);
    const wanted = arrayOf(dtype, outer * count * inner);
    js.gather(x, index, wanted, ...sizes);
    const out = space(wanted.length);
    run("gather", dtype, put(x), put(index), out, ...sizes);
    expectSame(await get(out, dtype, wanted.length), wanted);
  }
});

test("a position outside the axis takes nothing from elsewhere, and adds nothing", async () => {
  const index = put(Int32Array.of(1, -1, 3, 2));
  for (const [dtype, x, wanted] of [
    ["f32", Float32Array.of(1, 2, 3), [2, Number.NaN, Number.NaN, 3]],
    ["i32", Int32Array.of(1, 2, 3), [2, 0, 0, 3]],
  ] as const) {
    const out = space(4);
    run("gather", dtype, put(x), index, out, 1, 3, 1, 4, false);
    expect([...(await get(out, dtype, 4))]).toEqual(wanted);
  }
  for (const count of [4, 40]) {
    const positions = Int32Array.from({ length: count }, (_, i) => [1, -1, 3, 2][i % 4]!);
    const out = space(3);
    run(
      "scatterAdd",
      "f32",
      put(new Float32Array(count).fill(1)),
      put(positions),
      out,
      1,
      3,
      1,
      count,
      false,
    );
    expect([...(await get(out, "f32", 3))]).toEqual([0, count / 4, count / 4]);
  }
});

test("scatterAdd sums what shares a position, and is 0 where no index points", async () => {
  for (const sizes of indexed) {
    const [outer, size, inner, count, perOuter] = sizes;
    const x = floats(outer * count * inner, 8);
    const index = integers(perOuter ? outer * count * inner : count, size, 9);
    const wanted = new Float32Array(outer * size * inner);
    js.scatterAdd(x, index, wanted, ...sizes);
    const once = async (): Promise<TypedArray> => {
      const out = space(wanted.length);
      run("scatterAdd", "f32", put(x), put(index), out, ...sizes);
      return get(out, "f32", wanted.length);
    };
    const found = await once();
    expect(distance(found, wanted)).toBeLessThan(1e-6);
    expect(found.every((v, i) => wanted[i] !== 0 || v === 0)).toBe(true);
    expectSame(await once(), found);
  }
});

// ---------------------------------------------------------------------------------------------------------------
// Sums

async function summed(x: Float32Array, outer: number, size: number, inner: number): Promise<TypedArray> {
  const [from, out] = [put(x), space(outer * inner)];
  run("sumMiddle", "f32", from, out, outer, size, inner);
  gpu.release(from);
  return get(out, "f32", outer * inner);
}

test("sumMiddle folds the middle axis, few columns or many, short or long", async () => {
  for (const [outer, size, inner] of [
    [1, 1, 1],
    [5, 1, 3],
    [1, 9, 1],
    [7, 33, 5],
    [1, 64, 1000],
    [1000, 10, 1],
    [3, 8193, 2],
    [1, 70_000, 10],
    [2, 300, 1037],
    [1, 2 ** 20 + 1, 1],
  ] as const) {
    const x = floats(outer * size * inner, 10).map((v) => v + 1);
    const wanted = new Float32Array(outer * inner);
    js.sumMiddle(x, wanted, outer, size, inner);
    expect(distance(await summed(x, outer, size, inner), wanted)).toBeLessThan(2e-7);
  }
});

test("sumMiddle loses no small terms: 2²⁴ times 0.1", async () => {
  const size = 2 ** 24;
  const [x, out] = [space(size), space(1)];
  fill(gpu, x, "f32", size, 0.1);
  run("sumMiddle", "f32", x, out, 1, size, 1);
  const [sum] = await get(out, "f32", 1);
  expect(Math.abs(sum! / (size * Math.fround(0.1)) - 1)).toBeLessThan(1e-6);
  expect([...(await summed(Float32Array.of(1, 1e8, -1e8), 1, 3, 1))]).toEqual([1]);
});

test("sums are infinite or NaN where their terms say so", async () => {
  const { POSITIVE_INFINITY: inf, NaN: nan } = Number;
  const x = Float32Array.of(1, inf, 2, 1, -inf, -inf, inf, 1, -inf, nan, 1, inf);
  expect([...(await summed(x, 4, 3, 1))]).toEqual([inf, -inf, nan, nan]);
  const index = Int32Array.of(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3);
  const out = space(4);
  run("scatterAdd", "f32", put(x), put(index), out, 1, 4, 1, 12, false);
  expect([...(await get(out, "f32", 4))]).toEqual([inf, -inf, nan, nan]);
});

test("cumsum adds along rows in both directions, short and long", async () => {
  for (const [rows, n] of [
    [1, 1],
    [300, 3],
    [7, 8],
    [50, 9],
    [33, 100],
    [3, 2048],
    [3, 2049],
    [2, 70_000],
    [1, 2 ** 19 + 3],
  ] as const) {
    for (const reverse of [false, true]) {
      for (const [dtype, x, tolerance] of [
        ["f32", floats(rows * n, 11).map((v) => v + 1), 2e-6],
        ["i32", elements("i32", rows * n, 12), 0],
      ] as const) {
        const wanted = arrayOf(dtype, rows * n);
        js.cumsum(x, wanted, rows, n, reverse);
        const out = space(rows * n);
        run("cumsum", dtype, put(x), out, rows, n, reverse);
        expect(distance(await get(out, dtype, rows * n), wanted)).toBeLessThanOrEqual(tolerance);
      }
    }
  }
});

test("a running sum is NaN from the first NaN on, and not before", async () => {
  const x = new Float32Array(3000).fill(1);
  x[2500] = Number.NaN;
  const out = space(3000);
  run("cumsum", "f32", put(x), out, 1, 3000, false);
  const found = await get(out, "f32", 3000);
  expect(found.findIndex(Number.isNaN)).toBe(2500);
  expect(found.subarray(2500).every(Number.isNaN)).toBe(true);
});

// ---------------------------------------------------------------------------------------------------------------
// Order and chance

test("sort is stable in both directions, with NaN last, for rows of any length", async () => {
  for (const [rows, n] of [
    [1, 1],
    [300, 2],
    [100, 10],
    [9, 129],
    [3, 1024],
    [2, 1025],
    [3, 5000],
    [1, 70_003],
  ] as const) {
    for (const dtype of n > 2000 ? (["f32"] as const) : types) {
      // Few different values, so that many are equal.
      const kinds = elements(dtype, 50, 13);
      const x = integers(rows * n, 50, 14).reduce(
        (all, k, i) => all.fill(kinds[k]!, i, i + 1),
        arrayOf(dtype, rows * n),
      );
      for (const descending of [false, true]) {
        const [wanted, order] = [arrayOf(dtype, rows * n), new Int32Array(rows * n)];
        js.sort(x, wanted, order, rows, n, descending);
        const [values, indices] = [space(rows * n), space(rows * n)];
        run("sort", dtype, put(x), values, indices, rows, n, descending);
        expectSame(await get(indices, "i32", rows * n), order);
        expectSame(await get(values, dtype, rows * n), wanted);
      }
    }
  }
});

test("sorting and scattering by any index give what the plain loops give", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        rows: fc.integer({ min: 1, max: 9 }),
        n: fc.integer({ min: 1, max: 2500 }),
        size: fc.integer({ min: 1, max: 40 }),
        seed: fc.nat(1000),
      }),
      async ({ rows, n, size, seed }) => {
        const index = integers(rows * n, size, seed);
        const [wanted, order] = [new Int32Array(rows * n), new Int32Array(rows * n)];
        js.sort(index, wanted, order, rows, n, true);
        const [values, indices] = [space(rows * n), space(rows * n)];
        run("sort", "i32", put(index), values, indices, rows, n, true);
        expectSame(await get(indices, "i32", rows * n), order);
        expectSame(await get(values, "i32", rows * n), wanted);
        const x = floats(rows * n, seed);
        const sums = new Float32Array(rows * size);
        js.scatterAdd(x, index, sums, rows, size, 1, n, true);
        const out = space(rows * size);
        run("scatterAdd", "f32", put(x), put(index), out, rows, size, 1, n, true);
        expect(distance(await get(out, "f32", rows * size), sums)).toBeLessThan(1e-6);
      },
    ),
    { numRuns: 12 },
  );
});

test("random words and unit floats are those of every other device, bit for bit", async () => {
  for (const size of [1, 2, 7, 513, 2 ** 20 + 1]) {
    for (const dtype of ["i32", "f32"] as const) {
      const key = [0xdeadbeef, size] as const;
      const wanted = arrayOf(dtype, size);
      js.random(dtype, key, wanted, size);
      const out = space(size);
      run("random", dtype, key, out, size);
      expectSame(await get(out, dtype, size), wanted);
    }
  }
});

test("what every program needs is compiled ahead", async () => {
  const other = new Queue(gpu.device);
  await corePipelines(other);
  const { pipelines } = other.counts();
  expect(pipelines).toBeGreaterThan(3);
  const block = other.temporary(4);
  fill(other, block, "f32", 4, 1);
  expect([...new Float32Array(await other.read(block, 0, 16))]).toEqual([1, 1, 1, 1]);
  expect(other.counts().pipelines).toBe(pipelines);
});
