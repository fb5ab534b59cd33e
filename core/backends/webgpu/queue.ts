// What is told to the GPU, in order: one encoder stays open until something is read or it grows long. Parameters of all its
// dispatches stand in one ring; bind groups and pipelines are made once and found by identity.
// Knows buffers and shaders; knows neither tensors nor what a kernel computes.

import { DeviceError, DeviceLostError, OutOfMemoryError } from "../../errors.ts";
import { BufferPool, type GpuBuffer, parameterUsage, readingUsage, storageUsage } from "./buffers.ts";

/** Parameters of a dispatch: 64 words. */
const slotBytes = 256;
const slotWords = slotBytes / 4;
/** Dispatches after which an encoder is submitted, so that the GPU begins while the next ones are recorded. */
const slots = 128;
/** Workgroups in each dimension of a dispatch, at most. */
const mostGroups = 65_535;

/** Buffers of a bind group one after the other, and the group at the end. */
interface Groups {
  next: WeakMap<GpuBuffer, Groups>;
  group: GPUBindGroup | undefined;
}

/** Storage bindings of one pattern of access, and the bind groups made for it. */
interface Layout {
  readonly bindings: GPUBindGroupLayout;
  readonly whole: GPUPipelineLayout;
  readonly groups: Groups;
}

/** A compiled shader. Made by `Queue.pipeline`. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: Layout;
}

/** What was told to the GPU so far. */
export interface Counts {
  readonly dispatches: number;
  readonly submits: number;
  readonly bindGroups: number;
  readonly pipelines: number;
}

interface Reading {
  readonly to: GpuBuffer;
  readonly bytes: number;
  resolve(data: ArrayBuffer): void;
  reject(error: unknown): void;
}

/** What stands for a buffer: a storage, or a temporary. */
export interface Block {
  readonly handle: unknown;
}

const bufferOf = (block: Block): GpuBuffer => block.handle as GpuBuffer;

const emptyGroups = (): Groups => ({ next: new WeakMap(), group: undefined });

export class Queue {
  readonly device: GPUDevice;
  /** Storage bindings that a shader may have. */
  readonly maxBuffers: number;
  /** The ring of parameters as words; `slot` says where those of the next dispatch stand. */
  readonly u32: Uint32Array<ArrayBuffer>;
  readonly i32: Int32Array<ArrayBuffer>;
  readonly f32: Float32Array<ArrayBuffer>;
  /** Why nothing works any more. */
  failure: (() => DeviceError) | undefined;
  private readonly pool: BufferPool;
  private readonly readings: BufferPool;
  /** Apart from the others, so that what waits to be read does not change which buffers a step finds. */
  private readonly asides: BufferPool;
  private readonly layouts = new Map<string, Layout>();
  private readonly parameters: GPUBuffer;
  private readonly parameterLayout: GPUBindGroupLayout;
  private readonly parameterGroup: GPUBindGroup;
  private encoder: GPUCommandEncoder | null = null;
  private pass: GPUComputePassEncoder | null = null;
  private current: GPUComputePipeline | null = null;
  private next = 0;
  /** The submission that is being recorded. */
  private submission = 0;
  private waiting: Reading[] = [];
  private dispatches = 0;
  private submits = 0;
  private bindGroups = 0;
  private pipelines = 0;

  constructor(device: GPUDevice) {
    this.device = device;
    this.maxBuffers = device.limits.maxStorageBuffersPerShaderStage;
    this.pool = new BufferPool(device, storageUsage);
    this.readings = new BufferPool(device, readingUsage);
    this.asides = new BufferPool(device, storageUsage);
    const ring = new ArrayBuffer(slots * slotBytes);
    this.u32 = new Uint32Array(ring);
    this.i32 = new Int32Array(ring);
    this.f32 = new Float32Array(ring);
    for (let at = 0; at < this.u32.length; at += slotWords) {
      this.u32[at + 2] = 0x7fc00000;
      this.u32[at + 3] = 0x7f800000;
    }
    this.parameters = device.createBuffer({ size: ring.byteLength, usage: parameterUsage });
    const compute = 4;
    this.parameterLayout = device.createBindGroupLayout({
      entries: [
        {
          binding: 0,
          visibility: compute,
          buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: slotBytes },
        },
      ],
    });
    this.parameterGroup = device.createBindGroup({
      layout: this.parameterLayout,
      entries: [{ binding: 0, resource: { buffer: this.parameters, size: slotBytes } }],
    });
    device.lost.then((info) => {
      this.failure = () =>
        new DeviceLostError(
          "webgpu",
          `the device was lost (${info.message || info.reason || "unknown"})`,
          'await useDevice("webgpu") for a new one, and upload again what is needed',
        );
    });
    device.addEventListener("uncapturederror", ({ error }) => {
      const { message } = error;
      this.failure ??= () =>
        error.constructor.name === "GPUOutOfMemoryError"
          ? new OutOfMemoryError("webgpu", message, "work in smaller batches, after a new useDevice")
          : new DeviceError("webgpu", message, "this is a defect of the library: please report it");
    });
  }

  // Memory

  /** A buffer of so many elements, its contents undefined. What uses it runs before what a later owner records. */
  temporary(elements: number): Block {
    return { handle: this.allocate(4 * elements) };
  }

  /** The same for a tensor's memory, in bytes. */
  allocate(bytes: number): GpuBuffer {
    if (this.failure) throw this.failure();
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (bytes > most)
      throw new OutOfMemoryError(
        "webgpu",
        `${bytes} bytes are more than the ${most} that a buffer of this device can hold`,
        "work in smaller batches",
      );
    return this.pool.take(bytes);
  }

  release(block: Block): void {
    const b = bufferOf(block);
    b.home.give(b);
  }

  /** Bytes that lie idle. */
  get idle(): number {
    return this.pool.idle + this.readings.idle + this.asides.idle;
  }

  /** Fills a buffer from the host. */
  write(block: Block, data: ArrayBufferView<ArrayBuffer>): void {
    if (this.failure) throw this.failure();
    const b = bufferOf(block);
    // A write takes effect before all that is recorded: what uses the buffer must have been submitted.
    if (b.used === this.submission) this.flush();
    this.device.queue.writeBuffer(b.buffer, 0, data);
  }

  /** A copy of a part of a buffer. */
  setAside(block: Block, offset: number, bytes: number): GpuBuffer {
    const to = this.asides.take(bytes);
    this.copy(bufferOf(block), offset, to, bytes);
    to.used = this.submission;
    return to;
  }

  private copy(from: GpuBuffer, offset: number, to: GpuBuffer, bytes: number): void {
    this.endPass();
    this.commands().copyBufferToBuffer(from.buffer, offset, to.buffer, 0, bytes);
    from.used = this.submission;
  }

  /** The bytes of a part of a buffer. Reads of one turn of the event loop are submitted together. */
  read(block: Block, offset: number, bytes: number): Promise<ArrayBuffer> {
    if (this.failure) return Promise.reject(this.failure());
    return new Promise((resolve, reject) => {
      const to = this.readings.take(bytes);
      this.copy(bufferOf(block), offset, to, bytes);
      if (this.waiting.length === 0) queueMicrotask(() => this.flush());
      this.waiting.push({ to, bytes, resolve, reject });
    });
  }

  // Shaders

  private layout(access: string): Layout {
    let found = this.layouts.get(access);
    if (found === undefined) {
      const bindings = this.device.createBindGroupLayout({
        entries: Array.from(access, (letter, binding) => ({
          binding,
          visibility: 4,
          buffer: { type: letter === "w" ? "storage" : "read-only-storage" } as const,
        })),
      });
      const whole = this.device.createPipelineLayout({ bindGroupLayouts: [bindings, this.parameterLayout] });
      found = { bindings, whole, groups: emptyGroups() };
      this.layouts.set(access, found);
    }
    return found;
  }

  private description(
    label: string,
    code: string,
    layout: Layout,
    constants: { readonly [name: string]: number } | undefined,
  ): GPUComputePipelineDescriptor {
    this.pipelines++;
    return {
      label,
      layout: layout.whole,
      compute: {
        module: this.device.createShaderModule({ label, code }),
        entryPoint: "main",
        ...(constants ? { constants } : {}),
      },
    };
  }

  /** Compiles a shader; `access` has "r" or "w" for each storage binding. */
  pipeline(
    label: string,
    code: string,
    access: string,
    constants?: { readonly [name: string]: number },
  ): Pipeline {
    const layout = this.layout(access);
    const pipeline = this.device.createComputePipeline(this.description(label, code, layout, constants));
    return { pipeline, layout };
  }

  /** The same without holding up the caller. */
  async pipelineAsync(
    label: string,
    code: string,
    access: string,
    constants?: { readonly [name: string]: number },
  ): Promise<Pipeline> {
    const layout = this.layout(access);
    const made = this.description(label, code, layout, constants);
    return { pipeline: await this.device.createComputePipelineAsync(made), layout };
  }

  // Commands

  /** The word of the ring at which the parameters of the next dispatch begin; words 2 and 3 are taken. */
  slot(): number {
    if (this.next === slots) this.flush();
    return this.next * slotWords;
  }

  /** A number of workgroups as two dimensions, each within what a device allows; the product may be larger than the number. */
  groups(count: number): [x: number, y: number] {
    if (count <= mostGroups) return [count, 1];
    const y = Math.ceil(count / mostGroups);
    return [Math.ceil(count / y), y];
  }

  /** Runs a shader on storage, with the parameters that stand in the slot. */
  dispatch(pipeline: Pipeline, blocks: readonly Block[], x: number, y = 1, z = 1): void {
    if (this.failure) throw this.failure();
    const { submission } = this;
    let groups = pipeline.layout.groups;
    for (let i = 0; i < blocks.length; i++) {
      const b = bufferOf(blocks[i]!);
      b.used = submission;
      let next = groups.next.get(b);
      if (next === undefined) {
        next = emptyGroups();
        groups.next.set(b, next);
      }
      groups = next;
    }
    if (groups.group === undefined) {
      this.bindGroups++;
      groups.group = this.device.createBindGroup({
        layout: pipeline.layout.bindings,
        entries: blocks.map((b, binding) => ({ binding, resource: { buffer: bufferOf(b).buffer } })),
      });
    }
    const pass = this.commandPass();
    if (this.current !== pipeline.pipeline) {
      this.current = pipeline.pipeline;
      pass.setPipeline(pipeline.pipeline);
    }
    pass.setBindGroup(0, groups.group);
    pass.setBindGroup(1, this.parameterGroup, [this.next * slotBytes]);
    pass.dispatchWorkgroups(x, y, z);
    this.next++;
    this.dispatches++;
  }

  private commands(): GPUCommandEncoder {
    this.encoder ??= this.device.createCommandEncoder();
    return this.encoder;
  }

  private commandPass(): GPUComputePassEncoder {
    this.pass ??= this.commands().beginComputePass();
    return this.pass;
  }

  private endPass(): void {
    this.pass?.end();
    this.pass = null;
    this.current = null;
  }

  /** Submits what is recorded. */
  flush(): void {
    if (this.encoder === null) return;
    this.endPass();
    if (this.next > 0) this.device.queue.writeBuffer(this.parameters, 0, this.u32, 0, this.next * slotWords);
    this.device.queue.submit([this.encoder.finish()]);
    this.encoder = null;
    this.next = 0;
    this.submission++;
    this.submits++;
    const { waiting } = this;
    this.waiting = [];
    for (const reading of waiting) this.map(reading);
    // Nothing that is recorded waits for its submission now.
    if (this.pool.full) this.pool.trim();
  }

  private map({ to, bytes, resolve, reject }: Reading): void {
    to.buffer.mapAsync(1, 0, bytes).then(
      () => {
        const data = to.buffer.getMappedRange(0, bytes).slice(0);
        to.buffer.unmap();
        this.readings.give(to);
        if (this.failure) reject(this.failure());
        else resolve(data);
      },
      async (error: unknown) => {
        // A lost device says so a moment later.
        await Promise.race([this.device.lost, new Promise((done) => setTimeout(done, 100))]);
        reject(this.failure?.() ?? error);
      },
    );
  }

  counts(): Counts {
    const { dispatches, submits, bindGroups, pipelines } = this;
    return { dispatches, submits, bindGroups, pipelines };
  }
}
