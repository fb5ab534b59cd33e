// The pool of GPU buffers: by size class, the oldest of a class first, with a cap on what lies idle.
// Knows no commands; whoever frees a buffer tells when it may be destroyed.

/** A buffer and what the device must remember of it. */
export interface GpuBuffer {
  readonly buffer: GPUBuffer;
  /** Where it goes when it is free. */
  readonly home: BufferPool;
  /** Bytes of its class. */
  readonly bytes: number;
  /** Its age: the pool gives out the oldest first, so that a step that repeats finds the same buffers again. */
  readonly id: number;
  /** The submission that its last recorded use belongs to. */
  used: number;
}

/** Idle bytes above which buffers are destroyed. */
const idleBytes = 512 * 2 ** 20;
/** GPUBufferUsage of pages; Node has no such global. */
const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 0x40, storage: 0x80 } as const;
export const storageUsage: number = usage.storage | usage.copySource | usage.copyTarget;
export const readingUsage: number = usage.mapRead | usage.copyTarget;
export const parameterUsage: number = usage.uniform | usage.copyTarget;

/** The smallest class that holds so many bytes: four steps from each power of two to the next, from 256. */
function classBytes(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** (Math.floor(Math.log2(bytes - 1)) - 2);
  return Math.ceil(bytes / step) * step;
}

export class BufferPool {
  private readonly device: GPUDevice;
  private readonly usage: number;
  private readonly free = new Map<number, GpuBuffer[]>();
  private next = 0;
  /** Bytes that lie idle. */
  idle = 0;

  constructor(device: GPUDevice, usage: number) {
    this.device = device;
    this.usage = usage;
  }

  take(bytes: number): GpuBuffer {
    const size = classBytes(bytes);
    const list = this.free.get(size);
    if (list !== undefined && list.length > 0) {
      let oldest = 0;
      for (let i = 1; i < list.length; i++) if (list[i]!.id < list[oldest]!.id) oldest = i;
      const found = list[oldest]!;
      const last = list.pop()!;
      if (oldest < list.length) list[oldest] = last;
      this.idle -= size;
      return found;
    }
    const buffer = this.device.createBuffer({ size, usage: this.usage });
    return { buffer, home: this, bytes: size, id: this.next++, used: -1 };
  }

  /** Takes a buffer back; commands that use it and run earlier are no concern of the next owner. */
  give(b: GpuBuffer): void {
    const list = this.free.get(b.bytes);
    if (list === undefined) this.free.set(b.bytes, [b]);
    else list.push(b);
    this.idle += b.bytes;
  }

  /** Whether more lies idle than should. */
  get full(): boolean {
    return this.idle > idleBytes;
  }

  /** Destroys idle buffers, the largest first, until half of the cap is left. Nothing that uses them may be waiting for its submission. */
  trim(): void {
    const sizes = [...this.free.keys()].sort((a, b) => b - a);
    for (const size of sizes) {
      const list = this.free.get(size)!;
      while (list.length > 0 && this.idle > idleBytes / 2) {
        list.pop()!.buffer.destroy();
        this.idle -= size;
      }
    }
  }
}
