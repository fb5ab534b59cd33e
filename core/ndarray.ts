// To and from `ndarray`, at the rim. The one file that imports the package: it builds its classes from text, which a
// page's content policy may forbid; nothing happens until `toNdarray` is called, and reading one needs no import.

import ndarray from "ndarray";
import type { TypedArray } from "./dtype.ts";

/** What an `ndarray` has: the package's own, or anything with the same four fields. */
export interface NdArrayLike {
  readonly data: ArrayLike<number>;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly offset: number;
}

/** An `ndarray` over a typed array: the part of it that needs no types installed beside the package. */
export interface NdArray<A extends TypedArray = TypedArray> {
  readonly data: A;
  readonly shape: number[];
  readonly stride: number[];
  readonly offset: number;
  readonly dimension: number;
  readonly size: number;
  readonly dtype: string;
  readonly order: number[];
  get(...position: number[]): number;
  set(...positionAndValue: number[]): number;
  index(...position: number[]): number;
  lo(...start: number[]): NdArray<A>;
  hi(...sizes: number[]): NdArray<A>;
  step(...steps: number[]): NdArray<A>;
  transpose(...order: number[]): NdArray<A>;
  pick(...position: (number | null)[]): NdArray<A>;
}

/** Whether a value has the fields of an `ndarray`. */
export function isNdArrayLike(value: unknown): value is NdArrayLike {
  if (typeof value !== "object" || value === null) return false;
  const { data, shape, stride, offset } = value as Partial<NdArrayLike>;
  return (
    typeof data === "object" &&
    data !== null &&
    Array.isArray(shape) &&
    Array.isArray(stride) &&
    shape.length === stride.length &&
    typeof offset === "number"
  );
}

/** The entries of an `ndarray` of any strides, in row-major order. */
export function ndarrayEntries({ data, shape, stride, offset }: NdArrayLike): number[] {
  const out: number[] = [];
  const level = (axis: number, at: number): void => {
    if (axis === shape.length) out.push(data[at]!);
    else for (let i = 0; i < shape[axis]!; i++) level(axis + 1, at + i * stride[axis]!);
  };
  level(0, offset);
  return out;
}

/** Contiguous data as an `ndarray`. */
export function toNdarray(data: TypedArray, shape: readonly number[]): NdArray {
  return ndarray(data, [...shape]) as unknown as NdArray;
}
