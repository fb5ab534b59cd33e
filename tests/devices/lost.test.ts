// A GPU that goes away: every later use says so, and training goes on with a new one from what the host has. In a file of its
// own, because the device is destroyed.

import { describe, expect, test } from "vitest";
import type { WebgpuBackend } from "../../core/backends/webgpu/index.ts";
import { full, tensor } from "../../core/create.ts";
import { currentBackend, useDevice } from "../../core/device.ts";
import { DeviceError, DeviceLostError, OutOfMemoryError } from "../../core/errors.ts";
import { openScope } from "../../core/scope.ts";
import { crossEntropy } from "../../losses/index.ts";
import { Linear, Sequential } from "../../nn/index.ts";
import { add, relu } from "../../ops/elementwise.ts";
import { matmul } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduce.ts";
import { Adam } from "../../optim/index.ts";
import { withoutGpu } from "../place.ts";
import { numbersOf } from "../suite/samples.ts";

/** Destroys the GPU that is in use, and waits until that is known. */
async function lose(): Promise<void> {
  const { device } = currentBackend() as WebgpuBackend;
  device.destroy();
  await device.lost;
}

describe.skipIf(withoutGpu !== undefined)("a device that was lost", () => {
  test("throws DeviceLostError wherever it is used, and names the way out", async () => {
    await useDevice("webgpu");
    using _ = openScope();
    const x = full([100, 100], 1);
    const pending = sum(x).data();
    await lose();
    const uses: readonly (() => unknown)[] = [
      () => tensor([1]),
      () => full([3], 1),
      () => add(x, x),
      () => matmul(x, x),
      () => sum(x),
    ];
    for (const use of uses) {
      expect(use).toThrow(DeviceLostError);
      expect(use).toThrow(/lost.*; .*await useDevice\("webgpu"\)/);
    }
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    await expect(x.to("wasm")).rejects.toThrow(DeviceLostError);
    // What was on its way either has come or is refused alike; nothing hangs.
    await pending.catch((error: unknown) => expect(error).toBeInstanceOf(DeviceLostError));
    // Other devices work on.
    expect(add(tensor([1], { device: "wasm" }), 1).item()).toBe(2);
  });

  test("is replaced by the next useDevice, and parameters from a checkpoint train on", async () => {
    await useDevice("webgpu");
    const make = () => {
      const model = new Sequential(new Linear(3, 8, { seed: 1 }), relu, new Linear(8, 2, { seed: 2 }));
      return { model, adam: new Adam(model.parameters(), { lr: 0.05 }) };
    };
    let { model, adam } = make();
    const rows = [
      [0.1, -0.7, 2],
      [1, 0.5, -1],
      [-0.3, 0.2, 0.4],
    ];
    const step = () => adam.minimize(() => crossEntropy(model.forward(tensor(rows) as never), [0, 1, 1]));
    for (let i = 0; i < 10; i++) step();
    const before = (await step().data())[0]!;
    const checkpoint = await numbersOf(...model.parameters().map(({ value }) => value));

    await lose();
    expect(step).toThrow(DeviceLostError);
    await useDevice("webgpu");
    // The old parameters stay lost.
    expect(step).toThrow(DeviceError);

    ({ model, adam } = make());
    model.parameters().forEach((p, i) => {
      p.value = tensor(Float32Array.from(checkpoint[i]!), { shape: p.value.shape }) as typeof p.value;
    });
    const losses = await numbersOf(...Array.from({ length: 10 }, step));
    expect(losses[0]![0]).toBeLessThan(before);
    expect(losses[9]![0]).toBeLessThan(losses[0]![0]!);
  });

  test("that ran out of memory says so wherever it is used, until another is opened", async () => {
    await useDevice("webgpu");
    const x = full([3], 1);
    expect(() => full([2 ** 30, 2], 1)).toThrow(OutOfMemoryError);
    expect(await add(x, 1).data(), "a refusal at the call harms nothing").toEqual(Float32Array.of(2, 2, 2));
    // What a driver reports later reaches a device as this event.
    const { device } = currentBackend() as WebgpuBackend;
    class GPUOutOfMemoryError extends Error {}
    const error = new GPUOutOfMemoryError("no memory is left");
    device.dispatchEvent(Object.assign(new Event("uncapturederror"), { error }));
    for (const use of [() => tensor([1]), () => add(x, x)]) expect(use).toThrow(OutOfMemoryError);
    await expect(x.data()).rejects.toThrow(/no memory is left/);
    await useDevice("webgpu");
    expect(await add(tensor([1]), 1).data()).toEqual(Float32Array.of(2));
    device.destroy();
  });
});
