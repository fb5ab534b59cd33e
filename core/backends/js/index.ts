// The plain-JavaScript device: memory is typed arrays, kernels are loops. The oracle for every other device, and what
// runs where WebAssembly is forbidden. Arithmetic is in doubles; f32 is rounded where it is stored.

import { type DType, dtypes, type TypedArray } from "../../dtype.ts";
import { DeviceError } from "../../errors.ts";
import type { Kernel } from "../../row/program.ts";
import type { Backend, MemoryUse, RowOperand, View } from "../backend.ts";
import { Storage } from "../backend.ts";
import * as kernels from "./kernels.ts";
import { runRows } from "./rows.ts";

/** Bytes, and the typed arrays on them that have been asked for. */
interface Handle {
  readonly buffer: ArrayBuffer;
  readonly views: { [D in DType]?: TypedArray };
}

/** The whole of a storage as an array of one element type. */
export function arrayOf(storage: Storage, dtype: DType): TypedArray {
  const { buffer, views } = storage.handle as Handle;
  let view = views[dtype];
  if (view === undefined) {
    const Elements = dtypes[dtype].array as unknown as new (buffer: ArrayBuffer) => TypedArray;
    view = new Elements(buffer);
    views[dtype] = view;
  }
  return view;
}

/** The plain-JavaScript backend. */
export function createJsBackend(): Backend {
  let bytes = 0;
  let peak = 0;
  const backend: Backend = {
    name: "js",
    floats: ["f32", "f64"],

    allocate(dtype: DType, size: number): Storage {
      const wanted = size * dtypes[dtype].width;
      let buffer: ArrayBuffer;
      try {
        // Whole elements of every type fit.
        buffer = new ArrayBuffer(Math.ceil(wanted / 8) * 8);
      } catch {
        throw new DeviceError(
          "js",
          `no memory for ${wanted} bytes more`,
          "free tensors, or work in smaller batches",
        );
      }
      bytes += wanted;
      peak = Math.max(peak, bytes);
      return new Storage(backend, { buffer, views: {} } satisfies Handle, wanted);
    },
    free(storage: Storage): void {
      bytes -= storage.bytes;
    },
    memory: (): MemoryUse => ({ bytes, pool: 0, peak }),
    resetPeak: () => {
      peak = bytes;
    },
    write(storage: Storage, data: TypedArray): void {
      arrayOf(
        storage,
        data instanceof Float32Array
          ? "f32"
          : data instanceof Float64Array
            ? "f64"
            : data instanceof Int32Array
              ? "i32"
              : "bool",
      ).set(data);
    },
    readSync: (storage, dtype, offset, size) => arrayOf(storage, dtype).slice(offset, offset + size),
    read: async (storage, dtype, offset, size) => backend.readSync(storage, dtype, offset, size),

    rows(
      kernel: Kernel,
      inputs: readonly (RowOperand | number)[],
      outputs: readonly Storage[],
      rows: number,
      n: number,
    ): void {
      runRows(
        kernel,
        inputs.map((input, i) =>
          typeof input === "number"
            ? input
            : {
                array: arrayOf(input.storage, kernel.inputs[i]!),
                offset: input.offset,
                rowStride: input.rowStride,
              },
        ),
        outputs.map((storage, i) => arrayOf(storage, kernel.outputs[i]!)),
        rows,
        n,
      );
    },
    run: (kernel, ...args) => kernel.js(...args),
    copy(from: View, to: Storage, dtype: DType): void {
      kernels.copy(arrayOf(from.storage, from.dtype), from, arrayOf(to, dtype), dtype);
    },
    copyInto: (from, dtype, shape, to, offset, strides) =>
      kernels.copyInto(arrayOf(from, dtype), shape, arrayOf(to, dtype), offset, strides),
    fill(to: Storage, dtype: DType, size: number, value: number): void {
      arrayOf(to, dtype).fill(value, 0, size);
    },
  };
  return backend;
}
