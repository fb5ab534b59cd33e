// What the tests of the structural ops share: plain arrays with a shape, the layouts that a tensor of them can have in
// memory, gradients by central differences, and the examples on the cards of ops. No op is its own reference here.
import fc from "fast-check";
import { expect } from "vitest";
import type { DeviceName } from "../../core/backends/backend.ts";
import { tensor } from "../../core/create.ts";
import type { DType } from "../../core/dtype.ts";
import type { Op } from "../../core/op.ts";
import { contiguousStrides, sizeOf } from "../../core/shape.ts";
import { grad } from "../../core/tape.ts";
import { Tensor } from "../../core/tensor.ts";
import { slice, transpose } from "../../core/views.ts";
import { add, mul, square } from "../../ops/elementwise.ts";
import { sum } from "../../ops/reduce.ts";

export const devices: readonly DeviceName[] = ["js", "wasm"];

/** A plain array of numbers with a shape. */
export interface Nd {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** All positions of a shape, in row-major order. */
export function positions(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (all, size) => all.flatMap((at) => Array.from({ length: size }, (_, i) => [...at, i])),
    [[]],
  );
}

/** The array whose entry at each position is what the function says. */
export function build(shape: readonly number[], entry: (at: number[]) => number): Nd {
  return { shape, data: positions(shape).map(entry) };
}

export function at(x: Nd, position: readonly number[]): number {
  const strides = contiguousStrides(x.shape);
  return x.data[position.reduce((sum, i, axis) => sum + i * strides[axis]!, 0)]!;
}

/** Numbers from a seed, on a grid of halves so that sums of them are exact in every type. */
export function random(shape: readonly number[], seed: number): Nd {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return ((state >>> 16) % 41) / 2 - 10;
  };
  return { shape, data: Array.from({ length: sizeOf(shape) }, next) };
}

/** Different numbers in an order that depends on the seed, none of them 0. */
export function distinct(shape: readonly number[], seed: number): Nd {
  const { data } = random(shape, seed);
  const order = data.map((v, i) => [v, i] as const).sort((a, b) => a[0] - b[0]);
  const values = new Array<number>(data.length);
  order.forEach(([, i], rank) => {
    values[i] = (rank - data.length / 2 + 0.25) / 2;
  });
  return { shape, data: values };
}

export const upload = <D extends DType>(x: Nd, dtype: D, device: DeviceName): Tensor<readonly number[], D> =>
  tensor(x.data, { shape: x.shape, dtype, device });

/** The same values in the layouts that views bring: in order, transposed, turned round, within something larger. */
export function layouts<D extends DType>(
  x: Nd,
  dtype: D,
  device: DeviceName,
): Tensor<readonly number[], D>[] {
  const { shape } = x;
  const order = [...shape.keys()].reverse();
  const turned = build([...shape].reverse(), (p) => at(x, [...p].reverse()));
  const wide = build(
    shape.map((size) => 2 * size + 1),
    (p) =>
      p.every((i) => i % 2 === 1)
        ? at(
            x,
            p.map((i) => (i - 1) / 2),
          )
        : 1,
  );
  const views = [
    upload(x, dtype, device),
    transpose(upload(turned, dtype, device), order),
    slice(upload(wide, dtype, device), ...shape.map((size) => [1, 2 * size + 1, 2] as const)),
  ];
  return views as Tensor<readonly number[], D>[];
}

/** Whether a tensor holds these values, to a distance relative to the largest of them. */
export function expectValues(found: Tensor, wanted: Nd, tolerance = 0): void {
  expect(found.shape).toEqual(wanted.shape);
  const data = found.dataSync();
  const scale = wanted.data.reduce((top, v) => (Number.isFinite(v) ? Math.max(top, Math.abs(v)) : top), 1);
  wanted.data.forEach((v, i) => {
    const same = Object.is(data[i], v) || data[i] === v || Math.abs(data[i]! - v) <= tolerance * scale;
    if (!same) expect.fail(`entry ${i} is ${data[i]}, not ${v}, of ${found}`);
  });
}

/** Σ c·f², whose gradient has a gradient of its own also where f is linear. */
const lossOf =
  (f: (...xs: Tensor[]) => Tensor) =>
  (...xs: Tensor[]): Tensor => {
    const y = f(...xs) as Tensor<readonly number[], "f64">;
    const weights = upload(random(y.shape, 7), "f64", y.device);
    return sum(mul(square(y), weights));
  };

function central(
  f: (...xs: Tensor[]) => Tensor,
  inputs: readonly Nd[],
  which: number,
  device: DeviceName,
): Nd {
  const step = 1e-5;
  const value = (i: number, by: number): number => {
    const moved = inputs.map((x, k) => (k === which ? { ...x, data: x.data.with(i, x.data[i]! + by) } : x));
    return f(...moved.map((x) => upload(x, "f64", device))).item() as number;
  };
  const { shape, data } = inputs[which]!;
  return { shape, data: data.map((_, i) => (value(i, step) - value(i, -step)) / (2 * step)) };
}

/** First and second derivatives of Σ c·f² against central differences, in f64, for every layout of the inputs. */
export function expectGradients(
  f: (...xs: Tensor[]) => Tensor,
  inputs: readonly Nd[],
  device: DeviceName,
): void {
  const all = inputs.map((_, i) => i);
  const first = lossOf(f);
  const second = (...xs: Tensor[]): Tensor => {
    const gradients = grad(first, { argnums: all })(...xs) as Tensor<readonly number[], "f64">[];
    return gradients
      .map((g, i) => sum(mul(g, upload(random(g.shape, i + 3), "f64", device))))
      .reduce((a, b) => add(a, b)) as Tensor;
  };
  const wanted = [first, second].map((loss) => all.map((i) => central(loss, inputs, i, device)));
  const arranged = inputs.map((x) => layouts(x, "f64", device));
  for (let layout = 0; layout < 3; layout++) {
    const xs = arranged.map((views) => views[layout]!) as Tensor[];
    [first, second].forEach((loss, order) => {
      const found = grad(loss, { argnums: all })(...xs) as Tensor[];
      for (const [i, g] of found.entries()) expectValues(g, wanted[order]![i]!, 1e-7);
    });
  }
}

export const seeds: fc.Arbitrary<number> = fc.nat();
/** Shapes of up to `maxRank` axes of up to `max` entries. */
export const shapes = (maxRank: number, max: number, minRank = 0, min = 1): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min, max }), { minLength: minRank, maxLength: maxRank });

/** The arguments of an example: records of one element type and plain nested arrays become tensors. */
function argument(value: unknown, explicit: boolean, device: DeviceName): unknown {
  if (typeof value === "object" && value !== null) {
    for (const dtype of ["f32", "f64", "i32", "bool"] as const) {
      if (dtype in value) return tensor((value as { [key: string]: number[] })[dtype]!, { dtype, device });
    }
    if (Array.isArray(value)) {
      return explicit
        ? value.map((v) => argument(v, true, device))
        : tensor(value as number[], { dtype: "f64", device });
    }
  }
  return value;
}

const plain = (value: unknown): unknown => {
  if (value instanceof Tensor) return value.toArray();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
};

/** Whether an example writes its tensors out as `{ f64: … }`: then other arrays are handed in as they are. */
const writtenOut = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.some(writtenOut)
    : typeof value === "object" && value !== null && "f64" in value;

/** Runs the examples on the card of an op. */
export function expectExamples(op: Op, device: DeviceName): void {
  for (const { args, gives } of op.info.examples) {
    const given = args.map((value) => argument(value, writtenOut(args), device));
    const found = (op as unknown as (...args: unknown[]) => unknown)(...given);
    expect(plain(found), `${op.info.name}(${JSON.stringify(args).slice(1, -1)})`).toEqual(gives);
  }
}
