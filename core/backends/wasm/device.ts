// What a kernel written by hand sees of the WebAssembly device: its memory, scratch space, and what was compiled before.

import type { DType, TypedArray } from "../../dtype.ts";
import type { Storage } from "../backend.ts";
import type { Heap } from "./memory.ts";

export interface WasmDevice {
  readonly heap: Heap;
  /** The address of so many bytes that the next call of a kernel may overwrite. */
  scratch(bytes: number): number;
  /** What `compile` makes for a type and this memory, made once. */
  compiled<D extends DType, F>(compile: (dtype: D, memory: WebAssembly.Memory) => F, dtype: D): F;
}

/** The types whose elements are moved as those of another: what matters is their width. */
export const alike: Readonly<Record<DType, DType>> = { f32: "i32", f64: "f64", i32: "i32", bool: "bool" };

export function addressOf(storage: Storage): number {
  return storage.handle as number;
}

/** A contiguous run of elements as they stand in memory now. */
export function elementsOf(heap: Heap, dtype: DType, address: number, size: number): TypedArray {
  if (dtype === "f32") return heap.f32.subarray(address / 4, address / 4 + size);
  if (dtype === "f64") return heap.f64.subarray(address / 8, address / 8 + size);
  if (dtype === "i32") return heap.i32.subarray(address / 4, address / 4 + size);
  return heap.u8.subarray(address, address + size);
}
