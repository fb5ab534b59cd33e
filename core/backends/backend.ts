// What a backend must do: hold memory and run kernels.
// Backends know no tape, no scope and no op; they see views of storage, and kernels made from row programs.

import type { DType, FloatDType, TypedArray } from "../dtype.ts";
import type { Kernel } from "../row/program.ts";
import type { WasmDevice } from "./wasm/device.ts";

/** The devices that computations run on. */
export type DeviceName = "js" | "wasm" | "webgpu";

/**
 * A piece of device memory, shared by the views of one tensor and freed with the last of them.
 * `handle` is the backend's own: a typed array (js), an address (wasm), a buffer (webgpu).
 */
export class Storage {
  readonly backend: Backend;
  readonly handle: unknown;
  /** Bytes asked for; what the allocator rounds them up to is its own affair. */
  readonly bytes: number;
  /** How many views hold it. */
  references = 1;

  constructor(backend: Backend, handle: unknown, bytes: number) {
    this.backend = backend;
    this.handle = handle;
    this.bytes = bytes;
  }

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    if (--this.references === 0) this.backend.free(this);
  }
}

/** A strided window on storage. Strides and offset count elements; a stride of 0 repeats. A tensor is a view. */
export interface View {
  readonly storage: Storage;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/** An operand of a row kernel: a view's memory, and how far the next row lies (0: every row reads the same). */
export interface RowOperand {
  readonly storage: Storage;
  readonly offset: number;
  /** Elements from one row to the next; within a row entries are contiguous. */
  readonly rowStride: number;
}

/** A matrix, or a batch of them, in one of the two layouts that need no copy. */
export interface MatrixOperand {
  readonly storage: Storage;
  readonly offset: number;
  /** Elements from one row (or, when `transposed`, one column) to the next; the other direction is contiguous. */
  readonly stride: number;
  readonly transposed: boolean;
  /** Offset in elements of each matrix of the batch. */
  readonly batchOffsets: readonly number[];
}

/**
 * Windows on planes in row-major order, all of them inside: along each axis so many (`count`), a step from one to the next,
 * with so many taps each, which are so far apart. Pairs are [down, across].
 */
export interface Windows {
  readonly plane: readonly [height: number, width: number];
  readonly count: readonly [number, number];
  readonly step: readonly [number, number];
  readonly taps: readonly [number, number];
  readonly apart: readonly [number, number];
}

/** Where a product goes in memory that holds more, and whether it is added to what stands there. */
export interface Into {
  /** The element that its first entry goes to. */
  readonly offset: number;
  readonly adds: boolean;
}

export interface MemoryUse {
  /** Bytes held by living storage. */
  readonly bytes: number;
  /** Bytes kept for reuse. */
  readonly pool: number;
  /** The largest `bytes` so far, with the scratch space of kernels. */
  readonly peak: number;
}

/**
 * A kernel written by hand, in each CPU device's words (another device keeps its own, found by name). Whoever needs it imports
 * it from `kernels.ts` and has it run, so that a page carries the kernels of the ops it uses. Outputs are contiguous.
 */
export interface HandKernel<A extends readonly unknown[]> {
  readonly name: string;
  js(...args: A): void;
  wasm(device: WasmDevice, ...args: A): void;
}

/** The backends made so far. */
export const made: { [D in DeviceName]?: Backend } = {};

/** How to come from one device to another: whoever makes backends says so when it makes one, and a page without any has none. */
export const ways: { open?(name: DeviceName): Promise<Backend> } = {};

export interface Backend {
  readonly name: DeviceName;
  /** The float types this device computes in. */
  readonly floats: readonly FloatDType[];
  /** Why the device works no more, if it does not: a GPU may be lost. */
  readonly failure?: Error | undefined;

  // Memory. `allocate` gives storage for so many elements, with one reference and undefined contents; how many bytes an element
  // takes is the device's affair. Throws DeviceError when there is no more.
  allocate(dtype: DType, size: number): Storage;
  /** Called by `Storage.release` alone. */
  free(storage: Storage): void;
  memory(): MemoryUse;
  /** From now on the peak counts from what is held now. */
  resetPeak(): void;
  /** Where reading is only asynchronous: a copy of a contiguous run of elements for as long as that takes. */
  setAside?(storage: Storage, dtype: DType, offset: number, size: number): Storage;
  /** Fills contiguous storage from host data. */
  write(storage: Storage, data: TypedArray): void;
  /** Copies a contiguous run of elements to the host; throws DeviceError where only asynchronous reading exists. */
  readSync(storage: Storage, dtype: DType, offset: number, size: number): TypedArray;
  read(storage: Storage, dtype: DType, offset: number, size: number): Promise<TypedArray>;

  // Kernels. All outputs are contiguous and do not overlap any input, unless said.
  /**
   * Runs a row kernel. A number stands for a scalar input. Output k has `rows × n` elements if it is a row, `rows` if a scalar.
   * Elementwise kernels (no reductions) may write an output over an input of the same layout.
   */
  rows(
    kernel: Kernel,
    inputs: readonly (RowOperand | number)[],
    outputs: readonly Storage[],
    rows: number,
    n: number,
  ): void;
  /** Runs a kernel written by hand. */
  run<A extends readonly unknown[]>(kernel: HandKernel<A>, ...args: A): void;
  /** Copies a view of any strides (negative and 0 included) into contiguous storage, converting to `dtype`. */
  copy(from: View, to: Storage, dtype: DType): void;
  /** Copies a contiguous tensor of `shape` into the strided window (offset, strides ≥ 0) of `to`: concat and pad. */
  copyInto(
    from: Storage,
    dtype: DType,
    shape: readonly number[],
    to: Storage,
    offset: number,
    strides: readonly number[],
  ): void;
  fill(to: Storage, dtype: DType, size: number, value: number): void;
}
