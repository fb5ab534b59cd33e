// The WebGPU device: storage is buffers of a pool, kernels are shaders compiled at their first use, commands run in order
// behind the program's back. Only reading waits. A chunk of its own, loaded when the device is asked for.

import { type DType, dtypes, type TypedArray } from "../../dtype.ts";
import { DeviceError } from "../../errors.ts";
import { type Backend, type HandKernel, type MemoryUse, Storage } from "../backend.ts";
import { openDevice } from "./device.ts";
import { copy, copyInto, corePipelines, fill, handKernels } from "./kernels.ts";
import { type Counts, Queue } from "./queue.ts";
import { runRows } from "./rows.ts";

export type { Counts } from "./queue.ts";

/** The WebGPU backend, and what tests and benchmarks look at. */
export interface WebgpuBackend extends Backend {
  readonly device: GPUDevice;
  /** How often what was told to the GPU so far. */
  counts(): Counts;
}

/** Bytes of an element: truth values take a word each, because invocations cannot write parts of one. */
const width = 4;

/** Opens a GPU and compiles what every program needs. Throws DeviceError where there is none. */
export async function createWebgpuBackend(): Promise<WebgpuBackend> {
  const device = await openDevice();
  const gpu = new Queue(device);
  let bytes = 0;
  let peak = 0;

  const backend: WebgpuBackend = {
    name: "webgpu",
    floats: ["f32"],
    device,
    counts: () => gpu.counts(),
    get failure() {
      return gpu.failure?.();
    },

    allocate(_: DType, size: number): Storage {
      const storage = new Storage(backend, gpu.allocate(size * width), size * width);
      bytes += storage.bytes;
      if (bytes > peak) peak = bytes;
      return storage;
    },
    free(storage: Storage): void {
      gpu.release(storage);
      bytes -= storage.bytes;
    },
    // What waits to be read counts as no tensor's: it goes by itself.
    setAside: (storage, _, offset, size) =>
      new Storage(backend, gpu.setAside(storage, offset * width, size * width), 0),
    memory: (): MemoryUse => ({ bytes, pool: gpu.idle, peak }),
    resetPeak: () => {
      peak = bytes;
    },
    write(storage: Storage, data: TypedArray): void {
      const words = data instanceof Uint8Array ? Uint32Array.from(data) : data;
      gpu.write(storage, words as ArrayBufferView<ArrayBuffer>);
    },
    readSync(): never {
      throw new DeviceError("webgpu", "it can only be read asynchronously", "await read()");
    },
    async read(storage: Storage, dtype: DType, offset: number, size: number): Promise<TypedArray> {
      const data = await gpu.read(storage, offset * width, size * width);
      if (dtype === "bool") return Uint8Array.from(new Uint32Array(data));
      const Elements = dtypes[dtype].array as unknown as new (buffer: ArrayBuffer) => TypedArray;
      return new Elements(data);
    },

    rows: (kernel, inputs, outputs, rows, n) => runRows(gpu, kernel, inputs, outputs, rows, n),
    run<A extends readonly unknown[]>(kernel: HandKernel<A>, ...args: A): void {
      (handKernels[kernel.name] as unknown as (gpu: Queue, ...args: A) => void)(gpu, ...args);
    },
    copy: (from, to, dtype) => copy(gpu, from, to, dtype),
    copyInto: (from, dtype, shape, to, offset, strides) =>
      copyInto(gpu, from, dtype, shape, to, offset, strides),
    fill: (to, dtype, size, value) => fill(gpu, to, dtype, size, value),
  };
  await corePipelines(gpu);
  return backend;
}
