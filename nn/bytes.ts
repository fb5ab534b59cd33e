// Numbers as files hold them: integers, floats and truth values of several widths, in either order of bytes, read into the
// element types that tensors have. Knows no format of files: those say where numbers lie and what they are.

import { type DType, dtypes, type TypedArray } from "../core/dtype.ts";
import { ArgumentError, DomainError, FormatError, showValue } from "../core/errors.ts";

interface StoredInfo {
  /** Bytes of one number. */
  readonly width: number;
  /** The element type that holds it: exactly, or not at all. */
  readonly dtype: DType;
  /** Its value, where the element type has other bits. */
  readonly value?: (view: DataView, at: number, little: boolean) => number;
}

/** The numbers that files hold. */
export const stored: { readonly [S in Stored]: StoredInfo } = {
  f64: { width: 8, dtype: "f64" },
  f32: { width: 4, dtype: "f32" },
  i32: { width: 4, dtype: "i32" },
  bool: { width: 1, dtype: "bool" },
  f16: { width: 2, dtype: "f32", value: (v, at, little) => half(v.getUint16(at, little)) },
  bf16: { width: 2, dtype: "f32", value: upperHalf },
  i64: { width: 8, dtype: "i32", value: (v, at, little) => long(v, at, little, true) },
  u64: { width: 8, dtype: "i32", value: (v, at, little) => long(v, at, little, false) },
  u32: { width: 4, dtype: "i32", value: (v, at, little) => v.getUint32(at, little) },
  i16: { width: 2, dtype: "i32", value: (v, at, little) => v.getInt16(at, little) },
  u16: { width: 2, dtype: "i32", value: (v, at, little) => v.getUint16(at, little) },
  i8: { width: 1, dtype: "i32", value: (v, at) => v.getInt8(at) },
  u8: { width: 1, dtype: "i32", value: (v, at) => v.getUint8(at) },
};

/** A way to hold numbers in files. */
export type Stored = DType | "f16" | "bf16" | "i64" | "u64" | "u32" | "i16" | "u16" | "i8" | "u8";

/** IEEE 754's float of 16 bits. Every one of them is a float of 32 bits too. */
function half(bits: number): number {
  const [exponent, digits] = [(bits >> 10) & 31, bits & 1023];
  const magnitude =
    exponent === 31
      ? digits === 0
        ? Number.POSITIVE_INFINITY
        : Number.NaN
      : exponent === 0
        ? digits * 2 ** -24
        : (1024 + digits) * 2 ** (exponent - 25);
  return bits >> 15 ? -magnitude : magnitude;
}

/** A bfloat16: the upper half of a float of 32 bits. */
function upperHalf(view: DataView, at: number, little: boolean): number {
  const whole = new DataView(new ArrayBuffer(4));
  whole.setUint16(0, view.getUint16(at, little));
  return whole.getFloat32(0);
}

/** An integer of 64 bits: exact wherever 32 bits hold it. */
function long(view: DataView, at: number, little: boolean, signed: boolean): number {
  const [low, high] = little ? [at, at + 4] : [at + 4, at];
  const upper = signed ? view.getInt32(high, little) : view.getUint32(high, little);
  return upper * 2 ** 32 + view.getUint32(low, little);
}

/**
 * Reads `count` numbers from byte `start` on. Throws DomainError, naming the byte, for integers that i32 does not hold, and
 * FormatError for truth values that are neither 0 nor 1.
 */
export function readNumbers(
  place: string,
  kind: Stored,
  bytes: Uint8Array,
  start: number,
  count: number,
  little: boolean,
): TypedArray {
  const { width, dtype, value } = stored[kind];
  const out = new dtypes[dtype].array(count);
  if (value === undefined) {
    const own = new Uint8Array(out.buffer);
    own.set(bytes.subarray(start, start + own.length));
    if (width > 1 && little !== isLittleEndian()) reverseEach(own, width);
    const wrong = dtype === "bool" ? own.findIndex((byte) => byte > 1) : -1;
    if (wrong >= 0)
      throw new FormatError(
        place,
        `byte ${start + wrong} is ${own[wrong]}, where a truth value is 0 or 1`,
        "the file is damaged, or holds numbers",
      );
    return out;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < count; i++) {
    const v = value(view, start + i * width, little);
    out[i] = v;
    if (dtype === "i32" && out[i] !== v)
      throw new DomainError(
        place,
        `entry ${i}, at byte ${start + i * width}, is ${v}, which i32 does not hold`,
        "write floats, or integers of 32 bits",
      );
  }
  return out;
}

/** Whether numbers of this machine begin with their last digits. */
function isLittleEndian(): boolean {
  return new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
}

/** Turns numbers of one order of bytes into the other, in place. */
function reverseEach(bytes: Uint8Array, width: number): void {
  for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

/** The bytes of what a format is read from. */
export function checkBytes(place: string, bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  throw new ArgumentError(
    place,
    `${showValue(bytes)} holds no bytes`,
    "give a Uint8Array or an ArrayBuffer: what a file or a response holds",
  );
}
