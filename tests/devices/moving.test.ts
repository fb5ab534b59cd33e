// Reading from a device and moving between devices: asynchronous where it must be, never implied.

import { afterEach, describe, expect, test } from "vitest";
import type { DeviceName } from "../../core/backends/backend.ts";
import { full, tensor, zeros } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { DeviceError, OutOfMemoryError } from "../../core/errors.ts";
import { memory, openScope, scope } from "../../core/scope.ts";
import { crossEntropy } from "../../losses/index.ts";
import { Linear } from "../../nn/index.ts";
import { add } from "../../ops/elementwise.ts";
import { gather } from "../../ops/indexing.ts";
import { Adam } from "../../optim/index.ts";
import { devices } from "../place.ts";

afterEach(() => useDevice("wasm"));

describe.each(["js", ...devices] as const)("from %s", (from) => {
  test.each(["js", ...devices] as const)(
    "values of every type go to %s and are what they were",
    async (to) => {
      using _ = openScope();
      const values = {
        f32: [0, -0, 1.5, -3e38, 1e-38, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
        i32: [0, -1, 2 ** 31 - 1, -(2 ** 31)],
        bool: [0, 1, 1, 0, 1],
      };
      for (const [dtype, data] of Object.entries(values) as ["f32" | "i32" | "bool", number[]][]) {
        const x = tensor(Float64Array.from(data), { dtype, device: from });
        const there = await x.to(to);
        expect([there.device, there.dtype, there.shape]).toEqual([to, dtype, x.shape]);
        expect(there === x).toBe(from === to);
        expect(await there.data()).toEqual(await x.data());
      }
    },
  );

  test("a view goes without what it leaves out", async () => {
    using _ = openScope();
    const x = tensor(
      Float32Array.from({ length: 12 }, (_, i) => i),
      { shape: [3, 4], device: from },
    );
    for (const to of devices) {
      const there = await x.transpose().slice([1, 4, 2]).to(to);
      expect(there.shape).toEqual([2, 3]);
      expect(Array.from(await there.data())).toEqual([1, 5, 9, 3, 7, 11]);
    }
  });

  test("new tensors are made on the device that was asked for last", async () => {
    await useDevice(from);
    expect(zeros([2]).device).toBe(from);
  });
});

test("a tensor that has moved is freed with its scope", async () => {
  const { tensors, bytes } = memory();
  {
    using _ = openScope();
    for (const to of devices) await full([1000], 2, { device: "js" }).to(to);
  }
  expect(memory()).toMatchObject({ tensors, bytes });
});

describe.skipIf(!devices.includes("webgpu"))("WebGPU", () => {
  const gpu: { device: DeviceName } = { device: "webgpu" };

  test("what reads at once is refused, and the error names the way out", () => {
    const x = scope(() => add(tensor([1, 2], gpu), 1));
    const one = scope(() => add(tensor([1], gpu), 1));
    for (const read of [() => x.dataSync(), () => x.toArray(), () => x.toNdarray(), () => one.item()]) {
      expect(read).toThrow(DeviceError);
      expect(read).toThrow(/await/);
    }
  });

  test("a tensor is shown without its values, and says how to get them", () => {
    const x = scope(() => add(tensor([1, 2], gpu), 1));
    expect(String(x)).toMatch(/Tensor \[2\] f32 on webgpu/);
    expect(String(x)).toMatch(/await/);
    expect(x.toHTML()).toMatch(/await/);
  });

  test("f64 is refused, and the error says where it lives", async () => {
    for (const make of [
      () => tensor([1], { ...gpu, dtype: "f64" }),
      () => zeros([2], { ...gpu, dtype: "f64" }),
    ]) {
      expect(make).toThrow(DeviceError);
      expect(make).toThrow(/webgpu has no f64; .*wasm/);
    }
    await expect(tensor([1], { dtype: "f64" }).to("webgpu")).rejects.toThrow(/webgpu has no f64; .*wasm/);
  });

  test("nothing moves by itself: operands on two devices are refused", () => {
    const mixed = () => add(tensor([1, 2], gpu), tensor([1, 2], { device: "wasm" }));
    expect(mixed).toThrow(DeviceError);
    expect(mixed).toThrow(/webgpu.*wasm|wasm.*webgpu/);
  });

  test("indices that came from the host are checked at the call", () => {
    const x = tensor([[1, 2, 3]], gpu);
    expect(() => crossEntropy(x, [3])).toThrow(RangeError);
    expect(() => gather(x, tensor([[3]], { ...gpu, dtype: "i32" }))).toThrow(RangeError);
  });

  test("a tensor larger than a buffer can be is refused by name", () => {
    expect(() => zeros([2 ** 31], gpu)).toThrow(OutOfMemoryError);
    expect(() => zeros([2 ** 31], gpu)).toThrow(DeviceError);
  });

  test("a model and its optimizer move, and train on from where they were", async () => {
    const train = async (moves: boolean): Promise<number[]> => {
      await useDevice("wasm");
      const model = new Linear(4, 3, { seed: 1 });
      const adam = new Adam(model.parameters(), { lr: 0.1 });
      const step = (device: DeviceName): unknown => {
        const x = tensor([[1, 2, 3, 4]], { device });
        return adam.minimize(() => crossEntropy(model.forward(x), [2]));
      };
      for (let i = 0; i < 3; i++) step("wasm");
      if (moves) {
        await model.to("webgpu");
        expect(() => step("webgpu")).toThrow(/moments.*await adam\.to\("webgpu"\)/);
        await adam.to("webgpu");
      }
      for (let i = 0; i < 3; i++) step(moves ? "webgpu" : "wasm");
      expect(model.weight.value.device).toBe(moves ? "webgpu" : "wasm");
      return Array.from(await model.weight.value.data());
    };
    const [there, here] = [await train(true), await train(false)];
    there.forEach((v, i) => {
      expect(v).toBeCloseTo(here[i]!, 5);
    });
  });
});
