// The allocator reuses what is freed, grows when it must, and says so when it cannot.
import { expect, test } from "vitest";
import { createWasmBackend } from "../../core/backends/wasm/index.ts";
import { Heap } from "../../core/backends/wasm/memory.ts";
import { DeviceError } from "../../core/errors.ts";

test("blocks are aligned, apart, and have room behind them", () => {
  const heap = new Heap(4096);
  const blocks: [number, number][] = [];
  for (let bytes = 0; bytes < 5000; bytes += 37) blocks.push([heap.allocate(bytes), bytes]);
  blocks.sort(([a], [b]) => a - b);
  expect(blocks[0]![0]).toBeGreaterThanOrEqual(4096);
  blocks.forEach(([address, bytes], i) => {
    expect(address % 16).toBe(0);
    const next = blocks[i + 1]?.[0] ?? heap.u8.length;
    expect(next - address).toBeGreaterThanOrEqual(bytes + 32);
  });
});

test("a freed block serves the next request of its size", () => {
  const heap = new Heap(4096);
  const first = heap.allocate(1000);
  heap.allocate(1000);
  heap.release(first, 1000);
  expect(heap.pooled).toBeGreaterThanOrEqual(1000);
  expect(heap.allocate(1000)).toBe(first);
  expect(heap.pooled).toBe(0);
});

test("a steady computation does not grow the memory", () => {
  const heap = new Heap(4096);
  const step = (): void => {
    const held = [100_000, 4_000, 250_000, 64, 100_000].map(
      (bytes) => [heap.allocate(bytes), bytes] as const,
    );
    for (const [address, bytes] of held) heap.release(address, bytes);
  };
  step();
  const size = heap.u8.length;
  const pooled = heap.pooled;
  for (let i = 0; i < 100; i++) step();
  expect(heap.u8.length).toBe(size);
  expect(heap.pooled).toBe(pooled);
});

test("freed neighbours are joined, and large blocks split, before the memory grows", () => {
  const heap = new Heap(4096);
  const size = heap.u8.length;
  const small = Array.from({ length: 30 }, () => heap.allocate(100_000));
  for (const address of small) heap.release(address, 100_000);
  // Three quarters of the memory, of which most lies in the small blocks.
  const large = heap.allocate(3_000_000);
  expect(heap.u8.length).toBe(size);
  heap.release(large, 3_000_000);
  for (let i = 0; i < 25; i++) heap.allocate(100_000);
  expect(heap.u8.length).toBe(size);
});

test("blocks never overlap, whatever the order of requests", () => {
  const heap = new Heap(4096);
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const live: { address: number; bytes: number; mark: number }[] = [];
  for (let i = 0; i < 4000; i++) {
    if (live.length > 0 && random(100) < 50) {
      const [{ address, bytes, mark }] = live.splice(random(live.length), 1) as [(typeof live)[0]];
      const block = heap.u8.subarray(address, address + bytes);
      expect(block.every((b) => b === mark)).toBe(true);
      heap.release(address, bytes);
    } else {
      const bytes = random(10) === 0 ? random(400_000) : random(3000);
      const address = heap.allocate(bytes);
      heap.u8.fill(i & 255, address, address + bytes);
      live.push({ address, bytes, mark: i & 255 });
    }
  }
});

test("growing keeps contents and refreshes the views", () => {
  const backend = createWasmBackend();
  const small = backend.allocate("bool", 64);
  backend.write(small, new Float32Array([1, 2, 3]));
  const large = backend.allocate("bool", 64 * 2 ** 20);
  backend.write(large, new Float32Array(16 * 2 ** 20).fill(2));
  expect([...backend.readSync(small, "f32", 0, 3)]).toEqual([1, 2, 3]);
  expect(backend.readSync(large, "f32", 16 * 2 ** 20 - 1, 1)[0]).toBe(2);
  expect(backend.memory().bytes).toBe(64 + 64 * 2 ** 20);
  large.release();
  expect(backend.memory().bytes).toBe(64);
  expect(backend.memory().peak).toBe(64 + 64 * 2 ** 20);
  expect(backend.memory().pool).toBeGreaterThanOrEqual(64 * 2 ** 20);
});

test("more than the address space holds is refused by name, and nothing is lost", () => {
  const backend = createWasmBackend();
  for (const bytes of [2 ** 32, 2 ** 40, 2 ** 53])
    expect(() => backend.allocate("bool", bytes)).toThrow(DeviceError);
  expect(backend.memory().bytes).toBe(0);
  backend.allocate("bool", 1024);
});

test("reading gives a copy", async () => {
  const backend = createWasmBackend();
  const storage = backend.allocate("bool", 16);
  backend.write(storage, new Int32Array([4, 5, 6, 7]));
  const read = backend.readSync(storage, "i32", 1, 2);
  backend.fill(storage, "i32", 4, 0);
  expect([...read]).toEqual([5, 6]);
  expect([...(await backend.read(storage, "i32", 0, 4))]).toEqual([0, 0, 0, 0]);
});
