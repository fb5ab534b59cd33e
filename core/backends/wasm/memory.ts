// The one WebAssembly memory and its allocator: pools of freed blocks by size class, over a region that grows.
// Knows addresses and bytes; storage, views of tensors and kernels are others' affair.

import { DeviceError } from "../../errors.ts";

const pageBytes = 65536;
const initialPages = 64;
/** Kernels may read this far past a block: vectors at the tail of a row, tiles at the edge of a matrix. */
const slack = 32;
/**
 * Size classes, in units of 16 bytes: every number of units up to 16, then eight steps from each power of two to the next.
 * Rounding up wastes an eighth at most, and every stretch of units is a sum of classes.
 */
const unit = 16;
const classCount = 8 * 26;

/** Bytes of a class. */
function classBytes(index: number): number {
  const scale = Math.max(0, (index >> 3) - 1);
  return unit * (index - 8 * scale + 1) * 2 ** scale;
}

/** The smallest class that holds so many bytes (at least 1); what no address reaches gets a class beyond all. */
function classOf(bytes: number): number {
  if (!(bytes < 2 ** 32)) return classCount;
  const last = Math.ceil(bytes / unit) - 1;
  const scale = Math.max(0, 28 - Math.clz32(last));
  return 8 * scale + (last >> scale);
}

/** A growing memory. Its views are replaced when it grows: read them after the last allocation, and keep none. */
export class Heap {
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: initialPages });
  u8!: Uint8Array;
  i32!: Int32Array;
  f32!: Float32Array;
  f64!: Float64Array;

  /** Freed blocks by class. */
  private readonly free: number[][] = Array.from({ length: classCount }, () => []);
  /** From here on nothing was ever given out. */
  private top: number;
  /** Bytes of freed blocks. */
  pooled = 0;

  /** A heap whose first `reserved` bytes are the caller's own. */
  constructor(reserved: number) {
    this.top = reserved;
    this.refresh();
  }

  private refresh(): void {
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }

  /** The address of a block, 16-aligned and readable a little beyond; its contents are undefined. */
  allocate(bytes: number): number {
    const wanted = classOf(bytes + slack);
    const block = this.free[wanted]?.pop();
    if (block === undefined) return this.carve(wanted, bytes);
    this.pooled -= classBytes(wanted);
    return block;
  }

  /** Gives a block of so many bytes back. */
  release(address: number, bytes: number): void {
    const index = classOf(bytes + slack);
    this.free[index]!.push(address);
    this.pooled += classBytes(index);
  }

  /** A block of a class whose pool is empty. */
  private carve(wanted: number, bytes: number): number {
    const size = classBytes(wanted);
    if (this.top + size > this.u8.length) {
      // Before growing: part of a larger block, or neighbours that together are one.
      const found = this.split(wanted) ?? (this.pooled >= size ? this.merge().split(wanted) : undefined);
      if (found !== undefined) return found;
      if (this.top + size > this.u8.length) this.grow(this.top + size - this.u8.length, bytes);
    }
    this.top += size;
    return this.top - size;
  }

  /** The front of the smallest free block that is larger than the class. */
  private split(wanted: number): number | undefined {
    for (let index = wanted; index < classCount; index++) {
      const address = this.free[index]!.pop();
      if (address === undefined) continue;
      const [size, rest] = [classBytes(wanted), classBytes(index) - classBytes(wanted)];
      this.pooled -= classBytes(index);
      this.pool(address + size, rest);
      return address;
    }
    return undefined;
  }

  /** Puts a stretch of memory into the pools, the largest pieces first. */
  private pool(address: number, bytes: number): void {
    let at = address;
    for (let left = bytes; left > 0; ) {
      let index = classOf(left);
      if (classBytes(index) > left) index--;
      const size = classBytes(index);
      this.free[index]!.push(at);
      this.pooled += size;
      at += size;
      left -= size;
    }
  }

  /** Joins free neighbours, and gives what lies at the top back to the region never given out. */
  private merge(): this {
    const blocks = this.free.flatMap((list, index) =>
      list.map((address) => ({ address, size: classBytes(index) })),
    );
    blocks.sort((a, b) => a.address - b.address);
    for (const list of this.free) list.length = 0;
    this.pooled = 0;
    let [start, end] = [0, 0];
    const close = (): void => {
      if (end === this.top && end > start) this.top = start;
      else this.pool(start, end - start);
    };
    for (const { address, size } of blocks) {
      if (address !== end) {
        close();
        start = address;
      }
      end = address + size;
    }
    close();
    return this;
  }

  /** Grows by half, or by what is needed, or not at all. */
  private grow(needed: number, bytes: number): void {
    const least = Math.ceil(needed / pageBytes);
    const pages = this.u8.length / pageBytes;
    for (const more of [Math.max(least, Math.ceil(pages / 2)), least]) {
      try {
        this.memory.grow(more);
        this.refresh();
        return;
      } catch {
        // A refused growth leaves the memory as it was.
      }
    }
    throw new DeviceError(
      "wasm",
      `no memory for ${bytes} bytes more`,
      "free tensors, or work in smaller batches",
    );
  }
}
