// What our library asks of a GPU for one call of a work: commands, and bytes read and written. Counted, not timed: observed shaders
// are slow, and a process that opened this has no other GPU.
import type { WebgpuBackend } from "../../core/backends/webgpu/index.ts";
import type { Counts } from "../../core/backends/webgpu/queue.ts";
import { currentBackend } from "../../core/device.ts";
import { useDevice } from "../../core/index.ts";
import { gpuName, offerGpu, withSoftwareGpu } from "../gpu.ts";
import type { Row } from "./rows.ts";
import type { Work } from "./serve.ts";
import { Observer, type Traffic } from "./traffic.ts";

/** What one call of a row costs. */
export interface Cost {
  readonly row: string;
  readonly title: string;
  /** What a call adds when the same has been called before. */
  readonly call: Counts;
  /** Pipelines that the first calls made. */
  readonly pipelines: number;
  readonly traffic: readonly Traffic[];
}

/** A watched GPU: what it is called, and what works cost there. */
export interface Observed {
  readonly gpu: string;
  cost(row: Pick<Row, "id" | "title">, make: () => Work | Promise<Work>): Promise<Cost>;
}

/** Opens the GPU, to be watched, and makes it the device in use. Rejects where there is none. */
export async function openObserved(): Promise<Observed> {
  let observer: Observer;
  await withSoftwareGpu(async () => {
    await offerGpu((gpu) => {
      observer = new Observer(gpu);
    });
    await useDevice("webgpu");
  });
  const backend = currentBackend() as WebgpuBackend;
  const { allocate, free } = backend;
  const bufferOf = ({ handle }: { readonly handle: unknown }): GPUBuffer =>
    (handle as { readonly buffer: GPUBuffer }).buffer;
  backend.allocate = (dtype, size) => {
    const storage = allocate(dtype, size);
    observer.holds(bufferOf(storage), storage.bytes);
    return storage;
  };
  // What a kernel borrows for itself has no least.
  backend.free = (storage) => {
    observer.holds(bufferOf(storage), 0);
    free(storage);
  };

  const cost: Observed["cost"] = async ({ id, title }, make) => {
    const work = await make();
    const before = backend.counts();
    // A step finds its buffers again after a few turns through the pool; readings that arrive late may cost it a turn more.
    for (let i = 0; i < 8; i++) await work.run();
    const calls = 2;
    let [start, end] = [before, before];
    let traffic: readonly Traffic[] = [];
    for (let turn = 0; turn < 10 && (turn === 0 || end.bindGroups > start.bindGroups); turn++) {
      await observer.take();
      start = backend.counts();
      for (let i = 0; i < calls; i++) await work.run();
      end = backend.counts();
      traffic = await observer.take();
    }
    const each = (name: keyof Counts): number => (end[name] - start[name]) / calls;
    work.dispose?.();
    return {
      row: id,
      title,
      call: {
        dispatches: each("dispatches"),
        submits: each("submits"),
        bindGroups: each("bindGroups"),
        pipelines: each("pipelines"),
      },
      pipelines: end.pipelines - before.pipelines,
      traffic: traffic.map((t) => ({
        kernel: t.kernel,
        dispatches: t.dispatches / calls,
        read: t.read / calls,
        written: t.written / calls,
        leastRead: t.leastRead / calls,
        leastWritten: t.leastWritten / calls,
      })),
    };
  };
  return { gpu: gpuName(backend.device), cost };
}
