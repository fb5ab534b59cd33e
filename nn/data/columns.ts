// Data by columns: a record of tensors and arrays whose first axes are the same rows, and taking rows of it.

import type { DeviceName } from "../../core/backends/backend.ts";
import { tensor } from "../../core/create.ts";
import type { DType, TypedArray } from "../../core/dtype.ts";
import { ArgumentError, ShapeError, showValue } from "../../core/errors.ts";
import type { Key } from "../../core/random.ts";
import { isRecord } from "../../core/scope.ts";
import type { Shape, Size } from "../../core/shape.ts";
import { Tensor } from "../../core/tensor.ts";
import { take } from "../../ops/indexing.ts";

/** One value for each row: a tensor, whose first axis the rows are, or an array. */
export type Column = Tensor | TypedArray | readonly unknown[];

/** Columns of equally many rows, by name: `{ x, y }`. */
export type Columns = { readonly [name: string]: Column };

/** Some rows of columns; a name stands for their number. */
export type Rows<C, N extends Size> = { readonly [K in keyof C]: RowsOf<C[K], N> };
type RowsOf<C, N extends Size> =
  C extends Tensor<infer S, infer D extends DType>
    ? Tensor<S extends readonly [Size, ...infer Rest extends Shape] ? [N, ...Rest] : Shape, D>
    : C extends Float32Array
      ? Float32Array
      : C extends Float64Array
        ? Float64Array
        : C extends Int32Array
          ? Int32Array
          : C extends Uint8Array
            ? Uint8Array
            : C extends readonly (infer E)[]
              ? E[]
              : never;

/** The number of rows. Throws ArgumentError for what are no columns, ShapeError where they differ. */
export function rowsOf(place: string, data: unknown): number {
  if (!isRecord(data) || Object.keys(data).length === 0)
    throw new ArgumentError(place, `the data are ${showValue(data)}`, "give columns by name: { x, y }");
  const lengths = Object.entries(data).map(([name, column]): [string, number] => {
    const length =
      column instanceof Tensor ? column.shape[0] : (column as { length?: unknown } | null)?.length;
    const isColumn = column instanceof Tensor || Array.isArray(column) || ArrayBuffer.isView(column);
    if (!isColumn || typeof length !== "number")
      throw new ArgumentError(
        place,
        `${name} is ${column instanceof Tensor ? "a tensor without axes" : showValue(column)}`,
        "give tensors whose first axis is the rows, typed arrays, or arrays",
      );
    return [name, length];
  });
  const [[first, rows]] = lengths as [[string, number]];
  const other = lengths.find(([, length]) => length !== rows);
  if (other !== undefined)
    throw new ShapeError(
      place,
      `${first} has ${rows} rows and ${other[0]} has ${other[1]}`,
      "give columns of the same rows",
    );
  return rows;
}

/** The rows at the given positions of each column, on the device that it lives on. */
export function takeRows<C extends Columns, N extends Size>(data: C, positions: Int32Array): Rows<C, N> {
  const made = new Map<DeviceName, Tensor<Shape, "i32">>();
  const on = (device: DeviceName): Tensor<Shape, "i32"> => {
    if (!made.has(device)) made.set(device, tensor(positions, { device }));
    return made.get(device)!;
  };
  const taken = Object.entries(data).map(([name, column]): [string, unknown] => {
    if (column instanceof Tensor)
      return [name, takenOnHost(column, positions) ?? take(column, on(column.device))];
    if (Array.isArray(column)) return [name, Array.from(positions, (i) => column[i] as unknown)];
    const from = column as TypedArray;
    return [name, from.slice(0, positions.length).map((_, i) => from[positions[i]!]!)];
  });
  return Object.fromEntries(taken) as Rows<C, N>;
}

/** Rows of integers of which the host has a copy: on a GPU class indices are checked, and found in clusters, by that. */
function takenOnHost({ host, dtype, device, shape }: Tensor, positions: Int32Array): Tensor | undefined {
  if (host === null || dtype !== "i32") return undefined;
  const width = host.length / shape[0]!;
  const data = new Int32Array(positions.length * width);
  positions.forEach((row, k) => {
    data.set(host.subarray(row * width, (row + 1) * width), k * width);
  });
  return tensor(data, { device, shape: [positions.length, ...shape.slice(1)] });
}

/** Where an order of rows comes from: a key, or a seed (0 by default). */
export interface OrderOptions {
  readonly key?: Key;
  readonly seed?: number;
}
