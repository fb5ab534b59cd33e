// Element types: their arrays, widths and tolerances, in one table.
// Knows no tensor and no device.

import { DTypeError, showValue } from "./errors.ts";

/** The element types of a tensor. */
export type DType = "f32" | "f64" | "i32" | "bool";

/** The element types that carry gradients. */
export type FloatDType = "f32" | "f64";

/** The typed array that holds elements of type `D` on the host; a bool is a byte of 0 or 1. */
export type ArrayOf<D extends DType> = D extends "f32"
  ? Float32Array
  : D extends "f64"
    ? Float64Array
    : D extends "i32"
      ? Int32Array
      : Uint8Array;

/** Any of the typed arrays that hold elements on the host. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

interface DTypeInfo {
  /** Bytes of one element. */
  readonly width: number;
  readonly array: new (length: number) => TypedArray;
  /** Distance from 1 to the next number (0 for integers: they are exact). */
  readonly eps: number;
  /** Largest accepted difference from the f64 oracle, relative to the largest entry of a row: values, then gradients. */
  readonly tolerance: readonly [value: number, gradient: number];
}

/** The one table of element types. */
export const dtypes: { readonly [D in DType]: DTypeInfo } = {
  f32: { width: 4, array: Float32Array, eps: 2 ** -23, tolerance: [1e-5, 1e-4] },
  f64: { width: 8, array: Float64Array, eps: 2 ** -52, tolerance: [1e-12, 1e-10] },
  i32: { width: 4, array: Int32Array, eps: 0, tolerance: [0, 0] },
  bool: { width: 1, array: Uint8Array, eps: 0, tolerance: [0, 0] },
};

/** Whether a value names an element type. */
export function isDType(value: unknown): value is DType {
  return value === "f32" || value === "f64" || value === "i32" || value === "bool";
}

/** Whether elements of this type carry gradients. */
export function isFloat(dtype: DType): dtype is FloatDType {
  return dtype === "f32" || dtype === "f64";
}

/** The element type that a typed array holds. */
export function dtypeOf(place: string, array: ArrayBufferView): DType {
  if (array instanceof Float32Array) return "f32";
  if (array instanceof Float64Array) return "f64";
  if (array instanceof Int32Array) return "i32";
  if (array instanceof Uint8Array) return "bool";
  throw new DTypeError(
    place,
    `${showValue(array)} holds no element type of ours`,
    "give a Float32Array, Float64Array, Int32Array or Uint8Array",
  );
}
