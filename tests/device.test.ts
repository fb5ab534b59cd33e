// Devices by their names, before anybody has opened the GPU: in a file of its own, where no other test has.

import { expect, test } from "vitest";
import { DeviceError, useDevice, zeros } from "../core/index.ts";

test("a device that there is not is refused with those that there are", async () => {
  await expect(useDevice("gpu" as never)).rejects.toThrow(DeviceError);
  await expect(useDevice("gpu" as never)).rejects.toThrow(
    /useDevice: "gpu" is no device; the devices are "wasm", "webgpu" and "js"/,
  );
});

test("nothing can be made on the GPU before it has been opened, which takes a promise", () => {
  expect(() => zeros([2], { device: "webgpu" })).toThrow(DeviceError);
  expect(() => zeros([2], { device: "webgpu" })).toThrow(/await useDevice\("webgpu"\) first/);
});
