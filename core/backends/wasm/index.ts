// The WebAssembly device: storage is an address in one memory, kernels are modules compiled at their first use.
// Runs what it is told; knows no tensor, no tape and no op.

import { type DType, dtypes, type TypedArray } from "../../dtype.ts";
import type { Kernel } from "../../row/program.ts";
import { type Backend, type MemoryUse, type RowOperand, Storage, type View } from "../backend.ts";
import { addressOf, alike, elementsOf, type WasmDevice } from "./device.ts";
import { compileRows, type RowFunction } from "./emit.ts";
import { type Copy, compileCopy } from "./kernels.ts";
import { Heap } from "./memory.ts";

/** Numbers given for scalar inputs stand here, 16 bytes each, for as many operands as a kernel may have. */
const parameterBytes = 4096;

/** What a kernel becomes on a heap. */
interface CompiledRows extends RowFunction {
  readonly heap: Heap;
  /** Bytes of an element of each input. */
  readonly widths: readonly number[];
  /** Room for the arguments of a call. */
  readonly parameters: number[];
}

/** The WebAssembly backend, with a memory of its own. */
export function createWasmBackend(): Backend {
  const heap = new Heap(parameterBytes);
  const { memory } = heap;
  let bytes = 0;
  let peak = 0;
  let scratch = 0;
  let scratchBytes = 0;
  const copies: { readonly [from in DType]: { [to in DType]?: Copy } } = {
    f32: {},
    f64: {},
    i32: {},
    bool: {},
  };
  const kernels = new Map<unknown, { [D in DType]?: unknown }>();

  function note(): void {
    if (bytes + scratchBytes > peak) peak = bytes + scratchBytes;
  }

  function dropScratch(): void {
    if (scratchBytes > 0) heap.release(scratch, scratchBytes);
    scratchBytes = 0;
  }

  /** The address of scratch memory, which the next call of a kernel may overwrite. */
  function scratchFor(wanted: number): number {
    if (wanted > scratchBytes) {
      dropScratch();
      scratch = heap.allocate(wanted);
      scratchBytes = wanted;
      note();
    }
    return scratch;
  }

  const device: WasmDevice = {
    heap,
    scratch: scratchFor,
    compiled<D extends DType, F>(compile: (dtype: D, memory: WebAssembly.Memory) => F, dtype: D): F {
      let made = kernels.get(compile);
      if (made === undefined) {
        made = {};
        kernels.set(compile, made);
      }
      made[dtype] ??= compile(dtype, memory);
      return made[dtype] as F;
    },
  };

  function compiled(kernel: Kernel): CompiledRows {
    const found = kernel.compiled.wasm as CompiledRows | undefined;
    if (found?.heap === heap) return found;
    const made: CompiledRows = {
      ...compileRows(kernel, memory),
      heap,
      widths: kernel.inputs.map((dtype) => dtypes[dtype].width),
      // Made without holes: spreading an array that may have some is ten times slower.
      parameters: Array.from({ length: 2 * kernel.inputs.length + kernel.outputs.length + 4 }, () => 0),
    };
    kernel.compiled.wasm = made;
    return made;
  }

  /** The address of an operand's first row; a number is put into memory as input k is stored. */
  function place(kernel: Kernel, k: number, input: RowOperand | number, width: number): number {
    if (typeof input !== "number") return (input.storage.handle as number) + input.offset * width;
    const stored = kernel.inputs[k]!;
    if (stored === "f32") heap.f32[4 * k] = input;
    else if (stored === "f64") heap.f64[2 * k] = input;
    else if (stored === "i32") heap.i32[4 * k] = input;
    else heap.u8[16 * k] = input;
    return 16 * k;
  }

  const strideOf = (input: RowOperand | number, width: number): number =>
    typeof input === "number" ? 0 : input.rowStride * width;

  // Axes of a copy, the fastest first: kept from call to call, since cutting and growing arrays costs more than a copy.
  const counts = [1, 1, 1, 1];
  const fromSteps = [0, 0, 0, 0];
  const toSteps = [0, 0, 0, 0];
  let axes = 0;

  /** Takes up the next slower axis; one that continues another on both sides is joined with it. */
  function addAxis(count: number, fromStep: number, toStep: number): void {
    if (count === 1) return;
    const last = axes - 1;
    if (
      last >= 0 &&
      fromStep === fromSteps[last]! * counts[last]! &&
      toStep === toSteps[last]! * counts[last]!
    ) {
      counts[last]! *= count;
      return;
    }
    counts[axes] = count;
    fromSteps[axes] = fromStep;
    toSteps[axes] = toStep;
    axes++;
  }

  /** Copies along the axes taken up, and forgets them. */
  function copyAxes(fromType: DType, from: number, toType: DType, to: number): void {
    const source = fromType === toType ? alike[fromType] : fromType;
    const target = fromType === toType ? source : toType;
    const copy = copies[source][target] ?? compileCopy(source, target, memory);
    copies[source][target] = copy;
    for (let axis = axes; axis < 4; axis++) counts[axis] = 1;
    copyFrom(axes - 1, copy, from, to);
    axes = 0;
  }

  /** Copies along this axis and the faster ones; the kernel itself knows four. */
  function copyFrom(axis: number, copy: Copy, at: number, out: number): void {
    if (axis > 3) {
      for (let i = 0; i < counts[axis]!; i++)
        copyFrom(axis - 1, copy, at + i * fromSteps[axis]!, out + i * toSteps[axis]!);
      return;
    }
    copy(
      at,
      out,
      counts[3]!,
      fromSteps[3]!,
      toSteps[3]!,
      counts[2]!,
      fromSteps[2]!,
      toSteps[2]!,
      counts[1]!,
      fromSteps[1]!,
      toSteps[1]!,
      counts[0]!,
      fromSteps[0]!,
      toSteps[0]!,
    );
  }

  const backend: Backend = {
    name: "wasm",
    floats: ["f32", "f64"],

    allocate(dtype: DType, size: number): Storage {
      const wanted = size * dtypes[dtype].width;
      const address = heap.allocate(wanted);
      bytes += wanted;
      note();
      return new Storage(backend, address, wanted);
    },
    free(storage: Storage): void {
      heap.release(addressOf(storage), storage.bytes);
      bytes -= storage.bytes;
    },
    memory: (): MemoryUse => ({ bytes, pool: heap.pooled + scratchBytes, peak }),
    resetPeak: () => {
      dropScratch();
      peak = bytes;
    },
    write(storage: Storage, data: TypedArray): void {
      const address = addressOf(storage);
      if (data instanceof Float32Array) heap.f32.set(data, address / 4);
      else if (data instanceof Float64Array) heap.f64.set(data, address / 8);
      else if (data instanceof Int32Array) heap.i32.set(data, address / 4);
      else heap.u8.set(data, address);
    },
    readSync: (storage: Storage, dtype: DType, offset: number, size: number): TypedArray =>
      elementsOf(heap, dtype, addressOf(storage) + offset * dtypes[dtype].width, size).slice(),
    read: async (storage: Storage, dtype: DType, offset: number, size: number): Promise<TypedArray> =>
      backend.readSync(storage, dtype, offset, size),

    rows(
      kernel: Kernel,
      inputs: readonly (RowOperand | number)[],
      outputs: readonly Storage[],
      rows: number,
      n: number,
    ): void {
      const made = compiled(kernel);
      const { call, widths } = made;
      const space = scratchFor(made.scratchBytes(n));
      // Kernels of up to three inputs and one output are called without an array between: this is every small op's path.
      if (outputs.length === 1 && inputs.length <= 3) {
        const out = addressOf(outputs[0]!);
        const [a, b, c] = inputs as [RowOperand | number, RowOperand | number, RowOperand | number];
        const [wa, wb, wc] = widths as [number, number, number];
        const pa = place(kernel, 0, a, wa);
        const sa = strideOf(a, wa);
        if (inputs.length === 1) {
          call(pa, sa, out, space, 0, rows, n);
          return;
        }
        const pb = place(kernel, 1, b, wb);
        const sb = strideOf(b, wb);
        if (inputs.length === 2) call(pa, sa, pb, sb, out, space, 0, rows, n);
        else call(pa, sa, pb, sb, place(kernel, 2, c, wc), strideOf(c, wc), out, space, 0, rows, n);
        return;
      }
      const { parameters } = made;
      let p = 0;
      for (let k = 0; k < inputs.length; k++) {
        parameters[p++] = place(kernel, k, inputs[k]!, widths[k]!);
        parameters[p++] = strideOf(inputs[k]!, widths[k]!);
      }
      for (const out of outputs) parameters[p++] = addressOf(out);
      parameters[p++] = space;
      parameters[p++] = 0;
      parameters[p++] = rows;
      parameters[p] = n;
      call(...parameters);
    },

    run: (kernel, ...args) => kernel.wasm(device, ...args),

    copy(from: View, to: Storage, dtype: DType): void {
      if (from.size === 0) return;
      const { width: source } = dtypes[from.dtype];
      let step = dtypes[dtype].width;
      for (let axis = from.shape.length - 1; axis >= 0; axis--) {
        addAxis(from.shape[axis]!, from.strides[axis]! * source, step);
        step *= from.shape[axis]!;
      }
      copyAxes(from.dtype, addressOf(from.storage) + from.offset * source, dtype, addressOf(to));
    },
    copyInto(
      from: Storage,
      dtype: DType,
      shape: readonly number[],
      to: Storage,
      offset: number,
      strides: readonly number[],
    ): void {
      if (shape.includes(0)) return;
      const { width } = dtypes[dtype];
      let step = width;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        addAxis(shape[axis]!, step, strides[axis]! * width);
        step *= shape[axis]!;
      }
      copyAxes(dtype, addressOf(from), dtype, addressOf(to) + offset * width);
    },
    fill(to: Storage, dtype: DType, size: number, value: number): void {
      const address = addressOf(to);
      if (dtype === "f32") heap.f32.fill(value, address / 4, address / 4 + size);
      else if (dtype === "f64") heap.f64.fill(value, address / 8, address / 8 + size);
      else if (dtype === "i32") heap.i32.fill(value, address / 4, address / 4 + size);
      else heap.u8.fill(value, address, address + size);
    },
  };
  return backend;
}
